"use strict";
// Fills the page from the data that Python packed: gzip in base64; see parity_page.py for what lies where.
// A figure is an integer, a hundred times its decimal logarithm; ZERO stands for 0, null for one that was not measured.

const ZERO = -100000;
const VERDICTS = { agree: "agrees", differ: "differs", not_comparable: "not comparable", not_run: "not run" };
const MARKS = { agree: "✓", differ: "✗", not_comparable: "?", not_run: "-" };
const byId = (id) => document.getElementById(id);

function element(tag, options = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(options)) {
    if (name in made && name !== "role") made[name] = value;
    else made.setAttribute(name, value);
  }
  made.append(...children);
  return made;
}

const unpacked = (figure) => (figure === null || figure === undefined ? null : figure === ZERO ? 0 : 10 ** (figure / 100));
const scientific = (value) => (value === null ? "" : value === 0 ? "0" : value.toExponential(1));
const times = (value) => (value === null ? "" : value < 100 ? value.toFixed(1) : value.toExponential(1));

async function read() {
  const bytes = Uint8Array.from(atob(byId("data").textContent.trim()), (c) => c.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).json();
}

// A flat index within a batch of the layer's shape, as the indices along each axis.
function indexOf(flat, shape) {
  if (flat === null || flat === undefined) return "";
  const indices = [];
  for (const size of shape.slice(1).reverse()) {
    indices.unshift(flat % size);
    flat = Math.floor(flat / size);
  }
  return [flat, ...indices].join(", ");
}

function rowsOf(architecture, pair, inputs) {
  const names = architecture.layers.name;
  const beyond = new Set(pair.differ), unclear = new Set(pair.unclear), missing = new Set(pair.missing);
  const column = (name, place) => unpacked((pair[name] || [])[place]);
  return names.map((name, place) => {
    const floor = unpacked(architecture.layers.floor[place]);
    const ratio = column("ratio", place);
    return {
      place, name, floor, ratio,
      operator: architecture.layers.operator[place],
      shape: architecture.layers.shape[place],
      depth: architecture.layers.depth[place],
      inputs: architecture.layers.inputs[place],
      rel: column("rel_rmse", place), own: column("own_rel_rmse", place),
      abs: column("max_abs", place), cos: column("one_minus_cos", place),
      bits: ratio === null || ratio === 0 ? null : Math.max(0, Math.log2(ratio)),
      worst: indexOf((pair.worst || [])[place], architecture.layers.shape[place]),
      input: (pair.input || [])[place] === undefined || pair.input[place] === null ? "" : inputs[pair.input[place]].name,
      state: beyond.has(place) ? "beyond" : unclear.has(place) ? "unclear" : missing.has(place) ? "missing" : "",
    };
  });
}

const COLUMNS = [
  ["#", (row) => row.place + 1, true],
  ["Layer", (row) => row.name],
  ["Operator", (row) => row.operator],
  ["Shape", (row) => row.shape.join("×")],
  ["rel-RMSE", (row) => row.rel, true, scientific],
  ["own", (row) => row.own, true, scientific],
  ["floor", (row) => row.floor, true, scientific],
  ["× floor", (row) => row.ratio, true, times],
  ["bits lost", (row) => row.bits, true, times],
  ["max abs", (row) => row.abs, true, scientific],
  ["1 − cos", (row) => row.cos, true, scientific],
  ["worst element", (row) => row.worst],
];

class Page {
  constructor(data) {
    this.data = data;
    this.labels = Object.fromEntries(data.sides.map((side) => [side.id, side.label]));
    this.sort = { column: 0, down: false };
    this.keys = [...new Set(data.architectures.flatMap((each) => each.pairs.map((pair) => `${pair.a}/${pair.b}`)))];
    this.fillRun();
    this.fillDivergences();
    const first = data.architectures.find((each) => each.verdict !== "agree") || data.architectures[0];
    const worst = first && (first.pairs.find((pair) => pair.verdict !== "agree") || first.pairs[0]);
    if (worst) this.show(first, worst);
    this.fillMatrix();
    for (const control of document.querySelectorAll("#matrix input")) control.addEventListener("input", () => this.fillMatrix());
    for (const id of ["layer-filter", "only-beyond"]) byId(id).addEventListener("input", () => this.fillLayers());
    byId("matrix-table").addEventListener("keydown", (event) => this.move(event));
    byId("chart").addEventListener("keydown", (event) => this.step(event));
    const dark = matchMedia("(prefers-color-scheme: dark)");
    dark.addEventListener("change", () => this.draw());
    window.addEventListener("beforeprint", () => this.paper(true));
    window.addEventListener("afterprint", () => this.paper(false));
    window.addEventListener("resize", () => this.draw());
    document.documentElement.dataset.ready = "yes";
  }

  paper(printing) {
    document.documentElement.classList.toggle("printing", printing);
    const folded = [...document.querySelectorAll("details")];
    if (printing && !this.folded) this.folded = folded.filter((each) => !each.open);
    for (const each of this.folded || []) each.open = printing;
    if (!printing) this.folded = null;
    this.draw();
  }

  facts(pairs) {
    const list = element("dl");
    for (const [name, value] of pairs) list.append(element("dt", {}, name), element("dd", {}, value));
    return list;
  }

  fillRun() {
    const { run, environment, sides, inputs, settings } = this.data;
    const asked = [
      ["Started", run.started], ["Took", `${run.seconds.toFixed(0)} s (${run.cpu_seconds.toFixed(0)} s of CPU)`],
      ["Peak memory", `${run.peak_memory_mb.toFixed(0)} MB`], ["Seed", String(settings.seed)],
      ["Shard", settings.shard || "none"], ["Quick", settings.quick ? "yes" : "no"],
    ];
    byId("run-facts").append(
      this.facts(asked),
      element("h3", {}, "Sides"), this.facts(sides.map((side) => [side.label, side.available ? side.runs : `not run: ${side.reason}`])),
      element("h3", {}, "Inputs"), this.facts(inputs.map((input) => [input.name, input.what])),
      element("h3", {}, "Environment"), this.facts(Object.entries(environment)),
      element("h3", {}, "Weights (SHA-256)"), this.facts(this.data.architectures.map((each) => [each.name, each.weights])),
    );
  }

  fillDivergences() {
    const found = this.data.architectures.filter((each) => each.first_divergence);
    byId("divergences").hidden = !found.length;
    for (const each of found) byId("divergences").append(this.divergence(each));
  }

  divergence(architecture) {
    const it = architecture.first_divergence;
    const figures = [["rel-RMSE", it.rel_rmse], ["by itself", it.own_rel_rmse], ["floor", it.floor]]
      .filter(([, value]) => value !== null).map(([name, value]) => `${name} ${scientific(value)}`).join(", ");
    return element("div", { className: "divergence" },
      element("p", {}, element("strong", {}, `${architecture.name}: `),
        `${this.labels[it.side] || it.side} leaves ${this.labels[it.against] || it.against} at `, element("code", {}, it.layer), ` (${it.operator}).`),
      element("p", {}, it.cause ? `Cause: ${it.cause}. ` : "No known cause was proven. ", it.evidence),
      element("p", { className: "hint" }, figures),
      element("p", {}, "Again: ", element("code", {}, it.command)),
      ...(it.repro ? [element("p", {}, "The layer alone, from the folder of the reports: ", element("code", {}, it.repro))] : []));
  }

  wanted(key) {
    const choice = document.querySelector("input[name=pairs]:checked").value;
    const [a, b] = key.split("/");
    if (choice === "oracle") return a === "oracle" || b === "oracle";
    if (choice === "native") return ![a, b].some((side) => side === "oracle" || side.startsWith("onnx_"));
    if (choice === "onnx") return [a, b].some((side) => side.startsWith("onnx_"));
    return true;
  }

  fillMatrix() {
    const text = byId("architecture-filter").value.trim().toLowerCase();
    const problems = byId("only-problems").checked;
    const keys = this.keys.filter((key) => this.wanted(key));
    const head = element("tr", {}, element("th", { scope: "col" }, "Architecture"));
    for (const key of keys) {
      const [a, b] = key.split("/").map((side) => this.labels[side] || side);
      head.append(element("th", { scope: "col", className: "number" }, b, element("br"), `against ${a}`));
    }
    const body = element("tbody");
    for (const architecture of this.data.architectures) {
      if (text && !`${architecture.name} ${architecture.family} ${architecture.title}`.toLowerCase().includes(text)) continue;
      if (problems && architecture.verdict === "agree") continue;
      const row = element("tr", {}, element("th", { scope: "row" }, architecture.name));
      for (const key of keys) {
        const pair = architecture.pairs.find((each) => `${each.a}/${each.b}` === key);
        row.append(element("td", {}, ...(pair ? [this.cell(architecture, pair)] : [])));
      }
      body.append(row);
    }
    const table = byId("matrix-table");
    table.replaceChildren(element("thead", {}, head), body);
    const buttons = table.querySelectorAll("button");
    buttons.forEach((button) => { button.tabIndex = -1; });
    const current = table.querySelector("button[aria-pressed=true]") || buttons[0];
    if (current) current.tabIndex = 0;
  }

  cell(architecture, pair) {
    const ratio = unpacked(pair.worst_ratio);
    const what = `${architecture.name}, ${this.labels[pair.b] || pair.b} against ${this.labels[pair.a] || pair.a}: ${VERDICTS[pair.verdict]}`;
    const shown = this.chosen && this.chosen.architecture === architecture && this.chosen.pair === pair;
    const button = element("button", {
      type: "button", className: pair.verdict, title: pair.reason || what, "aria-pressed": String(Boolean(shown)),
      "aria-label": ratio === null ? what : `${what}, worst ${times(ratio)} floors`,
    }, `${MARKS[pair.verdict]} ${ratio === null ? "" : times(ratio)}`);
    button.addEventListener("click", () => {
      this.show(architecture, pair);
      for (const other of document.querySelectorAll("#matrix-table button")) other.setAttribute("aria-pressed", String(other === button));
      byId("detail").scrollIntoView({ block: "start" });
    });
    button.addEventListener("focus", () => {
      for (const other of document.querySelectorAll("#matrix-table button")) other.tabIndex = other === button ? 0 : -1;
    });
    return button;
  }

  move(event) {
    const steps = { ArrowRight: [0, 1], ArrowLeft: [0, -1], ArrowDown: [1, 0], ArrowUp: [-1, 0] };
    const cell = event.target.closest("td");
    if (!(event.key in steps) || !cell) return;
    event.preventDefault();
    const [down, right] = steps[event.key];
    const rows = [...byId("matrix-table").tBodies[0].rows];
    const row = rows[rows.indexOf(cell.parentElement) + down];
    const button = row && row.cells[cell.cellIndex + right] && row.cells[cell.cellIndex + right].querySelector("button");
    if (button) button.focus();
  }

  show(architecture, pair) {
    this.chosen = { architecture, pair };
    this.rows = rowsOf(architecture, pair, this.data.inputs);
    byId("detail").hidden = false;
    byId("detail-title").textContent =
      `${architecture.name}: ${this.labels[pair.b] || pair.b} against ${this.labels[pair.a] || pair.a} ${VERDICTS[pair.verdict]}`;
    const facts = [["Architecture", architecture.title], ["Layers compared", `${pair.compared} of ${this.rows.length}`]];
    if (pair.reason) facts.push(["Why", pair.reason]);
    if (pair.worst_layer) facts.push(["Worst layer", `${pair.worst_layer}, ${times(unpacked(pair.worst_ratio))} floors`]);
    if (pair.embedding) {
      const it = pair.embedding;
      facts.push(["First output", `rel-RMSE ${scientific(it.rel_rmse)}, 1 − cos ${scientific(it.one_minus_cos)}, max abs ${scientific(it.max_abs)}, ${times(it.ratio)} floors (${it.input})`]);
    }
    byId("detail-facts").replaceChildren(this.facts(facts));
    this.fillMore(architecture);
    this.draw();
    this.fillLayers();
  }

  fillMore(architecture) {
    const checks = architecture.checks.map((check) => [`${this.labels[check.side] || check.side}, ${check.check}`, `${VERDICTS[check.verdict]}: ${check.detail}`]);
    const weights = architecture.weights_of.map((side) => [this.labels[side.side] || side.side, `${side.identical} of ${side.tensors} tensors bit-identical, SHA-256 ${side.sha256}`]);
    const coverage = architecture.coverage.map((side) => [this.labels[side.side] || side.side, `${(100 * side.parametric).toFixed(0)} % of the layers with weights, ${(100 * side.layers).toFixed(0)} % of all named layers`]);
    const inputs = architecture.inputs.map((input) => [input.name, `${input.shape.join("×")}, SHA-256 ${input.sha256}`]);
    const sections = [["Checks", checks], ["Weights", weights], ["Coverage", coverage], ["Inputs", inputs]];
    byId("detail-more").replaceChildren(...sections.filter(([, rows]) => rows.length).flatMap(([title, rows]) => [element("h3", {}, title), this.facts(rows)]));
  }

  draw() {
    if (this.chart) this.chart.destroy();
    this.chart = null;
    const place = byId("chart");
    place.replaceChildren();
    if (!this.rows || !this.rows.some((row) => row.rel !== null)) {
      place.append(element("p", { className: "hint" }, "This pair's layers are not in the page; parity.json has them."));
      return;
    }
    const style = getComputedStyle(document.documentElement);
    const color = (name) => style.getPropertyValue(`--${name}`).trim();
    const positive = (value) => (value > 0 && Number.isFinite(value) ? value : null);
    const k = this.data.limits.k;
    const columns = [
      this.rows.map((row) => row.place + 1),
      this.rows.map((row) => positive(row.floor === null ? null : row.floor * k)),
      this.rows.map((row) => positive(row.floor)),
      this.rows.map((row) => positive(row.rel)),
      this.rows.map((row) => positive(row.own)),
    ];
    const axis = { stroke: color("ink"), grid: { stroke: color("line"), width: 1 }, ticks: { stroke: color("line") } };
    const points = this.rows.length < 400;
    this.chart = new uPlot({
      width: Math.max(320, place.clientWidth || 900), height: 320,
      scales: { x: { time: false }, y: { distr: 3 } },
      axes: [{ ...axis, label: "layer, in order of computation" }, { ...axis, label: "relative RMSE", size: 70, values: (_, splits) => splits.map((value) => (value === null ? "" : value.toExponential(0))) }],
      series: [
        { label: "layer" },
        { label: `${k} floors`, stroke: color("floor"), width: 1, dash: [2, 4], spanGaps: true, points: { show: false } },
        { label: "floor", stroke: color("floor"), width: 1, dash: [6, 4], spanGaps: true, points: { show: false } },
        { label: "error so far", stroke: color("cumulative"), width: 2, points: { show: points, size: 4 } },
        { label: "own error", stroke: color("own"), width: 2, points: { show: points, size: 4 } },
      ],
      bands: [{ series: [1, 2], fill: color("band") }],
      legend: { live: false },
      hooks: { setCursor: [(chart) => this.tell(chart.cursor.idx)] },
    }, columns, place);
  }

  step(event) {
    const steps = { ArrowRight: 1, ArrowLeft: -1, Home: -Infinity, End: Infinity };
    if (!(event.key in steps) || !this.chart) return;
    event.preventDefault();
    const last = this.rows.length - 1;
    this.at = Math.min(last, Math.max(0, (this.at === undefined ? -1 : this.at) + steps[event.key]));
    const left = this.chart.valToPos(this.at + 1, "x");
    const value = this.rows[this.at].rel || this.rows[this.at].floor;
    this.chart.setCursor({ left, top: value ? this.chart.valToPos(value, "y") : 10 });
    this.tell(this.at);
  }

  tell(place) {
    if (place === null || place === undefined || !this.rows[place]) return;
    this.at = place;
    const row = this.rows[place];
    const parts = [`${row.name} (${row.operator}), ${row.shape.join("×")}, from ${row.inputs.join(", ") || "the input"}, depth ${row.depth}`];
    if (row.rel !== null) parts.push(`rel-RMSE ${scientific(row.rel)}`);
    if (row.own !== null) parts.push(`own ${scientific(row.own)}`);
    if (row.floor !== null) parts.push(`floor ${scientific(row.floor)}`);
    if (row.ratio !== null) parts.push(`${times(row.ratio)} floors`);
    if (row.abs !== null) parts.push(`max abs ${scientific(row.abs)}`);
    if (row.worst) parts.push(`worst element [${row.worst}]${row.input ? ` on ${row.input}` : ""}`);
    byId("readout").textContent = parts.join("; ");
    for (const each of document.querySelectorAll("#layer-table tbody tr")) each.setAttribute("aria-selected", String(each.dataset.place === String(place)));
  }

  fillLayers() {
    const text = byId("layer-filter").value.trim().toLowerCase();
    const beyond = byId("only-beyond").checked;
    const rows = this.rows.filter((row) => (!beyond || row.state === "beyond") && (!text || `${row.name} ${row.operator}`.toLowerCase().includes(text)));
    const value = COLUMNS[this.sort.column][1];
    const order = (left, right) => {
      const [a, b] = [value(left), value(right)];
      if (a === null || b === null) return (a === null) - (b === null);  // what was not measured comes last either way
      const sign = typeof a === "number" ? a - b : String(a).localeCompare(String(b), "en", { numeric: true });
      return (this.sort.down ? -sign : sign) || left.place - right.place;
    };
    rows.sort(order);
    const head = element("tr");
    COLUMNS.forEach(([title, , number], column) => {
      const here = column === this.sort.column;
      const button = element("button", { type: "button" }, `${title}${here ? (this.sort.down ? " ▾" : " ▴") : ""}`);
      button.addEventListener("click", () => {
        this.sort = { column, down: here ? !this.sort.down : Boolean(number) && column > 0 };
        this.fillLayers();
        byId("layer-table").querySelectorAll("th button")[column].focus();
      });
      head.append(element("th", { scope: "col", className: number ? "number" : "", "aria-sort": here ? (this.sort.down ? "descending" : "ascending") : "none" }, button));
    });
    const body = element("tbody");
    for (const row of rows) {
      const made = element("tr", { className: row.state });
      made.dataset.place = row.place;
      COLUMNS.forEach(([, read, number, format], column) => {
        const cell = read(row);
        made.append(element(column === 1 ? "th" : "td", { className: number ? "number" : "", ...(column === 1 ? { scope: "row" } : {}) }, String(format ? format(cell) : cell)));
      });
      made.addEventListener("click", () => { this.at = row.place - 1; this.step({ key: "ArrowRight", preventDefault() {} }); });
      body.append(made);
    }
    byId("layer-table").replaceChildren(element("thead", {}, head), body);
    byId("layer-count").textContent = `${rows.length} of ${this.rows.length}`;
  }
}

read().then((data) => { window.page = new Page(data); }, (error) => {
  byId("matrix").prepend(element("p", {}, `This page's data cannot be read: ${error}; parity.json beside it holds the same.`));
});

"""The console tables of ``ops``, ``doctor`` and ``inspect``; those of ``models`` are in model_tables.py."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rich import box
from rich.markup import escape
from rich.table import Table

if TYPE_CHECKING:  # doctor must work where what the others need is missing
    from facecvt.converters.contract import InputContract
    from facecvt.converters.ops_table import OperatorRow
    from facecvt.parity_tests.environment import Diagnosis
    from facecvt.parity_tests.inspection import Inspection
    from facecvt.reference_models.recognise_state import StateRecognition

MOST_SHOWN = 5  # names in a line, and candidates


def plain_table(*headers: str) -> Table:
    """A table with a line under its header and nothing around it; the last column may wrap."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for number, header in enumerate(headers, 1):
        table.add_column(header, overflow="fold", no_wrap=number < len(headers))
    return table


def shape_text(shape: Sequence[Any] | None) -> str:
    """``batch x 3 x 112 x 112``; ``?`` where nothing is known."""
    if shape is None:
        return "?"
    return " x ".join("?" if size is None else str(size) for size in shape) or "scalar"


def operators_table(rows: Sequence[OperatorRow]) -> list[Any]:
    """A row an operator, a mark a direction."""
    from facecvt.converters.ops_table import COLUMNS

    table = plain_table("operator", *COLUMNS.values(), "family")
    for row in rows:
        marks = ["x" if direction in row.directions else "" for direction in COLUMNS]
        table.add_row(row.operator, *marks, ", ".join(row.families))
    counts = ", ".join(f"{name} {sum(key in row.directions for row in rows)}" for key, name in COLUMNS.items())
    return [table, f"\n{len(rows)} operators: {counts}. Every ONNX operator listed can be written to opset 11 to 21."]


def diagnosis_tables(diagnosis: Diagnosis) -> list[Any]:
    """Packages, abilities, and what to install."""
    packages = plain_table("package", "installed", "needed for", "to install")
    for package in diagnosis.packages:
        packages.add_row(package.name, package.version or "no", package.needed_for, escape(package.command or ""))
    abilities = plain_table("task", "here", "missing")
    for ability in diagnosis.abilities:
        abilities.add_row(ability.task, "yes" if ability.possible else "no", escape("; ".join(ability.missing)))
    head = f"facecvt {diagnosis.facecvt}, Python {diagnosis.python}, {diagnosis.system}\n"
    return [head, packages, "", abilities]


def inspection_tables(inspection: Inspection, *, every_layer: bool) -> list[Any]:
    """Everything ``facecvt inspect`` found; layers and weights in full only when asked."""
    facts = Table.grid(padding=(0, 2))
    facts.add_row("model", escape(inspection.name))
    facts.add_row("framework", f"{inspection.framework}, {inspection.kind}")
    for path in inspection.files:
        facts.add_row("file", escape(str(path)))
    for key, value in inspection.details.items():
        facts.add_row(key, escape(value))
    if inspection.kind == "model":
        facts.add_row("recognised as", inspection.recognised or "no reference architecture")
    else:
        for key, value in state_rows(inspection.state):
            facts.add_row(key, escape(value))
    parts: list[Any] = [facts]
    if inspection.contracts:
        parts += ["", *_contract_table(inspection)]
    if inspection.outputs:
        outputs = plain_table("output", "shape", "dtype")
        for output in inspection.outputs:
            outputs.add_row(escape(output["name"]), shape_text(output["shape"]), output["dtype"] or "?")
        parts += ["", outputs]
    if inspection.operators:
        operators = plain_table("operator", "nodes", "to ONNX", "to PyTorch")
        for fact in inspection.operators:
            torch = "?" if fact.to_torch is None else "yes" if fact.to_torch else "no"
            operators.add_row(escape(fact.operator), str(fact.count), "yes" if fact.readable else "no", torch)
        parts += ["", operators]
    parts += ["", *_weight_tables(inspection, every_layer)]
    if every_layer and inspection.layers:
        layers = plain_table("layer", "operator", "shape", "as ONNX")
        for layer in inspection.layers:
            shapes = ", ".join(shape_text(shape) for shape in layer.shapes)
            layers.add_row(escape(layer.name), escape(layer.operator), shapes, " ".join(layer.onnx))
        parts += ["", layers]
    parts += [f"\nwarning: {escape(warning)}" for warning in inspection.warnings]
    parts += [f"\nwould not convert: {escape(problem)}" for problem in inspection.problems]
    return parts


def state_rows(state: StateRecognition | None) -> list[tuple[str, str]]:
    """What names and shapes of weights alone tell, as rows of two columns."""
    if state is None:
        return [("recognised as", "nothing like any reference architecture")]
    first, difference = state.candidates[0], state.difference
    rows = [("recognised as", str(first))]
    if not state.exact:
        rows = [("recognised as", f"no reference architecture; {difference.matched} entries are those of {first}")]
        rows += [("missing", text) for text in _counted(difference.missing)]
        rows += [("unexpected", text) for text in _counted(difference.unexpected)]
        shapes = [f"{name} {shape_text(found)} for {shape_text(wanted)}" for name, found, wanted in difference.reshaped]
        rows += [("other shapes", text) for text in _counted(shapes)]
    elif state.ambiguous:
        rows.append(
            ("ambiguous", f"{len(state.candidates)} nets have these names and shapes; weights do not tell which:")
        )
        for candidate in state.candidates[:MOST_SHOWN]:
            also = f": {', '.join(candidate.names[:MOST_SHOWN])}" if candidate.names else ""
            rows.append(("", f"{candidate}{also}"))
        if len(state.candidates) > MOST_SHOWN:
            rows.append(("", f"and {len(state.candidates) - MOST_SHOWN} more"))
        for name, values in state.open_options.items():
            rows.append(("open option", f"{name}: {' or '.join(str(value) for value in values)}"))
    elif first.names:
        rows.append(("also called", ", ".join(first.names[:MOST_SHOWN])))
    rows += [("family", first.architecture.family), ("names of", state.framework)]
    if state.prefix:
        rows.append(("prefix of its keys", state.prefix))
    if difference.counters_missing and state.framework == "torch":
        rows.append(
            ("step counters", f"{difference.counters_missing} are not there, as in old checkpoints; not needed")
        )
    rows += [
        ("left over", text)
        for text in _counted([f"{each.name} {shape_text(each.shape)}, {each.what}" for each in state.leftovers])
    ]
    return rows


def _counted(names: Sequence[str]) -> list[str]:
    """A line of the first names and how many there are; no line where there is none."""
    if not names:
        return []
    more = f" and {len(names) - MOST_SHOWN} more" if len(names) > MOST_SHOWN else ""
    return [f"{len(names)}: {', '.join(names[:MOST_SHOWN])}{more}"]


def _contract_table(inspection: Inspection) -> list[Any]:
    table = plain_table("input", "shape", "dtype", "layout", "color", "the network sees")
    for contract in inspection.contracts:
        table.add_row(
            escape(contract.name),
            shape_text(contract.shape),
            contract.dtype,
            contract.layout or "?",
            contract.color or "?",
            seen_pixels(contract),
        )
    return [table]


def seen_pixels(contract: InputContract) -> str:
    """What the network makes of a pixel, or is to be given of it."""
    if contract.mean is None and contract.scale is None:
        return "not known"
    mean = ", ".join(f"{value:g}" for value in contract.mean or (0.0,))
    scale = ", ".join(f"{value:.7g}" for value in contract.scale or (1.0,))
    where = "done by the graph" if contract.in_graph else "to be done before"
    return f"(pixel - {mean}) * {scale}, {where}"


def _weight_tables(inspection: Inspection, every_layer: bool) -> list[Any]:
    totals = plain_table("weights", "arrays", "elements", "bytes")
    for dtype, entry in inspection.weights_by_dtype().items():
        totals.add_row(dtype, str(entry["arrays"]), f"{entry['elements']:,}", f"{entry['bytes']:,}")
    if not inspection.weights:
        return ["no weights"]
    if not every_layer:
        hint = f"{len(inspection.layers)} layers and {len(inspection.weights)} arrays; --layers lists them."
        return [totals, f"\n{hint}"]
    weights = plain_table("weight", "shape", "dtype", "bytes")
    for weight in inspection.weights:
        weights.add_row(escape(weight.name), shape_text(weight.shape), weight.dtype, f"{weight.nbytes:,}")
    return [totals, "", weights]

"""The margin heads against the published ones, and the three frameworks against each other.

The tests come from the kit's `heads/` folder: every case of every file is computed in torch, Paddle and MXNet, in
float64, and compared with the recorded numbers: logits, loss, gradients of the features and of the class centres,
AdaFace's moving averages. A file that nobody has seen is tested by lying there: its upstream is known by the file's
name, or by the repository and path it states; its options are read from the case.

Differences are relative to the largest recorded value. Numbers recorded in float64 are met to 1e-9; those of a float32
run to ten times what float32 costs the same case in the framework under test.
"""

from __future__ import annotations

import inspect
import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from facecvt.converters.errors import UsageError, WeightsError
from facecvt.parity_tests.training.step import in_float32, run_head
from facecvt.reference_models import build_head, head_names, head_spec
from facecvt.reference_models.heads.names import head_from_canonical, head_to_canonical
from facecvt.reference_models.heads.upstreams import UPSTREAMS, upstream_of

KIT = Path(os.environ.get("FACECVT_UPSTREAM_KIT", Path(__file__).resolve().parents[2] / "shared" / "upstream"))
FRAMEWORKS = ("torch", "paddle", "mxnet")
# what the cases call an option -> what the upstream's code calls it, where both differ
OPTION_WORDS = {
    "insightface_arcface_mxnet_margin_softmax": {"s": "loss_s", "m1": "loss_m1", "m2": "loss_m2", "m3": "loss_m3"},
    "insightface_mxnet_2018_train_softmax": {"s": "margin_s", "m": "margin_m", "a": "margin_a", "b": "margin_b"},
}


@dataclass(frozen=True)
class Case:
    """One recorded case: which head with which options, what it is fed, what came out."""

    upstream: str
    options: dict[str, Any]
    facts: dict[str, Any]  # of the file
    recorded: dict[str, Any]  # of the case

    def array(self, name: str) -> np.ndarray | None:
        value = self.recorded.get(name, self.facts.get(name))
        if value is None:
            return None
        if name.startswith("grad_") and self.facts["precision"].startswith("MXNet"):
            # SoftmaxOutput keeps 1 / rows in float32; our own run of MXNet takes that out as well
            rows = len(self.labels)
            return np.array(value, np.float64) / (in_float32(1 / rows) * rows)
        return np.array(value, np.float64)

    @property
    def single(self) -> bool:
        """True where the numbers come from a float32 run, or from one with float32 inside."""
        if self.recorded.get("dtype") == "float32":
            return True
        return "float32 inside" in self.facts["precision"] and self.options.get("loss_type") in ("Arc", "SV")

    @property
    def labels(self) -> np.ndarray:
        return np.array(self.recorded.get("labels", self.facts.get("labels")), np.int64)

    @property
    def centres(self) -> np.ndarray:
        """(C, D); the files hold the transpose as "kernel"."""
        kernel = self.array("kernel")
        return self.array("weight") if kernel is None else np.ascontiguousarray(kernel.T)

    @property
    def centre_gradient(self) -> np.ndarray | None:
        """As rows, from whichever layout the upstream has."""
        if "grad_weight" in self.recorded:
            return self.array("grad_weight")
        kernel = self.array("grad_kernel")
        return None if kernel is None else kernel.T


def number(text: str) -> Any:
    if text in ("True", "False"):
        return text == "True"
    return int(text) if re.fullmatch(r"-?\d+", text) else float(text)


def worded_options(upstream: str, text: str) -> dict[str, Any]:
    """Options from a case's title, such as "ArcFace s=6 m=0.5" or "loss_type 4: ArcFace m=0.5 easy_margin=1"."""
    pairs = re.findall(r"(\w+)\s*=\s*(-?[\d.]+(?:e-?\d+)?|True|False)", text)
    options = {name: number(value.rstrip(".")) for name, value in pairs}
    if found := re.search(r"loss_type (\d+)", text):
        options["loss_type"] = int(found[1])
    words = text.lower()
    if upstream == "build_your_own_face_model_metric":
        options["metric"] = "CosFace" if "cosface" in words else "ArcFace"
    if upstream == "insightface_arcface_torch_losses" and "combined" not in words:
        margin = options.pop("margin", options.pop("m", None))
        options |= {"m2": 0.0, "m3": margin} if "cosface" in words else {"m2": margin}
    if upstream == "insightface_arcface_mxnet_margin_softmax" and "m2" not in options:
        options["m2"] = 0.0
    return options


def upstream_name(path: Path, facts: dict[str, Any], case: dict[str, Any]) -> str:
    """The published head that a file is of: by its name, else by repository, path and the options' names."""
    if path.stem in UPSTREAMS:
        return path.stem
    found = upstream_of(facts["upstream"]["repository"], facts["upstream"]["path"])
    assert found, f"{path.name}: no head of {facts['upstream']['repository']} {facts['upstream']['path']} is written"
    words, options = path.stem.split("_"), case["options"]

    def fit(name: str) -> tuple[bool, int]:
        known = inspect.signature(UPSTREAMS[name].choose).parameters
        return isinstance(options, str) or options.keys() <= known.keys(), sum(w in words for w in name.split("_"))

    return max(found, key=fit)


def read_case(path: Path, index: int) -> Case:
    facts = json.loads(path.read_text(encoding="utf-8"))
    recorded = facts["cases"][index]
    upstream = upstream_name(path, facts, recorded)
    given = recorded["options"]
    options = worded_options(upstream, given) if isinstance(given, str) else dict(given)
    known = inspect.signature(UPSTREAMS[upstream].choose).parameters
    words = OPTION_WORDS.get(upstream, {})
    options = {words.get(name, name): value for name, value in options.items()}
    assert not options.keys() - known.keys(), f"{path.name} case {index}: options that {upstream} does not have"
    return Case(upstream, options, facts, recorded)


def kit_cases() -> list[Any]:
    cases = []
    for path in sorted((KIT / "heads").glob("*.json")):
        count = len(json.loads(path.read_text(encoding="utf-8"))["cases"])
        cases += [pytest.param(path, index, id=f"{path.stem}-{index}") for index in range(count)]
    return cases


def relative(value, expected) -> float:
    expected = np.asarray(expected, np.float64)
    value = np.asarray(value, np.float64).reshape(expected.shape)
    assert np.isfinite(value).all()
    return float(np.abs(value - expected).max() / np.abs(expected).max())


def run(framework, name, options, arrays, features, labels, dtype="float64"):
    """Logits, loss, gradients of features and centres (C, D), and the canonical state afterwards, by name."""
    return run_head(head_spec(name, **options), framework, arrays, features, labels, dtype)


def initial_averages(case: Case, index: int, path: Path) -> dict[str, np.ndarray]:
    """AdaFace's averages before a case: the start values, or what the step before left."""
    if "batch_mean_after" not in case.recorded:
        return {}
    before = read_case(path, index - 1).recorded if case.recorded["step"] else {}
    assert not case.recorded["step"] or before["options"] == case.recorded["options"]
    return {
        "batch_mean": np.array(before.get("batch_mean_after", [20.0])),
        "batch_std": np.array(before.get("batch_std_after", [100.0])),
    }


@pytest.mark.parametrize("framework", FRAMEWORKS)
@pytest.mark.parametrize(("path", "index"), kit_cases())
def test_head_equals_upstream(path, index, framework, request):
    request.getfixturevalue(f"{framework}_module")
    case = read_case(path, index)
    arrays = {"weight": case.centres, **initial_averages(case, index, path)}
    fed = (framework, case.upstream, case.options, arrays, case.array("features"), case.labels)
    result = run(*fed)
    low = run(*fed, dtype="float32") if case.single else None

    expected = {
        "logits": case.array("logits"),
        "loss": case.array("loss"),
        "d_features": case.array("grad_features"),
        "d_centres": case.centre_gradient,
        "batch_mean": case.array("batch_mean_after"),
        "batch_std": case.array("batch_std_after"),
    }
    recorded = {name: value for name, value in expected.items() if value is not None}
    assert recorded, "nothing was recorded that could be compared"
    for name, value in recorded.items():
        allowed = 1e-9
        if low is not None:
            # a loss is one number, which may be right by luck: it is made of the logits, whose floor counts as well
            behind = ("loss", "logits") if name == "loss" else (name,)
            allowed = 10 * max(relative(low[other], result[other]) for other in behind)
        assert relative(result[name], value) < allowed, name
    if low is None and "d_features" in recorded:
        # row by row as well: the greatest gradient of a batch hides the least
        for mine, theirs in zip(result["d_features"], recorded["d_features"], strict=True):
            assert np.abs(mine - theirs).max() < 1e-9 * np.abs(theirs).max() + 1e-13


@pytest.mark.parametrize("name", UPSTREAMS)
def test_a_file_of_another_name_finds_its_head(name, upstream_kit, tmp_path):
    """A head's file is known by the repository and path that it states, and by the names of its options."""
    known = upstream_kit / "heads" / f"{name}.json"
    if not known.is_file():
        pytest.skip(f"the kit has no {known.name}")
    other = tmp_path / f"{name}_more.json"
    other.write_bytes(known.read_bytes())
    assert read_case(other, 0).upstream == name


def random_case(seed=3, rows=9, classes=11, size=16):
    """Features of lengths about 4 .. 60, one near its class centre, one opposite to it, one without class.

    Eight rows have a class, so that the float32 in which MXNet keeps 1 / rows is exact.
    """
    random = np.random.Generator(np.random.PCG64(seed))
    centres = random.standard_normal((classes, size))
    features = random.standard_normal((rows, size)) * np.linspace(1, 15, rows)[:, None]
    labels = random.integers(0, classes, rows)
    features[1] = 3 * centres[labels[1]] + 0.02 * random.standard_normal(size)
    features[2] = -2 * centres[labels[2]] + 0.05 * random.standard_normal(size)
    labels[4] = -1
    arrays = {"weight": centres, "batch_mean": np.array([19.0]), "batch_std": np.array([11.0])}
    return arrays, features, labels


VARIANTS = [
    *((name, {}) for name in head_names()),
    ("arcface", {"gradient": "straight"}),
    ("arcface", {"formula": "sum"}),
    ("arcface", {"formula": "sum", "fallback": "linear", "sine_eps": 1e-6}),
    ("arcface", {"fallback": "easy", "margin": 0.3}),
    ("arcface", {"angle_clip": 1e-4, "clamp": 1e-4}),
    ("arcface", {"interclass_threshold": 0.2, "layout": "columns", "parameter": "kernel"}),
    ("cosface", {"interclass_threshold": 0.1, "scale": 30.0}),
    ("combined", {"m1": 0.9, "m2": 0.4, "m3": 0.15, "gradient": "straight"}),
    ("nsoftmax", {"length_eps": 0.5, "loss_clip": 64.0}),
    ("adaface", {"t_alpha": 1.0, "layout": "rows"}),
    ("ffc", {"loss_type": "Arc"}),
    ("ffc", {"loss_type": "SV", "hard_negatives": 5}),
]


@pytest.mark.parametrize(("name", "options"), VARIANTS, ids=lambda value: str(value).replace(" ", ""))
def test_three_frameworks_agree(name, options, torch_module, paddle_module, mxnet_module):
    arrays, features, labels = random_case()
    if name != "adaface":
        arrays = {"weight": arrays["weight"]}
    results = {f: run(f, name, options, arrays, features, labels) for f in FRAMEWORKS}
    assert results["torch"]["loss"] > 0.01
    for framework in ("paddle", "mxnet"):
        for what, value in results["torch"].items():
            assert relative(results[framework][what], value) < 1e-10, (framework, what)


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_gradient_of_the_margin_is_its_derivative_or_none(framework, request):
    """Against a difference quotient of the loss: the true gradient meets it, the straight one does not."""
    request.getfixturevalue(f"{framework}_module")
    arrays, features, labels = random_case()
    arrays = {"weight": arrays["weight"]}
    options = {"scale": 8.0}

    def quotient(row, column, step=1e-6):
        moved = [features.copy(), features.copy()]
        moved[0][row, column] += step
        moved[1][row, column] -= step
        high, low = (run(framework, "arcface", options, arrays, x, labels)["loss"] for x in moved)
        return (high - low) / (2 * step)

    true = run(framework, "arcface", options, arrays, features, labels)["d_features"]
    straight = run(framework, "arcface", options | {"gradient": "straight"}, arrays, features, labels)
    for row, column in ((0, 3), (5, 1), (2, 0)):
        wanted = quotient(row, column)
        assert abs(true[row, column] - wanted) < 1e-6 * abs(wanted) + 1e-9
        assert abs(straight["d_features"][row, column] - wanted) > 1e-2 * abs(wanted)


@pytest.mark.parametrize("framework", FRAMEWORKS)
@pytest.mark.parametrize(("name", "options"), [v for v in VARIANTS if v[0] != "softmax"], ids=str)
def test_no_overflow_on_or_opposite_to_a_centre(framework, name, options, request):
    """float32, features exactly on a centre and exactly opposite: everything stays finite."""
    request.getfixturevalue(f"{framework}_module")
    arrays, features, labels = random_case()
    features[0], features[3] = 5 * arrays["weight"][labels[0]], -5 * arrays["weight"][labels[3]]
    if name != "adaface":
        arrays = {"weight": arrays["weight"]}
    result = run(framework, name, options, arrays, features, labels, "float32")
    for what, value in result.items():
        assert np.isfinite(value).all(), what
    assert np.abs(result["d_features"]).max() < 1e4


@pytest.mark.parametrize("source", FRAMEWORKS)
@pytest.mark.parametrize("target", FRAMEWORKS)
@pytest.mark.parametrize("name", [*head_names(), "adaface_torch", "paddleclas_arcmargin"])
def test_state_goes_over_and_back(name, source, target):
    head = head_spec(name)
    random = np.random.Generator(np.random.PCG64(1))
    arrays = {"weight": random.standard_normal((7, 5)).astype(np.float32)}
    if head.kind == "adaface":
        arrays |= {"batch_mean": np.float32([3.5]), "batch_std": np.float32([7.25])}
    state = head_from_canonical(arrays, head, source)
    over = head_from_canonical(head_to_canonical(state, head, source), head, target)
    back = head_from_canonical(head_to_canonical(over, head, target), head, source)
    assert list(back) == list(state)
    for key, value in state.items():
        assert back[key].tobytes() == value.tobytes()
        assert back[key].shape == value.shape
    with pytest.raises(WeightsError, match="left over extra"):
        head_to_canonical(state | {"extra": np.zeros(1)}, head, source)
    with pytest.raises(WeightsError, match="missing"):
        head_to_canonical({}, head, source)


def test_names_of_the_state_are_the_upstreams(torch_module, paddle_module, upstream_kit):
    """The kit lists the state of some heads with its shapes."""
    checked = 0
    for path in sorted((upstream_kit / "heads").glob("*.json")):
        facts = json.loads(path.read_text(encoding="utf-8"))
        if "state" not in facts or path.stem not in UPSTREAMS:
            continue
        net = build_head(path.stem, UPSTREAMS[path.stem].source.framework, embedding_size=8, classes=7)
        assert [(name, list(value.shape)) for name, value in net.state_dict().items()] == list(facts["state"].items())
        checked += 1
    assert checked >= 6


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("arcfase", {}, "Did you mean arcface"),
        ("arcface", {"m": 0.5}, "has no option 'm'; it has"),
        ("arcface", {"margin": "0.5"}, "option margin cannot be '0.5'; it is m, a number"),
        ("adaface", {"t_alpha": 2}, "option t_alpha cannot be 2"),
        ("paddleclas_arcmargin", {"m": 0.5}, "has no option 'm'; it has margin, scale, easy_margin"),
        ("insightface_arcface_torch_losses", {"m1": 1.35}, "has no loss for m1 = 1.35"),
        ("insightface_mxnet_2018_train_softmax", {"loss_type": 1}, "loss_type 1"),
    ],
)
def test_bad_names_and_options_are_refused(name, options, message):
    with pytest.raises(UsageError, match=re.escape(message)):
        head_spec(name, **options)


def test_length_eps_of_the_mxnet_scripts_is_mxnets_default(mxnet_module):
    """The recorded features are too long to tell; features of length 1e-5 do, where it halves the square."""
    mx, short = mxnet_module, np.full((1, 16), 2.5e-6)
    theirs = mx.nd.L2Normalization(mx.nd.array(short, dtype="float64")).asnumpy()
    head = head_spec("insightface_arcface_mxnet_margin_softmax")
    net = build_head(head.upstream, "torch", embedding_size=16, classes=2).double()
    mine = net.unit(net.centres().new_tensor(short)).detach().numpy()
    np.testing.assert_allclose(mine, theirs, rtol=1e-6)
    assert abs(np.linalg.norm(mine) - 0.5**0.5) < 1e-6


def test_unknown_framework_is_refused():
    with pytest.raises(UsageError, match="no reference nets are written in 'jax'"):
        build_head("arcface", "jax", embedding_size=8, classes=7)


@pytest.mark.parametrize("framework", ["torch", "paddle"])
def test_without_labels_a_head_gives_cosines(framework, request):
    module = request.getfixturevalue(f"{framework}_module")
    net = build_head("adaface", framework, embedding_size=16, classes=11)
    features = np.ones((2, 16), np.float32)
    cosines = net(module.from_numpy(features) if framework == "torch" else module.to_tensor(features))
    assert cosines.shape[0] == 2
    assert float(abs(cosines.detach()).max()) <= 1
    assert float(net.batch_mean[0]) == 20.0


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_adaface_takes_the_lengths_that_a_net_took_off(framework, request):
    """(unit features, lengths) give the logits and averages of the raw features."""
    module = request.getfixturevalue(f"{framework}_module")
    arrays, features, labels = random_case()
    raw = run(framework, "adaface", {}, arrays, features, labels)
    norms = np.linalg.norm(features, axis=1, keepdims=True)
    unit = features / norms
    if framework == "mxnet":
        from facecvt.reference_models.heads.net_mxnet import adaface

        symbol = adaface(11, 16, norms=module.sym.Variable("norms"))
        given = {**arrays, "fc7_weight": arrays["weight"], "data": unit, "norms": norms, "softmax_label": labels}
        bound = {name: module.nd.array(given[name], dtype="float64") for name in symbol.list_arguments()}
        logits = symbol.bind(module.cpu(), bound, grad_req="null").forward()[1].asnumpy()
    else:
        net = build_head("adaface", framework, embedding_size=16, classes=11)
        head = head_spec("adaface")
        tensor = module.from_numpy if framework == "torch" else module.to_tensor
        state = {name: tensor(value) for name, value in head_from_canonical(arrays, head, framework).items()}
        if framework == "torch":
            net.double().load_state_dict(state)
        else:
            net.to(dtype="float64")
            net.set_state_dict(state)
        logits = net(tensor(unit), tensor(labels), tensor(norms)).detach().numpy()
    assert relative(logits, raw["logits"]) < 1e-12

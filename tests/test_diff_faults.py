"""A fault in one layer is found, at that layer; what proves nothing never agrees."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from facecvt.converters.passes.infer_shapes import ShapeMismatchError
from facecvt.parity_tests.diff.compare import diff
from facecvt.parity_tests.diff.difference import Difference
from facecvt.parity_tests.diff.model import open_side
from facecvt.parity_tests.support.small_net import Node, SmallNet, small_net

Fault = Callable[[SmallNet], None]


def attribute(output: str, name: str, value: object) -> Fault:
    """The fault of one wrong attribute."""
    return lambda net: net.node(output).attributes.__setitem__(name, value)


def weight(name: str, change: Callable[[np.ndarray], np.ndarray]) -> Fault:  # type: ignore[type-arg]
    """The fault of one wrong weight."""

    def edit(net: SmallNet) -> None:
        net.weights[name] = np.ascontiguousarray(change(net.weights[name])).astype(np.float32)

    return edit


def becomes_relu(net: SmallNet) -> None:
    node = net.node("act1")
    node.op, node.inputs = "Relu", node.inputs[:1]


def dropped_bias(net: SmallNet) -> None:
    net.node("conv2").inputs.pop()


def exchanged(net: SmallNet) -> None:
    net.weights["conv1_w"], net.weights["conv2_w"] = net.weights["conv2_w"], net.weights["conv1_w"]


def one_weight(array: np.ndarray) -> np.ndarray:  # type: ignore[type-arg]
    array = array.copy()
    array.flat[5] += 1e-3
    return array


def as_int8(array: np.ndarray) -> np.ndarray:  # type: ignore[type-arg]
    step = np.abs(array).max() / 127.0
    return np.rint(array / step) * step


def as_bfloat16(array: np.ndarray) -> np.ndarray:  # type: ignore[type-arg]
    bits = array.view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) & 0xFFFF0000).astype(np.uint32).view(np.float32)


def nhwc_rows(array: np.ndarray) -> np.ndarray:  # type: ignore[type-arg]
    return array.reshape(-1, 8, 4, 4).transpose(0, 2, 3, 1).reshape(array.shape)


def channels_last(output: str, back: tuple[int, ...] = (0, 3, 1, 2), fault: Fault = lambda net: None) -> Fault:
    """A layer between two Transposes of its data, as exporters of channels-last frameworks write it, and its fault."""

    def edit(net: SmallNet) -> None:
        place = net.nodes.index(net.node(output))
        read = net.nodes[place].inputs[0]
        net.nodes.insert(place, Node("Transpose", [f"{output}_nhwc"], f"{output}_nchw", {"perm": list(back)}))
        net.nodes.insert(place, Node("Transpose", [read], f"{output}_nhwc", {"perm": [0, 2, 3, 1]}))
        net.node(output).inputs[0] = f"{output}_nchw"
        fault(net)

    return edit


def kernel_turned(output: str, perm: tuple[int, ...]) -> Fault:
    """A kernel that is stored as NHWC, and turned back before it is used."""

    def edit(net: SmallNet) -> None:
        net.weights[f"{output}_w"] = np.ascontiguousarray(net.weights[f"{output}_w"].transpose(0, 2, 3, 1))
        net.node(output).inputs[1] = f"{output}_turned"
        turned = Node("Transpose", [f"{output}_w"], f"{output}_turned", {"perm": list(perm)})
        net.nodes.insert(net.nodes.index(net.node(output)), turned)

    return edit


def turned_back_wrongly(net: SmallNet) -> None:
    """What a convolution gives goes to NHWC and comes back with height and width exchanged."""
    place = net.nodes.index(net.node("conv1"))
    net.nodes[place].output = "conv1_raw"
    net.nodes.insert(place + 1, Node("Transpose", ["conv1_raw"], "conv1_nhwc", {"perm": [0, 2, 3, 1]}))
    net.nodes.insert(place + 2, Node("Transpose", ["conv1_nhwc"], "conv1", {"perm": [0, 3, 2, 1]}))


# name -> fault, the layer that it is in, the cause to be named
FAULTS: dict[str, tuple[Fault, str, str]] = {
    "eps 1e-5": (attribute("bn2", "epsilon", 1e-5), "bn2", "epsilon"),
    "eps 1e-3": (attribute("bn0", "epsilon", 1e-3), "bn0", "epsilon"),
    "momentum written into eps": (attribute("bn3", "epsilon", 0.9), "bn3", "epsilon"),
    "fix_gamma": (weight("bn1_gamma", np.ones_like), "bn1", "gamma is 1 (fix_gamma)"),
    "biased variance": (weight("bn4_var", lambda v: v * (64 / 63)), "bn4", "variance off by one factor"),
    "dropped shift": (weight("bn0_beta", np.zeros_like), "bn0", "dropped shift"),
    "PReLU read as ReLU": (becomes_relu, "act1", "PRelu read as Relu"),
    "shared slope": (weight("act0_slope", lambda s: np.full_like(s, s[0])), "act0", "one slope for all channels"),
    "flipped kernel": (weight("conv1_w", lambda w: w[:, :, ::-1, ::-1]), "conv1", "flipped kernel"),
    "height and width exchanged": (
        weight("conv2_w", lambda w: w.swapaxes(2, 3)),
        "conv2",
        "kernel height and width exchanged",
    ),
    "in and out exchanged": (
        weight("conv1_w", lambda w: w.swapaxes(0, 1)),
        "conv1",
        "kernel inputs and outputs exchanged",
    ),
    "RGB for BGR": (weight("conv0_w", lambda w: w[:, ::-1]), "conv0", "RGB and BGR exchanged"),
    "1/127.5 for 1/128": (weight("conv0_w", lambda w: w * (128 / 127.5)), "conv0", "weights off by one factor"),
    "transposed FC": (weight("fc_w", lambda w: w.T), "fc", "transposed matrix"),
    "FC rows of NHWC": (weight("fc_w", nhwc_rows), "fc", "matrix for NHWC-flattened features"),
    "dropped bias": (dropped_bias, "conv2", "dropped bias"),
    "fp16 weights": (weight("conv1_w", lambda w: w.astype(np.float16)), "conv1", "weights rounded to fp16"),
    "bf16 weights": (weight("fc_w", as_bfloat16), "fc", "weights rounded to bf16"),
    "int8 weights": (weight("conv2_w", as_int8), "conv2", "weights rounded to int8"),
    "one weight": (weight("conv2_w", one_weight), "conv2", "1 weight changed"),
    "weights exchanged": (exchanged, "conv1", "weights of another layer"),
    "pads on the other side": (attribute("conv0", "pads", [0, 0, 2, 2]), "conv0", "pads"),
    "average counts the pad": (attribute("pool1", "count_include_pad", 1), "pool1", "count_include_pad"),
    "max pool read as average": (
        lambda net: setattr(net.node("pool0"), "op", "AveragePool"),
        "pool0",
        "MaxPool read as AveragePool",
    ),
    "NHWC, its kernel flipped": (
        channels_last("conv1", fault=weight("conv1_w", lambda w: w[:, :, ::-1, ::-1])),
        "conv1",
        "flipped kernel",
    ),
    "NHWC, pads on the other side": (
        channels_last("conv1", fault=attribute("conv1", "pads", [0, 0, 2, 2])),
        "conv1",
        "pads",
    ),
    "NHWC, dropped bias": (channels_last("conv2", fault=dropped_bias), "conv2", "dropped bias"),
    "NHWC, eps 1e-3": (channels_last("bn2", fault=attribute("bn2", "epsilon", 1e-3)), "bn2", "epsilon"),
    "NHWC, turned back wrongly": (channels_last("conv1", back=(0, 3, 2, 1)), "conv1", "axes in another order"),
    "NHWC, its result turned back wrongly": (turned_back_wrongly, "bn2", "axes in another order"),
    "NHWC kernel turned wrongly": (kernel_turned("conv1", (0, 3, 2, 1)), "conv1", "kernel height and width exchanged"),
    "NHWC depthwise kernel turned wrongly": (
        kernel_turned("conv3", (0, 3, 2, 1)),
        "conv3",
        "kernel height and width exchanged",
    ),
    "NHWC kernel as it lies": (
        weight("conv1_w", lambda w: np.ascontiguousarray(w.transpose(0, 2, 3, 1)).reshape(w.shape)),
        "conv1",
        "weights of another layout",
    ),
    "NHWC, not turned back": (
        lambda net: (channels_last("conv1")(net), net.remove("conv1_nchw"))[0],
        "conv1",
        "added: conv1_nhwc",
    ),
    "dropped residual": (lambda net: net.remove("sum"), "conv3", "left out: sum"),
    "dropped ReLU": (lambda net: net.remove("act2"), "pool0", "left out: act2"),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("faults")
    small_net().write(folder / "a.onnx")
    return folder


def with_fault(folder: Path, edit: Fault, **options: object) -> Difference:
    """The net against itself with a fault."""
    net = small_net()
    edit(net)
    return diff(folder / "a.onnx", net.write(folder / "b.onnx"), **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_found_in_its_layer(folder: Path, name: str) -> None:
    edit, layer, cause = FAULTS[name]
    found = with_fault(folder, edit)
    assert found.verdict == "differ"
    assert found.exit_code == 1
    assert found.fault is not None
    assert found.fault.a == layer
    assert found.diverges_at == (cause.removeprefix("left out: ") if cause.startswith("left out") else layer)
    assert found.verification.coverage.parametric >= 0.9
    assert found.cause is not None
    assert found.cause.name == cause
    assert found.cause.before == pytest.approx(found.fault.own.rel_rmse, rel=1e-2)
    assert found.cause.after < 10 * found.fault.floor < found.cause.before


@pytest.mark.parametrize("seed", range(6))
def test_no_false_alarm(folder: Path, seed: int) -> None:
    found = diff(
        small_net(seed).write(folder / "c.onnx"), small_net(seed).write(folder / "d.onnx"), seed=seed, isolate=True
    )
    assert found.verdict == "agree", found.verification.reasons
    assert found.fault is None
    assert found.verification.coverage.taps == 1.0


def test_a_later_layer_is_not_blamed(folder: Path) -> None:
    """Behind the fault every value is off, yet by itself every other layer is right."""
    found = with_fault(folder, attribute("bn0", "epsilon", 1e-3))
    off = {layer.name for layer in found.verification.layers if layer.verdict == "differ"}
    wrong = {name for name, own in found.own.items() if own.rel_rmse > 1e-5}
    assert len(off) > 10
    assert wrong == {"bn0"}


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_no_number_never_agrees(folder: Path, value: float) -> None:
    def spoil(net: SmallNet) -> None:
        net.weights["fc_b"][3] = value

    found = with_fault(folder, spoil)
    assert found.verdict == "differ"
    assert "NaN or Inf" in found.verification.outputs[0].reason
    both = small_net()
    spoil(both)
    found = diff(both.write(folder / "n.onnx"), folder / "n.onnx")
    assert found.verdict == "not_comparable"
    assert not found


def test_a_constant_output_proves_nothing(folder: Path) -> None:
    net = small_net()
    net.weights["embedding_gamma"] = np.zeros_like(net.weights["embedding_gamma"])
    net.weights["embedding_beta"] = np.ones_like(net.weights["embedding_beta"])
    found = diff(net.write(folder / "k.onnx"), folder / "k.onnx")
    assert found.verdict == "not_comparable"
    assert with_fault(folder, lambda b: b.weights.update(net.weights)).verdict == "differ"


def test_a_missing_output_differs(folder: Path) -> None:
    two = small_net()
    two.outputs.append("fc")
    found = diff(two.write(folder / "two.onnx"), folder / "a.onnx")
    assert found.verdict == "differ"
    assert "the target has 1 output(s), the source 2" in found.verification.outputs[1].reason
    found = diff(folder / "a.onnx", folder / "two.onnx")
    assert found.verdict == "differ"
    assert "an output 'fc' that the source does not have" in found.verification.outputs[1].reason


def test_two_outputs_exchanged_differ(folder: Path) -> None:
    one, other = small_net(), small_net()
    one.outputs, other.outputs = ["embedding", "fc"], ["fc", "embedding"]
    found = diff(one.write(folder / "one.onnx"), other.write(folder / "other.onnx"))
    assert found.verdict == "differ"
    assert [output.verdict for output in found.verification.outputs] == ["differ", "differ"]


def test_a_model_without_weights_is_not_comparable(folder: Path) -> None:
    """No tap can be aligned where there is no weight to tell it by, not even against itself."""
    net = SmallNet([Node("Relu", ["data"], "half"), Node("Sigmoid", ["half"], "embedding")])
    found = diff(net.write(folder / "w.onnx"), folder / "w.onnx")
    assert (found.verdict, found.exit_code) == ("not_comparable", 5)


@pytest.mark.parametrize(
    ("edit", "layer", "cause", "misfit"),
    [
        (attribute("conv2", "pads", [0, 0, 0, 0]), "conv2", "pads", "Add 'node_sum': sizes 6 and 8 do not fit"),
        (
            lambda net: net.remove("pool0"),
            "pool1",
            "left out: pool0",
            "Gemm 'node_fc': 512 features meet a weight for 128",
        ),
    ],
)
def test_sizes_that_do_not_fit_each_other(folder: Path, edit: Fault, layer: str, cause: str, misfit: str) -> None:
    """No runtime opens such a file and no conversion takes it; which layer is wrong, and why, is told all the same."""
    found = with_fault(folder, edit)
    assert (found.verdict, found.exit_code) == ("differ", 1)
    assert found.fault is not None
    assert (found.fault.a, found.fault.own.rel_rmse) == (layer, np.inf)
    assert found.cause is not None
    assert (found.cause.name, found.cause.after) == (cause, 0.0)
    (warning,) = found.verification.warnings
    assert warning.startswith(f"in B sizes do not fit each other: {misfit}")
    with pytest.raises(ShapeMismatchError, match=misfit), open_side(folder / "b.onnx"):
        pass
    assert diff(folder / "a.onnx", folder / "a.onnx").verification.warnings == ()

"""Hard activations in graphs, in every spelling that sources have for them, and what is nearly one."""

from __future__ import annotations

import numpy as np
import pytest

from facecvt.converters.graph import Builder
from facecvt.converters.onnx_ir_lazy import ir
from facecvt.parity_tests.proven import convert_and_verify
from facecvt.parity_tests.verify import verify
from facecvt.reference_models.graph_activations import bounds, hard_sigmoid, hard_swish
from facecvt.reference_models.graph_skeleton import from_graph
from facecvt.reference_models.layers import LayerList
from facecvt.reference_models.materialise import write_reference
from facecvt.reference_models.public_class import contained_values
from facecvt.reference_models.skeleton import from_layers, pair


def number(b, value):
    return b.const(value, np.float32)


def clipped(b, x, high=1.0):
    return b.emit("Clip", [x, number(b, 0.0), number(b, high)])


def relu6_of_shifted(b, x, shift=3.0, high=6.0):
    return b.emit("Clip", [b.emit("Add", [number(b, shift), x]), number(b, 0.0), number(b, high)])


SWISHES = {
    "operator": lambda b, x: b.emit("HardSwish", [x]),
    "gate": lambda b, x: b.emit("Mul", [b.emit("HardSigmoid", [x], alpha=1 / 6, beta=0.5), x]),
    "paddle's sixth": lambda b, x: b.emit("Mul", [x, b.emit("HardSigmoid", [x], alpha=0.1666667, beta=0.5)]),
    "product divided": lambda b, x: b.emit("Div", [b.emit("Mul", [x, relu6_of_shifted(b, x)]), number(b, 6.0)]),
    "product times a sixth": lambda b, x: b.emit("Mul", [number(b, 1 / 6), b.emit("Mul", [x, relu6_of_shifted(b, x)])]),
    "gate divided": lambda b, x: b.emit("Mul", [x, b.emit("Div", [relu6_of_shifted(b, x), number(b, 6.0)])]),
}
OTHERS = {
    "slope 0.2": lambda b, x: b.emit("Mul", [x, b.emit("HardSigmoid", [x], alpha=0.2, beta=0.5)]),
    "shift 2": lambda b, x: b.emit("Div", [b.emit("Mul", [x, relu6_of_shifted(b, x, 2.0)]), number(b, 6.0)]),
    "bound 5": lambda b, x: b.emit("Div", [b.emit("Mul", [x, relu6_of_shifted(b, x, 3.0, 5.0)]), number(b, 6.0)]),
    "a fifth": lambda b, x: b.emit("Div", [b.emit("Mul", [x, relu6_of_shifted(b, x)]), number(b, 5.0)]),
    "divided the other way": lambda b, x: b.emit("Div", [number(b, 6.0), b.emit("Mul", [x, relu6_of_shifted(b, x)])]),
    "gate of another": lambda b, x: b.emit(
        "Mul", [x, b.emit("HardSigmoid", [b.emit("Relu", [x])], alpha=1 / 6, beta=0.5)]
    ),
    "not divided": lambda b, x: b.emit("Mul", [x, relu6_of_shifted(b, x)]),
}


def graph_of(spell):
    """A graph with a convolution, so that the activation does not count as preprocessing, and what ``spell`` adds."""
    b = Builder("onnx", "made")
    x = b.input("x", ["n", 3, 8, 8], ir.DataType.FLOAT)
    b.begin("", "c")
    y = b.emit("Conv", [x, b.const(np.zeros((4, 3, 1, 1)), np.float32)], kernel_shape=[1, 1])
    b.output(spell(b, y), "out")
    return b.graph, y


def listed(append):
    net = LayerList()
    append(net, net.conv("c", "input", (3, 4), 1))
    return from_layers(net.layers)


@pytest.mark.parametrize("how", SWISHES)
def test_hard_swish_is_known_in_every_spelling(how):
    graph, x = graph_of(SWISHES[how])
    assert hard_swish(graph.outputs[0]) is x
    skeleton = from_graph(graph)
    assert skeleton is not None
    assert pair(listed(lambda net, y: net.elementwise("a", "HardSwish", y)), skeleton) is not None


@pytest.mark.parametrize("how", OTHERS)
def test_what_is_nearly_hard_swish_is_not(how):
    graph, _ = graph_of(OTHERS[how])
    assert hard_swish(graph.outputs[0]) is None
    skeleton = from_graph(graph)
    assert skeleton is not None
    assert pair(listed(lambda net, y: net.elementwise("a", "HardSwish", y)), skeleton) is None


@pytest.mark.parametrize(
    ("spell", "alpha", "same"),
    [
        (lambda b, x: b.emit("HardSigmoid", [x], alpha=1 / 6, beta=0.5), 1 / 6, True),
        (lambda b, x: b.emit("Mul", [relu6_of_shifted(b, x), number(b, 1 / 6)]), 1 / 6, True),
        (lambda b, x: b.emit("HardSigmoid", [x]), 0.2, True),
        (lambda b, x: b.emit("HardSigmoid", [x]), 1 / 6, False),
        (lambda b, x: b.emit("HardSigmoid", [x], alpha=1 / 6, beta=0.6), 1 / 6, False),
        (lambda b, x: clipped(b, b.emit("Add", [b.emit("Mul", [x, number(b, 0.2)]), number(b, 0.5)])), 0.2, True),
        (lambda b, x: clipped(b, b.emit("Add", [number(b, 0.5), b.emit("Mul", [number(b, 0.2), x])])), 0.2, True),
        (lambda b, x: clipped(b, b.emit("Add", [b.emit("Mul", [x, number(b, 0.3)]), number(b, 0.5)])), 0.2, False),
        (lambda b, x: clipped(b, b.emit("Mul", [b.emit("Add", [x, number(b, 0.5)]), number(b, 0.2)])), 0.2, False),
        (lambda b, x: clipped(b, b.emit("Add", [b.emit("Mul", [x, number(b, 0.2)]), number(b, 0.5)]), 6.0), 0.2, False),
    ],
)
def test_slope_and_offset_of_hard_sigmoid_count(spell, alpha, same):
    graph, x = graph_of(spell)
    skeleton = from_graph(graph)
    assert skeleton is not None
    ours = listed(lambda net, y: net.elementwise("a", "HardSigmoid", y, alpha=alpha, beta=0.5))
    assert (pair(ours, skeleton) is not None) == same
    if alpha == 1 / 6:
        assert (hard_sigmoid(graph.outputs[0]) is x) == same


@pytest.mark.parametrize(("low", "high", "same"), [(0.0, 6.0, True), (0.0, 5.0, False), (None, 6.0, False)])
def test_bounds_of_relu6_count(low, high, same):
    graph, _ = graph_of(lambda b, x: b.emit("Clip", [x, None if low is None else number(b, low), number(b, high)]))
    assert bounds(graph.outputs[0].producer()) == {"max": high} | ({} if low is None else {"min": low})
    skeleton = from_graph(graph)
    assert skeleton is not None
    assert (pair(listed(lambda net, y: net.relu6("a", y)), skeleton) is not None) == same


@pytest.mark.parametrize("spelling", [name for name in SWISHES if name != "operator"])
def test_the_steps_of_an_activation_are_contained_in_it(spelling):
    """All of them in the value that the module puts out; what two modules use, or a layer computes, is in neither."""
    graph, y = graph_of(SWISHES[spelling])
    names = [node.outputs[0].name for node in graph.body]
    convolved, steps, held = y.name, names[1:-1], names[-1]
    assert steps
    assert contained_values(graph, {convolved, held}, set()) == dict.fromkeys(steps, held)
    assert contained_values(graph, {held}, {convolved}) == dict.fromkeys(steps, held), "a layer is no step"
    assert contained_values(graph, {convolved, held}, {steps[-1]}).get(steps[-1]) is None
    assert contained_values(graph, {convolved}, set()) == {}, "nothing is compared that holds them"


def test_what_two_modules_take_is_contained_in_neither():
    def spell(b, x):
        shared = b.emit("Add", [x, number(b, 3.0)])
        left, right = b.emit("Sigmoid", [shared]), b.emit("Tanh", [shared])
        return b.emit("Concat", [left, right], axis=1)

    graph, y = graph_of(spell)
    _, _, left, right, joined = (node.outputs[0].name for node in graph.body)
    assert contained_values(graph, {y.name, left, right, joined}, set()) == {}
    assert contained_values(graph, {y.name, joined}, set())[left] == joined
    widened, _ = graph_of(lambda b, x: b.emit("Tanh", [b.emit("Add", [x, b.const(np.ones((4, 1, 1)), np.float32)])]))
    assert contained_values(widened, {widened.outputs[0].name}, set()) == {}, "a bias of its own is a weight"


def test_mobilenet_v3_from_mxnet_is_compared_whole(tmp_path):
    """MXNet spells hard swish out in four operators; the class's one module holds them, and a wrong one is seen."""
    state, symbol = write_reference("mobilenet_v3_small", "torch", tmp_path / "net"), tmp_path / "symbol"
    convert_and_verify(str(state), "torch", "mxnet", output=symbol, verify=False)
    made = convert_and_verify(str(symbol), "mxnet", "torch", output=tmp_path / "out", verify=False).conversion
    found = verify(made, batches=(1,), kinds=("normal",))
    assert found.verdict == "agree", found.reasons
    assert (found.coverage.parametric, found.coverage.taps) == (1.0, 1.0)
    steps = [name for name in made.graph.absorbed if name.endswith("_clip_output")]
    assert len(steps) == 19, "one for each hard swish"
    model = tmp_path / "out" / "model.py"
    text = model.read_text(encoding="utf-8")
    assert "nn.Hardswish" in text
    model.write_text(text.replace("nn.Hardswish", "nn.Hardtanh"), encoding="utf-8")
    assert verify(made, batches=(1,), kinds=("normal",)).verdict == "differ"

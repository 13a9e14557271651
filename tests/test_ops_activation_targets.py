"""Activations of every source against both targets: defaults, constants and every legal form of a PReLU slope."""

import numpy as np
import pytest

from facecvt.converters.errors import AttributeValueError
from facecvt.converters.formats.mxnet_symbol import MxnetNode
from facecvt.converters.graph import constant, name_of
from facecvt.converters.ops.registry import table
from facecvt.parity_tests.support.single_op import (
    mxnet_sample,
    onnx_sample,
    paddle_op_sample,
    paddle_sample,
    random_array,
)
from facecvt.parity_tests.support.single_op_targets import hold_targets, read_sample

FAMILIES = ("activation", "prelu", "clipped")
# every piece of every function, the joints between pieces, and numbers far out
X = np.concatenate(
    [np.linspace(-9, 9, 73), np.array([-40.0, -3.0, -2.5, -1e-3, 0.0, 1e-3, 2.5, 3.0, 6.0, 25.0, 40.0])]
).astype(np.float32)[None, :, None, None].repeat(2, 0)  # fmt: skip
IMAGE = random_array(2, 4, 3, 4)  # as wide as it has channels: a slope along the wrong axis still fits
FLAT = random_array(3, 4)
SLOPE = random_array(4, low=0.1, high=0.9)
ONE = random_array(1, low=0.1, high=0.9)

# id -> (operator, attributes as they stand in the file)
MXNET = {
    **{
        f"activation-{kind}": ("Activation", {"act_type": kind})
        for kind in ("relu", "sigmoid", "tanh", "softrelu", "softsign")
    },
    **{op: (op, {}) for op in ("relu", "sigmoid", "tanh", "softsign", "hard_sigmoid")},
    "leaky-defaults": ("LeakyReLU", {}),
    "leaky": ("LeakyReLU", {"act_type": "leaky", "slope": 0.1}),
    "elu-defaults": ("LeakyReLU", {"act_type": "elu"}),
    "elu": ("LeakyReLU", {"act_type": "elu", "slope": 0.7}),
    "selu": ("LeakyReLU", {"act_type": "selu"}),
    "gelu": ("LeakyReLU", {"act_type": "gelu"}),
    "rrelu-defaults": ("LeakyReLU", {"act_type": "rrelu"}),
    "rrelu": ("LeakyReLU", {"act_type": "rrelu", "lower_bound": 0.2, "upper_bound": 0.5}),
    "hard_sigmoid-constants": ("hard_sigmoid", {"alpha": 0.3, "beta": 0.4}),
    "clip": ("clip", {"a_min": -1.5, "a_max": 2}),
    "clip-relu6": ("clip", {"a_min": 0, "a_max": 6}),
}


@pytest.mark.parametrize("case", MXNET)
def test_mxnet(case, tmp_path):
    op, attrs = MXNET[case]
    hold_targets(mxnet_sample(tmp_path, op, {"data": X}, attrs), tmp_path, pointwise=True)


# id -> (data, slope)
MXNET_PRELU = {
    "channels": (IMAGE, SLOPE),
    "shared": (IMAGE, ONE),
    "features": (FLAT, SLOPE),
    "line": (random_array(2, 4, 4), SLOPE),
    "features-shared": (FLAT, ONE),
}


@pytest.mark.parametrize("case", MXNET_PRELU)
def test_mxnet_prelu(case, tmp_path):
    data, slope = MXNET_PRELU[case]
    sample = mxnet_sample(tmp_path, "LeakyReLU", {"data": data, "gamma": slope}, {"act_type": "prelu", "slope": 0.25})
    graph = hold_targets(sample, tmp_path)
    (node,) = graph.body
    assert name_of(node.inputs[1]) == "gamma"


def test_mxnet_prelu_slope_stays_a_parameter(tmp_path):
    """Pitfall 2: (C,1,1) in the graph, (C,) in PyTorch's own layer, one name everywhere."""
    sample = mxnet_sample(tmp_path, "LeakyReLU", {"data": IMAGE, "gamma": SLOPE}, {"act_type": "prelu"})
    graph = hold_targets(sample, tmp_path, opsets=())
    (node,) = graph.body
    assert constant(node.inputs[1]).shape == (4, 1, 1)
    import torch

    state = torch.load(tmp_path / "torch" / "weights.pth", weights_only=True)
    assert {name: tuple(tensor.shape) for name, tensor in state.items()} == {"op.weight": (4,)}
    assert "nn.PReLU(4)" in (tmp_path / "torch" / "model.py").read_text()


def test_mxnet_prelu_slope_of_two_layers(tmp_path):
    """One slope behind data of different rank: each use gets its own shape."""
    sample = mxnet_sample(tmp_path, "LeakyReLU", {"data": IMAGE, "gamma": SLOPE}, {"act_type": "prelu"})
    nodes = sample.model.symbol.nodes
    nodes.append(MxnetNode("Pooling", "pool", [(2, 0)], {"global_pool": "True", "kernel": "(1,1)", "pool_type": "avg"}))
    nodes.append(MxnetNode("Flatten", "flat", [(3, 0)], {}))
    nodes.append(MxnetNode("LeakyReLU", "again", [(4, 0), (1, 0)], {"act_type": "prelu"}))
    sample.model.symbol.heads[0] = (5, 0)
    pooled = sample.expected[0].mean(axis=(2, 3))
    sample.expected = [np.where(pooled >= 0, pooled, pooled * SLOPE)]
    hold_targets(sample, tmp_path)


# id -> (operator in the file, arrays, expression)
PADDLE = {
    **{
        name: (name, {"x": X}, f"F.{name}(x)")
        for name in ("relu", "sigmoid", "softsign", "leaky_relu", "elu", "selu", "gelu", "silu", "mish", "softplus")
    },
    "tanh": ("tanh", {"x": X}, "paddle.tanh(x)"),
    "relu6": ("relu6", {"x": X}, "F.relu6(x)"),
    "leaky_relu-slope": ("leaky_relu", {"x": X}, "F.leaky_relu(x, 0.3)"),
    "elu-alpha": ("elu", {"x": X}, "F.elu(x, 0.3)"),
    "selu-constants": ("selu", {"x": X}, "F.selu(x, scale=2.0, alpha=1.5)"),
    "gelu-tanh": ("gelu", {"x": X}, "F.gelu(x, approximate=True)"),
    "softplus-beta": ("softplus", {"x": X}, "F.softplus(x, beta=2.0, threshold=30.0)"),
    "swish": ("swish", {"x": X}, "F.swish(x)"),
    "clip": ("clip", {"x": X}, "paddle.clip(x, -1.5, 2.0)"),
    "prelu-shared": ("prelu", {"x": IMAGE, "a": ONE}, "F.prelu(x, a)"),
    "prelu-channels": ("prelu", {"x": IMAGE, "a": SLOPE}, "F.prelu(x, a)"),
    "prelu-features": ("prelu", {"x": FLAT, "a": SLOPE}, "F.prelu(x, a)"),
}
# functions that Paddle 3.3.1 no longer writes as legacy programs; PADDLE_LEGACY has their operators
PIR_ONLY = ("sigmoid", "tanh", "gelu", "softplus")
# one function, two operator names
PADDLE_BY_DIALECT = {
    "hard_sigmoid": ({"legacy": "hard_sigmoid", "pir": "hardsigmoid"}, "F.hardsigmoid(x)"),
    "hard_sigmoid-constants": (
        {"legacy": "hard_sigmoid", "pir": "hardsigmoid"},
        "F.hardsigmoid(x, slope=0.3, offset=0.4)",
    ),
    "hard_swish": ({"legacy": "hard_swish", "pir": "hardswish"}, "F.hardswish(x)"),
    "hardtanh": ({"legacy": "brelu", "pir": "hardtanh"}, "F.hardtanh(x)"),
    "hardtanh-bounds": ({"legacy": "brelu", "pir": "hardtanh"}, "F.hardtanh(x, -0.5, 0.75)"),
    "log_sigmoid": ({"legacy": "logsigmoid", "pir": "logsigmoid"}, "F.log_sigmoid(x)"),
}
# id -> (operator, attributes): a legacy operator with the defaults of its registration
PADDLE_LEGACY = {
    "hard_sigmoid": ("hard_sigmoid", {}),
    "hard_swish": ("hard_swish", {"threshold": 6.0, "scale": 6.0, "offset": 3.0}),
    "leaky_relu": ("leaky_relu", {}),
    "relu6": ("relu6", {"threshold": 6.0}),
    "swish": ("swish", {"beta": 1.0}),
    "gelu": ("gelu", {}),
    "gelu-tanh": ("gelu", {"approximate": True}),
    "sigmoid": ("sigmoid", {}),
    "tanh": ("tanh", {}),
    "softplus": ("softplus", {}),
    "softplus-beta": ("softplus", {"beta": 2.0, "threshold": 30.0}),
    "clip": ("clip", {"min": -2.0, "max": 3.0}),
}


@pytest.mark.parametrize(
    ("case", "dialect"),
    [
        (case, dialect)
        for case in PADDLE
        for dialect in ("legacy", "pir")
        if dialect == "pir" or PADDLE[case][0] not in PIR_ONLY
    ],
)
def test_paddle(case, dialect, tmp_path):
    op, arrays, expression = PADDLE[case]
    sample = paddle_sample(tmp_path, dialect, arrays, expression)
    assert op in [node.type for node in sample.model.program.ops]
    hold_targets(sample, tmp_path, pointwise=True)


@pytest.mark.parametrize("dialect", ["legacy", "pir"])
@pytest.mark.parametrize("case", PADDLE_BY_DIALECT)
def test_paddle_by_dialect(case, dialect, tmp_path):
    ops, expression = PADDLE_BY_DIALECT[case]
    sample = paddle_sample(tmp_path, dialect, {"x": X}, expression)
    assert ops[dialect] in [node.type for node in sample.model.program.ops]
    hold_targets(sample, tmp_path, pointwise=True)


@pytest.mark.parametrize("case", PADDLE_LEGACY)
def test_paddle_legacy(case, tmp_path):
    op, attrs = PADDLE_LEGACY[case]
    hold_targets(paddle_op_sample(tmp_path, op, {"x": X}, {"X": ["x"]}, attrs), tmp_path, pointwise=True)


@pytest.mark.parametrize(
    "op",
    ["hard_sigmoid", "hard_swish", "leaky_relu", "elu", "selu", "gelu", "swish", "mish", "softplus", "relu6", "brelu"],
)
def test_paddle_defaults_of_the_registration(op, tmp_path):
    """Paddle writes them all; a program that does not say them means them."""
    sample = paddle_op_sample(tmp_path, op, {"x": X}, {"X": ["x"]})
    sample.model.program.ops[0].attrs.clear()
    hold_targets(sample, tmp_path, opsets=(13,), pointwise=True)


# id -> (mode, slope)
PADDLE_PRELU = {
    "all": ("all", ONE),
    "channel": ("channel", SLOPE),
    "channel-wide": ("channel", SLOPE.reshape(1, 4, 1, 1)),
    "element": ("element", random_array(1, 4, 3, 4, low=0.1, high=0.9)),
}


@pytest.mark.parametrize("case", PADDLE_PRELU)
def test_paddle_prelu_mode(case, tmp_path):
    mode, slope = PADDLE_PRELU[case]
    slots, attrs = {"X": ["x"], "Alpha": ["a"]}, {"mode": mode, "data_format": "NCHW"}
    hold_targets(paddle_op_sample(tmp_path, "prelu", {"x": IMAGE, "a": slope}, slots, attrs), tmp_path)


def test_paddle_clip_by_inputs(tmp_path):
    slots = {"X": ["x"], "Min": ["low"], "Max": ["high"]}
    arrays = {"x": X, "low": np.array([-2.0], np.float32), "high": np.array([1.0], np.float32)}
    hold_targets(paddle_op_sample(tmp_path, "clip", arrays, slots, {"min": -9.0, "max": 9.0}), tmp_path)


@pytest.mark.parametrize("dialect", ["legacy", "pir"])
def test_paddle_clip_by_computed_bounds(dialect, tmp_path):
    """Vectors of one number that are fed; what clips in PyTorch and ONNX are numbers without axes."""
    arrays = {"x": X, "low": np.float32([-1.0]), "high": np.float32([0.5])}
    sample = paddle_sample(tmp_path, dialect, arrays, "paddle.clip(x, low, high)", data=("x", "low", "high"))
    hold_targets(sample, tmp_path)


# id -> (operator, opsets of the source, attributes)
ONNX = {
    **{op: (op, (7, 14), {}) for op in ("Relu", "Sigmoid", "Tanh", "Softplus", "Softsign", "LeakyRelu", "Elu", "Selu")},
    "LeakyRelu-alpha": ("LeakyRelu", (7, 16), {"alpha": 0.3}),
    "Elu-alpha": ("Elu", (7,), {"alpha": 0.3}),
    "Selu-constants": ("Selu", (7,), {"alpha": 1.5, "gamma": 2.0}),
    "Gelu": ("Gelu", (20, 21), {}),
    "Gelu-tanh": ("Gelu", (20,), {"approximate": "tanh"}),
    "Mish": ("Mish", (18, 21), {}),
    "HardSigmoid": ("HardSigmoid", (7, 21), {}),
    "HardSigmoid-constants": ("HardSigmoid", (7,), {"alpha": 0.3, "beta": 0.4}),
    "HardSigmoid-sixth": ("HardSigmoid", (11,), {"alpha": 1 / 6, "beta": 0.5}),
    "HardSwish": ("HardSwish", (14, 21), {}),
    "Clip": ("Clip", (7, 10), {"min": -1.0, "max": 2.0}),
    "Clip-low": ("Clip", (7,), {"min": -1.0}),
    "Clip-nothing": ("Clip", (7,), {}),
    "Clip-relu6": ("Clip", (10,), {"min": 0.0, "max": 6.0}),
}


@pytest.mark.parametrize(("case", "opset"), [(case, opset) for case in ONNX for opset in ONNX[case][1]])
def test_onnx(case, opset, tmp_path):
    op, _, attrs = ONNX[case]
    hold_targets(onnx_sample(tmp_path, op, [X], attrs, opset=opset), tmp_path, pointwise=True)


LOW, HIGH = np.array(-1.0, np.float32), np.array(2.0, np.float32)


@pytest.mark.parametrize("opset", [11, 13])
@pytest.mark.parametrize("bounds", [[LOW, HIGH], [LOW], [None, HIGH], []])
def test_onnx_clip_by_inputs(bounds, opset, tmp_path):
    hold_targets(onnx_sample(tmp_path, "Clip", [X, *bounds], opset=opset), tmp_path)


@pytest.mark.parametrize("fed", [2, 3])
def test_onnx_clip_by_computed_bounds(fed, tmp_path):
    hold_targets(onnx_sample(tmp_path, "Clip", [X, LOW, HIGH], opset=13, fed=fed), tmp_path)


# id -> (data, slope, PyTorch's layer); the standard broadcasts a slope from the last axis
ONNX_PRELU = {
    "channels": (IMAGE, SLOPE.reshape(4, 1, 1), "nn.PReLU(4)"),
    "channels-wide": (IMAGE, SLOPE.reshape(1, 4, 1, 1), "nn.PReLU(4)"),
    "width": (IMAGE, SLOPE, "nn.Parameter"),
    "rows": (IMAGE, random_array(3, 1, low=0.1, high=0.9), "nn.Parameter"),
    "element": (IMAGE, random_array(4, 3, 4, low=0.1, high=0.9), "nn.Parameter"),
    "shared": (IMAGE, ONE, "nn.PReLU()"),
    "shared-wide": (IMAGE, ONE.reshape(1, 1, 1, 1), "nn.PReLU()"),
    "scalar": (IMAGE, ONE.reshape(()), "nn.PReLU()"),
    "features": (FLAT, SLOPE, "nn.PReLU(4)"),
    "features-wide": (FLAT, SLOPE.reshape(1, 4), "nn.PReLU(4)"),
}


@pytest.mark.parametrize("opset", [7, 9, 16])
@pytest.mark.parametrize("case", ONNX_PRELU)
def test_onnx_prelu(case, opset, tmp_path):
    """Pitfall 11."""
    data, slope, layer = ONNX_PRELU[case]
    hold_targets(onnx_sample(tmp_path, "PRelu", [data, slope], opset=opset), tmp_path)
    assert layer in (tmp_path / "torch" / "model.py").read_text()


def test_onnx_prelu_computed_slope(tmp_path):
    hold_targets(onnx_sample(tmp_path, "PRelu", [IMAGE, SLOPE.reshape(4, 1, 1)], opset=13, fed=2), tmp_path)


def test_every_operator_has_a_case():
    seen = {op for op, _ in MXNET.values()}
    assert seen == {op for op, family in table("from_mxnet").items() if family in FAMILIES}
    seen = {case[0] for case in (*PADDLE.values(), *PADDLE_LEGACY.values())}
    seen |= {op for ops, _ in PADDLE_BY_DIALECT.values() for op in ops.values()}
    assert seen == {op for op, family in table("from_paddle").items() if family in FAMILIES}
    seen = {op for op, _, _ in ONNX.values()} | {"PRelu"}
    assert seen == {op for op, family in table("from_onnx").items() if family in FAMILIES}
    assert seen == {op for op, family in table("to_torch").items() if family in FAMILIES}


# ---- what is refused -------------------------------------------------------------------------------------------------


def test_mxnet_prelu_of_an_unknown_rank(tmp_path):
    sample = mxnet_sample(tmp_path, "LeakyReLU", {"data": IMAGE, "gamma": SLOPE}, {"act_type": "prelu"})
    with pytest.raises(AttributeValueError, match="known rank"):
        read_sample(sample, with_shapes=False)


@pytest.mark.parametrize(
    ("op", "attrs", "message"),
    [
        ("hard_swish", {"scale": 5.0}, "ignored by new ones"),
        ("mish", {"threshold": 3.0}, "changes the result"),
        ("softplus", {"threshold": 3.0}, "changes the result"),
    ],
)
def test_paddle_constants_that_are_not_clear(op, attrs, message, tmp_path):
    sample = paddle_op_sample(tmp_path, op, {"x": X}, {"X": ["x"]}, attrs)
    with pytest.raises(AttributeValueError, match=message):
        read_sample(sample)


@pytest.mark.parametrize(("op", "attrs"), [("relu6", {"threshold": 4.0}), ("swish", {"beta": 2.0})])
def test_paddle_constants_that_new_releases_do_not_write(op, attrs, tmp_path):
    sample = paddle_op_sample(tmp_path, op, {"x": X}, {"X": ["x"]})
    sample.model.program.ops[0].attrs.update(attrs)
    with pytest.raises(AttributeValueError, match="ignored by new ones"):
        read_sample(sample)

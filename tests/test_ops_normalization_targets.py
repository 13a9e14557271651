"""Normalisations of every source against both targets, over their attributes and what files leave unsaid."""

import numpy as np
import pytest

from facecvt.converters.errors import AttributeValueError, WeightsError
from facecvt.converters.graph import constant
from facecvt.converters.ops.registry import table
from facecvt.parity_tests.support.single_op import (
    mxnet_sample,
    onnx_sample,
    paddle_op_sample,
    paddle_sample,
    random_array,
)
from facecvt.parity_tests.support.single_op_targets import hold_targets, read_sample

FAMILIES = ("normalization", "sample_norms", "length_norms")
X = random_array(3, 4, 5, 6)
FLAT = random_array(3, 4)
LINE = random_array(3, 4, 7)
SCALE = random_array(4, seed=1)
BIAS = random_array(4, seed=2)
MEAN = random_array(4, seed=3)
VARIANCE = random_array(4, seed=4, low=1e-4, high=2.0)  # small enough for eps to show
STATISTICS = {"gamma": SCALE, "beta": BIAS, "moving_mean": MEAN, "moving_var": VARIANCE}

# id -> (operator, arrays, attributes as they stand in the file)
GROUPS = random_array(2, seed=9, low=0.5)
MXNET = {
    "bn-defaults": ("BatchNorm", {"data": X, **STATISTICS}, {}),
    "bn-gamma-counts": ("BatchNorm", {"data": X, **STATISTICS}, {"fix_gamma": False, "eps": 2e-5, "momentum": 0.99}),
    "bn-gamma-fixed": ("BatchNorm", {"data": X, **STATISTICS}, {"fix_gamma": "1", "use_global_stats": True}),
    "bn-flat": ("BatchNorm", {"data": FLAT, **STATISTICS}, {"fix_gamma": "0", "cudnn_off": 1}),
    "bn-line": ("BatchNorm", {"data": LINE, **STATISTICS}, {"fix_gamma": False, "axis": 1}),
    "bn-last-axis": ("BatchNorm", {"data": X.transpose(0, 2, 3, 1).copy(), **STATISTICS}, {"axis": "-1", "eps": 0.01}),
    "bn-v1": ("BatchNorm_v1", {"data": X, **STATISTICS}, {"fix_gamma": False}),
    "bn-sync": ("_contrib_SyncBatchNorm", {"data": X, **STATISTICS}, {"fix_gamma": False, "key": "bn0", "ndev": 1}),
    "instance-norm": ("InstanceNorm", {"data": X, "gamma": SCALE, "beta": BIAS}, {}),
    "instance-norm-eps": ("InstanceNorm", {"data": X, "gamma": SCALE, "beta": BIAS}, {"eps": 0.1}),
    "group-norm": ("GroupNorm", {"data": X, "gamma": GROUPS, "beta": GROUPS}, {"num_groups": 2, "eps": 0.01}),
    "group-norm-one": ("GroupNorm", {"data": X, "gamma": GROUPS[:1], "beta": GROUPS[1:]}, {}),
    "group-norm-line": (
        "GroupNorm",
        {"data": random_array(3, 4, 5), "gamma": GROUPS, "beta": GROUPS},
        {"num_groups": 2},
    ),
    "layer-norm": ("LayerNorm", {"data": random_array(3, 5, 4), "gamma": SCALE, "beta": BIAS}, {}),
    "layer-norm-axis": ("LayerNorm", {"data": X, "gamma": SCALE, "beta": BIAS}, {"axis": 1, "eps": 0.1}),
    "l2-instance": ("L2Normalization", {"data": X}, {"eps": 0.5}),
    "l2-instance-flat": ("L2Normalization", {"data": FLAT}, {"mode": "instance"}),
    "l2-channel": ("L2Normalization", {"data": X}, {"mode": "channel", "eps": 0.5}),
    "l2-spatial": ("L2Normalization", {"data": X}, {"mode": "spatial", "eps": 0.5}),
    "lrn": ("LRN", {"data": random_array(2, 7, 3, 3)}, {"nsize": 3}),
    "lrn-all": ("LRN", {"data": random_array(2, 7, 3, 3)}, {"nsize": 5, "alpha": 0.5, "beta": 0.6, "knorm": 1.5}),
}
# names that MXNet 1.9.1 does not register on a CPU-only build but old and GPU files have
MXNET_SPELLINGS = ("CuDNNBatchNorm", "SyncBatchNorm")


@pytest.mark.parametrize("case", MXNET)
def test_mxnet(case, tmp_path):
    op, arrays, attrs = MXNET[case]
    hold_targets(mxnet_sample(tmp_path, op, arrays, attrs), tmp_path)


@pytest.mark.parametrize("op", MXNET_SPELLINGS)
def test_mxnet_spelling(op, tmp_path):
    sample = mxnet_sample(tmp_path, "BatchNorm", {"data": X, **STATISTICS}, {"fix_gamma": False})
    sample.model.symbol.nodes[-1].op = op
    hold_targets(sample, tmp_path)


def test_mxnet_absent_fix_gamma_is_true(tmp_path):
    """Pitfall 1: the stored gamma is not 1 and must not count, in the graph itself, not only in the numbers."""
    graph = read_sample(mxnet_sample(tmp_path, "BatchNorm", {"data": X, **STATISTICS}))
    (node,) = graph.body
    np.testing.assert_array_equal(constant(node.inputs[1]), np.ones(4, np.float32))
    np.testing.assert_array_equal(constant(node.inputs[2]), BIAS)


# id -> (operator in the file, arrays, expression)
PADDLE = {
    "bn": ("batch_norm", {"x": X, "m": MEAN, "v": VARIANCE, "s": SCALE, "b": BIAS}, "F.batch_norm(x, m, v, s, b)"),
    "bn-eps": (
        "batch_norm",
        {"x": X, "m": MEAN, "v": VARIANCE, "s": SCALE, "b": BIAS},
        "F.batch_norm(x, m, v, s, b, epsilon=1e-3, momentum=0.8)",
    ),
    "bn-flat": (
        "batch_norm",
        {"x": FLAT, "m": MEAN, "v": VARIANCE, "s": SCALE, "b": BIAS},
        "F.batch_norm(x, m, v, s, b, use_global_stats=True)",
    ),
    "bn-last-axis": (
        "batch_norm",
        {"x": X.transpose(0, 2, 3, 1).copy(), "m": MEAN, "v": VARIANCE, "s": SCALE, "b": BIAS},
        "F.batch_norm(x, m, v, s, b, data_format='NHWC')",
    ),
    "instance-norm": ("instance_norm", {"x": X, "s": SCALE, "b": BIAS}, "F.instance_norm(x, weight=s, bias=b)"),
    "instance-norm-eps": (
        "instance_norm",
        {"x": X, "s": SCALE, "b": BIAS},
        "F.instance_norm(x, weight=s, bias=b, eps=0.1)",
    ),
    "layer-norm": (
        "layer_norm",
        {"x": random_array(3, 5, 4), "s": SCALE, "b": BIAS},
        "F.layer_norm(x, 4, s, b, epsilon=1e-3)",
    ),
    "layer-norm-wide": (
        "layer_norm",
        {"x": X, "s": random_array(120, seed=7), "b": random_array(120, seed=8)},
        "F.layer_norm(x, [4, 5, 6], s, b)",
    ),
    "layer-norm-bare": ("layer_norm", {"x": random_array(3, 5, 4)}, "F.layer_norm(x, 4)"),
    "p-norm": ("p_norm", {"x": X}, "paddle.norm(x, p=2, axis=1)"),
    "p-norm-kept": ("p_norm", {"x": X}, "paddle.norm(x, p=2, axis=-1, keepdim=True)"),
    "p-norm-one": ("p_norm", {"x": X}, "paddle.norm(x, p=1, axis=2)"),
    "p-norm-infinity": ("p_norm", {"x": X}, "paddle.norm(x, p=float('inf'), axis=1, keepdim=True)"),
    "p-norm-all": ("p_norm", {"x": X}, "paddle.norm(x, p=2)"),
    "p-norm-three": ("p_norm", {"x": X}, "paddle.norm(x, p=3, axis=1)"),
    "p-norm-half": ("p_norm", {"x": X}, "paddle.norm(x, p=0.5, axis=-1, keepdim=True)"),
    "p-norm-count": ("p_norm", {"x": np.maximum(X, 0)}, "paddle.norm(x, p=0, axis=1)"),
    "p-norm-least": ("p_norm", {"x": X}, "paddle.norm(x, p=float('-inf'), axis=2)"),
    "frobenius": ("frobenius_norm", {"x": X}, "paddle.norm(x, p='fro', axis=[2, 3])"),
    "frobenius-kept": ("frobenius_norm", {"x": X}, "paddle.norm(x, p='fro', axis=[-1, 1], keepdim=True)"),
    "group-norm": ("group_norm", {"x": X, "s": SCALE, "b": BIAS}, "F.group_norm(x, 2, 1e-5, s, b)"),
    "group-norm-bare": ("group_norm", {"x": X}, "F.group_norm(x, 4, epsilon=1e-3)"),
    "group-norm-one": ("group_norm", {"x": LINE, "s": SCALE}, "F.group_norm(x, 1, 1e-5, s)"),
    "group-norm-last": (
        "group_norm",
        {"x": X.transpose(0, 2, 3, 1).copy(), "s": SCALE, "b": BIAS},
        "F.group_norm(x, 2, 1e-5, s, b, data_format='NHWC')",
    ),
}


@pytest.mark.parametrize("dialect", ["legacy", "pir"])
@pytest.mark.parametrize("case", PADDLE)
def test_paddle(case, dialect, tmp_path):
    op, arrays, expression = PADDLE[case]
    sample = paddle_sample(tmp_path, dialect, arrays, expression)
    assert op in [node.type for node in sample.model.program.ops]
    hold_targets(sample, tmp_path)


# id -> (operator, arrays, slots, attributes, output slots)
PADDLE_LEGACY = {
    "norm": ("norm", {"x": X}, {"X": ["x"]}, {"axis": 1, "epsilon": 0.5}, ("Out", "Norm")),
    "lrn": ("lrn", {"x": random_array(2, 7, 3, 3)}, {"X": ["x"]}, {}, ("Out", "MidOut")),
    "lrn-all": (
        "lrn",
        {"x": random_array(2, 7, 3, 3)},
        {"X": ["x"]},
        {"n": 3, "k": 1.5, "alpha": 0.1, "beta": 0.6},
        ("Out", "MidOut"),
    ),
    "norm-last": ("norm", {"x": X}, {"X": ["x"]}, {"axis": -1}, ("Out", "Norm")),
}


@pytest.mark.parametrize("case", PADDLE_LEGACY)
def test_paddle_legacy(case, tmp_path):
    op, arrays, slots, attrs, outputs = PADDLE_LEGACY[case]
    hold_targets(paddle_op_sample(tmp_path, op, arrays, slots, attrs, outputs=outputs), tmp_path)


@pytest.mark.parametrize(
    "expression",
    ["F.normalize(x, axis=1)", "F.normalize(x, p=1, axis=-1)", "F.local_response_norm(x, 3, alpha=0.5, k=1.5)"],
)
def test_paddle_functions_that_are_made_of_parts(expression, tmp_path):
    """Paddle 3.3.1 builds them in PIR only."""
    hold_targets(paddle_sample(tmp_path, "pir", {"x": random_array(2, 7, 3, 3)}, expression), tmp_path)


def test_paddle_group_norm_of_free_sizes(tmp_path):
    """Height and width are read off the shape at run time; with one of them free the Reshape's target is constant."""
    arrays = {"x": X, "s": SCALE, "b": BIAS}
    for shape, computed in (([-1, 4, -1, -1], True), ([-1, 4, 5, -1], False)):
        sample = paddle_sample(tmp_path, "pir", arrays, "F.group_norm(x, 2, 1e-5, s, b)", shapes={"x": shape})
        graph = hold_targets(sample, tmp_path, opsets=(13,))
        assert ("Shape" in [node.op_type for node in graph.body]) == computed


def test_paddle_sync_batch_norm_is_batch_norm(tmp_path):
    """The operator exists in training on several devices; its inference is the plain one's."""
    op, arrays, expression = PADDLE["bn"]
    sample = paddle_sample(tmp_path, "legacy", arrays, expression)
    ops = sample.model.program.ops
    index = [node.type for node in ops].index(op)
    object.__setattr__(ops[index], "type", "sync_batch_norm")
    hold_targets(sample, tmp_path)


# id -> (operator, opsets of the source, inputs behind the data, attributes)
ONNX = {
    "bn": ("BatchNormalization", (9, 14, 15), X, [SCALE, BIAS, MEAN, VARIANCE], {"epsilon": 1e-3, "momentum": 0.5}),
    "bn-flat": ("BatchNormalization", (9, 15), FLAT, [SCALE, BIAS, MEAN, VARIANCE], {}),
    "bn-old": ("BatchNormalization", (7, 8), X, [SCALE, BIAS, MEAN, VARIANCE], {"spatial": 1, "epsilon": 2e-5}),
    "instance-norm": ("InstanceNormalization", (7, 21), X, [SCALE, BIAS], {"epsilon": 0.1}),
    "instance-norm-line": ("InstanceNormalization", (7,), LINE, [SCALE, BIAS], {}),
    "layer-norm": ("LayerNormalization", (17, 21), random_array(3, 5, 4), [SCALE, BIAS], {}),
    "layer-norm-wide": (
        "LayerNormalization",
        (17,),
        X,
        [random_array(5, 6), random_array(5, 6, seed=1)],
        {"axis": 2, "epsilon": 0.1},
    ),
    "layer-norm-no-bias": ("LayerNormalization", (17,), X, [random_array(6)], {"axis": -1}),
    "lp": ("LpNormalization", (7, 21), X, [], {}),
    "lp-one": ("LpNormalization", (7,), X, [], {"p": 1, "axis": 1}),
    "lrn": ("LRN", (7, 13), random_array(2, 7, 3, 3), [], {"size": 3}),
    "lrn-all": ("LRN", (7,), random_array(2, 7, 3, 3), [], {"size": 5, "alpha": 0.5, "beta": 0.6, "bias": 1.5}),
}


@pytest.mark.parametrize(("case", "opset"), [(case, opset) for case in ONNX for opset in ONNX[case][1]])
def test_onnx(case, opset, tmp_path):
    op, _, data, weights, attrs = ONNX[case]
    hold_targets(onnx_sample(tmp_path, op, [data, *weights], attrs, opset=opset), tmp_path)


@pytest.mark.parametrize("opset", [7, 8])
def test_onnx_statistics_per_element(opset, tmp_path):
    """Pitfall 10: opset 7 and 8 with ``spatial = 0``, which ONNX Runtime cannot run: held against the definition."""
    names = ("scale", "bias", "mean", "variance")
    arrays = [random_array(4, 5, 6, seed=seed, low=low) for seed, low in enumerate((-2.0, -2.0, -2.0, 0.01))]
    sample = onnx_sample(tmp_path, "BatchNormalization", [X, SCALE, BIAS, MEAN, VARIANCE], {"spatial": 1}, opset=opset)
    import onnx
    from onnx import numpy_helper

    model = onnx.load(sample.model)
    del model.graph.initializer[:]
    for name, array in zip(model.graph.node[0].input[1:], arrays, strict=True):
        model.graph.initializer.append(numpy_helper.from_array(array, name))
    for attribute in model.graph.node[0].attribute:
        attribute.i = 0 if attribute.name == "spatial" else attribute.i
    onnx.save(model, sample.model)

    wide = dict(zip(names, (array.astype(np.float64) for array in arrays), strict=True))
    normal = (X.astype(np.float64) - wide["mean"]) / np.sqrt(wide["variance"] + 1e-5)
    sample.expected = [(normal * wide["scale"] + wide["bias"]).astype(np.float32)]
    hold_targets(sample, tmp_path)


def test_onnx_zero_length_gives_zero(tmp_path):
    zeros = X.copy()
    zeros[0, :, 0, 0] = 0.0
    zeros[1] *= 1e-14  # shorter than PyTorch's own smallest divisor
    hold_targets(onnx_sample(tmp_path, "LpNormalization", [zeros], {"axis": 1}, opset=13), tmp_path)


def test_every_operator_has_a_case():
    seen = {op for op, _, _ in MXNET.values()} | set(MXNET_SPELLINGS)
    assert seen == {op for op, family in table("from_mxnet").items() if family in FAMILIES}
    seen = {case[0] for case in (*PADDLE.values(), *PADDLE_LEGACY.values())} | {"sync_batch_norm"}
    assert seen == {op for op, family in table("from_paddle").items() if family in FAMILIES}
    seen = {case[0] for case in ONNX.values()}
    assert seen == {op for op, family in table("from_onnx").items() if family in FAMILIES}
    assert seen == {op for op, family in table("to_torch").items() if family in FAMILIES}


# ---- what is refused -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("attrs", "message"),
    [
        ({"output_mean_var": True}, "output_mean_var"),
        ({"min_calib_range": -1.0, "max_calib_range": 1.0}, "quantised"),
        ({"epsilon": 1e-3}, "'epsilon' = '0.001' is not known"),
    ],
)
def test_mxnet_refusals(attrs, message, tmp_path):
    sample = mxnet_sample(tmp_path, "BatchNorm", {"data": X, **STATISTICS})
    sample.model.symbol.nodes[-1].attrs.update({key: str(value) for key, value in attrs.items()})
    with pytest.raises(AttributeValueError, match=message):
        read_sample(sample)


def test_mxnet_missing_statistics(tmp_path):
    sample = mxnet_sample(tmp_path, "BatchNorm", {"data": X, **STATISTICS})
    del sample.model.aux["moving_mean"]
    with pytest.raises(WeightsError, match="moving_mean"):
        read_sample(sample)


def test_mxnet_length_of_an_unknown_rank(tmp_path):
    sample = mxnet_sample(tmp_path, "L2Normalization", {"data": X}, {"mode": "instance"})
    with pytest.raises(AttributeValueError, match="known rank"):
        read_sample(sample, with_shapes=False)


def test_onnx_training_mode(tmp_path):
    sample = onnx_sample(tmp_path, "BatchNormalization", [X, SCALE, BIAS, MEAN, VARIANCE], {}, opset=14)
    import onnx

    model = onnx.load(sample.model)
    model.graph.node[0].attribute.append(onnx.helper.make_attribute("training_mode", 1))
    onnx.save(model, sample.model)
    with pytest.raises(AttributeValueError, match="training_mode"):
        read_sample(sample)


def test_torch_even_window_of_lrn(tmp_path):
    """ONNX Runtime does not run it either, but may one day."""
    sample = onnx_sample(tmp_path, "LRN", [random_array(2, 7, 3, 3)], {"size": 3}, opset=13)
    import onnx

    model = onnx.load(sample.model)
    model.graph.node[0].attribute[0].i = 4
    onnx.save(model, sample.model)
    with pytest.raises(Exception, match="even size"):
        hold_targets(sample, tmp_path, opsets=())

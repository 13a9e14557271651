"""One node of every MXNet operator of the oracle, over its attributes: the table that the tests hold against MXNet.

Attributes are written as a symbol file holds them.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Case:
    """One node: operator, operands by name and shape, attributes.

    Attributes:
        op: operator.
        operands: shape of each input; those named moving_mean and moving_var are auxiliary states, label is not fed.
        attrs: attributes; MXNet is given their text.
        single: MXNet computes it in float32 only, or wrongly in float64.
        values: range of the operands.
        outputs: number of results.
        integers: operands that hold small whole numbers.
    """

    op: str
    operands: dict[str, Shape]
    attrs: dict[str, object] = field(default_factory=dict)
    single: bool = False
    values: tuple[float, float] = (-2.0, 2.0)
    outputs: int = 1
    integers: tuple[str, ...] = ()

    def __str__(self) -> str:
        written = ",".join(f"{key}={value}" for key, value in self.attrs.items())
        return f"{self.op}-{'-'.join('x'.join(map(str, s)) for s in self.operands.values())}-{written}"


def data(*shape: int) -> dict[str, Shape]:
    return {"data": shape}


def pair(left: Shape, right: Shape) -> dict[str, Shape]:
    return {"lhs": left, "rhs": right}


def conv(x: Shape, w: Shape, bias: bool = True, **attrs: Any) -> Case:
    operands = {"data": x, "weight": w} | ({"bias": (w[0],)} if bias else {})
    if not bias:
        attrs["no_bias"] = "True"
    return Case("Convolution", operands, {"kernel": w[2:], "num_filter": w[0], **attrs})


def deconv(x: Shape, w: Shape, bias: bool = False, **attrs: Any) -> Case:
    groups = attrs.get("num_group", 1)
    filters = w[1] * groups
    operands = {"data": x, "weight": w} | ({"bias": (filters,)} if bias else {})
    if bias:
        attrs["no_bias"] = "False"
    return Case("Deconvolution", operands, {"kernel": w[2:], "num_filter": filters, **attrs})


def batch_norm(shape: Shape, channels: int, op: str = "BatchNorm", outputs: int = 1, **attrs: Any) -> Case:
    vector = (channels,)
    operands = {"data": shape, "gamma": vector, "beta": vector, "moving_mean": vector, "moving_var": vector}
    return Case(op, operands, attrs, outputs=outputs, single=True)


X = (2, 6, 7, 9)
CASES: list[Case] = [
    conv((2, 4, 9, 8), (6, 4, 3, 3)),
    conv((2, 4, 9, 8), (6, 4, 3, 3), bias=False, stride=(2, 1), pad=(1, 2)),
    conv((2, 4, 9, 8), (6, 4, 3, 3), dilate=(2, 1), pad=(2, 0), stride="(0, 0)", workspace=256, cudnn_off=True),
    conv((2, 4, 9, 8), (6, 2, 3, 2), num_group=2, stride="(2L, 2L)"),
    conv((2, 4, 9, 8), (4, 1, 3, 3), num_group=4, pad=(1, 1), stride=(2, 2)),
    conv((2, 4, 9, 8), (8, 1, 3, 3), num_group=4, pad=(1, 1)),
    conv((2, 4, 9, 8), (6, 4, 1, 1), stride=(2, 2), layout="NCHW"),
    conv((2, 4, 9, 8), (6, 2, 1, 1), num_group=2, pad=(1, 1)),
    conv((2, 4, 11), (6, 4, 3), stride=(2,), pad=(1,), dilate=(2,)),
    conv((1, 2, 5, 6, 7), (3, 2, 2, 3, 2), stride=(1, 2, 1)),
    deconv((2, 4, 5, 6), (4, 3, 3, 3)),
    deconv((2, 4, 5, 6), (4, 3, 4, 4), bias=True, stride=(2, 2), pad=(1, 1)),
    deconv((2, 4, 5, 6), (4, 3, 3, 3), stride=(2, 3), pad=(1, 1), adj=(1, 2)),
    deconv((2, 4, 5, 6), (4, 2, 3, 3), num_group=2, dilate=(2, 1)),
    # MXNet's float64 kernel ignores the dilation where there is a stride; its float32 kernel does not.
    replace(deconv((2, 4, 5, 6), (4, 2, 3, 3), stride=(2, 2), num_group=2, dilate=(2, 1)), single=True),
    deconv((2, 4, 5, 6), (4, 1, 4, 4), stride=(2, 2), num_group=4, target_shape=(10, 11)),
    deconv((2, 4, 7), (4, 3, 3), stride=(2,), pad=(1,)),
    Case("FullyConnected", {"data": (2, 3, 4), "weight": (5, 12), "bias": (5,)}, {"num_hidden": 5}),
    Case("FullyConnected", {"data": (2, 3, 4), "weight": (5, 12)}, {"num_hidden": 5, "no_bias": 1, "flatten": "True"}),
    Case("FullyConnected", {"data": (2, 3, 4), "weight": (5, 4), "bias": (5,)}, {"num_hidden": 5, "flatten": False}),
    *[
        Case("Pooling", data(2, 3, 8, 9), {"pool_type": kind, "kernel": (3, 2), "pooling_convention": way, **more})
        for kind in ("max", "avg", "sum")
        for way in ("valid", "full")
        for more in ({}, {"stride": (2, 2)}, {"stride": (2, 3), "pad": (1, 1)})
    ],
    Case(
        "Pooling",
        data(2, 3, 8, 9),
        {"pool_type": "avg", "kernel": (3, 3), "stride": (2, 2), "pad": (1, 1), "count_include_pad": False},
    ),
    Case(
        "Pooling",
        data(2, 3, 8, 9),
        {
            "pool_type": "avg",
            "kernel": (3, 3),
            "stride": (2, 2),
            "pad": (1, 1),
            "count_include_pad": False,
            "pooling_convention": "full",
        },
    ),
    Case("Pooling", data(2, 3, 8, 9), {"pool_type": "lp", "p_value": 2, "kernel": (2, 2), "stride": (2, 2)}),
    Case("Pooling", data(2, 3, 8, 9), {"pool_type": "lp", "p_value": 3, "kernel": (2, 2), "stride": (1, 2)}),
    Case("Pooling", data(2, 3, 8, 9), {"pool_type": "avg", "global_pool": True}),
    Case(
        "Pooling",
        data(2, 3, 8, 9),
        {"pool_type": "max", "global_pool": 1, "kernel": (3, 3), "stride": (2, 2), "pad": (1, 1)},
    ),
    Case("Pooling", data(2, 3, 8, 9), {"kernel": (2, 2)}),
    Case("Pooling", data(2, 3, 9), {"kernel": (3,), "stride": (2,), "pool_type": "avg", "pad": (1,)}),
    Case("Pooling_v1", data(2, 3, 8, 8), {"kernel": (2, 2), "stride": (2, 2), "pool_type": "max"}),
    Case(
        "Pooling_v1",
        data(2, 3, 8, 8),
        {"kernel": (2, 2), "stride": (2, 2), "pool_type": "sum", "pooling_convention": "full"},
    ),
    Case(
        "Convolution_v1",
        {"data": (2, 4, 6, 6), "weight": (3, 4, 3, 3), "bias": (3,)},
        {"kernel": (3, 3), "num_filter": 3},
    ),
    batch_norm(X, 6),
    batch_norm(X, 6, eps=2e-5, fix_gamma=False),
    batch_norm(X, 6, eps="2e-05", fix_gamma="1", momentum=0.9, use_global_stats=True, cudnn_off=True),
    batch_norm(X, 9, axis=-1, fix_gamma=0),
    batch_norm((4, 6), 6, fix_gamma=False),
    batch_norm(X, 6, fix_gamma=False, output_mean_var=True, outputs=3),
    batch_norm(X, 6, op="BatchNorm_v1", fix_gamma=False),
    batch_norm(X, 6, op="_contrib_SyncBatchNorm", fix_gamma=False, key="k"),
    Case("InstanceNorm", {"data": X, "gamma": (6,), "beta": (6,)}, single=True),
    Case("InstanceNorm", {"data": X, "gamma": (6,), "beta": (6,)}, {"eps": 0.1}, single=True),
    Case("LayerNorm", {"data": X, "gamma": (9,), "beta": (9,)}),
    Case("LayerNorm", {"data": X, "gamma": (6,), "beta": (6,)}, {"axis": 1, "eps": 0.01}),
    Case("LayerNorm", {"data": X, "gamma": (9,), "beta": (9,)}, {"output_mean_var": True}, outputs=3),
    *[Case("L2Normalization", data(*X), {"mode": mode, "eps": 0.01}) for mode in ("instance", "channel", "spatial")],
    Case("L2Normalization", data(2, 5)),
    Case("LRN", data(*X), {"nsize": 3}, single=True),
    Case("LRN", data(*X), {"nsize": 5, "alpha": 0.3, "beta": 0.5, "knorm": 1.5}, single=True),
    Case("SoftmaxActivation", data(*X), single=True),
    Case("SoftmaxActivation", data(*X), {"mode": "channel"}, single=True),
    Case("SoftmaxOutput", {"data": (4, 5), "label": (4,)}),
    Case(
        "SoftmaxOutput", {"data": X, "label": (2, 7, 9)}, {"multi_output": True, "use_ignore": True, "ignore_label": 0}
    ),
    Case("SoftmaxOutput", {"data": (2, 3, 5), "label": (2, 3)}, {"preserve_shape": True, "normalization": "valid"}),
    Case("SoftmaxOutput", {"data": (2, 3, 5), "label": (2, 3)}, {"grad_scale": 2.0}),
    Case("Softmax", {"data": (4, 5), "label": (4,)}),
    Case("softmax", data(*X)),
    Case("softmax", data(*X), {"axis": 1, "temperature": 2.0}),
    Case("softmin", data(*X), {"axis": 1}),
    Case("log_softmax", data(*X), {"axis": 2}),
    Case("LinearRegressionOutput", {"data": (4, 5), "label": (4, 5)}, {"grad_scale": 0.5}),
    Case("MAERegressionOutput", {"data": (4, 5), "label": (4, 5)}),
    Case("LogisticRegressionOutput", {"data": (4, 5), "label": (4, 5)}),
    Case("SVMOutput", {"data": (4, 5), "label": (4,)}, {"margin": 2.0}),
    Case("MakeLoss", data(3, 4), {"grad_scale": 2.0}),
    Case("make_loss", data(3, 4)),
    *[Case("Activation", data(*X), {"act_type": kind}) for kind in ("relu", "sigmoid", "tanh", "softrelu", "softsign")],
    Case("LeakyReLU", data(*X)),
    Case("LeakyReLU", data(*X), {"act_type": "leaky", "slope": 0.125}),
    Case("LeakyReLU", data(*X), {"act_type": "rrelu", "lower_bound": 0.25, "upper_bound": 0.5}),
    Case("LeakyReLU", {"data": X, "gamma": (6,)}, {"act_type": "prelu", "slope": 0.25}),
    Case("LeakyReLU", {"data": X, "gamma": (1,)}, {"act_type": "prelu"}),
    Case("LeakyReLU", {"data": (4, 6), "gamma": (6,)}, {"act_type": "prelu"}),
    Case("LeakyReLU", data(*X), {"act_type": "elu", "slope": 0.5}),
    Case("LeakyReLU", data(*X), {"act_type": "selu"}, single=True),
    Case("LeakyReLU", data(*X), {"act_type": "gelu"}),
    Case("hard_sigmoid", data(*X)),
    Case("hard_sigmoid", data(*X), {"alpha": 0.5, "beta": 0.25}),
    Case("clip", data(*X), {"a_min": -0.5, "a_max": 1}),
    Case("smooth_l1", data(*X), {"scalar": 1.5}),
    Case("Dropout", data(*X), {"p": 0.4}),
    Case("Cast", data(3, 4), {"dtype": "int32"}),
    Case("cast", data(3, 4), {"dtype": "float64"}),
    Case("amp_cast", data(3, 4), {"dtype": "float32"}, single=True),
    Case("where", {"condition": (3, 4), "x": (3, 4), "y": (3, 4)}, integers=("condition",)),
    Case("where", {"condition": (3,), "x": (3, 4), "y": (3, 4)}, integers=("condition",)),
    Case("add_n", {"a": (2, 3), "b": (2, 3), "c": (2, 3)}, {"num_args": 3}),
    Case("ElementWiseSum", {"a": (2, 3), "b": (2, 3)}, {"num_args": 2}),
    Case("UpSampling", data(2, 3, 4, 5), {"scale": 2, "sample_type": "nearest", "num_args": 1, "workspace": 512}),
    Case("UpSampling", {"a": (2, 3, 4, 4), "b": (2, 3, 2, 2)}, {"scale": 2, "sample_type": "nearest", "num_args": 2}),
    Case(
        "UpSampling",
        {"a": (2, 3, 4, 4), "b": (2, 3, 2, 2)},
        {"scale": 2, "sample_type": "nearest", "num_args": 2, "multi_input_mode": "sum"},
    ),
    Case(
        "UpSampling",
        {"data": (2, 3, 4, 5), "weight": (3, 1, 4, 4)},
        {"scale": 2, "sample_type": "bilinear", "num_filter": 3, "num_args": 2},
    ),
    Case(
        "UpSampling",
        {"data": (2, 3, 4, 5), "weight": (3, 1, 5, 5)},
        {"scale": 3, "sample_type": "bilinear", "num_filter": 3, "num_args": 2},
    ),
    Case("dot", pair((3, 4), (4, 5))),
    Case("dot", pair((4, 3), (5, 4)), {"transpose_a": True, "transpose_b": True}),
    Case("dot", pair((2, 3, 4), (4, 5)), {}),
    Case("batch_dot", pair((2, 3, 4), (2, 5, 4)), {"transpose_b": True}),
    Case("Flatten", data(*X)),
    Case("flatten", data(*X)),
    *[
        Case("Reshape", data(2, 6, 4, 5), {"shape": shape, "reverse": reverse})
        for shape, reverse in [
            ((-1, 5), False),
            ((0, -1), False),
            ((-2,), False),
            ((0, 0, -3), False),
            ((-3, -3), False),
            ((0, -4, 2, 3, -2), False),
            ((0, -4, -1, 3, 0, 0), False),
            ((0, 2, -1, 0), False),
            ((0, -1, 0), True),
            ((-1, 0), True),
            ((0, -3, 0), True),
            ((0, 3, 2, -4, 0, 0), True),
            ((0, 0, -4, 2, -1, -2), False),
            ((0, 0, -1, 2, -4, 0), True),
            ((-3, 0, 0), False),
            ((0, 6, 20), False),
        ]
    ],
    Case("reshape", data(2, 6), {"shape": "[3, 4]"}),
    Case("Reshape", data(2, 6), {"target_shape": (2, 0)}),
    Case("Reshape", data(4, 6), {"target_shape": (0, 12), "keep_highest": False}),
    Case("reshape_like", pair((2, 6), (3, 4))),
    Case("expand_dims", data(2, 3), {"axis": 1}),
    Case("expand_dims", data(2, 3), {"axis": -1}),
    Case("squeeze", data(2, 1, 3, 1)),
    Case("squeeze", data(2, 1, 3, 1), {"axis": 1}),
    Case("squeeze", data(2, 1, 3, 1), {"axis": (1, -1)}),
    Case("transpose", data(2, 3, 4)),
    Case("transpose", data(2, 3, 4), {"axes": (1, 2, 0)}),
    Case("SwapAxis", data(2, 3, 4), {"dim1": 0, "dim2": 2}),
    Case("swapaxes", data(2, 3, 4), {"dim1": 1, "dim2": 2}),
    Case("Concat", pair((2, 3), (2, 4)), {"num_args": 2}),
    Case("Concat", pair((2, 3), (5, 3)), {"num_args": 2, "dim": 0}),
    Case("concat", pair((2, 3, 1), (2, 3, 4)), {"num_args": 2, "dim": -1}),
    Case("stack", pair((2, 3), (2, 3)), {"num_args": 2, "axis": 1}),
    Case("SliceChannel", data(2, 6, 3), {"num_outputs": 3}, outputs=3),
    Case("SliceChannel", data(2, 6, 3), {"num_outputs": 3, "axis": 2, "squeeze_axis": True}, outputs=3),
    Case("split", data(2, 6, 3), {"num_outputs": 2}, outputs=2),
    Case("slice", data(4, 6, 5), {"begin": (1, 2), "end": (3, 5)}),
    Case("slice", data(4, 6, 5), {"begin": "(None, -3)", "end": "(None, None)"}),
    Case("slice", data(4, 6, 5), {"begin": (3, 5), "end": "(0, None)", "step": (-1, -2)}),
    Case("crop", data(4, 6), {"begin": (1,), "end": (3,)}),
    Case("slice_axis", data(4, 6), {"axis": 1, "begin": 1, "end": "None"}),
    Case("slice_axis", data(4, 6), {"axis": -1, "begin": -4, "end": -1}),
    Case("slice_like", pair((4, 6), (2, 3))),
    Case("slice_like", pair((4, 6), (2, 3)), {"axes": (1,)}),
    Case("Crop", pair((2, 3, 8, 9), (2, 3, 5, 6)), {"num_args": 2}, single=True),
    Case("Crop", pair((2, 3, 8, 9), (2, 3, 5, 6)), {"num_args": 2, "center_crop": True}, single=True),
    Case("Crop", data(2, 3, 8, 9), {"num_args": 1, "h_w": (4, 5), "offset": (2, 1)}, single=True),
    *[
        Case("Pad", data(2, 3, 4, 5), {"mode": mode, "pad_width": (0, 0, 0, 0, 1, 2, 2, 1), "constant_value": 1.5})
        for mode in ("constant", "edge", "reflect")
    ],
    Case("pad", data(2, 3, 4, 5), {"mode": "constant", "pad_width": (0, 0, 0, 0, 1, 0, 0, 1)}),
    Case("tile", data(2, 3), {"reps": (2, 2)}),
    Case("tile", data(2, 3), {"reps": (2, 1, 2)}),
    Case("repeat", data(2, 3), {"repeats": 2}),
    Case("repeat", data(2, 3), {"repeats": 2, "axis": 1}),
    Case("reverse", data(2, 3), {"axis": (1,)}),
    Case("flip", data(2, 3), {"axis": (0, 1)}),
    Case("broadcast_like", pair((2, 1), (2, 3))),
    Case("broadcast_like", pair((2, 1, 1), (3, 4)), {"lhs_axes": (1, 2), "rhs_axes": (0, 1)}),
    Case("broadcast_to", data(1, 3), {"shape": (4, 0)}),
    Case("broadcast_axis", data(1, 3, 1), {"axis": (0, 2), "size": (2, 4)}),
    Case("broadcast_axes", data(1, 3), {"axis": (0,), "size": (2,)}),
    Case("shape_array", data(2, 3, 4)),
    Case("_contrib_arange_like", data(2, 5, 4), {"axis": 1}),
    Case("_contrib_arange_like", data(2, 5), {"axis": -1, "start": 0.5, "step": 2, "repeat": 2}),
    Case("_contrib_arange_like", data(2, 5), {"start": -1, "step": 0.25}),
    Case("take", {"a": (4, 3), "indices": (2, 2)}, {}, integers=("indices",)),
    Case("take", {"a": (4, 3), "indices": (5,)}, {"axis": 1, "mode": "wrap"}, integers=("indices",)),
    *[
        Case(name, data(2, 3, 4), dict(attrs), values=(0.5, 2.0))
        for name in ("sum", "mean", "prod", "max", "min")
        for attrs in ({}, {"axis": 1}, {"axis": (0, 2), "keepdims": True}, {"axis": (1,), "exclude": True})
    ],
    Case("sum_axis", data(2, 3, 4), {"axis": -1}),
    Case("max_axis", data(2, 3, 4), {"axis": 1}),
    Case("min_axis", data(2, 3, 4), {"axis": 1}),
    Case("norm", data(2, 3, 4)),
    Case("norm", data(2, 3, 4), {"ord": 1, "axis": (1,), "keepdims": True}),
    Case("norm", data(2, 3, 4), {"axis": (1, 2)}),
    Case("argmax", data(2, 3, 4), {"axis": 1}),
    Case("argmax", data(2, 3, 4), {"axis": 1, "keepdims": True}),
    Case("argmin", data(2, 3, 4), {"axis": 2}),
    Case("_zeros", {}, {"shape": (2, 3)}),
    Case("_ones", {}, {"shape": (2, 3), "dtype": "int32"}),
    Case("_full", {}, {"shape": (2, 3), "value": 1.5}),
]

SAME = [
    "elemwise_add",
    "_plus",
    "_Plus",
    "_add",
    "_grad_add",
    "elemwise_sub",
    "_minus",
    "_Minus",
    "_sub",
    "elemwise_mul",
    "_mul",
    "_Mul",
    "elemwise_div",
    "_div",
    "_Div",
    "_mod",
    "_Mod",
    "_power",
    "_Power",
    "_maximum",
    "_Maximum",
    "_minimum",
    "_Minimum",
    "_hypot",
]
COMPARISONS = [
    "equal",
    "not_equal",
    "greater",
    "greater_equal",
    "lesser",
    "lesser_equal",
    "logical_and",
    "logical_or",
    "logical_xor",
]
CASES += [Case(name, pair((3, 4), (3, 4)), values=(0.3, 2.5)) for name in SAME]
CASES += [
    Case(f"broadcast_{name}", pair((3, 1, 4), (2, 1)), values=(0.3, 2.5))
    for name in ("add", "plus", "sub", "minus", "mul", "div", "mod", "power", "maximum", "minimum", "hypot")
]
CASES += [
    Case(name, pair((3, 4), (3, 4)), integers=("lhs", "rhs"))
    for stem in COMPARISONS
    for name in (f"_{stem}", "_" + "_".join(part.capitalize() for part in stem.split("_")), f"broadcast_{stem}")
]
CASES += [
    Case(name, data(3, 4), {"scalar": 1.25}, values=(0.3, 2.5))
    for name in (
        "_plus_scalar",
        "_PlusScalar",
        "_minus_scalar",
        "_MinusScalar",
        "_mul_scalar",
        "_MulScalar",
        "_div_scalar",
        "_DivScalar",
        "_mod_scalar",
        "_ModScalar",
        "_power_scalar",
        "_PowerScalar",
        "_maximum_scalar",
        "_MaximumScalar",
        "_minimum_scalar",
        "_MinimumScalar",
        "_hypot_scalar",
        "_HypotScalar",
        "_rminus_scalar",
        "_RMinusScalar",
        "_rdiv_scalar",
        "_RDivScalar",
        "_rmod_scalar",
        "_RModScalar",
        "_rpower_scalar",
        "_RPowerScalar",
    )
]
CASES += [
    Case(name, data(3, 4), {"scalar": 1}, integers=("data",))
    for stem in COMPARISONS
    for name in (f"_{stem}_scalar", "_" + "".join(part.capitalize() for part in stem.split("_")) + "Scalar")
]
ANY = [
    "_copy",
    "identity",
    "BlockGrad",
    "stop_gradient",
    "relu",
    "sigmoid",
    "softsign",
    "erf",
    "abs",
    "sign",
    "negative",
    "reciprocal",
    "square",
    "cbrt",
    "rcbrt",
    "exp",
    "expm1",
    "sin",
    "cos",
    "tan",
    "arctan",
    "sinh",
    "cosh",
    "tanh",
    "arcsinh",
    "degrees",
    "radians",
    "floor",
    "ceil",
    "trunc",
    "fix",
    "rint",
    "round",
    "logical_not",
    "zeros_like",
    "ones_like",
]
CASES += [Case(name, data(3, 4)) for name in ANY]
CASES += [Case(name, data(3, 4), values=(0.1, 3.0)) for name in ("sqrt", "rsqrt", "log", "log2", "log10", "log1p")]
CASES += [Case(name, data(3, 4), values=(-0.9, 0.9)) for name in ("arcsin", "arccos", "arctanh")]
CASES += [Case("arccosh", data(3, 4), values=(1.1, 3.0))]

"""The legacy Paddle operators that facecvt writes: slots, attributes with their types, and their versions.

An attribute's type in the file (AttrType) is not told by its value: an empty list may hold ints or floats, an ``axis``
may be 32 or 64 bits wide. Every attribute is written out, defaults too, because Paddle's inference passes and its
translation to PIR read attributes of the file without asking for defaults.

Source: the operator registrations of Paddle 3.3.1; the tests hold this table against the installed Paddle.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

INT, FLOAT, STRING, INTS, FLOATS, BOOLEAN, LONG, LONGS = 0, 1, 2, 3, 4, 6, 9, 11
REQUIRED: Any = object()


class Attribute(NamedTuple):
    """Type of an attribute (AttrType) and its default; ``REQUIRED`` where there is none."""

    kind: int
    default: Any = REQUIRED


@dataclass(frozen=True)
class OperatorForm:
    """One operator.

    Attributes:
        inputs: its input slots; those that a node leaves out are written empty.
        outputs: its output slots that a node must fill; the first holds the result.
        attributes: attribute name -> type and default.
    """

    inputs: tuple[str, ...]
    outputs: tuple[str, ...] = ("Out",)
    attributes: dict[str, Attribute] | None = None


def _convolution(count: int, **more: Attribute) -> dict[str, Attribute]:
    return {
        "strides": Attribute(INTS, [1] * count),
        "paddings": Attribute(INTS, [0] * count),
        "padding_algorithm": Attribute(STRING, "EXPLICIT"),
        "dilations": Attribute(INTS, [1] * count),
        "groups": Attribute(INT, 1),
        "data_format": Attribute(STRING, "NCHW" if count == 2 or more else "NCDHW"),
        **more,
    }


def _pool(count: int) -> dict[str, Attribute]:
    return {
        "ksize": Attribute(INTS),
        "strides": Attribute(INTS, [1] * count),
        "paddings": Attribute(INTS, [0] * count),
        "ceil_mode": Attribute(BOOLEAN, False),
        "exclusive": Attribute(BOOLEAN, True),
        "data_format": Attribute(STRING, "NCHW" if count == 2 else "NCDHW"),
        "pooling_type": Attribute(STRING, ""),
        "global_pooling": Attribute(BOOLEAN, False),
        "adaptive": Attribute(BOOLEAN, False),
        "padding_algorithm": Attribute(STRING, "EXPLICIT"),
        "use_cudnn": Attribute(BOOLEAN, False),
    }


_EXTRA_SIZE = {"output_padding": Attribute(INTS, []), "output_size": Attribute(INTS, [])}
_AXIS = {"axis": Attribute(INT, -1)}
_COMPARISON = {"axis": Attribute(INT, -1), "force_cpu": Attribute(BOOLEAN, False)}
_REDUCTION = {
    "dim": Attribute(INTS, [0]),
    "keep_dim": Attribute(BOOLEAN, False),
    "reduce_all": Attribute(BOOLEAN, False),
    "in_dtype": Attribute(INT, -1),
    "out_dtype": Attribute(INT, -1),
}
_PLACE = {
    "axis": Attribute(LONG),
    "keepdims": Attribute(BOOLEAN, False),
    "flatten": Attribute(BOOLEAN, False),
    "dtype": Attribute(INT, 3),
}
_BOUNDS = {"axes": Attribute(INTS), "starts": Attribute(INTS, []), "ends": Attribute(INTS, [])}
_CUT = {"infer_flags": Attribute(INTS, []), "decrease_axis": Attribute(INTS, [])}
_INTERPOLATION = {
    "data_layout": Attribute(STRING, "NCHW"),
    "out_d": Attribute(INT, 0),
    "out_h": Attribute(INT, 0),
    "out_w": Attribute(INT, 0),
    "scale": Attribute(FLOATS, []),
    "interp_method": Attribute(STRING, "bilinear"),
    "align_corners": Attribute(BOOLEAN, True),
    "align_mode": Attribute(INT, 1),
}
_X, _XY = ("X",), ("X", "Y")
_KEEPS_SHAPE_OF_X = ("Out", "XShape")

OPERATORS: dict[str, OperatorForm] = {
    "feed": OperatorForm(_X, attributes={"col": Attribute(INT)}),
    "fetch": OperatorForm(_X, attributes={"col": Attribute(INT)}),
    # convolution and pooling
    "conv2d": OperatorForm(("Input", "Filter"), ("Output",), _convolution(2)),
    "depthwise_conv2d": OperatorForm(("Input", "Filter"), ("Output",), _convolution(2)),
    "conv3d": OperatorForm(("Input", "Filter"), ("Output",), _convolution(3)),
    "conv2d_transpose": OperatorForm(("Input", "Filter", "Bias"), ("Output",), _convolution(2, **_EXTRA_SIZE)),
    "conv3d_transpose": OperatorForm(("Input", "Filter"), ("Output",), _convolution(3, **_EXTRA_SIZE)),
    "pool2d": OperatorForm(_X, attributes=_pool(2)),
    "pool3d": OperatorForm(_X, attributes=_pool(3)),
    # normalisation
    "batch_norm": OperatorForm(
        ("X", "Scale", "Bias", "Mean", "Variance"),
        ("Y", "MeanOut", "VarianceOut", "SavedMean", "SavedVariance"),
        {
            "is_test": Attribute(BOOLEAN, False),
            "momentum": Attribute(FLOAT, 0.9),
            "epsilon": Attribute(FLOAT, 1e-5),
            "data_layout": Attribute(STRING, "NCHW"),
            "use_global_stats": Attribute(BOOLEAN, False),
            "trainable_statistics": Attribute(BOOLEAN, False),
        },
    ),
    "instance_norm": OperatorForm(
        ("X", "Scale", "Bias"), ("Y", "SavedMean", "SavedVariance"), {"epsilon": Attribute(FLOAT, 1e-5)}
    ),
    "layer_norm": OperatorForm(
        ("X", "Scale", "Bias"),
        ("Y", "Mean", "Variance"),
        {"epsilon": Attribute(FLOAT, 1e-5), "begin_norm_axis": Attribute(INT, 1)},
    ),
    "p_norm": OperatorForm(
        _X,
        attributes={
            "porder": Attribute(FLOAT, 2.0),
            "axis": Attribute(INT, -1),
            "epsilon": Attribute(FLOAT, 1e-12),
            "keepdim": Attribute(BOOLEAN, False),
            "asvector": Attribute(BOOLEAN, False),
        },
    ),
    # activations
    **dict.fromkeys(("relu", "relu6", "sigmoid", "softsign", "tanh"), OperatorForm(_X)),
    "prelu": OperatorForm(
        ("X", "Alpha"), attributes={"data_format": Attribute(STRING, "NCHW"), "mode": Attribute(STRING, "all")}
    ),
    "leaky_relu": OperatorForm(_X, attributes={"alpha": Attribute(FLOAT, 0.02)}),
    "elu": OperatorForm(_X, attributes={"alpha": Attribute(FLOAT, 1.0)}),
    "selu": OperatorForm(
        _X,
        attributes={
            "scale": Attribute(FLOAT, 1.0507009873554804934193349852946),
            "alpha": Attribute(FLOAT, 1.6732632423543772848170429916717),
        },
    ),
    "gelu": OperatorForm(_X, attributes={"approximate": Attribute(BOOLEAN, False)}),
    "mish": OperatorForm(_X, attributes={"threshold": Attribute(FLOAT, 20.0)}),
    "softplus": OperatorForm(_X, attributes={"beta": Attribute(FLOAT, 1.0), "threshold": Attribute(FLOAT, 20.0)}),
    "hard_sigmoid": OperatorForm(_X, attributes={"slope": Attribute(FLOAT, 0.2), "offset": Attribute(FLOAT, 0.5)}),
    "hard_swish": OperatorForm(
        _X,
        attributes={
            "threshold": Attribute(FLOAT, 6.0),
            "scale": Attribute(FLOAT, 6.0),
            "offset": Attribute(FLOAT, 3.0),
        },
    ),
    "clip": OperatorForm(("X", "Min", "Max"), attributes={"min": Attribute(FLOAT), "max": Attribute(FLOAT)}),
    "softmax": OperatorForm(_X, attributes=_AXIS),
    "log_softmax": OperatorForm(_X, attributes=_AXIS),
    # functions of single numbers
    **dict.fromkeys(("erf", "sign", "sin", "cos", "tan", "asin", "acos", "atan"), OperatorForm(_X)),
    **dict.fromkeys(("sinh", "cosh", "asinh", "acosh", "atanh"), OperatorForm(_X)),
    "round": OperatorForm(_X, attributes={"decimals": Attribute(INT, 0)}),
    # arithmetic
    "scale": OperatorForm(
        ("X", "ScaleTensor"),
        attributes={
            "scale": Attribute(FLOAT, 1.0),
            "bias": Attribute(FLOAT, 0.0),
            "bias_after_scale": Attribute(BOOLEAN, True),
        },
    ),
    **dict.fromkeys(
        [f"elementwise_{name}" for name in ("add", "sub", "mul", "div", "pow", "max", "min", "mod")],
        OperatorForm(_XY, attributes=_AXIS),
    ),
    "pow": OperatorForm(("X", "FactorTensor"), attributes={"factor": Attribute(FLOAT, 1.0)}),
    **dict.fromkeys(("sqrt", "exp", "log", "abs", "reciprocal", "floor", "ceil", "square"), OperatorForm(_X)),
    **dict.fromkeys(
        ("equal", "less_than", "less_equal", "greater_than", "greater_equal"), OperatorForm(_XY, attributes=_COMPARISON)
    ),
    **dict.fromkeys(("logical_and", "logical_or"), OperatorForm(_XY)),
    "logical_not": OperatorForm(_X),
    "where": OperatorForm(("Condition", "X", "Y")),
    **dict.fromkeys(
        ("reduce_mean", "reduce_sum", "reduce_max", "reduce_min", "reduce_prod"),
        OperatorForm(_X, attributes=_REDUCTION),
    ),
    "matmul_v2": OperatorForm(
        _XY, attributes={"trans_x": Attribute(BOOLEAN, False), "trans_y": Attribute(BOOLEAN, False)}
    ),
    # parts, places and joins
    "where_index": OperatorForm(("Condition",)),
    "gather": OperatorForm(("X", "Index", "Axis"), attributes={"axis": Attribute(INT, 0)}),
    "gather_nd": OperatorForm(("X", "Index")),
    "argsort": OperatorForm(
        _X,
        ("Out", "Indices"),
        {
            "axis": Attribute(INT, -1),
            "descending": Attribute(BOOLEAN, False),
            "stable": Attribute(BOOLEAN, False),
        },
    ),
    "put_along_axis": OperatorForm(
        ("Input", "Index", "Value"),
        ("Result",),
        {
            "Axis": Attribute(INT),
            "Reduce": Attribute(STRING, "assign"),
            "Include_self": Attribute(BOOLEAN, True),
        },
    ),
    "arg_max": OperatorForm(_X, attributes=_PLACE),
    "arg_min": OperatorForm(_X, attributes=_PLACE),
    "slice": OperatorForm(
        ("Input", "StartsTensor", "EndsTensor", "StartsTensorList", "EndsTensorList"), attributes={**_BOUNDS, **_CUT}
    ),
    "strided_slice": OperatorForm(
        (
            *("Input", "StartsTensor", "EndsTensor", "StridesTensor"),
            *("StartsTensorList", "EndsTensorList", "StridesTensorList"),
        ),
        attributes={**_BOUNDS, "strides": Attribute(INTS, []), **_CUT},
    ),
    "concat": OperatorForm(("X", "AxisTensor"), attributes={"axis": Attribute(INT, 0)}),
    "split": OperatorForm(
        ("X", "AxisTensor", "SectionsTensorList"),
        attributes={"sections": Attribute(INTS, []), "num": Attribute(INT, 0), "axis": Attribute(INT, 0)},
    ),
    "tile": OperatorForm(("X", "RepeatTimes", "repeat_times_tensor"), attributes={"repeat_times": Attribute(INTS, [])}),
    "expand_v2": OperatorForm(("X", "Shape", "expand_shapes_tensor"), attributes={"shape": Attribute(INTS, [])}),
    "pad": OperatorForm(_X, attributes={"paddings": Attribute(INTS), "pad_value": Attribute(FLOAT, 0.0)}),
    "pad3d": OperatorForm(
        ("X", "Paddings"),
        attributes={
            "paddings": Attribute(INTS),
            "mode": Attribute(STRING, "constant"),
            "value": Attribute(FLOAT, 0.0),
            "data_format": Attribute(STRING, "NCDHW"),
        },
    ),
    **dict.fromkeys(
        ("nearest_interp_v2", "bilinear_interp_v2"),
        OperatorForm(("X", "OutSize", "SizeTensor", "Scale"), attributes=_INTERPOLATION),
    ),
    # shapes and types
    "reshape2": OperatorForm(
        ("X", "Shape", "ShapeTensor"), _KEEPS_SHAPE_OF_X, attributes={"shape": Attribute(INTS, [])}
    ),
    "flatten_contiguous_range": OperatorForm(
        _X, _KEEPS_SHAPE_OF_X, attributes={"start_axis": Attribute(INT), "stop_axis": Attribute(INT)}
    ),
    "transpose2": OperatorForm(_X, _KEEPS_SHAPE_OF_X, attributes={"axis": Attribute(INTS)}),
    "squeeze2": OperatorForm(_X, _KEEPS_SHAPE_OF_X, attributes={"axes": Attribute(INTS, [])}),
    "unsqueeze2": OperatorForm(
        ("X", "AxesTensor", "AxesTensorList"), _KEEPS_SHAPE_OF_X, attributes={"axes": Attribute(INTS, [])}
    ),
    "cast": OperatorForm(_X, attributes={"in_dtype": Attribute(INT), "out_dtype": Attribute(INT)}),
    "shape": OperatorForm(("Input",)),
    "range": OperatorForm(("Start", "End", "Step")),
    "fill_constant": OperatorForm(
        ("ValueTensor", "ShapeTensor", "ShapeTensorList"),
        attributes={
            "dtype": Attribute(INT, 5),
            "shape": Attribute(LONGS, []),
            "value": Attribute(FLOAT, 0.0),
            "str_value": Attribute(STRING, ""),
            "force_cpu": Attribute(BOOLEAN, False),
            "place_type": Attribute(INT, -1),
        },
    ),
    "assign": OperatorForm(_X),
}

# Operators whose form changed since Paddle counts versions; a program lists those that it uses (``op_version_map``).
VERSIONS: dict[str, int] = {
    **dict.fromkeys(("conv2d", "depthwise_conv2d", "conv3d", "conv3d_transpose"), 1),
    **dict.fromkeys(("instance_norm", "p_norm", "leaky_relu", "softplus", "clip", "gather", "argsort", "round"), 1),
    **dict.fromkeys([f"elementwise_{name}" for name in ("add", "sub", "mul", "div", "pow")], 1),
    **dict.fromkeys(("equal", "less_than", "less_equal", "greater_than", "greater_equal"), 1),
    **dict.fromkeys(("conv2d_transpose", "fill_constant"), 2),
}

"""The cases of the Paddle oracle's tests that one dialect alone has: raw operators, old ones, those of PIR."""

# ruff: noqa: E501 - one case a line, so that the table can be read
# fmt: off

from __future__ import annotations

from oracle_paddle_cases import case, raw


def define_raw_functions() -> None:
    """Operators that Paddle 3.3.1 still runs in a legacy program, but builds in PIR only."""
    for kind in ("sigmoid", "tanh", "exp", "abs", "floor", "ceil", "round", "sign", "sin", "cos", "tan", "sinh", "cosh", "asinh", "expm1"):
        raw(f"raw {kind}", kind, lambda b: {"X": b.data(2, 3, 4)})
    for kind in ("asin", "acos", "atanh"):
        raw(f"raw {kind}", kind, lambda b: {"X": b.data(2, 3, 4, low=-0.9, high=0.9)})
    raw("raw acosh", "acosh", lambda b: {"X": b.data(2, 3, 4, low=1.1)})
    for kind in ("sqrt", "rsqrt", "log", "log2", "log10", "log1p"):
        raw(f"raw {kind}", kind, lambda b: {"X": b.data(2, 3, 4, low=0.1)})
    raw("raw gelu", "gelu", lambda b: {"X": b.data(2, 3)}, {"approximate": False})
    raw("raw gelu tanh", "gelu", lambda b: {"X": b.data(2, 3)}, {"approximate": True})
    raw("raw softplus", "softplus", lambda b: {"X": b.data(2, 3, low=-9, high=9)}, {"beta": 2.0, "threshold": 5.0})
    raw("raw matmul_v2", "matmul_v2", lambda b: {"X": b.data(2, 4, 3), "Y": b.data(5, 4)}, {"trans_x": True, "trans_y": True})
    raw("raw matmul_v2 plain", "matmul_v2", lambda b: {"X": b.data(2, 3, 4), "Y": b.data(4, 5)})
    raw("raw bmm", "bmm", lambda b: {"X": b.data(2, 3, 4), "Y": b.data(2, 4, 5)})
    raw("raw logsumexp", "logsumexp", lambda b: {"X": b.data(2, 3, 4)}, {"axis": [1], "keepdim": False, "reduce_all": False})
    raw("raw arg_max", "arg_max", lambda b: {"X": b.data(2, 3, 4)}, {"axis": 1, "keepdims": False, "flatten": False, "dtype": 3}, dtype="int64")
    raw("raw arg_max flat", "arg_max", lambda b: {"X": b.data(2, 3, 4)}, {"axis": 0, "keepdims": False, "flatten": True, "dtype": 3}, dtype="int64")
    raw("raw arg_min", "arg_min", lambda b: {"X": b.data(2, 3, 4)}, {"axis": -1, "keepdims": True, "flatten": False, "dtype": 2}, dtype="int32")
    raw("raw expand_as", "expand_as_v2", lambda b: {"X": b.data(3, 1), "Y": b.data(2, 3, 4)}, {"target_shape": [2, 3, 4]})
    raw("raw roll", "roll", lambda b: {"X": b.data(3, 4)}, {"shifts": [1], "axis": [1]})
    raw("raw tril", "tril_triu", lambda b: {"X": b.data(4, 4)}, {"diagonal": 1, "lower": True})
    raw("raw triu", "tril_triu", lambda b: {"X": b.data(4, 4)}, {"diagonal": -1, "lower": False})
    flags = {"dim": [1], "keep_dim": True, "reduce_all": False}
    for kind in ("reduce_any", "reduce_all"):
        raw(f"raw {kind}", kind, lambda b: {"X": b.data(2, 3, dtype="int64", low=0, high=2).astype("bool")}, flags, dtype="bool")
    for kind in ("logical_and", "logical_or", "logical_xor"):
        raw(f"raw {kind}", kind, lambda b: {slot: b.data(5, 4, dtype="int64", low=0, high=2).astype("bool") for slot in ("X", "Y")}, dtype="bool")
    raw("raw whole division", "elementwise_div", lambda b: {"X": b.data(5, 4, dtype="int64", low=-9, high=9), "Y": b.data(5, 4, dtype="int64", low=2, high=5)}, {"axis": -1}, dtype="int64")
    raw("raw logical_not", "logical_not", lambda b: {"X": b.data(5, dtype="int64", low=0, high=2).astype("bool")}, dtype="bool")
    raw("raw greater_than", "greater_than", lambda b: {slot: b.data(5, 4, dtype="int64", low=0, high=3) for slot in ("X", "Y")}, dtype="bool")


def define_more_pir(p) -> None:
    """Operators of PIR programs that no public function above makes."""
    case("triu", lambda b: p.triu(b.data(4, 4), -1), "pir")
    case("shape64", lambda b: p._C_ops.shape64(b.data(3, 4)), "pir")
    case("shape32", lambda b: p._C_ops.shape(b.data(3, 4)), "pir")
    case("full_with_tensor", lambda b: b.data(2, 3) + p.full([2, 3], p.full([1], 1.5, "float64")), "pir")


def define_legacy_operators() -> None:
    """What only old programs hold, appended raw."""

    for axis, shape in ((-1, (4,)), (1, (3,)), (1, (3, 4)), (0, (2, 3))):
        for kind in ("elementwise_add", "elementwise_sub", "elementwise_mul", "elementwise_div", "elementwise_max", "elementwise_min"):
            raw(f"{kind} axis {axis} {shape}", kind, lambda b, shape=shape: {"X": b.data(2, 3, 4, low=0.3), "Y": b.data(*shape, low=0.3)}, {"axis": axis})
    raw("elementwise_add trailing ones", "elementwise_add", lambda b: {"X": b.data(2, 3, 4), "Y": b.data(3, 1)}, {"axis": 1})
    raw("elementwise_pow", "elementwise_pow", lambda b: {"X": b.data(2, 3, low=0.3), "Y": b.data(3, low=0.3)}, {"axis": -1})
    raw("old matmul", "matmul", lambda b: {"X": b.data(2, 4, 3), "Y": b.data(2, 5, 4)}, {"transpose_X": True, "transpose_Y": True, "alpha": 0.5})
    raw("old matmul plain", "matmul", lambda b: {"X": b.data(2, 3, 4), "Y": b.data(4, 5)}, {})
    raw("mul", "mul", lambda b: {"X": b.data(2, 3, 4), "Y": b.data(12, 5)}, {"x_num_col_dims": 1, "y_num_col_dims": 1})
    raw("mul two", "mul", lambda b: {"X": b.data(2, 3, 4), "Y": b.data(2, 2, 5)}, {"x_num_col_dims": 2, "y_num_col_dims": 2})
    raw("prelu element", "prelu", lambda b: {"X": b.data(2, 3, 4, 5), "Alpha": b.weight(1, 3, 4, 5)}, {"mode": "element"})
    raw("prelu channel 1C11", "prelu", lambda b: {"X": b.data(2, 3, 4, 5), "Alpha": b.weight(1, 3, 1, 1)}, {"mode": "channel"})
    raw("old relu6", "relu6", lambda b: {"X": b.data(2, 3, low=-3, high=9)}, {"threshold": 4.0})
    raw("hard_swish", "hard_swish", lambda b: {"X": b.data(2, 3, low=-5, high=5)}, {"threshold": 6.0, "scale": 6.0, "offset": 3.0})
    raw("hard_sigmoid", "hard_sigmoid", lambda b: {"X": b.data(2, 3, low=-5, high=5)}, {})
    raw("swish beta", "swish", lambda b: {"X": b.data(2, 3)}, {"beta": 1.5})
    raw("norm", "norm", lambda b: {"X": b.data(2, 3, 4)}, {"axis": 1, "epsilon": 1e-3}, ("Out", "Norm"))
    raw("flatten2", "flatten2", lambda b: {"X": b.data(2, 3, 4)}, {"axis": 2}, ("Out", "XShape"))
    raw("squeeze2 nothing", "squeeze2", lambda b: {"X": b.data(1, 2, 1)}, {"axes": []}, ("Out", "XShape"))
    raw("old reshape", "reshape", lambda b: {"X": b.data(2, 6)}, {"shape": [0, 2, -1]})
    raw("old transpose", "transpose", lambda b: {"X": b.data(2, 6)}, {"axis": [1, 0]})
    raw("old top_k", "top_k", lambda b: {"X": b.data(2, 6)}, {"k": 2}, ("Out", "Indices"))
    raw("raw argsort", "argsort", lambda b: {"X": b.data(3, 6)}, {"axis": 1, "descending": True, "stable": True}, ("Out", "Indices"))
    raw("old expand", "expand", lambda b: {"X": b.data(2, 3)}, {"expand_times": [2, 1]})
    raw("fill_constant", "fill_constant", lambda b: {}, {"shape": [2, 3], "value": 1.25, "dtype": 6})
    raw("fill_constant_batch_size_like", "fill_constant_batch_size_like", lambda b: {"Input": b.data(4, 3)}, {"shape": [-1, 2], "value": 0.5, "dtype": 6})
    raw("sum", "sum", lambda b: {"X": [b.data(2, 3), b.data(2, 3)]})
    raw("mean", "mean", lambda b: {"X": b.data(2, 3)})
    raw("reduce_mean", "reduce_mean", lambda b: {"X": b.data(2, 3, 4)}, {"dim": [1, 2], "keep_dim": True, "reduce_all": False})
    raw("reduce_sum all", "reduce_sum", lambda b: {"X": b.data(2, 3, 4)}, {"reduce_all": True, "dim": [0]})
    raw("pool2d global", "pool2d", lambda b: {"X": b.data(2, 3, 4, 5)}, {"pooling_type": "avg", "ksize": [2, 2], "global_pooling": True})
    raw("pool2d global max", "pool2d", lambda b: {"X": b.data(2, 3, 4, 5)}, {"pooling_type": "max", "ksize": [2, 2], "global_pooling": True, "paddings": [1, 1]})
    raw("pool2d inclusive ceil edge", "pool2d", lambda b: {"X": b.data(2, 3, 8, 9)}, {"pooling_type": "avg", "ksize": [3, 3], "strides": [2, 2], "paddings": [1, 1], "ceil_mode": True, "exclusive": False})
    raw("pool2d AnyLayout", "pool2d", lambda b: {"X": b.data(2, 3, 4, 5)}, {"pooling_type": "max", "ksize": [2, 2], "strides": [2, 2], "data_format": "AnyLayout"})
    raw("conv2d AnyLayout", "conv2d", lambda b: {"Input": b.data(2, 3, 6, 5), "Filter": b.weight(4, 3, 3, 3)}, {"data_format": "AnyLayout", "strides": [2, 2], "paddings": [1, 1]}, ("Output",))
    for mode in ("nearest", "bilinear"):
        for corners, align in ((True, 1), (False, 1), (False, 0)):
            raw(f"old {mode}_interp {corners} {align}", f"{mode}_interp", lambda b: {"X": b.data(2, 3, 4, 5)},
                {"out_h": 7, "out_w": 9, "align_corners": corners, "align_mode": align, "interp_method": mode, "scale": 0.0})
        raw(f"old {mode}_interp scale", f"{mode}_interp", lambda b: {"X": b.data(2, 3, 4, 5)}, {"scale": 2.0, "align_corners": False, "interp_method": mode})
    raw("dropout old attributes", "dropout", lambda b: {"X": b.data(3, 4)}, {"dropout_prob": 0.25, "is_test": True}, ("Out", "Mask"))
    raw("affine_channel", "affine_channel", lambda b: {"X": b.data(2, 3, 4, 5), "Scale": b.weight(3), "Bias": b.weight(3)}, {"data_layout": "NCHW"})
    raw("lrn", "lrn", lambda b: {"X": b.data(2, 5, 4, 3, dtype="float32")}, {"n": 3, "k": 1.5, "alpha": 0.1, "beta": 0.75}, ("Out", "MidOut"))
    raw("old pad", "pad", lambda b: {"X": b.data(2, 3)}, {"paddings": [1, 0, 2, 1], "pad_value": 0.5})

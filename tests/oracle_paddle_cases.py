"""The cases of the Paddle oracle's tests that both dialects have, and what a case is made with.

Imported by oracle_paddle_programs.py alone, which decides for a dialect before Paddle is imported.
"""

# ruff: noqa: E501 - one case a line, so that the table can be read
# fmt: off

from __future__ import annotations

import zlib

import numpy as np


class Builder:
    """Makes inputs, weights and raw operators of one case."""

    def __init__(self, paddle, case: str, dialect: str) -> None:
        self.paddle = paddle
        self.dialect = dialect
        self.rng = np.random.default_rng(zlib.crc32(case.encode()))
        self.feeds: dict[str, np.ndarray] = {}
        self.inputs = []

    def data(self, *shape, dtype="float64", low=-2.0, high=2.0, dynamic=()):
        """A fed input; ``dynamic`` axes are -1 in the program."""
        name = f"x{len(self.inputs)}"
        if "int" in dtype:
            array = self.rng.integers(int(low), int(high), shape).astype(dtype)
        else:
            array = self.rng.uniform(low, high, shape).astype(np.float32).astype(dtype)
        self.feeds[name] = array
        declared = [-1 if axis in dynamic else n for axis, n in enumerate(shape)]
        self.inputs.append(self.paddle.static.data(name, declared, dtype))
        return self.inputs[-1]

    def weight(self, *shape, dtype="float64", low=-1.0, high=1.0):
        """A parameter."""
        array = self.rng.uniform(low, high, shape).astype(np.float32).astype(dtype)
        return self.paddle.static.create_parameter(
            list(shape), dtype, default_initializer=self.paddle.nn.initializer.Assign(array)
        )

    def op(self, kind: str, inputs: dict, attrs: dict | None = None, outputs=("Out",), dtype="float64"):
        """A legacy operator, appended as it is; returns its first output."""
        block = self.paddle.static.default_main_program().global_block()
        made = {
            slot: [block.create_var(name=f"{kind}_{slot}", dtype="float32" if slot == "XShape" else dtype)]
            for slot in outputs
        }
        listed = {slot: value if isinstance(value, list) else [value] for slot, value in inputs.items()}
        block.append_op(type=kind, inputs=listed, outputs=made, attrs=attrs or {})
        return made[outputs[0]][0]


CASES: dict[str, tuple[str, object]] = {}
# Functions that Paddle 3.3.1 builds in PIR only; the operators that older versions made of them are appended raw.
PIR_ONLY = {
    "normalize", "normalize axis", "gelu", "gelu tanh", "softplus", "softplus beta", "sigmoid", "tanh", "exp", "abs", "floor", "ceil",
    "round", "sign", "sin", "cos", "tan", "asin", "acos", "sinh", "cosh", "asinh", "acosh", "atanh", "expm1", "sqrt", "rsqrt",
    "log", "log2", "log10", "log1p", "binary multiply", "binary maximum",
    "binary minimum", "greater_than", "logical_and", "logical_or", "logical_xor", "logical_not", "matmul", "matmul transposed",
    "matmul vector", "bmm", "reduce sum all", "reduce sum", "reduce sum keepdim", "logsumexp", "argmax", "argmax keepdim",
    "argmax flat", "argmin", "any", "all", "expand_as", "roll", "tril",
}


def case(name: str, build, dialect: str = "both") -> None:
    """Register a case under a unique name."""
    assert name not in CASES, name
    CASES[name] = ("pir" if name in PIR_ONLY else dialect, build)


def define_convolutions(f) -> None:
    conv = f.conv2d
    case("conv2d", lambda b: conv(b.data(2, 4, 9, 8), b.weight(6, 4, 3, 3)))
    case("conv2d stride pad dilation", lambda b: conv(b.data(2, 4, 9, 8), b.weight(6, 4, 3, 3), stride=[2, 1], padding=[1, 2], dilation=[1, 2]))
    case("conv2d four paddings", lambda b: conv(b.data(2, 4, 9, 8), b.weight(6, 4, 3, 3), padding=[1, 2, 0, 3]))
    case("conv2d SAME", lambda b: conv(b.data(2, 4, 9, 8), b.weight(6, 4, 4, 3), stride=2, padding="SAME"))
    case("conv2d VALID bias", lambda b: conv(b.data(2, 4, 9, 8), b.weight(6, 4, 3, 3), b.weight(6), padding="VALID"))
    case("conv2d groups", lambda b: conv(b.data(2, 4, 9, 8), b.weight(6, 2, 3, 3), groups=2, padding=1))
    case("conv2d NHWC", lambda b: conv(b.data(2, 9, 8, 4), b.weight(6, 4, 3, 3), b.weight(6), padding=1, data_format="NHWC"))
    case("conv2d NHWC four paddings", lambda b: conv(b.data(2, 9, 8, 4), b.weight(6, 4, 3, 3), padding=[[0, 0], [1, 0], [2, 1], [0, 0]], data_format="NHWC"))
    case("conv2d 1x1", lambda b: conv(b.data(2, 4, 9, 8), b.weight(6, 4, 1, 1), stride=2))
    case("depthwise_conv2d", lambda b: conv(b.data(2, 4, 9, 8), b.weight(4, 1, 3, 3), groups=4, padding=1, stride=2))
    case("depthwise_conv2d multiplier", lambda b: conv(b.data(2, 4, 9, 8), b.weight(8, 1, 3, 3), groups=4, padding=1))
    turn = f.conv2d_transpose
    case("conv2d_transpose", lambda b: turn(b.data(2, 4, 5, 6), b.weight(4, 3, 3, 3)))
    case("conv2d_transpose stride", lambda b: turn(b.data(2, 4, 5, 6), b.weight(4, 3, 4, 4), b.weight(3), stride=2, padding=1))
    case("conv2d_transpose output_padding", lambda b: turn(b.data(2, 4, 5, 6), b.weight(4, 3, 3, 3), stride=2, padding=1, output_padding=1))
    case("conv2d_transpose output_size", lambda b: turn(b.data(2, 4, 5, 6), b.weight(4, 3, 3, 3), stride=2, padding=1, output_size=[10, 11]))
    case("conv2d_transpose groups dilation", lambda b: turn(b.data(2, 4, 5, 6), b.weight(4, 2, 3, 3), stride=2, groups=2, dilation=2))
    case("conv2d_transpose SAME", lambda b: turn(b.data(2, 4, 5, 6), b.weight(4, 3, 3, 3), stride=2, padding="SAME"))
    case("conv2d_transpose VALID four", lambda b: turn(b.data(2, 4, 5, 6), b.weight(4, 3, 3, 3), stride=2, padding="VALID"))
    case("conv2d_transpose four paddings", lambda b: turn(b.data(2, 4, 5, 6), b.weight(4, 3, 3, 3), stride=2, padding=[1, 0, 2, 1]))
    case("conv2d_transpose NHWC", lambda b: turn(b.data(2, 5, 6, 4), b.weight(4, 3, 3, 3), stride=2, padding=1, data_format="NHWC"))
    volume = lambda b: b.data(1, 4, 5, 6, 7)  # noqa: E731
    case("conv3d", lambda b: f.conv3d(volume(b), b.weight(6, 4, 3, 2, 3)))
    case("conv3d all", lambda b: f.conv3d(volume(b), b.weight(6, 2, 3, 2, 3), b.weight(6), stride=[1, 2, 1], padding=[1, 0, 2], dilation=[1, 2, 2], groups=2))
    case("conv3d NDHWC SAME", lambda b: f.conv3d(b.data(1, 5, 6, 7, 4), b.weight(6, 4, 3, 2, 3), padding="SAME", stride=2, data_format="NDHWC"))
    case("conv3d_transpose", lambda b: f.conv3d_transpose(volume(b), b.weight(4, 3, 2, 3, 2), stride=[2, 1, 2], padding=1))
    case("conv3d_transpose output_padding", lambda b: f.conv3d_transpose(volume(b), b.weight(4, 3, 2, 3, 2), b.weight(3), stride=2, output_padding=1, groups=1))
    case("depthwise_conv2d_transpose", lambda b: turn(b.data(2, 4, 5, 6), b.weight(4, 1, 4, 4), stride=2, padding=1, groups=4))


def define_pooling(p, f) -> None:
    x = (2, 3, 8, 9)
    for kind, pool in (("max", f.max_pool2d), ("avg", f.avg_pool2d)):
        case(f"pool2d {kind}", lambda b, pool=pool: pool(b.data(*x), 2))
        case(f"pool2d {kind} stride pad", lambda b, pool=pool: pool(b.data(*x), [3, 2], stride=[2, 1], padding=[1, 0]))
        case(f"pool2d {kind} ceil", lambda b, pool=pool: pool(b.data(*x), 3, stride=2, padding=1, ceil_mode=True))
        case(f"pool2d {kind} ceil beyond", lambda b, pool=pool: pool(b.data(2, 3, 8, 6), 3, stride=2, ceil_mode=True))
        case(f"pool2d {kind} SAME", lambda b, pool=pool: pool(b.data(*x), 3, stride=2, padding="SAME"))
        case(f"pool2d {kind} VALID", lambda b, pool=pool: pool(b.data(*x), 3, stride=2, padding="VALID"))
        case(f"pool2d {kind} four paddings", lambda b, pool=pool: pool(b.data(*x), 3, stride=2, padding=[1, 0, 0, 1]))
        case(f"pool2d {kind} NHWC", lambda b, pool=pool: pool(b.data(2, 8, 9, 3), 3, stride=2, padding=1, data_format="NHWC"))
    case("pool3d max", lambda b: f.max_pool3d(b.data(1, 2, 5, 6, 7), [2, 3, 2], stride=[1, 2, 2], padding=[1, 1, 0]))
    case("pool3d avg", lambda b: f.avg_pool3d(b.data(1, 2, 5, 6, 7), 3, stride=2, padding=1, ceil_mode=True, exclusive=False))
    case("pool3d adaptive", lambda b: f.adaptive_avg_pool3d(b.data(1, 2, 5, 6, 7), [2, 3, 4]))
    inclusive = {"kernel_size": 3, "stride": 2, "padding": 1, "exclusive": False}
    case("pool2d avg inclusive", lambda b: f.avg_pool2d(b.data(*x), **inclusive))
    case("pool2d avg inclusive ceil", lambda b: f.avg_pool2d(b.data(*x), ceil_mode=True, **inclusive))
    case("pool2d adaptive avg 1", lambda b: f.adaptive_avg_pool2d(b.data(*x), 1))
    case("pool2d adaptive avg", lambda b: f.adaptive_avg_pool2d(b.data(*x), [3, 4]))
    case("pool2d adaptive avg NHWC", lambda b: f.adaptive_avg_pool2d(b.data(2, 8, 9, 3), [3, 4], data_format="NHWC"))
    case("max_pool2d_with_index adaptive", lambda b: f.adaptive_max_pool2d(b.data(*x), [3, 4]))


def define_normalisations(p, f) -> None:
    def norm(b, *shape, **attrs):
        c = shape[-1] if attrs.get("data_format") == "NHWC" else shape[1]
        return f.batch_norm(b.data(*shape), b.weight(c), b.weight(c, low=0.3), b.weight(c), b.weight(c), **attrs)

    case("batch_norm", lambda b: norm(b, 2, 5, 4, 3))
    case("batch_norm eps", lambda b: norm(b, 2, 5, 4, 3, epsilon=5e-4))
    case("batch_norm NHWC", lambda b: norm(b, 2, 4, 3, 5, data_format="NHWC"))
    case("batch_norm matrix", lambda b: norm(b, 4, 5, data_format="NC"))
    case("instance_norm", lambda b: f.instance_norm(b.data(2, 3, 4, 5), weight=b.weight(3), bias=b.weight(3), eps=1e-3))
    case("layer_norm", lambda b: f.layer_norm(b.data(2, 3, 4, 5), [4, 5], b.weight(20), b.weight(20)))
    case("layer_norm bare", lambda b: f.layer_norm(b.data(2, 3, 5), [5], epsilon=5e-4))
    case("group_norm", lambda b: f.group_norm(b.data(2, 6, 4, 5), 3, 1e-3, b.weight(6), b.weight(6)))
    case("group_norm NHWC", lambda b: f.group_norm(b.data(2, 4, 5, 6), 2, 1e-3, b.weight(6), b.weight(6), data_format="NHWC"))
    case("softmax", lambda b: f.softmax(b.data(2, 3, 4)))
    case("softmax axis", lambda b: f.softmax(b.data(2, 3, 4), axis=1))
    case("log_softmax", lambda b: f.log_softmax(b.data(2, 3, 4), axis=1))
    case("normalize", lambda b: f.normalize(b.data(3, 5)))
    case("normalize axis", lambda b: f.normalize(b.data(3, 5, 2), p=2, axis=-1, epsilon=1e-3))
    for order in (0, 1, 2, 3, float("inf"), float("-inf")):
        case(f"p_norm {order}", lambda b, order=order: p.norm(b.data(3, 4, 5), p=order, axis=1))
    case("p_norm keepdim", lambda b: p.norm(b.data(3, 4, 5), p=2, axis=-1, keepdim=True))
    case("frobenius norm", lambda b: p.norm(b.data(3, 4, 5), p="fro", axis=[1, 2]))


def define_activations(p, f) -> None:
    x = (2, 4, 5, 3)
    case("prelu channel", lambda b: f.prelu(b.data(*x), b.weight(4)))
    case("prelu all", lambda b: f.prelu(b.data(*x), b.weight(1)))
    case("prelu NHWC", lambda b: f.prelu(b.data(*x), b.weight(3), data_format="NHWC"))
    case("leaky_relu", lambda b: f.leaky_relu(b.data(*x)))
    case("leaky_relu slope", lambda b: f.leaky_relu(b.data(*x), 0.25))
    case("hardsigmoid", lambda b: f.hardsigmoid(b.data(*x, low=-5, high=5)))
    case("hardsigmoid slope", lambda b: f.hardsigmoid(b.data(*x, low=-5, high=5), slope=0.2, offset=0.25))
    case("hardswish", lambda b: f.hardswish(b.data(*x, low=-5, high=5)))
    case("elu", lambda b: f.elu(b.data(*x), 0.5))
    case("celu", lambda b: f.celu(b.data(*x), 0.5))
    case("selu", lambda b: f.selu(b.data(*x)))
    case("gelu", lambda b: f.gelu(b.data(*x)))
    case("gelu tanh", lambda b: f.gelu(b.data(*x), approximate=True))
    case("softplus", lambda b: f.softplus(b.data(*x, low=-30, high=30)))
    case("softplus beta", lambda b: f.softplus(b.data(*x, low=-30, high=30), beta=2.0, threshold=5.0))
    case("swish", lambda b: f.swish(b.data(*x)))
    case("silu", lambda b: f.silu(b.data(*x)))
    case("mish", lambda b: f.mish(b.data(*x)))
    case("hardtanh", lambda b: f.hardtanh(b.data(*x), -0.5, 0.75))
    case("hardshrink", lambda b: f.hardshrink(b.data(*x), 0.4))
    case("softshrink", lambda b: f.softshrink(b.data(*x), 0.4))
    case("thresholded_relu", lambda b: f.thresholded_relu(b.data(*x), 0.4))
    case("relu6", lambda b: f.relu6(b.data(*x, low=-3, high=9)))
    for name in ("relu", "tanhshrink", "softsign", "log_sigmoid"):
        case(name, lambda b, name=name: getattr(f, name)(b.data(*x)))
    for name in ("sigmoid", "tanh", "exp", "abs", "square", "floor", "ceil", "round", "sign", "sin", "cos", "atan", "erf", "reciprocal", "expm1"):
        case(name, lambda b, name=name: getattr(p, name)(b.data(*x)))
    for name in ("tan", "sinh", "cosh", "asinh"):
        case(name, lambda b, name=name: getattr(p, name)(b.data(*x)))
    for name in ("asin", "acos", "atanh"):
        case(name, lambda b, name=name: getattr(p, name)(b.data(*x, low=-0.9, high=0.9)))
    case("acosh", lambda b: p.acosh(b.data(*x, low=1.1)))
    for name in ("sqrt", "rsqrt", "log", "log2", "log10", "log1p"):
        case(name, lambda b, name=name: getattr(p, name)(b.data(*x, low=0.1, high=4)))
    case("pow", lambda b: p.pow(b.data(*x, low=0.1), 2.5))
    case("neg", lambda b: -b.data(*x))
    case("clip", lambda b: p.clip(b.data(*x), -0.5, 1.0))
    case("clip minimum", lambda b: p.clip(b.data(*x), min=-0.5))
    case("dropout upscale", lambda b: f.dropout(b.data(*x), 0.25, training=False))
    case("dropout downscale", lambda b: f.dropout(b.data(*x), 0.25, training=False, mode="downscale_in_infer"))


def define_arithmetic(p, f) -> None:
    for name in ("add", "subtract", "multiply", "divide", "maximum", "minimum", "pow", "mod", "floor_divide"):
        case(f"binary {name}", lambda b, name=name: getattr(p, name)(b.data(2, 3, 4, low=0.2), b.data(3, 1, low=0.3)))
    for name in ("equal", "not_equal", "less_than", "less_equal", "greater_than", "greater_equal"):
        case(name, lambda b, name=name: getattr(p, name)(b.data(5, 4, dtype="int64", low=0, high=3), b.data(5, 4, dtype="int64", low=0, high=3)))
    for name in ("logical_and", "logical_or", "logical_xor"):
        case(name, lambda b, name=name: getattr(p, name)(b.data(5, 4) > 0, b.data(5, 4) > 0.5))
    case("logical_not", lambda b: p.logical_not(b.data(5, 4) > 0))
    case("where", lambda b: p.where(b.data(5, 4) > 0, b.data(5, 4), b.data(5, 4)))
    case("scalar arithmetic", lambda b: (2.0 - b.data(2, 3) * 0.5 + 1.0) / 3.0)
    case("scalar divided", lambda b: 1.0 / b.data(2, 3, low=0.5))
    case("scale", lambda b: p.scale(b.data(2, 3), 2.0, 0.5))
    case("scale bias first", lambda b: p.scale(b.data(2, 3), 2.0, 0.5, bias_after_scale=False))
    case("matmul", lambda b: p.matmul(b.data(2, 3, 4), b.data(4, 5)))
    case("matmul transposed", lambda b: p.matmul(b.data(2, 4, 3), b.data(2, 5, 4), transpose_x=True, transpose_y=True))
    case("matmul vector", lambda b: p.matmul(b.data(4), b.data(4)))
    case("bmm", lambda b: p.bmm(b.data(2, 3, 4), b.data(2, 4, 5)))
    case("linear", lambda b: f.linear(b.data(2, 3, 4), b.weight(4, 5), b.weight(5)))
    case("addmm", lambda b: p.addmm(b.data(3, 5), b.data(3, 4), b.data(4, 5), beta=0.5, alpha=2.0))
    for name in ("mean", "sum", "max", "min", "prod"):
        case(f"reduce {name} all", lambda b, name=name: getattr(p, name)(b.data(2, 3, 4)))
        case(f"reduce {name}", lambda b, name=name: getattr(p, name)(b.data(2, 3, 4), axis=1))
        case(f"reduce {name} keepdim", lambda b, name=name: getattr(p, name)(b.data(2, 3, 4), axis=-1, keepdim=True))
    case("reduce mean two", lambda b: p.mean(b.data(2, 3, 4), axis=[0, 2]))
    case("logsumexp", lambda b: p.logsumexp(b.data(2, 3, 4), axis=1))
    case("argmax", lambda b: p.argmax(b.data(2, 3, 4), axis=1))
    case("argmax keepdim", lambda b: p.argmax(b.data(2, 3, 4), axis=-1, keepdim=True, dtype="int32"))
    case("argmax flat", lambda b: p.argmax(b.data(2, 3, 4)))
    case("argmin", lambda b: p.argmin(b.data(2, 3, 4), axis=1))
    case("topk", lambda b: list(p.topk(b.data(3, 6), 2)))
    case("topk axis smallest", lambda b: list(p.topk(b.data(6, 3), 2, axis=0, largest=False)))
    case("argsort", lambda b: list(p._C_ops.argsort(b.data(3, 6), -1, False, True)), "pir")
    case("argsort falling", lambda b: list(p._C_ops.argsort(b.data(6, 3, dtype="int64", low=0, high=3), 0, True, True)), "pir")
    case("cumsum", lambda b: p.cumsum(b.data(3, 4), axis=1))
    case("add_n", lambda b: p.add_n([b.data(2, 3), b.data(2, 3), b.data(2, 3)]))
    case("any", lambda b: p.any(b.data(3, 4) > 1.5, axis=1))
    case("all", lambda b: p.all(b.data(3, 4) > -1.5, axis=1))


def define_shapes(p, f) -> None:
    case("reshape", lambda b: p.reshape(b.data(2, 6, 4), [0, -1, 8]))
    case("reshape from shape", lambda b: reshape_by_shape(p, b))
    case("reshape by tensors", lambda b: p.reshape(b.data(2, 6), [p.full([1], 3, "int32"), 4]))
    case("flatten", lambda b: p.flatten(b.data(2, 3, 4, 5), 1, 2))
    case("flatten all", lambda b: p.flatten(b.data(2, 3, 4)))
    case("squeeze", lambda b: p.squeeze(b.data(2, 1, 3, 1)))
    case("squeeze axes", lambda b: p.squeeze(b.data(2, 1, 3, 1), [1, 2, -1]))
    case("unsqueeze", lambda b: p.unsqueeze(b.data(2, 3), [0, -1]))
    case("transpose", lambda b: p.transpose(b.data(2, 3, 4), [2, 0, 1]))
    case("concat", lambda b: p.concat([b.data(2, 3), b.data(2, 4)], axis=1))
    case("concat axis tensor", lambda b: p.concat([b.data(2, 3), b.data(4, 3)], axis=p.full([1], 0, "int32")))
    case("stack", lambda b: p.stack([b.data(2, 3), b.data(2, 3)], axis=1))
    case("unstack", lambda b: p.unstack(b.data(2, 3), axis=1))
    case("split", lambda b: p.split(b.data(2, 6), 3, axis=1))
    case("split sections", lambda b: p.split(b.data(2, 6), [1, -1, 2], axis=1))
    case("slice", lambda b: p.slice(b.data(4, 5, 6), [0, 2], [1, -3], [3, 100]))
    case("slice by tensors", lambda b: p.slice(b.data(4, 5), [0], [p.full([1], 1, "int32")], [p.full([1], 3, "int32")]))
    case("index", lambda b: b.data(4, 5, 6)[1:, -1, ::2])
    case("strided_slice", lambda b: p.strided_slice(b.data(4, 6), [0, 1], [3, 0], [0, 6], [-1, 2]))
    case("gather", lambda b: p.gather(b.data(4, 5), b.data(3, dtype="int64", low=0, high=4), axis=0))
    case("gather_nd", lambda b: p.gather_nd(b.data(4, 5, 3), b.data(6, 2, dtype="int64", low=0, high=4)))
    case("gather axis", lambda b: p.gather(b.data(4, 5), b.data(3, dtype="int64", low=0, high=5), axis=1))
    case("index_select", lambda b: p.index_select(b.data(4, 5), b.data(3, dtype="int64", low=0, high=5), axis=1))
    case("nonzero", lambda b: p.nonzero(b.data(3, 4) > 0.5))
    case("put_along_axis", lambda b: p.put_along_axis(b.data(3, 4), b.data(3, 2, dtype="int64", low=0, high=4), b.data(3, 2), 1))
    case("put_along_axis first", lambda b: p.put_along_axis(b.data(4, 3), b.data(1, 3, dtype="int64", low=0, high=4), b.data(1, 3), 0))
    case("unbind", lambda b: p.unbind(b.data(2, 3), 1))
    case("tile", lambda b: p.tile(b.data(2, 3), [2, 1, 2]))
    case("expand", lambda b: p.expand(b.data(3, 1), [2, -1, 4]))
    case("expand_as", lambda b: p.expand_as(b.data(3, 1), b.data(2, 3, 4)))
    case("broadcast_to", lambda b: p.broadcast_to(b.data(3, 1), [2, 3, 4]))
    case("flip", lambda b: p.flip(b.data(3, 4), [0, 1]))
    case("roll", lambda b: p.roll(b.data(3, 4), 1, 1))
    case("cast", lambda b: p.cast(b.data(3, 4), "int32"))
    case("cast back", lambda b: p.cast(b.data(3, 4, dtype="int64", low=0, high=5), "float64") * 1.5)
    case("cast bool", lambda b: p.cast(b.data(3, 4) > 0, "float64"))
    case("shape", lambda b: p.shape(b.data(3, 4)))
    case("full", lambda b: b.data(2, 3) + p.full([2, 3], 1.5, "float64"))
    case("full_like", lambda b: p.full_like(b.data(2, 3), 2.5))
    case("zeros_like", lambda b: p.zeros_like(b.data(2, 3)))
    case("arange", lambda b: p.arange(2, 9, 3, dtype="int64") + b.data(3, dtype="int64", low=0, high=4))
    case("assign", lambda b: p.assign(b.data(2, 3)))
    case("assign value", lambda b: b.data(3) + p.assign(np.array([1.5, 2.5, -1.0])))
    case("numel", lambda b: p.numel(b.data(3, 4)))
    case("pad", lambda b: f.pad(b.data(2, 3, 4, 5), [1, 2, 0, 1], value=0.5))
    case("pad reflect", lambda b: f.pad(b.data(2, 3, 4, 5), [1, 2, 2, 1], mode="reflect"))
    case("pad replicate", lambda b: f.pad(b.data(2, 3, 4, 5), [1, 2, 2, 1], mode="replicate"))
    case("pad every axis", lambda b: f.pad(b.data(2, 3), [1, 0, 2, 1], value=1.0, pad_from_left_axis=True))
    for mode in ("nearest", "bilinear"):
        case(f"{mode} size", lambda b, mode=mode: f.interpolate(b.data(2, 3, 4, 5), size=[7, 8], mode=mode))
        case(f"{mode} scale", lambda b, mode=mode: f.interpolate(b.data(2, 3, 4, 5), scale_factor=2, mode=mode))
        case(f"{mode} scales", lambda b, mode=mode: f.interpolate(b.data(2, 3, 4, 5), scale_factor=[1.5, 2.5], mode=mode))
        case(f"{mode} corners", lambda b, mode=mode: f.interpolate(b.data(2, 3, 4, 5), size=[7, 8], mode=mode, align_corners=mode != "nearest"))
        case(f"{mode} smaller", lambda b, mode=mode: f.interpolate(b.data(2, 3, 8, 9), size=[3, 5], mode=mode))
        case(f"{mode} NHWC", lambda b, mode=mode: f.interpolate(b.data(2, 4, 5, 3), size=[7, 8], mode=mode, data_format="NHWC"))
    case("bilinear align_mode 1", lambda b: f.interpolate(b.data(2, 3, 4, 5), size=[7, 8], mode="bilinear", align_mode=1))
    case("nearest by shape", lambda b: nearest_by_shape(p, f, b))
    case("pixel_shuffle", lambda b: f.pixel_shuffle(b.data(2, 8, 3, 4), 2))
    case("pixel_unshuffle", lambda b: f.pixel_unshuffle(b.data(2, 2, 6, 4), 2))
    case("channel_shuffle", lambda b: f.channel_shuffle(b.data(2, 6, 3, 4), 2))
    case("meshgrid", lambda b: p.meshgrid(b.data(3), b.data(4)))
    case("one_hot", lambda b: f.one_hot(b.data(4, dtype="int64", low=0, high=5), 5))
    case("embedding", lambda b: f.embedding(b.data(4, dtype="int64", low=0, high=5), b.weight(5, 3)))
    case("tril", lambda b: p.tril(b.data(4, 4), 1))


def reshape_by_shape(p, b):
    x = b.data(2, 6, 4, dynamic=(0,))
    return p.reshape(x, [p.shape(x)[0], -1])


def nearest_by_shape(p, f, b):
    small, large = b.data(1, 2, 3, 4, dynamic=(2, 3)), b.data(1, 2, 7, 9, dynamic=(2, 3))
    return f.interpolate(small, size=p.shape(large)[2:], mode="nearest")


def raw(name: str, kind: str, inputs, attrs=None, outputs=("Out",), dtype="float64") -> None:
    """A case of one operator appended to a legacy program."""
    case(name, lambda b: b.op(kind, inputs(b), attrs, outputs, dtype), "legacy")


def define_detection(p) -> None:
    ops, corners = p.vision.ops, {"low": 0.0, "high": 4.0}
    prior = lambda b, **options: list(ops.prior_box(b.data(1, 2, 3, 4), b.data(1, 3, 25, 30), **options))  # noqa: E731
    case("prior_box", lambda b: prior(b, min_sizes=[4.0, 6.0], steps=[8.0, 8.0]))
    case("prior_box by the ratio of sizes", lambda b: prior(b, min_sizes=[4.0], clip=True, flip=True, aspect_ratios=[2.0, 1.0, 3.0]))
    case("prior_box with squares", lambda b: prior(b, min_sizes=[4.0, 8.0], max_sizes=[9.0, 16.0], aspect_ratios=[2.0], steps=[6.0, 9.0], offset=0.25, variance=[0.1, 0.2, 0.3, 0.4]))
    case("prior_box squares second", lambda b: prior(b, min_sizes=[4.0, 8.0], max_sizes=[9.0, 16.0], aspect_ratios=[2.0], flip=True, min_max_aspect_ratios_order=True))
    for pixels in (False, True):
        decode = {"code_type": "decode_center_size", "box_normalized": not pixels}
        encode = {"code_type": "encode_center_size", "box_normalized": not pixels}
        case(f"box_coder encode {pixels}", lambda b, o=encode: ops.box_coder(b.data(5, 4, **corners), b.data(5, 4, low=0.1, high=0.3), b.data(3, 4, **corners), **o))
        case(f"box_coder decode {pixels}", lambda b, o=decode: ops.box_coder(b.data(5, 4, **corners), b.data(5, 4, low=0.1, high=0.3), b.data(3, 5, 4), axis=0, **o))
        case(f"box_coder decode along 1 {pixels}", lambda b, o=decode: ops.box_coder(b.data(5, 4, **corners), b.data(5, 4, low=0.1, high=0.3), b.data(5, 3, 4), axis=1, **o))
        # in float64 Paddle's kernel reads the bytes of these four float32 numbers as two float64 ones
        case(f"box_coder list {pixels}", lambda b, o=decode: ops.box_coder(b.data(5, 4, dtype="float32", **corners), [0.1, 0.1, 0.2, 0.2], b.data(3, 5, 4, dtype="float32"), **o))
    case("box_coder encode list", lambda b: ops.box_coder(b.data(5, 4, **corners), [0.1, 0.1, 0.2, 0.2], b.data(3, 4, **corners)))
    case("yolo_box", lambda b: yolo(ops, b, 3, conf_thresh=0.4, downsample_ratio=32))
    case("yolo_box whole", lambda b: yolo(ops, b, 1, conf_thresh=0.5, downsample_ratio=16, clip_bbox=False, scale_x_y=1.2))
    case("yolo_box iou aware", lambda b: yolo(ops, b, 2, conf_thresh=0.3, downsample_ratio=8, iou_aware=True, iou_aware_factor=0.4))
    plain = {"background_label": 0, "score_threshold": 0.2, "nms_top_k": -1, "nms_threshold": 0.3, "nms_eta": 1.0, "keep_top_k": -1, "normalized": True}
    case("multiclass_nms3", lambda b: suppressed(p, b, plain))
    case("multiclass_nms3 all classes, few of each", lambda b: suppressed(p, b, plain | {"background_label": -1, "nms_top_k": 12}))
    case("multiclass_nms3 few of all", lambda b: suppressed(p, b, plain | {"background_label": 3, "nms_top_k": 400, "keep_top_k": 9}))
    case("multiclass_nms3 few of few", lambda b: suppressed(p, b, plain | {"background_label": 1, "nms_top_k": 20, "keep_top_k": 7, "nms_threshold": 0.1}))


def yolo(ops, b, classes, **options):
    """Boxes and scores of two anchors on maps of 3 by 4, for two pictures."""
    channels = 2 * (5 + classes + bool(options.get("iou_aware")))
    sizes = b.data(2, 2, dtype="int32", low=60, high=120)
    return list(ops.yolo_box(b.data(2, channels, 3, 4), sizes, anchors=[10, 13, 33, 23], class_num=classes, **options))


def suppressed(p, b, attrs):
    """Out of multiclass_nms3, of which the legacy form is appended raw; in PIR Index and NmsRoisNum too."""
    low = b.data(2, 40, 2, low=0.0, high=6.0)
    boxes, scores = p.concat([low, low + b.data(2, 40, 2, low=0.5, high=3.0)], axis=-1), b.data(2, 3, 40, low=0.0, high=1.0)
    if b.dialect == "legacy":
        return b.op("multiclass_nms3", {"BBoxes": boxes, "Scores": scores}, attrs, ("Out", "Index", "NmsRoisNum"))
    order = ("score_threshold", "nms_top_k", "keep_top_k", "nms_threshold", "normalized", "nms_eta", "background_label")
    return list(p._C_ops.multiclass_nms3(boxes, scores, None, *(attrs[key] for key in order)))

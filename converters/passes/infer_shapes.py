"""Shapes of every value of a canonical graph, as far as they follow from the inputs.

A dimension is an int, a name (``"batch"``) or None for not known. Names survive what keeps a dimension as it is. The
shapes serve ranks for rules, input sizes for symbols that hold none, and the declared outputs of a target; nothing is
computed from them at run time.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence

from facecvt.converters.errors import ConversionError
from facecvt.converters.graph import Graph, attribute, constant
from facecvt.converters.onnx_ir_lazy import ir
from facecvt.converters.passes.shapes_of_parts import PART_RULES

Dim = int | str | None
Shape = tuple[Dim, ...]


class ShapeMismatchError(ConversionError):
    """The graph cannot run on inputs of this shape; the message names the node."""


def infer_shapes(graph: Graph) -> None:
    """Set the shape of every computed value that can be told; others keep what they had.

    Raises:
        ShapeMismatchError: weights and input shapes do not fit each other.
    """
    infer_nodes(graph.body)


def infer_nodes(nodes: Iterable[ir.Node]) -> None:
    """The same for some nodes, in topological order; readers call it as they go, so that rules may ask for shapes."""
    for node in nodes:
        shapes = [None if value is None else shape_of(value) for value in node.inputs]
        for value, shape in zip(node.outputs, infer_node(node, shapes), strict=False):
            if shape is not None:
                value.shape = ir.Shape(list(shape))


def shape_of(value: ir.Value) -> Shape | None:
    """The shape that a value bears."""
    if value.shape is None:
        return None
    return tuple(dim if isinstance(dim, int) else dim.value for dim in value.shape)


def infer_node(node: ir.Node, shapes: Sequence[Shape | None]) -> list[Shape | None]:
    """Output shapes of one node; [None] where this operator's shape is not told here."""
    rule = SHAPE_RULES.get(node.op_type)
    if rule is None:
        return [None]
    if not shapes or shapes[0] is None:
        return [shape_of_any(node)]
    return rule(node, shapes)


def shape_of_any(node: ir.Node) -> Shape | None:
    """What is known of an output whose operand may have any shape."""
    target = constant(node.inputs[1]) if node.op_type == "Reshape" else None
    if target is not None:
        return tuple(int(dim) if dim > 0 else None for dim in target.reshape(-1))
    return (None, None) if node.op_type == "Flatten" else None


def same_as_first(node: ir.Node, shapes: Sequence[Shape | None]) -> list[Shape | None]:
    return [shapes[0]]


def broadcast(node: ir.Node, shapes: Sequence[Shape | None]) -> list[Shape | None]:
    result: list[Dim] = []
    for shape in shapes:
        if shape is None:
            return [None]
        count = max(len(result), len(shape))
        left, right = pad_rank(result, count), pad_rank(shape, count)
        result = [join_dims(node, a, b) for a, b in zip(left, right, strict=True)]
    return [tuple(result)]


def pad_rank(dims: Sequence[Dim], count: int) -> list[Dim]:
    """The dimensions with ones in front until there are ``count``."""
    ones: list[Dim] = [1] * (count - len(dims))
    return [*ones, *dims]


def join_dims(node: ir.Node, left: Dim, right: Dim) -> Dim:
    """Broadcast two dimensions against each other."""
    if left == 1:
        return right
    if right == 1 or left == right:
        return left
    if isinstance(left, int) and isinstance(right, int):
        raise ShapeMismatchError(f"{node.op_type} {node.name!r}: sizes {left} and {right} do not fit each other")
    return left if isinstance(left, int) else right if isinstance(right, int) else None


def convolution(node: ir.Node, shapes: Sequence[Shape | None]) -> list[Shape | None]:
    data, weight = shapes[0], shapes[1]
    if data is None or weight is None or not all(isinstance(dim, int) for dim in weight):
        return [None]
    if len(data) != len(weight):
        raise ShapeMismatchError(f"{node.op_type} {node.name!r}: input has {len(data)} dimensions, not {len(weight)}")
    group = attribute(node, "group", 1)
    channels = weight[1] * group
    if isinstance(data[1], int) and data[1] != channels:
        raise ShapeMismatchError(f"{node.op_type} {node.name!r}: input has {data[1]} channels, the weight {channels}")
    return [(data[0], weight[0], *windows(node, data[2:], list(weight[2:])))]  # type: ignore[arg-type]


def transposed_convolution(node: ir.Node, shapes: Sequence[Shape | None]) -> list[Shape | None]:
    """stride * (size - 1) + output_padding + (kernel - 1) * dilation + 1 - pads."""
    data, weight = shapes[0] or (), shapes[1]
    if weight is None or not all(isinstance(dim, int) for dim in weight):
        return [None]
    if len(data) != len(weight):
        raise ShapeMismatchError(f"{node.op_type} {node.name!r}: input has {len(data)} dimensions, not {len(weight)}")
    count = len(weight) - 2
    strides, dilations = attribute(node, "strides"), attribute(node, "dilations")
    pads, extra = attribute(node, "pads"), attribute(node, "output_padding", [0] * count)
    result: list[Dim] = []
    for axis, size in enumerate(data[2:]):
        extent = (int(weight[axis + 2]) - 1) * dilations[axis] + 1  # type: ignore[arg-type]
        more = extra[axis] + extent - pads[axis] - pads[axis + count]
        result.append(strides[axis] * (size - 1) + more if isinstance(size, int) else None)
    return [(data[0], int(weight[1]) * attribute(node, "group", 1), *result)]  # type: ignore[arg-type]


def windows(node: ir.Node, sizes: Sequence[Dim], kernel: Sequence[int], ceil: bool = False) -> list[Dim]:
    """Output sizes of a sliding window: floor((size + pads - extent) / stride) + 1, or the ceiling."""
    count = len(kernel)
    strides = attribute(node, "strides", [1] * count)
    dilations = attribute(node, "dilations", [1] * count)
    pads = attribute(node, "pads", [0] * 2 * count)
    result: list[Dim] = []
    for axis, size in enumerate(sizes):
        if not isinstance(size, int):
            unchanged = strides[axis] == 1 and pads[axis] + pads[axis + count] == (kernel[axis] - 1) * dilations[axis]
            result.append(size if unchanged else None)
            continue
        span = size + pads[axis] + pads[axis + count] - ((kernel[axis] - 1) * dilations[axis] + 1)
        if span < 0:
            raise ShapeMismatchError(f"{node.op_type} {node.name!r}: input size {size} is smaller than its window")
        steps = -(-span // strides[axis]) if ceil else span // strides[axis]
        if ceil and steps * strides[axis] >= size + pads[axis]:
            steps -= 1  # a window that would start behind the input is dropped
        result.append(steps + 1)
    return result


def pooling(node: ir.Node, shapes: Sequence[Shape | None]) -> list[Shape | None]:
    data = shapes[0] or ()
    kernel = attribute(node, "kernel_shape")
    return [(*data[:2], *windows(node, data[2:], kernel, bool(attribute(node, "ceil_mode", 0))))]


def global_pooling(node: ir.Node, shapes: Sequence[Shape | None]) -> list[Shape | None]:
    data = shapes[0] or ()
    return [(*data[:2], *[1] * (len(data) - 2))]


def gemm(node: ir.Node, shapes: Sequence[Shape | None]) -> list[Shape | None]:
    data, weight = shapes[0], shapes[1]
    if data is None or weight is None:
        return [None]
    inner, outer = (1, 0) if attribute(node, "transB", 0) else (0, 1)
    if isinstance(data[-1], int) and isinstance(weight[inner], int) and data[-1] != weight[inner]:
        raise ShapeMismatchError(f"{node.op_type} {node.name!r}: {data[-1]} features meet a weight for {weight[inner]}")
    return [(data[0], weight[outer])]


def matmul(node: ir.Node, shapes: Sequence[Shape | None]) -> list[Shape | None]:
    left, right = shapes[0], shapes[1]
    if left is None or right is None or not left or not right:
        return [None]
    if len(left) == 1 or len(right) == 1:  # a vector has no place in the result
        return [(*left[:-1], *(right[:-2] if len(right) > 1 else ()), *(right[-1:] if len(right) > 1 else ()))]
    if isinstance(left[-1], int) and isinstance(right[-2], int) and left[-1] != right[-2]:
        raise ShapeMismatchError(f"MatMul {node.name!r}: {left[-1]} features meet a weight for {right[-2]}")
    batch = broadcast(node, [left[:-2], right[:-2]])[0]
    return [None if batch is None else (*batch, left[-2], right[-1])]


def flatten(node: ir.Node, shapes: Sequence[Shape | None]) -> list[Shape | None]:
    data = shapes[0] or ()
    axis = attribute(node, "axis", 1)  # counted over the axes, not over the places between them
    axis = axis + len(data) if axis < 0 else axis
    return [(product(data[:axis]), product(data[axis:]))]


def product(dims: Sequence[Dim]) -> Dim:
    """Product of dimensions; a name survives when everything else is 1."""
    named = [dim for dim in dims if not isinstance(dim, int)]
    whole = math.prod(dim for dim in dims if isinstance(dim, int))
    if not named:
        return whole
    return named[0] if len(named) == 1 and whole == 1 else None


def reshape(node: ir.Node, shapes: Sequence[Shape | None]) -> list[Shape | None]:
    data, target = shapes[0] or (), constant(node.inputs[1])
    if target is None:
        length = (shapes[1] or (None,))[0]
        return [(None,) * length if isinstance(length, int) else None]
    result: list[Dim] = [data[i] if dim == 0 else int(dim) for i, dim in enumerate(target.tolist())]
    left, right = list(data), []
    for dim in result:
        if not isinstance(dim, int) and dim in left:
            left.remove(dim)  # a dynamic dimension that both sides have cancels out
        elif dim != -1:
            right.append(dim)
    whole, divisor = product(left), product(right)
    if isinstance(whole, int) and isinstance(divisor, int):
        if -1 in result and divisor > 0:
            result[result.index(-1)] = whole // divisor
        elif -1 not in result and whole != divisor:
            raise ShapeMismatchError(f"Reshape {node.name!r}: {list(data)} does not fill {list(result)}")
    return [tuple(None if dim == -1 else dim for dim in result)]


def transpose(node: ir.Node, shapes: Sequence[Shape | None]) -> list[Shape | None]:
    data = shapes[0] or ()
    order = attribute(node, "perm", list(range(len(data)))[::-1])
    return [tuple(data[axis] for axis in order)]


def concat(node: ir.Node, shapes: Sequence[Shape | None]) -> list[Shape | None]:
    first = shapes[0] or ()
    axis = attribute(node, "axis", 0) % len(first)
    result: list[Dim] = list(first)
    for shape in shapes[1:]:
        if shape is None or len(shape) != len(first):
            return [None]
        for index, dim in enumerate(shape):
            if index == axis:
                total = result[axis]
                result[axis] = total + dim if isinstance(total, int) and isinstance(dim, int) else None
            elif isinstance(dim, int) and not isinstance(result[index], int):
                result[index] = dim
    return [tuple(result)]


def squeeze(node: ir.Node, shapes: Sequence[Shape | None]) -> list[Shape | None]:
    data = shapes[0] or ()
    axes = constant(node.inputs[1]) if len(node.inputs) > 1 else None
    if len(node.inputs) == 1 and all(isinstance(dim, int) for dim in data):
        return [tuple(dim for dim in data if dim != 1)]
    if axes is None:
        return [None]
    dropped = {int(axis) % len(data) for axis in axes.reshape(-1)}
    return [tuple(dim for index, dim in enumerate(data) if index not in dropped)]


def unsqueeze(node: ir.Node, shapes: Sequence[Shape | None]) -> list[Shape | None]:
    data = shapes[0] or ()
    axes = constant(node.inputs[1])
    if axes is None:
        return [None]
    total = len(data) + axes.size
    added = {int(axis) % total for axis in axes.reshape(-1)}
    rest = iter(data)
    return [tuple(1 if index in added else next(rest) for index in range(total))]


def shape_vector(node: ir.Node, shapes: Sequence[Shape | None]) -> list[Shape | None]:
    data = shapes[0] or ()
    return [(len(data[attribute(node, "start", 0) : attribute(node, "end", None)]),)]


def reduction(node: ir.Node, shapes: Sequence[Shape | None]) -> list[Shape | None]:
    data = shapes[0] or ()
    axes = constant(node.inputs[1]) if len(node.inputs) > 1 else None
    if len(node.inputs) > 1 and node.inputs[1] is not None and axes is None:
        return [None]
    chosen = set(range(len(data))) if axes is None else {int(axis) % len(data) for axis in axes.reshape(-1)}
    if attribute(node, "keepdims", 1):
        return [tuple(1 if index in chosen else dim for index, dim in enumerate(data))]
    return [tuple(dim for index, dim in enumerate(data) if index not in chosen)]


def sliced(node: ir.Node, shapes: Sequence[Shape | None]) -> list[Shape | None]:
    """Rank is kept; a sliced dimension is told where all is constant, the others stay."""
    data = list(shapes[0] or ())
    starts, ends = constant(node.inputs[1]), constant(node.inputs[2])
    axes = constant(node.inputs[3]) if len(node.inputs) > 3 else None
    steps = constant(node.inputs[4]) if len(node.inputs) > 4 else None
    if len(node.inputs) > 3 and node.inputs[3] is not None and axes is None:
        return [(None,) * len(data)]
    count = len(data) if starts is None else len(starts)  # without axes the first ones are meant
    chosen = range(count) if axes is None else [int(axis) % len(data) for axis in axes]
    for position, axis in enumerate(chosen):
        size = data[axis]
        if starts is None or ends is None or not isinstance(size, int):
            data[axis] = None
            continue
        step = 1 if steps is None else int(steps[position])
        data[axis] = len(range(size)[slice(int(starts[position]), int(ends[position]), step)])
    return [tuple(data)]


def resize(node: ir.Node, shapes: Sequence[Shape | None]) -> list[Shape | None]:
    data = shapes[0] or ()
    scales = constant(node.inputs[2]) if len(node.inputs) > 2 else None
    if scales is None or scales.size != len(data):
        return [(*data[:2], *[None] * (len(data) - 2))]
    result: list[Dim] = []
    for dim, factor in zip(data, scales, strict=True):
        result.append(dim if factor == 1 else int(dim * factor) if isinstance(dim, int) else None)
    return [tuple(result)]


def batch_normalization(node: ir.Node, shapes: Sequence[Shape | None]) -> list[Shape | None]:
    data, scale = shapes[0] or (), shapes[1]
    if len(data) > 1 and scale and isinstance(data[1], int) and isinstance(scale[0], int) and data[1] != scale[0]:
        raise ShapeMismatchError(f"{node.op_type} {node.name!r}: {data[1]} channels meet {scale[0]} scales")
    return [data]


KEEPS_SHAPE = (
    *("Relu", "PRelu", "LeakyRelu", "Elu", "Selu", "Gelu", "Sigmoid", "HardSigmoid", "HardSwish", "Mish", "Tanh"),
    *("Softplus", "Softsign", "Clip", "Softmax", "LogSoftmax", "Identity", "Dropout", "Cast", "Not", "Erf"),
    *("Sqrt", "Exp", "Log", "Abs", "Neg", "Reciprocal", "Floor", "Ceil"),
    *("Sign", "Sin", "Cos", "Tan", "Asin", "Acos", "Atan", "Sinh", "Cosh", "Asinh", "Acosh", "Atanh", "Round"),
    *("LpNormalization", "LRN", "InstanceNormalization", "LayerNormalization"),
)

BROADCASTS = (
    *("Add", "Sub", "Mul", "Div", "Pow", "Min", "Max", "Sum", "Where", "And", "Or", "Mod"),
    *("Equal", "Less", "Greater", "LessOrEqual", "GreaterOrEqual"),
)
REDUCTIONS = (
    *("ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin", "ReduceProd"),
    *("ReduceL1", "ReduceL2", "ReduceSumSquare", "ReduceLogSumExp"),
)

SHAPE_RULES: dict[str, Callable[[ir.Node, Sequence[Shape | None]], list[Shape | None]]] = {
    "Conv": convolution,
    "ConvTranspose": transposed_convolution,
    "MaxPool": pooling,
    "AveragePool": pooling,
    "GlobalAveragePool": global_pooling,
    "GlobalMaxPool": global_pooling,
    "BatchNormalization": batch_normalization,
    "Gemm": gemm,
    "MatMul": matmul,
    "Flatten": flatten,
    "Reshape": reshape,
    "Transpose": transpose,
    "Concat": concat,
    "Squeeze": squeeze,
    "Unsqueeze": unsqueeze,
    "Shape": shape_vector,
    "Slice": sliced,
    "Resize": resize,
    **PART_RULES,
    **dict.fromkeys(BROADCASTS, broadcast),
    **dict.fromkeys(REDUCTIONS, reduction),
    **dict.fromkeys(KEEPS_SHAPE, same_as_first),
}

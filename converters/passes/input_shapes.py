"""Input shapes of a graph whose source holds none, and the input contracts that follow from shapes.

An MXNet symbol does not say how large its input is. Channels follow from the first convolution. Height and width
follow from a fully-connected layer behind a flatten, or from a reshape to fixed sizes: what facecvt recorded when it
wrote the symbol is tried, then the sizes that face models use, of which the first that fits is taken and said so.
Without such a layer they stay dynamic. A reshape to fixed sizes fixes the batch too.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from facecvt.converters.contract import InputContract
from facecvt.converters.errors import UsageError
from facecvt.converters.graph import Graph, attribute, constant, name_of
from facecvt.converters.onnx_ir_lazy import ir
from facecvt.converters.passes.infer_shapes import ShapeMismatchError, infer_shapes
from facecvt.converters.passes.settle_tiles import settle_tiles

# (height, width): aligned faces first, then the MTCNN stages, then what backbones and detectors are trained on.
FACE_SIZES = (
    (112, 112), (24, 24), (48, 48), (12, 12), (112, 96), (128, 128), (96, 96), (224, 224), (160, 160), (64, 64),
    (32, 32), (28, 28), (56, 56), (80, 80), (192, 192), (256, 256), (299, 299), (320, 320), (640, 640),
)  # fmt: skip

MISFIT = 0  # samples


def settle_input_shapes(
    graph: Graph,
    given: Mapping[str, Sequence[int | str]],
    source: str,
    recorded: Mapping[str, tuple[int, int]] | None = None,
) -> None:
    """Give every input a shape and a contract, and every value the shape that follows.

    Args:
        graph: a graph whose inputs bear no shape.
        given: shapes that the caller knows, batch included, by input name.
        source: the file, for messages.
        recorded: height and width by input name, to be believed where they fit and nothing is given.

    Raises:
        UsageError: a given name is no input, or a given shape does not fit the weights.
    """
    names = [name_of(value) for value in graph.inputs]
    for name in given:
        if name not in names:
            raise UsageError(f"{source}: has no input {name!r}; its inputs are {', '.join(names)}")
    for value in graph.inputs:
        if name_of(value) in given:
            value.shape = ir.Shape(list(given[name_of(value)]))
    if given:
        try:
            infer_shapes(graph)
        except ShapeMismatchError as error:
            raise UsageError(f"{source}: the given input shape does not fit the model: {error}") from error
    open_inputs = [value for value in graph.inputs if value.shape is None]
    for value in open_inputs:
        channels = channels_behind(value)
        if channels is None:
            value.shape = ir.Shape(["batch"] + [f"{name_of(value)}_dim{axis}" for axis in (1, 2, 3)])
            infer_shapes(graph)
        else:
            settle_size(graph, value, channels, source, (recorded or {}).get(name_of(value)))
    describe_inputs(graph)


def settle_size(
    graph: Graph, value: ir.Value, channels: int, source: str, recorded: tuple[int, int] | None = None
) -> None:
    """Height and width of one image input: fixed where a fully-connected weight asks for it, else dynamic."""
    value.shape = ir.Shape(["batch", channels, "height", "width"])
    if not has_sized_layer(graph):
        return
    failures: list[str] = []
    for height, width in (*([recorded] if recorded is not None else []), *FACE_SIZES):
        value.shape = ir.Shape(["batch", channels, height, width])
        try:
            infer_shapes(graph)
        except ShapeMismatchError as error:
            failures.append(str(error))
            clear_shapes(graph)
            continue
        batches = {batch_of_reshape(node) for node in graph.body} - {None}
        if len(batches) > 1 or MISFIT in batches:
            failures.append("a Reshape to fixed sizes has another number of elements")
            clear_shapes(graph)
            continue
        if batches:
            value.shape = ir.Shape([*batches, channels, height, width])
            clear_shapes(graph)
            infer_shapes(graph)
        if (height, width) == recorded:
            return
        graph.warnings.append(
            f"input {name_of(value)!r}: {channels}x{height}x{width} was deduced from the layers behind it; "
            f"`--input {name_of(value)}=batch,{channels},H,W` says otherwise"
        )
        return
    raise UsageError(
        f"{source}: the size of input {name_of(value)!r} could not be deduced ({failures[0]}). "
        f"Give it: --input {name_of(value)}=batch,{channels},H,W"
    )


def has_sized_layer(graph: Graph) -> bool:
    """Whether some layer wants a number of features that depends on height and width."""
    clear_shapes(graph)
    infer_shapes(graph)
    settle_tiles(graph)  # so that sizes behind a Tile can be told
    if any(wants_known_size(node) for node in graph.body):
        clear_shapes(graph)
        return True
    return False


def wants_known_size(node: ir.Node) -> bool:
    """A Gemm or MatMul by a weight, or a Reshape to fixed sizes, of a value whose size is still open."""
    if node.op_type not in ("Gemm", "MatMul", "Reshape") or constant(node.inputs[1]) is None:
        return False
    data = node.inputs[0].shape if node.inputs[0] is not None else None
    if node.op_type != "Reshape":
        return data is None or not isinstance(data[-1], int)
    fixed = [dim for dim in constant(node.inputs[1]).reshape(-1) if dim != 0]  # type: ignore[union-attr]
    return bool(fixed) and -1 not in fixed and data is not None and not all(isinstance(dim, int) for dim in data[1:])


def batch_of_reshape(node: ir.Node) -> int | None:
    """Samples that a Reshape to fixed sizes holds: as many as its first size says, or one that it spreads over several.

    None where the node leaves the number of samples open, MISFIT where neither gives the number of elements.
    """
    shape = constant(node.inputs[1]) if node.op_type == "Reshape" else None
    data = node.inputs[0].shape if node.inputs and node.inputs[0] is not None else None
    if shape is None or data is None or not len(data) or isinstance(data[0], int):
        return None
    sizes, sample = shape.reshape(-1).tolist(), list(data[1:])
    if not sizes or min(sizes) < 1 or not all(isinstance(size, int) for size in sample):
        return None
    batch, rest = divmod(math.prod(sizes), math.prod(sample) or 1)
    return int(batch) if not rest and batch in (1, sizes[0]) else MISFIT


def clear_shapes(graph: Graph) -> None:
    """Forget the shapes of computed values."""
    for node in graph.body:
        for value in node.outputs:
            value.shape = None


def channels_behind(value: ir.Value) -> int | None:
    """Channels of an image input, from the first Conv or BatchNormalization it reaches; None where it reaches none."""
    waiting, seen = [value], set()
    while waiting:
        current = waiting.pop(0)
        for use in current.uses():
            node = use.node
            if id(node) in seen:
                continue
            seen.add(id(node))
            weight = constant(node.inputs[1]) if len(node.inputs) > 1 else None
            if node.op_type == "Conv" and weight is not None and use.idx == 0:
                return int(weight.shape[1]) * int(attribute(node, "group", 1))
            if node.op_type == "BatchNormalization" and weight is not None:
                return int(weight.shape[0])
            waiting.extend(node.outputs)
    return None


def describe_inputs(graph: Graph) -> None:
    """Write one contract an input from its shape; normalisation inside the graph is found by a later pass."""
    graph.contracts = []
    for value in graph.inputs:
        shape = [] if value.shape is None else list(value.shape)
        dims = tuple(
            dim if isinstance(dim, int) else str(dim.value or f"{name_of(value)}_dim{axis}")
            for axis, dim in enumerate(shape)
        )
        image = len(dims) == 4 and dims[1] in (1, 3, 4)
        dtype = value.dtype.numpy().name if value.dtype is not None else "float32"
        graph.contracts.append(InputContract(name_of(value), dims, dtype, layout="NCHW" if image else None))

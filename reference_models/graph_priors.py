"""Prior boxes in a canonical graph: an output that depends on the sizes of maps and image alone.

However a source spells them, as constants for one size or as arithmetic on shapes, they are read by what they are: the
part of the graph behind the output is computed at two image sizes and held against

    x1, y1, x2, y2 = ((column + 1/2) step -+ size/2) / width, ((row + 1/2) step -+ size/2) / height

for all rows and columns that are ceil(height / step) and ceil(width / step), and all sizes of a cell. Step and sizes
are read off the first cell. The maps' sizes follow from the pieces of the skeleton.
"""

from __future__ import annotations

import math
from collections.abc import Container, Iterable, Mapping, Sequence

import numpy as np

from facecvt.converters.graph import NumpyArray, attribute, constant, dims, name_of
from facecvt.converters.onnx_ir_lazy import ir
from facecvt.reference_models.skeleton import NETWORK_INPUT, Piece

TRIED = ((96, 160), (100, 140))  # height and width; the second no multiples of the steps
CLOSE = 1e-5
OPSET = 21
Size = tuple[int, int]


def read_priors(
    value: ir.Value,
    image: ir.Value,
    index_of: Mapping[ir.Value, int],
    pieces: Sequence[Piece],
    measured: Container[ir.Value],
) -> dict[str, object] | None:
    """Step and sizes of the prior boxes that an output is; None where it is something else.

    Args:
        value: the output.
        image: the network's input.
        index_of: value -> its piece.
        pieces: of the skeleton, as far as it goes.
        measured: the values that depend on shapes alone.
    """
    if value not in measured:
        return None
    nodes = shape_arithmetic(value, measured)
    read = {node.inputs[0] for node in nodes if node.op_type == "Shape"} - {None}
    maps = [source for source in read if source is not None and source not in measured]
    found: list[dict[str, object] | None] = []
    for extent in fixed_size(image) or TRIED:
        sizes: dict[ir.Value, Size] = {}
        for source in maps:
            size = size_behind(pieces, index_of.get(source, NETWORK_INPUT), extent)
            if size is None:
                return None
            sizes[source] = size
        boxes = computed(value, nodes, sizes)
        found.append(None if boxes is None else formula(boxes, extent))
    return found[0] if found[0] == found[-1] else None


def fixed_size(image: ir.Value) -> list[Size]:
    """Height and width of an input that has them, for which boxes may be constants."""
    extent = dims(image)
    if extent is None or len(extent) != 4 or not isinstance(extent[2], int) or not isinstance(extent[3], int):
        return []
    return [(extent[2], extent[3])]


def depends_on_shapes(node: ir.Node, measured: Container[ir.Value]) -> bool:
    """True where a node reads constants, shapes and what was computed from them alone.

    Args:
        node: the node.
        measured: the values in front of it of which this is true.
    """
    if node.op_type == "Shape":
        return True
    return all(item is None or item in measured or constant(item) is not None for item in node.inputs)


def shape_arithmetic(value: ir.Value, measured: Container[ir.Value]) -> list[ir.Node]:
    """The nodes behind a measured value, in order, from the shapes of maps on."""
    ordered: list[ir.Node] = []
    entered: set[ir.Node] = set()
    pending: list[tuple[ir.Node | None, bool]] = [(value.producer(), False)]
    while pending:
        node, left = pending.pop()
        if node is None or (not left and node in entered):
            continue
        entered.add(node)
        if left:
            ordered.append(node)
            continue
        pending.append((node, True))
        pending += [(item.producer(), False) for item in node.inputs if item is not None and item in measured]
    return ordered


def size_behind(pieces: Sequence[Piece], index: int, extent: Size) -> Size | None:
    """Height and width of the maps that a piece gives for an image of this size; None where that is not told."""
    if index == NETWORK_INPUT:
        return extent
    piece = pieces[index]
    sizes = [size_behind(pieces, source, extent) for source in piece.inputs]
    size = next((found for found in sizes if found is not None), None)
    if size is None or piece.op == "Resize":
        return None
    if "kernel_shape" not in piece.attributes:
        return size
    height, width = (windows(piece.attributes, axis, length) for axis, length in enumerate(size))
    return height, width


def windows(attributes: Mapping[str, object], axis: int, length: int) -> int:
    """How often a window fits."""

    def of(name: str, usual: Sequence[int]) -> Sequence[int]:
        given = attributes.get(name, usual)
        return given if isinstance(given, (list, tuple)) else usual

    pads = of("pads", (0, 0, 0, 0))
    reach = (of("kernel_shape", (1, 1))[axis] - 1) * of("dilations", (1, 1))[axis] + 1
    room, stride = length + pads[axis] + pads[axis + 2] - reach, of("strides", (1, 1))[axis]
    return (-(-room // stride) if attributes.get("ceil_mode") else room // stride) + 1


def computed(value: ir.Value, nodes: Iterable[ir.Node], sizes: Mapping[ir.Value, Size]) -> NumpyArray | None:
    """What shape arithmetic gives for maps of these sizes; None where ONNX's reference cannot compute it."""
    from onnx import TensorProto, helper, numpy_helper
    from onnx.reference import ReferenceEvaluator

    given: dict[str, NumpyArray] = {}
    steps = []
    for node in nodes:
        source = node.inputs[0]
        if node.op_type == "Shape" and source is not None and source in sizes:
            shape = np.array([1, 1, *sizes[source]], np.int64)
            given[name_of(node.outputs[0])] = shape[attribute(node, "start", 0) : attribute(node, "end", None)]
            continue
        for item in node.inputs:
            array = constant(item)
            if item is not None and array is not None:
                given[name_of(item)] = array
        steps.append(ir.to_proto(node))
    graph = helper.make_graph(
        steps,
        "priors",
        [],
        [helper.make_tensor_value_info(name_of(value), TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.array(array), name) for name, array in given.items()],
    )
    try:
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)])
        (boxes,) = ReferenceEvaluator(model).run(None, {})
    except (RuntimeError, ValueError, TypeError, IndexError, KeyError, NotImplementedError):
        return None  # not priors, then: those of the listings can be computed
    return np.asarray(boxes)


def formula(boxes: NumpyArray, extent: Size) -> dict[str, object] | None:
    """Step and sizes of boxes (n, 4) that are the prior boxes of an image of this size; None where they are not."""
    if boxes.ndim != 2 or boxes.shape[1] != 4 or not len(boxes):
        return None
    height, width = extent
    pixels = boxes.astype(np.float64) * (width, height, width, height)
    step = round(float(pixels[0, 0] + pixels[0, 2]), 3)
    if step <= 0:
        return None
    rows, columns = math.ceil(height / step), math.ceil(width / step)
    count, rest = divmod(len(boxes), rows * columns)
    if rest or not count:
        return None
    sizes = [round(float(size), 3) for size in pixels[:count, 2] - pixels[:count, 0]]
    middle = np.empty((rows, columns, 1, 2))
    middle[..., 0] = ((np.arange(columns) + 0.5) * step)[None, :, None]
    middle[..., 1] = ((np.arange(rows) + 0.5) * step)[:, None, None]
    half = np.array(sizes)[:, None] / 2
    expected = np.concatenate([middle - half, middle + half], axis=-1).reshape(-1, 4)
    return {"step": step, "sizes": tuple(sizes)} if np.abs(pixels - expected).max() < CLOSE * max(extent) else None

"""Detections picked out of many boxes: non-maximum suppression, and the picking by rank and place that it needs.

    Paddle multiclass_nms, 2, 3   of every image and class but the background: boxes with a score above score_threshold,
                                  of these the nms_top_k best; then, best first, each that overlaps none that is kept by
                                  more than nms_threshold; of all classes of an image the keep_top_k best.
                                  Out (n, 6): class, score, corners; ordered by image, class, falling score.
                                  Index: place among all boxes of all images. NmsRoisNum: how many of each image.

ONNX's NonMaxSuppression does the middle of that, class by class; ranks before and behind it are cut with TopK and by
counting who is better. Sources: Paddle 3.3.1 ``phi/kernels/cpu/multiclass_nms3_kernel.cc``; the ONNX operator
specification; torch 2.13, which has no such function, so that a ``model.py`` gets one of its own.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from facecvt.converters.errors import ConversionError
from facecvt.converters.graph import Builder, attribute, dims
from facecvt.converters.onnx_ir_lazy import ir
from facecvt.converters.ops.registry import from_onnx, from_paddle, to_torch
from facecvt.converters.ops.unchanged import unchanged
from facecvt.converters.source_ops import OnnxOp, PaddleOp
from facecvt.converters.torch_code import TorchCode

NEVER = -3.4e38  # a score that no threshold lets pass
ALL = 2**31 - 1

# ---- Paddle ----------------------------------------------------------------------------------------------------------


@from_paddle("multiclass_nms", "multiclass_nms2", "multiclass_nms3")
def multiclass_nms_from_paddle(op: PaddleOp, b: Builder) -> Any:
    """Out, Index and NmsRoisNum, as far as the form has them."""
    boxes, scores = op.value("BBoxes", 0), op.value("Scores", 1)
    sizes = dims(scores)
    if op.optional("RoisNum", 2) is not None or sizes is None or len(sizes) != 3 or (dims(boxes) or (4,))[-1] != 4:
        raise op.refuse("boxes (N, M, 4) with scores (N, C, M) are supported, not lists of other forms")
    if op.number("nms_eta", 1.0) != 1.0 or not op.boolean("normalized", True):
        raise op.refuse("nms_eta 1 and normalized True are supported only")
    background, top, keep = op.integer("background_label", 0), op.integer("nms_top_k"), op.integer("keep_top_k")
    least, overlap = op.number("score_threshold"), op.number("nms_threshold", 0.3)
    classes, count = sizes[1], sizes[2]
    if classes is None:
        raise op.refuse("the number of classes is not known")
    ranked = leading_scores(b, scores, top, count) if top >= 0 and not (count is not None and top >= count) else scores
    if 0 <= background < classes:
        shut = np.zeros((1, classes, 1), bool)
        shut[0, background] = True
        ranked = b.emit("Where", [b.const(shut, None), b.const(NEVER, np.float32), ranked])
        classes -= 1
    limits = [b.const([ALL if keep < 0 else keep]), *(b.const([value], np.float32) for value in (overlap, least))]
    chosen = b.emit("NonMaxSuppression", [boxes, ranked, *limits])
    if keep >= 0 and classes > 1:
        chosen = best_of_each_image(b, chosen, scores, keep)
    image, kind, box = (column(b, chosen, place) for place in range(3))
    number = b.emit("Unsqueeze", [b.emit("GatherND", [scores, chosen]), b.const([1])])
    corners = b.emit("GatherND", [boxes, b.emit("Concat", [image, box], axis=1)])
    found = b.emit("Concat", [b.emit("Cast", [kind], to=int(ir.DataType.FLOAT)), number, corners], axis=1)
    if op.op == "multiclass_nms":
        b.graph.warnings.append(
            f"{op.op} {op.name!r}: where nothing is found the result has no rows; Paddle's has one row that is -1"
        )
        return found
    whole = b.emit("Mul", [image, b.const([count])]) if count is not None else b.emit("Mul", [image, length(b, scores)])
    place = b.emit("Cast", [b.emit("Add", [whole, box])], to=int(ir.DataType.INT32))
    return [found, place, counts_of_images(b, image, scores)]


def column(b: Builder, chosen: ir.Value, place: int) -> ir.Value:
    """One of the three numbers (image, class, box) of all that are chosen, (n, 1)."""
    part: ir.Value = b.emit("Slice", [chosen, b.const([place]), b.const([place + 1]), b.const([1])])
    return part


def length(b: Builder, scores: ir.Value) -> ir.Value:
    """How many boxes an image has, as a vector of one."""
    count: ir.Value = b.emit("Slice", [b.emit("Shape", [scores]), b.const([2]), b.const([3]), b.const([0])])
    return count


def leading_scores(b: Builder, scores: ir.Value, top: int, count: int | None) -> ir.Value:
    """The scores with all but the ``top`` best of each image and class out of reach; of equals the first.

    Where it is not known that there are as many, so many are put behind them first, which win nothing.
    """
    whole, never = scores, b.const(NEVER, np.float32)
    if count is None:
        sizes = b.emit("Slice", [b.emit("Shape", [scores]), b.const([0]), b.const([2]), b.const([0])])
        more = b.emit("Expand", [never, b.emit("Concat", [sizes, b.const([top])], axis=0)])
        whole = b.emit("Concat", [scores, more], axis=2)
    values, places = b.emit("TopK", [whole, b.const([top])], outputs=2, axis=-1, largest=1, sorted=1)
    nothing = b.emit("Expand", [never, b.emit("Shape", [whole])])
    kept: ir.Value = b.emit("ScatterElements", [nothing, places, values], axis=2)
    if count is None:
        kept = b.emit("Slice", [kept, b.const([0]), length(b, scores), b.const([2])])
    return kept


def best_of_each_image(b: Builder, chosen: ir.Value, scores: ir.Value, keep: int) -> ir.Value:
    """Those of which fewer than ``keep`` of their image are better; of equals the first."""
    image = column(b, chosen, 0)
    score = b.emit("Unsqueeze", [b.emit("GatherND", [scores, chosen]), b.const([1])])
    count = b.emit("Gather", [b.emit("Shape", [chosen]), b.const(0)], axis=0)
    places = b.emit("Unsqueeze", [b.emit("Range", [b.const(0), count, b.const(1)]), b.const([1])])
    across = [b.emit("Transpose", [value], perm=[1, 0]) for value in (image, score, places)]
    same = b.emit("Equal", [image, across[0]])
    equal = b.emit("And", [b.emit("Equal", [score, across[1]]), b.emit("Less", [across[2], places])])
    better = b.emit("Or", [b.emit("Less", [score, across[1]]), equal])
    ahead = b.emit("Cast", [b.emit("And", [same, better])], to=int(ir.DataType.FLOAT))
    rank = b.emit("ReduceSum", [ahead, b.const([1])], keepdims=0)
    kept = b.emit("NonZero", [b.emit("Less", [rank, b.const(float(keep), np.float32)])])
    best: ir.Value = b.emit("Gather", [chosen, b.emit("Squeeze", [kept, b.const([0])])], axis=0)
    return best


def counts_of_images(b: Builder, image: ir.Value, scores: ir.Value) -> ir.Value:
    """How many detections each image has, int32."""
    images = b.emit("Gather", [b.emit("Shape", [scores]), b.const(0)], axis=0)
    numbers = b.emit("Unsqueeze", [b.emit("Range", [b.const(0), images, b.const(1)]), b.const([1])])
    its = b.emit("Equal", [numbers, b.emit("Transpose", [image], perm=[1, 0])])
    total = b.emit("ReduceSum", [b.emit("Cast", [its], to=int(ir.DataType.FLOAT)), b.const([1])], keepdims=0)
    counts: ir.Value = b.emit("Cast", [total], to=int(ir.DataType.INT32))
    return counts


# ---- ONNX ------------------------------------------------------------------------------------------------------------


@from_onnx("NonMaxSuppression")
def non_max_suppression_from_onnx(op: OnnxOp, b: Builder) -> Any:
    """Boxes as corners, or, with center_point_box, as middles and sizes."""
    values = [op.value(0), op.value(1), *(op.input(place) for place in (2, 3, 4))]
    if int(op.raw("center_point_box", 0)):
        low, high = (b.emit("Slice", [values[0], b.const([i]), b.const([i + 2]), b.const([-1])]) for i in (0, 2))
        half = b.emit("Mul", [high, b.const(0.5, np.float32)])
        values[0] = b.emit("Concat", [b.emit("Sub", [low, half]), b.emit("Add", [low, half])], axis=-1)
    return b.emit("NonMaxSuppression", values)


@from_onnx("TopK")
def top_k_from_onnx(op: OnnxOp, b: Builder) -> Any:
    """How many is an attribute before opset 10."""
    wanted = b.const([int(op.raw("k"))]) if op.has("k") else op.value(1)
    options = {
        "axis": int(op.raw("axis", -1)),
        "largest": int(op.raw("largest", 1)),
        "sorted": int(op.raw("sorted", 1)),
    }
    return b.emit("TopK", [op.value(0), wanted], outputs=2, **options)


@from_onnx("ScatterElements")
def scatter_elements_from_onnx(op: OnnxOp, b: Builder) -> Any:
    if str(op.raw("reduction", "none")) != "none":
        raise op.refuse("only reduction 'none' is supported")
    return b.emit("ScatterElements", [op.value(0), op.value(1), op.value(2)], axis=int(op.raw("axis", 0)))


@from_onnx("GatherND")
def gather_nd_from_onnx(op: OnnxOp, b: Builder) -> Any:
    if int(op.raw("batch_dims", 0)):
        raise op.refuse("only batch_dims 0 is supported")
    return unchanged(op, b)


# ---- PyTorch ---------------------------------------------------------------------------------------------------------

NON_MAX_SUPPRESSION = '''
def non_max_suppression(
    boxes: torch.Tensor, scores: torch.Tensor, most: int, overlap: float, least: float
) -> torch.Tensor:
    """Of every image and class the boxes that overlap no better one too much: rows (image, class, box), best first.

    Args:
        boxes: (images, boxes, 4), two opposite corners.
        scores: (images, classes, boxes).
        most: how many a class of an image may keep.
        overlap: intersection over union above which the lesser box goes.
        least: only scores above this count.
    """
    kept = []
    for image in range(scores.shape[0]):
        low = torch.minimum(boxes[image, :, :2], boxes[image, :, 2:])
        high = torch.maximum(boxes[image, :, :2], boxes[image, :, 2:])
        area = (high - low).prod(dim=1)
        for kind in range(scores.shape[1]):
            score = scores[image, kind]
            order = torch.argsort(score, descending=True, stable=True)
            order = order[score[order] > least]
            count = 0
            while len(order) and count < most:
                best, order = order[0], order[1:]
                kept.append((image, kind, int(best)))
                count += 1
                size = torch.minimum(high[best], high[order]) - torch.maximum(low[best], low[order])
                shared = size.clamp(min=0).prod(dim=1)
                order = order[~(shared / (area[best] + area[order] - shared) > overlap)]
    return torch.tensor(kept, dtype=torch.int64, device=boxes.device).reshape(-1, 3)
'''


@to_torch("NonMaxSuppression")
def non_max_suppression_to_torch(node: ir.Node, t: TorchCode) -> None:
    given = [*node.inputs[2:], None, None, None][:3]
    numbers = [t.scalar(value) if value is not None else None for value in given]
    if any(value is not None and number is None for value, number in zip(given, numbers, strict=True)):
        raise ConversionError(f"NonMaxSuppression {node.name!r}: its limits are computed; they have to be constants")
    most, overlap, least = (0 if numbers[0] is None else int(numbers[0])), numbers[1] or 0.0, numbers[2]
    t.helper("non_max_suppression", NON_MAX_SUPPRESSION)
    threshold = 'float("-inf")' if least is None else t.number(least)
    arguments = f"{t.arg(node.inputs[0])}, {t.arg(node.inputs[1])}, {most}, {t.number(overlap)}, {threshold}"
    t.assign(node.outputs[0], f"non_max_suppression({arguments})")


@to_torch("TopK")
def top_k_to_torch(node: ir.Node, t: TorchCode) -> None:
    """torch.topk leaves open which of equal elements comes first; a stable sort does not."""
    wanted, axis = t.ints(node.inputs[1]), attribute(node, "axis", -1)
    largest = bool(attribute(node, "largest", 1))
    if wanted is None:
        raise ConversionError(f"TopK {node.name!r}: how many is computed from data")
    ordered = f"torch.sort({t.arg(node.inputs[0])}, dim={axis}, descending={largest}, stable=True)"
    t.assign_many(list(node.outputs), f"(part.narrow({axis}, 0, ({wanted})[0]) for part in {ordered})")


@to_torch("ScatterElements")
def scatter_elements_to_torch(node: ir.Node, t: TorchCode) -> None:
    data, places, values = (t.arg(value) for value in node.inputs)
    axis = attribute(node, "axis", 0)
    t.assign(node.outputs[0], f"{data}.scatter({axis}, {places} % {data}.shape[{axis}], {values})")  # -1 is the last


@to_torch("GatherND")
def gather_nd_to_torch(node: ir.Node, t: TorchCode) -> None:
    data, places = (t.arg(value) for value in node.inputs)
    t.assign(node.outputs[0], f"{data}[tuple({places}.unbind(-1))]")

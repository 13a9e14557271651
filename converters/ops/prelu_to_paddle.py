"""PRelu, written to Paddle: prelu with one slope (mode all), one a channel, or one an element of a sample.

Any other slope, and one that is computed, is written out: x where x >= 0, slope * x elsewhere. Source: Paddle 3.3.1
``prelu``.
"""

from __future__ import annotations

import numpy as np

from facecvt.converters.graph import constant
from facecvt.converters.onnx_ir_lazy import ir
from facecvt.converters.ops.prelu import is_per_channel
from facecvt.converters.ops.registry import to_paddle
from facecvt.converters.paddle_nodes import PaddleNodes


@to_paddle("PRelu")
def prelu_to_paddle(node: ir.Node, p: PaddleNodes) -> None:
    x, slope, result = node.inputs[0], node.inputs[1], node.outputs[0]
    array, shape = constant(slope), p.shape(x)
    if array is not None and slope is not None:
        if array.size == 1:
            p.emit("prelu", {"X": x, "Alpha": p.reshaped(slope, (1,))}, result, mode="all")
            return
        if is_per_channel(array, len(shape)):
            p.emit("prelu", {"X": x, "Alpha": p.reshaped(slope, (array.size,))}, result, mode="channel")
            return
        if array.shape == shape[1:]:
            p.emit("prelu", {"X": x, "Alpha": p.reshaped(slope, (1, *array.shape))}, result, mode="element")
            return
    zero = p.constant(0, p.dtype(x))
    above = p.emit("greater_equal", {"X": x, "Y": zero}, typed=np.bool_)
    below = p.emit("elementwise_mul", {"X": x, "Y": slope})
    p.emit("where", {"Condition": above, "X": x, "Y": below}, result)

"""A small net of the layers that the reference architectures lack, so that faults of theirs have a place too.

mean and scale in the graph;  dilated convolution, ReLU6
convolution in two groups, PReLU over as many columns as channels
two branches (LeakyReLU, hard swish) concatenated;  padded average pool, max pool with sizes rounded up
Resize nearest and linear, softmax: the second output;  squeeze and excitation with a hard sigmoid
flatten, a square matrix, L2 normalisation with a least norm: the first output
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from facecvt.converters.graph import NumpyArray

WIDTH, SIZE = 8, 16


def write_rare_net(path: Path, seed: int = 0) -> Path:
    """Write the net of the module's docstring as an ``.onnx`` file, with the weights of a seed."""
    import onnx
    from onnx import TensorProto, helper

    nodes: list[Any] = []
    weights: dict[str, NumpyArray] = {}
    random = np.random.RandomState(seed)

    def add(op: str, inputs: list[str], output: str, **attributes: Any) -> str:
        nodes.append(helper.make_node(op, inputs, [output], name=f"node_{output}", **attributes))
        return output

    def const(name: str, array: Any) -> str:
        weights[name] = np.asarray(array, np.float32)
        return name

    def conv(name: str, read: str, outputs: int, inputs: int, size: int = 3, **attributes: Any) -> str:
        attributes = {"group": 1, "strides": [1, 1], "dilations": [1, 1], "pads": [size // 2] * 4, **attributes}
        shape = (outputs, inputs // attributes["group"], size, size)
        const(f"{name}_w", random.standard_normal(shape) * np.sqrt(2.0 / np.prod(shape[1:])))
        const(f"{name}_b", random.standard_normal(outputs) * 0.5)
        return add("Conv", [read, f"{name}_w", f"{name}_b"], name, kernel_shape=[size, size], **attributes)

    zero, six = const("zero", 0.0), const("six", 6.0)
    value = add("Sub", ["data", const("level", 127.5)], "centred")
    value = conv("stem", add("Mul", [value, const("factor", 1 / 128)], "scaled"), WIDTH, 3)
    weights["stem_w"] *= np.float32(4.0)
    value = add("Clip", [value, zero, six], "clipped")
    value = conv("dilated", value, WIDTH, WIDTH, dilations=[2, 2], pads=[2, 2, 2, 2])
    value = add("Relu", [value], "relu")
    value = conv("grouped", value, WIDTH, WIDTH, group=2, strides=[2, 2])
    value = add("PRelu", [value, const("slope", random.uniform(0.1, 0.4, (WIDTH, 1, 1)))], "prelu")
    left = add("LeakyRelu", [conv("left", value, WIDTH, WIDTH)], "leaky", alpha=0.1)
    right = add("HardSwish", [conv("right", value, WIDTH, WIDTH)], "swish")
    value = add("Concat", [left, right], "both", axis=1)
    value = add(
        "AveragePool", [value], "mean", kernel_shape=[3, 3], strides=[1, 1], pads=[1, 1, 1, 1], count_include_pad=0
    )
    squeezed = conv("squeeze", add("GlobalAveragePool", [value], "squeezed"), 2 * WIDTH, 2 * WIDTH, 1)
    value = add("Mul", [value, add("HardSigmoid", [squeezed], "gate", alpha=1 / 6, beta=0.5)], "gated")
    rounded = add("MaxPool", [value], "rounded", kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1)
    value = add("MaxPool", [value], "pooled", kernel_shape=[2, 2], strides=[2, 2])
    twice = const("twice", [1.0, 1.0, 2.0, 2.0])
    up = add(
        "Resize",
        [rounded, "", twice],
        "nearest",
        mode="nearest",
        coordinate_transformation_mode="asymmetric",
        nearest_mode="floor",
    )
    up = conv("after", up, 4, 2 * WIDTH)
    up = add("Resize", [up, "", twice], "linear", mode="linear", coordinate_transformation_mode="half_pixel")
    add("Softmax", [conv("scores", up, 4, 4, 1)], "maps", axis=1)
    value = add("Flatten", [conv("last", value, 4, 2 * WIDTH, 1)], "flat", axis=1)
    const("fc_w", random.standard_normal((64, 64)) / 8.0)
    value = add("Gemm", [value, "fc_w", const("fc_b", random.standard_normal(64))], "fc", transB=1)
    norm = add("ReduceL2", [value], "norm", axes=[1], keepdims=1)
    add("Div", [value, add("Clip", [norm, const("least", 1e-6)], "least_norm")], "embedding")
    graph = helper.make_graph(
        nodes,
        "rare",
        [helper.make_tensor_value_info("data", TensorProto.FLOAT, ["batch", 3, SIZE, SIZE])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in ("embedding", "maps")],
        [onnx.numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path

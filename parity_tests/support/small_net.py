"""A small face-like net as an ONNX model, for tests of comparisons: every kind of layer once, weights from a seed.

    conv 3x3 / 2, BN, PRelu;  a residual block (BN, conv, BN, PRelu, conv, BN, Add);  depthwise conv, BN, Relu;
    max pool 2x2;  average pool 3x3 with padding;  flatten, Gemm, BN

:class:`SmallNet` holds the layers as plain records that a test edits before writing them: a fault is one line.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

NumpyArray = np.ndarray[Any, np.dtype[Any]]
SIZE = 16


@dataclass
class Node:
    """One node: operator, the names of what it reads, the name of what it gives, attributes."""

    op: str
    inputs: list[str]
    output: str
    attributes: dict[str, Any] = field(default_factory=dict)


@dataclass
class SmallNet:
    """Nodes in order, and weights by name."""

    nodes: list[Node] = field(default_factory=list)
    weights: dict[str, NumpyArray] = field(default_factory=dict)
    outputs: list[str] = field(default_factory=lambda: ["embedding"])

    def node(self, output: str) -> Node:
        """The node that gives a value."""
        return next(node for node in self.nodes if node.output == output)

    def remove(self, output: str) -> None:
        """Take a node out; what read it reads its first input."""
        gone = self.node(output)
        self.nodes.remove(gone)
        for node in self.nodes:
            node.inputs = [gone.inputs[0] if name == output else name for name in node.inputs]

    def renamed(self, rename: Callable[[str], str]) -> SmallNet:
        """The same net under other names, those of inputs and outputs excepted."""
        kept = {"data", *self.outputs}

        def new(name: str) -> str:
            return name if name in kept else rename(name)

        nodes = [Node(n.op, [new(i) for i in n.inputs], new(n.output), dict(n.attributes)) for n in self.nodes]
        return SmallNet(nodes, {new(name): array for name, array in self.weights.items()}, list(self.outputs))

    def write(self, path: Path) -> Path:
        """Write an ``.onnx`` file."""
        import onnx
        from onnx import TensorProto, helper

        nodes = [
            helper.make_node(n.op, n.inputs, [n.output], name=f"node_{n.output}", **n.attributes) for n in self.nodes
        ]
        graph = helper.make_graph(
            nodes,
            "small",
            [helper.make_tensor_value_info("data", TensorProto.FLOAT, ["batch", 3, SIZE, SIZE])],
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in self.outputs],
            [onnx.numpy_helper.from_array(array, name) for name, array in self.weights.items()],
        )
        onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
        return path


def small_net(seed: int = 0, width: int = 8) -> SmallNet:
    """The net of the module's docstring, with the weights of a seed."""
    net, random = SmallNet(), np.random.RandomState(seed)

    def conv(name: str, read: str, outputs: int, inputs: int, group: int = 1, stride: int = 1) -> str:
        scale = np.sqrt(2.0 / (inputs // group * 9))
        net.weights[f"{name}_w"] = (random.standard_normal((outputs, inputs // group, 3, 3)) * scale).astype(np.float32)
        net.weights[f"{name}_b"] = (random.standard_normal(outputs) * 0.3).astype(np.float32)
        attributes = {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1], "strides": [stride] * 2, "group": group}
        net.nodes.append(Node("Conv", [read, f"{name}_w", f"{name}_b"], name, attributes))
        return name

    def norm(name: str, read: str, channels: int) -> str:
        net.weights[f"{name}_gamma"] = random.uniform(0.5, 1.5, channels).astype(np.float32)
        net.weights[f"{name}_beta"] = (random.standard_normal(channels) * 0.3).astype(np.float32)
        net.weights[f"{name}_mean"] = (random.standard_normal(channels) * 0.3).astype(np.float32)
        net.weights[f"{name}_var"] = random.uniform(0.05, 1.5, channels).astype(np.float32)
        net.nodes.append(
            Node(
                "BatchNormalization",
                [read, *(f"{name}_{part}" for part in ("gamma", "beta", "mean", "var"))],
                name,
                {"epsilon": 2e-5},
            )
        )
        return name

    def prelu(name: str, read: str) -> str:
        net.weights[f"{name}_slope"] = random.uniform(0.1, 0.4, (width, 1, 1)).astype(np.float32)
        net.nodes.append(Node("PRelu", [read, f"{name}_slope"], name))
        return name

    stem = prelu("act0", norm("bn0", conv("conv0", "data", width, 3, stride=2), width))
    inner = prelu("act1", norm("bn2", conv("conv1", norm("bn1", stem, width), width, width), width))
    inner = norm("bn3", conv("conv2", inner, width, width), width)
    net.nodes.append(Node("Add", [inner, stem], "sum"))
    norm("bn4", conv("conv3", "sum", width, width, group=width), width)
    net.nodes.append(Node("Relu", ["bn4"], "act2"))
    net.nodes.append(Node("MaxPool", ["act2"], "pool0", {"kernel_shape": [2, 2], "strides": [2, 2]}))
    net.nodes.append(
        Node(
            "AveragePool",
            ["pool0"],
            "pool1",
            {"kernel_shape": [3, 3], "strides": [1, 1], "pads": [1, 1, 1, 1], "count_include_pad": 0},
        )
    )
    net.nodes.append(Node("Flatten", ["pool1"], "flat", {"axis": 1}))
    features = width * (SIZE // 4) ** 2
    net.weights["fc_w"] = (random.standard_normal((features, features)) / np.sqrt(features)).astype(np.float32)
    net.weights["fc_b"] = random.standard_normal(features).astype(np.float32)
    net.nodes.append(Node("Gemm", ["flat", "fc_w", "fc_b"], "fc", {"transB": 1}))
    norm("embedding", "fc", features)
    return net


def fold(net: SmallNet, conv: str, norm: str) -> None:
    """Fold a BatchNormalization into the Conv or Gemm before it, in float64, as exporters do."""
    layer, after = net.node(conv), net.node(norm)
    gamma, beta, mean, var = (net.weights[name].astype(np.float64) for name in after.inputs[1:])
    factor = gamma / np.sqrt(var + after.attributes["epsilon"])
    weight = net.weights[layer.inputs[1]].astype(np.float64)
    net.weights[layer.inputs[1]] = (weight * factor.reshape(-1, *[1] * (weight.ndim - 1))).astype(np.float32)
    bias = net.weights[layer.inputs[2]].astype(np.float64)
    net.weights[layer.inputs[2]] = ((bias - mean) * factor + beta).astype(np.float32)
    net.nodes.remove(after)
    layer.output = norm


def write_variants(folder: Path) -> None:
    """a.onnx, the same under other names, one with a wrong epsilon, one with other weights."""
    small_net().write(folder / "a.onnx")
    small_net().renamed(lambda name: f"x_{name}").write(folder / "renamed.onnx")
    wrong = small_net()
    wrong.node("bn2").attributes["epsilon"] = 1e-3
    wrong.write(folder / "wrong.onnx")
    small_net(9).write(folder / "other.onnx")

"""The oracle of ONNX models: a graph evaluated in numpy, float64 by default; opsets 7 to 21.

Values have their ONNX names. Weights stay in the file until an operator uses them. Shapes, indices and
other integers stay integers; every floating point type becomes the oracle's own.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from facecvt.converters.errors import AttributeValueError, ConversionError, FormatError, UnsupportedOperatorsError
from facecvt.converters.formats.mapped import Array, MappedTensor
from facecvt.converters.formats.onnx_skeleton import read_skeleton
from facecvt.parity_tests.oracle import (  # noqa: F401 - importing a family registers it
    onnx_ops_conv,
    onnx_ops_detection,
    onnx_ops_elementwise,
    onnx_ops_normalise,
    onnx_ops_reduce,
    onnx_ops_shape,
)
from facecvt.parity_tests.oracle.evaluator import Evaluator, GraphOracle, Key, Step
from facecvt.parity_tests.oracle.onnx_attributes import ONNX_OPERATORS, OnnxAttributes

OWN_DOMAINS = ("", "ai.onnx")


class OnnxOracle(GraphOracle):
    """An ONNX model in numpy.

    Args:
        model: path of a model, or an ``onnx.ModelProto``.
        dtype: what floating point numbers are computed in.
        half: names of values that are computed in float16, in between.

    Raises:
        FormatError: the file cannot be parsed.
        UnsupportedOperatorsError: operators without a definition, all of them; those of other domains carry theirs.
        AttributeValueError: an attribute that no definition knows.
    """

    def __init__(self, model: Any, dtype: DTypeLike = np.float64, *, half: Collection[str] = ()) -> None:
        import onnx

        self.dtype = np.dtype(dtype)
        source = str(model) if isinstance(model, (str, Path)) else "the ONNX model"
        proto, mapped = _load(model) if isinstance(model, (str, Path)) else (model, {})
        if proto.functions:
            proto = onnx.inliner.inline_local_functions(proto)
        graph = proto.graph
        opset = next((entry.version for entry in proto.opset_import if entry.domain in OWN_DOMAINS), 1)
        nodes = _needed_nodes(graph)
        unknown: dict[str, list[str]] = {}
        for node in nodes:
            if ONNX_OPERATORS.get(_operator(node)) is None:
                unknown.setdefault(_operator(node), []).append(_name(node))
        if unknown:
            raise UnsupportedOperatorsError(source, unknown)
        if graph.sparse_initializer:
            raise ConversionError(f"{source}: sparse initializers are not supported; store them as dense tensors")

        constants: dict[Key, Array] = {
            item.name: mapped[item.name] if item.name in mapped else onnx.numpy_helper.to_array(item)
            for item in graph.initializer
        }
        inputs: dict[str, Key] = {item.name: item.name for item in graph.input if item.name not in constants}
        steps = [self._step(node, opset) for node in nodes]
        outputs: list[tuple[str, Key]] = [(item.name, item.name) for item in graph.output]
        self.evaluator = Evaluator(source, steps, constants, inputs, outputs, self.dtype, half=half)

    def _step(self, node: Any, opset: int) -> Step:
        build = ONNX_OPERATORS.get(_operator(node))
        assert build is not None
        attributes = OnnxAttributes(
            _operator(node), _name(node), _attributes(node), opset, len(node.output), self.dtype
        )
        compute = build(attributes)
        attributes.finish()
        names = tuple(name or None for name in node.output)
        return Step(_name(node), node.op_type, tuple(name or None for name in node.input), names, names, compute)


def _load(path: str | Path) -> tuple[Any, dict[str, MappedTensor]]:
    """A model, and those of its weights that stay in the file."""
    import onnx
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]  # what onnx raises

    try:
        skeleton = read_skeleton(path)
        return (onnx.load(str(path)), {}) if skeleton is None else (skeleton.proto(), skeleton.weights)
    except (DecodeError, OSError, onnx.checker.ValidationError) as error:
        raise FormatError(path, None, f"cannot be read as an ONNX model: {error}") from error


def _operator(node: Any) -> str:
    return str(node.op_type) if node.domain in OWN_DOMAINS else f"{node.domain}::{node.op_type}"


def _name(node: Any) -> str:
    return str(node.name or next((name for name in node.output if name), ""))


def _attributes(node: Any) -> dict[str, Any]:
    """Attributes as Python values: strings decoded, tensors as arrays."""
    import onnx

    found: dict[str, Any] = {}
    for attribute in node.attribute:
        value = onnx.helper.get_attribute_value(attribute)
        if isinstance(value, bytes):
            value = value.decode()
        elif isinstance(value, onnx.TensorProto):
            value = onnx.numpy_helper.to_array(value)
        elif isinstance(value, (onnx.GraphProto, onnx.SparseTensorProto)):
            raise AttributeValueError(
                f"{node.op_type} {_name(node)}: attribute {attribute.name} holds a {type(value).__name__}"
            )
        found[attribute.name] = value
    return found


def _needed_nodes(graph: Any) -> list[Any]:
    """The nodes, in their order, that lead to an output."""
    needed = {item.name for item in graph.output}
    kept = []
    for node in reversed(graph.node):
        if needed.intersection(node.output):
            kept.append(node)
            needed.update(node.input)
    return kept[::-1]

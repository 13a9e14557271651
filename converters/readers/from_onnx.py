"""An ONNX file of any opset from 7 to 28 -> canonical graph.

Value names are the file's own. Initializers that are also listed as inputs are weights, as every runtime treats them.
Rules lift each operator to the canonical opset. The file's own functions are inlined; external data must lie in the
model's folder. A model that computes in float16 is read as the same model in float32, with the weights that it has.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from facecvt.converters.errors import ConversionError, FormatError, UnsupportedOperatorsError
from facecvt.converters.formats.mapped import Array
from facecvt.converters.formats.onnx_skeleton import read_skeleton
from facecvt.converters.graph import Builder, FileTensor, Graph, constant, name_of
from facecvt.converters.onnx_ir_lazy import ir
from facecvt.converters.ops.registry import rule_for
from facecvt.converters.ops.value_facts import element_type
from facecvt.converters.passes.infer_shapes import ShapeMismatchError, infer_nodes
from facecvt.converters.passes.input_shapes import describe_inputs
from facecvt.converters.passes.pipeline import run_passes
from facecvt.converters.recorded_contract import recall_from_metadata
from facecvt.converters.source_ops import OnnxOp

OLDEST_OPSET = 7
HALF, FLOAT = ir.DataType.FLOAT16, ir.DataType.FLOAT
NEWEST_OPSET = 28  # ONNX's own node tests of that opset are what the rules are held against


def read_onnx(
    path: str | Path,
    input_shapes: Mapping[str, Sequence[int | str]] | None = None,
    proto: Any = None,
    *,
    misfits: list[str] | None = None,
) -> Graph:
    """Build the canonical graph of an ONNX model.

    Args:
        path: the ``.onnx`` file.
        input_shapes: shapes that replace those the file declares for its inputs.
        proto: the ``onnx.ModelProto`` to read in the file's place, its data in it: the model cut short.
        misfits: where it is given, a model whose sizes do not fit each other is read all the same, so that it can be
            looked into; what does not fit is added, and sizes that follow from it are not known.

    Raises:
        FormatError: the file is not an ONNX model.
        UnsupportedOperatorsError: some operators have no rule; all are listed.
        ShapeMismatchError: sizes do not fit each other, and ``misfits`` is not given.
    """
    path = Path(path)
    model = load_model(path, proto)
    if model.functions:
        from onnx_ir.passes.common import InlinePass

        model = InlinePass()(model).model
    body = model.graph
    widened = widen_half(model)
    opset = body.opset_imports.get("", body.opset_imports.get("ai.onnx", 0))
    if opset < OLDEST_OPSET:
        raise ConversionError(f"{path}: opset {opset} is older than {OLDEST_OPSET}, the oldest that facecvt reads")
    if opset > NEWEST_OPSET:
        raise ConversionError(
            f"{path}: opset {opset} is newer than {NEWEST_OPSET}, the newest that facecvt reads; export an older one"
        )
    unsupported: dict[str, list[str]] = {}
    for node in body:
        operator = node.op_type if node.domain in ("", "ai.onnx") else f"{node.domain}::{node.op_type}"
        if rule_for("from_onnx", operator) is None:
            unsupported.setdefault(operator, []).append(node.name or str(node.outputs[0].name))
    if unsupported:
        raise UnsupportedOperatorsError(path, unsupported)

    builder = Builder("onnx", path.stem)
    values: dict[str, ir.Value] = {}
    for value in body.inputs:
        if value.name in body.initializers:
            continue
        given = (input_shapes or {}).get(name_of(value))
        shape: Sequence[int | str | None] | None = None
        if given is not None:
            shape = list(given)
        elif value.shape is not None:
            shape = [dim if isinstance(dim, int) else dim.value for dim in value.shape]
            shape = [dim if not (isinstance(dim, int) and dim <= 0) else None for dim in shape]
        values[name_of(value)] = builder.input(name_of(value), shape, value.dtype or ir.DataType.FLOAT)
    array: Array | None
    for name, value in body.initializers.items():
        try:
            tensor = value.const_value
            array = tensor.mapped if isinstance(tensor, FileTensor) else constant(value)
        except ValueError as error:  # external data outside of the model's folder, or shorter than its shape says
            raise FormatError(path, None, f"initializer {name!r}: {error}") from error
        if array is None:
            raise FormatError(path, None, f"initializer {name!r} holds no data")
        values[name] = builder.weight(name, array)
    for node in body:
        inputs = [None if value is None or not value.name else values[value.name] for value in node.inputs]
        name = node.name or str(node.outputs[0].name)
        attributes: dict[str, Any] = {key: _plain(attr) for key, attr in node.attributes.items()}
        op = OnnxOp(node.op_type, name, attributes, inputs, opset=opset, output_count=len(node.outputs))
        builder.begin(node.op_type, name)
        read = inputs[0] if inputs else None
        to_float = widened and op.op == "Cast" and attributes.get("to") == FLOAT
        if to_float and read is not None and element_type(read) == FLOAT:  # between the two types that it had
            builder.rename(read, name_of(node.outputs[0]))
            values[name_of(node.outputs[0])] = read
            continue
        rule = rule_for("from_onnx", node.op_type)
        if rule is None:
            raise UnsupportedOperatorsError(path, {node.op_type: [name]})
        result = rule(op, builder)
        op.check_all_read()
        try:
            infer_nodes(builder.take_new_nodes())
        except ShapeMismatchError as error:
            if misfits is None:
                raise
            misfits.append(str(error))
        outputs = list(result) if isinstance(result, (list, tuple)) else [result]
        for lost in node.outputs[len(outputs) :]:
            if lost.name and (lost.uses() or lost.is_graph_output()):
                raise op.refuse(f"its output {lost.name!r} is used, but only the first {len(outputs)} can be converted")
        for target, value in zip(node.outputs, outputs, strict=False):
            if target.name:
                builder.rename(value, target.name)
                values[target.name] = value
    for value in body.outputs:
        builder.output(values[name_of(value)], name_of(value))
    if widened:
        builder.graph.warnings.append("the model computes in float16; it is converted in float32, with its weights")
    describe_inputs(builder.graph)
    graph = run_passes(builder.graph)
    recall_from_metadata(graph, model.metadata_props, path.name)
    return graph


def load_model(path: Path, proto: Any = None) -> ir.Model:
    """An ONNX file in onnx_ir; its greater weights are windows on the file. A ``proto`` is taken in its place.

    Raises:
        FormatError: the file is not an ONNX model.
    """
    try:
        skeleton = read_skeleton(path) if proto is None else None
        if skeleton is not None:
            proto = skeleton.proto()
        model: ir.Model = ir.load(path) if proto is None else ir.serde.deserialize_model(proto)
    except OSError as error:
        raise FormatError(path, None, f"cannot be read: {error.strerror or error}") from error
    except Exception as error:  # protobuf and onnx_ir raise many kinds; every one of them means: not this format
        raise FormatError(path, None, f"is not a readable ONNX model: {error}") from error
    for name, mapped in skeleton.weights.items() if skeleton is not None else ():
        model.graph.initializers[name].const_value = FileTensor(mapped, name)
    return model


def widen_half(model: ir.Model) -> bool:
    """Bring everything that is float16 to float32, in place; whether there was anything."""
    found = False

    def widened(tensor: ir.TensorProtocol) -> ir.Tensor[Any]:
        return ir.Tensor(tensor.numpy().astype(np.float32), name=tensor.name)

    for value in model.graph.initializers.values():
        if value.const_value is not None and value.const_value.dtype == HALF:
            value.const_value = widened(value.const_value)
            value.type = ir.TensorType(FLOAT)
            found = True
    for value in model.graph.inputs:
        if value.dtype == HALF:
            value.type = ir.TensorType(FLOAT)
            found = True
    for node in model.graph:
        for key, attr in list(node.attributes.items()):
            if attr.type == ir.AttributeType.TENSOR and attr.value.dtype == HALF:
                node.attributes[key] = ir.AttrTensor(key, widened(attr.value))
                found = True
            elif key in ("to", "dtype") and attr.type == ir.AttributeType.INT and attr.value == HALF:
                node.attributes[key] = ir.AttrInt64(key, int(FLOAT))
                found = True
    return found


def _plain(attr: ir.Attr) -> Any:
    """An attribute as Python values; a tensor stays an onnx_ir tensor."""
    return list(attr.value) if isinstance(attr.value, tuple) else attr.value

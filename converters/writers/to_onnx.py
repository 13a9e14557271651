"""Canonical graph -> one ``.onnx`` file, weights streamed from the source's files.

Weights are initializers and not inputs, PRelu slopes are (C,1,1), the batch dimension is named, value names are the
source's own. The input contract goes into the model's metadata as ``facecvt.input.<name>`` (JSON); a file that computes
in float16 says so there as ``facecvt.precision``.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from facecvt import __version__
from facecvt.converters.formats.atomic import atomic_file
from facecvt.converters.formats.onnx_file import (
    LARGEST_MESSAGE,
    Initializer,
    external_path,
    message_size,
    write_streamed,
)
from facecvt.converters.graph import FileTensor, Graph, attribute, name_of
from facecvt.converters.onnx_ir_lazy import ir
from facecvt.converters.passes.lower_opset import lower_opset
from facecvt.converters.passes.to_half import to_half
from facecvt.converters.targets import WriteOptions, Written

DEFAULT_OPSET = 13
IR_VERSIONS = {11: 6, 12: 7, 13: 7, 14: 7, 15: 8, 16: 8, 17: 8, 18: 8, 19: 9, 20: 9, 21: 10}
INTEGER_RESULT = frozenset(("Shape", "ArgMax", "ArgMin", "NonZero", "Size", "NonMaxSuppression"))
BOOLEAN_RESULT = frozenset(("Equal", "Less", "Greater", "LessOrEqual", "GreaterOrEqual", "Not", "And", "Or"))


def write_target(graph: Graph, path: Path, options: WriteOptions) -> Written:
    """:func:`write_onnx` with its progress told, as :mod:`facecvt.converters.targets` calls it."""
    total = sum(value.const_value.nbytes for value in graph.body.initializers.values() if value.const_value)
    done = 0

    def advance(nbytes: int) -> None:
        nonlocal done
        done += nbytes
        options.progress("writing", done, total)

    body = lowered(graph, options.opset)
    half = to_half(body, options.opset) if options.fp16 else None
    if half is not None:
        total = sum(value.const_value.nbytes for value in body.initializers.values() if value.const_value)
    files = write_body(graph, body, path, options.opset, precision="float16" if half else None, advance=advance)
    return Written(files, onnx_taps(graph), half)


def write_onnx(
    graph: Graph,
    path: str | Path,
    opset: int = DEFAULT_OPSET,
    *,
    largest_message: int = LARGEST_MESSAGE,
    advance: Callable[[int], None] = lambda nbytes: None,
) -> list[Path]:
    """Write the graph.

    Args:
        graph: canonical graph; not changed.
        path: target file; replaced whole if it exists.
        opset: 11 to 21.
        largest_message: bytes above which the weights go to ``<path>.data``.
        advance: called with the number of bytes after each weight.

    Returns:
        The files written: the model, and the weights beside it where they do not fit.

    Raises:
        UsageError: the opset is out of range or the target cannot be written.
        ConversionError: an operator has no form at this opset.
    """
    return write_body(graph, lowered(graph, opset), Path(path), opset, largest_message=largest_message, advance=advance)


def lowered(graph: Graph, opset: int) -> ir.Graph:
    """The graph's nodes in the form of an opset; a copy."""
    body = graph.body.clone()
    lower_opset(body, opset)
    return body


def write_body(
    graph: Graph,
    body: ir.Graph,
    path: Path,
    opset: int,
    *,
    precision: str | None = None,
    largest_message: int = LARGEST_MESSAGE,
    advance: Callable[[int], None] = lambda nbytes: None,
) -> list[Path]:
    """:func:`write_onnx` of nodes that have been brought into their last form; ``body`` is used up."""
    declare_outputs(body)
    initializers = [initializer(name, value) for name, value in body.initializers.items()]
    body.initializers.clear()
    model = ir.Model(
        body,
        ir_version=IR_VERSIONS[opset],
        producer_name="facecvt",
        producer_version=__version__,
        metadata_props={
            "facecvt.source": graph.source_framework,
            **{f"facecvt.input.{c.name}": json.dumps(c.as_json()) for c in graph.contracts},
            **({"facecvt.precision": precision} if precision else {}),
        },
    )
    proto = ir.to_proto(model)
    nodes = proto.graph.SerializeToString()
    proto.ClearField("graph")
    head = proto.SerializeToString()
    if message_size(head, nodes, initializers) <= largest_message:
        with atomic_file(path) as target:
            write_streamed(target, head, nodes, initializers, advance=advance)
        return [path]
    data = external_path(path)
    with atomic_file(data) as external, atomic_file(path) as target:
        write_streamed(target, head, nodes, initializers, external=external, external_name=data.name, advance=advance)
    return [path, data]


def initializer(name: str, value: ir.Value) -> Initializer:
    """The record of one weight, as a window on its file where it has one."""
    tensor = value.const_value
    if tensor is None:
        raise ValueError(f"initializer {name!r} holds no data")
    data = tensor.mapped if isinstance(tensor, FileTensor) else tensor.numpy()
    return Initializer(name, int(tensor.dtype), tuple(int(dim) for dim in tensor.shape.numpy()), data)


def declare_outputs(body: ir.Graph) -> None:
    """Outputs need a type in the file; values in between need neither type nor shape."""
    declared = {name_of(value) for value in body.outputs}
    for node in body:
        for value in node.outputs:
            if name_of(value) not in declared:
                value.shape = None
    for value in body.outputs:
        value.type = ir.TensorType(element_type(value))
    for value in body.inputs:
        if value.shape is not None:
            value.shape = ir.Shape([dim if isinstance(dim, int) else dim.value for dim in value.shape])


def element_type(value: ir.Value) -> ir.DataType:
    """Type of a value's elements, by following its producers back to something typed."""
    found = _type_or_source(value)
    while not isinstance(found, ir.DataType):
        found = _type_or_source(found)
    return found


def element_types(graph: Graph) -> dict[str, ir.DataType]:
    """:func:`element_type` of every computed value that has a name, in one walk over the graph."""
    found: dict[str, ir.DataType] = {}
    for node in graph.body:
        for value in node.outputs:
            if not value.name:  # an output that nobody wants
                continue
            known = _type_or_source(value)
            if not isinstance(known, ir.DataType):
                known = found.get(name_of(known)) or element_type(known)
            found[value.name] = known
    return found


def _type_or_source(value: ir.Value) -> ir.DataType | ir.Value:
    """A value's type, or the value that has the same one."""
    if value.dtype is not None:
        return value.dtype
    node = value.producer()
    if node is None:
        return ir.DataType.FLOAT
    if node.op_type == "Cast":
        return ir.DataType(attribute(node, "to"))
    if node.op_type in INTEGER_RESULT or (node.op_type == "TopK" and value is node.outputs[1]):
        return ir.DataType.INT64
    if node.op_type in BOOLEAN_RESULT:
        return ir.DataType.BOOL
    source = node.inputs[1] if node.op_type == "Where" else node.inputs[0] if node.inputs else None
    return ir.DataType.FLOAT if source is None else source


def onnx_taps(graph: Graph) -> dict[str, str]:
    """Canonical value name -> name in the file; they are the same."""
    return {name_of(value): name_of(value) for node in graph.body for value in node.outputs}

"""Whether two graphs compute the same, whatever their values are called and in whatever order their nodes stand.

    digest of a weight = H(type, shape, bytes)
    digest of a value  = H(operator, attributes, digests of what the node reads, which of its outputs)

With values that are given, a digest is that of what computes a value from the nearest of them: of a layer by itself.

Two values with one digest are the same function of the inputs, operator for operator and bit for bit. The momentum of a
BatchNormalization is left out: at inference nothing is computed with it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from facecvt.converters.graph import Graph, attribute, constant, name_of

if TYPE_CHECKING:
    from facecvt.converters.onnx_ir_lazy import ir


UNUSED = {"BatchNormalization": ("momentum",)}


def digests_of(graph: Graph, given: Mapping[str, str] | None = None) -> dict[str, str]:
    """Name of every computed value -> its digest.

    Args:
        graph: any.
        given: names of values that are fed where they are read -> what is fed, in words that mean the same for every
            graph; the graph's inputs are told by their places unless they are among them.
    """
    words = {name: _hashed("given", word) for name, word in (given or {}).items()}
    read_as = {name_of(value): _hashed("input", str(place)) for place, value in enumerate(graph.inputs)} | words
    computed: dict[str, str] = {}
    for node in graph.body:
        read = [_of(value, read_as) for value in node.inputs]
        attributes = [
            f"{name}={_plain(attribute(node, name))}"
            for name in sorted(node.attributes)
            if name not in UNUSED.get(node.op_type, ())
        ]
        for place, value in enumerate(node.outputs):
            name = name_of(value)
            computed[name] = _hashed(node.domain, node.op_type, str(place), *attributes, "reads", *read)
            read_as.setdefault(name, computed[name])
    return computed


def _of(value: ir.Value | None, found: dict[str, str]) -> str:
    if value is None:
        return "absent"
    name = name_of(value)
    if name not in found:
        array = constant(value)
        found[name] = name if array is None else _array(array)
    return found[name]


def _array(array: np.ndarray[tuple[int, ...], np.dtype[np.generic]]) -> str:
    return _hashed(str(array.dtype), str(array.shape), hashlib.sha256(np.ascontiguousarray(array).data).hexdigest())


def _plain(value: object) -> str:
    if isinstance(value, float):
        return repr(float(np.float32(value)))  # as a file has it
    return _array(value.numpy()) if hasattr(value, "numpy") else repr(value)


def _hashed(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()

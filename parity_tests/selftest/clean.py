"""Harmless variants of a converted model: the same function otherwise written or run. None may raise an alarm."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from facecvt.converters.graph import attribute, constant
from facecvt.converters.onnx_ir_lazy import ir
from facecvt.converters.passes.fix_batch import fix_batch
from facecvt.parity_tests.runtimes.runtime import Runtime
from facecvt.parity_tests.selftest.draft import Draft
from facecvt.parity_tests.selftest.faults_norm import fold_norm, folds_into
from facecvt.parity_tests.selftest.otherwise_run import RowByRow, with_other_threads, without_optimisation


@dataclass(frozen=True)
class Variant:
    """One way of writing or running the same.

    Attributes:
        name: what it is.
        apply: makes it; False where the net has no place for it.
        opset: to write.
        external: weights in a file of their own.
        shuffled: other names, those of other layers among them.
        runtime: makes what runs the written file; by default as ``facecvt diff`` does.
    """

    name: str
    apply: Callable[[Draft, int], bool]
    opset: int = 17
    external: bool = False
    shuffled: bool = False
    runtime: Callable[[Path], Runtime] | None = None


def unchanged(draft: Draft, batch: int) -> bool:
    return True


def of_many_rows(draft: Draft, batch: int) -> bool:
    return batch > 1


def all_folded(draft: Draft, batch: int) -> bool:
    """Every BatchNormalization that can be is folded."""
    pairs = [(conv, norm) for norm in draft.nodes("BatchNormalization") if (conv := folds_into(norm)) is not None]
    for conv, norm in pairs:
        fold_norm(draft, conv, norm)
    return bool(pairs)


def some_folded(draft: Draft, batch: int) -> bool:
    """Every other one."""
    pairs = [(conv, norm) for norm in draft.nodes("BatchNormalization") if (conv := folds_into(norm)) is not None]
    for conv, norm in pairs[::2]:
        fold_norm(draft, conv, norm)
    return len(pairs) > 1


def kernels_as_nhwc(draft: Draft, batch: int) -> bool:
    """Kernels are stored channels last and transposed before use."""
    nodes = [node for node in draft.nodes("Conv") if draft.weight(node, 1) is not None]
    for node in nodes:
        array = draft.weight(node, 1)
        if array is not None:
            stored = draft.constant(np.ascontiguousarray(array.transpose(0, 2, 3, 1)), "nhwc")
            node.replace_input_with(1, draft.insert("Transpose", [stored], node, perm=[0, 3, 1, 2]))
    return bool(nodes)


def there_and_back(draft: Draft, batch: int) -> bool:
    """Every third convolution lies between two transpositions, as exporters of channels-last frameworks write."""
    nodes = draft.nodes("Conv")[::3]
    for node in nodes:
        last = draft.insert("Transpose", [node.inputs[0]], node, perm=[0, 2, 3, 1])
        node.replace_input_with(0, draft.insert("Transpose", [last], node, perm=[0, 3, 1, 2]))
    return bool(nodes)


def matrices_apart(draft: Draft, batch: int) -> bool:
    """Gemm as MatMul and Add."""
    nodes = draft.nodes("Gemm")
    for node in nodes:
        weight, bias = draft.weight(node, 1), node.inputs[2] if len(node.inputs) > 2 else None
        if weight is None:
            continue
        rows = draft.constant(np.ascontiguousarray(weight.T if attribute(node, "transB", 0) else weight), "rows")
        if bias is None:
            draft.put(node, "MatMul", [node.inputs[0], rows])
        else:
            product = draft.insert("MatMul", [node.inputs[0], rows], node)
            draft.put(node, "Add", [product, bias])
    return bool(nodes)


def biases_apart(draft: Draft, batch: int) -> bool:
    """Every other bias of a convolution is added in a step of its own."""
    nodes = [node for node in draft.nodes("Conv") if draft.weight(node, 2) is not None][::2]
    for node in nodes:
        bias = draft.weight(node, 2)
        if bias is None:
            continue
        other = ir.Node("", "Conv", list(node.inputs[:2]), list(node.attributes.values()), num_outputs=1)
        draft.graph.body.insert_before(node, other)
        other.outputs[0].name = f"apart/{draft.value(node)}"
        added = draft.constant(bias.reshape(1, -1, 1, 1), "bias")
        draft.put(node, "Add", [other.outputs[0], added])
    return bool(nodes)


def batch_fixed(draft: Draft, batch: int) -> bool:
    fix_batch(draft.graph, batch)
    return True


def sums_turned(draft: Draft, batch: int) -> bool:
    """Both operands of every sum in the other order."""
    nodes = [node for node in draft.nodes("Add") if all(constant(value) is None for value in node.inputs)]
    for node in nodes:
        one, other = node.inputs
        node.replace_input_with(0, other)
        node.replace_input_with(1, one)
    return bool(nodes)


def nodes_in_another_order(draft: Draft, batch: int) -> bool:
    """A topological order, but another one: each node as late as it can be."""
    body = draft.graph.body
    waiting, placed = list(body)[::-1], []
    done: set[int] = set()
    while waiting:
        ready = next(
            node
            for node in waiting
            if all(use.node is not None and id(use.node) in done for value in node.outputs for use in value.uses())
        )
        waiting.remove(ready)
        done.add(id(ready))
        placed.append(ready)
    placed.reverse()
    moved = [id(node) for node in placed] != [id(node) for node in body]
    body.remove(placed, safe=False)
    body.extend(placed)
    return moved


def identities(draft: Draft, batch: int) -> bool:
    """Dropout at inference, and Identity, behind every fourth layer."""
    nodes = [node for node in draft.nodes("Conv", "Relu", "PRelu", "Add") if node.outputs[0].uses()][::4]
    for number, node in enumerate(nodes):
        draft.append_after(node, "Identity" if number % 2 else "Dropout")
    for number, node in enumerate(draft.nodes("Identity", "Dropout")):
        node.outputs[0].name = f"repeated/{number}"
    return bool(nodes)


VARIANTS = [
    Variant("as it is", unchanged),
    Variant("other names", unchanged, shuffled=True),
    Variant("another number of threads", unchanged, runtime=with_other_threads),
    Variant("run without optimisation", unchanged, runtime=without_optimisation),
    Variant("batch row by row", of_many_rows, runtime=RowByRow),
    Variant("opset 11", unchanged, opset=11),
    Variant("opset 21", unchanged, opset=21),
    Variant("weights in a file of their own", unchanged, external=True),
    Variant("nodes in another order", nodes_in_another_order),
    Variant("batch fixed", batch_fixed),
    Variant("every BatchNormalization folded", all_folded),
    Variant("every other BatchNormalization folded", some_folded),
    Variant("kernels stored channels last", kernels_as_nhwc),
    Variant("layers between transpositions", there_and_back),
    Variant("matrices as MatMul and Add", matrices_apart),
    Variant("biases in a step of their own", biases_apart),
    Variant("sums in the other order", sums_turned),
    Variant("Identity and Dropout in between", identities),
]

"""Tables of one-operator models: a line a case, held against the real source framework and the real targets.

    CASES = spread([
        *mxnet("elemwise_add", A, B),
        *paddle("elementwise_add", "add", "paddle.add(x, y)", x=A, y=B),
        *onnx("Add", A, B, opsets=(7, 13)),
    ])

    @pytest.mark.parametrize("case", CASES, ids=str)
    def test_rule(case, tmp_path):
        case.hold(tmp_path)

Every table says which operators it covers (:func:`uncovered`), so that a rule without a case fails a test.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from facecvt.converters.errors import ConversionError
from facecvt.converters.graph import Graph
from facecvt.converters.ops.registry import table
from facecvt.parity_tests.runtimes.runtime_ort import OrtRuntime
from facecvt.parity_tests.support.single_op import (
    Dialect,
    NumpyArray,
    Sample,
    mxnet_sample,
    onnx_sample,
    paddle_op_sample,
    paddle_sample,
    random_array,
    skip_without,
)
from facecvt.parity_tests.support.single_op_targets import OPSETS, TOLERANCE, hold_targets

DIALECTS: tuple[Dialect, ...] = ("legacy", "pir")
FEW_OPSETS = ((11, 17), (13, 21))  # in turn, for cases of an operator that another case tries at all opsets
FRAMEWORKS = {"from_mxnet": "mxnet", "from_paddle": "paddle", "from_onnx": "onnx"}


@dataclass(frozen=True)
class Case:
    """One model of one operator.

    Attributes:
        framework: "mxnet", "paddle" or "onnx".
        op: the operator it is there for, as its framework calls it.
        text: what tells it from the other cases of the operator.
        make: writes the model into a folder and runs it by its own framework.
        refused: part of the error that reading, or writing PyTorch, must raise; None where all must work.
        torch: whether PyTorch is a target; "refused" where writing it must raise.
        opsets: ONNX targets.
        tolerance: largest difference, as a share of the largest magnitude.
    """

    framework: str
    op: str
    text: str
    make: Callable[[Path], Sample]
    refused: str | None = None
    torch: bool | str = True
    opsets: Sequence[int] = OPSETS
    tolerance: float = TOLERANCE

    def __str__(self) -> str:
        return f"{self.framework}-{self.op}-{self.text}".replace("[", "(").replace("]", ")")

    def hold(self, folder: Path) -> Graph | None:
        """Convert and compare, or see that the conversion is refused."""
        sample = self.make(folder)
        if self.refused is not None:
            with pytest.raises(ConversionError, match=self.refused):
                hold_targets(sample, folder, opsets=self.opsets)
            return None
        graph = hold_targets(sample, folder, opsets=self.opsets, torch=self.torch is True, tolerance=self.tolerance)
        if self.torch == "refused":
            with pytest.raises(ConversionError):
                hold_targets(sample, folder, opsets=(), graph=graph)
        return graph


def described(values: Mapping[str, object]) -> str:
    return ",".join(f"{key}={value}" for key, value in values.items()).replace(" ", "") or "plain"


def named(arrays: Sequence[NumpyArray], names: Sequence[str]) -> dict[str, NumpyArray]:
    return {names[index] if index < len(names) else f"in{index}": array for index, array in enumerate(arrays)}


def mxnet(
    op: str | Iterable[str],
    *arrays: NumpyArray,
    weights: int = 0,
    outputs: int = 1,
    options: Mapping[str, Any] | None = None,
    **attrs: object,
) -> list[Case]:
    """Cases of an MXNet operator, one for each of its names.

    Args:
        op: operator, or several that mean the same.
        arrays: its inputs in order.
        weights: how many of the last ones are weights; the others are fed.
        outputs: how many outputs it has.
        options: fields of :class:`Case`.
        attrs: attributes as they stand in the file.
    """
    inputs = named(arrays, [f"data{index or ''}" for index in range(len(arrays) - weights)])
    fed = list(inputs)[: len(inputs) - weights]
    text = "x".join(map(str, arrays[0].shape)) + ("," + described(attrs) if attrs else "")

    def maker(name: str) -> Callable[[Path], Sample]:
        return lambda folder: mxnet_sample(folder, name, inputs, attrs, data=fed, outputs=outputs)

    names = [op] if isinstance(op, str) else list(op)
    return [Case("mxnet", name, text, maker(name), **(options or {})) for name in names]


def paddle(
    legacy: str | None,
    pir: str | None,
    expression: str,
    *,
    weights: Sequence[str] = (),
    shapes: Mapping[str, Sequence[int]] | None = None,
    options: Mapping[str, Any] | None = None,
    **arrays: NumpyArray,
) -> list[Case]:
    """Cases of one Paddle expression, in the dialects that have an operator for it.

    Args:
        legacy: the operator that the legacy program must contain, None for no such case.
        pir: the same for PIR.
        expression: Python over the arrays' names, ``paddle``, ``F``, ``np``.
        weights: names of arrays that are parameters; the others are fed.
        shapes: declared shapes, with -1 for dynamic dimensions.
        options: fields of :class:`Case`.
        arrays: the arrays; without any there is an ``x`` of (2, 3, 4, 5).
    """
    given = dict(arrays) or {"x": random_array(2, 3, 4, 5)}
    fed = [name for name in given if name not in weights]

    def maker(dialect: Dialect, op: str) -> Callable[[Path], Sample]:
        def make(folder: Path) -> Sample:
            sample = paddle_sample(folder, dialect, given, expression, data=fed, shapes=shapes)
            types = [found.type for found in sample.model.program.ops]  # type: ignore[union-attr]
            assert op in types, f"the program has {types}, not {op}"
            return sample

        return make

    text = f"{expression},{described(shapes)}" if shapes else expression
    return [
        Case("paddle", op, f"{dialect},{text}".replace(" ", ""), maker(dialect, op), **(options or {}))
        for dialect, op in zip(DIALECTS, (legacy, pir), strict=True)
        if op is not None
    ]


def paddle_op(
    op: str,
    slots: Mapping[str, Sequence[str]],
    attrs: Mapping[str, object],
    *,
    weights: Sequence[str] = (),
    shapes: Mapping[str, Sequence[int]] | None = None,
    outputs: Sequence[str] = ("Out",),
    older: tuple[str, Mapping[str, object]] | None = None,
    options: Mapping[str, Any] | None = None,
    **arrays: NumpyArray,
) -> list[Case]:
    """A case of one legacy operator with exactly these attributes, for forms that Paddle 3 itself no longer writes.

    Args:
        op: operator type, which Paddle runs.
        slots: slot -> names of arrays.
        attrs: its attributes.
        weights: names of arrays that are parameters; the others are fed.
        shapes: declared shapes, with -1 for dynamic dimensions.
        outputs: output slots, the main one first.
        older: (operator, attributes) of Paddle 1.x that mean the same and that Paddle 3 does not run any more; the
            record is made to say so after the run.
        options: fields of :class:`Case`.
        arrays: the arrays.
    """
    fed = [name for name in arrays if name not in weights]
    name, written = older or (op, attrs)

    def make(folder: Path) -> Sample:
        sample = paddle_op_sample(folder, op, arrays, slots, attrs, data=fed, shapes=shapes, outputs=outputs)
        if older is not None:
            program = sample.model.program  # type: ignore[union-attr]
            (found,) = program.ops
            program.ops[:] = [replace(found, type=name, attrs=dict(written))]
        return sample

    return [Case("paddle", name, f"op,{described(written)},{described(shapes or {})}", make, **(options or {}))]


def onnx(
    op: str | Iterable[str],
    *arrays: NumpyArray | None,
    opsets: Sequence[int] = (13,),
    fed: int = 1,
    outputs: int = 1,
    options: Mapping[str, Any] | None = None,
    **attrs: object,
) -> list[Case]:
    """Cases of an ONNX operator, one for each of its names and of the opsets of the source.

    Args:
        op: operator, or several that take the same inputs.
        arrays: its inputs in order, None for one that is left out.
        opsets: opsets of the source.
        fed: how many of the inputs are fed; the others are initializers.
        outputs: how many outputs it has.
        options: fields of :class:`Case`.
        attrs: attributes.
    """

    def maker(name: str, opset: int) -> Callable[[Path], Sample]:
        return lambda folder: onnx_sample(folder, name, arrays, attrs, opset=opset, fed=fed, outputs=outputs)

    first = next((array for array in arrays if array is not None), np.zeros(0))
    text = "x".join(map(str, first.shape)) + ("," + described(attrs) if attrs else "")
    return [
        Case("onnx", name, f"{opset},{text}", maker(name, opset), **(options or {}))
        for name in ([op] if isinstance(op, str) else op)
        for opset in opsets
    ]


def onnx_graph(
    op: str, body: str, *arrays: NumpyArray, opset: int = 13, options: Mapping[str, Any] | None = None, text: str = ""
) -> list[Case]:
    """A case of several ONNX nodes, in the syntax of onnx.parser.

    Args:
        op: the operator it is there for.
        body: statements that compute ``y`` from ``x``, ``x1``, ...; those inputs are dynamic in their first dimension.
        arrays: what is fed.
        opset: opset of the source.
        options: fields of :class:`Case`.
        text: what tells it from other cases; the body by default.
    """

    def make(folder: Path) -> Sample:
        skip_without("onnxruntime")
        import onnx
        import onnx.parser

        feeds = {f"x{index}" if index else "x": array for index, array in enumerate(arrays)}
        kinds = {"float32": "float", "int64": "int64", "int32": "int32", "bool": "bool"}
        declared = ", ".join(
            f"{kinds[array.dtype.name]}[{', '.join(['n', *map(str, array.shape[1:])][: array.ndim])}] {name}"
            for name, array in feeds.items()
        )
        source = f'<ir_version: 8, opset_import: ["" : {opset}]> g ({declared}) => (y) {{ {body} }}'
        model = onnx.parser.parse_model(source.replace("=> (y)", "=> (float[] y)"))
        del model.graph.output[0].type.tensor_type.shape.dim[:]
        model.graph.output[0].ClearField("type")
        path = folder / "source.onnx"
        onnx.save(model, path)
        with OrtRuntime(path) as runtime:
            return Sample(path, feeds, list(runtime.run(feeds).outputs.values()))

    return [Case("onnx", op, f"{opset},{text or body}".replace(" ", ""), make, **(options or {}))]


def spread(cases: Iterable[Case]) -> list[Case]:
    """The cases with the opsets to write spread over them: all for an operator's first, then two of them in turn."""
    result: list[Case] = []
    seen: dict[tuple[str, str], int] = {}
    for case in cases:
        turn = seen[case.framework, case.op] = seen.get((case.framework, case.op), -1) + 1
        plain = case.opsets == OPSETS and turn > 0
        result.append(replace(case, opsets=FEW_OPSETS[turn % len(FEW_OPSETS)]) if plain else case)
    return result


def uncovered(cases: Iterable[Case], families: Sequence[str]) -> dict[str, list[str]]:
    """Registered operators of these families (modules of ``converters/ops``) that no case is there for.

    A canonical operator that has a PyTorch rule is covered by the ONNX operator of the same name.
    """
    covered: dict[str, set[str]] = {framework: set() for framework in FRAMEWORKS.values()}
    for case in cases:
        covered[case.framework].add(case.op)
    missing = {}
    for direction, framework in {**FRAMEWORKS, "to_torch": "onnx"}.items():
        registered = [op for op, family in table(direction).items() if family in families]
        missing[direction] = [op for op in registered if op not in covered[framework]]
    return {direction: names for direction, names in missing.items() if names}

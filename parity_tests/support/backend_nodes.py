"""The node tests of the ONNX project's backend suite, converted to PyTorch, Paddle and MXNet and run there.

    for case in node_cases():
        reason = out_of_scope(case)                  # None where facecvt claims to read it
        outcome = run_case(case, "torch", folder)    # passed, constant, excluded or failed

The cases ship inside the onnx package: a model, inputs and expected outputs each. A model is converted as it is
shipped, every operand a graph input. Where the target needs an operand while the model is being written (the axes of a
reduction, the shape of a Reshape, a kernel), it is converted once more with every input but the first made a constant,
as models that somebody exported hold them; such a case counts apart. Outputs are held against what the suite ships,
within the suite's own tolerance; so is what the float64 oracle computes of the same cases.
"""

from __future__ import annotations

import re
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

import numpy as np

from facecvt.converters.conversion import convert_files
from facecvt.converters.errors import ConversionError
from facecvt.converters.formats.model_files import OnnxFiles
from facecvt.converters.graph import name_of
from facecvt.converters.onnx_ir_lazy import ir
from facecvt.converters.ops.registry import rule_for
from facecvt.converters.readers.from_onnx import OLDEST_OPSET
from facecvt.parity_tests.oracle.onnx_model import OnnxOracle
from facecvt.parity_tests.runtimes.open_target import open_target
from facecvt.parity_tests.runtimes.runtime import NumpyArray, RunFailedError
from facecvt.parity_tests.support.single_op import paddle_process
from facecvt.parity_tests.support.single_op_to_paddle import run_in_paddle

TARGETS = ("torch", "paddle", "mxnet")
DISPUTED = ("test_resize_downsample_scales_linear_align_corners", "test_resize_downsample_scales_cubic_align_corners")


@dataclass(frozen=True)
class NodeCase:
    """One test of the suite.

    Attributes:
        name: as the suite calls it.
        model: the ``onnx.ModelProto``.
        inputs, outputs: what is fed and what must come out, in the model's order; arrays, or whatever else the suite
            ships (sequences, optional values, tensors of types that numpy lacks).
        rtol, atol: the suite's own tolerance.
    """

    name: str
    model: Any
    inputs: tuple[Any, ...]
    outputs: tuple[Any, ...]
    rtol: float
    atol: float


@dataclass(frozen=True)
class Outcome:
    """What became of one case in one target: ``constant`` passed with constant operands; reasons otherwise."""

    kind: Literal["passed", "constant", "excluded", "failed"]
    reason: str = ""


@cache
def node_cases(operator: str | None = None) -> tuple[NodeCase, ...]:
    """Every case, or those of one operator (``abs``, ``gemm``: its module's name), which takes less time."""
    from importlib import import_module

    from onnx.backend.test.case import node

    state = np.random.get_state()  # the suite seeds numpy's own generator
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it divides by zero on purpose
            if operator is None:
                made = node.collect_testcases()
            else:
                import_module(f"{node.__name__}.{operator}")
                made = node._NodeTestCases
    finally:
        np.random.set_state(state)
    return tuple(
        NodeCase(case.name, case.model, tuple(inputs), tuple(outputs), case.rtol, case.atol)
        for case in made
        if operator is None or case.model.graph.node[0].op_type.lower() == operator
        for inputs, outputs in case.data_sets
    )


def out_of_scope(case: NodeCase) -> str | None:
    """Why a case says nothing about facecvt's rules; None where it is in scope."""
    nodes = case.model.graph.node
    if any(node.domain not in ("", "ai.onnx") or rule_for("from_onnx", node.op_type) is None for node in nodes):
        return "an operator that is not in the table of operators"
    opset = next((entry.version for entry in case.model.opset_import if entry.domain in ("", "ai.onnx")), 1)
    if opset < OLDEST_OPSET:
        return f"opset below {OLDEST_OPSET}"
    arrays = (*case.inputs, *case.outputs)
    if not all(isinstance(array, (np.ndarray, np.generic)) for array in arrays):
        return "8-bit, 4-bit and 2-bit floats and integers packed as such, sequences, optional values"
    if any(np.asarray(array).dtype.kind in "OSU" for array in arrays):
        return "text"
    if case.name in DISPUTED:
        return "ONNX Runtime computes otherwise (it rounds the length before it scales), and facecvt follows it"
    if any(np.asarray(array).dtype.name == "bfloat16" for array in arrays):
        return "bfloat16 inputs, which numpy does not hand to the frameworks"
    return None


# What a refusal or a framework's own error means, in the order in which they are tried.
REFUSALS: tuple[tuple[str, str], ...] = (
    (r"training_mode", "training mode"),
    (r"its output '.*' is used", "a second output that serves training or unpooling (mask, mean, indices)"),
    (
        r"computed at run time|must be a weight|known at run time only|number of dimensions of '.*' is not known",
        "a shape or an operand computed inside the model at run time",
    ),
    (r"without a conversion rule", "an operator without a rule for this target"),
    (
        r"holds u?int|holds bfloat|which \w+ does not compute|no kernels which are registered"
        r"|not implemented for|dtype must be any of",
        "an element type that the framework does not compute with",
    ),
    (
        r"has no empty tensors|MXNet has none outside|allowzero asks for an empty",
        "empty tensors, and scalars in MXNet, which the target does not have",
    ),
    (
        r"has no (exact )?\w+ form|picks other pixels|has no (mean|pool) (over|with)|lets a window begin"
        r"|larger than what",
        "a form that the target cannot express exactly; refused",
    ),
    (r"not supported|is supported|are supported|supports", "a form that facecvt does not read; refused"),
)


def run_case(case: NodeCase, target: str, folder: Path) -> Outcome:
    """Convert a case of the scope, run it in its target and compare.

    Args:
        case: a case for which :func:`out_of_scope` is None.
        target: one of TARGETS.
        folder: an empty folder for files.
    """
    feeds = {item.name: np.asarray(array) for item, array in zip(case.model.graph.input, case.inputs, strict=False)}
    messages = []
    for kind in ("passed", "constant") if len(feeds) > 1 else ("passed",):
        model, fed = (case.model, feeds) if kind == "passed" else with_constants(case.model, feeds)
        place = folder / kind
        place.mkdir()
        try:
            found = run_model(model, fed, target, place)
        except (ConversionError, RunFailedError) as error:
            messages.append(str(error))
            continue
        except Exception as error:  # never right: a user would see a traceback; the other cases are still wanted
            return Outcome("failed", f"{type(error).__name__}: {error}")
        wrong = difference(found, case, target)
        return Outcome("failed", wrong) if wrong else Outcome("passed" if kind == "passed" else "constant")
    return judged(messages, case)


def judged(messages: Sequence[str], case: NodeCase) -> Outcome:
    """Whether what was said names a reason that is known; the last attempt comes first, it knows more constants."""
    for message in reversed(messages):
        for pattern, reason in REFUSALS:
            if re.search(pattern, message):
                return Outcome("excluded", reason)
    arrays = (*case.inputs, *case.outputs)
    if any(np.asarray(array).size == 0 for array in arrays):
        return Outcome("excluded", "an empty tensor, on which the framework does not run the operator")
    return Outcome("failed", messages[-1].splitlines()[0])


def with_constants(model: Any, feeds: Mapping[str, NumpyArray]) -> tuple[Any, dict[str, NumpyArray]]:
    """The model with every input but the first made an initializer, and what is still fed."""
    import onnx

    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    first, *others = [item.name for item in model.graph.input]
    changed.graph.initializer.extend(onnx.numpy_helper.from_array(feeds[name], name) for name in others)
    del changed.graph.input[1:]
    return changed, {first: feeds[first]}


def run_model(model: Any, feeds: Mapping[str, NumpyArray], target: str, folder: Path) -> list[NumpyArray]:
    """Outputs of a model, converted to a target and run there.

    Raises:
        ConversionError: facecvt refuses it.
        RunFailedError: the framework refuses what facecvt wrote.
    """
    import onnx

    source = folder / "case.onnx"
    onnx.save(model, source)
    conversion = convert_files("onnx", OnnxFiles("case", source), target, folder / "target")
    fed = {name_of(value): as_read(value, feeds[name_of(value)]) for value in conversion.graph.inputs}
    if target == "paddle":  # a process serves all cases; starting one a case would take an hour
        try:
            return run_in_paddle(conversion.target, [path.name for path in conversion.files], fed)
        except RuntimeError as error:
            if "ended with code" in str(error):
                paddle_process.cache_clear()
            raise RunFailedError(str(error)) from error
    with open_target(conversion) as runtime:
        return list(runtime.run(fed).outputs.values())


def as_read(value: ir.Value, array: NumpyArray) -> NumpyArray:
    """What is fed, in float32 where the model is in float16, since it is converted in float32."""
    widened = array.dtype == np.float16 and value.dtype == ir.DataType.FLOAT
    return array.astype(np.float32) if widened else array


def difference(found: Sequence[NumpyArray], case: NodeCase, target: str) -> str:
    """What is wrong with outputs; empty where nothing is.

    MXNet has no booleans and computes shapes as it likes, so its element types are not compared, its numbers are. A
    model in float16 is converted in float32.
    """
    if len(found) != len(case.outputs):
        return f"{len(found)} outputs where {len(case.outputs)} are expected"
    for position, (array, shipped) in enumerate(zip(found, case.outputs, strict=True)):
        wanted = np.asarray(shipped)
        if array.shape != wanted.shape:
            return f"output {position}: shape {array.shape}, expected {wanted.shape}"
        types = (wanted.dtype, np.dtype(np.float32)) if wanted.dtype == np.float16 else (wanted.dtype,)
        if target != "mxnet" and array.dtype not in types:
            return f"output {position}: {array.dtype}, expected {wanted.dtype}"
        rtol, atol = (case.rtol, case.atol) if wanted.dtype.kind == "f" else (0.0, 0.0)
        close = np.isclose(array.astype(np.float64), wanted.astype(np.float64), rtol, atol, equal_nan=True)
        if not close.all():
            return f"output {position}: {int((~close).sum())} of {wanted.size} numbers differ"
    return ""


def oracle_difference(case: NodeCase) -> str | None:
    """What the float64 oracle computes otherwise than the suite ships; None where it lacks an operator."""
    feeds = {item.name: np.asarray(array) for item, array in zip(case.model.graph.input, case.inputs, strict=False)}
    try:
        found = OnnxOracle(case.model, np.float64).run(feeds)
    except ConversionError:
        return None
    return difference(list(found.values()), case, "mxnet")  # the oracle's floats are float64


def run_all(target: str, cases: Sequence[NodeCase]) -> dict[str, Outcome]:
    """Outcome of every case that is in scope, by name."""
    outcomes = {}
    for case in cases:
        with tempfile.TemporaryDirectory() as folder:
            outcomes[case.name] = run_case(case, target, Path(folder))
    return outcomes

"""Is an ONNX target in float16 right? Three proofs, none of which is enough alone.

    the same model in float32     is written beside it and verified as any conversion is, with the floors and limits of
                                  float32: whatever reader, rules, passes and writer did wrong shows there in full
    the file itself               is that model, node by node and number by number, but for weights that are rounded to
                                  float16 and Casts at the borders (half_file.py); nothing is tolerated
    the file's own run            agrees with the source in float64 within ten floors of float16: what it costs is what
                                  float16 has to cost, and nothing overflows

float16 rounds so coarsely that an eps of 1e-3 in place of 1e-5 may hide in its floor. The first two have no such blind
spot. The floor of a value is measured on the float32 model, which by then is proven: it is evaluated in float32 with
the operands and results of every operator rounded to float16 that the target computes in float16.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from facecvt.converters.passes.to_half import HalfPlan
from facecvt.parity_tests.align import Alignment
from facecvt.parity_tests.half_file import differences_of
from facecvt.parity_tests.inputs import InputPlan
from facecvt.parity_tests.oracle.onnx_model import OnnxOracle
from facecvt.parity_tests.runtimes.runtime import Runtime
from facecvt.parity_tests.source import SHAPE_ONLY, Oracle
from facecvt.parity_tests.tolerance import Precision
from facecvt.parity_tests.verification import Float16Proof, Verdict, Verification
from facecvt.parity_tests.verify import NumpyArray, Progress, verify_run

if TYPE_CHECKING:
    from facecvt.converters.conversion import Conversion

ORDER: tuple[Verdict, ...] = ("differ", "not_comparable", "not_verified", "agree")


def verify_float16(
    conversion: Conversion,
    half: HalfPlan,
    plan: InputPlan,
    progress: Progress | None,
    oracle: Callable[[Conversion, Any], Oracle],
    runtime: Callable[[Conversion], Runtime],
) -> Verification:
    """All three proofs of a target in float16.

    Args:
        conversion: what was converted.
        half: what of the target computes in float16.
        plan: what is fed.
        progress, oracle, runtime: as in :func:`facecvt.parity_tests.verify.verify`.

    Returns:
        The figures of the file's own run, the worst verdict of the three, and the rest in ``float16``.
    """
    from facecvt.converters.writers.to_onnx import write_onnx

    with tempfile.TemporaryDirectory(prefix="facecvt-float32-") as folder:
        path = Path(folder) / "model.onnx"
        files = write_onnx(conversion.graph, path, half.opset)
        differences = tuple(differences_of(conversion.target, path, half))
        same = replace(conversion, target=path, files=files, half=None)
        single = verify_run(same, plan, progress, oracle, runtime)
        if single.verdict == "not_verified":
            return single
        ours = verify_run(conversion, plan, progress, oracle, runtime, RoundedRun(path, half, conversion))
    reasons = (
        *(f"the file is not the float32 model in float16: {difference}" for difference in differences),
        *(f"the same model in float32: {reason}" for reason in single.reasons),
        *ours.reasons,
    )
    verdicts: list[Verdict] = [single.verdict, ours.verdict, *(["differ"] if differences else [])]  # type: ignore[list-item]
    warnings = tuple(dict.fromkeys((*single.warnings, *ours.warnings)))
    limits = []
    for output in ours.outputs:
        rel_rmse, one_minus_cos = Precision("float16").output_limits(output.floor)
        limits.append((output.name, rel_rmse, one_minus_cos))
    proof = Float16Proof(half, single, differences, tuple(limits))
    return replace(ours, verdict=min(verdicts, key=ORDER.index), reasons=reasons, warnings=warnings, float16=proof)


class RoundedRun:
    """The float32 model, evaluated with every rounding of the target; gives the floors.

    Args:
        path: the float32 model.
        half: what of the target computes in float16.
        conversion: tells which value of the source is which.
    """

    def __init__(self, path: Path, half: HalfPlan, conversion: Conversion) -> None:
        self.oracle = OnnxOracle(path, np.float32, half=half.values)
        self.half = half
        self.taps = conversion.taps

    def precision(self, alignment: Alignment) -> Precision:
        """float16, with the names of the source's values that are rounded or computed from such."""
        behind: set[Any] = set()
        for step in self.oracle.evaluator.steps:
            fed = step.operator not in SHAPE_ONLY and not behind.isdisjoint(step.inputs)
            if fed or not self.half.values.isdisjoint(step.names):
                behind.update(step.outputs)
        rounded = {pair.layer.value for pair in alignment.pairs if pair.tap in behind}
        rounded |= {pair.source for pair in alignment.outputs if pair.source is not None and pair.target in behind}
        return Precision("float16", frozenset(rounded))

    def run(self, fed: Mapping[str, NumpyArray], wanted: Collection[str]) -> dict[str, NumpyArray]:
        """The wanted values, by their name in the target."""
        found: dict[str, NumpyArray] = {}

        def keep(name: str, value: NumpyArray) -> None:
            if name in wanted:
                found[name] = value

        self.oracle.run(fed, keep)
        return found

"""Metamorphic checks: what must hold of one implementation whatever it computes.

weights    those that it runs with are the seeded ones, bit for bit
batches    a picture gives the same at batch 1, 2 and 3, wherever it stands
permuted   the rows of a batch in another order give the same in that order
repeated   three runs are bit-equal
aliases    outputs share no memory, neither with one another nor with the input, and a later run leaves them alone
depends    every output that is computed from the input changes with it
extremes   black, grey and loud pictures give finite numbers, as far off as any
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from itertools import combinations

import numpy as np

from facecvt.parity_tests.inputs import sample_numbers
from facecvt.parity_tests.metrics import compare, same_bits
from facecvt.parity_tests.parity_report.native import NumpyArray
from facecvt.parity_tests.parity_report.result import CheckResult, Verdict, WeightsOfSide, rounded
from facecvt.parity_tests.parity_report.runs import EXTREMES, GREAT, LAYERED, SMALL, TURNED
from facecvt.parity_tests.tolerance import K

RUNS = 3
ROWS = {SMALL: sample_numbers(1), LAYERED: sample_numbers(2), GREAT: sample_numbers(3), TURNED: sample_numbers(2)[::-1]}
Outputs = Mapping[str, Sequence[NumpyArray]]


def sha256_of(arrays: Mapping[str, NumpyArray]) -> str:
    """Hash of names, shapes and bytes, little-endian float32, in the order that they come."""
    digest = hashlib.sha256()
    for name, array in arrays.items():
        digest.update(f"{name} {list(array.shape)}\n".encode())
        digest.update(np.ascontiguousarray(array, dtype="<f4").tobytes())
    return digest.hexdigest()


def weights_of(
    side: str, found: Mapping[str, NumpyArray], seeded: Mapping[str, NumpyArray], sha256: str
) -> WeightsOfSide:
    """The weights of a side held against the seeded ones, bit by bit.

    Args:
        side: its id.
        found: what it runs with, by canonical name.
        seeded: what it should run with.
        sha256: of ``seeded``.
    """
    other = [name for name, array in seeded.items() if name not in found or not same_bits(found[name], array)]
    sha = sha256_of({name: found[name] for name in seeded if name in found}) if other else sha256
    return WeightsOfSide(side, len(seeded), len(seeded) - len(other), sha, tuple(other))


def check_weights(found: WeightsOfSide) -> CheckResult:
    """See the module's docstring."""
    if not found.other:
        return CheckResult(found.side, "weights", "agree", f"{found.tensors} of {found.tensors} tensors bit-identical")
    shown = ", ".join(found.other[:3]) + (f" and {len(found.other) - 3} more" if len(found.other) > 3 else "")
    return CheckResult(found.side, "weights", "differ", f"{len(found.other)} of {found.tensors} are others: {shown}")


def check_runs(side: str, run: Callable[[NumpyArray], Sequence[NumpyArray]], x: NumpyArray) -> list[CheckResult]:
    """ "repeated" and "aliases".

    Args:
        side: its id.
        run: one run, outputs as the implementation hands them out.
        x: an input.
    """
    fed = x.copy()
    first = run(fed)
    before = [array.tobytes() for array in first]
    again = [[array.tobytes() for array in run(fed.copy())] for _ in range(RUNS - 1)]
    run(fed * np.float32(0.5))  # another picture
    equal = all(outputs == before for outputs in again)
    repeated = CheckResult(
        side,
        "repeated",
        "agree" if equal else "differ",
        f"{RUNS} runs are bit-equal" if equal else f"{RUNS} runs on one input do not give the same bits",
    )
    faults = []
    if [array.tobytes() for array in first] != before:
        faults.append("a later run writes over the outputs of an earlier one")
    if not np.array_equal(fed, x):
        faults.append("a run writes over its input")
    faults += [
        f"{'outputs' if theirs else 'the input and output'} {names} share memory"
        for names, one, two, theirs in [
            *((f"{i} and {j}", first[i], first[j], True) for i, j in combinations(range(len(first)), 2)),
            *((str(i), fed, array, False) for i, array in enumerate(first)),
        ]
        if np.may_share_memory(one, two)
    ]
    detail = "; ".join(faults) or "outputs are arrays of their own"
    return [repeated, CheckResult(side, "aliases", "differ" if faults else "agree", detail)]


def check_rows(side: str, outputs: Outputs, floors: Sequence[float | None]) -> list[CheckResult]:
    """ "batches" and "permuted".

    Args:
        side: its id.
        outputs: input -> its outputs.
        floors: of every output; two rows may each be off by K of them.
    """
    found = []
    for check, fed in (("batches", (SMALL, LAYERED, GREAT)), ("permuted", (LAYERED, TURNED))):
        ran = [name for name in fed if name in outputs]
        compared, worst = 0, 0.0
        for number, floor in enumerate(floors):
            rows: dict[int, NumpyArray] = {}
            for name in ran:
                array, samples = outputs[name][number], ROWS[name]
                if floor is None or array.ndim == 0 or array.shape[0] != len(samples):
                    continue
                for place, sample in enumerate(samples):
                    if sample in rows:
                        compared += 1
                        error = compare(rows[sample], array[place]).rel_rmse
                        worst = max(worst, error / (2 * K * floor) if error else 0.0)
                    rows.setdefault(sample, array[place])
        verdict: Verdict = "not_comparable" if not compared else "agree" if worst <= 1 else "differ"
        where = " and ".join(ran)
        detail = f"{compared} rows of {where} agree" if verdict == "agree" else f"rows depend on their batch in {where}"
        if not compared:
            detail = "no output has a row for each picture"
        found.append(CheckResult(side, check, verdict, detail, rounded(worst) if compared else None))
    return found


def check_depends(side: str, outputs: Outputs, computed: Sequence[bool]) -> CheckResult:
    """ "depends".

    Args:
        side: its id.
        outputs: input -> its outputs.
        computed: of every output whether it is computed from the input's values.
    """
    ours, theirs = outputs[LAYERED], outputs[TURNED]
    still = [
        number
        for number, wanted in enumerate(computed)
        if wanted and (np.array_equal(ours[number], theirs[number]) or not np.ptp(ours[number]) > 0)
    ]
    if not any(computed):
        return CheckResult(side, "depends", "not_comparable", "no output is computed from the input")
    if still:
        return CheckResult(side, "depends", "not_comparable", f"output {still[0]} does not change with the input")
    return CheckResult(side, "depends", "agree", f"{sum(computed)} of {len(computed)} outputs change with the input")


def check_extremes(side: str, outputs: Outputs, ratio: float | None, against: str) -> CheckResult:
    """ "extremes".

    Args:
        side: its id.
        outputs: input -> its outputs.
        ratio: error over floor of the worst output on this input; None where it was not measured or is infinite.
        against: what it was held against.
    """
    arrays = outputs[EXTREMES]
    if not all(np.isfinite(array).all() for array in arrays):
        return CheckResult(side, "extremes", "differ", "NaN or Inf among the outputs")
    if ratio is None:
        return CheckResult(side, "extremes", "not_comparable", "nothing to hold it against")
    verdict: Verdict = "agree" if ratio <= K else "differ"
    return CheckResult(side, "extremes", verdict, f"{ratio:.1f} floors off {against}", rounded(ratio / K))

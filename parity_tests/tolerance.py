"""What difference is rounding, and what is a difference of meaning.

    tolerance of a tap = K x floor of the tap          K = 10

The floor is measured, never picked: the source graph is evaluated in float32 and in float64 by the same oracle on the
same input, and their rel-RMSE at the tap is what float32 costs there. A target that does the same arithmetic in
another order stays within a small factor of that; a wrong epsilon, slope or pad does not.

One run can be lucky: where a tap has two elements, or all its values are exact, the measured floor may be far below
what another order of operations costs. From below it is therefore bounded twice.

First by what rounding costs by definition. A float32 number has a significand of 24 bits, so each operation rounds its
result by at most u = 2^-24 of it. Errors of n operations in a row are independent and add up like a random walk:

    floor >= u x sqrt(depth)          depth = number of operators on the longest path to the tap

Second, where a sample of a tap has fewer than 64 numbers, by the floors of what its operator reads. The mean error of
so few is itself a matter of chance: of one number, one run in six is five times luckier than the average. What it is
computed from has more of them, and an error that is already there rarely becomes smaller:

    floor >= max floor of its operands          if the tap has fewer than 64 numbers a sample

A run can also be unlucky: where large terms cancel, the values of one sample may be far smaller than those of others,
while what rounding costs, in absolute terms, is the same. The floor of a run is therefore that of its tap, times how
much smaller its values are than those of the clean run on the same kind of input (at most 100, so that none goes free).

Values that are not floating point numbers have no rounding: they must be equal.

Outputs must also meet two absolute limits, which hold whatever the floor is.

A target that computes in float16 has floors of its own, measured in the same way: the model is evaluated with weights,
operands and results rounded to float16 wherever the target does so (parity_tests/float16.py). Of a number in
[2^e, 2^(e+1)) the error of one rounding is spread evenly over half a unit in the last place, 2^(e-11), to either side:

    floor >= 2^-11 / sqrt(3)          behind a value that is rounded

The absolute limits are for float32. In float16 an output's limits follow from its own floor: rel-RMSE K x floor, and
the 1 - cos of an error of that length, 1 - sqrt(1 - (K x floor)^2). A floor above 2^-5, whose tolerance a third of the
value would meet, proves nothing.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

K = 10.0
UNIT_ROUNDING = 2.0**-24
OUTPUT_REL_RMSE = 2e-5
OUTPUT_ONE_MINUS_COS = 1e-10
MOST_RESCALED = 100.0
HALF_ROUNDING = 2.0**-11 / math.sqrt(3.0)
MOST_HALF_FLOOR = 2.0**-5
FEW = 64  # numbers in one sample of a tap, below which its own measurement is left to chance


def lowest_floor(depth: int) -> float:
    """Least rel-RMSE that rounding to float32 costs behind ``depth`` operators in a row."""
    return UNIT_ROUNDING * math.sqrt(max(depth, 1))


def floor_of(measured: Iterable[float], depth: int, inherited: float = 0.0) -> float:
    """Floor of a tap: the greatest of its clean runs, and not less than the bounds in the module's docstring.

    Args:
        measured: rel-RMSE of each clean run against float64; empty where there is none.
        depth: number of operators on the longest path to the tap.
        inherited: greatest floor of what it is computed from, where it has few numbers.

    Returns:
        A positive number; infinite where a clean run itself overflows, so that nothing can be proven at this tap.
    """
    values = list(measured)
    if any(not math.isfinite(value) for value in values):
        return math.inf
    return max([lowest_floor(depth), inherited if math.isfinite(inherited) else 0.0, *values])


def floor_of_run(floor: float, clean_scale: float, scale: float) -> float:
    """Floor of one run of a tap.

    Args:
        floor: the tap's.
        clean_scale: rms of the values in the clean run on the same kind of input, 0 where there was none.
        scale: rms of the values in this run.
    """
    if clean_scale <= scale:
        return floor
    return floor * (min(clean_scale / scale, MOST_RESCALED) if scale > 0.0 else MOST_RESCALED)


@dataclass(frozen=True)
class Precision:
    """What a target computes in.

    Attributes:
        name: "float32", or "float16" where any of it is.
        rounded: names of the source's values that are rounded to float16, or computed from such.
    """

    name: str = "float32"
    rounded: frozenset[str] = frozenset()

    def floor(self, value: str, floor: float) -> float:
        """Floor of a value, not below what one rounding costs where it is rounded."""
        return max(floor, HALF_ROUNDING) if value in self.rounded else floor

    def costs_too_much(self, floor: float) -> bool:
        """Whether rounding alone may change so much that nothing can be proven."""
        return not math.isfinite(floor) or (self.name == "float16" and floor > MOST_HALF_FLOOR)

    def output_limits(self, floor: float) -> tuple[float, float]:
        """(rel-RMSE, 1 - cos) that an output may have at most, given its floor."""
        if self.name == "float32":
            return OUTPUT_REL_RMSE, OUTPUT_ONE_MINUS_COS
        length = min(K * floor, 1.0)
        return length, 1.0 - math.sqrt(1.0 - length * length)


FLOAT32 = Precision()


@dataclass(frozen=True)
class Gate:
    """An error held against its floor; truthy when it passed.

    Attributes:
        rel_rmse: the error.
        floor: the floor of its tap; 0 where values must be equal.
        k: how many floors are allowed.
    """

    rel_rmse: float
    floor: float
    k: float = K

    @property
    def ratio(self) -> float:
        """Error over floor: the smallest ``k`` that would pass."""
        if self.rel_rmse == 0.0:
            return 0.0
        if not math.isfinite(self.rel_rmse):
            return math.inf
        return self.rel_rmse / self.floor if self.floor > 0.0 else math.inf

    @property
    def tolerance(self) -> float:
        """The rel-RMSE that is allowed."""
        return self.k * self.floor

    def __bool__(self) -> bool:
        # An infinite floor proves nothing, so it lets nothing pass.
        return math.isfinite(self.floor) and self.ratio <= self.k

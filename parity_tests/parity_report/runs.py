"""What every implementation is fed: the same pictures, as numbers that no normalisation has to round.

Pixels are whole numbers, those of noise multiples of 1/256. A net that normalises inside is fed the pixels, every other
one (pixel - mean) * scale in float32. Where the nets of one architecture differ in that, the factor is a power of two,
so that both see exactly the same numbers.

    layers    noise at batch 1, a face at batch 2; every named layer is compared
    outputs   faces at batch 1 and 3, batch 2 in the other order, and a batch of extremes: black, the mean,
              and noise of eight times the usual power
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace

import numpy as np

from facecvt.converters.contract import InputContract
from facecvt.parity_tests.inputs import InputPlan, NumpyArray, channel_axis, normalised
from facecvt.parity_tests.parity_report.result import Fed, InputInfo
from facecvt.reference_models.spec import ArchitectureSpec

STEPS = 256.0  # to a pixel value
LOUD = 8.0
EXTREME = "extreme"  # kind of the inputs that no net is fed in use
EXTREMES = f"{EXTREME}/3"
SMALL, LAYERED, GREAT, TURNED = "image/1", "image/2", "image/3", "image/2 turned"

INPUTS = (
    InputInfo("normal/1", "normal", 1, True, "noise around the middle of the range"),
    InputInfo(LAYERED, "image", 2, True, "two pictures like faces"),
    InputInfo(SMALL, "image", 1, False, "one picture like a face"),
    InputInfo(GREAT, "image", 3, False, "three pictures like faces"),
    InputInfo(TURNED, "image", 2, False, "the two pictures in the other order"),
    InputInfo(EXTREMES, EXTREME, 3, False, "black, the mean, noise of eight times the power"),
)


def inputs_of(quick: bool) -> tuple[InputInfo, ...]:
    """What is run; quick leaves out the noise and the greatest batch."""
    return tuple(info for info in INPUTS if not quick or info.name not in ("normal/1", GREAT))


@dataclass(frozen=True)
class Feed:
    """One input in both forms.

    Attributes:
        info: which one.
        pixels: for nets that normalise inside, float32.
        scaled: for all others, float32.
    """

    info: InputInfo
    pixels: NumpyArray
    scaled: NumpyArray

    def of(self, contract: InputContract) -> NumpyArray:
        """What a net with this contract is fed."""
        return self.pixels if contract.in_graph else self.scaled

    def told(self) -> Fed:
        """Shape and hash."""
        data = np.ascontiguousarray(self.scaled.astype("<f4"))
        return Fed(self.info.name, data.shape, hashlib.sha256(data.tobytes()).hexdigest())


def feeds_of(arch: ArchitectureSpec, infos: tuple[InputInfo, ...], seed: int) -> list[Feed]:
    """Every input of an architecture.

    Args:
        arch: the architecture; its contracts say size, mean and scale.
        infos: of :data:`INPUTS`.
        seed: of the pictures.
    """
    contract = next((c for c in arch.contracts.values() if c.in_graph), arch.contracts["torch"])
    plan = InputPlan(seed=seed)
    return [_feed(contract, plan, info) for info in infos]


def _feed(contract: InputContract, plan: InputPlan, info: InputInfo) -> Feed:
    drawn = replace(contract, in_graph=True)
    if info.kind == EXTREME:
        noise = plan.feeds([drawn], "normal", 1)[contract.name]
        middle = np.full_like(noise, 127.5)
        pixels = np.concatenate([np.zeros_like(noise), middle, middle + (noise - 127.5) * LOUD])
    else:
        pixels = plan.feeds([drawn], info.kind, info.batch)[contract.name]
    if info.name == TURNED:
        pixels = pixels[::-1]
    pixels = (np.rint(pixels.astype(np.float64) * STEPS) / STEPS).astype(np.float32)
    axis = channel_axis(contract)
    assert axis is not None
    scaled = normalised(np.moveaxis(pixels.astype(np.float64), axis, -1), replace(contract, in_graph=False))
    return Feed(
        info, np.ascontiguousarray(pixels), np.ascontiguousarray(np.moveaxis(scaled, -1, axis), dtype=np.float32)
    )

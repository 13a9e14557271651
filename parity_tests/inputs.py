"""Deterministic inputs: noise, and pictures that look like a face, in the range that a model expects.

A model is fed what its input contract says, from pixels p in 0..255:

    the graph normalises itself (``in_graph``)   p
    mean and scale are known                     (p - mean) * scale
    nothing is known                             (p - 127.5) / 128

Kind "image" is a smooth synthetic face with texture, as 8-bit pixels; kind "normal" is p = 127.5 + 64 n with n from
N(0, 1), not rounded, so that it has values between and beyond those of pictures. Both are float32 numbers before they
are fed, so that the oracle and the target see exactly the same.

Sample number i is the same picture in whatever batch it is used. The batches rotate: 1 holds sample 0, 2 holds
1, 0 and 3 holds 2, 0, 1, so that rows that must not depend on their batch can be held against one another.

Where height and width are free, each batch has another size, none square twice and one odd, so that spatial freedom is
proven together with that of the batch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from facecvt.converters.contract import InputContract

NumpyArray = np.ndarray[Any, np.dtype[Any]]

KINDS = ("normal", "image")
DEFAULT_BATCHES = (1, 2, 3)
DEFAULT_SIZES: Mapping[int, tuple[int, int]] = {1: (96, 128), 2: (112, 112), 3: (125, 99)}
# For nets that add maps of several strides and so take only multiples of their greatest stride.
ALIGNED_SIZES: Mapping[int, tuple[int, int]] = {1: (96, 128), 2: (128, 128), 3: (160, 64)}
OTHER_SIZE = (112, 112)
OTHER_DIMENSION = 8  # of a free dimension that is neither batch nor height nor width


@dataclass(frozen=True)
class InputPlan:
    """Which inputs a model is run on.

    Attributes:
        batches: batch sizes that are asked for.
        kinds: kinds of input, of :data:`KINDS`.
        sizes: batch -> (height, width) in pixels, used where a model leaves them free.
        seed: of everything random.
    """

    batches: tuple[int, ...] = DEFAULT_BATCHES
    kinds: tuple[str, ...] = KINDS
    sizes: Mapping[int, tuple[int, int]] = field(default_factory=lambda: dict(DEFAULT_SIZES))
    seed: int = 0

    def aligned(self) -> InputPlan:
        """The same plan with sizes that are multiples of 32."""
        return replace(self, sizes=dict(ALIGNED_SIZES))

    def batches_for(self, contracts: Sequence[InputContract]) -> tuple[int, ...]:
        """The batches that a model takes: those asked for, or the one that is fixed in it."""
        fixed = [contract.shape[0] for contract in contracts if contract.shape and isinstance(contract.shape[0], int)]
        return (int(fixed[0]),) if fixed else self.batches

    def feeds(self, contracts: Sequence[InputContract], kind: str, batch: int) -> dict[str, NumpyArray]:
        """One array for each input, by its name in the source.

        Args:
            contracts: one for each input.
            kind: "normal" or "image".
            batch: number of samples; ignored by inputs whose first dimension is fixed.
        """
        if kind not in KINDS:
            raise ValueError(f"kind {kind!r} is not one of {KINDS}")
        return {
            contract.name: self._feed(contract, position, kind, batch) for position, contract in enumerate(contracts)
        }

    def _feed(self, contract: InputContract, position: int, kind: str, batch: int) -> NumpyArray:
        shape = self.shape(contract, batch)
        dtype = np.dtype(contract.dtype)
        if not shape:
            return np.ones(shape, dtype)
        samples = [self._sample(contract, shape[1:], kind, number, position) for number in sample_numbers(shape[0])]
        return np.stack(samples).astype(np.float32).astype(dtype)

    def feeds_of_both(
        self, source: Sequence[InputContract], target: Sequence[InputContract], kind: str, batch: int
    ) -> tuple[dict[str, NumpyArray], dict[str, NumpyArray]]:
        """What source and target are fed for the same samples, where only one of them may normalise itself.

        The side that normalises is fed float32 pixels; the other the result, which the source gets in float64, so that
        the target's own arithmetic is held against exact numbers.

        Args:
            source: contract of each input of the source.
            target: those of the target, in the same order.
            kind, batch: as for :meth:`feeds`.
        """
        both = list(zip(source, target, strict=True))
        drawn = self.feeds([theirs if theirs.in_graph else ours for ours, theirs in both], kind, batch)
        ours_fed, theirs_fed = dict(drawn), dict(drawn)
        for ours, theirs in both:
            if ours.in_graph == theirs.in_graph:
                continue
            axis = channel_axis(ours)
            pixels = drawn[ours.name].astype(np.float64)
            last = pixels if axis is None else np.moveaxis(pixels, axis, -1)
            without = normalised(last, replace(ours, in_graph=False))
            exact = without if axis is None else np.moveaxis(without, -1, axis)
            if theirs.in_graph:
                ours_fed[ours.name] = exact
            else:
                theirs_fed[ours.name] = np.ascontiguousarray(exact.astype(theirs.dtype))
        return ours_fed, theirs_fed

    def shape(self, contract: InputContract, batch: int) -> tuple[int, ...]:
        """The input's shape at one batch size, every free dimension filled in."""
        height, width = self.sizes.get(batch, OTHER_SIZE)
        named = dict(zip(spatial_axes(contract), (height, width), strict=False))
        shape = []
        for axis, dimension in enumerate(contract.shape):
            if isinstance(dimension, int):
                shape.append(dimension)
            elif axis == 0:
                shape.append(batch)
            else:
                shape.append(named.get(axis, OTHER_DIMENSION))
        return tuple(shape)

    def _sample(
        self, contract: InputContract, shape: tuple[int, ...], kind: str, number: int, position: int
    ) -> NumpyArray:
        """One sample, without the batch axis, normalised as the contract says."""
        # RandomState, because its stream is frozen for good; default_rng's may change with numpy.
        random = np.random.RandomState([self.seed, KINDS.index(kind), number, position])
        channel = channel_axis(contract)
        if channel is None:
            return random.standard_normal(shape)
        axes = [axis - 1 for axis in spatial_axes(contract)]
        height, width = (shape[axis] for axis in axes)
        channels = shape[channel - 1]
        if kind == "image":
            pixels = face_like(random, height, width, channels).astype(np.float64)
            if contract.color == "BGR":
                pixels = pixels[..., ::-1]
        else:
            pixels = 127.5 + 64.0 * random.standard_normal((height, width, channels))
        fed = normalised(pixels, contract)
        return fed if channel == 3 else np.moveaxis(fed, -1, 0)


def sample_numbers(batch: int) -> list[int]:
    """Which samples a batch holds, in order: the last one first, then the others."""
    return [(batch - 1 + row) % batch for row in range(batch)]


def channel_axis(contract: InputContract) -> int | None:
    """The axis of the colour channels of an image input, None where the input is not an image."""
    if len(contract.shape) != 4:
        return None
    if contract.layout is not None:
        return {"NCHW": 1, "NHWC": 3}.get(contract.layout)
    return 3 if contract.shape[3] in (1, 3) and contract.shape[1] not in (1, 3) else 1


def spatial_axes(contract: InputContract) -> tuple[int, ...]:
    """The axes of height and width of an image input, nothing where the input is not an image."""
    channel = channel_axis(contract)
    return () if channel is None else ((2, 3) if channel == 1 else (1, 2))


def normalised(pixels: NumpyArray, contract: InputContract) -> NumpyArray:
    """What a model is fed for pixels 0..255 of shape (height, width, channels)."""
    if contract.in_graph:
        return pixels
    if contract.mean is None and contract.scale is None:
        return (pixels - 127.5) / 128.0
    mean = np.asarray(contract.mean or (0.0,), dtype=np.float64)
    scale = np.asarray(contract.scale or (1.0,), dtype=np.float64)
    fed: NumpyArray = (pixels - mean) * scale
    return fed


def face_like(random: np.random.RandomState, height: int, width: int, channels: int) -> NumpyArray:
    """A soft-edged face before a graded background, with coarse and fine texture.

    Args:
        random: where its position, colours and texture come from.
        height, width: in pixels.
        channels: 3 gives RGB; any other number repeats the grey picture.

    Returns:
        uint8 of shape (height, width, channels).
    """
    y = (np.arange(height)[:, None] + 0.5) / height * 2 - 1
    x = (np.arange(width)[None, :] + 0.5) / width * 2 - 1
    shift_x, shift_y, tilt = random.uniform(-0.12, 0.12, 3)
    u, v = x - shift_x - tilt * y, y - shift_y

    def blob(centre_u: float, centre_v: float, size_u: float, size_v: float) -> NumpyArray:
        bump: NumpyArray = np.exp(-(((u - centre_u) / size_u) ** 2) - ((v - centre_v) / size_v) ** 2)
        return bump

    background = random.uniform(40, 200, 3) + random.uniform(-50, 50, 3) * x[..., None] + 30 * y[..., None]
    skin = np.array([205.0, 160.0, 135.0]) * random.uniform(0.6, 1.1)
    head = 1.0 / (1.0 + np.exp(12.0 * ((u / 0.62) ** 2 + (v / 0.82) ** 2 - 1.0)))
    light = 1.0 + 0.25 * random.uniform(-1, 1) * u - 0.15 * v
    picture = background * (1 - head[..., None]) + skin * light[..., None] * head[..., None]
    for side in (-0.27, 0.27):
        picture -= 110.0 * blob(side, -0.18, 0.11, 0.06)[..., None]  # eyes
        picture -= 60.0 * blob(side, -0.36, 0.17, 0.035)[..., None]  # brows
    picture += 25.0 * blob(0.0, 0.05, 0.06, 0.22)[..., None]  # nose
    picture += np.array([20.0, -60.0, -50.0]) * blob(0.0, 0.42, 0.24, 0.07)[..., None]  # mouth
    coarse = random.standard_normal((8, 8, 3)) * 10.0
    rows, columns = np.arange(height) * 8 // height, np.arange(width) * 8 // width
    picture += coarse[rows[:, None], columns[None, :]]
    picture += random.standard_normal((height, width, 3)) * 6.0
    rounded: NumpyArray = np.clip(np.rint(picture), 0, 255)
    if channels != 3:
        rounded = np.repeat(np.rint(rounded.mean(axis=2, keepdims=True)), channels, axis=2)
    return rounded.astype(np.uint8)

"""The user's own inputs: arrays, as they are or in an ``.npz``, or a folder of images.

An ``.npz``, like a mapping of names to arrays, holds an array for each input of A, by its name; where A has one input
its one array may have any name.

Of a folder every image (png, jpg, jpeg, bmp) in the order of its name becomes a sample of one batch: 8-bit RGB (grey
where the model takes one channel), resized to A's height and width (bilinear), and brought to what A's input contract
says: colour order, (pixel - mean) * scale, layout. Where the contract is silent, (pixel - 127.5) / 128 in RGB. A model
that fixes its batch gets that many images, from the first. Where A leaves height and width free, all images must have
one size. Pillow decodes and resizes them; it is not among facecvt's own dependencies.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeAlias
from zipfile import BadZipFile

import numpy as np
from numpy.typing import ArrayLike

from facecvt.converters.contract import InputContract
from facecvt.converters.errors import FormatError, FrameworkMissingError, UsageError
from facecvt.converters.graph import NumpyArray
from facecvt.parity_tests.diff.side_by_side import FeedPlan, SideBySide
from facecvt.parity_tests.inputs import channel_axis, normalised, spatial_axes

Inputs: TypeAlias = str | Path | Mapping[str, ArrayLike]
GIVEN = "given"
SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp")
PIP_COMMAND = "pip install pillow"


def given_runs(pair: SideBySide, given: Inputs) -> FeedPlan:
    """The user's own inputs, as one run.

    Args:
        pair: the two models.
        given: arrays by name, an ``.npz`` of such, or a folder of images.

    Raises:
        UsageError: it cannot be read, or does not fit A's inputs.
        NotComparableError: the inputs of the two sides do not fit each other.
        FrameworkMissingError: images are given, and Pillow is not installed.
        FormatError: an image cannot be decoded.
    """
    if not isinstance(given, Mapping) and Path(given).is_dir():
        fed, its = from_images(pair, Path(given))
    else:
        fed = for_inputs(pair, given, "inputs") if isinstance(given, Mapping) else from_npz(pair, given)
        its = {match.b: fed[match.a] for match in pair.provenance.inputs}
    return [(GIVEN, int(fed[pair.exact.input_names[0]].shape[0]), fed, its)]


def from_npz(pair: SideBySide, path: str | Path) -> dict[str, NumpyArray]:
    """An array for each input of A."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except (OSError, ValueError, BadZipFile, AttributeError) as error:
        raise UsageError(f"--inputs {path}: cannot be read as an .npz of arrays: {error}") from error
    return for_inputs(pair, arrays, f"--inputs {path}")


def for_inputs(pair: SideBySide, arrays: Mapping[str, ArrayLike], what: str) -> dict[str, NumpyArray]:
    """An array for each input of A, of its dtype.

    Args:
        pair: the two models.
        arrays: by A's names; where A has one input and this is one array, by any.
        what: what holds them, for messages.

    Raises:
        UsageError: an input without an array, or an array without samples.
    """
    names = pair.exact.input_names
    if len(names) == 1 and len(arrays) == 1:
        arrays = dict(zip(names, arrays.values(), strict=True))
    missing = [name for name in names if name not in arrays]
    if missing:
        raise UsageError(f"{what} holds {sorted(arrays)}, but A's inputs are {names}")
    dtypes = {contract.name: np.dtype(contract.dtype) for contract in pair.a.graph.contracts}
    fed = {name: np.asarray(arrays[name], dtypes.get(name, np.dtype(np.float32))) for name in names}
    empty = [name for name in names if fed[name].size == 0 or fed[name].ndim == 0]
    if empty:
        raise UsageError(f"{what}: {empty} hold no samples")
    return fed


def from_images(pair: SideBySide, folder: Path) -> tuple[dict[str, NumpyArray], dict[str, NumpyArray]]:
    """What A and B are fed for the images of a folder."""
    ours, theirs = pair.contracts()
    if len(ours) != 1 or channel_axis(ours[0]) is None:
        raise UsageError(
            f"--inputs {folder}: images are for models of one image input; A's are {pair.exact.input_names}"
        )
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)
    if not paths:
        raise UsageError(f"--inputs {folder}: there is no image ({', '.join(SUFFIXES)}) in it")
    fixed = ours[0].shape[0]
    if isinstance(fixed, int) and len(paths) < fixed:
        raise UsageError(f"--inputs {folder}: A takes {fixed} images at a time, and here are {len(paths)}")
    pictures = decoded(paths[:fixed] if isinstance(fixed, int) else paths, ours[0])
    fed = as_contract(pictures, ours[0])
    its = fed if ours[0].in_graph == theirs[0].in_graph else as_contract(pictures, theirs[0])
    return {ours[0].name: fed}, {theirs[0].name: its}


def decoded(paths: Sequence[Path], contract: InputContract) -> NumpyArray:
    """Images as uint8 of shape (images, height, width, channels), RGB or grey, of the size that a model takes."""
    try:
        from PIL import Image, UnidentifiedImageError
    except ImportError as error:
        raise FrameworkMissingError("Pillow", "decode the images of --inputs", PIP_COMMAND) from error
    axis = channel_axis(contract)
    assert axis is not None
    channels = contract.shape[axis]
    if channels not in (1, 3):
        raise UsageError(f"images have 1 or 3 channels, and input {contract.name} has {channels}")
    height, width = (contract.shape[place] for place in spatial_axes(contract))
    pictures = []
    for path in paths:
        try:
            with Image.open(path) as image:
                picture = image.convert("RGB" if channels == 3 else "L")
        except (UnidentifiedImageError, OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            raise FormatError(path, None, f"cannot be decoded as an image: {error}") from error
        size = (
            width if isinstance(width, int) else picture.width,
            height if isinstance(height, int) else picture.height,
        )
        if picture.size != size:
            picture = picture.resize(size, Image.Resampling.BILINEAR)
        pixels = np.asarray(picture, np.uint8)
        pictures.append(pixels if channels == 3 else pixels[..., None])
    sizes = {picture.shape for picture in pictures}
    if len(sizes) > 1:
        shown = sorted(f"{shape[1]}x{shape[0]}" for shape in sizes)
        raise UsageError(
            f"--inputs: the images have the sizes {', '.join(shown)}, and the model resizes none: make them one"
        )
    return np.stack(pictures)


def as_contract(pictures: NumpyArray, contract: InputContract) -> NumpyArray:
    """8-bit pictures (images, height, width, channels), RGB, as a model is fed them."""
    pixels = pictures.astype(np.float64)
    if contract.color == "BGR":
        pixels = pixels[..., ::-1]
    fed = normalised(pixels, contract)
    if channel_axis(contract) == 1:
        fed = np.moveaxis(fed, -1, 1)
    return np.ascontiguousarray(fed.astype(np.float32).astype(contract.dtype))

"""What fresnet's options come to: units, widths and sizes of maps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from facecvt.reference_models.spec import ArchitectureSpec

# layers -> residual units in each of the four stages
UNITS: Mapping[int, tuple[int, int, int, int]] = {
    18: (2, 2, 2, 2),
    34: (3, 4, 6, 3),
    50: (3, 4, 14, 3),
    74: (3, 6, 24, 3),
    90: (3, 8, 30, 3),
    98: (3, 4, 38, 3),
    99: (3, 8, 35, 3),
    100: (3, 13, 30, 3),
    101: (3, 4, 23, 3),
    124: (3, 13, 40, 5),
    134: (3, 10, 50, 3),
    136: (3, 13, 48, 3),
    140: (3, 15, 48, 3),
    152: (3, 8, 36, 3),
    160: (3, 24, 49, 3),
    200: (3, 24, 36, 3),
    269: (3, 30, 48, 8),
}
ALSO = {49: 50}  # another name of the same network
LATER_DEPTHS = (98, 99, 134, 136, 140, 160)
BOTTLENECK_FROM = 101  # layers, in the revision of 2018
STEM = 64
WIDTHS = (64, 128, 256, 512)
EXPANSION = 4  # of a bottleneck
REVISIONS = ("2018", "arcface_mxnet")


def architecture_name(depth: int) -> str:
    """The name of the architecture of so many layers."""
    return f"fresnet{depth}"


def depth_of(spec: ArchitectureSpec) -> int:
    """The count of layers that an architecture is named by."""
    return int(spec.name.removeprefix("fresnet"))


def is_bottleneck(spec: ArchitectureSpec) -> bool:
    """True where the units have a 3x3 convolution between two of 1x1."""
    return spec.options["revision"] == "2018" and depth_of(spec) >= BOTTLENECK_FROM


def widths(spec: ArchitectureSpec) -> tuple[int, ...]:
    """Channels that each stage puts out."""
    return tuple(width * EXPANSION for width in WIDTHS) if is_bottleneck(spec) else WIDTHS


def halved(size: int) -> int:
    """Height of a map behind a padded convolution at stride 2."""
    return (size + 1) // 2


def map_sizes(version: int, size: int) -> tuple[int, ...]:
    """Height of the map behind every stage; input 0 halves the picture once more."""
    edge = halved(size) if version == 0 else size
    sizes = []
    for _ in WIDTHS:
        edge = halved(edge)
        sizes.append(edge)
    return tuple(sizes)


def last_map(spec: ArchitectureSpec) -> tuple[int, int]:
    """Channels and height of the map in front of the output."""
    return widths(spec)[-1], map_sizes(spec.options["input"], spec.options["input_size"])[-1]


def is_plain(options: Mapping[str, Any]) -> bool:
    """True for the options of LResNet-E-IR, whose embedding may have any length."""
    plain = {"output": "E", "unit": 3, "input": 1, "se": False, "activation": "prelu", "input_size": 112}
    return all(options.get(name, value) == value for name, value in plain.items())

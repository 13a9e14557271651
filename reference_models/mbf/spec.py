"""MobileFaceNet in the form of InsightFace's arcface_torch and of PLSC: 112x112 faces to 512 numbers.

Two nets, ``mbf`` (1-4-6-2 units, scale 2, 2.1 M parameters) and ``mbf_large`` (2-8-12-4 units, scale 4, 6.3 M). The
option ``scale`` widens what lies between the units; the widths inside them and of the last map stay.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from facecvt.converters.contract import InputContract
from facecvt.converters.errors import UsageError
from facecvt.reference_models.layers import INPUT, Layer, LayerList
from facecvt.reference_models.mbf.names import NAMES
from facecvt.reference_models.spec import (
    Alias,
    ArchitectureSpec,
    Family,
    NamePattern,
    Source,
    Stage,
    TorchClass,
    Upstream,
)

if TYPE_CHECKING:
    from facecvt.reference_models.skeleton import Skeleton

# architecture -> units in each of the four runs
BLOCKS: Mapping[str, tuple[int, int, int, int]] = {"mbf": (1, 4, 6, 2), "mbf_large": (2, 8, 12, 4)}
WIDTH = 64  # channels of the first map at scale 1
GROUPS = 64  # of the 3x3 convolution that stands in for a first run of one
# index of a run in ``layers``, its inner width, inner width of the unit at stride 2 in front of it, both widths in
# multiples of the first map's, height = width of the map
RUNS = ((3, 128, 128, 1, 28), (5, 256, 256, 2, 14), (7, 256, 512, 2, 7))
FIRST_INNER, FIRST_SIZE = 128, 56
LAST = 512  # channels of the last map
DAMPING = 0.4  # of the branches that are summed up: the running sum of 26 units must not grow

SHAPE = ("batch", 3, 112, 112)
CONTRACT = InputContract("x", SHAPE, layout="NCHW", color="RGB", mean=(127.5,), scale=(1 / 127.5,))
MXNET_CONTRACT = InputContract("data", SHAPE, layout="NCHW", color="RGB", mean=(127.5,), scale=(1 / 127.5,))
SOURCE = Source(
    "MobileFaceNets: Efficient CNNs for Accurate Real-Time Face Verification on Mobile Devices, "
    "https://arxiv.org/abs/1804.07573",
    (
        Upstream("torch", "deepinsight/insightface", "recognition/arcface_torch/backbones/mobilefacenet.py"),
        Upstream("paddle", "PaddlePaddle/PLSC", "plsc/models/mobilefacenet.py"),
    ),
)


def derive(spec: ArchitectureSpec) -> ArchitectureSpec:
    """The stages at the architecture's scale."""
    blocks, width = BLOCKS[spec.name], WIDTH * spec.options["scale"]
    first = Stage("grouped convolution" if blocks[0] == 1 else "units at stride 1", blocks[0], width, 1, FIRST_SIZE)
    runs = (
        Stage(f"units of {inner}", 1 + count, width * times, 2, size)
        for count, (_, inner, _, times, size) in zip(blocks[1:], RUNS, strict=True)
    )
    return replace(spec, stages=(first, *runs))


def architecture(name: str, scale: int, title: str, *aliases: Alias) -> ArchitectureSpec:
    """One of the two, with its upstream's options."""
    return derive(
        ArchitectureSpec(
            name=name,
            family="mbf",
            title=title,
            source=SOURCE,
            contracts={"torch": CONTRACT, "paddle": CONTRACT, "mxnet": MXNET_CONTRACT},
            stages=(),
            options={"embedding_size": 512, "scale": scale, "normalize": False, "eps": None, "fp16": False},
            eps={"torch": 1e-5, "paddle": 1e-5, "mxnet": 1e-5},
            aliases=aliases,
        )
    )


ARCHITECTURES = (
    architecture(
        "mbf", 2, "MobileFaceNet of arcface_torch and PLSC, 112 to 512",
        Alias("get_mbf", "torch"), Alias("MobileFaceNet_base", "paddle"),
    ),
    architecture(
        "mbf_large", 4, "MobileFaceNet of arcface_torch, large, 112 to 512",
        Alias("get_mbf_large", "torch"), Alias("MobileFaceNet_large", "paddle"),
    ),
)  # fmt: skip


class Listing(LayerList):
    """The layers, block by block."""

    def conv_block(
        self, name: str, x: str, channels: tuple[int, int], kernel: int = 1, *, stride: int = 1, pad: int = 0,
        group: int = 1, linear: bool = False, gain: float = 1.0,
    ) -> str:  # fmt: skip
        """Convolution, BatchNorm and, unless linear, PRelu."""
        x = self.conv(f"{name}.layers.0", x, channels, kernel, stride=stride, pad=pad, group=group)
        x = self.batch_norm(f"{name}.layers.1", x, channels[1], gain=gain)
        return x if linear else self.prelu(f"{name}.layers.2", x, channels[1])

    def unit(self, name: str, x: str, channels: tuple[int, int], inner: int, *, stride: int, gain: float = 1.0) -> str:
        """A unit without its sum."""
        x = self.conv_block(f"{name}.layers.0", x, (channels[0], inner))
        x = self.conv_block(f"{name}.layers.1", x, (inner, inner), 3, stride=stride, pad=1, group=inner)
        return self.conv_block(f"{name}.layers.2", x, (inner, channels[1]), linear=True, gain=gain)

    def run(self, name: str, x: str, channels: int, count: int, inner: int) -> str:
        """A run of units with their sums."""
        for index in range(count):
            one = f"{name}.layers.{index}"
            x = self.add(one, self.unit(one, x, (channels, channels), inner, stride=1, gain=DAMPING), x)
        return x


def layers(spec: ArchitectureSpec) -> list[Layer]:
    """Every layer in forward order, which is the order of the states too."""
    net, blocks, width = Listing(), BLOCKS[spec.name], WIDTH * spec.options["scale"]
    x = net.conv_block("layers.0", INPUT, (3, width), 3, stride=2, pad=1)
    if blocks[0] == 1:
        x = net.conv_block("layers.1", x, (width, width), 3, pad=1, group=GROUPS)
    else:
        x = net.run("layers.1", x, width, blocks[0], FIRST_INNER)
    channels = width
    for count, (index, inner, entrance, times, _) in zip(blocks[1:], RUNS, strict=True):
        x = net.unit(f"layers.{index - 1}", x, (channels, width * times), entrance, stride=2)
        channels = width * times
        x = net.run(f"layers.{index}", x, channels, count, inner)
    x = net.conv_block("conv_sep", x, (channels, LAST))
    x = net.conv_block("features.layers.0", x, (LAST, LAST), RUNS[-1][-1], group=LAST, linear=True)
    x = net.gemm("features.layers.2", net.flatten("features.layers.1", x), (LAST, spec.embedding_size), bias=False)
    x = net.batch_norm("features.layers.3", x, spec.embedding_size)
    if spec.normalised:
        net.normalize("normalize", x)
    return net.layers


def build(spec: ArchitectureSpec, framework: str) -> Any:
    """The net in one framework, weights as initialised.

    Raises:
        UsageError: fp16 of another framework than PyTorch.
    """
    if spec.options["fp16"] and framework != "torch":
        raise UsageError(f"fp16 is an option of {spec.name} in PyTorch; there is none in {framework}")
    net = spec.net_module(framework)
    first = (spec.embedding_size, BLOCKS[spec.name], spec.options["scale"])
    last = (spec.eps_in(framework), spec.normalised)
    if framework == "torch":
        return net.MobileFaceNet(*first, spec.options["fp16"], *last)
    return (net.mobilefacenet if framework == "mxnet" else net.MobileFaceNet)(*first, *last)


def torch_class(spec: ArchitectureSpec) -> TorchClass:
    """The constructor call that gives this architecture in ``net_torch.py``."""
    normalize = ", normalize=True" if spec.normalised else ""
    arguments = f"num_features={spec.embedding_size}, blocks={BLOCKS[spec.name]}, scale={spec.options['scale']}"
    return TorchClass("MobileFaceNet", arguments + normalize)


def prelus(blocks: tuple[int, int, int, int]) -> int:
    """How many PRelu a net has: one in the stem, two a unit, one in front of the 7x7 convolution."""
    first = 1 if blocks[0] == 1 else 2 * blocks[0]
    return 2 + first + 2 * (len(RUNS) + sum(blocks[1:]))


def candidates(skeleton: Skeleton) -> Iterator[ArchitectureSpec]:
    """The nets with as many PRelu, at the scale that the first convolution tells."""
    size = skeleton.output_width()
    first = next((piece.shapes["weight"][0] for piece in skeleton.pieces if piece.op == "Conv"), 0)
    count = sum(skeleton.count("PRelu").values())
    for spec in ARCHITECTURES:
        if size and first and first % WIDTH == 0 and count == prelus(BLOCKS[spec.name]):
            yield spec.with_options(embedding_size=size, scale=first // WIDTH, normalize=skeleton.normalised)


# what may follow the net's name in an upstream's: its scale, the length of its embedding
OPTIONS = r"(?:_scale(?P<scale>\d+))?(?:_(?:emb)?(?P<embedding_size>\d+))?"
FAMILY = Family(
    name="mbf",
    architectures=ARCHITECTURES,
    layers=layers,
    names=NAMES,
    build=build,
    candidates=candidates,
    torch_class=torch_class,
    patterns=(
        NamePattern(r"insightface_arcface_torch_(mbf(?:_large)?)" + OPTIONS, r"\1", "torch"),
        NamePattern(r"plsc_mobilefacenet(?:_base)?" + OPTIONS, "mbf", "paddle"),
        NamePattern(r"plsc_mobilefacenet_large" + OPTIONS, "mbf_large", "paddle"),
        NamePattern(r"(mbf(?:_large)?)" + OPTIONS, r"\1"),
    ),
    derive=derive,
)

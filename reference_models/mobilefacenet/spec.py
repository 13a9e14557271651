"""MobileFaceNet in the form of FFC and of InsightFace's arcface_paddle: 112x112 faces to 128 numbers, 1.0 M parameters.

A 3x3 convolution at stride 2, a depthwise one, fifteen inverted bottlenecks, a 1x1 convolution to 512 channels, a 7x7
depthwise one over the whole map and a 1x1 one to the embedding, each with its BatchNorm.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import combinations_with_replacement
from typing import TYPE_CHECKING, Any

from facecvt.converters.contract import InputContract
from facecvt.converters.errors import UsageError
from facecvt.reference_models.layers import INPUT, Layer, LayerList
from facecvt.reference_models.mobilefacenet.names import NAMES
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
    from facecvt.reference_models.state_view import StateView

# expansion, channels, bottlenecks, stride of the first
Row = tuple[int, int, int, int]
SETTING: tuple[Row, ...] = ((2, 64, 5, 2), (4, 128, 1, 2), (2, 128, 6, 1), (4, 128, 1, 2), (2, 128, 2, 1))
STEM, LAST = 64, 512  # channels of the first and the last map
FIRST_SIZE, LAST_SIZE = 56, 7
HALVINGS = 3  # from the first size to the last

SHAPE = ("batch", 3, 112, 112)
CONTRACT = InputContract("x", SHAPE, layout="NCHW", color="RGB", mean=(127.5,), scale=(1 / 127.5,))
MXNET_CONTRACT = InputContract("data", SHAPE, layout="NCHW", color="RGB", mean=(127.5,), scale=(1 / 127.5,))


def derive(spec: ArchitectureSpec) -> ArchitectureSpec:
    """The stages that the setting gives; the last convolution covers a map of 7x7.

    Raises:
        UsageError: the strides of a setting lead to another size.
    """
    setting = tuple(tuple(row) for row in spec.options["setting"])
    stages, size = [], FIRST_SIZE
    for expansion, channels, count, stride in setting:
        size //= stride
        stages.append(Stage(f"bottlenecks x{expansion}", count, channels, stride, size))
    if size != LAST_SIZE:
        raise UsageError(f"{spec.name}: the strides of this setting make the last map {size}x{size}, it has to be 7x7")
    return replace(spec, stages=tuple(stages), options={**spec.options, "setting": setting})


MOBILEFACENET = ArchitectureSpec(
    name="mobilefacenet",
    family="mobilefacenet",
    title="MobileFaceNet, 112 to 128",
    source=Source(
        "MobileFaceNets: Efficient CNNs for Accurate Real-Time Face Verification on Mobile Devices, "
        "https://arxiv.org/abs/1804.07573",
        (
            Upstream("torch", "tiandunx/FFC", "resnet_def/mobilefacenet_def.py"),
            Upstream(
                "paddle", "deepinsight/insightface", "recognition/arcface_paddle/dynamic/backbones/mobilefacenet.py"
            ),
        ),
    ),
    contracts={"torch": CONTRACT, "paddle": CONTRACT, "mxnet": MXNET_CONTRACT},
    stages=tuple(
        Stage(f"bottlenecks x{expansion}", count, channels, stride, size)
        for (expansion, channels, count, stride), size in zip(SETTING, (28, 14, 14, 7, 7), strict=True)
    ),
    options={"embedding_size": 128, "setting": SETTING, "normalize": False, "eps": None, "fp16": False},
    eps={"torch": 1e-5, "paddle": 1e-5, "mxnet": 1e-5},
    aliases=(
        Alias("mobileface_v1.0_infer", "paddle"),
        Alias("ffc_mobilefacenet", "torch", {"normalize": True}),
        Alias("insightface_arcface_paddle_mobilefacenet", "paddle"),
    ),
)


def layers(spec: ArchitectureSpec) -> list[Layer]:
    """Every layer in forward order; linear bottlenecks that are summed up are damped a little."""
    net = LayerList()

    def conv_block(
        name: str, x: str, channels: tuple[int, int], kernel: int, *, stride: int = 1, pad: int = 0, group: int = 1,
        linear: bool = False,
    ) -> str:  # fmt: skip
        x = net.conv(f"{name}.conv", x, channels, kernel, stride=stride, pad=pad, group=group)
        x = net.batch_norm(f"{name}.bn", x, channels[1])
        return x if linear else net.prelu(f"{name}.prelu", x, channels[1])

    x = conv_block("conv1", INPUT, (3, STEM), 3, stride=2, pad=1)
    x = conv_block("dw_conv1", x, (STEM, STEM), 3, pad=1, group=STEM)
    channels, block = STEM, 0
    for expansion, out, count, first_stride in spec.options["setting"]:
        for index in range(count):
            stride = first_stride if index == 0 else 1
            residual = stride == 1 and channels == out
            unit, inner = f"blocks.{block}", channels * expansion
            y = net.conv(f"{unit}.conv.0", x, (channels, inner), 1)
            y = net.prelu(f"{unit}.conv.2", net.batch_norm(f"{unit}.conv.1", y, inner), inner)
            y = net.conv(f"{unit}.conv.3", y, (inner, inner), 3, stride=stride, pad=1, group=inner)
            y = net.prelu(f"{unit}.conv.5", net.batch_norm(f"{unit}.conv.4", y, inner), inner)
            y = net.conv(f"{unit}.conv.6", y, (inner, out), 1)
            y = net.batch_norm(f"{unit}.conv.7", y, out, gain=0.5 if residual else 1.0)
            x = net.add(unit, y, x) if residual else y
            channels, block = out, block + 1
    x = conv_block("conv2", x, (channels, LAST), 1)
    x = conv_block("linear7", x, (LAST, LAST), LAST_SIZE, group=LAST, linear=True)
    x = conv_block("linear1", x, (LAST, spec.embedding_size), 1, linear=True)
    x = net.flatten("flatten", x)
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
    arguments = (spec.embedding_size, spec.options["setting"], spec.eps_in(framework), spec.normalised)
    if framework == "torch":
        return net.MobileFaceNet(*arguments, spec.options["fp16"])
    return (net.mobilefacenet if framework == "mxnet" else net.MobileFaceNet)(*arguments)


def torch_class(spec: ArchitectureSpec) -> TorchClass:
    """The constructor call that gives this architecture in ``net_torch.py``."""
    arguments = f"embedding_size={spec.embedding_size}"
    if spec.options["setting"] != SETTING:
        arguments += f", setting={spec.options['setting']}"
    switches = [f", {name}=True" for name in ("normalize", "fp16") if spec.options[name]]
    return TorchClass("MobileFaceNet", arguments + "".join(switches))


def setting_of(skeleton: Skeleton) -> tuple[Row, ...] | None:
    """The setting that the graph's convolutions tell, three a bottleneck between two and three others, if any."""
    convs = [piece for piece in skeleton.pieces if piece.op == "Conv"]
    widths = [piece.shapes["weight"][0] for piece in convs]
    if len(convs) < 8 or (len(convs) - 5) % 3:
        return None
    units = range(2, len(convs) - 3, 3)
    rows = joined(
        (widths[place] // widths[place - 1], widths[place + 2], 1, convs[place + 1].attributes["strides"][0])
        for place in units
    )
    if not all(row[0] for row in rows) or math.prod(row[3] for row in rows) != FIRST_SIZE // LAST_SIZE:
        return None
    return rows


def candidates(skeleton: Skeleton) -> Iterator[ArchitectureSpec]:
    """The network with the setting that the graph's convolutions tell, where there are as many PRelu."""
    size, setting = skeleton.output_width(), setting_of(skeleton)
    if size is not None and setting and sum(skeleton.count("PRelu").values()) == 3 + 2 * sum(row[2] for row in setting):
        yield MOBILEFACENET.with_options(embedding_size=size, setting=setting, normalize=skeleton.normalised)


def told(view: StateView) -> Iterator[ArchitectureSpec]:
    """The network with the expansions and channels that a state tells, at published or else the likeliest strides."""
    rows: list[tuple[int, int, int]] = []
    for name in view.numbered("blocks.{}.conv.0"):
        inner, channels, _ = view.kernel(name)
        row = (inner // channels, view.kernel(name.removesuffix("0") + "6")[0])
        if rows and rows[-1][:2] == row:
            rows[-1] = (*row, rows[-1][2] + 1)
        else:
            rows.append((*row, 1))
    if not rows:
        return
    setting = SETTING if tuple(rows) == tuple(row[:3] for row in SETTING) else next(strided(rows))
    yield MOBILEFACENET.with_options(setting=setting, embedding_size=view.kernel("linear1.conv")[0])


def alike(spec: ArchitectureSpec) -> Iterator[dict[str, Any]]:
    """Settings that differ in strides alone, which weights do not tell; the published one stands for itself."""
    if spec.options["setting"] != SETTING:
        plain = joined((*row[:3], 1) for row in spec.options["setting"])
        rows = [(expansion, channels, count) for expansion, channels, count, _ in plain]
        yield from ({"setting": setting} for setting in strided(rows) if setting != spec.options["setting"])


def strided(rows: Sequence[tuple[int, int, int]]) -> Iterator[tuple[Row, ...]]:
    """The rows with every choice of strides that leads to the last map, the likeliest first.

    A map is halved three times: rather once each at three rows than twice at one, rather at rows that widen than at
    others, rather early than late. Where there are fewer than three rows, their bottlenecks count as rows.
    """
    if len(rows) < HALVINGS:
        rows = [(expansion, channels, 1) for expansion, channels, count in rows for _ in range(count)]
    widens = [
        place == 0 or row[1] > rows[place - 1][1] or row[0] > rows[place - 1][0] for place, row in enumerate(rows)
    ]
    choices = sorted(
        combinations_with_replacement(range(len(rows)), HALVINGS),
        key=lambda halved: (-len(set(halved)), sum(not widens[place] for place in halved), halved),
    )
    for halved in choices:
        yield joined((*row, 2 ** halved.count(place)) for place, row in enumerate(rows))


def joined(rows: Iterable[Row]) -> tuple[Row, ...]:
    """The same bottlenecks with a row for those of one kind that follow each other without a stride."""
    found: list[Row] = []
    for expansion, channels, count, stride in rows:
        if found and stride == 1 and found[-1][:2] == (expansion, channels):
            found[-1] = (expansion, channels, found[-1][2] + count, found[-1][3])
        else:
            found.append((expansion, channels, count, stride))
    return tuple(found)


FAMILY = Family(
    name="mobilefacenet",
    architectures=(MOBILEFACENET,),
    layers=layers,
    names=NAMES,
    build=build,
    candidates=candidates,
    torch_class=torch_class,
    derive=derive,
    told=told,
    alike=alike,
    patterns=(
        NamePattern(r"ffc_mobilefacenet_(?P<embedding_size>\d+)", "mobilefacenet", "torch", {"normalize": True}),
        NamePattern(r"insightface_arcface_paddle_mobilefacenet_(?P<embedding_size>\d+)", "mobilefacenet", "paddle"),
    ),
)

"""FresResNet: LResNet-E-IR as InsightFace's arcface_paddle has it, with one slope per PReLU.

The graph of ``iresnet50`` and ``iresnet100`` under other names; the other two depths are the unit tables of the
original that bear on plain units. The original exists in two versions, a dynamic and a static one, which differ in the
names of their parameters and in what the head Z gives: option ``static``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from facecvt.converters.contract import InputContract
from facecvt.reference_models.fresresnet import names as naming
from facecvt.reference_models.layers import INPUT, Layer, LayerList
from facecvt.reference_models.naming import FrameworkNames
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

WIDTHS = (64, 128, 256, 512)
UNITS = {50: (3, 4, 14, 3), 100: (3, 13, 30, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}
LAST_MAP = 512 * 7 * 7

SHAPE = ("batch", 3, 112, 112)
CONTRACT = InputContract("x", SHAPE, layout="NCHW", color="RGB", mean=(127.5,), scale=(1 / 127.5,))
SOURCE = Source(
    "ArcFace: Additive Angular Margin Loss for Deep Face Recognition, https://arxiv.org/abs/1801.07698",
    (
        Upstream("paddle", "deepinsight/insightface", "recognition/arcface_paddle/dynamic/backbones/iresnet.py"),
        Upstream("paddle", "deepinsight/insightface", "recognition/arcface_paddle/static/backbones/iresnet.py"),
    ),
)


def derive(spec: ArchitectureSpec) -> ArchitectureSpec:
    """Head Z gives the last map, whose size is its own."""
    return (
        replace(spec, options={**spec.options, "embedding_size": LAST_MAP}) if spec.options["fc_type"] == "Z" else spec
    )


def architecture(depth: int) -> ArchitectureSpec:
    """One depth of the family."""
    sizes = (56, 28, 14, 7)
    upstream = "insightface_arcface_paddle"
    return ArchitectureSpec(
        name=f"fresresnet{depth}",
        family="fresresnet",
        title=f"FresResNet{depth} of arcface_paddle, one slope per PReLU",
        source=SOURCE,
        contracts={"torch": CONTRACT, "paddle": CONTRACT, "mxnet": replace(CONTRACT, name="data")},
        stages=tuple(Stage(f"stage {i + 1}", UNITS[depth][i], WIDTHS[i], 2, sizes[i]) for i in range(4)),
        options={"embedding_size": 512, "fc_type": "E", "static": False, "eps": None, "dropout": None},
        eps={"torch": 1e-5, "paddle": 1e-5, "mxnet": 1e-5},
        aliases=tuple(
            Alias(f"{upstream}_{static}fresresnet{depth}{ending}", "paddle", {"static": bool(static)} | head)
            for static in ("", "static_")
            for ending, head in (("", {}), *((f"_{kind}", {"fc_type": kind}) for kind in ("E", "FC", "Z")))
        ),
    )


ARCHITECTURES = tuple(architecture(depth) for depth in UNITS)


def layers(spec: ArchitectureSpec) -> list[Layer]:
    """Every layer in forward order; branches are damped by the number of units in their stage."""
    net = LayerList()

    def conv_bn(
        name: str, x: str, channels: tuple[int, int], kernel: int, *, stride: int = 1, gain: float = 1.0
    ) -> str:
        x = net.conv(f"{name}._conv", x, channels, kernel, stride=stride, pad=kernel // 2)
        return net.batch_norm(f"{name}._batch_norm", x, channels[1], gain=gain)

    x = net.prelu("prelu", conv_bn("conv", INPUT, (3, 64), 3), 1)
    channels, block = 64, 0
    for stage in spec.stages:
        for index in range(stage.units):
            unit, out, stride = f"block_list.{block}", stage.channels, stage.stride if index == 0 else 1
            branch = net.batch_norm(f"{unit}._batch_norm", x, channels)
            branch = net.prelu(f"{unit}.prelu", conv_bn(f"{unit}.conv0", branch, (channels, out), 3), 1)
            branch = conv_bn(f"{unit}.conv1", branch, (out, out), 3, stride=stride, gain=0.5 * stage.units**-0.5)
            if index == 0:
                x = conv_bn(f"{unit}.short", x, (channels, out), 1, stride=stride)
            x = net.add(unit, branch, x)
            channels, block = out, block + 1
    x = net.batch_norm("fc._batch_norm_1", x, channels)
    if flattens(spec):
        x = net.flatten("fc.flatten", x)
    if spec.options["fc_type"] != "Z":
        x = net.gemm("fc.fc", x, (LAST_MAP, spec.embedding_size))
        net.batch_norm("fc._batch_norm_2", x, spec.embedding_size)
    return net.layers


def flattens(spec: ArchitectureSpec) -> bool:
    """False for the head Z of the static graph, which gives (N, 512, 7, 7)."""
    return not (spec.options["static"] and spec.options["fc_type"] == "Z")


def names(spec: ArchitectureSpec) -> dict[str, FrameworkNames]:
    """The names of its layers in each framework."""
    return naming.names(layers(spec), tuple(stage.units for stage in spec.stages), spec.options["static"])


def build(spec: ArchitectureSpec, framework: str) -> Any:
    """The net in one framework, weights as initialised."""
    net, eps = spec.net_module(framework), spec.eps_in(framework)
    dropout = 0.4 if spec.options["dropout"] is None else spec.options["dropout"]
    first = (tuple(stage.units for stage in spec.stages), spec.embedding_size, spec.options["fc_type"], dropout)
    if framework == "paddle":
        return net.FresResNet(*first, eps, spec.options["static"])
    make = net.fresresnet if framework == "mxnet" else net.FresResNet
    return make(*first, flattens(spec), eps)


def torch_class(spec: ArchitectureSpec) -> TorchClass:
    """The constructor call that gives this architecture in ``net_torch.py``."""
    units = tuple(stage.units for stage in spec.stages)
    arguments = f"units={units}, embedding_size={spec.embedding_size}"
    if spec.options["fc_type"] != "E":
        arguments += f", fc_type={spec.options['fc_type']!r}"
    return TorchClass("FresResNet", arguments + ("" if flattens(spec) else ", flatten=False"))


def candidates(skeleton: Skeleton) -> Iterator[ArchitectureSpec]:
    """The depth with as many PRelu of one slope; E stands for FC as well, which differs while training alone."""
    slopes = skeleton.count("PRelu")
    for spec in ARCHITECTURES:
        if slopes.get(1, 0) != 1 + sum(stage.units for stage in spec.stages):
            continue
        if skeleton.count("Gemm"):
            yield spec.with_options(embedding_size=skeleton.output_width())
        else:
            yield spec.with_options(fc_type="Z")
            yield spec.with_options(fc_type="Z", static=True)


FAMILY = Family(
    name="fresresnet",
    architectures=ARCHITECTURES,
    layers=layers,
    names=names,
    build=build,
    candidates=candidates,
    torch_class=torch_class,
    patterns=(
        *(
            NamePattern(
                rf"insightface_arcface_paddle_{static}fresresnet(\d+)_(?:emb)?(?P<embedding_size>\d+)",
                r"fresresnet\1", "paddle", {"static": bool(static)},
            )
            for static in ("", "static_")
        ),
    ),
    derive=derive,
)  # fmt: skip

"""LResNet-E-IR: the face recognition networks that MXNet calls ``fresnet`` and PyTorch ``iresnet``.

Four stages of units bn1 - conv1 3x3 - bn2 - prelu - conv2 3x3/s - bn3 plus shortcut, widths 64, 128, 256, 512, every
stage halving the map; head E: bn - dropout - fully connected - bn with scale 1. Every other option of MXNet's, and its
network of 200 layers, which has other units in each stage than PyTorch's, is in the family ``fresnet``.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from facecvt.converters.contract import InputContract
from facecvt.reference_models.iresnet.names import NAMES
from facecvt.reference_models.layers import INPUT, Layer, LayerList
from facecvt.reference_models.spec import (
    Alias,
    ArchitectureSpec,
    Family,
    Source,
    Stage,
    TorchClass,
    Upstream,
)

if TYPE_CHECKING:
    from facecvt.reference_models.skeleton import Skeleton
    from facecvt.reference_models.state_view import StateView

WIDTHS = (64, 128, 256, 512)
UNITS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 14, 3), 100: (3, 13, 30, 3), 200: (6, 26, 60, 6)}

SOURCE = Source(
    "ArcFace: Additive Angular Margin Loss for Deep Face Recognition, https://arxiv.org/abs/1801.07698",
    (
        Upstream("mxnet", "deepinsight/insightface", "recognition/arcface_mxnet/symbol/fresnet.py"),
        Upstream("torch", "deepinsight/insightface", "recognition/arcface_torch/backbones/iresnet.py"),
        Upstream("torch", "tiandunx/FFC", "resnet_def/resnet_arcface.py"),
        Upstream("paddle", "PaddlePaddle/PLSC", "plsc/models/iresnet.py"),
    ),
)
SHAPE = ("batch", 3, 112, 112)
OUTSIDE = InputContract("x", SHAPE, layout="NCHW", color="RGB", mean=(127.5,), scale=(1 / 127.5,))
CONTRACTS = {
    "torch": OUTSIDE,
    "paddle": OUTSIDE,
    "mxnet": InputContract("data", SHAPE, layout="NCHW", color="RGB", mean=(127.5,), scale=(1 / 128,), in_graph=True),
}


def architecture(name: str, title: str, units: tuple[int, ...], aliases: tuple[Alias, ...]) -> ArchitectureSpec:
    """One depth of the family."""
    sizes = (56, 28, 14, 7)
    return ArchitectureSpec(
        name=name,
        family="iresnet",
        title=title,
        source=SOURCE,
        contracts=CONTRACTS,
        stages=tuple(Stage(f"layer{i + 1}", units[i], WIDTHS[i], 2, sizes[i]) for i in range(4)),
        options={"embedding_size": 512, "normalize": False, "eps": None, "dropout": None},
        eps={"torch": 1e-5, "paddle": 1e-5, "mxnet": 2e-5},
        aliases=aliases,
    )


def upstream_aliases(depth: int) -> tuple[Alias, ...]:
    """What the upstreams call the network of this depth; MXNet's of 200 layers is another one."""
    common = (
        Alias(f"r{depth}"),
        Alias(f"insightface_arcface_torch_iresnet{depth}", "torch"),
        Alias(f"ffc_resnet_arcface_iresnet{depth}", "torch", {"normalize": True}),
        Alias(f"plsc_iresnet{depth}", "paddle"),
    )
    if depth == 200:
        return common
    # the symbol file of 2018 builds bottleneck units from 101 layers on; below that it equals the later one
    mxnet = (f"LResNet{depth}E-IR", f"fresnet_r{depth}", f"fresnet2018_r{depth}")
    return common + tuple(Alias(name, "mxnet") for name in mxnet)


def layers(spec: ArchitectureSpec) -> list[Layer]:
    """Every layer in forward order.

    The last BatchNormalization of a branch is damped by the number of units in its stage, so that the running sum
    keeps its size however deep the stage is.
    """
    net = LayerList()
    x = net.conv("conv1", INPUT, (3, 64), 3, pad=1)
    x = net.prelu("prelu", net.batch_norm("bn1", x, 64), 64)
    channels = 64
    for stage in spec.stages:
        for index in range(stage.units):
            unit, out, stride = f"{stage.name}.{index}", stage.channels, stage.stride if index == 0 else 1
            branch = net.batch_norm(f"{unit}.bn1", x, channels)
            branch = net.conv(f"{unit}.conv1", branch, (channels, out), 3, pad=1)
            branch = net.prelu(f"{unit}.prelu", net.batch_norm(f"{unit}.bn2", branch, out), out)
            branch = net.conv(f"{unit}.conv2", branch, (out, out), 3, stride=stride, pad=1)
            branch = net.batch_norm(f"{unit}.bn3", branch, out, gain=0.5 * stage.units**-0.5)
            if index == 0:
                x = net.conv(f"{unit}.downsample.0", x, (channels, out), 1, stride=stride)
                x = net.batch_norm(f"{unit}.downsample.1", x, out)
            x = net.add(unit, branch, x)
            channels = out
    x = net.flatten("flatten", net.batch_norm("bn2", x, channels))
    x = net.gemm("fc", x, (channels * spec.stages[-1].size ** 2, spec.embedding_size))
    x = net.batch_norm("features", x, spec.embedding_size, unit_scale=True)
    if spec.normalised:
        net.normalize("normalize", x)
    return net.layers


def build(spec: ArchitectureSpec, framework: str) -> Any:
    """The net in one framework, weights as initialised."""
    net = spec.net_module(framework)
    make = net.iresnet if framework == "mxnet" else net.IResNet
    upstream = 0.4 if framework == "mxnet" else 0.0
    dropout = upstream if spec.options["dropout"] is None else spec.options["dropout"]
    units = tuple(stage.units for stage in spec.stages)
    return make(units, spec.embedding_size, dropout, spec.eps_in(framework), spec.normalised)


def torch_class(spec: ArchitectureSpec) -> TorchClass:
    """The constructor call that gives this architecture in ``net_torch.py``."""
    units = tuple(stage.units for stage in spec.stages)
    normalize = ", normalize=True" if spec.normalised else ""
    return TorchClass("IResNet", f"units={units}, embedding_size={spec.embedding_size}{normalize}")


def candidates(skeleton: Skeleton) -> Iterator[ArchitectureSpec]:
    """Networks whose units in each stage are those of the graph: one PRelu a unit, of the stage's width."""
    slopes = skeleton.count("PRelu")
    size = skeleton.output_width()
    units = tuple(slopes.get(width, 0) - (width == 64) for width in WIDTHS)  # 64 wide is the stem's as well
    for spec in ARCHITECTURES:
        if size is not None and units == tuple(stage.units for stage in spec.stages):
            yield spec.with_options(embedding_size=size, normalize=skeleton.normalised)


def told(view: StateView) -> Iterator[ArchitectureSpec]:
    """The network with as many units in each stage and as long an embedding as a state."""
    units = tuple(len(list(view.numbered(f"layer{stage}.{{}}.conv1"))) for stage in range(1, len(WIDTHS) + 1))
    length = view.shape("features", "scale")
    for spec in ARCHITECTURES:
        if length is not None and units == tuple(stage.units for stage in spec.stages):
            yield spec.with_options(embedding_size=length[0])


ARCHITECTURES = tuple(
    architecture(f"iresnet{depth}", f"LResNet{depth}E-IR", units, upstream_aliases(depth))
    for depth, units in UNITS.items()
)

FAMILY = Family(
    name="iresnet",
    architectures=ARCHITECTURES,
    layers=layers,
    names=NAMES,
    build=build,
    candidates=candidates,
    torch_class=torch_class,
    told=told,
)

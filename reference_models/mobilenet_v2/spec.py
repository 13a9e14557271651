"""MobileNet V2, any width: 224x224 images to 1000 classes, 3.5 M parameters at full width.

A 3x3 convolution at stride 2, seventeen inverted residuals with linear bottlenecks, a 1x1 convolution, the mean of
every map, one linear layer. Widths are the paper's times ``alpha``, as multiples of 8. The last convolution keeps its
1280 channels where alpha is below 1, as in the paper and in torchvision; ``narrow_last`` is the form of those
implementations that shrink it like the others.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from facecvt.converters.contract import InputContract
from facecvt.reference_models.layers import INPUT, Layer, LayerList
from facecvt.reference_models.mobilenet_v2.names import NAMES
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

STEM, LAST = 32, 1280
# expansion, channels, inverted residuals, stride of the first, height = width behind them
SETTING = (
    (1, 16, 1, 1, 112),
    (6, 24, 2, 2, 56),
    (6, 32, 3, 2, 28),
    (6, 64, 4, 2, 14),
    (6, 96, 3, 1, 14),
    (6, 160, 3, 2, 7),
    (6, 320, 1, 1, 7),
)
# widths that people publish; a graph is tried with each of them
ALPHAS = (0.1, 0.25, 0.35, 0.5, 0.75, 1.0, 1.1, 1.2, 1.25, 1.3, 1.4, 1.5, 2.0)

SHAPE = ("batch", 3, 224, 224)
# of torchvision's published weights: (pixel / 255 - mean) / std
MEAN = (0.485 * 255, 0.456 * 255, 0.406 * 255)
SCALE = (1 / (0.229 * 255), 1 / (0.224 * 255), 1 / (0.225 * 255))
CONTRACT = InputContract("x", SHAPE, layout="NCHW", color="RGB", mean=MEAN, scale=SCALE)


def scaled(channels: int, alpha: float) -> int:
    """A width times alpha: the nearest multiple of 8, the next where that is below nine tenths."""
    exact = channels * alpha
    nearest = max(8, int(exact + 4) // 8 * 8)
    return nearest + 8 if nearest < 0.9 * exact else nearest


def last_channels(spec: ArchitectureSpec) -> int:
    """Channels of the last convolution."""
    alpha = spec.options["alpha"]
    return scaled(LAST, alpha if spec.options["narrow_last"] else max(1.0, alpha))


def derive(spec: ArchitectureSpec) -> ArchitectureSpec:
    """Stages, whose widths follow from alpha."""
    alpha = spec.options["alpha"]
    stages = tuple(
        Stage(f"inverted residuals {index}", count, scaled(channels, alpha), stride, size)
        for index, (_, channels, count, stride, size) in enumerate(SETTING, 1)
    )
    return replace(spec, stages=stages)


MOBILENET_V2 = derive(
    ArchitectureSpec(
        name="mobilenet_v2",
        family="mobilenet_v2",
        title="MobileNet V2, 1000 classes",
        source=Source(
            "MobileNetV2: Inverted Residuals and Linear Bottlenecks, https://arxiv.org/abs/1801.04381",
            (
                Upstream("torch", "pytorch/vision", "torchvision/models/mobilenetv2.py"),
                Upstream("torch", "seed 004 (blog of feizaipp)", "MobileNetV2"),
            ),
        ),
        contracts={"torch": CONTRACT, "paddle": CONTRACT, "mxnet": replace(CONTRACT, name="data")},
        stages=(),
        options={"num_classes": 1000, "alpha": 1.0, "narrow_last": False, "dropout": None, "eps": None},
        eps={"torch": 1e-5, "paddle": 1e-5, "mxnet": 1e-5},
        aliases=(
            Alias("MobileNetV2"),
            Alias("torchvision_mobilenet_v2", "torch"),
            Alias("seed004_mobilenetv2", "torch"),
        ),
    )
)


def patterns() -> Iterator[NamePattern]:
    """Names with a published width behind them: mobilenet_v2_0.5, torchvision_mobilenet_v2_alpha0_75, ..._x140."""
    for alpha in ALPHAS:
        whole, _, fraction = f"{alpha:g}".partition(".")
        digits = rf"{whole}[._p]?{fraction}0?" if fraction else rf"{whole}(?:[._p]?0{{1,2}})?"
        written = rf"_(?:alpha|width|width_mult|x)?_?{digits}"
        for names, framework in (
            ("(?:torchvision_mobilenet_v2|seed004_mobilenetv2)", "torch"),
            ("mobilenet_?v2", None),
        ):
            yield NamePattern(names + written, "mobilenet_v2", framework, {"alpha": alpha})


def layers(spec: ArchitectureSpec) -> list[Layer]:
    """Every layer in forward order; linear bottlenecks that are summed up are damped, the more the longer the stage."""
    net = LayerList()

    def conv_block(name: str, x: str, channels: tuple[int, int], kernel: int, stride: int = 1, group: int = 1) -> str:
        x = net.conv(f"{name}.0", x, channels, kernel, stride=stride, pad=kernel // 2, group=group)
        return net.relu6(f"{name}.2", net.batch_norm(f"{name}.1", x, channels[1]))

    channels = scaled(STEM, spec.options["alpha"])
    x, index = conv_block("features.0", INPUT, (3, channels), 3, 2), 0
    for stage, (expansion, *_) in zip(spec.stages, SETTING, strict=True):
        for number in range(stage.units):
            index += 1
            out, inner, stride = stage.channels, channels * expansion, stage.stride if number == 0 else 1
            unit, place, y = f"features.{index}", 0, x
            if expansion != 1:
                y, place = conv_block(f"{unit}.conv.0", y, (channels, inner), 1), 1
            y = conv_block(f"{unit}.conv.{place}", y, (inner, inner), 3, stride, inner)
            y = net.conv(f"{unit}.conv.{place + 1}", y, (inner, out), 1)
            residual = stride == 1 and channels == out
            y = net.batch_norm(f"{unit}.conv.{place + 2}", y, out, gain=0.5 * stage.units**-0.5 if residual else 1.0)
            x = net.add(unit, y, x) if residual else y
            channels = out
    x = conv_block(f"features.{index + 1}", x, (channels, last_channels(spec)), 1)
    x = net.flatten("flatten", net.global_average_pool("avgpool", x))
    net.gemm("classifier.1", x, (last_channels(spec), spec.embedding_size))
    return net.layers


def build(spec: ArchitectureSpec, framework: str) -> Any:
    """The net in one framework, weights as initialised."""
    net, options = spec.net_module(framework), spec.options
    make = net.mobilenet_v2 if framework == "mxnet" else net.MobileNetV2
    dropout = 0.2 if options["dropout"] is None else options["dropout"]
    return make(spec.embedding_size, options["alpha"], options["narrow_last"], dropout, spec.eps_in(framework))


def torch_class(spec: ArchitectureSpec) -> TorchClass:
    """The constructor call that gives this architecture in ``net_torch.py``."""
    narrow = ", narrow_last=True" if spec.options["narrow_last"] else ""
    return TorchClass("MobileNetV2", f"num_classes={spec.embedding_size}, alpha={spec.options['alpha']}{narrow}")


def candidates(skeleton: Skeleton) -> Iterator[ArchitectureSpec]:
    """The network at the published widths that have as many channels in every convolution."""
    size, counts = skeleton.output_width(), skeleton.count("Conv")
    if size is None or sum(counts.values()) != 2 + sum((3 if row[0] != 1 else 2) * row[2] for row in SETTING):
        return
    for alpha in ALPHAS:
        for narrow_last in (False, True) if alpha < 1 else (False,):
            spec = MOBILENET_V2.with_options(num_classes=size, alpha=alpha, narrow_last=narrow_last)
            # the stages' widths and the last one: what tells one alpha from another
            if counts[last_channels(spec)] and all(counts[stage.channels] for stage in spec.stages):
                yield spec


FAMILY = Family(
    name="mobilenet_v2",
    architectures=(MOBILENET_V2,),
    layers=layers,
    names=NAMES,
    build=build,
    candidates=candidates,
    torch_class=torch_class,
    patterns=tuple(patterns()),
    derive=derive,
)

"""MobileNet V3 small and large, the form with squeeze and excitation behind the projection: 224x224 images to classes.

Blocks of a 1x1, a depthwise and a linear 1x1 convolution; squeeze and excitation with BatchNorms on the projected
width; a shortcut at stride 1 only, with a convolution where the width changes. torchvision's network, in
``mobilenet_v3_torchvision``, differs in all of that. What users feed this one is not stated by its source, so the
contract says the size alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from facecvt.converters.contract import InputContract
from facecvt.reference_models.layers import INPUT, Layer, LayerList
from facecvt.reference_models.mobilenet_v3.names import NAMES
from facecvt.reference_models.spec import Alias, ArchitectureSpec, Family, Source, Stage, TorchClass, Upstream

if TYPE_CHECKING:
    from facecvt.reference_models.skeleton import Skeleton

STEM, HIDDEN = 16, 1280
REDUCTION = 4
# kernel, expanded channels, channels, activation, squeeze and excitation, stride
Row = tuple[int, int, int, str, bool, int]
ROWS: dict[str, tuple[Row, ...]] = {
    "small": (
        (3, 16, 16, "Relu", True, 2),
        (3, 72, 24, "Relu", False, 2),
        (3, 88, 24, "Relu", False, 1),
        (5, 96, 40, "HardSwish", True, 2),
        (5, 240, 40, "HardSwish", True, 1),
        (5, 240, 40, "HardSwish", True, 1),
        (5, 120, 48, "HardSwish", True, 1),
        (5, 144, 48, "HardSwish", True, 1),
        (5, 288, 96, "HardSwish", True, 2),
        (5, 576, 96, "HardSwish", True, 1),
        (5, 576, 96, "HardSwish", True, 1),
    ),
    "large": (
        (3, 16, 16, "Relu", False, 1),
        (3, 64, 24, "Relu", False, 2),
        (3, 72, 24, "Relu", False, 1),
        (5, 72, 40, "Relu", True, 2),
        (5, 120, 40, "Relu", True, 1),
        (5, 120, 40, "Relu", True, 1),
        (3, 240, 80, "HardSwish", False, 2),
        (3, 200, 80, "HardSwish", False, 1),
        (3, 184, 80, "HardSwish", False, 1),
        (3, 184, 80, "HardSwish", False, 1),
        (3, 480, 112, "HardSwish", True, 1),
        (3, 672, 112, "HardSwish", True, 1),
        (5, 672, 160, "HardSwish", True, 1),
        (5, 672, 160, "HardSwish", True, 2),
        (5, 960, 160, "HardSwish", True, 1),
    ),
}

SHAPE = ("batch", 3, 224, 224)
CONTRACT = InputContract("x", SHAPE, layout="NCHW")


def stages(rows: tuple[Row, ...]) -> tuple[Stage, ...]:
    """Runs of blocks with one width on one map."""
    found: list[Stage] = []
    size = 112
    for _, _, channels, _, _, stride in rows:
        if found and stride == 1 and found[-1].channels == channels:
            found[-1] = replace(found[-1], units=found[-1].units + 1)
            continue
        size //= stride
        found.append(Stage(f"blocks to {channels}, {size}x{size}", 1, channels, stride, size))
    return tuple(found)


def architecture(kind: str) -> ArchitectureSpec:
    """One of the two networks."""
    return ArchitectureSpec(
        name=f"mobilenet_v3_se_bn_{kind}",
        family="mobilenet_v3",
        title=f"MobileNet V3 {kind.capitalize()}, SE with BatchNorm behind the projection, 1000 classes",
        source=Source(
            "Searching for MobileNetV3, https://arxiv.org/abs/1905.02244",
            (Upstream("torch", "seed 004 (blog of feizaipp)", f"MobileNetV3_{kind.capitalize()}"),),
        ),
        contracts={"torch": CONTRACT, "paddle": CONTRACT, "mxnet": replace(CONTRACT, name="data")},
        stages=stages(ROWS[kind]),
        options={"num_classes": 1000, "eps": None},
        eps={"torch": 1e-5, "paddle": 1e-5, "mxnet": 1e-5},
        aliases=(Alias(f"MobileNetV3_{kind.capitalize()}"), Alias(f"seed004_mobilenetv3_{kind}", "torch")),
    )


ARCHITECTURES = (architecture("small"), architecture("large"))


def kind_of(spec: ArchitectureSpec) -> str:
    """The word small or large."""
    return spec.name.rpartition("_")[2]


def layers(spec: ArchitectureSpec) -> list[Layer]:
    """Every layer in forward order; branches that are summed up are damped."""
    net = LayerList()

    def conv_bn(
        conv: str, bn: str, x: str, channels: tuple[int, int], kernel: int = 1, *, stride: int = 1, group: int = 1,
        gain: float = 1.0,
    ) -> str:  # fmt: skip
        x = net.conv(conv, x, channels, kernel, stride=stride, pad=kernel // 2, group=group)
        return net.batch_norm(bn, x, channels[1], gain=gain)

    x = net.elementwise("hswish1", "HardSwish", conv_bn("conv1", "bn1", INPUT, (3, STEM), 3, stride=2))
    channels = STEM
    for index, (kernel, expanded, out, act, squeeze, stride) in enumerate(ROWS[kind_of(spec)]):
        unit = f"bneck.{index}"
        y = conv_bn(f"{unit}.conv1", f"{unit}.bn1", x, (channels, expanded))
        y = net.elementwise(f"{unit}.nolinear1", act, y)
        wide = (expanded, expanded)
        y = conv_bn(f"{unit}.conv2", f"{unit}.bn2", y, wide, kernel, stride=stride, group=expanded)
        y = net.elementwise(f"{unit}.nolinear2", act, y)
        gain = 0.5 if stride == 1 else 1.0
        y = conv_bn(f"{unit}.conv3", f"{unit}.bn3", y, (expanded, out), gain=gain)
        if squeeze:
            name, inner = f"{unit}.se", out // REDUCTION
            z = net.global_average_pool(f"{name}.se.0", y)
            z = conv_bn(f"{name}.se.1", f"{name}.se.2", z, (out, inner))
            z = conv_bn(f"{name}.se.4", f"{name}.se.5", net.elementwise(f"{name}.se.3", "Relu", z), (inner, out))
            y = net.multiply(name, y, net.elementwise(f"{name}.se.6", "HardSigmoid", z, alpha=1 / 6, beta=0.5))
        if stride == 1:
            aside = x
            if channels != out:
                aside = conv_bn(f"{unit}.shortcut.0", f"{unit}.shortcut.1", x, (channels, out))
            y = net.add(unit, y, aside)
        x, channels = y, out
    x = net.elementwise("hswish2", "HardSwish", conv_bn("conv2", "bn2", x, (channels, 6 * channels)))
    size = spec.stages[-1].size
    x = net.flatten("flatten", net.average_pool("avgpool", x, size, stride=size))
    x = net.batch_norm("bn3", net.gemm("linear3", x, (6 * channels, HIDDEN)), HIDDEN)
    net.gemm("linear4", net.elementwise("hswish3", "HardSwish", x), (HIDDEN, spec.embedding_size))
    return net.layers


def build(spec: ArchitectureSpec, framework: str) -> Any:
    """The net in one framework, weights as initialised."""
    net = spec.net_module(framework)
    make = net.mobilenet_v3 if framework == "mxnet" else net.MobileNetV3
    return make(kind_of(spec) == "large", spec.embedding_size, spec.eps_in(framework))


def torch_class(spec: ArchitectureSpec) -> TorchClass:
    """The constructor call that gives this architecture in ``net_torch.py``."""
    return TorchClass("MobileNetV3", f"large={kind_of(spec) == 'large'}, num_classes={spec.embedding_size}")


def candidates(skeleton: Skeleton) -> Iterator[ArchitectureSpec]:
    """The network with as many convolutions."""
    size, convolutions = skeleton.output_width(), sum(skeleton.count("Conv").values())
    for spec in ARCHITECTURES if size is not None else ():
        if convolutions == sum(layer.op == "Conv" for layer in spec.layers()):
            yield spec.with_options(num_classes=size)


FAMILY = Family(
    name="mobilenet_v3",
    architectures=ARCHITECTURES,
    layers=layers,
    names=NAMES,
    build=build,
    candidates=candidates,
    torch_class=torch_class,
)

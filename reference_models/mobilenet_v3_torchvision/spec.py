"""MobileNet V3 small and large in torchvision's form: 224x224 images to 1000 classes, 2.5 and 5.5 M parameters.

Inverted residuals with squeeze and excitation between the depthwise and the linear convolution, hard swish in the
deeper half, two linear layers at the end. (The form in ``mobilenet_v3`` has squeeze and excitation behind the
projection and is another network.)
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from facecvt.converters.contract import InputContract
from facecvt.reference_models.layers import INPUT, Layer, LayerList
from facecvt.reference_models.mobilenet_v3_torchvision.names import NAMES
from facecvt.reference_models.spec import Alias, ArchitectureSpec, Family, Source, Stage, TorchClass, Upstream

if TYPE_CHECKING:
    from facecvt.reference_models.skeleton import Skeleton

STEM = 16
# kernel, expanded channels, channels, squeeze and excitation, activation, stride
Row = tuple[int, int, int, bool, str, int]
ROWS: dict[str, tuple[Row, ...]] = {
    "small": (
        (3, 16, 16, True, "Relu", 2),
        (3, 72, 24, False, "Relu", 2),
        (3, 88, 24, False, "Relu", 1),
        (5, 96, 40, True, "HardSwish", 2),
        (5, 240, 40, True, "HardSwish", 1),
        (5, 240, 40, True, "HardSwish", 1),
        (5, 120, 48, True, "HardSwish", 1),
        (5, 144, 48, True, "HardSwish", 1),
        (5, 288, 96, True, "HardSwish", 2),
        (5, 576, 96, True, "HardSwish", 1),
        (5, 576, 96, True, "HardSwish", 1),
    ),
    "large": (
        (3, 16, 16, False, "Relu", 1),
        (3, 64, 24, False, "Relu", 2),
        (3, 72, 24, False, "Relu", 1),
        (5, 72, 40, True, "Relu", 2),
        (5, 120, 40, True, "Relu", 1),
        (5, 120, 40, True, "Relu", 1),
        (3, 240, 80, False, "HardSwish", 2),
        (3, 200, 80, False, "HardSwish", 1),
        (3, 184, 80, False, "HardSwish", 1),
        (3, 184, 80, False, "HardSwish", 1),
        (3, 480, 112, True, "HardSwish", 1),
        (3, 672, 112, True, "HardSwish", 1),
        (5, 672, 160, True, "HardSwish", 2),
        (5, 960, 160, True, "HardSwish", 1),
        (5, 960, 160, True, "HardSwish", 1),
    ),
}
HIDDEN = {"small": 1024, "large": 1280}

SHAPE = ("batch", 3, 224, 224)
# of torchvision's published weights: (pixel / 255 - mean) / std
MEAN = (0.485 * 255, 0.456 * 255, 0.406 * 255)
SCALE = (1 / (0.229 * 255), 1 / (0.224 * 255), 1 / (0.225 * 255))
CONTRACT = InputContract("x", SHAPE, layout="NCHW", color="RGB", mean=MEAN, scale=SCALE)


def stages(rows: tuple[Row, ...]) -> tuple[Stage, ...]:
    """Runs of residuals with one width on one map."""
    found: list[Stage] = []
    size = 112
    for *_, channels, _, _, stride in rows:
        if found and stride == 1 and found[-1].channels == channels:
            found[-1] = replace(found[-1], units=found[-1].units + 1)
            continue
        size //= stride
        found.append(Stage(f"residuals to {channels}", 1, channels, stride, size))
    return tuple(found)


def architecture(kind: str) -> ArchitectureSpec:
    """One of the two networks."""
    return ArchitectureSpec(
        name=f"mobilenet_v3_{kind}",
        family="mobilenet_v3_torchvision",
        title=f"MobileNet V3 {kind.capitalize()} of torchvision, 1000 classes",
        source=Source(
            "Searching for MobileNetV3, https://arxiv.org/abs/1905.02244",
            (Upstream("torch", "pytorch/vision", "torchvision/models/mobilenetv3.py"),),
        ),
        contracts={"torch": CONTRACT, "paddle": CONTRACT, "mxnet": replace(CONTRACT, name="data")},
        stages=stages(ROWS[kind]),
        options={"num_classes": 1000, "dropout": None, "eps": None},
        eps={"torch": 1e-3, "paddle": 1e-3, "mxnet": 1e-3},
        aliases=(Alias(f"torchvision_mobilenet_v3_{kind}", "torch"),),
    )


ARCHITECTURES = (architecture("small"), architecture("large"))


def kind_of(spec: ArchitectureSpec) -> str:
    """The word small or large."""
    return spec.name.rpartition("_")[2]


def squeezed(expanded: int) -> int:
    """Channels inside squeeze and excitation: a quarter as a multiple of 8, not below nine tenths of it."""
    nearest = max(8, (expanded // 4 + 4) // 8 * 8)
    return nearest + 8 if nearest < 0.9 * (expanded // 4) else nearest


def layers(spec: ArchitectureSpec) -> list[Layer]:
    """Every layer in forward order; projections are damped, those that are summed up more."""
    net = LayerList()

    def conv_bn(
        name: str, x: str, channels: tuple[int, int], kernel: int, *, stride: int = 1, group: int = 1, act: str = "",
        gain: float = 1.0,
    ) -> str:  # fmt: skip
        x = net.conv(f"{name}.0", x, channels, kernel, stride=stride, pad=kernel // 2, group=group)
        x = net.batch_norm(f"{name}.1", x, channels[1], gain=gain)
        return net.elementwise(f"{name}.2", act, x) if act else x

    x, channels = conv_bn("features.0", INPUT, (3, STEM), 3, stride=2, act="HardSwish"), STEM
    rows = ROWS[kind_of(spec)]
    for index, (kernel, expanded, out, squeeze, act, stride) in enumerate(rows, 1):
        block, place, y = f"features.{index}.block", 0, x
        if expanded != channels:
            y, place = conv_bn(f"{block}.0", y, (channels, expanded), 1, act=act), 1
        wide = (expanded, expanded)
        y = conv_bn(f"{block}.{place}", y, wide, kernel, stride=stride, group=expanded, act=act)
        if squeeze:
            place += 1
            y = squeeze_and_excitation(net, f"{block}.{place}", y, expanded)
        residual = stride == 1 and channels == out
        y = conv_bn(f"{block}.{place + 1}", y, (expanded, out), 1, gain=0.5 if residual else 0.8)
        x = net.add(f"features.{index}", y, x) if residual else y
        channels = out
    x = conv_bn(f"features.{len(rows) + 1}", x, (channels, 6 * channels), 1, act="HardSwish")
    x = net.flatten("flatten", net.global_average_pool("avgpool", x))
    hidden = HIDDEN[kind_of(spec)]
    x = net.elementwise("classifier.1", "HardSwish", net.gemm("classifier.0", x, (6 * channels, hidden)))
    net.gemm("classifier.3", x, (hidden, spec.embedding_size))
    return net.layers


def squeeze_and_excitation(net: LayerList, name: str, x: str, channels: int) -> str:
    """The product of the map and its gate."""
    inner = squeezed(channels)
    y = net.conv(f"{name}.fc1", net.global_average_pool(f"{name}.avgpool", x), (channels, inner), 1, bias=True)
    y = net.elementwise(f"{name}.activation", "Relu", y)
    y = net.conv(f"{name}.fc2", y, (inner, channels), 1, bias=True)
    y = net.elementwise(f"{name}.scale_activation", "HardSigmoid", y, alpha=1 / 6, beta=0.5)
    return net.multiply(name, x, y)


def build(spec: ArchitectureSpec, framework: str) -> Any:
    """The net in one framework, weights as initialised."""
    net = spec.net_module(framework)
    make = net.mobilenet_v3 if framework == "mxnet" else net.MobileNetV3
    dropout = 0.2 if spec.options["dropout"] is None else spec.options["dropout"]
    return make(kind_of(spec) == "large", spec.embedding_size, dropout, spec.eps_in(framework))


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
    name="mobilenet_v3_torchvision",
    architectures=ARCHITECTURES,
    layers=layers,
    names=NAMES,
    build=build,
    candidates=candidates,
    torch_class=torch_class,
)

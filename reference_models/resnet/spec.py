"""The ResNets: torchvision's classifiers, and ``resnet_std``, the face networks that FFC puts on the same trunk.

Stem 7x7/2 and max pool, four stages of basic units (18, 34) or bottlenecks (50 and more), widths 64, 128, 256, 512 and
four times that behind bottlenecks. The classifiers end with the mean of every map and a fully connected layer, the face
networks with a fully connected layer over the whole last map, a BatchNorm with scale, and the division by the length.
One family, because trunk and names are the same. Options:

    groups, width_per_group         width of the 3x3 convolution = int(planes * width_per_group / 64) * groups
    replace_stride_with_dilation    for the second to fourth stage: dilation in place of the stride
    zero_init_residual              the last scale of every branch is initialised with 0; nothing else changes
    norm_layer                      what takes BatchNorm's place, a function of the framework that is built: torch and
                                    Paddle channels -> module, MXNet (data, name) -> symbol. Listing, seeded weights and
                                    exchange hold for those that have BatchNorm's parameters.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from typing import TYPE_CHECKING, Any

from facecvt.converters.contract import InputContract
from facecvt.converters.errors import UsageError
from facecvt.reference_models.layers import INPUT, Layer, LayerList
from facecvt.reference_models.resnet.names import NAMES
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

STEM = 64
INPUT_SIZE = 224
UNITS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}
BOTTLENECK_FROM = 50
FACE_DEPTHS = (18, 34, 50, 101)
WITHOUT = (False, False, False)

PAPER = "Deep Residual Learning for Image Recognition, https://arxiv.org/abs/1512.03385"
TORCHVISION = Upstream("torch", "pytorch/vision", "torchvision/models/resnet.py")
PADDLE_VISION = Upstream("paddle", "PaddlePaddle/Paddle", "python/paddle/vision/models/resnet.py")
FFC = Upstream("torch", "tiandunx/FFC", "resnet_def/resnet_std.py")
PAPERS = {
    "resnext": "Aggregated Residual Transformations for Deep Neural Networks, https://arxiv.org/abs/1611.05431",
    "wide": "Wide Residual Networks, https://arxiv.org/abs/1605.07146",
}

IMAGE_SHAPE = ("batch", 3, INPUT_SIZE, INPUT_SIZE)
# ImageNet's mean and standard deviation of red, green and blue, in pixels
IMAGENET = InputContract(
    "x", IMAGE_SHAPE, layout="NCHW", color="RGB",
    mean=(123.675, 116.28, 103.53), scale=(1 / 58.395, 1 / 57.12, 1 / 57.375),
)  # fmt: skip
# as OpenCV decodes them, blue first
FACES = InputContract("x", IMAGE_SHAPE, layout="NCHW", color="BGR", mean=(127.5,), scale=(1 / 128,))


def is_bottleneck(spec: ArchitectureSpec) -> bool:
    """True for units 1x1 - 3x3 - 1x1."""
    return spec.stages[0].channels != STEM


def is_face(spec: ArchitectureSpec) -> bool:
    """True for FFC's head, False for the classifier."""
    return "embedding_size" in spec.options


def dilated(spec: ArchitectureSpec) -> tuple[bool, bool, bool]:
    """For the second to fourth stage, whether dilation takes the place of the stride."""
    first, second, third = spec.options["replace_stride_with_dilation"]
    return first, second, third


def derive(spec: ArchitectureSpec) -> ArchitectureSpec:
    """Strides and map sizes, which follow from ``replace_stride_with_dilation``.

    Raises:
        UsageError: what a basic unit cannot be, or an eps beside a norm of one's own.
    """
    given = spec.options["replace_stride_with_dilation"]
    spec = replace(spec, options={**spec.options, "replace_stride_with_dilation": tuple(given or WITHOUT)})
    options = spec.options
    if not is_bottleneck(spec) and (options["groups"], options["width_per_group"], dilated(spec)) != (1, 64, WITHOUT):
        raise UsageError(
            f"{spec.name} has basic units, which know neither groups, nor width_per_group, nor dilation; "
            "from 50 layers on there are bottlenecks, which do"
        )
    if options["norm_layer"] is not None and options["eps"] is not None:
        raise UsageError(f"{spec.name}: eps is that of BatchNorm; give norm_layer its own")
    stages, size = [], INPUT_SIZE // 4
    for stage, spread in zip(spec.stages, (True, *dilated(spec)), strict=True):
        stride = 1 if spread else 2
        size //= stride
        stages.append(replace(stage, stride=stride, size=size))
    return replace(spec, stages=tuple(stages))


def architecture(
    name: str,
    title: str,
    depth: int,
    papers: str,
    upstreams: tuple[Upstream, ...],
    contract: InputContract,
    aliases: tuple[Alias, ...],
    **options: Any,
) -> ArchitectureSpec:
    """One network with its default options."""
    expansion = 4 if depth >= BOTTLENECK_FROM else 1
    common = {
        "groups": 1,
        "width_per_group": 64,
        "replace_stride_with_dilation": WITHOUT,
        "norm_layer": None,
        "zero_init_residual": False,
        "eps": None,
    }
    plain = ArchitectureSpec(
        name=name,
        family="resnet",
        title=title,
        source=Source(papers, upstreams),
        contracts={"torch": contract, "paddle": contract, "mxnet": replace(contract, name="data")},
        stages=tuple(Stage(f"layer{i + 1}", n, expansion * STEM << i, 0, 0) for i, n in enumerate(UNITS[depth])),
        options=common | options,
        eps={"torch": 1e-5, "paddle": 1e-5, "mxnet": 1e-5},
        aliases=aliases,
    )
    return derive(plain)


def classifier(name: str, title: str, depth: int, **options: int) -> ArchitectureSpec:
    """One of torchvision's, with a thousand classes."""
    aliases: tuple[Alias, ...] = (Alias(f"torchvision_{name}", "torch"), Alias(f"paddle_vision_{name}", "paddle"))
    if depth == 50 and not options:
        aliases += (Alias("resnet50_v1.5"),)
    paper = PAPERS.get(name.partition("_")[0].rstrip("0123456789"), PAPER)
    upstreams = (TORCHVISION, PADDLE_VISION)
    return architecture(name, title, depth, paper, upstreams, IMAGENET, aliases, num_classes=1000, **options)


def face(depth: int) -> ArchitectureSpec:
    """One of FFC's."""
    aliases = (Alias(f"ffc_resnet_std_resnet{depth}", "torch"), Alias(f"resnet_std_{depth}"))
    title = f"ResNet-{depth} with FFC's face head"
    own = {"embedding_size": 512, "normalize": True}
    return architecture(f"resnet_std{depth}", title, depth, PAPER, (FFC,), FACES, aliases, **own)


def layers(spec: ArchitectureSpec) -> list[Layer]:
    """Every layer in forward order.

    The last BatchNormalization of a branch is damped by the number of units in its stage, so that the running sum
    keeps its size however deep the stage is.
    """
    net = LayerList()
    x = net.conv("conv1", INPUT, (3, STEM), 7, stride=2, pad=3)
    x = net.elementwise("relu", "Relu", net.batch_norm("bn1", x, STEM))
    x = net.max_pool("maxpool", x, 3, stride=2, pad=1)
    channels, dilation = STEM, 1
    for stage, spread in zip(spec.stages, (False, *dilated(spec)), strict=True):
        for index in range(stage.units):
            unit, out, stride = f"{stage.name}.{index}", stage.channels, stage.stride if index == 0 else 1
            end = branch(net, spec, unit, x, (channels, out), stride, dilation, stage.units)
            if stride != 1 or channels != out:
                x = net.conv(f"{unit}.downsample.0", x, (channels, out), 1, stride=stride)
                x = net.batch_norm(f"{unit}.downsample.1", x, out)
            x = net.elementwise(unit, "Relu", net.add(f"{unit}.add", end, x))
            channels = out
            if spread and index == 0:
                dilation *= 2
    if not is_face(spec):
        x = net.flatten("flatten", net.global_average_pool("avgpool", x))
        net.gemm("fc", x, (channels, spec.embedding_size))
        return net.layers
    x = net.gemm("fc", net.flatten("flatten", x), (channels * spec.stages[-1].size ** 2, spec.embedding_size))
    x = net.batch_norm("features", x, spec.embedding_size)
    if spec.normalised:
        net.normalize("normalize", x)
    return net.layers


def branch(
    net: LayerList, spec: ArchitectureSpec, unit: str, x: str, channels: tuple[int, int], stride: int, dilation: int,
    units: int,
) -> str:  # fmt: skip
    """One unit's branch; returns its last layer."""
    before, out = channels
    groups = spec.options["groups"]
    # kernel, channels, stride, dilation and groups of the convolutions
    steps = [(3, out, stride, 1, 1), (3, out, 1, 1, 1)]
    if is_bottleneck(spec):
        width = int(out // 4 * (spec.options["width_per_group"] / 64)) * groups
        steps = [(1, width, 1, 1, 1), (3, width, stride, dilation, groups), (1, out, 1, 1, 1)]
    for place, (kernel, width, step, spread, group) in enumerate(steps, start=1):
        pad = kernel // 2 * spread
        x = net.conv(
            f"{unit}.conv{place}", x, (before, width), kernel, stride=step, pad=pad, group=group, dilation=spread
        )
        last = place == len(steps)
        x = net.batch_norm(f"{unit}.bn{place}", x, width, gain=0.5 * units**-0.5 if last else 1.0)
        if not last:
            x = net.elementwise(f"{unit}.relu{place}", "Relu", x)
        before = width
    return x


def build(spec: ArchitectureSpec, framework: str) -> Any:
    """The net in one framework, weights as initialised."""
    net, options = spec.net_module(framework), dict(spec.options)
    options.pop("eps")
    options["epsilon" if framework == "paddle" else "eps"] = spec.eps_in(framework)
    options |= {"units": tuple(stage.units for stage in spec.stages), "bottleneck": is_bottleneck(spec)}
    if framework == "mxnet":
        return (net.face_resnet if is_face(spec) else net.resnet)(**options)
    return (net.FaceResNet if is_face(spec) else net.ResNet)(**options)


def torch_class(spec: ArchitectureSpec) -> TorchClass:
    """The constructor call that gives this architecture in ``net_torch.py``."""
    size = "embedding_size" if is_face(spec) else "num_classes"
    arguments = {
        "units": tuple(stage.units for stage in spec.stages),
        "bottleneck": is_bottleneck(spec),
        size: spec.embedding_size,
    }
    usual = {"groups": 1, "width_per_group": 64, "replace_stride_with_dilation": WITHOUT, "normalize": True}
    for name, value in usual.items():
        if spec.options.get(name, value) != value:
            arguments[name] = spec.options[name]
    written = ", ".join(f"{name}={value!r}" for name, value in arguments.items())
    return TorchClass("FaceResNet" if is_face(spec) else "ResNet", written)


def candidates(skeleton: Skeleton) -> Iterator[ArchitectureSpec]:
    """Networks with as many sums and as many ReLUs; groups and widths are those of the first stage's 3x3 convolution.

    A net whose own groups and width these are comes ahead of one that has them as options. Which stages are spread is
    tried out where any convolution is.
    """
    ops = [piece.op for piece in skeleton.pieces]
    sums = [piece for piece in skeleton.pieces if piece.op == "Add" and len(piece.inputs) == 2]  # no constant is added
    size = skeleton.output_width()
    kernels = [piece for piece in skeleton.pieces if piece.op == "Conv" and piece.shapes["weight"][2:] == (3, 3)]
    if size is None or not kernels:
        return
    groups = kernels[0].attributes["group"]
    found = {"groups": groups, "width_per_group": kernels[0].shapes["weight"][0] // groups}
    spread = any("dilations" in piece.attributes for piece in kernels)
    for spec in sorted(ARCHITECTURES, key=lambda spec: any(spec.options[name] != found[name] for name in found)):
        bottleneck, units = is_bottleneck(spec), sum(stage.units for stage in spec.stages)
        relus = 1 + (3 if bottleneck else 2) * units
        pools = 0 if is_face(spec) else 1
        if (len(sums), ops.count("Relu"), ops.count("GlobalAveragePool")) != (units, relus, pools):
            continue
        options: dict[str, Any] = {"num_classes": size}
        if is_face(spec):
            options = {"embedding_size": size, "normalize": skeleton.normalised}
        if bottleneck:
            options |= found
        for flags in product((False, True), repeat=3) if spread and bottleneck else [WITHOUT]:
            yield spec.with_options(replace_stride_with_dilation=flags, **options)


ARCHITECTURES = (
    *(classifier(f"resnet{depth}", f"ResNet-{depth}", depth) for depth in UNITS),
    classifier("resnext50_32x4d", "ResNeXt-50 32x4d", 50, groups=32, width_per_group=4),
    classifier("wide_resnet50_2", "Wide ResNet-50-2", 50, width_per_group=128),
    *(face(depth) for depth in FACE_DEPTHS),
)

FAMILY = Family(
    name="resnet",
    architectures=ARCHITECTURES,
    layers=layers,
    names=NAMES,
    build=build,
    candidates=candidates,
    torch_class=torch_class,
    patterns=(NamePattern(r"ffc_resnet_std_resnet(\d+)_(?P<embedding_size>\d+)", r"resnet_std\1", "torch"),),
    derive=derive,
)

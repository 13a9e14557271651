"""MobileNet V1 at full width: 224x224 images to 1000 classes, 4.2 M parameters.

A 3x3 convolution at stride 2, thirteen pairs of a depthwise and a 1x1 convolution, average pooling over the 7x7 map,
one linear layer. The form is that of the implementation whose layers all lie in one ``model``; what its users feed it
is not stated there, so the contract says the size alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from facecvt.converters.contract import InputContract
from facecvt.reference_models.layers import INPUT, Layer, LayerList
from facecvt.reference_models.mobilenet_v1.names import NAMES
from facecvt.reference_models.spec import Alias, ArchitectureSpec, Family, Source, Stage, TorchClass, Upstream

if TYPE_CHECKING:
    from facecvt.reference_models.skeleton import Skeleton

STEM = 32
# pairs, channels, stride of the first, height = width behind them
STAGES = ((1, 64, 1, 112), (2, 128, 2, 56), (2, 256, 2, 28), (6, 512, 2, 14), (2, 1024, 2, 7))
SHAPE = ("batch", 3, 224, 224)
CONTRACT = InputContract("x", SHAPE, layout="NCHW")

MOBILENET_V1 = ArchitectureSpec(
    name="mobilenet_v1",
    family="mobilenet_v1",
    title="MobileNet V1, 1000 classes",
    source=Source(
        "MobileNets: Efficient Convolutional Neural Networks for Mobile Vision Applications, "
        "https://arxiv.org/abs/1704.04861",
        (Upstream("torch", "seed 004 (blog of feizaipp)", "MobileNetV1"),),
    ),
    contracts={"torch": CONTRACT, "paddle": CONTRACT, "mxnet": InputContract("data", SHAPE, layout="NCHW")},
    stages=tuple(
        Stage(f"pairs to {channels}", count, channels, stride, size) for count, channels, stride, size in STAGES
    ),
    options={"num_classes": 1000, "eps": None},
    eps={"torch": 1e-5, "paddle": 1e-5, "mxnet": 1e-5},
    aliases=(Alias("MobileNetV1"), Alias("seed004_mobilenetv1", "torch")),
)


def layers(spec: ArchitectureSpec) -> list[Layer]:
    """Every layer in forward order."""
    net = LayerList()

    def convolution(step: int, first: int, x: str, channels: tuple[int, int], kernel: int, stride: int) -> str:
        group = channels[0] if kernel == 3 and step > 0 else 1
        x = net.conv(f"model.{step}.{first}", x, channels, kernel, stride=stride, pad=kernel // 2, group=group)
        x = net.batch_norm(f"model.{step}.{first + 1}", x, channels[1])
        return net.elementwise(f"model.{step}.{first + 2}", "Relu", x)

    x = convolution(0, 0, INPUT, (3, STEM), 3, 2)
    channels, step = STEM, 0
    for stage in spec.stages:
        for number in range(stage.units):
            step += 1
            x = convolution(step, 0, x, (channels, channels), 3, stage.stride if number == 0 else 1)
            x = convolution(step, 3, x, (channels, stage.channels), 1, 1)
            channels = stage.channels
    size = spec.stages[-1].size
    x = net.flatten("flatten", net.average_pool(f"model.{step + 1}", x, size, stride=size))
    net.gemm("fc", x, (channels, spec.embedding_size))
    return net.layers


def build(spec: ArchitectureSpec, framework: str) -> Any:
    """The net in one framework, weights as initialised."""
    net = spec.net_module(framework)
    make = net.mobilenet_v1 if framework == "mxnet" else net.MobileNetV1
    return make(spec.embedding_size, spec.eps_in(framework))


def torch_class(spec: ArchitectureSpec) -> TorchClass:
    """The constructor call that gives this architecture in ``net_torch.py``."""
    return TorchClass("MobileNetV1", f"num_classes={spec.embedding_size}")


def candidates(skeleton: Skeleton) -> Iterator[ArchitectureSpec]:
    """The one network, where the graph has as many convolutions and none of PRelu."""
    size = skeleton.output_width()
    convolutions = 1 + 2 * sum(row[0] for row in STAGES)
    if size is not None and sum(skeleton.count("Conv").values()) == convolutions and not skeleton.count("PRelu"):
        yield MOBILENET_V1.with_options(num_classes=size)


FAMILY = Family(
    name="mobilenet_v1",
    architectures=(MOBILENET_V1,),
    layers=layers,
    names=NAMES,
    build=build,
    candidates=candidates,
    torch_class=torch_class,
)

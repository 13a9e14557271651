"""BlazeFace as MediaPipe ships it: front camera (128 px, 101 390 parameters) and back camera (256 px, 136 240).

A 5x5 convolution and blocks of a 3x3 depthwise and a 1x1 convolution beside a shortcut; two maps, 16x16 and 8x8, with
2 and 6 anchors a cell, give 896 boxes of four numbers, six keypoints and a raw score; ``detection.py`` makes faces of
them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from facecvt.converters.contract import InputContract
from facecvt.reference_models.blazeface_mediapipe.names import NAMES
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

STEM = 24
FRONT, BACK = "blazeface_mediapipe_front", "blazeface_mediapipe_back"
# of each net: the module that holds a run of blocks, then channels and stride of each block
BLOCKS: dict[str, dict[str, tuple[tuple[int, int], ...]]] = {
    FRONT: {
        "backbone1": (
            *((24, 1), (28, 1), (32, 2), (36, 1), (42, 1)),
            *((48, 2), (56, 1), (64, 1), (72, 1), (80, 1), (88, 1)),
        ),
        "backbone2": ((96, 2), *((96, 1),) * 4),
    },
    BACK: {
        "backbone": (
            *((24, 1),) * 7,
            *((24, 2), *((24, 1),) * 7),
            *((48, 2), *((48, 1),) * 7),
            *((96, 2), *((96, 1),) * 7),
        ),
    },
}
ANCHORS = {"8": 2, "16": 6}  # of a cell, by the suffix of the head
REGRESSORS = 16  # centre, width, height and six keypoints


def make(name: str, size: int, stages: tuple[Stage, ...], aliases: tuple[Alias, ...]) -> ArchitectureSpec:
    """One of the two nets."""
    camera = name.rpartition("_")[2]
    contract = InputContract(
        "x", ("batch", 3, size, size), layout="NCHW", color="RGB", mean=(127.5,), scale=(1 / 127.5,)
    )
    return ArchitectureSpec(
        name=name,
        family="blazeface_mediapipe",
        title=f"BlazeFace of MediaPipe, {camera} camera: 896 boxes with keypoints",
        source=Source(
            "BlazeFace: Sub-millisecond Neural Face Detection on Mobile GPUs, https://arxiv.org/abs/1907.05047",
            (
                Upstream("torch", "hollance/BlazeFace-PyTorch", "blazeface.py"),
                Upstream("tflite", "google-ai-edge/mediapipe", f"face_detection_{camera}.tflite"),
            ),
        ),
        contracts={"torch": contract, "paddle": contract, "mxnet": replace(contract, name="data")},
        stages=stages,
        options={},
        eps={},
        aliases=aliases,
    )


FRONT_SPEC = make(
    FRONT,
    128,
    (
        Stage("blocks 24 to 28", 2, 28, 1, 64),
        Stage("blocks 32 to 42", 3, 42, 2, 32),
        Stage("blocks 48 to 88", 6, 88, 2, 16),
        Stage("blocks 96", 5, 96, 2, 8),
    ),
    (
        Alias("hollance_blazeface_front", "torch"),
        Alias("mediapipe_blazeface_front"),
        Alias("blazeface_front"),
        Alias("face_detection_front"),
    ),
)
BACK_SPEC = make(
    BACK,
    256,
    (
        Stage("blocks 24", 7, 24, 1, 128),
        Stage("blocks 24 at half size", 8, 24, 2, 64),
        Stage("blocks 48", 8, 48, 2, 32),
        Stage("blocks 96", 8, 96, 2, 16),
        Stage("final, no shortcut", 1, 96, 2, 8),
    ),
    (
        Alias("hollance_blazeface_back", "torch"),
        Alias("mediapipe_blazeface_back"),
        Alias("blazeface_back"),
        Alias("blazefaceback"),
        Alias("face_detection_back"),
    ),
)


def layers(spec: ArchitectureSpec) -> list[Layer]:
    """Every layer in forward order; branches are damped by the number of blocks that are summed up at one size."""
    net = LayerList()

    def separable(name: str, x: str, channels: tuple[int, int], stride: int, gain: float = 1.0) -> str:
        pad = 1 if stride == 1 else (0, 0, 2, 2)
        x = net.conv(f"{name}.convs.0", x, (channels[0],) * 2, 3, stride=stride, pad=pad, group=channels[0], bias=True)
        return net.conv(f"{name}.convs.1", x, channels, 1, bias=True, gain=gain)

    x, channels, maps = INPUT, STEM, []
    for part, rows in BLOCKS[spec.name].items():
        first = 0
        if x == INPUT:
            x = net.conv(f"{part}.0", x, (3, STEM), 5, stride=2, pad=(1, 1, 2, 2), bias=True)
            x, first = net.elementwise(f"{part}.1", "Relu", x), 2
        for index, (out, stride) in enumerate(rows, first):
            unit, shortcut = f"{part}.{index}", x
            y = separable(unit, x, (channels, out), stride, gain=0.25)
            if stride == 2:
                shortcut = net.max_pool(f"{unit}.max_pool", shortcut, 2, stride=2)
            if out > channels:
                shortcut = net.pad_channels(f"{unit}.widen", shortcut, out - channels)
            x = net.elementwise(unit, "Relu", net.add(f"{unit}.add", y, shortcut))
            channels = out
        maps.append((x, channels))
    if len(maps) == 1:
        x = net.elementwise("final", "Relu", separable("final", x, (channels, channels), 2))
        maps.append((x, channels))
    convolved = {
        f"{head}_{suffix}": net.conv(f"{head}_{suffix}", x, (channels, anchors * width), 1, bias=True)
        for head, width in (("classifier", 1), ("regressor", REGRESSORS))
        for (suffix, anchors), (x, channels) in zip(ANCHORS.items(), maps, strict=True)
    }
    for output, head, width in (("regressors", "regressor", REGRESSORS), ("scores", "classifier", 1)):
        joined = []
        for suffix in ANCHORS:
            name = f"{head}_{suffix}"
            joined.append(net.rows(f"{name}.rows", net.channels_last(f"{name}.transpose", convolved[name]), width))
        net.concat(output, joined, axis=1)
    return net.layers


def build(spec: ArchitectureSpec, framework: str) -> Any:
    """The net in one framework, weights as initialised."""
    net = spec.net_module(framework)
    make = net.blazeface if framework == "mxnet" else net.BlazeFace
    return make(back_model=spec.name == BACK)


def torch_class(spec: ArchitectureSpec) -> TorchClass:
    """The constructor call that gives this architecture in ``net_torch.py``."""
    return TorchClass("BlazeFace", "back_model=True" if spec.name == BACK else "")


def candidates(skeleton: Skeleton) -> Iterator[ArchitectureSpec]:
    """The net with as many convolutions."""
    count = skeleton.count("Conv").total()
    for spec in (FRONT_SPEC, BACK_SPEC):
        if count == sum(layer.op == "Conv" for layer in layers(spec)):
            yield spec


FAMILY = Family(
    name="blazeface_mediapipe",
    architectures=(FRONT_SPEC, BACK_SPEC),
    layers=layers,
    names=NAMES,
    build=build,
    candidates=candidates,
    torch_class=torch_class,
)

"""AdaFace's IR and IR-SE networks: aligned BGR faces, 112 or 224 wide, to an embedding and its length.

Four stages of units bn - conv - bn - prelu - conv - bn plus shortcut, every stage halving the map in its first unit.
From 152 layers on the units are bottlenecks of four times the width. Besides in names they differ from LResNet-E-IR in
the shortcut between equal widths, which picks elements without a convolution, and in the last BatchNorm, which has no
scale and no shift. ``normalize`` True is the form of mk-minchul/AdaFace, (feature, norm); False that of PaddleClas.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from facecvt.converters.contract import InputContract
from facecvt.reference_models.adaface.names import NAMES
from facecvt.reference_models.layers import INPUT, Layer, LayerList
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
REDUCTION = 16
HALVINGS = 16  # the input over the last map
# depth -> units in each stage; 101 is built of the units that others call 100
UNITS = {
    18: (2, 2, 2, 2),
    34: (3, 4, 6, 3),
    50: (3, 4, 14, 3),
    101: (3, 13, 30, 3),
    152: (3, 8, 36, 3),
    200: (3, 24, 36, 3),
}
SE_DEPTHS = (50, 101, 152, 200)
BOTTLENECK_FROM = 152

SOURCE = Source(
    "AdaFace: Quality Adaptive Margin for Face Recognition, https://arxiv.org/abs/2204.00964",
    (
        Upstream("torch", "mk-minchul/AdaFace", "net.py"),
        Upstream("paddle", "PaddlePaddle/PaddleClas", "ppcls/arch/backbone/model_zoo/adaface_ir_net.py"),
    ),
)


def contract(name: str, size: int) -> InputContract:
    """Pixels as OpenCV loads them, blue first, scaled to [-1, 1]."""
    shape = ("batch", 3, size, size)
    return InputContract(name, shape, layout="NCHW", color="BGR", mean=(127.5,), scale=(1 / 127.5,))


def derive(spec: ArchitectureSpec) -> ArchitectureSpec:
    """Contracts and map sizes, which follow from the input size."""
    size = spec.options["input_size"]
    stages = tuple(replace(stage, size=size >> (index + 1)) for index, stage in enumerate(spec.stages))
    contracts = {"torch": contract("x", size), "paddle": contract("x", size), "mxnet": contract("data", size)}
    return replace(spec, stages=stages, contracts=contracts)


def architecture(depth: int, se: bool) -> ArchitectureSpec:
    """One network, in the form of the PyTorch upstream."""
    kind, compact = (f"ir_se_{depth}", f"ir_se{depth}") if se else (f"ir_{depth}", f"ir{depth}")
    widths = [(256 if depth >= BOTTLENECK_FROM else 64) << index for index in range(4)]
    plain = ArchitectureSpec(
        name=f"adaface_{compact}",
        family="adaface",
        title=f"AdaFace {kind.upper().replace('_', '-')}",
        source=SOURCE,
        contracts={},
        stages=tuple(Stage(f"stage{i + 1}", UNITS[depth][i], widths[i], 2, 0) for i in range(4)),
        options={"input_size": 112, "embedding_size": 512, "normalize": True, "eps": None, "dropout": None},
        eps={"torch": 1e-5, "paddle": 1e-5, "mxnet": 1e-5},
        aliases=(
            Alias(kind),
            Alias(compact),
            Alias(f"adaface_{kind}", "torch"),
            Alias(f"paddleclas_adaface_{kind}", "paddle", {"normalize": False}),
        ),
    )
    return derive(plain)


def is_bottleneck(spec: ArchitectureSpec) -> bool:
    """True for units 1x1 - 3x3 - 1x1."""
    return spec.stages[0].channels != STEM


def has_se(spec: ArchitectureSpec) -> bool:
    """True for squeeze and excitation in every unit."""
    return spec.name.startswith("adaface_ir_se")


def layers(spec: ArchitectureSpec) -> list[Layer]:
    """Every layer in forward order.

    The last BatchNormalization of a branch is damped by the number of units in its stage, so that the running sum
    keeps its size however deep the stage is.
    """
    net = LayerList()
    x = net.conv("input_layer.0", INPUT, (3, STEM), 3, pad=1)
    x = net.prelu("input_layer.2", net.batch_norm("input_layer.1", x, STEM), STEM)
    channels, index = STEM, 0
    for stage in spec.stages:
        for number in range(stage.units):
            unit, out, stride = f"body.{index}", stage.channels, stage.stride if number == 0 else 1
            shortcut = f"{unit}.shortcut_layer"
            if channels == out:
                aside = net.max_pool(shortcut, x, 1, stride=stride)
            else:
                aside = net.conv(f"{shortcut}.0", x, (channels, out), 1, stride=stride)
                aside = net.batch_norm(f"{shortcut}.1", aside, out)
            x = net.add(unit, branch(net, spec, f"{unit}.res_layer", x, (channels, out), stride, stage.units), aside)
            channels, index = out, index + 1
    x = net.flatten("output_layer.2", net.batch_norm("output_layer.0", x, channels))
    x = net.gemm("output_layer.3", x, (channels * spec.stages[-1].size ** 2, spec.embedding_size))
    x = net.plain_batch_norm("output_layer.4", x, spec.embedding_size)
    if spec.normalised:
        net.normalize("feature", x)
        net.length("norm", x)
    return net.layers


def branch(
    net: LayerList, spec: ArchitectureSpec, name: str, x: str, channels: tuple[int, int], stride: int, units: int
) -> str:
    """One unit's branch; returns its last layer."""
    out = channels[1]
    # kernel, channels and stride of the convolutions
    steps = [(3, out, 1), (3, out, stride)]
    if is_bottleneck(spec):
        steps = [(1, out // 4, 1), (3, out // 4, 1), (1, out, stride)]
    gain = 0.5 * units**-0.5
    place, before = 1, channels[0]
    x = net.batch_norm(f"{name}.0", x, before)
    for kernel, width, step in steps:
        x = net.conv(f"{name}.{place}", x, (before, width), kernel, stride=step, pad=kernel // 2)
        last = place == 3 * len(steps) - 2
        x = net.batch_norm(f"{name}.{place + 1}", x, width, gain=gain if last else 1.0)
        if not last:
            x = net.prelu(f"{name}.{place + 2}", x, width)
        place, before = place + 3, width
    if not has_se(spec):
        return x
    block = f"{name}.se_block"
    y = net.global_average_pool(f"{block}.avg_pool", x)
    y = net.elementwise(f"{block}.relu", "Relu", net.conv(f"{block}.fc1", y, (out, out // REDUCTION), 1))
    y = net.elementwise(f"{block}.sigmoid", "Sigmoid", net.conv(f"{block}.fc2", y, (out // REDUCTION, out), 1))
    return net.multiply(block, x, y)


def build(spec: ArchitectureSpec, framework: str) -> Any:
    """The net in one framework, weights as initialised."""
    net, size = spec.net_module(framework), spec.embedding_size
    kind = (tuple(stage.units for stage in spec.stages), is_bottleneck(spec), has_se(spec))
    dropout = 0.4 if spec.options["dropout"] is None else spec.options["dropout"]
    rest = (dropout, spec.eps_in(framework), spec.normalised)
    if framework == "mxnet":  # a symbol takes its sizes from what it is fed
        return net.adaface(*kind, size, *rest)
    return net.AdaFaceIR(*kind, spec.options["input_size"], size, *rest)


def torch_class(spec: ArchitectureSpec) -> TorchClass:
    """The constructor call that gives this architecture in ``net_torch.py``."""
    arguments = [f"units={tuple(stage.units for stage in spec.stages)}"]
    arguments += ["bottleneck=True"] * is_bottleneck(spec) + ["se=True"] * has_se(spec)
    arguments += [f"input_size={spec.options['input_size']}", f"embedding_size={spec.embedding_size}"]
    return TorchClass("AdaFaceIR", ", ".join([*arguments, f"normalize={spec.normalised}"]))


def candidates(skeleton: Skeleton) -> Iterator[ArchitectureSpec]:
    """Networks with as many PRelu of each width; the input's size shows in the width of the fully connected layer."""
    slopes, size = skeleton.count("PRelu"), skeleton.output_width()
    wide = [piece.shapes["weight"][1] for piece in skeleton.pieces if piece.op == "Gemm" and piece.shapes]
    se = any(piece.op == "Sigmoid" for piece in skeleton.pieces)
    if size is None or len(wide) != 1:
        return
    for spec in ARCHITECTURES:
        each = 2 if is_bottleneck(spec) else 1
        wanted = {STEM << stage: each * entry.units for stage, entry in enumerate(spec.stages)}
        wanted[STEM] += 1
        if has_se(spec) == se and slopes == wanted:
            for input_size in (112, 224):
                if wide[0] == spec.stages[-1].channels * (input_size // HALVINGS) ** 2:
                    yield spec.with_options(input_size=input_size, embedding_size=size, normalize=skeleton.normalised)


ARCHITECTURES = (
    *(architecture(depth, False) for depth in UNITS),
    *(architecture(depth, True) for depth in SE_DEPTHS),
)

FAMILY = Family(
    name="adaface",
    architectures=ARCHITECTURES,
    layers=layers,
    names=NAMES,
    build=build,
    candidates=candidates,
    torch_class=torch_class,
    patterns=(
        NamePattern(r"adaface_(ir|ir_se)_(\d+)_input(?P<input_size>\d+)", r"adaface_\1\2", "torch"),
        NamePattern(
            r"paddleclas_adaface_(ir|ir_se)_(\d+)_input(?P<input_size>\d+)",
            r"adaface_\1\2",
            "paddle",
            {"normalize": False},
        ),
    ),
    derive=derive,
)

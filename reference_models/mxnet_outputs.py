"""The outputs of InsightFace's MXNet networks: the layers between the last map and the embedding.

    E      bn1, dropout, pre_fc1, fc1           F      bn1, dropout, fc1 as the fully connected layer
    FC, I  E without the dropout                G      F without the dropout
    J      pre_fc1, fc1                         H      fc1 as the fully connected layer
    Z      bn1, dropout: the map                GDC    conv_6dw7_7 (7x7 convolution, BatchNorm), pre_fc1, fc1
    GAP    bn1, relu1, global average, pre_fc1, fc1
    SFC    bn1, convf 3x3/2, bnf, reluf, convf2 1x1 with bias, bnf2, reluf2, pre_fc1, fc1
    GNAP   [convx, convx_bn, convx_relu where more numbers than 512 are wanted], bn6f, every pixel's vector brought to
           one length, global average, [bn6w, pre_fc1 where fewer are], fc1
    A      bn1, relu1, global average: the vector of the last map's channels
    B      A, pre_fc1        C  the same as GAP        D  GAP, fc1_relu        AX .. DX  with dropout behind the average

A to D are of 2018 alone, SFC of the later revision alone. Convolutions of GDC and SFC have 512 groups at every width.
Source: deepinsight/insightface, src/symbols/symbol_utils.py (2018) and recognition/arcface_mxnet/symbol/symbol_utils.py
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from facecvt.converters.errors import UsageError
from facecvt.reference_models.layers import LayerList
from facecvt.reference_models.skeleton import NETWORK_INPUT, Skeleton

if TYPE_CHECKING:
    from facecvt.reference_models.spec import ArchitectureSpec

OUTPUTS_OF_2018 = ("A", "B", "C", "D", "AX", "BX", "CX", "DX")
OUTPUTS = ("E", "Z", "FC", "I", "J", "F", "G", "H", "GAP", "SFC", "GDC", "GNAP")
WIDTH = 512  # groups of GDC and SFC, and the length from which GNAP tells its three forms
LAST_EPS, GDC_EPS = 2e-5, 1e-3
DROPOUT, POOLED_DROPOUT = 0.4, 0.2  # in E, F, Z; behind the average in AX .. DX

# MXNet's act_type -> ONNX operator; prelu is that of LeakyReLU, the others are those of Activation
ACTIVATIONS = {
    "prelu": "PRelu",
    "relu": "Relu",
    "sigmoid": "Sigmoid",
    "tanh": "Tanh",
    "softrelu": "Softplus",
    "softsign": "Softsign",
}

# outputs as the operators on the way back from their end, "act" is any activation; no longer one behind a shorter one
TAILS: Sequence[tuple[str, str]] = (
    ("SFC", "BatchNormalization Gemm act BatchNormalization Conv act BatchNormalization Conv BatchNormalization"),
    ("GNAP", "BatchNormalization GlobalAveragePool NormAware BatchNormalization act BatchNormalization Conv"),
    ("GNAP", "BatchNormalization Gemm BatchNormalization GlobalAveragePool NormAware BatchNormalization"),
    ("D", "PRelu BatchNormalization Gemm GlobalAveragePool act BatchNormalization"),
    ("GAP", "BatchNormalization Gemm GlobalAveragePool act BatchNormalization"),
    ("GNAP", "BatchNormalization GlobalAveragePool NormAware BatchNormalization"),
    ("GDC", "BatchNormalization Gemm BatchNormalization Conv"),
    ("B", "Gemm GlobalAveragePool act BatchNormalization"),
    ("E", "BatchNormalization Gemm BatchNormalization"),
    ("A", "GlobalAveragePool act BatchNormalization"),
    ("J", "BatchNormalization Gemm"),
    ("F", "Gemm BatchNormalization"),
    ("Z", "BatchNormalization"),
    ("H", "Gemm"),
)


def misfit(output: str, channels: int, size: int, length: int) -> str | None:
    """Why an output does not go with a last map of so many channels and such a size, None where it does."""
    if output == "GNAP" and length <= WIDTH and channels != WIDTH:
        return f"output GNAP of at most {WIDTH} numbers needs a last map of {WIDTH} channels, not {channels}"
    if output in ("GDC", "SFC") and channels % WIDTH:
        return f"output {output} has {WIDTH} groups, which {channels} channels cannot be split into"
    if output == "GDC" and size < 7:
        return f"output GDC needs a last map of at least 7x7, not {size}x{size}"
    return None


def append_output(
    net: LayerList, x: str, output: str, *, channels: int, size: int, length: int, act: str,
    eps: float | None = LAST_EPS, gdc_eps: float | None = None, names: Mapping[str, str] | None = None,
) -> str:  # fmt: skip
    """Append the layers of an output.

    Args:
        net: the listing to grow.
        x: the last map.
        output: one of OUTPUTS or OUTPUTS_OF_2018.
        channels: of the last map.
        size: height and width of the last map.
        length: of the embedding.
        act: MXNet's act_type of the activations; fc1_relu is always a PRelu.
        eps: of the BatchNorms, None for the architecture's.
        gdc_eps: of that of GDC, None for the architecture's.
        names: upstream's name of a layer -> its canonical name, where they differ.

    Returns:
        The last layer.
    """
    known = names or {}

    def named(upstream: str) -> str:
        return known.get(upstream, upstream)

    def norm(upstream: str, x: str, width: int, *, unit_scale: bool = False) -> str:
        return net.batch_norm(named(upstream), x, width, unit_scale=unit_scale, eps=eps)

    def activation(upstream: str, x: str, width: int, kind: str) -> str:
        if kind == "prelu":
            return net.prelu(named(upstream), x, width)
        return net.elementwise(named(upstream), ACTIVATIONS[kind], x)

    features, dense = channels * size**2, output
    pooled = output[0] if output in OUTPUTS_OF_2018 else "C" if output == "GAP" else ""
    if pooled:
        x = activation("relu1", norm("bn1", x, channels), channels, act)
        x = net.flatten("flatten", net.global_average_pool("pool1", x))
        features, dense = channels, {"A": "", "B": "B"}.get(pooled, "E")
    elif output in ("E", "FC", "I", "F", "G", "Z"):
        x = norm("bn1", x, channels)
        dense = "" if output == "Z" else output
    elif output == "SFC":
        x = net.conv(named("convf"), norm("bn1", x, channels), (channels, WIDTH), 3, stride=2, pad=1, group=WIDTH)
        x = activation("reluf", norm("bnf", x, WIDTH), WIDTH, act)
        x = net.conv(named("convf2"), x, (WIDTH, WIDTH), 1, bias=True)
        x = activation("reluf2", norm("bnf2", x, WIDTH), WIDTH, act)
        features = WIDTH * ((size + 1) // 2) ** 2
    elif output == "GDC":
        x = net.conv("conv_6dw7_7.conv2d", x, (channels, WIDTH), 7, group=WIDTH)
        x = net.batch_norm("conv_6dw7_7.batchnorm", x, WIDTH, eps=gdc_eps)
        features = WIDTH * (size - 6) ** 2
    elif output == "GNAP":
        features = WIDTH
        if length > WIDTH:
            x = net.conv(named("convx"), x, (channels, length), 1)
            x = activation("convx_relu", norm("convx_bn", x, length), length, act)
            features = length
        x = net.elementwise("norm_aware", "NormAware", norm("bn6f", x, features, unit_scale=True))
        x = net.global_average_pool("pool", x)
        if length < WIDTH:
            x = norm("bn6w", x, WIDTH, unit_scale=True)
        else:
            dense = "flat"
        x = net.flatten("flatten", x)
    if not dense:
        return x
    if output not in ("GAP", "GNAP", *OUTPUTS_OF_2018):
        x = net.flatten("flatten", x)
    if dense in ("F", "G", "H"):
        return net.gemm(named("fc1"), x, (features, length))
    if dense != "flat":
        x = net.gemm(named("pre_fc1"), x, (features, length))
    if dense == "B":
        return x
    x = norm("fc1", x, length, unit_scale=True)
    return net.prelu(named("fc1_relu"), x, length) if pooled == "D" else x


def operators_back(skeleton: Skeleton, most: int = 16) -> list[int]:
    """Indices of the pieces on the way back from the output, up to the first sum; a Flatten counts as none."""
    indices: list[int] = []
    index = skeleton.output
    while index != NETWORK_INPUT and len(indices) < most:
        piece = skeleton.pieces[index]
        if piece.op not in ("Flatten", "LpNormalization"):
            indices.append(index)
        if len(piece.inputs) != 1:
            break
        index = piece.inputs[0]
    return indices


def outputs_of(operators: Sequence[str], before: Sequence[str]) -> Iterator[tuple[str, int]]:
    """The outputs that operators on the way back from the end can be, and the count of their operators.

    Args:
        operators: those of :func:`operators_back`.
        before: what the network ends in in front of an output, on the way back as well; "act" is any activation.
    """
    for name, tail in TAILS:
        wanted = (*tail.split(), *before)
        if len(operators) >= len(wanted) and all(
            theirs in ACTIVATIONS.values() if ours == "act" else theirs == ours
            for ours, theirs in zip(wanted, operators, strict=False)
        ):
            yield name, len(wanted) - len(before)


def where_allowed(architecture: ArchitectureSpec, **options: Any) -> Iterator[ArchitectureSpec]:
    """The architecture with these options, or nothing where they do not go together."""
    with suppress(UsageError):
        yield architecture.with_options(**options)

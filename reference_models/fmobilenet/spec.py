"""InsightFace's MobileNet V1 for faces, MXNet's ``fmobilenet``: 112x112 faces to an embedding.

A 3x3 convolution and thirteen pairs of a depthwise and a 1x1 convolution, each with BatchNorm and PReLU, at the widths
of MobileNet V1 times ``multiplier``. ``output`` is any of upstream's, which ``mxnet_outputs.py`` lists. ``input_size``
224 is the upstream's input version 0, whose first convolution has stride 2.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from facecvt.converters.contract import InputContract
from facecvt.converters.errors import UsageError
from facecvt.reference_models.fmobilenet.names import NAMES
from facecvt.reference_models.layers import INPUT, Layer, LayerList
from facecvt.reference_models.mxnet_outputs import (
    DROPOUT,
    OUTPUTS,
    OUTPUTS_OF_2018,
    POOLED_DROPOUT,
    append_output,
    misfit,
    operators_back,
    outputs_of,
    where_allowed,
)
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

BASE = 32  # channels of the first map at multiplier 1
# pairs, their channels in multiples of the first map's, stride of the first one, size of the map
STAGES = ((1, 2, 1, 112), (2, 4, 2, 56), (2, 8, 2, 28), (6, 16, 2, 14), (2, 32, 2, 7))
LAST_SIZE = 7
DEFAULT_LENGTH = 512

CONTRACT = InputContract("x", ("batch", 3, 112, 112), layout="NCHW", color="RGB", mean=(127.5,), scale=(0.0078125,))


def derive(spec: ArchitectureSpec) -> ArchitectureSpec:
    """The stages at the architecture's width, the contracts at its size.

    Raises:
        UsageError: a width, or an output that does not go with the other options.
    """
    given, output = spec.options, spec.options["output"]
    base, size = int(BASE * given["multiplier"]), given["input_size"]
    if base < 1:
        raise UsageError(f"{spec.name}: multiplier {given['multiplier']} leaves no channels")
    channels = base * STAGES[-1][1]
    refusal = misfit(output, channels, LAST_SIZE, given["embedding_size"])
    if output == "Z" and given["normalize"]:
        refusal = "output Z is a map, which has no length"
    if output in ("A", "AX", "Z"):
        if given["embedding_size"] not in (DEFAULT_LENGTH, channels):
            refusal = f"output {output} has the last map's {channels} channels"
        given = {**given, "embedding_size": channels}
    if refusal is not None:
        raise UsageError(f"{spec.name}: {refusal}")
    contract = replace(CONTRACT, shape=("batch", 3, size, size))
    return replace(
        spec,
        options=given,
        stages=tuple(
            Stage(f"pairs x{times}", count, base * times, stride, edge) for count, times, stride, edge in STAGES
        ),
        contracts={
            "torch": contract,
            "paddle": contract,
            "mxnet": replace(contract, name="data", in_graph=True),
        },
    )


FMOBILENET = derive(
    ArchitectureSpec(
        name="fmobilenet",
        family="fmobilenet",
        title="MobileNet V1 of arcface_mxnet, 112 to 512",
        source=Source(
            "MobileNets: Efficient Convolutional Neural Networks for Mobile Vision Applications, "
            "https://arxiv.org/abs/1704.04861",
            (
                Upstream("mxnet", "deepinsight/insightface", "recognition/arcface_mxnet/symbol/fmobilenet.py"),
                Upstream("mxnet", "deepinsight/insightface", "src/symbols/fmobilenet.py"),
            ),
        ),
        contracts={},
        stages=(),
        options={
            "embedding_size": 512,
            "multiplier": 1.0,
            "output": "E",
            "input_size": 112,
            "normalize": False,
            "eps": None,
            "dropout": None,
        },
        eps={"torch": 1e-3, "paddle": 1e-3, "mxnet": 1e-3},
        aliases=(
            Alias("fmobilenet_default", "mxnet"),
            Alias("fmobilenet2018", "mxnet"),
            Alias("fmobilenet_input0", "mxnet", {"input_size": 224}),
            Alias("fmobilenet2018_input0", "mxnet", {"input_size": 224}),
            Alias("fmobilenet_m05", "mxnet", {"multiplier": 0.5, "output": "GDC", "embedding_size": 256}),
            Alias("fmobilenet_m1", "mxnet", {"output": "GDC", "embedding_size": 256}),
            Alias("fmobilenet2018_m05", "mxnet", {"multiplier": 0.5}),
            Alias("fmobilenet2018_m1", "mxnet"),
        ),
    )
)


def layers(spec: ArchitectureSpec) -> list[Layer]:
    """Every layer in forward order, which is the order of the states too."""
    net, given = LayerList(), spec.options
    base = channels = int(BASE * given["multiplier"])

    def conv(name: str, x: str, out: int, kernel: int, stride: int, group: int) -> str:
        x = net.conv(f"{name}.conv2d", x, (channels, out), kernel, stride=stride, pad=kernel // 2, group=group)
        return net.prelu(f"{name}.relu", net.batch_norm(f"{name}.batchnorm", x, out, unit_scale=True), out)

    x = net.conv("conv_1.conv2d", INPUT, (3, base), 3, stride=given["input_size"] // 112, pad=1)
    x = net.prelu("conv_1.relu", net.batch_norm("conv_1.batchnorm", x, base, unit_scale=True), base)
    number = 2
    for count, times, first_stride, _ in STAGES:
        for index in range(count):
            x = conv(f"conv_{number}_dw", x, channels, 3, 1 if index else first_stride, channels)
            x = conv(f"conv_{number}", x, base * times, 1, 1, 1)
            channels, number = base * times, number + 1
    x = append_output(
        net, x, given["output"], channels=channels, size=LAST_SIZE, length=spec.embedding_size, act="prelu"
    )
    if spec.normalised:
        net.normalize("normalize", x)
    return net.layers


def build(spec: ArchitectureSpec, framework: str) -> Any:
    """The net in one framework, weights as initialised."""
    net, given = spec.net_module(framework), spec.options
    make = net.fmobilenet if framework == "mxnet" else net.FMobileNet
    upstream = POOLED_DROPOUT if given["output"].endswith("X") else DROPOUT
    return make(
        spec.embedding_size,
        given["multiplier"],
        given["output"],
        given["input_size"] // 112,
        upstream if given["dropout"] is None else given["dropout"],
        spec.eps_in(framework),
        spec.normalised,
    )


def torch_class(spec: ArchitectureSpec) -> TorchClass:
    """The constructor call that gives this architecture in ``net_torch.py``."""
    given = spec.options
    stride = f", stride={given['input_size'] // 112}" if given["input_size"] != 112 else ""
    normalize = ", normalize=True" if spec.normalised else ""
    arguments = f"emb_size={spec.embedding_size}, multiplier={given['multiplier']}, output={given['output']!r}"
    return TorchClass("FMobileNet", arguments + stride + normalize)


def candidates(skeleton: Skeleton) -> Iterator[ArchitectureSpec]:
    """The net at the width and size that the first convolution tells, with the outputs that the last layers can be."""
    length = skeleton.output_width()
    convs = [piece for piece in skeleton.pieces if piece.op == "Conv"]
    if length is None or not convs:
        return
    stride, channels = convs[0].attributes["strides"][0], convs[0].shapes["weight"][0]
    operators = [skeleton.pieces[index].op for index in operators_back(skeleton)]
    slopes = sum(skeleton.count("PRelu").values())
    for output, count in outputs_of(operators, ("PRelu", "BatchNormalization", "Conv", "PRelu")):
        inside = slopes - operators[:count].count("PRelu")
        if stride in (1, 2) and inside == 1 + 2 * sum(stage[0] for stage in STAGES):
            yield from where_allowed(
                FMOBILENET,
                embedding_size=length,
                multiplier=channels / BASE,
                output=output,
                input_size=112 * stride,
                normalize=skeleton.normalised,
            )


def patterns() -> Iterator[NamePattern]:
    """The kit's names: the file's year, an output that is not the default, the length of the embedding."""
    size = r"(?:_?(?:emb)?(?P<embedding_size>\d+))?"
    for year in ("", "2018"):
        # SFC came later, A to D were of 2018 alone
        for output in (*OUTPUTS, *OUTPUTS_OF_2018) if year else OUTPUTS:
            if not year or output != "SFC":
                said = f"(?:_(?:out_?)?{output.lower()})" + ("?" if output == "E" else "")
                yield NamePattern(f"fmobilenet{year}{said}{size}", "fmobilenet", "mxnet", {"output": output})


FAMILY = Family(
    name="fmobilenet",
    architectures=(FMOBILENET,),
    layers=layers,
    names=NAMES,
    build=build,
    candidates=candidates,
    torch_class=torch_class,
    patterns=tuple(patterns()),
    derive=derive,
)

"""InsightFace's MXNet MobileFaceNet, ``fmobilefacenet``: 112x112 faces to an embedding.

Three architectures: the default (1-4-6-2 units, output E, 512 numbers), ``y1`` (output GDC, 128) and ``y2`` (2-8-16-4
units, GDC, 256). Each takes every output of upstream's, which ``mxnet_outputs.py`` lists.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from facecvt.converters.contract import InputContract
from facecvt.converters.errors import UsageError
from facecvt.reference_models.fmobilefacenet.names import NAMES
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

WIDTH = 64  # channels of the first map
# number of a run, its channels, its inner width, inner width of the unit at stride 2 in front of it, size of the map
RUNS = ((3, 64, 128, 128, 28), (4, 128, 256, 256, 14), (5, 128, 256, 512, 7))
FIRST_INNER, FIRST_SIZE = 64, 56
LAST, LAST_SIZE = 512, 7  # the last map
DEFAULT_SIZES = {"fmobilefacenet": 512, "mobilefacenet_y1": 128, "mobilefacenet_y2": 256}
DAMPING = 0.4  # of the branches that are summed up: the running sum of 30 units must not grow

SHAPE = ("batch", 3, 112, 112)
CONTRACT = InputContract("x", SHAPE, layout="NCHW", color="RGB", mean=(127.5,), scale=(0.0078125,))
MXNET_CONTRACT = replace(CONTRACT, name="data", in_graph=True)
SOURCE = Source(
    "MobileFaceNets: Efficient CNNs for Accurate Real-Time Face Verification on Mobile Devices, "
    "https://arxiv.org/abs/1804.07573",
    (
        Upstream("mxnet", "deepinsight/insightface", "recognition/arcface_mxnet/symbol/fmobilefacenet.py"),
        Upstream("mxnet", "deepinsight/insightface", "src/symbols/fmobilefacenet.py"),
    ),
)


def derive(spec: ArchitectureSpec) -> ArchitectureSpec:
    """The stages with the architecture's blocks.

    Raises:
        UsageError: an output that does not go with the other options.
    """
    output = spec.options["output"]
    refusal = misfit(output, LAST, LAST_SIZE, spec.embedding_size)
    if output == "Z" and spec.normalised:
        refusal = "output Z is a map, which has no length"
    if output in ("A", "AX", "Z"):
        if spec.embedding_size not in (DEFAULT_SIZES[spec.name], LAST):
            refusal = f"output {output} has the last map's {LAST} channels"
        spec = replace(spec, options={**spec.options, "embedding_size": LAST})
    if refusal is not None:
        raise UsageError(f"{spec.name}: {refusal}")
    blocks = spec.options["blocks"]
    first = Stage("depthwise convolution" if blocks[0] == 1 else "units at stride 1", blocks[0], WIDTH, 1, FIRST_SIZE)
    runs = (
        Stage(f"units of {inner}", 1 + count, channels, 2, size)
        for count, (_, channels, inner, _, size) in zip(blocks[1:], RUNS, strict=True)
    )
    return replace(spec, stages=(first, *runs))


def architecture(
    name: str, output: str, size: int, blocks: tuple[int, ...], title: str, *aliases: Alias
) -> ArchitectureSpec:
    """One of the three, with its upstream's options."""
    options = {"embedding_size": size, "output": output, "blocks": blocks, "normalize": False}
    return derive(
        ArchitectureSpec(
            name=name,
            family="fmobilefacenet",
            title=title,
            source=SOURCE,
            contracts={"torch": CONTRACT, "paddle": CONTRACT, "mxnet": MXNET_CONTRACT},
            stages=(),
            options=options | {"eps": None, "dropout": None},
            eps={"torch": 1e-3, "paddle": 1e-3, "mxnet": 1e-3},
            aliases=aliases,
        )
    )


PLAIN = (1, 4, 6, 2)
ARCHITECTURES = (
    architecture(
        "fmobilefacenet", "E", 512, PLAIN, "MobileFaceNet of arcface_mxnet, 112 to 512",
        Alias("fmobilefacenet_default", "mxnet"),
        Alias("fmobilefacenet2018", "mxnet", {"output": "GNAP"}),
    ),
    architecture(
        "mobilefacenet_y1", "GDC", 128, PLAIN, "MobileFaceNet of arcface_mxnet, y1, 112 to 128",
        Alias("fmobilefacenet_y1", "mxnet"), Alias("y1", "mxnet"),
    ),
    architecture(
        "mobilefacenet_y2", "GDC", 256, (2, 8, 16, 4), "MobileFaceNet of arcface_mxnet, y2, 112 to 256",
        Alias("fmobilefacenet_y2", "mxnet"), Alias("y2", "mxnet"),
    ),
)  # fmt: skip


class Listing(LayerList):
    """The layers, block by block."""

    def block(
        self, name: str, x: str, channels: tuple[int, int], kernel: int = 1, *, stride: int = 1, pad: int = 0,
        group: int = 1, linear: bool = False, gain: float = 1.0,
    ) -> str:  # fmt: skip
        """Convolution, BatchNorm and, unless linear, PRelu."""
        x = self.conv(f"{name}.conv2d", x, channels, kernel, stride=stride, pad=pad, group=group)
        x = self.batch_norm(f"{name}.batchnorm", x, channels[1], gain=gain)
        return x if linear else self.prelu(f"{name}.relu", x, channels[1])

    def unit(self, name: str, x: str, channels: tuple[int, int], inner: int, *, stride: int, gain: float = 1.0) -> str:
        """A unit without its sum."""
        x = self.block(f"{name}.conv_sep", x, (channels[0], inner))
        x = self.block(f"{name}.conv_dw", x, (inner, inner), 3, stride=stride, pad=1, group=inner)
        return self.block(f"{name}.conv_proj", x, (inner, channels[1]), linear=True, gain=gain)

    def run(self, name: str, x: str, channels: int, count: int, inner: int) -> str:
        """A run of units with their sums."""
        for index in range(count):
            one = f"{name}.block{index}"
            x = self.add(one, self.unit(one, x, (channels, channels), inner, stride=1, gain=DAMPING), x)
        return x


def layers(spec: ArchitectureSpec) -> list[Layer]:
    """Every layer in forward order, which is the order of the states too."""
    net, blocks = Listing(), spec.options["blocks"]
    x = net.block("conv_1", INPUT, (3, WIDTH), 3, stride=2, pad=1)
    if blocks[0] == 1:
        x = net.block("conv_2_dw", x, (WIDTH, WIDTH), 3, pad=1, group=WIDTH)
    else:
        x = net.run("res_2", x, WIDTH, blocks[0], FIRST_INNER)
    before = WIDTH
    for count, (number, channels, inner, entrance, _) in zip(blocks[1:], RUNS, strict=True):
        x = net.unit(f"dconv_{number - 1}{number}", x, (before, channels), entrance, stride=2)
        x = net.run(f"res_{number}", x, channels, count, inner)
        before = channels
    x = net.block("conv_6sep", x, (before, LAST))
    x = append_output(
        net, x, spec.options["output"], channels=LAST, size=LAST_SIZE, length=spec.embedding_size, act="prelu"
    )
    if spec.normalised:
        net.normalize("normalize", x)
    return net.layers


def build(spec: ArchitectureSpec, framework: str) -> Any:
    """The net in one framework, weights as initialised."""
    net, given = spec.net_module(framework), spec.options
    make = net.fmobilefacenet if framework == "mxnet" else net.FMobileFaceNet
    upstream = POOLED_DROPOUT if given["output"].endswith("X") else DROPOUT
    dropout = upstream if given["dropout"] is None else given["dropout"]
    eps = spec.eps_in(framework)
    return make(spec.embedding_size, given["blocks"], given["output"], dropout, eps, spec.normalised)


def torch_class(spec: ArchitectureSpec) -> TorchClass:
    """The constructor call that gives this architecture in ``net_torch.py``."""
    arguments = f"emb_size={spec.embedding_size}, blocks={spec.options['blocks']}, output={spec.options['output']!r}"
    return TorchClass("FMobileFaceNet", arguments + (", normalize=True" if spec.normalised else ""))


def prelus(blocks: tuple[int, ...]) -> int:
    """How many PRelu a net has: one in the stem, two a unit, one behind the last convolution."""
    first = 1 if blocks[0] == 1 else 2 * blocks[0]
    return 2 + first + 2 * (len(RUNS) + sum(blocks[1:]))


def candidates(skeleton: Skeleton) -> Iterator[ArchitectureSpec]:
    """The nets with as many PRelu in front of the output that the last layers tell."""
    length = skeleton.output_width()
    if length is None:
        return
    back = operators_back(skeleton)
    operators = [skeleton.pieces[index].op for index in back]
    slopes = sum(skeleton.count("PRelu").values())
    for output, count in outputs_of(operators, ("PRelu", "BatchNormalization", "Conv", "Add")):
        inside = slopes - operators[:count].count("PRelu")
        for spec in ARCHITECTURES[::-1]:  # y1 before the default, which has any other output
            ours = output == spec.options["output"] or spec.name != "mobilefacenet_y1"
            if ours and inside == prelus(spec.options["blocks"]):
                options = {"embedding_size": length, "output": output, "normalize": skeleton.normalised}
                yield from where_allowed(spec, **options)


def patterns() -> Iterator[NamePattern]:
    """The kit's names: the file's year, the variant, its output, the length of its embedding."""
    size = r"(?:_?(?:emb)?(?P<embedding_size>\d+))?"
    for year, variant, default in (("2018", "", "GNAP"), ("", "", "E"), ("", "_y1", "GDC"), ("", "_y2", "GDC")):
        # SFC came later, A to D were of 2018 alone
        for output in (*OUTPUTS, *OUTPUTS_OF_2018) if year else OUTPUTS:
            if year and output == "SFC":
                continue
            said = f"_(?:out_?)?{output.lower()}"
            shown = f"(?:{said})?" if output == default else said
            name = f"mobilefacenet{variant}" if variant else "fmobilefacenet"
            yield NamePattern(f"fmobilefacenet{year}{variant}{shown}{size}", name, "mxnet", {"output": output})


FAMILY = Family(
    name="fmobilefacenet",
    architectures=ARCHITECTURES,
    layers=layers,
    names=NAMES,
    build=build,
    candidates=candidates,
    torch_class=torch_class,
    patterns=tuple(patterns()),
    derive=derive,
)

"""SlimFaceNet of PaddleSlim: faces 112 high and 96 wide to 128 numbers; MobileFaceNets that were searched for.

An architecture is a width and one code a unit; the three published ones are A x0.60, B x0.75 and C x0.75. The published
weights are those of the form without a ReLU after the sums, the option ``relu`` is the form of the later source.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from facecvt.converters.contract import InputContract
from facecvt.reference_models.layers import INPUT, Layer, LayerList
from facecvt.reference_models.slimfacenet.names import NAMES
from facecvt.reference_models.spec import Alias, ArchitectureSpec, Family, Source, Stage, TorchClass, Upstream

if TYPE_CHECKING:
    from facecvt.reference_models.skeleton import Skeleton
    from facecvt.reference_models.state_view import StateView

# width -> channels of the first row of units and of the others
CHANNELS: Mapping[float, tuple[int, int]] = {1.0: (64, 128), 0.9: (56, 116), 0.75: (48, 96), 0.6: (40, 76)}
# units, stride of the first, height of the map behind them
ROWS = ((5, 2, 28), (1, 2, 14), (6, 1, 14), (1, 2, 7), (2, 1, 7))
UNITS = sum(row[0] for row in ROWS)
STEM, LAST = 64, 512  # channels of the first and the last map
LAST_MAP = (7, 6)
REDUCTION = 4
SLOPE, OFFSET = 0.2, 0.5  # of the gate
DAMPING = 0.5  # of the branches that are summed up

ARCHS: Mapping[str, tuple[float, tuple[int, ...]]] = {
    "a": (0.6, (0, 1, 5, 1, 0, 2, 1, 2, 0, 1, 2, 1, 1, 0, 1)),
    "b": (0.75, (1, 1, 0, 1, 1, 1, 1, 0, 1, 0, 1, 3, 2, 2, 3)),
    "c": (0.75, (1, 1, 2, 1, 0, 2, 1, 0, 1, 0, 1, 1, 2, 2, 3)),
}
# what stands for a width in names
SPELLINGS: Mapping[float, tuple[str, ...]] = {1.0: ("1_00", "1_0"), 0.9: ("0_90",), 0.75: ("0_75",), 0.6: ("0_60",)}

CONTRACT = InputContract("image", ("batch", 3, 112, 96), layout="NCHW", mean=(127.5,), scale=(1 / 128,))


def expansion(code: int) -> int:
    """By how much a unit widens."""
    return (2, 4, 6)[code // 2]


def squeezes(code: int) -> bool:
    """True where a unit has squeeze and excitation."""
    return code % 2 == 1


def derive(spec: ArchitectureSpec) -> ArchitectureSpec:
    """The stages at the architecture's width."""
    first, others = CHANNELS[spec.options["width"]]
    stages = (
        Stage(f"units of row {row + 1}", count, others if row else first, stride, size)
        for row, (count, stride, size) in enumerate(ROWS)
    )
    return replace(spec, stages=tuple(stages), options={**spec.options, "arch": tuple(spec.options["arch"])})


def aliases(letter: str) -> Iterator[Alias]:
    """The upstream's name, the kit's, and the same at the other widths; ``_relu`` for the form with a ReLU."""
    for width, spellings in SPELLINGS.items():
        for spelling in spellings:
            for ending, relu in (("", False), ("_relu", True)):
                options = {"width": width, "relu": relu}
                name = f"slimfacenet_{letter}_x{spelling}{ending}"
                yield Alias(f"paddleslim_{name}", "paddle", options)
                if relu or width != ARCHS[letter][0]:
                    yield Alias(name, None, options)


def architecture(letter: str) -> ArchitectureSpec:
    """One of the three."""
    width, codes = ARCHS[letter]
    return derive(
        ArchitectureSpec(
            name=f"slimfacenet_{letter}_x{SPELLINGS[width][0]}",
            family="slimfacenet",
            title=f"SlimFaceNet {letter.upper()} x{width:.2f} of PaddleSlim, 112x96 to 128",
            source=Source(
                "MobileFaceNets: Efficient CNNs for Accurate Real-Time Face Verification on Mobile Devices, "
                "https://arxiv.org/abs/1804.07573",
                (Upstream("paddle", "PaddlePaddle/PaddleSlim", "demo/models/slimfacenet.py"),),
            ),
            contracts={
                "torch": replace(CONTRACT, name="x"), "paddle": CONTRACT, "mxnet": replace(CONTRACT, name="data"),
            },
            stages=(),
            options={"embedding_size": 128, "width": width, "arch": codes, "relu": False, "eps": None},
            eps={"torch": 1e-5, "paddle": 1e-5, "mxnet": 1e-5},
            aliases=tuple(aliases(letter)),
        )
    )  # fmt: skip


ARCHITECTURES = tuple(architecture(letter) for letter in ARCHS)


class Listing(LayerList):
    """The layers, block by block."""

    def conv_block(
        self, name: str, x: str, channels: tuple[int, int], kernel: int | tuple[int, int] = 1, *, stride: int = 1,
        pad: int = 0, group: int = 1, linear: bool = False, gain: float = 1.0,
    ) -> str:  # fmt: skip
        """Convolution, BatchNorm and, unless linear, PRelu."""
        x = self.conv(f"{name}.conv", x, channels, kernel, stride=stride, pad=pad, group=group)
        x = self.batch_norm(f"{name}.bn", x, channels[1], gain=gain)
        return x if linear else self.prelu(f"{name}.prelu", x, channels[1])

    def squeeze_and_excitation(self, name: str, x: str, channels: int) -> str:
        """Every channel times its gate."""
        inner = channels // REDUCTION
        y = self.global_average_pool(f"{name}.pool", x)
        y = self.conv(f"{name}.conv1", y, (channels, inner), 1, bias=True)
        y = self.conv(f"{name}.conv2", self.prelu(f"{name}.prelu", y, inner), (inner, channels), 1, bias=True)
        return self.multiply(name, x, self.elementwise(f"{name}.gate", "HardSigmoid", y, alpha=SLOPE, beta=OFFSET))

    def unit(self, name: str, x: str, channels: tuple[int, int], stride: int, code: int, relu: bool) -> str:
        """A residual unit."""
        inner, residual = channels[0] * expansion(code), stride == 1 and channels[0] == channels[1]
        y = self.conv_block(f"{name}.expand", x, (channels[0], inner))
        y = self.conv_block(f"{name}.depthwise", y, (inner, inner), 3, stride=stride, pad=1, group=inner)
        if squeezes(code):
            y = self.squeeze_and_excitation(f"{name}.se", y, inner)
        gain = DAMPING if residual else 1.0
        y = self.conv_block(f"{name}.linear", y, (inner, channels[1]), linear=True, gain=gain)
        if not residual:
            return y
        return self.elementwise(name, "Relu", self.add(f"{name}.add", x, y)) if relu else self.add(name, x, y)


def layers(spec: ArchitectureSpec) -> list[Layer]:
    """Every layer in forward order, which is the order of the states too."""
    net, codes = Listing(), iter(spec.options["arch"])
    x = net.conv_block("conv3x3", INPUT, (3, STEM), 3, stride=2, pad=1)
    x = net.conv_block("dw_conv3x3", x, (STEM, STEM), 3, pad=1, group=STEM)
    channels, place = STEM, 0
    for stage in spec.stages:
        for index in range(stage.units):
            place += 1
            stride = 1 if index else stage.stride
            unit = f"residual_unit{place}"
            x = net.unit(unit, x, (channels, stage.channels), stride, next(codes), spec.options["relu"])
            channels = stage.channels
    x = net.conv_block("conv1x1", x, (channels, LAST))
    x = net.conv_block("global_dw_conv7x7", x, (LAST, LAST), LAST_MAP, group=LAST, linear=True)
    x = net.conv_block("linear_conv1x1", x, (LAST, spec.embedding_size), linear=True)
    net.flatten("flatten", x)
    return net.layers


def build(spec: ArchitectureSpec, framework: str) -> Any:
    """The net in one framework, weights as initialised."""
    net, options = spec.net_module(framework), spec.options
    make = net.slimfacenet if framework == "mxnet" else net.SlimFaceNet
    return make(options["width"], options["arch"], spec.embedding_size, options["relu"], spec.eps_in(framework))


def torch_class(spec: ArchitectureSpec) -> TorchClass:
    """The constructor call that gives this architecture in ``net_torch.py``."""
    relu = ", relu=True" if spec.options["relu"] else ""
    arguments = f"width={spec.options['width']}, arch={spec.options['arch']}, embedding_size={spec.embedding_size}"
    return TorchClass("SlimFaceNet", arguments + relu)


def codes_of(skeleton: Skeleton) -> tuple[float, tuple[int, ...]] | None:
    """Width and codes that the graph's convolutions tell: those with a bias are squeeze and excitation's."""
    convs = [piece for piece in skeleton.pieces if piece.op == "Conv"]
    plain = [piece.shapes["weight"][0] for piece in convs if "bias" not in piece.shapes]
    if len(plain) != 5 + 3 * UNITS:
        return None
    widths = {channels: width for width, channels in CHANNELS.items()}
    width = widths.get((plain[4], plain[-4]))
    with_se = [index for index, piece in enumerate(convs) if "bias" in piece.shapes][::2]
    units = {(index - 2 * before - 2) // 3 for before, index in enumerate(with_se)}
    factors = [plain[2 + 3 * unit] / plain[1 + 3 * unit] for unit in range(UNITS)]
    if width is None or not set(factors) <= {2, 4, 6}:
        return None
    return width, tuple(int(factor) - 2 + (unit in units) for unit, factor in enumerate(factors))


def candidates(skeleton: Skeleton) -> Iterator[ArchitectureSpec]:
    """The published one with these codes, else the first one with the codes for an option."""
    found, size = codes_of(skeleton), skeleton.output_width()
    if found is not None and size is not None:
        yield with_codes(*found).with_options(embedding_size=size, relu=bool(skeleton.count("Relu")))


def with_codes(width: float, codes: tuple[int, ...]) -> ArchitectureSpec:
    """The published architecture of a width and codes, else the first one with them."""
    named = {arch: spec for spec, arch in zip(ARCHITECTURES, ARCHS.values(), strict=True)}
    return named.get((width, codes), ARCHITECTURES[0]).with_options(width=width, arch=codes)


def told(view: StateView) -> Iterator[ArchitectureSpec]:
    """The architecture whose codes are those of the widenings and gates that a state's keys and shapes have."""
    codes = []
    for place in range(1, UNITS + 1):
        inner, channels, _ = view.kernel(f"residual_unit{place}.expand.conv")
        codes.append(inner // channels - 2 + view.has(f"residual_unit{place}.se.conv1"))
    first, last = (view.kernel(f"residual_unit{place}.linear.conv")[0] for place in (1, UNITS))
    width = {channels: width for width, channels in CHANNELS.items()}[first, last]
    yield with_codes(width, tuple(codes)).with_options(embedding_size=view.kernel("linear_conv1x1.conv")[0])


FAMILY = Family(
    name="slimfacenet",
    architectures=ARCHITECTURES,
    layers=layers,
    names=NAMES,
    build=build,
    candidates=candidates,
    torch_class=torch_class,
    derive=derive,
    told=told,
)

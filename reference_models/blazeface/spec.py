"""BlazeFace as PaddleDetection makes it, and the port to PyTorch: images of any size to boxes and scores of faces.

A backbone of single and double blocks, perhaps a neck (FPN, SSH, or both) over the outputs of its fourth-last and last
block, and an SSD head with 2 and 6 square prior boxes a cell at strides 8 and 16. Options:

    blaze_filters           rows of single blocks: depthwise channels, channels, and the stride where it is not 1; the
                            first number is that of the stem's channels as well
    double_blaze_filters    rows of double blocks: depthwise channels, narrow channels, channels, stride
    use_5x5kernel           False gives two 3x3 depthwise convolutions for every 5x5 one
    act                     of the first 1x1 convolution of double blocks
    neck_type               none, only_fpn, only_ssh, fpn_ssh
    joined                  False: boxes, raw scores and priors of each level, as PaddleDetection's head returns them;
                            True: the boxes of both levels joined and the softmax of their scores, as the port does

A prior box is (x1, y1, x2, y2) over the image's width and height, around the middle of its cell. A box is what the head
says about its prior: how far the middle is moved, in tenths of the prior's size, and the logarithm of the factor of
that size, in fifths. The first score of a prior is that of a face, the second that of the background: the published
weights say so, and so does PaddleDetection's post-processing, for which the background comes behind the last class.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import product
from typing import TYPE_CHECKING, Any

from facecvt.converters.contract import InputContract
from facecvt.converters.errors import UsageError
from facecvt.reference_models.blazeface.names import NAMES
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
    from facecvt.reference_models.state_view import StateView

BLAZE_FILTERS = ((24, 24), (24, 24), (24, 48, 2), (48, 48), (48, 48))
DOUBLE_BLAZE_FILTERS = (
    (48, 24, 96, 2),
    (96, 24, 96),
    (96, 24, 96),
    (96, 24, 96, 2),
    (96, 24, 96),
    (96, 24, 96),
)
NECK_LAYERS = {"fpn": ".conv1_fpn", "ssh": "1.conv0_ssh"}  # a convolution of each part of a neck
NECKS = ("none", "only_fpn", "only_ssh", "fpn_ssh")
ACTS = {"relu": ("Relu", {}), "relu6": ("Clip", {"min": 0.0, "max": 6.0}), "hard_swish": ("HardSwish", {})}
LEAKY = ("LeakyRelu", {"alpha": 0.01})
LEVELS = ((8, (16, 24)), (16, (32, 48, 64, 80, 96, 128)))  # step and sides of the priors, in pixels
CLASSES = 2  # face, background
SIZE = 640  # the images that PaddleDetection trains on; any other will do
SUM_GAIN = 0.4  # on what closes a block's branch in the seeded weights, so that eleven sums stay of order one

SOURCE = Source(
    "BlazeFace: Sub-millisecond Neural Face Detection on Mobile GPUs, https://arxiv.org/abs/1907.05047",
    (
        Upstream("paddle", "PaddlePaddle/PaddleDetection", "ppdet/modeling/architectures/blazeface.py"),
        Upstream("torch", "ttjjmm/blazeface", "model/blazeface.py"),
    ),
)
CONTRACT = InputContract(
    "x", ("batch", 3, SIZE, SIZE), layout="NCHW", color="RGB",
    mean=(123.0, 117.0, 104.0), scale=(1 / 127.502231,) * 3,
)  # fmt: skip


def block_rows(spec: ArchitectureSpec) -> list[tuple[str, int, int, int | None, int]]:
    """Name, depthwise channels, (narrow) channels, channels of double blocks, and stride of every block."""
    rows: list[tuple[str, int, int, int | None, int]] = []
    for index, (middle, out, *stride) in enumerate(spec.options["blaze_filters"]):
        rows.append((f"backbone.blaze_.{index}", middle, out, None, stride[0] if stride else 1))
    for index, (middle, narrow, out, *stride) in enumerate(spec.options["double_blaze_filters"]):
        rows.append((f"backbone.double_blaze_.{index}", middle, narrow, out, stride[0] if stride else 1))
    return rows


def derive(spec: ArchitectureSpec) -> ArchitectureSpec:
    """The stages, and filters as tuples.

    Raises:
        UsageError: filters that no network can have.
    """
    rows = {name: tuple(tuple(row) for row in spec.options[name]) for name in ("blaze_filters", "double_blaze_filters")}
    spec = replace(spec, options={**spec.options, **rows})
    for name, lengths in (("blaze_filters", (2, 3)), ("double_blaze_filters", (3, 4))):
        wrong = [row for row in rows[name] if len(row) not in lengths]
        if wrong:
            raise UsageError(f"{spec.name}: a row of {name} has {lengths[0]} or {lengths[1]} numbers, not {wrong[0]}")
    blocks = block_rows(spec)
    if not rows["blaze_filters"] or len(blocks) < 4:
        raise UsageError(f"{spec.name}: it takes a row of blaze_filters at least, and four blocks in all")
    channels = rows["blaze_filters"][0][0]
    stages: list[Stage] = []
    size, widths = SIZE // 2, []
    for name, middle, narrow, double, stride in blocks:
        out = narrow if double is None else double
        if channels % middle or stride not in (1, 2) or (stride == 1 and channels != out):
            raise UsageError(
                f"{spec.name}: {name} cannot go from {channels} to {out} channels at stride {stride} with {middle} "
                "depthwise ones: these divide what goes in, and at stride 1 what goes in is added to what comes out"
            )
        size, channels = -(-size // stride), out
        widths.append(out)
        if stages and stages[-1].channels == out and stride == 1 and (double is None) == ("single" in stages[-1].name):
            stages[-1] = replace(stages[-1], units=stages[-1].units + 1)
        else:
            kind = "single" if double is None else "double"
            stages.append(Stage(f"{kind} blocks to {out} at {size}x{size}", 1, out, stride, size))
    neck = spec.options["neck_type"]
    if "fpn" in neck and widths[-4] != widths[-1]:
        raise UsageError(f"{spec.name}: the FPN takes two levels of one width, not of {widths[-4]} and {widths[-1]}")
    if "ssh" in neck and any(width // (2 if "fpn" in neck else 1) % 4 for width in (widths[-4], widths[-1])):
        raise UsageError(
            f"{spec.name}: SSH takes multiples of 4 channels, and the neck gets {widths[-4]}, {widths[-1]}"
        )
    return replace(spec, stages=tuple(stages))


def architecture(name: str, title: str, aliases: tuple[Alias, ...], **options: Any) -> ArchitectureSpec:
    """One of the two that PaddleDetection publishes weights of; each has all options."""
    defaults = {
        "blaze_filters": BLAZE_FILTERS,
        "double_blaze_filters": DOUBLE_BLAZE_FILTERS,
        "use_5x5kernel": True,
        "joined": False,
        "eps": None,
    }
    plain = ArchitectureSpec(
        name=name,
        family="blazeface",
        title=title,
        source=SOURCE,
        contracts={"torch": CONTRACT, "paddle": CONTRACT, "mxnet": replace(CONTRACT, name="data")},
        stages=(),
        options=defaults | options,
        eps={"torch": 1e-5, "paddle": 1e-5, "mxnet": 1e-5},
        aliases=aliases,
        any_size=True,
    )
    return derive(plain)


PLAIN = architecture(
    "blazeface",
    "BlazeFace of PaddleDetection: boxes and scores at strides 8 and 16, with priors",
    (Alias("blazeface_1000e"), Alias("paddledetection_blazeface", "paddle")),
    act="relu",
    neck_type="none",
)
FPN_SSH = architecture(
    "blazeface_fpn_ssh",
    "BlazeFace of PaddleDetection with FPN and SSH, hard swish in its double blocks",
    (Alias("blazeface_fpn_ssh_1000e"), Alias("paddledetection_blazeface_fpn_ssh", "paddle")),
    act="hard_swish",
    neck_type="fpn_ssh",
)


def patterns() -> Iterator[NamePattern]:
    """Both upstreams' names: neck, kernels and activation in that order, each where it is not the configuration's.

    PaddleDetection's configurations with a neck have hard_swish, that without has relu.
    """
    for framework, repository in (("paddle", "paddledetection"), ("torch", "ttjjmm"), (None, "")):
        prefix = f"{repository}_" if repository else ""
        for neck, kernel, act in product(NECKS, ("5x5", "3x3"), ("", "relu", "relu6", "hard_swish")):
            base = PLAIN if neck == "none" else FPN_SSH
            written = "" if neck == "none" else f"_{neck}"
            options: dict[str, Any] = {"neck_type": neck, "use_5x5kernel": kernel == "5x5"}
            if act:
                options["act"] = act
            if framework == "torch":
                options["joined"] = True
            kernels = "(_5x5kernel|_5x5)?" if kernel == "5x5" else "_(3x3kernel|3x3)"
            acts = f"(_act)?_{act}" if act else ""
            regex = f"{prefix}blazeface{written}({kernels}{acts}|{acts}{kernels})(_1000e)?"
            yield NamePattern(regex, base.name, framework, options)


def layers(spec: ArchitectureSpec) -> list[Layer]:
    """Every layer in forward order, the head's as the port lists them."""
    net = LayerList()
    act = spec.options["act"]
    own = None if act is None else LEAKY if act == "leaky" else ACTS[act]

    def conv_bn(
        name: str, x: str, channels: tuple[int, int], kernel: int, activation: Any = ("Relu", {}), *,
        stride: int = 1, group: int = 1, gain: float = 1.0,
    ) -> str:  # fmt: skip
        x = net.conv(f"{name}._conv", x, channels, kernel, stride=stride, pad=kernel // 2, group=group)
        x = net.batch_norm(f"{name}._batch_norm", x, channels[1], gain=gain)
        return x if activation is None else net.elementwise(f"{name}.act", activation[0], x, **activation[1])

    def depthwise(name: str, x: str, channels: tuple[int, int], stride: int = 1) -> str:
        group = channels[1]
        if spec.options["use_5x5kernel"]:
            return conv_bn(f"{name}.0", x, channels, 5, stride=stride, group=group)
        x = conv_bn(f"{name}_pair.0", x, channels, 3, group=group)
        return conv_bn(f"{name}_pair.1", x, (group, group), 3, stride=stride, group=group)

    def ssh(name: str, x: str, channels: int) -> str:
        half, quarter = channels // 2, channels // 4
        first = conv_bn(f"{name}.conv0_ssh", x, (channels, half), 3, None)
        second = conv_bn(f"{name}.conv1_ssh", first, (half, quarter), 3, LEAKY)
        second = conv_bn(f"{name}.conv2_ssh", second, (quarter, quarter), 3, None)
        third = conv_bn(f"{name}.conv3_ssh", second, (quarter, quarter), 3, LEAKY)
        third = conv_bn(f"{name}.conv4_ssh", third, (quarter, quarter), 3, None)
        return net.elementwise(name, "Relu", net.concat(f"{name}.concat", (first, second, third), axis=1))

    channels = spec.options["blaze_filters"][0][0]
    x = conv_bn("backbone.conv1", INPUT, (3, channels), 3, stride=2)
    outputs = []
    for name, middle, narrow, double, stride in block_rows(spec):
        out = narrow if double is None else double
        y = depthwise(f"{name}.conv_dw", x, (channels, middle), stride)
        if double is None:
            y = conv_bn(f"{name}.conv_pw", y, (middle, narrow), 1, None, gain=SUM_GAIN)
        else:
            y = conv_bn(f"{name}.conv_pw", y, (middle, narrow), 1, own)
            y = depthwise(f"{name}.conv_dw2", y, (narrow, narrow))
            y = conv_bn(f"{name}.conv_pw2", y, (narrow, double), 1, gain=SUM_GAIN)
        if stride == 2:
            x = net.max_pool(f"{name}._shortcut.0", x, 2, stride=2, ceil=True)
            x = conv_bn(f"{name}._shortcut.1", x, (channels, out), 1)
        x, channels = net.elementwise(name, "Relu", net.add(f"{name}.add", y, x)), out
        outputs.append((x, channels))
    (fine, width0), (coarse, width1) = outputs[-4], outputs[-1]
    neck = spec.options["neck_type"]
    if "fpn" in neck:
        half = width0 // 2
        fine = conv_bn("neck.fpn.conv1_fpn", fine, (width0, half), 1, LEAKY)
        coarse = conv_bn("neck.fpn.conv2_fpn", coarse, (width0, half), 1, LEAKY)
        enlarged = net.enlarge("neck.fpn.upsample", coarse, like=fine)
        fine = net.add("neck.fpn.add", fine, enlarged)
        fine, width0, width1 = conv_bn("neck.fpn.conv3_fpn", fine, (half, half), 3, LEAKY), half, half
    if "ssh" in neck:
        fine, coarse = ssh("neck.ssh1", fine, width0), ssh("neck.ssh2", coarse, width1)
    levels = [(fine, width0, *LEVELS[0]), (coarse, width1, *LEVELS[1])]
    convolved = {}
    for kind, numbers in (("boxes", 4), ("scores", CLASSES)):
        for level, (x, width, _, sizes) in enumerate(levels):
            shape = (width, len(sizes) * numbers)
            convolved[kind, level] = net.conv(f"blaze_head.{kind}.{level}", x, shape, 3, pad=1, bias=True)
    rows: dict[str, list[str]] = {"boxes": [], "scores": []}
    for (kind, level), x in convolved.items():
        last = net.channels_last(f"{kind}{level}.transpose", x)
        rows[kind].append(net.rows(f"{kind}{level}", last, 4 if kind == "boxes" else CLASSES))
    if spec.options["joined"]:
        net.concat("joined_boxes", rows["boxes"], axis=1)
        net.softmax("joined_scores", net.concat("joined_scores.concat", rows["scores"], axis=1))
        return net.layers
    for level, (x, _, step, sizes) in enumerate(levels):
        net.prior_boxes(f"priors{level}", x, INPUT, step, sizes)
    return net.layers


def build(spec: ArchitectureSpec, framework: str) -> Any:
    """The net in one framework, weights as initialised."""
    net = spec.net_module(framework)
    make = net.blazeface if framework == "mxnet" else net.BlazeFace
    names = ("blaze_filters", "double_blaze_filters", "use_5x5kernel", "act", "neck_type", "joined")
    return make(*(spec.options[name] for name in names), spec.eps_in(framework))


def torch_class(spec: ArchitectureSpec) -> TorchClass:
    """The constructor call that gives this architecture in ``net_torch.py``."""
    usual: dict[str, Any] = {"blaze_filters": BLAZE_FILTERS, "double_blaze_filters": DOUBLE_BLAZE_FILTERS}
    usual |= {"use_5x5kernel": True, "act": "relu", "neck_type": "none", "joined": False}
    given = [f"{name}={spec.options[name]!r}" for name, value in usual.items() if spec.options[name] != value]
    return TorchClass("BlazeFace", ", ".join(given))


def candidates(skeleton: Skeleton) -> Iterator[ArchitectureSpec]:
    """The networks with as many convolutions, BatchNorms and outputs, for the channels that the graph has."""
    found = len(skeleton.outputs)
    if found not in (2, 6):
        return
    for base, neck, wide in product((PLAIN, FPN_SSH), NECKS, (True, False)):
        if (neck == "none") != (base is PLAIN):
            continue
        spec = base.with_options(neck_type=neck, use_5x5kernel=wide, joined=found == 2)
        kernels: Sequence[Layer] = [layer for layer in spec.layers() if layer.op == "Conv"]
        if len(kernels) == skeleton.count("Conv").total():
            for act in (*ACTS, "leaky", None):
                yield spec.with_options(act=act)


def told(view: StateView) -> Iterator[ArchitectureSpec]:
    """The network whose rows, kernels and neck are those of a state; its activations leave no trace."""
    dw, wide = ".conv_dw.0", True
    if not view.has(f"backbone.blaze_.0{dw}._conv"):
        dw, wide = ".conv_dw_pair.0", False
    filters: dict[str, list[tuple[int, ...]]] = {"blaze_": [], "double_blaze_": []}
    for kind, ends in (("blaze_", ("conv_pw",)), ("double_blaze_", ("conv_pw", "conv_pw2"))):
        for layer in view.numbered(f"backbone.{kind}.{{}}{dw}._conv"):
            block = layer.removesuffix(f"{dw}._conv")
            widths = (view.kernel(layer)[0], *(view.kernel(f"{block}.{end}._conv")[0] for end in ends))
            filters[kind].append((*widths, 2) if view.has(f"{block}._shortcut.1._conv") else widths)
    parts = [part for part in ("fpn", "ssh") if view.has(f"neck.{part}{NECK_LAYERS[part]}._conv")]
    neck = "none" if not parts else "fpn_ssh" if len(parts) > 1 else f"only_{parts[0]}"
    yield (FPN_SSH if parts else PLAIN).with_options(
        blaze_filters=tuple(filters["blaze_"]), double_blaze_filters=tuple(filters["double_blaze_"]),
        use_5x5kernel=wide, neck_type=neck,
    )  # fmt: skip


FAMILY = Family(
    name="blazeface",
    architectures=(PLAIN, FPN_SSH),
    layers=layers,
    names=NAMES,
    build=build,
    candidates=candidates,
    torch_class=torch_class,
    patterns=tuple(patterns()),
    derive=derive,
    told=told,
)

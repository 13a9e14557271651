"""InsightFace's MXNet ``fresnet`` with all its options: depth, unit, input, output, activation, squeeze and excitation.

The network with unit 3, input 1, output E and PReLU is LResNet-E-IR. At 18, 34, 50 and 100 layers that is the family
``iresnet``, whose names PyTorch and Paddle know; everything else is here.

    unit 3    bn - conv - bn - act - conv/s - bn, plus shortcut          input 1  3x3 at stride 1 on scaled pixels
    unit 1    conv - bn - act - conv/s - bn, plus shortcut, act          input 0  7x7 at stride 2 on scaled pixels
    unit 2    bn - act - conv/s - bn - act - conv, plus shortcut         input 2  3x3 behind a BatchNorm of the pixels

``revision`` "2018" has bottleneck units of four times the width from 101 layers on (1x1 - 3x3 - 1x1) and the outputs A
to D, and always PReLU in the output; "arcface_mxnet" is the later one. ``mxnet_outputs.py`` lists the outputs.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from facecvt.converters.contract import InputContract
from facecvt.converters.errors import UsageError
from facecvt.reference_models.fresnet.listing import layers
from facecvt.reference_models.fresnet.names import NAMES
from facecvt.reference_models.fresnet.recognition import candidates
from facecvt.reference_models.fresnet.spelling import named
from facecvt.reference_models.fresnet.told import told
from facecvt.reference_models.fresnet.variants import (
    BOTTLENECK_FROM,
    LATER_DEPTHS,
    UNITS,
    architecture_name,
    depth_of,
    is_bottleneck,
    last_map,
    map_sizes,
    widths,
)
from facecvt.reference_models.iresnet.spec import UNITS as IRESNET_UNITS
from facecvt.reference_models.mxnet_outputs import DROPOUT, OUTPUTS_OF_2018, POOLED_DROPOUT, misfit
from facecvt.reference_models.spec import Alias, ArchitectureSpec, Family, Source, Stage, TorchClass, Upstream

SOURCE = Source(
    "ArcFace: Additive Angular Margin Loss for Deep Face Recognition, https://arxiv.org/abs/1801.07698",
    (
        Upstream("mxnet", "deepinsight/insightface", "recognition/arcface_mxnet/symbol/fresnet.py"),
        Upstream("mxnet", "deepinsight/insightface", "src/symbols/fresnet.py"),
    ),
)
EPS = 2e-5


def derive(spec: ArchitectureSpec) -> ArchitectureSpec:
    """Stages and contracts that follow from the options.

    Raises:
        UsageError: options that upstream has no network for.
    """
    given, depth = spec.options, depth_of(spec)
    refusal = None
    if given["revision"] == "2018" and depth in LATER_DEPTHS:
        refusal = f"the revision of 2018 has no {depth} layers"
    elif given["revision"] == "2018" and given["output"] == "SFC":
        refusal = "output SFC is not in the revision of 2018"
    elif given["revision"] != "2018" and given["output"] in OUTPUTS_OF_2018:
        refusal = f"output {given['output']} is in the revision of 2018 alone"
    elif given["normalize"] and given["output"] == "Z":
        refusal = "output Z is a map, which has no length"
    channels, size = last_map(spec)
    refusal = refusal or misfit(given["output"], channels, size, given["embedding_size"])
    if given["output"] in ("A", "AX", "Z"):
        if given["embedding_size"] not in (512, channels):
            refusal = refusal or f"output {given['output']} has the last map's {channels} channels"
        given = {**given, "embedding_size": channels}
    if refusal is not None:
        raise UsageError(f"{spec.name}: {refusal}")
    shape = ("batch", 3, given["input_size"], given["input_size"])
    raw = given["input"] == 2
    contract = InputContract(
        "x", shape, layout="NCHW", color="RGB", mean=(0.0 if raw else 127.5,), scale=(1.0 if raw else 0.0078125,)
    )
    return replace(
        spec,
        options=given,
        stages=tuple(
            Stage(f"layer{index}", count, width, 2, edge)
            for index, (count, width, edge) in enumerate(
                zip(UNITS[depth], widths(spec), map_sizes(given["input"], given["input_size"]), strict=True), start=1
            )
        ),
        contracts={
            "torch": contract,
            "paddle": contract,
            "mxnet": replace(contract, name="data", in_graph=not raw),
        },
    )


def upstream_aliases(depth: int) -> tuple[Alias, ...]:
    """What upstream calls the network of this depth, where that is not the family iresnet's."""
    names = [] if IRESNET_UNITS.get(depth) == UNITS[depth] else [f"LResNet{depth}E-IR", f"fresnet_r{depth}"]
    aliases = [Alias(name, "mxnet") for name in names]
    if depth >= BOTTLENECK_FROM and depth not in LATER_DEPTHS:
        # with their units, because a bare state is told by what its upstream names stand for
        aliases.append(Alias(f"fresnet2018_r{depth}", "mxnet", {"revision": "2018"}))
        aliases += [
            Alias(f"fresnet2018_r{depth}_unit{unit}", "mxnet", {"revision": "2018", "unit": unit}) for unit in (1, 2)
        ]
    return tuple(aliases)


def architecture(depth: int) -> ArchitectureSpec:
    """One depth with the options of LResNet-E-IR."""
    return derive(
        ArchitectureSpec(
            name=architecture_name(depth),
            family="fresnet",
            title=f"LResNet{depth}-IR of MXNet, with every unit, input and output",
            source=SOURCE,
            contracts={},
            stages=(),
            options={
                # in the order in which a bare state is asked for them: what the others depend on first
                "unit": 3,
                "revision": "arcface_mxnet",
                "input": 1,
                "se": False,
                "activation": "prelu",
                "output": "E",
                "embedding_size": 512,
                "input_size": 112,
                "normalize": False,
                "eps": None,
                "dropout": None,
            },
            eps={"torch": EPS, "paddle": EPS, "mxnet": EPS},
            aliases=upstream_aliases(depth),
        )
    )


def dropout(spec: ArchitectureSpec) -> float:
    """The probability of the output's dropout, where it has one."""
    upstream = POOLED_DROPOUT if spec.options["output"].endswith("X") else DROPOUT
    return float(upstream if spec.options["dropout"] is None else spec.options["dropout"])


def build(spec: ArchitectureSpec, framework: str) -> Any:
    """The net in one framework, weights as initialised."""
    net = spec.net_module(framework)
    arguments = constructor(spec) | {
        "units": UNITS[depth_of(spec)],
        "dropout": dropout(spec),
        "epsilon" if framework == "paddle" else "eps": spec.eps_in(framework),
    }
    if framework == "mxnet":
        return net.fresnet(**{net.UPSTREAM.get(name, name): value for name, value in arguments.items()})
    return net.FResNet(**arguments)


def constructor(spec: ArchitectureSpec) -> dict[str, Any]:
    """What the constructors take of the options, where it is not their default."""
    given = spec.options
    size = last_map(spec)[1]
    wanted = {
        "embedding_size": (spec.embedding_size, 512),
        "unit": (given["unit"], 3),
        "input": (given["input"], 1),
        "output": (given["output"], "E"),
        "se": (given["se"], False),
        "activation": (given["activation"], "prelu"),
        "output_activation": (output_activation(spec), given["activation"]),
        "bottleneck": (is_bottleneck(spec), False),
        "last_size": (size, 7),
        "normalize": (spec.normalised, False),
    }
    return {name: value for name, (value, default) in wanted.items() if value != default}


def output_activation(spec: ArchitectureSpec) -> str:
    """The activations of the output: PReLU in 2018, whatever those of the units are."""
    return "prelu" if spec.options["revision"] == "2018" else str(spec.options["activation"])


def torch_class(spec: ArchitectureSpec) -> TorchClass:
    """The constructor call that gives this architecture in ``net_torch.py``."""
    arguments = {"units": UNITS[depth_of(spec)]} | constructor(spec)
    return TorchClass("FResNet", ", ".join(f"{name}={value!r}" for name, value in arguments.items()))


ARCHITECTURES = tuple(architecture(depth) for depth in UNITS)

FAMILY = Family(
    name="fresnet",
    architectures=ARCHITECTURES,
    layers=layers,
    names=NAMES,
    build=build,
    candidates=candidates,
    torch_class=torch_class,
    derive=derive,
    named=named,
    told=told,
)

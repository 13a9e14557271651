"""What a reference architecture declares about itself, and the register of all that there are.

    Family            one folder of reference_models: its architectures, its names, its three nets
      Architecture    ArchitectureSpec: one net of the family with its options, input contract, stages and source
        Alias         another name of it, perhaps that of one upstream, with that upstream's options

A family is found by being there: a sub-package whose ``spec.py`` has a ``FAMILY``. Nothing here imports a
framework.
"""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import pkgutil
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import TYPE_CHECKING, Any

from facecvt.converters.contract import InputContract
from facecvt.converters.errors import UsageError
from facecvt.reference_models.layers import Layer
from facecvt.reference_models.mxnet_outputs import ACTIVATIONS, OUTPUTS, OUTPUTS_OF_2018
from facecvt.reference_models.naming import FRAMEWORKS, FrameworkNames

if TYPE_CHECKING:
    from facecvt.reference_models.skeleton import Skeleton
    from facecvt.reference_models.state_view import StateView


@dataclass(frozen=True)
class Upstream:
    """Where an architecture was published.

    Attributes:
        framework: the framework it is written in there.
        repository: owner/name on GitHub.
        path: of the file that defines it.
    """

    framework: str
    repository: str
    path: str


@dataclass(frozen=True)
class Source:
    """Paper (title and address) and the implementations that define the architecture."""

    paper: str
    upstreams: tuple[Upstream, ...]


@dataclass(frozen=True)
class Stage:
    """One run of equal units: how many, the channels they put out, stride of the first, height = width behind it."""

    name: str
    units: int
    channels: int
    stride: int
    size: int


@dataclass(frozen=True)
class Alias:
    """Another name.

    Attributes:
        name: as its users write it; compared without case.
        framework: the framework of the upstream that has this name, None for a name of no framework.
        options: what that upstream sets otherwise than the architecture's defaults.
    """

    name: str
    framework: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class NamePattern:
    """Upstream names with a number inside, such as ``fresnet_r50_emb256``.

    Attributes:
        regex: must match the whole lower-case name; named groups other than ``architecture`` are integer options.
        architecture: template of the architecture's name for ``re.Match.expand``.
        framework: as in Alias.
        options: as in Alias.
    """

    regex: str
    architecture: str
    framework: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class ArchitectureSpec:
    """One architecture, fully determined by its name and options.

    Attributes:
        name: the name that ``names()`` lists.
        family: folder under reference_models.
        title: one line for tables.
        source: paper and upstreams.
        contracts: framework -> what that framework's net expects to be fed.
        stages: the residual or bottleneck stages in order.
        options: every option with its value; ``with_options`` checks and replaces them. ``embedding_size`` and
            ``normalize`` are structure; ``eps`` and ``dropout`` are None for each upstream's own value.
        eps: framework -> BatchNorm eps of that framework's upstream.
        aliases: other names.
        any_size: True where the net takes images of other heights and widths than the contracts' as well.
    """

    name: str
    family: str
    title: str
    source: Source
    contracts: Mapping[str, InputContract]
    stages: tuple[Stage, ...]
    options: Mapping[str, Any]
    eps: Mapping[str, float]
    aliases: tuple[Alias, ...] = ()
    any_size: bool = False

    @property
    def embedding_size(self) -> int:
        """Length of the output vector: of the embedding, or the number of classes of a classifier; 0 of a detector."""
        return int(self.options.get("embedding_size", self.options.get("num_classes", 0)))

    @property
    def normalised(self) -> bool:
        """True where the output has length 1."""
        return bool(self.options.get("normalize", False))

    def with_options(self, **options: Any) -> ArchitectureSpec:
        """The same architecture with other options.

        Raises:
            UsageError: an option that it does not have, or a value of another type.
        """
        for name, value in options.items():
            if name not in self.options:
                raise UsageError(f"{self.name} has no option {name!r}; it has {', '.join(sorted(self.options))}")
            wanted, accepts = OPTION_VALUES[name]
            if not accepts(value):
                raise UsageError(f"{self.name}: option {name} cannot be {value!r}; it is {wanted}")
        changed = replace(self, options={**self.options, **options})
        derive = families()[self.family].derive
        return changed if derive is None else derive(changed)

    def layers(self) -> list[Layer]:
        """Its layers in forward order."""
        return families()[self.family].layers(self)

    def names(self, framework: str) -> FrameworkNames:
        """How one framework's net names them."""
        names = families()[self.family].names
        return (names(self) if callable(names) else names)[known_framework(framework)]

    def net_module(self, framework: str) -> Any:
        """The family's ``net_<framework>.py``; this imports the framework."""
        return importlib.import_module(f"facecvt.reference_models.{self.family}.net_{known_framework(framework)}")

    def eps_in(self, framework: str) -> float:
        """The BatchNorm eps of the net in a framework: the option's, where that is None the upstream's."""
        return float(self.eps[framework] if self.options["eps"] is None else self.options["eps"])

    def parameter_count(self) -> int:
        """Trainable numbers: everything but running statistics."""
        return sum(layer.parameter_count for layer in self.layers())


def _number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _rows_of_counts(value: object) -> bool:
    return isinstance(value, (list, tuple)) and all(
        isinstance(row, (list, tuple)) and row and all(_count(item) for item in row) for row in value
    )


# option -> what it is, and whether a value is that
OPTION_VALUES: Mapping[str, tuple[str, Callable[[Any], bool]]] = {
    "embedding_size": ("a whole number above 0", _count),
    "num_classes": ("a whole number above 0", _count),
    "alpha": ("a factor above 0", lambda value: _number(value) and value > 0),
    "scale": ("a whole number above 0", _count),
    "multiplier": ("a factor above 0", lambda value: _number(value) and value > 0),
    "output": (
        f"{', '.join(OUTPUTS)}, or of 2018 {', '.join(OUTPUTS_OF_2018)}",
        lambda value: value in (*OUTPUTS, *OUTPUTS_OF_2018),
    ),
    "se": ("True or False", lambda value: isinstance(value, bool)),
    "unit": ("1, 2 or 3", lambda value: _count(value) and value <= 3),
    "input": ("0, 1 or 2", lambda value: value in (0, 1, 2) and not isinstance(value, bool)),
    "activation": (f"one of {', '.join(ACTIVATIONS)}", lambda value: value in ACTIVATIONS),
    "revision": ("2018 or arcface_mxnet", lambda value: value in ("2018", "arcface_mxnet")),
    "blocks": (
        "four whole numbers above 0",
        lambda value: isinstance(value, tuple) and len(value) == 4 and all(_count(item) for item in value),
    ),
    "fc_type": ("E, FC or Z", lambda value: value in ("E", "FC", "Z")),
    "setting": (
        "rows of expansion, channels, bottlenecks, stride of the first",
        lambda value: (
            isinstance(value, (list, tuple))
            and len(value) > 0
            and all(isinstance(row, (list, tuple)) and len(row) == 4 and all(map(_count, row)) for row in value)
        ),
    ),
    "width": ("1, 0.9, 0.75 or 0.6", lambda value: _number(value) and value in (1, 0.9, 0.75, 0.6)),
    "arch": (
        "fifteen codes from 0 to 5",
        lambda value: (
            isinstance(value, (list, tuple))
            and len(value) == 15
            and all(isinstance(code, int) and not isinstance(code, bool) and 0 <= code <= 5 for code in value)
        ),
    ),
    "relu": ("True or False", lambda value: isinstance(value, bool)),
    "fp16": ("True or False", lambda value: isinstance(value, bool)),
    "static": ("True or False", lambda value: isinstance(value, bool)),
    "narrow_last": ("True or False", lambda value: isinstance(value, bool)),
    "normalize": ("True or False", lambda value: isinstance(value, bool)),
    "groups": ("a whole number above 0", _count),
    "width_per_group": ("a whole number above 0", _count),
    "zero_init_residual": ("True or False", lambda value: isinstance(value, bool)),
    "replace_stride_with_dilation": (
        "three times True or False, or None for never",
        lambda value: (
            value is None
            or (isinstance(value, (list, tuple)) and len(value) == 3 and all(isinstance(item, bool) for item in value))
        ),
    ),
    "norm_layer": (
        "a function of the framework that is built, or None",
        lambda value: value is None or callable(value),
    ),
    "eps": (
        "a number above 0, or None for the upstream's",
        lambda value: value is None or (_number(value) and value > 0),
    ),
    "blaze_filters": ("rows of whole numbers above 0", _rows_of_counts),
    "double_blaze_filters": ("rows of whole numbers above 0", _rows_of_counts),
    "use_5x5kernel": ("True or False", lambda value: isinstance(value, bool)),
    "act": (
        "relu, relu6, leaky, hard_swish or None",
        lambda value: value in ("relu", "relu6", "leaky", "hard_swish", None),
    ),
    "neck_type": (
        "none, only_fpn, only_ssh or fpn_ssh",
        lambda value: value in ("none", "only_fpn", "only_ssh", "fpn_ssh"),
    ),
    "joined": ("True or False", lambda value: isinstance(value, bool)),
    "input_size": ("112 or 224", lambda value: _number(value) and value in (112, 224)),
    "dropout": (
        "a probability from 0 to below 1, or None for the upstream's",
        lambda value: value is None or (_number(value) and 0 <= value < 1),
    ),
}


@dataclass(frozen=True)
class TorchClass:
    """How the PyTorch net of an architecture is made, for a ``model.py`` that holds its class.

    Attributes:
        name: class in the family's ``net_torch.py``.
        arguments: Python source of the constructor's arguments.
    """

    name: str
    arguments: str


@dataclass(frozen=True)
class Family:
    """What one folder of reference_models provides.

    Attributes:
        name: the folder's name.
        architectures: all of them, with their default options.
        layers: lists the layers of one of them.
        names: framework -> names of its net; a function of the architecture where its options have a say in them.
        build: (architecture, framework) -> a torch module, a Paddle layer or an MXNet symbol, weights as initialised.
        candidates: which of its architectures, with which options, a graph with this skeleton could be; few are
            enough, since each is then compared in full.
        torch_class: the class of ``net_torch.py`` with the arguments of one of them.
        patterns: upstream names with numbers inside.
        derive: sets what else follows from an architecture's options, such as its contracts and stages.
        named: what a lower-case name stands for that no pattern can read, as an architecture and an alias of it.
        told: which of its architectures, with which options, a state's keys and shapes tell, the plainest first; each
            is then compared in full. May raise LookupError or ValueError, or yield nothing, for what is none of them.
            None where trying (state_options.py) finds the options.
        alike: other options of a net that give the same keys and shapes, where the values of an option are too many
            to be tried; the likeliest first.
    """

    name: str
    architectures: tuple[ArchitectureSpec, ...]
    layers: Callable[[ArchitectureSpec], list[Layer]]
    names: Mapping[str, FrameworkNames] | Callable[[ArchitectureSpec], Mapping[str, FrameworkNames]]
    build: Callable[[ArchitectureSpec, str], Any]
    candidates: Callable[[Skeleton], Iterable[ArchitectureSpec]]
    torch_class: Callable[[ArchitectureSpec], TorchClass]
    patterns: Sequence[NamePattern] = ()
    derive: Callable[[ArchitectureSpec], ArchitectureSpec] | None = None
    named: Callable[[str], tuple[str, Alias] | None] | None = None
    told: Callable[[StateView], Iterable[ArchitectureSpec]] | None = None
    alike: Callable[[ArchitectureSpec], Iterable[Mapping[str, Any]]] | None = None


@dataclass(frozen=True)
class Resolved:
    """What a name that somebody typed stands for.

    Attributes:
        asked: the name as typed.
        architecture: with the options that the name implies.
        framework: the framework of the upstream that has this name, None for a name of no framework.
    """

    asked: str
    architecture: ArchitectureSpec
    framework: str | None


@cache
def families() -> dict[str, Family]:
    """Every family by name: the sub-packages of reference_models."""
    import facecvt.reference_models as package

    found: dict[str, Family] = {}
    for module in pkgutil.iter_modules(package.__path__):
        declared = f"{package.__name__}.{module.name}.spec"
        # a folder without one is no family yet, and that of the margin heads declares none
        if module.ispkg and importlib.util.find_spec(declared) is not None:
            family = getattr(importlib.import_module(declared), "FAMILY", None)
            if family is not None:
                found[module.name] = family
    return found


@cache
def architectures() -> dict[str, ArchitectureSpec]:
    """Every architecture by name, with its default options."""
    return {arch.name: arch for family in families().values() for arch in family.architectures}


def known_framework(framework: str) -> str:
    """The framework's name, or a UsageError that lists those with reference nets."""
    if framework not in FRAMEWORKS:
        raise UsageError(f"no reference nets are written in {framework!r}; choose one of {', '.join(FRAMEWORKS)}")
    return framework


@cache
def _spellings() -> dict[str, Resolved]:
    spellings: dict[str, Resolved] = {}
    for architecture in architectures().values():
        for alias in (Alias(architecture.name), *architecture.aliases):
            key = alias.name.lower()
            if key in spellings:
                raise ValueError(f"the name {key!r} stands for two reference architectures")
            spellings[key] = Resolved(alias.name, architecture.with_options(**alias.options), alias.framework)
    return spellings


def resolve_name(name: str) -> Resolved:
    """What a name stands for; see :func:`facecvt.reference_models.resolve`."""
    key = name.strip().lower()
    exact = _spellings().get(key)
    if exact is not None:
        return replace(exact, asked=name)
    for family in families().values():
        read = family.named(key) if family.named is not None else None
        if read is not None:
            return Resolved(name, architectures()[read[0]].with_options(**read[1].options), read[1].framework)
        for pattern in family.patterns:
            match = re.fullmatch(pattern.regex, key)
            architecture = architectures().get(match.expand(pattern.architecture)) if match else None
            if match and architecture is not None:
                numbers = {group: int(text) for group, text in match.groupdict().items() if text is not None}
                return Resolved(name, architecture.with_options(**pattern.options, **numbers), pattern.framework)
    near = difflib.get_close_matches(key, _spellings(), n=4, cutoff=0.5)
    shown = [_spellings()[spelling].asked for spelling in near]
    hint = f" Did you mean {' or '.join(shown)}?" if shown else f" There are {', '.join(architectures())}."
    raise UsageError(f"no reference architecture is called {name!r}.{hint} `facecvt models` lists them all.")

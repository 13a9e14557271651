"""How each framework spells a parameter of a layer.

    framework   separator   scale    shift   mean           variance       slope     weight   bias
    torch       .           weight   bias    running_mean   running_var    weight    weight   bias
    paddle      .           weight   bias    _mean          _variance      _weight   weight   bias
    mxnet       _           gamma    beta    moving_mean    moving_var     gamma     weight   bias

Paddle stores the weight of a Linear as (in, out), the other two as (out, in). What a family adds to this, the names of
its layers, is data in ``<family>/names.py``; so are other endings, where an upstream names tensors, not modules.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from facecvt.reference_models.layers import Layer, Parameter

FRAMEWORKS = ("torch", "paddle", "mxnet")

_PLAIN = {"weight": "weight", "bias": "bias"}
LEAVES: Mapping[str, Mapping[str, str]] = {
    "torch": _PLAIN
    | {"scale": "weight", "shift": "bias", "mean": "running_mean", "variance": "running_var", "slope": "weight"},
    "paddle": _PLAIN
    | {"scale": "weight", "shift": "bias", "mean": "_mean", "variance": "_variance", "slope": "_weight"},
    "mxnet": _PLAIN
    | {"scale": "gamma", "shift": "beta", "mean": "moving_mean", "variance": "moving_var", "slope": "gamma"},
}
SEPARATORS = {"torch": ".", "paddle": ".", "mxnet": "_"}
COUNTER = "num_batches_tracked"  # a torch BatchNorm's buffer that has no partner elsewhere


@dataclass(frozen=True)
class RenameRules:
    """Canonical layer names to another spelling, as data.

    Attributes:
        rules: pairs of a regular expression that must match the whole name and a replacement: a template for
            ``re.Match.expand``, or a function of the match. The first rule that matches counts.
    """

    rules: Sequence[tuple[str, str | Callable[[re.Match[str]], str]]]

    def __call__(self, name: str) -> str:
        """The other spelling of one layer's name; KeyError where no rule matches."""
        for pattern, replacement in self.rules:
            match = re.fullmatch(pattern, name)
            if match:
                return match.expand(replacement) if isinstance(replacement, str) else replacement(match)
        raise KeyError(f"no name rule for layer {name!r}")


def same(name: str) -> str:
    """The name itself: the framework keeps the canonical module paths."""
    return name


@dataclass(frozen=True)
class FrameworkNames:
    """How one framework's net of a family names things.

    Attributes:
        framework: torch, paddle or mxnet.
        layer: canonical layer name -> the framework's layer, for layers with parameters.
        taps: the listing -> canonical layer name -> what to ask the framework for to see the layer's output: a module
            path (torch, paddle) or an internal output (mxnet). Layers whose output has no name there are left out.
        feeds: the listing -> canonical layer name -> path of the module that is fed the layer's output alone, for
            layers that no module of their own puts out, such as a sum in front of a ReLU; None where there are none.
        order: the listing -> its layers as the net's state lists them; None where that is the forward order. A layer
            that is there twice is twice in the state, the second time under its ``twin`` name.
        twin: canonical layer name -> the second name of the framework's layer, where there are layers with two.
        endings: role -> what follows the layer's name in a parameter's, separator included; None for the framework's
            own endings.
        wide_slopes: True where slopes are stored as (1, C, 1, 1).
    """

    framework: str
    layer: Callable[[str], str]
    taps: Callable[[Sequence[Layer]], dict[str, str]]
    order: Callable[[Sequence[Layer]], Sequence[Layer]] | None = None
    twin: Callable[[str], str] | None = None
    endings: Mapping[str, str] | None = None
    wide_slopes: bool = False
    feeds: Callable[[Sequence[Layer]], dict[str, str]] | None = None

    def ordered(self, layers: Sequence[Layer]) -> Sequence[Layer]:
        """The layers in the order of the net's state."""
        return layers if self.order is None else self.order(layers)

    def parameter(self, layer: Layer, parameter: Parameter, *, twin: bool = False) -> str:
        """The parameter's name in the framework's state; its second one where ``twin``."""
        if twin and self.twin:
            return self.twin(layer.name) + self.ending(parameter.role)
        return self.key(layer.name, parameter.role)

    def key(self, layer: str, role: str) -> str:
        """The name in the framework's state of what a layer, by its canonical name, has in a role."""
        return self.layer(layer) + self.ending(role)

    def ending(self, role: str) -> str:
        """What follows a layer's name in that of its parameter, separator included."""
        if self.endings is not None:
            return self.endings[role]
        return f"{SEPARATORS[self.framework]}{LEAVES[self.framework][role]}"

    def stored_shape(self, layer: Layer, parameter: Parameter) -> tuple[int, ...]:
        """The shape in which the framework stores the canonical array."""
        if self.wide_slopes and parameter.role == "slope":
            return (1, *parameter.shape, 1, 1)
        return parameter.shape[::-1] if self.transposed(layer, parameter) else parameter.shape

    def transposed(self, layer: Layer, parameter: Parameter) -> bool:
        """True where the framework stores the transpose of the canonical array."""
        return self.framework == "paddle" and layer.op == "Gemm" and parameter.role == "weight"

    def counter(self, layer: Layer) -> str | None:
        """Name of the int64 scalar that counts training steps, None where the layer has none."""
        if self.framework == "torch" and layer.op == "BatchNormalization":
            return f"{self.layer(layer.name)}.{COUNTER}"
        return None

"""What a margin head is: its options with their defaults, and the logits that follow from them.

With features z (N, D) and class centres w (C, D), both brought to length 1, c = z . w and theta = arccos c, the logits
of the other classes are s c; softmax alone keeps the lengths. The target class's logit is each head's ``target``:
see HEADS.

sphereface: the combined form, which falls again beyond pi / m1. adaface: q = clip(h (|z| - mean) / (std + 1e-3), -1,
1), |z| limited to [1e-3, 100] and without gradient; mean and std (unbiased) of the batch enter moving averages,
new = t_alpha batch + (1 - t_alpha) old, before they are used, in every forward pass. ffc: loss types AM, Arc and SV;
SV turns every cosine above the target's minus m into f c + f - 1. Its loss adds, over the rows without class, the mean
of the greatest cosines as far as they are positive.

The loss is the mean softmax cross-entropy of the logits over the rows with a class; label -1 means none. Options are
explained at OPTIONS. What each upstream sets is in upstreams.py.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from facecvt.converters.errors import UsageError
from facecvt.reference_models.heads.names import CENTRES, COLUMNS, LAYOUTS, ROWS
from facecvt.reference_models.spec import known_framework


@dataclass(frozen=True)
class HeadSpec:
    """One head, fully determined by its name and options.

    Attributes:
        name: the name that ``head_names()`` lists.
        title: one line for tables.
        kind: which class of the nets it is: several heads are one form with other margins.
        target: the logit of the target class, in the letters of this file's docstring and of OPTIONS.
        paper: title and address; None for what has none of its own.
        options: every option with its value.
        upstream: the published code whose conventions the options follow, None for the definition itself.
    """

    name: str
    title: str
    kind: str
    target: str
    paper: str | None
    options: Mapping[str, Any]
    upstream: str | None = None

    def with_options(self, **options: Any) -> HeadSpec:
        """The same head with other options.

        Raises:
            UsageError: an option that it does not have, or a value that the option cannot take.
        """
        for name, value in options.items():
            if name not in self.options:
                raise UsageError(f"head {self.name} has no option {name!r}; it has {', '.join(sorted(self.options))}")
            meaning, accepts = OPTIONS[name]
            if not accepts(value):
                raise UsageError(f"head {self.name}: option {name} cannot be {value!r}; it is {meaning}")
        return replace(self, options={**self.options, **options})

    def layout(self, framework: str) -> str:
        """How the framework's net stores the class centres: "rows" (classes, D) or "columns" (D, classes)."""
        chosen = self.options["layout"]
        return str(chosen) if chosen is not None else LAYOUTS[known_framework(framework)]

    def centres_name(self, framework: str) -> str:
        """What the framework's net calls the class centres."""
        chosen = self.options["parameter"]
        return str(chosen) if chosen is not None else CENTRES[known_framework(framework)]


def _number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _positive(value: object) -> bool:
    return isinstance(value, (int, float)) and _number(value) and value > 0


def _small(value: object) -> bool:
    return isinstance(value, (int, float)) and _number(value) and 0 <= value < 1


def _or_none(accepts: Callable[[object], bool]) -> Callable[[object], bool]:
    return lambda value: value is None or accepts(value)


# option -> what it is, and whether a value is that
OPTIONS: Mapping[str, tuple[str, Callable[[Any], bool]]] = {
    "scale": ("s, a number above 0", _positive),
    "margin": ("m, a number", _number),
    "m1": ("the factor on the angle, a number above 0", _positive),
    "m2": ("the number added to the angle", _number),
    "m3": ("the number taken off the cosine", _number),
    "h": ("AdaFace's concentration, a number above 0", _positive),
    "t_alpha": ("weight of the batch in the moving averages, above 0 up to 1", lambda v: _positive(v) and v <= 1),
    "formula": (
        'how cos(theta + m) is computed: "angle" by arccos, "sum" as c cos m - sin theta sin m',
        lambda value: value in ("angle", "sum"),
    ),
    "sine_eps": ("what the sum formula adds inside sin = sqrt(1 - c^2 + sine_eps)", _small),
    "gradient": (
        'of the margin: "true" differentiates it, "straight" passes the gradient through as if it were not there',
        lambda value: value in ("true", "straight"),
    ),
    "clamp": ("cosines are limited to +-(1 - clamp); None does not limit them", _or_none(_small)),
    "angle_clip": ("the target's angle is limited to [angle_clip, pi - angle_clip]; None: not", _or_none(_small)),
    "fallback": (
        'beyond a threshold: "linear" c - m sin m where c <= -cos m, "easy" c where c <= 0, None nothing else',
        lambda value: value in (None, "linear", "easy"),
    ),
    "interclass_threshold": ("cosines of other classes above it count as 0; None for none", _or_none(_number)),
    "loss_type": ("AM, Arc or SV", lambda value: value in ("AM", "Arc", "SV")),
    "hard_negatives": (
        "how many of the greatest cosines of a row without class count, a whole number above 0",
        lambda value: isinstance(value, int) and _positive(value),
    ),
    "sv_factor": ("f of loss type SV, a number above 0", _positive),
    "length_eps": ("what is added inside the root of a length", _small),
    "loss_clip": (
        "logits count as at most this much below their row's greatest, in the loss's value alone, or None",
        _or_none(_positive),
    ),
    "layout": ("rows, columns, or None for the framework's own", lambda value: value in (None, ROWS, COLUMNS)),
    "parameter": ("name of the class centres, or None for the framework's own", _or_none(lambda v: isinstance(v, str))),
}

# kind -> class of net_torch.py and net_paddle.py; the functions of net_mxnet.py have the kind's own name
CLASSES = {
    "softmax": "Softmax",
    "arcface": "ArcFace",
    "cosface": "CosFace",
    "combined": "CombinedMargin",
    "adaface": "AdaFace",
    "ffc": "FfcMargin",
}

ARCFACE = "ArcFace: Additive Angular Margin Loss for Deep Face Recognition, https://arxiv.org/abs/1801.07698"
COSFACE = "CosFace: Large Margin Cosine Loss for Deep Face Recognition, https://arxiv.org/abs/1801.09414"
SPHEREFACE = "SphereFace: Deep Hypersphere Embedding for Face Recognition, https://arxiv.org/abs/1704.08063"
NORMFACE = "NormFace: L2 Hypersphere Embedding for Face Verification, https://arxiv.org/abs/1704.06369"
ADAFACE = "AdaFace: Quality Adaptive Margin for Face Recognition, https://arxiv.org/abs/2204.00964"
FFC = "An Efficient Training Approach for Very Large Scale Face Recognition, https://arxiv.org/abs/2105.10375"

COMMON: Mapping[str, Any] = {"length_eps": 0.0, "loss_clip": None, "layout": None, "parameter": None}
# Rounding may put a cosine on 1, where arccos has no derivative; one part in 10^7 is the last bit of a float32.
GUARD = 1e-7
ANGULAR: Mapping[str, Any] = {"gradient": "true", "clamp": GUARD, "interclass_threshold": None}

HEADS: Mapping[str, HeadSpec] = {
    head.name: head
    for head in (
        HeadSpec("softmax", "inner products, no bias", "softmax", "z . w, lengths kept", None, COMMON),
        HeadSpec(
            "nsoftmax", "cosines without margin", "combined", "s c", NORMFACE,
            {"scale": 64.0, "m1": 1.0, "m2": 0.0, "m3": 0.0, **ANGULAR, **COMMON},
        ),
        HeadSpec(
            "arcface", "additive angular margin", "arcface", "s cos(theta + m)", ARCFACE,
            {
                "scale": 64.0, "margin": 0.5, "formula": "angle", "sine_eps": 0.0, "angle_clip": None,
                "fallback": None, **ANGULAR, **COMMON,
            },
        ),
        HeadSpec(
            "cosface", "additive cosine margin", "cosface", "s (c - m)", COSFACE,
            {"scale": 64.0, "margin": 0.4, "clamp": None, "interclass_threshold": None, **COMMON},
        ),
        HeadSpec(
            "sphereface", "multiplicative angular margin", "combined", "s cos(m1 theta)", SPHEREFACE,
            {"scale": 64.0, "m1": 1.35, "m2": 0.0, "m3": 0.0, **ANGULAR, **COMMON},
        ),
        HeadSpec(
            "combined", "margins m1, m2, m3", "combined", "s (cos(m1 theta + m2) - m3)", ARCFACE,
            {"scale": 64.0, "m1": 1.0, "m2": 0.3, "m3": 0.2, **ANGULAR, **COMMON},
        ),
        HeadSpec(
            "adaface", "margin by the quality that a feature's length tells", "adaface",
            "s (cos(clip(theta - m q)) - (m + m q))", ADAFACE,
            {
                "scale": 64.0, "margin": 0.4, "h": 0.333, "t_alpha": 0.01, "clamp": 1e-3, "angle_clip": 1e-3,
                **COMMON,
            },
        ),
        HeadSpec(
            "ffc", "margins of FFC, with rows that have no class", "ffc",
            "AM s (c - m), Arc s cos(theta + m), SV s (c - m) where c > m", FFC,
            {
                "scale": 32.0, "margin": 0.4, "loss_type": "AM", "hard_negatives": 3, "sv_factor": 1.2, "clamp": GUARD,
                **COMMON,
            },
        ),
    )
}  # fmt: skip


def resolve_head(name: str, options: Mapping[str, Any]) -> HeadSpec:
    """The head that a name stands for: one of ``head_names()``, or an upstream's with that upstream's own options.

    Raises:
        UsageError: no such head, an option that it does not have, or a value that the option cannot take.
    """
    from facecvt.reference_models.heads.upstreams import UPSTREAMS

    key = name.strip().lower()
    if key in HEADS:
        return HEADS[key].with_options(**options)
    if key in UPSTREAMS:
        return UPSTREAMS[key].head(options)
    known = [*HEADS, *UPSTREAMS]
    near = difflib.get_close_matches(key, known, n=3, cutoff=0.5)
    hint = f"Did you mean {' or '.join(near)}?" if near else f"There are {', '.join(known)}."
    raise UsageError(f"no margin head is called {name!r}. {hint}")


def build(head: HeadSpec, framework: str, embedding_size: int, classes: int) -> Any:
    """The head in one framework, class centres as initialised."""
    options = {name: value for name, value in head.options.items() if name not in ("layout", "parameter")}
    options |= {"layout": head.layout(framework), "parameter": head.centres_name(framework)}
    if framework == "torch":
        from facecvt.reference_models.heads import net_torch

        return getattr(net_torch, CLASSES[head.kind])(embedding_size, classes, **options)
    if framework == "paddle":
        from facecvt.reference_models.heads import net_paddle

        return getattr(net_paddle, CLASSES[head.kind])(embedding_size, classes, **options)
    from facecvt.reference_models.heads import net_mxnet

    return getattr(net_mxnet, head.kind)(classes, embedding_size, **options)

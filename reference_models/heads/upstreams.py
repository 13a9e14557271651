"""The margin heads as they are published: which head of ours each is, in that code's own words.

Every function here stands for one published file. Its parameters and their defaults are the file's own; it returns
the name of our head and the options that reproduce the file, with its clamps, fallbacks, gradient convention, weight
layout and parameter name. ``build_head("paddleclas_arcmargin", "torch", ..., margin=0.5, easy_margin=True)`` builds it.

What is odd about some of them:
- Paddle's cross-entropy on a CPU counts logits as at most 64 below the row's greatest, in the loss but not in its
  gradient; a sample that is far off costs less there than elsewhere.
- MXNet adds 1e-10 inside the root of a length, and its SoftmaxOutput yields (softmax - one-hot) / batch.
- arcface_torch takes the margin under ``no_grad``, so the derivative of cos(theta + m) is missing from its gradient;
  with m3 above 0 it looks at neither m1 nor m2.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from facecvt.converters.errors import UsageError
from facecvt.reference_models.heads.names import COLUMNS, ROWS
from facecvt.reference_models.heads.spec import GUARD, HEADS, HeadSpec
from facecvt.reference_models.spec import Upstream

Choice = tuple[str, dict[str, Any]]
PADDLE_LOSS_CLIP = 64.0
MXNET_LENGTH_EPS = 1e-10


@dataclass(frozen=True)
class UpstreamHead:
    """One published head: where, in which framework, and what its options mean here.

    Attributes:
        name: what ``build_head`` takes.
        source: the file that was published.
        heads: the heads of ours that it can be; the first is what its own defaults make it.
        choose: its options -> the name of our head and the options that reproduce it.
    """

    name: str
    source: Upstream
    heads: tuple[str, ...]
    choose: Callable[..., Choice]

    @property
    def title(self) -> str:
        """One line for tables."""
        return (self.choose.__doc__ or "").partition("\n")[0].rstrip(".")

    @property
    def options(self) -> dict[str, Any]:
        """Its own options with its own defaults."""
        return {name: each.default for name, each in inspect.signature(self.choose).parameters.items()}

    def head(self, options: Mapping[str, Any]) -> HeadSpec:
        """The head for the upstream's options; an option of ours may stand beside them and has the last word."""
        theirs = self.options
        name, chosen = self.choose(**{key: value for key, value in options.items() if key in theirs})
        ours = {key: value for key, value in options.items() if key not in theirs}
        unknown = sorted(ours.keys() - HEADS[name].options.keys())
        if unknown:
            raise UsageError(f"{self.name} has no option {unknown[0]!r}; it has {', '.join(theirs)}")
        head = HEADS[name].with_options(**{**chosen, **ours})
        return replace(head, upstream=self.name)


UPSTREAMS: dict[str, UpstreamHead] = {}


def published(
    framework: str, repository: str, path: str, *heads: str
) -> Callable[[Callable[..., Choice]], Callable[..., Choice]]:
    """Enter a function below under its own name; ``heads`` are those of ours that it may return."""

    def enter(choose: Callable[..., Choice]) -> Callable[..., Choice]:
        name = choose.__name__
        UPSTREAMS[name] = UpstreamHead(name, Upstream(framework, repository, path), heads, choose)
        return choose

    return enter


def upstream_of(repository: str, path: str) -> list[str]:
    """Names of the published heads that lie in one file; ``path`` may say more behind the file's name."""
    return [
        name
        for name, upstream in UPSTREAMS.items()
        if upstream.source.repository == repository and path.split(" ")[0] == upstream.source.path
    ]


@published("torch", "mk-minchul/AdaFace", "head.py", "adaface")
def adaface_torch(m: float = 0.4, h: float = 0.333, s: float = 64.0, t_alpha: float = 1.0) -> Choice:
    """AdaFace; its configurations train with t_alpha 0.01."""
    kernel = {"layout": COLUMNS, "parameter": "kernel"}
    return "adaface", {"margin": m, "h": h, "scale": s, "t_alpha": t_alpha, **kernel}


@published("torch", "mk-minchul/AdaFace", "head.py", "arcface")
def adaface_repo_arcface_torch(s: float = 64.0, m: float = 0.5) -> Choice:
    """ArcFace with cosines and angles kept off the ends of their ranges."""
    kernel = {"layout": COLUMNS, "parameter": "kernel"}
    return "arcface", {"margin": m, "scale": s, "clamp": 1e-4, "angle_clip": 1e-4, **kernel}


@published("torch", "mk-minchul/AdaFace", "head.py", "cosface")
def adaface_repo_cosface_torch(s: float = 64.0, m: float = 0.4) -> Choice:
    """CosFace with cosines kept off +-1."""
    return "cosface", {"margin": m, "scale": s, "clamp": 1e-4, "layout": COLUMNS, "parameter": "kernel"}


@published("torch", "deepinsight/insightface", "recognition/arcface_torch/losses.py", "arcface", "cosface")
def insightface_arcface_torch_losses(
    s: float = 64.0, m1: float = 1.0, m2: float = 0.5, m3: float = 0.0, interclass_filtering_threshold: float = 0.0
) -> Choice:
    """CombinedMarginLoss; its ArcFace(s, margin) is m2 = margin, its CosFace(s, m) is m2 = 0, m3 = m."""
    common = {"scale": s, "layout": ROWS, "parameter": "weight"}
    common["interclass_threshold"] = interclass_filtering_threshold if interclass_filtering_threshold > 0 else None
    if m1 == 1.0 and m3 == 0.0:
        return "arcface", {"margin": m2, "gradient": "straight", **common}
    if m3 > 0:
        return "cosface", {"margin": m3, **common}
    raise UsageError(f"arcface_torch has no loss for m1 = {m1} with m3 = {m3}; build_head('combined', ...) does")


@published("mxnet", "deepinsight/insightface", "recognition/arcface_mxnet/train.py", "combined")
def insightface_arcface_mxnet_margin_softmax(
    loss_s: float = 64.0, loss_m1: float = 1.0, loss_m2: float = 0.5, loss_m3: float = 0.0
) -> Choice:
    """The margin softmax of the later MXNet scripts."""
    options = {"scale": loss_s, "m1": loss_m1, "m2": loss_m2, "m3": loss_m3, "length_eps": MXNET_LENGTH_EPS}
    return "combined", {**options, "layout": ROWS, "parameter": "fc7_weight"}


@published("mxnet", "deepinsight/insightface", "src/train_softmax.py", "arcface", "softmax", "cosface", "combined")
def insightface_mxnet_2018_train_softmax(
    loss_type: int = 4,
    margin_s: float = 64.0,
    margin_m: float = 0.5,
    margin_a: float = 1.0,
    margin_b: float = 0.0,
    easy_margin: bool = False,
) -> Choice:
    """The script of 2018: loss types 0 softmax, 2 CosFace, 4 ArcFace, 5 combined."""
    common = {"length_eps": MXNET_LENGTH_EPS, "layout": ROWS, "parameter": "fc7_weight"}
    if loss_type == 0:
        return "softmax", common
    common["scale"] = margin_s
    if loss_type == 2:
        return "cosface", {"margin": margin_m, **common}
    if loss_type == 4:
        fallback = "easy" if easy_margin else "linear"
        return "arcface", {"margin": margin_m, "formula": "sum", "fallback": fallback, **common}
    if loss_type == 5:
        return "combined", {"m1": margin_a, "m2": margin_m, "m3": margin_b, **common}
    raise UsageError(f"loss_type {loss_type} of train_softmax.py is not written here; there are 0, 2, 4 and 5")


def fallback_arcface(margin: float, scale: float, easy_margin: bool) -> Choice:
    """ArcFace by the sum formula, with 1e-6 inside the root of the sine."""
    options = {"margin": margin, "scale": scale, "formula": "sum", "sine_eps": 1e-6, "clamp": None}
    fallback = "easy" if easy_margin else "linear"
    return "arcface", {**options, "fallback": fallback, "layout": COLUMNS, "parameter": "weight"}


@published("paddle", "PaddlePaddle/PaddleClas", "ppcls/arch/gears/arcmargin.py", "arcface")
def paddleclas_arcmargin(margin: float = 0.5, scale: float = 80.0, easy_margin: bool = False) -> Choice:
    """ArcMargin."""
    name, options = fallback_arcface(margin, scale, easy_margin)
    return name, {**options, "loss_clip": PADDLE_LOSS_CLIP}


@published("paddle", "PaddlePaddle/PaddleClas", "ppcls/arch/gears/cosmargin.py", "cosface")
def paddleclas_cosmargin(margin: float = 0.35, scale: float = 64.0) -> Choice:
    """CosMargin."""
    options = {"margin": margin, "scale": scale, "loss_clip": PADDLE_LOSS_CLIP}
    return "cosface", {**options, "layout": COLUMNS, "parameter": "weight"}


@published("paddle", "PaddlePaddle/PaddleClas", "ppcls/arch/gears/adamargin.py", "adaface")
def paddleclas_adamargin(m: float = 0.4, h: float = 0.333, s: float = 64.0, t_alpha: float = 1.0) -> Choice:
    """AdaMargin, fed with the raw feature."""
    name, options = adaface_torch(m, h, s, t_alpha)
    return name, {**options, "loss_clip": PADDLE_LOSS_CLIP}


@published("torch", "yeyupiaoling/Pytorch-MobileFaceNet", "models/arcmargin.py", "arcface")
def yeyupiaoling_torch_arcnet(margin: float = 0.2, scale: float = 30.0, easy_margin: bool = False) -> Choice:
    """ArcNet, with the formulas of PaddleClas."""
    return fallback_arcface(margin, scale, easy_margin)


@published("torch", "siriusdemon/Build-Your-Own-Face-Model", "recognition/model/metric.py", "arcface", "cosface")
def build_your_own_face_model_metric(metric: str = "ArcFace", s: float = 30.0, m: float = 0.5) -> Choice:
    """ArcFace or CosFace, by name."""
    common = {"margin": m, "scale": s, "layout": ROWS, "parameter": "weight"}
    if metric.lower() == "cosface":
        return "cosface", common
    return "arcface", {"formula": "sum", "fallback": "linear", "clamp": GUARD, **common}


@published("torch", "tiandunx/FFC", "ffc_ddp.py", "ffc")
def ffc_add_margin(
    loss_type: str = "AM", margin: float = 0.4, scale: float = 32.0, hard_neg: int = 3, mask_svfc: float = 1.2
) -> Choice:
    """The margins of FFC.

    The upstream computes Arc and SV in float32 whatever it is fed; here the dtype is kept.
    """
    options = {"loss_type": loss_type, "margin": margin, "scale": scale, "hard_negatives": hard_neg}
    return "ffc", {**options, "sv_factor": mask_svfc, "layout": ROWS, "parameter": "weight"}

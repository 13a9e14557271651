"""Margin heads in PyTorch: an ``nn.Module`` from features and labels to scaled logits, and the loss on them.

    head = ArcFace(512, 85742)
    loss = head.loss(head(features, labels), labels)      # or head.step(features, labels)

Features need not have length 1. Label -1 means that a row has no class: it gets no margin and no part in the loss.
Formulas and options: spec.py of this folder.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn


def cross_entropy(logits: Tensor, labels: Tensor, clip: float | None = None) -> Tensor:
    """Mean softmax cross-entropy over the rows with a class; ``clip`` limits how far logits lie below the greatest.

    The clipping is in the value alone: the gradient is that of the unclipped loss.
    """
    with_class = labels >= 0
    rows = F.cross_entropy(logits, labels, ignore_index=-1, reduction="none")
    if clip is not None:
        shifted = (logits.detach() - logits.detach().amax(1, keepdim=True)).clamp(min=-clip)
        clipped = F.cross_entropy(shifted, labels, ignore_index=-1, reduction="none")
        rows = rows + (clipped - rows).detach()
    return rows.sum() / with_class.sum().clamp(min=1)


class Head(nn.Module):
    """Class centres, cosines and loss, which all heads share.

    Args:
        embedding_size: length of a feature, D.
        classes: number of classes, C.
        scale: factor s on the logits.
        clamp: cosines are limited to +-(1 - clamp), None for no limit.
        interclass_threshold: cosines of other classes above it count as 0.
        length_eps: added inside the root of a length.
        loss_clip: see :func:`cross_entropy`.
        layout: "rows" stores the centres as (C, D), "columns" as (D, C).
        parameter: name of the centres.
    """

    def __init__(
        self,
        embedding_size: int,
        classes: int,
        scale: float = 1.0,
        clamp: float | None = None,
        interclass_threshold: float | None = None,
        length_eps: float = 0.0,
        loss_clip: float | None = None,
        layout: str = "rows",
        parameter: str = "weight",
    ) -> None:
        super().__init__()
        self.scale, self.clamp, self.interclass_threshold = scale, clamp, interclass_threshold
        self.length_eps, self.loss_clip = length_eps, loss_clip
        self.layout, self.parameter = layout, parameter
        shape = (classes, embedding_size) if layout == "rows" else (embedding_size, classes)
        self.register_parameter(parameter, nn.Parameter(torch.empty(shape).normal_(0, 0.01)))

    def centres(self) -> Tensor:
        """The class centres as they are, (C, D)."""
        stored = getattr(self, self.parameter)
        return stored if self.layout == "rows" else stored.t()

    def unit(self, x: Tensor) -> Tensor:
        """Rows brought to length 1."""
        if self.length_eps == 0.0:
            return F.normalize(x)
        return x / (x.square().sum(1, keepdim=True) + self.length_eps).sqrt()

    def cosines(self, features: Tensor) -> Tensor:
        """(N, C) cosines between features and centres, not limited."""
        return F.linear(self.unit(features), self.unit(self.centres()))

    def margin(self, cosine: Tensor) -> Tensor:
        """The target's cosines (N, 1) with the margin taken off."""
        return cosine

    def logits(self, cosines: Tensor, labels: Tensor) -> Tensor:
        """Scaled logits from cosines, with the margin on the target class."""
        if self.clamp is not None:
            cosines = cosines.clamp(-1 + self.clamp, 1 - self.clamp)
        is_target = labels.unsqueeze(1) == torch.arange(cosines.shape[1], device=labels.device)
        if self.interclass_threshold is not None:
            cosines = cosines.masked_fill((cosines > self.interclass_threshold) & ~is_target, 0.0)
        target = cosines.gather(1, labels.clamp(min=0).unsqueeze(1))
        return self.scale * torch.where(is_target, self.margin(target), cosines)

    def forward(self, features: Tensor, labels: Tensor | None = None) -> Tensor:
        """Scaled logits (N, C); without labels the plain cosines."""
        cosines = self.cosines(features)
        return cosines if labels is None else self.logits(cosines, labels)

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """The mean loss of a batch."""
        return cross_entropy(logits, labels, self.loss_clip)

    def step(self, features: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Logits and loss of a batch."""
        logits = self(features, labels)
        return logits, self.loss(logits, labels)


class Softmax(Head):
    """Inner products of features and centres as they are, without bias."""

    def cosines(self, features: Tensor) -> Tensor:
        return F.linear(features, self.centres())


class ArcFace(Head):
    """s cos(theta + m).

    Args:
        formula: "angle" by arccos, "sum" by cos m and sin m.
        sine_eps: inside the root of the sine, for "sum".
        angle_clip: keeps the target's angle in [angle_clip, pi - angle_clip], for "angle".
        fallback: "linear" or "easy" beyond the threshold, None for none.
        gradient: "true", or "straight" for a margin that the gradient does not see.
    """

    def __init__(
        self, embedding_size: int, classes: int, scale: float = 64.0, margin: float = 0.5, formula: str = "angle",
        sine_eps: float = 0.0, angle_clip: float | None = None, fallback: str | None = None, gradient: str = "true",
        **common,
    ) -> None:  # fmt: skip
        super().__init__(embedding_size, classes, scale, **common)
        self.m, self.formula, self.sine_eps = margin, formula, sine_eps
        self.angle_clip, self.fallback, self.gradient = angle_clip, fallback, gradient

    def margin(self, cosine: Tensor) -> Tensor:
        if self.formula == "angle":
            angle = torch.arccos(cosine) + self.m
            if self.angle_clip is not None:
                angle = angle.clamp(self.angle_clip, math.pi - self.angle_clip)
            moved = torch.cos(angle)
        else:
            sine = torch.sqrt(1.0 - cosine.square() + self.sine_eps)
            moved = cosine * math.cos(self.m) - sine * math.sin(self.m)
        if self.fallback == "linear":
            moved = torch.where(cosine > -math.cos(self.m), moved, cosine - self.m * math.sin(self.m))
        elif self.fallback == "easy":
            moved = torch.where(cosine > 0, moved, cosine)
        return cosine + (moved - cosine).detach() if self.gradient == "straight" else moved


class CosFace(Head):
    """s (c - m)."""

    def __init__(self, embedding_size: int, classes: int, scale: float = 64.0, margin: float = 0.4, **common) -> None:
        super().__init__(embedding_size, classes, scale, **common)
        self.m = margin

    def margin(self, cosine: Tensor) -> Tensor:
        return cosine - self.m


class CombinedMargin(Head):
    """s (cos(m1 theta + m2) - m3); SphereFace with m1 alone, plain cosines without any."""

    def __init__(
        self, embedding_size: int, classes: int, scale: float = 64.0, m1: float = 1.0, m2: float = 0.3, m3: float = 0.2,
        gradient: str = "true", **common,
    ) -> None:  # fmt: skip
        super().__init__(embedding_size, classes, scale, **common)
        self.m1, self.m2, self.m3, self.gradient = m1, m2, m3, gradient

    def margin(self, cosine: Tensor) -> Tensor:
        if self.m1 == 1.0 and self.m2 == 0.0:
            return cosine - self.m3
        moved = torch.cos(self.m1 * torch.arccos(cosine) + self.m2) - self.m3
        return cosine + (moved - cosine).detach() if self.gradient == "straight" else moved


class AdaFace(Head):
    """Angular and additive margin by the feature's length, held against moving averages of mean and deviation.

    Args:
        h: how far a standard deviation moves the margin.
        t_alpha: weight of the batch in the moving averages.
        angle_clip: keeps the target's angle in [angle_clip, pi - angle_clip].
    """

    def __init__(
        self, embedding_size: int, classes: int, scale: float = 64.0, margin: float = 0.4, h: float = 0.333,
        t_alpha: float = 0.01, angle_clip: float = 1e-3, clamp: float | None = 1e-3, **common,
    ) -> None:  # fmt: skip
        super().__init__(embedding_size, classes, scale, clamp, **common)
        self.m, self.h, self.t_alpha, self.angle_clip = margin, h, t_alpha, angle_clip
        self.register_buffer("t", torch.zeros(1))  # not used, but part of the published state
        self.register_buffer("batch_mean", torch.full((1,), 20.0))
        self.register_buffer("batch_std", torch.full((1,), 100.0))

    def forward(self, features: Tensor, labels: Tensor | None = None, norms: Tensor | None = None) -> Tensor:
        """Scaled logits (N, C).

        Args:
            features: (N, D), of their own length, or of length 1 where ``norms`` is given.
            labels: (N,), None for the plain cosines.
            norms: (N, 1), the lengths that the network took off.
        """
        cosines = self.cosines(features)
        if labels is None:
            return cosines
        lengths = features.norm(2, 1, keepdim=True) if norms is None else norms
        with torch.no_grad():
            lengths = lengths.clamp(1e-3, 100.0)
            self.batch_mean.lerp_(lengths.mean(), self.t_alpha)
            self.batch_std.lerp_(lengths.std(), self.t_alpha)
            quality = (lengths - self.batch_mean) / (self.batch_std + 1e-3)
            self.quality = (quality * self.h).clamp(-1.0, 1.0)
        return self.logits(cosines, labels)

    def margin(self, cosine: Tensor) -> Tensor:
        angle = torch.arccos(cosine) - self.m * self.quality
        angle = angle.clamp(self.angle_clip, math.pi - self.angle_clip)
        return torch.cos(angle) - (self.m + self.m * self.quality)


class FfcMargin(Head):
    """FFC's margins AM, Arc and SV; rows without class are pushed away from their nearest centres.

    Args:
        loss_type: AM (c - m), Arc (cos(theta + m)) or SV (c - m where c > m, and harder negatives).
        hard_negatives: cosines of a row without class that count.
        sv_factor: f, by which SV turns a hard negative c into f c + f - 1.
    """

    def __init__(
        self, embedding_size: int, classes: int, scale: float = 32.0, margin: float = 0.4, loss_type: str = "AM",
        hard_negatives: int = 3, sv_factor: float = 1.2, **common,
    ) -> None:  # fmt: skip
        super().__init__(embedding_size, classes, scale, **common)
        self.m, self.loss_type, self.hard_negatives, self.sv_factor = margin, loss_type, hard_negatives, sv_factor

    def margin(self, cosine: Tensor) -> Tensor:
        if self.loss_type == "Arc":
            return cosine * math.cos(self.m) - torch.sqrt(1.0 - cosine.square()) * math.sin(self.m)
        if self.loss_type == "SV":
            return torch.where(cosine > self.m, cosine - self.m, cosine)
        return cosine - self.m

    def logits(self, cosines: Tensor, labels: Tensor) -> Tensor:
        if self.loss_type == "SV":
            target = cosines.gather(1, labels.clamp(min=0).unsqueeze(1))
            is_target = labels.unsqueeze(1) == torch.arange(cosines.shape[1], device=labels.device)
            hard = (cosines > target - self.m) & (labels >= 0).unsqueeze(1) & ~is_target
            cosines = torch.where(hard, self.sv_factor * cosines + (self.sv_factor - 1.0), cosines)
        return super().logits(cosines, labels)

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        loss = super().loss(logits, labels)
        outliers = logits[labels < 0] / self.scale  # they have no margin: these are cosines
        if len(outliers) == 0:
            return loss
        nearest = outliers.topk(min(self.hard_negatives, outliers.shape[1]), dim=1).values
        return loss + nearest.clamp(min=0.0).mean()

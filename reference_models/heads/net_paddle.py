"""Margin heads in PaddlePaddle: a ``Layer`` from features and labels to scaled logits, and the loss on them.

    head = ArcFace(512, 85742)
    loss = head.loss(head(features, labels), labels)

Centres are stored as Paddle stores a Linear's weight, (D, C), unless asked otherwise. Label -1 means that a row has no
class. The loss is written out: Paddle's own ``cross_entropy`` counts logits as at most 64 below their row's greatest on
a CPU, which ``loss_clip`` does on request and everywhere. Formulas and options: spec.py of this folder.
"""

from __future__ import annotations

import math

import paddle
import paddle.nn.functional as F  # noqa: N812
from paddle import nn


def target_values(matrix, labels):
    """(N, 1): the entry of each row's class; of class 0 for a row without."""
    return paddle.take_along_axis(matrix, paddle.clip(labels, min=0).unsqueeze(1), axis=1)


def target_mask(matrix, labels):
    """(N, C), True at each row's class."""
    return paddle.arange(matrix.shape[1], dtype=labels.dtype).unsqueeze(0) == labels.unsqueeze(1)


def cross_entropy(logits, labels, clip=None):
    """Mean softmax cross-entropy over the rows with a class; ``clip`` changes the value, not the gradient."""
    has_class = (labels >= 0).astype(logits.dtype)
    rows = paddle.logsumexp(logits, axis=1) - target_values(logits, labels).squeeze(1)
    if clip is not None:
        values = logits.detach()
        values = paddle.clip(values - values.max(axis=1, keepdim=True), min=-clip)
        clipped = paddle.logsumexp(values, axis=1) - target_values(values, labels).squeeze(1)
        rows = rows + (clipped - rows.detach())
    return (rows * has_class).sum() / paddle.clip(has_class.sum(), min=1.0)


class Head(nn.Layer):
    """Class centres, cosines and loss, which all heads share.

    Args:
        embedding_size: length of a feature, D.
        classes: number of classes, C.
        scale: factor s on the logits.
        clamp: cosines are limited to +-(1 - clamp), None for no limit.
        interclass_threshold: cosines of other classes above it count as 0.
        length_eps: added inside the root of a length.
        loss_clip: see :func:`cross_entropy`.
        layout: "columns" stores the centres as (D, C), "rows" as (C, D).
        parameter: name of the centres.
    """

    def __init__(
        self,
        embedding_size,
        classes,
        scale=1.0,
        clamp=None,
        interclass_threshold=None,
        length_eps=0.0,
        loss_clip=None,
        layout="columns",
        parameter="weight",
    ):
        super().__init__()
        self.scale, self.clamp, self.interclass_threshold = scale, clamp, interclass_threshold
        self.length_eps, self.loss_clip = length_eps, loss_clip
        self.layout, self.parameter = layout, parameter
        shape = [embedding_size, classes] if layout == "columns" else [classes, embedding_size]
        centres = self.create_parameter(shape, default_initializer=nn.initializer.XavierNormal())
        self.add_parameter(parameter, centres)

    def unit(self, x, axis):
        """Vectors along an axis brought to length 1."""
        if self.length_eps == 0.0:
            return F.normalize(x, axis=axis)
        return x / paddle.sqrt(paddle.sum(paddle.square(x), axis=axis, keepdim=True) + self.length_eps)

    def cosines(self, features):
        """(N, C) cosines between features and centres, not limited."""
        centres = getattr(self, self.parameter)
        features = self.unit(features, axis=1)
        if self.layout == "columns":
            return paddle.matmul(features, self.unit(centres, axis=0))
        return paddle.matmul(features, self.unit(centres, axis=1), transpose_y=True)

    def margin(self, cosine):
        """The target's cosines (N, 1) with the margin taken off."""
        return cosine

    def logits(self, cosines, labels):
        """Scaled logits from cosines, with the margin on the target class."""
        if self.clamp is not None:
            cosines = paddle.clip(cosines, -1.0 + self.clamp, 1.0 - self.clamp)
        is_target = target_mask(cosines, labels)
        if self.interclass_threshold is not None:
            too_near = paddle.logical_and(cosines > self.interclass_threshold, paddle.logical_not(is_target))
            cosines = paddle.where(too_near, paddle.zeros_like(cosines), cosines)
        moved = self.margin(target_values(cosines, labels))
        return self.scale * paddle.where(is_target, moved.expand_as(cosines), cosines)

    def forward(self, features, labels=None):
        """Scaled logits (N, C); without labels the plain cosines."""
        cosines = self.cosines(features)
        return cosines if labels is None else self.logits(cosines, labels)

    def loss(self, logits, labels):
        """The mean loss of a batch."""
        return cross_entropy(logits, labels, self.loss_clip)

    def step(self, features, labels):
        """Logits and loss of a batch."""
        logits = self(features, labels)
        return logits, self.loss(logits, labels)


class Softmax(Head):
    """Inner products of features and centres as they are, without bias."""

    def cosines(self, features):
        return paddle.matmul(features, getattr(self, self.parameter), transpose_y=self.layout == "rows")


class ArcFace(Head):
    """s cos(theta + m).

    Args:
        formula: "angle" by acos, "sum" by cos m and sin m.
        sine_eps: inside the root of the sine, for "sum".
        angle_clip: keeps the target's angle in [angle_clip, pi - angle_clip], for "angle".
        fallback: "linear" or "easy" beyond the threshold, None for none.
        gradient: "true", or "straight" for a margin that the gradient does not see.
    """

    def __init__(
        self, embedding_size, classes, scale=64.0, margin=0.5, formula="angle", sine_eps=0.0, angle_clip=None,
        fallback=None, gradient="true", **common,
    ):  # fmt: skip
        super().__init__(embedding_size, classes, scale, **common)
        self.m, self.formula, self.sine_eps = margin, formula, sine_eps
        self.angle_clip, self.fallback, self.gradient = angle_clip, fallback, gradient

    def margin(self, cosine):
        if self.formula == "sum":
            sine = paddle.sqrt(1.0 - paddle.square(cosine) + self.sine_eps)
            phi = cosine * math.cos(self.m) - sine * math.sin(self.m)
        else:
            theta = paddle.acos(cosine) + self.m
            if self.angle_clip is not None:
                theta = paddle.clip(theta, self.angle_clip, math.pi - self.angle_clip)
            phi = paddle.cos(theta)
        if self.fallback == "easy":
            phi = paddle.where(cosine > 0.0, phi, cosine)
        if self.fallback == "linear":
            phi = paddle.where(cosine > math.cos(math.pi - self.m), phi, cosine - math.sin(math.pi - self.m) * self.m)
        if self.gradient == "straight":
            phi = cosine + (phi - cosine).detach()
        return phi


class CosFace(Head):
    """s (c - m)."""

    def __init__(self, embedding_size, classes, scale=64.0, margin=0.4, **common):
        super().__init__(embedding_size, classes, scale, **common)
        self.m = margin

    def margin(self, cosine):
        return cosine - self.m


class CombinedMargin(Head):
    """s (cos(m1 theta + m2) - m3); SphereFace with m1 alone, plain cosines without any."""

    def __init__(self, embedding_size, classes, scale=64.0, m1=1.0, m2=0.3, m3=0.2, gradient="true", **common):
        super().__init__(embedding_size, classes, scale, **common)
        self.m1, self.m2, self.m3, self.gradient = m1, m2, m3, gradient

    def margin(self, cosine):
        if self.m1 == 1.0 and self.m2 == 0.0:
            return cosine - self.m3
        phi = paddle.cos(paddle.acos(cosine) * self.m1 + self.m2) - self.m3
        return phi if self.gradient == "true" else cosine + (phi - cosine).detach()


class AdaFace(Head):
    """Angular and additive margin by the feature's length, held against moving averages of mean and deviation.

    Args:
        h: how far a standard deviation moves the margin.
        t_alpha: weight of the batch in the moving averages.
        angle_clip: keeps the target's angle in [angle_clip, pi - angle_clip].
    """

    def __init__(
        self, embedding_size, classes, scale=64.0, margin=0.4, h=0.333, t_alpha=0.01, angle_clip=1e-3, clamp=1e-3,
        **common,
    ):  # fmt: skip
        super().__init__(embedding_size, classes, scale, clamp, **common)
        self.m, self.h, self.t_alpha, self.angle_clip = margin, h, t_alpha, angle_clip
        self.register_buffer("t", paddle.zeros([1]))  # not used, but part of the published state
        self.register_buffer("batch_mean", paddle.full([1], 20.0))
        self.register_buffer("batch_std", paddle.full([1], 100.0))

    def forward(self, features, labels=None, norms=None):
        """Scaled logits (N, C); features of their own length, or of length 1 with their ``norms`` (N, 1) beside."""
        cosines = self.cosines(features)
        if labels is None:
            return cosines
        if norms is None:
            norms = paddle.norm(features, p=2, axis=1, keepdim=True)
        norms = paddle.clip(norms.detach(), min=1e-3, max=100.0)
        mean, std = norms.mean().reshape([1]), paddle.std(norms, unbiased=True).reshape([1])
        self.batch_mean.set_value(mean * self.t_alpha + self.batch_mean * (1.0 - self.t_alpha))
        self.batch_std.set_value(std * self.t_alpha + self.batch_std * (1.0 - self.t_alpha))
        spread = (norms - self.batch_mean) / (self.batch_std + 1e-3)
        self.quality = paddle.clip(spread * self.h, -1.0, 1.0).detach()
        return self.logits(cosines, labels)

    def margin(self, cosine):
        theta = paddle.acos(cosine) - self.m * self.quality
        theta = paddle.clip(theta, self.angle_clip, math.pi - self.angle_clip)
        return paddle.cos(theta) - self.m * (1.0 + self.quality)


class FfcMargin(Head):
    """FFC's margins AM, Arc and SV; rows without class are pushed away from their nearest centres.

    Args:
        loss_type: AM (c - m), Arc (cos(theta + m)) or SV (c - m where c > m, and harder negatives).
        hard_negatives: cosines of a row without class that count.
        sv_factor: f, by which SV turns a hard negative c into f c + f - 1.
    """

    def __init__(
        self, embedding_size, classes, scale=32.0, margin=0.4, loss_type="AM", hard_negatives=3, sv_factor=1.2,
        **common,
    ):  # fmt: skip
        super().__init__(embedding_size, classes, scale, **common)
        self.m, self.loss_type, self.hard_negatives, self.sv_factor = margin, loss_type, hard_negatives, sv_factor

    def margin(self, cosine):
        if self.loss_type == "AM":
            return cosine - self.m
        if self.loss_type == "SV":
            return paddle.where(cosine > self.m, cosine - self.m, cosine)
        sine = paddle.sqrt(1.0 - paddle.square(cosine))
        return cosine * math.cos(self.m) - sine * math.sin(self.m)

    def logits(self, cosines, labels):
        if self.loss_type == "SV":
            hard = cosines > target_values(cosines, labels) - self.m
            others = paddle.logical_not(target_mask(cosines, labels))
            hard = paddle.logical_and(paddle.logical_and(hard, others), (labels >= 0).unsqueeze(1))
            cosines = paddle.where(hard, self.sv_factor * cosines + (self.sv_factor - 1.0), cosines)
        return super().logits(cosines, labels)

    def loss(self, logits, labels):
        loss = super().loss(logits, labels)
        rows = paddle.nonzero(labels < 0).flatten()
        if rows.shape[0] == 0:
            return loss
        outliers = paddle.index_select(logits, rows, axis=0) / self.scale  # they have no margin: these are cosines
        nearest, _ = paddle.topk(outliers, min(self.hard_negatives, outliers.shape[1]), axis=1)
        return loss + F.relu(nearest).mean()

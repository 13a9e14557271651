"""Margin heads as MXNet symbols, to be put on a network's symbol.

    head = arcface(classes=85742, data=network)          # data: (N, D) features; a variable ``data`` where left out
    mx.sym.Group outputs: softmax_output, logits_output, loss_output

``softmax`` is a SoftmaxOutput(normalization="valid"): its gradient is (softmax - one-hot) / rows with a class whatever
comes from above; logits and loss are for the eye and pass no gradient. Inputs are ``data``, the centres
(``fc7_weight``, (C, D)) and ``softmax_label``, in which -1 means no class. AdaFace's moving averages are arguments
``batch_mean`` and ``batch_std`` without gradient; their new values are the outputs ``batch_mean_new_output`` and
``batch_std_new_output``, which the loop writes back: :func:`keep_moving_averages`. A symbol has no other place for a
state but BatchNorm's. Formulas and options: spec.py of this folder.
"""

from __future__ import annotations

import math
from typing import Any

from facecvt.converters.compat_mxnet import import_mxnet

mx = import_mxnet("build a margin head in MXNet")

TINY = 1e-24  # the square of the 1e-12 that guards a division by a length elsewhere


class Targets:
    """The label, and what selects each row's class in a matrix (N, C); in the matrix's own dtype, as one_hot is not."""

    def __init__(self, matrix):
        self.label = mx.sym.Variable("softmax_label")
        classes = mx.sym.expand_dims(mx.sym.contrib.arange_like(matrix, axis=1), axis=0)
        self.one_hot = mx.sym.broadcast_equal(mx.sym.expand_dims(self.label, axis=1), classes)
        self.has_class = self.label > -0.5  # 1.0 or 0.0

    def of(self, matrix):
        """(N,): the entry of each row's class; of class 0 for a row without."""
        return mx.sym.pick(matrix, self.label, axis=1, mode="clip")

    def replace(self, matrix, new):
        """The matrix with (N,) new entries at each row's class."""
        difference = mx.sym.expand_dims(new - self.of(matrix), axis=1)
        return matrix + mx.sym.broadcast_mul(self.one_hot, difference)


def limit(data, low, high):
    """Entries kept within [low, high]; ``clip`` would round the bounds to float32 whatever the dtype."""
    return mx.sym.minimum(mx.sym.maximum(data, low), high)


def unit_rows(data, length_eps):
    """Rows brought to length 1."""
    return mx.sym.L2Normalization(data, mode="instance", eps=length_eps or TINY)


def centres(classes, embedding_size, layout, parameter):
    """The variable of the class centres, and their rows (C, D)."""
    shape = (classes, embedding_size) if layout == "rows" else (embedding_size, classes)
    variable = mx.sym.Variable(parameter, shape=shape, init=mx.init.Normal(0.01))
    return variable if layout == "rows" else mx.sym.transpose(variable)


def cosine_layer(data, classes, embedding_size, clamp, length_eps, layout, parameter):
    """Cosines between features and class centres, limited to +-(1 - clamp)."""
    weight = unit_rows(centres(classes, embedding_size, layout, parameter), length_eps)
    features = unit_rows(data, length_eps)
    cosines = mx.sym.FullyConnected(features, weight=weight, num_hidden=classes, no_bias=True, name="fc7")
    if clamp is not None:
        cosines = limit(cosines, -1.0 + clamp, 1.0 - clamp)
    return cosines


def without_near_classes(cosines, targets, threshold):
    """Cosines of other classes above the threshold set to 0."""
    if threshold is None:
        return cosines
    dirty = mx.sym.BlockGrad(cosines > threshold) * (1.0 - targets.one_hot)
    return cosines * (1.0 - dirty)


def loss_of(logits, targets, clip):
    """Mean cross-entropy over the rows with a class, a value without gradient."""
    below = mx.sym.broadcast_sub(logits, mx.sym.max(logits, axis=1, keepdims=True))
    if clip is not None:
        below = limit(below, -clip, 0.0)
    rows = mx.sym.log(mx.sym.sum(mx.sym.exp(below), axis=1)) - targets.of(below)
    count = mx.sym.sum(targets.has_class)
    mean = mx.sym.broadcast_div(mx.sym.sum(rows * targets.has_class), mx.sym.broadcast_maximum(count, count * 0 + 1))
    return mx.sym.BlockGrad(mean)


def training_outputs(logits, targets, loss_clip, *more, extra_loss=None):
    """What a training loop binds: softmax with its gradient, logits, loss, and what a head has besides."""
    softmax = mx.sym.SoftmaxOutput(
        logits, label=targets.label, name="softmax", normalization="valid", use_ignore=True, ignore_label=-1
    )
    loss = loss_of(logits, targets, loss_clip)
    if extra_loss is not None:
        loss = loss + mx.sym.BlockGrad(extra_loss)
        more = (mx.sym.MakeLoss(extra_loss, name="outlier_loss"), *more)
    outputs = [softmax, mx.sym.BlockGrad(logits, name="logits"), mx.sym.identity(loss, name="loss")]
    return mx.sym.Group([*outputs, *more])


def straight_through(cosine, moved):
    """The value of ``moved`` with the gradient of ``cosine``."""
    return cosine + mx.sym.BlockGrad(moved - cosine)


def softmax(
    classes, embedding_size=0, data=None, length_eps=0.0, loss_clip=None, layout="rows", parameter="fc7_weight",
):  # fmt: skip
    """Inner products of features and centres as they are, without bias; ``length_eps`` has nothing to act on."""
    weight = centres(classes, embedding_size, layout, parameter)
    data = mx.sym.Variable("data") if data is None else data
    logits = mx.sym.FullyConnected(data, weight=weight, num_hidden=classes, no_bias=True, name="fc7")
    return training_outputs(logits, Targets(logits), loss_clip)


def arcface(
    classes, embedding_size=0, data=None, scale=64.0, margin=0.5, formula="angle", sine_eps=0.0, angle_clip=None,
    fallback=None, gradient="true", clamp=1e-7, interclass_threshold=None, length_eps=0.0, loss_clip=None,
    layout="rows", parameter="fc7_weight",
):  # fmt: skip
    """s cos(theta + m); see ArcFace in net_torch.py for the options."""
    data = mx.sym.Variable("data") if data is None else data
    cosines = cosine_layer(data, classes, embedding_size, clamp, length_eps, layout, parameter)
    targets = Targets(cosines)
    cosines = without_near_classes(cosines, targets, interclass_threshold)
    cos_t = targets.of(cosines)
    if formula == "angle":
        angle = mx.sym.arccos(cos_t) + margin
        if angle_clip is not None:
            angle = limit(angle, angle_clip, math.pi - angle_clip)
        new = mx.sym.cos(angle)
    else:
        sin_t = mx.sym.sqrt(1.0 - mx.sym.square(cos_t) + sine_eps)
        new = cos_t * math.cos(margin) - sin_t * math.sin(margin)
    if fallback == "linear":
        new = mx.sym.where(cos_t > math.cos(math.pi - margin), new, cos_t - math.sin(math.pi - margin) * margin)
    if fallback == "easy":
        new = mx.sym.where(cos_t > 0.0, new, cos_t)
    if gradient == "straight":
        new = straight_through(cos_t, new)
    return training_outputs(targets.replace(cosines, new) * scale, targets, loss_clip)


def cosface(
    classes, embedding_size=0, data=None, scale=64.0, margin=0.4, clamp=None, interclass_threshold=None,
    length_eps=0.0, loss_clip=None, layout="rows", parameter="fc7_weight",
):  # fmt: skip
    """s (c - m)."""
    data = mx.sym.Variable("data") if data is None else data
    cosines = cosine_layer(data, classes, embedding_size, clamp, length_eps, layout, parameter)
    targets = Targets(cosines)
    cosines = without_near_classes(cosines, targets, interclass_threshold)
    return training_outputs((cosines - targets.one_hot * margin) * scale, targets, loss_clip)


def combined(
    classes, embedding_size=0, data=None, scale=64.0, m1=1.0, m2=0.3, m3=0.2, gradient="true", clamp=1e-7,
    interclass_threshold=None, length_eps=0.0, loss_clip=None, layout="rows", parameter="fc7_weight",
):  # fmt: skip
    """s (cos(m1 theta + m2) - m3); SphereFace with m1 alone, plain cosines without any."""
    data = mx.sym.Variable("data") if data is None else data
    cosines = cosine_layer(data, classes, embedding_size, clamp, length_eps, layout, parameter)
    targets = Targets(cosines)
    cosines = without_near_classes(cosines, targets, interclass_threshold)
    if m1 == 1.0 and m2 == 0.0:
        return training_outputs((cosines - targets.one_hot * m3) * scale, targets, loss_clip)
    cos_t = targets.of(cosines)
    new = mx.sym.cos(mx.sym.arccos(cos_t) * m1 + m2) - m3
    if gradient == "straight":
        new = straight_through(cos_t, new)
    return training_outputs(targets.replace(cosines, new) * scale, targets, loss_clip)


def adaface(
    classes, embedding_size=0, data=None, norms=None, scale=64.0, margin=0.4, h=0.333, t_alpha=0.01, angle_clip=1e-3,
    clamp=1e-3, length_eps=0.0, loss_clip=None, layout="rows", parameter="fc7_weight",
):  # fmt: skip
    """AdaFace; ``norms`` (N, 1) are the lengths that the network took off its features, where it did."""
    data = mx.sym.Variable("data") if data is None else data
    mean = mx.sym.Variable("batch_mean", shape=(1,), init=mx.init.Constant(20.0))
    std = mx.sym.Variable("batch_std", shape=(1,), init=mx.init.Constant(100.0))
    if norms is None:
        norms = mx.sym.sqrt(mx.sym.sum(mx.sym.square(mx.sym.BlockGrad(data)), axis=1, keepdims=True))
    norms = limit(mx.sym.BlockGrad(norms), 1e-3, 100.0)
    batch_mean = mx.sym.mean(norms)
    deviations = mx.sym.square(mx.sym.broadcast_sub(norms, batch_mean))
    batch_std = mx.sym.sqrt(mx.sym.sum(deviations) / (mx.sym.sum(mx.sym.ones_like(norms)) - 1.0))
    mean = mx.sym.BlockGrad(t_alpha * batch_mean + (1.0 - t_alpha) * mean, name="batch_mean_new")
    std = mx.sym.BlockGrad(t_alpha * batch_std + (1.0 - t_alpha) * std, name="batch_std_new")
    spread = mx.sym.broadcast_div(mx.sym.broadcast_sub(mx.sym.Flatten(norms), mean), std + 1e-3)
    quality = mx.sym.reshape(mx.sym.BlockGrad(limit(spread * h, -1.0, 1.0)), shape=(-1,))
    cosines = cosine_layer(data, classes, embedding_size, clamp, length_eps, layout, parameter)
    targets = Targets(cosines)
    angle = mx.sym.arccos(targets.of(cosines)) - margin * quality
    angle = limit(angle, angle_clip, math.pi - angle_clip)
    new = mx.sym.cos(angle) - (margin + margin * quality)
    return training_outputs(targets.replace(cosines, new) * scale, targets, loss_clip, mean, std)


def keep_moving_averages(executor: Any) -> None:
    """Write AdaFace's new moving averages back into the arguments of an executor that has run forward."""
    for name in ("batch_mean", "batch_std"):
        executor.arg_dict[name][:] = executor.output_dict[f"{name}_new_output"]


def ffc(
    classes, embedding_size=0, data=None, scale=32.0, margin=0.4, loss_type="AM", hard_negatives=3, sv_factor=1.2,
    clamp=1e-7, length_eps=0.0, loss_clip=None, layout="rows", parameter="fc7_weight",
):  # fmt: skip
    """FFC's margins AM, Arc and SV; rows without class are pushed away from their nearest centres."""
    data = mx.sym.Variable("data") if data is None else data
    plain = cosine_layer(data, classes, embedding_size, clamp, length_eps, layout, parameter)
    targets = Targets(plain)
    cosines, cos_t = plain, targets.of(plain)
    if loss_type == "Arc":
        new = cos_t * math.cos(margin) - mx.sym.sqrt(1.0 - mx.sym.square(cos_t)) * math.sin(margin)
    elif loss_type == "SV":
        new = mx.sym.where(cos_t > margin, cos_t - margin, cos_t)
        hard = mx.sym.broadcast_greater(plain, mx.sym.expand_dims(cos_t - margin, axis=1))
        hard = mx.sym.broadcast_mul(hard * (1.0 - targets.one_hot), mx.sym.expand_dims(targets.has_class, axis=1))
        cosines = mx.sym.where(mx.sym.BlockGrad(hard), plain * sv_factor + (sv_factor - 1.0), plain)
    else:
        new = cos_t - margin
    nearest = mx.sym.topk(plain, axis=1, k=min(hard_negatives, classes), ret_typ="value")
    rows = mx.sym.mean(mx.sym.relu(nearest), axis=1) * (1.0 - targets.has_class)
    count = mx.sym.sum(1.0 - targets.has_class)
    outlier_loss = mx.sym.broadcast_div(mx.sym.sum(rows), mx.sym.broadcast_maximum(count, count * 0 + 1))
    logits = targets.replace(cosines, new) * scale
    return training_outputs(logits, targets, loss_clip, extra_loss=outlier_loss)

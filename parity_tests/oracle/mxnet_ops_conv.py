"""MXNet: convolutions, fully connected layers, pooling, upsampling.

Source: ``src/operator/nn/{convolution,deconvolution,fully_connected,pooling,upsampling}-inl.h`` of MXNet 1.9.1; the
tests hold each against it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from facecvt.converters.errors import AttributeValueError
from facecvt.parity_tests.oracle.kernels_conv import convolution, transposed_convolution
from facecvt.parity_tests.oracle.kernels_pool import max_pool, mean_pool, power_pool, sum_pool
from facecvt.parity_tests.oracle.mxnet_attributes import MxnetAttributes, mxnet_operator
from facecvt.parity_tests.oracle.values import Compute, Value


@mxnet_operator("Convolution", "Convolution_v1")
def define_convolution(attributes: MxnetAttributes) -> Compute:
    """data, weight[, bias]; no_bias False, num_group 1, stride and dilate 1 (0 means 1), pad 0."""
    kernel = attributes.integers("kernel")
    rank = len(kernel)
    strides, dilations = attributes.steps("stride", rank), attributes.steps("dilate", rank)
    pad = attributes.integers("pad", (0,) * rank)
    groups = attributes.integer("num_group", 1)
    no_bias = attributes.flag("no_bias", False)
    filters = attributes.integer("num_filter")
    attributes.channels_first()

    def compute(x: list[Any]) -> Sequence[Any]:
        data, weight = x[:2]
        if weight.shape[0] != filters or weight.shape[2:] != kernel:
            raise AttributeValueError(f"num_filter {filters}, kernel {kernel} and a weight of shape {weight.shape}")
        bias = None if no_bias else x[2]
        return [
            convolution(data, weight, bias, strides=strides, dilations=dilations, begin=pad, end=pad, groups=groups)
        ]

    return compute


@mxnet_operator("Deconvolution")
def define_deconvolution(attributes: MxnetAttributes) -> Compute:
    """data, weight[, bias]; no_bias True here; target_shape, where given, replaces pad and adj."""
    kernel = attributes.integers("kernel")
    rank = len(kernel)
    strides, dilations = attributes.steps("stride", rank), attributes.steps("dilate", rank)
    pad, adjust = attributes.integers("pad", (0,) * rank), attributes.integers("adj", (0,) * rank)
    target = attributes.integers("target_shape")
    groups = attributes.integer("num_group", 1)
    no_bias = attributes.flag("no_bias", True)
    attributes.integer("num_filter")
    attributes.channels_first()

    def compute(x: list[Any]) -> Sequence[Any]:
        data, weight = x[:2]
        full = [
            s * (n - 1) + d * (k - 1) + 1 for s, n, d, k in zip(strides, data.shape[2:], dilations, kernel, strict=True)
        ]
        if any(target):
            begin = [(f - t + 1) // 2 for f, t in zip(full, target, strict=True)]
            out: Sequence[int] = target
        else:
            begin = list(pad)
            out = [f - 2 * p + a for f, p, a in zip(full, pad, adjust, strict=True)]
        bias = None if no_bias else x[2]
        return [
            transposed_convolution(
                data, weight, bias, strides=strides, dilations=dilations, begin=begin, out=out, groups=groups
            )
        ]

    return compute


@mxnet_operator("FullyConnected")
def define_fully_connected(attributes: MxnetAttributes) -> Compute:
    """data, weight (out, in)[, bias]; flatten True joins all axes but the first, else the last axis alone is mapped."""
    no_bias, flatten = attributes.flag("no_bias", False), attributes.flag("flatten", True)
    hidden = attributes.integer("num_hidden")

    def compute(x: list[Any]) -> Sequence[Any]:
        data, weight = x[:2]
        if weight.shape[0] != hidden:
            raise AttributeValueError(f"num_hidden {hidden} and a weight of shape {weight.shape}")
        rows = data.reshape(data.shape[0], -1) if flatten else data
        y = rows @ weight.T
        if not no_bias:
            y += x[2]
        return [y]

    return compute


def _pool_lengths(
    convention: str, spatial: Sequence[int], kernel: Sequence[int], strides: Sequence[int], pad: Sequence[int]
) -> list[int]:
    spans = [(n + 2 * p - k, s) for n, p, k, s in zip(spatial, pad, kernel, strides, strict=True)]
    if convention == "full":
        return [1 + -(-span // s) for span, s in spans]
    return [1 + span // s for span, s in spans]


@mxnet_operator("Pooling", "Pooling_v1")
def define_pooling(attributes: MxnetAttributes) -> Compute:
    """pool_type max, pooling_convention valid, global_pool False, padding counted in means.

    A mean divides by the part of the window that lies inside the padded input (or the input, without padding counted):
    the last window of the convention "full" may reach beyond. The convention "same" is refused: MXNet 1.9.1 has
    it for one spatial axis only, and fails there.
    """
    kind = attributes.one_of("pool_type", "max", ("max", "avg", "sum", "lp"))
    convention = attributes.one_of("pooling_convention", "valid", ("valid", "full"))
    everything = attributes.flag("global_pool", False)
    kernel = attributes.integers("kernel")
    stride, pad_written = attributes.integers("stride"), attributes.integers("pad")
    count_pad = attributes.flag("count_include_pad", True)
    power = attributes.integer("p_value", 0)
    attributes.channels_first()

    def compute(x: list[Any]) -> Sequence[Any]:
        data: Value = x[0]
        spatial = data.shape[2:]
        rank = len(spatial)
        size = spatial if everything else kernel
        strides = (1,) * rank if everything or not stride else tuple(step or 1 for step in stride)
        pad = (0,) * rank if everything or not pad_written else pad_written
        out = [1] * rank if everything else _pool_lengths(convention, spatial, size, strides, pad)
        window = (size, strides, (1,) * rank, pad, out)
        if kind == "max":
            return [max_pool(data, *window)]
        if kind == "sum":
            return [sum_pool(data, *window)]
        if kind == "lp":
            # As MXNet computes it: the powers 1 and 3 keep their sign, so this is a norm for positive data only.
            if power in (1, 3):
                total = sum_pool(data**power, *window)
                return [total if power == 1 else np.cbrt(total)]
            return [power_pool(data, power, *window)]
        counted = [(-p, n + p) if count_pad else (0, n) for n, p in zip(spatial, pad, strict=True)]
        return [mean_pool(data, *window, counted)]

    return compute


@mxnet_operator("UpSampling")
def define_upsampling(attributes: MxnetAttributes) -> Compute:
    """nearest: every input repeated to the size scale * first input, then joined; bilinear: a grouped Deconvolution."""
    scale = attributes.integer("scale")
    kind = attributes.one_of("sample_type", "", ("nearest", "bilinear"))
    join = attributes.one_of("multi_input_mode", "concat", ("concat", "sum"))
    filters = attributes.integer("num_filter", 0)

    def nearest(x: list[Any]) -> Sequence[Any]:
        rows = x[0].shape[2] * scale
        parts = [part.repeat(rows // part.shape[2], axis=2).repeat(rows // part.shape[2], axis=3) for part in x]
        return [sum(parts[1:], start=parts[0]) if join == "sum" else np.concatenate(parts, axis=1)]

    def bilinear(x: list[Any]) -> Sequence[Any]:
        data, weight = x
        out = [n * scale for n in data.shape[2:]]
        begin = [math.ceil((scale - 1) / 2.0)] * 2
        return [
            transposed_convolution(
                data, weight, None, strides=(scale,) * 2, dilations=(1, 1), begin=begin, out=out, groups=filters
            )
        ]

    return nearest if kind == "nearest" else bilinear


def _linear_axis(x: Value, axis: int, size: int, corners: bool) -> Value:
    """One axis drawn out linearly; places before the first pixel count as the first."""
    old = x.shape[axis]
    if corners:
        place = np.arange(size) * ((old - 1) / (size - 1) if size > 1 else 0.0)
    elif size == 1:
        place = np.zeros(1)  # the first pixel, not the middle
    else:
        place = np.maximum((np.arange(size) + 0.5) * (old / size) - 0.5, 0.0)
    low = np.minimum(place.astype(np.int64), old - 1)
    high = np.minimum(low + 1, old - 1)
    share = (place - low).astype(x.dtype).reshape([-1 if n == axis else 1 for n in range(x.ndim)])
    drawn: Value = x.take(low, axis=axis) * (1 - share) + x.take(high, axis=axis) * share
    return drawn


@mxnet_operator("_contrib_BilinearResize2D")
def define_bilinear_resize(attributes: MxnetAttributes) -> Compute:
    """height and width, or scale_height and scale_width, or the size of a second operand; corners on corners or not."""
    parity = {"to_even_down": (0, -1), "to_even_up": (0, 1), "to_odd_down": (-1, 0), "to_odd_up": (1, 0)}
    mode = attributes.one_of("mode", "size", ("size", "like", "odd_scale", *parity))
    height, width = attributes.integer("height", 1), attributes.integer("width", 1)
    factors = [attributes.number(name, 0.0) for name in ("scale_height", "scale_width")]
    corners = attributes.flag("align_corners", True)

    def compute(x: list[Any]) -> Sequence[Any]:
        data, sizes = x[0], [height, width]
        if mode == "like":
            sizes = list(x[1].shape[2:])
        elif mode in parity:
            sizes = [old + parity[mode][old % 2] for old in data.shape[2:]]
        elif mode == "odd_scale":
            sizes = [int((old - old % 2) * f) + old % 2 for f, old in zip(factors, data.shape[2:], strict=True)]
        elif all(factors):
            sizes = [int(factor * old) for factor, old in zip(factors, data.shape[2:], strict=True)]
        return [_linear_axis(_linear_axis(data, 2, sizes[0], corners), 3, sizes[1], corners)]

    return compute


@mxnet_operator("_contrib_AdaptiveAvgPooling2D")
def define_adaptive_mean(attributes: MxnetAttributes) -> Compute:
    """output_size: height and width, one number for both, or 1 where it is not there; windows share their borders."""
    wanted = attributes.integers("output_size") or (1,)
    rows, columns = wanted * 2 if len(wanted) == 1 else wanted

    def compute(x: list[Any]) -> Sequence[Any]:
        data: Value = x[0]
        height, width = data.shape[2:]
        y = np.empty((*data.shape[:2], rows, columns), data.dtype)
        for i, j in np.ndindex(rows, columns):
            tall = slice(math.floor(i * height / rows), math.ceil((i + 1) * height / rows))
            wide = slice(math.floor(j * width / columns), math.ceil((j + 1) * width / columns))
            y[:, :, i, j] = data[:, :, tall, wide].mean(axis=(2, 3))
        return [y]

    return compute


@mxnet_operator("_contrib_MultiBoxPrior")
def define_multibox_prior(attributes: MxnetAttributes) -> Compute:
    """For every cell a box of every size at the first ratio, then of the first size at every other ratio."""

    def numbers(name: str, default: str) -> list[float]:
        return [float(item) for item in attributes.text(name, default).strip("()[] ").split(",") if item.strip()]

    sizes, ratios = numbers("sizes", "1"), numbers("ratios", "1")
    steps, offsets = numbers("steps", "-1,-1"), numbers("offsets", "0.5,0.5")
    clip = attributes.flag("clip", False)
    kinds = [(size, ratios[0]) for size in sizes] + [(sizes[0], ratio) for ratio in ratios[1:]]

    def compute(x: list[Any]) -> Sequence[Any]:
        rows, columns = x[0].shape[2:4]
        down, across = (step if min(steps) > 0 else 1 / n for step, n in zip(steps, (rows, columns), strict=True))
        boxes = []
        for row in range(rows):
            for column in range(columns):
                y, middle = (row + offsets[0]) * down, (column + offsets[1]) * across
                for size, ratio in kinds:
                    wide, tall = size * rows / columns * np.sqrt(ratio) / 2, size / np.sqrt(ratio) / 2
                    boxes.append([middle - wide, y - tall, middle + wide, y + tall])
        result = np.array([boxes], x[0].dtype)
        return [np.clip(result, 0, 1) if clip else result]

    return compute


@mxnet_operator("dot")
def define_dot(attributes: MxnetAttributes) -> Compute:
    """Last axis of the first with the first axis of the second operand, each transposed before where asked."""
    left, right = attributes.flag("transpose_a", False), attributes.flag("transpose_b", False)
    attributes.ignore("forward_stype")

    def compute(x: list[Any]) -> Sequence[Any]:
        a, b = x
        # transpose_a moves the first axis to the end, transpose_b the last one to the front.
        a = np.moveaxis(a, 0, -1) if left else a
        b = np.moveaxis(b, -1, 0) if right else b
        return [np.tensordot(a, b, axes=1)]

    return compute


@mxnet_operator("batch_dot")
def define_batch_dot(attributes: MxnetAttributes) -> Compute:
    """Matrix product over the last two axes, each transposed before where asked."""
    left, right = attributes.flag("transpose_a", False), attributes.flag("transpose_b", False)
    attributes.ignore("forward_stype")

    def compute(x: list[Any]) -> Sequence[Any]:
        a, b = x
        return [(a.swapaxes(-1, -2) if left else a) @ (b.swapaxes(-1, -2) if right else b)]

    return compute


@mxnet_operator("_npi_matmul", suffixes=lambda attributes: ("out",))
def define_numpy_matmul(attributes: MxnetAttributes) -> Compute:
    """numpy's product, leading axes broadcast."""
    return lambda x: [np.matmul(x[0], x[1])]


@mxnet_operator("linalg_gemm2", "_linalg_gemm2")
def define_linalg_gemm2(attributes: MxnetAttributes) -> Compute:
    """alpha times the product of matrices whose rows lie along ``axis``, the columns in the last one."""
    left, right = attributes.flag("transpose_a", False), attributes.flag("transpose_b", False)
    alpha, axis = attributes.number("alpha", 1.0), attributes.integer("axis", -2)

    def compute(x: list[Any]) -> Sequence[Any]:
        a, b = (np.moveaxis(operand, axis, -2) for operand in x)
        product = alpha * ((a.swapaxes(-1, -2) if left else a) @ (b.swapaxes(-1, -2) if right else b))
        return [np.moveaxis(product, -2, axis)]

    return compute

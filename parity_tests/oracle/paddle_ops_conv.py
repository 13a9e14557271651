"""Paddle: convolutions and pooling.

paddings are (height, width) or (top, bottom, left, right), with the depth in front of them for volumes. SAME computes
them from the undilated kernel and sets the dilation to 1; VALID sets them to 0. Source: ``paddle/phi/kernels/cpu`` and
``funcs/pooling.cc`` of Paddle 3.3.1; the tests hold each against it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from facecvt.parity_tests.oracle.kernels_conv import convolution, same_padding, transposed_convolution
from facecvt.parity_tests.oracle.kernels_pool import adaptive_pool, max_pool, mean_pool
from facecvt.parity_tests.oracle.paddle_attributes import Operands, PaddleAttributes, PaddleCompute, paddle_operator
from facecvt.parity_tests.oracle.values import Value, per_axis

Pads = tuple[list[int], list[int]]


def _spatial_axes(attributes: PaddleAttributes) -> int:
    return 3 if "3d" in attributes.operator else 2


def _paddings(attributes: PaddleAttributes) -> Callable[[Sequence[int], Sequence[int], Sequence[int]], Pads]:
    """(input lengths, kernel, strides) -> zeros before and behind each axis."""
    algorithm = attributes.one_of("padding_algorithm", "EXPLICIT", ("EXPLICIT", "SAME", "VALID"))
    written = attributes.integers("paddings", default=(0,) * _spatial_axes(attributes))

    def pads(lengths: Sequence[int], kernel: Sequence[int], strides: Sequence[int]) -> Pads:
        rank = len(lengths)
        if algorithm == "VALID":
            return [0] * rank, [0] * rank
        if algorithm == "SAME":
            both = [same_padding(n, k, s, 1) for n, k, s in zip(lengths, kernel, strides, strict=True)]
            return [begin for begin, _ in both], [end for _, end in both]
        if len(written) == 2 * rank:
            return list(written[::2]), list(written[1::2])
        each = per_axis(written, rank, 0, "paddings")
        return list(each), list(each)

    return pads


def _channels_first(x: Value, axis: int) -> Value:
    return x if axis == 1 else np.moveaxis(x, -1, 1)


def _as_it_was(y: Value, axis: int) -> Value:
    return y if axis == 1 else np.moveaxis(y, 1, -1)


@paddle_operator(
    *("conv2d", "depthwise_conv2d", "conv3d"),
    operands=("Input", "Filter", "Bias", "ResidualData"),
    outputs=("Output",),
)
def define_convolution(attributes: PaddleAttributes) -> PaddleCompute:
    """Input, Filter (M, C / groups, kernel) in either layout."""
    axis, groups = attributes.channel_axis(), int(attributes.raw("groups", 1))
    strides = attributes.integers("strides", default=(1,) * _spatial_axes(attributes))
    dilations = attributes.integers("dilations", default=(1,) * _spatial_axes(attributes))
    same = attributes.raw("padding_algorithm", "EXPLICIT") == "SAME"
    pads = _paddings(attributes)
    attributes.ignore("is_test")

    def compute(x: Operands) -> Sequence[Any]:
        if x.maybe("ResidualData") is not None:
            raise attributes.refuse("ResidualData", "a fused operator; export the model without inference passes")
        data, weight = _channels_first(x.one("Input"), axis), x.one("Filter")
        begin, end = pads(data.shape[2:], weight.shape[2:], strides)
        steps = (1,) * len(strides) if same else dilations
        y = convolution(
            data, weight, x.maybe("Bias"), strides=strides, dilations=steps, begin=begin, end=end, groups=groups or 1
        )
        return [_as_it_was(y, axis)]

    return compute


@paddle_operator("conv3d_transpose", operands=("Input", "Filter", "Bias"), outputs=("Output",))
@paddle_operator(
    "conv2d_transpose",
    "depthwise_conv2d_transpose",
    operands=("Input", "Filter", "OutputSize", "Bias"),
    outputs=("Output",),
)
def define_transposed_convolution(attributes: PaddleAttributes) -> PaddleCompute:
    """Input, Filter (C, M / groups, kernel); output_size, where given, decides between the possible lengths."""
    axis, groups = attributes.channel_axis(), int(attributes.raw("groups", 1))
    strides = attributes.integers("strides", default=(1,) * _spatial_axes(attributes))
    dilations = attributes.integers("dilations", default=(1,) * _spatial_axes(attributes))
    extra = attributes.integers("output_padding", default=())
    asked = attributes.integers("output_size", default=())
    same = attributes.raw("padding_algorithm", "EXPLICIT") == "SAME"
    pads = _paddings(attributes)
    attributes.ignore("is_test")

    def compute(x: Operands) -> Sequence[Any]:
        data, weight = _channels_first(x.one("Input"), axis), x.one("Filter")
        lengths, kernel = data.shape[2:], weight.shape[2:]
        begin, end = pads(lengths, kernel, strides)
        steps = (1,) * len(strides) if same else dilations
        out = x.integers(asked, "OutputSize")
        if not out:
            more = extra or (0,) * len(lengths)
            out = [
                (n - 1) * s + d * (k - 1) + 1 - b - e + m
                for n, s, d, k, b, e, m in zip(lengths, strides, steps, kernel, begin, end, more, strict=True)
            ]
        y = transposed_convolution(
            data, weight, x.maybe("Bias"), strides=strides, dilations=steps, begin=begin, out=out, groups=groups or 1
        )
        return [_as_it_was(y, axis)]

    return compute


@paddle_operator("pool2d", "pool3d", operands=("X", "Kernel"))
def define_pooling(attributes: PaddleAttributes) -> PaddleCompute:
    """max or avg; exclusive (the default) divides by the positions inside the input."""
    kind = attributes.one_of("pooling_type", "", ("max", "avg"))
    exclusive = bool(attributes.raw("exclusive", True))
    return _pooling(attributes, kind == "max", exclusive)


@paddle_operator("max_pool2d_with_index", operands=("X",), outputs=("Out",))
def define_max_pooling_with_index(attributes: PaddleAttributes) -> PaddleCompute:
    """The maximum; the index, its second result, is not computed."""
    return _pooling(attributes, True, True)


def _pooling(attributes: PaddleAttributes, maximum: bool, exclusive: bool) -> PaddleCompute:
    axis = attributes.channel_axis()
    size = attributes.integers("ksize", "kernel_size", default=())
    strides = attributes.integers("strides", default=(1,) * _spatial_axes(attributes))
    everything, adaptive = bool(attributes.raw("global_pooling", False)), bool(attributes.raw("adaptive", False))
    ceil = bool(attributes.raw("ceil_mode", False))
    pads = _paddings(attributes)
    attributes.ignore("is_test")

    def compute(x: Operands) -> Sequence[Any]:
        data = _channels_first(x.one("X"), axis)
        lengths = data.shape[2:]
        kernel: Sequence[int] = per_axis(x.integers(size, "Kernel"), len(lengths), 1, "ksize")
        if adaptive:
            return [_as_it_was(adaptive_pool(data, kernel, maximum=maximum), axis)]
        begin, end = pads(lengths, kernel, strides)
        if everything:
            kernel, begin, end = lengths, [0] * len(lengths), [0] * len(lengths)
        out = [
            (n + b + e - k + (s - 1 if ceil else 0)) // s + 1
            for n, b, e, k, s in zip(lengths, begin, end, kernel, strides, strict=True)
        ]
        window = (kernel, strides, (1,) * len(lengths), begin, out)
        if maximum:
            return [_as_it_was(max_pool(data, *window), axis)]
        # Without exclusive a window is cut where the padding in front, were it behind as well, would end.
        counted = [(0, n) if exclusive else (-b, n + b) for n, b in zip(lengths, begin, strict=True)]
        return [_as_it_was(mean_pool(data, *window, counted), axis)]

    return compute

"""ONNX: convolutions, pooling, matrix products.

Source: the ONNX operator specification, https://onnx.ai/onnx/operators; the tests hold each against its reference
evaluator, its node tests and ONNX Runtime.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from facecvt.parity_tests.oracle.kernels_conv import (
    convolution,
    output_length,
    same_padding,
    transposed_convolution,
)
from facecvt.parity_tests.oracle.kernels_pool import max_pool, mean_pool, power_pool
from facecvt.parity_tests.oracle.onnx_attributes import OnnxAttributes, onnx_operator, operand
from facecvt.parity_tests.oracle.values import Compute, Value

Pads = tuple[Sequence[int], Sequence[int]]
AUTO_PADS = ("NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER")


def _padding(
    attributes: OnnxAttributes,
) -> Callable[[Sequence[int], Sequence[int], Sequence[int], Sequence[int]], Pads]:
    """(input lengths, kernel, strides, dilations) -> padding before and behind each axis."""
    rule = attributes.one_of("auto_pad", "NOTSET", AUTO_PADS)
    written = attributes.integers("pads")

    def pads(lengths: Sequence[int], kernel: Sequence[int], strides: Sequence[int], dilations: Sequence[int]) -> Pads:
        rank = len(lengths)
        if rule.startswith("SAME"):
            both = [
                same_padding(n, k, s, d, more_at_begin=rule == "SAME_LOWER")
                for n, k, s, d in zip(lengths, kernel, strides, dilations, strict=True)
            ]
            return [begin for begin, _ in both], [end for _, end in both]
        if written is None or rule == "VALID":
            return (0,) * rank, (0,) * rank
        return written[:rank], written[rank:]

    return pads


@onnx_operator("Conv")
def define_convolution(attributes: OnnxAttributes) -> Compute:
    """X, W (M, C / group, kernel)[, B]."""
    groups, strides, dilations = (
        attributes.integer("group", 1),
        attributes.integers("strides"),
        attributes.integers("dilations"),
    )
    kernel = attributes.integers("kernel_shape")
    pads = _padding(attributes)

    def compute(x: list[Any]) -> Sequence[Any]:
        data, weight = x[:2]
        rank = data.ndim - 2
        if kernel is not None and weight.shape[2:] != kernel:
            raise attributes.refuse("kernel_shape", f"the weight has shape {weight.shape}")
        steps, spread = strides or (1,) * rank, dilations or (1,) * rank
        begin, end = pads(data.shape[2:], weight.shape[2:], steps, spread)
        return [
            convolution(
                data, weight, operand(x, 2), strides=steps, dilations=spread, begin=begin, end=end, groups=groups
            )
        ]

    return compute


@onnx_operator("ConvTranspose")
def define_transposed_convolution(attributes: OnnxAttributes) -> Compute:
    """X, W (C, M / group, kernel)[, B]; output_shape, or SAME, decides the padding from the output's length."""
    groups, strides, dilations = (
        attributes.integer("group", 1),
        attributes.integers("strides"),
        attributes.integers("dilations"),
    )
    rule = attributes.one_of("auto_pad", "NOTSET", AUTO_PADS)
    written, extra = attributes.integers("pads"), attributes.integers("output_padding")
    asked = attributes.integers("output_shape")
    attributes.ignore("kernel_shape")

    def compute(x: list[Any]) -> Sequence[Any]:
        data, weight = x[:2]
        lengths, rank = data.shape[2:], data.ndim - 2
        steps, spread, more = strides or (1,) * rank, dilations or (1,) * rank, extra or (0,) * rank
        full = [
            s * (n - 1) + m + (k - 1) * d + 1
            for s, n, m, k, d in zip(steps, lengths, more, weight.shape[2:], spread, strict=True)
        ]
        out: Sequence[int] | None = None if asked is None else asked[-rank:]
        if out is None and rule.startswith("SAME"):
            out = [n * s for n, s in zip(lengths, steps, strict=True)]
        if out is not None:
            total = [max(f - o, 0) for f, o in zip(full, out, strict=True)]
            begin: Sequence[int] = [t // 2 if rule == "SAME_UPPER" else t - t // 2 for t in total]
        else:
            pads = written if written is not None and rule == "NOTSET" else (0,) * (2 * rank)
            begin = pads[:rank]
            out = [f - b - e for f, b, e in zip(full, begin, pads[rank:], strict=True)]
        return [
            transposed_convolution(
                data, weight, operand(x, 2), strides=steps, dilations=spread, begin=begin, out=out, groups=groups
            )
        ]

    return compute


def _define_pool(attributes: OnnxAttributes, pool: Callable[..., Value]) -> Compute:
    """Common part of the poolings; ``pool`` gets data, the window's arguments, and the padding behind."""
    kernel, strides = attributes.integers("kernel_shape") or (), attributes.integers("strides")
    dilations, ceil = attributes.integers("dilations"), bool(attributes.integer("ceil_mode", 0))
    pads = _padding(attributes)

    def compute(x: list[Any]) -> Sequence[Any]:
        data = x[0]
        rank = len(kernel)
        steps, spread = strides or (1,) * rank, dilations or (1,) * rank
        begin, end = pads(data.shape[2:], kernel, steps, spread)
        out = list(map(output_length, data.shape[2:], kernel, steps, spread, begin, end))
        if ceil:
            for axis, length in enumerate(data.shape[2:]):
                span = length + begin[axis] + end[axis] - spread[axis] * (kernel[axis] - 1) - 1
                out[axis] = -(-span // steps[axis]) + 1
                # A last window that would begin behind the input and its padding in front is left out.
                out[axis] -= (out[axis] - 1) * steps[axis] >= length + begin[axis]
        return [pool(data, (kernel, steps, spread, begin, out), end)]

    return compute


@onnx_operator("MaxPool")
def define_max_pool(attributes: OnnxAttributes) -> Compute:
    """The maximum of each window; the indices, its second result, are not computed."""
    attributes.ignore("storage_order")
    return _define_pool(attributes, lambda data, window, end: max_pool(data, *window))


@onnx_operator("AveragePool")
def define_average_pool(attributes: OnnxAttributes) -> Compute:
    """The mean of each window, padding left out unless count_include_pad; what reaches beyond it never counts."""
    count_pad = bool(attributes.integer("count_include_pad", 0))

    def pool(data: Value, window: Any, end: Sequence[int]) -> Value:
        kernel, strides, dilations, begin, out = window
        counted = [(-b, n + e) if count_pad else (0, n) for b, n, e in zip(begin, data.shape[2:], end, strict=True)]
        return mean_pool(data, kernel, strides, dilations, begin, out, counted)

    return _define_pool(attributes, pool)


@onnx_operator("LpPool")
def define_lp_pool(attributes: OnnxAttributes) -> Compute:
    """The p-norm of each window; p 2."""
    power = attributes.integer("p", 2)
    return _define_pool(attributes, lambda data, window, end: power_pool(data, power, *window))


def _spatial_axes(x: Value) -> tuple[int, ...]:
    return tuple(range(2, x.ndim))


@onnx_operator("GlobalAveragePool")
def define_global_average(attributes: OnnxAttributes) -> Compute:
    """The mean over all spatial axes, which stay with length one."""
    return lambda x: [x[0].mean(axis=_spatial_axes(x[0]), keepdims=True)]


@onnx_operator("GlobalMaxPool")
def define_global_max(attributes: OnnxAttributes) -> Compute:
    """The maximum over all spatial axes, which stay with length one."""
    return lambda x: [x[0].max(axis=_spatial_axes(x[0]), keepdims=True)]


@onnx_operator("Gemm")
def define_gemm(attributes: OnnxAttributes) -> Compute:
    """alpha * A' @ B' + beta * C."""
    alpha, beta = attributes.number("alpha", 1.0), attributes.number("beta", 1.0)
    left, right = attributes.integer("transA", 0), attributes.integer("transB", 0)

    def compute(x: list[Any]) -> Sequence[Any]:
        y = (x[0].T if left else x[0]) @ (x[1].T if right else x[1])
        y = y if alpha == 1.0 else y * alpha
        shift = operand(x, 2)
        return [y if shift is None else y + (shift if beta == 1.0 else shift * beta)]

    return compute


@onnx_operator("MatMul")
def define_matmul(attributes: OnnxAttributes) -> Compute:
    """As numpy's matmul."""
    return lambda x: [np.matmul(x[0], x[1])]


@onnx_operator("Einsum")
def define_einsum(attributes: OnnxAttributes) -> Compute:
    """As numpy's einsum."""
    equation = str(attributes.required("equation"))
    return lambda x: [np.einsum(equation, *x)]

"""ONNX: reductions, extremes, resampling.

Source: the ONNX operator specification, https://onnx.ai/onnx/operators; the tests hold each against its reference
evaluator, its node tests and ONNX Runtime.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from facecvt.parity_tests.oracle import kernels_resize as resize
from facecvt.parity_tests.oracle.kernels_shape import extreme_index, leading
from facecvt.parity_tests.oracle.onnx_attributes import OnnxAttributes, onnx_operator, operand, operand_integers
from facecvt.parity_tests.oracle.values import Compute, Value, along_axis, normal_axes


def _log_sum_exp(x: Value, axis: tuple[int, ...], keepdims: bool) -> Any:
    top = x.max(axis=axis, keepdims=True)
    total = np.log(np.exp(x - top).sum(axis=axis, keepdims=True)) + top
    return total if keepdims else np.squeeze(total, axis=axis)


def _in_own_type(function: Callable[..., Any]) -> Callable[..., Any]:
    """A reduction whose result keeps the element type, as integers do in ONNX."""
    return lambda x, axis, keepdims: np.asarray(function(x, axis=axis, keepdims=keepdims)).astype(x.dtype, copy=False)


REDUCTIONS: dict[str, Callable[..., Any]] = {
    "ReduceSum": _in_own_type(np.sum),
    "ReduceMean": _in_own_type(np.mean),
    "ReduceProd": _in_own_type(np.prod),
    "ReduceMax": np.max,
    "ReduceMin": np.min,
    "ReduceL1": lambda x, axis, keepdims: _in_own_type(np.sum)(np.abs(x), axis, keepdims),
    "ReduceL2": lambda x, axis, keepdims: np.sqrt(np.square(x).sum(axis=axis, keepdims=keepdims)),
    "ReduceSumSquare": lambda x, axis, keepdims: _in_own_type(np.sum)(np.square(x), axis, keepdims),
    "ReduceLogSum": lambda x, axis, keepdims: np.log(np.sum(x, axis=axis, keepdims=keepdims)),
    "ReduceLogSumExp": _log_sum_exp,
}


def _define_reduction(name: str, function: Callable[..., Any]) -> None:
    @onnx_operator(name)
    def define(attributes: OnnxAttributes) -> Compute:
        """axes as attribute or operand, all when absent (none with noop_with_empty_axes); keepdims 1."""
        written, keep = attributes.integers("axes"), bool(attributes.integer("keepdims", 1))
        nothing = bool(attributes.integer("noop_with_empty_axes", 0))

        def compute(x: list[Any]) -> Sequence[Any]:
            axes = operand_integers(x, 1) if written is None else written
            over = () if not axes and nothing else normal_axes(axes, x[0].ndim)
            return [x[0]] if not over and nothing else [function(x[0], axis=over, keepdims=keep)]

        return compute


for _name, _function in REDUCTIONS.items():
    _define_reduction(_name, _function)


def _define_extreme(name: str, smallest: bool) -> None:
    @onnx_operator(name)
    def define(attributes: OnnxAttributes) -> Compute:
        """Index of the first (or last) extreme element of axis (0), int64; keepdims 1."""
        axis, keep = attributes.integer("axis", 0), bool(attributes.integer("keepdims", 1))
        last = bool(attributes.integer("select_last_index", 0))
        return lambda x: [extreme_index(x[0], axis, keep, last=last, smallest=smallest)]


_define_extreme("ArgMax", False)
_define_extreme("ArgMin", True)


@onnx_operator("TopK")
def define_top_k(attributes: OnnxAttributes) -> Compute:
    """The k greatest (or smallest) of axis (-1) in order, and their indices; of equals the first."""
    axis, largest = attributes.integer("axis", -1), bool(attributes.integer("largest", 1))
    written = attributes.raw("k")
    attributes.ignore("sorted")

    def compute(x: list[Any]) -> Sequence[Any]:
        count = int(written) if written is not None else (operand_integers(x, 1) or (0,))[0]
        return leading(x[0], count, axis, largest=largest)

    return compute


@onnx_operator("CumSum")
def define_cumulative_sum(attributes: OnnxAttributes) -> Compute:
    """Along an axis; exclusive leaves the element itself out, reverse sums from the end."""
    exclusive, backwards = attributes.integer("exclusive", 0), attributes.integer("reverse", 0)

    def compute(x: list[Any]) -> Sequence[Any]:
        axis = int(x[1].reshape(-1)[0])
        data = np.flip(x[0], axis) if backwards else x[0]
        y = np.cumsum(data, axis=axis, dtype=data.dtype)
        y = y - data if exclusive else y
        return [np.flip(y, axis) if backwards else y]

    return compute


@onnx_operator("Upsample")
def define_upsample(attributes: OnnxAttributes) -> Compute:
    """Opset 7 to 9: each position divided by the scale, rounded down (nearest) or interpolated (linear)."""
    mode = attributes.one_of("mode", "nearest", ("nearest", "linear"))
    return _resample(mode, attributes.raw("scales"))


def _resample(mode: str, written: Any) -> Compute:
    """Before opset 11: position / scale; the nearest element is the next when an axis shrinks, else the last."""

    def compute(x: list[Any]) -> Sequence[Any]:
        y: Value = x[0]
        for axis, scale in enumerate(float(item) for item in (x[1] if written is None else written)):
            if scale != 1.0:
                where = resize.coordinates("asymmetric", y.shape[axis], math.floor(y.shape[axis] * scale), scale)
                y = _at(y, axis, where, scale, mode, "ceil" if scale < 1 else "floor", False)
        return [y]

    return compute


@onnx_operator("Resize")
def define_resize(attributes: OnnxAttributes) -> Compute:
    """X, scales (opset 10); X, roi, scales, sizes since 11: half_pixel, round_prefer_floor by default."""
    mode = attributes.one_of("mode", "nearest", ("nearest", "linear"))
    if attributes.opset < 11:
        return _resample(mode, None)
    rule = str(attributes.raw("coordinate_transformation_mode", "half_pixel"))
    rounding = str(attributes.raw("nearest_mode", "round_prefer_floor"))
    outside = attributes.number("extrapolation_value", 0.0)
    antialias, chosen = bool(attributes.integer("antialias", 0)), attributes.integers("axes")
    policy = attributes.one_of("keep_aspect_ratio_policy", "stretch", ("stretch", "not_larger", "not_smaller"))
    attributes.ignore("cubic_coeff_a", "exclude_outside")  # they matter for cubic interpolation alone

    def compute(x: list[Any]) -> Sequence[Any]:
        y: Value = x[0]
        axes = normal_axes(chosen, y.ndim)
        lengths = [y.shape[axis] for axis in axes]
        scales, sizes = operand(x, 2), operand_integers(x, 3)
        if sizes:
            factors = [size / length for size, length in zip(sizes, lengths, strict=True)]
            out = list(sizes)
            if policy != "stretch":
                one = min(factors) if policy == "not_larger" else max(factors)
                factors = [one] * len(axes)
                out = [math.floor(length * one + 0.5) for length in lengths]
        else:
            factors = [float(item) for item in ([] if scales is None else scales)]
            out = [math.floor(length * factor) for length, factor in zip(lengths, factors, strict=True)]
        region = operand(x, 1)
        for position, (axis, target, factor) in enumerate(zip(axes, out, factors, strict=True)):
            length = y.shape[axis]
            if rule == "tf_crop_and_resize" and region is not None:
                bounds = (float(region[position]), float(region[position + len(axes)]))
                where = resize.coordinates(rule, length, target, factor, bounds)
                inside = along_axis((where >= 0) & (where <= length - 1), axis, y.ndim)
                y = np.where(inside, _at(y, axis, where, factor, mode, rounding, antialias), outside).astype(y.dtype)
            elif target != length or factor != 1.0:
                where = resize.coordinates(rule, length, target, factor)
                y = _at(y, axis, where, factor, mode, rounding, antialias)
        return [y]

    return compute


def _at(y: Value, axis: int, where: Any, factor: float, mode: str, rounding: str, antialias: bool) -> Value:
    if mode == "nearest":
        return resize.nearest_axis(y, axis, where, rounding)
    if antialias:
        return resize.antialiased_axis(y, axis, where, factor)
    return resize.linear_axis(y, axis, where)

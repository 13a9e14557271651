"""Seeded weights for Paddle programs that come without any.

Each parameter's role is read from the operator slot that uses it, and the values are drawn so that activations keep a
second moment of order one through the whole depth (He et al., "Delving Deep into Rectifiers", 2015)::

    filter, matrix   N(0, gain / fan_in), gain = 1 / (1.065 E[f(z)^2]) for the activation f in front of the operator;
                     1.065 is what bias and BatchNorm below add to the second moment
    bias             N(0, 0.1^2)
    BatchNorm        scale 0.9..1.1, bias N(0, 0.1^2), mean N(0, 0.1^2), variance 0.7..1.3; where its result is added
                     to another branch the scale is 0.3 of that, else a residual sum would double the variance
    PReLU slope      0.1..0.4

A parameter's values depend on the seed and its own name only. Distinct values everywhere make a swap of two parameters
of one shape visible in the outputs.
"""

from __future__ import annotations

import math
import zlib
from typing import Any

import numpy as np

from facecvt.converters.formats.paddle_program import PaddleOp, PaddleProgram

# (operator, slot) -> role; a PIR operator has numbers for slots.
_ROLES = {
    ("batch_norm", "Scale"): "bn_scale",
    ("batch_norm", "Bias"): "small",
    ("batch_norm", "Mean"): "small",
    ("batch_norm", "Variance"): "bn_variance",
    ("batch_norm", "1"): "small",
    ("batch_norm", "2"): "bn_variance",
    ("batch_norm", "3"): "bn_scale",
    ("batch_norm", "4"): "small",
    ("prelu", "Alpha"): "slope",
    ("prelu", "1"): "slope",
    **{
        (operator, slot): "filter"
        for operator in ("conv2d", "depthwise_conv2d", "conv2d_transpose")
        for slot in ("Filter", "1")
    },
    **{(operator, slot): "matrix" for operator in ("matmul", "matmul_v2", "mul") for slot in ("Y", "1")},
    ("fc", "W"): "matrix",
}
# Operator in front of a filter -> 1 / E[f(z)^2], z standard normal; a gate multiplies by about a half.
_GAIN_BEHIND = {
    "relu": 2.0,
    "relu6": 2.0,
    "leaky_relu": 2.0,
    "prelu": 2.0 / (1.0 + 0.25**2),
    "hard_swish": 2.8,
    "hardswish": 2.8,
    "elementwise_mul": 4.0,
    "multiply": 4.0,
}
# Second moment behind bias and BatchNorm, for 1 in front: (1 + bias 0.01 + mean 0.01) * E[1 / variance] 1.032
# * E[scale^2] 1.003 + bias 0.01.
_GROWTH = 1.065
_TRANSPARENT = frozenset(
    {"dropout", "flatten", "flatten_contiguous_range", "pool2d", "reshape", "reshape2", "scale", "squeeze2", "squeeze"}
)
_SUMS = frozenset({"elementwise_add", "add"})


def synthesise_params(program: PaddleProgram, seed: int = 0) -> dict[str, np.ndarray[Any, np.dtype[Any]]]:
    """Weights for every parameter of a program.

    Args:
        program: of either dialect.
        seed: another seed gives other values.

    Returns:
        name -> array of the shape and element type that the program declares, in sorted order.

    Raises:
        ValueError: a parameter of an element type that is not floating point, or with an open dimension.
    """
    draw = _Weights(program)
    return {name: draw.parameter(name, seed) for name in program.parameters}


class _Weights:
    """A program's uses and producers, looked up for each parameter."""

    def __init__(self, program: PaddleProgram) -> None:
        self.program = program
        self.producer = {name: op for op in program.ops for names in op.outputs.values() for name in names}
        self.uses: dict[str, list[tuple[PaddleOp, str]]] = {}
        for op in program.ops:
            for slot, names in op.inputs.items():
                for name in names:
                    self.uses.setdefault(name, []).append((op, slot))

    def parameter(self, name: str, seed: int) -> np.ndarray[Any, np.dtype[Any]]:
        variable = self.program.vars[name]
        if variable.dtype is None or variable.dtype.kind != "f" or any(size < 0 for size in variable.shape):
            raise ValueError(
                f"parameter {name!r} is {variable.dtype} {variable.shape}: no weights can be made up for it"
            )
        generator = np.random.default_rng([seed, zlib.crc32(name.encode())])
        roles = [(role, op) for op, slot in self.uses.get(name, []) if (role := _ROLES.get((op.type, slot)))]
        role, op = roles[0] if roles else ("small", None)
        return self._draw(role, op, variable.shape, generator).astype(variable.dtype)

    def _draw(
        self, role: str, op: PaddleOp | None, shape: tuple[int, ...], generator: np.random.Generator
    ) -> np.ndarray[Any, np.dtype[np.float64]]:
        if role in ("filter", "matrix"):
            assert op is not None
            fan_in = math.prod(shape[1:]) if role == "filter" else shape[0]
            return generator.standard_normal(shape) * math.sqrt(self._gain_before(op) / _GROWTH / fan_in)
        if role == "bn_scale":
            assert op is not None
            return generator.uniform(0.9, 1.1, shape) * (0.3 if self._is_added(op) else 1.0)
        if role == "bn_variance":
            return generator.uniform(0.7, 1.3, shape)
        if role == "slope":
            return generator.uniform(0.1, 0.4, shape)
        return generator.standard_normal(shape) * 0.1

    def _gain_before(self, op: PaddleOp) -> float:
        """The gain that makes up for the activation in front of an operator."""
        source = self.producer.get(_data_input(op))
        while source is not None and source.type in _TRANSPARENT:
            source = self.producer.get(_data_input(source))
        return _GAIN_BEHIND.get(source.type, 1.0) if source is not None else 1.0

    def _is_added(self, op: PaddleOp) -> bool:
        """True where the result goes into a sum with another computed value and nowhere else: a residual branch."""
        uses = self.uses.get(_main_output(op), [])
        return len(uses) == 1 and uses[0][0].type in _SUMS and not self._has_weight(uses[0][0])

    def _has_weight(self, op: PaddleOp) -> bool:
        names = [name for group in op.inputs.values() for name in group]
        return any(self.program.vars[name].persistable for name in names)


def _first(slots: dict[str, list[str]], candidates: tuple[str, ...]) -> str:
    return next((slots[slot][0] for slot in candidates if slots.get(slot)), "")


def _data_input(op: PaddleOp) -> str:
    return _first(op.inputs, ("Input", "X", "0"))


def _main_output(op: PaddleOp) -> str:
    return _first(op.outputs, ("Output", "Out", "Y", "0"))

"""Weights of a reference architecture from a seed, the same in every run and framework.

Every array depends on its canonical name, its shape, its role and the seed alone: numpy's PCG64 is started from the
BLAKE2b hash of "<seed>/<canonical name>". Activations keep a size of order one from the first layer to the last:

    weight    normal, variance g / fan_in; g makes up for the power that the activation in front loses: 1 behind none,
              2 / (1 + E[slope^2]) behind a PRelu, 2 behind Relu and Relu6, 3 behind HardSwish, and 4 times as much
              where a gate around 1/2 (squeeze and excitation) lies between
    bias      normal * 0.05
    scale     uniform 0.8 .. 1.2, times the layer's gain (below 1 at the end of a residual branch: the running sum of
              n units must not grow with n); 1 where the architecture fixes it
    shift     normal * 0.1, times the gain
    mean      normal * 0.1
    variance  uniform 0.8 .. 1.2
    slope     uniform 0.15 .. 0.35

In the MXNet form a scale that fix_gamma makes 1 is stored as uniform 1.5 .. 2.5: whoever reads it by mistake gets
another embedding, and every test on these weights sees it.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping

import numpy as np

from facecvt.reference_models.layers import Layer, Parameter
from facecvt.reference_models.spec import ArchitectureSpec
from facecvt.reference_models.weights import NumpyArray, State, from_canonical

SLOPES = (0.15, 0.35)
SLOPE_POWER = (SLOPES[1] ** 3 - SLOPES[0] ** 3) / (3 * (SLOPES[1] - SLOPES[0]))  # E[slope^2]
# 1 / E[f(x)^2], x normal
POWER_GAINS = {
    "PRelu": 2 / (1 + SLOPE_POWER),
    "Relu": 2.0,
    "Clip": 2.0,
    "HardSwish": 3.0,
    "Sigmoid": 3.41,
    "Tanh": 2.54,
    "Softplus": 1.09,
    "Softsign": 5.47,
}
GATES = ("Sigmoid", "HardSigmoid")
STORED_UNIT_SCALE = (1.5, 2.5)


def generator(name: str, seed: int) -> np.random.Generator:
    """The random numbers of one array."""
    digest = hashlib.blake2b(f"{seed}/{name}".encode(), digest_size=16).digest()
    return np.random.Generator(np.random.PCG64(int.from_bytes(digest, "little")))


def power_gain(name: str, layers: Mapping[str, Layer]) -> float:
    """What the variance of weights that are fed by a layer is multiplied with."""
    layer = layers.get(name)
    if layer is not None and layer.op == "Mul" and layers[layer.inputs[1]].op in GATES:
        return 4 * power_gain(layer.inputs[0], layers)
    return 1.0 if layer is None else POWER_GAINS.get(layer.op, 1.0)


def draw(parameter: Parameter, *, power: float = 1.0, seed: int = 0) -> NumpyArray:
    """The float32 array of one parameter; ``power`` is the gain on a weight's variance."""
    random = generator(parameter.name, seed)
    shape = parameter.shape
    if parameter.role in ("scale", "variance", "slope"):
        low, high = SLOPES if parameter.role == "slope" else (0.8, 1.2)
        values = random.uniform(low, high, shape).astype(np.float32)
    else:
        values = random.standard_normal(shape, dtype=np.float32)
        if parameter.role == "weight":
            values *= np.float32(math.sqrt(power / math.prod(shape[1:])))
        else:
            values *= np.float32(0.05 if parameter.role == "bias" else 0.1)
    values *= np.float32(parameter.gain)
    return values


def seeded_arrays(arch: ArchitectureSpec, seed: int = 0) -> State:
    """Every parameter by canonical name, float32, in canonical layout."""
    layers = arch.layers()
    by_name = {layer.name: layer for layer in layers}
    arrays: State = {}
    for layer in layers:
        power = max((power_gain(name, by_name) for name in layer.inputs), default=1.0)
        for parameter in layer.parameters:
            arrays[parameter.name] = draw(parameter, power=power, seed=seed)
        if layer.attributes.get("unit_scale"):
            scale = layer.parameter("scale")
            arrays[scale.name] = np.ones(scale.shape, np.float32)
    return arrays


def stored_unit_scale(layer: Layer, seed: int = 0) -> NumpyArray:
    """What the MXNet form stores where fix_gamma makes the scale 1: numbers that must not be used."""
    scale = layer.parameter("scale")
    values = generator(f"{scale.name}/fix_gamma", seed).uniform(*STORED_UNIT_SCALE, scale.shape)
    return values.astype(np.float32)


def seeded_state(arch: ArchitectureSpec, framework: str, seed: int = 0) -> State:
    """One framework's whole state, by its own names and in its own order and layouts."""
    arrays = seeded_arrays(arch, seed)
    if framework == "mxnet":
        for layer in arch.layers():
            if layer.attributes.get("unit_scale"):
                arrays[layer.parameter("scale").name] = stored_unit_scale(layer, seed)
    return from_canonical(arrays, framework, arch)

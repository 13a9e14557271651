"""The outputs of InsightFace's MXNet networks as Paddle layers: what lies between the last map and the embedding.

The nets that upstream gives these outputs, fresnet, fmobilefacenet and fmobilenet, share them here as they do there.
Source: deepinsight/insightface, recognition/arcface_mxnet/symbol/symbol_utils.py, src/symbols/symbol_utils.py of 2018
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import paddle
import paddle.nn as nn

from facecvt.reference_models.unit_scale_paddle import UnitScaleBatchNorm1D, UnitScaleBatchNorm2D

AVERAGED = ("GAP", "A", "B", "C", "D", "AX", "BX", "CX", "DX")


def act_layer(name: str, c: int) -> Any:
    """PReLU with a slope a channel, or a function without parameters."""
    if name == "prelu":
        return nn.PReLU(c)
    functions = {"relu": nn.ReLU, "sigmoid": nn.Sigmoid, "tanh": nn.Tanh, "softrelu": nn.Softplus}
    return nn.Softsign() if name == "softsign" else functions[name]()


class NormAware(nn.Layer):  # type: ignore[misc]  # Paddle has no types
    """Every pixel's vector times the mean length of the batch's vectors over its own length."""

    def forward(self, x: Any) -> Any:
        """(N, C, H, W) to the same shape."""
        length = paddle.norm(x, p=2, axis=1, keepdim=True)
        return x * (paddle.mean(length, axis=[0, 1, 2, 3], keepdim=True) / length)


def output_layers(
    output: str,
    c: int,
    size: int,
    length: int,
    act: str = "prelu",
    dropout: float = 0.4,
    epsilon: float = 2e-5,
    gdc_epsilon: float = 1e-3,
    names: Mapping[str, str] | None = None,
) -> Iterator[tuple[str, Any]]:
    """The layers of an output in order, each with its name.

    Args:
        output: E, FC, I, J, F, G, H, Z, GAP, SFC, GDC, GNAP, A, B, C, D, AX, BX, CX or DX.
        c: channels of the last map.
        size: height and width of the last map.
        length: of the embedding.
        act: activation of the outputs that have one.
        dropout: probability in the outputs that have one, while training.
        epsilon: of every BatchNorm but that of GDC.
        gdc_epsilon: of that.
        names: the original's name of a layer -> its name here, where they differ.
    """
    for name, layer in _in_original_names(output, c, size, length, act, dropout, epsilon, gdc_epsilon):
        yield (names or {}).get(name, name), layer


def _in_original_names(
    output: str, c: int, size: int, length: int, act: str, dropout: float, epsilon: float, gdc_epsilon: float
) -> Iterator[tuple[str, Any]]:
    features = c * size * size
    if output not in ("J", "H", "GDC", "GNAP"):
        yield "bn1", nn.BatchNorm2D(c, epsilon=epsilon)
    if output in ("E", "F", "Z"):
        yield "dropout", nn.Dropout(dropout)
    if output == "Z":
        return
    if output in AVERAGED:
        yield "relu1", act_layer(act, c)
        yield "pool1", nn.AdaptiveAvgPool2D(1)
        features = c
    if output == "SFC":
        yield "convf", nn.Conv2D(c, 512, 3, stride=2, padding=1, groups=512, bias_attr=False)
        yield "bnf", nn.BatchNorm2D(512, epsilon=epsilon)
        yield "reluf", act_layer(act, 512)
        yield "convf2", nn.Conv2D(512, 512, 1)
        yield "bnf2", nn.BatchNorm2D(512, epsilon=epsilon)
        yield "reluf2", act_layer(act, 512)
        features = 512 * ((size + 1) // 2) ** 2
    if output == "GDC":
        depthwise = nn.Conv2D(c, 512, 7, groups=512, bias_attr=False)
        norm = nn.BatchNorm2D(512, epsilon=gdc_epsilon)
        yield "conv_6dw7_7", nn.Sequential(("conv2d", depthwise), ("batchnorm", norm))
        features = 512 * (size - 6) ** 2
    if output == "GNAP":
        features = 512
        if length > 512:
            features = length
            yield "convx", nn.Conv2D(c, length, 1, bias_attr=False)
            yield "convx_bn", nn.BatchNorm2D(length, epsilon=epsilon)
            yield "convx_relu", act_layer(act, length)
        yield "bn6f", UnitScaleBatchNorm2D(features, epsilon)
        yield "norm_aware", NormAware()
        yield "pool", nn.AdaptiveAvgPool2D(1)
        if length < 512:
            yield "bn6w", UnitScaleBatchNorm2D(512, epsilon)
    yield "flatten", nn.Flatten()
    if output.endswith("X"):
        yield "dropout", nn.Dropout(dropout)
    if output in ("F", "G", "H"):
        yield "fc1", nn.Linear(features, length)
        return
    if output in ("A", "AX"):
        return
    if output != "GNAP" or length < 512:
        yield "pre_fc1", nn.Linear(features, length)
    if output in ("B", "BX"):
        return
    yield "fc1", UnitScaleBatchNorm1D(length, epsilon)
    if output in ("D", "DX"):
        yield "fc1_relu", nn.PReLU(length)

"""BatchNorm in Paddle whose scale is 1 by definition, as MXNet's fix_gamma and PLSC have it.

While training the scale is reset to 1 in every step and gets no gradient; at inference it is what is stored, as a
checkpoint may hold another number. Paddle 3.3 gives the shift no gradient either where the scale's is stopped. So ones
that are no parameter stand in for the scale while training.
"""

from __future__ import annotations

from typing import Any

import paddle
import paddle.nn.functional as F  # noqa: N812
from paddle import nn


class UnitScale:
    """What the two classes below have in common."""

    def __init__(self, num_features: int, epsilon: float = 1e-5) -> None:
        super().__init__(num_features, epsilon=epsilon)  # type: ignore[call-arg]  # the BatchNorm beside it
        self.weight: Any
        self.weight.stop_gradient = True

    def forward(self, x: Any) -> Any:
        """The normalised batch, of x's shape."""
        bn: Any = self
        scale = bn.weight
        if bn.training:
            scale = paddle.ones_like(bn.weight)
            bn.weight.set_value(scale)
            scale.stop_gradient = False
        # not super().forward, which Paddle's tracing looks up from the object's own class: from here on without end
        options = (bn.training, bn._momentum, bn._epsilon, bn._data_format)
        return F.batch_norm(x, bn._mean, bn._variance, scale, bn.bias, *options)


class UnitScaleBatchNorm1D(UnitScale, nn.BatchNorm1D):  # type: ignore[misc]  # Paddle has no types
    """(N, C) or (N, C, L)."""


class UnitScaleBatchNorm2D(UnitScale, nn.BatchNorm2D):  # type: ignore[misc]
    """(N, C, H, W)."""

"""What an architecture consists of, in words of no framework: layers in forward order, with their weights' shapes.

Each family lists its layers once (``<family>/spec.py``). The listing drives the seeded weights, the recognition of
graphs and the tables; the hand-written nets know nothing of it, and the tests hold every net against it.

    Parameter roles: weight, bias (Conv, Gemm); scale, shift, mean, variance (BatchNormalization); slope (PRelu)
    Layouts:         Conv weight (out, in / group, height, width), Gemm weight (out, in), everything else (channels,)

A parameter's canonical name is ``<layer>.<role>``, where the layer's name is its module path in the PyTorch upstream.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

INPUT = "input"
ROLES = ("weight", "bias", "scale", "shift", "mean", "variance", "slope")
STATISTICS = ("mean", "variance")


@dataclass(frozen=True)
class Parameter:
    """One weight of a layer.

    Attributes:
        name: canonical name, ``<layer>.<role>``.
        role: one of ROLES.
        shape: its canonical shape.
        gain: factor on its seeded values, where the depth of the network asks for one; see seeded.py.
    """

    name: str
    role: str
    shape: tuple[int, ...]
    gain: float = 1.0


@dataclass(frozen=True)
class Layer:
    """One step of the forward pass.

    Attributes:
        name: canonical name: the module path in the PyTorch upstream; a sum bears the path of the unit it closes.
        op: ONNX operator.
        inputs: names of the layers that feed it, INPUT for the network's input.
        parameters: its weights, in the order that the upstreams store them.
        attributes: ONNX attributes that are part of the structure: kernel_shape, strides, pads, group, dilations
            where they are not 1; ``unit_scale`` is True for a BatchNormalization whose scale is 1 by definition
            (frozen in torch, fix_gamma in MXNet);
            ``eps`` is that of one whose eps is not the architecture's, in every framework;
            ``affine`` is False for one that has neither scale nor shift: they are 1 and 0, and no parameters.
    """

    name: str
    op: str
    inputs: tuple[str, ...]
    parameters: tuple[Parameter, ...] = ()
    attributes: Mapping[str, Any] = field(default_factory=dict)

    def parameter(self, role: str) -> Parameter:
        """The parameter with this role; KeyError where the layer has none."""
        for parameter in self.parameters:
            if parameter.role == role:
                return parameter
        raise KeyError(f"layer {self.name!r} ({self.op}) has no {role}")

    @property
    def parameter_count(self) -> int:
        """Trainable numbers: everything but running statistics."""
        return sum(math.prod(p.shape) for p in self.parameters if p.role not in STATISTICS)


@dataclass
class LayerList:
    """Grows a listing; every method appends one layer and returns its name, to be fed to the next."""

    layers: list[Layer] = field(default_factory=list)

    def _append(
        self, name: str, op: str, inputs: tuple[str, ...], shapes: Mapping[str, tuple[int, ...]], gain: float = 1.0,
        **attributes: Any,
    ) -> str:  # fmt: skip
        parameters = tuple(Parameter(f"{name}.{role}", role, shape, gain) for role, shape in shapes.items())
        self.layers.append(Layer(name, op, inputs, parameters, attributes))
        return name

    def conv(
        self, name: str, source: str, channels: tuple[int, int], kernel: int | tuple[int, int], *, stride: int = 1,
        pad: int | tuple[int, int, int, int] = 0, group: int = 1, bias: bool = False, dilation: int = 1,
        gain: float = 1.0,
    ) -> str:  # fmt: skip
        """A convolution from channels[0] to channels[1]; ``kernel`` is its height and width.

        ``pad`` is that of every side, or those of top, left, bottom and right; ``gain`` damps the seeded weight and
        bias where the convolution closes a residual branch that has no BatchNormalization.
        """
        window = (kernel, kernel) if isinstance(kernel, int) else kernel
        shapes: dict[str, tuple[int, ...]] = {"weight": (channels[1], channels[0] // group, *window)}
        if bias:
            shapes["bias"] = (channels[1],)
        spread = {} if dilation == 1 else {"dilations": (dilation, dilation)}
        pads = (pad,) * 4 if isinstance(pad, int) else pad
        return self._append(
            name, "Conv", (source,), shapes, gain,
            kernel_shape=window, strides=(stride, stride), pads=pads, group=group, **spread,
        )  # fmt: skip

    def batch_norm(
        self, name: str, source: str, channels: int, *, gain: float = 1.0, unit_scale: bool = False,
        eps: float | None = None,
    ) -> str:  # fmt: skip
        """A BatchNormalization; ``gain`` damps its seeded scale and shift where it closes a residual branch."""
        parameters = tuple(
            Parameter(f"{name}.{role}", role, (channels,), gain if role in ("scale", "shift") else 1.0)
            for role in ("scale", "shift", "mean", "variance")
        )
        attributes: dict[str, Any] = {"unit_scale": True} if unit_scale else {}
        if eps is not None:
            attributes["eps"] = eps
        self.layers.append(Layer(name, "BatchNormalization", (source,), parameters, attributes))
        return name

    def plain_batch_norm(self, name: str, source: str, channels: int) -> str:
        """A BatchNormalization without scale and shift."""
        return self._append(
            name, "BatchNormalization", (source,), {"mean": (channels,), "variance": (channels,)}, affine=False
        )

    def prelu(self, name: str, source: str, channels: int) -> str:
        """A PRelu with one slope a channel; with one for all of them where ``channels`` is 1."""
        return self._append(name, "PRelu", (source,), {"slope": (channels,)})

    def elementwise(self, name: str, op: str, source: str, **attributes: float) -> str:
        """A function of every element without parameters: Relu, LeakyRelu, HardSwish, HardSigmoid (alpha, beta)."""
        return self._append(name, op, (source,), {}, **attributes)

    def relu6(self, name: str, source: str) -> str:
        """Every element clipped to 0 .. 6."""
        return self._append(name, "Clip", (source,), {}, min=0.0, max=6.0)

    def average_pool(self, name: str, source: str, kernel: int, *, stride: int) -> str:
        """A square average pooling without padding."""
        return self._append(
            name, "AveragePool", (source,), {},
            kernel_shape=(kernel, kernel), strides=(stride, stride), pads=(0,) * 4,
        )  # fmt: skip

    def max_pool(self, name: str, source: str, kernel: int, *, stride: int, pad: int = 0, ceil: bool = False) -> str:
        """A square max pooling; ``ceil`` is True where a window that is cut off by the edge counts."""
        rounding = {"ceil_mode": 1} if ceil else {}
        return self._append(
            name, "MaxPool", (source,), {},
            kernel_shape=(kernel, kernel), strides=(stride, stride), pads=(pad,) * 4, **rounding,
        )  # fmt: skip

    def enlarge(self, name: str, source: str, like: str) -> str:
        """Maps with the height and width of ``like``, every pixel the nearest one above and to the left."""
        return self._append(name, "Resize", (source, like), {}, mode="nearest")

    def global_average_pool(self, name: str, source: str) -> str:
        """The mean of every map: (N, C, H, W) to (N, C, 1, 1)."""
        return self._append(name, "GlobalAveragePool", (source,), {})

    def multiply(self, name: str, source: str, factors: str) -> str:
        """The product of two values."""
        return self._append(name, "Mul", (source, factors), {})

    def add(self, name: str, branch: str, shortcut: str) -> str:
        """The sum that closes a residual unit."""
        return self._append(name, "Add", (branch, shortcut), {})

    def pad_channels(self, name: str, source: str, extra: int) -> str:
        """Maps of zeros behind the last channel."""
        return self._append(name, "Pad", (source,), {}, pads=(0, 0, 0, 0, 0, extra, 0, 0))

    def channels_last(self, name: str, source: str) -> str:
        """(N, C, H, W) to (N, H, W, C)."""
        return self._append(name, "Transpose", (source,), {}, perm=(0, 2, 3, 1))

    def rows(self, name: str, source: str, width: int) -> str:
        """All but the batch cut into rows: to (N, rows, width)."""
        return self._append(name, "Reshape", (source,), {}, shape=(0, -1, width))

    def concat(self, name: str, sources: Sequence[str], axis: int) -> str:
        """Values joined along an axis."""
        return self._append(name, "Concat", tuple(sources), {}, axis=axis)

    def softmax(self, name: str, source: str) -> str:
        """Softmax along the last axis."""
        return self._append(name, "Softmax", (source,), {}, axis=-1)

    def prior_boxes(self, name: str, source: str, image: str, step: int, sizes: Sequence[int]) -> str:
        """Squares around the middles of all cells of a map, (cells * sizes, 4): corners x1, y1, x2, y2.

        They depend on the sizes of map and image alone, over whose width and height the corners are given; ``step`` and
        ``sizes`` are in pixels. ONNX has no operator for them: PriorBox is that of Paddle.
        """
        return self._append(name, "PriorBox", (source, image), {}, step=step, sizes=tuple(sizes))

    def flatten(self, name: str, source: str) -> str:
        """(N, C, H, W) to (N, C*H*W)."""
        return self._append(name, "Flatten", (source,), {})

    def gemm(self, name: str, source: str, features: tuple[int, int], *, bias: bool = True) -> str:
        """A fully connected layer from features[0] to features[1]."""
        shapes: dict[str, tuple[int, ...]] = {"weight": (features[1], features[0])}
        if bias:
            shapes["bias"] = (features[1],)
        return self._append(name, "Gemm", (source,), shapes)

    def length(self, name: str, source: str) -> str:
        """The Euclidean length of every row, (N, 1)."""
        return self._append(name, "ReduceL2", (source,), {})

    def normalize(self, name: str, source: str) -> str:
        """Rows divided by their Euclidean length."""
        return self._append(name, "LpNormalization", (source,), {})

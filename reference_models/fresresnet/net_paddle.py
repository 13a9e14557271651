"""FresResNet in PaddlePaddle, with the parameter names and order of InsightFace's arcface_paddle.

The residual units are registered twice, in ``block_list`` and as ``res2a``, ``res2b``, ...: stage 2 to 5 and the letter
chr(97 + index), which behind 26 units runs on to "{", "|", "}", "~". So is their state. Tensors have the names that the
original sets, such as ``res2a_branch2b_weights``; with ``static`` those that Paddle gives to the static-graph version
as it creates them, such as ``conv2d_2.w_0``, which are the keys of ``state_dict`` then, as in a static checkpoint.
Source: deepinsight/insightface, recognition/arcface_paddle; paper https://arxiv.org/abs/1801.07698
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import paddle
import paddle.nn as nn


def name_tensors(layer, prefix):
    """Name the tensors of a layer as ParamAttr(name=...) would, which allows a name only once a process."""
    if isinstance(layer, nn.Conv2D):
        layer.weight.name = f"{prefix}_weights"
    else:
        tensors = (layer.weight, layer.bias, layer._mean, layer._variance)
        for tensor, ending in zip(tensors, ("scale", "offset", "mean", "variance"), strict=True):
            tensor.name = f"{prefix}_{ending}"


class ConvBN(nn.Layer):
    """Convolution without bias and its BatchNorm; ``name`` is the convolution's in tensor names, ``bn`` the other's."""

    def __init__(self, in_channels, out_channels, kernel, stride, epsilon, name, bn):
        super().__init__()
        self._conv = nn.Conv2D(in_channels, out_channels, kernel, stride=stride, padding=kernel // 2, bias_attr=False)
        self._batch_norm = nn.BatchNorm2D(out_channels, epsilon=epsilon)
        name_tensors(self._conv, name)
        name_tensors(self._batch_norm, bn)

    def forward(self, x):
        return self._batch_norm(self._conv(x))


class ResidualUnit(nn.Layer):
    """BatchNorm first, the stride on the second convolution, nothing after the sum; ``place`` is such as ``2a``."""

    def __init__(self, in_channels, out_channels, stride, epsilon, place):
        super().__init__()
        self._batch_norm = nn.BatchNorm2D(in_channels, epsilon=epsilon)
        name_tensors(self._batch_norm, f"bn_{place}_before")
        names = [(f"res{place}_branch{branch}", f"bn{place}_branch{branch}") for branch in ("2a", "2b", "1")]
        self.conv0 = ConvBN(in_channels, out_channels, 3, 1, epsilon, *names[0])
        self.prelu = nn.PReLU(num_parameters=1)
        self.conv1 = ConvBN(out_channels, out_channels, 3, stride, epsilon, *names[1])
        if stride == 2:
            self.short = ConvBN(in_channels, out_channels, 1, stride, epsilon, *names[2])
        else:
            self.short = None

    def forward(self, x):
        y = self.conv0(self._batch_norm(x))
        y = self.conv1(self.prelu(y))
        return paddle.add(y, x if self.short is None else self.short(x))


class Head(nn.Layer):
    """E: BatchNorm, flatten, dropout, fully connected, BatchNorm; FC: without dropout; Z: ends behind the dropout."""

    def __init__(self, channels, size, embedding_size, fc_type, dropout, flatten, epsilon):
        super().__init__()
        self._batch_norm_1 = nn.BatchNorm2D(channels, epsilon=epsilon)
        name_tensors(self._batch_norm_1, "bn_fc_1")
        self.flatten = nn.Flatten() if flatten else nn.Identity()
        self.dropout = nn.Dropout(0.0 if fc_type == "FC" else dropout)
        self.fc = None
        if fc_type != "Z":
            self.fc = nn.Linear(channels * size * size, embedding_size)
            self.fc.weight.name, self.fc.bias.name = "fc.w_0", "fc.b_0"
            self._batch_norm_2 = nn.BatchNorm1D(embedding_size, epsilon=epsilon)
            name_tensors(self._batch_norm_2, "bn_fc_2")

    def forward(self, x):
        x = self.dropout(self.flatten(self._batch_norm_1(x)))
        if self.fc is None:
            return x
        return self._batch_norm_2(self.fc(x))


class FresResNet(nn.Layer):
    """Aligned RGB faces (N, 3, 112, 112), float32, (pixel / 255 - 0.5) / 0.5, to embeddings (N, embedding_size).

    Args:
        units: residual units in each of the four stages.
        embedding_size: length of the embedding.
        fc_type: of the head: "E", "FC" or "Z", which gives the last map instead of an embedding.
        dropout: probability in the head, while training.
        epsilon: of every BatchNorm.
        static: True for the static-graph version: its tensor names, and a map from "Z" that is not flattened.
    """

    def __init__(
        self,
        units: Sequence[int] = (3, 4, 14, 3),
        embedding_size: int = 512,
        fc_type: str = "E",
        dropout: float = 0.4,
        epsilon: float = 1e-5,
        static: bool = False,
    ) -> None:
        super().__init__()
        self.static = static
        self.conv = ConvBN(3, 64, 3, 1, epsilon, "conv1", "bn_conv1")
        self.prelu = nn.PReLU(num_parameters=1)
        self.block_list = nn.LayerList()
        channels = 64
        for stage, (out, count) in enumerate(zip((64, 128, 256, 512), units, strict=True), start=2):
            for index in range(count):
                place = f"{stage}{chr(97 + index)}"
                unit = ResidualUnit(channels, out, 2 if index == 0 else 1, epsilon, place)
                self.block_list.append(unit)
                self.add_sublayer(f"res{place}", unit)
                channels = out
        flatten = not (static and fc_type == "Z")
        self.fc = Head(channels, 7, embedding_size, fc_type, dropout, flatten, epsilon)
        if static:
            self._name_by_creation()

    def _name_by_creation(self):
        """<kind>_<how many of it were made before>.<w or b>_<number>."""
        made = defaultdict(int)
        for layer in self.sublayers():
            tensors = list(layer.parameters(include_sublayers=False))
            if not tensors:
                continue
            kind = {nn.Conv2D: "conv2d", nn.PReLU: "prelu", nn.Linear: "fc"}.get(type(layer), "batch_norm")
            for tensor, ending in zip(tensors, ("w_0", "b_0", "w_1", "w_2"), strict=False):
                tensor.name = f"{kind}_{made[kind]}.{ending}"
            made[kind] += 1

    def state_dict(self, *args, **kwargs):
        """Every tensor by its path; by its name in the static-graph version, whose checkpoints know no paths."""
        state = super().state_dict(*args, **kwargs)
        return {tensor.name: tensor for tensor in state.values()} if self.static else state

    def set_state_dict(self, state_dict, use_structured_name=True):
        """Take the tensors over by the names of :meth:`state_dict`."""
        return super().set_state_dict(state_dict, use_structured_name and not self.static)

    def forward(self, x):
        x = self.prelu(self.conv(x))
        for block in self.block_list:
            x = block(x)
        return self.fc(x)

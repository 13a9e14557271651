"""InsightFace's MXNet network ``fresnet`` as a symbol, with every unit, input and output of both its revisions.

Fed with RGB pixels 0..255; inputs 0 and 1 compute (pixel - 127.5) * 0.0078125 in the graph, input 2 has a BatchNorm.
Node, argument and automatic names (``_plus0`` .. for the sums) are those of the original. BatchNorm has eps 2e-5 but in
GDC; ``fc1``, ``bn_data``, ``bn6f`` and ``bn6w`` have fix_gamma, so that their stored gammas are never used.
Source: deepinsight/insightface, recognition/arcface_mxnet/symbol/fresnet.py and src/symbols/fresnet.py of 2018; paper
https://arxiv.org/abs/1801.07698
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from facecvt.converters.compat_mxnet import import_mxnet
from facecvt.reference_models.outputs_mxnet import activation, batch_norm, conv, embedding

mx = import_mxnet("build a reference network in MXNet")

# options -> arguments that upstream calls otherwise
UPSTREAM = {
    "embedding_size": "emb_size",
    "unit": "version_unit",
    "input": "version_input",
    "output": "version_output",
    "se": "version_se",
    "activation": "version_act",
    "output_activation": "fc_act",
    "bottleneck": "bottle_neck",
}


class Net:
    """The choices that every part of the network shares, and the parts."""

    def __init__(self, act, se, bottle_neck, version_input, eps):
        self.act_type, self.se, self.bottle_neck = act, se, bottle_neck
        self.version_input, self.eps = version_input, eps

    def bn(self, data, name, fix_gamma=False):
        return batch_norm(data, name, self.eps, fix_gamma)

    def act(self, data, name):
        return activation(data, self.act_type, name)

    def squeeze_excitation(self, data, filters, name):
        if not self.se:
            return data
        body = mx.sym.Pooling(data, global_pool=True, kernel=(7, 7), pool_type="avg", name=f"{name}_se_pool1")
        body = conv(body, filters // 16, 1, f"{name}_se_conv1", no_bias=False)
        body = self.act(body, f"{name}_se_relu1")
        body = conv(body, filters, 1, f"{name}_se_conv2", no_bias=False)
        return mx.sym.broadcast_mul(data, mx.sym.Activation(body, act_type="sigmoid", name=f"{name}_se_sigmoid"))

    def shortcut(self, data, filters, stride, name):
        """The input, or behind a stride its projection."""
        if stride == 1:
            return data
        return self.bn(conv(data, filters, 1, f"{name}_conv1sc", stride), f"{name}_sc")

    def unit1(self, data, filters, stride, name):
        first, last = (stride, 1) if self.version_input == 0 else (1, stride)
        if self.bottle_neck:
            body = conv(data, filters // 4, 1, f"{name}_conv1", first)
            body = self.act(self.bn(body, f"{name}_bn1"), f"{name}_relu1")
            body = conv(body, filters // 4, 3, f"{name}_conv2")
            body = self.act(self.bn(body, f"{name}_bn2"), f"{name}_relu2")
            body = self.bn(conv(body, filters, 1, f"{name}_conv3", last), f"{name}_bn3")
        else:
            body = conv(data, filters, 3, f"{name}_conv1", first)
            body = self.act(self.bn(body, f"{name}_bn1"), f"{name}_relu1")
            body = self.bn(conv(body, filters, 3, f"{name}_conv2", last), f"{name}_bn2")
        body = self.squeeze_excitation(body, filters, name)
        return self.act(body + self.shortcut(data, filters, stride, name), f"{name}_relu3")

    def unit2(self, data, filters, stride, name):
        first = self.act(self.bn(data, f"{name}_bn1"), f"{name}_relu1")
        if self.bottle_neck:
            body = conv(first, filters // 4, 1, f"{name}_conv1")
            body = self.act(self.bn(body, f"{name}_bn2"), f"{name}_relu2")
            body = conv(body, filters // 4, 3, f"{name}_conv2", stride)
            body = self.act(self.bn(body, f"{name}_bn3"), f"{name}_relu3")
            body = conv(body, filters, 1, f"{name}_conv3")
        else:
            body = conv(first, filters, 3, f"{name}_conv1", stride)
            body = self.act(self.bn(body, f"{name}_bn2"), f"{name}_relu2")
            body = conv(body, filters, 3, f"{name}_conv2")
        body = self.squeeze_excitation(body, filters, name)
        return body + (data if stride == 1 else conv(first, filters, 1, f"{name}_sc", stride))

    def unit3(self, data, filters, stride, name):
        body = self.bn(data, f"{name}_bn1")
        if self.bottle_neck:
            body = self.bn(conv(body, filters // 4, 1, f"{name}_conv1"), f"{name}_bn2")
            body = conv(self.act(body, f"{name}_relu1"), filters // 4, 3, f"{name}_conv2")
            body = self.act(self.bn(body, f"{name}_bn3"), f"{name}_relu2")
            body = self.bn(conv(body, filters, 1, f"{name}_conv3", stride), f"{name}_bn4")
        else:
            body = self.bn(conv(body, filters, 3, f"{name}_conv1"), f"{name}_bn2")
            body = conv(self.act(body, f"{name}_relu1"), filters, 3, f"{name}_conv2", stride)
            body = self.bn(body, f"{name}_bn3")
        return self.squeeze_excitation(body, filters, name) + self.shortcut(data, filters, stride, name)

    def stem(self, data):
        if self.version_input == 2:
            body = self.bn(data, "bn_data", fix_gamma=True)
        else:
            body = (mx.sym.identity(data, name="id") - 127.5) * 0.0078125
        body = conv(body, 64, 7, "conv0", 2) if self.version_input == 0 else conv(body, 64, 3, "conv0")
        return self.act(self.bn(body, "bn0"), "relu0")


def fresnet(
    units: Sequence[int] = (3, 4, 14, 3),
    emb_size: int = 512,
    version_unit: int = 3,
    version_input: int = 1,
    version_output: str = "E",
    version_se: bool = False,
    version_act: str = "prelu",
    fc_act: str | None = None,
    bottle_neck: bool = False,
    last_size: int = 7,
    dropout: float = 0.4,
    eps: float = 2e-5,
    normalize: bool = False,
) -> Any:
    """The symbol: input ``data`` (N, 3, 112, 112), output ``fc1_output`` (N, emb_size) of most outputs, float32.

    Args:
        units: residual units in each of the four stages.
        emb_size: length of the embedding.
        version_unit: 1, 2 or 3.
        version_input: 0, 1 or 2.
        version_output: E, FC, I, J, F, G, H, Z, GAP, SFC, GDC, GNAP, A, B, C, D, AX, BX, CX or DX.
        version_se: True puts squeeze and excitation at the end of every branch.
        version_act: prelu or an act_type of Activation.
        fc_act: that of the output, where it is another one.
        bottle_neck: True for units of three convolutions and four times the width.
        last_size: height of the last map, which a symbol finds by itself.
        dropout: probability in the outputs that have one, while training.
        eps: of every BatchNorm but that of GDC.
        normalize: True appends ``normalize``, which gives embeddings of length 1.
    """
    with mx.name.NameManager():  # automatic names count from 0, whatever the process built before
        net = Net(version_act, version_se, bottle_neck, version_input, eps)
        unit = {1: net.unit1, 2: net.unit2, 3: net.unit3}[version_unit]
        body = net.stem(mx.sym.Variable("data"))
        for stage, count in enumerate(units, start=1):
            filters = (256 if bottle_neck else 64) * 2 ** (stage - 1)
            for index in range(1, count + 1):
                body = unit(body, filters, 2 if index == 1 else 1, f"stage{stage}_unit{index}")
        body = embedding(body, version_output, emb_size, fc_act or version_act, dropout, eps)
        if normalize:
            # sqrt(sum + eps): the square of the 1e-12 that guards the division elsewhere
            body = mx.sym.L2Normalization(body, mode="instance", eps=1e-24, name="normalize")
        return body

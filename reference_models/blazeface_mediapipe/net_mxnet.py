"""BlazeFace (MediaPipe) as an MXNet symbol; there is no MXNet original: dots of the PyTorch paths become ``_``.

``backbone1_4_convs_0_weight``; the ReLU that ends a block has the block's name. MXNet pads heights and widths alone, so
new channels are zeros that are joined on. Images are scaled outside the graph. Paper: https://arxiv.org/abs/1907.05047
"""

from __future__ import annotations

from typing import Any

from facecvt.converters.compat_mxnet import import_mxnet

mx = import_mxnet("build a reference network in MXNet")

# one row a block: channels, stride
FRONT = {
    "backbone1": [(24, 1), (28, 1), (32, 2), (36, 1), (42, 1), (48, 2), (56, 1), (64, 1), (72, 1), (80, 1), (88, 1)],
    "backbone2": [(96, 2)] + 4 * [(96, 1)],
}
BACK = 7 * [(24, 1)] + [(24, 2)] + 7 * [(24, 1)] + [(48, 2)] + 7 * [(48, 1)] + [(96, 2)] + 7 * [(96, 1)]


def zeros_around(data, before, behind, name):
    """Zeros in front of and behind rows and columns."""
    width = (0, 0, 0, 0, before, behind, before, behind)
    return mx.sym.pad(data, mode="constant", pad_width=width, constant_value=0, name=name)


def separable(data, channels, filters, stride, name):
    """Depthwise 3x3 and pointwise convolution; at stride 2 the zeros lie on the right and at the bottom alone."""
    pad = (1, 1)
    if stride == 2:
        data, pad = zeros_around(data, 0, 2, f"{name}_pad"), (0, 0)
    data = mx.sym.Convolution(
        data,
        num_filter=channels,
        kernel=(3, 3),
        stride=(stride, stride),
        pad=pad,
        num_group=channels,
        name=f"{name}_convs_0",
    )
    return mx.sym.Convolution(data, num_filter=filters, kernel=(1, 1), name=f"{name}_convs_1")


def block(data, channels, filters, stride, name):
    body, shortcut = separable(data, channels, filters, stride, name), data
    if stride == 2:
        shortcut = mx.sym.Pooling(shortcut, kernel=(2, 2), stride=(2, 2), pool_type="max", name=f"{name}_max_pool")
    if filters > channels:
        like = mx.sym.slice_axis(shortcut, axis=1, begin=0, end=filters - channels, name=f"{name}_first")
        zeros = mx.sym.zeros_like(like, name=f"{name}_zeros")
        shortcut = mx.sym.concat(shortcut, zeros, dim=1, name=f"{name}_widen")
    return mx.sym.Activation(mx.sym.elemwise_add(body, shortcut, name=f"{name}_add"), act_type="relu", name=name)


def head(fine, coarse, width, name, output):
    """The rows of both maps' anchors, the finer map first: (N, 896, width)."""
    rows = []
    for scale, data, anchors in ((8, fine, 2), (16, coarse, 6)):
        layer = f"{name}_{scale}"
        data = mx.sym.Convolution(data, num_filter=anchors * width, kernel=(1, 1), name=layer)
        data = mx.sym.transpose(data, axes=(0, 2, 3, 1), name=f"{layer}_transpose")
        rows.append(mx.sym.reshape(data, shape=(0, -1, width), name=f"{layer}_rows"))
    return mx.sym.concat(*rows, dim=1, name=output)


def blazeface(back_model: bool = False) -> Any:
    """The symbol: input ``data`` (N, 3, S, S), RGB as pixel / 127.5 - 1, S 128 or 256 for the back model, float32.

    Outputs: ``regressors_output`` (N, 896, 16) and the raw ``scores_output`` (N, 896, 1).

    Args:
        back_model: True for the back camera.
    """
    first = "backbone" if back_model else "backbone1"
    body = zeros_around(mx.sym.Variable("data"), 1, 2, "input_pad")
    body = mx.sym.Convolution(body, num_filter=24, kernel=(5, 5), stride=(2, 2), name=f"{first}_0")
    body = mx.sym.Activation(body, act_type="relu", name=f"{first}_1")
    channels, maps = 24, []
    for stage, rows in ({"backbone": BACK} if back_model else FRONT).items():
        for index, (filters, stride) in enumerate(rows, 2 if stage == first else 0):
            body = block(body, channels, filters, stride, f"{stage}_{index}")
            channels = filters
        maps.append(body)
    if back_model:
        body = separable(body, channels, channels, 2, "final")
        maps.append(mx.sym.Activation(body, act_type="relu", name="final"))
    return mx.sym.Group([head(*maps, 16, "regressor", "regressors"), head(*maps, 1, "classifier", "scores")])

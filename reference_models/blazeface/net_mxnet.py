"""BlazeFace, PaddleDetection's detector, as an MXNet symbol: images of any size to boxes and scores at two strides.

There is no MXNet original. The structure is PaddleDetection's, and names follow from its layer names with underscores
for dots, and one where it has ``._`` (``backbone_blaze_2_blaze_21_dw_conv_weight``). The input is fed as that of the
other frameworks' nets is: RGB, (pixel - (123, 117, 104)) / 127.502231, any height and width. The coarse level of the
FPN is doubled and cut to the size of the fine one, which is what the nearest neighbour gives where that size is twice
the coarse one or one less, and strides of 2 make it so. Paper: https://arxiv.org/abs/1907.05047
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from facecvt.converters.compat_mxnet import import_mxnet

mx = import_mxnet("build a reference network in MXNet")

BLAZE_FILTERS = ((24, 24), (24, 24), (24, 48, 2), (48, 48), (48, 48))
DOUBLE_BLAZE_FILTERS = ((48, 24, 96, 2), (96, 24, 96), (96, 24, 96), (96, 24, 96, 2), (96, 24, 96), (96, 24, 96))
LEVELS = ((8, (16, 24)), (16, (32, 48, 64, 80, 96, 128)))  # step and sides of the priors, in pixels
CLASSES = 2  # face, background


class Layers:
    """The layers of one network, for its eps and its kernels."""

    def __init__(self, eps: float, use_5x5kernel: bool, act: str | None) -> None:
        self.eps, self.use_5x5kernel, self.act = eps, use_5x5kernel, act

    def activation(self, data, act, name):
        if act is None:
            return data
        if act == "leaky":
            return mx.sym.LeakyReLU(data, act_type="leaky", slope=0.01, name=name)
        if act == "relu6":
            return mx.sym.clip(data, a_min=0, a_max=6, name=name)
        if act == "hard_swish":
            gate = mx.sym.hard_sigmoid(data, alpha=1 / 6, beta=0.5, name=f"{name}_gate")
            return mx.sym.elemwise_mul(data, gate, name=name)
        return mx.sym.Activation(data, act_type=act, name=name)

    def conv(self, data, filters, kernel, name, stride=1, group=1, act="relu"):
        data = mx.sym.Convolution(
            data,
            num_filter=filters,
            kernel=(kernel, kernel),
            stride=(stride, stride),
            pad=(kernel // 2, kernel // 2),
            num_group=group,
            no_bias=True,
            name=f"{name}_conv",
        )
        data = mx.sym.BatchNorm(data, eps=self.eps, momentum=0.9, fix_gamma=False, name=f"{name}_batch_norm")
        return self.activation(data, act, name)

    def depthwise(self, data, filters, name, stride=1):
        if self.use_5x5kernel:
            return self.conv(data, filters, 5, name, stride, filters)
        data = self.conv(data, filters, 3, f"{name}_1", 1, filters)
        return self.conv(data, filters, 3, f"{name}_2", stride, filters)

    def block(self, data, inputs, row, double, prefix, name):
        """One block; ``prefix`` is the path of its layers, ``name`` the block's own, which its layers repeat."""
        channels, narrow, *rest = row
        outputs = rest.pop(0) if double else narrow
        stride = rest[0] if rest else 1
        if stride not in (1, 2) or (stride == 1 and inputs != outputs):
            raise ValueError(f"{name} from {inputs} to {outputs} channels cannot have stride {stride}")
        body = self.depthwise(data, channels, f"{prefix}_{name}1_dw", stride)
        body = self.conv(body, narrow, 1, f"{prefix}_conv_pw", act=self.act if double else None)
        if double:
            body = self.depthwise(body, narrow, f"{prefix}_{name}2_dw")
            body = self.conv(body, outputs, 1, f"{prefix}_conv_pw2")
        if stride == 2:
            data = mx.sym.Pooling(
                data,
                kernel=(2, 2),
                stride=(2, 2),
                pool_type="max",
                pooling_convention="full",
                name=f"{prefix}_{name}_shortcut_pool",
            )
            data = self.conv(data, outputs, 1, f"{prefix}_{name}_shortcut_conv")
        data = mx.sym.elemwise_add(body, data, name=f"{prefix}_add")
        return mx.sym.Activation(data, act_type="relu", name=prefix)

    def backbone(self, data, blaze_filters, double_blaze_filters):
        """The fourth-last and the last block's output, and the channels of both."""
        channels = blaze_filters[0][0]
        data = self.conv(data, channels, 3, "backbone_conv1", stride=2)
        rows = [(f"blaze_{k}", row, False) for k, row in enumerate(blaze_filters)]
        rows += [(f"double_blaze_{k}", row, True) for k, row in enumerate(double_blaze_filters)]
        outputs = []
        for name, row, double in rows:
            data = self.block(data, channels, row, double, f"backbone_{name}", name)
            channels = row[2 if double else 1]
            outputs.append((data, channels))
        (fine, fine_channels), (coarse, coarse_channels) = outputs[-4], outputs[-1]
        return fine, coarse, (fine_channels, coarse_channels)

    def fpn(self, fine, coarse, channels):
        fine = self.conv(fine, channels // 2, 1, "neck_fpn_conv1_fpn", act="leaky")
        coarse = self.conv(coarse, channels // 2, 1, "neck_fpn_conv2_fpn", act="leaky")
        doubled = mx.sym.UpSampling(coarse, scale=2, sample_type="nearest", name="neck_fpn_doubled")
        enlarged = mx.sym.slice_like(doubled, fine, axes=(2, 3), name="neck_fpn_upsample")
        fine = mx.sym.elemwise_add(fine, enlarged, name="neck_fpn_add")
        return self.conv(fine, channels // 2, 3, "neck_fpn_conv3_fpn", act="leaky"), coarse

    def ssh(self, data, channels, name):
        half, quarter = channels // 2, channels // 4
        first = self.conv(data, half, 3, f"{name}_conv0_ssh", act=None)
        second = self.conv(first, quarter, 3, f"{name}_conv1_ssh", act="leaky")
        second = self.conv(second, quarter, 3, f"{name}_conv2_ssh", act=None)
        third = self.conv(second, quarter, 3, f"{name}_conv3_ssh", act="leaky")
        third = self.conv(third, quarter, 3, f"{name}_conv4_ssh", act=None)
        joined = mx.sym.Concat(first, second, third, dim=1, name=f"{name}_concat")
        return mx.sym.Activation(joined, act_type="relu", name=name)


def predictions(feature, filters, width, name):
    """A convolution of the head, (N, filters, H, W), turned into rows: (N, H * W * filters / width, width)."""
    maps = mx.sym.Convolution(feature, num_filter=filters, kernel=(3, 3), pad=(1, 1), name=f"blaze_head_{name}")
    last = mx.sym.transpose(maps, axes=(0, 2, 3, 1), name=f"{name}_transposed")
    return mx.sym.Reshape(last, shape=(0, -1, width), name=name)


def priors(feature, image, step, sizes, name):
    """Corners of squares around the middles of all cells of ``step`` pixels, over the image's width and height.

    The grids take their length from the feature map and the image's size is read off its shape, so that the symbol
    holds for any size. Output (cells * sizes, 4): x1, y1, x2, y2.
    """
    extents = mx.sym.Cast(mx.sym.shape_array(image, name=f"{name}_shape"), dtype="float32", name=f"{name}_extents")

    def ends(axis, grid, letter):
        """The lower and the upper end of all squares along one axis, a column a size, as parts of the image."""
        cells = mx.sym.contrib.arange_like(feature, start=0.5, axis=axis, name=f"{name}_{letter}_cells")
        middles = mx.sym.Reshape(cells * step, shape=grid, name=f"{name}_{letter}")
        extent = mx.sym.slice_axis(extents, axis=0, begin=axis, end=axis + 1, name=f"{name}_{letter}_extent")
        extent = mx.sym.Reshape(extent, shape=(1, 1, 1), name=f"{name}_{letter}_divisor")
        lower = mx.sym.Concat(*[middles - size / 2 for size in sizes], dim=2, name=f"{name}_{letter}_lower")
        upper = mx.sym.Concat(*[middles + size / 2 for size in sizes], dim=2, name=f"{name}_{letter}_upper")
        return (
            mx.sym.broadcast_div(lower, extent, name=f"{name}_{letter}1"),
            mx.sym.broadcast_div(upper, extent, name=f"{name}_{letter}2"),
        )

    x1, x2 = ends(3, (1, -1, 1), "x")
    y1, y2 = ends(2, (-1, 1, 1), "y")
    spread = [
        mx.sym.broadcast_like(end, other, lhs_axes=(axis,), rhs_axes=(axis,), name=f"{name}_{corner}_spread")
        for corner, end, other, axis in (("x1", x1, y1, 0), ("y1", y1, x1, 1), ("x2", x2, y2, 0), ("y2", y2, x2, 1))
    ]
    return mx.sym.Reshape(mx.sym.stack(*spread, axis=3, name=f"{name}_corners"), shape=(-1, 4), name=name)


def blazeface(
    blaze_filters: Sequence[Sequence[int]] = BLAZE_FILTERS,
    double_blaze_filters: Sequence[Sequence[int]] = DOUBLE_BLAZE_FILTERS,
    use_5x5kernel: bool = True,
    act: str | None = "relu",
    neck_type: str = "none",
    joined: bool = False,
    eps: float = 1e-5,
) -> Any:
    """The symbol: input ``data`` (N, 3, H, W), float32; six outputs, or two.

    Args:
        blaze_filters: single blocks: depthwise channels, channels, and the stride where it is not 1.
        double_blaze_filters: double blocks: depthwise channels, narrow channels, channels, stride.
        use_5x5kernel: False gives two 3x3 depthwise convolutions for every 5x5 one.
        act: of the first 1x1 convolution of double blocks: relu, relu6, leaky, hard_swish or None.
        neck_type: none, only_fpn, only_ssh or fpn_ssh.
        joined: False gives boxes0, boxes1, scores0, scores1 (before the softmax), priors0 and priors1; True the boxes
            of both levels in one array and the softmax of the scores in another.
        eps: of every BatchNorm.
    """
    with mx.name.NameManager():
        net = Layers(eps, use_5x5kernel, act)
        data = mx.sym.Variable("data")
        fine, coarse, channels = net.backbone(data, blaze_filters, double_blaze_filters)
        if "fpn" in neck_type:
            if channels[0] != channels[1]:
                raise ValueError(f"the FPN takes two levels of one width, and these have {channels}")
            fine, coarse = net.fpn(fine, coarse, channels[0])
            channels = (channels[0] // 2, channels[1] // 2)
        if "ssh" in neck_type:
            if any(width % 4 for width in channels):
                raise ValueError(f"SSH takes multiples of 4 channels, and these are {channels}")
            fine, coarse = net.ssh(fine, channels[0], "neck_ssh1"), net.ssh(coarse, channels[1], "neck_ssh2")
        boxes, scores, anchors = [], [], []
        for level, (feature, (step, sizes)) in enumerate(zip((fine, coarse), LEVELS, strict=True)):
            boxes.append(predictions(feature, len(sizes) * 4, 4, f"boxes{level}"))
            scores.append(predictions(feature, len(sizes) * CLASSES, CLASSES, f"scores{level}"))
            anchors.append(priors(feature, data, step, sizes, f"priors{level}"))
        if joined:
            score = mx.sym.Concat(*scores, dim=1, name="scores_joined")
            return mx.sym.Group(
                [mx.sym.Concat(*boxes, dim=1, name="boxes"), mx.sym.softmax(score, axis=-1, name="scores")]
            )
        return mx.sym.Group([*boxes, *scores, *anchors])

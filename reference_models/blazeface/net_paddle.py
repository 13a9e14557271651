"""BlazeFace in PaddlePaddle, as PaddleDetection has it: images of any size to boxes and scores at strides 8 and 16.

A 3x3 convolution at stride 2; blocks of a depthwise and a linear 1x1 convolution; double blocks of two such pairs; a
shortcut through a max pool and a 1x1 convolution where the stride is 2. The fourth-last and the last block's outputs,
perhaps through a neck, feed an SSD head. PaddleDetection's blocks name their layers after themselves, so that a name
holds the block's twice: ``backbone.blaze_2.blaze_21_dw._conv.weight``. Names and order of the parameters are those of
PaddleDetection (https://github.com/PaddlePaddle/PaddleDetection, ppdet/modeling), and the priors come from the operator
that it takes, ``prior_box``.

Paper: https://arxiv.org/abs/1907.05047
"""

from __future__ import annotations

import paddle
from paddle import nn
from paddle.nn import functional

BLAZE_FILTERS = [[24, 24], [24, 24], [24, 48, 2], [48, 48], [48, 48]]
DOUBLE_BLAZE_FILTERS = [[48, 24, 96, 2], [96, 24, 96], [96, 24, 96], [96, 24, 96, 2], [96, 24, 96], [96, 24, 96]]
MIN_SIZES = [[16.0, 24.0], [32.0, 48.0, 64.0, 80.0, 96.0, 128.0]]
STEPS = [8.0, 16.0]
NUM_CLASSES = 2  # face, background


def activate(x, act):
    if act is None:
        return x
    functions = {
        "relu": functional.relu,
        "relu6": functional.relu6,
        "leaky": functional.leaky_relu,
        "hard_swish": functional.hardswish,
    }
    return functions[act](x)


class ConvBNLayer(nn.Layer):
    """Convolution without bias, BatchNorm, activation."""

    def __init__(self, in_channels, out_channels, kernel_size, epsilon, stride=1, num_groups=1, act="relu"):
        super().__init__()
        self.act = act
        self._conv = nn.Conv2D(
            in_channels,
            out_channels,
            kernel_size,
            stride=stride,
            padding=kernel_size // 2,
            groups=num_groups,
            weight_attr=paddle.ParamAttr(initializer=nn.initializer.KaimingNormal()),
            bias_attr=False,
        )
        self._batch_norm = nn.BatchNorm2D(out_channels, epsilon=epsilon)

    def forward(self, x):
        return activate(self._batch_norm(self._conv(x)), self.act)


class BlazeBlock(nn.Layer):
    """A block, single where ``double_channels`` is None; ``name`` is part of its layers' names."""

    def __init__(
        self, name, in_channels, channels, narrow, double_channels=None, stride=1, use_5x5kernel=True, act=None,
        epsilon=1e-5,
    ):  # fmt: skip
        super().__init__()
        outputs = double_channels or narrow
        if stride not in (1, 2) or (stride == 1 and in_channels != outputs):
            raise ValueError(f"{name} from {in_channels} to {outputs} channels cannot have stride {stride}")
        self._name = name
        self._epsilon = epsilon
        self._branch = self._depthwise("1_dw", in_channels, channels, stride, use_5x5kernel)
        self._branch.append("conv_pw")
        self.conv_pw = ConvBNLayer(channels, narrow, 1, epsilon, act=act if double_channels else None)
        if double_channels:
            self._branch += self._depthwise("2_dw", narrow, narrow, 1, use_5x5kernel)
            self._branch.append("conv_pw2")
            self.conv_pw2 = ConvBNLayer(narrow, double_channels, 1, epsilon)
        self._aside = []
        if stride == 2:
            self._aside = [f"{name}_shortcut_pool", f"{name}_shortcut_conv"]
            self.add_sublayer(self._aside[0], nn.MaxPool2D(2, 2, ceil_mode=True))
            self.add_sublayer(self._aside[1], ConvBNLayer(in_channels, outputs, 1, epsilon))

    def _depthwise(self, suffix, in_channels, channels, stride, use_5x5kernel):
        """Add one 5x5 or two 3x3 depthwise layers; returns their names."""
        name = f"{self._name}{suffix}"
        if use_5x5kernel:
            self.add_sublayer(name, ConvBNLayer(in_channels, channels, 5, self._epsilon, stride, channels))
            return [name]
        self.add_sublayer(f"{name}_1", ConvBNLayer(in_channels, channels, 3, self._epsilon, 1, channels))
        self.add_sublayer(f"{name}_2", ConvBNLayer(channels, channels, 3, self._epsilon, stride, channels))
        return [f"{name}_1", f"{name}_2"]

    def forward(self, x):
        y = x
        for name in self._branch:
            y = getattr(self, name)(y)
        for name in self._aside:
            x = getattr(self, name)(x)
        return functional.relu(paddle.add(y, x))


class BlazeNet(nn.Layer):
    """Images to the outputs of the fourth-last and the last block."""

    def __init__(self, blaze_filters, double_blaze_filters, use_5x5kernel, act, epsilon):
        super().__init__()
        inputs = blaze_filters[0][0]
        self.conv1 = ConvBNLayer(3, inputs, 3, epsilon, stride=2)
        options = {"use_5x5kernel": use_5x5kernel, "act": act, "epsilon": epsilon}
        self._blocks = []
        self._out_channels = []
        rows = [(f"blaze_{k}", row[:2], None, row[2:]) for k, row in enumerate(blaze_filters)]
        rows += [(f"double_blaze_{k}", row[:2], row[2], row[3:]) for k, row in enumerate(double_blaze_filters)]
        for name, (channels, narrow), double, stride in rows:
            block = BlazeBlock(name, inputs, channels, narrow, double, stride[0] if stride else 1, **options)
            self._blocks.append(self.add_sublayer(name, block))
            inputs = double or narrow
            self._out_channels.append(inputs)

    def forward(self, x):
        x = self.conv1(x)
        outputs = []
        for block in self._blocks:
            x = block(x)
            outputs.append(x)
        return [outputs[-4], outputs[-1]]

    @property
    def out_channels(self):
        return [self._out_channels[-4], self._out_channels[-1]]


class FPN(nn.Layer):
    def __init__(self, in_channels, out_channels, epsilon):
        super().__init__()
        self.conv1_fpn = ConvBNLayer(in_channels, out_channels // 2, 1, epsilon, act="leaky")
        self.conv2_fpn = ConvBNLayer(in_channels, out_channels // 2, 1, epsilon, act="leaky")
        self.conv3_fpn = ConvBNLayer(out_channels // 2, out_channels // 2, 3, epsilon, act="leaky")

    def forward(self, inputs):
        output1 = self.conv1_fpn(inputs[0])
        output2 = self.conv2_fpn(inputs[1])
        up = functional.interpolate(output2, size=paddle.shape(output1)[-2:], mode="nearest")
        return [self.conv3_fpn(paddle.add(output1, up)), output2]


class SSH(nn.Layer):
    def __init__(self, channels, epsilon):
        super().__init__()
        half, quarter = channels // 2, channels // 4
        self.conv0_ssh = ConvBNLayer(channels, half, 3, epsilon, act=None)
        self.conv1_ssh = ConvBNLayer(half, quarter, 3, epsilon, act="leaky")
        self.conv2_ssh = ConvBNLayer(quarter, quarter, 3, epsilon, act=None)
        self.conv3_ssh = ConvBNLayer(quarter, quarter, 3, epsilon, act="leaky")
        self.conv4_ssh = ConvBNLayer(quarter, quarter, 3, epsilon, act=None)

    def forward(self, x):
        conv0 = self.conv0_ssh(x)
        conv2 = self.conv2_ssh(self.conv1_ssh(conv0))
        conv4 = self.conv4_ssh(self.conv3_ssh(conv2))
        return functional.relu(paddle.concat([conv0, conv2, conv4], axis=1))


class BlazeNeck(nn.Layer):
    """``neck_type``: none hands its inputs on; only_fpn, only_ssh, fpn_ssh."""

    def __init__(self, in_channels, neck_type, epsilon):
        super().__init__()
        self.neck_type = neck_type
        self.out_channels = list(in_channels)
        if "fpn" in neck_type:
            if in_channels[0] != in_channels[1]:
                raise ValueError(f"the FPN takes two levels of one width, and these have {in_channels}")
            self.fpn = FPN(*in_channels, epsilon)
            self.out_channels = [channels // 2 for channels in in_channels]
        if "ssh" in neck_type:
            if any(channels % 4 for channels in self.out_channels):
                raise ValueError(f"SSH takes multiples of 4 channels, and these are {self.out_channels}")
            self.ssh1 = SSH(self.out_channels[0], epsilon)
            self.ssh2 = SSH(self.out_channels[1], epsilon)

    def forward(self, inputs):
        if "fpn" in self.neck_type:
            inputs = self.fpn(inputs)
        if "ssh" in self.neck_type:
            inputs = [self.ssh1(inputs[0]), self.ssh2(inputs[1])]
        return inputs


class FaceHead(nn.Layer):
    """Convolutions of both levels, and the prior boxes that their outputs move."""

    def __init__(self, in_channels):
        super().__init__()
        for level, (channels, sizes) in enumerate(zip(in_channels, MIN_SIZES, strict=True)):
            self.add_sublayer(f"boxes{level}", nn.Conv2D(channels, len(sizes) * 4, 3, padding=1))
            self.add_sublayer(f"scores{level}", nn.Conv2D(channels, len(sizes) * NUM_CLASSES, 3, padding=1))

    def forward(self, features):
        boxes, scores = [], []
        for level, feature in enumerate(features):
            box = paddle.transpose(getattr(self, f"boxes{level}")(feature), [0, 2, 3, 1])
            boxes.append(paddle.reshape(box, [0, -1, 4]))
            score = paddle.transpose(getattr(self, f"scores{level}")(feature), [0, 2, 3, 1])
            scores.append(paddle.reshape(score, [0, -1, NUM_CLASSES]))
        return boxes, scores


def priors(features, image):
    """The prior boxes of both levels, each (boxes, 4): corners x1, y1, x2, y2 over the image's width and height."""
    found = []
    for level, feature in enumerate(features):
        step = STEPS[level]
        boxes, _ = paddle.vision.ops.prior_box(
            feature, image, min_sizes=MIN_SIZES[level], aspect_ratios=[1.0], steps=[step, step], offset=0.5
        )
        found.append(paddle.reshape(boxes, [-1, 4]))
    return found


class BlazeFace(nn.Layer):
    """Images (N, 3, H, W), float32, RGB, (pixel - (123, 117, 104)) / 127.502231, to detections at strides 8 and 16.

    Args:
        blaze_filters: rows of single blocks: depthwise channels, channels, and the stride where it is not 1.
        double_blaze_filters: rows of double blocks: depthwise channels, narrow channels, channels, stride.
        use_5x5kernel: False gives two 3x3 depthwise convolutions for every 5x5 one.
        act: of the first 1x1 convolution of double blocks: relu, relu6, leaky, hard_swish or None.
        neck_type: none, only_fpn, only_ssh or fpn_ssh.
        joined: False returns boxes0, boxes1, scores0, scores1 (before the softmax), priors0 and priors1; True the boxes
            of both levels in one tensor and the softmax of the scores in another.
        epsilon: of every BatchNorm.
    """

    def __init__(
        self, blaze_filters=None, double_blaze_filters=None, use_5x5kernel=True, act="relu", neck_type="none",
        joined=False, epsilon=1e-5,
    ) -> None:  # fmt: skip
        super().__init__()
        blaze_filters = blaze_filters or BLAZE_FILTERS
        double_blaze_filters = DOUBLE_BLAZE_FILTERS if double_blaze_filters is None else double_blaze_filters
        self.backbone = BlazeNet(blaze_filters, double_blaze_filters, use_5x5kernel, act, epsilon)
        self.neck = BlazeNeck(self.backbone.out_channels, neck_type, epsilon)
        self.blaze_head = FaceHead(self.neck.out_channels)
        self.joined = joined

    def forward(self, x):
        features = self.neck(self.backbone(x))
        boxes, scores = self.blaze_head(features)
        if self.joined:
            return paddle.concat(boxes, axis=1), functional.softmax(paddle.concat(scores, axis=1), axis=-1)
        return (*boxes, *scores, *priors(features, x))

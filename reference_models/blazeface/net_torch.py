"""BlazeFace in PyTorch, the detector of PaddleDetection: images of any size to boxes and scores at strides 8 and 16.

A 3x3 convolution at stride 2; blocks of a depthwise and a linear 1x1 convolution; double blocks of two such pairs,
which narrow and widen; a shortcut through a max pool and a 1x1 convolution where the stride is 2. The outputs of the
fourth-last and of the last block, perhaps through a neck (FPN, SSH), feed an SSD head: four numbers a prior box and two
scores, that of a face and that of the background. Names and order of the parameters are those of the PyTorch port at
https://github.com/ttjjmm/blazeface (MIT), whose module lists make them differ from PaddleDetection's.

Paper: Bazarevsky et al., "BlazeFace: Sub-millisecond Neural Face Detection on Mobile GPUs",
https://arxiv.org/abs/1907.05047
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

# middle channels, channels and, where it is not 1, the stride
BLAZE_FILTERS = ((24, 24), (24, 24), (24, 48, 2), (48, 48), (48, 48))
# depthwise channels, narrow channels, channels and, where it is not 1, the stride
DOUBLE_BLAZE_FILTERS = (
    (48, 24, 96, 2),
    (96, 24, 96),
    (96, 24, 96),
    (96, 24, 96, 2),
    (96, 24, 96),
    (96, 24, 96),
)
STEPS = (8, 16)  # pixels from one prior to the next, a level
SIZES = ((16, 24), (32, 48, 64, 80, 96, 128))  # sides of the square priors in pixels, a level
CLASSES = 2  # face, background
ACTIVATIONS = {"relu": nn.ReLU, "relu6": nn.ReLU6, "leaky": nn.LeakyReLU, "hard_swish": nn.Hardswish, None: nn.Identity}


class ConvBNLayer(nn.Module):
    """Convolution that keeps the size at stride 1, BatchNorm, activation."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int,
        eps: float,
        stride: int = 1,
        groups: int = 1,
        act: str | None = "relu",
    ) -> None:
        super().__init__()
        self._conv = nn.Conv2d(in_channels, out_channels, kernel, stride, kernel // 2, groups=groups, bias=False)
        self._batch_norm = nn.BatchNorm2d(out_channels, eps=eps)
        self.act = ACTIVATIONS[act]()
        nn.init.kaiming_normal_(self._conv.weight)

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self._batch_norm(self._conv(x)))


def depthwise(in_channels: int, channels: int, stride: int, use_5x5kernel: bool, eps: float) -> nn.ModuleList:
    """One 5x5 convolution, or two 3x3 ones of which the second has the stride."""
    if use_5x5kernel:
        return nn.ModuleList([ConvBNLayer(in_channels, channels, 5, eps, stride, channels)])
    return nn.ModuleList(
        [
            ConvBNLayer(in_channels, channels, 3, eps, 1, channels),
            ConvBNLayer(channels, channels, 3, eps, stride, channels),
        ]
    )


class BlazeBlock(nn.Module):
    """A single block (``double_channels`` None) or a double one, with its shortcut and the ReLU behind the sum."""

    def __init__(
        self,
        in_channels: int,
        out_channels1: int,
        out_channels2: int,
        double_channels: int | None,
        stride: int,
        use_5x5kernel: bool,
        act: str | None,
        eps: float,
    ) -> None:
        super().__init__()
        out_channels = double_channels or out_channels2
        if stride not in (1, 2) or (stride == 1 and in_channels != out_channels):
            raise ValueError(f"a block from {in_channels} to {out_channels} channels cannot have stride {stride}")
        self.double = double_channels is not None
        self.conv_dw = depthwise(in_channels, out_channels1, stride, use_5x5kernel, eps)
        self.conv_pw = ConvBNLayer(out_channels1, out_channels2, 1, eps, act=act if self.double else None)
        if self.double:
            self.conv_dw2 = depthwise(out_channels2, out_channels2, 1, use_5x5kernel, eps)
            self.conv_pw2 = ConvBNLayer(out_channels2, out_channels, 1, eps)
        self.halves = stride == 2
        if self.halves:
            pool = nn.MaxPool2d(2, 2, ceil_mode=True)
            self._shortcut = nn.ModuleList([pool, ConvBNLayer(in_channels, out_channels, 1, eps)])

    def forward(self, x: Tensor) -> Tensor:
        y = x
        for layer in self.conv_dw:
            y = layer(y)
        y = self.conv_pw(y)
        if self.double:
            for layer in self.conv_dw2:
                y = layer(y)
            y = self.conv_pw2(y)
        if self.halves:
            for layer in self._shortcut:
                x = layer(x)
        return functional.relu(y + x)


class BlazeNet(nn.Module):
    """Images to the maps of the fourth-last and the last block."""

    def __init__(
        self,
        blaze_filters: Sequence[Sequence[int]],
        double_blaze_filters: Sequence[Sequence[int]],
        use_5x5kernel: bool,
        act: str | None,
        eps: float,
    ) -> None:
        super().__init__()
        channels = blaze_filters[0][0]
        self.conv1 = ConvBNLayer(3, channels, 3, eps, 2)
        self.blaze_ = nn.ModuleList()
        self.double_blaze_ = nn.ModuleList()
        widths = []
        for middle, out, *stride in blaze_filters:
            self.blaze_.append(
                BlazeBlock(channels, middle, out, None, stride[0] if stride else 1, use_5x5kernel, act, eps)
            )
            channels = out
            widths.append(out)
        for middle, narrow, out, *stride in double_blaze_filters:
            self.double_blaze_.append(
                BlazeBlock(channels, middle, narrow, out, stride[0] if stride else 1, use_5x5kernel, act, eps)
            )
            channels = out
            widths.append(out)
        self.channels = (widths[-4], widths[-1])

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = self.conv1(x)
        maps = []
        for block in (*self.blaze_, *self.double_blaze_):
            x = block(x)
            maps.append(x)
        return maps[-4], maps[-1]


class FPN(nn.Module):
    """Both levels narrowed; the coarse one, enlarged to the size of the fine one, is added to it."""

    def __init__(self, in_channels: int, out_channels: int, eps: float) -> None:
        super().__init__()
        self.conv1_fpn = ConvBNLayer(in_channels, out_channels // 2, 1, eps, act="leaky")
        self.conv2_fpn = ConvBNLayer(in_channels, out_channels // 2, 1, eps, act="leaky")
        self.conv3_fpn = ConvBNLayer(out_channels // 2, out_channels // 2, 3, eps, act="leaky")

    def forward(self, fine: Tensor, coarse: Tensor) -> tuple[Tensor, Tensor]:
        fine, coarse = self.conv1_fpn(fine), self.conv2_fpn(coarse)
        enlarged = functional.interpolate(coarse, size=fine.shape[-2:], mode="nearest")
        return self.conv3_fpn(fine + enlarged), coarse


class SSH(nn.Module):
    """A chain of 3x3 convolutions; the first, third and fifth are joined: fields of 3, 7 and 11 pixels."""

    def __init__(self, channels: int, eps: float) -> None:
        super().__init__()
        half, quarter = channels // 2, channels // 4
        self.conv0_ssh = ConvBNLayer(channels, half, 3, eps, act=None)
        self.conv1_ssh = ConvBNLayer(half, quarter, 3, eps, act="leaky")
        self.conv2_ssh = ConvBNLayer(quarter, quarter, 3, eps, act=None)
        self.conv3_ssh = ConvBNLayer(quarter, quarter, 3, eps, act="leaky")
        self.conv4_ssh = ConvBNLayer(quarter, quarter, 3, eps, act=None)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv0_ssh(x)
        y = self.conv2_ssh(self.conv1_ssh(x))
        z = self.conv4_ssh(self.conv3_ssh(y))
        return functional.relu(torch.cat([x, y, z], dim=1))


class BlazeNeck(nn.Module):
    """FPN, SSH on both levels, or one behind the other."""

    def __init__(self, channels: tuple[int, int], neck_type: str, eps: float) -> None:
        super().__init__()
        self.has_fpn, self.has_ssh = "fpn" in neck_type, "ssh" in neck_type
        if self.has_fpn:
            if channels[0] != channels[1]:
                raise ValueError(f"the FPN takes two levels of one width, and these have {channels}")
            self.fpn = FPN(*channels, eps)
            channels = (channels[0] // 2, channels[1] // 2)
        if self.has_ssh:
            if any(width % 4 for width in channels):
                raise ValueError(f"SSH takes multiples of 4 channels, and these are {channels}")
            self.ssh1 = SSH(channels[0], eps)
            self.ssh2 = SSH(channels[1], eps)
        self.channels = channels

    def forward(self, fine: Tensor, coarse: Tensor) -> tuple[Tensor, Tensor]:
        if self.has_fpn:
            fine, coarse = self.fpn(fine, coarse)
        if self.has_ssh:
            fine, coarse = self.ssh1(fine), self.ssh2(coarse)
        return fine, coarse


def as_rows(maps: Tensor, width: int) -> Tensor:
    """(N, C, H, W) to (N, H * W * C / width, width)."""
    return maps.permute(0, 2, 3, 1).reshape(maps.shape[0], -1, width)


class BlazeHead(nn.Module):
    """Every level's boxes (N, priors, 4) and scores (N, priors, 2), rows from left to right and from top to bottom."""

    def __init__(self, channels: tuple[int, int]) -> None:
        super().__init__()
        levels = list(zip(channels, SIZES, strict=True))
        self.boxes = nn.ModuleList([nn.Conv2d(width, len(sizes) * 4, 3, padding=1) for width, sizes in levels])
        self.scores = nn.ModuleList([nn.Conv2d(width, len(sizes) * CLASSES, 3, padding=1) for width, sizes in levels])

    def forward(self, maps: Sequence[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        boxes = [as_rows(layer(x), 4) for layer, x in zip(self.boxes, maps, strict=True)]
        scores = [as_rows(layer(x), CLASSES) for layer, x in zip(self.scores, maps, strict=True)]
        return boxes, scores


def priors(feature: Tensor, image: Tensor, step: int, sizes: Sequence[int]) -> Tensor:
    """The prior boxes of one level: (rows * columns * sizes, 4), corners x1, y1, x2, y2 over the image's size.

    Boxes are squares around the middle of every cell of ``step`` pixels; they may reach beyond the image.
    """
    rows, columns = feature.shape[-2:]
    height, width = image.shape[-2:]
    kind = {"dtype": image.dtype, "device": image.device}
    y = ((torch.arange(rows, **kind) + 0.5) * step).view(-1, 1, 1)
    x = ((torch.arange(columns, **kind) + 0.5) * step).view(1, -1, 1)
    half = torch.tensor(sizes, **kind) / 2
    corners = [(x - half) / width, (y - half) / height, (x + half) / width, (y + half) / height]
    shape = (rows, columns, len(sizes))
    return torch.stack([corner.expand(shape) for corner in corners], dim=-1).reshape(-1, 4)


class BlazeFace(nn.Module):
    """Images (N, 3, H, W), float32, RGB, (pixel - (123, 117, 104)) / 127.502231, to detections at strides 8 and 16.

    Args:
        blaze_filters: single blocks, see BLAZE_FILTERS.
        double_blaze_filters: double blocks, see DOUBLE_BLAZE_FILTERS; the net needs four blocks or more.
        use_5x5kernel: False gives two 3x3 depthwise convolutions for every 5x5 one.
        act: of the first 1x1 convolution of double blocks: "relu", "relu6", "leaky", "hard_swish" or None.
        neck_type: "none", "only_fpn", "only_ssh" or "fpn_ssh".
        joined: False returns boxes0, boxes1, scores0, scores1 (before the softmax), priors0 and priors1; True, as the
            port does, the boxes of both levels in one tensor and the softmax of the scores in another.
        eps: of every BatchNorm.
    """

    def __init__(
        self,
        blaze_filters: Sequence[Sequence[int]] = BLAZE_FILTERS,
        double_blaze_filters: Sequence[Sequence[int]] = DOUBLE_BLAZE_FILTERS,
        use_5x5kernel: bool = True,
        act: str | None = "relu",
        neck_type: str = "none",
        joined: bool = False,
        eps: float = 1e-5,
    ) -> None:
        super().__init__()
        self.backbone = BlazeNet(blaze_filters, double_blaze_filters, use_5x5kernel, act, eps)
        self.neck = BlazeNeck(self.backbone.channels, neck_type, eps) if neck_type != "none" else None
        self.blaze_head = BlazeHead((self.neck or self.backbone).channels)
        self.joined = joined

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        maps = self.backbone(x)
        if self.neck is not None:
            maps = self.neck(*maps)
        boxes, scores = self.blaze_head(maps)
        if self.joined:
            return torch.cat(boxes, dim=1), functional.softmax(torch.cat(scores, dim=1), dim=-1)
        anchors = [priors(level, x, step, sizes) for level, step, sizes in zip(maps, STEPS, SIZES, strict=True)]
        return (*boxes, *scores, *anchors)

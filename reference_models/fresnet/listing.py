"""The layers of fresnet in forward order, which is the order of its states too."""

from __future__ import annotations

from facecvt.reference_models.fresnet.names import OUTPUT_NAMES
from facecvt.reference_models.fresnet.variants import EXPANSION, STEM, is_bottleneck, last_map
from facecvt.reference_models.layers import INPUT, Layer, LayerList
from facecvt.reference_models.mxnet_outputs import ACTIVATIONS, GDC_EPS, append_output
from facecvt.reference_models.spec import ArchitectureSpec

SQUEEZE = 16  # channels of a unit over those inside its squeeze and excitation


class Listing(LayerList):
    """The layers, unit by unit."""

    def __init__(self, spec: ArchitectureSpec) -> None:
        super().__init__()
        self.version, self.se, self.kind = (spec.options[name] for name in ("unit", "se", "activation"))
        self.bottleneck, self.stride_first = is_bottleneck(spec), spec.options["input"] == 0

    def activation(self, name: str, x: str, channels: int) -> str:
        """A PRelu, or the function without parameters that the option asks for."""
        if self.kind == "prelu":
            return self.prelu(name, x, channels)
        return self.elementwise(name, ACTIVATIONS[self.kind], x)

    def kernels(self, channels: int, stride: int) -> list[tuple[int, int, int]]:
        """Output channels, kernel and stride of a unit's convolutions."""
        inner = channels // EXPANSION
        shapes = [(inner, 1), (inner, 3), (channels, 1)] if self.bottleneck else [(channels, 3), (channels, 3)]
        strided = len(shapes) - 1
        if self.version == 2:
            strided -= 1
        elif self.version == 1 and self.stride_first:
            strided = 0
        return [(out, kernel, stride if index == strided else 1) for index, (out, kernel) in enumerate(shapes)]

    def branch(self, unit: str, x: str, channels: tuple[int, int], stride: int, gain: float) -> str:
        """The residual branch; its last layer with parameters is damped."""
        width, kernels = channels[0], self.kernels(channels[1], stride)
        if self.version == 3:
            x = self.batch_norm(f"{unit}.bn1", x, width)
        for index, (out, kernel, step) in enumerate(kernels, start=1):
            last = index == len(kernels)
            number = "" if index == 1 else str(index)
            if self.version == 2:
                x = self.activation(f"{unit}.prelu{number}", self.batch_norm(f"{unit}.bn{index}", x, width), width)
            x = self.conv(
                f"{unit}.conv{index}", x, (width, out), kernel, stride=step, pad=kernel // 2,
                gain=gain if last and self.version == 2 else 1.0,
            )  # fmt: skip
            width = out
            if self.version != 2:
                norm = f"{unit}.bn{index + 1 if self.version == 3 else index}"
                x = self.batch_norm(norm, x, out, gain=gain if last else 1.0)
                if not last:
                    x = self.activation(f"{unit}.prelu{number}", x, out)
        return self.squeeze_and_excitation(f"{unit}.se", x, channels[1]) if self.se else x

    def squeeze_and_excitation(self, name: str, x: str, channels: int) -> str:
        """Every channel times a factor that the means of all of them give."""
        y = self.conv(
            f"{name}.conv1", self.global_average_pool(f"{name}.pool", x), (channels, channels // SQUEEZE), 1, bias=True
        )
        y = self.activation(f"{name}.prelu", y, channels // SQUEEZE)
        y = self.conv(f"{name}.conv2", y, (channels // SQUEEZE, channels), 1, bias=True)
        return self.multiply(name, x, self.elementwise(f"{name}.sigmoid", "Sigmoid", y))

    def unit(self, unit: str, x: str, channels: tuple[int, int], stride: int, gain: float) -> str:
        """A residual unit; the first one of a stage, at stride 2, has a shortcut with weights."""
        branch, shortcut = self.branch(unit, x, channels, stride, gain), x
        if stride != 1:
            if self.version == 2:
                shortcut = self.conv(f"{unit}.downsample", f"{unit}.prelu", channels, 1, stride=stride)
            else:
                shortcut = self.conv(f"{unit}.downsample.0", x, channels, 1, stride=stride)
                shortcut = self.batch_norm(f"{unit}.downsample.1", shortcut, channels[1])
        if self.version != 1:
            return self.add(unit, branch, shortcut)
        return self.activation(f"{unit}.prelu3", self.add(f"{unit}.add", branch, shortcut), channels[1])


def layers(spec: ArchitectureSpec) -> list[Layer]:
    """Every layer in forward order.

    The end of a branch is damped by the number of units in its stage, so that the running sum keeps its size however
    deep the stage is.
    """
    net, given = Listing(spec), spec.options
    x = net.batch_norm("bn_data", INPUT, 3, unit_scale=True) if given["input"] == 2 else INPUT
    if given["input"] == 0:
        x = net.conv("conv1", x, (3, STEM), 7, stride=2, pad=3)
    else:
        x = net.conv("conv1", x, (3, STEM), 3, pad=1)
    x = net.activation("prelu", net.batch_norm("bn1", x, STEM), STEM)
    before = STEM
    for stage in spec.stages:
        for index in range(stage.units):
            gain = 0.5 * stage.units**-0.5
            stride = stage.stride if index == 0 else 1
            x = net.unit(f"{stage.name}.{index}", x, (before, stage.channels), stride, gain)
            before = stage.channels
    channels, size = last_map(spec)
    x = append_output(
        net, x, given["output"],
        channels=channels, size=size, length=spec.embedding_size,
        act="prelu" if given["revision"] == "2018" else given["activation"],
        eps=None, gdc_eps=GDC_EPS, names=OUTPUT_NAMES,
    )  # fmt: skip
    if spec.normalised:
        net.normalize("normalize", x)
    return net.layers

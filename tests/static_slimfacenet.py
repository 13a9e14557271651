"""Writes SlimFaceNet A x0.60 as a static graph, as PaddleSlim does; run by test_reference_slimfacenet.py.

    FLAGS_enable_pir_api=0 python static_slimfacenet.py FOLDER

What differs from the traced dynamic net: slopes of shape (1, C, 1, 1) go straight into prelu, the gate multiplies along
axis 0, and the map is reshaped to (-1, 128). The weights are those of the reference model's seed 0.
"""

from __future__ import annotations

import sys
from pathlib import Path

import paddle
from paddle import ParamAttr, static

from facecvt.reference_models import spec
from facecvt.reference_models.seeded import seeded_state

ARCH = spec("slimfacenet_a_x0_60")
WIDTHS = [40] * 5 + [76] * 10
STRIDES = {1: 2, 6: 2, 13: 2}


def block(x, name, filters, size=1, stride=1, padding=0, groups=1, act=True):
    x = static.nn.conv2d(
        x, filters, size, stride, padding, groups=groups, param_attr=ParamAttr(f"{name}_weights"), bias_attr=False
    )
    x = static.nn.batch_norm(
        x,
        is_test=True,
        param_attr=ParamAttr(f"{name}_bn_scale"),
        bias_attr=ParamAttr(f"{name}_bn_offset"),
        moving_mean_name=f"{name}_bn_mean",
        moving_variance_name=f"{name}_bn_variance",
    )
    return static.nn.prelu(x, "channel", ParamAttr(f"{name}_prelu")) if act else x


def squeeze(x, name):
    y = paddle.nn.functional.adaptive_avg_pool2d(x, 1)
    for number, filters in ((1, x.shape[1] // 4), (2, x.shape[1])):
        attributes = ParamAttr(f"{name}_{number}_weights"), ParamAttr(f"{name}_{number}_offset")
        y = static.nn.conv2d(y, filters, 1, param_attr=attributes[0], bias_attr=attributes[1])
        if number == 1:
            y = static.nn.prelu(y, "channel", ParamAttr(f"{name}_prelu"))
    y = paddle.nn.functional.hardsigmoid(y, 0.2, 0.5)
    helper = paddle.base.layer_helper.LayerHelper("elementwise_mul")
    out = helper.create_variable_for_type_inference(x.dtype)
    helper.append_op(type="elementwise_mul", inputs={"X": x, "Y": y}, outputs={"Out": out}, attrs={"axis": 0})
    return out


def net(x):
    x = block(x, "conv3x3", 64, 3, 2, 1)
    x = block(x, "dw_conv3x3", 64, 3, 1, 1, 64)
    for place, (width, code) in enumerate(zip(WIDTHS, ARCH.options["arch"], strict=True), start=1):
        name, hidden, stride = f"residual_unit{place}", x.shape[1] * (2, 4, 6)[code // 2], STRIDES.get(place, 1)
        y = block(x, f"{name}_expand", hidden)
        y = block(y, f"{name}_depthwise", hidden, 3, stride, 1, hidden)
        if code % 2:
            y = squeeze(y, f"{name}_se")
        y = block(y, f"{name}_linear", width, act=False)
        x = x + y if stride == 1 and x.shape[1] == width else y
    x = block(x, "conv1x1", 512)
    x = block(x, "global_dw_conv7x7", 512, (7, 6), groups=512, act=False)
    x = block(x, "linear_conv1x1", 128, act=False)
    return paddle.reshape(x, [-1, 128])


def main(folder):
    paddle.enable_static()
    main_program, startup = static.Program(), static.Program()
    with static.program_guard(main_program, startup):
        image = static.data("image", [-1, 3, 112, 96], "float32")
        feature = net(image)
    executor = static.Executor(paddle.CPUPlace())
    executor.run(startup)
    static.set_program_state(main_program, seeded_state(ARCH, "paddle"))
    static.save_inference_model(str(Path(folder) / "inference"), [image], [feature], executor, program=main_program)


if __name__ == "__main__":
    main(sys.argv[1])

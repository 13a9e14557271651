"""Resize, UpSampling and Crop of every source against both targets, over the maps of places that each source has."""

import numpy as np
import pytest

from facecvt.converters.ops.nearest_maps import torch_mode_of_nearest
from facecvt.parity_tests.support.operator_cases import (
    Case,
    mxnet,
    onnx,
    onnx_graph,
    paddle,
    paddle_op,
    spread,
    uncovered,
)
from facecvt.parity_tests.support.single_op import mxnet_sample, random_array
from facecvt.parity_tests.support.single_op_targets import hold_targets, read_sample

X, SMALL, LINE = random_array(2, 3, 5, 6), random_array(1, 2, 3, 4), random_array(2, 3, 7)
VOLUME = random_array(1, 2, 3, 4, 5)
FREE = {"x": [-1, 3, -1, -1]}
NO_ROI = np.zeros(0, np.float32)
ONE_PIXEL = random_array(1, 2, 1, 4)
MAPS = ("half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric")
ROUNDINGS = ("round_prefer_floor", "round_prefer_ceil", "floor", "ceil")
# Nearest by a factor of two: what picks other pixels than F.interpolate does, by (map, rounding).
NOT_IN_TORCH = {
    *((mapping, "ceil") for mapping in MAPS),
    *((mapping, "floor") for mapping in MAPS if mapping != "asymmetric"),
    ("asymmetric", "round_prefer_ceil"),
}
NO_TORCH = {"torch": "refused"}


def interpolation(x, wanted, corners, align_mode, mode, **more):
    return paddle(
        f"{mode}_interp_v2",
        f"{mode}_interp",
        f"F.interpolate(x, {wanted}, mode='{mode}', align_corners={corners}, align_mode={align_mode})",
        x=x,
        **more,
    )


IMAGE, LIKE = random_array(2, 3, 4, 5, seed=7), random_array(2, 1, 6, 3)
HALF, THIRD = random_array(2, 3, 3, 3), random_array(2, 3, 1, 1, seed=3)
SQUARE = random_array(2, 3, 6, 6)
ODD = random_array(1, 2, 5, 6)

CASES: list[Case] = [
    *mxnet("_contrib_BilinearResize2D", IMAGE, height=9, width=3),
    *mxnet("_contrib_BilinearResize2D", IMAGE, height=1, width=11, align_corners=False),
    *mxnet("_contrib_BilinearResize2D", IMAGE, scale_height=2.5, scale_width=0.7, align_corners=0),
    *mxnet("_contrib_BilinearResize2D", IMAGE, scale_height=2.0, scale_width=3.0, mode="size"),
    *mxnet("_contrib_BilinearResize2D", IMAGE, LIKE, mode="like"),
    *mxnet("_contrib_BilinearResize2D", IMAGE, LIKE, mode="like", align_corners=False),
    *mxnet("_contrib_BilinearResize2D", ODD, scale_height=2, scale_width=1.5, mode="odd_scale"),
    *mxnet("_contrib_BilinearResize2D", ODD, scale_height=0.5, scale_width=0.4, mode="odd_scale", align_corners=0),
    *(
        case
        for mode in ("to_even_down", "to_even_up", "to_odd_down", "to_odd_up")
        for case in mxnet("_contrib_BilinearResize2D", ODD, mode=mode)
    ),
    *(
        case
        for scale in (1, 2, 3, 4)
        for case in mxnet("UpSampling", X, scale=scale, sample_type="nearest", num_args=1)
    ),
    *(
        case
        for scale in (1, 2, 3, 4)
        for case in mxnet(
            "UpSampling",
            X,
            random_array(3, 1, 2 * scale - scale % 2, 2 * scale - scale % 2),
            weights=1,
            scale=scale,
            sample_type="bilinear",
            num_args=2,
            num_filter=3,
        )
    ),
    *mxnet("UpSampling", SQUARE, HALF, scale=1, sample_type="nearest", num_args=2),
    *mxnet("UpSampling", HALF, SQUARE, THIRD, scale=4, sample_type="nearest", num_args=3, multi_input_mode="sum"),
    *mxnet("Crop", X, SMALL, num_args=2),
    *mxnet("Crop", X, SMALL, num_args=2, offset=(2, 1)),
    *mxnet("Crop", X, SMALL, num_args=2, center_crop=True),
    *mxnet("Crop", X, num_args=1, h_w=(3, 2)),
    *mxnet("Crop", X, num_args=1, h_w=(3, 2), offset=(1, 3)),
    *mxnet("Crop", X, num_args=1, h_w=(2, 3), center_crop="1"),
    *(
        case
        for mode in ("nearest", "bilinear")
        for wanted in ("scale_factor=2", "size=[10, 12]", "size=[7, 9]", "scale_factor=[3, 2]", "size=[3, 4]")
        for case in interpolation(X, wanted, False, 0, mode)
    ),
    *(
        case
        for mode in ("nearest", "bilinear")
        for wanted in ("scale_factor=2", "scale_factor=[4, 1.5]")
        for case in interpolation(X, wanted, False, 0, mode, shapes=FREE)
    ),
    *interpolation(X, "scale_factor=2", True, 0, "bilinear"),
    *interpolation(X, "size=[9, 11]", True, 1, "bilinear", shapes=FREE),
    *interpolation(X, "scale_factor=2", False, 1, "bilinear", options=NO_TORCH),
    *interpolation(X, "size=[7, 1]", False, 0, "bilinear", options=NO_TORCH),
    *interpolation(ONE_PIXEL, "scale_factor=2", False, 0, "bilinear", shapes={"x": [-1, 2, -1, -1]}),
    *interpolation(X, "size=paddle.shape(y)[2:]", False, 0, "nearest", y=SMALL),
    *interpolation(X, "size=paddle.shape(y)[2:]", False, 0, "bilinear", y=random_array(1, 1, 8, 9), options=NO_TORCH),
    *interpolation(X, "size=[paddle.shape(y)[2], 7]", False, 0, "nearest", y=SMALL),
    *(
        case
        for attrs in (
            {"scale": 2.0, "align_corners": False},
            {"out_h": 7, "out_w": 9, "align_corners": False},
            {"out_h": 10, "out_w": 12, "align_corners": False},
        )
        for case in paddle_op("nearest_interp", {"X": ["x"]}, {"interp_method": "nearest", **attrs}, x=X)
    ),
    *paddle_op(
        "nearest_interp",
        {"X": ["x"]},
        {"interp_method": "nearest", "out_h": 9, "out_w": 11, "align_corners": True},
        x=X,
        options=NO_TORCH,
    ),
    *(
        case
        for attrs in (
            {"scale": 2.0, "align_corners": False, "align_mode": 0},
            {"out_h": 7, "out_w": 9, "align_corners": False, "align_mode": 0},
            {"out_h": 7, "out_w": 9, "align_corners": True},
        )
        for case in paddle_op("bilinear_interp", {"X": ["x"]}, {"interp_method": "bilinear", **attrs}, x=X)
    ),
    *paddle_op(
        "bilinear_interp",
        {"X": ["x"]},
        {"interp_method": "bilinear", "scale": 1.5, "align_corners": False, "align_mode": 0},
        x=X,
        options={"refused": "whole scales"},
    ),
    *onnx("Upsample", X, opsets=(7, 8), scales=[1.0, 1.0, 2.0, 3.0]),
    *onnx("Upsample", X, np.float32([1, 1, 2, 2]), opsets=(9,)),
    *onnx("Upsample", X, np.float32([1, 1, 2, 2]), opsets=(9,), mode="linear", options=NO_TORCH),
    *onnx("Resize", X, np.float32([1, 1, 2, 3]), opsets=(10,)),
    *onnx("Resize", X, np.float32([1, 1, 0.5, 1]), opsets=(10,), options={"refused": "opset 10"}),
    *(
        case
        for mapping in MAPS
        for rounding in ROUNDINGS
        for case in onnx(
            "Resize",
            X,
            NO_ROI,
            np.float32([1, 1, 2, 2]),
            opsets=(11, 13),
            mode="nearest",
            coordinate_transformation_mode=mapping,
            nearest_mode=rounding,
            options=NO_TORCH if (mapping, rounding) in NOT_IN_TORCH else None,
        )
    ),
    *(
        case
        for mapping in MAPS
        for case in onnx(
            "Resize",
            X,
            NO_ROI,
            np.float32([1, 1, 2, 1.5]),
            opsets=(11, 19),
            mode="linear",
            coordinate_transformation_mode=mapping,
            options=NO_TORCH if mapping == "asymmetric" else None,
        )
    ),
    *onnx("Resize", X, None, np.float32([1, 1, 0.6, 0.5]), opsets=(13, 18), mode="linear"),
    *onnx("Resize", X, None, None, np.int64([2, 3, 8, 4]), opsets=(13, 18), mode="linear"),
    *onnx("Resize", X, None, None, np.int64([2, 3, 10, 12]), opsets=(13, 19)),
    *onnx("Resize", LINE, None, np.float32([1, 1, 2]), opsets=(13,), mode="linear"),
    *onnx("Resize", VOLUME, None, np.float32([1, 1, 2, 2, 2]), opsets=(13,)),
    *onnx("Resize", VOLUME, None, np.float32([1, 1, 2, 2, 2]), opsets=(13,), mode="linear"),
    *onnx("Resize", X, None, np.float32([2, 1.5]), opsets=(18, 19), mode="linear", axes=[2, 3]),
    *onnx("Resize", X, None, np.float32([2]), opsets=(18,), mode="linear", axes=[-1]),
    *onnx("Resize", X, None, None, np.int64([8, 9]), opsets=(18,), mode="linear", axes=[2, 3]),
    *onnx("Resize", X, None, np.float32([1, 1, 2, 2]), opsets=(13,), mode="cubic", options=NO_TORCH),
    *onnx(
        "Resize",
        X,
        None,
        np.float32([1, 1, 0.5, 0.5]),
        opsets=(18,),
        mode="linear",
        antialias=1,
        options={**NO_TORCH, "opsets": (18, 21)},
    ),
    *onnx("Resize", X, None, np.float32([1, 2, 2, 2]), opsets=(13,), mode="nearest", options=NO_TORCH),
    *onnx_graph(
        "Resize",
        "s = Shape(x) z = Constant<value_ints = [0]>() t = Constant<value_ints = [2]>() h = Slice(s, z, t) "
        "w = Constant<value_ints = [10, 12]>() c = Concat<axis = 0>(h, w) e = Constant<value = float[0] {}>() "
        'y = Resize<mode = "nearest", nearest_mode = "floor", coordinate_transformation_mode = "asymmetric">'
        "(x, e, e, c)",
        X,
        opset=11,
        text="to-a-size-behind-batch-and-channels",
    ),
    *onnx_graph(
        "Resize",
        "s = Shape(x1) t = Shape(x) z = Constant<value_ints = [0]>() a = Constant<value_ints = [2]>() "
        "b = Constant<value_ints = [4]>() h = Slice(t, z, a) w = Slice(s, a, b) c = Concat<axis = 0>(h, w) "
        'y = Resize<mode = "linear", coordinate_transformation_mode = "align_corners">(x, , , c)',
        X,
        random_array(1, 1, 9, 8),
        text="to-the-size-of-another",
    ),
]


@pytest.mark.parametrize("case", spread(CASES), ids=str)
def test_resize(case, tmp_path):
    case.hold(tmp_path)


def test_every_operator_has_a_case():
    assert uncovered(CASES, ["resize"]) == {}


def test_crop_like_of_unknown_rank_reads_as_a_subscript(tmp_path):
    sample = mxnet_sample(tmp_path, "Crop", {"data0": X, "data1": SMALL}, {"num_args": 2}, data=("data0", "data1"))
    hold_targets(sample, tmp_path, graph=read_sample(sample, with_shapes=False), opsets=(11,))
    assert "data0[:, :, :data1.shape[2], :data1.shape[3]]" in (tmp_path / "torch" / "model.py").read_text()


@pytest.mark.parametrize("scale", range(1, 17))
def test_whole_factors_pick_the_same_pixels_in_torch(torch_module, scale):
    """F.interpolate itself, in its own float32 arithmetic, at every width up to 200."""
    assert torch_mode_of_nearest("asymmetric", "floor", [scale, scale], None) == "nearest"
    for width in (1, 2, 3, 7, 32, 80, 131, 199):
        line = torch_module.arange(width, dtype=torch_module.float32).reshape(1, 1, width)
        found = torch_module.nn.functional.interpolate(line, scale_factor=float(scale), mode="nearest")
        assert np.array_equal(found.numpy().ravel(), np.arange(width * scale) // scale)


def test_a_map_that_torch_does_not_have_is_not_taken_for_one():
    assert torch_mode_of_nearest("half_pixel", "floor", [2.0, 2.0], None) is None
    assert torch_mode_of_nearest("half_pixel", "round_prefer_floor", [0.5, 0.5], None) == "nearest"
    assert torch_mode_of_nearest("half_pixel", "round_prefer_ceil", [0.5, 0.5], None) == "nearest-exact"
    assert torch_mode_of_nearest("align_corners", "round_prefer_ceil", [3.0, 3.0], None) is None
    assert torch_mode_of_nearest("asymmetric", "floor", None, None) == "nearest"
    assert torch_mode_of_nearest("asymmetric", "ceil", None, None) is None
    assert torch_mode_of_nearest("asymmetric", "floor", None, [(5, 7)]) == "nearest"

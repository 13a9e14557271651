"""Blocks of pixels as channels, and means over windows that fit the wanted size, against both targets."""

import numpy as np
import pytest

from facecvt.converters.errors import AttributeValueError
from facecvt.converters.readers.from_mxnet import read_mxnet
from facecvt.parity_tests.support.operator_cases import Case, mxnet, onnx, spread, uncovered
from facecvt.parity_tests.support.single_op import mxnet_sample, random_array
from facecvt.parity_tests.support.single_op_targets import hold_targets, read_sample

DEEP, WIDE = random_array(2, 12, 3, 4), random_array(2, 3, 4, 6)
IMAGE = random_array(2, 3, 7, 9)
FREE = {"data": ("n", "c", "h", "w")}
ADAPTIVE = "_contrib_AdaptiveAvgPooling2D"

CASES: list[Case] = [
    *mxnet("depth_to_space", DEEP, block_size=2),
    *mxnet("space_to_depth", WIDE, block_size=2),
    *onnx("DepthToSpace", DEEP, opsets=(7, 13), blocksize=2),
    *onnx("DepthToSpace", DEEP, opsets=(11, 13), blocksize=2, mode="CRD"),
    *onnx("DepthToSpace", random_array(1, 9, 2, 3), opsets=(13,), blocksize=3, mode="DCR"),
    *onnx("SpaceToDepth", WIDE, opsets=(7, 13), blocksize=2),  # its modes, of opset 26, are in the node tests of ONNX
    *mxnet(ADAPTIVE, IMAGE),
    *mxnet(ADAPTIVE, IMAGE, output_size="1"),
    *mxnet(ADAPTIVE, IMAGE, output_size="(7, 3)"),
    *mxnet(ADAPTIVE, IMAGE, output_size="(4, 2)"),
    *mxnet(ADAPTIVE, IMAGE, output_size="5"),
    *mxnet(ADAPTIVE, IMAGE, output_size="(10, 12)"),
]


@pytest.mark.parametrize("case", spread(CASES), ids=str)
def test_blocks(case, tmp_path):
    case.hold(tmp_path)


@pytest.mark.parametrize(("op", "data"), [("depth_to_space", DEEP), ("space_to_depth", WIDE)])
def test_sizes_known_at_run_time_only(op, data, tmp_path):
    sample = mxnet_sample(tmp_path, op, {"data": data}, {"block_size": 2})
    hold_targets(sample, tmp_path, graph=read_mxnet(sample.model, FREE), opsets=(13,))


def test_windows_of_an_unknown_size_are_refused(tmp_path):
    sample = mxnet_sample(tmp_path, ADAPTIVE, {"data": IMAGE}, {"output_size": "(4, 2)"})
    with pytest.raises(AttributeValueError, match="needs an input of known size; give the input shapes"):
        read_sample(sample, with_shapes=False)


def test_windows_of_one_size_are_a_plain_pool(tmp_path):
    sample = mxnet_sample(tmp_path, ADAPTIVE, {"data": IMAGE}, {"output_size": "(7, 3)"})
    (node,) = (node for node in read_sample(sample).body if node.op_type != "Identity")
    assert (node.op_type, list(node.attributes["kernel_shape"].value)) == ("AveragePool", [1, 3])
    assert np.isfinite(sample.expected[0]).all()


def test_every_operator_has_a_case():
    assert uncovered(CASES, ["block_moves", "adaptive_mean"]) == {}

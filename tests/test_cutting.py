"""Models cut in the middle: what comes out, what is left out, and that names are checked."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from facecvt.converters.conversion import read_source
from facecvt.converters.cutting import cut_mxnet, cut_paddle
from facecvt.converters.errors import UnsupportedOperatorsError, UsageError
from facecvt.converters.formats.locate import locate
from facecvt.converters.formats.mxnet_model import MxnetModel
from facecvt.converters.formats.mxnet_symbol import MxnetNode, MxnetSymbol
from facecvt.converters.formats.paddle_model import PaddleModel
from facecvt.converters.formats.paddle_program import PaddleOp, PaddleProgram, PaddleVar
from facecvt.converters.graph import name_of
from facecvt.converters.readers.from_mxnet import read_mxnet
from facecvt.converters.readers.from_paddle import read_paddle
from facecvt.parity_tests.oracle.mxnet_symbol import MxnetOracle
from facecvt.parity_tests.oracle.paddle_program import PaddleOracle
from facecvt.parity_tests.proven import convert_and_verify

X = np.float32([[[[-1.0, 2.0], [3.0, -4.0]]]])


def mxnet_model():
    """data -> conv -> relu -> split -> an operator that nobody knows, which reads a weight of its own."""
    nodes = [
        MxnetNode("null", "data", []),
        MxnetNode("null", "conv_weight", []),
        MxnetNode("Convolution", "conv", [(0, 0), (1, 0)], {"kernel": "(1, 1)", "num_filter": "2", "no_bias": "True"}),
        MxnetNode("Activation", "relu", [(2, 0)], {"act_type": "relu"}),
        MxnetNode("SliceChannel", "split", [(3, 0)], {"num_outputs": "2"}),
        MxnetNode("null", "odd_weight", []),
        MxnetNode("_contrib_Proposal", "odd", [(4, 1), (5, 0)]),
    ]
    weights = {"conv_weight": np.float32([[[[1.0]]], [[[-2.0]]]]), "odd_weight": np.ones(3, np.float32)}
    return MxnetModel(MxnetSymbol(nodes, [(6, 0)], 10901, Path("m-symbol.json")), weights, {}, "m", ())


def paddle_model():
    """x -> relu -> an operator that nobody knows, which reads a second input."""
    names = ("x", "sizes", "y", "z")
    variables = {name: PaddleVar(name, np.dtype(np.float32), (-1, 1, 2, 2), False) for name in names}
    ops = [
        PaddleOp("relu", "y", {"X": ["x"]}, {"Out": ["y"]}, {}),
        PaddleOp("generate_proposals", "z", {"X": ["y"], "Sizes": ["sizes"]}, {"Out": ["z"]}, {}),
    ]
    return PaddleModel(PaddleProgram("legacy", ops, variables, ["sizes", "x"], ["z"], [], 0), {}, "m", ())


def test_an_mxnet_model_ends_at_the_cut():
    with pytest.raises(UnsupportedOperatorsError):
        read_mxnet(mxnet_model(), {"data": X.shape})
    cut = cut_mxnet(mxnet_model(), ["split_output1", "conv"])
    assert [node.name for node in cut.symbol.nodes] == ["data", "conv_weight", "conv", "relu", "split"]
    assert list(cut.args) == ["conv_weight"]
    graph = read_mxnet(cut, {"data": X.shape})
    assert [name_of(value) for value in graph.outputs] == ["split_output1", "conv_output"]
    found = MxnetOracle(cut).run({"data": X})
    assert np.array_equal(found["split_output1"], np.maximum(-2 * X, 0))
    assert np.array_equal(found["conv_output"], np.concatenate([X, -2 * X], axis=1))


def test_indices_follow_the_nodes_that_are_left():
    model = mxnet_model()
    model.symbol.nodes[3].inputs[0] = (0, 0)  # the ReLU reads the input: convolution and weight lead to nothing
    cut = cut_mxnet(model, ["relu"])
    assert [(node.name, node.inputs) for node in cut.symbol.nodes] == [("data", []), ("relu", [(0, 0)])]
    assert cut.symbol.heads == [(1, 0)]


def test_a_paddle_program_ends_at_the_cut():
    with pytest.raises(UnsupportedOperatorsError):
        read_paddle(paddle_model())
    cut = cut_paddle(paddle_model(), ["y"])
    assert cut.program.inputs == ["x"], "an input that only what is left out reads"
    assert [name_of(value) for value in read_paddle(cut).outputs] == ["y"]
    assert np.array_equal(PaddleOracle(cut).run({"x": X})["y"], np.maximum(X, 0))


@pytest.mark.parametrize(
    ("cut", "model", "name", "near"),
    [
        (cut_mxnet, mxnet_model, "relu1", "relu"),
        (cut_mxnet, mxnet_model, "splt_output0", "split"),
        (cut_mxnet, mxnet_model, "conv_weight", "conv"),
        (cut_paddle, paddle_model, "zz", "z"),
        (cut_paddle, paddle_model, "x", "nothing in it computes"),
    ],
)
def test_names_that_nothing_computes_are_refused(cut, model, name, near):
    with pytest.raises(UsageError, match=f"cut at '{name}'.*{near}"):
        cut(model(), [name])


def test_real_detector_is_cut_and_proven(real_models, tmp_path):
    """P-Net in front of its softmax: verified against the same cut, at every layer."""
    program = real_models / "paddle" / "mtcnn-pdmodel-combined"
    folder = next(path for path in sorted(program.rglob("*.pdmodel")) if "PNet" in str(path) or "pnet" in str(path))
    model, _ = read_source("paddle", locate("paddle", str(folder)))
    inner = next(op.outputs["Output"][0] for op in reversed(model.program.ops) if op.type == "conv2d")
    result = convert_and_verify(str(folder), "paddle", "onnx", output=tmp_path / "cut.onnx", cut_at=[inner])
    assert result.exit_code == 0
    assert [name_of(value) for value in result.conversion.graph.outputs] == [inner]

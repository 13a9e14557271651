"""Which variable of an MXNet graph is what: a parameter without array is never taken for an input."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from facecvt.converters.errors import FormatError
from facecvt.converters.formats.locate import MxnetFiles
from facecvt.converters.formats.mapped import as_numpy
from facecvt.converters.formats.mxnet_model import MxnetModel, load_mxnet, unmatched, variable_roles
from facecvt.converters.formats.mxnet_params import write_params
from facecvt.converters.formats.mxnet_symbol import MxnetNode, MxnetSymbol

PAIRS = {
    "mtcnn-det1/det1-symbol.json": ("mtcnn-det1/det1-0001.params", (), 13),
    "mtcnn-det1/det1-newjson-symbol.json": ("mtcnn-det1/det1-0001.params", (), 13),
    "mtcnn-det2/det2-symbol.json": ("mtcnn-det2/det2-0001.params", ("prob1_label",), 16),
    "mtcnn-det2/det2-newjson-symbol.json": ("mtcnn-det2/det2-0001.params", ("prob1_label",), 16),
    "mtcnn-det3/det3-symbol.json": ("mtcnn-det3/det3-0001.params", ("prob1_label",), 21),
    "mtcnn-det3/det3-newjson-symbol.json": ("mtcnn-det3/det3-0001.params", ("prob1_label",), 21),
    "insightface-gender-age/model-symbol.json": ("insightface-gender-age/model-0000.params", (), 146),
    "retinaface-mnet25/M25-symbol.json": ("retinaface-mnet25/mnet.25-0000.params", (), 273),
}


def real(folder: Path, symbol: str, params: str) -> MxnetModel:
    return load_mxnet(MxnetFiles("m", folder / "mxnet" / symbol, folder / "mxnet" / params))


@pytest.mark.parametrize("symbol", PAIRS)
def test_real_pairs_fit(symbol: str, real_models: Path) -> None:
    params, labels, weights = PAIRS[symbol]
    model = real(real_models, symbol, params)
    roles = variable_roles(model)
    assert roles.inputs == ("data",)
    assert roles.labels == labels
    assert len(roles.weights) == weights
    assert unmatched(model) == ([], [])
    assert model.files == (real_models / "mxnet" / symbol, real_models / "mxnet" / params)


def test_the_pair_whose_names_disagree_is_seen(real_models: Path) -> None:
    model = real(real_models, "retinaface-mnet25/mnet.25-symbol.json", "retinaface-mnet25/mnet.25-0000.params")
    missing, extra = unmatched(model)
    assert len(missing) == len(extra) == 54
    assert all("_moving_" in name for name in missing)
    assert all("_running_" in name for name in extra)


@pytest.mark.parametrize("symbol", ["insightface-gender-age/model-symbol.json", "mtcnn-det3/det3-symbol.json"])
def test_each_missing_weight_of_a_real_model_is_seen(symbol: str, real_models: Path) -> None:
    model = real(real_models, symbol, PAIRS[symbol][0])
    for kind in (model.args, model.aux):
        for name in list(kind):
            array = kind.pop(name)
            assert unmatched(model) == ([name], [])
            kind[name + "_renamed"] = array
            assert unmatched(model) == ([name], [name + "_renamed"])
            del kind[name + "_renamed"]
            kind[name] = array


def model_of(*nodes: tuple[Any, ...], weights: tuple[str, ...] = (), aux: tuple[str, ...] = ()) -> MxnetModel:
    """A model of (op, name, *input names); the last node is the head."""
    places = {name: index for index, (_, name, *_) in enumerate(nodes)}
    made = [MxnetNode(op, name, [(places[each], 0) for each in inputs]) for op, name, *inputs in nodes]
    symbol = MxnetSymbol(made, [(len(made) - 1, 0)], 10901, Path("a-symbol.json"))
    array = np.zeros(1, np.float32)
    return MxnetModel(symbol, dict.fromkeys(weights, array), dict.fromkeys(aux, array), "a", ())


def test_a_parameter_of_any_name_is_known_by_its_place() -> None:
    model = model_of(
        ("null", "data"), ("null", "kernel"), ("Convolution", "c", "data", "kernel"), ("null", "slopes"),
        ("LeakyReLU", "p", "c", "slopes"),
    )  # fmt: skip
    roles = variable_roles(model)
    assert roles.missing == ("kernel", "slopes")
    assert roles.inputs == ("data",)


@pytest.mark.parametrize(
    "name",
    [
        "w_weight",
        "b_bias",
        "n_gamma",
        "n_beta",
        "p_alpha",
        "n_moving_mean",
        "n_running_var",
        "weight",
        "rnn_parameters",
    ],
)
def test_a_parameter_in_any_place_is_known_by_its_name(name: str) -> None:
    model = model_of(("null", name), ("L2Normalization", "n", name))
    assert variable_roles(model).missing == (name,)


def test_a_parameter_is_known_by_its_initialiser() -> None:
    model = model_of(("null", "scale"), ("null", "data"), ("broadcast_mul", "m", "scale", "data"))
    model.symbol.nodes[0].user_attrs["__init__"] = '["one", {}]'
    assert variable_roles(model).missing == ("scale",)


@pytest.mark.parametrize("inputs", [("data", "scale"), ("scale", "data")])
def test_an_operand_of_unknown_purpose_is_no_input(inputs: tuple[str, str]) -> None:
    model = model_of(("null", "data"), ("null", "scale"), ("broadcast_mul", "m", *inputs))
    roles = variable_roles(model)
    assert roles.inputs == ("data",)
    assert roles.missing == ("scale",)


def test_inputs_of_other_names() -> None:
    nodes = (("null", "blob"), ("null", "w"), ("Convolution", "c", "blob", "w"))
    assert variable_roles(model_of(*nodes, weights=("w",))).inputs == ("blob",)
    assert variable_roles(model_of(("null", "face"), ("_minus_scalar", "m", "face"))).inputs == ("face",)
    two = model_of(("null", "data0"), ("null", "data1"), ("elemwise_add", "s", "data0", "data1"))
    assert variable_roles(two).inputs == ("data0", "data1")
    regions = model_of(("null", "data"), ("null", "rois"), ("ROIPooling", "r", "data", "rois"))
    assert variable_roles(regions).inputs == ("data", "rois")


def test_two_inputs_that_convolutions_read() -> None:
    model = model_of(
        ("null", "left"), ("null", "right"), ("null", "w"), ("Convolution", "a", "left", "w"),
        ("Convolution", "b", "right", "w"), ("elemwise_add", "s", "a", "b"), weights=("w",),
    )  # fmt: skip
    assert variable_roles(model).inputs == ("left", "right")


@pytest.mark.parametrize(
    "op",
    ["SoftmaxOutput", "LinearRegressionOutput", "LogisticRegressionOutput", "MAERegressionOutput", "SVMOutput"],
)
def test_targets_of_output_operators_are_labels(op: str) -> None:
    model = model_of(("null", "data"), ("null", "target"), (op, "o", "data", "target"))
    roles = variable_roles(model)
    assert roles.labels == ("target",)
    assert (roles.inputs, roles.missing) == (("data",), ())


def test_the_label_of_a_loss_made_of_operators() -> None:
    model = model_of(
        ("null", "data"), ("null", "softmax_label"), ("one_hot", "h", "softmax_label"),
        ("elemwise_mul", "m", "data", "h"), ("MakeLoss", "l", "m"),
    )  # fmt: skip
    assert variable_roles(model).labels == ("softmax_label",)


def test_a_state_under_the_wrong_kind_does_not_count() -> None:
    nodes = (
        ("null", "data"), ("null", "g"), ("null", "b"), ("null", "mean"), ("null", "var"),
        ("BatchNorm", "n", "data", "g", "b", "mean", "var"),
    )  # fmt: skip
    model = model_of(*nodes, weights=("g", "b", "mean"), aux=("var",))
    assert unmatched(model) == (["mean"], ["mean"])


def test_a_name_that_is_a_parameter_in_one_place_is_one_everywhere() -> None:
    nodes = [
        MxnetNode("null", "data", []), MxnetNode("null", "w", []), MxnetNode("null", "w", []),
        MxnetNode("Convolution", "c", [(0, 0), (1, 0)]), MxnetNode("L2Normalization", "n", [(2, 0)]),
    ]  # fmt: skip
    symbol = MxnetSymbol(nodes, [(3, 0), (4, 0)], 10901, Path("a-symbol.json"))
    roles = variable_roles(MxnetModel(symbol, {}, {}, "a", ()))
    assert (roles.inputs, roles.missing) == (("data",), ("w",))


@pytest.mark.parametrize("version", ["V2", "npz"])
@pytest.mark.parametrize("prefix", ["", "arg:"])
def test_names_are_sorted_by_what_the_symbol_lists(
    version: Any, prefix: str, tmp_path: Path, mxnet_module: ModuleType
) -> None:
    """Gluon writes bare names, and its loader takes any prefix."""
    mx = mxnet_module
    norm = mx.sym.BatchNorm(mx.sym.Variable("data"), name="bn")
    norm.save(str(tmp_path / "a-symbol.json"))
    arrays = {f"bn_{part}": np.full(3, i, np.float32) for i, part in enumerate(["gamma", "moving_mean", "beta"])}
    arrays["bn_moving_var"] = np.ones(3, np.float32)
    path = tmp_path / "a-0000.params"
    write_params(path, arrays if prefix else {}, {}, bare=None if prefix else arrays, version=version)
    model = load_mxnet(MxnetFiles("a", tmp_path / "a-symbol.json", path))
    assert set(model.args) == {"bn_gamma", "bn_beta"}
    assert set(model.aux) == {"bn_moving_mean", "bn_moving_var"}
    assert as_numpy(model.aux["bn_moving_mean"]).tolist() == [1, 1, 1]
    assert unmatched(model) == ([], [])


def test_a_list_without_names_is_refused(tmp_path: Path, real_models: Path) -> None:
    symbol = real_models / "mxnet/mtcnn-det1/det1-symbol.json"
    write_params(tmp_path / "a", {}, {}, unnamed=[np.zeros(2, np.float32)])
    with pytest.raises(FormatError, match="1 arrays without names"):
        load_mxnet(MxnetFiles("a", symbol, tmp_path / "a"))

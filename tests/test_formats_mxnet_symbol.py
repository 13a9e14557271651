"""Symbols of every generation, held against the loader of MXNet 1.9.1."""

from __future__ import annotations

import ast
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from facecvt.converters.errors import FormatError
from facecvt.converters.formats.mxnet_symbol import MxnetSymbol, read_symbol

# MXNet 1.9.1 refuses save_000800-e0be90f.json for a performance hint, so that one is held against its sibling
READ_BY_MXNET = [
    "apache-legacy-fixtures/save_000800-56cabc5.json",
    "apache-legacy-fixtures/test-symbol.json.ref",
    "apache-legacy-fixtures/test_dnnl_test_dnnl_model_model1.json",
    "insightface-gender-age/model-symbol.json",
    "mtcnn-det1/det1-newjson-symbol.json",
    "mtcnn-det1/det1-symbol.json",
    "mtcnn-det2/det2-newjson-symbol.json",
    "mtcnn-det2/det2-symbol.json",
    "mtcnn-det3/det3-newjson-symbol.json",
    "mtcnn-det3/det3-symbol.json",
    "retinaface-mnet25/M25-symbol.json",
    "retinaface-mnet25/mnet.25-symbol.json",
]


def as_mxnet_has_it(symbol: Any) -> list[tuple[str, str, list[tuple[str, int]], dict[str, str]]]:
    """(operator, name, named inputs, all attributes) of each node, from MXNet's own upgraded JSON."""
    nodes = json.loads(symbol.tojson())["nodes"]
    return [
        (n["op"], n["name"], [(nodes[i]["name"], o) for i, o, *_ in n["inputs"]], n.get("attrs", {})) for n in nodes
    ]


def by_name(symbol: MxnetSymbol) -> dict[str, tuple[str, list[tuple[str, int]], dict[str, str]]]:
    return {n.name: (n.op, [(symbol.nodes[i].name, o) for i, o in n.inputs], n.attrs) for n in symbol.nodes}


def hold_against_mxnet(path: Path, mx: ModuleType) -> MxnetSymbol:
    ours, theirs = read_symbol(path), mx.sym.load(str(path))
    assert sorted(ours.argument_names()) == sorted(theirs.list_arguments())
    assert sorted(ours.aux_names()) == sorted(theirs.list_auxiliary_states())
    nodes = by_name(ours)
    expected = as_mxnet_has_it(theirs)
    assert len(expected) == len(nodes) == len(ours.nodes)
    for op, name, inputs, attributes in expected:
        assert nodes[name][:2] == (op, inputs)
        hidden = {key for key in attributes if key.startswith("__") or "lr_mult" in key}
        if op != "null":
            assert nodes[name][2] == {key: value for key, value in attributes.items() if key not in hidden}
    heads = [(ours.nodes[i].name, o) for i, o in ours.heads]
    document = json.loads(theirs.tojson())
    assert heads == [(document["nodes"][i]["name"], o) for i, o, *_ in document["heads"]]
    for index, node in enumerate(ours.nodes):
        assert all(source < index for source, _ in node.inputs), node
    return ours


@pytest.mark.parametrize("name", READ_BY_MXNET)
def test_real_symbols_are_read_as_mxnet_reads_them(name: str, real_models: Path, mxnet_module: ModuleType) -> None:
    hold_against_mxnet(real_models / "mxnet" / name, mxnet_module)


@pytest.mark.parametrize("net", ["det1", "det2", "det3"])
def test_old_and_new_generation_say_the_same(net: str, real_models: Path) -> None:
    folder = real_models / f"mxnet/mtcnn-{net}"
    old, new = read_symbol(folder / f"{net}-symbol.json"), read_symbol(folder / f"{net}-newjson-symbol.json")
    assert (old.version, new.version) == (800, 10400)
    assert [(n.op, n.name, n.inputs) for n in old.nodes] == [(n.op, n.name, n.inputs) for n in new.nodes]
    for ours, theirs in zip(old.nodes, new.nodes, strict=True):
        for key in ours.attrs.keys() & theirs.attrs.keys():
            assert ours.attrs[key].replace(" ", "") == theirs.attrs[key].replace(" ", "")


def test_a_symbol_that_mxnet_refuses_for_a_hint_is_read(real_models: Path, mxnet_module: ModuleType) -> None:
    folder = real_models / "mxnet/apache-legacy-fixtures"
    path = folder / "save_000800-e0be90f.json"
    with pytest.raises(mxnet_module.MXNetError, match="mkldnn_off"):
        mxnet_module.sym.load(str(path))
    symbol, sibling = read_symbol(path), read_symbol(folder / "save_000800-56cabc5.json")
    assert [(n.op, n.name, n.inputs) for n in symbol.nodes] == [(n.op, n.name, n.inputs) for n in sibling.nodes]
    norm = next(n for n in symbol.nodes if n.op == "BatchNorm")
    assert norm.attrs["mkldnn_off"] == "True"
    assert symbol.aux_names() == ["batchnorm0_moving_mean", "batchnorm0_moving_var"]
    assert norm.user_attrs == {"ctx_group": "stage2"}
    dense = next(n for n in symbol.nodes if n.name == "fc1")
    assert dense.attrs == {"no_bias": "False", "num_hidden": "128"}
    assert dense.user_attrs["weight_lr_mult"] == "1.2"


def test_what_mxnet_writes_today(tmp_path: Path, mxnet_module: ModuleType) -> None:
    mx = mxnet_module
    data = mx.sym.Variable("data", shape=(0, 3, 8, 8), lr_mult=2.0)
    net = mx.sym.Convolution(data, num_filter=4, kernel=(3, 3), name="c", attr={"__note__": "x", "ctx_group": "g"})
    net = mx.sym.BatchNorm(net, name="bn", fix_gamma=False)
    both = mx.sym.SliceChannel(net, num_outputs=2, name="cut")
    net = mx.sym.Group([both[1] + both[0], mx.sym.LeakyReLU(both[1], act_type="prelu", name="p")])
    path = tmp_path / "a-symbol.json"
    net.save(str(path))
    symbol = hold_against_mxnet(path, mx)
    assert symbol.version == 10901
    assert symbol.variable_names().index("data") == 0
    assert symbol.nodes[0].user_attrs["__lr_mult__"] == "2.0"
    assert next(n for n in symbol.nodes if n.name == "c").user_attrs == {"__note__": "x", "__ctx_group__": "g"}
    assert ast.literal_eval(next(n for n in symbol.nodes if n.name == "c").attrs["kernel"]) == (3, 3)


def node(op: str, name: str, inputs: list[list[int]] | None = None, **more: Any) -> dict[str, Any]:
    return {"op": op, "name": name, "inputs": inputs or [], **more}


def write(path: Path, nodes: list[dict[str, Any]], heads: list[list[int]], version: int | None = None) -> Path:
    arg_nodes = [index for index, each in enumerate(nodes) if each["op"] == "null"]
    document: dict[str, Any] = {"nodes": nodes, "arg_nodes": arg_nodes, "heads": heads}
    if version is not None:
        document["attrs"] = {"mxnet_version": ["int", version]}
    path.write_text(json.dumps(document))
    return path


@pytest.mark.parametrize("version", [None, 800, 903])
def test_attributes_of_the_older_generations(version: int | None, tmp_path: Path, mxnet_module: ModuleType) -> None:
    """``param`` fills what ``attr`` leaves open; from 0.9 on ``attr`` holds both kinds."""
    old = version != 903
    kinds: dict[str, Any] = (
        {"param": {"num_hidden": "4", "no_bias": "True"}, "attr": {"num_hidden": "5", "weight_lr_mult": "3"}}
        if old
        else {"attr": {"num_hidden": "5", "no_bias": "True", "__lr_mult__": "3"}}
    )
    nodes = [node("null", "data"), node("null", "w"), node("FullyConnected", "fc", [[0, 0], [1, 0]], **kinds)]
    path = write(tmp_path / "a.json", nodes, [[2, 0]], version)
    symbol = hold_against_mxnet(path, mxnet_module)
    assert symbol.nodes[2].attrs == {"num_hidden": "5", "no_bias": "True"}
    assert symbol.nodes[2].user_attrs == ({"weight_lr_mult": "3"} if old else {"__lr_mult__": "3"})
    assert symbol.version == (version or 800)


def test_missing_auxiliary_inputs_are_appended_before_their_node(tmp_path: Path, mxnet_module: ModuleType) -> None:
    nodes = [
        node("null", "data"),
        node("null", "g"),
        node("null", "b"),
        node("BatchNorm", "bn", [[0, 0], [1, 0], [2, 0]], param={"eps": "0.002"}),
        node("Activation", "act", [[3, 0]], param={"act_type": "relu"}),
    ]
    symbol = hold_against_mxnet(write(tmp_path / "a.json", nodes, [[4, 0]]), mxnet_module)
    assert [n.name for n in symbol.nodes] == ["data", "g", "b", "bn_moving_mean", "bn_moving_var", "bn", "act"]
    assert symbol.heads == [(6, 0)]


@pytest.mark.parametrize(("version", "kept"), [(800, False), (904, False), (905, True), (10901, True)])
def test_axis_of_argmax_before_0_9_5(version: int, kept: bool, tmp_path: Path, mxnet_module: ModuleType) -> None:
    nodes = [node("null", "data"), node("argmax", "m", [[0, 0, 0]], attr={"axis": "-1"})]
    if version < 900:
        nodes[1]["param"] = nodes[1].pop("attr")
    symbol = hold_against_mxnet(write(tmp_path / "a.json", nodes, [[1, 0, 0]], version), mxnet_module)
    assert ("axis" in symbol.nodes[1].attrs) == kept


def test_a_variable_keeps_no_operator_attributes(tmp_path: Path) -> None:
    nodes = [node("null", "data", attrs={"kernel": "(3, 3)", "__shape__": "(1, 3)"})]
    symbol = read_symbol(write(tmp_path / "a.json", nodes, [[0, 0, 0]], 10300))
    assert symbol.nodes[0].attrs == {}
    assert symbol.nodes[0].user_attrs == {"kernel": "(3, 3)", "__shape__": "(1, 3)"}


def test_nodes_out_of_order_and_unused_nodes(tmp_path: Path) -> None:
    nodes = [
        node("Activation", "act", [[2, 0, 0]], attrs={"act_type": "relu"}),
        node("null", "unused"),
        node("null", "data"),
    ]
    symbol = read_symbol(write(tmp_path / "a.json", nodes, [[0, 0, 0]], 10901))
    assert [n.name for n in symbol.nodes] == ["data", "act"]
    assert symbol.nodes[1].inputs == [(0, 0)]
    assert symbol.heads == [(1, 0)]


@pytest.mark.parametrize(
    ("nodes", "heads", "message"),
    [
        ([node("null", "a"), node("relu", "r", [[2, 0, 0]])], [[1, 0, 0]], "relu 'r' refers to node 2"),
        ([node("null", "a"), node("relu", "r", [[0, 1, 0]])], [[1, 0, 0]], "output 1 of the variable 'a'"),
        ([node("null", "a")], [[7, 0, 0]], "the list of heads refers to node 7"),
        ([node("null", "a")], [], 'no list "heads"'),
        ([node("relu", "r", [[1, 0]]), node("relu", "s", [[0, 0]])], [[0, 0]], "has a cycle"),
        ([node("null", "a"), node("relu", "r", [[-1, 0]])], [[1, 0]], r"input 0 of relu 'r' is \[-1, 0\]"),
        ([node("null", "a"), node("relu", "r", [[0]])], [[1, 0]], r"input 0 of relu 'r' is \[0\]"),
        ([node("null", "a", attrs={"x": 3})], [[0, 0]], "attrs of null 'a' is not an object of strings"),
        ([{"op": "null"}], [[0, 0]], "node 0 lacks an op"),
        (["x"], [[0, 0]], "node 0 is not an object"),
    ],
)
def test_what_is_no_symbol_is_refused(nodes: Any, heads: Any, message: str, tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text(json.dumps({"nodes": nodes, "heads": heads}))
    with pytest.raises(FormatError, match=message):
        read_symbol(path)


def test_variables_of_one_name_are_one(tmp_path: Path, mxnet_module: ModuleType) -> None:
    mx = mxnet_module
    total = mx.sym.Variable("a") + mx.sym.Variable("a")
    assert total.bind(mx.cpu(), {"a": mx.nd.ones((1,))}).forward()[0].asscalar() == 2
    total.save(str(tmp_path / "a.json"))
    symbol = read_symbol(tmp_path / "a.json")
    assert [n.name for n in symbol.nodes[:2]] == ["a", "a"]
    assert symbol.variable_names() == symbol.argument_names() == ["a"]


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"nodes": 3}', "\0", '{"nodes": [' * 5000, "[" * 200000])
def test_other_text_is_refused(text: str, tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text(text)
    with pytest.raises(FormatError):
        read_symbol(path)


def test_a_truncated_symbol_is_refused_at_its_byte(real_models: Path, tmp_path: Path) -> None:
    whole = (real_models / "mxnet/mtcnn-det1/det1-symbol.json").read_bytes()
    for cut in range(0, len(whole) - 2, 61):
        path = tmp_path / "a.json"
        path.write_bytes(whole[:cut])
        with pytest.raises(FormatError, match="JSON"):
            read_symbol(path)


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="cannot be opened"):
        read_symbol(tmp_path / "no-symbol.json")

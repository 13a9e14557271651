"""InsightFace's symbols of every age, under any names, become the public networks; conversions of variants agree.

A symbol is rewritten as MXNet before 0.9 ("param"), from 0.9 to 0.12 ("attr") and from 1.0 ("attrs") wrote it, with
every node renamed at random, and with or without what some of the published files have in front of the network.
"""

from __future__ import annotations

import json
import random
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from facecvt.converters.conversion import convert_files
from facecvt.converters.formats.locate import locate
from facecvt.converters.formats.mapped import as_numpy
from facecvt.converters.formats.mxnet_model import load_mxnet
from facecvt.converters.formats.mxnet_params import write_params
from facecvt.converters.formats.torch_state import read_state_dict
from facecvt.converters.graph import Builder
from facecvt.converters.onnx_ir_lazy import ir
from facecvt.converters.readers.from_mxnet import read_mxnet
from facecvt.parity_tests.verify import verify
from facecvt.reference_models import build, resolve, spec
from facecvt.reference_models.graph_skeleton import from_graph
from facecvt.reference_models.materialise import write_reference
from facecvt.reference_models.public_class import public_class
from facecvt.reference_models.recognise import recognise
from facecvt.reference_models.seeded import seeded_arrays, seeded_state
from facecvt.reference_models.weights import from_canonical, split_auxiliary

SLOW = pytest.mark.slow
AGES = ("param", "attr", "attrs")
VERSIONS = {"attr": 1000, "attrs": 10400}
# operators that were called otherwise before 0.9
OLD_OPERATORS = {"_minus_scalar": "_MinusScalar", "_mul_scalar": "_MulScalar", "elemwise_add": "_Plus"}
AUXILIARY = ("moving_mean", "moving_var")


def without(nodes, heads, dropped):
    """The nodes without some, which hand on their input."""
    place, kept = {}, []
    for index, node in enumerate(nodes):
        if node["name"] in dropped:
            place[index] = place[node["inputs"][0][0]]
        else:
            place[index] = len(kept)
            kept.append({**node, "inputs": [[place[i], *rest] for i, *rest in node["inputs"]]})
    return kept, [[place[i], *rest] for i, *rest in heads]


def aged(text, age, *, seed=0, dropped=()):
    """A symbol as another age wrote it, and what its variables are called now.

    Before 0.9 the auxiliary inputs are not written; MXNet makes them from the node's name.
    """
    names = random.Random(seed)
    symbol = json.loads(text)
    nodes, heads = without(symbol["nodes"], symbol["heads"], dropped)
    renamed = {node["name"]: f"{names.choice(('n', 'Layer', '_x'))}{names.getrandbits(40):x}" for node in nodes}
    auxiliary: set[int] = set()
    for node in nodes:
        if node["op"] == "BatchNorm":
            for (index, *_), role in zip(node["inputs"][3:], AUXILIARY, strict=True):
                renamed[nodes[index]["name"]] = f"{renamed[node['name']]}_{role}"
                auxiliary.add(index)
    written, place = [], {}
    for index, node in enumerate(nodes):
        if age == "param" and index in auxiliary:
            continue
        place[index] = len(written)
        attrs = dict(node.get("attrs", {}))
        if node["op"] == "Convolution":
            attrs |= {"workspace": "256", "cudnn_off": "False"}
        inputs = [[place[i], *rest] for i, *rest in node["inputs"] if i in place]
        entry = {"op": node["op"], "name": renamed[node["name"]], "inputs": inputs}
        if age == "param":
            entry |= {"param": attrs, "backward_source_id": -1, "inputs": [pair[:2] for pair in inputs]}
            entry["op"] = OLD_OPERATORS.get(node["op"], node["op"])
        elif attrs:
            entry[age] = attrs
        written.append(entry)
    heads = [[place[index], *rest] for index, *rest in heads]
    made = {
        "nodes": written,
        "arg_nodes": [index for index, entry in enumerate(written) if entry["op"] == "null"],
        "heads": [head[:2] for head in heads] if age == "param" else heads,
    }
    if age in VERSIONS:
        made["attrs"] = {"mxnet_version": ["int", VERSIONS[age]]}
    return json.dumps(made), renamed


def write_aged(folder: Path, arch, age, **changes):
    """The files of an architecture with seeded weights, in the form of an age."""
    text, renamed = aged(build(arch.name, "mxnet", **dict(arch.options)).tojson(), age, **changes)
    args, aux = split_auxiliary(seeded_state(arch, "mxnet"), arch)
    path = folder / "model-symbol.json"
    path.write_text(text, encoding="utf-8")
    args, aux = ({renamed[name]: array for name, array in part.items()} for part in (args, aux))
    write_params(folder / "model-0000.params", args, aux)
    return path


def graph_of(path):
    return read_mxnet(load_mxnet(locate("mxnet", str(path))))


FRONTS = {
    "identity and scaling": (),
    "scaling": ("id",),
    "identity": ("_minusscalar0", "_mulscalar0"),
    "nothing": ("id", "_minusscalar0", "_mulscalar0"),
}
AGED = [
    *(("iresnet18", age, "identity and scaling") for age in AGES),
    ("iresnet18", "param", "nothing"),
    *(
        pytest.param(name, age, front, marks=SLOW)
        for name in ("iresnet50", "iresnet100")
        for age in AGES
        for front in FRONTS
    ),
    *(pytest.param("iresnet18", age, front, marks=SLOW) for age in AGES for front in FRONTS),
]


@pytest.mark.parametrize(("name", "age", "front"), AGED)
def test_plain_symbols_of_every_age_yield_the_public_names(name, age, front, tmp_path, mxnet_module):
    """MXNet itself reads what was rewritten; the state_dict that comes out is arcface_torch's, eps made up for."""
    arch = spec(name, embedding_size=16)
    path = write_aged(tmp_path, arch, age, seed=len(front), dropped=FRONTS[front])
    read = mxnet_module.sym.load(str(path))
    assert len(read.list_auxiliary_states()) == len(split_auxiliary(seeded_state(arch, "mxnet"), arch)[1])

    done = convert_files("mxnet", locate("mxnet", str(path)), "torch", tmp_path / "out", recogniser=public_class)
    assert done.recognised == name
    state = read_state_dict(tmp_path / "out" / "weights.pth").tensors
    expected = from_canonical(seeded_arrays(arch), "torch", arch)
    assert list(state) == list(expected)
    for key, array in expected.items():
        wanted = array + np.float32(1e-5) if key.endswith("running_var") else array
        assert np.allclose(as_numpy(state[key]), wanted, rtol=2e-7, atol=0), key


VARIANTS = [
    {"unit": 2, "se": True, "input": 2},
    {"output": "GNAP"},
    *(
        pytest.param(options, marks=SLOW)
        for options in (
            {"unit": 1, "input": 0, "output": "D", "revision": "2018"},
            {"unit": 1, "se": True},
            {"output": "SFC", "activation": "relu"},
            {"output": "GDC", "unit": 2},
            {"output": "GAP", "activation": "tanh", "se": True},
            {"output": "GNAP", "embedding_size": 600},
            {"output": "H", "normalize": True},
        )
    ),
]


@pytest.mark.parametrize("age", AGES)
@pytest.mark.parametrize("options", VARIANTS, ids=lambda options: "-".join(str(value) for value in options.values()))
def test_variants_of_every_age_are_recognised_with_their_weights(options, age, tmp_path, mxnet_module):
    arch = spec("fresnet18", **{"embedding_size": 24} | options)
    found = recognise(graph_of(write_aged(tmp_path, arch, age)))
    assert found is not None
    assert found.architecture == arch
    expected, arrays = seeded_arrays(arch), found.arrays()
    assert list(arrays) == list(expected)
    assert all(np.array_equal(arrays[name], expected[name]) for name in expected)


def test_a_stride_in_another_place_is_another_network(tmp_path, mxnet_module):
    """On the first convolution of a unit, where upstream has it behind a 7x7 stem alone; every size stays."""
    path = write_aged(tmp_path, spec("fresnet18", unit=1, embedding_size=8), "attrs")
    assert recognise(graph_of(path)) is not None
    symbol = json.loads(path.read_text(encoding="utf-8"))
    _, first, second = [node["attrs"] for node in symbol["nodes"] if node["op"] == "Convolution"][:3]
    assert (first["stride"], second["stride"]) == ("(1, 1)", "(2, 2)")
    first["stride"], second["stride"] = "(2, 2)", "(1, 1)"
    path.write_text(json.dumps(symbol), encoding="utf-8")
    assert recognise(graph_of(path)) is None


def pixel_length(b, x, *, axes=(1,), op="ReduceSum"):
    if op == "ReduceL2":
        return b.emit(op, [x, b.const(list(axes))], keepdims=1)
    return b.emit("Sqrt", [b.emit(op, [b.emit("Mul", [x, x]), b.const(list(axes))], keepdims=1)])


def weighted_graph(*, length, mean_axes=None, keepdims=1, tiled=False, own=True):
    """x * (mean(l) / l) in one of its spellings."""
    b = Builder("onnx", "weighted")
    x = b.input("x", ["n", 8, 7, 7], ir.DataType.FLOAT)
    b.begin("", "a")
    y = b.emit("Relu", [x])
    lengths = length(b, y)
    inputs = [lengths] if mean_axes is None else [lengths, b.const(list(mean_axes))]
    factor = b.emit("Div", [b.emit("ReduceMean", inputs, keepdims=keepdims), lengths])
    factor = b.emit("Tile", [factor, b.const([1, 8, 1, 1])]) if tiled else factor
    b.output(b.emit("Mul", [factor, y if own else b.emit("Sigmoid", [y])]), "y")
    return [piece.op for piece in from_graph(b.graph).pieces]


@pytest.mark.parametrize(
    "spelling",
    [
        {"length": pixel_length, "mean_axes": (0, 1, 2, 3), "tiled": True},
        {"length": pixel_length, "keepdims": 0},
        {"length": partial(pixel_length, op="ReduceL2"), "mean_axes": (-1, -2, -3, -4)},
    ],
    ids=["MXNet's", "PyTorch's", "a norm"],
)
def test_norm_aware_weighting_is_read_in_every_spelling(spelling):
    assert weighted_graph(**spelling)[-1] == "NormAware"


@pytest.mark.parametrize(
    "other",
    [
        {"length": pixel_length, "mean_axes": (1, 2, 3)},
        {"length": partial(pixel_length, axes=(2,))},
        {"length": partial(pixel_length, op="ReduceMean")},
        {"length": pixel_length, "own": False},
    ],
    ids=["mean of each picture", "length of rows", "mean of squares", "another map"],
)
def test_another_weighting_is_none(other):
    assert "NormAware" not in weighted_graph(**other)


CONVERTED = [
    ("fresnet_r18_unit2_se_emb32", "torch"),
    *(
        pytest.param(name, target, marks=SLOW)
        for target in ("torch", "onnx")
        for name in (
            "fresnet_r18_unit2_se",
            "fresnet_r18_out_GNAP_emb256",
            "fresnet_r18_se",
            "fresnet_r18_unit1",
            "fresnet_r18_input0",
            "fresnet_r18_input2_act_relu",
            "fresnet_r18_out_F",
            "fresnet_r18_out_H",
            "fresnet_r18_out_J",
            "fresnet_r18_out_Z",
            "fresnet_r18_out_GAP",
            "fresnet_r18_out_GDC",
            "fresnet_r18_out_SFC_act_softrelu",
            "fresnet_r18_out_GNAP",
            "fresnet_r18_out_GNAP_emb1024",
            "fresnet2018_r101_unit1_input0_outB",
            "fresnet2018_r101_unit2_outA",
            "fresnet2018_r18_outDX_act_tanh",
            "fresnet2018_r152_se",
            "fresnet_r18_act_sigmoid_unit2",
            "fresnet_r18_act_softsign",
        )
    ),
]


@pytest.mark.parametrize(("name", "target"), CONVERTED)
def test_conversions_agree_with_the_oracle(name, target, tmp_path, mxnet_module, request):
    request.getfixturevalue("torch_module" if target == "torch" else "ort_module")
    written = write_reference(name, "mxnet", tmp_path / "source")
    out = tmp_path / ("model.onnx" if target == "onnx" else "out")
    done = convert_files("mxnet", locate("mxnet", str(written)), target, out, recogniser=public_class)
    assert done.recognised == resolve(name).architecture.name
    found = verify(done, batches=(1, 2))
    assert found.verdict == "agree", found.reasons
    assert found.coverage.parametric == 1.0
    if target == "torch":
        state = read_state_dict(out / "weights.pth").tensors
        assert list(state) == list(seeded_state(resolve(name).architecture, "torch"))


@pytest.mark.parametrize("options", [{"output": "GNAP"}, {"unit": 2, "se": True, "activation": "tanh"}])
@pytest.mark.parametrize("dialect", ["legacy", "pir"])
@pytest.mark.slow
def test_written_paddle_programs_are_recognised(options, dialect, tmp_path, paddle_module):
    from facecvt.converters.formats.paddle_model import load_paddle
    from facecvt.converters.readers.from_paddle import read_paddle

    options = {"embedding_size": 24} | options
    written = write_reference("fresnet18", "paddle", tmp_path, dialect=dialect, **options)
    found = recognise(read_paddle(load_paddle(locate("paddle", str(written)))))
    assert found is not None
    assert found.architecture == spec("fresnet18", **options)

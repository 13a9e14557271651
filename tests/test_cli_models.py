"""`facecvt models`: table, patterns, the sheet of one architecture; figures against ONNX graphs and publications."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest

import facecvt
from facecvt import cli
from facecvt.converters.errors import UsageError
from facecvt.reference_models import names, spec
from facecvt.reference_models.costs import costs
from facecvt.reference_models.layers import LayerList
from facecvt.reference_models.listing import matching, model_rows, model_sheet

SCHEMA = json.loads((Path(facecvt.__path__[0]) / "docs/schemas/commands.schema.json").read_text(encoding="utf-8"))

# (architecture, options, multiply-adds in millions, where it is published)
PUBLISHED = [
    ("resnet18", {}, 1814, "torchvision's table of weights, GFLOPS 1.81"),
    ("resnet34", {}, 3664, "torchvision's table of weights, GFLOPS 3.66"),
    ("resnet50", {}, 4089, "torchvision's table of weights, GFLOPS 4.09"),
    ("resnet101", {}, 7801, "torchvision's table of weights, GFLOPS 7.80"),
    ("resnet152", {}, 11514, "torchvision's table of weights, GFLOPS 11.51"),
    ("resnext50_32x4d", {}, 4230, "torchvision's table of weights, GFLOPS 4.23"),
    ("wide_resnet50_2", {}, 11398, "torchvision's table of weights, GFLOPS 11.40"),
    ("mobilenet_v1", {}, 569, "table 4 of https://arxiv.org/abs/1704.04861"),
    ("mobilenet_v2", {}, 300, "table 4 of https://arxiv.org/abs/1801.04381"),
    ("mobilenet_v2", {"alpha": 1.4}, 585, "table 4 of https://arxiv.org/abs/1801.04381"),
    ("mobilenet_v3_large", {}, 219, "table 3 of https://arxiv.org/abs/1905.02244"),
    ("mobilenet_v3_small", {}, 56, "table 3 of https://arxiv.org/abs/1905.02244"),
    ("mobilefacenet", {}, 221, "section 4 of https://arxiv.org/abs/1804.07573"),
    ("r50", {}, 6300, "arcface_torch's table of models, 6.3 GFLOPs"),
    ("r100", {}, 12100, "arcface_torch's table of models, 12.1 GFLOPs"),
]


def answer(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = cli.main(["models", *arguments])
    return code, *capsys.readouterr()


@pytest.mark.parametrize(("name", "options", "millions", "where"), PUBLISHED)
def test_multiply_adds_are_those_published(name: str, options: dict[str, Any], millions: int, where: str) -> None:
    found = costs(spec(name, **options)).multiply_adds / 1e6
    assert abs(found - millions) < 0.012 * millions, where


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning")
@pytest.mark.parametrize(
    "name",
    [
        "blazeface_mediapipe_front",
        "mobilefacenet",
        "mobilenet_v3_small",
        *(pytest.param(name, marks=pytest.mark.slow) for name in ("adaface_ir_se50", "resnext50_32x4d", "mbf")),
        *(pytest.param(name, marks=pytest.mark.slow) for name in ("blazeface_fpn_ssh", "slimfacenet_a_x0_60")),
    ],
)
def test_figures_are_those_of_the_onnx_graph(name: str, tmp_path: Path, torch_module: Any, ort_module: Any) -> None:
    """Multiply-adds and output shapes, counted independently in what PyTorch exports and ONNX Runtime runs."""
    import onnx

    from facecvt.reference_models import build

    arch = spec(name)
    path = tmp_path / "net.onnx"
    x = torch_module.zeros(1, *arch.contracts["torch"].shape[1:])
    torch_module.onnx.export(build(name, "torch").eval(), (x,), str(path), dynamo=False)
    model = onnx.load(path)
    outputs = [value.name for value in model.graph.output]
    products = [node for node in model.graph.node if node.op_type in ("Conv", "Gemm", "MatMul")]
    wanted = list(dict.fromkeys([*outputs, *(node.output[0] for node in products)]))
    del model.graph.output[:]
    model.graph.output.extend(onnx.ValueInfoProto(name=value) for value in wanted)
    session = ort_module.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    run = session.run(wanted, {session.get_inputs()[0].name: x.numpy()})
    shapes = {item.name: list(item.dims) for item in model.graph.initializer}
    shapes |= {value: list(array.shape) for value, array in zip(wanted, run, strict=True)}
    total = 0
    for node in products:
        weight, made = shapes[node.input[1]], shapes[node.output[0]]
        total += math.prod(made) * (math.prod(weight[1:]) if node.op_type == "Conv" else math.prod(weight) // made[-1])
    found = costs(arch)
    assert found.multiply_adds == total
    stated = [[1 if size == "batch" else size for size in shape] for shape in found.outputs]
    assert stated == [shapes[value] for value in outputs]


def test_layers_that_do_not_fit_are_refused() -> None:
    arch = spec("mobilefacenet")
    net = LayerList()
    net.conv("first", "input", (4, 8), 3)

    class Other:
        contracts = arch.contracts

        def layers(self) -> Any:
            return net.layers

    with pytest.raises(ValueError, match="'first' takes 4 channels, not 3"):
        costs(Other())  # type: ignore[arg-type]
    net.layers[:] = []
    net.elementwise("odd", "Tanh", "input")
    with pytest.raises(ValueError, match=r"'odd': costs\.py does not know the shape behind Tanh"):
        costs(Other())  # type: ignore[arg-type]


def test_every_architecture_has_a_row_and_a_sheet() -> None:
    rows = model_rows()
    assert [row.name for row in rows] == names()
    for row in rows:
        assert row.parameters == spec(row.name).parameter_count()
        assert row.multiply_adds > row.parameters / 100
        assert row.frameworks == ("torch", "paddle", "mxnet")
        if row.embedding_size:
            assert row.outputs[0][:2] == ("batch", row.embedding_size)
    document = {"schema_version": "1.0", "command": "models", "models": [row.as_json() for row in rows], "heads": []}
    jsonschema.validate(document, SCHEMA)
    sheets = {"type": "array", "items": SCHEMA["$defs"]["models"]["properties"]["sheet"]}
    jsonschema.validate([model_sheet(name).as_json() for name in names()], sheets | {"$defs": SCHEMA["$defs"]})


def test_a_pattern_selects(capsys: pytest.CaptureFixture[str]) -> None:
    assert {arch.name for arch in matching("blazeface_mediapipe")} == {
        "blazeface_mediapipe_front",
        "blazeface_mediapipe_back",
    }
    assert {arch.name for arch in matching("ADAFACE_ir_se*")} == {
        f"adaface_ir_se{depth}" for depth in (50, 101, 152, 200)
    }
    assert "iresnet50" in {arch.name for arch in matching("r?0")}, "by another name"
    assert {arch.family for arch in matching("mobilenet_v3_torchvision")} == {"mobilenet_v3_torchvision"}
    code, out, err = answer(capsys, "hollance*", "--json")
    assert (code, err) == (0, "")
    assert [row["name"] for row in json.loads(out)["models"]] == [
        "blazeface_mediapipe_front",
        "blazeface_mediapipe_back",
    ]
    with pytest.raises(UsageError, match=r"no reference architecture matches 'zz\*'"):
        matching("zz*")
    code, out, err = answer(capsys, "iresnet51")
    assert (code, out) == (2, "")
    assert "Did you mean iresnet" in err
    assert [row.name for row in facecvt.models("iresnet50")] == ["iresnet50"]


def test_the_sheet_of_one(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = answer(capsys, "ffc_mobilefacenet_512")
    assert (code, err) == (0, "")
    for text in ("1,200,512", "batch x 512", "tiandunx/FFC", "arxiv.org/abs/1804.07573", "(pixel - 127.5)"):
        assert text in out, text
    lines = {line.split()[0]: line.split() for line in out.splitlines() if line.strip()}
    assert lines["embedding_size"][1] == "512"
    assert lines["normalize"][1] == "True"
    assert lines["mobileface_v1.0_infer"][1] == "paddle"
    code, out, _ = answer(capsys, "r50", "--json")
    document = json.loads(out)
    jsonschema.validate(document, SCHEMA)
    assert document["models"][0]["multiply_adds"] == 6309330944
    assert [stage["units"] for stage in document["sheet"]["stages"]] == [3, 4, 14, 3]
    assert document["sheet"]["contracts"]["mxnet"]["in_graph"] is True


def test_no_framework_is_imported() -> None:
    code = (
        "import sys; from facecvt import cli; cli.main(['models']); cli.main(['models', 'r50']); "
        "cli.main(['models', 'arcface']); "
        "heavy = {'torch', 'paddle', 'mxnet', 'onnx', 'onnx_ir', 'onnxruntime'} & set(sys.modules); "
        "print('heavy:', sorted(heavy), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.splitlines()[-1] == "heavy: []"

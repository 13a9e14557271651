"""What users type, what the architectures declare, and that asking costs no framework."""

from __future__ import annotations

import subprocess
import sys

import pytest

import facecvt.reference_models as reference_models
from facecvt.converters.errors import FrameworkMissingError, UsageError
from facecvt.reference_models import build, names, resolve, spec

TYPED = [
    ("r18", "iresnet18", None, {}),
    ("r34", "iresnet34", None, {}),
    ("r50", "iresnet50", None, {}),
    ("r100", "iresnet100", None, {}),
    ("r200", "iresnet200", None, {}),
    (" R50 ", "iresnet50", None, {}),
    ("iresnet50", "iresnet50", None, {}),
    ("LResNet50E-IR", "iresnet50", "mxnet", {}),
    ("lresnet100e-ir", "iresnet100", "mxnet", {}),
    ("LResNet200E-IR", "fresnet200", "mxnet", {}),
    ("fresnet_r50", "iresnet50", "mxnet", {}),
    ("fresnet2018_r50", "iresnet50", "mxnet", {}),
    ("fresnet_r200", "fresnet200", "mxnet", {}),
    ("fresnet_r50_emb256", "iresnet50", "mxnet", {"embedding_size": 256}),
    ("fresnet_r200_emb128", "fresnet200", "mxnet", {"embedding_size": 128}),
    ("insightface_arcface_torch_iresnet50", "iresnet50", "torch", {}),
    ("plsc_iresnet18", "iresnet18", "paddle", {}),
    ("ffc_resnet_arcface_iresnet34", "iresnet34", "torch", {"normalize": True}),
    ("mobileface_v1.0_infer", "mobilefacenet", "paddle", {}),
    ("mobilefacenet", "mobilefacenet", None, {}),
    ("ffc_mobilefacenet", "mobilefacenet", "torch", {"normalize": True}),
    ("ffc_mobilefacenet_512", "mobilefacenet", "torch", {"normalize": True, "embedding_size": 512}),
    ("insightface_arcface_paddle_mobilefacenet_128", "mobilefacenet", "paddle", {"embedding_size": 128}),
    ("get_mbf", "mbf", "torch", {}),
    ("mbf_large", "mbf_large", None, {}),
    ("insightface_arcface_torch_mbf", "mbf", "torch", {}),
    ("insightface_arcface_torch_mbf_128", "mbf", "torch", {"embedding_size": 128}),
    ("insightface_arcface_torch_mbf_scale1", "mbf", "torch", {"scale": 1}),
    ("insightface_arcface_torch_mbf_scale1_128", "mbf", "torch", {"scale": 1, "embedding_size": 128}),
    ("insightface_arcface_torch_mbf_large_scale2", "mbf_large", "torch", {"scale": 2}),
    ("plsc_mobilefacenet_base", "mbf", "paddle", {}),
    ("PLSC_MobileFaceNet_large", "mbf_large", "paddle", {}),
    ("fmobilenet_default", "fmobilenet", "mxnet", {}),
    ("fmobilenet_input0", "fmobilenet", "mxnet", {"input_size": 224}),
    ("fmobilenet_m05", "fmobilenet", "mxnet", {"multiplier": 0.5, "output": "GDC", "embedding_size": 256}),
    ("fmobilenet2018_m05", "fmobilenet", "mxnet", {"multiplier": 0.5}),
    ("fmobilefacenet_default", "fmobilefacenet", "mxnet", {}),
    ("fmobilefacenet_y2", "mobilefacenet_y2", "mxnet", {}),
    ("fmobilefacenet2018_GNAP", "fmobilefacenet", "mxnet", {"output": "GNAP"}),
    ("fmobilefacenet2018_E128", "fmobilefacenet", "mxnet", {"embedding_size": 128}),
    ("fmobilefacenet_out_GDC_emb128", "fmobilefacenet", "mxnet", {"output": "GDC", "embedding_size": 128}),
    ("insightface_arcface_paddle_fresresnet50", "fresresnet50", "paddle", {}),
    ("insightface_arcface_paddle_fresresnet100_FC", "fresresnet100", "paddle", {"fc_type": "FC"}),
    ("insightface_arcface_paddle_fresresnet50_128", "fresresnet50", "paddle", {"embedding_size": 128}),
    ("insightface_arcface_paddle_static_fresresnet100", "fresresnet100", "paddle", {"static": True}),
    (
        "insightface_arcface_paddle_static_fresresnet50_Z",
        "fresresnet50",
        "paddle",
        {"static": True, "fc_type": "Z", "embedding_size": 25088},
    ),
    ("FresResNet101", "fresresnet101", None, {}),
    ("SlimFaceNet_A_x0_60", "slimfacenet_a_x0_60", None, {}),
    ("paddleslim_slimfacenet_b_x0_75", "slimfacenet_b_x0_75", "paddle", {}),
    ("paddleslim_slimfacenet_b_x0_75_relu", "slimfacenet_b_x0_75", "paddle", {"relu": True}),
    ("paddleslim_slimfacenet_c_x1_0_relu", "slimfacenet_c_x0_75", "paddle", {"relu": True, "width": 1.0}),
    ("slimfacenet_a_x0_90", "slimfacenet_a_x0_60", None, {"width": 0.9}),
    ("ir_18", "adaface_ir18", None, {}),
    ("IR_101", "adaface_ir101", None, {}),
    ("ir_se_50", "adaface_ir_se50", None, {}),
    ("AdaFace_IR_SE_152", "adaface_ir_se152", "torch", {}),
    ("adaface_ir_200", "adaface_ir200", "torch", {}),
    ("adaface_ir_34_input224", "adaface_ir34", "torch", {"input_size": 224}),
    ("adaface_ir_se_101_input224", "adaface_ir_se101", "torch", {"input_size": 224}),
    ("paddleclas_adaface_ir_se_101", "adaface_ir_se101", "paddle", {"normalize": False}),
    ("paddleclas_adaface_ir_50_input224", "adaface_ir50", "paddle", {"normalize": False, "input_size": 224}),
]


@pytest.mark.parametrize(("typed", "name", "framework", "options"), TYPED, ids=[row[0].strip() for row in TYPED])
def test_typed_names_resolve(typed, name, framework, options):
    resolved = resolve(typed)
    assert resolved.architecture.name == name
    assert resolved.framework == framework
    defaults = dict(spec(name).options)
    assert dict(resolved.architecture.options) == defaults | options


@pytest.mark.parametrize(
    ("typed", "near"),
    [("r5o", "r50"), ("lresnet50-ir", "LResNet50E-IR"), ("mobilfacenet", "mobilefacenet"), ("iresnet5O", "iresnet50")],
)
def test_a_typo_gets_the_nearest_names(typed, near):
    with pytest.raises(UsageError) as raised:
        resolve(typed)
    assert typed in str(raised.value)
    assert near in str(raised.value)


@pytest.mark.parametrize("typed", ["fresnet_r103_emb256", "fresnet2018_r98", "plsc_iresnet50x", "", "../r50", "zzzz"])
def test_names_that_look_alike_are_refused(typed):
    with pytest.raises(UsageError):
        resolve(typed)


def test_names_lists_every_architecture_once():
    assert len(set(names())) == len(names())
    families = [spec(name).family for name in names()]
    assert families == sorted(families), "family by family"
    assert set(names()) >= {*(f"iresnet{depth}" for depth in (18, 34, 50, 100, 200)), "fresnet200", "mobilefacenet"}
    assert callable(reference_models.spec), "the module spec.py must not hide the function spec()"


@pytest.mark.parametrize(
    ("name", "parameters", "units", "size"),
    [
        ("iresnet18", 24025600, (2, 2, 2, 2), 512),
        ("iresnet34", 34139328, (3, 4, 6, 3), 512),
        ("iresnet50", 43590848, (3, 4, 14, 3), 512),
        ("iresnet100", 65156160, (3, 13, 30, 3), 512),
        ("iresnet200", 118833920, (6, 26, 60, 6), 512),
        ("mobilefacenet", 1003136, (5, 1, 6, 1, 2), 128),
        ("mbf", 2059520, (1, 5, 7, 3), 512),
        ("mbf_large", 6314880, (2, 9, 13, 5), 512),
    ],
)
def test_declared_facts(name, parameters, units, size):
    declared = spec(name)
    assert declared.parameter_count() == parameters
    assert tuple(stage.units for stage in declared.stages) == units
    assert declared.embedding_size == size
    assert not declared.normalised
    assert declared.source.upstreams
    assert declared.source.paper.endswith(("1801.07698", "1804.07573"))


def test_mxnet_contract_says_that_pixels_are_fed():
    contract = spec("r50").contracts["mxnet"]
    assert contract.in_graph
    assert contract.mean == (127.5,)
    assert contract.scale == (0.0078125,)
    assert not spec("r50").contracts["torch"].in_graph


def test_options_are_checked():
    assert spec("r50", embedding_size=256).embedding_size == 256
    with pytest.raises(UsageError, match="no option 'feat_dim'"):
        spec("r50", feat_dim=256)
    with pytest.raises(UsageError, match="normalize cannot be 1"):
        spec("r50", normalize=1)
    with pytest.raises(UsageError, match="embedding_size cannot be True"):
        spec("r50", embedding_size=True)
    with pytest.raises(UsageError, match="embedding_size cannot be 0"):
        spec("r50", embedding_size=0)
    with pytest.raises(UsageError, match="no option 'dropout'"):
        build("mobilefacenet", "torch", dropout=0.5)


def test_unknown_framework_is_refused():
    with pytest.raises(UsageError, match="torch, paddle, mxnet"):
        build("r18", "caffe")


def test_missing_framework_names_its_pip_command(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(FrameworkMissingError, match="pip install paddlepaddle") as raised:
        build("r18", "paddle")
    assert raised.value.exit_code == 4


def test_asking_imports_no_framework():
    code = (
        "import sys, facecvt.reference_models as r\n"
        "r.names(); r.resolve('r50'); r.spec('r50').layers(); r.spec('r50').names('mxnet')\n"
        "heavy = {'torch', 'paddle', 'mxnet', 'onnx', 'onnx_ir', 'onnxruntime', 'numpy'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_pip_command_of_mxnet_is_said_in_one_way():
    from facecvt.converters.compat_mxnet import PIP_COMMAND
    from facecvt.reference_models.frameworks import PIP_COMMANDS

    assert PIP_COMMANDS["mxnet"] == PIP_COMMAND

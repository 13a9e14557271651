"""Every spelling of a model, and every refusal, on folders of empty files and on the real ones."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from facecvt.converters.errors import AmbiguousModelError, UsageError, WeightsError
from facecvt.converters.formats.locate import MxnetFiles, OnnxFiles, PaddleFiles, TorchFiles, locate, located

PIR = b'{"base_code":{"magic":"pir","trainable":true,"version":4},"program":{}}'


def folder_of(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(PIR if name.endswith(".json") and "symbol" not in name else b"")
    return root


def spelled(files, root: Path) -> tuple[str | None, ...]:
    """The files found, relative to the folder."""
    paths = (files.symbol, files.params) if isinstance(files, MxnetFiles) else (files.program, files.weights)
    return tuple(os.path.relpath(path, root) if path else None for path in paths)


# MXNet -----------------------------------------------------------------------------------------------------------

DET1 = ("det1-symbol.json", "det1-newjson-symbol.json", "det1-0001.params")
EPOCHS = ("net-symbol.json", "net-0001.params", "net-0010.params")


@pytest.mark.parametrize(
    ("names", "spelling", "found", "epoch"),
    [
        (DET1, "det1", ("det1-symbol.json", "det1-0001.params"), 1),
        (DET1, "det1-symbol.json", ("det1-symbol.json", "det1-0001.params"), 1),
        (DET1, "det1-0001.params", ("det1-symbol.json", "det1-0001.params"), 1),
        (DET1, "det1,1", ("det1-symbol.json", "det1-0001.params"), 1),
        (DET1, "det1-newjson", ("det1-newjson-symbol.json", "det1-0001.params"), 1),
        (DET1, "det1-newjson-symbol.json", ("det1-newjson-symbol.json", "det1-0001.params"), 1),
        (EPOCHS, "net-0001.params", ("net-symbol.json", "net-0001.params"), 1),
        (EPOCHS, "net-0010.params", ("net-symbol.json", "net-0010.params"), 10),
        (EPOCHS, "net,10", ("net-symbol.json", "net-0010.params"), 10),
        (("net-symbol.json", "net-0000.params"), ".", ("net-symbol.json", "net-0000.params"), 0),
        (("net-symbol.json", "net-12345.params"), "net", ("net-symbol.json", "net-12345.params"), 12345),
        (("net-symbol.json", "net.params"), "net", ("net-symbol.json", "net.params"), None),
        (("net-symbol.json", "weights.npz"), "net", ("net-symbol.json", "weights.npz"), None),
        (("graph.json", "graph-0000.params"), "graph.json", ("graph.json", "graph-0000.params"), 0),
        (
            ("M25-symbol.json", "mnet.25-symbol.json", "mnet.25-0000.params"),
            "M25",
            ("M25-symbol.json", "mnet.25-0000.params"),
            0,
        ),
        (("a-symbol.json", "b-0003.params"), "b", ("a-symbol.json", "b-0003.params"), 3),
        (("a-symbol.json", "b-0003.params"), "b-0003.params", ("a-symbol.json", "b-0003.params"), 3),
        (
            ("sub/net-symbol.json", "sub/net-0000.params", "README.md"),
            ".",
            ("sub/net-symbol.json", "sub/net-0000.params"),
            0,
        ),
        (("net-symbol.json", "net-0000.params", "net/notes.txt"), "net", ("net-symbol.json", "net-0000.params"), 0),
    ],
)
def test_mxnet_spellings(tmp_path, names, spelling, found, epoch):
    folder_of(tmp_path, *names)
    files = locate("mxnet", tmp_path / spelling)
    assert isinstance(files, MxnetFiles)
    assert (spelled(files, tmp_path), files.epoch) == (found, epoch)
    assert files.files() == (files.symbol, files.params)


@pytest.mark.parametrize("spelling", ["net", "net-symbol.json", "."])
@pytest.mark.parametrize("epoch", [1, 10])
def test_mxnet_epoch_is_chosen(tmp_path, spelling, epoch):
    folder_of(tmp_path, *EPOCHS)
    files = locate("mxnet", tmp_path / spelling, epoch=epoch)
    assert (files.params.name, files.epoch) == (f"net-{epoch:04d}.params", epoch)


@pytest.mark.parametrize(
    ("names", "spelling", "epoch", "error", "words"),
    [
        (DET1, ".", None, AmbiguousModelError, r"2 MXNet models .*det1-newjson-symbol\.json, det1-symbol\.json"),
        (EPOCHS, "net", None, AmbiguousModelError, r"several epochs .*net-0001\.params, net-0010\.params; .*--epoch"),
        (EPOCHS, ".", None, AmbiguousModelError, r"several epochs"),
        ((*EPOCHS, "net/x.txt"), "net", None, AmbiguousModelError, r"several epochs"),
        (EPOCHS, "net", 7, UsageError, r"no weights of epoch 7; there are net-0001\.params, net-0010\.params"),
        (EPOCHS, "net,7", None, UsageError, r"no weights of epoch 7"),
        (EPOCHS, "net-0001.params", 10, UsageError, r"not of the epoch 10"),
        (("net-symbol.json",), "net", None, WeightsError, r"looked for net-<epoch>\.params"),
        (
            ("net-symbol.json", "a-0000.params", "b-0000.params"),
            "net",
            None,
            AmbiguousModelError,
            r"a-0000\.params, b-0000",
        ),
        (
            ("a-symbol.json", "b-symbol.json", "c-0000.params"),
            "c",
            None,
            AmbiguousModelError,
            r"a-symbol\.json, b-symbol",
        ),
        (("net-0000.params",), "net", None, UsageError, r"weights without a symbol; looked for net-symbol\.json"),
        (("net-0000.params",), ".", None, UsageError, r"no MXNet model .*it holds net-0000\.params"),
        (("net-symbol.json", "net.txt"), "net.txt", None, UsageError, r"neither a symbol"),
        (("a/n-symbol.json", "b/n-symbol.json"), ".", None, AmbiguousModelError, r"2 folders with a model .*: a, b"),
    ],
)
def test_mxnet_refusals(tmp_path, names, spelling, epoch, error, words):
    folder_of(tmp_path, *names)
    with pytest.raises(error, match=words) as caught:
        locate("mxnet", tmp_path / spelling, epoch=epoch)
    assert type(caught.value) is error


# Paddle ----------------------------------------------------------------------------------------------------------

NEW = ("inference.pdmodel", "inference.pdiparams", "inference.pdiparams.info", "infer_cfg.yml")
OLD = ("__model__", "conv1.w_0", "conv1.b_0")


@pytest.mark.parametrize(
    ("names", "spelling", "found", "layout"),
    [
        *[(NEW, spelling, NEW[:2], "combined") for spelling in (".", "inference", *NEW[:3])],
        *[
            (("inference.json", NEW[1], "config.json.bak"), spelling, ("inference.json", NEW[1]), "combined")
            for spelling in (".", "inference", "inference.json", "inference.pdiparams")
        ],
        *[(OLD, spelling, ("__model__", "."), "separate") for spelling in (".", "__model__")],
        *[
            (("__model__", "__params__"), spelling, ("__model__", "__params__"), "combined")
            for spelling in (".", "__model__", "__params__")
        ],
        (("x.pdmodel", "x.json", "x.pdiparams"), "x.json", ("x.json", "x.pdiparams"), "combined"),
        (("a.pdmodel", "a.pdiparams", "b.pdmodel", "b.pdiparams"), "b", ("b.pdmodel", "b.pdiparams"), "combined"),
        (("model.pdmodel", "other.pdiparams"), ".", ("model.pdmodel", "other.pdiparams"), "combined"),
        (("model.pdmodel", "other.pdiparams"), "other.pdiparams", ("model.pdmodel", "other.pdiparams"), "combined"),
        (("model.pdmodel", "__params__"), "model", ("model.pdmodel", "__params__"), "combined"),
        (("x.pdmodel", "x.pdparams"), "x", ("x.pdmodel", "x.pdparams"), "pdparams"),
        (("x.pdmodel", "x.pdparams"), "x.pdparams", ("x.pdmodel", "x.pdparams"), "pdparams"),
        (("x.pdparams",), "x.pdparams", (None, "x.pdparams"), "pdparams"),
        (("x.pdparams",), ".", (None, "x.pdparams"), "pdparams"),
        (("x.pdparams",), "x", (None, "x.pdparams"), "pdparams"),
        (("head.pdmodel", "older.pdmodel"), "head.pdmodel", ("head.pdmodel", None), "none"),
        (("head.pdmodel", "older.pdmodel", "older.pdiparams"), "head", ("head.pdmodel", None), "none"),
        (("__model__",), ".", ("__model__", None), "none"),
        (("m/n/x.pdmodel", "m/n/x.pdiparams"), ".", ("m/n/x.pdmodel", "m/n/x.pdiparams"), "combined"),
        (("model", "params"), "model", ("model", "params"), "combined"),
    ],
)  # fmt: skip
def test_paddle_spellings(tmp_path, names, spelling, found, layout):
    folder_of(tmp_path, *names)
    files = locate("paddle", tmp_path / spelling)
    assert isinstance(files, PaddleFiles)
    assert (spelled(files, tmp_path), files.layout) == (found, layout)


@pytest.mark.parametrize(
    ("names", "spelling", "error", "words"),
    [
        (
            ("head.pdmodel", "older.pdmodel"),
            ".",
            AmbiguousModelError,
            r"2 Paddle models .*head\.pdmodel, older\.pdmodel",
        ),
        (("x.pdmodel", "x.json", "x.pdiparams"), "x", AmbiguousModelError, r"in two forms: x\.pdmodel, x\.json"),
        (("x.pdmodel", "x.json", "x.pdiparams"), "x.pdiparams", AmbiguousModelError, r"x\.pdmodel, x\.json"),
        (("a.pdparams", "b.pdparams"), ".", AmbiguousModelError, r"a\.pdparams, b\.pdparams"),
        (("x.pdiparams",), "x", UsageError, r"weights without a program; looked for x\.pdmodel, x\.json"),
        (("notes.txt",), ".", UsageError, r"no Paddle model .*it holds notes\.txt"),
        (("P/__model__", "R/__model__"), ".", AmbiguousModelError, r"2 folders with a model lie in it: P, R"),
    ],
)
def test_paddle_refusals(tmp_path, names, spelling, error, words):
    folder_of(tmp_path, *names)
    with pytest.raises(error, match=words) as caught:
        locate("paddle", tmp_path / spelling)
    assert type(caught.value) is error


def test_other_json_is_no_paddle_program(tmp_path):
    folder_of(tmp_path, "x.pdmodel", "x.pdiparams")
    (tmp_path / "x.json").write_text('{"nodes": []}')
    assert locate("paddle", tmp_path).program.name == "x.pdmodel"
    assert locate("paddle", tmp_path / "x").program.name == "x.pdmodel"


# ONNX and PyTorch ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("framework", "names", "spelling", "found"),
    [
        ("onnx", ("a.onnx", "a.onnx.data", "notes.md"), ".", "a.onnx"),
        ("onnx", ("a.onnx", "b.onnx"), "b.onnx", "b.onnx"),
        ("onnx", ("a.onnx", "b.onnx"), "b", "b.onnx"),
        ("onnx", ("net.bin",), "net.bin", "net.bin"),
        ("torch", ("w.pth", "model.py"), ".", "w.pth"),
        ("torch", ("w.pth", "w.safetensors", "model.py"), ".", "w.safetensors"),
        ("torch", ("w.pth", "w.safetensors"), "w.pth", "w.pth"),
        ("torch", ("best.pth.tar",), ".", "best.pth.tar"),
        ("torch", ("best.pth.tar",), "best.pth.tar", "best.pth.tar"),
        ("torch", ("deep/down/w.ckpt",), ".", "deep/down/w.ckpt"),
    ],
)
def test_single_files(tmp_path, framework, names, spelling, found):
    folder_of(tmp_path, *names)
    with located(framework, tmp_path / spelling) as files:
        assert isinstance(files, OnnxFiles | TorchFiles)
        assert files.files() == (tmp_path / found,)


@pytest.mark.parametrize(
    ("framework", "names", "words"),
    [
        ("onnx", ("a.onnx", "b.onnx"), r"2 ONNX models lie there: a\.onnx, b\.onnx"),
        ("torch", ("a.pth", "b.pt"), r"2 PyTorch weights files lie there: a\.pth, b\.pt"),
        ("torch", ("a.pth", "a.pt"), r"more than once: a\.pt, a\.pth"),
    ],
)
def test_two_single_files(tmp_path, framework, names, words):
    folder_of(tmp_path, *names)
    with pytest.raises(AmbiguousModelError, match=words):
        locate(framework, tmp_path)


# All -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("framework", "names", "name"),
    [
        ("mxnet", ("box/r50-symbol.json", "box/r50-0000.params"), "r50"),
        ("mxnet", ("box/model-symbol.json", "box/model-0000.params"), "box"),
        ("mxnet", ("box/mnet.25-symbol.json", "box/mnet.25-0000.params"), "mnet.25"),
        ("paddle", ("box/inference.pdmodel", "box/inference.pdiparams"), "box"),
        ("paddle", ("box_v1.0_infer/__model__", "box_v1.0_infer/__params__"), "box_v1.0_infer"),
        ("paddle", ("box/ONet.pdmodel", "box/ONet.pdiparams"), "ONet"),
        ("paddle", ("box/x_v1.0.pdparams",), "x_v1.0"),
        ("onnx", ("box/RFB-320.onnx",), "RFB-320"),
        ("torch", ("box/weights.pth",), "box"),
        ("torch", ("box/best.pth.tar",), "best"),
        ("torch", ("box/2.7_80x80_MiniFASNetV2.pth",), "2.7_80x80_MiniFASNetV2"),
    ],
)
def test_names_for_default_targets(tmp_path, monkeypatch, framework, names, name):
    folder_of(tmp_path, *names)
    folder = (tmp_path / names[0]).parent
    assert locate(framework, folder).name == name
    monkeypatch.chdir(folder)
    assert locate(framework, ".").name == name


@pytest.mark.parametrize(
    ("spelling", "words"),
    [
        ("r5O", r"no such .*; did you mean \S*r50-symbol\.json"),
        ("r50-symbol.jsn", r"did you mean \S*r50-symbol\.json"),
        ("inferrence", r"did you mean \S*inference\.pdmodel"),
        ("modles/r50", r"did you mean \S*models"),
        ("zzzzzzzz", r"holds inference\.pdmodel, models, r50-0000\.params, r50-symbol\.json"),
    ],
)
@pytest.mark.parametrize("framework", ["mxnet", "paddle", "onnx", "torch"])
def test_a_path_that_does_not_exist(tmp_path, framework, spelling, words):
    folder_of(tmp_path, "r50-symbol.json", "r50-0000.params", "inference.pdmodel", "models/x.txt")
    with pytest.raises(UsageError, match=words) as caught:
        locate(framework, tmp_path / spelling)
    assert type(caught.value) is UsageError
    assert caught.value.exit_code == 2


def test_empty_path_and_empty_folder(tmp_path):
    with pytest.raises(UsageError, match="empty"):
        locate("mxnet", "")
    with pytest.raises(UsageError, match="is empty"):
        locate("mxnet", tmp_path / "nothing")


def test_epoch_is_for_mxnet_only(tmp_path):
    folder_of(tmp_path, "a.onnx")
    with pytest.raises(UsageError, match="--epoch is for MXNet"):
        locate("onnx", tmp_path, epoch=0)
    assert locate("onnx", tmp_path).name == "a"


def test_real_models(real_models):
    """What the issue names: old and new JSON of det1 to det3, the RetinaFace pair, all Paddle folders."""
    for index, epoch in ((1, 1), (2, 1), (3, 1)):
        folder = real_models / f"mxnet/mtcnn-det{index}"
        for symbol in (f"det{index}", f"det{index}-newjson"):
            files = locate("mxnet", folder / f"{symbol}-symbol.json")
            assert (files.name, files.params.name, files.epoch) == (symbol, f"det{index}-0001.params", epoch)
        with pytest.raises(AmbiguousModelError):
            locate("mxnet", folder)
    assert locate("mxnet", real_models / "mxnet/insightface-gender-age").name == "insightface-gender-age"
    good = locate("mxnet", real_models / "mxnet/retinaface-mnet25/M25-symbol.json")
    assert good.params.name == "mnet.25-0000.params"
    assert locate("mxnet", good.params).symbol.name == "mnet.25-symbol.json"  # the pair that loading refuses
    for net in ("PNet", "RNet", "ONet"):
        assert locate("paddle", real_models / "paddle/mtcnn-pdmodel-combined" / net).layout == "combined"
        assert locate("paddle", real_models / "paddle/mtcnn-old-model-separate" / net).name == net
    assert locate("onnx", real_models / "onnx/ppocr-v2-cls").name == "PP_OCR_v2_cls"
    assert locate("torch", real_models / "pytorch/mtcnn-torchscript/PNet.pth").name == "PNet"

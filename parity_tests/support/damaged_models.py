"""Copies of real models, damaged in the ways that happen: cut, padded, mixed up, with weights or operators missing.

Every function takes the folder of real models and an empty folder, and gives the path of the damaged copy in it.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

from facecvt.converters.formats.mxnet_params import read_params, write_params
from facecvt.converters.formats.paddle_params import read_combined, write_combined
from facecvt.converters.formats.paddle_program import read_program

Build = Callable[[Path, Path], Path]


def with_cut(copy: Build, name: str, kept: int) -> Build:
    """A copy in which one file keeps that many bytes, or loses that many from its end."""

    def build(models: Path, folder: Path) -> Path:
        model = copy(models, folder)
        path = folder / name
        path.chmod(0o644)
        with path.open("r+b") as file:
            file.truncate(kept if kept >= 0 else path.stat().st_size + kept)
        return model

    return build


def with_padding(copy: Build, name: str, padding: bytes = b"\0" * 7) -> Build:
    """A copy in which something follows the end of one file."""

    def build(models: Path, folder: Path) -> Path:
        model = copy(models, folder)
        path = folder / name
        path.chmod(0o644)
        with path.open("ab") as file:
            file.write(padding)
        return model

    return build


# ---- MXNet


def pair_that_disagrees(models: Path, folder: Path) -> Path:
    for name in ("mnet.25-symbol.json", "mnet.25-0000.params"):
        shutil.copy(models / "mxnet/retinaface-mnet25" / name, folder)
    return folder / "mnet.25-symbol.json"


def det1(models: Path, folder: Path) -> Path:
    for name in ("det1-symbol.json", "det1-0001.params"):
        shutil.copy(models / "mxnet/mtcnn-det1" / name, folder)
    return folder / "det1"


def det1_without_two_weights(models: Path, folder: Path) -> Path:
    model = det1(models, folder)
    path = folder / "det1-0001.params"
    params = read_params(path)
    args = {name: array for name, array in params.args.items() if name not in ("conv2_weight", "prelu3_gamma")}
    assert len(args) == len(params.args) - 2
    write_params(folder / "fewer.params", args, params.aux)
    path.unlink()
    (folder / "fewer.params").rename(path)
    return model


def det1_with_foreign_operators(models: Path, folder: Path) -> Path:
    model = det1(models, folder)
    path = folder / "det1-symbol.json"
    document = json.loads(path.read_text())
    for node in document["nodes"]:
        if node["name"] in ("prelu1", "prelu2"):
            node["op"] = "MadeUpActivation"
        if node["name"] == "pool1":
            node["op"] = "MadeUpPool"
    path.chmod(0o644)
    path.write_text(json.dumps(document))
    return model


def two_mxnet_models(models: Path, folder: Path) -> Path:
    det1(models, folder)
    for name in ("det2-symbol.json", "det2-0001.params"):
        shutil.copy(models / "mxnet/mtcnn-det2" / name, folder)
    return folder


# ---- Paddle


def rnet(models: Path, folder: Path) -> Path:
    for ending in ("pdmodel", "pdiparams"):
        shutil.copy(models / f"paddle/mtcnn-pdmodel-combined/RNet.{ending}", folder)
    return folder / "RNet.pdmodel"


def rnet_without_a_weight(models: Path, folder: Path) -> Path:
    model = rnet(models, folder)
    program = read_program(model)
    weights = folder / "RNet.pdiparams"
    arrays = read_combined(weights, program.parameters, program.vars)
    del arrays["linear_0.b_0"]
    write_combined(folder / "fewer", arrays)
    weights.unlink()
    (folder / "fewer").rename(weights)
    return model


def rnet_with_a_foreign_operator(models: Path, folder: Path) -> Path:
    model = rnet(models, folder)
    program = model.read_bytes()
    model.chmod(0o644)
    model.write_bytes(program.replace(b"prelu", b"qrelu"))  # one length, so that the message stays well-formed
    return model


def separate_rnet(models: Path, folder: Path) -> Path:
    shutil.copytree(models / "paddle/mtcnn-old-model-separate/RNet", folder / "RNet")
    (folder / "RNet").chmod(0o755)
    return folder / "RNet"


def separate_without_two_files(models: Path, folder: Path) -> Path:
    model = separate_rnet(models, folder)
    (model / "conv2.b_0").unlink()
    (model / "fc1.w_0").unlink()
    return model


def two_paddle_models(models: Path, folder: Path) -> Path:
    rnet(models, folder)
    for ending in ("pdmodel", "pdiparams"):
        shutil.copy(models / f"paddle/mtcnn-pdmodel-combined/ONet.{ending}", folder)
    return folder


# ---- ONNX

SLIM = "onnx/ultra-light-face/version-slim-320_simplified.onnx"


def slim(models: Path, folder: Path) -> Path:
    shutil.copy(models / SLIM, folder / "slim.onnx")
    return folder / "slim.onnx"


def slim_with_foreign_operators(models: Path, folder: Path) -> Path:
    import onnx

    model = onnx.load(models / SLIM)
    for number, node in enumerate(node for node in model.graph.node if node.op_type == "Relu"):
        if number < 2:
            node.op_type, node.name = "MadeUpRelu", f"made_up_{number}"
    onnx.save(model, folder / "slim.onnx")
    return folder / "slim.onnx"


def two_onnx_models(models: Path, folder: Path) -> Path:
    shutil.copy(models / SLIM, folder / "slim.onnx")
    shutil.copy(models / "onnx/ultra-light-face/version-RFB-320.onnx", folder / "rfb.onnx")
    return folder

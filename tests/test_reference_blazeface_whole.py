"""BlazeFace whole, with priors, decoded boxes and suppression, and cut in front of it: boxes as Paddle's on a photo."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from facecvt.converters.conversion import convert_files, read_source
from facecvt.converters.formats.locate import locate
from facecvt.parity_tests.proven import convert_and_verify

SCRIPT = Path(__file__).parent / "export_paddle_blazeface.py"
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", params=["legacy", "pir"])
def exported(request, tmp_path_factory, real_models, paddle_module):
    """The program, the photo as it is fed, and Paddle's detections in it."""
    image = pytest.importorskip("PIL.Image", reason="pip install pillow")
    folder = tmp_path_factory.mktemp(request.param)
    pixels = np.asarray(image.open(real_models / "images/blazeface_1face.png").convert("RGB")).astype(np.float32)
    x = ((pixels - (123, 117, 104)) / 127.502231).astype(np.float32).transpose(2, 0, 1)[None]
    x = np.concatenate([x, x[..., ::-1]])  # and its mirror image
    np.save(folder / "x.npy", x)
    weights = real_models / "paddle/blazeface-1000e/blazeface_1000e.pdparams"
    command = [sys.executable, str(SCRIPT), str(folder), request.param, str(weights)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    found = np.load(folder / "found.npz")
    return locate("paddle", str(folder)), x, found["arr_0"], found["arr_1"]


def run_onnx(ort, path, x):
    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return session.run(None, {session.get_inputs()[0].name: x})


def run_torch(folder, x):
    code = "import numpy as np, torch, model\n"
    code += "with torch.no_grad(): found = model.load()(torch.from_numpy(np.load('x.npy')))\n"
    code += "np.savez('found.npz', *(value.numpy() for value in found))\n"
    np.save(folder / "x.npy", x)
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    found = np.load(folder / "found.npz")
    return [found[name] for name in found.files]


def test_boxes_on_a_photo_are_paddles(exported, tmp_path, ort_module, torch_module):
    files, x, boxes, counts = exported
    assert boxes[0, 1] > 0.99, "the face is found"
    assert np.abs(boxes[0, 2:] * 128 - (42.3, 28.1, 63.6, 57.0)).max() < 1
    assert counts.sum() == len(boxes) > 2
    convert_files("paddle", files, "onnx", tmp_path / "whole.onnx")
    convert_files("paddle", files, "torch", tmp_path / "whole")
    for found in (run_onnx(ort_module, tmp_path / "whole.onnx", x), run_torch(tmp_path / "whole", x)):
        assert np.array_equal(found[1], counts)
        assert found[0].shape == boxes.shape
        assert np.abs(found[0] - boxes).max() < 1e-5


def test_whole_detector_is_proven(exported, tmp_path):
    files, *_ = exported
    result = convert_and_verify(files.program, "paddle", "onnx", output=tmp_path / "whole.onnx")
    assert result.exit_code == 0


def test_cut_in_front_of_the_suppression(exported, tmp_path, ort_module):
    """What is left has the decoded boxes and the scores as outputs; a program of 146 layers without suppression."""
    files, x, boxes, _ = exported
    model, _ = read_source("paddle", files)
    (suppression,) = [op for op in model.program.ops if op.type == "multiclass_nms3"]
    names = [name for operands in suppression.inputs.values() for name in operands]
    result = convert_and_verify(files.program, "paddle", "onnx", output=tmp_path / "cut.onnx", cut_at=names)
    assert result.exit_code == 0
    decoded, scores = run_onnx(ort_module, tmp_path / "cut.onnx", x)
    best = scores[0, 0].argmax()
    assert abs(scores[0, 0, best] - boxes[0, 1]) < 1e-5
    assert np.abs(decoded[0, best] - boxes[0, 2:]).max() < 1e-5

"""Where other converters of Paddle models fail: order of .pdiparams, unsupported operators, batches, missing weights.

The models are made, saved and run by the real Paddle, in a process of its own because a legacy program needs
``FLAGS_enable_pir_api=0`` before the import.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from facecvt.converters.conversion import convert_files
from facecvt.converters.errors import ConversionError, FormatError, UnsupportedOperatorsError, WeightsError
from facecvt.converters.formats.locate import locate

MAKE = """
import sys
import numpy as np
import paddle
from paddle import nn

folder, kind = sys.argv[1:]
paddle.seed(0)

class Norms(nn.Layer):  # vectors of one shape only: any order of the file fits
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2D(3, 4, 3, padding=1, bias_attr=False)
        self.second = nn.BatchNorm2D(4, epsilon=1e-3)
        self.first = nn.BatchNorm2D(4)
        self.slope = nn.PReLU(4)

    def forward(self, x):
        return self.second(self.slope(self.first(self.conv(x))))

class Unsupported(nn.Layer):
    def forward(self, x):
        y = paddle.lgamma(paddle.digamma(x))
        return paddle.digamma(y)

net = {"norms": Norms, "unsupported": Unsupported}[kind]()
net.eval()
rng = np.random.default_rng(0)
for parameter in net.state_dict().values():
    parameter.set_value(rng.uniform(0.3, 1.7, parameter.shape).astype("float32"))
data = rng.normal(size=(3, 3, 4, 4)).astype("float32")
np.savez(folder + "/run.npz", data=data, result=net(paddle.to_tensor(data)).numpy())
net = paddle.jit.to_static(net, input_spec=[paddle.static.InputSpec([None, 3, 4, 4], "float32", "x")])
paddle.jit.save(net, folder + "/inference")
"""


def make(folder: Path, kind: str, *, pir: bool) -> Path:
    folder.mkdir()
    script = folder.parent / "make.py"  # a file, because Paddle reads the source of what it traces
    script.write_text(MAKE)
    environment = dict(os.environ, FLAGS_enable_pir_api="1" if pir else "0")
    subprocess.run([sys.executable, script, str(folder), kind], check=True, env=environment, capture_output=True)
    return folder


@pytest.fixture(scope="module", params=[False, True], ids=["legacy", "pir"])
def norms(request, paddle_module, tmp_path_factory) -> Path:
    return make(tmp_path_factory.mktemp("paddle") / "norms", "norms", pir=request.param)


def test_weights_are_matched_by_sorted_name(norms, ort_module, tmp_path) -> None:
    import onnxruntime

    assert (norms / "inference.json").exists() or (norms / "inference.pdmodel").exists()
    convert_files("paddle", locate("paddle", str(norms)), "onnx", tmp_path / "n.onnx")
    run = np.load(norms / "run.npz")
    session = onnxruntime.InferenceSession(str(tmp_path / "n.onnx"))
    assert session.get_inputs()[0].shape[0] == "batch"
    for batch in (1, 2, 3):
        (value,) = session.run(None, {"x": run["data"][:batch]})
        expected = run["result"][:batch]
        assert np.abs(value - expected).max() / np.abs(expected).max() < 1e-6


@pytest.mark.parametrize("damage", ["one byte less", "one byte more", "one record less"])
def test_a_weights_file_that_does_not_end_with_its_last_record_is_refused(norms, tmp_path, damage) -> None:
    copy = tmp_path / "model"
    copy.mkdir()
    for path in norms.iterdir():
        (copy / path.name).write_bytes(path.read_bytes())
    weights = copy / "inference.pdiparams"
    whole = weights.read_bytes()
    if damage == "one byte less":
        weights.write_bytes(whole[:-1])
    elif damage == "one byte more":
        weights.write_bytes(whole + b"\0")
    else:
        weights.write_bytes(whole[: whole.rindex(b"\0\0\0\0" * 4)])
    with pytest.raises(FormatError, match=r"inference\.pdiparams, byte \d+"):
        convert_files("paddle", locate("paddle", str(copy)), "onnx", tmp_path / "n.onnx")
    assert not (tmp_path / "n.onnx").exists()


def test_a_program_without_its_weights_is_refused(norms, tmp_path) -> None:
    program = next(path for path in norms.iterdir() if path.suffix in (".json", ".pdmodel"))
    (tmp_path / program.name).write_bytes(program.read_bytes())
    with pytest.raises((WeightsError, ConversionError), match="pdiparams"):
        convert_files("paddle", locate("paddle", str(tmp_path / program.name)), "onnx", tmp_path / "n.onnx")
    assert not (tmp_path / "n.onnx").exists()


@pytest.mark.parametrize("pir", [False, True], ids=["legacy", "pir"])
def test_every_unsupported_operator_is_listed(paddle_module, tmp_path, pir) -> None:
    folder = make(tmp_path / "model", "unsupported", pir=pir)
    with pytest.raises(UnsupportedOperatorsError) as caught:
        convert_files("paddle", locate("paddle", str(folder)), "onnx", tmp_path / "n.onnx")
    assert {operator: len(names) for operator, names in caught.value.nodes.items()} == {"digamma": 2, "lgamma": 1}
    assert not (tmp_path / "n.onnx").exists()

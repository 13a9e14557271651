"""Reference models as real files: what the frameworks read back, and that the graphs read from them are recognised."""

from __future__ import annotations

import gc
import subprocess
import sys
import traceback

import numpy as np
import pytest

from facecvt.converters.errors import ConversionError, FrameworkMissingError, UsageError
from facecvt.reference_models import build, spec
from facecvt.reference_models.materialise import write_reference
from facecvt.reference_models.seeded import seeded_arrays, seeded_state
from facecvt.reference_models.weights import split_auxiliary

BOTH = [
    "mobilefacenet",
    *(pytest.param(name, marks=pytest.mark.slow) for name in ("iresnet18", "adaface_ir18", "adaface_ir_se50")),
]


@pytest.fixture(scope="module")
def mxnet_r18(tmp_path_factory, mxnet_module):
    return write_reference("r18", "mxnet", tmp_path_factory.mktemp("mxnet_r18"))


@pytest.fixture(scope="module", params=["legacy", "pir"])
def paddle_file(tmp_path_factory, request, paddle_module):
    return write_reference("mobileface_v1.0_infer", "paddle", tmp_path_factory.mktemp("p"), dialect=request.param)


def test_mxnet_files_load_in_mxnet(mxnet_r18, mxnet_module):
    assert sorted(path.name for path in mxnet_r18.parent.iterdir()) == ["r18-0000.params", "r18-symbol.json"]
    symbol, args, aux = mxnet_module.model.load_checkpoint(str(mxnet_r18.parent / "r18"), 0)
    assert symbol.tojson() == build("r18", "mxnet").tojson()
    arch = spec("r18")
    expected_args, expected_aux = split_auxiliary(seeded_state(arch, "mxnet"), arch)
    for ours, theirs in ((args, expected_args), (aux, expected_aux)):
        assert sorted(ours) == sorted(theirs)
        assert all(np.array_equal(ours[name].asnumpy(), theirs[name]) for name in theirs)
    assert [name for name in symbol.list_arguments() if name not in args] == ["data"]


def test_mxnet_graph_is_recognised(mxnet_r18):
    from facecvt.converters.formats.locate import locate
    from facecvt.converters.formats.mxnet_model import load_mxnet
    from facecvt.converters.readers.from_mxnet import read_mxnet
    from facecvt.reference_models.recognise import recognise

    found = recognise(read_mxnet(load_mxnet(locate("mxnet", str(mxnet_r18)))))
    assert found is not None
    assert found.architecture == spec("r18")
    assert [node.op_type for node in found.preprocessing] == ["Sub", "Mul"]
    assert set(found.eps().values()) == {2e-5}
    expected = seeded_arrays(spec("r18"))  # scale of ``features`` 1, where the file stores other numbers
    arrays = found.arrays()
    assert list(arrays) == list(expected)
    assert all(np.array_equal(arrays[name], expected[name]) for name in expected)


@pytest.mark.parametrize("name", BOTH)
def test_normalised_mxnet_graph_is_recognised(name, tmp_path, mxnet_module):
    from facecvt.converters.formats.locate import locate
    from facecvt.converters.formats.mxnet_model import load_mxnet
    from facecvt.converters.readers.from_mxnet import read_mxnet
    from facecvt.reference_models.recognise import recognise

    written = write_reference(name, "mxnet", tmp_path, normalize=True, embedding_size=64)
    found = recognise(read_mxnet(load_mxnet(locate("mxnet", str(written)))))
    assert found is not None
    assert found.architecture == spec(name, normalize=True, embedding_size=64)


def test_paddle_files_run_in_paddle(paddle_file):
    """In a process of its own: which dialect Paddle loads is decided before it is imported."""
    legacy = paddle_file.suffix == ".pdmodel"
    names = {path.name for path in paddle_file.parent.iterdir()}
    assert {paddle_file.name, "inference.pdiparams"} <= names
    assert ("inference.json" if legacy else "inference.pdmodel") not in names
    code = f"""
import os
os.environ["FLAGS_enable_pir_api"] = "{0 if legacy else 1}"
import numpy as np, paddle
from facecvt.reference_models import build, spec
from facecvt.reference_models.seeded import seeded_state
paddle.enable_static()
executor = paddle.static.Executor(paddle.CPUPlace())
program, feeds, fetches = paddle.static.load_inference_model({str(paddle_file.parent / "inference")!r}, executor)
assert feeds == ["x"], feeds
x = np.random.default_rng(0).uniform(-1, 1, (3, 3, 112, 112)).astype(np.float32)
(saved,) = executor.run(program, feed={{"x": x}}, fetch_list=fetches)
paddle.disable_static()
net = build("mobilefacenet", "paddle")
net.set_state_dict(seeded_state(spec("mobilefacenet"), "paddle"))
net.eval()
built = net(paddle.to_tensor(x)).numpy()
assert saved.shape == (3, 128)
assert np.abs(saved - built).max() < 1e-5 * np.abs(built).max(), np.abs(saved - built).max()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]


def test_saving_leaves_no_call_stacks_behind(tmp_path, paddle_module):
    """Paddle would keep one of every operator, of every net that a process saves."""
    from facecvt.reference_models.materialise_paddle import net_with, save_net

    arch = spec("blazeface_mediapipe_front")
    net = net_with(arch, seeded_state(arch, "paddle"))
    save_net(net, arch, tmp_path)  # what is made once
    assert not hasattr(sys, "tracebacklimit")
    gc.collect()
    before = sum(isinstance(each, traceback.FrameSummary) for each in gc.get_objects())
    save_net(net, arch, tmp_path)
    gc.collect()
    assert sum(isinstance(each, traceback.FrameSummary) for each in gc.get_objects()) <= before
    sys.tracebacklimit = 7
    try:
        save_net(net, arch, tmp_path)
        assert sys.tracebacklimit == 7
    finally:
        del sys.tracebacklimit


def test_paddle_graph_is_recognised(paddle_file):
    from facecvt.converters.formats.locate import locate
    from facecvt.converters.formats.paddle_model import load_paddle
    from facecvt.converters.readers.from_paddle import read_paddle
    from facecvt.reference_models.recognise import recognise

    found = recognise(read_paddle(load_paddle(locate("paddle", str(paddle_file)))))
    assert found is not None
    assert found.architecture == spec("mobilefacenet")
    expected, arrays = seeded_arrays(spec("mobilefacenet")), found.arrays()
    assert list(arrays) == list(expected)
    assert all(np.array_equal(arrays[name], expected[name]) for name in expected)


@pytest.mark.parametrize("name", BOTH)
def test_normalised_paddle_graph_is_recognised(name, tmp_path, paddle_module):
    """The fully connected layer, which Paddle stores the other way round, and Paddle's own way to normalise."""
    from facecvt.converters.formats.locate import locate
    from facecvt.converters.formats.paddle_model import load_paddle
    from facecvt.converters.readers.from_paddle import read_paddle
    from facecvt.reference_models.recognise import recognise

    written = write_reference(name, "paddle", tmp_path, seed=3, normalize=True)
    found = recognise(read_paddle(load_paddle(locate("paddle", str(written)))))
    assert found is not None
    assert found.architecture == spec(name, normalize=True)
    expected, state = seeded_state(spec(name), "torch", 3), found.state("torch")
    assert list(state) == list(expected)
    assert all(np.array_equal(state[key], expected[key]) for key in expected)


@pytest.mark.filterwarnings("ignore:.*constant folding:UserWarning")
@pytest.mark.parametrize("normalize", [False, True])
@pytest.mark.parametrize("name", BOTH)
def test_torch_export_is_recognised(name, normalize, tmp_path, torch_module):
    """What torch's own exporter writes; in PRESERVE mode it leaves BatchNormalization in place."""
    from facecvt.converters.readers.from_onnx import read_onnx
    from facecvt.reference_models.recognise import recognise

    net = build(name, "torch", normalize=normalize)
    state = seeded_state(spec(name), "torch")
    net.load_state_dict({key: torch_module.from_numpy(array) for key, array in state.items()})
    path = tmp_path / "net.onnx"
    x = torch_module.zeros(2, 3, 112, 112)
    preserve = torch_module.onnx.TrainingMode.PRESERVE
    torch_module.onnx.export(net.eval(), (x,), str(path), dynamo=False, training=preserve)
    found = recognise(read_onnx(path))
    assert found is not None
    assert found.architecture == spec(name, normalize=normalize)
    assert all(np.array_equal(array, state[key]) for key, array in found.state("torch").items())


def test_torch_weights_load_strictly(tmp_path, torch_module):
    path = write_reference("mobilefacenet", "torch", tmp_path / "new" / "folder", seed=1, embedding_size=512)
    assert path.name == "weights.pth"
    state = torch_module.load(path, weights_only=True)
    build("mobilefacenet", "torch", embedding_size=512).load_state_dict(state, strict=True)
    expected = seeded_state(spec("mobilefacenet", embedding_size=512), "torch", 1)
    assert all(np.array_equal(state[name].numpy(), expected[name]) for name in expected)


def test_refusals(tmp_path, monkeypatch):
    with pytest.raises(UsageError, match="legacy or pir"):
        write_reference("r18", "paddle", tmp_path, dialect="onnx")
    with pytest.raises(UsageError, match="no reference nets are written in 'onnx'"):
        write_reference("r18", "onnx", tmp_path)
    with pytest.raises(UsageError, match="Did you mean r18"):
        write_reference("r81", "mxnet", tmp_path)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    for framework in ("mxnet", "paddle"):
        with pytest.raises(FrameworkMissingError, match="pip install") as raised:
            write_reference("r18", framework, tmp_path / framework)
        assert raised.value.exit_code == 4
        assert not (tmp_path / framework).exists()


@pytest.mark.slow
def test_a_failing_export_says_what_paddle_said(tmp_path, paddle_module):
    (tmp_path / "inference.pdmodel").mkdir()  # a folder where the program is to be written
    with pytest.raises(ConversionError, match="could not write the reference model mobilefacenet"):
        write_reference("mobilefacenet", "paddle", tmp_path)

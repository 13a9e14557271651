"""Once around: a PyTorch state through MXNet, Paddle and ONNX and back is the same state, byte for byte.

Every step is verified on the way, in the runtime of its target. It is the strongest statement about weights that there
is: no layout, no BatchNorm form and no name may be lost in any of four writers and four readers.

Some nets have one listing under several names: fresnet18 is iresnet18 with another epsilon, which bare weights do not
tell. Such a state is read as the first of them and goes around as that; hence the graph is to have equal layers.
"""

from __future__ import annotations

import gc
import itertools
import shutil

import pytest

from facecvt.converters.formats.mapped import as_numpy
from facecvt.converters.formats.torch_state import read_state_dict
from facecvt.parity_tests.proven import convert_and_verify
from facecvt.parity_tests.verify import verify
from facecvt.reference_models import names, spec
from facecvt.reference_models.materialise import write_reference

AROUND = ("torch", "mxnet", "paddle", "onnx", "torch")
FAST = ("mobilefacenet", "blazeface_mediapipe_front")


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] * (name not in FAST)) for name in names()]
)
def test_a_state_comes_back_byte_for_byte(name, tmp_path, torch_module, paddle_module, mxnet_module, figure):
    start = write_reference(name, "torch", tmp_path / "start")
    model, layers = start, spec(name).layers()
    for step, (source, target) in enumerate(itertools.pairwise(AROUND)):
        output = tmp_path / (f"{step}.onnx" if target == "onnx" else f"{step}_{target}")
        conversion = convert_and_verify(str(model), source, target, output=output, verify=False).conversion
        found = verify(conversion, batches=(2,), kinds=("normal",))
        assert found.verdict == "agree", (source, target, found.reasons)
        assert all(found.layers), (source, target, [layer.name for layer in found.layers if not layer])
        assert conversion.recognised is not None, (source, target)
        assert spec(conversion.recognised).layers() == layers, (source, target, conversion.recognised)
        if model != start:
            remove(model)
        model = output
        del conversion, found
        gc.collect()  # a deep net of the step before and its float64 values, before the next is opened
    before, after = read_state_dict(start).tensors, read_state_dict(output / "weights.pth").tensors
    assert list(after) == list(before)
    for key, array in before.items():
        assert as_numpy(after[key]).tobytes() == as_numpy(array).tobytes(), key
    figure.total("tensors byte-identical once around", len(before))


def remove(model):
    """A model in between, so that a chain of a deep net takes the room of two on the disk."""
    if model.is_dir():
        shutil.rmtree(model)
    else:
        for path in model.parent.glob(f"{model.name}*"):  # a file beside it holds what is external
            path.unlink()

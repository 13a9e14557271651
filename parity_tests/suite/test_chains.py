"""Once around: a PyTorch state through MXNet, Paddle and ONNX and back is the same state, byte for byte.

Every step is verified on the way, in the runtime of its target. It is the strongest statement about weights that there
is: no layout, no BatchNorm form and no name may be lost in any of four writers and four readers.
"""

from __future__ import annotations

import itertools

import pytest

from facecvt.converters.formats.mapped import as_numpy
from facecvt.converters.formats.torch_state import read_state_dict
from facecvt.parity_tests.proven import convert_and_verify
from facecvt.parity_tests.verify import verify
from facecvt.reference_models.materialise import write_reference

AROUND = ("torch", "mxnet", "paddle", "onnx", "torch")
FAST = ("mobilefacenet",)
SLOW = (
    *("blazeface", "slimfacenet_a_x0_60", "mbf", "mobilefacenet_y1", "fmobilenet", "mobilenet_v1", "mobilenet_v2"),
    *("mobilenet_v3_small", "mobilenet_v3_se_bn_small", "resnet18", "resnet_std18", "iresnet18", "iresnet50"),
    *("adaface_ir18", "adaface_ir_se50", "fresresnet50"),
)


@pytest.mark.parametrize("name", [*FAST, *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW)])
def test_a_state_comes_back_byte_for_byte(name, tmp_path, torch_module, paddle_module, mxnet_module):
    start = write_reference(name, "torch", tmp_path / "start")
    model = start
    for step, (source, target) in enumerate(itertools.pairwise(AROUND)):
        output = tmp_path / (f"{step}.onnx" if target == "onnx" else f"{step}_{target}")
        conversion = convert_and_verify(str(model), source, target, output=output, verify=False).conversion
        found = verify(conversion, batches=(2,), kinds=("normal",))
        assert found.verdict == "agree", (source, target, found.reasons)
        assert all(found.layers), (source, target, [layer.name for layer in found.layers if not layer])
        assert conversion.recognised == name
        model = output
    before, after = read_state_dict(start).tensors, read_state_dict(output / "weights.pth").tensors
    assert list(after) == list(before)
    for key, array in before.items():
        assert as_numpy(after[key]).tobytes() == as_numpy(array).tobytes(), key

"""Real exporter graphs with computed shapes: PyTorch code without a single tensor of ints, and the same numbers."""

import numpy as np
import pytest

from facecvt.converters.readers.from_onnx import read_onnx
from facecvt.converters.writers.to_torch import write_torch
from facecvt.parity_tests.runtimes.runtime_ort import OrtRuntime
from facecvt.parity_tests.runtimes.runtime_torch import TorchRuntime

MODELS = {
    "ultra-light-face/version-RFB-320.onnx": ".reshape(",  # Shape, Gather, Unsqueeze, Concat, Reshape; Exp, Div, Slice
    "blazeface-paddledet-port/blazeface.onnx": "F.interpolate(",  # a Resize to a computed size
    "ppocr-v2-cls/PP_OCR_v2_cls.onnx": ".reshape(",  # Shape, Cast, Slice, Concat, Reshape
}


@pytest.mark.parametrize("name", MODELS)
def test_shape_arithmetic_is_plain_python(name, real_models, tmp_path, torch_module, ort_module):
    path = real_models / "onnx" / name
    graph = read_onnx(path)
    write_torch(graph, tmp_path / "model")
    text = (tmp_path / "model" / "model.py").read_text()
    assert MODELS[name] in text
    assert "torch.tensor(" not in text
    assert ".tolist()" not in text
    (value,) = graph.inputs
    shape = [dim if isinstance(dim, int) else 1 for dim in value.shape]
    feeds = {str(value.name): np.random.default_rng(0).standard_normal(shape).astype(np.float32)}
    with OrtRuntime(path) as source:
        expected = source.run(feeds).outputs
    with TorchRuntime(tmp_path / "model", [str(value.name)]) as target:
        found = target.run(feeds).outputs
    assert len(found) == len(expected) > 0
    for wanted, got in zip(expected.values(), found.values(), strict=True):
        assert got.shape == wanted.shape
        assert np.abs(got - wanted).max() <= 2e-5 * np.abs(wanted).max()

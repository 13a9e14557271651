"""Squeezes of an axis whose size is known at run time only, which PyTorch's exporter writes as branches."""

from __future__ import annotations

import numpy as np
import pytest

from facecvt.converters.errors import ConversionError
from facecvt.parity_tests.proven import convert_and_verify
from facecvt.parity_tests.runtimes.runtime_ort import OrtRuntime

SIZES = ((2, 3, 3), (2, 3, 9), (2, 9, 3), (1, 3, 3), (3, 7, 5))  # batch, height, width; a 3 becomes one pixel


def scripted(torch, path, body):
    """A TorchScript archive: a convolution that takes 2 pixels an axis away, then ``body`` on its result y."""
    torch.manual_seed(0)
    module = type("Net", (torch.nn.Module,), {})()  # a class of its own: scripts of one class share their methods
    module.conv = torch.nn.Conv2d(3, 4, 3)
    script = torch.jit.script(module)
    lines = "".join(f"    {line}\n" for line in body.splitlines())
    script.define(f"def forward(self, x):\n    y = self.conv(x)\n{lines}")
    torch.jit.save(script, str(path))
    return script


@pytest.mark.parametrize(
    "body",
    ["return y.squeeze(2)", "return y.squeeze(3)", "y = y.squeeze(2)\nreturn y.squeeze(2)", "return y.squeeze(0)"],
)
def test_what_goes_is_decided_at_run_time(body, tmp_path, torch_module, ort_module):
    torch = torch_module
    script = scripted(torch, tmp_path / "net.pt", body)
    proven = convert_and_verify(str(tmp_path / "net.pt"), "torch", "onnx", output=tmp_path / "net.onnx")
    assert proven.verification is not None
    assert proven.verification.verdict == "agree", proven.verification.reasons
    random = np.random.default_rng(0)
    shapes = set()
    with OrtRuntime(tmp_path / "net.onnx") as runtime:
        for batch, height, width in SIZES:
            x = random.standard_normal((batch, 3, height, width)).astype(np.float32)
            with torch.inference_mode():
                expected = script(torch.from_numpy(x)).numpy()
            (found,) = runtime.run({"x": x}).outputs.values()
            assert found.shape == expected.shape
            assert np.abs(found - expected).max() < 1e-5
            shapes.add(expected.ndim)
    assert len(shapes) == (3 if body.count("squeeze") == 2 else 2)


def test_another_branch_is_refused_with_what_to_do(tmp_path, torch_module):
    body = "if y.size(2) == 1:\n    y = y.flatten(1)\nreturn y"
    scripted(torch_module, tmp_path / "net.pt", body)
    with pytest.raises(ConversionError, match=r"decides while it runs.*--input NAME=batch,3,H,W.*torch\.jit\.trace"):
        convert_and_verify(str(tmp_path / "net.pt"), "torch", "onnx", output=tmp_path / "net.onnx")
    assert not (tmp_path / "net.onnx").exists()

"""The PyTorch writer: a standalone, trainable folder whose names are the source's, and code that reads well."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from facecvt.converters.graph import Builder, Graph
from facecvt.converters.onnx_ir_lazy import ir
from facecvt.converters.passes.input_shapes import describe_inputs
from facecvt.converters.passes.pipeline import run_passes
from facecvt.converters.torch_code import identifier, layer_name, safe_path
from facecvt.converters.writers.to_torch import write_torch

WINDOW = {"kernel_shape": [3, 3], "pads": [1] * 4, "strides": [1, 1], "dilations": [1, 1], "group": 1}


def network() -> Graph:
    """conv - bn - prelu with a shortcut over all three, then a mean over height and width."""
    rng = np.random.default_rng(0)
    builder = Builder("mxnet", "net")
    data = builder.input("data", ["batch", 4, 6, 6], ir.DataType.FLOAT)
    builder.begin("Convolution", "conv0")
    conv = builder.emit(
        "Conv", [data, builder.weight("conv0_weight", rng.normal(size=(4, 4, 3, 3)).astype("f"))], **WINDOW
    )
    builder.rename(conv, "conv0_output")
    builder.begin("BatchNorm", "bn0")
    parts = [builder.weight(f"bn0_{n}", rng.uniform(0.5, 1.5, 4).astype("f")) for n in ("gamma", "beta", "mean", "var")]
    norm = builder.emit("BatchNormalization", [conv, *parts], epsilon=2e-5)
    builder.rename(norm, "bn0_output")
    builder.begin("LeakyReLU", "relu0")
    slope = builder.reshaped(builder.weight("relu0_gamma", rng.uniform(0.1, 0.4, 4).astype("f")), (4, 1, 1))
    active = builder.emit("PRelu", [norm, slope])
    builder.rename(active, "relu0_output")
    builder.begin("elemwise_add", "_plus0")
    total = builder.emit("Add", [active, data])
    builder.rename(total, "_plus0_output")
    builder.output(total, "_plus0_output")
    describe_inputs(builder.graph)
    return run_passes(builder.graph)


def load(folder: Path):
    spec = importlib.util.spec_from_file_location("model", folder / "model.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def written(tmp_path, torch_module) -> Path:
    files, _ = write_torch(network(), tmp_path / "net", safetensors=True)
    assert [path.name for path in files] == ["model.py", "weights.pth", "weights.safetensors"]
    return tmp_path / "net"


def test_the_code_reads_as_a_person_would_write_it(written) -> None:
    source = (written / "model.py").read_text()
    for line in (
        "self.conv0 = nn.Conv2d(4, 4, 3, padding=1, bias=False)",
        "self.bn0 = nn.BatchNorm2d(4, eps=2e-05)",
        "self.relu0 = nn.PReLU(4)",
        "x = self.conv0(data)",
        "x = self.bn0(x)",
        "x = self.relu0(x)",
        "x = x + data",
        "return x",
    ):
        assert f"        {line}\n" in source
    assert "facecvt" not in source.partition('"""\n\n')[2]


def test_it_needs_torch_alone_and_loads_weights_only(written) -> None:
    script = (
        "import sys; sys.modules['facecvt'] = sys.modules['numpy.typing'] = None\n"
        "import torch, model\n"
        "state = torch.load('weights.pth', weights_only=True)\n"
        "net = model.load()\n"
        "assert not net.training and list(net.state_dict()) == list(state), list(state)\n"
        "print(net(torch.ones(2, 4, 6, 6)).shape)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=written, capture_output=True, text=True, check=False)
    assert done.stderr == ""
    assert "2, 4, 6, 6" in done.stdout


def test_both_weight_files_give_the_same_model(written, torch_module) -> None:
    pytest.importorskip("safetensors", reason="pip install safetensors")
    module = load(written)
    first, second = module.load(), module.load(written / "weights.safetensors")
    for name, value in first.state_dict().items():
        assert torch_module.equal(value, second.state_dict()[name]), name


def test_it_trains(written, torch_module) -> None:
    torch = torch_module
    net = load(written).load().train()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    optimiser = torch.optim.SGD(net.parameters(), lr=0.1)
    net(torch.randn(8, 4, 6, 6)).square().mean().backward()
    optimiser.step()
    changed = {name for name, value in net.state_dict().items() if not torch.equal(value, before[name])}
    assert changed == set(before)  # weights, slopes, scale and shift by the step; statistics and counter by the forward


def test_no_activation_outlives_its_last_use_under_another_name(written) -> None:
    body = (written / "model.py").read_text().partition("def forward")[2].partition("\n\ndef load")[0]
    assert "x2" not in body  # a chain with one shortcut to the input needs one local


@pytest.mark.parametrize(
    ("weight", "path"),
    [
        ("conv2d_47.w_0", "conv2d_47"),
        ("base_net.0.0.weight", "base_net.0.0"),
        ("conv1_weights", "conv1"),
        ("layer1.0.bn1.running_mean", "layer1.0.bn1"),
        ("594", "conv_594"),
        ("train.weight", "conv_train"),
        ("class", "conv_class"),
    ],
)
def test_layers_of_value_named_formats_are_called_after_their_weights(weight, path) -> None:
    node = ir.Node("", "Conv", [], num_outputs=1, name="Conv_0", metadata_props={"facecvt.source_name": "Conv_0"})
    assert layer_name("onnx", node, [ir.Value(name=weight)]) == path


def test_identifiers() -> None:
    assert identifier("input.1") == "input_1"
    assert identifier("0") == "v0"
    assert identifier("class") == "class_"
    assert safe_path("a/b:0", "Conv") == "a_b_0"

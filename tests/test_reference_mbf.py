"""MobileFaceNet in the form of arcface_torch and PLSC: what the shared tests do not ask of it."""

from __future__ import annotations

import numpy as np
import pytest

from facecvt.converters.formats.locate import locate
from facecvt.reference_models import build, spec
from facecvt.reference_models.materialise import write_reference
from facecvt.reference_models.seeded import seeded_arrays


def found_in(path, framework):
    """What the reader of a framework's files recognises."""
    from facecvt.converters.formats.mxnet_model import load_mxnet
    from facecvt.converters.formats.paddle_model import load_paddle
    from facecvt.converters.readers.from_mxnet import read_mxnet
    from facecvt.converters.readers.from_paddle import read_paddle
    from facecvt.reference_models.recognise import recognise

    files = locate(framework, str(path))
    return recognise(read_mxnet(load_mxnet(files)) if framework == "mxnet" else read_paddle(load_paddle(files)))


CASES = [
    ("mbf", {"scale": 1, "embedding_size": 128}),
    pytest.param("mbf", {"normalize": True}, marks=pytest.mark.slow),
    pytest.param("mbf_large", {}, marks=pytest.mark.slow),
    pytest.param("mbf_large", {"scale": 1}, marks=pytest.mark.slow),
]


@pytest.mark.parametrize(("name", "options"), CASES)
@pytest.mark.parametrize("framework", ["mxnet", "paddle"])
def test_written_models_are_recognised(name, options, framework, tmp_path, request):
    request.getfixturevalue(f"{framework}_module")
    arch = spec(name, **options)
    found = found_in(write_reference(name, framework, tmp_path, **options), framework)
    assert found is not None
    assert found.architecture == arch
    expected, arrays = seeded_arrays(arch), found.arrays()
    assert list(arrays) == list(expected)
    assert all(np.array_equal(arrays[key], expected[key]) for key in expected)


def test_inner_widths_do_not_grow_with_scale():
    """Only what lies between the units does; at scale 1 the stand-in of the first run is depthwise."""
    for scale in (1, 2, 4):
        convs = {layer.name: layer for layer in spec("mbf", scale=scale).layers() if layer.op == "Conv"}
        inner = [convs[f"layers.{index}.layers.1.layers.0"].parameter("weight").shape for index in (2, 4, 6)]
        assert inner == [(128, 1, 3, 3), (256, 1, 3, 3), (512, 1, 3, 3)]
        assert convs["layers.1.layers.0"].parameter("weight").shape == (64 * scale, scale, 3, 3)
        assert convs["conv_sep.layers.0"].parameter("weight").shape == (512, 128 * scale, 1, 1)
    assert [stage.channels for stage in spec("mbf", scale=1).stages] == [64, 64, 128, 128]


def test_autocast_leaves_a_cpu_result_alone(torch_module):
    """fp16 concerns CUDA only: on a CPU the values are the same, bit by bit."""
    from facecvt.reference_models.mbf.net_torch import MobileFaceNet

    plain = build("mbf", "torch", scale=1, embedding_size=32).eval()
    cast = MobileFaceNet(32, scale=1, fp16=True).eval()
    cast.load_state_dict(plain.state_dict(), strict=True)
    x = torch_module.rand(1, 3, 112, 112, generator=torch_module.Generator().manual_seed(0)) * 2 - 1
    with torch_module.no_grad():
        assert torch_module.equal(plain(x), cast(x))


def test_hyper_parameters_are_upstreams(torch_module, paddle_module):
    """What inference does not show: momentum and initial slopes."""
    for module in build("mbf", "torch", scale=1).modules():
        if isinstance(module, torch_module.nn.modules.batchnorm._BatchNorm):
            assert (module.momentum, module.eps, module.affine) == (0.1, 1e-5, True)
        elif isinstance(module, torch_module.nn.PReLU):
            assert bool((module.weight == 0.25).all())
    for layer in build("mbf", "paddle", scale=1).sublayers():
        if isinstance(layer, paddle_module.nn.layer.norm._BatchNormBase):
            assert (layer._momentum, layer._epsilon) == (0.9, 1e-5)
        elif isinstance(layer, paddle_module.nn.PReLU):
            assert bool((layer._weight.numpy() == 0.25).all())

"""InsightFace's fmobilefacenet: what the shared tests do not ask of it."""

from __future__ import annotations

import numpy as np
import pytest

from facecvt.converters.errors import UsageError
from facecvt.reference_models import build, resolve, spec
from facecvt.reference_models.materialise import write_reference
from facecvt.reference_models.mxnet_outputs import OUTPUTS, OUTPUTS_OF_2018
from facecvt.reference_models.seeded import seeded_arrays
from facecvt.reference_models.weights import state_entries

CASES = [
    ("mobilefacenet_y1", {}),
    pytest.param("fmobilefacenet", {"embedding_size": 128}, marks=pytest.mark.slow),
    pytest.param("fmobilefacenet", {"output": "J", "embedding_size": 64, "normalize": True}, marks=pytest.mark.slow),
    pytest.param("fmobilefacenet", {"output": "GDC", "embedding_size": 64}, marks=pytest.mark.slow),
    pytest.param("mobilefacenet_y2", {"output": "E"}, marks=pytest.mark.slow),
    ("fmobilefacenet", {"output": "GNAP", "embedding_size": 96}),
    *(
        pytest.param("fmobilefacenet", {"output": output, **options}, marks=pytest.mark.slow)
        for output, options in (
            ("Z", {}),
            ("F", {"embedding_size": 64}),
            ("H", {"embedding_size": 64}),
            ("GAP", {"embedding_size": 64}),
            ("SFC", {"embedding_size": 64}),
            ("GNAP", {"embedding_size": 512}),
            ("GNAP", {"embedding_size": 600}),
            ("A", {}),
            ("B", {"embedding_size": 64}),
            ("D", {"embedding_size": 64}),
        )
    ),
]


@pytest.mark.parametrize(("name", "options"), CASES)
def test_written_symbols_are_recognised(name, options, tmp_path, mxnet_module):
    from facecvt.converters.formats.locate import locate
    from facecvt.converters.formats.mxnet_model import load_mxnet
    from facecvt.converters.readers.from_mxnet import read_mxnet
    from facecvt.reference_models.recognise import recognise

    arch = spec(name, **options)
    written = write_reference(name, "mxnet", tmp_path, **options)
    found = recognise(read_mxnet(load_mxnet(locate("mxnet", str(written)))))
    assert found is not None
    if arch.options["output"] == "GDC" and arch.embedding_size == 64:
        # one net with two names: y1 is the default's blocks with output GDC
        assert found.architecture == spec("mobilefacenet_y1", embedding_size=64)
    else:
        assert found.architecture == arch
    eps = found.eps()
    assert {layer: eps[layer] for layer in eps if not layer.endswith("batchnorm")} == {
        layer.name: pytest.approx(2e-5) for layer in arch.layers() if layer.attributes.get("eps")
    }
    assert {np.float32(value) for layer, value in eps.items() if layer.endswith("batchnorm")} == {np.float32(1e-3)}
    expected, arrays = seeded_arrays(found.architecture), found.arrays()
    assert list(arrays) == list(expected)


def test_public_class_keeps_running_variances_where_eps_agree(tmp_path, mxnet_module):
    """Both eps are the class's own, so that nothing is compensated."""
    from facecvt.converters.formats.locate import locate
    from facecvt.converters.formats.mxnet_model import load_mxnet
    from facecvt.converters.readers.from_mxnet import read_mxnet
    from facecvt.reference_models.public_class import public_class

    graph = read_mxnet(load_mxnet(locate("mxnet", str(write_reference("mobilefacenet_y1", "mxnet", tmp_path)))))
    found = public_class(graph)
    assert found is not None
    state, arrays = found.state(graph), seeded_arrays(spec("mobilefacenet_y1"))
    assert np.array_equal(state["fc1.running_var"], arrays["fc1.variance"])
    assert np.array_equal(state["conv_1.batchnorm.running_var"], arrays["conv_1.batchnorm.variance"])


@pytest.mark.parametrize("output", [*OUTPUTS, *OUTPUTS_OF_2018])
@pytest.mark.parametrize(
    "size", [96, pytest.param(512, marks=pytest.mark.slow), pytest.param(600, marks=pytest.mark.slow)]
)
def test_outputs_have_one_state_in_listing_and_nets(output, size, torch_module, paddle_module):
    size = 512 if output in ("A", "AX", "Z") else size
    arch = spec("fmobilefacenet", output=output, embedding_size=size)
    for framework in ("torch", "paddle"):
        net = build("fmobilefacenet", framework, output=output, embedding_size=size)
        state = [(name, tuple(value.shape)) for name, value in net.state_dict().items()]
        assert state == [(entry.name, entry.shape) for entry in state_entries(arch, framework)]


def test_options_are_checked():
    with pytest.raises(UsageError, match="output cannot be 'Q'"):
        spec("fmobilefacenet", output="Q")
    with pytest.raises(UsageError, match="output A has the last map's 512 channels"):
        spec("fmobilefacenet", output="A", embedding_size=1024)
    with pytest.raises(UsageError, match="output Z is a map"):
        spec("fmobilefacenet", output="Z", normalize=True)
    assert spec("mobilefacenet_y1", output="A").embedding_size == 512
    with pytest.raises(UsageError, match="blocks cannot be"):
        spec("fmobilefacenet", blocks=(1, 2, 3))
    for typed in ("fmobilefacenet_y3", "fmobilefacenet2018_SFC", "fmobilefacenet_out_A"):
        with pytest.raises(UsageError, match="no reference architecture is called"):
            resolve(typed)
    assert resolve("fmobilefacenet2018_outDX_emb64").architecture.options["output"] == "DX"
    assert resolve("fmobilefacenet_y2_out_GNAP_emb1024").architecture.embedding_size == 1024
    assert spec("mobilefacenet_y2").parameter_count() == 1996288
    assert spec("fmobilefacenet").contracts["mxnet"].in_graph


def test_another_number_of_blocks_reaches_every_net(torch_module):
    arch = spec("fmobilefacenet", blocks=(3, 1, 2, 1), output="GDC", embedding_size=8)
    assert [stage.units for stage in arch.stages] == [3, 2, 3, 2]
    net = build("fmobilefacenet", "torch", blocks=(3, 1, 2, 1), output="GDC", embedding_size=8)
    assert list(net.state_dict()) == [entry.name for entry in state_entries(arch, "torch")]


def test_hyper_parameters_are_upstreams(torch_module, paddle_module):
    """What inference does not show: momentum, dropout and initial slopes; the scales that stay at 1."""
    net = build("fmobilefacenet", "torch")
    assert net.dropout.p == 0.4
    assert {m.momentum for m in net.modules() if isinstance(m, torch_module.nn.BatchNorm2d)} == {0.1}
    assert [name for name, parameter in net.named_parameters() if not parameter.requires_grad] == ["fc1.weight"]
    assert build("fmobilefacenet", "paddle", dropout=0.2).dropout.p == 0.2

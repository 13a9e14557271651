"""InsightFace's fmobilenet: what the shared tests do not ask of it."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from facecvt.converters.errors import UsageError
from facecvt.reference_models import build, spec
from facecvt.reference_models.materialise import write_reference
from facecvt.reference_models.mxnet_outputs import OUTPUTS, OUTPUTS_OF_2018
from facecvt.reference_models.naming import FRAMEWORKS
from facecvt.reference_models.seeded import seeded_arrays, seeded_state
from facecvt.reference_models.weights import exchange, state_entries

SMALL = {"multiplier": 0.5, "embedding_size": 32}
CASES = [
    {"output": "GDC"},
    pytest.param({"output": "E", "input_size": 224}, marks=pytest.mark.slow),
    pytest.param({"output": "J", "normalize": True, "multiplier": 0.25}, marks=pytest.mark.slow),
    {"output": "GNAP"},
    *(
        pytest.param({"output": output, **options}, marks=pytest.mark.slow)
        for output, options in (
            ("Z", {"embedding_size": 512}),
            ("F", {}),
            ("H", {}),
            ("GAP", {}),
            ("SFC", {"multiplier": 1.0}),
            ("GNAP", {"embedding_size": 600, "multiplier": 0.25}),
            ("A", {"embedding_size": 512}),
            ("B", {}),
            ("D", {}),
        )
    ),
]


@pytest.mark.parametrize("options", CASES)
def test_written_symbols_are_recognised(options, tmp_path, mxnet_module):
    from facecvt.converters.formats.locate import locate
    from facecvt.converters.formats.mxnet_model import load_mxnet
    from facecvt.converters.readers.from_mxnet import read_mxnet
    from facecvt.reference_models.recognise import recognise

    written = write_reference("fmobilenet", "mxnet", tmp_path, **SMALL | options)
    arch = spec("fmobilenet", **SMALL | options)
    found = recognise(read_mxnet(load_mxnet(locate("mxnet", str(written)))))
    assert found is not None
    assert found.architecture == arch
    expected, arrays = seeded_arrays(arch), found.arrays()
    assert all(np.array_equal(arrays[key], expected[key]) for key in expected), "a gamma that is fixed counts as 1"


@pytest.mark.parametrize("output", [*OUTPUTS, *OUTPUTS_OF_2018])
def test_outputs_have_one_state_in_listing_and_nets(output, torch_module, paddle_module):
    options = SMALL | ({"embedding_size": 512} if output in ("A", "AX", "Z") else {})
    arch = spec("fmobilenet", output=output, **options)
    for framework in ("torch", "paddle"):
        net = build("fmobilenet", framework, output=output, **options)
        state = [(name, tuple(value.shape)) for name, value in net.state_dict().items()]
        assert state == [(entry.name, entry.shape) for entry in state_entries(arch, framework)]


def test_exchange_and_back_is_byte_identical():
    arch = spec("fmobilenet", output="GDC", **SMALL)
    for source, target in itertools.permutations(FRAMEWORKS, 2):
        state = seeded_state(arch, source)
        back = exchange(exchange(state, source, target, arch), target, source, arch)
        assert list(back) == list(state)
        assert all(back[name].tobytes() == state[name].tobytes() for name in state)


def test_options_are_checked():
    with pytest.raises(UsageError, match="needs a last map of 512 channels, not 1024"):
        spec("fmobilenet", output="GNAP")
    with pytest.raises(UsageError, match="512 groups, which 256 channels cannot be split into"):
        spec("fmobilenet", output="GDC", multiplier=0.25)
    assert spec("fmobilenet", output="A", multiplier=0.25).embedding_size == 256
    with pytest.raises(UsageError, match="leaves no channels"):
        spec("fmobilenet", multiplier=0.01)
    assert spec("fmobilenet").contracts["mxnet"].in_graph
    assert spec("fmobilenet", input_size=224).contracts["torch"].shape == ("batch", 3, 224, 224)
    assert [stage.channels for stage in spec("fmobilenet", multiplier=0.5).stages] == [32, 64, 128, 256, 512]


@pytest.mark.parametrize("family", ["fmobilefacenet", "fmobilenet", "fresnet", "mbf"])
def test_text_of_the_class_imports_torch_itself(family):
    """The wrapper that is written behind the class in model.py uses the name ``torch``."""
    from importlib.resources import files

    text = files(f"facecvt.reference_models.{family}").joinpath("net_torch.py").read_text(encoding="utf-8")
    assert "\nimport torch\n" in text

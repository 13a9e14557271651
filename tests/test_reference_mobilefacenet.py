"""MobileFaceNet of FFC and arcface_paddle: its setting and its autocast."""

from __future__ import annotations

import numpy as np
import pytest

from facecvt.converters.errors import UsageError
from facecvt.reference_models import build, spec
from facecvt.reference_models.materialise import write_reference
from facecvt.reference_models.seeded import seeded_arrays
from facecvt.reference_models.weights import state_entries

SMALL = ((2, 16, 2, 2), (4, 24, 1, 2), (4, 24, 1, 2))


def test_autocast_covers_the_whole_forward_and_leaves_a_cpu_result_alone(torch_module, monkeypatch):
    """fp16 concerns CUDA only: on a CPU the values are the same, bit by bit."""
    plain = build("ffc_mobilefacenet", "torch", setting=SMALL).eval()
    cast = build("ffc_mobilefacenet", "torch", setting=SMALL, fp16=True).eval()
    cast.load_state_dict(plain.state_dict(), strict=True)
    x = torch_module.rand(1, 3, 112, 112, generator=torch_module.Generator().manual_seed(0)) * 2 - 1
    entered = []
    autocast, normalize = torch_module.autocast, torch_module.nn.functional.normalize

    class Watched(autocast):
        def __enter__(self):
            entered.append(["enter", self.device])
            return super().__enter__()

        def __exit__(self, *why):
            entered.append(["leave", self.device])
            return super().__exit__(*why)

    def watched_normalize(value):
        entered.append(["normalize", "cuda"])
        return normalize(value)

    with torch_module.no_grad():
        expected = plain(x)
        monkeypatch.setattr(torch_module, "autocast", Watched)
        monkeypatch.setattr(torch_module.nn.functional, "normalize", watched_normalize)
        assert torch_module.equal(cast(x), expected)
    assert entered == [["enter", "cuda"], ["normalize", "cuda"], ["leave", "cuda"]]
    assert cast.fp16
    assert not plain.fp16


@pytest.mark.parametrize("name", ["mobilefacenet", "mbf"])
@pytest.mark.parametrize("framework", ["paddle", "mxnet"])
def test_autocast_is_pytorchs_alone(name, framework, request):
    request.getfixturevalue(f"{framework}_module")
    with pytest.raises(UsageError, match="fp16 is an option of"):
        build(name, framework, fp16=True)


@pytest.mark.parametrize("framework", ["torch", "paddle", "mxnet"])
def test_a_setting_reaches_listing_and_net(framework, request):
    request.getfixturevalue(f"{framework}_module")
    arch = spec("mobilefacenet", setting=[list(row) for row in SMALL])
    assert arch.options["setting"] == SMALL
    assert [(stage.units, stage.channels, stage.size) for stage in arch.stages] == [
        (2, 16, 28),
        (1, 24, 14),
        (1, 24, 7),
    ]
    net = build("mobilefacenet", framework, setting=SMALL)
    if framework == "mxnet":
        shapes = net.infer_shape(data=(1, 3, 112, 112))[0]
        found = {name: shape for name, shape in zip(net.list_arguments(), shapes, strict=True) if name != "data"}
    else:
        found = {name: tuple(value.shape) for name, value in net.state_dict().items()}
    listed = {entry.name: entry.shape for entry in state_entries(arch, framework) if not entry.auxiliary}
    assert found == listed


def test_a_setting_has_to_end_at_seven():
    with pytest.raises(UsageError, match="14x14, it has to be 7x7"):
        spec("mobilefacenet", setting=SMALL[:2])
    with pytest.raises(UsageError, match="rows of expansion"):
        spec("mobilefacenet", setting=((2, 64, 5),))


@pytest.mark.parametrize("framework", ["mxnet", "paddle"])
def test_a_setting_is_recognised(framework, tmp_path, request):
    request.getfixturevalue(f"{framework}_module")
    from facecvt.converters.formats.locate import locate
    from facecvt.converters.formats.mxnet_model import load_mxnet
    from facecvt.converters.formats.paddle_model import load_paddle
    from facecvt.converters.readers.from_mxnet import read_mxnet
    from facecvt.converters.readers.from_paddle import read_paddle
    from facecvt.reference_models.recognise import recognise

    path = write_reference("mobilefacenet", framework, tmp_path, setting=SMALL, embedding_size=8)
    files = locate(framework, str(path))
    found = recognise(read_mxnet(load_mxnet(files)) if framework == "mxnet" else read_paddle(load_paddle(files)))
    assert found is not None
    assert found.architecture == spec("mobilefacenet", setting=SMALL, embedding_size=8)
    expected, arrays = seeded_arrays(found.architecture), found.arrays()
    assert all(np.array_equal(arrays[name], expected[name]) for name in expected)
    made = found.architecture
    from facecvt.reference_models.mobilefacenet.spec import torch_class

    assert torch_class(made).arguments == f"embedding_size=8, setting={SMALL}"

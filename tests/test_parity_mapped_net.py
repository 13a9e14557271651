"""The net that a PyTorch source is run in: on the state's own arrays, in two precisions, without a copy of them."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from facecvt.parity_tests.parity_report.values_on_disk import WeightsOnDisk
from facecvt.reference_models import names, spec
from facecvt.reference_models.naming import COUNTER
from facecvt.reference_models.seeded import seeded_arrays
from facecvt.reference_models.spec import families
from facecvt.reference_models.weights import from_canonical, state_entries

DTYPES = ("float32", "float64")


def arrays_on_disk(name, folder):
    return WeightsOnDisk(folder / "weights", seeded_arrays(spec(name), 3))


def plainly_loaded(torch, arch, arrays, dtype):
    """The same net as users make it: built, loaded, converted as a whole."""
    net = families()[arch.family].build(arch, "torch")
    state = from_canonical(arrays, "torch", arch)
    net.load_state_dict({name: torch.from_numpy(np.array(array)) for name, array in state.items()})
    return net.to(dtype).eval()


def outputs_of(torch, net, x):
    with torch.inference_mode():
        found = net(x)
    return [each.numpy() for each in (found if isinstance(found, (tuple, list)) else [found])]


@pytest.mark.parametrize(
    "name", ["mobilefacenet", "mobilenet_v3_small", "fresnet18", "resnet18", "mbf", "slimfacenet_a_x0_60"]
)
@pytest.mark.parametrize("dtype", DTYPES)
def test_it_gives_the_same_bits_as_a_net_that_is_loaded(name, dtype, tmp_path, torch_module):
    from facecvt.parity_tests.mapped_net_torch import net_on

    arch, arrays = spec(name), arrays_on_disk(name, tmp_path)
    shape = [1, *(each if isinstance(each, int) else 112 for each in arch.contracts["torch"].shape[1:])]
    x = np.random.default_rng(4).uniform(-1, 1, shape)
    fed = torch_module.from_numpy(x).to(getattr(torch_module, dtype))
    net = net_on(arch, arrays, fed.dtype)
    plain = plainly_loaded(torch_module, arch, arrays, fed.dtype)
    for _ in range(2):  # also once its weights have been given back
        found = outputs_of(torch_module, net, fed)
        expected = outputs_of(torch_module, plain, fed)
        assert [each.dtype.name for each in found] == [dtype] * len(expected)
        assert all(np.array_equal(one, other) for one, other in zip(found, expected, strict=True))


@pytest.mark.parametrize("dtype", DTYPES)
def test_its_weights_are_the_arrays_before_and_after_a_run(dtype, tmp_path, torch_module):
    from facecvt.parity_tests.mapped_net_torch import net_on

    arch, arrays = spec("mobilefacenet"), arrays_on_disk("mobilefacenet", tmp_path)
    net = net_on(arch, arrays, getattr(torch_module, dtype))

    def are_the_arrays():
        state = from_canonical(arrays, "torch", arch)
        return [
            np.shares_memory(tensor.numpy(), state[name])
            for name, tensor in net.state_dict().items()
            if not name.endswith(COUNTER)
        ]

    assert all(are_the_arrays())
    assert len(are_the_arrays()) > 200
    net(torch_module.zeros(1, 3, 112, 112, dtype=getattr(torch_module, dtype)))
    assert all(are_the_arrays())
    with pytest.raises(RuntimeError, match="channels"):
        net(torch_module.zeros(1, 5, 112, 112, dtype=getattr(torch_module, dtype)))
    assert all(are_the_arrays())


MEMORY = """
import sys
from pathlib import Path

import torch

from facecvt.parity_tests.mapped_net_torch import net_on
from facecvt.parity_tests.parity_report.values_on_disk import WeightsOnDisk
from facecvt.parity_tests.peak_memory import begin_peak, peak_mb, resident_mb
from facecvt.reference_models import spec
from facecvt.reference_models.seeded import seeded_arrays

arch = spec("iresnet50")
arrays = WeightsOnDisk(Path(sys.argv[1]) / "weights", seeded_arrays(arch, 0))
arrays.forget()
torch.set_num_threads(1)
dtype = getattr(torch, sys.argv[2])
torch.nn.Conv2d(3, 64, 3)(torch.zeros(1, 3, 112, 112))  # what PyTorch sets up once
begin_peak()
before = resident_mb()
net = net_on(arch, arrays, dtype)
built = peak_mb() - before
with torch.inference_mode():
    net(torch.zeros(1, 3, 112, 112, dtype=dtype))
print(built, peak_mb() - before)
"""


@pytest.mark.parametrize(("dtype", "most"), [("float32", 140), ("float64", 300)])
def test_it_holds_the_weights_of_one_module(dtype, most, tmp_path, torch_module):
    """174 MB of weights, 348 in float64; the greatest module has 51, and 103 more while it computes in float64."""
    done = subprocess.run(
        [sys.executable, "-c", MEMORY, str(tmp_path), dtype], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    built, run = map(float, done.stdout.split())
    assert built < 25
    assert run < most


@pytest.mark.parametrize("name", names())
def test_every_net_is_given_every_weight(name, torch_module):
    """Nothing of a net that was not drawn is left as it was allocated."""
    from facecvt.parity_tests.mapped_net_torch import undrawn_net

    arch = spec(name)
    net = undrawn_net(arch)
    told = {entry.name for entry in state_entries(arch, "torch")}
    kept = {
        name for name, _ in (*net.named_parameters(remove_duplicate=False), *net.named_buffers(remove_duplicate=False))
    }
    assert kept == told

"""What a float32 floor of a PyTorch state is measured with."""

from __future__ import annotations

import numpy as np

from facecvt.converters.formats.locate import locate
from facecvt.parity_tests.metrics import compare
from facecvt.parity_tests.source_torch import StateOracle, mean_in_order
from facecvt.reference_models.materialise import write_reference
from facecvt.reference_models.state_source import read_state


def values(oracle, x):
    return {name: value.copy() for name, value in oracle.walk({oracle.input_names[0]: x})}


def test_a_mean_is_added_up_in_order(torch_module):
    x = np.random.default_rng(0).uniform(0, 3, (2, 3, 56, 56)).astype(np.float32)
    expected = np.zeros((2, 3, 1, 1), np.float32)
    for row in range(56):
        for column in range(56):
            expected[..., 0, 0] += x[..., row, column]
    expected /= np.float32(56 * 56)
    fed = torch_module.from_numpy(x)
    found = mean_in_order(None, (fed,), fed.mean((2, 3), keepdim=True)).numpy()
    assert found.dtype == np.float32
    assert np.array_equal(found, expected)


def test_the_floor_of_a_mean_holds_for_frameworks_that_add_in_order(tmp_path, torch_module):
    """PyTorch adds in pairs; by that the mean of a 56 x 56 map would cost a tenth of what it costs Paddle."""
    path = write_reference("mobilenet_v3_small", "torch", tmp_path)
    model = read_state(locate("torch", path), "mobilenet_v3_small")
    x = np.random.default_rng(1).uniform(-1, 1, (1, 3, 224, 224)).astype(np.float32)
    pool = "features.1.block.1.avgpool"
    exact, single = (values(StateOracle(model, dtype), x)[pool] for dtype in (np.float64, np.float32))
    assert exact.shape == single.shape == (1, 16, 1, 1)
    assert exact.dtype == np.float64
    assert 5e-7 < compare(exact, single).rel_rmse < 5e-6

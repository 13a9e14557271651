"""Memory of mapped files, given back while arrays on them stay good."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from facecvt.converters.formats.mapped import MappedFile, MappedTensor, forget_view
from facecvt.parity_tests.peak_memory import resident_mb

ROWS, COLUMNS = 4096, 2048  # 32 MB of float32
BESIDE = 100  # bytes in front, so that it begins within a page


@pytest.fixture
def tensor(tmp_path: Path) -> MappedTensor:
    path = tmp_path / "weights"
    values = np.arange(ROWS * COLUMNS, dtype=np.float32)
    path.write_bytes(bytes(BESIDE) + values.tobytes() + bytes(BESIDE))
    return MappedTensor(MappedFile(path), BESIDE, values.dtype, (ROWS, COLUMNS))


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="what a process has in memory is told by Linux")
@pytest.mark.parametrize("view", ["whole", "transposed", "reshaped", "half"])
def test_what_a_view_has_in_memory_is_given_back(view: str, tensor: MappedTensor) -> None:
    whole = tensor.numpy()
    array = {"whole": whole, "transposed": whole.T, "reshaped": whole.reshape(-1), "half": whole[ROWS // 2 :]}[view]
    share = array.nbytes / whole.nbytes
    total = float(array.sum(dtype=np.float64))
    before = resident_mb()
    forget_view(array)
    assert before - resident_mb() == pytest.approx(share * whole.nbytes / 2**20, abs=1)
    assert float(array.sum(dtype=np.float64)) == total


def test_of_what_is_not_a_dense_view_on_a_file_nothing_is_forgotten(tensor: MappedTensor) -> None:
    columns = tensor.numpy()[:, ::2]
    before = float(columns.sum(dtype=np.float64)), resident_mb()
    for array in (columns, np.ones((8, 8)), np.frombuffer(bytes(64), np.float32), np.zeros(0)):
        forget_view(array)
    assert (float(columns.sum(dtype=np.float64)), resident_mb()) == (before[0], pytest.approx(before[1], abs=1))

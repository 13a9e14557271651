"""What is computed in one call is taken one value at a time: in order, with its errors, and no further than wanted."""

from __future__ import annotations

from pathlib import Path
from threading import enumerate as threads
from typing import Any

import numpy as np
import pytest

from facecvt.parity_tests.runtimes.in_turn import InTurn, outputs_first
from facecvt.parity_tests.runtimes.runtime import RunFailedError
from facecvt.parity_tests.runtimes.runtime_torch import TorchRuntime
from facecvt.parity_tests.streamed import HandOut, streamed

MODEL_PY = """
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)
        self.act = nn.ReLU()
        self.other = nn.ReLU()

    def forward(self, data):
        x = self.conv(data)
        y = self.act(x)
        z = self.other(y) - x
        z = self.other(z)
        return z.mean((2, 3))


def load():
    torch.manual_seed(0)
    return Net().eval()
"""


def line_of(text: str) -> str:
    return f"line:{MODEL_PY.splitlines().index(text) + 1}"


def alive() -> int:
    return sum(thread.name == "facecvt-streamed" for thread in threads())


def test_values_come_one_at_a_time_and_the_result_at_the_end() -> None:
    handed: list[int] = []

    def compute(hand_out: HandOut) -> str:
        for number in range(10):
            hand_out(str(number), np.full(3, number))
            handed.append(number)
        return "result"

    stream, taken, result = streamed(compute), [], None
    while result is None:
        try:
            name, array = next(stream)
        except StopIteration as end:
            result = end.value
        else:
            taken.append((name, array.tolist()))
            assert len(handed) <= len(taken) + 1  # one waits, and no other was computed
    assert result == "result"
    assert taken == [(str(number), [number] * 3) for number in range(10)]
    assert alive() == 0


def test_an_error_comes_where_it_happened() -> None:
    def compute(hand_out: HandOut) -> None:
        hand_out("first", np.zeros(1))
        raise KeyError("second")

    stream = streamed(compute)
    assert next(stream)[0] == "first"
    with pytest.raises(KeyError, match="second"):
        next(stream)
    assert alive() == 0


def test_what_nobody_takes_is_not_computed() -> None:
    handed = []

    def compute(hand_out: HandOut) -> None:
        for number in range(1000):
            handed.append(number)
            hand_out(str(number), np.zeros(1))

    stream = streamed(compute)
    next(stream)
    stream.close()
    assert len(handed) <= 3
    assert alive() == 0


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, torch_module: Any) -> Path:
    folder = tmp_path_factory.mktemp("streamed")
    (folder / "model.py").write_text(MODEL_PY)
    return folder


FED = {"data": np.random.RandomState(0).standard_normal((2, 3, 5, 5)).astype(np.float32)}


def test_pytorch_gives_the_bits_of_a_whole_run(folder: Path) -> None:
    taps = [line_of("        x = self.conv(data)"), "module:act", "input:act", line_of("        z = self.other(z)")]
    with TorchRuntime(folder, ["data"], ["mean"]) as runtime:
        assert outputs_first(runtime, [FED], 1 << 20) == [None]
        (outputs,) = outputs_first(runtime, [FED], 1 << 30)
        whole = runtime.run(FED, taps)
        untouched = type(runtime._model)
        taken = InTurn(runtime, FED, taps[::-1], outputs)
        assert np.array_equal(taken.outputs["mean"], whole.outputs["mean"])
        for tap in taps[::-1]:
            assert np.array_equal(taken.tap(tap), whole.taps[tap]), tap
        with pytest.raises(StopIteration):
            next(taken._values)  # type: ignore[call-overload]
        assert type(runtime._model) is untouched
    assert alive() == 0


def test_pytorch_tells_what_goes_wrong(folder: Path) -> None:
    with TorchRuntime(folder, ["data"], ["mean"]) as runtime:
        with pytest.raises(RunFailedError, match=r"cannot run .* on data \[2, 4, 5, 5\]"):
            list(runtime.walk({"data": np.zeros((2, 4, 5, 5), np.float32)}, ["module:conv"]))
        with pytest.raises(RunFailedError, match="no such submodule"):
            list(runtime.walk(FED, ["module:lost"]))
        with pytest.raises(RunFailedError, match="computes module:other more than once in a run"):
            list(runtime.walk(FED, ["module:other"]))
    assert alive() == 0

"""Paddle: legacy programs (``.pdmodel``, ``__model__``) and PIR programs (``inference.json``).

Each model runs in a process of its own, because the flag that chooses the dialect holds for a whole process; the
protocol is that of :mod:`facecvt.parity_tests.runtimes.worker_paddle`. A tap is a variable name of a legacy program, or
the name that the record of a PIR program gives a value.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from facecvt.converters.errors import FrameworkMissingError
from facecvt.parity_tests.framework_environment import framework_environment
from facecvt.parity_tests.runtimes.runtime import Capture, NumpyArray, RunFailedError, Runtime, named_outputs

PIP_COMMAND = "pip install paddlepaddle==3.3.1"
WORKER = "facecvt.parity_tests.runtimes.worker_paddle"
SECONDS_TO_END = 20
LAST_BYTES = 4000


class PaddleRuntime(Runtime):
    """A Paddle program with its weights on the CPU.

    Args:
        program: ``.pdmodel``, ``__model__`` or PIR ``.json``.
        weights: combined weights file, or the folder of separate ones (that of the program); None where there are none.
    """

    framework: ClassVar[str] = "paddle"

    def __init__(self, program: str | Path, weights: str | Path | None) -> None:
        super().__init__(str(program))
        self.program = Path(program)
        self.weights = None if weights is None else Path(weights)
        self._process: subprocess.Popen[str] | None = None
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._runs = 0

    def _open(self) -> None:
        if importlib.util.find_spec("paddle") is None:
            raise FrameworkMissingError("paddle", f"run {self.program}", PIP_COMMAND)
        pir = self.program.suffix == ".json"
        environment = {**framework_environment(), **os.environ, "FLAGS_enable_pir_api": "1" if pir else "0"}
        self._folder = tempfile.TemporaryDirectory(prefix="facecvt-paddle-")
        self._log = open(Path(self._folder.name) / "stderr.txt", "w+", encoding="utf-8")  # noqa: SIM115 - until _close
        self._process = subprocess.Popen(
            [sys.executable, "-m", WORKER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            env=environment,
            text=True,
            encoding="utf-8",
        )
        weights = None if self.weights is None else str(self.weights.absolute())
        program = str(self.program.absolute())
        answer = self._ask({"program": program, "weights": weights, "scratch": self._folder.name})
        self.input_names, self.output_names = answer["inputs"], answer["outputs"]

    def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        """One question to the process and its answer."""
        process = self._process
        assert process is not None
        assert process.stdin is not None
        assert process.stdout is not None
        line = ""
        with contextlib.suppress(BrokenPipeError):
            process.stdin.write(json.dumps(request) + "\n")
            process.stdin.flush()
            line = process.stdout.readline()
        if not line:
            process.wait(SECONDS_TO_END)
            self._log.seek(0)
            raise RunFailedError(
                f"the process that runs {self.model} in Paddle ended with code {process.returncode}: "
                f"{self._log.read()[-LAST_BYTES:].strip() or 'it said nothing'}"
            )
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise RunFailedError(f"paddle cannot run {self.model}: {answer['error']}")
        return answer

    def _run_impl(self, inputs: Mapping[str, NumpyArray], taps: Sequence[str]) -> Capture:
        assert self._folder is not None
        self._runs += 1
        feeds = Path(self._folder.name) / f"feeds{self._runs}.npz"
        result = Path(self._folder.name) / f"result{self._runs}.npz"
        np.savez(feeds, **{str(position): inputs[name] for position, name in enumerate(self.input_names)})
        self._ask({"feeds": str(feeds), "taps": list(taps), "result": str(result)})
        with np.load(result) as archive:
            arrays = {name: archive[name] for name in archive.files}
        feeds.unlink()
        result.unlink()
        outputs = [array for name, array in arrays.items() if name.startswith("output")]
        taken = [arrays[f"tap{position}"] for position in range(len(taps))]
        return Capture(named_outputs(self.output_names, outputs, self.model), dict(zip(taps, taken, strict=True)))

    def _close(self) -> None:
        if self._process is not None:
            with contextlib.suppress(BrokenPipeError):
                if self._process.stdin is not None:
                    self._process.stdin.close()
            try:
                self._process.wait(SECONDS_TO_END)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            if self._process.stdout is not None:
                self._process.stdout.close()
            self._process = None
        if self._folder is not None:
            self._log.close()
            self._folder.cleanup()
            self._folder = None

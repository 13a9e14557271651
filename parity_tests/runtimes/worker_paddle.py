"""The process that runs one Paddle model: ``python -m facecvt.parity_tests.runtimes.worker_paddle``.

Paddle reads a legacy program or a PIR program depending on ``FLAGS_enable_pir_api``, which is read when Paddle is
imported and holds for the whole process; so each model has a process of its own. It speaks JSON, one object a line:

    in   {"program": PATH, "weights": PATH | null, "scratch": PATH}
    out  {"inputs": [...], "outputs": [...]}
    in   {"feeds": PATH.npz, "taps": [...], "result": PATH.npz}
    out  {"result": PATH.npz}
    out  {"error": TEXT}                          instead of any answer; ends with the process only if it was the first

Arrays travel as ``.npz``: feeds as ``0``, ``1``, ... in the order of the inputs; results as ``output0``, ...,
``tap0``, ... in the order of outputs and taps. Paddle writes to stdout itself, so the protocol keeps the
process's own stdout for itself and points descriptor 1 at stderr. The process ends when its stdin does.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from facecvt.converters.formats.paddle_program import PaddleProgram, read_program


class Worker:
    """One loaded program.

    Args:
        program: the program file.
        weights: combined weights file, or the folder of separate ones; None where the program has none.
        scratch: folder for links, where Paddle wants the two files under one name.
    """

    def __init__(self, program: Path, weights: Path | None, scratch: Path) -> None:
        import paddle

        self.record: PaddleProgram = read_program(program)
        paddle.enable_static()
        self.executor = paddle.static.Executor(paddle.CPUPlace())
        if self.record.dialect == "pir":
            arguments: dict[str, Any] = {}
            prefix = str(program.with_suffix(""))
            if weights is not None and weights != program.with_suffix(".pdiparams"):
                prefix = _linked(program, weights, scratch)
        else:
            separate = weights is None or weights.is_dir()
            prefix = str(program.absolute().parent)
            arguments = {"model_filename": program.name, "params_filename": None}
            if separate and weights is not None and weights.absolute() != program.absolute().parent:
                raise ValueError(f"Paddle wants separate weights beside {program.name}, not in {weights}")
            if not separate:
                arguments["params_filename"] = os.path.relpath(str(weights), prefix)
        self._load: Callable[[], Any] = lambda: paddle.static.load_inference_model(prefix, self.executor, **arguments)
        self.program, self.feeds, self.fetches = self._load()
        self._tapped: Any = None

    def run(self, feeds: list[np.ndarray[Any, Any]], taps: list[str]) -> list[np.ndarray[Any, Any]]:
        """Outputs and then taps."""
        feed = dict(zip(self.feeds, feeds, strict=True))
        arrays = self.executor.run(self.program, feed=feed, fetch_list=list(self.fetches))
        if taps:
            if self._tapped is None:
                self._tapped = self._load()[0]
                self._find = self._pir_values() if self.record.dialect == "pir" else self._tapped.global_block().var
            wanted = [self._find(tap) for tap in taps]
            arrays = [*arrays, *self.executor.run(self._tapped, feed=feed, fetch_list=wanted)]
        return [np.asarray(array) for array in arrays]

    def _pir_values(self) -> Callable[[str], Any]:
        """Value of the loaded program by the name that the record gives it: operators correspond in order.

        The program's own fetch operators are removed: Paddle numbers fetched values by their place in the list that
        it is asked for, and the old ones would keep the numbers of the outputs.
        """
        block = self._tapped.global_block()
        skipped = {"builtin.parameter", "builtin.combine", "builtin.split", "builtin.slice", "pd_op.data"}
        loaded = []
        for op in list(block.ops):
            if op.name() == "pd_op.fetch":
                block.remove_op(op)
            elif op.name() not in skipped:
                loaded.append(op)
        types = [op.name().removeprefix("pd_op.").rstrip("_") for op in loaded]
        if types != [op.type for op in self.record.ops]:
            raise ValueError("Paddle's program has other operators than the file")
        values = {}
        for op, record in zip(loaded, self.record.ops, strict=True):
            for result, slot in enumerate(record.outputs.values()):
                if len(slot) == 1:  # lists are unpacked by operators of their own
                    values[slot[0]] = op.result(result)
        return values.__getitem__


def _linked(program: Path, weights: Path, scratch: Path) -> str:
    """Prefix of links to a program and weights whose names do not belong together."""
    (scratch / f"model{program.suffix}").symlink_to(program.absolute())
    (scratch / "model.pdiparams").symlink_to(weights.absolute())
    return str(scratch / "model")


def serve(requests: TextIO, answers: TextIO) -> None:
    """Answer requests until there are none."""
    worker: Worker | None = None
    for line in requests:
        request = json.loads(line)
        try:
            if worker is None:
                weights = request["weights"]
                weights = None if weights is None else Path(weights)
                worker = Worker(Path(request["program"]), weights, Path(request["scratch"]))
                answer: dict[str, Any] = {"inputs": list(worker.feeds), "outputs": worker.record.outputs}
            else:
                with np.load(request["feeds"]) as archive:
                    feeds = [archive[str(position)] for position in range(len(archive.files))]
                arrays = worker.run(feeds, request["taps"])
                count = len(worker.fetches)
                names = [f"output{i}" for i in range(count)] + [f"tap{i}" for i in range(len(arrays) - count)]
                np.savez(request["result"], **dict(zip(names, arrays, strict=True)))
                answer = {"result": request["result"]}
        except Exception as error:  # it goes to the process that asked
            answer = {"error": f"{type(error).__name__}: {error}"}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


if __name__ == "__main__":
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as own_stdout:
        os.dup2(2, 1)
        serve(sys.stdin, own_stdout)

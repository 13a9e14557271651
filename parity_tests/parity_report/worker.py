"""The process that runs architectures for ``facecvt parity``: ``python -m facecvt.parity_tests.parity_report.worker``.

One thread computes in it, so that its figures depend neither on the number of cores nor on that of the processes, and
the frameworks are loaded once for many architectures. It speaks JSON, one object a line:

    in   {"patterns": [...], "frameworks": [...], "quick": bool, "seed": N, "shard": null}     one architecture
    out  {"result": the document of parity.json, "resident_mb": MB that the process has now,
          "shared_mb": MB of it that are other processes' as well: libraries}
    out  {"error": TEXT}                                                                      a bug in facecvt

An argument names the folder for the layers at fault. What the frameworks write to stdout goes to stderr. The process
ends when its stdin does.
"""

from __future__ import annotations

import gc
import json
import os
import signal
import sys
import tempfile
import traceback
from functools import partial
from pathlib import Path
from typing import Any, TextIO

from facecvt.parity_tests.memory import give_back_memory
from facecvt.parity_tests.parity_report.architecture import run_architecture
from facecvt.parity_tests.parity_report.result import Settings
from facecvt.parity_tests.parity_report.result_json import document_of
from facecvt.parity_tests.parity_report.suite import Runner, parity
from facecvt.parity_tests.peak_memory import resident_mb, shared_mb


def serve(requests: TextIO, answers: TextIO, repro: Path | None = None) -> None:
    """Answer requests until there are none."""
    with tempfile.TemporaryDirectory(prefix="facecvt-scratch-") as scratch:
        _serve(requests, answers, partial(run_architecture, scratch=Path(scratch)), repro)


def _serve(requests: TextIO, answers: TextIO, runner: Runner, repro: Path | None) -> None:
    for line in requests:
        request = json.loads(line)
        given: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in request.items()}
        settings = Settings(**given)
        try:
            answer: dict[str, Any] = {"result": document_of(parity(settings, runner=runner, repro=repro))}
            give_back_memory()
            answer |= {"resident_mb": resident_mb(), "shared_mb": shared_mb()}
        except Exception:  # it goes to the process that asked
            answer = {"error": traceback.format_exc()}
        gc.freeze()  # what the frameworks keep needs no second look
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


if __name__ == "__main__":
    gc.disable()  # what cycles hold is dropped where memory is given back, between two stages
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as own_stdout:
        os.dup2(2, 1)
        serve(sys.stdin, own_stdout, Path(sys.argv[1]) if sys.argv[1:] else None)

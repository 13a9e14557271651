"""Runs legacy Paddle programs and saves every value that they compute; in a process of its own.

    python oracle_paddle_layers.py FOLDER NAME...

Reads FOLDER/NAME.pdmodel, NAME.pdiparams and NAME.feed.npz, writes NAME.found.npz: one array for each variable that an
operator writes and that still holds its value at the end.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np

# Output slots that hold nothing at inference, or what a weight holds.
PLACEHOLDERS = {"XShape", "Mask", "MeanOut", "VarianceOut", "SavedMean", "SavedVariance", "ReserveSpace"}


def main() -> None:
    folder, names = Path(sys.argv[1]), sys.argv[2:]
    os.environ["FLAGS_enable_pir_api"] = "0"  # noqa: SIM112 - Paddle's own name
    os.environ["GLOG_minloglevel"] = "3"  # noqa: SIM112 - glog's own name
    import paddle

    paddle.enable_static()
    executor = paddle.static.Executor(paddle.CPUPlace())
    for name in names:
        with paddle.static.scope_guard(paddle.static.Scope()):
            program, _, fetched = paddle.static.load_inference_model(str(folder / name), executor)
            feeds = dict(np.load(folder / f"{name}.feed.npz"))
            block = program.global_block()
            written = [
                variable
                for op in block.ops
                if op.type not in ("feed", "fetch")
                for slot in op.output_names
                if slot not in PLACEHOLDERS
                for variable in op.output(slot)
            ]
            wanted = list(dict.fromkeys([*written, *(variable.name for variable in fetched)]))
            found = dict(zip(wanted, executor.run(program, feed=feeds, fetch_list=wanted), strict=True))
            np.savez(folder / f"{name}.found.npz", **found)


if __name__ == "__main__":
    main()

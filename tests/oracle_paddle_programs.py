"""Builds one small program for each case of the Paddle oracle's tests, runs it with Paddle, and saves both.

    python oracle_paddle_programs.py FOLDER legacy|pir

The dialect must be chosen before Paddle is imported, for the whole process, so the tests run this file twice. For each
case it writes FOLDER/<n>.pdmodel or .json, FOLDER/<n>.pdiparams where there are weights, FOLDER/<n>.npz (feeds and
what Paddle computed) and at the end FOLDER/cases.json. Data are float64 wherever Paddle has that kernel.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import numpy as np
import oracle_paddle_cases as cases
import oracle_paddle_legacy_cases as legacy_cases


def define_cases(p) -> None:
    """All cases; ``p`` is the paddle module."""
    f = p.nn.functional
    cases.define_convolutions(f)
    cases.define_pooling(p, f)
    cases.define_normalisations(p, f)
    cases.define_activations(p, f)
    cases.define_arithmetic(p, f)
    cases.define_shapes(p, f)
    cases.define_detection(p)
    legacy_cases.define_more_pir(p)
    legacy_cases.define_raw_functions()
    legacy_cases.define_legacy_operators()


def main() -> None:
    folder, dialect = Path(sys.argv[1]), sys.argv[2]
    os.environ["FLAGS_enable_pir_api"] = "1" if dialect == "pir" else "0"  # noqa: SIM112 - Paddle's own name
    os.environ["GLOG_minloglevel"] = "3"  # noqa: SIM112 - glog's own name
    import paddle

    paddle.enable_static()
    paddle.set_default_dtype("float64")
    define_cases(paddle)
    executor = paddle.static.Executor(paddle.CPUPlace())
    index: dict[str, str] = {}
    failures: dict[str, str] = {}
    for number, (name, (where, build)) in enumerate(cases.CASES.items()):
        if where not in ("both", dialect):
            continue
        program, startup = paddle.static.Program(), paddle.static.Program()
        scope = paddle.static.Scope()
        try:
            with (
                paddle.static.program_guard(program, startup),
                paddle.static.scope_guard(scope),
                paddle.utils.unique_name.guard(),
            ):
                builder = cases.Builder(paddle, name, dialect)
                results = build(builder)
                results = list(results) if isinstance(results, (list, tuple)) else [results]
                executor.run(startup)
                found = executor.run(program, feed=builder.feeds, fetch_list=results)
                paddle.static.save_inference_model(
                    str(folder / f"{number}"), builder.inputs, results, executor, program=program
                )
        except Exception as error:
            failures[name] = f"{type(error).__name__}: {str(error)[-600:]}"
            continue
        arrays = {f"feed_{key}": value for key, value in builder.feeds.items()}
        arrays |= {f"found_{position}": value for position, value in enumerate(found)}
        np.savez(folder / f"{number}.npz", **arrays)
        index[name] = str(number)
    (folder / "cases.json").write_text(json.dumps({"cases": index, "failures": failures}))


if __name__ == "__main__":
    main()

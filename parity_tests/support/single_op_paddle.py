"""The process that makes and runs one-operator Paddle programs.

    python -m facecvt.parity_tests.support.single_op_paddle

Paddle decides at import, by ``FLAGS_enable_pir_api``, which dialect it writes, so each dialect has a process; the one
process makes many programs, since starting Paddle takes seconds. It speaks JSON, one object a line:

    in   {"folder": PATH, "data": [NAMES], "shapes": {NAME: [...]}, "expression": TEXT}
    in   {..., "op": TYPE, "slots": {SLOT: [NAMES]}, "attrs": {...}, "outputs": [SLOTS]} instead of an expression
    in   {"folder": PATH, "program": NAME, "weights": NAME or null}
    out  {"outputs": COUNT} or {"error": TEXT}

The folder holds ``arrays.npz``; arrays named in ``data`` are inputs, all others become parameters. An expression is
Python over them with ``paddle``, ``F`` and ``np``; its value is the output or a tuple of them. ``op`` makes one legacy
operator with exactly these attributes. Written there: ``model.pdmodel`` or ``model.json``, ``model.pdiparams`` where
there are parameters, and ``expected.npz`` with what Paddle computes from the saved files. A request with a ``program``
runs one that lies there, on the arrays of its inputs' names, and writes ``expected.npz`` alone.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any, TextIO

import numpy as np


def make_and_run(request: dict[str, Any]) -> int:
    """Serve one request; returns the number of outputs."""
    import paddle

    folder = Path(request["folder"])
    with np.load(folder / "arrays.npz") as archive:
        arrays = {name: archive[name] for name in archive.files}
    main, startup = paddle.static.Program(), paddle.static.Program()
    executor = paddle.static.Executor(paddle.CPUPlace())
    with (
        paddle.static.scope_guard(paddle.static.Scope()),
        paddle.static.program_guard(main, startup),
        paddle.utils.unique_name.guard(),
    ):
        values = {name: declare(paddle, name, array, request) for name, array in arrays.items()}
        if "op" in request:
            outputs = append_op(paddle, main, values, request)
        else:
            names = {"paddle": paddle, "F": paddle.nn.functional, "np": np, **values}
            result = eval(request["expression"], names)  # the tests' own text
            outputs = list(result) if isinstance(result, (list, tuple)) else [result]
        executor.run(startup)
        prefix = str(folder / "model")
        inputs = [values[name] for name in request["data"]]
        paddle.static.save_inference_model(prefix, inputs, outputs, executor, program=main)
    with paddle.static.scope_guard(paddle.static.Scope()):
        program, feeds, fetches = paddle.static.load_inference_model(prefix, executor)
        found = executor.run(program, feed={name: arrays[name] for name in feeds}, fetch_list=fetches)
    np.savez(folder / "expected.npz", **{str(index): np.asarray(array) for index, array in enumerate(found)})
    return len(outputs)


def run_program(request: dict[str, Any]) -> int:
    """Run a program that is there; returns the number of outputs."""
    import paddle

    folder = Path(request["folder"])
    with np.load(folder / "arrays.npz") as archive:
        arrays = {name: archive[name] for name in archive.files}
    executor = paddle.static.Executor(paddle.CPUPlace())
    names = {"model_filename": request["program"], "params_filename": request["weights"]}
    with paddle.static.scope_guard(paddle.static.Scope()):
        program, feeds, fetches = paddle.static.load_inference_model(str(folder), executor, **names)
        found = executor.run(program, feed={name: arrays[name] for name in feeds}, fetch_list=fetches)
    np.savez(folder / "expected.npz", **{str(index): np.asarray(array) for index, array in enumerate(found)})
    return len(found)


def declare(paddle: Any, name: str, array: np.ndarray[Any, Any], request: dict[str, Any]) -> Any:
    """An input or a parameter of the program that is being built."""
    if name in request["data"]:
        return paddle.static.data(name, request["shapes"].get(name, list(array.shape)), str(array.dtype))
    initial = paddle.nn.initializer.Assign(array)
    return paddle.static.create_parameter(list(array.shape), str(array.dtype), name=name, default_initializer=initial)


def append_op(paddle: Any, main: Any, values: dict[str, Any], request: dict[str, Any]) -> list[Any]:
    """One legacy operator as it is described, attribute by attribute."""
    block = main.global_block()
    outputs = {slot: block.create_var(name=f"result_{slot}", dtype="float32") for slot in request["outputs"]}
    block.append_op(
        type=request["op"],
        inputs={slot: [values[name] for name in names] for slot, names in request["slots"].items()},
        outputs={slot: [value] for slot, value in outputs.items()},
        attrs=request["attrs"],
    )
    return [outputs[request["outputs"][0]]]


def serve(requests: TextIO, answers: TextIO) -> None:
    """Answer requests until there are none."""
    for line in requests:
        try:
            request = json.loads(line)
            serve_one = run_program if "program" in request else make_and_run
            answer: dict[str, Any] = {"outputs": serve_one(request)}
        except Exception as error:  # it goes to the process that asked
            answer = {"error": f"{type(error).__name__}: {error}"}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


if __name__ == "__main__":
    own_stdout = os.fdopen(os.dup(1), "w")  # Paddle writes to descriptor 1 itself
    os.dup2(2, 1)
    import paddle

    paddle.enable_static()
    own_stdout.write("{}\n")
    own_stdout.flush()
    serve(sys.stdin, own_stdout)

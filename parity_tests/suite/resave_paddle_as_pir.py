"""Has the installed Paddle save legacy programs again in its own newer form, PIR JSON and combined weights.

Call: ``python resave_paddle_as_pir.py FOLDER PROGRAM WEIGHTS NAME [PROGRAM WEIGHTS NAME ...]``; WEIGHTS is ``-`` for a
file per variable beside the program. Writes ``FOLDER/NAME.json`` and ``FOLDER/NAME.pdiparams``. A process of its own,
because the flag that lets Paddle read a legacy program holds for the whole process.

Paddle translates programs itself (``translate_to_pir``), but not quite alone. It wants attributes that operators had
not yet when these programs were written; ``check_attrs`` fills in their defaults. It no longer knows flatten2, which
with axis 1 is flatten_contiguous_range from axis 1. And it leaves the feed operators, which ``paddle.static.data``
replaces, as Paddle's own loader does it.
"""

import os
import sys

os.environ["FLAGS_enable_pir_api"] = "0"  # noqa: SIM112 - its real name

import paddle
from paddle.static.pir_io import save_inference_model_pir


def resave(program_path, weights_path, prefix, executor):
    folder, file = os.path.split(program_path)
    weights = None if weights_path == "-" else os.path.basename(weights_path)
    legacy, _, _ = paddle.static.load_inference_model(folder, executor, model_filename=file, params_filename=weights)
    for op in legacy.global_block().ops:
        if op.type == "flatten2" and op.attr("axis") == 1:
            op.desc.set_type("flatten_contiguous_range")
            op._set_attr("start_axis", 1)
            op._set_attr("stop_axis", -1)
        op.desc.check_attrs()
    program = paddle.pir.translate_to_pir(legacy.desc)
    with paddle.pir_utils.IrGuard():
        paddle.enable_static()
        block = program.global_block()
        feeds = []
        for op in [op for op in block.ops if op.name() == "pd_op.feed"]:
            old = op.result(0)
            with block:
                new = paddle.static.data(name=op.attrs()["name"], shape=old.shape, dtype=old.dtype)
            old.replace_all_uses_with(new)
            new.get_defining_op().move_before(op)
            block.remove_op(op)
            feeds.append(new)
        fetches = [op.operand_source(0) for op in block.ops if op.name() == "pd_op.fetch"]
        save_inference_model_pir(prefix, feeds, fetches, executor, program=program)


def main():
    folder, *rest = sys.argv[1:]
    paddle.enable_static()
    executor = paddle.static.Executor(paddle.CPUPlace())
    for program, weights, name in zip(rest[::3], rest[1::3], rest[2::3], strict=True):
        with paddle.static.scope_guard(paddle.static.Scope()):
            resave(program, weights, os.path.join(folder, name), executor)


main()

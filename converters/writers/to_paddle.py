"""Canonical graph -> a folder with ``NAME.pdmodel`` and ``NAME.pdiparams``, as Paddle's own inference models are.

The program is a legacy one, which Paddle 1.x to 3.3.1 read; neither Paddle nor protobuf is needed to write it.
Variables bear the source's names, weights keep their bytes (copied from file to file where they lie in one) but where
Paddle holds them in another form: a matrix (out, in) is turned to (in, out), a slope (C,1,1) is (C,). For a recognised
architecture there is ``NAME.pdparams`` besides: the state_dict of the public Paddle class, for ``set_state_dict``.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from facecvt.converters.conversion import Architecture
from facecvt.converters.errors import UnsupportedOperatorsError
from facecvt.converters.formats.atomic import atomic_folder
from facecvt.converters.formats.mapped import Array
from facecvt.converters.formats.paddle_params import write_combined
from facecvt.converters.formats.paddle_program import PaddleOp, PaddleProgram
from facecvt.converters.formats.paddle_program_writer import encode_program
from facecvt.converters.formats.paddle_state import write_pdparams
from facecvt.converters.graph import Graph
from facecvt.converters.ops.registry import rule_for
from facecvt.converters.paddle_nodes import PaddleNodes
from facecvt.converters.targets import WriteOptions, Written


def write_target(graph: Graph, folder: Path, options: WriteOptions) -> Written:
    """:func:`write_paddle`, as :mod:`facecvt.converters.targets` calls it."""
    return write_paddle(graph, folder, architecture=options.architecture)


def write_paddle(graph: Graph, folder: str | Path, *, architecture: Architecture | None = None) -> Written:
    """Write the folder.

    Args:
        graph: canonical graph; not changed.
        folder: target; replaced whole if it exists.
        architecture: the recognised architecture, whose public Paddle class gets its state_dict as ``NAME.pdparams``.

    Returns:
        The files (program, weights where there are any, state_dict where it is wanted), and the variable of every
        canonical value.

    Raises:
        UnsupportedOperatorsError: operators without a Paddle form, all of them; nothing was written.
        ConversionError: a node that Paddle cannot express; nothing was written.
        WeightsError: the public class has another eps, which the variances cannot make up for; nothing was written.
    """
    folder = Path(folder)
    program, params, taps = paddle_program(graph)
    content, name = encode_program(program), file_stem(graph.name)
    state = {} if architecture is None else architecture.state(graph, "paddle")
    with atomic_folder(folder) as temporary:
        (temporary / f"{name}.pdmodel").write_bytes(content)
        if params:
            write_combined(temporary / f"{name}.pdiparams", params)
        if state:
            write_pdparams(temporary / f"{name}.pdparams", state)
    present = {".pdmodel": True, ".pdiparams": bool(params), ".pdparams": bool(state)}
    return Written([folder / f"{name}{suffix}" for suffix, there in present.items() if there], taps)


def paddle_program(graph: Graph) -> tuple[PaddleProgram, Mapping[str, Array], dict[str, str]]:
    """(program, weights by name, canonical value -> variable) of a graph."""
    unsupported: dict[str, list[str]] = {}
    for node in graph.body:
        if rule_for("to_paddle", node.op_type) is None:
            unsupported.setdefault(node.op_type, []).append(node.name or "")
    if unsupported:
        raise UnsupportedOperatorsError(f"{graph.name} (to Paddle)", unsupported)
    nodes = PaddleNodes(graph)
    for value in graph.inputs:
        nodes.declare(value)
    for node in graph.body:
        rule = rule_for("to_paddle", node.op_type)
        if rule is None:
            raise UnsupportedOperatorsError(f"{graph.name} (to Paddle)", {node.op_type: [node.name or ""]})
        nodes.begin(node)
        rule(node, nodes)
    whole = nodes.program()
    program = without_unused(whole)
    params = {name: array for name, array in nodes.params.items() if name in program.vars}
    fed = set(program.inputs)
    taps = {value: name for value, name in nodes.taps.items() if name in program.vars and name not in fed}
    return program, params, taps


def without_unused(program: PaddleProgram) -> PaddleProgram:
    """The program without what no output needs, such as the shape of a tensor that is squeezed."""
    needed = set(program.outputs)
    ops: list[PaddleOp] = []
    for op in reversed(program.ops):
        if any(name in needed for names in op.outputs.values() for name in names):
            ops.append(op)
            needed.update(name for names in op.inputs.values() for name in names)
    kept = set(program.inputs) | set(program.outputs)
    kept |= {name for op in ops for slots in (op.inputs, op.outputs) for names in slots.values() for name in names}
    return PaddleProgram(
        program.dialect,
        ops[::-1],
        {name: variable for name, variable in program.vars.items() if name in kept},
        program.inputs,
        program.outputs,
        [name for name in program.parameters if name in kept],
        program.version,
    )


def file_stem(name: str) -> str:
    """A model's name as the stem of its files, whose names Paddle tells apart by their suffix alone."""
    return name.replace("/", "_").replace("\\", "_") or "model"

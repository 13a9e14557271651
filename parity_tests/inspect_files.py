"""What a model is made of: inputs and their contract, outputs, layers, weights, operators, and what would not convert.

A model that cannot be converted is still described, as far as its files go: the record of its format always gives
operators and weights; shapes, contracts and the architecture need the canonical graph. A weights file alone gives its
arrays.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from facecvt.converters.errors import ConversionError, FacecvtError, UsageError, WeightsError
from facecvt.converters.formats.archives import archive_stem
from facecvt.converters.formats.detect import detect
from facecvt.converters.formats.locate import (
    Framework,
    MxnetFiles,
    OnnxFiles,
    PaddleFiles,
    TorchFiles,
    locate,
    located,
)
from facecvt.converters.formats.mapped import Array
from facecvt.parity_tests.inspection import Inspection, LayerFact, OperatorFact, WeightFact

if TYPE_CHECKING:
    from facecvt.converters.formats.mxnet_symbol import MxnetSymbol
    from facecvt.converters.graph import Graph


def inspect_model(spelling: str, *, framework: Framework | None = None, epoch: int | None = None) -> Inspection:
    """Describe a model.

    Args:
        spelling: any path that a conversion takes, or a weights file alone.
        framework: whose model it is; found out where it is not given.
        epoch: MXNet only: which weights, where several lie there.

    Raises:
        UsageError: nothing of that name, or a name that leaves open what is meant.
        ConversionError: the files are damaged.
    """
    whose: Framework = framework or detect(spelling)
    if whose == "mxnet" and _is_weights_alone(spelling, epoch):
        return _mxnet_weights(Path(spelling).expanduser())
    if whose == "mxnet" and Path(spelling).suffix == ".json":
        try:
            locate(whose, spelling, epoch=epoch)
        except WeightsError as error:
            return _mxnet_symbol(Path(spelling).expanduser(), str(error))
    with located(whose, spelling, epoch=epoch) as files:
        if isinstance(files, MxnetFiles):
            return _mxnet_model(files)
        if isinstance(files, PaddleFiles):
            return _paddle_model(files) if files.program is not None else _paddle_weights(files)
        if isinstance(files, OnnxFiles):
            return _onnx_model(files)
        return _torch_weights(files)


def _is_weights_alone(spelling: str, epoch: int | None) -> bool:
    path = Path(spelling).expanduser()
    if not path.is_file() or path.suffix == ".json" or archive_stem(path) is not None:
        return False
    try:
        with located("mxnet", path, epoch=epoch):
            return False
    except UsageError:
        return True


def _mxnet_model(files: MxnetFiles) -> Inspection:
    from facecvt.converters.formats.mxnet_model import load_mxnet
    from facecvt.converters.readers.from_mxnet import read_mxnet

    model = load_mxnet(files)
    found = Inspection("mxnet", "model", files.name, files.files(), _symbol_details(model.symbol))
    found.weights = _weight_facts(model.args | model.aux)
    _add_graph(found, _symbol_nodes(model.symbol), "from_mxnet", lambda: read_mxnet(model))
    return found


def _mxnet_symbol(path: Path, problem: str) -> Inspection:
    from facecvt.converters.formats.mxnet_symbol import read_symbol

    symbol = read_symbol(path)
    found = Inspection("mxnet", "model", path.stem, (path,), _symbol_details(symbol), problems=[problem])
    _add_operators(found, _symbol_nodes(symbol), "from_mxnet", {})
    return found


def _symbol_details(symbol: MxnetSymbol) -> dict[str, str]:
    major, minor = divmod(symbol.version // 100, 100)
    return {"symbol of MXNet": f"{major}.{minor}"}


def _symbol_nodes(symbol: MxnetSymbol) -> list[tuple[str, str]]:
    return [(node.name, node.op) for node in symbol.nodes if node.op != "null"]


def _mxnet_weights(path: Path) -> Inspection:
    from facecvt.converters.formats.mxnet_params import read_params

    params = read_params(path)
    unnamed = {f"[{index}]": array for index, array in enumerate(params.unnamed)}
    details = {
        "arguments": str(len(params.args)),
        "auxiliary states": str(len(params.aux)),
        "plain names": str(len(params.bare)),
        "without a name": str(len(unnamed)),
    }
    found = Inspection("mxnet", "weights", path.stem, (path,), {key: n for key, n in details.items() if n != "0"})
    found.weights = _weight_facts(params.args | params.aux | params.bare | unnamed)
    _add_state(found)
    return found


def _paddle_model(files: PaddleFiles) -> Inspection:
    from facecvt.converters.formats.paddle_model import PaddleModel, load_paddle
    from facecvt.converters.formats.paddle_program import read_program
    from facecvt.converters.readers.from_paddle import read_paddle

    details = {"weights": {"none": "not found"}.get(files.layout, files.layout)}
    problem = None
    try:
        model = load_paddle(files)
    except ConversionError as error:
        if files.weights is not None or files.program is None:
            raise
        problem = str(error)
        model = PaddleModel(read_program(files.program), {}, files.name, files.files())
    program = model.program
    version = f"{program.version // 10**6}.{program.version // 1000 % 1000}.{program.version % 1000}"
    details |= {"program": program.dialect, "written by Paddle": version if program.version else "not said"}
    found = Inspection("paddle", "model", files.name, files.files(), details)
    found.weights = _weight_facts(model.params)
    nodes = [(op.name, op.type) for op in program.ops]
    if problem is None:
        _add_graph(found, nodes, "from_paddle", lambda: read_paddle(model))
    else:
        found.problems.append(problem)
        _add_operators(found, nodes, "from_paddle", {})
    return found


def _paddle_weights(files: PaddleFiles) -> Inspection:
    from facecvt.converters.formats.paddle_params import read_pdparams

    if files.weights is None:
        raise UsageError(f"{files.name}: neither a program nor weights")
    found = Inspection("paddle", "weights", files.name, files.files())
    found.weights = _weight_facts(read_pdparams(files.weights))
    _add_state(found)
    return found


def _onnx_model(files: OnnxFiles) -> Inspection:
    from facecvt.converters.onnx_ir_lazy import ir
    from facecvt.converters.readers.from_onnx import read_onnx

    try:
        model = ir.load(files.model)
    except Exception:  # whatever protobuf and onnx_ir raise: the reader knows how to say it
        read_onnx(files.model)
        raise
    body = model.graph
    details = {
        "opset": ", ".join(f"{domain or 'ai.onnx'} {version}" for domain, version in body.opset_imports.items()),
        "producer": " ".join(filter(None, (model.producer_name, model.producer_version))) or "not said",
    }
    found = Inspection("onnx", "model", files.name, files.files(), details)
    for name, value in body.initializers.items():
        tensor = value.const_value
        if tensor is not None:
            shape = tuple(int(size) for size in tensor.shape.numpy())
            found.weights.append(WeightFact(name, shape, str(tensor.dtype.numpy()), tensor.nbytes))
    for node in body:
        tensor = node.attributes["value"].value if node.op_type == "Constant" and "value" in node.attributes else None
        if tensor is not None and tensor.size > 1:  # where a file holds its weights in nodes; single numbers are none
            shape = tuple(int(size) for size in tensor.shape.numpy())
            found.weights.append(WeightFact(str(node.outputs[0].name), shape, str(tensor.dtype.numpy()), tensor.nbytes))
    nodes = [
        (
            node.name or str(node.outputs[0].name),
            node.op_type if node.domain in ("", "ai.onnx") else f"{node.domain}::{node.op_type}",
        )
        for node in body
    ]
    _add_graph(found, nodes, "from_onnx", lambda: read_onnx(files.model))
    return found


def _torch_weights(files: TorchFiles) -> Inspection:
    from facecvt.converters.formats.safetensors_file import read_safetensors
    from facecvt.converters.formats.torch_state import read_state_dict

    found = Inspection("torch", "weights", files.name, files.files())
    if files.weights.suffix == ".safetensors":
        found.weights = _weight_facts(read_safetensors(files.weights))
        _add_state(found)
        return found
    state = read_state_dict(files.weights)
    if state.wrapper:
        found.details["lies under the key"] = state.wrapper
    if state.prefix:
        found.details["prefix of every key"] = state.prefix
    if state.skipped:
        found.details["no tensors"] = ", ".join(f"{key} ({kind})" for key, kind in state.skipped.items())
    found.weights = _weight_facts(state.tensors)
    _add_state(found, state.prefix)
    return found


def _add_state(found: Inspection, prefix: str = "") -> None:
    """What the names and shapes of weights alone tell.

    Args:
        found: with its weights.
        prefix: what their names have lost already.
    """
    from facecvt.reference_models.recognise_state import recognise_state

    found.state = recognise_state({prefix + each.name: each.shape for each in found.weights}, found.framework)
    if found.state is not None and found.state.exact:
        names = {candidate.architecture.name for candidate in found.state.candidates}
        found.recognised = names.pop() if len(names) == 1 else None
    halves = sorted({each.dtype for each in found.weights} & {"float16", "bfloat16"})
    if halves:
        found.warnings.append(f"weights are {' and '.join(halves)}; facecvt computes with them in float32")


def _weight_facts(arrays: Mapping[str, Array]) -> list[WeightFact]:
    return [WeightFact(name, tuple(array.shape), str(array.dtype), int(array.nbytes)) for name, array in arrays.items()]


def _add_graph(found: Inspection, nodes: list[tuple[str, str]], direction: str, read: Any) -> None:
    """Everything that the canonical graph tells, or why there is none."""
    from facecvt.reference_models.public_class import public_class

    try:
        graph: Graph = read()
    except FacecvtError as error:
        found.problems.append(str(error))
        _add_operators(found, nodes, direction, {})
        return
    _add_operators(found, nodes, direction, _canonical_nodes(graph))
    known = public_class(graph)  # completes the contracts
    found.recognised = known.name if known is not None else None
    found.contracts = list(graph.contracts)
    found.outputs = [_value_fact(value) for value in graph.outputs]
    found.warnings = list(graph.warnings)
    unwritable = [operator for operator in found.operators if operator.to_torch is False]
    for operator in unwritable:
        found.problems.append(f"{operator.operator} x{operator.count} cannot be written to PyTorch")


def _canonical_nodes(graph: Graph) -> dict[str, list[Any]]:
    """Source node name -> canonical nodes it became."""
    nodes: dict[str, list[Any]] = {}
    for node in graph.body:
        nodes.setdefault(node.metadata_props.get("facecvt.source_name", ""), []).append(node)
    return nodes


def _add_operators(
    found: Inspection, nodes: list[tuple[str, str]], direction: str, canonical: Mapping[str, list[Any]]
) -> None:
    from facecvt.converters.graph import dims
    from facecvt.converters.ops.registry import rule_for

    grouped: dict[str, list[str]] = {}
    for name, operator in nodes:
        became = canonical.get(name, ())
        ends = [dims(value) for value in became[-1].outputs] if became else []
        found.layers.append(LayerFact(name, operator, tuple(node.op_type for node in became), tuple(ends)))
        grouped.setdefault(operator, []).append(name)
    for operator, names in sorted(grouped.items(), key=lambda item: (-len(item[1]), item[0])):
        readable = rule_for(direction, operator) is not None
        emitted = {node.op_type for name in names for node in canonical.get(name, ())}
        writable = all(rule_for("to_torch", op_type) is not None for op_type in emitted) if canonical else None
        shown = () if readable and writable is not False else tuple(names)
        found.operators.append(OperatorFact(operator, len(names), readable, writable, shown))


def _value_fact(value: Any) -> dict[str, Any]:
    shape = None if value.shape is None else [size if isinstance(size, int) else size.value for size in value.shape]
    dtype = None if value.dtype is None else str(value.dtype.numpy())
    return {"name": value.name, "shape": shape, "dtype": dtype}

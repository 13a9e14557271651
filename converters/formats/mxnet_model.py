"""An MXNet model: a symbol and its weights, and which variable of the graph is what.

A symbol does not say which of its variables are inputs; MXNet finds out when arrays are bound. Here a variable
without an array is

1. a **missing parameter** if an operator reads it where that operator takes a parameter, if it is an auxiliary state,
   if its name ends as parameters' names do, or if it bears an initialiser;
2. else a **label** if an output operator reads it as its target, or if its name ends in ``label``;
3. else an **input** if its name says so (``data``, ``data0``, ``rois``, ``im_info``, ...) or if an operator that takes
   parameters, such as Convolution, reads it as its data;
4. else an input if some operator reads it first of all and rule 3 found no input;
5. else a missing parameter: an operand of unknown purpose must not silently become something that a caller has to feed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from facecvt.converters.errors import FormatError
from facecvt.converters.formats.mapped import Array
from facecvt.converters.formats.mxnet_params import MxnetParams, read_params
from facecvt.converters.formats.mxnet_symbol import MxnetSymbol, read_symbol

if TYPE_CHECKING:
    from facecvt.converters.formats.locate import MxnetFiles

# operator -> the first input that is a parameter; all after it are parameters too
_PARAMETERS_FROM: dict[str, int] = {
    "BatchNorm": 1,
    "BatchNorm_v1": 1,
    "Convolution": 1,
    "Convolution_v1": 1,
    "CuDNNBatchNorm": 1,
    "Deconvolution": 1,
    "Embedding": 1,
    "FullyConnected": 1,
    "GroupNorm": 1,
    "InstanceNorm": 1,
    "LayerNorm": 1,
    "LeakyReLU": 1,
    "SyncBatchNorm": 1,
    "_contrib_SyncBatchNorm": 1,
}
_TARGET_INPUT: dict[str, int] = {
    "CTCLoss": 1,
    "LinearRegressionOutput": 1,
    "LogisticRegressionOutput": 1,
    "MAERegressionOutput": 1,
    "SVMOutput": 1,
    "Softmax": 1,  # what SoftmaxOutput was called before 0.7
    "SoftmaxOutput": 1,
    "softmax_cross_entropy": 1,
}
_PARAMETER_NAME = re.compile(
    r"(^|_)(weight|bias|gamma|beta|alpha|moving_mean|moving_var|running_mean|running_var|moving_avg|parameters)\d*$"
)
_LABEL_NAME = re.compile(r"label\d*$")
_INPUT_NAME = re.compile(r"(^|_)(data|input|image|img|rois|im_info)_?\d*$|^x\d*$")


@dataclass
class MxnetModel:
    """A symbol and its weights.

    Attributes:
        symbol: the graph.
        args: weights by variable name.
        aux: auxiliary states (moving mean and variance) by variable name.
        name: the model's name, for default targets.
        files: the files it was read from.
    """

    symbol: MxnetSymbol
    args: dict[str, Array]
    aux: dict[str, Array]
    name: str
    files: tuple[Path, ...]


@dataclass(frozen=True)
class VariableRoles:
    """What each variable of a graph is, and which arrays of the file it does not use. All in graph (or file) order.

    Attributes:
        inputs: data inputs: what a caller feeds at inference.
        labels: training targets; not fed, not weights.
        weights: variables with an array.
        missing: parameters without an array.
        extra: arrays without a variable.
    """

    inputs: tuple[str, ...]
    labels: tuple[str, ...]
    weights: tuple[str, ...]
    missing: tuple[str, ...]
    extra: tuple[str, ...]


def load_mxnet(files: MxnetFiles) -> MxnetModel:
    """Read symbol and weights.

    Bare names (gluon, ``.npz``) and names under the other prefix are sorted into ``args`` and ``aux`` by what the
    symbol lists, as gluon's ``SymbolBlock.imports`` does. Weights and graph are not compared here: see
    :func:`variable_roles`.

    Args:
        files: symbol, weights and the model's name.

    Raises:
        FormatError: a file is not what it should be, or the weights are a list without names.
    """
    symbol = read_symbol(files.symbol)
    params = read_params(files.params)
    if params.unnamed:
        raise FormatError(
            files.params,
            None,
            f"holds {len(params.unnamed)} arrays without names, so they cannot be matched to {files.symbol}; "
            "save them with mx.nd.save(path, {'arg:<name>': array, ...})",
        )
    args, aux = _sorted_by_kind(symbol, params)
    return MxnetModel(symbol, args, aux, files.name, files.files())


def _sorted_by_kind(symbol: MxnetSymbol, params: MxnetParams) -> tuple[dict[str, Array], dict[str, Array]]:
    aux_names, arg_names = set(symbol.aux_names()), set(symbol.argument_names())
    args, aux = dict(params.args), dict(params.aux)
    for name in [name for name in args if name in aux_names and name not in aux]:
        aux[name] = args.pop(name)
    for name in [name for name in aux if name in arg_names and name not in args]:
        args[name] = aux.pop(name)
    for name, array in params.bare.items():
        (aux if name in aux_names else args).setdefault(name, array)
    return args, aux


def variable_roles(model: MxnetModel) -> VariableRoles:
    """Tell inputs, labels, weights, missing and extra names apart, by the rules at the top of this module."""
    symbol = model.symbol
    aux_names = set(symbol.aux_names())
    marks: dict[str, set[str]] = {name: set() for name in symbol.variable_names()}
    readers: dict[str, list[tuple[str, int]]] = {name: [] for name in marks}
    for node in symbol.nodes:
        if node.op == "null":
            marks[node.name].update(node.user_attrs)
        for position, (source, _) in enumerate(node.inputs):
            if symbol.nodes[source].op == "null":
                readers[symbol.nodes[source].name].append((node.op, position))
    role_of: dict[str, str] = {}
    for name in marks:
        if name in (model.aux if name in aux_names else model.args):
            role_of[name] = "weights"
        elif name in aux_names:
            role_of[name] = "missing"
        else:
            role_of[name] = _role_without_array(name, marks[name], readers[name])
    unclear = "missing" if "inputs" in role_of.values() else "inputs"
    found: dict[str, list[str]] = {"inputs": [], "labels": [], "weights": [], "missing": []}
    for name, role in role_of.items():
        found[unclear if role == "unclear" else role].append(name)
    used = set(found["weights"])
    extra = [name for name in model.args if name not in used or name in aux_names]
    extra += [name for name in model.aux if name not in used or name not in aux_names]
    return VariableRoles(**{role: tuple(names) for role, names in found.items()}, extra=tuple(extra))


def _role_without_array(name: str, marks: set[str], readers: list[tuple[str, int]]) -> str:
    """Role of an argument without array, "unclear" for rule 4; ``readers`` are (operator, position) of its users."""
    if any(position >= _PARAMETERS_FROM.get(op, position + 1) for op, position in readers):
        return "missing"
    if _PARAMETER_NAME.search(name) or "__init__" in marks:
        return "missing"
    if _LABEL_NAME.search(name) or any(_TARGET_INPUT.get(op) == position for op, position in readers):
        return "labels"
    if _INPUT_NAME.search(name) or any(position == 0 and op in _PARAMETERS_FROM for op, position in readers):
        return "inputs"
    return "unclear" if not readers or any(position == 0 for _, position in readers) else "missing"


def unmatched(model: MxnetModel) -> tuple[list[str], list[str]]:
    """(names that the graph needs and the file lacks, names in the file that the graph does not know)."""
    roles = variable_roles(model)
    return list(roles.missing), list(roles.extra)

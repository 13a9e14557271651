"""A bare state as a model: recognised, its weights by canonical name, its graph from the architecture's listing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from facecvt.converters.cutting import check_known, cut_graph
from facecvt.converters.errors import UsageError, WeightsError
from facecvt.converters.formats.mapped import Array
from facecvt.converters.formats.model_files import TorchFiles
from facecvt.converters.graph import Graph, NumpyArray
from facecvt.reference_models.listing_graph import graph_of_listing
from facecvt.reference_models.naming import COUNTER
from facecvt.reference_models.recognise_state import StateRecognition, compared_with, recognise_state
from facecvt.reference_models.spec import ArchitectureSpec, resolve_name
from facecvt.reference_models.weights import to_canonical

MOST_NAMED = 6  # names, or candidates, in a message


@dataclass(frozen=True)
class StateModel:
    """A state that is of a reference architecture.

    Attributes:
        architecture: with its options.
        names_of: the framework whose names the state has; its upstream's eps counts.
        arrays: canonical parameter name -> float32 array.
        name: the model's name.
        warnings: what the user should know about how it was read.
        cut: the layers that it is cut at, none where it is whole.
    """

    architecture: ArchitectureSpec
    names_of: str
    arrays: Mapping[str, NumpyArray]
    name: str
    warnings: tuple[str, ...] = field(default=())
    cut: tuple[str, ...] = ()


def read_state(files: TorchFiles, asked: str | None = None, *, name: str | None = None) -> StateModel:
    """Read a weights file of PyTorch and find out what it is of.

    Args:
        files: where it lies.
        asked: the architecture that the user names, in any spelling; None finds out.
        name: the model's name; by default that of the files.

    Raises:
        FormatError: the file is damaged, or no state_dict.
        WeightsError: the weights are of no reference architecture, or not of the one asked for.
        UsageError: no architecture has that name.
    """
    state, path = read_arrays(files.weights), files.weights
    shapes = {name: tuple(array.shape) for name, array in state.items()}
    warnings: list[str] = []
    if asked is None:
        found = recognise_state(shapes, "torch")
    else:
        wanted = resolve_name(asked).architecture
        found = compared_with(shapes, "torch", wanted)
    if found is None or not found.exact:
        raise WeightsError(refusal(path, found, asked))
    if found.ambiguous:
        listed = "; ".join(called(str(each), each.names) for each in found.candidates[:MOST_NAMED])
        more = len(found.candidates) - MOST_NAMED
        warnings.append(
            f"{path.name} has the names and shapes of {len(found.candidates)} nets: {listed}"
            + (f"; and {more} more" if more > 0 else "")
            + ". Taken for the first"
            + ("; --arch NAME says otherwise" if asked is None else "")
        )
    if found.leftovers:
        left = ", ".join(f"{each.name} ({each.what})" for each in found.leftovers[:MOST_NAMED])
        warnings.append(f"left out, since it is no part of the network: {left}")
    own = {name: array for name, array in found.own(state).items() if not name.endswith(f".{COUNTER}")}
    other = sorted({array.dtype.name for array in own.values()} - {"float32"})
    if other:
        warnings.append(f"weights are {' and '.join(other)}; the model is written in float32")
    arrays = to_canonical(own, found.framework, found.architecture)
    floats = {name: array.astype(np.float32, copy=False) for name, array in arrays.items()}
    if found.framework == "mxnet":  # fix_gamma: the stored scale does not count
        for layer in found.architecture.layers():
            if layer.attributes.get("unit_scale"):
                scale = layer.parameter("scale").name
                floats[scale] = np.ones_like(floats[scale])
    return StateModel(found.architecture, found.framework, floats, name or files.name, tuple(warnings))


def read_arrays(path: Path) -> dict[str, Array]:
    """The tensors of a PyTorch weights file under the names that the file has."""
    if path.suffix == ".safetensors":
        from facecvt.converters.formats.safetensors_file import read_safetensors

        return read_safetensors(path)
    from facecvt.converters.formats.torch_state import read_state_dict

    state = read_state_dict(path)
    return {state.prefix + name: array for name, array in state.tensors.items()}


def cut_state(model: StateModel, names: Sequence[str]) -> StateModel:
    """The model with these layers as its outputs, in this order.

    Raises:
        UsageError: no module of the net gives a value of this name; the nearest are given.
    """
    layers = model.architecture.layers()
    check_known(names, names, sorted(model.architecture.names("torch").taps(layers)), model.name)
    return replace(model, cut=tuple(names))


def state_graph(model: StateModel, input_shapes: Mapping[str, Sequence[int | str]] | None = None) -> Graph:
    """The canonical graph of a state.

    Args:
        model: what was read.
        input_shapes: of inputs by name, where the architecture's own is not wanted.

    Raises:
        UsageError: a given name is no input.
    """
    name = model.architecture.contracts["torch"].name
    wrong = sorted(set(input_shapes or {}) - {name})
    if wrong:
        raise UsageError(f"{model.name} has no input {wrong[0]!r}; its input is {name}")
    given = (input_shapes or {}).get(name)
    graph = graph_of_listing(model.architecture, model.arrays, model.name, framework=model.names_of, input_shape=given)
    graph.warnings += model.warnings
    if model.cut:
        cut_graph(graph, model.cut)
    return graph


def refusal(path: Path, found: StateRecognition | None, asked: str | None) -> str:
    """Why a state is not taken, with the nearest architecture and what differs."""
    help_line = "`facecvt inspect` shows its weights."
    if all((path.parent / name).is_file() for name in ("model.py", "facecvt.json")):  # a folder of facecvt's own
        help_line = f"{path.parent / 'model.py'} is the net: give `model:load` in that folder. {help_line}"
    if found is None:
        return f"{path}: its weights are nothing like {asked or 'any reference architecture'}. {help_line}"
    if found.exact:
        return f"{path}: its weights are those of {found.candidates[0]}, not of {asked}. {help_line}"
    difference = found.difference
    parts = []
    for what, names in (("missing", difference.missing), ("unexpected", difference.unexpected)):
        if names:
            parts.append(f"{len(names)} {what}: {listed(names)}")
    if difference.reshaped:
        shapes = [f"{name} {found_shape} for {wanted}" for name, found_shape, wanted in difference.reshaped]
        parts.append(f"{len(shapes)} of another shape: {listed(shapes)}")
    nearest = "not those of" if asked else "those of no reference architecture; nearest is"
    return f"{path}: its weights are {nearest} {found.candidates[0]}: {'; '.join(parts)}. {help_line}"


def listed(names: Sequence[str]) -> str:
    """The first names, and how many there are besides."""
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return ", ".join(names[:MOST_NAMED]) + more


def called(name: str, others: Sequence[str]) -> str:
    """A candidate with the name that an upstream has for it."""
    return f"{name}, called {others[0]}" if others else name

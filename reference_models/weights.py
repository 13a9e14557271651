"""Weights of a reference architecture, from one framework's names and layouts to another's by canonical name.

    torch state  <->  canonical arrays  <->  paddle state, mxnet state

Nothing may be missing and nothing may be left over; what comes back from a round trip is byte-identical. Only torch's
``num_batches_tracked`` has no partner: it is left behind on the way out and is 0 on the way in.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from facecvt.converters.errors import WeightsError
from facecvt.converters.formats.mapped import Array, as_numpy
from facecvt.reference_models.layers import STATISTICS, Layer, Parameter
from facecvt.reference_models.naming import COUNTER
from facecvt.reference_models.spec import ArchitectureSpec

NumpyArray = np.ndarray[tuple[int, ...], np.dtype[np.generic]]
State = dict[str, NumpyArray]


@dataclass(frozen=True)
class StateEntry:
    """One entry of a framework's state.

    Attributes:
        name: as the framework has it.
        shape: as the framework stores it.
        layer: the layer it belongs to.
        parameter: which of its parameters, None for torch's counter.
        transposed: True where the array is the transpose of the canonical one.
        auxiliary: True for what MXNet keeps among the auxiliary states.
        twin: True for the second name of an array that the state holds under two.
    """

    name: str
    shape: tuple[int, ...]
    layer: Layer
    parameter: Parameter | None
    transposed: bool = False
    auxiliary: bool = False
    twin: bool = False


def state_entries(arch: ArchitectureSpec, framework: str) -> list[StateEntry]:
    """Everything that the framework's net keeps, in its own order (MXNet: arguments, then auxiliary states)."""
    names = arch.names(framework)
    entries = []
    listed: set[str] = set()
    for layer in names.ordered(arch.layers()):
        twin = layer.name in listed
        listed.add(layer.name)
        for parameter in layer.parameters:
            transposed, shape = names.transposed(layer, parameter), names.stored_shape(layer, parameter)
            auxiliary = framework == "mxnet" and parameter.role in STATISTICS
            name = names.parameter(layer, parameter, twin=twin)
            entries.append(StateEntry(name, shape, layer, parameter, transposed, auxiliary, twin))
        counter = names.counter(layer)
        if counter is not None:
            entries.append(StateEntry(counter, (), layer, None))
    return [e for e in entries if not e.auxiliary] + [e for e in entries if e.auxiliary]


class CanonicalState(Mapping[str, NumpyArray]):
    """One framework's state by canonical name, in canonical layout; an array is read when it is asked for.

    Args:
        state: every parameter and running statistic by the framework's name; counters and second names may be there
            or not.
        framework: whose names and layouts these are.
        arch: the architecture, with the options that the state was made with.
        effective: as for :func:`exchange`.

    Raises:
        WeightsError: an entry is missing or left over; where an array is asked for, it has another shape, or differs
            under its second name.
    """

    def __init__(
        self, state: Mapping[str, Array], framework: str, arch: ArchitectureSpec, *, effective: bool = False
    ) -> None:
        entries = state_entries(arch, framework)
        known = {entry.name for entry in entries}
        missing = [e.name for e in entries if e.parameter is not None and not e.twin and e.name not in state]
        left = [name for name in state if name not in known and not name.endswith(f".{COUNTER}")]
        if missing or left:
            raise WeightsError(
                f"this state is not that of {arch.name} in {framework}: "
                f"missing {_listed(missing)}; left over {_listed(left)}. Check the architecture and its options."
            )
        self._state, self._needs = state, f"{arch.name} in {framework} needs"
        self._entries: dict[str, list[StateEntry]] = {}  # the first name, then a second one
        for entry in entries:
            if entry.parameter is not None and not (entry.twin and entry.name not in state):
                self._entries.setdefault(entry.parameter.name, []).append(entry)
        counts_as_one = effective and framework == "mxnet"
        scaled = [layer for layer in arch.layers() if layer.attributes.get("unit_scale")]
        self._ones = {layer.parameter("scale").name for layer in scaled if counts_as_one}

    def __getitem__(self, name: str) -> NumpyArray:
        first, *second = self._entries[name]
        array = self._laid_out(first)
        for twin in second:
            if self._laid_out(twin).tobytes() != array.tobytes():
                raise WeightsError(f"{twin.name} is another array than the one that it is the second name of")
        return np.ones_like(array) if name in self._ones else array

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def _laid_out(self, entry: StateEntry) -> NumpyArray:
        assert entry.parameter is not None
        array = as_numpy(self._state[entry.name])
        if array.shape != entry.shape:
            raise WeightsError(
                f"{entry.name} has shape {array.shape}, but {self._needs} {entry.shape}. "
                "Check the architecture's options."
            )
        return np.ascontiguousarray(array.T) if entry.transposed else array.reshape(entry.parameter.shape)


def to_canonical(state: Mapping[str, Array], framework: str, arch: ArchitectureSpec) -> State:
    """All arrays of a :class:`CanonicalState`, whose arguments and errors these are."""
    return dict(CanonicalState(state, framework, arch))


def from_canonical(arrays: Mapping[str, NumpyArray], framework: str, arch: ArchitectureSpec) -> State:
    """One framework's state, in its own order, from arrays by canonical name.

    Raises:
        WeightsError: an array is missing.
    """
    entries = state_entries(arch, framework)
    missing = [e.parameter.name for e in entries if e.parameter is not None and e.parameter.name not in arrays]
    if missing:
        raise WeightsError(f"weights for {arch.name} lack {_listed(missing)}")
    state: State = {}
    for entry in entries:
        if entry.parameter is None:
            state[entry.name] = np.zeros((), np.int64)
        else:
            array = arrays[entry.parameter.name]
            state[entry.name] = np.ascontiguousarray(array.T) if entry.transposed else array.reshape(entry.shape)
    return state


def exchange(
    state: Mapping[str, Array],
    source_framework: str,
    target_framework: str,
    arch: ArchitectureSpec,
    *,
    effective: bool = False,
) -> State:
    """One framework's state as another's.

    Args:
        state: every parameter and running statistic by the source framework's name.
        source_framework: torch, paddle or mxnet.
        target_framework: likewise.
        arch: the architecture, with the options that the state was made with.
        effective: False moves every byte as it is stored, so that the way back gives the same state. True moves what
            the source computes with: MXNet's last BatchNorm has fix_gamma, its scale counts as 1 whatever is stored.
            Use it where the target is going to run. eps is not a weight: build the target with the source's.

    Raises:
        WeightsError: an entry is missing, left over or has another shape.
    """
    return from_canonical(CanonicalState(state, source_framework, arch, effective=effective), target_framework, arch)


def split_auxiliary(state: Mapping[str, NumpyArray], arch: ArchitectureSpec) -> tuple[State, State]:
    """An MXNet state as (arguments, auxiliary states), which its files and binders keep apart."""
    auxiliary = {entry.name for entry in state_entries(arch, "mxnet") if entry.auxiliary}
    return (
        {name: array for name, array in state.items() if name not in auxiliary},
        {name: array for name, array in state.items() if name in auxiliary},
    )


def _listed(names: Iterable[str]) -> str:
    names = list(names)
    if not names:
        return "nothing"
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")

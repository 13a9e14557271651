"""A PyTorch net that computes with a state's own arrays: nothing is drawn for it, and nothing is copied into it.

Of arrays that lie in a file, those of one module at a time are in memory, while it is called; in another precision than
the arrays', so are their converted copies.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch.overrides import TorchFunctionMode

from facecvt.converters.formats.mapped import forget_view
from facecvt.reference_models.spec import ArchitectureSpec, families
from facecvt.reference_models.weights import from_canonical

NumpyArray = np.ndarray[Any, np.dtype[Any]]
INITIALISERS = {name for name in vars(torch.nn.init) if name.endswith("_") and name[0] != "_"} | {"fill_", "zero_"}


def undrawn_net(arch: ArchitectureSpec) -> torch.nn.Module:
    """The net of an architecture, whose weights are whatever their memory holds: a whole state has to be loaded."""
    with _NothingDrawn():
        net: torch.nn.Module = families()[arch.family].build(arch, "torch")
    return net


def net_on(arch: ArchitectureSpec, arrays: Mapping[str, NumpyArray], dtype: torch.dtype) -> torch.nn.Module:
    """The net of an architecture on given arrays, ready to be run; it must not be trained, the arrays may be read-only.

    Args:
        arch: the architecture.
        arrays: float32 by canonical name, as views on a mapped file for instance.
        dtype: what the net computes in.
    """
    net = undrawn_net(arch)
    state = from_canonical(arrays, "torch", arch)
    net.load_state_dict({name: shared(array) for name, array in state.items()}, assign=True)
    owned: dict[str, list[NumpyArray]] = {}
    for name, array in state.items():
        owned.setdefault(name.rpartition(".")[0], []).append(array)
    for path, module in net.named_modules():
        _borrow_while_called(module, owned.get(path, ()), dtype)
    return net.eval().requires_grad_(False)


class _NothingDrawn(TorchFunctionMode):  # type: ignore[misc]
    """Weights that are made inside stay as they were allocated, which takes neither time nor memory.

    The device "meta" does so as well, but brings 800 modules with it.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if getattr(func, "__name__", "") in INITIALISERS:
            return args[0] if args else kwargs["tensor"]
        return func(*args, **kwargs)


def shared(array: NumpyArray) -> torch.Tensor:
    """A tensor of the same numbers in the same memory; nobody may write to it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of arrays that are read-only
        return torch.from_numpy(np.require(array, requirements="A"))


def _borrow_while_called(module: torch.nn.Module, arrays: Sequence[NumpyArray], dtype: torch.dtype) -> None:
    """Have a module's own weights and statistics in a precision, and in memory, only while it is called."""
    own = {
        name: tensor
        for name, tensor in (*module.named_parameters(recurse=False), *module.named_buffers(recurse=False))
        if tensor.is_floating_point() and tensor.dtype != dtype
    }
    if not (own or arrays):
        return

    def convert(module: torch.nn.Module, arguments: Any) -> None:
        for name, tensor in own.items():
            converted = tensor.detach().to(dtype)
            is_parameter = isinstance(tensor, torch.nn.Parameter)
            setattr(module, name, torch.nn.Parameter(converted, requires_grad=False) if is_parameter else converted)

    def give_back(module: torch.nn.Module, arguments: Any, output: Any) -> None:
        for name, tensor in own.items():
            setattr(module, name, tensor)
        for array in arrays:
            forget_view(array)

    module.register_forward_pre_hook(convert)
    module.register_forward_hook(give_back, always_call=True)

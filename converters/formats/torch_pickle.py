"""What the pickles of PyTorch's files name, as stand-ins: storages, data types and the functions that make tensors.

A tensor is a storage, an offset, a shape and strides, the last three counted in elements. A storage is named by the
persistent id ``("storage", type, key, location, number of elements)``; its location (a CUDA device, say) only tells
where it lay when it was saved. Source: ``torch/serialization.py``, ``torch/_utils.py`` and files written by torch.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from facecvt.converters.errors import FormatError
from facecvt.converters.formats.mapped import Array, MappedFile, MappedTensor
from facecvt.converters.formats.pickle_machine import Global

ByteOrder = Literal["little", "big"]

# storage class -> numpy dtype; "bfloat16" is ml_dtypes'
STORAGES = {
    "DoubleStorage": "float64",
    "FloatStorage": "float32",
    "HalfStorage": "float16",
    "BFloat16Storage": "bfloat16",
    "LongStorage": "int64",
    "IntStorage": "int32",
    "ShortStorage": "int16",
    "CharStorage": "int8",
    "ByteStorage": "uint8",
    "BoolStorage": "bool",
}
_DTYPE_NAMES = (
    *(set(STORAGES.values()) - {"float32"}),
    *("float32", "uint16", "uint32", "uint64", "half", "float", "double", "short", "int", "long"),
)
_ALIASES = {
    "half": "float16",
    "float": "float32",
    "double": "float64",
    "short": "int16",
    "int": "int32",
    "long": "int64",
}


def numpy_dtype(name: str) -> np.dtype[np.generic]:
    """numpy's data type of that name; bfloat16 comes from ml_dtypes."""
    if name == "bfloat16":
        import ml_dtypes  # numpy has none of its own; only such files need it

        return np.dtype(ml_dtypes.bfloat16)
    return np.dtype(name)


@dataclass(frozen=True)
class NamedDtype(Global):
    """A data type or storage class; ``dtype`` None is a storage of bytes whose tensors say what they are."""

    dtype: np.dtype[np.generic] | None = None


@dataclass
class Storage:
    """One storage of a file.

    Attributes:
        key: its key in the file.
        dtype: of its elements; uint8 for a storage of bytes.
        count: number of its elements.
        offset: where its bytes begin in the file; None until that is known, or if they are inflated.
        inflated: its bytes, where they were compressed in the file.
    """

    key: str
    dtype: np.dtype[np.generic]
    count: int
    offset: int | None = None
    inflated: memoryview | None = None

    @property
    def nbytes(self) -> int:
        return self.count * self.dtype.itemsize


@dataclass(frozen=True)
class Tensor:
    """A view on a storage; all numbers are counted in elements of ``dtype``."""

    storage: Storage
    start: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    dtype: np.dtype[np.generic]

    def set_state(self, state: Any) -> None:
        """Attributes of a Parameter: not part of the numbers."""


@dataclass
class StorageTable:
    """The storages that one pickle names, by key.

    Attributes:
        storages: those met so far.
    """

    storages: dict[str, Storage] = field(default_factory=dict)

    def from_persistent_id(self, identity: Any) -> Storage:
        """The storage that a persistent id names.

        Raises:
            ValueError: an id of another kind.
        """
        if type(identity) is not tuple or len(identity) not in (5, 6) or identity[0] != "storage":
            raise ValueError("a persistent id that is no storage")
        kind, key, _, count = identity[1:5]
        if len(identity) == 6 and identity[5] is not None:
            raise ValueError("a storage that is part of another one, as torch before 0.4 wrote; save it again")
        if not isinstance(kind, NamedDtype) or type(key) is not str or type(count) is not int or count < 0:
            raise ValueError("a storage without class, key or size")
        dtype = kind.dtype or np.dtype(np.uint8)
        storage = self.storages.setdefault(key, Storage(key, dtype, count))
        if (storage.count, storage.dtype) != (count, dtype):
            raise ValueError(f"storage {key!r} with two different sizes or types")
        return storage


def torch_globals() -> dict[str, Global]:
    """The allow-list for tensors, to be added to that for plain containers."""
    functions: dict[str, Callable[..., Any]] = {
        "torch._utils._rebuild_tensor": _rebuild_tensor,
        "torch._utils._rebuild_tensor_v2": _rebuild_tensor,
        "torch._utils._rebuild_tensor_v3": _rebuild_typed_tensor,
        "torch._utils._rebuild_parameter": _rebuild_parameter,
        "torch.nn.parameter.Parameter": _rebuild_parameter,
        "torch.Size": lambda dims=(): tuple(dims),
        "torch.device": lambda *parts: ":".join(map(str, parts)),
    }
    table = {name: Global(name, function) for name, function in functions.items()}
    kinds: dict[str, np.dtype[np.generic] | None] = {}
    for name, dtype in STORAGES.items():
        kinds |= {f"{module}.{name}": numpy_dtype(dtype) for module in ("torch", "torch.cuda", "torch.storage")}
    kinds |= {"torch.storage.UntypedStorage": None, "torch.UntypedStorage": None}
    kinds |= {f"torch.{name}": numpy_dtype(_ALIASES.get(name, name)) for name in _DTYPE_NAMES}
    return table | {name: NamedDtype(name, _not_callable, dtype) for name, dtype in kinds.items()}


def _not_callable(*arguments: Any) -> Any:
    raise ValueError("this name may be passed on but not called")


def _rebuild_tensor(storage: Any, start: Any, shape: Any, strides: Any, *rest: Any) -> Tensor:
    """(storage, start, shape, strides[, requires_grad, hooks[, metadata]])"""
    if not isinstance(storage, Storage):
        raise ValueError("a tensor without storage")
    return _tensor(storage, start, shape, strides, storage.dtype)


def _rebuild_typed_tensor(
    storage: Any, start: Any, shape: Any, strides: Any, grad: Any, hooks: Any, kind: Any, *rest: Any
) -> Tensor:
    """As above for the data types that have no storage class; the storage is one of bytes."""
    if not isinstance(storage, Storage) or not isinstance(kind, NamedDtype) or kind.dtype is None:
        raise ValueError("a tensor without storage or data type")
    return _tensor(storage, start, shape, strides, kind.dtype)


def _rebuild_parameter(data: Any, *rest: Any) -> Tensor:
    """(data, requires_grad, hooks)"""
    if not isinstance(data, Tensor):
        raise ValueError("a parameter without tensor")
    return data


def _tensor(storage: Storage, start: Any, shape: Any, strides: Any, dtype: np.dtype[np.generic]) -> Tensor:
    for numbers in ((start,), shape, strides):
        if type(numbers) is not tuple or not all(type(number) is int and number >= 0 for number in numbers):
            raise ValueError("a tensor whose offset, shape or strides are not made of numbers from 0 up")
    if len(shape) != len(strides) or len(shape) > 32:
        raise ValueError(f"a tensor with {len(shape)} dimensions and {len(strides)} strides")
    if 0 not in shape:
        last = start + sum((dim - 1) * stride for dim, stride in zip(shape, strides, strict=True))
        if (last + 1) * dtype.itemsize > storage.nbytes:
            raise ValueError(f"a tensor that reads element {last} of a storage of {storage.nbytes} bytes")
    elements = math.prod(max(dim, 1) for dim in shape)
    if elements * dtype.itemsize > max(1 << 28, 64 * storage.nbytes):
        raise ValueError(
            f"a tensor of shape {list(shape)} on a storage of {storage.nbytes} bytes, out of all proportion"
        )
    return Tensor(storage, start, shape, strides, dtype)


def tensor_array(file: MappedFile, tensor: Tensor, order: ByteOrder) -> Array:
    """The tensor as a window on the file, or as an array where it is strided, inflated or big-endian.

    Args:
        file: the mapped file.
        tensor: its storage's place must be known by now.
        order: byte order of the storages.

    Raises:
        FormatError: the storage is not in the file.
    """
    storage = tensor.storage
    start = tensor.start * tensor.dtype.itemsize
    if order == "little" and storage.offset is not None and _is_contiguous(tensor.shape, tensor.strides):
        empty = 0 in tensor.shape
        return MappedTensor(file, storage.offset + (0 if empty else start), tensor.dtype, tensor.shape)
    if storage.inflated is None and storage.offset is None:
        raise FormatError(
            file.path, None, f"storage {storage.key!r} is named but not in the file: truncated or damaged"
        )
    view = storage.inflated
    if view is None:
        view = file.window(storage.offset or 0, storage.nbytes, f"storage {storage.key!r}")
    if 0 in tensor.shape:
        return np.empty(tensor.shape, tensor.dtype)
    whole = np.frombuffer(view[start:], np.uint8)
    size = tensor.dtype.itemsize
    whole = whole[: whole.size // size * size]
    if order == "big":
        whole = np.ascontiguousarray(whole.reshape(-1, size)[:, ::-1]).reshape(-1)
    elements: NDArray[np.generic] = whole.view(tensor.dtype)
    strides = [stride * size for stride in tensor.strides]
    return np.lib.stride_tricks.as_strided(elements, tensor.shape, strides, writeable=False)


def _is_contiguous(shape: Sequence[int], strides: Sequence[int]) -> bool:
    expected = 1
    for dim, stride in zip(reversed(shape), reversed(strides), strict=True):
        if dim == 0:
            return True
        if dim != 1 and stride != expected:
            return False
        expected *= dim
    return True

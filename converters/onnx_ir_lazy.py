"""onnx_ir without sympy, which only its symbolic-dimension arithmetic uses.

``import onnx_ir`` imports sympy, 0.4 s and 35 MB that no conversion needs. While onnx_ir is imported here, a stand-in
answers for ``sympy``; it forwards every later use to the real package, so nothing of onnx_ir is lost. Where either is
already imported the plain import happens. Everything in facecvt takes onnx_ir from here: ``from ... import ir``.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any


class DeferredFunction:
    """A name of sympy that onnx_ir stores in a table at import; the call looks it up in the real package."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return getattr(importlib.import_module("sympy"), self._name)(*args, **kwargs)


class DeferredSympy(ModuleType):
    """Stands for sympy: gives names to call later while onnx_ir is imported, the real ones afterwards."""

    importing = True

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        if self.importing:
            return DeferredFunction(name)
        return getattr(importlib.import_module("sympy"), name)


def import_onnx_ir() -> ModuleType:
    """Import onnx_ir; the same module object as ``import onnx_ir`` gives."""
    if "onnx_ir" in sys.modules or "sympy" in sys.modules:
        return importlib.import_module("onnx_ir")
    stand_in = DeferredSympy("sympy")
    sys.modules["sympy"] = stand_in
    try:
        return importlib.import_module("onnx_ir")
    finally:
        stand_in.importing = False
        if sys.modules.get("sympy") is stand_in:
            del sys.modules["sympy"]


if TYPE_CHECKING:
    import onnx_ir as ir
else:
    ir = import_onnx_ir()

__all__ = ["ir"]

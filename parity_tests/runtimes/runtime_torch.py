"""PyTorch: the folder that facecvt writes, ``model.py`` with ``load()`` beside ``weights.pth``.

Outputs come from the model that ``load()`` returns, untouched. A tap is one of

    line:N        what the assignment on line N of model.py assigns, inside ``forward`` of the model's class
    module:PATH   what the submodule of that path returns
    input:PATH    what it is fed, where that is one tensor

For ``line:N`` the source is parsed, a call that keeps a copy is put behind the assignment, and the same model object
takes the resulting class for that run, so that the weights are held once. For the other two a forward hook does it.
All copy at that moment: a later in-place operator does not reach what was taken.

Opening a folder runs the Python code in it.
"""

from __future__ import annotations

import ast
import inspect
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

from facecvt.converters.errors import FacecvtError, FrameworkMissingError
from facecvt.parity_tests.runtimes.runtime import Capture, NumpyArray, RunFailedError, Runtime, named_outputs
from facecvt.parity_tests.streamed import HandOut, streamed

PIP_COMMAND = "pip install torch==2.13.0"
WAIT_POLICY = "OMP_WAIT_POLICY"
CAPTURE = "__facecvt_capture__"
MOST_BYTES = 1 << 25  # of inner values that are taken all at once


def import_torch(purpose: str) -> Any:
    """Import torch so that its idle threads sleep.

    By default they spin for a while, which takes the processor from the oracle that computes in between: on a busy
    machine with two cores a verification took twice as long. OpenMP reads the variable when torch is loaded; it
    changes no number.

    Raises:
        FrameworkMissingError: torch is not installed.
    """
    unset = WAIT_POLICY not in os.environ
    os.environ.setdefault(WAIT_POLICY, "PASSIVE")
    try:
        import torch
    except ImportError as error:
        raise FrameworkMissingError("torch", purpose, PIP_COMMAND) from error
    finally:
        if unset:
            del os.environ[WAIT_POLICY]
    return torch


class TorchRuntime(Runtime):
    """A folder with ``model.py`` and ``weights.pth`` in PyTorch on the CPU.

    Args:
        folder: the folder, or its ``model.py``.
        input_names: names under which the arguments of ``forward`` are fed, in order; by default the arguments' own.
        output_names: names of what ``forward`` returns, in order; by default ``output_0``, ``output_1``, ...
    """

    framework: ClassVar[str] = "torch"

    def __init__(
        self,
        folder: str | Path,
        input_names: Sequence[str] | None = None,
        output_names: Sequence[str] | None = None,
    ) -> None:
        path = Path(folder)
        super().__init__(str(path))
        self.source = path if path.suffix == ".py" else path / "model.py"
        self._names = (input_names, output_names)
        self._model: Any = None
        self._classes: dict[frozenset[int], Any] = {}

    def _open(self) -> None:
        self._torch = import_torch(f"run {self.model}")
        if not self.source.is_file():
            raise RunFailedError(f"{self.model}: there is no {self.source.name} in it")
        self._model = self._execute(parsed(self.source)).load()
        arguments = list(inspect.signature(type(self._model).forward).parameters)[1:]
        self.input_names = list(self._names[0]) if self._names[0] is not None else arguments
        if len(self.input_names) != len(arguments):
            raise RunFailedError(
                f"{self.source}: forward takes {len(arguments)} argument(s) {arguments}, "
                f"but the source has the input(s) {self.input_names}"
            )
        self.output_names = list(self._names[1] or [])

    def _execute(self, tree: ast.Module) -> Any:
        """The module that a syntax tree defines."""
        module = ModuleType("facecvt_model")
        module.__file__ = str(self.source.absolute())
        exec(compile(tree, str(self.source), "exec"), module.__dict__)  # the code that the user asked to run
        return module

    def _run_impl(self, inputs: Mapping[str, NumpyArray], taps: Sequence[str]) -> Capture:
        arguments = [self._torch.from_numpy(inputs[name].copy()) for name in self.input_names]
        with self._torch.inference_mode():
            returned = self._model(*arguments)
        arrays = [self._array(value) for value in flattened(returned)]
        if not self.output_names:
            self.output_names = [f"output_{position}" for position in range(len(arrays))]
        outputs = named_outputs(self.output_names, arrays, self.model)
        taken: dict[str, NumpyArray] = {}
        if taps:
            self._capture(inputs, taps, taken.__setitem__)
        return Capture(outputs, taken)

    def in_parts(self, nbytes: int) -> bool:
        """True of many values."""
        return nbytes > MOST_BYTES

    def walk(self, inputs: Mapping[str, NumpyArray], taps: Sequence[str]) -> Iterator[tuple[str, NumpyArray]]:
        """As :meth:`Runtime.walk`, each as soon as it is computed."""
        self._check(inputs)
        missing = set(taps)
        try:
            for tap, array in streamed(lambda hand_out: self._capture(inputs, list(dict.fromkeys(taps)), hand_out)):
                if tap not in missing:
                    raise RunFailedError(f"{self.framework}: {self.model} computes {tap} more than once in a run")
                missing.remove(tap)
                yield tap, array
                del array
        except FacecvtError:
            raise
        except Exception as error:
            raise self._refused(inputs, error) from error

    def _array(self, value: Any) -> NumpyArray:
        if not isinstance(value, self._torch.Tensor):
            raise TypeError(f"forward returns a {type(value).__name__} where a tensor is expected")
        array: NumpyArray = value.detach().cpu().numpy().copy()
        return array

    def _capture(self, inputs: Mapping[str, NumpyArray], taps: Sequence[str], keep: HandOut) -> None:
        """Run the model a second time, with the taps in place.

        Args:
            inputs, taps: as in :meth:`run`.
            keep: called with each tap and its value when it is computed.
        """
        lines: set[int] = set()
        hooks = []
        untouched = type(self._model)
        try:
            for tap in taps:
                kind, _, where = tap.partition(":")
                if kind == "line" and where.isdigit():
                    lines.add(int(where))
                elif kind == "module":
                    hooks.append(self._submodule(where, tap).register_forward_hook(self._hook(tap, keep)))
                elif kind == "input":
                    hooks.append(self._submodule(where, tap).register_forward_pre_hook(self._input_hook(tap, keep)))
                else:
                    raise RunFailedError(f"{self.model}: tap {tap!r} is neither line:N, module:PATH nor input:PATH")
            arguments = [self._torch.from_numpy(inputs[name].copy()) for name in self.input_names]

            def keep_line(line: int, value: Any) -> None:
                keep(f"line:{line}", self._array(value))

            self._model.__class__ = self._instrumented_class(frozenset(lines), keep_line)
            with self._torch.inference_mode():
                self._model(*arguments)
        finally:
            self._model.__class__ = untouched
            for hook in hooks:
                hook.remove()

    def _submodule(self, path: str, tap: str) -> Any:
        try:
            return self._model.get_submodule(path)
        except AttributeError as error:
            raise RunFailedError(f"{self.model}: tap {tap!r}: the model has no such submodule") from error

    def _hook(self, tap: str, keep: HandOut) -> Callable[[Any, Any, Any], None]:
        def keep_output(module: Any, arguments: Any, output: Any) -> None:
            keep(tap, self._array(output))

        return keep_output

    def _input_hook(self, tap: str, keep: HandOut) -> Callable[[Any, Any], None]:
        def keep_input(module: Any, arguments: Any) -> None:
            (fed,) = arguments
            keep(tap, self._array(fed))

        return keep_input

    def _instrumented_class(self, lines: frozenset[int], keep: Callable[[int, Any], None]) -> Any:
        """The model's class with a capture behind the assignments on these lines of its ``forward``."""
        if not lines:
            return type(self._model)
        if lines not in self._classes:
            name = type(self._model).__name__
            self._classes[lines] = getattr(self._execute(instrumented(self.source, name, lines)), name)
        found = self._classes[lines]
        found.forward.__globals__[CAPTURE] = keep
        return found

    def _close(self) -> None:
        self._model = None
        self._classes = {}


def flattened(returned: Any) -> list[Any]:
    """What ``forward`` returned as a list: one tensor, a tuple or list of tensors, or the values of a dict."""
    if isinstance(returned, Mapping):
        return list(returned.values())
    return list(returned) if isinstance(returned, (tuple, list)) else [returned]


def instrumented(source: Path, class_name: str, lines: frozenset[int]) -> ast.Module:
    """A module in which assignments of one class's ``forward`` hand their value to the capture function.

    Args:
        source: the Python file.
        class_name: the class whose ``forward`` is meant.
        lines: numbers of the lines on which the assignments begin.

    Raises:
        RunFailedError: a line holds no assignment to a single name.
    """
    inserter = _CaptureInserter(class_name, lines)
    tree: ast.Module = inserter.visit(parsed(source))
    lost = sorted(lines - inserter.found)
    if lost:
        raise RunFailedError(f"{source}: no assignment to one name in {class_name}.forward on line(s) {lost[:10]}")
    return ast.fix_missing_locations(tree)


def parsed(source: Path) -> ast.Module:
    """The syntax tree of a Python file."""
    return ast.parse(source.read_text(encoding="utf-8"), filename=str(source))


class _CaptureInserter(ast.NodeTransformer):
    """Puts ``capture(line, name)`` behind assignments inside ``<class_name>.forward``."""

    def __init__(self, class_name: str, lines: frozenset[int]) -> None:
        self.class_name = class_name
        self.lines = lines
        self.found: set[int] = set()
        self._scope: list[str] = []

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        return self._inside(node, node.name)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        return self._inside(node, node.name)

    def _inside(self, node: ast.ClassDef | ast.FunctionDef, name: str) -> ast.AST:
        self._scope.append(name)
        self.generic_visit(node)
        self._scope.pop()
        return node

    def visit_Assign(self, node: ast.Assign) -> ast.AST | list[ast.stmt]:
        target = node.targets[0]
        if self._scope != [self.class_name, "forward"] or node.lineno not in self.lines:
            return node
        if len(node.targets) != 1 or not isinstance(target, ast.Name):
            return node
        self.found.add(node.lineno)
        arguments: list[ast.expr] = [ast.Constant(node.lineno), ast.Name(target.id, ast.Load())]
        call = ast.Expr(ast.Call(ast.Name(CAPTURE, ast.Load()), arguments, []))
        return [node, ast.copy_location(call, node)]

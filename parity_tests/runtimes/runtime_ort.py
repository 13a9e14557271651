"""ONNX Runtime: an ONNX file as written.

Outputs come from a session with ONNX Runtime's default options on the file itself; of a great file on its skeleton,
whose weights ONNX Runtime takes from the file, so that it holds no copy of the file beside what it makes of it.

Inner values come from a second session, which optimises nothing, on the model with them as graph outputs. That needs no
ONNX library and no second model in memory: a protobuf message that is repeated is merged with the first, so the bytes
of a small ModelProto that holds nothing but the additional outputs are appended to the file's skeleton, or to a copy of
the file where it has none. Where memory matters, :meth:`OrtRuntime.walk` runs the model in parts instead
(:mod:`facecvt.parity_tests.runtimes.ort_parts`), which gives the same numbers.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np

from facecvt.converters.errors import FacecvtError, FrameworkMissingError
from facecvt.converters.formats.onnx_skeleton import OnnxSkeleton, read_skeleton
from facecvt.parity_tests.memory import give_back_memory, memory_given_back, trim_memory
from facecvt.parity_tests.runtimes.ort_parts import MOST_BYTES, OrtParts, can_be_cut
from facecvt.parity_tests.runtimes.runtime import Capture, NumpyArray, RunFailedError, Runtime, named_outputs

PIP_COMMAND = "pip install onnxruntime==1.31.1"
THREADS = 1 if os.environ.get("OMP_NUM_THREADS") == "1" else 2  # as every other library that computes
LARGE = 8 << 20  # bytes of a file from which on its opening is worth giving memory back
SEVERITY_FATAL = 4  # what it refuses is raised, and told from there


class OrtRuntime(Runtime):
    """An ONNX file in ONNX Runtime on the CPU. A tap is the name of any value that the graph computes.

    Args:
        path: the ``.onnx`` file; external data is found beside it.
        optimised: whether ONNX Runtime may change the graph before it runs it, as it does by default.
        threads: that one operator is computed on.
    """

    framework: ClassVar[str] = "onnxruntime"

    def __init__(self, path: str | Path, *, optimised: bool = True, threads: int = THREADS) -> None:
        super().__init__(str(path))
        self.path, self._optimised, self._threads = Path(path), optimised, threads
        self._folder = self.path.absolute().parent  # where external data of a model in memory lies
        self._session: Any = None
        self._tapped: Any = None
        self._taps: frozenset[str] = frozenset()
        self._cut: OrtParts | bool = False  # False: not looked at yet; True: it cannot be cut
        self._read: OnnxSkeleton | Literal[False] | None = False  # False: not looked at yet

    def _open(self) -> None:
        try:
            import onnxruntime
        except ImportError as error:
            raise FrameworkMissingError("onnxruntime", f"run {self.path}", PIP_COMMAND) from error
        self._onnxruntime = onnxruntime
        self._session = self._deployed()
        self.input_names = [value.name for value in self._session.get_inputs()]
        self.output_names = [value.name for value in self._session.get_outputs()]

    def _deployed(self) -> Any:
        """A session on the file as users run it."""
        if self._is_great():
            skeleton = self._skeleton()
            if skeleton is not None:
                self._folder = self.path.resolve().parent
                give_back_memory()
                with suppress(Exception), memory_given_back():  # what is wrong with a file is told of the file itself
                    return self._start(skeleton.model, optimised=self._optimised)
        return self._start(str(self.path), optimised=self._optimised)

    def _skeleton(self) -> OnnxSkeleton | None:
        """The file without its weights, read once; None where ONNX's own means have to read it."""
        if self._read is False:
            self._read = read_skeleton(self.path.resolve())
        return self._read if isinstance(self._read, OnnxSkeleton) else None

    def _is_great(self) -> bool:
        return self.path.stat().st_size > LARGE

    def _start(self, model: str | bytes, *, optimised: bool = True, arena: bool = True) -> Any:
        options = self._onnxruntime.SessionOptions()
        options.intra_op_num_threads = self._threads
        options.log_severity_level = SEVERITY_FATAL
        options.enable_cpu_mem_arena = arena
        # Idle threads that spin take the processor from the oracle; they do not change a number.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        if not optimised:
            options.graph_optimization_level = self._onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        if isinstance(model, bytes):
            key = "session.model_external_initializers_file_folder_path"
            options.add_session_config_entry(key, str(self._folder))
        session = self._onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        if self._is_great():
            trim_memory()  # opening takes more than what is kept
        return session

    def _run_impl(self, inputs: Mapping[str, NumpyArray], taps: Sequence[str]) -> Capture:
        if self._session is None:
            self._session = self._deployed()
        # Copies: an array of ONNX Runtime keeps the whole arena alive that it lies in, after the session as well.
        arrays = [np.array(array) for array in self._session.run(None, dict(inputs))]
        outputs = named_outputs(self.output_names, arrays, self.model)
        if not taps:
            return Capture(outputs)
        if not self._taps.issuperset(taps):
            self._open_tapped(taps)
        options = self._onnxruntime.RunOptions()
        options.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")  # the taps are the caller's now
        return Capture(outputs, dict(zip(taps, self._tapped.run(list(taps), dict(inputs), options), strict=True)))

    def in_parts(self, nbytes: int) -> bool:
        """True of great files, and of many values, unless the model cannot be cut."""
        return (self._is_great() or nbytes > MOST_BYTES) and self._parts() is not None

    def walk(self, inputs: Mapping[str, NumpyArray], taps: Sequence[str]) -> Iterator[tuple[str, NumpyArray]]:
        """As :meth:`Runtime.walk`, part by part where the model can be cut."""
        parts = self._parts()
        if parts is None:
            yield from super().walk(inputs, taps)
            return
        self._check(inputs)
        try:
            yield from parts.walk(inputs, frozenset(taps))
        except FacecvtError:
            raise
        except Exception as error:
            raise self._refused(inputs, error) from error

    def _parts(self) -> OrtParts | None:
        if self._cut is False:
            self._cut = True
            model = self._without_weights()
            if model is not None and can_be_cut(model):
                self._folder = self.path.resolve().parent
                self._cut = OrtParts(model, self._run_part)
        return self._cut if isinstance(self._cut, OrtParts) else None

    def _without_weights(self) -> Any:
        """The model, with its greater weights as external data; None where it is not to be had."""
        import onnx

        skeleton = self._skeleton()
        if skeleton is not None:
            return skeleton.proto()
        return onnx.load(str(self.path), load_external_data=False) if self._has_external_data() else None

    def _run_part(self, model: bytes, names: Sequence[str], inputs: Mapping[str, NumpyArray]) -> list[NumpyArray]:
        session = self._start(model, optimised=False, arena=False)  # what a part gives is kept without its session
        arrays: list[NumpyArray] = session.run(list(names), dict(inputs))
        del session
        if self._is_great():
            trim_memory()
        return arrays

    def release(self) -> None:
        """Close both sessions; the next run opens what it needs."""
        self._session = self._tapped = None
        self._taps = frozenset()
        if self._is_great():
            trim_memory()

    def _open_tapped(self, taps: Sequence[str]) -> None:
        """Open a copy of the model whose outputs are the taps as well."""
        self._tapped = None
        more = [tap for tap in taps if tap not in self.output_names]
        suffix = additional_outputs(more)
        whole = self.path.resolve()  # ONNX Runtime refuses data outside of the model's folder, so also behind a link
        try:
            skeleton = self._skeleton()
            if skeleton is not None:
                self._folder = whole.parent
                self._tapped = self._start(skeleton.model + suffix, optimised=False)
            elif self._has_external_data():
                self._tapped = self._start(self.path.read_bytes() + suffix, optimised=False)
            else:
                with tempfile.TemporaryDirectory(prefix="facecvt-taps-") as folder:
                    copy = Path(folder) / "model.onnx"
                    shutil.copyfile(self.path, copy)
                    with open(copy, "ab") as file:
                        file.write(suffix)
                    self._tapped = self._start(str(copy), optimised=False)
        except Exception as error:
            raise RunFailedError(
                f"onnxruntime cannot open {self.path} with {len(more)} inner value(s) as outputs, "
                f"{more[:3]} among them: {error}"
            ) from error
        self._taps = frozenset(taps)

    def _has_external_data(self) -> bool:
        """Whether weights lie outside the file; then the file itself is small."""
        import onnx

        if self.path.stat().st_size > (1 << 26):
            return False
        model = onnx.load(str(self.path), load_external_data=False)
        return any(tensor.data_location == onnx.TensorProto.EXTERNAL for tensor in model.graph.initializer)

    def _close(self) -> None:
        self._session = self._tapped = None
        self._taps = frozenset()
        self._cut = self._read = False


def additional_outputs(names: Sequence[str]) -> bytes:
    """A serialised ModelProto with nothing but graph outputs of these names; their types are left to inference."""
    import onnx

    graph = onnx.GraphProto(output=[onnx.ValueInfoProto(name=name) for name in names])
    serialised: bytes = onnx.ModelProto(graph=graph).SerializeToString()
    return serialised

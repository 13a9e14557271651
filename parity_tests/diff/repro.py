"""The layer at fault alone, in a folder that anybody can run: the layer of both sides, what it is fed, what A gives.

a.onnx, b.onnx    the layer as A and as B have it, of the canonical graphs
inputs.npz        what A's layer is fed: A's float64 activations, by the names of a.onnx
inputs_b.npz      the same numbers for b.onnx, by its names and in its arrangement
expected.npy      what A gives there, in float64
run.py            runs both in ONNX Runtime and prints how far each is from that; needs numpy and onnxruntime alone
finding.json      the layer, its own error as it was reported, its floor, and the cause where one was proven
README.txt        the same as text
"""

from __future__ import annotations

import json
import math
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from facecvt.converters.formats.atomic import atomic_folder
from facecvt.converters.graph import NumpyArray
from facecvt.parity_tests.diff.difference import Divergence
from facecvt.parity_tests.diff.explain import Fed

COMMAND = "python run.py"
FINDING = "finding.json"
SCRIPT = '''\
"""Run the layer as A and as B have it: rel-RMSE = rms(found - expected) / rms(expected), expected being A in float64.

Exit code 0: the error of b.onnx is the reported one to 3 digits; 1: it is another. Needs numpy and onnxruntime.
"""

import json
from pathlib import Path

import numpy as np
import onnxruntime

HERE = Path(__file__).resolve().parent
finding = json.loads((HERE / "finding.json").read_text(encoding="utf-8"))
expected = np.load(HERE / "expected.npy")


def computed(model, inputs):
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(str(HERE / model), options, providers=["CPUExecutionProvider"])
    with np.load(HERE / inputs) as fed:
        arrays = {name: fed[name] for name in (value.name for value in session.get_inputs())}
    arrays = {name: array.astype(np.float32) if array.dtype == np.float64 else array for name, array in arrays.items()}
    return session.run(None, arrays)[0].astype(np.float64)


def arranged(array):
    """As A has it: the same shape, or other axes of size 1, or NHWC for NCHW."""
    if array.shape == expected.shape:
        return array
    if [size for size in array.shape if size != 1] == [size for size in expected.shape if size != 1]:
        return array.reshape(expected.shape)
    if array.ndim == expected.ndim == 4:
        for order in ((0, 2, 3, 1), (0, 3, 1, 2)):
            if array.transpose(order).shape == expected.shape:
                return array.transpose(order)
    return None


def report(side, model, inputs):
    found = arranged(computed(model, inputs))
    if found is None:
        print(f"{side} {model}: another shape than {list(expected.shape)}")
        return None
    if not np.isfinite(found).all():
        print(f"{side} {model}: {int((~np.isfinite(found)).sum())} of {found.size} values are NaN or Inf")
        return None
    off = np.abs(found - expected)
    worst = np.unravel_index(off.argmax(), off.shape)
    scale = np.sqrt((expected**2).sum())
    error = float(np.sqrt((off**2).sum()) / scale) if scale else float("inf")
    at = f"[{', '.join(str(int(place)) for place in worst)}]"
    print(f"{side} {model}: rel-RMSE {error:.3e}, greatest difference {off.max():.3e} at {at}: "
          f"{found[worst]:.9g} where {expected[worst]:.9g} is expected")
    return error


report("A", "a.onnx", "inputs.npz")
error = report("B", "b.onnx", "inputs_b.npz")
reported = finding["own_rel_rmse"]
print("reported for B: " + ("no number" if reported is None else f"rel-RMSE {reported:.3e}"))
same = error is None if reported is None else error is not None and abs(error - reported) <= 5e-4 * abs(reported)
raise SystemExit(0 if same else 1)
'''


def write_repro(folder: str | Path, found: Divergence, layer: Fed) -> None:
    """Write the folder; see the module's docstring. It appears whole or not at all.

    Args:
        folder: where to; the caller has made sure that it may be written.
        found: the layer at fault, and why.
        layer: the layer, cut out of both sides, with what it is fed.

    Raises:
        UsageError: the folder cannot be written.
    """
    with atomic_folder(folder) as target:
        (target / "a.onnx").write_bytes(layer.case.a.proto().SerializeToString())
        (target / "b.onnx").write_bytes(layer.case.b.proto().SerializeToString())
        write_arrays(target / "inputs.npz", layer.exact_a)
        write_arrays(target / "inputs_b.npz", layer.exact_b)
        np.save(target / "expected.npy", np.ascontiguousarray(layer.expected))
        (target / "run.py").write_text(SCRIPT, encoding="utf-8")
        (target / FINDING).write_text(json.dumps(finding(found), indent=2) + "\n", encoding="utf-8")
        (target / "README.txt").write_text(readme(found, layer), encoding="utf-8")


def finding(found: Divergence) -> dict[str, object]:
    """What was found, as a JSON object."""
    fault, cause = found.fault, found.cause
    return {
        "a": fault.a,
        "b": fault.b,
        "operator": fault.result.operator,
        "own_rel_rmse": number(fault.own.rel_rmse),
        "own_max_abs": number(fault.own.max_abs),
        "floor": number(fault.floor),
        "problem": fault.own.problem,
        "cause": cause.name if cause is not None else None,
        "detail": cause.detail if cause is not None else None,
        "command": COMMAND,
    }


def readme(found: Divergence, layer: Fed) -> str:
    """What is seen, as text."""
    fault, cause = found.fault, found.cause
    off = fault.own.problem or f"rel-RMSE {fault.own.rel_rmse:.3e}"
    inputs = ", ".join(f"{name} {list(array.shape)}" for name, array in layer.exact_a.items())
    lines = [
        f"The layer {fault.a} of A ({fault.result.operator}), which is {fault.b} in B, alone.",
        "",
        f"Fed what A computes before it, it is off by: {off}",
        f"What float32 costs there by itself (floor):  rel-RMSE {fault.floor:.3e}; 10 floors are allowed",
        f"Cause: {cause.name}: {cause.detail}" if cause is not None else "Cause: none of the known ones was proven",
        "",
        f"Run it:  {COMMAND}        (needs numpy and onnxruntime; exit code 0: B is off as reported)",
        "",
        "a.onnx, b.onnx   the layer as A and as B have it, with its weights",
        f"inputs.npz       what it is fed, A's float64 activations: {inputs}",
        "inputs_b.npz     the same for b.onnx",
        f"expected.npy     what A gives, float64, {list(layer.expected.shape)}",
        "finding.json     these figures",
    ]
    return "\n".join(lines) + "\n"


def number(value: float) -> float | None:
    """JSON has no NaN and no Inf."""
    return float(value) if math.isfinite(value) else None


def write_arrays(path: Path, arrays: Mapping[str, NumpyArray]) -> None:
    """An ``.npz`` whose keys may be any names, and whose bytes are the same each time."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, array in arrays.items():
            with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as stream:
                np.lib.format.write_array(stream, np.ascontiguousarray(array), allow_pickle=False)  # type: ignore[no-untyped-call]

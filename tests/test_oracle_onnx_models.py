"""Real ONNX models: the oracle against ONNX Runtime, at every float value that ONNX Runtime can show."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest

from facecvt.parity_tests.oracle.onnx_model import OnnxOracle

MODELS = (
    pytest.param("blazeface-paddledet-port/blazeface.onnx", marks=pytest.mark.slow),  # the next one, not simplified
    "blazeface-paddledet-port/blazeface_sim.onnx",
    "ppocr-v2-cls/PP_OCR_v2_cls.onnx",
    "ultra-light-face/version-RFB-320.onnx",
    "ultra-light-face/version-RFB-320_without_postprocessing.onnx",
    "ultra-light-face/version-slim-320_simplified.onnx",
)


def rel_rmse(found: np.ndarray, exact: np.ndarray) -> float:
    return float(np.sqrt(np.mean((found - exact) ** 2) / max(float(np.mean(exact**2)), 1e-300)))


@pytest.mark.parametrize("name", MODELS)
def test_real_model_agrees_layer_by_layer(name: str, real_models: Any, ort_module: Any) -> None:
    path = real_models / "onnx" / name
    oracle = OnnxOracle(path)
    model = onnx.load(path)
    wanted = oracle.layer_names
    known = {item.name for item in model.graph.output}
    model.graph.output.extend(onnx.helper.make_empty_tensor_value_info(value) for value in wanted if value not in known)
    options = ort_module.SessionOptions()
    options.log_severity_level = 4
    options.graph_optimization_level = ort_module.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort_module.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    rng = np.random.default_rng(11)
    initial = {item.name for item in model.graph.initializer}
    feeds = {
        item.name: rng.uniform(-1, 1, [d.dim_value or 2 for d in item.type.tensor_type.shape.dim]).astype(np.float32)
        for item in model.graph.input
        if item.name not in initial
    }
    assert list(feeds) == oracle.input_names
    found = dict(zip(wanted, session.run(wanted, feeds), strict=True))
    errors: dict[str, float] = {}
    floor: dict[str, float] = {}
    single = OnnxOracle(path, np.float32)
    for (value_name, exact), (_, clean) in zip(oracle.evaluator.walk(feeds), single.evaluator.walk(feeds), strict=True):
        theirs = found.pop(value_name)
        assert exact.shape == theirs.shape, value_name
        if exact.dtype.kind == "f":
            errors[value_name] = rel_rmse(theirs, exact)
            floor[value_name] = rel_rmse(clean, exact)
        else:
            assert np.array_equal(exact, theirs), value_name
    assert found == {}
    # Clean float32 noise is up to 5e-6, more where large terms cancel: there the float32 variant is as far off.
    assert {value: error for value, error in errors.items() if error > max(5e-6, 10 * floor[value])} == {}
    assert sum(error > 5e-6 for error in errors.values()) <= 2
    assert max(errors[value] for value in oracle.output_names) > 0

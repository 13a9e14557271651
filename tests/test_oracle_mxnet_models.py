"""Real MXNet models and the reference r50: the oracle against MXNet 1.9.1, every layer, not the outputs alone."""

from __future__ import annotations

import numpy as np
import pytest

from facecvt.converters.formats.locate import MxnetFiles
from facecvt.converters.formats.mxnet_model import MxnetModel, load_mxnet
from facecvt.converters.formats.mxnet_symbol import read_symbol
from facecvt.parity_tests.oracle.mxnet_symbol import MxnetOracle

MODELS = {
    "det1-old": ("mtcnn-det1/det1-symbol.json", "mtcnn-det1/det1-0001.params", (2, 3, 21, 30)),
    "det1-new": ("mtcnn-det1/det1-newjson-symbol.json", "mtcnn-det1/det1-0001.params", (1, 3, 12, 12)),
    "det2-old": ("mtcnn-det2/det2-symbol.json", "mtcnn-det2/det2-0001.params", (3, 3, 24, 24)),
    "det2-new": ("mtcnn-det2/det2-newjson-symbol.json", "mtcnn-det2/det2-0001.params", (1, 3, 24, 24)),
    "det3-old": ("mtcnn-det3/det3-symbol.json", "mtcnn-det3/det3-0001.params", (2, 3, 48, 48)),
    "det3-new": ("mtcnn-det3/det3-newjson-symbol.json", "mtcnn-det3/det3-0001.params", (1, 3, 48, 48)),
    "gender-age": (
        "insightface-gender-age/model-symbol.json", "insightface-gender-age/model-0000.params", (2, 3, 112, 112),
    ),
    "retinaface": ("retinaface-mnet25/M25-symbol.json", "retinaface-mnet25/mnet.25-0000.params", (2, 3, 96, 128)),
}  # fmt: skip
PIXELS = ("gender-age", "retinaface", "r50")


def layers_in_mxnet(mx, symbol, args: dict[str, np.ndarray], aux: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Every internal value that is not a variable, float32."""
    internals = symbol.get_internals()
    variables = {*internals.list_inputs()}
    wanted = [name for name in internals.list_outputs() if name not in variables]
    group = mx.sym.Group([internals[name] for name in wanted])
    held = {name: mx.nd.array(np.asarray(value)) for name, value in args.items()}
    for name in group.list_arguments():
        if name.endswith("label"):
            held[name] = mx.nd.zeros((args["data"].shape[0],))
    executor = group.bind(
        mx.cpu(),
        {name: held[name] for name in group.list_arguments()},
        aux_states={name: mx.nd.array(np.asarray(aux[name])) for name in group.list_auxiliary_states()},
    )
    return dict(zip(wanted, (output.asnumpy() for output in executor.forward(is_train=False)), strict=True))


def rel_rmse(found: np.ndarray, exact: np.ndarray) -> float:
    return float(np.sqrt(np.mean((found - exact) ** 2) / max(np.mean(exact**2), 1e-300)))


def assert_layers_agree(mx, symbol, model: MxnetModel, feed: np.ndarray) -> None:
    weights = {name: array.numpy() if hasattr(array, "numpy") else array for name, array in model.args.items()}
    aux = {name: array.numpy() if hasattr(array, "numpy") else array for name, array in model.aux.items()}
    found = layers_in_mxnet(mx, symbol, {**weights, "data": feed}, aux)
    oracle = MxnetOracle(model)
    assert oracle.input_names == ["data"]
    assert oracle.output_names == symbol.list_outputs()
    errors: dict[str, float] = {}
    shapes: dict[str, tuple[int, ...]] = {}

    def compare(name: str, value: np.ndarray) -> None:
        shapes[name] = value.shape
        errors[name] = rel_rmse(found[name], value)

    oracle.run({"data": feed}, compare)
    assert list(errors) == oracle.layer_names
    assert set(errors) == set(found)
    assert shapes == {name: value.shape for name, value in found.items()}
    # Rounding of float32, which grows with depth; clean runs of IResNets showed 1.0e-6 to 4.7e-6.
    worst = max(errors, key=errors.__getitem__)
    assert errors[worst] <= 5e-6, (worst, errors[worst])
    assert max(errors[name] for name in oracle.output_names) > 0


@pytest.mark.parametrize("name", MODELS)
def test_real_model_agrees_layer_by_layer(name: str, real_models, mxnet_module) -> None:
    symbol_name, params_name, shape = MODELS[name]
    files = MxnetFiles(
        name=name, symbol=real_models / "mxnet" / symbol_name, params=real_models / "mxnet" / params_name
    )
    rng = np.random.default_rng(7)
    feed = rng.integers(0, 256, shape) if name in PIXELS else rng.uniform(-1, 1, shape)
    symbol = mxnet_module.sym.load(str(files.symbol))
    assert_layers_agree(mxnet_module, symbol, load_mxnet(files), feed.astype(np.float32))


def r50_model(mx, tmp_path) -> tuple[object, MxnetModel]:
    """The reference r50 with weights that keep activations of order one, and its record read back from JSON."""
    from facecvt.reference_models.iresnet.net_mxnet import iresnet

    symbol = iresnet()
    symbol.save(str(tmp_path / "r50-symbol.json"))
    shapes, _, aux_shapes = symbol.infer_shape(data=(1, 3, 112, 112))
    rng = np.random.default_rng(50)
    args = {}
    for name, shape in zip(symbol.list_arguments(), shapes, strict=True):
        if len(shape) > 1:
            args[name] = rng.standard_normal(shape).astype(np.float32) * np.float32(1 / np.sqrt(np.prod(shape[1:])))
        elif name.endswith("_gamma"):
            args[name] = rng.uniform(0.2, 0.6, shape).astype(np.float32)
        else:
            args[name] = rng.uniform(-0.1, 0.1, shape).astype(np.float32)
    del args["data"]
    aux = {}
    for name, shape in zip(symbol.list_auxiliary_states(), aux_shapes, strict=True):
        low, high = (0.5, 1.5) if name.endswith("_var") else (-0.1, 0.1)
        aux[name] = rng.uniform(low, high, shape).astype(np.float32)
    return symbol, MxnetModel(read_symbol(tmp_path / "r50-symbol.json"), args, aux, "r50", ())


def test_r50_agrees_layer_by_layer(mxnet_module, tmp_path) -> None:
    symbol, model = r50_model(mxnet_module, tmp_path)
    feed = np.random.default_rng(3).integers(0, 256, (2, 3, 112, 112)).astype(np.float32)
    assert_layers_agree(mxnet_module, symbol, model, feed)


def test_float32_variant_gives_a_floor(mxnet_module, tmp_path) -> None:
    _, model = r50_model(mxnet_module, tmp_path)
    feed = np.random.default_rng(4).integers(0, 256, (1, 3, 112, 112)).astype(np.float32)
    exact = MxnetOracle(model).run({"data": feed})["fc1_output"]
    single = MxnetOracle(model, np.float32).run({"data": feed})["fc1_output"]
    assert single.dtype == np.float32
    assert 1e-8 < rel_rmse(single, exact) < 5e-6

"""Where other converters of MXNet models fail: fix_gamma, PReLU slopes, flatten, eps, shared names, labels, leftovers.

Every model is built, saved and run by the real MXNet; the converted model must give its numbers.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from facecvt.converters.conversion import convert_files
from facecvt.converters.errors import UnsupportedOperatorsError, WeightsError
from facecvt.converters.formats.locate import locate


def rel_rmse(value: np.ndarray, reference: np.ndarray) -> float:
    """Root of the mean squared difference over that of the reference."""
    assert value.shape == reference.shape
    return float(np.sqrt(np.mean((value - reference) ** 2.0) / np.mean(reference**2.0)))


class MxnetNet:
    """A symbol with random weights, saved under a prefix, and what MXNet makes of an input."""

    def __init__(self, mx, symbol, folder: Path, shape, *, overrides=None, labels=()) -> None:
        self.mx, self.symbol, self.shape = mx, symbol, shape
        rng = np.random.default_rng(0)
        arg_shapes, _, aux_shapes = symbol.infer_shape(data=shape)
        self.args, self.aux = {}, {}
        for name, size in zip(symbol.list_arguments(), arg_shapes, strict=True):
            if name != "data" and name not in labels:
                self.args[name] = rng.uniform(0.5, 1.5, size).astype(np.float32) * rng.choice([-1, 1], size)
        for name, size in zip(symbol.list_auxiliary_states(), aux_shapes, strict=True):
            self.aux[name] = rng.uniform(0.5, 1.5, size).astype(np.float32)
        for name, value in (overrides or {}).items():
            (self.aux if name in self.aux else self.args)[name] = np.asarray(value, np.float32)
        self.prefix = folder / "net"
        symbol.save(f"{self.prefix}-symbol.json")
        arrays = {f"arg:{k}": mx.nd.array(v) for k, v in self.args.items()}
        arrays.update({f"aux:{k}": mx.nd.array(v) for k, v in self.aux.items()})
        mx.nd.save(f"{self.prefix}-0000.params", arrays)

    def run(self, data: np.ndarray) -> np.ndarray:
        mx = self.mx
        args = {name: mx.nd.array(value) for name, value in self.args.items()}
        args["data"] = mx.nd.array(data)
        for name, shape in zip(self.symbol.list_arguments(), self.symbol.infer_shape(data=data.shape)[0], strict=True):
            if name not in args:
                args[name] = mx.nd.zeros(shape)
        aux = {name: mx.nd.array(value) for name, value in self.aux.items()}
        executor = self.symbol.bind(mx.cpu(), args, aux_states=aux, grad_req="null")
        return executor.forward(is_train=False)[0].asnumpy()


def run_onnx(path: Path, data: np.ndarray) -> list[np.ndarray]:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path))
    return session.run(None, {session.get_inputs()[0].name: data})


def run_torch(folder: Path, data: np.ndarray) -> np.ndarray:
    import importlib.util

    import torch

    spec = importlib.util.spec_from_file_location(f"model_{folder.name}", folder / "model.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    with torch.no_grad():
        return module.load()(torch.from_numpy(data)).numpy()


def assert_both_targets_agree(net: MxnetNet, folder: Path, *, bound: float = 1e-6) -> None:
    shape = tuple(int(n) for n in net.shape)
    files = locate("mxnet", str(net.prefix))
    shapes = {"data": ("batch", *shape[1:])}
    convert_files("mxnet", files, "onnx", folder / "net.onnx", input_shapes=shapes)
    convert_files("mxnet", files, "torch", folder / "net_torch", input_shapes=shapes)
    for batch in (1, 2, 3):
        data = np.random.default_rng(batch).normal(size=(batch, *shape[1:])).astype(np.float32)
        expected = net.run(data)
        assert rel_rmse(run_onnx(folder / "net.onnx", data)[0], expected) < bound
        assert rel_rmse(run_torch(folder / "net_torch", data), expected) < bound


@pytest.fixture
def mx(mxnet_module, ort_module, torch_module):
    return mxnet_module


@pytest.mark.parametrize("fix_gamma", [None, True, False])
def test_a_stored_gamma_that_fix_gamma_ignores_is_ignored(mx, tmp_path, fix_gamma) -> None:
    options = {} if fix_gamma is None else {"fix_gamma": fix_gamma}
    data = mx.sym.FullyConnected(mx.sym.Variable("data"), num_hidden=5, name="pre_fc1")
    net = MxnetNet(mx, mx.sym.BatchNorm(data, eps=2e-5, name="fc1", **options), tmp_path, (2, 3, 4, 4))
    assert abs(net.args["fc1_gamma"] - 1).max() > 0.2  # else the trap is not armed
    assert_both_targets_agree(net, tmp_path)


def test_a_slope_of_as_many_channels_as_columns_acts_on_channels(mx, tmp_path) -> None:
    symbol = mx.sym.LeakyReLU(mx.sym.Variable("data"), act_type="prelu", name="relu0")
    net = MxnetNet(mx, symbol, tmp_path, (2, 4, 4, 4))
    assert net.args["relu0_gamma"].shape == (4,)
    assert_both_targets_agree(net, tmp_path)


def test_a_fully_connected_layer_flattens_unless_told_otherwise(mx, tmp_path) -> None:
    symbol = mx.sym.FullyConnected(mx.sym.Variable("data"), num_hidden=5, name="fc")
    assert '"flatten"' not in symbol.tojson()
    assert_both_targets_agree(MxnetNet(mx, symbol, tmp_path, (2, 3, 4, 5)), tmp_path)


@pytest.mark.parametrize("eps", [2e-5, 1e-3, 1e-5, None])
def test_eps_travels(mx, tmp_path, eps) -> None:
    options = {} if eps is None else {"eps": eps}
    symbol = mx.sym.BatchNorm(mx.sym.Variable("data"), fix_gamma=False, name="bn", **options)
    small = np.array([1e-4, 2e-4, 5e-5], np.float32)  # so small that a wrong eps shows in the second digit
    net = MxnetNet(mx, symbol, tmp_path, (2, 3, 4, 4), overrides={"bn_moving_var": small})
    assert_both_targets_agree(net, tmp_path)


def test_weights_are_found_by_edge_when_names_cross(mx, tmp_path) -> None:
    swapped = mx.sym.Variable("fc1_weight"), mx.sym.Variable("fc1_bias")
    data = mx.sym.FullyConnected(
        mx.sym.Variable("data"), weight=swapped[0], bias=swapped[1], num_hidden=5, name="pre_fc1"
    )
    symbol = mx.sym.FullyConnected(
        data, weight=mx.sym.Variable("pre_fc1_weight"), bias=mx.sym.Variable("pre_fc1_bias"), num_hidden=5, name="fc1"
    )
    assert_both_targets_agree(MxnetNet(mx, symbol, tmp_path, (2, 5)), tmp_path)


def test_labels_and_losses_are_removed_and_said_so(mx, tmp_path) -> None:
    data = mx.sym.FullyConnected(mx.sym.Variable("data"), num_hidden=3, name="fc")
    symbol = mx.sym.SoftmaxOutput(mx.sym.BlockGrad(data, name="stop"), name="prob1")
    net = MxnetNet(mx, symbol, tmp_path, (2, 6), labels=("prob1_label",))
    conversion = convert_files(
        "mxnet", locate("mxnet", str(net.prefix)), "onnx", tmp_path / "n.onnx", input_shapes={"data": ("batch", 6)}
    )
    assert [contract.name for contract in conversion.contracts] == ["data"]
    assert any("prob1_label" in warning for warning in conversion.warnings)
    assert_both_targets_agree(net, tmp_path)


@pytest.mark.parametrize("names", [("_minusscalar0", "_mulscalar0"), ("first", "second")])
def test_normalisation_is_recorded_whatever_its_nodes_are_called(mx, tmp_path, names) -> None:
    data = mx.sym._internal._minus_scalar(
        mx.sym.identity(mx.sym.Variable("data"), name="id"), scalar=127.5, name=names[0]
    )
    data = mx.sym._internal._mul_scalar(data, scalar=0.0078125, name=names[1])
    symbol = mx.sym.Convolution(data, num_filter=2, kernel=(3, 3), name="conv0")
    net = MxnetNet(mx, symbol, tmp_path, (1, 3, 8, 8))
    conversion = convert_files("mxnet", locate("mxnet", str(net.prefix)), "onnx", tmp_path / "n.onnx")
    (contract,) = conversion.contracts
    assert (contract.mean, contract.scale, contract.in_graph) == ((127.5,), (0.0078125,), True)
    assert contract.shape == ("batch", 3, "height", "width")


def test_renamed_statistics_are_refused_with_the_names_of_both_sides(real_models, tmp_path) -> None:
    folder = real_models / "mxnet" / "retinaface-mnet25"
    for name in ("mnet.25-symbol.json", "mnet.25-0000.params"):
        shutil.copy(folder / name, tmp_path)
    with pytest.raises(WeightsError, match=r"54 weight\(s\)") as caught:
        convert_files("mxnet", locate("mxnet", str(tmp_path / "mnet.25")), "onnx", tmp_path / "n.onnx")
    assert "moving_mean" in str(caught.value)
    assert "running_mean" in str(caught.value)
    assert caught.value.exit_code == 3
    assert not (tmp_path / "n.onnx").exists()


def test_a_missing_weight_is_refused_and_an_extra_one_reported(mx, tmp_path) -> None:
    symbol = mx.sym.Convolution(mx.sym.Variable("data"), num_filter=2, kernel=(3, 3), name="conv0")
    net = MxnetNet(mx, symbol, tmp_path, (1, 3, 8, 8))
    arrays = {f"arg:{name}": mx.nd.array(value) for name, value in net.args.items()}
    mx.nd.save(f"{net.prefix}-0000.params", {**arrays, "arg:left_over": mx.nd.zeros((2,))})
    conversion = convert_files("mxnet", locate("mxnet", str(net.prefix)), "onnx", tmp_path / "n.onnx")
    assert any("left_over" in warning for warning in conversion.warnings)
    del arrays["arg:conv0_bias"]
    mx.nd.save(f"{net.prefix}-0000.params", arrays)
    with pytest.raises(WeightsError, match="conv0_bias"):
        convert_files("mxnet", locate("mxnet", str(net.prefix)), "onnx", tmp_path / "other.onnx")
    assert not (tmp_path / "other.onnx").exists()


def test_nodes_of_one_name_are_numbered_and_said_so(mx, tmp_path) -> None:
    data = mx.sym.Activation(mx.sym.Variable("data"), act_type="relu", name="twice")
    symbol = mx.sym.Activation(data, act_type="sigmoid", name="twice")
    net = MxnetNet(mx, symbol, tmp_path, (2, 3, 4, 4))
    files = locate("mxnet", str(net.prefix))
    conversion = convert_files("mxnet", files, "onnx", tmp_path / "n.onnx", input_shapes={"data": ("batch", 3, 4, 4)})
    assert any("twice" in warning for warning in conversion.warnings)
    assert_both_targets_agree(net, tmp_path)


def test_every_unsupported_operator_is_listed_before_anything_is_written(mx, tmp_path) -> None:
    data = mx.sym.Variable("data")
    first = mx.sym.SpatialTransformer(data, mx.sym.Flatten(data), target_shape=(4, 4), transform_type="affine",
                                      sampler_type="bilinear", name="warp")  # fmt: skip
    second = mx.sym.Correlation(first, first, name="corr0")
    symbol = mx.sym.Correlation(second, second, name="corr1")
    symbol.save(str(tmp_path / "net-symbol.json"))
    mx.nd.save(str(tmp_path / "net-0000.params"), {"arg:unused": mx.nd.zeros((1,))})
    with pytest.raises(UnsupportedOperatorsError) as caught:
        convert_files("mxnet", locate("mxnet", str(tmp_path / "net")), "onnx", tmp_path / "n.onnx")
    assert caught.value.nodes == {"SpatialTransformer": ["warp"], "Correlation": ["corr0", "corr1"]}
    assert "Correlation x2: corr0, corr1" in str(caught.value)
    assert not (tmp_path / "n.onnx").exists()

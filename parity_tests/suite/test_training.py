"""One training step from equal weights: equal losses, gradients, statistics and updated weights in three frameworks.

float64 tells meaning from rounding: torch and Paddle agree to 1e-9. MXNet's PReLU computes its negative side in float32
whatever it is fed, so MXNet is held to 1e-5 there. float32, which is what everybody trains in, is held to ten times the
floor of every single value: what float32 costs it in torch; of the loss, which is one number, and of statistics, which
MXNet adds up number by number, in the framework under test where that is more. One fault of MXNet 1.9.1 is taken out
first, see `test_mxnet_overwrites_what_the_slopes_gradient_is_made_of`.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from facecvt.parity_tests.training.step import (
    MXNET_ROLES,
    Recipe,
    Task,
    batch_of_faces,
    differences,
    in_float32,
    train,
    trainable,
    with_true_slopes,
)
from facecvt.reference_models import head_spec, resolve, spec
from facecvt.reference_models.layers import STATISTICS
from facecvt.reference_models.spec import families

CASES = [
    pytest.param("mobilefacenet", {}, "arcface", id="mobilefacenet"),
    pytest.param("r18", {"dropout": 0.0}, "arcface", id="r18", marks=pytest.mark.slow),
    pytest.param(
        "adaface_ir18", {"dropout": 0.0, "normalize": False}, "adaface", id="adaface_ir18", marks=pytest.mark.slow
    ),
    pytest.param(
        "r18", {"dropout": 0.0}, "insightface_arcface_torch_losses", id="r18-straight", marks=pytest.mark.slow
    ),
    pytest.param("mobilefacenet", {}, "cosface", id="mobilefacenet-cosface", marks=pytest.mark.slow),
]
FRAMEWORKS = ("torch", "paddle", "mxnet")


def task(name, options, head, **recipe) -> Task:
    architecture = spec(name, eps=1e-5, **options)
    return Task(architecture, head_spec(head), classes=10, batch=batch_of_faces(), recipe=Recipe(**recipe))


@pytest.fixture(scope="module")
def moved_task(torch_module):
    """A task and the same away from kinks; made once, for it takes longer than a step."""
    from facecvt.parity_tests.training.step_torch import away_from_kinks

    given = task("mobilefacenet", {}, "arcface")
    return given, away_from_kinks(given)


@pytest.fixture(scope="module")
def plain_step(torch_module):
    """A task, its outcome in float64 and the floors of its values."""
    given = task("mobilefacenet", {}, "arcface", weight_decay=5e-3)
    reference = train(given, "torch")
    return given, reference, differences(reference, train(given, "torch", "float32"))


@pytest.mark.parametrize(("name", "options", "head"), CASES)
def test_one_step_is_equal(name, options, head, moved_task, paddle_module, mxnet_module, figure):
    from facecvt.parity_tests.training.step_torch import away_from_kinks

    given = task(name, options, head)
    # the head has no part in where the kinks are
    net_is_made = given.architecture == moved_task[0].architecture
    given = replace(given, arrays=moved_task[1].arrays) if net_is_made else away_from_kinks(given)
    double = {framework: train(given, framework, "float64") for framework in FRAMEWORKS}
    single = {framework: train(given, framework, "float32") for framework in FRAMEWORKS}
    reference = double["torch"]
    slopes = [name for name in reference.gradients if name.endswith(".slope")]
    double["mxnet"], overwritten = with_true_slopes(given, double["mxnet"], reference)
    assert overwritten == slopes
    single["mxnet"], _ = with_true_slopes(given, single["mxnet"], reference)  # few or none, as oneDNN lays out memory
    listed = {p.canonical for p in trainable(given.architecture, "torch")}
    assert reference.gradients.keys() == reference.weights.keys() == listed | {"head.weight"}
    running = {p.name for layer in given.architecture.layers() for p in layer.parameters if p.role in STATISTICS}
    assert reference.statistics.keys() >= running

    to_paddle = differences(reference, double["paddle"])
    figure.worst("a training step in float64, Paddle from torch", max(to_paddle.values()))
    assert max(to_paddle.values()) < 1e-9, max(to_paddle.items(), key=lambda item: item[1])
    to_mxnet = differences(reference, double["mxnet"])
    figure.worst("a training step in float64, MXNet from torch", max(to_mxnet.values()))
    assert max(to_mxnet.values()) < 1e-5, max(to_mxnet.items(), key=lambda item: item[1])
    moved = {name: e for name, e in to_mxnet.items() if name.startswith("statistics")}
    assert max(moved.values()) < 1e-7, max(moved.items(), key=lambda item: item[1])

    floor, ratios = differences(reference, single["torch"]), []
    for framework in ("paddle", "mxnet"):
        own = differences(double[framework], single[framework])
        for value, error in differences(reference, single[framework]).items():
            trained = value.startswith(("gradients ", "weights "))
            costs = floor[value] if trained else max(floor[value], own[value])
            assert error <= 10 * costs, f"{framework}, {value}: {error:.1e}, floor {floor[value]:.1e}"
            if error and value.startswith("gradients "):
                ratios.append(error / costs)
    figure.worst("gradients of a training step in float32, x floor", max(ratios))


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        (lambda t: replace(t, architecture=t.architecture.with_options(eps=2e-5)), "gradients"),
        (lambda t: replace(t, head=t.head.with_options(gradient="straight")), "gradients"),
        (lambda t: replace(t, recipe=replace(t.recipe, decayed=MXNET_ROLES)), "weights"),
        (lambda t: replace(t, recipe=replace(t.recipe, learning_rate=0.1001)), "weights"),
    ],
    ids=["eps", "gradient convention", "what decays", "rate"],
)
def test_a_wrong_convention_is_seen(change, kind, plain_step):
    """The tolerance above can tell: each mistake moves something beyond ten floors."""
    given, reference, floor = plain_step
    found = differences(reference, train(change(given), "torch"))
    assert any(error > 10 * floor[name] for name, error in found.items() if name.startswith(kind))


@pytest.mark.slow
def test_statistics_after_three_steps(torch_module, paddle_module):
    """The unbiased variance is mapped to the biased one however often it was added."""
    given = task("mobilefacenet", {}, "arcface", steps=3, learning_rate=1e-3)
    found = differences(train(given, "torch"), train(given, "paddle"))
    assert max(found.values()) < 1e-7, max(found.items(), key=lambda item: item[1])


def test_momentum_and_weight_decay_mean_the_same(torch_module, paddle_module, mxnet_module):
    """Three steps with gradients that are given; SGD written out is the witness."""
    from facecvt.parity_tests.training import step_mxnet, step_paddle, step_torch

    random = np.random.Generator(np.random.PCG64(5))
    start = {"a_weight": random.standard_normal((3, 4)), "a_beta": random.standard_normal(4)}
    roles = {"a_weight": "weight", "a_beta": "shift"}
    gradients = [{name: random.standard_normal(array.shape) for name, array in start.items()} for _ in range(3)]
    recipe = Recipe(learning_rate=0.1, momentum=0.9, weight_decay=0.05, decayed=MXNET_ROLES)

    rate, momentum, decay = (in_float32(value) for value in (0.1, 0.9, 0.05))
    expected = {}
    for name, array in start.items():
        weight, velocity = array.copy(), np.zeros(array.shape)
        for step in gradients:
            velocity = momentum * velocity + step[name] + (decay if name == "a_weight" else 0.0) * weight
            weight = weight - rate * velocity
        expected[name] = weight

    torch, paddle, mx = torch_module, paddle_module, mxnet_module
    tensors = {name: torch.nn.Parameter(torch.from_numpy(array.copy())) for name, array in start.items()}
    optimizer = step_torch.descent(recipe, [(tensors[name], roles[name]) for name in start])
    for step in gradients:
        for name, tensor in tensors.items():
            tensor.grad = torch.from_numpy(step[name])
        optimizer.step()
    for name, tensor in tensors.items():
        np.testing.assert_allclose(tensor.detach().numpy(), expected[name], rtol=1e-12)

    layers = {name: paddle.create_parameter(list(array.shape), "float64") for name, array in start.items()}
    optimizer = step_paddle.descent(recipe, [(layers[name], roles[name]) for name in start])
    for name, parameter in layers.items():
        parameter.set_value(start[name])
    for step in gradients:
        optimizer.clear_grad()
        sum((layers[name] * paddle.to_tensor(step[name])).sum() for name in start).backward()
        optimizer.step()
    for name, parameter in layers.items():
        np.testing.assert_allclose(parameter.numpy(), expected[name], rtol=1e-12)

    arrays = {name: mx.nd.array(array, dtype="float64") for name, array in start.items()}
    update = step_mxnet.updater(recipe, roles)
    for step in gradients:
        for index, name in enumerate(roles):
            update(index, mx.nd.array(step[name], dtype="float64"), arrays[name])
    for name, array in arrays.items():
        np.testing.assert_allclose(array.asnumpy(), expected[name], rtol=1e-12)


def test_mxnet_overwrites_what_the_slopes_gradient_is_made_of(mxnet_module):
    """MXNet 1.9.1: where PReLU's input gradient may take the memory of the gradient from above, it is written first.

    The slopes' gradient, computed after it, is then multiplied by the slope. Between layers that oneDNN computes in
    float32 the memory is not shared, as the steps above show.
    """
    mx = mxnet_module
    random = np.random.Generator(np.random.PCG64(1))
    x, above = random.standard_normal((2, 4, 8, 5, 5))
    slopes = np.array([0.125, 0.25, 0.5, 0.75] * 2)
    data = mx.sym.Variable("data") * 1.0
    symbol = mx.sym.sum(mx.sym.LeakyReLU(data, act_type="prelu", name="p") * mx.sym.Variable("above"))
    given = {"data": x, "p_gamma": slopes, "above": above}
    args = {name: mx.nd.array(array, dtype="float64") for name, array in given.items()}
    grads = {name: mx.nd.zeros(args[name].shape, dtype="float64") for name in ("data", "p_gamma")}
    grad_req = {"data": "write", "p_gamma": "write", "above": "null"}
    executor = symbol.bind(mx.cpu(), args, args_grad=grads, grad_req=grad_req)
    executor.forward(is_train=True)
    executor.backward([mx.nd.ones((1,), dtype="float64")])
    true = (above * np.minimum(x, 0)).sum(axis=(0, 2, 3))
    np.testing.assert_allclose(grads["p_gamma"].asnumpy(), true * slopes, rtol=1e-6)


def test_scale_that_stays_1_in_paddle(paddle_module):
    """The shift is trained, the scale is reset and not trained, the statistics move as in any BatchNorm."""
    from facecvt.reference_models.unit_scale_paddle import UnitScaleBatchNorm1D

    paddle = paddle_module
    unit, plain = UnitScaleBatchNorm1D(5, 1e-5), paddle.nn.BatchNorm1D(5)
    unit.weight.set_value(np.full(5, 3, np.float32))
    x = paddle.to_tensor(np.random.Generator(np.random.PCG64(2)).standard_normal((6, 5)).astype(np.float32))
    unit.eval()
    assert np.abs(unit(x).numpy() - 3 * x.numpy() / np.sqrt(1 + 1e-5)).max() < 1e-5
    unit.train()
    for norm in (unit, plain):
        (norm(x) ** 3).sum().backward()
    assert (unit.weight.numpy() == 1).all()
    assert unit.weight.grad is None
    np.testing.assert_array_equal(unit.bias.grad.numpy(), plain.bias.grad.numpy())
    np.testing.assert_array_equal(unit._variance.numpy(), plain._variance.numpy())
    np.testing.assert_array_equal(unit._mean.numpy(), plain._mean.numpy())


@pytest.mark.parametrize(
    "name",
    [
        "fresnet_r18_input2",
        "fmobilenet",
        "mobilefacenet_y1",
        pytest.param("fresnet_r18_out_gnap", marks=pytest.mark.slow),
    ],
)
def test_scales_of_1_are_not_trained_but_their_shifts_are(name, torch_module, paddle_module):
    """What a layer listing calls a scale of 1 is one in both frameworks, and nothing else is left out of training."""
    from facecvt.reference_models.unit_scale_paddle import UnitScale

    architecture = resolve(name).architecture
    layers = [layer for layer in architecture.layers() if layer.op == "BatchNormalization" and layer.parameters]
    assert any(layer.attributes.get("unit_scale") for layer in layers)
    torch_net, paddle_net = (families()[architecture.family].build(architecture, f) for f in ("torch", "paddle"))
    for layer in layers:
        if not layer.attributes.get("affine", True):
            continue
        unit = bool(layer.attributes.get("unit_scale"))
        in_torch = torch_net.get_submodule(architecture.names("torch").layer(layer.name))
        in_paddle = dict(paddle_net.named_sublayers())[architecture.names("paddle").layer(layer.name)]
        assert (in_torch.weight.requires_grad, in_torch.bias.requires_grad) == (not unit, True), layer.name
        assert isinstance(in_paddle, UnitScale) is unit, layer.name
        assert (not in_paddle.weight.stop_gradient, not in_paddle.bias.stop_gradient) == (not unit, True), layer.name


def test_no_value_lies_near_a_kink(moved_task, torch_module):
    from facecvt.parity_tests.training.step_torch import batch_norms, tensors
    from facecvt.reference_models.weights import from_canonical

    nearest = {}
    for label, some in zip(("seeded", "moved"), moved_task, strict=True):
        net = families()["mobilefacenet"].build(some.architecture, "torch").double()
        net.load_state_dict(tensors(from_canonical(some.weights(), "torch", some.architecture)))
        for norm in batch_norms(net).values():
            norm.eps = in_float32(norm.eps)
        found = []
        for module in net.modules():
            if isinstance(module, torch_module.nn.PReLU):
                module.register_forward_pre_hook(lambda _m, x, found=found: found.append(float(x[0].abs().min())))
        net.train()
        with torch_module.no_grad():
            net(torch_module.from_numpy(some.batch.images).double())
        nearest[label] = min(found)
    assert nearest["seeded"] < 1e-6
    assert nearest["moved"] > 5e-5

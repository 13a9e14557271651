"""The reference nets against the upstreams: names, shapes, order, outputs and every checkpoint inside the net.

The tests come from the kit's folder: an entry whose name `resolve` knows is tested by lying there. Tolerances are the
kit's: 1e-6 of the largest golden value for torch and Paddle in float64, 1e-5 for MXNet in float32, 5e-6 for the static
graphs, whose golden runs are in float32.
"""

from __future__ import annotations

import importlib.util
import json
import os
from pathlib import Path

import numpy as np
import pytest

from facecvt.converters.errors import UsageError
from facecvt.reference_models import build, resolve
from facecvt.reference_models.weights import split_auxiliary, state_entries

KIT = Path(os.environ.get("FACECVT_UPSTREAM_KIT", Path(__file__).resolve().parents[3] / "shared" / "upstream"))
TOLERANCE = {"torch": 1e-6, "paddle": 1e-6, "mxnet": 1e-5}
STATIC_TOLERANCE = 5e-6
# what `make test` takes; `make test-all` takes every entry
FAST = {
    "fresnet_r18",
    "fresnet_r50",
    "fresnet_r18_out_GNAP_emb256",
    "fresnet_r18_unit2_se",
    "insightface_arcface_torch_iresnet18",
    "insightface_arcface_torch_iresnet50",
    "ffc_resnet_arcface_iresnet18",
    "plsc_iresnet18",
    "insightface_arcface_torch_mbf_scale1",
    "plsc_mobilefacenet_base",
    "fmobilefacenet_y1",
    "fmobilenet_m05",
    "ffc_mobilefacenet",
    "ffc_mobilefacenet_512",
    "insightface_arcface_paddle_mobilefacenet_128",
    "insightface_arcface_paddle_mobilefacenet_512",
    "adaface_ir_18",
    "adaface_ir_se_50",
    "paddleclas_adaface_ir_18",
    "hollance_blazeface_front",
    "seed004_mobilenetv1",
    "seed004_mobilenetv2",
    "seed004_mobilenetv3_small",
    "torchvision_mobilenet_v3_small",
    "torchvision_resnet18",
    "ffc_resnet_std_resnet18",
    "ttjjmm_blazeface_fpn_ssh",
    "paddledetection_blazeface_3x3kernel",
    "paddleslim_slimfacenet_a_x0_60",
    "paddleslim_slimfacenet_a_x0_60_relu",
    "insightface_arcface_paddle_fresresnet50",
}
# families of the kit without reference nets; building one means deleting its line, which the last test here asks for
NOT_BUILT = ()


def kit_entries() -> list[tuple[str, str]]:
    return [(f, path.stem) for f in TOLERANCE for path in sorted((KIT / f).glob("*.json"))]


def known(entry: str) -> bool:
    try:
        resolve(entry)
    except UsageError:
        return False
    return True


BUILT = [
    pytest.param(framework, entry, id=entry, marks=[] if entry in FAST else [pytest.mark.slow])
    for framework, entry in kit_entries()
    if known(entry)
]


@pytest.fixture(scope="module")
def kit_fill(upstream_kit):
    """The kit's own generator of weights and inputs."""
    located = importlib.util.spec_from_file_location("kit_fill", upstream_kit / "fill.py")
    module = importlib.util.module_from_spec(located)
    located.loader.exec_module(module)
    return module


class Checkpoints:
    """The values that the upstream's layers returned, as shapes, statistics and first numbers."""

    def __init__(self, golden) -> None:
        self.row = {name: index for index, name in enumerate(golden["ckpt_name"].tolist())}
        self.head, self.stats, self.shape = golden["ckpt_head"], golden["ckpt_stats"], golden["ckpt_shape"]
        self.error: dict[str, float] = {}
        self.path = {name: name for name in self.row}

    def see(self, name: str, value: np.ndarray) -> None:
        if name not in self.row or name in self.error:
            return
        row = self.row[name]
        assert list(value.shape) == [size for size in self.shape[row] if size], f"shape of {name}"
        value = value.astype(np.float64)
        mean, std, low, high = self.stats[row]
        head = self.head[row][~np.isnan(self.head[row])]
        differences = [*(value.reshape(-1)[: head.size] - head), value.mean() - mean, value.std() - std]
        differences += [value.min() - low, value.max() - high]
        self.error[name] = float(np.abs(differences).max()) / max(abs(low), abs(high))


COUNTED = {"residual_add": "Add", "se_gate": "HardSigmoid", "relu": "Relu"}


def module_paths(arch, names):
    """Checkpoint of a static graph -> path of the Paddle layer that gives the value, that of a ReLU for what it is fed.

    The graph's checkpoints are called by the tensor names of the layer's parameters, as far as they have one beginning,
    or by the graph's operators, which are counted.
    """
    layers, entries = arch.layers(), state_entries(arch, "paddle")
    taps = arch.names("paddle").taps(layers)
    found = {}
    for kind, op in COUNTED.items():
        counted = [layer.name for layer in layers if layer.op == op]
        found |= dict(zip([name for name in names if name.startswith(f"{kind}:")], counted, strict=False))
    for name in names:
        if name not in found:
            found[name] = next(entry.layer.name for entry in entries if entry.name.startswith(name))
    return {name: taps.get(layer, layer.replace(".add", ".relu")) for name, layer in found.items()}


def several(outputs):
    """The outputs of a net as a list, whether it has one or more."""
    return list(outputs) if isinstance(outputs, (list, tuple)) else [outputs]


def run_torch(torch, net, weights, x, checkpoints):
    state = [(name, list(value.shape)) for name, value in net.state_dict().items()]
    net.load_state_dict({name: torch.from_numpy(np.array(value)) for name, value in weights.items()}, strict=True)
    net.double().eval()
    for path, module in net.named_modules():
        if path in checkpoints.row:
            module.register_forward_hook(lambda _m, _i, out, path=path: checkpoints.see(path, out.detach().numpy()))
    with torch.no_grad():
        return state, [output.numpy() for output in several(net(torch.from_numpy(x).double()))]


def run_paddle(paddle, net, weights, x, checkpoints):
    first = {}
    for name, value in net.state_dict().items():
        first.setdefault(id(value), name)  # a layer that is registered twice counts once
    state = [(name, list(value.shape)) for name, value in net.state_dict().items() if first[id(value)] == name]
    both = {name: weights[first[id(value)]] for name, value in net.state_dict().items() if first[id(value)] in weights}
    missing, unexpected = net.set_state_dict(both)
    assert not missing
    assert not unexpected
    net.to(dtype="float64")
    net.eval()
    layers = dict(net.named_sublayers())
    for name, path in checkpoints.path.items():
        if name.startswith("residual_add:") and path.endswith(".relu"):
            layers[path].register_forward_pre_hook(lambda _l, fed, name=name: checkpoints.see(name, fed[0].numpy()))
        elif path in layers:
            layers[path].register_forward_post_hook(lambda _l, _i, out, name=name: checkpoints.see(name, out.numpy()))
    with paddle.no_grad():
        return state, [output.numpy() for output in several(net(paddle.to_tensor(x.astype(np.float64))))]


def run_mxnet(mx, symbol, weights, x, checkpoints):
    arg_shapes, _, aux_shapes = symbol.infer_shape(data=x.shape)
    args = [(n, list(s)) for n, s in zip(symbol.list_arguments(), arg_shapes, strict=True) if n != "data"]
    aux = [(n, list(s)) for n, s in zip(symbol.list_auxiliary_states(), aux_shapes, strict=True)]
    inside = symbol.get_internals()
    names = [name for name in inside.list_outputs() if name in checkpoints.row]
    executor = mx.sym.Group([inside[name] for name in names] + [symbol]).bind(
        mx.cpu(),
        {name: mx.nd.array(weights[name]) for name, _ in args} | {"data": mx.nd.array(x)},
        aux_states={name: mx.nd.array(weights[name]) for name, _ in aux},
        grad_req="null",
    )
    values = [value.asnumpy() for value in executor.forward(is_train=False)]
    for name, value in zip(names, values, strict=False):
        checkpoints.see(name, value)
    return args + aux, values[len(names) :]


RUN = {"torch": run_torch, "paddle": run_paddle, "mxnet": run_mxnet}


@pytest.mark.parametrize(("framework", "entry"), BUILT)
def test_net_equals_upstream(framework, entry, upstream_kit, kit_fill, request):
    module = request.getfixturevalue(f"{framework}_module")
    facts = json.loads((upstream_kit / framework / f"{entry}.json").read_text(encoding="utf-8"))
    golden = np.load(upstream_kit / framework / f"{entry}.npz")
    rows = [(row[0], list(row[1])) for row in facts["state"]]
    resolved = resolve(entry)
    assert resolved.framework == framework

    listed = [(e.name, list(e.shape)) for e in state_entries(resolved.architecture, framework) if not e.twin]
    assert listed == rows, "the family's layer listing and names differ from upstream"

    weights = {row[0]: kit_fill.fill(row[0], row[1], row[3]) for row in facts["state"]}
    x = kit_fill.example_input(facts["input"]["shape"], facts["input"]["kind"])
    checkpoints, tolerance = Checkpoints(golden), TOLERANCE[framework]
    if "static graph" in facts.get("mode", ""):
        checkpoints.path, tolerance = module_paths(resolved.architecture, list(checkpoints.row)), STATIC_TOLERANCE
    state, outputs = RUN[framework](module, build(entry, framework), weights, x, checkpoints)

    assert state == rows, "the net's parameters differ from upstream in name, shape or order"
    assert len(outputs) == len(golden["output_name"])
    for index, output in enumerate(outputs):
        expected = golden[f"output_{index}"]
        assert output.shape == expected.shape
        assert np.abs(output - expected).max() / np.abs(expected).max() < tolerance, index
    assert sorted(checkpoints.error) == sorted(checkpoints.row), "checkpoints that the net does not have"
    assert max(checkpoints.error.values()) < tolerance, checkpoints.error
    assert resolved.architecture.parameter_count() == facts["parameter_count"]


def test_golden_values_tell_a_wrong_eps(upstream_kit, kit_fill, torch_module):
    """The check itself can fail: eps 2e-5 for 1e-5 must show."""
    facts = json.loads((upstream_kit / "torch/insightface_arcface_torch_iresnet18.json").read_text(encoding="utf-8"))
    golden = np.load(upstream_kit / "torch/insightface_arcface_torch_iresnet18.npz")
    weights = {row[0]: kit_fill.fill(row[0], row[1], row[3]) for row in facts["state"]}
    x = kit_fill.example_input(facts["input"]["shape"], facts["input"]["kind"])
    checkpoints = Checkpoints(golden)
    run_torch(torch_module, build("r18", "torch", eps=2e-5), weights, x, checkpoints)
    assert max(checkpoints.error.values()) > TOLERANCE["torch"]


def test_auxiliary_states_are_upstreams(upstream_kit):
    facts = json.loads((upstream_kit / "mxnet/fresnet_r18.json").read_text(encoding="utf-8"))
    kinds = {row[0]: row[4] for row in facts["state"]}
    args, aux = split_auxiliary(dict.fromkeys(kinds, np.zeros(())), resolve("fresnet_r18").architecture)
    assert {kinds[name] for name in args} == {"parameter"}
    assert {kinds[name] for name in aux} == {"buffer"}


def test_every_kit_entry_is_built_or_listed_as_not_built(upstream_kit):
    entries = [entry for _, entry in kit_entries()]
    assert len(entries) > 100
    unknown = [entry for entry in entries if not known(entry) and not entry.startswith(NOT_BUILT)]
    assert not unknown, f"resolve() does not know {unknown}"
    stale = [prefix for prefix in NOT_BUILT if any(entry.startswith(prefix) and known(entry) for entry in entries)]
    assert not stale, f"built by now, delete from NOT_BUILT: {stale}"

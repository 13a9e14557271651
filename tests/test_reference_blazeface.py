"""PaddleDetection's BlazeFace: three nets agree at every layer and size, and real weights load in every spelling."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from facecvt.converters.errors import UsageError, WeightsError
from facecvt.converters.formats.paddle_params import read_pdparams
from facecvt.converters.formats.torch_state import read_state_dict
from facecvt.reference_models import build, resolve, spec
from facecvt.reference_models.naming import FRAMEWORKS
from facecvt.reference_models.seeded import seeded_state
from facecvt.reference_models.weights import exchange, from_canonical, split_auxiliary, state_entries, to_canonical

NARROW = {
    "blaze_filters": ((8, 8), (8, 16, 2), (16, 16)),
    "double_blaze_filters": ((16, 8, 32, 2), (32, 8, 32), (32, 8, 32), (32, 8, 32, 2)),
}
VARIANTS = [
    ("blazeface", {}),
    ("blazeface", {"use_5x5kernel": False, "joined": True}),
    ("blazeface_fpn_ssh", {}),
    ("blazeface_fpn_ssh", {"joined": True, "act": "relu6", **NARROW}),
    ("blazeface_fpn_ssh", {"neck_type": "only_ssh", "act": "leaky", **NARROW}),
    pytest.param("blazeface_fpn_ssh", {"neck_type": "only_fpn"}, marks=pytest.mark.slow),
    pytest.param("blazeface_fpn_ssh", {"neck_type": "only_ssh"}, marks=pytest.mark.slow),
    pytest.param("blazeface_fpn_ssh", {"use_5x5kernel": False}, marks=pytest.mark.slow),
    pytest.param("blazeface", {"act": "hard_swish"}, marks=pytest.mark.slow),
    pytest.param("blazeface", {"act": None}, marks=pytest.mark.slow),
]
OUTPUTS = ["boxes0", "boxes1", "scores0", "scores1", "priors0", "priors1"]
# batch -> height and width: neither square, nor multiples of the strides but for one
SIZES = {1: (100, 140), 3: (96, 64)}


def rel_rmse(value, reference):
    return float(np.sqrt(np.mean((value - reference) ** 2) / np.mean(reference**2)))


def images(batch, height, width):
    """Noise, and smooth pictures, normalised as the contract says."""
    random = np.random.default_rng(batch)
    rows, columns = np.linspace(0, 3, height)[:, None], np.linspace(0, 4, width)
    pixels = 127.5 + 100 * np.sin(rows + random.uniform(0, 6, (batch, 3, 1, 1))) * np.cos(columns)
    pixels[0] = random.integers(0, 256, pixels[0].shape)
    mean = np.array([123.0, 117.0, 104.0]).reshape(3, 1, 1)
    return ((np.clip(np.rint(pixels), 0, 255) - mean) / 127.502231).astype(np.float32)


def run_torch(torch, arch, state, x, eps):
    """Canonical layer name -> float64 value, and the outputs by number."""
    net = build(arch.name, "torch", **dict(arch.options) | {"eps": eps})
    net.load_state_dict({name: torch.from_numpy(np.array(array)) for name, array in state.items()}, strict=True)
    net.double().eval()
    seen = {}
    for layer, path in arch.names("torch").taps(arch.layers()).items():
        hook = lambda _m, _i, out, layer=layer: seen.__setitem__(layer, out.numpy().copy())  # noqa: E731
        net.get_submodule(path).register_forward_hook(hook)
    with torch.no_grad():
        outputs = net(torch.from_numpy(x).double())
    return seen | {index: output.numpy() for index, output in enumerate(outputs)}


def run_paddle(paddle, arch, state, x, eps):
    net = build(arch.name, "paddle", **dict(arch.options) | {"eps": eps})
    assert net.set_state_dict(dict(state)) == ([], [])
    net.to(dtype="float64")
    net.eval()
    seen = {}
    paths = dict(net.named_sublayers())
    for layer, path in arch.names("paddle").taps(arch.layers()).items():
        hook = lambda _l, _i, out, layer=layer: seen.__setitem__(layer, out.numpy())  # noqa: E731
        paths[path].register_forward_post_hook(hook)
    with paddle.no_grad():
        outputs = net(paddle.to_tensor(x.astype(np.float64)))
    return seen | {index: output.numpy() for index, output in enumerate(outputs)}


def run_mxnet(mx, arch, state, x, eps):
    symbol = build(arch.name, "mxnet", **dict(arch.options) | {"eps": eps})
    args, aux = split_auxiliary({name: mx.nd.array(array) for name, array in state.items()}, arch)
    taps = arch.names("mxnet").taps(arch.layers())
    inside = symbol.get_internals()
    group = mx.sym.Group([*(inside[name] for name in taps.values()), symbol])
    executor = group.bind(mx.cpu(), args | {"data": mx.nd.array(x)}, aux_states=aux, grad_req="null")
    values = [value.asnumpy() for value in executor.forward(is_train=False)]
    return dict(zip([*taps, *range(len(values) - len(taps))], values, strict=True))


RUN = {"torch": run_torch, "paddle": run_paddle, "mxnet": run_mxnet}


@pytest.mark.parametrize(("name", "options"), VARIANTS)
def test_three_nets_agree_at_every_layer_and_size(name, options, torch_module, paddle_module, mxnet_module):
    arch = spec(name, **options)
    eps = float(np.float32(1e-5))  # Paddle and MXNet keep it so, whatever they compute in
    states = {framework: seeded_state(arch, framework) for framework in FRAMEWORKS}
    computed = {layer.name for layer in arch.layers() if layer.op in ("Conv", "BatchNormalization", "MaxPool", "Relu")}
    for batch, (height, width) in SIZES.items():
        x = images(batch, height, width)
        reference = run_torch(torch_module, arch, states["torch"], x, eps)
        paddle = run_paddle(paddle_module, arch, states["paddle"], x, eps)
        mxnet = run_mxnet(mxnet_module, arch, states["mxnet"], x, eps)
        outputs = range(2 if arch.options["joined"] else 6)
        assert set(paddle) == set(reference) >= computed | set(outputs)
        assert set(mxnet) >= set(reference)
        fine = -(-height // 8) * -(-width // 8) * 2
        boxes = fine + -(-height // 16) * -(-width // 16) * 6
        assert reference[0].shape == (batch, boxes if arch.options["joined"] else fine, 4)
        for layer, value in reference.items():
            assert paddle[layer].shape == mxnet[layer].shape == value.shape, layer
            assert rel_rmse(paddle[layer], value) < 1e-13, layer
            assert rel_rmse(mxnet[layer], value) < 1e-5, layer
        if arch.options["joined"]:
            assert np.allclose(reference[1].sum(axis=-1), 1)


@pytest.mark.parametrize(("name", "options"), VARIANTS)
@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_options_reach_net_and_listing(name, options, framework, request):
    request.getfixturevalue(f"{framework}_module")
    arch = spec(name, **options)
    net = build(name, framework, **options)
    if framework == "mxnet":
        arguments, _, auxiliary = net.infer_shape(data=(1, 3, 64, 96))
        names = [*net.list_arguments(), *net.list_auxiliary_states()]
        state = [pair for pair in zip(names, [*arguments, *auxiliary], strict=True) if pair[0] != "data"]
        assert net.list_outputs() == [f"{output}_output" for output in (OUTPUTS if len(net) == 6 else OUTPUTS_JOINED)]
    else:
        state = [(key, tuple(value.shape)) for key, value in net.state_dict().items()]
    assert state == [(entry.name, entry.shape) for entry in state_entries(arch, framework)]


OUTPUTS_JOINED = ["boxes", "scores"]


@pytest.mark.parametrize(("source", "target"), itertools.permutations(FRAMEWORKS, 2))
@pytest.mark.parametrize(
    ("name", "options"), [("blazeface_fpn_ssh", {}), ("blazeface", {"use_5x5kernel": False, "joined": True})]
)
def test_exchange_and_back_is_byte_identical(name, options, source, target):
    arch = spec(name, **options)
    state = seeded_state(arch, source)
    there = exchange(state, source, target, arch)
    assert list(there) == [entry.name for entry in state_entries(arch, target)]
    back = exchange(there, target, source, arch)
    assert list(back) == list(state)
    assert all(back[key].tobytes() == array.tobytes() for key, array in state.items())


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("paddle_paddledetection_blazeface_1000e__torch_ttjjmm_blazeface_1000e", "blazeface"),
        ("paddle_paddledetection_blazeface_fpn_ssh_1000e__torch_ttjjmm_blazeface_fpn_ssh_1000e", "blazeface_fpn_ssh"),
    ],
)
def test_kit_correspondence(file, name, upstream_kit):
    lines = (upstream_kit / "correspondence" / f"{file}.tsv").read_text(encoding="utf-8").splitlines()[1:]
    theirs = {tuple(line.split("\t")[:2]) for line in lines}
    torch = {entry.parameter.name: entry.name for entry in state_entries(spec(name), "torch") if entry.parameter}
    ours = {(entry.name, torch[entry.parameter.name]) for entry in state_entries(spec(name), "paddle")}
    assert ours == theirs


@pytest.mark.parametrize(
    ("name", "options"),
    [("blazeface", {}), ("blazeface", {"use_5x5kernel": False}), ("blazeface_fpn_ssh", {})],
)
def test_seeded_activations_are_of_order_one(name, options, torch_module):
    arch = spec(name, **options)
    values = run_torch(torch_module, arch, seeded_state(arch, "torch"), images(2, 160, 160), 1e-5)
    spread = {layer: value.std() for layer, value in values.items()}
    assert min(spread.values()) > 0.05, min(spread, key=spread.get)
    assert max(spread.values()) < 5, max(spread, key=spread.get)
    for index in (0, 2):
        first, second = values[index]
        assert np.linalg.norm(first - second) > 0.1 * np.linalg.norm(first)


# ---- names and options -----------------------------------------------------------------------------------------------

PADDLE, TORCH = ("paddledetection", "paddle", False), ("ttjjmm", "torch", True)


@pytest.mark.parametrize(
    ("suffix", "name", "options"),
    [
        ("blazeface", "blazeface", {}),
        ("blazeface_1000e", "blazeface", {}),
        ("blazeface_3x3kernel", "blazeface", {"use_5x5kernel": False}),
        ("blazeface_hard_swish", "blazeface", {"act": "hard_swish"}),
        ("blazeface_fpn_ssh", "blazeface_fpn_ssh", {}),
        ("blazeface_fpn_ssh_1000e", "blazeface_fpn_ssh", {}),
        ("blazeface_only_fpn", "blazeface_fpn_ssh", {"neck_type": "only_fpn"}),
        ("blazeface_only_ssh", "blazeface_fpn_ssh", {"neck_type": "only_ssh"}),
        ("blazeface_only_ssh_3x3kernel", "blazeface_fpn_ssh", {"neck_type": "only_ssh", "use_5x5kernel": False}),
        ("BlazeFace_fpn_ssh_act_relu", "blazeface_fpn_ssh", {"act": "relu"}),
        ("blazeface_fpn_ssh_3x3kernel_1000e", "blazeface_fpn_ssh", {"use_5x5kernel": False}),
    ],
)
@pytest.mark.parametrize(("repository", "framework", "joined"), [PADDLE, TORCH])
def test_upstream_names_resolve(suffix, name, options, repository, framework, joined):
    resolved = resolve(f"{repository}_{suffix}")
    assert (resolved.architecture, resolved.framework) == (spec(name, joined=joined, **options), framework)
    own = resolve(suffix)
    assert (own.architecture, own.framework) == (spec(name, **options), None)


@pytest.mark.parametrize(
    "typed", ["blazeface_fpm_ssh", "ttjjmm_blazeface_7x7kernel", "blazeface_1000", "blazeface_ssh_fpn"]
)
def test_names_that_look_alike_are_refused(typed):
    with pytest.raises(UsageError, match="Did you mean"):
        resolve(typed)


def test_declared_facts():
    plain, full = spec("blazeface"), spec("blazeface_fpn_ssh")
    assert (plain.parameter_count(), full.parameter_count()) == (115584, 159072)
    assert spec("blazeface", use_5x5kernel=False).parameter_count() == 111384
    assert [(stage.units, stage.channels, stage.size) for stage in plain.stages] == [
        (2, 24, 320),
        (3, 48, 160),
        (3, 96, 80),
        (3, 96, 40),
    ]
    contract = plain.contracts["paddle"]
    assert (contract.color, contract.mean, contract.shape) == ("RGB", (123.0, 117.0, 104.0), ("batch", 3, 640, 640))
    assert plain.any_size
    assert plain.embedding_size == 0
    assert spec("blazeface", blaze_filters=[[24, 24], [24, 24], [24, 48, 2], [48, 48], [48, 48]]) == plain


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"blaze_filters": ((24, 32),)}, "from 24 to 32 channels at stride 1"),
        ({"blaze_filters": ((24, 24, 3),)}, "stride 3"),
        ({"blaze_filters": ((24,),)}, "a row of blaze_filters has 2 or 3 numbers"),
        ({"double_blaze_filters": ((48, 24),)}, "a row of double_blaze_filters has 3 or 4 numbers"),
        ({"blaze_filters": ((24, 24), (7, 24))}, "these divide what goes in"),
        ({"blaze_filters": ((24, 24),), "double_blaze_filters": ()}, "four blocks in all"),
        ({"blaze_filters": ()}, "a row of blaze_filters at least"),
        ({"blaze_filters": 24}, "blaze_filters cannot be 24"),
        ({"act": "prelu"}, "act cannot be 'prelu'"),
        ({"neck_type": "ssh"}, "neck_type cannot be 'ssh'"),
        (
            {"neck_type": "fpn_ssh", "double_blaze_filters": ((48, 24, 48),) * 3 + ((48, 24, 96, 2),)},
            "FPN takes two levels",
        ),
        ({"embedding_size": 4}, "no option 'embedding_size'"),
    ],
)
def test_options_that_do_not_fit_are_refused(options, message):
    with pytest.raises(UsageError, match=message):
        spec("blazeface", **options)


# ---- real weights ----------------------------------------------------------------------------------------------------

REAL = {
    "blazeface_1000e.pdparams": ("paddle/blazeface-1000e", "paddle"),
    "blazeface_1000e.pth": ("pytorch/blazeface-paddledet-port", "paddle"),  # PaddleDetection's names in a torch file
    "blazeface_1000e.pt": ("pytorch/blazeface-paddledet-port", "torch"),
}


def real_state(real_models, file):
    folder, framework = REAL[file]
    path = real_models / folder / file
    arrays = read_pdparams(path) if file.endswith(".pdparams") else read_state_dict(path).tensors
    return to_canonical(arrays, framework, spec("blazeface"))


def test_three_spellings_of_real_weights_are_one_set(real_models):
    states = [real_state(real_models, file) for file in REAL]
    assert len(states[0]) == 198
    for other in states[1:]:
        assert sorted(other) == sorted(states[0])
        assert all(np.array_equal(other[key], array) for key, array in states[0].items())


def test_real_weights_give_one_output_in_three_frameworks(real_models, torch_module, paddle_module, mxnet_module):
    """And they say background of nearly all of a picture without a face."""
    arch = spec("blazeface")
    x = images(1, 160, 200)
    modules = {"torch": torch_module, "paddle": paddle_module, "mxnet": mxnet_module}
    canonical = real_state(real_models, "blazeface_1000e.pdparams")
    eps = float(np.float32(1e-5))
    values = {f: RUN[f](modules[f], arch, from_canonical(canonical, f, arch), x, eps) for f in FRAMEWORKS}
    for output in range(6):
        assert rel_rmse(values["paddle"][output], values["torch"][output]) < 1e-13
        assert rel_rmse(values["mxnet"][output], values["torch"][output]) < 1e-5
    face, background = values["torch"][2][..., 0], values["torch"][2][..., 1]
    assert (background > face).mean() > 0.9


def test_real_fpn_ssh_loads_strictly(real_models, torch_module):
    path = real_models / "pytorch/blazeface-paddledet-port/blazeface_fpn_ssh_1000e.pt"
    net = build("ttjjmm_blazeface_fpn_ssh_1000e", "torch")
    net.load_state_dict(torch_module.load(path, weights_only=True, map_location="cpu"), strict=True)
    net.eval()
    with torch_module.no_grad():
        boxes, scores = net(torch_module.from_numpy(images(1, 160, 200)))
    assert (tuple(boxes.shape), tuple(scores.shape)) == ((1, 1780, 4), (1, 1780, 2))
    assert scores[..., 1].mean() > 0.9
    with pytest.raises(WeightsError, match="neck"):
        to_canonical(read_state_dict(path).tensors, "torch", spec("blazeface"))


@pytest.mark.slow
def test_real_fpn_ssh_is_the_published_onnx(real_models, torch_module, ort_module):
    """The port's own export at 640x640, batch norms folded in, gives what the net gives."""
    state = read_state_dict(real_models / "pytorch/blazeface-paddledet-port/blazeface_fpn_ssh_1000e.pt").tensors
    net = build("ttjjmm_blazeface_fpn_ssh", "torch").eval()
    net.load_state_dict({key: torch_module.from_numpy(np.array(array.numpy())) for key, array in state.items()})
    x = images(1, 640, 640)
    session = ort_module.InferenceSession(str(real_models / "onnx/blazeface-paddledet-port/blazeface_sim.onnx"))
    with torch_module.no_grad():
        outputs = [output.numpy() for output in net(torch_module.from_numpy(x))]
    for ours, theirs in zip(outputs, session.run(None, {session.get_inputs()[0].name: x}), strict=True):
        assert rel_rmse(ours, theirs) < 2e-5


@pytest.mark.parametrize("file", ["blazeface_1000e.pt", "blazeface_fpn_ssh_1000e.pt"])
def test_real_weights_find_the_face(file, real_models, torch_module):
    """The best box, decoded with the priors, lies on the face; class 0 is the face."""
    image = pytest.importorskip("PIL.Image", reason="pip install pillow")
    pixels = np.asarray(image.open(real_models / "images/blazeface_1face.png").convert("RGB")).astype(np.float32)
    x = ((pixels - (123, 117, 104)) / 127.502231).astype(np.float32).transpose(2, 0, 1)[None].copy()
    net = build(f"ttjjmm_{file.removesuffix('.pt')}", "torch", joined=False).eval()
    state = torch_module.load(real_models / "pytorch/blazeface-paddledet-port" / file, weights_only=True)
    net.load_state_dict(state, strict=True)
    with torch_module.no_grad():
        outputs = [output.numpy() for output in net(torch_module.from_numpy(x))]
    boxes, scores = (np.concatenate(outputs[i : i + 2], axis=1)[0] for i in (0, 2))
    priors = np.concatenate(outputs[4:])
    odds = scores[:, 0] - scores[:, 1]
    best = int(odds.argmax())
    assert odds[best] > 5
    size = priors[best, 2:] - priors[best, :2]
    middle = (priors[best, :2] + size / 2 + boxes[best, :2] * 0.1 * size) * 128
    assert np.abs(middle - (53, 43)).max() < 3
    assert np.abs(np.exp(boxes[best, 2:] * 0.2) * size * 128 - (21, 29)).max() < 4

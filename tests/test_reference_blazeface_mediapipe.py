"""BlazeFace of MediaPipe: real weights and faces, anchors and suppression, and its graphs from every framework."""

from __future__ import annotations

import numpy as np
import pytest

from facecvt.converters.formats.locate import locate
from facecvt.converters.formats.mapped import as_numpy
from facecvt.converters.formats.torch_state import read_state_dict
from facecvt.reference_models import build, spec
from facecvt.reference_models.blazeface_mediapipe.detection import anchors, decode, detect, suppress
from facecvt.reference_models.materialise import write_reference
from facecvt.reference_models.seeded import seeded_arrays, seeded_state
from facecvt.reference_models.weights import exchange, state_entries

NAMES = ("blazeface_mediapipe_front", "blazeface_mediapipe_back")
EXPORTS = [(NAMES[0], False), (NAMES[1], True)]
FILES = {NAMES[0]: "blazeface.pth", NAMES[1]: "blazefaceback.pth"}
# read off images/blazeface_1face.png: ymin, xmin, ymax, xmax of the face, then right and left eye (x, y)
SEEN = np.array([36, 41, 56, 62, 49, 41, 58, 41]) / 128


def real_state(name, real_models):
    state = read_state_dict(real_models / "pytorch" / "blazeface-mediapipe" / FILES[name])
    return {key: as_numpy(array) for key, array in state.tensors.items()}


def picture(real_models, size):
    image = pytest.importorskip("PIL.Image", reason="pillow is not installed: pip install pillow")
    with image.open(real_models / "images" / "blazeface_1face.png") as file:
        pixels = np.asarray(file.convert("RGB").resize((size, size), image.Resampling.BILINEAR), np.float32)
    return (pixels / 127.5 - 1).transpose(2, 0, 1)[None].copy()


def outputs_of(framework, module, name, state, x):
    """Both outputs of a net with this state, as arrays."""
    net = build(name, framework)
    if framework == "torch":
        net.load_state_dict({key: module.from_numpy(np.array(array)) for key, array in state.items()}, strict=True)
        with module.no_grad():
            return [output.numpy() for output in net.eval()(module.from_numpy(x))]
    if framework == "paddle":
        assert net.set_state_dict(state) == ([], [])
        with module.no_grad():
            return [output.numpy() for output in net(module.to_tensor(x))]
    assert sorted(net.list_arguments()) == sorted([*state, "data"])
    fed = {key: module.nd.array(array) for key, array in state.items()} | {"data": module.nd.array(x)}
    return [output.asnumpy() for output in net.bind(module.cpu(), fed, grad_req="null").forward(is_train=False)]


@pytest.mark.parametrize("framework", ["torch", "paddle", "mxnet"])
@pytest.mark.parametrize("name", NAMES)
def test_real_weights_find_the_face(name, framework, real_models, request):
    module, arch = request.getfixturevalue(f"{framework}_module"), spec(name)
    state = real_state(name, real_models)
    assert list(state) == [entry.name for entry in state_entries(arch, "torch")]
    size = arch.contracts[framework].shape[2]
    x = picture(real_models, size)
    regressors, scores = outputs_of(framework, module, name, exchange(state, "torch", framework, arch), x)
    assert (regressors.shape, scores.shape) == ((1, 896, 16), (1, 896, 1))
    (faces,) = detect(regressors, scores, size)
    assert len(faces) == 1
    face = faces[0]
    assert np.abs(face[:8] - SEEN).max() < 0.035, face
    assert face[16] > {128: 0.99, 256: 0.85}[size]
    # the nose below the eyes, the mouth below the nose, the ears outside the eyes
    x_of, y_of = face[4:16:2], face[5:16:2]
    assert max(y_of[:2]) < y_of[2] < y_of[3]
    assert x_of[4] < x_of[0] < x_of[1] < x_of[5]
    expected = {128: [0.2714, 0.3171, 0.4416, 0.4873], 256: [0.2726, 0.3161, 0.4528, 0.4963]}[size]
    assert np.abs(face[:4] - expected).max() < 2e-3  # the resizing differs a little between versions of pillow
    darker = detect(*outputs_of(framework, module, name, exchange(state, "torch", framework, arch), x * 0 - 1), size)
    assert len(darker[0]) == 0


@pytest.mark.parametrize("framework", ["torch", "paddle", "mxnet"])
@pytest.mark.parametrize("name", NAMES)
def test_listing_and_net_have_one_state(name, framework, request):
    request.getfixturevalue(f"{framework}_module")
    arch, net = spec(name), build(name, framework)
    if framework == "mxnet":
        shapes, outputs, _ = net.infer_shape(data=(2, *arch.contracts["mxnet"].shape[1:]))
        state = [pair for pair in zip(net.list_arguments(), shapes, strict=True) if pair[0] != "data"]
        assert net.list_outputs() == ["regressors_output", "scores_output"]
        assert outputs == [(2, 896, 16), (2, 896, 1)]
    else:
        state = [(key, tuple(value.shape)) for key, value in net.state_dict().items()]
    assert state == [(entry.name, entry.shape) for entry in state_entries(arch, framework)]


@pytest.mark.parametrize("name", NAMES)
def test_seeded_activations_are_of_order_one(name, torch_module):
    arch, net = spec(name), build(name, "torch")
    state = {key: torch_module.from_numpy(array) for key, array in seeded_state(arch, "torch").items()}
    net.load_state_dict(state, strict=True)
    seen = {}
    for layer, path in arch.names("torch").taps(arch.layers()).items():
        hook = lambda _m, _i, out, layer=layer: seen.__setitem__(layer, float(out.std()))  # noqa: E731
        net.get_submodule(path).register_forward_hook(hook)
    shape = (2, *arch.contracts["torch"].shape[1:])
    with torch_module.no_grad():
        outputs = net(torch_module.from_numpy(np.random.default_rng(0).uniform(-1, 1, shape).astype(np.float32)))
    maps = {layer: value for layer, value in seen.items() if not layer.endswith(("convs.0", "convs.1"))}
    assert min(maps.values()) > 0.3, min(maps, key=maps.get)
    assert max(value for layer, value in maps.items() if layer.startswith(("backbone", "final"))) < 2
    assert max(maps.values()) < 5, max(maps, key=maps.get)
    for output in outputs:
        assert 0.1 < float((output[0] - output[1]).norm() / output[0].norm()) < 2


def test_a_real_checkpoint_becomes_onnx_and_finds_the_face(real_models, tmp_path, torch_module, ort_module):
    """The published file as it is, by its keys alone, through the command's own path."""
    from facecvt.parity_tests.proven import convert_and_verify

    path = real_models / "pytorch" / "blazeface-mediapipe" / FILES[NAMES[0]]
    result = convert_and_verify(str(path), "torch", "onnx", output=str(tmp_path / "front.onnx"))
    assert result.exit_code == 0
    assert result.conversion.recognised == NAMES[0]
    session = ort_module.InferenceSession(str(tmp_path / "front.onnx"), providers=["CPUExecutionProvider"])
    (entry,) = session.get_inputs()
    (faces,) = detect(*session.run(None, {entry.name: picture(real_models, 128)}), 128)
    assert len(faces) == 1
    assert np.abs(faces[0][:8] - SEEN).max() < 0.035


def test_anchors():
    """As many as MediaPipe has, in rows from the top left, two or six at a place."""
    centres = anchors()
    assert centres.shape == (896, 2)
    assert centres[0].tolist() == centres[1].tolist() == [1 / 32, 1 / 32]
    assert centres[2].tolist() == [3 / 32, 1 / 32]
    assert centres[32].tolist() == [1 / 32, 3 / 32]
    assert centres[511].tolist() == [31 / 32, 31 / 32]
    assert all(centres[512 + index].tolist() == [1 / 16, 1 / 16] for index in range(6))
    assert centres[518].tolist() == [3 / 16, 1 / 16]
    assert centres[895].tolist() == [15 / 16, 15 / 16]


def test_decode():
    regressors = np.zeros((1, 896, 16), np.float32)
    regressors[0, 2, :6] = [12.8, 6.4, 25.6, 51.2, -12.8, 3.2]
    boxes = decode(regressors, 128)
    assert boxes.shape == (1, 896, 16)
    x, y = 3 / 32, 1 / 32
    expected = [y + 0.05 - 0.2, x + 0.1 - 0.1, y + 0.05 + 0.2, x + 0.1 + 0.1, x - 0.1, y + 0.025]
    assert np.allclose(boxes[0, 2, :6], expected, atol=1e-7)
    assert np.allclose(boxes[0, 3], [y, x, y, x, *[x, y] * 6], atol=1e-12)
    assert np.allclose(decode(2 * regressors, 256), boxes, atol=1e-12)


def test_suppression_averages_by_score():
    rows = np.zeros((4, 17))
    rows[:, :4] = [[0, 0, 1, 1], [0, 0, 1, 0.8], [0, 0.6, 1, 1.6], [0, 0, 1, 0.2]]
    rows[:, 4] = [1, 2, 3, 4]
    rows[:, 16] = [0.8, 0.4, 0.9, 0.6]
    faces = suppress(rows)
    # the best, 2, overlaps 0 by 0.4 / 1.6 = 0.25 and 1 by 0.2 / 1.6: alone; 0 overlaps 1 by 0.8; 3 is a face of its own
    assert np.allclose(faces[:, 16], [0.9, 0.6, 0.6])
    assert np.allclose(faces[:, 4], [3, (0.8 * 1 + 0.4 * 2) / 1.2, 4])
    assert np.allclose(faces[1, :4], [0, 0, 1, (0.8 * 1 + 0.4 * 0.8) / 1.2])
    assert len(suppress(rows, overlap=0.2)) == 2
    assert suppress(rows[:0]).shape == (0, 17)


def test_a_threshold_counts():
    scores = np.full((2, 896, 1), -200.0, np.float32)
    scores[1, 100] = 0.5  # a probability of 0.62
    regressors = np.ones((2, 896, 16), np.float32)
    assert [len(faces) for faces in detect(regressors, scores, 128)] == [0, 0]
    assert [len(faces) for faces in detect(regressors, scores, 128, threshold=0.6)] == [0, 1]


def graph_from(path, framework):
    from facecvt.converters.formats.mxnet_model import load_mxnet
    from facecvt.converters.formats.paddle_model import load_paddle
    from facecvt.converters.readers.from_mxnet import read_mxnet
    from facecvt.converters.readers.from_paddle import read_paddle

    files = locate(framework, str(path))
    return read_mxnet(load_mxnet(files)) if framework == "mxnet" else read_paddle(load_paddle(files))


def assert_recognised(graph, name):
    from facecvt.reference_models.recognise import recognise

    found = recognise(graph)
    assert found is not None
    assert found.architecture == spec(name)
    expected, arrays = seeded_arrays(spec(name)), found.arrays()
    assert list(arrays) == list(expected)
    assert all(np.array_equal(arrays[key], expected[key]) for key in expected)


@pytest.mark.parametrize(
    ("name", "framework", "dialect"),
    [
        (NAMES[0], "mxnet", "legacy"),
        (NAMES[0], "paddle", "legacy"),
        pytest.param(NAMES[0], "paddle", "pir", marks=pytest.mark.slow),
        (NAMES[1], "mxnet", "legacy"),
        pytest.param(NAMES[1], "paddle", "legacy", marks=pytest.mark.slow),
        pytest.param(NAMES[1], "paddle", "pir", marks=pytest.mark.slow),
    ],
)
def test_written_models_are_recognised(name, framework, dialect, tmp_path, request):
    request.getfixturevalue(f"{framework}_module")
    assert_recognised(graph_from(write_reference(name, framework, tmp_path, dialect=dialect), framework), name)


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning")
@pytest.mark.parametrize(
    ("name", "dynamic"),
    [(NAMES[0], True), (NAMES[1], False), *(pytest.param(*case, marks=pytest.mark.slow) for case in EXPORTS)],
)
def test_torch_exports_are_recognised_and_converted(name, dynamic, tmp_path, torch_module, ort_module):
    """The exporter computes the amounts of every Pad in the graph, and the batch of every Reshape."""
    from facecvt.converters.readers.from_onnx import read_onnx
    from facecvt.parity_tests.proven import convert_and_verify

    net = build(name, "torch").eval()
    state = {key: torch_module.from_numpy(array) for key, array in seeded_state(spec(name), "torch").items()}
    net.load_state_dict(state, strict=True)
    path, x = tmp_path / "net.onnx", torch_module.zeros(2, *spec(name).contracts["torch"].shape[1:])
    axes = {"dynamic_axes": {"x": {0: "batch"}}} if dynamic else {}
    torch_module.onnx.export(net, (x,), str(path), dynamo=False, input_names=["x"], **axes)
    graph = read_onnx(path)
    assert [node.op_type for node in graph.body].count("Slice") == 0
    assert_recognised(graph, name)
    if dynamic:
        result = convert_and_verify(str(path), "onnx", "torch", output=str(tmp_path / "out"))
        assert result.exit_code == 0
        assert result.conversion.recognised == name


@pytest.mark.parametrize(
    ("source", "target"),
    [
        pytest.param("mxnet", "onnx", marks=pytest.mark.slow),
        ("mxnet", "torch"),
        pytest.param("paddle", "onnx", marks=pytest.mark.slow),
        pytest.param("paddle", "torch", marks=pytest.mark.slow),
    ],
)
@pytest.mark.parametrize("name", [NAMES[0], pytest.param(NAMES[1], marks=pytest.mark.slow)])
def test_conversions_agree(name, source, target, tmp_path, torch_module, ort_module, request):
    from facecvt.parity_tests.proven import convert_and_verify

    request.getfixturevalue(f"{source}_module")
    result = convert_and_verify(name, source, target, output=str(tmp_path / "out"))
    assert result.exit_code == 0
    assert result.conversion.recognised == name or target == "onnx"
    if target == "torch":
        state = torch_module.load(tmp_path / "out" / "weights.pth", weights_only=True)
        build(name, "torch").load_state_dict(state, strict=True)
        expected = seeded_state(spec(name), "torch")
        assert all(np.array_equal(state[key].numpy(), expected[key]) for key in expected)


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning")
def test_another_padding_is_another_net(tmp_path, torch_module):
    """Zeros in front and behind alike, as PyTorch pads: not this architecture."""
    from facecvt.converters.readers.from_onnx import read_onnx
    from facecvt.reference_models.graph_skeleton import from_graph
    from facecvt.reference_models.recognise import compare

    net = build(NAMES[0], "torch").eval()
    x = torch_module.zeros(1, 3, 128, 128)
    for wrong in (False, True):
        if wrong:
            net.backbone1[4].convs[0].padding = (1, 1)
            net.backbone1[4].convs[0].register_forward_pre_hook(lambda _m, given: (given[0][..., :-2, :-2],))
        torch_module.onnx.export(net, (x,), str(tmp_path / "net.onnx"), dynamo=False)
        skeleton = from_graph(read_onnx(tmp_path / "net.onnx"))
        assert (compare(spec(NAMES[0]), skeleton) is None) == wrong

"""``facecvt diff --inputs FOLDER``: images become a batch as A's input contract says; what runs B is said."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from facecvt.cli import main
from facecvt.converters.contract import InputContract
from facecvt.parity_tests.diff.given_inputs import as_contract, decoded
from facecvt.parity_tests.support.small_net import SIZE, small_net

NumpyArray = np.ndarray[Any, np.dtype[Any]]


@pytest.fixture
def pillow() -> Any:
    return pytest.importorskip("PIL.Image", reason="needs Pillow: pip install pillow")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("inputs")
    small_net().write(folder / "a.onnx")
    wrong = small_net()
    wrong.node("bn2").attributes["epsilon"] = 1e-3
    wrong.write(folder / "wrong.onnx")
    return folder


def pictures(folder: Path, pillow: Any, *sizes: tuple[int, int]) -> list[NumpyArray]:
    """Noise as PNGs, the last name first."""
    folder.mkdir()
    found = []
    for number, (height, width) in enumerate(sizes):
        pixels = np.random.RandomState(number).randint(0, 256, (height, width, 3), np.uint8)
        pillow.fromarray(pixels).save(folder / f"{number}.PNG")
        found.append(pixels)
    (folder / "notes.txt").write_text("no image", encoding="utf-8")
    return found


def contract(**more: Any) -> InputContract:
    return InputContract("data", ("batch", 3, 8, 8), layout="NCHW", **more)


def test_pixels_arrive_as_the_contract_says(tmp_path: Path, pillow: Any) -> None:
    one, other = pictures(tmp_path / "p", pillow, (8, 8), (8, 8))
    paths = sorted((tmp_path / "p").glob("*.PNG"))
    read = decoded(paths, contract())
    np.testing.assert_array_equal(read, np.stack([one, other]))
    np.testing.assert_array_equal(as_contract(read, contract(in_graph=True))[1], other.transpose(2, 0, 1))
    plain = as_contract(read, contract())
    assert plain.shape == (2, 3, 8, 8)
    assert plain.dtype == np.float32
    np.testing.assert_allclose(plain[0, 2, 3, 5], (float(one[3, 5, 2]) - 127.5) / 128, rtol=1e-7)
    mean, scale = (100.0, 110.0, 120.0), (0.5, 0.25, 0.125)
    bgr = as_contract(read, contract(color="BGR", mean=mean, scale=scale))
    np.testing.assert_allclose(bgr[0, 0, 3, 5], (float(one[3, 5, 2]) - 100.0) * 0.5, rtol=1e-6)
    last = InputContract("data", ("batch", 8, 8, 3), layout="NHWC", in_graph=True)
    np.testing.assert_array_equal(as_contract(decoded(paths, last), last)[0], one)


def test_images_are_resized_and_grey_where_the_model_is(tmp_path: Path, pillow: Any) -> None:
    (one,) = pictures(tmp_path / "p", pillow, (20, 30))
    (path,) = (tmp_path / "p").glob("*.PNG")
    expected = np.asarray(pillow.fromarray(one).resize((8, 8), pillow.Resampling.BILINEAR))
    np.testing.assert_array_equal(decoded([path], contract())[0], expected)
    grey = InputContract("data", ("batch", 1, "height", "width"), layout="NCHW")
    np.testing.assert_array_equal(decoded([path], grey)[0, ..., 0], np.asarray(pillow.fromarray(one).convert("L")))


def test_a_folder_of_images_is_one_batch(
    folder: Path, tmp_path: Path, pillow: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    pictures(tmp_path / "p", pillow, (40, 20), (SIZE, SIZE), (9, 9))
    arguments = ["diff", str(folder / "a.onnx"), str(folder / "wrong.onnx"), "--inputs", str(tmp_path / "p"), "--json"]
    capsys.readouterr()
    assert main(arguments) == 1
    found = json.loads(capsys.readouterr().out)
    assert found["first_divergence"]["cause"] == "epsilon"
    assert len(found["layers"][0]["worst"]["index"]) == 4
    assert main([*arguments[:2], *arguments[1:2], *arguments[3:]]) == 0


def test_real_photos(folder: Path, real_models: Path, pillow: Any, capsys: pytest.CaptureFixture[str]) -> None:
    images = real_models / "images"
    assert main(["diff", str(folder / "a.onnx"), str(folder / "a.onnx"), "--inputs", str(images)]) == 0
    assert capsys.readouterr().out.startswith("agree")


def test_folders_that_cannot_be_used(
    folder: Path, tmp_path: Path, pillow: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    a = str(folder / "a.onnx")
    (tmp_path / "empty").mkdir()
    assert main(["diff", a, a, "--inputs", str(tmp_path / "empty")]) == 2
    assert "there is no image (.png, .jpg, .jpeg, .bmp) in it" in capsys.readouterr().err
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "x.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    assert main(["diff", a, a, "--inputs", str(tmp_path / "broken")]) == 3
    assert "x.png: cannot be decoded as an image" in capsys.readouterr().err
    free = InputContract("data", ("batch", 3, "height", "width"), layout="NCHW")
    pictures(tmp_path / "two", pillow, (8, 8), (9, 8))
    with pytest.raises(Exception, match="the images have the sizes 8x8, 8x9"):
        decoded(sorted((tmp_path / "two").glob("*.PNG")), free)


def test_without_pillow_the_pip_command_is_named(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "PIL", None)
    (tmp_path / "p").mkdir()
    (tmp_path / "p" / "x.png").write_bytes(b"")
    assert main(["diff", str(folder / "a.onnx"), str(folder / "a.onnx"), "--inputs", str(tmp_path / "p")]) == 4
    error = capsys.readouterr().err
    assert "Pillow is not installed and is needed to decode the images of --inputs" in error
    assert "pip install pillow" in error

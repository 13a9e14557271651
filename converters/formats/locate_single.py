"""Which file an ONNX model or a PyTorch state dict is; both are single files."""

from __future__ import annotations

from pathlib import Path

from facecvt.converters.formats.model_files import OnnxFiles, TorchFiles, ambiguous, files_of, model_name, no_such_path

_TORCH_SUFFIXES = (".pth.tar", ".pt.tar", ".ckpt.tar", ".pth", ".pt2", ".pt", ".ckpt", ".bin", ".pkl", ".safetensors")


def is_onnx_file(path: Path) -> bool:
    return path.suffix == ".onnx"


def is_torch_file(path: Path) -> bool:
    return path.name.endswith(_TORCH_SUFFIXES)


def locate_onnx_folder(folder: Path) -> OnnxFiles:
    """The one ``.onnx`` of a folder.

    Raises:
        AmbiguousModelError: more than one.
    """
    models = [path for path in files_of(folder) if is_onnx_file(path)]
    if len(models) != 1:
        names = (path.name for path in models)
        raise ambiguous(folder, f"{len(models)} ONNX models lie there", names, "name one of them")
    return locate_onnx_path(models[0])


def locate_onnx_path(path: Path) -> OnnxFiles:
    """The model that a file, or its name without ``.onnx``, names.

    Raises:
        UsageError: nothing of that name.
    """
    if not path.is_file():
        with_suffix = path.with_name(path.name + ".onnx")
        if not with_suffix.is_file():
            raise no_such_path(path, "ONNX model (a file, a folder with one .onnx, or an archive)")
        path = with_suffix
    return OnnxFiles(model_name(path.name.removesuffix(".onnx"), path.parent), path)


def locate_torch_folder(folder: Path) -> TorchFiles:
    """The one state dict of a folder; of the same one in two forms (``x.pth``, ``x.safetensors``) the latter.

    Raises:
        AmbiguousModelError: more than one.
    """
    weights = [path for path in files_of(folder) if is_torch_file(path)]
    if len({_torch_stem(path) for path in weights}) != 1:
        names = (path.name for path in weights)
        raise ambiguous(folder, f"{len(weights)} PyTorch weights files lie there", names, "name one of them")
    safe = [path for path in weights if path.suffix == ".safetensors"]
    if not safe and len(weights) > 1:
        raise ambiguous(
            folder, "the weights are there more than once", (path.name for path in weights), "name one of them"
        )
    return locate_torch_path((safe or weights)[0])


def locate_torch_path(path: Path) -> TorchFiles:
    """The state dict that a file names.

    Raises:
        UsageError: nothing of that name.
    """
    if not path.is_file():
        raise no_such_path(path, "PyTorch weights file (or a folder with one, or an archive)")
    return TorchFiles(model_name(_torch_stem(path), path.parent), path)


def _torch_stem(path: Path) -> str:
    suffix = next((suffix for suffix in _TORCH_SUFFIXES if path.name.endswith(suffix)), path.suffix)
    return path.name.removesuffix(suffix)

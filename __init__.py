"""facecvt converts face models between PyTorch, PaddlePaddle, MXNet and ONNX, and proves each conversion right.

    convert(model, "onnx")    convert and verify; the result says what was written and whether it is right
    inspect(model)            what a model is made of, and what of it would not convert
    models()                  the reference architectures

Importing facecvt imports nothing else; each verb imports what it needs when it is called.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike, fspath
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from facecvt.parity_tests.inspection import Inspection
    from facecvt.parity_tests.proven import ProvenConversion
    from facecvt.reference_models.listing import ModelRow

__version__ = "0.1.0"
__all__ = ["__version__", "convert", "inspect", "models"]


def convert(
    model: str | PathLike[str],
    target_framework: Literal["onnx", "torch", "mxnet", "paddle"],
    *,
    source_framework: Literal["mxnet", "paddle", "onnx"] | None = None,
    output: str | PathLike[str] | None = None,
    force: bool = False,
    epoch: int | None = None,
    opset: int = 13,
    inputs: Mapping[str, Sequence[int | str]] | None = None,
    color: Literal["RGB", "BGR"] | None = None,
    safetensors: bool = False,
    batch: int | None = None,
    fold_bn: bool = False,
    fp16: bool = False,
    preprocess: Literal["keep", "strip", "add"] = "keep",
    arch: Literal["auto", "none"] = "auto",
    dynamic_batch: bool = False,
    verify: bool = True,
) -> ProvenConversion:
    """Convert a model and run source and target against each other.

    Args:
        model: a path in any of its framework's spellings or an archive of it. With ``source_framework`` it may also be
            the name of a reference architecture, whose seeded weights are then converted.
        target_framework: "onnx" for one file, "torch" for a folder with ``model.py`` and ``weights.pth``, "mxnet" for
            one with symbol and params, "paddle" for one with program and weights.
        source_framework: found out from the path where it is not given.
        output: file or folder to write; by default ``NAME.onnx`` or the folder ``NAME`` in the current folder.
        force: replace an existing target.
        epoch: MXNet: which weights, where several lie there.
        opset: ONNX target: 11 to 21.
        inputs: input name -> shape, batch included; a word stands for a dynamic dimension.
        color: what images the model is fed, recorded in its input contract.
        safetensors: PyTorch target: write ``weights.safetensors`` as well.
        batch: ONNX target: batch size to fix; None leaves it as the source has it.
        dynamic_batch: free the batch size where the source fixes it; a node that fixes it is an error that names it.
        fold_bn: ONNX target: fold each BatchNormalization into the layer before it.
        fp16: ONNX target: compute in float16 where that is safe; inputs and outputs stay float32.
        preprocess: "strip" takes the normalisation of the input out of the graph, "add" puts it in.
        arch: PyTorch target: "auto" gives a recognised architecture the public class and its state_dict keys.
        verify: run both sides.

    Returns:
        ``.conversion`` (files, input contracts, warnings) and ``.verification``, which is truthy when both sides agree
        and None where it was not asked for.

    Raises:
        facecvt.converters.errors.FacecvtError: its ``exit_code`` and message say what is wrong.
    """
    from facecvt.parity_tests.proven import convert_and_verify

    return convert_and_verify(
        fspath(model),
        source_framework,
        target_framework,
        output=output,
        force=force,
        epoch=epoch,
        opset=opset,
        inputs=inputs,
        color=color,
        safetensors=safetensors,
        batch=batch,
        fold_bn=fold_bn,
        fp16=fp16,
        preprocess=preprocess,
        arch=arch,
        dynamic_batch=dynamic_batch,
        verify=verify,
    )


def inspect(
    model: str | PathLike[str],
    *,
    framework: Literal["mxnet", "paddle", "onnx", "torch"] | None = None,
    epoch: int | None = None,
) -> Inspection:
    """What a model, or a weights file alone, is made of.

    Args:
        model: any path that :func:`convert` takes, or ``.params``, ``.pdparams``, ``.pth``, ``.safetensors``.
        framework: whose it is; found out from the path where it is not given.
        epoch: MXNet: which weights, where several lie there.

    Raises:
        facecvt.converters.errors.FacecvtError: nothing of that name, or damaged files.
    """
    from facecvt.parity_tests.inspection import inspect_model

    return inspect_model(fspath(model), framework=framework, epoch=epoch)


def models(pattern: str | None = None) -> list[ModelRow]:
    """The reference architectures, one row each: names, input, outputs, parameters, multiply-adds, sources.

    Args:
        pattern: only those that match: ``*`` and ``?`` as in file names, or a part of a name.

    Raises:
        facecvt.converters.errors.UsageError: none matches.
    """
    from facecvt.reference_models.listing import model_rows

    return model_rows(pattern)

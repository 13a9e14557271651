"""facecvt converts face models between PyTorch, PaddlePaddle, MXNet and ONNX, and proves each conversion right.

    convert(model, "onnx")    convert and verify; the result says what was written and whether it is right
    inspect(model)            what a model is made of, and what of it would not convert
    models()                  the reference architectures
    assert_parity(a, b)       fails a test unless two models agree

Importing facecvt imports nothing else; each verb imports what it needs when it is called.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike, fspath
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from facecvt.parity_tests.diff.difference import Difference
    from facecvt.parity_tests.diff.given_inputs import Inputs
    from facecvt.parity_tests.diff.model import Model
    from facecvt.parity_tests.inspection import Inspection
    from facecvt.parity_tests.proven import ProvenConversion
    from facecvt.reference_models.listing import ModelRow

__version__ = "0.1.0"
__all__ = ["__version__", "assert_parity", "convert", "inspect", "models"]


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
    dynamic_batch: bool = False,
    fold_bn: bool = False,
    fp16: bool = False,
    preprocess: Literal["keep", "strip", "add"] = "keep",
    arch: Literal["auto", "none"] = "auto",
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
        dynamic_batch=dynamic_batch,
        fold_bn=fold_bn,
        fp16=fp16,
        preprocess=preprocess,
        arch=arch,
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
    from facecvt.parity_tests.inspect_files import inspect_model

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


def assert_parity(
    a: Model,
    b: Model,
    *,
    frameworks: tuple[str | None, str | None] = (None, None),
    seed: int = 0,
    batch: int = 2,
    inputs: Inputs | None = None,
    shapes: Mapping[str, Sequence[int | str]] | None = None,
    repro: str | PathLike[str] | None = None,
) -> Difference:
    """Pass if model B agrees with model A at every layer and output; for tests, with or without pytest.

    A is the reference and is evaluated in float64; what counts as equal follows from what float32 costs each layer.

    Args:
        a, b: paths in any spelling that :func:`convert` takes, archives, ``package.module:factory``, or an
            ``nn.Module`` in hand, of which a copy is compared in evaluation mode; with a framework also names of
            reference architectures.
        frameworks: of A and B, where the paths leave it open.
        seed: of the made-up inputs.
        batch: number of samples, where both models leave it free.
        inputs: an array for each input of A, by name; an ``.npz`` of them; or a folder of images. Made up by default.
        shapes: shapes of inputs by name, where a model holds none.
        repro: folder to write the first layer at fault to, alone and ready to run; must not exist.

    Returns:
        What was found: ``.verification`` holds the figures of every output and layer.

    Raises:
        AssertionError: they differ, or cannot be compared. ``.difference`` holds what was found.
        facecvt.converters.errors.FacecvtError: a model or the inputs cannot be read.
    """
    __tracebackhide__ = True  # pytest's traceback ends in the test
    from facecvt.parity_tests.assertion import assert_parity as hold

    return hold(
        a,
        b,
        frameworks=frameworks,
        seed=seed,
        batch=batch,
        inputs=inputs,
        shapes=shapes,
        repro=None if repro is None else fspath(repro),
    )

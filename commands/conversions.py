"""The twelve conversions: one function, its options chosen by source and target (:mod:`facecvt.converters.targets`)."""

from __future__ import annotations

import os
from typing import Any

import click

from facecvt.commands.options import InputShape, ModelArgument, reporter, reporting
from facecvt.converters.targets import CONVERSIONS, TARGETS

TITLES = {"mxnet": "MXNet", "paddle": "Paddle", "onnx": "ONNX", "torch": "PyTorch"}
ARTICLES = {"mxnet": "an", "paddle": "a", "onnx": "an", "torch": "a"}
SPELLINGS = {
    "mxnet": "prefix, prefix-symbol.json, prefix-0000.params, a folder",
    "paddle": "x.pdmodel, x.pdiparams, x, inference.json, __model__, a folder",
    "onnx": "an .onnx file, a folder with one",
    "torch": "weights of a reference architecture (.pth, .pt, .safetensors), a TorchScript archive, an ExportedProgram "
    "(.pt2), package.module:factory for code of one's own, a folder",
}

NUMBER = click.IntRange(min=0)
EPOCH = click.option("--epoch", type=NUMBER, help="MXNet: which weights, where several lie there.")
OPSET = click.option("--opset", type=click.IntRange(11, 21), default=13, show_default=True, help="ONNX opset to write.")
COLOR = click.option(
    "--color", type=click.Choice(["RGB", "BGR"]), help="What the input is, where the source is silent."
)
CUT = click.option(
    "--cut-at", metavar="NAME", multiple=True, help="Make this value an output and leave out what follows, repeatable."
)
BATCH = click.option("--batch", type=click.IntRange(min=1), help="Fix the batch size.  [default: as the source]")
DYNAMIC_BATCH = click.option(
    "--dynamic-batch", is_flag=True, help="Free the batch size where the source fixes it, or refuse, naming the node."
)
FP16 = click.option("--fp16", is_flag=True, help="Compute in float16 where that is safe; half the size.")
FOLD_BN = click.option("--fold-bn", is_flag=True, help="Fold each BatchNormalization into the layer before it.")
PREPROCESS = click.option(
    "--preprocess",
    type=click.Choice(["keep", "strip", "add"]),
    default="keep",
    show_default=True,
    help="(pixel - mean) * scale: as in the source, taken out of the graph, or put into it.",
)
SAFETENSORS = click.option("--safetensors", is_flag=True, help="Write weights.safetensors as well.")
ARCH = click.option(
    "--arch",
    type=click.Choice(["auto", "none"]),
    default="auto",
    show_default=True,
    help="auto: a recognised architecture gets the public class and its state_dict keys.",
)

SOURCE_ARCH = click.option(
    "--arch",
    metavar="NAME",
    default="auto",
    show_default=True,
    help="The reference architecture that bare weights are of; auto finds out.",
)

TARGET_OPTIONS = {
    "opset": OPSET,
    "batch": BATCH,
    "fold_bn": FOLD_BN,
    "fp16": FP16,
    "safetensors": SAFETENSORS,
    "arch": ARCH,
}


def conversion(source: str, target: str) -> click.Command:
    """The command that converts ``source`` to ``target``."""
    place = "folder" if TARGETS[target].is_folder else "file"
    default = f"NAME{TARGETS[target].suffix}"
    options: list[Any] = [
        click.argument("model", type=ModelArgument()),
        click.option("-o", "--output", metavar="PATH", help=f"The {place} to write.  [default: ./{default}]"),
        click.option("--force", is_flag=True, help="Replace an existing target."),
        *([EPOCH] if source == "mxnet" else []),
        *(TARGET_OPTIONS[option] for option in TARGETS[target].options if source != "torch" or option != "arch"),
        *([SOURCE_ARCH] if source == "torch" else []),
        click.option("--input", "inputs", type=InputShape(), multiple=True, help="Shape of an input, repeatable."),
        DYNAMIC_BATCH,
        CUT,
        COLOR,
        PREPROCESS,
        click.option("--no-verify", is_flag=True, help="Write only; do not run both sides against each other."),
        reporting,
    ]

    def convert(model: str, as_json: bool, quiet: bool, verbose: bool, no_verify: bool, **choices: Any) -> int:
        if no_verify:  # then nothing is computed, and numpy need not start a thread for every core
            os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
        from facecvt.parity_tests.proven import convert_and_verify

        report = reporter(as_json, quiet, verbose)
        choices["inputs"] = dict(choices["inputs"])
        with report.progress() as progress:
            result = convert_and_verify(model, source, target, verify=not no_verify, progress=progress, **choices)
        report.conversion(result)
        return result.exit_code

    for option in reversed(options):
        convert = option(convert)
    return click.command(
        f"{source}2{target}",
        help=f"Convert {ARTICLES[source]} {TITLES[source]} model to {TITLES[target]} and verify it.\n\n"
        f"MODEL: {SPELLINGS[source]}, a .tar, .tgz or .zip of these"
        + ("." if source == "onnx" else ", or the name of a reference architecture."),
        short_help=f"{TITLES[source]} to {TITLES[target]}.",
    )(convert)


COMMANDS = [conversion(*pair) for pair in CONVERSIONS]

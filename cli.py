"""The click program: arguments in, one call, one rendering out.

Results go to stdout; progress, log and errors to stderr. ``--json`` puts exactly one document on stdout, for an error
too: ``{"schema_version", "command", "error", "error_type", "exit_code"}``. Only click is imported until a command runs.

Exit codes: 0 done (a conversion: the two sides agree), 1 the numbers differ, 2 the call itself is off, 3 the model
cannot be read or converted, 4 a framework is missing, 5 not comparable, 70 a bug in facecvt, 130 interrupted.
"""

from __future__ import annotations

import errno
import gc
import os
import re
import signal
import sys
from collections.abc import Callable, Sequence
from io import TextIOWrapper
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import click
from click.shell_completion import CompletionItem

from facecvt import __version__
from facecvt.converters.targets import CONVERSIONS, TARGETS

if TYPE_CHECKING:
    from facecvt.converters.formats.locate import Framework
    from facecvt.parity_tests.report.reporter import Reporter

TITLES = {"mxnet": "MXNet", "paddle": "Paddle", "onnx": "ONNX", "torch": "PyTorch"}
ARTICLES = {"mxnet": "an", "paddle": "a", "onnx": "an", "torch": "a"}
SPELLINGS = {
    "mxnet": "prefix, prefix-symbol.json, prefix-0000.params, a folder",
    "paddle": "x.pdmodel, x.pdiparams, x, inference.json, __model__, a folder",
    "onnx": "an .onnx file, a folder with one",
    "torch": "weights of a reference architecture (.pth, .pt, .safetensors), a TorchScript archive, an ExportedProgram "
    "(.pt2), package.module:factory for code of one's own, a folder",
}
DIMENSION = re.compile(r"[1-9][0-9]*|[A-Za-z_][A-Za-z0-9_]*")
COMPLETE_VARIABLE = "_FACECVT_COMPLETE"
SCHEMA_VERSION = "1.0"
BUG, INTERRUPTED, TERMINATED = 70, 130, 143

Function = TypeVar("Function", bound=Callable[..., Any])


class ModelArgument(click.ParamType):  # type: ignore[type-arg]  # generic only in newer releases of click
    """A path or the name of a reference architecture; completes both."""

    name = "model"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        from facecvt.reference_models import names

        items = [
            CompletionItem(name, help="reference") for name in names() if incomplete and name.startswith(incomplete)
        ]
        return [*items, CompletionItem(incomplete, type="file")]


class ReferenceName(click.ParamType):  # type: ignore[type-arg]
    """The name of a reference architecture, or a pattern for several; completes names."""

    name = "name"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        from facecvt.reference_models import names

        return [CompletionItem(name) for name in names() if name.startswith(incomplete)]


class InputShape(click.ParamType):  # type: ignore[type-arg]
    """``NAME=SHAPE``, the sizes separated by ``x`` or ``,``; a word in place of a size is a dynamic dimension."""

    name = "NAME=SHAPE"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if isinstance(value, tuple):
            return value
        name, equals, shape = str(value).rpartition("=")
        sizes = shape.split(",") if "," in shape else shape.split("x")
        if not (name and equals and all(DIMENSION.fullmatch(size) for size in sizes)):
            self.fail(f"{value!r} is not NAME=SHAPE, for example data=1x3x112x112 or data=batch,3,112,112", param, ctx)
        return name, tuple(int(size) if size.isdecimal() else size for size in sizes)


class InOrder(click.Group):
    """A group that lists its commands in the order of their definition."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)


@click.group(
    cls=InOrder,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog="Exit codes: 0 agree or done, 1 numbers differ, 2 usage, 3 cannot be read or converted, "
    "4 a framework is missing, 5 not comparable, 70 a bug in facecvt.",
)
@click.version_option(__version__, "-V", "--version", prog_name="facecvt", message="%(prog)s %(version)s")
@click.pass_context
def program(context: click.Context) -> None:
    """Convert face models between frameworks and prove each conversion right.

    MODEL is a path in any of its framework's spellings, an archive of it, or the name of a reference architecture
    (see `facecvt models`), whose seeded weights are then used.
    """
    if context.invoked_subcommand is None:
        click.echo(context.get_help(), err=True)
        context.exit(2)


def reporting(command: Function) -> Function:
    """The options that every command has."""
    for option in (
        click.option("-v", "--verbose", is_flag=True, help="Log what is done; show the traceback of an error."),
        click.option("-q", "--quiet", is_flag=True, help="No progress and no warnings on stderr."),
        click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout."),
    ):
        command = option(command)
    return command


def reporter(as_json: bool, quiet: bool, verbose: bool) -> Reporter:
    """Where a command's result goes; imported late, because it renders."""
    from facecvt.parity_tests.report.reporter import Reporter

    return Reporter(as_json=as_json, quiet=quiet, verbose=verbose)


NUMBER = click.IntRange(min=0)
EPOCH = click.option("--epoch", type=NUMBER, help="MXNet: which weights, where several lie there.")
OPSET = click.option("--opset", type=click.IntRange(11, 21), default=13, show_default=True, help="ONNX opset to write.")
COLOR = click.option(
    "--color", type=click.Choice(["RGB", "BGR"]), help="What the input is, where the source is silent."
)
CUT = click.option(
    "--cut-at", metavar="NAME", multiple=True, help="Make this value an output and leave out what follows, repeatable."
)
BATCH = click.option("--batch", type=click.IntRange(min=1), help="Fix the batch size.  [default: free]")
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

TARGET_OPTIONS = {"opset": OPSET, "batch": BATCH, "fold_bn": FOLD_BN, "safetensors": SAFETENSORS, "arch": ARCH}


def add_conversion(source: str, target: str) -> None:
    """Define the command that converts ``source`` to ``target``."""
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
        *([CUT] if source in ("mxnet", "paddle") else []),
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
    program.command(
        f"{source}2{target}",
        help=f"Convert {ARTICLES[source]} {TITLES[source]} model to {TITLES[target]} and verify it.\n\n"
        f"MODEL: {SPELLINGS[source]}, a .tar, .tgz or .zip of these"
        + ("." if source == "onnx" else ", or the name of a reference architecture."),
        short_help=f"{TITLES[source]} to {TITLES[target]}.",
    )(convert)


for pair in CONVERSIONS:
    add_conversion(*pair)


@program.command(short_help="Two models held against each other, layer by layer.")
@click.argument("a", type=ModelArgument())
@click.argument("b", type=ModelArgument())
@click.option("--framework-a", type=click.Choice(["mxnet", "paddle", "onnx", "torch"]), help="Where A leaves it open.")
@click.option("--framework-b", type=click.Choice(["mxnet", "paddle", "onnx", "torch"]), help="Where B leaves it open.")
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), default=0, show_default=True, help="Of the made-up inputs.")
@click.option("--batch", type=click.IntRange(min=1), default=2, show_default=True, help="Where both leave it free.")
@click.option("--layers", metavar="GLOB", help="Report these layers of A only; the verdict is on all.")
@click.option("--isolate", is_flag=True, help="Each layer's own error also where the two agree.")
@click.option("--inputs", metavar="FILE.npz", type=click.Path(), help="An array for each input of A, to use instead.")
@click.option("--input", "shapes", type=InputShape(), multiple=True, help="Shape of an input, repeatable.")
@reporting
def diff(
    a: str,
    b: str,
    framework_a: str | None,
    framework_b: str | None,
    as_json: bool,
    quiet: bool,
    verbose: bool,
    **choices: Any,
) -> int:
    """Hold model B against model A, layer by layer, in whatever formats they are.

    Layers are aligned by the weights they own, never by name or position. A is evaluated in float64. Where the two
    differ, every layer of B is fed what A computes, so that the layer at fault is told from those behind it.

    A and B are paths in any spelling that the conversions take; with --framework-a and --framework-b also names of
    reference architectures.
    """
    from facecvt.parity_tests.diff.compare import diff as hold

    choices["shapes"] = dict(choices["shapes"])
    report = reporter(as_json, quiet, verbose)
    with report.progress() as progress:
        found = hold(a, b, frameworks=(framework_a, framework_b), progress=progress, **choices)
    report.difference(found)
    return found.exit_code


@program.command(short_help="What a model is made of, and what of it would not convert.")
@click.argument("model", type=ModelArgument())
@click.option(
    "--framework", type=click.Choice(["mxnet", "paddle", "onnx", "torch"]), help="Where the path leaves it open."
)
@click.option("--epoch", type=click.IntRange(min=0), help="MXNet: which weights, if several lie there.")
@click.option("--layers", is_flag=True, help="List every layer and every weight.")
@reporting
def inspect(model: str, framework: Framework | None, epoch: int | None, layers: bool, **shown: bool) -> int:
    """Show inputs, outputs, layers, weights and operators of a model, and which operators would not convert.

    MODEL is what the conversions take, or a weights file alone: .params, .npz, .pdparams, .pth, .pt, .safetensors.
    """
    from facecvt.parity_tests.inspection import inspect_model

    reporter(**shown).inspection(inspect_model(model, framework=framework, epoch=epoch), every_layer=layers)
    return 0


@program.command(short_help="Operators that facecvt reads and writes.")
@reporting
def ops(**shown: bool) -> int:
    """List the operators that facecvt reads and writes, a row an operator, from the rules themselves."""
    from facecvt.converters.ops_table import operator_rows

    reporter(**shown).operators(operator_rows())
    return 0


@program.command(short_help="Reference architectures, or one of them in full.")
@click.argument("name", required=False, type=ReferenceName())
@reporting
def models(name: str | None, **shown: bool) -> int:
    """List the reference architectures, whose names every conversion takes in place of a path, or show one in full.

    NAME is an architecture by any of its names: its stages, input, options and sources are shown. Or it is a pattern
    for several: `*` and `?` as in file names, or a part of a name.
    """
    from facecvt.reference_models.listing import is_name, model_rows, model_sheet

    if name is not None and is_name(name):
        reporter(**shown).model(model_sheet(name))
    else:
        reporter(**shown).models(model_rows(name))
    return 0


@program.command(short_help="What is installed, and what each command can do with it.")
@reporting
def doctor(**shown: bool) -> int:
    """Show what is installed, what each command can do with it, and the pip command for what is missing."""
    from facecvt.parity_tests.environment import examine

    diagnosis = examine()
    reporter(**shown).diagnosis(diagnosis)
    return diagnosis.exit_code


INSTALL = {
    "bash": "facecvt completion bash > ~/.local/share/bash-completion/completions/facecvt",
    "zsh": "facecvt completion zsh > ~/.zfunc/_facecvt   # with fpath+=~/.zfunc before compinit in ~/.zshrc",
    "fish": "facecvt completion fish > ~/.config/fish/completions/facecvt.fish",
}


@program.command(short_help="Completion for bash, zsh or fish.")
@click.argument("shell", type=click.Choice(list(INSTALL)))
@reporting
def completion(shell: str, **shown: bool) -> int:
    """Print the completion script of a shell; its first lines say how to install it."""
    from click.shell_completion import get_completion_class

    found = get_completion_class(shell)
    if found is None:
        raise click.UsageError(f"click does not know {shell}")
    script = found(program, {}, "facecvt", COMPLETE_VARIABLE).source()
    head, first, rest = "", *script.partition("\n")[::2]
    if first.startswith("#compdef"):  # zsh wants it in the first line
        head, script = f"{first}\n", rest
    note = f"# Install: {INSTALL[shell]}\n# Then open a new shell.\n"
    document = {"shell": shell, "install": INSTALL[shell], "script": script}
    reporter(**shown).text(f"{head}{note}{script}", document, "completion")
    return 0


class Failure(NamedTuple):
    """An error on its way out: the message, the class of the exception and the exit code."""

    message: str
    kind: str
    exit_code: int


def failure_of(error: BaseException, arguments: Sequence[str]) -> Failure:
    """What to tell about an exception; anything unforeseen is a bug in facecvt."""
    from facecvt.converters.errors import FacecvtError

    kind = type(error).__name__
    if isinstance(error, (KeyboardInterrupt, click.Abort)):
        return Failure("interrupted", "Interrupted", INTERRUPTED)
    if isinstance(error, FacecvtError):
        return Failure(str(error), kind, error.exit_code)
    if isinstance(error, click.ClickException):
        context = getattr(error, "ctx", None)
        hint = f"; see `{context.command_path} -h`" if context is not None else ""
        return Failure(error.format_message().rstrip(".") + hint, "UsageError", 2)
    if isinstance(error, OSError) and error.strerror and error.filename is not None:
        return Failure(f"{error.filename}: {error.strerror}", kind, 3)
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return Failure(f"the target cannot be written: {error.strerror}", kind, 3)
    if isinstance(error, ModuleNotFoundError) and error.name and not error.name.startswith("facecvt"):
        return Failure(f"the package {error.name} is missing; `facecvt doctor` says what to install", kind, 4)
    again = "" if wants(arguments, "-v", "--verbose") else "; run it again with -v for the traceback"
    return Failure(f"this is a bug in facecvt: {kind}: {error}{again}, and please report it", kind, BUG)


def wants(arguments: Sequence[str], *flags: str) -> bool:
    """Whether a flag is among the arguments; asked only where parsing them may have failed."""
    return any(argument in flags for argument in arguments)


def tell(failure: Failure, arguments: Sequence[str]) -> None:
    """The error on stderr, and with ``--json`` as the one document on stdout."""
    print(f"error: {failure.message}", file=sys.stderr)
    if wants(arguments, "--json"):
        import json

        command = next((argument for argument in arguments if argument in program.commands), None)
        document = {
            "schema_version": SCHEMA_VERSION,
            "command": command,
            "error": failure.message,
            "error_type": failure.kind,
            "exit_code": failure.exit_code,
        }
        print(json.dumps(document, indent=2), flush=True)


def run(arguments: Sequence[str]) -> int:
    """Run one command line and return its exit code; what happened has been told."""
    try:
        with program.make_context("facecvt", list(arguments)) as context:
            code = program.invoke(context)
        return code if isinstance(code, int) else 0
    except click.exceptions.Exit as stop:
        return stop.exit_code
    except BrokenPipeError:  # of the help texts; a result's own is met in Reporter, where the exit code is kept
        from facecvt.parity_tests.report.reporter import silence_stdout

        silence_stdout()
        return 0
    except (Exception, KeyboardInterrupt) as error:
        if wants(arguments, "-v", "--verbose"):
            import traceback

            traceback.print_exc()
        failure = failure_of(error, arguments)
        tell(failure, arguments)
        return failure.exit_code


def stop_on_terminate(number: int, frame: object) -> None:
    """Leave by an exception, so that half-written targets are removed."""
    raise SystemExit(TERMINATED)


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point of ``facecvt``.

    Args:
        arguments: the command line without the program's name; by default that of the process.

    Returns:
        The exit code.
    """
    instruction = os.environ.get(COMPLETE_VARIABLE)
    if instruction:
        from click.shell_completion import shell_complete

        return shell_complete(program, {}, "facecvt", COMPLETE_VARIABLE, instruction)
    for stream in (sys.stdout, sys.stderr):  # a name that the terminal's encoding lacks is no reason to fail
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    if arguments is None:
        signal.signal(signal.SIGTERM, stop_on_terminate)
        gc.set_threshold(100_000, 50, 50)  # graphs are many small live objects: looking through them often is waste
        code = run(sys.argv[1:])
        gc.freeze()  # the process ends here: nobody needs the interpreter to look through everything once more
        return code
    return run(arguments)


if __name__ == "__main__":
    sys.exit(main())

"""The commands that tell: what a model is made of, what facecvt knows, what is installed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from facecvt.commands.options import FRAMEWORKS, ModelArgument, ReferenceName, reporter, reporting

if TYPE_CHECKING:
    from facecvt.converters.formats.locate import Framework

COMPLETE_VARIABLE = "_FACECVT_COMPLETE"


@click.command(short_help="What a model is made of, and what of it would not convert.")
@click.argument("model", type=ModelArgument())
@click.option("--framework", type=FRAMEWORKS, help="Where the path leaves it open.")
@click.option("--epoch", type=click.IntRange(min=0), help="MXNet: which weights, if several lie there.")
@click.option("--layers", is_flag=True, help="List every layer and every weight.")
@reporting
def inspect(model: str, framework: Framework | None, epoch: int | None, layers: bool, **shown: bool) -> int:
    """Show inputs, outputs, layers, weights and operators of a model, and which operators would not convert.

    MODEL is what the conversions take, or a weights file alone: .params, .npz, .pdparams, .pth, .pt, .safetensors.
    """
    from facecvt.parity_tests.inspect_files import inspect_model

    reporter(**shown).inspection(inspect_model(model, framework=framework, epoch=epoch), every_layer=layers)
    return 0


@click.command(short_help="Operators that facecvt reads and writes.")
@reporting
def ops(**shown: bool) -> int:
    """List the operators that facecvt reads and writes, a row an operator, from the rules themselves."""
    from facecvt.converters.ops_table import operator_rows

    reporter(**shown).operators(operator_rows())
    return 0


@click.command(short_help="Reference architectures and margin heads, or one of them in full.")
@click.argument("name", required=False, type=ReferenceName())
@reporting
def models(name: str | None, **shown: bool) -> int:
    """List the reference architectures, whose names every conversion takes in place of a path, and the margin heads.

    NAME is an architecture by any of its names: its stages, input, options and sources are shown. Or it is a margin
    head, such as arcface: its options and sources are shown. Or it is a pattern for several: `*` and `?` as in file
    names, or a part of a name.
    """
    from facecvt.reference_models.listing import is_name, model_sheet
    from facecvt.reference_models.listing_heads import head_sheet, is_head, listed

    if name is not None and is_name(name):
        reporter(**shown).model(model_sheet(name))
        return 0
    rows, heads = listed(name)
    if name is not None and is_head(name):
        reporter(**shown).head(head_sheet(name), rows)
    else:
        reporter(**shown).models(rows, heads)
    return 0


@click.command(short_help="What is installed, and what each command can do with it.")
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


@click.command(short_help="Completion for bash, zsh or fish.")
@click.argument("shell", type=click.Choice(list(INSTALL)))
@reporting
def completion(shell: str, **shown: bool) -> int:
    """Print the completion script of a shell; its first lines say how to install it."""
    from click.shell_completion import get_completion_class

    found = get_completion_class(shell)
    if found is None:
        raise click.UsageError(f"click does not know {shell}")
    script = found(click.get_current_context().find_root().command, {}, "facecvt", COMPLETE_VARIABLE).source()
    head, first, rest = "", *script.partition("\n")[::2]
    if first.startswith("#compdef"):  # zsh wants it in the first line
        head, script = f"{first}\n", rest
    note = f"# Install: {INSTALL[shell]}\n# Then open a new shell.\n"
    document = {"shell": shell, "install": INSTALL[shell], "script": script}
    reporter(**shown).text(f"{head}{note}{script}", document, "completion")
    return 0


COMMANDS: list[click.Command] = [inspect, ops, models, doctor, completion]

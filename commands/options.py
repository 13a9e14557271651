"""What the commands share: the types of their arguments, and the options that every command has."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click
from click.shell_completion import CompletionItem

if TYPE_CHECKING:
    from facecvt.parity_tests.report.reporter import Reporter

DIMENSION = re.compile(r"[1-9][0-9]*|[A-Za-z_][A-Za-z0-9_]*")
FRAMEWORKS = click.Choice(["mxnet", "paddle", "onnx", "torch"])

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
    """The name of a reference architecture or margin head, or a pattern for several; completes names."""

    name = "name"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        from facecvt.reference_models import head_names, names

        return [CompletionItem(name) for name in (*names(), *head_names()) if name.startswith(incomplete)]


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

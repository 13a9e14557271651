"""Errors on their way out: the message, the exit code, and with ``--json`` the document."""

from __future__ import annotations

import errno
import sys
from collections.abc import Container, Sequence
from typing import NamedTuple

import click

SCHEMA_VERSION = "1.0"
BUG, INTERRUPTED, TERMINATED = 70, 130, 143


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


def tell(failure: Failure, arguments: Sequence[str], commands: Container[str]) -> None:
    """The error on stderr, and with ``--json`` as the one document on stdout; ``commands`` are the names there are."""
    print(f"error: {failure.message}", file=sys.stderr)
    if wants(arguments, "--json"):
        import json

        command = next((argument for argument in arguments if argument in commands), None)
        document = {
            "schema_version": SCHEMA_VERSION,
            "command": command,
            "error": failure.message,
            "error_type": failure.kind,
            "exit_code": failure.exit_code,
        }
        print(json.dumps(document, indent=2), flush=True)

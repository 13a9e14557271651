"""The click program: arguments in, one call, one rendering out.

Results go to stdout; progress, log and errors to stderr. ``--json`` puts exactly one document on stdout, for an error
too: ``{"schema_version", "command", "error", "error_type", "exit_code"}``. Only click is imported until a command runs.

Exit codes: 0 done (a conversion: the two sides agree), 1 the numbers differ, 2 the call itself is off, 3 the model
cannot be read or converted, 4 a framework is missing, 5 not comparable, 70 a bug in facecvt, 130 interrupted.
"""

from __future__ import annotations

import gc
import os
import signal
import sys
from collections.abc import Sequence
from io import TextIOWrapper

import click

from facecvt import __version__
from facecvt.commands import comparisons, conversions, facts, suites
from facecvt.commands.facts import COMPLETE_VARIABLE
from facecvt.commands.failures import TERMINATED, failure_of, tell, wants


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


for command in (*conversions.COMMANDS, *comparisons.COMMANDS, *suites.COMMANDS, *facts.COMMANDS):
    program.add_command(command)


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
        tell(failure, arguments, program.commands)
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

"""The commands that hold models against each other."""

from __future__ import annotations

from typing import Any

import click

from facecvt.commands.options import FRAMEWORKS, InputShape, ModelArgument, reporter, reporting


@click.command(short_help="Two models held against each other, layer by layer.")
@click.argument("a", type=ModelArgument())
@click.argument("b", type=ModelArgument())
@click.option("--framework-a", type=FRAMEWORKS, help="Where A leaves it open.")
@click.option("--framework-b", type=FRAMEWORKS, help="Where B leaves it open.")
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), default=0, show_default=True, help="Of the made-up inputs.")
@click.option("--batch", type=click.IntRange(min=1), default=2, show_default=True, help="Where both leave it free.")
@click.option("--layers", metavar="GLOB", help="Report these layers of A only; the verdict is on all.")
@click.option("--isolate", is_flag=True, help="Each layer's own error also where the two agree.")
@click.option(
    "--inputs",
    metavar="FILE.npz|FOLDER",
    type=click.Path(),
    help="An array for each input of A, or a folder of images, to use instead.",
)
@click.option("--input", "shapes", type=InputShape(), multiple=True, help="Shape of an input, repeatable.")
@click.option("--repro", metavar="DIR", type=click.Path(), help="Write the first layer at fault alone, ready to run.")
@click.option("--force", is_flag=True, help="Replace an existing DIR.")
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
    differ, every layer of B is fed what A computes, so that the layer at fault is told from those behind it. B is run
    by its own framework where that is installed.

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


@click.command(short_help="The verifier's own test: known faults put into converted models.")
@click.option("--quick", is_flag=True, help="Two small nets only.")
@click.option("--arch", metavar="NAME", multiple=True, help="This net only, repeatable.")
@reporting
def selftest(arch: tuple[str, ...], quick: bool, as_json: bool, quiet: bool, verbose: bool) -> int:
    """Put known faults into converted models, one at a time, and see whether they are found.

    Each fault is a mistake that converters make. Counted is how many are detected, how many are found in the right
    layer, how many by their cause, and how many harmless variants of the same models raise a false alarm. The exit code
    is 0 only if at least 98 % are detected, 95 % localised, 80 % named, and no alarm is false.
    """
    from facecvt.parity_tests.selftest.run import selftest as run

    report = reporter(as_json, quiet, verbose)
    with report.progress() as progress:
        found = run(arch, quick=quick, progress=progress)
    report.selftest(found)
    return found.exit_code


COMMANDS: list[click.Command] = [diff, selftest]

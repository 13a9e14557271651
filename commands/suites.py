"""The commands that hold all reference architectures against one another."""

from __future__ import annotations

import os
from pathlib import Path

import click

from facecvt.commands.options import ReferenceName, reporter, reporting


@click.command(short_help="Every implementation of the reference architectures held against every other.")
@click.argument("architectures", metavar="[ARCH]...", nargs=-1, type=ReferenceName())
@click.option(
    "--frameworks",
    metavar="LIST",
    default="torch,paddle,mxnet,onnx",
    show_default=True,
    help="Which implementations; onnx is the model that facecvt makes from each of the others.",
)
@click.option("-o", "--out", metavar="DIR", type=click.Path(file_okay=False, path_type=Path), help="Write the reports.")
@click.option("--quick", is_flag=True, help="Fewer inputs and, without ARCH, the cheapest of every family.")
@click.option("--shard", metavar="I/N", help="Part I of N, to be joined by --merge.")
@click.option("--merge", is_flag=True, help="Join the results in the folders DIR... that shards have written.")
@click.option(
    "--jobs",
    metavar="N",
    type=click.IntRange(min=1),
    default=min(2, os.cpu_count() or 1),
    show_default="2, or 1 on one core",
    help="Processes at a time, one thread each; fewer while nets are so deep that 4 GB would not do for all.",
)
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), default=0, show_default=True, help="Of weights and inputs.")
@reporting
def parity(
    architectures: tuple[str, ...],
    frameworks: str,
    out: Path | None,
    quick: bool,
    shard: str | None,
    merge: bool,
    seed: int,
    jobs: int,
    **shown: bool,
) -> int:
    """Hold the nets in PyTorch, Paddle, MXNet, the ONNX models made from them and a float64 oracle against each other.

    All have the same seeded weights and inputs. Every named layer and output of every pair is compared; batches, order
    of rows, repetition, extreme inputs and aliasing are checked. ARCH is a name or a pattern, as for `facecvt models`;
    by default all. `facecvt parity --merge DIR... --out DIR` joins shards.

    DIR gets parity.json, junit.xml, parity.md and the page parity.html, and where something differs repro/ARCH, the
    first layer at fault alone, ready to run. A framework that is not installed and not left
    out by --frameworks makes exit code 4.
    """
    from facecvt.parity_tests.parity_report.console import render_parity
    from facecvt.parity_tests.parity_report.result import REPRO, Settings
    from facecvt.parity_tests.parity_report.result_json import document_of
    from facecvt.parity_tests.parity_report.suite import merged
    from facecvt.parity_tests.parity_report.suite import parity as run_suite
    from facecvt.parity_tests.parity_report.written import gather_repros, write_report

    report = reporter(**shown)
    if merge:
        if shard is not None:
            raise click.UsageError("--merge joins what shards have written; leave --shard out")
        found = merged(architectures)
    else:
        settings = Settings(architectures, tuple(part.strip() for part in frameworks.split(",")), quick, seed, shard)
        with report.progress() as progress:
            found = run_suite(settings, progress, jobs=jobs, repro=None if out is None else out / REPRO)
    files = write_report(found, out) if out is not None else []
    if merge and out is not None:
        gather_repros(architectures, out)
    if report.as_json:
        report.text("", document_of(found), "parity")
    else:
        report.render(lambda console: render_parity(console, found, files, verbose=report.verbose))
    return found.exit_code


COMMANDS: list[click.Command] = [parity]

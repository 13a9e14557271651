"""Writes the pages of docs/ that are made of the code: ops.md, cli.md and models.md.

ops.md is made of the rules, cli.md of the commands, models.md of what the reference architectures declare.

python docs/generate.py            write them
python docs/generate.py --check    exit 1 and name those that are stale
"""

from __future__ import annotations

import difflib
import sys
from collections.abc import Callable
from pathlib import Path

import click

from facecvt.cli import program
from facecvt.converters.ops_table import markdown as operators_page
from facecvt.reference_models.listing_page import markdown as models_page

HERE = Path(__file__).resolve().parent
WIDTH = 100


def commands_page() -> str:
    """The help text of every command."""
    lines = ["# Commands", "", "Made by `make docs` from the commands' own help; do not edit.", ""]
    root = click.Context(program, info_name="facecvt", terminal_width=WIDTH, help_option_names=["-h", "--help"])
    lines += ["```", root.get_help(), "```"]
    for name, command in program.commands.items():
        context = click.Context(command, info_name=name, parent=root, terminal_width=WIDTH)
        lines += ["", f"## {name}", "", "```", command.get_help(context), "```"]
    return "\n".join(line.rstrip() for line in "\n".join(lines).splitlines()) + "\n"


PAGES: dict[str, Callable[[], str]] = {"ops.md": operators_page, "cli.md": commands_page, "models.md": models_page}


def differences(name: str) -> str:
    """What a page would change to; empty where it is up to date."""
    path = HERE / name
    before = path.read_text(encoding="utf-8") if path.is_file() else ""
    return "\n".join(
        difflib.unified_diff(before.splitlines(), PAGES[name]().splitlines(), name, "now", lineterm="", n=0)
    )


def main() -> int:
    """Write the pages, or with ``--check`` say which are stale."""
    if "--check" in sys.argv[1:]:
        stale = [name for name in PAGES if differences(name)]
        for name in stale:
            print(f"docs/{name} is stale; run `make docs`")
        return 1 if stale else 0
    for name, page in PAGES.items():
        (HERE / name).write_text(page(), encoding="utf-8")
        print(f"docs/{name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Every error that facecvt raises on purpose, and the exit code each one carries.

    FacecvtError                      1
    ├── UsageError                    2   the command or call itself is off: flags, an existing target, no such file
    │   └── AmbiguousModelError       2   a path that names more than one model
    ├── ConversionError               3   the model cannot be read or converted
    │   ├── FormatError               3   bytes that are not what their format says: file, byte offset, expectation
    │   ├── WeightsError              3   weights and graph do not fit: missing, misnamed, misshapen
    │   ├── AttributeValueError       3   an operator attribute that facecvt does not know or cannot honour
    │   └── UnsupportedOperatorsError 3   operators without a rule, all of them, with their node names
    ├── FrameworkMissingError         4   a framework that this call needs is not installed
    └── NotComparableError            5   the two sides have too little in common to be compared

Exit codes 0 (agree), 1 (numbers differ) and 5 also come from a verdict; 70 is a bug in facecvt, never one of these.
A message names the file, layer or byte, says what is wrong, and what to do.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path


class FacecvtError(Exception):
    """Root of the tree; its text is complete as a message to the user."""

    exit_code = 1


class UsageError(FacecvtError):
    """The call itself is off; nothing was read or written."""

    exit_code = 2


class AmbiguousModelError(UsageError):
    """A path in which more than one model lies; the message lists them."""


class ConversionError(FacecvtError):
    """The model cannot be read or converted."""

    exit_code = 3


class FormatError(ConversionError):
    """Bytes that are not what their format says.

    Args:
        path: the file that is being read.
        offset: byte offset at which the expectation failed, None where the format is text.
        message: what was found and what was expected.
    """

    def __init__(self, path: str | Path, offset: int | None, message: str) -> None:
        where = f"{path}" if offset is None else f"{path}, byte {offset}"
        super().__init__(f"{where}: {message}")
        self.path = Path(path)
        self.offset = offset


class WeightsError(ConversionError):
    """Weights and graph do not fit: missing, misnamed or misshapen; the message holds the names on both sides."""


class AttributeValueError(ConversionError):
    """An operator attribute that facecvt does not know or cannot honour; the message names node and attribute."""


class UnsupportedOperatorsError(ConversionError):
    """Operators for which no rule exists.

    Args:
        source: the file or model that holds them.
        nodes: operator -> the names of all nodes that use it.
    """

    def __init__(self, source: str | Path, nodes: Mapping[str, Sequence[str]]) -> None:
        lines = [f"{source}: {len(nodes)} operator(s) without a conversion rule; nothing was written."]
        for operator in sorted(nodes):
            names = list(nodes[operator])
            shown = ", ".join(names[:5]) + (f", and {len(names) - 5} more" if len(names) > 5 else "")
            lines.append(f"  {operator} x{len(names)}: {shown}")
        lines.append("`facecvt ops` lists what is supported; CONTRIBUTING.md shows how to add an operator.")
        super().__init__("\n".join(lines))
        self.nodes = {operator: list(names) for operator, names in nodes.items()}


class FrameworkMissingError(FacecvtError):
    """A framework that this call needs is not installed.

    Args:
        framework: its import name.
        purpose: what it is needed for, as a clause after "is needed to".
        command: the pip command that would change that.
    """

    exit_code = 4

    def __init__(self, framework: str, purpose: str, command: str) -> None:
        super().__init__(f"{framework} is not installed and is needed to {purpose}. Install it with: {command}")
        self.framework = framework
        self.command = command


class NotComparableError(FacecvtError):
    """The two sides have too little in common to be compared."""

    exit_code = 5

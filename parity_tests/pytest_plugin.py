"""The pytest plugin for other people's suites: the fixture ``assert_parity`` and the option ``--facecvt-report DIR``.

Every ``assert_parity`` that runs in a test or in a fixture is collected, whether it is the fixture or
``facecvt.assert_parity``. What a test's phase found travels in pytest's own report of that phase, so that the same code
collects it with and without pytest-xdist. With ``--junitxml`` each becomes a property of its test case.

Loaded by the entry point ``pytest11``: whoever has facecvt installed runs this in every session. So it imports pytest
and the standard library alone, and without its options it does nothing.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from facecvt.parity_tests.diff.difference import Difference

NAME = "facecvt-report"  # of the collecting plugin, in pytest's plugin manager
PROPERTY = "facecvt.assert_parity"


def pytest_addoption(parser: pytest.Parser) -> None:
    """The option, in a group of its own."""
    parser.getgroup("facecvt", "parity of models").addoption(
        "--facecvt-report",
        metavar="DIR",
        default=None,
        help="write what every assert_parity found to DIR: assertions.json and assertions.md",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Start to collect, where somebody wants to see it."""
    folder = config.getoption("facecvt_report", None)
    if folder is None and not config.getoption("xmlpath", None):
        return
    target = None
    if folder is not None and not hasattr(config, "workerinput"):  # of pytest-xdist's processes the first one writes
        target = Path(config.invocation_params.dir, folder)
        if target.exists() and not target.is_dir():
            raise pytest.UsageError(f"--facecvt-report {folder}: this is no folder")
    config.pluginmanager.register(Collector(target, folder is not None), NAME)


@pytest.fixture
def assert_parity() -> Callable[..., Difference]:
    """``assert_parity(a, b)`` passes if two models agree at every layer; see ``help(facecvt.assert_parity)``."""
    import facecvt

    return facecvt.assert_parity


class Collector:
    """Collects what the assertions of a session found.

    Args:
        folder: where to write it at the end; None in a process that does not write.
        keep: whether it is written at all; the properties for JUnit are made in any case.
    """

    def __init__(self, folder: Path | None, keep: bool) -> None:
        self.folder = folder
        self.keep = keep
        self.item: pytest.Item | None = None
        self.pending: list[dict[str, Any]] = []
        self.assertions: list[dict[str, Any]] = []

    def pytest_sessionstart(self) -> None:
        from facecvt.parity_tests.assertion import LISTENERS

        LISTENERS.append(self.heard)

    def heard(self, found: Difference) -> None:
        """Keep what an assertion of the running test found."""
        if self.item is None:
            return
        from facecvt.parity_tests.report.assertions import property_of
        from facecvt.parity_tests.report.diff_report import enveloped

        if self.keep:
            self.pending.append(enveloped(found))
        self.item.user_properties.append((PROPERTY, property_of(found)))

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        self.item = item
        yield
        self.item = None

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item, call: Any) -> Any:
        outcome = yield
        if self.pending:
            outcome.get_result().facecvt = json.dumps(self.pending, allow_nan=False)
            self.pending = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        for document in json.loads(getattr(report, "facecvt", "[]")):
            self.assertions.append({"test": report.nodeid, "phase": report.when, "difference": document})

    def pytest_sessionfinish(self) -> None:
        from facecvt.parity_tests.assertion import LISTENERS

        if self.heard in LISTENERS:
            LISTENERS.remove(self.heard)
        if self.folder is not None:
            from facecvt.parity_tests.report.assertions import write_assertions

            write_assertions(self.assertions, self.folder)

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        if self.folder is not None:
            from facecvt.parity_tests.report.assertions import headline

            terminalreporter.write_line(f"facecvt: {headline(self.assertions)} Report: {self.folder}")

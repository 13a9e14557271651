"""The progress bar: on a terminal, on stderr, with its rate, for work that takes longer than a moment; else nothing."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

WORK = """
import time
from facecvt.parity_tests.report.reporter import Reporter
with Reporter(quiet={quiet}).progress() as progress:
    for step in range({steps}):
        progress("writing", step * 10**6, {steps} * 10**6)
        time.sleep(0.05)
    progress("verifying", 1, 2)
print("result")
"""


def run_on_a_terminal(code: str) -> tuple[str, str]:
    """(stdout, what the terminal on stderr showed) of a Python process."""
    pty = pytest.importorskip("pty", reason="pseudo-terminals are those of POSIX")
    leader, follower = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        stderr=follower,
        text=True,
        env=os.environ | {"TERM": "xterm-256color", "COLUMNS": "100"},
    )
    os.close(follower)
    shown = b""
    while True:
        try:
            part = os.read(leader, 65536)
        except OSError:  # Linux says so when the process has closed its end
            break
        if not part:
            break
        shown += part
    out, _ = process.communicate(timeout=300)
    os.close(leader)
    assert process.returncode == 0, shown.decode()
    return out, shown.decode(errors="replace")


def test_long_work_shows_a_bar_with_its_rate_and_leaves_stdout_alone() -> None:
    out, shown = run_on_a_terminal(WORK.format(quiet=False, steps=40))
    assert out == "result\n"
    assert "writing" in shown
    assert "MB/s" in shown
    assert "verifying" in shown


def test_short_work_and_quiet_work_show_nothing() -> None:
    for quiet, steps in ((False, 1), (True, 40)):
        assert run_on_a_terminal(WORK.format(quiet=quiet, steps=steps)) == ("result\n", "")


def test_where_stderr_is_no_terminal_there_is_no_bar() -> None:
    done = subprocess.run(
        [sys.executable, "-c", WORK.format(quiet=False, steps=20)], capture_output=True, text=True, check=True
    )
    assert (done.stdout, done.stderr) == ("result\n", "")

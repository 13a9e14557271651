"""What is set before a framework is loaded."""

from __future__ import annotations

from pathlib import Path

import pytest

from facecvt.parity_tests.framework_environment import framework_environment, settle_framework_environment


@pytest.mark.parametrize(
    ("facts", "wanted"),
    [
        ("vendor_id\t: AuthenticAMD\nflags\t\t: fpu avx2 fma\n", "5"),
        ("vendor_id\t: AuthenticAMD\nflags\t\t: fpu avx fma\n", None),
        ("vendor_id\t: GenuineIntel\nflags\t\t: fpu avx2 fma\n", None),
        (None, None),
    ],
)
def test_the_old_mkl_is_told_to_use_avx2_only_where_it_would_not(
    tmp_path: Path, facts: str | None, wanted: str | None
) -> None:
    if facts is not None:
        (tmp_path / "cpuinfo").write_text(facts, encoding="utf-8")
    found = framework_environment(tmp_path / "cpuinfo")
    assert found.pop("MKL_DEBUG_CPU_TYPE", None) == wanted
    assert found == {"GLOG_minloglevel": "2"}


def test_what_the_user_has_set_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GLOG_minloglevel", "0")
    monkeypatch.setenv("MKL_DEBUG_CPU_TYPE", "4")
    settle_framework_environment()
    import os

    assert (os.environ["GLOG_minloglevel"], os.environ["MKL_DEBUG_CPU_TYPE"]) == ("0", "4")  # noqa: SIM112 - its name

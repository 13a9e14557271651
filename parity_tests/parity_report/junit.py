"""``junit.xml``: a test suite an architecture, a test case a pair and a metamorphic check.

"differ" is a failure, "not_comparable" an error, "not_run" is skipped. The layout is that of the JUnit reports that CI
services read: testsuites, testsuite, testcase, failure, error, skipped.
"""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

from facecvt.converters.formats.atomic import atomic_file
from facecvt.parity_tests.parity_report.result import ArchitectureResult, CheckResult, PairResult, ParityResult, Verdict

TAGS: dict[Verdict, str] = {"differ": "failure", "not_comparable": "error", "not_run": "skipped"}
NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd]")  # characters that XML 1.0 cannot hold


def write_junit(result: ParityResult, path: str | Path) -> None:
    """Write the report; times are the CPU seconds of each architecture."""
    suites = [_suite(found, float(result.run["architectures"].get(found.name, 0.0))) for found in result.architectures]
    root = ElementTree.Element("testsuites", {"name": "facecvt parity", **_sum(suites)})
    root.extend(suites)
    ElementTree.indent(root)
    with atomic_file(Path(path)) as stream:
        stream.write(ElementTree.tostring(root, encoding="utf-8", xml_declaration=True) + b"\n")


def _sum(suites: list[ElementTree.Element]) -> dict[str, str]:
    counts = {key: str(sum(int(suite.get(key, "0")) for suite in suites)) for key in ("tests", "failures", "errors")}
    return {**counts, "time": f"{sum(float(suite.get('time', '0')) for suite in suites):.2f}"}


def _suite(found: ArchitectureResult, seconds: float) -> ElementTree.Element:
    cases = [_of_pair(found, pair) for pair in found.pairs] + [_of_check(found, check) for check in found.checks]
    counts = {key: sum(case.find(tag) is not None for case in cases) for key, tag in _COUNTED.items()}
    suite = ElementTree.Element(
        "testsuite",
        {
            "name": found.name,
            "tests": str(len(cases)),
            **{key: str(count) for key, count in counts.items()},
            "time": f"{seconds:.2f}",
        },
    )
    suite.extend(cases)
    return suite


_COUNTED = {"failures": "failure", "errors": "error", "skipped": "skipped"}


def _of_pair(found: ArchitectureResult, pair: PairResult) -> ElementTree.Element:
    detail = pair.reason
    first = found.first_divergence
    if first is not None and first.side == pair.b and first.against == pair.a:
        cause = f"\ncause: {first.cause}" if first.cause else ""
        detail += f"\nfirst divergence: {first.layer} ({first.operator}){cause}\n{first.evidence}\n{first.command}"
        detail += f"\n{first.repro}" if first.repro is not None else ""
    return _case(found.name, pair.key, pair.verdict, pair.reason, detail)


def _of_check(found: ArchitectureResult, check: CheckResult) -> ElementTree.Element:
    return _case(found.name, f"{check.side} {check.check}", check.verdict, check.detail, check.detail)


def _case(architecture: str, name: str, verdict: Verdict, message: str, detail: str) -> ElementTree.Element:
    case = ElementTree.Element("testcase", classname=f"facecvt.parity.{architecture}", name=name, time="0")
    tag = TAGS.get(verdict)
    if tag == "skipped":
        ElementTree.SubElement(case, tag, message=_clean(message))
    elif tag is not None:
        ElementTree.SubElement(case, tag, message=_clean(message), type=verdict).text = _clean(detail)
    return case


def _clean(text: str) -> str:
    return NOT_XML.sub("?", text)

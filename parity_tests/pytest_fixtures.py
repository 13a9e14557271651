"""Fixtures of facecvt's own suites, loaded by ``addopts = -p`` because no conftest.py may lie in a package folder."""

from __future__ import annotations

import os
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from facecvt.parity_tests.framework_environment import settle_framework_environment
from facecvt.parity_tests.measured_figures import FigureTeller, summarised

settle_framework_environment()
PROJECT = Path(__file__).resolve().parents[1]


def folder_or_skip(variable: str, default: str, what: str) -> Path:
    """The folder that a variable names, or its place beside the project; a skip that says so when it is missing."""
    path = Path(os.environ.get(variable, PROJECT.parent / "shared" / default))
    if not path.is_dir():
        pytest.skip(f"{what} did not run: no folder {path}; set {variable} to where it lies")
    return path


@pytest.fixture(scope="session")
def real_models() -> Path:
    """Folder of the real model files (mxnet/, paddle/, onnx/, pytorch/, images/)."""
    return folder_or_skip("FACECVT_REAL_MODELS", "models", "the test on real models")


@pytest.fixture(scope="session")
def upstream_kit() -> Path:
    """Folder of the upstream conformance kit (torch/, paddle/, mxnet/, heads/)."""
    return folder_or_skip("FACECVT_UPSTREAM_KIT", "upstream", "the test against upstream")


def module_or_skip(name: str, command: str) -> ModuleType:
    """A framework, or a skip that names its pip command."""
    module: ModuleType = pytest.importorskip(name, reason=f"{name} is not installed: {command}")
    return module


@pytest.fixture(scope="session")
def torch_module() -> ModuleType:
    return module_or_skip("torch", "pip install torch==2.13.0")


@pytest.fixture(scope="session")
def paddle_module() -> ModuleType:
    return module_or_skip("paddle", "pip install paddlepaddle==3.3.1")


@pytest.fixture(scope="session")
def ort_module() -> ModuleType:
    return module_or_skip("onnxruntime", "pip install onnxruntime==1.31.1")


@pytest.fixture(scope="session")
def mxnet_module() -> ModuleType:
    from facecvt.converters.compat_mxnet import PIP_COMMAND, import_mxnet
    from facecvt.converters.errors import FrameworkMissingError

    try:
        return import_mxnet("hold facecvt against MXNet")
    except FrameworkMissingError:
        pytest.skip(f"mxnet is not installed: {PIP_COMMAND}")


@pytest.fixture
def figure(request: pytest.FixtureRequest) -> FigureTeller:
    """Tells what a test measured, for the end of the session and ``--junitxml``."""
    return FigureTeller(lambda name, value: request.node.user_properties.append((name, value)))


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """What the tests that passed have told."""
    told = [
        (report.nodeid.rpartition("::")[2], name, str(value))
        for report in terminalreporter.stats.get("passed", [])
        for name, value in report.user_properties
    ]
    figures = summarised(told)
    if figures:
        terminalreporter.section("figures")
        for each in figures:
            terminalreporter.write_line(each.line())

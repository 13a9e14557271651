"""Guards of the layout: what keeps the root usable as a package and the layers apart. Each failure names its fix."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
import warnings
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import facecvt

try:
    import tomllib
except ModuleNotFoundError:  # Python 3.10
    import tomli as tomllib  # type: ignore[no-redef,import-not-found]

PROJECT = Path(__file__).resolve().parents[1]
LAYERS = ("converters", "reference_models", "parity_tests")  # each may import itself and those before it
TEST_FOLDERS = (PROJECT / "tests", PROJECT / "parity_tests" / "suite")
FRAMEWORKS = frozenset({"torch", "paddle", "mxnet", "onnxruntime", "torchvision", "x2paddle", "paddle2onnx"})
FRAMEWORK_SUFFIXES = ("_torch.py", "_paddle.py", "_mxnet.py", "_ort.py")
SOFT_LIMIT, HARD_LIMIT = 400, 480

# (a package or module, what it must not import): the order inside converters, and what makes the oracle a witness.
FORBIDDEN = [
    ("facecvt.converters.formats", "facecvt.converters", ("facecvt.converters.formats", "facecvt.converters.errors")),
    ("facecvt.converters.ops", "facecvt.converters.readers", ()),
    ("facecvt.converters.ops", "facecvt.converters.writers", ()),
    ("facecvt.converters.ops", "facecvt.converters.passes", ()),
    ("facecvt.converters.readers", "facecvt.converters.writers", ()),
    ("facecvt.converters.writers", "facecvt.converters.readers", ()),
    ("facecvt.parity_tests.oracle", "facecvt.converters", ("facecvt.converters.formats", "facecvt.converters.errors")),
    ("facecvt.parity_tests.oracle", "facecvt.reference_models", ()),
]


def package_files() -> list[Path]:
    """Every file that ships: the two at the root, those of the package trees and the commands, but the parity suite."""
    found = [PROJECT / "__init__.py", PROJECT / "cli.py"]
    for layer in (*LAYERS, "commands"):
        found += (PROJECT / layer).rglob("*.py")
    return sorted(path for path in found if TEST_FOLDERS[1] not in path.parents and "__pycache__" not in path.parts)


def shown(path: Path) -> str:
    return str(path.relative_to(PROJECT))


def module_name(path: Path) -> str:
    parts = path.relative_to(PROJECT).with_suffix("").parts
    return ".".join(["facecvt", *(parts[:-1] if parts[-1] == "__init__" else parts)])


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def is_type_checking(node: ast.stmt) -> bool:
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def statements_run_at_import(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Statements of a module that run when it is imported: all but function bodies and ``if TYPE_CHECKING``."""
    for node in body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            continue
        yield node
        for field in ("body", "orelse", "finalbody"):
            if not (field == "body" and is_type_checking(node)):
                yield from statements_run_at_import(getattr(node, field, []))
        for handler in getattr(node, "handlers", []):
            yield from statements_run_at_import(handler.body)


def imported_names(node: ast.AST) -> list[str]:
    """Dotted names that an import statement brings in; ``from a import b`` counts as ``a`` and ``a.b``."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom) and node.module and not node.level:
        return [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return []


def is_within(name: str, package: str) -> bool:
    return name == package or name.startswith(package + ".")


def layer_of(name: str) -> int:
    """0 converters, 1 reference_models, 2 parity_tests, 3 the root (cli and the public verbs)."""
    parts = name.split(".")
    return LAYERS.index(parts[1]) if len(parts) > 1 and parts[1] in LAYERS else len(LAYERS)


def test_the_facecvt_under_test_is_this_checkout() -> None:
    assert Path(facecvt.__file__).resolve().parent == PROJECT, (
        f"the tests import facecvt from {facecvt.__file__}; run `pip install --editable {PROJECT}` in this environment"
    )


def test_every_package_folder_is_listed_in_pyproject() -> None:
    settings = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]
    folders = {path.parent for path in package_files()}
    needed = {".".join(["facecvt", *folder.relative_to(PROJECT).parts]) for folder in folders}
    lines = "\n".join(f'    "{name}",' for name in sorted(needed - set(settings["packages"])))
    assert not lines, f"add to [tool.setuptools] packages in pyproject.toml:\n{lines}"
    stale = sorted(set(settings["packages"]) - needed)
    assert not stale, f"remove from [tool.setuptools] packages in pyproject.toml, there is no such folder: {stale}"
    bare = [shown(folder) for folder in sorted(folders) if not (folder / "__init__.py").is_file()]
    assert not bare, f"add an __init__.py with a docstring to: {bare}"


def test_every_package_file_is_type_checked() -> None:
    settings = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["mypy"]
    for path in package_files():
        for pattern in settings["exclude"]:
            assert not re.search(pattern, f".typing/facecvt/{shown(path)}"), f"{pattern} excludes {shown(path)}"


def test_only_two_python_files_lie_in_the_root() -> None:
    assert sorted(path.name for path in PROJECT.glob("*.py")) == ["__init__.py", "cli.py"], (
        "root files ship in the wheel"
    )


def test_no_folder_is_named_like_a_framework() -> None:
    folders = {path.parent.name for path in package_files()}
    assert not folders & (FRAMEWORKS | {"onnx", "numpy"})


@pytest.mark.parametrize("path", package_files(), ids=shown)
def test_imports_are_absolute_and_go_one_way(path: Path) -> None:
    here = module_name(path)
    for node in ast.walk(tree(path)):
        assert not (isinstance(node, ast.ImportFrom) and node.level), (
            f"{shown(path)}:{node.lineno}: relative import; write `from facecvt...`"  # type: ignore[attr-defined]
        )
        for name in imported_names(node):
            where = f"{shown(path)}:{node.lineno}: imports {name}"  # type: ignore[attr-defined]
            assert name.split(".")[0] not in {*LAYERS, "commands", "cli"}, f"{where}; write facecvt.{name}"
            if not is_within(name, "facecvt") or name == "facecvt" or name.startswith("facecvt.__"):
                continue
            assert layer_of(name) <= layer_of(here), f"{where}: cli -> {' -> '.join(reversed(LAYERS))} is the only way"
            support = "facecvt.parity_tests.support"
            assert is_within(here, support) or not is_within(name, support), f"{where}, which is for tests alone"
            for package, barred, allowed in FORBIDDEN:
                if is_within(here, package) and is_within(name, barred) and name != barred:
                    assert any(is_within(name, fine) for fine in allowed), f"{where}, which {package} must not"


@pytest.mark.parametrize("path", package_files(), ids=shown)
def test_frameworks_are_imported_in_named_files_and_functions_only(path: Path) -> None:
    if path.name.endswith(FRAMEWORK_SUFFIXES):
        return
    for node in statements_run_at_import(tree(path).body):
        for name in imported_names(node):
            assert name.split(".")[0] not in FRAMEWORKS, (
                f"{shown(path)}:{node.lineno}: imports {name} when it is imported; move the import into the function "
                f"that needs it, or the code into a file named *{', *'.join(FRAMEWORK_SUFFIXES)}"
            )


def test_pytest_files_lie_outside_packages_under_unique_names() -> None:
    names: dict[str, Path] = {}
    for path in sorted(PROJECT.glob("[!.]*/**/*.py")):
        if any(part.startswith(".") for part in path.relative_to(PROJECT).parts):
            continue  # an environment of a benchmark
        if path.name == "conftest.py":
            pytest.fail(f"{shown(path)}: fixtures belong into parity_tests/pytest_fixtures.py, which addopts loads")
        if path.name.startswith("test_"):
            assert any(folder in path.parents for folder in TEST_FOLDERS), f"{shown(path)}: move it to tests/"
            assert path.name not in names, f"{shown(path)} has the name of {shown(names[path.name])}; rename one"
            names[path.name] = path
    assert not (PROJECT / "conftest.py").exists(), "a conftest.py in the root would make pytest import the root by path"
    for folder in TEST_FOLDERS:
        assert not list(folder.rglob("__init__.py")), f"{folder} must not be a package"
    assert names


def test_files_do_one_thing() -> None:
    """Above the soft limit a file is reported, above the hard one it must be split."""
    lengths = {shown(path): len(path.read_text(encoding="utf-8").splitlines()) for path in package_files()}
    for name, lines in lengths.items():
        if lines > SOFT_LIMIT:
            warnings.warn(f"{name} has {lines} lines; split it by operator, format or pass", stacklevel=1)
    assert not {name: lines for name, lines in lengths.items() if lines > HARD_LIMIT}


@pytest.mark.parametrize("path", package_files(), ids=shown)
def test_every_module_says_what_it_is(path: Path) -> None:
    docstring = ast.get_docstring(tree(path)) or ""
    assert len(docstring) > 20, f"{shown(path)}: begin with a docstring: what it is, from which source"


def test_no_test_takes_the_time() -> None:
    """Seconds are the machine's; what code costs is counted in tests and measured in benchmarks/."""
    clocks = {"process_time", "perf_counter", "monotonic", "getrusage", "time"}
    timed = {
        f"{shown(path)}:{node.lineno}"
        for folder in TEST_FOLDERS
        for path in folder.rglob("*.py")
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Attribute) and node.attr in clocks and ast.unparse(node.value) in ("time", "resource")
    }
    assert timed == set()


BLOCKED_IMPORTS = """
import importlib, json, sys

class Block:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in FRAMEWORKS:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

FRAMEWORKS = set(json.loads(sys.argv[1]))
sys.meta_path.insert(0, Block())
failed = {}
for module in json.loads(sys.argv[2]):
    try:
        importlib.import_module(module)
    except Exception as error:
        failed[module] = repr(error)
print(json.dumps(failed))
"""


def test_every_module_imports_where_no_framework_is_installed() -> None:
    plugin = "facecvt.parity_tests.pytest_fixtures"  # imports pytest, which users do not have
    modules = [module_name(path) for path in package_files() if not path.name.endswith(FRAMEWORK_SUFFIXES)]
    arguments = [json.dumps(sorted(FRAMEWORKS)), json.dumps([name for name in modules if name != plugin])]
    run = subprocess.run(
        [sys.executable, "-c", BLOCKED_IMPORTS, *arguments], capture_output=True, text=True, check=True, timeout=300
    )
    assert json.loads(run.stdout) == {}
    assert len(modules) > 20


def test_importing_facecvt_has_no_effects() -> None:
    """No framework, no numpy, no warning filters, no change of the environment, nothing printed."""
    code = (
        "import os, sys, warnings; before = (dict(os.environ), list(warnings.filters)); import facecvt, facecvt.cli\n"
        "assert (dict(os.environ), list(warnings.filters)) == before\n"
        "heavy = {'numpy', 'onnx', 'onnx_ir', 'rich', 'torch', 'paddle', 'mxnet', 'onnxruntime', 'sympy'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=300)
    assert (run.returncode, run.stdout, run.stderr) == (0, "", "")


def test_versions_agree() -> None:
    settings = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))
    assert settings["project"]["version"] == facecvt.__version__
    assert f"[{facecvt.__version__}]" in (PROJECT / "CHANGELOG.md").read_text(encoding="utf-8")

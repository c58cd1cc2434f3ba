"""The house rules that no linter knows: sizes, doors, names, what an import loads and what the package brings along."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from importlib import metadata
from pathlib import Path
from statistics import median

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "otel_llm_sql"
MODULES = sorted(PACKAGE.rglob("*.py"))
MIGRATIONS = PACKAGE / "schema" / "migrations"
TESTS = sorted((ROOT / "tests").rglob("test_*.py"))

DOORS = {
    "client_objects.py": "objects of other libraries in a call that has happened: what they raise costs their content",
    "cli/__init__.py": "whatever happens inside becomes one line and an exit code",
    "conventions/clean.py": "an application's own __str__ may raise anything",
    "conventions/installed.py": "vocabularies of other distributions: one that fails leaves the others",
    "exporter.py": "telemetry never breaks the application",
    "instrumentations.py": "other people's instrumentations: one that fails leaves the others",
    "pipeline.py": "one signal that we misread must not cost its neighbours",
    "receiver/decoding.py": "whatever bytes a sender makes up, the next request is served",
    "receiver/groups.py": "whatever went wrong, the sender has what is not stored and sends it again",
    "pricing.py": "whatever another version of the catalogue raises, an export goes on",
}
"""Where a broad `except` may stand, and what it is for. Everywhere else an error has a name."""

VAGUE_NAMES = {"utils", "util", "helpers", "helper", "manager", "managers", "common", "misc"}
NOT_AT_IMPORT = {"polars", "alembic", "asyncpg", "genai_prices", "grpc"}
CORE_PACKAGES = 15

Function = ast.FunctionDef | ast.AsyncFunctionDef


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def functions(path: Path) -> Iterator[Function]:
    return (node for node in ast.walk(tree(path)) if isinstance(node, Function))


def length(function: Function) -> int:
    """Lines of a function without its decorators and its docstring."""
    lines = (function.end_lineno or function.lineno) - function.lineno + 1
    first = function.body[0]
    if ast.get_docstring(function, clean=False) is not None:
        lines -= (first.end_lineno or first.lineno) - first.lineno + 1
    return lines


def name(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


def test_modules_are_short() -> None:
    """A module has at most 300 lines; a migration is as long as its list."""
    lines = {name(path): len(path.read_text().splitlines()) for path in MODULES if MIGRATIONS not in path.parents}
    assert {module: count for module, count in lines.items() if count > 300} == {}


def test_functions_are_short() -> None:
    """A function has at most 40 lines, the middle one at most 8."""
    lengths = {
        f"{name(path)}:{function.lineno} {function.name}": length(function)
        for path in MODULES
        if MIGRATIONS not in path.parents
        for function in functions(path)
    }
    assert {function: lines for function, lines in lengths.items() if lines > 40} == {}
    assert median(lengths.values()) <= 8


def is_broad(node: ast.AST) -> bool:
    """Whether this is `except Exception`, a bare `except` or `suppress(Exception)`, and does not raise it again."""
    caught: list[ast.expr | None] = []
    if isinstance(node, ast.ExceptHandler):
        if isinstance(node.body[-1], ast.Raise) and node.body[-1].exc is None:
            return False
        caught = [*node.type.elts] if isinstance(node.type, ast.Tuple) else [node.type]
    elif isinstance(node, ast.Call) and ast.unparse(node.func) in {"suppress", "contextlib.suppress"}:
        caught = [*node.args]
    return any(kind is None or ast.unparse(kind) in {"Exception", "BaseException"} for kind in caught)


def test_broad_excepts_stand_in_doors_only() -> None:
    """`except Exception` is for the places that answer to somebody else's program; each is listed with its reason."""
    broad = {name(path) for path in MODULES for node in ast.walk(tree(path)) if is_broad(node)}
    assert broad - set(DOORS) == set()
    assert {door for door in DOORS if not (PACKAGE / door).exists()} == set()


def test_no_module_has_a_vague_name() -> None:
    """A room is named for what is in it."""
    assert {name(path) for path in MODULES if VAGUE_NAMES & set(name(path).removesuffix(".py").split("/"))} == set()


def test_databases_differ_by_data() -> None:
    """Nobody compares a dialect's name: what differs stands in the one table of dialects.

    `schema/types.py` may: SQLAlchemy asks a type for its form through `load_dialect_impl`.
    """
    compares = re.compile(r"(?<!for )dialect(\.name|_name)?\s*(==|!=|in\s*[\[({])")
    assert {name(path) for path in MODULES if compares.search(path.read_text())} <= {"schema/types.py"}


def test_every_test_says_what_it_proves() -> None:
    """Each test has a docstring."""
    silent = [
        f"{path.name}::{function.name}"
        for path in TESTS
        for function in functions(path)
        if function.name.startswith("test_") and not ast.get_docstring(function)
    ]
    assert silent == []


def loaded(module: str) -> set[str]:
    """The top-level packages in memory after an import in a new process."""
    program = f"import {module}, sys; print(*{{name.partition('.')[0] for name in sys.modules}})"
    ran = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True, cwd=ROOT)
    return set(ran.stdout.split())


@pytest.mark.quick
@pytest.mark.parametrize("module", ["otel_llm_sql", "otel_llm_sql.exporter", "otel_llm_sql.environment_variables"])
def test_an_import_is_light(module: str) -> None:
    """An application that loads the exporter does not load frames, migrations, prices or a server with it."""
    packages = loaded(module)
    assert "otel_llm_sql" in packages
    assert packages & NOT_AT_IMPORT == set()


def closure(requirement: Requirement, seen: set[tuple[str, str]]) -> None:
    """Add a requirement and all that it brings on this platform, as (package, extra)."""
    for extra in {"", *requirement.extras}:
        package = canonicalize_name(requirement.name)
        if (package, extra) in seen:
            continue
        seen.add((package, extra))
        for line in metadata.requires(package) or ():
            needed = Requirement(line)
            if needed.marker is None or needed.marker.evaluate({"extra": extra}):
                closure(needed, seen)


def test_the_core_brings_few_packages() -> None:
    """Without extras the package and all it needs are at most 15 packages besides itself."""
    seen: set[tuple[str, str]] = set()
    closure(Requirement("otel-llm-sql"), seen)
    packages = {package for package, _ in seen} - {"otel-llm-sql"}
    assert "sqlalchemy" in packages
    assert len(packages) <= CORE_PACKAGES, sorted(packages)


def requirements(lock: str) -> dict[str, Requirement]:
    """What a lock file names, without markers and hashes."""
    lines = (ROOT / "lock" / lock).read_text().splitlines()
    found = [Requirement(line.split(" \\")[0]) for line in lines if line and not line.startswith((" ", "#"))]
    return {canonicalize_name(requirement.name): requirement for requirement in found}


def declared() -> list[Requirement]:
    """What pyproject.toml asks for: core, extras and the group of the developers."""
    document = tomllib.loads((ROOT / "pyproject.toml").read_text())
    groups = [document["project"]["dependencies"], *document["project"]["optional-dependencies"].values()]
    asked = [Requirement(line) for group in [*groups, document["dependency-groups"]["dev"]] for line in group]
    return [requirement for requirement in asked if requirement.name != "otel-llm-sql"]


def test_the_lock_is_up_to_date() -> None:
    """What pyproject.toml asks for is in lock/newest.txt, in a version it allows; else `make lock` was forgotten."""
    locked = requirements("newest.txt")
    for requirement in declared():
        version = next(iter(locked[canonicalize_name(requirement.name)].specifier)).version
        assert requirement.specifier.contains(version, prereleases=True), f"{requirement}, locked {version}"


def test_the_oldest_set_is_the_oldest() -> None:
    """The quick part runs on the lowest versions that pyproject.toml allows."""
    oldest = requirements("oldest.txt")
    for package, version in {"opentelemetry-sdk": "1.33.", "sqlalchemy": "2.0.44", "polars": "1.20."}.items():
        assert next(iter(oldest[package].specifier)).version.startswith(version)

"""The layering of the repository: imports go down only, two modules read the environment, class names are unique."""

import ast
import io
import re
import tokenize
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.helpers.support import REPOSITORY

PRODUCT = ("insights", "dashboard", "dags", "jobs")
IMPORTING = (*PRODUCT, "benchmarks")
PYTHON = (*IMPORTING, "charts", "scripts", "tests")
UNFORMATTED = re.compile(r"fmt: *(skip|off)")

LAYERS = (
    ("insights.environment", "insights.errors", "insights.model", "insights.text"),
    ("insights.setting_types",),
    ("insights.probes", "insights.settings", "insights.wakeup"),
    ("insights.failpoints",),
    ("insights.clients",),
    (
        "insights.ledger",
        "insights.migrations",
        "insights.publisher",
        "insights.queries",
        "insights.simulator",
        "insights.sinks",
        "insights.source",
        "insights.staging",
    ),
    ("insights.entrypoint", "insights.exporter", "insights.ingest", "insights.repair", "insights.stream"),
    ("dags", "dashboard", "insights.local", "jobs"),
    ("benchmarks", "insights.cli"),
)
"""The packages from the bottom up. A package imports from lower layers only, never from its own layer."""

DASHBOARD_LAYERS = (
    ("dashboard.metrics",),
    ("dashboard.auth", "dashboard.data"),
    ("dashboard.charts",),
    ("dashboard.components",),
    ("dashboard.views",),
    ("dashboard.app", "dashboard.serve"),
)
"""The same for the folders of the dashboard."""

DRIVERS = {
    "airflow",
    "cassandra",
    "confluent_kafka",
    "kubernetes",
    "pandas",
    "plotly",
    "psycopg2",
    "py4j",
    "pyarrow",
    "pyspark",
    "requests",
    "streamlit",
}
"""Packages that `insights/model` must not import, so that every image can import it."""


class Import(NamedTuple):
    """An import. `module` is the imported module if it belongs to the project, else the name as written."""

    location: str
    importer: str
    module: str


def python_files(*folders: str) -> list[Path]:
    return [path for folder in folders for path in sorted((REPOSITORY / folder).rglob("*.py"))]


@cache
def modules() -> dict[str, Path]:
    """Every module of the product and the benchmarks by its dotted name; a package is named without `__init__`."""
    named = {}
    for path in python_files(*IMPORTING):
        parts = path.relative_to(REPOSITORY).with_suffix("").parts
        named[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return named


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(), str(path))


def location(path: Path, line: int) -> str:
    return f"{path.relative_to(REPOSITORY)}:{line}"


@cache
def imports() -> tuple[Import, ...]:
    """Every import of a module, also inside functions and under `if TYPE_CHECKING`."""
    return tuple(
        Import(location(path, node.lineno), name, imported)
        for name, path in modules().items()
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for imported in imported_modules(name, path, node)
    )


def imported_modules(importer: str, path: Path, node: ast.Import | ast.ImportFrom) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
        return
    package = importer.split(".")
    if path.name != "__init__.py":
        package.pop()
    above = package[: len(package) - node.level + 1] if node.level else []
    origin = ".".join([*above, *([node.module] if node.module else [])])
    for alias in node.names:
        submodule = f"{origin}.{alias.name}"
        yield submodule if submodule in modules() else origin


def find_package(module: str, layers: Sequence[Sequence[str]]) -> str | None:
    """The declared package that a module is in."""
    declared = {name for layer in layers for name in layer}
    parts = module.split(".")
    return next((name for length in (2, 1) if (name := ".".join(parts[:length])) in declared), None)


def upward(layers: Sequence[Sequence[str]]) -> Iterator[str]:
    """A sentence for each import that does not go down."""
    height = {name: index for index, layer in enumerate(layers) for name in layer}
    for found in imports():
        importer, imported = find_package(found.importer, layers), find_package(found.module, layers)
        if importer and imported and importer != imported and height[imported] >= height[importer]:
            relation = "beside" if height[imported] == height[importer] else "above"
            yield f"{found.location} imports {found.module}: {imported} is {relation} {importer}"


@pytest.mark.parametrize("layers", [LAYERS, DASHBOARD_LAYERS], ids=["packages", "dashboard"])
def test_imports_go_down_only(layers: Sequence[Sequence[str]]) -> None:
    none_of(upward(layers))


def test_every_package_has_its_layer() -> None:
    parts = [name.split(".") for name in modules()]
    packages = {".".join(name[:2]) if name[0] == "insights" else name[0] for name in parts} - {"insights"}
    folders = {".".join(name[:2]) for name in parts if name[0] == "dashboard" and len(name) > 1}
    assert sorted(packages) == sorted(name for layer in LAYERS for name in layer)
    assert sorted(folders) == sorted(name for layer in DASHBOARD_LAYERS for name in layer)


def test_there_are_no_import_cycles() -> None:
    none_of(", ".join(cycle) for cycle in cycles())


def cycles() -> Iterator[list[str]]:
    """One cycle of imports for each module that imports itself indirectly, as the locations of its imports in order."""
    edges: dict[str, dict[str, str]] = {}
    for found in imports():
        if found.module in modules() and found.module != found.importer:
            edges.setdefault(found.importer, {}).setdefault(found.module, found.location)
    reported: set[str] = set()
    for start in sorted(edges):
        reached, waiting = {start: [start]}, [start]
        while waiting and start not in reported:
            here = waiting.pop(0)
            for module in edges.get(here, {}):
                if module == start:
                    cycle = reached[here]
                    reported.update(cycle)
                    steps = zip(cycle, [*cycle[1:], start], strict=True)
                    yield [f"{edges[one][other]} imports {other}" for one, other in steps]
                    waiting = []
                    break
                if module not in reached:
                    reached[module] = [*reached[here], module]
                    waiting.append(module)


def test_the_model_imports_no_driver() -> None:
    none_of(
        f"{one.location} imports {one.module}"
        for one in imports()
        if find_package(one.importer, LAYERS) == "insights.model" and one.module.split(".")[0] in DRIVERS
    )


def test_the_environment_is_read_by_two_modules_only() -> None:
    readers = {REPOSITORY / "insights" / name for name in ("environment.py", "settings.py")}
    none_of(
        f"{location(path, line)} reads the environment"
        for path in python_files(*PRODUCT)
        if path not in readers
        for line in environment_reads(tree(path))
    )


def environment_reads(module: ast.Module) -> Iterator[int]:
    names = {"environ", "environb", "getenv", "getenvb"}
    for node in ast.walk(module):
        if isinstance(node, ast.Attribute) and node.attr in names and isinstance(node.value, ast.Name):
            if node.value.id == "os":
                yield node.lineno
        elif isinstance(node, ast.ImportFrom) and node.module == "os" and names & {name.name for name in node.names}:
            yield node.lineno


def test_no_public_class_name_means_two_things() -> None:
    locations: dict[str, list[str]] = {}
    for path in python_files("insights", "dashboard"):
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                locations.setdefault(node.name, []).append(location(path, node.lineno))
    none_of(f"{name}: {', '.join(found)}" for name, found in sorted(locations.items()) if len(found) > 1)


def test_no_line_is_kept_from_the_formatter() -> None:
    none_of(
        f"{location(path, token.start[0])} {token.string}"
        for path in python_files(*PYTHON)
        if UNFORMATTED.search(path.read_text())
        for token in tokenize.generate_tokens(io.StringIO(path.read_text()).readline)
        if token.type == tokenize.COMMENT and UNFORMATTED.search(token.string)
    )


def test_programs_inside_strings_import_what_exists() -> None:
    """Tests pass programs to other processes as text, which no type checker checks."""
    none_of(
        f"{location(path, node.lineno)} imports {missing}, which does not exist"
        for path in python_files("benchmarks", "tests")
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
        for missing in missing_imports(node.value)
    )


def missing_imports(text: str) -> Iterator[str]:
    project = "|".join(IMPORTING)
    for module, names in re.findall(rf"^ *from ((?:{project})\b[\w.]*) import ([\w, ]*)", text, re.MULTILINE):
        if module not in modules():
            yield module
            continue
        defined = defined_names(tree(modules()[module]))
        for name in filter(None, re.split(r"[, ]+", names)):
            if name not in defined and f"{module}.{name}" not in modules():
                yield f"{module}.{name}"


def defined_names(module: ast.Module) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(module):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            names.update(alias.asname or alias.name for alias in node.names)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
    return names


def none_of(violations: Iterable[str]) -> None:
    found = sorted(set(violations))
    assert not found, "\n".join(["", *found])

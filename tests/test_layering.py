"""Imports go down the staircase only, and ``import fastnn`` loads nothing heavy."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "fastnn"

# From the top down: a module may import its own floor and those below.
FLOORS = [
    {"__main__"},
    {"cli"},
    {"bench"},
    {"__init__", "plots", "datasets", "sklearn"},
    {"health", "importing"},
    {"models"},
    {"callbacks", "distribution"},
    {"data", "verdicts"},
    {"export"},
    {"lowering"},
    {
        "layers",
        "graph",
        "losses",
        "metrics",
        "optimizers",
        "initializers",
        "activations",
        "tables",
        "images",
        "utils",
    },
    {"variables", "statistics", "frames", "preprocessing"},
    {"constraints", "regularizers"},
    {"engine"},
    {"kernels"},
    {
        "_background",
        "_checks",
        "_files",
        "_locks",
        "_memory",
        "_model_files",
        "_naming",
        "_registry",
        "_version",
        "_warnings",
        "errors",
    },
]

HEAVY = {
    "PIL", "argparse", "csv", "email", "fastnn.bench", "fastnn.cli", "fastnn.datasets",
    "fastnn.images.folder", "fastnn.plots", "gzip", "http", "importlib.metadata", "logging",
    "joblib", "lzma", "matplotlib", "mpi4py", "multiprocessing", "pandas", "safetensors", "scipy",
    "sklearn", "tensorboardX", "tqdm", "unittest", "urllib.request",
    "zipfile",
}  # fmt: skip


def part_of(module: str) -> str:
    """The part of the package that ``fastnn.part.rest`` is in."""
    names = module.split(".")
    return names[1] if len(names) > 1 else "__init__"


def imports(path: Path) -> Iterator[str]:
    """Full names of what a module imports from the package, anywhere in it."""
    text = path.read_text()
    if path.suffix == ".py":
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Import):
                yield from (alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{path}: relative import"
                yield from (f"{node.module}.{alias.name}" for alias in node.names)
        return
    for module, names in re.findall(r"^\s*from ([\w.]+) c?import \(?([^)\n]+)", text, re.MULTILINE):
        yield from (f"{module}.{name.split()[0]}" for name in names.split(",") if name.strip())
    yield from re.findall(r"^\s*c?import ([\w.]+)", text, re.MULTILINE)


def modules() -> list[Path]:
    return sorted(p for pattern in ("*.py", "*.pyx", "*.pxd") for p in PACKAGE.rglob(pattern))


def floor_of(part: str) -> int:
    return next(i for i, floor in enumerate(FLOORS) if part in floor)


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_go_down(path: Path) -> None:
    part = path.relative_to(PACKAGE).parts[0].removesuffix(path.suffix)
    for name in imports(path):
        if name == "fastnn" or name.startswith("fastnn."):
            target = part_of(name)
            if not any(target in floor for floor in FLOORS):
                target = "__init__"  # a name that the package itself offers
            assert floor_of(target) >= floor_of(part), f"{path}: imports {name}, which is above it"


def test_every_part_has_a_floor() -> None:
    parts = {p.relative_to(PACKAGE).parts[0].removesuffix(p.suffix) for p in modules()}
    assert parts == set().union(*FLOORS)


@pytest.mark.parametrize("part", ["layers", "losses", "metrics", "optimizers", "graph"])
def test_declarations_know_nothing_of_what_runs_them(part: str) -> None:
    below = {"engine", "kernels", "lowering", "data", "models"}
    for path in modules():
        if path.relative_to(PACKAGE).parts[0].removesuffix(".py") == part:
            reached = {part_of(name) for name in imports(path) if name.startswith("fastnn")}
            assert not reached & below, path


def test_kernels_and_engine_know_nothing_of_layers() -> None:
    for path in modules():
        part = path.relative_to(PACKAGE).parts[0]
        if part in ("kernels", "engine"):
            reached = {part_of(name) for name in imports(path) if name.startswith("fastnn")}
            assert reached <= {"kernels", "engine", "_version", "_warnings", "errors"}, path


def imported_files(part: str) -> dict[str, set[str]]:
    """Modules of a part -> those of the same part that each imports, for type checking, too."""
    names = {
        ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts): path
        for path in modules()
        if path.relative_to(PACKAGE).parts[0] == part
    }
    names = {name.removesuffix(".__init__"): path for name, path in names.items()}

    def module_of(name: str) -> str:
        while name and name not in names:
            name = name.rpartition(".")[0]
        return name

    return {n: {module_of(found) for found in imports(p)} - {"", n} for n, p in names.items()}


def circle(arrows: dict[str, set[str]]) -> set[str]:
    """What is left when all that imports nothing, or only such, is taken away."""
    left = dict(arrows)
    while free := [name for name, reached in left.items() if not reached & left.keys()]:
        for name in free:
            del left[name]
    return set(left)


@pytest.mark.parametrize(
    ("part", "low", "high"),
    [("models", "executables", "trainer"), ("lowering", "emitter", "gradients.weights")],
)
def test_files_of_a_part_import_each_other_in_no_circle(part: str, low: str, high: str) -> None:
    arrows = imported_files(part)
    low, high = f"fastnn.{part}.{low}", f"fastnn.{part}.{high}"
    assert len(arrows) > 20
    assert circle(arrows) == set()
    arrows[low].add(high)
    assert {low, high} <= circle(arrows)


def test_csrc_includes_only_itself_and_the_c_library() -> None:
    csrc = PACKAGE.parent / "csrc"
    if not csrc.is_dir():
        pytest.skip("no sources beside this package")
    own = {path.name for path in csrc.iterdir()}
    library = {"float.h", "math.h", "stddef.h", "stdint.h", "string.h"}
    for path in csrc.iterdir():
        included = re.findall(r'#include ["<]([^">]+)[">]', path.read_text())
        assert set(included) <= own | library, path


def test_import_loads_nothing_heavy() -> None:
    """But for what NumPy loads itself."""
    code = (
        "import sys, numpy; before = set(sys.modules); import fastnn; fastnn.Sequential; "
        "print(*sorted(set(sys.modules) - before))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert not HEAVY & set(result.stdout.split())

"""docs/pictures.md: its Python runs, and prints what the page says."""

from __future__ import annotations

import re
import runpy
from pathlib import Path
from types import SimpleNamespace

import pytest

ROOT = Path(__file__).parent.parent
OPENCV = "## Arrays from OpenCV"

tool = SimpleNamespace(**runpy.run_path(str(ROOT / "tools" / "refresh_tutorial.py")))


@pytest.fixture(scope="module")
def document() -> str:
    return (ROOT / "docs" / "pictures.md").read_text(encoding="utf-8")


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def run(text: str, directory: Path) -> None:
    blocks = tool.blocks(text)
    outputs = tool.printed(text, directory)
    for block, output in zip(blocks, outputs, strict=True):
        assert (block.output or "") == output, f"line {block.line}"
    assert text.count("\n```python\n") == len(blocks)


def test_folders(document: str, tmp_path: Path) -> None:
    run(document.split(OPENCV)[0], tmp_path)


def test_arrays_from_opencv(document: str, tmp_path: Path) -> None:
    pytest.importorskip("cv2")
    pytest.importorskip("sklearn")
    before, after = document.split(OPENCV)
    run(f"\n```python\n{tool.blocks(before)[0].code}```\n{after}", tmp_path)


def test_names_are_those_of_the_function(document: str) -> None:
    from fastnn.images.form import FILTERS
    from fastnn.utils import image_dataset_from_directory

    code = image_dataset_from_directory.__code__
    arguments = set(code.co_varnames[: code.co_argcount + code.co_kwonlyargcount])
    assert set(re.findall(r"`(\w+)=", document)) <= arguments
    said = document.split("`interpolation` is")[1].split(".")[0]
    assert set(re.findall(r'"(\w+)"', said)) <= set(FILTERS)

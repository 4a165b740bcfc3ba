"""The README: short, its links lead somewhere, and its Python runs."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from pictures import classes

import fastnn as fnn
from fastnn import layers

ROOT = Path(__file__).parent.parent
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


@pytest.fixture(scope="module")
def blocks() -> list[str]:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    return re.findall(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def test_it_is_short() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").split()) <= 1200


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(document: Path) -> None:
    targets = re.findall(r"\]\(([^)#\s]+)", document.read_text(encoding="utf-8"))
    files = [target for target in targets if not re.match(r"https?:", target)]
    assert [name for name in files if not (document.parent / name).exists()] == []


def test_training_and_health(
    blocks: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    training, _, health = blocks
    names: dict[str, Any] = {}
    exec(training, names)
    assert max(names["history"].history["val_accuracy"]) > 0.95
    assert (tmp_path / "mnist.safetensors").exists()
    exec(health, names)
    assert names["report"].verdict == "healthy" and names["model"].compiled


def test_a_folder(blocks: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    classes(tmp_path / "FOLDER", {"a": 10, "b": 10})
    model = fnn.Sequential([layers.Input((64, 64, 3)), layers.Flatten(), layers.Dense(2)])
    model.compile("adam", fnn.losses.SparseCategoricalCrossentropy(from_logits=True))
    exec(blocks[1], {"fnn": fnn, "model": model})
    assert model.optimizer.iterations == 10

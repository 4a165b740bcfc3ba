"""The tutorial: all of its Python runs, and what stands below each block is what it prints.

Numbers differ a little from one kind of CPU to another, and with them the order of remedies that
are equally good. So words are compared, and of numbers those that the tutorial's sentences rest on:
accuracies.
"""

from __future__ import annotations

import re
import runpy
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

import fastnn as fnn

TOOL = Path(__file__).parent.parent / "tools" / "refresh_tutorial.py"

NUMBER = re.compile(r"(?<![\w.])[-+]?\d+(\.\d+)?(e[-+]?\d+)?")
REMEDIES = "Remedies that were tried"
# Its name, and what it changes.
REMEDY = re.compile(r"(?:#\.|-) ([a-z]\w*: .*?) (?:After|Broke off after) # steps?:")
ACCURACY = re.compile(r"test accuracy ([\d.]+)%")
POINTS = 15
"""Sick and cured nets lie further apart."""

MOST_BYTES = 60_000

tool = SimpleNamespace(**runpy.run_path(str(TOOL)))


@pytest.fixture(scope="module")
def document() -> str:
    text: str = tool.TUTORIAL.read_text(encoding="utf-8")
    return text


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tutorial")


@pytest.fixture(scope="module")
def outputs(document: str, directory: Path) -> Iterator[list[str]]:
    # The bits are the same, and small nets don't gain by more threads.
    before = fnn.get_num_threads()
    fnn.set_num_threads(1)
    yield list(tool.printed(document, directory))
    fnn.set_num_threads(before)


def words(output: str) -> tuple[str, set[str]]:
    """Without numbers and line breaks: what comes before the remedies; and these, in no order."""
    text = NUMBER.sub("#", " ".join(output.split()))
    head, _, tail = text.partition(REMEDIES)
    return head, set(REMEDY.findall(tail))


def test_no_output_is_stale(document: str, outputs: list[str]) -> None:
    blocks = tool.blocks(document)
    assert len(blocks) == len(outputs)
    for block, output in zip(blocks, outputs, strict=True):
        said, remedies = words(block.output or "")
        printed, tried = words(output)
        again = f"line {block.line}: python tools/refresh_tutorial.py, and read the text again"
        assert said == printed, again
        assert remedies <= tried, again
        assert bool(remedies) == (REMEDIES in output)


def test_accuracies(document: str, outputs: list[str]) -> None:
    said = [a for block in tool.blocks(document) for a in ACCURACY.findall(block.output or "")]
    printed = [a for output in outputs for a in ACCURACY.findall(output)]
    assert len(said) > 10
    assert [*map(float, said)] == pytest.approx([*map(float, printed)], abs=POINTS)


def test_pictures(document: str, outputs: list[str], directory: Path) -> None:
    shown = re.findall(r"!\[[^]]+\]\((.*?)\)", document)
    assert sorted(shown) == sorted(f"images/{p.name}" for p in (directory / "images").iterdir())
    for path in shown:
        data = (tool.TUTORIAL.parent / path).read_bytes()
        assert data.startswith(b"\x89PNG")
        assert len(data) < MOST_BYTES


def test_links(document: str) -> None:
    for path in re.findall(r"\]\(([\w./]+)\)", document):
        assert (tool.TUTORIAL.parent / path).exists()


def test_every_block_is_executed(document: str) -> None:
    # A fence that the pattern misses would be shown as Python, and never run.
    assert document.count("\n```python\n") == len(tool.blocks(document))


def test_stale_words_are_noticed() -> None:
    report = "Units are dead. layer 'a': 3% of it\n\nRemedies that were tried and helped\n{}"
    item = "1. depth: 3 layers\n   instead of 6\n   After 100 steps: loss 2 -> 1"
    other = "-  clipping: to 1\n   After 33 steps: loss 2 -> 2"
    assert words(report.format(item)) == words(report.format(item).replace("3%", "47%"))
    assert words(report.format(item)) != words(report.format(item).replace("dead", "saturated"))
    assert words(report.format(f"{item}\n{other}"))[1] == {
        "depth: # layers instead of #",
        "clipping: to #",
    }


def test_blocks_and_their_output(tmp_path: Path) -> None:
    first = "```python\nprint(1)\nprint('- 2')\n```\n\n```text until - \nold\n```\n"
    text = f"a\n{first}\n```python\nx = 3\n```\nb\n"
    outputs = list(tool.printed(text, tmp_path))
    assert outputs == ["1\n- 2\n", ""]
    new = tool.refreshed(text, outputs)
    assert new == text.replace("old\n", "1\n...\n")
    assert tool.refreshed(new, outputs) == new
    with pytest.raises(ValueError, match="begins with"):
        tool.refreshed(text, ["1\n", ""])


def test_output_that_the_document_lacks(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="line 1"):
        list(tool.printed("```python\nprint(1)\n```\n", tmp_path))

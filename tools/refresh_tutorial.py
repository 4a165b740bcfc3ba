"""Runs the Python of docs/why_doesnt_my_net_learn.md, and writes what it prints and draws.

    python tools/refresh_tutorial.py

The blocks marked ``python`` run in order, in one namespace. What a block prints stands in the block
marked ``text`` that follows it; "text until WORDS" is cut before the first line that begins with
WORDS. Pictures, which the blocks write to images/, go to docs/images. It needs matplotlib:
``pip install fastnn[plots]``.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

TUTORIAL = Path(__file__).resolve().parent.parent / "docs" / "why_doesnt_my_net_learn.md"
IMAGES = "images"

COLORS = 64
"""Of a picture: enough for lines and letters, and it takes a quarter of the room."""

_BLOCK = re.compile(
    r"^```python\n(?P<code>.*?)^```\n"
    r"(?:\n```text(?: until (?P<until>[^\n]+))?\n(?P<output>.*?)^```\n)?",
    re.DOTALL | re.MULTILINE,
)


@dataclass(frozen=True)
class Block:
    """``output`` is what the document says, None if it says that nothing is printed; its place in
    the document is ``start`` to ``end``."""

    code: str
    line: int
    until: str | None
    output: str | None
    start: int
    end: int


def blocks(document: str) -> list[Block]:
    """All that are executed."""
    return [
        Block(
            found["code"],
            document.count("\n", 0, found.start("code")),
            found["until"],
            found["output"],
            found.start("output"),
            found.end("output"),
        )
        for found in _BLOCK.finditer(document)
    ]


def printed(document: str, directory: Path) -> Iterator[str]:
    """What each block prints, all of it; files go to ``directory``."""
    (directory / IMAGES).mkdir()
    namespace: dict[str, Any] = {}
    with _inside(directory):
        for block in blocks(document):
            output = io.StringIO()
            # The lines of a traceback are then those of the document.
            code = compile("\n" * block.line + block.code, str(TUTORIAL), "exec")
            with contextlib.redirect_stdout(output):
                exec(code, namespace)
            if bool(output.getvalue()) != (block.output is not None):
                raise ValueError(f"line {block.line}: a block prints if and only if text follows")
            yield output.getvalue()


def shown(block: Block, output: str) -> str:
    """As much of it as the document shows."""
    if block.until is None:
        return output
    head, found, _ = f"\n{output}".partition(f"\n{block.until}")
    if not found:
        raise ValueError(f"line {block.line}: no line of the output begins with {block.until!r}")
    return f"{head[1:].rstrip()}\n...\n"


def refreshed(document: str, outputs: list[str]) -> str:
    """The document with these outputs."""
    parts, place = [], 0
    for block, output in zip(blocks(document), outputs, strict=True):
        if block.output is not None:
            parts += [document[place : block.start], shown(block, output)]
            place = block.end
    return "".join([*parts, document[place:]])


@contextlib.contextmanager
def _inside(directory: Path) -> Iterator[None]:
    """Python 3.10 has no ``contextlib.chdir``."""
    before = Path.cwd()
    os.chdir(directory)
    try:
        yield
    finally:
        os.chdir(before)


def main() -> None:
    from PIL import Image

    document = TUTORIAL.read_text(encoding="utf-8")
    with tempfile.TemporaryDirectory() as name:
        new = refreshed(document, list(printed(document, Path(name))))
        for picture in sorted(Path(name, IMAGES).iterdir()):
            place = TUTORIAL.parent / IMAGES / picture.name
            with Image.open(picture) as image:
                image.convert("RGB").quantize(COLORS).save(place, optimize=True)
            print(f"{place.name}: {place.stat().st_size / 1000:.0f} kB")
    TUTORIAL.write_text(new, encoding="utf-8")


if __name__ == "__main__":
    main()

"""What the cache of decoded pictures says of itself: a damaged one is not believed."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
from PIL import Image

from fastnn import utils
from fuzz import damage

ALLOWED = (ValueError,)
"""A manifest may say that a picture is broken; whatever else is wrong, they are decoded again."""

_TWO = ("kind/0.png", "kind/1.png")


def seeds() -> list[tuple[str, bytes]]:
    """The manifest of two pictures, with marks where it depends on the place and the time."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        _draw(directory)
        _read(directory)
        text = _manifest(directory).read_text()
        for mark, value in _told(directory).items():
            text = text.replace(value, mark)
        return [("manifest", text.encode())]


def damaged(random: Random, name: str, content: bytes) -> tuple[str, bytes]:
    """Another manifest in the place of one."""
    if random.random() < 0.3:
        return name, damage.in_bytes(random, content)
    value = json.loads(content)
    # Without these it is none of ours.
    kept = {key: value[key] for key in ("folder", "form", "version", "format")}
    value = damage.in_json(random, value, words=[*value, *_TWO, "lock", "../kind/0.png"])
    if isinstance(value, dict) and random.random() < 0.9:
        value |= kept
    return name, damage.as_json(value).encode()


def load(name: str, content: bytes, directory: Path) -> None:
    """Read the folder with a cache that has this manifest."""
    _draw(directory)
    first = _read(directory)
    for mark, value in _told(directory).items():
        content = content.replace(mark.encode(), value.encode())
    _manifest(directory).write_bytes(content)
    again = _read(directory)
    # Who writes it may say that a row is of another picture, but no more than that.
    if first.shape != again.shape:
        raise AssertionError(f"pictures of shape {first.shape} came back as {again.shape}")


def _draw(directory: Path) -> None:
    for k, name in enumerate(_TWO):
        path = directory / "pictures" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.arange(60, dtype=np.uint8).reshape(4, 5, 3) + k
        Image.fromarray(pixels).save(path)


def _read(directory: Path) -> Any:
    found = utils.image_dataset_from_directory(
        directory / "pictures", image_size=(4, 5), verbose=False, shuffle=False,
        cache=directory / "cache", interpolation="nearest",
    )  # fmt: skip
    return np.concatenate([x for x, _ in found])


def _manifest(directory: Path) -> Path:
    (found,) = (directory / "cache").glob("*/manifest-*.json")
    return found


def _told(directory: Path) -> dict[str, str]:
    """Mark -> what stands there in a manifest of this place and time."""
    told = {"@folder@": json.dumps(os.path.realpath(directory / "pictures"))[1:-1]}
    content = json.loads(_manifest(directory).read_bytes())
    told["@pixels@"] = content["pixels"]
    for k, (_, _, modified, changed, _) in enumerate(content["pictures"]):
        told[f"7777{k}000001"] = str(modified)
        told[f"7777{k}000002"] = str(changed)
    return told

"""Numbers that are written with commas: 1,234.5 or 1,5."""

from __future__ import annotations

import re
from collections.abc import Sequence
from enum import Enum

_THOUSANDS = re.compile(r"[-+]?\d{1,3}(,\d{3})+(\.\d*)?")
_DECIMAL = re.compile(r"[-+]?\d*,\d+([eE][-+]?\d+)?")


class Commas(Enum):
    """What they are, by what takes their place in Python's numbers."""

    THOUSANDS = ""
    DECIMAL = "."
    EITHER = ","
    """They could be both, and stay."""


def meaning(texts: Sequence[str]) -> Commas | None:
    """Of the commas in all texts that have one; None if none has, or they mean nothing."""
    with_comma = [text for text in texts if "," in text]
    if not with_comma:
        return None
    thousands = all(map(_THOUSANDS.fullmatch, with_comma))
    decimal = all(map(_DECIMAL.fullmatch, with_comma))
    if thousands and decimal:
        return Commas.EITHER
    if thousands:
        return Commas.THOUSANDS
    return Commas.DECIMAL if decimal else None


def without(texts: Sequence[str], commas: Commas) -> list[str]:
    """The texts as Python writes such numbers."""
    return [text.replace(",", commas.value) for text in texts]

"""What a user says of a table that it doesn't say itself."""

from __future__ import annotations

import codecs
from dataclasses import dataclass

MISSING = frozenset({
    "", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN",
    "<NA>", "?", "N/A", "NA", "NULL", "NaN", "None", "n/a", "nan", "null",
})  # fmt: skip
"""Cells without a value: pandas's, and the question mark of the UCI tables."""


@dataclass(frozen=True)
class Options:
    """How a table is to be read.

    Attributes:
        label: The label's column: its name, or its index from 0; None for the one named label,
            target, y or class, else the last.
        header: Whether the first line has the columns' names; None to find out.
        encoding: Of the text, a name that Python knows; None for UTF-8, or what its byte order mark
            says.
        drop: Columns that are not used: names, or indices from 0.
        categories: Columns whose numbers are names of something.
        missing: Texts that mean that there is no value, beside the empty one, NA, NaN, null, ?
            and the like.

    Raises:
        ValueError: There is no such encoding.
    """

    label: str | int | None = None
    header: bool | None = None
    encoding: str | None = None
    drop: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()

    @property
    def gaps(self) -> frozenset[str]:
        """All texts that mean that there is no value."""
        return MISSING | {text.strip() for text in self.missing}

    def __post_init__(self) -> None:
        if self.encoding is not None:
            try:
                codecs.lookup(self.encoding)
            except LookupError:
                raise ValueError(
                    f"--encoding {self.encoding}: wanted a name that Python knows, such as utf-8, "
                    "latin-1, cp1252 or utf-16"
                ) from None

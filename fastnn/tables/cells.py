"""The cells of one column as they are kept: numbers as an array, texts as places among names."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray


class Categories(NamedTuple):
    """A column of names: for each row the index of its name, -1 where there is none.

    Attributes:
        codes: int32 (rows,).
        names: In ascending order, each once, without blanks around it.
    """

    codes: NDArray[np.int32]
    names: list[str]


Cells = NDArray[Any] | Categories
"""Of a column; numbers are integers or float64 (rows,), NaN for gaps."""


def categories_of(
    codes: NDArray[np.int32], texts: list[str], missing: frozenset[str]
) -> Categories:
    """Texts as a file has them, in any order, as names; those of ``missing`` are gaps."""
    stripped = [text.strip() for text in texts]
    names = sorted(set(stripped) - missing)
    places = {name: place for place, name in enumerate(names)}
    # The last is that of a gap, whose code is -1.
    new = np.array([*(places.get(text, -1) for text in stripped), -1], np.int32)
    return Categories(new[codes], names)


def categories_of_numbers(numbers: NDArray[Any]) -> Categories:
    """Numbers as their names; where a file's own texts are not to be had."""
    there = ~np.isnan(numbers)
    found, places = np.unique(numbers[there], return_inverse=True)
    texts = [f"{number:.17g}" for number in found]
    codes = np.full(len(numbers), -1, np.int32)
    codes[there] = places
    return categories_of(codes, texts, frozenset())


def smallest(integers: NDArray[Any]) -> NDArray[Any]:
    """The same integers in the smallest type that holds them."""
    low, high = int(integers.min()), int(integers.max())
    kind = np.promote_types(np.min_scalar_type(low), np.min_scalar_type(high))
    if kind == np.uint64 and high < 2**63:  # or others below 0 would make floats of both
        kind = np.dtype(np.int64)
    return integers.astype(kind) if kind.kind in "ui" else integers

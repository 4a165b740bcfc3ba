"""Tables of plain numbers, for which pandas need not be installed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastnn.tables.cells import Cells, smallest
from fastnn.tables.dialect import Dialect


def read(path: Path, found: Dialect, names: list[str]) -> dict[str, Cells]:
    """The numbers of a file; ``names`` are those of its columns.

    Raises:
        ImportError: It holds something else than numbers, and pandas is not installed.
    """
    try:
        cells = np.loadtxt(
            path, np.float64, comments=None, delimiter=found.separator, skiprows=found.skipped,
            quotechar='"', encoding=found.encoding, ndmin=2,
        )  # fmt: skip
    except UnicodeDecodeError:
        raise
    except ValueError as fault:
        raise ImportError(
            f"{path}: holds more than plain numbers ({fault}), and such tables are read by pandas: "
            "pip install 'fastnn[tables]'",
            name="pandas",
        ) from fault
    return {name: _kept(column) for name, column in zip(names, cells.T, strict=True)}


def _kept(column: NDArray[np.float64]) -> NDArray[Any]:
    """Whole numbers as integers, as pandas has them."""
    whole = bool((np.trunc(column) == column).all()) and np.abs(column).max() < 2**53
    return smallest(column.astype(np.int64)) if whole else column

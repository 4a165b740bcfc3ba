"""Tables of plain numbers, for which pandas need not be installed."""

from __future__ import annotations

from pathlib import Path
from typing import overload

import numpy as np
from numpy.typing import NDArray

from fastnn.tables.dialect import Dialect


class PlainFrame:
    """As much of a pandas DataFrame as numbers need.

    Args:
        columns: Their names.
        cells: float64 (rows, columns), NaN where there is none.
    """

    def __init__(self, columns: list[str], cells: NDArray[np.float64]) -> None:
        self.columns = columns
        self._cells = cells

    def __len__(self) -> int:
        return len(self._cells)

    @overload
    def __getitem__(self, names: str) -> NDArray[np.float64]: ...
    @overload
    def __getitem__(self, names: list[str]) -> PlainFrame: ...
    def __getitem__(self, names: str | list[str]) -> NDArray[np.float64] | PlainFrame:
        if isinstance(names, str):
            return self._cells[:, self.columns.index(names)]
        places = [self.columns.index(name) for name in names]
        return PlainFrame(list(names), self._cells[:, places])

    def are_pixels(self) -> bool:
        """Whether all are whole numbers from 0 to 255, and both of these are there."""
        cells = self._cells
        return bool(cells.min() == 0 and cells.max() == 255 and (np.trunc(cells) == cells).all())


def read(path: Path, found: Dialect, names: list[str]) -> PlainFrame:
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
    return PlainFrame(names, cells)

"""pandas, which need not be installed."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any


def has_pandas() -> bool:
    """Whether it is installed."""
    return find_spec("pandas") is not None


def pandas(what: str = "tables of other things than numbers") -> Any:
    """The module.

    Args:
        what: It is wanted for.

    Raises:
        ImportError: It is not installed.
    """
    if not has_pandas():
        raise ImportError(f"{what} are read by pandas: pip install 'fastnn[tables]'", name="pandas")
    import pandas

    return pandas

"""Columns and tables of pandas, polars and Arrow as arrays. None of them is imported here.

A text column comes as strings, a categorical one as its categories; a value that is missing is an
error which names the column and the row.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

_LIBRARIES = ("pandas", "polars", "pyarrow")

_FILL = "fill it before, or leave such rows out"


def is_frame(value: Any) -> bool:
    """Whether ``value`` is a table of rows, with named columns."""
    lazy = type(value).__name__ == "LazyFrame"
    return is_of_table(value) and not lazy and _rank(value) == 2


def columns_of(value: Any) -> dict[str, Any]:
    """The columns of a frame by name.

    Raises:
        ValueError: Two have one name.
    """
    found = dict(_columns(value))
    if len(found) < value.shape[1]:
        names = [name for name, _ in _columns(value)]
        twice = sorted({name for name in names if names.count(name) > 1})
        raise ValueError(f"a table must have one column of each name, got several of {twice}")
    return found


def as_plain(value: Any, name: str) -> Any:
    """A frame as an array (N, columns), a column as one (N,), both without missing values; anything
    else as it is.

    Args:
        name: Of the argument, for messages.

    Raises:
        TypeError: A column holds dates, lists or the like; or some hold text, some numbers; or a
            lazy frame came.
        ValueError: A value is missing.
    """
    if not is_of_table(value):
        return value
    if type(value).__name__ == "LazyFrame":
        raise TypeError(f"{name} must hold rows, got a polars LazyFrame: give its collect()")
    if _rank(value) == 1:
        return _array(value, f"{name} (column {_title(value)!r})" if _title(value) else name)
    if _rank(value) != 2:
        return value
    if not value.shape[1]:
        raise ValueError(f"{name} must have columns, got a table of shape {tuple(value.shape)}")
    plain = _without_a_copy(value)
    if plain is not None:
        return plain
    made = {
        title: _array(column, f"{name}, column {title!r}")
        for title, column in columns_of(value).items()
    }
    texts = [title for title, array in made.items() if array.dtype.kind == "O"]
    if texts and len(texts) < len(made):
        raise TypeError(
            f"{name} must hold numbers or texts, got both: column {texts[0]!r} is text. Give the "
            "model an Input of that name for each column, or make numbers of it "
            "(layers.StringLookup)"
        )
    return np.column_stack(list(made.values()))


def _without_a_copy(value: Any) -> NDArray[Any] | None:
    """The numbers of a pandas table, where all columns are NumPy's and none has a gap."""
    if not hasattr(value, "iloc") or not all(isinstance(kind, np.dtype) for kind in value.dtypes):
        return None
    array = np.asarray(value.to_numpy())
    if array.dtype.kind not in "biuf" or (array.dtype.kind == "f" and np.isnan(array).any()):
        return None
    return array


def check_complete(value: Any, name: str) -> None:
    """ValueError naming column and row if a value is missing in a table or column; of anything else
    nothing is said."""
    if is_of_table(value) and _rank(value) == 2 and type(value).__name__ != "LazyFrame":
        for title, column in _columns(value):
            _check_complete(column, f"{name}, column {title!r}")
    elif is_of_table(value) and _rank(value) == 1:
        _check_complete(value, name)


def is_of_table(value: Any) -> bool:
    """Whether ``value`` is a table, a column or the like of pandas, polars or Arrow."""
    return type(value).__module__.partition(".")[0] in _LIBRARIES


def _rank(value: Any) -> int:
    """2 for tables, 1 for columns; 0 for what is neither."""
    if hasattr(value, "column_names") or hasattr(value, "columns"):
        return len(getattr(value, "shape", ()))
    return 1 if hasattr(value, "to_numpy") and hasattr(value, "__len__") else 0


def _columns(value: Any) -> Iterator[tuple[str, Any]]:
    if hasattr(value, "column_names"):  # pyarrow
        yield from zip(map(str, value.column_names), value.columns, strict=True)
    elif hasattr(value, "get_columns"):  # polars
        yield from ((column.name, column) for column in value.get_columns())
    else:
        yield from ((str(title), value.iloc[:, i]) for i, title in enumerate(value.columns))


def _title(column: Any) -> str:
    name = getattr(column, "name", None)
    return "" if name is None else str(name)


def _array(column: Any, name: str) -> NDArray[Any]:
    """A column as numbers or, of dtype object, strings."""
    _check_complete(column, name)
    array = _numbers(column)
    if array.dtype.kind in "OUT":
        array = _texts(array, name)
    elif array.dtype.kind not in "biuf":
        raise TypeError(
            f"{name} must hold numbers or texts, got {array.dtype}: of a date, take numbers such "
            "as its year, or the days since the first"
        )
    return array


def _check_complete(column: Any, name: str) -> None:
    """ValueError for a missing value, or NaN."""
    if hasattr(column, "isna"):
        missing = np.asarray(column.isna())
    elif hasattr(column, "is_null"):
        missing = np.asarray(column.is_null().to_numpy(**_copied(column)))
        if not missing.any():
            missing = _not_numbers(column)
    else:
        return
    if missing.any():
        _missing(name, int(np.argmax(missing)))


def _not_numbers(column: Any) -> NDArray[np.bool_]:
    """Where a column of polars or Arrow without nulls has NaN."""
    array = np.asarray(column.to_numpy(**_copied(column)))
    return np.isnan(array) if array.dtype.kind == "f" else np.zeros(1, np.bool_)


def _missing(name: str, row: int) -> None:
    raise ValueError(f"{name} has a missing value in row {row}: {_FILL}")


def _numbers(column: Any) -> NDArray[Any]:
    """What a column without missing values holds."""
    kind = getattr(column, "dtype", None)
    if hasattr(column, "iloc"):
        if hasattr(kind, "categories"):
            found: NDArray[Any] = np.asarray(column.cat.categories)[column.cat.codes.to_numpy()]
            return found
        # Nullable types say what they are without gaps.
        plain = getattr(kind, "numpy_dtype", None)
        if plain is not None and plain.kind in "biuf":
            return np.asarray(column.to_numpy(dtype=plain))
        return np.asarray(column.to_numpy())
    if type(column).__module__.startswith("pyarrow") and hasattr(column.type, "index_type"):
        column = column.cast(column.type.value_type)
    return np.asarray(column.to_numpy(**_copied(column)))


def _copied(column: Any) -> dict[str, bool]:
    """pyarrow has to be told that it may copy; a ChunkedArray always does."""
    module, chunked = type(column).__module__, hasattr(column, "chunks")
    return {} if chunked or not module.startswith("pyarrow") else {"zero_copy_only": False}


def _texts(array: NDArray[Any], name: str) -> NDArray[Any]:
    # NumPy's own strings, which pandas may hold, become Python's.
    items = [item.item() if isinstance(item, np.character) else item for item in array.tolist()]
    if all(isinstance(item, (str, bytes)) for item in items):
        return np.array(items, object)
    if all(isinstance(item, (bool, int, float, np.number)) for item in items):
        return np.asarray(items)
    odd = next((row, item) for row, item in enumerate(items) if not isinstance(item, str))
    raise TypeError(
        f"{name} must hold numbers or texts, got {str(odd[1])[:40]!r}, of type "
        f"{type(odd[1]).__name__}, in row {odd[0]}"
    )

"""State made of JSON values and arrays, taken apart so that a file can hold it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

_ARRAY, _FLOAT = "$array", "$float"
_KINDS = "biuf"


def taken_apart(state: Any, owner: str, prefix: str) -> tuple[Any, dict[str, NDArray[Any]]]:
    """``state`` as JSON values, and copies of its arrays by a name that begins with ``prefix``.

    Args:
        state: None, bools, numbers, strings, arrays of numbers, and lists, tuples and dicts with
            strings as keys of such. A tuple comes back as a list, a number of NumPy as Python's.
        owner: Whose it is, for messages.

    Raises:
        TypeError: It holds something else.
    """
    arrays: dict[str, NDArray[Any]] = {}
    return _encoded(state, owner, prefix, arrays), arrays


def _encoded(value: Any, owner: str, prefix: str, arrays: dict[str, NDArray[Any]]) -> Any:
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        # JSON has no word for them.
        return value if math.isfinite(value) else {_FLOAT: repr(value)}
    if isinstance(value, np.ndarray) and value.dtype.kind in _KINDS and value.dtype != np.float16:
        name = f"{prefix}{len(arrays)}"
        arrays[name] = np.array(value, dtype=value.dtype.newbyteorder("="), order="C")
        return {_ARRAY: name}
    if isinstance(value, (list, tuple)):
        return [_encoded(item, owner, prefix, arrays) for item in value]
    if isinstance(value, Mapping) and all(
        isinstance(key, str) and key not in (_ARRAY, _FLOAT) for key in value
    ):
        return {key: _encoded(item, owner, prefix, arrays) for key, item in value.items()}
    raise TypeError(
        f"{owner}: its state must be made of JSON values and arrays of numbers, got "
        f"{value!r:.80} of type {type(value).__name__}"
    )


def put_together(value: Any, arrays: Mapping[str, NDArray[Any]]) -> Any:
    """The state that ``taken_apart`` was given.

    Raises:
        ValueError: It is malformed.
    """
    if isinstance(value, list):
        return [put_together(item, arrays) for item in value]
    if not isinstance(value, dict):
        return value
    if value.keys() == {_ARRAY}:
        name = value[_ARRAY]
        if not isinstance(name, str) or name not in arrays:
            raise ValueError(f"the array {name!r:.80} of its state is missing")
        return arrays[name]
    if value.keys() == {_FLOAT}:
        if value[_FLOAT] not in ("nan", "inf", "-inf"):
            raise ValueError(f"its state has a number {value[_FLOAT]!r:.80}")
        return float(value[_FLOAT])
    return {key: put_together(item, arrays) for key, item in value.items()}

"""Data terms as JSON values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from math import isfinite
from numbers import Integral, Real
from typing import Any


def plain(value: Any) -> Any:
    """``value`` as dicts, lists, strings, numbers, booleans and None.

    Of a dataclass, functions are left out; a number that is not finite becomes None. NumPy's
    numbers become Python's.
    """
    if is_dataclass(value):
        items = ((entry.name, getattr(value, entry.name)) for entry in fields(value))
        return {name: plain(item) for name, item in items if not callable(item)}
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, Integral):
        return int(value)
    if isinstance(value, Real):
        return float(value) if isfinite(value) else None
    raise TypeError(f"no JSON value for {value!r}")

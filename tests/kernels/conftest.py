"""Every kernel test runs once for each CPU level of this machine."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from fastnn.kernels import layout, levels


def _fenced(poison: Any) -> Any:
    """``aligned_zeros`` whose arrays end where AddressSanitizer sees it: the alignment leaves some
    bytes behind them, in which a kernel that goes one number too far would find a place."""
    beside = 1024  # smaller arrays are handed on by NumPy, fence and all

    def aligned_zeros(shape: tuple[int, ...], dtype: type = np.float32) -> Any:
        n_bytes = int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize
        raw = np.zeros(n_bytes + 2 * beside, np.uint8)
        start = -raw.ctypes.data % layout.ALIGNMENT
        poison(raw.ctypes.data + start + n_bytes, beside)
        return raw[start : start + n_bytes].view(dtype).reshape(shape)

    return aligned_zeros


# Before the tests import it.
_poison = getattr(ctypes.CDLL(None), "__asan_poison_memory_region", None)
if _poison is not None:
    _poison.argtypes = (ctypes.c_void_p, ctypes.c_size_t)
    layout.aligned_zeros = _fenced(_poison)


@pytest.fixture(params=levels.levels(), autouse=True)
def level(request: pytest.FixtureRequest) -> Iterator[str]:
    """The CPU level in use, by name."""
    before = levels.level()
    levels.use(request.param)
    yield request.param
    levels.use(before)

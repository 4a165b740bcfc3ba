"""Random numbers of one fit, by scikit-learn's ``random_state``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sklearn.utils import check_random_state

from fastnn import utils


@contextmanager
def seeded(random_state: Any) -> Iterator[None]:
    """fastnn draws from ``random_state`` inside, and goes on afterwards as if nothing had been
    drawn; None changes nothing."""
    if random_state is None:
        yield
        return
    before = utils.random_state()
    seed = int(check_random_state(random_state).randint(2**31 - 1))
    utils.restore_random_state({"seed": seed, "counters": []})
    try:
        yield
    finally:
        utils.restore_random_state(before)

"""Work on a model that leaves no trace."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from fastnn import utils

if TYPE_CHECKING:
    from fastnn.models import Model


@contextmanager
def copied(model: Model) -> Iterator[Model]:
    """A copy with weights, optimizer and its state; what it draws of random numbers inside is drawn
    again by the next one who asks."""
    random = utils.random_state()
    try:
        yield copy.deepcopy(model)
    finally:
        utils.restore_random_state(random)

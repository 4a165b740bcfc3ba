"""The training that tests of resuming interrupt, and its data."""

from __future__ import annotations

from typing import Any

from nets import blobs, classifier
from test_backup import train

import fastnn as fnn
from fastnn import callbacks

X, Y = blobs(100)


def alone() -> tuple[Any, Any]:
    """A model that was trained without backups, and its history."""
    fnn.utils.set_random_seed(5)
    model = classifier()
    return model, train(model)


def begin(*hooks: callbacks.Callback) -> tuple[Any, Any]:
    fnn.utils.set_random_seed(5)
    model = classifier()
    return model, train(model, *hooks)

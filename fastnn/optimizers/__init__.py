"""Optimizers: how weights follow gradients, as settings. The arithmetic is the kernels'.

A new optimizer is a file here, a row in ``CLASSES`` and a kernel of its name.
"""

from __future__ import annotations

from typing import Any

from fastnn._registry import resolve
from fastnn.optimizers import schedules
from fastnn.optimizers.adagrad import Adagrad
from fastnn.optimizers.adam import Adam, AdamW
from fastnn.optimizers.base import Optimizer
from fastnn.optimizers.lion import Lion
from fastnn.optimizers.muon import Muon
from fastnn.optimizers.nadam import Nadam
from fastnn.optimizers.rmsprop import RMSprop
from fastnn.optimizers.sgd import SGD

__all__ = [
    "SGD",
    "Adagrad",
    "Adam",
    "AdamW",
    "Lion",
    "Muon",
    "Nadam",
    "Optimizer",
    "RMSprop",
    "get",
    "schedules",
]

CLASSES: dict[str, type[Optimizer]] = {
    name: cls
    for cls in (SGD, Adagrad, Adam, AdamW, Lion, Muon, Nadam, RMSprop)
    for name in (cls.__name__, cls.__name__.lower())
}
"""Every optimizer by its class's name, as it is and in lower case."""


def get(identifier: str | dict[str, Any] | Optimizer | type[Optimizer]) -> Optimizer:
    """The optimizer that ``identifier`` names ("adam", in any case) or is.

    Raises:
        ValueError: the name is unknown.
        TypeError: ``identifier`` is neither a name, a config nor an optimizer.
    """
    if isinstance(identifier, str):
        identifier = identifier.lower()
    # mypy wants a class that can be called, but an abstract base only serves isinstance.
    return resolve("optimizer", Optimizer, CLASSES, identifier)  # type: ignore[type-abstract]

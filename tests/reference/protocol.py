"""What one reference case is, and how it is run: the same code drives Keras and fastnn.

``api`` is the module under test, ``keras`` or ``fastnn``: both spell layers, losses, optimizers
and models alike, so a case is written once and run on both.

Inputs come from PCG64 and exact arithmetic, so they are rebuilt instead of stored;
``Run.digest`` tells when they are not the ones that the reference was recorded with.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

STEPS = 12
"""Batches that a training case feeds; the last one is smaller where the batch size allows."""


@dataclass
class Run:
    """Seeded inputs of one case, and what came out of it."""

    name: str
    results: dict[str, NDArray] = field(default_factory=dict)
    digest: int = 0

    def __post_init__(self) -> None:
        self._random = np.random.default_rng(zlib.crc32(self.name.encode()))

    def _known(self, values: NDArray) -> NDArray:
        self.digest = zlib.crc32(np.ascontiguousarray(values), self.digest)
        return values

    def pick(self, *values: Any) -> Any:
        """One of ``values``, always the same for a case of this name."""
        return values[zlib.crc32((self.name + str(len(values))).encode()) % len(values)]

    def reals(self, *shape: int, low: float = -1.5, high: float = 1.5) -> NDArray:
        """Uniform float32 of ``shape``."""
        return self._known((low + (high - low) * self._random.random(shape)).astype(np.float32))

    def classes(self, n: int, width: int) -> NDArray:
        """Class indices (n,), int64."""
        return self._known((self._random.random(n) * width).astype(np.int64))

    def one_hot(self, n: int, width: int) -> NDArray:
        """One-hot rows (n, width), float32."""
        return np.eye(width, dtype=np.float32)[self.classes(n, width)]

    def bits(self, *shape: int) -> NDArray:
        """Zeros and ones, float32."""
        return self._known((self._random.random(shape) < 0.4).astype(np.float32))

    def counts(self, *shape: int) -> NDArray:
        """Whole numbers 0 .. 4, float32."""
        return self._known(np.floor(5 * self._random.random(shape)).astype(np.float32))

    def pixels(self, *shape: int) -> NDArray:
        """uint8, about half of them zero."""
        values = 510 * self._random.random(shape) - 255
        return self._known(np.maximum(values, 0).astype(np.uint8))

    def set_weights(self, model: Any) -> Any:
        """Give ``model`` seeded weights: Glorot's range for a kernel, +-0.2 for a bias."""
        weights = []
        for old in model.get_weights():
            limit = np.sqrt(6 / sum(old.shape)) if old.ndim == 2 else 0.2
            weights.append(self.reals(*old.shape, low=-limit, high=limit))
        model.set_weights(weights)
        return model

    def record(self, key: str, values: Any) -> None:
        """Keep ``values`` as a result under ``key``."""
        self.results[key] = np.asarray(values, np.float64)

    def record_weights(self, model: Any) -> None:
        """Keep every weight of ``model``, flattened in the order of ``get_weights``."""
        self.record("weights", np.concatenate([np.ravel(w) for w in model.get_weights()]))

    def record_history(self, history: Any) -> None:
        """Keep every series of ``history.history`` under its own key."""
        for key, values in history.history.items():
            self.record(f"history/{key}", values)

    def record_evaluation(self, logs: dict[str, float], label: str = "evaluate") -> None:
        """Keep each value of ``evaluate(..., return_dict=True)``."""
        for key, value in logs.items():
            self.record(f"{label}/{key}", value)

    def train(self, model: Any, x: Any, y: Any, batch: int, **options: Any) -> None:
        """``STEPS`` calls of ``train_on_batch`` over consecutive rows; record losses and weights.

        ``options`` may hold ``sample_weight`` (rows are cut as x's) and ``class_weight``.
        """
        sample_weight = options.pop("sample_weight", None)
        losses = []
        for start in range(0, rows_for(batch), batch):
            cut = slice(start, min(start + batch, rows_for(batch)))
            if sample_weight is not None:
                options["sample_weight"] = rows(sample_weight, cut)
            logs = model.train_on_batch(rows(x, cut), rows(y, cut), return_dict=True, **options)
            losses.append(logs["loss"])
        self.record("loss", losses)
        self.record_weights(model)


def rows_for(batch: int) -> int:
    """Rows that make ``STEPS`` batches, the last one about a third smaller."""
    return STEPS * batch - batch // 3


def rows(arrays: Any, cut: slice) -> Any:
    """Rows ``cut`` of one array, or of each in a list or dict."""
    if isinstance(arrays, dict):
        return {name: array[cut] for name, array in arrays.items()}
    if isinstance(arrays, list):
        return [array[cut] for array in arrays]
    return arrays[cut]


CASES: dict[str, Callable[[Any, Run], None]] = {}
"""Every case by name: a function of (api, run) that trains and records."""


def case(name: str, /, **settings: Any) -> Callable:
    """Register a function of (api, run, **settings) as the case ``name``."""

    def register(function: Callable) -> Callable:
        if name in CASES:
            raise ValueError(f"two cases are named {name!r}")
        CASES[name] = lambda api, run: function(api, run, **settings)
        return function

    return register


def execute(name: str, api: Any) -> Run:
    """Run case ``name`` on ``api`` and return what it recorded."""
    run = Run(name)
    CASES[name](api, run)
    return run

"""The job in Keras's terms, for Keras and for fastnn, which speaks them too."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from fastnn.bench.peers import base
from fastnn.bench.peers.turns import Turns


class KerasLike(base.Trainer):
    """``api`` is the module that has Sequential, layers, optimizers and callbacks."""

    api: Any

    def __init__(self, job: base.Job, threads: int, x: np.ndarray, y: np.ndarray) -> None:
        super().__init__(job, threads, x, y)
        layers = self.api.layers
        hidden = [layers.Dense(width, activation="relu") for width in job.widths[1:-1]]
        self._model = self.api.Sequential(
            [
                layers.Input((job.widths[0],)),
                *hidden,
                layers.Dense(job.widths[-1], activation="softmax"),
            ]
        )
        self._model.compile(
            optimizer=self.api.optimizers.Adam(base.LEARNING_RATE),
            loss="sparse_categorical_crossentropy",
        )
        self._model.set_weights(base.start_weights(job.widths))
        self._turns = Turns(self._fit)

    def _fit(self, begin: Callable[[], None], end: Callable[[float], None]) -> None:
        class TakeTurns(self.api.callbacks.Callback):  # type: ignore[misc, name-defined]
            def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
                begin()

            def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
                end(float(logs["loss"]))

        self._model.fit(
            self.x,
            self.y,
            batch_size=self.job.batch,
            epochs=10**6,
            verbose=0,
            callbacks=[TakeTurns()],
        )

    def epoch(self) -> float:
        return self._turns.epoch()

    def losses(self, count: int) -> list[float]:
        losses = []
        for first in range(0, count * self.job.batch, self.job.batch):
            rows = slice(first, first + self.job.batch)
            history = self._model.fit(
                self.x[rows], self.y[rows], batch_size=self.job.batch, shuffle=False, verbose=0
            )
            losses.append(float(history.history["loss"][0]))
        return losses

    def weights(self) -> list[np.ndarray]:
        return list(self._model.get_weights())

    def close(self) -> None:
        self._turns.close()

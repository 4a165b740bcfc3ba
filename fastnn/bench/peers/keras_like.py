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
    remedies = base.REMEDIES

    def __init__(self, job: base.Job, threads: int, x: np.ndarray, y: np.ndarray) -> None:
        super().__init__(job, threads, x, y)
        dense, layers = self._layers()
        self._model = self.api.Sequential(layers)
        # Named only where the job asks for it, as a user would.
        clip = {} if job.global_clipnorm is None else {"global_clipnorm": job.global_clipnorm}
        self._model.compile(
            optimizer=self.api.optimizers.Adam(base.LEARNING_RATE, **clip),
            loss="sparse_categorical_crossentropy",
        )
        weights = base.start_weights(job.widths)
        for layer, kernel, bias in zip(dense, weights[::2], weights[1::2], strict=True):
            layer.set_weights([kernel, bias])
        self._turns = Turns(self._fit)

    def _layers(self) -> tuple[list[Any], list[Any]]:
        """The Dense layers, and all layers."""
        job, layers = self.job, self.api.layers
        dense: list[Any] = []
        every: list[Any] = [layers.Input((job.widths[0],))]
        for width in job.widths[1:-1]:
            dense.append(layers.Dense(width, activation=None if job.batch_norm else "relu"))
            every.append(dense[-1])
            if job.batch_norm:
                every += [
                    layers.BatchNormalization(
                        momentum=base.NORM_MOMENTUM, epsilon=base.NORM_EPSILON
                    ),
                    layers.Activation("relu"),
                ]
            if job.dropout:
                every.append(layers.Dropout(job.dropout))
        dense.append(layers.Dense(job.widths[-1], activation="softmax"))
        return dense, [*every, dense[-1]]

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

    def close(self) -> None:
        self._turns.close()

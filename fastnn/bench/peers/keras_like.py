"""The job in Keras's terms, for Keras and for fastnn, which speaks them too."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from fastnn.bench import nets
from fastnn.bench.peers import base
from fastnn.bench.peers.turns import Turns


class KerasLike(base.Trainer):
    """``api`` is the module that has Model, layers, optimizers and callbacks."""

    api: Any
    remedies = base.REMEDIES
    convolves = True

    def __init__(self, job: base.Job, threads: int, x: np.ndarray, y: np.ndarray) -> None:
        super().__init__(job, threads, x, y)
        inputs = self.api.Input(job.shape)
        weights = iter(base.start_weights(job.layers))
        *hidden, head = job.layers
        assert isinstance(head, nets.Dense)
        outputs = self._call(hidden, inputs, weights)
        outputs = self._weighted(head, outputs, weights, activation="softmax")
        self._model = self.api.Model(inputs, outputs)
        # Named only where the job asks for it, as a user would.
        clip = {} if job.global_clipnorm is None else {"global_clipnorm": job.global_clipnorm}
        self._model.compile(
            optimizer=self.api.optimizers.Adam(base.LEARNING_RATE, **clip),
            loss="sparse_categorical_crossentropy",
        )
        self._turns = Turns(self._fit)

    def _call(self, chain: Sequence[nets.Layer], x: Any, weights: Iterator[np.ndarray]) -> Any:
        """The symbolic output of layers, one after another."""
        layers = self.api.layers
        for layer in chain:
            if isinstance(layer, nets.Weighted):
                x = self._weighted(layer, x, weights, activation="relu" if layer.relu else None)
            elif isinstance(layer, nets.Norm):
                x = layers.BatchNormalization(
                    momentum=base.NORM_MOMENTUM, epsilon=base.NORM_EPSILON
                )(x)
                if layer.relu:
                    x = layers.Activation("relu")(x)
            elif isinstance(layer, nets.Residual):
                body = self._call(layer.body, x, weights)
                shortcut = self._call(layer.shortcut, x, weights)
                x = layers.Activation("relu")(layers.Add()([body, shortcut]))
            elif isinstance(layer, nets.Dropout):
                x = layers.Dropout(layer.rate)(x)
            elif isinstance(layer, nets.Flatten):
                x = layers.Flatten()(x)
            elif isinstance(layer, nets.GlobalAverage):
                x = layers.GlobalAveragePooling2D()(x)
            else:
                x = layers.MaxPooling2D()(x)
        return x

    def _weighted(
        self, layer: nets.Weighted, x: Any, weights: Iterator[np.ndarray], activation: str | None
    ) -> Any:
        if isinstance(layer, nets.Dense):
            made = self.api.layers.Dense(layer.units, activation=activation)
            own = [next(weights), next(weights)]
        else:
            made = self.api.layers.Conv2D(
                layer.filters, layer.size, layer.stride, padding="same", activation=activation,
                use_bias=layer.bias,
            )  # fmt: skip
            own = [next(weights) for _ in range(1 + layer.bias)]
        x = made(x)
        made.set_weights(own)
        return x

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

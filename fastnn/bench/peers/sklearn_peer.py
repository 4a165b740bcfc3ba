"""scikit-learn: ``MLPClassifier.partial_fit`` on the whole data is one shuffled epoch."""

from __future__ import annotations

import numpy as np
import sklearn
from sklearn.neural_network import MLPClassifier

from fastnn.bench import nets
from fastnn.bench.peers import base


class SklearnPeer(base.Trainer):
    def __init__(self, job: base.Job, threads: int, x: np.ndarray, y: np.ndarray) -> None:
        super().__init__(job, threads, x, y)
        *hidden, units = (layer.kernel[-1] for layer in nets.weighted(job.layers))
        classes = np.arange(units)
        net = MLPClassifier(
            hidden,
            batch_size=len(classes),
            learning_rate_init=base.LEARNING_RATE,
            beta_1=base.BETA_1,
            beta_2=base.BETA_2,
            epsilon=base.EPSILON,
            alpha=0.0,
            n_iter_no_change=10**9,
            random_state=0,
        )
        # The first call makes the weights and Adam's state; both are then set in place, because the
        # optimizer keeps a reference to the very arrays.
        net.partial_fit(x[: len(classes)], classes, classes=classes)
        weights = base.start_weights(job.layers)
        for own, start in zip(
            net.coefs_ + net.intercepts_, weights[::2] + weights[1::2], strict=True
        ):
            own[...] = start
        for moment in net._optimizer.ms + net._optimizer.vs:
            moment[...] = 0
        net._optimizer.t = 0
        net.set_params(batch_size=min(job.batch, job.rows))
        self._net = net

    def epoch(self) -> float:
        self._net.partial_fit(self.x, self.y)
        return float(self._net.loss_)

    def losses(self, count: int) -> list[float]:
        losses = []
        self._net.set_params(shuffle=False)
        for first in range(0, count * self.job.batch, self.job.batch):
            rows = slice(first, first + self.job.batch)
            self._net.partial_fit(self.x[rows], self.y[rows])
            losses.append(float(self._net.loss_))
        self._net.set_params(shuffle=True)
        return losses

    def predict(self, x: np.ndarray) -> np.ndarray:
        found: np.ndarray = self._net.predict_proba(x)
        return found

    @classmethod
    def version(cls) -> str:
        return f"scikit-learn {sklearn.__version__}"

"""fastnn, as its users run it."""

from __future__ import annotations

import numpy as np

import fastnn
from fastnn.bench.peers import base
from fastnn.bench.peers.keras_like import KerasLike


class FastnnPeer(KerasLike):
    api = fastnn

    def __init__(self, job: base.Job, threads: int, x: np.ndarray, y: np.ndarray) -> None:
        fastnn.set_num_threads(threads)
        super().__init__(job, threads, x, y)

    def predict(self, x: np.ndarray) -> np.ndarray:
        found: np.ndarray = self._model.predict(x, verbose=0)
        return found

    @classmethod
    def version(cls) -> str:
        return f"fastnn {fastnn.__version__}"

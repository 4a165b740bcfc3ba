"""fastnn, as its users run it."""

from __future__ import annotations

import numpy as np

import fastnn
from fastnn.bench.peers import base
from fastnn.bench.peers.keras_like import KerasLike
from fastnn.models.feeding import feed


class FastnnPeer(KerasLike):
    api = fastnn

    def __init__(self, job: base.Job, threads: int, x: np.ndarray, y: np.ndarray) -> None:
        fastnn.set_num_threads(threads)
        super().__init__(job, threads, x, y)

    @property
    def model(self) -> fastnn.Model:
        """Compiled, with the starting weights."""
        model: fastnn.Model = self._model
        return model

    def predict(self, x: np.ndarray) -> np.ndarray:
        found: np.ndarray = self._model.predict(x, verbose=0)
        return found

    def skips_zeros(self) -> bool:
        # The decision is fit's, and the same each time: this asks the code that makes it.
        dataset = feed(self._model, self.x, self.y)
        dataset.find_nonzeros(self._model._executables.scales_of_sparse_inputs())
        return bool(dataset.longest_rows)

    @classmethod
    def version(cls) -> str:
        return f"fastnn {fastnn.__version__}"

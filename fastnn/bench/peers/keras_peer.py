"""Keras 3 on the backend that ``KERAS_BACKEND`` names."""

from __future__ import annotations

import keras
import numpy as np

from fastnn.bench.peers.keras_like import KerasLike


class KerasPeer(KerasLike):
    api = keras

    def predict(self, x: np.ndarray) -> np.ndarray:
        return np.asarray(self._model.predict_on_batch(x))

    @classmethod
    def version(cls) -> str:
        return f"Keras {keras.__version__} on {keras.backend.backend()}"

"""The Poisson loss of a net that predicts logarithms."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import xlogy

Array = NDArray[Any]


def half_deviance(y_true: Array, y_pred: Array) -> tuple[Array, Array]:
    """Half of the Poisson deviance, ``y log(y / p) - y + p`` with ``p = exp(y_pred)``, summed over
    the outputs (McCullagh & Nelder 1989, section 2.3), for each row; and the gradient of its mean.

    Args:
        y_true, y_pred: (batch, outputs) float32.
    """
    y, log_rate = y_true.astype(np.float64), y_pred.astype(np.float64)
    rate = np.exp(log_rate)
    loss = xlogy(y, y) - y * log_rate - y + rate
    return loss.sum(axis=1), (rate - y) / len(y)

"""Metrics, regularizers and constraints with their arguments, and data to call them on.

``make_keras_metrics.py`` gives these to Keras, ``test_metrics.py`` and others to fastnn.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Data = tuple[NDArray[Any], NDArray[Any], NDArray[Any]]

CLASSIFICATION: list[tuple[str, dict[str, Any]]] = [
    ("Precision", {}),
    ("Precision", {"thresholds": 0.3}),
    ("Precision", {"thresholds": 0}),
    ("Precision", {"class_id": 0}),
    ("Recall", {}),
    ("Recall", {"thresholds": 0.75}),
    ("Recall", {"class_id": 0, "thresholds": 0.25}),
    ("F1Score", {"average": "macro", "threshold": 0.5}),
    ("F1Score", {"average": "micro", "threshold": 0.3}),
    ("F1Score", {"average": "weighted", "threshold": 0.5}),
    ("AUC", {}),
    ("AUC", {"num_thresholds": 7}),
    ("AUC", {"curve": "PR"}),
    ("AUC", {"curve": "PR", "num_thresholds": 11, "summation_method": "minoring"}),
    ("AUC", {"curve": "PR", "summation_method": "majoring"}),
    ("AUC", {"summation_method": "minoring", "num_thresholds": 13}),
    ("AUC", {"summation_method": "majoring", "num_thresholds": 13}),
    ("AUC", {"thresholds": [0.1, 0.15, 0.7, 0.9]}),
    ("AUC", {"thresholds": [0.1, 0.15, 0.7, 0.9], "curve": "PR"}),
    ("AUC", {"multi_label": True}),
    ("AUC", {"multi_label": True, "curve": "PR", "num_thresholds": 30}),
]

SEVERAL_CLASSES: list[tuple[str, dict[str, Any]]] = [
    ("Precision", {"top_k": 2}),
    ("Precision", {"top_k": 2, "thresholds": 0.3}),
    ("Recall", {"top_k": 1, "class_id": 2}),
    ("Recall", {"top_k": 3}),
    ("F1Score", {"average": "macro"}),
    ("F1Score", {"average": "micro"}),
    ("F1Score", {"average": "weighted"}),
]

LOGITS: list[tuple[str, dict[str, Any]]] = [
    ("AUC", {"from_logits": True}),
    ("AUC", {"from_logits": True, "curve": "PR", "multi_label": True}),
    ("Precision", {"thresholds": 0}),
]

REGRESSION: list[tuple[str, dict[str, Any]]] = [
    ("RootMeanSquaredError", {}),
    ("CosineSimilarity", {}),
    ("R2Score", {}),
    ("R2Score", {"num_regressors": 3}),
    ("R2Score", {"class_aggregation": "variance_weighted_average"}),
]


def _binary(random: np.random.Generator) -> Data:
    y = random.integers(0, 2, (150, 1))
    pred = np.clip((y + random.normal(0, 0.6, y.shape) + 1) / 3, 0, 1)
    # Ties with thresholds.
    pred[:60] = np.round(pred[:60], 1)
    pred[60:90] = np.round(pred[60:90] * 199) / 199
    return y, pred.astype(np.float32), random.uniform(0, 2, len(y)).astype(np.float32)


def _several_labels(random: np.random.Generator) -> Data:
    y = random.integers(0, 2, (80, 4))
    y[:, 3] = 0  # nothing true
    pred = np.clip(0.6 * y + random.uniform(0, 0.5, y.shape), 0, 1)
    return y, pred.astype(np.float32), random.uniform(0, 2, len(y)).astype(np.float32)


def _classes(random: np.random.Generator) -> Data:
    y = np.eye(5, dtype=np.int64)[random.integers(0, 4, 120)]
    logits = 2 * y + random.normal(size=y.shape)
    pred = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    pred[0] = 0  # a row without a largest
    return y, pred.astype(np.float32), random.uniform(0, 2, len(y)).astype(np.float32)


def _logits(random: np.random.Generator) -> Data:
    y = random.integers(0, 2, (90, 2))
    pred = 3 * (y - 0.5) + random.normal(0, 2, y.shape)
    return y, pred.astype(np.float32), random.uniform(0, 2, len(y)).astype(np.float32)


def _beyond(random: np.random.Generator) -> Data:
    y = random.integers(0, 2, (50, 1))
    pred = 2 * y - 0.5 + random.normal(0, 1, y.shape)
    return y, pred.astype(np.float32), random.uniform(0, 2, len(y)).astype(np.float32)


def _values(random: np.random.Generator) -> Data:
    y = random.normal(3, 2, (70, 3)).astype(np.float32)
    pred = y + random.normal(0, [0.1, 1, 3], y.shape)
    pred[0] = 0
    return y, pred.astype(np.float32), random.uniform(0, 2, len(y)).astype(np.float32)


DATA: dict[str, tuple[Any, list[tuple[str, dict[str, Any]]]]] = {
    "binary": (_binary, CLASSIFICATION),
    "several labels": (_several_labels, CLASSIFICATION + SEVERAL_CLASSES),
    "classes": (_classes, CLASSIFICATION + SEVERAL_CLASSES),
    "logits": (_logits, LOGITS),
    "beyond 0 and 1": (_beyond, [("AUC", {}), ("AUC", {"curve": "PR"}), ("Precision", {})]),
    "values": (_values, REGRESSION),
}


def data(name: str) -> Data:
    """Targets, predictions and weights of that name."""
    return DATA[name][0](np.random.default_rng(7))


REGULARIZERS: list[tuple[str, dict[str, Any]]] = [
    ("L1", {}),
    ("L1", {"l1": 0.3}),
    ("L2", {}),
    ("L2", {"l2": 0.25}),
    ("L1L2", {"l1": 0.1, "l2": 0.2}),
    ("L1L2", {}),
]

CONSTRAINTS: list[tuple[str, dict[str, Any]]] = [
    ("MaxNorm", {}),
    ("MaxNorm", {"max_value": 0.5}),
    ("MaxNorm", {"max_value": 1.5, "axis": 1}),
    ("MaxNorm", {"max_value": 3, "axis": [0, 1]}),
    ("MaxNorm", {"max_value": 0}),
    ("UnitNorm", {}),
    ("UnitNorm", {"axis": 1}),
    ("UnitNorm", {"axis": [0, 1]}),
    ("NonNeg", {}),
]


def weight() -> NDArray[np.float32]:
    """A kernel (5, 4) with a column of zeros and columns of small and large norms."""
    w = np.random.default_rng(3).normal(size=(5, 4)) * [0.1, 1, 3, 0]
    return w.astype(np.float32)

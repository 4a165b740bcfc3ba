"""Metrics as settings: names in ``history``, what "accuracy" means, what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from fastnn import losses, metrics

SPARSE = losses.SparseCategoricalCrossentropy()


@pytest.mark.parametrize("name", ["accuracy", "acc", "Accuracy"])
@pytest.mark.parametrize(
    ("loss", "width", "wanted"),
    [
        ("sparse_categorical_crossentropy", 10, metrics.SparseCategoricalAccuracy),
        ("sparse_categorical_crossentropy", 1, metrics.BinaryAccuracy),
        ("categorical_crossentropy", 10, metrics.CategoricalAccuracy),
        ("binary_crossentropy", 1, metrics.BinaryAccuracy),
        # As Keras decides: several labels an example are compared as one-hot.
        ("binary_crossentropy", 10, metrics.CategoricalAccuracy),
        ("mse", 10, metrics.CategoricalAccuracy),
        ("mse", 1, metrics.BinaryAccuracy),
    ],
)
def test_accuracy(name: str, loss: str, width: int, wanted: type) -> None:
    metric = metrics.get(name, losses.get(loss), (None, width))
    assert type(metric) is wanted
    assert metric.name == name
    assert metric.direction == "max"


@pytest.mark.parametrize(
    ("name", "wanted", "kind"),
    [
        ("sparse_categorical_accuracy", "SparseCategoricalAccuracy", None),
        ("categorical_accuracy", "CategoricalAccuracy", None),
        ("binary_accuracy", "BinaryAccuracy", None),
        ("top_k_categorical_accuracy", "TopKCategoricalAccuracy", "top_k"),
        ("sparse_top_k_categorical_accuracy", "SparseTopKCategoricalAccuracy", "sparse_top_k"),
        ("mean_squared_error", "MeanSquaredError", None),
        ("mse", "MeanSquaredError", "mean_squared_error"),
        ("MSE", "MeanSquaredError", "mean_squared_error"),
        ("MeanSquaredError", "MeanSquaredError", "mean_squared_error"),
        ("mae", "MeanAbsoluteError", "mean_absolute_error"),
        ("bce", "BinaryCrossentropy", "binary_crossentropy"),
        ("categorical_crossentropy", "CategoricalCrossentropy", None),
        ("sparse_categorical_crossentropy", "SparseCategoricalCrossentropy", None),
        ("categorical_focal_crossentropy", "CategoricalFocalCrossentropy", None),
        ("huber", "Huber", None),
        ("poisson", "Poisson", None),
    ],
)
def test_names_stay_as_written(name: str, wanted: str, kind: str | None) -> None:
    metric = metrics.get(name, SPARSE, (None, 10))
    assert type(metric).__name__ == wanted
    assert metric.name == name
    assert metric.kind == (kind or name)


def test_every_loss_is_a_metric_and_is_minimised() -> None:
    for identifier in losses.CLASSES:
        metric, loss = metrics.get(identifier), losses.get(identifier)
        assert (metric.kind, metric.params, metric.direction) == (loss.kind, loss.params, "min")


def test_instances_keep_their_names() -> None:
    metric = metrics.SparseTopKCategoricalAccuracy(k=3, name="top3")
    assert metrics.get(metric) is metric
    assert (metric.name, metric.params, metric.kind) == ("top3", (3.0,), "sparse_top_k")
    assert metrics.SparseTopKCategoricalAccuracy().name == "sparse_top_k_categorical_accuracy"
    assert metrics.TopKCategoricalAccuracy().params == (5.0,)
    assert metrics.BinaryAccuracy(threshold=0.3).params == (0.3,)
    assert metrics.Huber(delta=2).params == (2.0,)


@pytest.mark.parametrize("identifier", sorted(metrics.CLASSES))
def test_round_trip(identifier: str) -> None:
    metric = metrics.get(identifier)
    again = metrics.get(
        {"class_name": type(metric).__name__, "config": metric.get_config()},
    )
    assert type(again) is type(metric)
    assert again.get_config() == metric.get_config()
    assert repr(again) == repr(metric)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: metrics.TopKCategoricalAccuracy(0), ValueError, "k must be .* >= 1, got 0"),
        (lambda: metrics.MeanSquaredError(name=3), TypeError, "name must be a string, got 3"),
        (lambda: metrics.TopKCategoricalAccuracy(2.5), TypeError, "k must be an integer, got 2.5"),
        (lambda: metrics.BinaryAccuracy(threshold="x"), TypeError, "threshold"),
        (lambda: metrics.BinaryAccuracy("name", 0.5), TypeError, "positional"),
        (lambda: metrics.get("f1"), ValueError, "unknown metric 'f1'"),
        (lambda: metrics.get("accuracy"), ValueError, "'accuracy' needs the output's loss"),
        (lambda: metrics.get(losses.Huber()), TypeError, "metric"),
        (lambda: metrics.get(None), TypeError, "None"),
    ],
)
def test_refusals(make: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        make()

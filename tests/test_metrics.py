"""Metrics that are computed at an epoch's end: numbers from Keras, labels, functions, refusals."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from reference.metric_cases import data

from fastnn import callbacks, metrics

REFERENCE = json.loads((Path(__file__).parent / "reference" / "keras_metrics.json").read_text())

# Keras sums at most 400 numbers, and for an area 200 more, in float32: each rounds by 2^-24.
TOLERANCE = 600 * 2.0**-24


def identifier(case: dict[str, Any]) -> str:
    settings = "-".join(f"{key}={value}" for key, value in case["config"].items())
    return f"{case['class_name']}-{settings}-{case['data']}"


@pytest.mark.parametrize("case", REFERENCE["metrics"], ids=identifier)
def test_numbers_are_those_of_keras(case: dict[str, Any]) -> None:
    metric = getattr(metrics, case["class_name"])(**case["config"])
    y_true, y_pred, weights = data(case["data"])
    values = [metric.compute(y_true, y_pred), metric.compute(y_true, y_pred, weights)]
    assert all(type(value) is float for value in values)
    np.testing.assert_allclose(values, case["values"], rtol=TOLERANCE, atol=TOLERANCE)
    again = metrics.get({"class_name": case["class_name"], "config": metric.get_config()})
    assert repr(again) == repr(metric)
    assert again.compute(y_true, y_pred) == values[0]  # type: ignore[attr-defined]


def test_auc_comes_close_to_the_share_of_pairs_in_order() -> None:
    y, pred, _ = data("binary")
    low, high = pred[y == 0], pred[y == 1][:, None]
    pairs = np.mean((high > low) + 0.5 * (high == low))
    exact = metrics.AUC(thresholds=np.unique(pred).tolist()).compute(y, pred)
    assert exact == pytest.approx(pairs, abs=1e-12)
    assert metrics.AUC().compute(y, pred) == pytest.approx(pairs, abs=1e-3)


@pytest.mark.parametrize("shape", [(-1,), (-1, 1)])
@pytest.mark.parametrize("cls", [metrics.Precision, metrics.Recall, metrics.F1Score, metrics.AUC])
def test_labels_become_one_hot(cls: Any, shape: tuple[int, ...]) -> None:
    y, pred, weights = data("classes")
    labels = y.argmax(axis=1).reshape(shape)
    assert cls().compute(labels, pred, weights) == cls().compute(y, pred, weights)
    y, pred, _ = data("binary")
    assert cls().compute(y[:, 0], pred[:, 0]) == cls().compute(y, pred)


def test_f1_score_without_an_average_is_the_mean_of_the_classes() -> None:
    y, pred, weights = data("classes")
    f1 = metrics.F1Score()
    per_class = f1.per_class(y, pred, weights)
    assert per_class.shape == (5,)
    assert f1.compute(y, pred, weights) == per_class.mean()
    assert f1.compute(y, pred, weights) == metrics.F1Score("macro").compute(y, pred, weights)


def test_f1_score_of_one_output_has_a_threshold() -> None:
    y, pred, _ = data("binary")
    assert metrics.F1Score().compute(y, pred) == metrics.F1Score(threshold=0.5).compute(y, pred)


def test_nothing_to_divide_by() -> None:
    zeros, pred = np.zeros((4, 1)), np.full((4, 1), 0.25, np.float32)
    for metric in (metrics.Precision(), metrics.Recall(), metrics.F1Score()):
        assert metric.compute(zeros, pred) == 0
    for metric in (metrics.RootMeanSquaredError(), metrics.CosineSimilarity()):
        assert metric.compute(zeros + 1, pred, np.zeros(4)) == 0
    assert metrics.CosineSimilarity().compute(zeros, pred) == 0
    assert metrics.R2Score().compute(zeros, pred) == 0
    assert np.isnan(metrics.R2Score().compute(zeros, zeros))
    with pytest.warns(UserWarning, match="4 values are too few for num_regressors=3"):
        metrics.R2Score(num_regressors=3).compute(np.arange(4), pred)


# Functions


def mean_error(y_true: Any, y_pred: Any) -> float:
    return float(np.abs(y_true - y_pred).mean())


def share_right(y_true: Any, y_pred: Any, sample_weight: Any = None) -> np.float64:
    """As scikit-learn's functions of classes do, it refuses probabilities."""
    if y_pred.dtype.kind == "f":
        raise ValueError("Classification metrics can't handle continuous targets")
    return np.average(y_true == y_pred, weights=sample_weight)


def test_a_function_is_a_metric() -> None:
    metric = metrics.get(mean_error)
    assert isinstance(metric, metrics.CallableMetric)
    assert (metric.name, metric.direction) == ("mean_error", None)
    # A width of 1 is no axis: (N,) and (N, 1) would broadcast to (N, N).
    assert metric.compute(np.array([1, 2]), np.array([[1.5], [2]])) == 0.25
    assert metric.compute(np.array([[1], [2]]), np.array([[1.5], [2]])) == 0.25
    assert metric.compute(np.zeros((2, 2)), np.ones((2, 2))) == 1
    named = metrics.CallableMetric(functools.partial(mean_error), name="error")
    assert named.name == "error"
    assert metrics.get(functools.partial(mean_error)).name == "mean_error"
    assert metrics.get(lambda y_true, y_pred: 0.0).name == "<lambda>"


def test_a_function_that_refuses_predictions_gets_classes() -> None:
    metric = metrics.CallableMetric(share_right)
    labels, pred = np.array([0, 2, 1]), np.array([[0.6, 0.2, 0.2], [0, 0.3, 0.7], [0.9, 0.1, 0]])
    assert metric.compute(labels, pred) == pytest.approx(2 / 3)
    assert metric.compute(labels, pred, [1, 1, 0]) == 1
    assert metric.compute(np.array([0, 1]), np.array([[0.2], [0.7]])) == 1
    assert metrics.CallableMetric(share_right, classes=True).compute(labels, pred) > 0
    with pytest.raises(ValueError, match="continuous"):
        metrics.CallableMetric(share_right, classes=False).compute(labels, pred)


def test_the_first_refusal_is_the_one_that_is_told() -> None:
    def refuse(y_true: Any, y_pred: Any) -> float:
        raise ValueError(f"refused {y_pred.dtype}")

    with pytest.raises(ValueError, match="refused float64"):
        metrics.CallableMetric(refuse).compute(np.zeros(3), np.zeros((3, 1)))


def test_functions_of_scikit_learn() -> None:
    sklearn = pytest.importorskip("sklearn.metrics")
    y, pred, weights = data("classes")
    labels, classes = y.argmax(axis=1), pred.argmax(axis=1)
    macro = functools.partial(sklearn.f1_score, average="macro")
    for function in (sklearn.accuracy_score, macro, sklearn.cohen_kappa_score):
        metric = metrics.CallableMetric(function)
        assert metric.compute(labels, pred) == function(labels, classes)
        weighted = function(labels, classes, sample_weight=weights)
        assert metric.compute(labels, pred, weights) == weighted
    y, pred, weights = data("binary")
    score = metrics.get(sklearn.roc_auc_score)
    assert score.name == "roc_auc_score"
    assert score.compute(y, pred) == sklearn.roc_auc_score(y[:, 0], pred[:, 0])  # type: ignore[attr-defined]


def test_a_function_cannot_be_saved_and_has_no_direction() -> None:
    metric = metrics.get(mean_error)
    with pytest.raises(ValueError, match="metric 'mean_error' is a Python function"):
        metric.get_config()
    assert "mean_error" in repr(metric)

    class Model:
        metrics = (metric,)

    for mode, monitor in (("auto", "val_mean_error"), ("min", "mean_error")):
        stop = callbacks.EarlyStopping(monitor, mode=mode)
        stop.set_model(Model())
        if mode == "auto":
            with pytest.raises(ValueError, match="mode='max' or mode='min'"):
                stop.on_train_begin()
        else:
            stop.on_train_begin()


# Refusals


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: metrics.Precision(1.5), ValueError, "Precision: thresholds .* got 1.5"),
        (lambda: metrics.Precision([0.5]), TypeError, "Precision: thresholds"),  # type: ignore
        (lambda: metrics.Recall(top_k=0), ValueError, "Recall: top_k"),
        (lambda: metrics.Recall(class_id=-1), ValueError, "Recall: class_id"),
        (lambda: metrics.F1Score("mean"), ValueError, "F1Score: average .* got 'mean'"),
        (lambda: metrics.F1Score(threshold=0), ValueError, "F1Score: threshold"),
        (lambda: metrics.AUC(1), ValueError, "AUC: num_thresholds"),
        (lambda: metrics.AUC(curve="PRC"), ValueError, "AUC: curve"),
        (lambda: metrics.AUC(summation_method="sum"), ValueError, "AUC: summation_method"),
        (lambda: metrics.AUC(thresholds=[0.5, 2]), ValueError, "AUC: thresholds"),
        (lambda: metrics.R2Score("mean"), ValueError, "R2Score: class_aggregation"),
        (lambda: metrics.R2Score(num_regressors=-1), ValueError, "R2Score: num_regressors"),
        (lambda: metrics.CosineSimilarity(axis=0), ValueError, "CosineSimilarity: axis"),
        (lambda: metrics.CallableMetric("f1"), TypeError, "must be a function, got 'f1'"),  # type: ignore
    ],
)
def test_refused_arguments(make: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        make()


PRED = np.full((4, 3), 0.25, np.float32)


@pytest.mark.parametrize(
    ("metric", "y_true", "message"),
    [
        (metrics.Precision(), [0, 1, 3, 2], r"'precision' takes labels within 0..2.* got 3"),
        (metrics.AUC(), [0, -1, 1, 2], r"'auc' takes labels .* got -1"),
        (metrics.F1Score(), [0, 0.5, 1, 2], r"'f1_score' takes labels .* got 0.5"),
        (metrics.Recall(), np.zeros((4, 2)), r"y_true of shape \(4, 2\).* \(4, 3\)"),
        (metrics.Recall(), [0, 1], r"y_true of shape \(2,\)"),
        (metrics.Precision(top_k=4), [0, 1, 1, 2], "top_k=4, the output only 3"),
        (metrics.Precision(class_id=3), [0, 1, 1, 2], "class_id=3, the output only 3"),
        (metrics.R2Score(), [0, 1, 2, 2], r"'r2_score' takes targets of the output's shape"),
        (metrics.CosineSimilarity(), [0, 1, 2, 2], "'cosine_similarity' takes targets"),
        (metrics.RootMeanSquaredError(), np.zeros((4, 1)), "'root_mean_squared_error' takes"),
    ],
)
def test_refused_data(metric: metrics.EpochMetric, y_true: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        metric.compute(y_true, PRED)


def test_refused_weights_and_results() -> None:
    with pytest.raises(ValueError, match=r"sample_weight must have shape \(4,\), got \(3,\)"):
        metrics.Recall().compute([0, 1, 1, 2], PRED, np.ones(3))
    with pytest.raises(TypeError, match=r"'mean_error' is among weighted_metrics"):
        metrics.CallableMetric(mean_error).compute(PRED, PRED, np.ones(4))
    with pytest.raises(TypeError, match=r"must give a number, got 'high' of type str"):
        metrics.CallableMetric(lambda y_true, y_pred: "high").compute(PRED, PRED)  # type: ignore

"""scikit-learn's conventions: all of check_estimator, and the tools that estimators go into."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

pytest.importorskip("sklearn")

import joblib
from sklearn import config_context
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import make_column_transformer
from sklearn.datasets import load_breast_cancer, load_diabetes
from sklearn.inspection import permutation_importance
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn_checks import every_check

from fastnn.optimizers import Adam
from fastnn.sklearn import MLPClassifier, MLPRegressor

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

STOCHASTIC = "as for scikit-learn's own: weights and repeated rows make other batches"

X, Y = load_breast_cancer(return_X_y=True)


def expected_failures(estimator: Any) -> dict[str, str]:
    return {
        "check_sample_weight_equivalence_on_dense_data": STOCHASTIC,
        "check_sample_weight_equivalence_on_sparse_data": STOCHASTIC,
    }


@every_check(
    [MLPClassifier(max_iter=100), MLPRegressor(max_iter=100)],
    expected_failures,
)
def test_check_estimator(estimator: Any, check: Callable[[Any], None]) -> None:
    check(estimator)


def scaled(**arguments: Any) -> Any:
    return make_pipeline(StandardScaler(), MLPClassifier(random_state=0, **arguments))


def test_cross_val_score_of_a_pipeline() -> None:
    scores = cross_val_score(scaled(max_iter=40), X, Y, cv=3)
    assert scores.shape == (3,)
    assert scores.mean() > 0.95


def test_grid_search_in_two_processes() -> None:
    grid = {
        "mlpclassifier__alpha": np.logspace(-5, 0, 2),
        "mlpclassifier__hidden_layer_sizes": [(10,), (10, 5)],
        "mlpclassifier__early_stopping": np.array([True, False]),
        "mlpclassifier__max_iter": np.array([15]),
    }
    alone = GridSearchCV(scaled(), grid, cv=2).fit(X, Y)
    search = GridSearchCV(scaled(), grid, cv=2, n_jobs=2).fit(X, Y)
    assert len(search.cv_results_["params"]) == 8
    assert not np.isnan(search.cv_results_["mean_test_score"]).any()
    # in whatever process, the same bits
    np.testing.assert_array_equal(
        search.cv_results_["mean_test_score"], alone.cv_results_["mean_test_score"]
    )
    np.testing.assert_array_equal(search.predict_proba(X), alone.predict_proba(X))


def weights_of(estimator: Any, x: Any, y: Any) -> Any:
    return estimator.fit(x, y).coefs_[0]


@pytest.mark.parametrize("backend", ["loky", "threading", "multiprocessing"])
def test_joblib(backend: str) -> None:
    own = MLPClassifier(10, max_iter=5, random_state=0)
    wanted = weights_of(clone(own), X, Y)
    found = joblib.Parallel(n_jobs=2, backend=backend)(
        joblib.delayed(weights_of)(clone(own), X, Y) for _ in range(3)
    )
    for weights in found:
        np.testing.assert_array_equal(weights, wanted)


@pytest.mark.parametrize("method", ["sigmoid", "isotonic"])
def test_calibration(method: str) -> None:
    calibrated = CalibratedClassifierCV(scaled(max_iter=30), method=method, cv=3).fit(X, Y)
    assert calibrated.score(X, Y) > 0.95
    np.testing.assert_allclose(calibrated.predict_proba(X).sum(axis=1), 1)


def test_permutation_importance() -> None:
    x, y = load_diabetes(return_X_y=True)
    model = make_pipeline(
        StandardScaler(), MLPRegressor(solver="lbfgs", alpha=10.0, max_iter=50, random_state=0)
    ).fit(x, y)
    found = permutation_importance(model, x, y, n_repeats=3, random_state=0, n_jobs=2)
    assert found.importances_mean.shape == (10,)
    assert found.importances_mean[2] > 0.1  # the body mass index


def test_tables_of_text_and_numbers_with_set_output() -> None:
    pandas = pytest.importorskip("pandas")
    table = pandas.DataFrame({"size": X[:, 0], "shape": np.where(X[:, 1] > 20, "odd", "round")})
    columns = make_column_transformer(
        (OneHotEncoder(sparse_output=False), ["shape"]), (StandardScaler(), ["size"])
    )
    model = make_pipeline(columns, MLPClassifier(max_iter=60, random_state=0))
    model.set_output(transform="pandas").fit(table, np.where(Y, "benign", "malignant"))
    mlp = model[-1]
    assert list(mlp.feature_names_in_)[-1] == "standardscaler__size"
    assert set(model.predict(table)) == {"benign", "malignant"}


def test_metadata_routing() -> None:
    weight = np.where(Y == 1, 1.0, 20.0)
    with config_context(enable_metadata_routing=True):
        own = MLPClassifier(10, max_iter=20, random_state=0)
        own.set_fit_request(sample_weight=True).set_score_request(sample_weight=True)
        assert own.get_metadata_routing().partial_fit.requests["sample_weight"] is None
        x = StandardScaler().fit_transform(X)
        routed = GridSearchCV(own, {"alpha": [1e-4]}, cv=2).fit(x, Y, sample_weight=weight)
    by_hand = MLPClassifier(10, max_iter=20, random_state=0).fit(x, Y, weight)
    np.testing.assert_array_equal(routed.best_estimator_.coefs_[0], by_hand.coefs_[0])


def test_clone_takes_arguments_and_nothing_learned() -> None:
    own = MLPClassifier(10, solver=Adam(0.01), dropout=(0.1,), max_iter=1, activation=["gelu"])
    fresh = clone(own.fit(X, Y))
    assert not hasattr(fresh, "coefs_")
    assert fresh.solver.learning_rate == 0.01
    assert {k: v for k, v in fresh.get_params().items() if k != "solver"} == {
        k: v for k, v in own.get_params().items() if k != "solver"
    }


def test_tags() -> None:
    for estimator in (MLPClassifier(), MLPRegressor()):
        assert estimator.__sklearn_tags__().input_tags.sparse
    assert MLPClassifier().__sklearn_tags__().classifier_tags.multi_label
    assert not hasattr(MLPRegressor(solver="lbfgs"), "partial_fit")
    assert hasattr(MLPRegressor(), "partial_fit")

"""Estimators around any model: SKLearnClassifier, SKLearnRegressor, SKLearnTransformer."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

pytest.importorskip("sklearn")

from scipy import sparse
from sklearn.base import clone
from sklearn.datasets import load_digits, make_regression
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn_checks import every_check

import fastnn as fnn
from fastnn import layers
from fastnn.sklearn import SKLearnClassifier, SKLearnRegressor, SKLearnTransformer

X, Y = load_digits(return_X_y=True)
X = X / 16
NAMES = np.array([f"digit {i}" for i in range(10)])
X_REG, Y_REG = make_regression(200, 6, n_targets=2, random_state=0)
Y_REG /= 100


def classifier(X: Any, y: Any, units: int = 32, loss: str = "categorical_crossentropy") -> Any:
    model = fnn.Sequential(
        [
            layers.Input(X.shape[1:]),
            layers.Flatten(),
            layers.Dense(units, "relu"),
            layers.Dense(y.shape[1], "softmax"),
        ]
    )
    model.compile(fnn.optimizers.Adam(0.01), loss)
    return model


def table_classifier(X: Any, y: Any, units: int = 32) -> Any:
    model = fnn.Sequential([layers.Dense(units, "relu"), layers.Dense(y.shape[1], "softmax")])
    model.compile(fnn.optimizers.Adam(0.01), "categorical_crossentropy")
    return model


def regressor(X: Any, y: Any, units: int = 32) -> Any:
    model = fnn.Sequential([layers.Dense(units, "relu"), layers.Dense(y.shape[1])])
    model.compile(fnn.optimizers.Adam(0.01), "mean_squared_error")
    return model


def coder(X: Any, y: Any, units: int = 3) -> Any:
    model = fnn.Sequential(
        [layers.Dense(units, "tanh"), layers.Dense(y.reshape(len(y), -1).shape[1])]
    )
    model.compile("adam", "mean_squared_error")
    return model


STOCHASTIC = "weights and repeated rows make other batches"


@every_check(
    [
        SKLearnClassifier(table_classifier, fit_kwargs={"epochs": 50}, random_state=0),
        SKLearnRegressor(regressor, fit_kwargs={"epochs": 50}, random_state=0),
        SKLearnTransformer(coder, fit_kwargs={"epochs": 2}, random_state=0),
    ],
    lambda estimator: {
        "check_sample_weight_equivalence_on_dense_data": STOCHASTIC,
        "check_sample_weight_equivalence_on_sparse_data": STOCHASTIC,
    },
)
def test_check_estimator(estimator: Any, check: Callable[[Any], None]) -> None:
    check(estimator)


@pytest.mark.parametrize("loss", ["categorical_crossentropy", "sparse_categorical_crossentropy"])
def test_classifier(loss: str) -> None:
    own = SKLearnClassifier(classifier, False, {"loss": loss}, {"epochs": 10}, random_state=0)
    own.fit(X, NAMES[Y])
    assert own.score(X, NAMES[Y]) > 0.95
    assert list(own.classes_) == list(NAMES)
    probabilities = own.predict_proba(X)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-15)
    np.testing.assert_array_equal(NAMES[probabilities.argmax(axis=1)], own.predict(X))
    assert len(own.history_.history["loss"]) == 10
    other = pickle.loads(pickle.dumps(own))
    np.testing.assert_array_equal(other.predict_proba(X), probabilities)


def test_a_single_output_for_two_classes() -> None:
    def make(X: Any, y: Any) -> Any:
        model = fnn.Sequential([layers.Dense(1, "sigmoid")])
        model.compile(fnn.optimizers.Adam(0.1), "binary_crossentropy")
        return model

    y = np.where(Y < 5, "low", "top")
    own = SKLearnClassifier(make, fit_kwargs={"epochs": 30}, random_state=0).fit(X, y)
    assert own.score(X, y) > 0.8
    assert own.predict_proba(X).shape == (len(X), 2)
    np.testing.assert_array_equal(own.predict(X) == "top", own.predict_proba(X)[:, 1] > 0.5)


def test_pictures_and_sparse_rows() -> None:
    pictures = SKLearnClassifier(classifier, fit_kwargs={"epochs": 5}, random_state=0)
    assert pictures.fit(X.reshape(-1, 8, 8), Y).score(X.reshape(-1, 8, 8), Y) > 0.9
    rows = SKLearnClassifier(table_classifier, fit_kwargs={"epochs": 5}, random_state=0)
    assert rows.fit(sparse.csr_array(X), Y).score(sparse.csr_array(X), Y) > 0.9


def test_a_compiled_model_is_made_anew() -> None:
    model = classifier(X, np.eye(10)[Y])
    before = model.get_weights()
    own = SKLearnClassifier(model, fit_kwargs={"epochs": 2}).fit(X, Y)
    assert own.model_ is not model
    for a, b in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert own.model_.optimizer.learning_rate == 0.01
    # Keras's meaning: the model itself.
    warm = SKLearnClassifier(model, warm_start=True, fit_kwargs={"epochs": 2}).fit(X, Y)
    assert warm.model_ is model
    steps = model.optimizer.iterations
    warm.fit(X, Y)
    assert warm.model_ is model and model.optimizer.iterations == 2 * steps


def test_grid_search_reaches_into_the_dicts() -> None:
    own = SKLearnClassifier(classifier, fit_kwargs={"epochs": 1}, random_state=0)
    search = GridSearchCV(
        own, {"model_kwargs__units": [2, 40], "fit_kwargs__epochs": [8]}, cv=2
    ).fit(X, Y)
    assert search.best_params_ == {"fit_kwargs__epochs": 8, "model_kwargs__units": 40}
    assert search.best_estimator_.model_kwargs == {"units": 40}
    assert own.fit_kwargs == {"epochs": 1} and own.model_kwargs is None
    fresh = clone(search.best_estimator_)
    assert fresh.get_params()["model_kwargs__units"] == 40
    with pytest.raises(ValueError, match="Invalid parameter 'epochs'"):
        own.set_params(epochs=3)


def test_regressor() -> None:
    own = SKLearnRegressor(regressor, fit_kwargs={"epochs": 100}, random_state=0)
    assert cross_val_score(own, X_REG, Y_REG, cv=2).min() > 0.8
    assert own.fit(X_REG, Y_REG[:, 0]).predict(X_REG).shape == (200,)
    assert own.fit(X_REG, Y_REG[:, :1]).predict(X_REG).shape == (200, 1)


def test_sample_weight_and_arguments_of_fit() -> None:
    weight = np.zeros(200)
    weight[:100] = 1.0
    y = Y_REG.copy()
    y[100:] = 1e3
    own = SKLearnRegressor(regressor, random_state=0).fit(X_REG, y, weight, epochs=80)
    assert np.abs(own.predict(X_REG)).max() < 100
    assert len(own.history_.history["loss"]) == 80


def test_random_state() -> None:
    fnn.utils.set_random_seed(3)
    fits = [SKLearnRegressor(regressor, random_state=1).fit(X_REG, Y_REG) for _ in range(2)]
    np.testing.assert_array_equal(fits[0].predict(X_REG), fits[1].predict(X_REG))
    other = SKLearnRegressor(regressor, random_state=2).fit(X_REG, Y_REG)
    assert not np.array_equal(fits[0].predict(X_REG), other.predict(X_REG))
    # the program's own numbers go on as if nothing had been drawn
    drawn = fnn.utils.generator("test").random()
    fnn.utils.set_random_seed(3)
    assert fnn.utils.generator("test").random() == drawn


# older versions of scikit-learn, with a newer SciPy
@pytest.mark.filterwarnings("ignore:scipy.optimize:DeprecationWarning")
def test_transformer() -> None:
    pandas = pytest.importorskip("pandas")
    own = SKLearnTransformer(coder, fit_kwargs={"epochs": 2}).set_output(transform="pandas")
    found = own.fit_transform(pandas.DataFrame(X))
    assert list(found.columns) == [f"sklearntransformer{i}" for i in range(64)]
    np.testing.assert_array_equal(found.to_numpy(), own.model_.predict(X))
    model = make_pipeline(
        SKLearnTransformer(coder, random_state=0), LogisticRegression(max_iter=200)
    )
    assert model.fit(X, Y).score(X, Y) > 0.1


def test_what_is_no_compiled_model_is_refused() -> None:
    bare = fnn.Sequential([layers.Dense(10, "softmax")])
    for model in (bare, lambda X, y: bare, lambda X, y: None):
        with pytest.raises(ValueError, match="compile"):
            SKLearnClassifier(model).fit(X, Y)
    with pytest.raises(TypeError, match="SKLearnRegressor: model must be a model, or a function"):
        SKLearnRegressor("dense").fit(X_REG, Y_REG)


def test_a_transformed_target() -> None:
    from sklearn.compose import TransformedTargetRegressor

    from fastnn.sklearn import MLPRegressor

    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, 3))
    y = np.exp(x.sum(axis=1))
    net = MLPRegressor(
        hidden_layer_sizes=(32,), random_state=0, max_iter=300, learning_rate_init=0.01
    )
    wrapped = TransformedTargetRegressor(net, func=np.log, inverse_func=np.exp).fit(x, y)
    assert np.corrcoef(np.log(wrapped.predict(x)), np.log(y))[0, 1] > 0.99

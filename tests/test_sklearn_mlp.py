"""fastnn's perceptrons beside scikit-learn's."""

from __future__ import annotations

import inspect
import io
import pickle
import subprocess
import sys
import warnings
from typing import Any

import numpy as np
import pytest

pytest.importorskip("sklearn")

from beside_sklearn import X, Y, theirs
from scipy import sparse
from sklearn import neural_network
from sklearn.datasets import make_multilabel_classification, make_regression
from sklearn.exceptions import ConvergenceWarning

from fastnn import callbacks
from fastnn.sklearn import MLPClassifier, MLPRegressor
from fastnn.sklearn.poisson import half_deviance

pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    # older versions of scikit-learn, with a newer SciPy
    pytest.mark.filterwarnings("ignore:scipy.optimize:DeprecationWarning"),
]

BINARY = Y % 2
X_REG, Y_REG = make_regression(300, 8, n_targets=2, noise=5.0, random_state=3)
Y_REG /= 100
LABELS = make_multilabel_classification(200, 12, n_classes=4, random_state=2)

PROBLEMS: dict[str, tuple[type, Any, Any]] = {
    "multiclass": (MLPClassifier, X, Y),
    "binary": (MLPClassifier, X, BINARY),
    "multilabel": (MLPClassifier, *LABELS),
    "number": (MLPRegressor, X_REG, Y_REG[:, 0]),
    "numbers": (MLPRegressor, X_REG, Y_REG),
}
SETTINGS: dict[str, dict[str, Any]] = {
    "default": {},
    "sgd": {"solver": "sgd", "learning_rate_init": 0.01},
    "plain momentum": {"solver": "sgd", "nesterovs_momentum": False, "momentum": 0.5},
    "invscaling": {"solver": "sgd", "learning_rate": "invscaling", "learning_rate_init": 0.1},
    "adaptive": {"solver": "sgd", "learning_rate": "adaptive", "tol": 0.5, "n_iter_no_change": 2},
    "in order": {"shuffle": False, "batch_size": 50},
    "deep": {"hidden_layer_sizes": (20, 10), "activation": "tanh", "alpha": 0.1},
    "logistic": {"activation": "logistic", "beta_1": 0.8, "beta_2": 0.9, "epsilon": 1e-3},
    "identity": {"activation": "identity", "early_stopping": True, "validation_fraction": 0.5},
    "lbfgs": {"solver": "lbfgs", "alpha": 0.1},
}


@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize("problem", PROBLEMS)
def test_trains_as_scikit_learn_does(problem: str, settings: str) -> None:
    """Same seed, same weights, same batches: losses differ by what float32's rounding (6e-8) grows
    to in some dozens of steps. Rows are a multiple of the batch, see MLPClassifier."""
    kind, x, y = PROBLEMS[problem]
    arguments = {"hidden_layer_sizes": 16, "batch_size": 50, "max_iter": 8, "random_state": 5}
    own = kind(**{**arguments, **SETTINGS[settings]}).fit(x, y)
    other = theirs(own).fit(x, y)
    # scikit-learn's lbfgs minimizes a loss of several numbers whose gradient is another's.
    if (problem, settings) != ("numbers", "lbfgs"):
        np.testing.assert_allclose(own.loss_, other.loss_, rtol=2e-4)
        for a, b in zip(own.coefs_, other.coefs_, strict=True):
            np.testing.assert_allclose(a, b, atol=2e-3 * np.abs(b).max())
    assert own.n_iter_ == other.n_iter_ or settings == "lbfgs"
    assert own.t_ == other.t_
    for name in ("n_layers_", "n_outputs_", "out_activation_", "n_features_in_"):
        assert getattr(own, name) == getattr(other, name)
    if settings == "lbfgs":
        return
    np.testing.assert_allclose(own.loss_curve_, other.loss_curve_, rtol=2e-4)
    if own.early_stopping:
        np.testing.assert_allclose(own.validation_scores_, other.validation_scores_, atol=1e-4)
        np.testing.assert_allclose(own.best_validation_score_, other.best_validation_score_, 1e-4)
    else:
        np.testing.assert_allclose(own.best_loss_, other.best_loss_, rtol=2e-4)
        assert own.validation_scores_ is own.best_validation_score_ is None


@pytest.mark.parametrize("problem", PROBLEMS)
def test_begins_with_the_weights_of_scikit_learn(problem: str) -> None:
    kind, x, y = PROBLEMS[problem]
    own = kind(learning_rate_init=1e-30, max_iter=1, random_state=7, activation="logistic")
    own.fit(x, y)
    other = theirs(own).fit(x, y)
    for a, b in zip(own.coefs_ + own.intercepts_, other.coefs_ + other.intercepts_, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-7)


def test_the_gradient_of_lbfgs_is_that_of_its_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    """Against finite differences of a float64 twin, for each kind of output."""
    from fastnn.sklearn import lbfgs

    for problem, (kind, x, y) in PROBLEMS.items():
        seen: list[Any] = []

        def stop(function: Any, start: Any, seen: Any = seen, **_: Any) -> Any:
            seen += [start, *function(start)]
            return type("Found", (), {"x": start, "status": 0, "nit": 1})

        monkeypatch.setattr(lbfgs.optimize, "minimize", stop)
        own = kind(
            hidden_layer_sizes=4, solver="lbfgs", activation="tanh", alpha=0.3, random_state=1
        ).fit(x, y)
        start, loss, gradient = seen
        shapes = [w.shape for w in own.model_.trainable_weights]
        one_hot = np.eye(10)[y] if problem == "multiclass" else np.reshape(y, (len(x), -1))

        def twin(point: Any, x: Any = x, y: Any = one_hot, shapes: Any = shapes) -> float:
            parts = np.split(point, np.cumsum([np.prod(shape) for shape in shapes])[:-1])
            k1, b1, k2, b2 = (part.reshape(s) for part, s in zip(parts, shapes, strict=True))
            z = np.tanh(x @ k1 + b1) @ k2 + b2
            if problem in ("number", "numbers"):  # noqa: B023
                data = 0.5 * ((z - y) ** 2).sum(axis=1)
            elif problem == "multiclass":  # noqa: B023
                data = np.log(np.exp(z).sum(axis=1)) - (z * y).sum(axis=1)
            else:
                data = (np.logaddexp(0, z) - z * y).sum(axis=1)
            return float(data.mean() + 0.15 * ((k1**2).sum() + (k2**2).sum()) / len(x))

        np.testing.assert_allclose(loss, twin(start), rtol=1e-6)
        random = np.random.default_rng(0)
        for _ in range(8):
            step = 1e-5 * random.standard_normal(start.size)
            slope = (twin(start + step) - twin(start - step)) / 2
            np.testing.assert_allclose(gradient @ step, slope, atol=1e-9, err_msg=problem)


def test_poisson() -> None:
    own = MLPRegressor("poisson", (8,), batch_size=50, max_iter=5, random_state=0)
    if "loss" not in inspect.signature(neural_network.MLPRegressor).parameters:
        pytest.skip("this scikit-learn has no Poisson loss")
    y = np.random.default_rng(0).poisson(2.0, 300)
    own.fit(X_REG / 3, y)
    other = theirs(own).fit(X_REG / 3, y)
    np.testing.assert_allclose(own.loss_curve_, other.loss_curve_, rtol=1e-5)
    np.testing.assert_allclose(own.predict(X_REG), other.predict(X_REG), rtol=1e-3)
    assert own.out_activation_ == "exp"
    with pytest.raises(ValueError, match=r"y must be at least 0 for loss='poisson', got -1"):
        own.fit(X_REG, y - 1)


def test_half_deviance() -> None:
    y, z = np.array([[0.0, 2.0]]), np.array([[0.1, -0.3]])
    loss, gradient = half_deviance(y, z)
    assert loss == pytest.approx([np.exp(0.1) + 2 * np.log(2) + 0.6 - 2 + np.exp(-0.3)])
    for column in range(2):
        step = np.eye(2)[[column]] * 1e-6
        slope = (half_deviance(y, z + step)[0] - half_deviance(y, z - step)[0]) / 2e-6
        assert gradient[0, column] == pytest.approx(slope[0], abs=1e-8)


# Weights of rows


@pytest.mark.parametrize("solver", ["sgd", "lbfgs"])
@pytest.mark.parametrize("problem", PROBLEMS)
def test_weights_are_repeated_rows(problem: str, solver: str) -> None:
    """In one batch of all rows."""
    kind, x, y = PROBLEMS[problem]
    x, y = x[:90], y[:90]
    times = np.arange(90) % 4
    arguments = dict(solver=solver, batch_size=1000, max_iter=5, alpha=2.0, random_state=0)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "batch_size")
        if kind is MLPClassifier and problem != "multilabel":
            times[np.unique(y, return_index=True)[1]] = 1
        weighted = kind(hidden_layer_sizes=8, **arguments).fit(x, y, sample_weight=times)
        repeated = kind(hidden_layer_sizes=8, **arguments).fit(
            np.repeat(x, times, 0), np.repeat(y, times, 0)
        )
    for a, b in zip(weighted.coefs_, repeated.coefs_, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)
    np.testing.assert_allclose(weighted.loss_, repeated.loss_, rtol=1e-5)


def test_class_weight() -> None:
    arguments: dict[str, Any] = dict(hidden_layer_sizes=8, max_iter=3, random_state=0)
    y = np.array(["even", "odd", "rare"])[np.where(np.arange(600) % 20, BINARY, 2)]
    by_hand = {label: 200 / np.sum(y == label) for label in ("even", "odd", "rare")}
    weights = np.array([by_hand[label] for label in y])
    fits = [
        MLPClassifier(**arguments).fit(X, y, sample_weight=weights),
        MLPClassifier(**arguments, class_weight="balanced").fit(X, y),
        MLPClassifier(**arguments, class_weight=by_hand).fit(X, y),
        MLPClassifier(**arguments, class_weight=by_hand).fit(X, y, np.ones(600)),
    ]
    for other in fits[1:]:
        np.testing.assert_allclose(other.coefs_[0], fits[0].coefs_[0], rtol=1e-5, atol=1e-7)
    assert not np.allclose(MLPClassifier(**arguments).fit(X, y).coefs_[0], fits[0].coefs_[0])
    with pytest.raises(ValueError, match=r"class_weight names class 'off'; classes are \['even'"):
        MLPClassifier(class_weight={"off": 2}).fit(X, y)
    with pytest.raises(ValueError, match="class_weight can't be combined with indicators"):
        MLPClassifier(class_weight="balanced").fit(*LABELS)


def test_weights_of_zero_are_refused() -> None:
    with pytest.raises(ValueError, match=r"zero"):
        MLPClassifier().fit(X, Y, np.zeros(600))


# Data as people have them


@pytest.mark.parametrize("form", [sparse.csr_matrix, sparse.csr_array, sparse.csc_matrix])
def test_sparse_rows_train_as_dense_ones(form: Any) -> None:
    x = np.where(X > 0.8, X, 0.0)
    a = MLPClassifier(10, max_iter=3, random_state=0).fit(x, Y)
    b = MLPClassifier(10, max_iter=3, random_state=0).fit(form(x), Y)
    np.testing.assert_array_equal(a.coefs_[0], b.coefs_[0])
    np.testing.assert_array_equal(a.predict_proba(x), b.predict_proba(form(x)))


@pytest.mark.parametrize("dtype", ["float64", "float32", "uint8", "int64", "bool"])
def test_dtypes(dtype: str) -> None:
    x = np.asarray(X * 16).astype(dtype)
    own = MLPClassifier(10, max_iter=2, random_state=0).fit(x, Y)
    wanted = np.float32 if dtype == "float32" else np.float64
    assert {w.dtype for w in own.coefs_ + own.intercepts_} == {np.dtype(wanted)}
    assert own.predict_proba(x).dtype == wanted
    assert MLPRegressor(max_iter=2).fit(x, Y).predict(x).dtype == wanted
    same = MLPClassifier(10, max_iter=2, random_state=0).fit(x.astype("float64"), Y)
    np.testing.assert_array_equal(own.coefs_[0], same.coefs_[0])


def test_probabilities_sum_to_one_in_float64() -> None:
    own = MLPClassifier(10, max_iter=3).fit(X, Y)
    np.testing.assert_allclose(own.predict_proba(X).sum(axis=1), 1, rtol=1e-15)
    np.testing.assert_array_equal(own.predict_log_proba(X), np.log(own.predict_proba(X)))


@pytest.mark.parametrize(
    "labels", [["no", "yes"], [-1, 1], [2.0, 5.0], [False, True], ["a", "b", "c"], ["only"]]
)
def test_labels_come_back_as_they_are(labels: list[Any]) -> None:
    y = np.array(labels, object if isinstance(labels[0], str) else None)[Y % len(labels)]
    own = MLPClassifier(
        learning_rate_init=0.02, max_iter=30, early_stopping=True, random_state=0
    ).fit(X, y)
    assert list(own.classes_) == sorted(labels)
    assert own.predict(X).dtype == own.classes_.dtype
    assert own.score(X, y) > 0.9
    assert own.predict_proba(X).shape == (600, max(2, len(labels)))


def test_pandas() -> None:
    pandas = pytest.importorskip("pandas")
    table = pandas.DataFrame(X_REG, columns=[f"column {i}" for i in range(8)])
    own = MLPRegressor(max_iter=2).fit(table, pandas.DataFrame(Y_REG))
    assert list(own.feature_names_in_) == list(table.columns)
    assert own.predict(table).shape == (300, 2)
    with pytest.raises(ValueError, match="feature names"):
        own.predict(table.rename(columns={"column 0": "other"}))


# Fitted attributes


def test_coefs_can_be_set_and_not_written_to() -> None:
    own = MLPClassifier(10, max_iter=2, random_state=0).fit(X, Y)
    with pytest.raises(ValueError, match="read-only"):
        own.coefs_[0][0, 0] = 1.0
    other = MLPClassifier(10, max_iter=4, random_state=3).fit(X, Y)
    wanted = other.predict_proba(X)
    own.coefs_ = other.coefs_
    own.intercepts_[0], own.intercepts_[1] = other.intercepts_
    np.testing.assert_array_equal(own.predict_proba(X), wanted)
    own.coefs_ = [np.zeros_like(array) for array in own.coefs_]
    own.intercepts_ = [np.zeros_like(array) for array in own.intercepts_]
    np.testing.assert_allclose(own.predict_proba(X), 0.1, rtol=1e-6)
    own.coefs_ = own.coefs_[:1]
    with pytest.raises(ValueError, match="must have 2 arrays each, got 1 and 2"):
        own.predict(X)


def by_pickle(estimator: Any) -> Any:
    return pickle.loads(pickle.dumps(estimator))


def by_joblib(estimator: Any) -> Any:
    import joblib

    file = io.BytesIO()
    joblib.dump(estimator, file)
    file.seek(0)
    return joblib.load(file)


@pytest.mark.parametrize("through", [by_pickle, by_joblib])
def test_training_goes_on_after_pickling(through: Any) -> None:
    """Adam's moments and the count of steps are kept, to the last bit."""
    arguments: dict[str, Any] = dict(hidden_layer_sizes=10, random_state=0, batch_norm=True)
    own = MLPClassifier(**arguments)
    for _ in range(3):
        own.partial_fit(X, Y, classes=range(10))
    other = through(own)
    with pytest.raises(ValueError, match="read-only"):
        other.coefs_[0][0, 0] = 1.0
    np.testing.assert_array_equal(other.predict_proba(X), own.predict_proba(X))
    own.partial_fit(X, Y)
    other.partial_fit(X, Y)
    np.testing.assert_array_equal(other.coefs_[0], own.coefs_[0])
    assert other.loss_curve_ == own.loss_curve_
    assert other.t_ == 2400


def test_partial_fit_is_fit_bit_by_bit() -> None:
    one = MLPClassifier(10, max_iter=3, random_state=0, shuffle=False).fit(X, Y)
    other = MLPClassifier(10, random_state=0, shuffle=False)
    for _ in range(3):
        other.partial_fit(X, Y, classes=np.arange(10))
    np.testing.assert_array_equal(one.coefs_[0], other.coefs_[0])
    assert one.loss_curve_ == other.loss_curve_


def test_same_seed_same_bits() -> None:
    arguments: dict[str, Any] = dict(max_iter=3, random_state=1, dropout=0.3)
    a, b = (MLPClassifier(**arguments).fit(X, Y) for _ in range(2))
    np.testing.assert_array_equal(a.coefs_[0], b.coefs_[0])


# What goes wrong


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_too_few_epochs_warn(solver: str) -> None:
    with pytest.warns(ConvergenceWarning, match=r"Maximum iterations \(2\)|lbfgs failed"):
        MLPClassifier(solver=solver, max_iter=2).fit(X, Y)


def test_a_diverging_training_says_so() -> None:
    own = MLPRegressor(solver="sgd", learning_rate_init=1e6, max_iter=50, random_state=0)
    with pytest.raises(ValueError, match=r"non-finite parameter weights.*layer '\w+'"):
        own.fit(X_REG, Y_REG)
    with pytest.raises(ValueError, match=r"non-finite parameter weights.*float32's range"):
        MLPRegressor(solver="lbfgs").fit(X_REG * 1e200, Y_REG)
    early = MLPRegressor(solver="sgd", learning_rate_init=5.0, early_stopping=True, random_state=0)
    with pytest.warns(ConvergenceWarning, match="Training diverged: layer"):
        early.fit(X_REG, Y_REG)
    assert np.isnan(early.loss_curve_[-1]) and len(early.loss_curve_) == early.n_iter_
    assert np.isfinite(early.predict(X_REG)).all()


def test_ctrl_c_keeps_what_was_learned() -> None:
    class Interrupt(callbacks.Callback):
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            if epoch == 2:
                raise KeyboardInterrupt

    own = MLPClassifier(10, max_iter=50, random_state=0, callbacks=[Interrupt()])
    with pytest.warns(UserWarning, match="interrupted by user"):
        own.fit(X, Y)
    assert own.n_iter_ == len(own.loss_curve_) == 3
    wanted = MLPClassifier(10, max_iter=3, random_state=0).fit(X, Y)
    np.testing.assert_array_equal(own.coefs_[0], wanted.coefs_[0])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"hidden_layer_sizes": (3, 0)}, "hidden_layer_sizes must be > 0"),
        ({"hidden_layer_sizes": 2.5}, "hidden_layer_sizes must be an integer"),
        ({"activation": "reluu"}, "activation: .*'reluu'"),
        ({"activation": ["relu", "tanh"]}, "activation must be one for all .* list of 1"),
        ({"solver": "newton"}, "solver must be 'lbfgs', an Optimizer .* got 'newton'"),
        ({"alpha": -1}, "alpha must be a finite number >= 0, got -1"),
        ({"batch_size": 0}, "batch_size must be an integer >= 1"),
        ({"batch_size": "all"}, "batch_size must be an integer"),
        ({"learning_rate": "fast"}, "learning_rate must be one of constant, invscaling, adaptive"),
        ({"learning_rate_init": 0}, "learning_rate_init must be a finite number > 0"),
        ({"max_iter": 1.5}, "max_iter must be an integer"),
        ({"momentum": 1.1}, "momentum must be a finite number >= 0 and <= 1"),
        ({"validation_fraction": 1.0}, "validation_fraction must be .* < 1"),
        ({"n_iter_no_change": 0}, "n_iter_no_change must be an integer >= 1"),
        ({"shuffle": "yes"}, "shuffle must be True or False"),
        ({"dropout": 1.0}, "dropout must be a finite number >= 0 and < 1"),
        ({"global_clipnorm": 0}, "global_clipnorm must be a finite number > 0"),
        ({"callbacks": ["stop"]}, "callbacks must be a list of Callback"),
        ({"solver": "lbfgs", "dropout": 0.1}, "solver='lbfgs' can't be combined with dropout"),
        ({"class_weight": "even"}, "class_weight must be one of balanced"),
        ({"class_weight": [1, 2]}, "class_weight must be None, 'balanced' or a dict"),
    ],
)
def test_bad_arguments_are_named(arguments: dict[str, Any], message: str) -> None:
    own = MLPClassifier(**arguments)
    with pytest.raises((TypeError, ValueError), match=f"MLPClassifier: {message}"):
        own.fit(X, Y)
    assert not hasattr(own, "coefs_")


def test_bad_targets_are_named() -> None:
    with pytest.raises(ValueError, match="several classes in each of 2 columns"):
        MLPClassifier().fit(X, np.stack([Y, Y], axis=1))
    with pytest.raises(ValueError, match=r"classes not in `self\.classes_`"):
        MLPClassifier().partial_fit(X, Y, classes=[0, 1])
    own = MLPRegressor(max_iter=1).fit(X_REG, Y_REG)
    with pytest.raises(ValueError, match="y must have 2 columns, got 1"):
        own.partial_fit(X_REG, Y_REG[:, 0])


@pytest.mark.parametrize(
    ("found", "message"),
    [
        (None, "fastnn.sklearn needs scikit-learn: pip install 'fastnn[sklearn]'"),
        ("1.5.2", "fastnn.sklearn needs scikit-learn 1.6 or newer, but 1.5.2 is installed"),
    ],
)
def test_without_scikit_learn_a_sentence_says_so(found: str | None, message: str) -> None:
    stands_in = "None" if found is None else f"types.SimpleNamespace(__version__={found!r})"
    code = (
        f"import sys, types; sys.modules['sklearn'] = {stands_in}\n"
        "try:\n    import fastnn.sklearn\nexcept ImportError as fault:\n    print(fault)"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert result.stdout.startswith(message)
    assert len(result.stdout.splitlines()) == 1

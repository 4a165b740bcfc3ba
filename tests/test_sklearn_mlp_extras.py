"""What fastnn's perceptrons have beyond scikit-learn's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("sklearn")

from beside_sklearn import X, Y, theirs
from sklearn.base import clone

from fastnn import callbacks, layers, optimizers
from fastnn.callbacks.base import CallbackList
from fastnn.optimizers.schedules import CosineDecay
from fastnn.sklearn import MLPClassifier
from fastnn.sklearn.convergence import Convergence

pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    # older versions of scikit-learn, with a newer SciPy
    pytest.mark.filterwarnings("ignore:scipy.optimize:DeprecationWarning"),
]


def test_layers_of_a_net_with_everything() -> None:
    own = MLPClassifier(
        (12, 7), ("gelu", "selu"), batch_norm=True, dropout=(0.0, 0.25), max_iter=2
    ).fit(X, Y)
    kinds = [type(layer).__name__ for layer in own.model_.layers]
    hidden = ["Dense", "BatchNormalization", "Activation"]
    assert kinds == [*hidden, *hidden, "Dropout", "Dense"]
    names = [own.model_.get_layer(f"hidden_{i}_activation").activation.kind for i in (1, 2)]
    assert names == ["gelu", "selu"]
    dropout = own.model_.get_layer("hidden_2_dropout")
    assert isinstance(dropout, layers.Dropout) and dropout.rate == 0.25
    assert [array.shape for array in own.coefs_] == [(64, 12), (12, 7), (7, 10)]
    assert own.n_layers_ == 4


def test_no_hidden_layer_is_logistic_regression() -> None:
    own = MLPClassifier((), max_iter=3, random_state=0).fit(X, Y)
    other = theirs(own).fit(X, Y)
    np.testing.assert_allclose(own.loss_curve_, other.loss_curve_, rtol=1e-4)


@pytest.mark.parametrize("solver", ["adamw", "nadam", "lion", "rmsprop", "adagrad", "muon"])
def test_other_optimizers_by_name(solver: str) -> None:
    own = MLPClassifier(solver=solver, max_iter=3, learning_rate_init=0.01, random_state=0).fit(
        X, Y
    )
    assert type(own.model_.optimizer) is optimizers.CLASSES[solver]
    assert own.model_.optimizer.learning_rate == 0.01
    assert own.loss_curve_[-1] < own.loss_curve_[0]


def test_an_optimizer_of_its_own() -> None:
    adam = optimizers.Adam(CosineDecay(0.01, 9), global_clipnorm=0.5)
    own = MLPClassifier(solver=adam, max_iter=3).fit(X, Y)
    assert own.model_.optimizer is not adam
    assert adam.iterations == 0
    assert own.model_.optimizer.learning_rate == pytest.approx(0.0, abs=1e-9)
    again = clone(own).fit(X, Y)
    assert again.model_.optimizer.global_clipnorm == 0.5
    with pytest.raises(ValueError, match="give it clipvalue, not the estimator"):
        MLPClassifier(solver=adam, clipvalue=1.0).fit(X, Y)


def test_schedule_and_clipping() -> None:
    own = MLPClassifier(learning_rate=CosineDecay(0.01, 9), max_iter=3, clipvalue=0.1).fit(X, Y)
    assert own.model_.optimizer.learning_rate == pytest.approx(0.0, abs=1e-9)
    assert own.model_.optimizer.clipvalue == 0.1


def test_early_stopping_may_change_under_warm_start() -> None:
    own = MLPClassifier(10, max_iter=3, warm_start=True, random_state=0).fit(X, Y)
    own.set_params(early_stopping=True).fit(X, Y)
    assert own.best_validation_score_ == max(own.validation_scores_)
    before = own.loss_curve_[-1]
    own.set_params(early_stopping=False, max_iter=20).fit(X, Y)
    assert own.loss_ < before and own.best_loss_ == min(own.loss_curve_)
    assert own.score(X, Y) > max(own.validation_scores_)


def test_a_validation_set_of_the_users_own() -> None:
    arguments: dict[str, Any] = dict(max_iter=6, random_state=0)
    own = MLPClassifier(**arguments).fit(X[:400], Y[:400], X_val=X[400:], y_val=Y[400:])
    assert len(own.validation_loss_curve_) == len(own.validation_scores_) == 6
    assert own.validation_scores_[-1] == own.score(X[400:], Y[400:])
    assert own.validation_loss_curve_ == own.history_["val_loss"]
    watched = MLPClassifier(**arguments).fit(X[:400], Y[:400])
    np.testing.assert_array_equal(own.coefs_[0], watched.coefs_[0])
    assert watched.validation_loss_curve_ is None

    stopped = MLPClassifier(
        max_iter=60, early_stopping=True, random_state=0, n_iter_no_change=3
    ).fit(X[:400], Y[:400], X_val=X[400:], y_val=Y[400:])
    assert stopped.n_iter_ < 60
    assert stopped.best_validation_score_ == max(stopped.validation_scores_)
    assert stopped.score(X[400:], Y[400:]) == stopped.best_validation_score_
    with pytest.raises(ValueError, match="X_val and y_val must be given together"):
        own.fit(X, Y, X_val=X)
    with pytest.raises(ValueError, match="features"):
        own.fit(X, Y, X_val=X[:, 1:], y_val=Y)


def test_callbacks_hear_and_stop() -> None:
    health = callbacks.GradientHealth(every=1, on_problem="ignore")
    stop = callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: epochs.append(epoch))
    epochs: list[int] = []
    own = MLPClassifier(10, max_iter=4, callbacks=[health, stop]).fit(X, Y)
    assert epochs == [0, 1, 2, 3]
    assert len(own.history_["hidden_1/gradient_norm"]) == 4
    early = callbacks.EarlyStopping("loss", patience=0, min_delta=100.0)
    assert MLPClassifier(10, max_iter=4, callbacks=[early]).fit(X, Y).n_iter_ == 2


class _CutOff(callbacks.Callback):
    """Ends the process, as it were, after so many batches."""

    def __init__(self, batches: int) -> None:
        self._left = batches

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self._left -= 1
        if not self._left:
            raise RuntimeError("cut off")


@pytest.mark.parametrize("batches", [1, 17, 18, 30])
@pytest.mark.parametrize(
    "settings",
    [
        {"early_stopping": True, "dropout": 0.2, "n_iter_no_change": 2, "tol": 0.02},
        {"solver": "sgd", "learning_rate": "adaptive", "tol": 0.5, "n_iter_no_change": 1},
        {"shuffle": False, "batch_norm": True},
    ],
    ids=["early stopping", "adaptive", "in order"],
)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_goes_on_from_a_backup(settings: dict[str, Any], batches: int, tmp_path: Path) -> None:
    def estimator(*more: callbacks.Callback) -> MLPClassifier:
        return MLPClassifier(
            (12,), batch_size=97, max_iter=12, random_state=3, callbacks=list(more), **settings
        )

    alone = estimator().fit(X, Y)
    with pytest.raises(RuntimeError, match="cut off"):
        estimator(callbacks.BackupAndRestore(tmp_path, 4), _CutOff(batches)).fit(X, Y)
    backup = callbacks.BackupAndRestore(tmp_path)
    again = estimator(backup).fit(X, Y)
    if batches > 4:
        assert backup.resumed_at is not None and 4 <= backup.resumed_at <= batches
    for name in ("n_iter_", "t_", "loss_", "loss_curve_", "best_loss_", "validation_scores_",
                 "validation_loss_curve_", "best_validation_score_"):  # fmt: skip
        assert getattr(again, name) == getattr(alone, name), name
    assert again.history_ == alone.history_
    for ours, wanted in zip(again.coefs_, alone.coefs_, strict=True):
        np.testing.assert_array_equal(ours, wanted)


def test_a_backup_of_another_estimator_is_refused(tmp_path: Path) -> None:
    def estimator(**settings: Any) -> MLPClassifier:
        given = {"hidden_layer_sizes": (4,), "random_state": 0, "tol": 0.1, **settings}
        return MLPClassifier(max_iter=9, **given)

    backup = callbacks.BackupAndRestore(tmp_path)
    with pytest.raises(RuntimeError, match="cut off"):
        estimator(callbacks=[backup, _CutOff(5)]).fit(X, Y)
    with pytest.raises(ValueError, match=r"of a training with tol '0.1', this one has '0.2'"):
        estimator(callbacks=[backup], tol=0.2).fit(X, Y)
    with pytest.raises(ValueError, match="of a training with learning_rate "):
        estimator(callbacks=[backup], learning_rate=CosineDecay(0.1, 10)).fit(X, Y)
    estimator(callbacks=[backup], hidden_layer_sizes=np.array([4])).fit(X, Y)
    assert backup.resumed_at is not None
    for settings in ({"random_state": None}, {"warm_start": True}):
        with pytest.raises(ValueError, match="takes a random_state that is an integer"):
            estimator(callbacks=[backup], **settings).fit(X, Y)
    with pytest.raises(ValueError, match="neither warm_start nor partial_fit"):
        estimator(callbacks=[backup]).partial_fit(X, Y, classes=np.unique(Y))


def test_a_backup_with_other_weights_of_classes_is_refused(tmp_path: Path) -> None:
    def estimator(weight: float, *more: callbacks.Callback) -> MLPClassifier:
        given = [callbacks.BackupAndRestore(tmp_path), *more]
        weights = dict.fromkeys(np.unique(Y).tolist(), 1.0) | {1: weight}
        return MLPClassifier((4,), random_state=0, class_weight=weights, callbacks=given)

    with pytest.raises(RuntimeError, match="cut off"):
        estimator(5.0, _CutOff(25)).fit(X, Y)
    with pytest.raises(ValueError, match="of a training with class_weight "):
        estimator(50.0).fit(X, Y)


def test_nothing_goes_through_python_for_each_batch() -> None:
    rate: Any = None
    assert not CallbackList([Convergence(MLPClassifier(), 1, rate, None)]).has_batch_hooks


def test_diagnose() -> None:
    sick = MLPClassifier([20] * 8, "logistic", learning_rate_init=1e-5, random_state=0)
    report = sick.diagnose(X, Y, remedies=False)
    assert report.verdict == "vanishing"
    assert not hasattr(sick, "coefs_")
    sound = MLPClassifier((32,), learning_rate_init=0.01, random_state=0)
    assert sound.diagnose(X, Y, remedies=False).verdict == "healthy"
    with pytest.raises(ValueError, match="not 'lbfgs'"):
        MLPClassifier(solver="lbfgs").diagnose(X, Y)


def test_verbose(capsys: pytest.CaptureFixture[str]) -> None:
    MLPClassifier(10, max_iter=2, early_stopping=True, verbose=True).fit(X, Y)
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == [
        "Iteration", "Validation", "Iteration", "Validation",
    ]  # fmt: skip
    MLPClassifier(10, solver="lbfgs", max_iter=2, verbose=1).fit(X, Y)
    assert capsys.readouterr().out.startswith("Iteration 1, loss = ")
    MLPClassifier(10, tol=100.0, n_iter_no_change=1, verbose=True).fit(X, Y)
    out = capsys.readouterr().out
    assert "Training loss did not improve more than tol=100.000000 for 1 consecutive" in out

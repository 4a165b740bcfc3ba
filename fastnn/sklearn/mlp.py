"""What MLPClassifier and MLPRegressor share."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from functools import partial
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.utils import check_random_state
from sklearn.utils.validation import _check_sample_weight, check_is_fitted

from fastnn._warnings import warn
from fastnn.callbacks import Callback
from fastnn.callbacks.base import Logs
from fastnn.data.dataset import Dataset
from fastnn.errors import NonFiniteGradientError
from fastnn.health import Report, diagnose
from fastnn.losses import Loss
from fastnn.models import Sequential
from fastnn.models.feeding import feed
from fastnn.models.predicting import predict_rows
from fastnn.optimizers import Optimizer
from fastnn.sklearn import epochs, lbfgs, network
from fastnn.sklearn.convergence import Convergence
from fastnn.sklearn.parameters import check_parameters, hidden_layers, settings_of_backup
from fastnn.sklearn.solver import learning_rate, make_optimizer
from fastnn.sklearn.validation import validate_data

Array = NDArray[Any]

SPARSE = ("csr", "csc")
DTYPES = (np.float64, np.float32, np.uint8)
"""Rows that are read as they lie; all else becomes float64."""

_TOO_LARGE = (
    "Solver produced non-finite parameter weights. The input data may contain large values and "
    "need to be preprocessed."
)


class MLP(BaseEstimator):
    """Base of the perceptrons. The arguments are those of the subclasses."""

    model_: Sequential
    coefs_: list[Array]
    intercepts_: list[Array]
    loss_: float
    loss_curve_: list[float]
    best_loss_: Any
    validation_scores_: Any
    validation_loss_curve_: Any
    best_validation_score_: Any
    n_iter_: int
    t_: int

    def __init__(
        self,
        hidden_layer_sizes: Any,
        activation: Any,
        solver: Any,
        alpha: float,
        batch_size: Any,
        learning_rate: Any,
        learning_rate_init: float,
        power_t: float,
        max_iter: int,
        shuffle: bool,
        random_state: Any,
        tol: float,
        verbose: Any,
        warm_start: bool,
        momentum: float,
        nesterovs_momentum: bool,
        early_stopping: bool,
        validation_fraction: float,
        beta_1: float,
        beta_2: float,
        epsilon: float,
        n_iter_no_change: Any,
        max_fun: int,
        dropout: Any,
        batch_norm: bool,
        clipnorm: float | None,
        clipvalue: float | None,
        global_clipnorm: float | None,
        adaptive_clip: float | None,
        callbacks: Sequence[Callback] | None,
    ) -> None:
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.solver = solver
        self.alpha = alpha
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.learning_rate_init = learning_rate_init
        self.power_t = power_t
        self.max_iter = max_iter
        self.shuffle = shuffle
        self.random_state = random_state
        self.tol = tol
        self.verbose = verbose
        self.warm_start = warm_start
        self.momentum = momentum
        self.nesterovs_momentum = nesterovs_momentum
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon
        self.n_iter_no_change = n_iter_no_change
        self.max_fun = max_fun
        self.dropout = dropout
        self.batch_norm = batch_norm
        self.clipnorm = clipnorm
        self.clipvalue = clipvalue
        self.global_clipnorm = global_clipnorm
        self.adaptive_clip = adaptive_clip
        self.callbacks = callbacks

    # What a subclass says of its targets

    @abstractmethod
    def _learn_targets(self, y: Array, classes: Any, anew: bool) -> None:
        """Settle ``n_outputs_`` and ``out_activation_``, or check that y is what it was."""

    @abstractmethod
    def _encoded(self, y: Array) -> Array:
        """Targets as the net's loss takes them."""

    @abstractmethod
    def _weighted(self, target: Array, sample_weight: Array | None) -> Array | None:
        """The weight of each row, (N,), with what its class weighs."""

    @abstractmethod
    def _loss(self) -> tuple[Loss | str, float, list[str]]:
        """The loss, what it is multiplied by to be scikit-learn's, and weighted metrics."""

    @abstractmethod
    def _shown_loss(self, logs: Logs) -> float:
        """scikit-learn's loss of an epoch that has these logs."""

    @abstractmethod
    def _score_of(self, outputs: Array, target: Array, weight: Array | None) -> float:
        """The score of what the net says of a validation set."""

    def _stratify(self, target: Array) -> Array | None:
        """By what the validation set of ``early_stopping`` is drawn."""
        return None

    # Train

    def _fit(
        self,
        X: Any,
        y: Any,
        sample_weight: Any,
        held_out: tuple[Any, Any, Any] | None = None,
        incremental: bool = False,
        classes: Any = None,
    ) -> Any:
        check_parameters(self)
        going_on = self.warm_start or incremental
        anew = not hasattr(self, "model_") or not going_on
        if incremental and self.early_stopping:
            raise ValueError("partial_fit does not support early_stopping=True")
        X, y = self._validated(X, y, anew)
        self._learn_targets(y, classes, anew)
        target = self._encoded(y)
        if sample_weight is not None:
            sample_weight = _check_sample_weight(sample_weight, X)
        weight = self._weighted(target, sample_weight)
        random = check_random_state(self.random_state)
        if anew:
            self._begin(X.shape[1], _shown_dtype(X), random, going_on)
        try:
            if self.solver == "lbfgs":
                self._train_at_once(X, target, weight)
            else:
                self._train_by_batches(X, target, weight, held_out, random, incremental)
        finally:
            self._show_weights()
        return self

    def _validated(self, X: Any, y: Any, reset: bool) -> tuple[Any, Any]:
        X, y = validate_data(
            self, X, y, reset=reset, accept_sparse=SPARSE, multi_output=True, dtype=DTYPES,
            y_numeric=self._y_numeric,
        )  # fmt: skip
        return X, y.toarray() if hasattr(y, "toarray") else y

    _y_numeric = False

    def _begin(
        self, n_features: int, dtype: np.dtype[Any], random: np.random.RandomState, going_on: bool
    ) -> None:
        model = self._build(n_features, random)
        if going_on and hasattr(self, "coefs_"):
            # The user has set the weights to begin with.
            network.take_weights(model, self.coefs_, self.intercepts_)
        self.model_, self._dtype = model, dtype
        self.n_layers_ = len(network.dense_layers(model)) + 1
        self.n_iter_ = self.t_ = 0
        self._no_improvement_count = 0
        self.loss_curve_ = []
        self.best_loss_ = self.best_validation_score_ = None
        self.validation_scores_ = self.validation_loss_curve_ = None

    def _build(self, n_features: int, random: np.random.RandomState) -> Sequential:
        return network.build(
            n_features, hidden_layers(self), bool(self.batch_norm), self.n_outputs_,
            self.out_activation_, random,
        )  # fmt: skip

    def _compile(self, model: Sequential, optimizer: Optimizer | str) -> None:
        loss, factor, metrics = self._loss()
        model.compile(optimizer, loss, loss_weights=[factor], weighted_metrics=metrics)

    def _train_at_once(self, X: Any, target: Array, weight: Array | None) -> None:
        model = self._synchronized()
        self._compile(model, "sgd")
        weight, mean = _normalized(weight)
        network.regularize(model, 0.5 * self.alpha / (X.shape[0] * mean))
        outcome = lbfgs.minimize(
            model, _fed(model, X, target, weight), self.max_iter, self.max_fun, self.tol,
            bool(self.verbose),
        )  # fmt: skip
        self.n_iter_ = outcome.n_iter
        self.loss_ = self._shown_loss(outcome.logs)
        if not all(np.isfinite(array).all() for array in model.get_weights()):
            raise ValueError(_TOO_LARGE)
        if outcome.complaint:
            warn(
                f"{outcome.complaint}\nIncrease max_iter or max_fun, or scale the data",
                ConvergenceWarning,
            )

    def _train_by_batches(
        self,
        X: Any,
        target: Array,
        weight: Array | None,
        held_out: tuple[Any, Any, Any] | None,
        random: np.random.RandomState,
        incremental: bool,
    ) -> None:
        model = self._synchronized()
        if not (incremental and model.compiled):
            self._optimizer = make_optimizer(self)
            self._compile(model, self._optimizer)
        if held_out is not None:
            held_out = self._checked_held_out(*held_out)
        elif self.early_stopping:
            X, target, weight, held_out = self._split(X, target, weight, random)
        rows = X.shape[0]
        size = self._rows_of_a_batch(rows)
        weight, mean = _normalized(weight)
        network.regularize(model, 0.5 * self.alpha / (size * mean))
        plan = epochs.plan(size, 1 if incremental else self.max_iter, bool(self.shuffle))
        try:
            data = epochs.data(model, plan, X, target, weight, held_out)
        except ValueError as fault:
            raise _as_too_large(fault) from fault
        score = None
        if held_out is not None:
            assert isinstance(data.validation, Dataset)
            inputs = Dataset(data.validation.inputs)
            _, target_val, weight_val = held_out
            score = partial(self._validation_score, model, inputs, target_val, weight_val)
            self.validation_scores_ = self.validation_scores_ or []
            self.validation_loss_curve_ = self.validation_loss_curve_ or []
        if self.early_stopping and self.best_validation_score_ is None:
            self.best_validation_score_, self._best_weights = -math.inf, model.get_weights()
        elif not self.early_stopping and self.best_loss_ is None:
            self.best_loss_ = math.inf
        convergence = Convergence(self, rows, learning_rate(self, self._optimizer), score)
        settings = None if incremental else settings_of_backup(self)
        watching = [convergence, *(self.callbacks or ())]
        fit = epochs.Epochs(model, plan, data, watching, random, settings)
        self.n_iter_ = 0
        self.history_ = fit.history.history
        try:
            fit.run()
        except NonFiniteGradientError as fault:
            if not self.early_stopping or self.best_validation_score_ == -math.inf:
                raise ValueError(f"{_TOO_LARGE} {fault}") from fault
            convergence.diverged()
            warn(f"Training diverged: {fault}", ConvergenceWarning)
        except KeyboardInterrupt:
            warn("Training interrupted by user.")
        else:
            if not (incremental or convergence.stopped) and self.n_iter_ == self.max_iter:
                warn(
                    f"Stochastic Optimizer: Maximum iterations ({self.max_iter}) reached and the "
                    "optimization hasn't converged yet.",
                    ConvergenceWarning,
                )
        self.history_ = fit.history.history  # after a backup it is another dict
        if self.early_stopping:
            model.set_weights(self._best_weights)

    def _rows_of_a_batch(self, rows: int) -> int:
        if self.batch_size == "auto":
            return min(200, rows)
        if self.batch_size > rows:
            warn(
                f"batch_size={self.batch_size} is larger than the {rows} rows: it is clipped to "
                "them",
            )
        return min(int(self.batch_size), rows)

    # The validation set

    def _split(
        self, X: Any, target: Array, weight: Array | None, random: np.random.RandomState
    ) -> tuple[Any, Array, Array | None, tuple[Any, Array, Array | None]]:
        places, held_out = train_test_split(
            np.arange(X.shape[0]), random_state=random, test_size=self.validation_fraction,
            stratify=self._stratify(target),
        )  # fmt: skip
        if len(held_out) < 2:
            raise ValueError(
                "The validation set is too small. Increase 'validation_fraction' or the size of "
                "your dataset."
            )
        kept, away = (
            (X[rows], target[rows], None if weight is None else weight[rows])
            for rows in (places, held_out)
        )
        return *kept, away

    def _checked_held_out(self, X: Any, y: Any, weight: Any) -> tuple[Any, Array, Array | None]:
        X, y = self._validated(X, y, False)
        self._learn_targets(y, None, False)
        return X, self._encoded(y), None if weight is None else _check_sample_weight(weight, X)

    def _validation_score(
        self, model: Sequential, inputs: Dataset, target: Array, weight: Array | None
    ) -> float:
        outputs = predict_rows(model._executables, inputs)[0]
        return self._score_of(outputs, target, weight) if np.isfinite(outputs).all() else math.nan

    # Weights: the net's are those that count; the estimator shows them

    def _show_weights(self) -> None:
        self.coefs_, self.intercepts_ = network.shown_weights(self.model_, self._dtype)
        self._shown = (*self.coefs_, *self.intercepts_)

    def _synchronized(self) -> Sequential:
        """The net, with the user's weights if there are other arrays in coefs_ or intercepts_."""
        if hasattr(self, "_shown"):
            now = (*self.coefs_, *self.intercepts_)
            same = len(now) == len(self._shown)
            if not (same and all(a is b for a, b in zip(now, self._shown, strict=True))):
                network.take_weights(self.model_, self.coefs_, self.intercepts_)
                self._show_weights()
        return self.model_

    def __getstate__(self) -> dict[str, Any]:
        state = dict(super().__getstate__())
        if hasattr(self, "model_"):
            self._synchronized()
            for name in ("coefs_", "intercepts_", "_shown"):
                del state[name]
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        if hasattr(self, "model_"):
            self._show_weights()

    # Predict

    def _outputs(self, X: Any) -> Array:
        """What the net says of X, (N, n_outputs_), in the dtype that scikit-learn would return."""
        check_is_fitted(self)
        X = validate_data(self, X, reset=False, accept_sparse=SPARSE)
        outputs = self._synchronized().predict(X)
        return cast("Array", outputs.astype(np.result_type(_shown_dtype(X), self._dtype)))

    # Health

    def diagnose(self, X: Any, y: Any, sample_weight: Any = None, **options: Any) -> Report:
        """Whether a net with these arguments can learn this; if not, where and why it fails, and
        what cures it: the report of ``fastnn.health.diagnose``. The estimator stays as it is.

        Args:
            X, y, sample_weight: As for ``fit``.
            options: Of ``fastnn.health.diagnose``: steps, batch_size, remedies, seed ...

        Raises:
            ValueError: ``solver`` is "lbfgs", which has no steps to look at.
        """
        probe = clone(self)
        if probe.solver == "lbfgs":
            raise ValueError(
                f"{type(self).__name__}: diagnose is for solvers that take steps, not 'lbfgs'"
            )
        check_parameters(probe)
        X, y = validate_data(
            probe, X, y, accept_sparse=SPARSE, multi_output=True, dtype=DTYPES,
            y_numeric=self._y_numeric,
        )  # fmt: skip
        probe._learn_targets(y, None, True)
        target = probe._encoded(y)
        weight = probe._weighted(target, sample_weight)
        random = check_random_state(probe.random_state)
        model = probe._build(X.shape[1], random)
        probe._compile(model, make_optimizer(probe))
        size = probe._rows_of_a_batch(X.shape[0])
        weight, mean = _normalized(weight)
        network.regularize(model, 0.5 * self.alpha / (size * mean))
        options.setdefault("batch_size", size)
        return diagnose(model, X, target, weight, **options)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags


def takes_steps(estimator: MLP) -> bool:
    """Whether ``partial_fit`` is there.

    Raises:
        AttributeError: The solver is lbfgs.
    """
    if estimator.solver == "lbfgs":
        raise AttributeError(
            "partial_fit is only available for stochastic optimizers. lbfgs is not stochastic."
        )
    return True


def held_out(X_val: Any, y_val: Any, sample_weight_val: Any) -> tuple[Any, Any, Any] | None:
    """The user's own validation set, if there is one.

    Raises:
        ValueError: Only a part of it came.
    """
    if (X_val is None) != (y_val is None) or (X_val is None and sample_weight_val is not None):
        raise ValueError("X_val and y_val must be given together")
    return None if X_val is None else (X_val, y_val, sample_weight_val)


def _shown_dtype(X: Any) -> np.dtype[Any]:
    return np.dtype(np.float32 if X.dtype == np.float32 else np.float64)


def _normalized(weight: Array | None) -> tuple[Array | None, float]:
    """Weights of mean 1, so that a step is as long as without; and the mean that they had."""
    if weight is None:
        return None, 1.0
    mean = float(np.mean(weight))
    if not mean > 0:
        raise ValueError("the weights of all rows are zero")
    return weight / mean, mean


def _fed(model: Sequential, X: Any, target: Array, weight: Array | None) -> Dataset:
    try:
        dataset = feed(model, X, target, weight)
    except ValueError as fault:
        raise _as_too_large(fault) from fault
    dataset.find_nonzeros(model._executables.scales_of_sparse_inputs())
    return dataset


def _as_too_large(fault: ValueError) -> ValueError:
    """What scikit-learn says of numbers that float64 can't square; here it is float32's range."""
    return ValueError(f"{_TOO_LARGE} {fault}")

"""The perceptron that predicts numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import RegressorMixin
from sklearn.metrics import r2_score
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import column_or_1d

from fastnn._checks import check_choice
from fastnn.callbacks.base import Logs
from fastnn.losses import CallableLoss, Loss
from fastnn.sklearn.mlp import MLP, held_out, takes_steps
from fastnn.sklearn.poisson import half_deviance

Array = NDArray[Any]


class MLPRegressor(RegressorMixin, MLP):
    """scikit-learn's ``MLPRegressor``, trained by fastnn.

    ``MLPClassifier`` says what differs, and which arguments there are beside scikit-learn's.

    Args:
        loss: "squared_error", half of it; or "poisson", half of the deviance, with a net that
            predicts the logarithm. The latter is computed in NumPy, batch by batch.
        hidden_layer_sizes, activation, solver, alpha, batch_size, learning_rate,
            learning_rate_init, power_t, max_iter, shuffle, random_state, tol, verbose, warm_start,
            momentum, nesterovs_momentum, early_stopping, validation_fraction, beta_1, beta_2,
            epsilon, n_iter_no_change, max_fun, dropout, batch_norm, clipnorm, clipvalue,
            global_clipnorm, adaptive_clip, callbacks: See ``MLPClassifier``.

    Attributes:
        coefs_, intercepts_, loss_, loss_curve_, best_loss_, validation_scores_,
            best_validation_score_, n_iter_, t_, n_features_in_, feature_names_in_, n_layers_,
            n_outputs_, out_activation_: As in scikit-learn; the scores are R2.
        validation_loss_curve_, history_, model_: See ``MLPClassifier``.
    """

    def __init__(
        self,
        loss: str = "squared_error",
        hidden_layer_sizes: Any = (100,),
        activation: Any = "relu",
        *,
        solver: Any = "adam",
        alpha: float = 0.0001,
        batch_size: Any = "auto",
        learning_rate: Any = "constant",
        learning_rate_init: float = 0.001,
        power_t: float = 0.5,
        max_iter: int = 200,
        shuffle: bool = True,
        random_state: Any = None,
        tol: float = 1e-4,
        verbose: Any = False,
        warm_start: bool = False,
        momentum: float = 0.9,
        nesterovs_momentum: bool = True,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        n_iter_no_change: Any = 10,
        max_fun: int = 15000,
        dropout: Any = 0.0,
        batch_norm: bool = False,
        clipnorm: float | None = None,
        clipvalue: float | None = None,
        global_clipnorm: float | None = None,
        adaptive_clip: float | None = None,
        callbacks: Any = None,
    ) -> None:
        super().__init__(
            hidden_layer_sizes=hidden_layer_sizes,
            activation=activation,
            solver=solver,
            alpha=alpha,
            batch_size=batch_size,
            learning_rate=learning_rate,
            learning_rate_init=learning_rate_init,
            power_t=power_t,
            max_iter=max_iter,
            shuffle=shuffle,
            random_state=random_state,
            tol=tol,
            verbose=verbose,
            warm_start=warm_start,
            momentum=momentum,
            nesterovs_momentum=nesterovs_momentum,
            early_stopping=early_stopping,
            validation_fraction=validation_fraction,
            beta_1=beta_1,
            beta_2=beta_2,
            epsilon=epsilon,
            n_iter_no_change=n_iter_no_change,
            max_fun=max_fun,
            dropout=dropout,
            batch_norm=batch_norm,
            clipnorm=clipnorm,
            clipvalue=clipvalue,
            global_clipnorm=global_clipnorm,
            adaptive_clip=adaptive_clip,
            callbacks=callbacks,
        )
        self.loss = loss

    def fit(
        self,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        *,
        X_val: Any = None,
        y_val: Any = None,
        sample_weight_val: Any = None,
    ) -> MLPRegressor:
        """Train anew, or with ``warm_start`` go on.

        Args:
            X: (N, features): numbers, dense or of scipy.sparse.
            y: Numbers (N,) or (N, outputs); at least 0 for "poisson".
            sample_weight: (N,).
            X_val, y_val, sample_weight_val: See ``MLPClassifier.fit``.

        Raises:
            TypeError, ValueError: An argument is not what it must be; or a gradient was not finite.
        """
        own = held_out(X_val, y_val, sample_weight_val)
        self._fit(X, y, sample_weight, own)
        return self

    @available_if(takes_steps)
    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> MLPRegressor:
        """One epoch over these rows."""
        self._fit(X, y, sample_weight, incremental=True)
        return self

    def predict(self, X: Any) -> Array:
        """Numbers (N,), or (N, outputs) if there are several."""
        outputs = self._predicted(self._outputs(X))
        return outputs[:, 0] if outputs.shape[1] == 1 else outputs

    # Targets

    _y_numeric = True

    def _learn_targets(self, y: Array, classes: Any, anew: bool) -> None:
        owner = type(self).__name__
        check_choice(owner, "loss", self.loss, ("squared_error", "poisson"))
        columns = 1 if y.ndim == 1 else y.shape[1]
        if anew:
            if y.ndim == 2 and columns == 1:
                column_or_1d(y, warn=True)
            self.n_outputs_ = columns
            self.out_activation_ = "exp" if self.loss == "poisson" else "identity"
        elif columns != self.n_outputs_:
            raise ValueError(f"{owner}: y must have {self.n_outputs_} columns, got {columns}")
        if self.loss == "poisson" and y.min() < 0:
            raise ValueError(f"{owner}: y must be at least 0 for loss='poisson', got {y.min()}")

    def _encoded(self, y: Array) -> Array:
        return y.reshape(-1, self.n_outputs_)

    def _weighted(self, target: Array, sample_weight: Array | None) -> Array | None:
        return sample_weight

    def _loss(self) -> tuple[Loss | str, float, list[str]]:
        if self.loss == "poisson":
            return CallableLoss(half_deviance, "poisson"), 1.0, []
        # scikit-learn's gradient is that of half the sum over the outputs; the loss that it shows
        # has their mean.
        several = self.n_outputs_ > 1
        return "mean_squared_error", 0.5 * self.n_outputs_, ["mean_squared_error"] * several

    def _shown_loss(self, logs: Logs) -> float:
        return logs["loss"] - 0.5 * (self.n_outputs_ - 1) * logs.get("mean_squared_error", 0.0)

    def _predicted(self, outputs: Array) -> Array:
        return np.exp(outputs) if self.out_activation_ == "exp" else outputs

    def _score_of(self, outputs: Array, target: Array, weight: Array | None) -> float:
        predicted = self._predicted(outputs.astype(np.float64))
        return float(r2_score(target, predicted, sample_weight=weight))

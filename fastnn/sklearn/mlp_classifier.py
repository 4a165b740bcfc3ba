"""The perceptron that classifies."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import ClassifierMixin
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import check_classification_targets, type_of_target, unique_labels
from sklearn.utils.validation import column_or_1d

from fastnn.callbacks.base import Logs
from fastnn.losses import Loss
from fastnn.sklearn.mlp import MLP, held_out, takes_steps
from fastnn.sklearn.parameters import class_factors

Array = NDArray[Any]


class MLPClassifier(ClassifierMixin, MLP):
    """scikit-learn's ``MLPClassifier``, trained by fastnn.

    Arguments, fitted attributes and methods are scikit-learn's (its documentation holds), and the
    same ``random_state`` begins with the same weights and trains on the same batches. What differs:

    - The net computes in float32. ``coefs_`` and predictions have the dtype that scikit-learn
      gives them, and can't be written to in place: assign other arrays.
    - ``sample_weight`` is scaled to a mean of 1 over all rows, not within each batch; and in the
      last, smaller batch, too, the L2 term is ``alpha / (2 * batch_size)`` times the squares.
    - A gradient that is not finite ends training at once: with ``early_stopping`` the best weights
      so far stay, else it is the ValueError that scikit-learn raises at the end.

    Args:
        hidden_layer_sizes: Units of each hidden layer.
        activation: "identity", "logistic", "tanh", "relu" or any activation of fastnn; or a list,
            one for each hidden layer.
        solver: "adam", "sgd", "lbfgs"; or the name of another optimizer of fastnn, such as "adamw",
            which takes ``learning_rate_init``; or an optimizer of ``fastnn.optimizers``, which has
            its own learning rate and clipping.
        alpha: Factor of the L2 term.
        batch_size: Rows of a step; "auto" is min(200, rows).
        learning_rate: "constant", "invscaling" or "adaptive", which only "sgd" heeds; or a schedule
            of ``fastnn.optimizers.schedules`` in the place of ``learning_rate_init``.
        learning_rate_init, power_t, momentum, nesterovs_momentum, beta_1, beta_2, epsilon: Of the
            solver.
        max_iter: Epochs; iterations of lbfgs.
        shuffle, random_state, verbose, warm_start: As in scikit-learn.
        tol, n_iter_no_change: Training ends when loss or score has not improved by ``tol`` for more
            than so many epochs.
        early_stopping, validation_fraction: Judge by the score of rows that are held out, and keep
            the best weights.
        max_fun: Evaluations of lbfgs.
        class_weight: None, "balanced", or a dict from label to weight. Not in scikit-learn, as all
            that follow.
        dropout: Share of a hidden layer's outputs dropped in a step; or a list, one for each.
        batch_norm: BatchNormalization before each hidden activation.
        clipnorm, clipvalue, global_clipnorm, adaptive_clip: See ``fastnn.optimizers``.
        callbacks: List of ``fastnn.callbacks``, GradientHealth say.

    Attributes:
        classes_, coefs_, intercepts_, loss_, loss_curve_, best_loss_, validation_scores_,
            best_validation_score_, n_iter_, t_, n_features_in_, feature_names_in_, n_layers_,
            n_outputs_, out_activation_: As in scikit-learn.
        validation_loss_curve_ (list of float | None): Loss of the validation set by epoch.
        history_ (dict): Of the last training: all logs by name, one value an epoch.
        model_ (fastnn.Sequential): The net.
    """

    def __init__(
        self,
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
        class_weight: Any = None,
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
        self.class_weight = class_weight

    def fit(
        self,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        *,
        X_val: Any = None,
        y_val: Any = None,
        sample_weight_val: Any = None,
    ) -> MLPClassifier:
        """Train anew, or with ``warm_start`` go on.

        Args:
            X: (N, features): numbers, dense or of scipy.sparse.
            y: Labels (N,), of any kind, or indicators (N, labels) of 0 and 1.
            sample_weight: (N,).
            X_val, y_val, sample_weight_val: A validation set of the user's own, as
                ``HistGradientBoostingClassifier`` takes it: its loss and score are noted, and with
                ``early_stopping`` it decides in the place of a share of X.

        Raises:
            TypeError, ValueError: An argument is not what it must be; or a gradient was not finite.
        """
        own = held_out(X_val, y_val, sample_weight_val)
        self._fit(X, y, sample_weight, own)
        return self

    @available_if(takes_steps)
    def partial_fit(
        self, X: Any, y: Any, sample_weight: Any = None, classes: Any = None
    ) -> MLPClassifier:
        """One epoch over these rows. ``classes``, all labels there will be, is needed the first
        time."""
        first = not hasattr(self, "classes_")
        if first and classes is None:
            raise ValueError("classes must be passed on the first call to partial_fit.")
        if not first and classes is not None:
            given = unique_labels(classes)
            if not np.array_equal(self.classes_, given):
                raise ValueError(
                    f"`classes={classes!r}` is not the same as on last call to partial_fit, was: "
                    f"{self.classes_!r}"
                )
        self._fit(X, y, sample_weight, incremental=True, classes=classes)
        return self

    def predict(self, X: Any) -> Array:
        """Labels (N,), or indicators (N, labels)."""
        outputs = self._outputs(X)
        if self._kind == "multilabel":
            return (outputs > 0.5).astype(int)
        found: Array = self.classes_[self._places(outputs)]
        return found

    def predict_proba(self, X: Any) -> Array:
        """Probabilities (N, classes) in the order of ``classes_``, or of each label by itself."""
        outputs = self._outputs(X)
        if self._kind == "binary":
            return np.hstack([1 - outputs, outputs])
        if self._kind == "multiclass":
            # float32 has seven digits: in float64, too, they shall sum to 1.
            outputs /= outputs.sum(axis=1, keepdims=True)
        return outputs

    def predict_log_proba(self, X: Any) -> Array:
        """The logarithms of ``predict_proba``."""
        with np.errstate(divide="ignore"):
            found: Array = np.log(self.predict_proba(X))
        return found

    # Targets

    def _learn_targets(self, y: Array, classes: Any, anew: bool) -> None:
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        check_classification_targets(y)
        kind = type_of_target(y)
        if kind == "multiclass-multioutput":
            raise ValueError(
                f"{type(self).__name__}: y must be labels (N,), or indicators of 0 and 1, got "
                f"several classes in each of {y.shape[1]} columns"
            )
        if anew:
            self._kind = "multilabel" if y.ndim == 2 else "binary"
            if y.ndim == 2:
                self.classes_ = np.arange(y.shape[1])
            else:
                self.classes_ = unique_labels(y if classes is None else classes)
                self._kind = "binary" if len(self.classes_) <= 2 else "multiclass"
            self.n_outputs_ = 1 if self._kind == "binary" else len(self.classes_)
            self.out_activation_ = "softmax" if self._kind == "multiclass" else "logistic"
        elif (y.ndim == 2) != (self._kind == "multilabel") or (
            y.ndim == 2 and y.shape[1] != len(self.classes_)
        ):
            raise ValueError(f"y has shape {y.shape}, but classes_ are {self.classes_}")
        if self._kind == "multilabel":
            return
        found = unique_labels(y)
        if not anew and self.warm_start and set(found) != set(self.classes_):
            raise ValueError(
                "warm_start can only be used where `y` has the same classes as in the previous "
                f"call to fit. Previously got {self.classes_}, `y` has {found}"
            )
        if len(np.setdiff1d(found, self.classes_, assume_unique=True)):
            raise ValueError(
                "`y` has classes not in `self.classes_`. "
                f"`self.classes_` has {self.classes_}. 'y' has {found}."
            )

    def _encoded(self, y: Array) -> Array:
        if self._kind == "multilabel":
            return y.astype(bool)
        places: Array = np.searchsorted(self.classes_, y.ravel())
        # A single class is the negative one.
        return places.astype(bool) if self._kind == "binary" else places

    def _stratify(self, target: Array) -> Array | None:
        # As in scikit-learn: with one output only, and a message that has labels as text.
        return target.reshape(-1, 1) if self._kind == "binary" else None

    def _weighted(self, target: Array, sample_weight: Array | None) -> Array | None:
        owner = type(self).__name__
        if self.class_weight is None:
            return sample_weight
        if self._kind == "multilabel":
            raise ValueError(f"{owner}: class_weight can't be combined with indicators as y")
        labels = target.astype(np.int64)
        factors = class_factors(owner, self.class_weight, self.classes_, labels)
        return factors if sample_weight is None or factors is None else factors * sample_weight

    def _loss(self) -> tuple[Loss | str, float, list[str]]:
        if self._kind == "multiclass":
            return "sparse_categorical_crossentropy", 1.0, []
        # Its mean over the labels; scikit-learn's is their sum.
        return "binary_crossentropy", float(self.n_outputs_), []

    def _shown_loss(self, logs: Logs) -> float:
        return logs["loss"]

    def _places(self, outputs: Array) -> Array:
        """The place in ``classes_`` of each row's label."""
        if self._kind == "multiclass":
            found: Array = outputs.argmax(axis=1)
            return found
        positive = outputs[:, 0] > 0.5
        return positive.astype(np.intp) if len(self.classes_) == 2 else np.zeros(len(outputs), int)

    def _score_of(self, outputs: Array, target: Array, weight: Array | None) -> float:
        if self._kind == "multilabel":
            right = ((outputs > 0.5) == target).all(axis=1)
        else:
            right = self._places(outputs) == target
        return float(np.average(right, weights=weight))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags

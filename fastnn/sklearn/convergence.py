"""When training ends, by scikit-learn's rule, and the curves that it leaves."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnn._checks import check_flag
from fastnn.callbacks import Callback
from fastnn.callbacks.base import Logs
from fastnn.callbacks.messages import print_message
from fastnn.sklearn.solver import LearningRate

if TYPE_CHECKING:
    from fastnn.sklearn.mlp import MLP


_STATE = (
    "n_iter_", "t_", "loss_", "loss_curve_", "best_loss_", "validation_scores_",
    "validation_loss_curve_", "best_validation_score_", "_best_weights", "_no_improvement_count",
)  # fmt: skip


class Convergence(Callback):
    """Keeps an estimator's fitted attributes up to date, and stops its training when loss, or with
    ``early_stopping`` the validation score, has not improved by ``tol`` for more than
    ``n_iter_no_change`` epochs.

    Args:
        rows: Of an epoch.
        score: Of the validation set, if there is one.

    Attributes:
        stopped: Whether it did.
    """

    def __init__(
        self, estimator: MLP, rows: int, rate: LearningRate, score: Callable[[], float] | None
    ) -> None:
        self._estimator = estimator
        self._rows = rows
        self._rate = rate
        self._score = score
        self.stopped = False

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Note the epoch, and judge it."""
        logs = logs or {}
        own = self._estimator
        own.n_iter_ += 1
        own.loss_ = own._shown_loss(logs)
        own.t_ += self._rows
        own.loss_curve_.append(own.loss_)
        if own.verbose:
            print_message(f"Iteration {own.n_iter_}, loss = {own.loss_:.8f}")
        if self._score is not None:
            self._note_validation(self._score(), logs["val_loss"])
        if own.early_stopping:
            self._count_by_score()
        else:
            self._count_by_loss()
        self._rate.epoch_ends(own.t_)
        if own._no_improvement_count > own.n_iter_no_change:
            self._stop()

    def state_dict(self) -> dict[str, Any]:
        """What the estimator knows of its training."""
        found = {name: getattr(self._estimator, name, None) for name in _STATE}
        return {"stopped": self.stopped, **found}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Tell it."""
        self.stopped = check_flag("its backup", "stopped", state["stopped"])
        for name in _STATE:
            if state[name] is not None:
                setattr(self._estimator, name, state[name])

    def diverged(self) -> None:
        """Note an epoch that ended at a gradient that is not finite."""
        own = self._estimator
        own.n_iter_ += 1
        own.loss_ = np.nan
        own.loss_curve_.append(own.loss_)
        if self._score is not None:
            self._note_validation(np.nan, np.nan)

    def _note_validation(self, score: float, loss: float) -> None:
        own = self._estimator
        own.validation_scores_.append(score)
        own.validation_loss_curve_.append(loss)
        if own.verbose:
            print_message(f"Validation score: {score:f}")

    def _count_by_score(self) -> None:
        own = self._estimator
        score, best = own.validation_scores_[-1], own.best_validation_score_
        # As scikit-learn has it: a score that is not a number begins the count anew.
        own._no_improvement_count = own._no_improvement_count + 1 if score < best + own.tol else 0
        if score > best:
            own.best_validation_score_ = score
            own._best_weights = self.model.get_weights()

    def _count_by_loss(self) -> None:
        own = self._estimator
        slow = own.loss_ > own.best_loss_ - own.tol
        own._no_improvement_count = own._no_improvement_count + 1 if slow else 0
        own.best_loss_ = min(own.best_loss_, own.loss_)

    def _stop(self) -> None:
        own = self._estimator
        if self._rate.goes_down():
            own._no_improvement_count = 0
            then = f"Setting learning rate to {self.model.optimizer.learning_rate:f}"
        else:
            self.stopped = self.model.stop_training = True
            then = "Stopping."
        if own.verbose:
            what = "Validation score" if own.early_stopping else "Training loss"
            print_message(
                f"{what} did not improve more than tol={own.tol:f} for {own.n_iter_no_change} "
                f"consecutive epochs. {then}"
            )

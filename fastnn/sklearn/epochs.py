"""The loop of ``fit`` with the order of rows that scikit-learn would draw."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastnn.data.dataset import Dataset
from fastnn.models.backups import Within
from fastnn.models.fitting import Fit, FitData, Plan
from fastnn.models.learner import Learner
from fastnn.models.totals import Logs


def plan(batch_size: int, epochs: int, shuffle: bool) -> Plan:
    """So many passes over all rows."""
    return Plan(
        batch_size=batch_size, epochs=epochs, shuffle=shuffle, initial_epoch=0,
        steps_per_epoch=None, validation_steps=None, validation_batch_size=None, validation_freq=1,
    )  # fmt: skip


def data(model: Learner, plan: Plan, x: Any, y: Any, sample_weight: Any, held_out: Any) -> FitData:
    """Checked arrays.

    Args:
        held_out: (x, y, sample_weight) to validate with, or None.
    """
    return FitData(
        model, plan, x=x, y=y, sample_weight=sample_weight, class_weight=None,
        validation_split=0.0, validation_data=held_out,
    )  # fmt: skip


class Epochs(Fit):
    """One call of ``fit`` whose order of rows comes from a ``RandomState``: each epoch shuffles
    anew what the last one had, as ``sklearn.utils.shuffle`` does it, so that the same seed trains
    on the same batches.

    Args:
        settings: Of the estimator, which a backup's must equal; None if no backup can go on, for
            ``random`` does not begin as it did.
    """

    def __init__(
        self,
        model: Learner,
        plan: Plan,
        data: FitData,
        callbacks: Any,
        random: np.random.RandomState,
        settings: Mapping[str, Any] | None,
    ) -> None:
        super().__init__(model, plan, data, callbacks, verbose=0)
        if self._backup is not None and settings is None:
            raise ValueError(
                "callbacks: a BackupAndRestore takes a random_state that is an integer, and goes "
                "with neither warm_start nor partial_fit, for what was drawn is drawn again"
            )
        self._random = random
        self._own_settings = settings or {}
        self._drawn = 0
        self._last: NDArray[np.int64] | None = None

    def _settings(self) -> dict[str, Any]:
        return {**super()._settings(), **self._own_settings}

    def _epoch(self, epoch: int, within: Within | None) -> Logs:
        assert isinstance(self.data.train, Dataset)
        while self._drawn < epoch:  # those of the epochs before a backup
            self._order(len(self.data.train))
        return super()._epoch(epoch, within)

    def _order(self, n_rows: int) -> NDArray[np.int64]:
        self._drawn += 1
        places = np.arange(n_rows, dtype=np.int64)
        if not self.plan.shuffle:
            return places
        self._random.shuffle(places)
        if self.plan.rows >= n_rows:  # a single batch, which no order changes but for rounding
            return np.arange(n_rows, dtype=np.int64)
        self._last = places if self._last is None else self._last[places]
        return self._last

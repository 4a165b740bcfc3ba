"""The loop of evaluate, and of a validation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fastnn.callbacks import CallbackList
from fastnn.data.batches import Batches, is_batches, is_list_of_batches
from fastnn.data.dataset import Dataset
from fastnn.images.dataset import ImageDataset
from fastnn.models import arguments
from fastnn.models.feeding import feed
from fastnn.models.passes import ROWS_AT_A_TIME, Progress
from fastnn.models.totals import Logs

if TYPE_CHECKING:
    from fastnn.models.trainer import Trainer


def evaluate(
    model: Trainer,
    x: Any,
    y: Any,
    batch_size: int | None,
    verbose: str | int,
    sample_weight: Any,
    steps: int | None,
    callbacks: Any,
) -> Logs:
    """``Trainer.evaluate``."""
    if isinstance(x, ImageDataset):
        x, y, batch_size = arguments.held_arrays("evaluate", x, y, batch_size)
    size = arguments.count("evaluate", "batch_size", batch_size) or arguments.BATCH_SIZE
    steps = arguments.count("evaluate", "steps", steps)
    arguments.check_verbose("evaluate", verbose)
    model._check_compiled()
    data: Dataset | Batches
    examples = None
    if is_batches(x) or (y is None and is_list_of_batches(x)):
        if y is not None or sample_weight is not None:
            raise ValueError(
                "evaluate: x yields batches, so y and sample_weight must come with them"
            )
        data = Batches(x, steps, "x")
    else:
        if x is None:
            raise ValueError("evaluate: x is missing")
        data = feed(model, x, y, sample_weight)
        data.find_nonzeros(model._executables.scales_of_sparse_inputs())
        examples = _rows(data, size, steps)
        steps = -(-examples // size)
    hooks = CallbackList(
        callbacks, add_progbar=verbose != 0, model=model, verbose=verbose, steps=steps,
        examples=examples,
    )  # fmt: skip
    return evaluate_checked(model, data, size, steps, hooks)


def evaluate_checked(
    model: Trainer,
    data: Dataset | Batches,
    batch_size: int,
    steps: int | None,
    callbacks: CallbackList,
) -> Logs:
    """Loss and metrics of checked data; the callbacks hear of a test."""
    callbacks.on_test_begin()
    progress = Progress(model, callbacks, "test")
    if isinstance(data, Dataset):
        rows = _rows(data, batch_size, steps)
        # Where nobody hears of a batch and no loss depends on them, batches are the cache's affair.
        if not progress.hears_batches and not model._losses_need_batches():
            batch_size = min(rows, ROWS_AT_A_TIME)
        progress.run(data, np.arange(rows), batch_size)
    else:
        for x, y, weight in data.epoch():
            dataset = feed(model, x, y, weight)
            progress.run(dataset, np.arange(len(dataset)), len(dataset))
        if not progress.rows:
            raise ValueError("the data to evaluate yielded no batch")
    logs = progress.logs()
    callbacks.on_test_end(logs)
    return logs


def _rows(data: Dataset, batch_size: int, steps: int | None) -> int:
    return len(data) if steps is None else min(len(data), steps * batch_size)

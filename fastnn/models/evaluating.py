"""The loop of evaluate, and of a validation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fastnn.callbacks import CallbackList
from fastnn.data.batches import Batches, is_batches, is_list_of_batches
from fastnn.data.dataset import Dataset
from fastnn.engine.processes import Processes
from fastnn.images.dataset import ImageDataset
from fastnn.losses import CallableLoss
from fastnn.lowering.objective import Objective
from fastnn.models import arguments
from fastnn.models.feeding import feed
from fastnn.models.learner import Learner
from fastnn.models.passes import ROWS_AT_A_TIME, Progress
from fastnn.models.sharing import agree_on_batch
from fastnn.models.totals import Logs


def evaluate(
    model: Learner,
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
    model: Learner,
    data: Dataset | Batches,
    batch_size: int,
    steps: int | None,
    callbacks: CallbackList,
    processes: Processes | None = None,
) -> Logs:
    """Loss and metrics of checked data; the callbacks hear of a test.

    Args:
        processes: Each does its rows of every batch.
    """
    callbacks.on_test_begin()
    progress = Progress(model, callbacks, "test", None, processes)
    if isinstance(data, Dataset):
        rows = _rows(data, batch_size, steps)
        # Where nobody hears of a batch and no loss depends on them, batches are the cache's affair.
        if not progress.hears_batches and not _depends_on_batches(model._objectives()):
            batch_size = min(rows, ROWS_AT_A_TIME * (1 if processes is None else processes.size))
        progress.run(data, np.arange(rows), batch_size)
    else:
        for x, y, weight in data.epoch():
            dataset = feed(model, x, y, weight)
            if processes is not None:
                agree_on_batch(processes, dataset)
            progress.run(dataset, np.arange(len(dataset)), len(dataset))
        if not progress.rows:
            raise ValueError("the data to evaluate yielded no batch")
    logs = progress.logs()
    callbacks.on_test_end(logs)
    return logs


def _depends_on_batches(objectives: Sequence[Objective]) -> bool:
    """Whether a loss is the sum over its batch, or what a function makes of it."""
    losses = [o.loss for o in objectives if o.loss is not None]
    return any(loss.reduction == "sum" or isinstance(loss, CallableLoss) for loss in losses)


def _rows(data: Dataset, batch_size: int, steps: int | None) -> int:
    return len(data) if steps is None else min(len(data), steps * batch_size)

"""The loop of predict."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastnn.callbacks import CallbackList
from fastnn.data.batches import Batches, is_batches
from fastnn.data.dataset import Dataset
from fastnn.engine.sources import Rows
from fastnn.images.dataset import ImageDataset
from fastnn.layers.base import CHANGES
from fastnn.models import arguments
from fastnn.models.executables import INTERVAL, Executables, Few, threads_for
from fastnn.models.feeding import feed_inputs
from fastnn.models.learner import Learner
from fastnn.models.passes import ROWS_AT_A_TIME
from fastnn.models.runner import Runner

_FLOAT32 = np.dtype(np.float32)
_NO_SUMS = np.zeros(0)


def predict(
    model: Learner,
    x: Any,
    batch_size: int | None,
    verbose: str | int,
    steps: int | None,
    callbacks: Any,
) -> Any:
    """``Trainer.predict``."""
    if isinstance(x, ImageDataset):
        x, _, batch_size = arguments.held_arrays("predict", x, None, batch_size)
    size = arguments.count("predict", "batch_size", batch_size)
    steps = arguments.count("predict", "steps", steps)
    arguments.check_verbose("predict", verbose)
    data = Batches(x, steps, "x") if is_batches(x) else feed_inputs(model, x)
    if isinstance(data, Dataset) and steps is not None:
        data = data.part(slice(steps * (size or arguments.BATCH_SIZE)))
    # A line for each call would bury the output of a program that asks for many predictions.
    shown = verbose not in ("auto", 0)
    hooks = CallbackList(
        callbacks, add_progbar=shown, model=model, verbose=verbose if shown else 0,
        examples=len(data) if isinstance(data, Dataset) else None,
    )  # fmt: skip
    hooks.on_predict_begin()
    if isinstance(data, Dataset):
        outputs = predict_rows(model._executables, data, size, hooks)
    else:
        parts = [
            predict_rows(model._executables, feed_inputs(model, batch), size, hooks)
            for batch, _, _ in data.epoch()
        ]
        if not parts:
            raise ValueError("predict: x yielded no batch")
        outputs = [np.concatenate(arrays) for arrays in zip(*parts, strict=True)]
    hooks.on_predict_end()
    return outputs[0] if len(outputs) == 1 else outputs


def predict_few(model: Learner, x: Any) -> Any:
    """Of a few rows of plain float32, what ``predict`` returns, without its ceremony; None if ``x``
    is anything else, or wrong.

    One row through a small net takes some twenty microseconds: every look at ``x`` counts.
    """
    if type(x) is not np.ndarray or x.dtype is not _FLOAT32:
        return None
    executables = model._executables
    if executables.seen != CHANGES[0]:
        executables.look_at_layers()
    kept = executables.few
    few = kept.get(x.shape)
    if few is None:
        few = _few(model, x.shape)
        if few is None:
            return None
        # There, though another look at the layers may have put another dict in its place: then this
        # one is forgotten, with what was made of other settings.
        kept[x.shape] = few
    flags = x.flags
    # Squares can't cancel: their sum is finite only if all numbers are. (It may be infinite without
    # that; then the thorough check decides.)
    if not (flags.c_contiguous and flags.aligned and math.isfinite(np.vdot(x, x))):
        return None
    outputs = [np.empty(shape, np.float32) for shape in few.output_shapes]
    pool, n_rows = few.pool, len(x)
    executable = pool.take()
    try:
        executable.run(
            [Rows(x)], few.order, 0, n_rows, n_rows, None, _NO_SUMS, outputs,
            threads_for(few.work), INTERVAL,
        )  # fmt: skip
    finally:
        pool.give(executable)
    return outputs[0] if len(outputs) == 1 else outputs


def _few(model: Learner, shape: tuple[int, ...]) -> Few | None:
    if not (model.built and shape and 0 < shape[0] <= ROWS_AT_A_TIME):
        return None
    executables = model._executables
    signature = executables.signature
    if [shape[1:]] != signature.inputs or not executables.take_data_as_it_comes:
        return None
    n_rows = shape[0]
    return Few(
        executables.predictors(_capacity(n_rows)),
        np.arange(n_rows),
        [(n_rows, *output) for output in signature.outputs],
        n_rows * signature.multiply_adds,
    )


def predict_rows(
    executables: Executables,
    dataset: Dataset,
    batch_size: int | None = None,
    callbacks: CallbackList | None = None,
) -> list[NDArray[np.float32]]:
    """The outputs (rows, ...) of a network for checked inputs.

    Args:
        batch_size: Rows between two calls of ``callbacks``, where one of them hears of batches.
    """
    signature = executables.signature
    n_rows = len(dataset)
    size = _capacity(n_rows)
    before, after = None, None
    if callbacks is not None and callbacks.has_predict_batch_hooks:
        size = batch_size or arguments.BATCH_SIZE
        before, after = callbacks.on_predict_batch_begin, _told(callbacks)
    if n_rows >= ROWS_AT_A_TIME:
        dataset.find_nonzeros(executables.scales_of_sparse_inputs())
    outputs = [np.empty((n_rows, *shape), np.float32) for shape in signature.outputs]
    Runner(
        executables.predictors(size, dataset.longest_rows), dataset.sources(False),
        np.arange(n_rows), size, _NO_SUMS, outputs, signature.multiply_adds,
    ).run(before is not None, before, after)  # fmt: skip
    return outputs


def _told(callbacks: CallbackList) -> Callable[[int, int], bool]:
    def after(batches: int, rows: int) -> bool:
        callbacks.on_predict_batch_end(batches - 1)
        return False

    return after


def _capacity(n_rows: int) -> int:
    """A power of two, so that few programs serve all sizes."""
    return min(1 << (n_rows - 1).bit_length(), ROWS_AT_A_TIME)

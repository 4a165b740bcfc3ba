"""The loop of predict."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fastnn.callbacks import CallbackList
from fastnn.data.batches import Batches, is_batches
from fastnn.data.dataset import Dataset
from fastnn.engine.sources import Rows
from fastnn.images.dataset import ImageDataset
from fastnn.models import arguments
from fastnn.models.executables import INTERVAL, Few, run_batches, threads_for
from fastnn.models.feeding import feed_inputs
from fastnn.models.passes import ROWS_AT_A_TIME

if TYPE_CHECKING:
    from fastnn.models.trainer import Trainer

_FLOAT32 = np.dtype(np.float32)
_NO_SUMS = np.zeros(0)


def predict(
    model: Trainer,
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
        outputs = _predict_rows(model, data, size, hooks)
    else:
        parts = [
            _predict_rows(model, feed_inputs(model, batch), size, hooks)
            for batch, _, _ in data.epoch()
        ]
        if not parts:
            raise ValueError("predict: x yielded no batch")
        outputs = [np.concatenate(arrays) for arrays in zip(*parts, strict=True)]
    hooks.on_predict_end()
    return outputs[0] if len(outputs) == 1 else outputs


def predict_few(model: Trainer, x: Any) -> Any:
    """Of a few rows of plain float32, what ``predict`` returns, without its ceremony; None if ``x``
    is anything else, or wrong.

    One row through a small net takes some twenty microseconds: every look at ``x`` counts.
    """
    if type(x) is not np.ndarray or x.dtype is not _FLOAT32:
        return None
    known = model._executables.few
    few = known.get(x.shape)
    if few is None:
        few = _few(model, x.shape)
        if few is None:
            return None
        known[x.shape] = few
    flags = x.flags
    # Squares can't cancel: their sum is finite only if all numbers are. (It may be infinite without
    # that; then the thorough check decides.)
    if not (flags.c_contiguous and flags.aligned and math.isfinite(np.vdot(x, x))):
        return None
    outputs = [np.empty(shape, np.float32) for shape in few.output_shapes]
    try:
        executable = few.pool.pop()
    except IndexError:
        executable = model._executables.make_predictor(few.capacity)
    n_rows = len(x)
    executable.run(
        [Rows(x)], few.order, 0, n_rows, n_rows, None, _NO_SUMS, outputs, threads_for(few.work),
        INTERVAL,
    )  # fmt: skip
    few.pool.append(executable)
    return outputs[0] if len(outputs) == 1 else outputs


def _few(model: Trainer, shape: tuple[int, ...]) -> Few | None:
    if not (model.built and shape and 0 < shape[0] <= ROWS_AT_A_TIME):
        return None
    executables = model._executables
    signature = executables.signature
    if [shape[1:]] != signature.inputs:
        return None
    n_rows = shape[0]
    return Few(
        _capacity(n_rows),
        executables.predictors(_capacity(n_rows)),
        np.arange(n_rows),
        [(n_rows, *output) for output in signature.outputs],
        n_rows * signature.multiply_adds,
    )


def _predict_rows(
    model: Trainer, dataset: Dataset, batch_size: int | None, hooks: CallbackList
) -> list[NDArray[np.float32]]:
    executables = model._executables
    signature = executables.signature
    n_rows = len(dataset)
    called = hooks.has_predict_batch_hooks
    size = (batch_size or arguments.BATCH_SIZE) if called else _capacity(n_rows)
    if n_rows >= ROWS_AT_A_TIME:
        dataset.find_nonzeros(executables.scales_of_sparse_inputs())
    outputs = [np.empty((n_rows, *shape), np.float32) for shape in signature.outputs]

    def before(batches: int) -> None:
        if called:
            hooks.on_predict_batch_begin(batches)

    def after(batches: int, rows: int) -> bool:
        if called:
            hooks.on_predict_batch_end(batches - 1)
        return False

    sparse = tuple(dataset.longest_rows)
    pool = executables.predictors(size, sparse)
    try:
        executable = pool.pop()
    except IndexError:
        executable = executables.make_predictor(size, sparse)
    run_batches(
        executable, dataset.sources(False), np.arange(n_rows), size, _NO_SUMS, outputs,
        threads_for(min(n_rows, size) * signature.multiply_adds), one_by_one=called,
        before=before, after=after,
    )  # fmt: skip
    pool.append(executable)
    return outputs


def _capacity(n_rows: int) -> int:
    """A power of two, so that few programs serve all sizes."""
    return min(1 << (n_rows - 1).bit_length(), ROWS_AT_A_TIME)

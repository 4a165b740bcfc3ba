"""Data in every form that ``fit`` takes, as arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnn._checks import check_integer
from fastnn.data.batches import is_batches, is_list_of_batches, unpack_batch
from fastnn.data.sparse import is_sparse
from fastnn.frames import as_plain, columns_of, is_frame, is_of_table
from fastnn.health.sample import n_rows_of
from fastnn.images.dataset import ImageDataset
from fastnn.models.arguments import BATCH_SIZE, held_arrays
from fastnn.models.feeding import used_of

if TYPE_CHECKING:
    from fastnn.models import Model

Data = tuple[Any, Any, Any]
"""x, y and sample weights."""


def with_pictures(owner: str, x: Any, y: Any, batch_size: int | None) -> tuple[Any, Any, int]:
    """x, y and the rows of a step; a data set of pictures has them all.

    Raises:
        ValueError: y came beside a data set of pictures, or a batch has no rows.
    """
    if isinstance(x, ImageDataset):
        x, y, batch_size = held_arrays(owner, x, y, batch_size)
    rows = BATCH_SIZE if batch_size is None else batch_size
    return x, y, check_integer(owner, "batch_size", rows, at_least=1)


def gathered(owner: str, model: Model, x: Any, y: Any, sample_weight: Any, most: int) -> Data:
    """Arrays as they are, tables as arrays, for several inputs or outputs by name; of an iterable
    of batches, so many batches that they have ``most`` rows, joined. An iterator is that much
    further then.

    Raises:
        TypeError: ``x`` is None, or a table has a column of dates or the like.
        ValueError: y or weights came beside batches, or there is no batch; or a table has a gap.
    """
    if x is None:
        raise TypeError(f"{owner}: x is missing")
    if not (is_batches(x) or (y is None and is_list_of_batches(x))):
        return _plain(model, x, y, sample_weight)
    if y is not None or sample_weight is not None:
        raise ValueError(f"{owner}: x yields batches, so y and sample_weight must come with them")
    batches: list[Data] = []
    rows = 0
    for batch in x:
        batches.append(_plain(model, *unpack_batch(batch, "x")))
        rows += n_rows_of(batches[-1][0])
        if rows >= most:
            break
    if not batches:
        raise ValueError(f"{owner}: x yields no batch")
    xs, ys, weights = zip(*batches, strict=True)
    return _joined(xs), _joined(ys), _joined(weights)


def validation(owner: str, model: Model, data: Any, most: int) -> Data:
    """``validation_data`` of ``fit``: (x, y), (x, y, sample_weight), an iterable of batches or a
    data set of pictures.

    Raises:
        ValueError: It is none of these.
    """
    if isinstance(data, ImageDataset):
        return data.images, data.labels, None
    if is_batches(data) or is_list_of_batches(data):
        return gathered(owner, model, data, None, None, most)
    if isinstance(data, (tuple, list)) and len(data) in (2, 3):
        x, y, *weight = data
        return _plain(model, x, y, weight[0] if weight else None)
    raise ValueError(
        f"{owner}: validation_data must be (x, y), (x, y, sample_weight) or an iterable of "
        f"batches, got {type(data).__name__}"
    )


def _plain(model: Model, x: Any, y: Any, sample_weight: Any) -> Data:
    """Arrays in the place of tables and their columns, of all that the model reads: a gap is one
    in ``fit``, too, wherever it is. A model that isn't built has one input and one output."""
    inputs, outputs = (len(model.inputs), len(model.outputs)) if model.built else (1, 1)
    if model.built:
        x = used_of(model, x)
    return (
        _arrays(x, "x", inputs > 1),
        _arrays(y, "y", outputs > 1),
        _arrays(sample_weight, "sample_weight", outputs > 1),
    )


def _arrays(data: Any, name: str, several: bool) -> Any:
    """
    Args:
        several: A table's columns are for as many inputs or outputs.
    """
    if several and is_frame(data):
        data = columns_of(data)
    if isinstance(data, Mapping):
        return {key: as_plain(value, str(key)) for key, value in data.items()}
    if isinstance(data, (list, tuple)) and any(map(is_of_table, data)):
        return [as_plain(value, f"{name}[{i}]") for i, value in enumerate(data)]
    return as_plain(data, name)


def _joined(parts: Sequence[Any]) -> Any:
    first = parts[0]
    if first is None:
        return None
    if isinstance(first, Mapping):
        return {name: _joined([part[name] for part in parts]) for name in first}
    if isinstance(first, (tuple, list)) and len(getattr(first[0], "shape", ())) > 0:
        return [_joined(column) for column in zip(*parts, strict=True)]
    if is_sparse(first):
        from scipy.sparse import vstack

        return vstack([part.tocsr() for part in parts], format="csr")
    return np.concatenate([np.asarray(part) for part in parts])

"""Where the first infinity or NaN of a step comes from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import astuple, dataclass, replace
from math import isfinite, isnan, nan
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastnn.data.dataset import Dataset
from fastnn.data.sparse import is_sparse
from fastnn.health.copies import copied
from fastnn.health.passage import Passage
from fastnn.losses import CallableLoss
from fastnn.models.feeding import as_array, by_input, by_output, feed
from fastnn.models.gradients import without_a_step

if TYPE_CHECKING:
    from fastnn.models import Model
    from fastnn.variables import Variable

MOST_SAMPLES = 32
"""So many samples are named at most for a gradient: each takes some backward passes to find."""

_LARGEST = float(np.finfo(np.float32).max)
_SHOWN = 8


@dataclass(frozen=True)
class Located:
    """The first tensor of a step, in the order of computation, that has an infinity or a NaN.

    Attributes:
        layer: The layer's name; of an optimizer's slot, that of its weight's layer; of a target or
            weight of samples, that of the output.
        tensor: "input", "target", "sample_weight"; a weight by its name ("kernel"); the layer's
            output "activation", or "pre-activation" where it is so already before the activation
            function; "loss"; "gradient of kernel"; or what an optimizer keeps ("momentum of
            kernel").
        step: Steps that the optimizer had done before.
        samples: Rows of the batch that it comes from, by number; empty where no single row is to
            blame (a weight, say, or a sum that overflows only over many rows). For a gradient up to
            ``MOST_SAMPLES`` are named; none where the loss is a function in Python.
        nan, infinite: How many of its values are NaN, and infinite or beyond float32.
        size: How many values it has, those of all rows of the batch.
        largest: The largest absolute value of the inputs that the layer had in this step; NaN where
            it had none, or the step does not get that far.
    """

    layer: str
    tensor: str
    step: int
    samples: tuple[int, ...]
    nan: int
    infinite: int
    size: int
    largest: float = nan

    def __eq__(self, other: object) -> bool:
        # Field by field, as Python compares since 3.13, no NaN would equal itself.
        return isinstance(other, Located) and astuple(self) == astuple(other)

    def __str__(self) -> str:
        text = (
            f"step {self.step}: the {self.tensor} of layer {self.layer!r} is the first that is not "
            f"finite ({self.nan} NaN and {self.infinite} infinite of {self.size} values)"
        )
        if self.samples:
            shown = ", ".join(map(str, self.samples[:_SHOWN]))
            rest = len(self.samples) - _SHOWN
            text += f", from sample{'s' * (len(self.samples) > 1)} {shown}"
            text += f" and {rest} more" if rest > 0 else ""
        if not isnan(self.largest):
            text += f"; the layer's inputs reach {self.largest:.3g}"
        return text


def locate_nonfinite(
    model: Model, x: Any, y: Any = None, sample_weight: ArrayLike | None = None
) -> Located | None:
    """Find the first infinity or NaN that the next step on this batch would come upon.

    The step is run on a copy, as training would run it: batch statistics in normalization, dropout
    with the masks of the optimizer's next step. It is looked at in the order of computation: data,
    weights, the output of each layer, the loss, gradients from the last layer to the first, then
    what the step does not read before its end: moving statistics and the optimizer's slots. The
    model, its optimizer and the random numbers stay as they are.

    A sample is to blame for a gradient if it alone brings about one that is not finite, with the
    loss of all others weighted by 0: batch statistics are those of the whole batch.

    Args:
        model: Compiled.
        x, y, sample_weight: One batch, arrays as ``fit`` takes them, but for numbers that are not
            finite, which are found, not refused.

    Returns:
        None if all is finite.

    Raises:
        TypeError, ValueError: The model is not compiled, or the data does not fit it.
    """
    model._check_compiled()
    with copied(model) as copy:
        try:
            dataset = feed(copy, x, y, sample_weight)
        except ValueError:
            found = _in_data(copy, x, y, sample_weight)
            if found is None:
                raise
            return found
        return locate(copy, dataset)


def locate(model: Model, data: Dataset) -> Located | None:
    """``locate_nonfinite`` of checked data; the optimizer may get its first slots."""
    inputs = [as_array(model, i, x).reshape(len(x), -1) for i, x in enumerate(data.inputs)]
    passage = Passage(model, data, inputs)
    # In the order in which a step comes to them; those of shared layers once.
    read = list(dict.fromkeys(v for made in passage.made for v in made.variables))
    largest: dict[str, float] = {}
    return (
        _in_arrays(model, {v.path: v.numpy() for v in read})
        or _in_layers(model, data, passage, largest)
        or _in_gradients(model, data, read, largest)
        or _in_arrays(model, {v.path: v.numpy() for v in model.weights})
        or _in_arrays(model, _slots(model))
    )


def _count(values: NDArray[Any]) -> tuple[int, int, int]:
    """NaN, infinite or beyond float32, all."""
    if values.dtype.kind != "f":
        return 0, 0, values.size
    missing = int(np.isnan(values).sum())
    return missing, int((~(np.abs(values) <= _LARGEST)).sum()) - missing, values.size


def _bad_rows(values: NDArray[Any]) -> tuple[int, ...]:
    fits = np.abs(values.reshape(len(values), -1)) <= _LARGEST
    return tuple(np.flatnonzero(~fits.all(axis=1)).tolist())


def _found(
    model: Model, layer: str, tensor: str, values: NDArray[Any], by_rows: bool, **more: float
) -> Located | None:
    missing, infinite, size = _count(values)
    if not missing + infinite:
        return None
    rows = _bad_rows(values) if by_rows else ()
    return Located(layer, tensor, model.optimizer.iterations, rows, missing, infinite, size, **more)


def _in_data(model: Model, x: Any, y: Any, sample_weight: Any) -> Located | None:
    """In what the caller gave, which may be wrong in other ways, too."""
    if not model.built:
        return None
    given = [("input", tensor.name) for tensor in model.inputs]
    given += [(kind, name) for kind in ("target", "sample_weight") for name in model.output_names]
    if isinstance(sample_weight, np.ndarray):  # for all outputs
        sample_weight = dict.fromkeys(model.output_names, sample_weight)
    arrays = [
        *by_input(model, x).values(),
        *by_output(model, y, "y").values(),
        *by_output(model, sample_weight, "sample_weight").values(),
    ]
    for (tensor, layer), array in zip(given, arrays, strict=True):
        if array is None:
            continue
        values = array.toarray() if is_sparse(array) else np.asarray(array)
        found = _found(model, layer, tensor, values, True) if values.ndim else None
        if found is not None:
            return found
    return None


def _in_arrays(model: Model, arrays: Mapping[str, NDArray[Any]]) -> Located | None:
    """In weights or slots, by path."""
    for path, values in arrays.items():
        layer, *rest = path.split("/")
        found = _found(model, layer, " of ".join(reversed(rest)), values, False)
        if found is not None:
            return found
    return None


def _slots(model: Model) -> dict[str, NDArray[Any]]:
    arrays = model._state().arrays()
    return {path: values for path, values in arrays.items() if "/" in path}


def _in_layers(
    model: Model, data: Dataset, passage: Passage, largest: dict[str, float]
) -> Located | None:
    """In the forward pass and the loss.

    Args:
        largest: Gets the largest absolute value of each layer's inputs.
    """
    reached: dict[int, float] = {}
    kept = {}
    heads = {place for place, _ in passage.heads}
    for made, values in passage.values():
        if made.inputs:
            inputs = max(reached[place] for place in made.inputs)
            largest[made.layer] = max(inputs, largest.get(made.layer, 0.0))
        found = _found(
            model, made.layer, made.tensor, values, True, largest=largest.get(made.layer, nan)
        )
        if found is not None:
            return found
        reached[made.place] = float(np.abs(values.astype(np.float64)).max())
        if made.place in heads:
            kept[made.place] = values
    with without_a_step(model, data) as (_, totals):
        loss = totals.logs()["loss"]
    if isfinite(loss):
        return None
    place = passage.heads[-1][0]
    return _found(
        model, passage.made[place].layer, "loss", passage.losses(kept), True,
        largest=reached[place],
    ) or Located(
        passage.made[place].layer, "loss", model.optimizer.iterations, (), int(isnan(loss)),
        int(not isnan(loss)), 1, reached[place],
    )  # fmt: skip


def _in_gradients(
    model: Model, data: Dataset, read: list[Variable], largest: Mapping[str, float]
) -> Located | None:
    """In the gradients of weights, from the last layer to the first."""
    with without_a_step(model, data) as (program, _):
        gradients = {path: values.copy() for path, values in program.gradients.items()}
    for layer in reversed(list(dict.fromkeys(_layer(variable) for variable in read))):
        for variable in read:
            if _layer(variable) != layer or variable.path not in gradients:
                continue
            missing, infinite, _ = _count(gradients[variable.path])
            if missing + infinite:
                samples = tuple(_to_blame(model, data, variable.path))
                return Located(
                    layer, f"gradient of {variable.name}", model.optimizer.iterations, samples,
                    missing, infinite, variable.size, largest.get(layer, nan),
                )  # fmt: skip
    return None


def _layer(variable: Variable) -> str:
    return variable.path.rpartition("/")[0]


def _to_blame(model: Model, data: Dataset, path: str) -> list[int]:
    """Rows each of which alone makes the gradient at ``path`` not finite."""
    if any(isinstance(objective.loss, CallableLoss) for objective in model._objectives()):
        return []
    rows = np.arange(len(data))

    def is_bad(some: NDArray[np.int64]) -> bool:
        chosen = np.isin(rows, some).astype(np.float32)
        weights = [chosen if w is None else w * chosen for w in data.weights]
        with without_a_step(model, replace(data, weights=list(weights))) as (program, _):
            return not np.isfinite(program.gradients[path]).all()

    def search(some: NDArray[np.int64]) -> Iterator[int]:
        if not is_bad(some):
            return
        if len(some) == 1:
            yield int(some[0])
            return
        for half in np.array_split(some, 2):
            yield from search(half)

    # Without any row there are still the penalties.
    if is_bad(rows[:0]):
        return []
    found = []
    for row in search(rows):
        found.append(row)
        if len(found) == MOST_SAMPLES:
            break
    return found

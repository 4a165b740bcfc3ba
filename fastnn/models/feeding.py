"""What a user passes as x, y and weights, checked against a model: a Dataset."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastnn._warnings import warn
from fastnn.data.arrays import as_indices, as_rows, check_same_length
from fastnn.data.dataset import Dataset
from fastnn.data.sparse import SparseMatrix, as_sparse_matrix, is_sparse
from fastnn.data.targets import are_labels, as_labels, as_targets, as_weights, class_weights
from fastnn.engine.sources import SparseRows
from fastnn.frames import as_plain, columns_of, is_frame
from fastnn.graph import Network, SymbolicTensor
from fastnn.layers.preprocessing import PreprocessingLayer
from fastnn.lowering.objective import Objective
from fastnn.models.frontier import frontier
from fastnn.models.learner import Learner


def feed_inputs(model: Learner, x: Any) -> Dataset:
    """The inputs alone; builds the model if need be.

    Raises:
        TypeError, ValueError: They don't fit the model; the message names the argument.
    """
    inputs = _inputs(model, x)
    check_same_length({name: len(rows) for name, rows in inputs.items()})
    return Dataset(list(inputs.values()))


def feed(
    model: Learner,
    x: Any,
    y: Any,
    sample_weight: Any = None,
    class_weight: Mapping[int, float] | None = None,
) -> Dataset:
    """Inputs, targets and weights; builds the model if need be.

    Raises:
        TypeError, ValueError: They don't fit the model or each other, or the model has no loss.
    """
    if class_weight is not None and sample_weight is not None:
        raise ValueError("class_weight and sample_weight can't be given at the same time")
    inputs = _inputs(model, x)
    lengths = {name: len(rows) for name, rows in inputs.items()}
    dataset = Dataset(list(inputs.values()))
    objectives = model._objectives()
    if not any(objective.loss for objective in objectives):
        raise ValueError("the model has no loss: call compile(optimizer, loss)")
    names = model.output_names
    targets = by_output(model, y, "y")
    for output, objective, (name, target) in zip(
        model.outputs, objectives, targets.items(), strict=True
    ):
        if objective.has_target:
            dataset.targets.append(_target(target, name, output, objective))
            lengths[name] = len(dataset.targets[-1])
    n_rows = check_same_length(lengths)
    if class_weight is not None:
        if len(names) > 1:
            raise ValueError("class_weight is only for models with one output")
        if len(model.outputs[0].shape) > 2:
            raise ValueError(
                "class_weight is for models whose output has one axis: give sample_weight, got an "
                f"output of shape {model.outputs[0].shape}"
            )
        classes = model.outputs[0].shape[-1] or 1
        dataset.weights.append(class_weights(class_weight, dataset.targets[0], classes))
        return dataset
    sample_weight = (
        sample_weight if is_frame(sample_weight) else as_plain(sample_weight, "sample_weight")
    )
    if isinstance(sample_weight, np.ndarray):  # for all outputs
        sample_weight = dict.fromkeys(names, sample_weight)
    weights = by_output(model, sample_weight, "sample_weight")
    for objective, (name, weight) in zip(objectives, weights.items(), strict=True):
        if objective.takes_weights:
            checked = None if weight is None else as_weights(weight, name, n_rows)
            dataset.weights.append(checked)
    return dataset


def as_array(
    model: Network, number: int, rows: NDArray[Any] | SparseMatrix | SparseRows
) -> NDArray[Any]:
    """Rows of what the engine reads, as they came to it, in the shape that the model takes."""
    # Of an array's nonzeros only what the program reads is kept.
    assert not isinstance(rows, SparseRows)
    array = rows.toarray() if isinstance(rows, SparseMatrix) else rows
    return array.reshape(len(rows), *frontier(model).sources[number].extents)


def _inputs(model: Learner, x: Any) -> dict[str, NDArray[Any] | SparseMatrix]:
    """What the engine reads, by a name for messages."""
    if not model.built:
        shape = tuple(x.shape) if hasattr(x, "shape") else np.shape(x)
        if len(shape) < 2:
            raise ValueError(f"x must have shape (N, ...), got {shape}")
        model.build((None, *shape[1:]))
    given = by_input(model, x)
    if model._executables.take_data_as_it_comes:
        return {
            name: _input(model, number, tensor, given[name], name)
            for number, (name, tensor) in enumerate(zip(given, model.inputs, strict=True))
        }
    return _prepared(model, given)


def _prepared(model: Learner, given: dict[str, Any]) -> dict[str, NDArray[Any] | SparseMatrix]:
    """What the engine reads, where layers come before it or some of it are integers."""
    steps, sources, _ = frontier(model)
    read = {tensor for node in steps for tensor in node.inputs}
    names = dict(zip(model.inputs, given, strict=True))
    values = dict(zip(model.inputs, given.values(), strict=True))
    for tensor in [tensor for tensor in model.inputs if tensor in read]:
        values[tensor] = _as_given(values[tensor], names[tensor], tensor.extents)
    for node in steps:
        layer, (tensor,) = node.layer, node.inputs
        assert isinstance(layer, PreprocessingLayer)
        values[node.output] = layer.transform(values[tensor])
        names[node.output] = f"what layer {layer.name!r} makes of {names[tensor]}"
    return {
        names[tensor]: _input(model, number, tensor, values[tensor], names[tensor])
        for number, tensor in enumerate(sources)
    }


def _as_given(value: Any, name: str, shape: tuple[int, ...]) -> NDArray[Any]:
    """Rows (N, *shape) of anything, texts say; a last axis of extent 1 may be missing.

    Raises:
        ValueError: Another shape, or no rows.
    """
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise ValueError(f"{name} must be an array, got rows of different lengths") from error
    if shape[-1:] == (1,) and array.ndim == len(shape):
        array = array[..., None]
    if array.ndim == 0 or array.shape[1:] != shape:
        wanted = ", ".join(["N", *map(str, shape)])
        raise ValueError(f"{name} must have shape ({wanted}), got {array.shape}")
    if not len(array):
        raise ValueError(f"{name} is empty: got shape {array.shape}")
    return array


def used_of(model: Learner, x: Any) -> Any:
    """Of a dict or table what the built model reads, by its inputs' names; else ``x`` itself.

    It may have more than that, as in Keras: an id, say, or the target. What is not used is named in
    a warning.

    Raises:
        ValueError: One of these names is missing.
    """
    names = [tensor.name for tensor in model.inputs]
    if is_frame(x) and len(names) > 1:
        x = columns_of(x)
    if isinstance(x, Mapping):
        missing = [name for name in names if name not in x]
        if missing:
            raise ValueError(f"x must have {names}, got {sorted(map(str, x))}: {missing} missing")
        others = sorted(str(name) for name in x if name not in names)
        if others:
            warn(f"x has more than the inputs of the model, {names}: {others} are not used")
        x = {name: x[name] for name in names}
    return x


def by_input(model: Learner, x: Any) -> dict[str, Any]:
    """``x`` for each input of the built model, by a name for messages; see ``used_of``.

    Raises:
        ValueError: It is not a list of as many, or a dict or table without one of these names; or
            a column that is used has a gap.
        TypeError: A table's column holds dates or the like.
    """
    names = [tensor.name for tensor in model.inputs]
    given = _each(used_of(model, x), "x", "input", names)
    return {name: as_plain(value, name) for name, value in given.items()}


def _input(
    model: Learner, number: int, tensor: SymbolicTensor, value: Any, name: str
) -> NDArray[Any] | SparseMatrix:
    """What the engine reads as source ``number``, checked against the tensor."""
    shape = tensor.extents
    bound = model._executables.index_inputs().get(number)
    if bound is not None:
        return as_indices(value, name, shape, *bound)
    if not is_sparse(value):
        return as_rows(value, name, shape)
    scale = model._executables.scales_of_sparse_inputs().get(number)
    if scale is None:
        raise ValueError(
            f"{name} must not be a sparse matrix, since other layers than Dense read it, or "
            "Rescaling adds an offset to it: give its toarray()"
        )
    return as_sparse_matrix(value, name, shape, scale)


def _target(value: Any, name: str, output: SymbolicTensor, objective: Objective) -> NDArray[Any]:
    if value is None:
        raise ValueError(f"{name} is missing: output {output.name!r} has a loss or metrics")
    shape = output.extents
    takes_labels = objective.takes_labels
    if takes_labels is None:
        takes_labels = shape[-1] > 1 and are_labels(value, shape)
    if takes_labels:
        return as_labels(value, name, shape)
    return as_targets(value, name, shape)


def by_output(model: Learner, value: Any, argument: str) -> dict[str, Any]:
    """``value`` for each output, by a name for messages; None where there is none.

    Raises:
        ValueError: It is not a list or dict of as many.
    """
    names = model.output_names
    if isinstance(value, Mapping):
        unknown = sorted(map(str, set(value) - set(names)))
        if unknown:
            raise ValueError(f"{argument} must have keys of {names}, got {unknown}")
        value = {name: value.get(name) for name in names}
    elif value is None:
        value = dict.fromkeys(names)
    elif is_frame(value) and len(names) > 1:
        return by_output(model, columns_of(value), argument)
    given = _each(value, argument, "output", names)
    return {name: as_plain(each, name) for name, each in given.items()}


def _each(values: Any, argument: str, what: str, names: list[str]) -> dict[str, Any]:
    """The entries of a list or dict, one for each of ``names``, by a name for messages."""
    if isinstance(values, Mapping):
        values = [values[name] for name in names]
    elif len(names) == 1 and not _is_list_of_one(values):
        values = [values]
    elif not isinstance(values, (list, tuple)) or len(values) != len(names):
        came = f"{len(values)}" if isinstance(values, (list, tuple)) else type(values).__name__
        raise ValueError(
            f"{argument} must be a list of {len(names)} arrays, one for each {what} "
            f"({', '.join(names)}), got {came}"
        )
    if len(names) == 1:
        return {argument: values[0]}
    return {
        f"{argument}[{i}] ({what} {name!r})": value
        for i, (name, value) in enumerate(zip(names, values, strict=True))
    }


def _is_list_of_one(value: Any) -> bool:
    """Whether this is the list of the only input's or output's array, not a list of numbers."""
    alone = isinstance(value, (list, tuple)) and len(value) == 1
    return alone and len(getattr(value[0], "shape", ())) > 0

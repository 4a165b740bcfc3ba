"""The table that ``Model.summary`` prints."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest
from textwrap import wrap
from typing import Protocol

from fastnn._checks import check_integer
from fastnn.graph import Network, Shape
from fastnn.layers.base import Layer
from fastnn.layers.input import InputLayer
from fastnn.variables import Variable


class Summarized(Network, Protocol):
    """What the table shows of a model. ``Model`` is the class that has it."""

    built: bool

    @property
    def name(self) -> str:
        """The model's name."""

    @property
    def layers(self) -> list[Layer]:
        """Every layer once, inputs included."""

    @property
    def weights(self) -> list[Variable]:
        """The weights of all layers."""

    @property
    def trainable_weights(self) -> list[Variable]:
        """Those that training changes."""


MIN_LINE_LENGTH = 40

_HEADER = ("Layer (type)", "Output Shape", "Param #", "Connected to")
_MIN_WIDTHS = (28, 25, 12, 20)


def summary_text(model: Summarized, line_length: int | None = None) -> str:
    """The table of ``model``, in Keras's columns; "Connected to" only if it isn't a plain chain.

    Plain ASCII: box-drawing characters can't be printed everywhere.
    """
    if line_length is not None:
        check_integer("summary", "line_length", line_length, at_least=MIN_LINE_LENGTH)
    shapes, sources = _connections(model)
    rows = [_row(layer, shapes.get(layer, []), sources.get(layer, [])) for layer in model.layers]
    n_columns = 3 if _is_chain(model) else 4
    cells = [row[:n_columns] for row in (_HEADER, *rows)]
    widths = _widths(cells, line_length)
    rule = sum(widths)
    header, *body = (_lines(row, widths) for row in cells)
    trainable = _n_values(model.trainable_weights)
    total = _n_values(model.weights)
    return "\n".join(
        [
            f'Model: "{model.name}"',
            "_" * rule,
            header,
            "=" * rule,
            *body,
            "=" * rule,
            f"Total params: {_with_size(total)}",
            f"Trainable params: {_with_size(trainable)}",
            f"Non-trainable params: {_with_size(total - trainable)}",
            "_" * rule,
        ]
    )


def _connections(model: Summarized) -> tuple[dict[Layer, list[Shape]], dict[Layer, list[str]]]:
    """For each layer, the shapes that its calls make and the layers that they read."""
    shapes: dict[Layer, list[Shape]] = {}
    sources: dict[Layer, list[str]] = {}
    if model.built:
        for tensor in model.inputs:
            shapes[tensor.node.layer] = [tensor.shape]
        for node in model.nodes:
            made = shapes.setdefault(node.layer, [])
            if node.output.shape not in made:
                made.append(node.output.shape)
            sources.setdefault(node.layer, []).extend(tensor.name for tensor in node.inputs)
    return shapes, sources


def _is_chain(model: Summarized) -> bool:
    # The rows of a Sequential are a chain, whatever the graph is inside a model among them.
    if not any(isinstance(layer, InputLayer) for layer in model.layers):
        return True
    if len(model.inputs) > 1 or len(model.outputs) > 1:
        return False
    tensor = model.inputs[0]
    for node in model.nodes:
        if node.inputs != (tensor,):
            return False
        tensor = node.output
    return True


def _row(layer: Layer, shapes: list[Shape], sources: list[str]) -> tuple[str, str, str, str]:
    if not shapes and layer.built:
        # A model inside a Sequential: its own layers are in the graph, it isn't.
        shapes = [getattr(layer, "output_shape", ())]
    return (
        f"{layer.name} ({type(layer).__name__})",
        ", ".join(map(str, shapes)) if layer.built else "?",
        f"{layer.count_params():,}" if layer.built else "0 (unbuilt)",
        ", ".join(sources) or "-",
    )


def _widths(cells: Sequence[Sequence[str]], line_length: int | None) -> list[int]:
    if line_length is None:
        longest = [max(map(len, column)) + 2 for column in zip(*cells, strict=True)]
        return [max(width, least) for width, least in zip(longest, _MIN_WIDTHS, strict=False)]
    least = _MIN_WIDTHS[: len(cells[0])]
    widths = [line_length * width // sum(least) for width in least]
    widths[-1] += line_length - sum(widths)
    return widths


def _lines(row: Sequence[str], widths: Sequence[int]) -> str:
    """One row of the table, over as many lines as its longest text needs."""
    columns = [wrap(cell, width - 2) for cell, width in zip(row, widths, strict=True)]
    return "\n".join(
        "".join(f" {text:<{width - 1}}" for text, width in zip(line, widths, strict=True)).rstrip()
        for line in zip_longest(*columns, fillvalue="")
    )


def _n_values(variables: Sequence[Variable]) -> int:
    return sum(variable.size for variable in variables)


def _with_size(n_values: int) -> str:
    """``"407,050 (1.55 MB)"``: float32 values, and their memory in units of 1024."""
    size, unit = 4.0 * n_values, "B"
    for larger in ("KB", "MB", "GB", "TB"):
        if size < 1024:
            break
        size, unit = size / 1024, larger
    return f"{n_values:,} ({size:.2f} {unit})"

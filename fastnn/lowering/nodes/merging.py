"""Nodes of several inputs."""

from __future__ import annotations

from dataclasses import dataclass

from fastnn.lowering.builder import Builder, Gradient
from fastnn.lowering.graph import Node


@dataclass(eq=False)
class AddNode(Node):
    """The sum of the inputs."""

    def forward(self, builder: Builder) -> None:
        terms = [builder.values[value] for value in self.inputs]
        y = builder.activation(self.output)
        for number, term in enumerate(terms):
            builder.affine(term, y, self.output.features, accumulate=number > 0)

    def backward(self, builder: Builder, dy: Gradient) -> None:
        for value in self.inputs:
            if value in builder.needs_gradient:
                builder.pass_on(value, dy.buffer)


@dataclass(eq=False)
class ConcatenateNode(Node):
    """The inputs side by side."""

    def forward(self, builder: Builder) -> None:
        parts = [builder.values[value] for value in self.inputs]
        y, to = builder.activation(self.output), 0
        for part, value in zip(parts, self.inputs, strict=True):
            builder.emit(
                "copy_columns", x=part, y=y, count=value.features, to=to,
                features_of_y=self.output.features,
            )  # fmt: skip
            to += value.features

    def backward(self, builder: Builder, dy: Gradient) -> None:
        to = 0
        for value in self.inputs:
            start, to = to, to + value.features
            if value not in builder.needs_gradient:
                continue
            dx, accumulate = builder.contribution(value)
            builder.emit(
                "copy_columns", x=dy.buffer, y=dx, count=value.features, start=start,
                accumulate=accumulate, features_of_y=value.features,
            )  # fmt: skip

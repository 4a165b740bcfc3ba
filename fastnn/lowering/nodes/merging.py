"""Nodes of several inputs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fastnn.lowering.builder import Builder, Gradient
from fastnn.lowering.nodes.base import LoweredNode


@dataclass(eq=False)
class SumNode(LoweredNode):
    """The sum of the inputs, each times its scale."""

    scales: Sequence[float]

    def forward(self, builder: Builder) -> None:
        terms = [builder.values[value] for value in self.inputs]
        y = builder.activation(self.output)
        for number, (term, scale) in enumerate(zip(terms, self.scales, strict=True)):
            builder.affine(term, y, self.output.features, scale, accumulate=number > 0)

    def backward(self, builder: Builder, dy: Gradient) -> None:
        for value, scale in zip(self.inputs, self.scales, strict=True):
            if value not in builder.needs_gradient:
                continue
            if scale == 1:
                builder.pass_on(value, dy.buffer)
                continue
            dx, accumulate = builder.contribution(value)
            builder.affine(dy.buffer, dx, value.features, scale, accumulate=accumulate)


@dataclass(eq=False)
class MultiplyNode(LoweredNode):
    """The product of two inputs, number by number."""

    def forward(self, builder: Builder) -> None:
        x, y = (builder.values[value] for value in self.inputs)
        z = builder.activation(self.output)
        builder.emit("multiply", x=x, y=y, z=z, features=self.output.features)

    def backward(self, builder: Builder, dy: Gradient) -> None:
        for value, other in zip(self.inputs, reversed(self.inputs), strict=True):
            if value not in builder.needs_gradient:
                continue
            dx, accumulate = builder.contribution(value)
            builder.emit(
                "multiply", x=dy.buffer, y=builder.values[other], z=dx, features=value.features,
                accumulate=accumulate,
            )  # fmt: skip


@dataclass(eq=False)
class ExtremumNode(LoweredNode):
    """The larger, or the smaller, of two inputs, number by number.

    Where both are equal, each has half of the gradient, as in JAX.
    """

    smallest: bool

    def forward(self, builder: Builder) -> None:
        x, y = (builder.values[value] for value in self.inputs)
        z = builder.activation(self.output)
        builder.emit(
            "extremum", x=x, y=y, z=z, features=self.output.features, smallest=self.smallest
        )

    def backward(self, builder: Builder, dy: Gradient) -> None:
        for value, other in zip(self.inputs, reversed(self.inputs), strict=True):
            if value not in builder.needs_gradient:
                continue
            dx, accumulate = builder.contribution(value)
            builder.emit(
                "extremum_backward", x=builder.values[value], other=builder.values[other],
                z=builder.values[self.output], dz=dy.buffer, dx=dx, features=value.features,
                accumulate=accumulate,
            )  # fmt: skip


@dataclass(eq=False)
class ConcatenateNode(LoweredNode):
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

"""Nodes of layers that use random numbers, and what takes their place in inference."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from fastnn.activations import Activation
from fastnn.kernels.codes import ACTIVATIONS
from fastnn.lowering.builder import Builder, Gradient
from fastnn.lowering.nodes.base import LoweredNode
from fastnn.lowering.nodes.dense import DenseNode, DenseProduct
from fastnn.lowering.nodes.elementwise import activation_params
from fastnn.lowering.program import Buffer, Buffers
from fastnn.lowering.randomness import Mask, Stream
from fastnn.lowering.values import Value
from fastnn.variables import Variable

POINTS = 16
"""How many points the quadrature for expectations has."""


def lines_of_numbers(value: Value) -> int:
    """Rows of random numbers for each row of the batch: see ``count_rows`` of the kernels."""
    return 1 if value.positions == 1 else -(-value.positions // 4) * 4


class NoiseNode(LoweredNode):
    """Noise on the activations, in training only."""


@dataclass(eq=False)
class DroppingNode(NoiseNode):
    """x / (1 - rate), or 0: what is dropped together, the op of a subclass says."""

    op: ClassVar[str]

    mask: Mask

    def forward(self, builder: Builder) -> None:
        x = builder.values[self.inputs[0]]
        self._emit(builder, x, builder.activation(self.output))

    def backward(self, builder: Builder, dy: Gradient) -> None:
        dx, accumulate = builder.contribution(self.inputs[0])
        self._emit(builder, dy.buffer, dx, accumulate)

    def _emit(self, builder: Builder, x: Buffer, y: Buffer, accumulate: bool = False) -> None:
        builder.emit(
            self.op, x=x, y=y, features=self.output.features, accumulate=accumulate,
            scale=self.mask.scale, **self.mask.settings(self._lines()),
        )  # fmt: skip

    def _lines(self) -> int:
        """Rows of random numbers for each row of the batch."""
        return lines_of_numbers(self.output)


class DropoutNode(DroppingNode):
    """Each number by itself."""

    op = "dropout"


class DropChannelsNode(DroppingNode):
    """Each channel of a row, at all positions."""

    op = "drop_channels"

    def _lines(self) -> int:
        return 1


@dataclass(eq=False)
class GaussianNoiseNode(NoiseNode):
    """x + stddev * a normal number"""

    stream: Stream
    stddev: float

    def forward(self, builder: Builder) -> None:
        builder.emit(
            "gaussian_noise", x=builder.values[self.inputs[0]], y=builder.activation(self.output),
            features=self.output.features, scale=self.stddev,
            **self.stream.settings(lines_of_numbers(self.output)),
        )  # fmt: skip

    def backward(self, builder: Builder, dy: Gradient) -> None:
        builder.pass_on(self.inputs[0], dy.buffer)


@dataclass(eq=False)
class DropConnectNode(DenseNode):
    """f(x (W * mask / (1 - rate)) + b)"""

    weight_mask: Mask
    dropped: Buffer | None = field(default=None, init=False)
    """W with its mask."""

    def forward(self, builder: Builder) -> None:
        self.dropped = builder.buffers.raw(f"{self.name}/dropped", self.kernel.storage.nbytes)
        settings = self.product_settings(builder)
        builder.emit(
            "drop_weights", w=builder.weight(self.kernel), dropped=self.dropped,
            scale=self.weight_mask.scale, **self.weight_mask.settings(lines=0),
            **{name: settings[name] for name in ("inputs", "units", "kernel_block")},
        )  # fmt: skip
        super().forward(builder)

    def factor(self, builder: Builder) -> Buffer | None:
        return self.dropped

    def weight_product(self, dz: Buffer) -> DenseProduct:
        product = super().weight_product(dz)
        product.dropped, product.scale = self.dropped, self.weight_mask.scale
        return product


@dataclass(eq=False)
class ExpectationNode(LoweredNode):
    """The expectation of f(z), z normal with mean x W + b and variance rate / (1 - rate) x^2 W^2:
    DropConnect in inference."""

    kernel: Variable
    bias: Variable | None
    activation: Activation
    rate: float

    def forward(self, builder: Builder) -> None:
        x, features = self.inputs[0], self.output.features
        mean = Value(f"{self.output.name}/mean", features, self.output.positions)
        product = DenseNode(
            self.name, self.inputs, mean, Activation("linear"), self.kernel, self.bias
        )
        product.forward(builder)
        kernel = Buffers.raw(f"{self.name}/kernel^2", self.kernel.storage.nbytes)
        builder.emit(
            "square_weights", w=builder.weight(self.kernel), y=kernel,
            size=self.kernel.storage.size,
        )  # fmt: skip
        squares = builder.buffers.of_value(f"{x.name}^2", x)
        builder.emit("square", x=self._dense(builder, x), y=squares, features=x.features)
        variance = builder.buffers.of_value(f"{self.output.name}/variance", self.output)
        builder.emit(
            "dense_forward", x=squares, kernel=kernel, y=variance,
            **product.product_settings(builder), segments=product.segments,
            activation=ACTIVATIONS["linear"],
        )  # fmt: skip
        builder.emit(
            "gaussian_expectation", mean=builder.values[mean], variance=variance,
            nodes=Buffers.of_array("quadrature", quadrature()), y=builder.activation(self.output),
            features=features, activation=ACTIVATIONS[self.activation.kind], points=POINTS,
            ratio=self.rate / (1.0 - self.rate), **activation_params(self.activation),
        )  # fmt: skip

    def backward(self, builder: Builder, dy: Gradient) -> None:
        """Nothing: it is there in inference only."""

    def _dense(self, builder: Builder, x: Value) -> Buffer:
        if x not in builder.nonzeros:
            return builder.values[x]
        dense = builder.buffers.of_value(f"{x.name}/dense", x)
        builder.emit("gather_nonzeros", y=dense, features=x.features, source=builder.nonzeros[x][0])
        return dense


def quadrature() -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    """Nodes and weights (2, POINTS) of Gauss and Hermite's quadrature for the standard normal
    distribution."""
    from numpy.polynomial.hermite_e import hermegauss

    nodes, weights = hermegauss(POINTS)
    return np.stack([nodes, weights / weights.sum()]).astype(np.float32)

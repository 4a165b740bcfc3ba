"""f(sum over taps of x_t w_t + b), each channel by itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from fastnn.kernels.codes import ACTIVATIONS
from fastnn.kernels.layout import BLOCK, n_blocks
from fastnn.layers.geometry import Axis
from fastnn.lowering.builder import Builder, Gradient
from fastnn.lowering.emitter import Emitter
from fastnn.lowering.nodes.activated import ActivatedNode, take_through
from fastnn.lowering.nodes.base import LoweredNode
from fastnn.lowering.nodes.elementwise import activation_params
from fastnn.lowering.nodes.slices import SlicedProduct
from fastnn.lowering.program import Buffer, Buffers
from fastnn.lowering.windows import adjoint, window_table
from fastnn.variables import Variable


@dataclass(eq=False)
class DepthwiseNode(ActivatedNode):
    """A convolution of each channel over ``axes``; its kernel is a matrix (taps, channels)."""

    can_drop: ClassVar[bool] = False

    kernel: Variable
    bias: Variable | None
    axes: Sequence[Axis]

    def __post_init__(self) -> None:
        self.windows = window_table(tuple(self.axes))

    def variables(self) -> list[Variable]:
        return [self.kernel] if self.bias is None else [self.kernel, self.bias]

    def forward(self, builder: Builder) -> None:
        builder.emit(
            "depthwise_forward", x=builder.values[self.inputs[0]],
            kernel=builder.weight(self.kernel), bias=builder.weight(self.bias),
            windows=self.table(), y=builder.activation(self.output), z=self.room_for_z(builder),
            windows_of_row=len(self.windows), activation=ACTIVATIONS[self.activation.kind],
            **self._settings(), **activation_params(self.activation),
        )  # fmt: skip

    def backward(self, builder: Builder, dy: Gradient) -> None:
        x = self.inputs[0]
        dz = self.gradient_of_z(builder, dy)
        if x in builder.needs_gradient:
            self._backward_input(builder, dz)
        if self.kernel.trainable:
            product = DepthwiseProduct(self.kernel, self.bias, x, dz, node=self)
            builder.weight_gradients.add(product)

    def _backward_input(self, builder: Builder, dz: Buffer) -> None:
        x = self.inputs[0]
        dx, accumulate = builder.contribution(x)
        through, x_z = take_through(builder, self, accumulate)
        table = adjoint(self.windows, x.positions)
        builder.emit(
            "depthwise_backward_input", dz=dz, kernel=builder.weight(self.kernel),
            windows=Buffers.of_array(f"{self.name}/adjoint", table), dx=dx, x_z=x_z,
            x=builder.values[x] if through.kind != "linear" else None,
            activation=ACTIVATIONS[through.kind], positions=x.positions, accumulate=accumulate,
            **self._settings(), **activation_params(through),
        )  # fmt: skip

    def table(self) -> Buffer:
        """Which positions the windows read."""
        return Buffers.of_array(f"{self.name}/windows", self.windows)

    def _settings(self) -> dict[str, int]:
        return {
            "features": self.output.features,
            "kernel_block": self.kernel.storage.shape[1] * BLOCK,
            "taps": self.windows.shape[1],
        }


@dataclass(eq=False)
class DepthwiseProduct(SlicedProduct):
    """The sum over windows of x dz, tap by tap."""

    node: DepthwiseNode = field(kw_only=True)

    def tasks_of_slice(self) -> int:
        return n_blocks(self.units)

    def produce(self, emitter: Emitter) -> None:
        self.partials = self.room(emitter, "partials", self.rows)
        emitter.emit(
            "depthwise_backward_weights", x=emitter.values[self.x], dz=self.dz,
            windows=self.node.table(), partials=self.partials, features=self.units,
            slice=self.slice(emitter), taps=self.rows, windows_of_row=len(self.node.windows),
        )  # fmt: skip


@dataclass(eq=False)
class RepeatNode(LoweredNode):
    """Each channel several times: channel c becomes ``times`` channels from c * times on."""

    times: int

    def forward(self, builder: Builder) -> None:
        x = self.inputs[0]
        builder.emit(
            "repeat_channels", x=builder.values[x], y=builder.activation(self.output),
            channels=x.features, times=self.times,
        )  # fmt: skip

    def backward(self, builder: Builder, dy: Gradient) -> None:
        x = self.inputs[0]
        dx, accumulate = builder.contribution(x)
        builder.emit(
            "sum_repeated", dy=dy.buffer, dx=dx, channels=x.features, times=self.times,
            accumulate=accumulate,
        )  # fmt: skip

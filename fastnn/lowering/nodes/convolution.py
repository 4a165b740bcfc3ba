"""f(sum over taps of x_t W_t + b), in which every filter reads every channel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from fastnn.kernels.codes import ACTIVATIONS
from fastnn.kernels.convolution import GROUP_BLOCKS, LARGEST_PATCH, PANEL_ROWS
from fastnn.kernels.layout import BLOCK, n_blocks, packed_shape
from fastnn.layers.geometry import Axis
from fastnn.lowering.builder import Builder, Gradient, Operands, WeightProduct
from fastnn.lowering.nodes.activated import ActivatedNode, take_through
from fastnn.lowering.nodes.elementwise import activation_params
from fastnn.lowering.program import Buffer, Buffers
from fastnn.lowering.windows import adjoint, row_starts, tap_pairs, window_table
from fastnn.variables import Variable

_TASKS = 32
"""Parts of a gradient that there should be, for teams of some size."""

_PARTIALS = 2**20
"""Bytes that the sums over slices may take, unless one slice takes more."""


@dataclass(eq=False)
class ConvolutionNode(ActivatedNode):
    """A convolution over ``axes``; its kernel is a matrix (taps * channels, filters)."""

    kernel: Variable
    bias: Variable | None
    axes: Sequence[Axis]
    turned: Buffer | None = field(default=None, init=False)
    """The kernel with each tap transposed, if the gradient of the input is to be computed."""

    def __post_init__(self) -> None:
        self.windows = window_table(self.axes)

    def variables(self) -> list[Variable]:
        return [self.kernel] if self.bias is None else [self.kernel, self.bias]

    @property
    def taps(self) -> int:
        """Of the window."""
        return int(self.windows.shape[1])

    @property
    def channels(self) -> int:
        """Of the input."""
        return self.inputs[0].features

    @property
    def reads_pixels(self) -> bool:
        """Whether they suit it better than blocks of channels."""
        return self.channels < BLOCK and self.taps * self.channels <= LARGEST_PATCH

    def forward(self, builder: Builder) -> None:
        x = self.inputs[0]
        builder.emit(
            "conv_forward", x=builder.values[x], kernel=builder.weight(self.kernel),
            bias=builder.weight(self.bias), windows=self.table(), starts=self.starts(builder),
            y=builder.activation(self.output), z=self.room_for_z(builder),
            **self.settings(builder), activation=ACTIVATIONS[self.activation.kind],
            **activation_params(self.activation),
        )  # fmt: skip
        if builder.training and x in builder.needs_gradient:
            # Here, where the team will wait before it is read anyway.
            self._turn(builder)

    def _turn(self, builder: Builder) -> None:
        shape = packed_shape((self.taps * self.output.features, self.channels))
        self.turned = Buffers.raw(f"{self.name}/turned", 4 * shape[0] * shape[1] * shape[2])
        builder.emit(
            "turn_kernel", kernel=builder.weight(self.kernel), turned=self.turned,
            channels=self.channels, filters=self.output.features, taps=self.taps,
            kernel_block=self.kernel.storage.shape[1] * BLOCK, turned_block=shape[1] * BLOCK,
        )  # fmt: skip

    def backward(self, builder: Builder, dy: Gradient) -> None:
        x = self.inputs[0]
        dz = self.gradient_of_z(builder, dy)
        if self.kernel.trainable:
            builder.products.append(ConvolutionProduct(self.kernel, self.bias, x, dz, self))
        if x in builder.needs_gradient:
            self._backward_input(builder, dz)
        if self.kernel.trainable:
            builder.prove(x, dz, self.output.features)

    def _backward_input(self, builder: Builder, dz: Buffer) -> None:
        x = self.inputs[0]
        dx, accumulate = builder.contribution(x)
        through, x_z = take_through(builder, self, accumulate)
        table = adjoint(self.windows, x.positions)
        builder.emit(
            "conv_backward_input", dz=dz, turned=self.turned,
            windows=Buffers.of_array(f"{self.name}/adjoint", table), dx=dx, x_z=x_z,
            x=builder.values[x] if through.kind != "linear" else None,
            filters=self.output.features, channels=self.channels, taps=self.taps,
            turned_block=packed_shape((self.taps * self.output.features, 1))[1] * BLOCK,
            activation=ACTIVATIONS[through.kind], positions=x.positions, accumulate=accumulate,
            **activation_params(through),
        )  # fmt: skip

    def table(self) -> Buffer:
        """Which positions the windows read."""
        return Buffers.of_array(f"{self.name}/windows", self.windows)

    def starts(self, builder: Builder) -> Buffer | None:
        """Where the rows of the windows begin, if it reads pixels."""
        if self.inputs[0] not in builder.pixels:
            return None
        table = row_starts(self.windows, self.axes[-1].window, self.channels)
        return Buffers.of_array(f"{self.name}/starts", table)

    def settings(self, builder: Builder) -> dict[str, int]:
        """Integers of its ops."""
        return {
            "channels": self.channels,
            "filters": self.output.features,
            "kernel_block": self.kernel.storage.shape[1] * BLOCK,
            "taps": self.taps,
            "windows_of_row": len(self.windows),
            "row": builder.pixels.get(self.inputs[0], 0),
            "window_rows": self.taps // self.axes[-1].window,
        }


@dataclass(eq=False)
class ConvolutionProduct(WeightProduct):
    """The sum over windows of x' dz, tap by tap: over slices of the examples, then over these."""

    node: ConvolutionNode
    partials: Buffer | None = field(default=None, init=False)

    def tiles(self, builder: Builder, role: str) -> int:
        return n_blocks(self._filters) * (self._panels if role == "kernel" else 1)

    def produce(self, builder: Builder) -> None:
        n_slices = -(-builder.capacity // self._slice(builder))
        self.partials = Buffers.raw(f"{self.kernel.path}/partials", n_slices * self._slice_bytes)
        pairs, counts = tap_pairs(self.node.windows, BLOCK)
        builder.emit(
            "conv_backward_weights", x=builder.values[self.x], dz=self.dz,
            pairs=Buffers.of_array(f"{self.node.name}/pairs", pairs),
            counts=Buffers.of_array(f"{self.node.name}/counts", counts),
            starts=self.node.starts(builder), windows=self.node.table(), partials=self.partials,
            slice=self._slice(builder), **self.node.settings(builder),
        )  # fmt: skip

    def finish(self, builder: Builder, operands: Operands) -> None:
        builder.emit(
            "sum_slices", partials=self.partials, inputs=self._inputs, units=self._filters,
            kernel_block=self.kernel.storage.shape[1] * BLOCK, slice=self._slice(builder),
            **operands,
        )  # fmt: skip

    @property
    def _inputs(self) -> int:
        return self.kernel.matrix_shape[0]

    @property
    def _filters(self) -> int:
        return self.kernel.matrix_shape[1]

    @property
    def _panels(self) -> int:
        panel: int = PANEL_ROWS
        return -(-self._inputs // panel)

    @property
    def _slice_bytes(self) -> int:
        return 4 * n_blocks(self._filters) * (self._inputs + 1) * BLOCK

    def _slice(self, builder: Builder) -> int:
        """Examples of a slice: there is work for a team, and not much to be added up."""
        groups = -(-n_blocks(self._filters) // GROUP_BLOCKS)
        wanted = -(-_TASKS // (self._panels * groups))
        slices = max(1, min(wanted, _PARTIALS // self._slice_bytes, builder.capacity))
        return -(-builder.capacity // slices)

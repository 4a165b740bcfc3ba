"""f(sum over taps of x_t W_t + b), in which every filter reads every channel of its group."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import prod
from typing import ClassVar

from fastnn.kernels.codes import ACTIVATIONS
from fastnn.kernels.convolution import GROUP_BLOCKS, LARGEST_PATCH
from fastnn.kernels.layout import BLOCK, n_blocks, packed_shape
from fastnn.layers.geometry import Axis
from fastnn.lowering.builder import Builder, Gradient
from fastnn.lowering.emitter import Emitter
from fastnn.lowering.nodes.activated import ActivatedNode, take_through
from fastnn.lowering.nodes.elementwise import activation_params
from fastnn.lowering.nodes.slices import SlicedProduct, n_panels
from fastnn.lowering.program import Buffer, Buffers
from fastnn.lowering.windows import adjoint, row_starts, tap_pairs, window_table
from fastnn.lowering.winograd import (
    POINTS,
    of_gradient,
    pays,
    pays_for_weights,
    tasks_of_weights,
    tiles,
)
from fastnn.variables import Variable


@dataclass(eq=False)
class ConvolutionNode(ActivatedNode):
    """A convolution over ``axes``; its kernel is a matrix (taps * channels of a group, filters).

    Groups of whole blocks of channels and filters are computed one by one, and cost what their
    multiplications do. Of others, as many are put together as make whole blocks, or all if none do:
    with ``members`` zeros for each weight, so that they cost as many times as much.
    """

    can_drop: ClassVar[bool] = False

    kernel: Variable
    bias: Variable | None
    axes: Sequence[Axis]
    groups: int = 1
    algorithm: str = "auto"
    expanded: Buffer | None = field(default=None, init=False)
    """The kernel that the ops read, if groups are put together."""
    turned: Buffer | None = field(default=None, init=False)
    """The kernel as the gradient of the input reads it, if that is to be computed."""

    def __post_init__(self) -> None:
        self.windows = window_table(tuple(self.axes))
        self.members = _members(
            self.groups, self.channels // self.groups, self.output.features // self.groups
        )
        """Groups that are put together."""

    def variables(self) -> list[Variable]:
        return [self.kernel] if self.bias is None else [self.kernel, self.bias]

    @property
    def taps(self) -> int:
        """How many positions a window reads."""
        return int(self.windows.shape[1])

    @property
    def channels(self) -> int:
        """Features of the input."""
        return self.inputs[0].features

    @property
    def reads_pixels(self) -> bool:
        """Whether they suit it better than blocks of channels."""
        return self.channels < BLOCK and self.taps * self.channels <= LARGEST_PATCH

    @property
    def _may_transform(self) -> bool:
        return self.algorithm == "auto" and self.members == 1

    def _is_winograd(self, axes: Sequence[Axis], channels: int, filters: int) -> bool:
        """Whether Winograd's algorithm computes a convolution with so many of both."""
        of_group = channels // self.groups, filters // self.groups
        return self._may_transform and pays(axes, *of_group)

    def _product(self, builder: Builder, dz: Buffer) -> SlicedProduct:
        """The gradient of its weights."""
        x = self.inputs[0]
        of_group = self.channels // self.groups, self.output.features // self.groups
        if (
            x not in builder.pixels
            and self._may_transform
            and pays_for_weights(self.axes, *of_group)
        ):
            return WinogradProduct(self.kernel, self.bias, x, dz, node=self)
        return ConvolutionProduct(self.kernel, self.bias, x, dz, node=self)

    def forward(self, builder: Builder) -> None:
        x = self.inputs[0]
        of_pixels = x in builder.pixels
        if not of_pixels and self._is_winograd(self.axes, self.channels, self.output.features):
            self._winograd(builder)
        else:
            self._direct(builder)
        if builder.training and x in builder.needs_gradient:
            if self._is_winograd(self._gradient_axes, self.output.features, self.channels):
                self.turned = self._transform(builder, turned=True)
            else:
                # Here, where the team will wait before it is read anyway.
                self._turn(builder)

    @property
    def _gradient_axes(self) -> Sequence[Axis]:
        return of_gradient(self.axes)

    def _winograd(self, builder: Builder) -> None:
        found = tiles(self.axes)
        settings = self.settings()
        builder.emit(
            "winograd_forward", x=builder.values[self.inputs[0]],
            transformed=self._transform(builder, turned=False), bias=builder.weight(self.bias),
            tiles=Buffers.of_array(f"{self.name}/tiles", found.inputs),
            outputs=Buffers.of_array(f"{self.name}/tile_outputs", found.outputs),
            y=builder.activation(self.output), z=self.room_for_z(builder),
            channels=settings["channels"], filters=settings["filters"], groups=self.groups,
            windows_of_row=len(self.windows), **found.parts,
            activation=ACTIVATIONS[self.activation.kind], **activation_params(self.activation),
        )  # fmt: skip

    def _transform(self, builder: Builder, turned: bool) -> Buffer:
        """The kernel as ``winograd_forward`` reads it; turned, as ``winograd_backward_input``."""
        settings = self.settings()
        del settings["taps"]
        sizes = (self.channels, self.output.features)
        units, rows = sizes if turned else sizes[::-1]
        shape = packed_shape((rows // self.groups, units))
        name = "turned" if turned else "transformed"
        transformed = Buffers.raw(f"{self.name}/{name}", 4 * POINTS * prod(shape))
        builder.emit_first(
            "winograd_kernel", kernel=builder.weight(self.kernel), transformed=transformed,
            turned=turned, **settings,
        )  # fmt: skip
        return transformed

    def _direct(self, builder: Builder) -> None:
        x = self.inputs[0]
        builder.emit(
            "conv_forward", x=builder.values[x], kernel=self._whole_kernel(builder),
            bias=builder.weight(self.bias), windows=self.table(), starts=self.starts(builder),
            y=builder.activation(self.output), z=self.room_for_z(builder),
            **self.settings(), **self.of_picture(builder),
            activation=ACTIVATIONS[self.activation.kind], **activation_params(self.activation),
        )  # fmt: skip

    def _whole_kernel(self, builder: Builder) -> Buffer | None:
        """What x is multiplied by."""
        if self.members == 1:
            return builder.weight(self.kernel)
        if self.expanded is None:
            units = self.output.features
            self.expanded = _room(f"{self.name}/expanded", (self.expanded_rows, units))
            builder.emit(
                "expand_kernel", kernel=builder.weight(self.kernel), expanded=self.expanded,
                kernel_block=self.kernel.storage.shape[1] * BLOCK,
                expanded_block=_block(self.expanded_rows), **self.settings_of_members(),
            )  # fmt: skip
        return self.expanded

    def _turn(self, builder: Builder) -> None:
        settings = self.settings()
        self.turned = _room(f"{self.name}/turned", (self._turned_rows, self.channels))
        builder.emit(
            "turn_kernel", kernel=self._whole_kernel(builder), turned=self.turned,
            turned_block=_block(self._turned_rows), **settings,
        )  # fmt: skip

    def backward(self, builder: Builder, dy: Gradient) -> None:
        x = self.inputs[0]
        dz = self.gradient_of_z(builder, dy)
        if x in builder.needs_gradient:
            self._backward_input(builder, dz)
        if self.kernel.trainable:
            builder.weight_gradients.add(self._product(builder, dz))

    def _backward_input(self, builder: Builder, dz: Buffer) -> None:
        x = self.inputs[0]
        dx, accumulate = builder.contribution(x)
        through, x_z = take_through(builder, self, accumulate)
        settings = self.settings()
        operands: dict[str, Buffer | float | None] = {
            "dz": dz, "dx": dx, "x_z": x_z,
            "x": builder.values[x] if through.kind != "linear" else None,
            "filters": settings["filters"], "channels": settings["channels"],
            "groups": settings["groups"], "positions": x.positions, "accumulate": accumulate,
            "activation": ACTIVATIONS[through.kind], **activation_params(through),
        }  # fmt: skip
        if self._is_winograd(self._gradient_axes, self.output.features, self.channels):
            found = tiles(self._gradient_axes)
            builder.emit(
                "winograd_backward_input", transformed=self.turned,
                tiles=Buffers.of_array(f"{self.name}/gradient_tiles", found.inputs),
                outputs=Buffers.of_array(f"{self.name}/gradient_outputs", found.outputs),
                **found.parts, **operands,
            )  # fmt: skip
            return
        table = adjoint(self.windows, x.positions)
        builder.emit(
            "conv_backward_input", turned=self.turned,
            windows=Buffers.of_array(f"{self.name}/adjoint", table), taps=self.taps,
            turned_block=_block(self._turned_rows), **operands,
        )  # fmt: skip

    def table(self) -> Buffer:
        """Which positions the windows read."""
        return Buffers.of_array(f"{self.name}/windows", self.windows)

    def starts(self, emitter: Emitter) -> Buffer | None:
        """Where the rows of the windows begin, if it reads pixels."""
        if self.inputs[0] not in emitter.pixels:
            return None
        table = row_starts(self.windows, self.axes[-1].window, self.channels)
        return Buffers.of_array(f"{self.name}/starts", table)

    @property
    def expanded_rows(self) -> int:
        """Rows of the kernel that the ops read."""
        return self.kernel.matrix_shape[0] * self.members

    @property
    def _turned_rows(self) -> int:
        return self.taps * self.settings()["filters"]

    def settings(self) -> dict[str, int]:
        """Integers of its ops: groups as they are computed."""
        groups = self.groups // self.members
        return {
            "channels": self.channels // groups,
            "filters": self.output.features // groups,
            "groups": groups,
            "kernel_block": _block(self.expanded_rows),
            "taps": self.taps,
        }

    def settings_of_members(self) -> dict[str, int]:
        """Integers of the ops that put groups together: groups as they are."""
        return {
            "channels": self.channels // self.groups,
            "filters": self.output.features // self.groups,
            "members": self.members,
            "taps": self.taps,
            "units": self.output.features,
        }

    def of_picture(self, emitter: Emitter) -> dict[str, int]:
        """Integers of its ops, of windows and pixels."""
        return {
            "windows_of_row": len(self.windows),
            "row": emitter.pixels.get(self.inputs[0], 0),
            "window_rows": self.taps // self.axes[-1].window,
        }


def _members(groups: int, channels: int, filters: int) -> int:
    """How many groups of so many channels and filters make whole blocks; all, if none do."""
    for members in range(1, groups):
        whole = (members * channels) % BLOCK == 0 and (members * filters) % BLOCK == 0
        if groups % members == 0 and whole:
            return members
    return groups


def _block(rows: int) -> int:
    """Floats from block to block of a packed matrix of so many rows."""
    return packed_shape((rows, 1))[1] * BLOCK


def _room(name: str, shape: tuple[int, int]) -> Buffer:
    return Buffers.raw(name, 4 * prod(packed_shape(shape)))


@dataclass(eq=False)
class ConvolutionProduct(SlicedProduct):
    """The sum over windows of x' dz, tap by tap."""

    node: ConvolutionNode = field(kw_only=True)

    def tasks_of_slice(self) -> int:
        node = self.node
        settings = node.settings()
        blocks = -(-n_blocks(settings["filters"]) // GROUP_BLOCKS) * settings["groups"]
        return blocks * n_panels(node.expanded_rows)

    def produce(self, emitter: Emitter) -> None:
        node = self.node
        self.partials = self.room(emitter, "partials", self.rows)
        sums = self.partials
        if node.members > 1:
            sums = self.room(emitter, "expanded_partials", node.expanded_rows)
        pairs, counts = tap_pairs(node.windows, BLOCK)
        emitter.emit(
            "conv_backward_weights", x=emitter.values[self.x], dz=self.dz,
            pairs=Buffers.of_array(f"{node.name}/pairs", pairs),
            counts=Buffers.of_array(f"{node.name}/counts", counts),
            starts=node.starts(emitter), windows=node.table(), partials=sums,
            slice=self.slice(emitter), **node.settings(), **node.of_picture(emitter),
        )  # fmt: skip
        if node.members > 1:
            emitter.emit(
                "reduce_partials", expanded=sums, partials=self.partials,
                slice=self.slice(emitter), **node.settings_of_members(),
            )  # fmt: skip


@dataclass(eq=False)
class WinogradProduct(SlicedProduct):
    """The same sum, by Winograd's algorithm."""

    node: ConvolutionNode = field(kw_only=True)

    def tasks_of_slice(self) -> int:
        settings = self.node.settings()
        return settings["groups"] * prod(
            tasks_of_weights(settings["channels"], settings["filters"])
        )

    def produce(self, emitter: Emitter) -> None:
        node = self.node
        self.partials = self.room(emitter, "partials", self.rows)
        settings = node.settings()
        found = tiles(node.axes)
        emitter.emit(
            "winograd_backward_weights", x=emitter.values[self.x], dz=self.dz,
            tiles=Buffers.of_array(f"{node.name}/tiles", found.inputs),
            outputs=Buffers.of_array(f"{node.name}/tile_outputs", found.outputs),
            partials=self.partials, channels=settings["channels"], filters=settings["filters"],
            groups=settings["groups"], windows_of_row=len(node.windows),
            slice=self.slice(emitter), **found.parts,
        )  # fmt: skip

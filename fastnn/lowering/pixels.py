"""Pictures whose numbers lie as those of an array, a row of the batch after the other.

Pictures of few channels would be mostly padding in blocks of 16. What reads or writes whole
pictures finds them here; ``builder.pixels`` says which values lie so, and how many floats it is
from row to row.
"""

from __future__ import annotations

from fastnn.kernels.layout import BLOCK, n_blocks
from fastnn.lowering.builder import Builder
from fastnn.lowering.program import Buffer
from fastnn.lowering.values import Value


def is_read_as_pixels(value: Value) -> bool:
    """Whether nobody needs it in blocks."""
    return (
        bool(value.readers)
        and not value.is_output
        and all(reader.reads_pixels for reader in value.readers)
    )


def room(builder: Builder, value: Value) -> tuple[Buffer, int]:
    """Memory for the value's pixels, and floats from row to row."""
    row = n_blocks(value.positions * value.features) * BLOCK
    return builder.buffers.pixels(f"{value.name}/pixels", row, value.positions), row


def deliver(builder: Builder, value: Value, pixels: Buffer, row: int) -> None:
    """The value lies there from now on; or in blocks, if anybody needs these."""
    if is_read_as_pixels(value):
        builder.values[value] = pixels
        builder.pixels[value] = row
    else:
        deliver_blocks(builder, value, pixels, row)


def deliver_blocks(builder: Builder, value: Value, pixels: Buffer, row: int) -> None:
    """The value, whose numbers these are, in blocks."""
    numbers = value.positions * value.features
    builder.emit(
        "regroup", x=pixels, y=builder.activation(value), features_of_x=numbers,
        features_of_y=value.features, numbers=numbers, row_of_x=row,
    )  # fmt: skip


def of_value(builder: Builder, value: Value) -> tuple[Buffer, int]:
    """The value's pixels, and floats from row to row; a copy, if it lies in blocks."""
    if value in builder.pixels:
        return builder.values[value], builder.pixels[value]
    pixels, row = room(builder, value)
    numbers = value.positions * value.features
    builder.emit(
        "regroup", x=builder.values[value], y=pixels, features_of_x=value.features,
        features_of_y=numbers, numbers=numbers, row_of_y=row,
    )  # fmt: skip
    return pixels, row

"""Winograd's F(2x2, 3x3), forward and for both gradients, against float64.

The bound of an output is that of its sums (Higham 2002, "Accuracy and Stability of Numerical
Algorithms", section 3.1), relative to what their terms add up to in size, all signs made positive
in each of the transforms.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import pytest
import window_twins as twins

from fastnn.kernels.codes import ACTIVATIONS, READS_INPUT
from fastnn.kernels.layout import BLOCK, aligned_zeros, n_blocks, packed_shape
from fastnn.kernels.winograd import MOST_CHANNELS
from fastnn.layers.geometry import Axis
from fastnn.lowering.program import Buffer, Buffers, Op
from fastnn.lowering.winograd import (
    PARTS,
    POINTS,
    Tiles,
    of_gradient,
    pays,
    pays_for_weights,
    tiles,
)
from kernels.harness import (
    Array,
    Batch,
    U,
    assert_same_bits,
    assert_within,
    by_any_team,
    float32,
    kernel_block,
    make_op,
    read_weight,
    weight,
)
from kernels.test_convolution import backward_weights as direct_backward_weights
from kernels.test_convolution import forward as direct
from kernels.windowed import (
    Case,
    activate,
    lines,
    numbers,
    over_examples,
    pictures,
    read,
    table,
    through,
)


def case(
    height: int,
    width: int,
    padding: str,
    channels: int,
    filters: int,
    examples: int,
    groups: int = 1,
) -> Case:
    return Case(
        (height, width), (3, 3), (1, 1), padding, (1, 1), channels, filters, examples, groups
    )


ALL = [
    case(1, 1, "same", 1, 1, 1),
    case(3, 3, "valid", 16, 16, 2),
    case(7, 7, "same", 33, 20, 5),  # a half tile at each edge
    case(6, 9, "valid", 20, 47, 3),
    case(5, 4, "causal", 16, 33, 9),
    case(2, 13, "same", 17, 32, 4),
    case(14, 13, "same", 8, 35, 3),  # more tiles than a strip
    case(5, 6, "same", 32, 96, 4, 2),
    case(4, 7, "valid", 96, 48, 2, 3),
    case(4, 5, "same", 300, 40, 2),  # a strip of fewer tiles
    case(9, 5, "same", 130, 70, 6),
    case(3, 70, "same", 5, 3, 1),  # a strip ends within a row of tiles
]
SOME = [ALL[2], ALL[4], ALL[7], ALL[11]]

G = np.array([[1, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1]])
B = np.array([[1, 0, -1, 0], [0, 1, 1, 0], [0, -1, 1, 0], [0, 1, 0, -1]])
A = np.array([[1, 1, 1, 0], [0, 1, -1, -1]])


@lru_cache(maxsize=64)
def kernel_of(case: Case) -> tuple[Array, Array]:
    """The kernel, and a bias."""
    random = np.random.default_rng(7)
    return float32(random, *case.kernel_shape), float32(random, case.filters)


def axes_of_gradient(case: Case) -> tuple[Axis, ...]:
    return tuple(of_gradient(case.axes))


def cut(x: Array, axes: Sequence[Axis]) -> Array:
    """What the tiles read, with zeros around: (examples, rows, 4, columns, 4, channels)."""
    before, count = [axis.before for axis in axes], [-(-axis.windows // 2) for axis in axes]
    padded = np.zeros((len(x), 2 * count[0] + 2, 2 * count[1] + 2, x.shape[-1]))
    read = x[:, : padded.shape[1] - before[0], : padded.shape[2] - before[1]]
    padded[:, before[0] : before[0] + read.shape[1], before[1] : before[1] + read.shape[2]] = read
    starts = [2 * np.arange(n)[:, None] + np.arange(4) for n in count]
    return padded[:, starts[0]][:, :, :, starts[1]]


def size(x: Array, w: Array, axes: Sequence[Axis], groups: int = 1) -> Array:
    """What the terms of the outputs add up to in size: (examples, *windows, filters).

    x: Pictures. w: (3, 3, channels of a group, filters).
    """
    v = sizes_of_inputs(x, axes)
    u = np.einsum("ij,jkcf,lk->ilcf", abs(G), abs(w), abs(G), optimize=True)
    channels, filters = w.shape[2], w.shape[3] // groups
    made = [
        np.einsum(
            "nyxilc,ilcf->nyxilf", v[..., g * channels : (g + 1) * channels],
            u[..., g * filters : (g + 1) * filters], optimize=True,
        )
        for g in range(groups)
    ]  # fmt: skip
    m = np.concatenate(made, axis=-1)
    y = np.einsum("ai,nyxilf,bl->nyaxbf", abs(A), m, abs(A), optimize=True)
    y = y.reshape(len(x), 2 * y.shape[1], 2 * y.shape[3], -1)
    return y[:, : axes[0].windows, : axes[1].windows]


def sizes_of_inputs(x: Array, axes: Sequence[Axis]) -> Array:
    return np.einsum("ij,nyjxkc,lk->nyxilc", abs(B), abs(cut(x, axes)), abs(B), optimize=True)


def size_of_weights(x: Array, dz: Array, axes: Sequence[Axis], groups: int) -> Array:
    """What the terms of the gradient of the weights add up to in size: (9 * channels, filters)."""
    v = sizes_of_inputs(x, axes)
    tiled = np.zeros((len(dz), 2 * v.shape[1], 2 * v.shape[2], dz.shape[-1]))
    tiled[:, : dz.shape[1], : dz.shape[2]] = abs(dz)
    tiled = tiled.reshape(len(dz), v.shape[1], 2, v.shape[2], 2, -1)
    d = np.einsum("ai,nyaxbf,bl->nyxilf", abs(A), tiled, abs(A), optimize=True)
    parts = zip(np.split(v, groups, axis=-1), np.split(d, groups, axis=-1), strict=True)
    made = []
    for of_x, of_dz in parts:
        u = np.einsum("nyxilc,nyxilf->ilcf", of_x, of_dz, optimize=True)
        made.append(np.einsum("ij,ilcf,lk->jkcf", abs(G), u, abs(G), optimize=True))
    found = np.concatenate(made, axis=-1)
    return found.reshape(-1, found.shape[-1])


def bound(channels: int, size: Array) -> Array:
    """4 additions of the kernel's transform, 2 of the input's, a product, a sum for each channel, 4
    additions of the output's, a bias, and one for the second order."""
    return (4 + 2 + 1 + channels + 4 + 1 + 1) * U * size


def bound_of_weights(case: Case, of_slice: int, size: Array) -> Array:
    """2 additions of each transform, a product, chains of a strip's tiles, each added to the
    slice's, 4 additions of the transform back, the sum of the slices, one for the second order."""
    of_example = len(tiles(case.axes).inputs)
    most = of_example * min(of_slice, case.examples)
    chains = min(64, most) + -(-most // 64)
    return (2 + 2 + 1 + chains + 4 + -(-case.examples // of_slice) + 1) * U * size


def turned(w: Array, groups: int) -> Array:
    """The kernel of the convolution that makes the gradient of the input."""
    parts = np.split(w[::-1, ::-1], groups, axis=3)
    return np.concatenate([part.transpose(0, 1, 3, 2) for part in parts], axis=3)


def transform(case: Case, by_gradient: bool) -> tuple[Op, Buffer]:
    kernel = weight(kernel_of(case)[0].reshape(case.kernel_matrix))
    rows, columns = (case.filters, case.channels) if by_gradient else (case.channels, case.filters)
    storage = aligned_zeros((POINTS, *packed_shape((rows // case.groups, columns))))
    storage[:] = np.nan
    transformed = Buffers.of_array("transformed", storage)
    op = make_op(
        "winograd_kernel", kernel=kernel, transformed=transformed, turned=by_gradient,
        kernel_block=kernel_block(kernel), **of_group(case),
    )  # fmt: skip
    return op, transformed


def of_group(case: Case) -> dict[str, int]:
    return {
        "channels": case.channels // case.groups, "filters": case.filters // case.groups,
        "groups": case.groups,
    }  # fmt: skip


def tables(found: Tiles) -> dict[str, Buffer | int]:
    return {
        "tiles": table(found.inputs), "outputs": table(found.outputs), **found.parts
    }  # fmt: skip


def forward(
    case: Case, threads: int, activation: str = "linear", bias: bool = True, keep_z: bool = False
) -> list[Array]:
    batch = Batch(case.examples)
    y = batch.unwritten(case.filters, case.windows)
    z = batch.unwritten(case.filters, case.windows) if keep_z else None
    first, transformed = transform(case, False)
    op = make_op(
        "winograd_forward", x=batch.blocks(numbers(case, case.channels, False, 1)),
        transformed=transformed, bias=weight(kernel_of(case)[1]) if bias else None, y=y, z=z,
        activation=ACTIVATIONS[activation], windows_of_row=case.windows,
        **of_group(case), **tables(tiles(case.axes)),
    )  # fmt: skip
    batch.run(first, op, threads=threads)
    found = [read(batch, y, case.filters, None if activation == "softplus" else 0.0)]
    return found if z is None else [*found, read(batch, z, case.filters)]


def backward_input(
    case: Case, threads: int, activation: str = "linear", start: Array | None = None
) -> list[Array]:
    batch = Batch(case.examples)
    x = numbers(case, case.channels, False, 1)
    dx = batch.unwritten(case.channels, case.positions) if start is None else batch.blocks(start)
    first, transformed = transform(case, True)
    op = make_op(
        "winograd_backward_input", dz=batch.blocks(numbers(case, case.filters, True, 2)),
        transformed=transformed, dx=dx, x_z=batch.blocks(x) if activation in READS_INPUT else None,
        x=batch.blocks(x) if activation != "linear" else None, accumulate=start is not None,
        activation=ACTIVATIONS[activation], positions=case.positions,
        **of_group(case), **tables(tiles(axes_of_gradient(case))),
    )  # fmt: skip
    batch.run(first, op, threads=threads)
    return [read(batch, dx, case.channels)]


def backward_weights(case: Case, threads: int, of_slice: int = 2) -> list[Array]:
    """dW and db."""
    batch = Batch(case.examples)
    rows, filters = case.kernel_matrix
    storage = aligned_zeros((-(-batch.capacity // of_slice), n_blocks(filters), rows + 1, BLOCK))
    storage[:] = np.nan
    partials = Buffers.of_array("partials", storage)
    first = make_op(
        "winograd_backward_weights", x=batch.blocks(numbers(case, case.channels, False, 1)),
        dz=batch.blocks(numbers(case, filters, True, 2)), partials=partials, slice=of_slice,
        windows_of_row=case.windows, **of_group(case), **tables(tiles(case.axes)),
    )  # fmt: skip
    found = [weight(np.full((rows, filters), np.nan)), weight(np.full(filters, np.nan))]
    w, b = kernel_of(case)
    op = make_op(
        "sum_slices", partials=partials, kernel=weight(w.reshape(rows, filters)), bias=weight(b),
        kernel_gradient=found[0], bias_gradient=found[1], optimizer=-1, unfinished=True,
        inputs=rows, units=filters, slice=of_slice, kernel_block=kernel_block(found[0]),
    )  # fmt: skip
    batch.run(first, op, threads=threads)
    return [read_weight(found[0], (rows, filters)), read_weight(found[1], (filters,))]


@pytest.mark.parametrize("case", ALL, ids=str)
def test_forward(case: Case) -> None:
    (y,) = by_any_team(lambda n: forward(case, n))
    x, (w, b) = pictures(numbers(case, case.channels, False, 1), case), kernel_of(case)
    value = lines(twins.conv(x, w, case.axes, case.groups)) + b
    sizes = lines(size(x, w, case.axes, case.groups)) + abs(b)
    assert_within(y, value, bound(case.channels // case.groups, sizes))


@pytest.mark.parametrize("case", ALL, ids=str)
def test_backward_input(case: Case) -> None:
    (dx,) = by_any_team(lambda n: backward_input(case, n))
    dz, (w, _) = pictures(numbers(case, case.filters, True, 2), case, True), kernel_of(case)
    value = lines(twins.conv_input_gradient(dz, w, case.axes, case.groups))
    sizes = lines(size(dz, turned(w, case.groups), axes_of_gradient(case), case.groups))
    assert_within(dx, value, bound(case.filters // case.groups, sizes))


@pytest.mark.parametrize("of_slice", [1, 2, 100])
@pytest.mark.parametrize("case", ALL, ids=str)
def test_backward_weights(case: Case, of_slice: int) -> None:
    dw, db = by_any_team(lambda n: backward_weights(case, n, of_slice))
    x, dz = numbers(case, case.channels, False, 1), numbers(case, case.filters, True, 2)
    pairs = pictures(x, case), pictures(dz, case, True)
    value = twins.conv_weight_gradient(*pairs, kernel_of(case)[0].shape, case.axes, case.groups)
    size = size_of_weights(*pairs, case.axes, case.groups)
    assert_within(dw, value.reshape(case.kernel_matrix), bound_of_weights(case, of_slice, size))
    assert_within(db, dz.sum(axis=(0, 1)), over_examples(case, abs(dz).sum(axis=(0, 1))))


@pytest.mark.parametrize("case", SOME, ids=str)
def test_settings_change_no_bit(case: Case) -> None:
    """Bias, activation, a kept z and a gradient that is added do what separate ops do."""
    batch = Batch(case.examples)
    (plain,) = forward(case, 1)
    (without,) = by_any_team(lambda n: forward(case, n, bias=False))
    assert_same_bits(without + kernel_of(case)[1].astype(np.float32), plain)
    for activation in ("relu", "gelu", "softplus"):
        activated = activate(batch, plain, activation)
        y, z = by_any_team(lambda n, a=activation: forward(case, n, a, keep_z=True))
        assert_same_bits(y, activated)
        assert_same_bits(z, plain)
        assert_same_bits(forward(case, 2, activation)[0], activated)
    (plain,) = backward_input(case, 1)
    x, start = numbers(case, case.channels, False, 1), numbers(case, case.channels, False, 3)
    (added,) = by_any_team(lambda n: backward_input(case, n, start=start))
    assert_same_bits(added, start.astype(np.float32) + plain)
    for activation in ("relu", "gelu"):
        (dx,) = by_any_team(lambda n, a=activation: backward_input(case, n, a))
        assert_same_bits(dx, through(batch, plain, x, activation))


@pytest.mark.parametrize("channels", [16, 64, 256])
def test_error_is_less_than_that_of_the_direct_product(channels: int, level: str) -> None:
    """Root mean square against float64, of standard-normal numbers."""
    normal = case(8, 8, "same", channels, 32, 4)
    x, (w, b) = pictures(numbers(normal, channels, False, 1), normal), kernel_of(normal)
    value = lines(twins.conv(x, w, normal.axes)) + b
    errors = [np.sqrt(np.mean((f(normal, 2)[0] - value) ** 2)) for f in (forward, direct)]
    print(f"{level}: {channels} channels, {errors[0]:.2e} of {errors[1]:.2e}")
    assert errors[0] < errors[1]


@pytest.mark.parametrize("examples", [2, 16, 64])
def test_error_of_the_weights_is_about_that_of_the_direct_sum(examples: int, level: str) -> None:
    """Root mean square against float64, of standard-normal numbers: see docs/convolutions.md."""
    normal = case(14, 14, "same", 32, 32, examples)
    x, dz = numbers(normal, 32, False, 1), numbers(normal, 32, True, 2)
    value = twins.conv_weight_gradient(
        pictures(x, normal), pictures(dz, normal, True), kernel_of(normal)[0].shape, normal.axes
    ).reshape(normal.kernel_matrix)
    errors = [
        np.sqrt(np.mean((f(normal, 2, of_slice=4)[0] - value) ** 2))
        for f in (backward_weights, direct_backward_weights)
    ]
    print(f"{level}: {examples} examples, {errors[0]:.2e} of {errors[1]:.2e}")
    assert errors[0] < 1.5 * errors[1]


def test_tiles_in_parts() -> None:
    """Each window is made once; of a part, all tiles lack the same outputs."""
    for height, width, counts in ((7, 5, [2, 6, 3, 1]), (4, 6, [0, 6, 0, 0]), (1, 2, [1, 0, 0, 0])):
        found = tiles(case(height, width, "same", 1, 1, 1).axes)
        assert list(found.parts) == list(PARTS)
        assert list(found.parts.values()) == counts
        lacking = np.repeat([[0, 1], [0, 0], [1, 0], [1, 1]], counts, axis=0)
        np.testing.assert_array_equal(found.outputs[:, [1, 2]] < 0, lacking)
        assert sorted(found.outputs[found.outputs >= 0]) == list(range(height * width))
        # The tile's own outputs are in the middle of what it reads.
        inside = found.outputs >= 0
        np.testing.assert_array_equal(found.inputs[:, [5, 6, 9, 10]][inside], found.outputs[inside])


def test_it_pays_where_products_outweigh_transforms() -> None:
    def axes(length: int, window: int = 3, stride: int = 1, dilation: int = 1) -> list[Axis]:
        return 2 * [Axis(length, window, stride, dilation, 1, 1, length)]

    assert pays(axes(14), 32, 64)
    assert pays(axes(7), 64, 128)
    assert pays(axes(32), 16, 16)
    assert pays(axes(14), MOST_CHANNELS, 16)
    assert not pays(axes(14), MOST_CHANNELS + 1, 16)
    assert pays(axes(4), 256, 256)
    assert pays(axes(3), 256, 256)
    assert not pays(axes(1), 256, 256)
    assert not pays(axes(28), 2, 16)
    for other in ({"window": 5}, {"stride": 2}, {"dilation": 2}):
        assert not pays(axes(14, **other), 32, 64)
    assert not pays(axes(14)[:1], 32, 64)


def test_weights_pay_where_products_outweigh_transforms() -> None:
    def axes(length: int, window: int = 3, stride: int = 1, dilation: int = 1) -> list[Axis]:
        return 2 * [Axis(length, window, stride, dilation, 1, 1, length)]

    for length, channels, filters in (
        (14, 32, 64), (7, 64, 128), (32, 16, 16), (28, 8, 32), (4, 64, 64), (5, 128, 128),
        (14, 2000, 16),
    ):  # fmt: skip
        assert pays_for_weights(axes(length), channels, filters)
    for length, channels, filters in ((28, 4, 32), (28, 8, 8), (3, 256, 256), (1, 256, 256)):
        assert not pays_for_weights(axes(length), channels, filters)
    for other in ({"window": 5}, {"stride": 2}, {"dilation": 2}):
        assert not pays_for_weights(axes(14, **other), 32, 64)
    assert not pays_for_weights(axes(14)[:1], 32, 64)

"""The dense products against float64, within the bound of a chain of K multiply-adds.

A chain of K rounded multiply-adds is off by at most (K + 1) U sum |a b| (Higham 2002, section 3.1:
one rounding an addition, and one a product where the level has no FMA), to first order.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fastnn.kernels.codes import ACTIVATIONS, OPTIMIZERS, READS_INPUT
from kernels.harness import (
    ROWS,
    Array,
    Batch,
    Buffer,
    U,
    assert_same_bits,
    assert_within,
    by_any_team,
    float32,
    kernel_block,
    make_op,
    read_weight,
    update_op,
    weight,
)

# (inputs, units): tails of every block and tile, and sums longer than a chunk on either side
SHAPES = [(1, 1), (7, 15), (16, 16), (15, 33), (17, 7), (33, 17), (100, 784), (784, 100), (784, 1)]
ACTIVATIONS_TRIED = {"linear": (), "relu": (), "leaky_relu": (0.3,), "gelu": (), "tanh": ()}
SLOPPY_CHECKS = [HealthCheck.function_scoped_fixture]  # the level holds for all examples


def chain_bound(length: int, magnitude: Array) -> Array:
    return (length + 2) * U * magnitude


class Problem:
    """x (rows, inputs), W (inputs, units), b (units,) and dz (rows, units).

    segments: Positions of the picture, (rows, segments, inputs / segments), as which x lies.
    """

    def __init__(self, rows: int, inputs: int, units: int, segments: int = 1) -> None:
        random = np.random.default_rng((rows, inputs, units))
        self.batch = Batch(rows)
        self.inputs, self.units, self.segments = inputs, units, segments
        self.x = float32(random, rows, inputs)
        self.w = float32(random, inputs, units)
        self.b = float32(random, units)
        self.dz = float32(random, rows, units)
        self.dx0 = float32(random, rows, inputs)

    def sizes(self, w) -> dict[str, int]:
        return {
            "inputs": self.inputs, "units": self.units, "kernel_block": kernel_block(w),
            "segments": self.segments,
        }  # fmt: skip

    def lying(self, x: Array) -> Buffer:
        """(rows, inputs) as x lies."""
        return self.batch.blocks(x if self.segments == 1 else x.reshape(len(x), self.segments, -1))

    def forward(self, threads: int, activation: str = "linear", bias: bool = True,
                keep_z: bool = False, by_rows: bool = False) -> list[Array]:  # fmt: skip
        w = weight(self.w)
        y, z = self.batch.unwritten(self.units), self.batch.unwritten(self.units)
        params = ACTIVATIONS_TRIED[activation]
        op = make_op(
            "dense_forward", x=self.lying(self.x), kernel=w, y=y, z=z if keep_z else None,
            bias=weight(self.b) if bias else None, by_rows=by_rows, **self.sizes(w),
            activation=ACTIVATIONS[activation], **{f"param_{i}": p for i, p in enumerate(params)},
        )  # fmt: skip
        self.batch.run(op, threads=threads)
        return [self.batch.read(buffer, self.units) for buffer in ([y, z] if keep_z else [y])]

    def backward_input(self, threads: int, activation: str = "linear", accumulate: bool = False,
                       by_rows: bool = False) -> list[Array]:  # fmt: skip
        """dx; with ``activation``, through an activation whose input and output were both x."""
        w = weight(self.w)
        dz_t = self.batch.transposed(self.units)
        channels = self.inputs // self.segments
        dx, x = self.batch.unwritten(channels, self.segments), self.lying(self.x)
        if accumulate:
            dx = self.lying(self.dx0)
        params = ACTIVATIONS_TRIED[activation]
        self.batch.run(
            make_op("transpose", x=self.batch.blocks(self.dz), y=dz_t, features=self.units),
            make_op(
                "dense_backward_input", dz_t=dz_t, kernel=w, dx=dx, **self.sizes(w),
                x_z=x if activation in READS_INPUT else None,
                x=x if activation != "linear" else None, by_rows=by_rows, accumulate=accumulate,
                activation=ACTIVATIONS[activation],
                **{f"param_{i}": p for i, p in enumerate(params)},
            ),
            threads=threads,
        )  # fmt: skip
        return [self.batch.read(dx, channels).reshape(self.batch.rows, -1)]

    def backward_weights(self, threads: int, accumulate: bool = False) -> list[Array]:
        """dW and db; with ``accumulate``, added to W and b."""
        kernel = weight(self.w if accumulate else np.zeros_like(self.w))
        bias = weight(self.b if accumulate else np.zeros_like(self.b))
        op = make_op(
            "dense_backward_weights", x=self.lying(self.x), dz=self.batch.blocks(self.dz),
            kernel=weight(self.w), bias=weight(self.b), kernel_gradient=kernel, bias_gradient=bias,
            **self.sizes(kernel), unfinished=True, accumulate=accumulate,
        )  # fmt: skip
        self.batch.run(op, threads=threads)
        return [read_weight(kernel, self.w.shape), read_weight(bias, self.b.shape)]

    def updated(self, threads: int, fused: bool) -> list[Array]:
        """W, b and their slots after a step of Adam, by one op or by way of stored gradients."""
        tensors = {"kernel": weight(self.w), "bias": weight(self.b)}
        slots = {
            role: [weight(np.abs(value) * scale) for scale in (0.1, 0.2)]
            for role, value in (("kernel", self.w), ("bias", self.b))
        }
        scalars = [0.01, 0.003, 0.1, 0.001, 1e-7]
        optimizer = OPTIMIZERS["adam"]
        x, dz = self.lying(self.x), self.batch.blocks(self.dz)
        if fused:
            named = {f"{role}_slot_{i}": s for role in slots for i, s in enumerate(slots[role])}
            ops = [make_op("dense_backward_weights", x=x, dz=dz, optimizer=optimizer, **tensors,
                           **named, **self.sizes(tensors["kernel"]))]  # fmt: skip
        else:
            sums = {"kernel": weight(0 * self.w), "bias": weight(0 * self.b)}
            named = {f"{role}_gradient": buffer for role, buffer in sums.items()}
            ops = [make_op("dense_backward_weights", x=x, dz=dz, **tensors, **named,
                           **self.sizes(tensors["kernel"]))]  # fmt: skip
            ops += [
                update_op(sums[role], tensors[role], slots[role], optimizer=optimizer)
                for role in tensors
            ]
        self.batch.run(*ops, threads=threads, scalars=scalars)
        shapes = {"kernel": self.w.shape, "bias": self.b.shape}
        return [
            read_weight(buffer, shapes[role])
            for role in tensors
            for buffer in (tensors[role], *slots[role])
        ]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("rows", ROWS)
def test_products(rows: int, shape: tuple[int, int]) -> None:
    check_products(Problem(rows, *shape))


@given(rows=st.integers(1, 70), inputs=st.integers(1, 300), units=st.integers(1, 300))
@settings(max_examples=15, deadline=None, suppress_health_check=SLOPPY_CHECKS)
def test_products_of_any_shape(rows: int, inputs: int, units: int) -> None:
    check_products(Problem(rows, inputs, units))


def check_products(p: Problem) -> None:
    (y,) = by_any_team(p.forward)
    bound = chain_bound(p.inputs, np.abs(p.x) @ np.abs(p.w) + np.abs(p.b))
    assert_within(y, p.x @ p.w + p.b, bound)

    (dx,) = by_any_team(p.backward_input)
    assert_within(dx, p.dz @ p.w.T, chain_bound(p.units, np.abs(p.dz) @ np.abs(p.w).T))

    dw, db = by_any_team(p.backward_weights)
    assert_within(dw, p.x.T @ p.dz, chain_bound(p.batch.rows, np.abs(p.x).T @ np.abs(p.dz)))
    assert_within(db, p.dz.sum(axis=0), chain_bound(p.batch.rows, np.abs(p.dz).sum(axis=0)))


@pytest.mark.parametrize("shape", [(7, 15), (33, 100), (300, 17)], ids=str)
@pytest.mark.parametrize("rows", [1, 5, 33, 257])
def test_forward_settings_change_no_bit(rows: int, shape: tuple[int, int]) -> None:
    """Bias, activation, a kept z and a team that shares rows only do what the separate ops do."""
    p = Problem(rows, *shape)
    (plain,) = p.forward(1)
    (without_bias,) = by_any_team(lambda n: p.forward(n, bias=False))
    assert_same_bits(without_bias + p.b.astype(np.float32), plain)
    assert_same_bits(by_any_team(lambda n: p.forward(n, by_rows=True))[0], plain)
    for activation, params in ACTIVATIONS_TRIED.items():
        activated = apply("activation_forward", p.batch, activation, params, z=plain)
        (y,) = by_any_team(lambda n, a=activation: p.forward(n, a))
        assert_same_bits(y, activated)
        y, z = by_any_team(lambda n, a=activation: p.forward(n, a, keep_z=True))
        assert_same_bits(y, activated)
        assert_same_bits(z, plain)


@pytest.mark.parametrize("shape", [(7, 15), (100, 33), (17, 300)], ids=str)
@pytest.mark.parametrize("rows", [1, 5, 33, 257])
def test_backward_input_settings_change_no_bit(rows: int, shape: tuple[int, int]) -> None:
    p = Problem(rows, *shape)
    (plain,) = p.backward_input(1)
    (added,) = by_any_team(lambda n: p.backward_input(n, accumulate=True))
    assert_same_bits(added, plain + p.dx0.astype(np.float32))
    assert_same_bits(by_any_team(lambda n: p.backward_input(n, by_rows=True))[0], plain)
    for activation, params in ACTIVATIONS_TRIED.items():
        if activation != "linear":
            (dx,) = by_any_team(lambda n, a=activation: p.backward_input(n, a))
            through = apply(
                "activation_backward", p.batch, activation, params, z=p.x, y=p.x, dy=plain
            )
            assert_same_bits(dx, through)


@pytest.mark.parametrize("shape", [(1, 1), (7, 15), (100, 33), (17, 300)], ids=str)
@pytest.mark.parametrize("rows", [1, 5, 33, 257, 600])
def test_weight_gradients_are_added_and_given_to_the_optimizer(
    rows: int, shape: tuple[int, int]
) -> None:
    p = Problem(rows, *shape)
    dw, db = p.backward_weights(1)
    summed = by_any_team(lambda n: p.backward_weights(n, accumulate=True))
    assert_same_bits(summed[0], p.w.astype(np.float32) + dw)
    assert_same_bits(summed[1], p.b.astype(np.float32) + db)
    fused = by_any_team(lambda n: p.updated(n, fused=True))
    separate = by_any_team(lambda n: p.updated(n, fused=False))
    for ours, theirs in zip(fused, separate, strict=True):
        assert_same_bits(ours, theirs)


@pytest.mark.parametrize(
    "segments, blocks, units", [(2, 1, 1), (49, 2, 10), (130, 1, 17), (3, 17, 33)]
)
@pytest.mark.parametrize("rows", [1, 33, 97])
def test_a_picture_is_read_where_it_lies(rows: int, segments: int, blocks: int, units: int) -> None:
    """Bits are those of the same numbers in one line."""
    flat = Problem(rows, segments * blocks * 16, units)
    p = Problem(rows, segments * blocks * 16, units, segments)

    def check(method: str, **settings: Any) -> None:
        found = by_any_team(lambda n: getattr(p, method)(n, **settings))
        for ours, theirs in zip(found, getattr(flat, method)(1, **settings), strict=True):
            assert_same_bits(ours, theirs)

    check("forward")
    check("forward", by_rows=True)
    check("forward", activation="gelu", keep_z=True)
    check("backward_input")
    check("backward_input", by_rows=True, accumulate=True)
    check("backward_input", activation="gelu")
    check("backward_weights")
    check("updated", fused=True)


def apply(
    name: str, batch: Batch, activation: str, params: tuple[float, ...], **tensors: Array
) -> Array:
    """The op ``name`` of one activation, by one thread."""
    features = next(iter(tensors.values())).shape[1]
    out = batch.unwritten(features)
    batch.run(
        make_op(
            name, **{key: batch.blocks(value) for key, value in tensors.items()},
            **{"y" if name == "activation_forward" else "dz": out}, features=features,
            kind=ACTIVATIONS[activation], **{f"param_{i}": p for i, p in enumerate(params)},
        ),
        threads=1,
    )  # fmt: skip
    return batch.read(out, features, padding=None)

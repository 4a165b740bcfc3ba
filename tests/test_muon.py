"""Muon's whole step, as lowering emits it, against its formulas in NumPy.

Newton-Schulz multiplies the rounding errors of its first steps, by how much depends on the matrix.
So NumPy goes through the same formulas in float32 as well: the engine may stray from float64 four
times as far as that does, for its sums run in another order.
"""

from __future__ import annotations

import numpy as np
import pytest
from kernels.harness import Array, by_any_team, weight

from fastnn.engine.executable import Executable
from fastnn.kernels.layout import unpack
from fastnn.lowering.arena import place
from fastnn.lowering.gradients.muon import MuonStep, emit_muon
from fastnn.lowering.program import Op, Program, make_op
from fastnn.lowering.verify import verify
from fastnn.lowering.waits import place_waits
from fastnn.optimizers import Muon

STEPS = 3
NOISE_FACTOR = 4
FLOOR = 1e-6

SHAPES = [(1, 1), (3, 40), (40, 3), (33, 33), (100, 70), (70, 100), (260, 150)]


def newton_schulz(x: Array, muon: Muon) -> Array:
    """As Keras's ``zeropower_via_newtonschulz5``."""
    tall = x.shape[0] > x.shape[1]
    if tall:
        x = x.T
    x = x / (np.linalg.norm(x) + np.asarray(1e-7, x.dtype))
    for _ in range(muon.ns_steps):
        a = x @ x.T
        b = np.asarray(muon.muon_b, x.dtype) * a + np.asarray(muon.muon_c, x.dtype) * a @ a
        x = np.asarray(muon.muon_a, x.dtype) * x + b @ x
    return x.T if tall else x


def twin(muon: Muon, w: Array, gradients: list[Array], dtype: type) -> Array:
    w, m = w.astype(dtype), np.zeros(w.shape, dtype)
    mu, rate = dtype(muon.momentum), dtype(muon.learning_rate)
    for gradient in gradients:
        g = gradient.astype(dtype)
        m = mu * m + g
        x = newton_schulz(g + mu * m if muon.nesterov else m, muon)
        if muon.rms_rate is not None:
            x = x * dtype(muon.rms_rate * np.sqrt(max(w.shape)))
        w = w - w * rate * dtype(muon.weight_decay or 0) - rate * x
    return w


def program(muon: Muon, weights: list[Array], gradients: list[Array]) -> tuple[Program, list]:
    steps = [
        MuonStep(str(i), w.shape, weight(g), weight(w), weight(np.zeros(w.shape)))  # type: ignore[arg-type]
        for i, (w, g) in enumerate(zip(weights, gradients, strict=True))
    ]
    ops: list[Op] = []
    emit_muon(lambda name, **operands: ops.append(make_op(name, **operands)), muon, steps)
    result = Program(ops, 1)
    place_waits(result)
    place(result)
    verify(result)
    return result, steps


def train(muon: Muon, weights: list[Array], gradients: list[list[Array]]) -> list[Array]:
    """The weights after a step with each of the gradients, the same for any team."""
    iterations = np.arange(len(gradients))
    scalars = muon.scalars(iterations, muon.learning_rates(iterations)).astype(np.float32)

    def compute(threads: int) -> list[Array]:
        built, steps = program(muon, weights, gradients[0])
        executable = Executable(built)
        for row, step_gradients in zip(scalars, gradients, strict=True):
            for step, gradient in zip(steps, step_gradients, strict=True):
                step.gradient.array[:] = weight(gradient).array
            executable.run([], np.zeros(1, np.int64), 0, 1, 1, row[None].copy(), np.zeros(1), [],
                           threads, np.inf)  # fmt: skip
        return [
            unpack(step.w.array, w.shape) for step, w in zip(steps, weights, strict=True)
        ]  # fmt: skip

    return by_any_team(compute)


@pytest.mark.parametrize(
    "muon",
    [
        Muon(0.05),
        Muon(0.02, nesterov=False, weight_decay=None, momentum=0.8),
        Muon(0.1, rms_rate=None, ns_steps=3, muon_a=3.0, muon_b=-3.2, muon_c=1.2),
        Muon(0.1, ns_steps=0),
    ],
    ids=["default", "no-nesterov", "coefficients", "no-iteration"],
)
def test_steps(muon: Muon) -> None:
    random = np.random.default_rng(5)
    weights = [random.standard_normal(s).astype(np.float32) for s in SHAPES]
    gradients = [
        [random.standard_normal(s).astype(np.float32) for s in SHAPES] for _ in range(STEPS)
    ]
    actual = train(muon, weights, gradients)
    for i, w in enumerate(weights):
        own = [step[i] for step in gradients]
        exact = twin(muon, w, own, np.float64)
        scale = np.abs(exact).max()
        noise = np.abs(twin(muon, w, own, np.float32) - exact).max() / scale
        off = np.abs(actual[i] - exact).max() / scale
        assert off <= max(FLOOR, NOISE_FACTOR * noise), (w.shape, off, noise)


def test_the_step_is_nearly_orthogonal() -> None:
    """Its singular values come out between 0.68 and 1.14 (Jordan et al. 2024)."""
    random = np.random.default_rng(2)
    zeros = [np.zeros(s, np.float32) for s in [(60, 200), (200, 60)]]
    gradients = [random.standard_normal(w.shape).astype(np.float32) for w in zeros]
    for w in train(Muon(1.0, rms_rate=None), zeros, [gradients]):
        values = np.linalg.svd(w, compute_uv=False)
        assert values.min() > 0.65 and values.max() < 1.15


def test_several_matrices_share_their_waits() -> None:
    """Three ops a Newton-Schulz step, and turning a wide matrix round and back."""

    def waits(*shapes: tuple[int, int]) -> int:
        arrays = [np.zeros(shape, np.float32) for shape in shapes]
        built, _ = program(Muon(), arrays, arrays)
        return sum(op.wait for op in built.ops)

    assert waits((40, 20)) == waits((40, 20), (30, 30), (100, 17)) == 1 + 3 * 5 + 1
    assert waits((20, 40)) == waits((20, 40), (40, 20)) == 1 + 3 * 5 + 1 + 2

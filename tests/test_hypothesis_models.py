"""Random small MLPs against their float64 twins, and the twins against finite differences."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from nets import mlp
from numpy.typing import NDArray
from twins import ACTIVATION_NAMES, ACTIVATIONS, LOSSES, Mlp

from fastnn import optimizers

EPSILON = float(np.finfo(np.float32).eps)

# The same examples at every run: a tolerance is a statement about them.
reproducible = settings(derandomize=True, deadline=None, max_examples=150)


@st.composite
def problems(draw: Any, largest: int) -> tuple[Mlp, NDArray, NDArray]:
    """A twin of depth 0..3, widths and batch 1..``largest``, and a batch (x, y) for it."""
    loss = draw(st.sampled_from(list(LOSSES)))
    hidden = draw(st.sampled_from(ACTIVATION_NAMES))
    size = st.integers(1, largest)
    widths = draw(st.lists(size, min_size=2, max_size=5))
    if loss == "sparse_categorical_crossentropy":
        widths[-1] = max(widths[-1], 2)  # one class alone is nothing to learn
    batch = draw(size)
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))

    weights = []
    for n_in, n_out in pairwise(widths):
        limit = np.sqrt(6 / (n_in + n_out))
        weights.append(random.uniform(-limit, limit, (n_in, n_out)))
        weights.append(random.uniform(-0.2, 0.2, n_out))
    x = random.normal(size=(batch, widths[0]))
    if loss == "sparse_categorical_crossentropy":
        y = random.integers(0, widths[-1], batch)
    elif loss == "binary_crossentropy":
        y = random.integers(0, 2, (batch, widths[-1])).astype(np.float64)
    else:
        y = random.normal(size=(batch, widths[-1]))
    # The engine sees float32: the twin starts from the same values.
    rounded = [np.float64(np.float32(array)) for array in (*weights, x)]
    y = np.float64(np.float32(y)) if y.dtype == np.float64 else y
    return Mlp(rounded[:-1], hidden, loss), rounded[-1], y


def compiled(twin: Mlp) -> Any:
    """The twin's net in fastnn, with SGD(1): one step subtracts the gradient."""
    widths = [twin.weights[0].shape[0], *(kernel.shape[1] for kernel in twin.weights[::2])]
    model = mlp(widths, hidden=twin.hidden, output=LOSSES[twin.loss])
    model.set_weights([np.float32(w) for w in twin.weights])
    model.compile(optimizer=optimizers.SGD(learning_rate=1.0), loss=twin.loss)
    return model


@reproducible
@given(problems(40))
def test_forward_follows_the_twin(problem: tuple[Mlp, NDArray, NDArray]) -> None:
    twin, x, _ = problem
    wanted = twin.predict(x)
    output = compiled(twin).predict(np.float32(x), verbose=0)
    # Up to four layers of sums of up to 41 terms: their errors grow like a random walk, so
    # 32 units in the last place of the largest output leave room for the unlucky.
    assert output.dtype == np.float32
    np.testing.assert_allclose(output, wanted, rtol=0, atol=32 * EPSILON * scale(x, twin))


@reproducible
@given(problems(40))
def test_gradients_follow_the_twin(problem: tuple[Mlp, NDArray, NDArray]) -> None:
    twin, x, y = problem
    assume(twin.margin(x) > 1e-5)
    model = compiled(twin)
    loss = model.train_on_batch(np.float32(x), y if y.ndim == 1 else np.float32(y))
    np.testing.assert_allclose(loss, twin.loss_value(x, y), rtol=64 * EPSILON, atol=64 * EPSILON)
    for before, after, wanted in zip(
        twin.weights, model.get_weights(), twin.gradients(x, y), strict=True
    ):
        # w - g is rounded once more than g: half a unit in the last place of w or g.
        largest = np.abs(wanted).max() + np.abs(before).max()
        np.testing.assert_allclose(before - after, wanted, rtol=0, atol=64 * EPSILON * largest)


def scale(x: NDArray, twin: Mlp) -> float:
    """The largest magnitude on the way forward: a sum is no more exact than its terms."""
    return max(1.0, np.abs(x).max(), *(np.abs(z).max() for z in twin.pre_activations(x)))


@settings(reproducible, max_examples=60)
@given(problems(6), st.integers(0, 2**32 - 1))
def test_twin_gradients_are_finite_differences(
    problem: tuple[Mlp, NDArray, NDArray], seed: int
) -> None:
    twin, x, y = problem
    step = 1e-5
    assume(twin.margin(x) > 100 * step)
    random = np.random.default_rng(seed)
    direction = [random.choice([-1.0, 1.0], w.shape) for w in twin.weights]

    def loss_at(t: float) -> float:
        moved = [w + t * d for w, d in zip(twin.weights, direction, strict=True)]
        return Mlp(moved, twin.hidden, twin.loss).loss_value(x, y)

    slope = (loss_at(step) - loss_at(-step)) / (2 * step)
    gradients = twin.gradients(x, y)
    wanted = sum(np.sum(g * d) for g, d in zip(gradients, direction, strict=True))
    # Truncation is O(step^2) = 1e-10, cancellation about 1e-16 / step = 1e-11 of the loss.
    assert slope == pytest.approx(wanted, rel=1e-6, abs=1e-7)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_twin_slopes_are_finite_differences(name: str) -> None:
    twin = ACTIVATIONS[name]
    z = np.linspace(-6, 6, 240)  # an even count: no point at 0 or +-3, where slopes jump
    z = z[np.abs(z[:, None] - np.array([*twin.kinks, np.inf])).min(axis=1) > 1e-3]
    step = 1e-5
    slope = (twin.value(z + step) - twin.value(z - step)) / (2 * step)
    np.testing.assert_allclose(twin.slope(z), slope, rtol=1e-6, atol=1e-9)

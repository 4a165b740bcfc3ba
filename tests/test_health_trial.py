"""What trials rest on: samples, what a net that looks at nothing achieves, the sound net."""

from __future__ import annotations

import copy
import math
from typing import Any

import numpy as np
import pytest

import fastnn as fnn
from fastnn import layers, losses, optimizers
from fastnn.health.baseline import baseline_loss, chance, explained
from fastnn.health.reference import (
    plain_reference_for,
    reference_for,
    small_reference_for,
)
from fastnn.health.sample import draw
from fastnn.health.sound import Sound
from fastnn.health.trial import Course, share_right, sureness
from fastnn.models.feeding import feed

RANDOM = np.random.default_rng(0)
X = RANDOM.standard_normal((600, 6)).astype(np.float32)
CLASSES = (X[:, 0] + X[:, 1] > 0).astype(int) + (X[:, 2] > 0)


def model(loss: Any, units: int, activation: str | None = None) -> fnn.Sequential:
    result = fnn.Sequential([layers.Input((6,)), layers.Dense(units, activation)])
    result.compile(optimizers.Adam(1e-2), loss)
    return result


# What a net that looks at nothing achieves


def test_the_best_constant_of_a_crossentropy_is_the_entropy() -> None:
    shares = np.bincount(CLASSES) / len(CLASSES)
    entropy = -(shares * np.log(shares)).sum()
    net = model("sparse_categorical_crossentropy", 3, "softmax")
    assert baseline_loss(net, feed(net, X, CLASSES)) == pytest.approx(entropy)
    # A net that has learned the shares, and nothing else, has that loss.
    net.set_weights([np.zeros((6, 3)), np.log(shares)])
    assert net.evaluate(X, CLASSES, verbose=0) == pytest.approx(entropy, rel=1e-5)
    one_hot = np.eye(3)[CLASSES]
    net = model("categorical_crossentropy", 3, "softmax")
    assert baseline_loss(net, feed(net, X, one_hot)) == pytest.approx(entropy)


@pytest.mark.parametrize("delta", [0.1, 1.0, 30.0])
def test_the_best_constant_of_hubers_loss(delta: float) -> None:
    y = RANDOM.exponential(size=(600, 2)).astype(np.float32) * (1, 20)
    net = model(losses.Huber(delta), 2)
    known = baseline_loss(net, feed(net, X, y))
    assert known is not None

    def loss_of(constant: Any, column: int) -> float:
        error = np.abs(y[:, column] - constant)
        return float(np.where(error <= delta, error**2 / 2, delta * error - delta**2 / 2).mean())

    # No constant of a fine grid does better, by column.
    best = [min(loss_of(c, k) for c in np.linspace(0, 40, 40_001)) for k in (0, 1)]
    assert known == pytest.approx(np.mean(best), rel=1e-5)
    assert known <= np.mean(best) * (1 + 1e-9)


@pytest.mark.parametrize(
    ("loss", "best"), [("mse", np.mean), ("mae", np.median)], ids=["squared", "absolute"]
)
def test_the_best_constant_of_a_difference(loss: str, best: Any) -> None:
    y = RANDOM.exponential(size=(600, 1)).astype(np.float32)
    net = model(loss, 1)
    net.set_weights([np.zeros((6, 1)), np.array([best(y)])])
    known = baseline_loss(net, feed(net, X, y))
    assert known == pytest.approx(net.evaluate(X, y, verbose=0), rel=1e-5)


def test_the_best_constant_of_binary_classes() -> None:
    y = (RANDOM.random((600, 2)) < (0.2, 0.7)).astype(np.float32)
    net = model("binary_crossentropy", 2, "sigmoid")
    odds = y.mean(axis=0) / (1 - y.mean(axis=0))
    net.set_weights([np.zeros((6, 2)), np.log(odds)])
    known = baseline_loss(net, feed(net, X, y))
    assert known == pytest.approx(net.evaluate(X, y, verbose=0), rel=1e-5)


@pytest.mark.parametrize(
    ("loss", "units", "activation"),
    [("sparse_categorical_crossentropy", 3, "softmax"), ("mse", 1, None), ("mae", 1, None),
     ("binary_crossentropy", 1, "sigmoid")],
)  # fmt: skip
def test_rows_count_by_their_weights(loss: str, units: int, activation: str | None) -> None:
    weights = RANDOM.random(600).astype(np.float32) / 10
    y: Any = CLASSES if units == 3 else (CLASSES == 2).astype(np.float32)[:, None]
    net = model(loss, units, activation)
    known = baseline_loss(net, feed(net, X, y, weights))
    assert known is not None
    # No constant does better, and one found by search does as well.
    net.layers[0].trainable = True
    zeros = np.zeros((6, units))
    best = math.inf
    for shift in np.linspace(-3, 3, 301):
        if units == 3:
            shares = np.bincount(y, weights) / weights.sum()
            constant = np.log(shares) + np.array([0, shift, 0])
        else:
            constant = np.array([shift])
        net.set_weights([zeros, constant])
        best = min(best, net.evaluate(X, y, sample_weight=weights, verbose=0))
    assert known <= best * (1 + 1e-6)
    assert known == pytest.approx(best, rel=1e-3)


def test_nobody_knows_the_best_constant_of_other_losses() -> None:
    for loss in ("poisson", losses.MeanSquaredError(reduction="sum")):
        net = model(loss, 1)
        assert baseline_loss(net, feed(net, X, X[:, :1])) is None


def test_chance_is_the_most_frequent_class() -> None:
    assert chance(np.array([0, 2, 2, 1])) == 0.5
    assert chance(np.eye(3)[[0, 2, 2, 1]]) == 0.5
    assert chance(np.array([[1.0], [0.0], [0.0], [0.0]])) == 0.75
    assert chance(np.array([[1, 0], [1, 0], [1, 1], [0, 0]])) == 0.75  # of both columns


@pytest.mark.parametrize(
    ("true", "predicted", "right"),
    [
        ([1, 0], [[0.1, 0.9], [0.2, 0.8]], 0.5),
        ([[0, 1], [1, 0]], [[0.1, 0.9], [0.2, 0.8]], 0.5),
        ([[1], [0]], [[0.9], [0.6]], 0.5),
        ([[1], [0]], [[3.0], [-2.0]], 1.0),
        ([[0.5], [0.2]], [[3.0], [-2.0]], math.nan),
        ([[1, 1], [0, 0]], [[0.9, 0.4], [0.2, 0.1]], 0.75),
        ([[0.5, 0.5], [1, 0]], [[0.1, 0.9], [0.2, 0.8]], math.nan),
    ],
)
def test_accuracy_of_any_targets(true: Any, predicted: Any, right: float) -> None:
    found = share_right(np.array(true), np.array(predicted, np.float32))
    assert found == right or (math.isnan(found) and math.isnan(right))


def test_columns_of_their_own_scale_count_the_same() -> None:
    y = RANDOM.standard_normal((500, 3)) * (1e-3, 1, 1e6) + (0, 5, 1e7)
    guess = y.copy()
    guess[:, 2] = y[:, 2].mean()
    assert explained(y, y) == 1.0
    assert explained(y, guess) == pytest.approx(2 / 3)
    guess[:, 1] += y[:, 1].std() / 2
    assert explained(y, guess) == pytest.approx((1 + 0.75 + 0) / 3)
    guess[:, 0] += 1e9  # far worse than a constant
    assert explained(y, guess) == pytest.approx(0.75 / 3)
    assert explained(y, np.full_like(y, np.inf)) == explained(y, np.full_like(y, np.nan)) == 0.0
    constant = np.column_stack([y[:, 0], np.ones(500)])
    assert explained(constant, constant * 0 + constant.mean(0)) == pytest.approx(0, abs=1e-6)
    assert explained(np.ones((5, 1)), np.ones((5, 1))) == 0.0  # there is nothing to learn


def test_stray_rows_count_for_little_in_absolute_errors() -> None:
    y = RANDOM.standard_normal((1000, 1))
    guess = y + 0.5 * RANDOM.standard_normal((1000, 1))
    assert explained(y, guess, squared=False) == pytest.approx(0.75, abs=0.05)
    y[0] = 1e3
    assert explained(y, guess, squared=True) < 0.1
    assert explained(y, guess, squared=False) > 0.3
    weights = np.ones(1000, np.float32)
    weights[0] = 0
    assert explained(y, guess, weights) == pytest.approx(0.75, abs=0.05)


def test_probabilities_count_by_brier() -> None:
    y = (RANDOM.random((4000, 2)) < (0.5, 0.05)).astype(np.float32)
    best = np.where(y == 1, 0.9, 0.1)
    logits = np.log(best / (1 - best)).astype(np.float32)
    brier = np.mean([1 - 0.01 / column.var() for column in y.T])
    assert sureness(y, best.astype(np.float32), None, False) == pytest.approx(brier, rel=1e-4)
    assert sureness(y, logits, None, True) == pytest.approx(brier, rel=1e-4)
    assert sureness(y, np.full_like(y, 1e9), None, True) == 0.0


def test_a_label_that_is_rare_counts_as_much_as_one_that_is_not() -> None:
    """The loss, a sum over the labels, is that of the frequent one; R2 is by label."""
    rare = (X[:, 2] > 2).astype(np.float32)
    y = np.stack([X[:, 0] > 0, rare], axis=1).astype(np.float32)
    net = model("binary_crossentropy", 2, "sigmoid")
    sample = draw(X, y, None, 600, 480, 120, seed=0)
    learned = Course(net, sample, 32).hurry_on(2000)
    x, y, _ = sample.held_out
    assert learned == pytest.approx(sureness(y, net.predict(x, verbose=0), None, False), abs=1e-6)
    assert 1 - net.evaluate(x, y, verbose=0) / baseline_loss(net, feed(net, x, y)) > learned + 0.02


def test_the_best_of_three_sound_nets_counts_where_all_are_cheap() -> None:
    noise = np.random.default_rng(1).standard_normal((600, 1))
    y = (X[:, :1] + noise).astype(np.float32)
    net, sample = model("mse", 1), draw(X, y, None, 600, 480, 120, seed=0)
    fnn.utils.set_random_seed(0)
    x, y, _ = sample.train
    nets = [
        reference_for(net, [y]),
        plain_reference_for(net, [y], [x]),
        small_reference_for(net, [y], [x]),
    ]
    alone = [Course(each, sample, 32).hurry_on(200) or 0.0 for each in nets]

    def learned(several: bool) -> float:
        fnn.utils.set_random_seed(0)
        return max(Sound(net, sample, 32, several).after(200))

    assert learned(True) == max(alone) == alone[2]  # the larger ones learn the noise
    assert learned(False) == alone[0] < alone[2]


# Samples


def test_rows_are_held_out() -> None:
    y = np.arange(600)
    sample = draw(X, y, None, 600, 100, 50, seed=0)
    assert len(sample.train[1]) == 100 and len(sample.held_out[1]) == 50
    assert not set(sample.train[1]) & set(sample.held_out[1])
    np.testing.assert_array_equal(sample.train[0], X[sample.train[1]])
    few = sample.with_fewer_held_out(10)
    np.testing.assert_array_equal(few.held_out[1], sample.held_out[1][:10])
    other = draw(X, y, None, 600, 100, 50, seed=1)
    assert list(other.train[1]) != list(sample.train[1])


def test_each_fold_holds_other_rows_out() -> None:
    y = np.arange(600)
    folds = [draw(X, y, None, 600, 10_000, 10_000, seed=0, fold=fold) for fold in range(5)]
    assert sorted(np.concatenate([fold.held_out[1] for fold in folds])) == list(y)
    for fold in folds:
        assert len(fold.train[1]) == 480 and not set(fold.train[1]) & set(fold.held_out[1])
    # Where other rows are to judge by, it is another order.
    judged = (X[:9], y[:9], None)
    orders = [
        draw(X, y, None, 600, 600, 10, seed=0, judged=judged, fold=fold).train[1] for fold in (0, 1)
    ]
    assert list(orders[0]) != list(orders[1]) and sorted(orders[0]) == sorted(orders[1])


def test_lists_and_dicts_of_arrays() -> None:
    sample = draw([X, X + 1], {"a": CLASSES}, None, 600, 20, 10, seed=0)
    np.testing.assert_array_equal(sample.train[0][1], sample.train[0][0] + 1)
    assert len(sample.train[1]["a"]) == 20
    rows = draw(X.tolist(), CLASSES.tolist(), None, 600, 20, 10, seed=0)
    np.testing.assert_allclose(rows.train[0], sample.train[0][0])


@pytest.mark.parametrize("what", ["y", "sample_weight"])
def test_lengths_that_differ(what: str) -> None:
    given = {"y": CLASSES, "sample_weight": np.ones(600), what: np.ones(599)}
    with pytest.raises(ValueError, match=f"{what} has 599 rows, but x has 600"):
        draw(X, given["y"], given["sample_weight"], 600, 20, 10, seed=0)


# Courses


def test_looking_closely_changes_nothing() -> None:
    sample = draw(X, CLASSES, None, 600, 320, 200, seed=0)
    net = model("sparse_categorical_crossentropy", 3, "softmax")
    close, hurried = (Course(copy.deepcopy(net), sample, 32) for _ in range(2))
    trial = close.go_on(25)
    assert hurried.hurry_on(25) == trial.learned
    assert len(trial.losses) == len(trial.steps) == 25
    assert close.hurry_on(10) == hurried.hurry_on(10)


def test_a_course_that_breaks_off() -> None:
    net = model("mse", 3)
    net.compile(optimizers.SGD(1e30), "mse")
    sample = draw(X, X[:, :3], None, 600, 320, 200, seed=0)
    course = Course(net, sample, 32)
    trial = course.go_on(25)
    assert trial.error == "the loss of step 1 is infinite"
    assert len(trial.losses) < 25 and trial.learned == 0.0
    other = model("mse", 3)
    other.compile(optimizers.SGD(1e30), "mse")
    assert Course(other, sample, 32).hurry_on(25) is None


def test_a_course_goes_on_with_rows_that_it_has_not_seen() -> None:
    seen: list[int] = []

    def loss(true: Any, predicted: Any) -> Any:
        seen.extend(true.ravel().astype(int).tolist())
        return np.zeros(len(true)), np.zeros_like(predicted)

    number = np.arange(600.0)[:, None]
    first, more = (draw(X, number, None, 600, rows, 100, seed=0) for rows in (64, 320))
    course = Course(model(loss, 1), first, 32)
    held_out = {*first.held_out[1].ravel().astype(int)}
    trained = [int(row) for row in more.train[1].ravel()]

    def steps(count: int) -> list[int]:
        seen.clear()
        assert course.hurry_on(count) is not None
        return [row for row in seen if row not in held_out]

    assert sorted(steps(2)) == sorted(trained[:64])
    half = steps(1)
    course.widen(more)
    # First the rest of an epoch of the rows so far; then all others; then all.
    rest, others, all_again = steps(1), steps(8), steps(10)
    assert sorted(half + rest) == sorted(trained[:64])
    assert sorted(others) == sorted(trained[64:]) and sorted(all_again) == sorted(trained)


@pytest.mark.parametrize(
    ("loss", "units", "activation", "y"),
    [
        ("sparse_categorical_crossentropy", 3, "softmax", CLASSES),
        (losses.SparseCategoricalCrossentropy(from_logits=True), 3, None, CLASSES),
        ("binary_crossentropy", 1, "sigmoid", (CLASSES > 0)[:, None]),
        ("mse", 2, None, X[:, :2] * 3 + 1),
        ("huber", 1, None, X[:, :1]),
        ("poisson", 1, "softplus", np.exp(X[:, :1])),
    ],
)
def test_the_sound_net_learns(loss: Any, units: int, activation: str | None, y: Any) -> None:
    sample = draw(X * 1000, y, None, 600, 500, 100, seed=0)
    reference = reference_for(model(loss, units, activation))
    learned = Course(reference, sample, 16).hurry_on(2000)
    assert learned is not None and learned > 0.5


def test_plain_sound_nets_see_what_all_rows_say_of_the_inputs() -> None:
    x = np.stack(
        [X[:, 0] * 1e4 + 3e4, X[:, 1] * 1e-3, np.full(600, 7.3), X[:, 2], X[:, 3] * 1e25], axis=1
    ).astype(np.float32)
    net = fnn.Sequential([layers.Input((5,)), layers.Dense(1)])
    net.compile("adam", "mse")
    for made in (plain_reference_for, small_reference_for):
        sound = made(net, [X[:, :1]], [x])
        (scaling,) = [each for each in sound.layers if isinstance(each, layers.Normalization)]
        found = scaling.transform(x)[:, :4]
        np.testing.assert_allclose(found.mean(axis=0), 0, atol=1e-3)
        np.testing.assert_allclose(found.std(axis=0), [1, 1, 0, 1], rtol=1e-3, atol=1e-3)
        assert np.isfinite(sound.predict(x, verbose=0)).all()
        other = x.copy()
        other[:, 2] = 255
        np.testing.assert_array_equal(sound.predict(other, verbose=0), sound.predict(x, verbose=0))


def test_deep_models_are_copied_without_recursion() -> None:
    deep = fnn.Sequential([layers.Input((4,)), *(layers.Dense(4, "relu") for _ in range(400))])
    deep.compile("sgd", "mse")
    twin = copy.deepcopy(deep)
    for mine, other in zip(deep.weights, twin.weights, strict=True):
        assert mine is not other
        np.testing.assert_array_equal(mine.numpy(), other.numpy())
    twin.weights[0].assign(np.ones((4, 4)))
    assert not np.array_equal(deep.weights[0].numpy(), np.ones((4, 4)))
    assert twin.predict(X[:8, :4]).shape == (8, 4)

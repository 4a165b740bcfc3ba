"""Every loss: its value against float64, its gradient against finite differences of that.

Bounds are in U, the unit roundoff. A row's loss sums ``terms``: each is off by ROUNDINGS of its
magnitude (an exponential or logarithm counts 3, other operations 1), and the sum of ``features``
of them by one more for each addition.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest

from fastnn.kernels.codes import LOSSES
from kernels.harness import Array, Batch, U, assert_within, by_any_team, float32, make_op

ROUNDINGS = 12

EPSILON = float(np.float32(1e-7))
LARGEST = float(np.float32(1) - np.float32(1e-7))  # 1 - epsilon, as float32 has it


def clip(p: Array) -> Array:
    return np.clip(p, EPSILON, LARGEST)


def smooth(y: Array, smoothing: float, share: float) -> Array:
    return y * (1 - smoothing) + smoothing * share


def log_sum(z: Array) -> Array:
    largest = z.max(axis=1, keepdims=True)
    return largest + np.log(np.exp(z - largest).sum(axis=1, keepdims=True))


def softmax(z: Array) -> Array:
    return np.exp(z - log_sum(z))


def normalise(p: Array) -> Array:
    return p / p.sum(axis=1, keepdims=True)


# Each gives the terms of (prediction, target, *params) whose sum is a row's loss.


def softmax_crossentropy(z: Array, y: Array, smoothing: float = 0.0) -> Array:
    return smooth(y, smoothing, 1 / z.shape[1]) * (log_sum(z) - z)


def crossentropy(p: Array, y: Array, smoothing: float = 0.0) -> Array:
    return -smooth(y, smoothing, 1 / p.shape[1]) * np.log(clip(normalise(p)))


def focal(p: Array, y: Array, alpha: float, gamma: float, from_logits: float,
          smoothing: float) -> Array:  # fmt: skip
    q = clip(softmax(p) if from_logits else normalise(p))
    return -alpha * (1 - q) ** gamma * smooth(y, smoothing, 1 / p.shape[1]) * np.log(q)


def sigmoid_crossentropy(z: Array, y: Array, smoothing: float = 0.0) -> Array:
    return (np.logaddexp(0, z) - z * smooth(y, smoothing, 0.5)) / z.shape[1]


def binary_crossentropy(p: Array, y: Array, smoothing: float = 0.0) -> Array:
    y, p = smooth(y, smoothing, 0.5), clip(p)
    return -(y * np.log(p) + (1 - y) * np.log(1 - p)) / p.shape[1]


def mean_squared_error(p: Array, y: Array) -> Array:
    return (p - y) ** 2 / p.shape[1]


def mean_absolute_error(p: Array, y: Array) -> Array:
    return np.abs(p - y) / p.shape[1]


def huber(p: Array, y: Array, delta: float) -> Array:
    e = np.abs(p - y)
    return np.where(e <= delta, e**2 / 2, delta * e - delta**2 / 2) / p.shape[1]


def poisson(p: Array, y: Array) -> Array:
    return (p - y * np.log(p + EPSILON)) / p.shape[1]


Draw = Callable[[np.random.Generator, int, int], Array]


def logits(random: np.random.Generator, rows: int, features: int) -> Array:
    return float32(random, rows, features, scale=3.0)


def probabilities(random: np.random.Generator, rows: int, features: int) -> Array:
    """Away from 0 and 1, where the loss is clipped; rows need not sum to one."""
    return random.uniform(0.05, 0.95, (rows, features)).astype(np.float32).astype(np.float64)


def positive(random: np.random.Generator, rows: int, features: int) -> Array:
    return np.abs(float32(random, rows, features)) + 0.25


def one_hot(random: np.random.Generator, rows: int, features: int) -> Array:
    return np.eye(features)[random.integers(0, features, rows)]


def distribution(random: np.random.Generator, rows: int, features: int) -> Array:
    """Not quite normalised, for the user's targets need not be."""
    p = random.random((rows, features))
    return (1.25 * normalise(p)).astype(np.float32).astype(np.float64)


def bits(random: np.random.Generator, rows: int, features: int) -> Array:
    return random.integers(0, 2, (rows, features)).astype(np.float64)


@dataclass(frozen=True)
class Case:
    kind: str
    terms: Callable[..., Array]
    y_pred: Draw
    y_true: Draw
    params: tuple[float, ...] = ()
    labels: bool = False

    def __str__(self) -> str:
        parts = [self.kind, self.y_true.__name__, *map(str, self.params)]
        return "-".join(["labels" if self.labels else "dense", *parts])


P3 = float(np.float32(0.3))
CASES = [
    Case("softmax_crossentropy", softmax_crossentropy, logits, one_hot, (0.0,), labels=True),
    Case("softmax_crossentropy", softmax_crossentropy, logits, one_hot, (P3,), labels=True),
    Case("softmax_crossentropy", softmax_crossentropy, logits, one_hot, (0.0,)),
    Case("softmax_crossentropy", softmax_crossentropy, logits, distribution, (P3,)),
    Case("crossentropy", crossentropy, probabilities, one_hot, (0.0,), labels=True),
    Case("crossentropy", crossentropy, probabilities, one_hot, (P3,), labels=True),
    Case("crossentropy", crossentropy, probabilities, one_hot, (0.0,)),
    Case("crossentropy", crossentropy, probabilities, distribution, (P3,)),
    Case("sigmoid_crossentropy", sigmoid_crossentropy, logits, bits, (0.0,)),
    Case("sigmoid_crossentropy", sigmoid_crossentropy, logits, probabilities, (P3,)),
    Case("binary_crossentropy", binary_crossentropy, probabilities, bits, (0.0,)),
    Case("binary_crossentropy", binary_crossentropy, probabilities, probabilities, (P3,)),
    Case("mean_squared_error", mean_squared_error, logits, logits),
    Case("mean_absolute_error", mean_absolute_error, logits, logits),
    Case("huber", huber, logits, logits, (1.5,)),
    Case("poisson", poisson, positive, positive),
    Case("focal_crossentropy", focal, probabilities, one_hot, (0.25, 2.0, 0.0, 0.0)),
    Case("focal_crossentropy", focal, logits, one_hot, (0.25, 2.0, 1.0, 0.0)),
    Case("focal_crossentropy", focal, logits, distribution, (0.5, 1.5, 1.0, P3)),
]
SHAPES = [(1, 1), (2, 7), (5, 16), (17, 17), (33, 3), (31, 100), (257, 10)]
WRITES_PROBABILITIES = {"softmax_crossentropy", "sigmoid_crossentropy"}


def test_every_loss_has_a_case() -> None:
    assert {case.kind for case in CASES} == LOSSES.keys()


class Problem:
    def __init__(self, case: Case, rows: int, features: int) -> None:
        random = np.random.default_rng((rows, features))
        self.case, self.batch, self.features = case, Batch(rows), features
        self.y_pred = case.y_pred(random, rows, features)
        self.y_true = case.y_true(random, rows, features)
        if case.terms in (mean_absolute_error, huber):  # no error within 1e-2 of a kink
            for kink in (0.0, 1.5, -1.5):
                error = self.y_pred - self.y_true
                self.y_pred[np.abs(error - kink) < 1e-2] += 0.03125
            self.y_pred = self.y_pred.astype(np.float32).astype(np.float64)
        self.weights = random.uniform(0.5, 2.0, rows).astype(np.float32).astype(np.float64)
        self.weights[0] = 0.0 if rows > 1 else 1.5

    def run(self, threads: int, weighted: bool, mean: bool, gradient: bool = True,
            padding: float | None = 0.0) -> list[Array]:  # fmt: skip
        """Rows' losses [, gradient] [, probabilities]."""
        batch, case, features = self.batch, self.case, self.features
        values = batch.values()
        d_y_pred = batch.unwritten(features) if gradient else None
        writes_p = case.kind in WRITES_PROBABILITIES or (
            case.kind == "focal_crossentropy" and case.params[2]
        )
        p = batch.unwritten(features) if writes_p else None
        if case.labels:
            target = {"labels": batch.values(self.y_true.argmax(axis=1), np.int32)}
        else:
            target = {"y_true": batch.blocks(self.y_true)}
        op = make_op(
            "loss", y_pred=batch.blocks(self.y_pred), row_values=values, d_y_pred=d_y_pred,
            weights=batch.values(self.weights) if weighted else None, probabilities=p,
            features=features, kind=LOSSES[case.kind], mean=mean, scale=0.75, **target,
            **{f"param_{i}": value for i, value in enumerate(case.params)},
        )  # fmt: skip
        batch.run(op, threads=threads)
        results = [batch.read_values(values)]
        if gradient:
            results.append(batch.read(d_y_pred, features, padding))
        if p is not None:
            if case.kind == "sigmoid_crossentropy":
                padding = None  # sigmoid(0) is not zero
            results.append(batch.read(p, features, padding))
        return results

    def terms(self, y_pred: Array | None = None) -> Array:
        return self.case.terms(
            self.y_pred if y_pred is None else y_pred, self.y_true, *self.case.params
        )

    def magnitude(self) -> Array:
        """What is rounded on the way to a row's loss: the terms' own parts, before they cancel."""
        p, y = self.y_pred, np.abs(self.y_true)
        largest = np.abs(self.terms()).sum(axis=1)
        if self.case.kind == "softmax_crossentropy":
            y = smooth(y, self.case.params[0], 1 / self.features)
            return largest + (y * (np.abs(p) + np.abs(log_sum(p)))).sum(axis=1)
        if self.case.kind in ("sigmoid_crossentropy", "poisson"):
            return largest + (np.abs(p) * (1 + y)).mean(axis=1)
        if self.case.kind == "huber":
            return largest + 1.5**2 / 2
        if self.case.kind == "focal_crossentropy":
            alpha, gamma, from_logits, _ = self.case.params
            q = softmax(p) if from_logits else normalise(p)
            # what an error of q makes of (1 - q)^gamma
            power = gamma * (1 - q) ** (gamma - 1) * q * np.abs(np.log(q))
            return largest + (3 + np.abs(p).max(axis=1)) * alpha * (y * power).sum(axis=1)
        return largest

    def slope(self) -> Array:
        """d(row's loss) / d(y_pred), by central differences of the float64 twin."""
        result = np.empty_like(self.y_pred)
        for column in range(self.features):
            step = 1e-6 * (np.arange(self.features) == column)
            difference = self.terms(self.y_pred + step) - self.terms(self.y_pred - step)
            result[:, column] = difference.sum(axis=1) / 2e-6
        return result


@pytest.mark.parametrize("case", CASES, ids=str)
def test_value_and_gradient(case: Case) -> None:
    for rows, features in SHAPES:
        problem = Problem(case, rows, features)
        slope = problem.slope()
        for weighted, mean in ((False, True), (True, False)):
            weights = problem.weights if weighted else np.ones(rows)
            values, gradient, *p = by_any_team(
                lambda n, q=problem, w=weighted, m=mean: q.run(n, w, m)
            )
            bound = (ROUNDINGS + features) * U * problem.magnitude()
            assert_within(values, weights * problem.terms().sum(axis=1), weights * bound)
            scale = 0.75 * weights[:, None] / (rows if mean else 1)
            # A gradient's parts are of the size of the row's largest; 1e-8: the differences
            largest = np.abs(slope).max(axis=1, keepdims=True) + gradient_parts(problem)
            bound = (ROUNDINGS + features) * U * largest + 1e-8
            assert_within(gradient, scale * slope, scale * bound)
            if p and case.kind == "sigmoid_crossentropy":
                expected = np.exp(-np.logaddexp(0, -problem.y_pred))
                assert_within(p[0], expected, 7 * U * expected)
            elif p:
                expected = softmax(problem.y_pred)
                spread = np.ptp(problem.y_pred, axis=1, keepdims=True)
                assert_within(p[0], expected, (spread + features / 16 + 22) * U * expected)


def gradient_parts(problem: Problem) -> Array:
    """Size of the numbers whose difference is the gradient, where they may cancel."""
    features = problem.features
    if problem.case.kind == "crossentropy":
        return (1.25 / problem.y_pred).max(axis=1, keepdims=True)  # of y / q / sum(p)
    if problem.case.kind in ("softmax_crossentropy", "focal_crossentropy"):
        return 2 + np.abs(problem.y_pred).max(axis=1, keepdims=True)
    if problem.case.kind in ("sigmoid_crossentropy", "poisson"):
        return np.full((1, 1), 4 / features)
    if problem.case.kind == "binary_crossentropy":
        return np.full((1, 1), 20 / features)  # 1 / (p (1 - p))
    if problem.case.kind == "mean_squared_error":
        return 2 * np.abs(problem.y_pred).max(axis=1, keepdims=True) / features
    return np.zeros((1, 1))


@pytest.mark.parametrize("case", CASES, ids=str)
def test_evaluation_gives_the_same_values(case: Case) -> None:
    """Without a gradient to write."""
    problem = Problem(case, 33, 10)
    trained, evaluated = problem.run(1, True, True), problem.run(1, True, True, gradient=False)
    np.testing.assert_array_equal(evaluated[0], trained[0])


@pytest.mark.parametrize("labels", [False, True])
def test_probabilities_are_clipped(labels: bool) -> None:
    """A certain and wrong prediction costs log(1e-7), and its gradient is zero, as in Keras."""
    case = Case("crossentropy", crossentropy, probabilities, one_hot, (0.0,), labels)
    problem = Problem(case, 2, 3)
    problem.y_pred = np.array([[0.0, 1.0, 0.0], [0.0, 1.0, 0.0]])
    problem.y_true = np.eye(3)[[0, 1]]
    values, gradient = problem.run(1, False, False)
    assert_within(values, np.array([-np.log(EPSILON), -np.log(LARGEST)]), 4 * U * 17)
    np.testing.assert_array_equal(gradient, 0)


def test_binary_probabilities_are_clipped() -> None:
    case = Case("binary_crossentropy", binary_crossentropy, probabilities, bits, (0.0,))
    problem = Problem(case, 2, 1)
    problem.y_pred, problem.y_true = np.array([[0.0], [1.0]]), np.array([[1.0], [0.0]])
    values, gradient = problem.run(1, False, False)
    expected = np.array([-np.log(EPSILON), -np.log(1 - LARGEST)])
    assert_within(values, expected, 4 * U * 17)
    np.testing.assert_array_equal(gradient, 0)


def test_large_logits_neither_overflow_nor_lose_the_loss() -> None:
    case = CASES[0]
    problem = Problem(case, 2, 3)
    problem.y_pred = np.array([[1e4, -1e4, 0.0], [1e4, -1e4, 0.0]])
    problem.y_true = np.eye(3)[[0, 1]]
    values, gradient, p = problem.run(1, False, False)
    np.testing.assert_array_equal(values, [0, 2e4])
    np.testing.assert_array_equal(p, [[1, 0, 0], [1, 0, 0]])
    np.testing.assert_array_equal(gradient, 0.75 * np.array([[0, 0, 0], [1, -1, 0]]))


@pytest.mark.parametrize("case", CASES, ids=str)
def test_nan_makes_the_row_nan(case: Case) -> None:
    """One bad row says so in its own loss and nowhere else."""
    problem = Problem(case, 3, 5)
    bad = problem.y_true[1].argmax()
    problem.y_pred[1, bad] = np.nan
    values, *_ = problem.run(1, False, True, padding=None)
    np.testing.assert_array_equal(np.isnan(values), [False, True, False])

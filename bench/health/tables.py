"""Nets on tables: regressions and labels that are 0 or 1, drawn by seed; what becomes of them."""

from __future__ import annotations

import dataclasses
import math
import statistics
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

import fastnn as fnn
from bench.health import grid
from bench.health.journal import Record
from fastnn import initializers, layers, losses, optimizers

Array = NDArray[np.float64]

RULE, FRESH = (101, 102, 103, 104, 105, 201, 202), (203, 204, 205, 206)
"""Seeds of the draws: on the nets of the first ones the rule was made, those of the others were
looked at once, when it stood."""

COUNTS = {"regression": 100, "classes": 60}
"""Nets of a seed."""

TRAINS = 0.9
"""Of what a sound net comes to in the same budget, a net that trains has so much."""

HOPELESS = 0.3
"""Nets that come to more are trained in several orders of the rows, and the median decides. Steps
that are too long make what a net comes to a matter of chance, wherever it lies."""

ORDERS = 5
"""With three, and sound nets that are drawn once, a second label differs for 3 to 4 nets of 100."""

DRAWS = 3
"""Of each sound net, the median."""

_COMMON: dict[str, dict[Any, int]] = {
    "features": {2: 1, 4: 2, 8: 3, 20: 2},
    "inputs": {"standard": 64, "mixed": 12, "x100": 8, "offset": 8, "x0.01": 8},
    "noise": {0.0: 30, 0.1: 25, 0.3: 30, 1.0: 15},
    "depth": {1: 35, 2: 40, 3: 25},
    "width": {32: 1, 64: 1, 128: 1},
    "activation": {"relu": 60, "tanh": 20, "gelu": 10, "sigmoid": 10},
    "initializer": {"glorot_uniform": 60, "he_normal": 30, "normal 1.0": 5, "normal 0.001": 5},
    "optimizer": {"sgd": 15, "momentum": 15, "rmsprop": 10, "adam": 60},
}  # fmt: skip

FACTORS: dict[str, dict[str, dict[Any, int]]] = {
    "regression": {
        **_COMMON,
        "target": {"smooth": 60, "linear": 15, "lognormal": 15, "steps": 10},
        "tails": {"normal": 80, "student": 20},
        "scale": {1.0: 58, 1e-4: 5, 1e-2: 5, 10.0: 6, 100.0: 7, 1e4: 9, 1e6: 5, 1e9: 5},
        "offset": {0.0: 66, 1.0: 14, 10.0: 12, 30.0: 8},
        "outputs": {"one": 70, "three": 20, "uneven": 10},
        "loss": {"mse": 60, "mae": 20, "huber": 20},
        "rate": {1.0: 82, 0.001: 6, 0.3: 6, 100.0: 6},
    },
    "classes": {
        **_COMMON,
        "target": {"smooth": 70, "linear": 30},
        "tails": {"normal": 1},
        "scale": {1.0: 1},
        "offset": {0.0: 60, 1.0: 25, 2.0: 15},
        "outputs": {"one": 60, "three": 40},
        "loss": {"sigmoid": 70, "logits": 15, "no_sigmoid": 8, "relu": 7},
        "rate": {1.0: 72, 0.001: 12, 0.3: 6, 100.0: 10},
    },
}  # fmt: skip
"""Kind -> factor -> value -> its share of the nets, by weight."""

_RATES = {"sgd": 0.03, "momentum": 0.01, "rmsprop": 1e-3, "adam": 1e-3}

_SLOPE = {0.0: 20.0, 0.1: 8.0, 0.3: 4.0, 1.0: 2.0}
"""Noise -> how steeply the log odds of a label rise with a score of deviation 1."""

_HIDDEN = 16

_SOUND = ((64, 64), (64,))
"""Hidden layers of the sound nets: on a small or noisy table the larger one learns the noise, too,
and says too little of what can be learned."""


@dataclass(frozen=True)
class TableBudget:
    """Rows to train on and to judge by, and epochs."""

    rows: int = 6_000
    epochs: int = 16
    test_rows: int = 4_000

    def to_dict(self) -> dict[str, int]:
        """JSON values."""
        return dataclasses.asdict(self)


@dataclass(frozen=True)
class TableCase:
    """One net, its table and how it is trained.

    Attributes:
        kind: "regression" or "classes".
        seed, index: Which draw, and which net of it.
        features: Columns of the table.
        inputs: "standard" normal, "mixed" scales from 1 to 1000, mean 10 deviations off ("offset"),
            or "xFACTOR".
        target: What the score of a row is: "linear"; "smooth", a random net of 16 tanh units;
            "steps", that rounded to half deviations; "lognormal", its exponential.
        noise: Its deviation, that of the target without it being 1; of classes it says how steep
            the log odds are.
        tails: Of the noise: "normal", or "student" with 2.5 degrees of freedom.
        scale, offset: The target is ``scale * (target + offset)``; of classes, the offset is the
            score at which both labels are as likely.
        outputs: "one"; "three" of the same scale; "uneven": three, of 1, 100 and 0.01 times it.
        depth, width, activation, initializer, optimizer, learning_rate: Of the net.
        loss: "mse", "mae", "huber"; "sigmoid" and its cross-entropy, "logits", the same from
            logits, "no_sigmoid", from logits that are taken for probabilities, or "relu", which
            cuts off the logits.
        batch_size: Rows of a step.
    """

    kind: str
    seed: int
    index: int
    features: int = 4
    inputs: str = "standard"
    target: str = "smooth"
    noise: float = 0.1
    tails: str = "normal"
    scale: float = 1.0
    offset: float = 0.0
    outputs: str = "one"
    depth: int = 2
    width: int = 64
    activation: str = "relu"
    initializer: str = "glorot_uniform"
    optimizer: str = "adam"
    learning_rate: float = 1e-3
    loss: str = "mse"
    batch_size: int = 32

    @property
    def name(self) -> str:
        """Kind, seed and index: "regression-101-017"."""
        return f"{self.kind}-{self.seed}-{self.index:03d}"

    @property
    def rate(self) -> float:
        """The learning rate as a multiple of the ordinary one."""
        return float(f"{self.learning_rate / _RATES[self.optimizer]:.3g}")

    @property
    def columns(self) -> int:
        """Of the target."""
        return 1 if self.outputs == "one" else 3

    def to_dict(self) -> dict[str, Any]:
        """JSON values, of which :meth:`from_dict` makes the case again."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> TableCase:
        """The case that :meth:`to_dict` described."""
        return cls(**values)


def draw(kind: str, seed: int, count: int) -> list[TableCase]:
    """Nets of a kind, each value of a factor by its share; see ``grid.draw``."""
    columns = {
        factor: grid.column(shares, count, np.random.default_rng([seed, place]))
        for place, (factor, shares) in enumerate(FACTORS[kind].items())
    }
    cases = []
    for index in range(count):
        values = {factor: column[index] for factor, column in columns.items()}
        rate = values.pop("rate") * _RATES[values["optimizer"]]
        cases.append(TableCase(kind, seed, index, learning_rate=float(f"{rate:.3g}"), **values))
    return cases


@dataclass(frozen=True, eq=False)
class Table:
    """Training rows, and test rows with what a perfect net would say of them.

    Attributes:
        x, y: (rows, features) and (rows, columns) float32.
        xt, yt: Likewise, other rows.
        best: Of the test rows, (rows, columns) float64: the target without its noise; of classes,
            the labels.
    """

    x: NDArray[np.float32]
    y: NDArray[np.float32]
    xt: NDArray[np.float32]
    yt: NDArray[np.float32]
    best: Array


@lru_cache(maxsize=2)
def table(case: TableCase, budget: TableBudget) -> Table:
    """The case's data, always the same."""
    random = np.random.default_rng([case.seed, case.index, 7])
    count = budget.rows + budget.test_rows
    x = random.standard_normal((count, case.features))
    score = np.stack([_score(case, x, random) for _ in range(case.columns)], axis=1)
    if case.kind == "classes":
        odds = _SLOPE[case.noise] * (score - case.offset)
        y = (random.random(score.shape) < 1 / (1 + np.exp(-odds))).astype(np.float64)
        best = y
    else:
        noise = (
            random.standard_t(2.5, score.shape)
            if case.tails == "student"
            else random.standard_normal(score.shape)
        )
        uneven = [1.0, 100.0, 0.01] if case.outputs == "uneven" else [1.0] * case.columns
        scale = case.scale * np.array(uneven)
        y, best = (scale * (t + case.offset) for t in (score + case.noise * noise, score))
    x = _scaled(case, x, random)
    n, floats, targets = budget.rows, x.astype(np.float32), y.astype(np.float32)
    return Table(floats[:n], targets[:n], floats[n:], targets[n:], best[n:])


def _score(case: TableCase, x: Array, random: np.random.Generator) -> Array:
    """A column of deviation 1 and mean 0, but for the lognormal one."""
    if case.target == "linear":
        score = x @ random.standard_normal(case.features)
    else:
        first = random.standard_normal((case.features, _HIDDEN)) / math.sqrt(case.features)
        hidden = np.tanh(1.5 * (x @ first + 0.5 * random.standard_normal(_HIDDEN)))
        score = hidden @ random.standard_normal(_HIDDEN)
    score = (score - score.mean()) / score.std()
    if case.target == "steps":
        score = np.round(2 * score) / 2
    if case.target == "lognormal":
        score = np.exp(score)
    spread = score.std() if case.target == "lognormal" else 1.0
    return np.asarray(score / spread, np.float64)


def _scaled(case: TableCase, x: Array, random: np.random.Generator) -> Array:
    if case.inputs == "mixed":
        widths: Array = np.power(10.0, random.uniform(0, 3, case.features))
        wide: Array = x * widths
        return wide
    if case.inputs == "offset":
        return x + 10
    return x if case.inputs == "standard" else x * float(case.inputs.removeprefix("x"))


def build(case: TableCase, order: int = 0) -> fnn.Sequential:
    """The compiled model, always with the same weights and the same order of examples after it."""
    seed = case.seed * 100_000 + case.index
    fnn.utils.set_random_seed(seed)
    stack = [
        layers.Dense(
            case.width, case.activation, kernel_initializer=_initializer(case), name=f"dense_{i}"
        )
        for i in range(1, case.depth + 1)
    ]
    last = {"sigmoid": "sigmoid", "relu": "relu"}.get(case.loss)
    output = layers.Dense(case.columns, last, kernel_initializer=_initializer(case), name="output")
    model = fnn.Sequential([layers.Input((case.features,)), *stack, output], name="net")
    model.compile(_optimizer(case), _loss(case))
    if order:
        fnn.utils.set_random_seed(seed + 10_000 * order)
    return model


def _initializer(case: TableCase) -> Any:
    kind, _, number = case.initializer.partition(" ")
    return initializers.RandomNormal(stddev=float(number)) if kind == "normal" else kind


def _optimizer(case: TableCase) -> Any:
    if case.optimizer == "momentum":
        return optimizers.SGD(case.learning_rate, momentum=0.9)
    made: dict[str, Any] = {
        "sgd": optimizers.SGD, "rmsprop": optimizers.RMSprop, "adam": optimizers.Adam,
    }  # fmt: skip
    return made[case.optimizer](case.learning_rate)


def _loss(case: TableCase) -> losses.Loss:
    if case.kind == "classes":
        return losses.BinaryCrossentropy(from_logits=case.loss in ("logits", "relu"))
    made: dict[str, Any] = {
        "mse": losses.MeanSquaredError, "mae": losses.MeanAbsoluteError, "huber": losses.Huber,
    }  # fmt: skip
    loss: losses.Loss = made[case.loss]()
    return loss


def score(case: TableCase, best: Array, predicted: NDArray[Any], logits: bool) -> float:
    """How much of the target a net has found, from 0 to 1; the mean over the columns.

    It is R2 against the target without its noise; where the loss is an absolute error or Huber's,
    of absolute errors from the median (1 - the square of their share). Of classes it is R2 of the
    predicted probabilities against the labels (Brier's score by that of a constant).
    """
    found = predicted.reshape(best.shape).astype(np.float64)
    if case.loss in ("logits", "relu") and logits:
        found = 1 / (1 + np.exp(-found.clip(-500, 500)))
    elif case.kind == "classes":
        found = found.clip(0, 1)
    if not np.isfinite(found).all():
        return 0.0
    each = [_column_score(case, *pair) for pair in zip(best.T, found.T, strict=True)]
    return float(np.mean([max(0.0, one) for one in each]))


def _column_score(case: TableCase, best: Array, found: Array) -> float:
    if case.loss not in ("mae", "huber"):
        return float(1 - np.mean((best - found) ** 2) / best.var())
    share = np.mean(np.abs(best - found)) / np.mean(np.abs(best - np.median(best)))
    return float(1 - share**2)


@lru_cache(maxsize=4)
def sound_score(case: TableCase, budget: TableBudget) -> float:
    """What sound nets come to in the same budget, the better of two: one and two layers of 64 relu,
    He initialization, Adam at 1e-3, the case's loss, on a standardised table and target; each the
    median of some draws. Nothing of gradient health is in it."""
    data = table(case, budget)
    mean, deviation = data.x.mean(axis=0), data.x.std(axis=0)
    y, middle, width = data.y, np.zeros(1), np.ones(1)
    if case.kind == "regression":
        middle, width = y.mean(axis=0, dtype=np.float64), y.std(axis=0, dtype=np.float64)
        if case.loss != "mse":
            middle = np.median(y, axis=0)
            width = np.abs(y - middle).mean(axis=0, dtype=np.float64)
        y = ((y - middle) / width).astype(np.float32)
    x, xt = (data.x - mean) / deviation, (data.xt - mean) / deviation

    def one(widths: tuple[int, ...], seed: int) -> float:
        fnn.utils.set_random_seed(seed)
        model = _sound(case, widths)
        model.fit(x, y, batch_size=32, epochs=budget.epochs, verbose=0)
        predicted = model.predict(xt, verbose=0)
        return score(case, data.best, predicted * width + middle, logits=False)

    first = case.seed * 100_000 + case.index
    return max(
        statistics.median(one(widths, first + 10_000_000 * (draw + 1) + k) for draw in range(DRAWS))
        for k, widths in enumerate(_SOUND)
    )


def _sound(case: TableCase, widths: tuple[int, ...]) -> fnn.Sequential:
    hidden = [layers.Dense(width, "relu", kernel_initializer="he_normal") for width in widths]
    last = "sigmoid" if case.kind == "classes" else None
    model = fnn.Sequential(
        [layers.Input((case.features,)), *hidden, layers.Dense(case.columns, last)]
    )
    loss = losses.BinaryCrossentropy() if case.kind == "classes" else _loss(case)
    model.compile(optimizers.Adam(1e-3), loss)
    return model


def train(
    model: Any, case: TableCase, budget: TableBudget, fit_arguments: Mapping[str, Any] | None = None
) -> Record:
    """Train a net of the case, treated or not: the part of the record that tells how it went. As
    ``accuracy`` stands what it found by what a sound net does."""
    data = table(case, budget)
    settings = {"batch_size": case.batch_size, **(fit_arguments or {}), "epochs": budget.epochs}
    error, found = None, 0.0
    try:
        model.fit(data.x, data.y, verbose=0, **settings)
    except fnn.NonFiniteGradientError as fault:
        error = str(fault)
    if error is None:
        logits = bool(getattr(model._objectives()[0].loss, "from_logits", False))
        found = score(case, data.best, model.predict(data.xt, verbose=0), logits)
    sound = sound_score(case, budget)
    share = found / sound if sound > 0 else 1.0
    return {
        "trains": share >= TRAINS,
        "accuracy": round(share, 4),
        "score": round(found, 4),
        "sound": round(sound, 4),
        "losses": model.history.history.get("loss", []),
        "error": error,
    }


def label(case: TableCase, budget: TableBudget) -> Record:
    """Train the untreated net; if it learns at all, in several orders, of which the median
    counts."""
    start = time.perf_counter()
    found = [train(build(case), case, budget)]
    if found[0]["accuracy"] >= HOPELESS:
        found += [train(build(case, order), case, budget) for order in range(1, ORDERS)]
    middle = sorted(found, key=lambda record: record["accuracy"])[len(found) // 2]
    return {
        "case": case.to_dict(),
        **middle,
        "accuracies": [record["accuracy"] for record in found],
        "seconds": round(time.perf_counter() - start, 2),
    }

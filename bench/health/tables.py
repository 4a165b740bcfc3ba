"""Nets on tables: regressions and labels that are 0 or 1, drawn by seed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from bench.health import grid

RULE = {
    "regression": (101, 102, 103, 104, 105, 201, 202, 203, 204, 205, 206),
    "classes": (101, 102, 103, 104, 105, *range(201, 215)),
}
"""Seeds of the draws on whose nets the rule was made."""

FRESH = {"regression": (207, 208, 209, 210), "classes": tuple(range(215, 223))}
"""Those on whose nets none was made: they were looked at once, when it stood."""

COUNTS = {"regression": 100, "classes": 60}
"""Nets of a seed."""

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


@dataclass(frozen=True)
class TableBudget:
    """Rows to train on and to judge by, and epochs."""

    rows: int = 6_000
    epochs: int = 16
    test_rows: int = 4_000


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

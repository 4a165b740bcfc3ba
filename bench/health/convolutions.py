"""Convolutional nets on small pictures, drawn by seed; what becomes of them."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any

import numpy as np

import fastnn as fnn
from bench.health import grid, labels, nets
from bench.health.journal import Record
from bench.health.labels import Budget
from fastnn import layers
from fastnn.layers.base import Layer

RULE, FRESH = (1, 2), (301, 302)
"""Seeds of the draws: on the nets of the first ones the rules were made, those of the others were
looked at once, when they stood."""

COUNT = 100
"""Nets of a seed."""

SIDE = 14
"""Pixels: pictures of MNIST, each the mean of two by two."""

BUDGET = Budget(rows=6_000, epochs=16, test_rows=2_000)
"""As many rows in all, about, as a net in doubt is shown by ``diagnose``."""

_RATES = {"sgd": 0.05, "momentum": 0.01, "rmsprop": 1e-3, "adam": 1e-3}
"""Learning rates that suit these nets; the factor ``rate`` multiplies them."""

FACTORS: dict[str, dict[Any, int]] = {
    "depth": {2: 22, 3: 20, 4: 16, 6: 14, 8: 12, 12: 9, 16: 7},
    "width": {8: 1, 16: 1},
    "window": {3: 75, 5: 15, 2: 10},
    "shrinking": {"pool": 45, "stride": 25, "none": 30},
    "head": {"flatten": 85, "global": 15},
    "activation": {
        "relu": 40, "leaky_relu": 8, "elu": 10, "selu": 8, "gelu": 8, "silu": 5, "tanh": 10,
        "sigmoid": 11,
    },
    "initializer": {
        "he_normal": 20, "he_uniform": 13, "glorot_uniform": 31, "lecun_normal": 8, "orthogonal": 6,
        "normal 0.01": 6, "normal 1.0": 4, "scale 0.01": 6, "scale 100": 5, "zeros": 1,
    },
    "normalization": {"none": 68, "batch": 32},
    "residual": {False: 76, True: 24},
    "optimizer": {"sgd": 20, "momentum": 20, "rmsprop": 20, "adam": 40},
    "rate": {1e-4: 5, 1e-3: 5, 0.5: 8, 1: 64, 2: 8, 30: 5, 1000: 5},
    "inputs": {"unit": 50, "standard": 28, "raw": 12, "x1000": 4, "x0.001": 6},
    "loss": {"softmax": 82, "logits": 8, "no_softmax": 5, "double_softmax": 5},
    "batch_size": {32: 6, 64: 4},
}  # fmt: skip
"""Factor -> value -> its share of the nets, by weight."""

_DEEP = 6
"""From so many convolutions on their windows are at most 3, and they work on halved pictures; from
``_DEEPER`` on they have 8 filters, as those on whole pictures have: else such nets take all the
time."""

_DEEPER = 8

_SHALLOW = 4
"""Fewer convolutions than that find too little for one mean of each channel."""


@dataclass(frozen=True)
class ConvolutionCase:
    """One net and how it is trained.

    Attributes:
        seed, index: Which draw, and which net of it.
        depth: Convolutions.
        width: Filters of each; 16 before one mean of each channel.
        window: Pixels along each axis.
        shrinking: "pool": max pooling after the first convolution, and in the middle of the others;
            "stride": these two move by two pixels; "first": only the first does; "none".
        head: "flatten", or "global": the mean of each channel; a Dense layer of 10 units follows.
        kind: "convolutions".
        activation, initializer, normalization, residual, optimizer, learning_rate, inputs, loss,
            batch_size: As of :class:`bench.health.grid.Case`.
    """

    seed: int
    index: int
    depth: int = 2
    width: int = 8
    window: int = 3
    shrinking: str = "pool"
    head: str = "flatten"
    activation: str = "relu"
    initializer: str = "glorot_uniform"
    normalization: str = "none"
    residual: bool = False
    optimizer: str = "adam"
    learning_rate: float = 1e-3
    inputs: str = "unit"
    loss: str = "softmax"
    batch_size: int = 32
    kind: str = "convolutions"

    @property
    def name(self) -> str:
        """Seed and index: "convolutions-1-017"."""
        return f"convolutions-{self.seed}-{self.index:03d}"

    @property
    def rate(self) -> float:
        """The learning rate as a multiple of the ordinary one."""
        return float(f"{self.learning_rate / _RATES[self.optimizer]:.3g}")


def draw(seed: int, count: int = COUNT) -> list[ConvolutionCase]:
    """Nets, each value of a factor by its share; see ``grid.draw``."""
    columns = {
        factor: grid.column(shares, count, np.random.default_rng([seed, place, 3]))
        for place, (factor, shares) in enumerate(FACTORS.items())
    }
    cases = []
    for index in range(count):
        values = {factor: column[index] for factor, column in columns.items()}
        rate = values.pop("rate") * _RATES[values["optimizer"]]
        if values["depth"] >= _DEEP:
            values["window"] = min(values["window"], 3)
            values["shrinking"] = {"none": "first"}.get(values["shrinking"], values["shrinking"])
        if values["depth"] < _SHALLOW:
            values["head"] = "flatten"
        if values["depth"] >= _DEEPER or values["shrinking"] == "none":
            values["width"] = 8
        if values["head"] == "global":
            values["width"] = 16
        cases.append(ConvolutionCase(seed, index, learning_rate=float(f"{rate:.3g}"), **values))
    return cases


@lru_cache(maxsize=1)
def pictures(budget: Budget) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """uint8 pictures (rows, 14, 14, 1) and labels (rows,), to train on and to test."""
    x, y, xt, yt = nets.mnist(budget.rows, budget.test_rows)
    return _halved(x), y, _halved(xt), yt


def _halved(images: np.ndarray) -> np.ndarray:
    fours: np.ndarray = images.reshape(-1, SIDE, 2, SIDE, 2).mean(axis=(2, 4)).round()
    return fours[..., None].astype(np.uint8)


def data(case: ConvolutionCase, budget: Budget) -> tuple[np.ndarray, np.ndarray]:
    """What ``fit`` gets."""
    x, y, _, _ = pictures(budget)
    return nets.inputs(case, x), y


def build(case: ConvolutionCase, order: int = 0) -> fnn.Sequential:
    """The compiled model, always with the same weights and the same order of examples after it, one
    of ten.

    Layers are called conv_1, norm_1, activation_1, pool_1, residual_2, ..., output.
    """
    seed = case.seed * 100_000 + case.index
    fnn.utils.set_random_seed(seed)
    halving = {1: case.shrinking != "none"}
    if case.shrinking in ("pool", "stride"):
        halving[1 + case.depth // 2] = True
    stack: list[Layer] = []
    for number in range(1, case.depth + 1):
        pooled = halving.get(number, False) and case.shrinking == "pool"
        block = _block(case, number, 2 if halving.get(number, False) and not pooled else 1)
        shortcut = case.residual and number > 1
        stack += [layers.Residual(block, name=f"residual_{number}")] if shortcut else block
        if pooled:
            stack.append(layers.MaxPooling2D(2, name=f"pool_{number}"))
    stack.append(layers.Flatten() if case.head == "flatten" else layers.GlobalAveragePooling2D())
    activation = "softmax" if case.loss in ("softmax", "double_softmax") else None
    initializer = nets.initializer(case)
    stack.append(
        layers.Dense(nets.CLASSES, activation, kernel_initializer=initializer, name="output")
    )
    model = fnn.Sequential([layers.Input((SIDE, SIDE, 1)), *stack], name="net")
    model.compile(nets.optimizer(case), nets.loss(case), metrics=["accuracy"])
    if order:
        fnn.utils.set_random_seed(seed + 10_000 * order)
    return model


def _block(case: ConvolutionCase, number: int, strides: int) -> list[Layer]:
    normalized = case.normalization == "batch"
    convolution = layers.Conv2D(
        case.width, case.window, strides=strides, padding="same", use_bias=not normalized,
        kernel_initializer=nets.initializer(case), name=f"conv_{number}",
    )  # fmt: skip
    activation = layers.Activation(case.activation, name=f"activation_{number}")
    norm = [layers.BatchNormalization(name=f"norm_{number}")] if normalized else []
    return [convolution, *norm, activation]


def train(
    model: Any,
    case: ConvolutionCase,
    budget: Budget,
    fit_arguments: Mapping[str, Any] | None = None,
) -> Record:
    """Train a net of the case, treated or not: the part of the record that tells how it went."""
    x, y, xt, yt = pictures(budget)
    test = nets.inputs(case, xt), yt
    return labels.fitted(model, nets.inputs(case, x), y, test, case, budget, fit_arguments)


def label(case: ConvolutionCase, budget: Budget) -> Record:
    """Train the untreated net; one near the border three times, in other orders of the rows, and
    the median counts. The record is that of ``labels.label``, without gradients in float64."""
    start = time.perf_counter()
    found = labels.middle(lambda order: train(build(case, order), case, budget))
    return {"case": asdict(case), **found, "seconds": round(time.perf_counter() - start, 2)}

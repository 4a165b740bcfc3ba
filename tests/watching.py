"""What the engine says of each layer of a step: who listens, and a float64 tape that says the same.

A figure is off by what its float32 tensors are: of norms, means and shares that is far below 1e-5.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import isnan
from typing import Any

import numpy as np
import pytest
import scipy.sparse
from nets import blobs, classifier, set_seeded_weights
from tape import Step

import fastnn as fnn
from fastnn import constraints, layers, optimizers, regularizers
from fastnn.statistics import LayerStatistics, StepStatistics

CLOSE = 1e-5
BATCH, ROWS = 16, 60
"""The last batch of an epoch has 12 rows."""


class Watch(fnn.callbacks.Callback):
    """Collects statistics."""

    def __init__(self, every: int = 1, window: int = 0) -> None:
        self.statistics_every, self.statistics_window = every, window
        self.seen: list[StepStatistics] = []

    def on_statistics(self, statistics: Any) -> None:
        self.seen += statistics

    @property
    def steps(self) -> list[int]:
        return [each.step for each in self.seen]

    def figures(self, layer: str, name: str) -> list[float]:
        return [getattr(each.layers[layer], name) for each in self.seen]


class Follow(Watch):
    """Also keeps the weights before and after each step, for which the engine comes back."""

    def __init__(self, every: int = 1, window: int = 0) -> None:
        super().__init__(every, window)
        self.before: list[dict[str, Any]] = []
        self.after: list[dict[str, Any]] = []

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        self.before.append({v.path: v.numpy() for v in self.model.weights})

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.after.append({v.path: v.numpy() for v in self.model.weights})


# Cases


@dataclass
class Case:
    """A model, its data, and which layers show no activations, since they end in another's.

    arguments: of compile.
    """

    model: Callable[[], Any]
    xs: list[Any]
    ys: list[Any]
    optimizer: Callable[[], Any] = lambda: optimizers.Adam(0.01)
    silent: tuple[str, ...] = ()
    shares: list[float] | None = None
    twin_xs: list[Any] = field(default_factory=list)

    def compiled(self) -> Any:
        model = set_seeded_weights(self.model(), 3)
        losses = [
            "mse" if y.dtype.kind == "f" else "sparse_categorical_crossentropy" for y in self.ys
        ]
        model.compile(
            self.optimizer(), losses if len(losses) > 1 else losses[0], loss_weights=self.shares
        )
        return model

    def fit(self, *callbacks: Any, epochs: int = 2, **options: Any) -> Any:
        model = self.compiled()
        x = self.xs if len(self.xs) > 1 else self.xs[0]
        y = self.ys if len(self.ys) > 1 else self.ys[0]
        model.fit(x, y, batch_size=BATCH, shuffle=False, verbose=0, epochs=epochs,
                  callbacks=list(callbacks), **options)  # fmt: skip
        return model

    def batch(self, step: int) -> tuple[list[Any], list[Any]]:
        first = step % -(-ROWS // BATCH) * BATCH
        rows = slice(first, first + BATCH)
        return [x[rows] for x in self.twin_xs or self.xs], [y[rows] for y in self.ys]


X, Y = blobs(ROWS)
Z = np.random.default_rng(9).standard_normal((ROWS, 3)).astype(np.float32)


def sequential(*between: Any, features: int = 9, output: Any = None) -> Callable[[], Any]:
    """``between``: functions that make layers, so that each model has its own."""

    def make() -> Any:
        last = output() if output else layers.Dense(4, activation="softmax", name="last")
        return fnn.Sequential([layers.Input((features,)), *(each() for each in between), last])

    return make


def dense(units: int, activation: str = "linear", **settings: Any) -> Callable[[], Any]:
    return lambda: layers.Dense(units, activation=activation, **settings)


PLAIN = sequential(dense(21, "relu", name="first"), dense(18, "tanh", name="second"))


def case(model: Callable[[], Any] = PLAIN, **settings: Any) -> Case:
    return Case(model, [X], [Y], **settings)


def optimized(optimizer: Any, *arguments: Any, **settings: Any) -> Case:
    return case(optimizer=lambda: optimizer(*arguments, **settings))


def shared() -> Any:
    x = layers.Input((9,))
    again = layers.Dense(18, activation="relu", name="again")
    h = again(again(layers.Dense(18, activation="tanh", name="first")(x)))
    return fnn.Model(x, layers.Dense(4, activation="softmax", name="last")(h))


def several_outputs() -> Any:
    x = layers.Input((9,))
    h = layers.Dense(20, activation="relu", name="body")(x)
    values = layers.Dense(3, activation="tanh", name="values")(h)
    return fnn.Model(x, [layers.Dense(4, activation="softmax", name="classes")(h), values])


def frozen() -> Any:
    model = PLAIN()
    model.layers[-2].trainable = False
    return model


def digits(seed: int = 0) -> Any:
    """As MNIST's: bytes, of which nine in ten are 0. The first weight has several panels."""
    random = np.random.default_rng(seed)
    x = random.integers(1, 256, (ROWS, 300)) * (random.random((ROWS, 300)) < 0.1)
    return x.astype(np.uint8)


def of_digits(x: Any) -> Case:
    model = sequential(
        lambda: layers.Rescaling(1 / 255), dense(40, "relu", name="first"), features=300
    )
    return Case(model, [x], [Y], twin_xs=[digits()])


def wide() -> Any:
    random = np.random.default_rng(1)
    return random.standard_normal((ROWS, 200)).astype(np.float32)


NORMALIZED = sequential(
    dense(20, use_bias=False, name="first"),
    lambda: layers.BatchNormalization(name="batch"), lambda: layers.ReLU(name="relu"),
    dense(17, name="second"),
    lambda: layers.LayerNormalization(name="layer"), lambda: layers.Activation("tanh", name="tanh"),
)  # fmt: skip

CASES: dict[str, Case] = {
    "adam": case(),
    "sgd": optimized(optimizers.SGD, 0.1),
    "momentum": optimized(optimizers.SGD, 0.1, momentum=0.9, weight_decay=0.1),
    "clipvalue": optimized(optimizers.SGD, 0.1, clipvalue=0.01),
    "global_clipnorm": optimized(optimizers.Adam, 0.01, global_clipnorm=0.2),
    "clipnorm": optimized(optimizers.SGD, 0.1, clipnorm=0.1),
    "adaptive_clip": optimized(optimizers.SGD, 0.1, adaptive_clip=0.02),
    "use_ema": optimized(optimizers.SGD, 0.1, use_ema=True, ema_momentum=0.5),
    "muon": optimized(optimizers.Muon, 0.02),
    "muon-clipped": optimized(optimizers.Muon, 0.02, global_clipnorm=0.2),
    "max_norm": case(
        sequential(dense(21, "relu", kernel_constraint=constraints.MaxNorm(0.6), name="first"))
    ),
    "max_norm-by-rows": case(
        sequential(dense(21, "relu", kernel_constraint=constraints.MaxNorm(0.6, 1), name="first"))
    ),
    "non_neg": case(sequential(dense(21, "relu", kernel_constraint="non_neg", name="first"))),
    "regularizers": case(
        sequential(
            dense(21, "relu", kernel_regularizer=regularizers.L1L2(0.01, 0.02),
                  bias_regularizer=regularizers.L2(0.1), name="first"),
        )
    ),
    "regularizers-stored": case(
        sequential(dense(21, "relu", kernel_regularizer=regularizers.L1L2(0.01, 0.02), name="a")),
        optimizer=lambda: optimizers.SGD(0.1, clipnorm=0.1),
    ),
    "normalization": case(NORMALIZED, silent=("batch", "layer")),
    "normalization-clipped": case(
        NORMALIZED, silent=("batch", "layer"),
        optimizer=lambda: optimizers.Adam(0.01, global_clipnorm=0.2),
    ),
    "dropout": case(
        sequential(
            dense(40, "relu", name="first"), lambda: layers.Dropout(0.4, seed=7, name="dropped"),
            dense(20, "tanh", name="second"), lambda: layers.Dropout(0.2, seed=8, name="noise"),
        ),
        silent=("first",),
    ),
    "dropconnect": case(
        sequential(dense(40, "tanh", dropconnect=0.3, dropconnect_seed=5, name="first"))
    ),
    "residual": case(
        sequential(
            dense(20, "relu", name="first"),
            lambda: layers.Residual(
                [layers.Dense(20, activation="silu", name="a"), layers.Dense(20, name="b")],
                name="r",
            ),
            lambda: layers.Residual([layers.Dense(7, activation="relu", name="c")], name="s"),
        )
    ),
    "shared": case(shared),
    "shared-clipped": case(shared, optimizer=lambda: optimizers.SGD(0.1, clipnorm=0.1)),
    "frozen": case(frozen),
    "several-outputs": Case(several_outputs, [X], [Y, Z], shares=[0.5, 2.0]),
    "sparse-matrix": of_digits(scipy.sparse.csr_matrix(digits())),
    "bytes": of_digits(digits()),
    "wide": Case(
        sequential(dense(50, "gelu", name="first"), dense(130, name="second"), features=200),
        [wide()], [Y],
    ),
}  # fmt: skip


# The figures of a step in NumPy


def norm(values: list[Any]) -> float:
    return float(np.sqrt(sum(np.sum(np.asarray(v, np.float64) ** 2) for v in values)))


def layer_of(path: str) -> str:
    return path.rpartition("/")[0]


def wanted(
    found: LayerStatistics, step: Step, before: Mapping[str, Any], after: Mapping[str, Any]
) -> dict[str, float]:
    """Gradients and weights; activations, if the layer shows any."""
    figures: dict[str, float] = {}
    of_layer = {p: g for p, g in step.gradients.items() if layer_of(p) == found.name}
    if of_layer:
        figures["gradient_norm"] = norm(list(of_layer.values()))
        figures["gradient_max"] = max(np.abs(g).max() for g in of_layer.values())
        figures["gradient_size"] = sum(g.size for g in of_layer.values())
        matrices = [p for p in of_layer if before[p].ndim == 2] or list(of_layer)
        steps = [after[p].astype(np.float64) - before[p] for p in matrices]
        figures["weight_norm"] = norm([after[p] for p in matrices])
        figures["update_ratio"] = norm(steps) / norm([before[p] for p in matrices])
    if not isnan(found.mean):
        y = step.outputs[found.name]
        figures |= {"mean": y.mean(), "deviation": y.std(), "zeros": np.mean(y == 0)}
    return figures


def check_step(found: StepStatistics, step: Step, before: Any, after: Any) -> None:
    for name, layer in found.layers.items():
        assert layer.name == name
        assert layer.nonfinite == 0
        expected = wanted(layer, step, before, after)
        for figure, value in expected.items():
            # A mean near 0 is off by what its terms are.
            scale = CLOSE * expected["deviation"] if figure == "mean" else 0
            assert getattr(layer, figure) == pytest.approx(value, rel=CLOSE, abs=scale), (
                f"{figure} of {name} in step {found.step}"
            )
        for figure in ("gradient_norm", "gradient_max", "weight_norm", "update_ratio"):
            assert isnan(getattr(layer, figure)) == (figure not in expected), (name, figure)


def with_dead_units(units: int = 5) -> Any:
    """The first so many of 20 never see the light."""
    model = classifier([9, 20, 4], optimizers.SGD(0.0))
    weights = model.get_weights()
    weights[0][:, :units] = 0.0
    weights[1][:] = 50.0
    weights[1][:units] = -50.0
    model.set_weights(weights)
    return model


def hidden(model: Any) -> str:
    return str(model.layers[-2].name)


def quiet_fit(model: Any, x: Any, y: Any, **options: Any) -> None:
    model.fit(x, y, batch_size=BATCH, shuffle=False, verbose=0, **options)

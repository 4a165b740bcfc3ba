"""What the engine says of each layer of a step, against a float64 tape on the same tensors.

A figure is off by what its float32 tensors are: of norms, means and shares that is far below 1e-5.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from math import isnan
from typing import Any

import numpy as np
import pytest
import scipy.sparse
import twins
from nets import assert_same_bits, blobs, classifier, set_seeded_weights
from tape import Step, Tape

import fastnn as fnn
from fastnn import constraints, layers, optimizers, regularizers
from fastnn.models import executables
from fastnn.statistics import LayerStatistics, StepStatistics

CLOSE = 1e-5
BATCH, ROWS = 16, 60
"""The last batch of an epoch has 12 rows."""


@pytest.fixture(autouse=True)
def threads(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As many as are asked for, however small the model is."""
    before = fnn.get_num_threads()
    monkeypatch.setattr(executables, "_WORK_PER_THREAD", 1)
    fnn.set_num_threads(2)
    yield
    fnn.set_num_threads(before)


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


@pytest.mark.parametrize("name", CASES)
def test_figures_are_those_of_numpy(name: str) -> None:
    case, follow = CASES[name], Follow()
    model = case.fit(follow)
    assert follow.steps == list(range(len(follow.before))) == list(range(8))
    for found, before, after in zip(follow.seen, follow.before, follow.after, strict=True):
        tape = Tape(before, found.step)
        xs, ys = case.batch(found.step)
        step = tape.run(model, xs, ys, case.shares)
        if name == "clipvalue":
            step.gradients = {p: np.clip(g, -0.01, 0.01) for p, g in step.gradients.items()}
        check_step(found, step, before, after)
        assert [n for n in found.layers if n in tape.outputs] == list(found.layers)
        assert all(isnan(found.layers[n].mean) == (n in case.silent) for n in found.layers)


@pytest.mark.parametrize("name", CASES)
def test_looking_changes_no_bit(name: str) -> None:
    """Neither of weights nor slots, nor of the figures, for any team and however the steps are
    bundled."""
    case = CASES[name]
    plain = case.fit()
    states, figures = [], set()
    for number in (1, 2, 3):
        fnn.set_num_threads(number)
        for watch in (Watch(), Follow()):
            states.append(state(case.fit(watch)))
            figures.add(repr(watch.seen))
    for found in states:
        assert_same_bits(found, state(plain))
    assert len(figures) == 1


def state(model: Any) -> list[Any]:
    return [*model.get_weights(), *model._training_state().values()]


def test_sparse_inputs_and_plain_ones_are_looked_at_by_several_programs() -> None:
    """Or some of these tests would show less than they seem to."""
    stored = {"global_clipnorm", "clipnorm", "adaptive_clip", "use_ema", "muon", "max_norm"}
    for name in ("adam", "sparse-matrix", *stored):
        model = CASES[name].compiled()
        rows = {0: 60} if name == "sparse-matrix" else {}
        with model._executables.lend(
            16, model._objectives(), model._updates(), rows, window=1
        ) as e:
            text = str(e.program)
        assert ("keep_weights" in text) and ("_summaries=" in text) == (name not in stored), name
        assert ("weights_sparse" in text) == (name == "sparse-matrix")


# What is saturated


FLAT = ("sigmoid", "tanh", "softsign", "hard_sigmoid", "softplus", "elu", "selu")


@pytest.mark.parametrize("activation", twins.ACTIVATIONS)
def test_saturated_is_where_the_slope_is_small(activation: str) -> None:
    """Below a twentieth of its largest."""

    def steep() -> Any:
        model = sequential(dense(90, activation, name="first"))()
        model.set_weights([4 * w for w in set_seeded_weights(model, 3).get_weights()])
        model.compile(optimizers.SGD(0.0), "sparse_categorical_crossentropy")
        return model

    model, watch = steep(), Watch()
    model.fit(X, Y, batch_size=ROWS, shuffle=False, verbose=0, callbacks=[watch])
    (found,) = watch.figures("first", "saturated")
    assert watch.figures("first", "activation") == [activation]
    kernel, bias = (w.astype(np.float64) for w in model.get_weights()[:2])
    slope = twins.ACTIVATIONS[activation].slope
    largest = slope(np.linspace(-20, 20, 40001)).max()
    if activation not in FLAT:
        assert isnan(found)
        return
    share = np.mean(slope(X.astype(np.float64) @ kernel + bias) < 0.05 * largest)
    assert 0.01 < share < 0.99
    assert found == pytest.approx(share, rel=CLOSE)


@pytest.mark.parametrize("alpha", [0.01, 0.5, 1.0, 3.0])
def test_saturated_elu_of_any_depth(alpha: float) -> None:
    """Its slope is alpha at most where it bends, and 1 above."""
    model = sequential(dense(90, name="first"), lambda: layers.ELU(alpha, name="elu"))()
    set_seeded_weights(model, 3)
    model.compile(optimizers.SGD(0.0), "sparse_categorical_crossentropy")
    watch = Watch()
    model.fit(4 * X, Y, batch_size=ROWS, shuffle=False, verbose=0, callbacks=[watch])
    kernel, bias = (w.astype(np.float64) for w in model.get_weights()[:2])
    z = 4 * X.astype(np.float64) @ kernel + bias
    slope = np.where(z > 0, 1, alpha * np.exp(np.minimum(z, 0)))
    (found,) = watch.figures("elu", "saturated")
    assert found == pytest.approx(np.mean(slope < 0.05 * max(1, alpha)), rel=CLOSE)


# What is dead


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


@pytest.mark.parametrize("every", [1, 2, 3])
@pytest.mark.parametrize("window", [1, 5, 8])
def test_dead_are_those_that_were_silent_for_the_window(window: int, every: int) -> None:
    model, watch = with_dead_units(), Watch(every, window)
    quiet_fit(model, X, Y, epochs=4, callbacks=[watch])
    assert watch.steps == list(range(0, 16, every))
    assert watch.figures(hidden(model), "dead") == [
        0.25 if step >= window else 0.0 for step in watch.steps
    ]
    assert set(watch.figures(hidden(model), "zeros")) == {0.25}


def test_the_longest_window_holds_for_all() -> None:
    model = with_dead_units()
    short, long = Watch(1, 2), Watch(2, 6)
    quiet_fit(model, X, Y, epochs=2, callbacks=[short, long])
    assert short.figures(hidden(model), "dead") == [0.0] * 6 + [0.25] * 2
    assert long.figures(hidden(model), "dead") == [0.0] * 3 + [0.25]


def test_one_example_brings_a_unit_back() -> None:
    x = np.full((12 * BATCH, 9), -1.0, np.float32)
    x[5 * BATCH + 3] = 1.0  # of step 5
    y = np.zeros(len(x), np.int64)
    model = classifier([9, 20, 4], optimizers.SGD(0.0))
    model.set_weights([np.ones((9, 20)), np.zeros(20), np.ones((20, 4)), np.zeros(4)])
    watch = Watch(1, 4)
    quiet_fit(model, x, y, callbacks=[watch])
    wanted = [0.0] * 4 + [1.0] + [0.0] * 4 + [1.0] * 3
    assert watch.figures(hidden(model), "dead") == wanted


@pytest.mark.parametrize("again", ["same window", "another", "in between without"])
def test_another_training_begins_its_windows_anew(again: str) -> None:
    model = with_dead_units()
    quiet_fit(model, X, Y, epochs=2, callbacks=[Watch(1, 3)])
    if again == "in between without":
        quiet_fit(model, X, Y)
    watch = Watch(1, 2 if again == "another" else 3)
    quiet_fit(model, X, Y, epochs=2, callbacks=[watch])
    wait = watch.statistics_window
    assert watch.figures(hidden(model), "dead") == [0.0] * wait + [0.25] * (8 - wait)


def test_windows_go_on_from_epoch_to_epoch_whatever_is_evaluated() -> None:
    model, watch = with_dead_units(), Watch(1, 6)
    quiet_fit(model, X, Y, epochs=2, validation_data=(X, Y), callbacks=[watch])
    assert watch.figures(hidden(model), "dead") == [0.0] * 6 + [0.25] * 2


def test_a_small_batch_of_an_iterable_is_no_window_of_its_own() -> None:
    """All units but the dead ones speak in each epoch; in its last batch, of one row, none does."""
    x = np.ones((33, 9), np.float32)
    x[32] = -1.0
    model = with_dead_units()
    weights = model.get_weights()
    weights[0][:, 5:], weights[1][5:] = 1.0, 0.0
    model.set_weights(weights)
    batches = [(x[i : i + 16], np.zeros(len(x[i : i + 16]), np.int64)) for i in (0, 16, 32)]
    watch = Watch(1, 3)
    model.fit(batches, epochs=4, verbose=0, callbacks=[watch])
    assert watch.figures(hidden(model), "zeros") == [0.25, 0.25, 1.0] * 4
    assert watch.figures(hidden(model), "dead") == [0.0] * 3 + [0.25] * 9


# Which steps


@pytest.mark.parametrize("hears_batches", [False, True])
@pytest.mark.parametrize("every", [1, 3, 4, 7, 100])
def test_steps_looked_at_are_multiples(every: int, hears_batches: bool) -> None:
    """Of the optimizer's steps, over epochs and trainings."""
    model = CASES["adam"].compiled()
    watch = (Follow if hears_batches else Watch)(every)
    quiet_fit(model, X, Y, epochs=3, callbacks=[watch])
    assert watch.steps == [step for step in range(12) if step % every == 0]
    quiet_fit(model, X[:40], Y[:40], epochs=2, callbacks=[watch])
    assert watch.steps == [step for step in range(18) if step % every == 0]


def test_each_callback_gets_its_own() -> None:
    watches = [Watch(4), Watch(6), Watch(0), Watch(1000)]
    model = CASES["adam"].fit(*watches, epochs=4)
    assert [watch.steps for watch in watches] == [[0, 4, 8, 12], [0, 6, 12], [], [0]]
    alone = Watch(6)
    CASES["adam"].fit(alone, epochs=4)
    assert repr(alone.seen) == repr(watches[1].seen)
    assert model.optimizer.iterations == 16


def test_nobody_looks_where_nobody_asks() -> None:
    watch = Watch(0)
    model = CASES["adam"].compiled()
    quiet_fit(model, X, Y, callbacks=[watch])
    with model._executables.lend(BATCH, model._objectives(), model._updates(), {}) as executable:
        assert "keep_weights" not in str(executable.program)
        assert executable.program.record.width == 1
    assert watch.seen == []


def test_statistics_come_before_the_progress_and_the_end_of_the_batch() -> None:
    heard: list[tuple[str, int]] = []

    class Hear(Watch):
        def on_statistics(self, statistics: Any) -> None:
            heard.extend(("statistics", each.step) for each in statistics)

        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            heard.append(("end", batch))

        def on_train_progress(self, examples_done: int, logs: Any = None) -> None:
            heard.append(("progress", examples_done))

    CASES["adam"].fit(Hear(2), epochs=1)
    assert heard == [
        ("statistics", 0), ("end", 0), ("progress", 16), ("end", 1), ("progress", 32),
        ("statistics", 2), ("end", 2), ("progress", 48), ("end", 3), ("progress", 60),
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["adam", "clipnorm", "dropout", "shared"])
def test_runs_of_any_length(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The engine comes back whenever its time is over."""
    whole, parts = Watch(3, 4), Watch(3, 4)
    CASES[name].fit(whole, epochs=4)
    monkeypatch.setattr(executables, "INTERVAL", 0.0)
    CASES[name].fit(parts, epochs=4)
    assert repr(parts.seen) == repr(whole.seen)


@pytest.mark.parametrize("kind", ["list", "generator"])
def test_iterables_of_batches(kind: str) -> None:
    """Of several sizes; a program each."""
    whole, watch = Watch(), Follow(1)
    model = CASES["adam"].fit(whole, epochs=1)
    batches = [(X[i : i + BATCH], Y[i : i + BATCH]) for i in range(0, ROWS, BATCH)]
    other = CASES["adam"].compiled()
    other.fit(batches if kind == "list" else iter(batches), verbose=0, callbacks=[watch])
    assert_same_bits(other.get_weights(), model.get_weights())
    assert repr(watch.seen) == repr(whole.seen)


# Gradients that are not finite, and those that no bound proves


STEEP = sequential(dense(21, "relu", name="first"))


def bad_data(batch: int) -> Any:
    x = np.array(np.tile(X[:48], (2, 1)))
    x[BATCH * batch + 3] = 3e38
    return x, np.tile(Y[:48], 2)


@pytest.mark.parametrize("clip", [{}, {"clipnorm": 0.5}], ids=["fused", "stored"])
def test_a_step_that_is_left_out_has_no_statistics(clip: dict[str, float]) -> None:
    """The others have those that they would have."""
    model, watch = set_seeded_weights(STEEP(), 3), Follow()
    model.compile(optimizers.SGD(0.1, nonfinite="skip", **clip), "sparse_categorical_crossentropy")
    x, y = bad_data(2)
    quiet_fit(model, x, y, callbacks=[watch])
    assert watch.steps == [0, 1, 3, 4, 5]
    for found in watch.seen:
        rows = slice(BATCH * found.step, BATCH * (found.step + 1))
        before, after = watch.before[found.step], watch.after[found.step]
        check_step(found, Tape(before).run(model, [x[rows]], [y[rows]]), before, after)


@pytest.mark.parametrize("clip", [{}, {"clipnorm": 0.5}], ids=["fused", "stored"])
def test_statistics_of_the_steps_before_an_error_are_there(clip: dict[str, float]) -> None:
    model, watch = set_seeded_weights(STEEP(), 3), Watch()
    model.compile(optimizers.SGD(0.1, **clip), "sparse_categorical_crossentropy")
    with pytest.raises(fnn.NonFiniteGradientError):
        quiet_fit(model, *bad_data(4), callbacks=[watch])
    assert watch.steps == [0, 1, 2, 3]


@pytest.mark.parametrize("clip", [{}, {"clipvalue": 1.0}], ids=["fused", "clipvalue"])
def test_numbers_that_are_not_finite_are_counted(clip: dict[str, float]) -> None:
    """A weight is infinite: all gradients of the layers before it are NaN."""
    model, watch = CASES["adam"].compiled(), Watch()
    model.compile(
        optimizers.SGD(0.1, nonfinite="propagate", **clip), "sparse_categorical_crossentropy"
    )
    weights = model.get_weights()
    weights[4][2, 1] = np.inf  # of the last kernel
    model.set_weights(weights)
    quiet_fit(model, X[:BATCH], Y[:BATCH], callbacks=[watch])
    (found,) = watch.seen
    assert found.layers["first"].nonfinite == 9 * 21 + 21
    assert found.layers["second"].nonfinite == 21 * 18 + 18
    # One logit a row is infinite; where it is so above all, all probabilities are NaN.
    assert found.layers["last"].nonfinite == BATCH + 18 * 4 + 4
    assert isnan(found.layers["first"].gradient_norm)
    assert isnan(found.layers["first"].gradient_max)


@pytest.mark.parametrize("window", [1, 3])
def test_steps_that_no_bound_proves_are_looked_at_all_the_same(window: int) -> None:
    """Another program runs them; what is dead is not forgotten on the way."""
    model, watch = with_dead_units(), Follow(1, window)
    model.optimizer.learning_rate = 1e-33
    x = np.array(X)
    x[BATCH : 2 * BATCH] *= np.float32(1e31)
    quiet_fit(model, x, Y, epochs=2, callbacks=[watch])
    assert watch.steps == list(range(8))
    for found in watch.seen:
        first = found.step % 4 * BATCH
        rows = slice(first, first + BATCH)
        step = Tape(watch.before[found.step]).run(model, [x[rows]], [Y[rows]])
        gradients = [step.gradients[f"{hidden(model)}/{name}"] for name in ("kernel", "bias")]
        layer = found.layers[hidden(model)]
        assert layer.gradient_norm == pytest.approx(norm(gradients), rel=CLOSE)
        assert layer.gradient_norm > (1e28 if found.step % 4 == 1 else 0)
        assert layer.dead == (0.25 if found.step >= window else 0.0)


# Names


def test_layers_stand_in_the_models_order() -> None:
    watch = Watch()
    CASES["residual"].fit(watch, epochs=1)
    assert list(watch.seen[0].layers) == ["first", "a", "b", "r", "c", "s_projection", "s", "last"]
    assert watch.seen[0].layers["s_projection"].gradient_size == 20 * 7


def test_a_sigmoid_within_the_loss_shows_its_inputs() -> None:
    model = fnn.Sequential([layers.Input((9,)), layers.Dense(3, activation="sigmoid", name="last")])
    set_seeded_weights(model, 3)
    model.compile("sgd", "binary_crossentropy")
    watch = Follow()
    targets = (Z > 0).astype(np.float32)
    quiet_fit(model, X, targets, epochs=1, callbacks=[watch])
    assert list(watch.seen[0].layers) == ["last"]
    found, before = watch.seen[0].layers["last"], watch.before[0]
    logits = X[:BATCH].astype(np.float64) @ before["last/kernel"] + before["last/bias"]
    assert found.activation == "linear"
    assert found.deviation == pytest.approx(logits.std(), rel=CLOSE)
    dz = (twins.ACTIVATIONS["sigmoid"].value(logits) - targets[:BATCH]) / logits.size
    gradient = norm([X[:BATCH].astype(np.float64).T @ dz, dz.sum(axis=0)])
    assert found.gradient_norm == pytest.approx(gradient, rel=CLOSE)


def test_a_weight_that_is_zero_has_no_update_ratio() -> None:
    model, watch = CASES["sgd"].compiled(), Watch()
    weights = model.get_weights()
    weights[4][:] = 0
    model.set_weights(weights)
    quiet_fit(model, X, Y, callbacks=[watch])
    ratios = watch.figures("last", "update_ratio")
    assert isnan(ratios[0])
    assert all(ratio > 0 for ratio in ratios[1:])

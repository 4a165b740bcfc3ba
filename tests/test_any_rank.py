"""Nets on (batch, ..., features): gradients and outputs against a float64 tape, the same bits on
any team, and what losses and statistics say of them.

A gradient is off by float32's rounding of sums of at most some thousand terms, after some layers:
1e-5 of the largest number in it, and of the weight that a step of SGD takes it from.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from nets import assert_same_bits, set_seeded_weights
from tape import Tape

import fastnn as fnn
from fastnn import layers
from fastnn.kernels import levels
from fastnn.models import executables

CLOSE = 1e-5
ROWS = 21
RNG = np.random.default_rng(3)


@pytest.fixture(autouse=True)
def threads(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    before = fnn.get_num_threads()
    monkeypatch.setattr(executables, "_WORK_PER_THREAD", 1)
    fnn.set_num_threads(2)
    yield
    fnn.set_num_threads(before)


Tensor = Any
Body = Callable[[Tensor], Tensor]


def stack(*inner: Callable[[], Any]) -> Body:
    def body(x: Tensor) -> Tensor:
        for make in inner:
            x = make()(x)
        return x

    return body


def dense(units: int, activation: str | None = "tanh", **settings: Any) -> Callable[[], Any]:
    return lambda: layers.Dense(units, activation, **settings)


def merged(kind: str, n: int = 3, **settings: Any) -> Body:
    """Branches that come in lines of different lengths, and one of them twice."""

    def body(x: Tensor) -> Tensor:
        branches = [
            layers.Dense(6)(x),
            layers.Reshape((7, 6))(layers.Dense(42, "tanh")(layers.Flatten()(x))),
            layers.Dense(6, "tanh")(x),
        ][:n]
        y = getattr(layers, kind)(**settings)(branches)
        return layers.Dense(3)(layers.Add()([y, y]))

    return body


def shared(x: Tensor) -> Tensor:
    """Several readers, one of which wants other lines; a merge of a value with itself."""
    y = layers.Dense(6, "tanh")(x)
    squared = layers.Multiply()([y, y])
    largest = layers.Maximum()([y, y])
    turned = layers.Permute((2, 1))(layers.Permute((2, 1))(y))
    flat = layers.Dense(42)(layers.Flatten()(y))
    return layers.Add()([squared, largest, turned, layers.Reshape((7, 6))(flat)])


NETS: dict[str, tuple[tuple[int, ...], Body]] = {
    "dense": ((7, 5), stack(dense(20), dense(3, None))),
    "dense, one position": ((1, 5), stack(dense(20), dense(3, None))),
    "dense, rank 4": ((3, 4, 5), stack(dense(18, "relu"), dense(33, "gelu"), dense(4, "sigmoid"))),
    "reshaped": (
        (35,),
        stack(
            lambda: layers.Reshape((7, 5)), dense(20, "relu"), lambda: layers.Reshape((14, 10)),
            dense(17), layers.Flatten, dense(2, None),
        ),
    ),
    "many positions": ((50, 3), stack(dense(35, "relu"), dense(2, None))),
    "batchnorm": (
        (7, 5),
        stack(dense(19, None), layers.BatchNormalization, layers.ReLU, dense(4, None)),
    ),
    "batchnorm, rank 4, axis 1": (
        (6, 3, 4),
        stack(dense(5), lambda: layers.BatchNormalization(axis=1), layers.ELU, dense(4, None)),
    ),
    "layernorm": (
        (7, 5), stack(dense(18), layers.LayerNormalization, layers.ReLU, dense(4, None)),
    ),
    "layernorm, two axes": (
        (3, 7, 5), stack(dense(6), lambda: layers.LayerNormalization([-1, -2]), dense(4, None)),
    ),
    "layernorm, all axes": (
        (3, 4, 5), stack(dense(6), lambda: layers.LayerNormalization([1, 2, 3]), dense(4, None)),
    ),
    "groupnorm": (
        (7, 5),
        stack(dense(18, None), lambda: layers.GroupNormalization(3), layers.ReLU, dense(4, None)),
    ),
    "groupnorm, rank 2": (
        (5,), stack(dense(20), lambda: layers.GroupNormalization(4), dense(4, None)),
    ),
    "groupnorm, axis 1": (
        (6, 3, 4), stack(dense(5), lambda: layers.GroupNormalization(2, axis=1), dense(4, None)),
    ),
    "instance norm": (
        (3, 4, 5), stack(dense(17), lambda: layers.GroupNormalization(-1), dense(4, None)),
    ),
    "softmax": ((7, 5), stack(dense(18, None), layers.Softmax, dense(4, None))),
    "softmax, axis 1": ((7, 5), stack(dense(6), lambda: layers.Softmax(1), dense(4, None))),
    "permute": (
        (3, 4, 5),
        stack(dense(6), lambda: layers.Permute((3, 1, 2)), dense(17), layers.Flatten, dense(2)),
    ),
    "residual": (
        (7, 5),
        stack(
            lambda: layers.Residual([layers.Dense(20, "relu"), layers.Dense(5)]),
            lambda: layers.Residual([layers.LayerNormalization(), layers.Dense(5, "tanh")]),
            dense(4, None),
        ),
    ),
    "shared": ((7, 5), shared),
    **{
        kind: ((7, 5), merged(kind))
        for kind in ("Add", "Average", "Multiply", "Maximum", "Minimum", "Concatenate")
    },
    "Subtract": ((7, 5), merged("Subtract", 2)),
    "Concatenate, axis 1": ((7, 5), merged("Concatenate", axis=1)),
    "Concatenate, axis 2 of 3": (
        (3, 7, 5),
        lambda x: layers.Dense(2)(
            layers.Concatenate(axis=2)([layers.Dense(4)(x), layers.Dense(4, "tanh")(x)])
        ),
    ),
}  # fmt: skip

NOISY: dict[str, tuple[tuple[int, ...], Body]] = {
    "dropout": (
        (7, 5), stack(dense(18), lambda: layers.Dropout(0.4, seed=5), dense(4, None)),
    ),
    "dropout in a rectifier": (
        (7, 5), stack(dense(18, "relu"), lambda: layers.Dropout(0.4, seed=5), dense(4, None)),
    ),
    "dropout after a norm": (
        (7, 5),
        stack(
            dense(18, None), layers.LayerNormalization, layers.ReLU,
            lambda: layers.Dropout(0.4, seed=5), dense(4, None),
        ),
    ),
    "spatial dropout 1d": (
        (7, 5), stack(dense(18, "relu"), lambda: layers.SpatialDropout1D(0.4, seed=5), dense(4)),
    ),
    "spatial dropout 2d": (
        (3, 4, 5), stack(dense(35), lambda: layers.SpatialDropout2D(0.4, seed=5), dense(4)),
    ),
    "dropconnect": ((7, 5), stack(dense(18, dropconnect=0.3, dropconnect_seed=4), dense(4))),
}  # fmt: skip


def made(name: str, optimizer: Any = None) -> tuple[Any, Any, Any]:
    """The model with its data; SGD with a step of 1, so that a step is the gradient."""
    shape, body = (NETS | NOISY | ONLY_BITS)[name]
    fnn.utils.set_random_seed(1)
    x = layers.Input(shape)
    model = set_seeded_weights(fnn.Model(x, body(x)))
    model.compile(optimizer or fnn.optimizers.SGD(1.0), "mse")
    data = RNG.standard_normal((ROWS, *shape)).astype(np.float32)
    return model, data, RNG.standard_normal((ROWS, *model.output_shape[1:])).astype(np.float32)


ONLY_BITS: dict[str, tuple[tuple[int, ...], Body]] = {
    "dropout in a frozen norm": (
        (7, 5),
        stack(
            dense(18, None), lambda: layers.BatchNormalization(trainable=False), layers.ReLU,
            lambda: layers.Dropout(0.4, seed=5), dense(4, None),
        ),
    ),
    **{
        f"dropout in a group norm, {positions} positions": (
            (positions, 5),
            stack(
                dense(18, None), lambda: layers.GroupNormalization(3), layers.ReLU,
                lambda: layers.Dropout(0.4, seed=5), lambda: layers.GaussianNoise(0.1, seed=6),
                dense(4, None),
            ),
        )
        for positions in (1, 7)
    },
}  # fmt: skip


@pytest.mark.parametrize("name", NETS | NOISY)
def test_gradients_and_outputs(name: str) -> None:
    model, x, y = made(name)
    before = {v.path: v.numpy() for v in model.weights}
    step = Tape(before).run(model, [x], [y])
    if name in NETS and "batchnorm" not in name:
        found = model.predict(x)
        wanted = step.outputs[model.nodes[-1].layer.name]
        np.testing.assert_allclose(found, wanted, rtol=CLOSE, atol=CLOSE)
    model.fit(x, y, batch_size=ROWS, epochs=1, shuffle=False, verbose=0)
    for variable in model.trainable_weights:
        wanted = step.gradients[variable.path].reshape(variable.shape)
        found = before[variable.path].astype(np.float64) - variable.numpy()
        scale = np.abs(wanted).max() + np.abs(before[variable.path]).max()
        np.testing.assert_allclose(found, wanted, atol=CLOSE * scale, rtol=0, err_msg=variable.path)


@pytest.mark.parametrize("level", levels.levels())
@pytest.mark.parametrize("name", NETS | NOISY | ONLY_BITS)
def test_any_team_gives_the_same_bits(name: str, level: str) -> None:
    before = levels.level()
    levels.use(level)
    model, x, y = made(name, "adam")
    start = model.get_weights()
    found = []
    try:
        for threads in (1, 2, 3):
            fnn.set_num_threads(threads)
            model.set_weights(start)
            model.compile("adam", "mse")
            model.fit(x, y, batch_size=8, epochs=2, shuffle=False, verbose=0)
            found.append([*model.get_weights(), model.predict(x)])
    finally:
        levels.use(before)
    assert_same_bits(found[0], found[1])
    assert_same_bits(found[0], found[2])


def net(shape: tuple[int, ...], *inner: Any, loss: Any = "mse", **compiled: Any) -> Any:
    fnn.utils.set_random_seed(1)
    model = set_seeded_weights(fnn.Sequential([layers.Input(shape), *inner]))
    model.compile(**{"optimizer": fnn.optimizers.SGD(1.0), "loss": loss, **compiled})
    return model


def data(shape: tuple[int, ...], rows: int = ROWS) -> Any:
    return np.random.default_rng(4).standard_normal((rows, *shape)).astype(np.float32)


class Softplus(layers.NumPyLayer):
    """log(1 + exp(w x)), w of the extents of the input."""

    def create_weights(self, input_shape: Any) -> None:
        self.add_weight(input_shape[1:], "ones", "factor")

    def forward(self, x: Any, /, *weights: Any) -> Any:
        assert x.shape[1:] == weights[0].shape == self.input_shape[1:]
        return np.logaddexp(0, weights[0] * x)

    def backward(self, x: Any, y: Any, dy: Any, /, *weights: Any) -> Any:
        dz = dy * (1 - np.exp(-y))
        return dz * weights[0], (dz * x).sum(axis=0)


def test_a_numpy_layer_sees_the_axes() -> None:
    """Against the built-in layer, with a weight that is 1."""
    x, y = data((3, 4, 5)), data((3, 4, 2))
    weights = net((3, 4, 5), layers.Dense(6), layers.Dense(2)).get_weights()
    found = []
    for middle in (Softplus(), layers.Activation("softplus")):
        model = net((3, 4, 5), layers.Dense(6, "tanh"), middle, layers.Dense(2))
        factor = [np.ones((3, 4, 6), np.float32)] if middle.weights else []
        model.set_weights([*weights[:2], *factor, *weights[2:]])
        model.fit(x, y, batch_size=ROWS, epochs=1, shuffle=False, verbose=0)
        found.append([*model.get_weights()[:2], *model.get_weights()[-2:]])
    for ours, theirs in zip(*found, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=CLOSE)


def test_clipping_takes_the_norm_over_all_positions() -> None:
    """Also of a product whose norm would be taken without its gradient, had it one position."""
    x, y = data((2, 512), 8), data((2, 512), 8)
    inner = [layers.Dense(512, "tanh"), layers.Dense(512)]
    model = net((2, 512), *inner, optimizer=fnn.optimizers.SGD(1.0, global_clipnorm=1e-3))
    before = {v.path: v.numpy() for v in model.weights}
    step = Tape(before).run(model, [x], [y])
    norm = np.sqrt(sum(np.sum(g**2) for g in step.gradients.values()))
    assert norm > 1e-2
    model.fit(x, y, batch_size=8, epochs=1, verbose=0)
    moved = sum(np.sum((before[v.path].astype(np.float64) - v.numpy()) ** 2) for v in model.weights)
    # a step of 1e-3 over half a million weights of 0.05 is rounded at each of them
    assert np.sqrt(moved) == pytest.approx(1e-3, rel=1e-3)


def test_activity_regularizer_and_statistics() -> None:
    """A penalty is divided by the rows, a unit is a channel, whatever positions there are."""

    class Watch(fnn.callbacks.Callback):
        statistics_every, statistics_window = 1, 1

        def on_statistics(self, statistics: Any) -> None:
            self.seen = [*getattr(self, "seen", []), *statistics]

    x, y = data((7, 5)), data((7, 3))
    hidden = layers.Dense(
        20, "relu", activity_regularizer=fnn.regularizers.L1L2(0.01, 0.02), name="hidden"
    )
    model = net((7, 5), hidden, layers.Dense(3, name="last"))
    kernel, bias, *others = model.get_weights()
    bias[3], kernel[:, 3] = -5, 0  # a dead channel
    model.set_weights([kernel, bias, *others])
    a = np.maximum(x.astype(np.float64) @ kernel + bias, 0)
    penalty = (0.01 * np.abs(a) + 0.02 * a**2).sum() / ROWS
    mse = np.mean((model.predict(x).astype(np.float64) - y) ** 2)
    watch = Watch()
    history = model.fit(x, y, batch_size=ROWS, epochs=2, verbose=0, callbacks=[watch])
    assert history.history["loss"][0] == pytest.approx(mse + penalty, rel=CLOSE)
    first, second = (step.layers["hidden"] for step in watch.seen)
    assert first.mean == pytest.approx(a.mean(), rel=CLOSE)
    assert first.deviation == pytest.approx(a.std(), rel=CLOSE)
    assert first.zeros == pytest.approx(np.mean(a == 0), rel=CLOSE)
    assert second.dead == pytest.approx(1 / 20)


def test_health_looks_at_any_rank() -> None:
    model = net(
        (7, 5), layers.Dense(12, "relu"), layers.GroupNormalization(3), layers.Permute((2, 1)),
        layers.Dense(4, "tanh"), layers.Flatten(), layers.Dense(3, "softmax"),
        optimizer="adam", loss="sparse_categorical_crossentropy",
    )  # fmt: skip
    x = data((7, 5), 120)
    labels = x.reshape(120, -1)[:, :3].argmax(axis=1)
    history = model.fit(x, labels, epochs=2, verbose=0, callbacks=[fnn.callbacks.GradientHealth()])
    assert all(np.isfinite(values).all() for values in history.history.values())
    x[5, 3, 2] = np.inf
    found = fnn.health.locate_nonfinite(model, x, labels)
    assert found is not None


# An output (batch, ..., classes): a class at each place, as of the pixels in segmentation.


def segmentation(loss: Any = "sparse_categorical_crossentropy", **compiled: Any) -> Any:
    return net(
        (4, 6, 5), layers.Dense(8, "tanh"), layers.Dense(3, "softmax"), loss=loss,
        metrics=["accuracy"], **compiled,
    )  # fmt: skip


def crossentropies(model: Any, x: Any, labels: Any) -> Any:
    """(rows, 4, 6) in float64."""
    weights = [w.astype(np.float64) for w in model.get_weights()]
    z = np.tanh(x @ weights[0] + weights[1]) @ weights[2] + weights[3]
    z -= z.max(axis=-1, keepdims=True)
    logs = z - np.log(np.exp(z).sum(axis=-1, keepdims=True))
    return -np.take_along_axis(logs, labels[..., None], -1)[..., 0]


LABELS = np.random.default_rng(8).integers(0, 3, (ROWS, 4, 6))


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("one_hot", [False, True])
def test_a_class_at_each_place(one_hot: bool, weighted: bool) -> None:
    kind = "categorical_crossentropy" if one_hot else "sparse_categorical_crossentropy"
    x, y = data((4, 6, 5)), np.eye(3)[LABELS] if one_hot else LABELS[..., None]
    weights = np.linspace(0, 2, ROWS) if weighted else None
    w = np.ones(ROWS) if weights is None else weights
    model = segmentation(kind, weighted_metrics=["accuracy"])
    before = model.get_weights()
    wanted = np.mean(crossentropies(model, x, LABELS).mean(axis=(1, 2)) * w)
    right = (model.predict(x).argmax(axis=-1) == LABELS).mean(axis=(1, 2))
    found = model.evaluate(x, y, sample_weight=weights, batch_size=8, verbose=0)
    assert found[0] == pytest.approx(wanted, rel=CLOSE)
    assert found[1] == pytest.approx(right.mean())
    assert found[2] == pytest.approx(np.sum(right * w) / w.sum())
    # the last bias: d(loss) / d(logits), summed
    model.fit(x, y, sample_weight=weights, batch_size=ROWS, epochs=1, verbose=0)
    slope = before[-1] - model.get_weights()[-1]
    for index in range(3):
        sides = []
        for h in (1e-3, -1e-3):
            moved = [each.astype(np.float64) for each in before]
            moved[-1][index] += h
            model.set_weights(moved)
            sides.append(np.mean(crossentropies(model, x, LABELS).mean(axis=(1, 2)) * w))
        # 1e-3 rounded to float32 beside a bias of 0.1: 4e-6 of it; its square: 1e-6
        assert slope[index] == pytest.approx((sides[0] - sides[1]) / 2e-3, abs=2e-5)


def test_a_sum_goes_over_all_places() -> None:
    x, y = data((4, 6, 5)), data((4, 6, 3))
    loss = fnn.losses.SparseCategoricalCrossentropy(reduction="sum")
    model = segmentation(loss)
    wanted = crossentropies(model, x, LABELS).sum()
    assert model.evaluate(x, LABELS, batch_size=ROWS, verbose=0)[0] == pytest.approx(
        wanted, rel=CLOSE
    )
    model = net((4, 6, 5), layers.Dense(3), loss=fnn.losses.MeanSquaredError(reduction="sum"))
    wanted = ((model.predict(x).astype(np.float64) - y) ** 2).mean(axis=-1).sum()
    assert model.evaluate(x, y, batch_size=ROWS, verbose=0) == pytest.approx(wanted, rel=CLOSE)


def test_metrics_of_all_examples_take_places() -> None:
    seen = []

    def metric(y_true: Any, y_pred: Any) -> float:
        seen.append((y_true.shape, y_pred.shape))
        return float(np.mean(y_pred.argmax(axis=1) == y_true))

    x = data((4, 6, 5))
    model = segmentation()
    model.compile("adam", "sparse_categorical_crossentropy", metrics=[metric, "accuracy"])
    _, ours, accuracy = model.evaluate(x, LABELS, verbose=0)
    assert seen == [((ROWS * 24,), (ROWS * 24, 3))]
    assert ours == pytest.approx(accuracy)


def test_a_function_gets_the_shape_of_the_output() -> None:
    """And the same gradients as the built-in twin, weights of rows included."""

    def squares(y_true: Any, y_pred: Any) -> Any:
        assert y_true.shape == y_pred.shape == (ROWS, 7, 3)
        error = y_pred - y_true
        return (error**2).mean(axis=(1, 2)), 2 * error / error.size

    x, y = data((7, 5)), data((7, 3))
    found = []
    for loss in (squares, "mse"):
        model = net((7, 5), layers.Dense(3), loss=loss)
        weights = np.linspace(0, 2, ROWS)
        model.fit(x, y, sample_weight=weights, batch_size=ROWS, epochs=1, verbose=0)
        found.append(model.get_weights())
    for ours, theirs in zip(*found, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=CLOSE)


def test_the_sigmoid_is_part_of_the_loss_at_each_place() -> None:
    """A probability of 1 - 1e-9, which float32 rounds to 1, still has its slope."""
    x = np.ones((ROWS, 7, 1), np.float32)
    model = net((7, 1), layers.Dense(2, "sigmoid"), loss="binary_crossentropy")
    model.set_weights([np.full((1, 2), 20.0, np.float32), np.zeros(2, np.float32)])
    y = np.zeros((ROWS, 7, 2), np.float32)
    assert model.evaluate(x, y, verbose=0) == pytest.approx(20.0, rel=CLOSE)


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (LABELS[:, 0], r"y must have shape \(N, 4, 6\) of integer labels, got \(21, 6\)"),
        (LABELS + 1, r"y must hold labels within 0..2"),
        (LABELS[:, :, :, None] * np.ones(2), r"y must have shape \(N, 4, 6\) of integer labels"),
    ],
)
def test_labels_that_do_not_fit(y: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        segmentation().fit(data((4, 6, 5)), y, verbose=0)


def test_class_weight_is_for_one_class_a_row() -> None:
    with pytest.raises(ValueError, match="class_weight is for models whose output has one axis"):
        segmentation().fit(data((4, 6, 5)), LABELS, class_weight={0: 2.0}, verbose=0)


def test_diagnose_segmentation() -> None:
    x = data((4, 6, 5), 200)
    model = segmentation(optimizer="adam")
    report = fnn.health.diagnose(model, x, x[..., :3].argmax(axis=-1))
    assert report.verdict == "healthy"

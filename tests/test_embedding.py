"""Nets with embeddings: gradients, threads, files, statistics, what is refused.

That they follow Keras over several steps is in ``test_keras_parity.py``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastnn as fnn
from fastnn import layers, optimizers

TOKENS, LENGTH, ROWS = 230, 4, 300


def net(width: int = 7, **settings: Any) -> fnn.Sequential:
    fnn.utils.set_random_seed(3)
    return fnn.Sequential(
        [
            layers.Input((LENGTH,), dtype="int64"),
            layers.Embedding(TOKENS, width, **settings),
            layers.Flatten(),
            layers.Dense(5, activation="tanh"),
            layers.Dense(1),
        ]
    )


def data() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    x = rng.integers(0, TOKENS // 2, (ROWS, LENGTH))
    return x, np.sin(x.sum(axis=1)).astype(np.float32)


def loss_in_float64(weights: list[np.ndarray], x: np.ndarray, y: np.ndarray) -> float:
    table, kernel, bias, kernel_1, bias_1 = weights
    hidden = np.tanh(table[x].reshape(len(x), -1) @ kernel + bias)
    return float((((hidden @ kernel_1 + bias_1)[:, 0] - y) ** 2).mean())


def test_gradients_are_finite_differences() -> None:
    x, y = data()
    x, y = x[:40], y[:40]
    model = net()
    model.compile(optimizers.SGD(1.0), "mse")
    before = [w.astype(np.float64) for w in model.get_weights()]
    model.train_on_batch(x, y)
    step = before[0] - model.get_weights()[0]
    rng = np.random.default_rng(1)
    for index in [*np.unique(x)[:9], TOKENS - 1]:
        at = (index, rng.integers(0, 7))
        slopes = []
        for sign in (1, -1):
            moved = [w.copy() for w in before]
            moved[0][at] += sign * 1e-4
            slopes.append(loss_in_float64(moved, x, y))
        slope = (slopes[0] - slopes[1]) / 2e-4
        # of float32's rounding, with gradients of about 1e-2
        assert abs(step[at] - slope) < 1e-6
    assert np.count_nonzero(step[np.unique(x)]) > 100
    assert not step[np.setdiff1d(np.arange(TOKENS), x)].any()


@pytest.mark.parametrize(
    "optimizer",
    [
        lambda: optimizers.SGD(0.1),
        lambda: optimizers.Adam(0.01, global_clipnorm=0.1),
        lambda: optimizers.Adagrad(0.1, clipnorm=0.1),
        lambda: optimizers.AdamW(0.01, use_ema=True),
        lambda: optimizers.Muon(0.01),
    ],
)
def test_the_same_bits_on_any_number_of_threads(
    optimizer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each program goes with as many threads as it is told, though the net is small."""
    monkeypatch.setattr("fastnn.models.executables._WORK_PER_THREAD", 1)
    x, y = data()
    found = []
    before = fnn.get_num_threads()
    for threads in (1, 2, 3):
        fnn.set_num_threads(threads)
        try:
            model = net(20, embeddings_regularizer="l2")
            model.compile(optimizer(), "mse")
            model.fit(x, y, epochs=2, batch_size=64, verbose=0)
            found.append([*model.get_weights(), model.predict(x)])
        finally:
            fnn.set_num_threads(before)
    for others in found[1:]:
        for ours, theirs in zip(found[0], others, strict=True):
            np.testing.assert_array_equal(ours, theirs)


def test_only_the_rows_of_the_batch_change_with_sgd_and_adagrad() -> None:
    x, y = data()
    for optimizer, moves in [
        (optimizers.SGD(0.1), False),
        (optimizers.Adagrad(0.1), False),
        (optimizers.SGD(0.1, weight_decay=0.1), True),
        (optimizers.SGD(0.1, momentum=0.9), True),
        (optimizers.Adam(), True),
    ]:
        model = net()
        model.compile(optimizer, "mse")
        model.train_on_batch(x[:50], y[:50])
        before = model.get_weights()[0]
        model.train_on_batch(x[50:60], y[50:60])
        changed = (model.get_weights()[0] != before).any(axis=1)
        assert changed[np.unique(x[50:60])].all()
        gone = np.setdiff1d(x[:50], x[50:60])
        assert changed[gone].all() if moves else not changed[gone].any()
        if optimizer.weight_decay is None:
            assert not changed[np.setdiff1d(np.arange(TOKENS), x)].any()


def test_a_setting_that_is_changed_moves_the_other_rows() -> None:
    x, y = data()
    model = net()
    model.compile(optimizers.SGD(0.1), "mse")
    model.train_on_batch(x, y)
    before = model.get_weights()[0][TOKENS - 1]
    model.optimizer.weight_decay = 0.5
    model.train_on_batch(x, y)
    np.testing.assert_allclose(model.get_weights()[0][TOKENS - 1], before * 0.95, rtol=1e-6)


def test_training_goes_on_from_a_file(tmp_path: Path) -> None:
    x, y = data()
    model = net()
    model.compile(optimizers.Adam(0.01), "mse")
    model.fit(x, y, epochs=2, shuffle=False, verbose=0)
    model.save(tmp_path / "m.safetensors")
    again = fnn.load_model(tmp_path / "m.safetensors")
    for one in (model, again):
        one.fit(x, y, epochs=2, shuffle=False, verbose=0)
    for ours, theirs in zip(model.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_integers_of_any_type_are_the_same() -> None:
    x, _ = data()
    model = net()
    wanted = model.predict(x)
    for other in (x.astype(np.uint8), x.astype(np.float32), x.astype(np.int32).tolist()):
        np.testing.assert_array_equal(model.predict(other), wanted)
        np.testing.assert_array_equal(model.predict(np.asarray(other)[:3]), wanted[:3])
    np.testing.assert_array_equal(
        np.concatenate([model.predict(x[i : i + 1].astype(np.float32)) for i in range(5)]),
        wanted[:5],
    )


def test_one_input_may_be_read_as_integers_and_as_numbers() -> None:
    inputs = layers.Input((2,))
    table = layers.Embedding(10, 3)
    outputs = [table(layers.Reshape((2, 1))(inputs)), layers.Rescaling(0.5)(inputs)]
    model = fnn.Model(inputs, outputs)
    x = np.array([[1, 2], [9, 0]])
    vectors, scaled = model.predict(x)
    np.testing.assert_array_equal(vectors, table.get_weights()[0][x][:, :, None])
    np.testing.assert_array_equal(scaled, x * 0.5)


def test_statistics_change_no_bit_and_see_the_gradient() -> None:
    x, y = data()
    seen: list[Any] = []

    class Look(fnn.callbacks.Callback):
        statistics_every = 1

        def on_statistics(self, statistics: list[Any]) -> None:
            seen.extend(statistics)

    found = []
    for callbacks in ([], [Look()]):
        model = net()
        model.compile(optimizers.SGD(0.1), "mse")
        model.fit(x, y, batch_size=50, epochs=1, shuffle=False, verbose=0, callbacks=callbacks)
        found.append(model.get_weights())
    for ours, theirs in zip(*found, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert len(seen) == 6
    model = net()
    model.compile(optimizers.SGD(1.0), "mse")
    before = model.get_weights()[0].astype(np.float64)
    model.train_on_batch(x[:50], y[:50])
    norm = np.linalg.norm(before - model.get_weights()[0])
    name = next(name for name in seen[0].layers if name.startswith("embedding"))
    layer = seen[0].layers[name]
    assert layer.gradient_norm == pytest.approx(norm, rel=1e-4)


def test_gradient_norms_and_health() -> None:
    x, y = data()
    model = net()
    model.compile(optimizers.Adam(0.01), "mse")
    norms = fnn.gradient_norms(model, x, y)
    assert all(np.isfinite(list(norms.values()))) and len(norms) == 3
    report = fnn.health.diagnose(model, x, y)
    assert "embedding" in str(report)


@pytest.mark.parametrize("callback", [False, True])
def test_an_infinite_gradient_stops_before_the_table_has_changed(callback: bool) -> None:
    x, y = data()
    model = net()
    model.compile(optimizers.Adagrad(0.1), "mse")
    before = model.get_weights()
    if callback:
        model.layers[-1].kernel.assign(np.full((5, 1), 1e30))
        before = model.get_weights()
    with pytest.raises(fnn.NonFiniteGradientError if callback else ValueError):
        model.fit(x, y * 1e30 if callback else y * np.nan, epochs=1, verbose=0)
    for ours, theirs in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_what_is_out_of_range_is_named_before_anything_is_done() -> None:
    x, y = data()
    model = net()
    name = model.layers[0].name
    model.compile(optimizers.SGD(0.1), "mse")
    before = model.get_weights()
    for bad in (TOKENS, -1, 2**40):
        wrong = x.copy()
        wrong[251, 2] = bad
        for run in (
            lambda wrong=wrong: model.fit(wrong, y, verbose=0),
            lambda wrong=wrong: model.predict(wrong),
            lambda wrong=wrong: model.evaluate(wrong, y, verbose=0),
            lambda wrong=wrong: model.fit(x, y, validation_data=(wrong, y), verbose=0),
        ):
            with pytest.raises(
                ValueError,
                match=rf"layer {name!r} \(Embedding\) takes integers within 0\.\.229, got {bad} "
                "in row 251 of",
            ):
                run()
    with pytest.raises(ValueError, match=r"got 0\.5 in row 0 of x"):
        model.predict(np.full((1, LENGTH), 0.5, np.float32))
    for ours, theirs in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_a_table_may_be_given() -> None:
    table = np.arange(12.0, dtype=np.float32).reshape(4, 3)
    for weights in (table, [table], table.tolist()):
        model = fnn.Sequential([layers.Input((2,)), layers.Embedding(4, 3, weights=weights)])
        np.testing.assert_array_equal(model.predict([[3, 1]])[0], table[[3, 1]])
    with pytest.raises(ValueError, match=r"has shape \(4, 3\), got a value of shape \(3, 4\)"):
        layers.Embedding(4, 3, weights=[table.T])


def test_nets_inside_of_nets() -> None:
    lookup = layers.IntegerLookup(vocabulary=[7, 8, 9])
    inner = fnn.Sequential([layers.Input((2,)), lookup, layers.Embedding(4, 3)])
    outer = fnn.Sequential([layers.Input((2,)), inner, layers.Flatten(), layers.Dense(1)])
    outer.compile("adam", "mse")
    x = np.array([[7, 9], [8, 1]])
    before = outer.predict(x)
    outer.fit(x, np.ones((2, 1)), verbose=0)
    assert (outer.predict(x) != before).all()
    np.testing.assert_array_equal(
        inner.predict(x), inner.layers[-1].get_weights()[0][[[1, 3], [2, 0]]]
    )


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda: layers.Embedding(0, 3), ValueError, "input_dim must be an integer >= 1, got 0"),
        (lambda: layers.Embedding(2**31, 3), ValueError, "input_dim must be at most"),
        (lambda: layers.Embedding(3, 2.5), TypeError, "output_dim must be an integer, got 2.5"),
        (lambda: layers.Embedding(3, 2, mask_zero=True), ValueError, "mask_zero must be False"),
    ],
)
def test_what_is_wrong_is_said(make: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=f"Embedding: {words}"):
        make()


@pytest.mark.parametrize(
    "before", [lambda: layers.Dense(2, name="d"), lambda: layers.Rescaling(2.0, name="d")]
)
def test_an_embedding_reads_nothing_that_was_computed(before: Any) -> None:
    model = fnn.Sequential([layers.Input((2,)), before(), layers.Embedding(9, 2, name="e")])
    with pytest.raises(ValueError, match=r"'e' \(Embedding\) takes integers .* not what .*'d'"):
        model.predict(np.ones((1, 2)))

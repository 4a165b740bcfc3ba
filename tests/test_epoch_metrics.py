"""Metrics that need all rows of an epoch: what they get, and where their values are."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from nets import assert_same_bits, blobs, classifier, mlp, set_seeded_weights

import fastnn as fnn
from fastnn import callbacks, layers, metrics, optimizers


class Seen(metrics.EpochMetric):
    """Keeps what it gets; its value is the number of rows."""

    def __init__(self, name: str = "seen") -> None:
        super().__init__(name)
        self.calls: list[tuple[Any, Any, Any]] = []

    def compute(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> float:
        self.calls.append((y_true, y_pred, sample_weight))
        return float(len(y_pred))


def right(y_true: Any, y_pred: Any, sample_weight: Any = None) -> float:
    """Accuracy."""
    return float(np.average(y_pred.argmax(axis=1) == y_true, weights=sample_weight))


def still(*found: Any, **settings: Any) -> Any:
    """A classifier that does not learn: predictions are the same at any time."""
    return classifier(optimizer=optimizers.SGD(0.0), metrics=found, **settings)


def test_it_is_where_keras_would_have_it() -> None:
    """In the logs of epochs, validations and evaluations, in the order of compile."""
    x, y = blobs(100)
    model = classifier(metrics=["accuracy", right, "sparse_categorical_crossentropy"])
    history = model.fit(x, y, epochs=3, validation_split=0.2, verbose=0).history
    names = ["loss", "accuracy", "right", "sparse_categorical_crossentropy"]
    assert list(history) == [*names, *(f"val_{name}" for name in names)]
    np.testing.assert_allclose(history["right"], history["accuracy"])
    np.testing.assert_allclose(history["val_right"], history["val_accuracy"])
    assert model.metrics_names == names
    for values in (
        model.evaluate(x, y, verbose=0),
        model.evaluate(x, y, batch_size=7, verbose=0),
        model.test_on_batch(x, y),
        model.train_on_batch(x, y),
    ):
        assert len(values) == 4
        assert values[2] == pytest.approx(values[1])
    assert list(model.evaluate(x, y, verbose=0, return_dict=True)) == names


def test_it_is_absent_during_an_epoch() -> None:
    logs: list[tuple[str, set[str]]] = []
    hooks = callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, log: logs.append(("batch", set(log))),
        on_epoch_end=lambda epoch, log: logs.append(("epoch", set(log))),
    )
    x, y = blobs(40)
    classifier(metrics=[right, "accuracy"]).fit(x, y, callbacks=[hooks], verbose=0)
    assert logs == [
        ("batch", {"loss", "accuracy"}),
        ("batch", {"loss", "accuracy"}),
        ("epoch", {"loss", "accuracy", "right"}),
    ]


@pytest.mark.parametrize("batch_size", [1, 16, 100])
def test_rows_come_in_the_order_of_the_pass(batch_size: int) -> None:
    """Shuffled in training; predictions beside their targets."""
    random = np.random.default_rng(0)
    x = random.normal(size=(100, 9)).astype(np.float32)
    y = np.arange(300, dtype=np.float64).reshape(100, 3)
    seen = Seen()
    model = mlp([9, 16, 3], output="linear")
    model.compile(optimizers.SGD(0.0), "mse", metrics=[seen])
    model.fit(x, y, batch_size=batch_size, verbose=0)
    ((y_true, y_pred, weight),) = seen.calls
    assert weight is None
    assert not np.array_equal(y_true, y)
    order = (y_true[:, 0] / 3).astype(int)
    assert sorted(order) == list(range(100))
    np.testing.assert_array_equal(y_true, y[order])
    assert y_pred.dtype == np.float32
    np.testing.assert_allclose(y_pred, model.predict(x)[order], rtol=1e-5, atol=1e-6)
    model.evaluate(x, y, batch_size=batch_size, verbose=0)
    np.testing.assert_array_equal(seen.calls[-1][0], y)
    np.testing.assert_allclose(seen.calls[-1][1], model.predict(x), rtol=1e-5, atol=1e-6)


def test_predictions_are_of_their_step() -> None:
    """As the weights were when the batch was trained on."""
    x, y = blobs(64)
    seen = Seen()
    model, twin = classifier(metrics=[seen]), classifier()
    model.fit(x, y, shuffle=False, verbose=0)
    first = twin.predict(x[:32])
    twin.train_on_batch(x[:32], y[:32])
    second = twin.predict(x[32:])
    np.testing.assert_allclose(seen.calls[0][1], np.concatenate([first, second]), atol=1e-6)


def test_labels_and_matrices() -> None:
    x, y = blobs(20)
    seen = Seen()
    still(seen).evaluate(x, y[:, None], verbose=0)
    assert seen.calls[-1][0].shape == (20,)
    model = mlp([9, 16, 4])
    model.compile("sgd", "categorical_crossentropy", metrics=[seen])
    model.evaluate(x, np.eye(4)[y], verbose=0)
    assert seen.calls[-1][0].shape == (20, 4)
    narrow = mlp([9, 16, 1], output="sigmoid")
    narrow.compile("sgd", "binary_crossentropy", metrics=[seen])
    narrow.evaluate(x, y > 1, verbose=0)
    assert seen.calls[-1][0].shape == seen.calls[-1][1].shape == (20, 1)


def test_weighted_metrics_get_the_weights() -> None:
    x, y = blobs(50)
    weight = np.random.default_rng(0).random(50).astype(np.float32)
    plain, weighted = Seen("plain"), Seen("weighted")
    model = still(plain, weighted_metrics=[weighted, "accuracy", right])
    model.fit(x, y, sample_weight=weight, shuffle=False, verbose=0)
    assert plain.calls[-1][2] is None
    np.testing.assert_array_equal(weighted.calls[-1][2], weight)
    result = model.evaluate(x, y, sample_weight=weight, verbose=0, return_dict=True)
    assert list(result) == ["loss", "plain", "weighted", "accuracy", "right"]
    assert result["right"] == pytest.approx(result["accuracy"])
    assert result["right"] != pytest.approx(model.evaluate(x, y, verbose=0)[4])
    model.fit(x, y, class_weight={1: 3.0}, shuffle=False, verbose=0)
    np.testing.assert_array_equal(weighted.calls[-1][2], np.where(y == 1, 3, 1))
    model.fit(x, y, verbose=0)
    assert weighted.calls[-1][2] is None


def test_a_name_twice() -> None:
    x, y = blobs(30)
    model = still("accuracy", right, right, weighted_metrics=[right])
    names = ["loss", "accuracy", "right", "right_1", "weighted_right"]
    assert model.metrics_names == names
    assert list(model.evaluate(x, y, verbose=0, return_dict=True)) == names


def test_several_outputs() -> None:
    inputs = layers.Input((9,))
    first, second = layers.Dense(4, "softmax", name="a"), layers.Dense(2, name="b")
    model = fnn.Model(inputs, [first(inputs), second(inputs), layers.Dense(3)(inputs)])
    set_seeded_weights(model)
    on_first, on_second = Seen(), Seen()
    model.compile(
        optimizers.SGD(0.0),
        ["sparse_categorical_crossentropy", "mse", None],
        metrics=[[on_first], ["mae", on_second], []],
        weighted_metrics=[[], [on_second], []],
    )
    x, y = blobs(50)
    z = np.random.default_rng(0).normal(size=(50, 2))
    weight = np.random.default_rng(1).random(50)
    result = model.evaluate(
        x, [y, z, None], sample_weight=[None, weight, None], verbose=0, return_dict=True
    )
    assert list(result) == [
        "loss", "a_loss", "b_loss", "a_seen", "b_mae", "b_seen", "b_weighted_seen",
    ]  # fmt: skip
    predicted = model.predict(x)
    np.testing.assert_array_equal(on_first.calls[0][0], y)
    np.testing.assert_allclose(on_first.calls[0][1], predicted[0], rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(on_second.calls[0][0], z)
    np.testing.assert_allclose(on_second.calls[0][1], predicted[1], rtol=1e-5, atol=1e-6)
    assert on_second.calls[0][2] is None
    np.testing.assert_allclose(on_second.calls[1][2], weight, rtol=1e-6)


def test_iterables_of_batches_are_collected() -> None:
    x, y = blobs(50)
    weight = np.arange(50.0)
    seen = Seen()
    model = still(weighted_metrics=[seen])
    batches = [(x[:20], y[:20]), (x[20:50], y[20:50], weight[20:])]
    history = model.fit(batches, validation_data=batches, verbose=0).history
    assert history["seen"] == history["val_seen"] == [50]
    for y_true, y_pred, given in seen.calls:
        np.testing.assert_array_equal(y_true, y)
        np.testing.assert_allclose(y_pred, model.predict(x), rtol=1e-5, atol=1e-6)
        np.testing.assert_array_equal(given, np.r_[np.ones(20), weight[20:]])


def test_steps_and_early_stops_count_only_what_ran() -> None:
    x, y = blobs(50)
    seen = Seen()
    model = still(seen)
    model.fit(x, y, batch_size=20, steps_per_epoch=4, verbose=0)
    assert len(seen.calls[-1][0]) == len(seen.calls[-1][1]) == 70
    model.evaluate(x, y, batch_size=20, steps=2, verbose=0)
    np.testing.assert_array_equal(seen.calls[-1][0], y[:40])

    class Stop(callbacks.Callback):
        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            self.model.stop_training = batch == 1

    history = model.fit(x, y, batch_size=10, callbacks=[Stop()], verbose=0).history
    assert history["seen"] == [20]


def test_sparse_input() -> None:
    x, y = blobs(200)
    x[np.abs(x) < 1.2] = 0
    seen = Seen()
    model = still(seen)
    model.fit(x, y, shuffle=False, verbose=0)
    np.testing.assert_allclose(seen.calls[-1][1], model.predict(x), rtol=1e-5, atol=1e-6)


def test_a_callback_may_watch_it() -> None:
    x, y = blobs(60)
    model = classifier(metrics=[right])
    stop = callbacks.EarlyStopping(monitor="val_right", mode="max", patience=0)
    history = model.fit(x, y, epochs=100, validation_split=0.3, callbacks=[stop], verbose=0)
    assert len(history.epoch) < 100
    with pytest.raises(ValueError, match="mode='max'"):
        model.fit(x, y, callbacks=[callbacks.EarlyStopping(monitor="right")], verbose=0)


def test_same_bits_for_any_number_of_threads() -> None:
    x, y = blobs(300)
    before = fnn.get_num_threads()
    kept = []
    for n in (1, 2, 3):
        fnn.set_num_threads(n)
        seen = Seen()
        classifier([9, 400, 4], metrics=[seen]).fit(x, y, shuffle=False, verbose=0)
        kept.append([seen.calls[-1][1]])
    fnn.set_num_threads(before)
    assert_same_bits(kept[1], kept[0])
    assert_same_bits(kept[2], kept[0])


def test_functions(tmp_path: Any) -> None:
    metric = metrics.get(right)
    assert isinstance(metric, metrics.CallableMetric)
    assert metric.name == "right"
    assert metrics.CallableMetric(right, "mine").name == "mine"
    with pytest.raises(TypeError, match="must be a function"):
        metrics.CallableMetric(3)  # type: ignore[arg-type]
    x, y = blobs(20)
    with pytest.raises(TypeError, match="'text': the function must give a number"):
        still(metrics.CallableMetric(lambda t, p: "no", "text")).evaluate(x, y, verbose=0)
    with pytest.raises(ValueError, match=r"'right' is a Python function.*can't be saved"):
        still(right).save(tmp_path / "m.safetensors")


def test_without_a_loss_that_tells_the_target_tells() -> None:
    """Only epoch metrics on an output: labels or a matrix, as it comes."""
    inputs = layers.Input((9,))
    model = fnn.Model(inputs, [layers.Dense(4)(inputs), layers.Dense(2, name="loss")(inputs)])
    seen = Seen()
    model.compile("sgd", [None, "mse"], metrics=[[seen], []])
    x, y = blobs(20)
    for target, shape in ((y, (20,)), (np.eye(4)[y], (20, 4))):
        model.evaluate(x, [target, np.zeros((20, 2))], verbose=0)
        assert seen.calls[-1][0].shape == shape

"""Functions as losses, beside the built-in ones."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from nets import assert_same_bits, blobs, mlp, set_seeded_weights

import fastnn as fnn
from fastnn import layers, losses


@pytest.fixture(autouse=True)
def keep_threads() -> Iterator[None]:
    n = fnn.get_num_threads()
    yield
    fnn.set_num_threads(n)


def crossentropy(y_true: Any, y_pred: Any) -> Any:
    """Of integer labels, one number a row."""
    rows = np.arange(len(y_true))
    right = y_pred[rows, y_true]
    gradient = np.zeros_like(y_pred)
    gradient[rows, y_true] = -1 / right / len(y_true)
    return -np.log(right), gradient


def squares(y_true: Any, y_pred: Any) -> Any:
    """The mean over the batch, one number."""
    error = y_pred - y_true
    return np.square(error).mean(), 2 * error / error.size


def squares_of_rows(y_true: Any, y_pred: Any) -> Any:
    error = y_pred - y_true
    return np.square(error).mean(axis=1), 2 * error / error.size


def classifier(loss: Any, **settings: Any) -> Any:
    model = mlp([9, 16, 4])
    model.compile("adam", loss, **settings)
    return model


def regressor(loss: Any, outputs: int = 3, **settings: Any) -> Any:
    model = mlp([9, 16, outputs], output="linear")
    model.compile("adam", loss, **settings)
    return model


def targets(n: int = 60, outputs: int = 3) -> np.ndarray:
    return np.random.default_rng(1).normal(size=(n, outputs)).astype(np.float32)


def assert_same_training(ours: Any, theirs: Any, *data: Any, **settings: Any) -> None:
    """Losses, logs and weights within the rounding of a few steps."""
    settings = {"epochs": 3, "batch_size": 16, "verbose": 0, "shuffle": False} | settings
    first, second = (model.fit(*data, **settings).history for model in (ours, theirs))
    assert first.keys() == second.keys()
    for name in first:
        np.testing.assert_allclose(first[name], second[name], rtol=1e-5, atol=1e-6)
    for a, b in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=2e-5)


@pytest.mark.parametrize("column", [False, True], ids=["(N,)", "(N, 1)"])
@pytest.mark.parametrize("weights", [None, "sample_weight", "class_weight"])
def test_labels(weights: str | None, column: bool) -> None:
    x, y = blobs()
    y = y[:, None] if column else y
    given: dict[str, Any] = {
        None: {},
        "sample_weight": {"sample_weight": np.random.default_rng(0).random(60)},
        "class_weight": {"class_weight": {0: 2.0, 2: 0.5}},
    }[weights]
    assert_same_training(
        classifier(crossentropy), classifier("sparse_categorical_crossentropy"), x, y, **given
    )


@pytest.mark.parametrize("outputs", [1, 3, 17])
def test_targets_of_the_outputs_shape(outputs: int) -> None:
    x, _ = blobs()
    y = targets(outputs=outputs)
    assert_same_training(
        regressor(squares, outputs), regressor("mse", outputs), x, y, validation_split=0.2
    )
    weight = np.random.default_rng(0).random(60)
    assert_same_training(
        regressor(squares_of_rows, outputs), regressor("mse", outputs), x, y, sample_weight=weight
    )


def test_one_hot_targets_and_integers_for_one_output() -> None:
    """Integers are labels only where the output has more than one column."""
    kinds: list[tuple[Any, ...]] = []

    def seen(y_true: Any, y_pred: Any) -> Any:
        kinds.append((y_true.shape, y_true.dtype))
        assert not (y_true.flags.writeable or y_pred.flags.writeable)
        return 0.0, np.zeros_like(y_pred)

    x, y = blobs(10)
    model = classifier(seen)
    model.train_on_batch(x, y)
    model.train_on_batch(x, fnn.utils.to_categorical(y, 4).astype(int))
    regressor(seen, 1).train_on_batch(x, y)
    labels, matrix = np.dtype(np.int32), np.dtype(np.float32)
    assert kinds == [((10,), labels), ((10, 4), matrix), ((10, 1), matrix)]


def test_labels_out_of_range_are_refused_before_anything_happens() -> None:
    x, y = blobs(10)
    with pytest.raises(ValueError, match=r"labels within 0\.\.3"):
        classifier(crossentropy).train_on_batch(x, y + 4)
    with pytest.raises(ValueError, match="shape"):
        classifier(crossentropy).train_on_batch(x, y + 0.5)


def test_one_number_is_the_batchs_mean() -> None:
    """The logs weigh it with the batch's rows; evaluate keeps to the batches asked for."""
    sizes: list[int] = []

    def rows(y_true: Any, y_pred: Any) -> Any:
        sizes.append(len(y_pred))
        return len(y_pred), np.zeros_like(y_pred)

    x, y = blobs(50)
    model = classifier(rows)
    assert model.evaluate(x, y, batch_size=20, verbose=0) == (20 * 20 + 20 * 20 + 10 * 10) / 50
    assert sizes == [20, 20, 10]


def test_beside_other_losses_and_metrics() -> None:
    def make(loss: Any) -> Any:
        inputs = layers.Input((9,))
        hidden = layers.Dense(8, "tanh")(inputs)
        model = fnn.Model(
            inputs,
            [layers.Dense(4, "softmax", name="a")(hidden), layers.Dense(2, name="b")(hidden)],
        )
        set_seeded_weights(model)
        metrics = [["sparse_categorical_accuracy"], ["mae"]]
        model.compile("sgd", [loss, "mse"], loss_weights=[0.3, 2.0], metrics=metrics)
        return model

    x, y = blobs()
    assert_same_training(
        make(crossentropy), make("sparse_categorical_crossentropy"), x, [y, targets(outputs=2)]
    )


def test_iterables_of_batches() -> None:
    x, y = blobs()
    batches = [(x[i : i + 20], y[i : i + 20]) for i in range(0, 60, 20)]
    assert_same_training(
        classifier(crossentropy), classifier("sparse_categorical_crossentropy"), batches
    )


def test_sparse_inputs() -> None:
    x, y = blobs(100, n_features=9)
    x[np.abs(x) < 1] = 0
    assert_same_training(
        classifier(crossentropy), classifier("sparse_categorical_crossentropy"), x, y
    )


def test_same_bits_for_any_number_of_threads() -> None:
    x, y = blobs(200, n_features=300)
    outcomes = []
    for n in (1, 2, 3):
        fnn.set_num_threads(n)
        model = mlp([300, 257, 4])
        model.compile("adam", crossentropy)
        history = model.fit(x, y, epochs=2, shuffle=False, verbose=0).history
        outcomes.append([*model.get_weights(), np.array(history["loss"])])
    assert_same_bits(outcomes[1], outcomes[0])
    assert_same_bits(outcomes[2], outcomes[0])


def test_an_output_that_nothing_below_learns_from() -> None:
    """The function's output has only frozen weights; the other's updates still wait for it."""
    for n in (1, 2, 3):
        fnn.set_num_threads(n)
        inputs = layers.Input((9,))
        frozen = layers.Dense(2)
        model = fnn.Model(inputs, [layers.Dense(4, "softmax")(inputs), frozen(inputs)])
        frozen.trainable = False

        def fails(y_true: Any, y_pred: Any) -> Any:
            raise RuntimeError("mine")

        model.compile("sgd", ["sparse_categorical_crossentropy", fails])
        before = model.get_weights()
        x, y = blobs(400)
        for _ in range(20):
            with pytest.raises(RuntimeError, match="mine"):
                model.train_on_batch(x, [y, targets(400, outputs=2)])
        assert_same_bits(model.get_weights(), before)


def returning(make: Callable[[Any], Any]) -> Any:
    def odd_loss(y_true: Any, y_pred: Any) -> Any:
        return make(y_pred)

    return odd_loss


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        (returning(lambda p: 1.0), "'odd_loss' must return .* got float"),
        (returning(lambda p: (1.0,)), "'odd_loss' must return .* got tuple"),
        (returning(lambda p: (p, p)), r"'odd_loss'.*loss of shape \(\) or \(32,\).*\(32, 4\)"),
        (returning(lambda p: (0.0, p[:, 1:])), r"'odd_loss'.*gradient.*\(32, 4\).*\(32, 3\)"),
        (returning(lambda p: ("a", p)), "'odd_loss' must return a loss"),
        (returning(lambda p: (0.0, p * 1j)), "'odd_loss'.*gradient.*complex"),
        (returning(lambda p: (np.nan, p)), "'odd_loss' returned a loss that is not finite"),
        (returning(lambda p: (0.0, p * np.inf)), "'odd_loss' returned a gradient .* not finite"),
    ],
)
def test_what_it_returns_is_checked(loss: Any, message: str) -> None:
    x, y = blobs()
    model = classifier(loss)
    before = model.get_weights()
    with pytest.raises(ValueError, match=message):
        model.fit(x, y, verbose=0)
    assert_same_bits(model.get_weights(), before)
    assert int(model.optimizer.iterations) == 0


def test_weights_of_rows_want_losses_of_rows() -> None:
    x, _ = blobs()
    model = regressor(squares)
    with pytest.raises(ValueError, match=r"'squares'.*sample_weight.*\(32,\)"):
        model.fit(x, targets(), sample_weight=np.full(60, 2.0), verbose=0)
    model.fit(x, targets(), sample_weight=np.ones(60), verbose=0)
    # a weighted metric has the program read weights: all 1 here
    model.compile("adam", squares, weighted_metrics=["mae"])
    model.fit(x, targets(), verbose=0)


def test_names_and_files(tmp_path: Any) -> None:
    loss = losses.get(crossentropy)
    assert isinstance(loss, losses.CallableLoss)
    assert loss.name == "crossentropy"
    assert losses.CallableLoss(crossentropy, "mine").name == "mine"
    with pytest.raises(TypeError, match="must be a function"):
        losses.CallableLoss(3)  # type: ignore[arg-type]
    model = classifier(crossentropy)
    with pytest.raises(ValueError, match=r"'crossentropy' is a Python function.*can't be saved"):
        model.save(tmp_path / "m.safetensors")
    model.save_weights(tmp_path / "w.safetensors")
    with pytest.raises(ValueError, match="sparse_categorical_accuracy"):
        classifier(crossentropy, metrics=["accuracy"])


def test_a_model_that_its_loss_knows_is_freed() -> None:
    def make() -> weakref.ref[Any]:
        def loss(y_true: Any, y_pred: Any) -> Any:
            assert model.built
            return 0.0, np.zeros_like(y_pred)

        model = classifier(loss)
        x, y = blobs()
        model.fit(x, y, verbose=0)
        return weakref.ref(model)

    dead = make()
    gc.collect()
    assert dead() is None

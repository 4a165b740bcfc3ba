"""health.locate_nonfinite and replays: where an infinity begins, by which samples, in a file."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse
from nets import blobs, mlp, set_seeded_weights

import fastnn as fnn
from fastnn import health, layers, losses, optimizers, utils
from fastnn.health import Located
from fastnn.models import container, executables

HUGE = np.float32(3e38)


@pytest.fixture(autouse=True)
def two_threads(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """However small the model is."""
    before = fnn.get_num_threads()
    monkeypatch.setattr(executables, "_WORK_PER_THREAD", 1)
    fnn.set_num_threads(2)
    yield
    fnn.set_num_threads(before)


def bits(model: Any) -> list[bytes]:
    arrays = [*model.get_weights(), *model._training_state().values()]
    return [array.tobytes() for array in arrays]


def net(optimizer: Any = "adam") -> Any:
    """Everything that behaves differently while a net trains, a residual block, and a softmax."""
    inputs = layers.Input((9,), name="x")
    h = layers.Dense(20, activation="relu", name="first")(inputs)
    h = layers.BatchNormalization(name="norm")(h)
    h = layers.Dropout(0.4, seed=3, name="drop")(h)
    inner = [layers.Dense(12, "tanh", name="inner"), layers.Dense(20, name="outer")]
    h = layers.Residual(inner, name="block")(h)
    h = layers.GaussianNoise(0.1, seed=4, name="noise")(h)
    outputs = layers.Dense(4, activation="softmax", name="last")(h)
    model = set_seeded_weights(fnn.Model(inputs, outputs))
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def linear(*units: int, loss: Any = "mse", optimizer: Any = "sgd", value: float = 1.0) -> Any:
    """Dense layers "a", "b", ... without activation, all of whose weights are ``value``."""
    named = [layers.Dense(n, name=chr(ord("a") + k), use_bias=False) for k, n in enumerate(units)]
    model = fnn.Sequential([layers.Input((2,), name="x"), *named])
    model.set_weights([np.full_like(weight, value) for weight in model.get_weights()])
    model.compile(optimizer, loss)
    return model


def test_all_finite() -> None:
    assert health.locate_nonfinite(net(), *blobs(32)) is None


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_in_data(bad: float) -> None:
    x, y = blobs(16)
    x[3, 2] = x[11, 0] = x[11, 1] = bad
    counts = dict(nan=3, infinite=0) if np.isnan(bad) else dict(nan=0, infinite=3)
    wanted = Located("x", "input", 0, (3, 11), size=144, **counts)
    assert health.locate_nonfinite(net(), x, y) == wanted
    assert health.locate_nonfinite(net(), scipy.sparse.csr_matrix(x), y) == wanted
    assert health.locate_nonfinite(net(), x.tolist(), y) == wanted


def test_in_data_beyond_float32_targets_and_weights() -> None:
    x, _ = blobs(16)
    found = health.locate_nonfinite(net(), x.astype(np.float64) * 1e60, np.zeros(16, int))
    assert found is not None and found.tensor == "input" and found.infinite == 144
    model, x, y = linear(3, 1), x[:, :2], np.zeros((16, 1))
    y[5] = np.nan
    found = health.locate_nonfinite(model, x, y)
    assert found == Located("b", "target", 0, (5,), nan=1, infinite=0, size=16)
    weights = np.ones(16)
    weights[7] = np.inf
    found = health.locate_nonfinite(model, x, np.zeros((16, 1)), weights)
    assert found == Located("b", "sample_weight", 0, (7,), nan=0, infinite=1, size=16)


@pytest.mark.parametrize("path", ["first/bias", "norm/gamma", "outer/kernel", "last/kernel"])
def test_in_weights(path: str) -> None:
    model = net()
    variable = next(v for v in model.weights if v.path == path)
    value = variable.numpy()
    value.flat[:2] = np.nan, np.inf
    variable.assign(value)
    layer, name = path.split("/")
    found = health.locate_nonfinite(model, *blobs(16))
    assert found == Located(layer, name, 0, (), nan=1, infinite=1, size=variable.size)
    assert str(found).startswith(f"step 0: the {name} of layer {layer!r} is the first that is not")


def test_the_first_weight_is_named_that_a_step_reads() -> None:
    model = net()
    for path in ("last/bias", "norm/moving_variance", "norm/beta"):
        variable = next(v for v in model.weights if v.path == path)
        variable.assign(np.full(variable.shape, np.inf))
    assert health.locate_nonfinite(model, *blobs(16)).layer == "norm"  # type: ignore[union-attr]


def test_before_and_after_the_activation_function() -> None:
    x, y = blobs(16)
    x[[4, 9]] = HUGE
    found = health.locate_nonfinite(net(), x, y)
    assert found is not None
    assert (found.layer, found.tensor, found.samples) == ("first", "pre-activation", (4, 9))
    assert found.largest == HUGE and found.size == 16 * 20
    assert "from samples 4, 9; the layer's inputs reach 3e+38" in str(found)
    model = linear(3)
    x2 = x[:, :2].copy()
    found = health.locate_nonfinite(model, x2, np.zeros((16, 3)))
    assert found == Located("a", "activation", 0, (4, 9), nan=0, infinite=6, size=48, largest=HUGE)


def test_within_a_residual_block_and_a_shared_layer() -> None:
    model = net()
    kernel = next(v for v in model.weights if v.path == "outer/kernel")
    kernel.assign(np.full(kernel.shape, 3e38))
    found = health.locate_nonfinite(model, *blobs(16))
    assert found is not None and found.layer == "outer" and found.tensor == "activation"
    again, x = layers.Dense(2, name="again", use_bias=False), layers.Input((2,))
    shared = fnn.Model(x, again(again(again(x))))
    shared.set_weights([np.full((2, 2), 1e13, np.float32)])
    shared.compile("sgd", "mae")
    found = health.locate_nonfinite(shared, np.ones((3, 2)), np.ones((3, 2)))
    assert found == Located("again", "activation", 0, (0, 1, 2), 0, 6, 6, found.largest)  # type: ignore[union-attr]
    assert found.largest == pytest.approx(4e26)


def test_a_deep_net_in_several_programs() -> None:
    """More layers than a program can write outputs."""
    model = fnn.Sequential([layers.Input((4,))])
    for number in range(40):
        model.add(layers.Dense(4, activation="relu", name=f"layer_{number}"))
    model.set_weights([np.full(w.shape, 2.5 if w.ndim == 2 else 0.0) for w in model.get_weights()])
    model.compile("sgd", "mse")
    # Each layer multiplies by 10.
    found = health.locate_nonfinite(model, np.full((3, 4), 0.3), np.zeros((3, 4)))
    assert found == Located("layer_39", "pre-activation", 0, (0, 1, 2), 0, 12, 12, found.largest)  # type: ignore[union-attr]
    assert found.largest == pytest.approx(0.3 * 10.0**38, rel=1e-4) or found.largest > 1e38


def test_masks_and_statistics_are_those_of_the_step() -> None:
    """What a layer makes is what training has made of it: the loss of the whole net agrees."""
    from fastnn.health.passage import Passage
    from fastnn.models.feeding import feed

    model, (x, y) = net(), blobs(32)
    model.fit(x, y, verbose=0, epochs=3)
    data = feed(model, x, y)
    passage = Passage(model, data, [x])
    values = {made.place: array for made, array in passage.values()}
    loss = model.train_on_batch(x, y, return_dict=True)["loss"]
    assert passage.losses(values).mean() == pytest.approx(loss, rel=1e-6)
    assert loss != pytest.approx(model.test_on_batch(x, y, return_dict=True)["loss"], rel=1e-3)


def test_in_the_loss() -> None:
    x = np.ones((8, 2), np.float32)
    x[[2, 6]] = 1e20
    found = health.locate_nonfinite(linear(3, 1), x, np.zeros((8, 1)))
    assert found == Located("b", "loss", 0, (2, 6), 0, 2, 8, found.largest)  # type: ignore[union-attr]
    assert found.largest == pytest.approx(6e20)
    # from logits: their difference overflows, though the probability is finite
    model = linear(2, loss="sparse_categorical_crossentropy")
    model.layers[-1].kernel.assign(np.array([[1, -1], [0, 0]]))
    model.add(layers.Activation("softmax", name="p"))
    model.compile("sgd", "sparse_categorical_crossentropy")
    found = health.locate_nonfinite(model, np.full((1, 2), HUGE), np.array([1]))
    assert found is not None and (found.layer, found.tensor) == ("a", "loss")


def test_a_penalty_is_no_samples_fault() -> None:
    inputs = layers.Input((2,))
    penalty = fnn.regularizers.L2(10.0)
    model = fnn.Model(inputs, layers.Dense(1, kernel_regularizer=penalty, name="a")(inputs))
    model.set_weights([np.full((2, 1), 1e38, np.float32), np.zeros(1, np.float32)])
    model.compile("sgd", "mae")
    found = health.locate_nonfinite(model, np.full((4, 2), 0.01), np.zeros((4, 1)))
    assert found is not None
    assert (found.layer, found.tensor, found.samples) == ("a", "loss", ())


@pytest.mark.parametrize("batch", [1, 2, 37])
def test_in_a_gradient(batch: int) -> None:
    """x' dz is infinite where x and dz are not, and one sample alone is to blame."""
    x = np.ones((batch, 2), np.float32)
    bad = batch // 2
    x[bad] = 1e18
    model = linear(1, 1, loss="mae")
    model.set_weights([np.full((2, 1), 1e-30), np.full((1, 1), 1e25)])
    found = health.locate_nonfinite(model, x, np.zeros((batch, 1)))
    assert found == Located("a", "gradient of kernel", 0, (bad,), 0, 2, 2, float(x[bad, 0]))


def test_a_gradient_that_overflows_only_in_sum() -> None:
    x = np.full((8, 2), 1.0, np.float32)
    y = np.full((8, 1), -1.0)
    model = linear(1, 1, loss=losses.MeanAbsoluteError(reduction="sum"))
    model.layers[0].kernel.assign(np.zeros((2, 1)))
    model.layers[1].kernel.assign(np.full((1, 1), 1e38))
    found = health.locate_nonfinite(model, x, y)
    assert found == Located("a", "gradient of kernel", 0, (), 0, 2, 2, 1.0)


def test_backward_comes_to_the_last_layer_first() -> None:
    """The loss is 2e37, the gradients are a thousand times that."""
    x = np.full((6, 2), 1e-3, np.float32)
    x[[1, 4]] = 1e13
    model = linear(1, 1, loss=losses.MeanAbsoluteError(reduction="sum"), value=1e-3)
    found = health.locate_nonfinite(model, x, np.zeros((6, 1)), np.full(6, 1e30))
    wanted = Located("b", "gradient of kernel", 0, (1, 4), 0, 1, 1, 2e10)
    assert found is not None and replace(found, largest=2e10) == wanted


def test_many_samples_to_blame() -> None:
    model = linear(1, 1, loss="mae")
    model.set_weights([np.full((2, 1), 1e-30), np.full((1, 1), 1e25)])
    found = health.locate_nonfinite(model, np.full((50, 2), 1e18), np.zeros((50, 1)))
    assert found is not None and found.samples == tuple(range(32))
    assert "from samples 0, 1, 2, 3, 4, 5, 6, 7 and 24 more" in str(found)


def test_in_what_the_optimizer_keeps() -> None:
    model = linear(3, 1, optimizer=optimizers.SGD(momentum=0.9))
    x, y = np.ones((4, 2), np.float32), np.zeros((4, 1))
    model.train_on_batch(x, y)
    state = model._training_state()
    state["b/kernel/momentum"][0] = np.nan
    model._restore_training_state(state)
    found = health.locate_nonfinite(model, x, y)
    assert found == Located("b", "momentum of kernel", 1, (), 1, 0, 3)


def test_moving_statistics_come_last() -> None:
    model = net()
    variable = next(v for v in model.weights if v.name == "moving_mean")
    variable.assign(np.full(variable.shape, np.inf))
    found = health.locate_nonfinite(model, *blobs(16))
    assert found is not None and (found.layer, found.tensor) == ("norm", "moving_mean")
    # frozen, it is read
    model.get_layer("norm").trainable = False
    model.compile("adam", "sparse_categorical_crossentropy")
    model.get_layer("last").kernel.assign(np.full((20, 4), np.nan))
    found = health.locate_nonfinite(model, *blobs(16))
    assert found is not None and (found.layer, found.tensor) == ("norm", "moving_mean")


@pytest.mark.parametrize("bad", [None, HUGE, np.nan])
def test_nothing_changes(bad: float | None) -> None:
    x, y = blobs(32)
    model = net()
    if bad is not None:
        x[3] = bad
    name = layers.Dense(1).name
    before, random = bits(model), utils.random_state()
    health.locate_nonfinite(model, x, y)
    assert bits(model) == before and utils.random_state() == random
    number = int(name.removeprefix("dense").removeprefix("_") or 0)
    assert layers.Dense(1).name == f"dense_{number + 1}"


def test_several_inputs_and_outputs() -> None:
    x, y = blobs(8)
    a, b = layers.Input((9,), name="a"), layers.Input((2,), name="b")
    h = layers.Dense(6, name="h")(layers.Concatenate(name="both")([a, b]))
    outputs = [layers.Dense(4, activation="softmax", name="p")(h), layers.Dense(1, name="q")(h)]
    model = set_seeded_weights(fnn.Model([a, b], outputs))
    both = {"p": "sparse_categorical_crossentropy", "q": "mse"}
    model.compile("adam", both, metrics={"q": ["r2_score"]})
    second = x[:, :2].copy()
    given = dict(x={"a": x, "b": second}, y={"p": y, "q": second[:, 0]})
    assert health.locate_nonfinite(model, **given) is None
    second[6] = 1e25
    found = health.locate_nonfinite(model, **given)
    assert found is not None and (found.tensor, found.samples) == ("loss", (6,))
    second[6] = np.nan
    found = health.locate_nonfinite(model, **given, sample_weight=np.ones(8))
    assert found == Located("b", "input", 0, (6,), 2, 0, 16)


def test_errors() -> None:
    model, (x, y) = net(), blobs(8)
    with pytest.raises(ValueError, match=r"x must have shape \(N, 9\), got \(8, 3\)"):
        health.locate_nonfinite(model, x[:, :3], y)
    with pytest.raises(ValueError, match="same number of rows"):
        health.locate_nonfinite(model, x, y[:-1])
    with pytest.raises(ValueError, match="not compiled"):
        health.locate_nonfinite(mlp([9, 4]), x, y)


def broken_fit(model: Any, x: Any, y: Any = None, **options: Any) -> fnn.NonFiniteGradientError:
    with pytest.raises(fnn.NonFiniteGradientError) as found:
        model.fit(x, y, batch_size=None if y is None else 16, verbose=0, **options)
    return found.value


def data(bad: tuple[int, ...] = (17, 55)) -> tuple[Any, Any]:
    x, y = blobs(100)
    x[list(bad)] = HUGE
    return x, y


def test_the_error_knows_its_samples() -> None:
    utils.set_random_seed(2)
    x, y = data()
    error = broken_fit(net(), x, y)
    assert len(error.samples) == 16 and {17, 55} & set(error.samples)
    utils.set_random_seed(2)
    model, order = net(), np.arange(100)
    utils.generator("shuffle").shuffle(order)
    assert error.samples == tuple(order[16 * error.batch :][:16])
    again = pickle.loads(pickle.dumps(error))
    assert (again.samples, str(again)) == (error.samples, str(error))
    with pytest.raises(fnn.NonFiniteGradientError) as found:
        model.train_on_batch(x[50:60], y[50:60])
    assert found.value.samples == tuple(range(10))


def test_the_batch_is_counted_over_passes_and_batches_of_an_iterable() -> None:
    x, y = data((3,))
    parts = [(x[i : i + 10], y[i : i + 10]) for i in (10, 20, 0, 30)]
    error = broken_fit(net(), iter(parts))
    assert (error.batch, error.step, error.samples) == (2, 2, tuple(range(10)))
    x, y = blobs(32)
    model = net(optimizers.SGD(1e30))
    error = broken_fit(model, x, y, steps_per_epoch=9)
    assert error.batch == error.step > 0


@pytest.mark.parametrize("sparse", [False, True])
def test_replay(tmp_path: Path, sparse: bool) -> None:
    utils.set_random_seed(4)
    x, y = data()
    if sparse:
        x[np.abs(x) < 0.9] = 0
    model = net()
    given = scipy.sparse.csr_matrix(x) if sparse else x
    if sparse:
        model = linear_sparse()
    error = broken_fit(model, given, y)
    before, path = bits(model), tmp_path / "step.safetensors"
    health.save_replay(path, model, error)
    assert bits(model) == before
    located = health.replay(path)
    rows = list(error.samples)
    here = health.locate_nonfinite(model, x[rows], y[rows])
    assert located is not None and here is not None
    assert located.samples == tuple(rows[row] for row in here.samples)
    assert set(located.samples) <= {17, 55} and located.samples
    assert (located.layer, located.tensor, located.step) == ("first", "pre-activation", error.step)
    step = health.load_replay(path)
    np.testing.assert_array_equal(step.x, x[rows])
    np.testing.assert_array_equal(step.y, y[rows])
    assert step.sample_weight is None and step.samples.tolist() == rows
    assert bits(step.model) == before
    with pytest.raises(fnn.NonFiniteGradientError) as found:
        step.model.train_on_batch(step.x, step.y)
    assert (found.value.weight, found.value.step) == (error.weight, error.step)


def linear_sparse() -> Any:
    model = fnn.Sequential(
        [
            layers.Input((9,)),
            layers.Dense(20, activation="relu", name="first"),
            layers.Dense(4, activation="softmax", name="last"),
        ]
    )
    set_seeded_weights(model)
    model.compile("adam", "sparse_categorical_crossentropy")
    return model


def test_replay_after_nonzeros_were_collected(tmp_path: Path) -> None:
    """fit reads only the nonzeros of such data; the file has the numbers as they came."""
    random = np.random.default_rng(0)
    x = (random.integers(0, 256, (200, 30)) * (random.random((200, 30)) < 0.1)).astype(np.uint8)
    y = random.integers(0, 4, 200)
    model = fnn.Sequential(
        [layers.Input((30,)), layers.Rescaling(1 / 255), layers.Dense(4, activation="softmax")]
    )
    model.compile(optimizers.SGD(HUGE), "sparse_categorical_crossentropy")
    error = broken_fit(model, x, y, class_weight={0: 2.0, 1: 1.0, 2: 1.0, 3: 1.0})
    health.save_replay(tmp_path / "r.safetensors", model, error)
    step = health.load_replay(tmp_path / "r.safetensors")
    rows = list(error.samples)
    assert step.x.dtype == np.uint8
    np.testing.assert_array_equal(step.x, x[rows])
    np.testing.assert_array_equal(step.sample_weight, np.where(y[rows] == 0, 2.0, 1.0))
    located = health.replay(tmp_path / "r.safetensors")
    assert located is not None and located.step == error.step


def test_replay_of_a_batch_of_ones_own(tmp_path: Path) -> None:
    x, y = blobs(12)
    model = net()
    health.save_replay(tmp_path / "r.safetensors", model, x=x, y=y, sample_weight=np.arange(12.0))
    assert health.replay(tmp_path / "r.safetensors") is None
    step = health.load_replay(tmp_path / "r.safetensors")
    np.testing.assert_array_equal(step.sample_weight, np.arange(12.0))
    assert step.samples.tolist() == list(range(12))
    # the next step is the same to the last bit, masks included
    model.train_on_batch(x, y, np.arange(12.0))
    step.model.train_on_batch(step.x, step.y, step.sample_weight)
    assert bits(step.model) == bits(model)


def test_replay_of_several_inputs_and_outputs(tmp_path: Path) -> None:
    x, y = blobs(10)
    a, b = layers.Input((3, 3), name="a"), layers.Input((2,), name="b")
    h = layers.Concatenate()([layers.Flatten()(a), b])
    outputs = [layers.Dense(4, "softmax", name="p")(h), layers.Dense(1, name="q")(h)]
    model = fnn.Model([a, b], outputs)
    model.compile("adam", {"p": "sparse_categorical_crossentropy"}, metrics={"q": ["mae"]})
    given = dict(x=[x.reshape(10, 3, 3), x[:, :2]], y={"p": y, "q": x[:, :1]})
    health.save_replay(tmp_path / "r.safetensors", model, **given, sample_weight={"p": np.ones(10)})
    step = health.load_replay(tmp_path / "r.safetensors")
    for found, wanted in zip(step.x, given["x"], strict=True):
        np.testing.assert_array_equal(found, wanted)
    assert set(step.y) == {"p", "q"} and set(step.sample_weight) >= {"p"}
    assert health.replay(tmp_path / "r.safetensors") is None


def test_replay_of_functions_in_python_needs_the_model(tmp_path: Path) -> None:
    def absolute(y_true: Any, y_pred: Any) -> Any:
        return np.abs(y_pred - y_true).mean(axis=1), np.sign(y_pred - y_true) / len(y_pred)

    def build(units: int = 20) -> Any:
        model = mlp([9, units, 1], output=None)
        model.compile(optimizers.Adam(), absolute)
        return model

    x, _ = data()
    y = np.zeros((100, 1), np.float32)
    model = build()
    model.fit(x[:16], y[:16], verbose=0)
    error = broken_fit(model, x, y)
    path = tmp_path / "r.safetensors"
    health.save_replay(path, model, error)
    with pytest.raises(ValueError, match="it holds no model, because loss 'absolute' is a Python"):
        health.replay(path)
    other = build()
    before = bits(other)
    located = health.replay(path, model=other)
    assert located is not None and located.samples and set(located.samples) <= {17, 55}
    assert located.step == error.step > 0
    assert bits(other) == before
    assert bits(health.load_replay(path, model=other).model) == bits(model)
    with pytest.raises(ValueError, match="the model has weights of shapes"):
        health.replay(path, model=build(21))


def test_what_save_replay_refuses(tmp_path: Path) -> None:
    x, y = data()
    model, path = net(), tmp_path / "r.safetensors"
    error = broken_fit(model, x, y)
    for arguments in ({}, {"error": error, "x": x, "y": y}):
        with pytest.raises(ValueError, match="takes the error that fit raised, or a batch"):
            health.save_replay(path, model, **arguments)
    with pytest.raises(TypeError, match="error must be a NonFiniteGradientError, got KeyError"):
        health.save_replay(path, model, KeyError())  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="the error has no batch, since fit didn't raise it"):
        health.save_replay(path, model, fnn.NonFiniteGradientError("first/kernel", 0, 0))
    with pytest.raises(ValueError, match="x must be finite"):
        health.save_replay(path, model, x=np.full((2, 9), np.nan), y=y[:2])
    with pytest.raises(ValueError, match="not compiled"):
        health.save_replay(path, mlp([9, 4]), x=x, y=y)
    model.train_on_batch(*blobs())
    with pytest.raises(ValueError, match=r"the model has done \d+ steps: it was trained since"):
        health.save_replay(path, model, error)
    assert not list(tmp_path.iterdir())


def test_files_that_are_no_replay(tmp_path: Path) -> None:
    model, (x, y) = net(), blobs(8)
    model.save(tmp_path / "model.safetensors")
    with pytest.raises(ValueError, match=r"model.safetensors: it holds no replay"):
        health.replay(tmp_path / "model.safetensors")
    with pytest.raises(FileNotFoundError):
        health.replay(tmp_path / "none.safetensors")
    health.save_replay(tmp_path / "r.safetensors", model, x=x, y=y)
    content = container.read(tmp_path / "r.safetensors")
    state = content.training_state

    def refused(change: dict[str, Any], message: str) -> None:
        kept = {name: value for name, value in {**state, **change}.items() if value is not None}
        container.write(
            tmp_path / "bad.safetensors",
            container.Container(content.weights, kept, content.configs),
        )
        with pytest.raises(ValueError, match=message):
            health.load_replay(tmp_path / "bad.safetensors")

    refused({"/x/0": None}, "it lacks the batch's 'x/0'")
    refused({"/y/0": None}, "it lacks the batch's 'y/0'")
    refused({"/samples": None}, "it lacks the batch's 'samples'")
    refused({"/samples": np.arange(3)}, "its samples must be 8 int64, got int64 \\(3,\\)")
    refused({"/x/0": x[:, :4]}, r"x must have shape \(N, 9\)")
    refused({"/y/0": y + 9}, "y ")
    refused({"iterations": np.array(-1)}, "not a count")
    blob = (tmp_path / "r.safetensors").read_bytes()
    (tmp_path / "cut.safetensors").write_bytes(blob[: len(blob) // 2])
    with pytest.raises(ValueError, match="damaged"):
        health.replay(tmp_path / "cut.safetensors")


def test_gradient_norms_with_metrics_of_all_rows() -> None:
    """Their program writes its predictions somewhere."""
    x, y = blobs(20, n_classes=2)
    norms = []
    for metrics in ([], ["auc", "accuracy"]):
        model = mlp([9, 8, 1], output="sigmoid")
        model.compile("adam", "binary_crossentropy", metrics=metrics)
        norms.append(fnn.gradient_norms(model, x, y))
    assert list(norms[0].values()) == list(norms[1].values())

"""Augmentation layers in models: Keras's results of the same numbers, training, inference."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from nets import assert_same_bits, set_seeded_weights
from picture_twins import cropped, drawn, flipped
from reference.augmentation_cases import CASES, SEED, pictures

import fastnn as fnn
from fastnn import callbacks, datasets, layers, optimizers

Array = np.ndarray[Any, np.dtype[Any]]

RECORDED = Path(__file__).parent / "reference" / "augmentation.npz"


@pytest.fixture(autouse=True)
def keep_threads() -> Iterator[None]:
    n = fnn.get_num_threads()
    yield
    fnn.set_num_threads(n)


class Spy(layers.NumPyLayer):
    """Keeps copies of what comes by."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[Array] = []

    def forward(self, x: Array, /) -> Array:  # type: ignore[override]
        self.seen.append(x.copy())
        return x

    def backward(self, x: Array, y: Array, dy: Array, /) -> Array:  # type: ignore[override]
        return dy


def augmented(
    given: Sequence[Any], x: Array, input_shape: tuple[int, ...] | None = None, steps: int = 1
) -> list[Array]:
    """What the layers make of ``x`` in each of the first steps of a training."""
    spy = Spy()
    model = fnn.Sequential(
        [layers.Input(input_shape or x.shape[1:]), *given, spy, layers.Flatten(), layers.Dense(1)]
    )
    model.compile(optimizers.SGD(0.0), "mean_squared_error")
    model.fit(x, np.zeros((len(x), 1)), batch_size=len(x), epochs=steps, shuffle=False, verbose=0)
    return spy.seen


def every_kind() -> list[Any]:
    return [
        layers.RandomFlip(seed=1),
        layers.Rescaling(1 / 128, -1),
        layers.RandomTranslation(0.2, 0.1, seed=2),
        layers.RandomRotation(0.1, "constant", "nearest", seed=2, fill_value=0.5),
        layers.RandomZoom(0.2, fill_mode="wrap", seed=2),
        layers.RandomBrightness(0.1, (-1, 1), seed=3),
        layers.RandomContrast(0.5, (-1, 1), seed=3),
        layers.RandomCrop(8, 7, seed=1),
        layers.Rescaling(2.0),
    ]


def classifier(*given: Any, shape: tuple[int, ...] = (9, 8, 3)) -> Any:
    model = fnn.Sequential(
        [
            layers.Input(shape), *given, layers.Conv2D(5, 3, activation="relu"),
            layers.MaxPooling2D(2), layers.Flatten(), layers.Dense(4, activation="softmax"),
        ]
    )  # fmt: skip
    set_seeded_weights(model)
    model.compile(optimizers.Adam(0.01), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def examples(n: int = 70, shape: tuple[int, ...] = (9, 8, 3)) -> tuple[Array, Array]:
    random = np.random.default_rng(0)
    return random.integers(0, 256, (n, *shape)).astype(np.uint8), random.integers(0, 4, n)


def program_of(model: Any, train: bool) -> list[str]:
    updates = model._updates() if train else None
    with model._executables.lend(32, model._objectives(), updates, {}) as executable:
        return str(executable.program).splitlines()[1:]


def ops(model: Any, train: bool) -> list[str]:
    return [line[5:].split()[0] for line in program_of(model, train)]


# --- the same as Keras --------------------------------------------------------------------------


@pytest.mark.parametrize("name", CASES)
def test_follows_keras(name: str) -> None:
    """Keras's places are float32: off by at most 2**-19, and a step from pixel to pixel is at most
    255, along two axes."""
    kind, settings = CASES[name]
    [found] = augmented([getattr(layers, kind)(**settings, seed=SEED)], pictures())
    with np.load(RECORDED) as recorded:
        np.testing.assert_allclose(found, recorded[name], rtol=0, atol=2 * 255 * 2.0**-19)
    assert not np.allclose(found, pictures())


# --- what is drawn ------------------------------------------------------------------------------


def test_flips_and_crops_are_those_of_their_numbers() -> None:
    """A layer's numbers are a stream of their own; each step has others, and the batch's rows."""
    x, _ = examples(20)
    seen = augmented([layers.RandomFlip(seed=5), layers.RandomCrop(6, 5, seed=5)], x, steps=3)
    for step, found in enumerate(seen):
        flips, windows = drawn(5, 0, step, 20), drawn(5, 1, step, 20)
        expected = [
            cropped(flipped(picture, "horizontal_and_vertical", flips[row]), 6, 5, windows[row])
            for row, picture in enumerate(x)
        ]
        np.testing.assert_array_equal(found, np.stack(expected))
    assert not np.array_equal(seen[0], seen[1])


def test_layers_with_one_seed_draw_different_numbers() -> None:
    x = np.zeros((50, 1, 1, 1), np.float32)
    settings = {"value_range": (-10, 10), "seed": 5}
    [once] = augmented([layers.RandomBrightness(0.1, **settings)], x)
    [twice] = augmented([layers.RandomBrightness(0.1, **settings) for _ in range(2)], x)
    assert np.unique(once).size == 50
    assert not np.allclose(twice, 2 * once)


def test_seeds_are_drawn_from_the_global_one() -> None:
    fnn.utils.set_random_seed(5)
    first = layers.RandomFlip().seed, layers.RandomCrop(1, 1).seed
    fnn.utils.set_random_seed(5)
    assert (layers.RandomFlip().seed, layers.RandomCrop(1, 1).seed) == first


# --- data of every kind -------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["uint8", "int32", "int64", "float32", "float64"])
def test_every_dtype_gives_the_same_pictures(dtype: str) -> None:
    x, _ = examples(20)
    [expected] = augmented(every_kind(), x.astype(np.float32))
    [found] = augmented(every_kind(), np.asfortranarray(x.astype(dtype)))
    assert_same_bits([found], [expected])


def test_gray_pictures_come_with_or_without_their_last_axis() -> None:
    x, _ = examples(20, (9, 8, 1))
    [expected] = augmented(every_kind(), x)
    reshaped = [layers.Reshape((9, 8, 1)), *every_kind()]
    for given, data, shape in ((every_kind(), x[..., 0], (9, 8, 1)), (reshaped, x[..., 0], (9, 8))):
        [found] = augmented(given, data, shape)
        assert_same_bits([found], [expected])


@pytest.mark.parametrize("channels", [1, 3, 16, 20])
def test_pictures_that_lie_in_blocks(channels: int) -> None:
    """What another layer made, or reads besides, is brought into order for the ops, and back."""
    x = np.random.default_rng(0).uniform(0, 255, (20, 6, 7, channels)).astype(np.float32)
    chain = [layers.RandomFlip(seed=1), layers.RandomRotation(0.2, seed=2)]
    [expected] = augmented(chain, x)
    [found] = augmented([layers.Activation("linear"), layers.ReLU(), *chain, layers.ReLU()], x)
    assert_same_bits([found], [expected])
    inputs, spy = layers.Input(x.shape[1:]), Spy()
    changed = _follow(chain, inputs)
    both = spy(layers.Concatenate()([layers.Flatten()(inputs), layers.Flatten()(changed)]))
    model = fnn.Model(inputs, layers.Dense(1)(both))
    model.compile(optimizers.SGD(0.0), "mean_squared_error")
    model.fit(x, np.zeros((20, 1)), batch_size=20, shuffle=False, verbose=0)
    first, second = np.split(spy.seen[0], 2, axis=1)
    assert_same_bits([first, second], [x.reshape(20, -1), expected.reshape(20, -1)])


def test_what_several_read_is_moved_by_itself() -> None:
    x, _ = examples(20)
    flip, crop = layers.RandomFlip(seed=1), layers.RandomCrop(5, 4, seed=2)
    inputs, spy = layers.Input(x.shape[1:]), Spy()
    first = flip(inputs)
    second = crop(first)
    both = spy(layers.Concatenate()([layers.Flatten()(first), layers.Flatten()(second)]))
    model = fnn.Model(inputs, layers.Dense(1)(both))
    model.compile(optimizers.SGD(0.0), "mean_squared_error")
    model.fit(x, np.zeros((20, 1)), batch_size=20, shuffle=False, verbose=0)
    whole, part = np.split(spy.seen[0], [9 * 8 * 3], axis=1)
    again = [type(layer).from_config(layer.get_config()) for layer in (flip, crop)]
    [flips], [windows] = augmented(again[:1], x), augmented(again, x)
    assert_same_bits([whole, part], [flips.reshape(20, -1), windows.reshape(20, -1)])


def _follow(chain: Sequence[Any], x: Any) -> Any:
    for layer in chain:
        x = type(layer).from_config({**layer.get_config(), "name": None})(x)
    return x


def test_rescaling_before_and_after() -> None:
    x, _ = examples(20)
    flips = [layers.RandomFlip(seed=1), layers.RandomCrop(5, 5, seed=2)]
    [plain] = augmented(flips, x)
    scale = layers.Rescaling(0.25, -7)
    scaled = plain * np.float32(0.25) - np.float32(7)
    for given in ([scale, *flips], [flips[0], scale, flips[1]], [*flips, scale]):
        [found] = augmented(given, x)
        assert_same_bits([found], [scaled])
    warp = layers.RandomZoom(0.5, seed=1)
    [plain], [found] = augmented([warp], x), augmented([warp, scale], x)
    assert_same_bits([found], [plain * np.float32(0.25) - np.float32(7)])


# --- programs -----------------------------------------------------------------------------------


def test_nobody_waits_between_the_data_set_and_the_convolution() -> None:
    program = program_of(classifier(*every_kind()), train=True)
    first = next(i for i, line in enumerate(program) if "conv_forward" in line)
    assert not any(line.startswith("wait") for line in program[: first + 1])
    names = [line[5:].split()[0] for line in program[: first + 1]]
    assert names == [
        "gather_pixels", "warp", "warp", "warp", "tint", "tint", "move_pixels", "conv_forward",
    ]  # fmt: skip


def test_flips_and_crops_are_gathered() -> None:
    flips = [layers.RandomFlip(seed=1), layers.Rescaling(2.0), layers.RandomCrop(5, 5, seed=2)]
    assert ops(classifier(*flips), train=True)[:2] == ["gather_pixels", "conv_forward"]
    later = [layers.RandomZoom(0.1), *flips, layers.RandomFlip()]
    assert ops(classifier(*later), train=True)[:4] == [
        "gather_pixels", "warp", "move_pixels", "conv_forward",
    ]  # fmt: skip


# --- inference ----------------------------------------------------------------------------------


def test_nothing_is_random_in_inference() -> None:
    x, y = examples()
    plain = classifier(layers.Rescaling(1 / 128, -1), layers.Rescaling(2.0))
    given = [layer for layer in every_kind() if not isinstance(layer, layers.RandomCrop)]
    noisy = classifier(*given)
    assert_same_bits([noisy.predict(x, verbose=0)], [plain.predict(x, verbose=0)])
    assert noisy.evaluate(x, y, verbose=0) == plain.evaluate(x, y, verbose=0)
    assert ops(noisy, train=False) == ops(plain, train=False)


@pytest.mark.parametrize("middle", [True, False])
def test_windows_are_in_the_middle_in_inference(middle: bool) -> None:
    """A pixel nearer to the beginning, where it can't be the very middle."""
    x, y = examples()
    crops = [layers.RandomFlip(), layers.RandomCrop(7, 7), layers.RandomCrop(5, 6)]
    before = [] if middle else [layers.ReLU()]
    model, plain = classifier(*before, *crops), classifier(shape=(5, 6, 3))
    plain.set_weights(model.get_weights())
    windows = x[:, 2:7, 0:6]
    assert_same_bits([model.predict(x, verbose=0)], [plain.predict(windows, verbose=0)])
    assert model.evaluate(x, y, verbose=0) == plain.evaluate(windows, y, verbose=0)


# --- training -----------------------------------------------------------------------------------


def test_same_bits_for_any_number_of_threads() -> None:
    x, y = examples()

    def weights(threads: int) -> list[Array]:
        fnn.set_num_threads(threads)
        model = classifier(*every_kind(), layers.Dropout(0.1, seed=1))
        model.fit(x, y, batch_size=16, epochs=2, shuffle=False, verbose=0)
        return model.get_weights()

    for threads in (2, 3):
        assert_same_bits(weights(threads), weights(1))


def test_saved_and_loaded_models_go_on_alike(tmp_path: Path) -> None:
    x, y = examples()
    straight, first = classifier(*every_kind()), classifier(*every_kind())
    straight.fit(x, y, batch_size=16, epochs=3, shuffle=False, verbose=0)
    first.fit(x, y, batch_size=16, epochs=1, shuffle=False, verbose=0)
    first.save(tmp_path / "model.safetensors")
    second = fnn.load_model(tmp_path / "model.safetensors")
    second.fit(x, y, batch_size=16, epochs=2, shuffle=False, verbose=0)
    assert_same_bits(second.get_weights(), straight.get_weights())


def test_interrupted_and_resumed_training_has_the_same_bits(tmp_path: Path) -> None:
    x, y = examples()

    class Interrupted(Exception):
        pass

    class Stop(callbacks.Callback):
        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            if self.model.optimizer.iterations == 7:
                raise Interrupted

    def fit(model: Any, *others: Any) -> list[Array]:
        backup = callbacks.BackupAndRestore(tmp_path / "backup")
        fnn.utils.set_random_seed(3)
        model.fit(x, y, batch_size=16, epochs=3, callbacks=[backup, *others], verbose=0)
        return model.get_weights()

    straight = fit(classifier(*every_kind()))
    with pytest.raises(Interrupted):
        fit(classifier(*every_kind()), Stop())
    assert_same_bits(fit(classifier(*every_kind())), straight)


def test_weights_before_an_augmentation_are_refused() -> None:
    data, y = examples(shape=(11, 10, 3))
    for layer in (layers.RandomFlip(name="flip"), layers.RandomZoom(0.1, name="flip"),
                  layers.RandomContrast(0.1, name="flip")):  # fmt: skip
        model = classifier(layers.Conv2D(3, 3, name="conv"), layer, shape=(11, 10, 3))
        before = model.get_weights()
        with pytest.raises(ValueError, match=r"layer 'flip'.*weights that train before it"):
            model.fit(data, y, verbose=0)
        assert_same_bits(model.get_weights(), before)
        model.predict(data, verbose=0)
        model.get_layer("conv").trainable = False
        model.compile("sgd", "sparse_categorical_crossentropy")
        model.fit(data, y, verbose=0)


def test_statistics_and_diagnosis_see_through_it() -> None:
    x, y = examples()
    model = classifier(*every_kind())
    watch = callbacks.GradientHealth(every=2)
    history = model.fit(x, y, batch_size=16, callbacks=[watch], verbose=0).history
    watched = {key.partition("/")[0] for key in history if "/" in key}
    assert watched == {
        layer.name for layer in model.layers if layer.weights or "pool" in layer.name
    }
    report = fnn.health.diagnose(model, x, y, steps=20, remedies=False)
    assert report.verdict


def test_mnist_with_augmentation_learns() -> None:
    (x, y), (xt, yt) = datasets.mnist.load_data()
    fnn.utils.set_random_seed(1)
    model = fnn.Sequential(
        [
            layers.Input((28, 28, 1)),
            layers.RandomTranslation(0.08, 0.08, "constant"),
            layers.RandomRotation(0.03, "constant"),
            layers.RandomZoom(0.1, fill_mode="constant"),
            layers.Rescaling(1 / 255),
            layers.RandomContrast(0.2, (0, 1)),
            layers.Conv2D(8, 5, 2, activation="relu"),
            layers.Flatten(),
            layers.Dense(32, activation="relu"),
            layers.Dense(10, activation="softmax"),
        ]
    )
    model.compile(optimizers.Adam(3e-3), "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(x[:12_000], y[:12_000], batch_size=64, epochs=2, verbose=0)
    _, accuracy = model.evaluate(xt, yt, verbose=0)
    assert accuracy > 0.93

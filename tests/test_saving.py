"""Saved models: everything comes back, training goes on, broken and hostile files are refused."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

import fastnn as fnn
from fastnn import initializers, layers, losses, metrics, optimizers, utils
from fastnn.models import container

X = np.random.default_rng(0).standard_normal((40, 6)).astype(np.float32)
LABELS = np.arange(40) % 3


@pytest.fixture(autouse=True)
def fresh_names() -> Iterator[None]:
    utils.clear_session()
    utils.set_random_seed(0)
    yield


def classifier() -> fnn.Sequential:
    return fnn.Sequential(
        [
            layers.Input((6,), name="x"),
            layers.Rescaling(0.5, 0.1),
            layers.Dense(5, activation="leaky_relu", kernel_initializer="he_normal", name="hidden"),
            layers.Dense(3, activation="softmax", name="head"),
        ],
        name="classifier",
    )


def compiled(**arguments: Any) -> fnn.Sequential:
    model = classifier()
    chosen = {"optimizer": "adam", "loss": "sparse_categorical_crossentropy", **arguments}
    model.compile(**chosen)
    return model


def two_by_two() -> fnn.Model:
    a, b = layers.Input((6,), name="a"), layers.Input((2,), name="b")
    shared = layers.Dense(4, activation="tanh", name="shared")
    both = layers.Concatenate()([shared(a), shared(layers.ReLU(1.0)(a)), b])
    kind = layers.Dense(3, activation="softmax", name="kind")(both)
    return fnn.Model([a, b], [kind, layers.Dense(1, name="size")(both)], name="two")


def assert_same_weights(a: fnn.Model, b: fnn.Model) -> None:
    assert [v.path for v in a.weights] == [v.path for v in b.weights]
    for first, second in zip(a.get_weights(), b.get_weights(), strict=True):
        np.testing.assert_array_equal(first, second)


# --- what comes back ----------------------------------------------------------------------------


@pytest.mark.parametrize("make", [classifier, two_by_two])
def test_architecture_and_weights_come_back(make: Callable[[], fnn.Model], tmp_path: Path) -> None:
    model = make()
    model.save(tmp_path / "m.safetensors")
    again = fnn.load_model(tmp_path / "m.safetensors")
    assert type(again) is type(model)
    assert again.get_config() == model.get_config()
    assert again.name == model.name
    assert not again.compiled
    assert_same_weights(model, again)


def test_predictions_are_the_same(tmp_path: Path) -> None:
    model = two_by_two()
    model.save(tmp_path / "m.safetensors")
    again = fnn.load_model(tmp_path / "m.safetensors")
    for first, second in zip(
        model.predict([X, X[:, :2]], verbose=0),
        again.predict([X, X[:, :2]], verbose=0),
        strict=True,
    ):
        np.testing.assert_array_equal(first, second)


def test_the_file_is_plain_safetensors_in_keras_order(tmp_path: Path) -> None:
    model = classifier()
    model.save(tmp_path / "m.safetensors")
    tensors = load_file(tmp_path / "m.safetensors")
    names = ["hidden/kernel", "hidden/bias", "head/kernel", "head/bias"]
    assert set(tensors) == {f"weights/{name}" for name in names}
    np.testing.assert_array_equal(tensors["weights/hidden/kernel"], model.get_weights()[0])
    with safe_open(tmp_path / "m.safetensors", "numpy") as file:
        metadata = file.metadata()
    assert json.loads(metadata["weights"]) == names
    assert json.loads(metadata["model"])["class_name"] == "Sequential"


def test_a_model_without_weights(tmp_path: Path) -> None:
    fnn.Sequential([layers.Input((2, 3)), layers.Flatten()]).save(tmp_path / "m.safetensors")
    assert fnn.load_model(tmp_path / "m.safetensors").output_shape == (None, 6)


def test_a_model_built_late_comes_back_built(tmp_path: Path) -> None:
    model = fnn.Sequential([layers.Dense(3)])
    with pytest.raises(ValueError, match="'sequential' is not built"):
        model.save(tmp_path / "m.safetensors")
    assert os.listdir(tmp_path) == []
    model.build((None, 4))
    model.save(tmp_path / "m.safetensors")
    assert_same_weights(fnn.load_model(tmp_path / "m.safetensors"), model)


def test_frozen_layers_come_back_frozen(tmp_path: Path) -> None:
    model = classifier()
    model.get_layer("hidden").trainable = False
    model.save(tmp_path / "m.safetensors")
    again = fnn.load_model(tmp_path / "m.safetensors")
    assert [v.path for v in again.trainable_weights] == ["head/kernel", "head/bias"]
    assert not again.weights[0].trainable


def test_loading_draws_no_random_numbers(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    classifier().save(path)
    utils.set_random_seed(1)
    fnn.load_model(path)
    after = utils.generator("shuffle").random()
    utils.set_random_seed(1)
    assert utils.generator("shuffle").random() == after


def test_non_finite_weights_come_back(tmp_path: Path) -> None:
    model = classifier()
    model.layers[1].set_weights([np.full((6, 5), np.nan), np.full(5, -np.inf)])
    model.save(tmp_path / "m.safetensors")
    assert_same_weights(fnn.load_model(tmp_path / "m.safetensors"), model)


# --- training goes on ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "optimizer",
    [
        optimizers.SGD(0.05),
        optimizers.SGD(0.05, momentum=0.9, nesterov=True),
        optimizers.Adam(0.01, amsgrad=True),
        optimizers.AdamW(0.01, weight_decay=0.1),
        optimizers.RMSprop(0.01, momentum=0.5, centered=True),
        optimizers.Adam(optimizers.schedules.ExponentialDecay(0.1, 3, 0.5)),
        optimizers.Adagrad(0.1),
        optimizers.Nadam(0.01),
        optimizers.Lion(0.001),
        optimizers.Muon(0.01),
    ],
    ids=[
        "sgd",
        "nesterov",
        "amsgrad",
        "adamw",
        "rmsprop",
        "schedule",
        "adagrad",
        "nadam",
        "lion",
        "muon",
    ],
)
def test_training_goes_on_with_the_same_bits(optimizer: Any, tmp_path: Path) -> None:
    model = compiled(optimizer=optimizer, metrics=["accuracy"])
    for _ in range(5):
        model.train_on_batch(X, LABELS)
    model.save(tmp_path / "m.safetensors")
    again = fnn.load_model(tmp_path / "m.safetensors")
    assert again.compiled
    assert again.optimizer is not model.optimizer
    assert again.optimizer.iterations == 5
    assert again.optimizer.get_config() == model.optimizer.get_config()
    for _ in range(5):
        model.train_on_batch(X, LABELS)
        again.train_on_batch(X, LABELS)
    assert_same_weights(model, again)


def test_the_learning_rate_of_the_moment_is_saved(tmp_path: Path) -> None:
    model = compiled(optimizer=optimizers.Adam(0.1))
    model.optimizer.learning_rate = 0.025
    model.save(tmp_path / "m.safetensors")
    assert fnn.load_model(tmp_path / "m.safetensors").optimizer.learning_rate == 0.025


@pytest.mark.parametrize(
    ("loss", "loss_weights", "chosen"),
    [
        (["sparse_categorical_crossentropy", "mse"], None, None),
        (["sparse_categorical_crossentropy", losses.Huber(0.5)], [1.0, 0.5], [["accuracy"], []]),
        (
            {"kind": losses.SparseCategoricalCrossentropy(), "size": "mae"},
            {"size": 0.25},
            {"kind": [metrics.SparseTopKCategoricalAccuracy(2)]},
        ),
    ],
    ids=["list", "weights", "dict"],
)
def test_losses_and_metrics_of_several_outputs_come_back(
    loss: Any, loss_weights: Any, chosen: Any, tmp_path: Path
) -> None:
    model = two_by_two()
    model.compile("sgd", loss, loss_weights, chosen)
    model.save(tmp_path / "m.safetensors")
    again = fnn.load_model(tmp_path / "m.safetensors")
    data = [X, X[:, :2]], [LABELS, X[:, :1]]
    assert again.evaluate(*data, verbose=0, return_dict=True) == model.evaluate(
        *data, verbose=0, return_dict=True
    )


def test_compile_false_leaves_it_uncompiled(tmp_path: Path) -> None:
    compiled().save(tmp_path / "m.safetensors")
    assert not fnn.load_model(tmp_path / "m.safetensors", compile=False).compiled


# --- weights alone ------------------------------------------------------------------------------


def test_weights_are_loaded_in_their_order(tmp_path: Path) -> None:
    def unnamed() -> fnn.Sequential:
        return fnn.Sequential([layers.Input((6,)), layers.Dense(5), layers.Dense(3)])

    first, second = unnamed(), unnamed()
    first.save_weights(tmp_path / "w.safetensors")
    second.load_weights(tmp_path / "w.safetensors")
    assert first.weights[0].path != second.weights[0].path
    for a, b in zip(first.get_weights(), second.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_load_weights_takes_a_saved_model(tmp_path: Path) -> None:
    model, other = compiled(), classifier()
    model.train_on_batch(X, LABELS)
    model.save(tmp_path / "m.safetensors")
    other.load_weights(tmp_path / "m.safetensors")
    assert_same_weights(model, other)
    assert not other.compiled


def test_weights_that_do_not_fit_change_nothing(tmp_path: Path) -> None:
    fnn.Sequential([layers.Input((6,)), layers.Dense(5), layers.Dense(4)]).save_weights(
        tmp_path / "w.safetensors"
    )
    model = classifier()
    before = model.get_weights()
    with pytest.raises(ValueError, match=r"w.safetensors.*'head/kernel'.*\(5, 3\).*\(5, 4\)"):
        model.load_weights(tmp_path / "w.safetensors")
    for a, b in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(a, b)
    with pytest.raises(ValueError, match="not built"):
        fnn.Sequential([layers.Dense(3)]).load_weights(tmp_path / "w.safetensors")


def test_weights_alone_are_not_a_model(tmp_path: Path) -> None:
    classifier().save_weights(tmp_path / "w.safetensors")
    with pytest.raises(ValueError, match=r"w.safetensors: it holds no model.*load_weights"):
        fnn.load_model(tmp_path / "w.safetensors")


# --- writing ------------------------------------------------------------------------------------


def test_a_failed_save_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "m.safetensors"
    classifier().save(path)
    before = path.read_bytes()

    def no_space(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", no_space)
    with pytest.raises(OSError, match="No space"):
        two_by_two().save(path)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["m.safetensors"]


def test_any_reader_of_the_format_reads_what_is_written(tmp_path: Path) -> None:
    """Every type, scalars, no elements, other orders: as the format's own library has them."""
    dtypes = ["?", "u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f4", "f8", ">f4", ">i8"]
    arrays = {
        f"{dtype}{shape}": (np.arange(np.prod(shape)).reshape(shape) % 100).astype(dtype)
        for dtype in dtypes
        for shape in ((), (0, 3), (1,), (3,), (5, 2), (2, 3, 5))
    } | {"transposed": np.arange(6.0).reshape(2, 3).T, "änderung": np.arange(20)[::3]}
    weights = {"a": np.arange(6, dtype=np.float32).reshape(2, 3)}
    path = tmp_path / "m.safetensors"
    container.write(path, container.Container(weights, arrays, {"text": {"ä": [1, None, "\n"]}}))
    found = load_file(path)
    assert found.keys() == {"weights/a", *(f"training/{name}" for name in arrays)}
    for name, array in arrays.items():
        read = found[f"training/{name}"]
        assert read.dtype == array.dtype.newbyteorder("<") and read.shape == array.shape
        np.testing.assert_array_equal(read, array)
    length = int.from_bytes(path.read_bytes()[:8], "little")
    header = json.loads(path.read_bytes()[8 : 8 + length])
    assert header.pop("__metadata__").keys() == {"format", "format_version", "weights", "text"}
    for name, entry in header.items():
        width = arrays.get(name.removeprefix("training/"), weights["a"]).itemsize
        assert (8 + length + entry["data_offsets"][0]) % width == 0, "a reader may map the file"
    again = container.read(path)
    assert again.configs == {"text": {"ä": [1, None, "\n"]}}
    np.testing.assert_array_equal(again.weights["a"], weights["a"])
    with pytest.raises(ValueError, match=r"'training/c' has dtype complex64"):
        container.write(path, container.Container({}, {"c": np.zeros(2, np.complex64)}, {}))


def test_saving_replaces_a_file(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    classifier().save(str(path))
    two_by_two().save(path)
    assert fnn.load_model(path).name == "two"
    assert os.listdir(tmp_path) == ["m.safetensors"]


@pytest.mark.skipif(os.name != "posix", reason="permission bits are POSIX's")
def test_a_file_has_the_usual_permissions(tmp_path: Path) -> None:
    classifier().save(tmp_path / "m.safetensors")
    (tmp_path / "plain").touch()
    modes = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("m.safetensors", "plain")]
    assert modes[0] == modes[1]


def test_what_cannot_be_saved_is_refused(tmp_path: Path) -> None:
    model = fnn.Sequential([layers.Input((3,)), layers.Dense(2, kernel_initializer=np.ones)])
    with pytest.raises(ValueError, match="own initializers"):
        model.save(tmp_path / "m.safetensors")

    class Mine(initializers.Zeros):
        pass

    model = fnn.Sequential([layers.Input((3,)), layers.Dense(2, kernel_initializer=Mine())])
    with pytest.raises(ValueError, match="Mine"):
        model.save(tmp_path / "m.safetensors")
    assert os.listdir(tmp_path) == []


def test_missing_places_are_os_errors(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        fnn.load_model(tmp_path / "none.safetensors")
    with pytest.raises(FileNotFoundError):
        classifier().save(tmp_path / "none" / "m.safetensors")
    with pytest.raises(OSError, match=r"directory|denied"):
        fnn.load_model(tmp_path)


# --- broken and hostile files -------------------------------------------------------------------


def rewritten(path: Path, change: Callable[[dict[str, Any], dict[str, str]], None]) -> None:
    """Apply ``change`` to the tensors and the metadata of the file."""
    tensors = load_file(path)
    with safe_open(path, "numpy") as file:
        metadata = file.metadata()
    change(tensors, metadata)
    save_file(tensors, path, metadata)


def edited(name: str, edit: Callable[[Any], object]) -> Callable[[dict, dict], None]:
    """A change of one JSON value in the metadata."""

    def change(tensors: dict[str, Any], metadata: dict[str, str]) -> None:
        value = json.loads(metadata[name])
        edit(value)
        metadata[name] = json.dumps(value)

    return change


def with_layer(number: int, **config: Any) -> Callable[[dict, dict], None]:
    return edited("model", lambda m: m["config"]["layers"][number]["config"].update(config))


FAULTS: dict[str, tuple[Callable[[dict, dict], Any], str]] = {
    "no-metadata": (lambda t, m: m.clear(), "doesn't say that fastnn"),
    "version": (lambda t, m: m.update(format_version="2"), "a newer fastnn wrote it.*'2'.*'1'"),
    "version-text": (lambda t, m: m.update(format_version="1.1"), "whole number, got '1.1'"),
    "no-version": (lambda t, m: m.pop("format_version"), "whole number, got ''"),
    "bad-json": (lambda t, m: m.update(model="{"), "'model'.*not valid JSON"),
    "deep-json": (lambda t, m: m.update(model="[" * 100_000), "'model'.*JSON"),
    "no-model": (lambda t, m: m.pop("model"), "no model"),
    "model-name": (lambda t, m: m.update(model='"Sequential"'), "'model'.*object"),
    "unknown-model": (
        edited("model", lambda m: m.update(class_name="os.system")),
        "unknown model 'os.system'",
    ),
    "a-layer-is-no-model": (
        edited("model", lambda m: m.update(class_name="Flatten")),
        "unknown model 'Flatten'",
    ),
    "unknown-layer": (
        edited("model", lambda m: m["config"]["layers"][2].update(class_name="Conv9D")),
        "unknown layer 'Conv9D'",
    ),
    "unknown-initializer": (
        with_layer(2, kernel_initializer={"class_name": "eval", "config": {}}),
        "unknown initializer 'eval'",
    ),
    "unknown-argument": (with_layer(2, hook="x"), "Dense.*hook"),
    "bad-argument": (with_layer(2, units="5"), "units.*'5'"),
    "huge-layer": (with_layer(2, units=10**12), r"\(6, 1000000000000\), got .*\(6, 5\)"),
    "huge-input": (with_layer(0, shape=[10**12]), r"'hidden/kernel'.*\(1000000000000, 5\)"),
    "no-layers": (edited("model", lambda m: m["config"].pop("layers")), "layers"),
    "same-names": (with_layer(3, name="hidden"), "two layers of the name 'hidden'"),
    "no-input": (
        edited("model", lambda m: m["config"]["layers"].pop(0)), "no layer.*weights|no Input",
    ),
    "missing-tensor": (lambda t, m: t.pop("weights/head/bias"), "'head/bias' is missing"),
    "unlisted-tensor": (
        lambda t, m: t.update({"weights/more": np.zeros(2, np.float32)}), "'more'.*not listed",
    ),
    "spare-tensor": (
        lambda t, m: (
            t.update({"weights/more": np.zeros(2, np.float32)}),
            m.update(weights=m["weights"].replace("]", ', "more"]')),
        ),
        "no layer.*'more'",
    ),
    "strange-tensor": (lambda t, m: t.update(odd=np.zeros(2, np.float32)), "unexpected.*'odd'"),
    "shape": (
        lambda t, m: t.update({"weights/head/bias": np.zeros(4, np.float32)}),
        r"'head/bias'.*\(3,\).*\(4,\)",
    ),
    "dtype": (
        lambda t, m: t.update({"weights/head/bias": np.zeros(3)}), "'weights/head/bias'.*F32.*F64",
    ),
    "weights-list": (lambda t, m: m.update(weights="{}"), "'weights'.*list of names"),
    "compile-list": (lambda t, m: m.update(compile="[1]"), "'compile'.*object"),
    "unknown-optimizer": (
        edited("compile", lambda c: c["optimizer"].update(class_name="Exec")), "optimizer.*[eE]xec",
    ),
    "unknown-loss": (edited("compile", lambda c: c.update(loss="evil")), "loss.*'evil'"),
    "unknown-compile-argument": (edited("compile", lambda c: c.update(run="x")), "run"),
    "optimizer-state": (
        lambda t, m: t.update({"training/odd/slot": np.zeros(3, np.float32)}), "odd/slot",
    ),
    "optimizer-state-shape": (
        lambda t, m: t.update({"training/head/bias/momentum": np.zeros(4, np.float32)}),
        "head/bias/momentum",
    ),
    "negative-iterations": (
        lambda t, m: t.update({"training/iterations": np.array(-1)}), "iterations",
    ),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_hostile_files_are_refused(fault: str, tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    model = compiled()
    model.train_on_batch(X, LABELS)
    model.save(path)
    change, message = FAULTS[fault]
    rewritten(path, change)
    with pytest.raises(ValueError, match=f"(?s)m.safetensors.*{message}"):
        fnn.load_model(path)


@pytest.mark.parametrize("content", [b"", b"\0" * 8, b"text", b"\xff" * 100, b"PK\x03\x04" * 9])
def test_other_files_are_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "m.safetensors").write_bytes(content)
    with pytest.raises(ValueError, match=r"m.safetensors.*not a safetensors file"):
        fnn.load_model(tmp_path / "m.safetensors")


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("saved") / "m.safetensors"
    model = compiled(metrics=["accuracy"])
    model.train_on_batch(X, LABELS)
    model.save(path)
    return path


SLOWLY = settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


def test_every_truncation_is_refused(saved: Path, tmp_path: Path) -> None:
    content = saved.read_bytes()
    for length in {*range(0, len(content), 37), len(content) - 1}:
        (tmp_path / "cut").write_bytes(content[:length])
        with pytest.raises(ValueError, match="cut"):
            fnn.load_model(tmp_path / "cut")


@SLOWLY
@given(data=st.data())
def test_flipped_bytes_are_refused_or_load(
    saved: Path, tmp_path: Path, data: st.DataObject
) -> None:
    content = bytearray(saved.read_bytes())
    header = 8 + int.from_bytes(content[:8], "little")
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, header - 1))] = data.draw(st.integers(0, 255))
    (tmp_path / "flipped").write_bytes(content)
    try:
        model = fnn.load_model(tmp_path / "flipped")
    except ValueError as error:
        assert "flipped" in str(error)
    else:
        assert isinstance(model, fnn.Model)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)


def spots(value: Any, way: tuple = ()) -> Iterator[tuple]:
    """The ways to every value inside a JSON value."""
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, inner in items:
        yield (*way, key)
        if isinstance(inner, (dict, list)):
            yield from spots(inner, (*way, key))


@SLOWLY
@given(data=st.data(), name=st.sampled_from(["model", "compile", "weights"]))
def test_any_value_in_the_metadata_is_refused_or_loads(
    saved: Path, tmp_path: Path, data: st.DataObject, name: str
) -> None:
    path = tmp_path / "odd"
    path.write_bytes(saved.read_bytes())

    def edit(value: Any) -> None:
        *way, key = data.draw(st.sampled_from(sorted(spots(value), key=repr)))
        for step in way:
            value = value[step]
        value[key] = data.draw(JSON)

    rewritten(path, edited(name, edit))
    try:
        fnn.load_model(path)
    except ValueError as error:
        assert "odd" in str(error)

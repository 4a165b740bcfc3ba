"""Every kind of array trains, and trains to the same bits as C-order float32."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from nets import assert_same_bits, set_seeded_weights

import fastnn as fnn
from fastnn import layers

N, WIDTH, CLASSES, BATCH = 45, 9, 4, 16


def whole_numbers() -> np.ndarray:
    """x (45, 9) float32 of whole numbers 0 .. 100, many zero: exact in every dtype below."""
    random = np.random.default_rng(0)
    return np.float32(random.integers(0, 101, (N, WIDTH)) * random.integers(0, 2, (N, WIDTH)))


def labels() -> np.ndarray:
    """Class indices (45,), int64."""
    return np.random.default_rng(1).integers(0, CLASSES, N)


def new_model(loss: str = "sparse_categorical_crossentropy") -> Any:
    model = set_seeded_weights(
        fnn.Sequential(
            [
                layers.Input((WIDTH,)),
                layers.Rescaling(1 / 100),
                layers.Dense(12, activation="relu"),
                layers.Dense(CLASSES, activation="softmax"),
            ]
        )
    )
    model.compile(optimizer="adam", loss=loss, metrics=["accuracy"])
    return model


def results(x: Any, y: Any, sample_weight: Any = None, **settings: Any) -> list[np.ndarray]:
    """Weights after two epochs, the evaluation, and the predictions."""
    model = new_model(**settings)
    options = {"sample_weight": sample_weight, "batch_size": BATCH, "verbose": 0}
    model.fit(x, y, epochs=2, shuffle=False, **options)
    evaluation = np.array(model.evaluate(x, y, **options))
    return [*model.get_weights(), evaluation, model.predict(x, batch_size=BATCH, verbose=0)]


def strided(x: np.ndarray) -> np.ndarray:
    wide = np.full((2 * len(x), 3 * x.shape[1]), 7, x.dtype)
    wide[::2, 1::3] = x
    return wide[::2, 1::3]


def backwards(x: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(x[::-1, ::-1])[::-1, ::-1]


def read_only(x: np.ndarray) -> np.ndarray:
    x = x.copy()
    x.flags.writeable = False
    return x


def unaligned(x: np.ndarray) -> np.ndarray:
    raw = np.zeros(x.nbytes + 1, np.uint8)
    view = raw[1:].view(x.dtype).reshape(x.shape)
    view[:] = x
    assert not view.flags.aligned
    return view


def offset_by_one_value(x: np.ndarray) -> np.ndarray:
    return np.concatenate([[x.dtype.type(7)], x.ravel()])[1:].reshape(x.shape)


FORMS: dict[str, Callable[[np.ndarray], Any]] = {
    "float64": np.float64,
    "float16": np.float16,
    "big-endian-float32": lambda x: x.astype(">f4"),
    "big-endian-int32": lambda x: x.astype(">i4"),
    **{name: lambda x, name=name: x.astype(name) for name in ("uint8", "int8", "uint16", "int16")},
    **{name: lambda x, name=name: x.astype(name) for name in ("int32", "uint32", "int64")},
    "fortran-order": np.asfortranarray,
    "fortran-order-float64": lambda x: np.asfortranarray(x, np.float64),
    "fortran-order-uint8": lambda x: np.asfortranarray(x.astype(np.uint8)),
    "strided": strided,
    "strided-uint8": lambda x: strided(x.astype(np.uint8)),
    "backwards": backwards,
    "read-only": read_only,
    "read-only-uint8": lambda x: read_only(x.astype(np.uint8)),
    "unaligned": unaligned,
    "offset-by-one-value": offset_by_one_value,
    "list": lambda x: x.tolist(),
    "list-of-rows": list,
    "tuple-of-lists": lambda x: tuple(x.astype(int).tolist()),
}


@pytest.fixture(scope="module")
def wanted() -> list[np.ndarray]:
    return results(whole_numbers(), labels())


@pytest.mark.parametrize("form", FORMS)
def test_forms_of_x(form: str, wanted: list[np.ndarray]) -> None:
    x = FORMS[form](whole_numbers())
    before = np.array(x)
    assert_same_bits(results(x, labels()), wanted)
    np.testing.assert_array_equal(x, before)  # the caller's data is not written to


@pytest.mark.parametrize(
    "form",
    {
        "int32": np.int32,
        "uint8": np.uint8,
        "int8": np.int8,
        "uint64": np.uint64,
        "float32": np.float32,
        "float64": np.float64,
        "list": np.ndarray.tolist,
        "column": lambda y: y[:, None],
        "strided": lambda y: np.repeat(y, 2)[::2],
        "read-only": read_only,
    }.items(),
    ids=lambda item: item[0],
)
def test_forms_of_labels(form: tuple[str, Callable], wanted: list[np.ndarray]) -> None:
    assert_same_bits(results(whole_numbers(), form[1](labels())), wanted)


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64", "uint8", "bool"])
def test_forms_of_one_hot_targets(dtype: str) -> None:
    y = np.eye(CLASSES, dtype=np.float32)[labels()]
    loss = "categorical_crossentropy"
    wanted = results(whole_numbers(), y, loss=loss)
    assert_same_bits(
        results(whole_numbers(), np.asfortranarray(y.astype(dtype)), loss=loss), wanted
    )


@pytest.mark.parametrize("form", ["float32", "float64", "int64", "list"])
def test_forms_of_sample_weight(form: str) -> None:
    weight = np.random.default_rng(2).integers(0, 4, N).astype(np.float32)
    wanted = results(whole_numbers(), labels(), weight)
    other = weight.tolist() if form == "list" else weight.astype(form)
    assert_same_bits(results(whole_numbers(), labels(), other), wanted)


@pytest.mark.parametrize("dtype", ["float32", "float64", "uint8"])
def test_memory_maps(dtype: str, tmp_path: Path, wanted: list[np.ndarray]) -> None:
    np.save(tmp_path / "x.npy", whole_numbers().astype(dtype))
    np.save(tmp_path / "y.npy", labels())
    x = np.load(tmp_path / "x.npy", mmap_mode="r")
    y = np.load(tmp_path / "y.npy", mmap_mode="r")
    assert isinstance(x, np.memmap)
    assert_same_bits(results(x, y), wanted)


def test_pandas(wanted: list[np.ndarray]) -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(whole_numbers(), columns=[f"feature_{i}" for i in range(WIDTH)])
    frame["feature_3"] = frame["feature_3"].astype("int64")  # mixed dtypes
    frame.index = range(100, 100 + N)  # an index is no row number
    series = pandas.Series(labels(), index=frame.index)
    assert_same_bits(results(frame, series), wanted)


def test_images() -> None:
    """uint8 (n, 28, 28) through Rescaling and Flatten is float32 scaled by hand."""
    images = np.random.default_rng(3).integers(0, 256, (N, 28, 28), dtype=np.uint8)
    images[images < 200] = 0

    def train(x: np.ndarray, *first: Any) -> list[np.ndarray]:
        dense = [layers.Dense(17, activation="relu"), layers.Dense(4, activation="softmax")]
        model = fnn.Sequential([layers.Input(x.shape[1:]), *first, *dense])
        set_seeded_weights(model)
        model.compile(optimizer="adam", loss="sparse_categorical_crossentropy")
        model.fit(x, labels(), epochs=2, batch_size=BATCH, shuffle=False, verbose=0)
        return model.get_weights()

    inside = train(images, layers.Rescaling(1 / 255), layers.Flatten())
    as_float32 = train(np.float32(images), layers.Rescaling(1 / 255), layers.Flatten())
    outside = train(np.float32(images.reshape(N, 784)) * np.float32(1 / 255))
    assert_same_bits(inside, as_float32)
    for a, b in zip(inside, outside, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=2e-5)


# --- iterables of batches -----------------------------------------------------------------------


def batches(weighted: bool = False) -> list[tuple]:
    """The rows as batches (x, y[, sample_weight]) of BATCH, the last one smaller."""
    weight = np.random.default_rng(2).uniform(0, 2, N).astype(np.float32)
    arrays = (whole_numbers(), labels(), weight)[: 2 + weighted]
    return [tuple(a[i : i + BATCH] for a in arrays) for i in range(0, N, BATCH)]


class Batches:
    """An iterable that starts again at each epoch."""

    def __init__(self, weighted: bool) -> None:
        self.weighted = weighted

    def __iter__(self) -> Iterator[tuple]:
        return iter(batches(self.weighted))


@pytest.mark.parametrize("weighted", [False, True], ids=["x-y", "x-y-weight"])
@pytest.mark.parametrize("kind", ["list", "iterable", "generator"])
def test_iterables_of_batches(kind: str, weighted: bool) -> None:
    by_rows, by_batches = new_model(), new_model()
    arrays = [np.concatenate(parts) for parts in zip(*batches(weighted), strict=True)]
    options = {"epochs": 2, "verbose": 0}
    weight = arrays[2] if weighted else None
    a = by_rows.fit(*arrays[:2], sample_weight=weight, batch_size=BATCH, shuffle=False, **options)
    if kind == "generator":
        source: Any = (batch for _ in range(2) for batch in batches(weighted))
        b = by_batches.fit(source, steps_per_epoch=3, **options)
    else:
        b = by_batches.fit(batches(weighted) if kind == "list" else Batches(weighted), **options)
    assert_same_bits(by_rows.get_weights(), by_batches.get_weights())
    for key, values in a.history.items():
        assert b.history[key] == pytest.approx(values, rel=1e-6)


def test_validation_evaluation_and_prediction_of_iterables() -> None:
    model = new_model()
    history = model.fit(Batches(False), validation_data=Batches(False), verbose=0)
    x, y = whole_numbers(), labels()
    wanted = model.evaluate(x, y, verbose=0)
    assert [history.history["val_loss"][0], history.history["val_accuracy"][0]] == pytest.approx(
        wanted, rel=1e-5
    )
    assert model.evaluate(Batches(False), verbose=0) == pytest.approx(wanted, rel=1e-5)
    outputs = model.predict((x[i : i + 20] for i in range(0, N, 20)), verbose=0)
    np.testing.assert_allclose(outputs, model.predict(x, verbose=0), rtol=1e-5, atol=1e-7)


def test_steps_bound_an_endless_generator() -> None:
    def forever() -> Iterator[tuple]:
        while True:
            yield from batches()

    model = new_model()
    model.fit(
        forever(), steps_per_epoch=4, epochs=2,
        validation_data=forever(), validation_steps=2, verbose=0,
    )  # fmt: skip
    assert model.optimizer.iterations == 8
    assert len(model.evaluate(forever(), steps=2, verbose=0)) == 2


def test_batches_of_any_size_may_follow_one_another() -> None:
    x, y = whole_numbers(), labels()
    cuts = [0, 1, 18, 20, 45]
    model, stepped = new_model(), new_model()
    model.fit([(x[a:b], y[a:b]) for a, b in pairwise(cuts)], verbose=0)
    for a, b in pairwise(cuts):
        stepped.train_on_batch(x[a:b], y[a:b])
    assert_same_bits(model.get_weights(), stepped.get_weights())

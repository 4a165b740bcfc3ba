"""Matrices of scipy.sparse train, evaluate and predict to the bits of the dense array."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from nets import assert_same_bits, set_seeded_weights

import fastnn as fnn
from fastnn import layers
from fastnn.models.feeding import as_array, feed_inputs

sparse = pytest.importorskip("scipy.sparse")

N, WIDTH, CLASSES = 150, 300, 4


def dense() -> np.ndarray:
    """x (150, 300) float32, a tenth nonzero, one row empty and one full."""
    random = np.random.default_rng(0)
    x = random.normal(size=(N, WIDTH)) * (random.random((N, WIDTH)) < 0.1)
    x[3] = 0
    x[77] = random.normal(size=WIDTH)
    return x.astype(np.float32)


LABELS = np.random.default_rng(1).integers(0, CLASSES, N)


def new_model(*first: Any) -> Any:
    model = fnn.Sequential(
        [
            layers.Input((WIDTH,)),
            *first,
            layers.Dense(20, activation="relu"),
            layers.Dense(CLASSES, activation="softmax"),
        ]
    )
    set_seeded_weights(model)
    model.compile(optimizer="adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def results(x: Any, *first: Any) -> list[np.ndarray]:
    model = new_model(*first)
    fnn.utils.set_random_seed(3)
    history = model.fit(x, LABELS, epochs=2, batch_size=32, validation_split=0.2, verbose=0)
    evaluation = np.array(model.evaluate(x, LABELS, verbose=0))
    values = np.array(list(history.history.values()))
    few = model.predict(x[:5], verbose=0)
    return [*model.get_weights(), values, evaluation, model.predict(x, verbose=0), few]


def with_explicit_zeros(x: np.ndarray) -> Any:
    matrix = sparse.csr_matrix(np.ones_like(x))
    matrix.data[:] = x.ravel()
    return matrix


def with_duplicates(x: np.ndarray) -> Any:
    half = sparse.csr_matrix(x / 2)
    data, column = np.repeat(half.data, 2), np.repeat(half.indices, 2)
    return sparse.csr_matrix((data, column, 2 * half.indptr), shape=x.shape)


def unsorted(x: np.ndarray) -> Any:
    matrix = sparse.csr_matrix(x[:, ::-1])
    return sparse.csr_matrix(
        (matrix.data, WIDTH - 1 - matrix.indices, matrix.indptr), shape=x.shape
    )


def with_int64_indices(x: np.ndarray) -> Any:
    matrix = sparse.csr_matrix(x)
    matrix.indices = matrix.indices.astype(np.int64)
    matrix.indptr = matrix.indptr.astype(np.int64)
    return matrix


FORMS: dict[str, Callable[[np.ndarray], Any]] = {
    "csr_matrix": sparse.csr_matrix,
    "csr_array": sparse.csr_array,
    "csc": sparse.csc_matrix,
    "float64": lambda x: sparse.csr_matrix(x.astype(np.float64)),
    "int64-indices": with_int64_indices,
    "explicit-zeros": with_explicit_zeros,
    "duplicates": with_duplicates,
    "unsorted": unsorted,
}


@pytest.fixture(scope="module")
def wanted() -> list[np.ndarray]:
    return results(dense())


@pytest.mark.parametrize("form", FORMS)
def test_same_bits_as_the_dense_array(form: str, wanted: list[np.ndarray]) -> None:
    matrix = FORMS[form](dense())
    before = matrix.copy()
    assert_same_bits(results(matrix), wanted)
    np.testing.assert_array_equal(matrix.data, before.data)  # the caller's is not written to
    np.testing.assert_array_equal(matrix.indices, before.indices)


def test_whole_numbers_and_rescaling() -> None:
    x = (dense() > 0) * np.random.default_rng(2).integers(1, 256, (N, WIDTH))
    rescaling = layers.Rescaling(1 / 255)
    expected = results(x.astype(np.uint8), rescaling)
    for dtype in ("uint8", "int16", "int64"):
        matrix = sparse.csr_matrix(x.astype(dtype))
        assert_same_bits(results(matrix, rescaling), expected)


def test_batches_and_validation_data() -> None:
    x = dense()
    matrix = sparse.csr_matrix(x)
    whole, parts = new_model(), new_model()
    batches = [(x[i : i + 32], LABELS[i : i + 32]) for i in range(0, N, 32)]
    sparse_batches = [(matrix[i : i + 32], LABELS[i : i + 32]) for i in range(0, N, 32)]
    a = whole.fit(batches, validation_data=(x, LABELS), verbose=0)
    b = parts.fit(sparse_batches, validation_data=(matrix, LABELS), verbose=0)
    assert_same_bits(whole.get_weights(), parts.get_weights())
    assert a.history == b.history
    one, other = (
        model.train_on_batch(rows, LABELS[:9])
        for model, rows in ((whole, x[:9]), (parts, matrix[:9]))
    )
    assert one == other


def test_a_model_without_an_input_is_built_from_the_matrix() -> None:
    model = fnn.Sequential([layers.Dense(3)])
    assert model.predict(sparse.csr_matrix(dense()), verbose=0).shape == (N, 3)
    assert model.input_shape == (None, WIDTH)


def test_a_matrix_of_zeros_trains() -> None:
    zeros = np.zeros((N, WIDTH), np.float32)
    assert_same_bits(results(sparse.csr_matrix(zeros)), results(zeros))


def broken(value: Any) -> Any:
    matrix = sparse.csr_matrix(np.float64(dense()))
    matrix.data[matrix.indptr[9]] = value
    return matrix


@pytest.mark.parametrize(
    ("matrix", "message"),
    [
        (lambda: broken(np.nan), "x .*nan in row 9"),
        (lambda: broken(np.inf), "x .*inf in row 9"),
        (lambda: broken(1e39), r"x .*1e\+39 in row 9"),
        (lambda: sparse.csr_matrix(dense()[:, 1:]), r"x .*\(N, 300\).*299"),
        (lambda: sparse.csr_matrix(dense()[:0]), "x .*empty"),
        (lambda: sparse.csr_matrix(dense()[1:]), "149 of x.*150 of y"),
        (lambda: sparse.csr_matrix(dense().astype(complex)), "x .*complex"),
    ],
    ids=["nan", "infinity", "beyond-float32", "width", "empty", "length", "complex"],
)
def test_bad_matrices_are_refused(matrix: Callable[[], Any], message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        new_model().fit(matrix(), LABELS, verbose=0)


def test_layers_that_need_all_numbers_are_named() -> None:
    model = fnn.Sequential([layers.Input((WIDTH,)), layers.Rescaling(1, offset=1), layers.Dense(2)])
    with pytest.raises(ValueError, match=r"x .*Dense.*toarray"):
        model.predict(sparse.csr_matrix(dense()))


def test_rows_of_a_sparse_matrix_come_back_as_they_came() -> None:
    x = dense()
    model = new_model(layers.Rescaling(1 / 3))
    dataset = feed_inputs(model, sparse.csr_matrix(x))
    np.testing.assert_array_equal(as_array(model, 0, dataset.inputs[0]), x)
    some = np.array([77, 3, 77, N - 1])
    np.testing.assert_array_equal(as_array(model, 0, dataset.part(some).inputs[0]), x[some])
    np.testing.assert_array_equal(model.predict(sparse.csr_matrix(x)), model.predict(x))

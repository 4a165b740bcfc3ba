"""Variables: one packed, aligned truth, and what goes in and out of it."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastnn.kernels.layout import ALIGNMENT, packed_shape
from fastnn.variables import Variable, restoring

SHAPES = st.one_of(
    st.tuples(st.integers(1, 70)),
    st.tuples(st.integers(1, 40), st.integers(1, 70)),
    st.lists(st.integers(1, 9), min_size=3, max_size=4).map(tuple),
)


def values_of(shape: tuple[int, ...]) -> np.ndarray:
    """Other values everywhere, none of them zero."""
    return np.arange(1, np.prod(shape) + 1, dtype=np.float32).reshape(shape)


def zeros(shape: tuple[int, ...]) -> np.ndarray:
    return np.zeros(shape, np.float32)


@settings(deadline=None)
@given(SHAPES)
def test_what_is_assigned_comes_back(shape: tuple[int, ...]) -> None:
    value = values_of(shape)
    variable = Variable(value.shape, zeros, "kernel")
    storage = variable.storage
    variable.assign(value)
    assert variable.storage is storage
    assert storage.shape == packed_shape((value.size // shape[-1], shape[-1]))
    assert storage.ctypes.data % ALIGNMENT == 0
    assert variable.size == value.size
    result = variable.numpy()
    assert result.dtype == np.float32
    assert result.flags.c_contiguous
    np.testing.assert_array_equal(result, value)


@settings(deadline=None)
@given(SHAPES)
def test_padding_stays_zero(shape: tuple[int, ...]) -> None:
    value = values_of(shape)
    variable = Variable(value.shape, lambda shape: np.ones(shape), "kernel")
    variable.assign(value)
    assert np.count_nonzero(variable.storage) == value.size


@settings(deadline=None)
@given(SHAPES)
def test_numpy_is_a_copy(shape: tuple[int, ...]) -> None:
    # One row, or one block of 16 columns, could be seen in the storage without a copy.
    variable = Variable(shape, zeros, "kernel")
    assert not np.shares_memory(variable.numpy(), variable.storage)


@pytest.mark.parametrize(
    "value",
    [
        np.arange(6).reshape(2, 3),
        np.arange(6, dtype=np.float64).reshape(3, 2).T,
        np.array([[1, 2, 3], [4, 5, 6]], np.uint8)[::-1],
        [[1.5, 2, 3], [4, 5, 6]],
        np.ones((2, 3), bool),
    ],
    ids=["int", "f-order", "strided", "list", "bool"],
)
def test_assign_takes_any_numbers(value: object) -> None:
    variable = Variable((2, 3), zeros, "kernel")
    variable.assign(value)  # type: ignore[arg-type]
    np.testing.assert_array_equal(variable.numpy(), np.asarray(value, np.float32))


@pytest.mark.parametrize(
    ("value", "error", "message"),
    [
        (np.zeros((3, 2)), ValueError, r"'dense/kernel' has shape \(2, 3\), got .* \(3, 2\)"),
        (np.zeros(3), ValueError, r"\(2, 3\), got .* \(3,\)"),
        (np.zeros((2, 3), complex), TypeError, "'dense/kernel' takes real numbers.*complex"),
        (np.full((2, 3), "a"), TypeError, "real numbers"),
        (np.full((2, 3), None), TypeError, "real numbers"),
    ],
)
def test_assign_refuses(value: np.ndarray, error: type[Exception], message: str) -> None:
    variable = Variable((2, 3), lambda shape: np.ones(shape), "kernel", path="dense/kernel")
    with pytest.raises(error, match=message):
        variable.assign(value)
    np.testing.assert_array_equal(variable.numpy(), np.ones((2, 3)))


def test_a_matrix_that_the_owner_names() -> None:
    """A depthwise kernel: a row for each tap, a column for each filter."""
    value = values_of((3, 2, 5, 4))
    variable = Variable(value.shape, zeros, "kernel", matrix_shape=(6, 20))
    variable.assign(value)
    np.testing.assert_array_equal(variable.numpy(), value)
    assert variable.storage.shape == packed_shape((6, 20))
    np.testing.assert_array_equal(variable.storage[0, 4], value.reshape(6, 20)[4, :16])
    for again in (copy.deepcopy(variable), pickle.loads(pickle.dumps(variable))):
        np.testing.assert_array_equal(again.storage, variable.storage)
        assert again.matrix_shape == (6, 20)
    with pytest.raises(ValueError, match=r"'kernel'.*\(3, 2\).*matrix.*\(2, 2\)"):
        Variable((3, 2), zeros, "kernel", matrix_shape=(2, 2))


@pytest.mark.parametrize("shape", [(), (1, 0, 3), (0,), (3, 0), (-1,), (2.5,)])
def test_shapes_that_a_variable_cannot_have(shape: tuple[int, ...]) -> None:
    with pytest.raises((ValueError, TypeError), match="'kernel'"):
        Variable(shape, zeros, "kernel")


def test_an_initializer_of_another_shape_is_refused() -> None:
    with pytest.raises(ValueError, match=r"\(2, 3\), got .* \(3, 2\)"):
        Variable((2, 3), lambda shape: np.zeros(shape[::-1]), "kernel")


def test_array_protocol() -> None:
    variable = Variable((2, 3), lambda shape: np.full(shape, 1.5), "kernel")
    assert np.asarray(variable).dtype == np.float32
    assert np.asarray(variable, np.float64).dtype == np.float64
    assert np.sum(variable) == 9  # type: ignore[call-overload]
    other = Variable((2, 3), zeros, "kernel")
    other.assign(variable)
    np.testing.assert_array_equal(other.numpy(), variable.numpy())
    with pytest.raises(ValueError, match="without a copy"):
        variable.__array__(copy=False)


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda v: pickle.loads(pickle.dumps(v))])
def test_copies_are_aligned_and_apart(copied: object) -> None:
    variables = [Variable((5, 7), lambda s: np.full(s, 2.0), f"v{i}") for i in range(8)]
    for variable in copied(variables):  # type: ignore[operator]
        assert variable.storage.ctypes.data % ALIGNMENT == 0
        np.testing.assert_array_equal(variable.numpy(), np.full((5, 7), 2.0))
        variable.assign(np.zeros((5, 7)))
    assert all(variable.numpy().all() for variable in variables)


def test_restoring_gives_values_by_path() -> None:
    values = {"dense/kernel": np.arange(6, dtype=np.float32).reshape(2, 3)}

    def untouched(shape: tuple[int, ...]) -> np.ndarray:
        raise AssertionError("no initializer is called while values are restored")

    with restoring(values):
        variable = Variable((2, 3), untouched, "kernel", path="dense/kernel")
        with pytest.raises(ValueError, match="'dense/bias' is missing"):
            Variable((3,), untouched, "bias", path="dense/bias")
        with pytest.raises(ValueError, match=r"has shape \(3, 2\), got .* \(2, 3\)"):
            Variable((3, 2), untouched, "kernel", path="dense/kernel")
    np.testing.assert_array_equal(variable.numpy(), values["dense/kernel"])
    assert not Variable((2, 3), zeros, "kernel", path="dense/kernel").numpy().any()

"""summary(): the table's text."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import redirect_stdout

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fastnn as fnn
from fastnn import layers, utils


@pytest.fixture(autouse=True)
def fresh_names() -> Iterator[None]:
    utils.clear_session()
    yield


def text_of(model: fnn.Model, line_length: int | None = None) -> str:
    texts: list[str] = []
    model.summary(line_length, texts.append)
    (text,) = texts
    return text


def mnist() -> fnn.Sequential:
    return fnn.Sequential(
        [
            layers.Input((28, 28)),
            layers.Flatten(),
            layers.Dense(512, activation="relu"),
            layers.Dense(10, activation="softmax"),
        ]
    )


def test_the_whole_table() -> None:
    assert text_of(mnist()) == "\n".join(
        [
            'Model: "sequential"',
            "_" * 65,
            " Layer (type)                Output Shape             Param #",
            "=" * 65,
            " flatten (Flatten)           (None, 784)              0",
            " dense (Dense)               (None, 512)              401,920",
            " dense_1 (Dense)             (None, 10)               5,130",
            "=" * 65,
            "Total params: 407,050 (1.55 MB)",
            "Trainable params: 407,050 (1.55 MB)",
            "Non-trainable params: 0 (0.00 B)",
            "_" * 65,
        ]
    )


def test_it_is_printed_by_default() -> None:
    output = io.StringIO()
    with redirect_stdout(output):
        mnist().summary()
    assert output.getvalue().startswith('Model: "sequential')
    assert output.getvalue().isascii()


def test_frozen_weights_are_counted_apart() -> None:
    model = mnist()
    model.layers[1].trainable = False
    text = text_of(model)
    assert "Trainable params: 5,130 (20.04 KB)" in text
    assert "Non-trainable params: 401,920 (1.53 MB)" in text
    model.trainable = False
    assert "Trainable params: 0 (0.00 B)" in text_of(model)


def test_an_unbuilt_model() -> None:
    text = text_of(fnn.Sequential([layers.Dense(3), layers.Flatten()]))
    assert [line.split()[2:] for line in text.splitlines()[4:6]] == [["?", "0", "(unbuilt)"]] * 2


def test_a_graph_says_what_is_connected() -> None:
    a, b = layers.Input((4,), name="a"), layers.Input((4,), name="b")
    shared = layers.Dense(4, name="shared")
    text = text_of(fnn.Model([a, b], layers.Add(name="sum")([shared(a), shared(b)])))
    rows = [line.split() for line in text.splitlines()[4:8]]
    assert rows == [
        ["a", "(InputLayer)", "(None,", "4)", "0", "-"],
        ["b", "(InputLayer)", "(None,", "4)", "0", "-"],
        ["shared", "(Dense)", "(None,", "4)", "20", "a,", "b"],
        ["sum", "(Add)", "(None,", "4)", "0", "shared,", "shared"],
    ]
    assert "Total params: 20 (80.00 B)" in text


def test_a_chain_has_no_column_for_it() -> None:
    inputs = layers.Input((4,))
    assert "Connected" not in text_of(fnn.Model(inputs, layers.Dense(3)(inputs)))


def test_a_model_inside_is_one_row() -> None:
    a = layers.Input((4,))
    inner = fnn.Model(a, layers.Add()([a, layers.Dense(4)(a)]), name="inner")
    text = text_of(fnn.Sequential([layers.Input((4,)), inner, layers.Dense(2)]))
    row = next(line for line in text.splitlines() if "inner" in line)
    assert row.split() == ["inner", "(Model)", "(None,", "4)", "20"]


@settings(deadline=None)
@given(st.integers(40, 120), st.text("abc_", min_size=1, max_size=90))
def test_line_length_bounds_every_line_and_loses_nothing(length: int, name: str) -> None:
    model = fnn.Sequential([layers.Input((4,)), layers.Dense(3, name=name)], name="m")
    lines = text_of(model, length).splitlines()
    assert lines[1] == "_" * length
    assert max(map(len, lines)) <= length
    column = length * 28 // 65
    assert name in "".join(line[:column].strip() for line in lines[4:-5])


@pytest.mark.parametrize(
    ("length", "error"), [(39, ValueError), (-1, ValueError), ("x", TypeError)]
)
def test_bad_line_lengths_are_refused(length: int, error: type[Exception]) -> None:
    with pytest.raises(error, match="line_length"):
        mnist().summary(length)

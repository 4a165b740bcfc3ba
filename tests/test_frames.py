"""Tables of pandas, polars and Arrow: what comes of each column, in fit and in estimators; gaps are
named."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

import fastnn as fnn
from fastnn import layers
from fastnn.frames import as_plain

pl = pytest.importorskip("polars")
pa = pytest.importorskip("pyarrow")

ROWS = 60
RNG = np.random.default_rng(0)
NUMBERS = {
    "age": RNG.integers(18, 90, ROWS),
    "size": RNG.normal(size=ROWS).round(3),
    "member": RNG.random(ROWS) < 0.5,
}
MATRIX = np.column_stack([NUMBERS[name].astype(float) for name in NUMBERS])
COLORS = np.array(["red", "green", "blue"])[RNG.integers(0, 3, ROWS)]
Y = (MATRIX[:, 1] > 0).astype(int)


def nullable(columns: dict[str, Any]) -> pd.DataFrame:
    return pd.DataFrame(columns).convert_dtypes()


def arrow_typed(columns: dict[str, Any]) -> pd.DataFrame:
    return pd.DataFrame(columns).convert_dtypes(dtype_backend="pyarrow")


LIBRARIES: dict[str, Callable[[dict[str, Any]], Any]] = {
    "pandas": pd.DataFrame,
    "nullable": nullable,
    "pandas-arrow": arrow_typed,
    "polars": pl.DataFrame,
    "arrow": pa.table,
    "arrow-batch": lambda columns: pa.RecordBatch.from_pydict(
        {name: pa.array(values) for name, values in columns.items()}
    ),
}


@pytest.fixture(params=LIBRARIES)
def frame(request: pytest.FixtureRequest) -> Callable[[dict[str, Any]], Any]:
    return LIBRARIES[request.param]


def test_numbers_are_as_in_an_array(frame: Any) -> None:
    found = as_plain(frame(NUMBERS), "x")
    assert found.dtype == np.float64
    np.testing.assert_array_equal(found, MATRIX)
    whole = as_plain(frame({"a": [1, 2**53 + 1], "b": [3, 4]}), "x")
    assert whole.dtype == np.int64 and whole[1, 0] == 2**53 + 1


def test_texts_are_strings(frame: Any) -> None:
    found = as_plain(frame({"color": list(COLORS), "other": list(COLORS[::-1])}), "x")
    assert found.shape == (ROWS, 2) and {type(text) for text in found.ravel()} == {str}
    np.testing.assert_array_equal(found[:, 0], COLORS)


def test_categories_are_what_they_stand_for() -> None:
    numbers = [30, 10, 30]
    for made in (
        pd.DataFrame({"a": pd.Categorical(["u", "v", "u"])}),
        pl.DataFrame({"a": pl.Series(["u", "v", "u"], dtype=pl.Categorical)}),
        pa.table({"a": pa.array(["u", "v", "u"]).dictionary_encode()}),
    ):
        assert as_plain(made, "x")[:, 0].tolist() == ["u", "v", "u"]
    for made in (
        pd.DataFrame({"a": pd.Categorical(numbers)}),
        pa.table({"a": pa.array(numbers).dictionary_encode()}),
    ):
        found = as_plain(made, "x")
        assert found.dtype.kind == "i" and found[:, 0].tolist() == numbers


def column(name: str) -> dict[str, Callable[[list[Any]], Any]]:
    return {
        "pandas": lambda values: pd.Series(values, name=name),
        "nullable": lambda values: pd.Series(values, name=name).convert_dtypes(),
        "polars": lambda values: pl.Series(name, values),
        "arrow": pa.array,
        "arrow-chunked": lambda values: pa.chunked_array([values[:1], values[1:]]),
    }


@pytest.mark.parametrize("kind", column("a"))
@pytest.mark.parametrize(
    "values", [[1, 2, 3], [1.5, 2.0, -3.0], [True, False, True], ["a", "b", "a"]]
)
def test_columns(kind: str, values: list[Any]) -> None:
    found = as_plain(column("a")[kind](values), "y")
    assert found.shape == (3,) and found.tolist() == values


@pytest.mark.parametrize(
    "values", [[1, None, 3], [1.5, None, 2.0], [True, None, False], ["a", None, "b"]]
)
def test_a_gap_is_named(frame: Any, values: list[Any]) -> None:
    with pytest.raises(ValueError, match=r"x, column 'b' has a missing value in row 1: fill it"):
        as_plain(frame({"a": [1, 2, 3], "b": values}), "x")


@pytest.mark.parametrize("kind", column("a"))
def test_a_gap_in_a_column_is_named(kind: str) -> None:
    with pytest.raises(ValueError, match=r"y.* has a missing value in row 2"):
        as_plain(column("a")[kind]([1.0, 2.0, None]), "y")


def test_not_a_number_is_a_gap() -> None:
    for made in (pl.DataFrame({"a": [1.0, np.nan]}), pa.table({"a": [1.0, np.nan]})):
        with pytest.raises(ValueError, match="column 'a' has a missing value in row 1"):
            as_plain(made, "x")


def test_what_is_no_number_is_said(frame: Any) -> None:
    import datetime

    with pytest.raises(TypeError, match=r"column 'b' (is text|must hold numbers or texts)"):
        as_plain(frame({"a": [1, 2], "b": ["u", "v"]}), "x")
    day = datetime.datetime(2026, 1, 1)
    with pytest.raises(TypeError, match=r"column 'day' must hold numbers or texts"):
        as_plain(frame({"day": [day, day]}), "x")


def test_lazy_frames_are_to_be_collected() -> None:
    model = fnn.Sequential([layers.Input((1,)), layers.Dense(1)])
    with pytest.raises(TypeError, match="x must hold rows, got a polars LazyFrame"):
        model.predict(pl.DataFrame({"a": [1.0]}).lazy())


def test_numbers_of_pandas_are_not_copied() -> None:
    numbers = np.arange(12.0, dtype=np.float32).reshape(6, 2)
    table = pd.DataFrame(numbers)
    assert np.shares_memory(as_plain(table, "x"), table.to_numpy())
    numbers[3, 1] = np.nan
    with pytest.raises(ValueError, match=r"column '1' has a missing value in row 3"):
        as_plain(pd.DataFrame(numbers), "x")


def test_two_columns_of_one_name() -> None:
    with pytest.raises(ValueError, match=r"one column of each name, got several of \['a'\]"):
        as_plain(pd.DataFrame([[1, "u"]], columns=["a", "a"]), "x")


# --- models -------------------------------------------------------------------------------------


def trained(x: Any, y: Any, **more: Any) -> fnn.Sequential:
    fnn.utils.set_random_seed(1)
    model = fnn.Sequential([layers.Dense(4, "relu"), layers.Dense(1, "sigmoid")])
    model.compile("adam", "binary_crossentropy")
    model.fit(x, y, epochs=2, verbose=0, **more)
    return model


def test_models_take_tables_as_arrays(frame: Any) -> None:
    table, target = frame(NUMBERS), frame({"y": Y})
    model = trained(MATRIX, Y, sample_weight=MATRIX[:, 0], validation_split=0.2)
    other = trained(table, target, sample_weight=frame({"w": MATRIX[:, 0]}), validation_split=0.2)
    for ours, theirs in zip(model.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    np.testing.assert_array_equal(model.predict(table), model.predict(MATRIX))
    assert model.evaluate(table, target, verbose=0) == model.evaluate(MATRIX, Y, verbose=0)
    model.fit([(table, target)], epochs=1, verbose=0)


def test_columns_go_to_the_inputs_of_their_names(frame: Any) -> None:
    columns = {"age": NUMBERS["age"], "color": list(COLORS)}
    lookup = layers.StringLookup(output_mode="one_hot")
    lookup.adapt(frame({"color": columns["color"]}))
    age, color = layers.Input((1,), name="age"), layers.Input((1,), name="color")
    features = layers.Concatenate()([layers.Rescaling(0.01)(age), lookup(color)])
    model = fnn.Model([age, color], layers.Dense(1)(features))
    model.compile("sgd", "mse")
    table = frame({"color": columns["color"], "age": columns["age"]})
    np.testing.assert_array_equal(model.predict(table), model.predict(columns))
    model.fit(table, Y, verbose=0)
    with pytest.raises(
        ValueError, match=r"x must have \['age', 'color'\], got \['age'\]: \['color'\]"
    ):
        model.predict(frame({"age": columns["age"]}))
    # What the model doesn't know is in nobody's way, whatever it holds.
    more = {**columns, "id": [f"{k:04}" for k in range(ROWS)], "seen": [None, *[1.5] * (ROWS - 1)]}
    for x in (frame(more), more):
        with pytest.warns(
            UserWarning, match=r"x has more .*: \['id', 'seen'\] are not used"
        ) as seen:
            found = model.predict(x)
        np.testing.assert_array_equal(found, model.predict(columns))
        assert len(seen) == 1 and seen[0].filename == __file__


def test_layers_learn_from_tables(frame: Any) -> None:
    layer = layers.Normalization()
    layer.adapt(frame(NUMBERS))
    np.testing.assert_allclose(layer.mean, MATRIX.mean(axis=0), rtol=1e-6)
    np.testing.assert_allclose(layer(frame(NUMBERS)), layer(MATRIX))
    with pytest.raises(ValueError, match="column 'a' has a missing value in row 0"):
        layer.adapt(frame({"a": [None, 1.0]}))


def test_a_gap_in_fit_is_named(frame: Any) -> None:
    with pytest.raises(ValueError, match=r"x, column 'b' has a missing value in row 1"):
        trained(frame({"a": [1, 2, 3], "b": [1, None, 3]}), Y[:3])
    with pytest.raises(ValueError, match=r"y, column 'y' has a missing value in row 1"):
        trained(frame({"a": [1, 2, 3]}), frame({"y": [1, None, 0]}))


# --- estimators ---------------------------------------------------------------------------------


def test_estimators_take_tables(frame: Any) -> None:
    pytest.importorskip("sklearn")
    from fastnn.sklearn import MLPClassifier

    def fitted(x: Any, y: Any) -> Any:
        return MLPClassifier((5,), max_iter=3, random_state=0, early_stopping=False).fit(x, y)

    with pytest.warns(Warning, match="onverge"):
        wanted = fitted(MATRIX, Y)
    with pytest.warns(Warning, match="onverge"):
        found = fitted(frame(NUMBERS), Y)
    np.testing.assert_array_equal(found.predict_proba(frame(NUMBERS)), wanted.predict_proba(MATRIX))
    with pytest.raises(ValueError, match=r"column 'b' has a missing value in row 1"):
        fitted(frame({"a": [1, 2, 3], "b": [1, None, 3]}), Y[:3])

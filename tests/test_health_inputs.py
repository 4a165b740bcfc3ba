"""diagnose, find_learning_rate and assert_healthy take what fit takes."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastnn as fnn
from fastnn import health, layers

RANDOM = np.random.default_rng(0)
X = RANDOM.standard_normal((3000, 6)).astype(np.float32)
Y = (X[:, 0] + X[:, 1] > 0).astype(np.int64) + (X[:, 2] > 0)
NEW = RANDOM.standard_normal((500, 6)).astype(np.float32)


def net() -> fnn.Sequential:
    fnn.utils.set_random_seed(0)
    model = fnn.Sequential(
        [layers.Input((6,)), layers.Dense(16, "relu"), layers.Dense(3, activation="softmax")]
    )
    model.compile(fnn.optimizers.Adam(0.01), "sparse_categorical_crossentropy")
    return model


def batches(rows: int = 3000, *extra: Any) -> Iterator[Any]:
    for start in range(0, rows, 50):
        part = slice(start, start + 50)
        yield (X[part], Y[part], *(each[part] for each in extra))


def endless() -> Iterator[Any]:
    while True:
        yield from batches()


@pytest.mark.parametrize("x", [list(batches()), batches(), iter(list(batches()))])
def test_batches_are_joined(x: Any) -> None:
    of_arrays = health.diagnose(net(), X, Y, steps=20)
    report = health.diagnose(net(), x, steps=20)
    assert report.verdict == of_arrays.verdict == "healthy"
    assert report.untreated.losses == of_arrays.untreated.losses


def test_no_more_than_needed_is_taken_from_an_endless_one() -> None:
    assert health.assert_healthy(net(), endless(), steps=20, batch_size=8).verdict == "healthy"
    found = health.find_learning_rate(net(), endless(), steps=60)
    assert (
        found.losses.tolist()
        == health.find_learning_rate(net(), list(batches(1950)), steps=60).losses.tolist()
    )


def test_weights_come_with_the_batches() -> None:
    weight = np.full(3000, 2.0)
    heavy = health.diagnose(net(), batches(3000, weight), steps=20)
    plain = health.diagnose(net(), X, Y, steps=20)
    assert heavy.untreated.losses[0] == pytest.approx(2 * plain.untreated.losses[0], rel=1e-6)


def test_sparse_matrices() -> None:
    sparse = pytest.importorskip("scipy.sparse")
    matrix = sparse.csr_matrix(X * (np.abs(X) > 0.5))
    assert health.diagnose(net(), matrix, Y, steps=40).verdict == "healthy"
    parts = [(matrix[i : i + 100], Y[i : i + 100]) for i in range(0, 3000, 100)]
    joined = health.diagnose(net(), parts, steps=40)
    whole = health.diagnose(net(), matrix, Y, steps=40)
    assert joined.untreated.losses == whole.untreated.losses


def two() -> tuple[fnn.Model, dict[str, Any], dict[str, Any]]:
    fnn.utils.set_random_seed(0)
    left, right = layers.Input((3,), name="left"), layers.Input((3,), name="right")
    hidden = layers.Dense(32, "relu")(layers.Concatenate()([left, right]))
    kind = layers.Dense(3, activation="softmax", name="kind")(hidden)
    price = layers.Dense(1, name="price")(hidden)
    model = fnn.Model([left, right], [kind, price])
    losses = {"kind": "sparse_categorical_crossentropy", "price": "mse"}
    model.compile(fnn.optimizers.Adam(0.01), losses)
    price_of = X[:, 0] - X[:, 3]
    return model, {"left": X[:, :3], "right": X[:, 3:]}, {"kind": Y, "price": price_of}


def test_several_inputs_and_outputs() -> None:
    model, x, y = two()
    assert health.assert_healthy(model, x, y).verdict == "healthy"
    parts = [
        ({k: v[i : i + 50] for k, v in x.items()}, {k: v[i : i + 50] for k, v in y.items()})
        for i in range(0, 3000, 50)
    ]
    assert health.diagnose(model, parts).verdict == "healthy"
    lists = health.diagnose(model, list(x.values()), list(y.values()))
    assert lists.untreated.losses == health.diagnose(model, x, y).untreated.losses


def by_column() -> tuple[fnn.Model, Any, Any]:
    """A model with an input for each of two columns, and an output for each of two others."""
    fnn.utils.set_random_seed(0)
    inputs = [layers.Input((1,), name=name) for name in ("age", "height")]
    hidden = layers.Dense(32, "relu")(layers.Concatenate()(inputs))
    model = fnn.Model(inputs, [layers.Dense(1, name=name)(hidden) for name in ("price", "weight")])
    model.compile(fnn.optimizers.Adam(0.01), "mse")
    # In another order than the model's, as tables come.
    x = {"height": X[:, 1], "age": X[:, 0]}
    return model, x, {"weight": X[:, 0] * X[:, 1], "price": X[:, 0] - X[:, 1]}


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_tables_of_several_inputs(library: str) -> None:
    frame = pytest.importorskip(library).DataFrame
    model, x, y = by_column()
    table, targets = frame(x), frame(y)
    model.fit(table, targets, verbose=0)
    model, x, y = by_column()
    look = partial(health.diagnose, model, steps=20, remedies=False)
    whole = look(x, y, validation_data=(x, y))
    of_table = look(table, targets, validation_data=(table, targets))
    assert of_table.untreated.losses == whole.untreated.losses
    assert of_table.untreated.loss == whole.untreated.loss
    assert health.assert_healthy(model, table, targets).verdict == "healthy"
    # A table of some rows as a batch; columns by themselves.
    parts = [(table[i : i + 100], targets[i : i + 100]) for i in range(0, 3000, 100)]
    held_out = look(x, y).untreated
    assert look(parts).untreated.loss == held_out.loss
    assert look([table["age"], table["height"]], targets).untreated.loss == held_out.loss
    plain = health.find_learning_rate(model, x, y, steps=30, validation_data=(x, y))
    rates = health.find_learning_rate(model, table, targets, steps=30, validation_data=parts)
    assert rates.losses.tolist() == plain.losses.tolist()
    with pytest.raises(ValueError, match=r"x must have \['age', 'height'\], .*'age'\] missing"):
        look(table.rename({"age": "years"}, **AXIS[library]), targets)


def test_what_the_model_does_not_read_is_named_and_left_out() -> None:
    frame = pytest.importorskip("pandas").DataFrame
    model, x, y = by_column()
    plain = health.diagnose(model, x, y, steps=20, remedies=False)
    days = np.arange(len(X)).astype("datetime64[D]")
    with pytest.warns(UserWarning, match=r"more than the inputs .*: \['day'\] are not used"):
        found = health.diagnose(
            model, frame({**x, "day": days}), frame(y), steps=20, remedies=False
        )
    assert found.untreated.losses == plain.untreated.losses
    with pytest.warns(UserWarning, match=r"\['others'\] are not used"):
        health.diagnose(model, {**x, "others": np.zeros(3)}, y, steps=20, remedies=False)


AXIS: dict[str, dict[str, Any]] = {"pandas": {"axis": "columns"}, "polars": {}}


def test_a_gap_in_a_table_is_named_before_any_work() -> None:
    pandas = pytest.importorskip("pandas")
    model, x, y = by_column()
    table = pandas.DataFrame(x)
    table.loc[2999, "age"] = np.nan
    for function in (health.diagnose, health.find_learning_rate):
        with pytest.raises(ValueError, match=r"age .* has a missing value in row 2999"):
            function(model, table, y)


def test_one_output_that_learns_nothing_is_found_beside_one_that_does() -> None:
    model, x, y = two()
    y["price"] = 1e6 * y["price"] + 1e7
    report = health.diagnose(model, x, y)
    assert report.verdict == "target_scale" and "'price'" in report.cause
    assert report.best is not None and "target_scale" in report.best.name
    cured = report.cure()
    cured.fit(x, y, epochs=5, verbose=0, **report.fit_arguments)
    kind, price = cured.predict(x, verbose=0)
    assert np.mean((price.ravel() - y["price"]) ** 2) < 0.1 * y["price"].var()
    assert np.mean(kind.argmax(axis=1) == Y) > 0.85


def test_validation_data_is_what_counts() -> None:
    labels = (NEW[:, 0] + NEW[:, 1] > 0).astype(np.int64) + (NEW[:, 2] > 0)
    judged = health.diagnose(net(), X, Y, steps=40, validation_data=(NEW, labels))
    model = net()
    assert judged.untreated.loss != health.diagnose(model, X, Y, steps=40).untreated.loss
    as_batches = [(NEW[:250], labels[:250]), (NEW[250:], labels[250:])]
    again = health.diagnose(net(), X, Y, steps=40, validation_data=as_batches)
    assert again.untreated.losses == judged.untreated.losses
    assert again.untreated.loss == judged.untreated.loss
    with pytest.raises(ValueError, match="validation_data must be"):
        health.diagnose(net(), X, Y, validation_data=NEW[0, 0])


@pytest.mark.parametrize(
    ("x", "more", "fault"),
    [
        (batches(), {"y": Y}, "must come with them"),
        (iter([]), {}, "no batch"),
        ([(X, Y, Y, Y)], {}, "must yield"),
    ],
)
def test_faults(x: Any, more: dict[str, Any], fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        health.diagnose(net(), x, **more)


def test_no_data() -> None:
    for function in (health.diagnose, health.find_learning_rate):
        with pytest.raises(TypeError, match="x is missing"):
            function(net(), None)


WEIGHTS = {0: 3.0, 1: 0.5}


def test_class_weights_are_those_of_the_rows() -> None:
    table = np.array([3.0, 0.5, 1.0])
    by_class = health.diagnose(net(), X, Y, steps=20, class_weight=WEIGHTS)
    by_row = health.diagnose(net(), X, Y, table[Y], steps=20)
    assert by_class.untreated.losses == by_row.untreated.losses
    assert by_class.untreated.loss == by_row.untreated.loss
    assert by_class.untreated.losses != health.diagnose(net(), X, Y, steps=20).untreated.losses
    labels = (NEW[:, 0] + NEW[:, 1] > 0).astype(np.int64) + (NEW[:, 2] > 0)
    both = health.diagnose(
        net(), X, Y, steps=20, class_weight=WEIGHTS, validation_data=(NEW, labels)
    )
    weighted = health.diagnose(
        net(), X, Y, table[Y], steps=20, validation_data=(NEW, labels, table[labels])
    )
    assert both.untreated.loss == weighted.untreated.loss
    assert health.assert_healthy(net(), X, Y, class_weight=WEIGHTS).verdict == "healthy"
    of_rates = health.find_learning_rate(net(), X, Y, class_weight=WEIGHTS, steps=60)
    np.testing.assert_array_equal(
        of_rates.losses, health.find_learning_rate(net(), X, Y, table[Y], steps=60).losses
    )


def test_class_weights_beside_labels_of_the_wrong_kind() -> None:
    report = health.diagnose(net(), X, np.eye(3)[Y], steps=20, class_weight=WEIGHTS)
    assert report.verdict == "loss_mismatch"
    with pytest.raises(ValueError, match="at the same time"):
        health.diagnose(net(), X, Y, np.ones(len(X)), class_weight=WEIGHTS)
    with pytest.raises(ValueError, match="names class 7"):
        health.find_learning_rate(net(), X, Y, class_weight={7: 1.0})


def test_rates_by_validation_data() -> None:
    labels = (NEW[:, 0] + NEW[:, 1] > 0).astype(np.int64) + (NEW[:, 2] > 0)
    model = net()
    before = model.get_weights()
    steps = 60
    judged = health.find_learning_rate(model, X, Y, steps=steps, validation_data=(NEW, labels))
    first = model.evaluate(NEW, labels, verbose=0, return_dict=True)["loss"]
    assert judged.losses[0] == pytest.approx(first, rel=1e-3)  # a step at a rate of 1e-7
    noise = [np.diff(each.losses[:20]).std() for each in (
        judged, health.find_learning_rate(model, X, Y, steps=steps)
    )]  # fmt: skip
    assert noise[0] < 0.1 * noise[1]
    assert 1e-3 < judged.suggestion < 1.0
    for one, other in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_data_set_of_pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("PIL")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    random = np.random.default_rng(0)
    for name, level in (("dark", 40), ("light", 160)):
        (tmp_path / "set" / name).mkdir(parents=True)
        for i in range(40):
            pixels = random.integers(level, level + 60, (4, 4, 1)).astype(np.uint8)
            fnn.utils.save_img(tmp_path / "set" / name / f"{i}.png", pixels, scale=False)
    dataset = fnn.utils.image_dataset_from_directory(
        tmp_path / "set", image_size=(4, 4), color_mode="grayscale", batch_size=8
    )
    model = fnn.Sequential(
        [layers.Input((4, 4, 1)), layers.Rescaling(1 / 255), layers.Flatten(),
         layers.Dense(2, "softmax")]
    )  # fmt: skip
    model.compile(fnn.optimizers.Adam(0.01), "sparse_categorical_crossentropy")
    report = health.diagnose(model, dataset, steps=20, validation_data=dataset)
    as_arrays = health.diagnose(
        model, dataset.images, dataset.labels, steps=20, batch_size=8,
        validation_data=(dataset.images, dataset.labels),
    )  # fmt: skip
    assert report.untreated.batch_size == 8
    assert report.untreated.losses == as_arrays.untreated.losses
    assert report.untreated.loss == as_arrays.untreated.loss
    assert len(health.find_learning_rate(model, dataset, steps=20).rates) > 10
    with pytest.raises(ValueError, match="y can't be given"):
        health.assert_healthy(model, dataset, dataset.labels)

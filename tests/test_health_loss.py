"""Loss mismatch: what does not fit is found and mended, what fits is left alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from nets import assert_same_bits
from numpy.typing import NDArray

import fastnn as fnn
from fastnn import layers, losses, metrics
from fastnn.health.changes import changes_for
from fastnn.health.loss import Mismatch, loss_mismatch

RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(40, 6)).astype(np.float32)
LABELS = RANDOM.integers(0, 3, 40)
ONE_HOT = np.eye(3)[LABELS]
MULTI_HOT = np.maximum(ONE_HOT, ONE_HOT[::-1])
BINARY = LABELS % 2
REAL = RANDOM.normal(size=(40, 3))
COUNTS = RANDOM.poisson(2.0, (40, 3))

SPARSE = losses.SparseCategoricalCrossentropy
CATEGORICAL = losses.CategoricalCrossentropy
FOCAL = losses.CategoricalFocalCrossentropy
BCE = losses.BinaryCrossentropy
MSE, MAE, HUBER = losses.MeanSquaredError, losses.MeanAbsoluteError, losses.Huber
POISSON = losses.Poisson


def net(ending: Any, loss: Any, width: int = 3, **settings: Any) -> Any:
    """``ending``: the last activation; or layers after the last Dense one."""
    stack = [layers.Input((6,)), layers.Dense(5, "tanh")]
    if isinstance(ending, list):
        stack += [layers.Dense(width), *ending]
    else:
        stack.append(layers.Dense(width, ending, name="last"))
    model = fnn.Sequential(stack)
    model.compile("adam", loss, **settings)
    return model


FITTING: list[tuple[Any, Any, NDArray]] = [
    ("softmax", SPARSE(), LABELS),
    ("softmax", SPARSE(), LABELS[:, None]),
    ("softmax", SPARSE(), np.float64(LABELS)),
    (None, SPARSE(from_logits=True), LABELS),
    ("leaky_relu", SPARSE(from_logits=True), LABELS),
    ("softmax", CATEGORICAL(), ONE_HOT),
    ("softmax", CATEGORICAL(label_smoothing=0.1), ONE_HOT),
    ("softmax", CATEGORICAL(), 0.8 * ONE_HOT + 0.2 / 3),
    (None, CATEGORICAL(from_logits=True), ONE_HOT),
    ("softmax", FOCAL(), ONE_HOT),
    (None, FOCAL(from_logits=True), ONE_HOT),
    ("sigmoid", BCE(), MULTI_HOT),
    ("sigmoid", BCE(), ONE_HOT),
    ("softmax", BCE(), ONE_HOT),
    ("hard_sigmoid", BCE(), MULTI_HOT),
    (None, BCE(from_logits=True), MULTI_HOT),
    ("sigmoid", BCE(), RANDOM.random((40, 3))),
    (None, MSE(), REAL),
    (None, MAE(), REAL),
    (None, HUBER(), REAL),
    ("elu", MSE(), np.abs(REAL)),
    ("tanh", MSE(), np.tanh(REAL)),
    ("relu", MSE(), COUNTS),
    ("softplus", MAE(), COUNTS),
    ("sigmoid", MSE(), ONE_HOT),
    ("softmax", MSE(), ONE_HOT),
    ("softplus", POISSON(), COUNTS),
    ("relu", POISSON(), COUNTS),
    ([layers.Softmax()], SPARSE(), LABELS),
    ([layers.BatchNormalization(), layers.Activation("softmax")], SPARSE(), LABELS),
    ([layers.Activation("softmax"), layers.Dropout(0.1)], SPARSE(), LABELS),
    ([layers.BatchNormalization()], SPARSE(from_logits=True), LABELS),
    ([layers.Residual([layers.Dense(3)])], MSE(), REAL),
    ([layers.Activation("linear")], MSE(), REAL),
    ([layers.ReLU(6.0)], MSE(), np.minimum(COUNTS, 6)),
    # Nobody knows what these make of their input.
    ([layers.Rescaling(0.5)], SPARSE(), LABELS),
    ("linear", lambda y_true, y_pred: (0.0, 0 * y_pred), LABELS),
]


@pytest.mark.parametrize("ending, loss, y", FITTING)
def test_what_fits_is_left_alone(ending: Any, loss: Any, y: NDArray) -> None:
    model = net(ending, loss)
    assert loss_mismatch(model, y) is None
    assert loss_mismatch(model) is None
    assert "loss" not in [change.name for change in changes_for(model, X, y)]
    model.train_on_batch(X, y)


@pytest.mark.parametrize(
    "ending, loss, y",
    [("sigmoid", BCE(), BINARY), ("sigmoid", BCE(), BINARY == 1), (None, MSE(), REAL[:, 0]),
     (None, BCE(from_logits=True), BINARY[:, None]), (None, MSE(), LABELS),
     ("relu", POISSON(), COUNTS[:, :1])],
)  # fmt: skip
def test_a_single_output_that_fits(ending: Any, loss: Any, y: NDArray) -> None:
    assert loss_mismatch(net(ending, loss, 1), y) is None


ODD: list[tuple[Any, Any, NDArray, str, str]] = [
    (None, SPARSE(), LABELS, "softmax is missing", "softmax"),
    ("relu", SPARSE(), LABELS, "last activation is relu", "softmax"),
    ("sigmoid", SPARSE(), LABELS, "last activation is sigmoid", "softmax"),
    ("sigmoid", CATEGORICAL(), ONE_HOT, "last activation is sigmoid", "softmax"),
    (None, FOCAL(), ONE_HOT, "softmax is missing", "softmax"),
    ("softmax", SPARSE(from_logits=True), LABELS, "applied twice", "from_logits=False"),
    ("softmax", CATEGORICAL(from_logits=True), ONE_HOT, "applied twice", "from_logits=False"),
    ("sigmoid", BCE(from_logits=True), MULTI_HOT, "applied twice", "from_logits=False"),
    ("relu", SPARSE(from_logits=True), LABELS, "relu cuts them off", "linear"),
    ("tanh", CATEGORICAL(from_logits=True), ONE_HOT, "tanh cuts them off", "linear"),
    ([layers.Softmax(), layers.Softmax()], SPARSE(), LABELS, "softmax is applied twice", "linear"),
    ([layers.ReLU(), layers.Softmax()], SPARSE(), LABELS, "relu cuts off", "linear"),
    ([layers.BatchNormalization()], SPARSE(), LABELS, "softmax is missing", "from_logits=True"),
    ([layers.Activation("tanh")], SPARSE(), LABELS, "last activation is tanh", "softmax"),
    (None, BCE(), MULTI_HOT, "sigmoid is missing", "sigmoid"),
    ("tanh", BCE(), MULTI_HOT, "sigmoid is missing", "sigmoid"),
    ("softmax", BCE(), MULTI_HOT, "sigmoid is missing", "sigmoid"),
    ("softmax", CATEGORICAL(), MULTI_HOT, "rows have several", "binary_crossentropy"),
    ("softmax", CATEGORICAL(), LABELS, "one number a row", "sparse_categorical_crossentropy"),
    ("sigmoid", BCE(), LABELS, "one number a row", "sparse_categorical_crossentropy"),
    (None, MSE(), LABELS, "one number a row", "sparse_categorical_crossentropy"),
    ("softmax", SPARSE(), ONE_HOT, "wants class numbers", "categorical_crossentropy"),
    (None, SPARSE(from_logits=True), ONE_HOT, "wants class numbers", "categorical_crossentropy"),
    ("relu", MSE(), REAL, "out of the range of relu", "linear"),
    ("sigmoid", MAE(), 50 * REAL, "out of the range of sigmoid", "linear"),
    ("tanh", HUBER(), COUNTS, "out of the range of tanh", "linear"),
    (None, POISSON(), COUNTS, "wants rates", "softplus"),
    ("sigmoid", POISSON(), COUNTS, "out of the range of sigmoid", "softplus"),
]


@pytest.mark.parametrize("ending, loss, y, cause, change", ODD)
def test_what_does_not_fit_is_mended(
    ending: Any, loss: Any, y: NDArray, cause: str, change: str
) -> None:
    model = net(ending, loss)
    before = model.get_weights()
    found = loss_mismatch(model, y)
    assert isinstance(found, Mismatch)
    assert cause in found.cause and change in found.change
    assert found.output == model.output_names[0]
    repair = next(each for each in changes_for(model, X, y) if each.category == "loss")
    assert repair.change == found.change
    mended = repair.apply(model)
    assert loss_mismatch(mended, y) is None
    assert_same_bits(mended.get_weights(), before)
    assert mended.output_names == model.output_names
    assert np.isfinite(mended.train_on_batch(X, y))


@pytest.mark.parametrize(
    "loss, y, width, cause",
    [(SPARSE(), LABELS + 1, 3, "labels go from 1 to 3"), (SPARSE(), LABELS - 1, 3, "from -1"),
     (SPARSE(), LABELS + 0.5, 3, "fractions"), (BCE(), 2 * BINARY - 1, 1, "from 0 to 1"),
     (CATEGORICAL(), ONE_HOT[:, :2], 3, "2 columns"), (SPARSE(), ONE_HOT[:, :2], 3, "2 columns"),
     (MSE(), REAL[:, 0], 3, "one number a row"), (POISSON(), REAL, 3, "wants counts")],
)  # fmt: skip
def test_data_that_no_change_of_the_model_makes_fit(
    loss: Any, y: NDArray, width: int, cause: str
) -> None:
    ending = {"binary_crossentropy": "sigmoid", "poisson": "relu", "mean_squared_error": None}
    model = net(ending.get(loss.kind, "softmax"), loss, width)
    found = loss_mismatch(model, y)
    assert found is not None and found.edit is None and cause in found.cause
    assert "loss" not in [change.name for change in changes_for(model, X, y)]


@pytest.mark.parametrize(
    "ending, loss, y",
    [("softmax", CATEGORICAL(), BINARY), ("softmax", BCE(), BINARY), ("tanh", BCE(), BINARY),
     ("softmax", MSE(), REAL[:, 0])],
)  # fmt: skip
def test_a_single_output_that_does_not_fit(ending: Any, loss: Any, y: NDArray) -> None:
    model = net(ending, loss, 1)
    found = loss_mismatch(model, y)
    assert found is not None and found.edit is not None
    mended = next(c for c in changes_for(model, X, y) if c.name == "loss").apply(model)
    assert loss_mismatch(mended, y) is None
    mended.train_on_batch(X, y)


def test_metrics_take_the_labels_of_the_new_loss() -> None:
    given = ["accuracy", metrics.CategoricalAccuracy(), metrics.TopKCategoricalAccuracy(2)]
    more = [metrics.CategoricalCrossentropy(), metrics.MeanSquaredError(), metrics.AUC()]
    model = net("softmax", CATEGORICAL(), metrics=[*given, *more], weighted_metrics=["accuracy"])
    repair = next(c for c in changes_for(model, X, LABELS) if c.name == "loss")
    made = repair.apply(model)
    assert [type(metric).__name__ for metric in made.metrics] == [
        "SparseCategoricalAccuracy", "SparseCategoricalAccuracy", "SparseTopKCategoricalAccuracy",
        "SparseCategoricalCrossentropy", "AUC", "SparseCategoricalAccuracy",
    ]  # fmt: skip
    made.fit(X, LABELS, verbose=0)
    back = next(c for c in changes_for(made, X, ONE_HOT) if c.name == "loss").apply(made)
    assert [type(metric) for metric in back.metrics][:4] == [
        metrics.CategoricalAccuracy, metrics.CategoricalAccuracy, metrics.TopKCategoricalAccuracy,
        metrics.CategoricalCrossentropy,
    ]  # fmt: skip


@pytest.mark.parametrize("by_name", [False, True])
def test_one_of_several_outputs(by_name: bool) -> None:
    x = layers.Input((6,))
    hidden = layers.Dense(5, "relu")(x)
    outputs = [
        layers.Dense(3, "softmax", name="kind")(hidden), layers.Dense(3, name="other")(hidden)
    ]  # fmt: skip
    model = fnn.Model(x, outputs)
    loss: Any = [SPARSE(), SPARSE()]
    kinds: Any = [["accuracy"], []]
    y: Any = [LABELS, LABELS]
    if by_name:
        loss, kinds = dict(zip(("kind", "other"), loss, strict=True)), {"kind": ["accuracy"]}
        y = {"kind": LABELS, "other": LABELS}
    model.compile("adam", loss, metrics=kinds)
    found = loss_mismatch(model, y)
    assert found is not None and found.output == "other"
    made = next(c for c in changes_for(model, X, y) if c.name == "loss").apply(model)
    assert loss_mismatch(made, y) is None
    made.train_on_batch(X, y)


def test_one_loss_for_all_outputs() -> None:
    x = layers.Input((6,))
    model = fnn.Model(x, [layers.Dense(3, "softmax")(x), layers.Dense(3, "softmax")(x)])
    model.compile("adam", "sparse_categorical_crossentropy")
    y = [LABELS, ONE_HOT]
    made = next(c for c in changes_for(model, X, y) if c.name == "loss").apply(model)
    made.train_on_batch(X, y)


def test_an_activation_that_others_read_too_is_left() -> None:
    x = layers.Input((6,))
    gate = layers.Dense(3, "sigmoid")(x)
    model = fnn.Model(x, [gate, layers.Add()([gate, layers.Dense(3)(x)])])
    model.compile("adam", ["categorical_crossentropy", "mse"])
    found = loss_mismatch(model, [ONE_HOT, REAL])
    assert found is not None and found.edit is None

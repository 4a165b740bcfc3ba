"""Bad input raises ValueError or TypeError that names the culprit, and changes nothing."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from nets import assert_same_bits, blobs, classifier, mlp, set_seeded_weights

import fastnn as fnn
from fastnn import initializers, layers, losses, metrics, optimizers

N = 40
X, Y = blobs(N)  # (40, 9) float32 and (40,) of classes 0 .. 3
BAD = (ValueError, TypeError)


def assert_names(message: str, *patterns: str) -> None:
    """Every pattern occurs in ``message``, in whatever case."""
    for pattern in patterns:
        assert re.search(pattern, message, re.IGNORECASE), f"{pattern!r} is not in: {message}"


def with_value(array: np.ndarray, value: float) -> np.ndarray:
    """A copy of ``array`` whose very last element is ``value``."""
    array = array.copy()
    array.flat[-1] = value
    return array


# --- data ---------------------------------------------------------------------------------------

# name: (x, y, patterns that the message must hold)
DATA: dict[str, tuple[Any, Any, tuple[str, ...]]] = {
    "x-too-narrow": (X[:, :5], Y, (r"\b5\b", r"\b9\b")),
    "x-too-wide": (np.ones((N, 11)), Y, (r"\b11\b", r"\b9\b")),
    "x-of-rank-1": (X[:, 0], Y, (r"\(40,\)", r"\b9\b")),
    "x-of-rank-3": (np.ones((N, 3, 3)), Y, (r"\b3, 3\b", r"\b9\b")),
    "x-scalar": (np.float32(3), Y, (r"\bx\b",)),
    "x-none": (None, Y, (r"\bx\b",)),
    "x-text": (np.full((N, 9), "7"), Y, (r"\bx\b", "str|<U|text|dtype")),
    "x-list-of-text": ([["seven"] * 9] * N, Y, (r"\bx\b",)),
    "x-bytes": (np.full((N, 9), b"7"), Y, (r"\bx\b",)),
    "x-objects": (X.astype(object), Y, (r"\bx\b", "object")),
    "x-ragged": ([[1.0] * 9] * (N - 1) + [[1.0] * 8], Y, (r"\bx\b",)),
    "x-complex": (X.astype(complex), Y, (r"\bx\b", "complex")),
    "x-dates": (np.zeros((N, 9), "datetime64[s]"), Y, (r"\bx\b", "datetime")),
    "x-nan": (with_value(X, np.nan), Y, (r"\bx\b", "nan")),
    "x-infinity": (with_value(X, np.inf), Y, (r"\bx\b", "inf")),
    "x-minus-infinity": (with_value(X, -np.inf), Y, (r"\bx\b", "inf")),
    "x-float64-nan": (with_value(np.float64(X), np.nan), Y, (r"\bx\b", "nan")),
    "x-beyond-float32": (with_value(np.float64(X), 1e39), Y, (r"\bx\b", r"1e\+?39|float32")),
    "x-fortran-nan": (np.asfortranarray(with_value(X, np.nan)), Y, (r"\bx\b", "nan")),
    "x-empty": (X[:0], Y[:0], ("empty|no rows|0 rows|at least one|no examples",)),
    "y-shorter": (X, Y[:-1], (r"\b40\b", r"\b39\b")),
    "y-longer": (X, np.append(Y, 0), (r"\b40\b", r"\b41\b")),
    "y-none": (X, None, (r"\by\b",)),
    "y-label-too-large": (X, with_value(Y, 4), (r"\by\b|label", r"\b4\b", r"\b3\b|\b4\)|\[0, 4")),
    "y-label-negative": (X, with_value(Y, -1), (r"\by\b|label", r"-1\b")),
    "y-label-float-too-large": (X, with_value(np.float32(Y), 4), (r"\by\b|label", r"\b4\b")),
    "y-label-huge": (X, with_value(Y, 2**40), (r"\by\b|label", str(2**40))),
    "y-label-nan": (X, with_value(np.float32(Y), np.nan), (r"\by\b|label", "nan")),
    "y-one-hot-for-sparse": (X, np.eye(4)[Y], (r"\by\b", r"\(?40, 4\b|\b4,?\)")),
    "y-text": (X, np.array(["cat"] * N), (r"\by\b",)),
    "y-objects": (X, Y.astype(object), (r"\by\b", "object")),
    "y-complex": (X, Y.astype(complex), (r"\by\b", "complex")),
}


def fit(model: Any, x: Any, y: Any) -> None:
    model.fit(x, y, verbose=0)


def evaluate(model: Any, x: Any, y: Any) -> None:
    model.evaluate(x, y, verbose=0)


def train_on_batch(model: Any, x: Any, y: Any) -> None:
    model.train_on_batch(x, y)


def fit_validation(model: Any, x: Any, y: Any) -> None:
    model.fit(X, Y, validation_data=(x, y), verbose=0)


def assert_refused(
    call: Callable[[Any], Any], *patterns: str, make: Callable[[], Any] = classifier, y: Any = Y
) -> None:
    """``call(model)`` raises, the message holds ``patterns``, and the model's state is untouched.

    The optimizer's state is compared by what comes of it: a step taken after the refusal is the
    step that a twin takes, which never saw the bad call.
    """
    model, twin = make(), make()
    for m in (model, twin):
        m.train_on_batch(X, y)
    before = model.get_weights()
    with pytest.raises(BAD) as refusal:
        call(model)
    assert_same_bits(model.get_weights(), before)
    assert model.optimizer.iterations == 1
    for m in (model, twin):
        m.train_on_batch(X, y)
    assert_same_bits(model.get_weights(), twin.get_weights())
    assert_names(str(refusal.value), *patterns)


@pytest.mark.parametrize("fault", DATA)
@pytest.mark.parametrize("call", [fit, train_on_batch, evaluate, fit_validation])
def test_bad_data_is_refused(call: Callable, fault: str) -> None:
    x, y, patterns = DATA[fault]
    assert_refused(lambda model: call(model, x, y), *patterns)


@pytest.mark.parametrize("fault", [name for name in DATA if name.startswith("x-")])
def test_bad_data_is_refused_by_predict(fault: str) -> None:
    x, _, patterns = DATA[fault]
    assert_refused(lambda model: model.predict(x, verbose=0), *patterns)


def test_wrong_shape_names_the_layer_or_argument() -> None:
    with pytest.raises(ValueError, match=r"(?i)\bx\b|input|dense"):
        classifier().fit(X[:, :5], Y, verbose=0)


# name: (sample_weight, patterns)
WEIGHTS: dict[str, tuple[Any, tuple[str, ...]]] = {
    "shorter": (np.ones(N - 1), (r"\b39\b", r"\b40\b")),
    "longer": (np.ones(N + 1), (r"\b41\b", r"\b40\b")),
    "matrix": (np.ones((N, 4)), (r"40, 4",)),
    "nan": (with_value(np.ones(N), np.nan), ("nan",)),
    "infinity": (with_value(np.ones(N), np.inf), ("inf",)),
    "text": (np.array(["1"] * N), ()),
    "objects": (np.ones(N, object), ("object",)),
}


@pytest.mark.parametrize("fault", WEIGHTS)
def test_bad_sample_weight_is_refused(fault: str) -> None:
    weight, patterns = WEIGHTS[fault]
    for call in (
        lambda model: model.fit(X, Y, sample_weight=weight, verbose=0),
        lambda model: model.train_on_batch(X, Y, sample_weight=weight),
        lambda model: model.evaluate(X, Y, sample_weight=weight, verbose=0),
    ):
        assert_refused(call, "sample_weight", *patterns)


def test_class_weight_and_sample_weight_exclude_each_other() -> None:
    options = {"class_weight": {0: 1.0}, "sample_weight": np.ones(N)}
    for call in (
        lambda model: model.fit(X, Y, verbose=0, **options),
        lambda model: model.train_on_batch(X, Y, **options),
    ):
        assert_refused(call, "class_weight", "sample_weight")


@pytest.mark.parametrize(
    "weight", [[1, 2, 3, 4], "balanced", {0: "heavy"}, {0: np.nan}, {"cat": 1.0}], ids=repr
)
def test_bad_class_weight_is_refused(weight: Any) -> None:
    assert_refused(lambda model: model.fit(X, Y, class_weight=weight, verbose=0), "class_weight")


# --- targets of other losses --------------------------------------------------------------------


def regressor() -> Any:
    model = mlp([9, 7, 3], output=None)
    model.compile(optimizer="adam", loss="mse")
    return model


@pytest.mark.parametrize(
    ("y", "patterns"),
    [
        (np.ones((N, 2)), (r"\by\b", r"40, 2|\b2\b", r"\b3\b")),
        (np.ones((N, 3, 1)), (r"\by\b", r"3, 1")),
        (np.ones((N - 1, 3)), (r"\b39\b", r"\b40\b")),
        (with_value(np.ones((N, 3)), np.nan), (r"\by\b", "nan")),
        (with_value(np.ones((N, 3)), np.inf), (r"\by\b", "inf")),
        (with_value(np.ones((N, 3)), -1e39), (r"\by\b",)),
    ],
    ids=["width", "rank", "length", "nan", "infinity", "beyond-float32"],
)
@pytest.mark.parametrize("call", [fit, train_on_batch, evaluate])
def test_bad_real_targets_are_refused(call: Callable, y: Any, patterns: tuple[str, ...]) -> None:
    good = np.zeros((N, 3))
    assert_refused(lambda model: call(model, X, y), *patterns, make=regressor, y=good)


def test_class_indices_for_categorical_crossentropy_are_refused() -> None:
    def make() -> Any:
        model = mlp([9, 7, 4])
        model.compile(optimizer="adam", loss="categorical_crossentropy")
        return model

    assert_refused(lambda model: fit(model, X, Y), r"\by\b", make=make, y=np.eye(4)[Y])


# --- arguments of fit ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("batch_size", 0),
        ("batch_size", -4),
        ("batch_size", 2.5),
        ("batch_size", "32"),
        ("epochs", -1),
        ("epochs", 1.5),
        ("epochs", "2"),
        ("initial_epoch", -1),
        ("validation_split", -0.1),
        ("validation_split", 1.0),
        ("validation_split", 1.5),
        ("validation_split", np.nan),
        ("validation_split", "0.2"),
        ("validation_data", X),
        ("validation_data", (X,)),
        ("validation_batch_size", 0),
        ("steps_per_epoch", 0),
        ("callbacks", ["early"]),
    ],
    ids=lambda value: getattr(value, "__name__", None) or (str(value)[:12]),
)
def test_bad_arguments_of_fit_are_refused(argument: str, value: Any) -> None:
    settings: dict[str, Any] = {argument: value, "verbose": 0}
    if argument == "validation_batch_size":
        settings["validation_data"] = (X, Y)
    came = [] if isinstance(value, (np.ndarray, tuple)) else [re.escape(str(value).strip("[]"))]
    assert_refused(lambda model: model.fit(X, Y, **settings), rf"\b{argument}\b", *came)


@pytest.mark.parametrize("batch_size", [0, -1, 1.5, "8"])
def test_bad_batch_size_of_evaluate_and_predict_is_refused(batch_size: Any) -> None:
    for call in (
        lambda model: model.evaluate(X, Y, batch_size=batch_size, verbose=0),
        lambda model: model.predict(X, batch_size=batch_size, verbose=0),
    ):
        assert_refused(call, "batch_size", re.escape(str(batch_size)))


def test_a_split_that_leaves_no_rows_is_refused() -> None:
    call = lambda model: model.fit(X[:1], Y[:1], validation_split=0.5, verbose=0)  # noqa: E731
    assert_refused(call, "validation_split")


def test_training_needs_compile() -> None:
    model = mlp([9, 5, 4])
    for call in (fit, evaluate, train_on_batch):
        with pytest.raises(ValueError, match="compile"):
            call(model, X, Y)


# --- several inputs and outputs -----------------------------------------------------------------


def two_by_two() -> Any:
    """Inputs "left" (9,) and "right" (2,); outputs "kind" (4,) and "size" (1,)."""
    left, right = layers.Input((9,), name="left"), layers.Input((2,), name="right")
    both = layers.Concatenate()([left, right])
    kind = layers.Dense(4, activation="softmax", name="kind")(both)
    model = fnn.Model([left, right], [kind, layers.Dense(1, name="size")(both)])
    model.compile(optimizer="adam", loss=["sparse_categorical_crossentropy", "mse"])
    return set_seeded_weights(model)


XS, YS = [X, X[:, :2]], [Y, X[:, :1]]


@pytest.mark.parametrize(
    ("x", "y", "patterns"),
    [
        (X, YS, ("2 inputs|two inputs|right|2 arrays|inputs",)),
        ([X], YS, (r"\b1\b|one|right", r"\b2\b|two|right")),
        ([X, X[:, :2], X], YS, (r"\b3\b|three", r"\b2\b|two")),
        ([X, X[:, :3]], YS, ("right", r"\b3\b", r"\b2\b")),
        ([X, X[:-1, :2]], YS, (r"\b39\b", r"\b40\b")),
        ({"left": X, "wrong": X[:, :2]}, YS, ("wrong", "right")),
        ([X, with_value(X[:, :2], np.nan)], YS, ("right", "nan")),
        (XS, Y, ("size|2 outputs|two outputs|outputs",)),
        (XS, [Y], (r"\b1\b|one|size", r"\b2\b|two|size")),
        (XS, [Y, X[:, :2]], ("size", r"\b2\b", r"\b1\b")),
        (XS, [with_value(Y, 9), X[:, :1]], ("kind", r"\b9\b")),
        (XS, {"kind": Y, "wrong": X[:, :1]}, ("wrong", "size")),
    ],
    ids=[
        "one-array",
        "missing-input",
        "spare-input",
        "width",
        "length",
        "name",
        "nan",
        "one-target",
        "missing-target",
        "target-width",
        "label",
        "target-name",
    ],
)
def test_bad_data_of_a_graph_is_refused(x: Any, y: Any, patterns: tuple[str, ...]) -> None:
    model, twin = two_by_two(), two_by_two()
    for m in (model, twin):
        m.train_on_batch(XS, YS)
    with pytest.raises(BAD) as refusal:
        model.fit(x, y, verbose=0)
    for m in (model, twin):
        m.train_on_batch(XS, YS)
    assert_same_bits(model.get_weights(), twin.get_weights())
    assert_names(str(refusal.value), *patterns)


# --- iterables ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("batch", "patterns"),
    [
        ((X[:, :5], Y), (r"\b5\b", r"\b9\b")),
        ((X, with_value(Y, 4)), (r"\b4\b",)),
        ((with_value(X, np.nan), Y), ("nan",)),
        ((X, Y[:-1]), (r"\b39\b", r"\b40\b")),
        ((X, Y, np.ones(N - 1)), ("sample_weight", r"\b39\b")),
        ((X, Y, np.ones(N), 3), ("4|four",)),
        ("text", ()),
        (7, ()),
    ],
    ids=["width", "label", "nan", "length", "weight-length", "four-parts", "text", "number"],
)
def test_a_bad_batch_is_refused(batch: Any, patterns: tuple[str, ...]) -> None:
    assert_refused(lambda model: model.fit([batch], verbose=0), *patterns)


def test_y_beside_an_iterable_is_refused() -> None:
    assert_refused(lambda model: model.fit(iter([(X, Y)]), Y, verbose=0), r"\by\b")


def test_an_iterable_without_batches_is_refused() -> None:
    assert_refused(lambda model: model.fit(iter([]), verbose=0))


# --- unknown names and impossible sizes ---------------------------------------------------------

NAMES: dict[str, tuple[Callable[[], Any], tuple[str, ...]]] = {
    "optimizer": (lambda: mlp([2, 3]).compile(optimizer="adamm", loss="mse"), ("adamm", "adam")),
    "loss": (lambda: mlp([2, 3]).compile("adam", loss="msee"), ("msee", "mse|mean_squared")),
    "metric": (lambda: compile_and_fit(metrics=["acuracy"]), ("acuracy", "accuracy")),
    "activation": (lambda: layers.Dense(3, activation="relux"), ("relux", "relu")),
    "activation-layer": (lambda: layers.Activation("relux"), ("relux", "relu")),
    "kernel-initializer": (
        lambda: layers.Dense(3, kernel_initializer="glorot"), ("glorot", "glorot_uniform"),
    ),
    "argument": (lambda: layers.Dense(3, activaton="relu"), ("activaton",)),
    "loss-name": (
        lambda: two_by_two().compile("adam", loss={"kind": "mse", "sise": "mse"}),
        ("sise", "size"),
    ),
    "losses-count": (
        lambda: two_by_two().compile("adam", loss=["mse", "mse", "mse"]), (r"\b3\b", r"\b2\b"),
    ),
    "optimizer-type": (lambda: mlp([2, 3]).compile(optimizer=3, loss="mse"), ("optimizer|3",)),
    "loss-type": (lambda: mlp([2, 3]).compile("adam", loss=3), ("loss|3",)),
    "loss-list": (lambda: mlp([2, 3]).compile("adam", loss=[["mse"]]), ("loss", "mse")),
    "adagrad-start": (
        lambda: fnn.optimizers.Adagrad(initial_accumulator_value=1e39), ("initial_acc", "1e.39"),
    ),
    "layer-type": (lambda: fnn.Sequential(["dense"]), ("dense",)),
    "same-names": (
        lambda: fnn.Sequential(
            [layers.Input((2,)), layers.Dense(2, name="a"), layers.Dense(2, name="a")]
        ),
        ("a", "unique|twice|already|name"),
    ),
}  # fmt: skip


def compile_and_fit(**settings: Any) -> None:
    """Keras resolves metrics when the outputs are known: at fit."""
    classifier(**settings).fit(X, Y, verbose=0)


@pytest.mark.parametrize("fault", NAMES)
def test_unknown_names_are_refused(fault: str) -> None:
    call, patterns = NAMES[fault]
    with pytest.raises(BAD) as refusal:
        call()
    assert_names(str(refusal.value), *patterns)


SIZES: dict[str, tuple[Callable[[], Any], tuple[str, ...]]] = {
    "units-negative": (lambda: layers.Dense(-1), ("units", "-1")),
    "units-zero": (lambda: layers.Dense(0), ("units", "0")),
    "units-float": (lambda: layers.Dense(2.5), ("units", r"2\.5")),
    "units-text": (lambda: layers.Dense("8"), ("units", "8")),
    "units-none": (lambda: layers.Dense(None), ("units", "None")),
    "input-negative": (lambda: layers.Input((-3,)), ("-3",)),
    "input-zero": (lambda: layers.Input((0,)), ("0",)),
    "input-text": (lambda: layers.Input(("9",)), ("9",)),
    "reshape": (
        lambda: layers.Reshape((4, 2))(layers.Input((9,))), (r"\b9\b", r"4, 2|\b8\b"),
    ),
    "reshape-two-unknown": (lambda: layers.Reshape((-1, -1))(layers.Input((9,))), ("-1",)),
    "reshape-indivisible": (lambda: layers.Reshape((2, -1))(layers.Input((9,))), (r"\b9\b",)),
    "conv-on-rows": (lambda: layers.Conv2D(3, 3)(layers.Input((4, 5))), ("height, width", "4, 5")),
    "add-widths": (
        lambda: layers.Add()([layers.Input((3,)), layers.Input((4,))]), (r"\b3\b", r"\b4\b"),
    ),
    "add-one": (lambda: layers.Add()([layers.Input((3,))]), ("add|merge|2|two|inputs",)),
    "momentum": (lambda: optimizers.SGD(0.1, momentum=-0.1), ("momentum", r"-0\.1")),
    "learning-rate-text": (lambda: optimizers.Adam("fast"), ("learning_rate", "fast")),
    "top-k-beyond-the-output": (
        lambda: classifier(metrics=[metrics.SparseTopKCategoricalAccuracy(k=5)]),
        ("top_k", "5", "4", "dense"),
    ),
    "loss-weight": (
        lambda: mlp([2, 3]).compile("adam", "mse", loss_weights="heavy"), ("loss_weights", "heavy"),
    ),
    "top-k": (lambda: metrics.TopKCategoricalAccuracy(k=0), ("k", "0")),
    "smoothing": (
        lambda: losses.CategoricalCrossentropy(label_smoothing=1.5), ("label_smoothing", r"1\.5"),
    ),
    "stddev": (lambda: initializers.RandomNormal(stddev="wide"), ("stddev", "wide")),
    "threads-zero": (lambda: fnn.set_num_threads(0), ("0",)),
    "threads-negative": (lambda: fnn.set_num_threads(-2), ("-2",)),
    "threads-text": (lambda: fnn.set_num_threads("two"), ("two",)),
}  # fmt: skip


@pytest.mark.parametrize("fault", SIZES)
def test_impossible_settings_are_refused(fault: str) -> None:
    call, patterns = SIZES[fault]
    with pytest.raises(BAD) as refusal:
        call()
    assert_names(str(refusal.value), *patterns)


def test_a_disconnected_graph_is_refused() -> None:
    a, b = layers.Input((3,), name="a"), layers.Input((3,), name="b")
    with pytest.raises(ValueError, match=r"b|disconnected"):
        fnn.Model(a, layers.Add()([layers.Dense(3)(a), b]))


# --- weights ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "patterns"),
    [
        (lambda w: w[:-1], (r"\b3\b", r"\b4\b")),
        (lambda w: [*w, w[0]], (r"\b5\b", r"\b4\b")),
        (lambda w: [*w[:-1], np.zeros(5)], (r"\b5\b", r"\b4\b")),
        (lambda w: [w[0], w[1], w[2].T, w[3]], (r"4, 16", r"16, 4")),
        (lambda w: [*w[:-1], np.array(["a"] * 4)], ()),
        (lambda w: [*w[:-1], None], ()),
    ],
    ids=["missing", "spare", "width", "transposed", "text", "none"],
)
def test_bad_weights_are_refused(change: Callable, patterns: tuple[str, ...]) -> None:
    # The good arrays before the bad one must not have been set either.
    weights = change([w + 1 for w in classifier().get_weights()])
    assert_refused(lambda model: model.set_weights(weights), *patterns)

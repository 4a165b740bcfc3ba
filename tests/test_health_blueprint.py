"""Blueprint: the model that is made is the one it was taken from, and shares nothing with it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from nets import assert_same_bits, blobs, classifier, set_seeded_weights
from numpy.typing import NDArray

import fastnn as fnn
from fastnn import _naming, layers, losses, metrics, optimizers, regularizers, utils
from fastnn.health.anatomy import hidden_units, output_layers
from fastnn.health.blueprint import Blueprint


class Scale(layers.NumPyLayer):
    """Of the user's own, with an argument that no configuration could hold."""

    def __init__(self, function: Any, **settings: Any) -> None:
        super().__init__(**settings)
        self.function = function

    def create_weights(self, input_shape: Any) -> None:
        self.add_weight((input_shape[-1],), "ones", "factor")

    def forward(self, x: NDArray, factor: NDArray) -> NDArray:  # type: ignore[override]
        return self.function(x) * factor

    def backward(self, x: NDArray, y: NDArray, dy: NDArray, factor: NDArray) -> Any:  # type: ignore[override]
        return dy * factor, (dy * x).sum(axis=0)


def absolute_error(y_true: NDArray, y_pred: NDArray) -> Any:
    difference = y_pred.copy()
    difference[np.arange(len(y_true)), y_true] -= 1
    return np.abs(difference).mean(axis=1), np.sign(difference) / difference.size


def own(name: str = "own") -> Any:
    """With a layer, a loss, a metric and an initializer in Python."""
    model = fnn.Sequential(
        [
            layers.Input((9,)),
            layers.Dense(8, "relu", kernel_initializer=lambda shape: np.full(shape, 0.1)),
            Scale(lambda x: x + 0),
            layers.Dense(4),
        ],
        name=name,
    )
    model.compile("sgd", absolute_error, metrics=[lambda y_true, y_pred: 1.0])
    return model


def graph() -> Any:
    """Two outputs, a shared layer, a branch, a Residual, normalization and a frozen layer."""
    x = layers.Input((9,))
    shared = layers.Dense(9, "tanh", name="shared")
    hidden = shared(shared(x))
    block = layers.Residual([layers.Dense(6, "relu"), layers.Dense(5)])
    left = block(hidden)
    right = layers.Dense(5, trainable=False, kernel_regularizer="l2")(hidden)
    right = layers.BatchNormalization()(right)
    merged = layers.ReLU()(layers.Add()([left, right]))
    merged = layers.Dropout(0.3)(merged)
    model = fnn.Model(x, [layers.Dense(4, "softmax", name="kind")(merged), layers.Dense(1)(merged)])
    model.compile(
        optimizers.Adam(optimizers.schedules.CosineDecay(0.01, 50)),
        ["sparse_categorical_crossentropy", "mse"],
        loss_weights=[1.0, 0.5],
        metrics=[["accuracy"], []],
    )
    return set_seeded_weights(model)


def nested() -> Any:
    inner = fnn.Sequential([layers.Dense(8, "relu"), layers.Dense(6, "relu")])
    model = fnn.Sequential([layers.Input((9,)), inner, layers.Dense(4, "softmax")])
    model.compile("rmsprop", "sparse_categorical_crossentropy")
    return model


MODELS = {"classifier": classifier, "graph": graph, "nested": nested, "own": own}


def targets(model: Any, y: NDArray) -> Any:
    return [y, np.float32(y)] if len(model.outputs) == 2 else y


def fit(model: Any, x: NDArray, y: NDArray) -> None:
    model.fit(x, targets(model, y), epochs=2, batch_size=16, verbose=0, shuffle=False)


def whole(model: Any) -> list[NDArray]:
    return [*model.get_weights(), *model._training_state().values()]


@pytest.mark.parametrize("name", MODELS)
def test_what_is_made_trains_like_the_model(name: str) -> None:
    model = MODELS[name]()
    x, y = blobs()
    made = Blueprint.of(model).make()
    assert type(made) is type(model)
    assert made.name == model.name
    assert [w.path for w in made.weights] == [w.path for w in model.weights]
    assert [w.trainable for w in made.weights] == [w.trainable for w in model.weights]
    assert_same_bits(made.get_weights(), model.get_weights())
    fit(model, x, y)
    fit(made, x, y)
    assert_same_bits(whole(made), whole(model))


@pytest.mark.parametrize("name", MODELS)
def test_the_model_and_all_random_numbers_stay_as_they_are(name: str) -> None:
    model = MODELS[name]()
    x, y = blobs()
    fit(model, x, y)
    before, random, names = whole(model), utils.random_state(), dict(_naming._counts)
    made = Blueprint.of(model).make()
    assert made.optimizer.iterations == 0
    fit(made, x, y)
    assert_same_bits(whole(model), before)
    made_again = Blueprint.of(model).make()
    assert_same_bits(made_again.get_weights(), model.get_weights())
    # `fit` draws the order of examples if it is to shuffle; here it draws nothing.
    assert utils.random_state() == random
    assert names == _naming._counts


def test_a_blueprint_does_not_change_with_its_model() -> None:
    model = classifier()
    before = model.get_weights()
    blueprint = Blueprint.of(model)
    fit(model, *blobs())
    fit(blueprint.make(), *blobs())
    assert_same_bits(blueprint.make().get_weights(), before)


def test_a_changed_learning_rate_is_kept() -> None:
    model = classifier(optimizer=optimizers.SGD(0.5))
    model.optimizer.learning_rate = 0.125
    assert Blueprint.of(model).make().optimizer.learning_rate == 0.125


def test_two_hundred_layers_need_no_deep_stack() -> None:
    dense = [layers.Dense(4, "relu") for _ in range(200)]
    model = fnn.Sequential([layers.Input((9,)), *dense, layers.Dense(4, "softmax")])
    model.compile("sgd", "sparse_categorical_crossentropy")
    assert_same_bits(Blueprint.of(model).make().get_weights(), model.get_weights())


def test_what_is_missing_is_named() -> None:
    with pytest.raises(ValueError, match="not built"):
        Blueprint.of(fnn.Sequential([layers.Dense(2)]))
    with pytest.raises(ValueError, match="not compiled"):
        Blueprint.of(fnn.Sequential([layers.Input((3,)), layers.Dense(2)]))
    model = fnn.Sequential([layers.Input((9,)), Scale((each for each in "x"), name="odd")])
    model.compile("sgd", "mse")
    with pytest.raises(ValueError, match="'odd' can't be copied"):
        Blueprint.of(model)


def test_a_layer_may_become_several_anywhere() -> None:
    model = graph()
    blueprint = Blueprint.of(model)
    extra = {
        layer: layers.GaussianNoise(0.0, seed=1, name=f"{layer.name}_noise")
        for layer in blueprint.layers
        if isinstance(layer, layers.Dense) and layer not in output_layers(blueprint)
    }
    edited = blueprint.mapped(lambda layer: [layer, extra[layer]] if layer in extra else [layer])
    made = edited.make()
    x = blobs()[0]
    for one, two in zip(model.predict(x, verbose=0), made.predict(x, verbose=0), strict=True):
        np.testing.assert_array_equal(one, two)
    # The shared layer is called twice, each time with what follows it.
    assert [call.layer.name for call in edited.calls].count("shared_noise") == 2
    assert len(edited.calls) == len(blueprint.calls) + 2 + 1
    inner = next(layer for layer in made.layers if isinstance(layer, layers.Residual))
    assert len(inner.layers) == 4
    # Taken out again, the calls are what they were.
    noise = set(extra.values())
    bare = edited.mapped(lambda layer: [] if layer in noise else [layer])
    assert [call.inputs for call in bare.calls] == [call.inputs for call in blueprint.calls]


def test_a_layer_put_first_is_read_by_all() -> None:
    model = graph()
    made = Blueprint.of(model).preceded(layers.Rescaling(2.0, name="twice")).make()
    x = blobs()[0]
    for one, two in zip(model.predict(2 * x), made.predict(x), strict=True):
        np.testing.assert_array_equal(one, two)


def test_units_and_the_activations_that_follow_them() -> None:
    model = fnn.Sequential(
        [
            layers.Input((9,)),
            layers.Dense(8, "relu", name="a"),
            layers.Dense(8, name="b"),
            layers.BatchNormalization(),
            layers.Dropout(0.1),
            layers.Activation("tanh", name="tanh"),
            layers.Residual(
                [layers.Dense(8, name="c"), layers.LeakyReLU(), layers.Dense(8, name="d")]
            ),
            layers.Dense(4, name="e"),
            layers.Softmax(),
        ]
    )
    model.compile("sgd", "sparse_categorical_crossentropy")
    blueprint = Blueprint.of(model)
    units = hidden_units(blueprint)
    assert [(u.layer.name, u.activation.kind, u.normalized) for u in units] == [
        ("a", "relu", False), ("b", "tanh", True), ("c", "leaky_relu", False),
        ("d", "linear", False),
    ]  # fmt: skip
    assert [unit.last.name for unit in units][:2] == ["a", "tanh"]
    assert [layer.name for layer in output_layers(blueprint)] == ["e"]


def test_losses_by_name_of_the_output() -> None:
    x = layers.Input((9,))
    model = fnn.Model(x, [layers.Dense(1, name="a")(x), layers.Dense(1, name="b")(x)])
    model.compile("sgd", {"b": losses.Huber()}, metrics={"b": [metrics.MeanAbsoluteError()]})
    blueprint = Blueprint.of(model)
    assert [type(blueprint.loss_of(number)).__name__ for number in (0, 1)] == ["NoneType", "Huber"]
    assert blueprint.make().metrics_names == model.metrics_names


def test_regularizers_and_constraints_stay_with_their_weights() -> None:
    model = fnn.Sequential(
        [layers.Input((9,)), layers.Dense(4, kernel_regularizer="l2", kernel_constraint="non_neg")]
    )
    model.compile("sgd", "mse")
    kernel = Blueprint.of(model).make().weights[0]
    assert isinstance(kernel.regularizer, regularizers.L2)
    assert type(kernel.constraint).__name__ == "NonNeg"

"""Gradients of odd graphs, against finite differences of a float64 twin."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import twins
from nets import set_seeded_weights
from programs import (
    CROSSENTROPY,
    counts,
    find,
    logits_and_probabilities,
    residual,
    training_program,
)

import fastnn as fnn
from fastnn import layers, losses, optimizers

U = 2.0**-24


def evaluate(model: Any, weights: dict[str, Any], xs: list[Any]) -> list[Any]:
    """Outputs of the model in float64."""
    values = dict(zip(model.inputs, xs, strict=True))
    for node in model.nodes:
        layer, inputs = node.layer, [values[t] for t in node.inputs]
        if isinstance(layer, layers.Dense):
            y = inputs[0] @ weights[layer.kernel.path]
            if layer.bias is not None:
                y = y + weights[layer.bias.path]
            values[node.output] = activate(layer.activation, y)
        elif isinstance(layer, layers.Add):
            values[node.output] = sum(inputs)
        elif isinstance(layer, layers.Concatenate):
            values[node.output] = np.concatenate(inputs, axis=1)
        elif isinstance(layer, layers.BatchNormalization | layers.LayerNormalization):
            values[node.output] = normalize(layer, weights, inputs[0])
        elif isinstance(layer, layers.Rescaling):
            values[node.output] = inputs[0] * layer.scale + layer.offset
        else:
            values[node.output] = activate(layer.activation, inputs[0])
    return [values[t] for t in model.outputs]


def normalize(layer: Any, weights: dict[str, Any], x: Any) -> Any:
    """As in training."""
    if isinstance(layer, layers.LayerNormalization):
        mean, variance = x.mean(axis=1, keepdims=True), x.var(axis=1, keepdims=True)
    elif layer.trainable:
        mean, variance = x.mean(axis=0), x.var(axis=0)
    else:
        mean, variance = weights[layer.moving_mean.path], weights[layer.moving_variance.path]
    y = (x - mean) / np.sqrt(variance + layer.epsilon)
    if layer.gamma is not None:
        y = y * weights[layer.gamma.path]
    return y if layer.beta is None else y + weights[layer.beta.path]


def activate(activation: Any, z: Any) -> Any:
    if activation.kind == "softmax":
        e = np.exp(z - z.max(axis=1, keepdims=True))
        return e / e.sum(axis=1, keepdims=True)
    return twins.ACTIVATIONS[activation.kind].value(z)


def check_gradients(model: Any, rows: int = 19, loss_weights: list[float] | None = None) -> None:
    """One step of SGD at rate 1 on squared errors takes the float64 gradient from every weight."""
    set_seeded_weights(model, 3)
    random = np.random.default_rng(1)
    xs = [random.standard_normal((rows, t.shape[1])).astype(np.float32) for t in model.inputs]
    ys = [random.standard_normal((rows, t.shape[1])).astype(np.float32) for t in model.outputs]
    before = {v.path: v.numpy().astype(np.float64) for v in model.weights}

    def loss(weights: dict[str, Any]) -> float:
        outputs = evaluate(model, weights, [x.astype(np.float64) for x in xs])
        shares = loss_weights or [1.0] * len(outputs)
        return sum(
            share * np.mean((output - y) ** 2)
            for share, output, y in zip(shares, outputs, ys, strict=True)
        )

    model.compile(optimizers.SGD(1.0), "mean_squared_error", loss_weights=loss_weights)
    total = model.train_on_batch(xs if len(xs) > 1 else xs[0], ys if len(ys) > 1 else ys[0])
    np.testing.assert_allclose(np.ravel(total)[0], loss(before), rtol=64 * U)
    trainable = {v.path for v in model.trainable_weights}
    for variable in model.weights:
        if variable.name.startswith("moving_"):
            continue
        value = before[variable.path]
        gradient = np.zeros_like(value)
        for i in np.ndindex(value.shape) if variable.path in trainable else ():
            sides = []
            for h in (1e-6, -1e-6):
                moved = value.copy()
                moved[i] += h
                sides.append(loss({**before, variable.path: moved}))
            gradient[i] = (sides[0] - sides[1]) / 2e-6
        # roundings of the forward and backward chains, few dozens of terms each; 1e-8: differences
        bound = 128 * U * (np.abs(value).max() + np.abs(gradient).max()) + 1e-8
        np.testing.assert_allclose(variable.numpy(), value - gradient, rtol=0, atol=bound)
        assert not padding_of(variable).any(), f"the padding of {variable.path} is not zero"


def padding_of(variable: Any) -> Any:
    """What of the storage is not the value."""
    from fastnn.kernels.layout import pack

    clean = np.zeros_like(variable.storage)
    pack(variable.numpy(), clean)
    return variable.storage - clean


@pytest.mark.parametrize("rows", [1, 19, 140])
def test_gradients_of_everything_at_once(rows: int) -> None:
    check_gradients(residual(), rows, loss_weights=[0.5, 2.0])


@pytest.mark.parametrize("units", [3, 4, 20])
def test_a_shared_layer_sums_its_gradients(units: int) -> None:
    x = layers.Input((units,))
    shared = layers.Dense(units, activation="tanh")
    check_gradients(fnn.Model(x, shared(shared(shared(x)))))


def test_a_shared_layer_of_several_inputs() -> None:
    a, b = layers.Input((5,)), layers.Input((5,))
    shared = layers.Dense(6, activation="silu", use_bias=False)
    check_gradients(
        fnn.Model([a, b], layers.Dense(2)(layers.Concatenate()([shared(a), shared(b)])))
    )


def test_outputs_that_are_read_further_on() -> None:
    x = layers.Input((5,))
    h = layers.Dense(7, activation="elu")(x)
    g = layers.Dense(6, activation="tanh")(h)
    check_gradients(fnn.Model(x, [h, g, layers.Dense(2)(g)]), loss_weights=[1.0, 0.25, 3.0])


def test_the_same_tensor_twice_as_an_output() -> None:
    x = layers.Input((5,))
    h = layers.Dense(4, activation="softmax")(x)
    check_gradients(fnn.Model(x, [h, h]), loss_weights=[1.0, 0.5])


def test_the_same_probabilities_twice_as_an_output() -> None:
    """Two cross-entropies of one softmax."""
    x = layers.Input((5,))
    h = layers.Dense(4, activation="softmax")(x)
    model = set_seeded_weights(fnn.Model(x, [h, h]))
    model.compile(optimizers.SGD(1.0), [CROSSENTROPY, CROSSENTROPY])
    random = np.random.default_rng(0)
    data, labels = random.standard_normal((9, 5)).astype(np.float32), random.integers(0, 4, 9)
    once = set_seeded_weights(fnn.Model(x, h))
    once.compile(optimizers.SGD(2.0), CROSSENTROPY)
    model.train_on_batch(data, [labels, labels])
    once.train_on_batch(data, labels)
    for a, b in zip(model.get_weights(), once.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=32 * U)


def test_logits_and_their_softmax_as_outputs() -> None:
    check_gradients(logits_and_probabilities(), loss_weights=[1.0, 2.0])


def test_add_of_a_value_to_itself() -> None:
    x = layers.Input((5,))
    h = layers.Dense(6, activation="gelu")(x)
    check_gradients(fnn.Model(x, layers.Dense(3)(layers.Add()([h, h]))))


def test_add_of_what_only_it_reads() -> None:
    """The terms share one gradient buffer."""
    x = layers.Input((5,))
    a, b = layers.Dense(6, activation="tanh")(x), layers.Dense(6)(x)
    c = layers.Activation("sigmoid")(layers.Dense(6)(x))
    check_gradients(fnn.Model(x, layers.Dense(3)(layers.Add()([a, b, c]))))


@pytest.mark.parametrize("widths", [(3, 5), (16, 16), (15, 18, 1)], ids=str)
def test_concatenate(widths: tuple[int, ...]) -> None:
    x = layers.Input((4,))
    parts = [layers.Dense(w, activation="softsign")(x) for w in widths]
    check_gradients(fnn.Model(x, layers.Dense(2)(layers.Concatenate()([*parts, parts[0], x]))))


NORMS = [layers.BatchNormalization, layers.LayerNormalization]


@pytest.mark.parametrize("rows", [5, 33, 140])
@pytest.mark.parametrize("activation", ["linear", "tanh", "gelu"])
@pytest.mark.parametrize("norm", NORMS)
def test_normalization_between_dense_layers(norm: Any, activation: str, rows: int) -> None:
    x = layers.Input((5,))
    h = layers.Activation(activation)(norm()(layers.Dense(18)(x)))
    h = layers.Activation(activation)(norm(scale=False)(layers.Dense(7, activation="tanh")(h)))
    check_gradients(fnn.Model(x, layers.Dense(3)(h)), rows)


@pytest.mark.parametrize("trainable", [True, False])
@pytest.mark.parametrize("norm", NORMS)
def test_normalization_of_what_others_read(norm: Any, trainable: bool) -> None:
    """Gradients are added to what is there, and stay as they are where they are read elsewhere."""
    x = layers.Input((5,))
    h = layers.Dense(18)(x)
    for activation in ("gelu", "tanh"):
        f = layers.Activation(activation)(norm(trainable=trainable)(h))
        h = layers.Add()([h, f, norm(center=False, trainable=trainable)(layers.Dense(18)(f))])
    model = fnn.Model(x, [layers.Dense(3)(h), norm(trainable=trainable)(h)])
    check_gradients(model, loss_weights=[1.0, 0.5])


@pytest.mark.parametrize("norm", NORMS)
def test_a_shared_normalization(norm: Any) -> None:
    a, b = layers.Input((6,)), layers.Input((6,))
    shared = norm()
    joined = layers.Concatenate()([shared(layers.Dense(6)(a)), shared(shared(b))])
    check_gradients(fnn.Model([a, b], layers.Dense(2)(joined)))


@pytest.mark.parametrize("norm", NORMS)
def test_normalization_before_any_weight(norm: Any) -> None:
    x = layers.Input((5,))
    check_gradients(fnn.Model(x, layers.Dense(2)(norm()(layers.Activation("tanh")(x)))))


@pytest.mark.parametrize("norm", NORMS)
def test_a_normalized_sigmoid_gives_its_logits_to_the_loss(norm: Any) -> None:
    model = fnn.Sequential(
        [layers.Input((5,)), layers.Dense(3), norm(), layers.Activation("sigmoid")]
    )
    program = training_program(model, losses.BinaryCrossentropy())
    assert counts(program)["activation_backward"] == 0
    (loss,) = find(program, "loss")
    assert loss["probabilities"] is not None


def test_gradients_pass_layers_that_stay_as_they_are() -> None:
    x = layers.Input((5,))
    frozen = layers.Dense(6, activation="tanh")
    h = frozen(layers.Dense(4, activation="sigmoid")(x))
    frozen.trainable = False
    model = fnn.Model(x, layers.Dense(2)(h))
    check_gradients(model)
    assert counts(training_program(model, losses.MeanSquaredError()))["dense_backward_weights"] == 2


def test_no_gradient_is_computed_below_the_first_trainable_layer() -> None:
    x = layers.Input((5,))
    frozen = layers.Dense(6, activation="tanh")
    h = frozen(x)
    frozen.trainable = False
    model = fnn.Model(x, layers.Dense(2)(h))
    check_gradients(model)
    program = training_program(model, losses.MeanSquaredError())
    assert counts(program)["dense_backward_input"] == 0
    assert counts(program)["dense_backward_weights"] == 1


def test_rescaling_between_layers_and_activations_by_themselves() -> None:
    x = layers.Input((5,))
    h = layers.Rescaling(0.5, -0.25)(layers.Dense(6, activation="tanh")(x))
    h = layers.Activation("softplus")(layers.Add()([h, layers.Dense(6)(x)]))
    check_gradients(fnn.Model(x, layers.Softmax()(layers.Dense(3)(h))))

"""Changes: each makes what its words say, keeps the rest, and leaves the model as it was."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nets import assert_same_bits, blobs, set_seeded_weights
from numpy.typing import NDArray

import fastnn as fnn
from fastnn import _naming, callbacks, initializers, layers, optimizers, utils
from fastnn.health.changes import Change, changes_for, combine

WIDTH = 64


def deep(
    activation: str = "sigmoid", depth: int = 7, form: str = "sequential", **settings: Any
) -> Any:
    """Hidden layers of equal width, in one of three forms."""
    x = layers.Input((9,))
    head = layers.Dense(WIDTH, activation, name="first", **settings)
    rest = [layers.Dense(WIDTH, activation, name=f"d{n}", **settings) for n in range(depth - 1)]
    last = layers.Dense(4, "softmax", name="last")
    if form == "sequential":
        model = fnn.Sequential([x, head, *rest, last])
    elif form == "functional":
        y = head(x)
        for layer in rest:
            y = layer(y)
        model = fnn.Model(x, last(y))
    else:
        blocks = [layers.Residual([one], name=f"block_{one.name}") for one in rest]
        y = head(x)
        for block in blocks:
            y = layers.Add()([block(y), y])
        model = fnn.Model(x, last(y))
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def named(model: Any, name: str, x: Any = None, y: Any = None) -> Change:
    if x is None:
        x, y = blobs()
    found = {change.name: change for change in changes_for(model, x, y)}
    assert name in found, list(found)
    return found[name]


def names(model: Any, x: Any = None, y: Any = None) -> list[str]:
    if x is None:
        x, y = blobs()
    return [change.name for change in changes_for(model, x, y)]


def flat(model: Any) -> list[Any]:
    """The layers, those of a Residual in its place."""
    found = []
    for layer in model.layers:
        found += layer.layers if isinstance(layer, layers.Residual) else [layer]
    return [layer for layer in found if not isinstance(layer, layers.InputLayer)]


def weights(model: Any) -> dict[str, NDArray]:
    return {variable.path: variable.numpy() for variable in model.weights}


def scale(kernel: NDArray, n: float) -> float:
    return float(kernel.var() * n)


FORMS = ("sequential", "functional", "residual")


@pytest.mark.parametrize("form", FORMS)
def test_every_change_trains_and_leaves_the_model_alone(form: str) -> None:
    model = deep(form=form)
    x, y = blobs()
    model.fit(x, y, verbose=0)
    state = [*model.get_weights(), *model._training_state().values()]
    random, counts = utils.random_state(), dict(_naming._counts)
    changes = changes_for(model, x, y)
    made = [change.apply(model) for change in changes]
    again = [change.apply(model) for change in changes]
    assert utils.random_state() == random
    assert counts == _naming._counts
    assert len({change.name for change in changes}) == len(changes)
    for change, one, two in zip(changes, made, again, strict=True):
        assert one.compiled and one.optimizer.iterations == 0
        assert_same_bits(one.get_weights(), two.get_weights())
        np.testing.assert_array_equal(weights(one)["last/kernel"], weights(model)["last/kernel"])
        one.fit(x, y, **{"verbose": 0, **change.fit_arguments()})
    now = [*model.get_weights(), *model._training_state().values()]
    assert_same_bits(now, state)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    "activation, wanted", [("relu", 2.0), ("selu", 1.0), ("tanh", 1.0), ("sigmoid", 16.0)]
)
def test_initialization(form: str, activation: str, wanted: float) -> None:
    model = deep(activation, form=form, kernel_initializer="ones", bias_initializer="ones")
    change = named(model, "initialization")
    assert f"the 7 hidden layers with {activation}" in change.change
    made = weights(change.apply(model))
    kernels = [made[f"d{number}/kernel"] for number in range(6)]
    for kernel in kernels:
        # 4096 values: their variance is within 1 / sqrt(2048) of the distribution's, four times.
        assert scale(kernel, WIDTH) == pytest.approx(wanted, rel=0.09)
    assert not np.array_equal(kernels[0], kernels[1])
    assert not any(value.any() for path, value in made.items() if path.endswith("bias"))
    np.testing.assert_array_equal(made["last/kernel"], weights(model)["last/kernel"])


def test_initialization_is_not_offered_where_it_is_what_is_there() -> None:
    x, y = blobs()
    for activation, initializer in (("relu", "he_normal"), ("tanh", "glorot_normal")):
        assert "initialization" not in names(deep(activation, kernel_initializer=initializer))
    assert "initialization" not in names(deep("relu", kernel_initializer=initializers.LSUV()))
    assert "initialization" in names(deep("relu", kernel_initializer="glorot_uniform"))
    model = deep("relu", kernel_initializer="he_normal", bias_initializer=initializers.Constant(-2))
    assert "initialization" in names(model, x, y)


def test_an_output_layer_far_off_is_drawn_anew_too() -> None:
    model = deep("relu")
    last = model.get_layer("last")
    last.kernel.assign(100 * last.kernel.numpy())
    change = named(model, "initialization")
    assert change.change.count("output layer 'last'") == 1
    kernel = weights(change.apply(model))["last/kernel"]
    assert scale(kernel, (WIDTH + 4) / 2) == pytest.approx(1, rel=0.4)


def test_frozen_layers_keep_their_weights() -> None:
    model = deep("relu", kernel_initializer="ones")
    model.get_layer("d1").trainable = False
    model.compile("adam", "sparse_categorical_crossentropy")
    for change in changes_for(model, *blobs()):
        kernel = weights(change.apply(model)).get("d1/kernel")
        if kernel is not None:
            np.testing.assert_array_equal(kernel, np.ones((WIDTH, WIDTH)), change.name)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    "before, after, wanted",
    [("sigmoid", "relu", 2.0), ("tanh", "selu", 1.0), ("relu", "elu", 2.0), ("relu", "selu", 1.0),
     ("relu", "leaky_relu", 2.0), ("linear", "relu", 2.0)],
)  # fmt: skip
def test_activation(form: str, before: str, after: str, wanted: float) -> None:
    model = deep(before, form=form)
    made = named(model, f"activation_{after}").apply(model)
    dense = [layer for layer in flat(made) if isinstance(layer, layers.Dense)]
    assert [layer.activation.kind for layer in dense] == [after] * 7 + ["softmax"]
    assert scale(weights(made)["d3/kernel"], WIDTH) == pytest.approx(wanted, rel=0.09)


def separate() -> Any:
    """Activations in layers of their own, normalized, with dropout."""
    stack: list[Any] = [layers.Input((9,))]
    for number in range(4):
        stack += [
            layers.Dense(WIDTH, name=f"d{number}"),
            layers.BatchNormalization(),
            layers.ReLU(name=f"a{number}"),
            layers.Dropout(0.1, seed=1),
        ]
    model = fnn.Sequential([*stack, layers.Dense(4, name="last"), layers.Softmax()])
    model.compile("adam", "sparse_categorical_crossentropy")
    return set_seeded_weights(model)


def test_activations_in_layers_of_their_own() -> None:
    model = separate()
    offered = names(model)
    assert "batch_normalization" not in offered and "dropout" not in offered
    made = named(model, "activation_elu").apply(model)
    assert [made.get_layer(f"a{number}").activation.kind for number in range(4)] == ["elu"] * 4
    assert made.layers[-1].activation.kind == "softmax"
    made = named(model, "residual").apply(model)
    kinds = [[type(layer).__name__ for layer in block.layers] for block in made.layers
             if isinstance(block, layers.Residual)]  # fmt: skip
    assert kinds == [["Dense", "BatchNormalization", "ReLU", "Dropout", "Dense",
                      "BatchNormalization", "Dropout"]]  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kind", ["BatchNormalization", "LayerNormalization"])
def test_normalization(form: str, kind: str) -> None:
    model = deep("tanh", form=form)
    name = "batch_normalization" if kind.startswith("B") else "layer_normalization"
    made = named(model, name).apply(model)
    found = [type(layer).__name__ for layer in flat(made)]
    assert found[:3] == ["Dense", kind, "Activation"]
    assert found.count(kind) == 7
    assert found[-1] == "Dense"
    after = weights(made)
    for path, value in weights(model).items():
        np.testing.assert_array_equal(after[path], value, path)
    assert not {"batch_normalization", "layer_normalization"} & set(names(made))


def test_shortcuts() -> None:
    for form in ("sequential", "functional"):
        model = deep("relu", depth=8, form=form)
        made = named(model, "residual").apply(model)
        blocks = [layer for layer in made.layers if isinstance(layer, layers.Residual)]
        assert [[layer.name for layer in block.layers] for block in blocks] == [
            ["d0", "d1"], ["d2", "d3"], ["d4", "d5"],
        ]  # fmt: skip
        assert all(block.projection is None for block in blocks)
        assert [layer.activation.kind for layer in blocks[0].layers] == ["relu", "linear"]
        made_weights, old = weights(made), weights(model)
        assert scale(made_weights["d0/kernel"], WIDTH) == pytest.approx(2, rel=0.09)
        assert scale(made_weights["d1/kernel"], WIDTH) == pytest.approx(1 / 3, rel=0.09)
        np.testing.assert_array_equal(made_weights["first/kernel"], old["first/kernel"])
        np.testing.assert_array_equal(made_weights["d6/kernel"], old["d6/kernel"])
    # Where the net is no chain there is nothing to wrap.
    assert not {"residual", "depth"} & set(names(deep(form="residual")))


@pytest.mark.parametrize("depth", [50])
@pytest.mark.parametrize("activation", ["relu", "sigmoid", "tanh"])
def test_shortcuts_keep_gradients_level(activation: str, depth: int) -> None:
    model = deep(activation, depth)
    x, y = blobs()
    made = named(model, "residual").apply(model)
    norms = [norm for path, norm in fnn.gradient_norms(made, x, y).items()]
    assert max(norms[1:-1]) < 100 * min(norms[1:-1])


def test_fewer_layers() -> None:
    widths = [40, 30, 20, 20, 30, 12, 12, 8]
    dense = [layers.Dense(width, "relu", name=f"d{n}") for n, width in enumerate(widths)]
    model = fnn.Sequential([layers.Input((9,)), *dense, layers.Dense(4, "softmax", name="last")])
    model.compile("adam", "sparse_categorical_crossentropy")
    assert {"depth", "depth_half"} <= set(names(model))
    made = named(model, "depth").apply(model)
    assert [layer.name for layer in flat(made)] == ["d0", "d4", "d7", "last"]
    np.testing.assert_array_equal(weights(made)["last/kernel"], weights(model)["last/kernel"])
    assert len(flat(named(model, "depth_half").apply(model))) == 4 + 1
    assert not {"depth", "depth_half"} & set(names(made))


def test_learning_rates() -> None:
    def rates(optimizer: Any) -> dict[str, float]:
        model = deep(depth=1)
        model.compile(optimizer, "sparse_categorical_crossentropy")
        changes = [c for c in changes_for(model, *blobs()) if c.category == "learning_rate"]
        return {c.name[14:]: c.apply(model).optimizer.learning_rate for c in changes}

    assert rates(optimizers.Adam(1e-3)) == {"down": 1e-4, "up": 1e-2}
    assert rates(optimizers.Adam(0.3)) == {"default": 1e-3, "down": 0.03, "up": 3.0}
    assert rates(optimizers.SGD(1e-5, momentum=0.9)) == {
        "default": 0.01, "down": pytest.approx(1e-6), "up": pytest.approx(1e-4),
    }  # fmt: skip
    assert rates(optimizers.SGD(0.01)) == {"default": 0.1, "down": 1e-3}
    assert rates(optimizers.SGD(0.0)) == {"default": 0.1}
    schedule = optimizers.schedules.ExponentialDecay(0.5, 10, 0.5)
    assert rates(optimizers.Adam(schedule)) == {"default": 1e-3, "down": 0.05, "up": 5.0}


def test_optimizer_and_clipping() -> None:
    model = deep(depth=1)
    assert "optimizer" not in names(model)
    clipped = named(model, "clipping").apply(model)
    assert clipped.optimizer.global_clipnorm == 1.0
    assert "clipping" not in names(clipped)
    model.compile(optimizers.SGD(5.0, clipnorm=2.0), "sparse_categorical_crossentropy")
    adam = named(model, "optimizer").apply(model).optimizer
    assert type(adam) is optimizers.Adam
    assert (adam.learning_rate, adam.clipnorm) == (1e-3, 2.0)


def test_arguments_of_fit() -> None:
    model = deep(depth=1)
    x, y = blobs()
    assert named(model, "batch_size_128").fit_arguments() == {"batch_size": 128}
    assert "batch_size_32" in [c.name for c in changes_for(model, x, y, batch_size=256)]
    stop = named(model, "early_stopping")
    one, two = stop.fit_arguments()["callbacks"], stop.fit_arguments()["callbacks"]
    assert one[0] is not two[0]
    assert isinstance(one[0], callbacks.EarlyStopping) and one[0].restore_best_weights
    both = combine(combine(stop, stop), named(model, "batch_size_128")).fit_arguments()
    assert (len(both["callbacks"]), both["batch_size"]) == (2, 128)


@pytest.mark.parametrize("form", FORMS)
def test_dropout_and_penalty(form: str) -> None:
    model = deep("relu", form=form)
    made = named(model, "dropout").apply(model)
    found = [type(layer).__name__ for layer in flat(made)]
    assert found[:2] == ["Dense", "Dropout"] and found[-1] == "Dense"
    seeds = {layer.seed for layer in flat(made) if isinstance(layer, layers.Dropout)}
    assert len(seeds) == 7
    penalized = named(model, "l2").apply(model)
    assert [w.path for w in penalized.weights if w.regularizer is not None] == [
        "first/kernel", *(f"d{number}/kernel" for number in range(6)),
    ]  # fmt: skip
    assert "l2" not in names(penalized)
    assert not any(weight.regularizer for weight in model.weights)
    for changed in (made, penalized):
        assert_same_bits(list(weights(changed).values()), list(weights(model).values()))


# Inputs


def fed(model: Any, x: NDArray) -> NDArray:
    """What comes to the first Dense layer."""
    dense = next(layer for layer in model.layers if isinstance(layer, layers.Dense))
    inner = fnn.Model(model.inputs[0], dense.input)
    return np.float64(inner.predict(x, verbose=0))


def flattened(*lead: Any) -> Any:
    model = fnn.Sequential([layers.Input((6, 6)), *lead, layers.Flatten(), layers.Dense(4)])
    model.compile("adam", "mse")
    return model


def images(n: int = 200) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (n, 6, 6)).astype(np.uint8)


def test_pixels_are_brought_to_0_and_1() -> None:
    x, y = images(), np.zeros((200, 4))
    change = named(flattened(), "input_scale", x, y)
    assert change.change.startswith("Rescaling(1 / 255)")
    np.testing.assert_allclose(fed(change.apply(flattened()), x), x.reshape(200, -1) / 255, 1e-6)
    assert "input_scale" not in names(flattened(layers.Rescaling(1 / 255)), x, y)


@pytest.mark.parametrize("lead", [(), (0.01,), (1 / 255, 1 / 255)])
def test_inputs_far_off_are_standardized(lead: tuple[float, ...]) -> None:
    x = 1000 + 50 * np.random.default_rng(0).normal(size=(200, 6, 6))
    model = flattened(*[layers.Rescaling(factor) for factor in lead])
    change = named(model, "input_scale", x, np.zeros((200, 4)))
    values = fed(change.apply(model), x)
    # Of float32 numbers about 20 deviations from 0.
    assert values.mean() == pytest.approx(0, abs=1e-4)
    assert values.std() == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("kind", ["uniform", "normal", "binary", "sparse"])
def test_inputs_of_a_usual_scale_are_left_alone(kind: str) -> None:
    random = np.random.default_rng(0)
    x: Any = {
        "uniform": random.random((200, 9)),
        "normal": random.normal(size=(200, 9)),
        "binary": random.random((200, 9)) < 0.002,
        "sparse": None,
    }[kind]
    if kind == "sparse":
        x = pytest.importorskip("scipy.sparse").csr_matrix(1000 * random.random((200, 9)))
    assert not {"input_scale", "input_normalization"} & set(names(deep(), x, np.zeros(200, int)))


def test_features_of_different_scales_are_normalized_one_by_one() -> None:
    x = np.random.default_rng(0).normal(size=(256, 9)) * np.logspace(-2, 4, 9)
    y = np.zeros(256, int)
    for form in FORMS:
        model = deep(form=form)
        change = named(model, "input_normalization", x, y)
        made = change.apply(model)
        assert isinstance(flat(made)[0], layers.BatchNormalization)
        assert "input_normalization" not in names(made, x, y)
        made.fit(x, y, verbose=0)


# Combinations

RESHAPING = {
    "activation_relu",
    "batch_normalization",
    "residual",
    "depth",
    "input_scale",
    "dropout",
}


@pytest.mark.parametrize("form", FORMS)
def test_changes_compose(form: str) -> None:
    model = deep("sigmoid", 4, form, kernel_initializer=initializers.RandomNormal(0.0, 3.0))
    x, y = blobs()
    changes = {change.name: change for change in changes_for(model, 1000 * x, y)}
    both = combine(changes["activation_relu"], changes["batch_normalization"])
    assert both.name == "activation_relu+batch_normalization"
    assert both.change == f"{changes['activation_relu'].change}; " + (
        changes["batch_normalization"].change
    )
    made = both.apply(model)
    kinds = [layer.activation.kind for layer in flat(made) if isinstance(layer, layers.Activation)]
    assert kinds == ["relu"] * 4
    assert scale(weights(made)["d2/kernel"], WIDTH) == pytest.approx(2, rel=0.09)
    for one in changes.values():
        # Those that put the layers elsewhere meet all the others.
        for two in (changes[name] for name in set(changes) & RESHAPING):
            combined = combine(one, two).apply(model)
            assert np.isfinite(combined.evaluate(x, y, verbose=0)).all(), (one.name, two.name)


# Any model


@st.composite
def models(draw: Any) -> tuple[Any, NDArray, Any]:
    """Small nets of all sorts, compiled, with data that they take."""
    activation = st.sampled_from(["relu", "sigmoid", "tanh", "selu", "linear", "softmax", "elu"])
    width = st.sampled_from([1, 3, 5])

    def some(x: Any, depth: int) -> Any:
        kind = draw(st.sampled_from(["dense", "split", "residual", "norm", "drop", "branch"]))
        units = draw(width)
        if kind == "dense":
            return layers.Dense(units, draw(activation), trainable=draw(st.booleans()))(x)
        if kind == "split":
            hidden = layers.Dense(units)(x)
            if draw(st.booleans()):
                hidden = layers.BatchNormalization()(hidden)
            return layers.Activation(draw(activation))(hidden)
        if kind == "residual":
            inner = [layers.Dense(units, draw(activation)), layers.Dense(draw(width))]
            return layers.Residual(inner)(x)
        if kind == "norm":
            return layers.LayerNormalization()(x)
        if kind == "drop":
            return layers.Dropout(0.2)(x)
        if depth > 2:
            return x
        one = layers.Dense(units, draw(activation))
        return layers.Concatenate()([one(some(x, depth + 1)), layers.Dense(units)(x)])

    x = layers.Input((draw(width),))
    hidden = x
    for _ in range(draw(st.integers(0, 6))):
        hidden = some(hidden, 0)
    sparse = draw(st.booleans())
    output = layers.Dense(3, draw(st.sampled_from(["softmax", "relu", None])))(hidden)
    model = fnn.Model(x, output)
    chain = [node.layer for node in model.nodes]
    if draw(st.booleans()) and not any(layer.takes_list for layer in chain):
        model = fnn.Sequential([x, *chain])
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    rows = 100 * random.normal(size=(20, x.shape[1]))
    labels = random.integers(0, 3, 20)
    loss = "sparse_categorical_crossentropy" if sparse else "mse"
    model.compile(draw(st.sampled_from(["sgd", "adam", "adagrad"])), loss)
    return model, rows, labels if sparse else np.eye(3)[labels]


@settings(derandomize=True, deadline=None, max_examples=25)
@given(models())
def test_nothing_that_is_offered_fails(problem: tuple[Any, NDArray, Any]) -> None:
    model, x, y = problem
    before, random = model.get_weights(), utils.random_state()
    changes = changes_for(model, x, y)
    made = [change.apply(model) for change in changes]
    combined = [combine(changes[0], change).apply(model) for change in changes]
    assert utils.random_state() == random
    assert_same_bits(model.get_weights(), before)
    for changed, change in zip(made, changes, strict=True):
        assert changed.output_names == model.output_names, change.name
        assert type(changed) is type(model)
        # Whether gradients are finite then is for a trial to find.
        changed.optimizer.nonfinite = "propagate"
        target = np.eye(3)[y] if "one-hot" in change.change else y
        changed.train_on_batch(x, target)
    for changed in combined:
        changed.predict(x, verbose=0)

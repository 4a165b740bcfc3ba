"""Cases: activations, shapes and graphs of layers."""

from __future__ import annotations

from typing import Any

from reference.protocol import Run, case, rows_for

ACTIVATIONS = [
    "linear",
    "relu",
    "leaky_relu",
    "elu",
    "selu",
    "gelu",
    "silu",
    "tanh",
    "sigmoid",
    "hard_sigmoid",
    "softplus",
    "softsign",
    "softmax",
]


def mlp(api: Any, run: Run, widths: list[int], hidden: Any, output: Any) -> Any:
    """Sequential of Dense layers through ``widths``, seeded weights, not compiled."""
    dense = api.layers.Dense
    layers = [dense(width, activation=hidden) for width in widths[1:-1]]
    return run.set_weights(
        api.Sequential(
            [api.layers.Input((widths[0],)), *layers, dense(widths[-1], activation=output)]
        )
    )


def hidden_activation(api: Any, run: Run, activation: str) -> None:
    widths = [run.pick(5, 13, 17, 37), run.pick(9, 15, 21, 33, 16), run.pick(3, 7, 19, 12), 4]
    batch = run.pick(6, 11, 16, 21)
    model = mlp(api, run, widths, activation, None)
    model.compile(optimizer=api.optimizers.SGD(0.1, momentum=0.5), loss="mean_squared_error")
    n = rows_for(batch)
    run.train(model, run.reals(n, widths[0], low=-3, high=3), run.reals(n, 4), batch)


def output_activation(api: Any, run: Run, activation: str) -> None:
    widths = [run.pick(4, 11, 23), run.pick(8, 18, 29), run.pick(2, 5, 16, 35)]
    batch = run.pick(5, 13, 32)
    model = mlp(api, run, widths, "tanh", activation)
    model.compile(optimizer=api.optimizers.SGD(0.2), loss="mean_squared_error")
    n = rows_for(batch)
    run.train(model, run.reals(n, widths[0], low=-3, high=3), run.reals(n, widths[-1]), batch)


for _name in ACTIVATIONS:
    case(f"activation/{_name}-hidden", activation=_name)(hidden_activation)
    case(f"activation/{_name}-output", activation=_name)(output_activation)

ACTIVATION_LAYERS = {
    "activation": lambda layers: layers.Activation("gelu"),
    "relu": lambda layers: layers.ReLU(),
    "relu-max-slope-threshold": lambda layers: layers.ReLU(
        max_value=1.2, negative_slope=0.1, threshold=0.3
    ),
    "leaky-relu": lambda layers: layers.LeakyReLU(),
    "leaky-relu-0.05": lambda layers: layers.LeakyReLU(negative_slope=0.05),
    "elu": lambda layers: layers.ELU(),
    "elu-0.5": lambda layers: layers.ELU(alpha=0.5),
    "softmax": lambda layers: layers.Softmax(),
}


def activation_layer(api: Any, run: Run, layer: Any) -> None:
    layers = api.layers
    model = run.set_weights(
        api.Sequential(
            [
                layers.Input((9,)),
                layers.Dense(14),
                layer(layers),
                layers.Dense(6, use_bias=False),
                layer(layers),
                layers.Dense(3),
            ]
        )
    )
    model.compile(optimizer=api.optimizers.SGD(0.1), loss="mean_squared_error")
    n = rows_for(10)
    run.train(model, run.reals(n, 9, low=-3, high=3), run.reals(n, 3), 10)


for _name, _layer in ACTIVATION_LAYERS.items():
    case(f"layer/{_name}", layer=_layer)(activation_layer)


def shape(api: Any, run: Run, widths: list[int], batch: int) -> None:
    model = mlp(api, run, widths, "relu", "softmax")
    model.compile(optimizer=api.optimizers.Adam(0.01), loss="sparse_categorical_crossentropy")
    n = rows_for(batch)
    run.train(model, run.reals(n, widths[0]), run.classes(n, widths[-1]), batch)


SHAPES = [
    ([1, 2], 1),
    ([1, 1, 2], 3),
    ([37, 10], 33),
    ([3, 37, 2], 1),
    ([16, 16, 16], 16),
    ([17, 15, 33, 5], 2),
    ([2, 31, 1, 4], 7),
    ([37, 32, 16, 8, 3], 32),
    ([33, 7, 37, 19, 11], 31),
    ([8, 36, 36, 36, 36, 37], 9),
]
for _widths, _batch in SHAPES:
    case(f"shape/{'-'.join(map(str, _widths))}-batch-{_batch}", widths=_widths, batch=_batch)(shape)


@case("graph/flatten-reshape-rescaling")
def reshaping(api: Any, run: Run) -> None:
    layers = api.layers
    model = run.set_weights(
        api.Sequential(
            [
                layers.Input((4, 5)),
                layers.Rescaling(1 / 127.5, offset=-1.0),
                layers.Reshape((2, -1)),
                layers.Flatten(),
                layers.Dense(12, activation="relu"),
                layers.Reshape((3, 4)),
                layers.Flatten(),
                layers.Dense(3, activation="softmax"),
            ]
        )
    )
    model.compile(optimizer=api.optimizers.Adam(0.01), loss="sparse_categorical_crossentropy")
    n = rows_for(15)
    run.train(model, run.pixels(n, 4, 5), run.classes(n, 3), 15)


@case("graph/rescaling-uint8-mnist-like")
def rescaling(api: Any, run: Run) -> None:
    layers = api.layers
    model = run.set_weights(
        api.Sequential(
            [
                layers.Input((5, 5)),
                layers.Rescaling(1 / 255),
                layers.Flatten(),
                layers.Dense(18, activation="relu"),
                layers.Dense(10, activation="softmax"),
            ]
        )
    )
    model.compile(optimizer="adam", loss="sparse_categorical_crossentropy")
    n = rows_for(32)
    run.train(model, run.pixels(n, 5, 5), run.classes(n, 10), 32)


@case("graph/rescaling-inside")
def rescaling_inside(api: Any, run: Run) -> None:
    layers = api.layers
    model = run.set_weights(
        api.Sequential(
            [
                layers.Input((6,)),
                layers.Dense(11, activation="tanh"),
                layers.Rescaling(2.5, offset=-0.25),
                layers.Dense(3),
            ]
        )
    )
    model.compile(optimizer="sgd", loss="mse")
    n = rows_for(9)
    run.train(model, run.reals(n, 6), run.reals(n, 3), 9)


@case("graph/residual-add")
def residual(api: Any, run: Run) -> None:
    layers = api.layers
    x = layers.Input((13,), name="x")
    h = layers.Dense(19, activation="relu")(x)
    for _ in range(2):
        f = layers.Dense(19, activation="gelu")(h)
        h = layers.Add()([h, layers.Dense(19)(f)])
    y = layers.Dense(4, activation="softmax")(h)
    model = run.set_weights(api.Model(x, y))
    model.compile(optimizer=api.optimizers.Adam(0.01), loss="sparse_categorical_crossentropy")
    n = rows_for(14)
    run.train(model, run.reals(n, 13), run.classes(n, 4), 14)


@case("graph/add-three-and-itself")
def add_three(api: Any, run: Run) -> None:
    layers = api.layers
    x = layers.Input((7,))
    a = layers.Dense(5, activation="tanh")(x)
    b = layers.Dense(5, activation="sigmoid")(x)
    c = layers.Dense(5)(x)
    s = layers.Add()([layers.Add()([a, b, c]), layers.Add()([a, a])])
    model = run.set_weights(api.Model(x, layers.Dense(2)(s)))
    model.compile(optimizer=api.optimizers.SGD(0.05), loss="mse")
    n = rows_for(8)
    run.train(model, run.reals(n, 7), run.reals(n, 2), 8)


@case("graph/two-inputs-concatenate")
def two_inputs(api: Any, run: Run) -> None:
    layers = api.layers
    a, b = layers.Input((7,), name="a"), layers.Input((20,), name="b")
    left = layers.Dense(9, activation="relu")(a)
    right = layers.Dense(17, activation="tanh")(b)
    h = layers.Concatenate()([left, b, right])
    model = run.set_weights(api.Model([a, b], layers.Dense(3, activation="softmax")(h)))
    model.compile(optimizer=api.optimizers.Adam(0.01), loss="categorical_crossentropy")
    n = rows_for(12)
    run.train(model, [run.reals(n, 7), run.reals(n, 20)], run.one_hot(n, 3), 12)


@case("graph/inputs-by-name")
def inputs_by_name(api: Any, run: Run) -> None:
    layers = api.layers
    a, b = layers.Input((3,), name="left"), layers.Input((3,), name="right")
    h = layers.Add()([layers.Dense(8, activation="silu")(a), layers.Dense(8)(b)])
    model = run.set_weights(api.Model(inputs=[a, b], outputs=layers.Dense(1)(h)))
    model.compile(optimizer=api.optimizers.SGD(0.05), loss="mse")
    n = rows_for(6)
    x = {"left": run.reals(n, 3), "right": run.reals(n, 3)}
    run.train(model, x, run.reals(n, 1), 6)


@case("graph/shared-layer")
def shared(api: Any, run: Run) -> None:
    layers = api.layers
    a, b = layers.Input((6,)), layers.Input((6,))
    tower = layers.Dense(10, activation="relu")
    h = layers.Concatenate()([tower(a), tower(b)])
    model = run.set_weights(api.Model([a, b], layers.Dense(2)(h)))
    model.compile(optimizer=api.optimizers.SGD(0.05), loss="mse")
    n = rows_for(7)
    run.train(model, [run.reals(n, 6), run.reals(n, 6)], run.reals(n, 2), 7)


def two_headed(api: Any, run: Run) -> Any:
    """(n, 11) -> "digit": softmax (n, 5) and "size": (n, 2), on a common trunk."""
    layers = api.layers
    x = layers.Input((11,))
    h = layers.Dense(16, activation="relu")(x)
    digit = layers.Dense(5, activation="softmax", name="digit")(h)
    size = layers.Dense(2, name="size")(layers.Concatenate()([h, digit]))
    return run.set_weights(api.Model(x, [digit, size]))


@case("graph/two-outputs-list")
def two_outputs(api: Any, run: Run) -> None:
    model = two_headed(api, run)
    model.compile(
        optimizer=api.optimizers.Adam(0.01), loss=["sparse_categorical_crossentropy", "mse"]
    )
    n = rows_for(10)
    run.train(model, run.reals(n, 11), [run.classes(n, 5), run.reals(n, 2)], 10)


@case("graph/two-outputs-loss-weights")
def loss_weights(api: Any, run: Run) -> None:
    model = two_headed(api, run)
    model.compile(
        optimizer=api.optimizers.SGD(0.1, momentum=0.9),
        loss=["sparse_categorical_crossentropy", "mae"],
        loss_weights=[1.0, 0.3],
    )
    n = rows_for(10)
    run.train(model, run.reals(n, 11), [run.classes(n, 5), run.reals(n, 2)], 10)

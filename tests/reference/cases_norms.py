"""Cases: BatchNormalization and LayerNormalization."""

from __future__ import annotations

from typing import Any

from reference.protocol import Run, case, rows_for


def set_weights(run: Run, model: Any) -> Any:
    """Seeded weights; factors and variances about 1."""
    values = []
    for variable in model.weights:
        shape = tuple(variable.shape)
        if variable.name in ("gamma", "moving_variance"):
            values.append(run.reals(*shape, low=0.5, high=2.0))
        else:
            limit = (6 / sum(shape)) ** 0.5 if len(shape) == 2 else 0.3
            values.append(run.reals(*shape, low=-limit, high=limit))
    model.set_weights(values)
    return model


def train_and_test(run: Run, model: Any, x: Any, y: Any, batch: int) -> None:
    """Losses and weights, moving statistics among them, of training; then inference."""
    run.train(model, x, y, batch)
    run.record("predict", model.predict(x[:37], verbose=0))
    run.record("evaluate", model.evaluate(x[:50], y[:50], batch_size=16, verbose=0))


def classifier(api: Any, run: Run, norm: str, activation: str, batch: int, **settings: Any) -> None:
    """Two normalized hidden layers; Adam.

    No bias before a BatchNormalization, nor another one without an activation between: its
    gradient would be 0 but for rounding, which Adam divides by itself.
    """
    layers = api.layers
    use_bias = norm == "LayerNormalization"
    hidden: list[Any] = []
    for width in (run.pick(17, 21, 33), run.pick(5, 16, 40)):
        hidden += [layers.Dense(width, use_bias=use_bias), getattr(layers, norm)(**settings)]
        hidden.append(layers.Activation(activation))
    model = api.Sequential([layers.Input((9,)), *hidden, layers.Dense(4, activation="softmax")])
    set_weights(run, model)
    model.compile(optimizer=api.optimizers.Adam(0.01), loss="sparse_categorical_crossentropy")
    n = rows_for(batch)
    train_and_test(run, model, run.reals(n, 9, low=-3, high=3), run.classes(n, 4), batch)


SETTINGS = {
    "no-center": {"center": False},
    "no-scale": {"scale": False},
    "neither": {"center": False, "scale": False},
    "epsilon": {"epsilon": 0.1, "axis": 1},
}
NORMS = {"batch": "BatchNormalization", "layer": "LayerNormalization"}

for _short, _norm in NORMS.items():
    for _activation in ("sigmoid", "relu", "leaky_relu", "elu", "gelu", "tanh", "softplus"):
        case(f"norm/{_short}-{_activation}", norm=_norm, activation=_activation, batch=16)(
            classifier
        )
    for _batch in (3, 33, 150):
        case(f"norm/{_short}-batch-{_batch}", norm=_norm, activation="relu", batch=_batch)(
            classifier
        )
    for _name, _settings in SETTINGS.items():
        case(f"norm/{_short}-{_name}", norm=_norm, activation="relu", batch=16, **_settings)(
            classifier
        )
case("norm/batch-momentum", norm="BatchNormalization", activation="relu", batch=16, momentum=0.7)(
    classifier
)


def regression(api: Any, run: Run, x: Any, y: Any, model: Any, batch: int = 20) -> None:
    set_weights(run, model)
    model.compile(optimizer=api.optimizers.SGD(0.05, momentum=0.5), loss="mean_squared_error")
    train_and_test(run, model, x, y, batch)


def residual(api: Any, run: Run, norm: str) -> None:
    """Normalized sums of what others read too, and a normalized output."""
    layers = api.layers
    make = getattr(layers, norm)
    x = layers.Input((12,))
    h = layers.Dense(19)(x)
    for _ in range(2):
        f = layers.Activation("relu")(make()(h))
        h = layers.Add()([h, layers.Dense(19)(f)])
    model = api.Model(x, make()(layers.Dense(3)(layers.Activation("silu")(h))))
    n = rows_for(20)
    regression(api, run, run.reals(n, 12), run.reals(n, 3), model)


def first(api: Any, run: Run, norm: str) -> None:
    """Before any trained layer: nothing reads the gradient of its input."""
    layers = api.layers
    model = api.Sequential([layers.Input((12,)), getattr(layers, norm)(), layers.Dense(3)])
    n = rows_for(20)
    x = run.reals(n, 12, low=2, high=9)
    regression(api, run, x, x[:, :3], model)


def shared(api: Any, run: Run, norm: str) -> None:
    """One layer in two places: its statistics move twice a step."""
    layers = api.layers
    a, b = layers.Input((6,)), layers.Input((6,))
    norm_layer = getattr(layers, norm)()
    joined = layers.Concatenate()([norm_layer(layers.Dense(6)(a)), norm_layer(b)])
    model = set_weights(run, api.Model([a, b], layers.Dense(2)(joined)))
    model.compile(optimizer=api.optimizers.SGD(0.05), loss="mean_squared_error")
    n = rows_for(10)
    run.train(model, [run.reals(n, 6), run.reals(n, 6)], run.reals(n, 2), 10)


def frozen(api: Any, run: Run, norm: str) -> None:
    """trainable=False: BatchNormalization uses the moving statistics and leaves them alone."""
    layers = api.layers
    make = getattr(layers, norm)
    model = api.Sequential(
        [
            layers.Input((12,)),
            layers.Dense(19),
            make(trainable=False),
            layers.Activation("gelu"),
            layers.Dense(18),
            make(trainable=False, scale=False),
            layers.Dense(3),
        ]
    )
    n = rows_for(20)
    regression(api, run, run.reals(n, 12), run.reals(n, 3), model)


for _short, _norm in NORMS.items():
    for _make in (residual, first, shared, frozen):
        case(f"norm/{_short}-{_make.__name__}", norm=_norm)(_make)

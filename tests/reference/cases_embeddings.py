"""Cases: Embedding under every optimizer, and Normalization inside nets."""

from __future__ import annotations

from typing import Any

from reference.protocol import Run, case, rows_for

TOKENS, LENGTH, BATCH = 130, 3, 20
"""More rows than a tile of the table has; a batch touches fewer than half of them."""


def classifier(api: Any, run: Run, optimizer: str, settings: dict[str, Any], **more: Any) -> None:
    """Some integers of each example, one of them twice as often as the others."""
    layers = api.layers
    width = run.pick(3, 16, 21)
    model = api.Sequential(
        [
            layers.Input((LENGTH,), dtype="int32"),
            layers.Embedding(TOKENS, width, **more),
            layers.Flatten(),
            layers.Dense(4, activation="softmax"),
        ]
    )
    run.set_weights(model)
    model.compile(
        optimizer=getattr(api.optimizers, optimizer)(**settings),
        loss="sparse_categorical_crossentropy",
    )
    n = rows_for(BATCH)
    x = run.classes(n * LENGTH, TOKENS // 2).reshape(n, LENGTH)
    x[::2, 0] = 5
    run.train(model, x, run.classes(n, 4), BATCH)
    run.record("predict", model.predict(x[:37], verbose=0))


OPTIMIZERS: dict[str, tuple[str, dict[str, Any]]] = {
    "sgd": ("SGD", {"learning_rate": 0.5}),
    "sgd-decay": ("SGD", {"learning_rate": 0.5, "weight_decay": 0.01}),
    "momentum": ("SGD", {"learning_rate": 0.2, "momentum": 0.9}),
    "nesterov": ("SGD", {"learning_rate": 0.2, "momentum": 0.9, "nesterov": True}),
    "rmsprop": ("RMSprop", {"learning_rate": 0.01}),
    "adagrad": ("Adagrad", {"learning_rate": 0.1}),
    "adam": ("Adam", {"learning_rate": 0.01}),
    "adamw": ("AdamW", {"learning_rate": 0.01}),
    "nadam": ("Nadam", {"learning_rate": 0.01}),
    "lion": ("Lion", {"learning_rate": 0.003}),
    "clipnorm": ("SGD", {"learning_rate": 0.5, "clipnorm": 0.05}),
    "clipvalue": ("SGD", {"learning_rate": 0.5, "clipvalue": 0.002}),
    "global-clipnorm": ("Adagrad", {"learning_rate": 0.1, "global_clipnorm": 0.05}),
    "ema": ("SGD", {"learning_rate": 0.5, "use_ema": True, "ema_overwrite_frequency": 5}),
}
for _name, (_optimizer, _settings) in OPTIMIZERS.items():
    case(f"embedding/{_name}", optimizer=_optimizer, settings=_settings)(classifier)
for _name, _more in {
    "regularizer": {"embeddings_regularizer": "l2"},
    "constraint": {"embeddings_constraint": "non_neg"},
    "max-norm": {"embeddings_constraint": "max_norm"},
    "frozen": {"trainable": False},
}.items():
    case(f"embedding/{_name}", optimizer="SGD", settings={"learning_rate": 0.5}, **_more)(
        classifier
    )


def shared(api: Any, run: Run) -> None:
    """One table for two inputs, and a table whose vectors nothing else reads."""
    layers = api.layers
    a, b = layers.Input((2,), dtype="int32"), layers.Input((1,), dtype="int32")
    table = layers.Embedding(40, 18)
    joined = layers.Concatenate()([layers.Flatten()(table(a)), layers.Flatten()(table(b))])
    model = run.set_weights(api.Model([a, b], layers.Dense(2)(joined)))
    model.compile(optimizer=api.optimizers.Adam(0.01), loss="mean_squared_error")
    n = rows_for(BATCH)
    x = [run.classes(2 * n, 40).reshape(n, 2), run.classes(n, 40).reshape(n, 1)]
    run.train(model, x, run.reals(n, 2), BATCH)


def sequence(api: Any, run: Run) -> None:
    """Convolutions over embedded sequences."""
    layers = api.layers
    model = api.Sequential(
        [
            layers.Input((9,), dtype="int32"),
            layers.Embedding(300, 5),
            layers.Conv1D(7, 3, activation="relu"),
            layers.GlobalMaxPooling1D(),
            layers.Dense(1),
        ]
    )
    run.set_weights(model)
    model.compile(optimizer=api.optimizers.RMSprop(0.01), loss="mean_squared_error")
    n = rows_for(BATCH)
    run.train(model, run.classes(9 * n, 300).reshape(n, 9), run.reals(n, 1), BATCH)


def normalized(api: Any, run: Run) -> None:
    """Inputs standardized, and the output brought back to the target's unit."""
    layers = api.layers
    x = layers.Input((5,))
    h = layers.Normalization(mean=[1.0, 2.0, 3.0, 4.0, 5.0], variance=[0.0, 1.0, 4.0, 9.0, 0.01])(x)
    h = layers.Dense(9, activation="tanh")(h)
    h = layers.Normalization(axis=None, mean=0.5, variance=2.0)(h)
    outputs = layers.Normalization(mean=[100.0, -3.0], variance=[400.0, 0.25], invert=True)(
        layers.Dense(2)(h)
    )
    model = api.Model(x, outputs)
    for layer in model.layers:  # those of Keras's Normalization are no weights
        if type(layer).__name__ == "Dense":
            layer.set_weights(
                [run.reals(*weight.shape, low=-0.5) for weight in layer.get_weights()]
            )
    model.compile(optimizer=api.optimizers.SGD(0.01), loss="mean_absolute_error")
    n = rows_for(BATCH)
    x_data = run.reals(n, 5, low=0, high=6)
    x_data[:, 0] = 1.0
    y = run.reals(n, 2, low=80, high=120)
    losses = []
    for start in range(0, n, BATCH):
        cut = slice(start, start + BATCH)
        losses.append(model.train_on_batch(x_data[cut], y[cut], return_dict=True)["loss"])
    run.record("loss", losses)
    run.record("predict", model.predict(x_data[:37], verbose=0))


case("embedding/shared")(shared)
case("embedding/sequence")(sequence)
case("normalization/ends")(normalized)

"""Cases: fit, evaluate and predict, with history, validation and metrics."""

from __future__ import annotations

from typing import Any

from reference.cases_layers import mlp, two_headed
from reference.protocol import Run, case

N, BATCH = 53, 16
"""Three whole batches and one of five rows."""


def fit(run: Run, model: Any, x: Any, y: Any, **options: Any) -> None:
    """Two epochs in the order of the rows; record history and weights."""
    run.record_history(
        model.fit(x, y, batch_size=BATCH, epochs=2, shuffle=False, verbose=0, **options)
    )
    run.record_weights(model)


def classifier(api: Any, run: Run, **settings: Any) -> Any:
    """9-20-6 softmax net, compiled with Adam and accuracy unless ``settings`` say otherwise."""
    model = mlp(api, run, [9, 20, 6], "relu", "softmax")
    settings = {
        "optimizer": api.optimizers.Adam(0.01),
        "loss": "sparse_categorical_crossentropy",
        "metrics": ["accuracy"],
    } | settings
    model.compile(**settings)
    return model


@case("fit/plain")
def plain(api: Any, run: Run) -> None:
    model, x, y = classifier(api, run), run.reals(N, 9), run.classes(N, 6)
    fit(run, model, x, y)
    run.record_evaluation(model.evaluate(x, y, batch_size=BATCH, verbose=0, return_dict=True))
    run.record("evaluate-list", model.evaluate(x, y, batch_size=7, verbose=0))
    run.record("predict", model.predict(x, batch_size=10, verbose=0))
    run.record("test-on-batch", model.test_on_batch(x[:5], y[:5]))


@case("fit/validation-data")
def validation_data(api: Any, run: Run) -> None:
    model, x, y = classifier(api, run), run.reals(N, 9), run.classes(N, 6)
    fit(run, model, x, y, validation_data=(run.reals(21, 9), run.classes(21, 6)))


@case("fit/validation-batch-size")
def validation_batch_size(api: Any, run: Run) -> None:
    model, x, y = classifier(api, run), run.reals(N, 9), run.classes(N, 6)
    held_out = (run.reals(21, 9), run.classes(21, 6))
    fit(run, model, x, y, validation_data=held_out, validation_batch_size=4)


@case("fit/validation-data-weighted")
def validation_weighted(api: Any, run: Run) -> None:
    model, x, y = classifier(api, run), run.reals(N, 9), run.classes(N, 6)
    held_out = (run.reals(21, 9), run.classes(21, 6), run.reals(21, low=0, high=3))
    fit(run, model, x, y, validation_data=held_out)


@case("fit/validation-split")
def validation_split(api: Any, run: Run) -> None:
    model, x, y = classifier(api, run), run.reals(N, 9), run.classes(N, 6)
    fit(run, model, x, y, validation_split=0.3)


@case("fit/validation-split-weighted")
def validation_split_weighted(api: Any, run: Run) -> None:
    model, x, y = classifier(api, run), run.reals(N, 9), run.classes(N, 6)
    weights = run.reals(N, low=0, high=2)
    fit(run, model, x, y, validation_split=0.25, sample_weight=weights)


@case("fit/sample-weight")
def sample_weight(api: Any, run: Run) -> None:
    model, x, y = classifier(api, run), run.reals(N, 9), run.classes(N, 6)
    weights = run.reals(N, low=0, high=2)
    fit(run, model, x, y, sample_weight=weights)
    logs = model.evaluate(
        x, y, sample_weight=weights, batch_size=BATCH, verbose=0, return_dict=True
    )
    run.record_evaluation(logs)


@case("fit/weighted-metrics")
def weighted_metrics(api: Any, run: Run) -> None:
    model = classifier(api, run, weighted_metrics=["accuracy"], metrics=None)
    x, y = run.reals(N, 9), run.classes(N, 6)
    fit(run, model, x, y, sample_weight=run.reals(N, low=0, high=2))


@case("fit/class-weight")
def class_weight(api: Any, run: Run) -> None:
    model, x, y = classifier(api, run), run.reals(N, 9), run.classes(N, 6)
    fit(run, model, x, y, class_weight={0: 0.5, 1: 2.0, 2: 1.0, 3: 0.1, 4: 1.5, 5: 3.0})


@case("fit/class-weight-validation-split")
def class_weight_split(api: Any, run: Run) -> None:
    model, x, y = classifier(api, run), run.reals(N, 9), run.classes(N, 6)
    weights = {0: 0.5, 1: 2.0, 2: 1.0, 3: 0.1, 4: 1.5, 5: 3.0}
    fit(run, model, x, y, class_weight=weights, validation_split=0.2)


@case("fit/schedule")
def schedule(api: Any, run: Run) -> None:
    rate = api.optimizers.schedules.ExponentialDecay(0.05, decay_steps=3, decay_rate=0.7)
    model = classifier(api, run, optimizer=api.optimizers.SGD(rate, momentum=0.9))
    fit(run, model, run.reals(N, 9), run.classes(N, 6))


@case("fit/iterable")
def iterable(api: Any, run: Run) -> None:
    model = classifier(api, run)
    x, y, w = run.reals(N, 9), run.classes(N, 6), run.reals(N, low=0, high=2)

    def batches() -> Any:
        for _ in range(2):
            for start in (0, 20, 31):
                cut = slice(start, start + 20)
                yield x[cut], y[cut], w[cut]

    history = model.fit(batches(), epochs=2, steps_per_epoch=3, verbose=0)
    run.record_history(history)
    run.record_weights(model)


METRICS: dict[str, tuple[Any, str, str, str]] = {
    # name: (metrics of the module, loss, output activation, targets)
    "sparse": (
        lambda m: [
            "accuracy",
            m.SparseCategoricalAccuracy(name="top1"),
            m.SparseTopKCategoricalAccuracy(k=3),
            "sparse_categorical_crossentropy",
        ],
        "sparse_categorical_crossentropy", "softmax", "classes",
    ),
    "one-hot": (
        lambda m: [
            "acc",
            m.CategoricalAccuracy(),
            m.TopKCategoricalAccuracy(k=2, name="top2"),
            "categorical_crossentropy",
            "mse",
        ],
        "categorical_crossentropy", "softmax", "one_hot",
    ),
    "binary": (
        lambda m: ["accuracy", m.BinaryAccuracy(threshold=0.3, name="at_0.3"), "mae"],
        "binary_crossentropy", "sigmoid", "bits",
    ),
    "regression": (
        lambda m: [
            "mse",
            "mae",
            "mean_squared_error",
            m.MeanSquaredError(name="again"),
            m.MeanAbsoluteError(),
        ],
        "huber", "linear", "reals",
    ),
}  # fmt: skip


def metric(api: Any, run: Run, name: str) -> None:
    make, loss, output, kind = METRICS[name]
    model = mlp(api, run, [9, 20, 6], "relu", output)
    model.compile(optimizer="adam", loss=loss, metrics=make(api.metrics))
    x, y = run.reals(N, 9), getattr(run, kind)(N, 6)
    fit(run, model, x, y, validation_split=0.2)
    run.record_evaluation(model.evaluate(x, y, batch_size=9, verbose=0, return_dict=True))


for _name in METRICS:
    case(f"metric/{_name}", name=_name)(metric)


def binary_column(api: Any, run: Run, column: bool) -> None:
    model = mlp(api, run, [9, 8, 1], "tanh", "sigmoid")
    model.compile(optimizer="rmsprop", loss="binary_crossentropy", metrics=["accuracy"])
    x, y = run.reals(N, 9), run.bits(N)
    fit(run, model, x, y[:, None] if column else y)


case("metric/binary-accuracy-labels-n", column=False)(binary_column)
case("metric/binary-accuracy-labels-n1", column=True)(binary_column)


@case("metric/sparse-accuracy-labels-n1")
def sparse_column(api: Any, run: Run) -> None:
    model, x, y = classifier(api, run), run.reals(N, 9), run.classes(N, 6)
    fit(run, model, x, y[:, None])


def two_outputs(api: Any, run: Run, by_name: bool) -> None:
    model = two_headed(api, run)
    losses = {"digit": "sparse_categorical_crossentropy", "size": "mse"}
    metrics = {"digit": ["accuracy"], "size": ["mae"]}
    weights = {"digit": 0.7, "size": 1.5}
    x = run.reals(N, 11)
    y = {"digit": run.classes(N, 5), "size": run.reals(N, 2)}
    if not by_name:
        losses, metrics, weights, y = (list(d.values()) for d in (losses, metrics, weights, y))
    model.compile(optimizer="adam", loss=losses, metrics=metrics, loss_weights=weights)
    fit(run, model, x, y, validation_split=0.2)
    run.record_evaluation(model.evaluate(x, y, batch_size=BATCH, verbose=0, return_dict=True))
    digit, size = model.predict(x, verbose=0)
    run.record("predict/digit", digit)
    run.record("predict/size", size)


case("fit/two-outputs-lists", by_name=False)(two_outputs)
case("fit/two-outputs-dicts", by_name=True)(two_outputs)

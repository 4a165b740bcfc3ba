"""What a Keras user expects of compile, fit, evaluate, predict and train_on_batch."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest
from nets import assert_same_bits, blobs, classifier, mlp, set_seeded_weights

import fastnn as fnn
from fastnn import callbacks, layers, optimizers

# --- history ------------------------------------------------------------------------------------


def test_history_has_one_value_an_epoch_under_kerass_keys() -> None:
    x, y = blobs()
    history = classifier().fit(x, y, epochs=3, validation_split=0.25, verbose=0)
    assert set(history.history) == {"loss", "accuracy", "val_loss", "val_accuracy"}
    assert all(len(values) == 3 for values in history.history.values())
    assert all(isinstance(v, float) for values in history.history.values() for v in values)
    assert history.epoch == [0, 1, 2]
    assert history.params["epochs"] == 3


def test_history_without_metrics_or_validation_is_the_loss() -> None:
    x, y = blobs()
    assert set(classifier(metrics=None).fit(x, y, verbose=0).history) == {"loss"}


def test_history_is_kept_by_the_model() -> None:
    x, y = blobs()
    model = classifier()
    assert model.fit(x, y, verbose=0) is model.history


def test_several_outputs_report_each_loss_and_metric_by_name() -> None:
    inputs = layers.Input((9,))
    outputs = [layers.Dense(4, activation="softmax", name="kind")(inputs)]
    outputs.append(layers.Dense(1, name="size")(inputs))
    model = fnn.Model(inputs, outputs)
    model.compile(
        optimizer="adam",
        loss={"kind": "sparse_categorical_crossentropy", "size": "mse"},
        metrics={"kind": ["accuracy"]},
    )
    x, y = blobs()
    history = model.fit(x, {"kind": y, "size": x[:, :1]}, verbose=0).history
    assert set(history) == {"loss", "kind_loss", "size_loss", "kind_accuracy"}


# --- epochs and rows ----------------------------------------------------------------------------


def test_initial_epoch_counts_from_there() -> None:
    x, y = blobs()
    history = classifier().fit(x, y, initial_epoch=3, epochs=5, verbose=0)
    assert history.epoch == [3, 4]
    assert len(history.history["loss"]) == 2


def test_fit_in_two_parts_is_fit_in_one() -> None:
    x, y = blobs()
    whole, parts = classifier(), classifier()
    whole.fit(x, y, epochs=4, batch_size=16, shuffle=False, verbose=0)
    parts.fit(x, y, epochs=2, batch_size=16, shuffle=False, verbose=0)
    parts.fit(x, y, initial_epoch=2, epochs=4, batch_size=16, shuffle=False, verbose=0)
    assert_same_bits(whole.get_weights(), parts.get_weights())
    assert whole.optimizer.iterations == parts.optimizer.iterations == 16


@pytest.mark.parametrize("shuffle", [False, True])
def test_validation_split_takes_the_last_rows_before_shuffling(shuffle: bool) -> None:
    x, y = blobs(60)
    split, given = classifier(), classifier()
    fnn.utils.set_random_seed(5)
    a = split.fit(x, y, epochs=2, validation_split=0.25, shuffle=shuffle, verbose=0)
    fnn.utils.set_random_seed(5)
    held_out = (x[45:], y[45:])
    b = given.fit(x[:45], y[:45], epochs=2, validation_data=held_out, shuffle=shuffle, verbose=0)
    assert_same_bits(split.get_weights(), given.get_weights())
    assert a.history == b.history


def test_the_last_smaller_batch_trains() -> None:
    x, y = blobs(33)
    model = classifier()
    model.fit(x, y, batch_size=16, verbose=0)
    assert model.optimizer.iterations == 3


@pytest.mark.parametrize(("batch_size", "steps"), [(1, 60), (7, 9), (None, 2), (60, 1), (1000, 1)])
def test_batch_sizes(batch_size: int | None, steps: int) -> None:
    x, y = blobs(60)
    model = classifier()
    model.fit(x, y, batch_size=batch_size, verbose=0)
    assert model.optimizer.iterations == steps


@pytest.mark.parametrize("shuffle", [False, True])
def test_an_epoch_visits_every_row_once(shuffle: bool) -> None:
    x, y = blobs(61)
    model = classifier(optimizer=optimizers.SGD(0.0))
    # Weights tell the rows apart: the epoch's loss is right only if each one counted once.
    weights = 1.5 ** (np.arange(61) % 20)
    loss = model.fit(x, y, batch_size=8, sample_weight=weights, shuffle=shuffle, verbose=0)
    wanted = model.evaluate(x, y, sample_weight=weights, batch_size=61, verbose=0)[0]
    assert loss.history["loss"][0] == pytest.approx(wanted, rel=1e-5)


def test_shuffling_is_the_default_and_follows_the_seed() -> None:
    x, y = blobs()

    def train(seed: int, **options: Any) -> list:
        fnn.utils.set_random_seed(seed)
        model = classifier()
        model.fit(x, y, epochs=2, batch_size=8, verbose=0, **options)
        return model.get_weights()

    assert_same_bits(train(1), train(1))
    assert_same_bits(train(1), train(1, shuffle=True))
    assert any(np.any(a != b) for a, b in zip(train(1), train(2), strict=True))
    assert any(np.any(a != b) for a, b in zip(train(1), train(1, shuffle=False), strict=True))
    assert_same_bits(train(1, shuffle=False), train(2, shuffle=False))


def test_seed_fixes_initial_weights() -> None:
    def weights(seed: int) -> list:
        fnn.utils.set_random_seed(seed)
        return fnn.Sequential([layers.Input((5,)), layers.Dense(7), layers.Dense(3)]).get_weights()

    assert_same_bits(weights(3), weights(3))
    assert np.any(weights(3)[0] != weights(4)[0])


def test_sequential_without_input_takes_its_shape_from_the_data() -> None:
    x, y = blobs()
    model = fnn.Sequential([layers.Dense(5, activation="relu"), layers.Dense(4)])
    loss = fnn.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer="sgd", loss=loss)
    model.fit(x, y, verbose=0)
    assert [w.shape for w in model.get_weights()] == [(9, 5), (5,), (5, 4), (4,)]


def test_fit_learns() -> None:
    x, y = blobs(400)
    model = classifier(optimizer=optimizers.Adam(0.01))
    assert model.fit(x, y, epochs=15, verbose=0).history["accuracy"][-1] > 0.97


# --- weights of examples and classes ------------------------------------------------------------


def test_class_weight_is_the_sample_weight_of_its_rows() -> None:
    x, y = blobs()
    by_class, by_sample = classifier(), classifier()
    weights = {0: 0.5, 1: 2.0, 2: 3.0, 3: 0.25}
    by_class.fit(x, y, class_weight=weights, shuffle=False, verbose=0)
    sample_weight = np.array([weights[int(label)] for label in y])
    by_sample.fit(x, y, sample_weight=sample_weight, shuffle=False, verbose=0)
    assert_same_bits(by_class.get_weights(), by_sample.get_weights())


def test_classes_without_a_weight_weigh_one() -> None:
    x, y = blobs()
    some, every = classifier(), classifier()
    some.fit(x, y, class_weight={1: 2.0}, shuffle=False, verbose=0)
    every.fit(x, y, class_weight={0: 1, 1: 2, 2: 1, 3: 1}, shuffle=False, verbose=0)
    assert_same_bits(some.get_weights(), every.get_weights())


def test_rows_of_weight_zero_teach_nothing() -> None:
    x, y = blobs(32)
    weights = np.ones(32)
    weights[::3] = 0
    other = x.copy()
    other[::3] += 5
    first, second = classifier(), classifier()
    first.fit(x, y, sample_weight=weights, shuffle=False, verbose=0)
    second.fit(other, y, sample_weight=weights, shuffle=False, verbose=0)
    for a, b in zip(first.get_weights(), second.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


# --- one batch at a time ------------------------------------------------------------------------


def test_train_on_batch_returns_a_float_a_list_or_a_dict() -> None:
    x, y = blobs()
    assert isinstance(classifier(metrics=None).train_on_batch(x, y), float)
    values = classifier().train_on_batch(x, y)
    assert isinstance(values, list) and [type(v) for v in values] == [float, float]
    assert set(classifier().train_on_batch(x, y, return_dict=True)) == {"loss", "accuracy"}


def test_train_on_batch_reports_the_loss_of_this_batch_before_its_step() -> None:
    x, y = blobs()
    model = classifier(metrics=None, optimizer=optimizers.SGD(0.5))
    for _ in range(3):
        wanted = model.test_on_batch(x, y)
        assert model.train_on_batch(x, y) == pytest.approx(wanted, rel=1e-6)


def test_train_on_batch_is_fit_step_by_step() -> None:
    x, y = blobs(50)
    fitted, stepped = classifier(), classifier()
    fitted.fit(x, y, batch_size=16, shuffle=False, verbose=0)
    for start in range(0, 50, 16):
        stepped.train_on_batch(x[start : start + 16], y[start : start + 16])
    assert_same_bits(fitted.get_weights(), stepped.get_weights())
    assert stepped.optimizer.iterations == 4


def test_test_on_batch_changes_nothing() -> None:
    x, y = blobs()
    model = classifier()
    before = model.get_weights()
    values = model.test_on_batch(x, y)
    assert values == pytest.approx(model.evaluate(x, y, batch_size=60, verbose=0), rel=1e-6)
    assert_same_bits(before, model.get_weights())
    assert model.optimizer.iterations == 0


# --- evaluate and predict -----------------------------------------------------------------------


def test_evaluate_returns_a_float_a_list_or_a_dict() -> None:
    x, y = blobs()
    assert isinstance(classifier(metrics=None).evaluate(x, y, verbose=0), float)
    loss, accuracy = classifier().evaluate(x, y, verbose=0)
    logs = classifier().evaluate(x, y, verbose=0, return_dict=True)
    assert logs == {"loss": loss, "accuracy": accuracy}


def test_evaluate_and_predict_agree_and_change_nothing() -> None:
    x, y = blobs(45)
    model = classifier()
    model.fit(x, y, verbose=0)
    before = model.get_weights()
    probabilities = model.predict(x, verbose=0)
    loss, accuracy = model.evaluate(x, y, batch_size=7, verbose=0)
    assert accuracy == pytest.approx(np.mean(probabilities.argmax(axis=1) == y), rel=1e-6)
    wanted = -np.mean(np.log(np.float64(probabilities[np.arange(45), y])))
    assert loss == pytest.approx(wanted, rel=1e-5)
    assert_same_bits(before, model.get_weights())


@pytest.mark.parametrize("n", [1, 2, 31, 32, 33, 200])
@pytest.mark.parametrize("width", [1, 4, 16, 17, 40])
def test_predict_returns_float32_rows(n: int, width: int) -> None:
    model = mlp([9, 12, width], output=None)
    x = np.random.default_rng(0).normal(size=(n, 9))
    outputs = model.predict(x, verbose=0)
    assert isinstance(outputs, np.ndarray)
    assert outputs.dtype == np.float32 and outputs.shape == (n, width)
    w1, b1, w2, b2 = (np.float64(w) for w in model.get_weights())
    wanted = np.maximum(np.float64(np.float32(x)) @ w1 + b1, 0) @ w2 + b2
    np.testing.assert_allclose(outputs, wanted, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("batch_size", [1, 5, 32, 1000])
def test_predict_does_not_depend_on_the_batch_size(batch_size: int) -> None:
    x, _ = blobs(70)
    model = classifier()
    parts = model.predict(x, batch_size=batch_size, verbose=0)
    np.testing.assert_allclose(parts, model.predict(x, verbose=0), rtol=1e-6, atol=1e-7)


def test_predictions_are_the_callers() -> None:
    x, _ = blobs()
    model = classifier()
    first = model.predict(x, verbose=0)
    kept = first.copy()
    model.predict(x + 1, verbose=0)
    np.testing.assert_array_equal(first, kept)
    first[:] = 0


def test_predict_of_several_outputs_is_a_list() -> None:
    inputs = layers.Input((9,))
    hidden = layers.Dense(6, activation="tanh")(inputs)
    model = fnn.Model(inputs, [layers.Dense(2)(hidden), layers.Dense(3)(hidden), hidden])
    outputs = model.predict(blobs(10)[0], verbose=0)
    assert [o.shape for o in outputs] == [(10, 2), (10, 3), (10, 6)]


def test_predict_needs_no_compile() -> None:
    assert mlp([9, 5, 2]).predict(blobs(10)[0], verbose=0).shape == (10, 2)


def test_new_weights_count_at_once() -> None:
    x, y = blobs()
    model, twin = classifier(), classifier(seed=1)
    model.fit(x, y, verbose=0)
    model.set_weights(twin.get_weights())
    assert_same_bits([model.predict(x, verbose=0)], [twin.predict(x, verbose=0)])


@pytest.mark.parametrize("width", [1, 15, 16, 17, 32])
def test_get_weights_returns_the_values_of_the_moment(width: int) -> None:
    x, y = blobs()
    model = classifier([9, width, 4], optimizer=optimizers.SGD(0.1))
    taken = model.get_weights()
    kept = [w.copy() for w in taken]
    model.fit(x, y, verbose=0)
    assert_same_bits(taken, kept)  # training does not write to what was handed out
    trained = model.get_weights()
    for w in trained:
        w += 1  # nor does the caller write to the model
    assert all(np.any(a != b) for a, b in zip(trained, model.get_weights(), strict=True))


# --- compile ------------------------------------------------------------------------------------


def test_learning_rate_may_change_between_fits() -> None:
    x, y = blobs()
    model = classifier(optimizer=optimizers.SGD(0.1))
    model.optimizer.learning_rate = 0.0
    before = model.get_weights()
    model.fit(x, y, verbose=0)
    assert_same_bits(before, model.get_weights())
    model.optimizer.learning_rate = 0.1
    model.fit(x, y, verbose=0)
    assert np.any(before[0] != model.get_weights()[0])


def test_compiling_again_starts_the_optimizer_afresh() -> None:
    x, y = blobs()
    model, fresh = classifier(), classifier()
    model.fit(x, y, verbose=0)
    weights = model.get_weights()
    model.compile(optimizer="adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    fresh.set_weights(weights)
    for m in (model, fresh):
        m.fit(x, y, shuffle=False, verbose=0)
    assert_same_bits(model.get_weights(), fresh.get_weights())


def test_frozen_layers_stay() -> None:
    x, y = blobs()
    model = mlp([9, 8, 4])
    model.layers[0].trainable = False
    model.compile(optimizer="adam", loss="sparse_categorical_crossentropy")
    before = model.get_weights()
    model.fit(x, y, verbose=0)
    after = model.get_weights()
    assert_same_bits(before[:2], after[:2])
    assert np.any(before[2] != after[2])


def test_models_may_share_layers() -> None:
    x, y = blobs()
    inputs = layers.Input((9,))
    hidden = layers.Dense(6, activation="relu")(inputs)
    outputs = layers.Dense(4, activation="softmax")(hidden)
    model = set_seeded_weights(fnn.Model(inputs, outputs))
    features = fnn.Model(inputs, hidden)
    model.compile(optimizer="adam", loss="sparse_categorical_crossentropy")
    model.fit(x, y, verbose=0)
    kernel, bias = model.get_weights()[:2]
    wanted = np.maximum(x @ kernel + bias, 0)
    np.testing.assert_allclose(features.predict(x, verbose=0), wanted, rtol=1e-5, atol=1e-6)


# --- progress -----------------------------------------------------------------------------------


def test_verbose_0_is_silent(capsys: pytest.CaptureFixture[str]) -> None:
    x, y = blobs()
    model = classifier()
    model.fit(x, y, validation_split=0.2, verbose=0)
    model.evaluate(x, y, verbose=0)
    model.predict(x, verbose=0)
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err == ""


def test_verbose_2_prints_a_line_an_epoch(capsys: pytest.CaptureFixture[str]) -> None:
    x, y = blobs()
    classifier().fit(x, y, epochs=2, validation_split=0.2, verbose=2)
    printed = capsys.readouterr().out
    assert "Epoch 1/2" in printed and "Epoch 2/2" in printed
    assert "val_accuracy" in printed and "\r" not in printed


def test_early_stopping_restores_the_best_weights() -> None:
    x, y = blobs(80)
    model = classifier(optimizer=optimizers.SGD(0.1))
    held_out = (x[:20], (y[:20] + 1) % 4)  # wrong labels: learning makes it worse
    stop = callbacks.EarlyStopping(patience=2, restore_best_weights=True)
    history = model.fit(
        x, y, epochs=50, validation_data=held_out, callbacks=[stop], shuffle=False, verbose=0
    )
    assert len(history.epoch) < 50
    best = min(history.history["val_loss"])
    assert model.evaluate(*held_out, verbose=0)[0] == pytest.approx(best, rel=1e-5)


@pytest.mark.parametrize("verbose", [0, 2])
def test_evaluate_prints_a_line_if_asked_to(
    verbose: int, capsys: pytest.CaptureFixture[str]
) -> None:
    x, y = blobs()
    logs = classifier().evaluate(x, y, verbose=verbose, return_dict=True)
    printed = capsys.readouterr().out
    assert (f"accuracy {logs['accuracy']:.4f}" in printed) == (verbose == 2)


def test_predict_prints_only_if_asked_to(capsys: pytest.CaptureFixture[str]) -> None:
    x, _ = blobs()
    model = classifier()
    outputs = [model.predict(x), model.predict(x, batch_size=7), model.predict(x, verbose=2)]
    assert_same_bits(outputs[:2], outputs[1:])
    assert capsys.readouterr().out.count("Predict") == 1


# --- copies and changes of a model --------------------------------------------------------------


@pytest.mark.parametrize(
    "copied",
    [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))],
    ids=["copy", "pickle"],
)
def test_a_copy_trains_on_by_itself(copied: Any) -> None:
    x, y = blobs()
    model = classifier()
    model.fit(x, y, shuffle=False, verbose=0)
    twin = copied(model)
    before = model.get_weights()
    twin.fit(x, y, shuffle=False, verbose=0)
    assert_same_bits(model.get_weights(), before)
    model.fit(x, y, shuffle=False, verbose=0)
    assert_same_bits(model.get_weights(), twin.get_weights())
    assert_same_bits([model.predict(x)], [twin.predict(x)])
    assert twin.optimizer.iterations == model.optimizer.iterations == 4


def test_a_layer_that_is_added_counts_at_once() -> None:
    x, y = blobs()
    model = classifier()
    probabilities = model.predict(x)
    model.add(layers.Dense(2))
    assert model.predict(x).shape == (60, 2) and model.predict(x[:1]).shape == (1, 2)
    model.pop()
    assert_same_bits([model.predict(x)], [probabilities])
    assert len(model.evaluate(x, y, verbose=0)) == 2


@pytest.mark.parametrize("n", [1, 5, 300])
def test_predict_takes_numbers_whose_squares_overflow(n: int) -> None:
    x = np.full((n, 9), 1e30, np.float32)
    assert np.isfinite(classifier().predict(x)).all()


# --- metrics ------------------------------------------------------------------------------------


def test_metrics_are_listed() -> None:
    model = classifier(metrics=["accuracy", fnn.metrics.SparseTopKCategoricalAccuracy(2)])
    assert [metric.name for metric in model.metrics] == model.metrics_names[1:]
    assert mlp([9, 4]).metrics == []


def test_weighted_metrics() -> None:
    x, y = blobs()
    weight = np.random.default_rng(0).uniform(0, 2, 60).astype(np.float32)
    model = classifier(weighted_metrics=["accuracy", "sparse_categorical_crossentropy"])
    logs = model.evaluate(x, y, sample_weight=weight, verbose=0, return_dict=True)
    probabilities = np.float64(model.predict(x))
    right = probabilities.argmax(axis=1) == y
    assert logs["accuracy"] == pytest.approx(np.mean(right), rel=1e-6)
    assert logs["weighted_accuracy"] == pytest.approx(np.average(right, weights=weight), rel=1e-6)
    losses = -np.log(probabilities[np.arange(60), y])
    wanted = np.average(losses, weights=weight)
    assert logs["sparse_categorical_crossentropy"] == pytest.approx(wanted, rel=1e-5)
    unweighted = model.evaluate(x, y, verbose=0, return_dict=True)
    assert unweighted["weighted_accuracy"] == unweighted["accuracy"] == logs["accuracy"]


def test_weighted_metrics_of_batches_with_and_without_weights() -> None:
    x, y = blobs()
    weight = np.linspace(0, 3, 30, dtype=np.float32)
    model = classifier(weighted_metrics=["accuracy"], metrics=None)
    parts = [(x[:30], y[:30], weight), (x[30:], y[30:])]
    whole = np.concatenate([weight, np.ones(30, np.float32)])
    wanted = model.evaluate(x, y, sample_weight=whole, verbose=0)
    assert model.evaluate(parts, verbose=0) == pytest.approx(wanted, rel=1e-6)


def test_summed_losses_are_the_mean_over_batches_weighted_by_their_rows() -> None:
    x, y = blobs(50)
    model = mlp([9, 5, 4])
    loss = fnn.losses.SparseCategoricalCrossentropy(reduction="sum")
    model.compile(optimizer="sgd", loss=loss)
    batches = [(x[i : i + 20], y[i : i + 20]) for i in range(0, 50, 20)]
    values = [model.test_on_batch(*batch) for batch in batches]
    wanted = np.average(values, weights=[20, 20, 10])
    assert model.evaluate(x, y, batch_size=20, verbose=0) == pytest.approx(wanted, rel=1e-6)
    assert model.evaluate(batches, verbose=0) == pytest.approx(wanted, rel=1e-6)


def test_outputs_of_one_layer_have_names_of_their_own() -> None:
    a, b = layers.Input((9,)), layers.Input((9,))
    shared = layers.Dense(1, name="shared")
    model = fnn.Model([a, b], [shared(a), shared(b)])
    model.compile(optimizer="sgd", loss=["mse", "mae"], metrics=[["mae"], ["mse"]])
    x, _ = blobs()
    history = model.fit([x, x], [x[:, :1], x[:, :1]], verbose=0).history
    assert list(history) == [
        "loss", "shared_loss", "shared_1_loss", "shared_mae", "shared_1_mse"
    ]  # fmt: skip


# --- steps --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("steps", "progress"), [(2, 32), (4, 50), (5, 66), (9, 116)])
def test_steps_per_epoch(steps: int, progress: int) -> None:
    x, y = blobs(50)
    seen: list[int] = []

    class Watch(callbacks.Callback):
        def on_train_progress(self, examples_done: int, logs: Any = None) -> None:
            seen.append(examples_done)

    model = classifier()
    model.fit(x, y, batch_size=16, epochs=2, steps_per_epoch=steps, callbacks=[Watch()], verbose=0)
    assert model.optimizer.iterations == 2 * steps
    assert seen[-1] == progress


def test_one_tensor_may_be_several_outputs() -> None:
    x, y = blobs()
    inputs = layers.Input((9,))
    outputs = layers.Dense(4, activation="softmax")(inputs)
    model = set_seeded_weights(fnn.Model(inputs, [outputs, outputs]))
    model.compile(optimizer=optimizers.SGD(0.1), loss="sparse_categorical_crossentropy")
    twin = mlp([9, 4])
    twin.compile(optimizer=optimizers.SGD(0.2), loss="sparse_categorical_crossentropy")
    model.fit(x, [y, y], shuffle=False, verbose=0)
    twin.fit(x, y, shuffle=False, verbose=0)
    for a, b in zip(model.get_weights(), twin.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)

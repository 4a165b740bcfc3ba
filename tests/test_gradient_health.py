"""callbacks.GradientHealth: what it adds to the logs, what it says and when, what it does then."""

from __future__ import annotations

import csv
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from nets import blobs

import fastnn as fnn
from fastnn import callbacks, initializers, layers, optimizers
from fastnn.callbacks import GradientHealth, GradientHealthWarning
from fastnn.callbacks.gradient_health import LOGGED
from fastnn.health import Thresholds

ROWS, BATCH = 320, 16
STEPS = ROWS // BATCH
WIDE = initializers.RandomNormal(stddev=3.0, seed=1)
HUGE = np.float32(3e38)


def net(depth: int, activation: str, optimizer: Any = None, **dense: Any) -> Any:
    """Hidden layers h0, h1, ... of 16, and a softmax, "out"."""
    fnn.utils.set_random_seed(0)
    hidden = [layers.Dense(16, activation, name=f"h{i}", **dense) for i in range(depth)]
    model = fnn.Sequential(
        [layers.Input((9,)), *hidden, layers.Dense(4, activation="softmax", name="out")]
    )
    model.compile(optimizer or "adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def vanishing() -> Any:
    return net(12, "sigmoid")


def healthy() -> Any:
    return net(2, "relu")


SICK = {
    "vanishing": (vanishing, "h0"),
    "exploding": (lambda: net(12, "linear", kernel_initializer=WIDE), "h8"),
    "dead": (lambda: net(2, "relu", bias_initializer=initializers.Constant(-100)), "h0"),
    "saturated": (lambda: net(2, "tanh", kernel_initializer=WIDE), "h1"),
    "learning_rate": (lambda: net(1, "linear", optimizers.Adam(0.3)), "h0"),
}


def watch(**settings: Any) -> GradientHealth:
    return GradientHealth(**{"every": 1, "window": 10, "on_problem": "ignore"} | settings)


def fit(model: Any, watching: Any, **settings: Any) -> dict[str, list[float]]:
    """Two epochs of 20 steps."""
    if not isinstance(watching, list):
        watching = [watching]
    arguments = {"batch_size": BATCH, "epochs": 2, "verbose": 0} | settings
    history: dict[str, list[float]] = model.fit(
        *blobs(ROWS), callbacks=watching, **arguments
    ).history
    return history


def told(watching: GradientHealth) -> dict[str, set[str]]:
    """Verdict -> layers."""
    result: dict[str, set[str]] = {}
    for found in watching.found.values():
        for finding in found:
            result.setdefault(finding.verdict, set()).add(finding.layer)
    return result


# What it collects


@pytest.mark.parametrize("every", [1, 3])
def test_history_has_the_means_of_each_epoch(every: int) -> None:
    watching = watch(every=every)
    history = fit(healthy(), watching)
    steps = [each.step for each in watching.statistics]
    assert steps == list(range(0, 2 * STEPS, every))
    figures = {name for name in history if "/" in name}
    assert {f"{layer}/gradient_norm" for layer in ("h0", "h1", "out")} <= figures
    assert {"h0/update_ratio", "h1/dead", "h1/zeros", "out/weight_norm"} <= figures
    assert {name.split("/")[1] for name in figures} <= set(LOGGED)
    for name in figures:
        layer, figure = name.split("/")
        for epoch, value in enumerate(history[name]):
            seen = [
                getattr(each.layers[layer], figure)
                for each in watching.statistics
                if each.step // STEPS == epoch
            ]
            assert value == pytest.approx(np.mean(seen), rel=1e-12)
    # a rectifier saturates nowhere: what a layer doesn't have isn't there
    assert "h0/saturated" not in figures


def test_training_is_the_same_to_the_last_bit() -> None:
    watched = healthy()
    history = fit(watched, watch())
    alone = healthy()
    wanted = fit(alone, [])
    assert {name: history[name] for name in wanted} == wanted
    assert [w.tobytes() for w in watched.get_weights()] == [
        w.tobytes() for w in alone.get_weights()
    ]


def test_an_epoch_in_which_nobody_looked_has_no_figures() -> None:
    watching = watch(every=30, window=30)
    history = fit(healthy(), watching, epochs=3)
    assert [each.step for each in watching.statistics] == [0, 30]
    assert len(history["loss"]) == 3 and len(history["h0/gradient_norm"]) == 2


def test_several_fits_begin_anew() -> None:
    model, watching = vanishing(), watch()
    fit(model, watching, epochs=1)
    first = told(watching)
    history = fit(model, watching, epochs=1)
    assert told(watching) == first != {}
    assert [each.step for each in watching.statistics] == list(range(STEPS, 2 * STEPS))
    assert min(watching.found) >= STEPS
    assert len(history["h0/gradient_norm"]) == 1


def test_an_iterable_of_batches() -> None:
    model, watching = vanishing(), watch()
    x, y = blobs(ROWS)
    batches = [(x[i : i + BATCH], y[i : i + BATCH]) for i in range(0, ROWS, BATCH)]
    history = model.fit(batches, epochs=2, verbose=0, callbacks=[watching]).history
    assert len(watching.statistics) == 2 * STEPS and len(history["h0/gradient_norm"]) == 2
    assert "h0" in told(watching)["vanishing"]


def test_with_a_callback_for_each_batch() -> None:
    quick, one_by_one = watch(), watch()
    fit(vanishing(), quick)
    fit(vanishing(), [callbacks.LambdaCallback(on_train_batch_end=lambda *a: None), one_by_one])
    # As text: since Python 3.13, one with a NaN does not equal itself.
    assert repr(quick.statistics) == repr(one_by_one.statistics)
    assert quick.found == one_by_one.found


def test_two_that_look_at_different_steps() -> None:
    often, seldom = watch(every=4), watch(every=6)
    fit(healthy(), [often, seldom])
    assert [each.step for each in often.statistics] == list(range(0, 2 * STEPS, 4))
    assert [each.step for each in seldom.statistics] == list(range(0, 2 * STEPS, 6))


# What it says


@pytest.mark.parametrize("verdict", SICK)
def test_warns(verdict: str) -> None:
    make, layer = SICK[verdict]
    # Adam's steps are soon no longer large, for they make the weights so
    watching = watch(on_problem="warn", window=2)
    with pytest.warns(GradientHealthWarning, match=rf"^step \d+: .*{verdict}, ") as caught:
        history = fit(make(), watching)
    assert layer in told(watching)[verdict]
    assert len(caught) == len(watching.found)
    assert len(history["loss"]) == 2, "training goes on"


@pytest.mark.parametrize("activation", ["relu", "tanh", "gelu"])
def test_a_healthy_net_is_silent(activation: str, capsys: pytest.CaptureFixture[str]) -> None:
    # a warning would be an error
    watching = watch(on_problem="warn")
    fit(net(2, activation), watching, epochs=5)
    assert watching.found == {} and capsys.readouterr().out == ""


def test_each_finding_is_told_once() -> None:
    watching = watch()
    fit(vanishing(), watching, epochs=4)
    findings = [(f.layer, f.verdict) for found in watching.found.values() for f in found]
    assert findings and len(findings) == len(set(findings))


def test_neighbours_are_told_of_together() -> None:
    with pytest.warns(GradientHealthWarning) as caught:
        fit(vanishing(), watch(on_problem="warn"))
    text = str(caught[0].message)
    assert text.count("vanishing") == 1 and "layers from 'h0' to 'h" in text


def test_a_verdict_takes_a_window() -> None:
    for window in (10, 25):
        watching = watch(window=window)
        fit(vanishing(), watching)
        assert list(watching.found) == [window]
    watching = watch(window=2 * STEPS)
    fit(vanishing(), watching)
    assert list(watching.found) == [2 * STEPS - 1], "the last look, though the window is not full"
    few = watch(every=10, window=4 * STEPS)
    fit(vanishing(), few)
    assert not few.found, "too few steps were seen"
    assert GradientHealth(every=7).statistics_window == 70


def test_each_window_is_judged_by_itself() -> None:
    model, watching = healthy(), watch()

    def stall(epoch: int, logs: Any) -> None:
        if epoch == 3:
            model.optimizer.learning_rate = 1e-12

    fit(model, [callbacks.LambdaCallback(on_epoch_begin=stall), watching], epochs=5)
    assert set(watching.found) == {3 * STEPS + 10} and set(told(watching)) == {"learning_rate"}


def test_thresholds() -> None:
    watching = watch(thresholds=Thresholds(vanishing=0.0))
    fit(vanishing(), watching)
    assert "vanishing" not in told(watching)


# What it does


def test_stops(capsys: pytest.CaptureFixture[str]) -> None:
    model, watching = vanishing(), watch(on_problem="stop")
    history = fit(model, watching)
    assert model.stop_training and len(history["loss"]) == 1
    assert len(watching.found) == 1
    out = capsys.readouterr().out
    assert out.startswith("step 10: ") and out.endswith("; training stops\n")
    # the same step each time, however fast the machine is
    assert model.optimizer.iterations == 11
    model, watching = vanishing(), watch(on_problem="stop", every=3, window=9)
    fit(model, watching)
    assert model.optimizer.iterations == 10


@pytest.mark.parametrize("action", ["stop", "raise"])
def test_comes_back_after_each_look_if_it_may_stop(action: str) -> None:
    seen: list[int] = []

    class Watch(GradientHealth):
        def on_statistics(self, statistics: Any) -> None:
            seen.append(len(statistics))

    fit(healthy(), Watch(every=5, on_problem=action))
    assert seen == [1] * (2 * STEPS // 5)
    assert not watch(on_problem="warn").statistics_at_once


def test_raises_and_the_model_can_go_on() -> None:
    model, watching = vanishing(), watch(on_problem="raise")
    with pytest.raises(fnn.GradientHealthError, match=r"step 10: .* vanishing") as caught:
        fit(model, watching)
    assert isinstance(caught.value, RuntimeError) and list(watching.found) == [10]
    assert model.optimizer.iterations == 11
    assert len(fit(model, [])["loss"]) == 2


def test_ignores(capsys: pytest.CaptureFixture[str]) -> None:
    watching = watch(on_problem="ignore")
    fit(vanishing(), watching)
    assert watching.found and capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("settings", "fault"),
    [
        ({"every": 0}, "GradientHealth.*every must .* 1, got 0"),
        ({"every": 1.5}, "GradientHealth.*every"),
        ({"on_problem": "cry"}, "GradientHealth.*on_problem.*'cry'"),
        ({"every": 5, "window": 4}, "GradientHealth.*window must .* 5, got 4"),
        ({"replay": 3}, "PathLike"),
    ],
)
def test_bad_arguments(settings: dict[str, Any], fault: str) -> None:
    with pytest.raises((TypeError, ValueError), match=fault):
        GradientHealth(**settings)


# Beside other callbacks


@pytest.mark.parametrize("verbose", [1, 2])
def test_the_progress_bar_leaves_figures_out(
    verbose: int, capsys: pytest.CaptureFixture[str]
) -> None:
    fit(healthy(), watch(), verbose=verbose, validation_split=0.2)
    out = capsys.readouterr().out
    assert "val_accuracy" in out
    assert "gradient_norm" not in out and "h0/" not in out


def test_csv_logger_and_validation(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    history = fit(healthy(), [watch(), callbacks.CSVLogger(path)], validation_split=0.2)
    rows = list(csv.DictReader(path.read_text().splitlines()))
    assert set(rows[0]) == {"epoch", *history}
    for name, values in history.items():
        assert [float(row[name]) for row in rows] == values
    assert "val_loss" in history and not any(name.startswith("val_h0") for name in history)


def test_csv_logger_expects_no_figures_of_a_validation(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    history = fit(healthy(), [watch(), callbacks.CSVLogger(path)])
    columns = path.read_text().splitlines()[0].split(",")
    assert set(columns) == {"epoch", *history, "val_loss", "val_accuracy"}


def test_early_stopping_can_go_by_a_figure() -> None:
    stopping = callbacks.EarlyStopping("h0/gradient_norm", mode="max", patience=0, min_delta=1e9)
    # patience counts epochs without an improvement: the second epoch is the first of them
    assert len(fit(healthy(), [watch(), stopping], epochs=9)["loss"]) == 2
    stopping = callbacks.EarlyStopping("val_loss", patience=1, start_from_epoch=1)
    assert len(fit(healthy(), [watch(), stopping], validation_split=0.2)["val_loss"]) == 2


def test_tensorboard_gets_the_figures(tmp_path: Path) -> None:
    pytest.importorskip("tensorboardX")
    from test_tensorboard import events

    board = callbacks.TensorBoard(tmp_path)
    history = fit(healthy(), [watch(), board])
    values: dict[str, list[float]] = {}
    for event in events(tmp_path / "train"):
        for value in event.summary.value:
            values.setdefault(value.tag, []).append(value.simple_value)
    for name in ("h0/gradient_norm", "out/update_ratio", "h1/dead"):
        assert values[name] == [np.float32(value) for value in history[name]]
    assert "epoch_loss" in values and not any(tag.startswith("epoch_h0") for tag in values)


# The replay of a batch that is not finite


@pytest.fixture
def bad() -> Iterator[tuple[Any, Any]]:
    """Data of which row 37 is too large."""
    x, y = blobs(ROWS)
    x[37] = HUGE
    yield x, y


def stopped(watching: Any, data: Any, model: Any = None, **settings: Any) -> Any:
    model = model or healthy()
    with pytest.raises(fnn.NonFiniteGradientError):
        model.fit(*data, batch_size=BATCH, verbose=0, callbacks=watching, **settings)
    return model


@pytest.mark.parametrize("validation_split", [0.0, 0.2])
def test_a_replay_is_written(
    bad: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str], validation_split: float
) -> None:
    path = tmp_path / "new" / "step.safetensors"
    model = stopped([watch(replay=path)], bad, validation_split=validation_split)
    step = model.optimizer.iterations
    out = capsys.readouterr().out
    assert (
        f"batch of step {step} is in {path}" in out and f"fnn.health.replay({str(path)!r})" in out
    )
    found = fnn.health.replay(path)
    assert found is not None
    assert (found.layer, found.tensor, found.samples) == ("h0", "pre-activation", (37,))
    assert found.step == step


def test_a_replay_of_a_batch_of_an_iterable(bad: Any, tmp_path: Path) -> None:
    x, y = bad
    batches = [(x[i : i + BATCH], y[i : i + BATCH]) for i in range(0, ROWS, BATCH)]
    with pytest.raises(fnn.NonFiniteGradientError):
        healthy().fit(batches, verbose=0, callbacks=[watch(replay=tmp_path / "a.safetensors")])
    found = fnn.health.replay(tmp_path / "a.safetensors")
    assert found is not None and found.samples == (37 % BATCH,)


def test_the_replay_is_that_of_the_last_fit(bad: Any, tmp_path: Path) -> None:
    watching, path = watch(replay=tmp_path / "a.safetensors"), tmp_path / "a.safetensors"
    fit(healthy(), watching)
    assert not path.exists(), "nothing went wrong"
    model = stopped(watching, bad, shuffle=False)
    first = path.read_bytes()
    stopped(watching, (bad[0][32:], bad[1][32:]), model, shuffle=False)
    assert path.read_bytes() != first
    found = fnn.health.replay(path)
    assert found is not None and found.samples == (5,)


def test_without_replay_nothing_is_written(
    bad: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    stopped([watch()], bad)
    assert not list(tmp_path.iterdir()) and capsys.readouterr().out == ""


def test_a_replay_that_cant_be_written(
    bad: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("in the way")
    stopped([watch(replay=tmp_path / "file" / "step.safetensors")], bad)
    assert "is lost: " in capsys.readouterr().out


def test_a_replay_of_what_the_engine_does_not_see(
    bad: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The error that stops the training is still the one that is raised."""
    x, y = bad
    words, numbers = layers.Input((1,)), layers.Input((x.shape[1],))
    lookup = layers.StringLookup(vocabulary=["a"], output_mode="one_hot")
    both = layers.Concatenate()([lookup(words), numbers])
    model = fnn.Model([words, numbers], layers.Dense(4, "softmax")(both))
    model.compile("adam", "sparse_categorical_crossentropy")
    texts = np.full((len(x), 1), "a")
    stopped([watch(replay=tmp_path / "step.safetensors")], ([texts, x], y), model)
    assert "is lost: " in capsys.readouterr().out


def test_the_hook_comes_last_and_before_the_error(bad: Any) -> None:
    calls: list[str] = []
    hooks = {
        name: lambda *a, name=name: calls.append(name)
        for name in ("on_train_begin", "on_epoch_begin", "on_epoch_end", "on_train_end")
    }
    seen: list[Any] = []

    def hook(error: Any) -> None:
        calls.append("on_nonfinite")
        seen.append((error, model.optimizer.iterations, [w.copy() for w in model.get_weights()]))

    recorder = callbacks.LambdaCallback(**hooks, on_nonfinite=hook)  # type: ignore[arg-type]
    model = healthy()
    stopped([recorder], bad, model)
    assert calls == ["on_train_begin", "on_epoch_begin", "on_nonfinite"]
    error, step, weights = seen[0]
    assert isinstance(error, fnn.NonFiniteGradientError) and error.step == step
    assert 37 in error.samples
    for before, after in zip(weights, model.get_weights(), strict=True):
        np.testing.assert_array_equal(before, after)


def test_no_hook_where_such_steps_are_left_out(bad: Any, tmp_path: Path) -> None:
    model = net(2, "relu", optimizers.Adam(nonfinite="skip"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", GradientHealthWarning)
        model.fit(
            *bad, batch_size=BATCH, verbose=0, callbacks=[watch(replay=tmp_path / "a.safetensors")]
        )
    assert not (tmp_path / "a.safetensors").exists()

"""Keras's hooks during fit, evaluate and predict: order, logs, and what a hook may change."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from nets import assert_same_bits, blobs, classifier

from fastnn import callbacks, optimizers

HOOKS = [
    f"on_{mode}_{part}"
    for mode in ("train", "test", "predict")
    for part in ("begin", "end", "batch_begin", "batch_end")
] + ["on_epoch_begin", "on_epoch_end"]


class Recorder(callbacks.Callback):
    """Keeps every hook call as (name, index or None) and a copy of its logs."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple] = []
        self.logs: dict[str, list[dict]] = {}


def _recording_hook(name: str) -> Any:
    def hook(self: Recorder, *arguments: Any, **keywords: Any) -> None:
        index = arguments[:1] if "batch" in name or "epoch" in name else ()
        logs = keywords.get("logs", arguments[len(index)] if len(arguments) > len(index) else None)
        self.calls.append((name, *index))
        self.logs.setdefault(name, []).append(dict(logs or {}))

    return hook


for _name in HOOKS:
    setattr(Recorder, _name, _recording_hook(_name))


def batches(mode: str, n: int) -> list[tuple]:
    return [(f"on_{mode}_batch_{end}", i) for i in range(n) for end in ("begin", "end")]


def test_fit_calls_every_hook_in_kerass_order() -> None:
    x, y = blobs(50)
    recorder = Recorder()
    classifier().fit(
        x, y, batch_size=16, epochs=2, validation_split=0.3, callbacks=[recorder], verbose=0
    )
    test = [("on_test_begin",), *batches("test", 1), ("on_test_end",)]
    wanted: list[tuple] = [("on_train_begin",)]
    for epoch in range(2):
        wanted += [("on_epoch_begin", epoch), *batches("train", 3), *test, ("on_epoch_end", epoch)]
    assert recorder.calls == [*wanted, ("on_train_end",)]


def test_evaluate_and_predict_call_their_hooks() -> None:
    x, y = blobs(50)
    recorder = Recorder()
    model = classifier()
    model.evaluate(x, y, batch_size=20, callbacks=[recorder], verbose=0)
    assert recorder.calls == [("on_test_begin",), *batches("test", 3), ("on_test_end",)]
    recorder.calls.clear()
    model.predict(x, batch_size=25, callbacks=[recorder], verbose=0)
    assert recorder.calls == [("on_predict_begin",), *batches("predict", 2), ("on_predict_end",)]


def test_logs() -> None:
    x, y = blobs(50)
    recorder = Recorder()
    model = classifier()
    history = model.fit(
        x, y, batch_size=16, epochs=2, validation_split=0.2, callbacks=[recorder], verbose=0
    )
    for logs in recorder.logs["on_train_batch_end"]:
        assert set(logs) == {"loss", "accuracy"}
        assert all(np.isfinite(value) for value in logs.values())
    for epoch, logs in enumerate(recorder.logs["on_epoch_end"]):
        assert logs == {key: values[epoch] for key, values in history.history.items()}
    # As in Keras, a batch's logs are the means of the epoch so far: the last is the epoch's.
    last = recorder.logs["on_train_batch_end"][2]
    assert last["loss"] == pytest.approx(history.history["loss"][0], rel=1e-6)


def test_batch_logs_are_means_of_the_epoch_so_far() -> None:
    x, y = blobs(48)
    model = classifier(optimizer=optimizers.SGD(0.0))
    recorder = Recorder()
    model.fit(x, y, batch_size=16, shuffle=False, callbacks=[recorder], verbose=0)
    for end, logs in zip((16, 32, 48), recorder.logs["on_train_batch_end"], strict=True):
        wanted = model.evaluate(x[:end], y[:end], batch_size=end, verbose=0)
        assert [logs["loss"], logs["accuracy"]] == pytest.approx(wanted, rel=1e-5)


def test_batch_hooks_change_no_bit() -> None:
    x, y = blobs(50)
    watched, alone = classifier(), classifier()
    a = watched.fit(x, y, batch_size=8, epochs=2, shuffle=False, callbacks=[Recorder()], verbose=0)
    b = alone.fit(x, y, batch_size=8, epochs=2, shuffle=False, verbose=0)
    assert_same_bits(watched.get_weights(), alone.get_weights())
    assert a.history == b.history


class Interrupting(dict[str, list[float]]):
    """Ctrl-C comes when a name is looked up."""

    def __init__(self, wanted: str) -> None:
        self.wanted = wanted

    def setdefault(self, name: str, default: Any = None) -> Any:
        if name == self.wanted and len(self.get(name, ())) == 2:
            self.wanted = ""
            raise KeyboardInterrupt
        return super().setdefault(name, default)


@pytest.mark.parametrize("name", ["loss", "accuracy", "val_loss"])
def test_an_interrupted_history_has_whole_epochs(name: str) -> None:
    """Ctrl-C in the middle of noting the third epoch: it is noted whole. In the middle of the
    fourth: that is not noted at all."""
    x, y = blobs(50)
    model, history = classifier(), callbacks.History()
    history.history = Interrupting(name)

    def interrupt(epoch: int, logs: Any) -> None:
        if epoch == 3:
            raise KeyboardInterrupt

    hooks = [callbacks.LambdaCallback(on_epoch_begin=interrupt), history]
    for first, wanted in ((0, [0, 1, 2]), (2, [2])):
        with pytest.raises(KeyboardInterrupt):
            model.fit(x, y, epochs=9, initial_epoch=first, validation_split=0.2, verbose=0,
                      callbacks=hooks)  # fmt: skip
        assert history.epoch == wanted
        assert model.history is history
    assert {len(values) for values in history.history.values()} == {4}
    assert set(history.history) == {"loss", "accuracy", "val_loss", "val_accuracy"}


def test_set_model_and_params() -> None:
    x, y = blobs(50)
    recorder, model = Recorder(), classifier()
    model.fit(x, y, batch_size=16, epochs=2, callbacks=[recorder], verbose=0)
    assert recorder.model is model
    assert recorder.params["epochs"] == 2 and recorder.params["steps"] == 4


def test_weights_are_those_of_the_moment() -> None:
    class Watch(callbacks.Callback):
        seen: list = []  # noqa: RUF012

        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            self.seen.append(self.model.get_weights()[0])
            assert self.model.optimizer.iterations == batch + 1

    x, y = blobs(48)
    model, stepped, watch = classifier(), classifier(), Watch()
    model.fit(x, y, batch_size=16, shuffle=False, callbacks=[watch], verbose=0)
    for step, seen in enumerate(watch.seen):
        stepped.train_on_batch(x[16 * step : 16 * step + 16], y[16 * step : 16 * step + 16])
        np.testing.assert_array_equal(seen, stepped.get_weights()[0])


def test_a_hook_may_set_weights() -> None:
    x, y = blobs(48)
    model = classifier(optimizer=optimizers.SGD(0.0))
    wanted = classifier(seed=9).get_weights()

    class Set(callbacks.Callback):
        def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
            if batch == 1:
                self.model.set_weights(wanted)

    model.fit(x, y, batch_size=16, callbacks=[Set()], verbose=0)
    assert_same_bits(model.get_weights(), wanted)


def test_a_hook_may_set_the_learning_rate() -> None:
    x, y = blobs(64)

    class Freeze(callbacks.Callback):
        def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
            if batch == 2:
                self.model.optimizer.learning_rate = 0.0

    frozen = classifier(optimizer=optimizers.SGD(0.1))
    frozen.fit(x, y, batch_size=16, shuffle=False, callbacks=[Freeze()], verbose=0)
    short = classifier(optimizer=optimizers.SGD(0.1))
    short.fit(x[:32], y[:32], batch_size=16, shuffle=False, verbose=0)
    assert_same_bits(frozen.get_weights(), short.get_weights())


def test_learning_rate_scheduler_reaches_the_engine_each_epoch() -> None:
    x, y = blobs(64)
    rates = [0.1, 0.0, 0.02]
    scheduled, by_hand = (classifier(optimizer=optimizers.SGD(0.5)) for _ in range(2))
    history = scheduled.fit(
        x, y, epochs=3, shuffle=False, verbose=0,
        callbacks=[callbacks.LearningRateScheduler(lambda epoch, rate: rates[epoch])],
    )  # fmt: skip
    for rate in rates:
        by_hand.optimizer.learning_rate = rate
        by_hand.fit(x, y, shuffle=False, verbose=0)
    assert_same_bits(scheduled.get_weights(), by_hand.get_weights())
    assert history.history["learning_rate"] == pytest.approx(rates, rel=1e-6)


@pytest.mark.parametrize("hook", ["on_train_batch_end", "on_epoch_end"])
def test_stop_training(hook: str) -> None:
    x, y = blobs(64)
    model = classifier()

    def stop(self: Any, index: int, logs: Any = None) -> None:
        if index == 1:
            self.model.stop_training = True

    stopper = type("Stopper", (callbacks.Callback,), {hook: stop})()
    history = model.fit(x, y, batch_size=16, epochs=9, callbacks=[stopper], verbose=0)
    if hook == "on_epoch_end":
        assert history.epoch == [0, 1] and model.optimizer.iterations == 8
    else:
        assert history.epoch == [0] and model.optimizer.iterations == 2
    # The flag does not outlive the fit that it stopped.
    assert len(model.fit(x, y, epochs=2, verbose=0).epoch) == 2


def test_a_failing_hook_leaves_the_model_usable() -> None:
    class Fail(callbacks.Callback):
        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            if batch == 1:
                raise RuntimeError("from the hook")

    x, y = blobs(64)
    failed, short = classifier(), classifier()
    with pytest.raises(RuntimeError, match="from the hook"):
        failed.fit(x, y, batch_size=16, shuffle=False, callbacks=[Fail()], verbose=0)
    short.fit(x[:32], y[:32], batch_size=16, shuffle=False, verbose=0)
    for model in (failed, short):
        model.fit(x, y, shuffle=False, verbose=0)
    assert_same_bits(failed.get_weights(), short.get_weights())


def test_lambda_callback() -> None:
    x, y = blobs(64)
    epochs: list[int] = []
    hook = callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: epochs.append(epoch))
    classifier().fit(x, y, epochs=3, callbacks=[hook], verbose=0)
    assert epochs == [0, 1, 2]

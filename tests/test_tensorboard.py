"""callbacks.TensorBoard: what it writes, read back record by record; and what it refuses."""

from __future__ import annotations

import gc
import struct
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from nets import blobs, classifier

import fastnn as fnn
from fastnn import callbacks, optimizers

pytest.importorskip("tensorboardX")


def crc32c(data: bytes) -> int:
    """Castagnoli's, bit by bit (RFC 3720, appendix B.4)."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0x82F63B78 & -(crc & 1))
    return crc ^ 0xFFFFFFFF


def masked(data: bytes) -> int:
    crc = crc32c(data)
    return (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF


def records(path: Path) -> Iterator[bytes]:
    """Of TensorFlow's record format: length, its CRC, data, its CRC."""
    content, at = path.read_bytes(), 0
    while at < len(content):
        header = content[at : at + 8]
        (length,) = struct.unpack("<Q", header)
        data = content[at + 12 : at + 12 + length]
        assert struct.unpack_from("<I", content, at + 8) == (masked(header),)
        assert struct.unpack_from("<I", content, at + 12 + length) == (masked(data),)
        yield data
        at += length + 16
    assert at == len(content)


def events(directory: Path) -> list[Any]:
    from tensorboardX.proto.event_pb2 import Event

    found = []
    for path in sorted(directory.glob("*.tfevents.*")):
        first, *rest = (Event.FromString(data) for data in records(path))
        assert first.file_version == "brain.Event:2"
        found += rest
    return found


def scalars(directory: Path) -> dict[str, list[tuple[int, float]]]:
    found: dict[str, list[tuple[int, float]]] = {}
    for event in events(directory):
        for value in event.summary.value:
            if value.HasField("simple_value"):
                found.setdefault(value.tag, []).append((event.step, value.simple_value))
    return found


def histograms(directory: Path) -> dict[str, list[tuple[int, Any]]]:
    found: dict[str, list[tuple[int, Any]]] = {}
    for event in events(directory):
        for value in event.summary.value:
            if value.HasField("histo"):
                found.setdefault(value.tag, []).append((event.step, value.histo))
    return found


def float32(values: list[float]) -> list[float]:
    return [float(np.float32(value)) for value in values]


def test_epochs(tmp_path: Path) -> None:
    model = classifier(optimizer=optimizers.SGD(optimizers.schedules.ExponentialDecay(0.1, 4, 0.5)))
    x, y = blobs(60)
    history = model.fit(
        x, y, epochs=3, batch_size=16, validation_split=0.25, verbose=0,
        callbacks=callbacks.TensorBoard(tmp_path),
    ).history  # fmt: skip
    train, validation = scalars(tmp_path / "train"), scalars(tmp_path / "validation")
    assert set(train) == {"epoch_loss", "epoch_accuracy", "epoch_learning_rate"}
    assert set(validation) == {
        "epoch_loss", "epoch_accuracy", "evaluation_loss_vs_iterations",
        "evaluation_accuracy_vs_iterations",
    }  # fmt: skip
    for name in ("loss", "accuracy"):
        assert train[f"epoch_{name}"] == list(enumerate(float32(history[name])))
        wanted = float32(history[f"val_{name}"])
        assert validation[f"epoch_{name}"] == list(enumerate(wanted))
        assert validation[f"evaluation_{name}_vs_iterations"] == [
            (3 * (epoch + 1), value) for epoch, value in enumerate(wanted)
        ]
    rates = float32([0.1 * 0.5 ** (3 * (epoch + 1) / 4) for epoch in range(3)])
    assert [rate for _, rate in train["epoch_learning_rate"]] == pytest.approx(rates)
    assert all(event.wall_time > 1.7e9 for event in events(tmp_path / "train"))


class Note(callbacks.Callback):
    """Keeps the logs of every batch."""

    def __init__(self) -> None:
        self.seen: list[dict[str, float]] = []

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.seen.append(dict(logs))


@pytest.mark.parametrize(("freq", "every"), [("batch", 1), (3, 3)])
def test_batches(tmp_path: Path, freq: Any, every: int) -> None:
    model, note = classifier(), Note()
    tensorboard = callbacks.TensorBoard(tmp_path, update_freq=freq, write_steps_per_second=True)
    model.fit(*blobs(60), epochs=2, batch_size=16, verbose=0, callbacks=[note, tensorboard])
    train = scalars(tmp_path / "train")
    steps = [step for step in range(1, 9) if step % every == 0]
    assert train["batch_loss"] == [
        (step, float(np.float32(note.seen[step - 1]["loss"]))) for step in steps
    ]
    assert [step for step, _ in train["batch_accuracy"]] == steps
    for name, length in (("batch", len(steps)), ("epoch", 2)):
        speeds = [value for _, value in train[f"{name}_steps_per_second"]]
        assert len(speeds) == length and min(speeds) > 0


def test_only_batches_bring_training_back_to_python(tmp_path: Path) -> None:
    plain = callbacks.CallbackList(callbacks.TensorBoard(tmp_path, write_steps_per_second=True))
    assert not plain.has_batch_hooks and not plain.has_test_batch_hooks
    assert callbacks.CallbackList(callbacks.TensorBoard(tmp_path, update_freq=5)).has_batch_hooks


def test_histograms(tmp_path: Path) -> None:
    model = classifier()
    model.fit(
        *blobs(), epochs=3, verbose=0, callbacks=callbacks.TensorBoard(tmp_path, histogram_freq=2)
    )
    found = histograms(tmp_path / "train")
    assert set(found) == {f"{variable.path}/histogram" for variable in model.weights}
    for variable in model.weights:
        (first, _), (last, histogram) = found[f"{variable.path}/histogram"]
        values = variable.numpy().astype(np.float64)
        assert (first, last) == (0, 2)
        assert (histogram.min, histogram.max) == (values.min(), values.max())
        assert histogram.num == values.size == sum(histogram.bucket)
        assert histogram.sum == pytest.approx(values.sum())
        assert histogram.sum_squares == pytest.approx(np.square(values).sum())
        limits = np.array(histogram.bucket_limit)
        below = np.cumsum(histogram.bucket)
        for k, limit in enumerate(limits[:-1]):
            assert below[k] == (values < limit).sum()


def test_histogram_of_weights_that_are_not_finite(tmp_path: Path) -> None:
    model = classifier(optimizer=optimizers.SGD(0.0, nonfinite="propagate"))
    first, second, third, fourth = model.get_weights()
    first[0, 0], second[:] = np.nan, np.inf
    model.set_weights([first, second, third, fourth])
    tensorboard = callbacks.TensorBoard(tmp_path, histogram_freq=1)
    tensorboard.set_model(model)
    tensorboard.on_train_begin()
    tensorboard.on_epoch_begin(0)
    tensorboard.on_epoch_end(0, {"loss": float("nan")})
    tensorboard.on_train_end()
    found = histograms(tmp_path / "train")
    paths = [variable.path for variable in model.weights]
    assert found[f"{paths[0]}/histogram"][0][1].num == first.size - 1
    assert f"{paths[1]}/histogram" not in found
    assert np.isnan(scalars(tmp_path / "train")["epoch_loss"][0][1])


class Figures(callbacks.Callback):
    """Adds a layer's figure to the logs."""

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        logs["dense/gradient_norm"] = 0.5 + epoch


def test_figures_of_layers_are_grouped_by_layer(tmp_path: Path) -> None:
    classifier().fit(
        *blobs(), epochs=2, verbose=0, callbacks=[Figures(), callbacks.TensorBoard(tmp_path)]
    )
    assert scalars(tmp_path / "train")["dense/gradient_norm"] == [(0, 0.5), (1, 1.5)]


def test_evaluate_alone(tmp_path: Path) -> None:
    model = classifier()
    model.fit(*blobs(), verbose=0)
    result = model.evaluate(
        *blobs(), verbose=0, return_dict=True, callbacks=callbacks.TensorBoard(tmp_path)
    )
    assert not (tmp_path / "train").exists()
    assert scalars(tmp_path / "validation")["evaluation_loss_vs_iterations"] == [
        (model.optimizer.iterations, float(np.float32(result["loss"])))
    ]


def test_one_instance_serves_several_fits(tmp_path: Path) -> None:
    """Within a second, too: no file takes another's place."""
    model, tensorboard = classifier(), callbacks.TensorBoard(tmp_path)
    for _ in range(2):
        model.fit(*blobs(), epochs=2, verbose=0, callbacks=tensorboard)
    assert len(list((tmp_path / "train").iterdir())) == 2
    epochs = [epoch for epoch, _ in scalars(tmp_path / "train")["epoch_loss"]]
    assert sorted(epochs) == [0, 0, 1, 1]


def test_a_fit_that_is_cut_off_keeps_what_was_written(tmp_path: Path) -> None:
    def stop(epoch: int, logs: Any) -> None:
        if epoch == 1:
            raise KeyboardInterrupt

    cut = callbacks.LambdaCallback(on_epoch_begin=stop)
    tensorboard = callbacks.TensorBoard(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        classifier().fit(*blobs(), epochs=3, verbose=0, callbacks=[tensorboard, cut])
    assert [epoch for epoch, _ in scalars(tmp_path / "train")["epoch_loss"]] == [0]
    # A file that is left open would warn now.
    del tensorboard, cut
    gc.collect()


def test_training_is_the_same_with_it(tmp_path: Path) -> None:
    weights = []
    for hooks in ([], [callbacks.TensorBoard(tmp_path, 1, update_freq="batch")]):
        fnn.utils.set_random_seed(3)
        model = classifier()
        model.fit(*blobs(), epochs=2, verbose=0, callbacks=hooks)
        weights.append([w.tobytes() for w in model.get_weights()])
    assert weights[0] == weights[1]


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"update_freq": "step"}, ValueError, "update_freq must be 'epoch', 'batch' or an integer"),
        ({"update_freq": 0}, ValueError, "update_freq must be an integer >= 1, got 0"),
        ({"update_freq": 1.5}, TypeError, "update_freq must be an integer, got 1.5"),
        ({"histogram_freq": -1}, ValueError, "histogram_freq must be an integer >= 0, got -1"),
        ({"write_steps_per_second": 1}, TypeError, "write_steps_per_second must be True or False"),
        ({"write_graph": False}, TypeError, "write_graph"),
        ({"log_dir": 3}, TypeError, "int"),
    ],
)
def test_bad_arguments(arguments: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        callbacks.TensorBoard(**arguments)


def test_without_tensorboardx(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorboardX.event_file_writer", None)
    with pytest.raises(ImportError, match=r"pip install fastnn\[tensorboard\]"):
        callbacks.TensorBoard()

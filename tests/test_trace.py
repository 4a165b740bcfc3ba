"""A trace of steps: time stamps change nothing, and say who did what and waited for whom."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from nets import assert_same_bits

import fastnn as fnn
from fastnn import layers, losses
from fastnn.bench import data, trace
from fastnn.bench.peers.base import Job
from fastnn.cli import main
from fastnn.engine.executable import Executable
from fastnn.models.feeding import feed
from fastnn.models.passes import objectives_for
from fastnn.models.runner import Training

ROWS, BATCH, STEPS = 96, 32, 3
ARRIVED, BEGAN, ENDED, BUSY = range(4)


def model_for(shape: tuple[int, ...]) -> fnn.Model:
    fnn.utils.set_random_seed(3)
    hidden = [layers.Conv2D(16, 3, activation="relu"), layers.MaxPooling2D(), layers.Flatten()]
    model = fnn.Sequential([
        layers.Input(shape), *(hidden if len(shape) > 1 else []),
        layers.Dense(70, activation="relu"), layers.Dense(5),
    ])  # fmt: skip
    model.compile("adam", losses.SparseCategoricalCrossentropy(from_logits=True))
    return model


def train(model: fnn.Model, threads: int, times: Any = None) -> Executable:
    rng = np.random.default_rng(0)
    shape = (ROWS, *model.input_shape[1:])
    x, y = rng.standard_normal(shape).astype(np.float32), rng.integers(0, 5, ROWS)
    dataset, totals = feed(model, x, y), model._totals()
    objectives, weighted = objectives_for(totals.objectives, dataset)
    with model._executables.lend(BATCH, objectives, model._updates(), {}) as executable:
        if callable(times):
            times = times(len(executable.program.ops))
        training = Training(model.optimizer, storing=lambda: pytest.fail("not proved"))
        executable.run(
            dataset.sources(weighted), np.arange(ROWS), 0, ROWS, BATCH, training.scalars(STEPS),
            totals.sums, [], threads, np.inf, model.optimizer, times=times,
        )  # fmt: skip
        return executable


@pytest.mark.parametrize("shape", [(37,), (9, 9, 2)])
@pytest.mark.parametrize("threads", [1, 2, 3])
def test_stamps_change_no_bit_and_are_in_order(shape: tuple[int, ...], threads: int) -> None:
    plain, traced = model_for(shape), model_for(shape)
    train(plain, threads)
    found: list[np.ndarray] = []

    def room(ops: int) -> np.ndarray:
        found.append(np.full((STEPS + 1, threads, ops + 1, 4), np.nan))
        return found[0]

    ops = train(traced, threads, room).program.ops
    assert_same_bits(plain.get_weights(), traced.get_weights())
    (times,) = found
    assert np.isnan(times[STEPS]).all()  # no such step
    times = times[:STEPS]
    in_band = [
        later
        for first, op in enumerate(ops)
        for later in range(first + 1, first + op.band)
    ]  # fmt: skip
    assert bool(in_band) == (len(shape) > 1)
    began = np.delete(times, [*in_band, len(ops)], axis=2)
    assert np.isfinite(began).all()
    flat = began[..., :BUSY].reshape(STEPS, threads, -1)
    assert (np.diff(flat, axis=2) >= 0).all()
    assert (times[:, :, :-1, BUSY] >= 0).all()
    assert np.isnan(times[:, :, in_band, :BUSY]).all()
    # The wait that ends a step ends for nobody before the last has come.
    assert (times[:, :, -1, BEGAN] >= times[:, :, -1, ARRIVED].max(axis=1, keepdims=True)).all()
    # Likewise before an op that waits.
    for number, op in enumerate(ops):
        if op.wait:
            last = times[:, :, number, ARRIVED].max(axis=1, keepdims=True)
            assert (times[:, :, number, BEGAN] >= last).all()


@pytest.mark.parametrize("shape", [(2, 1), (3, 2), (3, 1, 5)])
def test_room_that_does_not_fit_is_refused(shape: tuple[int, ...]) -> None:
    def room(ops: int) -> np.ndarray:
        steps, threads, more = (*shape, 0)[:3]
        return np.zeros((steps, threads, ops + 1 + more, 4))

    if shape == (3, 2):
        train(model_for((37,)), 2, room)
        shape = (3, 3)
    with pytest.raises(ValueError, match=r"times must have shape \(3, \d, \d+, 4\)"):
        train(model_for((37,)), 1 if shape[1] == 1 else 2, room)


@pytest.fixture(scope="module")
def mnist(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    return data.write("mnist", tmp_path_factory.mktemp("data"), 200)


def test_table_and_file(mnist: tuple[str, str], tmp_path: Path) -> None:
    job = Job("mnist", "784-32-10", 50, *mnist, 200, batch_norm=True, global_clipnorm=1.0)
    found = trace.record(job, 2, 4)
    assert found.times.shape == (4, 2, len(found.ops) + 1, 4)
    nonzeros = np.count_nonzero(np.load(mnist[0])) / 200
    names = {op.name: op for op in found.ops}
    assert found.multiply_adds(names["dense_forward_sparse"]) == pytest.approx(50 * nonzeros * 32)
    assert found.multiply_adds(names["dense_forward"]) == 50 * 32 * 10
    assert found.multiply_adds(names["batchnorm_forward"]) == 0
    text = trace.table(found, 100.0)
    assert "dense_forward_sparse dense" in text and "(a step, median)" in text
    trace.write(found, tmp_path / "trace.json")
    events = json.loads((tmp_path / "trace.json").read_text())["traceEvents"]
    done = [e for e in events if e["ph"] == "X"]
    assert {e["tid"] for e in done} == {0, 1}
    assert all(e["ts"] >= 0 and e["dur"] >= 0 for e in done)
    waits = [e for e in done if e["name"] == "wait"]
    assert {e["args"]["for"] for e in waits} <= {"member 0", "member 1"}
    assert {e["args"]["before"] for e in waits} >= {"end of the step"}
    for own in ([e for e in done if e["tid"] == member] for member in (0, 1)):
        ends = [e["ts"] + e["dur"] for e in own]
        assert all(b["ts"] >= end - 1e-3 for end, b in zip(ends, own[1:], strict=False))


def test_multiply_adds_of_convolutions(tmp_path: Path) -> None:
    paths = data.write("dense", tmp_path, 64, (28, 28, 1))
    job = Job("dense", "28x28x1-convnet", 32, *paths, 64)
    found = trace.record(job, 1, 2)
    forward = [op for op in found.ops if op.name.endswith("_forward")]
    assert {op.name for op in forward} >= {"conv_forward", "winograd_forward", "dense_forward"}
    assert sum(map(found.multiply_adds, forward)) == 32 * job.macs


def test_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "trace.json"
    arguments = ["--net", "784-16-10", "--batch", "16", "--steps", "3", "--threads", "1"]
    assert main(["bench", "trace", *arguments, "--remedy", "both", "--out", str(path)]) == 0
    out = capsys.readouterr().out
    assert "batchnorm_forward" in out and "GFLOP/s" in out
    assert json.loads(path.read_text())["traceEvents"]

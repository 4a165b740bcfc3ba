"""What it costs to look: epochs with statistics of every n-th step, against epochs without."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastnn import Sequential, layers, set_num_threads, utils
from fastnn.bench import data, report, timing
from fastnn.callbacks import GradientHealth
from fastnn.statistics import StepStatistics

EVERY = (50, 10, 1)

_TOLERANCE = 1e-5


def run(
    cases: Sequence[str],
    nets: Sequence[tuple[int, ...]],
    batches: Sequence[int],
    rows: int,
    folder: Path,
    threads: int,
    turns: int,
    say: Callable[[str], None],
) -> list[dict[str, Any]]:
    """For each case ``costs``: what looking at one of so many steps adds to an epoch, as a share
    of it, over paired turns.

    Raises:
        ValueError: a figure is not NumPy's.
    """
    set_num_threads(threads)
    found = []
    for kind in cases:
        x, y = (np.load(path) for path in data.write(kind, folder, rows))
        for net in nets:
            for batch in batches:
                say(f"{kind} {'-'.join(map(str, net))} batch {batch}")
                _check(net, x[:batch], y[:batch])
                found.append(
                    {
                        "data": kind,
                        "net": "-".join(map(str, net)),
                        "batch": batch,
                        **_costs(net, x, y, batch, turns),
                    }
                )
    return found


def _costs(
    net: tuple[int, ...], x: NDArray[Any], y: NDArray[Any], batch: int, turns: int
) -> dict[str, Any]:
    """Each epoch that looks stands between two that do not, and is held against their mean: the
    clock of a shared machine changes from second to second."""
    models = {every: _model(net) for every in (0, *EVERY)}

    def epoch(every: int) -> float:
        callbacks = [GradientHealth(every, on_problem="ignore")] if every else []
        start = time.perf_counter()
        models[every].fit(x, y, batch_size=batch, verbose=0, callbacks=callbacks)
        return time.perf_counter() - start

    for every in models:
        epoch(every)  # not counted: programs are made in it
    plain = [epoch(0)]
    costs: dict[int, list[float]] = {every: [] for every in EVERY}
    for _ in range(turns):
        for every, own in costs.items():
            seconds = epoch(every)
            plain.append(epoch(0))
            own.append(2 * seconds / (plain[-2] + plain[-1]) - 1)
    steps = -(-len(x) // batch)
    return {
        "step_us": dataclasses.asdict(timing.Spread.of([1e6 * each / steps for each in plain])),
        "costs": {every: dataclasses.asdict(timing.Median.of(own)) for every, own in costs.items()},
    }


def _model(net: tuple[int, ...]) -> Sequential:
    utils.set_random_seed(0)
    hidden = [layers.Dense(width, "relu") for width in net[1:-1]]
    model = Sequential([layers.Input(net[:1]), *hidden, layers.Dense(net[-1], "softmax")])
    model.compile("adam", "sparse_categorical_crossentropy")
    return model


def _check(net: tuple[int, ...], x: NDArray[Any], y: NDArray[Any]) -> None:
    """Figures of the first step on one batch, against those of NumPy in float64."""
    model = _model(net)
    before = [w.astype(np.float64) for w in model.get_weights()]
    watch = GradientHealth(1, on_problem="ignore")
    model.fit(x, y, batch_size=len(x), verbose=0, callbacks=[watch], shuffle=False)
    seen: StepStatistics = watch.statistics[0]
    after = model.get_weights()
    a = x.astype(np.float64)
    activations = [a]
    for kernel, bias in zip(before[::2], before[1::2], strict=True):
        a = activations[-1] @ kernel + bias
        activations.append(np.maximum(a, 0.0))
    logits = a - a.max(axis=1, keepdims=True)
    activations[-1] = a
    d = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    d[np.arange(len(y)), y] -= 1.0
    d /= len(y)
    wanted: dict[str, float] = {}
    for number in reversed(range(len(net) - 1)):
        name = model.layers[number].name
        gradients = activations[number].T @ d, d.sum(axis=0)
        squares = sum(float((gradient**2).sum()) for gradient in gradients)
        step = np.linalg.norm(after[2 * number].astype(np.float64) - before[2 * number])
        wanted[f"{name}/gradient_norm"] = squares**0.5
        wanted[f"{name}/update_ratio"] = float(step / np.linalg.norm(before[2 * number]))
        wanted[f"{name}/mean"] = float(activations[number + 1].mean())
        wanted[f"{name}/deviation"] = float(activations[number + 1].std())
        if number:
            d = (d @ before[2 * number].T) * (activations[number] > 0)
    for key, value in wanted.items():
        name, _, figure = key.rpartition("/")
        got = getattr(seen.layers[name], figure)
        if not abs(got - value) <= _TOLERANCE * max(abs(value), 1e-3):
            raise ValueError(f"{key} is {got}, NumPy has {value}")


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Median of the plain step in microseconds, and what looking adds to it, with the interval
    that holds the median at 95 %."""
    head = ["data", "net", "batch", "plain, us", *(f"every {n} (95 %)" for n in EVERY)]
    lines = []
    for row in rows:
        costs = [row["costs"][every] for every in EVERY]
        line = [row["data"], row["net"], str(row["batch"]), f"{row['step_us']['median']:.0f}"]
        line += [f"{c['median']:+.1%} ({c['low']:+.1%}..{c['high']:+.1%})" for c in costs]
        lines.append(line)
    return report.markdown(head, lines)

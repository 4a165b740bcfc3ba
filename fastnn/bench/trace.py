"""Where a step goes: which member of the team did which op, when, and waited for whom."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastnn.bench import report
from fastnn.bench.peers.base import Job
from fastnn.bench.peers.fastnn_peer import FastnnPeer
from fastnn.lowering.program import Op
from fastnn.models import Model
from fastnn.models.feeding import feed
from fastnn.models.passes import objectives_for
from fastnn.models.runner import Training

_STAMPS = 4
_ARRIVED, _BEGAN, _, _BUSY = range(_STAMPS)

_WARM_UP = 20
"""Steps before those that are recorded."""

_TAPS = 9
"""Of the windows that Winograd's algorithm is for; it is counted as if it multiplied them all."""

_WORK: dict[str, tuple[str | int, ...]] = {
    "dense_forward": ("inputs", "units"),
    "dense_backward_input": ("inputs", "units"),
    "dense_backward_weights": ("inputs", "units"),
    "conv_forward": ("windows_of_row", "taps", "channels", "filters", "groups"),
    "conv_backward_input": ("positions", "taps", "channels", "filters", "groups"),
    "winograd_forward": ("windows_of_row", _TAPS, "channels", "filters", "groups"),
    "winograd_backward_input": ("positions", _TAPS, "channels", "filters", "groups"),
    "conv_backward_weights": ("windows_of_row", "taps", "channels", "filters", "groups"),
    "winograd_backward_weights": ("windows_of_row", _TAPS, "channels", "filters", "groups"),
}
"""Settings whose product are the multiply-adds of an op for a row of the batch; of a matrix."""

_SPARSE = ("dense_forward_sparse", "dense_backward_weights_sparse")
"""These multiply each nonzero with so many ``units``."""


@dataclass(frozen=True)
class Trace:
    """Steps of a program, as the team did them.

    Attributes:
        ops: Of the program.
        times: float64 (steps, threads, ops + 1, 4), as ``Executable.run`` fills it.
        rows: Of a step.
        nonzeros: Of a row's inputs, on average.
    """

    ops: list[Op]
    times: NDArray[np.float64]
    rows: int
    nonzeros: float

    @property
    def seconds(self) -> NDArray[np.float64]:
        """Of each step: from the first to begin it to the end of the last wait."""
        begin = np.nanmin(self.times[:, :, :, _ARRIVED], axis=(1, 2))
        return np.asarray(self.times[:, :, -1, _BEGAN].max(axis=1) - begin)

    def busy(self) -> NDArray[np.float64]:
        """(ops,): Seconds that a member is at each op, if nothing disturbs it."""
        return _undisturbed(self.times[:, :, :-1, _BUSY])

    def waited(self) -> NDArray[np.float64]:
        """(ops + 1,): Likewise, that it waits before each op, and at the end of the step."""
        return _undisturbed(self.times[..., _BEGAN] - self.times[..., _ARRIVED])

    def multiply_adds(self, op: Op) -> float:
        """Of a step; 0 of what is no product."""
        settings = dict(zip(op.spec.integers, op.integers, strict=True))
        if op.name in _SPARSE:
            return self.rows * self.nonzeros * settings["units"]
        if op.name not in _WORK:
            return 0.0
        lines = self.rows * (op.positions if op.name.startswith("dense") else 1)
        factors = [settings[f] if isinstance(f, str) else f for f in _WORK[op.name]]
        return float(np.prod([lines, *factors], dtype=np.float64))


def _undisturbed(seconds: NDArray[np.float64]) -> NDArray[np.float64]:
    """On average over the team, what a tenth of the steps stay below: in others a core was away, or
    had a slower clock. What was left out took no time."""
    return np.asarray(np.quantile(np.nan_to_num(seconds).mean(axis=1), 0.1, axis=0))


def record(job: Job, threads: int, steps: int) -> Trace:
    """Train the job's net for so many steps and record them; see :func:`record_training`."""
    x, y = np.load(job.x)[: job.rows], np.load(job.y)[: job.rows]
    return record_training(FastnnPeer(job, threads, x, y).model, x, y, job.batch, threads, steps)


def record_training(
    model: Model, x: NDArray[Any], y: NDArray[Any], batch: int, threads: int, steps: int
) -> Trace:
    """Train so many steps on rows drawn from x and y and record them, after some that are not.

    Raises:
        RuntimeError: A step was stopped because a gradient may not be finite.
    """
    dataset = feed(model, x, y)
    dataset.find_nonzeros(model._executables.scales_of_sparse_inputs())
    totals, signature = model._totals(), model._executables.signature
    objectives, weighted = objectives_for(totals.objectives, dataset)
    training = Training(model.optimizer, storing=lambda: pool)
    pool = model._executables.pool(batch, objectives, model._updates(), dataset.longest_rows)
    rng = np.random.default_rng(0)
    with pool.lend() as executable:
        n_ops = len(executable.program.ops)
        times = np.full((steps, threads, n_ops + 1, _STAMPS), np.nan)
        for count, stamps in ((_WARM_UP, None), (steps, times)):
            order = rng.integers(len(x), size=count * batch)
            done = executable.run(
                dataset.sources(weighted), order, 0, len(order), batch,
                training.scalars(count), totals.sums,
                totals.collector.room(len(order), signature.outputs), threads, np.inf,
                model.optimizer, times=stamps,
            )  # fmt: skip
            if done < len(order):
                raise RuntimeError(f"{model.name!r}: step {done // batch} was stopped")
        nonzeros = np.count_nonzero(x) / len(x)
        return Trace(executable.program.ops, times, batch, nonzeros)


def label(op: Op) -> str:
    """The op, and what it writes first: of a gradient that goes into its update, the weight."""
    written = (
        buffer.name
        for buffer, tensor in zip(op.tensors, op.spec.tensors.values(), strict=True)
        if buffer is not None and tensor.writes
    )
    return " ".join([op.name, *list(written)[:1]])


def table(trace: Trace, peak: float) -> str:
    """The ops of a step in order: time, share of all, wait before it, and rate; each as in steps in
    which nothing disturbs it. Then all of these, and what a step took in the median.

    Args:
        peak: GFLOP/s (multiply-add = 2) that products of the whole team reach at best.
    """
    busy, waited = trace.busy(), trace.waited()
    whole = float(busy.sum() + waited.sum())

    def line(name: str, seconds: float, wait: float, work: float) -> list[str]:
        rate = 2e-9 * work / (seconds + wait) if work else 0.0
        return [
            name, f"{1e6 * seconds:.1f}", f"{1e6 * wait:.1f}" if wait >= 5e-8 else "",
            f"{(seconds + wait) / whole:.1%}", f"{rate:.1f}" if rate else "",
            f"{rate / peak:.0%}" if rate else "",
        ]  # fmt: skip

    work = [trace.multiply_adds(op) for op in trace.ops]
    lines = [
        line(label(op), *numbers)
        for op, *numbers in zip(trace.ops, busy, waited[:-1], work, strict=True)
    ]
    lines.append(line("(end of the step)", 0.0, waited[-1], 0.0))
    lines.append(line("(all)", busy.sum(), waited.sum(), sum(work)))
    lines.append(line("(a step, median)", float(np.median(trace.seconds)), 0.0, sum(work)))
    return report.markdown(("op", "us", "wait us", "share", "GFLOP/s", "of peak"), lines)


def write(trace: Trace, path: Path) -> None:
    """Write what chrome://tracing and https://ui.perfetto.dev read: a row for each member."""
    path.write_text(json.dumps({"traceEvents": list(_events(trace))}), encoding="utf-8")


def _events(trace: Trace) -> Iterator[dict[str, Any]]:
    times = 1e6 * (trace.times - np.nanmin(trace.times[..., _ARRIVED]))
    times[..., _BUSY] = 1e6 * trace.times[..., _BUSY]
    labels = [*map(label, trace.ops), "end of the step"]
    for member in range(times.shape[1]):
        name = {"name": f"member {member}"}
        yield {"name": "thread_name", "ph": "M", "pid": 0, "tid": member, "args": name}
    for step, of_step in enumerate(times):
        for member, of_member in enumerate(of_step):
            for number, (arrived, began, _, busy) in enumerate(of_member):
                common = {"ph": "X", "pid": 0, "tid": member}
                last = int(np.nanargmax(of_step[:, number, _ARRIVED])) if arrived == arrived else 0
                waits = number == len(trace.ops) or trace.ops[number].wait
                if waits and began > arrived:
                    args = {"step": step, "before": labels[number], "for": f"member {last}"}
                    yield {
                        **common, "name": "wait", "cat": "wait", "ts": arrived,
                        "dur": began - arrived, "args": args,
                    }  # fmt: skip
                if number == len(trace.ops) or np.isnan(busy):
                    continue
                if not np.isnan(began):
                    at = began
                # Ops of a band take turns: drawn one after another.
                yield {
                    **common, "name": labels[number], "cat": trace.ops[number].name, "ts": at,
                    "dur": busy, "args": {"step": step},
                }  # fmt: skip
                at += busy

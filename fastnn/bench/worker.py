"""A process that holds one library and does what it is told, a JSON line at a time.

Started as ``python -m fastnn.bench.worker NAME THREADS``. Each library has a process of its own,
idle between its turns, so that no thread pool disturbs another.
"""

from __future__ import annotations

import functools
import json
import os
import resource
import sys
import time
import traceback
import warnings
from typing import Any

import numpy as np

from fastnn.bench import machine, peak, peers
from fastnn.bench.peers.base import Job, Peer, Trainer


class Worker:
    """The commands. Each returns what the JSON answer holds."""

    def __init__(self, name: str, threads: int) -> None:
        self._name = name
        self._threads = threads
        self._class = peers.load(name)
        self._peer: Peer | None = None

    def version(self) -> dict[str, Any]:
        return {"version": self._class.version()}

    def prepare(self, **job: Any) -> dict[str, Any]:
        """Start anew with a job."""
        if self._peer is not None:
            self._peer.close()
            self._peer = None
        wanted = Job(**job)
        x, y = _arrays(wanted.x, wanted.y, wanted.mapped)
        self._peer = self._class(wanted, self._threads, x[: wanted.rows], y[: wanted.rows])
        return {}

    def lacks(self, **job: Any) -> dict[str, Any]:
        return {"lacks": self._class.lacks(Job(**job))}

    def skips_zeros(self) -> dict[str, Any]:
        assert self._peer is not None
        return {"skips_zeros": self._peer.skips_zeros()}

    def product_rate(self) -> dict[str, Any]:
        return {"gflops": peak.RATES[self._name](self._threads)}

    def adam_seconds(self, weights: int) -> dict[str, Any]:
        return {"seconds": peak.adam_seconds(weights, self._threads)}

    def losses(self, count: int) -> dict[str, Any]:
        return {"losses": self._trainer.losses(count)}

    def epoch(self) -> dict[str, Any]:
        begin = time.perf_counter()
        loss = self._trainer.epoch()
        return {"seconds": time.perf_counter() - begin, "loss": loss}

    def probabilities(self, rows: int) -> dict[str, Any]:
        assert self._peer is not None
        return {"probabilities": self._peer.predict(self._rows(rows)).tolist()}

    def peak_memory(self) -> dict[str, Any]:
        return {"kib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss}

    def predict(self, rows: int, calls: int) -> dict[str, Any]:
        """Median seconds of a call."""
        assert self._peer is not None
        x = self._rows(rows)
        seconds = []
        for _ in range(calls):
            begin = time.perf_counter()
            self._peer.predict(x)
            seconds.append(time.perf_counter() - begin)
        return {"seconds": float(np.median(seconds))}

    def _rows(self, rows: int) -> np.ndarray:
        assert self._peer is not None
        return self._peer.arranged(self._peer.x[:rows])

    @property
    def _trainer(self) -> Trainer:
        assert isinstance(self._peer, Trainer)
        return self._peer


@functools.lru_cache(maxsize=1)
def _arrays(x: str, y: str, mapped: bool) -> tuple[np.ndarray, np.ndarray]:
    return np.load(x, mmap_mode="r" if mapped else None), np.load(y)


def main(name: str, threads: int) -> None:
    # Libraries print what they like; only answers may come out of the pipe.
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", buffering=1)
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    warnings.simplefilter("ignore")
    cores = machine.cores()
    if len(cores) >= threads:
        # The only bound that every library heeds.
        os.sched_setaffinity(0, cores[:threads])
    worker = Worker(name, threads)
    for line in sys.stdin:
        command = json.loads(line)
        try:
            answer = getattr(worker, command.pop("do"))(**command)
        except Exception:
            answer = {"error": traceback.format_exc()}
        print(json.dumps(answer), file=answers)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))

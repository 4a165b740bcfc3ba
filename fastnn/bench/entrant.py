"""The near end of a worker."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Any

import fastnn
from fastnn.bench import peers
from fastnn.bench.peers.base import Job

_THREAD_VARIABLES = (
    "FASTNN_NUM_THREADS",
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "TF_NUM_INTRAOP_THREADS",
)
_ENVIRONMENT = {
    "JAX_PLATFORMS": "cpu",
    "CUDA_VISIBLE_DEVICES": "",
    "KERAS_BACKEND": "tensorflow" if importlib.util.find_spec("tensorflow") else "jax",
    "TF_NUM_INTEROP_THREADS": "1",
    "TF_CPP_MIN_LOG_LEVEL": "3",
}

# glibc gives the memory of large tensors back at once, and zeroes it at every step again. PyTorch
# spends up to a tenth of its time there, so that it and others get an allocator that keeps memory.
_KEEP_MEMORY = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(2**40)}


class EntrantError(RuntimeError):
    """A library could not do the job, or did another."""


class Entrant:
    """A library in a process of its own, idle until asked.

    Raises:
        EntrantError: from any method, if the library fails.
    """

    def __init__(self, name: str, threads: int) -> None:
        self.name = name
        self.threads = threads
        self._start()
        self.version: str = self._ask("version")["version"]

    def restart(self) -> None:
        """Go on in a new process, which has done nothing yet and holds no memory."""
        self._end()
        self._start()

    def _start(self) -> None:
        kept = _KEEP_MEMORY if self.name in peers.KEEP_MEMORY else {}
        environment = {**_ENVIRONMENT, **kept, **os.environ}
        environment.update(dict.fromkeys(_THREAD_VARIABLES, str(self.threads)))
        self._process = subprocess.Popen(
            [sys.executable, "-m", "fastnn.bench.worker", self.name, str(self.threads)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
            # -m looks here first: the worker gets this very fastnn, whatever directory we are in.
            cwd=Path(fastnn.__file__).parents[1],
        )

    def prepare(self, job: Job) -> None:
        """Start anew with a job: its data and starting weights."""
        self._ask("prepare", **dataclasses.asdict(job))

    def lacks(self, job: Job) -> list[str]:
        """What the job has and this library cannot do."""
        found: list[str] = self._ask("lacks", **dataclasses.asdict(job))["lacks"]
        return found

    def skips_zeros(self) -> bool:
        """Whether it leaves out the products with zeros of the job's inputs."""
        found: bool = self._ask("skips_zeros")["skips_zeros"]
        return found

    def losses(self, count: int) -> list[float]:
        """Losses of the first ``count`` batches in order."""
        found: list[float] = self._ask("losses", count=count)["losses"]
        return found

    def epoch(self) -> tuple[float, float]:
        """Train one shuffled epoch: seconds, mean loss."""
        answer = self._ask("epoch")
        return answer["seconds"], answer["loss"]

    def probabilities(self, rows: int) -> list[list[float]]:
        """Of the job's first rows."""
        found: list[list[float]] = self._ask("probabilities", rows=rows)["probabilities"]
        return found

    def predict(self, rows: int, calls: int) -> float:
        """Median seconds of a call that predicts ``rows`` rows."""
        seconds: float = self._ask("predict", rows=rows, calls=calls)["seconds"]
        return seconds

    def peak_memory(self) -> float:
        """Most memory that the process has held so far, MB: the library, the data, the job."""
        kib: int = self._ask("peak_memory")["kib"]
        return kib * 1024 / 1e6

    def product_rate(self) -> float:
        """Best rate of its float32 products, GFLOP/s; see ``fastnn.bench.peak``."""
        found: float = self._ask("product_rate")["gflops"]
        return found

    def adam_seconds(self, weights: int) -> float:
        """Of fastnn's Adam step on so many weights by itself; see ``fastnn.bench.peak``."""
        seconds: float = self._ask("adam_seconds", weights=weights)["seconds"]
        return seconds

    def _ask(self, do: str, **arguments: Any) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            print(json.dumps({"do": do, **arguments}), file=self._process.stdin, flush=True)
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            raise EntrantError(f"{self.name}: the worker ended with {self._process.wait()}")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise EntrantError(f"{self.name}: {do} failed\n{answer['error']}")
        return answer

    def __enter__(self) -> Entrant:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._end()

    def _end(self) -> None:
        # A worker keeps nothing worth an orderly end, and a library's threads may not come to one.
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            pipe.close()

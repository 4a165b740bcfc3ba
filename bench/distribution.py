"""Steps a second of one process with two threads, and of two processes with one thread each.

python bench/distribution.py [--turns 3] [--seconds 2] [--processes 2] [NET ...]

Needs mpi4py and mpirun. Each net is first trained for some steps in both ways, and the weights must
agree; then the ways take turns, and the best turn counts. "Exchange" is the share of the first
process's time that is spent in calls of MPI, waiting for the other process included.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

import fastnn as fnn
from fastnn import datasets, layers

AGREEING_STEPS = 20
LARGEST_DIFFERENCE = 1e-4
"""Of weights after so many steps of Adam, which divides gradients by their size."""


def perceptron() -> list[Any]:
    """784-512-10."""
    return [layers.Flatten(), layers.Dense(512, "relu"), layers.Dense(10, "softmax")]


def convnet() -> list[Any]:
    """Three convolutions and a Dense layer."""
    net: list[Any] = [layers.Reshape((28, 28, 1))]
    for filters in (32, 64, 128):
        net += [layers.Conv2D(filters, 3, activation="relu"), layers.MaxPooling2D()]
    return [*net, layers.Flatten(), layers.Dense(128, "relu"), layers.Dense(10, "softmax")]


NETS = {
    "784-512-10, batch 128": (perceptron, 128),
    "784-512-10, batch 1024": (perceptron, 1024),
    "Conv2D 32 - 64 - 128, batch 128": (convnet, 128),
}


class Timed:
    """A communicator whose calls are timed."""

    def __init__(self, communicator: Any) -> None:
        self._communicator = communicator
        self.seconds = 0.0

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._communicator, name)
        if not callable(found):
            return found

        def timed(*arguments: Any) -> Any:
            begin = time.perf_counter()
            result = found(*arguments)
            self.seconds += time.perf_counter() - begin
            return result

        return timed


def work(net: str, steps: int, distributed: bool, threads: int) -> dict[str, Any]:
    """Train for so many steps, in this process or in those of mpirun."""
    distribution, timed = None, None
    if distributed:
        from mpi4py import MPI

        timed = Timed(MPI.COMM_WORLD)
        distribution = fnn.distribution.DataParallel(timed)
    fnn.set_num_threads(threads)
    fnn.utils.set_random_seed(1)
    make, batch = NETS[net]
    (x, y), _ = datasets.mnist.load_data()
    model = fnn.Sequential([layers.Input((28, 28)), layers.Rescaling(1 / 255), *make()])
    model.compile("adam", "sparse_categorical_crossentropy")
    settings = {"batch_size": batch, "verbose": 0, "distribution": distribution}
    model.fit(x, y, steps_per_epoch=AGREEING_STEPS, **settings)
    weights = np.concatenate([w.reshape(-1) for w in model.get_weights()])
    exchanged, begin = timed.seconds if timed else 0.0, time.perf_counter()
    if steps:
        model.fit(x, y, steps_per_epoch=steps, **settings)
    seconds = time.perf_counter() - begin
    exchanged = (timed.seconds if timed else 0.0) - exchanged
    return {
        "first": distribution is None or distribution.rank == 0,
        "weights": weights, "rate": steps / seconds, "exchange": exchanged / seconds,
        "parameters": model.count_params(),
    }  # fmt: skip


def start(net: str, steps: int, processes: int, threads: int, directory: Path) -> dict[str, Any]:
    """``work`` in processes of its own."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    mpirun = shutil.which("mpirun", path=path)
    if mpirun is None:
        raise SystemExit("there is no mpirun: pip install mpich")
    settings = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
    command = [sys.executable, __file__, "--work", net, "--steps", str(steps)]
    command += ["--threads", str(threads), "--directory", str(directory)]
    if processes > 1:
        command = [mpirun, "-n", str(processes), *command, "--processes", str(processes)]
    subprocess.run(command, check=True, env={**os.environ, **settings})
    found = json.loads((directory / "found.json").read_text())
    found["weights"] = np.load(directory / "weights.npy")
    return dict(found)


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("nets", nargs="*", metavar="NET", help="; ".join(NETS))
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=2.0, help="of a turn, about")
    parser.add_argument("--processes", type=int, default=1)
    for name in ("--work", "--directory", "--steps", "--threads"):
        parser.add_argument(name, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        distributed = options.processes > 1
        found = work(options.work, int(options.steps), distributed, int(options.threads))
        weights = found.pop("weights")
        if found.pop("first"):
            np.save(Path(options.directory) / "weights.npy", weights)
            (Path(options.directory) / "found.json").write_text(json.dumps(found))
        return
    processes = max(2, options.processes)
    print(f"steps a second; {processes} threads, or as many processes with one thread each\n")
    print("| net | parameters | threads | processes | exchange |\n|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as directory:
        for net in options.nets or NETS:
            ways = {"threads": (1, processes), "processes": (processes, 1)}
            best = {
                way: start(net, 200, *numbers, Path(directory)) for way, numbers in ways.items()
            }
            one, several = best.values()
            difference = np.abs(one["weights"] - several["weights"]).max()
            if difference > LARGEST_DIFFERENCE:
                raise SystemExit(f"{net}: weights differ by {difference:.2g}")
            steps = max(20, int(options.seconds * one["rate"]))
            for _ in range(options.turns):
                for way, numbers in ways.items():
                    found = start(net, steps, *numbers, Path(directory))
                    best[way] = max(best[way], found, key=lambda turn: turn["rate"])
            print(
                f"| {net} | {best['threads']['parameters']:,} | {best['threads']['rate']:.0f} | "
                f"{best['processes']['rate']:.0f} | {best['processes']['exchange']:.0%} |",
                flush=True,
            )


if __name__ == "__main__":
    main()

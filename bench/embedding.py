"""fastnn inside other programs: many threads that predict, and a thread that wants to go on.

    python bench/embedding.py [--turns N] [--seconds S] [--parts serve,neighbour]

- ``serve``: 1, 2 and 8 Python threads predict with one model, 784-512-10, each as fast as it can,
  1 or 32 rows a call, for some seconds. Calls a second, the median and the 99th percentile of a
  call, and the seconds of all cores that a call took, which tell more on a machine that others use,
  too. onnxruntime does the same, once with as many threads for a call as there are cores, once with
  one. The last columns are turn by turn: fastnn's calls a second over the other's, and the other's
  99th percentile over fastnn's.
- ``neighbour``: a Python thread counts, while another trains on one thread: its speed beside that
  which it has alone, in turn. The same beside a process that trains, which shares no GIL with it,
  shows what the machine itself takes away. Linux also knows how long the thread had no work that
  it could have done, nor waited for a core: that is the share of the time that it waited for the
  GIL, on a busy machine, too.

Each library is in a process of its own, idle between its turns.
"""

from __future__ import annotations

import argparse
import math
import multiprocessing
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import fastnn as fnn
from fastnn.bench import data, machine, peers, report, timing
from fastnn.bench.peers.base import Job, Peer

NET = "784-512-10"
SETTLE = 0.1
"""Seconds before a turn, for what still runs to end."""

# serve

_peer: Peer


def prepare(name: str, threads: int, job: Job) -> str:
    """In a library's process: its version."""
    global _peer
    rows = np.load(job.x, mmap_mode="r")
    _peer = peers.load(name)(job, threads, np.array(rows), np.load(job.y))
    return _peer.version()


def serve(clients: int, count: int, seconds: float) -> dict[str, float]:
    """In a library's process: calls a second, and microseconds of a call."""
    batches = [_peer.arranged(_peer.x[count * i : count * (i + 1)].copy()) for i in range(clients)]
    wanted = [_peer.predict(batch) for batch in batches]
    times: list[list[float]] = [[] for _ in batches]
    wrong: list[int] = []
    begin, clock = threading.Barrier(clients + 1), time.perf_counter

    def ask(i: int) -> None:
        own, batch = times[i], batches[i]
        begin.wait()
        now = clock()
        end = now + seconds
        while now < end:
            before = now
            answer = _peer.predict(batch)
            now = clock()
            own.append(now - before)
        if not np.allclose(answer, wanted[i], atol=1e-6):
            wrong.append(i)

    threads = [threading.Thread(target=ask, args=(i,)) for i in range(clients)]
    for thread in threads:
        thread.start()
    used = time.process_time()
    begin.wait()
    for thread in threads:
        thread.join()
    used = time.process_time() - used
    if wrong:
        raise RuntimeError(f"threads {wrong} got other predictions than a thread alone")
    calls = np.concatenate([np.array(own) for own in times]) * 1e6
    return {
        "calls_per_second": len(calls) / seconds,
        "median_us": float(np.median(calls)),
        "p99_us": float(np.quantile(calls, 0.99)),
        "most_us": float(calls.max()),
        "cores_us": 1e6 * used / len(calls),
    }


def race(options: argparse.Namespace, folder: Path) -> list[dict[str, Any]]:
    """A row for each number of clients and rows."""
    threads = options.threads
    x, y = data.write("mnist", folder, 4096)
    job = Job("mnist", NET, 32, x, y, 4096)
    crew = {"fastnn": ("fastnn", threads)}
    if peers.installed(("onnxruntime",), peers.PREDICTORS):
        crew |= {
            f"onnxruntime, {n} thread{'s' * (n > 1)}": ("onnxruntime", n)
            for n in sorted({threads, 1}, reverse=True)
        }
    found = []
    with ExitStack() as stack:
        spawn = multiprocessing.get_context("spawn")
        pools = {
            name: stack.enter_context(ProcessPoolExecutor(1, mp_context=spawn)) for name in crew
        }
        for name, (library, n) in crew.items():
            print(f"{name}: {pools[name].submit(prepare, library, n, job).result()}")
        for clients in options.clients:
            for rows in options.rows:
                turn_by_turn: dict[str, list[dict[str, float]]] = {name: [] for name in crew}
                for turn in range(options.turns + 1):
                    for name, pool in pools.items():
                        time.sleep(SETTLE)
                        result = pool.submit(serve, clients, rows, options.seconds).result()
                        if turn:  # the first is not counted
                            turn_by_turn[name].append(result)
                found.append({"clients": clients, "rows": rows, "entrants": turn_by_turn})
    return found


def served(rows: Sequence[dict[str, Any]]) -> str:
    """The table of ``race``: medians over the turns."""
    head = [
        "threads", "rows", "library", "calls/s (min..max)", "median, us", "99th percentile, us",
        "cores, us", "fastnn's calls/s", "99th percentile / fastnn's",
    ]  # fmt: skip
    lines = []
    for row in rows:
        entrants = row["entrants"]
        for name in entrants:

            def column(key: str, of: str = name, entrants: Any = entrants) -> list[float]:
                return [turn[key] for turn in entrants[of]]

            calls = timing.Spread.of(column("calls_per_second"))
            others = ["-", "-"]
            if name != "fastnn":
                rate, tail = "calls_per_second", "p99_us"
                gains = (
                    timing.speed_up(column(rate, "fastnn"), column(rate)),
                    timing.speed_up(column(tail), column(tail, "fastnn")),
                )
                others = [f"{g.median:.2f}x ({g.min:.2f}..{g.max:.2f})" for g in gains]
            medians = (statistics.median(column(f"{k}_us")) for k in ("median", "p99", "cores"))
            lines.append(
                [
                    str(row["clients"]), str(row["rows"]), name,
                    f"{calls.median:.0f} ({calls.min:.0f}..{calls.max:.0f})",
                    *(f"{median:.0f}" for median in medians), *others,
                ]
            )  # fmt: skip
    return report.markdown(head, lines)


# neighbour


class Count(NamedTuple):
    """Rounds a second of a loop in Python, and the share of the time that it waited for the GIL."""

    speed: float
    waited: float


def count_for(seconds: float) -> Count:
    """Count so long."""
    clock = time.perf_counter
    rounds, used, begun = 0, _on_cores(), clock()
    end = begun + seconds
    while clock() < end:
        for _ in range(1000):
            rounds += 1
    took = clock() - begun
    return Count(rounds / took, 1 - (_on_cores() - used) / took)


def _on_cores() -> float:
    """Seconds that this thread has run, or waited for a core; NaN where nobody knows."""
    path = Path(f"/proc/self/task/{threading.get_native_id()}/schedstat")
    if not path.exists():
        return math.nan
    ran, queued, _ = path.read_text().split()
    return (int(ran) + int(queued)) / 1e9


def train_until(stop: Callable[[], bool], batch_size: int) -> None:
    """784-512-10 on MNIST, on one thread."""
    fnn.set_num_threads(1)
    (x, y), _ = fnn.datasets.mnist.load_data()
    model = fnn.Sequential(
        [
            fnn.layers.Input((28, 28)), fnn.layers.Rescaling(1 / 255), fnn.layers.Flatten(),
            fnn.layers.Dense(512, activation="relu"), fnn.layers.Dense(10, activation="softmax"),
        ]
    )  # fmt: skip
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    while not stop():
        model.fit(x[:20_000], y[:20_000], batch_size=batch_size, verbose=0)


def beside_a_thread(batch_size: int, seconds: float) -> Count:
    """Speed of a Python thread while another trains."""
    ended = threading.Event()
    trainer = threading.Thread(target=train_until, args=(ended.is_set, batch_size))
    trainer.start()
    time.sleep(1)  # until the data are read and the program is made
    found = count_for(seconds)
    ended.set()
    trainer.join()
    return found


def _train_in_process(batch_size: int) -> None:
    train_until(lambda: False, batch_size)


def beside_a_process(batch_size: int, seconds: float) -> Count:
    """Speed of a Python thread while another process trains."""
    process = multiprocessing.get_context("spawn").Process(
        target=_train_in_process, args=(batch_size,)
    )
    process.start()
    time.sleep(2)
    found = count_for(seconds)
    process.kill()
    process.join()
    return found


def neighbours(turns: int, seconds: float) -> list[dict[str, Any]]:
    """A row for each size of batch: shares of the speed that the thread has alone."""
    rows = []
    for batch_size in (8, 32, 128):
        row: dict[str, list[float]] = {"thread": [], "process": [], "waited": []}
        for _ in range(turns):
            time.sleep(SETTLE)
            alone = count_for(seconds).speed
            beside = beside_a_thread(batch_size, seconds)
            row["thread"].append(beside.speed / alone)
            row["waited"].append(beside.waited)
            time.sleep(SETTLE)
            alone = count_for(seconds).speed
            row["process"].append(beside_a_process(batch_size, seconds).speed / alone)
        rows.append({"batch_size": batch_size, "shares": row})
    return rows


def kept(rows: Sequence[dict[str, Any]]) -> str:
    """The table of ``neighbours``."""
    kinds = ("thread", "process", "waited")
    head = [
        "batch", "speed beside a thread that trains", "beside a process that trains",
        "waited for the GIL",
    ]  # fmt: skip
    lines = []
    for row in rows:
        spreads = [timing.Spread.of(row["shares"][kind]) for kind in kinds]
        lines.append(
            [
                str(row["batch_size"]),
                *(
                    f"{100 * s.median:.1f} % ({100 * s.min:.1f}..{100 * s.max:.1f})"
                    for s in spreads
                ),
            ]
        )
    return report.markdown(head, lines)


def main() -> int:
    """Measure and print; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--parts", default="serve,neighbour")
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0, help="of a turn")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--clients", type=int, nargs="+", default=(1, 2, 8))
    parser.add_argument("--rows", type=int, nargs="+", default=(1, 32))
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args()
    parts = options.parts.split(",")
    if unknown := set(parts) - {"serve", "neighbour"}:
        parser.error(f"parts: {unknown.pop()!r} is neither serve nor neighbour")
    described = machine.describe()
    print(f"{described['cpu']}; {options.threads} threads; load {described['load']:.1f}")
    result: dict[str, Any] = {"machine": described}
    if "serve" in parts:
        with tempfile.TemporaryDirectory() as folder:
            result["serve"] = race(options, Path(folder))
        print(f"\n{served(result['serve'])}\n")
    if "neighbour" in parts:
        result["neighbour"] = neighbours(options.turns, options.seconds)
        print(f"\n{kept(result['neighbour'])}")
    if options.json is not None:
        report.write(options.json, result)
    return 0


if __name__ == "__main__":
    sys.exit(main())

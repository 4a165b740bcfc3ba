"""Train, evaluate and predict for long, and see whether anything is left over.

    python tools/soak.py              # some ten minutes; exit status 1 if something grows
    python tools/soak.py --share 0.02

Three loads, one after another: a million tiny batches, ten thousand calls of ``fit`` with
``evaluate`` and ``predict`` between, a thousand models made and dropped. Each is looked at eleven
times, with garbage collected before. The first four looks are of the warm-up: programs are lowered,
caches fill, and malloc finds how much it takes to hold what lies between two collections. Beyond
the most that was seen then there may be, in the least of the last three looks,

- not one file descriptor or thread;
- ``OBJECTS`` Python objects and ``SLACK`` resident memory, for fragmentation. A leak of 300 bytes
  a ``fit``, 3 KiB a model or 3 bytes a batch is more.

Linux only: it reads /proc.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import count, islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import fastnn as fnn
from fastnn import callbacks, layers

SLACK = 2 * 2**20
"""Bytes of resident memory."""

OBJECTS = 200
"""Python objects. A leak of one in fifty calls of ``fit``, or one in five models, is more."""

LOOKS, WARM, LAST = 11, 4, 3

_LIBC = ctypes.CDLL(None)


class Held(NamedTuple):
    """What the process holds."""

    memory: int
    descriptors: int
    threads: int
    objects: int


MOST = Held(SLACK, 0, 0, OBJECTS)
"""How much more there may be."""


def held() -> Held:
    """Now."""
    gc.collect()
    if hasattr(_LIBC, "malloc_trim"):  # glibc's; what is free is not held
        _LIBC.malloc_trim(0)
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return Held(
        pages * os.sysconf("SC_PAGE_SIZE"),
        len(os.listdir("/proc/self/fd")),
        len(os.listdir("/proc/self/task")),
        len(gc.get_objects()),
    )


def data(rows: int) -> tuple[Any, Any]:
    """Of four classes."""
    random = np.random.default_rng(0)
    y = random.integers(0, 4, rows)
    return (random.normal(size=(rows, 8)) + y[:, None]).astype(np.float32), y


def net(units: int = 16) -> Any:
    """Large enough for two threads, with what keeps state: BatchNormalization, Dropout, Adam."""
    model = fnn.Sequential([
        layers.Input((8,)), layers.Dense(units), layers.BatchNormalization(),
        layers.Activation("relu"), layers.Dropout(0.1), layers.Dense(4, activation="softmax"),
    ])  # fmt: skip
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def convnet() -> Any:
    """A small one."""
    model = fnn.Sequential([
        layers.Input((8, 8, 3)), layers.Conv2D(8, 3, activation="relu"), layers.MaxPooling2D(),
        layers.Flatten(), layers.Dense(4, activation="softmax"),
    ])  # fmt: skip
    model.compile("adam", "sparse_categorical_crossentropy")
    return model


def tiny_batches() -> Iterator[None]:
    """2,000 at a time: half of them inside the engine, the rest from Python, one by one."""
    x, y = data(4000)
    model, size = net(), 4
    steps = len(x) // size
    while True:
        model.fit(x, y, batch_size=size, verbose=0)
        for i in range(steps):
            rows = slice(size * i, size * (i + 1))
            model.train_on_batch(x[rows], y[rows])
        yield


def fits() -> Iterator[None]:
    """Arrays, iterables of batches of several sizes, validation, callbacks; two nets in turn."""
    x, y = data(256)
    pictures = np.random.default_rng(0).normal(size=(64, 8, 8, 3)).astype(np.float32)
    dense, convolutional = net(64), convnet()
    with tempfile.TemporaryDirectory() as folder:
        log = os.path.join(folder, "log.csv")
        for i in count():
            if i % 4 == 0:
                dense.fit(x, y, validation_split=0.2, verbose=0, callbacks=[
                    callbacks.CSVLogger(log), callbacks.EarlyStopping(patience=2),
                ])  # fmt: skip
            elif i % 4 == 1:
                sizes = 16 + i % 5
                batches = [(x[k : k + sizes], y[k : k + sizes]) for k in range(0, 128, sizes)]
                dense.fit(batches, verbose=0)
            elif i % 4 == 2:
                dense.fit(x, y, epochs=2, batch_size=64, verbose=0, sample_weight=np.ones(len(x)))
            else:
                convolutional.fit(pictures, y[:64], verbose=0)
            dense.evaluate(x, y, verbose=0)
            dense.predict(x[: 1 + i % 10], verbose=0)
            convolutional.predict(pictures[:1], verbose=0)
            yield


def models() -> Iterator[None]:
    """Of several widths; trained, saved, loaded, asked, dropped."""
    x, y = data(256)
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "model.safetensors")
        for i in count():
            model = net(16 + i % 20)
            model.fit(x, y, validation_split=0.2, verbose=0)
            model.save(path)
            again = fnn.load_model(path)
            again.evaluate(x, y, verbose=0)
            again.predict(x[:9], verbose=0)
            convnet().predict(np.zeros((3, 8, 8, 3), np.float32), verbose=0)
            yield


class Load(NamedTuple):
    """What is done again and again: each turn of ``turns`` does ``each`` of ``whole``. ``least``:
    turns between two looks, so that all that they do differently is in the warm-up."""

    turns: Callable[[], Iterator[None]]
    whole: int
    each: int
    least: int


LOADS = {
    "tiny batches": Load(tiny_batches, 1_000_000, 2000, 1),
    "calls of fit": Load(fits, 10_000, 1, 20),
    "models": Load(models, 1_000, 1, 10),
}


def soak(name: str, share: float = 1.0) -> list[str]:
    """Run a load, print what it held; returns what has grown, in words."""
    load = LOADS[name]
    part = max(load.least, round(load.whole * share / load.each / LOOKS))
    turns, looks = load.turns(), []
    begin = time.monotonic()
    for _ in range(LOOKS):
        for _turn in islice(turns, part):
            pass
        looks.append(held())
    turns.close()  # type: ignore[attr-defined]
    # A leak goes on to the end; what models of cycles hold until Python collects them does not, and
    # is now more, now less.
    last = Held(*map(min, zip(*looks[-LAST:], strict=True)))
    grown = {
        field: last[i] - max(look[i] for look in looks[:WARM])
        for i, field in enumerate(last._fields)
    }
    done = part * LOOKS * load.each
    print(
        f"{name}: {done:,} in {time.monotonic() - begin:.0f} s; after the warm-up "
        f"{grown['memory'] / 2**10:+,.0f} KiB, {grown['descriptors']:+d} descriptors, "
        f"{grown['threads']:+d} threads, {grown['objects']:+d} objects; MiB: "
        + " ".join(f"{look.memory / 2**20:.2f}" for look in looks),
        flush=True,
    )
    return [
        f"{name}: {field} grew by {grown[field]:,} to {last[i]:,}"
        for i, field in enumerate(Held._fields)
        if grown[field] > MOST[i]
    ]


def main() -> int:
    """Run them all; the exit status."""
    parser = argparse.ArgumentParser(description="Look for leaks.")
    parser.add_argument("--share", type=float, default=1.0, help="of the whole (default: 1)")
    parser.add_argument("--load", choices=LOADS, action="append", help="default: all")
    arguments = parser.parse_args()
    fnn.set_num_threads(2)
    faults = [fault for name in arguments.load or LOADS for fault in soak(name, arguments.share)]
    for fault in faults:
        print(fault, file=sys.stderr)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())

"""A folder of 20,000 small PNG: how long until a training can begin.

    python bench/folders.py [--count N] [--turns N] [--threads N]

The pictures are those of MNIST, 28 x 28 gray levels, in ten directories. In turn:

- the loop of ``torchvision.datasets.ImageFolder`` with its default loader (open the file, Pillow's
  ``Image.open`` and ``convert("RGB")``), then ``np.asarray`` into an array in memory, with a pool
  of as many threads. No tensors, transforms or collation, which torchvision adds;
- the same, ``convert("L")``;
- ``image_dataset_from_directory`` without a cache, for both: it hashes each file and writes pixels
  and manifest to the disk;
- and with it: the second run.

Files are in the page cache. Each is the median of the turns, in seconds by the clock and in seconds
of all cores together, which tell more on a machine that others use, too.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

import fastnn as fnn

SIDE = 28


def write_folder(folder: Path, count: int) -> None:
    """The first pictures of MNIST, a directory for each digit."""
    (x, y), _ = fnn.datasets.mnist.load_data()
    for digit in range(10):
        (folder / str(digit)).mkdir()
    for i in range(count):
        Image.fromarray(x[i]).save(folder / str(y[i]) / f"{i:05}.png")


def image_folder(folder: Path, mode: str, threads: int) -> NDArray[np.uint8]:
    """What torchvision's ImageFolder does with its default loader, by a pool of threads."""
    paths = [
        os.path.join(root, name)
        for target in sorted(entry.name for entry in os.scandir(folder) if entry.is_dir())
        for root, _, names in sorted(os.walk(folder / target, followlinks=True))
        for name in sorted(names)
        if name.lower().endswith((".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".tif", ".webp"))
    ]
    images = np.empty((len(paths), SIDE, SIDE, *((3,) if mode == "RGB" else ())), np.uint8)

    def load(i: int) -> None:
        with open(paths[i], "rb") as file:
            images[i] = np.asarray(Image.open(file).convert(mode))

    with ThreadPoolExecutor(threads) as pool:
        for _ in pool.map(load, range(len(paths)), chunksize=64):
            pass
    return images


def first_run(folder: Path, color_mode: str, cache: Path) -> NDArray[np.uint8]:
    """Without a cache."""
    shutil.rmtree(cache, ignore_errors=True)
    return second_run(folder, color_mode, cache)


def second_run(folder: Path, color_mode: str, cache: Path) -> NDArray[np.uint8]:
    """With what the last run left."""
    dataset = fnn.utils.image_dataset_from_directory(
        folder, color_mode=color_mode, image_size=SIDE, verbose=False, cache=cache
    )
    images: NDArray[np.uint8] = dataset.images
    return images


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--count", type=int, default=20_000)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    fnn.set_num_threads(arguments.threads)
    with tempfile.TemporaryDirectory() as temporary:
        folder, cache = Path(temporary, "mnist"), Path(temporary, "cache")
        folder.mkdir()
        write_folder(folder, arguments.count)
        entrants: dict[str, Callable[[], NDArray[np.uint8]]] = {}
        for mode, color_mode in (("RGB", "rgb"), ("L", "grayscale")):
            entrants |= {
                f"{mode}: ImageFolder's loop": lambda mode=mode: image_folder(
                    folder, mode, arguments.threads
                ),
                f"{mode}: fastnn, first run": lambda mode=color_mode: first_run(
                    folder, mode, cache
                ),
                f"{mode}: fastnn, second run": lambda mode=color_mode: second_run(
                    folder, mode, cache
                ),
            }
        seconds: dict[str, list[float]] = {name: [] for name in entrants}
        cores: dict[str, list[float]] = {name: [] for name in entrants}
        for _ in range(arguments.turns):
            results = []
            for name, entrant in entrants.items():
                begun, used = time.perf_counter(), time.process_time()
                results.append(entrant())
                seconds[name].append(time.perf_counter() - begun)
                cores[name].append(time.process_time() - used)
            for loop, first, second in (results[:3], results[3:]):
                assert np.array_equal(first.reshape(loop.shape), loop)
                assert np.array_equal(first, second)
        print(f"{arguments.count} PNG of {SIDE} x {SIDE}, {arguments.threads} threads")
        for name, times in seconds.items():
            clock = f"{statistics.median(times):7.3f} s ({min(times):.3f}..{max(times):.3f})"
            print(f"{name:28} {clock}, {statistics.median(cores[name]):.3f} s of cores")


if __name__ == "__main__":
    main()

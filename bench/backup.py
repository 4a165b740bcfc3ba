"""What it costs to save the state of a training once a second.

python bench/backup.py [--turns 7] [--directory DIRECTORY] [NET ...]

Trains each net with callbacks.BackupAndRestore(save_freq="1s") and without, in turn, once it is
sure that both end with the same bits. The directory is to be on the disk that is meant.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

import fastnn as fnn
from fastnn import callbacks, datasets, layers

SECONDS = 5.0
"""Of a training, about: some saves."""


class Counting(callbacks.BackupAndRestore):
    """Notes how many saves there were."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory, "1s", delete_checkpoint=False)
        self.saves = 0

    def save(self, content: Any) -> None:
        """Counts."""
        self.saves += 1
        super().save(content)


def perceptron() -> Any:
    """784-512-10."""
    return fnn.Sequential(
        [layers.Input((28, 28)), layers.Rescaling(1 / 255), layers.Flatten(),
         layers.Dense(512, "relu"), layers.Dense(10, "softmax")]
    )  # fmt: skip


def wide() -> Any:
    """784-2048-2048-10, whose state is 68 MB."""
    return fnn.Sequential(
        [layers.Input((28, 28)), layers.Rescaling(1 / 255), layers.Flatten(),
         layers.Dense(2048, "relu"), layers.Dense(2048, "relu"), layers.Dense(10, "softmax")]
    )  # fmt: skip


def convnet() -> Any:
    """Three convolutions with normalization."""
    net: list[Any] = [
        layers.Input((28, 28)),
        layers.Rescaling(1 / 255),
        layers.Reshape((28, 28, 1)),
    ]
    for filters in (16, 32, 64):
        net += [layers.Conv2D(filters, 3, padding="same"), layers.BatchNormalization(),
                layers.Activation("relu"), layers.MaxPooling2D()]  # fmt: skip
    return fnn.Sequential([*net, layers.Flatten(), layers.Dense(10, "softmax")])


NETS: dict[str, Callable[[], Any]] = {"784-512-10": perceptron, "784-2048-2048-10": wide,
                                      "convnet": convnet}  # fmt: skip


def train(
    net: str, rows: int, backup: callbacks.Callback | None
) -> tuple[tuple[float, float], Any]:
    """Seconds of ``fit`` over so many rows, and those of the processor; and the model."""
    (x, y), _ = datasets.mnist.load_data()
    numbers = np.arange(rows) % len(x)
    x, y = x[numbers], y[numbers]
    fnn.utils.set_random_seed(0)
    model = NETS[net]()
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(x[:128], y[:128], batch_size=128, verbose=0)  # the program is made
    begun = time.perf_counter(), time.process_time()
    model.fit(x, y, batch_size=128, verbose=0, callbacks=[backup] if backup else [])
    return (time.perf_counter() - begun[0], time.process_time() - begun[1]), model


def main() -> None:
    """Prints a line for each net."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").strip().splitlines()[0])
    parser.add_argument("nets", nargs="*", metavar="NET", help=", ".join(NETS))
    parser.add_argument("--turns", type=int, default=7)
    parser.add_argument("--directory", type=Path, default=Path(tempfile.gettempdir()))
    arguments = parser.parse_args()
    print(f"{fnn.get_num_threads()} threads; seconds with a save a second / without")
    for net in arguments.nets or NETS:
        few = 4000
        rows = int(few * SECONDS / train(net, few, None)[0][0])
        ratios, work, saves, size = [], [], [], 0
        for turn in range(arguments.turns):
            with tempfile.TemporaryDirectory(dir=arguments.directory) as directory:
                backup = Counting(Path(directory))
                # Who is first changes: the machine may get slower while it works.
                both = {}
                for which in ((backup, None), (None, backup))[turn % 2]:
                    both[which is backup] = train(net, rows, which)
                size = Path(directory, "latest.safetensors").stat().st_size
            for ours, alone in zip(both[True][1].get_weights(), both[False][1].get_weights(),
                                   strict=True):  # fmt: skip
                np.testing.assert_array_equal(ours, alone)
            ratios.append(both[True][0][0] / both[False][0][0])
            work.append(both[True][0][1] / both[False][0][1])
            saves.append(backup.saves)
        print(
            f"{net}: {median(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f}, "
            f"{len(ratios)} pairs), of the processor {median(work):.3f} ({min(work):.3f} to "
            f"{max(work):.3f}), {median(saves)} saves of {size / 1e6:.1f} MB in each, "
            "equal to the last bit",
            flush=True,
        )


if __name__ == "__main__":
    main()

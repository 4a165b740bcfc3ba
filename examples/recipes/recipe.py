"""What the recipes share: run one with several seeds, print a line for each, and the mean."""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fastnn as fnn
from fastnn import datasets

CLASSES = 10


def mnist() -> tuple[tuple[Any, Any], tuple[Any, Any]]:
    """MNIST as the recipes take it: pixels as they are, uint8 (rows, 28, 28), and digits."""
    return datasets.mnist.load_data()


def train(
    build: Callable[[int], fnn.Sequential],
    data: tuple[tuple[Any, Any], tuple[Any, Any]],
    epochs: int,
    batch_size: int,
    seed: int,
) -> Any:
    """Train what ``build(steps)`` makes, and test it: accuracy, loss and seconds.

    ``steps`` is how many there will be, for schedules. All 60,000 images are for training: nothing
    is chosen by the test images, which are looked at once, at the end.
    """
    (x, y), (x_test, y_test) = data
    fnn.utils.set_random_seed(seed)
    begin = time.perf_counter()
    model = build(epochs * -(-len(x) // batch_size))
    model.fit(x, y, batch_size, epochs, verbose=0)
    seconds = time.perf_counter() - begin
    loss, accuracy = model.evaluate(x_test, y_test, verbose=0)
    return {"seed": seed, "test_accuracy": accuracy, "test_loss": loss, "seconds": seconds}


def main(
    description: str,
    build: Callable[[int], fnn.Sequential],
    epochs: int,
    batch_size: int,
    *,
    one_hot: bool = False,
    takes_directory: bool = False,
) -> None:
    """The command line of a recipe.

    ``one_hot`` labels are rows of a one and zeros, as label smoothing wants them;
    ``takes_directory`` has it read the IDX files of a directory instead of MNIST.
    """
    parser = argparse.ArgumentParser(description=description.partition("\n")[0])
    if takes_directory:
        parser.add_argument("directory", type=Path, help="of IDX files")
    parser.add_argument("--seeds", type=int, default=3, help="how many (default: 3)")
    parser.add_argument("--epochs", type=int, default=epochs, help=f"default: {epochs}")
    parser.add_argument(
        "--held-out",
        type=int,
        default=0,
        metavar="N",
        help="test on the last N training rows, left out of training, to settle settings by them",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the runs as JSON")
    options = parser.parse_args()
    data = datasets.load(options.directory) if takes_directory else mnist()
    if one_hot:
        data = tuple((x, fnn.utils.to_categorical(y, CLASSES)) for x, y in data)
    if options.held_out:
        (x, y), _ = data
        n = len(x) - options.held_out
        data = (x[:n], y[:n]), (x[n:], y[n:])
    runs = []
    for seed in range(options.seeds):
        runs.append(train(build, data, options.epochs, batch_size, seed))
        print("seed {seed}: {test_accuracy:.2%} in {seconds:.1f} s".format(**runs[-1]), flush=True)
    accuracies = [run["test_accuracy"] for run in runs]
    mean, low, high = statistics.mean(accuracies), min(accuracies), max(accuracies)
    print(f"mean test accuracy: {mean:.2%} ({low:.2%}..{high:.2%})")
    if options.json is not None:
        result = {"epochs": options.epochs, "mean_test_accuracy": mean, "runs": runs}
        options.json.write_text(json.dumps(result, indent=2) + "\n")

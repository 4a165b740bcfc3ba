"""``fastnn train --resume``: killed and started again, it ends as if nothing had happened."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command import failure
from nets import assert_same_bits, blobs

import fastnn as fnn
from fastnn.cli import main

RUN = """
import sys
from fastnn.cli import main, resuming
resuming.SAVE_FREQ = "0.02s"
sys.exit(main(sys.argv[1:]))
"""


@pytest.fixture(autouse=True)
def _keep_the_number_of_threads() -> Any:
    before = fnn.get_num_threads()
    yield
    fnn.set_num_threads(before)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    x, y = blobs(3000, 30)
    path = tmp_path / "data.npz"
    np.savez(path, x_train=x[:2500], y_train=y[:2500], x_test=x[2500:], y_test=y[2500:])
    return path


def command(data: Path, *more: object) -> list[str]:
    options = "--layers 100,100 --batch-size 50 --epochs 12 --validation-split 0.2 --patience 9"
    return ["train", str(data), *options.split(), *map(str, more)]


def test_killed_and_started_again(data: Path, tmp_path: Path) -> None:
    main(command(data, "--save", tmp_path / "a.safetensors", "--json", tmp_path / "a.json"))
    backup, kills, resumed = tmp_path / "backup", 0, 0
    arguments = command(
        data, "--resume", backup, "--save", tmp_path / "b.safetensors",
        "--json", tmp_path / "b.json",
    )  # fmt: skip
    while True:
        threads = str(1 + kills % 2)
        process = subprocess.Popen(
            [sys.executable, "-c", RUN, *arguments, "--threads", threads],
            stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        newest = backup / "latest.safetensors"
        before = newest.stat().st_mtime_ns if newest.exists() else 0
        while kills < 3 and process.poll() is None:
            if newest.exists() and newest.stat().st_mtime_ns > before:
                time.sleep(0.05)
                process.kill()
                kills += 1
                break
            time.sleep(0.005)
        output = process.communicate()[0]
        resumed += "Going on from" in output
        if process.returncode == 0:
            break
    assert kills > 0 and resumed > 0
    a, b = (fnn.load_model(tmp_path / f"{name}.safetensors") for name in "ab")
    assert_same_bits(a.get_weights(), b.get_weights())
    first, second = (json.loads((tmp_path / f"{name}.json").read_text()) for name in "ab")
    for key in ("history", "epochs", "test_loss", "test_accuracy"):
        assert first[key] == second[key]


def test_a_finished_training_is_only_tested(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(command(data, "--resume", tmp_path / "b")) == 0
    first = capsys.readouterr().out.splitlines()
    assert main(command(data, "--resume", tmp_path / "b")) == 0
    second = capsys.readouterr().out.splitlines()
    assert second[-1] == first[-1]
    assert any(line.startswith("Going on from") for line in second)
    assert not any(line.startswith("Epoch") for line in second)
    assert os.listdir(tmp_path / "b") == ["latest.safetensors"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--batch-size", "64"], "--batch-size 50, this one has 64"),
        (["--learning-rate", "0.01"], "--learning-rate 0.001, this one has 0.01"),
        (["--optimizer", "sgd"], "--optimizer 'adam', this one has 'sgd'"),
        (["--seed", "3"], "--seed 0, this one has 3"),
        (["--epochs", "13"], "--epochs 12, this one has 13"),
        (["--schedule", "constant"], "--schedule 'cosine', this one has 'constant'"),
        (["--layers", "100"], "--layers [100, 100], this one has [100]"),
    ],
)
def test_other_options_are_refused(
    options: list[str], message: str, data: Path, tmp_path: Path, capsys: Any
) -> None:
    main(command(data, "--resume", tmp_path / "b"))
    capsys.readouterr()
    err = failure(capsys, *command(data, "--resume", tmp_path / "b"), *options)
    assert f"it is of a training with {message}" in err


def test_other_data_is_refused(data: Path, tmp_path: Path, capsys: Any) -> None:
    main(command(data, "--resume", tmp_path / "b"))
    with np.load(data) as arrays:
        changed = dict(arrays)
    changed["x_train"] = changed["x_train"] + 1
    np.savez(data, **changed)
    capsys.readouterr()
    err = failure(capsys, *command(data, "--resume", tmp_path / "b"))
    assert "it is of a training with data of '2500 examples, checksum" in err


def test_more_epochs_of_a_constant_rate(data: Path, tmp_path: Path) -> None:
    steady = ["--schedule", "constant", "--save"]
    whole, parts = tmp_path / "whole.safetensors", tmp_path / "parts.safetensors"
    main(command(data, *steady, whole))
    for epochs in (5, 12):
        main(command(data, *steady, parts, "--resume", tmp_path / "b", "--epochs", epochs))
    a, b = (fnn.load_model(path).get_weights() for path in (whole, parts))
    assert_same_bits(a, b)

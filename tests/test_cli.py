"""The command ``fastnn``: what it prints, writes, and says of mistakes."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command import failure

import fastnn
from fastnn.cli import main
from fastnn.cli.output import replacing, write_json

RNG = np.random.default_rng(0)
FASTNN = [sys.executable, "-m", "fastnn"]


@pytest.fixture(autouse=True)
def _keep_the_number_of_threads() -> Any:
    before = fastnn.get_num_threads()
    yield
    fastnn.set_num_threads(before)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """blobs.csv, line.csv, images.npz and a model of the blobs, blobs.safetensors."""
    folder = tmp_path_factory.mktemp("cli")
    kinds = RNG.integers(0, 3, 300)
    points = 1000 + 3 * np.eye(3)[kinds][:, :2] + RNG.normal(0, 0.3, (300, 2))
    write_csv(folder / "blobs.csv", ["a", "b", "label"], np.column_stack([points, kinds]))
    x = RNG.normal(50, 20, (300, 2))
    write_csv(folder / "line.csv", ["a", "b", "price"], np.column_stack([x, 2e4 + x @ [300, -90]]))
    images = RNG.integers(0, 50, (200, 6, 5), np.uint8)
    labels = np.arange(200) % 2
    images[labels == 1, :3] += 200
    np.savez(folder / "images.npz", x_train=images, y_train=labels[:, None],
             x_test=images[:40], y_test=labels[:40, None])  # fmt: skip
    assert main([*TRAIN_BLOBS(folder), "--save", str(folder / "blobs.safetensors"), "--quiet"]) == 0
    return folder


def TRAIN_BLOBS(folder: Path) -> list[str]:
    return ["train", str(folder / "blobs.csv"), "--layers", "16", "--batch-size", "16",
            "--epochs", "8", "--learning-rate", "0.01"]  # fmt: skip


def write_csv(path: Path, header: list[str], rows: Any) -> None:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([header, *rows.tolist()])


def environment() -> dict[str, str]:
    """The package under test is importable in a child, wherever the child runs."""
    root = str(Path(fastnn.__file__).parents[1])
    return {**os.environ, "PYTHONPATH": os.pathsep.join([root, os.environ.get("PYTHONPATH", "")])}


# train


def test_train_ends_with_the_accuracy(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(TRAIN_BLOBS(folder)) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == "test accuracy: 1.0000"
    assert "240 examples of shape (2,)" in lines[0] and "60 of 300" in lines[0]
    assert "3 different numbers in 300 rows, taken as classes, 0, 1, 2" in lines[1]
    assert "--task regression" in lines[1] and "2 of numbers, which become 2 features" in lines[2]
    assert "2-16-3" in lines[3] and "99 parameters" in lines[3]


def test_quiet_and_verbose(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main([*TRAIN_BLOBS(folder), "--quiet"])
    assert capsys.readouterr().out == "test accuracy: 1.0000\n"
    main([*TRAIN_BLOBS(folder), "--verbose"])
    assert "Total params: 99" in capsys.readouterr().out


def test_train_json(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    main([*TRAIN_BLOBS(folder), "--json", str(path), "--validation-split", "0.25"])
    result = json.loads(path.read_text())
    assert result["test_accuracy"] == 1.0
    assert 0 <= result["test_loss"] < 0.2
    assert result["epochs"] == 8 and not result["interrupted"]
    assert set(result["history"]) == {"loss", "accuracy", "val_loss", "val_accuracy"}
    assert all(len(values) == 8 for values in result["history"].values())
    assert result["seconds"] > 0
    assert result["examples_per_second"] == pytest.approx(180 * 8 / result["seconds"])
    assert os.listdir(tmp_path) == ["result.json"]


def test_threads_and_seed(folder: Path, tmp_path: Path) -> None:
    losses = []
    for options in (["--threads", "1"], ["--threads", "2"], ["--seed", "1"]):
        main([*TRAIN_BLOBS(folder), *options, "--json", str(tmp_path / "a.json"), "--quiet"])
        losses.append(json.loads((tmp_path / "a.json").read_text())["history"]["loss"])
    assert losses[0] == losses[1] != losses[2]


def test_patience_stops(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    main([*TRAIN_BLOBS(folder), "--validation-split", "0.2", "--patience", "1", "--epochs", "50",
          "--schedule", "constant", "--learning-rate", "1.0", "--json", str(path)])  # fmt: skip
    assert json.loads(path.read_text())["epochs"] < 50


@pytest.mark.parametrize(
    "options",
    [
        ["--layers", "8,8", "--activation", "tanh", "--initializer", "he_normal"],
        ["--layers", "0", "--epochs", "40"],
        ["--optimizer", "sgd", "--schedule", "constant"],
        ["--optimizer", "adamw"],
        ["--optimizer", "rmsprop"],
        ["--task", "classification"],
        ["--label", "2"],
    ],
)
def test_train_options(
    folder: Path, capsys: pytest.CaptureFixture[str], options: list[str]
) -> None:
    assert main([*TRAIN_BLOBS(folder), *options]) == 0
    accuracy = capsys.readouterr().out.splitlines()[-1].removeprefix("test accuracy: ")
    assert float(accuracy) > 0.9


def test_regression(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Prices of about 26,000 with a deviation of 6,000 are met within a few hundred."""
    model, result = tmp_path / "line.safetensors", tmp_path / "line.json"
    arguments = ["train", str(folder / "line.csv"), "--layers", "32", "--batch-size", "16",
                 "--epochs", "30", "--learning-rate", "0.01"]  # fmt: skip
    assert main([*arguments, "--save", str(model), "--json", str(result)]) == 0
    last = capsys.readouterr().out.splitlines()[-1]
    found = json.loads(result.read_text())
    assert last == f"test r2: {found['test_r2']:.4f}"
    assert found["test_r2"] > 0.99 and found["test_rmse"] < 500
    assert found["test_loss"] == pytest.approx(found["test_rmse"] ** 2, rel=1e-4)
    history = json.loads(result.read_text())["history"]
    assert history["loss"][0] > 1000**2 and history["loss"][-1] < 500**2

    assert main(["evaluate", str(model), str(folder / "line.csv")]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == last
    assert main(["predict", str(model), str(folder / "line.csv")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "prediction" and len(lines) == 301
    truth = np.loadtxt(folder / "line.csv", delimiter=",", skiprows=1)[:, -1]
    assert np.mean((np.array(lines[1:], float) - truth) ** 2) < 500**2


def test_images_from_npz(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["train", str(folder / "images.npz"), "--epochs", "5", "--batch-size", "8"]
    assert main(arguments) == 0
    out = capsys.readouterr().out
    assert "its own test set" in out and "30-512-2" in out
    assert out.endswith("test accuracy: 1.0000\n")


def test_one_hot_labels_are_classes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    labels = np.arange(100) % 2
    np.savez(tmp_path / "a.npz", x=labels[:, None] + np.zeros((1, 4)), y=np.eye(2)[labels])
    assert main(["train", str(tmp_path / "a.npz"), "--epochs", "2", "--quiet"]) == 0
    assert capsys.readouterr().out.startswith("test accuracy: ")


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        (["--layers", "a"], "--layers"),
        (["--layers", "8,-1"], "--layers"),
        (["--activation", "magic"], "magic"),
        (["--initializer", "magic"], "magic"),
        (["--optimizer", "magic"], "magic"),
        (["--learning-rate", "-1"], "learning_rate"),
        (["--batch-size", "0"], "--batch-size must be at least 1, got 0"),
        (["--epochs", "0"], "--epochs must be at least 1, got 0"),
        (["--validation-split", "1"], "--validation-split"),
        (["--patience", "2"], "--patience needs --validation-split"),
        (["--threads", "0"], "got 0"),
        (["--seed", "-1"], "seed"),
        (["--label", "color"], "no column 'color'"),
        (["--label", "0", "--task", "classification"], "--task classification wants labels"),
        (["--save", "/nowhere/model.safetensors"], "no directory"),
        (["--json", "/"], "is a directory"),
        (["--quiet", "--verbose"], "not allowed"),
        (["--magic"], "--magic"),
    ],
)
def test_bad_options(
    folder: Path, capsys: pytest.CaptureFixture[str], options: list[str], fault: str
) -> None:
    assert fault in failure(capsys, "train", folder / "blobs.csv", *options)


def test_bad_data(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "nowhere.csv" in failure(capsys, "train", tmp_path / "nowhere.csv")
    assert "holds no IDX files" in failure(capsys, "train", tmp_path)
    (tmp_path / "a.csv").write_text("1,2\n3,x\n")
    assert "line 2, column 1 (from 0)" in failure(capsys, "train", tmp_path / "a.csv")
    assert "COMMAND" in failure(capsys)


def test_nothing_is_written_where_training_fails(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    failure(capsys, *TRAIN_BLOBS(folder), "--activation", "magic", "--json", tmp_path / "a.json",
            "--save", tmp_path / "a.safetensors")  # fmt: skip
    assert not os.listdir(tmp_path)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGINT for a child")
def test_ctrl_c_keeps_what_was_learned(
    folder: Path, tmp_path: Path, start: Callable[..., Any]
) -> None:
    model, result = tmp_path / "m.safetensors", tmp_path / "m.json"
    child = start(*FASTNN, *TRAIN_BLOBS(folder), "--epochs", "1000000",
                  "--save", model, "--json", result, env=environment())  # fmt: skip
    assert child.stdout
    while "Epoch 20/" not in child.stdout.readline():
        assert child.poll() is None
    begin = time.monotonic()
    child.send_signal(signal.SIGINT)
    out, err = child.communicate(timeout=60)
    assert time.monotonic() - begin < 20  # generous: a busy machine
    assert child.returncode == 130
    assert err.count("\n") == 1 and "interrupted in epoch" in err and str(model) in err
    assert out.splitlines()[-1].startswith("test accuracy: ")
    saved = json.loads(result.read_text())
    assert saved["interrupted"] and saved["epochs"] >= 20 and saved["test_accuracy"] > 0.9
    assert main(["evaluate", str(model), str(folder / "blobs.csv")]) == 0


# evaluate, predict, info


def test_evaluate(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["evaluate", str(folder / "blobs.safetensors"), str(folder / "blobs.csv")]
    assert main([*arguments, "--json", str(tmp_path / "a.json")]) == 0
    out = capsys.readouterr().out
    assert "60 examples" in out and out.endswith("test accuracy: 1.0000\n")
    result = json.loads((tmp_path / "a.json").read_text())
    assert result["test_accuracy"] == 1.0 and result["examples"] == 60 and "test_loss" in result
    assert main([*arguments, "--all"]) == 0
    assert "300 examples (all)" in capsys.readouterr().out


def test_predict_prints_and_writes(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["predict", str(folder / "blobs.safetensors"), str(folder / "blobs.csv")]
    truth = np.loadtxt(folder / "blobs.csv", delimiter=",", skiprows=1)[:, -1]

    assert main(arguments) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "prediction,probability"
    assert [int(line.split(",")[0]) for line in lines[1:]] == truth.tolist()

    assert main([*arguments, "--output", str(tmp_path / "p.npy")]) == 0
    probabilities = np.load(tmp_path / "p.npy")
    assert probabilities.shape == (300, 3) and probabilities.dtype == np.float32

    assert main([*arguments, "--output", str(tmp_path / "p.csv")]) == 0
    table = np.loadtxt(tmp_path / "p.csv", delimiter=",", skiprows=1)
    np.testing.assert_array_equal(table[:, 0], truth)
    np.testing.assert_allclose(table[:, 1:], probabilities, rtol=1e-6)

    assert main([*arguments, "--json", str(tmp_path / "p.json")]) == 0
    assert json.loads((tmp_path / "p.json").read_text())["predictions"] == truth.tolist()
    assert sorted(os.listdir(tmp_path)) == ["p.csv", "p.json", "p.npy"]


def test_predict_from_a_table_without_labels(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = np.loadtxt(folder / "blobs.csv", delimiter=",", skiprows=1)
    np.savetxt(tmp_path / "a.csv", rows[:, :2], delimiter=",")
    assert main(["predict", str(folder / "blobs.safetensors"), str(tmp_path / "a.csv")]) == 0
    predicted = [int(line[0]) for line in capsys.readouterr().out.splitlines()[1:]]
    assert predicted == rows[:, 2].tolist()


def test_info(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info"]) == 0
    out = capsys.readouterr().out
    assert fastnn.__version__ in out and "threads" in out
    model = str(folder / "blobs.safetensors")
    assert main(["info", model, "--json", str(tmp_path / "a.json")]) == 0
    assert "Total params: 99" in capsys.readouterr().out
    assert json.loads((tmp_path / "a.json").read_text())["parameters"] == 99


def test_bad_models(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model, data = folder / "blobs.safetensors", folder / "images.npz"
    broken = tmp_path / "broken.safetensors"
    broken.write_bytes(b"no model")
    for command in (["evaluate"], ["predict"], ["info"]):
        rest = [] if command == ["info"] else [data]
        assert "nowhere" in failure(capsys, *command, tmp_path / "nowhere", *rest)
        assert "broken" in failure(capsys, *command, broken, *rest)
        if rest:
            assert "shape (2,)" in failure(capsys, *command, model, *rest)
    arguments = ["predict", model, folder / "blobs.csv", "--output", tmp_path / "p.txt"]
    assert "wanted a .csv or a .npy" in failure(capsys, *arguments)


# The frame


@pytest.mark.parametrize("command", ["train", "evaluate", "predict", "info"])
def test_help(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main([command, "--help"])
    assert stop.value.code == 0
    assert f"usage: fastnn {command}" in capsys.readouterr().out


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--version"])
    assert capsys.readouterr().out == f"fastnn {fastnn.__version__}\n"


@pytest.mark.skipif(sys.platform == "win32", reason="needs a POSIX shell")
def test_a_reader_that_has_seen_enough(
    folder: Path, tmp_path: Path, start: Callable[..., Any]
) -> None:
    np.save(tmp_path / "many.npy", np.zeros((100_000, 2), np.float32))
    many = tmp_path / "many.npy"
    child = start(*FASTNN, "predict", folder / "blobs.safetensors", many, env=environment())
    assert child.stdout and child.stderr
    assert child.stdout.readline() == "prediction,probability\n"
    child.stdout.close()
    assert child.stderr.read() == ""
    child.stderr.close()
    assert child.wait(timeout=60) == 0


def test_json_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_json(path, {"a": [1.5, float("nan"), np.float64("inf")], "b": {"c": True}})
    assert json.loads(path.read_text()) == {"a": [1.5, None, None], "b": {"c": True}}
    with pytest.raises(TypeError):
        write_json(path, {"a": object()})
    assert json.loads(path.read_text())["b"] == {"c": True}
    with pytest.raises(KeyError), replacing(path) as temporary:
        temporary.write_text("half")
        raise KeyError
    assert os.listdir(tmp_path) == ["a.json"]


def test_the_package_can_be_run() -> None:
    done = subprocess.run(
        [*FASTNN, "--version"], capture_output=True, text=True, env=environment(), check=True
    )
    assert done.stdout.strip() == f"fastnn {fastnn.__version__}"

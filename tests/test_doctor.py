"""``fastnn doctor``: what it prints and writes, its exit status, and what --cure makes of a net."""

from __future__ import annotations

import csv
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn.cli import doctor, main, scaling
from fastnn.cli.problem import Problem
from fastnn.cli.training import Trained
from fastnn.health import Report, Trial
from fastnn.health.report import Progress
from fastnn.layers import BatchNormalization, Dense, Input, Residual

FASTNN = [sys.executable, "-c", "import sys; from fastnn.cli import main; sys.exit(main())"]
SICK = ["--layers", "12x16", "--activation", "sigmoid"]
SOUND = ["--layers", "16", "--learning-rate", "0.01"]


@pytest.fixture(autouse=True)
def _keep_the_number_of_threads() -> Any:
    before = fastnn.get_num_threads()
    yield
    fastnn.set_num_threads(before)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """blobs.csv, line.csv (a regression) and sound.safetensors, a net that learned the blobs."""
    folder = tmp_path_factory.mktemp("doctor")
    random = np.random.default_rng(0)
    kinds = random.integers(0, 3, 600)
    points = 1000 + 5 * np.eye(3)[kinds] + random.normal(0, 0.7, (600, 3))
    x = random.normal(50, 20, (600, 3))
    tables = {"blobs": np.column_stack([points, kinds]),
              "line": np.column_stack([x, 2e4 + x @ [300, -90, 50]])}  # fmt: skip
    for name, table in tables.items():
        with (folder / f"{name}.csv").open("w", newline="") as file:
            csv.writer(file).writerows([["a", "b", "c", "label"], *table.tolist()])
    arguments = ["train", str(folder / "blobs.csv"), *SOUND, "--batch-size", "16", "--epochs", "10"]
    assert main([*arguments, "--quiet", "--save", str(folder / "sound.safetensors")]) == 0
    return folder


@pytest.fixture
def run(folder: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str]]:
    """Run the doctor on blobs.csv; the exit status and what it printed."""

    def run(*options: object, data: str = "blobs.csv") -> tuple[int, str]:
        capsys.readouterr()
        status = main(["doctor", str(folder / data), *map(str, options)])
        return status, capsys.readouterr().out

    return run


def failure(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """The one line that a mistake in the input gives."""
    try:
        status = main(["doctor", *map(str, arguments)])
    except SystemExit as stop:
        status = stop.code  # type: ignore[assignment]
    captured = capsys.readouterr()
    assert status == 2
    assert captured.err.count("\n") == 1 and "error: " in captured.err
    return captured.err


# The verdict


def test_a_healthy_net(run: Any) -> None:
    status, out = run(*SOUND)
    assert status == 0
    lines = out.splitlines()
    assert "480 examples of shape (3,)" in lines[0] and "3-16-3" in lines[3]
    assert re.fullmatch(r"Gradient health of sequential\w*: healthy", lines[5])
    assert "after 100 steps of 32 rows" in out and "Remedies" not in out


def test_a_sick_net(run: Any) -> None:
    status, out = run(*SICK)
    assert status == 1
    report = out.splitlines()[5:]
    assert re.fullmatch(r"Gradient health of sequential\w*: vanishing", report[0])
    assert max(map(len, report)) <= 80
    assert "Remedies that were tried and helped" in out
    assert "test accuracy" not in out, "nothing was trained"


def test_mnist(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["doctor", "mnist", "--layers", "12x64", "--activation", "sigmoid"]
    assert main([*arguments, "--no-remedies"]) == 1
    out = capsys.readouterr().out
    assert "784-64-64-" in out and re.search(r"sequential\w*: vanishing$", out, re.MULTILINE)
    assert main(["doctor", "--layers", "64"]) == 0


def test_regression(run: Any) -> None:
    assert run(*SOUND, data="line.csv")[0] == 0
    status, out = run(*SICK, "--no-remedies", data="line.csv")
    assert status == 1 and "regression with 3-16-16-" in out


def test_no_remedies(run: Any) -> None:
    status, out = run(*SICK, "--no-remedies")
    assert status == 1 and "emed" not in out and "useless" not in out


def test_steps_batch_size_and_seed(run: Any, tmp_path: Path) -> None:
    path, losses = tmp_path / "a.json", []
    for options in ([], ["--threads", "1"], ["--seed", "1"]):
        run(*SOUND, "--steps", 50, "--batch-size", 8, *options, "--json", path)
        report = json.loads(path.read_text())
        assert report["untreated"]["batch_size"] == 8
        losses.append(report["untreated"]["losses"])
        assert len(losses[-1]) == 50
    assert losses[0] == losses[1] != losses[2]


def test_the_process_ends_with_that_status(folder: Path) -> None:
    command = [*FASTNN, "doctor", folder / "blobs.csv", "--no-remedies", "--steps", "20"]
    done = subprocess.run([*command, *SICK], capture_output=True, text=True)
    assert done.returncode == 1 and done.stderr == ""


# Files


def test_html_and_json(run: Any, tmp_path: Path) -> None:
    page, path = tmp_path / "a.html", tmp_path / "a.json"
    status, _ = run(*SICK, "--html", page, "--json", path)
    assert status == 1
    assert page.read_text().startswith("<!DOCTYPE html>") and "vanishing" in page.read_text()
    report = json.loads(path.read_text())
    assert report["verdict"] == "vanishing" and report["layers"][0]["name"].startswith("dense")
    assert any(remedy["helped"] for remedy in report["remedies"]) and "cure" not in report
    assert sorted(os.listdir(tmp_path)) == ["a.html", "a.json"]


def test_the_json_is_the_reports(run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reports = []
    diagnose = fastnn.health.diagnose

    def kept(*arguments: Any, **settings: Any) -> Report:
        reports.append(diagnose(*arguments, **settings))
        return reports[-1]

    monkeypatch.setattr(fastnn.health, "diagnose", kept)
    run(*SICK, "--no-remedies", "--json", tmp_path / "a.json")
    assert json.loads((tmp_path / "a.json").read_text()) == reports[0].to_dict()


# --model


def test_a_saved_model(run: Any, folder: Path) -> None:
    status, out = run("--model", folder / "sound.safetensors")
    # It has learned in the table's own units, where inputs near 1000 spoil what further steps do.
    assert status == 1 and "impaired" in out and "the inputs have mean 1002" in out
    assert "classification" not in out, "what it learns is in the file"


def test_rows_are_drawn_with_the_seed(run: Any, folder: Path, tmp_path: Path) -> None:
    path, losses = tmp_path / "a.json", []
    for seed in (0, 1):
        run("--model", folder / "sound.safetensors", "--seed", seed, "--json", path)
        losses.append(json.loads(path.read_text())["untreated"]["losses"])
    assert losses[0] != losses[1]


def test_a_saved_model_keeps_its_optimizer(run: Any, folder: Path, tmp_path: Path) -> None:
    model = fastnn.load_model(folder / "sound.safetensors")
    model.compile(fastnn.optimizers.SGD(1e-5), "sparse_categorical_crossentropy")
    before, after = tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    model.save(before)
    status, out = run("--model", before, "--cure", "--epochs", 1, "--save", after)
    assert status == 0 and out.splitlines()[-1].startswith("test loss: ")
    trained = fastnn.load_model(after)
    assert trained.optimizer.get_config() == model.optimizer.get_config()


def test_a_saved_model_is_cured(run: Any, folder: Path, tmp_path: Path) -> None:
    fastnn.utils.set_random_seed(0)
    path = tmp_path / "sick.safetensors"
    layers = [Input((3,)), Dense(8, "relu"), Dense(3, "softmax")]
    model = fastnn.Sequential(layers)  # type: ignore[arg-type]
    model.compile(
        fastnn.optimizers.Adam(1e-9), "sparse_categorical_crossentropy", metrics=["accuracy"]
    )
    model.save(path)
    status, out = run("--model", path, "--cure", "--epochs", 30)
    assert "Training the network with " in out
    # inputs near 1000: whether that is cured is not this test's to say
    assert status == (0 if float(out.splitlines()[-1].split()[-1]) > 0.6 else 1)


@pytest.mark.parametrize(
    "options", [["--layers", "8"], ["--activation", "tanh"], ["--optimizer", "sgd"],
                ["--learning-rate", "1"], ["--schedule", "constant"], ["--task", "regression"],
                ["--initializer", "zeros"]],
)  # fmt: skip
def test_a_saved_model_brings_its_own(
    folder: Path, capsys: pytest.CaptureFixture[str], options: list[str]
) -> None:
    model = folder / "sound.safetensors"
    fault = failure(capsys, folder / "blobs.csv", "--model", model, *options)
    assert f"{options[0]} has no place beside --model" in fault


def test_bad_models(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = folder / "blobs.csv"
    assert "nowhere" in failure(capsys, data, "--model", tmp_path / "nowhere")
    assert "shape (3,)" in failure(capsys, "--model", folder / "sound.safetensors")
    raw = fastnn.Sequential([Input((3,)), Dense(3)])
    raw.save(tmp_path / "raw.safetensors")
    # it is told of before any data is read
    nowhere = tmp_path / "nowhere.csv"
    assert "not compiled" in failure(capsys, nowhere, "--model", tmp_path / "raw.safetensors")


# --cure


def test_a_healthy_net_is_trained_as_train_does_it(
    run: Any, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ours, theirs = tmp_path / "a.json", tmp_path / "b.json"
    options = [*SOUND, "--epochs", "3", "--batch-size", "16", "--validation-split", "0.25"]
    status, out = run(*options, "--cure", "--json", ours, "--save", tmp_path / "a.safetensors")
    assert status == 0 and "Training the network as it is" in out
    main(["train", str(folder / "blobs.csv"), *options, "--json", str(theirs)])
    assert out.splitlines()[-1] == capsys.readouterr().out.splitlines()[-1]
    cure, wanted = (json.loads(path.read_text()) for path in (ours, theirs))
    cure = cure["cure"]
    assert cure["remedy"] is None
    for name in ("history", "test_loss", "test_accuracy", "epochs"):
        assert cure[name] == wanted[name]
    rate = fastnn.load_model(tmp_path / "a.safetensors").optimizer.get_config()["learning_rate"]
    assert rate["class_name"] == "CosineDecay"
    assert rate["config"]["decay_steps"] == 3 * -(-360 // 16)


def test_a_sick_net_is_cured(
    run: Any, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, path, page = tmp_path / "m.safetensors", tmp_path / "a.json", tmp_path / "a.html"
    options = ["--cure", "--epochs", 20, "--learning-rate", 0.01]
    status, out = run(*SICK, *options, "--save", model, "--json", path, "--html", page)
    assert status == 0
    last = out.splitlines()[-1]
    assert last.startswith("test accuracy: 0.9") or last == "test accuracy: 1.0000"
    report = json.loads(path.read_text())
    cure, first = report["cure"], report["remedies"][0]
    assert report["verdict"] == "vanishing" and first["helped"]
    assert cure["remedy"] == first["name"] and f"Training the network with {first['name']}" in out
    assert last == f"test accuracy: {cure['test_accuracy']:.4f}"
    assert cure["learned"] > 0.8 and cure["epochs"] == len(cure["history"]["loss"])
    assert sorted(os.listdir(tmp_path)) == ["a.html", "a.json", "m.safetensors"]
    # the file takes the table's own units
    assert main(["evaluate", str(model), str(folder / "blobs.csv")]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == last


def test_a_regression_is_cured(run: Any, tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    options = ["--cure", "--epochs", 20, "--learning-rate", 0.01, "--json", path]
    status, out = run(*SICK, *options, data="line.csv")
    assert status == 0
    cure = json.loads(path.read_text())["cure"]
    assert out.splitlines()[-1] == f"test r2: {cure['test_r2']:.4f}"
    assert cure["test_rmse"] < 3000 and cure["history"]["loss"][0] > 3000**2


def remedied(monkeypatch: pytest.MonkeyPatch, **change: Any) -> None:
    """``diagnose`` finds a sick net, and one remedy or none."""

    def diagnose(model: Any, x: Any, y: Any, **settings: Any) -> Report:
        remedy = fastnn.health.Remedy(
            "tried", "to", Trial((1.0,)), change.pop("helped", True), lambda: model, lambda: change
        )
        seen = (Progress(100, 0.0, (change.pop("reference", 1.0),)),)
        return Report("vanishing", "so", (), (remedy,), Trial((1.0,)), progress=seen)

    monkeypatch.setattr(fastnn.health, "diagnose", diagnose)


def test_no_change_helped(run: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    remedied(monkeypatch, helped=False)
    status, out = run(
        *SOUND, "--cure", "--save", tmp_path / "a.safetensors", "--json", tmp_path / "b"
    )
    assert status == 1 and out.endswith("Nothing is trained, for no change helped.\n")
    assert os.listdir(tmp_path) == ["b"] and "cure" not in json.loads((tmp_path / "b").read_text())


def test_the_remedys_own_arguments_of_fit(
    run: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    heard: list[tuple[int, int]] = []

    def hear(epoch: int, logs: Any) -> None:
        heard.append((epoch, callback.params["steps"]))

    callback = fastnn.callbacks.LambdaCallback(on_epoch_end=hear)
    for options, rows in (([], 240), (["--validation-split", "0.25"], 360)):
        remedied(monkeypatch, batch_size=120, validation_split=0.5, callbacks=[callback])
        path = tmp_path / "a.json"
        run(*SOUND, "--cure", "--epochs", 4, *options, "--json", path)
        cure = json.loads(path.read_text())["cure"]
        assert "val_loss" in cure["history"]
        assert cure["examples_per_second"] == pytest.approx(rows * 4 / cure["seconds"])
    batches = [240 // 120, 360 // 120]
    assert heard == [(epoch, steps) for steps in batches for epoch in range(4)]
    remedied(monkeypatch, validation_split=0.5, callbacks=[callback])
    options = ["--validation-split", "0.2", "--patience", "0", "--schedule", "constant"]
    run(*SOUND[:2], "--learning-rate", 10, "--cure", "--epochs", 90, *options, "--json", path)
    assert json.loads(path.read_text())["cure"]["epochs"] < 90, "patience counts too"


def test_a_cure_that_comes_to_nothing(
    run: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    remedied(monkeypatch)
    path = tmp_path / "a.json"
    status, out = run(*SICK, "--cure", "--epochs", 1, "--json", path)
    assert status == 1 and out.splitlines()[-1].startswith("test accuracy: 0.")
    assert json.loads(path.read_text())["cure"]["learned"] < 0.3
    remedied(monkeypatch, reference=0.0)
    assert run(*SICK, "--cure", "--epochs", 1)[0] == 0, "a sound net learns nothing, either"


def test_a_training_that_breaks_off(
    folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    remedied(monkeypatch)
    arguments = ["doctor", str(folder / "line.csv"), "--layers", "8", "--activation", "linear",
                 "--optimizer", "sgd", "--learning-rate", "1e30", "--cure",
                 "--save", str(tmp_path / "a.safetensors"),
                 "--json", str(tmp_path / "b")]  # fmt: skip
    assert main(arguments) == 1
    captured = capsys.readouterr()
    assert captured.err.startswith("fastnn doctor: training broke off: layer ")
    assert os.listdir(tmp_path) == ["b"]
    cure = json.loads((tmp_path / "b").read_text())["cure"]
    assert cure["remedy"] == "tried" and "not finite" in cure["error"]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGINT for a child")
def test_ctrl_c_keeps_what_was_learned(
    folder: Path, tmp_path: Path, start: Callable[..., Any]
) -> None:
    child = start(*FASTNN, "doctor", folder / "blobs.csv", *SOUND, "--cure", "--epochs", "1000000",
                  "--save", tmp_path / "m.safetensors", "--json", tmp_path / "j")  # fmt: skip
    assert child.stdout
    while "Epoch 20/" not in child.stdout.readline():
        assert child.poll() is None
    begin = time.monotonic()
    child.send_signal(signal.SIGINT)
    out, err = child.communicate(timeout=60)
    assert time.monotonic() - begin < 20  # generous: a busy machine
    assert child.returncode == 130
    assert err.startswith("fastnn doctor: interrupted in epoch ")
    assert out.splitlines()[-1].startswith("test accuracy: ")
    assert json.loads((tmp_path / "j").read_text())["cure"]["interrupted"]
    assert fastnn.load_model(tmp_path / "m.safetensors").compiled


@pytest.mark.parametrize(
    ("accuracy", "loss", "learned"),
    [(0.9, 9.0, 0.8), (0.5, 0.25 * np.log(2), 0.75), (np.nan, np.nan, 0.0), (0.1, 9.0, 0.0)],
)
def test_what_was_learned(accuracy: float, loss: float, learned: float) -> None:
    """Of what a constant, 0.5 for each of two classes as frequent as the other, leaves."""
    model = fastnn.Sequential([Input((3,)), Dense(2, "softmax")])
    model.compile("sgd", "sparse_categorical_crossentropy")
    x, y = np.zeros((8, 3), np.float32), np.arange(8) % 2
    wanted = Problem("", "", "classification", x, y, (x, y))
    test = {"loss": loss, "accuracy": accuracy}
    trained = Trained(model, 1, 1.0, 1.0, None, "", True, {}, test)
    report = Report("vanishing", "", (), (), Trial(()))
    assert doctor._learned(trained, wanted, report) == pytest.approx(learned)


# Mistakes


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        (["--layers", "12x"], "--layers"),
        (["--layers", "0x8"], "--layers"),
        (["--layers", "8x0"], "--layers"),
        (["--activation", "magic"], "magic"),
        (["--initializer", "magic"], "magic"),
        (["--steps", "9"], "--steps must be at least 10, got 9"),
        (["--batch-size", "0"], "--batch-size must be at least 1, got 0"),
        (["--epochs", "0"], "--epochs must be at least 1, got 0"),
        (["--save", "a"], "--save needs --cure"),
        (["--cure", "--no-remedies"], "not allowed"),
        (["--cure", "--patience", "1"], "--patience needs --validation-split"),
        (["--html", "/"], "is a directory"),
        (["--json", "/nowhere/a.json"], "no directory"),
        (["--cure", "--save", "/nowhere/a.safetensors"], "no directory"),
        (["--label", "color"], "no column 'color'"),
    ],
)
def test_bad_options(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
    options: list[str], fault: str,
) -> None:  # fmt: skip
    monkeypatch.setattr(fastnn.health, "diagnose", None)  # nothing is tried
    assert fault in failure(capsys, folder / "blobs.csv", *options)


def test_bad_data(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "nowhere.csv" in failure(capsys, tmp_path / "nowhere.csv")
    assert "holds no IDX files" in failure(capsys, tmp_path)
    np.savez(tmp_path / "a.npz", x=np.zeros((9, 3)))
    assert "has x_train, but no y_train" in failure(capsys, tmp_path / "a.npz")


def test_depths_in_layers() -> None:
    from fastnn.cli.network import _widths

    assert _widths("512") == [512] and _widths("8,4") == [8, 4] and _widths("0") == []
    assert _widths("3x8") == [8, 8, 8] and _widths("9,2x8,4") == [9, 8, 8, 4]


def test_help(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["doctor", "--help"])
    assert stop.value.code == 0
    assert "Exit status: 0 if the network is healthy, or learns in spite" in capsys.readouterr().out


# Standardized tables, whatever the cure has put first


@pytest.mark.parametrize("first", ["dense", "penalized", "residual"])
def test_a_model_takes_the_tables_own_units(first: str) -> None:
    random = np.random.default_rng(0)
    table = (random.normal(size=(50, 3)) * [1e-9, 1, 1e4] + [0, 5, 1e5]).astype(np.float32)
    fastnn.utils.set_random_seed(0)
    layer = {
        "dense": Dense(3, "tanh"),
        "penalized": Dense(3, "tanh", kernel_regularizer="l2"),
        "residual": Residual([Dense(3, "tanh"), Dense(3)]),
    }[first]
    model = fastnn.Sequential([Input((3,)), layer, Dense(2)])
    model.compile("sgd", "mse")
    scaled = scaling.of_features(table)
    assert scaled is not None
    wanted = model.predict(scaled.apply(table))
    size = model.count_params()
    result = scaling.with_features(model, scaled)
    # float32 numbers near 1e5 with a deviation of 1e4 have six digits after the mean is off
    np.testing.assert_allclose(result.predict(table), wanted, rtol=0, atol=2e-5)
    grown = [layer.name for layer in result.layers if isinstance(layer, BatchNormalization)]
    assert grown == ([] if first == "dense" else ["input_normalization"])
    assert result.count_params() == size + (0 if first == "dense" else 6)
    if first != "dense":
        before = result.layers[0].get_weights()
        result.fit(table, np.zeros((50, 2)), verbose=0)
        for old, new in zip(before, result.layers[0].get_weights(), strict=True):
            np.testing.assert_array_equal(old, new)


def test_the_doctors_least_steps_are_diagnoses_own() -> None:
    model = fastnn.Sequential([Input((3,)), Dense(2)])
    model.compile("sgd", "mse")
    with pytest.raises(ValueError, match=f"{doctor.MIN_STEPS}, got {doctor.MIN_STEPS - 1}"):
        fastnn.health.diagnose(
            model, np.zeros((9, 3)), np.zeros((9, 2)), steps=doctor.MIN_STEPS - 1
        )

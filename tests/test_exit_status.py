"""How a command ends: SIGTERM, Ctrl-C, divergence, and the status that says so."""

from __future__ import annotations

import json
import math
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn.cli import main, status, termination, training

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals are POSIX's")

FASTNN = [sys.executable, "-m", "fastnn"]
ROWS = 300
DOCUMENT = Path(__file__).parents[1] / "docs" / "exit_status.md"

Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three classes of points, in a table."""
    random = np.random.default_rng(0)
    kinds = random.integers(0, 3, ROWS)
    points = 3 * np.eye(3)[kinds][:, :2] + random.normal(0, 0.3, (ROWS, 2))
    path = tmp_path_factory.mktemp("status") / "blobs.csv"
    lines = [f"{a},{b},{kind}" for (a, b), kind in zip(points, kinds, strict=True)]
    path.write_text("\n".join(["a,b,label", *lines]))
    return path


def train_for_ever(table: Path, *options: Any) -> list[Any]:
    return [*FASTNN, "train", table, "--layers", "16", "--batch-size", "16",
            "--epochs", "1000000", *options]  # fmt: skip


def until(child: subprocess.Popen[str], text: str) -> None:
    """Read the child's output as far as ``text``."""
    assert child.stdout
    while text not in child.stdout.readline():
        assert child.poll() is None, child.stderr and child.stderr.read()


def ended(child: subprocess.Popen[str], number: int, times: int = 1) -> tuple[str, str, float]:
    """What the child prints on stdout and stderr after a signal, and the seconds that it takes."""
    begin = time.monotonic()
    for _ in range(times):
        child.send_signal(number)
    out, err = child.communicate(timeout=60)
    return out, err, time.monotonic() - begin


@pytest.mark.parametrize("times", [1, 2])
def test_sigterm_saves(table: Path, tmp_path: Path, start: Start, times: int) -> None:
    """Twice, too: who ends a group of processes may well send it twice."""
    model, result = tmp_path / "m.safetensors", tmp_path / "m.json"
    child = start(*train_for_ever(table, "--save", model, "--json", result))
    until(child, "Epoch 20/")
    out, err, seconds = ended(child, signal.SIGTERM, times)
    assert child.returncode == status.TERMINATED == 128 + signal.SIGTERM
    assert seconds < 10  # so long do containers wait; batch systems 30 or more
    found = re.fullmatch(
        r"fastnn train: terminated in epoch (\d+) of 1000000, after batch (\d+) of 15; "
        f"what was learned until then is in {model}\n",
        err,
    )
    assert found, err
    epoch, batch = map(int, found.groups())
    assert epoch >= 20 and 0 <= batch <= 15
    assert "test accuracy" not in out, "there is no time for a test"
    saved = json.loads(result.read_text())
    assert saved["interrupted"] and "test_accuracy" not in saved
    # The epoch that was cut off is not in the history, unless it had ended just then.
    assert saved["epochs"] in ((epoch - 1, epoch) if batch == 15 else (epoch - 1,))
    assert len(saved["history"]["loss"]) == saved["epochs"]
    assert main(["evaluate", str(model), str(table)]) == 0
    assert sorted(os.listdir(tmp_path)) == ["m.json", "m.safetensors"]


def test_sigterm_without_save_says_that_nothing_is_kept(table: Path, start: Start) -> None:
    child = start(*train_for_ever(table))
    until(child, "Epoch 3/")
    _, err, _ = ended(child, signal.SIGTERM)
    assert child.returncode == status.TERMINATED
    assert err.count("\n") == 1 and "terminated in epoch" in err and "no --save" in err


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_backup_comes_first(table: Path, tmp_path: Path, start: Start, number: int) -> None:
    """The next run goes on from the very batch."""
    options = ["--resume", tmp_path / "backup", "--schedule", "constant"]
    child = start(*train_for_ever(table, *options))
    until(child, "Epoch 20/")
    _, err, _ = ended(child, number)
    assert child.returncode == 128 + number
    found = re.fullmatch(
        r"fastnn train: (?:terminated|interrupted) in epoch (\d+) of 1000000, after batch (\d+) of "
        rf"15; --resume {tmp_path / 'backup'} goes on from the last backup\n",
        err,
    )
    assert found, err
    steps = 15 * (int(found[1]) - 1) + int(found[2])
    child = start(*train_for_ever(table, *options))
    assert child.stdout
    line = next(line for line in child.stdout if line.startswith("Going on from"))
    assert line.endswith(f", after {steps} steps\n")
    ended(child, signal.SIGTERM)


@pytest.mark.parametrize(("number", "wanted"), [("SIGTERM", 143), ("SIGINT", 130)])
def test_what_has_learned_nothing_takes_nothing_s_place(
    table: Path, tmp_path: Path, number: str, wanted: int
) -> None:
    """A model that is there stays, and nobody says that there is a backup."""
    model = tmp_path / "m.safetensors"
    model.write_text("a good one")
    done = signalled(
        tmp_path, "training", "_decay", number, "train", table, "--save", model,
        "--resume", tmp_path / "backup",
    )  # fmt: skip
    assert done.returncode == wanted, done.stderr
    assert model.read_text() == "a good one" and "backup" not in done.stderr
    assert "saved" not in done.stdout


def test_sigterm_to_doctor_saves(table: Path, tmp_path: Path, start: Start) -> None:
    model = tmp_path / "m.safetensors"
    command = train_for_ever(table, "--cure", "--save", model)
    command[command.index("train")] = "doctor"
    child = start(*command)
    until(child, "Epoch 3/")
    _, err, _ = ended(child, signal.SIGTERM)
    assert child.returncode == status.TERMINATED
    assert err.startswith("fastnn doctor: terminated in epoch ") and str(model) in err
    assert fastnn.load_model(model).count_params() == 99


HOOKED = """
import os, signal, sys
from pathlib import Path
import fastnn
from fastnn.cli import main, {module} as module
def hooked(*args, **kwargs):
    if not Path({mark!r}).exists():
        Path({mark!r}).touch()
        os.kill(os.getpid(), signal.{number})
    return original(*args, **kwargs)
original, module.{name} = module.{name}, hooked
sys.exit(main(sys.argv[1:]))
"""


def signalled(
    tmp_path: Path, module: str, name: str, number: str, *arguments: Any
) -> subprocess.CompletedProcess[str]:
    """A command to which a signal comes when it first calls a function of a module."""
    script = HOOKED.format(module=module, name=name, number=number, mark=str(tmp_path / "mark"))
    return subprocess.run(
        [sys.executable, "-c", script, *map(str, arguments)],
        check=False, capture_output=True, text=True, timeout=120,
    )  # fmt: skip


@pytest.mark.parametrize(("number", "wanted"), [("SIGTERM", 143), ("SIGINT", 130)])
def test_a_signal_during_the_test_loses_no_model(
    table: Path, tmp_path: Path, number: str, wanted: int
) -> None:
    model = tmp_path / "m.safetensors"
    done = signalled(tmp_path, "training", "_tested", number, "train", table, "--epochs", 2,
                     "--save", model)  # fmt: skip
    assert done.returncode == wanted, done.stderr
    assert "in epoch 2 of 2, after batch 8 of 8; what" in done.stderr
    assert done.stderr.count("\n") == 1
    assert fastnn.load_model(model).compiled


def test_sigterm_while_the_model_is_saved_changes_nothing(table: Path, tmp_path: Path) -> None:
    model = tmp_path / "m.safetensors"
    done = signalled(tmp_path, "model_file", "save", "SIGTERM", "train", table, "--epochs", 2,
                     "--save", model)  # fmt: skip
    assert done.returncode == 0 and done.stderr == ""
    assert "test accuracy" in done.stdout and fastnn.load_model(model).compiled


def test_sigterm_before_the_training(table: Path, tmp_path: Path) -> None:
    done = signalled(tmp_path, "problem", "read", "SIGTERM", "train", table)
    assert done.returncode == 143
    assert done.stderr == "fastnn train: terminated\n"


STARTING = """
import os, signal, sys
class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == {module!r}:
            sys.meta_path.remove(self)
            try:
                os.kill(os.getpid(), signal.SIGINT)
            except BaseException:
                raise ImportError("of another kind")
from fastnn.cli import main
sys.meta_path.insert(0, Finder())
sys.exit(main(["info"]))
"""


@pytest.mark.parametrize("module", ["numpy", "fastnn.bench.cli", "fastnn.cli.commands"])
def test_ctrl_c_while_modules_are_imported(module: str) -> None:
    """There is nothing to be told of but the interruption, whatever the imports make of it."""
    done = subprocess.run(
        [sys.executable, "-c", STARTING.format(module=module)],
        check=False, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.stderr == "fastnn: interrupted\n"
    assert done.returncode == status.INTERRUPTED and done.stdout == ""


def test_little_is_imported_before_main() -> None:
    """While it is, nobody can say what Ctrl-C does."""
    code = "import sys, fastnn.cli; print(*(m for m in sys.modules if m.startswith('fastnn')))"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert set(done.stdout.split()) <= {
        "fastnn", "fastnn._version", "fastnn.kernels", "fastnn.kernels.levels", "fastnn.cli",
        "fastnn.cli.status",
    }  # fmt: skip


def test_sigterm_leaves_no_half_file(tmp_path: Path, start: Start) -> None:
    """``predict`` writes beside its target: a process that just died would leave that."""
    model = fastnn.Sequential([fastnn.layers.Input((2,)), fastnn.layers.Dense(3)])
    model.save(tmp_path / "m.safetensors")
    np.save(tmp_path / "x.npy", np.zeros((3_000_000, 2), np.float32))
    before = sorted(os.listdir(tmp_path))
    child = start(*FASTNN, "predict", tmp_path / "m.safetensors", tmp_path / "x.npy",
                  "--output", tmp_path / "p.csv")  # fmt: skip
    while sorted(os.listdir(tmp_path)) == before:
        assert child.poll() is None, "it has ended before the signal"
    _, err, _ = ended(child, signal.SIGTERM)
    assert child.returncode == 143 and err == "fastnn predict: terminated\n"
    assert sorted(os.listdir(tmp_path)) == before


def test_handlers_are_as_before() -> None:
    def mine(*_: Any) -> None:
        pass

    for before in (signal.SIG_DFL, signal.SIG_IGN, mine):
        signal.signal(signal.SIGTERM, before)
        try:
            with termination.terminable():
                inside = signal.getsignal(signal.SIGTERM)
                assert (inside == before) == (before is not signal.SIG_DFL)
            assert signal.getsignal(signal.SIGTERM) == before
        finally:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)


def test_sigterm_can_be_deferred(monkeypatch: pytest.MonkeyPatch) -> None:
    """A backup, say, is written first; but who insists is heard."""
    came: list[termination.Terminated] = []

    def note(error: termination.Terminated) -> bool:
        came.append(error)
        return True

    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    with termination.terminable():
        with termination.deferred(note):
            for now[0] in (100.0, 100.4):
                signal.raise_signal(signal.SIGTERM)
                assert len(came) == 1 and isinstance(came[0], termination.Terminated)
            now[0] = 100.6
            with pytest.raises(termination.Terminated):
                signal.raise_signal(signal.SIGTERM)
        now[0] = 102.0
        with pytest.raises(termination.Terminated):
            signal.raise_signal(signal.SIGTERM)
    assert len(came) == 1


def test_a_command_in_another_thread_has_no_handler() -> None:
    statuses: list[int] = []
    thread = threading.Thread(target=lambda: statuses.append(main(["info"])))
    thread.start()
    thread.join()
    assert statuses == [0]


def test_a_diverged_training_has_a_status_of_its_own(
    table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--optimizer", "sgd", "--learning-rate", "1e30", "--activation", "linear",
               "--label", "a", "--save", str(tmp_path / "m.safetensors")]  # fmt: skip
    assert main(["train", str(table), *options]) == status.DIVERGED == 3
    err = capsys.readouterr().err
    assert err.startswith("fastnn train: error: training diverged: layer ")
    assert "not finite" in err and err.count("\n") == 1
    assert not os.listdir(tmp_path)


@pytest.mark.parametrize("loss", [math.nan, math.inf])
def test_a_loss_that_is_no_number_is_divergence(
    loss: float, capsys: pytest.CaptureFixture[str]
) -> None:
    model: Any = None
    trained = training.Trained(
        model, 2, 1.0, 1.0, None, "", True, {"loss": [1.0, loss]}, {"loss": loss}
    )
    assert trained.status == status.DIVERGED
    arguments: Any = type("Arguments", (), {"command": "train", "save": None})
    training.report(trained, arguments)
    assert capsys.readouterr().err == (
        f"fastnn train: error: training diverged: the loss of the last epoch is {loss}\n"
    )
    assert trained._replace(history={"loss": [loss, 1.0]}).status == status.DONE
    assert trained._replace(history={}).status == status.DONE


def test_all_statuses_are_told_in_one_place(capsys: pytest.CaptureFixture[str]) -> None:
    numbers = {v for k, v in vars(status).items() if k.isupper() and isinstance(v, int)}
    assert numbers == {int(n) for n in re.findall(r"^  (\d+) ", status.TEXT, re.MULTILINE)}
    assert status.TEXT in DOCUMENT.read_text()
    for command in ("train", "evaluate", "predict", "doctor", "info", "bench"):
        with pytest.raises(SystemExit):
            main([command, "--help"])
        assert status.TEXT in capsys.readouterr().out

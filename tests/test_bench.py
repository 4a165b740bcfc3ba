"""The benchmarks: who may race, what the tables say, what is written. Nothing here is timed."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.__main__ import main
from fastnn.bench import (
    checks,
    peak,
    peers,
    predict,
    race,
    reference,
    remedies,
    statistics,
    suites,
    timing,
)
from fastnn.bench.entrant import Entrant, EntrantError
from fastnn.bench.peers.base import Job
from fastnn.bench.peers.numpy_peer import NumpyPeer

ROWS = 512
TREATED = {"batch_norm": True, "global_clipnorm": 0.5}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Data of ten classes that a net can tell apart: ``full``, and ``sparse`` with many zeros."""
    folder = tmp_path_factory.mktemp("bench")
    for rows in (ROWS, checks.DROPOUT_ROWS):
        rng = np.random.default_rng(0)
        y = rng.integers(10, size=rows).astype(np.int32)
        full = rng.standard_normal((10, 40))[y] + rng.standard_normal((rows, 40))
        sparse = full * (rng.random(full.shape) < 0.1)
        np.save(folder / f"full-{rows}.npy", full.astype(np.float32))
        np.save(folder / f"sparse-{rows}.npy", sparse.astype(np.float32))
        np.save(folder / f"y-{rows}.npy", y)
    return folder


def job_on(folder: Path, data: str = "full", rows: int = ROWS, **fields: Any) -> Job:
    x, y = str(folder / f"{data}-{rows}.npy"), str(folder / f"y-{rows}.npy")
    return Job(data, (40, 24, 16, 10), 32, x, y, rows, **fields)


@pytest.fixture(scope="module")
def fastnn_entrant() -> Iterator[Entrant]:
    with Entrant("fastnn", 1) as entrant:
        yield entrant


class Fake:
    """An entrant that trains in NumPy, and changes the job as ``cheat`` says.

    ``seconds``: what it claims of each epoch.
    """

    threads = 1

    def __init__(
        self,
        name: str = "fake",
        seconds: list[float] | None = None,
        lacking: tuple[str, ...] = (),
        **cheat: Any,
    ) -> None:
        self.name = name
        self._seconds = iter(seconds or [])
        self._lacking = list(lacking)
        self._cheat = cheat

    def lacks(self, job: Job) -> list[str]:
        return [name for name in job.remedies.values() if name in self._lacking]

    def prepare(self, job: Job) -> None:
        self._x, self._y = np.load(job.x), np.load(job.y)
        self._net = reference.Net(dataclasses.replace(job, **self._cheat), dropout_seed=1)

    def losses(self, count: int) -> list[float]:
        return self._net.losses(self._x, self._y, count)

    def probabilities(self, rows: int) -> list[list[float]]:
        return self._net.probabilities(self._x[:rows]).tolist()

    def epoch(self) -> tuple[float, float]:
        return next(self._seconds), 1.0

    def skips_zeros(self) -> bool:
        return False

    def product_rate(self) -> float:
        return 100.0

    def adam_seconds(self, weights: int) -> float:
        return 1e-9 * weights


def fakes(*entrants: Fake) -> list[Any]:
    return list(entrants)


# The twin that all must follow


@pytest.mark.parametrize(
    "fields", [{}, {"batch_norm": True}, {"dropout": 0.3}, {"batch_norm": True, "dropout": 0.3}]
)
def test_gradients_of_the_reference_are_its_finite_differences(
    folder: Path, fields: dict[str, Any]
) -> None:
    job = job_on(folder, **fields)
    x, y = np.load(job.x)[:32].astype(np.float64), np.load(job.y)[:32]
    _, gradients = reference.Net(job)._loss_and_gradients(x, y)
    h = 1e-6
    for layer, own in enumerate(gradients):
        for name, gradient in own.items():
            for index in list(np.ndindex(gradient.shape))[::7]:
                losses = []
                for step in (h, -h):
                    net = reference.Net(job)  # each draws the same masks
                    net.layers[layer][name][index] += step
                    losses.append(net._loss_and_gradients(x, y)[0])
                # h^2 of the third derivative, and 1e-16 / h of rounding
                assert (losses[0] - losses[1]) / (2 * h) == pytest.approx(gradient[index], abs=1e-8)


def test_the_reference_clips_the_norm_of_all_gradients_together(folder: Path) -> None:
    net = reference.Net(job_on(folder, global_clipnorm=0.5))
    gradients = [{"kernel": np.full((2, 2), 3.0)}, {"bias": np.full(4, 4.0)}]
    clipped = net._clipped(gradients)  # a norm of 10
    np.testing.assert_allclose(clipped[0]["kernel"], 0.15)
    np.testing.assert_allclose(clipped[1]["bias"], 0.2)
    small = [{"kernel": np.full((1, 1), 0.25)}]
    np.testing.assert_array_equal(net._clipped(small)[0]["kernel"], 0.25)


# Who may race


@pytest.mark.parametrize("data", ["full", "sparse"])
@pytest.mark.parametrize(
    "fields", [{}, {"global_clipnorm": 0.5}, TREATED, TREATED | {"dropout": 0.5}], ids=str
)
def test_fastnn_does_the_job(
    folder: Path, fastnn_entrant: Entrant, data: str, fields: dict[str, Any]
) -> None:
    # its masks are other ones at each run: over fewer rows chance alone moves the loss by as much
    rows = checks.DROPOUT_ROWS if "dropout" in fields else ROWS
    checks.check([fastnn_entrant], job_on(folder, data, rows, **fields))


@pytest.mark.parametrize(
    ("job", "cheat"),
    [
        ({}, {"widths": (40, 16, 24, 10)}),
        ({"global_clipnorm": 0.5}, {"global_clipnorm": None}),
        ({"batch_norm": True}, {"batch_norm": False}),
        (TREATED, {"dropout": 0.1}),
    ],
    ids=str,
)
def test_who_does_another_job_is_found_out(
    folder: Path, job: dict[str, Any], cheat: dict[str, Any]
) -> None:
    checks.check(fakes(Fake()), job_on(folder, **job))
    with pytest.raises(EntrantError, match=r"fake: .*does another job"):
        checks.check(fakes(Fake(**cheat)), job_on(folder, **job))


@pytest.mark.parametrize("rate", [0.0, 0.3])
def test_who_drops_less_is_found_out(folder: Path, rate: float) -> None:
    class Cheat(Fake):
        def prepare(self, job: Job) -> None:
            super().prepare(dataclasses.replace(job, dropout=rate if job.dropout else 0.0))

    job = job_on(folder, **TREATED, dropout=0.5)
    checks.check(fakes(Fake()), job)
    with pytest.raises(EntrantError, match=r"fake: .*drops others"):
        checks.check(fakes(Cheat()), job)


def test_who_keeps_no_moving_statistics_is_found_out(folder: Path) -> None:
    class Cheat(Fake):
        def probabilities(self, rows: int) -> list[list[float]]:
            for moving in self._net.moving:
                moving["mean"][:], moving["variance"][:] = 0, 1
            return super().probabilities(rows)

    with pytest.raises(EntrantError, match=r"fake: .*moving statistics"):
        checks.check(fakes(Cheat()), job_on(folder, batch_norm=True))


def test_who_trains_less_in_an_epoch_is_found_out() -> None:
    losses = {"a": 0.5, "b": 0.52, "c": 0.8}
    found = {name: {"first_epoch_loss": loss} for name, loss in losses.items()}
    with pytest.raises(EntrantError, match=r"c: the first epoch's loss is 0.8, the others' 0.52"):
        checks.check_epochs(found)


def test_a_fault_of_a_library_names_it(folder: Path, fastnn_entrant: Entrant) -> None:
    with pytest.raises(EntrantError, match=r"fastnn: prepare failed(.|\n)*Dense"):
        fastnn_entrant.prepare(dataclasses.replace(job_on(folder), widths=(40, -1, 10)))


def test_what_a_library_lacks(folder: Path, fastnn_entrant: Entrant) -> None:
    job = job_on(folder, **TREATED, dropout=0.5)
    assert NumpyPeer.lacks(job) == ["BatchNorm", "clip 0.5", "Dropout 0.5"]
    assert NumpyPeer.lacks(job_on(folder)) == []
    assert fastnn_entrant.lacks(job) == []


# What the tables say


def test_race(folder: Path, fastnn_entrant: Entrant) -> None:
    jobs = [job_on(folder, data, **TREATED) for data in ("full", "sparse")]
    said: list[str] = []
    rows = race.run([fastnn_entrant], fakes(Fake("meter")), jobs, 2, said.append)
    assert [row["entrants"]["fastnn"]["skips_zeros"] for row in rows] == [False, True]
    for row in rows:
        own = row["entrants"]["fastnn"]
        assert row["remedies"] == ["BatchNorm", "clip 0.5"]
        assert row["product_gflops"] == [{"meter": 100.0}] * 2
        assert row["reference"] is None and row["left_out"] == {}
        assert len(own["seconds"]) == 2
        step = own["step_us"]
        assert 0 < step["min"] <= step["median"] <= step["max"]
        assert own["loss"] < own["first_epoch_loss"]
    assert said[0] == "full 40-24-16-10 BatchNorm clip 0.5 batch 32: checking losses"
    table = race.table(rows)
    assert "| full   | 40-24-16-10 | BatchNorm, clip 0.5 | 32 " in table
    assert [line.split("|")[-4].strip() for line in table.splitlines()[2:4]] == [
        "multiplied", "skipped",
    ]  # fmt: skip
    assert "100..100 GFLOP/s (meter, operands in cache)" in table


def test_ratios_are_of_paired_turns(folder: Path) -> None:
    # the first epoch is not counted; a turn in which all are slow drops out of the ratio
    own = Fake("fastnn", [9, 1, 10, 1])
    torch, jax = Fake("torch", [9, 4, 40, 4]), Fake("jax", [9, 3, 30, 2])
    crew = fakes(own, torch, jax, Fake("sklearn", lacking=("clip 0.5",)))
    job = job_on(folder, global_clipnorm=0.5)
    (row,) = race.run(crew, fakes(Fake("meter")), [job], 3, lambda text: None)
    assert row["reference"] == "jax"
    assert row["entrants"]["fastnn"]["versus_reference"] == {"median": 3, "min": 2, "max": 3}
    assert row["left_out"] == {"sklearn": ["clip 0.5"]}
    table = race.table([row])
    assert "3.00x jax (2.00..3.00)" in table
    assert "Left out where there is a dash: sklearn (has no clip 0.5)." in table
    seconds = job.flops * job.steps / 100e9
    assert row["entrants"]["fastnn"]["share_of_peak"] == pytest.approx(
        {"median": seconds, "min": seconds / 10, "max": seconds}
    )
    weights = 40 * 24 + 24 * 16 + 16 * 10
    least = seconds + job.steps * 1e-9 * weights
    assert row["entrants"]["fastnn"]["at_peak"]["median"] == pytest.approx(3 / least)
    assert row["adam_us"] == pytest.approx([1e-3 * weights] * 3)
    assert f"| {seconds:.0%}" in table and f"| {3 / least:.2f}x" in table


def test_products_with_zeros_can_be_left_out_of_the_arithmetic(folder: Path) -> None:
    job = job_on(folder, "sparse")
    x = np.load(job.x)[: job.rows]
    first, second, last = 40 * 24, 24 * 16, 16 * 10
    nonzero = np.count_nonzero(x) / x.size
    assert 0.05 < nonzero < 0.5
    wanted = 2 * job.batch * (2 * nonzero * first + 3 * (second + last))
    assert job.flops_without_zeros() == pytest.approx(wanted, abs=1)


def test_a_race_without_fastnn_has_no_figures_of_it(folder: Path) -> None:
    rows = race.run(
        fakes(Fake("torch", [9, 4])), fakes(Fake("meter")), [job_on(folder)], 1, lambda text: None
    )
    head, _, line = race.table(rows).splitlines()
    assert head.split("|")[1:-1] == [" data ", " net         ", " batch ", " torch, us "]
    assert line.count("|") == head.count("|")


def test_a_job_that_nobody_can_do(folder: Path) -> None:
    job = job_on(folder, dropout=0.5)
    with pytest.raises(EntrantError, match="no entrant can do it"):
        race.run(fakes(Fake(lacking=("Dropout 0.5",))), [], [job], 1, lambda text: None)


def test_costs_of_remedies(folder: Path) -> None:
    seconds = dict(zip(suites.COSTS, (1.0, 1.1, 1.05, 1.15, 1.3, 1.5), strict=True))
    crew = fakes(*(Fake("fastnn", [9, s, 2 * s, s]) for s in seconds.values()))
    crew += fakes(*(Fake("sklearn", lacking=("BatchNorm",)) for _ in seconds))
    said: list[str] = []
    (row,) = remedies.run(crew, [job_on(folder)], 3, said.append)
    assert row["entrant"] == "fastnn"
    for name, own in seconds.items():
        assert row["costs"][name]["cost"]["median"] == pytest.approx(own - 1)
    assert "sklearn has no BatchNorm" in said
    assert "+10% (+10%..+10%)" in remedies.table([row])


def test_the_fastest_reference_is_not_fastnn_itself() -> None:
    assert timing.fastest_reference({"fastnn": 1, "torch": 3, "jax": 2, "keras": 1}) == "jax"
    assert timing.fastest_reference({"fastnn": 1}) is None


def test_predictions(folder: Path, fastnn_entrant: Entrant) -> None:
    with Entrant("numpy", 1) as by_hand:
        crew = [fastnn_entrant, by_hand]
        (row,) = predict.run(crew, [job_on(folder)], (4,), 1, lambda text: None)
    assert set(row["entrants"]) == {"fastnn", "numpy"}
    assert predict.table([row]).count("\n") == 2


def test_rates_of_products(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peak, "_SECONDS", 0)
    monkeypatch.setattr(peak, "_RUN_SECONDS", 1e-9)
    monkeypatch.setattr(peak, "_SIDES", (64,))
    for rate in peak.RATES.values():
        assert rate(1) > 0


def test_what_is_timed_for_the_rate_is_a_product() -> None:
    rows, inputs, units = 8, 32, 48
    product = peak.Product(rows, inputs, units, threads=1)
    product.y[:] = np.nan
    product(3)
    x, kernel, y = (
        blocks.transpose(1, 0, 2).reshape(blocks.shape[1], -1)
        for blocks in (product.x, product.kernel, product.y)
    )
    np.testing.assert_allclose(y[:rows], x[:rows] @ kernel[:inputs], atol=1e-4)


def test_what_is_timed_for_adam_is_its_step() -> None:
    step = peak.AdamStep(3000, threads=2)
    w = step.w.copy()
    assert w.size >= 3000
    step(1)
    # The first step is the learning rate, in the direction of the gradient, which is w itself.
    moved = np.abs(w) > 1e-2
    np.testing.assert_allclose((w - step.w)[moved], 1e-3 * np.sign(w[moved]), rtol=1e-3)
    few, many = peak.adam_seconds(100, 1), peak.adam_seconds(10**6, 1)
    assert 0 < few < many


def test_interval_of_a_median() -> None:
    figures = [float(i) for i in range(25)]
    # of 25 fair coins, 7 or fewer show heads with a probability of 2.2 %, 8 or fewer of 5.4 %
    assert timing.Median.of(figures[::-1]) == timing.Median(12.0, 7.0, 17.0)
    assert timing.Median.of([3.0, 1.0, 2.0]) == timing.Median(2.0, 1.0, 3.0)
    assert timing.Median.of([4.0]) == timing.Median(4.0, 4.0, 4.0)


def test_costs_of_statistics(tmp_path: Path) -> None:
    rows = statistics.run(["mnist"], [(784, 8, 10)], [32], 200, tmp_path, 1, 2, lambda text: None)
    (row,) = rows
    assert row["net"] == "784-8-10" and row["batch"] == 32
    assert set(row["costs"]) == set(statistics.EVERY)
    table = statistics.table(rows)
    assert "every 50 (95 %)" in table and table.count("%..") == len(statistics.EVERY)


# The command


def test_command_writes_what_it_prints(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "race.json"
    options = ["--nets", "784-8-10", "--batches", "32", "--rows", "400", "--turns", "1"]
    options += ["--threads", "1", "--cases", "mnist", "--json", str(file)]
    assert main(["race", "--peers", "fastnn", *options]) == 0
    printed = capsys.readouterr().out
    written = json.loads(file.read_text())
    assert written["benchmark"] == "race" and written["turns"] == 1
    assert written["machine"]["cpu"] in printed
    (row,) = written["results"]
    assert [set(turn) for turn in row["product_gflops"]] == [set(peak.RATES)]
    assert row["entrants"]["fastnn"]["skips_zeros"] is True  # MNIST
    assert race.table(written["results"]) in printed


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        (["race", "--peers", "numpy"], "'numpy' is not one of fastnn, jax"),
        (["race", "--peers", "fastnn", "--nets", "10-10"], "'10-10' must go from 784"),
        (["race", "--peers", "fastnn", "--rows", "8"], "32 is more than the 8 rows"),
        (["race", "--suite", "other"], "invalid choice: 'other'"),
        (["remedies", "--batches", "0"], "0 is not positive"),
    ],
)
def test_mistakes_are_named(
    arguments: list[str], fault: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 2
    assert fault in capsys.readouterr().err


def test_suites_are_jobs(folder: Path) -> None:
    for suite in suites.SUITES.values():
        for fields in (*suite.remedies, *suites.COSTS.values()):
            assert set(dataclasses.replace(job_on(folder), **fields).remedies) == set(fields)
    assert set(peers.REFERENCES) < set(peers.TRAINERS)

"""The calibration of gradient health: its nets, labels, float64 gradients, shares and files."""

from __future__ import annotations

import dataclasses
import json
import math
from collections import Counter
from pathlib import Path
from typing import Any

import diagnosing
import numpy as np
import pytest

import fastnn as fnn
from bench.__main__ import main
from bench.health import (
    confusion,
    cures,
    diagnoses,
    grid,
    journal,
    kinds,
    labels,
    nets,
    norms,
    table_labels,
    table_nets,
    tables,
    thresholds,
)
from bench.health.cli import measure
from bench.health.confusion import Outcome
from bench.health.grid import Case
from bench.health.shares import Share
from bench.health.tables import TableCase
from fastnn.verdicts import Thresholds

SMALL = labels.Budget(rows=256, epochs=1, test_rows=100)
ORDINARY = Case(0, 1, depth=2, width=64, initializer="he_normal")
SLOW = dataclasses.replace(ORDINARY, index=2, learning_rate=1e-7)
BROKEN = dataclasses.replace(ORDINARY, index=3, optimizer="sgd", learning_rate=1e5)

# The nets


def test_the_grid_is_the_same_for_a_seed() -> None:
    first, second = grid.draw(1), grid.draw(2)
    assert grid.draw(1) == first
    assert [case.name for case in first[:2]] == ["1-000", "1-001"]
    same = sum(a == dataclasses.replace(b, seed=1) for a, b in zip(first, second, strict=True))
    assert same < 3
    assert Case(**json.loads(json.dumps(dataclasses.asdict(first[0])))) == first[0]


@pytest.mark.parametrize("count", [40, 200, 201])
def test_each_value_occurs_by_its_share(count: int) -> None:
    cases = grid.draw(5, count)
    assert len(cases) == count
    for factor, shares in grid.FACTORS.items():
        if factor == "width":
            continue
        found = Counter(getattr(case, factor) for case in cases)
        for value, share in shares.items():
            assert abs(found[value] - share * count / sum(shares.values())) < 1, (factor, value)
    deep = [case for case in cases if case.depth >= 30]
    assert deep and all(case.width <= 64 for case in deep)


def test_factors_are_shuffled_independently() -> None:
    cases = grid.draw(5, 2000)
    factors = ("depth", "rate", "width")
    found = np.corrcoef([[getattr(case, factor) for case in cases] for factor in factors])
    # Of width, only by the caps on it; of the rest, 5 deviations of chance
    assert abs(found[0, 1]) < 5 / math.sqrt(2000)
    assert abs(found[1, 2]) < 5 / math.sqrt(2000)


@pytest.mark.parametrize("case", grid.draw(3, 8), ids=lambda case: case.name)
def test_a_case_is_always_the_same_net(case: Case) -> None:
    case = dataclasses.replace(case, depth=min(case.depth, 3))
    x, y, _, _ = nets.mnist(256, 100)
    data = nets.inputs(case, x[:64]), nets.targets(case, y[:64])
    models = [nets.build(case) for _ in range(2)]
    for weights in zip(*(model.get_weights() for model in models), strict=True):
        np.testing.assert_array_equal(*weights)
    assert sum(isinstance(v, fnn.layers.Dense) for v in models[0].layers) <= case.depth + 1
    assert float(models[0].optimizer.learning_rate) == pytest.approx(case.learning_rate)
    assert fnn.gradient_norms(models[0], *data) == fnn.gradient_norms(models[1], *data)


def test_inputs_are_scaled() -> None:
    x, _, _, _ = nets.mnist(2_000, 100)
    scaled = {
        name: nets.inputs(dataclasses.replace(ORDINARY, inputs=name), x)
        for name in grid.FACTORS["inputs"]
    }
    assert scaled["raw"] is x and x.dtype == np.uint8
    assert scaled["unit"].max() == 1
    # of 2,000 images of the 60,000
    assert scaled["standard"].mean(dtype=np.float64) == pytest.approx(0, abs=0.02)
    assert scaled["standard"].std(dtype=np.float64) == pytest.approx(1, abs=0.02)
    assert scaled["x1000"].max() == 1000
    assert scaled["x0.001"].max() == pytest.approx(1e-3)


# float64

LOSSES = list(grid.FACTORS["loss"])


def batch(case: Case, rows: int) -> tuple[Any, Any]:
    x, y, _, _ = nets.mnist(256, 100)
    return nets.inputs(case, x[:rows]), nets.targets(case, y[:rows])


@pytest.mark.parametrize("activation", grid.FACTORS["activation"])
@pytest.mark.parametrize(
    ("normalization", "residual"),
    [("none", False), ("none", True), ("batch", True), ("layer", False)],
)
def test_gradient_norms_are_the_engines(
    activation: str, normalization: str, residual: bool
) -> None:
    case = dataclasses.replace(
        ORDINARY, depth=4, width=24, activation=activation, normalization=normalization,
        residual=residual,
    )  # fmt: skip
    model, data = nets.build(case), batch(case, 64)
    own = norms.gradient_norms(model, case.loss, *data)
    engines = fnn.gradient_norms(model, *data)
    assert list(own) == list(engines)
    for name, norm in own.items():
        # a bias before BatchNorm has none but rounding; the kernel beside it counts
        assert engines[name] == pytest.approx(norm, rel=1e-4), name


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("normalization", ["none", "batch", "layer"])
def test_gradients_are_finite_differences(loss: str, normalization: str) -> None:
    case = Case(
        0, 1, depth=3, width=6, activation="tanh", loss=loss, normalization=normalization,
        residual=True, initializer="lecun_normal",
    )  # fmt: skip
    model, (x, y) = nets.build(case), batch(case, 12)
    model.set_weights([w + (w.ndim == 1) * np.float32(0.1) for w in model.get_weights()])
    if loss == "no_softmax":  # where the outputs over their sum can be logarithms' arguments
        model.layers[-1].set_weights(
            [model.layers[-1].get_weights()[0], np.full(10, 9, np.float32)]
        )
    _, found = norms.loss_and_gradients(model, loss, x, y)
    for layer, own in found.items():
        variables = [w for w in model.trainable_weights if w.path.rpartition("/")[0] == layer]
        for variable, gradient in zip(variables, own, strict=True):
            values = variable.numpy().copy()
            largest = np.argsort(-np.abs(gradient), axis=None)[:3]
            for place in map(tuple, np.transpose(np.unravel_index(largest, values.shape))):
                losses, at = [], []
                for step in (1e-3, -1e-3):
                    moved = values.copy()
                    moved[place] += np.float32(step)
                    variable.assign(moved)
                    at.append(float(moved[place]))
                    losses.append(norms.loss_and_gradients(model, loss, x, y)[0])
                variable.assign(values)
                # h^2 / 6 of a third derivative of some tens at most
                slope = (losses[0] - losses[1]) / (at[0] - at[1])
                assert slope == pytest.approx(gradient[place], abs=1e-5, rel=1e-4), layer


def test_no_gradient_is_no_ratio() -> None:
    sizes = {"dense_1": 4, "output": 9}
    assert labels.gradient_ratio({"dense_1": 2.0, "output": 6.0}, sizes) == 0.5
    assert math.isnan(labels.gradient_ratio({"dense_1": 0.0, "output": 0.0}, sizes))
    assert labels.gradient_ratio({"dense_1": 1.0, "output": 0.0}, sizes) == math.inf
    assert [labels.of_norms(*own) for own in ((0.5, 1.0), (1e-9, 1.0), (0.5, 1e9))] == [
        "ordinary", "vanishing", "exploding",
    ]  # fmt: skip
    assert labels.of_norms(math.nan, 0.0) == "none"
    assert labels.of_norms(math.nan, math.nan) == "exploding"


# Labels


def test_labels_are_what_becomes_of_a_net() -> None:
    budget = labels.Budget(rows=10_000, epochs=2, test_rows=1_000)
    ordinary, slow, broken = (labels.label(case, budget) for case in (ORDINARY, SLOW, BROKEN))
    assert ordinary["trains"] and ordinary["accuracy"] == ordinary["curve"][-1] > 0.9
    assert len(ordinary["curve"]) == len(ordinary["losses"]) == 2
    assert ordinary["error"] is None and ordinary["gradients"] == "ordinary"
    assert not slow["trains"] and slow["accuracy"] < 0.5
    assert not broken["trains"] and broken["accuracy"] == 0
    assert "not finite" in broken["error"]


@pytest.mark.parametrize(
    ("accuracies", "middle"),
    [([0.89, 0.93, 0.91], 0.91), ([0.85, 0.2, 0.9], 0.85), ([0.94], 0.94), ([0.1], 0.1)],
)
def test_the_middle_of_three_orders_decides_near_the_border(
    accuracies: list[float], middle: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    seeds, weights = [], []

    def train(model: fnn.Sequential, case: Case, budget: labels.Budget) -> dict[str, Any]:
        seeds.append(fnn.utils.random_state()["seed"])
        weights.append(model.get_weights()[0])
        accuracy = accuracies[len(seeds) - 1]
        return {"accuracy": accuracy, "trains": accuracy >= labels.TRAINS}

    monkeypatch.setattr(labels, "train", train)
    record = labels.label(ORDINARY, SMALL)
    assert record["accuracies"] == accuracies and len(set(seeds)) == len(accuracies)
    assert record["accuracy"] == middle and record["trains"] == (middle >= labels.TRAINS)
    for other in weights[1:]:
        np.testing.assert_array_equal(other, weights[0])


def test_saturated_units_vanish_in_float64() -> None:
    deep = dataclasses.replace(ORDINARY, depth=12, activation="sigmoid")
    record = labels.label(deep, SMALL)
    assert record["gradients"] == "vanishing"
    assert list(record["norms"]) == [*(f"dense_{i}" for i in range(1, 13)), "output"]


def test_a_table_with_nothing_to_learn_labels_nobody() -> None:
    """Of labels that are nearly all 0, no net can be said to have learned or not."""
    found = {
        name: {"trains": True, "accuracy": 1.0, "accuracies": [1.0], "sound": sound}
        for name, sound in (("nothing", 0.02), ("something", 0.4))
    }
    judged = confusion.outcomes(found, dict.fromkeys(found, "learning_rate"))
    assert confusion.false_alarms(judged) == Share(1, 1)


# Files


def test_an_interrupted_run_goes_on(tmp_path: Path) -> None:
    path, settings = tmp_path / "labels.jsonl", dataclasses.asdict(SMALL)
    jobs = {case.name: (case, SMALL) for case in (ORDINARY, SLOW, BROKEN)}

    def interrupt(text: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        journal.run(path, settings, labels.label, jobs, 1, interrupt)
    before = journal.read(path, settings)
    assert 1 <= len(before) < len(jobs)
    with path.open("a") as file:
        file.write('{"name": "0-00')
    said: list[str] = []
    records = journal.run(path, settings, labels.label, jobs, 1, said.append)
    assert list(records) == list(jobs)
    assert len(said) == len(jobs) - len(before)
    assert {name: records[name] for name in before} == before
    assert journal.read(path, settings) == records
    assert not records["0-002"]["trains"]

    with pytest.raises(ValueError, match=r"labels.jsonl was made with .*'rows': 256.* not with"):
        journal.read(path, {**settings, "rows": 1})
    path.write_text("{}\n")
    with pytest.raises(ValueError, match="no file of results"):
        journal.read(path, settings)


def test_numbers_that_json_lacks_come_back(tmp_path: Path) -> None:
    record = {"name": "a", "values": [math.inf, -math.inf, 1.5], "words": "healthy"}
    line = journal._line(record)
    assert "Infinity" in json.loads(line)["values"]
    path = tmp_path / "a.jsonl"
    path.write_text(journal._line({"settings": {}}) + line)
    assert journal.read(path, {})["a"] == record


def test_other_thresholds_are_tried_on_what_was_seen() -> None:
    seen = [(100, 0.5, [0.9], False), (400, 0.6, [0.9], False), (1600, 0.8, [0.92], False)]
    keys = ("steps", "learned", "sound", "failed")
    record = {"verdict": "dead", "progress": [dict(zip(keys, row, strict=True)) for row in seen]}
    limits = Thresholds()

    def healthy(record: Any, limits: Thresholds) -> bool:
        return diagnoses.verdict(record, limits) == "healthy"

    assert healthy(record, dataclasses.replace(limits, learned=0.86))
    assert not healthy(record, dataclasses.replace(limits, learned=0.88))
    assert healthy(record, dataclasses.replace(limits, learned=0.88, learned_surely=0.66))
    assert not healthy(record, dataclasses.replace(limits, learned=0.86, hopeless=0.7))
    assert not healthy({**record, "progress": record["progress"][:1]}, limits)
    assert not healthy({**record, "progress": []}, limits)


# Shares


def test_score_intervals() -> None:
    # Newcombe (1998), "Two-sided confidence intervals for the single proportion", table I
    for count, of, low, high in ((81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605),
                                 (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)):  # fmt: skip
        assert Share(count, of).interval == pytest.approx((low, high), abs=5e-5)
    assert str(Share(49, 50)) == "98.0% (49 of 50, 95% interval 89.5..99.6)"
    assert Share(0, 0).to_dict()["share"] is None and str(Share(0, 0)) == "-"


NETS = [
    *[Outcome("vanishing", False, False, "vanishing")] * 6,
    *[Outcome("healthy", False, False, "ordinary")] * 1,
    *[Outcome("healthy", False, True, "ordinary")] * 1,
    *[Outcome("healthy", True, False, "ordinary")] * 9,
    *[Outcome("input_scale", True, True, "exploding")] * 1,
]


def test_confusion() -> None:
    assert confusion.detection(NETS) == Share(6, 8)
    assert confusion.false_alarms(NETS) == Share(1, 10)
    found = confusion.to_dict(NETS)
    assert found["borderline"] == 2
    assert found["detection_without_borderline"]["count"] == 6
    assert found["detection_without_borderline"]["of"] == 7
    assert found["false_alarms_without_borderline"]["count"] == 0
    assert found["verdicts"]["healthy"] == {"fail": 2, "train": 9}
    table = confusion.table(NETS)
    assert "75.0% (6 of 8" in table and "without the 2 borderline" in table
    assert "| vanishing   | 6            | 0     |" in table


def test_borderline_nets() -> None:
    def of(accuracy: float, *accuracies: float) -> bool:
        return labels.is_borderline({"accuracy": accuracy, "accuracies": accuracies})

    assert of(0.92, 0.92) and of(0.85) and not of(0.93) and not of(0.84)
    assert of(0.95, 0.95, 0.97, 0.7)  # in one order of three it does not train
    assert not of(0.95, 0.95, 0.97, 0.96) and not of(0.5, 0.5, 0.4, 0.84)


@dataclasses.dataclass(frozen=True)
class Limits:
    low: float = 9.0
    high: float = 9.0


def test_thresholds_are_the_middle_of_the_best() -> None:
    values = np.linspace(0, 1, 101)
    labelled = {
        str(v): {"trains": 0.3 < v < 0.7, "accuracy": 0.5, "gradients": "ordinary"} for v in values
    }
    records = {str(v): {"value": v} for v in values}

    def judge(record: dict[str, Any], limits: Limits) -> str:
        return "healthy" if limits.low < record["value"] < limits.high else "dead"

    ladder = [0.1, 0.295, 0.297, 0.299, 0.31, 0.5, 0.695, 0.71, 0.9]
    found, history = thresholds.search(
        labelled, records, judge, Limits(), {"low": ladder, "high": ladder}
    )
    assert found == Limits(0.297, 0.695)
    assert history[0]["chosen"] == 0.297 and len(history[0]["costs"]) == len(ladder)
    assert thresholds.cost(labelled, records, judge, Limits(0.3, 0.7))[0] <= 1
    none_found = thresholds.cost(labelled, records, judge, Limits(-1.0, 2.0))
    assert none_found == (1 / thresholds.MISSES, 1 / thresholds.MISSES)


def test_cures() -> None:
    def record(first: bool, **drawn: bool) -> dict[str, Any]:
        rest = [{"remedy": r, "trains": t, "drawn": True} for r, t in drawn.items()]
        remedies = [{"remedy": "best", "trains": first, "drawn": False}, *rest]
        return {"remedies": [{**each, "place": place} for place, each in enumerate(remedies)]}

    records = [record(True, a=False, b=True), record(False, a=True), {"remedies": []}]
    assert cures.by_first(records) == Share(1, 3)
    assert cures.by_chance(records) == Share(1.5, 3)
    assert cures.by_remedy(records) == {
        "best": (Share(1, 2), Share(0, 0)),
        "a": (Share(0, 0), Share(1, 2)),
        "b": (Share(0, 0), Share(1, 1)),
    }
    assert "one at random" in cures.table(records)
    assert cures.to_dict(records)["chance"]["share"] == 0.5


# The whole


def test_all_stages(tmp_path: Path) -> None:
    seeds = {0: [ORDINARY], 4: [dataclasses.replace(SLOW, seed=4)]}
    budget = labels.Budget(rows=9_000, epochs=2, test_rows=1_000)
    stages = ("labels", "diagnoses", "cures")
    said: list[str] = []
    arguments = tmp_path, seeds, budget, stages, 1, said.append, diagnosing.diagnose, (4,)
    result = measure(*arguments)
    assert result["labels"]["nets"] == 2 and result["labels"]["train"]["count"] == 1
    assert result["verdicts"]["false_alarms"]["count"] == 0
    assert result["verdicts"]["detection"]["count"] == 1
    assert result["verdicts_built_in"]["detection"]["count"] == 1
    assert result["cures"]["first"]["count"] == 1
    assert result["cures"]["chance"]["count"] == 0.5
    (cured,) = journal.read(tmp_path / "cures.jsonl", dataclasses.asdict(budget)).values()
    assert [len(own["curve"]) for own in cured["remedies"]] == [2, 2]  # no more than the budget
    said.clear()
    assert measure(*arguments) == result
    assert said == []


def test_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "health.json"
    options = ["--rows", "128", "--epochs", "1", "--test-rows", "100", "--processes", "1"]
    options += ["--count", "1", "--until", "labels", "--json", str(file), "--kinds", "images"]
    assert main(["health", "--out", str(tmp_path / "folder"), *options]) == 0
    assert "| factor " in capsys.readouterr().out
    written = json.loads(file.read_text())
    assert written["images"]["labels"]["nets"] == len(set(grid.SEEDS)) == len(grid.SEEDS)
    assert written["images"]["budget"]["rows"] == 128


def test_mistakes_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["health", "--out", str(tmp_path), "--count", "0"])
    assert "count: 0 is not positive" in capsys.readouterr().err


# Tables


@pytest.mark.parametrize("kind", list(tables.FACTORS))
def test_a_table_is_always_the_same(kind: str) -> None:
    cases = tables.draw(kind, 1, 40)
    assert tables.draw(kind, 1, 40) == cases != tables.draw(kind, 2, 40)
    assert len({case.name for case in cases}) == 40
    budget = tables.TableBudget(rows=300, epochs=1, test_rows=200)
    for case in cases[:12]:
        assert kinds.case_of({"case": json.loads(json.dumps(dataclasses.asdict(case)))}) == case
        data = table_nets.table(case, budget)
        table_nets.table.cache_clear()
        np.testing.assert_array_equal(data.y, table_nets.table(case, budget).y)
        assert data.x.shape == (300, case.features) and data.y.shape == (300, case.columns)
        assert data.xt.shape == (200, case.features) and data.best.shape == (200, case.columns)
        assert table_nets.build(case).output_shape == (None, case.columns)


def test_a_target_is_scaled_score_and_noise() -> None:
    budget = tables.TableBudget(rows=2_000, epochs=1, test_rows=4_000)
    case = TableCase("regression", 0, 0, noise=0.3, scale=1e4, offset=30.0, outputs="uneven")
    data = table_nets.table(case, budget)
    for column, scale in enumerate((1e4, 1e6, 1e2)):
        best, found = data.best[:, column], data.yt[:, column]
        assert best.std() == pytest.approx(scale, rel=0.05)
        assert best.mean() == pytest.approx(30 * scale, rel=0.01)
        assert (found - best).std() == pytest.approx(0.3 * scale, rel=0.05)


def test_scores_are_shares_of_the_variance() -> None:
    case = TableCase("regression", 0, 0)
    best = np.random.default_rng(0).standard_normal((500, 2)) * (1, 1e6)
    middle = np.broadcast_to(best.mean(axis=0), best.shape)
    assert table_labels.score(case, best, best, False) == 1.0
    assert table_labels.score(case, best, middle, False) == pytest.approx(0, abs=1e-12)
    half = np.stack([best[:, 0], middle[:, 1]], axis=1)
    assert table_labels.score(case, best, half, False) == pytest.approx(0.5)
    assert table_labels.score(case, best, best * np.nan, False) == 0.0
    chances = 1 / (1 + np.exp(-best[:, :1]))
    binary = dataclasses.replace(case, kind="classes", loss="logits")
    assert table_labels.score(binary, chances, best[:, :1], True) == pytest.approx(1.0)
    assert table_labels.score(binary, chances, chances, False) == 1.0


def test_a_table_net_trains_if_a_sound_one_does_no_better() -> None:
    budget = tables.TableBudget(rows=1_000, epochs=12, test_rows=1_000)
    sound = TableCase("regression", 0, 3, initializer="he_normal", target="linear")
    lost = dataclasses.replace(sound, scale=1e6, offset=30.0)
    one, other = (table_labels.label(case, budget) for case in (sound, lost))
    assert one["trains"] and one["accuracy"] > 0.9 and one["sound"] > 0.9
    assert not other["trains"] and other["accuracy"] == 0.0 and other["sound"] > 0.9


def test_all_stages_of_tables(tmp_path: Path) -> None:
    budget = tables.TableBudget(rows=600, epochs=4, test_rows=400)
    base = TableCase("regression", 0, 0, initializer="he_normal", target="linear", noise=0.0)
    slow = dataclasses.replace(base, index=1, learning_rate=1e-7)
    stages = ("labels", "diagnoses", "cures")
    result = measure(
        tmp_path, {0: [base, slow]}, budget, stages, 1, lambda text: None, diagnosing.diagnose, (0,)
    )
    assert result["labels"]["train"]["count"] == 1
    assert result["verdicts_built_in"]["detection"]["count"] == 1
    assert result["verdicts_built_in"]["false_alarms"]["count"] == 0
    assert result["cures"]["first"]["of"] == 1
    assert "float64" not in result["tables"]["Verdicts, with the thresholds built in"]

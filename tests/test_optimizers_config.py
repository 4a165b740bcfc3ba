"""Optimizers and schedules as settings: the numbers that the kernels are given at each step."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fastnn import optimizers
from fastnn.optimizers import schedules

REFERENCE = json.loads((Path(__file__).parent / "reference" / "schedules.json").read_text())

ITERATIONS = np.array([0, 1, 2, 9, 99, 1500, 100_000], np.int64)


def scalars(optimizer: optimizers.Optimizer) -> np.ndarray:
    table = optimizer.scalars(ITERATIONS, optimizer.learning_rates(ITERATIONS))
    assert table.dtype == np.float64 and table.flags.c_contiguous
    assert len(table) == len(ITERATIONS)
    return table


@pytest.mark.parametrize(
    ("optimizer", "kernel", "slots", "row"),
    [
        (optimizers.SGD(), "sgd", (), [0.01, 0]),
        (optimizers.SGD(0.5, weight_decay=0.1), "sgd", (), [0.5, 0.05]),
        (optimizers.SGD(nesterov=True), "sgd", (), [0.01, 0]),
        (optimizers.SGD(momentum=0.9), "momentum", ("momentum",), [0.01, 0, 0.9]),
        (optimizers.SGD(0.1, 0.9, True), "nesterov", ("momentum",), [0.1, 0, 0.9]),
        (optimizers.RMSprop(), "rmsprop", ("velocity",), [0.001, 0, 0.9, 1e-7, 0]),
        (
            optimizers.RMSprop(0.1, 0.8, 0.5, 1e-3, weight_decay=0.2),
            "rmsprop_momentum",
            ("velocity", "momentum"),
            [0.1, 0.02, 0.8, 1e-3, 0.5],
        ),
        (
            optimizers.RMSprop(centered=True),
            "rmsprop_centered",
            ("velocity", "momentum", "average_gradient"),
            [0.001, 0, 0.9, 1e-7, 0],
        ),
    ],
)
def test_scalars_that_do_not_change(
    optimizer: optimizers.Optimizer, kernel: str, slots: tuple[str, ...], row: list[float]
) -> None:
    assert (optimizer.kernel, optimizer.slots) == (kernel, slots)
    np.testing.assert_allclose(scalars(optimizer), [row] * len(ITERATIONS), rtol=1e-15)


@pytest.mark.parametrize(
    ("optimizer", "kernel", "decay"),
    [
        (optimizers.Adam(), "adam", 0.0),
        (optimizers.Adam(0.1, 0.5, 0.75, 1e-3, weight_decay=0.5), "adam", 0.05),
        (optimizers.Adam(amsgrad=True), "adam_amsgrad", 0.0),
        (optimizers.AdamW(), "adam", 0.001 * 0.004),
        (optimizers.AdamW(0.2, 0.1, amsgrad=True), "adam_amsgrad", 0.02),
        (optimizers.Adam(beta_1=0.0), "adam", 0.0),
    ],
)
def test_adam_scalars(optimizer: optimizers.Adam, kernel: str, decay: float) -> None:
    assert optimizer.kernel == kernel
    hat = ("velocity_hat",) if optimizer.amsgrad else ()
    assert optimizer.slots == ("momentum", "velocity", *hat)
    rate, b1, b2 = optimizer.learning_rate, optimizer.beta_1, optimizer.beta_2
    wanted = [
        [
            rate * math.sqrt(1 - math.pow(b2, t)) / (1 - math.pow(b1, t)),
            decay,
            1 - b1,
            1 - b2,
            optimizer.epsilon,
        ]
        for t in (int(i) + 1 for i in ITERATIONS)
    ]
    np.testing.assert_allclose(scalars(optimizer), wanted, rtol=1e-13)


def test_adam_defaults_are_those_of_keras() -> None:
    assert optimizers.Adam().get_config() == {
        "name": "adam",
        "learning_rate": 0.001,
        "weight_decay": None,
        "beta_1": 0.9,
        "beta_2": 0.999,
        "epsilon": 1e-7,
        "amsgrad": False,
    }
    assert optimizers.AdamW().weight_decay == 0.004


@pytest.mark.parametrize(
    "optimizer",
    [
        optimizers.Adam(schedules.CosineDecay(0.1, 777, warmup_target=0.3, warmup_steps=50)),
        optimizers.AdamW(schedules.CosineDecayRestarts(0.1, 13, m_mul=0.9)),
        optimizers.SGD(schedules.ExponentialDecay(0.1, 100, 0.93), 0.9),
        optimizers.RMSprop(schedules.OneCycle(0.1, 1000)),
        optimizers.SGD(schedules.PolynomialDecay(0.1, 100, power=0.7, cycle=True)),
    ],
)
def test_a_step_has_the_same_bits_whichever_steps_it_is_asked_with(
    optimizer: optimizers.Optimizer,
) -> None:
    steps = np.arange(1000, dtype=np.int64)
    whole = optimizer.scalars(steps, optimizer.learning_rates(steps))
    for start, stop in [(0, 1), (1, 4), (4, 11), (11, 500), (500, 999), (999, 1000)]:
        part = optimizer.scalars(steps[start:stop], optimizer.learning_rates(steps[start:stop]))
        assert part.tobytes() == whole[start:stop].tobytes()


def test_learning_rate_can_be_set_between_steps() -> None:
    optimizer = optimizers.Adam(weight_decay=0.1)
    optimizer.learning_rate = 0.01
    assert optimizer.learning_rate == 0.01
    np.testing.assert_allclose(scalars(optimizer)[:, 1], 0.001)
    optimizer.learning_rate = schedules.PiecewiseConstantDecay([5], [1.0, 0.5])
    optimizer.iterations = 6
    assert optimizer.learning_rate == 0.5
    with pytest.raises(TypeError, match="learning_rate of Adam follows a PiecewiseConstantDecay"):
        optimizer.learning_rate = 0.1
    assert optimizer.learning_rate == 0.5


def test_a_bad_learning_rate_changes_nothing() -> None:
    optimizer = optimizers.SGD(0.1)
    for bad, error in ((-1, ValueError), (math.nan, ValueError), ("x", TypeError)):
        with pytest.raises(error, match="SGD: learning_rate"):
            optimizer.learning_rate = bad  # type: ignore[assignment]
    assert optimizer.learning_rate == 0.1


class Halving(schedules.LearningRateSchedule):
    """A user's schedule."""

    def __call__(self, step: int) -> float:
        assert type(step) is int
        return 0.5**step


def test_a_schedule_of_ones_own() -> None:
    optimizer = optimizers.SGD(Halving())
    np.testing.assert_array_equal(optimizer.learning_rates(np.arange(4)), [1, 0.5, 0.25, 0.125])
    optimizer.iterations = 3
    assert optimizer.learning_rate == 0.125
    assert "Halving" in repr(optimizer)
    with pytest.raises(ValueError, match="schedule of type Halving can't be saved"):
        optimizer.get_config()


def test_a_schedule_that_goes_negative_is_named_with_the_step() -> None:
    class Falling(schedules.LearningRateSchedule):
        def __call__(self, step: int) -> float:
            return 2.0 - step

    with pytest.raises(ValueError, match=r"Falling gives -1\.0 at step 3"):
        optimizers.SGD(Falling()).learning_rates(np.arange(10))


@pytest.mark.parametrize("case", REFERENCE["cases"], ids=lambda c: f"{c['class_name']}")
def test_schedules_against_keras_and_pytorch(case: dict[str, Any]) -> None:
    schedule = getattr(schedules, case["class_name"])(**case["config"])
    steps = np.array(case["steps"])
    np.testing.assert_allclose(schedule.rates(steps), case["rates"], rtol=1e-11, atol=1e-15)
    assert [schedule(int(step)) for step in steps] == schedule.rates(steps).tolist()
    again = schedules.deserialize(schedules.serialize(schedule))
    assert repr(again) == repr(schedule)


@pytest.mark.parametrize("t_mul", [2.0, 3.0, 5.0, 10.0, 1.5])
def test_restarts_are_at_the_restart(t_mul: float) -> None:
    schedule = schedules.CosineDecayRestarts(0.1, 16, t_mul)
    restarts = np.cumsum([16 * t_mul**i for i in range(4)])
    np.testing.assert_allclose(schedule.rates(restarts.astype(np.int64)), 0.1)


def test_one_cycle_keeps_its_end() -> None:
    schedule = schedules.OneCycle(1.0, 10)
    assert schedule(9) == schedule(10) == schedule(1000) == pytest.approx(1 / 25 / 1e4)
    assert schedules.OneCycle(1.0, 10, pct_start=0.1)(0) == 1.0
    assert schedules.OneCycle(1.0, 10, pct_start=1.0)(9) == 1.0


@pytest.mark.parametrize("name", ["adam", "AdamW", "SGD", "RMSprop"])
def test_get_and_round_trip(name: str) -> None:
    optimizer = optimizers.get(name)
    assert type(optimizer).__name__.lower() == optimizer.name == name.lower()
    assert optimizers.get(optimizer) is optimizer
    optimizer.learning_rate = schedules.CosineDecay(0.1, 10)
    config = json.loads(json.dumps(optimizer.get_config()))
    again = optimizers.get({"class_name": type(optimizer).__name__, "config": config})
    assert again.get_config() == optimizer.get_config()
    assert again.learning_rate == 0.1


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: optimizers.SGD(-0.1), ValueError, "SGD: learning_rate .* >= 0, got -0.1"),
        (lambda: optimizers.SGD(lambda: 0.1), TypeError, "SGD: learning_rate"),
        (lambda: optimizers.SGD(True), TypeError, "SGD: learning_rate"),
        (lambda: optimizers.SGD(momentum=1.1), ValueError, "SGD: momentum .* <= 1, got 1.1"),
        (lambda: optimizers.SGD(nesterov=1), TypeError, "SGD: nesterov"),
        (lambda: optimizers.Adam(beta_1=1.0), ValueError, "Adam: beta_1 .* < 1, got 1.0"),
        (lambda: optimizers.Adam(beta_2=-0.1), ValueError, "Adam: beta_2"),
        (lambda: optimizers.Adam(epsilon=-1), ValueError, "Adam: epsilon"),
        (lambda: optimizers.Adam(weight_decay=-1), ValueError, "Adam: weight_decay"),
        (lambda: optimizers.AdamW(weight_decay=None), TypeError, "AdamW: weight_decay .* None"),
        (lambda: optimizers.RMSprop(rho=1), ValueError, "RMSprop: rho"),
        (lambda: optimizers.Adam(lr=0.1), TypeError, "lr"),
        (lambda: optimizers.get("adagrad2"), ValueError, "unknown optimizer 'adagrad2'"),
        (lambda: optimizers.get(0.1), TypeError, "optimizer .* 0.1"),
        (lambda: optimizers.get({"class_name": "os", "config": {}}), ValueError, "unknown"),
        (lambda: schedules.ExponentialDecay(0.1, 0, 0.9), ValueError, "decay_steps .* > 0, got 0"),
        (lambda: schedules.CosineDecayRestarts(0.1, 9, t_mul=0.5), ValueError, "t_mul"),
        (lambda: schedules.PiecewiseConstantDecay([1, 2], [1.0]), ValueError, "one more"),
        (lambda: schedules.PiecewiseConstantDecay([2, 1], [1, 1, 1]), ValueError, "must rise"),
        (lambda: schedules.OneCycle(0.1, 0), ValueError, "total_steps"),
        (lambda: schedules.OneCycle(0.1, 9, anneal_strategy="exp"), ValueError, "'exp'"),
        (lambda: schedules.OneCycle(0.1, 9, 0.6, three_phase=True), ValueError, "three_phase"),
        (lambda: schedules.LearningRateSchedule(), TypeError, "abstract"),
        (lambda: schedules.deserialize({"class_name": "eval", "config": {}}), ValueError, "eval"),
    ],
)
def test_refusals(make: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        make()

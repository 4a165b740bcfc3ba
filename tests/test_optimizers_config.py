"""Optimizers and schedules as settings: the numbers that the kernels are given at each step."""

from __future__ import annotations

import inspect
import itertools
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fastnn import optimizers
from fastnn.kernels.layout import unpack
from fastnn.models.optimizer_state import OptimizerState
from fastnn.optimizers import schedules
from fastnn.variables import Variable

REFERENCE = json.loads((Path(__file__).parent / "reference" / "schedules.json").read_text())

COMMON = {
    "clipnorm": None,
    "clipvalue": None,
    "global_clipnorm": None,
    "adaptive_clip": None,
    "use_ema": False,
    "ema_momentum": 0.99,
    "ema_overwrite_frequency": None,
    "nonfinite": "raise",
}
"""Defaults of what every optimizer takes."""

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
        (optimizers.Adagrad(), "adagrad", ("accumulator",), [0.001, 0, 1e-7]),
        (
            optimizers.Adagrad(0.5, 0.2, 1e-3, 0.1),
            "adagrad",
            ("accumulator",),
            [0.5, 0.05, 1e-3],
        ),
        (optimizers.Lion(), "lion", ("momentum",), [0.001, 0, 0.9, 0.99]),
        (optimizers.Lion(0.5, 0.8, 0.7, 0.1), "lion", ("momentum",), [0.5, 0.05, 0.8, 0.7]),
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
        **COMMON,
    }
    assert optimizers.AdamW().weight_decay == 0.004


@pytest.mark.parametrize(
    ("optimizer", "config"),
    [
        (
            optimizers.Adagrad(),
            {
                "name": "adagrad",
                "learning_rate": 0.001,
                "weight_decay": None,
                "initial_accumulator_value": 0.1,
                "epsilon": 1e-7,
            },
        ),
        (
            optimizers.Nadam(),
            {
                "name": "nadam",
                "learning_rate": 0.001,
                "weight_decay": None,
                "beta_1": 0.9,
                "beta_2": 0.999,
                "epsilon": 1e-7,
            },
        ),
        (
            optimizers.Lion(),
            {
                "name": "lion",
                "learning_rate": 0.001,
                "weight_decay": None,
                "beta_1": 0.9,
                "beta_2": 0.99,
            },
        ),
        (
            optimizers.Muon(),
            {
                "name": "muon",
                "learning_rate": 0.001,
                "adam_beta_1": 0.9,
                "adam_beta_2": 0.999,
                "adam_weight_decay": 0.004,
                "epsilon": 1e-7,
                "weight_decay": 0.004,
                "exclude_layers": [],
                "exclude_embeddings": True,
                "muon_a": 3.4445,
                "muon_b": -4.7750,
                "muon_c": 2.0315,
                "adam_lr_ratio": 1,
                "momentum": 0.95,
                "ns_steps": 5,
                "nesterov": True,
                "rms_rate": 0.2,
            },
        ),
    ],
)
def test_defaults_are_those_of_keras(
    optimizer: optimizers.Optimizer, config: dict[str, Any]
) -> None:
    assert optimizer.get_config() == config | COMMON


@pytest.mark.parametrize(
    ("cls", "own"),
    [
        (optimizers.SGD, ["learning_rate", "momentum", "nesterov", "weight_decay"]),
        (
            optimizers.Adam,
            ["learning_rate", "beta_1", "beta_2", "epsilon", "amsgrad", "weight_decay"],
        ),
        (
            optimizers.AdamW,
            ["learning_rate", "weight_decay", "beta_1", "beta_2", "epsilon", "amsgrad"],
        ),
        (
            optimizers.RMSprop,
            ["learning_rate", "rho", "momentum", "epsilon", "centered", "weight_decay"],
        ),
        (
            optimizers.Adagrad,
            ["learning_rate", "initial_accumulator_value", "epsilon", "weight_decay"],
        ),
        (optimizers.Nadam, ["learning_rate", "beta_1", "beta_2", "epsilon", "weight_decay"]),
        (optimizers.Lion, ["learning_rate", "beta_1", "beta_2", "weight_decay"]),
        (
            optimizers.Muon,
            [
                "learning_rate",
                "adam_beta_1",
                "adam_beta_2",
                "adam_weight_decay",
                "epsilon",
                "weight_decay",
            ],
        ),
    ],
)
def test_positional_arguments_stand_as_in_keras(
    cls: type[optimizers.Optimizer], own: list[str]
) -> None:
    shared = [
        "clipnorm", "clipvalue", "global_clipnorm", "use_ema", "ema_momentum",
        "ema_overwrite_frequency",
    ]  # fmt: skip
    parameters = inspect.signature(cls).parameters.values()
    assert [p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD] == own + shared
    assert {"name", "adaptive_clip", "nonfinite"} <= {
        p.name for p in parameters if p.kind is p.KEYWORD_ONLY
    }


def test_signatures_show_all_that_a_constructor_takes() -> None:
    shared = inspect.signature(optimizers.Optimizer.__init__).parameters
    for cls in set(optimizers.CLASSES.values()):
        parameters = inspect.signature(cls).parameters
        defaults = {name: p.default for name, p in parameters.items()}
        assert set(cls().get_config()) == set(defaults)
        assert {name: defaults[name] for name in COMMON} == COMMON
        assert all(parameters[name].annotation == shared[name].annotation for name in COMMON)
        assert cls(**defaults).get_config() == cls().get_config()


def test_an_optimizer_of_ones_own_takes_what_it_says() -> None:
    class Own(optimizers.SGD):
        def __init__(self, factor: float = 2.0) -> None:
            super().__init__(0.1 * factor)

    assert [*inspect.signature(Own).parameters] == ["factor"]
    assert Own().learning_rate == 0.2


def nadam_by_running_product(optimizer: optimizers.Nadam, last: int) -> dict[int, list[float]]:
    """Rows by step, with the product carried along as Keras does, in Python's floats."""
    b1, b2, rate = optimizer.beta_1, optimizer.beta_2, optimizer.learning_rate
    table, product = {}, 1.0
    for t in range(1, last + 1):
        u, u_next = (b1 * (1 - 0.5 * math.pow(0.96, s)) for s in (t, t + 1))
        product *= u
        root = math.sqrt(1 - math.pow(b2, t))
        table[t - 1] = [
            rate * root * u_next / (1 - product * u_next),
            rate * (optimizer.weight_decay or 0),
            1 - b1,
            1 - b2,
            optimizer.epsilon * root,
            rate * root * (1 - u) / (1 - product),
        ]
    return table


@pytest.mark.parametrize(
    "optimizer",
    [
        optimizers.Nadam(),
        optimizers.Nadam(0.1, 0.9999, 0.75, 1e-3, weight_decay=0.5),
        optimizers.Nadam(beta_1=0.0),
    ],
)
def test_nadam_scalars(optimizer: optimizers.Nadam) -> None:
    assert optimizer.kernel == "nadam" and optimizer.slots == ("momentum", "velocity")
    table = nadam_by_running_product(optimizer, int(ITERATIONS[-1]) + 1)
    wanted = [table[int(i)] for i in ITERATIONS]
    # the running product rounds at each of up to 100,000 steps
    np.testing.assert_allclose(scalars(optimizer), wanted, rtol=1e-10)


def test_muon_scalars() -> None:
    muon = optimizers.Muon(0.1, 0.8, 0.95, 0.3, 1e-5, 0.2, adam_lr_ratio=0.5, momentum=0.9)
    adam = optimizers.Adam(0.05, 0.8, 0.95, 1e-5)
    table = scalars(muon)
    np.testing.assert_allclose(table[:, [0, 2, 3, 4]], scalars(adam)[:, [0, 2, 3, 4]], rtol=1e-15)
    np.testing.assert_allclose(table[:, 1], 0.03, rtol=1e-15)
    np.testing.assert_allclose(table[:, 5:], [[0.1, 0.02, 0.9]] * len(table), rtol=1e-15)
    undecayed = optimizers.Muon(adam_weight_decay=None, weight_decay=None)
    assert not scalars(undecayed)[:, [1, 6]].any()


@pytest.mark.parametrize(
    ("path", "shape", "kernel"),
    [
        ("dense/kernel", (3, 4), "muon"),
        ("dense/bias", (4,), "adam"),
        ("embedding_table/kernel", (3, 4), "adam"),
        ("Embedding/kernel", (3, 4), "adam"),
        ("head_2/kernel", (3, 4), "adam"),
        ("ahead_2/kernel", (3, 4), "muon"),
    ],
)
def test_muon_chooses_by_weight(path: str, shape: tuple[int, ...], kernel: str) -> None:
    variable = Variable(shape, np.zeros, "w", path=path)
    muon = optimizers.Muon(exclude_layers=["output", r"^head_\d"])
    assert muon.kernel_for(variable) == kernel
    assert muon.slots_for(variable) == (
        ("momentum",) if kernel == "muon" else ("momentum", "velocity")
    )
    if "mbedding" in path:
        assert optimizers.Muon(exclude_embeddings=False).kernel_for(variable) == "muon"


def test_most_optimizers_treat_all_weights_alike() -> None:
    bias, kernel = Variable((3,), np.zeros, "bias"), Variable((3, 4), np.zeros, "kernel")
    for optimizer in (optimizers.Adam(amsgrad=True), optimizers.SGD(), optimizers.Lion()):
        for variable in (bias, kernel):
            assert optimizer.kernel_for(variable) == optimizer.kernel
            assert optimizer.slots_for(variable) == optimizer.slots


@pytest.mark.parametrize("initial", [0.1, 0.0, 2.5])
def test_adagrad_begins_with_its_first_value(initial: float) -> None:
    optimizer = optimizers.Adagrad(initial_accumulator_value=initial)
    assert optimizer.initial_values == {"accumulator": initial}
    variable = Variable((3, 5), np.zeros, "kernel", path="dense/kernel")
    (slot,) = OptimizerState(optimizer).updates([variable]).slots[variable]
    np.testing.assert_array_equal(unpack(slot, (3, 5)), np.float32(initial))
    assert optimizers.Adam().initial_values == {}


def test_shared_arguments_are_kept() -> None:
    shared = {
        "weight_decay": 0.5, "use_ema": True, "ema_momentum": 0.9, "ema_overwrite_frequency": 7,
        "nonfinite": "skip",
    }  # fmt: skip
    for cls in set(optimizers.CLASSES.values()):
        for clip in ("clipnorm", "clipvalue", "global_clipnorm", "adaptive_clip"):
            arguments = shared | {clip: 0.25}
            optimizer = cls(**arguments)
            again = cls.from_config(json.loads(json.dumps(optimizer.get_config())))
            for made in (optimizer, again):
                assert {name: getattr(made, name) for name in arguments} == arguments


@pytest.mark.parametrize(
    "optimizer",
    [
        optimizers.Adam(schedules.CosineDecay(0.1, 777, warmup_target=0.3, warmup_steps=50)),
        optimizers.AdamW(schedules.CosineDecayRestarts(0.1, 13, m_mul=0.9)),
        optimizers.SGD(schedules.ExponentialDecay(0.1, 100, 0.93), 0.9),
        optimizers.RMSprop(schedules.OneCycle(0.1, 1000)),
        optimizers.Nadam(schedules.InverseTimeDecay(0.1, 100, 0.5)),
        optimizers.Muon(schedules.PiecewiseConstantDecay([10, 700], [0.1, 0.02, 0.01])),
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


def test_every_schedule_has_reference_cases() -> None:
    """All of Keras's, and OneCycle."""
    keras = {
        "CosineDecay", "CosineDecayRestarts", "ExponentialDecay", "InverseTimeDecay",
        "PiecewiseConstantDecay", "PolynomialDecay",
    }  # fmt: skip
    assert {case["class_name"] for case in REFERENCE["cases"]} == keras | {"OneCycle"}


@pytest.mark.parametrize(
    "name", ["adam", "AdamW", "SGD", "RMSprop", "adagrad", "Nadam", "Lion", "muon"]
)
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
        (lambda: optimizers.Adam(lr=0.1), TypeError, "Adam takes no argument 'lr'"),
        (
            lambda: optimizers.Adagrad(initial_accumulator_value=-1),
            ValueError,
            "Adagrad: initial_accumulator_value",
        ),
        (lambda: optimizers.Nadam(beta_1=1), ValueError, "Nadam: beta_1"),
        (lambda: optimizers.Lion(beta_1=0), ValueError, "Lion: beta_1 .* > 0 and <= 1, got 0"),
        (lambda: optimizers.Lion(beta_2=1.5), ValueError, "Lion: beta_2"),
        (lambda: optimizers.Muon(ns_steps=2.5), TypeError, "Muon: ns_steps"),
        (lambda: optimizers.Muon(ns_steps=-1), ValueError, "Muon: ns_steps"),
        (lambda: optimizers.Muon(rms_rate=0), ValueError, "Muon: rms_rate .* > 0"),
        (lambda: optimizers.Muon(muon_a=math.nan), ValueError, "Muon: muon_a"),
        (lambda: optimizers.Muon(exclude_layers="out"), TypeError, "exclude_layers .* 'out'"),
        (lambda: optimizers.Muon(exclude_layers=[3]), TypeError, r"exclude_layers .* \[3\]"),
        (lambda: optimizers.Muon(exclude_layers=["("]), ValueError, r"exclude_layers .* '\('"),
        (lambda: optimizers.SGD(clipnorm=0), ValueError, "SGD: clipnorm .* > 0, got 0"),
        (lambda: optimizers.SGD(clipvalue=-1), ValueError, "SGD: clipvalue .* > 0, got -1"),
        (lambda: optimizers.SGD(global_clipnorm="1"), TypeError, "SGD: global_clipnorm .* '1'"),
        (lambda: optimizers.SGD(adaptive_clip=math.inf), ValueError, "SGD: adaptive_clip"),
        (lambda: optimizers.SGD(use_ema=1), TypeError, "SGD: use_ema"),
        (lambda: optimizers.SGD(ema_momentum=1.1), ValueError, "SGD: ema_momentum .* <= 1"),
        (
            lambda: optimizers.SGD(ema_overwrite_frequency=0),
            ValueError,
            "SGD: ema_overwrite_frequency .* >= 1, got 0",
        ),
        (
            lambda: optimizers.SGD(ema_overwrite_frequency=2.0),
            TypeError,
            "SGD: ema_overwrite_frequency",
        ),
        (lambda: optimizers.SGD(nonfinite="stop"), ValueError, "raise, skip, propagate.*'stop'"),
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


@pytest.mark.parametrize(
    ("one", "other"),
    [*itertools.combinations(["clipnorm", "clipvalue", "global_clipnorm", "adaptive_clip"], 2)],
)
def test_only_one_way_to_clip(one: str, other: str) -> None:
    with pytest.raises(ValueError, match=f"at most one of .*{one}=0.5, {other}=2"):
        optimizers.Adam(**{one: 0.5, other: 2})

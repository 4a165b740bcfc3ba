"""Initializers: formulas, distributions, seeds, configurations."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastnn import initializers as init
from fastnn import utils

SHAPE = (300, 200)
ALL = [
    init.Constant,
    init.GlorotNormal,
    init.GlorotUniform,
    init.HeNormal,
    init.HeUniform,
    init.LecunNormal,
    init.LecunUniform,
    init.LSUV,
    init.Ones,
    init.Orthogonal,
    init.RandomNormal,
    init.RandomUniform,
    init.TruncatedNormal,
    init.VarianceScaling,
    init.Zeros,
]
RANDOM = [cls for cls in ALL if issubclass(cls, init.RandomInitializer)]


def assert_moments(values: np.ndarray, mean: float, stddev: float) -> None:
    """Mean and standard deviation within five standard errors (kurtosis at most 3)."""
    n = values.size
    assert abs(values.mean(dtype=np.float64) - mean) < 5 * stddev / math.sqrt(n)
    assert abs(values.std(dtype=np.float64) - stddev) < 5 * stddev / math.sqrt(2 * n)


def normal_cdf(x: float) -> float:
    return 0.5 * (1 + math.erf(x / math.sqrt(2)))


@pytest.mark.parametrize("cls", ALL)
@pytest.mark.parametrize("shape", [(7, 3), (3, 7), (1, 1)])
def test_float32_c_order(cls: type[init.Initializer], shape: tuple[int, int]) -> None:
    values = cls()(shape)
    assert values.shape == shape
    assert values.dtype == np.float32
    assert values.flags.c_contiguous


def test_constants() -> None:
    assert not init.Zeros()(SHAPE).any()
    assert (init.Ones()(SHAPE) == 1).all()
    assert (init.Constant(-2.5)(SHAPE) == -2.5).all()
    assert not init.Constant()(SHAPE).any()


def test_random_normal() -> None:
    values = init.RandomNormal(0.5, 2.0, seed=1)(SHAPE)
    assert_moments(values, 0.5, 2.0)
    for quantile in (-1.5, -0.5, 0.0, 1.0, 2.5):
        share = np.mean((values - 0.5) / 2 < quantile)
        assert share == pytest.approx(normal_cdf(quantile), abs=0.01)


def test_random_uniform() -> None:
    values = init.RandomUniform(-1.0, 3.0, seed=1)(SHAPE)
    assert values.min() >= -1
    assert values.max() <= 3
    assert_moments(values, 1.0, 4 / math.sqrt(12))
    counts, _ = np.histogram(values, 8, (-1, 3))
    assert np.abs(counts / values.size - 1 / 8).max() < 0.01


def test_truncated_normal() -> None:
    values = init.TruncatedNormal(0.5, 2.0, seed=1)(SHAPE)
    assert np.abs(values - 0.5).max() <= 4.0 + 1e-6
    assert np.abs(values - 0.5).max() > 3.9
    assert_moments(values, 0.5, 2.0 * init.TRUNCATED_STDDEV)
    inside = normal_cdf(2) - normal_cdf(-2)
    share = np.mean((values - 0.5) / 2 < 1)
    assert share == pytest.approx((normal_cdf(1) - normal_cdf(-2)) / inside, abs=0.01)


def test_truncated_stddev_is_that_of_the_density() -> None:
    x = np.linspace(-2, 2, 2_000_001)
    density = np.exp(-x * x / 2)
    variance = (density * x * x).sum() / density.sum()
    assert math.sqrt(variance) == pytest.approx(init.TRUNCATED_STDDEV, rel=1e-5)


@pytest.mark.parametrize("mode", ["fan_in", "fan_out", "fan_avg"])
@pytest.mark.parametrize(
    "distribution", ["truncated_normal", "untruncated_normal", "uniform", "normal"]
)
def test_variance_scaling(mode: str, distribution: str) -> None:
    values = init.VarianceScaling(3.0, mode, distribution, seed=2)(SHAPE)
    fan = {"fan_in": 300, "fan_out": 200, "fan_avg": 250}[mode]
    stddev = math.sqrt(3.0 / fan)
    assert_moments(values, 0.0, stddev)
    largest = np.abs(values).max()
    if distribution == "uniform":
        assert 0.99 * math.sqrt(3) * stddev < largest <= math.sqrt(3) * stddev * (1 + 1e-6)
    elif distribution == "untruncated_normal":
        assert largest > 3 * stddev
    else:
        bound = 2 * stddev / init.TRUNCATED_STDDEV
        assert 0.99 * bound < largest <= bound * (1 + 1e-6)


@pytest.mark.parametrize(
    ("cls", "scale", "mode", "distribution"),
    [
        (init.GlorotUniform, 1.0, "fan_avg", "uniform"),
        (init.GlorotNormal, 1.0, "fan_avg", "truncated_normal"),
        (init.HeUniform, 2.0, "fan_in", "uniform"),
        (init.HeNormal, 2.0, "fan_in", "truncated_normal"),
        (init.LecunUniform, 1.0, "fan_in", "uniform"),
        (init.LecunNormal, 1.0, "fan_in", "truncated_normal"),
    ],
)
def test_named_scalings(
    cls: type[init.VarianceScaling], scale: float, mode: str, distribution: str
) -> None:
    general = init.VarianceScaling(scale, mode, distribution, seed=3)
    np.testing.assert_array_equal(cls(seed=3)(SHAPE), general(SHAPE))


def test_glorot_uniform_limit() -> None:
    limit = math.sqrt(6 / (784 + 512))
    values = init.GlorotUniform(seed=0)((784, 512))
    assert 0.999 * limit < np.abs(values).max() <= limit * (1 + 1e-6)


def test_a_vector_has_its_length_as_both_fans() -> None:
    values = init.VarianceScaling(1.0, "fan_avg", "uniform", seed=0)((3000,))
    assert 0.99 * math.sqrt(3 / 3000) < np.abs(values).max() <= math.sqrt(3 / 3000)


@settings(deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), st.floats(0.1, 3), st.integers(0, 2**31))
def test_orthogonal(rows: int, columns: int, gain: float, seed: int) -> None:
    q = init.Orthogonal(gain, seed)((rows, columns)).astype(np.float64)
    gram = q.T @ q if rows >= columns else q @ q.T
    np.testing.assert_allclose(gram, gain**2 * np.eye(min(rows, columns)), atol=1e-5 * gain**2)


def test_orthogonal_is_uniform_over_signs() -> None:
    corners = [init.Orthogonal(seed=seed)((2, 2))[0, 0] for seed in range(200)]
    assert 60 < sum(corner > 0 for corner in corners) < 140


def test_orthogonal_needs_a_matrix() -> None:
    with pytest.raises(ValueError, match=r"Orthogonal.*\(5,\)"):
        init.Orthogonal()((5,))


# --- seeds --------------------------------------------------------------------------------------


@pytest.mark.parametrize("cls", RANDOM)
def test_one_instance_gives_the_same_values_again(cls: type[init.RandomInitializer]) -> None:
    seeded, unseeded = cls(seed=5), cls()
    np.testing.assert_array_equal(seeded((9, 8)), seeded((9, 8)))
    np.testing.assert_array_equal(seeded((9, 8)), cls(seed=5)((9, 8)))
    np.testing.assert_array_equal(unseeded((9, 8)), unseeded((9, 8)))
    assert (seeded((9, 8)) != cls(seed=6)((9, 8))).any()
    assert (unseeded((9, 8)) != cls()((9, 8))).any()


def test_global_seed_fixes_unseeded_initializers() -> None:
    def draw() -> list[np.ndarray]:
        return [init.GlorotUniform()((4, 5)), init.HeNormal()((4, 5))]

    utils.set_random_seed(7)
    first = draw()
    np.testing.assert_array_equal(draw()[0] == first[0], False)
    utils.set_random_seed(7)
    np.testing.assert_array_equal(draw(), first)
    utils.set_random_seed(8)
    assert (draw()[0] != first[0]).any()


def test_streams_are_apart() -> None:
    utils.set_random_seed(1)
    first = utils.generator("shuffle").random(4)
    second = utils.generator("shuffle").random(4)
    utils.set_random_seed(1)
    utils.generator("noise").random(1000)
    np.testing.assert_array_equal(utils.generator("shuffle").random(4), first)
    np.testing.assert_array_equal(utils.generator("shuffle").random(4), second)
    drawn = np.stack([first, second, utils.generator(1).random(4), utils.generator("1").random(4)])
    assert len(np.unique(drawn)) == drawn.size


def test_set_random_seed_seeds_numpy_and_python_too() -> None:
    import random

    def draw() -> tuple[float, float]:
        return random.random(), np.random.random()  # noqa: NPY002

    utils.set_random_seed(3)
    first = draw()
    utils.set_random_seed(3)
    assert draw() == first


@pytest.mark.parametrize(
    ("seed", "error"), [(-1, ValueError), (2**32, ValueError), (1.5, TypeError), (None, TypeError)]
)
def test_bad_seeds_are_refused(seed: object, error: type[Exception]) -> None:
    with pytest.raises(error, match="seed"):
        utils.set_random_seed(seed)  # type: ignore[arg-type]


# --- names and configurations -------------------------------------------------------------------


@pytest.mark.parametrize("cls", ALL)
def test_configuration_makes_an_equal_initializer(cls: type[init.Initializer]) -> None:
    arguments = {"seed": 11} if cls in RANDOM else {}
    first = cls(**arguments)
    again = init.get(init.serialize(first))
    assert type(again) is cls
    np.testing.assert_array_equal(first((6, 5)), again((6, 5)))
    assert again.get_config() == first.get_config()  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("name", "cls"),
    [
        ("glorot_uniform", init.GlorotUniform),
        ("GlorotUniform", init.GlorotUniform),
        ("he_normal", init.HeNormal),
        ("lecun_uniform", init.LecunUniform),
        ("truncated_normal", init.TruncatedNormal),
        ("random_normal", init.RandomNormal),
        ("variance_scaling", init.VarianceScaling),
        ("orthogonal", init.Orthogonal),
        ("normal", init.RandomNormal),
        ("uniform", init.RandomUniform),
        ("zeros", init.Zeros),
        ("zero", init.Zeros),
        ("ones", init.Ones),
        ("one", init.Ones),
        ("constant", init.Constant),
    ],
)
def test_names(name: str, cls: type[init.Initializer]) -> None:
    assert type(init.get(name)) is cls


def test_get_takes_objects_classes_and_callables() -> None:
    instance = init.HeNormal(seed=1)
    assert init.get(instance) is instance
    assert type(init.get(init.HeNormal)) is init.HeNormal
    assert init.get(np.ones) is np.ones


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: init.get("glorot"), ValueError, "'glorot'.*glorot_uniform"),
        (lambda: init.get(3), TypeError, "3"),
        (lambda: init.get({"class_name": "os.system", "config": {}}), ValueError, "os.system"),
        (
            lambda: init.get({"class_name": "HeNormal", "config": {"sed": 1}}),
            ValueError,
            "HeNormal.*sed",
        ),
        (lambda: init.serialize(np.ones), ValueError, "own initializers"),
        (lambda: init.RandomNormal(stddev=-1), ValueError, "stddev.*-1"),
        (lambda: init.RandomNormal(mean=math.nan), ValueError, "mean.*nan"),
        (lambda: init.RandomUniform(1, 0), ValueError, "maxval.*0"),
        (lambda: init.VarianceScaling(0), ValueError, "scale.*0"),
        (lambda: init.VarianceScaling(mode="fan"), ValueError, "mode.*fan_in.*'fan'"),
        (lambda: init.VarianceScaling(distribution="cauchy"), ValueError, "distribution.*cauchy"),
        (lambda: init.HeNormal(seed=-1), ValueError, "seed.*-1"),
        (lambda: init.HeNormal(seed="1"), TypeError, "seed"),
        (lambda: init.Constant("1"), TypeError, "value"),
    ],
)
def test_bad_arguments_are_refused(make: object, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        make()  # type: ignore[operator]


# --- to_categorical -----------------------------------------------------------------------------


def test_to_categorical() -> None:
    result = utils.to_categorical([0, 2, 1])
    assert result.dtype == np.float64
    np.testing.assert_array_equal(result, [[1, 0, 0], [0, 0, 1], [0, 1, 0]])
    assert utils.to_categorical([0, 1], num_classes=4).shape == (2, 4)
    assert utils.to_categorical(np.zeros((5, 1), np.uint8), 3).shape == (5, 3)
    assert utils.to_categorical(np.zeros((5, 2), np.int8), 3).shape == (5, 2, 3)
    assert utils.to_categorical(np.array([1]), 2).shape == (1, 2)
    assert utils.to_categorical(np.array(1), 3).tolist() == [0, 1, 0]


@pytest.mark.parametrize(
    ("labels", "num_classes", "message"),
    [
        ([-1, 0], None, "-1"),
        ([0, 3], 3, r"0 \.\. 2.*3"),
        ([0.5], None, "fractions"),
        ([math.nan], None, "non-finite"),
        ([], None, "empty"),
        ([0], 0, "num_classes"),
    ],
)
def test_to_categorical_refuses(labels: list, num_classes: int | None, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        utils.to_categorical(labels, num_classes)

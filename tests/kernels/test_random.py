"""Counted random numbers: known answers, masks to the bit, normal numbers, and their statistics.

Statistical tests are of fixed numbers: they pass or fail once and for all. Each would reject a good
generator with the probability ``ALPHA`` that stands below.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from philox import kept, normals, philox, words

from fastnn.engine.sources import sparse_rows
from fastnn.kernels.codes import ACTIVATIONS, ROW_STATISTICS, STATISTICS
from fastnn.kernels.layout import BLOCK, aligned_zeros, n_blocks
from fastnn.lowering.nodes.noise import POINTS, quadrature
from fastnn.lowering.program import Buffers
from fastnn.lowering.randomness import Mask, Stream
from kernels.harness import (
    FEATURES,
    ROWS,
    Array,
    Batch,
    U,
    assert_same_bits,
    assert_within,
    by_any_team,
    float32,
    kernel_block,
    make_op,
    read_weight,
    weight,
)

ALPHA = 1e-6
Z_LIMIT = 4.9
"""|z| of a normal number exceeds it with probability ALPHA."""

SIZES = [(rows, 17) for rows in ROWS] + [(19, features) for features in FEATURES]
STEPS = [0, 1, 2**32 - 1, 2**32, 3 * 2**40 + 12345]
SEED = 0x9ABCDEF012345678 >> 1


def dropout(x: Array, rate: float, step: int = 0, threads: int = 1, seed: int = SEED,
            stream: int = 5, into: Array | None = None) -> Array:  # fmt: skip
    batch = Batch(len(x))
    y = batch.unwritten(x.shape[1]) if into is None else batch.blocks(into)
    mask = Mask(Stream(seed, stream), rate)
    op = make_op("dropout", x=batch.blocks(x), y=y, features=x.shape[1],
                 accumulate=into is not None, scale=mask.scale, **mask.settings())  # fmt: skip
    batch.run(op, threads=threads, number=step)
    return batch.read(y, x.shape[1])


def normal_noise(rows: int, columns: int, step: int = 0, threads: int = 1, seed: int = SEED,
                 stream: int = 5, x: Array | None = None,
                 stddev: float = 1.0) -> Array:  # fmt: skip
    batch = Batch(rows)
    x = np.zeros((rows, columns)) if x is None else x
    y = batch.unwritten(columns)
    op = make_op("gaussian_noise", x=batch.blocks(x), y=y, features=columns, scale=stddev,
                 **Stream(seed, stream).settings())  # fmt: skip
    batch.run(op, threads=threads, number=step)
    return batch.read(y, columns)


def mask_of(rows: int, columns: int, rate: float, **settings: Any) -> Array:
    """1 where Dropout keeps, as the kernel says."""
    return (dropout(np.ones((rows, columns)), rate, **settings) != 0).astype(np.float64)


# --- known answers ------------------------------------------------------------------------------

ONES, PI = [2**32 - 1] * 4, [0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344]
KNOWN = [  # kat_vectors of Random123: rounds, counter, key, words
    (7, [0] * 4, [0] * 2, [0x5F6FB709, 0x0D893F64, 0x4F121F81, 0x4F730A48]),
    (7, ONES, ONES[:2], [0x5207DDC2, 0x45165E59, 0x4D8EE751, 0x8C52F662]),
    (7, PI, [0xA4093822, 0x299F31D0], [0x4DFCCABA, 0x190A87F0, 0xC47362BA, 0xB6B5242A]),
    (10, [0] * 4, [0] * 2, [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]),
    (10, ONES, ONES[:2], [0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD]),
    (10, PI, [0xA4093822, 0x299F31D0], [0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1]),
]


@pytest.mark.parametrize(("rounds", "counter", "key", "answer"), KNOWN)
def test_twin_gives_the_known_answers(
    rounds: int, counter: list[int], key: list[int], answer: list[int]
) -> None:
    assert [int(word) for word in philox(counter, key, rounds)] == answer


def test_kernel_gives_the_known_answers() -> None:
    """A word is kept at the rate of itself, and dropped at the next."""
    for row, word in enumerate(KNOWN[0][3]):
        for rate, is_kept in ((word / 2**32, 1), ((word + 1) / 2**32, 0)):
            assert mask_of(4, 1, rate, seed=0, stream=0)[row, 0] == is_kept


# --- masks --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("rows", "features"), SIZES)
def test_dropout(rows: int, features: int) -> None:
    x = float32(np.random.default_rng((rows, features)), rows, features)
    for rate in (0.5, 0.1):
        [y] = by_any_team(lambda n, rate=rate: [dropout(x, rate, threads=n)])
        scale = np.float32(1 / (1 - rate))
        mask = kept(SEED, 5, 0, rate, rows, features)
        assert_same_bits(y, np.where(mask, np.float32(x) * scale, np.float32(0)))


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("stream", [0, 1, 2**16 - 1])
@pytest.mark.parametrize("seed", [0, 1, 2**63 - 1])
def test_mask_of_every_step_stream_and_seed(step: int, stream: int, seed: int) -> None:
    expected = kept(seed, stream, step, 0.3, 37, 40)
    np.testing.assert_array_equal(
        mask_of(37, 40, 0.3, step=step, stream=stream, seed=seed), expected
    )


def test_each_step_of_a_run_has_its_number() -> None:
    """Three batches of a run, the last one shorter."""
    batch, features = Batch(50), 20
    outputs = [np.zeros((50, features), np.float32)]
    x, y = batch.blocks(np.ones((50, features))), batch.unwritten(features)
    mask = Mask(Stream(SEED, 1), 0.5)
    batch.run(
        make_op("dropout", x=x, y=y, features=features, scale=mask.scale, **mask.settings()),
        make_op("scatter", x=y, features=features, output=0),
        threads=2, batch_size=20, number=7, outputs=outputs,
    )  # fmt: skip
    for first, rows, step in ((0, 20, 7), (20, 20, 8), (40, 10, 9)):
        expected = kept(SEED, 1, step, 0.5, rows, features)
        np.testing.assert_array_equal(outputs[0][first : first + rows] != 0, expected)


def test_dropout_adds_to_a_gradient() -> None:
    random = np.random.default_rng(0)
    x, into = float32(random, 300, 33), float32(random, 300, 33)
    [y] = by_any_team(lambda n: [dropout(x, 0.25, threads=n, into=into)])
    assert_same_bits(y, np.float32(into) + dropout(x, 0.25))


def test_what_is_dropped_need_not_be_finite() -> None:
    x = np.full((8, 16), np.nan)
    y = dropout(x, 0.5)
    assert_same_bits(np.isnan(y), kept(SEED, 5, 0, 0.5, 8, 16))
    assert not y[~np.isnan(y)].any()


@pytest.mark.parametrize("accumulate", [False, True])
@pytest.mark.parametrize(("rows", "positions", "features"), [(1, 1, 5), (18, 9, 35), (7, 300, 16)])
def test_drop_channels(rows: int, positions: int, features: int, accumulate: bool) -> None:
    """One number of the mask for all positions; what is dropped need not be finite."""
    random = np.random.default_rng(rows)
    x, into = float32(random, 2, rows, positions, features).astype(np.float32)
    mask = Mask(Stream(SEED, 5), 0.4)
    keeps = kept(SEED, 5, 3, 0.4, rows, features)[:, None, :]
    wanted = np.where(keeps, x * np.float32(mask.scale), np.float32(0))
    x[:, 0] = np.where(keeps[:, 0], x[:, 0], np.nan)

    def compute(threads: int) -> list[Array]:
        batch = Batch(rows)
        y = batch.blocks(into) if accumulate else batch.unwritten(features, positions)
        op = make_op(
            "drop_channels", x=batch.blocks(x), y=y, features=features, accumulate=accumulate,
            scale=mask.scale, **mask.settings(),
        )  # fmt: skip
        batch.run(op, threads=threads, number=3)
        return [batch.read(y, features).reshape(x.shape)]

    [y] = by_any_team(compute)
    assert_same_bits(y, wanted + (into if accumulate else np.float32(0)))


def test_extreme_rates() -> None:
    assert mask_of(40, 40, 2.0**-40).all()
    assert mask_of(40, 40, 1 - 2.0**-40).sum() == 0


# Ops that rectify and drop at once.


def noisy(mask: Mask | None) -> dict[str, float]:
    return {} if mask is None else mask.settings()


def fused_outputs(name: str, mask: Mask | None, threads: int) -> list[Array]:
    rows, inputs, units = 300, 40, 37
    random = np.random.default_rng(1)
    batch, x = Batch(rows), float32(random, rows, inputs)
    y = batch.unwritten(units)
    common: dict[str, Any] = dict(
        y=y, activation=ACTIVATIONS["scaled_relu"], param_0=2.0, **noisy(mask)
    )
    sources: list[Any] = []
    if name.startswith("dense"):
        w = weight(float32(random, inputs, units))
        common |= dict(kernel=w, bias=weight(float32(random, units)), inputs=inputs, units=units,
                       kernel_block=kernel_block(w), by_rows=name.endswith("rows"))  # fmt: skip
        if "sparse" in name:
            x[random.random(x.shape) < 0.7] = 0
            sources.append(sparse_rows(x.astype(np.float32), 1.0))
            op = make_op("dense_forward_sparse", source=0, **common)
        else:
            op = make_op("dense_forward", x=batch.blocks(x), **common)
    else:
        lines = n_blocks(units) * STATISTICS + n_blocks(rows + 3) * ROW_STATISTICS
        statistics = Buffers.of_array("statistics", aligned_zeros((lines, BLOCK)))
        common |= dict(x=batch.blocks(float32(random, rows, units)), features=units, epsilon=1e-3)
        if name == "batchnorm_inference":
            common |= dict(moving_mean=weight(float32(random, units)),
                           moving_variance=weight(float32(random, units) ** 2))  # fmt: skip
        else:
            common["statistics"] = statistics
        op = make_op(name, **common)
    batch.run(op, threads=threads, sources=sources, number=3)
    return [batch.read(y, units, padding=None)]


@pytest.mark.parametrize(
    "name",
    ["dense", "dense_by_rows", "dense_sparse", "dense_sparse_by_rows", "batchnorm_forward",
     "batchnorm_inference", "layernorm_forward"],
)  # fmt: skip
def test_ops_that_rectify_and_drop(name: str) -> None:
    mask = Mask(Stream(SEED, 2), 0.5)
    [plain] = by_any_team(lambda n: fused_outputs(name, None, n))
    [dropped] = by_any_team(lambda n: fused_outputs(name, mask, n))
    assert (plain > 0).mean() > 0.2
    assert_same_bits(dropped, np.where(kept(SEED, 2, 3, 0.5, *plain.shape), plain, np.float32(0)))


# --- DropConnect --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("inputs", "units"), [(1, 1), (7, 15), (16, 16), (33, 17), (100, 70), (784, 33), (130, 784)]
)
def test_drop_weights_and_their_gradient(inputs: int, units: int) -> None:
    random = np.random.default_rng((inputs, units))
    rows, rate = 40, 0.4
    w = float32(random, inputs, units)
    w[random.random(w.shape) < 0.2] = 0
    w[random.random(w.shape) < 0.1] *= -0.0
    x, dz = float32(random, rows, inputs), float32(random, rows, units)
    mask = Mask(Stream(SEED, 9), rate)
    expected = kept(SEED, 9, 4, rate, inputs, units)
    scale = np.float32(1 / (1 - rate))

    def run(threads: int, drop: bool) -> list[Array]:
        batch, packed, copy = Batch(rows), weight(w), weight(np.ones_like(w))
        sizes = {"inputs": inputs, "units": units, "kernel_block": kernel_block(packed)}
        gradient, bias = weight(0 * w), weight(np.zeros(units))
        batch.run(
            make_op("drop_weights", w=packed, dropped=copy, scale=mask.scale, **sizes,
                    **mask.settings()),
            make_op("dense_backward_weights", x=batch.blocks(x), dz=batch.blocks(dz),
                    kernel=packed, bias=bias, kernel_gradient=gradient,
                    bias_gradient=weight(np.zeros(units)), unfinished=True,
                    dropped=copy if drop else None, kept_scale=mask.scale, **sizes),
            threads=threads, number=4,
        )  # fmt: skip
        return [read_weight(copy, w.shape), read_weight(gradient, w.shape)]

    copy, gradient = by_any_team(lambda n: run(n, drop=True))
    np.testing.assert_array_equal(copy, np.where(expected, np.float32(w) * scale, 0))
    # the mark: a weight of zero that is kept has its gradient
    np.testing.assert_array_equal(np.signbit(copy) & (copy == 0), ~expected)
    whole = run(1, drop=False)[1]
    assert_same_bits(gradient, np.where(expected, scale * whole, np.float32(0)))


@pytest.mark.parametrize("rows", [1, 5, 17, 70])
def test_squares_and_rows_of_nonzeros(rows: int) -> None:
    random = np.random.default_rng(2)
    features = 300
    x = float32(random, rows, features)
    x[random.random(x.shape) < 0.8] = 0
    order = random.permutation(rows)
    w = float32(random, 40, 35)

    def run(threads: int) -> list[Array]:
        batch, packed = Batch(rows), weight(w)
        dense, squares = batch.unwritten(features), batch.unwritten(features)
        squared = weight(np.ones_like(w))
        batch.run(
            make_op("gather_nonzeros", y=dense, features=features, source=0),
            make_op("square", x=dense, y=squares, features=features),
            make_op("square_weights", w=packed, y=squared, size=packed.array.size),
            threads=threads, sources=[sparse_rows(x.astype(np.float32), 1.0)], order=order,
        )  # fmt: skip
        results = [batch.read(buffer, features) for buffer in (dense, squares)]
        return [*results, read_weight(squared, w.shape)]

    dense, squares, squared = by_any_team(run)
    assert_same_bits(dense, np.float32(x[order]))
    assert_same_bits(squares, np.float32(x[order]) ** 2)
    assert_same_bits(squared, np.float32(w) ** 2)


def expectation(name: str, mean: Array, variance: Array, ratio: float, threads: int,
                params: tuple[float, ...] = ()) -> Array:  # fmt: skip
    batch, features = Batch(len(mean)), mean.shape[1]
    y = batch.unwritten(features)
    op = make_op(
        "gaussian_expectation", mean=batch.blocks(mean), variance=batch.blocks(variance), y=y,
        nodes=Buffers.of_array("nodes", quadrature()), points=POINTS, features=features,
        activation=ACTIVATIONS[name], ratio=ratio,
        **{f"param_{i}": value for i, value in enumerate(params)},
    )  # fmt: skip
    batch.run(op, threads=threads)
    return batch.read(y, features, padding=None)


@pytest.mark.parametrize("slope", [None, 0.3])
def test_expectation_of_rectifiers_is_exact(slope: float | None) -> None:
    """Off by the rounding of mean and deviation, by that of the distribution function (relative
    1.2e-7 and some U), and by that of the exponent t^2 / 2 times density."""
    random = np.random.default_rng(3)
    mean, variance = float32(random, 300, 21, scale=2.0), float32(random, 300, 21) ** 2
    variance[:, 3], mean[:, 4] = 0, 0
    variance[0, :9], mean[1, :9] = 1e-12, 30
    ratio = 0.25
    name, params = ("relu", ()) if slope is None else ("leaky_relu", (slope,))
    [y] = by_any_team(lambda n: [expectation(name, mean, variance, ratio, n, params)])
    s = np.sqrt(ratio * variance)
    with np.errstate(divide="ignore", invalid="ignore"):
        t = np.where(s > 0, mean / s, np.copysign(np.inf, mean))
    cdf = 0.5 * np.vectorize(math.erfc)(-t / math.sqrt(2))
    relu = mean * cdf + s * np.exp(-0.5 * t**2) / math.sqrt(2 * math.pi)
    a = float(np.float32(slope or 0.0))
    assert_within(y, a * mean + (1 - a) * relu, 24 * U * (np.abs(mean) + s))


def smooth(name: str) -> Any:
    functions = {
        "tanh": np.tanh,
        "sigmoid": lambda z: 1 / (1 + np.exp(-z)),
        "softplus": lambda z: np.logaddexp(z, 0),
    }
    return functions[name]


@pytest.mark.parametrize("name", ["tanh", "sigmoid", "softplus"])
def test_expectation_by_quadrature(name: str) -> None:
    """Against a fine sum: 1e-4 at a deviation up to 1, as the docstring of Dense says."""
    random = np.random.default_rng(4)
    mean, deviation = float32(random, 20, 18, scale=2.0), random.uniform(0, 1, (20, 18))
    variance = np.float32(deviation**2).astype(np.float64)
    [y] = by_any_team(lambda n: [expectation(name, mean, variance, 1.0, n)])
    z = np.linspace(-9, 9, 4001)
    density = np.exp(-0.5 * z**2)
    values = smooth(name)(mean[..., None] + np.sqrt(variance)[..., None] * z)
    exact = values @ (density / density.sum())
    assert_within(y, exact, 1e-4)
    # the quadrature itself, to rounding: sums of 16 products, weights and nodes in float32
    nodes, weights = quadrature().astype(np.float64)
    same = smooth(name)(mean[..., None] + np.sqrt(variance)[..., None] * nodes) @ weights
    assert_within(y, same, 48 * U * (1 + np.abs(mean) + 4 * np.sqrt(variance)))


# --- normal numbers -----------------------------------------------------------------------------


@pytest.mark.parametrize(("rows", "features"), SIZES)
def test_gaussian_noise(rows: int, features: int) -> None:
    """Within the rounding of a logarithm, a root, a sine and their product; u is rounded to
    2^-25 at 1, where the radius is small and its root steep."""
    x = float32(np.random.default_rng((rows, features)), rows, features)
    [y] = by_any_team(lambda n: [normal_noise(rows, features, 2**33 + 1, n, x=x, stddev=0.5)])
    expected = x + 0.5 * normals(SEED, 5, 2**33 + 1, rows, features)
    w = words(SEED, 5, 2**33 + 1, -(-rows // 4) * 4, features)[0::2]
    radius = np.sqrt(-2 * np.log(((w >> np.uint64(1)) + 0.5) / 2**31))
    radius = np.repeat(radius, 2, axis=0)[:rows]
    assert_within(y, expected, 2 * U * np.abs(x) + 16 * U * (radius + 1 / radius))


def erf_cdf(x: Array) -> Array:
    return 0.5 * np.vectorize(math.erfc)(-x / math.sqrt(2))


def test_normal_numbers_have_the_normal_distribution() -> None:
    """Moments within Z_LIMIT standard errors, and Kolmogorov and Smirnov's distance D, for which
    P(D > d) is at most 2 exp(-2 n d^2) (Massart 1990)."""
    x = normal_noise(400, 400).ravel().astype(np.float64)
    n = x.size
    assert abs(x.mean()) < Z_LIMIT / math.sqrt(n)
    assert abs((x**2).mean() - 1) < Z_LIMIT * math.sqrt(2 / n)
    assert abs((x**3).mean()) < Z_LIMIT * math.sqrt(15 / n)
    assert abs((x**4).mean() - 3) < Z_LIMIT * math.sqrt(96 / n)
    cdf = erf_cdf(np.sort(x))
    steps = np.arange(n + 1) / n
    distance = max((steps[1:] - cdf).max(), (cdf - steps[:-1]).max())
    assert distance < math.sqrt(math.log(2 / ALPHA) / (2 * n))


def test_normal_numbers_of_neighbours_are_not_correlated() -> None:
    """The numbers of a pair of words as well: rows 2 k and 2 k + 1."""
    x = normal_noise(400, 400).astype(np.float64)
    pairs = {
        "pair": (x[0::2], x[1::2]),
        "rows": (x[:-1], x[1:]),
        "fours": (x[:-4], x[4:]),
        "columns": (x[:, :-1], x[:, 1:]),
        "steps": (x, normal_noise(400, 400, step=1)),
        "streams": (x, normal_noise(400, 400, stream=6)),
        "seeds": (x, normal_noise(400, 400, seed=SEED + 1)),
    }
    for name, (a, b) in pairs.items():
        for left, right in ((a, b), (a**2 - 1, b**2 - 1)):
            z = (left * right).sum() / math.sqrt((left**2).sum() * (right**2).mean())
            assert abs(z) < Z_LIMIT, name


# --- statistics of masks ------------------------------------------------------------------------


@pytest.mark.parametrize("rate", [0.01, 0.2, 0.5, 0.8])
def test_rate(rate: float) -> None:
    """In all, in each row, in each column and in each of the four rows of a counter."""
    mask = np.stack([mask_of(200, 200, rate, step=step) for step in range(4)])
    for axes in ((0, 1, 2), (0, 2), (0, 1)):
        n = mask.size // mask.sum(axis=axes).size
        z = (mask.mean(axis=axes) - (1 - rate)) / math.sqrt(rate * (1 - rate) / n)
        # the largest of up to 200: Bonferroni's bound of 200 ALPHA
        assert np.abs(z).max() < Z_LIMIT
    for four in range(4):
        part = mask[:, four::4]
        z = (part.mean() - (1 - rate)) / math.sqrt(rate * (1 - rate) / part.size)
        assert abs(z) < Z_LIMIT


@pytest.mark.parametrize("rate", [0.2, 0.5])
def test_masks_are_independent(rate: float) -> None:
    """Chi-square of the table of (kept here, kept there), one degree of freedom: its root is a
    normal number."""

    def mask(**settings: Any) -> Array:
        return mask_of(400, 400, rate, **settings)

    here = mask()
    for name, a, b in (
        ("rows", here[:-1], here[1:]),
        ("fours of rows", here[:-4], here[4:]),
        ("columns", here[:, :-1], here[:, 1:]),
        ("blocks", here[:, :-16], here[:, 16:]),
        ("transposed", here, here.T),
        ("steps", here, mask(step=1)),
        ("distant steps", here, mask(step=2**32)),
        ("streams", here, mask(stream=6)),
        ("seeds", here, mask(seed=SEED ^ 1)),
        ("high words of seeds", here, mask(seed=SEED ^ 1 << 40)),
    ):
        n = a.size
        off = np.abs(np.eye(len(a))) if name == "transposed" else np.zeros(a.shape)
        d = ((a - (1 - rate)) * (b - (1 - rate)))[off == 0]
        z = d.sum() / (rate * (1 - rate) * math.sqrt(n))
        # a pair of the transposed counts twice
        assert abs(z) < Z_LIMIT * (math.sqrt(2) if name == "transposed" else 1), name


def test_words_are_uniform_in_runs() -> None:
    """Chi-square over the 2^8 patterns of 8 neighbouring rows of a mask of rate 1/2."""
    mask = np.concatenate([mask_of(512, 512, 0.5, step=step) for step in range(4)])
    patterns = mask.reshape(-1, 8, 512).transpose(0, 2, 1) @ (2 ** np.arange(8))
    counts = np.bincount(patterns.ravel().astype(int), minlength=256)
    expected = counts.sum() / 256
    chi_square = ((counts - expected) ** 2 / expected).sum()
    # Wilson and Hilferty (1931): the cube root of chi-square / k is nearly normal
    k = 255
    z = ((chi_square / k) ** (1 / 3) - (1 - 2 / (9 * k))) / math.sqrt(2 / (9 * k))
    assert abs(z) < Z_LIMIT


def test_no_mask_repeats() -> None:
    seen = {
        mask_of(16, 16, 0.5, step=step, stream=stream).tobytes()
        for step in [*range(300), 2**32, 2**32 + 1, 2**47]
        for stream in (0, 1)
    }
    assert len(seen) == 2 * 303

"""The same weights, batches and code as Keras 3: losses, weights, history and predictions follow.

Two comparisons a case (see ``reference/make_keras_reference.py``):

* losses, metrics and predictions against Keras's own float32 run, within the promised 1e-4;
* everything against Keras in float64, which has no rounding to speak of. There, fastnn may stray
  ``NOISE_FACTOR`` times as far as Keras's float32 run itself did on this very case, and no less
  than ``FLOOR``: a different order of float32 sums is a different rounding of the same size,
  while a different formula is not. A case that amplifies rounding (Adam's first steps divide
  gradients near zero by their own size) thereby sets its own scale, and no constant has to fit
  the worst case.

Differences are relative to the largest magnitude in the compared array.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from reference import Reference, Run, execute, select

import fastnn

REFERENCE = Reference(*sorted((Path(__file__).parent / "reference").glob("keras*.npz")))

PROMISE = 1e-4
FLOOR = 1e-6
NOISE_FACTOR = 4


def deviation(values: NDArray, wanted: NDArray) -> float:
    """Largest difference, relative to the largest magnitude wanted."""
    scale = np.abs(wanted).max()
    return float(np.abs(values - wanted).max() / (scale if scale else 1))


@pytest.fixture(scope="module", params=select([]))
def trained(request: pytest.FixtureRequest) -> Run:
    run = execute(request.param, fastnn)
    assert run.digest == REFERENCE.digest(run.name), (
        "the inputs are not those of the reference: record it again"
    )
    return run


def test_same_results_are_reported(trained: Run) -> None:
    wanted = REFERENCE.results(trained.name)
    assert {key: values.shape for key, values in trained.results.items()} == {
        key: float64.shape for key, (_, float64) in wanted.items()
    }


def test_follows_keras_float32(trained: Run) -> None:
    for key, (float32, _) in REFERENCE.results(trained.name).items():
        if key != "weights":
            off = deviation(trained.results[key], float32)
            assert off <= PROMISE, f"{key} is off by {off:.1e}: {trained.results[key]} != {float32}"


def test_is_as_exact_as_keras(trained: Run) -> None:
    for key, (float32, float64) in REFERENCE.results(trained.name).items():
        noise = deviation(float32, float64)
        allowed = max(FLOOR, NOISE_FACTOR * noise)
        off = deviation(trained.results[key], float64)
        assert off <= allowed, f"{key} is off by {off:.1e}; Keras's float32 by {noise:.1e}"


def test_origin_is_recorded() -> None:
    for origin in REFERENCE.origins:
        assert origin["keras"].startswith("3.")
        assert {"backend", "date", "made_by"} <= origin.keys()
    assert set(REFERENCE.names) == set(select([])), "record the new cases"

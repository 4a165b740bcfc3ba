"""The calibration's convolutional nets: draws, data, and all stages on two of them."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from pathlib import Path

import diagnosing
import numpy as np
import pytest

import fastnn as fnn
from bench.health import convolutions, kinds, labels, nets
from bench.health.cli import measure
from bench.health.convolutions import ConvolutionCase
from fastnn import layers

SMALL = labels.Budget(rows=640, epochs=1, test_rows=100)
PLAIN = ConvolutionCase(0, 0, width=16, initializer="he_normal", learning_rate=3e-3)


def test_draws_are_the_same_for_a_seed() -> None:
    first = convolutions.draw(1)
    assert convolutions.draw(1) == first and convolutions.draw(2) != first
    assert len(first) == 100
    case = first[17]
    assert case.name == "convolutions-1-017"
    record = json.loads(json.dumps({"case": dataclasses.asdict(case)}))
    assert kinds.case_of(record) == case
    assert kinds.of(case).drawn == 1


def test_each_value_occurs_by_its_share() -> None:
    cases = convolutions.draw(5, 200)
    for factor in ("depth", "activation", "optimizer", "rate", "inputs", "loss"):
        shares = convolutions.FACTORS[factor]
        found = Counter(getattr(case, factor) for case in cases)
        for value, share in shares.items():
            assert abs(found[value] - share * 200 / sum(shares.values())) < 1, (factor, value)
    deep = [case for case in cases if case.depth >= 6]
    assert {case.shrinking for case in deep} == {"pool", "stride", "first"}
    assert all(case.window <= 3 for case in deep)
    assert all(case.width == 16 and case.depth >= 4 for case in cases if case.head == "global")


def test_pictures_are_means_of_two_by_two() -> None:
    x, y, xt, yt = convolutions.pictures(SMALL)
    raw, labels_, _, _ = nets.mnist(640, 100)
    assert x.shape == (640, 14, 14, 1) and x.dtype == np.uint8 and xt.shape == (100, 14, 14, 1)
    square = raw[7].reshape(28, 28)[12:14, 10:12].astype(np.float64)
    assert x[7, 6, 5, 0] == np.round(square.mean()) and square.any()
    np.testing.assert_array_equal(y, labels_)
    assert len(yt) == 100


@pytest.mark.parametrize("case", convolutions.draw(3, 12), ids=lambda case: case.name)
def test_a_case_is_always_the_same_net(case: ConvolutionCase) -> None:
    models = [convolutions.build(case) for _ in range(2)]
    for pair in zip(*(model.get_weights() for model in models), strict=True):
        np.testing.assert_array_equal(*pair)
    found = [
        inner
        for layer in models[0].layers
        for inner in (layer.layers if isinstance(layer, layers.Residual) else [layer])
    ]
    made = [layer for layer in found if isinstance(layer, layers.Conv2D)]
    assert len(made) == case.depth
    assert all(layer.filters == case.width for layer in made)
    poolings = sum(isinstance(layer, layers.MaxPooling2D) for layer in found)
    strided = sum(layer.strides == (2, 2) for layer in made)
    halved = {"pool": (2, 0), "stride": (0, 2), "first": (0, 1), "none": (0, 0)}
    assert (poolings, strided) == halved[case.shrinking]
    norms = sum(isinstance(layer, layers.BatchNormalization) for layer in found)
    assert norms == (case.depth if case.normalization == "batch" else 0)
    x, y = convolutions.data(case, SMALL)
    fnn.gradient_norms(models[0], x[:8], y[:8])


def test_all_stages(tmp_path: Path) -> None:
    slow = dataclasses.replace(PLAIN, index=1, learning_rate=1e-7)
    budget = labels.Budget(rows=4_000, epochs=4, test_rows=500)
    stages = ("labels", "diagnoses", "cures")
    result = measure(
        tmp_path, {0: [PLAIN, slow]}, budget, stages, 1, lambda text: None, diagnosing.diagnose,
        (0,),
    )  # fmt: skip
    assert result["labels"]["train"]["count"] == 1
    assert result["verdicts_built_in"]["detection"]["count"] == 1
    assert result["verdicts_built_in"]["false_alarms"]["count"] == 0
    assert result["cures"]["first"]["of"] == 1
    assert "window" in result["tables"]["Labels"]

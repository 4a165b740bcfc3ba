"""Single layers for pictures and signals: output and gradients are those of Keras 3 in float64.

A net of the one layer, with a loss whose gradient is given. The gradient of an input comes from a
layer before it that looks at what passes; that of a weight from a step of SGD at rate 1.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from reference.picture_cases import LayerCase, Recorded, cases

import fastnn as fnn
from fastnn import layers, optimizers

RECORDED = Recorded()

TOLERANCE = 1e-5
"""Of the largest magnitude. Sums of at most 2,000 float32 products are off by 2**-24 * sqrt(2000)
= 2.7e-6 of it, and normalization divides by a deviation that is."""


class Probe(layers.NumPyLayer):
    """Passes everything on, and keeps the gradient. It has a weight, or nobody would want one."""

    gradient: NDArray[np.float32]

    def create_weights(self, input_shape: Any) -> None:
        self.add_weight((1,), "zeros", "unused")

    def forward(self, x: NDArray[np.float32], /, *weights: Any) -> NDArray[np.float32]:
        return x

    def backward(self, x: Any, y: Any, dy: Any, /, *weights: Any) -> tuple[Any, ...]:
        self.gradient = dy.copy()
        return self.gradient, np.zeros(1)


def close(values: NDArray[Any], wanted: NDArray[Any], what: str) -> None:
    assert values.shape == wanted.shape, what
    largest = np.abs(wanted).max()
    np.testing.assert_allclose(values, wanted, rtol=0, atol=TOLERANCE * largest, err_msg=what)


@pytest.mark.parametrize("case", cases(), ids=lambda case: case.name)
def test_single_layers_are_as_keras(case: LayerCase) -> None:
    run = case.run()
    arrays = case.arrays(run)
    inputs = [layers.Input(x.shape[1:]) for x in arrays]
    probes = [Probe() for _ in inputs]
    seen = [probe(x) for probe, x in zip(probes, inputs, strict=True)]
    layer = getattr(layers, case.layer)(**case.settings)
    model = fnn.Model(inputs, layer(seen if layer.takes_list else seen[0]))
    before = case.weights(run, layer.trainable_weights)
    layer.set_weights(before)
    dy = run.reals(*RECORDED.y(case.name).shape)
    assert run.digest == RECORDED.digest(case.name), "record the cases again"

    close(model.predict(arrays), RECORDED.y(case.name), "y")
    model.compile(optimizers.SGD(1.0), loss=lambda given, predicted: (0.0, given))
    model.train_on_batch(arrays, dy)
    wanted_dx, wanted_dw = RECORDED.gradients(case.name)
    for number, (probe, wanted) in enumerate(zip(probes, wanted_dx, strict=True)):
        close(probe.gradient, wanted, f"dx of input {number}")
    after = [variable.numpy() for variable in layer.trainable_weights]
    for old, new, wanted, variable in zip(
        before, after, wanted_dw, layer.trainable_weights, strict=True
    ):
        close(old.astype(float) - new, wanted, f"d{variable.name}")

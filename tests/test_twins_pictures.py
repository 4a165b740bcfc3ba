"""The twins of layers for pictures compute what Keras 3 does, forward and back.

Only so are they worth comparing the engine with. Keras's numbers are those of float64, rounded to
float32.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import twins_pictures as twins
from numpy.typing import NDArray
from reference.picture_cases import LayerCase, Recorded, cases

from fastnn import layers

Array = NDArray[np.float64]
RECORDED = Recorded()
CASES = {case.name: case for case in cases()}

TOLERANCE = 4 * 2.0**-24
"""Of the largest magnitude: the rounding to float32, and that of float64, which is nothing."""


def windows(layer: Any) -> dict[str, Any]:
    names = {"strides": layer.strides, "padding": layer.padding}
    if hasattr(layer, "kernel_size"):
        return names | {"dilation": layer.dilation_rate}
    return names | {"window": layer.pool_size}


def both(layer: Any, x: Array, dy: Array, weights: list[Array]) -> tuple[Any, ...] | None:
    """y, dx and gradients of the weights of a linear layer with windows; None of another."""
    shape = windows(layer) if hasattr(layer, "strides") else {}
    bias = weights[-1] if getattr(layer, "use_bias", False) else None
    dbias = [dy.sum(axis=tuple(range(dy.ndim - 1)))] if bias is not None else []
    added = 0.0 if bias is None else bias
    match layer:
        case layers.Conv1D() | layers.Conv2D():
            shape["groups"] = layer.groups
            dx, dkernel = twins.convolution_backward(x, weights[0], dy, **shape)
            return twins.convolution(x, weights[0], **shape) + added, dx, [dkernel, *dbias]
        case layers.DepthwiseConv1D() | layers.DepthwiseConv2D():
            dx, dkernel = twins.depthwise_backward(x, weights[0], dy, **shape)
            return twins.depthwise(x, weights[0], **shape) + added, dx, [dkernel, *dbias]
        case layers.SeparableConv1D() | layers.SeparableConv2D():
            ones = (1,) * layer.rank
            point = {"strides": ones, "padding": "valid", "dilation": ones}
            middle = twins.depthwise(x, weights[0], **shape)
            dmiddle, dpoint = twins.convolution_backward(middle, weights[1], dy, **point)
            dx, ddepth = twins.depthwise_backward(x, weights[0], dmiddle, **shape)
            y = twins.convolution(middle, weights[1], **point) + added
            return y, dx, [ddepth, dpoint, *dbias]
        case layers.MaxPooling1D() | layers.MaxPooling2D():
            dx = twins.max_pooling_backward(x, dy, **shape)
            return twins.max_pooling(x, **shape), dx, []
        case layers.AveragePooling1D() | layers.AveragePooling2D():
            dx = twins.average_pooling_backward(x, dy, **shape)
            return twins.average_pooling(x, **shape), dx, []
        case layers.GroupNormalization() if layer.axis == -1:
            gamma = weights[0] if layer.scale else np.ones(x.shape[-1])
            groups = layer.n_groups((None, *x.shape[1:]))
            split = [
                np.broadcast_to(each, x.shape).reshape(len(x), -1, groups, x.shape[-1] // groups)
                for each in (x, dy, gamma)
            ]
            dx = twins.normalization_backward(*split, layer.epsilon, (1, 3)).reshape(x.shape)
            return None, dx, None
        case layers.LayerNormalization():
            axes = layer.feature_axes((None, *x.shape[1:]))
            dx = twins.normalization_backward(x, dy, weights[0], layer.epsilon, axes)
            return None, dx, None
    return None


FORWARD: dict[str, Callable[[Any, list[Array], list[Array]], Array]] = {
    "GlobalMaxPooling": lambda layer, xs, w: twins.global_max_pooling(xs[0]),
    "GlobalAveragePooling": lambda layer, xs, w: twins.global_average_pooling(xs[0]),
    "UpSampling": lambda layer, xs, w: twins.upsampling(xs[0], layer.size, layer.interpolation),
    "ZeroPadding": lambda layer, xs, w: twins.padded(xs[0], layer.amounts),
    "Cropping": lambda layer, xs, w: twins.unpadded(xs[0], layer.amounts),
    "Permute": lambda layer, xs, w: xs[0].transpose(0, *layer.dims),
    "GroupNormalization": lambda layer, xs, w: twins.group_normalization(
        xs[0],
        w[0] if layer.scale else np.ones(1),
        w[-1] if layer.center else np.zeros(1),
        layer.epsilon,
        layer.n_groups((None, *xs[0].shape[1:])),
        layer.axis,
    ),
    "LayerNormalization": lambda layer, xs, w: twins.layer_normalization(
        xs[0], w[0], w[1], layer.epsilon, layer.feature_axes((None, *xs[0].shape[1:]))
    ),
    "Add": lambda layer, xs, w: sum(xs),
    "Subtract": lambda layer, xs, w: xs[0] - xs[1],
    "Multiply": lambda layer, xs, w: np.prod(xs, axis=0),
    "Average": lambda layer, xs, w: np.mean(xs, axis=0),
    "Maximum": lambda layer, xs, w: np.max(xs, axis=0),
    "Minimum": lambda layer, xs, w: np.min(xs, axis=0),
    "Concatenate": lambda layer, xs, w: np.concatenate(xs, layer.axis),
}


def made(case: LayerCase) -> tuple[Any, list[Array], list[Array], Array]:
    """The built layer, inputs, weights and dy."""
    run = case.run()
    xs = case.arrays(run)
    layer = getattr(layers, case.layer)(**case.settings)
    shapes = [x.shape for x in xs]
    layer.build(shapes if len(xs) > 1 else shapes[0])
    values = case.weights(run, layer.trainable_weights)
    dy = run.reals(*RECORDED.y(case.name).shape)
    assert run.digest == RECORDED.digest(case.name), "record the cases again"
    return layer, [x.astype(float) for x in xs], [v.astype(float) for v in values], dy.astype(float)


def close(values: Array, wanted: NDArray[Any]) -> None:
    assert values.shape == wanted.shape
    np.testing.assert_allclose(values, wanted, rtol=0, atol=TOLERANCE * np.abs(wanted).max())


def is_linear(layer: Any) -> bool:
    return getattr(layer, "activation", None) is None or layer.activation.kind == "linear"


@pytest.mark.parametrize("name", CASES)
def test_twins_are_as_keras(name: str) -> None:
    layer, xs, weights, dy = made(CASES[name])
    if not is_linear(layer) or isinstance(layer, (layers.Dense, layers.Softmax)):
        return  # Their twins are those of products and activations.
    forward = FORWARD.get(type(layer).__name__.rstrip("12D"))
    results = both(layer, xs[0], dy, weights)
    assert forward or results
    wanted_dx, wanted_dw = RECORDED.gradients(name)
    if forward is not None:
        close(forward(layer, xs, weights).reshape(dy.shape), RECORDED.y(name))
    if results is not None:
        y, dx, dw = results
        if y is not None:
            close(y, RECORDED.y(name))
            for made_, wanted in zip(dw, wanted_dw, strict=True):
                close(made_, wanted)
        close(dx, wanted_dx[0])


def test_every_case_is_recorded() -> None:
    assert RECORDED.names == list(CASES)
    assert RECORDED.origin["keras"].startswith("3.")
    assert {"backend", "date", "made_by"} <= RECORDED.origin.keys()


@pytest.mark.parametrize("axis", [-1, 1])
def test_batch_normalization_twin(axis: int) -> None:
    """By its definition: mean 0 and variance 1 over all but ``axis``, then the factor."""
    x = np.random.default_rng(1).normal(2, 3, (4, 5, 6, 7))
    features = x.shape[axis]
    gamma, beta = np.arange(1.0, features + 1), np.arange(features) - 2.0
    y, mean, variance = twins.batch_normalization(x, gamma, beta, 0.0, axis)
    rows = np.moveaxis(y, axis, -1).reshape(-1, features)
    np.testing.assert_allclose(rows.mean(axis=0), beta, atol=1e-12)
    np.testing.assert_allclose(rows.std(axis=0), gamma, rtol=1e-12)
    again = np.moveaxis(x, axis, -1).reshape(-1, features)
    np.testing.assert_allclose(mean, again.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(variance, again.var(axis=0), rtol=1e-12)

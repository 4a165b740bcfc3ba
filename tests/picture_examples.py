"""One layer of each class for pictures and signals, no setting at its default."""

from __future__ import annotations

from fastnn import activations, constraints, initializers, layers, regularizers
from fastnn.layers import Layer

_SHARED = {
    "activation": activations.Activation("leaky_relu", (0.1, 0.0, 0.0)),
    "use_bias": True,
    "bias_initializer": initializers.Constant(0.5),
    "bias_regularizer": regularizers.L2(0.25),
    "activity_regularizer": regularizers.L1(0.125),
    "bias_constraint": constraints.NonNeg(),
}
_WHOLE = constraints.MaxNorm(3, [0, 1, 2, 3])
_WHOLE_1D = constraints.MaxNorm(3, [0, 1, 2])
_NORM = {
    "epsilon": 0.5,
    "center": False,
    "gamma_initializer": initializers.Constant(2),
    "gamma_regularizer": "l2",
    "gamma_constraint": "non_neg",
}

PICTURES: list[Layer] = [
    layers.Conv2D(
        6, (3, 2), (1, 1), "same", "channels_last", (2, 1), 2, kernel_initializer="he_normal",
        kernel_regularizer="l1", kernel_constraint=_WHOLE, name="conv", trainable=False, **_SHARED,
    ),
    layers.DepthwiseConv2D(
        (2, 3), (2, 1), "same", 2, depthwise_initializer="he_normal", depthwise_regularizer="l1",
        depthwise_constraint=_WHOLE, name="depthwise", **_SHARED,
    ),
    layers.SeparableConv2D(
        5, 3, 1, "same", None, (1, 2), 3, depthwise_initializer="he_normal",
        pointwise_initializer="he_uniform", depthwise_regularizer="l1", pointwise_regularizer="l2",
        depthwise_constraint=_WHOLE, pointwise_constraint="non_neg", name="separable", **_SHARED,
    ),
    layers.MaxPooling2D((3, 2), (2, 1), "same", name="max"),
    layers.AveragePooling2D((3, 2), 1, "same", name="average"),
    layers.GlobalMaxPooling2D(keepdims=True, name="global_max"),
    layers.GlobalAveragePooling2D(keepdims=True, name="global_average"),
    layers.ZeroPadding2D(((1, 0), (2, 3)), name="padding"),
    layers.Cropping2D(((1, 0), (1, 2)), name="cropping"),
    layers.UpSampling2D((3, 2), interpolation="bilinear", name="up"),
    layers.Permute((3, 1, 2), name="permute"),
    layers.SpatialDropout2D(0.25, None, 7, name="spatial"),
    layers.GroupNormalization(2, -1, name="group", **_NORM),
    layers.RandomFlip("vertical", 7, name="flip"),
    layers.RandomTranslation(0.5, (-0.25, 0.5), "constant", "nearest", 7, 2.0, name="translation"),
    layers.RandomRotation(0.5, "wrap", "nearest", 7, 2.0, name="rotation"),
    layers.RandomZoom(0.5, (-0.25, 0.5), "nearest", "nearest", 7, 2.0, name="zoom"),
    layers.RandomCrop(5, 4, 7, name="crop"),
    layers.RandomContrast((0.25, 0.5), (0, 1), 7, name="contrast"),
    layers.RandomBrightness((-0.25, 0.5), (0, 1), 7, name="brightness"),
]  # fmt: skip
"""They take (batch, 7, 8, 4)."""

SIGNALS: list[Layer] = [
    layers.Conv1D(
        6, 3, 1, "causal", "channels_last", 2, 2, kernel_initializer="he_normal",
        kernel_regularizer="l1", kernel_constraint=_WHOLE_1D, name="conv", trainable=False,
        **_SHARED,
    ),
    layers.DepthwiseConv1D(
        2, 2, "same", 2, depthwise_initializer="he_normal", depthwise_regularizer="l1",
        depthwise_constraint=_WHOLE_1D, name="depthwise", **_SHARED,
    ),
    layers.SeparableConv1D(
        5, 3, 1, "same", None, 2, 3, depthwise_initializer="he_normal",
        pointwise_initializer="he_uniform", depthwise_regularizer="l1", pointwise_regularizer="l2",
        depthwise_constraint=_WHOLE_1D, pointwise_constraint="non_neg", name="separable", **_SHARED,
    ),
    layers.MaxPooling1D(3, 2, "same", name="max"),
    layers.AveragePooling1D(3, 1, "same", name="average"),
    layers.GlobalMaxPooling1D(keepdims=True, name="global_max"),
    layers.GlobalAveragePooling1D(keepdims=True, name="global_average"),
    layers.ZeroPadding1D((1, 2), name="padding"),
    layers.Cropping1D((2, 1), name="cropping"),
    layers.UpSampling1D(3, name="up"),
    layers.SpatialDropout1D(0.25, 7, name="spatial"),
]  # fmt: skip
"""They take (batch, 9, 4)."""

MERGING: list[Layer] = [
    layers.Subtract(name="subtract"),
    layers.Multiply(name="multiply"),
    layers.Average(name="average"),
    layers.Maximum(name="maximum"),
    layers.Minimum(name="minimum"),
]

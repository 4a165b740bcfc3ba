"""Cases: small nets of layers for pictures and signals."""

from __future__ import annotations

import math
from typing import Any

from reference.protocol import Run, case, rows_for

SAME = {"padding": "same"}


def set_weights(run: Run, model: Any) -> Any:
    """Seeded weights within He's range; factors and variances about 1."""
    values = []
    for variable in model.weights:
        shape = tuple(variable.shape)
        if variable.name in ("gamma", "moving_variance"):
            values.append(run.reals(*shape, low=0.5, high=2.0))
        else:
            limit = math.sqrt(6 / math.prod(shape[:-1])) if len(shape) > 1 else 0.3
            values.append(run.reals(*shape, low=-limit, high=limit))
    model.set_weights(values)
    return model


def train(
    api: Any,
    run: Run,
    x: Any,
    y: Any,
    shape: tuple[int, ...],
    batch: int,
    loss: str,
    optimizer: Any,
) -> None:
    """Train the graph from ``x`` to ``y`` on pictures of ``shape``; then predict."""
    model = set_weights(run, api.Model(x, y))
    model.compile(optimizer=optimizer, loss=loss)
    n = rows_for(batch)
    pictures = run.reals(n, *shape)
    width = int(model.output_shape[-1])
    targets = run.classes(n, width) if loss.startswith("sparse") else run.reals(n, width)
    run.train(model, pictures, targets, batch)
    run.record("predict", model.predict(pictures[:7], verbose=0))


def stack(
    api: Any, run: Run, shape: tuple[int, ...], body: Any, batch: int = 5, adam: bool = False
) -> None:
    """``body(layers)`` on pictures of ``shape``, then Flatten and Dense: every position of its
    output has a weight of its own, so that no gradient may go astray. A 1x1 convolution comes
    before, for it sees the gradient of the input."""
    layers = api.layers
    convolution = layers.Conv1D if len(shape) == 2 else layers.Conv2D
    h = x = layers.Input(shape)
    h = convolution(shape[-1], 1, activation="elu")(h)
    for layer in body(layers):
        h = layer(h)
    y = layers.Dense(3)(layers.Flatten()(h) if len(h.shape) > 2 else h)
    optimizer = api.optimizers.Adam(0.01) if adam else api.optimizers.SGD(0.02, momentum=0.5)
    train(api, run, x, y, shape, batch, "mean_squared_error", optimizer)


PICTURE, SIGNAL = (6, 7, 3), (9, 4)

STACKS: dict[str, tuple[tuple[int, ...], Any]] = {
    "conv-3x3": (PICTURE, lambda m: [m.Conv2D(5, 3, activation="relu")]),
    "conv-3x3-same": (PICTURE, lambda m: [m.Conv2D(17, 3, **SAME, activation="gelu")]),
    "conv-of-one-channel": ((5, 5, 1), lambda m: [m.Conv2D(4, 3, **SAME, activation="relu")]),
    "conv-1x1-of-35": ((3, 3, 35), lambda m: [m.Conv2D(19, 1, activation="silu")]),
    "conv-5x2": (PICTURE, lambda m: [m.Conv2D(3, (5, 2), activation="softsign")]),
    "conv-7x7-same": (PICTURE, lambda m: [m.Conv2D(3, 7, **SAME, activation="elu")]),
    "conv-stride-2": (PICTURE, lambda m: [m.Conv2D(4, 3, 2, activation="relu")]),
    "conv-strides-same": (PICTURE, lambda m: [m.Conv2D(4, 3, (2, 3), **SAME, activation="elu")]),
    "conv-stride-3-over-gaps": (PICTURE, lambda m: [m.Conv2D(4, 2, 3, activation="elu")]),
    "conv-dilated": (PICTURE, lambda m: [m.Conv2D(4, 3, dilation_rate=(2, 3), activation="elu")]),
    "conv-dilated-same": (PICTURE, lambda m: [m.Conv2D(4, 3, **SAME, dilation_rate=2)]),
    "conv-groups": ((5, 4, 6), lambda m: [m.Conv2D(9, 3, groups=3, activation="relu")]),
    "conv-no-bias": (PICTURE, lambda m: [m.Conv2D(4, 3, use_bias=False)]),
    "conv-softmax": (PICTURE, lambda m: [m.Conv2D(4, 3, activation="softmax")]),
    "conv-regularized": (
        PICTURE,
        lambda m: [
            m.Conv2D(4, 3, kernel_regularizer="l2", bias_regularizer="l1", activation="elu"),
            m.Conv2D(4, 2, activity_regularizer="l2", activation="elu"),
        ],
    ),
    "conv1d-causal": (SIGNAL, lambda m: [m.Conv1D(5, 3, padding="causal", dilation_rate=2)]),
    "conv1d-same": (SIGNAL, lambda m: [m.Conv1D(17, 4, 2, **SAME, activation="relu")]),
    "conv1d-groups": (SIGNAL, lambda m: [m.Conv1D(6, 3, groups=2, activation="elu")]),
    "depthwise": (PICTURE, lambda m: [m.DepthwiseConv2D(3, activation="relu")]),
    "depthwise-multiplier": (
        PICTURE, lambda m: [m.DepthwiseConv2D((2, 3), 2, "same", 6, activation="elu")],
    ),
    "depthwise-dilated": (PICTURE, lambda m: [m.DepthwiseConv2D(2, dilation_rate=3)]),
    "depthwise1d": (SIGNAL, lambda m: [m.DepthwiseConv1D(3, depth_multiplier=2)]),
    "separable": (PICTURE, lambda m: [m.SeparableConv2D(5, 3, **SAME, activation="relu")]),
    "separable-strides": (
        PICTURE, lambda m: [m.SeparableConv2D(5, 3, 2, depth_multiplier=3, activation="elu")],
    ),
    "separable1d": (SIGNAL, lambda m: [m.SeparableConv1D(5, 4, depth_multiplier=2)]),
    "max-2x2": (PICTURE, lambda m: [m.Conv2D(17, 3, activation="relu"), m.MaxPooling2D()]),
    "max-overlapping": (PICTURE, lambda m: [m.MaxPooling2D(3, 2, "same"), m.Conv2D(3, 2)]),
    "max-wide": (PICTURE, lambda m: [m.MaxPooling2D((1, 4), (1, 2))]),
    "max-1d": (SIGNAL, lambda m: [m.MaxPooling1D(2), m.Conv1D(3, 2)]),
    "average-2x2": (PICTURE, lambda m: [m.Conv2D(5, 3, **SAME), m.AveragePooling2D(2)]),
    "average-moving": (PICTURE, lambda m: [m.AveragePooling2D(3, 1, "same"), m.ReLU()]),
    "average-1d": (SIGNAL, lambda m: [m.AveragePooling1D(4, 3, "same")]),
    "global-max": (PICTURE, lambda m: [m.Conv2D(17, 3), m.GlobalMaxPooling2D()]),
    "global-average": (PICTURE, lambda m: [m.Conv2D(17, 3), m.GlobalAveragePooling2D()]),
    "global-kept": (PICTURE, lambda m: [m.GlobalAveragePooling2D(keepdims=True), m.Conv2D(4, 1)]),
    "global-1d": (SIGNAL, lambda m: [m.Conv1D(5, 2, activation="elu"), m.GlobalMaxPooling1D()]),
    "padding": (PICTURE, lambda m: [m.ZeroPadding2D(((1, 0), (2, 3))), m.Conv2D(3, 3)]),
    "cropping": (PICTURE, lambda m: [m.Conv2D(3, 2), m.Cropping2D(((1, 0), (0, 2)))]),
    "border-1d": (SIGNAL, lambda m: [m.ZeroPadding1D((0, 2)), m.Cropping1D((3, 1))]),
    "up-nearest": (PICTURE, lambda m: [m.UpSampling2D((2, 3)), m.Conv2D(2, 4, 3)]),
    "up-bilinear": (
        PICTURE, lambda m: [m.UpSampling2D((3, 2), interpolation="bilinear"), m.Conv2D(2, 4, 3)],
    ),
    "up-1d": (SIGNAL, lambda m: [m.UpSampling1D(2), m.Conv1D(3, 3, 2)]),
    "permute": (PICTURE, lambda m: [m.Permute((3, 1, 2)), m.Conv2D(4, 2, activation="elu")]),
    "batch-norm": (
        PICTURE,
        lambda m: [m.Conv2D(5, 3, use_bias=False), m.BatchNormalization(), m.ReLU()],
    ),
    "batch-norm-17": (
        PICTURE,
        lambda m: [m.Conv2D(17, 3, use_bias=False), m.BatchNormalization(momentum=0.8), m.ELU()],
    ),
    "batch-norm-axis-1": (PICTURE, lambda m: [m.BatchNormalization(axis=1), m.ELU()]),
    "batch-norm-1d": (SIGNAL, lambda m: [m.Conv1D(5, 2), m.ELU(), m.BatchNormalization()]),
    "batch-norm-frozen": (
        PICTURE, lambda m: [m.BatchNormalization(trainable=False), m.Conv2D(3, 3)],
    ),
    "layer-norm": (PICTURE, lambda m: [m.Conv2D(5, 3), m.LayerNormalization(), m.ELU()]),
    "layer-norm-all": (PICTURE, lambda m: [m.LayerNormalization(axis=[1, 2, 3]), m.ELU()]),
    "group-norm": (PICTURE, lambda m: [m.Conv2D(6, 3), m.GroupNormalization(3), m.ELU()]),
    "group-norm-17-of-34": (
        (3, 3, 4), lambda m: [m.Conv2D(34, 2), m.GroupNormalization(17), m.ELU()],
    ),
    "group-norm-instance": (PICTURE, lambda m: [m.GroupNormalization(-1), m.Conv2D(4, 3)]),
    "dense-of-pictures": (PICTURE, lambda m: [m.Dense(17, activation="relu"), m.Dense(2)]),
    "softmax-axis": (PICTURE, lambda m: [m.Softmax(axis=1), m.Conv2D(3, 2)]),
}  # fmt: skip

for _name, (_shape, _body) in STACKS.items():
    case(f"picture/{_name}", shape=_shape, body=_body)(stack)
for _name in ("conv-3x3", "conv-groups", "conv-stride-2", "depthwise", "separable", "batch-norm"):
    _shape, _body = STACKS[_name]
    case(f"picture/{_name}-adam", shape=_shape, body=_body, adam=True)(stack)
for _batch in (1, 2, 17, 70):
    _shape, _body = STACKS["max-2x2"]
    case(f"picture/max-2x2-batch-{_batch}", shape=_shape, body=_body, batch=_batch)(stack)


def merging(api: Any, run: Run, kind: str) -> None:
    layers = api.layers
    x = layers.Input(PICTURE)
    parts = [layers.Conv2D(5, 3, **SAME, activation="elu")(x), layers.Conv2D(5, 1)(x)]
    if kind != "Subtract":
        parts.append(layers.Conv2D(5, 2, **SAME)(x))
    h = layers.Conv2D(4, 3)(getattr(layers, kind)()(parts))
    optimizer = api.optimizers.SGD(0.002, momentum=0.5)
    y = layers.Dense(3)(layers.Flatten()(h))
    train(api, run, x, y, PICTURE, 5, "mean_squared_error", optimizer)


for _kind in ("Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum"):
    case(f"picture/merge-{_kind.lower()}", kind=_kind)(merging)


def concatenating(api: Any, run: Run, axis: int) -> None:
    layers = api.layers
    x = layers.Input(PICTURE)
    filters = (5, 18) if axis in (3, -1) else (4, 4)
    shape = {1: (2, 1), 2: (1, 2)}.get(axis, (1, 1))
    parts = [layers.Conv2D(filters[0], 3, **SAME, activation="elu")(x)]
    parts.append(layers.MaxPooling2D(shape)(layers.Conv2D(filters[1], 1)(x)))
    h = layers.Conv2D(3, 3, 2)(layers.Concatenate(axis=axis)(parts))
    y = layers.Dense(3)(layers.Flatten()(h))
    optimizer = api.optimizers.SGD(0.02, momentum=0.5)
    train(api, run, x, y, PICTURE, 5, "mean_squared_error", optimizer)


for _axis in (-1, 1, 2):
    case(f"picture/concatenate-axis-{_axis}", axis=_axis)(concatenating)


@case("picture/residual-net")
def residual_net(api: Any, run: Run) -> None:
    """Three blocks with 1x1 projections, batch normalization, global pooling: a small ResNet."""
    layers = api.layers
    x = layers.Input((8, 7, 3))
    h = layers.Conv2D(4, 3, **SAME, use_bias=False)(x)
    for filters, stride in ((4, 1), (6, 2), (9, 2)):
        h = layers.ReLU()(layers.BatchNormalization()(h))
        f = layers.Conv2D(filters, 3, stride, **SAME, use_bias=False)(h)
        f = layers.ReLU()(layers.BatchNormalization()(f))
        f = layers.Conv2D(filters, 3, **SAME, use_bias=False)(f)
        if stride > 1:
            h = layers.Conv2D(filters, 1, stride, use_bias=False)(h)
        h = layers.Add()([h, f])
    y = layers.Dense(4, activation="softmax")(layers.GlobalAveragePooling2D()(h))
    optimizer = api.optimizers.SGD(0.05, momentum=0.9)
    train(api, run, x, y, (8, 7, 3), 9, "sparse_categorical_crossentropy", optimizer)


@case("picture/classifier")
def classifier(api: Any, run: Run) -> None:
    """The usual small net: convolutions, pooling, normalization, Dense."""
    layers = api.layers
    x = layers.Input((12, 11, 1))
    h = layers.Conv2D(6, 3, **SAME, activation="relu")(x)
    h = layers.BatchNormalization()(layers.MaxPooling2D()(h))
    h = layers.Conv2D(17, 3, **SAME, activation="relu")(h)
    h = layers.BatchNormalization()(layers.MaxPooling2D()(h))
    h = layers.Dense(12, activation="relu")(layers.Flatten()(h))
    y = layers.Dense(5, activation="softmax")(h)
    optimizer = api.optimizers.SGD(0.02, momentum=0.9)
    train(api, run, x, y, (12, 11, 1), 8, "sparse_categorical_crossentropy", optimizer)


@case("picture/pixels")
def pixels(api: Any, run: Run) -> None:
    """uint8 pictures, rescaled before the first convolution."""
    layers = api.layers
    model = api.Sequential(
        [
            layers.Input((9, 8, 3)),
            layers.Rescaling(1 / 255),
            layers.Conv2D(5, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.SeparableConv2D(7, 2, activation="elu"),
            layers.Flatten(),
            layers.Dense(4, activation="softmax"),
        ]
    )
    set_weights(run, model)
    model.compile(optimizer=api.optimizers.Adam(0.01), loss="sparse_categorical_crossentropy")
    n = rows_for(7)
    run.train(model, run.pixels(n, 9, 8, 3), run.classes(n, 4), 7)


@case("picture/and-a-row-of-figures")
def two_inputs(api: Any, run: Run) -> None:
    layers = api.layers
    picture, figures = layers.Input((6, 5, 2), name="picture"), layers.Input((4,), name="figures")
    h = layers.GlobalAveragePooling2D()(layers.Conv2D(6, 3, activation="relu")(picture))
    h = layers.Concatenate()([h, layers.Dense(5, activation="relu")(figures)])
    model = set_weights(run, api.Model([picture, figures], layers.Dense(2)(h)))
    model.compile(optimizer=api.optimizers.SGD(0.05), loss="mean_squared_error")
    n = rows_for(6)
    run.train(model, [run.reals(n, 6, 5, 2), run.reals(n, 4)], run.reals(n, 2), 6)


@case("picture/constrained")
def constrained(api: Any, run: Run) -> None:
    layers, constraints = api.layers, api.constraints
    x = layers.Input(PICTURE)
    columns, depth = constraints.MaxNorm(0.8, axis=[0, 1, 2]), constraints.UnitNorm(axis=[0, 1])
    h = layers.Conv2D(5, 3, activation="elu", kernel_constraint=columns)(x)
    h = layers.DepthwiseConv2D(2, depth_multiplier=4, depthwise_constraint=depth)(h)
    h = layers.Conv2D(4, 2, kernel_constraint=constraints.NonNeg(), bias_constraint="non_neg")(h)
    y = layers.Dense(2)(layers.Flatten()(h))
    optimizer = api.optimizers.SGD(0.005, momentum=0.5)
    train(api, run, x, y, PICTURE, 5, "mean_squared_error", optimizer)


@case("picture/clipped")
def clipped(api: Any, run: Run) -> None:
    """The global norm takes in kernels of every rank."""
    layers = api.layers
    x = layers.Input(PICTURE)
    h = layers.SeparableConv2D(6, 3, activation="relu")(layers.Conv2D(5, 2, activation="elu")(x))
    y = layers.Dense(3)(layers.GlobalAveragePooling2D()(h))
    optimizer = api.optimizers.Adam(0.01, global_clipnorm=0.1)
    train(api, run, x, y, PICTURE, 5, "mean_squared_error", optimizer)


@case("picture/shared")
def shared(api: Any, run: Run) -> None:
    """One convolution on pictures of two sizes."""
    layers = api.layers
    x = layers.Input(PICTURE)
    tower = layers.Conv2D(3, 3, **SAME, activation="elu")
    a, b = tower(x), tower(layers.AveragePooling2D(2)(tower(x)))
    h = layers.Concatenate()([layers.GlobalMaxPooling2D()(a), layers.GlobalAveragePooling2D()(b)])
    optimizer = api.optimizers.SGD(0.05)
    train(api, run, x, layers.Dense(2)(h), PICTURE, 5, "mean_squared_error", optimizer)

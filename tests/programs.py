"""Models of all kinds, and the programs that they become."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from test_callable_loss import crossentropy
from test_numpy_layer import DenseTanh

import fastnn as fnn
from fastnn import layers, losses, metrics
from fastnn.lowering.gradients.clipping import Clipping
from fastnn.lowering.gradients.settings import Updates
from fastnn.lowering.lower import lower
from fastnn.lowering.objective import Objective
from fastnn.lowering.program import Op, Program
from fastnn.lowering.trace import trace

CROSSENTROPY = losses.SparseCategoricalCrossentropy()


def traced(model: Any) -> Any:
    return trace(model.inputs, model.outputs, model.nodes)


def updates_of(model: Any) -> Updates:
    """SGD with momentum: a slot for each variable."""
    slots = {v: [np.zeros_like(v.storage)] for v in model.trainable_weights}
    return Updates(dict.fromkeys(slots, "momentum"), slots)


def training_program(model: Any, *found: Any, capacity: int = 32, **settings: Any) -> Program:
    """The training program for losses, one for each output."""
    objectives = [loss if isinstance(loss, Objective) else Objective(loss) for loss in found]
    return lower(traced(model), capacity, objectives, updates_of(model), **settings)


def counts(program: Program) -> Counter[str]:
    return Counter(op.name for op in program.ops)


def operands(op: Op) -> dict[str, Any]:
    """By name, as ``make_op`` takes them."""
    values = [*op.tensors, *op.integers, *op.numbers]
    return dict(zip([*op.spec.tensors, *op.spec.integers, *op.spec.numbers], values, strict=True))


def find(program: Program, name: str) -> list[dict[str, Any]]:
    return [operands(op) for op in program.ops if op.name == name]


# Models


def example(hidden: int = 64) -> Any:
    """The project's example: scaling, flattening, two dense layers, softmax."""
    return fnn.Sequential(
        [
            layers.Input((28, 28)),
            layers.Rescaling(1 / 255),
            layers.Flatten(),
            layers.Dense(hidden, activation="relu", name="hidden"),
            layers.Dense(10, activation="softmax", name="digits"),
        ]
    )


def residual() -> Any:
    """Shared, added, concatenated and non-trainable layers, and an output in the middle."""
    x = layers.Input((5,))
    other = layers.Input((3,))
    shared = layers.Dense(5, activation="tanh", name="shared")
    h = shared(x)
    h = layers.Add()([shared(h), h, h])
    frozen = layers.Dense(4, activation="softplus", name="frozen")
    side = frozen(other)
    frozen.trainable = False
    joined = layers.Concatenate()([h, side, layers.Dense(17, activation="gelu")(h)])
    last = layers.Dense(3)(layers.Activation("silu")(joined))
    return fnn.Model([x, other], [last, h])


def logits_and_probabilities() -> Any:
    x = layers.Input((6,))
    logits = layers.Dense(4)(x)
    return fnn.Model(x, [logits, layers.Softmax()(logits)])


def pictures() -> Any:
    """Few channels and many, normalization over the batch between convolutions, noise, a sum."""
    x = layers.Input((9, 8, 3))
    h = layers.Conv2D(20, 3, padding="same", activation="relu")(layers.Rescaling(0.1)(x))
    h = layers.MaxPooling2D()(h)
    h = layers.Dropout(0.5)(h)
    h = layers.BatchNormalization()(layers.Conv2D(18, 3, padding="same")(h))
    h = layers.Add()([h, layers.Conv2D(18, 1, activation="gelu")(h)])
    h = layers.AveragePooling2D(2, 1)(h)
    return fnn.Model(x, layers.Dense(4, activation="softmax")(layers.Flatten()(h)))


def functions() -> Any:
    """A layer and a loss in Python."""
    x = layers.Input((5,))
    h = DenseTanh(19)(layers.Dense(7)(x))
    return fnn.Model(x, [layers.Dense(3, "softmax")(h), h])


def clipped_program(**settings: Any) -> Program:
    """In small batches: one gradient's norm comes from a product, one is stored."""
    model = example(hidden=400)
    updates = replace(updates_of(model), halts=True, clipping=Clipping(global_norm=1.0))
    return lower(traced(model), 20, [Objective(CROSSENTROPY)], updates, **settings)


PROGRAMS: dict[str, Callable[[], Program]] = {
    "example": lambda: training_program(example(), CROSSENTROPY, capacity=70),
    "example-sparse": lambda: training_program(
        example(), CROSSENTROPY, capacity=300, sparse={0: 400}
    ),
    "example-predict": lambda: lower(traced(example()), 1000, predict=True),
    "example-evaluate": lambda: lower(
        traced(example()), 33, [Objective(CROSSENTROPY, [metrics.SparseCategoricalAccuracy()])]
    ),
    "residual": lambda: training_program(
        residual(), losses.MeanSquaredError(), losses.MeanAbsoluteError(), capacity=17
    ),
    "logits-and-probabilities": lambda: training_program(
        logits_and_probabilities(), losses.MeanSquaredError(), CROSSENTROPY
    ),
    "functions": lambda: training_program(
        functions(),
        Objective(losses.CallableLoss(crossentropy), labels=True),
        losses.MeanSquaredError(),
        capacity=21,
    ),
    "pictures": lambda: training_program(pictures(), CROSSENTROPY, capacity=7),
    "pictures-stored": lambda: training_program(pictures(), CROSSENTROPY, capacity=20, store=True),
    "pictures-observed": lambda: training_program(pictures(), CROSSENTROPY, window=9),
    "pictures-predict": lambda: lower(traced(pictures()), 5, predict=True),
    "example-clipped": clipped_program,
    "example-clipped-sparse": lambda: clipped_program(sparse={0: 400}),
    "example-clipped-observed": lambda: clipped_program(window=9),
    "example-observed": lambda: training_program(example(), CROSSENTROPY, capacity=70, window=9),
    "residual-observed": lambda: training_program(
        residual(), losses.MeanSquaredError(), losses.MeanAbsoluteError(), window=9, store=True
    ),
}  # fmt: skip

"""The best of a plain MLP on MNIST, without altered images: BatchNorm, noise, and a long descent.

    python examples/recipes/mnist_best.py

The supervised baseline of Rasmus et al. (2015, "Semi-supervised learning with ladder networks",
table 1): normal noise on the pixels and after each normalization. They report 99.20 % after 150
epochs.
"""

from recipe import CLASSES, main

import fastnn as fnn
from fastnn import layers, optimizers

WIDTHS = (1000, 500, 250, 250, 250)
NOISE = 0.3


def hidden(width: int) -> list[layers.Layer]:
    return [
        layers.Dense(width, use_bias=False),
        layers.BatchNormalization(),
        layers.GaussianNoise(NOISE),
        layers.ReLU(),
    ]


def build(steps: int) -> fnn.Sequential:
    model = fnn.Sequential(
        [
            layers.Input((28, 28)),
            layers.Rescaling(1 / 255),
            layers.Flatten(),
            layers.GaussianNoise(NOISE),
            *(layer for width in WIDTHS for layer in hidden(width)),
            layers.Dense(CLASSES, activation="softmax"),
        ]
    )
    falling = optimizers.schedules.PolynomialDecay(2e-3, steps, 0.0)
    model.compile(
        optimizers.Adam(falling), loss="sparse_categorical_crossentropy", metrics=["accuracy"]
    )
    return model


if __name__ == "__main__":
    main(__doc__, build, epochs=50, batch_size=100)

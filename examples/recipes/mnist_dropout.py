"""Keras's classic MLP for MNIST: two layers of 512 with dropout, 20 epochs.

    python examples/recipes/mnist_dropout.py

The net and the batches of Keras's example "mnist_mlp" (Chollet 2015), whose author names 98.40 %
with RMSprop at one rate. Here it is Adam, with a rate that falls to zero.
"""

from recipe import CLASSES, main

import fastnn as fnn
from fastnn import layers, optimizers


def build(steps: int) -> fnn.Sequential:
    model = fnn.Sequential(
        [
            layers.Input((28, 28)),
            layers.Rescaling(1 / 255),
            layers.Flatten(),
            layers.Dense(512, activation="relu"),
            layers.Dropout(0.2),
            layers.Dense(512, activation="relu"),
            layers.Dropout(0.2),
            layers.Dense(CLASSES, activation="softmax"),
        ]
    )
    falling = optimizers.schedules.CosineDecay(1e-3, steps)
    model.compile(
        optimizers.Adam(falling), loss="sparse_categorical_crossentropy", metrics=["accuracy"]
    )
    return model


if __name__ == "__main__":
    main(__doc__, build, epochs=20, batch_size=128)

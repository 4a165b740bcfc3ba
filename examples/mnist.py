"""Recognise handwritten digits: the classic first network, from the data to the pictures.

    python examples/mnist.py --output pictures

writes pictures/predictions.png and pictures/history.png. They need matplotlib:
``pip install fastnn[plots]``.
"""

import argparse
from pathlib import Path

import numpy as np

import fastnn as fnn
from fastnn import datasets, layers, optimizers, plots

parser = argparse.ArgumentParser(description="Train a network on MNIST and draw how it did.")
parser.add_argument("--epochs", type=int, default=50, help="passes over the data (default: 50)")
parser.add_argument(
    "--output",
    type=Path,
    default=Path("."),
    metavar="DIR",
    help="directory of the pictures (default: here)",
)
arguments = parser.parse_args()
arguments.output.mkdir(parents=True, exist_ok=True)

# The same seed gives the same network, to the last bit, on any number of threads.
fnn.utils.set_random_seed(0)

# 60,000 images to learn from and 10,000 to be tested with: 28 x 28 pixels, 0 (paper) to 255 (ink),
# and the digit that each one shows.
(x_train, y_train), (x_test, y_test) = datasets.mnist.load_data()

# Pixels are brought to [0, 1] and laid out in one row of 784. 512 hidden units look at all of them;
# ten outputs, one a digit, give probabilities that add up to 1.
model = fnn.Sequential(
    [
        layers.Input((28, 28)),
        layers.Rescaling(1 / 255),
        layers.Flatten(),
        layers.Dense(512, activation="relu"),
        layers.Dense(10, activation="softmax"),
    ]
)
model.summary()

# Cross-entropy is small where the right digit gets a high probability. "Sparse" means that a label
# is the digit itself, 7 say, rather than ten numbers of which the one for 7 is 1.
model.compile(
    optimizer=optimizers.Adam(0.001),
    loss="sparse_categorical_crossentropy",
    metrics=["accuracy"],
)

# The last fifth of the training images is kept back. How the network does on them after each epoch
# tells when it stops learning digits and begins to learn these very images by heart.
history = model.fit(x_train, y_train, epochs=arguments.epochs, validation_split=0.2)

loss, accuracy = model.evaluate(x_test, y_test, verbose=0)
print(f"test loss: {loss:.4f}")
print(f"test accuracy: {accuracy:.4f}")

# Fifteen test images, each beside the ten probabilities that the network gives it, blue where it is
# right and red where it is wrong: the first twelve, and its first three mistakes after them.
probabilities = model.predict(x_test, verbose=0)
mistakes = np.flatnonzero(probabilities.argmax(axis=1) != y_test)
shown = np.concatenate([np.arange(12), mistakes[mistakes >= 12][:3]])
figure = plots.predictions(x_test[shown], y_test[shown], probabilities[shown])
figure.savefig(arguments.output / "predictions.png")
plots.history(history).savefig(arguments.output / "history.png")
print(f"pictures: {arguments.output / 'predictions.png'}, {arguments.output / 'history.png'}")

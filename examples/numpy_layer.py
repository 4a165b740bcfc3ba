"""A layer of your own, written in NumPy, and a loss and a metric of your own beside it.

    python examples/numpy_layer.py

trains a net on MNIST that has a maxout layer (Goodfellow et al., "Maxout networks", 2013), which
fastnn does not have, and checks its gradient by finite differences first.
"""

import os

# Products this small are not worth NumPy's own threads, which would take the cores from fastnn's.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np

import fastnn as fnn
from fastnn import datasets, layers


class Maxout(layers.NumPyLayer):
    """The largest of ``pieces`` linear functions of x, for each of ``units`` outputs."""

    def __init__(self, units, pieces=2, **settings):
        super().__init__(**settings)
        self.units = units
        self.pieces = pieces

    def compute_output_shape(self, input_shape):
        return (None, self.units)

    def create_weights(self, input_shape):
        width = self.units * self.pieces
        self.add_weight((input_shape[1], width), "he_uniform", "kernel")
        self.add_weight((width,), "zeros", "bias")

    def forward(self, x, kernel, bias):
        return self._pieces(x, kernel, bias).max(axis=2)

    def backward(self, x, y, dy, kernel, bias):
        pieces = self._pieces(x, kernel, bias)
        largest = pieces.argmax(axis=2)[:, :, None] == np.arange(self.pieces)
        dz = (dy[:, :, None] * largest).reshape(len(x), -1)
        return dz @ kernel.T, x.T @ dz, dz.sum(axis=0)

    def _pieces(self, x, kernel, bias):
        return (x @ kernel + bias).reshape(len(x), self.units, self.pieces)

    def get_config(self):
        return {**super().get_config(), "units": self.units, "pieces": self.pieces}


def crossentropy(y_true, y_pred):
    """Of labels (batch,) and probabilities (batch, 10): a loss for each row, and the gradient of
    their mean."""
    rows = np.arange(len(y_true))
    right = np.maximum(y_pred[rows, y_true], 1e-7)
    gradient = np.zeros_like(y_pred)
    gradient[rows, y_true] = -1 / right / len(rows)
    return -np.log(right), gradient


def worst_digit(y_true, y_pred):
    """The accuracy on the digit that is recognised worst, of all rows of an epoch."""
    right = y_pred.argmax(axis=1) == y_true
    return min(right[y_true == digit].mean() for digit in range(10))


def check_gradient(layer, features):
    """dx and dw of sum(y * dy) against central differences, in float64."""
    random = np.random.default_rng(0)
    layer(layers.Input((features,)))
    arguments = [random.normal(size=(4, features)), *map(np.float64, layer.get_weights())]
    y = layer.forward(*arguments)
    dy = random.normal(size=y.shape)
    gradients = layer.backward(arguments[0], y, dy, *arguments[1:])
    for argument, gradient in zip(arguments, gradients, strict=True):
        for place in random.integers(0, argument.size, 20):
            values = []
            for step in (1e-5, -1e-5):
                argument.flat[place] += step
                values.append((layer.forward(*arguments) * dy).sum())
                argument.flat[place] -= step
            slope = (values[0] - values[1]) / 2e-5
            np.testing.assert_allclose(gradient.flat[place], slope, rtol=1e-4, atol=1e-6)


def main():
    fnn.utils.set_random_seed(0)
    check_gradient(Maxout(5, 3), features=7)
    (x, y), (x_test, y_test) = datasets.mnist.load_data()
    model = fnn.Sequential(
        [
            layers.Input((28, 28)),
            layers.Rescaling(1 / 255),
            layers.Flatten(),
            layers.Dense(128, activation="relu"),
            Maxout(64),
            layers.Dense(10, activation="softmax"),
        ]
    )
    model.summary()
    model.compile("adam", loss=crossentropy, metrics=["sparse_categorical_accuracy", worst_digit])
    model.fit(x, y, batch_size=128, epochs=3, validation_split=0.1)
    results = model.evaluate(x_test, y_test, verbose=0, return_dict=True)
    print("  ".join(f"test {name}: {value:.4f}" for name, value in results.items()))


if __name__ == "__main__":
    main()

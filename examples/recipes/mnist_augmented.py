"""The convolutional net of mnist_convnet.py, on digits that are shifted, turned and stretched.

    python examples/recipes/mnist_augmented.py

In each step every digit is moved by up to two pixels, turned by up to 10 degrees, and made up to
10 % larger or smaller, anew: the net never sees the same picture twice, so it may train for longer.
A digit that was changed no more than this is the same digit still; mirrored it would not be.
"""

from functools import partial

from convnet import build
from recipe import main

from fastnn import layers


def changes() -> list[layers.Layer]:
    # What comes in from outside is paper, 0.
    outside = {"fill_mode": "constant", "fill_value": 0.0}
    return [
        layers.RandomRotation(10 / 360, **outside),
        layers.RandomZoom(0.1, 0.1, **outside),
        layers.RandomTranslation(0.08, 0.08, **outside),
    ]


if __name__ == "__main__":
    main(__doc__, partial(build, changes=changes), epochs=20, batch_size=128, one_hot=True)

"""The convolutional net of mnist_convnet.py, on digits that are shifted, turned and stretched.

    python examples/recipes/mnist_augmented.py

In each step every digit is moved by up to two pixels, turned by up to 10 degrees, and made up to
10 % larger or smaller, anew: the net never sees the same picture twice, so it may train for longer.
A digit that was changed no more than this is the same digit still; mirrored it would not be.
Shifts by whole pixels keep the strokes as sharp as they are in the pictures that the net will see.

The changes are what keeps this net from learning its pictures by heart, so it drops less than that
of mnist_convnet.py: this was settled on training rows that were held out (--held-out 10000).
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
        layers.RandomTranslation(0.08, 0.08, interpolation="nearest", **outside),
    ]


if __name__ == "__main__":
    net = partial(build, changes=changes, dropout=(0, 0, 0, 0.3))
    main(__doc__, net, epochs=20, batch_size=128, one_hot=True)

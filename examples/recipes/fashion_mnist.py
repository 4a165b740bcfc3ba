"""A convolutional net on Fashion-MNIST, whose clothes may be mirrored and shifted.

    python examples/recipes/fashion_mnist.py DIRECTORY

DIRECTORY holds its four IDX files, plain or .gz, from
https://github.com/zalandoresearch/fashion-mnist. The net is that of mnist_convnet.py.
"""

from functools import partial

from convnet import build
from recipe import main

from fastnn import layers


def changes() -> list[layers.Layer]:
    return [
        layers.RandomFlip("horizontal"),
        layers.RandomTranslation(0.08, 0.08, fill_mode="constant", interpolation="nearest"),
    ]


if __name__ == "__main__":
    net = partial(build, changes=changes)
    main(__doc__, net, epochs=20, batch_size=128, one_hot=True, takes_directory=True)

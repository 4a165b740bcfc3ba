"""A convolutional net on MNIST, without altered images: five convolutions, BatchNorm, dropout.

    python examples/recipes/mnist_convnet.py

Five convolutions, wider as the pictures shrink (Simonyan & Zisserman 2015), each with
BatchNormalization; a rate that goes up and down once (Smith & Topin 2019); labels that are smoothed
(Szegedy et al. 2016), so that the net does not strive for certainty.
"""

from convnet import build
from recipe import main

if __name__ == "__main__":
    main(__doc__, build, epochs=12, batch_size=128, one_hot=True)

"""The nets that the command line offers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fastnn.layers import Layer

NETS = ("mlp", "convnet")
FILTERS = (32, 64, 128)
"""Of the convolutions of a convnet."""

AUGMENTATIONS = ("flip", "shift", "rotate", "zoom")


def hidden_layers(
    net: str, shape: tuple[int, ...], widths: Sequence[int], activation: str, initializer: str
) -> list[Layer]:
    """Those between examples of ``shape`` and the output layer.

    Args:
        net: "mlp": Dense layers. "convnet": three times a 3x3 convolution, BatchNormalization,
            activation and 2x2 max pooling, as far as the picture has 2x2 left to pool; then Dropout
            and Dense layers.
        shape: Of one example; (height, width, channels) for a convnet.
        widths: Of the Dense layers.
    """
    from fastnn import layers

    found: list[Layer] = []
    if net == "convnet":
        height, width = shape[:2]
        for filters in FILTERS:
            found += [
                layers.Conv2D(
                    filters, 3, padding="same", use_bias=False, kernel_initializer=initializer
                ),
                # Keras's momentum, 0.99, would need hundreds of steps until evaluation sees the
                # statistics that training saw; a small folder has fewer.
                layers.BatchNormalization(momentum=0.9),
                layers.Activation(activation),
            ]
            if min(height, width) >= 2:
                found.append(layers.MaxPooling2D())
                height, width = height // 2, width // 2
        found += [layers.Flatten(), layers.Dropout(0.5)]
    elif len(shape) > 1:
        found.append(layers.Flatten())
    return found + [
        layers.Dense(width, activation=activation, kernel_initializer=initializer)
        for width in widths
    ]


def augmentation(names: Sequence[str]) -> list[Layer]:
    """Layers for pictures: such changes as leave nearly all things what they are."""
    from fastnn import layers

    makers: dict[str, Callable[[], Layer]] = {
        "flip": lambda: layers.RandomFlip("horizontal"),
        "shift": lambda: layers.RandomTranslation(0.1, 0.1, fill_mode="nearest"),
        "rotate": lambda: layers.RandomRotation(10 / 360, fill_mode="nearest"),
        "zoom": lambda: layers.RandomZoom(0.1, fill_mode="nearest"),
    }
    return [makers[name]() for name in names]

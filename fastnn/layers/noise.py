"""Layers that add noise while a model trains, and leave their input as it is otherwise."""

from __future__ import annotations

from typing import Any, ClassVar

from fastnn import utils
from fastnn._checks import check_integer, check_real
from fastnn.graph import Shape
from fastnn.layers.base import Layer
from fastnn.layers.spatial import check_data_format, check_spatial


def noise_seed(owner: str, argument: str, seed: int | None) -> int:
    """``seed``, checked; or one drawn from the stream that ``set_random_seed`` fixes."""
    if seed is None:
        return int(utils.generator("noise").integers(2**63))
    number = check_integer(owner, argument, seed, at_least=0)
    if number >= 2**63:
        raise ValueError(f"{owner}: {argument} must be below 2**63, got {number}")
    return number


class Noise(Layer):
    """Base of the layers that add noise. Output shape = input shape.

    The noise is a function of the seed, of the layer's place among those of the model that use
    random numbers, of the optimizer's ``iterations``, and of row and column. So it is the same for
    any number of threads, and for a model that is saved, loaded and trained on.

    Attributes:
        seed : int: As given, or as drawn. It is part of the configuration, as the state of Keras's
            seed generator is part of what Keras saves.
    """

    def __init__(
        self, seed: int | None = None, *, name: str | None = None, trainable: bool = True
    ) -> None:
        self.seed = noise_seed(type(self).__name__, "seed", seed)
        super().__init__(name=name, trainable=trainable)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "seed": self.seed}


class Dropout(Noise):
    """In training, each number of the input becomes 0 with probability ``rate``; the others are
    multiplied by ``1 / (1 - rate)`` (Srivastava et al. 2014, "Dropout: A Simple Way to Prevent
    Neural Networks from Overfitting", in the form that leaves inference alone).

    Keras's ``noise_shape`` isn't there, and its rate of 1, which leaves nothing, is refused.

    Args:
        rate: In [0, 1); kept to within 2**-32.
        seed: From 0 to 2**63 - 1. By default one is drawn from the stream that
            ``set_random_seed`` fixes.
    """

    def __init__(
        self,
        rate: float,
        seed: int | None = None,
        *,
        name: str | None = None,
        trainable: bool = True,
    ) -> None:
        self.rate = check_real("Dropout", "rate", rate, at_least=0, below=1)
        super().__init__(seed, name=name, trainable=trainable)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "rate": self.rate}


class SpatialDropout(Noise):
    """Base: in training, each channel of an example becomes 0 as a whole with probability ``rate``;
    the others are multiplied by ``1 / (1 - rate)`` (Tompson et al. 2015). Output shape = input
    shape. Where neighbours are much alike, as in pictures, Dropout would leave what it drops there
    for them to say."""

    rank: ClassVar[int]

    def __init__(
        self,
        rate: float,
        seed: int | None = None,
        *,
        name: str | None = None,
        trainable: bool = True,
    ) -> None:
        self.rate = check_real(type(self).__name__, "rate", rate, at_least=0, below=1)
        super().__init__(seed, name=name, trainable=trainable)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        check_spatial(self, self.rank, input_shape)
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "rate": self.rate}


class SpatialDropout1D(SpatialDropout):
    """In training, each channel of an example of (batch, steps, channels) becomes 0 as a whole with
    probability ``rate``; the others are multiplied by ``1 / (1 - rate)`` (Tompson et al. 2015).

    Args:
        rate, seed: As for :class:`Dropout`.
    """

    rank = 1


class SpatialDropout2D(SpatialDropout):
    """In training, each channel of a picture of (batch, height, width, channels) becomes 0 as a
    whole with probability ``rate``; the others are multiplied by ``1 / (1 - rate)`` (Tompson et al.
    2015, "Efficient Object Localization Using Convolutional Networks").

    Args:
        rate, seed: As for :class:`Dropout`.
        data_format: None or "channels_last".
    """

    rank = 2

    def __init__(
        self,
        rate: float,
        data_format: str | None = None,
        seed: int | None = None,
        *,
        name: str | None = None,
        trainable: bool = True,
    ) -> None:
        self.data_format = check_data_format("SpatialDropout2D", data_format)
        super().__init__(rate, seed, name=name, trainable=trainable)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "data_format": self.data_format}


class GaussianNoise(Noise):
    """In training, normal random numbers with mean 0 and deviation ``stddev`` are added.

    Args:
        stddev: At least 0; as in Keras at most 1.
        seed: From 0 to 2**63 - 1. By default one is drawn from the stream that
            ``set_random_seed`` fixes.
    """

    def __init__(
        self,
        stddev: float,
        seed: int | None = None,
        *,
        name: str | None = None,
        trainable: bool = True,
    ) -> None:
        self.stddev = check_real("GaussianNoise", "stddev", stddev, at_least=0, at_most=1)
        super().__init__(seed, name=name, trainable=trainable)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "stddev": self.stddev}

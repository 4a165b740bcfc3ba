"""Layers that change pictures at random while a model trains, and leave them alone otherwise."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastnn._checks import check_choice, check_integer, check_real
from fastnn.graph import Shape
from fastnn.layers.noise import Noise
from fastnn.layers.spatial import check_data_format, check_spatial

FLIPS = ("horizontal", "vertical", "horizontal_and_vertical")
FILL_MODES = ("reflect", "wrap", "constant", "nearest")
INTERPOLATIONS = ("nearest", "bilinear")

Factor = float | Sequence[float]


class Augmentation(Noise):
    """Base: (batch, height, width, channels), pixels of any range.

    Each picture of a batch has random numbers of its own, which are a function of the seed, of the
    layer's place among those of the model that use random numbers, of the optimizer's
    ``iterations`` and of the picture's row. So a picture is changed in another way in each epoch,
    and all of it is the same for any number of threads, and for a training that was saved and goes
    on. Several such layers work one after another, as in Keras; flips and crops lose nothing,
    each of the other moves interpolates anew.

    Its input gets no gradient: in ``fit`` it is a ValueError if weights that train come before it.

    Args:
        seed: From 0 to 2**63 - 1. By default one is drawn from the stream that
            ``set_random_seed`` fixes.
        data_format: None or "channels_last".
    """

    def __init__(
        self,
        seed: int | None = None,
        data_format: str | None = None,
        *,
        name: str | None = None,
        trainable: bool = True,
    ) -> None:
        self.data_format = check_data_format(type(self).__name__, data_format)
        super().__init__(seed, name=name, trainable=trainable)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        check_spatial(self, 2, input_shape)
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "data_format": self.data_format}


class RandomFlip(Augmentation):
    """In training, each picture is mirrored with probability 1/2.

    Args:
        mode: "horizontal" (left and right change places), "vertical", or
            "horizontal_and_vertical": each with probability 1/2, independently. Keras flips both
            ways at once or not at all.
        seed: From 0 to 2**63 - 1. By default one is drawn from the stream that
            ``set_random_seed`` fixes.
        data_format: None or "channels_last".
    """

    def __init__(
        self,
        mode: str = "horizontal_and_vertical",
        seed: int | None = None,
        data_format: str | None = None,
        *,
        name: str | None = None,
        trainable: bool = True,
    ) -> None:
        self.mode = check_choice("RandomFlip", "mode", mode, FLIPS)
        super().__init__(seed, data_format, name=name, trainable=trainable)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "mode": self.mode}


class Warp(Augmentation):
    """Base of those that read each pixel from another place.

    Args:
        fill_mode: What is beyond the edges: "reflect" (d c b a | a b c d | d c b a), "wrap"
            (a b c d | a b c d | a b c d), "nearest" (a a a a | a b c d | d d d d), or "constant":
            ``fill_value``.
        interpolation: "bilinear", or "nearest".
    """

    def __init__(
        self,
        fill_mode: str,
        interpolation: str,
        seed: int | None,
        fill_value: float,
        data_format: str | None,
        name: str | None,
        trainable: bool,
    ) -> None:
        owner = type(self).__name__
        self.fill_mode = check_choice(owner, "fill_mode", fill_mode, FILL_MODES)
        self.interpolation = check_choice(owner, "interpolation", interpolation, INTERPOLATIONS)
        self.fill_value = check_real(owner, "fill_value", fill_value)
        super().__init__(seed, data_format, name=name, trainable=trainable)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "fill_mode": self.fill_mode,
            "interpolation": self.interpolation,
            "fill_value": self.fill_value,
        }


class RandomTranslation(Warp):
    """In training, each picture is moved by random fractions of its height and width.

    Args:
        height_factor: (lowest, highest) fraction, within -1 and 1; positive is down. One number f
            stands for (-f, f).
        width_factor: Likewise; positive is to the right.
        fill_mode: What comes in from beyond the edges: "reflect" (d c b a | a b c d | d c b a),
            "wrap" (a b c d | a b c d | a b c d), "nearest" (a a a a | a b c d | d d d d), or
            "constant": ``fill_value``.
        interpolation: "bilinear" or "nearest".
        seed: From 0 to 2**63 - 1. By default one is drawn from the stream that
            ``set_random_seed`` fixes.
        fill_value: For fill_mode "constant".
        data_format: None or "channels_last".

    Attributes:
        height_factor, width_factor : tuple of float: (lowest, highest).
    """

    def __init__(
        self,
        height_factor: Factor,
        width_factor: Factor,
        fill_mode: str = "reflect",
        interpolation: str = "bilinear",
        seed: int | None = None,
        fill_value: float = 0.0,
        data_format: str | None = None,
        *,
        name: str | None = None,
        trainable: bool = True,
    ) -> None:
        self.height_factor = _interval("RandomTranslation", "height_factor", height_factor)
        self.width_factor = _interval("RandomTranslation", "width_factor", width_factor)
        super().__init__(fill_mode, interpolation, seed, fill_value, data_format, name, trainable)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "height_factor": list(self.height_factor),
            "width_factor": list(self.width_factor),
        }


class RandomRotation(Warp):
    """In training, each picture is turned around its middle by a random angle.

    Args:
        factor: (lowest, highest) fraction of a full turn, within -1 and 1; positive is
            counter-clockwise. One number f stands for (-f, f): 0.1 is 36 degrees either way.
        fill_mode, interpolation, seed, fill_value, data_format: As for :class:`RandomTranslation`.

    Attributes:
        factor : tuple of float: (lowest, highest).
    """

    def __init__(
        self,
        factor: Factor,
        fill_mode: str = "reflect",
        interpolation: str = "bilinear",
        seed: int | None = None,
        fill_value: float = 0.0,
        data_format: str | None = None,
        *,
        name: str | None = None,
        trainable: bool = True,
    ) -> None:
        self.factor = _interval("RandomRotation", "factor", factor)
        super().__init__(fill_mode, interpolation, seed, fill_value, data_format, name, trainable)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "factor": list(self.factor)}


class RandomZoom(Warp):
    """In training, each picture is zoomed at its middle: what is read reaches over 1 + f of its
    height and width, f being random.

    Args:
        height_factor: (lowest, highest) f, above -1 and at most 1; positive zooms out, negative in.
            One number f stands for (-f, f).
        width_factor: Likewise; by default the number drawn for the height, which keeps proportions.
        fill_mode, interpolation, seed, fill_value, data_format: As for :class:`RandomTranslation`.

    Attributes:
        height_factor : tuple of float: (lowest, highest).
        width_factor : tuple of float, or None
    """

    def __init__(
        self,
        height_factor: Factor,
        width_factor: Factor | None = None,
        fill_mode: str = "reflect",
        interpolation: str = "bilinear",
        seed: int | None = None,
        fill_value: float = 0.0,
        data_format: str | None = None,
        *,
        name: str | None = None,
        trainable: bool = True,
    ) -> None:
        self.height_factor = _interval("RandomZoom", "height_factor", height_factor, above=-1)
        self.width_factor = (
            None
            if width_factor is None
            else _interval("RandomZoom", "width_factor", width_factor, above=-1)
        )
        super().__init__(fill_mode, interpolation, seed, fill_value, data_format, name, trainable)

    def get_config(self) -> dict[str, Any]:
        width = self.width_factor
        return {
            **super().get_config(),
            "height_factor": list(self.height_factor),
            "width_factor": None if width is None else list(width),
        }


class RandomCrop(Augmentation):
    """In training, a window of each picture at a random place; otherwise its middle.

    Takes (batch, rows, columns, channels), makes (batch, height, width, channels). The middle
    begins at row (rows - height) // 2, and likewise. Keras takes one place for all pictures of a
    batch, leaves them whole when it does not train, and resizes those that are too small; here the
    last is a ValueError when the layer is built.

    Args:
        height, width: Of the window.
        seed: From 0 to 2**63 - 1. By default one is drawn from the stream that
            ``set_random_seed`` fixes.
        data_format: None or "channels_last".
    """

    def __init__(
        self,
        height: int,
        width: int,
        seed: int | None = None,
        data_format: str | None = None,
        name: str | None = None,
        *,
        trainable: bool = True,
    ) -> None:
        self.height = check_integer("RandomCrop", "height", height, at_least=1)
        self.width = check_integer("RandomCrop", "width", width, at_least=1)
        super().__init__(seed, data_format, name=name, trainable=trainable)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        rows, columns = check_spatial(self, 2, input_shape)
        if rows < self.height or columns < self.width:
            raise ValueError(
                f"layer {self.name!r} (RandomCrop): a window of {(self.height, self.width)} does "
                f"not fit into inputs of shape {input_shape}"
            )
        return (None, self.height, self.width, input_shape[-1])

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "height": self.height, "width": self.width}


class Tint(Augmentation):
    """Base of those that change values, not places; the result is clipped to ``value_range``."""

    def __init__(
        self, value_range: Sequence[float], seed: int | None, name: str | None, trainable: bool
    ) -> None:
        owner = type(self).__name__
        low, high = _pair(owner, "value_range", value_range)
        if not low < high:
            raise ValueError(
                f"{owner}: value_range must be (lowest, highest), got {tuple(value_range)}"
            )
        self.value_range = (low, high)
        super().__init__(seed, name=name, trainable=trainable)

    def get_config(self) -> dict[str, Any]:
        config = {**super().get_config(), "value_range": list(self.value_range)}
        del config["data_format"]
        return config


class RandomContrast(Tint):
    """In training, ``(x - mean) * f + mean``, f random for each picture, the mean of each channel
    over the picture; clipped to ``value_range``.

    Args:
        factor: (lower, upper) within 0 and 1: f lies between 1 - lower and 1 + upper. One number
            stands for both, as Keras says; what Keras 3.15 does with one number is (0, upper).
        value_range: (lowest, highest) value of a pixel: (0, 1) after a Rescaling(1 / 255).
        seed: From 0 to 2**63 - 1. By default one is drawn from the stream that
            ``set_random_seed`` fixes.

    Attributes:
        factor : tuple of float: (lower, upper).
        value_range : tuple of float
    """

    def __init__(
        self,
        factor: Factor,
        value_range: Sequence[float] = (0, 255),
        seed: int | None = None,
        *,
        name: str | None = None,
        trainable: bool = True,
    ) -> None:
        pair = (
            _pair("RandomContrast", "factor", factor)
            if isinstance(factor, (tuple, list))
            else (factor, factor)
        )
        lower, upper = (
            check_real("RandomContrast", "factor", each, at_least=0, at_most=1) for each in pair
        )
        self.factor = (lower, upper)
        super().__init__(value_range, seed, name, trainable)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "factor": list(self.factor)}


class RandomBrightness(Tint):
    """In training, a random number is added to each picture; clipped to ``value_range``.

    Args:
        factor: (lowest, highest) fraction of the width of ``value_range``, within -1 and 1. One
            number f stands for (-f, f).
        value_range: (lowest, highest) value of a pixel: (0, 1) after a Rescaling(1 / 255).
        seed: From 0 to 2**63 - 1. By default one is drawn from the stream that
            ``set_random_seed`` fixes.

    Attributes:
        factor, value_range : tuple of float
    """

    def __init__(
        self,
        factor: Factor,
        value_range: Sequence[float] = (0, 255),
        seed: int | None = None,
        *,
        name: str | None = None,
        trainable: bool = True,
    ) -> None:
        self.factor = _interval("RandomBrightness", "factor", factor)
        super().__init__(value_range, seed, name, trainable)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "factor": list(self.factor)}


def _pair(owner: str, argument: str, value: object) -> tuple[float, float]:
    if not isinstance(value, (tuple, list)) or len(value) != 2:
        raise ValueError(f"{owner}: {argument} must be two numbers, got {value!r}")
    first, second = (check_real(owner, argument, each) for each in value)
    return first, second


def _interval(
    owner: str, argument: str, value: object, above: float | None = None
) -> tuple[float, float]:
    """(lowest, highest) within -1 and 1, in this order; of one number f, (-f, f)."""
    pair = value if isinstance(value, (tuple, list)) else None
    if pair is None:
        end = abs(check_real(owner, argument, value))
        pair = (-end, end)
    bound = {"at_least": -1.0} if above is None else {"above": above}
    ends = [
        check_real(owner, argument, each, at_most=1, **bound)
        for each in _pair(owner, argument, pair)
    ]
    return min(ends), max(ends)

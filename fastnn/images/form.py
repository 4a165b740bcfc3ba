"""What pictures are brought into: size and channels, and what is refused."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from fastnn._checks import check_choice, check_flag, check_integer

COLOR_MODES = {"rgb": 3, "bgr": 3, "rgba": 4, "grayscale": 1}
"""Each with its number of channels."""

FILTERS = {
    "nearest": "NEAREST",
    "bilinear": "BILINEAR",
    "bicubic": "BICUBIC",
    "area": "BOX",
    "box": "BOX",
    "hamming": "HAMMING",
    "lanczos": "LANCZOS",
    "lanczos3": "LANCZOS",
}
"""Names of interpolations in Keras and Pillow, and the member of ``PIL.Image.Resampling``."""


@dataclass(frozen=True)
class Form:
    """Settings that decide which numbers a file becomes, and whether it is taken.

    Attributes:
        size: Height and width; None leaves them.
        aspect: What happens where the shape differs: "stretch", "crop" or "pad".
        max_pixels: Of the picture in the file; None is ``PIL.Image.MAX_IMAGE_PIXELS``.
        check_suffix: Whether a suffix that names another format than the content's is a fault.
    """

    size: tuple[int, int] | None = None
    color_mode: str = "rgb"
    interpolation: str = "bilinear"
    aspect: str = "stretch"
    max_pixels: int | None = None
    check_suffix: bool = False

    @property
    def channels(self) -> int:
        """Of the array."""
        return COLOR_MODES[self.color_mode]

    def settings(self) -> dict[str, Any]:
        """All of them, as JSON values."""
        return dataclasses.asdict(self)


def checked_form(
    owner: str,
    size: Any,
    color_mode: Any,
    interpolation: Any,
    crop: Any,
    pad: Any,
    max_pixels: Any,
    check_suffix: Any,
) -> Form:
    """The form that a user's arguments mean.

    Raises:
        TypeError, ValueError: One of them is wrong; the message names it.
    """
    crop = check_flag(owner, "crop_to_aspect_ratio", crop)
    pad = check_flag(owner, "pad_to_aspect_ratio", pad)
    if crop and pad:
        raise ValueError(
            f"{owner}: only one of crop_to_aspect_ratio and pad_to_aspect_ratio can be True"
        )
    if isinstance(interpolation, str):
        interpolation = interpolation.lower()
    return Form(
        checked_size(owner, "image_size", size),
        check_choice(owner, "color_mode", color_mode, list(COLOR_MODES)),
        check_choice(owner, "interpolation", interpolation, list(FILTERS)),
        "crop" if crop else "pad" if pad else "stretch",
        max_pixels
        if max_pixels is None
        else check_integer(owner, "max_pixels", max_pixels, at_least=1),
        check_flag(owner, "check_suffix", check_suffix),
    )


def checked_size(owner: str, argument: str, size: Any) -> tuple[int, int]:
    """Height and width, each at least 1; one number is both."""
    if not isinstance(size, (tuple, list)):
        size = (size, size)
    if len(size) != 2:
        raise ValueError(f"{owner}: {argument} must be (height, width), got {size!r}")
    height, width = (check_integer(owner, argument, side, at_least=1) for side in size)
    return height, width

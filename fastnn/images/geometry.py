"""Where a picture goes if its shape must not be distorted. Whole numbers only."""

from __future__ import annotations


def crop_box(
    height: int, width: int, target_height: int, target_width: int
) -> tuple[int, int, int, int]:
    """The largest centred window of the target's proportions: left, top, right, bottom.

    As ``keras.preprocessing.image.smart_resize``.
    """
    inner_height = max(1, min(height, width * target_height // target_width))
    inner_width = max(1, min(width, height * target_width // target_height))
    top, left = (height - inner_height) // 2, (width - inner_width) // 2
    return left, top, left + inner_width, top + inner_height


def place_in(
    height: int, width: int, target_height: int, target_width: int
) -> tuple[int, int, int, int]:
    """Top, left, height and width of the whole picture within the target, with its proportions.

    As ``tf.image.resize_with_pad``, by which Keras's ``pad_to_aspect_ratio`` goes. But of a picture
    as thin as a hair at least one row or column is left.
    """
    if height * target_width >= width * target_height:
        inner = max(1, width * target_height // height)
        left = (target_width * height - width * target_height) // (2 * height)
        return 0, min(left, target_width - inner), target_height, inner
    inner = max(1, height * target_width // width)
    top = (target_height * width - height * target_width) // (2 * width)
    return min(top, target_height - inner), 0, inner, target_width

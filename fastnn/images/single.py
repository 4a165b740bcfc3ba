"""One picture: load_img, img_to_array, array_to_img, save_img."""

from __future__ import annotations

import io
import os
from typing import IO, TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from fastnn._checks import check_choice, check_flag
from fastnn._files import write_whole
from fastnn._warnings import warn
from fastnn.images.decode import SUFFIXES, BadPicture, decode, pillow, read_bytes
from fastnn.images.form import FILTERS, Form, checked_size

if TYPE_CHECKING:
    from PIL.Image import Image

_MODES = ["rgb", "rgba", "grayscale"]


def load_img(
    path: str | bytes | os.PathLike[str] | io.BytesIO,
    color_mode: str = "rgb",
    target_size: int | tuple[int, int] | None = None,
    interpolation: str = "nearest",
    keep_aspect_ratio: bool = False,
) -> Image:
    """Load a picture: PNG, JPEG, BMP, GIF (its first frame) or WebP.

    It is what ``image_dataset_from_directory`` reads of the same file with the same
    ``interpolation``, so a model that learned from a folder can predict from it. Two things are
    other than in Keras: a picture that a camera has marked as turned (EXIF) is turned upright, and
    16 bits a channel become 8, the upper ones, for "grayscale" too.

    Args:
        path: A file, or its content as ``io.BytesIO``. The name does not matter, the content does.
        color_mode: "rgb", "rgba" or "grayscale".
        target_size: (height, width); by default its own.
        interpolation: nearest, bilinear, bicubic, area or box, hamming, lanczos: Pillow's filters.
        keep_aspect_ratio: Crop to the proportions of ``target_size`` first, centred.

    Returns:
        A picture of Pillow, in mode "RGB", "RGBA" or "L".

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: An argument is wrong, or the file is broken, empty, no such picture, or has more
            pixels than ``PIL.Image.MAX_IMAGE_PIXELS``.
        ImportError: Pillow is not installed.
    """
    form = Form(
        None if target_size is None else checked_size("load_img", "target_size", target_size),
        check_choice("load_img", "color_mode", color_mode, _MODES),
        check_choice("load_img", "interpolation", interpolation, list(FILTERS)),
        "crop" if check_flag("load_img", "keep_aspect_ratio", keep_aspect_ratio) else "stretch",
    )
    name = "BytesIO" if isinstance(path, io.BytesIO) else os.fsdecode(path)
    pillow()
    if not isinstance(path, io.BytesIO) and not os.path.exists(path):
        raise FileNotFoundError(f"load_img: {name}: no such file")
    try:
        content = path.getvalue() if isinstance(path, io.BytesIO) else read_bytes(name, form)
        return decode(content, "", form)
    except BadPicture as fault:
        raise ValueError(f"load_img: {name}: {fault}") from fault


def img_to_array(
    img: Any, data_format: str | None = None, dtype: DTypeLike | None = None
) -> NDArray[Any]:
    """The numbers of a picture.

    Args:
        img: A picture of Pillow, or an array (height, width) or (height, width, channels).
        data_format: "channels_last" (the default) or "channels_first".
        dtype: Of the result, float32 by default.

    Returns:
        (height, width, channels), or (channels, height, width). Levels stay 0 to 255.

    Raises:
        ValueError: It has another number of dimensions, or ``data_format`` is none of these.
    """
    first = _channels_first("img_to_array", data_format)
    numbers = np.asarray(img, dtype=dtype or np.float32)
    if numbers.ndim == 2:
        numbers = numbers[:, :, None]
    if numbers.ndim != 3:
        raise ValueError(
            "img_to_array: img must be a picture, (height, width) or (height, width, channels), "
            f"got shape {numbers.shape}"
        )
    return numbers.transpose(2, 0, 1) if first else numbers


def array_to_img(
    x: ArrayLike,
    data_format: str | None = None,
    scale: bool = True,
    dtype: DTypeLike | None = None,
) -> Image:
    """A picture of the numbers of an array.

    Args:
        x: (height, width, channels) with 1, 3 (RGB) or 4 (RGBA) channels.
        data_format: "channels_last" (the default) or "channels_first".
        scale: Stretch the numbers so that the least becomes 0 and the largest 255. Without it they
            must lie in 0 .. 255 (one channel: from 0, and more than 255 makes a picture of 32
            bits); fractions are cut off.
        dtype: Type to compute in, float32 by default.

    Returns:
        A picture of Pillow, in mode "L", "RGB", "RGBA" or "I".

    Raises:
        ValueError: Another shape, or numbers that are not finite or don't fit.
        ImportError: Pillow is not installed.
    """
    image_module = pillow()
    numbers = np.asarray(x, dtype=dtype or np.float32)
    if numbers.ndim != 3 or not numbers.size:
        raise ValueError(
            f"array_to_img: x must have shape (height, width, channels), got {numbers.shape}"
        )
    if _channels_first("array_to_img", data_format):
        numbers = numbers.transpose(1, 2, 0)
    channels = numbers.shape[2]
    if channels not in (1, 3, 4):
        raise ValueError(f"array_to_img: x must have 1, 3 or 4 channels, got {channels}")
    if numbers.dtype.kind == "f" and not np.isfinite(numbers).all():
        raise ValueError("array_to_img: x must be finite")
    if check_flag("array_to_img", "scale", scale):
        numbers = numbers - numbers.min()
        largest = numbers.max()
        numbers = numbers / (largest if largest != 0 else 1) * 255
    low, high = numbers.min(), numbers.max()
    wide = channels == 1 and high >= 256
    if low < 0 or high >= (1 << 31 if wide else 256):
        raise ValueError(
            f"array_to_img: x must lie within 0 .. 255 if scale=False, got {low} .. {high}"
        )
    levels = numbers.astype(np.int32 if wide else np.uint8)
    return image_module.fromarray(
        levels[:, :, 0] if channels == 1 else np.ascontiguousarray(levels)
    )


def save_img(
    path: str | os.PathLike[str] | IO[bytes],
    x: ArrayLike,
    data_format: str | None = None,
    file_format: str | None = None,
    scale: bool = True,
    **kwargs: Any,
) -> None:
    """Write an array as a picture. An exception leaves no half-written file.

    Args:
        path: A file's name, or an open binary file.
        x: (height, width, channels), as for ``array_to_img``.
        data_format: "channels_last" (the default) or "channels_first".
        file_format: "png", "jpeg" ...; by default what ``path`` ends with.
        scale: As for ``array_to_img``. Give False for levels that lie in 0 .. 255 already.
        **kwargs: For ``PIL.Image.Image.save``, such as ``quality``.

    Raises:
        ValueError: ``x`` is no picture, or the format is unknown or missing.
        OSError: The file can't be written; what was there still is.
        ImportError: Pillow is not installed.
    """
    image = array_to_img(x, data_format=data_format, scale=scale)
    is_name = isinstance(path, (str, os.PathLike))
    if file_format is None and is_name:
        file_format = os.path.splitext(os.fspath(path))[1][1:]  # type: ignore[arg-type]
    kind = SUFFIXES.get(f".{file_format}".lower(), str(file_format).upper())
    image_module = pillow()
    image_module.init()
    if kind not in image_module.SAVE:
        raise ValueError(
            f"save_img: file_format must be one of png, jpeg, bmp, gif, webp, got {file_format!r} "
            f"for {path!r}"
        )
    if image.mode == "RGBA" and kind == "JPEG":
        warn("save_img: JPEG has no transparency, saved as RGB")
        image = image.convert("RGB")
    content = io.BytesIO()
    image.save(content, format=kind, **kwargs)
    if is_name:
        # Who writes thousands should not wait for the disk after each.
        write_whole(path, content.getbuffer(), sync=False)  # type: ignore[arg-type]
    else:
        path.write(content.getvalue())  # type: ignore[union-attr]


def _channels_first(owner: str, data_format: str | None) -> bool:
    known = ["channels_last", "channels_first"]
    return check_choice(owner, "data_format", data_format or known[0], known) == known[1]

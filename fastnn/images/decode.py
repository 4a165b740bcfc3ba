"""From the bytes of a picture's file to uint8 numbers, by Pillow."""

from __future__ import annotations

import io
import os
import stat
import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastnn.images.form import FILTERS, Form
from fastnn.images.geometry import crop_box, place_in

SUFFIXES = {
    ".bmp": "BMP",
    ".gif": "GIF",
    ".jpeg": "JPEG",
    ".jpg": "JPEG",
    ".png": "PNG",
    ".webp": "WEBP",
}
"""What a file's name ends with -> Pillow's name of the format."""

_LARGEST_PIXEL = 8
"""Bytes that a pixel takes in a file that holds more of it than noise: 16 bits of four channels."""

_BESIDE_PIXELS = 1 << 26
"""Bytes of a file for what is no pixel: profiles, previews, comments."""

_EIGHT_BITS = ("L", "RGB", "RGBA")


class BadPicture(ValueError):
    """A file that can't be taken as a picture; the message is the reason, without the path."""


class UnreadableFile(BadPicture):
    """What failed is reading, not the content: the next time it may go well."""


def pillow() -> Any:
    """Pillow's module ``Image``.

    Raises:
        ImportError: Pillow is not installed.
    """
    try:
        # The plugins, so that the first pictures don't wait for them.
        from PIL import (  # noqa: F401
            BmpImagePlugin,
            GifImagePlugin,
            Image,
            JpegImagePlugin,
            PngImagePlugin,
            WebPImagePlugin,
        )
    except ImportError as fault:
        raise ImportError("pictures need Pillow: pip install fastnn[images]") from fault
    return Image


def max_pixels(form: Form) -> float:
    """The limit, where neither the form nor Pillow has one: infinity."""
    limit: float | None = form.max_pixels or pillow().MAX_IMAGE_PIXELS
    return float("inf") if limit is None else limit


def read_bytes(path: str, form: Form) -> bytes:
    """The content of a file that a picture within the limit of pixels can be in.

    Raises:
        BadPicture: It can't be read, is no file, or is too large.
    """
    try:
        # NONBLOCK: of a pipe, don't wait for who writes into it
        file = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            status = os.fstat(file)
            if not stat.S_ISREG(status.st_mode):
                raise BadPicture("is no file")
            if status.st_size > _BESIDE_PIXELS:
                most = _LARGEST_PIXEL * max_pixels(form) + _BESIDE_PIXELS
                if status.st_size > most:
                    raise BadPicture(f"has {status.st_size} bytes, more than {most:.0f}")
            content = os.read(file, status.st_size)
            while len(content) < status.st_size and (rest := os.read(file, status.st_size)):
                content += rest
            return content
        finally:
            os.close(file)
    except OSError as error:
        raise UnreadableFile(f"can't be read: {error.strerror or error}") from error


def format_of(content: bytes) -> str | None:
    """Pillow's name of the format that a file's first bytes tell."""
    if content.startswith(b"\x89PNG\r\n\x1a\n"):
        return "PNG"
    if content.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if content.startswith((b"GIF87a", b"GIF89a")):
        return "GIF"
    if content.startswith(b"BM"):
        return "BMP"
    if content.startswith(b"RIFF") and content[8:12] == b"WEBP":
        return "WEBP"
    return None


def decode(content: bytes, suffix: str, form: Form) -> Any:
    """The picture of a file's ``content`` as one of Pillow: upright, in the form's mode and size.

    Of several frames it is the first. 16 bits a channel become the upper 8. Transparency counts for
    "rgba" only: the colours that it hides stay. "bgr" has the order of "rgb" here.

    Args:
        suffix: What the file's name ends with, in lower case.

    Raises:
        BadPicture: Its message is the reason.
    """
    image = _in_size(content, suffix, form)
    return image.convert("RGB") if image.mode == "L" and form.channels == 3 else image


def decode_array(content: bytes, suffix: str, form: Form) -> NDArray[np.uint8]:
    """As :func:`decode`, the numbers: uint8 (height, width, channels)."""
    numbers: NDArray[np.uint8] = np.asarray(_in_size(content, suffix, form))
    if numbers.ndim == 2:
        return np.broadcast_to(numbers[:, :, None], (*numbers.shape, form.channels))
    return numbers[:, :, ::-1] if form.color_mode == "bgr" else numbers


def _in_size(content: bytes, suffix: str, form: Form) -> Any:
    """As :func:`decode`; but gray stays gray where colours are wanted: a third of the work."""
    image = _upright(_loaded(content, suffix, form))
    mode = {"grayscale": "L", "rgba": "RGBA"}.get(form.color_mode, "RGB")
    if image.mode != "L" or mode == "RGBA":
        try:
            image = _eight_bits(image, mode)
        except ValueError as error:
            # A palette may be shorter than what is said of it.
            raise BadPicture(f"is a broken {format_of(content)} picture: {error}") from error
    return image if form.size is None else _resized(image, form.size, form)


def checked_format(content: bytes, suffix: str, form: Form) -> str:
    """Pillow's name of the content's format.

    Raises:
        BadPicture: It is none of ours, or the suffix names another one and the form minds.
    """
    if not content:
        raise BadPicture("is empty")
    kind = format_of(content)
    if kind is None:
        raise BadPicture("is no PNG, JPEG, BMP, GIF or WebP picture")
    if form.check_suffix and SUFFIXES.get(suffix, kind) != kind:
        raise BadPicture(
            f"is a {kind} picture, but its name ends with {suffix} (check_suffix=False takes it)"
        )
    return kind


def _loaded(content: bytes, suffix: str, form: Form) -> Any:
    kind = checked_format(content, suffix, form)
    image_module = pillow()
    try:
        image = image_module.open(io.BytesIO(content), formats=(kind,))
    except image_module.DecompressionBombError as error:
        raise BadPicture(f"is too large for Pillow: {error}") from error
    except Exception as error:
        # A broken file makes Pillow raise nearly anything.
        raise BadPicture(f"is a broken {kind} picture: {_reason(error)}") from error
    if image.width * image.height > max_pixels(form):
        raise BadPicture(
            f"has {image.width} x {image.height} pixels, more than max_pixels, "
            f"{max_pixels(form):.0f}"
        )
    try:
        image.load()
    except MemoryError:
        raise
    except Exception as error:
        raise BadPicture(f"is a broken {kind} picture: {_reason(error)}") from error
    return image


def _reason(error: Exception) -> str:
    # Pillow names the stream in memory, which tells a user nothing.
    unknown = type(error).__name__ == "UnidentifiedImageError"
    return "its header makes no sense" if unknown else str(error) or type(error).__name__


def _upright(image: Any) -> Any:
    """Turned and mirrored as the camera says that it should be shown (EXIF)."""
    exif = image.info.get("exif")
    if not isinstance(exif, bytes):
        return image
    transpose = pillow().Transpose
    turns = {
        2: transpose.FLIP_LEFT_RIGHT,
        3: transpose.ROTATE_180,
        4: transpose.FLIP_TOP_BOTTOM,
        5: transpose.TRANSPOSE,
        6: transpose.ROTATE_270,
        7: transpose.TRANSVERSE,
        8: transpose.ROTATE_90,
    }
    turn = turns.get(orientation(exif))
    if turn is None:
        return image
    result = image.transpose(turn)
    result.info = image.info
    return result


def orientation(exif: bytes) -> int:
    """The tag Orientation, 1 to 8, of an EXIF block; 1, which is upright, where it makes no sense.

    (Pillow's own reader warns of a broken block, without the file's name.)
    """
    tiff = exif.removeprefix(b"Exif\0\0")
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(tiff[:4])
    if order is None:
        return 1
    try:
        (directory,) = struct.unpack_from(f"{order}I", tiff, 4)
        (entries,) = struct.unpack_from(f"{order}H", tiff, directory)
        for entry in range(entries):
            tag, _, _, value = struct.unpack_from(f"{order}HHIH", tiff, directory + 2 + 12 * entry)
            if tag == 0x0112:
                return value if 1 <= value <= 8 else 1
    except struct.error:
        pass
    return 1


def _eight_bits(image: Any, mode: str) -> Any:
    """In one of the modes of 8 bits a channel."""
    if image.mode.startswith("I"):
        image = _upper_byte(image)
    if image.mode == mode:
        return image
    if "transparency" in image.info and image.mode not in _EIGHT_BITS:
        image = image.convert("RGBA")  # a palette's may be bytes, of which Pillow warns else
    return image.convert(mode)


def _upper_byte(image: Any) -> Any:
    """Of 16-bit gray levels; the level that is transparent, if any, becomes an alpha channel."""
    levels = np.asarray(image)
    gray = (levels.clip(0, 0xFFFF) >> 8).astype(np.uint8)
    result = pillow().fromarray(gray)
    hidden = image.info.get("transparency")
    if hidden is None:
        return result
    alpha = np.where(levels == hidden, 0, 255).astype(np.uint8)
    return pillow().merge("LA", [result, pillow().fromarray(alpha)])


def _resized(image: Any, size: tuple[int, int], form: Form) -> Any:
    """Of this height and width."""
    height, width = size
    if image.size == (width, height):
        return image
    sampling = getattr(pillow().Resampling, FILTERS[form.interpolation])
    if form.aspect == "crop":
        image = image.crop(crop_box(image.height, image.width, height, width))
    if form.aspect != "pad":
        return image.resize((width, height), sampling)
    top, left, inner_height, inner_width = place_in(image.height, image.width, height, width)
    canvas = pillow().new(image.mode, (width, height))
    canvas.paste(image.resize((inner_width, inner_height), sampling), (left, top))
    return canvas

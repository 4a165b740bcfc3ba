"""From a file's bytes to numbers: every format and mode against Pillow by hand and NumPy; damaged
files are named faults, and never other pixels."""

from __future__ import annotations

import io
import struct
import zlib
from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from pictures import FORMATS, encoded, noise
from PIL import Image

from fastnn.images.decode import BadPicture, decode_array, format_of, orientation
from fastnn.images.form import Form
from fastnn.images.geometry import crop_box, place_in

MODES = {"rgb": "RGB", "rgba": "RGBA", "grayscale": "L"}


def decoded(content: bytes, color_mode: str = "rgb", **settings: Any) -> NDArray[np.uint8]:
    return decode_array(content, "", Form(color_mode=color_mode, **settings))


def by_hand(content: bytes, mode: str) -> NDArray[np.uint8]:
    numbers = np.asarray(Image.open(io.BytesIO(content)).convert(mode))
    return numbers[:, :, None] if numbers.ndim == 2 else numbers


SOURCES = [
    *((kind, mode) for kind in ("PNG", "BMP", "WEBP") for mode in ("RGB", "L", "RGBA")),
    ("PNG", "LA"),
    ("PNG", "1"),
    ("PNG", "P"),
    ("BMP", "1"),
    ("BMP", "P"),
    ("GIF", "P"),
    ("GIF", "L"),
    ("JPEG", "RGB"),
    ("JPEG", "L"),
    ("JPEG", "CMYK"),
]


@pytest.mark.parametrize("color_mode", MODES)
@pytest.mark.parametrize(("kind", "mode"), SOURCES)
def test_modes_of_formats(kind: str, mode: str, color_mode: str) -> None:
    picture = Image.fromarray(noise(7, 9, 4)).convert("RGB" if mode == "CMYK" else "RGBA")
    if mode in ("P", "1", "L", "CMYK"):
        picture = picture.convert("RGB")
    content = encoded(picture.convert(mode), kind)
    result = decoded(content, color_mode)
    assert result.dtype == np.uint8
    np.testing.assert_array_equal(result, by_hand(content, MODES[color_mode]))


def test_cmyk_is_not_inverted() -> None:
    none, full = (Image.new("L", (16, 16), level) for level in (0, 255))
    magenta_and_yellow = Image.merge("CMYK", [none, full, full, none])
    content = encoded(magenta_and_yellow, "JPEG", quality=95)
    assert np.abs(decoded(content).astype(int) - [255, 0, 0]).max() < 12


def test_bgr_is_rgb_backwards() -> None:
    content = encoded(noise(5, 4, 3), "PNG")
    np.testing.assert_array_equal(decoded(content, "bgr"), noise(5, 4, 3)[:, :, ::-1])


def test_sixteen_bits_become_the_upper_eight() -> None:
    levels = np.random.default_rng(0).integers(0, 1 << 16, (6, 5), dtype=np.uint16)
    levels[0, :2] = 0, 0xFFFF
    content = encoded(Image.fromarray(levels), "PNG")
    for color_mode, channels in (("grayscale", 1), ("rgb", 3)):
        expected = np.repeat((levels >> 8)[:, :, None], channels, axis=2)
        np.testing.assert_array_equal(decoded(content, color_mode), expected)
    assert (decoded(content, "rgba")[:, :, 3] == 255).all()


def png(width: int, height: int, depth: int, kind: int, rows: bytes, extra: bytes = b"") -> bytes:
    """A PNG written by hand: Pillow writes no colours of 16 bits."""
    header = struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + extra
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


@pytest.mark.parametrize(("kind", "channels"), [(2, 3), (6, 4), (4, 2)])
def test_colours_of_sixteen_bits(kind: int, channels: int) -> None:
    levels = np.random.default_rng(0).integers(0, 1 << 16, (6, 5, channels), dtype=np.uint16)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in levels)
    result = decoded(png(5, 6, 16, kind, rows), "rgba")
    upper = (levels >> 8).astype(np.uint8)
    if channels == 2:
        np.testing.assert_array_equal(result, upper[:, :, [0, 0, 0, 1]])
    else:
        np.testing.assert_array_equal(result[:, :, :channels], upper)


def test_a_level_of_sixteen_bits_that_is_transparent() -> None:
    levels = np.array([[0, 258], [259, 65535]], np.uint16)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in levels)
    content = png(2, 2, 16, 0, rows, chunk(b"tRNS", struct.pack(">H", 258)))
    expected = np.array([[[0, 255], [1, 0]], [[1, 255], [255, 255]]])
    np.testing.assert_array_equal(decoded(content, "rgba")[:, :, [0, 3]], expected)
    np.testing.assert_array_equal(decoded(content, "grayscale")[:, :, 0], expected[:, :, 0])


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("kind", "transparency", "alphas"),
    [
        ("PNG", None, [255, 255, 255]),
        ("PNG", 1, [255, 0, 255]),
        ("PNG", b"\xff\x00\x80", [255, 0, 128]),
        ("GIF", None, [255, 255, 255]),
        ("GIF", 1, [255, 0, 255]),
    ],
)
def test_palettes(kind: str, transparency: Any, alphas: list[int]) -> None:
    picture = Image.fromarray(noise(4, 5) % 3).convert("P")
    palette = [10, 20, 30, 200, 100, 50, 7, 8, 9]
    picture.putpalette(palette)
    picture.putdata((noise(4, 5) % 3).ravel().tolist())
    options = {} if transparency is None else {"transparency": transparency}
    content = encoded(picture, kind, **options)
    colours = np.array(palette, np.uint8).reshape(3, 3)[noise(4, 5) % 3]
    np.testing.assert_array_equal(decoded(content), colours)
    alpha = decoded(content, "rgba")[:, :, 3]
    np.testing.assert_array_equal(alpha, np.array(alphas, np.uint8)[noise(4, 5) % 3])
    gray = np.asarray(Image.fromarray(colours).convert("L"))
    np.testing.assert_array_equal(decoded(content, "grayscale")[:, :, 0], gray)


def test_transparency_beyond_a_palette() -> None:
    """Which Pillow finds out when it converts."""
    content = encoded(Image.fromarray(noise(4, 5)[:, :] % 3).convert("P"), "PNG", transparency=1)
    at = content.index(b"tRNS")
    chunk = b"tRNS" + bytes(300)
    longer = struct.pack(">I", 300) + chunk + struct.pack(">I", zlib.crc32(chunk))
    (length,) = struct.unpack_from(">I", content, at - 4)
    with pytest.raises(BadPicture, match="broken PNG picture: palette index"):
        decoded(content[: at - 4] + longer + content[at + 8 + length :])


def test_first_frame_of_a_gif() -> None:
    frames = [Image.fromarray(noise(4, 5, seed=seed)) for seed in range(3)]
    content = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    np.testing.assert_array_equal(decoded(content, "grayscale")[:, :, 0], noise(4, 5))


# EXIF 2.32, tag 0x0112: where the picture's first row and column are.
TURNS = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.transpose(1, 0, 2),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: a[::-1, ::-1].transpose(1, 0, 2),
    8: lambda a: np.rot90(a),
}


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
@pytest.mark.parametrize("number", TURNS)
def test_exif_turns(kind: str, number: int) -> None:
    exif = Image.Exif()
    exif[0x010F] = "a maker, before it"
    exif[0x0112] = number
    lossless = {"lossless": True} if kind == "WEBP" else {}
    content = encoded(noise(6, 9, 3), kind, exif=exif.tobytes(), **lossless)
    expected = TURNS[number](by_hand(content, "RGB"))
    np.testing.assert_array_equal(decoded(content), expected)


@given(st.binary(max_size=80))
def test_exif_that_makes_no_sense(junk: bytes) -> None:
    for start in (b"", b"Exif\0\0II*\0", b"MM\0*"):
        assert 1 <= orientation(start + junk) <= 8


@pytest.mark.filterwarnings("error")
def test_broken_exif_is_no_fault() -> None:
    content = encoded(noise(4, 4, 3), "PNG", exif=b"Exif\0\0II*\0\xff\xff\xff\x7f")
    np.testing.assert_array_equal(decoded(content), noise(4, 4, 3))


# Sizes


@pytest.mark.parametrize("name", ["nearest", "bilinear", "bicubic", "area", "lanczos3", "hamming"])
def test_interpolations_are_pillows(name: str) -> None:
    filters = {"area": "BOX", "lanczos3": "LANCZOS"}
    content = encoded(noise(17, 12, 3), "PNG")
    result = decoded(content, size=(8, 20), interpolation=name)
    sampling = getattr(Image.Resampling, filters.get(name, name.upper()))
    expected = Image.fromarray(noise(17, 12, 3)).resize((20, 8), sampling)
    np.testing.assert_array_equal(result, np.asarray(expected))


def test_area_is_the_mean() -> None:
    levels = noise(12, 8, 3)
    result = decoded(encoded(levels, "PNG"), size=(4, 4), interpolation="area")
    means = levels.reshape(4, 3, 4, 2, 3).mean(axis=(1, 3))
    # Pillow rounds twice: after the rows, and after the columns.
    assert np.abs(result - means).max() < 1 + 1e-9


SIDES = st.integers(1, 400)


@given(SIDES, SIDES, SIDES, SIDES)
def test_crop_is_that_of_keras(height: int, width: int, rows: int, columns: int) -> None:
    # keras/src/utils/image_utils.py, smart_resize
    crop_height = max(min(height, int(float(width * rows) / columns)), 1)
    crop_width = max(min(width, int(float(height * columns) / rows)), 1)
    top, left = int(float(height - crop_height) / 2), int(float(width - crop_width) / 2)
    assert crop_box(height, width, rows, columns) == (
        left, top, left + crop_width, top + crop_height,
    )  # fmt: skip


@given(SIDES, SIDES, SIDES, SIDES)
def test_padding_is_that_of_tensorflow(height: int, width: int, rows: int, columns: int) -> None:
    top, left, inner_height, inner_width = place_in(height, width, rows, columns)
    assert 0 <= top <= rows - inner_height and 0 <= left <= columns - inner_width
    assert inner_height >= 1 and inner_width >= 1
    # tensorflow/python/ops/image_ops_impl.py, _resize_image_with_pad_common
    ratio = max(height / rows, width / columns)
    exact = height / ratio, width / ratio
    if min(exact) < 1:
        return  # TensorFlow fails
    for ours, theirs in (
        (inner_height, exact[0]),
        (inner_width, exact[1]),
        (top, max(0.0, (rows - exact[0]) / 2)),
        (left, max(0.0, (columns - exact[1]) / 2)),
    ):
        # a float may lie just below the whole number that it stands for
        assert ours in (int(theirs), int(theirs + 1e-9))


def test_crop_and_pad() -> None:
    levels = noise(10, 20, 3)
    content = encoded(levels, "PNG")
    np.testing.assert_array_equal(decoded(content, size=(10, 10), aspect="crop"), levels[:, 5:15])
    padded = decoded(content, size=(20, 20), aspect="pad")
    np.testing.assert_array_equal(padded[5:15], levels)
    assert not padded[:5].any() and not padded[15:].any()


# What can't be taken


@cache
def contents() -> dict[str, bytes]:
    smooth = Image.fromarray(noise(6, 5, 3)).resize((31, 43))
    options: list[tuple[str, dict[str, Any]]] = [
        ("PNG", {}), ("JPEG", {}), ("JPEG", {"progressive": True}), ("BMP", {}), ("GIF", {}),
        ("WEBP", {}), ("WEBP", {"lossless": True}),
    ]  # fmt: skip
    return {f"{kind} {option}": encoded(smooth, kind, **option) for kind, option in options}


@pytest.mark.parametrize("name", contents())
def test_truncated_anywhere_it_is_a_fault_or_whole(name: str) -> None:
    content = contents()[name]
    whole = decoded(content)
    refused = 0
    for length in range(len(content)):
        try:
            result = decoded(content[:length])
        except BadPicture as fault:
            refused += 1
            assert str(fault).startswith("is ")
        else:
            np.testing.assert_array_equal(result, whole)
    # A few bytes at the end only say that it is the end.
    assert refused >= len(content) - 24


def test_truncated_photograph() -> None:
    # Larger than what Pillow reads at a time.
    content = encoded(noise(400, 500, 3), "JPEG", quality=95)
    assert len(content) > 1 << 17
    for share in (0.2, 0.6, 0.99):
        with pytest.raises(BadPicture, match="broken JPEG picture"):
            decoded(content[: int(share * len(content))])


@given(st.data())
def test_flipped_bytes_raise_nothing_else(data: st.DataObject) -> None:
    content = bytearray(contents()[data.draw(st.sampled_from(sorted(contents())))])
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    try:
        result = decoded(bytes(content), size=(4, 4), max_pixels=1 << 20)
    except BadPicture:
        return
    assert result.shape == (4, 4, 3)


@given(st.binary(max_size=200), st.sampled_from(sorted(contents())))
def test_junk_after_a_signature(junk: bytes, name: str) -> None:
    content = contents()[name][:12] + junk
    assert format_of(content) == name.split()[0]
    with pytest.raises(BadPicture):
        decoded(content, max_pixels=1 << 20)


@pytest.mark.parametrize(
    "content", [b"no picture", b"II*\0" + bytes(50), b"%PDF-1.7", b"<svg></svg>", b"\x89PNG"]
)
def test_other_content(content: bytes) -> None:
    with pytest.raises(BadPicture, match="is no PNG, JPEG, BMP, GIF or WebP picture"):
        decoded(content)


def test_empty() -> None:
    with pytest.raises(BadPicture, match="is empty"):
        decoded(b"")


@pytest.mark.parametrize("suffix", FORMATS)
def test_suffix(suffix: str) -> None:
    content = encoded(noise(3, 3, 3), FORMATS[suffix])
    decode_array(content, f".{suffix}", Form(check_suffix=True))
    other = ".gif" if suffix == "png" else ".png"
    decode_array(content, other, Form())
    with pytest.raises(BadPicture, match=f"is a {FORMATS[suffix]} picture, but .* {other}"):
        decode_array(content, other, Form(check_suffix=True))


def bomb(kind: str) -> bytes:
    """A small file that says that it has 60,000 x 60,000 pixels; WebP's most is 16,384."""
    side = 60_000
    if kind == "PNG":
        return png(side, side, 1, 0, bytes(1000))
    content = bytearray(
        encoded(noise(8, 8), kind, **({"lossless": True} if kind == "WEBP" else {}))
    )
    if kind == "GIF":
        content[6:10] = struct.pack("<HH", side, side)
    elif kind == "BMP":
        content[18:26] = struct.pack("<ii", side, side)
    elif kind == "JPEG":
        place = content.index(b"\xff\xc0") + 5
        content[place : place + 4] = struct.pack(">HH", side, side)
    else:
        assert content[12:16] == b"VP8L"  # 14 bits of width, 14 of height, each less 1
        content[21:25] = (int.from_bytes(content[21:25], "little") | (1 << 28) - 1).to_bytes(
            4, "little"
        )
    return bytes(content)


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("kind", ["PNG", "GIF", "BMP", "JPEG", "WEBP"])
def test_bombs(kind: str) -> None:
    content = bomb(kind)
    assert len(content) < 200_000
    with pytest.raises(BadPicture, match=r"is too large for Pillow|more than max_pixels"):
        decoded(content)


def test_max_pixels() -> None:
    content = encoded(noise(10, 11), "PNG")
    decoded(content, max_pixels=110)
    with pytest.raises(BadPicture, match="has 11 x 10 pixels, more than max_pixels, 109"):
        decoded(content, max_pixels=109)

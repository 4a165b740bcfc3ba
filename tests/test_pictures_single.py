"""load_img, img_to_array, array_to_img, save_img."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pictures import FORMATS, encoded, noise, opened, write
from PIL import Image

from fastnn.images.decode import format_of
from fastnn.utils import array_to_img, img_to_array, load_img, save_img


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize(
    ("color_mode", "mode"), [("rgb", "RGB"), ("rgba", "RGBA"), ("grayscale", "L")]
)
def test_load_img(tmp_path: Path, suffix: str, color_mode: str, mode: str) -> None:
    path = write(tmp_path / f"a.{suffix}", noise(5, 7, 3))
    expected = opened(path, mode)
    for source in (path, str(path), str(path).encode(), io.BytesIO(path.read_bytes())):
        image = load_img(source, color_mode=color_mode)
        assert image.mode == mode and image.size == (7, 5)
        np.testing.assert_array_equal(img_to_array(image), expected)


def test_load_img_resizes(tmp_path: Path) -> None:
    path = write(tmp_path / "a.png", noise(10, 20, 3))
    picture = Image.fromarray(noise(10, 20, 3))
    by_default = np.asarray(load_img(path, target_size=(6, 4)))
    np.testing.assert_array_equal(by_default, picture.resize((4, 6), Image.Resampling.NEAREST))
    smooth = load_img(path, target_size=8, interpolation="lanczos")
    np.testing.assert_array_equal(smooth, picture.resize((8, 8), Image.Resampling.LANCZOS))
    cropped = load_img(path, target_size=(10, 10), keep_aspect_ratio=True)
    np.testing.assert_array_equal(cropped, noise(10, 20, 3)[:, 5:15])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"text", "is no PNG"),
        (encoded(noise(9, 9), "PNG")[:-40], "is a broken PNG picture"),
    ],
)
def test_files_that_are_no_pictures(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=f"load_img: {path}: {message}"):
        load_img(path)
    with pytest.raises(ValueError, match=f"load_img: BytesIO: {message}"):
        load_img(io.BytesIO(content))


def test_load_img_refuses(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no such file"):
        load_img(tmp_path / "a.png")
    with pytest.raises(ValueError, match="is no file"):
        load_img(tmp_path)
    path = write(tmp_path / "a.png", noise(3, 3))
    for arguments, message in (
        ({"color_mode": "bgr"}, "color_mode must be one of rgb, rgba, grayscale"),
        ({"interpolation": "gaussian"}, "interpolation must be one of"),
        ({"target_size": (3,)}, "target_size must be"),
    ):
        with pytest.raises(ValueError, match=f"load_img: {message}"):
            load_img(path, **arguments)  # type: ignore[arg-type]


def test_img_to_array() -> None:
    levels = noise(3, 4, 3)
    result = img_to_array(Image.fromarray(levels))
    assert result.dtype == np.float32
    np.testing.assert_array_equal(result, levels)
    assert img_to_array(Image.fromarray(levels[:, :, 0]), dtype="uint8").shape == (3, 4, 1)
    first = img_to_array(levels, data_format="channels_first")
    np.testing.assert_array_equal(first, levels.transpose(2, 0, 1))
    with pytest.raises(ValueError, match="img_to_array: img must be a picture"):
        img_to_array(np.zeros(3))
    with pytest.raises(ValueError, match="data_format must be one of"):
        img_to_array(levels, data_format="NCHW")


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(("channels", "mode"), [(1, "L"), (3, "RGB"), (4, "RGBA")])
def test_array_to_img(channels: int, mode: str) -> None:
    levels = noise(3, 4, channels)
    kept = array_to_img(levels, scale=False)
    assert kept.mode == mode
    np.testing.assert_array_equal(img_to_array(kept), levels)
    first = array_to_img(levels.transpose(2, 0, 1), data_format="channels_first", scale=False)
    np.testing.assert_array_equal(img_to_array(first), levels)
    x = np.linspace(-3, 8, 12 * channels, dtype=np.float32).reshape(3, 4, channels)
    # keras/src/utils/image_utils.py, in float32
    stretched = x - x.min()
    stretched /= stretched.max()
    stretched *= 255
    np.testing.assert_array_equal(img_to_array(array_to_img(x)), stretched.astype(np.uint8))
    np.testing.assert_array_equal(img_to_array(array_to_img(np.full((2, 2, channels), 7))), 0)


def test_many_levels_of_gray() -> None:
    x = np.array([[[0], [300]]])
    image = array_to_img(x, scale=False)
    assert image.mode == "I"
    np.testing.assert_array_equal(img_to_array(image), x)


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (np.zeros((3, 3)), "must have shape"),
        (np.zeros((0, 3, 3)), "must have shape"),
        (np.zeros((3, 3, 2)), "must have 1, 3 or 4 channels, got 2"),
        (np.full((3, 3, 3), np.nan), "must be finite"),
        (np.full((3, 3, 3), 256), "must lie within 0 .. 255"),
        (np.full((3, 3, 1), -1), "must lie within 0 .. 255"),
    ],
)
def test_array_to_img_refuses(x: Any, message: str) -> None:
    with pytest.raises(ValueError, match=f"array_to_img: x {message}"):
        array_to_img(x, scale=False)


@pytest.mark.parametrize("name", ["a.png", "a.PNG", "a.bmp", "a.webp", "a.gif", "a.jpg", "a.jpeg"])
def test_save_img(tmp_path: Path, name: str) -> None:
    x = np.repeat(np.repeat(noise(4, 4, 1), 8, axis=0), 8, axis=1)
    options = {"lossless": True} if name.endswith("webp") else {}
    save_img(tmp_path / name, x, scale=False, **options)
    result = img_to_array(load_img(tmp_path / name, color_mode="grayscale"))
    assert np.abs(result - x).max() <= (24 if name[2:] in ("jpg", "jpeg") else 0)
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_save_img_to_a_stream(tmp_path: Path) -> None:
    stream = io.BytesIO()
    save_img(stream, noise(3, 3, 3), file_format="png", scale=False)
    np.testing.assert_array_equal(img_to_array(load_img(stream)), noise(3, 3, 3))
    save_img(tmp_path / "no suffix", noise(3, 3, 3), file_format="jpg")
    assert format_of((tmp_path / "no suffix").read_bytes()) == "JPEG"


def test_save_img_says_what_it_drops(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="JPEG has no transparency"):
        save_img(tmp_path / "a.jpg", noise(3, 3, 4))


def test_save_img_refuses(tmp_path: Path) -> None:
    for path in (tmp_path / "a", tmp_path / "a.xyz", io.BytesIO()):
        with pytest.raises(ValueError, match="save_img: file_format must be one of"):
            save_img(path, noise(3, 3, 3))
    (tmp_path / "a.png").write_bytes(b"before")
    with pytest.raises(TypeError):
        save_img(tmp_path / "a.png", noise(3, 3, 3), compress_level="much")
    assert (tmp_path / "a.png").read_bytes() == b"before"

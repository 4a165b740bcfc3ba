"""The cache of decoded pictures: used again, noticed changes, crashes, several writers, memory."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pictures import classes, encoded, noise, opened, settle, write

import fastnn as fnn
from fastnn.images import build
from fastnn.images.cache import default_root
from fastnn.images.decode import UnreadableFile
from fastnn.utils import ImageDataset, image_dataset_from_directory

COUNTS = {"a": 5, "b": 4}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    classes(tmp_path / "folder", COUNTS)
    settle()
    return tmp_path / "folder"


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the files that are decoded from now on."""
    names: list[str] = []
    original = build.decode_array
    read = build.read_bytes
    last: dict[int, str] = {}

    def reading(path: str, form: Any) -> bytes:
        content = read(path, form)
        last[hash(content)] = os.path.basename(path)
        return content

    def decoding(content: bytes, suffix: str, form: Any) -> Any:
        names.append(last[hash(content)])
        return original(content, suffix, form)

    monkeypatch.setattr(build, "read_bytes", reading)
    monkeypatch.setattr(build, "decode_array", decoding)
    return names


def load(folder: Path, cache: Path, **arguments: Any) -> ImageDataset:
    """Checked against Pillow by hand."""
    dataset: ImageDataset = image_dataset_from_directory(
        folder, image_size=(6, 6), cache=cache, verbose=False, **arguments
    )
    check(dataset)
    return dataset


def check(dataset: ImageDataset) -> None:
    assert len(dataset.images) == len(dataset.file_paths) > 0
    for path, image in zip(dataset.file_paths, dataset.images, strict=True):
        np.testing.assert_array_equal(image, opened(path, "RGB"))


def pixel_files(cache: Path) -> list[Path]:
    return sorted(cache.glob("*/pixels-*"))


def test_the_second_run_opens_no_picture(folder: Path, cache: Path, decoded: list[str]) -> None:
    load(folder, cache)
    assert len(decoded) == 9
    files = pixel_files(cache)
    load(folder, cache)
    assert len(decoded) == 9
    assert pixel_files(cache) == files


def test_the_default_place(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    image_dataset_from_directory(folder, image_size=6, verbose=False)
    assert pixel_files(tmp_path / "xdg" / "fastnn" / "pictures")
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert default_root() == tmp_path / "home" / ".cache" / "fastnn" / "pictures"


def test_a_changed_file_is_noticed(folder: Path, cache: Path, decoded: list[str]) -> None:
    load(folder, cache)
    decoded.clear()
    write(folder / "a" / "001.png", noise(6, 6, seed=77))
    load(folder, cache)
    assert decoded == ["001.png"]


def test_a_change_that_size_and_mtime_hide(folder: Path, cache: Path, decoded: list[str]) -> None:
    path = folder / "a" / "000.bmp"
    write(path, noise(6, 6, seed=1))
    settle()
    load(folder, cache)
    decoded.clear()
    before = path.stat()
    write(path, noise(6, 6, seed=2))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_size == before.st_size
    load(folder, cache)
    assert decoded == ["000.bmp"]


def test_a_change_right_after_the_run(folder: Path, cache: Path) -> None:
    # Within a tick of the clock of files, size and times may all stay as they were.
    path = folder / "a" / "000.bmp"
    write(path, noise(6, 6, seed=1))
    load(folder, cache)
    manifest = json.loads(next(cache.glob("*/manifest-*")).read_text())
    stamps = {entry[0]: entry[1:4] for entry in manifest["pictures"]}
    status = path.stat()
    assert stamps["a/000.bmp"] != [status.st_size, status.st_mtime_ns, status.st_ctime_ns]
    assert stamps["a/000.png"][0] == (folder / "a" / "000.png").stat().st_size


def test_a_file_that_could_not_be_read_is_tried_again(
    folder: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = build.read_bytes

    def failing(path: str, form: Any) -> bytes:
        if path.endswith("001.png"):
            raise UnreadableFile("can't be read: Too many open files")
        return read(path, form)

    with monkeypatch.context() as patch:
        patch.setattr(build, "read_bytes", failing)
        with pytest.raises(ValueError, match=r"a/001.png: can't be read: Too many open files"):
            load(folder, cache)
    assert len(load(folder, cache).images) == 9


def test_added_and_removed_files(folder: Path, cache: Path, decoded: list[str]) -> None:
    load(folder, cache)
    decoded.clear()
    write(folder / "a" / "002b.png", noise(6, 6, seed=78))
    assert len(load(folder, cache).images) == 10
    assert decoded == ["002b.png"]
    decoded.clear()
    settle()
    load(folder, cache)
    (folder / "b" / "000.png").unlink()
    assert len(load(folder, cache).images) == 9
    assert decoded == []


def test_touched_and_moved_files_are_not_decoded(
    folder: Path, cache: Path, decoded: list[str]
) -> None:
    load(folder, cache)
    decoded.clear()
    (folder / "a" / "000.png").touch()
    (folder / "a" / "001.png").rename(folder / "b" / "moved.png")
    load(folder, cache)
    assert decoded == []


def test_another_order_is_copied(folder: Path, cache: Path, decoded: list[str]) -> None:
    load(folder, cache)
    for seed in range(3):
        for subset in ("training", "validation"):
            load(folder, cache, validation_split=0.3, subset=subset, seed=seed)
    assert len(decoded) == 9
    assert len(pixel_files(cache)) == 4


def test_orders_that_are_no_longer_used_go(folder: Path, cache: Path, decoded: list[str]) -> None:
    first = load(folder, cache, validation_split=0.3, subset="training", seed=0)
    for seed in range(1, 8):
        load(folder, cache, validation_split=0.3, subset="training", seed=seed)
    assert len(pixel_files(cache)) == len(list(cache.glob("*/manifest-*"))) == 4
    check(first)  # its file is deleted; what is mapped stays
    assert len(decoded) == 9


def test_other_settings_are_other_pixels(folder: Path, cache: Path) -> None:
    load(folder, cache)
    for arguments in (
        {"color_mode": "bgr"},
        {"color_mode": "grayscale"},
        {"image_size": 5},
        {"image_size": (6, 7), "interpolation": "nearest"},
        {"image_size": (6, 7), "pad_to_aspect_ratio": True},
        {"max_pixels": 1000},
    ):
        image_dataset_from_directory(
            folder, **({"image_size": (6, 6), "cache": cache, "verbose": False} | arguments)
        )
    assert len(list(cache.iterdir())) == 7
    load(folder, cache)


def test_not_within_the_folder(folder: Path) -> None:
    for cache in (folder, folder / "cache", folder / "a" / ".." / "x"):
        with pytest.raises(ValueError, match=r"cache must not lie in .*folder"):
            load(folder, cache)
    load(folder, folder.with_name("folder2"))


def test_two_folders_of_one_name(tmp_path: Path, cache: Path) -> None:
    for parent, seed in (("x", 1), ("y", 2)):
        write(tmp_path / parent / "folder" / "a" / "0.png", noise(6, 6, seed=seed))
        load(tmp_path / parent / "folder", cache)
    assert len(pixel_files(cache)) == 2


# What is damaged is not believed


def _other_shape(text: str) -> str:
    """Of as many numbers in all."""
    manifest = json.loads(text)
    count, height, width, channels = manifest["shape"]
    return json.dumps({**manifest, "shape": [count, channels, width, height]})


@pytest.mark.parametrize(
    "damage",
    [
        lambda manifest, pixels: pixels.write_bytes(pixels.read_bytes()[:-1]),
        lambda manifest, pixels: pixels.unlink(),
        lambda manifest, pixels: manifest.write_text(manifest.read_text()[:-40]),
        lambda manifest, pixels: manifest.write_text("[]"),
        lambda manifest, pixels: manifest.write_text('{"format": "fastnn pictures"}'),
        lambda manifest, pixels: manifest.write_bytes(b"\xff\xfe"),
        lambda manifest, pixels: manifest.write_text(
            manifest.read_text().replace('"version": 1', '"version": 0')
        ),
        lambda manifest, pixels: manifest.write_text(
            manifest.read_text().replace(pixels.name, f"../{pixels.parent.name}/{pixels.name}")
        ),
        lambda manifest, pixels: manifest.write_text(_other_shape(manifest.read_text())),
        lambda manifest, pixels: manifest.unlink(),
    ],
)
def test_damaged_caches(folder: Path, cache: Path, decoded: list[str], damage: Any) -> None:
    load(folder, cache)
    damage(next(cache.glob("*/manifest-*")), pixel_files(cache)[0])
    load(folder, cache)
    assert len(decoded) == 18
    load(folder, cache)
    assert len(decoded) == 18
    assert len(pixel_files(cache)) == 1


def test_a_manifest_of_another_order(folder: Path, cache: Path, decoded: list[str]) -> None:
    load(folder, cache)
    (manifest,) = cache.glob("*/manifest-*")
    kept = manifest.read_bytes()
    load(folder, cache, validation_split=0.3, subset="training", seed=0)
    for other in cache.glob("*/manifest-*"):
        other.write_bytes(kept)
    load(folder, cache, validation_split=0.3, subset="training", seed=0)
    assert len(decoded) == 9


@pytest.mark.parametrize("place", [0, 4, 8])
def test_an_exception_halfway(
    folder: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, place: int
) -> None:
    monkeypatch.setattr(build, "_CHUNK_PICTURES", 2)
    original, calls = build.decode_array, []

    def failing(*arguments: Any) -> Any:
        calls.append(1)
        if len(calls) > place:
            raise KeyboardInterrupt
        return original(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(build, "decode_array", failing)
        with pytest.raises(KeyboardInterrupt):
            load(folder, cache)
    assert not pixel_files(cache) and not list(cache.glob("*/manifest-*"))
    load(folder, cache)


def test_a_full_disk(folder: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", full)
        with pytest.raises(
            OSError, match="the cache of pictures can't be written: No space"
        ) as error:
            load(folder, cache)
        assert error.value.errno == errno.ENOSPC
    assert not pixel_files(cache) and not list(cache.glob("*/manifest-*"))
    load(folder, cache)


def test_short_writes(folder: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_some = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda file, data, at: write_some(file, data[:13], at))
    (folder / "a" / "002.png").write_bytes(b"broken")
    with pytest.warns(UserWarning, match="1 of 9"):
        load(folder, cache, on_error="skip")


KILLED = """
    import os, sys, time
    from fastnn.images import build
    from fastnn.utils import image_dataset_from_directory

    original, calls = build.decode_array, []

    def slow(*arguments):
        calls.append(1)
        if len(calls) > 4:
            os.write(1, b"halfway\\n")  # at once: several threads come here
            time.sleep(60)
        return original(*arguments)

    build.decode_array = slow
    build._CHUNK_PICTURES = 2
    image_dataset_from_directory(sys.argv[1], image_size=(6, 6), cache=sys.argv[2], verbose=False)
"""


def test_killed_halfway(folder: Path, cache: Path, start: Callable[..., Any]) -> None:
    child = start(sys.executable, "-c", textwrap.dedent(KILLED), folder, cache)
    assert child.stdout is not None
    assert child.stdout.readline() == "halfway\n"
    left = pixel_files(cache)
    assert len(left) == 1
    child.kill()
    child.wait(10)
    load(folder, cache)
    assert left[0] not in pixel_files(cache) and len(pixel_files(cache)) == 1


def test_several_at_once_decode_once(folder: Path, cache: Path, start: Callable[..., Any]) -> None:
    code = """
        import sys
        from fastnn.images import build
        from fastnn.utils import image_dataset_from_directory

        original, calls = build.decode_array, []
        build.decode_array = lambda *a: (calls.append(1), original(*a))[1]
        data = image_dataset_from_directory(
            sys.argv[1], image_size=(6, 6), cache=sys.argv[2], verbose=False
        )
        print(len(calls), int(data.images.sum()))
    """
    command = [sys.executable, "-c", textwrap.dedent(code), folder, cache]
    children = [start(*command) for _ in range(3)]
    outputs = [child.communicate(timeout=60)[0].split() for child in children]
    total = str(load(folder, cache).images.sum())
    assert sorted(outputs) == [["0", total], ["0", total], ["9", total]]


def test_threads_give_the_same(folder: Path, tmp_path: Path) -> None:
    for i in range(30):
        write(folder / "c" / f"{i}.jpg", noise(300, 200, 3, seed=i))
    before = fnn.get_num_threads()
    results = []
    try:
        for threads in (1, 3):
            fnn.set_num_threads(threads)
            dataset = image_dataset_from_directory(
                folder, image_size=64, shuffle=False, cache=tmp_path / str(threads), verbose=False
            )
            results.append(np.array(dataset.images))
    finally:
        fnn.set_num_threads(before)
    np.testing.assert_array_equal(*results)


def test_large_pictures_are_decoded_side_by_side(
    folder: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(build, "_CHUNK_PICTURES", 1)
    monkeypatch.setattr(build, "get_num_threads", lambda: 3)
    original, inside, most = build.decode_array, [], []

    def waiting(*arguments: Any) -> Any:
        inside.append(1)
        time.sleep(0.02)
        most.append(len(inside))
        inside.pop()
        return original(*arguments)

    monkeypatch.setattr(build, "decode_array", waiting)
    load(folder, cache)
    assert max(most) == 3


MEMORY = """
    import resource, sys
    from fastnn.utils import image_dataset_from_directory

    def megabytes():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

    def load(folder):
        return image_dataset_from_directory(
            folder, image_size=(256, 256), cache=sys.argv[3], verbose=False
        )

    load(sys.argv[1])
    before = megabytes()
    data = load(sys.argv[2])
    print(data.images.nbytes / 2**20, megabytes() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss is in kilobytes on Linux")
def test_memory_is_bounded(tmp_path: Path, cache: Path) -> None:
    content = encoded(noise(8, 8, 3), "BMP")
    for name, count in (("few", 100), ("many", 1200)):
        (tmp_path / name / "a").mkdir(parents=True)
        for i in range(count):
            (tmp_path / name / "a" / f"{i}.bmp").write_bytes(content)
    command = [
        sys.executable, "-c", textwrap.dedent(MEMORY),
        str(tmp_path / "few"), str(tmp_path / "many"), str(cache),
    ]  # fmt: skip
    result = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    pixels, grown = map(float, result.stdout.split())
    assert pixels == 225
    assert grown < 25
    shutil.rmtree(cache)


def test_progress(folder: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal:
        text = ""

        def write(self, text: str) -> None:
            self.text += text

        def flush(self) -> None: ...

        def isatty(self) -> bool:
            return True

    for verbose in (True, False):
        terminal = Terminal()
        monkeypatch.setattr(sys, "stderr", terminal)
        image_dataset_from_directory(folder, image_size=4 + verbose, cache=cache, verbose=verbose)
        assert ("Reading pictures" in terminal.text) == verbose

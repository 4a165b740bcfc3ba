"""MNIST as it was published, and data sets from files, sound and broken."""

from __future__ import annotations

import gzip
import hashlib
import struct
import tracemalloc
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from fastnn import datasets
from fastnn.datasets import _csv, files, mnist

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (12, 5, 4), np.uint8)
LABELS = RNG.integers(0, 3, 12, np.uint8)


# MNIST


@pytest.fixture(scope="module")
def mnist_data() -> Any:
    return mnist.load_data()


def test_mnist_is_as_keras_has_it(mnist_data: Any) -> None:
    (x, y), (xt, yt) = mnist_data
    assert (x.shape, y.shape) == ((60_000, 28, 28), (60_000,))
    assert (xt.shape, yt.shape) == ((10_000, 28, 28), (10_000,))
    assert all(array.dtype == np.uint8 for array in (x, y, xt, yt))
    assert all(array.flags.c_contiguous and array.flags.writeable for array in (x, y, xt, yt))
    assert y[:5].tolist() == [5, 0, 4, 1, 9] and yt[:5].tolist() == [7, 2, 1, 0, 4]


@pytest.mark.parametrize("name", mnist.SHA256)
def test_mnist_is_bit_for_bit_what_was_published(mnist_data: Any, name: str) -> None:
    split, kind = name.split("-")
    array = mnist_data[split == "t10k"][kind == "labels"]
    raw = struct.pack(f">{1 + array.ndim}I", 0x0800 + array.ndim, *array.shape) + array.tobytes()
    assert hashlib.sha256(raw).hexdigest() == mnist.SHA256[name]


def test_mnist_data_is_small_and_attributed() -> None:
    directory = mnist.ARCHIVE.parent
    assert sum(path.stat().st_size for path in directory.iterdir()) <= 9.6e6
    licence = (directory / "MNIST-LICENSE.md").read_text()
    assert all(name in licence for name in ("LeCun", "Cortes", "Burges", "Share Alike 3.0"))


def damaged_copy(path: Path, change: str) -> None:
    """The archive without one member, or with other labels in it."""
    with zipfile.ZipFile(mnist.ARCHIVE) as source, zipfile.ZipFile(path, "w") as target:
        for member in source.infolist():
            content = source.read(member)
            if member.filename == "t10k-labels":
                if change == "missing member":
                    continue
                content = bytes(reversed(content))
            target.writestr(member.filename, content)


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ("missing member", "t10k-labels"),
        ("other labels", "SHA-256"),
        ("truncated", "not a zip file"),
        ("no file", "No such file"),
    ],
)
def test_damaged_mnist(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str, fault: str
) -> None:
    path = tmp_path / "mnist.zip"
    if change == "truncated":
        path.write_bytes(mnist.ARCHIVE.read_bytes()[:1000])
    elif change != "no file":
        damaged_copy(path, change)
    monkeypatch.setattr(mnist, "ARCHIVE", path)
    with pytest.raises(ValueError, match=rf"mnist\.zip: .*{fault}.*reinstall") as raised:
        mnist.load_data()
    assert "fastnn" in str(raised.value)


# IDX


def idx(array: Any, code: int = 0x08) -> bytes:
    array = np.asarray(array)
    head = struct.pack(f">HBB{array.ndim}I", 0, code, array.ndim, *array.shape)
    return head + array.astype(array.dtype.newbyteorder(">")).tobytes()


def write_idx_directory(directory: Path, suffix: str = "", splits: tuple[str, ...] = ()) -> Path:
    write = gzip.compress if suffix else bytes
    for split in splits or ("train", "t10k"):
        (directory / f"{split}-images-idx3-ubyte{suffix}").write_bytes(write(idx(IMAGES)))
        (directory / f"{split}-labels-idx1-ubyte{suffix}").write_bytes(write(idx(LABELS)))
    return directory


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_idx_directory(tmp_path: Path, suffix: str) -> None:
    (x, y), (xt, yt) = datasets.load(write_idx_directory(tmp_path, suffix))
    for images, labels in ((x, y), (xt, yt)):
        assert_array_equal(images, IMAGES)
        assert_array_equal(labels, LABELS)
        assert images.dtype == labels.dtype == np.uint8


def test_idx_directory_with_plain_and_gz(tmp_path: Path) -> None:
    write_idx_directory(write_idx_directory(tmp_path), ".gz")
    (tmp_path / "train-images-idx3-ubyte.gz").write_bytes(b"not read")
    assert_array_equal(datasets.load(str(tmp_path))[0][0], IMAGES)


def test_idx_directory_without_a_test_set(tmp_path: Path) -> None:
    (x, y), (xt, yt) = datasets.load(write_idx_directory(tmp_path, splits=("train",)))
    assert (len(x), len(y), len(xt), len(yt)) == (10, 10, 2, 2)


@pytest.mark.parametrize(
    ("code", "dtype"), [(0x09, "i1"), (0x0B, "i2"), (0x0C, "i4"), (0x0D, "f4"), (0x0E, "f8")]
)
def test_idx_types(tmp_path: Path, code: int, dtype: str) -> None:
    write_idx_directory(tmp_path)
    wanted = np.arange(-30, 30).reshape(12, 5).astype(dtype)
    (tmp_path / "train-images-idx3-ubyte").write_bytes(idx(wanted, code))
    (tmp_path / "t10k-images-idx3-ubyte").write_bytes(idx(wanted, code))
    x = datasets.load(tmp_path)[0][0]
    assert_array_equal(x, wanted)
    assert x.dtype == np.dtype(dtype) and x.dtype.isnative


GOOD = idx(LABELS)


@pytest.mark.parametrize("suffix", ["", ".gz"])
@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"", "nothing"),
        (b"GIF89a", "47 49 46 38"),
        (b"\0\0\x07\x01" + GOOD[4:], "00 00 07 01"),
        (GOOD[:6], "truncated"),
        (GOOD[:-1], "truncated"),
        (GOOD + b"\0", "longer"),
        (b"\0\0\x08\x04" + b"\xff" * 16, "truncated"),
        (GOOD[:4] + struct.pack(">I", 11) + GOOD[8:-1], "12 examples in x_train, but 11"),
    ],
)
def test_broken_idx(tmp_path: Path, content: bytes, fault: str, suffix: str) -> None:
    write_idx_directory(tmp_path, suffix)
    content = gzip.compress(content) if suffix else content
    (tmp_path / f"train-labels-idx1-ubyte{suffix}").write_bytes(content)
    with pytest.raises(ValueError, match=fault) as raised:
        datasets.load(tmp_path)
    assert str(tmp_path) in str(raised.value)


@pytest.mark.parametrize("content", [b"not gzip", gzip.compress(GOOD, mtime=0)[:-9]])
def test_broken_gz(tmp_path: Path, content: bytes) -> None:
    write_idx_directory(tmp_path, ".gz")
    (tmp_path / "train-labels-idx1-ubyte.gz").write_bytes(content)
    with pytest.raises(ValueError, match=r"train-labels-idx1-ubyte\.gz: "):
        datasets.load(tmp_path)


def test_directory_faults(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="holds no IDX files"):
        datasets.load(tmp_path)
    write_idx_directory(tmp_path)
    (tmp_path / "t10k-labels-idx1-ubyte").unlink()
    with pytest.raises(ValueError, match="no y_test"):
        datasets.load(tmp_path)
    (tmp_path / "emnist-train-images-idx3-ubyte").write_bytes(idx(IMAGES))
    with pytest.raises(ValueError, match="one data set"):
        datasets.load(tmp_path)


# .npz


def test_npz_with_keras_names(tmp_path: Path) -> None:
    path = tmp_path / "data.npz"
    np.savez(path, x_train=IMAGES, y_train=LABELS, x_test=IMAGES[:3], y_test=LABELS[:3], more=[1])
    (x, y), (xt, yt) = datasets.load(path)
    assert_array_equal(x, IMAGES)
    assert_array_equal(y, LABELS)
    assert_array_equal(xt, IMAGES[:3])
    assert_array_equal(yt, LABELS[:3])


def test_npz_names_in_any_case(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", X_train=IMAGES, Y_Train=LABELS)
    assert_array_equal(files.read(tmp_path / "a.npz").train[0], IMAGES)
    np.savez(tmp_path / "b.npz", X=IMAGES, x=IMAGES, y=LABELS)
    with pytest.raises(ValueError, match="but for its case: x"):
        files.read(tmp_path / "b.npz")


def test_npz_is_split_by_the_seed(tmp_path: Path) -> None:
    path = tmp_path / "data.npz"
    rows = np.arange(50, dtype=np.float32).reshape(50, 1)
    np.savez_compressed(path, x=rows, y=np.arange(50))
    (x, y), (xt, yt) = datasets.load(path)
    assert (len(x), len(xt)) == (40, 10)
    assert sorted([*y, *yt]) == list(range(50))
    assert_array_equal(x[:, 0], y)
    assert_array_equal(xt[:, 0], yt)
    assert_array_equal(datasets.load(path)[1][1], yt)
    assert set(datasets.load(path, seed=1)[1][1]) != set(yt)
    assert len(datasets.load(path, test_split=0.5)[1][1]) == 25


@pytest.mark.parametrize(
    ("arrays", "fault"),
    [
        ({"a": IMAGES}, "none of the arrays x_train"),
        ({"x_train": IMAGES}, "no y_train"),
        ({"x": IMAGES, "y": LABELS[:-2]}, "12 examples in x_train, but 10"),
        ({"x": IMAGES, "y": np.array(["a"] * 12)}, "wanted numbers"),
        ({"x": IMAGES, "y": np.array([None] * 12)}, "array 'y'"),
        ({"x": LABELS, "y": LABELS}, "x_train has shape"),
        ({"x": IMAGES[:0], "y": LABELS[:0]}, "x_train has shape"),
        (
            {"x_train": IMAGES, "y_train": LABELS, "x_test": IMAGES[:, 1:], "y_test": LABELS},
            r"\(4, 4\), training examples of shape \(5, 4\)",
        ),
    ],
)
def test_npz_faults(tmp_path: Path, arrays: dict[str, Any], fault: str) -> None:
    path = tmp_path / "data.npz"
    np.savez(path, **arrays)
    with pytest.raises(ValueError, match=fault) as raised:
        datasets.load(path)
    assert str(path) in str(raised.value)


def test_broken_npz(tmp_path: Path) -> None:
    path = tmp_path / "data.npz"
    np.savez_compressed(path, x=IMAGES, y=LABELS)
    whole = path.read_bytes()
    for content in (b"", b"text", whole[:100], whole[:60] + b"\0\0\0\0" + whole[64:]):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"data\.npz: "):
            datasets.load(path)
    with path.open("wb") as file:
        np.save(file, IMAGES)
    with pytest.raises(ValueError, match="one array, not"):
        datasets.load(path)


@pytest.mark.parametrize(
    "header",
    [
        "{'descr': '<f4', 'fortran_order': False, 'shape': (10**9,",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000000000000000, 2)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (-3, 4)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (4611686018427387904, 4)}",
        "{'descr': '|O', 'fortran_order': False, 'shape': (3, 4)}",
        "{'descr': '" + "(" * 3000,
        None,
    ],
    ids=["cut", "huge", "negative", "wraps", "objects", "deep", "none"],
)
@pytest.mark.parametrize("suffix", [".npz", ".npy"])
def test_headers_of_arrays(tmp_path: Path, header: str | None, suffix: str) -> None:
    """NumPy's own errors for these are of many kinds, and some hold the whole header."""
    content = b"text"
    if header is not None:
        text = header.encode()
        content = b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + bytes(48)
    path = tmp_path / f"data{suffix}"
    path.write_bytes(content)
    if suffix == ".npz":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("x.npy", content)
    with pytest.raises(ValueError, match=f"data.{suffix[1:]}: ") as raised:
        datasets.files.load_inputs(path)
    assert len(str(raised.value)) < 2000


# .csv


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


ROWS = [f"{k}.5,{k % 3},{k}" for k in range(10)]


def load_csv(tmp_path: Path, lines: list[str], **options: Any) -> tuple[Any, Any]:
    """All rows of a table in their order: (x, y)."""
    source = files.read(write(tmp_path / "data.csv", "\n".join(lines) + "\n"), **options)
    assert source.test is None
    return source.train


def test_csv_without_header(tmp_path: Path) -> None:
    x, y = load_csv(tmp_path, ROWS)
    assert_array_equal(x, [[k + 0.5, k % 3] for k in range(10)])
    assert_array_equal(y, np.arange(10))
    assert x.dtype == np.float32 and y.dtype == np.int64


@pytest.mark.parametrize("name", ["label", "Target", "y", "class", '"class"'])
def test_csv_header_names_the_label(tmp_path: Path, name: str) -> None:
    x, y = load_csv(tmp_path, [f"size,{name},age", *ROWS])
    assert_array_equal(y, [k % 3 for k in range(10)])
    assert x.shape == (10, 2)


def test_csv_label_option(tmp_path: Path) -> None:
    for label in ("size", "0", 0, -3):
        _, y = load_csv(tmp_path, ["size,label,age", *ROWS], label=label)
        assert_array_equal(y, np.arange(10) + 0.5)
        assert y.dtype == np.float32


def test_csv_dialects(tmp_path: Path) -> None:
    plain = load_csv(tmp_path, ROWS)
    for lines in (
        ["\ufeff" + ROWS[0], *ROWS[1:]],
        [row.replace(",", ";") for row in ROWS],
        [row.replace(",", "\t") for row in ROWS],
        [row.replace(",", ", ") + "\r" for row in ROWS],
        ["", *ROWS[:3], "", *ROWS[3:], ""],
        [",".join(f'"{cell}"' for cell in row.split(",")) for row in ROWS],
        [",a,b,c", *(f"{k},{row}" for k, row in enumerate(ROWS))],
        ["0,1,c", *ROWS],
    ):
        for got, wanted in zip(load_csv(tmp_path, lines), plain, strict=True):
            assert_array_equal(got, wanted)


def test_csv_of_pixels_is_uint8(tmp_path: Path) -> None:
    x, _ = load_csv(tmp_path, ["label,p0,p1", "1,0,255", "0,7,8"])
    assert x.dtype == np.uint8
    assert_array_equal(x, [[0, 255], [7, 8]])


@pytest.mark.parametrize(
    ("lines", "fault"),
    [
        ([], "no rows"),
        (["a,b"], "no rows|not a number"),
        (["a,b,c", "1,2,3", "1,x,3"], "line 3, column 'b': 'x' is not a number"),
        (["1,2,3", "1,,3"], r"line 2, column 1 \(from 0\): '' is not a number"),
        (["1,2,3", "", "1,2,nan"], r"line 3, column 2 \(from 0\): 'nan'"),
        (["1,2,3", "1,2,1e300"], "1e300"),
        (["1,2,3", "1,2"], "line 2: 2 columns, but 3"),
        (["a,b,c", "1,2", "1,2"], "line 2: 2 columns, but 3"),
        (["a,b", "1,2,3", "4,5,6"], "line 2: 3 columns, but 2"),
        (["a,b,c", "1,2,3", f"1,{'x' * 5000},3"], "line 3, column 'b': 'xx.{1,90}x' is not"),
        (["5.1,3.5,setosa", "4.9,3.0,setosa"], r"line 1, column 2 \(from 0\): 'setosa'"),
        (["1", "2"], "one column"),
    ],
)
def test_csv_faults(tmp_path: Path, lines: list[str], fault: str) -> None:
    with pytest.raises(ValueError, match=fault) as raised:
        load_csv(tmp_path, lines)
    assert "data.csv" in str(raised.value)


def test_a_line_of_one_blank_in_quotes(tmp_path: Path) -> None:
    """A row to pandas, none to Python's csv."""
    with pytest.raises(ValueError, match=r"data.csv: row 3 has no line of its own"):
        load_csv(tmp_path, ["1\t2", "3\t4", '" "'])


def test_one_row_leaves_none_to_learn_from(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"data.csv: test_split=0.2 of 1 examples"):
        datasets.load(write(tmp_path / "data.csv", "1,2,3"))


@pytest.mark.filterwarnings("ignore")
def test_a_header_that_is_too_short_loses_no_column(tmp_path: Path) -> None:
    """Which pandas warns of, where warnings are no errors as in these tests."""
    with pytest.raises(ValueError, match=r"data.csv: line 2: 3 columns, but 2"):
        load_csv(tmp_path, ["a,b", "1,2,3", "4,5,6", "7,8,9"])


def test_whole_numbers_of_any_length(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"data.csv: line 1, column 1 \(from 0\): '1{60}"):
        load_csv(tmp_path, [f"1,{'1' * 400},3"])


@pytest.mark.parametrize("highest", [255, 256])
def test_csv_features_take_little_more_than_they_are(tmp_path: Path, highest: int) -> None:
    rows = np.random.default_rng(0).integers(0, highest + 1, (2000, 41))
    rows[0, :2] = 0, highest
    path = tmp_path / "a.csv"
    np.savetxt(path, rows, fmt="%d", delimiter=",")
    table = _csv.table(path, None)
    tracemalloc.start()
    try:
        x, _ = _csv.examples(table)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert x.dtype == (np.uint8 if highest == 255 else np.float32)
    assert_array_equal(x, rows[:, :-1])
    assert peak < x.nbytes + 6 * 8 * len(x)  # some columns


def test_csv_label_faults(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no column 'color'; its columns are size, label, age"):
        load_csv(tmp_path, ["size,label,age", *ROWS], label="color")
    with pytest.raises(ValueError, match="no column 3; it has 3 columns"):
        load_csv(tmp_path, ROWS, label=3)


def test_binary_csv(tmp_path: Path) -> None:
    path = tmp_path / "data.csv"
    for content in (b"\xff\xfe\x00\x01", b"1,2\n3,\x00\n", gzip.compress(b"1,2\n3,4\n")):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"data\.csv: "):
            datasets.load(path)


# Any of them


def test_unknown_paths(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nowhere"):
        datasets.load(tmp_path / "nowhere")
    with pytest.raises(ValueError, match=r"data\.txt: wanted a directory"):
        datasets.load(write(tmp_path / "data.txt", "1,2"))


@pytest.mark.parametrize("share", [0, 1, -0.1, 0.99])
def test_split_faults(share: float) -> None:
    with pytest.raises(ValueError, match="test_split"):
        files.split((IMAGES, LABELS), share)


def test_load_inputs(tmp_path: Path) -> None:
    assert_array_equal(files.load_inputs(write_idx_directory(tmp_path)), IMAGES)
    np.savez(tmp_path / "a.npz", x=IMAGES)
    assert_array_equal(files.load_inputs(tmp_path / "a.npz"), IMAGES)
    np.save(tmp_path / "a.npy", IMAGES)
    assert_array_equal(files.load_inputs(tmp_path / "a.npy"), IMAGES)
    table = write(tmp_path / "a.csv", "\n".join(ROWS))
    assert files.load_inputs(table, features=3).shape == (10, 3)
    assert files.load_inputs(table, features=2).shape == (10, 2)
    assert_array_equal(files.load_inputs(table, label="0")[:, 1], np.arange(10))


@pytest.mark.parametrize("array", [np.array([None, 1]), np.array(["a", "b"])])
def test_inputs_that_are_no_numbers(tmp_path: Path, array: Any) -> None:
    np.save(tmp_path / "a.npy", array, allow_pickle=True)
    with pytest.raises(ValueError, match=r"a\.npy: "):
        files.load_inputs(tmp_path / "a.npy")

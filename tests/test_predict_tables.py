"""``fastnn predict`` reads a table part by part: the same bytes as from the table read whole."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command import failure

import fastnn as fnn
from fastnn import layers
from fastnn.cli import main, model_file
from fastnn.tables import features
from fastnn.tables.columns import Category, Number
from fastnn.tables.form import Form
from fastnn.tables.label import Label

ROWS = 100
FORM = Form(
    [
        Number("a", 0.5, True),
        Category("color", ["blue", "red"], True, True),
        Number("b", 7.0, False),
    ],
    Label("answer", ["no", "yes", "maybe"]),
    ["a", "color", "b", "answer"],
    True,
    ["unknown"],
    False,
)
RANDOM = np.random.default_rng(3).normal(size=ROWS)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    fnn.utils.set_random_seed(4)
    net = fnn.Sequential([
        layers.Input((FORM.width,)), layers.Dense(20, "relu"), layers.Dense(3, "softmax"),
    ])  # fmt: skip
    # Not so large that the softmax of thousands is 0 and 1.
    net.set_weights([weights / 1000 for weights in net.get_weights()])
    path = tmp_path_factory.mktemp("model") / "m.safetensors"
    model_file.save(net, path, None, FORM)
    return str(path)


@pytest.fixture
def parts(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Parts of seven rows of five columns or fewer features; how many rows each has."""
    monkeypatch.setattr("fastnn.tables.parts.CELLS", 7 * 5)
    rows: list[int] = []

    def noted(*arguments: Any) -> Iterator[Any]:
        for x, notes in original(*arguments):
            rows.append(len(x))
            yield x, notes

    original = features.by_parts
    monkeypatch.setattr(features, "by_parts", noted)
    return rows


def number(k: int) -> str:
    """With gaps, and a run of them longer than a part."""
    return ("", "NA", "unknown")[k % 3] if k % 9 == 0 or 30 < k < 50 else f"{RANDOM[k]:.9f}"


def color(k: int) -> str:
    return "" if 60 < k < 80 else ("red", "blue", "mauve", " red", "NA")[k % 5]


TABLES: dict[str, tuple[bool, Callable[[int], str]]] = {
    "numbers": (True, lambda k: str(RANDOM[k])),
    "whole numbers first": (True, lambda k: str(k if k < 50 else k / 3)),
    "truth values": (True, lambda k: ("True", "false", "NA")[k % 3]),
    "gaps, then truth values": (True, lambda k: "" if k < 15 else "TRUE" if k % 2 else "False"),
    "thousands": (True, lambda k: f'"{(k + 1) * 7654:,}.5"'),
    "numbers, then thousands": (False, lambda k: f'"{k * k:,}"'),
    "three digits, then decimal": (False, lambda k: '"1,234"' if k < 50 else f'"{k},5"'),
}


@pytest.mark.parametrize("name", TABLES)
def test_the_same_bytes(
    name: str,
    model: str,
    parts: list[int],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    alike, cell = TABLES[name]
    path = tmp_path / "t.csv"
    lines = [f"{number(k)},x{k},{color(k)},{cell(k)},{'other' * (k % 2)}" for k in range(ROWS)]
    path.write_text("\n".join(["a,id,color,b,answer", *lines[:5], "", *lines[5:], ""]))
    outputs = ["p.csv", "p.npy"]

    def output() -> list[Any]:
        said = []
        for more in ([], *(["--output", str(tmp_path / output)] for output in outputs)):
            assert main(["predict", model, str(path), *more]) == 0
            said.append(capsys.readouterr())
        assert main(["predict", model, str(path), "--json", str(tmp_path / "p.json")]) == 0
        capsys.readouterr()
        return [*said, *((tmp_path / file).read_bytes() for file in (*outputs, "p.json"))]

    by_parts = output()
    if alike:
        assert sum(parts) == 4 * ROWS and max(parts) <= 7
    monkeypatch.setattr(features, "by_parts", unlike)
    assert output() == by_parts
    assert by_parts[0].err.count("\n") == 1 and "column 'id'" in by_parts[0].err
    assert len(np.unique(np.load(tmp_path / "p.npy"), axis=0)) > 5


def unlike(*_: Any) -> Iterator[Any]:
    raise features.UnlikeError
    yield


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("ten,red,1,no", "line 72, column 'a': 'ten' is not a number"),
        ("1e99,red,1,no", "line 72, column 'a': '1e99' is not a finite float32 number"),
        ("1,red,2", "line 72: 3 columns, but 4 in the first line"),
        ("1,red,2,no,more", "line 72: 5 columns, but 4 in the first line"),
    ],
)
def test_a_fault_in_a_later_part_is_found(
    line: str,
    fault: str,
    model: str,
    parts: list[int],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path, output = tmp_path / "t.csv", tmp_path / "p.csv"
    good = [f"{k},red,{k},no" for k in range(ROWS)]
    path.write_text("\n".join(["a,color,b,answer", *good[:70], line, *good[70:]]))
    assert fault in failure(capsys, "predict", model, path, "--output", output)
    assert parts and not output.exists()


def test_a_column_that_is_missing(
    model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (path := tmp_path / "t.csv").write_text("a,b\n1,2\n")
    assert "no column 'color'" in failure(capsys, "predict", model, path)


def test_a_later_part_that_is_no_text(
    model: str, parts: list[int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(b"a,color,b,answer\n" + b"1,red,2,no\n" * 60 + b"1,\xff,2,no\n")
    assert "line 62: byte 0xff is not UTF-8" in failure(capsys, "predict", model, path)


def test_without_pandas(parts: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All rows come from one part."""
    monkeypatch.setattr("fastnn.tables.requirement.has_pandas", lambda: False)
    form = Form([Number("a", 0.0, False)], Label("b", None), ["a", "b"], True, [], False)
    (path := tmp_path / "t.csv").write_text("\n".join(["a", *map(str, range(50))]))
    found = [x for x, _ in features.by_parts(form, str(path), features.Options())]
    assert [len(x) for x in found] == [35, 15]
    np.testing.assert_array_equal(np.concatenate(found)[:, 0], range(50))


def test_pixels_and_what_are_none(
    parts: list[int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Bytes in one part, in another not: the same as numbers of any kind."""
    form = Form([Number("a", 0.0, False), Number("b", 0.0, False)], Label("y", None),
                ["a", "b", "y"], True, [], True)  # fmt: skip
    net = fnn.Sequential([layers.Input((2,)), layers.Rescaling(1 / 255), layers.Dense(1)])
    model_file.save(net, tmp_path / "m.safetensors", None, form)
    lines = [f"{k},{2 * k + (k > 60) / 8}" for k in range(ROWS)]
    (path := tmp_path / "t.csv").write_text("\n".join(["a,b", *lines]))
    found = {x.dtype.name for x, _ in features.by_parts(form, str(path), features.Options())}
    assert found == {"uint8", "float32"}
    arguments = [str(tmp_path / name) for name in ("m.safetensors", "t.csv", "p.npy")]
    assert main(["predict", *arguments[:2], "--output", arguments[2]]) == 0
    rows = np.array([line.split(",") for line in lines], np.float32)
    np.testing.assert_array_equal(np.load(arguments[2]), net.predict(rows, verbose=0))


def test_many_features_of_few_columns(parts: list[int], tmp_path: Path) -> None:
    """A part of the file becomes several of the features, which are far wider."""
    names = [f"c{k:02}" for k in range(35)]
    form = Form([Category("c", names, False, False), Number("n", 0.0, False)],
                Label("y", None), ["c", "n", "y"], True, [], False)  # fmt: skip
    (path := tmp_path / "t.csv").write_text(
        "\n".join(["c,n", *(f"{names[k % 35]},{'' if k % 2 else k}" for k in range(40))])
    )
    found = [x for x, _ in features.by_parts(form, str(path), features.Options())]
    assert [len(x) for x in found] == [1] * 40
    np.testing.assert_array_equal(
        np.concatenate(found), form.encode(form.read(str(path), features.Options()))
    )

"""Tables as people have them, through ``fastnn train``, ``evaluate`` and ``predict``."""

from __future__ import annotations

import argparse
import csv
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from command import failure

from fastnn.cli import main, scaling, training
from fastnn.tables import Options, columns, dialect, form, label, parsing, read, reading
from fastnn.tables.cells import Categories, smallest

ROWS = [
    f"{k % 7}.5,{('red', 'blue', 'green')[k % 3]},{'' if k % 10 == 0 else k},"
    f"{('no', 'yes', 'maybe')[k % 3]}"
    for k in range(90)
]
HEADER = "size,color,age,answer"


def write(path: Path, *lines: str, encoding: str = "utf-8") -> Path:
    path.write_text("\n".join(lines) + "\n", encoding=encoding)
    return path


def test_train_evaluate_predict(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, model = write(tmp_path / "a.csv", HEADER, *ROWS), str(tmp_path / "m.safetensors")
    assert main(["train", str(path), "--save", model, "--json", str(tmp_path / "r.json")]) == 0
    out = capsys.readouterr().out
    assert "label 'answer': 3 classes, maybe, no, yes" in out and "gaps in 'age'" in out
    assert json.loads((tmp_path / "r.json").read_text())["test_accuracy"] == 1.0
    assert main(["evaluate", model, str(path)]) == 0
    assert capsys.readouterr().out.endswith("test accuracy: 1.0000\n")

    shuffled = write(tmp_path / "b.csv", "age,color,size", "4,red,1.5", ",blue,2.5", "3,mauve,1")
    assert main(["predict", model, str(shuffled)]) == 0
    lines = list(csv.reader(capsys.readouterr().out.splitlines()))
    assert [line[0] for line in lines[1:3]] == ["no", "yes"] and len(lines) == 4
    assert main(["evaluate", model, str(path), "--all"]) == 0
    assert "90 examples (all)" in capsys.readouterr().out
    other = write(tmp_path / "g.csv", "was,size,color,age,x", *(f"no,{row[:-2]}" for row in ROWS))
    assert main(["evaluate", model, str(other), "--label", "was"]) == 0
    assert "has not learned from them: column 'x'\n" in capsys.readouterr().out
    more = write(tmp_path / "f.csv", "id,age,when,color,size,answer", "x7,4,2020-01-02,red,1.5,new")
    assert main(["predict", model, str(more)]) == 0
    said = capsys.readouterr()
    assert said.out.splitlines()[1] == ",".join(lines[1])
    assert said.err == (
        "fastnn: left out, as the net has not learned from them: column 'id', column 'when'\n"
    )
    renamed = write(tmp_path / "c.csv", "age,colour,size", "4,red,1.5")
    assert "no column 'color'" in failure(capsys, "predict", model, renamed)
    worse = write(tmp_path / "d.csv", "age,color,size", "4,red,1.5", "x,red,1")
    assert "line 3, column 'age': 'x' is not a number" in failure(capsys, "predict", model, worse)
    other = write(tmp_path / "e.csv", HEADER, ROWS[0], "1,red,2,never")
    assert "line 3, column 'answer': 'never' is none" in failure(capsys, "evaluate", model, other)


def test_what_is_learned_is_of_the_training_part(tmp_path: Path) -> None:
    table = read(write(tmp_path / "a.csv", HEADER, *ROWS))
    target, y, rows, _ = label.learn(table, None)
    assert target.classes == ["maybe", "no", "yes"] and y.tolist()[:3] == [1, 2, 0]
    learned = form.learn(table, target, rows[:30])
    size, color, age = learned.columns
    ages = [k for k in range(30) if k % 10]
    assert age == columns.Number("age", float(np.median(ages)), True)
    assert color == columns.Category("color", ["blue", "green", "red"], False, False)
    x = learned.encode(table)
    assert x.shape == (90, 6) and size.width == 1
    np.testing.assert_array_equal(x[:2, 1:4], [[0, 0, 1], [1, 0, 0]])
    np.testing.assert_array_equal(x[[0, 89], 4:], [[np.median(ages), 1], [89, 0]])
    assert form.Form.from_config(json.loads(json.dumps(learned.get_config()))) == learned


def test_rare_categories_share_a_slot(tmp_path: Path) -> None:
    texts = ["a"] * 5 + ["b"] * 3 + ["c", "d", ""]
    lines = [f"{text},{k % 2}" for k, text in enumerate(texts)]
    table = read(write(tmp_path / "a.csv", "kind,y", *lines))
    found = columns.learn(table, "kind", np.arange(len(texts)))
    assert found == columns.Category("kind", ["a", "b"], True, True)
    out = np.zeros((len(texts), found.width), np.float32)  # type: ignore[union-attr]
    found.encode(table, slice(None), out)  # type: ignore[union-attr]
    assert out.argmax(1).tolist() == [0] * 5 + [1] * 3 + [3, 3, 2]


@pytest.mark.parametrize(
    ("values", "classes"),
    [
        (np.arange(1000), False),
        (np.arange(1000) % 3, True),
        (np.arange(1000) % 20 * 7, True),
        (np.arange(1000) % 50, True),
        (np.arange(1000) % 50 + 17, False),
        (np.arange(30) % 10, False),
        (np.array([0, 1]), True),
    ],
)
def test_whole_numbers_are_classes_where_they_are_few(values: np.ndarray, classes: bool) -> None:
    assert label.are_classes(values) is classes


def test_regression_says_rmse_mae_and_r2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = [f"{k},{('u', 'v')[k % 2]},{1000 + 3 * k}" for k in range(200)]
    path, result = write(tmp_path / "a.csv", "a,b,price", *lines), tmp_path / "r.json"
    assert main(["train", str(path), "--json", str(result)]) == 0
    out = capsys.readouterr().out
    assert "200 different numbers in 200 rows, taken as a quantity" in out
    assert "--task classification" in out
    assert [line.split(":")[0] for line in out.splitlines()[-3:]] == [
        "test rmse", "test mae", "test r2"
    ]  # fmt: skip
    found = json.loads(result.read_text())
    assert found["test_r2"] > 0.99 and 0 < found["test_mae"] <= found["test_rmse"] < 20


@pytest.mark.parametrize(
    ("lines", "fault"),
    [
        (["a,b", "1,2", "1,2,3"], "line 3: 3 columns, but 2"),
        (["a,b", "1,2", "1"], "line 3: 1 columns, but 2"),
        (["a,b"], "only a header"),
        (["a,a", "1,2"], "two columns are named 'a'"),
        (["day,y", "2020-01-02,1", "2020-01-03,0"], "line 2, column 'day': '2020-01-02' is a date"),
        (["a,y", *["1,0"] * 9, "x,1"], "line 11, column 'a': 'x' is not a number, as 90%"),
        (["a,y", "1,x", "2,x"], "column 'y', the label, is 'x' in every row"),
        (["a,y", ",1", ",0"], "column 'a': it has no values"),
        (["a,y", "1,", "2,"], "column 'y', the label, has no values"),
        (["a;y", "1,234;1", "2,345;0"], "line 2, column 'a': '1,234' could be"),
        (["5,unknown,3", "5,4,3", "6,7,8"], "line 1 could be a header or a row"),
        (["a,y", "inf,1", "2,0"], "line 2, column 'a': 'inf' is not a finite"),
    ],
)
def test_bad_tables(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], lines: list[str], fault: str
) -> None:
    assert fault in failure(capsys, "train", write(tmp_path / "a.csv", *lines))


@pytest.mark.parametrize(
    "lines",
    [
        ["a;y", "1,5;1", "2,25;0"],
        ["a\ty", "1.5\t1", "2.25\t0"],
        ["a|y", "1.5|1", "2.25|0"],
        [",a,y", "1,1.5,1", "2,2.25,0"],
    ],
)
def test_ways_to_write_a_table(tmp_path: Path, lines: list[str]) -> None:
    table = read(write(tmp_path / "a.csv", *lines))
    assert table.names == ["a", "y"]
    target, _, rows, _ = label.learn(table, None)
    np.testing.assert_array_equal(form.learn(table, target, rows).encode(table), [[1.5], [2.25]])


def test_thousands(tmp_path: Path) -> None:
    table = read(write(tmp_path / "a.csv", "a,y", '"1,234",1', '"5,678,901.5",0', "7,1"))
    target, _, rows, _ = label.learn(table, None)
    x = form.learn(table, target, rows).encode(table)
    np.testing.assert_array_equal(x[:, 0], [1234, 5678901.5, 7])


def test_encodings(tmp_path: Path) -> None:
    lines = ["größe,y", "1.5,1", "2.25,0"]
    assert read(write(tmp_path / "a.csv", *lines, encoding="utf-16")).names[0] == "größe"
    latin = write(tmp_path / "b.csv", *lines, encoding="latin-1")
    with pytest.raises(ValueError, match=r"line 1: byte 0xf6 is not UTF-8.*--encoding latin-1"):
        read(latin)
    assert read(latin, Options(encoding="latin-1")).names[0] == "größe"


def test_no_label_is_said(tmp_path: Path) -> None:
    table = read(write(tmp_path / "a.csv", "a,y", "1,p", "2,", "3,q"))
    _, y, rows, _ = label.learn(table, "classification")
    assert rows.tolist() == [0, 2] and y.tolist() == [0, 1]
    assert "1 of 3 rows have no label" in table.notes[0] and "line 3" in table.notes[0]


@pytest.mark.parametrize(
    ("cells", "what"),
    [
        (["1", "2", "", "4", "7.5", "6"], [1, 2, np.nan, 4, 7.5, 6]),
        (["", "", "", "4", "-300", "65536"], [np.nan] * 3 + [4, -300, 65536]),
        (["1", "2", "3", "4", "1,234", "6"], [1, 2, 3, 4, 1234, 6]),
        (["1,5", "2", "", "4,25", "-,5", "6,1e3"], [1.5, 2, np.nan, 4.25, -0.5, 6100]),
        (["1,234,567", "2", "3", "4", "", "-9,876.5"], [1234567, 2, 3, 4, np.nan, -9876.5]),
        (["1,5", "2", "1,5", "1,234.5", "b", "b"], ["1,5", "2", "1,5", "1,234.5", "b", "b"]),
        (["TRUE", "false", "", "", "True", "TRUE"], [1, 0, np.nan, np.nan, 1, 1]),
        (["1", "2", "2", "b", "b", "1"], ["1", "2", "2", "b", "b", "1"]),
        (["01", "2", "2", "TRUE", "TRUE", "01"], ["01", "2", "2", "TRUE", "TRUE", "01"]),
        (["b ", "b", "NA", "a", " a", "é"], ["b", "b", None, "a", "a", "é"]),
        (["1", "2", "3", "4", "5", "99999999999999999999"], [1, 2, 3, 4, 5, 1e20]),
        (["255", "0", "3", "4", "5", "6"], [255, 0, 3, 4, 5, 6]),
        (["", "?", "NA", "", "", ""], [np.nan] * 6),
    ],
)
@pytest.mark.parametrize("rows", [1, 2, 4, 6])
@pytest.mark.parametrize("many", [0, 10_000])
def test_a_column_that_is_read_in_parts(
    cells: list[str],
    what: list[object],
    many: int,
    rows: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("fastnn.tables.parts.CELLS", 2 * rows)
    monkeypatch.setattr("fastnn.tables.parts.MANY", many)
    lines = [f'"{cell}",{k % 2}' for k, cell in enumerate(cells)]
    found = parsing.column(read(write(tmp_path / "a.csv", "a,y", *lines)), "a")
    if isinstance(found, Categories):
        assert found.names == sorted(found.names)
        assert [None if k < 0 else found.names[k] for k in found.codes] == what
    else:
        # Beyond 2**53 pandas 2 is a rounding off.
        np.testing.assert_allclose(found, np.array(what, float), rtol=2e-16)


@pytest.mark.parametrize(
    "lines",
    [["1,2", "", "3,4", " "], ["1,2", '"3,4",5'], ["1,2", "3,4,5"], ["1,2", "3"], ["1,2", '3,"4"']],
)
def test_the_quick_look_at_widths_says_what_csv_does(lines: list[str], tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", *lines)
    found = dialect.Dialect("utf-8", ",", False, ("1", "2"), 0)
    widths = {len(row) for _, row in dialect.lines(path, "utf-8", ",")}
    assert not reading._are_alike(path, found) or widths == {2}
    assert reading._are_alike(path, found) == (widths == {2} and '"' not in path.read_text())


def test_faults_in_a_later_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fastnn.tables.parts.CELLS", 4)
    for last, fault in (("1,2,3", "line 8: 3 columns, but 2"), ("1", "line 8: 1 columns, but 2")):
        with pytest.raises(ValueError, match=fault):
            read(write(tmp_path / "a.csv", "a,y", *["1,2"] * 6, last, "1,2"))
    path = tmp_path / "b.csv"
    path.write_bytes(b"a,y\n" + b"1,2\n" * 6 + b"\xff,2\n")
    with pytest.raises(ValueError, match="line 8: byte 0xff is not UTF-8"):
        read(path)
    table = read(write(tmp_path / "c.csv", "a,y", *[f"{k},0" for k in range(9)], "x,1"))
    with pytest.raises(ValueError, match="line 11, column 'a': 'x' is not a number"):
        parsing.numbers(table, "a")


@pytest.mark.parametrize(
    ("numbers", "kind"),
    [
        ([0, 255], "uint8"), ([-1, 200], "int16"), ([-1, 2**40], "int64"),
        ([5, 2**40], "int64"), ([5, 2**64 - 1], "uint64"),
    ],
)  # fmt: skip
def test_integers_are_held_in_the_smallest_type(numbers: list[int], kind: str) -> None:
    found = smallest(np.array(numbers, np.uint64 if numbers[0] > 0 else np.int64))
    assert found.tolist() == numbers and found.dtype == kind


def test_a_column_that_is_the_same_everywhere_keeps_its_unit() -> None:
    """Though the mean of so many 0.1 is another number."""
    x = np.stack([np.full(100_000, 0.1), np.arange(100_000)], axis=1)
    assert scaling.of_numbers(x, np.ones(2, bool)).deviation[0] == 1.0


def test_scaling_goes_block_by_block(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scaling, "_BLOCK", 40)
    x = np.random.default_rng(0).normal(1e4, [1.0, 5.0, 0.0, 2.0], (103, 4)).astype(np.float32)
    columns = np.array([True, True, True, False])
    found = scaling.of_numbers(x, columns)
    exact = x.astype(np.float64)
    np.testing.assert_allclose(found.mean, np.where(columns, exact.mean(axis=0), 0), rtol=1e-14)
    wanted = np.where(columns & (exact.std(axis=0) > 0), exact.std(axis=0), 1)
    np.testing.assert_allclose(found.deviation, wanted, rtol=1e-12)
    scaled = (exact - found.mean) / found.deviation
    np.testing.assert_array_equal(found.apply(x), scaled.astype(np.float32))
    assert found.apply(x, x) is x
    np.testing.assert_array_equal(x, scaled.astype(np.float32))


@pytest.mark.parametrize(
    ("rows", "epochs", "batch"),
    [(100, 200, 32), (3200, 20, 32), (640_000, 20, 128), (1_280_000, 10, 128), (10**8, 1, 128)],
)
def test_large_tables_have_fewer_epochs(rows: int, epochs: int, batch: int) -> None:
    problem: Any = SimpleNamespace(is_table=True, are_pictures=False, x=range(rows))
    arguments = argparse.Namespace(epochs=None, batch_size=None)
    training.settle(problem, arguments)
    assert (arguments.epochs, arguments.batch_size) == (epochs, batch)


def test_too_little_memory_is_said_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("fastnn._memory.available_memory", lambda: 1000)
    path = write(tmp_path / "a.csv", HEADER, *ROWS)
    assert "a.csv: the 6 features of 72 rows take 0.0 GB of memory" in failure(
        capsys, "train", path
    )


def test_labels_that_are_true_and_false(tmp_path: Path) -> None:
    table = read(write(tmp_path / "a.csv", "a,y", "1,TRUE", "2,FALSE", "3,TRUE"))
    target, y, _, _ = label.learn(table, None)
    assert target.classes == ["FALSE", "TRUE"] and y.tolist() == [1, 0, 1]


def test_a_damaged_form_is_refused() -> None:
    for config in ({}, [], {"columns": [{}], "label": {}, "names": [], "header": True,
                            "missing": [], "pixels": False}):  # fmt: skip
        with pytest.raises(ValueError, match="is no"):
            form.Form.from_config(config)


def test_options_come_before_the_data(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    nowhere = tmp_path / "nowhere.csv"
    assert "magic" in failure(capsys, "train", nowhere, "--activation", "magic")
    assert "magic" in failure(capsys, "train", nowhere, "--optimizer", "magic")
    assert "--encoding magic" in failure(capsys, "train", nowhere, "--encoding", "magic")
    assert "--drop is for a .csv" in failure(capsys, "train", "mnist", "--drop", "a")


@pytest.mark.parametrize("header", ["a,b,label", None])
@pytest.mark.parametrize("kind", ["classes", "quantities", "pixels"])
def test_plain_numbers_need_no_pandas(
    header: str | None, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(0)
    numbers = rng.normal(size=(60, 3)).round(3)
    if kind != "quantities":
        numbers[:, 2] = rng.integers(3, 6, 60)
    if kind == "pixels":
        numbers[:, :2] = rng.integers(0, 256, (60, 2))
        numbers[0, :2] = 0, 255
    lines = [",".join(f"{value:.15g}" for value in row) for row in numbers]
    path = write(tmp_path / "a.csv", *filter(None, [header]), *lines)

    def learned() -> tuple[label.Label, list[float], bool, bytes]:
        table = read(path)
        target, y, rows, _ = label.learn(table, None)
        found = form.learn(table, target, rows)
        return target, y.tolist(), found.pixels, found.encode(table).tobytes()

    before = learned()
    assert before[2] == (kind == "pixels")
    monkeypatch.setattr("fastnn.tables.requirement.has_pandas", lambda: False)
    assert learned() == before
    assert "pandas is not installed: read as a table of plain numbers" in read(path).notes
    model = str(tmp_path / "m.safetensors")
    assert main(["train", str(path), "--save", model, "--epochs", "1", "--quiet"]) == 0
    assert main(["evaluate", model, str(path)]) == main(["predict", model, str(path)]) == 0


def test_more_than_plain_numbers_needs_pandas(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("fastnn.tables.requirement.has_pandas", lambda: False)
    path = write(tmp_path / "a.csv", HEADER, *ROWS)
    assert "pip install 'fastnn[tables]'" in failure(capsys, "train", path)
    ragged = write(tmp_path / "b.csv", "a,b", "1,2", "1,2,3")
    assert "line 3: 3 columns, but 2" in failure(capsys, "train", ragged)
    with pytest.raises(ImportError, match="categories"):
        read(ragged.with_name("a.csv"), Options(categories=("color",)))

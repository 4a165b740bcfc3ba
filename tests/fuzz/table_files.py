"""Tables of text, read by pandas and by NumPy alone."""

from __future__ import annotations

from pathlib import Path
from random import Random
from unittest import mock

import numpy as np

from fastnn import datasets, tables
from fastnn.tables import form, label, requirement
from fuzz import damage

ALLOWED = (ValueError,)

_CELLS = (
    "1", "0", "-1.5", "1e999", "-1e999", "1e400", "nan", "inf", "-inf", "", " ", "NA", "?", "abc",
    "é", '"', '""', '"a,b"', '"a\nb"', "'", "1,234", "1,5", "1_000", "0x1F", "1" * 400,
    "True", "false", "2024-01-31", "12:30", "31.12.99", "\x00", "\x1a", "#", "//", "=1+1",
    "x" * 20_000, "٣", "½", "１", "9223372036854775808", "18446744073709551616", "1e-400", "\ufeff",
    "\u2028", "\x85", "\x0b",
)  # fmt: skip


def seeds() -> list[tuple[str, bytes]]:
    """Tables with a header and without, of numbers, words and gaps."""
    numbers = "".join(f"{k},{k * 0.5},{k % 3}\n" for k in range(12))
    words = "".join(f"{k};{'red' if k % 2 else 'blue'};{k % 2}\n" for k in range(12))
    gaps = "".join(f"{k}\t{'NA' if k % 5 == 0 else k}\tclass {k % 2}\n" for k in range(12))
    return [
        ("data.csv", numbers.encode()),
        ("data.csv", f"a,b,label\n{numbers}".encode()),
        ("data.csv", f"size;colour;y\n{words}".encode()),
        ("data.tsv", f"a\tb\tclass\n{gaps}".encode()),
        ("data.csv", f"a,b,label\n{numbers}".encode("utf-16")),
        ("plain.csv", numbers.encode()),
        ("plain.csv", f"a,b,label\n{numbers}".encode()),
    ]


def damaged(random: Random, name: str, content: bytes) -> tuple[str, bytes]:
    """Another file in the place of one. ``plain`` ones are read without pandas."""
    if random.random() < 0.3:
        return name, damage.in_bytes(random, content)
    separator = random.choice((",", ",", ";", "\t", "|"))
    width = random.choice((1, 2, 3, 3, 3, 5, 40))
    pool = random.sample(_CELLS, random.choice((1, 2, 3)))
    rows = []
    for k in range(random.choice((1, 2, 12, 12, 40))):
        row = [str(random.randrange(3)) for _ in range(width)]
        if random.random() < 0.3:
            row[random.randrange(width)] = random.choice(pool)
        if random.random() < 0.02:
            row = row * random.choice((0, 2, 300))
        rows.append(separator.join(row))
        if k == 0 and random.random() < 0.5:
            rows.insert(0, separator.join(random.choice(("a", "b", "y", "1", "")) for _ in row))
    text = random.choice(("\n", "\n", "\r\n", "\r", "\n\n")).join(rows)
    encoding = random.choice(("utf-8", "utf-8", "utf-8", "utf-8-sig", "utf-16", "utf-32", "cp1252"))
    content = text.encode(encoding, "replace")
    if random.random() < 0.2:
        content = damage.in_bytes(random, content)
    return random.choice(("data.csv", "data.tsv", "plain.csv")), content


def load(name: str, content: bytes, directory: Path) -> None:
    """As ``fastnn train FILE.csv`` and ``datasets.load`` do."""
    path = directory / name
    path.write_bytes(content)
    if name.startswith("plain"):
        with mock.patch.object(requirement, "has_pandas", lambda: False):
            try:
                datasets.load(path)
            except ImportError as error:
                # What holds more than numbers asks for pandas.
                raise ValueError(str(error)) from error
        return
    table = tables.read(path)
    found, _, rows, _ = label.learn(table, None)
    learned = form.learn(table, found, rows)
    again = form.Form.from_config(learned.get_config())
    assert np.array_equal(again.encode(table), learned.encode(table))

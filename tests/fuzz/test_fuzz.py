"""Damaged files are read or refused; and the harness would notice if they were not."""

from __future__ import annotations

import subprocess
import sys
import types
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fuzz import cases
from fuzz.run import NAMES


@pytest.mark.parametrize("name", NAMES)
def test_damaged_files(name: str, tmp_path: Path) -> None:
    """Some hundred, in a process with little memory; the long run is a command."""
    command = [sys.executable, str(Path(__file__).with_name("run.py")), "--only", name]
    done = subprocess.run(
        [*command, "--runs", "120", "--found", str(tmp_path)],
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1].startswith("120 files: ")


@settings(
    max_examples=25, deadline=None, derandomize=True, suppress_health_check=[*HealthCheck]
)  # fmt: skip
@pytest.mark.parametrize("name", NAMES)
@given(data=st.data())
def test_any_edit(name: str, data: st.DataObject) -> None:
    file, content = data.draw(st.sampled_from(cases.seeds(name)))
    edited = bytearray(content)
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(edited)))
        edited[at : at + data.draw(st.integers(0, 40))] = data.draw(st.binary(max_size=40))
    assert cases.check(name, (file, bytes(edited))) in ("read", "refused")


def _key_error(directory: Path) -> None:
    raise KeyError("config")


def _decoder(directory: Path) -> None:
    b"\xff".decode()


def _nameless(directory: Path) -> None:
    raise ValueError("it is broken")


def _endless(directory: Path) -> None:
    raise ValueError(f"{directory}: {'x' * 10_000}")


def _runs(directory: Path) -> None:
    exec("pass")


def _warns(directory: Path) -> None:
    warnings.warn("something is odd", stacklevel=1)


@pytest.mark.parametrize(
    ("load", "said"),
    [
        (_key_error, "KeyError"), (_decoder, "UnicodeDecodeError"), (_nameless, "not name"),
        (_endless, "10.* characters"), (_runs, "it ran exec"), (_warns, "something is odd"),
    ],
)  # fmt: skip
def test_a_fault_is_noticed(
    load: Callable[[Path], None], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def with_directory(name: str, content: bytes, directory: Path) -> None:
        load(directory)

    fake = types.SimpleNamespace(load=with_directory, ALLOWED=(ValueError,))
    monkeypatch.setitem(cases.FORMATS, "fake", fake)
    with pytest.raises(cases.Fault, match=said):
        cases.check("fake", ("name", b""))


def test_unpickling_is_noticed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import numpy as np

    (pickled,) = (file for file in cases.seeds("npz") if b"posix" in file[1])
    assert cases.check("npz", pickled) == "refused"
    load = np.load
    monkeypatch.setattr(np, "load", lambda file, allow_pickle: load(file, allow_pickle=True))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(cases.Fault, match="pickle"):
        cases.check("npz", pickled)
    assert (tmp_path / "owned").exists()


def test_the_same_number_is_the_same_file() -> None:
    for name in NAMES:
        assert cases.case(name, 7) == cases.case(name, 7)

"""What files of models are called: one rule wherever one is written, none where one is read."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from command import failure
from nets import assert_same_bits, blobs, classifier

import fastnn as fnn
from fastnn import callbacks

X, Y = blobs(16)

WRITERS: dict[str, Callable[[Any], object]] = {
    "save": lambda path: classifier().save(path),
    "save_weights": lambda path: classifier().save_weights(path),
    "save_replay": lambda path: fnn.health.save_replay(path, classifier(), x=X, y=Y),
    "ModelCheckpoint": lambda path: callbacks.ModelCheckpoint(path),
    "GradientHealth": lambda path: callbacks.GradientHealth(replay=path),
}
ADVICE = {
    "m.keras": "import_weights",
    "m.weights.h5": "import_weights",
    "m.HDF5": "import_weights",
    "m.pt": "import_weights",
    "net.onnx": "Model.export",
    "m": "",
    "m.fnn": "",
    "m.safetensors.bkp": "",
    "m.SAFETENSORS": "",
}


@pytest.mark.parametrize("name", ADVICE)
@pytest.mark.parametrize("writer", WRITERS)
def test_other_suffixes_are_refused(writer: str, name: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"must end in '\.safetensors'") as caught:
        WRITERS[writer](tmp_path / name)
    message = str(caught.value)
    assert message.startswith(writer) and repr(str(tmp_path / name)) in message
    assert ADVICE[name] in message and message.endswith("'") == (not ADVICE[name])
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("name", ["m.keras", "net.onnx", "m"])
@pytest.mark.parametrize("command", [["train"], ["doctor", "--cure"]])
def test_the_command_line_refuses_them_before_the_work(
    command: list[str], name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # no such data: the name is refused before anybody looks for it
    err = failure(capsys, *command, tmp_path / "none.csv", "--save", tmp_path / name)
    assert "--save: FILE must end in '.safetensors'" in err and ADVICE[name] in err


def test_any_kind_of_path(tmp_path: Path) -> None:
    model = classifier()
    for path in (tmp_path / "a.safetensors", str(tmp_path / "b.safetensors"),
                 os.fsencode(tmp_path / "c.safetensors")):  # fmt: skip
        model.save(path)
        assert_same_bits(fnn.load_model(path).get_weights(), model.get_weights())


@pytest.mark.parametrize("name", ["m", "m.keras", "0123abcd"])
def test_a_file_is_read_whatever_it_is_called(name: str, tmp_path: Path) -> None:
    """Version 0.1 wrote any name, and caches rename files."""
    model = classifier()
    model.save(tmp_path / "m.safetensors")
    (tmp_path / "m.safetensors").rename(tmp_path / name)
    assert_same_bits(fnn.load_model(tmp_path / name).get_weights(), model.get_weights())
    other = classifier(seed=1)
    other.load_weights(tmp_path / name)
    assert_same_bits(other.get_weights(), model.get_weights())


@pytest.mark.parametrize("name", ["m.keras", "m.weights.h5", "net.onnx", "m.pth"])
def test_who_reads_a_file_of_another_format_hears_what_does(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"PK\x03\x04" * 9)
    advice = "Model.export" if name == "net.onnx" else "import_weights"
    for read in (fnn.load_model, classifier().load_weights):
        with pytest.raises(ValueError, match=f"not a safetensors file.*{advice}"):
            read(tmp_path / name)

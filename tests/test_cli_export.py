"""``fastnn export``: what it writes, prints and refuses."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from command import failure
from exporting import convnet, mixed_model, session
from nets import set_seeded_weights

from fastnn.cli import main, model_file

pytestmark = pytest.mark.usefixtures("fixed_seed")


def test_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = set_seeded_weights(convnet())
    model_file.save(model, tmp_path / "m.safetensors", ["cat", "dog", "eel"])
    command = ["export", str(tmp_path / "m.safetensors"), str(tmp_path / "net.onnx")]
    report = tmp_path / "report.json"
    assert main([*command, "--input-dtype", "uint8", "--json", str(report)]) == 0
    assert capsys.readouterr().out.splitlines()[1:] == [
        "input pictures: uint8 (batch, 12, 12, 3)",
        "output class: float32 (batch, 3)",
        "classes: cat, dog, eel",
    ]
    assert json.loads(report.read_text()) == {
        "model": command[1],
        "inputs": [["pictures", "uint8", ["batch", 12, 12, 3]]],
        "outputs": [["class", "float32", ["batch", 3]]],
        "class_names": ["cat", "dog", "eel"],
    }
    runtime = session(tmp_path / "net.onnx")
    notes = runtime.get_modelmeta().custom_metadata_map
    assert json.loads(notes["class_names"]) == ["cat", "dog", "eel"]
    pictures = np.random.default_rng(0).integers(0, 256, (4, 12, 12, 3)).astype(np.uint8)
    (found,) = runtime.run(None, {"pictures": pictures})
    np.testing.assert_allclose(found, model.predict(pictures, verbose=0), rtol=1e-5, atol=1e-5)


def test_command_with_texts_and_integers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model_file.save(mixed_model(), tmp_path / "m.safetensors", None)
    assert main(["export", str(tmp_path / "m.safetensors"), str(tmp_path / "net.onnx")]) == 0
    assert capsys.readouterr().out.splitlines()[1:5] == [
        "input words: string (batch, 3)",
        "input ids: int64 (batch, 2)",
        "input size: float32 (batch, 4)",
        "input both: int64 (batch, 1)",
    ]


def test_command_with_a_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The net takes the table's own units, as it has taken over the scaling."""
    random = np.random.default_rng(0)
    heights = random.normal(170, 8, 80)
    colours = random.choice(["red", "blue"], 80)
    lines = [
        f"{'' if i % 9 == 0 else round(height, 1)},{colour},{int(height > 170)}"
        for i, (height, colour) in enumerate(zip(heights, colours, strict=True))
    ]
    (tmp_path / "t.csv").write_text("\n".join(["height,colour,tall", *lines]))
    saved, made = str(tmp_path / "m.safetensors"), tmp_path / "net.onnx"
    assert main(["train", str(tmp_path / "t.csv"), "--epochs", "2", "--save", saved]) == 0
    capsys.readouterr()
    assert main(["export", saved, str(made)]) == 0
    loaded = model_file.load(saved)
    assert loaded.form is not None
    shown = capsys.readouterr().out.splitlines()
    names = [line.strip() for line in shown[-loaded.form.width :]]
    assert names[1:] == ["height: 1 for a gap", "colour: 1 for 'blue'", "colour: 1 for 'red'"]
    runtime = session(made)
    notes = runtime.get_modelmeta().custom_metadata_map
    assert json.loads(notes["features"]) == names
    rows = np.array([[180, 0, 1, 0], [160, 0, 0, 1], [170, 1, 0, 1]], np.float32)
    (found,) = runtime.run(None, {loaded.model.input_names[0]: rows})
    np.testing.assert_allclose(found, loaded.model.predict(rows, verbose=0), rtol=1e-5, atol=1e-5)


def test_mistakes_on_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    convnet().save(tmp_path / "m.safetensors")
    saved = tmp_path / "m.safetensors"
    assert "no such" in failure(capsys, "export", tmp_path / "no", tmp_path / "n.onnx").lower()
    assert ".onnx" in failure(capsys, "export", saved, tmp_path / "net.txt")
    text = failure(capsys, "export", saved, tmp_path / "n.onnx", "--input-dtype", "text")
    assert "input_dtype must be one of" in text

"""Files of version 0.1, kept in ``files``: they load for ever, and do what they did."""

from __future__ import annotations

import importlib.util
import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.numpy import save_file

import fastnn as fnn
from fastnn import layers
from fastnn.cli import main, model_file

HERE = Path(__file__).parent / "files"
FILES = HERE / "FORMAT-1"

_spec = importlib.util.spec_from_file_location("make_files", HERE / "make_files.py")
assert _spec is not None and _spec.loader is not None
made = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(made)

INPUTS = {
    "convnet": [made.pictures()],
    "every_layer": [made.pictures()],
    "functional": [made.rows()[0], made.rows()[0][:, :2]],
    "preparing": made.columns(),
}
MODELS = [*INPUTS, *made.OPTIMIZERS, "settings"]


def expected(name: str) -> NDArray[Any]:
    with np.load(FILES / "predictions.npz") as recorded:
        return recorded[name]


def check(model: Any, name: str, inputs: list[NDArray[Any]]) -> None:
    found = model.predict(inputs if len(inputs) > 1 else inputs[0], verbose=0)
    for number, each in enumerate(found if isinstance(found, list) else [found]):
        np.testing.assert_allclose(each, expected(f"{name}/{number}"), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", MODELS)
def test_models_predict_as_they_did(name: str) -> None:
    check(fnn.load_model(FILES / f"{name}.safetensors"), name, INPUTS.get(name, [made.rows()[0]]))


@pytest.mark.parametrize("name", [*made.OPTIMIZERS, "settings"])
def test_training_goes_on_as_it_did(name: str) -> None:
    """Some steps, whose roundings differ between CPUs."""
    model = fnn.load_model(FILES / f"{name}.safetensors")
    made.fit(model, 1)
    found = model.predict(made.rows()[0], verbose=0)
    np.testing.assert_allclose(found, expected(f"{name}/trained on"), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ["weights", "backup"])
def test_weights_alone(name: str) -> None:
    model = made.mlp()
    model.load_weights(FILES / f"{name}.safetensors")
    check(model, name, [made.rows()[0]])


def test_names_of_classes() -> None:
    assert model_file.load(FILES / "class_names.safetensors").class_names == ["cat", "dog", "eel"]


def test_a_model_of_a_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = tmp_path / "predictions.csv"
    command = ["predict", str(FILES / "table.safetensors"), str(FILES / "table.csv")]
    assert main([*command, "--output", str(found)]) == 0
    lines = [path.read_text().splitlines() for path in (found, FILES / "table_predictions.csv")]
    rows, wanted = ([line.split(",") for line in each] for each in lines)
    assert rows[0] == wanted[0] == ["prediction", "probability_no", "probability_yes"]
    assert [row[0] for row in rows] == [row[0] for row in wanted]
    numbers = ([[float(cell) for cell in row[1:]] for row in each[1:]] for each in (rows, wanted))
    np.testing.assert_allclose(*numbers, rtol=1e-5, atol=1e-5)


def test_a_replay() -> None:
    replay = fnn.health.load_replay(FILES / "replay.safetensors")
    np.testing.assert_array_equal(replay.x, made.rows()[0][:4])
    np.testing.assert_array_equal(np.ravel(replay.y), made.rows()[1][:4])
    check(replay.model, "replay", [made.rows()[0][:4]])


def test_the_files_are_saved_again_with_the_same_content(tmp_path: Path) -> None:
    """What a file of today's format says comes out of load and save as it went in."""
    for name in MODELS:
        path = FILES / f"{name}.safetensors"
        fnn.load_model(path).save(tmp_path / path.name)
        with safe_open(path, "numpy") as before, safe_open(tmp_path / path.name, "numpy") as after:
            assert set(before.keys()) == set(after.keys())
            for key in before.keys():  # noqa: SIM118
                np.testing.assert_array_equal(after.get_tensor(key), before.get_tensor(key))


# What docs/format.md says


def header(path: Path) -> dict[str, Any]:
    data = path.read_bytes()
    (length,) = struct.unpack_from("<Q", data)
    return json.loads(data[8 : 8 + length])  # type: ignore[no-any-return]


def test_any_reader_finds_the_weights() -> None:
    """By the document alone: a header in JSON, float32 at the offsets that it names."""
    path = FILES / "Adam.safetensors"
    found = header(path)
    metadata = found.pop("__metadata__")
    assert (metadata["format"], metadata["format_version"]) == ("fastnn", "1")
    data = path.read_bytes()[8 + struct.unpack_from("<Q", path.read_bytes())[0] :]
    model = fnn.load_model(path)
    for name, weight in zip(json.loads(metadata["weights"]), model.weights, strict=True):
        entry = found[f"weights/{name}"]
        begin, end = entry["data_offsets"]
        assert entry["dtype"] == "F32"
        values = np.frombuffer(data[begin:end], "<f4").reshape(entry["shape"])
        np.testing.assert_array_equal(values, weight.numpy())
    others = {name.partition("/")[0] for name in found} - {"weights"}
    assert others == {"training"}
    assert json.loads(metadata["model"])["class_name"] == "Sequential"
    assert json.loads(metadata["compile"])["optimizer"]["class_name"] == "Adam"


def changed(path: Path, to: Path, **metadata: str) -> Path:
    with safe_open(path, "numpy") as file:
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        save_file(tensors, to, file.metadata() | metadata)
    return to


@pytest.mark.parametrize("value", ["", "by hand", "{", '{"a": 1}', "[" * 5000])
def test_unknown_metadata_is_passed_over(value: str, tmp_path: Path) -> None:
    path = changed(FILES / "convnet.safetensors", tmp_path / "m.safetensors", author=value)
    check(fnn.load_model(path), "convnet", [made.pictures()])


@pytest.mark.parametrize(
    "key", ["weights", "model", "compile", "backup", "replay", "class_names", "table"]
)
def test_known_metadata_must_be_json(key: str, tmp_path: Path) -> None:
    path = changed(FILES / "convnet.safetensors", tmp_path / "m.safetensors", **{key: "{"})
    with pytest.raises(ValueError, match=f"'{key}' in its metadata is not valid JSON"):
        fnn.load_model(path)


@pytest.mark.parametrize("version", ["2", "10", "123456789"])
def test_a_newer_file_is_refused_with_a_sentence(version: str, tmp_path: Path) -> None:
    path = changed(FILES / "Adam.safetensors", tmp_path / "m.safetensors", format_version=version)
    message = rf"m\.safetensors: a newer fastnn wrote it: .*'{version}'.* up to '1'; pip install"
    with pytest.raises(ValueError, match=message):
        fnn.load_model(path)
    with pytest.raises(ValueError, match=message):
        made.mlp().load_weights(path)


@pytest.mark.parametrize("version", ["", "0", "-1", "1.0", "one", "9" * 5000, "١"])
def test_a_version_that_is_none(version: str, tmp_path: Path) -> None:
    path = changed(FILES / "Adam.safetensors", tmp_path / "m.safetensors", format_version=version)
    with pytest.raises(ValueError, match="format_version must be a whole number"):
        fnn.load_model(path)


def test_every_layer_is_in_a_file() -> None:
    """For a new layer, add a file of its own beside the others."""
    named: set[str] = set()

    def collect(value: Any) -> None:
        for each in value.values() if isinstance(value, dict) else value:
            if isinstance(each, (dict, list)):
                collect(each)
        if isinstance(value, dict) and "class_name" in value:
            named.add(value["class_name"])

    for path in FILES.glob("*.safetensors"):
        metadata = header(path)["__metadata__"]
        if "model" in metadata:
            collect(json.loads(metadata["model"]))
    assert set(layers.CLASSES) <= named

"""Exported models as a whole: what is turned and how often, inputs and outputs, what is refused."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from exporting import check, convnet
from nets import set_seeded_weights

import fastnn as fnn
from fastnn import layers
from fastnn.export import graph_of

pytestmark = pytest.mark.usefixtures("fixed_seed")


def test_a_convnet_is_turned_once(tmp_path: Path) -> None:
    model = set_seeded_weights(convnet())
    kinds = Counter(operator.kind for operator in graph_of(model).operators)
    assert kinds["Transpose"] == 1
    pictures = np.random.default_rng(0).integers(0, 256, (5, 12, 12, 3))
    check(model, tmp_path, [pictures.astype(np.uint8)], input_dtype="uint8")


def test_what_has_channels_first_is_not_turned() -> None:
    model = fnn.Sequential([
        layers.Input((3, 8, 8)), layers.Permute((2, 3, 1)), layers.Conv2D(4, 3),
        layers.Dense(2), layers.Permute((3, 1, 2)),
    ])  # fmt: skip
    assert [o.kind for o in graph_of(model).operators] == ["Conv", "Conv"]


def test_a_value_that_is_read_twice_is_turned_once() -> None:
    x = layers.Input((8, 8, 3))
    both = [layers.Conv2D(4, 3)(x), layers.MaxPooling2D()(x)]
    kinds = Counter(o.kind for o in graph_of(fnn.Model(x, both)).operators)
    # In, and each of the outputs back.
    assert kinds["Transpose"] == 3


@pytest.mark.parametrize("dtype", ["uint8", "int8", "int16", "int32", "int64", "float64"])
def test_inputs_of_other_types(dtype: str, tmp_path: Path) -> None:
    x = layers.Input((4,))
    model = set_seeded_weights(fnn.Model(x, layers.Dense(3)(x)))
    data = np.random.default_rng(0).integers(0, 100, (5, 4)).astype(dtype)
    check(model, tmp_path, [data], input_dtype=dtype)


def test_several_inputs_and_outputs_and_shared_layers(tmp_path: Path) -> None:
    a, b = layers.Input((6,), name="a"), layers.Input((4, 4, 2), name="b")
    shared = layers.Dense(6, activation="tanh", name="shared")
    flat = layers.Flatten()(layers.Conv2D(3, 3)(b))
    both = layers.Concatenate()([shared(shared(a)), flat])
    kind = layers.Dense(3, activation="softmax", name="kind")(both)
    inner = fnn.Sequential([layers.Input((3,)), layers.Dense(2, name="inner")])
    model = fnn.Model([a, b], [kind, inner(kind), flat, kind])
    check(set_seeded_weights(model), tmp_path)
    tensors = onnx.load(tmp_path / "net.onnx").graph.initializer
    assert sum(tensor.name.startswith("shared/kernel") for tensor in tensors) == 1


def test_a_layer_that_reads_lines_in_two_orders(tmp_path: Path) -> None:
    x, line = layers.Input((4, 4, 2)), layers.Input((12,))
    shared = layers.Dense(3)
    outputs = [shared(layers.Flatten()(layers.Conv2D(3, 3)(x))), shared(line)]
    check(set_seeded_weights(fnn.Model([x, line], outputs)), tmp_path)


def test_dropconnect_that_is_an_output_or_read_twice(tmp_path: Path) -> None:
    x = layers.Input((6,))
    seen, twice = layers.Dense(4, dropconnect=0.5)(x), layers.Dense(4, dropconnect=0.5)(x)
    outputs = [seen, layers.ReLU()(seen), layers.ReLU()(twice), layers.Softmax()(twice)]
    for between in (layers.Dropout(0.5), layers.Activation("linear"), layers.Reshape((2, 2))):
        later = between(layers.Dense(4, dropconnect=0.5)(x))
        outputs += [layers.ReLU()(later), layers.Softmax()(later)]
    check(set_seeded_weights(fnn.Model(x, outputs)), tmp_path)


def test_an_input_that_is_an_output_but_for_noise(tmp_path: Path) -> None:
    x = layers.Input((6,))
    check(fnn.Model(x, layers.Dropout(0.5)(x)), tmp_path)


def test_a_loaded_model_and_a_path_as_text(tmp_path: Path) -> None:
    model = set_seeded_weights(convnet())
    model.save(tmp_path / "m.safetensors")
    fnn.load_model(tmp_path / "m.safetensors").export(str(tmp_path / "a.onnx"))
    model.export(tmp_path / "b.onnx")
    assert (tmp_path / "a.onnx").read_bytes() == (tmp_path / "b.onnx").read_bytes()


class Twice(layers.NumPyLayer):
    def forward(self, x: Any) -> Any:
        return 2 * x

    def backward(self, x: Any, y: Any, dy: Any) -> Any:
        return 2 * dy


def test_python_is_refused_by_the_name_of_the_layer(tmp_path: Path) -> None:
    model = fnn.Sequential([layers.Input((3,)), Twice(name="mine")])
    with pytest.raises(ValueError, match=r"layer 'mine' \(Twice\) can't be exported"):
        model.export(tmp_path / "net.onnx")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("net.safetensors",), r"ends in '\.onnx'"),
        (("net.onnx", "tf_saved_model"), "format must be one of onnx"),
    ],
)
def test_bad_arguments(arguments: tuple[str, ...], message: str, tmp_path: Path) -> None:
    path, *others = arguments
    with pytest.raises(ValueError, match=message):
        convnet().export(tmp_path / path, *others)
    assert not list(tmp_path.iterdir())


def test_bad_input_dtype(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="input_dtype must be one of"):
        convnet().export(tmp_path / "net.onnx", input_dtype="complex64")


def test_a_model_that_is_not_built(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not built"):
        fnn.Sequential([layers.Dense(3)]).export(tmp_path / "net.onnx")


def test_without_onnx(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ImportError, match=r"pip install 'fastnn\[onnx\]'"):
        convnet().export(tmp_path / "net.onnx")


def test_a_failure_leaves_the_file_that_was_there(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = tmp_path / "net.onnx"
    convnet().export(path)
    before = path.read_bytes()

    def fails(*arguments: Any) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("os.replace", fails)
    with pytest.raises(OSError, match="disk full"):
        set_seeded_weights(convnet()).export(path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]

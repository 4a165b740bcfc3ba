"""Weights from Keras and PyTorch: predictions as theirs, recorded in ``reference/imports``."""

from __future__ import annotations

import json
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import h5py
import numpy as np
import pytest
from importing import dense, first_of_each, state
from nets import set_seeded_weights
from numpy.typing import NDArray
from reference import import_nets
from safetensors.numpy import load_file, save_file

import fastnn as fnn
from fastnn import layers

FILES = Path(__file__).parent / "reference" / "imports"

RECORDED = [
    ("keras_mlp.weights.h5", import_nets.keras_mlp, import_nets.rows),
    ("keras_convnet.weights.h5", import_nets.keras_convnet, import_nets.pictures),
    ("keras_convnet.keras", import_nets.keras_convnet, import_nets.pictures),
    ("torch_convnet.safetensors", import_nets.convnet_of_torch, import_nets.pictures),
    ("torch_signals.safetensors", import_nets.signals_of_torch, import_nets.signals),
]


@pytest.fixture(autouse=True)
def fixed_names() -> None:
    fnn.utils.clear_session()
    fnn.utils.set_random_seed(0)


def expected(file: str) -> list[NDArray[Any]]:
    name = file.partition(".")[0]
    with np.load(FILES / "predictions.npz") as recorded:
        return [recorded[key] for key in recorded.files if key.startswith(name)]


def check_predictions(model: Any, x: NDArray[Any], wanted: list[NDArray[Any]]) -> None:
    found = model.predict(x, verbose=0)
    found = found if isinstance(found, list) else [found]
    for one, other in zip(found, wanted, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("earlier", [0, 1, 2])
@pytest.mark.parametrize(("file", "make", "inputs"), RECORDED, ids=[each[0] for each in RECORDED])
def test_predictions_are_those_of_the_source(
    file: str, make: Callable[[Any], Any], inputs: Callable[[], Any], earlier: int
) -> None:
    for _ in range(earlier):  # automatic names begin anywhere
        make(fnn)
    model = make(fnn)
    report = fnn.import_weights(model, FILES / file)
    assert list(report) == [weight.path for weight in model.weights]
    assert len(set(report.values())) == len(report)
    check_predictions(model, inputs(), expected(file))


def test_a_state_dict_and_its_report() -> None:
    model = import_nets.signals_of_torch(fnn)
    state = load_file(FILES / "torch_signals.safetensors")
    report = fnn.import_weights(model, state)
    assert report["first/kernel"] == "body.first.weight"
    assert report["norm/moving_variance"] == "body.norm.running_var"
    assert report["head/bias"] == "head.bias"
    check_predictions(model, import_nets.signals(), expected("torch_signals"))


class Tensor:
    """What ``import_weights`` uses of a tensor of PyTorch."""

    def __init__(self, values: NDArray[Any]) -> None:
        self.shape, self._values = values.shape, values

    def detach(self) -> Tensor:
        return self

    cpu = float = detach

    def numpy(self) -> NDArray[Any]:
        return self._values


class Module:
    """What ``import_weights`` uses of a module of PyTorch."""

    def __init__(self, state: dict[str, Any], eps: float) -> None:
        self._state, self._eps = state, eps

    def state_dict(self) -> dict[str, Any]:
        return {name: Tensor(values) for name, values in self._state.items()}

    def named_modules(self) -> Any:
        names = {name.rpartition(".")[0] for name in self._state}
        return (
            (name, SimpleNamespace(eps=self._eps) if "norm" in name else name) for name in names
        )


def test_a_module_whose_epsilon_is_another() -> None:
    state = load_file(FILES / "torch_signals.safetensors")
    model = import_nets.signals_of_torch(fnn)
    with pytest.raises(ValueError, match=r"layer 'norm' has epsilon=1e-05, 'body\.norm' has 0\.01"):
        fnn.import_weights(model, Module(state, 0.01))
    fnn.import_weights(model, Module(state, 1e-5))
    check_predictions(model, import_nets.signals(), expected("torch_signals"))


def test_an_embedding_of_pytorch_and_of_keras(tmp_path: Path) -> None:
    table = np.arange(40, dtype=np.float32).reshape(10, 4)
    kernel = np.ones((1, 4), np.float32)

    def model() -> fnn.Sequential:
        stack = [layers.Embedding(10, 4, name="words"), layers.Dense(1, use_bias=False, name="out")]
        return fnn.Sequential([layers.Input(()), *stack])

    sources: dict[str, Any] = {
        "torch": {"words.weight": table, "out.weight": kernel},
        "keras": {"words/embeddings": table, "out/kernel": kernel.T},
    }
    for source in sources.values():
        save_file(
            {name: np.ascontiguousarray(value) for name, value in source.items()},
            tmp_path / "m.safetensors",
        )
        made = model()
        fnn.import_weights(made, tmp_path / "m.safetensors")
        np.testing.assert_array_equal(made.predict(np.array([3])), [[table[3].sum()]])


def test_the_count_of_keras_normalization_is_passed_over(tmp_path: Path) -> None:
    """Its third weight, which nothing reads."""
    file = tmp_path / "m.safetensors"
    save_file(
        {
            "n/mean": np.ones(2, np.float32), "n/variance": np.full(2, 4, np.float32),
            "n/count": np.zeros((), np.float32), "d/kernel": np.ones((2, 1), np.float32),
        },
        file,
    )  # fmt: skip
    model = fnn.Sequential(
        [
            layers.Input((2,)),
            layers.Normalization(name="n"),
            layers.Dense(1, use_bias=False, name="d"),
        ]
    )
    fnn.import_weights(model, file)
    np.testing.assert_array_equal(model.predict(np.array([[3.0, 5.0]])), [[3.0]])


def test_models_of_fastnn_and_their_files(tmp_path: Path) -> None:
    first = set_seeded_weights(import_nets.keras_convnet(fnn))
    first.save(tmp_path / "m.safetensors")
    for source in (first, tmp_path / "m.safetensors"):
        model = import_nets.keras_convnet(fnn)
        fnn.import_weights(model, source)
        for one, other in zip(model.get_weights(), first.get_weights(), strict=True):
            np.testing.assert_array_equal(one, other)


def test_a_model_whose_epsilon_is_another() -> None:
    def make(epsilon: float) -> Any:
        return fnn.Sequential(
            [layers.Input((3,)), layers.BatchNormalization(epsilon=epsilon, name="norm")]
        )

    with pytest.raises(ValueError, match="epsilon=1e-05"):
        fnn.import_weights(make(1e-5), make(1e-3))


# Layouts that no recorded net has. The weights are PyTorch's; a twin in NumPy says what it makes.


def test_layer_normalization_of_pictures_and_flattened_signals() -> None:
    random = np.random.default_rng(0)
    x = random.normal(size=(2, 4, 3)).astype(np.float32)
    model = fnn.Sequential([
        layers.Input((4, 3)), layers.ZeroPadding1D((1, 0)), layers.LayerNormalization((1, 2)),
        layers.Flatten(), layers.ReLU(), layers.Dense(2),
    ])  # fmt: skip
    state = {
        "0.weight": random.normal(size=(3, 5)), "0.bias": random.normal(size=(3, 5)),
        "1.weight": random.normal(size=(2, 15)), "1.bias": random.normal(size=2),
    }  # fmt: skip
    fnn.import_weights(model, state)
    first = np.pad(x, ((0, 0), (1, 0), (0, 0))).transpose(0, 2, 1).astype(np.float64)
    mean, variance = first.mean((1, 2), keepdims=True), first.var((1, 2), keepdims=True)
    y = (first - mean) / np.sqrt(variance + 1e-3) * state["0.weight"] + state["0.bias"]
    wanted = np.maximum(y.reshape(2, -1), 0) @ state["1.weight"].T + state["1.bias"]
    np.testing.assert_allclose(model.predict(x, verbose=0), wanted, rtol=1e-5, atol=1e-5)


def test_separable_convolutions_are_two_layers_there() -> None:
    model = fnn.Sequential(
        [layers.Input((5, 2)), layers.SeparableConv1D(4, 3, depth_multiplier=2, name="sep")]
    )
    random = np.random.default_rng(0)
    depthwise, pointwise = random.normal(size=(4, 1, 3)), random.normal(size=(4, 4, 1))
    state = {"x.sep.depthwise.weight": depthwise, "x.sep.pointwise.weight": pointwise,
             "x.sep.pointwise.bias": np.ones(4)}  # fmt: skip
    fnn.import_weights(model, state)
    x = random.normal(size=(2, 5, 2)).astype(np.float32)
    windows = np.lib.stride_tricks.sliding_window_view(x, 3, axis=1)[:, :, [0, 0, 1, 1]]
    between = (windows * depthwise[:, 0]).sum(-1)
    wanted = between @ pointwise[:, :, 0].T + 1
    np.testing.assert_allclose(model.predict(x, verbose=0), wanted, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("shape", "before", "turned"),
    [
        ((2, 3, 4), [], True),
        ((4, 2, 3), [layers.Permute((2, 3, 1))], True),
        ((2, 3, 4), [layers.Permute((3, 1, 2))], False),
        ((2, 3, 4), [layers.Permute((3, 1, 2)), layers.ReLU()], False),
        ((6, 4), [], False),
        ((6, 4), [layers.AveragePooling1D(1)], True),
        ((2, 3, 4), [layers.Reshape((6, 4)), layers.ReLU()], True),
    ],
)
def test_which_lines_are_flattened_pictures(
    shape: tuple[int, ...], before: list[Any], turned: bool
) -> None:
    model = fnn.Sequential([layers.Input(shape), *before, layers.Flatten(), layers.Dense(1)])
    weight = np.arange(24, dtype=np.float32)[None]
    fnn.import_weights(model, {"0.weight": weight, "0.bias": np.zeros(1)})
    line = weight.reshape(4, 6).T.ravel() if turned else weight.ravel()
    np.testing.assert_array_equal(model.get_weights()[0][:, 0], line)


def test_a_flattened_picture_where_its_order_matters() -> None:
    x = layers.Input((2, 3, 4))
    line = layers.Flatten()(x)
    model = fnn.Model(x, layers.Add(name="sum")([line, layers.Dense(24)(line)]))
    state = {"0.weight": np.zeros((24, 24)), "0.bias": np.zeros(24)}
    with pytest.raises(ValueError, match=r"'sum' \(Add\) reads a flattened picture"):
        fnn.import_weights(model, state)
    shared, other = layers.Dense(2, name="twice"), layers.Input((24,))
    model = fnn.Model([x, other], [shared(line), shared(other)])
    with pytest.raises(ValueError, match="layer 'twice' reads a flattened picture and something"):
        fnn.import_weights(model, {"0.weight": np.zeros((2, 24)), "0.bias": np.zeros(2)})


# Arguments and files


@pytest.mark.parametrize("suffix", ["pt", "pth", "bin", "ckpt", "pkl"])
def test_pickles_are_refused(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"m.{suffix}"
    path.write_bytes(b"cos\nsystem\n(S'touch /tmp/x'\ntR.")
    with pytest.raises(ValueError, match=r"weights_only=True.*safetensors\.torch\.save_file"):
        fnn.import_weights(dense("a"), path)


def test_bad_arguments(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="takes a model of fastnn, got dict"):
        fnn.import_weights({}, {})  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="path of a file, got int"):
        fnn.import_weights(dense("a"), 3)
    with pytest.raises(TypeError, match="strict must be True or False"):
        fnn.import_weights(dense("a"), state(a=1), strict=1)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="must hold tensors by name, got dict at 'state_dict'"):
        fnn.import_weights(dense("a"), {"state_dict": state(a=1)})
    with pytest.raises(ValueError, match="not built"):
        fnn.import_weights(fnn.Sequential([layers.Dense(3)]), state(a=1))
    with pytest.raises(ValueError, match="reads files that end in"):
        fnn.import_weights(dense("a"), "weights.onnx")
    for name in ("no.safetensors", "no.weights.h5", "no.keras"):
        with pytest.raises(FileNotFoundError):
            fnn.import_weights(dense("a"), tmp_path / name)


def test_without_h5py(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(ImportError, match=r"pip install 'fastnn\[keras\]'"):
        fnn.import_weights(dense("a"), FILES / "keras_mlp.weights.h5")


@pytest.mark.parametrize("name", [each[0] for each in RECORDED])
def test_damaged_files(name: str, tmp_path: Path) -> None:
    """Cut anywhere, or with bytes changed: a ValueError, or weights that happen to be whole."""
    whole = (FILES / name).read_bytes()
    make = next(make for file, make, _ in RECORDED if file == name)
    random = np.random.default_rng(0)
    model = make(fnn)
    for number in range(40):
        data = bytearray(whole)
        if number % 2:
            data = data[: random.integers(len(data))]
        else:
            for place in random.integers(0, min(len(data), 4000), 20):
                data[place] = random.integers(256)
        (tmp_path / name).write_bytes(data)
        try:
            fnn.import_weights(model, tmp_path / name)
        except ValueError as error:
            assert str(error)
        if number % 2 and name.endswith("safetensors"):
            with pytest.raises(ValueError, match="damaged"):
                fnn.import_weights(model, tmp_path / name)


def h5(path: Path, fill: Callable[[Any], None]) -> Path:
    with h5py.File(path, "w") as file:
        for role, values in (("0", np.ones((3, 3))), ("1", np.ones(3))):
            file[f"layers/dense/vars/{role}"] = values
        fill(file)
    return path


def test_files_of_keras_with_more_than_weights(tmp_path: Path) -> None:
    def fill(file: Any) -> None:
        file["optimizer/vars/0"] = np.ones(2)
        file["layers/dropout/seed_generator/vars/0"] = np.ones(2)
        file.create_group("layers/flatten/vars")

    model = dense(None)
    report = fnn.import_weights(model, h5(tmp_path / "m.weights.h5", fill))
    assert list(report.values()) == ["layers/dense/vars/0", "layers/dense/vars/1"]


def test_models_within_models_in_files_of_keras(tmp_path: Path) -> None:
    path = tmp_path / "m.weights.h5"
    places = ["layers/dense", "layers/sequential/layers/dense", "layers/functional/layers/dense",
              "layers/functional/layers/dense_1", "layers/dense_1"]  # fmt: skip
    with h5py.File(path, "w") as file:
        for number, place in enumerate(places):
            file[f"{place}/vars/0"], file[f"{place}/vars/1"] = np.full((3, 3), number), np.ones(3)
    x = layers.Input((3,))
    model = fnn.Sequential([
        x, layers.Dense(3), fnn.Sequential([layers.Input((3,)), layers.Dense(3, name="inner")]),
        fnn.Model(x, layers.Dense(3)(layers.Dense(3)(x))), layers.Dense(3),
    ])  # fmt: skip
    fnn.import_weights(model, path)
    assert first_of_each(model) == [0, 1, 2, 3, 4]


def test_layers_of_one_path_in_a_model_of_keras() -> None:
    """Two models within it have a layer each of that name."""
    paths = ["dense/kernel", "dense/bias"] * 2
    values = [np.full((3, 3), 1.0), np.ones(3), np.full((3, 3), 2.0), np.ones(3)]
    source = SimpleNamespace(
        name="outer", layers=[], get_weights=lambda: values,
        weights=[SimpleNamespace(path=path) for path in paths],
    )  # fmt: skip
    model = dense("a", "b")
    fnn.import_weights(model, source)
    assert first_of_each(model) == [1, 2]


def test_the_older_files_of_keras(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "m.h5", "w") as file:
        file["model_weights/dense/dense/kernel:0"] = np.ones((3, 3))
    with pytest.raises(ValueError, match=r"as Keras 3 writes them: load it in Keras"):
        fnn.import_weights(dense(None), tmp_path / "m.h5")


def _link(file: Any) -> None:
    file["layers/dense_1"] = h5py.ExternalLink("/etc/passwd", "/")


def _soft_link(file: Any) -> None:
    file["layers/dense_1"] = h5py.SoftLink("/layers/dense")


def _external(file: Any) -> None:
    file.create_dataset(
        "layers/dense_1/vars/0", (3,), "f4", external=[("/etc/passwd", 0, h5py.h5f.UNLIMITED)]
    )


def _virtual(file: Any) -> None:
    layout = h5py.VirtualLayout((3,), "f4")
    layout[:] = h5py.VirtualSource("other.h5", "x", (3,))
    file.create_virtual_dataset("layers/dense_1/vars/0", layout)


def _texts(file: Any) -> None:
    file["layers/dense_1/vars/0"] = ["a", "b"]


def _huge(file: Any) -> None:
    file.create_dataset("layers/dense_1/vars/0", (2**20, 2**20, 2**10), "f4", chunks=(1, 1, 1))


def _endless(file: Any) -> None:
    file["layers/dense/within"] = file["layers"]


def _endless_twice(file: Any) -> None:
    file["layers/dense/within"] = file["layers/dense/again"] = file["layers"]


def _many(file: Any) -> None:
    for i in range(50):
        file.create_group(f"other/{i}")
    for i in range(50):
        for j in range(50):
            file[f"other/{i}/{j}"] = file[f"other/{j}"]


def _no_text(file: Any) -> None:
    file["layers/dense/vars"].create_group(b"\xff\xfe")


def _nothing(file: Any) -> None:
    del file["layers"]


@pytest.mark.parametrize(
    ("fill", "message"),
    [
        (_link, "is a link"), (_soft_link, "is a link"), (_external, "in another file"),
        (_virtual, "in another file"), (_texts, "must hold real numbers"),
        (_huge, r"left over: layers/dense_1/vars/0"), (_nothing, "holds no weights as Keras 3"),
        (_endless, "more than 100 groups"), (_endless_twice, "more than 100 groups"),
        (_many, "more than 100"), (_no_text, "is no text"),
    ],
)  # fmt: skip
def test_hostile_hdf5(fill: Callable[[Any], None], message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message):
        fnn.import_weights(dense(None), h5(tmp_path / "m.weights.h5", fill))


def test_a_keras_file_that_is_another_zip(tmp_path: Path) -> None:
    path = tmp_path / "m.keras"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("config.json", "{}")
    with pytest.raises(ValueError, match=r"holds no model\.weights\.h5"):
        fnn.import_weights(dense(None), path)


def test_types_that_numpy_does_not_have(tmp_path: Path) -> None:
    head = {"a.weight": {"dtype": "BF16", "shape": [3, 3], "data_offsets": [0, 18]},
            "a.bias": {"dtype": "BF16", "shape": [3], "data_offsets": [18, 24]}}  # fmt: skip
    text = json.dumps(head).encode()
    path = tmp_path / "m.safetensors"
    path.write_bytes(len(text).to_bytes(8, "little") + text + bytes(24))
    with pytest.raises(ValueError, match="of type BF16, which NumPy doesn't have"):
        fnn.import_weights(dense("a"), path)

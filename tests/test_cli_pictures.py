"""The command ``fastnn`` and pictures: folders, the convolutional net, single files."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command import failure
from pictures import write

import fastnn
from fastnn.cli import main, model_file, nets

SHAPES = ["bar", "ring"]
CONVNET = ["--image-size", "8", "--color-mode", "grayscale", "--epochs", "6", "--batch-size", "8"]


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def draw(folder: Path, counts: dict[str, int], side: int = 8, seed: int = 0) -> Path:
    """A bar across the picture, or its border; each with noise of its own."""
    random = np.random.default_rng(seed)
    for name, count in counts.items():
        for i in range(count):
            levels = random.integers(0, 60, (side, side), np.uint8)
            if name == "bar":
                levels[side // 2] += 180
            else:
                levels[[0, -1]] += 180
            write(folder / name / f"{i:02}.png", levels)
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """shapes/bar, shapes/ring, and a model of them, shapes.safetensors."""
    folder = tmp_path_factory.mktemp("pictures")
    draw(folder / "shapes", {"bar": 40, "ring": 40})
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        arguments = ["train", str(folder / "shapes"), *CONVNET, "--quiet"]
        assert main([*arguments, "--save", str(folder / "shapes.safetensors")]) == 0
    return folder


# train


def test_train_a_folder(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = tmp_path / "r.json"
    arguments = ["train", str(folder / "shapes"), "--net", "convnet", *CONVNET]
    assert main([*arguments, "--json", str(result)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "64 examples of shape (8, 8, 1)" in lines[0] and "16 of 80 pictures" in lines[0]
    assert "8x8x1-conv32-conv64-conv128-2" in lines[1]
    assert lines[-1] == "test accuracy: 1.0000"
    saved = json.loads(result.read_text())
    assert saved["test_accuracy"] == 1.0 and saved["epochs"] == 6
    assert saved["class_names"] == SHAPES
    assert saved["settings"]["net"] == "convnet" and saved["settings"]["layers"] == []


def test_quiet_prints_the_last_line_alone(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", str(folder / "shapes"), *CONVNET, "--epochs", "1", "--quiet"]) == 0
    assert capsys.readouterr().out.count("\n") == 1


def test_the_test_set_is_apart_and_the_same_each_time(folder: Path) -> None:
    from fastnn.cli import pictures

    form = pictures.Form((8, 8), "grayscale")
    first, again = (pictures.read_folder(str(folder / "shapes"), form) for _ in range(2))
    np.testing.assert_array_equal(first.test[0], again.test[0])
    rows = {image.tobytes() for image in first.test[0]}
    assert len(rows) == 16
    assert not rows & {image.tobytes() for image in first.train[0]}


def test_train_and_test_directories(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    draw(tmp_path / "d" / "train", {"bar": 20, "ring": 20})
    draw(tmp_path / "d" / "val", {"ring": 7}, seed=1)
    arguments = ["train", str(tmp_path / "d"), *CONVNET]
    assert main([*arguments, "--save", str(tmp_path / "m.safetensors")]) == 0
    out = capsys.readouterr().out
    assert "40 examples" in out and "7 to test (its own test set)" in out
    assert out.endswith("test accuracy: 1.0000\n"), "ring is class 1, of the net's classes"
    assert main(["evaluate", str(tmp_path / "m.safetensors"), str(tmp_path / "d")]) == 0
    assert "7 examples" in capsys.readouterr().out
    draw(tmp_path / "d" / "val", {"cross": 1})
    assert "class 'cross', wanted those that the net learns: bar, ring" in failure(
        capsys, *arguments
    )


@pytest.mark.parametrize(
    ("shape", "divisor"), [((8, 8), None), ((5, 9, 3), None), ((5, 9, 3), 255), ((1, 1, 2), None)]
)
def test_convnet_of_arrays(
    shape: tuple[int, ...],
    divisor: int | None,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """As many poolings as fit; bytes and floats."""
    labels = np.arange(60) % 2
    x = np.random.default_rng(0).integers(0, 60, (60, *shape), np.uint8)
    x[labels == 1] += 180
    images = x if divisor is None else x / divisor
    np.savez(tmp_path / "a.npz", x=images, y=labels)
    arguments = ["train", str(tmp_path / "a.npz"), "--net", "convnet", "--epochs", "8"]
    model = str(tmp_path / "a.safetensors")
    assert main([*arguments, "--batch-size", "8", "--save", model]) == 0
    assert capsys.readouterr().out.endswith("test accuracy: 1.0000\n")
    loaded = fastnn.load_model(model)
    assert loaded.predict(images[:3], verbose=0).shape == (3, 2)
    kinds = {type(layer).__name__ for layer in loaded.layers}
    assert ("Rescaling" in kinds) == (divisor is None)


def test_the_net() -> None:
    model = fastnn.Sequential([fastnn.Input((64, 64, 3)),
                               *nets.hidden_layers("convnet", (64, 64, 3), [32], "relu",
                                                   "glorot_uniform")])  # fmt: skip
    kinds = [type(layer).__name__ for layer in model.layers]
    stage = ["Conv2D", "BatchNormalization", "Activation", "MaxPooling2D"]
    assert [k for k in kinds if k != "InputLayer"] == [*3 * stage, "Flatten", "Dropout", "Dense"]
    filters = [layer.filters for layer in model.layers if type(layer).__name__ == "Conv2D"]
    assert filters == [32, 64, 128]
    small = nets.hidden_layers("convnet", (5, 9, 1), [], "relu", "glorot_uniform")
    assert sum(type(layer).__name__ == "MaxPooling2D" for layer in small) == 2


@pytest.mark.parametrize("net", nets.NETS)
def test_augmentation(
    net: str, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = tmp_path / "m.safetensors"
    arguments = ["train", str(folder / "shapes"), *CONVNET, "--net", net, "--save", str(model)]
    assert main([*arguments, "--augment", "flip,shift,rotate,zoom"]) == 0
    assert float(capsys.readouterr().out.splitlines()[-1].rpartition(" ")[2]) >= 0.75
    kinds = [type(layer).__name__ for layer in fastnn.load_model(model).layers]
    wanted = ["RandomFlip", "RandomTranslation", "RandomRotation", "RandomZoom", "Rescaling"]
    assert [kind for kind in kinds if kind in wanted] == wanted


def test_an_mlp_of_a_folder(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["train", str(folder / "shapes"), "--net", "mlp", "--image-size", "6x9"]
    assert main([*arguments, "--epochs", "20", "--layers", "16"]) == 0
    out = capsys.readouterr().out
    assert "162-16-2" in out and out.endswith("test accuracy: 1.0000\n")


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        (["--image-size", "0"], "wanted a size such as 64 or 48x64, got '0'"),
        (["--image-size", "8x"], "--image-size"),
        (["--color-mode", "cmyk"], "--color-mode"),
        (["--net", "resnet"], "--net"),
        (["--augment", "flip,flip"], "wanted some of flip, shift, rotate, zoom"),
        (["--augment", "magic"], "wanted some of flip, shift, rotate, zoom, got 'magic'"),
        (["--task", "regression"], "--task regression has no place"),
    ],
)
def test_bad_options(
    folder: Path, capsys: pytest.CaptureFixture[str], options: list[str], fault: str
) -> None:
    assert fault in failure(capsys, "train", folder / "shapes", *options)


def test_options_of_pictures_want_pictures(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    np.savez(tmp_path / "a.npz", x=np.zeros((20, 4)), y=np.arange(20) % 2)
    data = tmp_path / "a.npz"
    assert "--net convnet wants pictures" in failure(capsys, "train", data, "--net", "convnet")
    assert "of shape (4,)" in failure(capsys, "train", data, "--augment", "shift")
    assert "--image-size is for a folder" in failure(capsys, "train", data, "--image-size", 8)
    assert "--color-mode is for a folder" in failure(capsys, "doctor", data, "--color-mode", "rgb")


def test_bad_folders(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "none").mkdir()
    err = failure(capsys, "train", tmp_path / "none")
    assert "holds no IDX files" in err and "no directories of pictures" in err
    (tmp_path / "empty" / "a").mkdir(parents=True)
    assert "no pictures in subdirectories" in failure(capsys, "train", tmp_path / "empty")
    draw(tmp_path / "one", {"bar": 9})
    assert "holds one class, 'bar'" in failure(capsys, "train", tmp_path / "one")
    assert "no directory for each class" in failure(capsys, "train", tmp_path / "one" / "bar")


def test_broken_pictures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    draw(tmp_path / "d", {"bar": 20, "ring": 20})
    (tmp_path / "d" / "bar" / "broken.png").write_bytes(b"no picture")
    arguments = ["train", str(tmp_path / "d"), *CONVNET]
    assert "broken.png" in failure(capsys, *arguments)
    assert main([*arguments, "--on-error", "skip"]) == 0
    captured = capsys.readouterr()
    assert captured.err.count("\n") == 1 and "skipped" in captured.err
    assert "broken.png" in captured.err and "8 of 40 pictures" in captured.out


def test_idx_files_are_no_pictures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    x = np.random.default_rng(0).integers(0, 60, (50, 6, 6), np.uint8)
    y = (np.arange(50) % 2).astype(np.uint8)
    x[y == 1] += 180
    for name, array in (("images-idx3", x), ("labels-idx1", y)):
        header = np.array([0x0800 + array.ndim, *array.shape], ">u4").tobytes()
        (tmp_path / f"train-{name}-ubyte").write_bytes(header + array.tobytes())
    draw(tmp_path, {"bar": 1})
    arguments = ["train", str(tmp_path), "--net", "convnet", "--epochs", "6", "--batch-size", "8"]
    assert main(arguments) == 0
    assert "6x6-conv32" in capsys.readouterr().out


# evaluate, predict, info, doctor


def test_evaluate(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["evaluate", str(folder / "shapes.safetensors"), str(folder / "shapes")]
    assert main(arguments) == 0
    out = capsys.readouterr().out
    assert "16 examples" in out and out.endswith("test accuracy: 1.0000\n")
    assert main([*arguments, "--all"]) == 0
    assert "80 examples (all)" in capsys.readouterr().out


def test_classes_go_by_their_names(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A folder that has only the second class of the model: labels are the model's."""
    model = str(folder / "shapes.safetensors")
    draw(tmp_path / "rings", {"ring": 10})
    assert main(["evaluate", model, str(tmp_path / "rings"), "--all"]) == 0
    assert capsys.readouterr().out.endswith("test accuracy: 1.0000\n")
    draw(tmp_path / "rings", {"apple": 1})
    fault = failure(capsys, "evaluate", model, tmp_path / "rings")
    assert "class 'apple', wanted those that the net learns: bar, ring" in fault


def test_predict_one_picture(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picture = draw(tmp_path, {"ring": 1}, side=20, seed=5) / "ring" / "00.png"
    arguments = ["predict", str(folder / "shapes.safetensors"), str(picture)]
    assert main([*arguments]) == 0
    rows = list(csv.reader(capsys.readouterr().out.splitlines()))
    assert rows[0] == ["prediction", "probability"]
    assert [row[0] for row in rows[1:]] == ["ring", "bar"]
    assert float(rows[1][1]) > 0.5 and float(rows[1][1]) + float(rows[2][1]) == pytest.approx(
        1, abs=2e-4
    )


def test_predict_pictures(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model, shapes = str(folder / "shapes.safetensors"), folder / "shapes"
    files = [str(shapes / "ring" / "03.png"), str(shapes / "bar" / "01.png")]
    assert main(["predict", model, *files]) == 0
    rows = list(csv.reader(capsys.readouterr().out.splitlines()))
    assert rows[0] == ["file", "prediction", "probability"]
    assert [row[:2] for row in rows[1:]] == [[files[0], "ring"], [files[1], "bar"]]

    table, values = tmp_path / "p.csv", tmp_path / "p.npy"
    assert main(["predict", model, *files, "--output", str(table)]) == 0
    assert main(["predict", model, *files, "--output", str(values)]) == 0
    assert main(["predict", model, *files, "--json", str(tmp_path / "p.json")]) == 0
    with table.open(newline="") as file:
        written = list(csv.reader(file))
    assert written[0] == ["file", "prediction", "probability_bar", "probability_ring"]
    chances = np.array([row[2:] for row in written[1:]], np.float32)
    np.testing.assert_allclose(chances, np.load(values), rtol=1e-6)
    result: dict[str, Any] = json.loads((tmp_path / "p.json").read_text())
    assert result["predictions"] == ["ring", "bar"] and result["files"] == files
    assert result["class_names"] == SHAPES and len(result["probabilities"]) == 2

    capsys.readouterr()
    assert main(["predict", model, str(shapes)]) == 0
    rows = list(csv.reader(capsys.readouterr().out.splitlines()))[1:]
    assert len(rows) == 80
    assert all(Path(name).parent.name == guess for name, guess, _ in rows)


def test_a_picture_is_read_as_those_of_the_folder(folder: Path, tmp_path: Path) -> None:
    """Another size and colors: the same pixels, so the same probabilities to the last bit."""
    random = np.random.default_rng(3)
    write(tmp_path / "d" / "a.png", random.integers(0, 256, (13, 21, 3), np.uint8))
    model = str(folder / "shapes.safetensors")
    outputs = []
    for data in (tmp_path / "d", tmp_path / "d" / "a.png"):
        main(["predict", model, str(data), "--output", str(tmp_path / "p.npy")])
        outputs.append(np.load(tmp_path / "p.npy"))
    np.testing.assert_array_equal(*outputs)


def test_predict_faults(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = folder / "shapes.safetensors"
    assert "nowhere.png" in failure(capsys, "predict", model, tmp_path / "nowhere.png")
    (tmp_path / "a.png").write_bytes(b"")
    assert "a.png: is empty" in failure(capsys, "predict", model, tmp_path / "a.png")
    (tmp_path / "a.csv").write_text("1,2\n")
    picture = folder / "shapes" / "bar" / "01.png"
    fault = failure(capsys, "predict", model, picture, tmp_path / "a.csv")
    assert "a.csv: only pictures can be several" in fault
    np.savez(tmp_path / "t.npz", x=np.zeros((20, 4)), y=np.arange(20) % 2)
    table = str(tmp_path / "t.safetensors")
    assert main(["train", str(tmp_path / "t.npz"), "--epochs", "1", "--save", table]) == 0
    capsys.readouterr()
    for command in ("predict", "evaluate"):
        fault = failure(capsys, command, table, folder / "shapes")
        assert "examples of shape (4,), which are no pictures" in fault


def test_class_names_are_in_the_file(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = folder / "shapes.safetensors"
    model, names, _ = model_file.load(path)
    assert names == SHAPES
    assert fastnn.load_model(path).count_params() == model.count_params()
    assert main(["info", str(path)]) == 0
    assert capsys.readouterr().out.endswith("classes: bar, ring\n")
    model_file.save(model, tmp_path / "plain.safetensors", None)
    assert model_file.load(tmp_path / "plain.safetensors")[1] is None
    for wrong in (["a"], ["a", "b", "c"], ["a", 1]):
        model_file.save(model, tmp_path / "wrong.safetensors", wrong)  # type: ignore[arg-type]
        with pytest.raises(ValueError, match=r"wrong\.safetensors: 'class_names' in its metadata"):
            model_file.load(tmp_path / "wrong.safetensors")


def test_doctor(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = str(folder / "shapes")
    form = ["--image-size", "8", "--color-mode", "grayscale", "--batch-size", "8"]
    cured = tmp_path / "m.safetensors"
    arguments = ["doctor", data, *form, "--steps", "60", "--epochs", "4"]
    assert main([*arguments, "--cure", "--save", str(cured)]) == 0
    out = capsys.readouterr().out
    assert "8x8x1-conv32" in out and ": healthy" in out and "test accuracy: " in out
    assert model_file.load(cured)[1] == SHAPES

    model = str(folder / "shapes.safetensors")
    assert main(["doctor", data, "--model", model, "--steps", "20", "--no-remedies"]) in (0, 1)
    assert "Gradient health of" in capsys.readouterr().out
    fault = failure(capsys, "doctor", data, "--model", model, "--image-size", "8")
    assert "--image-size has no place beside --model" in fault

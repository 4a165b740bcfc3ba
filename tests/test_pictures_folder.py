"""image_dataset_from_directory: pictures, labels, batches, faults; and training on a folder."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pictures import FORMATS, classes, noise, opened, settle, write
from PIL import Image

import fastnn as fnn
from fastnn import layers
from fastnn.utils import image_dataset_from_directory


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return classes(tmp_path / "animals", {"dogs": 7, "ants": 4, "cats": 5})


def read(folder: Path, **arguments: Any) -> Any:
    arguments.setdefault("image_size", (6, 6))
    return image_dataset_from_directory(folder, verbose=False, **arguments)


def test_every_format_against_pillow_by_hand(tmp_path: Path) -> None:
    for i, suffix in enumerate(FORMATS):
        write(tmp_path / "f" / "a" / f"{suffix}.{suffix}", noise(9, 11, 3, seed=i))
    write(tmp_path / "f" / "b" / "UPPER.JPG".replace("JPG", "jpg"), noise(5, 5, 3)).rename(
        tmp_path / "f" / "b" / "UPPER.JPG"
    )
    (tmp_path / "f" / "a" / "notes.txt").write_text("no picture")
    dataset = read(tmp_path / "f", image_size=(4, 8))
    assert len(dataset.file_paths) == len(FORMATS) + 1
    for path, image in zip(dataset.file_paths, dataset.images, strict=True):
        expected = Image.fromarray(opened(path, "RGB")).resize((8, 4), Image.Resampling.BILINEAR)
        np.testing.assert_array_equal(image, np.asarray(expected))


def test_what_it_holds(folder: Path) -> None:
    dataset = read(folder, shuffle=False, color_mode="grayscale", batch_size=5)
    assert dataset.class_names == ["ants", "cats", "dogs"]
    assert [os.path.relpath(path, folder) for path in dataset.file_paths] == sorted(
        f"{path.parent.name}/{path.name}" for path in folder.glob("*/*.png")
    )
    assert isinstance(dataset.images, np.memmap)
    assert dataset.images.dtype == np.uint8 and not dataset.images.flags.writeable
    assert dataset.images.shape == (16, 6, 6, 1)
    assert dataset.labels.dtype == np.int32
    np.testing.assert_array_equal(dataset.labels, np.repeat([0, 1, 2], [4, 5, 7]))
    for path, image in zip(dataset.file_paths, dataset.images, strict=True):
        np.testing.assert_array_equal(image, opened(path, "L"))
    assert len(dataset) == 4
    batches = list(dataset)
    assert [len(x) for x, _ in batches] == [5, 5, 5, 1]
    assert {x.dtype for x, _ in batches} == {np.dtype(np.float32)}
    np.testing.assert_array_equal(np.concatenate([x for x, _ in batches]), dataset.images)
    np.testing.assert_array_equal(np.concatenate([y for _, y in batches]), dataset.labels)


def test_what_is_printed(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    image_dataset_from_directory(folder, image_size=6)
    assert capsys.readouterr() == ("Found 16 files belonging to 3 classes.\n", "")
    image_dataset_from_directory(
        folder, image_size=6, labels=None, validation_split=0.25, subset="both", seed=1
    )
    assert capsys.readouterr().out == (
        "Found 16 files.\nUsing 12 files for training.\nUsing 4 files for validation.\n"
    )
    read(folder)
    assert capsys.readouterr() == ("", "")


def test_label_modes(folder: Path) -> None:
    whole = read(folder, shuffle=False)
    one_hot = read(folder, shuffle=False, label_mode="categorical")
    assert one_hot.labels.dtype == np.float32
    np.testing.assert_array_equal(one_hot.labels, np.eye(3)[whole.labels])
    two = read(folder, shuffle=False, label_mode="binary", class_names=["dogs", "ants"])
    assert two.labels.dtype == np.float32
    np.testing.assert_array_equal(two.labels, np.repeat([[0], [1]], [7, 4], axis=0))
    assert two.class_names == ["dogs", "ants"]
    for without in (read(folder, label_mode=None), read(folder, labels=None)):
        assert without.labels is None and without.class_names is None
        assert next(iter(without)).shape == (16, 6, 6, 3)
    numbers = list(range(16))
    given = read(folder, shuffle=False, labels=numbers)
    np.testing.assert_array_equal(given.labels, numbers)
    assert given.class_names == [str(number) for number in numbers]


def test_without_batches(folder: Path) -> None:
    dataset = read(folder, batch_size=None)
    assert len(dataset) == 16
    image, label = next(iter(dataset))
    assert image.shape == (6, 6, 3) and np.ndim(label) == 0


def test_a_new_order_each_time(folder: Path) -> None:
    dataset = read(folder, seed=3)
    orders = [next(iter(dataset))[1] for _ in range(3)]
    assert len({tuple(order) for order in orders}) == 3
    again = read(folder, seed=3)
    np.testing.assert_array_equal([next(iter(again))[1] for _ in range(3)], orders)
    for x, y in dataset:  # pictures and labels stay together
        assert len(x) == len(y)
        found = [int(np.flatnonzero((dataset.images == one).all(axis=(1, 2, 3)))[0]) for one in x]
        np.testing.assert_array_equal(dataset.labels[found], y)


def test_the_session_seed(folder: Path) -> None:
    orders = []
    for _ in range(2):
        fnn.utils.set_random_seed(5)
        orders.append(next(iter(read(folder)))[1])
    np.testing.assert_array_equal(*orders)


@settings(deadline=None, max_examples=25, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(0, 2**32 - 1), split=st.floats(0.1, 0.9), shuffle=st.booleans())
def test_subsets(folder: Path, seed: int, split: float, shuffle: bool) -> None:
    arguments = {"validation_split": split, "seed": seed, "shuffle": shuffle}
    train, validation = read(folder, subset="both", **arguments)
    # Keras's order, by its code: dataset_utils.index_directory
    paths = sorted(str(path) for path in folder.glob("*/*.png"))
    if shuffle:
        np.random.RandomState(seed).shuffle(paths)
    held_back = int(split * 16)
    assert train.file_paths == paths[:-held_back]
    assert validation.file_paths == paths[-held_back:]
    for dataset in (train, validation):
        names = [dataset.class_names[label] for label in dataset.labels]
        assert names == [Path(path).parent.name for path in dataset.file_paths]
        for path, image in zip(dataset.file_paths, dataset.images, strict=True):
            np.testing.assert_array_equal(image, opened(path, "RGB"))
    for subset, expected in (("training", train), ("validation", validation)):
        alone = read(folder, subset=subset, **arguments)
        assert alone.file_paths == expected.file_paths
        np.testing.assert_array_equal(alone.images, expected.images)
        np.testing.assert_array_equal(alone.labels, expected.labels)
    assert not validation.shuffle and train.shuffle == shuffle


def test_directories_within_and_links(tmp_path: Path, folder: Path) -> None:
    write(folder / "cats" / "wild" / "deep" / "x.png", noise(6, 6))
    write(tmp_path / "elsewhere" / "y.png", noise(6, 6))
    os.symlink(tmp_path / "elsewhere", folder / "cats" / "link")
    os.symlink(folder / "cats", folder / "cats" / "wild" / "back")
    os.symlink(tmp_path / "elsewhere" / "y.png", folder / "ants" / "linked.png")
    (folder / ".hidden").mkdir()
    os.mkfifo(folder / "ants" / "pipe.png")
    dataset = read(folder)
    assert dataset.class_names == ["ants", "cats", "dogs"]
    names = [os.path.relpath(path, folder) for path in dataset.file_paths]
    assert len(names) == 18
    assert {"cats/wild/deep/x.png", "ants/linked.png"} <= set(names)
    followed = read(folder, follow_links=True)
    assert len(followed.file_paths) == 19


def test_a_class_without_pictures(folder: Path) -> None:
    (folder / "bees").mkdir()
    dataset = read(folder, label_mode="categorical")
    assert dataset.class_names == ["ants", "bees", "cats", "dogs"]
    assert dataset.labels.sum(axis=0).tolist() == [4, 0, 5, 7]


# What can't be taken


@pytest.fixture
def damaged(folder: Path) -> dict[str, str]:
    """Files of the folder -> what is wrong with them."""
    (folder / "ants" / "empty.png").touch()
    whole = (folder / "ants" / "000.png").read_bytes()
    (folder / "ants" / "cut.png").write_bytes(whole[:-30])
    (folder / "cats" / "jpeg.jpg").write_bytes(whole)
    (folder / "dogs" / "text.bmp").write_text("no picture")
    os.symlink(folder / "nowhere", folder / "dogs" / "lost.gif")
    return {
        "ants/empty.png": "is empty",
        "ants/cut.png": "is a broken PNG picture: ",
        "cats/jpeg.jpg": "is a PNG picture, but its name ends with .jpg",
        "dogs/text.bmp": "is no PNG, JPEG, BMP, GIF or WebP picture",
        "dogs/lost.gif": "can't be read: No such file or directory",
    }


def test_all_faults_are_named(folder: Path, damaged: dict[str, str]) -> None:
    for _ in range(2):  # the second time from the cache
        with pytest.raises(ValueError, match=r"5 of 21 pictures in .* can't be taken") as error:
            read(folder)
        for name, reason in damaged.items():
            assert f"{folder}/{name}: {reason}" in str(error.value)


def test_faults_are_skipped_if_asked(folder: Path, damaged: dict[str, str]) -> None:
    sound = [path for path in sorted(folder.glob("*/*")) if path.stem.isdigit()]
    for _ in range(2):
        with pytest.warns(UserWarning, match="5 of 21 pictures") as warned:
            dataset = read(folder, on_error="skip", shuffle=False, color_mode="grayscale")
        assert warned[0].filename == __file__
        assert dataset.file_paths == list(map(str, sound))
        np.testing.assert_array_equal(dataset.labels, np.repeat([0, 1, 2], [4, 5, 7]))
        for path, image in zip(sound, dataset.images, strict=True):
            np.testing.assert_array_equal(image, opened(path, "L"))
        assert {path for path, _ in dataset.skipped} == {f"{folder}/{name}" for name in damaged}
        for path, reason in dataset.skipped:
            assert f"{path}: {reason}" in str(warned[0].message)
            assert reason.startswith(damaged[os.path.relpath(path, folder)])


def test_labels_of_skipped_files_go_with_them(folder: Path, damaged: dict[str, str]) -> None:
    paths = sorted(str(path) for path in folder.glob("*/*"))
    numbers = list(range(len(paths)))
    with pytest.warns(UserWarning, match="skipped"):
        train, validation = read(
            folder, labels=numbers, on_error="skip", validation_split=0.3, subset="both", seed=0
        )
    assert len(train.labels) + len(validation.labels) == 16
    for dataset in (train, validation):
        assert [paths[label] for label in dataset.labels] == dataset.file_paths


def test_the_content_decides_if_asked(folder: Path) -> None:
    (folder / "cats" / "jpeg.jpg").write_bytes((folder / "ants" / "000.png").read_bytes())
    with pytest.raises(ValueError, match="check_suffix=False takes it"):
        read(folder)
    assert len(read(folder, check_suffix=False).images) == 17


def test_only_ten_faults_are_listed(folder: Path) -> None:
    for i in range(13):
        (folder / "ants" / f"broken{i:02}.png").write_bytes(b"x")
    with pytest.raises(ValueError, match="13 of 29") as error:
        read(folder)
    assert len(re.findall(r"broken\d\d", str(error.value))) == 10
    assert str(error.value).endswith("and 3 more")


def test_max_pixels(folder: Path) -> None:
    write(folder / "cats" / "large.png", noise(40, 50))
    read(folder, max_pixels=2000)
    with pytest.raises(ValueError, match=r"large.png: has 50 x 40 pixels, more than max_pixels"):
        read(folder, max_pixels=1999)


def test_nothing_left(tmp_path: Path) -> None:
    (tmp_path / "f" / "a").mkdir(parents=True)
    (tmp_path / "f" / "a" / "x.png").touch()
    with pytest.raises(ValueError, match="1 of 1 pictures"):
        read(tmp_path / "f", on_error="skip")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"labels": "deduced"}, "labels must be 'inferred', None or a list"),
        ({"labels": [1, 2]}, "labels must be as many as the pictures in .*, 16, got 2"),
        ({"labels": [-1] * 16}, "labels must be an integer >= 0"),
        ({"labels": [0] * 16, "class_names": ["a"]}, "class_names can only be given"),
        ({"labels": [3] * 16, "label_mode": "categorical"}, "wants labels 0 to 0, got 3"),
        ({"label_mode": "float"}, "label_mode must be one of"),
        ({"label_mode": "binary"}, "is for two classes"),
        ({"class_names": ["ants", "bees"]}, "class_names must be different subdirectories"),
        ({"class_names": ["ants", "ants"]}, "class_names must be different subdirectories"),
        ({"color_mode": "cmyk"}, "color_mode must be one of rgb, bgr, rgba, grayscale"),
        ({"batch_size": 0}, "batch_size must be an integer >= 1"),
        ({"image_size": (4,)}, r"image_size must be \(height, width\)"),
        ({"image_size": (4, 0)}, "image_size must be an integer >= 1"),
        ({"interpolation": "gaussian"}, "interpolation must be one of"),
        ({"seed": -1}, "seed must be an integer >= 0"),
        ({"seed": 2**32}, "seed must be below"),
        ({"validation_split": 0.2}, "must be given together"),
        ({"subset": "training"}, "must be given together"),
        ({"validation_split": 0.2, "subset": "test", "seed": 1}, "subset must be one of"),
        ({"validation_split": 1.5, "subset": "both", "seed": 1}, "validation_split must be"),
        ({"validation_split": 0.2, "subset": "both"}, "needs a seed"),
        ({"validation_split": 0.01, "subset": "both", "seed": 1}, "leaves none to validate on"),
        ({"crop_to_aspect_ratio": True, "pad_to_aspect_ratio": True}, "only one of"),
        ({"data_format": "channels_first"}, "data_format must be"),
        ({"on_error": "ignore"}, "on_error must be one of"),
        ({"max_pixels": 0}, "max_pixels must be an integer >= 1"),
    ],
)
def test_wrong_arguments(folder: Path, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"image_dataset_from_directory: .*{message}"):
        read(folder, **arguments)


def test_no_such_folder(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nowhere: no such directory"):
        read(tmp_path / "nowhere")
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError, match="file: is no directory"):
        read(tmp_path / "file")
    write(tmp_path / "flat" / "a.png", noise(6, 6))
    with pytest.raises(ValueError, match=r"no pictures in subdirectories of .*labels=None"):
        read(tmp_path / "flat")
    assert len(read(tmp_path / "flat", labels=None).images) == 1


# Models


def digits(tmp_path: Path) -> tuple[Any, Any]:
    (x, y), _ = fnn.datasets.mnist.load_data()
    for i in range(600):
        write(tmp_path / "digits" / str(y[i]) / f"{i}.png", x[i])
    return tuple(
        read(
            tmp_path / "digits", color_mode="grayscale", image_size=(28, 28), batch_size=16,
            validation_split=0.2, subset="both", seed=1,
        )
    )  # fmt: skip


def net() -> Any:
    fnn.utils.set_random_seed(0)
    model = fnn.Sequential(
        [
            layers.Rescaling(1 / 255),
            layers.Flatten(),
            layers.Dense(64, activation="relu"),
            layers.Dense(10, activation="softmax"),
        ]
    )
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def test_training_on_a_folder_of_digits(tmp_path: Path) -> None:
    train, validation = digits(tmp_path)
    model = net()
    history = model.fit(train, validation_data=validation, epochs=8, verbose=0).history
    assert history["val_accuracy"][-1] > 0.75
    _, accuracy = model.evaluate(validation, verbose=0)
    assert accuracy == pytest.approx(history["val_accuracy"][-1], abs=1e-6)
    predicted = model.predict(validation)
    assert (predicted.argmax(axis=1) == validation.labels).mean() == pytest.approx(accuracy)
    # the batch size is the data set's: 30 steps of 16 rows an epoch
    assert model.optimizer.iterations == 8 * 30
    # bits equal to those of the arrays
    again = net()
    again.fit(np.array(train.images), train.labels, batch_size=16, epochs=8, verbose=0)
    for one, other in zip(model.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    one = fnn.utils.load_img(validation.file_paths[0], color_mode="grayscale")
    alone = model.predict(fnn.utils.img_to_array(one)[None])
    np.testing.assert_allclose(alone[0], predicted[0], rtol=1e-5, atol=1e-7)


def test_without_shuffling(tmp_path: Path, folder: Path) -> None:
    kept = read(folder, shuffle=False, color_mode="grayscale")
    models = [net(), net()]
    models[0].fit(kept, epochs=2, verbose=0)
    models[1].fit(np.array(kept.images), kept.labels, epochs=2, shuffle=False, verbose=0)
    for one, other in zip(*(model.get_weights() for model in models), strict=True):
        np.testing.assert_array_equal(one, other)


def test_what_a_model_refuses(folder: Path) -> None:
    dataset, model = read(folder), net()
    with pytest.raises(ValueError, match="fit: x has its labels with it"):
        model.fit(dataset, dataset.labels)
    with pytest.raises(ValueError, match="evaluate: x has its labels with it"):
        model.evaluate(dataset, dataset.labels)
    with pytest.raises(ValueError, match="validation_split can't be taken from x"):
        model.fit(dataset, validation_split=0.2)
    with pytest.raises(ValueError, match="y is missing"):
        model.fit(read(folder, labels=None))


def test_pictures_need_pillow(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settle()
    read(folder)
    monkeypatch.setitem(sys.modules, "PIL", None)
    read(folder)  # decoded already
    with pytest.raises(ImportError, match=r"pip install fastnn\[images\]"):
        read(folder, image_size=7)

"""Pictures as data of a command: a directory for each class, or single files to predict from."""

from __future__ import annotations

import argparse
import io
import os
import sys
import warnings
from collections.abc import Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fastnn.images.dataset import ImageDataset

DEFAULTS: dict[str, Any] = {"image_size": None, "color_mode": None}
"""What ``--image-size`` and ``--color-mode`` are where nobody says."""

SIZE = (64, 64)
"""Height and width of the pictures of a folder where nobody says."""

CHANNELS = {1: "grayscale", 3: "rgb", 4: "rgba"}

TEST_NAMES = {"test", "val", "valid", "validation"}
TEST_SHARE = 0.2


@dataclass(frozen=True)
class Form:
    """What pictures are brought into, and what is done about files that can't be."""

    size: tuple[int, int] = SIZE
    color_mode: str = "rgb"
    on_error: str = "raise"
    verbose: bool = False


class Labelled(NamedTuple):
    """Pictures uint8 (n, height, width, channels), memory-mapped, and labels int32 (n,)."""

    train: tuple[NDArray[Any], NDArray[Any]]
    test: tuple[NDArray[Any], NDArray[Any]]
    class_names: list[str]
    note: str


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of a folder that a new net learns from."""
    parser.add_argument(
        "--image-size",
        type=_size,
        default=DEFAULTS["image_size"],
        metavar="N",
        help="the pictures of a folder are brought to N x N, or to HEIGHTxWIDTH (default: 64)",
    )
    parser.add_argument(
        "--color-mode",
        choices=tuple(CHANNELS.values()),
        default=DEFAULTS["color_mode"],
        help="of the pictures of a folder (default: rgb)",
    )
    add_error_argument(parser)


def add_error_argument(parser: argparse.ArgumentParser) -> None:
    """The option about broken files."""
    parser.add_argument(
        "--on-error",
        choices=("raise", "skip"),
        default="raise",
        help="what to do about files of a folder that are no sound pictures (default: %(default)s)",
    )


def form_wanted(arguments: argparse.Namespace) -> Form:
    """As the options say.

    Raises:
        ValueError: They are about pictures in files, and the data is none.
    """
    if not is_folder(arguments.data):
        for name in DEFAULTS:
            if getattr(arguments, name) is not None:
                raise ValueError(
                    f"--{name.replace('_', '-')} is for a folder of pictures, "
                    f"but the data is {arguments.data}"
                )
    return Form(
        arguments.image_size or SIZE, arguments.color_mode or "rgb", arguments.on_error,
        verbose=not getattr(arguments, "quiet", False),
    )  # fmt: skip


def form_of(shape: tuple[int, ...], on_error: str = "raise", *, verbose: bool = False) -> Form:
    """That which a model takes whose examples are of ``shape``.

    Raises:
        ValueError: They are no pictures.
    """
    channels = shape[2] if len(shape) == 3 else 1 if len(shape) == 2 else 0
    if channels not in CHANNELS or not all(shape):
        raise ValueError(f"the model takes examples of shape {shape}, which are no pictures")
    return Form((shape[0], shape[1]), CHANNELS[channels], on_error, verbose=verbose)


def is_folder(name: str) -> bool:
    """Whether ``name`` is a directory that could hold pictures: one of IDX files is none."""
    from fastnn.datasets import files

    path = Path(name)
    if name == "mnist" or not path.is_dir() or files.is_idx_directory(path):
        return False
    return bool(_directories(path)) or any(is_picture(entry) for entry in path.iterdir())


def is_picture(path: str | os.PathLike[str]) -> bool:
    """By its suffix."""
    from fastnn.images.decode import SUFFIXES

    return Path(path).suffix.lower() in SUFFIXES


def read_folder(name: str, form: Form) -> Labelled:
    """The pictures of a folder that has a directory for each class.

    A folder that consists of two such folders, ``train`` and ``test`` (or ``val``, ``valid``,
    ``validation``), has a test set of its own. Of any other a fifth is set aside as one.

    Raises:
        ValueError: There are no such directories, no pictures, or broken files.
    """
    path = Path(name)
    inside = _directories(path)
    if not inside:
        raise ValueError(f"{name}: holds pictures, but no directory for each class of them")
    names = {entry.name for entry in inside}
    own_test = names - {"train"}
    is_pair = len(names) == 2 and len(own_test) == 1 and own_test <= TEST_NAMES
    if is_pair and all(map(_directories, inside)):
        own = path / own_test.pop()
        train = _dataset(path / "train", form, shuffle=True, seed=0)
        test = _dataset(own, form, shuffle=False)
        labels = relabelled(test.labels, _names(test), _names(train), str(own))
        note = "its own test set"
    else:
        train, test = _dataset(
            path, form, shuffle=True, seed=0, validation_split=TEST_SHARE, subset="both"
        )
        labels = test.labels
        both = len(train.images) + len(test.images)
        note = f"{len(labels)} of {both} pictures, drawn with seed 0, set aside as the test set"
    return Labelled((train.images, train.labels), (test.images, labels), _names(train), note)


def read_files(names: Sequence[str], form: Form) -> tuple[NDArray[Any], list[str]]:
    """Pictures to predict from, (n, height, width, channels), and their files.

    ``names`` are picture files, or one directory of which all pictures are taken.

    Raises:
        OSError, ValueError: A file is missing, or no sound picture.
    """
    import numpy as np

    from fastnn.utils import img_to_array, load_img

    if len(names) == 1 and Path(names[0]).is_dir():
        found = _dataset(names[0], form, shuffle=False, labels=None)
        return found.images, found.file_paths
    pictures = [
        img_to_array(
            load_img(name, form.color_mode, form.size, interpolation="bilinear"), dtype=np.uint8
        )
        for name in names
    ]
    return np.stack(pictures), list(names)


def relabelled(
    labels: NDArray[Any], own: Sequence[str], known: Sequence[str], where: str
) -> NDArray[Any]:
    """``labels`` of the classes ``own`` as labels of the classes ``known``.

    Raises:
        ValueError: A class is not known.
    """
    import numpy as np

    spare = [name for name in own if name not in known]
    if spare:
        raise ValueError(
            f"{where}: has a class {spare[0]!r}, wanted those that the net learns: "
            f"{', '.join(known)}"
        )
    places = np.array([known.index(name) for name in own], labels.dtype)
    found: NDArray[Any] = places[labels]
    return found


def _dataset(path: str | os.PathLike[str], form: Form, **options: Any) -> Any:
    from fastnn.utils import image_dataset_from_directory

    with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
        warnings.filterwarnings("ignore", "image_dataset_from_directory: .* are skipped")
        # Its lines would call the test set one for validation. Progress goes to stderr.
        found = image_dataset_from_directory(
            path, image_size=form.size, color_mode=form.color_mode, on_error=form.on_error,
            verbose=form.verbose, **options,
        )  # fmt: skip
    for name, reason in (found[0] if isinstance(found, list) else found).skipped:
        print(f"fastnn: skipped {name}: {reason}", file=sys.stderr)
    return found


def _names(dataset: ImageDataset) -> list[str]:
    return dataset.class_names or []


def _directories(path: Path) -> list[Path]:
    return [entry for entry in path.iterdir() if entry.is_dir() and entry.name[0] != "."]


def _size(text: str) -> tuple[int, int]:
    height, cross, width = text.partition("x")
    try:
        size = int(height), int(width if cross else height)
    except ValueError:
        size = (0, 0)
    if min(size) < 1:
        raise argparse.ArgumentTypeError(f"wanted a size such as 64 or 48x64, got {text!r}")
    return size

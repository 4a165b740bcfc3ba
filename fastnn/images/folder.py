"""A folder of pictures as a data set."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastnn._checks import check_choice, check_flag, check_integer, check_real
from fastnn._warnings import warn
from fastnn.images.build import stored
from fastnn.images.cache import Cache
from fastnn.images.dataset import ImageDataset
from fastnn.images.form import checked_form
from fastnn.images.listing import Listing, list_folder

_OWNER = "image_dataset_from_directory"
_LABEL_MODES = ["int", "categorical", "binary"]
_SUBSETS = ["training", "validation", "both"]
_FAULTS_SHOWN = 10


def image_dataset_from_directory(
    directory: str | os.PathLike[str],
    labels: str | Sequence[int] | None = "inferred",
    label_mode: str | None = "int",
    class_names: Sequence[str] | None = None,
    color_mode: str = "rgb",
    batch_size: int | None = 32,
    image_size: int | tuple[int, int] = (256, 256),
    shuffle: bool = True,
    seed: int | None = None,
    validation_split: float | None = None,
    subset: str | None = None,
    interpolation: str = "bilinear",
    follow_links: bool = False,
    crop_to_aspect_ratio: bool = False,
    pad_to_aspect_ratio: bool = False,
    data_format: str | None = None,
    verbose: bool = True,
    *,
    cache: str | os.PathLike[str] | None = None,
    on_error: str = "raise",
    check_suffix: bool = True,
    max_pixels: int | None = None,
) -> Any:
    """Read a folder of pictures: PNG, JPEG, BMP, GIF (first frame) and WebP.

    Names, defaults and meaning are those of ``keras.utils.image_dataset_from_directory``; the
    arguments after ``verbose`` are fastnn's own. Files of other suffixes are left alone. With the
    same ``seed`` and ``validation_split``, the same pictures are held back as in Keras.

    Each file is decoded once, by parallel threads, into a file of uint8 pixels that is
    memory-mapped. The next call finds it and starts at once, if no file was changed, added or
    removed; else only those are decoded. Memory stays bounded, whatever the size of the folder;
    the file takes N * height * width * channels bytes of disk.

    Other than in Keras:

    - Pixels are rounded to uint8, as the files have them.
    - Shrinking averages all the pixels that a new one covers (Pillow's filters). TensorFlow's
      "bilinear" and "bicubic" look at the nearest ones only.
    - A picture that a camera has marked as turned (EXIF) is turned upright.
    - WebP is read as well. "lanczos5", "gaussian" and "mitchellcubic" are not there.
    - There is no ``format``: the result is an :class:`ImageDataset`, not a ``tf.data.Dataset``.

    Args:
        directory: With a subdirectory for each class, if labels are inferred.
        labels: "inferred" from the subdirectories; None; or a list of an integer for each picture,
            in the order of paths that ``os.walk`` gives, sorted.
        label_mode: "int": int32 (N,). "categorical": one-hot float32 (N, classes). "binary":
            float32 (N, 1), for two classes. None: no labels.
        class_names: The subdirectories to take, in the order of their labels; sorted by default.
        color_mode: "rgb", "rgba", "grayscale", or "bgr", the order of OpenCV. Transparency counts
            for "rgba" only.
        batch_size: Of the batches, and of ``fit`` where it is given none. None: no batches, but
            pictures one by one.
        image_size: (height, width).
        shuffle: A new order for each iteration and epoch; False keeps that of the paths.
        seed: 0 to 2**32 - 1; of the order and of the split.
        validation_split: Share of the pictures that are held back.
        subset: With a split, the part to return: "training", "validation", or "both".
        interpolation: "bilinear", "nearest", "bicubic", "area" or "box", "lanczos3" or "lanczos",
            "hamming".
        follow_links: Whether to go into directories that symbolic links point to.
        crop_to_aspect_ratio: Cut off what is too much at two sides, rather than distort.
        pad_to_aspect_ratio: Add black at two sides, rather than distort.
        data_format: None or "channels_last".
        verbose: Print how many files there are; show progress on a terminal.
        cache: Directory for the decoded pixels. By default ``fastnn/pictures`` in the user's
            directory for caches (XDG_CACHE_HOME, else ~/.cache). Anything in it may be deleted
            at any time.
        on_error: What is done about files that are broken, empty, no pictures, or too large:
            "raise", or "skip" them with a warning. Either names each with the reason.
        check_suffix: Whether a picture of one format under the suffix of another (a PNG that is
            called .jpg) counts as such a file. If False, the content decides.
        max_pixels: The most that a picture may have, so that no small file takes all the memory. By
            default ``PIL.Image.MAX_IMAGE_PIXELS``, 89 million; Pillow refuses more than twice that
            itself.

    Returns:
        An :class:`ImageDataset`; for ``subset="both"`` a list of two.

    Raises:
        TypeError, ValueError: An argument is wrong; there are no pictures, or none in a subset;
            or pictures can't be taken: the message has the first ten with their reasons, and the
            number of all.
        FileNotFoundError, NotADirectoryError: ``directory`` is none.
        OSError: The cache can't be written.
        ImportError: Pillow is not installed: ``pip install fastnn[images]``.
    """
    directory = os.fspath(directory)
    labels = _checked_labels(labels, label_mode)
    form = checked_form(
        _OWNER, image_size, color_mode, interpolation, crop_to_aspect_ratio, pad_to_aspect_ratio,
        max_pixels, check_suffix,
    )  # fmt: skip
    if batch_size is not None:
        batch_size = check_integer(_OWNER, "batch_size", batch_size, at_least=1)
    shuffle = check_flag(_OWNER, "shuffle", shuffle)
    seed = _checked_seed(seed)
    split = _checked_split(validation_split, subset, shuffle, seed)
    if data_format not in (None, "channels_last"):
        raise ValueError(
            f"{_OWNER}: data_format must be None or 'channels_last', got {data_format!r}"
        )
    check_choice(_OWNER, "on_error", on_error, ["raise", "skip"])
    follow_links = check_flag(_OWNER, "follow_links", follow_links)
    if cache is not None and _lies_in(cache, directory):
        raise ValueError(
            f"{_OWNER}: cache must not lie in {directory}, where it would be a class, got "
            f"{os.fspath(cache)!r}"
        )

    listing = list_folder(_OWNER, directory, labels, class_names, follow_links)
    if label_mode == "binary" and len(listing.class_names or ()) != 2:
        raise ValueError(
            f"{_OWNER}: label_mode='binary' is for two classes, got {listing.class_names}"
        )
    one_hot_or_none = _encoded(listing, label_mode)
    if verbose:
        classes = len(listing.class_names or ())
        belonging = "" if labels is None else f" belonging to {classes} classes"
        print(f"Found {len(listing.names)} files{belonging}.")
    if split and shuffle:
        # Keras's order, so that the split is the same.
        order = np.arange(len(listing.names))
        np.random.RandomState(seed).shuffle(order)
        listing = listing.reordered(order)
        one_hot_or_none = None if one_hot_or_none is None else one_hot_or_none[order]

    store = Cache(cache, directory, form)
    images, entry = stored(store, directory, listing.names, listing.stamps, form, bool(verbose))
    prefix = os.path.join(directory, "")
    skipped = [(prefix + name, why) for name, (_, why) in entry.bad.items()]
    _report(directory, len(listing.names), skipped, on_error)
    kept = [i for i, name in enumerate(listing.names) if name not in entry.bad]
    paths = [prefix + listing.names[i] for i in kept]
    encoded = None if one_hot_or_none is None else one_hot_or_none[kept]

    def part(rows: slice, shuffled: bool) -> ImageDataset:
        own = None if encoded is None else encoded[rows]
        return ImageDataset(
            images[rows], own, listing.class_names, paths[rows], batch_size, shuffled, seed, skipped
        )

    if not split:
        return part(slice(None), shuffle)
    held_back = int(split * len(paths))
    if not 0 < held_back < len(paths):
        raise ValueError(
            f"{_OWNER}: validation_split={split} of {len(paths)} pictures leaves none to "
            + ("validate on" if not held_back else "train on")
        )
    train = slice(len(paths) - held_back)
    validation = slice(len(paths) - held_back, None)
    if verbose and subset != "validation":
        print(f"Using {len(paths) - held_back} files for training.")
    if verbose and subset != "training":
        print(f"Using {held_back} files for validation.")
    if subset == "both":
        return [part(train, shuffle), part(validation, False)]
    return part(train if subset == "training" else validation, shuffle)


def _lies_in(path: str | os.PathLike[str], directory: str) -> bool:
    inner, outer = os.path.realpath(path), os.path.realpath(directory)
    return os.path.commonpath([inner, outer]) == outer


def _checked_labels(labels: Any, label_mode: str | None) -> Any:
    """None where there are to be none."""
    if isinstance(labels, np.ndarray):
        labels = labels.tolist()
    if not (labels is None or labels == "inferred" or isinstance(labels, (list, tuple))):
        raise ValueError(
            f"{_OWNER}: labels must be 'inferred', None or a list of integers, got {labels!r}"
        )
    if label_mode is None:
        return None
    check_choice(_OWNER, "label_mode", label_mode, _LABEL_MODES)
    return labels


def _checked_seed(seed: int | None) -> int | None:
    if seed is None:
        return None
    number = check_integer(_OWNER, "seed", seed, at_least=0)
    if number >= 2**32:
        raise ValueError(f"{_OWNER}: seed must be below 2**32, got {number}")
    return number


def _checked_split(
    validation_split: float | None, subset: str | None, shuffle: bool, seed: int | None
) -> float:
    """0 where there is none."""
    if not validation_split and subset is None:
        return 0.0
    if not validation_split or subset is None:
        raise ValueError(
            f"{_OWNER}: validation_split and subset must be given together, got "
            f"validation_split={validation_split!r} and subset={subset!r}"
        )
    check_choice(_OWNER, "subset", subset, _SUBSETS)
    if shuffle and seed is None:
        raise ValueError(
            f"{_OWNER}: validation_split with shuffle=True needs a seed, so that training and "
            "validation have no picture in common"
        )
    return check_real(_OWNER, "validation_split", validation_split, above=0, below=1)


def _encoded(listing: Listing, label_mode: str | None) -> NDArray[Any] | None:
    """Labels as ``label_mode`` wants them."""
    labels = listing.labels
    if labels is None or label_mode == "int":
        return labels
    classes = len(listing.class_names or ())
    if labels.max() >= classes:
        raise ValueError(
            f"{_OWNER}: label_mode={label_mode!r} wants labels 0 to {classes - 1}, got "
            f"{labels.max()}"
        )
    if label_mode == "binary":
        return labels.astype(np.float32)[:, None]
    return np.eye(classes, dtype=np.float32)[labels]


def _report(directory: str, found: int, faults: list[tuple[str, str]], on_error: str) -> None:
    """Name the files that can't be taken."""
    if not faults:
        return
    shown = faults if on_error == "skip" else faults[:_FAULTS_SHOWN]
    lines = [f"{path}: {reason}" for path, reason in shown]
    if len(shown) < len(faults):
        lines.append(f"and {len(faults) - len(shown)} more")
    what = f"{len(faults)} of {found} pictures in {directory} "
    if on_error == "skip" and len(faults) < found:
        message = "\n  ".join([f"{_OWNER}: {what}are skipped:", *lines])
        warn(message)
        return
    hint = "" if on_error == "skip" else ' (on_error="skip" leaves them out)'
    raise ValueError("\n  ".join([f"{_OWNER}: {what}can't be taken{hint}:", *lines]))

"""Random seeds and streams, automatic names, one-hot labels; and pictures in files."""

from __future__ import annotations

from _thread import allocate_lock
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnn import _naming
from fastnn._checks import check_integer

if TYPE_CHECKING:
    from numpy.random import Generator
    from numpy.typing import ArrayLike, NDArray

    from fastnn.images.dataset import ImageDataset
    from fastnn.images.folder import image_dataset_from_directory
    from fastnn.images.single import array_to_img, img_to_array, load_img, save_img

__all__ = [
    "ImageDataset",
    "array_to_img",
    "clear_session",
    "generator",
    "image_dataset_from_directory",
    "img_to_array",
    "load_img",
    "save_img",
    "set_random_seed",
    "to_categorical",
]

# Loaded when first asked for: layers import this module, and have no use for pictures.
_HOMES = {
    "ImageDataset": "fastnn.images.dataset",
    "array_to_img": "fastnn.images.single",
    "image_dataset_from_directory": "fastnn.images.folder",
    "img_to_array": "fastnn.images.single",
    "load_img": "fastnn.images.single",
    "save_img": "fastnn.images.single",
}

_lock = allocate_lock()
_seed: int | None = None
_counters: dict[str | int, int] = {}


def __getattr__(name: str) -> Any:
    from importlib import import_module

    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'fastnn.utils' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def set_random_seed(seed: int) -> None:
    """Fix every random number that follows: initial weights, order of examples, noise.

    As in Keras, Python's ``random`` and NumPy's global generator are seeded too.

    Args:
        seed: An integer from 0 to 2**32 - 1 (the range of ``numpy.random.seed``).

    Raises:
        TypeError, ValueError: ``seed`` isn't an integer, or isn't in the range.
    """
    import random

    global _seed
    number = check_integer("set_random_seed", "seed", seed, at_least=0)
    if number >= 2**32:
        raise ValueError(f"set_random_seed: seed must be below 2**32, got {number}")
    random.seed(number)
    np.random.seed(number)  # noqa: NPY002
    with _lock:
        _seed = number
        _counters.clear()


def generator(stream: str | int) -> Generator:
    """A fresh generator of random numbers for the use named ``stream``.

    It is a Philox counter generator (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3",
    2011) keyed by the global seed and ``stream``; the n-th call for a stream starts it at
    n * 2**192. So what one part of the program draws never shifts the numbers of another part.
    Without ``set_random_seed`` the seed comes from the operating system, once.
    """
    import hashlib

    from numpy.random import Generator, Philox

    global _seed
    with _lock:
        if _seed is None:
            import secrets

            _seed = secrets.randbits(64)
        count = _counters.get(stream, 0)
        _counters[stream] = count + 1
        name = repr((_seed, stream))
    key = int.from_bytes(hashlib.blake2b(name.encode(), digest_size=16).digest(), "little")
    return Generator(Philox(key=key, counter=count << 192))


def random_state() -> dict[str, Any]:
    """The seed, and how often each stream was asked for a generator, as JSON values."""
    with _lock:
        return {"seed": _seed, "counters": [[stream, n] for stream, n in _counters.items()]}


def restore_random_state(state: Any) -> None:
    """Go on with the random numbers of the moment when ``random_state`` gave ``state``.

    Python's ``random`` and NumPy's global generator stay as they are.

    Raises:
        ValueError: it isn't what ``random_state`` gives. Nothing has changed then.
    """
    global _seed
    try:
        seed = state["seed"]
        if seed is not None:
            seed = check_integer("random state", "seed", seed)
        counters = {
            stream: check_integer("random state", "a counter", count, at_least=0)
            for stream, count in state["counters"]
        }
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"the state of the random numbers is malformed: {error}") from error
    with _lock:
        _seed = seed
        _counters.clear()
        _counters.update(counters)


def clear_session() -> None:
    """Number automatic names from the start again: the next Dense layer is "dense"."""
    _naming.reset()


def to_categorical(x: ArrayLike, num_classes: int | None = None) -> NDArray[np.float64]:
    """One-hot rows for integer class labels.

    Args:
        x: Integer labels from 0 to ``num_classes - 1`` of shape (...,) or (..., 1).
        num_classes: Width of the result; by default the largest label plus one.

    Returns:
        float64 array of shape (..., num_classes), as Keras returns.

    Raises:
        ValueError: A label is out of range (Keras counts a negative label from the end), or
            isn't whole.
    """
    given = np.asarray(x)
    if given.dtype.kind not in "biuf":
        raise TypeError(f"x must hold integer class labels, got dtype {given.dtype}")
    with np.errstate(invalid="ignore"):
        labels = given.astype(np.int64)
    if not np.array_equal(labels, given):
        raise ValueError("x must hold integer class labels, got fractions or non-finite values")
    if labels.ndim > 1 and labels.shape[-1] == 1:
        labels = labels[..., 0]
    if num_classes is None:
        if not labels.size:
            raise ValueError("x is empty: num_classes must be given")
        num_classes = int(labels.max()) + 1
    width = check_integer("to_categorical", "num_classes", num_classes, at_least=1)
    if labels.size and (labels.min() < 0 or labels.max() >= width):
        raise ValueError(
            f"labels must lie in 0 .. {width - 1}, got {labels.min()} .. {labels.max()}"
        )
    one_hot = np.zeros((labels.size, width))
    one_hot[np.arange(labels.size), labels.ravel()] = 1
    return one_hot.reshape(*labels.shape, width)

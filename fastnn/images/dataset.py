"""Pictures of a folder with their labels, to iterate over in batches or to give to a model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastnn.utils import generator


class ImageDataset:
    """What ``fastnn.utils.image_dataset_from_directory`` returns.

    ``fit``, ``evaluate`` and ``predict`` take it in the place of x and y, and ``fit`` as
    ``validation_data``: the engine reads the uint8 rows where they lie in the file, and
    shuffles them itself. Iterated over, it yields batches as Keras's does: float32 pictures (n,
    height, width, channels) from 0 to 255 with their labels, or pictures alone without labels.

    Attributes:
        images: uint8 (N, height, width, channels), memory-mapped, read-only.
        labels: int32 (N,); float32 (N, classes) if "categorical", (N, 1) if "binary"; or None.
        class_names: By label; None without labels.
        file_paths: Of the pictures, in the order of ``images``.
        batch_size: Pictures in a batch; None yields them one by one.
        shuffle: Whether each iteration, and each epoch of ``fit``, has an order of its own.
        skipped: (path, reason) of each file of the folder that was left out.
    """

    def __init__(
        self,
        images: NDArray[np.uint8],
        labels: NDArray[Any] | None,
        class_names: list[str] | None,
        file_paths: list[str],
        batch_size: int | None,
        shuffle: bool,
        seed: int | None = None,
        skipped: Sequence[tuple[str, str]] = (),
    ) -> None:
        self.images = images
        self.labels = labels
        self.class_names = class_names
        self.file_paths = file_paths
        self.batch_size = batch_size
        self.shuffle = shuffle
        self.skipped = list(skipped)
        self._seed = seed
        self._iterations = 0

    def __len__(self) -> int:
        """The number of batches, as in Keras. ``len(dataset.images)`` is that of pictures."""
        return -(-len(self.images) // (self.batch_size or 1))

    def __repr__(self) -> str:
        classes = "no labels" if self.class_names is None else f"{len(self.class_names)} classes"
        return f"<ImageDataset: pictures {self.images.shape}, {classes}>"

    def __iter__(self) -> Iterator[Any]:
        order = np.arange(len(self.images))
        if self.shuffle:
            self._generator().shuffle(order)
        for start in range(0, len(order), self.batch_size or 1):
            rows: Any = order[start : start + self.batch_size] if self.batch_size else order[start]
            images = np.asarray(self.images[rows], dtype=np.float32)
            yield images if self.labels is None else (images, self.labels[rows])

    def _generator(self) -> np.random.Generator:
        if self._seed is None:
            return generator("image_dataset")
        self._iterations += 1
        return np.random.default_rng([self._seed, self._iterations])

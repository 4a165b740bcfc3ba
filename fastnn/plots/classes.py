"""What a model says of pictures, and how often it is wrong."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnn.plots.style import FAINT, OTHER, RIGHT, TEXT, WRONG, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import ArrayLike, NDArray


def predictions(
    images: ArrayLike,
    labels: ArrayLike,
    probabilities: ArrayLike,
    *,
    class_names: Sequence[str] | None = None,
    rows: int = 5,
    columns: int = 3,
) -> Figure:
    """Draw images, each beside a bar chart of its probabilities.

    Above an image stand the predicted class, its probability and the true class. Where the
    prediction is right its text and bar are blue. Where it is wrong they are red, and the bar of
    the true class is blue. After TensorFlow's tutorial "Basic classification: Classify images of
    clothing".

    Args:
        images: (n, height, width), or (n, height, width, 1, 3 or 4), of any numeric type; the first
            ``rows * columns`` of them are drawn.
        labels: (n,) integers: the true classes, from 0.
        probabilities: (n, classes), as ``model.predict`` gives them.
        class_names: A name for each class; its number where there are none.
        rows, columns: Images below and beside each other.

    Returns:
        A figure that is registered nowhere: write it with ``figure.savefig(path)``.

    Raises:
        ImportError: matplotlib is not installed.
        ValueError: the shapes do not fit each other, or a label or the class names the classes.
    """
    pixels, truth, chances = _checked(images, labels, probabilities)
    classes = chances.shape[1]
    names = [str(k) for k in range(classes)] if class_names is None else list(class_names)
    if len(names) != classes:
        raise ValueError(f"predictions: {len(names)} class_names, but {classes} probabilities")
    if rows < 1 or columns < 1:
        raise ValueError(f"predictions: rows and columns must be >= 1, got {rows} and {columns}")

    figure = new_figure(3.8 * columns, 1.9 * rows)
    cells = figure.add_gridspec(rows, columns, wspace=0.06)
    for k in range(min(rows * columns, len(pixels))):
        cell = cells[k].subgridspec(1, 2, width_ratios=(1, 1.5), wspace=0.05)
        _draw_image(figure.add_subplot(cell[0]), pixels[k], int(truth[k]), chances[k], names)
        _draw_bars(figure.add_subplot(cell[1]), int(truth[k]), chances[k], names)
    return figure


def _checked(
    images: ArrayLike, labels: ArrayLike, probabilities: ArrayLike
) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    pixels, truth, chances = np.asarray(images), np.asarray(labels), np.asarray(probabilities)
    if pixels.ndim == 4 and pixels.shape[-1] == 1:
        pixels = pixels[..., 0]
    if pixels.ndim != 3 and not (pixels.ndim == 4 and pixels.shape[-1] in (3, 4)):
        raise ValueError(
            "predictions: images must be of shape (n, height, width[, 1, 3 or 4]), got "
            f"{np.shape(images)}"
        )
    if truth.ndim == 2 and truth.shape[1] == 1:
        truth = truth[:, 0]
    if chances.ndim != 2 or truth.ndim != 1 or not len(pixels) == len(truth) == len(chances):
        raise ValueError(
            f"predictions: {len(pixels)} images want labels ({len(pixels)},) and probabilities "
            f"({len(pixels)}, classes), got {truth.shape} and {chances.shape}"
        )
    if truth.dtype.kind not in "ui" or (
        truth.size and not 0 <= truth.min() <= truth.max() < chances.shape[1]
    ):
        raise ValueError(f"predictions: labels must be integers from 0 to {chances.shape[1] - 1}")
    return pixels, truth, chances


def _draw_image(
    axes: Axes, pixels: NDArray[Any], truth: int, chances: NDArray[Any], names: list[str]
) -> None:
    guess = int(chances.argmax())
    color = RIGHT if guess == truth else WRONG
    axes.imshow(pixels, cmap="gray_r", interpolation="nearest")
    axes.set(xticks=[], yticks=[])
    for spine in axes.spines.values():
        spine.set(color=color, linewidth=1.6)
    axes.set_title(
        f"{names[guess]}  {_percent(chances[guess])}",
        color=color,
        fontsize=11,
        fontweight="bold",
        pad=5,
    )
    axes.set_xlabel(f"true: {names[truth]}", color=FAINT, fontsize=9, labelpad=4)


def _percent(chance: float) -> str:
    """The probability in words short of certainty: 99.6 % is not 100 %."""
    return "> 99 %" if 0.99 < chance < 1 else f"{100 * chance:.0f} %"


def _draw_bars(axes: Axes, truth: int, chances: NDArray[Any], names: list[str]) -> None:
    guess = int(chances.argmax())
    colors = [OTHER] * len(names)
    colors[guess] = WRONG
    colors[truth] = RIGHT
    axes.bar(range(len(names)), chances, width=0.8, color=colors)
    axes.set(ylim=(0, 1), yticks=[], xticks=range(len(names)))
    long = max(map(len, names)) > 2
    axes.set_xticklabels(names, fontsize=8 if not long else 7, rotation=90 if long else 0)
    axes.tick_params(length=0, pad=3, colors=FAINT)
    for k, tick in enumerate(axes.get_xticklabels()):
        if k in (guess, truth):
            tick.set(color=colors[k], fontweight="bold")
    for side in ("left", "right", "top"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(OTHER)


def confusion_matrix(
    labels: ArrayLike, predictions: ArrayLike, *, class_names: Sequence[str] | None = None
) -> Figure:
    """Draw how many examples of each class were taken for which.

    A row is a true class, a column a predicted one. The diagonal, where both agree, is blue, all
    else red, the darker the larger its share of the row.

    Args:
        labels: (n,) integers: the true classes, from 0.
        predictions: (n,) integers, or (n, classes), as ``model.predict`` gives them.
        class_names: A name for each class; its number where there are none.

    Returns:
        A figure that is registered nowhere: write it with ``figure.savefig(path)``.

    Raises:
        ImportError: matplotlib is not installed.
        ValueError: the shapes do not fit each other, or a label or the class names the classes.
    """
    truth, guesses = np.asarray(labels), np.asarray(predictions)
    if truth.ndim == 2 and truth.shape[1] == 1:
        truth = truth[:, 0]
    classes = guesses.shape[1] if guesses.ndim == 2 else 0
    guesses = guesses.argmax(axis=1) if guesses.ndim == 2 else guesses
    if truth.ndim != 1 or truth.shape != guesses.shape or not len(truth):
        raise ValueError(
            f"confusion_matrix: labels must be (n,) and predictions (n,) or (n, classes), got "
            f"{np.shape(labels)} and {np.shape(predictions)}"
        )
    for name, numbers in (("labels", truth), ("predictions", guesses)):
        if numbers.dtype.kind not in "ui" or numbers.min() < 0:
            raise ValueError(f"confusion_matrix: {name} must be integers from 0")
    if class_names is not None:
        classes = classes or len(class_names)
    classes = classes or int(max(truth.max(), guesses.max())) + 1
    if max(truth.max(), guesses.max()) >= classes:
        raise ValueError(f"confusion_matrix: labels must be integers from 0 to {classes - 1}")
    names = [str(k) for k in range(classes)] if class_names is None else list(class_names)
    if len(names) != classes:
        raise ValueError(f"confusion_matrix: {len(names)} class_names, but {classes} classes")

    counts = np.bincount(truth.astype(np.int64) * classes + guesses, minlength=classes**2)
    counts = counts.reshape(classes, classes)
    side = min(max(3.4, 0.46 * classes + 1.2), 16)
    figure = new_figure(side, side)
    _draw_counts(figure.subplots(), counts, names)
    return figure


def _draw_counts(axes: Axes, counts: NDArray[np.int64], names: list[str]) -> None:
    """``counts`` (true, predicted)."""
    from matplotlib.colors import to_rgb

    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    base = np.empty((*counts.shape, 3))
    base[:] = to_rgb(WRONG)
    base[np.diag_indices(len(counts))] = to_rgb(RIGHT)
    # Of mistakes a few per cent must be seen.
    depth = np.where(np.eye(len(counts), dtype=bool), shares, np.sqrt(shares))[..., None]
    axes.imshow(1 - depth * (1 - base), interpolation="nearest")
    for (row, column), count in np.ndenumerate(counts):
        if count:
            color = "white" if depth[row, column, 0] > 0.6 else TEXT
            axes.text(column, row, f"{count:,}", color=color, fontsize=8, ha="center", va="center")
    long = max(map(len, names)) > 2
    axes.set_xticks(range(len(names)), names, rotation=90 if long else 0)
    axes.set_yticks(range(len(names)), names)
    axes.tick_params(length=0, colors=FAINT)
    axes.set_xlabel("predicted", color=FAINT)
    axes.set_ylabel("true", color=FAINT)
    for spine in axes.spines.values():
        spine.set(color=OTHER)

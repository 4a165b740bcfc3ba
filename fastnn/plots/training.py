"""How a model learns: losses, gradients, learning rates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from fastnn.plots.style import FAINT, GOOD, OTHER, RIGHT, TEXT, UNSEEN, WRONG, new_figure, tidy

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from fastnn.callbacks import History
    from fastnn.health import LearningRates
    from fastnn.health.report import Report
    from fastnn.statistics import StepStatistics


def history(history: History | Mapping[str, Sequence[float]]) -> Figure:
    """Draw the loss and every metric over the epochs, with the validation curves beside them.

    The best epoch of the validation data is marked and named: that of the lowest loss or error, or
    the highest accuracy.

    Args:
        history: What ``model.fit`` returned, or its ``history`` dict.

    Returns:
        A figure that is registered nowhere: write it with ``figure.savefig(path)``.

    Raises:
        ImportError: matplotlib is not installed.
        ValueError: there is no finished epoch.
    """
    curves = history if isinstance(history, Mapping) else history.history
    names = [name for name in curves if not name.startswith("val_") and name != "learning_rate"]
    if not names or not curves[names[0]]:
        raise ValueError("history: no finished epoch to draw")
    names.sort(key=lambda name: name != "loss")
    figure = new_figure(5.2 * len(names), 3.7)
    for axes, name in zip(figure.subplots(1, len(names), squeeze=False)[0], names, strict=True):
        _draw_curves(axes, name, curves[name], curves.get(f"val_{name}"))
    return figure


def gradient_flow(
    report_or_history: Report | Sequence[StepStatistics], ax: Axes | None = None
) -> Figure:
    """Draw the gradient of each layer, from input to output, on a logarithmic scale.

    The gradient is the root mean square over the layer's weights. There is a line for the first
    step and one for the last; the band between the smallest and the largest of all steps lies
    behind them. A gradient of exactly 0 is marked at the bottom, one that is infinite or NaN in any
    step at the top. Of a report, the names of layers that are not healthy are red, and there is one
    more line: the last step with the best remedy, for the layers that it leaves in the net.

    Args:
        report_or_history: What ``fnn.health.diagnose`` returned, of which the untreated net is
            drawn; or statistics of steps.
        ax: Where to draw; a new figure if None.

    Returns:
        The figure: a new one that is registered nowhere (write it with ``figure.savefig(path)``),
        or that of ``ax``.

    Raises:
        ImportError: matplotlib is not installed.
        TypeError: it is neither a report nor statistics of steps.
        ValueError: no step shows a gradient.
    """
    from fastnn.health.figures import is_nonfinite, series, trained_names
    from fastnn.health.report import Report
    from fastnn.health.words import shortened
    from fastnn.statistics import StepStatistics

    given = report_or_history
    steps = given.untreated.steps if isinstance(given, Report) else list(given)
    for step in steps:
        if not isinstance(step, StepStatistics):
            raise TypeError(
                f"gradient_flow: wanted a Report or StepStatistics, got {type(step).__name__}"
            )
    names = trained_names(steps)
    if not names:
        raise ValueError("gradient_flow: no step shows a gradient")
    ill = set()
    if isinstance(given, Report):
        ill = {layer.name for layer in given.layers if layer.verdict != "healthy"}
    layers = [series(steps, name) for name in names]
    gradients = np.array([[seen.gradient_rms for seen in layer] for layer in layers])
    lost = np.array([any(map(is_nonfinite, layer)) for layer in layers])

    if ax is None:
        ax = new_figure(min(max(5.2, 0.42 * len(names)), 16), 3.9).subplots()
    _draw_gradients(ax, gradients, lost, [step.step for step in steps])
    best = given.best if isinstance(given, Report) else None
    if best is not None and best.trial is not None and best.trial.steps:
        treated = best.trial.steps[-1].layers
        after = [treated[name].gradient_rms if name in treated else np.nan for name in names]
        _draw_treated(ax, np.array(after, np.float64), f"with {shortened(best.name, 30)}")
    labels = [shortened(name, 20) for name in names]
    ax.set_xticks(range(len(names)), labels, rotation=90 if len(names) > 4 else 0)
    for tick, name in zip(ax.get_xticklabels(), names, strict=True):
        tick.set_color(WRONG if name in ill else FAINT)
    return cast("Figure", ax.figure)


def learning_rate(result: LearningRates, ax: Axes | None = None) -> Figure:
    """Draw the loss over the learning rate, with the suggestion marked.

    Args:
        result: What ``fastnn.health.find_learning_rate`` returned.
        ax: Axes of matplotlib to draw on; by default those of a new figure.

    Returns:
        The figure that the axes are in. A new one is registered nowhere: write it with
        ``figure.savefig(path)``.

    Raises:
        ImportError: matplotlib is not installed.
        ValueError: not one step was finite.
    """
    if not len(result.rates):
        raise ValueError("learning_rate: the loss was not finite from the first step on")
    axes = new_figure(5.6, 3.7).subplots() if ax is None else ax
    axes.plot(result.rates, result.losses, color=OTHER, linewidth=1, label="loss of a batch")
    axes.plot(result.rates, result.smoothed, color=RIGHT, linewidth=1.8, label="smoothed")
    if not np.isnan(result.suggestion):
        label = f"suggestion: {result.suggestion:.2g}"
        axes.axvline(result.suggestion, color=UNSEEN, linewidth=1.8, linestyle="--", label=label)
    axes.set_xscale("log")
    # What explodes at the end would press all else flat.
    low = float(result.smoothed.min())
    fall = float(result.smoothed[: int(np.argmin(result.smoothed)) + 1].max()) - low
    axes.set_ylim(low - 0.5 * (fall or 1.0), low + 2.0 * (fall or 1.0))
    axes.set_title("loss", color=TEXT, fontsize=12, fontweight="bold", loc="left")
    axes.set_xlabel("learning rate", color=FAINT)
    tidy(axes)
    return cast("Figure", axes.figure)


def _draw_curves(
    axes: Axes, name: str, training: Sequence[float], validation: Sequence[float] | None
) -> None:
    from matplotlib.ticker import MaxNLocator

    epochs = range(1, len(training) + 1)
    marker = "o" if len(training) == 1 else None
    axes.plot(epochs, training, color=RIGHT, linewidth=1.8, marker=marker, label="training")
    if validation:
        best = int(np.argmax(validation) if "acc" in name else np.argmin(validation))
        axes.plot(
            epochs,
            validation,
            color=UNSEEN,
            linewidth=1.8,
            marker="o",
            markevery=[best],
            label=f"validation (best: {validation[best]:.4g}, epoch {best + 1})",
        )
    axes.set_title(name.replace("_", " "), color=TEXT, fontsize=12, fontweight="bold", loc="left")
    axes.set_xlabel("epoch", color=FAINT)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.margins(y=0.08)
    tidy(axes)


def _draw_treated(axes: Axes, after: NDArray[Any], label: str) -> None:
    """``after`` (layers,): NaN where a layer is not there any more."""
    shown = np.where(np.isfinite(after) & (after > 0), after, np.nan)
    if np.isnan(shown).all():
        return
    axes.plot(
        np.arange(len(shown)), shown, color=GOOD, linewidth=1.8, marker="s", markersize=4,
        label=label,
    )  # fmt: skip
    low, high = axes.get_ylim()
    axes.set_ylim(min(low, 0.5 * np.nanmin(shown)), max(high, 2 * np.nanmax(shown)))
    axes.legend(frameon=False)


def _draw_gradients(
    axes: Axes, gradients: NDArray[Any], lost: NDArray[Any], numbers: Sequence[int]
) -> None:
    """``gradients`` (layers, steps); ``lost`` (layers,) are not finite in some step.

    ``numbers`` are the steps'.
    """
    # A logarithmic scale has no place for the others.
    shown = np.where(np.isfinite(gradients) & (gradients > 0), gradients, np.nan)
    places = np.arange(len(shown))
    low, high = (extreme.reduce(shown, axis=1, initial=np.nan) for extreme in (np.fmin, np.fmax))
    axes.set_yscale("log")
    if np.isfinite(low).any():
        # Two decades at least to each side: noise is not to fill the picture.
        middle = np.sqrt(np.nanmin(low)) * np.sqrt(np.nanmax(high))
        axes.set_ylim(
            min(0.5 * np.nanmin(low), 1e-2 * middle), max(2 * np.nanmax(high), 1e2 * middle)
        )
    axes.fill_between(places, low, high, color=RIGHT, alpha=0.12, linewidth=0, label="all steps")
    drawn = np.flatnonzero(np.isfinite(shown).any(axis=0))
    if len(drawn) > 1:
        axes.plot(
            places,
            shown[:, drawn[0]],
            color=FAINT,
            linewidth=1.5,
            linestyle="--",
            marker=".",
            label=f"step {numbers[drawn[0]]}",
        )
    for last in drawn[-1:]:
        axes.plot(
            places,
            shown[:, last],
            color=RIGHT,
            linewidth=1.8,
            marker="o",
            markersize=4.5,
            label=f"step {numbers[last]}",
        )
    edge = axes.get_xaxis_transform()
    for mask, height, marker, color, label in (
        ((gradients == 0).any(axis=1), 0.0, "v", UNSEEN, "exactly 0"),
        (lost, 1.0, "x", WRONG, "infinite or NaN"),
    ):
        if mask.any():
            axes.plot(
                places[mask],
                np.full(mask.sum(), height),
                marker=marker,
                linestyle="",
                color=color,
                label=label,
                transform=edge,
                clip_on=False,
            )
    axes.set_title("gradient, RMS", color=TEXT, fontsize=12, fontweight="bold", loc="left", pad=24)
    axes.set_xlabel("layers, from input to output", color=FAINT)
    axes.grid(axis="y", color=OTHER, alpha=0.5, linewidth=0.7)
    axes.set_axisbelow(True)
    axes.tick_params(colors=FAINT, length=0, which="both")
    for side in ("left", "right", "top"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(OTHER)
    axes.legend(
        loc="lower left",
        bbox_to_anchor=(-0.02, 1.01),
        ncols=4,
        fontsize=8,
        columnspacing=1.2,
        frameon=False,
        labelcolor=TEXT,
    )

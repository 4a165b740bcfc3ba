"""What all figures share: colors, and how they begin."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

RIGHT = "#1f66c1"
WRONG = "#d43d2f"
UNSEEN = "#e0861a"
GOOD = "#2a8c4a"
OTHER = "#c3c8d0"
TEXT = "#30343b"
FAINT = "#858b96"


def new_figure(width: float, height: float) -> Figure:
    """An empty figure; sizes in inches."""
    try:
        from matplotlib.figure import Figure
        from matplotlib.layout_engine import ConstrainedLayoutEngine
    except ImportError as fault:
        raise ImportError("fastnn.plots needs matplotlib: pip install fastnn[plots]") from fault
    layout = ConstrainedLayoutEngine(w_pad=0.12, h_pad=0.09)
    return Figure(figsize=(width, height), dpi=120, layout=layout, facecolor="white")


def tidy(axes: Axes) -> None:
    axes.grid(axis="y", color=OTHER, alpha=0.5, linewidth=0.7)
    axes.set_axisbelow(True)
    axes.tick_params(which="both", colors=FAINT, length=0)
    for side in ("left", "right", "top"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(OTHER)
    axes.legend(frameon=False, labelcolor=TEXT)

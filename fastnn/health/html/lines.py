"""Curves over steps, as SVG that is stretched to its place: x is 0 to 100, y is 0 (top) to 40."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import groupby
from math import isfinite, log10

from fastnn.health.figures import finite
from fastnn.health.html.markup import Markup, element

WIDTH, HEIGHT = 100.0, 40.0

Place = Callable[[float], float]


def chart(*marks: Markup | None, label: str) -> Markup:
    """An image of ``marks``; ``label`` says the same in words."""
    return element(
        "svg",
        element("title", label),
        *marks,
        viewBox=f"0 -1 {WIDTH:g} {HEIGHT + 2:g}",
        preserveAspectRatio="none",
        role="img",
        aria_label=label,
        class_="chart",
    )


def heights(values: Sequence[float], *, log: bool) -> Place:
    """Where a finite value stands, on a scale that holds all ``values`` that are finite."""

    def read(value: float) -> float:
        return log10(max(value, low)) if log else value

    low = min((value for value in finite(values) if value > 0 or not log), default=0.0)
    high = max(finite(values), default=1.0)
    bottom, top = read(low), read(max(high, low))
    if not bottom < top:
        return lambda value: HEIGHT / 2
    # Halves, since the difference of two finite numbers may not be finite.
    span = top / 2 - bottom / 2
    return lambda value: HEIGHT * (1 - (read(value) / 2 - bottom / 2) / span)


def wants_log(values: Sequence[float]) -> bool:
    """Whether a linear scale would show the largest values only."""
    known = finite(values)
    return bool(known) and min(known) > 0 and max(known) > 100 * min(known)


def line(values: Sequence[float], place: Place, length: float, class_: str) -> Markup:
    """A curve through ``values``, broken where they are not finite; ``length`` steps are 100."""
    runs = (
        f"M{'L'.join(f'{x:.2f} {place(values[i]):.2f}' for i, x in run)}"
        + ("h.01" if len(run) == 1 else "")
        for run in _runs([isfinite(value) for value in values], length)
    )
    return element("path", d="".join(runs), class_=class_, vector_effect="non-scaling-stroke")


def band(
    low: Sequence[float], high: Sequence[float], place: Place, length: int, class_: str
) -> Markup:
    """The area between two curves, where both are finite."""
    known = [isfinite(a) and isfinite(b) for a, b in zip(low, high, strict=True)]
    areas = []
    for run in _runs(known, length):
        there = "L".join(f"{x:.2f} {place(high[i]):.2f}" for i, x in run)
        back = "L".join(f"{x:.2f} {place(low[i]):.2f}" for i, x in reversed(run))
        areas.append(f"M{there}L{back}Z")
    return element("path", d="".join(areas), class_=class_)


def level(y: float, class_: str) -> Markup:
    """A horizontal line."""
    return element(
        "path", d=f"M0 {y:.2f}H{WIDTH:g}", class_=class_, vector_effect="non-scaling-stroke"
    )


def _runs(known: Sequence[bool], length: float) -> list[list[tuple[int, float]]]:
    """Indices and x of neighbours that are known."""
    step = WIDTH / max(length - 1, 1)
    runs = groupby(range(len(known)), key=lambda i: known[i])
    return [[(i, i * step) for i in run] for is_known, run in runs if is_known]

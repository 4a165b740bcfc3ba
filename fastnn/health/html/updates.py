"""How far a step moves the weights of each layer, on a logarithmic scale."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from fastnn.health.figures import finite, layer_names, recent, series
from fastnn.health.html.markup import Markup, element, joined, name_label
from fastnn.health.html.numbers import figure, power
from fastnn.health.html.scales import Decades, decades

if TYPE_CHECKING:
    from fastnn.health.report import Report
    from fastnn.statistics import StepStatistics

_RULE = -3
"""The exponent of the usual size (Karpathy, "CS231n: Neural networks part 3", 2015)."""


def update_ratios(report: Report) -> Markup | None:
    """A row for each layer: the range over all steps and where it ends; None without figures."""
    steps = report.untreated.steps
    ratios = {
        name: finite([seen.update_ratio for seen in series(steps, name)])
        for name in layer_names(steps)
    }
    ratios = {name: values for name, values in ratios.items() if values}
    if not ratios:
        return None
    scale = decades([10.0**_RULE, *(value for values in ratios.values() for value in values)])
    ill = {layer.name for layer in report.layers if layer.verdict != "healthy"}
    rows = (_row(steps, name, values, scale, name in ill) for name, values in ratios.items())
    ticks = (
        element("span", power(exponent), style=f"left:{_left(scale, exponent):.2f}%")
        for exponent in scale.ticks(at_most=6)
    )
    return joined(
        element(
            "p",
            "The bar is the range over all steps, the dot the end. The dashed line marks "
            f"{power(_RULE)}, a usual size; a layer that moves by less than a hundredth of it "
            "hardly learns.",
            class_="note",
        ),
        element(
            "table",
            element(
                "thead",
                element(
                    "tr",
                    element("th", "layer", scope="col"),
                    element("th", element("div", *ticks, class_="ticks"), scope="col"),
                    element("th", "at the end", scope="col"),
                ),
            ),
            element("tbody", *rows),
            class_="ratios",
        ),
    )


def _left(scale: Decades, exponent: float) -> float:
    return 100 * (exponent - scale.low) / (scale.high - scale.low)


def _row(
    steps: Sequence[StepStatistics], name: str, values: list[float], scale: Decades, ill: bool
) -> Markup:
    last = recent(steps, name)
    assert last is not None
    end = last.update_ratio
    label = f"{name}: from {figure(min(values))} to {figure(max(values))}, at the end {figure(end)}"
    ticks = (
        element("line", x1=x, x2=x, y1="0", y2="100%", class_="rule" if e == _RULE else "grid")
        for e in sorted({*scale.ticks(at_most=6), _RULE})
        for x in [f"{_left(scale, e):.2f}%"]
    )
    return element(
        "tr",
        element("th", name_label(name), scope="row", class_="ill" if ill else None),
        element(
            "td",
            element(
                "svg",
                element("title", label),
                *ticks,
                *_marks(values, end, scale),
                role="img",
                aria_label=label,
            ),
        ),
        element("td", figure(end), class_="number"),
    )


def _marks(values: list[float], end: float, scale: Decades) -> list[Markup]:
    """What stands on the scale: zero has no place on it."""
    positive = [value for value in values if value > 0]
    if not positive:
        return []
    low, high = (f"{100 * scale.place(value):.2f}%" for value in (min(positive), max(positive)))
    marks = [element("line", x1=low, x2=high, y1="50%", y2="50%", class_="range")]
    if 0 < end < float("inf"):
        at = f"{100 * scale.place(end):.2f}%"
        marks.append(element("circle", cx=at, cy="50%", r="4.5", class_="dot"))
    return marks

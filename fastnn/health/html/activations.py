"""Small multiples: mean and deviation of each layer's activations over the steps."""

from __future__ import annotations

from collections.abc import Sequence
from math import copysign, log1p
from typing import TYPE_CHECKING

from fastnn.health.figures import finite, layer_names, middle, recent, series
from fastnn.health.html.lines import Place, band, chart, heights, level, line
from fastnn.health.html.markup import Markup, element, joined, name_label
from fastnn.health.html.numbers import figure, share

if TYPE_CHECKING:
    from fastnn.health.report import Report
    from fastnn.statistics import LayerStatistics, StepStatistics

_UNLIKE = 20
"""Where the largest range is as many times the middle one, the scale is logarithmic."""


def activation_bands(report: Report) -> Markup | None:
    """A small chart for each layer, all on one scale; None if no layer has activations."""
    steps = report.untreated.steps
    layers = {name: series(steps, name) for name in layer_names(steps)}
    layers = {name: layer for name, layer in layers.items() if _range(layer)}
    if not layers:
        return None
    ends = [0.0, *(end for layer in layers.values() for end in _range(layer))]
    place, scale = _scale(ends, middle([max(map(abs, _range(x))) for x in layers.values()]))
    ill = {layer.name for layer in report.layers if layer.verdict != "healthy"}
    return joined(
        element(
            "p",
            "The line is the mean, the band one deviation to each side, the thin line zero. All "
            f"are on one scale{scale}, from {figure(min(ends), 2)} to {figure(max(ends), 2)}.",
            class_="note",
        ),
        element(
            "div",
            *(_card(steps, name, place, name in ill) for name in layers),
            class_="multiples",
        ),
    )


def _scale(ends: list[float], unit: float) -> tuple[Place, str]:
    """Where values stand, and a word for the scale; beyond ``unit`` it may be logarithmic."""
    if not 0 < _UNLIKE * unit < max(map(abs, ends)):
        return heights(ends, log=False), ""

    def bent(value: float) -> float:
        return copysign(log1p(abs(value) / unit), value)

    place = heights([bent(end) for end in ends], log=False)
    return lambda value: place(bent(value)), f", logarithmic beyond {figure(unit, 2)}"


def _range(layer: Sequence[LayerStatistics]) -> list[float]:
    """The ends of the band, in each step that has a finite one."""
    return finite([end for seen in layer for end in _ends(seen)])


def _ends(seen: LayerStatistics) -> tuple[float, float]:
    return seen.mean - seen.deviation, seen.mean + seen.deviation


def _card(steps: Sequence[StepStatistics], name: str, place: Place, ill: bool) -> Markup:
    layer = series(steps, name)
    low, high = zip(*map(_ends, layer), strict=True)
    means = [seen.mean for seen in layer]
    last = recent(steps, name)
    assert last is not None
    now = f"{figure(last.mean, 2)} ± {figure(last.deviation, 2)}"
    shares = {
        "zero": last.zeros, "dead": last.dead, "saturated": last.saturated,
        f"of {last.units} saturated nearly always": last.saturated_units,
    }  # fmt: skip
    facts = [f"{share(value)} {word}" for word, value in shares.items() if value > 0]
    return element(
        "figure",
        element(
            "figcaption",
            element("b", name_label(name), class_="ill" if ill else None),
            element("span", last.activation),
        ),
        chart(
            level(place(0.0), "zero-line"),
            band(low, high, place, len(layer), "band"),
            line(means, place, len(layer), "mean"),
            label=f"{name}: activations over {len(layer)} steps, at the end {now}",
        ),
        element("p", element("b", now), *(element("span", fact) for fact in facts), class_="facts"),
    )

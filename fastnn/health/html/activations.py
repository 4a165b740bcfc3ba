"""Small multiples: mean and deviation of each layer's activations over the steps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from fastnn.health.figures import finite, layer_names, middle, recent, series
from fastnn.health.html.lines import HEIGHT, Place, band, chart, heights, level, line
from fastnn.health.html.markup import Markup, element, joined
from fastnn.health.html.numbers import figure, share

if TYPE_CHECKING:
    from fastnn.health.report import Report
    from fastnn.statistics import LayerStatistics, StepStatistics

_UNLIKE = 20
"""Layers whose ranges differ by more get a scale each: on one, the smaller would be flat."""


def activation_bands(report: Report) -> Markup | None:
    """A small chart for each layer; None if no layer has activations."""
    steps = report.untreated.steps
    layers = {name: series(steps, name) for name in layer_names(steps)}
    layers = {name: layer for name, layer in layers.items() if _range(layer)}
    if not layers:
        return None
    ranges = [_range(layer) for layer in layers.values()]
    sizes = [max(map(abs, values)) for values in ranges]
    common = max(sizes) <= _UNLIKE * middle(sizes)
    ends = [0.0, *(value for values in ranges for value in values)]
    place = heights(ends, log=False)
    note = (
        f"all on one scale, from {figure(min(ends), 2)} to {figure(max(ends), 2)}"
        if common
        else "each on a scale of its own"
    )
    ill = {layer.name for layer in report.layers if layer.verdict != "healthy"}
    cards = (
        _card(
            steps,
            name,
            place if common else heights([0.0, *_range(layer)], log=False),
            name in ill,
        )
        for name, layer in layers.items()
    )
    return joined(
        element(
            "p",
            "The line is the mean, the band one deviation to each side, the thin line zero; "
            f"{note}.",
            class_="note",
        ),
        element("div", *cards, class_="multiples"),
    )


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
    shares = {"zero": last.zeros, "dead": last.dead, "saturated": last.saturated}
    facts = [f"{share(value)} {word}" for word, value in shares.items() if value > 0]
    zero = place(0.0)
    return element(
        "figure",
        element(
            "figcaption",
            element("b", name, title=name, class_="ill" if ill else None),
            element("span", last.activation),
        ),
        chart(
            level(zero, "zero-line") if 0 <= zero <= HEIGHT else None,
            band(low, high, place, len(layer), "band"),
            line(means, place, len(layer), "mean"),
            label=f"{name}: activations over {len(layer)} steps, at the end {now}",
        ),
        element("p", element("b", now), *(element("span", fact) for fact in facts), class_="facts"),
    )

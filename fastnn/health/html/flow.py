"""The heat map: the gradient of each layer in each step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from fastnn.health.figures import (
    finite,
    first_nonfinite,
    is_nonfinite,
    middle,
    recent,
    series,
    trained_names,
)
from fastnn.health.html.markup import Markup, element, joined, name_label
from fastnn.health.html.numbers import MISSING, figure, power, prose, step_span
from fastnn.health.html.scales import VIRIDIS, Decades, colour, columns, decades
from fastnn.health.words import count

if TYPE_CHECKING:
    from fastnn.health.report import Report, Trial
    from fastnn.statistics import LayerStatistics, StepStatistics

_CROWDED = 24
"""Rows are lower in a map of more layers."""


def gradient_flow(report: Report) -> Markup | None:
    """Maps of the untreated net and of its best remedy, on one scale; None if nothing was seen."""
    steps = report.untreated.steps
    if not trained_names(steps):
        return None
    best = next((remedy for remedy in report.remedies if remedy.helped), None)
    cured = best.trial if best else None
    maps = [("As it is", report.untreated)]
    if best and cured and trained_names(cured.steps):
        maps.append((f"With the first remedy: {prose(best.change)}", cured))
    scale = decades([rms for _, trial in maps for rms in _all_rms(trial)])
    ill = {layer.name for layer in report.layers if layer.verdict != "healthy"}
    return joined(
        _legend(scale),
        element(
            "div",
            *(
                _map(title, trial, scale, ill if i == 0 else set())
                for i, (title, trial) in enumerate(maps)
            ),
            class_="maps",
        ),
    )


def _all_rms(trial: Trial) -> list[float]:
    return [layer.gradient_rms for step in trial.steps for layer in step.layers.values()]


def _map(title: str, trial: Trial, scale: Decades, ill: set[str]) -> Markup:
    names = trained_names(trial.steps)
    rows = (_row(trial.steps, name, scale, name in ill) for name in names)
    first, last = trial.steps[0].step, trial.steps[-1].step
    axis = element("span", f"step {first}"), element("span", str(last)) if last > first else None
    return element(
        "figure",
        element("figcaption", title),
        element(
            "table",
            element(
                "thead",
                element(
                    "tr",
                    element("th", "layer", scope="col"),
                    element("th", element("div", *axis, class_="ends"), scope="col"),
                    element("th", "at the end", scope="col"),
                ),
            ),
            element("tbody", *rows),
            class_="heat crowded" if len(names) > _CROWDED else "heat",
        ),
    )


def _row(steps: Sequence[StepStatistics], name: str, scale: Decades, ill: bool) -> Markup:
    layers = series(steps, name)
    numbers = [step.step for step in steps]
    groups = list(zip(columns(layers), columns(numbers), strict=True))
    cells = (_cell(x, group, span, scale) for x, (group, span) in enumerate(groups))
    values = finite([layer.gradient_rms for layer in layers])
    lost = first_nonfinite(steps, name)
    spread = f"from {figure(min(values))} to {figure(max(values))}" if values else "no figures"
    warning = f"; not finite in step {lost}" if lost is not None else ""
    seen = recent(steps, name)
    end = figure(seen.gradient_rms) if seen else MISSING
    return element(
        "tr",
        element("th", name_label(name), scope="row", class_="ill" if ill else None),
        element(
            "td",
            element(
                "svg",
                *cells,
                viewBox=f"0 0 {len(groups)} 1",
                preserveAspectRatio="none",
                role="img",
                aria_label=f"{name}: gradient in {count(len(steps), 'step')} {spread}{warning}",
            ),
        ),
        element("td", "not finite" if lost is not None else end, class_="number"),
    )


def _cell(
    x: int, layers: Sequence[LayerStatistics], steps: Sequence[int], scale: Decades
) -> Markup | None:
    """One column of one layer: nothing, without figures. A single NaN shows among others."""
    rms = middle(finite([layer.gradient_rms for layer in layers]))
    lost = any(map(is_nonfinite, layers))
    words = "not finite" if lost else figure(rms)
    title = element("title", f"{layers[0].name}, {step_span(steps)}: {words}")
    box = {"x": x, "y": 0, "width": 1, "height": 1}
    if lost:
        cross = element("path", d=f"M{x} 0L{x + 1} 1M{x} 1L{x + 1} 0", class_="cross")
        return element("g", title, element("rect", class_="lost", **box), cross)
    if rms > 0:
        return element("rect", title, fill=colour(scale.place(rms)), **box)
    if rms == 0:
        line = element("path", d=f"M{x} .5h1", class_="flat")
        return element("g", title, element("rect", class_="zero", **box), line)
    return None


def _legend(scale: Decades) -> Markup:
    ticks = (
        element(
            "span",
            power(exponent),
            style=f"left:{100 * (exponent - scale.low) / (scale.high - scale.low):.2f}%",
        )
        for exponent in scale.ticks(at_most=6)
    )
    return element(
        "div",
        element("span", "Gradient, RMS", class_="what"),
        element(
            "div",
            element(
                "div", class_="ramp", style=f"background:linear-gradient(90deg,{','.join(VIRIDIS)})"
            ),
            element("div", *ticks, class_="ticks", aria_hidden="true"),
            class_="scale",
            role="img",
            aria_label=f"Colours from {power(scale.low)}, dark, to {power(scale.high)}, bright",
        ),
        element("span", element("i", class_="zero"), "exactly 0", class_="key"),
        element("span", element("i", class_="lost"), "infinite or NaN", class_="key"),
        class_="legend",
    )

"""The table of layers, with verdicts, causes and figures."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastnn.health.figures import recent
from fastnn.health.html.markup import Markup, element, joined
from fastnn.health.html.numbers import MISSING, figure, prose, share
from fastnn.health.words import count, with_new_causes

if TYPE_CHECKING:
    from fastnn.health.report import LayerReport, Report

_COLUMNS = (
    "Gradient, RMS", "Update / weight", "Activations", "Zero", "Dead", "Saturated",
)  # fmt: skip


_IN_TABLE = {
    "gradient", "gradient_norm", "update_ratio", "mean", "deviation", "zeros", "dead", "saturated",
}  # fmt: skip
"""Figures that have a column."""


def layer_table(report: Report) -> Markup | None:
    """A row for each layer and one for the cause of each that is not healthy; None if there are
    none."""
    if not report.layers:
        return None
    names = ("Layer", "Verdict", *_COLUMNS)
    head = element("thead", element("tr", *(element("th", name, scope="col") for name in names)))
    told = with_new_causes(report.layers)
    rows = (_rows(report, layer, i in told) for i, layer in enumerate(report.layers))
    return element("table", head, element("tbody", *rows), class_="layers")


def chip(verdict: str) -> Markup:
    """A verdict, marked by form as well as by colour."""
    good = verdict == "healthy"
    mark = element("span", "✓" if good else "!", class_="mark", aria_hidden="true")
    return element(
        "span", mark, verdict.replace("_", " "), class_="chip good" if good else "chip bad"
    )


def _rows(report: Report, layer: LayerReport, tell: bool) -> Markup:
    ill = layer.verdict != "healthy"
    name = joined(
        element("b", layer.name, class_="name"), " ", element("span", layer.kind, class_="kind")
    )
    row = element(
        "tr",
        element("th", name, scope="row"),
        element("td", chip(layer.verdict), class_="verdict"),
        *(
            element("td", text, class_="number", data_label=label)
            for label, text in zip(_COLUMNS, _figures(report, layer.name), strict=True)
        ),
    )
    figures = [
        f"{key.replace('_', ' ')} {figure(x)}"
        for key, x in layer.figures.items()
        if key not in _IN_TABLE
    ]
    seen = recent(report.untreated.steps, layer.name)
    if seen and seen.nonfinite:
        figures.append(f"{count(seen.nonfinite, 'number')} infinite or NaN")
    evidence = " · ".join(figures)
    if not ill or not (layer.cause or evidence):
        return row
    cause = layer.cause if tell or not layer.cause else "As above."
    why = joined(
        element("p", prose(cause)) if cause else None,
        element("p", evidence, class_="evidence") if evidence else None,
    )
    cell = element("td", element("div", why), colspan=2 + len(_COLUMNS))
    return joined(row, element("tr", cell, class_="why"))


def _figures(report: Report, name: str) -> list[str]:
    seen = recent(report.untreated.steps, name)
    if seen is None:
        return [MISSING] * len(_COLUMNS)
    activations = f"{figure(seen.mean, 2)} ± {figure(seen.deviation, 2)}"
    return [
        figure(seen.gradient_rms),
        figure(seen.update_ratio),
        MISSING if activations == f"{MISSING} ± {MISSING}" else activations,
        share(seen.zeros),
        share(seen.dead),
        share(seen.saturated),
    ]

"""The head of the page: the verdict, its cause, and what to do."""

from __future__ import annotations

from math import isnan
from typing import TYPE_CHECKING

from fastnn.health.html.layers import chip
from fastnn.health.html.markup import Markup, element
from fastnn.health.html.numbers import figure, prose, share
from fastnn.health.html.remedies import effects
from fastnn.health.report import LEARNS
from fastnn.health.words import count, headline, sentence, usage

if TYPE_CHECKING:
    from fastnn.health.report import Report


def banner(report: Report) -> Markup:
    """The verdict in words, the figures that it rests on, and the first remedy."""
    name = f"Gradient health of {report.model_name}" if report.model_name else "Gradient health"
    error = report.untreated.error
    return element(
        "header",
        element("p", element("span", name), chip(report.verdict), class_="eyebrow"),
        element("h1", headline(report)),
        element("p", prose(sentence(report.cause)), class_="cause") if report.cause else None,
        element("p", f"Training broke off: {error}", class_="error") if error else None,
        element("dl", *_facts(report), class_="tiles"),
        _advice(report),
        class_="banner",
    )


def _facts(report: Report) -> list[Markup]:
    trial = report.untreated
    ill = sum(layer.verdict != "healthy" for layer in report.layers)
    batches = f", in batches of {trial.batch_size:,}" if trial.batch_size else ""
    facts = [
        ("Layers that are not healthy", f"{ill} of {len(report.layers)}", True),
        (
            "Gradient of the first layer, by the last's",
            figure(trial.gradient_ratio),
            not isnan(trial.gradient_ratio),
        ),
        ("Loss at the end", figure(trial.loss, 4), not isnan(trial.loss)),
        ("Accuracy at the end", share(trial.accuracy), not isnan(trial.accuracy)),
        ("R2 at the end", figure(trial.r2), not isnan(trial.r2)),
        ("What the illness costs", share(report.cost), bool(report.illness)),
        (f"Trained for{batches}", count(len(trial.losses), "step"), True),
    ]
    return [
        element("div", element("dt", label), element("dd", text))
        for label, text, known in facts
        if known
    ]


def _advice(report: Report) -> Markup | None:
    """How to use the first remedy that helped."""
    best = report.best
    if best is None:
        if report.verdict in LEARNS or not report.remedies:
            return None
        return element("p", "No remedy that was tried helped.", class_="advice")
    place = report.remedies.index(best)
    found = effects(report.untreated, best.trial) if best.trial else []
    # "R2" is a name, "Accuracy" a word.
    effect = ", ".join(
        f"{label if label.isupper() else label.lower()} {text}" for label, text in found
    )
    return element(
        "div",
        element("p", "What helps most", class_="eyebrow"),
        element("p", prose(best.change), class_="what"),
        element("p", f"Measured on this data: {effect}.") if effect else None,
        element("code", "\n".join(usage(best, place))),
        class_="advice",
    )

"""The report as one page. A file for each part of it; their frame and style are ``page.html``."""

from __future__ import annotations

from pathlib import Path
from string import Template
from typing import TYPE_CHECKING

from fastnn._version import __version__
from fastnn.health.figures import RECENT
from fastnn.health.html.activations import activation_bands
from fastnn.health.html.banner import banner
from fastnn.health.html.flow import gradient_flow
from fastnn.health.html.layers import layer_table
from fastnn.health.html.markup import Markup, element, joined
from fastnn.health.html.remedies import remedy_cards
from fastnn.health.html.updates import update_ratios
from fastnn.health.words import headline

if TYPE_CHECKING:
    from fastnn.health.report import Report


def report_page(report: Report) -> str:
    """The whole page."""
    name = f" of {report.model_name}" if report.model_name else ""
    sections = (
        _section(
            "Gradient flow",
            "From the loss, at the bottom, gradients flow back to the input, at the top. In a net "
            "that learns, all layers get gradients of about one size.",
            gradient_flow(report),
        ),
        _section(
            "Activations",
            "What each layer gives to the next.",
            activation_bands(report),
        ),
        _section(
            "Updates",
            "How long a step is by the weights that it changes.",
            update_ratios(report),
        ),
        _section("Layers", f"Medians of the last {RECENT} steps seen.", layer_table(report)),
        _section(
            "Remedies",
            "Tried on copies of the model, on the same rows: the best on as many as the untreated "
            "net saw, the others on a part of them.",
            remedy_cards(report),
        ),
    )
    return Template(Path(__file__).with_name("page.html").read_text("utf-8")).substitute(
        title=joined(f"{headline(report)}: gradient health{name}"),
        banner=banner(report),
        sections=joined(*sections),
        version=joined(__version__),
    )


def _section(title: str, lead: str, content: Markup | None) -> Markup | None:
    if content is None:
        return None
    return element(
        "section",
        element("h2", title, id=title.lower().replace(" ", "-")),
        element("p", lead, class_="lead"),
        content,
    )

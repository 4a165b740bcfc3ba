"""What was tried, each with its loss beside the untreated net's."""

from __future__ import annotations

from math import isnan
from typing import TYPE_CHECKING

from fastnn.health.figures import finite
from fastnn.health.html.lines import chart, heights, line, wants_log
from fastnn.health.html.markup import Markup, element, joined
from fastnn.health.html.numbers import change, figure, prose, share
from fastnn.health.words import combined, is_longer, length, usage

if TYPE_CHECKING:
    from fastnn.health.report import Remedy, Report, Trial

_HELPED = "Helped, recommended first"


def remedy_cards(report: Report) -> Markup | None:
    """Those that helped, then those that did not; None if there are none."""
    if not report.remedies:
        return None
    groups = {_HELPED: [], "Tried and useless": [], "Not tried": []}  # type: dict[str, list[Markup]]
    for i, remedy in enumerate(report.remedies):
        title = "Tried and useless" if remedy.trial else "Not tried"
        if remedy.helped:
            title = _HELPED
        rank = len(groups[title]) + 1 if remedy.helped else None
        groups[title].append(_card(report.untreated, remedy, i, rank))
    legend = element(
        "p",
        element("i", class_="swatch treated"),
        "with the remedy ",
        element("i", class_="swatch untreated"),
        "untreated",
        class_="note keys",
    )
    return joined(
        legend,
        *(
            joined(element("h3", title), element("div", *cards, class_="cards"))
            for title, cards in groups.items()
            if cards
        ),
    )


def effects(before: Trial, after: Trial) -> list[tuple[str, str]]:
    """Name and change of each figure that is known."""
    found = [("Loss", change(figure(before.loss, 4), figure(after.loss, 4)))]
    if not isnan(after.accuracy):
        found.append(("Accuracy", change(share(before.accuracy), share(after.accuracy))))
    if not isnan(after.r2):
        found.append(("R2", change(figure(before.r2), figure(after.r2))))
    if not isnan(after.gradient_ratio):
        ratios = change(figure(before.gradient_ratio), figure(after.gradient_ratio))
        found.append(("First/last gradient", ratios))
    return found


def _card(untreated: Trial, remedy: Remedy, place: int, rank: int | None) -> Markup:
    name = combined(remedy.name.replace("_", " "))
    trial = remedy.trial
    return element(
        "article",
        element(
            "header",
            element("span", str(rank), class_="rank") if rank else None,
            element("h4", prose(remedy.change)),
            element("span", name, class_="kind"),
        ),
        _outcome(untreated, trial) if trial else None,
        element("code", "\n".join(usage(remedy, place))) if remedy.helped else None,
        class_="helped" if remedy.helped else None,
    )


def _outcome(untreated: Trial, trial: Trial) -> Markup:
    if trial.error:
        words = f"Broke off after {length(trial)}: {trial.error}"
        result = element("p", words, class_="error")
    else:
        pairs = (
            element("div", element("dt", name), element("dd", text))
            for name, text in effects(untreated, trial)
        )
        result = element("dl", *pairs)
        if is_longer(trial, untreated):
            words = f"After {length(trial)}; untreated after {length(untreated)}"
            result = joined(result, element("p", words, class_="note"))
    return joined(_curves(untreated, trial), result)


def _curves(untreated: Trial, trial: Trial) -> Markup | None:
    losses = finite([*untreated.losses, *trial.losses])
    if not losses:
        return None
    log = wants_log(losses)
    place = heights(losses, log=log)
    # Where batches differ in size, curves over rows can be compared, over steps they can't.
    sizes = [untreated.batch_size, trial.batch_size]
    if not all(sizes):
        sizes = [1, 1]
    rows = max(len(untreated.losses) * sizes[0], len(trial.losses) * sizes[1])
    label = f"Loss of each step's batch: {_course(trial)}; untreated {_course(untreated)}"
    return element(
        "div",
        element(
            "div",
            element("span", figure(max(losses))),
            element("span", "loss, log" if log else "loss", class_="what"),
            element("span", figure(min(losses))),
            class_="axis",
            aria_hidden="true",
        ),
        chart(
            line(untreated.losses, place, rows / sizes[0], "untreated"),
            line(trial.losses, place, rows / sizes[1], "treated"),
            label=label,
        ),
        class_="curves",
    )


def _course(trial: Trial) -> str:
    if not trial.losses:
        return "none"
    return f"from {figure(trial.losses[0])} to {figure(trial.losses[-1])} in {length(trial)}"

"""The report that ``print`` shows: plain ASCII but for names, in 80 columns."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import groupby
from math import isnan
from textwrap import wrap
from typing import TYPE_CHECKING

from fastnn.health.figures import RECENT, recent
from fastnn.health.report import LEARNS
from fastnn.health.words import (
    combined,
    count,
    is_longer,
    length,
    number,
    percent,
    shortened,
    told,
    usage,
    with_new_causes,
)

if TYPE_CHECKING:
    from fastnn.health.report import LayerReport, Remedy, Report, Trial

WIDTH = 80

MAX_ROWS = 24
"""Of nets with more layers, the middle is left out."""

_GAP = "  "
_HEADER = (
    ("Layer", ""),
    ("Kind", ""),
    ("Gradient", "RMS"),
    ("Update/", "weight"),
    ("Activations", "mean +- dev."),
    ("Zeros/dead/", "saturated %"),
    ("Verdict", ""),
)
_LEFT = (True, True, False, False, False, False, True)
_MAX_KIND = 10


def report_text(report: Report) -> str:
    """The whole report."""
    parts = [_verdict(report), *([_layers(report)] if report.layers else []), *_remedies(report)]
    return "\n\n".join("\n".join(part) for part in parts)


def _verdict(report: Report) -> list[str]:
    name = f" of {printable(report.model_name)}" if report.model_name else ""
    title = shortened(f"Gradient health{name}", WIDTH - len(report.verdict) - 2)
    trial = report.untreated
    outcome = f"Untreated, after {length(trial)}: {_outcome(trial)}"
    return [
        f"{title}: {printable(report.verdict)}",
        "=" * WIDTH,
        *paragraph(told(report)),
        *paragraph(outcome),
    ]


def _outcome(trial: Trial) -> str:
    parts = []
    if not isnan(trial.loss):
        parts.append(f"loss {number(trial.loss, 4)}")
    if not isnan(trial.accuracy):
        parts.append(f"accuracy {percent(trial.accuracy)} %")
    if not isnan(trial.r2):
        parts.append(f"R2 {number(trial.r2)}")
    if not isnan(trial.gradient_ratio):
        parts.append(f"gradient of the first layer {number(trial.gradient_ratio)} times the last's")
    if trial.error:
        parts.insert(0, f"training broke off ({trial.error})")
    return ", ".join(parts) or "nothing is known"


def _layers(report: Report) -> list[str]:
    """The table. A cause stands below the first of several layers that it is true of."""
    kept = _kept(report.layers)
    table = [_cells(report, report.layers[i]) for i in sorted(kept)]
    widths = _widths([*zip(*_HEADER, strict=True), *table])
    rows = dict(zip(sorted(kept), table, strict=True))
    lines = [f"Layers, {_window(len(report.untreated.steps))}"]
    lines += [_line(row, widths) for row in zip(*_HEADER, strict=True)]
    lines.append("-" * WIDTH)
    told = with_new_causes(report.layers)
    for shown, group in groupby(range(len(report.layers)), key=lambda i: i in kept):
        if not shown:
            lines.append(_left_out([report.layers[i] for i in group]))
            continue
        for i in group:
            lines.append(_line(rows[i], widths))
            if i in told or i - 1 not in kept:
                lines += paragraph(report.layers[i].cause, indent="    ")
    return lines


def _window(steps: int) -> str:
    if steps <= RECENT:
        return f"medians of {count(steps, 'step')}"
    return f"medians of the last {RECENT} of {count(steps, 'step')} seen"


def _kept(layers: Sequence[LayerReport]) -> set[int]:
    """The layers that are shown: all of a short net; of a long one the ends and what ails."""
    n = len(layers)
    if n <= MAX_ROWS:
        return set(range(n))
    end = MAX_ROWS // 4
    middle = range(end, n - end)
    ill = [i for i in middle if layers[i].verdict != "healthy"]
    if len(ill) > 2 * end:
        ill = ill[:end] + ill[-end:]
    return {*range(end), *ill, *range(n - end, n)}


def _left_out(layers: Sequence[LayerReport]) -> str:
    verdicts = Counter(printable(layer.verdict) for layer in layers)
    if len(verdicts) == 1:
        (verdict,) = verdicts
        return f"... {count(len(layers), f'{verdict} layer')} left out ..."
    kinds = ", ".join(f"{n} {verdict}" for verdict, n in verdicts.most_common())
    return shortened(f"... {count(len(layers), 'layer')} left out: {kinds} ...", WIDTH)


def _cells(report: Report, layer: LayerReport) -> tuple[str, ...]:
    seen = recent(report.untreated.steps, layer.name)
    names = (printable(layer.name), printable(layer.kind))
    verdict = printable(layer.verdict)
    if seen is None:
        return (*names, "-", "-", "-", "-", verdict)
    activations = f"{number(seen.mean, 2)} +- {number(seen.deviation, 2)}"
    shares = "/".join(f"{percent(x):>3}" for x in (seen.zeros, seen.dead, seen.saturated))
    return (
        *names,
        number(seen.gradient_rms, missing="NaN" if seen.gradient_size else "-"),
        number(seen.update_ratio),
        "-" if isnan(seen.mean) and isnan(seen.deviation) else activations,
        "-" if shares == "  -/  -/  -" else shares,
        verdict,
    )


def _widths(table: Sequence[Sequence[str]]) -> list[int]:
    """Figures get what they need; names and kinds share what is left."""
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    room = WIDTH - sum(widths[2:]) - len(_GAP) * (len(widths) - 1)
    kind = min(widths[1], _MAX_KIND, max(4, room - widths[0], room // 2))
    return [min(widths[0], room - kind), kind, *widths[2:]]


def _line(cells: Iterable[str], widths: Sequence[int]) -> str:
    name, kind, *rest = cells
    # The end of a name tells layers apart; of a kind, the beginning says most.
    kind = kind if len(kind) <= widths[1] else f"{kind[: widths[1] - 1]}."
    texts = [
        f"{cell:<{width}}" if left else f"{cell:>{width}}"
        for cell, width, left in zip(
            (shortened(name, widths[0]), kind, *rest), widths, _LEFT, strict=True
        )
    ]
    return _GAP.join(texts).rstrip()


def _remedies(report: Report) -> Iterable[list[str]]:
    helpful = [remedy for remedy in report.remedies if remedy.helped]
    useless = [remedy for remedy in report.remedies if not remedy.helped and remedy.trial]
    untried = [remedy for remedy in report.remedies if not remedy.helped and not remedy.trial]
    if helpful:
        lines = ["Remedies that were tried and helped, recommended first"]
        for i, remedy in enumerate(helpful, start=1):
            lines += _item(report.untreated, remedy, f"{i}. ")
        yield lines
        place = report.remedies.index(helpful[0])
        start = "To use the first: "
        first, *more = usage(helpful[0], place)
        yield [start + first, *(" " * len(start) + line for line in more)]
    elif report.verdict not in LEARNS and report.remedies:
        yield ["No remedy helped."]
    if useless:
        yield paragraph(f"Tried and useless: {', '.join(each.name for each in useless)}")
    if untried:
        yield paragraph(f"Not tried: {', '.join(each.name for each in untried)}")


def _item(untreated: Trial, remedy: Remedy, mark: str) -> list[str]:
    lines = paragraph(f"{combined(remedy.name)}: {remedy.change}", indent="   ", first=mark)
    if remedy.trial:
        lines += paragraph(_effect(untreated, remedy.trial), indent="   ")
    return lines


def _effect(before: Trial, after: Trial) -> str:
    """What a remedy changed: a figure of the untreated net, and of the treated one."""
    steps = length(after, after.batch_size != before.batch_size)
    if after.error:
        return f"Broke off after {steps}: {after.error}"
    changes = [f"loss {_change(number(before.loss, 4), number(after.loss, 4))}"]
    if not isnan(after.accuracy):
        changes.append(f"accuracy {_change(percent(before.accuracy), percent(after.accuracy))} %")
    if not isnan(after.r2):
        changes.append(f"R2 {_change(number(before.r2), number(after.r2))}")
    if not isnan(after.gradient_ratio):
        ratios = _change(number(before.gradient_ratio), number(after.gradient_ratio))
        changes.append(f"gradient first/last layer {ratios}")
    beside = f" (untreated: {len(before.losses)})" if is_longer(after, before) else ""
    return f"After {steps}{beside}: {', '.join(changes)}"


def _change(before: str, after: str) -> str:
    return after if before == "-" else f"{before} -> {after}"


def paragraph(text: str, indent: str = "", first: str | None = None) -> list[str]:
    """``text`` in lines of ``WIDTH``."""
    start = indent if first is None else first
    return wrap(
        printable(text),
        WIDTH,
        initial_indent=start,
        subsequent_indent=indent,
        break_on_hyphens=False,
    )


def printable(text: str) -> str:
    """``text`` without what would move the cursor or break a line."""
    return "".join(c if c.isprintable() else " " if c.isspace() else "?" for c in text)

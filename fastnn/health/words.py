"""Verdicts in words and numbers in few characters, for all that is shown of a report."""

from __future__ import annotations

import re
from collections.abc import Sequence
from math import inf, isinf, isnan
from typing import TYPE_CHECKING

from fastnn.verdicts import scientific

if TYPE_CHECKING:
    from fastnn.health.report import LayerReport, Remedy, Report, Trial

HEADLINES = {
    "healthy": "Gradients are healthy",
    "impaired": "It learns, but something is wrong",
    "vanishing": "Gradients vanish",
    "exploding": "Gradients explode",
    "dead": "Units are dead",
    "saturated": "Units are saturated",
    "nonfinite": "Numbers become infinite or NaN",
    "input_scale": "The inputs are badly scaled",
    "target_scale": "The target is badly scaled",
    "learning_rate": "The learning rate does not fit",
    "no_signal": "There is nothing to learn here, or it takes longer",
    "loss_mismatch": "The loss does not fit the outputs",
}

_PLAIN = ("impaired", "input_scale", "target_scale", "no_signal")
"""Verdicts whose cause begins with what the headline says."""

_FIGURE = re.compile(r"[-+]?\d[\d.,]*(e[-+]?\d+)?")


def number(value: float, digits: int = 3, missing: str = "-") -> str:
    """``value`` in ``digits`` significant digits, 8 characters at most for 3; plain ASCII."""
    if isnan(value):
        return missing
    if isinf(value):
        return "inf" if value > 0 else "-inf"
    rounded = abs(float(f"{value:.{digits}g}"))
    if rounded == 0:
        return "0"
    if 1e-2 <= rounded < 1e4:
        return f"{value:.0f}" if rounded >= 10**digits else f"{value:.{digits}g}"
    return scientific(value, max(digits - 2, 0))


def percent(share: float, missing: str = "-") -> str:
    """A share in whole percent, without the sign. Only all is 100, and only nothing is 0."""
    if not -inf < share < inf:
        return missing
    return f"{min(99, max(1, round(100 * share))):d}" if 0 < share < 1 else f"{100 * share:.0f}"


def count(n: int, noun: str) -> str:
    """``"1 layer"``, ``"2 layers"``."""
    return f"{n:,} {noun}{'s' * (n != 1)}"


def length(trial: Trial, wanted: bool = True) -> str:
    """``"100 steps of 32 rows"``; without the rows if they aren't known, or wanted."""
    steps = count(len(trial.losses), "step")
    return f"{steps} of {count(trial.batch_size, 'row')}" if wanted and trial.batch_size else steps


def is_longer(trial: Trial, untreated: Trial) -> bool:
    """Whether it saw more rows than the net that it is compared with."""
    known = trial.batch_size and untreated.batch_size
    ours, theirs = (trial.batch_size, untreated.batch_size) if known else (1, 1)
    return len(trial.losses) * ours > len(untreated.losses) * theirs


def with_new_causes(layers: Sequence[LayerReport]) -> set[int]:
    """Indices of layers whose cause isn't that of the layer before, but for its figures."""
    words = ["", *(_FIGURE.sub("", layer.cause) for layer in layers)]
    return {i for i, cause in enumerate(words[1:]) if cause and cause != words[i]}


def usage(remedy: Remedy, place: int) -> list[str]:
    """Lines of code that use ``report.remedies[place]``; of the best, which is the first."""
    best = place == 0
    lines = ["model = report.cure()" if best else f"model = report.remedies[{place}].apply()"]
    if remedy.fit_arguments:
        whose = "report" if best else f"report.remedies[{place}]"
        lines.append(f"model.fit(x, y, **{whose}.fit_arguments)")
    return lines


def headline(report: Report) -> str:
    """What the verdict says, as a sentence without its full stop."""
    verdict = report.verdict
    words = HEADLINES.get(verdict, verdict)
    ill = {layer.name for layer in report.layers if layer.verdict == verdict}
    seen = report.untreated.steps[-1].layers.values() if report.untreated.steps else ()
    units = next((layer.units for layer in seen if layer.name in ill), "units")
    return words.replace("Units", units.capitalize())


def told(report: Report) -> str:
    """Verdict and cause in sentences; the cause alone where it says the same with figures."""
    words, cause = headline(report), sentence(report.cause)
    if not cause:
        return f"{words}."
    plain = report.verdict in _PLAIN or cause.startswith("The learning rate")
    return cause if plain else f"{words}. {cause}"


def shortened(text: str, width: int) -> str:
    """``text`` in at most ``width`` characters; its ends say more than its middle."""
    if len(text) <= width:
        return text
    tail = (width - 2) // 2
    return f"{text[: width - 2 - tail]}..{text[len(text) - tail :]}"


def sentence(words: str) -> str:
    """With a capital at its beginning."""
    return words[:1].upper() + words[1:]


def combined(name: str) -> str:
    """A combination's name, so that a line can break in it: "a + b"."""
    return name.replace("+", " + ")

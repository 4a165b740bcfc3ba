"""From what a trial showed to a verdict: whether the net learns, and if not, the cause that comes
first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite

from fastnn.health.report import LayerReport, Trial
from fastnn.layers.base import Layer
from fastnn.verdicts import Finding, Thresholds, findings

LEARNS = 0.3
"""A trial has learned if it got so much of what there is to learn; see ``Trial.learned``."""

_BEGINNING = 2
"""Steps that show the net as it was made, before its training could spoil it."""

_SILENT = 0.98
"""At the beginning, a rectifying layer with so many zeros is dead."""


@dataclass(frozen=True)
class Suspicion:
    """What is wrong with a net before it is tried.

    Attributes:
        verdict: "loss_mismatch" or "input_scale".
        cause: In words.
    """

    verdict: str
    cause: str


def judge(
    trial: Trial, suspicions: Sequence[Suspicion], thresholds: Thresholds | None = None
) -> tuple[str, str]:
    """The verdict and its cause.

    Whether the net learns is seen from its trial. If it does not, the cause that comes first is
    named: what is wrong before any step; then what is wrong in the first steps, which show the
    net as it was made; only then what training made of it, which is the learning rate's doing.
    """
    if trial.error is None and trial.learned >= LEARNS:
        return "healthy", ""
    for suspicion in suspicions:
        return suspicion.verdict, suspicion.cause
    first = findings(trial.steps[:_BEGINNING], thresholds)
    first += _silent(trial)
    structural = [finding for finding in first if finding.verdict != "learning_rate"]
    if structural:
        return _most(structural)
    if trial.error is not None and len(trial.losses) <= _BEGINNING:
        return "nonfinite", trial.error
    if trial.error is not None:
        return (
            "learning_rate",
            f"the first gradients are sound, but after {len(trial.losses)} steps training broke "
            f"off: {trial.error}",
        )
    later = findings(trial.steps, thresholds)
    steps = [finding for finding in first + later if finding.verdict == "learning_rate"]
    spoiled = [finding for finding in later if finding.verdict != "learning_rate"]
    if spoiled:
        verdict, words = _most(spoiled)
        if steps and max(f.figures.get("update_ratio", 0.0) for f in steps) >= 1e-2:
            words = f"the first gradients are sound, but steps are too large: {steps[0].layer!r}, "
            return "learning_rate", words + f"{steps[0].words}; then {verdict}"
        return verdict, words
    if steps:
        return _most(steps)
    return "learning_rate", _slow(trial)


def judge_layers(
    trial: Trial, layers: Sequence[Layer], thresholds: Thresholds | None = None
) -> tuple[LayerReport, ...]:
    """Of each layer with figures: what is wrong with it at the end, or else in the beginning."""
    found = {finding.layer: finding for finding in _silent(trial)}
    found |= {finding.layer: finding for finding in findings(trial.steps[:_BEGINNING], thresholds)}
    found |= {finding.layer: finding for finding in findings(trial.steps, thresholds)}
    kinds = {layer.name: type(layer).__name__ for layer in layers}
    reports = []
    for name, last in trial.steps[-1].layers.items() if trial.steps else ():
        finding = found.get(name)
        figures = {
            "gradient_norm": last.gradient_norm, "update_ratio": last.update_ratio,
            "mean": last.mean, "deviation": last.deviation, "zeros": last.zeros,
            "dead": last.dead, "saturated": last.saturated,
        }  # fmt: skip
        known = {key: value for key, value in figures.items() if isfinite(value)}
        if finding is None:
            reports.append(LayerReport(name, kinds.get(name, ""), "healthy", "", known))
        else:
            reports.append(
                LayerReport(
                    name,
                    kinds.get(name, ""),
                    finding.verdict,
                    finding.words,
                    known | finding.figures,
                )  # fmt: skip
            )
    return tuple(reports)


def _silent(trial: Trial) -> list[Finding]:
    """Rectifying layers that give next to nothing from the beginning."""
    if not trial.steps:
        return []
    return [
        Finding(
            name, "dead", f"{layer.zeros:.0%} of its outputs are 0 from the first step on",
            {"zeros": layer.zeros},
        )
        for name, layer in trial.steps[0].layers.items()
        if layer.activation in ("relu", "relu_general") and layer.zeros >= _SILENT
    ]  # fmt: skip


_RANK = ("nonfinite", "dead", "saturated", "exploding", "vanishing", "learning_rate")


def _most(found: Sequence[Finding]) -> tuple[str, str]:
    """The verdict that comes first, with the words of the first layer that it is about."""
    counts = Counter(finding.verdict for finding in found)
    verdict = min(counts, key=_RANK.index)
    first = next(finding for finding in found if finding.verdict == verdict)
    others = counts[verdict] - 1
    more = f", and {others} more layers likewise" if others > 1 else ""
    more = ", and one more layer likewise" if others == 1 else more
    return verdict, f"layer {first.layer!r}: {first.words}{more}"


def _slow(trial: Trial) -> str:
    learned = f"{trial.learned:.0%} of what there is to learn after {len(trial.losses)} steps"
    return f"gradients are sound in all layers, but the net learns slowly: {learned}"

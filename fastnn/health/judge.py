"""From what a trial showed to a verdict: whether the net learns, and if not, the cause that comes
first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite, sqrt
from statistics import fmean

from fastnn.health.report import LayerReport, Progress, Trial
from fastnn.layers.base import Layer
from fastnn.verdicts import Finding, Thresholds, findings

_STAGES = (1, 4, 16, 32)
"""A net is looked at after a trial and, if it is in doubt then whether it learns, after so many
times its steps: some stand still for a thousand steps, and learn then."""

_BATCH_SIZE = 32
"""With larger batches a net gets no more rows in all than with these: what it learns from more than
an epoch or two comes too late."""

NOTHING = 0.05
"""Where a sound net has learned less, there is little to learn, or more steps would be needed."""

_CHEAP = 2**32
"""Multiplications: a second or two, with those of the sound nets."""

_LATE = (14, 15)
"""Sixteenths of all steps after which a net is looked at, too, that costs little. What one net has
learned after a step or ten more differs by some per cent, if its steps are long or its table small:
the mean of three looks tells what it comes to."""

FOLDS = 5
"""Where a net that costs little is near the limit, it is tried with up to so many parts of the rows
held out, in other orders."""

_DOUBT = 0.1
"""What a net comes to on one fold, by what a sound one does, may be so far from what it comes to on
others: two standard deviations. The mean of n folds, so far by the root of n."""

_UNLUCKY = 0.3
"""Where steps are too long or units die, one training of several may fail by chance: a net that
comes to so much of what a sound one does is tried twice before it is said not to learn."""

_LAST = 0.8
"""Looks after this share of the steps count."""

_NOISE = 0.04
"""By so much less than a sound net, nets learn that are as good."""

_NOISE_OF_MEANS = 0.03
"""Likewise, of means of several looks."""

_FALLING = 0.3
"""A loss that fell by this share since the last look may come down in time: the target of a
regression may lie far from where a net's outputs begin."""

_LOST = 1e-5
"""A layer's gradient, as a share of the largest behind it, that no optimizer makes up for."""

_SILENT = 0.98
"""In the first step, a rectifying layer with so many zeros is dead."""

_RANK = ("nonfinite", "dead", "saturated", "exploding", "vanishing", "learning_rate")


@dataclass(frozen=True)
class Suspicion:
    """What seems wrong with a net before it is tried.

    Attributes:
        verdict: "loss_mismatch", "input_scale" or "target_scale".
        cause: In words.
    """

    verdict: str
    cause: str


def stages(steps: int, batch_size: int, cheap: bool = False) -> tuple[int, ...]:
    """After how many steps to look at a net whose trial has ``steps``; fewer where it is clear.

    Args:
        cheap: It is seen to the end, and more often there.
    """
    *factors, last = _STAGES
    end = min(last * steps, last * steps * _BATCH_SIZE // batch_size)
    early = [factor * steps for factor in factors if factor <= 4 or factor * steps < end]
    end = max(end, early[-1])
    late = {end * part // 16 for part in _LATE} if cheap else set()
    return tuple(sorted({*early, *late, end}))


def is_cheap(work: int, steps: int, batch_size: int) -> bool:
    """Whether a net of so many multiplications for a row can be seen to the end in no time."""
    return work * batch_size * stages(steps, batch_size)[-1] <= _CHEAP


def learns(
    progress: Sequence[Progress], last: bool, thresholds: Thresholds, cheap: bool = False,
    numbers: bool = False, folds: Sequence[Sequence[Progress]] = (),
) -> bool | None:  # fmt: skip
    """Whether a net learns, by what it has learned so far; None if one must see more of it.

    Args:
        last: There is no more to see.
        cheap: It costs nothing to see it to the end.
        numbers: It is a regression.
        folds: What it has learned with other rows held out: then the mean counts.
    """
    if any(each[-1].failed for each in (progress, *folds)):
        return False
    if cheap and not last:
        return None
    kept, reference = lasting(progress, *folds)
    behind = reference - kept
    if reference < NOTHING:
        return True if last else None  # nobody can learn that, or not yet
    share = kept / reference
    if share >= thresholds.learned_surely:
        return True
    if cheap:
        return share >= _asked(thresholds, numbers) or behind < _NOISE_OF_MEANS
    if last:
        return share >= thresholds.learned or behind < _NOISE
    hopeless = len(progress) > 1 and share < thresholds.hopeless and behind >= _NOISE
    return False if hopeless and not _falls(progress) else None


def is_near(
    folds: Sequence[Sequence[Progress]], thresholds: Thresholds, numbers: bool = False
) -> bool:
    """Whether one more fold of the rows may give another verdict on a net seen to the end."""
    if any(progress[-1].failed for progress in folds):
        return False
    kept, reference = lasting(*folds)
    if reference < NOTHING or kept >= thresholds.learned_surely * reference:
        return False
    ahead = kept / reference - _asked(thresholds, numbers)
    if len(folds) == 1 and ahead < 0:
        return kept >= _UNLUCKY * reference
    return abs(ahead) < _DOUBT / sqrt(len(folds))


def _asked(thresholds: Thresholds, numbers: bool) -> float:
    return thresholds.learned_numbers if numbers else thresholds.learned_classes


def lasting(*folds: Sequence[Progress]) -> tuple[float, float]:
    """What a net and the best of the sound ones have learned, means of the looks in the last fifth
    of the steps; of the net, what it had at the look before if that is more, for overfitting is no
    failure to learn. A net that has lost more than half of it has not. Of several folds, the
    means."""
    kept = []
    for progress in folds:
        now, _ = final(progress)
        before = [each.learned for each in progress if each.steps <= _LAST * progress[-1].steps]
        kept.append(max([now, *(each for each in before[-1:] if each <= 2 * now)]))
    return fmean(kept), final(*folds)[1]


def final(*folds: Sequence[Progress]) -> tuple[float, float]:
    """Likewise, whatever the net had before."""
    own, sound = [], []
    for progress in folds:
        late = [each for each in progress if each.steps > _LAST * progress[-1].steps]
        own.append(fmean(each.learned for each in late))
        sound.append([fmean(net) for net in zip(*(each.sound for each in late), strict=True)])
    # The best in the mean: at each look and fold the best would be the luckiest.
    return fmean(own), max(fmean(net) for net in zip(*sound, strict=True))


def _falls(progress: Sequence[Progress]) -> bool:
    """Whether the loss still falls, though it is above that of a constant, or hardly below it."""
    before, now = progress[-2:]
    return now.loss < before.loss * (1 - _FALLING)


def is_hopeless(trial: Trial) -> bool:
    """Whether the first layers get next to no gradient from the first step on, so that a net that
    has learned nothing in its trial will not in a longer one."""
    first = findings(trial.steps[:1])
    return any(finding.figures.get("share", 1.0) < _LOST for finding in first)


def cause_of(
    trial: Trial, suspicions: Sequence[Suspicion], thresholds: Thresholds
) -> tuple[str, str]:
    """Verdict and cause for a net that does not learn.

    What is wrong before any step comes first; then what is wrong in the first step, which shows the
    net as it was made. What training made of a net that was sound is the learning rate's doing.

    Args:
        trial: The first steps, each with its statistics.
    """
    for suspicion in suspicions:
        return suspicion.verdict, suspicion.cause
    first = _silent(trial) + findings(trial.steps[:1], thresholds)
    made = [finding for finding in first if finding.verdict != "learning_rate"]
    if made:
        return _first_of(made)
    if trial.error is not None and len(trial.losses) <= 1:
        return "nonfinite", trial.error
    later = findings(trial.steps, thresholds)
    spoiled = [finding for finding in later if finding.verdict != "learning_rate"]
    if trial.error is not None or spoiled:
        outcome = trial.error or "{}: {}".format(*_first_of(spoiled))
        return "learning_rate", f"the first gradients are sound, but steps spoil the net: {outcome}"
    if later:
        return _first_of(later)
    return (
        "learning_rate",
        f"gradients are sound in all layers, but after {len(trial.losses)} steps the net has "
        f"learned {_share(trial.learned)} of what there is to learn",
    )


def without_signal(progress: Sequence[Progress]) -> str:
    """Why a net is not to blame that has learned nothing: a sound one has not, either; empty if
    there was something to learn."""
    now = progress[-1]
    if now.failed or max(lasting(progress)) >= NOTHING:
        return ""
    return (
        f"after {now.steps} steps neither the net nor a sound one predicts rows held out better "
        "than a constant does: what x says of y is nothing, or hard to find. Are rows of x and y "
        "in the same order, and are the labels more than noise?"
    )


def illness_of(
    trial: Trial, suspicions: Sequence[Suspicion], thresholds: Thresholds
) -> Suspicion | None:
    """What is wrong with a net that learns, in the last half of its trial as
    ``callbacks.GradientHealth`` would see it, or before any step; None if nothing is."""
    found = findings(trial.steps, thresholds)
    causes = [suspicion.cause for suspicion in suspicions]
    verdicts = [suspicion.verdict for suspicion in suspicions]
    if found:
        verdict, cause = _first_of(found)
        causes.append(cause)
        verdicts.append(verdict)
    return Suspicion(verdicts[0], "; ".join(causes)) if verdicts else None


def judge_layers(
    trial: Trial, layers: Sequence[Layer], thresholds: Thresholds
) -> tuple[LayerReport, ...]:
    """Of each layer with figures: what is wrong with it at the end, or else in the beginning."""
    found = {finding.layer: finding for finding in _silent(trial)}
    found |= {finding.layer: finding for finding in findings(trial.steps[:1], thresholds)}
    found |= {finding.layer: finding for finding in findings(trial.steps, thresholds)}
    kinds = {layer.name: type(layer).__name__ for layer in layers}
    reports = []
    for name, last in trial.steps[-1].layers.items() if trial.steps else ():
        figures = {
            "gradient_norm": last.gradient_norm, "update_ratio": last.update_ratio,
            "mean": last.mean, "deviation": last.deviation, "zeros": last.zeros,
            "dead": last.dead, "saturated": last.saturated,
            "saturated_units": last.saturated_units,
        }  # fmt: skip
        known = {key: value for key, value in figures.items() if isfinite(value)}
        finding = found.get(name)
        verdict, words = "healthy", ""
        if finding is not None:
            verdict, words = finding.verdict, finding.words
            known |= finding.figures
        reports.append(LayerReport(name, kinds.get(name, ""), verdict, words, known))
    return tuple(reports)


def _silent(trial: Trial) -> list[Finding]:
    """Rectifying layers that give next to nothing from the beginning."""
    return [
        Finding(
            name,
            "dead",
            f"{layer.zeros:.0%} of its outputs are 0 from the first step on",
            {"zeros": layer.zeros},
        )
        for step in trial.steps[:1]
        for name, layer in step.layers.items()
        if layer.activation in ("relu", "relu_general") and layer.zeros >= _SILENT
    ]


def _share(learned: float) -> str:
    return f"only {learned:.0%}" if learned >= 0.005 else "nothing"


def _first_of(found: Sequence[Finding]) -> tuple[str, str]:
    """The verdict that comes first, with the words of the first layer that it is about."""
    counts = Counter(finding.verdict for finding in found)
    verdict = min(counts, key=_RANK.index)
    first = next(finding for finding in found if finding.verdict == verdict)
    others = counts[verdict] - 1
    more = f"; {others} more layers likewise" if others > 1 else ""
    more = "; one more layer likewise" if others == 1 else more
    return verdict, f"layer {first.layer!r}: {first.words}{more}"

"""Watches a training for gradients that vanish or explode, and for layers that stop learning."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict
from itertools import groupby
from typing import Any

import numpy as np

from fastnn._checks import check_choice, check_integer
from fastnn._model_files import check_suffix
from fastnn._warnings import warn
from fastnn.callbacks.base import Callback, Logs
from fastnn.callbacks.messages import print_message
from fastnn.errors import GradientHealthError, NonFiniteGradientError
from fastnn.statistics import StepStatistics, as_state, from_state
from fastnn.verdicts import Finding, Thresholds, findings

_ACTIONS = ("warn", "stop", "raise", "ignore")

LOGGED = (
    "gradient_norm", "gradient_max", "update_ratio", "weight_norm", "mean", "deviation", "zeros",
    "dead", "saturated", "saturated_units",
)  # fmt: skip
"""Figures that go to the logs of an epoch."""


_FEWEST = 5
"""Steps that a last look, before a window is full, takes."""


class GradientHealthWarning(UserWarning):
    """``GradientHealth`` has found something wrong."""


class GradientHealth(Callback):
    """Collects the statistics of every n-th step, and says in words when something goes wrong.

    The engine takes the figures while gradients, activations and weights pass through its kernels;
    training does not come back to Python for it, unless it may have to stop. The mean of each
    figure over an epoch goes to its logs, so to ``history``, as ``"layer/figure"``:
    "dense/gradient_norm", "dense/update_ratio", "dense/dead", ...

    Args:
        every: Steps of which one is looked at. Looking at a step costs about half a step.
        on_problem: "warn" (a ``GradientHealthWarning``), "stop" (ends training after that step,
            with a message), "raise" (a ``GradientHealthError``) or "ignore" (only ``found``
            tells). With "stop" and "raise" training comes back to Python after each step that was
            looked at.
        window: Steps after which verdicts are reached, again and again: units that gave 0 all
            along are dead, and of other figures the median decides. By default ten times
            ``every``. A last look is taken when training ends. Only numbers that are not finite
            are told of at once.
        thresholds: Of ``fastnn.verdicts``.
        replay: A file, ending in ``.safetensors``. If training stops at a gradient that is not
            finite, the model and the batch go there, a copy of its data included, and
            ``fnn.health.replay`` finds out where the first such number came from.

    Attributes:
        statistics: Of all steps that were looked at.
        found: Step -> what was found there for the first time.

    Raises:
        GradientHealthError: In training, with "raise".
    """

    def __init__(
        self,
        every: int = 50,
        on_problem: str = "warn",
        window: int | None = None,
        thresholds: Thresholds | None = None,
        replay: str | os.PathLike[str] | None = None,
    ) -> None:
        self.statistics_every = check_integer("GradientHealth", "every", every, at_least=1)
        self.on_problem = check_choice("GradientHealth", "on_problem", on_problem, _ACTIONS)
        if window is not None:
            check_integer("GradientHealth", "window", window, at_least=every)
        self.statistics_window = window or 10 * every
        self.statistics_at_once = on_problem in ("stop", "raise")
        self.thresholds = thresholds or Thresholds()
        self.replay: str | None = None
        if replay is not None:
            self.replay = check_suffix("GradientHealth: replay", replay)
        self.statistics: list[StepStatistics] = []
        self.found: dict[int, list[Finding]] = {}
        self._epoch: list[StepStatistics] = []
        self._window: list[StepStatistics] = []
        self._known: set[tuple[str, str]] = set()

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Begin anew."""
        self.statistics, self.found = [], {}
        self._epoch = []
        self._window = []
        self._known = set()

    def on_statistics(self, statistics: Sequence[StepStatistics]) -> None:
        """Keep them, and look whether something is wrong."""
        self.statistics += statistics
        self._epoch += statistics
        for step in statistics:
            self._window.append(step)
            full = step.step - self._window[0].step >= self.statistics_window
            if full or any(layer.nonfinite for layer in step.layers.values()):
                self._look(step.step)
            if full:
                self._window = [step]

    def on_nonfinite(self, error: NonFiniteGradientError) -> None:
        """Write the file of ``replay``."""
        if self.replay is None:
            return
        try:
            os.makedirs(os.path.dirname(self.replay) or os.curdir, exist_ok=True)
            self.model._save_replay(self.replay, error)
        except (OSError, ValueError) as fault:
            # The error that stops the training says more than this one.
            print_message(f"GradientHealth: the batch of step {error.step} is lost: {fault}")
            return
        print_message(
            f"GradientHealth: the batch of step {error.step} is in {self.replay}; to find where "
            f"its first infinity or NaN came from: fnn.health.replay({self.replay!r})"
        )

    def on_train_end(self, logs: Logs | None = None) -> None:
        """A last look, at what the last window had begun with."""
        if len(self._window) >= _FEWEST:
            self._look(self._window[-1].step)

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Add the epoch's means to its logs."""
        if logs is not None and self._epoch:
            logs |= means(self._epoch)
        self._epoch = []

    def state_dict(self) -> dict[str, Any]:
        """All statistics and findings, and how far epoch and window have come."""
        return {
            **as_state(self.statistics),
            "epoch": len(self._epoch),
            "window": len(self._window),
            "found": [[step, [*map(asdict, found)]] for step, found in self.found.items()],
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from there."""
        self.statistics = from_state(state)
        known = {variable.path.rpartition("/")[0] for variable in self.model.weights}
        for layer in self.statistics[-1].layers.values() if self.statistics else ():
            if layer.gradient_size and layer.name not in known:
                raise ValueError(
                    f"the model has no layer {layer.name!r}: give layers names, for automatic ones "
                    "change when a process makes a model again"
                )
        count = len(self.statistics)
        self._epoch = self.statistics[count - state["epoch"] :]
        self._window = self.statistics[count - state["window"] :]
        self.found = {
            step: [Finding(**finding) for finding in found] for step, found in state["found"]
        }
        self._known = {(f.layer, f.verdict) for found in self.found.values() for f in found}

    def _look(self, step: int) -> None:
        new = [
            finding
            for finding in findings(self._window, self.thresholds)
            if (finding.layer, finding.verdict) not in self._known
        ]
        if not new:
            return
        self._known.update((finding.layer, finding.verdict) for finding in new)
        self.found[step] = new
        text = f"step {step}: {describe(new)}"
        if self.on_problem == "raise":
            raise GradientHealthError(text)
        if self.on_problem == "stop":
            print_message(f"{text}; training stops")
            self.model.stop_training = True
        elif self.on_problem == "warn":
            warn(text, GradientHealthWarning)


def means(statistics: Sequence[StepStatistics]) -> dict[str, float]:
    """The mean of each figure that a layer has, by "layer/figure"."""
    result = {}
    for name in statistics[-1].layers:
        for figure in LOGGED:
            values = [getattr(step.layers[name], figure) for step in statistics]
            known = [value for value in values if value == value]
            if known:
                result[f"{name}/{figure}"] = float(np.mean(known))
    return result


def describe(found: Sequence[Finding]) -> str:
    """In words; neighbours with the same verdict together, with the figures of the first."""
    parts = []
    for verdict, group in groupby(found, key=lambda finding: finding.verdict):
        members = list(group)
        first, last = members[0], members[-1]
        layers = f"layer {first.layer!r}"
        if len(members) > 1:
            layers = f"{len(members)} layers from {first.layer!r} to {last.layer!r}"
        parts.append(f"{layers}: {verdict}, {first.words}")
    return "; ".join(parts)

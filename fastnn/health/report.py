"""What ``diagnose`` found, and the forms in which it can be read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from math import nan
from typing import TYPE_CHECKING, Any

from fastnn.statistics import StepStatistics

if TYPE_CHECKING:
    import os

    from fastnn.models import Model

VERDICTS = (
    "healthy", "impaired", "vanishing", "exploding", "dead", "saturated", "nonfinite",
    "input_scale", "target_scale", "learning_rate", "loss_mismatch", "no_signal",
)  # fmt: skip


LEARNS = ("healthy", "impaired")
"""Verdicts of nets that learn as a sound one does; the second in spite of an illness."""

TOLERANCE = 0.05
"""What an illness may cost by default: a twentieth of what there is to learn. That is three
standard errors of an accuracy on 1000 rows, so no chance."""


@dataclass(frozen=True)
class Trial:
    """A net trained for a short budget.

    Attributes:
        losses: Of each step's batch, before the step; shorter than the budget if it broke off.
        loss: On the rows held out, after the last step; NaN if training broke off.
        accuracy: Likewise; NaN where the targets are no classes.
        gradient_ratio: Gradient norm of the first layer that trains by that of the last, each by
            the root of its size; median over the last steps.
        error: Why training broke off.
        steps: What was seen of each step.
        learned: How much of what there is to learn, from 0 to 1, the mean over the outputs. Of
            classes: by how much the loss is below that of the best constant prediction, or the
            accuracy above that of the most frequent class, each by the most that it could be;
            whichever is more; where each column is 0 or 1 by itself, in the accuracy's place R2 of
            the probabilities. Of other numbers: R2, the mean over the columns; for an absolute
            error and Huber's, one that is made of absolute errors.
        batch_size: Rows of a step; 0 if it isn't known.
        r2: On the rows held out, the mean over the columns, none below 0; NaN where the targets are
            classes.
    """

    losses: tuple[float, ...]
    loss: float = nan
    accuracy: float = nan
    gradient_ratio: float = nan
    error: str | None = None
    steps: tuple[StepStatistics, ...] = field(default=(), repr=False)
    learned: float = 0.0
    batch_size: int = 0
    r2: float = nan


@dataclass(frozen=True)
class Progress:
    """What a net had learned when it was looked at.

    Attributes:
        steps: Since the beginning.
        learned: See ``Trial.learned``.
        sound: What each net that is known to be sound had learned from the same batches.
        failed: Whether training has broken off.
        loss: On the rows held out; NaN if it has.
    """

    steps: int
    learned: float
    sound: tuple[float, ...]
    failed: bool = False
    loss: float = nan

    @property
    def reference(self) -> float:
        """What the best of the sound nets had learned."""
        return max(self.sound)


@dataclass(frozen=True)
class LayerReport:
    """One layer.

    Attributes:
        name: The layer's.
        kind: Its class.
        verdict: One of ``VERDICTS`` that a layer can have.
        cause: Why, in words; empty if it is healthy.
        figures: Name -> value of what the verdict rests on.
    """

    name: str
    kind: str
    verdict: str
    cause: str = ""
    figures: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Remedy:
    """A change that was tried on a copy.

    Attributes:
        name: For programs: "initialization", "batch_normalization", ...
        change: What changes, in words.
        trial: What came of it; None if it was not tried.
        helped: Whether it is better than the untreated net, by more than chance.
        apply: Makes a new compiled model with the change.
        make_fit_arguments: Makes those of ``fit`` that belong to the change, callbacks among them.
    """

    name: str
    change: str
    trial: Trial | None
    helped: bool
    apply: Callable[[], Model]
    make_fit_arguments: Callable[[], dict[str, Any]] = dict

    @property
    def fit_arguments(self) -> dict[str, Any]:
        """Arguments of ``fit`` that belong to the change, new ones at each call."""
        return self.make_fit_arguments()


def unknown_model() -> Model | None:
    """What a report returns that does not know its model."""
    return None


@dataclass(frozen=True)
class Report:
    """What ``diagnose`` found: ``print(report)`` shows it in a terminal of 80 columns.

    Attributes:
        verdict: One of ``VERDICTS``: "healthy" if the net learns and nothing is ill, "impaired" if
            it learns in spite of an illness; else the cause that comes first why it does not.
        cause: Why, in words; empty if it is healthy.
        layers: In the model's order.
        remedies: Tried ones. What is recommended comes first: what undoes the cause, where the net
            is healthy with it, though another may have learned more. Of the others, what learned
            more comes first; those that did not help come last.
        untreated: The model as it was given.
        model_name: The model's; empty if it isn't known.
        progress: Of the model as it was given, which goes on after its trial as long as it is in
            doubt whether it learns.
        illness: Of an impaired net: the verdict that it would have if it did not learn; else empty.
        cost: Of an impaired net: by how much more of what there is to learn it learns in its trial
            with the best change that undoes the illness, 0 if none helps; else 0.
        folds: ``progress`` with other rows held out, of a net whose verdict hangs on them.
        given: Returns the model that was looked at; None if it isn't known.
    """

    verdict: str
    cause: str
    layers: tuple[LayerReport, ...]
    remedies: tuple[Remedy, ...]
    untreated: Trial
    model_name: str = ""
    progress: tuple[Progress, ...] = ()
    illness: str = ""
    cost: float = 0.0
    folds: tuple[tuple[Progress, ...], ...] = ()
    given: Callable[[], Model | None] = field(default=unknown_model, repr=False, compare=False)

    @property
    def best(self) -> Remedy | None:
        """The first remedy that helped, if any did."""
        return next((remedy for remedy in self.remedies if remedy.helped), None)

    @property
    def fit_arguments(self) -> dict[str, Any]:
        """Arguments of ``fit`` that belong to the best remedy; of most, and of none, there are
        none."""
        return {} if self.best is None else self.best.fit_arguments

    def cure(self) -> Model:
        """The model with the best remedy, a new compiled one; or the very model that was given, if
        it needs none, or with a warning if nothing that was tried helped.

        Raises:
            ValueError: The report does not know the model.
        """
        if self.best is not None:
            return self.best.apply()
        model = self.given()
        if model is None:
            raise ValueError("cure: this report does not know the model that it is about")
        if self.verdict not in LEARNS:
            from fastnn._warnings import warn

            warn(f"the model stays as it is, {self.verdict}: no remedy that was tried helped")
        return model

    def is_tolerable(self, tolerance: float = TOLERANCE) -> bool:
        """Whether the net learns, and no illness costs more than this share of what there is to
        learn."""
        return self.verdict in LEARNS and self.cost <= tolerance

    def __repr__(self) -> str:
        # The generated one would print every figure of every step.
        counts = f"{len(self.layers)} layers, {len(self.remedies)} remedies"
        return f"<Report: {self.verdict}, {counts}>"

    def __str__(self) -> str:
        from fastnn.health.text import report_text

        return report_text(self)

    def _repr_html_(self) -> str:
        """The page in a frame of its own, so that its style doesn't reach the notebook's."""
        from html import escape

        from fastnn.health.html import report_page

        style = "width: 100%; height: 720px; border: 0"
        return f'<iframe srcdoc="{escape(report_page(self))}" style="{style}"></iframe>'

    def to_html(self, path: str | os.PathLike[str]) -> None:
        """Write one page that needs no network, no server and no scripts, in UTF-8.

        It is written whole or not at all. It follows the reader's choice of light or dark.

        Args:
            path: The file; one that is there is replaced.

        Raises:
            OSError: it can't be written.
        """
        from fastnn._files import write_whole
        from fastnn.health.html import report_page

        write_whole(path, report_page(self).encode("utf-8", "replace"))

    def to_dict(self) -> dict[str, Any]:
        """Everything but ``Remedy.apply`` as JSON values, statistics of each step included.

        Floats are as they are; infinity and NaN, which JSON has no names for, become None. Keys are
        the attributes' names; of ``StepStatistics.layers``, the layers' names.
        """
        from fastnn.health.plain import plain

        values: dict[str, Any] = plain(self)
        return values

    def to_json(self, path: str | os.PathLike[str] | None = None) -> str:
        """``to_dict`` as JSON text.

        Args:
            path: A file to write it to as well, whole or not at all; one that is there is replaced.

        Raises:
            OSError: the file can't be written.
        """
        import json

        from fastnn._files import write_whole

        text = json.dumps(self.to_dict(), indent=2, allow_nan=False)
        if path is not None:
            write_whole(path, f"{text}\n".encode())
        return text

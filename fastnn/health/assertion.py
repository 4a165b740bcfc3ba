"""assert_healthy: a line in the tests of a project that trains nets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from typing import TYPE_CHECKING, Any

from fastnn._checks import check_real
from fastnn.health.diagnose import diagnose
from fastnn.health.report import TOLERANCE, LayerReport, Report, unknown_model
from fastnn.health.words import headline
from fastnn.verdicts import Thresholds

if TYPE_CHECKING:
    from fastnn.models import Model

_LINES = 5
"""Groups of sick layers that a message names."""


class UnhealthyError(AssertionError):
    """A net can't learn.

    Attributes:
        report: What ``diagnose`` found, without remedies.
    """

    def __init__(self, report: Report) -> None:
        super().__init__(report)
        self.report = report

    def __str__(self) -> str:
        report = self.report
        name = f"model {report.model_name!r}" if report.model_name else "the model"
        words = f"{headline(report)}. {report.cause}".strip()
        return "\n".join(
            [
                f"{name} is not healthy: {report.verdict}",
                f"  {words}",
                *_sick(report.layers),
                "  fnn.health.diagnose(model, x, y) tries what may cure it",
            ]
        )


def assert_healthy(
    model: Model,
    x: Any,
    y: Any = None,
    sample_weight: Any = None,
    *,
    steps: int = 100,
    batch_size: int | None = None,
    seed: int = 0,
    thresholds: Thresholds | None = None,
    tolerance: float = TOLERANCE,
    validation_data: Any = None,
    class_weight: Mapping[int, float] | None = None,
) -> Report:
    """Raise unless a copy of ``model`` learns as a sound net does, and no illness costs it more
    than ``tolerance``; see ``diagnose``.

    ::

        def test_my_net():
            fnn.health.assert_healthy(make_net(), x, y)

    The model, its optimizer and the random numbers stay as they are. No remedies are tried. The
    same model, data and seed give the same verdict.

    Args:
        model, x, y, sample_weight, steps, batch_size, seed, thresholds, validation_data,
            class_weight: As for ``diagnose``.
        tolerance: How much less than it could a net may learn in its trial for an illness that it
            learns in spite of, as a share of what there is to learn, 0 to 1. Below 0, no illness
            passes; with 1, each does.

    Returns:
        The report of a net that is healthy, or ill but within the tolerance.

    Raises:
        UnhealthyError: An ``AssertionError``, with the report.
        TypeError, ValueError: As ``diagnose``.
    """
    __tracebackhide__ = True  # pytest shows the caller's line then, not this file
    limit = check_real("assert_healthy", "tolerance", tolerance, at_most=1)
    report = diagnose(
        model, x, y, sample_weight, steps=steps, batch_size=batch_size, remedies=False, seed=seed,
        thresholds=thresholds, validation_data=validation_data, class_weight=class_weight,
    )  # fmt: skip
    if report.verdict != "healthy" and not report.is_tolerable(limit):
        raise UnhealthyError(replace(report, remedies=(), given=unknown_model))
    return report


def _sick(layers: Sequence[LayerReport]) -> list[str]:
    """A line for each run of layers with the same verdict, with the cause of the first."""
    lines = []
    for verdict, group in groupby(layers, key=lambda layer: layer.verdict):
        if verdict == "healthy":
            continue
        first, *others = group
        where = repr(first.name)
        if others:
            where += f" to {others[-1].name!r} ({len(others) + 1} layers)"
        lines.append(f"  {where}: {verdict}, {first.cause}")
    if len(lines) > _LINES:
        lines[_LINES - 1 :] = [f"  ... {len(lines) - _LINES + 1} more ..."]
    return lines

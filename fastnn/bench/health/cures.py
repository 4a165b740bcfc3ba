"""Whether remedies make nets train that did not."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from fastnn.bench.health import labels
from fastnn.bench.health.diagnoses import Diagnose, examine
from fastnn.bench.health.grid import Case
from fastnn.bench.health.journal import Record
from fastnn.bench.health.labels import Budget
from fastnn.bench.health.shares import Share
from fastnn.bench.report import markdown


def cure(case: Case, budget: Budget, diagnose: Diagnose) -> Record:
    """Train the net with each remedy of its report, in the budget that the untreated one had.

    Returns:
        ``case``, ``verdict``; ``remedies``, in the report's order: ``remedy`` (its name),
        ``change``, whether it ``helped`` in its short trial, and how its training went, as in
        :func:`labels.train`.
    """
    report, record = examine(case, budget, diagnose)
    return {
        "case": record["case"],
        "verdict": report.verdict,
        "remedies": [
            {
                "remedy": remedy.name,
                "change": remedy.change,
                "helped": remedy.helped,
                **labels.train(remedy.apply(), case, budget, remedy.fit_arguments),
            }
            for remedy in report.remedies
        ],
    }


def by_first(records: Iterable[Record]) -> Share:
    """Of the nets, those that the first remedy makes train; without remedies it is none."""
    firsts = [record["remedies"][:1] for record in records]
    return Share(sum(remedies[0]["trains"] for remedies in firsts if remedies), len(firsts))


def by_chance(records: Iterable[Record]) -> Share:
    """Of the nets, those that a remedy drawn at random from the same list would make train: the
    expectation, for which all are trained."""
    lists = [record["remedies"] for record in records]
    return Share(sum(sum(r["trains"] for r in own) / len(own) for own in lists if own), len(lists))


def by_any(records: Iterable[Record]) -> Share:
    """Of the nets, those that some remedy of the list makes train: no ranking can do better."""
    lists = [record["remedies"] for record in records]
    return Share(sum(any(r["trains"] for r in own) for own in lists), len(lists))


def by_remedy(records: Iterable[Record]) -> dict[str, tuple[Share, Share]]:
    """Name -> the nets that it makes train where it comes first, and wherever it was tried; those
    that come first most often first."""
    first: dict[str, list[bool]] = defaultdict(list)
    tried: dict[str, list[bool]] = defaultdict(list)
    for record in records:
        for place, remedy in enumerate(record["remedies"]):
            tried[remedy["remedy"]].append(remedy["trains"])
            if place == 0:
                first[remedy["remedy"]].append(remedy["trains"])
    order = sorted(tried, key=lambda name: (-len(first[name]), name))
    return {name: (_share(first[name]), _share(tried[name])) for name in order}


def _share(trained: list[bool]) -> Share:
    return Share(sum(trained), len(trained))


def table(records: Iterable[Record]) -> str:
    """The shares of the nets that fail, in Markdown."""
    records = list(records)
    chosen = {"the first": by_first, "one at random": by_chance, "the best of all": by_any}
    by_name = by_remedy(records).items()
    return "\n\n".join(
        (
            markdown(["remedy", "then train"], [[n, str(f(records))] for n, f in chosen.items()]),
            markdown(
                ["remedy", "train where it is first", "train where it was tried"],
                [[name, str(first), str(tried)] for name, (first, tried) in by_name],
            ),
        )
    )


def to_dict(records: Iterable[Record]) -> dict[str, Any]:
    """What the tables say, as JSON values."""
    records = list(records)
    return {
        "first": by_first(records).to_dict(),
        "chance": by_chance(records).to_dict(),
        "any": by_any(records).to_dict(),
        "remedies": {
            name: {"first": first.to_dict(), "tried": tried.to_dict()}
            for name, (first, tried) in by_remedy(records).items()
        },
    }

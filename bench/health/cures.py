"""Whether remedies make nets train that did not."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

import numpy as np

from bench.health import kinds
from bench.health.diagnoses import Diagnose, examine
from bench.health.journal import Record
from bench.health.labels import Budget
from bench.health.shares import Share
from bench.health.tables import TableBudget
from fastnn.bench.report import markdown


def cure(case: kinds.AnyCase, budget: Budget | TableBudget, diagnose: Diagnose) -> Record:
    """Train the net with its first remedy, and with some of the list drawn by the case's seed, in
    the budget that the untreated net had.

    Returns:
        ``case``, ``verdict``; ``tried``, the length of the list; ``remedies``, those trained, in
        the report's order: ``place`` in the list, from 0; whether it was ``drawn``; ``remedy``
        (its name), ``change``, whether it ``helped`` in its short trial, and how its training
        went, as ``train`` of the case's kind says; ``seconds``.
    """
    start = time.perf_counter()
    report = examine(case, budget, diagnose, remedies=True)
    count = len(report.remedies)
    random = np.random.default_rng([case.seed, case.index])
    drawn = set(random.permutation(count)[: kinds.of(case).drawn].tolist())
    return {
        "case": asdict(case),
        "verdict": report.verdict,
        "tried": count,
        "remedies": [
            {
                "place": place,
                "drawn": place in drawn,
                "remedy": remedy.name,
                "change": remedy.change,
                "helped": remedy.helped,
                **kinds.of(case).train(remedy.apply(), case, budget, remedy.fit_arguments),
            }
            for place, remedy in enumerate(report.remedies)
            if place == 0 or place in drawn
        ],
        "seconds": round(time.perf_counter() - start, 2),
    }


def by_first(records: Iterable[Record]) -> Share:
    """Of the nets, those that the first remedy makes train; without remedies it is none."""
    firsts = [record["remedies"][:1] for record in records]
    return Share(sum(remedies[0]["trains"] for remedies in firsts if remedies), len(firsts))


def by_chance(records: Iterable[Record]) -> Share:
    """Of the nets, those that one of the tried remedies, each as likely as the other, would make
    train: the mean over those drawn, which is right on average, and exact where all are drawn."""
    lists = [_drawn(record) for record in records]
    return Share(sum(sum(r["trains"] for r in own) / len(own) for own in lists if own), len(lists))


def _drawn(record: Record) -> list[Record]:
    return [remedy for remedy in record["remedies"] if remedy["drawn"]]


def by_remedy(records: Iterable[Record]) -> dict[str, tuple[Share, Share]]:
    """Name -> the nets that it makes train where it comes first, and where it was drawn; those
    that come first most often first."""
    first: dict[str, list[bool]] = defaultdict(list)
    drawn: dict[str, list[bool]] = defaultdict(list)
    for record in records:
        for remedy in record["remedies"]:
            if remedy["drawn"]:
                drawn[remedy["remedy"]].append(remedy["trains"])
            if remedy["place"] == 0:
                first[remedy["remedy"]].append(remedy["trains"])
    order = sorted(first.keys() | drawn.keys(), key=lambda name: (-len(first[name]), name))
    return {name: (_share(first[name]), _share(drawn[name])) for name in order}


def _share(trained: list[bool]) -> Share:
    return Share(sum(trained), len(trained))


def table(records: Iterable[Record]) -> str:
    """The shares of the nets that fail, in Markdown."""
    records = list(records)
    chosen = {"the first": by_first, "one at random": by_chance}
    by_name = by_remedy(records).items()
    return "\n\n".join(
        (
            markdown(["remedy", "then train"], [[n, str(f(records))] for n, f in chosen.items()]),
            markdown(
                ["remedy", "train where it is first", "train where it was drawn"],
                [[name, str(first), str(drawn)] for name, (first, drawn) in by_name],
            ),
        )
    )


def to_dict(records: Iterable[Record]) -> dict[str, Any]:
    """What the tables say, as JSON values."""
    records = list(records)
    return {
        "first": by_first(records).to_dict(),
        "chance": by_chance(records).to_dict(),
        "remedies": {
            name: {"first": first.to_dict(), "drawn": drawn.to_dict()}
            for name, (first, drawn) in by_remedy(records).items()
        },
    }

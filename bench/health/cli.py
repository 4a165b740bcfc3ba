"""The calibration from the command line: label the nets, diagnose them, cure those that fail."""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.health import (
    confusion,
    cures,
    diagnoses,
    journal,
    kinds,
    summary,
    thresholds,
)
from bench.health.journal import Record
from bench.health.labels import Budget
from bench.health.tables import TableBudget
from fastnn.bench import machine, report
from fastnn.verdicts import Thresholds

STAGES = ("labels", "diagnoses", "cures")

_LADDER = [round(0.88 + 0.0025 * i, 4) for i in range(29)]
LADDERS = dict.fromkeys(("learned", "learned_numbers", "learned_classes"), _LADDER)
"""Thresholds that the search tries. The others only spare what is clear a longer look."""

Records = dict[str, Record]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What :func:`run` reads."""
    parser.add_argument(
        "--out", type=Path, required=True, metavar="FOLDER", help="of results; goes on with them"
    )
    parser.add_argument(
        "--until", choices=STAGES, default=STAGES[-1], help="the last stage; all are done"
    )
    parser.add_argument(
        "--kinds", type=_kinds, default=tuple(kinds.SUITES), help=f"of {','.join(kinds.SUITES)}"
    )
    parser.add_argument("--count", type=int, help="nets of each seed; the kind's own number")
    parser.add_argument("--processes", type=int, default=len(machine.cores()) or 1)
    defaults = Budget()
    group = parser.add_argument_group("images")
    group.add_argument("--rows", type=int, default=defaults.rows, help="to train on")
    group.add_argument("--epochs", type=int, default=defaults.epochs)
    group.add_argument("--test-rows", type=int, default=defaults.test_rows)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the result as JSON")


def run(options: argparse.Namespace) -> int:
    """Do what is missing in the folder, and print the tables; the exit status.

    Raises:
        ValueError: the folder has results of other settings.
    """
    for name in ("count", "processes", "rows", "epochs", "test_rows"):
        value = getattr(options, name)
        if value is not None and value < 1:
            raise ValueError(f"{name}: {value} is not positive")
    images = Budget(options.rows, options.epochs, options.test_rows)
    stages = STAGES[: STAGES.index(options.until) + 1]
    results = {}
    for kind in options.kinds:
        suite = kinds.SUITES[kind]
        count = suite.count if options.count is None else options.count
        cases = {seed: suite.draw(seed, count) for seed in suite.seeds}
        folder = options.out / kind
        folder.mkdir(parents=True, exist_ok=True)
        budget = suite.budget or images
        result = measure(folder, cases, budget, stages, options.processes, _say, cured=suite.cured)
        tables = result.pop("tables").items()
        print("\n\n".join(f"## {kind}: {title}\n\n{table}" for title, table in tables), end="\n\n")
        results[kind] = result
    if options.json is not None:
        report.write(options.json, {"machine": machine.describe(), **results})
    return 0


def _kinds(text: str) -> tuple[str, ...]:
    names = tuple(text.split(","))
    unknown = sorted(set(names) - set(kinds.SUITES))
    if unknown:
        raise argparse.ArgumentTypeError(f"{', '.join(unknown)} are none of {[*kinds.SUITES]}")
    return names


def measure(
    folder: Path,
    seeds: Mapping[int, Sequence[kinds.AnyCase]],
    budget: Budget | TableBudget,
    stages: tuple[str, ...],
    processes: int,
    say: Callable[[str], None],
    diagnose: diagnoses.Diagnose | None = None,
    cured: Collection[int] = (),
) -> dict[str, Any]:
    """The stages, one after the other.

    Args:
        folder: Of the journals, ``labels.jsonl`` and so on.
        seeds: Seed -> its nets, all of one kind.
        budget: Of each training.
        stages: A beginning of ``STAGES``.
        processes: That work at a time.
        say: Is told how far it is.
        diagnose: What to calibrate; ``fastnn.health.diagnose`` by default.
        cured: The seeds whose nets are trained with remedies.

    Returns:
        ``tables``, title -> Markdown; and the same as JSON values under the stages' names.
    """
    cases = {case.name: case for own in seeds.values() for case in own}

    def stage(name: str, job: Callable[..., Record], chosen: list[str], *more: Any) -> Records:
        jobs = {each: (cases[each], budget, *more) for each in chosen}
        return journal.run(
            folder / f"{name}.jsonl", dataclasses.asdict(budget), job, jobs, processes, say
        )

    first = next(iter(cases.values()))
    labelled = stage("labels", kinds.of(first).label, list(cases))
    tables = {"Labels": summary.table(labelled)}
    result: dict[str, Any] = {
        "budget": dataclasses.asdict(budget), "labels": summary.to_dict(labelled), "tables": tables,
    }  # fmt: skip
    if "diagnoses" not in stages:
        return result
    diagnose = diagnose or _diagnose()
    looked = stage("diagnoses", diagnoses.diagnosis, list(cases), diagnose)
    best, tried = thresholds.search(labelled, looked, diagnoses.verdict, Thresholds(), LADDERS)
    tables["Thresholds, from all nets"] = thresholds.table(tried, Thresholds())
    result["thresholds"] = {"best": dataclasses.asdict(best), "tried": tried}
    verdicts: dict[str, str] = {}
    for own in seeds.values():
        names = {case.name for case in own}
        others = {name: record for name, record in looked.items() if name not in names}
        found, _ = thresholds.search(labelled, others, diagnoses.verdict, Thresholds(), LADDERS)
        verdicts |= {name: diagnoses.verdict(looked[name], found) for name in names}
    built_in = {name: diagnoses.verdict(record, Thresholds()) for name, record in looked.items()}
    for key, whose, given in (
        ("verdicts", "thresholds from the other seeds' nets", verdicts),
        ("verdicts_built_in", "the thresholds built in", built_in),
    ):
        judged = confusion.outcomes(labelled, given)
        tables[f"Verdicts, with {whose}"] = confusion.table(judged)
        result[key] = confusion.to_dict(judged)
    if "cures" not in stages:
        return result
    failing = [
        case.name for seed in cured for case in seeds[seed] if not labelled[case.name]["trains"]
    ]
    treated = stage("cures", cures.cure, failing, diagnose).values()
    tables["Remedies"] = cures.table(treated)
    result["cures"] = cures.to_dict(treated)
    return result


def _diagnose() -> diagnoses.Diagnose:
    from fastnn.health import diagnose

    return diagnose


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)

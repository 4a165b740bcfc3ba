"""The kinds of nets: each with its draws, labels, data and training."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench.health import convolutions, grid, labels, nets, table_labels, table_nets, tables
from bench.health.convolutions import ConvolutionCase
from bench.health.grid import Case
from bench.health.journal import Record
from bench.health.labels import Budget
from bench.health.tables import TableBudget, TableCase

AnyCase = Case | TableCase | ConvolutionCase


@dataclass(frozen=True)
class Kind:
    """What the stages need to know of nets.

    Attributes:
        factors: Factor -> value -> share.
        label: A case and a budget -> what becomes of the untreated net.
        data: Likewise -> x and y to train on.
        build: A case -> the compiled model.
        train: A model, a case, a budget and arguments of ``fit`` -> how it went.
        drawn: Remedies of a net's list that chance picks to be trained, or all if there are no
            more.
    """

    factors: Mapping[str, Mapping[Any, int]]
    label: Callable[..., Record]
    data: Callable[..., tuple[Any, Any]]
    build: Callable[..., Any]
    train: Callable[..., Record]
    drawn: int = 4


@dataclass(frozen=True)
class Suite:
    """Nets that are calibrated together.

    Attributes:
        draw: Seed and count -> cases.
        seeds: On whose nets no rule was made.
        count: Of each seed.
        cured: The seeds whose nets that fail are trained with remedies.
        budget: Of each training; None if the command line says it.
    """

    draw: Callable[[int, int], Sequence[AnyCase]]
    seeds: tuple[int, ...]
    count: int
    cured: tuple[int, ...]
    budget: Budget | TableBudget | None = None


def _images(case: Case, budget: labels.Budget) -> tuple[Any, Any]:
    x, y, _, _ = nets.mnist(budget.rows, budget.test_rows)
    return nets.inputs(case, x), nets.targets(case, y)


def _rows(case: TableCase, budget: tables.TableBudget) -> tuple[Any, Any]:
    data = table_nets.table(case, budget)
    return data.x, data.y


_IMAGES = Kind(grid.FACTORS, labels.label, _images, nets.build, labels.train)
_CONVOLUTIONS = Kind(
    convolutions.FACTORS, convolutions.label, convolutions.data, convolutions.build,
    convolutions.train, drawn=1,
)  # fmt: skip
_TABLES = {
    name: Kind(factors, table_labels.label, _rows, table_nets.build, table_labels.train)
    for name, factors in tables.FACTORS.items()
}


def _tables(kind: str) -> Suite:
    return Suite(
        lambda seed, count: tables.draw(kind, seed, count),
        tables.FRESH[kind], tables.COUNTS[kind], tables.FRESH[kind], tables.TableBudget(),
    )  # fmt: skip


SUITES = {
    "images": Suite(grid.draw, grid.SEEDS, grid.COUNT, (grid.CURED,)),
    **{kind: _tables(kind) for kind in tables.FACTORS},
    "convolutions": Suite(
        convolutions.draw,
        convolutions.FRESH,
        convolutions.COUNT,
        convolutions.FRESH,
        convolutions.BUDGET,
    ),
}


def of(case: AnyCase) -> Kind:
    """The kind of a case."""
    if isinstance(case, ConvolutionCase):
        return _CONVOLUTIONS
    return _TABLES[case.kind] if isinstance(case, TableCase) else _IMAGES


def case_of(record: Record) -> AnyCase:
    """The case that a record is about."""
    values = record["case"]
    if values.get("kind") == "convolutions":
        return ConvolutionCase(**values)
    return TableCase(**values) if "kind" in values else Case(**values)

"""How the labels are spread over the grid."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from bench.health import kinds
from bench.health.journal import Record
from bench.health.labels import is_borderline
from bench.health.shares import Share
from fastnn.bench.report import markdown


def table(labels: Mapping[str, Record]) -> str:
    """How many nets of each factor's values there are, train, and are borderline; in Markdown."""
    rows = []
    if not labels:
        return ""
    first = kinds.case_of(next(iter(labels.values())))
    for factor in kinds.of(first).factors:
        groups = _grouped(labels.values(), lambda record, f=factor: _value(record, f))  # type: ignore[misc]
        for value, own in groups.items():
            rows.append([factor, str(value), *map(str, _figures(own))])
            factor = ""
    rows.append(["all", "", *map(str, _figures(list(labels.values())))])
    return markdown(["factor", "value", "nets", "train", "borderline"], rows)


def to_dict(labels: Mapping[str, Record]) -> dict[str, Any]:
    """Of all nets, as JSON values."""
    count, train, borderline = _figures(list(labels.values()))
    return {"nets": count, "train": Share(train, count).to_dict(), "borderline": borderline}


def _figures(records: list[Record]) -> tuple[int, int, int]:
    return (
        len(records),
        sum(record["trains"] for record in records),
        sum(map(is_borderline, records)),
    )


def _value(record: Record, factor: str) -> Any:
    return getattr(kinds.case_of(record), factor)


def _grouped(records: Iterable[Record], key: Callable[[Record], Any]) -> dict[Any, list[Record]]:
    groups: dict[Any, list[Record]] = {}
    for record in records:
        groups.setdefault(key(record), []).append(record)
    return dict(sorted(groups.items(), key=lambda item: item[0]))

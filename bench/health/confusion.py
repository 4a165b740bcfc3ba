"""What was said of the nets against what became of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench.health.journal import Record
from bench.health.labels import is_borderline
from bench.health.shares import Share
from fastnn.bench.report import markdown
from fastnn.health.judge import NOTHING
from fastnn.health.report import LEARNS, VERDICTS


@dataclass(frozen=True)
class Outcome:
    """A net: its verdict, and from its label whether it trains, whether that hangs on the order of
    the rows, and how float64 calls its gradients, if that was asked."""

    verdict: str
    trains: bool
    borderline: bool
    gradients: str | None


def outcomes(labels: Mapping[str, Record], verdicts: Mapping[str, str]) -> list[Outcome]:
    """Of each net with a verdict, but for those whose table has nothing that a sound net learns."""
    return [
        Outcome(verdict, label["trains"], is_borderline(label), label.get("gradients"))
        for verdict, label in ((verdict, labels[name]) for name, verdict in verdicts.items())
        if label.get("sound", 1.0) >= NOTHING
    ]


def detection(nets: Iterable[Outcome]) -> Share:
    """Of the nets that do not train, those of which is not said that they learn."""
    failing = [net for net in nets if not net.trains]
    return Share(sum(net.verdict not in LEARNS for net in failing), len(failing))


def false_alarms(nets: Iterable[Outcome]) -> Share:
    """Of the nets that train, those of which is not said that they learn."""
    training = [net for net in nets if net.trains]
    return Share(sum(net.verdict not in LEARNS for net in training), len(training))


def table(nets: Sequence[Outcome]) -> str:
    """The confusion tables, in Markdown."""
    clear = [net for net in nets if not net.borderline]
    by_verdict = _counts(nets, "verdict", VERDICTS)
    by_gradients = _counts(nets, "gradients", ("ordinary", "vanishing", "exploding", "none"))
    head = [" ", "all nets", f"without the {len(nets) - len(clear)} borderline"]
    return "\n\n".join(
        (
            markdown(
                head,
                [
                    ["detection", str(detection(nets)), str(detection(clear))],
                    ["false alarms", str(false_alarms(nets)), str(false_alarms(clear))],
                ],
            ),
            markdown(["verdict", "do not train", "train"], by_verdict),
            *(
                [markdown(["float64 gradients", "do not train", "train"], by_gradients)]
                if by_gradients
                else []
            ),
        )
    )


def to_dict(nets: Sequence[Outcome]) -> dict[str, Any]:
    """What the tables say, as JSON values."""
    clear = [net for net in nets if not net.borderline]
    return {
        "nets": len(nets),
        "borderline": len(nets) - len(clear),
        "detection": detection(nets).to_dict(),
        "false_alarms": false_alarms(nets).to_dict(),
        "detection_without_borderline": detection(clear).to_dict(),
        "false_alarms_without_borderline": false_alarms(clear).to_dict(),
        "verdicts": {
            verdict: {"fail": int(fail), "train": int(train)}
            for verdict, fail, train in _counts(nets, "verdict", VERDICTS)
        },
    }


def _counts(nets: Sequence[Outcome], key: str, values: Sequence[str]) -> list[list[str]]:
    """A row for each value that occurs: how many nets of it do not train, and do."""
    found = Counter((getattr(net, key), net.trains) for net in nets)
    return [
        [value, str(found[value, False]), str(found[value, True])]
        for value in values
        if found[value, False] + found[value, True]
    ]

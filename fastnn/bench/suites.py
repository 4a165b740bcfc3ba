"""What a race is about: nets, their data, and what they have against vanishing and exploding
gradients."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fastnn.bench import data


@dataclass(frozen=True)
class Contest:
    """``rows``: of an epoch."""

    net: str
    cases: tuple[str, ...] = data.KINDS
    batches: tuple[int, ...] = (32, 128, 512)
    rows: int = data.ROWS


@dataclass(frozen=True)
class Suite:
    """``peers``: who takes part. ``remedies``: fields of ``Job``, one after another for each
    net."""

    contests: tuple[Contest, ...]
    peers: tuple[str, ...] = ("fastnn", "jax", "torch", "keras", "sklearn")
    remedies: tuple[dict[str, Any], ...] = ({},)

    @property
    def nets(self) -> tuple[str, ...]:
        return tuple(contest.net for contest in self.contests)

    def contest(self, net: str) -> Contest:
        """The suite's own of this net, or one with the data and batches of its first."""
        first = self.contests[0]
        other = Contest(net, first.cases, first.batches, first.rows)
        return next((contest for contest in self.contests if contest.net == net), other)


_NORM_AND_CLIP = {"batch_norm": True, "global_clipnorm": 1.0}

SUITES = {
    "plain": Suite((Contest("784-512-10"), Contest("784-512-512-10"))),
    "remedies": Suite(
        (Contest("784-512-512-512-10"),),
        remedies=(_NORM_AND_CLIP, {**_NORM_AND_CLIP, "dropout": 0.5}),
    ),
    "images": Suite(
        (
            Contest("28x28x1-convnet", ("dense",), (32, 128), 2048),
            Contest("64x64x3-convnet", ("dense",), (32,), 512),
            Contest("32x32x3-resnet20", ("dense",), (32,), 512),
        ),
        ("fastnn", "jax", "torch", "torch_channels_last", "keras"),
    ),
}
"""An epoch of pictures is some seconds of a slow peer's: enough of them, and the race ends."""

COSTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "BatchNorm": {"batch_norm": True},
    "clipping": {"global_clipnorm": 1.0},
    "both": _NORM_AND_CLIP,
    "Dropout": {"dropout": 0.5},
    "all": {**_NORM_AND_CLIP, "dropout": 0.5},
}
"""One remedy at a time, and together: what the costs of remedies are measured on."""

"""What a race is about: nets, and what they have against vanishing and exploding gradients."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Suite:
    """``remedies``: fields of ``Job``, one after another for each net."""

    nets: tuple[str, ...]
    remedies: tuple[dict[str, Any], ...]


_NORM_AND_CLIP = {"batch_norm": True, "global_clipnorm": 1.0}

SUITES = {
    "plain": Suite(("784-512-10", "784-512-512-10"), ({},)),
    "remedies": Suite(
        ("784-512-512-512-10",), (_NORM_AND_CLIP, {**_NORM_AND_CLIP, "dropout": 0.5})
    ),
}

COSTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "BatchNorm": {"batch_norm": True},
    "clipping": {"global_clipnorm": 1.0},
    "both": _NORM_AND_CLIP,
    "Dropout": {"dropout": 0.5},
    "all": {**_NORM_AND_CLIP, "dropout": 0.5},
}
"""One remedy at a time, and together: what the costs of remedies are measured on."""

"""Random numbers of a layer, as settings of the ops that use them: see csrc/random.inc.c."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Stream:
    """A sequence of random numbers for each step, row and column.

    seed: Below 2**63.
    number: Which of the model's uses of random numbers this is, below 2**16: two layers with one
        seed draw different numbers.
    """

    seed: int
    number: int

    def settings(self, lines: int = 1) -> dict[str, int]:
        """Integers of an op.

        Args:
            lines: Rows of random numbers for each row of the batch; 0 if they are not of the batch.
        """
        return {"key": self.seed, "stream": self.number, "lines": lines}


@dataclass(frozen=True)
class Mask:
    """What is dropped, each number with probability ``rate``; the others are scaled."""

    stream: Stream
    rate: float

    @property
    def scale(self) -> float:
        """What is kept is multiplied by this."""
        return 1.0 / (1.0 - self.rate)

    def settings(self, lines: int = 1) -> dict[str, int]:
        """Integers of an op: a 32-bit random number below the threshold drops."""
        threshold = min(math.ceil(self.rate * 2**32), 2**32 - 1)
        return {**self.stream.settings(lines), "threshold": threshold}

"""What must be known of gradients before the first update."""

from __future__ import annotations

from enum import IntEnum


class Need(IntEnum):
    """In ascending order: who needs one has what the ones before it give, too.

    NOTHING: Each gradient may go into its update as it is made.
    NORM: How long all gradients are together.
    WHOLE: Each gradient as a whole, or its weight.
    """

    NOTHING = 0
    NORM = 1
    WHOLE = 2

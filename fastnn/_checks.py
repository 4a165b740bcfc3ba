"""Checks of single arguments. The message names the owner, the argument, what came, what is wanted.

``owner`` is the class that takes the argument ("Dense"), or a phrase.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence


def check_integer(owner: str, argument: str, value: object, *, at_least: int | None = None) -> int:
    """``value`` as an int; TypeError if it isn't a whole number, ValueError if it is too small."""
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise TypeError(f"{owner}: {argument} must be an integer, got {value!r}")
    number = operator.index(value)
    if at_least is not None and number < at_least:
        raise ValueError(f"{owner}: {argument} must be an integer >= {at_least}, got {number}")
    return number


def check_real(
    owner: str,
    argument: str,
    value: object,
    *,
    at_least: float = -math.inf,
    above: float = -math.inf,
    at_most: float = math.inf,
    below: float = math.inf,
) -> float:
    """``value`` as a finite float within the bounds; TypeError if it isn't a number, or ValueError.

    ``at_least`` and ``at_most`` are allowed values themselves, ``above`` and ``below`` are not.
    """
    if isinstance(value, (bool, str, bytes)) or not hasattr(value, "__float__"):
        raise TypeError(f"{owner}: {argument} must be a number, got {value!r}")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not (math.isfinite(number) and at_least <= number <= at_most and above < number < below):
        bounds = ((">=", at_least), (">", above), ("<=", at_most), ("<", below))
        wanted = [f"{sign} {bound:g}" for sign, bound in bounds if math.isfinite(bound)]
        raise ValueError(
            f"{owner}: {argument} must be a finite number"
            f"{' ' * bool(wanted)}{' and '.join(wanted)}, got {number!r}"
        )
    return number


def check_flag(owner: str, argument: str, value: object) -> bool:
    """``value`` if it is True or False; TypeError otherwise."""
    if not isinstance(value, bool):
        raise TypeError(f"{owner}: {argument} must be True or False, got {value!r}")
    return value


def check_text(owner: str, argument: str, value: object) -> str:
    """``value`` if it is a string; TypeError otherwise."""
    if not isinstance(value, str):
        raise TypeError(f"{owner}: {argument} must be a string, got {value!r}")
    return value


def check_choice(owner: str, argument: str, value: object, choices: Sequence[str]) -> str:
    """``value`` if it is one of ``choices``; ValueError listing them otherwise."""
    if not isinstance(value, str) or value not in choices:
        raise ValueError(f"{owner}: {argument} must be one of {', '.join(choices)}, got {value!r}")
    return value


def check_integers(
    owner: str, argument: str, value: object, count: int, *, at_least: int
) -> tuple[int, ...]:
    """``value`` as a tuple of ``count`` ints; one int stands for as many of it.

    Raises:
        TypeError: It is neither an integer nor a sequence of integers.
        ValueError: There is another number of them, or one is too small.
    """
    if not isinstance(value, (tuple, list)):
        return (check_integer(owner, argument, value, at_least=at_least),) * count
    if len(value) != count:
        raise ValueError(
            f"{owner}: {argument} must be an integer or a tuple of {count}, got {value!r}"
        )
    return tuple(check_integer(owner, argument, each, at_least=at_least) for each in value)

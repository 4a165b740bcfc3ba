"""Numbers as a page shows them."""

from __future__ import annotations

import re
from collections.abc import Sequence

from fastnn.health.words import number, percent

MISSING = "–"

_SCIENTIFIC = re.compile(r"(?<=\d)e([-+]?\d+)\b")
_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def figure(value: float, digits: int = 3) -> str:
    """``"1.2×10⁻⁷"``, ``"0.52"``, ``"∞"``; a dash for NaN."""
    text = number(value, digits, missing=MISSING)
    if "e" not in text:
        return text.replace("inf", "∞").replace("-", "−")
    mantissa, exponent = text.split("e")
    return f"{mantissa.replace('-', '−')}×{power(int(exponent))}"


def power(exponent: int) -> str:
    """``"10⁻⁷"``."""
    return f"10{str(exponent).translate(_RAISED)}"


def share(value: float) -> str:
    """``"52 %"``; a dash for what isn't finite."""
    text = percent(value, missing=MISSING)
    return text if text == MISSING else f"{text} %"


def prose(text: str) -> str:
    """``text`` with its numbers as the page writes them."""
    return _SCIENTIFIC.sub(lambda match: f"×{power(int(match[1]))}", text)


def change(before: str, after: str) -> str:
    """``"2.3 → 0.4"``; only what came, where nothing is known of before."""
    return after if before == MISSING else f"{before} → {after}"


def step_span(steps: Sequence[int]) -> str:
    """``"step 3"``, ``"steps 3 to 5"``."""
    first, last = steps[0], steps[-1]
    return f"step {first}" if first == last else f"steps {first} to {last}"

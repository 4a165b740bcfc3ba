"""What is done to sound files: bytes, text of JSON, and numbers in headers."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Sequence
from random import Random
from typing import Any

HOSTILE_INTEGERS = (
    0, 1, -1, 2, 3, 7, 127, 128, 255, 256, 1000, 65535, 65536, 10**6, 2**31 - 1, 2**31, -(2**31),
    2**32 - 1, 2**32, 10**12, 2**62, 2**63 - 1, 2**63, -(2**63), 2**64 - 1, 2**64, 10**400,
    -(10**400),
)  # fmt: skip

_WORDS = (
    "", "é\0\ud7ff", "x" * 5000, "../../etc/passwd", "os.system", "__class__", "nan", "-inf",
    "1e999", "0x10", "lambda: 0", "same", "valid", "causal", "channels_first", "relu", "softmax",
    "mse", "sparse_categorical_crossentropy", "kernel", "units", "name", "config", "class_name",
    "layers",
)  # fmt: skip

DEEP = "\x01deep\x01"
"""Stands in a JSON value for lists within lists, deeper than Python's stack."""

_DEEP_JSON = "[" * 20_000 + "]" * 20_000


def in_bytes(random: Random, content: bytes) -> bytes:
    """Some bytes changed, left out, doubled or added; or the file cut off."""
    data = bytearray(content)
    for _ in range(random.choice((1, 1, 1, 2, 4, 16))):
        at = random.randrange(len(data) + 1)
        kind = random.randrange(8)
        if kind == 0 and at < len(data):
            data[at] ^= 1 << random.randrange(8)
        elif kind == 1 and at < len(data):
            data[at] = random.choice((0, 1, 0x7F, 0x80, 0xFF, random.randrange(256)))
        elif kind == 2:
            del data[at:]
        elif kind == 3:
            del data[at : at + random.randrange(1, 64)]
        elif kind == 4:
            data[at:at] = random.randbytes(random.randrange(1, 64))
        elif kind == 5:
            piece = data[at : at + random.randrange(1, 256)]
            place = random.randrange(len(data) + 1)
            data[place:place] = piece * random.choice((1, 1, 2, 50))
        elif kind == 6:
            width = random.choice((1, 2, 4, 8))
            number = random.choice(HOSTILE_INTEGERS) % (1 << (8 * width))
            order = random.choice(("little", "big"))
            data[at : at + width] = number.to_bytes(width, order)  # type: ignore[arg-type]
        else:
            data += random.randbytes(random.randrange(1, 64))
    return bytes(data)


def in_json(random: Random, value: Any, words: Sequence[Any] = ()) -> Any:
    """A copy of a JSON value with some of its parts replaced, moved, doubled or left out.

    Args:
        words: What fits into the value beside what is there: names, configurations.
    """
    value = copy.deepcopy(value)
    if random.random() < 0.4:
        # So little that the first checks pass.
        spots = [spot for spot in _spots(value) if not isinstance(spot[0][spot[1]], (dict, list))]
        if spots:
            owner, key = random.choice(spots)
            owner[key] = _near(random, owner[key], words)
        return value
    for _ in range(random.choice((1, 1, 1, 2, 3))):
        spots = list(_spots(value))
        if not spots:
            return hostile_value(random, words)
        owner, key = random.choice(spots)
        kind = random.randrange(10)
        if kind < 4:
            owner[key] = hostile_value(random, words)
        elif kind == 4:
            del owner[key]
        elif kind == 5:
            other, name = random.choice(spots)
            owner[key] = copy.deepcopy(other[name])
        elif kind == 6 and isinstance(owner, list):
            owner[key:key] = [owner[key]] * random.choice((1, 2, 300))
        elif kind == 7 and isinstance(owner, dict):
            owner[random.choice((*_WORDS, *owner))] = owner.pop(key)
        elif kind == 8 and isinstance(owner, list):
            random.shuffle(owner)
        else:
            owner[key] = _near(random, owner[key], words)
    return value


def hostile_value(random: Random, words: Sequence[Any] = ()) -> Any:
    """A JSON value that few programs expect."""
    kind = random.randrange(8)
    if kind == 0 and words:
        return copy.deepcopy(random.choice(words))
    if kind <= 2:
        return random.choice(HOSTILE_INTEGERS)
    if kind == 3:
        return random.choice((0.0, -0.0, 0.5, -1.5, 1e308, 1e-320, float("nan"), float("inf")))
    if kind == 4:
        return random.choice(_WORDS)
    if kind == 5:
        return random.choice((None, True, False, [], {}, [[]], [None], {"": None}))
    if kind == 6:
        return [random.choice(HOSTILE_INTEGERS) for _ in range(random.choice((1, 2, 3, 40)))]
    return random.choice((DEEP, [DEEP], {"class_name": "Sequential", "config": DEEP}))


def as_json(value: Any) -> str:
    """Its text; of any depth where ``DEEP`` stands."""
    return json.dumps(value).replace(json.dumps(DEEP), _DEEP_JSON)


def _near(random: Random, value: Any, words: Sequence[Any]) -> Any:
    """A value of the same kind, so that a type's check passes."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return random.choice(
            (value + 1, value - 1, 0, -value, value * 20, value * 1000, value << 40)
        )
    if isinstance(value, float):
        return random.choice((-value, value * 1e30, value + 1, 1e-45, 1e39))
    if isinstance(value, str):
        fitting = [word for word in words if isinstance(word, str)]
        return random.choice((*fitting, value + "x", value[:-1], value * 2))
    return hostile_value(random, words)


def _spots(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every place inside: what holds it, and its key there."""
    if isinstance(value, (dict, list)):
        for key in value if isinstance(value, dict) else range(len(value)):
            yield value, key
            yield from _spots(value[key])

"""IDX files, plain and .gz: what they say of themselves, and how they are packed."""

from __future__ import annotations

import gzip
import math
import struct
from pathlib import Path
from random import Random

from fastnn import datasets
from fuzz import damage

ALLOWED = (ValueError,)
_LABELS = struct.pack(">4BI", 0, 0, 8, 1, 3) + bytes(3)


_SIZES = {0x08: 1, 0x09: 1, 0x0B: 2, 0x0C: 4, 0x0D: 4, 0x0E: 8}
_NAME = "train-images-idx3-ubyte"


def seeds() -> list[tuple[str, bytes]]:
    """Pictures of each type of number, plain and packed."""
    found = [
        struct.pack(">4B3I", 0, 0, code, 3, 3, 2, 2) + bytes(range(12 * size))
        for code, size in _SIZES.items()
    ]
    return [(_NAME, content) for content in found] + [(_NAME + ".gz", gzip.compress(found[0], 1))]


def damaged(random: Random, name: str, content: bytes) -> tuple[str, bytes]:
    """Another file in the place of one."""
    kind = random.randrange(5)
    if kind == 0:
        return name, damage.in_bytes(random, content)
    if kind == 1:
        shape = [
            random.choice(damage.HOSTILE_INTEGERS) % 2**32
            for _ in range(random.choice((0, 1, 2, 3, 4, 32, 33, 64, 65, 255)))
        ]
        content = _head(random.choice((*_SIZES, 0, 0x0A, 0xFF)), shape) + content[16:]
    elif kind == 2:
        # As long as its header says, so that only the shape is odd.
        code = random.choice((*_SIZES,))
        shape = [random.choice((0, 1, 2, 3, 7)) for _ in range(random.randrange(1, 70))]
        size = math.prod(shape) * _SIZES[code] if len(shape) < 6 else random.randrange(9)
        content = _head(code, shape) + random.randbytes(max(0, size + random.choice((-1, 0, 0, 1))))
    elif kind == 3:
        # A small file that is large: more zeros than its header says, or fewer.
        head = _head(8, [random.choice((1, 10**6, 10**9, 2**32 - 1))])
        packed = gzip.compress(head + bytes(random.choice((1, 10**5, 10**6))), 1)
        return _NAME + ".gz", packed if random.random() < 0.5 else damage.in_bytes(random, packed)
    else:
        content = random.choice(seeds())[1][: random.randrange(4, 40)] + random.randbytes(8)
    if random.random() < 0.5:
        return _NAME, content
    packed = gzip.compress(content, 1)
    return _NAME + ".gz", packed if random.random() < 0.5 else damage.in_bytes(random, packed)


def load(name: str, content: bytes, directory: Path) -> None:
    """As ``fastnn train DIRECTORY`` and ``fastnn predict`` do."""
    (directory / "train-labels-idx1-ubyte").write_bytes(_LABELS)
    (directory / name).write_bytes(content)
    datasets.load(directory)
    datasets.files.load_inputs(directory)


def _head(code: int, shape: list[int]) -> bytes:
    return struct.pack(f">4B{len(shape)}I", 0, 0, code, len(shape) % 256, *shape)

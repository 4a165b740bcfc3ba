"""SipHash-2-4 (Aumasson & Bernstein 2012), the hash that Keras puts strings of no vocabulary into
buckets by where it is given a salt."""

from __future__ import annotations

_MASK = (1 << 64) - 1


def siphash(key: tuple[int, int], text: bytes) -> int:
    """From 0 to 2**64 - 1; of the key the low 64 bits of each number."""
    low, high = (part & _MASK for part in key)
    state = (
        low ^ 0x736F6D6570736575, high ^ 0x646F72616E646F6D,
        low ^ 0x6C7967656E657261, high ^ 0x7465646279746573,
    )  # fmt: skip
    padded = text + bytes(7 - len(text) % 8) + bytes([len(text) & 255])
    for start in range(0, len(padded), 8):
        word = int.from_bytes(padded[start : start + 8], "little")
        a, b, c, d = state
        a, b, c, d = _mixed(a, b, c, d ^ word, 2)
        state = a ^ word, b, c, d
    a, b, c, d = state
    a, b, c, d = _mixed(a, b, c ^ 0xFF, d, 4)
    return a ^ b ^ c ^ d


def _mixed(a: int, b: int, c: int, d: int, rounds: int) -> tuple[int, int, int, int]:
    for _ in range(rounds):
        a = (a + b) & _MASK
        b = _rotated(b, 13) ^ a
        a = _rotated(a, 32)
        c = (c + d) & _MASK
        d = _rotated(d, 16) ^ c
        a = (a + d) & _MASK
        d = _rotated(d, 21) ^ a
        c = (c + b) & _MASK
        b = _rotated(b, 17) ^ c
        c = _rotated(c, 32)
    return a, b, c, d


def _rotated(value: int, by: int) -> int:
    return ((value << by) | (value >> (64 - by))) & _MASK

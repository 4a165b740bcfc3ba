"""FarmHash's Fingerprint64 (farmhashna::Hash64 of google/farmhash), the hash that Keras puts
strings of no vocabulary into buckets by."""

from __future__ import annotations

_K0, _K1, _K2 = 0xC3A5C85C97CB3127, 0xB492B66FBE98F273, 0x9AE16A3B2F90404F
_MASK = (1 << 64) - 1


def fingerprint64(text: bytes) -> int:
    """From 0 to 2**64 - 1."""
    n = len(text)
    if n <= 16:
        return _up_to_16(text)
    if n <= 32:
        return _up_to_32(text)
    if n <= 64:
        return _up_to_64(text)
    return _longer(text)


def _u64(text: bytes, at: int) -> int:
    return int.from_bytes(text[at : at + 8], "little")


def _u32(text: bytes, at: int) -> int:
    return int.from_bytes(text[at : at + 4], "little")


def _rotated(value: int, by: int) -> int:
    value &= _MASK
    return ((value >> by) | (value << (64 - by))) & _MASK


def _mixed(value: int) -> int:
    return value ^ (value >> 47)


def _of_two(u: int, v: int, multiplier: int) -> int:
    a = _mixed(((u ^ v) * multiplier) & _MASK)
    b = _mixed(((v ^ a) * multiplier) & _MASK)
    return (b * multiplier) & _MASK


def _up_to_16(text: bytes) -> int:
    n = len(text)
    multiplier = _K2 + n * 2
    if n >= 8:
        a = (_u64(text, 0) + _K2) & _MASK
        b = _u64(text, n - 8)
        c = (_rotated(b, 37) * multiplier + a) & _MASK
        d = ((_rotated(a, 25) + b) * multiplier) & _MASK
        return _of_two(c, d, multiplier)
    if n >= 4:
        return _of_two(n + (_u32(text, 0) << 3), _u32(text, n - 4), multiplier)
    if n > 0:
        y = text[0] + (text[n >> 1] << 8)
        z = n + (text[n - 1] << 2)
        return (_mixed((y * _K2 ^ z * _K0) & _MASK) * _K2) & _MASK
    return _K2


def _up_to_32(text: bytes) -> int:
    n = len(text)
    multiplier = _K2 + n * 2
    a = (_u64(text, 0) * _K1) & _MASK
    b = _u64(text, 8)
    c = (_u64(text, n - 8) * multiplier) & _MASK
    d = (_u64(text, n - 16) * _K2) & _MASK
    u = (_rotated(a + b, 43) + _rotated(c, 30) + d) & _MASK
    return _of_two(u, (a + _rotated(b + _K2, 18) + c) & _MASK, multiplier)


def _swapped(value: int) -> int:
    return int.from_bytes((value & _MASK).to_bytes(8, "little"), "big")


def _up_to_64(text: bytes) -> int:
    n = len(text)
    multiplier = _K2 + n * 2
    a = (_u64(text, 0) * _K2) & _MASK
    b = _u64(text, 8)
    c = (_u64(text, n - 8) * multiplier) & _MASK
    d = (_u64(text, n - 16) * _K2) & _MASK
    y = (_rotated(a + b, 43) + _rotated(c, 30) + d) & _MASK
    z = _of_two(y, (a + _rotated(b + _K2, 18) + c) & _MASK, multiplier)
    e = (_u64(text, 16) * multiplier) & _MASK
    f = _u64(text, 24)
    g = ((y + _u64(text, n - 32)) * multiplier) & _MASK
    h = ((z + _u64(text, n - 24)) * multiplier) & _MASK
    u = (_rotated(e + f, 43) + _rotated(g, 30) + h) & _MASK
    return _of_two(u, (e + _rotated(f + a, 18) + g) & _MASK, multiplier)


def _weak(text: bytes, at: int, a: int, b: int) -> tuple[int, int]:
    w, x, y, z = (_u64(text, at + 8 * i) for i in range(4))
    a = (a + w) & _MASK
    b = _rotated(b + a + z, 21)
    c = a
    a = (a + x + y) & _MASK
    b = (b + _rotated(a, 44)) & _MASK
    return (a + z) & _MASK, (b + c) & _MASK


def _longer(text: bytes) -> int:
    seed = 81
    n = len(text)
    x, y = seed, (seed * _K1 + 113) & _MASK
    z = (_mixed((y * _K2 + 113) & _MASK) * _K2) & _MASK
    v, w = (0, 0), (0, 0)
    x = (x * _K2 + _u64(text, 0)) & _MASK
    end = (n - 1) // 64 * 64
    last = end + ((n - 1) & 63) - 63
    for at in range(0, end, 64):
        x = (_rotated(x + y + v[0] + _u64(text, at + 8), 37) * _K1) & _MASK
        y = (_rotated(y + v[1] + _u64(text, at + 48), 42) * _K1) & _MASK
        x ^= w[1]
        y = (y + v[0] + _u64(text, at + 40)) & _MASK
        z = (_rotated(z + w[0], 33) * _K1) & _MASK
        v = _weak(text, at, v[1] * _K1, x + w[0])
        w = _weak(text, at + 32, z + w[1], y + _u64(text, at + 16))
        z, x = x, z
    multiplier = _K1 + ((z & 0xFF) << 1)
    at = last
    w = ((w[0] + ((n - 1) & 63)) & _MASK, w[1])
    v = ((v[0] + w[0]) & _MASK, v[1])
    w = ((w[0] + v[0]) & _MASK, w[1])
    x = (_rotated(x + y + v[0] + _u64(text, at + 8), 37) * multiplier) & _MASK
    y = (_rotated(y + v[1] + _u64(text, at + 48), 42) * multiplier) & _MASK
    x ^= (w[1] * 9) & _MASK
    y = (y + v[0] * 9 + _u64(text, at + 40)) & _MASK
    z = (_rotated(z + w[0], 33) * multiplier) & _MASK
    v = _weak(text, at, v[1] * multiplier, x + w[0])
    w = _weak(text, at + 32, z + w[1], y + _u64(text, at + 16))
    z, x = x, z
    return _of_two(
        (_of_two(v[0], w[0], multiplier) + _mixed(y) * _K0 + z) & _MASK,
        (_of_two(v[1], w[1], multiplier) + x) & _MASK,
        multiplier,
    )

"""Pictures, alone and in a folder: their headers and chunks."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path
from random import Random

import numpy as np
from PIL import Image

from fastnn import utils
from fuzz import damage

ALLOWED = (ValueError,)


def seeds() -> list[tuple[str, bytes]]:
    """A picture of each format and of several modes."""
    pixels = np.arange(8 * 9 * 4, dtype=np.uint8).reshape(8, 9, 4)
    rgb = Image.fromarray(pixels[:, :, :3])
    turned = Image.Exif()
    turned[0x0112] = 6
    return [
        _picture("png", rgb),
        _picture("png", Image.fromarray(pixels)),
        _picture("png", rgb.convert("P"), transparency=3),
        _picture("png", Image.fromarray(pixels[:, :, 0].astype(np.uint16) * 255), transparency=7),
        _picture("png", rgb.convert("1")),
        _picture("jpg", rgb, exif=turned.tobytes()),
        _picture("jpg", rgb.convert("CMYK")),
        _picture("jpg", rgb, progressive=True),
        _picture("bmp", rgb),
        _picture("bmp", rgb.convert("P")),
        _picture("gif", rgb.convert("P"), transparency=3),
        _picture("gif", rgb.convert("P"), save_all=True, append_images=[rgb.convert("P")]),
        _picture("webp", rgb),
        _picture("webp", Image.fromarray(pixels), lossless=True, exif=turned.tobytes()),
    ]


def damaged(random: Random, name: str, content: bytes) -> tuple[str, bytes]:
    """Another file in the place of one."""
    if random.random() < 0.05:
        return random.choice(("a.png", "a.jpg", "a.bmp", "a.gif", "a.webp")), content
    if name.endswith("png") and random.random() < 0.6:
        return name, _in_chunks(random, content)
    if random.random() < 0.4:
        # Where sizes stand in each of the formats.
        at = random.randrange(4, 40)
        number = random.choice(damage.HOSTILE_INTEGERS) % 2**32
        data = bytearray(content)
        data[at : at + 4] = number.to_bytes(4, random.choice(("little", "big")))  # type: ignore[arg-type]
        return name, bytes(data)
    return name, damage.in_bytes(random, content)


def load(name: str, content: bytes, directory: Path) -> None:
    """As ``load_img`` and ``image_dataset_from_directory`` do."""
    folder = directory / "pictures" / "kind"
    folder.mkdir(parents=True)
    path = folder / name
    path.write_bytes(content)
    for mode in ("rgb", "rgba", "grayscale"):
        utils.load_img(path, mode, target_size=(5, 4))
    utils.image_dataset_from_directory(
        folder.parent, image_size=(4, 4), verbose=False, shuffle=False, cache=directory / "cache",
    )  # fmt: skip


def _in_chunks(random: Random, content: bytes) -> bytes:
    """A PNG whose checksums are right, so that its chunks are believed."""
    chunks, at = [], 8
    while at + 8 <= len(content):
        (length,) = struct.unpack_from(">I", content, at)
        chunks.append((content[at + 4 : at + 8], content[at + 8 : at + 8 + length]))
        at += 12 + length
    k = random.randrange(len(chunks))
    kind, data = chunks[k]
    choice = random.randrange(5)
    if kind == b"IHDR" and random.random() < 0.7:
        width, height, *rest = struct.unpack(">2I5B", data)
        sizes = [random.choice(damage.HOSTILE_INTEGERS) % 2**32, random.choice((1, 8, 30_000))]
        random.shuffle(sizes)
        rest[random.randrange(5)] = random.choice((0, 1, 2, 3, 4, 6, 8, 16, 255))
        data = struct.pack(">2I5B", *random.choice((sizes, [width, height])), *rest)
        chunks[k] = kind, data
    elif choice == 0:
        chunks[k] = kind, damage.in_bytes(random, data)
    elif choice == 1:
        del chunks[k]
    elif choice == 2:
        chunks.insert(random.randrange(len(chunks)), (kind, data))
    elif choice == 3:
        packed = zlib.compress(bytes(random.choice((10, 10**5, 10**6))), 1)
        extra = random.choice((b"IDAT", b"zTXt", b"iCCP", b"tEXt", b"PLTE", b"tRNS", b"eXIf"))
        body = packed if extra == b"IDAT" else b"key\0\0" + packed
        chunks.insert(random.randrange(len(chunks)), (extra, body))
    else:
        chunks[k] = random.randbytes(4), data
    return content[:8] + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )


def _picture(suffix: str, image: Image.Image, **options: object) -> tuple[str, bytes]:
    file = io.BytesIO()
    image.save(file, {"jpg": "JPEG"}.get(suffix, suffix.upper()), **options)
    return f"a.{suffix}", file.getvalue()

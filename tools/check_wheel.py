"""Check what a wheel holds and how large it is.

    python tools/check_wheel.py dist/fastnn-*.whl

Sizes are compressed, as they lie in the wheel.
"""

from __future__ import annotations

import sys
import zipfile
from pathlib import Path

MIB = 2**20
MAX_WHEEL = 11.5 * MIB
MAX_CODE = 1.6 * MIB
"""All but the data sets. 0.13 of it is the exchange between processes, nearly all what Cython makes
of memoryviews."""

DATA = "fastnn/datasets/data/"
WANTED = (
    "fastnn/py.typed",
    "fastnn/engine/executable.pyi",
    "fastnn/kernels/levels.pyi",
    "fastnn/health/html/page.html",
    f"{DATA}mnist.zip",
    f"{DATA}MNIST-LICENSE.md",
)
UNWANTED = (".c", ".h", ".pyx", ".pxd", ".pyc")


def faults(wheel: Path) -> list[str]:
    """What is wrong with the wheel, a sentence each."""
    with zipfile.ZipFile(wheel) as archive:
        sizes = {entry.filename: entry.compress_size for entry in archive.infolist()}
    code = sum(size for name, size in sizes.items() if not name.startswith(DATA))
    total = wheel.stat().st_size
    print(f"{wheel.name}: {total / MIB:.2f} MiB, {code / MIB:.2f} MiB of it code")
    found = [f"{name} is missing" for name in WANTED if name not in sizes]
    found += [f"{name} has no place in a wheel" for name in sizes if name.endswith(UNWANTED)]
    found += [
        f"{name} is not a part of fastnn"
        for name in sizes
        if not name.startswith(("fastnn/", "fastnn-"))
    ]
    if total > MAX_WHEEL:
        found.append(f"the wheel has {total / MIB:.2f} MiB, more than {MAX_WHEEL / MIB}")
    if code > MAX_CODE:
        found.append(f"the code has {code / MIB:.2f} MiB, more than {MAX_CODE / MIB}")
    return found


if __name__ == "__main__":
    sys.exit("\n".join(faults(Path(sys.argv[1]))) or None)

"""Make fastnn/datasets/data/mnist.zip from the four published IDX files of MNIST.

    python tools/pack_mnist.py DIRECTORY

DIRECTORY holds train-images-idx3-ubyte.gz and its three siblings, plain or .gz. The result depends
on nothing but them and the version of zlib; fastnn/datasets/mnist.py explains the format. What was
packed is loaded again, and so compared with the published SHA-256, before the script ends.
"""

from __future__ import annotations

import argparse
import zipfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fastnn.datasets import files, mnist


def pack(directory: Path, archive_path: Path) -> None:
    """Write the archive of the IDX files in ``directory``."""
    (x_train, y_train), (x_test, y_test) = files.load(directory)
    with zipfile.ZipFile(archive_path, "w") as archive:
        for split, images, labels in (("train", x_train, y_train), ("t10k", x_test, y_test)):
            for start in range(0, len(images), mnist.PIECE):
                piece = images[start : start + mnist.PIECE].reshape(-1, mnist.SIDE**2)
                name = f"{split}-{start // mnist.PIECE}"
                ink = (piece != 0).view(np.uint8)
                inner = mnist.interior(ink)
                add(archive, f"{name}-ink", np.packbits(ink, axis=1), zipfile.ZIP_LZMA)
                add(archive, f"{name}-interior", piece[inner != 0], zipfile.ZIP_DEFLATED)
                add(archive, f"{name}-edge", piece[ink != inner], zipfile.ZIP_DEFLATED)
            add(archive, f"{split}-labels", labels, zipfile.ZIP_DEFLATED)


def add(archive: zipfile.ZipFile, name: str, data: NDArray[np.uint8], method: int) -> None:
    """Add one member, with a fixed date so that the same input gives the same file."""
    member = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
    member.external_attr = 0o644 << 16
    archive.writestr(member, data.tobytes(), method, compresslevel=9)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("directory", type=Path, help="where the four IDX files are")
    pack(parser.parse_args().directory, mnist.ARCHIVE)
    mnist.load_data()
    print(f"{mnist.ARCHIVE}: {mnist.ARCHIVE.stat().st_size:,} bytes, read back and verified")


if __name__ == "__main__":
    main()

"""Files that are written whole or not at all, and what is said of one that is at fault."""

from __future__ import annotations

import os


def shortened(text: object, most: int = 800) -> str:
    """What a file holds, for a message: beginning and end if it is of more characters."""
    whole = str(text)
    if len(whole) <= most:
        return whole
    return f"{whole[: most * 3 // 4]} ... {whole[-most // 4 :]}"


def write_whole(
    path: str | os.PathLike[str], content: bytes | memoryview, *, sync: bool = True
) -> None:
    """Write ``content`` to a file that takes the place of ``path`` once it is on the disk.

    Args:
        sync: Whether to wait for the disk, some milliseconds. Without it, the file is whole after a
            crash of the process, but perhaps not after one of the machine.

    Raises:
        OSError: it can't be written; what was at ``path`` is still there.
    """
    directory, name = os.path.split(os.fspath(path))
    temporary = os.path.join(directory, f".{name}.{os.urandom(8).hex()}.tmp")
    try:
        with open(temporary, "xb") as file:
            file.write(content)
            if sync:
                file.flush()
                os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        if os.path.exists(temporary):
            os.unlink(temporary)
        raise

"""Whether there is memory for large arrays."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path


def available_memory() -> int | None:
    """Bytes that the process may take at most: those that the machine has left, or the limit of
    its cgroup (version 2) if that is less; None where nobody says, as on macOS."""
    found = []
    with suppress(OSError, ValueError, StopIteration):
        lines = Path("/proc/meminfo").read_text().splitlines()
        line = next(line for line in lines if line.startswith("MemAvailable:"))
        found.append(int(line.split()[1]) * 1024)
    with suppress(OSError, ValueError):  # without a limit it says "max"
        found.append(int(Path("/sys/fs/cgroup/memory.max").read_text()))
    return min(found, default=None)


def check_memory(wanted: int, what: str) -> None:
    """MemoryError if there are not so many bytes. Linux promises memory beyond what there is, and
    kills who uses it, without a word.

    Args:
        what: Is to be held, for the message.
    """
    there = available_memory()
    if there is not None and wanted > there:
        raise MemoryError(
            f"{what} take {wanted / 1e9:.1f} GB of memory, and there are at most "
            f"{there / 1e9:.1f} GB"
        )

"""How many threads the engine uses, and what it runs on."""

from __future__ import annotations

import functools
import math
import os
from collections.abc import Callable, Sequence

from fastnn.engine import openmp

_MAX_THREADS = 256
_n_threads: int | None = None
_said = False


def _from_environment(name: str) -> int | None:
    """The first number of a variable such as ``OMP_NUM_THREADS=4,2``."""
    text = os.environ.get(name, "").strip()
    if not text:
        return None
    first = text.split(",")[0].strip()
    if not first.isdigit() or int(first) < 1:
        raise ValueError(f"{name} must be a positive integer, got {text!r}")
    return min(int(first), _MAX_THREADS)


def _cgroup_quota() -> float:
    """CPUs that the process's control group may use; infinity where there is no limit."""
    from pathlib import Path

    root = Path("/sys/fs/cgroup")
    quota = math.inf
    try:
        for line in Path("/proc/self/cgroup").read_text().splitlines():
            number, controllers, group = line.split(":", 2)
            if number == "0" and not controllers:  # version 2: a limit holds for all groups below
                path = root / group.lstrip("/")
                for directory in (path, *path.parents):
                    limit = directory / "cpu.max"
                    if limit.is_file():
                        most, period = limit.read_text().split()
                        if most != "max":
                            quota = min(quota, int(most) / int(period))
                    if directory == root:
                        break
            elif "cpu" in controllers.split(","):
                directory = root / "cpu" / group.lstrip("/")
                if not directory.is_dir():
                    directory = root / "cpu"
                most = (directory / "cpu.cfs_quota_us").read_text().strip()
                period = (directory / "cpu.cfs_period_us").read_text().strip()
                if int(most) > 0:
                    quota = min(quota, int(most) / int(period))
    except (OSError, ValueError):
        return quota  # not Linux, or no such file: affinity alone decides
    return quota


@functools.cache
def usable_cores() -> int:
    """Cores that the process may really use, as it was when this was first asked."""
    if hasattr(os, "sched_getaffinity"):
        cores = len(os.sched_getaffinity(0))
    else:
        cores = os.cpu_count() or 1
    return max(1, math.ceil(min(cores, _cgroup_quota(), _MAX_THREADS)))


_UNITS = {"B": 1, "K": 2**10, "M": 2**20, "G": 2**30}


def stack_bytes() -> int:
    """Of a thread that OpenMP makes, as ``OMP_STACKSIZE`` says ("16M", or a number of KiB); 0 for
    the system's default."""
    for name in ("OMP_STACKSIZE", "GOMP_STACKSIZE", "KMP_STACKSIZE"):
        text = os.environ.get(name, "").strip().upper()
        number, unit = (text[:-1].strip(), text[-1]) if text[-1:] in _UNITS else (text, "K")
        if number.isdigit():
            return int(number) * _UNITS[unit]
    return 0


def in_threads(work: Callable[..., None], parts: Sequence[tuple[int, int]]) -> None:
    """Call ``work(first, last)`` for each part, which may be twice, in threads if there are any."""
    from concurrent.futures import ThreadPoolExecutor

    try:
        with ThreadPoolExecutor(max(1, len(parts))) as pool:
            list(pool.map(lambda part: work(*part), parts))
    except RuntimeError:  # Python's word for no memory, or by a limit, no thread
        for part in parts:
            work(*part)


def _told_by_environment() -> int | None:
    return _from_environment("FASTNN_NUM_THREADS") or _from_environment("OMP_NUM_THREADS")


def share_cores(processes: int) -> None:
    """So many processes, this one among them, may use the same cores: unless somebody has said how
    many threads this one uses, it takes its share."""
    global _n_threads
    if not _said and _told_by_environment() is None:
        _n_threads = max(1, usable_cores() // processes)


def get_num_threads() -> int:
    """Threads that training and prediction use.

    What ``set_num_threads`` said; else ``FASTNN_NUM_THREADS``, else ``OMP_NUM_THREADS``, else the
    cores that the process may really use (affinity, cgroup quota). Within ``with
    threadpoolctl.threadpool_limits(n)``, at most ``n``. Calls that run at the same time in several
    Python threads share these cores: each gets those that the others leave, at least one.
    """
    global _n_threads
    if _n_threads is None:
        _n_threads = _told_by_environment() or usable_cores()
    limit = openmp.limit()
    return _n_threads if limit is None else min(_n_threads, limit)


def set_num_threads(n: int) -> None:
    """Use ``n`` threads from now on. Results do not depend on it, to the last bit.

    Raises:
        TypeError: if ``n`` is not an integer.
        ValueError: if ``n`` is not within 1..256.
    """
    global _n_threads, _said
    if isinstance(n, bool) or not hasattr(n, "__index__"):
        raise TypeError(f"n must be an integer, got {n!r}")
    if not 1 <= n <= _MAX_THREADS:
        raise ValueError(f"n must be within 1..{_MAX_THREADS}, got {n}")
    _n_threads, _said = int(n), True


def show_config() -> None:
    """Print version, CPU level in use and those available, and threads."""
    from fastnn._version import __version__
    from fastnn.kernels import levels

    print(f"fastnn {__version__}")
    print(f"CPU level: {levels.level()} (this CPU runs {', '.join(levels.levels())})")
    print(f"threads: {get_num_threads()}")

"""A folder of pictures becomes a file of rows: each file read once, decoded by parallel threads."""

from __future__ import annotations

import math
import os
import sys
import time
import warnings
from collections import deque
from collections.abc import Sequence
from threading import Event, Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastnn.engine.threads import get_num_threads
from fastnn.images.cache import Cache, Entry, digest_of
from fastnn.images.decode import (
    BadPicture,
    UnreadableFile,
    checked_format,
    decode_array,
    pillow,
    read_bytes,
)
from fastnn.images.form import Form
from fastnn.images.listing import Stamp

_CHUNK_PICTURES = 64
_CHUNK_BYTES = 1 << 20
"""Rows that a thread decodes before it writes them, at least one: memory is bounded by it."""

_SMALL = 200e-6
"""Seconds of a core. A picture that takes less is mostly Python's work, which one thread does at a
time: several would only wait for each other."""

_SLOW = 1e-3
"""Seconds from begin to end. A small picture that takes more waits for a disk, as several can."""

_TICK = 100_000_000
"""Nanoseconds within which a clock of files may show no difference."""

_UNSETTLED: Stamp = (-2, 0, 0)
"""In the place of a stamp that proves nothing: the next run reads the file again."""


def stored(
    cache: Cache, directory: str, names: Sequence[str], stamps: Sequence[Stamp], form: Form,
    verbose: bool,
) -> tuple[NDArray[np.uint8], Entry]:  # fmt: skip
    """The pictures in this order, from the cache as far as they are in it.

    Returns:
        Memory-mapped uint8 (N, height, width, channels) of those that are good, and what is known
        of all.

    Raises:
        OSError: The cache can't be written; nothing of it is believed then.
        ImportError: Something must be decoded, and Pillow is not installed.
    """
    while True:
        entry = cache.find(names, stamps)
        if entry is None:
            with cache.lock():
                entry = cache.find(names, stamps)
                if entry is None:
                    entry = _Build(cache, directory, names, stamps, form).run(verbose)
                    pixels = cache.load(entry)
                    cache.publish(names, entry)
                    cache.sweep()
                    return pixels, entry
        try:
            return cache.load(entry), entry
        except FileNotFoundError:  # swept by another process in this moment
            continue


class _Build:
    """Writes the pixels of one entry."""

    def __init__(
        self, cache: Cache, directory: str, names: Sequence[str], stamps: Sequence[Stamp],
        form: Form,
    ) -> None:  # fmt: skip
        assert form.size is not None
        self._cache, self._form = cache, form
        self._prefix = os.path.join(directory, "")
        self._names, self._stamps = names, stamps
        self._row = (*form.size, form.channels)
        self._row_bytes = math.prod(self._row)
        self._digests = [""] * len(names)
        self._reasons: dict[int, str] = {}
        self._unread: set[int] = set()
        self._begun = time.time_ns()
        self._stop = Event()
        self._small = True
        self._turn = Lock()  # who decodes small pictures
        # What is decoded already, by name and by content.
        self._by_name: dict[tuple[str, Stamp], tuple[NDArray[np.uint8], int, str]] = {}
        self._by_digest: dict[str, tuple[NDArray[np.uint8], int]] = {}
        for entry in cache.entries():
            try:
                pixels = cache.load(entry)
            except FileNotFoundError:  # swept, where the file system has no locks
                continue
            for row, (name, (stamp, digest)) in enumerate(entry.good.items()):
                self._by_name[name, stamp] = pixels, row, digest
                self._by_digest[digest] = pixels, row

    def run(self, verbose: bool) -> Entry:
        """Decode, write, and wait until it is on the disk."""
        pillow()
        name = self._cache.new_pixels()
        path = self._cache.path / name
        try:
            with open(path, "x+b", buffering=0) as file:
                self._fill(file.fileno(), verbose)
                self._close_gaps(file.fileno())
                os.fsync(file.fileno())
        except BaseException as error:
            path.unlink(missing_ok=True)
            if isinstance(error, OSError):
                what = f"the cache of pictures can't be written: {error.strerror or error}"
                raise OSError(error.errno, what, str(path)) from error
            raise
        good = [i for i in range(len(self._names)) if i not in self._reasons]
        return Entry(
            (len(good), *self._row),
            name,
            {self._names[i]: (self._settled(i), self._digests[i]) for i in good},
            {self._names[i]: (self._settled(i), self._reasons[i]) for i in sorted(self._reasons)},
        )

    def _settled(self, i: int) -> Stamp:
        """The stamp, if a later change of the file must show in it."""
        stamp = self._stamps[i]
        return _UNSETTLED if i in self._unread or max(stamp) > self._begun - _TICK else stamp

    def _fill(self, file: int, verbose: bool) -> None:
        from concurrent.futures import Future, ThreadPoolExecutor

        n, threads = len(self._names), get_num_threads()
        step = max(1, min(_CHUNK_PICTURES, _CHUNK_BYTES // self._row_bytes))
        waiting: deque[Future[int]] = deque()
        with (
            _bar(n, verbose) as bar,
            # Pillow's warnings have no file name. Those that matter are faults here.
            warnings.catch_warnings(),
            ThreadPoolExecutor(threads) as pool,
        ):
            warnings.filterwarnings("ignore", module=r"PIL\b")
            try:
                for start in range(0, n, step):
                    if len(waiting) > 2 * threads:
                        bar.update(waiting.popleft().result())
                    waiting.append(pool.submit(self._chunk, file, start, min(start + step, n)))
                while waiting:
                    bar.update(waiting.popleft().result())
            except BaseException:
                self._stop.set()
                pool.shutdown(cancel_futures=True)
                raise

    def _chunk(self, file: int, start: int, stop: int) -> int:
        if not self._small:
            return self._decode(file, start, stop)
        with self._turn:
            return self._decode(file, start, stop)

    def _decode(self, file: int, start: int, stop: int) -> int:
        begun, used = time.perf_counter(), time.thread_time()
        rows = np.zeros((stop - start, *self._row), np.uint8)
        for i in range(start, stop):
            if self._stop.is_set():
                return 0
            try:
                self._put(i, rows[i - start])
            except BadPicture as fault:
                self._reasons[i] = str(fault)
                if isinstance(fault, UnreadableFile):
                    self._unread.add(i)
            except MemoryError as fault:  # Pillow's own says nothing
                name = self._prefix + self._names[i]
                raise MemoryError(f"{name}: there is too little memory to decode it") from fault
        _write(file, rows, start * self._row_bytes)
        passed, used = time.perf_counter() - begun, time.thread_time() - used
        if max(used / _SMALL, passed / _SLOW) > stop - start:
            self._small = False  # from now on, several at a time
        return stop - start

    def _put(self, i: int, row: NDArray[np.uint8]) -> None:
        """One picture's numbers into its row."""
        name = self._names[i]
        known = self._by_name.get((name, self._stamps[i]))
        if known is not None:
            pixels, number, self._digests[i] = known
            row[:] = pixels[number]
            return
        suffix = os.path.splitext(name)[1].lower()
        content = read_bytes(self._prefix + name, self._form)
        checked_format(content, suffix, self._form)
        self._digests[i] = digest_of(content)
        same = self._by_digest.get(self._digests[i])
        row[:] = decode_array(content, suffix, self._form) if same is None else same[0][same[1]]

    def _close_gaps(self, file: int) -> None:
        """Move rows down over those that hold no picture."""
        size, to = self._row_bytes, 0
        for i in range(len(self._names)):
            if i in self._reasons:
                continue
            if i != to:
                _write(file, os.pread(file, size, i * size), to * size)
            to += 1
        os.ftruncate(file, to * size)


def _write(file: int, content: Any, place: int) -> None:
    """All of it: the system may take less at a time."""
    view = memoryview(content).cast("B")
    while view:
        written = os.pwrite(file, view, place)
        view, place = view[written:], place + written


def _bar(n: int, verbose: bool) -> Any:
    from tqdm import tqdm

    # Without the thread with which tqdm watches for slow bars: it would not survive a fork.
    make_bar: Any = type("Bar", (tqdm,), {"monitor_interval": 0})
    # disable=None: on a terminal only
    return make_bar(
        total=n, desc="Reading pictures", unit="", file=sys.stderr, leave=False,
        disable=None if verbose else True,
    )  # fmt: skip

"""Results kept as they come, a line of JSON each, so that an interrupted run goes on."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

Record = dict[str, Any]
"""JSON values; ``name`` tells records of a file apart."""

_WORDS = {"Infinity": math.inf, "-Infinity": -math.inf, "NaN": math.nan}
"""JSON has no such numbers: they are written as these words."""


def read(path: Path, settings: Mapping[str, Any]) -> dict[str, Record]:
    """Name -> record; empty if there is no such file.

    A last line that was cut off by the interruption does not count.

    Raises:
        ValueError: The records were made with other settings, or the file is no journal.
    """
    lines = path.read_text(encoding="utf-8").split("\n")[:-1] if path.exists() else []
    if not lines:
        return {}
    try:
        found = [_decode(json.loads(line)) for line in lines]
        made_with, records = found[0]["settings"], {each["name"]: each for each in found[1:]}
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path} is no file of results: {error!r}") from error
    if made_with != settings:
        raise ValueError(
            f"{path} was made with {made_with}, not with {dict(settings)}: name another folder"
        )
    return records


def run(
    path: Path,
    settings: Mapping[str, Any],
    job: Callable[..., Record],
    jobs: Mapping[str, tuple[Any, ...]],
    processes: int,
    say: Callable[[str], None],
) -> dict[str, Record]:
    """Do what the file does not have yet, and return all of ``jobs``, in their order.

    Args:
        path: The file; it is made where there is none.
        settings: JSON values that all records depend on.
        job: A function of a module; its record gets the job's name.
        jobs: Name -> arguments of ``job``.
        processes: That work at a time, each on one thread.
        say: Is told how far it is.

    Raises:
        ValueError: See :func:`read`.
    """
    import multiprocessing
    from concurrent.futures import ProcessPoolExecutor, as_completed

    done = read(path, settings)
    missing = {name: arguments for name, arguments in jobs.items() if name not in done}
    if missing:
        _mend(path, settings)
        # NumPy's library reads them when a process starts.
        os.environ |= dict.fromkeys(("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
        context = multiprocessing.get_context("spawn")
        with (
            path.open("a", encoding="utf-8") as file,
            ProcessPoolExecutor(processes, context, _one_thread) as pool,
        ):
            waiting = {pool.submit(job, *missing[name]): name for name in missing}
            try:
                for future in as_completed(waiting):
                    name = waiting[future]
                    done[name] = _decode(_encode({"name": name, **future.result()}))
                    file.write(_line(done[name]))
                    file.flush()
                    say(f"{path.name}: {len(done)} of {len(done.keys() | jobs.keys())}, {name}")
            finally:
                pool.shutdown(cancel_futures=True)
    return {name: done[name] for name in jobs}


def _mend(path: Path, settings: Mapping[str, Any]) -> None:
    """Begin the file, or cut off a line that an interruption left unfinished."""
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    whole = text[: text.rfind("\n") + 1]
    path.write_text(whole or _line({"settings": dict(settings)}), encoding="utf-8")


def _one_thread() -> None:
    """Nets side by side are faster than one net on several threads."""
    import fastnn as fnn

    fnn.set_num_threads(1)


def _line(record: Mapping[str, Any]) -> str:
    return json.dumps(_encode(record), allow_nan=False) + "\n"


def _encode(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _encode(each) for key, each in value.items()}
    if isinstance(value, Iterable) and not isinstance(value, str):
        return [_encode(each) for each in value]
    if isinstance(value, float) and not math.isfinite(value):
        return json.dumps(value)
    return value


def _decode(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _decode(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_decode(each) for each in value]
    return _WORDS.get(value, value) if isinstance(value, str) else value

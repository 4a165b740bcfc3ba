"""Read damaged files by the thousand: ``python tests/fuzz/run.py --runs 100000``.

Each format is read in a process of its own, whose memory is limited and which is ended if a file
takes too long. A file is made from its number alone: ``--only model --first 4711 --runs 1`` makes
the same one again. With ``--guided``, atheris (``pip install atheris``) looks for files that reach
lines which none has reached. The last line says how many there were; the exit status is 1 if one
was read as none may be, and what that was is in ``--found DIRECTORY``.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

TESTS = Path(__file__).resolve().parents[1]
if str(TESTS) not in sys.path:
    sys.path.insert(0, str(TESTS))

# One process, one core; and OpenBLAS takes address space for each thread.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("FASTNN_NUM_THREADS", "1")

NAMES = ("model", "idx", "npz", "table", "picture", "manifest")
SECONDS = 30
"""For one file."""
MEMORY = 1 << 30
"""Bytes of address space beyond what reading the sound files has taken."""


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=10_000, help="files over all formats")
    parser.add_argument("--first", type=int, default=0, help="number of the first of each format")
    parser.add_argument("--only", choices=NAMES, action="append", help="of this format; again")
    parser.add_argument("--guided", action="store_true", help="by coverage, with atheris")
    parser.add_argument("--found", type=Path, default=Path("build/fuzz"), help="for what is found")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    options = parser.parse_args()
    names = options.only or list(NAMES)
    if options.child:
        child(names[0], options.first, options.runs, options.guided, options.found, options.child)
        return 0
    totals: Counter[str] = Counter()
    for k, name in enumerate(names):
        runs = options.runs * (k + 1) // len(names) - options.runs * k // len(names)
        totals += run(name, options.first, runs, options.guided, options.found)
    print(f"{totals['files']} files: {_said(totals)}")
    return 1 if totals["faults"] else 0


def run(name: str, first: int, runs: int, guided: bool, found: Path) -> Counter[str]:
    """Read ``runs`` files of a format, in as many processes as it takes."""
    totals: Counter[str] = Counter()
    began = time.monotonic()
    last, peak = first + runs, 0
    found.mkdir(parents=True, exist_ok=True)
    while first < last:
        memory = "/dev/shm" if os.path.isdir("/dev/shm") else None  # no file need reach a disk
        with tempfile.TemporaryDirectory(prefix="fuzz-", dir=memory) as place:
            command = [
                sys.executable, __file__, "--only", name, "--first", str(first),
                "--runs", str(last - first), "--found", str(found), "--child", place,
            ]  # fmt: skip
            # What a child leaves behind when it is ended goes with the directory.
            env = {**os.environ, "TMPDIR": place}
            done = subprocess.run([*command, *["--guided"] * guided], env=env, check=False)
            report: dict[str, Any] = json.loads((Path(place) / "report.json").read_text())
        totals.update(report["counts"])
        peak = max(peak, report["peak"])
        reached = report["number"]
        if done.returncode:
            why = (
                f"took more than {SECONDS} s"
                if done.returncode == -signal.SIGALRM
                else f"ended the process with status {done.returncode}"
            )
            print(f"{name} {reached}: {why}", flush=True)
            totals["faults"] += 1
            reached += 1
        first = last if guided else reached
    seconds = time.monotonic() - began
    print(f"{name}: {_said(totals)}; {seconds:.0f} s, {peak >> 20} MiB at most", flush=True)
    return totals


def child(name: str, first: int, runs: int, guided: bool, found: Path, place: str) -> None:
    """Read files and keep a report of how far it came."""
    counts: Counter[str] = Counter()
    number = first
    known: set[str] = set()
    report = Path(place) / "report.json"

    def save() -> None:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        content = {"number": number, "counts": counts, "peak": peak}
        (report.with_suffix(".new")).write_text(json.dumps(content))
        os.replace(report.with_suffix(".new"), report)

    def one(file: Any) -> None:
        counts["files"] += 1
        save()
        signal.setitimer(signal.ITIMER_REAL, SECONDS)
        try:
            counts[cases.check(name, file)] += 1
        except cases.Fault as fault:
            counts["faults"] += 1
            text, where = _described(fault)
            if where not in known:
                known.add(where)
                print(f"{name} {number}: {text}", flush=True)
                (found / f"{name}-{number}").write_bytes(_as_bytes(file))
                (found / f"{name}-{number}.txt").write_text(text + "\n" + where)
        signal.setitimer(signal.ITIMER_REAL, 0)

    save()
    if guided:
        import atheris

        with atheris.instrument_imports(include=["fastnn", "PIL", "gzip", "zipfile", "json"]):
            from fuzz import cases
    else:
        from fuzz import cases

    sound = cases.seeds(name)
    for file in sound:
        cases.check(name, file)
    _limit_memory()
    if guided:
        _guided(name, runs, place, sound, one, cases.FORMATS[name].damaged)
        return
    for number in range(first, first + runs):
        one(cases.case(name, number))
    number = first + runs
    save()


def _guided(
    name: str,
    runs: int,
    place: str,
    sound: list[tuple[str, bytes]],
    one: Callable[[tuple[str, bytes]], None],
    damaged: Callable[[Random, str, bytes], tuple[str, bytes]],
) -> None:
    """By libFuzzer, which keeps what reaches new lines and damages that further."""
    import atheris

    corpus = Path(place) / "corpus"
    corpus.mkdir()
    for k, file in enumerate(sound):
        (corpus / str(k)).write_bytes(_as_bytes(file))

    def mutated(data: bytes, most: int, seed: int) -> bytes:
        random = Random(seed)
        if random.random() < 0.5:
            return bytes(atheris.Mutate(data, most))
        try:
            changed = _as_bytes(damaged(random, *_from_bytes(data)))
        except Exception:
            # It is damaged already, so that its header can't be taken apart.
            changed = _as_bytes(damaged(random, *random.choice(sound)))
        return changed[:most]

    def read(data: bytes) -> None:
        one(_from_bytes(data))

    arguments = [
        f"-atheris_runs={runs}", "-max_len=200000", f"-timeout={SECONDS}", "-rss_limit_mb=4096",
        "-verbosity=0", f"-artifact_prefix={place}/", str(corpus),
    ]  # fmt: skip
    atheris.Setup([name, *arguments], read, custom_mutator=mutated)
    atheris.Fuzz()


def _as_bytes(file: tuple[str, bytes]) -> bytes:
    return file[0].encode() + b"\n" + file[1]


def _from_bytes(data: bytes) -> tuple[str, bytes]:
    name, _, content = data.partition(b"\n")
    plain = name.decode("ascii", "ignore")
    return (plain if plain.replace("-", "").replace(".", "").isalnum() else "model"), content


def _limit_memory() -> None:
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def _described(fault: Exception) -> tuple[str, str]:
    """What happened, and where: the lines of the package that it went through."""
    frames = traceback.extract_tb((fault.__cause__ or fault).__traceback__)
    own = [f"{Path(f.filename).name}:{f.lineno}" for f in frames if "/fastnn/" in f.filename]
    return str(fault), f"{str(fault)[:20]} {' '.join(own)}"


def _said(totals: Counter[str]) -> str:
    return (
        f"{totals['refused']} refused, {totals['read']} read, {totals['faults']} "
        f"fault{'s' * (totals['faults'] != 1)}"
    )


if __name__ == "__main__":
    sys.exit(main())

"""Race fastnn against whatever peers are installed, and print a table."""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastnn.bench import (
    data,
    machine,
    nets,
    peak,
    peers,
    predict,
    race,
    remedies,
    report,
    rows,
    statistics,
    suites,
    sweep,
    threads,
    timing,
    trace,
)
from fastnn.bench.entrant import Entrant, EntrantError
from fastnn.bench.peers.base import Job

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]

_NETS = suites.SUITES["plain"].nets
_BATCHES = (32, 128, 512)


def add_arguments(parser: argparse.ArgumentParser) -> Commands:
    """Give a parser the benchmarks as subcommands, to which more may be added; :func:`run` takes
    what it parses."""
    commands = parser.add_subparsers(dest="benchmark", required=True, metavar="BENCHMARK")

    command = commands.add_parser("race", help="training epochs, in turn")
    _common(command, None, turns=7)
    command.add_argument(
        "--suite", choices=suites.SUITES, default="plain",
        help="plain nets, with BatchNorm and clipping, or nets for images; it says what is not "
        "given: peers, cases, nets, batches, rows",
    )  # fmt: skip
    command.add_argument("--cases", type=_words, help="mnist,dense")
    command.add_argument("--nets", type=_words, help="e.g. 784-64-10,28x28x1-convnet")
    command.add_argument("--batches", type=_numbers)
    command.add_argument("--rows", type=_number, help="rows of an epoch")
    command.add_argument("--threads", type=_number, default=2)

    command = commands.add_parser("remedies", help="cost of BatchNorm, clipping and dropout")
    _common(command, ("fastnn",), turns=7)
    command.add_argument("--cases", type=_words, default=data.KINDS, help="mnist,dense")
    command.add_argument("--nets", type=_words, default=suites.SUITES["remedies"].nets)
    command.add_argument("--batches", type=_numbers, default=_BATCHES)
    command.add_argument("--rows", type=_number, default=data.ROWS, help="rows of an epoch")
    command.add_argument("--threads", type=_number, default=2)

    command = commands.add_parser("statistics", help="cost of looking at every n-th step")
    command.add_argument("--cases", type=_words, default=data.KINDS, help="mnist,dense")
    command.add_argument("--nets", type=_words, default=(*_NETS, "784-512-512-512-10"))
    command.add_argument("--batches", type=_numbers, default=_BATCHES[:2])
    command.add_argument("--rows", type=_number, default=12_800, help="rows of an epoch")
    command.add_argument("--threads", type=_number, default=2)
    command.add_argument("--turns", type=_number, default=25, help="timed turns")
    command.add_argument("--json", type=Path, metavar="FILE", help="write the result as JSON")

    command = commands.add_parser("trace", help="where a step of fastnn goes, op by op")
    command.add_argument("--case", choices=data.KINDS, default="dense")
    command.add_argument("--net", default="784-512-512-10")
    command.add_argument("--batch", type=_number, default=128)
    command.add_argument("--remedy", choices=suites.COSTS, default="plain")
    command.add_argument("--steps", type=_number, default=200)
    command.add_argument("--threads", type=_number, default=2)
    command.add_argument(
        "--out", type=Path, metavar="FILE",
        help="write each step as JSON that chrome://tracing and ui.perfetto.dev draw",
    )  # fmt: skip

    command = commands.add_parser("sweep", help="batch by width, short epochs")
    _common(command, ("fastnn", *peers.REFERENCES), turns=3)
    command.add_argument("--cases", type=_words, default=("mnist",), help="mnist,dense")
    command.add_argument("--batches", type=_numbers, default=sweep.BATCHES)
    command.add_argument("--widths", type=_numbers, default=sweep.WIDTHS)
    command.add_argument("--threads", type=_number, default=2)

    command = commands.add_parser("predict", help="latency of one prediction")
    _common(command, peers.PREDICTORS, turns=9)
    command.add_argument("--nets", type=_words, default=predict.NETS)
    command.add_argument("--rows", type=_numbers, default=predict.ROWS, help="rows of a call")
    command.add_argument("--threads", type=_number, default=1)

    command = commands.add_parser("threads", help="speed-up by threads")
    _common(command, ("fastnn", *peers.REFERENCES), turns=7)
    command.add_argument("--nets", type=_words, default=_NETS)
    command.add_argument("--batches", type=_numbers, default=(512,))
    command.add_argument("--threads", type=_numbers, default=threads.COUNTS, help="e.g. 1,2")

    command = commands.add_parser("rows", help="cost of an example, data memory-mapped")
    _common(command, ("fastnn", "torch"), turns=5)
    command.add_argument("--nets", type=_words, default=_NETS[:1])
    command.add_argument("--batches", type=_numbers, default=(512,))
    command.add_argument("--rows", type=_numbers, default=rows.COUNTS)
    command.add_argument("--threads", type=_number, default=2)

    return commands


def run(options: argparse.Namespace) -> int:
    """Race, print the table, write ``--json``; the exit status.

    Raises:
        ValueError: an option names what is not there, or a number is out of range.
    """
    if options.benchmark == "statistics":
        return _statistics(options)
    if options.benchmark == "trace":
        return _trace(options)
    wanted = options.peers or suites.SUITES[options.suite].peers
    names = peers.installed(wanted, _ABLE[options.benchmark])
    if not names:
        raise ValueError(f"peers: none of {', '.join(wanted)} is installed")
    counts = options.threads if isinstance(options.threads, tuple) else (options.threads,)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="fastnn-bench-")))
        described = machine.describe()
        try:
            crew = list(itertools.product(names, counts)) * _COPIES.get(options.benchmark, 1)
            entrants = timing.enter(stack, crew)
            results, table = _RUN[options.benchmark](options, entrants, folder)
        except EntrantError as error:
            print(error, file=sys.stderr)
            return 1
    versions = {entrant.name: entrant.version for entrant in entrants}
    print(f"{described['cpu']}, {', '.join(versions.values())}; threads: {counts}\n\n{table}")
    if options.json is not None:
        report.write(
            options.json,
            {
                "benchmark": options.benchmark,
                "machine": described,
                "versions": versions,
                "threads": counts,
                "turns": options.turns,
                "results": results,
            },
        )
    return 0


def _statistics(options: argparse.Namespace) -> int:
    described = machine.describe()
    widths = [_widths(net) for net in options.nets]
    with tempfile.TemporaryDirectory(prefix="fastnn-bench-") as folder:
        results = statistics.run(
            options.cases, widths, options.batches, options.rows, Path(folder), options.threads,
            options.turns, _say,
        )  # fmt: skip
    print(f"{described['cpu']}; threads: {options.threads}\n\n{statistics.table(results)}")
    if options.json is not None:
        found = {"benchmark": "statistics", "machine": described, "turns": options.turns}
        report.write(options.json, {**found, "threads": options.threads, "results": results})
    return 0


def _trace(options: argparse.Namespace) -> int:
    with tempfile.TemporaryDirectory(prefix="fastnn-bench-") as folder:
        rows = max(options.batch, _TRACE_ROWS)
        (job,) = _jobs(Path(folder), (options.case,), (options.net,), (options.batch,), (rows,))
        job = dataclasses.replace(job, **suites.COSTS[options.remedy])
        found = trace.record(job, options.threads, options.steps)
    rate = peak.fastnn_rate(options.threads)
    print(
        f"{machine.describe()['cpu']}; threads: {options.threads}; {job.title}; "
        f"peak {rate:.1f} GFLOP/s\n\n{trace.table(found, rate)}"
    )
    if options.out is not None:
        trace.write(found, options.out)
    return 0


_TRACE_ROWS = 12_800

_Found = tuple[list[dict[str, Any]], str]


def _race(options: argparse.Namespace, entrants: list[Entrant], folder: Path) -> _Found:
    suite = suites.SUITES[options.suite]
    contests = [suite.contest(net) for net in options.nets or suite.nets]
    cases = options.cases or data.KINDS
    plain = [
        job
        for case in cases
        for contest in contests
        if options.cases or case in contest.cases
        for job in _jobs(
            folder, (case,), (contest.net,), options.batches or contest.batches,
            (options.rows or contest.rows,),
        )
    ]  # fmt: skip
    jobs = [dataclasses.replace(job, **fields) for fields in suite.remedies for job in plain]
    with ExitStack() as stack:
        meters = timing.enter(stack, [(name, options.threads) for name in peak.RATES])
        results = race.run(entrants, meters, jobs, options.turns, _say)
    return results, race.table(results)


def _remedies(options: argparse.Namespace, entrants: list[Entrant], folder: Path) -> _Found:
    jobs = _jobs(folder, options.cases, options.nets, options.batches, (options.rows,))
    results = remedies.run(entrants, jobs, options.turns, _say)
    return results, remedies.table(results)


def _sweep(options: argparse.Namespace, entrants: list[Entrant], folder: Path) -> _Found:
    names = [f"{data.FEATURES}-{width}-{nets.CLASSES}" for width in options.widths]
    jobs = _jobs(folder, options.cases, names, options.batches, (data.ROWS,))
    results = sweep.run(entrants, [sweep.shortened(job) for job in jobs], options.turns, _say)
    return results, sweep.table(results)


def _predict(options: argparse.Namespace, entrants: list[Entrant], folder: Path) -> _Found:
    jobs = [
        job
        for net in options.nets
        for job in _jobs(folder, (predict.case(_checked(net)),), (net,), (1,), (max(options.rows),))
    ]
    results = predict.run(entrants, jobs, options.rows, options.turns, _say)
    return results, predict.table(results)


def _threads(options: argparse.Namespace, entrants: list[Entrant], folder: Path) -> _Found:
    jobs = _jobs(folder, ("mnist",), options.nets, options.batches, (data.ROWS,))
    results = threads.run(entrants, jobs, options.turns, _say)
    return results, threads.table(results)


def _rows(options: argparse.Namespace, entrants: list[Entrant], folder: Path) -> _Found:
    jobs = _jobs(folder, ("mnist",), options.nets, options.batches, options.rows, mapped=True)
    results = rows.run(entrants, jobs, options.turns, _say)
    return results, rows.table(results)


_RUN = {
    "race": _race,
    "remedies": _remedies,
    "sweep": _sweep,
    "predict": _predict,
    "threads": _threads,
    "rows": _rows,
}
_ABLE = {**dict.fromkeys(_RUN, peers.TRAINERS), "predict": peers.PREDICTORS}
_COPIES = {"remedies": len(suites.COSTS)}
"""Where it is not one, how many workers a library has."""


def _jobs(
    folder: Path,
    kinds: Sequence[str],
    names: Sequence[str],
    batches: Sequence[int],
    counts: Sequence[int],
    mapped: bool = False,
) -> list[Job]:
    """Every combination."""
    jobs = []
    for kind, net in itertools.product(kinds, names):
        shape = nets.shape(_checked(net))
        _say(f"{kind} data for {net}")
        x, y = data.write(kind, folder, max(counts), shape)
        for batch, count in itertools.product(batches, counts):
            if batch > count:
                raise ValueError(f"batches: {batch} is more than the {count} rows")
            jobs.append(Job(kind, net, batch, x, y, count, mapped))
    return jobs


def _checked(net: str) -> str:
    """The name of a net that the data is for.

    Raises:
        ValueError: it is none.
    """
    layers = nets.weighted(nets.build(net, batch_norm=False, dropout=0.0))
    inputs, classes = layers[0].kernel[0], layers[-1].kernel[-1]
    if len(nets.shape(net)) == 1 and (inputs != data.FEATURES or classes < nets.CLASSES):
        raise ValueError(
            f"nets: {net!r} must go from {data.FEATURES} features to {nets.CLASSES} or more classes"
        )
    return net


def _widths(net: str) -> tuple[int, ...]:
    layers = nets.build(_checked(net), batch_norm=False, dropout=0.0)
    dense = [layer for layer in layers if isinstance(layer, nets.Dense)]
    if len(dense) < len(layers):
        raise ValueError(f"nets: {net!r} must have Dense layers only")
    return dense[0].inputs, *(layer.units for layer in dense)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _common(parser: argparse.ArgumentParser, entrants: tuple[str, ...] | None, turns: int) -> None:
    parser.add_argument(
        "--peers", type=_words, default=entrants, help="entrants; those not installed stay out"
    )
    parser.add_argument("--turns", type=_number, default=turns, help="timed turns of each entrant")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the result as JSON")


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split(","))


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(map(_number, text.split(",")))


def _number(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is not positive")
    return number

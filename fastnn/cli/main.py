"""Parse the command line, run the command, report mistakes in one line.

Exit status: 0 done, 1 ``doctor`` found a net that can't learn, 2 a mistake in the input, 130
interrupted (128 + SIGINT, as shells count).
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from fastnn._version import __version__
from fastnn.bench import cli as bench
from fastnn.cli import doctor, evaluate, export, info, predict, train

COMMANDS = {
    "train": train,
    "evaluate": evaluate,
    "predict": predict,
    "doctor": doctor,
    "info": info,
    "export": export,
    "bench": bench,
}
BAD_INPUT = 2
INTERRUPTED = 130


class Parser(argparse.ArgumentParser):
    """Reports a mistake in one line, without the usage."""

    def error(self, message: str) -> NoReturn:
        self.exit(BAD_INPUT, f"{self.prog}: error: {message}\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: What follows the program's name; ``sys.argv[1:]`` by default.

    Returns:
        The exit status.

    Raises:
        SystemExit: ``--help``, ``--version``, or a mistake in the arguments.
    """
    parser = Parser(prog="fastnn", description="Train and use neural networks on CPUs.")
    parser.add_argument("--version", action="version", version=f"fastnn {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, module in COMMANDS.items():
        description = (module.__doc__ or "").strip()
        command = commands.add_parser(
            name,
            help=description.splitlines()[0].rstrip("."),
            description=description,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        module.add_arguments(command)
    parsed = parser.parse_args(arguments)
    try:
        status: int = COMMANDS[parsed.command].run(parsed)
        sys.stdout.flush()
        return status
    except BrokenPipeError:
        # The reader, `head` say, has seen enough; Python's own flush at exit must not complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        print(f"fastnn {parsed.command}: interrupted", file=sys.stderr)
        return INTERRUPTED
    except (ValueError, TypeError, OSError, MemoryError, ImportError) as fault:
        message = " ".join(_describe(fault).split())
        print(f"fastnn {parsed.command}: error: {message}", file=sys.stderr)
        return BAD_INPUT


def _describe(fault: Exception) -> str:
    if isinstance(fault, OSError) and fault.strerror:
        return f"{fault.filename}: {fault.strerror}" if fault.filename else fault.strerror
    return str(fault) or type(fault).__name__

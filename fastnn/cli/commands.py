"""Parse the command line, run the command, report mistakes in one line."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from fastnn._version import __version__
from fastnn.bench import cli as bench
from fastnn.cli import (
    doctor,
    evaluate,
    export,
    info,
    predict,
    status,
    termination,
    train,
    warning_lines,
)
from fastnn.errors import NonFiniteGradientError, ProcessError

COMMANDS = {
    "train": train,
    "evaluate": evaluate,
    "predict": predict,
    "doctor": doctor,
    "info": info,
    "export": export,
    "bench": bench,
}


class Parser(argparse.ArgumentParser):
    """Reports a mistake in one line, without the usage."""

    def error(self, message: str) -> NoReturn:
        self.exit(status.BAD_INPUT, f"{self.prog}: error: {message}\n")


def run(arguments: Sequence[str] | None) -> int:
    """See ``fastnn.cli.main``."""
    parser = Parser(prog="fastnn", description="Train and use neural networks on CPUs.")
    parser.add_argument("--version", action="version", version=f"fastnn {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, module in COMMANDS.items():
        description = (module.__doc__ or "").strip()
        command = commands.add_parser(
            name,
            help=description.splitlines()[0].rstrip("."),
            description=description,
            epilog=status.TEXT,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        module.add_arguments(command)
    parsed = parser.parse_args(arguments)
    try:
        with termination.terminable(), warning_lines.printed(parsed.command):
            found: int = COMMANDS[parsed.command].run(parsed)
        sys.stdout.flush()
        return found
    except BrokenPipeError:
        # The reader, `head` say, has seen enough; Python's own flush at exit must not complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return status.DONE
    except termination.Terminated:
        print(f"fastnn {parsed.command}: terminated", file=sys.stderr)
        return status.TERMINATED
    except KeyboardInterrupt:
        print(f"fastnn {parsed.command}: interrupted", file=sys.stderr)
        return status.INTERRUPTED
    except NonFiniteGradientError as diverged:
        _report(parsed.command, f"training diverged: {diverged}")
        return status.DIVERGED
    except (ValueError, TypeError, OSError, MemoryError, ImportError, ProcessError) as fault:
        _report(parsed.command, _describe(fault))
        return status.BAD_INPUT


def _report(command: str, fault: str) -> None:
    print(f"fastnn {command}: error: {' '.join(fault.split())}", file=sys.stderr)


def _describe(fault: Exception) -> str:
    if isinstance(fault, OSError) and fault.strerror:
        return f"{fault.filename}: {fault.strerror}" if fault.filename else fault.strerror
    return str(fault) or type(fault).__name__

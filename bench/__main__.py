"""``python -m bench``: the races of ``fastnn bench``, and the calibration of gradient health."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from bench.health import cli as health
from fastnn.bench import cli as races


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; the exit status."""
    parser = argparse.ArgumentParser(prog="bench", description="Race fastnn against its peers.")
    commands = races.add_arguments(parser)
    health.add_arguments(commands.add_parser("health", help="diagnoses and remedies of many nets"))
    options = parser.parse_args(arguments)
    try:
        return health.run(options) if options.benchmark == "health" else races.run(options)
    except ValueError as error:
        parser.error(str(error))


if __name__ == "__main__":
    sys.exit(main())

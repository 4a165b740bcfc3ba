"""The command ``fastnn``: one file a command.

Little is imported before ``main`` runs, which knows what to do on Ctrl-C.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from fastnn.cli import status

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: What follows the program's name; ``sys.argv[1:]`` by default.

    Returns:
        The exit status, see ``status.TEXT``.

    Raises:
        SystemExit: ``--help``, ``--version``, or a mistake in the arguments.
    """
    came: list[KeyboardInterrupt] = []

    def note(interrupt: KeyboardInterrupt) -> bool:
        came.append(interrupt)
        return True

    try:
        from fastnn.cli import termination

        # Whoever is imported may take an exception for another one, or pass over it.
        with termination.deferred(note):
            from fastnn.cli import commands
        if came:
            raise came[0]
        return commands.run(arguments)
    except KeyboardInterrupt:
        print("fastnn: interrupted", file=sys.stderr)
        return status.INTERRUPTED

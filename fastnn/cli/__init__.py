"""The command ``fastnn``: one file a command."""

from fastnn.cli.main import main

__all__ = ["main"]

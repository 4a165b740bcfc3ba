"""``fastnn`` called in this process, where it must fail."""

from __future__ import annotations

import pytest

from fastnn.cli import main


def failure(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """The one line that a mistake in the input gives."""
    try:
        status = main([str(argument) for argument in arguments])
    except SystemExit as stop:
        status = stop.code  # type: ignore[assignment]
    err = capsys.readouterr().err
    assert status == 2
    assert err.count("\n") == 1 and "error: " in err
    return err

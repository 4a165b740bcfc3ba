"""A short run of tools/soak.py, which looks for leaks."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SOAK = Path(__file__).parents[1] / "tools" / "soak.py"

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="it reads /proc")


@pytest.mark.parametrize("load", ["tiny batches", "calls of fit", "models"])
def test_nothing_is_left_over(load: str) -> None:
    command = [sys.executable, SOAK, "--share", "0.02", "--load", load]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{load}: " in done.stdout

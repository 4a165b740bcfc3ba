"""What ``import fastnn`` says where it can't work."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from conftest import PACKAGE


def test_sources_that_are_not_compiled(tmp_path: Path) -> None:
    for name in ("__init__.py", "_version.py", "kernels/__init__.py"):
        (tmp_path / "fastnn" / name).parent.mkdir(exist_ok=True, parents=True)
        shutil.copy(PACKAGE / name, tmp_path / "fastnn" / name)
    child = subprocess.run(
        [sys.executable, "-c", "import fastnn"], cwd=tmp_path, capture_output=True, text=True
    )
    assert child.returncode == 1
    last = child.stderr.splitlines()[-1]
    assert last.startswith(f"ImportError: the fastnn in {tmp_path / 'fastnn'} is source code")
    assert "another directory" in last and "pip install -e ." in last and "levels" not in last

"""The fastnn under test: which one it is, and that the processes that tests start use it too."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

try:
    import fastnn
except ImportError as fault:
    pytest.exit(
        f"{fault}\n(`python -m pytest` imports fastnn from the current directory, `pytest` the one "
        "that is installed.)",
        returncode=4,
    )

TESTS = Path(__file__).parent
PACKAGE = Path(fastnn.__file__).parent

# For ``bench``; last, so that the fastnn under test stays the one that was found.
sys.path.append(str(TESTS.parent))

# The tests run in another directory (see below); failing examples are kept here all the same.
os.environ.setdefault("HYPOTHESIS_STORAGE_DIRECTORY", str(TESTS.parent / ".hypothesis"))


# A shell's background job ignores Ctrl-C, and so would the tests of it, and their children.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_report_header() -> str:
    from fastnn.kernels import levels

    return f"fastnn {fastnn.__version__} in {PACKAGE}, CPU level {levels.level()}"


@pytest.fixture(scope="session", autouse=True)
def children_import_the_same(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A child, started with ``-c``, looks for modules in the current directory first: in a clone
    it would find sources that are not built."""
    with pytest.MonkeyPatch.context() as patch:
        inherited = os.environ.get("PYTHONPATH")
        path = [str(PACKAGE.parent), str(TESTS), *filter(None, [inherited])]
        patch.setenv("PYTHONPATH", os.pathsep.join(path))
        patch.chdir(tmp_path_factory.mktemp("current"))
        yield


@pytest.fixture
def start() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts a child that writes text to pipes; it does not outlive the test."""
    children = []

    def popen(*command: Any, **settings: Any) -> subprocess.Popen[str]:
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        children.append(subprocess.Popen(command, text=True, **pipes, **settings))
        return children[-1]

    yield popen
    for child in children:
        with child:
            child.kill()


@pytest.fixture
def fixed_seed() -> None:
    """The same weights and names of layers, whichever tests ran before."""
    fastnn.utils.clear_session()
    fastnn.utils.set_random_seed(0)


@pytest.fixture
def two_threads(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """However small the model is; or as many as the test asks for."""
    from fastnn.models import executables

    before = fastnn.get_num_threads()
    monkeypatch.setattr(executables, "_WORK_PER_THREAD", 1)
    fastnn.set_num_threads(2)
    yield
    fastnn.set_num_threads(before)

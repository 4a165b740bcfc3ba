"""Runs a program for many batches: what a step needs is gathered here, and a team goes through it (team.pyx).

Design
- A run without the GIL takes its turn among those that use the model's weights (turns.pyx).
- A team has as many threads as there can be. The result is the same, and a warning says so.
- What a function of the user's, or a handler of a signal, raised within a step is raised when the run has ended.
"""

from cpython.buffer cimport PyBUF_STRIDES, PyBuffer_Release, PyObject_GetBuffer
from libc.stdint cimport int64_t, uint16_t
from libc.stdlib cimport calloc, free
from libc.string cimport memset

import numpy as np

from fastnn.engine.team cimport STAMPS, Run, start
from fastnn.engine.turns cimport (
    Turns, fnn_begin_reading, fnn_begin_training, fnn_end_reading, fnn_end_training, fnn_turns, within_a_step
)
from fastnn.kernels.csrc cimport fnn_kernels, fnn_sparse
from fastnn.kernels.op cimport NONFINITE, SCRATCH, UNPROVEN, Kernel, Op, Queue, Source
from fastnn.kernels.operands cimport MAX_INTEGERS, MAX_NUMBERS, MAX_TENSORS
from fastnn._warnings import warn
from fastnn.engine.calls import BoundFunction
from fastnn.engine.processes import Exchange, rows_of
from fastnn.engine.sources import Rows, SparseRows
from fastnn.engine.threads import usable_cores
from fastnn.kernels import (
    augmentation, convolution, dense, depthwise, elementwise, embedding, gradients, group_norms, levels, matrix, merging,
    noise, norms, objective, pooling, product_norms, python, regrouping, statistics, winograd,
)
from fastnn.kernels.layout import aligned_zeros

KERNELS = {
    name: kernel
    for module in (
        augmentation, convolution, dense, depthwise, elementwise, embedding, gradients, group_norms, matrix, merging,
        noise, norms, objective, pooling, product_norms, python, regrouping, statistics, winograd,
    )
    for name, kernel in module.KERNELS.items()
}

cdef enum:
    MAX_SOURCES = 32
    MAX_OUTPUTS = 16
    # Bytes that a step touches which may take long. Below, no look at a clock is worth its time.
    LONG_STEP = 4194304


cdef void *address(array) except? NULL:
    """Where an array begins. The caller keeps the array."""
    cdef Py_buffer view
    cdef void *found
    PyObject_GetBuffer(array, &view, PyBUF_STRIDES)
    found = view.buf
    PyBuffer_Release(&view)
    return found


cdef class Executable:
    """A program with its memory. Not for two threads at once: each fit or predict has its own.

    turns: Of all who use its weights, if others may change them while it runs.
    """

    cdef Op *ops
    cdef fnn_sparse sparse[MAX_SOURCES]
    cdef readonly object program
    cdef Turns turns
    cdef object arena, tensors, calls, scratch, exchange
    cdef readonly int64_t capacity
    cdef int n_ops
    cdef int meeting       # as in Run
    cdef char *leavable    # as in Run
    cdef Queue *queues
    # Of the last run: why it was halted, and what was left out.
    cdef readonly bint unproven, nonfinite
    cdef readonly int64_t skipped_rows
    cdef readonly int members  # that its team had
    cdef int queues_for    # members that scratch and queues have room for

    def __cinit__(self, program, Turns turns=None):
        cdef Op *op
        cdef int i, o
        self.program = program
        self.turns = turns
        self.capacity = program.capacity
        self.n_ops = len(program.ops)
        self.meeting = -1
        try:
            self.arena = aligned_zeros((max(program.arena_bytes, 1),), np.uint8)
        except MemoryError as error:
            raise MemoryError(f"batches of {self.capacity} rows need {program.arena_bytes / 2**20:.0f} MiB, which "
                              "there are not: smaller batches need less") from error
        # keeps every array alive whose address an op holds
        self.tensors = [buffer.array for row in program.ops for buffer in row.tensors if buffer is not None]
        # likewise the functions
        self.calls = []
        self.ops = <Op *> calloc(max(len(program.ops), 1), sizeof(Op))
        if self.ops == NULL:
            raise MemoryError(f"there is no memory for a program of {self.n_ops} ops")
        touched = {id(tensor): tensor.nbytes for tensor in (self.arena, *self.tensors) if tensor is not None}
        if len(program.leavable) == self.n_ops and sum(touched.values()) > LONG_STEP:
            self.leavable = <char *> calloc(self.n_ops, 1)
            if self.leavable == NULL:
                raise MemoryError(f"there is no memory for a program of {self.n_ops} ops")
            for o in range(self.n_ops):
                self.leavable[o] = program.leavable[o]
        base = self.arena.ctypes.data
        for o, row in enumerate(program.ops):
            if len(row.tensors) > MAX_TENSORS or len(row.integers) > MAX_INTEGERS or len(row.numbers) > MAX_NUMBERS:
                raise ValueError(f"op {row.name} has more operands than an op holds")
            op = self.ops + o
            op.run = <Kernel> <size_t> KERNELS[row.name]
            op.wait = row.wait
            op.observing = row.observing
            op.closing = row.spec.closing
            op.band, op.band_rows = row.band, row.band_rows
            if row.function is not None:
                bind = Exchange if row.spec.meets else BoundFunction
                call = bind(row.function, row.arguments, self.arena, self.capacity)
                self.calls.append(call)
                if row.spec.meets:
                    self.meeting, self.exchange = o, call
                op.function = <void *> call
            op.positions = row.positions
            for i, buffer in enumerate(row.tensors):
                op.operands.stride[i] = 0 if buffer is None else buffer.stride
                if buffer is None:
                    op.operands.t[i] = NULL
                elif buffer.array is not None:
                    op.operands.t[i] = address(buffer.array)
                else:
                    op.operands.t[i] = <void *> <size_t> (base + buffer.offset)
            for i, integer in enumerate(row.integers):
                op.operands.d[i] = integer
            for i, value in enumerate(row.numbers):
                op.operands.f[i] = value

    def __dealloc__(self):
        free(self.ops)
        free(self.leavable)
        free(self.queues)

    cdef int make_room(self, int n_threads) except -1:
        """Scratch and queues for a team of this size."""
        self.scratch = aligned_zeros((n_threads, SCRATCH))
        free(self.queues)
        self.queues_for = 0
        self.queues = <Queue *> calloc(2 * max(self.n_ops, 1) * n_threads, sizeof(Queue))
        if self.queues == NULL:
            raise MemoryError(f"there is no memory for a team of {n_threads} threads")
        self.queues_for = n_threads
        return 0

    def run(self, list sources, const int64_t[::1] order, int64_t first, int64_t last, int64_t batch_size,
            const float[:, ::1] scalars, double[::1] sums, list outputs, int n_threads, double seconds,
            counter=None, bint skip=False, int64_t every=0, double[:, ::1] records=None,
            double[:, :, :, ::1] times=None, int process=0, int processes=1):
        """Run batches order[first : last] until done or `seconds` are over; returns the position reached.

        A batch that the program's guard halts ends the run before it: then `unproven` or `nonfinite` is
        set. With `skip`, one with a gradient that is not finite is left out instead; `skipped_rows` counts
        its rows.

        sources: `Rows` and `SparseRows`, in the program's order. scalars: (steps, S) for the optimizer
        or None. sums: what losses and metrics add to. outputs: float32 arrays (rows, features).
        counter: an object whose `iterations` grows by the batches that ran.
        every, records: statistics of each step whose number is a multiple of `every` go to the next row of
        `records` (steps, width of the program's record), its number first; a row of a step that did not
        come to its end is left as it is.
        times: (steps, n_threads, ops + 1, 4): for each member of the team (of which there may be fewer) and op,
        when it came to the op, began it after a wait, and ended it, in seconds on the monotonic clock, and the
        seconds that it took. The last "op" is the wait that ends a step. In a band the first op begins and ends
        for all. What is left out leaves its entries as they are.
        process, processes: of which each does its part of the rows of every batch; `batch_size` and positions are
        those of all together.

        Raises what a function of the user's raised; its batch does not count. RuntimeError: it would train a
        model that another thread is training.
        """
        cdef Run run
        cdef Source table[MAX_SOURCES]
        cdef float *written[MAX_OUTPUTS]
        cdef int i, cores = usable_cores()
        cdef fnn_turns *turns = NULL
        cdef bint trains = scalars is not None, mine = True
        cdef int64_t steps
        if len(sources) > MAX_SOURCES or len(outputs) > MAX_OUTPUTS:
            raise ValueError(f"a model can have up to {MAX_SOURCES} inputs and targets and {MAX_OUTPUTS} outputs")
        if batch_size < 1 or rows_of(batch_size, 0, processes) > self.capacity:  # the first has the most
            raise ValueError(f"batch_size {batch_size} is not within the program's capacity {self.capacity}")
        if not 0 <= first <= last <= order.shape[0]:
            raise ValueError(f"rows {first} to {last} are not within the order of {order.shape[0]}")
        if first == last:
            return first
        cdef list failures = []
        memset(&run, 0, sizeof(run))
        for i, source in enumerate(sources):
            table[i] = self.source(i, source)
        for i, output in enumerate(outputs):
            written[i] = <float *> address(output)
        if self.queues_for < n_threads:
            self.make_room(n_threads)
        run.ops = self.ops
        run.n_ops = self.n_ops
        run.n_threads = n_threads
        run.skip = skip
        run.step.k = <const fnn_kernels *> <size_t> levels.address()
        run.step.sources = table
        run.step.sums = &sums[0] if sums.shape[0] else NULL
        run.step.outputs = written
        run.step.failed = &run.failed
        run.step.failures = <void *> failures
        run.scratch = <float *> address(self.scratch)
        run.order = &order[0]
        run.first, run.last, run.batch_size = first, last, batch_size
        if scalars is not None:
            if scalars.shape[0] * batch_size < last - first:
                raise ValueError(f"scalars for {scalars.shape[0]} steps are fewer than the steps to run")
            run.scalars, run.n_scalars = &scalars[0, 0], scalars.shape[1]
        if counter is not None:
            run.step.number = counter.iterations
        if every > 0:
            steps = (last - first + batch_size - 1) // batch_size
            if records.shape[0] < steps // every + 1 or records.shape[1] != self.program.record.width:
                raise ValueError(f"records of shape {records.shape[0], records.shape[1]} don't fit {steps} steps")
            run.every, run.records, run.record_width = every, &records[0, 0], records.shape[1]
        if times is not None:
            steps = (last - first + batch_size - 1) // batch_size
            wanted = (steps, n_threads, self.n_ops + 1, STAMPS)
            found = (times.shape[0], times.shape[1], times.shape[2], times.shape[3])
            if found[0] < steps or found[1:] != wanted[1:]:
                raise ValueError(f"times must have shape {wanted}, got {found}")
            run.times, run.times_threads = &times[0, 0, 0, 0], n_threads
        run.process, run.processes, run.meeting = process, processes, self.meeting
        if self.exchange is not None:
            self.exchange.clear()
        run.leavable = self.leavable
        run.done = first
        run.queues = self.queues
        memset(self.queues, 0, 2 * self.n_ops * n_threads * sizeof(Queue))
        if self.turns is not None and not within_a_step():
            turns = self.turns.here()
            if trains:
                run.turns = turns
        with nogil:
            if turns != NULL:
                if trains:
                    mine = fnn_begin_training(turns)
                else:
                    fnn_begin_reading(turns)
            if mine:
                start(&run, seconds, cores)
                if turns != NULL:
                    if trains:
                        fnn_end_training(turns)
                    else:
                        fnn_end_reading(turns)
        if not mine:
            raise RuntimeError("the model is being trained in another thread: one fit after the other, or a lock")
        self.unproven = run.verdict.state == UNPROVEN
        self.nonfinite = run.verdict.state == NONFINITE
        self.skipped_rows = run.skipped_rows
        self.members = run.n_threads
        if counter is not None:
            # Here, since a signal's handler may raise as soon as Python's bytecode goes on.
            counter.iterations += (run.done - first + batch_size - 1) // batch_size
        if failures:
            raise failures.pop()
        if run.missing:
            warn(f"{run.n_threads + run.missing} threads were wanted, but the system made only {run.n_threads}: for "
                 "want of memory, or by a limit of threads. Results are the same, but take longer", RuntimeWarning)
        return run.done

    cdef Source source(self, int i, source) except *:
        cdef Source entry
        cdef Py_buffer view
        memset(&entry, 0, sizeof(entry))
        if isinstance(source, SparseRows):
            self.sparse[i].granules = source.granule.shape[1] - 1
            self.sparse[i].start = <const int64_t *> address(source.start)
            self.sparse[i].granule = <const uint16_t *> address(source.granule)
            self.sparse[i].column = <const uint16_t *> address(source.column)
            self.sparse[i].value = <const float *> address(source.value)
            entry.sparse = &self.sparse[i]
        else:
            PyObject_GetBuffer(source.array, &view, PyBUF_STRIDES)
            entry.data = <const char *> view.buf
            entry.row_bytes = view.strides[0]
            entry.item_bytes = view.itemsize
            PyBuffer_Release(&view)
            entry.dtype = source.dtype
        return entry

"""Runs a program: one parallel region, without the GIL, for many batches.

Design
- The team walks the same list of ops; a member does its share of each and waits for the others only
  where the program says so. What a step needs (rows, order, scalars) every member works out for
  itself, so that nothing but the arena is shared.
- Members wait for each other at a barrier of our own (barrier.h), which gives its core away early:
  on a machine with other work, the one that everybody waits for may need it.
- Member 0 looks at the clock after each step. Its verdict is left in one of two places, in turn, and
  read after the barrier that ends the step: a slow member still finds the verdict of its own step.
- A guard among the ops may find that the step must not go on. All members find the same and leave out the
  rest of the step, but for the sums of losses of a step that ends the training: a callback may ask.
- A function of the user's may fail. The guard before the updates tells all members, which then leave out
  the rest of the step; the run ends with that step and raises the exception.
- A step may take seconds. Where no weight has changed yet, member 0 then looks for signals every tenth of a
  second, between ops and between the tasks of a band. If a handler raises, all leave the rest of the step, as
  after a function of the user's; a step that changes weights comes to its end.
- Who wants to know where a step goes gives an array for time stamps; without one nobody looks at a clock.
- Of runs with the same `Turns`, that is of one model, those that only read its weights wait for the end of one
  that trains (turns.h), which comes when its member 0 sees that somebody waits, after the step at hand. A run
  within a step of another one, which a function of the user's has asked for, waits for nobody: the weights are
  those before the step, and it would wait for its own end. Who forks waits like one who reads: the child gets
  weights between two steps.
- Runs that go on at the same time share the process's cores (cores.h): each asks anew when it begins.
- A team has as many threads as there can be (team.h), which is known before OpenMP finds out in its way. The
  result is the same, and a warning says so.
- A child of fork() has none of the threads that OpenMP keeps for the one that forked. So they are given back
  before; where that fails, that thread opens its regions from a new one, for which OpenMP makes a new team.
"""

from cpython.buffer cimport PyBUF_STRIDES, PyBuffer_Release, PyObject_GetBuffer
from cython.parallel cimport parallel
from libc.stdint cimport int64_t, uint16_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memset
from posix.time cimport CLOCK_MONOTONIC, clock_gettime, timespec

import weakref
from threading import get_ident

import numpy as np

from fastnn.kernels.csrc cimport fnn_kernels, fnn_sparse
from fastnn.kernels.op cimport (
    NONFINITE, PROCEED, SCRATCH, TASKS, UNPROVEN, Kernel, Op, Queue, Source, Step, Verdict, parts, smaller, take,
)
from fastnn.kernels.operands cimport MAX_INTEGERS, MAX_NUMBERS, MAX_TENSORS
from fastnn._warnings import warn
from fastnn.engine.calls import BoundFunction
from fastnn.engine.sources import Rows, SparseRows
from fastnn.engine.threads import stack_bytes, usable_cores
from fastnn.kernels import (
    augmentation, convolution, dense, depthwise, elementwise, embedding, gradients, group_norms, levels, matrix, merging,
    noise, norms, objective, pooling, python, regrouping, statistics, winograd,
)
from fastnn.kernels.layout import aligned_zeros

cdef extern from "barrier.h" nogil:
    ctypedef struct fnn_barrier:
        pass
    void fnn_wait(fnn_barrier *barrier, int n)

cdef extern from "cores.h" nogil:
    int fnn_take_cores(int wanted, int cores)
    void fnn_give_cores(int granted)
    void fnn_forget_runs()

cdef extern from "float_mode.h" nogil:
    uint64_t fnn_flush_denormals()
    void fnn_set_float_mode(uint64_t mode)

cdef extern from "turns.h" nogil:
    ctypedef struct fnn_turns:
        int forks
    void fnn_init_turns(fnn_turns *turns, int forks)
    void fnn_begin_reading(fnn_turns *turns)
    void fnn_end_reading(fnn_turns *turns)
    int fnn_begin_training(fnn_turns *turns)
    void fnn_end_training(fnn_turns *turns)
    bint fnn_awaited(fnn_turns *turns)

cdef extern from *:
    """
    static __thread int fnn_team_kept; /* this thread forks, and could not give its team back */
    static __thread int fnn_team_lost; /* the team of this thread is in the parent */
    static __thread int fnn_within_a_step; /* of how many runs, one within another, this thread is a member */
    """
    int fnn_team_kept
    int fnn_team_lost
    int fnn_within_a_step

cdef extern from "team.h" nogil:
    int fnn_team   # of this thread
    int fnn_team_of(int wanted, size_t stack)

cdef extern from "omp.h" nogil:
    int omp_get_thread_num()
    int omp_get_num_threads()
    int omp_in_parallel()
    int omp_get_initial_device()
    int omp_pause_resource(int kind, int device)
    int omp_pause_hard

cdef extern from "Python.h":
    int PyErr_CheckSignals() except -1

cdef extern from "<pthread.h>" nogil:
    ctypedef unsigned long pthread_t
    int pthread_create(pthread_t *thread, const void *attributes, void *(*start)(void *) noexcept nogil,
                       void *argument)
    int pthread_join(pthread_t thread, void **result)
    int pthread_atfork(void (*prepare)() noexcept nogil, void (*parent)() noexcept nogil,
                       void (*child)() noexcept nogil)

KERNELS = {
    name: kernel
    for module in (
        augmentation, convolution, dense, depthwise, elementwise, embedding, gradients, group_norms, matrix, merging,
        noise, norms, objective, pooling, python, regrouping, statistics, winograd,
    )
    for name, kernel in module.KERNELS.items()
}

cdef enum:
    MAX_SOURCES = 32
    MAX_OUTPUTS = 16
    # Bytes that a step touches which may take long. Below, no look at a clock is worth its time.
    LONG_STEP = 4194304

# Of an op: when a member came to it, began it after the wait, and ended it; seconds that it took, which is less
# where other ops of a band came in between.
cdef enum:
    ARRIVED = 0
    BEGAN = 1
    ENDED = 2
    BUSY = 3
    STAMPS = 4

cdef struct Run:
    const Op *ops
    int n_ops
    int n_threads
    int missing            # OUT: threads that could not be made
    Step step              # what all steps share
    float *scratch         # (n_threads, SCRATCH)
    const int64_t *order   # (last,)
    int64_t first          # position of the next batch
    int64_t last
    int64_t batch_size
    const float *scalars   # (steps, n_scalars)
    int64_t n_scalars
    double deadline        # seconds on the monotonic clock
    fnn_turns *turns       # of who trains, or NULL
    int64_t done           # OUT: position after the last batch that ran
    Verdict verdict        # OUT: of the batch at `done`, if it was halted
    bint skip              # a batch of which a gradient is not finite is left out
    int64_t skipped_rows   # OUT
    int failed             # a function or a handler raised an exception; only member 0 looks within a step
    const char *leavable   # (n_ops,): whether a step may be left there, or NULL: no step takes long
    double look_at         # when member 0 looks for signals
    int left               # the rest of the step is left out; set where a wait lies before all that lasts
    int64_t every          # steps of which one is looked at; 0: none is
    double *records        # (steps looked at, record_width); the first column is the step's number
    int64_t record_width
    int stop[2]
    fnn_barrier barrier
    Queue *queues          # (2, n_ops, n_threads): one set in use, the other being cleared
    double *times          # (steps, times_threads, n_ops + 1, STAMPS), or NULL: nobody wants them
    int times_threads

cdef double LOOK = 0.1   # seconds from one look for signals within a step to the next

cdef int forks = 0   # that led to this process
cdef size_t stack = stack_bytes()


cdef void give_team_back() noexcept nogil:
    global fnn_team_kept, fnn_team
    fnn_team_kept = omp_pause_resource(omp_pause_hard, omp_get_initial_device()) != 0
    if not fnn_team_kept:
        fnn_team = 1


cdef void begin_child() noexcept nogil:
    global forks, fnn_team_lost
    forks += 1
    fnn_team_lost = fnn_team_lost or fnn_team_kept
    fnn_forget_runs()


pthread_atfork(give_team_back, NULL, begin_child)


cdef inline double now() noexcept nogil:
    cdef timespec t
    clock_gettime(CLOCK_MONOTONIC, &t)
    return t.tv_sec + 1e-9 * t.tv_nsec


cdef inline void stamp(double *times, int o, int which) noexcept nogil:
    if times != NULL:
        times[o * STAMPS + which] = now()


cdef void call_handlers(Run *run) noexcept with gil:
    try:
        PyErr_CheckSignals()
    except BaseException as error:
        (<list> run.step.failures).append(error)
        run.failed = run.left = 1


cdef inline void look_for_signals(Run *run, const Step *step, int o, int i) noexcept nogil:
    """Have handlers called, if it is time, and leave the step if one raises an exception."""
    cdef uint64_t mode
    if i != 0 or run.leavable == NULL or not run.leavable[o] or step.record != NULL or now() < run.look_at:
        return
    mode = fnn_flush_denormals()
    fnn_set_float_mode(step.float_mode)
    call_handlers(run)
    fnn_set_float_mode(mode)
    run.look_at = now() + LOOK


cdef inline void run_band(Run *run, int first, Step *step, int i, int n, double *times) noexcept nogil:
    """Some ops, for a few rows after another: as if each had a team of as many members as there are tasks.
    times: of the first op, or NULL."""
    cdef const Op *ops = run.ops + first
    cdef int64_t tasks = parts(step.rows, ops.band_rows), task
    cdef int o, turn = 0
    cdef double before = 0.0
    if times != NULL:
        for o in range(ops.band):
            times[o * STAMPS + BUSY] = 0.0
    if tasks < TASKS * n:
        tasks = smaller(step.rows, TASKS * n)
    while True:
        look_for_signals(run, step, first, i)
        if run.left:
            break
        task = take(step, tasks, i, n, &turn)
        if task < 0:
            break
        for o in range(ops.band):
            if times != NULL:
                before = now()
            ops[o].run(ops + o, step, <int> task, <int> tasks)
            if times != NULL:
                times[o * STAMPS + BUSY] += now() - before


cdef void member(Run *run, int i, int n) noexcept nogil:
    """What each member of the team does."""
    cdef Step step = run.step
    cdef const Op *op
    cdef int64_t at = run.first
    cdef int64_t number = 0, observed = 0
    cdef Queue *queues
    cdef Queue *next_queues
    cdef double *times = NULL
    cdef int o, this
    cdef Verdict verdict
    cdef bint halted
    cdef uint64_t float_mode = fnn_flush_denormals()
    global fnn_within_a_step
    fnn_within_a_step += 1
    step.float_mode = float_mode
    step.verdict = &verdict
    step.scratch = run.scratch + i * SCRATCH
    while at < run.last:
        queues = run.queues + (number & 1) * run.n_ops * run.n_threads
        next_queues = run.queues + ((number + 1) & 1) * run.n_ops * run.n_threads
        for o in range(run.n_ops):
            next_queues[o * run.n_threads + i].taken = 0
        step.rows = run.batch_size if run.last - at > run.batch_size else run.last - at
        step.order = run.order + at
        step.first = at
        step.number = run.step.number + number
        if run.scalars != NULL:
            step.scalars = run.scalars + number * run.n_scalars
        step.record = NULL
        if run.every > 0 and step.number % run.every == 0:
            step.record = run.records + observed * run.record_width
            observed += 1
        verdict.state = PROCEED
        verdict.scale = 1.0
        if run.times != NULL:
            times = run.times + (number * run.times_threads + i) * (run.n_ops + 1) * STAMPS
        o = 0
        while o < run.n_ops:
            this = o
            op = run.ops + this
            step.queues = queues + this * run.n_threads
            o += op.band if op.band else 1
            if op.observing and step.record == NULL:
                continue
            stamp(times, this, ARRIVED)
            if op.wait:
                fnn_wait(&run.barrier, n)
            if verdict.state != PROCEED and not (op.closing and verdict.state == NONFINITE and not run.skip):
                continue
            look_for_signals(run, &step, this, i)
            if run.left:
                continue
            stamp(times, this, BEGAN)
            if op.band:
                run_band(run, this, &step, i, n, NULL if times == NULL else times + this * STAMPS)
            else:
                op.run(op, &step, i, n)
            stamp(times, this, ENDED)
            if times != NULL and not op.band:
                times[this * STAMPS + BUSY] = times[this * STAMPS + ENDED] - times[this * STAMPS + BEGAN]
        halted = verdict.state != PROCEED and not (run.skip and verdict.state == NONFINITE)
        at += step.rows
        if i == 0:
            if halted:
                run.verdict = verdict
            elif not run.failed:
                run.done = at
                if verdict.state != PROCEED:
                    run.skipped_rows += step.rows
                elif step.record != NULL:
                    step.record[0] = step.number
            run.stop[number & 1] = halted or run.failed or now() > run.deadline or (
                run.turns != NULL and fnn_awaited(run.turns))
        stamp(times, run.n_ops, ARRIVED)
        fnn_wait(&run.barrier, n)
        stamp(times, run.n_ops, BEGAN)
        if run.stop[number & 1]:
            break
        number += 1
    fnn_within_a_step -= 1
    fnn_set_float_mode(float_mode)


cdef void region(Run *run) noexcept nogil:
    cdef int wanted = run.n_threads
    if not omp_in_parallel():  # or it is within a step of another run, where OpenMP makes no team
        run.n_threads = fnn_team_of(wanted, stack)
        run.missing = wanted - run.n_threads
    if run.n_threads == 1:
        member(run, 0, 1)
        return
    with nogil, parallel(num_threads=run.n_threads):
        member(run, omp_get_thread_num(), omp_get_num_threads())


cdef void *region_in_thread(void *run) noexcept nogil:
    region(<Run *> run)
    return NULL


cdef void start(Run *run) noexcept nogil:
    cdef pthread_t thread
    if run.n_threads == 1:
        member(run, 0, 1)
    elif not fnn_team_lost:
        region(run)
    elif pthread_create(&thread, NULL, region_in_thread, run) == 0:
        pthread_join(thread, NULL)
    else:
        run.missing = run.n_threads - 1
        run.n_threads = 1
        member(run, 0, 1)


cdef void *address(array) except? NULL:
    """Where an array begins. The caller keeps the array."""
    cdef Py_buffer view
    cdef void *found
    PyObject_GetBuffer(array, &view, PyBUF_STRIDES)
    found = view.buf
    PyBuffer_Release(&view)
    return found


cdef class Turns:
    """Of the threads that run executables with the weights of one model."""

    cdef fnn_turns turns
    cdef object __weakref__

    def __cinit__(self):
        fnn_init_turns(&self.turns, forks)
        _turns[id(self)] = self

    cdef fnn_turns *here(self) noexcept:
        """In this process."""
        if self.turns.forks != forks:
            fnn_init_turns(&self.turns, forks)
        return &self.turns


_turns = weakref.WeakValueDictionary()   # its `valuerefs` are a list at once, whatever other threads add
_held = {}   # thread that forks -> the turns that it has


def before_fork():
    """Wait until no model is within a step of a training, and let none begin."""
    cdef Turns each
    cdef fnn_turns *turns
    cdef list held = []
    if not fnn_within_a_step:
        held = [found for found in [ref() for ref in _turns.valuerefs()] if found is not None]
    for each in held:
        turns = each.here()
        with nogil:
            fnn_begin_reading(turns)
    _held[get_ident()] = held


def after_fork():
    """Let them go on. In the child nobody has a turn: there is nothing to end."""
    cdef Turns each
    for each in <list> _held.pop(get_ident(), []):
        if each.turns.forks == forks:
            fnn_end_reading(&each.turns)


cdef class Executable:
    """A program with its memory. Not for two threads at once: each fit or predict has its own.

    turns: Of all who use its weights, if others may change them while it runs.
    """

    cdef Op *ops
    cdef fnn_sparse sparse[MAX_SOURCES]
    cdef readonly object program
    cdef Turns turns
    cdef object arena, tensors, calls, scratch
    cdef readonly int64_t capacity
    cdef int n_ops
    cdef char *leavable    # see Run
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
                call = BoundFunction(row.function, row.arguments, self.arena, self.capacity)
                self.calls.append(call)
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
            double[:, :, :, ::1] times=None):
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
        when it came to the op, began it after a wait, and ended it, in seconds on the monotonic clock, and the seconds that it took. The last
        "op" is the wait that ends a step. In a band the first op begins and ends for all. What is left out
        leaves its entries as they are.

        Raises what a function of the user's raised; its batch does not count. RuntimeError: it would train a
        model that another thread is training.
        """
        cdef Run run
        cdef Source table[MAX_SOURCES]
        cdef float *written[MAX_OUTPUTS]
        cdef int i, granted = n_threads, cores = usable_cores()
        cdef fnn_turns *turns = NULL
        cdef bint trains = scalars is not None, mine = True
        cdef int64_t steps
        if len(sources) > MAX_SOURCES or len(outputs) > MAX_OUTPUTS:
            raise ValueError(f"a model can have up to {MAX_SOURCES} inputs and targets and {MAX_OUTPUTS} outputs")
        if not 1 <= batch_size <= self.capacity:
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
        run.leavable = self.leavable
        run.done = first
        run.queues = self.queues
        memset(self.queues, 0, 2 * self.n_ops * n_threads * sizeof(Queue))
        if self.turns is not None and not fnn_within_a_step:
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
                run.deadline = now() + seconds
                run.look_at = now() + LOOK
                if run.times == NULL:  # which has room for exactly so many
                    run.n_threads = granted = fnn_take_cores(n_threads, cores)
                start(&run)
                if run.times == NULL:
                    fnn_give_cores(granted)
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

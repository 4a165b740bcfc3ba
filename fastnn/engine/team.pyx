"""The team: its members go through the program step by step, in one parallel region without the GIL.

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
  the rest of the step; the run ends with that step.
- A step may take seconds. Where no weight has changed yet, member 0 then looks for signals every tenth of a
  second, between ops and between the tasks of a band. If a handler raises, all leave the rest of the step, as
  after a function of the user's; a step that changes weights comes to its end.
- Processes that train together share the rows of each batch, in fours (csrc/random.inc.c). They meet in every step:
  one that has no rows goes to the meeting at once. One that leaves the step before it ends its run, and whoever asked
  for that tells the others. Nobody leaves a step after the meeting: the others take it.
- Who wants to know where a step goes gives an array for time stamps; without one nobody looks at a clock.
- Runs that go on at the same time share the process's cores (cores.h): each asks anew when it begins.
- A team has as many threads as there can be (team.h), which is known before OpenMP finds out in its way.
- A child of fork() has none of the threads that OpenMP keeps for the one that forked. So they are given back
  before; where that fails, that thread opens its regions from a new one, for which OpenMP makes a new team.
"""

from cython.parallel cimport parallel
from libc.stdint cimport int64_t, uint64_t
from posix.time cimport CLOCK_MONOTONIC, clock_gettime, timespec

from fastnn.engine.turns cimport begin_steps, end_steps, fnn_awaited
from fastnn.kernels.op cimport (
    NONFINITE, PROCEED, ROWS_TOGETHER, SCRATCH, TASKS, Op, Queue, Step, Verdict, parts, share, smaller, take
)
from fastnn.engine.threads import stack_bytes

cdef extern from "barrier.h" nogil:
    void fnn_wait(fnn_barrier *barrier, int n)

cdef extern from "cores.h" nogil:
    int fnn_take_cores(int wanted, int cores)
    void fnn_give_cores(int granted)
    void fnn_forget_runs()

cdef extern from "float_mode.h" nogil:
    uint64_t fnn_flush_denormals()
    void fnn_set_float_mode(uint64_t mode)

cdef extern from *:
    """
    static __thread int fnn_team_kept; /* this thread forks, and could not give its team back */
    static __thread int fnn_team_lost; /* the team of this thread is in the parent */
    """
    int fnn_team_kept
    int fnn_team_lost

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

cdef double LOOK = 0.1   # seconds from one look for signals within a step to the next

cdef size_t stack = stack_bytes()


cdef void give_team_back() noexcept nogil:
    global fnn_team_kept, fnn_team
    fnn_team_kept = omp_pause_resource(omp_pause_hard, omp_get_initial_device()) != 0
    if not fnn_team_kept:
        fnn_team = 1


cdef void begin_child() noexcept nogil:
    global fnn_team_lost
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
    cdef int64_t at = run.first, begin = 0, end = 0
    cdef int64_t number = 0, observed = 0
    cdef Queue *queues
    cdef Queue *next_queues
    cdef double *times = NULL
    cdef int o, this
    cdef Verdict verdict
    cdef bint halted
    cdef uint64_t float_mode = fnn_flush_denormals()
    begin_steps()
    step.float_mode = float_mode
    step.verdict = &verdict
    step.scratch = run.scratch + i * SCRATCH
    while at < run.last:
        queues = run.queues + (number & 1) * run.n_ops * run.n_threads
        next_queues = run.queues + ((number + 1) & 1) * run.n_ops * run.n_threads
        for o in range(run.n_ops):
            next_queues[o * run.n_threads + i].taken = 0
        step.batch = smaller(run.batch_size, run.last - at)
        share(step.batch, ROWS_TOGETHER, run.process, run.processes, &begin, &end)
        step.rows, step.row = end - begin, begin
        step.order = run.order + at + begin
        step.first = at + begin
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
            if step.rows == 0 and this < run.meeting:
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
        at += step.batch
        if i == 0:
            if halted:
                run.verdict = verdict
            elif not run.failed:
                run.done = at
                if verdict.state != PROCEED:
                    run.skipped_rows += step.batch
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
    end_steps()
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


cdef void begin(Run *run) noexcept nogil:
    """In this thread, or in a new one, if this one has lost its team."""
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


cdef void start(Run *run, double seconds, int cores) noexcept nogil:
    """Run until it is done, or for so many seconds and to the end of the step at hand.

    cores: that the process may use. A run whose times are taken has room for exactly `n_threads`.
    """
    cdef int granted
    run.deadline = now() + seconds
    run.look_at = now() + LOOK
    if run.times != NULL:
        begin(run)
        return
    run.n_threads = granted = fnn_take_cores(run.n_threads, cores)
    begin(run)
    fnn_give_cores(granted)

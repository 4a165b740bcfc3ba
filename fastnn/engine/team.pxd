"""What a run is, for those who start one, and what they share with its team."""

from libc.stdint cimport int64_t

from fastnn.engine.turns cimport fnn_turns
from fastnn.kernels.op cimport Op, Queue, Step, Verdict

cdef extern from "barrier.h" nogil:
    ctypedef struct fnn_barrier:
        pass

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
    int process            # number of this process among those that share each batch, ...
    int processes          # ... of which there are so many
    int meeting            # the op where they meet; -1 for none
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


cdef void start(Run *run, double seconds, int cores) noexcept nogil

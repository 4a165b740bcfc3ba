"""What a kernel gets: an op of the program, the step it is part of, and its share of the team.

A kernel is `void kernel(const Op *op, const Step *step, int i, int n)`: member `i` of `n` does its
share and returns; the engine waits for the others where the program says so. It reads its operands by
the names of the op's row in `fastnn/lowering/ops.py`: for each row there is a struct that lies as
`Operands` does (operands.pxd, made by tools/operands.py).
"""

from libc.stdint cimport int64_t, uint32_t, uint64_t

from fastnn.kernels.csrc cimport FNN_BLOCK, fnn_kernels, fnn_noise, fnn_sparse
from fastnn.kernels.operands cimport MAX_INTEGERS, MAX_NUMBERS, MAX_TENSORS, Activated, Noise

cdef enum:
    # Floats of scratch for each member of the team: gradient tiles between product and update; a strip of
    # transformed tiles of pictures.
    SCRATCH = 135168
    # Rows are shared out in units of this many: a block of the transposed layout.
    ROW_UNIT = 16
    # Rows of a batch that stay in one process: random numbers are made for so many.
    ROWS_TOGETHER = 4
    # Tasks for each member, where there is enough to do: the last ones even out the members' speeds.
    TASKS = 4

ctypedef struct Source:
    const char *data       # dense rows ...
    int dtype
    int64_t row_bytes
    int64_t item_bytes
    const fnn_sparse *sparse  # ... or their nonzeros

# Tasks that a member has taken from its own share of an op, or others from it. One cache line each.
ctypedef struct Queue:
    int64_t taken
    int64_t padding[7]

# What a guard says of a step; every member works it out for itself.
cdef enum:
    PROCEED = 0
    UNPROVEN = 1   # a gradient might overflow: only looking at it can tell
    NONFINITE = 2  # a gradient has an infinity or NaN
    FAILED = 3     # a function of the user's raised an exception, or another process failed

ctypedef struct Verdict:
    int state              # other than PROCEED: the rest of the step is left out
    float scale            # of all gradients: clipping by the global norm

ctypedef struct Step:
    const fnn_kernels *k
    int64_t rows           # of this batch that this process has, at most the capacity
    int64_t batch          # rows of the batch: all processes have them together
    int64_t row            # number of the first of `rows` in the batch: a multiple of 4
    const int64_t *order   # (rows,): rows of the data set
    int64_t first          # position of the batch in the output (predict)
    int64_t number         # steps of the optimizer before this one: a key of random numbers
    const Source *sources
    const float *scalars   # of the optimizer at this step
    double *sums           # of losses and metrics, over batches; member 0 writes
    float *scratch         # this member's own
    Queue *queues          # of this op, one for each member
    Verdict *verdict       # this member's own
    int *failed            # whether a function of the user's raised an exception; member 0 writes
    void *failures         # a Python list for it
    uint64_t float_mode    # of this member's thread before the run
    double *record         # where the step's statistics go, or NULL: nobody looks at this step
    float **outputs        # where predictions go, an array for each output of the model

# In the order of the op's row.
ctypedef struct Operands:
    void *t[MAX_TENSORS]
    int64_t stride[MAX_TENSORS]  # floats from block to block, of tensors that hold the batch
    int64_t d[MAX_INTEGERS]
    float f[MAX_NUMBERS]

cdef struct Op

ctypedef void (*Kernel)(const Op *op, const Step *step, int i, int n) noexcept nogil

cdef struct Op:
    Kernel run
    int wait               # for the whole team, before this op
    int observing          # only done in a step whose statistics are taken
    int band               # ops from this one on that are gone through together, ...
    int64_t band_rows      # ... so many rows of the batch at a time
    int closing            # also done by a step that stops at a gradient that is not finite
    int64_t positions      # lines that each row of the batch has in the op's tensors: H * W of a picture
    void *function         # of the user's, that the op calls
    Operands operands


cdef inline int64_t smaller(int64_t a, int64_t b) noexcept nogil:
    return a if a < b else b


cdef inline int64_t parts(int64_t whole, int64_t part) noexcept nogil:
    return (whole + part - 1) // part


cdef inline int64_t blocks_of(int64_t features) noexcept nogil:
    return parts(features, FNN_BLOCK)


cdef inline int64_t blocks_of_task(int64_t blocks, int64_t panels, int n) noexcept nogil:
    """Blocks of a task so that each of n members has some tasks; even, for tiles of two blocks."""
    cdef int64_t group = blocks * panels // (TASKS * n)
    if group > 8:
        group = 8
    return 2 if group < 2 else group & ~1


cdef inline fnn_noise noise_of(const Noise *operands, const Step *step, float scale) noexcept nogil:
    """An op's random numbers at this step."""
    cdef fnn_noise noise
    noise.key = <uint64_t> operands.key
    noise.step = step.number
    noise.stream = <uint32_t> operands.stream
    noise.threshold = <uint32_t> operands.threshold
    noise.scale = scale
    noise.row = step.row * operands.lines
    return noise


cdef inline void drop_activated(const Activated *activated, const Step *step, int64_t rows, int64_t row, int64_t j,
                                float *y) noexcept nogil:
    """Dropout of rows of block j that an activation just made and scaled, if the op is told to."""
    cdef fnn_noise noise
    if activated.noise.threshold:
        noise = noise_of(&activated.noise, step, 1.0)
        step.k.drop(&noise, rows, row, j * FNN_BLOCK, y, y)


cdef inline void share(int64_t total, int64_t unit, int i, int n, int64_t *begin, int64_t *end) noexcept nogil:
    """Member i's part of [0, total), in whole units but for the last."""
    cdef int64_t units = (total + unit - 1) // unit
    cdef int64_t quotient = units // n, rest = units % n
    cdef int64_t first = i * quotient + (i if i < rest else rest)
    cdef int64_t last = first + quotient + (1 if i < rest else 0)
    begin[0] = first * unit if first * unit < total else total  # not beyond the end of an empty part
    end[0] = last * unit if last * unit < total else total


cdef inline int64_t rows_of(const Op *op, const Step *step) noexcept nogil:
    """Lines of the op's tensors: a row of the batch has one, or one for each position."""
    return step.rows * op.positions


cdef inline int64_t unit_of(const Op *op) noexcept nogil:
    """Lines that are shared out together: a block of the transposed layout, or a row's positions."""
    return ROW_UNIT if op.positions == 1 else op.positions


cdef inline void share_rows(const Op *op, const Step *step, int i, int n, int64_t *begin, int64_t *end) noexcept nogil:
    """Member i's part of the batch's lines."""
    share(rows_of(op, step), unit_of(op), i, n, begin, end)


cdef extern from *:
    """
    #define fnn_fetch_add(p) __atomic_fetch_add((p), 1, __ATOMIC_RELAXED)
    """
    int64_t fnn_fetch_add(int64_t *p) noexcept nogil


cdef inline int64_t take(const Step *step, int64_t tasks, int i, int n, int *turn) noexcept nogil:
    """The next task for member i, or -1 when all are taken; `turn` starts at 0.

    A member takes its own share first, in order: the same columns of a weight in forward, gradient and
    update, which so stay in its cache. Then it helps the next members: cores are rarely equally
    fast, and a wait lasts as long as the slowest. A bit of the result never depends on it: an
    element is computed whole by one member.
    """
    cdef int64_t begin, end, task
    cdef int owner
    while turn[0] < n:
        owner = (i + turn[0]) % n
        share(tasks, 1, owner, n, &begin, &end)
        task = begin + fnn_fetch_add(&step.queues[owner].taken)
        if task < end:
            return task
        turn[0] += 1
    return -1

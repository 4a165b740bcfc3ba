"""Processes that train one model together, and what they tell each other, over MPI.

Design
- Sums are added up here, in the order of the processes, and not by the library: the same bits come out whatever
  library, network and number of threads. Of a gradient each process adds up one slice (all to all, then gathered).
- A meeting begins with a header from everybody: what for, in which step, and whether it goes on. So nobody waits
  for one that has failed or is somewhere else: all leave with an error.
- From the first to the last message of a meeting no bytecode of Python runs, so that no handler of a signal
  can raise an exception in between: it does so before, and the others hear of it, or after. Nor is memory
  allocated there that there may not be.
- What the communicator is asked for are methods of mpi4py that take buffers. Nothing of MPI is compiled in.
"""

from libc.stdint cimport int64_t
from libc.string cimport memset

import numpy as np

from fastnn.kernels.op cimport ROWS_TOGETHER, share
from fastnn.engine.calls import view
from fastnn.errors import ProcessError

cdef extern from "Python.h":
    int PyErr_CheckSignals() except -1

cdef enum:
    # Of a header, in float64: what is said, then numbers of the meeting's own, as many as fit.
    STATE = 0
    KIND = 1
    NUMBER = 2
    ROWS = 3
    COUNT = 4
    OWN = 5
    HEADER = 16

    GOES_ON = 0
    FAILED = 1
    INTERRUPTED = 2

    # Bytes of a failure's description.
    TEXT = 512
    # Numbers that are added up while they are in the first-level cache; a slice is a multiple of LINE.
    PIECE = 2048
    LINE = 16

KINDS = ("the end", "a step of training", "a step of evaluation", "a broadcast", "an agreement", "a gathering of rows")

cdef enum:
    THE_END = 0
    TRAINING = 1
    EVALUATION = 2
    BROADCAST = 3
    AGREEMENT = 4
    GATHERING = 5


cdef void add_in_order(float *slices, int64_t n, int64_t length) noexcept nogil:
    """slices (n, length): the first one becomes ((0 + 1) + 2) + ..."""
    cdef int64_t begin = 0, end, s, k
    cdef const float *x
    while begin < length:
        end = begin + PIECE if begin + PIECE < length else length
        for s in range(1, n):
            x = slices + s * length
            for k in range(begin, end):
                slices[k] += x[k]
        begin = end


cdef void average_in_order(const float *parts, const double *shares, int64_t n, int64_t length, float *out) noexcept nogil:
    """out = sum of share * part (n, length), of those that have a share"""
    cdef int64_t s, k
    cdef double total
    for k in range(length):
        total = 0.0
        for s in range(n):
            if shares[s] > 0.0:
                total += shares[s] * parts[s * length + k]
        out[k] = <float> total


cdef class Processes:
    """The processes of a communicator. All of them must call the same methods in the same order.

    communicator: mpi4py's, or an object with its ``rank``, ``size``, ``Allgather``, ``Allgatherv``, ``Alltoallv``
        and ``Bcast``.
    """

    cdef readonly int rank, size
    cdef readonly int first_to_fail   # of those that told of a failure at the last meeting
    cdef object communicator, header, headers, text, texts
    cdef double[::1] mine
    cdef double[:, ::1] all
    cdef bint parted    # the last meeting was the last: everybody knows

    def __init__(self, communicator):
        self.communicator = communicator
        self.rank, self.size = communicator.rank, communicator.size
        self.header, self.headers = np.zeros(HEADER), np.zeros((self.size, HEADER))
        self.text, self.texts = np.zeros(TEXT, np.uint8), np.zeros((self.size, TEXT), np.uint8)
        self.mine, self.all = self.header, self.headers

    def begin(self):
        """A new training: an earlier one may have failed."""
        self.parted = False

    def fail(self, error):
        """Tell the others, wherever they wait, that this process goes on no more; unless they know it."""
        if not self.parted:
            self.meet(THE_END, 0, 0, None, error)

    def end(self):
        """Everybody has come to the end: nobody will fail any more."""
        self.meet(THE_END, 0, 0, None, None)
        self.parted = True

    def agree(self, double[::1] numbers):
        """The numbers, up to 11, of each process: (size, count)."""
        self.meet(AGREEMENT, 0, 0, numbers, None)
        return self.headers[:, OWN : OWN + numbers.shape[0]].copy()

    def broadcast(self, data):
        """The first process's bytes, an array of uint8; what the others give is not looked at."""
        length = np.zeros(1)
        if self.rank == 0:
            length[0] = data.size
        self.meet(BROADCAST, 0, 0, length, None)
        if self.rank != 0:
            data = np.empty(int(self.all[0, OWN]), np.uint8)
        # Who has no memory for it has failed before this one.
        self.meet(BROADCAST, 1, 0, None, None)
        self.tell(self.communicator.Bcast, data)
        return data

    def gather(self, rows, counts):
        """What all have of an array (numbers,) of float32, one after another; counts: numbers of each process."""
        counts = tuple(counts)
        received = np.empty(sum(counts), np.float32)
        self.meet(GATHERING, 0, received.size, None, None)
        self.tell(self.communicator.Allgatherv, rows, [received, (counts, starts_of(counts))])
        return received

    cdef object tell(self, method, message, received=None):
        """One call of the communicator's; whoever can't reach the others meets them no more."""
        try:
            if received is None:
                method(message)
            else:
                method(message, received)
        except BaseException:
            self.parted = True
            raise

    cdef int meet(self, int kind, int64_t number, int64_t rows, const double[::1] own, error) except -1:
        """The header of a meeting; with an `error`, this process has only come to tell it.

        Raises ProcessError or KeyboardInterrupt if another process fails; ProcessError if they are not in the same
        place.
        """
        cdef int64_t k, count = 0 if own is None else own.shape[0]
        cdef int r
        cdef bint failed = False, apart = False
        if self.parted:
            raise ProcessError("the processes of this training have parted: fit has ended in an error")
        self.mine[STATE] = GOES_ON
        if error is not None:
            self.mine[STATE] = INTERRUPTED if isinstance(error, KeyboardInterrupt) else FAILED
        self.mine[KIND], self.mine[NUMBER], self.mine[ROWS], self.mine[COUNT] = kind, number, rows, count
        for k in range(HEADER - OWN):
            self.mine[OWN + k] = own[k] if k < count else 0.0
        self.tell(self.communicator.Allgather, self.header, self.headers)
        for r in range(self.size):
            if not failed and self.all[r, STATE] != GOES_ON:
                failed, self.first_to_fail = True, r
            for k in range(KIND, OWN):
                apart = apart or self.all[r, k] != self.all[0, k]
        if failed:
            self.parted = True
            self.describe(error)
            self.tell(self.communicator.Allgather, self.text, self.texts)
            if error is None:
                self.raise_failure()
        elif apart:
            self.parted = True
            raise ProcessError("the processes are not in the same place: " + "; ".join([
                f"process {r} has come to {KINDS[int(self.all[r, KIND])]}, number {int(self.all[r, NUMBER])}, of "
                f"{int(self.all[r, ROWS])} rows and {int(self.all[r, COUNT])} sums"
                for r in range(self.size)
            ]))
        return 0

    cdef int describe(self, error) except -1:
        cdef unsigned char[::1] text = self.text
        cdef bytes encoded
        cdef int64_t k
        memset(&text[0], 0, TEXT)
        if error is not None:
            encoded = f"{type(error).__name__}: {error}".encode()[: TEXT - 1]
            for k in range(len(encoded)):
                text[k] = encoded[k]
        return 0

    cdef int raise_failure(self) except -1:
        """What the others said. A signal that came here, too, is the better word for an interruption."""
        for r in range(self.size):
            if self.all[r, STATE] == INTERRUPTED:
                PyErr_CheckSignals()
                raise KeyboardInterrupt(f"process {r} was interrupted")
        for r in range(self.size):
            if self.all[r, STATE] != GOES_ON:
                said = bytes(self.texts[r]).rstrip(b"\0").decode(errors="replace")
                raise ProcessError(f"process {r} of {self.size} failed: {said}")
        return 0


cdef tuple starts_of(counts):
    starts, start = [], 0
    for count in counts:
        starts.append(start)
        start += count
    return tuple(starts)


cdef class Exchange:
    """The meeting of a program's step, bound to the memory of one executable. Takes part in it when called.

    arguments: The sums of this process's rows, which are cleared; where those of the whole batch go; to train also
        the gradients, which become those of the whole batch, and what is averaged over its rows.
    """

    cdef Processes processes
    cdef object own_array, own_of_all, gradients, received, outgoing, incoming, slice_of, whole, average, averages
    cdef double[::1] own, sums, shares
    cdef double[:, ::1] all_own
    cdef list averaged
    cdef int64_t length    # of this process's slice
    cdef bint trains

    def __init__(self, Processes processes, arguments, arena, capacity):
        own, sums, *rest = [view(argument, arena, capacity) for argument in arguments]
        self.processes = processes
        self.own_array, self.own, self.sums = own, own, sums
        self.own_of_all = np.zeros((processes.size, own.size))
        self.all_own = self.own_of_all
        self.shares = np.zeros(processes.size)
        self.trains = bool(rest)
        if not rest:
            return
        self.gradients, *self.averaged = rest
        lines = self.gradients.size // LINE
        size = processes.size
        counts = [(lines // size + (r < lines % size)) * LINE for r in range(size)]
        self.length = counts[processes.rank]
        self.received = np.zeros(size * self.length, np.float32)
        parts = (counts, starts_of(counts))
        self.outgoing = [self.gradients, parts]
        alike = [self.length] * size
        self.incoming = [self.received, (alike, starts_of(alike))]
        self.slice_of = self.received[: self.length]
        self.whole = [self.gradients, parts]
        if self.averaged:
            numbers = sum([each.size for each in self.averaged])
            self.average, self.averages = np.zeros(numbers, np.float32), np.zeros((size, numbers), np.float32)

    def clear(self):
        """Forget the sums of a step that was left before its meeting."""
        self.own_array.fill(0.0)

    def __call__(self, int64_t rows, int64_t batch, int64_t number):
        self.processes.meet(TRAINING if self.trains else EVALUATION, number, batch, self.own, None)
        self.add_sums()
        self.clear()
        if self.trains:
            self.add_gradients(rows)
            if self.averaged:
                self.take_averages(rows, batch)

    cdef int add_sums(self) except -1:
        cdef int64_t k, count = self.own.shape[0]
        cdef int r
        cdef double total
        if count > HEADER - OWN:
            self.processes.tell(self.processes.communicator.Allgather, self.own_array, self.own_of_all)
        for k in range(count):
            total = 0.0
            for r in range(self.processes.size):
                total += self.all_own[r, k] if count > HEADER - OWN else self.processes.all[r, OWN + k]
            self.sums[k] = total
        return 0

    cdef int add_gradients(self, int64_t rows) except -1:
        cdef float[::1] received = self.received
        cdef int64_t n = self.processes.size
        communicator = self.processes.communicator
        if rows == 0:
            self.gradients.fill(0.0)
        if n == 1 or self.gradients.size == 0:
            return 0
        self.processes.tell(communicator.Alltoallv, self.outgoing, self.incoming)
        if self.length:
            with nogil:
                add_in_order(&received[0], n, self.length)
        self.processes.tell(communicator.Allgatherv, self.slice_of, self.whole)
        return 0

    cdef int take_averages(self, int64_t rows, int64_t batch) except -1:
        """Each process's part counts by its rows; one without rows has nothing to say."""
        cdef float[::1] average = self.average
        cdef const float[:, ::1] averages = self.averages
        cdef float[::1] each
        cdef int64_t at = 0, k
        for k in range(self.processes.size):
            self.shares[k] = rows_of(batch, k, self.processes.size) / <double> batch
        for each in self.averaged:
            for k in range(each.shape[0]):
                average[at + k] = each[k]
            at += each.shape[0]
        self.processes.tell(self.processes.communicator.Allgather, self.average, self.averages)
        average_in_order(&averages[0, 0], &self.shares[0], self.processes.size, at, &average[0])
        at = 0
        for each in self.averaged:
            for k in range(each.shape[0]):
                each[k] = average[at + k]
            at += each.shape[0]
        return 0


def rows_of(int64_t batch, int process, int processes):
    """How many of a batch's rows a process has."""
    cdef int64_t begin, end
    share(batch, ROWS_TOGETHER, process, processes, &begin, &end)
    return end - begin


def sum_slices(float[:, ::1] slices):
    """The sum of the rows of `slices`, which goes to the first: for tests."""
    add_in_order(&slices[0, 0], slices.shape[0], slices.shape[1])

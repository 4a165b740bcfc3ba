"""Turns of the threads that use one model's weights."""

cdef extern from "turns.h" nogil:
    ctypedef struct fnn_turns:
        int forks
    void fnn_begin_reading(fnn_turns *turns)
    void fnn_end_reading(fnn_turns *turns)
    int fnn_begin_training(fnn_turns *turns)
    void fnn_end_training(fnn_turns *turns)
    bint fnn_awaited(fnn_turns *turns)


cdef class Turns:
    cdef fnn_turns turns
    cdef object __weakref__
    cdef fnn_turns *here(self) noexcept


cdef void begin_steps() noexcept nogil
cdef void end_steps() noexcept nogil
cdef bint within_a_step() noexcept nogil

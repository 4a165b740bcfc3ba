"""Who may use a model's weights now: one who trains them, or those who read.

Design
- Of runs with the same `Turns`, that is of one model, those that only read its weights wait for the end of one
  that trains (turns.h), which comes when its member 0 sees that somebody waits, after the step at hand.
- A run within a step of another one, which a function of the user's has asked for, waits for nobody: the weights
  are those before the step, and it would wait for its own end.
- Who forks waits like one who reads: the child gets weights between two steps. In the child nobody has a turn.
"""

import weakref
from threading import get_ident

cdef extern from "turns.h" nogil:
    void fnn_init_turns(fnn_turns *turns, int forks)

cdef extern from *:
    """
    static __thread int fnn_runs_of_thread; /* of how many, one within another, this thread is a member */
    """
    int fnn_runs_of_thread

cdef extern from "<pthread.h>" nogil:
    int pthread_atfork(void (*prepare)() noexcept nogil, void (*parent)() noexcept nogil,
                       void (*child)() noexcept nogil)

cdef int forks = 0   # that led to this process


cdef void begin_child() noexcept nogil:
    global forks
    forks += 1


pthread_atfork(NULL, NULL, begin_child)


cdef void begin_steps() noexcept nogil:
    """This thread goes through the steps of a run, as a member of its team."""
    global fnn_runs_of_thread
    fnn_runs_of_thread += 1


cdef void end_steps() noexcept nogil:
    global fnn_runs_of_thread
    fnn_runs_of_thread -= 1


cdef bint within_a_step() noexcept nogil:
    """Whether this thread does so."""
    return fnn_runs_of_thread != 0


cdef class Turns:
    """Of the threads that run executables with the weights of one model."""

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
    if not within_a_step():
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

"""The CPU level in use: which build of csrc the kernels call."""

import os

from fastnn.kernels.csrc cimport fnn_kernels, fnn_levels, fnn_select


def levels() -> list:
    """Names of the levels that this build holds and this CPU runs, best first."""
    names = []
    cdef const char *const *name = fnn_levels()
    while name[0] != NULL:
        names.append(name[0].decode())
        name += 1
    return names


cdef const fnn_kernels *select(str name) except NULL:
    cdef bytes key
    cdef const fnn_kernels *found
    if not name:
        return fnn_select(NULL)
    key = name.encode()
    found = fnn_select(key)
    if found == NULL:
        raise ValueError(f"FASTNN_CPU_LEVEL: {name!r} does not run here; this CPU runs {', '.join(levels())}")
    return found


cdef const fnn_kernels *in_use = select(os.environ.get("FASTNN_CPU_LEVEL", ""))


def use(name: str) -> None:
    """Take the level ``name``, or the best for ``""``, from the next run of a program on: for tests."""
    global in_use
    in_use = select(name)


def address() -> int:
    """Where the table of the level in use lies, for the engine and the kernel tests."""
    return <size_t> in_use


def level() -> str:
    """The level in use: the best this CPU runs, unless FASTNN_CPU_LEVEL named another at import."""
    return in_use.name.decode()

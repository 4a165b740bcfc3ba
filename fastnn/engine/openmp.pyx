"""How many threads OpenMP allows the thread that asks: what threadpoolctl limits.

``omp_set_num_threads``, which ``threadpoolctl.threadpool_limits`` calls, holds for the calling thread. So its
number is a limit where it is below that of a thread in which nobody called it.
"""

cdef extern from "omp.h" nogil:
    int omp_get_max_threads()

cdef extern from "<pthread.h>" nogil:
    ctypedef unsigned long pthread_t
    int pthread_create(pthread_t *thread, const void *attributes, void *(*start)(void *) noexcept nogil,
                       void *argument)
    int pthread_join(pthread_t thread, void **result)


cdef void *ask(void *answer) noexcept nogil:
    (<int *> answer)[0] = omp_get_max_threads()
    return NULL


cdef int unlimited() noexcept:
    """Of a fresh thread. This one may be limited already."""
    cdef pthread_t thread
    cdef int answer = omp_get_max_threads()
    if pthread_create(&thread, NULL, ask, &answer) == 0:
        pthread_join(thread, NULL)
    return answer


cdef int usual = unlimited()


def limit():
    """The most threads that the calling thread may use; None if nobody has said so."""
    cdef int most = omp_get_max_threads()
    return most if most < usual else None

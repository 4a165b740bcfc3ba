/* How many threads a team can have.
 *
 * OpenMP's libraries end the process where they can't make a thread: of libgomp "Thread creation
 * failed" is the last word. A limit of a container, of a user or of memory is no reason to lose a
 * training. So as many threads as a team lacks are made, all at once and of the same stack, before
 * OpenMP makes them; it finds what those have left.
 *
 * libgomp keeps the threads of a thread's last team, and lets go of some when the next one is smaller.
 */
#ifndef FNN_TEAM_H
#define FNN_TEAM_H

#include <pthread.h>
#include <stdlib.h>
#include <time.h>

enum { FNN_MAX_TEAM = 256, FNN_HEAP_OF_TEAM = 1 << 18 };

static __thread int fnn_team = 1; /* members of the last team that this thread has opened */
static int fnn_tried;             /* members that a team could have ... */
static time_t fnn_tried_at;       /* ... in this second: who opens teams all the time tries once in it */

static void *fnn_pass_gate(void *gate) {
    pthread_mutex_lock((pthread_mutex_t *)gate);
    pthread_mutex_unlock((pthread_mutex_t *)gate);
    return NULL;
}

/* Make so many threads, at most, of which each has so much stack (0: the default), and end them. */
static int fnn_try_threads(int wanted, size_t stack) {
    pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;
    pthread_t threads[FNN_MAX_TEAM];
    pthread_attr_t attributes;
    int made = 0;
    /* What the library allocates for a team; freed memory is there for the next who asks. */
    void *heap = malloc(FNN_HEAP_OF_TEAM);
    if (heap == NULL) return 0;
    if (pthread_attr_init(&attributes) == 0) {
        if (stack > 0) pthread_attr_setstacksize(&attributes, stack);
        pthread_mutex_lock(&gate);
        while (made < wanted && made < FNN_MAX_TEAM &&
               pthread_create(threads + made, &attributes, fnn_pass_gate, &gate) == 0)
            made++;
        pthread_mutex_unlock(&gate);
        for (int i = 0; i < made; i++) pthread_join(threads[i], NULL);
        pthread_attr_destroy(&attributes);
    }
    free(heap);
    return made;
}

/* Members, `wanted` at most, that the calling thread's next team can have; it is about to open it. */
static inline int fnn_team_of(int wanted, size_t stack) {
    if (wanted > fnn_team) {
        struct timespec now;
        clock_gettime(CLOCK_MONOTONIC, &now);
        if (wanted > __atomic_load_n(&fnn_tried, __ATOMIC_RELAXED) ||
            now.tv_sec != __atomic_load_n(&fnn_tried_at, __ATOMIC_RELAXED)) {
            wanted = fnn_team + fnn_try_threads(wanted - fnn_team, stack);
            __atomic_store_n(&fnn_tried, wanted, __ATOMIC_RELAXED);
            __atomic_store_n(&fnn_tried_at, now.tv_sec, __ATOMIC_RELAXED);
        }
    }
    if (wanted > 1) fnn_team = wanted; /* one member works without a team, which stays as it was */
    return wanted;
}

#endif

/* A barrier for a team that meets every few microseconds.
 *
 * The last to come starts the next round; the others watch for it. They watch for some microseconds,
 * then offer their core at each look: if the one they wait for has lost its own core to another
 * program, spinning on would only keep it away.
 */
#ifndef FNN_BARRIER_H
#define FNN_BARRIER_H

#include <sched.h>

#if defined(__x86_64__)
#define FNN_PAUSE() __builtin_ia32_pause()
#elif defined(__aarch64__)
#define FNN_PAUSE() __asm__ volatile("yield")
#else
#define FNN_PAUSE() ((void)0)
#endif

enum { FNN_SPINS = 2000 };

typedef struct {
    int arrived;
    char padding[60]; /* those who watch do not disturb those who arrive */
    int round;
} fnn_barrier;

static inline void fnn_wait(fnn_barrier *b, int n) {
    if (n == 1) return;
    const int round = __atomic_load_n(&b->round, __ATOMIC_RELAXED);
    if (__atomic_add_fetch(&b->arrived, 1, __ATOMIC_ACQ_REL) == n) {
        __atomic_store_n(&b->arrived, 0, __ATOMIC_RELAXED);
        __atomic_store_n(&b->round, round + 1, __ATOMIC_RELEASE);
        return;
    }
    for (int spins = 0; __atomic_load_n(&b->round, __ATOMIC_ACQUIRE) == round; spins++) {
        if (spins < FNN_SPINS) FNN_PAUSE();
        else sched_yield();
    }
}

#endif

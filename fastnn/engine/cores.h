/* Runs that go on at the same time in several Python threads share the process's cores: else eight
 * threads that predict would open eight teams of all cores each.
 *
 * A run that finds all cores free gets as many members as it wants; one that comes while others run
 * gets the cores that they leave, but always itself. It gives them back at its end, a tenth of a
 * second at most.
 */
#ifndef FNN_CORES_H
#define FNN_CORES_H

static int fnn_members; /* of all teams at work */

/* How many members a run may have that wants so many, where the process may use so many cores. */
static inline int fnn_take_cores(int wanted, int cores) {
    int members = __atomic_load_n(&fnn_members, __ATOMIC_RELAXED), granted;
    do {
        const int left = cores - members > 1 ? cores - members : 1;
        granted = members == 0 || wanted < left ? wanted : left;
    } while (!__atomic_compare_exchange_n(&fnn_members, &members, members + granted, 0,
                                          __ATOMIC_RELAXED, __ATOMIC_RELAXED));
    return granted;
}

static inline void fnn_give_cores(int granted) {
    int members = __atomic_load_n(&fnn_members, __ATOMIC_RELAXED), left;
    do { /* not below zero: a function of the user's may fork within a run, and go on in the child */
        left = members > granted ? members - granted : 0;
    } while (!__atomic_compare_exchange_n(&fnn_members, &members, left, 0, __ATOMIC_RELAXED,
                                          __ATOMIC_RELAXED));
}

/* In a child of fork, which has the threads of no run. */
static inline void fnn_forget_runs(void) { fnn_members = 0; }

#endif

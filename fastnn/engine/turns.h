/* Threads that use one model's weights: one trains, any number read them between its runs.
 *
 * Who comes to read waits for the end of the run, which ends with the step at hand when it sees that
 * somebody waits; and the next run waits for all who have waited. So neither keeps the other out for
 * ever.
 */
#ifndef FNN_TURNS_H
#define FNN_TURNS_H

#include <pthread.h>

typedef struct {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    int readers;
    int training; /* a run of training goes on, or waits for the readers before it */
    int waiting;  /* to read */
    int owed;     /* readers who waited when the last run ended, and have not begun */
    int forks;    /* how often its process had been forked when it was made */
} fnn_turns;

/* Also in a child of fork, where those who held it are gone. */
static inline void fnn_init_turns(fnn_turns *t, int forks) {
    pthread_mutex_init(&t->mutex, NULL);
    pthread_cond_init(&t->changed, NULL);
    t->readers = t->training = t->waiting = t->owed = 0;
    t->forks = forks;
}

static inline void fnn_begin_reading(fnn_turns *t) {
    pthread_mutex_lock(&t->mutex);
    if (t->training) {
        __atomic_store_n(&t->waiting, t->waiting + 1, __ATOMIC_RELAXED);
        while (t->training) pthread_cond_wait(&t->changed, &t->mutex);
        __atomic_store_n(&t->waiting, t->waiting - 1, __ATOMIC_RELAXED);
        if (--t->owed == 0) pthread_cond_broadcast(&t->changed);
    }
    t->readers++;
    pthread_mutex_unlock(&t->mutex);
}

static inline void fnn_end_reading(fnn_turns *t) {
    pthread_mutex_lock(&t->mutex);
    if (--t->readers == 0 && t->training) pthread_cond_broadcast(&t->changed);
    pthread_mutex_unlock(&t->mutex);
}

/* Whether somebody waits for the end of a run of training. */
static inline int fnn_awaited(fnn_turns *t) {
    return __atomic_load_n(&t->waiting, __ATOMIC_RELAXED) > 0;
}

/* Returns 0 if another thread trains. */
static inline int fnn_begin_training(fnn_turns *t) {
    pthread_mutex_lock(&t->mutex);
    while (t->owed) pthread_cond_wait(&t->changed, &t->mutex);
    const int mine = !t->training;
    if (mine) {
        t->training = 1;
        while (t->readers) pthread_cond_wait(&t->changed, &t->mutex);
    }
    pthread_mutex_unlock(&t->mutex);
    return mine;
}

static inline void fnn_end_training(fnn_turns *t) {
    pthread_mutex_lock(&t->mutex);
    t->training = 0;
    t->owed = t->waiting;
    pthread_cond_broadcast(&t->changed);
    pthread_mutex_unlock(&t->mutex);
}

#endif

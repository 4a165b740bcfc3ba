/* Which build of the kernels this CPU runs. */
#include <stddef.h>
#include <string.h>

#include "fnn.h"

extern const fnn_kernels fnn_kernels_generic;
#if defined(__x86_64__)
extern const fnn_kernels fnn_kernels_avx2, fnn_kernels_avx512;
#endif
#if defined(__aarch64__)
extern const fnn_kernels fnn_kernels_neon;
#endif

static const fnn_kernels *available[4];
static const char *names[5];

static void detect(void) {
    if (available[0]) return;
    const fnn_kernels *found[4] = {0};
    int n = 0;
#if defined(__x86_64__)
    __builtin_cpu_init();
    const int avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    if (avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"))
        found[n++] = &fnn_kernels_avx512;
    if (avx2) found[n++] = &fnn_kernels_avx2;
#elif defined(__aarch64__)
    found[n++] = &fnn_kernels_neon;
#endif
    found[n] = &fnn_kernels_generic;
    /* the first entry last: it says that the table is filled */
    for (int i = n; i >= 0; i--) {
        names[i] = found[i]->name;
        available[i] = found[i];
    }
}

const fnn_kernels *fnn_select(const char *name) {
    detect();
    if (!name) return available[0];
    for (int i = 0; i < 4 && available[i]; i++)
        if (strcmp(available[i]->name, name) == 0) return available[i];
    return NULL;
}

const char *const *fnn_levels(void) {
    detect();
    return names;
}

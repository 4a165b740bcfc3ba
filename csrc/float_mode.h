/* Denormal numbers count as zero while a program runs.
 *
 * The moments of a weight whose gradient stays zero (a pixel that is always blank, a dead unit) decay
 * into denormals, on which many CPUs compute a hundred times slower. The mode belongs to the thread;
 * whoever sets it puts the old one back.
 */
#ifndef FNN_FLOAT_MODE_H
#define FNN_FLOAT_MODE_H

#include <stdint.h>

#if defined(__x86_64__)
static inline uint64_t fnn_flush_denormals(void) {
    const unsigned mode = __builtin_ia32_stmxcsr();
    __builtin_ia32_ldmxcsr(mode | 0x8040); /* flush results to zero, take operands as zero */
    return mode;
}
static inline void fnn_set_float_mode(uint64_t mode) { __builtin_ia32_ldmxcsr((unsigned)mode); }
#elif defined(__aarch64__)
static inline void fnn_set_float_mode(uint64_t mode) { __asm__ volatile("msr fpcr, %0" ::"r"(mode)); }
static inline uint64_t fnn_flush_denormals(void) {
    uint64_t mode;
    __asm__ volatile("mrs %0, fpcr" : "=r"(mode));
    fnn_set_float_mode(mode | (UINT64_C(1) << 24));
    return mode;
}
#else
static inline void fnn_set_float_mode(uint64_t mode) { (void)mode; }
static inline uint64_t fnn_flush_denormals(void) { return 0; }
#endif

#endif

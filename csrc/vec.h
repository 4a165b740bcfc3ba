/* Vectors of this build's CPU level, as compiler vectors: no intrinsics, so one source serves all.
 *
 * VL    float32 lanes in a vector
 * BV    vectors in a block of 16 columns (one cache line)
 * MR    rows of the register tile
 * NB    blocks of the register tile: MR * NB * BV accumulators stay in registers
 */
#ifndef FNN_VEC_H
#define FNN_VEC_H

#include <stdint.h>
#include <string.h>

#if defined(FNN_AVX512)
#define VL 16
#define MR 8
#define NB 2
#define REGISTERS 24 /* accumulators, of 32 registers */
#elif defined(FNN_AVX2)
#define VL 8
#define MR 6
#define NB 1
#define REGISTERS 12 /* of 16 */
#elif defined(FNN_NEON)
#define VL 4
#define MR 6
#define NB 1
#define REGISTERS 24 /* of 32 */
#else
#define VL 4
#define MR 2
#define NB 1
#define REGISTERS 8 /* of 16; a product without FMA needs one more */
#endif

#define BLOCK 16
#define BV (BLOCK / VL)

typedef float vf __attribute__((vector_size(4 * VL)));
typedef int32_t vi __attribute__((vector_size(4 * VL)));

#define INLINE static inline __attribute__((always_inline))

INLINE vf load(const float *p) { return *(const vf *)p; }
INLINE void store(float *p, vf v) { *(vf *)p = v; }
INLINE vf splat(float x) { return x - (vf){0}; }
INLINE vi splat_i(int32_t x) { return x - (vi){0}; }
INLINE vi bits(vf v) { return (vi)v; }
INLINE vf from_bits(vi v) { return (vf)v; }

/* mask lanes are 0 or -1, as comparisons give them */
INLINE vf blend(vi mask, vf yes, vf no) { return (vf)((mask & (vi)yes) | (~mask & (vi)no)); }
INLINE vf vmin(vf a, vf b) { return blend(a < b, a, b); }
INLINE vf vmax(vf a, vf b) { return blend(a > b, a, b); }
INLINE vf vabs(vf a) { return from_bits(bits(a) & 0x7fffffff); }

/* Lanes of two vectors in a new order: F(l) says which one comes to l; those of b count from VL on. */
#if VL == 16
#define LANES(F) F(0), F(1), F(2), F(3), F(4), F(5), F(6), F(7), F(8), F(9), F(10), F(11), F(12), F(13), F(14), F(15)
#elif VL == 8
#define LANES(F) F(0), F(1), F(2), F(3), F(4), F(5), F(6), F(7)
#else
#define LANES(F) F(0), F(1), F(2), F(3)
#endif
#if defined(__has_builtin)
#if __has_builtin(__builtin_shufflevector)
#define SHUFFLE(a, b, F) __builtin_shufflevector(a, b, LANES(F))
#endif
#endif
#ifndef SHUFFLE /* GCC before 12 */
#define SHUFFLE(a, b, F) __builtin_shuffle(a, b, (vi){LANES(F)})
#endif

#endif

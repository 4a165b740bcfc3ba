/* Elementary functions as branch-free float code that compilers vectorise.
 *
 * exp, log and tanh follow the Cephes library's single-precision reductions and polynomials
 * (S. L. Moshier, 1992), erfc the Chebyshev fit of Numerical Recipes (Press et al., section 6.2).
 * Each is within a few units in the last place; the tests hold them to float64 twins.
 */
#ifndef FNN_SCALAR_MATH_H
#define FNN_SCALAR_MATH_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#define SCALAR static inline __attribute__((always_inline))

SCALAR float float_of_bits(int32_t i) {
    float x;
    memcpy(&x, &i, sizeof x);
    return x;
}

SCALAR int32_t bits_of_float(float x) {
    int32_t i;
    memcpy(&i, &x, sizeof i);
    return i;
}

/* 2^n for -127 < n < 128; something for any other n. */
SCALAR float power_of_two(int32_t n) { return float_of_bits((int32_t)((uint32_t)(n + 127) << 23)); }

/* Zero below -87.33 (no denormals), infinity above 88.72; a NaN stays one. */
SCALAR float exp_(float x) {
    const float lowest = -87.33654f, highest = 88.72283f;
    const float y = x < lowest ? lowest : x > highest ? highest : x;
    const float shifted = y * 1.44269504f + 12582912.0f; /* 1.5 * 2^23: the integer is in the low bits */
    const float n = shifted - 12582912.0f;
    const float r = (y - n * 0.693359375f) + n * 2.12194440e-4f;
    float p = 1.9875691500e-4f;
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * (r * r) + r + 1.0f;
    /* 2^n in two factors: n reaches 128, one more than a float's exponent holds */
    const int32_t k = bits_of_float(shifted) - 0x4B400000;
    const int32_t half = k >> 1;
    p = p * power_of_two(half) * power_of_two(k - half);
    return x < lowest ? 0.0f : x > highest ? INFINITY : p;
}

/* For x > 0 that is a normal number; log(0) = -infinity. */
SCALAR float log_(float x) {
    const uint32_t i = (uint32_t)bits_of_float(x);
    /* x = m 2^e with sqrt(1/2) <= m < sqrt(2) */
    const int32_t e = (int32_t)(i - 0x3F3504F3) >> 23;
    const float m = float_of_bits((int32_t)(i - ((uint32_t)e << 23))) - 1.0f;
    const float z = m * m;
    float p = 7.0376836292e-2f;
    p = p * m - 1.1514610310e-1f;
    p = p * m + 1.1676998740e-1f;
    p = p * m - 1.2420140846e-1f;
    p = p * m + 1.4249322787e-1f;
    p = p * m - 1.6668057665e-1f;
    p = p * m + 2.0000714765e-1f;
    p = p * m - 2.4999993993e-1f;
    p = p * m + 3.3333331174e-1f;
    p = p * m * z;
    p = p + (float)e * -2.12194440e-4f;
    p = p - 0.5f * z;
    p = m + p + (float)e * 0.693359375f;
    return x > 0.0f ? p : x == 0.0f ? -INFINITY : x - x + NAN;
}

/* For x >= 0. The quotient corrects for what 1 + x rounded away. */
SCALAR float log1p_(float x) {
    const float y = 1.0f + x;
    const float d = y - 1.0f;
    return d == 0.0f ? x : log_(y) * (x / d);
}

SCALAR float tanh_(float x) {
    const float a = fabsf(x);
    const float z = x * x;
    float p = -5.70498872745e-3f;
    p = p * z + 2.06390887954e-2f;
    p = p * z - 5.37397155531e-2f;
    p = p * z + 1.33314422036e-1f;
    p = p * z - 3.33332819422e-1f;
    p = p * z * x + x;
    const float large = 1.0f - 2.0f / (exp_(2.0f * a) + 1.0f);
    return a < 0.625f ? p : copysignf(large, x);
}

SCALAR float sigmoid_(float x) {
    /* exp of a negative number only: no overflow on either side */
    const float e = exp_(-fabsf(x));
    const float s = 1.0f / (1.0f + e);
    return x >= 0.0f ? s : e * s;
}

/* erfc(x) for x >= 0, relative error 1.2e-7. */
SCALAR float erfc_(float x) {
    const float t = 1.0f / (1.0f + 0.5f * x);
    float p = 0.17087277f;
    p = p * t - 0.82215223f;
    p = p * t + 1.48851587f;
    p = p * t - 1.13520398f;
    p = p * t + 0.27886807f;
    p = p * t - 0.18628806f;
    p = p * t + 0.09678418f;
    p = p * t + 0.37409196f;
    p = p * t + 1.00002368f;
    p = p * t - 1.26551223f;
    return t * exp_(p - x * x);
}

/* P(X <= x) of the standard normal distribution. */
SCALAR float normal_cdf_(float x) {
    const float half_tail = 0.5f * erfc_(fabsf(x) * 0.70710678f);
    return x >= 0.0f ? 1.0f - half_tail : half_tail;
}

#endif

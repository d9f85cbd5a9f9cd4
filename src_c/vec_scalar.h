/* Vector operations in plain C: the meaning of every operation that the other headers must reproduce bit for bit.
 *
 * vf is 16 float lanes, vd is 8 double lanes, on every instruction set; that fixed shape, not the register width, decides the
 * order of every sum.  mf, md are lane masks; vfi, vdi are the lanes' bits as integers.
 */
#ifndef FASTDIV_VEC_SCALAR_H
#define FASTDIV_VEC_SCALAR_H
#include <math.h>
#include <stdint.h>
#include <string.h>

typedef struct { float v[16]; } vf;
typedef struct { double v[8]; } vd;
typedef struct { int32_t v[16]; } mf;
typedef struct { int64_t v[8]; } md;
typedef struct { int32_t v[16]; } vfi;
typedef struct { int64_t v[8]; } vdi;

/* What has its operands by value reads no memory: a sanitizer that checks every lane takes thirty times as long over these loops. */
#if defined(FD_SANITIZE)
#define OF_VALUES FD_INLINE __attribute__((no_sanitize("address", "bounds", "object-size", "alignment", "null")))
#else
#define OF_VALUES FD_INLINE
#endif
#define LANES(N) for (int i = 0; i < N; i++)
#define UNARY(P, V, N, NAME, EXPR) OF_VALUES V P##_##NAME(V a) { V r; LANES(N) r.v[i] = EXPR; return r; }
#define BINARY(P, V, R, N, NAME, EXPR) OF_VALUES R P##_##NAME(V a, V b) { R r; LANES(N) r.v[i] = EXPR; return r; }

#define FLOATING(P, V, M, IV, T, I, N, MANTISSA, FMA, SQRT, FABS)                                                              \
    OF_VALUES V P##_set1(T x) { V r; LANES(N) r.v[i] = x; return r; }                                                          \
    FD_INLINE V P##_load(const T *x) { V r; memcpy(r.v, x, sizeof r.v); return r; }                                            \
    FD_INLINE V P##_loadn(const T *x, int n) { V r; LANES(N) r.v[i] = i < n ? x[i] : 0; return r; }                            \
    FD_INLINE void P##_store(T *x, V a) { memcpy(x, a.v, sizeof a.v); }                                                        \
    BINARY(P, V, V, N, add, a.v[i] + b.v[i])                                                                                   \
    BINARY(P, V, V, N, sub, a.v[i] - b.v[i])                                                                                   \
    BINARY(P, V, V, N, mul, a.v[i] * b.v[i])                                                                                   \
    BINARY(P, V, V, N, div, a.v[i] / b.v[i])                                                                                   \
    BINARY(P, V, V, N, min, a.v[i] < b.v[i] ? a.v[i] : b.v[i])                                                                 \
    BINARY(P, V, V, N, max, a.v[i] > b.v[i] ? a.v[i] : b.v[i])                                                                 \
    UNARY(P, V, N, sqrt, SQRT(a.v[i]))                                                                                         \
    UNARY(P, V, N, abs, FABS(a.v[i]))                                                                                          \
    OF_VALUES V P##_fma(V a, V b, V c) { V r; LANES(N) r.v[i] = FMA(a.v[i], b.v[i], c.v[i]); return r; }                       \
    OF_VALUES V P##_fnma(V a, V b, V c) { V r; LANES(N) r.v[i] = FMA(-a.v[i], b.v[i], c.v[i]); return r; }                     \
    OF_VALUES V P##_fms(V a, V b, V c) { V r; LANES(N) r.v[i] = FMA(a.v[i], b.v[i], -c.v[i]); return r; }                      \
    BINARY(P, V, M, N, lt, -(a.v[i] < b.v[i]))                                                                                 \
    BINARY(P, V, M, N, le, -(a.v[i] <= b.v[i]))                                                                                \
    BINARY(P, V, M, N, eq, -(a.v[i] == b.v[i]))                                                                                \
    BINARY(P, V, M, N, ne, -(a.v[i] != b.v[i]))                                                                                \
    BINARY(P##_m, M, M, N, or, a.v[i] | b.v[i])                                                                                \
    BINARY(P##_m, M, M, N, and, a.v[i] & b.v[i])                                                                               \
    OF_VALUES int P##_m_any(M m) { I r = 0; LANES(N) r |= m.v[i]; return r != 0; }                                             \
    OF_VALUES int P##_m_count(M m) { int r = 0; LANES(N) r -= (int)m.v[i]; return r; }                                         \
    OF_VALUES V P##_sel(M m, V a, V b) { V r; LANES(N) r.v[i] = m.v[i] ? a.v[i] : b.v[i]; return r; }                          \
    OF_VALUES M P##_first(int n) { M r; LANES(N) r.v[i] = -(i < n); return r; }                                                \
    OF_VALUES IV P##_bits(V a) { IV r; memcpy(&r, &a, sizeof r); return r; }                                                   \
    OF_VALUES V P##i_float(IV a) { V r; memcpy(&r, &a, sizeof r); return r; }                                                  \
    OF_VALUES IV P##i_add(IV a, IV b) { IV r; LANES(N) r.v[i] = (I)((u##I)a.v[i] + (u##I)b.v[i]); return r; }                  \
    OF_VALUES IV P##i_sub(IV a, IV b) { IV r; LANES(N) r.v[i] = (I)((u##I)a.v[i] - (u##I)b.v[i]); return r; }                  \
    OF_VALUES IV P##i_and(IV a, IV b) { IV r; LANES(N) r.v[i] = a.v[i] & b.v[i]; return r; }                                   \
    OF_VALUES IV P##i_or(IV a, IV b) { IV r; LANES(N) r.v[i] = a.v[i] | b.v[i]; return r; }                                    \
    OF_VALUES IV P##i_set1(I x) { IV r; LANES(N) r.v[i] = x; return r; }                                                       \
    OF_VALUES IV P##i_to_exponent(IV a) { IV r; LANES(N) r.v[i] = (I)((u##I)a.v[i] << MANTISSA); return r; }                   \
    OF_VALUES V P##i_value(IV a) { V r; LANES(N) r.v[i] = (T)a.v[i]; return r; }

FLOATING(vf, vf, mf, vfi, float, int32_t, 16, 23, fmaf, sqrtf, fabsf)
FLOATING(vd, vd, md, vdi, double, int64_t, 8, 52, fma, sqrt, fabs)

/* Of sixteen numbers the one that the lowest four bits of each lane's exponent name. */
FD_INLINE vf vf_lookup(const float *table, vfi a) { vf r; LANES(16) r.v[i] = table[(uint32_t)a.v[i] >> 23 & 15]; return r; }
OF_VALUES vd vf_lo(vf a) { vd r; LANES(8) r.v[i] = a.v[i]; return r; }
OF_VALUES vd vf_hi(vf a) { vd r; LANES(8) r.v[i] = a.v[i + 8]; return r; }

OF_VALUES float half_to_float(uint16_t h) {
    uint32_t sign = (uint32_t)(h & 0x8000u) << 16, rest = h & 0x7fffu, bits;
    float x;
    if (rest >= 0x7c00u) {
        bits = sign | 0x7f800000u | ((rest & 0x3ffu) << 13);
        memcpy(&x, &bits, 4);
    } else {
        /* 2^112 moves the exponent bias from 15 to 127 and normalises half's subnormals, exactly. */
        bits = rest << 13;
        memcpy(&x, &bits, 4);
        x *= 0x1p112f;
        memcpy(&bits, &x, 4);
        bits |= sign;
        memcpy(&x, &bits, 4);
    }
    return x;
}
FD_INLINE vf vf_from_float16(const uint16_t *x) { vf r; LANES(16) r.v[i] = half_to_float(x[i]); return r; }
FD_INLINE vf vf_from_bfloat16(const uint16_t *x) {
    vf r;
    LANES(16) { uint32_t bits = (uint32_t)x[i] << 16; memcpy(&r.v[i], &bits, 4); }
    return r;
}
#undef LANES
#undef OF_VALUES
#undef UNARY
#undef BINARY
#undef FLOATING
#endif

/* The operations of vec_scalar.h for AArch64 Advanced SIMD: four registers are one virtual vector. */
#ifndef FASTDIV_VEC_NEON_H
#define FASTDIV_VEC_NEON_H
#include <arm_neon.h>
#include <stdint.h>
#include <string.h>

typedef struct { float32x4_t v[4]; } vf;
typedef struct { float64x2_t v[4]; } vd;
typedef struct { uint32x4_t v[4]; } mf;
typedef struct { uint64x2_t v[4]; } md;
typedef struct { int32x4_t v[4]; } vfi;
typedef struct { int64x2_t v[4]; } vdi;

#define not_u32(x) vmvnq_u32(x)
#define not_u64(x) vreinterpretq_u64_u32(vmvnq_u32(vreinterpretq_u32_u64(x)))
/* Four statements, not a loop: thousands of inlined loops of four take a compiler minutes. */
#define FOUR(R, EXPR)                                                                                                          \
    {                                                                                                                          \
        R r;                                                                                                                   \
        { enum { i = 0 }; r.v[i] = EXPR; }                                                                                     \
        { enum { i = 1 }; r.v[i] = EXPR; }                                                                                     \
        { enum { i = 2 }; r.v[i] = EXPR; }                                                                                     \
        { enum { i = 3 }; r.v[i] = EXPR; }                                                                                     \
        return r;                                                                                                              \
    }
#define FLOATING(P, V, M, IV, T, I, S, U, IS, N, MANTISSA)                                                                     \
    FD_INLINE V P##_set1(T x) FOUR(V, vdupq_n_##S(x))                                                                          \
    FD_INLINE V P##_load(const T *x) FOUR(V, vld1q_##S(x + i * (N / 4)))                                                       \
    FD_INLINE V P##_loadn(const T *x, int n) {                                                                                 \
        T lane[N] = {0};                                                                                                       \
        memcpy(lane, x, (size_t)n * sizeof(T));                                                                                \
        return P##_load(lane);                                                                                                 \
    }                                                                                                                          \
    FD_INLINE void P##_store(T *x, V a) {                                                                        \
        vst1q_##S(x, a.v[0]), vst1q_##S(x + N / 4, a.v[1]), vst1q_##S(x + N / 2, a.v[2]), vst1q_##S(x + 3 * N / 4, a.v[3]);    \
    }                                                                                                                          \
    FD_INLINE V P##_add(V a, V b) FOUR(V, vaddq_##S(a.v[i], b.v[i]))                                                           \
    FD_INLINE V P##_sub(V a, V b) FOUR(V, vsubq_##S(a.v[i], b.v[i]))                                                           \
    FD_INLINE V P##_mul(V a, V b) FOUR(V, vmulq_##S(a.v[i], b.v[i]))                                                           \
    FD_INLINE V P##_div(V a, V b) FOUR(V, vdivq_##S(a.v[i], b.v[i]))                                                           \
    /* vminq and vmaxq treat NaN and signed zero in their own way; compare and select does what x86 does. */                   \
    FD_INLINE V P##_min(V a, V b) FOUR(V, vbslq_##S(vcltq_##S(a.v[i], b.v[i]), a.v[i], b.v[i]))                                \
    FD_INLINE V P##_max(V a, V b) FOUR(V, vbslq_##S(vcgtq_##S(a.v[i], b.v[i]), a.v[i], b.v[i]))                                \
    FD_INLINE V P##_sqrt(V a) FOUR(V, vsqrtq_##S(a.v[i]))                                                                      \
    FD_INLINE V P##_abs(V a) FOUR(V, vabsq_##S(a.v[i]))                                                                        \
    FD_INLINE V P##_fma(V a, V b, V c) FOUR(V, vfmaq_##S(c.v[i], a.v[i], b.v[i]))                                              \
    FD_INLINE V P##_fnma(V a, V b, V c) FOUR(V, vfmsq_##S(c.v[i], a.v[i], b.v[i]))                                             \
    FD_INLINE V P##_fms(V a, V b, V c) FOUR(V, vfmaq_##S(vnegq_##S(c.v[i]), a.v[i], b.v[i]))                                   \
    FD_INLINE M P##_lt(V a, V b) FOUR(M, vcltq_##S(a.v[i], b.v[i]))                                                            \
    FD_INLINE M P##_le(V a, V b) FOUR(M, vcleq_##S(a.v[i], b.v[i]))                                                            \
    FD_INLINE M P##_eq(V a, V b) FOUR(M, vceqq_##S(a.v[i], b.v[i]))                                                            \
    FD_INLINE M P##_ne(V a, V b) FOUR(M, not_##U(vceqq_##S(a.v[i], b.v[i])))                                           \
    FD_INLINE M P##_m_or(M a, M b) FOUR(M, vorrq_##U(a.v[i], b.v[i]))                                                          \
    FD_INLINE M P##_m_and(M a, M b) FOUR(M, vandq_##U(a.v[i], b.v[i]))                                                         \
    FD_INLINE int P##_m_any(M m) {                                                                                             \
        return vmaxvq_u8(vreinterpretq_u8_##U(vorrq_##U(vorrq_##U(m.v[0], m.v[1]), vorrq_##U(m.v[2], m.v[3])))) != 0;          \
    }                                                                                                                          \
    FD_INLINE int P##_m_count(M m) {                                                                                           \
        return -(int)vaddvq_##IS(vreinterpretq_##IS##_##U(vaddq_##U(vaddq_##U(m.v[0], m.v[1]), vaddq_##U(m.v[2], m.v[3]))));   \
    }                                                                                                                          \
    FD_INLINE V P##_sel(M m, V a, V b) FOUR(V, vbslq_##S(m.v[i], a.v[i], b.v[i]))                                              \
    FD_INLINE IV P##_bits(V a) FOUR(IV, vreinterpretq_##IS##_##S(a.v[i]))                                                      \
    FD_INLINE V P##i_float(IV a) FOUR(V, vreinterpretq_##S##_##IS(a.v[i]))                                                     \
    FD_INLINE IV P##i_add(IV a, IV b) FOUR(IV, vaddq_##IS(a.v[i], b.v[i]))                                                     \
    FD_INLINE IV P##i_sub(IV a, IV b) FOUR(IV, vsubq_##IS(a.v[i], b.v[i]))                                                     \
    FD_INLINE IV P##i_and(IV a, IV b) FOUR(IV, vandq_##IS(a.v[i], b.v[i]))                                                     \
    FD_INLINE IV P##i_or(IV a, IV b) FOUR(IV, vorrq_##IS(a.v[i], b.v[i]))                                                      \
    FD_INLINE IV P##i_set1(I x) FOUR(IV, vdupq_n_##IS(x))                                                                      \
    FD_INLINE IV P##i_to_exponent(IV a) FOUR(IV, vshlq_n_##IS(a.v[i], MANTISSA))                                               \
    FD_INLINE V P##i_value(IV a) FOUR(V, vcvtq_##S##_##IS(a.v[i]))                             \
    FD_INLINE M P##_first(int n) {                                                                                             \
        static const T lane[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};                                      \
        return P##_lt(P##_load(lane), P##_set1((T)n));                                                                         \
    }

FLOATING(vf, vf, mf, vfi, float, int32_t, f32, u32, s32, 16, 23)
FLOATING(vd, vd, md, vdi, double, int64_t, f64, u64, s64, 8, 52)

FD_INLINE float32x4_t lookup4(const float *table, int32x4_t a) {
    uint32x4_t first_byte = vandq_u32(vshrq_n_u32(vreinterpretq_u32_s32(a), 23 - 2), vdupq_n_u32(15 << 2));
    uint32x4_t bytes = vmlaq_n_u32(vdupq_n_u32(0x03020100), first_byte, 0x01010101);
    return vreinterpretq_f32_u8(vqtbl4q_u8(vld1q_u8_x4((const uint8_t *)table), vreinterpretq_u8_u32(bytes)));
}
FD_INLINE vf vf_lookup(const float *table, vfi a) FOUR(vf, lookup4(table, a.v[i]))
FD_INLINE vd vf_lo(vf a) {
    return (vd){{vcvt_f64_f32(vget_low_f32(a.v[0])), vcvt_high_f64_f32(a.v[0]), vcvt_f64_f32(vget_low_f32(a.v[1])),
                 vcvt_high_f64_f32(a.v[1])}};
}
FD_INLINE vd vf_hi(vf a) {
    return (vd){{vcvt_f64_f32(vget_low_f32(a.v[2])), vcvt_high_f64_f32(a.v[2]), vcvt_f64_f32(vget_low_f32(a.v[3])),
                 vcvt_high_f64_f32(a.v[3])}};
}
FD_INLINE vf vf_from_float16(const uint16_t *x) FOUR(vf, vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(x + 4 * i))))
FD_INLINE vf vf_from_bfloat16(const uint16_t *x) FOUR(vf, vreinterpretq_f32_u32(vshll_n_u16(vld1_u16(x + 4 * i), 16)))
#undef FOUR
#undef FLOATING
#endif

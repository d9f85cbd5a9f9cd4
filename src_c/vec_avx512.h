/* The operations of vec_scalar.h for AVX-512 (F, BW, DQ, VL): one register is one virtual vector. */
#ifndef FASTDIV_VEC_AVX512_H
#define FASTDIV_VEC_AVX512_H
#include <stdint.h>
#define FD_HAS_COMPRESS /* an instruction */
#define FD_HAS_TRANSPOSE

typedef __m512 vf;
typedef __m512d vd;
typedef struct { __mmask16 m; } mf;
typedef struct { __mmask8 m; } md;
typedef struct { __m512i v; } vfi;
typedef struct { __m512i v; } vdi;

#define FLOATING(P, V, M, IV, T, I, S, E, Z, N, MASK, MANTISSA)                                                                \
    FD_INLINE V P##_set1(T x) { return _mm512_set1_##S(x); }                                                                   \
    FD_INLINE V P##_load(const T *x) { return _mm512_loadu_##S(x); }                                                           \
    FD_INLINE M P##_first(int n) { return (M){(MASK)((1u << n) - 1)}; }                                                        \
    FD_INLINE V P##_loadn(const T *x, int n) { return _mm512_maskz_loadu_##S(P##_first(n).m, x); }                             \
    FD_INLINE void P##_store(T *x, V a) { _mm512_storeu_##S(x, a); }                                                           \
    FD_INLINE void P##_compress(T *x, M m, V a) { P##_store(x, _mm512_maskz_compress_##S(m.m, a)); }                           \
    FD_INLINE V P##_add(V a, V b) { return _mm512_add_##S(a, b); }                                                             \
    FD_INLINE V P##_sub(V a, V b) { return _mm512_sub_##S(a, b); }                                                             \
    FD_INLINE V P##_mul(V a, V b) { return _mm512_mul_##S(a, b); }                                                             \
    FD_INLINE V P##_div(V a, V b) { return _mm512_div_##S(a, b); }                                                             \
    FD_INLINE V P##_min(V a, V b) { return _mm512_min_##S(a, b); }                                                             \
    FD_INLINE V P##_max(V a, V b) { return _mm512_max_##S(a, b); }                                                             \
    FD_INLINE V P##_sqrt(V a) { return _mm512_sqrt_##S(a); }                                                                   \
    FD_INLINE V P##_abs(V a) { return _mm512_abs_##S(a); }                                                                     \
    FD_INLINE V P##_fma(V a, V b, V c) { return _mm512_fmadd_##S(a, b, c); }                                                   \
    FD_INLINE V P##_fnma(V a, V b, V c) { return _mm512_fnmadd_##S(a, b, c); }                                                 \
    FD_INLINE V P##_fms(V a, V b, V c) { return _mm512_fmsub_##S(a, b, c); }                                                   \
    FD_INLINE M P##_lt(V a, V b) { return (M){_mm512_cmp_##S##_mask(a, b, _CMP_LT_OQ)}; }                                      \
    FD_INLINE M P##_le(V a, V b) { return (M){_mm512_cmp_##S##_mask(a, b, _CMP_LE_OQ)}; }                                      \
    FD_INLINE M P##_eq(V a, V b) { return (M){_mm512_cmp_##S##_mask(a, b, _CMP_EQ_OQ)}; }                                      \
    FD_INLINE M P##_ne(V a, V b) { return (M){_mm512_cmp_##S##_mask(a, b, _CMP_NEQ_UQ)}; }                                     \
    FD_INLINE M P##_m_or(M a, M b) { return (M){(MASK)(a.m | b.m)}; }                                                          \
    FD_INLINE M P##_m_and(M a, M b) { return (M){(MASK)(a.m & b.m)}; }                                                         \
    FD_INLINE int P##_m_any(M a) { return a.m != 0; }                                                                          \
    FD_INLINE int P##_m_count(M a) { return __builtin_popcount(a.m); }                                                         \
    FD_INLINE V P##_sel(M m, V a, V b) { return _mm512_mask_blend_##S(m.m, b, a); }                                            \
    FD_INLINE IV P##_bits(V a) { return (IV){_mm512_cast##S##_si512(a)}; }                                                     \
    FD_INLINE V P##i_float(IV a) { return _mm512_castsi512_##S(a.v); }                                                         \
    FD_INLINE IV P##i_add(IV a, IV b) { return (IV){_mm512_add_##E(a.v, b.v)}; }                                               \
    FD_INLINE IV P##i_sub(IV a, IV b) { return (IV){_mm512_sub_##E(a.v, b.v)}; }                                               \
    FD_INLINE IV P##i_and(IV a, IV b) { return (IV){_mm512_and_si512(a.v, b.v)}; }                                             \
    FD_INLINE IV P##i_or(IV a, IV b) { return (IV){_mm512_or_si512(a.v, b.v)}; }                                               \
    FD_INLINE IV P##i_set1(I x) { return (IV){_mm512_set1_##E(x)}; }                                                           \
    FD_INLINE IV P##i_to_exponent(IV a) { return (IV){_mm512_slli_##E(a.v, MANTISSA)}; }                                       \
    FD_INLINE V P##i_value(IV a) { return _mm512_cvt##E##_##S(a.v); }

FLOATING(vf, vf, mf, vfi, float, int32_t, ps, epi32, __m512i, 16, __mmask16, 23)
FLOATING(vd, vd, md, vdi, double, int64_t, pd, epi64, __m512i, 8, __mmask8, 52)

FD_INLINE vf vf_lookup(const float *table, vfi a) {
    return _mm512_permutexvar_ps(_mm512_srli_epi32(a.v, 23), _mm512_loadu_ps(table));
}
FD_INLINE vd vf_lo(vf a) { return _mm512_cvtps_pd(_mm512_castps512_ps256(a)); }
FD_INLINE vd vf_hi(vf a) { return _mm512_cvtps_pd(_mm512_extractf32x8_ps(a, 1)); }
FD_INLINE vf vf_from_float16(const uint16_t *x) { return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)x)); }
FD_INLINE vf vf_from_bfloat16(const uint16_t *x) {
    __m512i wide = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)x));
    return _mm512_castsi512_ps(_mm512_slli_epi32(wide, 16));
}
/* Pairs, pairs of pairs, halves. */
FD_INLINE void vd_transpose(vd *x) {
    vd two[8], four[8];
    for (int i = 0; i < 8; i += 2) {
        two[i] = _mm512_unpacklo_pd(x[i], x[i + 1]);
        two[i + 1] = _mm512_unpackhi_pd(x[i], x[i + 1]);
    }
    for (int i = 0; i < 8; i += 4)
        for (int k = 0; k < 2; k++) {
            four[i + k] = _mm512_shuffle_f64x2(two[i + k], two[i + k + 2], 0x88);
            four[i + k + 2] = _mm512_shuffle_f64x2(two[i + k], two[i + k + 2], 0xdd);
        }
    for (int k = 0; k < 4; k++) {
        x[k] = _mm512_shuffle_f64x2(four[k], four[k + 4], 0x88);
        x[k + 4] = _mm512_shuffle_f64x2(four[k], four[k + 4], 0xdd);
    }
}
#undef FLOATING
#endif

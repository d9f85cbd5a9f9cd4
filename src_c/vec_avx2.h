/* The operations of vec_scalar.h for AVX2 with FMA and F16C: two registers are one virtual vector. */
#ifndef FASTDIV_VEC_AVX2_H
#define FASTDIV_VEC_AVX2_H
#define FD_HAS_TRANSPOSE
#include <stdint.h>

typedef struct { __m256 a, b; } vf;
typedef struct { __m256d a, b; } vd;
typedef struct { __m256 a, b; } mf;
typedef struct { __m256d a, b; } md;
typedef struct { __m256i a, b; } vfi;
typedef struct { __m256i a, b; } vdi;

FD_INLINE __m256i first_epi32(int n) {
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
FD_INLINE __m256i first_epi64(int n) { return _mm256_cmpgt_epi64(_mm256_set1_epi64x(n), _mm256_setr_epi64x(0, 1, 2, 3)); }
/* AVX2 has no conversion from 64-bit lanes; an exponent lives in the upper half. */
FD_INLINE __m256d value_epi64(__m256i x) {
    __m256i upper = _mm256_permutevar8x32_epi32(x, _mm256_setr_epi32(1, 3, 5, 7, 1, 3, 5, 7));
    return _mm256_mul_pd(_mm256_cvtepi32_pd(_mm256_castsi256_si128(upper)), _mm256_set1_pd(0x1p32));
}
FD_INLINE __m256 value_epi32(__m256i x) { return _mm256_cvtepi32_ps(x); }

#define BINARY(P, V, R, NAME, INTRINSIC) FD_INLINE R P##_##NAME(V x, V y) { return (R){INTRINSIC(x.a, y.a), INTRINSIC(x.b, y.b)}; }
#define TERNARY(P, V, NAME, INTRINSIC)                                                                                         \
    FD_INLINE V P##_##NAME(V x, V y, V z) { return (V){INTRINSIC(x.a, y.a, z.a), INTRINSIC(x.b, y.b, z.b)}; }
#define COMPARE(P, V, M, S, NAME, HOW)                                                                                         \
    FD_INLINE M P##_##NAME(V x, V y) { return (M){_mm256_cmp_##S(x.a, y.a, HOW), _mm256_cmp_##S(x.b, y.b, HOW)}; }
#define FLOATING(P, V, M, IV, T, I, S, E, SET1, H, MANTISSA)                                                                   \
    FD_INLINE V P##_set1(T x) { __m256##H v = _mm256_set1_##S(x); return (V){v, v}; }                                          \
    FD_INLINE V P##_load(const T *x) { return (V){_mm256_loadu_##S(x), _mm256_loadu_##S(x + 32 / sizeof(T))}; }                \
    FD_INLINE M P##_first(int n) {                                                                                             \
        return (M){_mm256_castsi256_##S(first_##E(n)), _mm256_castsi256_##S(first_##E(n - (int)(32 / sizeof(T))))};            \
    }                                                                                                                          \
    FD_INLINE V P##_loadn(const T *x, int n) {                                                                                 \
        const int half = 32 / sizeof(T);                                                                                       \
        V r = {_mm256_maskload_##S(x, first_##E(n)), _mm256_setzero_##S()};                                                    \
        if (n > half) r.b = _mm256_maskload_##S(x + half, first_##E(n - half));                                                \
        return r;                                                                                                              \
    }                                                                                                                          \
    FD_INLINE void P##_store(T *x, V y) { _mm256_storeu_##S(x, y.a); _mm256_storeu_##S(x + 32 / sizeof(T), y.b); }             \
    BINARY(P, V, V, add, _mm256_add_##S)                                                                                       \
    BINARY(P, V, V, sub, _mm256_sub_##S)                                                                                       \
    BINARY(P, V, V, mul, _mm256_mul_##S)                                                                                       \
    BINARY(P, V, V, div, _mm256_div_##S)                                                                                       \
    BINARY(P, V, V, min, _mm256_min_##S)                                                                                       \
    BINARY(P, V, V, max, _mm256_max_##S)                                                                                       \
    FD_INLINE V P##_sqrt(V x) { return (V){_mm256_sqrt_##S(x.a), _mm256_sqrt_##S(x.b)}; }                                      \
    FD_INLINE V P##_abs(V x) {                                                                                                 \
        const __m256##H sign = _mm256_set1_##S(-0.0);                                                                          \
        return (V){_mm256_andnot_##S(sign, x.a), _mm256_andnot_##S(sign, x.b)};                                                \
    }                                                                                                                          \
    TERNARY(P, V, fma, _mm256_fmadd_##S)                                                                                       \
    TERNARY(P, V, fnma, _mm256_fnmadd_##S)                                                                                     \
    TERNARY(P, V, fms, _mm256_fmsub_##S)                                                                                       \
    COMPARE(P, V, M, S, lt, _CMP_LT_OQ)                                                                                        \
    COMPARE(P, V, M, S, le, _CMP_LE_OQ)                                                                                        \
    COMPARE(P, V, M, S, eq, _CMP_EQ_OQ)                                                                                        \
    COMPARE(P, V, M, S, ne, _CMP_NEQ_UQ)                                                                                       \
    BINARY(P##_m, M, M, or, _mm256_or_##S)                                                                                     \
    BINARY(P##_m, M, M, and, _mm256_and_##S)                                                                                   \
    FD_INLINE int P##_m_any(M m) { return _mm256_movemask_##S(_mm256_or_##S(m.a, m.b)) != 0; }                                 \
    FD_INLINE int P##_m_count(M m) {                                                                                           \
        return __builtin_popcount((unsigned)_mm256_movemask_##S(m.a) << 8 | (unsigned)_mm256_movemask_##S(m.b));               \
    }                                                                                                                          \
    FD_INLINE V P##_sel(M m, V x, V y) { return (V){_mm256_blendv_##S(y.a, x.a, m.a), _mm256_blendv_##S(y.b, x.b, m.b)}; }     \
    FD_INLINE IV P##_bits(V x) { return (IV){_mm256_cast##S##_si256(x.a), _mm256_cast##S##_si256(x.b)}; }                      \
    FD_INLINE V P##i_float(IV x) { return (V){_mm256_castsi256_##S(x.a), _mm256_castsi256_##S(x.b)}; }                         \
    BINARY(P##i, IV, IV, add, _mm256_add_##E)                                                                                  \
    BINARY(P##i, IV, IV, sub, _mm256_sub_##E)                                                                                  \
    BINARY(P##i, IV, IV, and, _mm256_and_si256)                                                                                \
    BINARY(P##i, IV, IV, or, _mm256_or_si256)                                                                                  \
    FD_INLINE IV P##i_set1(I x) { __m256i v = SET1(x); return (IV){v, v}; }                                                    \
    FD_INLINE IV P##i_to_exponent(IV x) { return (IV){_mm256_slli_##E(x.a, MANTISSA), _mm256_slli_##E(x.b, MANTISSA)}; }       \
    FD_INLINE V P##i_value(IV x) { return (V){value_##E(x.a), value_##E(x.b)}; }

FLOATING(vf, vf, mf, vfi, float, int32_t, ps, epi32, _mm256_set1_epi32, , 23)
FLOATING(vd, vd, md, vdi, double, int64_t, pd, epi64, _mm256_set1_epi64x, d, 52)

/* A permutation sees three bits of an index; the fourth, made the sign, chooses between two of them. */
FD_INLINE __m256 lookup8(const float *table, __m256i x) {
    __m256i index = _mm256_srli_epi32(x, 23);
    return _mm256_blendv_ps(_mm256_permutevar8x32_ps(_mm256_loadu_ps(table), index),
                            _mm256_permutevar8x32_ps(_mm256_loadu_ps(table + 8), index),
                            _mm256_castsi256_ps(_mm256_slli_epi32(x, 31 - (23 + 3))));
}
FD_INLINE vf vf_lookup(const float *table, vfi x) { return (vf){lookup8(table, x.a), lookup8(table, x.b)}; }
FD_INLINE vd widen8(__m256 x) {
    return (vd){_mm256_cvtps_pd(_mm256_castps256_ps128(x)), _mm256_cvtps_pd(_mm256_extractf128_ps(x, 1))};
}
FD_INLINE vd vf_lo(vf x) { return widen8(x.a); }
FD_INLINE vd vf_hi(vf x) { return widen8(x.b); }
FD_INLINE vf vf_from_float16(const uint16_t *x) {
    return (vf){_mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)x)), _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(x + 8)))};
}
FD_INLINE __m256 bfloat16x8(const uint16_t *x) {
    __m256i wide = _mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)x));
    return _mm256_castsi256_ps(_mm256_slli_epi32(wide, 16));
}
FD_INLINE vf vf_from_bfloat16(const uint16_t *x) { return (vf){bfloat16x8(x), bfloat16x8(x + 8)}; }
FD_INLINE void transpose_pd(__m256d *x) {
    __m256d even = _mm256_unpacklo_pd(x[0], x[1]), odd = _mm256_unpackhi_pd(x[0], x[1]);
    __m256d later_even = _mm256_unpacklo_pd(x[2], x[3]), later_odd = _mm256_unpackhi_pd(x[2], x[3]);
    x[0] = _mm256_permute2f128_pd(even, later_even, 0x20);
    x[1] = _mm256_permute2f128_pd(odd, later_odd, 0x20);
    x[2] = _mm256_permute2f128_pd(even, later_even, 0x31);
    x[3] = _mm256_permute2f128_pd(odd, later_odd, 0x31);
}
FD_INLINE void vd_transpose(vd *x) { /* by quarters, of which two change places */
    __m256d quarter[4][4];
    for (int i = 0; i < 8; i++) {
        quarter[i / 4][i % 4] = x[i].a;
        quarter[2 + i / 4][i % 4] = x[i].b;
    }
    for (int i = 0; i < 4; i++) transpose_pd(quarter[i]);
    for (int i = 0; i < 8; i++) x[i] = (vd){quarter[i / 4 * 2][i % 4], quarter[i / 4 * 2 + 1][i % 4]};
}
#undef BINARY
#undef TERNARY
#undef COMPARE
#undef FLOATING
#endif

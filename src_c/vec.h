/* One set of names for both widths: v_add(a, b) adds two vf or two vd.  A text over these names serves float and double,
 * and every instruction set whose vec_*.h was included before. */
#ifndef FASTDIV_VEC_H
#define FASTDIV_VEC_H
#define BY_TYPE(NAME, A) _Generic((A), vf: vf_##NAME, vd: vd_##NAME)
#define v_add(a, b) BY_TYPE(add, a)(a, b)
#define v_sub(a, b) BY_TYPE(sub, a)(a, b)
#define v_mul(a, b) BY_TYPE(mul, a)(a, b)
#define v_div(a, b) BY_TYPE(div, a)(a, b)
#define v_min(a, b) BY_TYPE(min, a)(a, b)
#define v_max(a, b) BY_TYPE(max, a)(a, b) /* a > b ? a : b, so a NaN in b wins */
#define v_sqrt(a) BY_TYPE(sqrt, a)(a)
#define v_abs(a) BY_TYPE(abs, a)(a)
#define v_fma(a, b, c) BY_TYPE(fma, a)(a, b, c)   /* a b + c, rounded once */
#define v_fnma(a, b, c) BY_TYPE(fnma, a)(a, b, c) /* c - a b, rounded once */
#define v_fms(a, b, c) BY_TYPE(fms, a)(a, b, c)   /* a b - c, rounded once */
#define v_lt(a, b) BY_TYPE(lt, a)(a, b)
#define v_le(a, b) BY_TYPE(le, a)(a, b)
#define v_eq(a, b) BY_TYPE(eq, a)(a, b)
#define v_ne(a, b) BY_TYPE(ne, a)(a, b) /* true for NaN */
#define v_sel(m, a, b) BY_TYPE(sel, a)(m, a, b) /* m ? a : b */
#define v_bits(a) BY_TYPE(bits, a)(a)
#define v_store(x, a) BY_TYPE(store, a)(x, a)
#define m_or(a, b) _Generic((a), mf: vf_m_or, md: vd_m_or)(a, b)
#define m_and(a, b) _Generic((a), mf: vf_m_and, md: vd_m_and)(a, b)
#define m_any(a) _Generic((a), mf: vf_m_any, md: vd_m_any)(a)
#define m_count(a) _Generic((a), mf: vf_m_count, md: vd_m_count)(a)
#define i_add(a, b) _Generic((a), vfi: vfi_add, vdi: vdi_add)(a, b)
#define i_sub(a, b) _Generic((a), vfi: vfi_sub, vdi: vdi_sub)(a, b)
#define i_and(a, b) _Generic((a), vfi: vfi_and, vdi: vdi_and)(a, b)
#define i_or(a, b) _Generic((a), vfi: vfi_or, vdi: vdi_or)(a, b)
#define i_float(a) _Generic((a), vfi: vfi_float, vdi: vdi_float)(a)
#define i_to_exponent(a) _Generic((a), vfi: vfi_to_exponent, vdi: vdi_to_exponent)(a)       /* integer k -> k << mantissa */
#define i_value(a) _Generic((a), vfi: vfi_value, vdi: vdi_value)(a) /* of k << mantissa, with which it is exact */

/* The lanes of a that are in m, one behind the other, into an array of as many elements as there are lanes. */
#ifndef FD_HAS_COMPRESS
#define COMPRESS(P, V, M, T, N)                                                                                             \
    FD_INLINE void P##_compress(T *x, M m, V a) {                                                                              \
        T lane[N], in[N];                                                                                                      \
        P##_store(lane, a);                                                                                                    \
        P##_store(in, P##_sel(m, P##_set1(1), P##_set1(0)));                                                                   \
        for (int i = 0; i < N; i++) {                                                                                          \
            *x = lane[i];                                                                                                      \
            x += in[i] != 0;                                                                                                   \
        }                                                                                                                      \
    }
COMPRESS(vf, vf, mf, float, 16)
COMPRESS(vd, vd, md, double, 8)
#undef COMPRESS
#endif

/* Eight vectors of eight lanes become those of their first lanes, of their second lanes, and so on. */
#ifndef FD_HAS_TRANSPOSE
FD_INLINE void vd_transpose(vd *x) {
    double row[8][8], column[8][8];
    for (int i = 0; i < 8; i++) vd_store(row[i], x[i]);
    for (int i = 0; i < 8; i++)
        for (int k = 0; k < 8; k++) column[k][i] = row[i][k];
    for (int k = 0; k < 8; k++) x[k] = vd_load(column[k]);
}
#endif
#endif

/* The row loop of the fused comparison: all sums over two rows of logits at once, from the exponentials that their log-sum-exps kept.
 *
 * With s the larger of p and q, y = |log(p/q)| and z = e^-y the smaller one is s z, and every term is s times a bounded function of y:
 *     larger to smaller   A = y - 1 + z          smaller to larger   B = 1 - z - y z
 *     2 TV                w = 1 - z              2 H^2               (w / (1 + sqrt z))^2
 *     2 JS                B - w^2 TO_MEAN(w)
 * All of them come from one polynomial: with y = k log2 - r and R = r^2 EXP(r), so that e^r = 1 + r + R,
 *     z = 2^-k (1 + r + R)   w = (1 - 2^-k) - 2^-k (r + R)   A = 2^-k R - (1 - 2^-k)(1 + r) + k log2   B = y w - A
 * where for k = 0, up to y = 0.34, all that could cancel is exactly 0; B loses two bits, and beyond y = 1 is computed as it stands.
 * Every term is within 10 u.
 */
FD_INLINE void F(fused_add)(int which, int together, const frame *f, const V *a, const V *b, const V *p, const V *q, F(block) *s, V *least) {
    const V one = C(1.0), max_a = C(f->max_a), max_b = C(f->max_b);
    const V shift = C(f->shift), shift_low = C(f->shift - (double)(T)f->shift + f->shift_low);
    V low[TOGETHER], x[TOGETHER], y[TOGETHER], t[TOGETHER], k[TOGETHER], r[TOGETHER], two_k[TOGETHER], rest[TOGETHER], R[TOGETHER];
    V z[TOGETHER], w[TOGETHER], A[TOGETHER], B[TOGETHER], larger[TOGETHER], mean[TOGETHER], tv[TOGETHER];
    M q_is_larger[TOGETHER];
    EACH(together) x[g] = v_sub(F(difference)(a[g], b[g], &low[g]), shift);
    EACH(together) x[g] = v_add(x[g], v_sub(low[g], shift_low));
    EACH(together) y[g] = v_abs(x[g]);
    EACH(together) t[g] = v_fma(y[g], C(LOG2_E), C(MAGIC));
    EACH(together) k[g] = v_sub(t[g], C(MAGIC));
    EACH(together) r[g] = v_fms(k[g], C(LN2), y[g]);
    F(polynomials)(together, F(EXP), LENGTH(F(EXP)) - 1, r, R);
    EACH(together) R[g] = v_mul(v_mul(r[g], r[g]), R[g]);
    EACH(together) two_k[g] = i_float(i_sub(v_bits(one), i_to_exponent(v_bits(t[g]))));
    EACH(together) rest[g] = v_sub(one, two_k[g]);
    EACH(together) A[g] = v_fnma(k[g], C(LN2), v_fma(rest[g], r[g], rest[g]));
    EACH(together) A[g] = v_fms(two_k[g], R[g], A[g]);
    EACH(together) r[g] = v_add(r[g], R[g]);
    EACH(together) z[g] = v_fma(two_k[g], r[g], two_k[g]);
    EACH(together) w[g] = v_fnma(two_k[g], r[g], rest[g]);
    F(polynomials)(together, F(TO_MEAN), LENGTH(F(TO_MEAN)) - 1, w, mean);
    EACH(together) B[g] = v_sel(v_lt(y[g], one), v_fms(y[g], w[g], A[g]), v_fnma(y[g], z[g], w[g]));
    EACH(together) larger[g] = v_max(p[g], q[g]);
    EACH(together) *least = v_min(v_min(p[g], q[g]), *least);
    EACH(together) tv[g] = v_mul(larger[g], w[g]);
    EACH(together) q_is_larger[g] = v_lt(x[g], C(0.0));
    EACH(together) s->S = v_add(s->S, v_sel(q_is_larger[g], tv[g], C(0.0)));
    EACH(together) s->A[FD_COMPARE_tv] = v_add(s->A[FD_COMPARE_tv], tv[g]);
    EACH(together) s->A[FD_COMPARE_kl] = v_fma(larger[g], v_sel(q_is_larger[g], B[g], A[g]), s->A[FD_COMPARE_kl]);
    EACH(together) s->A[FD_COMPARE_reverse_kl] = v_fma(larger[g], v_sel(q_is_larger[g], A[g], B[g]), s->A[FD_COMPARE_reverse_kl]);
    EACH(together) mean[g] = v_fnma(v_mul(w[g], w[g]), mean[g], B[g]);
    EACH(together) s->A[FD_COMPARE_js] = v_fma(larger[g], mean[g], s->A[FD_COMPARE_js]);
    if (which == COMPARED_SHORT) return;
    EACH(together) w[g] = v_div(w[g], v_add(one, v_sqrt(z[g])));
    EACH(together) s->A[FD_COMPARE_hellinger] = v_fma(v_mul(larger[g], w[g]), w[g], s->A[FD_COMPARE_hellinger]);
    EACH(together) s->A[FD_COMPARE_entropy_base] = v_fma(p[g], v_sub(max_a, a[g]), s->A[FD_COMPARE_entropy_base]);
    EACH(together) s->A[FD_COMPARE_entropy_candidate] = v_fma(q[g], v_sub(max_b, b[g]), s->A[FD_COMPARE_entropy_candidate]);
}

/* What was left out of every term; S has the terms of one sign. */
FD_INLINE void F(fused_end)(int which, F(block) *s) {
    static const int halves[] = {FD_COMPARE_js, FD_COMPARE_tv, FD_COMPARE_hellinger};
    s->S = v_sub(s->A[FD_COMPARE_tv], v_add(s->S, s->S));
    FD_UNROLL for (int i = 0; i < 3; i++)
        if (halves[i] < members(which)) s->A[halves[i]] = v_mul(C(0.5), s->A[halves[i]]);
}

/* e^(a - peak) of every element, and the peak of every block; then those of b. */
typedef struct { T *p, *q, *peaks_p, *peaks_q; } F(exponentials);
static F(exponentials) F(exponentials_at)(void *scratch, ptrdiff_t n) {
    ptrdiff_t row = (n + N - 1) / N * N, blocks = (n + LOAD - 1) / LOAD;
    T *p = scratch, *q = p + row, *peaks_p = q + row;
    return (F(exponentials)){p, q, peaks_p, peaks_p + blocks};
}

FD_INLINE sums F(fused_pass)(int which, fd_row a, fd_row b, ptrdiff_t n, frame f, F(exponentials) e) {
    T buffer_a[LOAD], buffer_b[LOAD];
    row_lanes row = row_zero(which);
    for (ptrdiff_t start = 0; start < n; start += LOAD) {
        int count = n - start < LOAD ? (int)(n - start) : LOAD;
        const T *x = F(load)(a, start, count, buffer_a), *y = F(load)(b, start, count, buffer_b), *p = e.p + start, *q = e.q + start;
        V of_p = C(scalar_exp((double)e.peaks_p[start / LOAD] - f.max_a)), of_q = C(scalar_exp((double)e.peaks_q[start / LOAD] - f.max_b) * f.ratio);
        for (int i = 0; i < count; i += 256, x += 256, y += 256, p += 256, q += 256) {
            int m = count - i < 256 ? count - i : 256, j = 0;
            F(block) s = F(block_zero)(which);
            V least = C(1.0);
            V u[TOGETHER], v[TOGETHER], c[TOGETHER], d[TOGETHER];
            for (; j + TOGETHER * N <= m; j += TOGETHER * N) {
                EACH(TOGETHER) u[g] = VNAME(load)(x + j + g * N);
                EACH(TOGETHER) v[g] = VNAME(load)(y + j + g * N);
                EACH(TOGETHER) c[g] = v_mul(of_p, VNAME(load)(p + j + g * N));
                EACH(TOGETHER) d[g] = v_mul(of_q, VNAME(load)(q + j + g * N));
                F(fused_add)(which, TOGETHER, &f, u, v, c, d, &s, &least);
            }
            for (; j < m; j += N) { /* behind the end both have a token of no weight */
                int some = m - j < N ? m - j : N;
                M in = VNAME(first)(some);
                V smaller = C(1.0);
                *u = v_sel(in, VNAME(loadn)(x + j, some), C(f.max_a));
                *v = v_sel(in, VNAME(loadn)(y + j, some), C(f.max_b));
                *c = v_mul(of_p, VNAME(loadn)(p + j, some));
                *d = v_mul(of_q, VNAME(loadn)(q + j, some));
                F(fused_add)(which, 1, &f, u, v, c, d, &s, &smaller);
                least = v_min(v_sel(in, v_min(*c, *d), least), least);
            }
            if (m_any(v_lt(least, C(LOW)))) {
                F(careful_block)(which, FD_LOGITS, 0, &f, x, y, m, &row);
            } else {
                F(fused_end)(which, &s);
                F(block_flush)(which, &row, &s);
            }
        }
    }
    sums total = row_total(which, &row);
    total.unit = UNIT;
    return total;
}

/* The row loop of the fused comparison: all sums over two rows of logits at once, from what their log-sum-exps kept.
 *
 * With x = log(p/q), u = x^2 and g = sqrt(p q), the product of two roots, every term is g times an even or odd function of x:
 *     p - q                                  g x NEAR_SINH(u)
 *     p to q, and q to p with the other sign (p - q) x / 2 +- g x^3 NEAR_ODD(u)
 *     2 JS                                   g u NEAR_JS(u)
 *     2 H^2                                  g u NEAR_HELLINGER(u)
 * each a short polynomial for |x| <= FAR, where nothing cancels and no exponential is needed.  Beyond it, with s the larger one of p and q,
 * s z the smaller one, y = |x| and w = 1 - z, the terms are
 *     larger to smaller   s (y - w)          smaller to larger   s (w - y z)
 *     2 JS                s (FAR_JS(z) - y z)
 * Far tokens are gathered, and added up when there are enough of them.  Every term is within 10 u.
 */
#define FAR 2.0

/* Sums of some hundred elements: kl and reverse_kl are what is in A, plus half of `even`, plus or minus `odd`. */
typedef struct { V A[FD_FUSED], even, odd, S, most; } F(fused);
FD_INLINE F(fused) F(fused_zero)(int which) {
    F(fused) s;
    FD_UNROLL for (int i = 0; i < members(which); i++) s.A[i] = C(0.0);
    s.even = s.odd = s.S = s.most = C(0.0);
    return s;
}
FD_INLINE void F(fused_flush)(int which, row_lanes *row, const F(fused) *s, double unit) {
    vd even = vd_mul(vd_set1(0.5), F(folded)(s->even)), odd = F(folded)(s->odd);
    FD_UNROLL for (int k = 0; k < members(which); k++) {
        vd sum = F(folded)(s->A[k]);
        if (k == FD_COMPARE_kl) sum = vd_add(sum, vd_add(even, odd));
        else if (k == FD_COMPARE_reverse_kl) sum = vd_add(sum, vd_sub(even, odd));
        else if (!of_one_row(compared[k])) sum = vd_mul(vd_set1(0.5), sum);
        F(flush_folded)(&row->A[k], vd_mul(sum, vd_set1(unit)));
    }
    F(flush_folded)(&row->S, vd_mul(F(folded)(s->S), vd_set1(unit)));
}

FD_INLINE void F(fused_join)(int which, F(fused) *s, const F(fused) *more) {
    FD_UNROLL for (int k = 0; k < members(which); k++) s->A[k] = v_add(s->A[k], more->A[k]);
    s->even = v_add(s->even, more->even);
    s->odd = v_add(s->odd, more->odd);
    s->S = v_add(s->S, more->S);
    s->most = v_max(more->most, s->most);
}

/* Tokens that are far, one behind the other. */
typedef struct { T a[512 + N], b[512 + N]; int count; } F(distant);

FD_INLINE V F(log_ratio_of)(const frame *f, V a, V b) { return F(difference_beyond)(a, b, f->shift, f->shift_low); }

FD_INLINE void F(entropies_add)(const frame *f, V a, V b, V p, V q, F(fused) *s) {
    s->A[FD_COMPARE_entropy_base] = v_fma(p, v_sub(C(f->max_a), a), s->A[FD_COMPARE_entropy_base]);
    s->A[FD_COMPARE_entropy_candidate] = v_fma(q, v_sub(C(f->max_b), b), s->A[FD_COMPARE_entropy_candidate]);
}

/* `far`, if there are tokens that are: it goes on without them. */
FD_INLINE void F(near_add)(int which, const frame *f, V x, V a, V b, V both, F(fused) *s, F(distant) *far) {
    s->most = v_max(v_abs(x), s->most);
    if (far) {
        M is_far = v_lt(C(FAR), v_abs(x));
        VNAME(compress)(far->a + far->count, is_far, a);
        VNAME(compress)(far->b + far->count, is_far, b);
        far->count += m_count(is_far);
        both = v_sel(is_far, C(0.0), both);
        x = v_sel(is_far, C(0.0), x); /* its powers may be infinite */
    }
    V u = v_mul(x, x), gx = v_mul(both, x), gu = v_mul(gx, x), d = v_mul(gx, F(by_powers)(F(NEAR_SINH), LENGTH(F(NEAR_SINH)) - 1, u));
    s->S = v_add(s->S, d);
    s->A[FD_COMPARE_tv] = v_add(s->A[FD_COMPARE_tv], v_abs(d));
    s->even = v_fma(d, x, s->even);
    s->odd = v_fma(v_mul(gu, x), F(by_powers)(F(NEAR_ODD), LENGTH(F(NEAR_ODD)) - 1, u), s->odd);
    s->A[FD_COMPARE_js] = v_fma(gu, F(by_powers)(F(NEAR_JS), LENGTH(F(NEAR_JS)) - 1, u), s->A[FD_COMPARE_js]);
    if (which == COMPARED_SHORT) return;
    V squares = v_mul(gu, F(by_powers)(F(NEAR_HELLINGER), LENGTH(F(NEAR_HELLINGER)) - 1, u)), mean = v_fma(C(0.5), squares, both);
    s->A[FD_COMPARE_hellinger] = v_add(s->A[FD_COMPARE_hellinger], squares);
    F(entropies_add)(f, a, b, v_fma(C(0.5), d, mean), v_fnma(C(0.5), d, mean), s);
}

FD_INLINE void F(far_add)(int which, const frame *f, V a, V b, M in, F(fused) *s) {
    F(pair) o = F(logits)(COMPARED, 0, f, a, b); /* what is below its window is 0, maybe both, and x is not that of the tokens */
    V larger = v_sel(in, v_max(o.p, o.q), C(0.0)), z = v_sel(v_eq(larger, C(0.0)), larger, v_div(v_min(o.p, o.q), larger));
    V x = F(log_ratio_of)(f, a, b), y = v_abs(x), w = v_sub(C(1.0), z), tv = v_mul(larger, w);
    V to_smaller = v_sub(y, w), to_larger = v_fnma(y, z, w);
    M q_is_larger = v_lt(x, C(0.0));
    s->S = v_add(s->S, v_sel(q_is_larger, NEG(tv), tv));
    s->A[FD_COMPARE_tv] = v_add(s->A[FD_COMPARE_tv], tv);
    s->A[FD_COMPARE_kl] = v_fma(larger, v_sel(q_is_larger, to_larger, to_smaller), s->A[FD_COMPARE_kl]);
    s->A[FD_COMPARE_reverse_kl] = v_fma(larger, v_sel(q_is_larger, to_smaller, to_larger), s->A[FD_COMPARE_reverse_kl]);
    s->A[FD_COMPARE_js] = v_fma(larger, v_fnma(y, z, POLYNOMIAL(FAR_JS, z)), s->A[FD_COMPARE_js]);
    if (which == COMPARED_SHORT) return;
    V away = v_sub(C(1.0), v_sqrt(z));
    s->A[FD_COMPARE_hellinger] = v_fma(v_mul(larger, away), away, s->A[FD_COMPARE_hellinger]);
    F(entropies_add)(f, a, b, o.p, o.q, s);
}

/* Where the same elements of the next row are, if rows lie one behind the other: it comes into the cache while this one is summed. */
#if COMPUTES_DOUBLE
FD_INLINE const char *of_next_row(fd_row row, ptrdiff_t n, ptrdiff_t i) {
    return row.stride > 0 && row.stride <= (ptrdiff_t)sizeof(double) ? row.data + (n + i) * row.stride : row.data;
}
#endif

FD_INLINE F(fused) F(near_sums)(int which, const T *a, const T *b, const T *both, int count, const char *next_a, const char *next_b, const frame *f,
                                F(distant) *far) {
    F(fused) all = F(fused_zero)(which);
    int whole = count - count % N;
    V p = C(0.0), q = p, x = p;
    if (whole) x = F(log_ratio_of)(f, p = VNAME(load)(a), q = VNAME(load)(b));
    for (int four = 0; four < whole; four += FOUR) {
        F(fused) s = F(fused_zero)(which);
        for (int j = four; j < whole && j < four + FOUR; j += N) { /* the next logarithm is on its way while this one's terms are computed */
            int next = j + N < whole ? j + N : j;
            __builtin_prefetch(next_a + j * sizeof(T), 0, 2);
            __builtin_prefetch(next_b + j * sizeof(T), 0, 2);
            V next_p = VNAME(load)(a + next), next_q = VNAME(load)(b + next), next_x = F(log_ratio_of)(f, next_p, next_q);
            F(near_add)(which, f, x, p, q, VNAME(load)(both + j), &s, far);
            p = next_p, q = next_q, x = next_x;
        }
        F(fused_join)(which, &all, &s);
    }
    if (whole < count) { /* behind the end there is a token of no weight, with x = 0 */
        M in = VNAME(first)(count - whole);
        p = VNAME(loadn)(a + whole, count - whole);
        q = VNAME(loadn)(b + whole, count - whole);
        x = v_sel(in, F(log_ratio_of)(f, p, q), C(0.0));
        F(near_add)(which, f, x, p, q, VNAME(loadn)(both + whole, count - whole), &all, far);
    }
    return all;
}

/* The sums over the distant tokens that have come together, of which none is left. */
static void F(far_flush)(int which, const frame *f, F(distant) *far, row_lanes *row) {
    F(fused) s = F(fused_zero)(which);
    for (int j = 0; j < far->count; j += N) { /* behind the end are the most probable tokens, whose terms of the entropies are 0 */
        if (j > 0 && j % FOUR == 0) {
            F(fused_flush)(which, row, &s, 1.0);
            s = F(fused_zero)(which);
        }
        M in = VNAME(first)(far->count - j < N ? far->count - j : N);
        F(far_add)(which, f, v_sel(in, VNAME(load)(far->a + j), C(f->max_a)), v_sel(in, VNAME(load)(far->b + j), C(f->max_b)), in, &s);
    }
    F(fused_flush)(which, row, &s, 1.0);
    far->count = 0;
}

/* The product of the roots of both exponentials, and the references of every block. */
typedef struct { T *both; reference *of_p, *of_q; } F(roots);
static F(roots) F(roots_at)(void *scratch, ptrdiff_t n) {
    ptrdiff_t blocks = (n + BLOCK - 1) / BLOCK;
    reference *references = (reference *)(((uintptr_t)scratch + 63) / 64 * 64); /* a vector within one line of the cache */
    blocks = (blocks + 3) / 4 * 4;
    return (F(roots)){(T *)(references + 2 * blocks), references, references + blocks};
}

FD_INLINE row_lanes F(fused_over)(int which, fd_row a, fd_row b, ptrdiff_t n, ptrdiff_t from, ptrdiff_t to, const frame *f, F(roots) e) {
    T buffer_a[BLOCK], buffer_b[BLOCK];
    row_lanes row = row_zero(which);
    const reference max_p = {f->max_a, 0.0}, max_q = {f->max_b, 0.0};
    reference last_p = {NAN, 0.0}, last_q = last_p;
    double unit = 0.0;
    F(distant) far;
    far.count = 0;
    int expected = 0; /* far tokens come in groups */
    for (ptrdiff_t start = from; start < to; start += BLOCK) {
        int count = to - start < BLOCK ? (int)(to - start) : BLOCK;
        const T *x = F(load)(a, start, count, buffer_a), *y = F(load)(b, start, count, buffer_b), *both = e.both + start;
        reference of_p = e.of_p[start / BLOCK], of_q = e.of_q[start / BLOCK];
        if (isinf(of_p.exponent) || isinf(of_q.exponent)) {
            F(careful_block)(which, FD_LOGITS, 0, f, x, y, count, &row);
            continue;
        }
        if (of_p.from != last_p.from || of_q.from != last_q.from || of_p.exponent != last_p.exponent || of_q.exponent != last_q.exponent) {
            last_p = of_p, last_q = of_q;
            unit = sqrt(exp_between(of_p, max_p)) * sqrt(exp_between(of_q, max_q) * f->ratio);
        }
        const char *next_a = of_next_row(a, n, start), *next_b = of_next_row(b, n, start);
        F(fused) s;
        if (!expected) s = F(near_sums)(which, x, y, both, count, next_a, next_b, f, NULL);
        if (expected || m_any(v_lt(C(FAR), s.most))) s = F(near_sums)(which, x, y, both, count, next_a, next_b, f, &far);
        expected = m_any(v_lt(C(FAR), s.most));
        F(fused_flush)(which, &row, &s, unit);
        if (far.count >= BLOCK) F(far_flush)(which, f, &far, &row);
    }
    if (far.count) F(far_flush)(which, f, &far, &row);
    return row;
}
FD_INLINE sums F(fused_pass)(int which, fd_row a, fd_row b, ptrdiff_t n, frame f, F(roots) e) {
    row_lanes row = row_zero(which), part;
#define JOIN(whole, part) row_join(which, whole, part)
    BY_SEGMENTS(n, row, part, *into = F(fused_over)(which, a, b, n, from, to, &f, e), JOIN);
#undef JOIN
    return row_total(which, &row, UNIT);
}
#undef FAR

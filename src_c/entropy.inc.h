/* Entropy and cross-entropy by the row loop of reduce.inc.h; entropy is a row's cross-entropy with itself.
 *
 * weights, normalised  sum p log(Q/q) / P with every term >= 0.  Where q is nearly all of Q, Q - q is the sum of the others, which is
 *                      kept apart from the largest while summing (the larger of two stays in its lane, the smaller is added).
 * weights, raw         sum p log(1/q), as given.
 * logits               log1p(others of b) + sum p (max b - b): both >= 0.
 */
typedef struct { lanes others; V largest, least; } F(row_parts);
typedef struct { F(row_parts) s; const T *a; double scale; } F(summed);
FD_INLINE V F(smaller)(F(summed) *c, V x) { /* of it and the largest one of its lane before it; a NaN is added */
    if (c->scale != 1.0) x = v_mul(x, C(c->scale));
    V other = v_sel(v_lt(c->s.largest, x), c->s.largest, x);
    c->s.largest = v_max(x, c->s.largest);
    return other;
}
FD_INLINE V F(others_1)(F(summed) *c, int j) {
    V x = VNAME(load)(c->a + j);
    c->s.least = v_min(x, c->s.least);
    return F(smaller)(c, x);
}
FD_INLINE V F(others_some)(F(summed) *c, int j, int some) {
    V x = VNAME(loadn)(c->a + j, some);
    c->s.least = v_min(v_sel(VNAME(first)(some), x, C(INFINITY)), c->s.least);
    return F(smaller)(c, x);
}
SUM_BY_HALVES(others, F(summed))
FD_INLINE F(row_parts) F(sum_over)(fd_row row, ptrdiff_t from, ptrdiff_t to, double scale) {
    T buffer[BLOCK];
    F(summed) c = {{lanes_zero(), C(0.0), C(INFINITY)}, NULL, scale};
    for (ptrdiff_t start = from; start < to; start += BLOCK) {
        int count = to - start < BLOCK ? (int)(to - start) : BLOCK;
        c.a = F(load)(row, start, count, buffer);
        lanes sum = c.s.others;
        F(others)(&c, count, &sum);
        c.s.others = sum;
    }
    return c.s;
}
static void F(sum_join)(F(row_parts) *s, const F(row_parts) *more) {
    lanes_join(&s->others, &more->others);
    F(flush)(&s->others, v_sel(v_lt(s->largest, more->largest), s->largest, more->largest));
    s->largest = v_max(more->largest, s->largest);
    s->least = v_min(more->least, s->least);
}
FD_INLINE row_sum F(sum_row)(fd_row row, ptrdiff_t n, double scale) {
    T high[N], low[N];
    F(row_parts) r = {lanes_zero(), C(0.0), C(INFINITY)}, part;
    BY_SEGMENTS(n, r, part, *into = F(sum_over)(row, from, to, scale), F(sum_join));
    row_sum s = {.others = lanes_total(&r.others)};
    v_store(high, r.largest);
    v_store(low, r.least);
    double rest = 0.0;
    for (int k = 0; k < N; k++) {
        double x = (double)high[k];
        rest += add_kept(&s.others, x < s.largest ? x : s.largest);
        s.largest = x > s.largest ? x : s.largest;
        s.invalid |= low[k] < 0;
        s.zeros |= low[k] == 0;
    }
    double lost = isfinite(s.others) ? add_kept(&s.others, rest) : 0.0;
    s.total = s.others;
    s.low = add_kept(&s.total, s.largest) + lost;
    s.invalid |= isinf(s.largest);
    return s;
}

#if COMPUTES_DOUBLE
/* The power of two that takes a row whose sum is beyond doubles, or among the subnormals, to where its digits are; else 1.  What is tiny
 * is read larger from now on. */
static row_sum scaled_sum(fd_row *row, ptrdiff_t n, double *scale) {
    row_sum s = sum_row_double(*row, n, 1.0);
    *scale = 1.0;
    if (s.total > 0.0 && s.total <= 1.0 / SUM_LIMIT) {
        row->temperature = 1.0 / LARGER;
        s = sum_row_double(*row, n, 1.0);
    }
    if (s.invalid || isnan(s.total) || s.total == 0.0 || (s.total < SUM_LIMIT && s.total > 1.0 / SUM_LIMIT)) return s;
    int exponent;
    frexp(s.largest, &exponent);
    *scale = ldexp(1.0, -exponent);
    return sum_row_double(*row, n, *scale);
}
#endif

FD_INLINE int F(weights_entropy)(int source, fd_row p, fd_row q, ptrdiff_t n, double *result) {
    frame f = {.q = F(sum_row)(q, n, 1.0), .scale = 1.0, .high = 1.0};
    *result = NAN;
    if (f.q.invalid) return FD_INVALID;
    if (isnan(f.q.total)) return 0;
    if (source == FD_RAW)
        f.q.total = 1.0, f.q.largest = -1.0;
    else if (f.q.total == 0.0)
        return FD_INVALID;
    sums s = F(pass)(FD_cross_entropy, source, 0, p, q, n, f);
    if (s.invalid || (source == FD_NORMALIZED && s.P == 0.0)) return FD_INVALID;
    s.Q = f.q.total;
    const int tiny = s.A[0] > 0.0 && s.A[0] < LOW && s.P < 1.0;
    if (source == FD_NORMALIZED && !isnan(s.P) && (tiny || !in_range(&s, SUM_LIMIT))) {
#if COMPUTES_DOUBLE
        if (tiny) p.temperature = 1.0 / LARGER;
        f.q = scaled_sum(&q, n, &f.high);
        scaled_sum(&p, n, &f.scale);
        s = F(pass)(FD_cross_entropy, source, 1, p, q, n, f);
#else
        return weights_entropy_double(source, p, q, n, result);
#endif
    }
#if COMPUTES_DOUBLE
    if (source == FD_RAW && isnan(s.A[0]) && !isnan(s.P)) { /* -inf that overflowed beside +inf */
        f.scale = 1.0 / LARGER;
        s = F(pass)(FD_cross_entropy, source, 1, p, q, n, f);
        s.A[0] *= LARGER;
    }
#endif
    *result = source == FD_RAW ? s.A[0] : s.A[0] / s.P;
    return 0;
}

#if COMPUTES_DOUBLE
static int same_row(fd_row a, fd_row b) {
    return a.data == b.data && a.stride == b.stride && a.dtype == b.dtype && a.temperature == b.temperature;
}
#endif

static double F(cross_entropy_given)(const log_sum_double *s, const log_sum_double *t, fd_row a, fd_row b, ptrdiff_t n) {
    frame f = {.max_a = s->max, .max_b = t->max};
    return scalar_log1p(t->others) + F(pass)(FD_cross_entropy, FD_LOGITS, 0, a, b, n, f).A[0] / (1.0 + s->others);
}

static int F(logits_entropy)(fd_row a, fd_row b, ptrdiff_t n, double unused, double *result) {
    (void)unused;
    log_sum_double t = F(log_sum_exp)(b, n), s = same_row(a, b) ? t : F(log_sum_exp)(a, n);
    int status = no_distribution(&s) | no_distribution(&t);
    *result = NAN;
    if (status || isnan(s.others) || isnan(t.others)) return status;
    *result = F(cross_entropy_given)(&s, &t, a, b, n);
    return 0;
}

static int F(cross_entropy_normalized)(fd_row p, fd_row q, ptrdiff_t n, double unused, double *r) {
    (void)unused;
    return F(weights_entropy)(FD_NORMALIZED, p, q, n, r);
}
static int F(cross_entropy_raw)(fd_row p, fd_row q, ptrdiff_t n, double unused, double *r) {
    (void)unused;
    return F(weights_entropy)(FD_RAW, p, q, n, r);
}

/* llama.cpp's truncated divergence, the sum of e^l (l - log q) over l > floor with the log-probabilities l as they are.  In double:
 * its terms have either sign. */
#if COMPUTES_DOUBLE
static int truncated_kl(fd_row log_p, fd_row b, ptrdiff_t n, double floor, double *result) {
    double buffer_p[BLOCK], buffer_q[BLOCK];
    log_sum_double t = log_sum_exp_double(b, n);
    *result = NAN;
    if (no_distribution(&t) || isnan(t.others)) return no_distribution(&t);
    vd zero = vd_set1(0.0), max_b = vd_set1(t.max), rest = vd_set1(scalar_log1p(t.others)), limit = vd_set1(floor);
    lanes sum = lanes_zero();
    for (ptrdiff_t start = 0; start < n; start += BLOCK) {
        int count = n - start < BLOCK ? (int)(n - start) : BLOCK;
        const double *from_p = load_double(log_p, start, count, buffer_p), *from_q = load_double(b, start, count, buffer_q);
        for (int i = 0; i < count; i += 8) {
            int some = count - i < 8 ? count - i : 8;
            vd l = padded_double(FD_LOGITS, from_p + i, some), y = padded_double(FD_LOGITS, from_q + i, some);
            md out = vd_le(l, limit);
            l = vd_sel(out, zero, l);
            vd log_ratio = vd_add(vd_add(l, vd_sub(max_b, y)), rest);
            lanes_add(&sum, vd_sel(out, zero, vd_mul(exp_double(l, zero), log_ratio)));
        }
    }
    *result = lanes_total(&sum);
    return 0;
}
#endif

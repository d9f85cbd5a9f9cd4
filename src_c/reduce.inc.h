/* The row loop: sums of terms over two rows, written once for every divergence, source and compute type.
 *
 * 1. Blocks of 256 elements become contiguous T (load.inc.h) and are summed in the lanes of V.
 * 2. If all of a block was inside the window, its lanes go into the row's compensated double lanes.
 * 3. Else it is summed again carefully: in T if zeros are all that is wrong, otherwise in double.
 *
 * `which` is a divergence, the cross-entropy, or COMPARED, all fields of the fused comparison; like `source` and `scaled` it is a constant at every
 * place of use, so the compiler makes one loop per divergence out of this text.
 */
FD_INLINE V F(term)(int which, int logits, int unscaled, const frame *f, F(pair) o) {
    V p = o.p, q = o.q, d = o.d, x = o.x;
    const double parameter = f->parameter;
    (void)parameter;
    (void)unscaled;
    switch (which) {
    case FD_cross_entropy:
        return logits ? v_mul(p, x) : v_mul(p, F(log_ratio)(C(f->q.total), q, d, C(1.0 / f->q.total)));
#define FD_DIVERGENCE(name, f0, f_inf, by_weights, by_logits, finish_it)                                                       \
    case FD_##name: return logits ? (by_logits) : (by_weights);
#define FD_SUM(name, f0, f_inf, by_weights, by_logits)                                                                         \
    case FD_##name: return logits ? (by_logits) : (by_weights);
#include "divergences.def"
    }
    return x;
}

/* p^2/q or q^2/p of logits, which may be large though both p and q underflow. */
FD_INLINE V F(far_chi2)(int exchanged, F(pair) o, V t) {
    V ratio = exchanged ? NEG(o.x) : o.x, numerator = exchanged ? o.q : o.p, other = exchanged ? o.p : o.q, low;
    V y = F(difference)(o.log_p, NEG(exchanged ? v_add(ratio, ratio) : ratio), &low);
    V x_low = exchanged ? NEG(v_add(o.x_low, o.x_low)) : o.x_low;
    V square = F(times_exp)(C(1.0), y, v_add(low, v_add(o.log_p_low, x_low)));
    other = v_div(other, o.lift);
    numerator = v_div(numerator, o.lift);
    V far = v_sub(v_sub(v_add(square, other), numerator), numerator);
    return v_sel(v_lt(C(1.0), ratio), far, v_sel(v_eq(numerator, C(0.0)), other, t));
}

/* For what only the lift makes overflow. */
FD_INLINE F(pair) F(not_lifted)(F(pair) o) {
    o.p = v_div(o.p, o.lift);
    o.q = v_div(o.q, o.lift);
    o.d = v_div(o.d, o.lift);
    o.lift = C(1.0);
    return o;
}

/* The limits of the generator take the place of terms in which p or q is 0. */
FD_INLINE V F(careful_term)(int which, int logits, const frame *f, F(pair) o) {
    if (of_one_row(which)) return v_div(F(term)(which, logits, 0, f, o), o.lift);
    const double at_0 = limit_at_0(which, &f->own), at_inf = limit_at_infinity(which, &f->own);
    M p_is_0 = v_eq(o.p, C(0.0)), q_is_0 = v_eq(o.q, C(0.0)), both = m_and(p_is_0, q_is_0);
    const int squares = logits && (which == FD_chi2_divergence || which == FD_neyman_divergence);
    const int exact = underflow_counts(which) || squares;
    M no_p = isinf(at_0) || exact ? o.no_p : p_is_0, no_q = isinf(at_inf) || exact ? o.no_q : q_is_0, either = m_or(no_p, no_q);
    if (exact) both = m_and(no_p, no_q);
    F(pair) safe = o;
    safe.p = v_sel(either, C(1.0), o.p);
    safe.q = v_sel(either, C(1.0), o.q);
    safe.d = v_sel(either, C(0.0), o.d);
    safe.x = v_sel(either, C(0.0), o.x);
    if (!logits) {
        safe.log_p = v_sel(either, C(1.0), o.log_p);
        safe.log_q = v_sel(either, C(1.0), o.log_q);
    }
    V t = F(term)(which, logits, 0, f, safe);
    t = v_div(t, o.lift);
    if (COMPUTES_DOUBLE && squares)
        t = F(far_chi2)(which == FD_neyman_divergence, o, t);
    else if (COMPUTES_DOUBLE && ((logits && (exact || isinf(at_0) || isinf(at_inf))) || which == FD_entropy_excess)) {
        t = v_sel(v_lt(t, C(INFINITY)), t, F(term)(which, logits, 0, f, F(not_lifted)(safe)));
    }
#if COMPUTES_DOUBLE
    if (!logits && which == FD_cross_entropy) t = v_sel(F(most_of)(f, safe.q), t, v_mul(safe.p, F(surprisal)(f, safe.log_q)));
    if (!logits && !is_entropy(which) && which != FD_entropy_excess) {
        t = v_sel(F(needs_logarithms)(safe), C(INFINITY), t);
        M wrong = v_eq(v_sel(v_lt(t, C(INFINITY)), C(0.0), C(1.0)), C(1.0)); /* NaN too */
        if (m_any(wrong)) {
            F(pair) far = F(by_logarithms)(f, safe);
            V by_logs = v_div(F(term)(which, 1, 0, f, far), far.lift);
            if (which == FD_power || which == FD_power_excess) {
                V plain = F(term)(which, 1, 0, f, F(not_lifted)(far));
                by_logs = v_sel(v_lt(by_logs, C(INFINITY)), by_logs, plain);
            }
            if (which == FD_chi2_divergence || which == FD_neyman_divergence) by_logs = F(far_chi2)(which == FD_neyman_divergence, far, by_logs);
            if (!underflow_counts(which)) by_logs = v_sel(v_lt(v_add(far.p, far.q), C(LEAST)), C(0.0), by_logs); /* of nothing */
            t = v_sel(wrong, by_logs, t);
        }
    }
#endif
    V weight_p = v_div(o.p, o.lift), weight_q = v_div(o.q, o.lift);
    if (underflow_counts(which)) { /* however little it is */
        weight_p = v_sel(v_eq(weight_p, C(0.0)), C(NORMAL), weight_p);
        weight_q = v_sel(v_eq(weight_q, C(0.0)), C(NORMAL), weight_q);
    }
    if (!isinf(at_inf)) t = v_sel(no_q, v_mul(weight_p, C(at_inf)), t);
    if (!isinf(at_0)) t = v_sel(no_p, v_mul(weight_q, C(at_0)), t);
    t = v_sel(both, C(0.0), t);
    /* An infinite limit is infinite however small the other one is, and if that underflowed. */
    if (isinf(at_inf)) t = v_sel(o.no_q, v_sel(o.no_p, C(0.0), C(INFINITY)), t);
    if (isinf(at_0)) t = v_sel(o.no_p, v_sel(o.no_q, C(0.0), C(INFINITY)), t);
    if (!logits) t = v_sel(m_or(v_ne(o.p, o.p), v_ne(o.q, o.q)), C(NAN), t); /* nor is that of no number, whatever the other one is */
    return t;
}

typedef struct { V A[FD_FUSED], P, Q, S; } F(block);
FD_INLINE F(block) F(block_zero)(int which) {
    F(block) s;
    FD_UNROLL for (int i = 0; i < members(which); i++) s.A[i] = C(0.0);
    s.P = s.Q = s.S = C(0.0);
    return s;
}
FD_INLINE void F(block_join)(int which, F(block) *s, const F(block) *more) {
    FD_UNROLL for (int i = 0; i < members(which); i++) s->A[i] = v_add(s->A[i], more->A[i]);
    s->P = v_add(s->P, more->P);
    s->Q = v_add(s->Q, more->Q);
    s->S = v_add(s->S, more->S);
}
FD_INLINE void F(block_flush)(int which, row_lanes *row, const F(block) *s) {
    FD_UNROLL for (int i = 0; i < members(which); i++) F(flush)(&row->A[i], s->A[i]);
    F(flush)(&row->P, s->P);
    F(flush)(&row->Q, s->Q);
    F(flush)(&row->S, s->S);
}

FD_INLINE void F(careful_add)(int which, int source, int scaled, const frame *f, V a, V b, F(block) *s, int *invalid) {
    F(pair) o = source == FD_LOGITS ? F(logits)(which, 1, f, a, b) : F(weights)(which, scaled, 1, f, a, b, invalid);
    FD_UNROLL for (int i = 0; i < members(which); i++)
        s->A[i] = v_add(s->A[i], F(careful_term)(member(which, i), source == FD_LOGITS, f, o));
    const int as_they_are = source != FD_LOGITS && !scaled && !is_entropy(which); /* what was lowered may be gone */
    s->P = v_add(s->P, as_they_are ? a : v_div(o.p, o.lift));
    s->Q = v_add(s->Q, as_they_are ? b : v_div(o.q, o.lift));
    s->S = v_add(s->S, v_div(o.d, o.lift));
}

/* Padding of a last, partial vector: nothing on both sides. */
FD_INLINE V F(padded)(int source, const T *x, int n) {
    return source == FD_LOGITS ? v_sel(VNAME(first)(n), VNAME(loadn)(x, n), C(-INFINITY)) : VNAME(loadn)(x, n);
}

FD_INLINE void F(careful_sums)(int which, int source, int scaled, const frame *f, const T *a, const T *b, int n,
                                row_lanes *row) {
    F(block) all = F(block_zero)(which);
    for (int j = 0; j < n; j += EIGHT) {
        F(block) s = F(block_zero)(which);
        for (int i = j; i < n && i < j + EIGHT; i += 2 * N) {
            F(block) two = F(block_zero)(which);
            for (int k = i; k < n && k < i + 2 * N; k += N)
                F(careful_add)(which, source, scaled, f, F(padded)(source, a + k, n - k < N ? n - k : N),
                               F(padded)(source, b + k, n - k < N ? n - k : N), &two, &row->invalid);
            F(block_join)(which, &s, &two);
        }
        F(block_join)(which, &all, &s);
    }
    F(block_flush)(which, row, &all);
}
#if COMPUTES_DOUBLE
FD_INLINE void F(careful_block)(int which, int source, int scaled, const frame *f, const T *a, const T *b, int n,
                                row_lanes *row) {
    F(careful_sums)(which, source, scaled, f, a, b, n, row);
}
#else
FD_INLINE void F(careful_block)(int which, int source, int scaled, const frame *f, const T *a, const T *b, int n,
                                row_lanes *row) {
    if (source != FD_LOGITS) {
        M outside = VNAME(first)(0);
        for (int i = 0; i < n; i += N) {
            int some = n - i < N ? n - i : N;
            V x = F(padded)(source, a + i, some), y = F(padded)(source, b + i, some);
            F(pair) o = F(weights)(which, scaled, 0, f, x, y, &row->invalid);
            V low = v_min(v_sel(v_eq(x, C(0.0)), C(1.0), o.p), v_sel(v_eq(y, C(0.0)), C(1.0), o.q));
            outside = m_or(outside, m_or(v_lt(low, C(LOW)), v_lt(C(HIGH), v_max(o.p, o.q))));
        }
        if (!m_any(outside)) {
            F(careful_sums)(which, source, scaled, f, a, b, n, row);
            return;
        }
    }
    block_double s = block_zero_double(which);
    for (int i = 0; i < n; i += N) {
        V x = F(padded)(source, a + i, n - i < N ? n - i : N), y = F(padded)(source, b + i, n - i < N ? n - i : N);
        careful_add_double(which, source, scaled, f, vf_lo(x), vf_lo(y), &s, &row->invalid);
        careful_add_double(which, source, scaled, f, vf_hi(x), vf_hi(y), &s, &row->invalid);
    }
    block_flush_double(which, row, &s);
}
#endif

/* One vector of the fast loop; `valid` < N only in a row's last one.  The `first` of some is no sum yet. */
FD_INLINE void F(fast_add)(int which, int source, int scaled, const frame *f, V a, V b, int valid, int first, F(block) *s, V *least,
                           V *most) {
    int ignored;
    const int unscaled = source != FD_LOGITS && !scaled && !is_entropy(which);
    F(pair) o = source == FD_LOGITS ? F(logits)(which, 0, f, a, b) : F(weights)(which, scaled, 0, f, a, b, &ignored);
    if (valid < N) {
        M in = VNAME(first)(valid);
        o.p = v_sel(in, o.p, C(1.0));
        o.q = v_sel(in, o.q, C(1.0));
        o.d = v_sel(in, o.d, C(0.0));
        o.x = v_sel(in, o.x, C(0.0));
    }
    *least = v_min(v_min(o.p, o.q), *least);
    if (source != FD_LOGITS) *most = v_max(v_max(o.p, o.q), *most);
    FD_UNROLL for (int i = 0; i < members(which); i++) {
        V t = F(term)(member(which, i), source == FD_LOGITS, unscaled, f, o);
        if (valid < N) t = v_sel(VNAME(first)(valid), t, C(0.0));
        s->A[i] = first ? t : v_add(s->A[i], t);
    }
    if (valid < N) {
        M in = VNAME(first)(valid);
        o.p = v_sel(in, o.p, C(0.0));
        o.q = v_sel(in, o.q, C(0.0));
    }
    s->P = first ? o.p : v_add(s->P, o.p);
    s->Q = first ? o.q : v_add(s->Q, o.q);
    s->S = first ? o.d : v_add(s->S, o.d);
}

FD_INLINE void F(pass_over)(int which, int source, int scaled, fd_row p, fd_row q, ptrdiff_t from, ptrdiff_t to, const frame *f,
                            row_lanes *into) {
    T buffer_p[BLOCK], buffer_q[BLOCK];
    row_lanes row = row_zero(which);
    for (ptrdiff_t start = from; start < to; start += BLOCK) {
        int count = to - start < BLOCK ? (int)(to - start) : BLOCK;
        const T *a = F(load)(p, start, count, buffer_p), *b = F(load)(q, start, count, buffer_q);
        const int long_chains = is_long(which) || AHEAD == 1;
        F(block) all = F(block_zero)(which);
        V least = C(1.0), most = C(1.0);
        for (int j = 0; j < count;) {
            F(block) s = F(block_zero)(which);
            for (const int end = count - j < EIGHT ? count : j + EIGHT; j < end; j += 2 * N) {
                F(block) two = F(block_zero)(which);
                const T *x = a + j, *y = b + j;
                if (long_chains || end - j < 2 * N) {
                    for (int k = 0; k < 2 && j + k * N < end; k++, x += N, y += N) {
                        int some = end - j - k * N;
                        if (some >= N)
                            F(fast_add)(which, source, scaled, f, VNAME(load)(x), VNAME(load)(y), N, 0, &two, &least, &most);
                        else
                            F(fast_add)(which, source, scaled, f, VNAME(loadn)(x, some), VNAME(loadn)(y, some), some, 0, &two, &least, &most);
                    }
                } else {
                    FD_UNROLL for (int k = 0; k < 2; k++) {
                        __builtin_prefetch((const char *)(x + k * N) + PREFETCH);
                        __builtin_prefetch((const char *)(y + k * N) + PREFETCH);
                    }
                    FD_UNROLL for (int k = 0; k < 2; k++)
                        F(fast_add)(which, source, scaled, f, VNAME(load)(x + k * N), VNAME(load)(y + k * N), N, k == 0, &two, &least, &most);
                }
                F(block_join)(which, &s, &two);
            }
            F(block_join)(which, &all, &s);
        }
        if (m_any(m_or(v_lt(least, C(LOW)), v_lt(C(HIGH), most))))
            F(careful_block)(which, source, scaled, f, a, b, count, &row);
        else
            F(block_flush)(which, &row, &all);
    }
    row_put(which, into, &row);
}
FD_INLINE void F(sums_of_pair)(int which, int source, int scaled, fd_row p, fd_row q, ptrdiff_t n, const frame *f, row_lanes *row) {
    row_lanes part;
    if (n == 0 || n > FD_SEGMENT) *row = row_zero(which);
#define JOIN(whole, part) row_join(which, whole, part)
    BY_SEGMENTS(n, *row, part, F(pass_over)(which, source, scaled, p, q, from, to, f, into), JOIN);
#undef JOIN
}
FD_INLINE sums F(pass)(int which, int source, int scaled, fd_row p, fd_row q, ptrdiff_t n, frame f) {
    row_lanes row;
    F(sums_of_pair)(which, source, scaled, p, q, n, &f, &row);
    return row_total(which, &row, UNIT);
}

/* The scales of the next pass over weights; 0 if none is needed. */
FD_INLINE int F(next_frame)(frame *f, const sums *s, int again, int tries) {
#if COMPUTES_DOUBLE
    if (isinf(s->P) || isinf(s->Q)) { /* finite weights whose sum is not */
        if (isinf(s->P)) f->scale /= SUM_LIMIT;
        if (isinf(s->Q)) f->high /= SUM_LIMIT;
        return 1;
    }
    if (tries < 2 && !(in_range(s, SUM_LIMIT) && isfinite(s->A[0]))) { /* powers of two that bring both sums near 1, or as near as a double can */
        int exponent_p, exponent_q;
        frexp(s->P, &exponent_p);
        frexp(s->Q, &exponent_q);
        int whole_p = exponent_p - ilogb(f->scale), whole_q = exponent_q - ilogb(f->high), most = whole_p > whole_q ? whole_p : whole_q;
        int higher = most > SCALE_LIMIT ? most - SCALE_LIMIT : 0; /* a scale keeps its digits */
        f->scale = ldexp(f->scale, higher - exponent_p);
        f->high = ldexp(f->high, higher - exponent_q);
        f->low = ldexp(f->low, higher - exponent_q);
        return 1;
    }
#endif
    if (!again) return 0;
    int near = s->P < 2.0 * s->Q && s->Q < 2.0 * s->P;
    /* The scale of q times P/Q; for near sums that is 1 + S/Q, which has a second piece. */
    double more = near ? (f->high + f->low) * (s->S / s->Q) : 0.0;
    double high = (double)(T)(near ? f->high + (f->low + more) : (f->high + f->low) * (s->P / s->Q));
    /* One row a power of two times the other is no rare case, and then they are equal to the last bit. */
    double power = tries == 0 ? power_of_two_near(high, 32.0 * UNIT) : 0.0;
    f->low = near && power == 0.0 ? (f->high - high) + f->low + more : 0.0;
    f->high = power > 0.0 ? power : high;
    return 1;
}

/* A pair of rows: its sums, as of the last pass, and what they were added up in. */
typedef struct { fd_row a, b; double scale, high, low, r; int again, exchanged; sums s; } F(underway);

/* What its sums become; the order of a symmetric pair must not show in the last bit. */
FD_INLINE void F(in_order)(int which, F(underway) *w, const limits *own) {
    sums *s = &w->s;
    if (symmetric(which) && (s->P < s->Q || (s->P == s->Q && s->S < 0.0))) {
        exchange(&w->a, &w->b, s);
        w->exchanged ^= 1;
    }
    w->r = finish(member(which, 0), s->A[0], s, own, &w->again);
}

/* The first sums of such a pair, weights as they stand or normalised; 0 if it goes no further. */
FD_INLINE int F(goes_on)(int which, int source, F(underway) *w, ptrdiff_t n, const frame *f, double *result, int *status) {
    sums s = w->s;
    *result = NAN;
    if (s.invalid) {
        *status |= FD_INVALID;
        return 0;
    }
#if !COMPUTES_DOUBLE
    /* Sums of any size, and products of differences so small that they underflow, are double's. */
    if (!in_range(&s, SUM_LIMIT) || (s.A[0] < TINY && (s.A[0] > 0.0 || s.S != 0.0))) {
        *status |= in_double(which, source)(w->a, w->b, n, f->parameter, result);
        return 0;
    }
#endif
    if (source == FD_RAW) {
        *result = combined(which, source, s.A[0], &s);
        return 0;
    }
    if (!(s.P > 0.0 && s.Q > 0.0)) { /* nothing, or NaN */
        *status |= s.P == 0.0 || s.Q == 0.0 ? FD_INVALID : 0;
        return 0;
    }
#if COMPUTES_DOUBLE
    /* What is so small is read larger: it may be further from the other row than one factor reaches. */
    if (s.P < 1.0 / SUM_LIMIT) w->a.temperature = 1.0 / LARGER;
    if (s.Q < 1.0 / SUM_LIMIT) w->b.temperature = 1.0 / LARGER;
    if (w->a.temperature != 0.0 || w->b.temperature != 0.0) s = F(pass)(which, source, 0, w->a, w->b, n, *f);
#endif
    w->s = s;
    F(in_order)(which, w, &f->own);
    return 1;
}

#if COMPUTES_DOUBLE
FD_INLINE fd_row nth(fd_row row, ptrdiff_t step, int k) {
    row.data += k * step;
    return row;
}
#endif
/* The sums of those of eight pairs, the first of them `first`, that are in `these`, row by row; a bit for each that had what is no weight.
 * The others' stay as they are if they were added up side by side. */
FD_INLINE int F(sums_by_rows)(int which, int source, int scaled, const F(columns) *c, const F(underway) *pairs, int first, int these, int is_across,
                              ptrdiff_t n, frame f, eight_sums *s) {
    row_lanes rows[8];
    const row_lanes *each[8];
    int invalid = 0;
    for (int k = 0; k < 8; k++) {
        const F(underway) *w = &pairs[first + k];
        each[k] = &rows[these >> k & 1 ? k : __builtin_ctz((unsigned)these)];
        if (!(these >> k & 1)) continue;
        if (scaled) f.scale = w->scale, f.high = w->high, f.low = w->low;
        const fd_row a = scaled ? w->a : nth(c->p, c->step_p, first + k), b = scaled ? w->b : nth(c->q, c->step_q, first + k);
        F(sums_of_pair)(which, source, scaled, a, b, n, &f, &rows[k]);
        invalid |= (rows[k].invalid != 0) << k;
    }
    eight_sums found = row_totals(which, each);
    if (is_across && these != 255) {
        double in[8];
        for (int k = 0; k < 8; k++) in[k] = these >> k & 1;
        const md is_in = vd_ne(vd_load(in), vd_set1(0.0));
        found.A = vd_sel(is_in, found.A, s->A);
        found.P = vd_sel(is_in, found.P, s->P);
        found.Q = vd_sel(is_in, found.Q, s->Q);
        found.S = vd_sel(is_in, found.S, s->S);
        found.second = vd_sel(is_in, found.second, s->second);
    }
    *s = found;
    return invalid;
}

/* What the sums of eight pairs became, for those that are `left`. */
FD_INLINE void F(take)(int which, F(underway) *pairs, int left, int invalid, const eight_sums *s, vd r, md again) {
    double A[8], P[8], Q[8], S[8], second[8], found[8];
    const int once_more = lane_bits(again);
    vd_store(A, s->A);
    vd_store(P, s->P);
    vd_store(Q, s->Q);
    vd_store(S, s->S);
    vd_store(second, s->second);
    vd_store(found, r);
    for (int k = 0; k < 8; k++) {
        if (!(left >> k & 1)) continue;
        F(underway) *w = &pairs[k];
        w->s = (sums){.A = {A[k]}, .P = P[k], .Q = Q[k], .S = S[k], .unit = UNIT, .invalid = invalid >> k & 1};
        if (members(which) > 1) w->s.A[1] = second[k];
        w->r = found[k];
        w->again = once_more >> k & 1;
    }
}

/* The next pass over those of eight pairs that are `left`. */
FD_INLINE void F(goes_through)(int which, int source, const F(columns) *c, F(underway) *all, int first, int left, int by_rows, int is_across,
                               ptrdiff_t n, const frame *f, eight_sums *s) {
    F(underway) *pairs = all + first;
    if (left & by_rows) F(sums_by_rows)(which, source, 1, c, all, first, left & by_rows, is_across, n, *f, s);
    md again;
    vd r = each_finished(member(which, 0), s, UNIT, &f->own, &again);
    int without_order = 0; /* both sums are beyond doubles, and no one knows which is more */
    if (COMPUTES_DOUBLE && symmetric(which))
        for (int k = 0; k < 8; k++)
            if (left >> k & 1) without_order |= (isinf(pairs[k].s.P) && isinf(pairs[k].s.Q)) << k;
    F(take)(which, pairs, left, 0, s, r, again);
    for (int k = 0; k < 8; k++)
        if (without_order >> k & 1) F(in_order)(which, &pairs[k], &f->own);
}

/* The first sums of eight pairs are there: the results of those that need no more, and the others, which are left. */
FD_INLINE int F(begun)(int which, int source, const F(columns) *c, F(underway) *pairs, int first, int all, int odd, ptrdiff_t n, const frame *f,
                       eight_sums *s, double *results, int *status) {
    const int invalid = odd; /* odd: pairs that are no plain ones */
    const vd zero = vd_set1(0.0);
    if (source != FD_RAW || !COMPUTES_DOUBLE) {
        md in = m_and(vd_lt(s->P, vd_set1(SUM_LIMIT)), vd_lt(s->Q, vd_set1(SUM_LIMIT)));
        in = m_and(in, m_and(vd_lt(vd_set1(1.0 / SUM_LIMIT), s->P), vd_lt(vd_set1(1.0 / SUM_LIMIT), s->Q)));
        odd |= lane_bits(m_not(m_and(in, vd_lt(vd_abs(s->A), vd_set1(INFINITY)))));
    }
#if !COMPUTES_DOUBLE
    odd |= lane_bits(m_and(vd_lt(s->A, vd_set1(TINY)), m_or(vd_lt(zero, s->A), vd_ne(s->S, zero))));
#endif
    const eight_sums as_given = *s;
    int less = 0; /* whose Q is more than P */
    vd r = s->A;
    md again = vd_first(0);
    if (source != FD_RAW) {
        if (symmetric(which)) {
            eight_sums other = exchanged(s);
            md q_is_more = m_or(vd_lt(s->P, s->Q), m_and(vd_eq(s->P, s->Q), vd_lt(s->S, zero)));
            s->P = vd_sel(q_is_more, other.P, s->P);
            s->Q = vd_sel(q_is_more, other.Q, s->Q);
            s->S = vd_sel(q_is_more, other.S, s->S);
            less = lane_bits(q_is_more);
        }
        r = each_finished(member(which, 0), s, UNIT, &f->own, &again);
    }
    double values[8];
    vd_store(values, r);
    pairs += first, results += first;
    for (int k = 0; all >> k; k++) results[k] = values[k];
    int left = all;
    if (which != FD_bhattacharyya_distance) left &= odd | lane_bits(again);
    if (!left) return 0;
    odd &= left;
    F(take)(which, pairs, left & ~odd, 0, s, r, again);
    if (odd) F(take)(which, pairs, odd, invalid, &as_given, r, again);
    for (int k = 0; k < 8; k++) {
        F(underway) *w = &pairs[k];
        if (!(left >> k & 1)) continue;
        /* Which of them has more is nothing that a processor could foresee. */
        const fd_row two[2] = {nth(c->p, c->step_p, first + k), nth(c->q, c->step_q, first + k)};
        w->exchanged = less >> k & ~odd >> k & 1;
        w->a = two[w->exchanged];
        w->b = two[!w->exchanged];
        w->scale = w->high = 1.0;
        w->low = 0.0;
        if ((odd >> k & 1) && !F(goes_on)(which, source, w, n, f, results + k, status)) left &= ~(1 << k);
    }
    return left;
}

/* The frames of pairs that lie across, in their lanes. */
FD_INLINE void F(fill_frames)(const F(underway) *pairs, uint64_t left, int count, F(own_frames) *frames) {
    for (int k = 0; k < FD_ROWS; k++) {
        const int is_left = k < count && (left >> k & 1);
        F(own_frames) *of = &frames[k / N];
        of->scale[k % N] = (T)(is_left ? pairs[k].scale : 1.0);
        of->high[k % N] = (T)(is_left ? pairs[k].high : 1.0);
        of->low[k % N] = (T)(is_left ? pairs[k].low : 0.0);
        of->exchanged[k % N] = (T)(is_left && pairs[k].exchanged);
    }
}

/* Up to FD_ROWS pairs of rows, each `step` bytes behind the one before.  What becomes of sums takes as long as a hundred elements do: it is
 * worked out for eight at once, pass by pass. */
typedef uint64_t F(across_kernel)(const F(columns) *, ptrdiff_t n, const frame *f, const F(own_frames) *, eight_sums *s);
FD_INLINE int F(divergences)(int which, int source, F(across_kernel) *across, fd_row p, ptrdiff_t step_p, fd_row q, ptrdiff_t step_q, int count,
                             ptrdiff_t n, double parameter, double *results) {
    frame f = {.scale = 1.0, .high = 1.0, .parameter = parameter};
    if (which == FD_weighted_js_divergence) f.own = weighted_js_limits(parameter);
    _Static_assert(FD_ROWS <= 64, "a bit for each pair");
    const uint64_t all = ~(uint64_t)0 >> (64 - count);
    const F(columns) columns = {p, q, step_p, step_q, count, (count + N - 1) / N};
    const int is_across = across && F(goes_across)(&columns, n);
    F(underway) pairs[FD_ROWS];
    F(own_frames) frames[F(GROUPS)];
    eight_sums s[FD_ROWS / 8];
    uint64_t left = 0, by_rows = all;
    int status = 0;
    if (is_across) {
        F(fill_frames)(pairs, 0, count, frames);
        by_rows = across(&columns, n, &f, frames, s);
    }
    for (int k = 0; k < count; k += 8) {
        const int these = (int)(all >> k & 255), rows = these & (int)(by_rows >> k);
        int invalid = rows ? F(sums_by_rows)(which, source, 0, &columns, pairs, k, rows, is_across, n, f, &s[k / 8]) : 0;
        left |= (uint64_t)F(begun)(which, source, &columns, pairs, k, these, invalid, n, &f, &s[k / 8], results, &status) << k;
    }
    for (int tries = 0; left; tries++) {
        for (int k = 0; k < count; k++) {
            F(underway) *w = &pairs[k];
            if (!(left >> k & 1)) continue;
            f.scale = w->scale, f.high = w->high, f.low = w->low;
            if (source != FD_RAW && tries < 5 && F(next_frame)(&f, &w->s, w->again, tries)) {
                w->scale = f.scale, w->high = f.high, w->low = f.low;
                continue;
            }
            left &= ~((uint64_t)1 << k);
            results[k] = combined(which, source, w->r, &w->s);
#if !COMPUTES_DOUBLE
            /* What the scale's two floats leave of equal elements: the others feel it in its second order, if at all. */
            if (which == FD_total_variation && source != FD_RAW && w->r > 0.0 && w->r < 0x1p-24)
                status |= in_double(which, source)(w->a, w->b, n, parameter, results + k);
#endif
        }
        if (!left) break;
        by_rows = all;
        if (is_across) {
            F(fill_frames)(pairs, left, count, frames);
            by_rows = across(&columns, n, &f, frames, s);
            for (int k = 0; k < count; k++)
                if (left >> k & 1) by_rows |= (uint64_t)(pairs[k].a.temperature != 0.0 || pairs[k].b.temperature != 0.0) << k;
        }
        for (int k = 0; k < count; k += 8)
            if (left >> k & 255)
                F(goes_through)(which, source, &columns, pairs, k, (int)(left >> k & 255), (int)(by_rows >> k & 255), is_across, n, &f, &s[k / 8]);
    }
    return status;
}
#if COMPUTES_DOUBLE
/* Not inlined into float's, which seldom need it. */
extern const fd_kernels FD_TABLE;
FD_INLINE fd_pair_kernel in_double(int which, int source) {
    return which == FD_js_divergence && source == FD_NORMALIZED ? FD_TABLE.js_exact : FD_TABLE.pair[which][source][1];
}
FD_INLINE int divergence_double(int which, int source, fd_row p, fd_row q, ptrdiff_t n, double parameter, double *result) {
    return divergences_double(which, source, NULL, p, 0, q, 0, 1, n, parameter, result);
}
#endif

/* Pairs of rows that lie in the columns of arrays, side by side: in each lane of V one of them.
 *
 * What a lane of reduce.inc.h adds up is added up here by a vector, for as many rows, and so are those lanes' sums: the additions of each
 * row are the same, in the same order, and have the same bits.  An element of all rows is a few lines of the cache, which are read as they
 * lie; what comes next is asked for while this is summed.  Each pair has a frame of its own, and may be read the other way round.
 *
 * A row with something outside the window, zeros apart, is left to reduce.inc.h, which has a double for it.
 */
enum { F(GROUPS) = FD_ROWS / N };
/* Sums of one or two members, of p, of q and of p - q. */
typedef struct { V of[5]; } F(few);
typedef struct {
    vd high[8][N / 8];
#if COMPUTES_DOUBLE
    vd low[8]; /* the errors of additions, which sums of floats need not know */
#endif
} F(few_lanes)[5];
FD_INLINE int F(sums_in)(int which) { return members(which) + 3; }

/* An element of as many rows as V has lanes, of which `rows` are there; the same one for all if `step` is 0. */
FD_INLINE V F(of_all)(fd_row row, ptrdiff_t step, int g, int rows, ptrdiff_t j) {
    const char *from = row.data + j * row.stride;
    if (step == 0) {
        T x;
        memcpy(&x, from, sizeof x);
        return VNAME(set1)(x);
    }
    from += g * N * step;
    if (__builtin_expect(rows < N, 0)) return v_sel(VNAME(first)(rows), VNAME(loadn)((const T *)from, rows), C(1.0));
    return VNAME(load)((const T *)from);
}
typedef struct { fd_row p, q; ptrdiff_t step_p, step_q; int count, groups; } F(columns);
/* For each vector four lines, now of p and now of q, that are `ahead` of this element's; of what memory was too busy for it is asked again. */
enum { F(ASKS) = 2 * F(GROUPS) / 4 };
FD_INLINE void F(ask_for)(const F(columns) *c, int g, ptrdiff_t j, const ptrdiff_t *ahead) {
    for (int a = g % F(ASKS); a < F(ASKS); a += c->groups) {
        const int of_q = a >= F(ASKS) / 2, first = 4 * (a % (F(ASKS) / 2));
        const fd_row *row = of_q ? &c->q : &c->p;
        const char *from = row->data + j * row->stride + ahead[of_q] + 64 * first;
        for (int line = 0; line < 4 && first + line < c->groups; line++) __builtin_prefetch(from + 64 * line, 0, 2);
    }
}
/* How far the elements of the next lane's sums are from those of this one's: behind the last lane there are those of the next EIGHT elements,
 * or the first ones of the next rows. */
FD_INLINE ptrdiff_t F(ahead_of)(const fd_row *row, ptrdiff_t step, int count, ptrdiff_t start, int l, ptrdiff_t n) {
    if (l + 1 < N) return row->stride;
    return start + EIGHT < n ? (EIGHT + 1 - N) * row->stride : count * step - (start + N - 1) * row->stride;
}

/* The sums that lane l of EIGHT elements would have. */
FD_INLINE F(few) F(lane_of)(int which, int careful, const frame *f, const F(columns) *c, int g, ptrdiff_t start, int l, int some,
                            const ptrdiff_t *ahead, V *least, V *most) {
    const F(own_frames) *own = f->of_each;
    const M other_way = v_ne(VNAME(load)(own->exchanged), C(0.0));
    const int rows = c->count - g * N < N ? c->count - g * N : N;
    F(block) s = F(block_zero)(which);
    for (int i = l; i < some; i += 2 * N) {
        F(block) two = F(block_zero)(which);
        FD_UNROLL for (int k = 0; k < 2; k++) {
            int j = i + k * N, ignored;
            if (j >= some) break;
            V x = F(of_all)(c->p, c->step_p, g, rows, start + j), y = F(of_all)(c->q, c->step_q, g, rows, start + j), a = x, b = y;
            if (!careful) F(ask_for)(c, g, start + j, ahead);
            if (symmetric(which)) a = v_sel(other_way, y, x), b = v_sel(other_way, x, y);
            if (careful) F(careful_add)(which, FD_RAW, OF_EACH, f, a, b, &two, &ignored);
            else F(fast_add)(which, FD_RAW, OF_EACH, f, a, b, N, k == 0, &two, least, most);
        }
        F(block_join)(which, &s, &two);
    }
    F(few) r;
    FD_UNROLL for (int i = 0; i < members(which); i++) r.of[i] = s.A[i];
    r.of[members(which)] = s.P;
    r.of[members(which) + 1] = s.Q;
    r.of[members(which) + 2] = s.S;
    return r;
}

/* Lanes of which some element is outside the window and no zero. */
FD_INLINE uint64_t F(outside)(int which, const frame *f, const F(columns) *c, int g, ptrdiff_t start, int some) {
    const F(own_frames) *own = f->of_each;
    const M other_way = v_ne(VNAME(load)(own->exchanged), C(0.0));
    const int rows = c->count - g * N < N ? c->count - g * N : N;
    M wrong = VNAME(first)(0);
    T lane[N];
    uint64_t bits = 0;
    for (int j = 0; j < some; j++) {
        int ignored;
        V x = F(of_all)(c->p, c->step_p, g, rows, start + j), y = F(of_all)(c->q, c->step_q, g, rows, start + j);
        V a = v_sel(other_way, y, x), b = v_sel(other_way, x, y);
        F(pair) o = F(weights)(which, OF_EACH, 0, f, a, b, &ignored);
        V low = v_min(v_sel(v_eq(a, C(0.0)), C(1.0), o.p), v_sel(v_eq(b, C(0.0)), C(1.0), o.q));
        wrong = m_or(wrong, m_or(v_lt(low, C(LOW)), v_lt(C(HIGH), v_max(o.p, o.q))));
    }
    v_store(lane, v_sel(wrong, C(1.0), C(0.0)));
    for (int k = 0; k < N; k++) bits |= (uint64_t)(lane[k] != (T)0.0) << k;
    return bits;
}

/* What the lanes have come to is added to the sums of doubles. */
FD_INLINE void F(lanes_flush)(int which, const F(few) *all, F(few_lanes) to) {
    for (int x = 0; x < F(sums_in)(which); x++)
        for (int i = 0; i < 8; i++) {
#if COMPUTES_DOUBLE
            lanes sum = {to[x].high[i][0], to[x].low[i]};
            flush_double(&sum, all[i].of[x]);
            to[x].high[i][0] = sum.high;
            to[x].low[i] = sum.low;
#else
            vf first = all[i].of[x], second = all[i + 8].of[x];
            to[x].high[i][0] = vd_add(to[x].high[i][0], vd_add(vf_lo(first), vf_lo(second)));
            to[x].high[i][1] = vd_add(to[x].high[i][1], vd_add(vf_hi(first), vf_hi(second)));
#endif
        }
}

/* The sums of `count` pairs, eight by eight, with the scales in `frames`; and those, as bits, that it can't have. */
FD_INLINE uint64_t F(sums_across)(int which, const F(columns) *c, ptrdiff_t n, const frame *of_all, const F(own_frames) *frames, eight_sums *s) {
    F(few) all[F(GROUPS)][N], now[F(GROUPS)][N];
    F(few_lanes) sums[F(GROUPS)];
    frame f = *of_all;
    uint64_t left_out = 0;
    const int groups = c->groups;
    for (int g = 0; g < groups; g++)
        for (int x = 0; x < F(sums_in)(which); x++)
            for (int i = 0; i < 8; i++) {
                for (int k = 0; k < N / 8; k++) sums[g][x].high[i][k] = vd_set1(0.0);
#if COMPUTES_DOUBLE
                sums[g][x].low[i] = vd_set1(0.0);
#endif
            }
    for (ptrdiff_t start = 0; start < n; start += EIGHT) {
        const int some = n - start < EIGHT ? (int)(n - start) : EIGHT, ends = start + some == n || (start + EIGHT) % BLOCK == 0;
        V least[F(GROUPS)], most[F(GROUPS)];
        if (start > 0 && start % (FD_PIECE / FD_ROWS) == 0) fd_pause();
        for (int g = 0; g < groups; g++) least[g] = most[g] = C(1.0);
        for (int l = 0; l < N; l++) {
            const ptrdiff_t ahead[2] = {F(ahead_of)(&c->p, c->step_p, c->count, start, l, n),
                                        F(ahead_of)(&c->q, c->step_q, c->count, start, l, n)};
            for (int g = 0; g < groups; g++) {
                f.of_each = frames + g;
                now[g][l] = F(lane_of)(which, 0, &f, c, g, start, l, some, ahead, &least[g], &most[g]);
            }
        }
        for (int g = 0; g < groups; g++) {
            if (m_any(m_or(v_lt(least[g], C(LOW)), v_lt(C(HIGH), most[g])))) {
                f.of_each = frames + g;
                left_out |= F(outside)(which, &f, c, g, start, some) << (g * N);
                for (int l = 0; l < N; l++) now[g][l] = F(lane_of)(which, 1, &f, c, g, start, l, some, NULL, &least[g], &most[g]);
            }
            for (int l = 0; l < N; l++)
                for (int i = 0; i < F(sums_in)(which); i++)
                    all[g][l].of[i] = start % BLOCK == 0 ? now[g][l].of[i] : v_add(all[g][l].of[i], now[g][l].of[i]);
            if (ends) F(lanes_flush)(which, all[g], sums[g]);
        }
    }
    for (int h = 0; h < groups * (N / 8); h++) {
        vd total[5], high[8], low[8];
        for (int x = 0; x < F(sums_in)(which); x++) {
            for (int i = 0; i < 8; i++) {
                high[i] = sums[h / (N / 8)][x].high[i][h % (N / 8)];
                low[i] = vd_set1(0.0);
#if COMPUTES_DOUBLE
                low[i] = sums[h][x].low[i];
#endif
            }
            total[x] = kept_total(high, low);
        }
        const int m = members(which);
        s[h] = (eight_sums){total[0], total[m], total[m + 1], total[m + 2], total[m - 1]};
    }
    return left_out;
}

/* Whether rows lie so: both in columns, or one of them, and the other one is the same for all. */
FD_INLINE int F(lies_across)(const fd_row *row, ptrdiff_t step) {
    return row->dtype == NATIVE && step == (ptrdiff_t)sizeof(T) && row->stride != step;
}
FD_INLINE int F(goes_across)(const F(columns) *c, ptrdiff_t n) {
    const int p = F(lies_across)(&c->p, c->step_p), q = F(lies_across)(&c->q, c->step_q);
    const int one_p = c->p.dtype == NATIVE && c->step_p == 0, one_q = c->q.dtype == NATIVE && c->step_q == 0;
    return c->count > 1 && n <= FD_SEGMENT && (p || one_p) && (q || one_q) && (p || q);
}

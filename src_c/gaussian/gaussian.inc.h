/* Divergences of Gaussians; a lane is a problem, so that its bits depend on nothing but itself.
 *
 * With factors S = L L', whitened E = L1^-1 (L0 - L1), B = L1^-1 (S0 - S1) L1^-T = E + E' + E E', and y = L1^-1 (m0 - m1):
 *
 *   G(c)   = tr cB - log|I + cB| >= 0, a sum of squares and of u - 1 - log u over the Cholesky factor I + F of I + cB:
 *            b_j = cB_jj - sum f_jm^2, f_jj = b_j / (1 + sqrt(1 + b_j)), G = sum (b_j - log(1 + b_j)) + sum f_ij^2, i > j
 *   KL     = (G(1) + |y|^2) / 2
 *   Renyi  = (G(1) - G(c) / c + order |(I + F)^-1 y|^2) / 2, c = 1 - order; what is no distribution is infinitely far
 *
 * 1. Both Cholesky factors, unless they are given; then E, whose diagonal and squares are G(1).
 * 2. Where G(1) < NEAR, S0 - S1 has digits that L0 - L1 has lost: B from it (the two-sided solve of LAPACK's sygst), and G(1) again.
 *    Where no element of S0 - S1 is large, this comes first; if it finds G(1) < NEAR for all eight, 1. is not done for P at all.
 * 3. Where G(1) is larger and 1/2 <= order < 1, G(1) and G(c) / c may cancel: the logarithms themselves do not.
 *
 * A pivot that is no more than k 2^-52 of its diagonal has no digit right: NaN, and Python looks at the matrix.
 */
#include "gaussian.h"

#define NEAR 0.5
#define TINY_RATIO 0x1p-900
#define FAR_RATIO 0x1p400
#define FAR_MIXTURE 64.0 /* of (1 - order) G(1): where units of Q would begin to cost digits of (1 - order) P + order Q */
#define CHAINS 4 /* sums that are under way together: an addition waits for the last one */
#define TRIANGLE(i) ((i) * ((i) + 1) / 2)

/* u - 1 - log u of u = above / below, from it, from e = difference / below = u - 1 and from what they are made of.  In four steps, which
 * several vectors may take together; u is scaled where it is tiny, and `all` and `shift` say by what.
 *
 * `near`: where phi reaches u itself, of which split would take twice, beside a log 2 that cancels, below 3/4.  A scaled u near 1 is not. */
typedef struct { vd u, all, shift, r, found; md near; ratio_double s; } excess_of;
FD_INLINE void split_excess(excess_of *x, vd e) {
    vd zero = vd_set1(0.0);
    x->near = m_and(v_le(vd_set1(2.0 / 3.0), x->all), v_le(x->all, vd_set1(1.5)));
    x->s = split_double(1, vd_set1(1.0), x->u, zero);
    x->s.k = v_sel(x->near, zero, x->s.k);
    x->s.t = v_sel(x->near, x->u, x->s.t);
    x->s.d = v_sel(x->near, v_sub(zero, e), x->s.d);
}
FD_INLINE void divide_excess(excess_of *x, vd above, vd difference) { /* near, r = -e / u without the rounding of either */
    x->r = v_div(v_sel(x->near, v_sub(vd_set1(0.0), difference), x->s.d), v_sel(x->near, above, x->s.t));
}
FD_INLINE void sum_excess(excess_of *x) {
    vd k = v_add(x->s.k, x->shift), rest = v_fma(k, vd_set1(LN2 / EXPONENT_ONE), v_sub(x->all, x->s.t)); /* log 2 in two pieces: they cancel */
    x->found = v_fma(v_mul(x->s.d, x->r), phi_double(x->r), v_fma(k, vd_set1(LN2_REST / EXPONENT_ONE), rest));
}
FD_INLINE vd end_excess(const excess_of *x, vd above) {
    vd zero = vd_set1(0.0), found = v_sel(v_lt(x->u, vd_set1(INFINITY)), x->found, x->u);
    return v_sel(v_lt(zero, x->u), found, v_sel(v_eq(above, zero), vd_set1(INFINITY), vd_set1(NAN)));
}
FD_INLINE excess_of start_excess(vd u, vd above, vd below) {
    vd zero = vd_set1(0.0);
    excess_of x = {.u = u, .all = u, .shift = zero};
    md tiny = v_lt(u, vd_set1(TINY_RATIO));
    if (m_any(tiny)) {
        x.u = v_sel(tiny, v_div(v_mul(above, vd_set1(0x1p600)), v_mul(below, vd_set1(0x1p-600))), u);
        x.all = v_sel(tiny, zero, u);
        x.shift = v_sel(tiny, vd_set1(1200.0 * EXPONENT_ONE), zero);
    }
    return x;
}
FD_INLINE vd excess(vd u, vd e, vd above, vd below, vd difference) {
    excess_of x = start_excess(u, above, below);
    split_excess(&x, e);
    divide_excess(&x, above, difference);
    sum_excess(&x);
    return end_excess(&x, above);
}
FD_INLINE int all_are(md m) { return !m_any(v_eq(v_sel(m, vd_set1(1.0), vd_set1(0.0)), vd_set1(0.0))); }
/* A power of two that takes x to where its inverse, and its ratio to any other such number, is a normal double. */
FD_INLINE vd unit_of(vd x) {
    return v_sel(v_lt(x, vd_set1(0x1p-500)), vd_set1(0x1p540), v_sel(v_lt(vd_set1(0x1p500), x), vd_set1(0x1p-540), vd_set1(1.0)));
}
FD_INLINE md between(double low, vd x, double high) { return m_and(v_lt(vd_set1(low), x), v_lt(x, vd_set1(high))); }
FD_INLINE vd log_of_ratio(vd above, vd below, vd difference) {
    vd shift = vd_set1(0.0);
    if (!all_are(m_and(between(0x1p-500, above, 0x1p500), between(0x1p-500, below, 0x1p500)))) {
        md near = between(1.0 / FAR_RATIO, v_div(above, below), FAR_RATIO);
        vd of_below = unit_of(below), of_above = v_sel(near, of_below, unit_of(above)), none = vd_set1(1.0);
        vd log_unit = vd_set1(540.0 * LN2);
        shift = v_sub(v_sel(v_lt(none, of_below), log_unit, v_sel(v_lt(of_below, none), v_sub(shift, log_unit), shift)),
                      v_sel(v_lt(none, of_above), log_unit, v_sel(v_lt(of_above, none), v_sub(shift, log_unit), shift)));
        above = v_mul(above, of_above), below = v_mul(below, of_below);
        difference = v_sel(near, v_mul(difference, of_below), v_sub(above, below));
    }
    return v_add(log_ratio_double(above, below, difference, v_div(vd_set1(1.0), above)), shift);
}

typedef struct {
    ptrdiff_t k;
    vd bad[2];               /* 1 where a pivot of P, or of Q, is not what it should be */
    vd *p, *q, *e, *b;       /* lower triangles, row after row */
    vd *y, *inverse, *pivot; /* k of each, of y 3 k; pivot: the b_j of the last factor */
    vd *square[2];           /* k of each: the pivots of P and of Q before their roots were rounded; of covariances only */
    const char *next[2][8];  /* scales of later problems, if they lie there: of the next 8, or of small ones that come in 4 rounds */
    ptrdiff_t row[2];
} problem;

/* Row by row while there is something to compute: all at once the requests would wait for each other, and in the first cache they
 * would drive out what is computed with. */
FD_INLINE void ask_for_next(const problem *w, ptrdiff_t i) {
    for (int l = 0; l < 8; l++) {
        __builtin_prefetch(w->next[0][l] + i * w->row[0], 0, 2);
        __builtin_prefetch(w->next[1][l] + i * w->row[1], 0, 2);
    }
}

FD_INLINE void minus_dots(int rows, vd *const *a, const vd *x, ptrdiff_t n, vd *sum) {
    for (ptrdiff_t m = 0; m < n; m++) {
        vd once = x[m];
        FD_UNROLL for (int g = 0; g < rows; g++) sum[g] = v_fnma(a[g][m], once, sum[g]);
    }
}
FD_INLINE void below_pivot(int rows, vd *a, ptrdiff_t i, ptrdiff_t j, vd inverse) {
    vd *row[CHAINS], sum[CHAINS];
    FD_UNROLL for (int g = 0; g < rows; g++) sum[g] = (row[g] = a + TRIANGLE(i + g))[j];
    minus_dots(rows, row, a + TRIANGLE(j), j, sum);
    FD_UNROLL for (int g = 0; g < rows; g++) row[g][j] = v_mul(sum[g], inverse);
}
/* Steps of large matrices take so long that the caller may want to stop between them. */
#define PAUSE_IF_LARGE(w) if ((w)->k > 64) fd_pause()

/* P, or Q, becomes its Cholesky factor L, one column of it. */
FD_INLINE void pivot_of(problem *w, int of_q, vd *inverse, ptrdiff_t j) {
    vd *row = (of_q ? w->q : w->p) + TRIANGLE(j), given = row[j], s = given;
    minus_dots(1, &row, row, j, &s);
    w->bad[of_q] = v_sel(v_lt(v_mul(vd_set1((double)w->k * 0x1p-52), given), s), w->bad[of_q], vd_set1(1.0));
    w->square[of_q][j] = s;
    row[j] = v_sqrt(s);
    inverse[j] = v_div(vd_set1(1.0), row[j]);
}
FD_INLINE void column_below(const problem *w, vd *a, const vd *inverse, ptrdiff_t j) {
    ptrdiff_t i = j + 1;
    for (; i + CHAINS <= w->k; i += CHAINS) below_pivot(CHAINS, a, i, j, inverse[j]);
    for (; i < w->k; i++) below_pivot(1, a, i, j, inverse[j]);
}
/* That of Q, and that of P unless it is not asked for: both at once, as a root is long to wait for. */
FD_INLINE void factor_scales(problem *w, vd *inverse_p) {
    for (ptrdiff_t j = 0; j < w->k; j++) {
        if (inverse_p) pivot_of(w, 0, inverse_p, j);
        pivot_of(w, 1, w->inverse, j);
        ask_for_next(w, j);
        PAUSE_IF_LARGE(w);
        if (inverse_p) column_below(w, w->p, inverse_p, j);
        column_below(w, w->q, w->inverse, j);
    }
}
/* a becomes what the Cholesky factor of I + a has beside I. */
FD_INLINE void factor_beside_one(problem *w, vd *a, vd *inverse) {
    vd one = vd_set1(1.0);
    for (ptrdiff_t j = 0; j < w->k; j++) {
        vd *row = a + TRIANGLE(j), s = row[j];
        minus_dots(1, &row, row, j, &s);
        vd root = v_sqrt(v_add(one, s));
        PAUSE_IF_LARGE(w);
        w->pivot[j] = s;
        row[j] = v_div(s, v_add(one, root));
        inverse[j] = v_div(one, root);
        column_below(w, a, inverse, j);
    }
}
/* x = L^-1 x, from `first` on; L = I + l if `beside`, which has no other diagonal. */
FD_INLINE void solve(ptrdiff_t k, const vd *l, const vd *inverse, vd *x, ptrdiff_t first) {
    for (ptrdiff_t m = first; m < k; m++) {
        vd known = x[m] = v_mul(x[m], inverse[m]);
        for (ptrdiff_t i = m + 1; i < k; i++) x[i] = v_fnma(l[TRIANGLE(i) + m], known, x[i]);
    }
}
/* e = L1^-1 e, both lower triangles, a row of e at a time. */
FD_INLINE void whiten(const problem *w) {
    for (ptrdiff_t i = 0; i < w->k; i++) {
        const vd *l = w->q + TRIANGLE(i);
        vd *row = w->e + TRIANGLE(i);
        PAUSE_IF_LARGE(w);
        for (ptrdiff_t j = 0; j <= i; j += CHAINS) {
            int columns = i + 1 - j < CHAINS ? (int)(i + 1 - j) : CHAINS;
            vd sum[CHAINS];
            FD_UNROLL for (int g = 0; g < CHAINS; g++) sum[g] = g < columns ? row[j + g] : vd_set1(0.0);
            ptrdiff_t m = j;
            for (; m < i && m < j + CHAINS - 1; m++)
                for (int g = 0; g <= m - j; g++) sum[g] = v_fnma(l[m], w->e[TRIANGLE(m) + j + g], sum[g]);
            for (; m < i; m++) FD_UNROLL for (int g = 0; g < CHAINS; g++) sum[g] = v_fnma(l[m], w->e[TRIANGLE(m) + j + g], sum[g]);
            FD_UNROLL for (int g = 0; g < CHAINS; g++) if (g < columns) row[j + g] = v_mul(sum[g], w->inverse[i]);
        }
    }
}
/* b = L1^-1 b L1^-T: column j of all steps before column j + 1 of any. */
FD_INLINE void whiten_both(const problem *w) {
    ptrdiff_t k = w->k;
    const vd *l = w->q;
    vd *x = w->pivot; /* a column at rest */
    for (ptrdiff_t j = 0; j < k; j++) {
        vd inverse = w->inverse[j], head = w->b[TRIANGLE(j) + j] = v_div(w->b[TRIANGLE(j) + j], w->square[1][j]);
        vd half = v_mul(vd_set1(0.5), head);
        PAUSE_IF_LARGE(w);
        for (ptrdiff_t i = j + 1; i < k; i++) x[i] = v_fnma(half, l[TRIANGLE(i) + j], v_mul(w->b[TRIANGLE(i) + j], inverse));
        for (ptrdiff_t i = j + 1; i < k; i++) {
            vd *row = w->b + TRIANGLE(i), a = x[i], c = l[TRIANGLE(i) + j];
            for (ptrdiff_t m = j + 1; m <= i; m++) row[m] = v_fnma(a, l[TRIANGLE(m) + j], v_fnma(c, x[m], row[m]));
        }
        for (ptrdiff_t i = j + 1; i < k; i++) x[i] = v_fnma(half, l[TRIANGLE(i) + j], x[i]);
        solve(k, l, w->inverse, x, j + 1);
        for (ptrdiff_t i = j + 1; i < k; i++) w->b[TRIANGLE(i) + j] = x[i];
    }
}
/* b = e + e' + e e'. */
FD_INLINE void square(const problem *w) {
    for (ptrdiff_t i = 0; i < w->k; i++) {
        PAUSE_IF_LARGE(w);
        for (ptrdiff_t j = 0; j <= i; j++) {
            const vd *a = w->e + TRIANGLE(i), *c = w->e + TRIANGLE(j);
            vd sum = i == j ? v_add(a[j], a[j]) : a[j];
            for (ptrdiff_t m = 0; m <= j; m++) sum = v_fma(a[m], c[m], sum);
            w->b[TRIANGLE(i) + j] = sum;
        }
    }
}
FD_INLINE vd squares_below(ptrdiff_t k, const vd *a) {
    vd sum = vd_set1(0.0);
    for (ptrdiff_t i = 1; i < k; i++)
        for (ptrdiff_t j = 0; j < i; j++) sum = v_fma(a[TRIANGLE(i) + j], a[TRIANGLE(i) + j], sum);
    return sum;
}
/* G of what factor_beside_one made. */
FD_INLINE vd gain(const problem *w, const vd *a) {
    vd sum = squares_below(w->k, a), one = vd_set1(1.0);
    for (ptrdiff_t j = 0; j < w->k; j++) {
        vd pivot = w->pivot[j], u = v_add(one, pivot);
        sum = v_add(sum, excess(u, pivot, u, one, pivot));
    }
    return sum;
}
FD_INLINE vd norm(ptrdiff_t k, const vd *x) {
    vd sum = vd_set1(0.0);
    for (ptrdiff_t i = 0; i < k; i++) sum = v_fma(x[i], x[i], sum);
    return sum;
}
/* G(1) of e and of the ratios of the factors' diagonals; 2 (u - 1 - log u) + (u - 1)^2 is that of the pivots u^2, which have no root's
 * rounding, if they are known. */
FD_INLINE vd gain_of_factors(const problem *w, int given) {
    vd sum = squares_below(w->k, w->e);
    for (ptrdiff_t j = 0; j < w->k; j++) {
        vd above = given ? w->p[TRIANGLE(j) + j] : w->square[0][j], below = given ? w->q[TRIANGLE(j) + j] : w->square[1][j];
        vd difference = v_sub(above, below), e = v_div(difference, below);
        vd once = excess(v_div(above, below), e, above, below, difference);
        sum = v_add(sum, given ? v_fma(e, e, v_add(once, once)) : once);
    }
    return sum;
}

/* A number of each of 8 problems.  Written one by one they would have to reach the cache before they are one vector. */
FD_INLINE vd lanes_at(const char *const at[8], ptrdiff_t offset) {
#define LANE(l) (*(const double *)(at[l] + offset))
#if defined(FD_TARGET_AVX512)
    return _mm512_set_pd(LANE(7), LANE(6), LANE(5), LANE(4), LANE(3), LANE(2), LANE(1), LANE(0));
#elif defined(FD_TARGET_AVX2)
    return (vd){_mm256_set_pd(LANE(3), LANE(2), LANE(1), LANE(0)), _mm256_set_pd(LANE(7), LANE(6), LANE(5), LANE(4))};
#else
    double lane[8] = {LANE(0), LANE(1), LANE(2), LANE(3), LANE(4), LANE(5), LANE(6), LANE(7)};
    return vd_load(lane);
#endif
#undef LANE
}
/* A vector, or the lower triangle of a matrix, of 8 problems. */
FD_INLINE void gather(const fd_gaussians *g, int operand, const char *const at[8], int triangle, vd *to) {
    ptrdiff_t row = g->row[operand], column = g->column[operand];
    for (ptrdiff_t i = 0; i < g->k; i++) {
        for (ptrdiff_t j = 0; j <= (triangle ? i : 0); j++) *to++ = lanes_at(at, i * row + j * column);
    }
}
static void places(const fd_gaussians *g, int operand, ptrdiff_t first, const char *at[8]) {
    for (int l = 0; l < 8; l++) {
        ptrdiff_t i = first + l < g->count ? first + l : g->count - 1, offset = 0;
        if (g->axes == 1) {
            at[l] = g->data[operand] + i * g->steps[operand][0];
            continue;
        }
        for (int axis = g->axes - 1; axis >= 0; axis--) {
            offset += i % g->shape[axis] * g->steps[operand][axis];
            i /= g->shape[axis];
        }
        at[l] = g->data[operand] + offset;
    }
}

/* A number of 8 problems. */
FD_INLINE vd eight(const fd_gaussians *g, int operand, ptrdiff_t first, const char *const at[8], ptrdiff_t offset) {
    if (g->axes == 1 && g->steps[operand][0] == 0) return vd_set1(*(const double *)(g->data[operand] + offset));
    if (g->axes == 1 && g->steps[operand][0] == sizeof(double) && first + 8 <= g->count)
        return vd_load((const double *)(g->data[operand] + first * (ptrdiff_t)sizeof(double) + offset));
    return lanes_at(at, offset);
}

/* Renyi's order and 1 - order: what is below 1/2 is the latter, of which no digit is lost beside 1. */
FD_INLINE vd order_of(vd given, vd *c) {
    vd one = vd_set1(1.0), rest = v_sub(one, given);
    md beside_one = v_lt(given, vd_set1(0.5));
    *c = v_sel(beside_one, given, rest);
    return v_sel(beside_one, rest, given);
}
/* Renyi's from G(1), G(c) and the logarithms in its place; those are of the far, and then of an order below 1. */
FD_INLINE vd without_means(vd c, vd whole, vd part, vd logs) {
    vd near = v_mul(vd_set1(0.5), v_sub(whole, v_div(part, c)));
    return v_sel(m_and(v_le(vd_set1(NEAR), whole), v_lt(vd_set1(0.0), c)), v_mul(vd_set1(0.5), logs), near);
}

/* Eight problems; or two times eight of one variable, where that is `dense`: every operand a row without gaps, or one number for all.
 * An element takes longer to come through the chain of an excess than to compute, so both vectors take its steps in turn. */
#define TWO 2
#define BOTH for (int i = 0; i < (dense ? TWO : 1); i++)
FD_INLINE vd of_one(const fd_gaussians *g, int operand, ptrdiff_t first) {
    const double *x = (const double *)g->data[operand];
    return g->steps[operand][0] ? vd_load(x + first) : vd_set1(*x);
}
FD_INLINE void diagonal(const fd_gaussians *g, ptrdiff_t first, int renyi, int factors, int dense, vd *found) {
    const char *at[FD_GAUSSIAN_OPERANDS][8];
    vd zero = vd_set1(0.0), one = vd_set1(1.0), half = vd_set1(0.5), sum[TWO], bad[TWO], order = one, c = zero;
    if (!dense)
        for (int o = 0; o < FD_ORDER + renyi; o++)
            if (g->axes != 1 || (g->steps[o][0] && (g->steps[o][0] != sizeof(double) || first + 8 > g->count))) places(g, o, first, at[o]);
    if (renyi) order = order_of(eight(g, FD_ORDER, first, at[FD_ORDER], 0), &c);
    BOTH sum[i] = bad[i] = zero;
    for (ptrdiff_t j = 0; j < (dense ? 1 : g->k); j++) {
        vd p[TWO], q[TWO], apart[TWO], difference[TWO], e[TWO], y[TWO];
        excess_of x[TWO];
#define OPERAND(o) (dense ? of_one(g, o, first + 8 * i) : eight(g, o, first, at[o], j * g->row[o]))
        BOTH {
            p[i] = OPERAND(FD_SCALE_P), q[i] = OPERAND(FD_SCALE_Q);
            apart[i] = v_sub(OPERAND(FD_MEAN_P), OPERAND(FD_MEAN_Q));
            vd scaled = v_div(apart[i], q[i]);
            y[i] = v_mul(factors ? scaled : apart[i], scaled);
            difference[i] = v_sub(p[i], q[i]);
            e[i] = v_div(difference[i], q[i]);
            x[i] = start_excess(v_div(p[i], q[i]), p[i], q[i]);
            md fine = m_and(m_and(v_lt(zero, p[i]), v_lt(zero, q[i])), m_and(v_lt(p[i], vd_set1(INFINITY)), v_lt(q[i], vd_set1(INFINITY))));
            bad[i] = v_sel(fine, bad[i], one);
        }
#undef OPERAND
        BOTH split_excess(&x[i], e[i]);
        BOTH divide_excess(&x[i], p[i], difference[i]);
        BOTH sum_excess(&x[i]);
        BOTH {
            vd whole = end_excess(&x[i], p[i]), lambda = e[i];
            if (factors) {
                whole = v_fma(e[i], e[i], v_add(whole, whole));
                lambda = v_mul(e[i], v_add(vd_set1(2.0), e[i]));
            }
            if (!renyi) {
                sum[i] = v_add(sum[i], v_mul(half, v_add(whole, y[i])));
                continue;
            }
            vd moved = v_mul(c, lambda), u = v_add(one, moved), part = excess(u, moved, u, one, moved), log_u = log_of_ratio(u, one, moved);
            vd log_r = log_of_ratio(p[i], q[i], difference[i]);
            log_r = factors ? v_add(log_r, log_r) : log_r;
            vd logs = v_sub(v_div(log_u, c), log_r), share = v_div(y[i], u);
            md far = m_and(v_lt(vd_set1(FAR_RATIO), x[i].u), v_lt(vd_set1(0x1p64), moved)), endless = v_eq(y[i], vd_set1(INFINITY));
            if (m_any(m_or(far, endless))) { /* no double on the way: the mixture in units of P, and its root */
                vd ratio = v_div(q[i], p[i]), mixed = v_fma(order, factors ? v_mul(ratio, ratio) : ratio, c), unit = v_sel(far, p[i], q[i]);
                vd root = v_div(v_div(apart[i], factors ? unit : v_sqrt(unit)), v_sqrt(v_sel(far, mixed, u)));
                share = v_sel(m_or(far, endless), v_mul(root, root), share);
                logs = v_sel(far, v_div(v_fma(order, log_r, log_of_ratio(mixed, one, v_sub(mixed, one))), c), logs);
            }
            vd one_more = v_fma(v_mul(half, order), share, without_means(c, whole, part, logs));
            sum[i] = v_add(sum[i], v_sel(v_le(u, zero), vd_set1(INFINITY), one_more));
        }
    }
    BOTH found[i] = v_sel(v_eq(bad[i], zero), sum[i], vd_set1(NAN));
}

FD_INLINE void gather_scales(const fd_gaussians *g, ptrdiff_t first, problem *w) {
    const char *at[8];
    for (int q = 0; q < 2; q++) {
        int operand = q ? FD_SCALE_Q : FD_SCALE_P;
        places(g, operand, first, at);
        gather(g, operand, at, 1, q ? w->q : w->p);
        w->row[q] = g->row[operand];
        for (int l = 0; l < 8; l++) w->next[q][l] = at[l] + (w->k <= 8 ? 32 : 8) * g->steps[operand][g->axes - 1];
        w->bad[q] = vd_set1(0.0);
    }
}
/* b = p - q, and whether no element of it is large beside the variances. */
FD_INLINE md subtract_scales(const problem *w) {
    vd worst = vd_set1(-1.0), share = vd_set1(0x1p-6);
    for (ptrdiff_t i = 0; i < w->k; i++)
        for (ptrdiff_t j = 0; j <= i; j++) {
            ptrdiff_t at = TRIANGLE(i) + j;
            vd difference = w->b[at] = v_sub(w->p[at], w->q[at]);
            vd most = v_mul(share, v_mul(w->q[TRIANGLE(i) + i], w->q[TRIANGLE(j) + j]));
            worst = v_max(worst, v_fnma(vd_set1(1.0), most, v_mul(difference, difference)));
        }
    return v_lt(worst, vd_set1(0.0));
}
FD_INLINE vd gain_of_difference(problem *w, vd *inverse) {
    whiten_both(w);
    memcpy(w->p, w->b, (size_t)TRIANGLE(w->k) * sizeof(vd));
    factor_beside_one(w, w->b, inverse);
    return gain(w, w->b);
}

/* Renyi's of an order below 1 from the factor of (1 - order) P + order Q itself, for where P is much wider than Q: then what is small in it
 * beside P would be lost in units of Q, or its square is no double.  Q's columns are turned into P's factor one after the other, which
 * cancels nothing; y and the rows are in units of each row's largest number, times TALL: what is small beside that stays a double. */
#define TALL 0x1p1000
#define TALL_Y 0x1p400 /* of y, whose squares are to be doubles, too */
FD_INLINE vd of_mixture(problem *w, vd order, vd c, vd *x, vd *y) {
    ptrdiff_t k = w->k;
    vd zero = vd_set1(0.0), one = vd_set1(1.0), logs = zero, root_p = v_sqrt(c), root_q = v_sqrt(order), *unit = w->pivot, *tall = y + k, all = vd_set1(TALL);
    for (ptrdiff_t i = 0; i < k; i++) {
        vd *p = w->p + TRIANGLE(i), *q = w->q + TRIANGLE(i), most = v_max(p[i], q[i]);
        for (ptrdiff_t j = 0; j < i; j++) most = v_max(most, v_max(v_abs(p[j]), v_abs(q[j])));
        logs = v_fma(c, log_of_ratio(most, p[i], v_sub(most, p[i])), logs);
        logs = v_fma(order, log_of_ratio(most, q[i], v_sub(most, q[i])), logs);
        md above_one = v_lt(one, most);
        unit[i] = v_sel(above_one, v_mul(most, vd_set1(1.0 / TALL)), most);
        tall[i] = v_sel(above_one, one, vd_set1(TALL));
        for (ptrdiff_t j = 0; j <= i; j++) p[j] = v_mul(root_p, v_div(v_mul(p[j], tall[i]), unit[i]));
        y[i] = v_div(v_mul(y[i], v_mul(tall[i], vd_set1(TALL_Y / TALL))), unit[i]);
    }
    for (ptrdiff_t m = 0; m < k; m++) {
        PAUSE_IF_LARGE(w);
        for (ptrdiff_t i = m; i < k; i++) x[i] = v_mul(root_q, v_div(v_mul(w->q[TRIANGLE(i) + m], tall[i]), unit[i]));
        for (ptrdiff_t j = m; j < k; j++) {
            vd *a = w->p + TRIANGLE(j) + j, most = v_max(*a, v_abs(x[j])), cosine = v_div(*a, most), sine = v_div(x[j], most);
            vd length = v_sqrt(v_fma(cosine, cosine, v_mul(sine, sine)));
            md turned = m_or(v_lt(x[j], zero), v_lt(zero, x[j]));
            cosine = v_sel(turned, v_div(cosine, length), one), sine = v_sel(turned, v_div(sine, length), zero);
            *a = v_sel(turned, v_mul(most, length), *a);
            for (ptrdiff_t i = j + 1; i < k; i++) {
                vd *p = w->p + TRIANGLE(i) + j, old = *p;
                *p = v_fma(cosine, old, v_mul(sine, x[i]));
                x[i] = v_fnma(sine, old, v_mul(cosine, x[i]));
            }
        }
    }
    for (ptrdiff_t j = 0; j < k; j++) {
        vd pivot = w->p[TRIANGLE(j) + j];
        logs = v_add(logs, log_of_ratio(pivot, all, v_sub(pivot, all)));
        x[j] = v_div(one, pivot);
    }
    solve(k, w->p, x, y, 0);
    for (ptrdiff_t i = 0; i < k; i++) y[i] = v_mul(y[i], vd_set1(TALL / TALL_Y));
    return v_fma(v_mul(vd_set1(0.5), order), norm(k, y), v_div(logs, c));
}

FD_INLINE vd full(const fd_gaussians *g, ptrdiff_t first, const problem *place, ptrdiff_t k, int renyi) {
    const char *at[8];
    problem mine = *place, *w = &mine;
    w->k = k;
    vd zero = vd_set1(0.0), one = vd_set1(1.0), half = vd_set1(0.5);
    vd *heads = w->y + k, *inverse = w->y + 2 * k;
    gather_scales(g, first, w);
    places(g, FD_MEAN_P, first, at);
    gather(g, FD_MEAN_P, at, 0, w->y);
    places(g, FD_MEAN_Q, first, at);
    gather(g, FD_MEAN_Q, at, 0, w->pivot);
    for (ptrdiff_t i = 0; i < k; i++) w->y[i] = v_sub(w->y[i], w->pivot[i]);
    md beside = v_lt(one, zero);
    if (g->factors) {
        for (ptrdiff_t j = 0; j < k; j++) {
            vd p = w->p[TRIANGLE(j) + j], q = w->q[TRIANGLE(j) + j];
            if (!all_are(between(0x1p-500, q, 0x1p500))) { /* 1 / q, or products, would be no normal doubles: another unit of this variable */
                vd most = v_abs(w->y[j]), unit = v_sel(v_lt(one, q), vd_set1(0x1p-500), vd_set1(0x1p500));
                for (ptrdiff_t i = 0; i <= j; i++) most = v_max(most, v_max(v_abs(w->p[TRIANGLE(j) + i]), v_abs(w->q[TRIANGLE(j) + i])));
                md down = m_and(v_lt(vd_set1(0x1p500), q), v_lt(vd_set1(0x1p-500), p)), up = m_and(v_lt(zero, q), v_lt(most, vd_set1(0x1p500)));
                unit = v_sel(m_or(down, m_and(up, v_lt(q, vd_set1(0x1p-500)))), unit, one);
                for (ptrdiff_t i = 0; i <= j; i++) {
                    w->p[TRIANGLE(j) + i] = v_mul(w->p[TRIANGLE(j) + i], unit);
                    w->q[TRIANGLE(j) + i] = v_mul(w->q[TRIANGLE(j) + i], unit);
                }
                w->y[j] = v_mul(w->y[j], unit);
                p = w->p[TRIANGLE(j) + j], q = w->q[TRIANGLE(j) + j];
            }
            w->bad[0] = v_sel(m_and(v_lt(zero, p), v_lt(zero, q)), w->bad[0], one);
            w->inverse[j] = v_div(one, q);
        }
    } else {
        md small = subtract_scales(w);
        if (!renyi) beside = small;
        if (!renyi && all_are(small)) { /* perhaps P's factor is not needed */
            factor_scales(w, NULL);
            vd whole = gain_of_difference(w, inverse);
            if (all_are(v_lt(whole, vd_set1(NEAR)))) {
                solve(k, w->q, w->inverse, w->y, 0);
                return v_sel(v_eq(w->bad[1], zero), v_mul(half, v_add(whole, norm(k, w->y))), vd_set1(NAN));
            }
            gather_scales(g, first, w);
            subtract_scales(w);
        }
        factor_scales(w, inverse);
    }
    for (ptrdiff_t i = 0; i < TRIANGLE(k); i++) w->e[i] = v_sub(w->p[i], w->q[i]);
    whiten(w);
    vd whole = gain_of_factors(w, g->factors), bad = v_add(w->bad[0], w->bad[1]), order = one, c = zero, mixture = zero;
    md near = v_lt(whole, vd_set1(g->factors ? 0.0 : NEAR)), far = v_lt(one, zero);
    vd *kept = w->p; /* of which only the diagonal is wanted any more */
    for (ptrdiff_t j = 0; j < k; j++) heads[j] = w->p[TRIANGLE(j) + j];
    if (renyi) {
        places(g, FD_ORDER, first, at);
        order = order_of(eight(g, FD_ORDER, first, at, 0), &c);
        md close = v_lt(v_mul(c, whole), vd_set1(FAR_MIXTURE));
        if (!all_are(close)) {
            vd none = zero, *y = w->square[1] + k; /* 0, or NaN if something is not finite */
            for (ptrdiff_t i = 0; i < TRIANGLE(k); i++) none = v_add(none, v_add(v_sub(w->p[i], w->p[i]), v_sub(w->q[i], w->q[i])));
            far = v_lt(v_sel(close, one, none), one);
            bad = v_add(bad, none);
            memcpy(y, w->y, (size_t)k * sizeof(vd));
            mixture = v_sel(v_lt(zero, c), of_mixture(w, order, c, inverse, y), vd_set1(INFINITY));
        }
    }
    solve(k, w->q, w->inverse, w->y, 0);
    if (m_any(m_or(near, beside))) {
        vd again = gain_of_difference(w, inverse);
        md alone = m_and(beside, v_lt(again, vd_set1(NEAR))); /* as where all are */
        bad = v_sel(alone, w->bad[1], bad);
        whole = v_sel(m_or(near, alone), again, whole);
    }
    vd norm_1 = norm(k, w->y), found = v_mul(half, v_add(whole, norm_1));
    if (renyi) {
        square(w);
        for (ptrdiff_t i = 0; i < TRIANGLE(k); i++) w->b[i] = v_mul(c, m_any(near) ? v_sel(near, kept[i], w->b[i]) : w->b[i]);
        factor_beside_one(w, w->b, inverse);
        vd part = gain(w, w->b), logs = zero, outside = zero;
        for (ptrdiff_t j = 0; j < k; j++) {
            vd u = v_add(one, w->pivot[j]), p = heads[j], q = w->q[TRIANGLE(j) + j];
            vd log_r = log_of_ratio(p, q, v_sub(p, q));
            logs = v_add(logs, v_sub(v_div(log_of_ratio(u, one, w->pivot[j]), c), v_add(log_r, log_r)));
            outside = v_sel(v_lt(zero, u), outside, one);
        }
        solve(k, w->b, inverse, w->y, 0);
        found = v_fma(v_mul(half, order), norm(k, w->y), without_means(c, whole, part, logs));
        found = v_sel(far, mixture, v_sel(v_eq(outside, zero), found, vd_set1(INFINITY)));
    }
    return v_sel(v_eq(bad, zero), found, vd_set1(NAN));
}

/* FD_DOUBTFUL if there is a NaN. */
static int put(const fd_gaussians *g, ptrdiff_t first, vd found) {
    /* The sign of a NaN is the processor's business. */
    vd zero = vd_set1(0.0), wrong = v_sel(v_eq(found, found), zero, vd_set1(1.0));
    found = v_sel(v_eq(found, found), v_add(found, zero), vd_set1(NAN));
    if (first + 8 <= g->count)
        vd_store(g->result + first, found);
    else {
        double lane[8];
        vd_store(lane, found);
        memcpy(g->result + first, lane, (size_t)(g->count - first) * sizeof(double));
    }
    return m_any(v_lt(zero, wrong)) ? FD_DOUBTFUL : 0;
}
#define DIAGONAL(renyi, factors, dense) diagonal(g, 8 * first, renyi, factors, dense, found)
static int all_diagonal(const fd_gaussians *g, ptrdiff_t first, ptrdiff_t last) {
    int dense = g->k == 1 && g->axes == 1, status = 0;
    vd found[TWO];
    for (int o = 0; o < FD_ORDER; o++) dense = dense && (!g->steps[o][0] || g->steps[o][0] == sizeof(double));
    for (; first < last; first += dense ? TWO : 1) {
        dense = dense && first + TWO <= last && 8 * (first + TWO) <= g->count;
        if (dense && g->factors) DIAGONAL(0, 1, 1);
        else if (dense) DIAGONAL(0, 0, 1);
        else DIAGONAL(0, g->factors, 0);
        BOTH status |= put(g, 8 * (first + i), found[i]);
    }
    return status;
}
static int all_diagonal_renyi(const fd_gaussians *g, ptrdiff_t first, ptrdiff_t last) {
    vd found[TWO];
    int status = 0;
    for (; first < last; first++) {
        DIAGONAL(1, g->factors, 0);
        status |= put(g, 8 * first, *found);
    }
    return status;
}
#undef DIAGONAL
#define ALL_FULL(NAME, K, RENYI)                                                                                               \
    static int NAME(const fd_gaussians *g, ptrdiff_t first, ptrdiff_t last, const problem *w) {                                \
        int status = 0;                                                                                                        \
        for (; first < last; first++) status |= put(g, 8 * first, full(g, 8 * first, w, K, RENYI));                            \
        return status;                                                                                                         \
    }
ALL_FULL(all_full, w->k, 0)
ALL_FULL(all_full_renyi, w->k, 1)
#if !defined(FD_COMPACT) /* loops whose lengths a compiler knows */
ALL_FULL(all_full_2, 2, 0)
ALL_FULL(all_full_3, 3, 0)
ALL_FULL(all_full_4, 4, 0)
ALL_FULL(all_full_8, 8, 0)
#endif

int FD_GAUSSIANS(void *context, ptrdiff_t first, ptrdiff_t last) {
    const fd_gaussians *g = context;
    ptrdiff_t k = g->k, triangle = TRIANGLE(k);
    if (g->diagonal) {
        return (g->data[FD_ORDER] ? all_diagonal_renyi : all_diagonal)(g, first, last);
    }
    char *place = fd_scratch((size_t)(4 * triangle + 9 * k + 1) * sizeof(vd));
    if (!place) return FD_NO_SCRATCH;
    place += -(uintptr_t)place % sizeof(vd);
    vd *at = (vd *)(void *)place;
    problem w = {.k = k, .p = at, .q = at + triangle, .e = at + 2 * triangle, .b = at + 3 * triangle};
    w.y = at + 4 * triangle;
    w.inverse = w.y + 3 * k;
    w.pivot = w.inverse + k;
    w.square[0] = w.pivot + k;
    w.square[1] = w.square[0] + k;
    int (*all)(const fd_gaussians *, ptrdiff_t, ptrdiff_t, const problem *) = g->data[FD_ORDER] ? all_full_renyi : all_full;
#if !defined(FD_COMPACT)
    if (all == all_full) all = k == 2 ? all_full_2 : k == 3 ? all_full_3 : k == 4 ? all_full_4 : k == 8 ? all_full_8 : all;
#endif
    return all(g, first, last, &w);
}

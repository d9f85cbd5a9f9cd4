/* From the sums of one pair of rows to the divergence of the normalised rows.
 *
 * A = sum of terms, P = sum p, Q = sum q, S = sum (p - q).  The rows were compared as they stand (q possibly scaled by nearly P/Q);
 * what the remaining difference S of their sums contributes is known in closed form, or bounded.  Where it is not small beside
 * the result, `again` asks for another pass with a better scale.
 */


typedef struct {
    double A[FD_FUSED], P, Q, S;
    double unit; /* rounding unit of the type that the terms were computed in */
    int invalid;
} sums;

/* The sums of eight pairs of rows: what a divergence becomes of them is worked out for all at once. */
typedef struct { vd A, P, Q, S, second; /* member, if there is one */ } eight_sums;

/* Elementary functions of one double: lane 0 of the vector ones, so that they have the same bits everywhere. */
static double first_lane(vd x) {
    double lane[8];
    vd_store(lane, x);
    return lane[0];
}
static double scalar_exp(double x) { return first_lane(exp_double(vd_set1(x), vd_set1(0.0))); }
/* log(x + rest), where the rest is nothing beside x, and x is positive and normal. */
FD_INLINE vd log_of_sum(vd x, vd rest) {
    vd low, high = log_pieces_double(x, C(1.0), v_sub(x, C(1.0)), &low);
    return v_add(high, v_add(low, v_div(rest, x)));
}
static vd each_log(vd x) { /* x >= 0 */
    md small = v_lt(x, C(LOW)), large = v_lt(C(IMMENSE), x);
    vd times = v_sel(small, C(LIFT), v_sel(large, C(1.0 / LIFT), C(1.0)));
    vd more = v_sel(small, C(-200.0 * LN2), v_sel(large, C(200.0 * LN2), C(0.0)));
    vd r = v_add(log_of_sum(v_mul(x, times), C(0.0)), more);
    return v_sel(v_le(x, C(0.0)), C(-INFINITY), v_sel(v_eq(x, C(INFINITY)), x, r));
}
static double scalar_log(double x) { return first_lane(each_log(vd_set1(x))); }
/* A bit for each lane, the lowest for the first. */
static int lane_bits(md m) {
    double lane[8];
    int bits = 0;
    vd_store(lane, vd_sel(m, C(1.0), C(0.0)));
    for (int k = 0; k < 8; k++) bits |= (lane[k] != 0.0) << k;
    return bits;
}
FD_INLINE md m_not(md m) { return v_eq(v_sel(m, C(0.0), C(1.0)), C(1.0)); }
/* log(1 + x) - x = x^2 (PHI(x) - 1) / (1 + x), given 1 + x too, which x can't tell near -1. */
FD_INLINE vd log1p_minus(vd x, vd one_plus_x) {
    md near = m_and(v_lt(C(-0.33), x), v_lt(x, C(0.5)));
    vd r = v_div(v_mul(v_mul(x, x), v_sub(phi_double(x), C(1.0))), one_plus_x);
    return m_any(m_not(near)) ? v_sel(near, r, v_sub(each_log(one_plus_x), x)) : r;
}
static double scalar_log1p(double x) {
    if (x == 0.0) return x; /* with its sign, which the caller may turn */
    double whole = 1.0 + x, back = whole - 1.0;
    if (!(whole > LOW && whole < IMMENSE)) return scalar_log(whole);
    return first_lane(log_of_sum(vd_set1(whole), vd_set1((1.0 - (whole - back)) + (x - back))));
}
static double scalar_expm1(double x) { /* x <= 1 */
    if (!(x > -1.0)) return scalar_exp(x) - 1.0;
    double square = x * x, psi = first_lane(psi_double(vd_set1(x))), more = square * psi, sum = x + more;
    return sum + (((x - sum) + more) + (fma(x, x, -square) * psi + fma(square, psi, -more)));
}

/* a - b >= 0 in exact arithmetic, where b is the square of the rounded rest of a scale: what rounding alone can make negative is 0;
 * anything else stays visible. */
FD_INLINE vd nonnegative_difference(vd a, vd b, double unit) {
    vd r = v_sub(a, b), noise = C(64.0 * unit);
    return v_sel(m_and(v_lt(r, C(0.0)), v_le(NEG(v_mul(noise, v_add(a, noise))), r)), C(0.0), r);
}
/* Likewise for a bound from above. */
FD_INLINE vd each_at_most(double bound, vd x, double unit) {
    return v_sel(m_and(v_lt(C(bound), x), v_le(x, C(bound * (1.0 + 64.0 * unit)))), C(bound), x);
}
static __attribute__((unused)) double at_most(double bound, double x, double unit) { return first_lane(each_at_most(bound, vd_set1(x), unit)); }

/* The same pairs of rows the other way round. */
FD_INLINE eight_sums exchanged(const eight_sums *s) { return (eight_sums){s->A, s->Q, s->P, NEG(s->S), s->second}; }

#define FINISH(name) FD_INLINE vd finish_##name(const eight_sums *s, double unit, md *again)
#define ASK_AGAIN(condition) *again = m_or(*again, condition)
FINISH(kl) {
    vd excess = NEG(log1p_minus(NEG(v_div(s->S, s->P)), v_div(s->Q, s->P))), r = nonnegative_difference(v_div(s->A, s->P), excess, unit);
    ASK_AGAIN(v_lt(v_mul(C(0.125), r), excess));
    return r;
}
FINISH(reverse_kl) {
    eight_sums r = exchanged(s);
    return finish_kl(&r, unit, again);
}
FINISH(chi2) {
    vd shift = v_div(s->S, s->P), square = v_mul(shift, shift);
    vd r = nonnegative_difference(v_mul(v_div(s->A, s->P), v_div(s->Q, s->P)), square, unit);
    ASK_AGAIN(v_lt(v_mul(C(0.125), r), square));
    return r;
}
FINISH(neyman) {
    eight_sums r = exchanged(s);
    return finish_chi2(&r, unit, again);
}
FINISH(squared_hellinger) {
    vd root_p = v_sqrt(s->P), root_q = v_sqrt(s->Q), shift = v_div(s->S, v_add(root_p, root_q)), both = v_mul(v_mul(C(2.0), root_p), root_q);
    vd excess = v_div(v_mul(shift, shift), both), r = nonnegative_difference(v_div(v_mul(C(2.0), s->A), both), excess, unit);
    ASK_AGAIN(v_lt(v_mul(C(0.125), r), excess));
    return r;
}
/* With m = (P + Q) / 2 and e = S / 2m the rows are m (1 + e) and m (1 - e) times distributions, and 2A / (P + Q) is, as a function of e,
 * for Jensen-Shannon (f''(1) = 1/4)
 *     JS + e (KL(p|mean) - KL(q|mean)) / 2 + e^2 / 2 times the sum of 2pq / (p + q), and so on.
 * First order is at most |e| times the result, for JS is half of the sum of those two: 8u, half of what is promised, are left.  Second
 * order is 2 f''(1) e^2 but for a relative 2 JS at most, so subtracting that leaves e^2 times the result.  It is the same with the others. */
FD_INLINE vd finish_balanced(const eight_sums *s, double curvature, double unit, md *again) {
    vd both = v_add(s->P, s->Q), shift = v_div(v_abs(s->S), both), excess = v_mul(v_mul(C(2.0 * curvature), shift), shift);
    vd r = nonnegative_difference(v_div(v_mul(C(2.0), s->A), both), excess, unit);
    ASK_AGAIN(m_or(v_lt(C(8.0 * unit), shift), v_lt(v_mul(C(0.125), r), excess)));
    return r;
}
FINISH(js) { return finish_balanced(s, 0.25, unit, again); }
FINISH(jeffreys) { return finish_balanced(s, 2.0, unit, again); }
FINISH(triangular) { return finish_balanced(s, 1.0, unit, again); }
/* f''(1) depends on the weight: below 1/4, and nothing is subtracted. */
FINISH(weighted_js) {
    vd both = v_add(s->P, s->Q), shift = v_div(v_abs(s->S), both), r = v_div(v_mul(C(2.0), s->A), both);
    ASK_AGAIN(m_or(v_lt(C(8.0 * unit), shift), v_lt(v_mul(C(4.0 * unit), r), v_mul(v_mul(C(0.5), shift), shift))));
    return r;
}
/* With the same m and e, |p - q| / 2m is off by no more than |e| (p + q) / 2m at every place: |e| in all.  That may be 12u of the result;
 * nothing cancels here, and rounding every difference and every sum needs less than the other 4u. */
FINISH(total_variation) {
    vd both = v_add(s->P, s->Q), r = v_div(v_mul(C(2.0), s->A), both);
    ASK_AGAIN(v_lt(v_mul(C(12.0 * unit), r), v_div(v_abs(s->S), both)));
    return r;
}

static int in_range(const sums *s, double limit) {
    return s->P < limit && s->Q < limit && s->P > 1.0 / limit && s->Q > 1.0 / limit;
}

/* The power of two that x differs from by no more than a relative `tolerance`, or 0. */
static double power_of_two_near(double x, double tolerance) {
    int exponent;
    double fraction = frexp(x, &exponent);
    if (fraction - 0.5 <= tolerance) return ldexp(0.5, exponent);
    return 1.0 - fraction <= tolerance ? ldexp(1.0, exponent) : 0.0;
}

/* f(0) and f'(inf) of a divergence whose generator has a parameter; the others know theirs. */
typedef struct { double at_0, at_inf; } limits;
FD_INLINE double limit_at_0(int which, const limits *own) {
    switch (which) {
#define FD_DIVERGENCE(name, f0, f_inf, weights, logits, finish_it)                                                             \
    case FD_##name: return f0;
#define FD_SUM(name, f0, f_inf, weights, logits)                                                                               \
    case FD_##name: return f0;
#include "divergences.def"
    }
    (void)own;
    return 0.0; /* the entropies */
}
FD_INLINE double limit_at_infinity(int which, const limits *own) {
    switch (which) {
#define FD_DIVERGENCE(name, f0, f_inf, weights, logits, finish_it)                                                             \
    case FD_##name: return f_inf;
#define FD_SUM(name, f0, f_inf, weights, logits)                                                                               \
    case FD_##name: return f_inf;
#include "divergences.def"
    }
    (void)own;
    return which == FD_cross_entropy ? INFINITY : 0.0;
}
/* -(1 - w) log(1 - w) and -w log w. */
static limits weighted_js_limits(double w) {
    limits r = {0.0, 0.0};
    if (w > 0.0 && w < 1.0) {
        r.at_0 = -(1.0 - w) * scalar_log1p(-w);
        r.at_inf = -w * scalar_log(w);
    }
    return r;
}

/* `again`: those that are to be summed once more. */
FD_INLINE vd each_finished(int which, const eight_sums *s, double unit, const limits *own, md *again) {
    const double most = limit_at_0(which, own) + limit_at_infinity(which, own);
    const vd infinite = C(INFINITY);
    md more = vd_first(0);
    vd r = C(NAN);
    switch (which) {
#define FD_DIVERGENCE(name, f0, f_inf, weights, logits, finish_it)                                                             \
    case FD_##name: r = finish_it(s, unit, &more); break;
#include "divergences.def"
    }
    /* An infinite sum stays so, unless rows of very different sums made its terms overflow. */
    vd size = v_abs(s->A);
    md near = m_and(v_lt(s->P, v_mul(C(2.0), s->Q)), v_lt(s->Q, v_mul(C(2.0), s->P)));
    *again = m_and(m_and(m_or(more, v_ne(r, r)), v_ne(s->S, C(0.0))), v_lt(size, infinite));
    if (unit < 0x1p-50) *again = m_or(*again, m_and(v_eq(size, infinite), m_not(near)));
    return each_at_most(most, r, unit);
}
static double finish(int which, double A, const sums *s, const limits *own, int *again) {
    const eight_sums all = {vd_set1(A), vd_set1(s->P), vd_set1(s->Q), vd_set1(s->S), vd_set1(A)};
    md once_more;
    double r = first_lane(each_finished(which, &all, s->unit, own, &once_more));
    *again = m_any(once_more);
    return r;
}

/* The divergence whose square root `which` is, or itself. */
FD_INLINE int squared(int which) {
    switch (which) {
#define FD_ROOT(name, of)                                                                                                      \
    case FD_##name: return FD_##of;
#include "divergences.def"
    default: return which;
    }
}

FD_INLINE int symmetric(int which) {
    switch (which) {
#define FD_SYMMETRIC(name) case FD_##name:
#include "divergences.def"
        return 1;
    default: return 0;
    }
}

/* What one loop sums: a single divergence, or for COMPARED all that the fused comparison has, or the parts of one. */
static const int compared[] = {
#define FD_COMPARE(field, sum) FD_##sum,
#include "divergences.def"
};
static const int bhattacharyya_parts[] = {FD_squared_hellinger, FD_affinity};
static const int power_parts[] = {FD_power_excess, FD_power, FD_only_q, FD_only_p};
static const int entropy_power_parts[] = {FD_entropy_excess, FD_power, FD_only_q};
FD_INLINE int members(int which) {
    switch (which) {
    case COMPARED: return LENGTH(compared);
    case COMPARED_SHORT: return FD_COMPARE_tv + 1;
    case FD_bhattacharyya_distance: return LENGTH(bhattacharyya_parts);
    case POWERS: return LENGTH(power_parts);
    case ENTROPY_POWERS: return LENGTH(entropy_power_parts);
    default: return 1;
    }
}
FD_INLINE int member(int which, int i) {
    switch (which) {
    case COMPARED:
    case COMPARED_SHORT: return squared(compared[i]);
    case FD_bhattacharyya_distance: return bhattacharyya_parts[i];
    case POWERS: return power_parts[i];
    case ENTROPY_POWERS: return entropy_power_parts[i];
    default: return which;
    }
}
/* A probability that underflowed to 0 is no 0 to these. */
FD_INLINE int underflow_counts(int which) {
    return which == FD_power_excess || which == FD_entropy_excess || which == FD_power || which == FD_only_p || which == FD_only_q;
}
/* Terms of so many instructions that one vector keeps a processor busy, and several a compiler. */
FD_INLINE int is_long(int which) { return which == POWERS || which == ENTROPY_POWERS || which == FD_weighted_js_divergence; }
/* The sum of one of the rows, which is the same whatever the other one is. */
FD_INLINE int of_one_row(int which) { return which == FD_surprisal_p || which == FD_surprisal_q; }
/* q is the sum of the row, not its elements. */
FD_INLINE int is_entropy(int which) { return which == FD_cross_entropy || which == ENTROPY_POWERS; }

/* The sum of one row, that of all but its largest element apart. */
typedef struct { double largest, others, total, low; int invalid, zeros; } row_sum; /* total + low: more than total has room for */

/* What remains to be done with the sums of a set of terms. */
static double combined(int which, int source, double r, const sums *s) {
    if (which != FD_bhattacharyya_distance) return r;
    /* 1 - H^2, the affinity, is known from its own sum too: the better of both. */
    if (r <= 0.5 || isnan(r)) return -scalar_log1p(-r);
    if (source == FD_RAW) return r < 1.0 ? -scalar_log1p(-r) : INFINITY;
    if (s->A[1] < 0x1p-400) return NAN; /* renyi.inc.h has it */
    return -scalar_log(s->A[1] / (sqrt(s->P) * sqrt(s->Q)));
}

static void exchange(fd_row *p, fd_row *q, sums *s) {
    fd_row row = *p;
    *p = *q;
    *q = row;
    double sum = s->P;
    s->P = s->Q;
    s->Q = sum;
    s->S = -s->S;
}

/* The sums of a row while it is read. */
typedef struct { lanes A[FD_FUSED], P, Q, S; int invalid; } row_lanes;
FD_INLINE row_lanes row_zero(int which) {
    row_lanes r;
    FD_UNROLL for (int i = 0; i < members(which); i++) r.A[i] = lanes_zero();
    r.P = r.Q = r.S = lanes_zero();
    r.invalid = 0;
    return r;
}
FD_INLINE void row_put(int which, row_lanes *to, const row_lanes *r) { /* its sums alone */
    FD_UNROLL for (int i = 0; i < members(which); i++) to->A[i] = r->A[i];
    to->P = r->P;
    to->Q = r->Q;
    to->S = r->S;
    to->invalid = r->invalid;
}
FD_INLINE void row_join(int which, row_lanes *r, const row_lanes *more) {
    FD_UNROLL for (int i = 0; i < members(which); i++) lanes_join(&r->A[i], &more->A[i]);
    lanes_join(&r->P, &more->P);
    lanes_join(&r->Q, &more->Q);
    lanes_join(&r->S, &more->S);
    r->invalid |= more->invalid;
}
FD_INLINE eight_sums row_totals(int which, const row_lanes *const *r) {
    eight_sums s;
#define TOTALS(sum)                                                                                                            \
    (lanes_totals((const lanes *const[]){&r[0]->sum, &r[1]->sum, &r[2]->sum, &r[3]->sum, &r[4]->sum, &r[5]->sum, &r[6]->sum, &r[7]->sum}))
    s.A = TOTALS(A[0]);
    s.P = TOTALS(P);
    s.Q = TOTALS(Q);
    s.S = TOTALS(S);
    s.second = members(which) > 1 ? TOTALS(A[1]) : s.A;
#undef TOTALS
    return s;
}
FD_INLINE sums row_total(int which, const row_lanes *r, double unit) {
    sums s = {.unit = unit, .invalid = r->invalid};
    for (int i = 0; i < members(which); i++) s.A[i] = lanes_total(&r->A[i]);
    s.P = lanes_total(&r->P);
    s.Q = lanes_total(&r->Q);
    s.S = lanes_total(&r->S);
    return s;
}

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

/* Elementary functions of one double: lane 0 of the vector ones, so that they have the same bits everywhere. */
static double first_lane(vd x) {
    double lane[8];
    vd_store(lane, x);
    return lane[0];
}
static double scalar_exp(double x) { return first_lane(exp_double(vd_set1(x), vd_set1(0.0))); }
/* log(x + rest), where the rest is nothing beside x, and x is positive and normal. */
static double log_of_sum(double x, double rest) {
    vd low, high = log_pieces_double(vd_set1(x), vd_set1(1.0), vd_set1(x - 1.0), &low);
    return first_lane(high) + (first_lane(low) + rest / x);
}
static double scalar_log(double x) { /* x >= 0 */
    if (isinf(x)) return x;
    if (x < 0x1p-900) return x > 0.0 ? scalar_log(x * 0x1p200) - 200.0 * LN2 : -INFINITY;
    return log_of_sum(x, 0.0);
}
/* log(1 + x) - x = x^2 (PHI(x) - 1) / (1 + x), given 1 + x too, which x can't tell near -1. */
static double log1p_minus(double x, double one_plus_x) {
    if (x > -0.33 && x < 0.5) return x * x * (first_lane(phi_double(vd_set1(x))) - 1.0) / one_plus_x;
    return scalar_log(one_plus_x) - x;
}
static double scalar_log1p(double x) {
    if (x == 0.0) return x; /* with its sign, which the caller may turn */
    double whole = 1.0 + x, back = whole - 1.0;
    if (!(whole > 0x1p-900 && whole < INFINITY)) return scalar_log(whole);
    return log_of_sum(whole, (1.0 - (whole - back)) + (x - back));
}
static double scalar_expm1(double x) { /* x <= 1 */
    if (!(x > -1.0)) return scalar_exp(x) - 1.0;
    double square = x * x, psi = first_lane(psi_double(vd_set1(x))), more = square * psi, sum = x + more;
    return sum + (((x - sum) + more) + (fma(x, x, -square) * psi + fma(square, psi, -more)));
}

/* a - b >= 0 in exact arithmetic, where b is the square of the rounded rest of a scale: what rounding alone can make negative is 0;
 * anything else stays visible. */
static double nonnegative_difference(double a, double b, const sums *s) {
    double r = a - b, noise = 64.0 * s->unit;
    return r < 0.0 && r >= -noise * (a + noise) ? 0.0 : r;
}
/* Likewise for a bound from above. */
static double at_most(double bound, double x, const sums *s) { return x > bound && x <= bound * (1.0 + 64.0 * s->unit) ? bound : x; }

/* The same pair of rows the other way round. */
static sums exchanged(const sums *s) {
    sums r = *s;
    r.P = s->Q;
    r.Q = s->P;
    r.S = -s->S;
    return r;
}

static double finish_kl(double A, const sums *s, int *again) {
    double excess = -log1p_minus(-s->S / s->P, s->Q / s->P), r = nonnegative_difference(A / s->P, excess, s);
    *again = excess > 0.125 * r;
    return r;
}
static double finish_reverse_kl(double A, const sums *s, int *again) {
    sums r = exchanged(s);
    return finish_kl(A, &r, again);
}
static double finish_chi2(double A, const sums *s, int *again) {
    double shift = s->S / s->P, r = nonnegative_difference(A / s->P * (s->Q / s->P), shift * shift, s);
    *again = shift * shift > 0.125 * r;
    return r;
}
static double finish_neyman(double A, const sums *s, int *again) {
    sums r = exchanged(s);
    return finish_chi2(A, &r, again);
}
static double finish_squared_hellinger(double A, const sums *s, int *again) {
    double shift = s->S / (sqrt(s->P) + sqrt(s->Q)), both = 2.0 * sqrt(s->P) * sqrt(s->Q);
    double r = nonnegative_difference(2.0 * A / both, shift * shift / both, s);
    *again = shift * shift / both > 0.125 * r;
    return r;
}
/* With m = (P + Q) / 2 and e = S / 2m the rows are m (1 + e) and m (1 - e) times distributions, and 2A / (P + Q) is, as a function of e,
 * for Jensen-Shannon (f''(1) = 1/4)
 *     JS + e (KL(p|mean) - KL(q|mean)) / 2 + e^2 / 2 times the sum of 2pq / (p + q), and so on.
 * First order is at most |e| times the result, for JS is half of the sum of those two: 8u, half of what is promised, are left.  Second
 * order is 2 f''(1) e^2 but for a relative 2 JS at most, so subtracting that leaves e^2 times the result.  It is the same with the others. */
static double finish_balanced(double A, const sums *s, double curvature, int *again) {
    double shift = fabs(s->S) / (s->P + s->Q), excess = 2.0 * curvature * shift * shift;
    double r = nonnegative_difference(2.0 * A / (s->P + s->Q), excess, s);
    *again = shift > 8.0 * s->unit || excess > 0.125 * r;
    return r;
}
static double finish_js(double A, const sums *s, int *again) { return finish_balanced(A, s, 0.25, again); }
static double finish_jeffreys(double A, const sums *s, int *again) { return finish_balanced(A, s, 2.0, again); }
static double finish_triangular(double A, const sums *s, int *again) { return finish_balanced(A, s, 1.0, again); }
/* f''(1) depends on the weight: below 1/4, and nothing is subtracted. */
static double finish_weighted_js(double A, const sums *s, int *again) {
    double shift = fabs(s->S) / (s->P + s->Q), r = 2.0 * A / (s->P + s->Q);
    *again = shift > 8.0 * s->unit || 0.5 * shift * shift > 4.0 * s->unit * r;
    return r;
}
/* With the same m and e, |p - q| / 2m is off by no more than |e| (p + q) / 2m at every place: |e| in all.  That may be 12u of the result;
 * nothing cancels here, and rounding every difference and every sum needs less than the other 4u. */
static double finish_total_variation(double A, const sums *s, int *again) {
    double r = 2.0 * A / (s->P + s->Q);
    *again = fabs(s->S) / (s->P + s->Q) > 12.0 * s->unit * r;
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

static double finish(int which, double A, const sums *s, const limits *own, int *again) {
    double r = NAN, most = limit_at_0(which, own) + limit_at_infinity(which, own);
    int more = 0;
    switch (which) {
#define FD_DIVERGENCE(name, f0, f_inf, weights, logits, finish_it)                                                             \
    case FD_##name: r = finish_it(A, s, &more); break;
#include "divergences.def"
    }
    /* An infinite sum stays so, unless rows of very different sums made its terms overflow. */
    int overflow = isinf(A) && s->unit < 0x1p-50 && !(s->P < 2.0 * s->Q && s->Q < 2.0 * s->P);
    *again = ((more || isnan(r)) && s->S != 0.0 && isfinite(A)) || overflow;
    return at_most(most, r, s);
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
typedef struct { double largest, others, total; int invalid; } row_sum;

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
    *s = exchanged(s);
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
FD_INLINE void row_join(int which, row_lanes *r, const row_lanes *more) {
    FD_UNROLL for (int i = 0; i < members(which); i++) lanes_join(&r->A[i], &more->A[i]);
    lanes_join(&r->P, &more->P);
    lanes_join(&r->Q, &more->Q);
    lanes_join(&r->S, &more->S);
    r->invalid |= more->invalid;
}
FD_INLINE sums row_total(int which, const row_lanes *r) {
    sums s = {.invalid = r->invalid};
    for (int i = 0; i < members(which); i++) s.A[i] = lanes_total(&r->A[i]);
    s.P = lanes_total(&r->P);
    s.Q = lanes_total(&r->Q);
    s.S = lanes_total(&r->S);
    return s;
}

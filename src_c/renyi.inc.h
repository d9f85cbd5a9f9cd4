/* Families with a parameter, generators from outside, and Wasserstein's distance: always in double, by the row loop of reduce.inc.h.
 *
 * 1. The sums of both rows are known first, so that one pass compares p with (P/Q) q, P/Q as two numbers, and nothing is to be
 *    corrected afterwards.
 * 2. With beta = alpha - 1 and B = sum p (p/q)^beta: alpha (alpha - 1) A = B - 1 is a sum of terms of one sign, so log B keeps its
 *    digits near 1 as log1p; elsewhere B itself is taken, and where B leaves the doubles a second pass sums e^(beta x - shift).
 * 3. alpha < 1/2 is the pair the other way round with 1 - alpha, so that beta >= -1/2.
 */
#define IN_SOURCE(source, f)                                                                                                   \
    (source == FD_NORMALIZED ? f(FD_NORMALIZED) : source == FD_RAW ? f(FD_RAW) : f(FD_LOGITS))

/* A vector of pairs, with everything marked. */
FD_INLINE pair_double pair_at(int which, int source, const frame *f, const double *a, const double *b, int some) {
    int unused = 0;
    vd x = padded_double(source, a, some), y = padded_double(source, b, some);
    return source == FD_LOGITS ? logits_double(which, 1, f, x, y) : weights_double(which, source == FD_NORMALIZED, 1, f, x, y, &unused);
}
#define EACH_VECTOR(p, q)                                                                                                      \
    double buffer_p[BLOCK], buffer_q[BLOCK];                                                                                     \
    for (ptrdiff_t start = from; start < to; start += BLOCK)                                                                    \
        for (int count = to - start < BLOCK ? (int)(to - start) : BLOCK, i = 0, once = 1; once; once = 0)                        \
            for (const double *a = load_double(p, start, count, buffer_p), *b = load_double(q, start, count, buffer_q);        \
                 i < count; i += 8)

/* What the rounding of both sums leaves of sum (p - q), as a part of the sum of q: near-equal rows would feel it at every position. */
typedef struct { lanes difference, total; } drift_parts;
FD_INLINE drift_parts drift_over(int source, fd_row p, fd_row q, ptrdiff_t from, ptrdiff_t to, const frame *f) {
    drift_parts r = {lanes_zero(), lanes_zero()};
    EACH_VECTOR(p, q) {
        int some = count - i < 8 ? count - i : 8;
        pair_double o = pair_at(POWERS, source, f, a + i, b + i, some);
        lanes_add(&r.difference, vd_div(o.d, o.lift));
        lanes_add(&r.total, vd_div(o.q, o.lift));
    }
    return r;
}
static void drift_join(drift_parts *r, const drift_parts *more) {
    lanes_join(&r->difference, &more->difference);
    lanes_join(&r->total, &more->total);
}
FD_INLINE double drift_of(int source, fd_row p, fd_row q, ptrdiff_t n, const frame *f) {
    drift_parts r = {lanes_zero(), lanes_zero()}, part;
    BY_SEGMENTS(n, r, part, *into = drift_over(source, p, q, from, to, f), drift_join);
    return lanes_total(&r.difference) / lanes_total(&r.total);
}

/* Rows as they will be compared; nonzero `stop`: there is nothing to compare, and the status says why. */
static frame compared_rows(int source, fd_row *p, fd_row *q, ptrdiff_t n, int *status, int *stop) {
    frame f = {.scale = 1.0, .high = 1.0};
    *status = *stop = 0;
    if (source == FD_LOGITS) {
        log_sum_double s = log_sum_exp_double(*p, n), t = same_row(*p, *q) ? s : log_sum_exp_double(*q, n);
        *status = no_distribution(&s) | no_distribution(&t);
        *stop = *status || isnan(s.others) || isnan(t.others);
        if (!*stop) f = logits_frame(&s, &t);
        return f;
    }
    double scale;
    const int raw = source == FD_RAW;
    row_sum s = raw ? sum_row_double(*p, n, 1.0) : scaled_sum(p, n, &f.scale);
    row_sum t = raw ? sum_row_double(*q, n, 1.0) : scaled_sum(q, n, &scale);
    if (s.invalid || t.invalid) *status = FD_INVALID;
    if (source == FD_NORMALIZED && (s.total == 0.0 || t.total == 0.0)) *status = FD_INVALID;
    *stop = *status || isnan(s.total) || isnan(t.total);
    if (raw) return f;
    double ratio = s.total / t.total;
    int mass, exponent, more;
    frexp(s.total, &mass);
    frexp(scale, &exponent);
    frexp(ratio, &more);
    int higher = -SCALE_LIMIT - exponent - more; /* than where q cannot be lowered to p */
    if (higher < -mass) higher = -mass;          /* p sums to 1, so that only the result overflows */
    f.scale = ldexp(f.scale, higher);
    ratio = ldexp(ratio, higher);
    s.total = ldexp(s.total, higher);
    f.high = scale * ratio;
    f.low = scale * (fma(-ratio, t.total, s.total) / t.total);
    f.low += f.high * drift_of(source, *p, *q, n, &f);
    double sum = f.high + f.low; /* where p/q is not near 1 its logarithm has the first piece alone */
    f.low -= sum - f.high;
    f.high = sum;
    return f;
}

static sums powers_of_pair(int source, fd_row p, fd_row q, ptrdiff_t n, frame f) {
#define PASS(source) pass_double(POWERS, source, source == FD_NORMALIZED, p, q, n, f)
    return IN_SOURCE(source, PASS);
#undef PASS
}
static sums powers_of_row(int source, fd_row p, ptrdiff_t n, frame f) {
#define PASS(source) pass_double(ENTROPY_POWERS, source, source == FD_NORMALIZED, p, p, n, f)
    return IN_SOURCE(source, PASS);
#undef PASS
}

/* Where p, or p/q, or what a lift left of them, has no place among the doubles but by its logarithm.  The scale of an entropy's row comes
 * before its lift, and may have rounded what is so small. */
FD_INLINE md only_by_logarithms(int which, pair_double o) {
    md needs = needs_logarithms_double(o);
    if (which != ENTROPY_POWERS) return needs;
    return vd_m_or(needs, vd_m_or(vd_lt(vd_set1(1.0), o.lift), vd_lt(vd_set1(IMMENSE), o.p)));
}

/* The extremes of log(p/q) where both are positive; only_p, only_q: there are others. */
typedef struct { double least, most, power; int only_p, only_q; } extremes; /* power: of log p + beta x */
FD_INLINE extremes extremes_over(int which, int source, fd_row p, fd_row q, ptrdiff_t from, ptrdiff_t to, const frame *f) {
    vd least = vd_set1(INFINITY), most = vd_set1(-INFINITY), power = most;
    md only_p = vd_first(0), only_q = only_p;
    EACH_VECTOR(p, q) {
        int some = count - i < 8 ? count - i : 8;
        pair_double o = pair_at(which, source, f, a + i, b + i, some);
        md in = vd_first(some);
        vd low, one = vd_set1(1.0), zero = vd_set1(0.0);
        vd gone_p = vd_sel(o.no_p, one, zero), gone_q = vd_sel(o.no_q, one, zero);
        md here = vd_m_and(in, vd_eq(vd_add(gone_p, gone_q), zero));
        only_p = vd_m_or(only_p, vd_m_and(in, vd_lt(gone_p, gone_q)));
        only_q = vd_m_or(only_q, vd_m_and(in, vd_lt(gone_q, gone_p)));
        o.p = vd_sel(here, o.p, one);
        o.q = vd_sel(here, o.q, one);
        o.d = vd_sel(here, o.d, zero);
        o.lift = vd_sel(here, o.lift, one);
        o.log_p = vd_sel(here, o.log_p, one);
        o.log_q = vd_sel(here, o.log_q, one);
        vd x = source == FD_LOGITS ? o.x : log_pieces_double(o.p, o.q, o.d, &low);
        vd log_p = o.log_p;
        if (source != FD_LOGITS) {
            pair_double far = by_logarithms_double(f, o);
            x = vd_sel(only_by_logarithms(which, o), far.x, x);
            log_p = far.log_p;
        }
        vd y = vd_fma(vd_set1(f->beta), x, log_p);
        power = vd_max(vd_sel(here, y, power), power);
        least = vd_min(vd_sel(here, x, least), least);
        most = vd_max(vd_sel(here, x, most), most);
    }
    extremes r = {INFINITY, -INFINITY, -INFINITY, vd_m_any(only_p), vd_m_any(only_q)};
    double lane[8];
    vd_store(lane, least);
    for (int k = 0; k < 8; k++) r.least = lane[k] < r.least ? lane[k] : r.least;
    vd_store(lane, most);
    for (int k = 0; k < 8; k++) r.most = lane[k] > r.most ? lane[k] : r.most;
    vd_store(lane, power);
    for (int k = 0; k < 8; k++) r.power = lane[k] > r.power ? lane[k] : r.power;
    return r;
}
static void extremes_join(extremes *r, const extremes *more) {
    r->least = more->least < r->least ? more->least : r->least;
    r->most = more->most > r->most ? more->most : r->most;
    r->power = more->power > r->power ? more->power : r->power;
    r->only_p |= more->only_p;
    r->only_q |= more->only_q;
}
FD_INLINE extremes extremes_in(int which, int source, fd_row p, fd_row q, ptrdiff_t n, const frame *f) {
    extremes r = {INFINITY, -INFINITY, -INFINITY, 0, 0}, part;
    BY_SEGMENTS(n, r, part, *into = extremes_over(which, source, p, q, from, to, f), extremes_join);
    return r;
}
static extremes extremes_of_pair(int source, fd_row p, fd_row q, ptrdiff_t n, const frame *f) {
#define FIND(source) extremes_in(POWERS, source, p, q, n, f)
    return IN_SOURCE(source, FIND);
#undef FIND
}
static extremes extremes_of_row(int source, fd_row p, ptrdiff_t n, const frame *f) {
#define FIND(source) extremes_in(ENTROPY_POWERS, source, p, p, n, f)
    return IN_SOURCE(source, FIND);
#undef FIND
}

/* log(1 + excess), of which `whole` is another sum. */
static double log_of(double excess, double whole) { return fabs(excess) <= 0.5 ? scalar_log1p(excess) : scalar_log(whole); }

/* Of the largest summand: beside such a logarithm that of their number is nothing, and what its rounding left may be some hundreds. */
static int beyond_sums(double logarithm) { return fabs(logarithm) >= 0x1p60; }

static int alpha_family(int renyi, int source, fd_row p, fd_row q, ptrdiff_t n, double alpha, double *result) {
    int status, stop, swapped = alpha < 0.5;
    if (swapped) {
        fd_row row = p;
        p = q;
        q = row;
    }
    frame f = compared_rows(source, &p, &q, n, &status, &stop);
    *result = NAN;
    if (stop) return status;
    if (isinf(alpha)) { /* the largest or, below, the least log(p/q) */
        extremes x = extremes_of_pair(source, p, q, n, &f);
        double most = x.only_p ? INFINITY : x.most > 0.0 ? x.most : 0.0;
        *result = swapped && most > 0.0 ? -most : most;
        return status;
    }
    double beta = f.beta = swapped ? -alpha : alpha - 1.0, a = 1.0 + beta;
    sums s = powers_of_pair(source, p, q, n, f);
    int exponent = 0;
    const int raw = source == FD_RAW;
    if (raw && beta != 0.0 && !isfinite(beta * (s.A[0] + s.A[2]))) { /* weights of any size: their sums may be beyond doubles */
        exponent = 128;
        f.scale = f.high = ldexp(1.0, -exponent);
        source = FD_NORMALIZED; /* by these scales */
        s = powers_of_pair(source, p, q, n, f);
    }
    double mass = raw ? 1.0 : s.P;
    double excess = (s.A[0] + s.A[2]) / mass, whole = s.A[1] / mass, only_p = s.A[3] / mass;
    const int lone_p = s.A[3] > 0.0; /* even if that is nothing beside the mass */
    if (isnan(excess) && !isinf(whole)) return status;
    if (!renyi) {
        if (isnan(excess)) excess = INFINITY;
        double lost = lone_p ? (beta < 0.0 ? only_p * a / -beta : INFINITY) : 0.0;
        *result = ldexp((excess + lost) / a, exponent);
        return status;
    }
    if (!swapped && beta == 0.0) {
        *result = lone_p ? INFINITY : excess;
        return status;
    }
    /* 1 + moved is the sum of powers; in units of 2^exponent, but for the 1. */
    double moved = (beta == 0.0 ? 0.0 : beta * excess) - a * only_p, logarithm;
    if (beta > 0.0 && lone_p) {
        logarithm = INFINITY;
    } else if (raw ? !(moved < INFINITY) : isinf(excess) || isinf(whole) || whole < 0x1p-900) {
        double shift = f.power_shift = extremes_of_pair(source, p, q, n, &f).power;
        s = powers_of_pair(source, p, q, n, f);
        logarithm = beyond_sums(shift) ? shift : scalar_log(s.A[1] / mass) + (shift + exponent * LN2);
    } else if (fabs(moved) < 0x1p-60 && !swapped && exponent == 0) { /* its logarithm, and as many digits as it had before it was multiplied */
        *result = excess - only_p * (a / beta);
        return status;
    } else {
        double all = ldexp(moved, exponent);
        if (raw) whole = 1.0 + all;
        if (isinf(whole) && whole > 0.0) logarithm = scalar_log(moved) + exponent * LN2;
        else logarithm = whole > 0.0 ? log_of(all, whole) : -INFINITY;
    }
    *result = swapped ? (logarithm == 0.0 ? 0.0 : -logarithm / a) : logarithm / beta;
    return status;
}

/* Of all weights, whatever their size. */
static double log_of_weights(fd_row p, ptrdiff_t n) {
    double scale;
    row_sum s = scaled_sum(&p, n, &scale);
    return scalar_log(s.total) - (ilogb(scale) + (p.temperature != 0.0 ? ilogb(LARGER) : 0)) * LN2;
}
/* Far from both ends of the doubles. */
static int inside(double x) { return x > LOW && x < 1.0 / LOW; }

/* The sums of ENTROPY_POWERS where the plain ones have lost digits: weights that their scale, or whose powers a lift, takes out of the doubles,
 * and orders of which beta = alpha - 1 is rounded, as powers of what is small would feel by its logarithm.  A summand is
 * -(p^alpha - p) / beta, of probabilities; and where |beta x| is small, -p expm1(beta x) / beta. */
typedef struct { lanes excess, power, mass; int zeros; } order_sums;
FD_INLINE order_sums order_over(int source, fd_row p, ptrdiff_t from, ptrdiff_t to, const frame *f, double beta_low) {
    order_sums r = {lanes_zero(), lanes_zero(), lanes_zero(), 0};
    const vd zero = vd_set1(0.0), one = vd_set1(1.0), beta = vd_set1(f->beta);
    int exponent;
    frexp(f->beta, &exponent);
    /* Powers are taken by this power of two, 1 / |beta| or down to half of it: a summand may be a double where its power is none, or subnormal. */
    const double by = ldexp(1.0, fabs(f->beta) < 0x1p-20 ? 0 : -exponent), by_more = by < 1.0 ? by : 1.0;
    EACH_VECTOR(p, p) {
        int some = count - i < 8 ? count - i : 8;
        pair_double o = pair_at(ENTROPY_POWERS, source, f, a + i, b + i, some);
        md here = vd_m_and(vd_first(some), m_not(o.no_p)), far;
        vd x = o.x, x_low = o.x_low, log_p = o.log_p, log_p_low = o.log_p_low;
        r.zeros |= vd_m_any(vd_m_and(vd_first(some), o.no_p));
        if (source == FD_LOGITS) {
            far = vd_lt(o.p, vd_set1(LOW));
        } else {
            o.p = vd_sel(here, o.p, one);
            o.q = vd_sel(here, o.q, one);
            o.d = vd_sel(here, o.d, zero);
            o.log_p = vd_sel(here, o.log_p, one);
            o.log_q = vd_sel(here, o.log_q, one);
            far = only_by_logarithms(ENTROPY_POWERS, o);
            x = log_pieces_double(o.p, o.q, o.d, &x_low);
            if (vd_m_any(far)) {
                pair_double by_logs = by_logarithms_double(f, o);
                x = vd_sel(far, by_logs.x, x);
                x_low = vd_sel(far, by_logs.x_low, x_low);
                log_p = by_logs.log_p;
                log_p_low = by_logs.log_p_low;
            }
        }
        /* p is weight e^(above + rest) */
        vd weight = vd_sel(far, one, o.p), above = vd_sel(far, log_p, zero), rest = vd_sel(far, log_p_low, zero), less, more;
        vd mass = vd_div(o.p, o.lift);
        md tiny = vd_m_and(far, vd_lt(mass, vd_set1(LOW)));
        if (vd_m_any(tiny)) mass = vd_sel(tiny, times_exp_double(one, above, rest), mass);
        vd y = vd_mul(beta, x), y_low = vd_fma(beta, x, vd_sub(zero, y));
        y_low = vd_add(y_low, vd_fma(beta, x_low, vd_mul(vd_set1(beta_low), x)));
        vd slope = vd_mul(x, vd_fma(y, psi_double(y), one)); /* x expm1(y) / y */
        vd near = vd_mul(weight, slope);
        if (vd_m_any(far)) near = vd_sel(far, times_exp_double(slope, above, rest), near);
        vd sum = difference_double(y, vd_set1(f->power_shift), &less);
        sum = difference_double(sum, vd_sub(zero, above), &more);
        md large = vd_lt(one, mass);
        vd times = vd_sel(large, vd_set1(by_more), vd_set1(by));
        vd part = times_exp_double(vd_mul(weight, times), sum, vd_add(vd_add(y_low, less), vd_add(more, rest)));
        vd power = vd_mul(part, vd_sel(large, vd_set1(1.0 / by_more), vd_set1(1.0 / by)));
        vd left = vd_sel(large, vd_set1(1.0 / (by_more * f->beta)), vd_set1(1.0 / (by * f->beta)));
        vd lost = vd_mul(mass, times);
        if (vd_m_any(tiny)) lost = vd_sel(tiny, times_exp_double(times, above, rest), lost);
        vd apart = vd_mul(vd_sub(part, lost), left);
        vd term = vd_sub(zero, vd_sel(vd_le(vd_abs(y), one), near, apart));
        lanes_add(&r.excess, vd_sel(here, term, zero));
        lanes_add(&r.power, vd_sel(here, power, zero));
        lanes_add(&r.mass, vd_sel(here, mass, zero));
    }
    return r;
}
static void order_join(order_sums *r, const order_sums *more) {
    lanes_join(&r->excess, &more->excess);
    lanes_join(&r->power, &more->power);
    lanes_join(&r->mass, &more->mass);
    r->zeros |= more->zeros;
}
FD_INLINE sums order_in(int source, fd_row p, ptrdiff_t n, const frame *f, double beta_low) {
    order_sums r = {lanes_zero(), lanes_zero(), lanes_zero(), 0}, part;
    BY_SEGMENTS(n, r, part, *into = order_over(source, p, from, to, f, beta_low), order_join);
    return (sums){.A = {lanes_total(&r.excess), lanes_total(&r.power), r.zeros}, .P = lanes_total(&r.mass)};
}
static sums orders_of_row(int source, fd_row p, ptrdiff_t n, frame f, double beta_low) {
#define FIND(source) order_in(source, p, n, &f, beta_low)
    return IN_SOURCE(source, FIND);
#undef FIND
}

/* log of the sum of raw powers over that of the weights, where they are near to each other though neither need be a double; else NaN.
 * The powers are taken by e^-shift, the weights by a power of two. */
static double log_of_powers(fd_row p, ptrdiff_t n, frame f, double beta_low) {
    fd_row row = p;
    double scale;
    row_sum t = scaled_sum(&row, n, &scale);
    double exponent = -(ilogb(scale) + (row.temperature != 0.0 ? ilogb(LARGER) : 0));
    f.power_shift = exponent * LN2;
    double rest = -fma(exponent, LN2, -f.power_shift) - exponent * LN2_REST; /* that shift is no logarithm of a power of two */
    double ratio = orders_of_row(FD_RAW, p, n, f, beta_low).A[1] / t.total;
    return ratio > 0x1p-40 && ratio < 0x1p40 ? scalar_log(ratio) + rest : NAN;
}

static int entropy_family(int renyi, int source, fd_row p, ptrdiff_t n, double alpha, double *result) {
    frame f = {.scale = 1.0, .high = 1.0, .beta = alpha - 1.0};
    double beta = f.beta, top; /* log of the largest probability */
    const double moved = beta - alpha, beta_low = (alpha - (beta - moved)) - (1.0 + moved); /* what alpha - 1 has beside beta, exactly */
    int status = 0, stop, careful = beta_low != 0.0;
    *result = NAN;
    if (source == FD_LOGITS) {
        log_sum_double s = log_sum_exp_double(p, n);
        status = no_distribution(&s);
        stop = status || isnan(s.others);
        f.max_a = f.max_b = s.max;
        f.q.total = 1.0 + s.others;
        f.shift = scalar_log1p(s.others);
        top = -f.shift;
    } else {
        f.q = source == FD_RAW ? sum_row_double(p, n, 1.0) : scaled_sum(&p, n, &f.scale);
        f.high = f.scale;
        if (f.q.invalid || (source == FD_NORMALIZED && f.q.total == 0.0)) status = FD_INVALID;
        stop = status || isnan(f.q.total);
        top = source == FD_RAW ? scalar_log(f.q.largest) : -scalar_log1p(f.q.others / f.q.largest);
        careful |= f.scale != 1.0 || f.q.largest > IMMENSE;
        if (source == FD_RAW) f.q = (row_sum){.largest = -1.0, .total = 1.0};
    }
    if (stop) return status;
    if (isinf(alpha)) {
        extremes x = extremes_of_row(source, p, n, &f);
        *result = alpha > 0.0 ? (top == 0.0 ? 0.0 : -top) : x.only_q ? INFINITY : -x.least;
        return status;
    }
    sums s = careful ? orders_of_row(source, p, n, f, beta_low) : powers_of_row(source, p, n, f);
    if (!careful && s.A[0] != 0.0 && !inside(fabs(s.A[0]))) { /* or it would be in units of another size */
        if (source == FD_NORMALIZED) {
            int exponent;
            frexp(f.q.total, &exponent);
            f.scale = f.high = ldexp(1.0, -exponent);
            f.q = sum_row_double(p, n, f.scale);
        }
        careful = 1;
        s = orders_of_row(source, p, n, f, beta_low);
    }
    double mass = s.P, zeros = s.A[2];
    if (alpha < 0.0 && zeros > 0.0 && extremes_of_row(source, p, n, &f).only_q) { /* padding is no zero */
        *result = INFINITY;
    } else if (!renyi) {
        *result = s.A[0] / (source == FD_RAW ? 1.0 : mass);
        if (source == FD_RAW && isnan(*result)) { /* a weight whose logarithm is beyond the kernels: powers of small ones are more, or nothing */
            int small_ones = alpha < 0.0 && extremes_of_row(source, p, n, &f).power > top;
            *result = small_ones ? INFINITY : alpha < 0.0 ? mass / beta : -INFINITY;
        }
    } else if (source == FD_RAW && mass > 0.0 && !(inside(mass) && inside(s.A[1]) && inside(s.A[1] / mass))) {
        double logarithm = fabs(beta) < 0x1p-4 ? NAN : log_of_powers(p, n, f, beta_low);
        if (!isnan(logarithm)) {
            *result = logarithm == 0.0 ? 0.0 : -logarithm / beta;
            return status;
        }
        status = entropy_family(renyi, FD_NORMALIZED, p, n, alpha, result);
        *result -= log_of_weights(p, n);
    } else {
        double excess = -beta * (s.A[0] / mass), whole = s.A[1] / mass, logarithm;
        if (fabs(excess) < 0x1p-60) { /* its logarithm, and as many digits as it had before it was multiplied; or beta is 0 */
            *result = s.A[0] / mass;
            return status;
        }
        if (!(s.A[1] >= LOW && whole >= LOW && whole < INFINITY)) {
            f.power_shift = extremes_of_row(source, p, n, &f).power;
            s = orders_of_row(source, p, n, f, beta_low);
            logarithm = beyond_sums(f.power_shift) ? f.power_shift : scalar_log(s.A[1] / mass) + f.power_shift;
        } else {
            logarithm = log_of(excess, whole);
        }
        *result = logarithm == 0.0 ? 0.0 : -logarithm / beta;
    }
    return status;
}

/* q f(p/q), element by element. */
FD_INLINE double generated(int source, fd_row p, fd_row q, ptrdiff_t n, const frame *f, fd_generator g, double *mass) {
    const ptrdiff_t from = 0, to = n;
    lanes sum = lanes_zero(), total = lanes_zero();
    EACH_VECTOR(p, q) {
        int some = count - i < 8 ? count - i : 8;
        pair_double o = pair_at(POWERS, source, f, a + i, b + i, some);
        double x[8], y[8], ratio[8], term[8] = {0.0};
        vd zero = vd_set1(0.0), u = source == FD_LOGITS ? exp_double(o.x, zero) : vd_div(o.p, o.q);
        vd_store(ratio, vd_sel(o.no_p, zero, vd_sel(o.no_q, vd_set1(INFINITY), u)));
        vd weight_p = vd_div(o.p, o.lift), weight_q = vd_div(o.q, o.lift);
        md gone_p = vd_eq(weight_p, zero), gone_q = vd_eq(weight_q, zero);
        vd least_p = vd_sel(o.no_p, zero, vd_set1(NORMAL)), least_q = vd_sel(o.no_q, zero, vd_set1(NORMAL));
        vd_store(x, vd_sel(vd_m_and(gone_p, o.no_q), least_p, weight_p)); /* a limit is one however little it weighs */
        vd_store(y, vd_sel(vd_m_and(gone_q, o.no_p), least_q, weight_q));
        for (int k = 0; k < some; k++) {
            if (x[k] == 0.0 && y[k] == 0.0) continue;
            if (y[k] == 0.0 && isfinite(ratio[k])) { /* underflowed beside a ratio that has not */
                term[k] = x[k] * (g.f(ratio[k]) / ratio[k]);
                continue;
            }
            term[k] = ratio[k] == 0.0 ? y[k] * g.at_0 : isinf(ratio[k]) ? x[k] * g.at_inf : y[k] * g.f(ratio[k]);
        }
        lanes_add(&sum, vd_load(term));
        lanes_add(&total, vd_div(o.p, o.lift));
    }
    *mass = source == FD_RAW ? 1.0 : lanes_total(&total);
    return lanes_total(&sum);
}
static int generated_divergence(int source, fd_row p, fd_row q, ptrdiff_t n, fd_generator g, double *result) {
    int status, stop;
    frame f = compared_rows(source, &p, &q, n, &status, &stop);
    *result = NAN;
    if (stop) return status;
    double mass;
#define SUM(source) generated(source, p, q, n, &f, g, &mass)
    *result = IN_SOURCE(source, SUM) / mass;
#undef SUM
    return status;
}

/* The distance of the distribution functions: the sum of |sum of p - q so far| times the gap to the next position. */
FD_INLINE double area_between(int source, fd_row p, fd_row q, fd_row gaps, ptrdiff_t n, const frame *f, double *mass) {
    const ptrdiff_t from = 0, to = n;
    double drift = source == FD_LOGITS ? drift_of(source, p, q, n, f) : 0.0, high = 0.0, low = 0.0, area = 0.0, rest = 0.0;
    lanes total = lanes_zero();
    EACH_VECTOR(p, q) {
        int some = count - i < 8 ? count - i : 8;
        pair_double o = pair_at(POWERS, source, f, a + i, b + i, some);
        double d[8], gap[8];
        vd_store(d, vd_div(vd_fnma(vd_set1(drift), o.q, o.d), o.lift));
        lanes_add(&total, vd_div(o.p, o.lift));
        const double *to_next = load_double(gaps, start + i, some, gap);
        for (int k = 0; k < some; k++) {
            double sum = high + d[k], back = sum - high;
            low += (high - (sum - back)) + (d[k] - back);
            high = sum;
            double piece = fabs(high + low) * to_next[k], more = area + piece, part = more - area;
            rest += (area - (more - part)) + (piece - part);
            area = more;
        }
    }
    *mass = source == FD_RAW ? 1.0 : lanes_total(&total);
    return isfinite(area) ? area + rest : area;
}
static int wasserstein(int source, fd_row p, fd_row q, fd_row gaps, ptrdiff_t n, double *result) {
    int status, stop;
    frame f = compared_rows(source, &p, &q, n, &status, &stop);
    *result = NAN;
    if (stop) return status;
    double mass;
#define SUM(source) area_between(source, p, q, gaps, n, &f, &mass)
    *result = IN_SOURCE(source, SUM) / mass;
#undef SUM
    return status;
}

/* Jensen-Shannon of two normalised rows of doubles from sums that belong to single rows, so that a matrix of all pairs computes
 * them once per row and has one logarithm per coordinate left.
 *
 * 1. x = n p / P and y = n q / Q, whose mean is 1; m = (x + y) / 2.
 * 2. g(t) = t log t - t + 1 = t log t, but for what cancels in the end: g >= 0 is computed without cancellation, and is small near
 *    the mean.  E(x) = sum g(x) >= 0, n times the divergence of p from uniform.
 * 3. n JS = (E(x) + E(y)) / 2 - E(m).  The difference is what loses digits.
 *
 * The error.  g has a relative error of some units (math.inc.h), and so have its sums; m is rounded, which moves g(m) by u m |log m|.
 * So the error of n JS is below c u (E(x) + E(y) + sum m |log m|), and 16 u (1 + sqrt(2 / KL)) of the result are allowed: 16 u where
 * one of the rows has zeros, for then KL may be infinite however near they are.  n JS must be at least JS_LOSS of E(x) + E(y), with zeros
 * JS_LOSS_OF_ZEROS, and JS at least JS_LEAST.  Of 430,000 pairs of two to four numbers, each many times so that all roundings go one way,
 * bred for their errors, the worst had 0.75 of what is allowed.  A pair with less is left to the exact sum of reduce.inc.h.
 *
 * Zeros and subnormals need no care: g(0) is 1 by the same operations, and what a subnormal weighs is beyond the last digit of 1.
 * Rows with anything negative, infinite or NaN, or of a sum out of range, are left to the exact sum too.
 */
#define JS_LOSS 0.1875
#define JS_LOSS_OF_ZEROS 0.28125
#define JS_LEAST 0.078125

/* t = 2^k (1 + r) with 1 + r from sqrt(1/2) to sqrt(2). */
FD_INLINE vd excess(vd t) {
    vdi k = i_and(i_sub(v_bits(t), v_bits(C(0x1.6a09e667f3bcdp-1))), vdi_set1(-EXPONENT_ONE));
    vd r = v_sub(i_float(i_sub(v_bits(t), k)), C(1.0)), power = i_float(i_add(v_bits(C(1.0)), k));
    vd times = i_value(k), far = v_fma(v_mul(times, C(LN2_HIGH / EXPONENT_ONE)), t, v_sub(C(1.0), power));
    far = v_fma(v_mul(times, C(LN2_LOW / EXPONENT_ONE)), t, far); /* g is a tenth of k log2 t where k changes */
    return v_fma(v_mul(v_mul(power, r), r), POLYNOMIAL(EXCESS, r), far);
}

typedef struct { const double *a, *b; vd x, y; } means;
FD_INLINE vd excess_of_mean(const means *m, vd a, vd b) { return excess(v_add(v_mul(a, m->x), v_mul(b, m->y))); }
FD_INLINE vd excesses_1_double(means *m, int j) { return excess_of_mean(m, vd_load(m->a + j), vd_load(m->b + j)); }
FD_INLINE vd excesses_some_double(means *m, int j, int some) {
    return v_sel(vd_first(some), excess_of_mean(m, vd_loadn(m->a + j, some), vd_loadn(m->b + j, some)), C(0.0));
}
SUM_BY_HALVES(excesses, means)

/* E of the mean of two rows; that of a row with itself is its own. */
FD_INLINE double mean_excess(fd_row p, double half_p, fd_row q, double half_q, ptrdiff_t n) {
    double buffer_p[BLOCK], buffer_q[BLOCK];
    means m = {NULL, NULL, C(half_p), C(half_q)};
    lanes sum = lanes_zero();
    for (ptrdiff_t start = 0; start < n; start += BLOCK) {
        int count = n - start < BLOCK ? (int)(n - start) : BLOCK;
        m.a = load_double(p, start, count, buffer_p);
        m.b = load_double(q, start, count, buffer_q);
        excesses_double(&m, count, &sum);
    }
    return halved(v_add(sum.high, sum.low));
}

static int js_result(double E_p, double E_q, double E_m, ptrdiff_t n, double *result) {
    double both = fabs(E_p) + fabs(E_q), r = 0.5 * both - E_m, loss = E_p < 0.0 || E_q < 0.0 ? JS_LOSS_OF_ZEROS : JS_LOSS;
    *result = at_most(LN2, r / (double)n, UNIT);
    return r >= loss * both && r >= JS_LEAST * (double)n;
}

/* n / 2P, negative for a row with zeros, or 0 for a row that is left to the exact sum, as those are that may be shared. */
static double js_scale(fd_row row, ptrdiff_t n) {
    if (n > FD_SEGMENT) return 0.0;
    row_sum s = sum_row_double(row, n, 1.0);
    if (s.invalid || !(s.total < SUM_LIMIT && s.total > 1.0 / SUM_LIMIT)) return 0.0;
    double scale = 0.5 * (double)n / s.total;
    scale += (fma(-scale, s.total, 0.5 * (double)n) - scale * s.low) / s.total; /* what its rounding leaves is felt by all of x */
    return s.zeros ? -scale : scale;
}
static double own_excess(fd_row row, double scale, ptrdiff_t n) { return copysign(mean_excess(row, fabs(scale), row, fabs(scale), n), scale); }

static int js_exact(fd_row p, fd_row q, ptrdiff_t n, double parameter, double *result) {
    return divergence_double(FD_js_divergence, FD_NORMALIZED, p, q, n, parameter, result);
}

static int js_pair(fd_row p, fd_row q, ptrdiff_t n, double parameter, double *result) {
    double x = js_scale(p, n), y = js_scale(q, n);
    if (x != 0.0 && y != 0.0 &&
        js_result(own_excess(p, x, n), own_excess(q, y, n), mean_excess(p, fabs(x), q, fabs(y), n), n, result))
        return 0;
    return js_exact(p, q, n, parameter, result);
}

/* The same in parts: `half` is n p / 2P, and E(x) is returned, negative for a row with
 * zeros, or NaN for one that is left to the exact sum. */
static double js_prepare(fd_row row, ptrdiff_t n, double *half) {
    double scale = js_scale(row, n), buffer[BLOCK];
    if (scale == 0.0) return NAN;
    for (ptrdiff_t start = 0; start < n; start += BLOCK) {
        int count = n - start < BLOCK ? (int)(n - start) : BLOCK;
        const double *a = load_double(row, start, count, buffer);
        for (int i = 0; i < count; i++) half[start + i] = a[i] * fabs(scale);
    }
    fd_row own = {.data = (const char *)half, .stride = sizeof(double), .dtype = FD_float64};
    return own_excess(own, copysign(1.0, scale), n);
}

static int js_from_prepared(const double *p, const double *q, ptrdiff_t n, double E_p, double E_q, double *result) {
    fd_row x = {.data = (const char *)p, .stride = sizeof(double), .dtype = FD_float64}, y = x;
    y.data = (const char *)q;
    return js_result(E_p, E_q, mean_excess(x, 1.0, y, 1.0, n), n, result);
}

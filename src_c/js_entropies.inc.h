/* Jensen-Shannon of two normalised rows of doubles from sums that belong to single rows, so that a matrix of all pairs computes
 * them once per row and has one logarithm per coordinate left.
 *
 * 1. x = n p / P and y = n q / Q, whose mean is 1; m = (x + y) / 2.
 * 2. g(t) = t log t - t + 1 = t log t, but for what cancels in the end: g >= 0 is computed without cancellation, and is small near
 *    the mean.  E(x) = sum g(x) >= 0, n times the divergence of p from uniform.
 * 3. n JS = (E(x) + E(y)) / 2 - E(m).  The difference is what loses digits.
 *
 * The error.  g has a relative error of some units (math.inc.h), and so have its sums; m is rounded, which moves g(m) by u m |log m|.
 * So the error of n JS is below c u (E(x) + E(y) + sum m |log m|), and 16 u (1 + sqrt(2 / KL)) of the result are allowed.  Where
 * n JS is at least JS_LOSS of E(x) + E(y), and JS at least JS_LEAST, the worst of two million random pairs of 2 to 100,000 elements,
 * dense and sparse, flat and peaked, had 0.73 of that; of 250,000 pairs of two or three repeated numbers,
 * whose roundings are all the same, 0.85.  A pair with less is left to the exact sum of reduce.inc.h; so is, where JS is large, one with less
 * than JS_LARGE_LOSS: there KL is often infinite, and 16 u are all that is allowed.
 *
 * Zeros and subnormals need no care: g(0) is 1 by the same operations, and what a subnormal weighs is beyond the last digit of 1.
 * Rows with anything negative, infinite or NaN, or of a sum out of range, are left to the exact sum too.
 */
#define JS_LOSS 0.1875
#define JS_LARGE 0.4
#define JS_LARGE_LOSS 0.25
#define JS_LEAST 0.015625
#define JS_BLOCK (BLOCK / 2) /* four sums of four vectors: what is subtracted must be right to five roundings */

/* t = 2^k (1 + r) with 1 + r from sqrt(1/2) to sqrt(2). */
FD_INLINE vd excess(vd t) {
    vdi k = i_and(i_sub(v_bits(t), v_bits(C(0x1.6a09e667f3bcdp-1))), vdi_set1(-EXPONENT_ONE));
    vd r = v_sub(i_float(i_sub(v_bits(t), k)), C(1.0)), power = i_float(i_add(v_bits(C(1.0)), k));
    vd far = v_fma(v_mul(i_value(k), C(LN2 / EXPONENT_ONE)), t, v_sub(C(1.0), power));
    return v_fma(v_mul(v_mul(power, r), r), POLYNOMIAL(EXCESS, r), far);
}

/* E of the mean of two rows; that of a row with itself is its own. */
FD_INLINE double mean_excess(fd_row p, double half_p, fd_row q, double half_q, ptrdiff_t n) {
    double buffer_p[BLOCK], buffer_q[BLOCK];
    const vd x = C(half_p), y = C(half_q);
    lanes sum = lanes_zero();
    for (ptrdiff_t start = 0; start < n; start += BLOCK) {
        int count = n - start < BLOCK ? (int)(n - start) : BLOCK;
        const double *a = load_double(p, start, count, buffer_p), *b = load_double(q, start, count, buffer_q);
        for (int i = 0; i < count; i += JS_BLOCK, a += JS_BLOCK, b += JS_BLOCK) {
            int m = count - i < JS_BLOCK ? count - i : JS_BLOCK, j = 0;
            vd part[4] = {C(0.0), C(0.0), C(0.0), C(0.0)};
            for (; j + 32 <= m; j += 32)
                FD_UNROLL for (int k = 0; k < 4; k++)
                    part[k] = v_add(part[k], excess(v_add(v_mul(vd_load(a + j + 8 * k), x), v_mul(vd_load(b + j + 8 * k), y))));
            for (int k = 0; j < m; j += 8, k++) {
                int some = m - j < 8 ? m - j : 8;
                vd t = excess(v_add(v_mul(vd_loadn(a + j, some), x), v_mul(vd_loadn(b + j, some), y)));
                part[k] = v_add(part[k], v_sel(vd_first(some), t, C(0.0)));
            }
            lanes_add(&sum, v_add(v_add(part[0], part[2]), v_add(part[1], part[3])));
        }
    }
    return halved(v_add(sum.high, sum.low));
}

static int js_result(double E_p, double E_q, double E_m, ptrdiff_t n, double *result) {
    double both = E_p + E_q, r = 0.5 * both - E_m;
    *result = at_most(LN2, r / (double)n, UNIT);
    return r >= (r < JS_LARGE * (double)n ? JS_LOSS : JS_LARGE_LOSS) * both && r >= JS_LEAST * (double)n;
}

/* n / 2P, or 0 for a row that is left to the exact sum, as those are that may be shared. */
static double js_scale(fd_row row, ptrdiff_t n) {
    if (n > FD_SEGMENT) return 0.0;
    row_sum s = sum_row_double(row, n, 1.0);
    return !s.invalid && s.total < SUM_LIMIT && s.total > 1.0 / SUM_LIMIT ? 0.5 * (double)n / s.total : 0.0;
}

static int js_exact(fd_row p, fd_row q, ptrdiff_t n, double parameter, double *result) {
    return divergence_double(FD_js_divergence, FD_NORMALIZED, p, q, n, parameter, result);
}

static int js_pair(fd_row p, fd_row q, ptrdiff_t n, double parameter, double *result) {
    double x = js_scale(p, n), y = js_scale(q, n);
    if (x > 0.0 && y > 0.0 &&
        js_result(mean_excess(p, x, p, x, n), mean_excess(q, y, q, y, n), mean_excess(p, x, q, y, n), n, result))
        return 0;
    return js_exact(p, q, n, parameter, result);
}

/* The same in parts: `half` is n p / 2P, and E(x) is returned, or NaN for a row that is left to the exact sum. */
static double js_prepare(fd_row row, ptrdiff_t n, double *half) {
    double scale = js_scale(row, n), buffer[BLOCK];
    if (scale == 0.0) return NAN;
    for (ptrdiff_t start = 0; start < n; start += BLOCK) {
        int count = n - start < BLOCK ? (int)(n - start) : BLOCK;
        const double *a = load_double(row, start, count, buffer);
        for (int i = 0; i < count; i++) half[start + i] = a[i] * scale;
    }
    fd_row own = {.data = (const char *)half, .stride = sizeof(double), .dtype = FD_float64};
    return mean_excess(own, 1.0, own, 1.0, n);
}

static int js_from_prepared(const double *p, const double *q, ptrdiff_t n, double E_p, double E_q, double *result) {
    fd_row x = {.data = (const char *)p, .stride = sizeof(double), .dtype = FD_float64}, y = x;
    y.data = (const char *)q;
    return js_result(E_p, E_q, mean_excess(x, 1.0, y, 1.0, n), n, result);
}

/* Entropy, cross-entropy (entropy is a row's cross-entropy with itself) and llama.cpp's truncated divergence: sums over rows of any
 * dtype that are formed in double throughout, so no window is needed.
 *
 * weights, normalised  sum p log(Q/q) / P with every term >= 0.  Where q is nearly all of Q, Q - q is the sum of the others, which is
 *                      kept apart from the largest while summing (the larger of two stays in its lane, the smaller is added).
 * weights, raw         sum p log(1/q), as given.
 * logits               log1p(others of b) + sum p (max b - b): both >= 0.
 */
#define FOR_EACH_VECTOR(p, q, x, y, fill, ...)                                                                                 \
    do {                                                                                                                       \
        double buffer_p[LOAD], buffer_q[LOAD];                                                                                 \
        for (ptrdiff_t start = 0; start < n; start += LOAD) {                                                                  \
            int count = n - start < LOAD ? (int)(n - start) : LOAD;                                                            \
            const double *from_p = load_double(p, start, count, buffer_p), *from_q = load_double(q, start, count, buffer_q);   \
            for (int i = 0; i < count; i += 8) {                                                                               \
                int some = count - i < 8 ? count - i : 8;                                                                      \
                md in = vd_first(some);                                                                                        \
                vd x = vd_sel(in, vd_loadn(from_p + i, some), vd_set1(fill));                                                  \
                vd y = vd_sel(in, vd_loadn(from_q + i, some), vd_set1(fill));                                                  \
                __VA_ARGS__                                                                                                        \
            }                                                                                                                  \
        }                                                                                                                      \
    } while (0)

typedef struct {
    double largest, others;
    int invalid;
} row_sum;

static row_sum sum_row(fd_row row, ptrdiff_t n) {
    vd largest = vd_set1(0.0), least = largest;
    lanes others = lanes_zero();
    FOR_EACH_VECTOR(row, row, x, y, 0.0, {
        lanes_add(&others, vd_sel(vd_lt(y, largest), y, largest));
        lanes_add(&others, vd_sub(x, x)); /* 0, but NaN for NaN and infinity */
        largest = vd_max(x, largest);
        least = vd_min(x, least);
    });
    double high[8], low[8];
    vd_store(high, largest);
    vd_store(low, least);
    row_sum s = {high[0], lanes_total(&others), low[0] < 0.0};
    for (int k = 1; k < 8; k++) {
        s.others += high[k] < s.largest ? high[k] : s.largest;
        s.largest = high[k] > s.largest ? high[k] : s.largest;
        s.invalid |= low[k] < 0.0;
    }
    s.invalid |= isinf(s.largest);
    return s;
}

static int weights_entropy(int source, fd_row p, fd_row q, ptrdiff_t n, double *result) {
    row_sum sum_q = sum_row(q, n), sum_p = sum_row(p, n);
    double P = sum_p.largest + sum_p.others, Q = sum_q.largest + sum_q.others, unit = source == FD_RAW ? 1.0 : Q;
    *result = NAN;
    if (sum_p.invalid || sum_q.invalid) return FD_INVALID;
    if (isnan(P) || isnan(Q)) return 0;
    if (source == FD_NORMALIZED && (P == 0.0 || Q == 0.0)) return FD_INVALID;
    vd zero = vd_set1(0.0), one = vd_set1(1.0), total = vd_set1(unit), inverse = vd_set1(1.0 / unit);
    vd largest = vd_set1(source == FD_RAW ? -1.0 : sum_q.largest), others = vd_set1(sum_q.others);
    lanes sum = lanes_zero();
    FOR_EACH_VECTOR(p, q, x, y, 0.0, {
        md no_y = vd_eq(y, zero), tiny = vd_lt(y, vd_set1(0x1p-1000));
        vd d = vd_sel(vd_eq(y, largest), others, vd_sub(total, y));
        y = vd_sel(no_y, total, vd_mul(y, vd_sel(tiny, vd_set1(0x1p100), one)));
        d = vd_sel(no_y, zero, vd_sel(tiny, vd_sub(total, y), d));
        vd bits = vd_add(log_ratio_double(total, y, d, inverse), vd_sel(tiny, vd_set1(100.0 * LN2), zero));
        vd term = vd_sel(no_y, vd_mul(x, vd_set1(INFINITY)), vd_mul(x, bits));
        lanes_add(&sum, vd_sel(vd_eq(x, zero), zero, term));
    });
    double r = lanes_total(&sum);
    *result = source == FD_RAW ? r : r / P;
    return 0;
}

static log_sum_double log_sum_exp_any(fd_row row, ptrdiff_t n) {
    return row.dtype == FD_float64 ? log_sum_exp_double(row, n) : log_sum_exp_float(row, n);
}

static int logits_entropy(fd_row a, fd_row b, ptrdiff_t n, double *result) {
    log_sum_double s = log_sum_exp_any(a, n), t = log_sum_exp_any(b, n);
    int status = no_distribution(&s) | no_distribution(&t);
    *result = NAN;
    if (status || isnan(s.others) || isnan(t.others)) return status;
    vd zero = vd_set1(0.0), max_a = vd_set1(s.max), max_b = vd_set1(t.max), nothing = vd_set1(-INFINITY);
    lanes sum = lanes_zero();
    FOR_EACH_VECTOR(a, b, x, y, -INFINITY, {
        md no_x = vd_eq(x, nothing);
        x = vd_sel(no_x, max_a, x);
        vd low;
        vd high = difference_double(x, max_a, &low);
        lanes_add(&sum, vd_sel(no_x, zero, vd_mul(exp_double(high, low), vd_sub(max_b, y))));
    });
    *result = scalar_log1p(t.others) + lanes_total(&sum) / (1.0 + s.others);
    return 0;
}

/* sum of e^l (l - log q) over l > floor, the log-probabilities l as they are. */
static int truncated_kl(fd_row log_p, fd_row b, ptrdiff_t n, double floor, double *result) {
    log_sum_double t = log_sum_exp_any(b, n);
    *result = NAN;
    if (no_distribution(&t) || isnan(t.others)) return no_distribution(&t);
    vd zero = vd_set1(0.0), max_b = vd_set1(t.max), rest = vd_set1(scalar_log1p(t.others)), limit = vd_set1(floor);
    lanes sum = lanes_zero();
    FOR_EACH_VECTOR(log_p, b, x, y, -INFINITY, {
        md out = vd_le(x, limit);
        vd l = vd_sel(out, zero, x);
        vd log_ratio = vd_add(vd_add(l, vd_sub(max_b, y)), rest);
        lanes_add(&sum, vd_sel(out, zero, vd_mul(exp_double(l, zero), log_ratio)));
    });
    *result = lanes_total(&sum);
    return 0;
}
#undef FOR_EACH_VECTOR

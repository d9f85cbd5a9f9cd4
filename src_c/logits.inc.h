/* Rows of logits: log-sum-exp, and what is built on it.
 *
 * Block-online: the maximum m of a block of LOAD elements that has just come into the cache, then the sum of e^(a - m) over all that
 * is not m, with the number of those that are; one rescaling per block.  So log(sum) = M + log1p(others) is right to its last
 * bits even where one token has nearly all of the probability.
 */
typedef struct {
    double max, others; /* sum of e^(a - max) over all but one element equal to max */
    ptrdiff_t argmax;   /* the first one */
    int invalid;
} F(log_sum);

/* sum + e^(x - m) over TOGETHER vectors one after the other; `keep`, if there is one, gets each e^(x - m).  `has_max`: where x is not m,
 * and `different` counts those.  x - m is formed exactly, as two numbers: a difference that was rounded would be off by 2^-21 at -16, and
 * the same for all tokens of one value. */
FD_INLINE V F(add_exp)(int has_max, int together, const V *x, V m, V sum, T *keep, int *different) {
    V floor = C(-EXP_LIMIT), low[TOGETHER], high[TOGETHER], w[TOGETHER];
    M gone[TOGETHER];
    EACH(together) high[g] = F(difference)(x[g], m, &low[g]);
    EACH(together) gone[g] = v_lt(high[g], floor);
    EACH(together) high[g] = v_sel(gone[g], floor, high[g]);
    EACH(together) low[g] = v_sel(gone[g], C(0.0), low[g]); /* -inf has none */
    F(exp_below)(together, high, low, w);
    if (COMPUTES_DOUBLE) EACH(together) w[g] = v_sel(gone[g], C(0.0), w[g]); /* what is below float's window is dealt with later */
    if (keep) EACH(together) v_store(keep + g * N, w[g]);
    EACH(together) {
        M rest = v_ne(x[g], m);
        if (has_max) *different += m_count(rest);
        sum = has_max ? v_sel(rest, v_add(sum, w[g]), sum) : v_add(sum, w[g]);
    }
    return sum;
}

FD_INLINE V F(sum_exp_256)(int has_max, const T *a, int count, const char *next, V m, T *keep, int *different) {
    V sum = C(0.0), x[TOGETHER];
    int j = 0;
    for (; j + TOGETHER * N <= count; j += TOGETHER * N) {
        EACH(TOGETHER) __builtin_prefetch(next + (j + g * N) * sizeof(T));
        EACH(TOGETHER) x[g] = VNAME(load)(a + j + g * N);
        sum = F(add_exp)(has_max, TOGETHER, x, m, sum, keep ? keep + j : NULL, different);
    }
    for (; j < count; j += N) {
        int some = count - j < N ? count - j : N;
        *x = F(padded)(FD_LOGITS, a + j, some);
        sum = v_sel(VNAME(first)(some), F(add_exp)(has_max, 1, x, m, sum, keep ? keep + j : NULL, different), sum);
        if (has_max) *different -= N - some; /* padding is no element */
    }
    return sum;
}

/* With `keep` also e^(a - peak) of every element, and every block's peak. */
FD_INLINE F(log_sum) F(lse)(fd_row row, ptrdiff_t n, T *keep, T *peaks) {
    T buffer[LOAD];
    double max = -INFINITY, rest = 0.0, ties = 0.0;
    ptrdiff_t argmax = 0;
    int nan = 0;
    for (ptrdiff_t start = 0; start < n; start += LOAD) {
        int count = n - start < LOAD ? (int)(n - start) : LOAD, i;
        const T *a = F(load)(row, start, count, buffer);
        V most = C(-INFINITY), tops[LOAD / 256];
        M no_number = VNAME(first)(0);
        for (i = 0; i < count; i += 256) {
            int end = count - i < 256 ? count : i + 256, j = i;
            V top = C(-INFINITY), second = top;
            for (; j + 2 * N <= end; j += 2 * N) {
                V x = VNAME(load)(a + j), y = VNAME(load)(a + j + N);
                top = v_max(x, top);
                second = v_max(y, second);
                no_number = m_or(no_number, VNAME(unordered)(x, y));
            }
            for (; j < end; j += N) {
                V x = F(padded)(FD_LOGITS, a + j, end - j < N ? end - j : N);
                top = v_max(x, top);
                no_number = m_or(no_number, v_ne(x, x));
            }
            tops[i / 256] = v_max(second, top);
            most = v_max(tops[i / 256], most);
        }
        nan |= m_any(no_number); /* a NaN's payload would get lost in the exponent of e^NaN */
        T lane[N];
        v_store(lane, most);
        for (int half = N / 2; half > 0; half /= 2)
            for (int k = 0; k < half; k++) lane[k] = lane[k] > lane[k + half] ? lane[k] : lane[k + half];
        T peak = lane[0];
        if (isinf((double)peak)) {
            if (peak > 0) return (F(log_sum)){NAN, NAN, 0, FD_INVALID};
            if (keep) memset(keep + start, 0, (size_t)count * sizeof(T));
            if (keep) peaks[start / LOAD] = peak;
            continue;
        }
        if (keep) peaks[start / LOAD] = peak;
        /* The next block, or row, comes into the cache while this one is computed. */
        const char *next = (const char *)a + (a != buffer ? LOAD * sizeof(T) : 0);
        V m = C(peak);
        vd others = vd_set1(0.0);
        double block_ties = 0.0;
        for (i = 0; i < count; i += 256) {
            int some = count - i < 256 ? count - i : 256, has_max = m_any(v_eq(tops[i / 256], m)), different = 0;
            const char *ahead = next + i * sizeof(T);
            T *to = keep ? keep + start + i : NULL;
            V sum = has_max ? F(sum_exp_256)(1, a + i, some, ahead, m, to, &different) : F(sum_exp_256)(0, a + i, some, ahead, m, to, &different);
            block_ties += has_max ? some - different : 0;
            others = vd_add(others, F(folded)(sum)); /* at most LOAD / 256 of them, all positive */
        }
        double block_rest = halved(others);
        if ((double)peak > max) {
            for (i = 0; a[i] != peak; i++) continue;
            argmax = start + i;
            rest = block_rest + (ties > 0.0 ? (rest + ties) * scalar_exp(max - (double)peak) : 0.0);
            ties = block_ties;
            max = (double)peak;
        } else if ((double)peak == max) {
            rest += block_rest;
            ties += block_ties;
        } else {
            rest += (block_rest + block_ties) * scalar_exp((double)peak - max);
        }
    }
    if (nan) return (F(log_sum)){NAN, NAN, 0, 0};
    if (ties == 0.0) return (F(log_sum)){-INFINITY, 0.0, 0, 0};
    return (F(log_sum)){max, rest + (ties - 1.0), argmax, 0};
}

/* What one token leaves to all others together is double's where float has no such numbers. */
#if COMPUTES_DOUBLE
static log_sum_double log_sum_exp_double(fd_row row, ptrdiff_t n) { return lse_double(row, n, NULL, NULL); }
#else
static log_sum_double log_sum_exp_float(fd_row row, ptrdiff_t n) {
    log_sum_float s = lse_float(row, n, NULL, NULL);
    if (s.others < 0x1p-60) return log_sum_exp_double(row, n);
    return (log_sum_double){s.max, s.others, s.argmax, s.invalid};
}
#endif

#if COMPUTES_DOUBLE
/* A row without any weight (all -inf), or with infinite weight, is no distribution. */
static int no_distribution(const log_sum_double *s) { return s->invalid || isinf(s->max) ? FD_INVALID : 0; }
#endif

static int F(row_log_sum_exp)(fd_row row, ptrdiff_t n, double *result) {
    log_sum_double s = F(log_sum_exp)(row, n);
    *result = s.max + scalar_log1p(s.others);
    return s.invalid;
}

/* M - a >= 0 and log1p(others) >= 0: nothing cancels. */
static double F(nll)(const log_sum_double *s, fd_row row, ptrdiff_t n, int64_t label) {
    if (label < 0 || label >= n) return 0.0;
    T buffer[1];
    return (s->max - (double)*F(load)(row, (ptrdiff_t)label, 1, buffer)) + scalar_log1p(s->others);
}

static int F(row_token_nll)(fd_row row, ptrdiff_t n, int64_t label, double *result) {
    *result = 0.0;
    if (label < 0 || label >= n) return 0;
    log_sum_double s = F(log_sum_exp)(row, n);
    int status = no_distribution(&s);
    *result = status ? NAN : F(nll)(&s, row, n, label);
    return status;
}

#if COMPUTES_DOUBLE
/* lse a - lse b as two numbers; each part keeps its own digits, so that the most probable token has its own difference too. */
static frame logits_frame(const log_sum_double *s, const log_sum_double *t) {
    double ratio = (1.0 + s->others) / (1.0 + t->others), excess = (s->others - t->others) / (1.0 + t->others);
    double shift = s->max - t->max, back = shift - s->max, low = (s->max - (shift - back)) - (t->max + back);
    low += excess > -0.33 && excess < 0.5 ? scalar_log1p(excess) : scalar_log(ratio);
    return (frame){.max_a = s->max, .max_b = t->max, .ratio = ratio, .shift = shift, .shift_low = low};
}
#endif

/* Whether a has the less of the first two elements that differ: an order of rows whose sums are the same. */
static int F(first_less)(fd_row a, fd_row b, ptrdiff_t n) {
    T buffer_a[LOAD], buffer_b[LOAD];
    for (ptrdiff_t start = 0; start < n; start += LOAD) {
        int count = n - start < LOAD ? (int)(n - start) : LOAD;
        const T *x = F(load)(a, start, count, buffer_a), *y = F(load)(b, start, count, buffer_b);
        for (int i = 0; i < count; i++)
            if (x[i] != y[i]) return x[i] < y[i];
    }
    return 0;
}

/* The divergence of two rows of which s and t are the sums. */
FD_INLINE int F(divergence_given)(int which, log_sum_double s, log_sum_double t, fd_row a, fd_row b, ptrdiff_t n, double parameter,
                                  double *result) {
    int tie = s.max == t.max && s.others == t.others, again;
    if (symmetric(which) && (s.max < t.max || (s.max == t.max && s.others < t.others) || (tie && F(first_less)(a, b, n)))) {
        log_sum_double lse = s;
        fd_row row = a;
        s = t, t = lse;
        a = b, b = row;
    }
    frame f = logits_frame(&s, &t);
    f.parameter = parameter;
    if (which == FD_weighted_js_divergence) f.own = weighted_js_limits(parameter);
    sums total = F(pass)(which, FD_LOGITS, 0, a, b, n, f);
    *result = combined(which, FD_LOGITS, finish(member(which, 0), total.A[0], &total, &f.own, &again), &total);
    return 0;
}

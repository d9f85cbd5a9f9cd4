/* Rows of logits: log-sum-exp, and what is built on it.
 *
 * One loop over what has just come into the cache: the sum of e^(a - reference), as squares of e^((a - reference) / 2), with the largest
 * and the least element.  The reference is the peak of the first 256 elements that have one, and of any later 256 that rise too far
 * above it; e^reference is a power of two unless it is far from 0, so that a - reference is never rounded.  The 256 elements that have
 * the row's maximum are summed without it: log(sum) = M + log1p(others) is right to its last bits even where one token has nearly all
 * of the probability.
 */
typedef struct {
    double max, others; /* sum of e^(a - max) over all but one element equal to max */
    ptrdiff_t argmax;   /* the first one */
    int invalid;
} F(log_sum);

#if COMPUTES_DOUBLE
typedef struct { double from, exponent; } reference; /* from + 2 exponent log2; one of both is 0 */
/* e^(a - b), of an exponent in two pieces: a difference of some hundreds that was rounded would be felt. */
static double exp_between(reference a, reference b) {
    double from = a.from - b.from, back = from - a.from, low = (a.from - (from - back)) - (b.from + back);
    double exponent = a.exponent - b.exponent, powers = exponent * (2.0 * LN2_HIGH), high = from + powers;
    back = high - from;
    low += (from - (high - back)) + (powers - back) + exponent * (2.0 * LN2_LOW);
    return first_lane(exp_double(vd_set1(high), vd_set1(isfinite(high) ? low : 0.0)));
}
#endif
static reference F(reference_of)(double peak) {
    return fabs(peak) <= NEAR_0 ? (reference){0.0, rint(peak * (0.5 / LN2))} : (reference){peak, 0.0};
}

/* What the loop over 256 elements finds out. */
typedef struct { V sums[4], top, least; int ties; } F(found);
FD_INLINE V F(sum_found)(const F(found) *f) { return v_add(v_add(f->sums[0], f->sums[2]), v_add(f->sums[1], f->sums[3])); }

/* `without_max`: what is `max` is counted, not summed.  `keep`, if there is one, gets the roots of what is summed; or what it has
 * is multiplied by them (`times`). */
FD_INLINE void F(add_exp)(int without_max, int times, int together, const V *x, V max, V floor, V from, V exponent, T *keep, F(found) *f, V *sums) {
    V y[TOGETHER], w[TOGETHER], t[TOGETHER];
    EACH(together) f->top = v_max(x[g], f->top);
    EACH(together) f->least = v_min(x[g], f->least);
    EACH(together) y[g] = v_max(floor, v_sub(x[g], from)); /* or NaN */
    F(scaled_exp)(1, together, y, exponent, w, t);
    if (keep) EACH(together) v_store(keep + g * N, times ? v_mul(w[g], VNAME(load)(keep + g * N)) : w[g]);
    EACH(together) {
        M summed = v_ne(x[g], max);
        if (without_max) f->ties += N - m_count(summed);
        sums[g] = without_max ? v_sel(summed, v_fma(w[g], w[g], sums[g]), sums[g]) : v_fma(w[g], w[g], sums[g]);
    }
}

FD_INLINE F(found) F(sum_exp)(int without_max, int times, const T *a, int count, T max, reference r, T *keep) {
    /* Below the floor the square of the root is 0, and the root a normal number. */
    const V floor = C(r.exponent * (2.0 * LN2) - 2.0 * EXP_LIMIT), from = C(r.from), exponent = C(r.exponent);
    F(found) f = {{C(0.0), C(0.0), C(0.0), C(0.0)}, C(-INFINITY), C(INFINITY), 0};
    V x[TOGETHER], m = VNAME(set1)(max);
    int j = 0;
    for (; j + FOUR <= count; j += FOUR)
        FD_UNROLL for (int k = 0; k < 4; k += TOGETHER) {
            EACH(TOGETHER) __builtin_prefetch((const char *)(a + j + (k + g) * N) + 2 * PREFETCH);
            EACH(TOGETHER) x[g] = VNAME(load)(a + j + (k + g) * N);
            F(add_exp)(without_max, times, TOGETHER, x, m, floor, from, exponent, keep ? keep + j + k * N : NULL, &f, f.sums + k);
        }
    for (int k = 0; j < count; j += N, k++) {
        int some = count - j < N ? count - j : N;
        M in = VNAME(first)(some);
        V sum = f.sums[k];
        *x = v_sel(in, VNAME(loadn)(a + j, some), VNAME(set1)(a[0])); /* padding is no other element */
        F(add_exp)(without_max, times, 1, x, m, floor, from, exponent, keep ? keep + j : NULL, &f, f.sums + k);
        f.sums[k] = v_sel(in, f.sums[k], sum);
        if (without_max && a[0] == max) f.ties -= N - some;
    }
    return f;
}

static T F(largest_lane)(V x) {
    T lane[N];
    v_store(lane, x);
    for (int half = N / 2; half > 0; half /= 2)
        for (int k = 0; k < half; k++) lane[k] = lane[k] > lane[k + half] ? lane[k] : lane[k + half];
    return lane[0];
}

/* The sum with that of elements that no longer have the maximum. */
static lanes F(retired)(lanes rest, vd sum, double ties, double max, reference r) {
    lanes_add(&rest, sum);
    if (ties > 0.0) lanes_add(&rest, vd_set1(0.125 * ties * exp_between((reference){max, 0.0}, r)));
    return rest;
}

static T F(peak)(const T *a, int count) {
    V top = C(-INFINITY);
    for (int j = 0; j < count; j += N) top = v_max(F(padded)(FD_LOGITS, a + j, count - j < N ? count - j : N), top);
    return F(largest_lane)(top);
}

/* The first place of x among the elements. */
static int F(index_of)(const T *a, int count, T x) {
    const V all = VNAME(set1)(x);
    int j = 0;
    while (j + N <= count && !m_any(v_eq(VNAME(load)(a + j), all))) j += N;
    while (j < count && a[j] != x) j++;
    return j;
}

/* With `keep` also e^((a - reference) / 2) of every element, or with `times` what was there times that; and the reference of every 256:
 * its exponent is infinite where they need care. */
FD_INLINE F(log_sum) F(lse_over)(fd_row row, ptrdiff_t from, ptrdiff_t to, int times, T *keep, reference *references) {
    T buffer[BLOCK], max = (T)-INFINITY;
    reference r = {0.0, 0.0};
    double limit = -INFINITY, ties = 0.0;
    lanes rest = lanes_zero();
    vd pending = vd_set1(0.0); /* the sum of the 256 elements at `at`, which have the maximum; with ties, without it */
    ptrdiff_t at = from;
    for (ptrdiff_t start = from; start < to; start += BLOCK) {
        int count = to - start < BLOCK ? (int)(to - start) : BLOCK;
        const T *a = F(load)(row, start, count, buffer);
        const int first = limit == -INFINITY;
        T *roots = keep ? keep + start : NULL;
        F(found) f = {.ties = 0};
        if (!first) f = F(sum_exp)(0, times, a, count, max, r, roots);
        T top = first ? F(peak)(a, count) : m_any(v_lt(VNAME(set1)(max), f.top)) ? F(largest_lane)(f.top) : max;
        if (top == (T)INFINITY) return (F(log_sum)){NAN, NAN, 0, FD_INVALID};
        if (top > max) rest = F(retired)(rest, pending, ties, (double)max, r);
        int again = !first && (double)top > limit;
        if (first || again) {
            reference before = r;
            limit = (double)top + HEADROOM;
            r = F(reference_of)(first && limit == -INFINITY ? 0.0 : (double)top);
            f = F(sum_exp)(1, times, a, count, top, r, roots);
            if (again) {
                vd fall = vd_set1(exp_between(before, r));
                rest = (lanes){vd_mul(rest.high, fall), vd_mul(rest.low, fall)};
            }
        }
        if (top > max) {
            max = top;
            at = start;
            pending = F(folded)(F(sum_found)(&f));
            ties = f.ties;
        } else {
            F(flush)(&rest, F(sum_found)(&f));
        }
        if (keep) {
            references[start / BLOCK] = r;
            if ((times && again) || m_any(v_le(f.least, C(limit - HEADROOM - WINDOW)))) references[start / BLOCK].exponent = INFINITY;
        }
    }
    if (max == (T)-INFINITY) {
        lanes_add(&rest, pending);
        return isnan(lanes_total(&rest)) ? (F(log_sum)){NAN, NAN, 0, 0} : (F(log_sum)){-INFINITY, 0.0, 0, 0};
    }
    int some = to - at < BLOCK ? (int)(to - at) : BLOCK;
    const T *a = F(load)(row, at, some, buffer);
    if (ties == 0.0) {
        F(found) f = F(sum_exp)(1, 0, a, some, max, r, NULL);
        pending = F(folded)(F(sum_found)(&f));
        ties = f.ties;
    }
    lanes_add(&rest, pending);
    double sum = lanes_total(&rest);
    if (isnan(sum)) return (F(log_sum)){NAN, NAN, 0, 0};
    ptrdiff_t argmax = at + F(index_of)(a, some, max);
    return (F(log_sum)){(double)max, sum * exp_between(r, (reference){(double)max, 0.0}) + (ties - 1.0), argmax, 0};
}

static void F(lse_join)(F(log_sum) *whole, const F(log_sum) *part, double *low) {
    if (whole->invalid || (!part->invalid && (isnan(whole->others) || part->max == -INFINITY))) return;
    if (part->invalid || isnan(part->others) || whole->max == -INFINITY) {
        *whole = *part;
        return;
    }
    double more = part->others, rest = 0.0;
    if (part->max > whole->max) {
        double fall = exp_between((reference){whole->max, 0.0}, (reference){part->max, 0.0});
        more = fma(whole->others, fall, fall);
        rest = *low * fall;
        *whole = *part;
        *low = 0.0;
    } else {
        double fall = exp_between((reference){part->max, 0.0}, (reference){whole->max, 0.0});
        more = fma(more, fall, fall);
    }
    *low += rest + add_kept(&whole->others, more);
}

FD_INLINE F(log_sum) F(lse)(fd_row row, ptrdiff_t n, int times, T *keep, reference *references) {
    F(log_sum) whole = {-INFINITY, 0.0, 0, 0}, part;
    double low = 0.0; /* the rest of what others are there */
#define JOIN(whole, part) F(lse_join)(whole, part, &low)
    BY_SEGMENTS(n, whole, part, *into = F(lse_over)(row, from, to, times, keep, references), JOIN);
#undef JOIN
    whole.others += low;
    return whole;
}

/* What one token leaves to all others together is double's where float has no such numbers. */
#if COMPUTES_DOUBLE
static log_sum_double log_sum_exp_double(fd_row row, ptrdiff_t n) { return lse_double(row, n, 0, NULL, NULL); }
#else
static log_sum_double log_sum_exp_float(fd_row row, ptrdiff_t n) {
    log_sum_float s = lse_float(row, n, 0, NULL, NULL);
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
/* What rounding left of the difference of both sums, which differences of near rows feel at every place, is known from a loop over them. */
static frame moved_frame(frame f, const sums *s) {
    double more = s->S / s->Q;
    f.ratio *= 1.0 + more;
    f.shift_low += scalar_log1p(more);
    return f;
}
#define MOVES 3 /* each leaves a 2^-50th of the difference */
#define NEAREST 0x1p-50 /* a divergence of rows whose difference float's sums know no longer */
#endif

/* Whether a has the less of the first two elements that differ: an order of rows whose sums are the same. */
static int F(first_less)(fd_row a, fd_row b, ptrdiff_t n) {
    T buffer_a[BLOCK], buffer_b[BLOCK];
    for (ptrdiff_t start = 0; start < n; start += BLOCK) {
        int count = n - start < BLOCK ? (int)(n - start) : BLOCK;
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
    double r = finish(member(which, 0), total.A[0], &total, &f.own, &again);
#if COMPUTES_DOUBLE
    for (int tries = 0; which == FD_total_variation && again && tries < MOVES; tries++) {
        f = moved_frame(f, &total);
        total = F(pass)(which, FD_LOGITS, 0, a, b, n, f);
        r = finish(member(which, 0), total.A[0], &total, &f.own, &again);
    }
#else
    if (which != FD_total_variation && r > 0.0 && r < NEAREST) return in_double(which, FD_LOGITS)(a, b, n, parameter, result);
#endif
    *result = combined(which, FD_LOGITS, r, &total);
    return 0;
}

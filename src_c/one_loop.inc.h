/* The Kullback-Leibler divergence of logits in one loop over both rows, with one exponential for a token.
 *
 * For any c let y = (a - b) - c, and over all tokens
 *     Z = sum e^a    W = sum e^a y    S = sum e^a (e^-y - 1 + y) >= 0    t = (S - W) / Z
 * Then lse a - lse b = c - log(1 + t) and KL = S / Z - (t - log(1 + t)), both parts of which are >= 0.  No more than a few bits cancel where
 * t^2 <= KL, that is where c is not further from its best than the rows from each other.  It is that of the first 256 tokens, and is
 * mended on the way; to c + d, with E = e^d - 1,
 *     W becomes W - d Z    S becomes S + E (S - W) + Z (E - d)
 * Sums are of e^(a - reference), as in logits.inc.h.  Where |y| > FAR the term is e^(b + c) + e^a (y - 1); such tokens are gathered and
 * added up when there are enough of them, as in fused.inc.h.
 *
 * Rows with tokens of no weight, with peaks that rise beyond what floats hold, or nearer to each other than their smallest weights, are left
 * to the loops that can do anything.
 */
#define FAR 2.0
#define MEND 2048 /* tokens after which c is mended first */
#define FAR_BIT ((int64_t)1 << (8 * sizeof(T) - 2)) /* set where a number is FAR or more, or none; below it are the bits of its size */

#if COMPUTES_DOUBLE
typedef int64_t integer_double;
typedef int32_t integer_float;
typedef struct { double Z, W, S, Z_low, W_low, S_low, c; reference r; int lost, differ; } shifted_sums;
/* To another c; the least that what comes out of it may be, if no more than two bits are to be lost. */
static double move_to(shifted_sums *s, double c) {
    double d = c - s->c, E = d <= 1.0 ? scalar_expm1(d) : scalar_exp(d) - 1.0;
    double more = fabs(d) <= 1.0 ? d * d * first_lane(psi_double(vd_set1(d))) : E - d;
    double summands = s->S + fabs(E) * (s->S + fabs(s->W));
    s->S = fma(E, s->S - s->W, fma(s->Z, more, s->S));
    s->W = fma(-d, s->Z, s->W);
    s->c = c;
    return 0.25 * summands;
}
static void join_shifted(shifted_sums *whole, shifted_sums *part) {
    whole->lost |= part->lost;
    whole->differ |= part->differ;
    if (whole->lost) return;
    if (whole->Z == 0.0) {
        *whole = *part;
        return;
    }
    double scale = exp_between(part->r, whole->r);
    move_to(part, whole->c);
    whole->Z_low += add_kept(&whole->Z, part->Z * scale);
    whole->W_low += add_kept(&whole->W, part->W * scale);
    whole->S_low += add_kept(&whole->S, part->S * scale);
}
static double offset_of(const shifted_sums *s) {
    return ((s->S - s->W) + (s->S_low - s->W_low)) / (s->Z + s->Z_low);
}
#endif

/* c as a sum of two T, without rest. */
static double F(two_pieces)(double c) { return (double)(T)c + (double)(T)(c - (double)(T)c); }

typedef struct { lanes Z, W, S; } F(three_lanes);
typedef struct { V Z, W, S; } F(three);
typedef struct { V least, most; /* exponents */ INTEGERS y; /* all bits that are in any */ } F(seen);
#define NO_TOKENS {C(0.0), C(0.0), C(0.0)}
FD_INLINE void F(three_flush)(F(three_lanes) *to, const F(three) *s) {
    F(flush)(&to->Z, s->Z);
    F(flush)(&to->W, s->W);
    F(flush)(&to->S, s->S);
}

/* e^(a - reference) where T has such a number, which `exponents` tell. */
FD_INLINE void F(within)(int together, const shifted_sums *at, const V *a, V *w, V *exponents) {
    V x[TOGETHER];
    EACH(together) x[g] = v_sub(a[g], C(at->r.from));
    F(scaled_exp)(0, together, x, C(2.0 * at->r.exponent), w, exponents);
}

/* `some`: only those that are `in`. */
FD_INLINE void F(token_add)(int together, int first, int some, M in, const V *a, const V *b, const shifted_sums *at, F(three) *s, F(seen) *seen,
                            F(distant) *far) {
    V p[TOGETHER], y[TOGETHER], w[TOGETHER], exponent[TOGETHER];
    EACH(together) y[g] = F(difference_beyond)(a[g], b[g], at->c, 0.0);
    F(within)(together, at, a, p, exponent);
    if (some) {
        *p = v_sel(in, *p, C(0.0));
        *y = v_sel(in, *y, C(0.0));
        *exponent = v_sel(in, *exponent, C(MAGIC + EXPONENT_BIAS));
    }
    EACH(together) seen->least = v_min(exponent[g], seen->least);
    EACH(together) seen->most = v_max(exponent[g], seen->most);
    EACH(together) seen->y = i_or(v_bits(y[g]), seen->y);
    if (far) EACH(together) {
        M is_far = v_le(C(FAR), v_abs(y[g]));
        VNAME(compress)(far->a + far->count, is_far, a[g]);
        VNAME(compress)(far->b + far->count, is_far, b[g]);
        far->count += m_count(is_far);
        y[g] = v_sel(is_far, C(0.0), y[g]);
    }
    F(polynomials)(together, F(NEAR_KL), LENGTH(F(NEAR_KL)) - 1, y, w);
    EACH(together) s->Z = first && g == 0 ? p[g] : v_add(s->Z, p[g]);
    EACH(together) p[g] = v_mul(p[g], y[g]);
    EACH(together) s->W = first && g == 0 ? p[g] : v_add(s->W, p[g]);
    EACH(together) p[g] = v_mul(p[g], y[g]);
    EACH(together) s->S = first && g == 0 ? v_mul(p[g], w[g]) : v_fma(p[g], w[g], s->S);
}

FD_INLINE void F(three_join)(F(three) *s, const F(three) *more) {
    s->Z = v_add(s->Z, more->Z);
    s->W = v_add(s->W, more->W);
    s->S = v_add(s->S, more->S);
}
FD_INLINE F(three) F(near_tokens)(const T *a, const T *b, int count, const shifted_sums *at, F(seen) *seen, F(distant) *far) {
    F(three) all = NO_TOKENS;
    V x[TOGETHER], y[TOGETHER];
    *seen = (F(seen)){C(INFINITY), C(0.0), v_bits(C(0.0))};
    int j = 0;
    for (; j + FOUR <= count; j += FOUR) {
        F(three) s;
        FD_UNROLL for (int k = 0; k < 4; k += TOGETHER) {
            EACH(TOGETHER) {
                __builtin_prefetch((const char *)(a + j + (k + g) * N) + PREFETCH);
                __builtin_prefetch((const char *)(b + j + (k + g) * N) + PREFETCH);
                x[g] = VNAME(load)(a + j + (k + g) * N);
                y[g] = VNAME(load)(b + j + (k + g) * N);
            }
            F(token_add)(TOGETHER, k == 0, 0, VNAME(first)(N), x, y, at, &s, seen, far);
        }
        F(three_join)(&all, &s);
    }
    F(three) s = NO_TOKENS;
    for (; j < count; j += N) {
        int some = count - j < N ? count - j : N;
        *x = VNAME(loadn)(a + j, some);
        *y = VNAME(loadn)(b + j, some);
        F(token_add)(1, 0, 1, VNAME(first)(some), x, y, at, &s, seen, far);
    }
    F(three_join)(&all, &s);
    return all;
}

static void F(far_tokens)(const shifted_sums *at, F(distant) *far, F(three_lanes) *to) {
    const V high = C(at->c), low = C(at->c - (double)(T)at->c), zero = C(0.0);
    const double powers = 2.0 * at->r.exponent;
    F(three) s = NO_TOKENS;
    for (int j = 0; j < far->count; j += N) {
        if (j > 0 && j % FOUR == 0) {
            F(three_flush)(to, &s);
            s = (F(three))NO_TOKENS;
        }
        M in = VNAME(first)(far->count - j < N ? far->count - j : N);
        V a = v_sel(in, VNAME(load)(far->a + j), zero), b = v_sel(in, VNAME(load)(far->b + j), zero), rest, more;
        V p, exponent, y = F(difference_beyond)(a, b, at->c, 0.0);
        F(within)(1, at, &a, &p, &exponent);
        V moved = F(difference)(b, NEG(high), &rest); /* b + c - reference */
        moved = F(difference)(moved, C(at->r.from + powers * LN2_HIGH), &more);
        V q = F(exp)(moved, v_add(v_add(rest, more), v_sub(low, C(powers * LN2_LOW))));
        V py = v_mul(p, y);
        s.W = v_add(s.W, v_sel(in, py, zero));
        s.S = v_add(s.S, v_sel(in, v_add(q, v_sub(py, p)), zero));
    }
    F(three_flush)(to, &s);
    far->count = 0;
}

static void F(take_totals)(shifted_sums *s, F(three_lanes) *sum) {
    s->Z += lanes_total(&sum->Z);
    s->W += lanes_total(&sum->W);
    s->S += lanes_total(&sum->S);
    *sum = (F(three_lanes)){lanes_zero(), lanes_zero(), lanes_zero()};
}

/* The reference and, unless it is given, c by `count` tokens. */
static void F(look_at)(const T *a, const T *b, int count, double given, shifted_sums *s) {
    T top_a = F(peak)(a, count), top_b = F(peak)(b, count);
    s->lost = !isfinite(top_a) || !isfinite(top_b);
    if (s->lost) return;
    s->r = F(reference_of)((double)top_a);
    s->c = given;
    if (!isnan(given)) return;
    reference of_b = F(reference_of)((double)top_b);
    F(found) x = F(sum_exp)(0, 0, a, count, top_a, s->r, NULL), y = F(sum_exp)(0, 0, b, count, top_b, of_b, NULL);
    double ratio = halved(F(folded)(F(sum_found)(&x))) / halved(F(folded)(F(sum_found)(&y)));
    s->c = F(two_pieces)(scalar_log(ratio) + (s->r.from - of_b.from) + (s->r.exponent - of_b.exponent) * (2.0 * LN2));
}

static int F(any_bit)(INTEGERS x, int64_t bits) {
    T lane[N];
    int64_t any = 0;
    v_store(lane, i_float(x));
    for (int k = 0; k < N; k++) {
        F(integer) one;
        memcpy(&one, &lane[k], sizeof one);
        any |= one;
    }
    return (any & bits) != 0;
}

FD_INLINE void F(near_over)(fd_row a, fd_row b, ptrdiff_t from, ptrdiff_t to, double given, shifted_sums *into) {
    T buffer_a[BLOCK], buffer_b[BLOCK];
    shifted_sums s = {.r = {NAN, 0.0}};
    F(three_lanes) sum = {lanes_zero(), lanes_zero(), lanes_zero()};
    F(distant) far;
    far.count = 0;
    int expected = 0; /* far tokens come in groups */
    ptrdiff_t mended = MEND; /* where next: ever further away, so that not more than as much again is done twice */
    for (ptrdiff_t start = from; start < to && !s.lost; start += BLOCK) {
        int count = to - start < BLOCK ? (int)(to - start) : BLOCK;
        const T *x = F(load)(a, start, count, buffer_a), *y = F(load)(b, start, count, buffer_b);
        if (isnan(s.r.from)) {
            F(look_at)(x, y, count, given, &s);
            if (s.lost) break;
        }
        F(three) f;
        F(seen) seen;
        if (!expected) f = F(near_tokens)(x, y, count, &s, &seen, NULL);
        if (expected || F(any_bit)(seen.y, FAR_BIT)) f = F(near_tokens)(x, y, count, &s, &seen, &far);
        expected = F(any_bit)(seen.y, FAR_BIT);
        s.differ |= F(any_bit)(seen.y, FAR_BIT | (FAR_BIT - 1));
        s.lost |= m_any(v_lt(seen.least, C(MAGIC + 1.0))) | m_any(v_lt(C(MAGIC + 2.0 * EXPONENT_BIAS), seen.most));
        F(three_flush)(&sum, &f);
        if (far.count >= BLOCK) F(far_tokens)(&s, &far, &sum);
        if (start + count < to && start + count - from < mended) continue;
        if (far.count) F(far_tokens)(&s, &far, &sum);
        F(take_totals)(&s, &sum);
        mended *= 2;
        double t = offset_of(&s);
        s.lost |= !(t > -1.0 && t < INFINITY);
        if (s.lost || !isnan(given) || start + count >= to || 8.0 * t * t <= s.S / s.Z) continue;
        if (move_to(&s, F(two_pieces)(s.c - scalar_log1p(t))) > s.S) { /* again, from a c that is better */
            start = from - BLOCK;
            s.Z = s.W = s.S = 0.0;
        }
    }
    *into = s;
}

/* 1 if *result is the divergence, 0 if this loop can't say. */
static int F(kl_in_one_loop)(fd_row a, fd_row b, ptrdiff_t n, double *result) {
    double c = NAN;
    for (int tries = 0; tries < 2; tries++) {
        shifted_sums whole = {.Z = 0.0}, part;
        BY_SEGMENTS(n, whole, part, F(near_over)(a, b, from, to, c, into), join_shifted);
        if (whole.lost) return 0;
        if (!whole.differ) {
            *result = 0.0;
            return 1;
        }
        double t = offset_of(&whole), Z = whole.Z + whole.Z_low, S = (whole.S + whole.S_low) / Z;
        double kl = S + first_lane(log1p_minus(vd_set1(t), vd_set1(1.0 + t)));
        if (!(S > ONE_LOOP_LEAST && S < INFINITY && t > -1.0)) return 0;
        if (t * t <= kl && fabs(t) <= 0.5) {
            *result = kl;
            return 1;
        }
        c = F(two_pieces)(whole.c - scalar_log1p(t));
    }
    return 0;
}
#undef FAR
#undef FAR_BIT
#undef MEND

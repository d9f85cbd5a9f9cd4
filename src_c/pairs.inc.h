/* Sources of pairs: 16 (or 8) elements of two rows in, the operands of the terms out.
 *
 * weights  p and q as they stand, or times a scale: d = p - q is formed by fused multiply-adds with the scale in two pieces, so it
 *          keeps its digits however close the rows are.
 * logits   p = e^(a - max a), q = c e^(b - max b) with c the ratio of the rows' sums; x = (a - b) - (lse a - lse b) from exact
 *          differences; d = p (1 - e^-x) without cancellation.
 *
 * For the cross-entropy d is Q - q, with Q the sum of q, or from logits x is max b - b.  For the powers of one row q is P, the sum
 * of p, and from logits x is a - lse a.
 *
 * Each exists in two strengths.  The fast one is right for numbers inside the window [LOW, HIGH]; the careful one for anything: it
 * marks zeros, lifts subnormals, notes what is no weight.  Outside the window a block is redone carefully, in double.
 */
#if COMPUTES_DOUBLE
enum { OF_EACH = 2 }; /* `scaled`: each lane has its own frame */
#endif
typedef struct { T scale[N], high[N], low[N], exchanged[N]; } F(own_frames);
typedef struct {
    V p, q, d, x;
    M no_p, no_q; /* careful only: a true zero, not one that underflowed */
    V lift;       /* p, q and d were multiplied by this power of two */
    V log_p, log_p_low, log_q, x_low; /* logits, and by_logarithms, only: a - max a exactly; b - max b; the rest of x */
} F(pair);

#if COMPUTES_DOUBLE
typedef struct {
    double scale, high, low;           /* weights: p scale, q (high + low) */
    double max_a, max_b, ratio, shift, shift_low; /* logits: c = ratio, lse a - lse b = shift + shift_low */
    row_sum q;                         /* entropies of weights */
    double parameter;
    limits own;                        /* of a divergence with a parameter */
    double beta, power_shift;          /* powers: e^(beta x - power_shift) */
    const void *of_each;               /* weights side by side: a scale, a high and a low for each lane (across.inc.h) */
} frame;
#endif

FD_INLINE F(pair) F(weights)(int which, int scaled, int careful, const frame *f, V p, V q, int *invalid) {
    F(pair) o;
    const F(own_frames) *own = f->of_each;
    const V scale = scaled == OF_EACH ? VNAME(load)(own->scale) : C(scaled ? f->scale : 1.0);
    const V high = scaled == OF_EACH ? VNAME(load)(own->high) : C(scaled ? f->high : 1.0), raw_p = p;
    V raw_q = q;
    o.lift = C(1.0);
    if (careful) {
        M wrong = m_or(m_or(v_lt(p, C(0.0)), v_lt(q, C(0.0))), m_or(v_eq(p, C(INFINITY)), v_eq(q, C(INFINITY))));
        *invalid |= m_any(wrong);
        o.no_p = v_eq(p, C(0.0));
        o.no_q = v_eq(q, C(0.0));
    }
    if (is_entropy(which)) {
        if (scaled) {
            p = v_mul(p, scale);
            q = v_mul(q, high);
        }
        o.d = v_sel(v_eq(q, C(f->q.largest)), C(f->q.others), v_sub(C(f->q.total), q));
        if (which == ENTROPY_POWERS) {
            o.d = NEG(o.d);
            q = C(f->q.total);
            raw_q = v_div(q, high);
            if (careful) o.no_q = v_lt(q, C(0.0)); /* a sum, not the element that was read */
        }
        if (careful && which == ENTROPY_POWERS) {
            o.lift = v_sel(v_lt(v_min(p, q), C(LOW)), C(LIFT), C(1.0));
            p = v_mul(p, o.lift);
            q = v_mul(q, o.lift);
            o.d = v_mul(o.d, o.lift);
        }
    } else {
        V times_p = scale, times_q = high, low = scaled == OF_EACH ? VNAME(load)(own->low) : C(f->low);
        if (careful) { /* what is small before the scale, which would round a subnormal; what is large after it */
            V one = C(1.0), there_p = v_sel(o.no_p, q, p), there_q = v_sel(o.no_q, p, q), least = v_min(there_p, there_q);
            if (scaled) least = v_min(least, v_min(v_mul(there_p, scale), v_mul(there_q, high)));
            V most = scaled ? v_max(v_mul(p, scale), v_mul(q, high)) : v_max(p, q);
            M is_low = v_lt(least, C(LOW)), is_high = v_le(C(IMMENSE), most);
            o.lift = v_sel(is_high, v_sel(is_low, one, C(1.0 / LIFT)), v_sel(is_low, C(LIFT), one));
            M small_p = v_lt(p, one), small_q = v_lt(q, one);
            V after_p = v_sel(small_p, one, o.lift), after_q = v_sel(small_q, one, o.lift);
            p = v_mul(p, v_sel(small_p, o.lift, one));
            q = v_mul(q, v_sel(small_q, o.lift, one));
            times_p = v_mul(times_p, after_p);
            times_q = v_mul(times_q, after_q);
            low = v_mul(low, after_q);
        }
        if (scaled) {
            p = v_mul(p, times_p);
            o.d = v_fnma(low, q, v_fnma(times_q, q, p));
            q = v_mul(q, times_q);
        } else {
            if (careful) {
                p = v_mul(p, times_p);
                q = v_mul(q, times_q);
            }
            o.d = v_sub(p, q);
        }
    }
    o.p = p;
    o.q = q;
    o.x = o.x_low = o.log_p_low = p;
    o.log_p = raw_p;
    o.log_q = raw_q;
    return o;
}

#if COMPUTES_DOUBLE
/* Positive weights as logits: for terms that the lift makes overflow, for what a scale has made subnormal, and for pairs that can't be
 * lifted. */
FD_INLINE M F(needs_logarithms)(F(pair) o) {
    V least = v_min(o.p, o.q);
    return m_or(v_lt(least, C(LEAST)), m_and(v_lt(least, C(LOW)), v_eq(o.lift, C(1.0))));
}
FD_INLINE V F(log_weight)(V x, V *low) {
    V one = C(1.0), zero = C(0.0), up = v_sel(v_lt(x, one), C(LIFT), v_sel(v_lt(C(IMMENSE), x), C(1.0 / LIFT), one));
    V times = v_sel(v_lt(one, up), one, v_sel(v_lt(up, one), C(-1.0), zero)), rest;
    x = v_mul(x, up);
    V y = F(log_pieces)(x, one, v_sub(x, one), &rest), high = F(difference)(y, v_mul(times, C(LIFT_LOG)), low);
    *low = v_add(*low, v_fnma(times, C(LIFT_LOG_LOW), rest));
    return high;
}
/* The logarithm of the sum of q over any q, of as many digits as one has that is not near 0: away from what is most of the sum. */
FD_INLINE M F(most_of)(const frame *f, V q) { return m_and(v_le(C(0.5 * f->q.total), q), v_le(q, C(2.0 * f->q.total))); }
FD_INLINE V F(surprisal)(const frame *f, V raw_q) {
    V low, more, low_q, low_high, log_q = F(log_weight)(raw_q, &low_q), log_high = F(log_weight)(C(f->high), &low_high);
    V y = F(difference)(F(log_weight)(C(f->q.total), &low), log_high, &more);
    low = v_add(low, v_sub(more, v_add(low_q, low_high)));
    y = F(difference)(y, log_q, &more);
    return v_add(y, v_add(more, low));
}
FD_INLINE F(pair) F(by_logarithms)(const frame *f, F(pair) o) {
    V low, more, log_q_low, scale_low, log_scale = F(log_weight)(C(f->scale), &scale_low);
    V log_high = F(log_weight)(C(f->high), &low), high_low = v_add(low, C(f->low / f->high));
    V log_p = F(log_weight)(o.log_p, &low);
    o.log_p = F(difference)(log_p, NEG(log_scale), &more);
    o.log_p_low = v_add(more, v_add(low, scale_low));
    V log_q = F(log_weight)(o.log_q, &low);
    o.log_q = F(difference)(log_q, NEG(log_high), &more);
    log_q_low = v_add(more, v_add(low, high_low));
    V x = F(difference)(o.log_p, o.log_q, &o.x_low);
    o.x_low = v_add(o.x_low, v_sub(o.log_p_low, log_q_low));
    o.x = F(difference)(x, NEG(o.x_low), &more);
    o.x_low = more;
    M extreme = F(needs_logarithms)(o); /* beside what is so much larger anything below LEAST is as good, and is normal */
    V lift = v_sel(v_lt(v_max(o.p, o.q), v_mul(C(0x1p-700), o.lift)), C(LIFT), C(1.0)), more_lift = v_div(lift, o.lift);
    o.d = v_mul(o.d, more_lift);
    o.p = v_mul(o.p, more_lift);
    o.q = v_mul(o.q, more_lift);
    extreme = m_and(extreme, v_lt(C(LEAST), v_max(o.p, o.q)));
    o.p = v_sel(extreme, v_max(C(LEAST), o.p), o.p); /* in this order NaN stays one */
    o.q = v_sel(extreme, v_max(C(LEAST), o.q), o.q);
    o.lift = lift;
    return o;
}
#endif

/* lift e^(y + low), or 0 where it is no normal number or `gone`. */
FD_INLINE V F(lifted_exp)(M gone, V lift, V y, V low) {
    V w = F(times_exp)(lift, y, low);
    return v_sel(m_or(gone, v_lt(w, C(LEAST))), C(0.0), w);
}

FD_INLINE F(pair) F(logits)(int which, int careful, const frame *f, V a, V b) {
    F(pair) o;
    V max_a = C(f->max_a), max_b = C(f->max_b), low, high;
    M far_a = v_lt(v_sub(a, max_a), C(-EXP_LIMIT));
    o.lift = C(1.0);
    if (careful) {
        o.no_p = v_eq(v_sub(a, max_a), C(-INFINITY)); /* or beyond the doubles from the top */
        o.no_q = v_eq(v_sub(b, max_b), C(-INFINITY));
        a = v_sel(o.no_p, max_a, a);
        b = v_sel(o.no_q, max_b, b);
    } else {
        a = v_sel(far_a, max_a, a); /* the 0 that p gets is outside the window */
    }
    high = F(difference)(a, max_a, &low);
    if (careful && which != ENTROPY_POWERS) {
        V least = which == FD_cross_entropy ? high : v_min(high, v_sub(b, max_b));
        o.lift = v_sel(v_lt(least, C(-0.8 * EXP_LIMIT)), C(LIFT), C(1.0));
    }
    o.p = careful ? F(lifted_exp)(o.no_p, o.lift, high, low) : v_sel(far_a, C(0.0), F(exp_normal)(high, low));
    o.log_p = o.log_q = high;
    o.log_p_low = low;
    o.x_low = C(0.0);
    if (which == FD_cross_entropy) {
        o.q = o.p;
        o.d = o.x = v_sub(max_b, b);
        return o;
    }
    if (which == ENTROPY_POWERS) {
        o.q = C(f->q.total);
        o.d = v_sub(o.p, o.q);
        o.x = F(difference)(high, C(f->shift), &o.x_low);
        o.x_low = v_add(o.x_low, v_sub(low, C(f->shift_low)));
        return o;
    }
    M far_b = v_lt(v_sub(b, max_b), C(-EXP_LIMIT));
    if (!careful) b = v_sel(far_b, max_b, b);
    high = F(difference)(b, max_b, &low);
    o.log_q = high;
    o.q = careful ? F(lifted_exp)(o.no_q, o.lift, high, low) : v_sel(far_b, C(0.0), F(exp_normal)(high, low));
    o.q = v_mul(o.q, C(f->ratio));
    o.x = F(difference_beyond)(a, b, f->shift, f->shift_low);
    V near = v_mul(v_mul(o.p, o.x), v_fnma(o.x, F(psi)(NEG(o.x)), C(1.0)));
    o.d = v_sel(v_le(v_abs(o.x), C(1.0)), near, v_sub(o.p, o.q));
    if (careful) o.d = v_sel(m_or(o.no_p, o.no_q), v_sub(o.p, o.q), o.d);
    return o;
}

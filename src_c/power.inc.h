/* Terms with powers: p (p/q)^beta, and what differs from 1 in it.
 *
 * x = log(p/q) as two numbers, so that beta x is right to the last bits for a beta of some tens, not only x itself.
 *
 * power          p e^(beta x - shift)
 * power_excess   p expm1(beta x) / beta - (p - q), which is alpha (alpha = beta + 1, >= 1/2) times the term of the alpha
 *                divergence: >= 0; near q it is p x^2 (beta psi(beta x) + psi(-x)), and for beta = 0 it is that of KL
 * entropy_excess -p expm1(beta x) / beta, where q is the sum of the row: that of the Tsallis entropy
 */
typedef struct { V x, y, y_low, power; } F(powers);
FD_INLINE F(powers) F(power)(int logits, const frame *f, F(pair) o, double shift) {
    F(powers) r;
    V beta = C(f->beta), low = o.x_low;
    r.x = logits ? o.x : F(log_pieces)(o.p, o.q, o.d, &low);
    r.y = v_mul(beta, r.x);
    r.y_low = v_add(v_fma(beta, r.x, NEG(r.y)), v_mul(beta, low));
    V more, less, y = F(difference)(r.y, C(shift), &less), y_low = v_add(r.y_low, less);
    if (logits) { /* p may have underflowed where its power has not */
        y = F(difference)(y, NEG(o.log_p), &more);
        y_low = v_add(v_add(y_low, more), o.log_p_low);
    }
    r.power = F(times_exp)(logits ? o.lift : o.p, y, y_low);
    return r;
}
#define POWER(logits) F(power)(logits, f, o, f->power_shift).power

/* x expm1(y) / y where |y| <= 1. */
FD_INLINE V F(power_slope)(F(powers) w) { return v_mul(w.x, v_fma(w.y, F(psi)(w.y), C(1.0))); }

FD_INLINE V F(power_excess)(int logits, const frame *f, F(pair) o) {
    F(powers) w = F(power)(logits, f, o, 0.0);
    M small_y = v_le(v_abs(w.y), C(1.0));
    V near = v_mul(v_mul(o.p, v_mul(w.x, w.x)), v_fma(C(f->beta), F(psi)(w.y), F(psi)(NEG(w.x))));
    V slope = v_mul(o.p, F(power_slope)(w)), far = v_mul(v_sub(w.power, o.p), C(1.0 / f->beta));
    return v_sel(m_and(small_y, v_le(v_abs(w.x), C(1.0))), near, v_sub(v_sel(small_y, slope, far), o.d));
}
#define POWER_EXCESS(logits) F(power_excess)(logits, f, o)

FD_INLINE V F(entropy_excess)(int logits, const frame *f, F(pair) o) {
    F(powers) w = F(power)(logits, f, o, 0.0);
    V slope = v_mul(o.p, F(power_slope)(w)), far = v_mul(v_sub(w.power, o.p), C(1.0 / f->beta));
    return NEG(v_sel(v_le(v_abs(w.y), C(1.0)), slope, far));
}
#define ENTROPY_EXCESS(logits) F(entropy_excess)(logits, f, o)

/* Elementary functions over V (vf or vd); included once per compute type T.
 *
 * exp     y = n log2 + r with |r| <= log2 / 2 (Cody and Waite, two constants), e^r = 1 + r (1 + r EXP(r)), 2^n added to the
 *         exponent's bits.  Below 1 ulp.  A second float `low` carries what y alone can't hold.
 * split   p/q = 2^k (1 + r), 2^(-0.586) <= 1 + r <= 2^0.586, k from the difference of the bits of p and q: a float's bits are
 *         its logarithm but for 0.0861.  Both must be positive and normal.  With d = p - q given, r is right to its last bits
 *         for p as near to q as can be, and no logarithm is needed to find out that they are near; `unscaled`, d is what p - q is rounded to.
 * kl      p log(p/q) - p + q = t r^2 PHI(r) + (k log2 p + q - t), t = 2^k q: for k = 0 the bracket is exactly 0, and else the sum
 *         of both loses at most two bits.
 * js      (p log(2p/(p + q)) + q log(2q/(p + q))) / 2 = d t g, t = d / (p + q), with g smooth in z = (1 - t^2) / 4 but for z log z:
 *         a polynomial per octave of z in float.  z = less (1 - less), less = min(p, q) / (p + q), so it has no cancellation, and
 *         for p near q, where z = 1/4 but for t^2, g is 1/4 exactly.  In double, kl of both to their mean.
 * psi     (e^x - 1 - x) / x^2 for |x| <= 1.
 * Coefficients: tools/coefficients.py.
 */
FD_INLINE V F(set)(double x) { return VNAME(set1)((T)x); }
#define C(x) F(set)(x)
#define NEG(a) v_sub(C(0.0), a)

/* Horner's rule; for long polynomials on even and odd powers apart, which is one operation more and half as long to wait for. */
#define HORNER(NAME, COEFFICIENT, ...)                                                                                         \
    FD_INLINE V F(NAME)(__VA_ARGS__, int degree, V x) {                                                                        \
        if (degree < 5) {                                                                                                      \
            V all = COEFFICIENT(degree);                                                                                       \
            FD_UNROLL for (int i = degree - 1; i >= 0; i--) all = v_fma(all, x, COEFFICIENT(i));                               \
            return all;                                                                                                        \
        }                                                                                                                      \
        V square = v_mul(x, x);                                                                                                \
        V sum = COEFFICIENT(degree), other = COEFFICIENT(degree - 1);                                                          \
        FD_UNROLL for (int i = degree - 2; i > 0; i -= 2) {                                                                    \
            sum = v_fma(sum, square, COEFFICIENT(i));                                                                          \
            other = v_fma(other, square, COEFFICIENT(i - 1));                                                                  \
        }                                                                                                                      \
        if (degree % 2) return v_fma(sum, x, other);                                                                           \
        sum = v_fma(sum, square, COEFFICIENT(0));                                                                              \
        return v_fma(other, x, sum);                                                                                           \
    }
/* Vectors of which every step is done before the next one: what a processor can overlap is but a part of so long a chain. */
#define EACH(together) FD_UNROLL for (int g = 0; g < (together); g++)
FD_INLINE V F(by_powers)(const T *coefficients, int degree, V x) {
    V y = VNAME(set1)(coefficients[degree]);
    FD_UNROLL for (int i = degree - 1; i >= 0; i--) y = v_fma(y, x, VNAME(set1)(coefficients[i]));
    return y;
}
FD_INLINE void F(polynomials)(int together, const T *coefficients, int degree, const V *x, V *y) {
    EACH(together) y[g] = VNAME(set1)(coefficients[degree]);
    FD_UNROLL for (int i = degree - 1; i >= 0; i--) EACH(together) y[g] = v_fma(y[g], x[g], VNAME(set1)(coefficients[i]));
}
#define CONSTANT(i) VNAME(set1)(coefficients[i])
HORNER(polynomial, CONSTANT, const T *coefficients)
#define POLYNOMIAL(NAME, x) F(polynomial)(F(NAME), (int)(sizeof F(NAME) / sizeof(T)) - 1, x)
#define BY_OCTAVE(i) vf_lookup(table[i], octave)
#if !COMPUTES_DOUBLE
HORNER(octave_polynomial, BY_OCTAVE, const float (*table)[16], vfi octave)
#endif

/* y - n log2, and in *t a float whose lowest bits are the integer n. */
FD_INLINE V F(exp_rest)(V y, V *t) {
    *t = v_fma(y, C(LOG2_E), C(MAGIC));
    V n = v_sub(*t, C(MAGIC));
    return v_fnma(n, C(LN2_LOW), v_fnma(n, C(LN2_HIGH), y));
}
FD_INLINE V F(exp_mantissa)(V r) { return v_fma(v_fma(POLYNOMIAL(EXP, r), r, C(1.0)), r, C(1.0)); }
FD_INLINE V F(shifted)(V w, V t) { return i_float(i_add(v_bits(w), i_to_exponent(v_bits(t)))); }

/* e^(y + low) where the result is a normal number. */
FD_INLINE V F(exp_normal)(V y, V low) {
    V t, r = F(exp_rest)(y, &t);
    return F(shifted)(F(exp_mantissa)(v_add(r, low)), t);
}

/* 2^-exponent e^y, or e^(y/2) if `half`, exponent an integer, where *t - MAGIC is from 1 to 2 EXPONENT_BIAS: it is the biased exponent of the
 * power of two that comes last.  NaN stays one. */
FD_INLINE void F(scaled_exp)(int half, int together, const V *y, V exponent, V *w, V *t) {
    _Static_assert(LENGTH(F(HALF_EXP)) == LENGTH(F(EXP)), "of one degree");
    const double times = half ? 0.5 : 1.0;
    V r[TOGETHER], magic = v_sub(C(MAGIC + EXPONENT_BIAS), exponent);
    EACH(together) t[g] = v_fma(y[g], C(times * LOG2_E), magic);
    EACH(together) r[g] = v_sub(t[g], magic);
    EACH(together) r[g] = v_fnma(r[g], C(LN2_LOW / times), v_fnma(r[g], C(LN2_HIGH / times), y[g]));
    F(polynomials)(together, half ? F(HALF_EXP) : F(EXP), LENGTH(F(EXP)) - 1, r, w);
    EACH(together) w[g] = v_fma(w[g], r[g], C(times));
    EACH(together) w[g] = v_fma(w[g], r[g], C(1.0));
    EACH(together) w[g] = v_mul(w[g], i_float(i_to_exponent(v_bits(t[g]))));
}

FD_INLINE V F(power_of_two)(V integer) {
    return i_float(i_add(v_bits(C(1.0)), i_to_exponent(v_bits(v_add(integer, C(MAGIC))))));
}

/* e^(y + low) for any y, down to subnormals and up to infinity: 2^n in two factors. */
FD_INLINE V F(exp)(V y, V low) {
    V t, r = F(exp_rest)(v_min(C(2 * EXP_LIMIT), v_max(C(-2 * EXP_LIMIT), y)), &t), w = F(exp_mantissa)(v_add(r, low));
    V n = v_sub(t, C(MAGIC)), half = v_sub(v_fma(n, C(0.5), C(MAGIC)), C(MAGIC));
    return v_mul(v_mul(w, F(power_of_two)(half)), F(power_of_two)(v_sub(n, half)));
}

/* w e^(y + low): 2^n in three factors around w, so that only the result itself can overflow.  The rest of a y that is beyond all exponents
 * may be anything. */
FD_INLINE V F(times_exp)(V w, V y, V low) {
    low = v_sel(v_lt(v_abs(y), C(EXPONENT_LIMIT)), low, C(0.0));
    V t, r = F(exp_rest)(v_min(C(3 * EXP_LIMIT), v_max(C(-3 * EXP_LIMIT), y)), &t), m = F(exp_mantissa)(v_add(r, low));
    V n = v_sub(t, C(MAGIC)), third = v_sub(v_fma(n, C(1.0 / 3.0), C(MAGIC)), C(MAGIC));
    V by_third = F(power_of_two)(third);
    return v_mul(v_mul(v_mul(v_mul(m, by_third), w), by_third), F(power_of_two)(v_sub(v_sub(n, third), third)));
}

/* a - b = high + low, exactly. */
FD_INLINE V F(difference)(V a, V b, V *low) {
    V high = v_sub(a, b), back = v_sub(high, a);
    *low = v_sub(v_sub(a, v_sub(high, back)), v_add(b, back));
    return high;
}

/* (a - b) - (shift + rest), where shift may have more digits than T. */
FD_INLINE V F(difference_beyond)(V a, V b, double shift, double rest) {
    V low, high = F(difference)(a, b, &low);
    return v_add(v_sub(high, C(shift)), v_sub(low, C(shift - (double)(T)shift + rest)));
}

/* The exact difference with two operations less where |b| >= |a| (`larger`) or |b| <= |a|. */
FD_INLINE V F(ordered_difference)(int larger, V a, V b, V *low) {
    V high = v_sub(a, b);
    *low = larger ? v_sub(a, v_add(high, b)) : v_sub(v_sub(a, high), b);
    return high;
}

typedef struct { V k, t, d; } F(ratio); /* k times EXPONENT_ONE: the number that the bits of 2^k are away from those of 1 */

FD_INLINE F(ratio) F(split)(int unscaled, V p, V q, V d) {
    F(ratio) s;
    INTEGERS k = i_and(i_add(i_sub(v_bits(p), v_bits(q)), INAME(set1)(EXPONENT_ONE / 2)), INAME(set1)(-EXPONENT_ONE));
    s.t = i_float(i_add(v_bits(q), k));
    s.k = i_value(k);
    V moved = v_sub(p, s.t);
    s.d = unscaled ? moved : v_sel(v_eq(s.k, C(0.0)), d, moved);
    return s;
}

FD_INLINE V F(phi)(V r) { return POLYNOMIAL(PHI, r); }
/* (phi(r) - 1/2) / r */
FD_INLINE V F(phi_slope)(V r) { return F(polynomial)(F(PHI) + 1, LENGTH(F(PHI)) - 2, r); }

FD_INLINE V F(kl)(int unscaled, V p, V q, V d) {
    F(ratio) s = F(split)(unscaled, p, q, d);
    V r = v_div(s.d, s.t);
    V far = v_fma(v_mul(s.k, C(LN2 / EXPONENT_ONE)), p, v_sub(q, s.t));
    return v_fma(v_mul(s.d, r), F(phi)(r), far);
}
#define KL(p, q, d) F(kl)(unscaled, p, q, d)

/* log(p/q); p may be a constant, then so is inverse_p = 1/p. */
FD_INLINE V F(log_ratio)(V p, V q, V d, V inverse_p) {
    F(ratio) s = F(split)(0, p, q, d);
    V r = v_div(s.d, s.t), phi = v_fma(F(phi_slope)(r), r, C(0.5));
#if COMPUTES_DOUBLE /* what adding k log2 rounds away is kept: it counts where the rest has the other sign */
    V high = v_mul(s.k, C(LN2_HIGH / EXPONENT_ONE)), first = v_mul(s.d, inverse_p), sum = v_add(high, first);
    V low = v_fma(s.k, C(LN2_LOW / EXPONENT_ONE), v_sub(first, v_sub(sum, high)));
    return v_add(sum, v_fma(v_mul(first, r), phi, low));
#else
    V near = v_mul(v_fma(v_mul(s.d, r), phi, s.d), inverse_p);
    return v_fma(s.k, C(LN2 / EXPONENT_ONE), near);
#endif
}

/* log(p/q) as two numbers. */
FD_INLINE V F(log_pieces)(V p, V q, V d, V *low) {
    F(ratio) s = F(split)(0, p, q, d);
    V inverse = v_div(C(1.0), s.t), r = v_mul(s.d, inverse), rest = v_mul(v_fnma(r, s.t, s.d), inverse);
    /* log(1 + r) = r - r^2 / 2 + r^3 ((phi(r) - 1/2) / r + 1/2) / (1 + r), where only the last is rounded more than once */
    V square = v_mul(r, r), half = v_mul(C(0.5), square), half_rest = v_mul(C(0.5), v_fms(r, r, square));
    V cubic = v_mul(v_mul(r, square), v_div(v_mul(v_add(F(phi_slope)(r), C(0.5)), s.t), p));
    V high = v_mul(s.k, C(LN2_HIGH / EXPONENT_ONE)), first = v_add(high, r), sum = v_sub(first, half); /* each the larger one first, or 0 */
    V lost = v_add(v_sub(r, v_sub(first, high)), v_sub(v_sub(first, sum), half));
    *low = v_add(lost, v_add(v_add(v_sub(rest, half_rest), cubic), v_mul(s.k, C(LN2_LOW / EXPONENT_ONE))));
    V x = v_add(sum, *low);
    *low = v_sub(*low, v_sub(x, sum));
    return x;
}

/* The first two steps are Horner's: a sum of even powers alone is larger than the whole, and so is its rounding. */
FD_INLINE V F(psi)(V x) {
    V rest = F(polynomial)(F(PSI) + 2, LENGTH(F(PSI)) - 3, x);
    return v_fma(v_fma(rest, x, VNAME(set1)(F(PSI)[1])), x, VNAME(set1)(F(PSI)[0]));
}

/* p log(p/q) - p + q where x = log(p/q) and d = p - q are known. */
FD_INLINE V F(kl_log)(V p, V d, V x) {
    V near = v_mul(v_mul(p, v_mul(x, x)), F(psi)(NEG(x)));
    return v_sel(v_le(v_abs(x), C(1.0)), near, v_sub(v_mul(p, x), d));
}
#define KL_LOG(p, d, x) F(kl_log)(p, d, x)

#if COMPUTES_DOUBLE
FD_INLINE V F(js)(V p, V q, V d) {
    V m = v_fma(C(0.5), p, v_mul(C(0.5), q)), half = v_mul(C(0.5), d);
    return v_mul(C(0.5), v_add(F(kl)(0, p, m, half), F(kl)(0, q, m, NEG(half))));
}
#else
FD_INLINE V F(js)(V p, V q, V d) {
    V sum = v_add(p, q), t = v_div(d, sum), less = v_div(v_min(p, q), sum);
    V z = v_add(v_fnma(less, less, less), C(JS_SHIFT));
    INTEGERS carried = i_add(v_bits(z), INAME(set1)((int32_t)(JS_CARRY * EXPONENT_ONE)));
    INTEGERS octave = i_and(carried, INAME(set1)(-EXPONENT_ONE));
    V x = v_sub(z, i_float(octave));
    V rest = F(octave_polynomial)(JS_float + 1, octave, (int)(sizeof JS_float / sizeof *JS_float) - 2, x);
    return v_mul(v_mul(d, t), v_fma(rest, x, vf_lookup(JS_float[0], octave)));
}
#endif
#define JS(p, q, d) F(js)(p, q, d)

/* The mean divergence from m = w p + (1 - w) q; p - m and q - m are parts of d. */
FD_INLINE V F(weighted_js)(double w, V p, V q, V d) {
    V m = v_fma(C(w), p, v_mul(C(1.0 - w), q));
    /* What has no weight may be infinite. */
    V of_p = w > 0.0 ? v_mul(C(w), F(kl)(0, p, m, v_mul(C(1.0 - w), d))) : C(0.0);
    return w < 1.0 ? v_fma(C(1.0 - w), F(kl)(0, q, m, v_mul(C(-w), d)), of_p) : of_p;
}
#define WEIGHTED_JS(p, q, d) F(weighted_js)(parameter, p, q, d)

/* From the larger to the less, so that the order of the arguments does not show. */
FD_INLINE V F(jeffreys)(V p, V q, V d) {
    V larger = v_max(p, q), more = v_abs(d);
    return v_mul(more, F(log_ratio)(larger, v_min(p, q), more, v_div(C(1.0), larger)));
}
#define JEFFREYS(p, q, d) F(jeffreys)(p, q, d)

#if COMPUTES_DOUBLE
FD_INLINE V F(hellinger)(V p, V q, V d) {
    V root = v_div(d, v_add(v_sqrt(p), v_sqrt(q)));
    return v_mul(C(0.5), v_mul(root, root));
}
#else
/* (sqrt p + sqrt q)^2 = p + q + 2 sqrt(pq); 2^80 keeps the product of any two numbers of the window in float's range. */
FD_INLINE V F(hellinger)(V p, V q, V d) {
    V root = v_sqrt(v_mul(v_mul(p, C(0x1p80)), q)), sum = v_add(p, q);
    return v_mul(d, v_div(d, v_fma(C(0x1p-38), root, v_add(sum, sum))));
}
#endif
#define HELLINGER(p, q, d) F(hellinger)(p, q, d)

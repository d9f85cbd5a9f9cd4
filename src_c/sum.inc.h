/* Sums of doubles whose order is fixed by the shape of vd alone, with the error of every addition kept (Neumaier, per lane). */
typedef struct { vd high, low; } lanes;

FD_INLINE lanes lanes_zero(void) { return (lanes){vd_set1(0.0), vd_set1(0.0)}; }

FD_INLINE void lanes_add(lanes *sum, vd x) {
    vd total = vd_add(sum->high, x), back = vd_sub(total, sum->high);
    sum->low = vd_add(sum->low, vd_add(vd_sub(sum->high, vd_sub(total, back)), vd_sub(x, back)));
    sum->high = total;
}

/* The sum of both. */
FD_INLINE void lanes_join(lanes *sum, const lanes *more) {
    lanes_add(sum, more->high);
    sum->low = vd_add(sum->low, more->low);
}

/* Eight lanes one after the other, with the error of every addition. */
FD_INLINE vd kept_total(const vd *high, const vd *low) {
    vd total = vd_set1(0.0), rest = total, plain = total;
    FD_UNROLL for (int i = 0; i < 8; i++) {
        vd next = vd_add(total, high[i]), back = vd_sub(next, total);
        rest = vd_add(rest, vd_add(vd_add(vd_sub(total, vd_sub(next, back)), vd_sub(high[i], back)), low[i]));
        total = next;
        plain = vd_add(plain, high[i]);
    }
    /* Infinity minus infinity in the error terms must not turn an infinite sum into NaN. */
    return vd_sel(vd_lt(vd_abs(plain), vd_set1(INFINITY)), vd_add(total, rest), plain);
}
static __attribute__((unused)) double lanes_total(const lanes *sum) {
    double lane[8], rest[8];
    vd high[8], low[8];
    vd_store(lane, sum->high);
    vd_store(rest, sum->low);
    for (int i = 0; i < 8; i++) {
        high[i] = vd_set1(lane[i]);
        low[i] = vd_set1(rest[i]);
    }
    vd_store(lane, kept_total(high, low));
    return lane[0];
}
/* Of eight sums at once. */
static __attribute__((unused)) vd lanes_totals(const lanes *const *sums) {
    vd high[8], low[8];
    for (int i = 0; i < 8; i++) {
        high[i] = sums[i]->high;
        low[i] = sums[i]->low;
    }
    vd_transpose(high);
    vd_transpose(low);
    return kept_total(high, low);
}

/* Of single doubles: the error of the addition. */
static __attribute__((unused)) double add_kept(double *sum, double x) {
    double total = *sum + x, back = total - *sum, error = (*sum - (total - back)) + (x - back);
    *sum = total;
    return error;
}

/* The sum of eight doubles, halving. */
FD_INLINE double halved(vd x) {
    double lane[8];
    vd_store(lane, x);
    return ((lane[0] + lane[4]) + (lane[2] + lane[6])) + ((lane[1] + lane[5]) + (lane[3] + lane[7]));
}

/* The lanes of one inner block as doubles. */
FD_INLINE vd folded_double(vd x) { return x; }
FD_INLINE vd folded_float(vf x) { return vd_add(vf_lo(x), vf_hi(x)); }
/* Sums of floats are off by more than additions of doubles can lose. */
FD_INLINE void flush_folded_double(lanes *sum, vd x) { lanes_add(sum, x); }
FD_INLINE void flush_folded_float(lanes *sum, vd x) { sum->high = vd_add(sum->high, x); }
FD_INLINE void flush_double(lanes *sum, vd x) { flush_folded_double(sum, x); }
FD_INLINE void flush_float(lanes *sum, vf x) { flush_folded_float(sum, folded_float(x)); }

/* A sum over at most BLOCK elements by halves, of which equal summands are not rounded at all: name_16(c, j) is that of the summands
 * name_1(c, j), name_1(c, j + N), ... of 16 vectors, and name(c, count, sum) adds all of them and name_some(c, j, some), the first of a
 * last one. */
#define HALVES(both, half, vectors, context)                                                                                   \
    FD_INLINE V F(both)(context *c, int j) {                                                                                   \
        V first = F(half)(c, j);                                                                                               \
        return v_add(first, F(half)(c, j + vectors / 2 * N));                                                                  \
    }
#define IF_LEFT(name, vectors)                                                                                                 \
    if ((count - j) & (vectors * N)) {                                                                                         \
        F(flush)(sum, F(name##_##vectors)(c, j));                                                                              \
        j += vectors * N;                                                                                                      \
    }
#define SUM_BY_HALVES(name, context)                                                                                           \
    HALVES(name##_2, name##_1, 2, context)                                                                                     \
    HALVES(name##_4, name##_2, 4, context)                                                                                     \
    HALVES(name##_8, name##_4, 8, context)                                                                                     \
    HALVES(name##_16, name##_8, 16, context)                                                                                   \
    FD_INLINE void F(name)(context *c, int count, lanes *sum) {                                                                \
        int j = 0;                                                                                                             \
        for (; j + 16 * N <= count; j += 16 * N) F(flush)(sum, F(name##_16)(c, j));                                            \
        IF_LEFT(name, 8)                                                                                                       \
        IF_LEFT(name, 4)                                                                                                       \
        IF_LEFT(name, 2)                                                                                                       \
        IF_LEFT(name, 1)                                                                                                       \
        if (j < count) F(flush)(sum, F(name##_some)(c, j, count - j));                                                         \
    }

/* Rows drawn with replacement, and sums over them.
 *
 * Resample r has generators of its own (xoshiro256++ by Blackman and Vigna, started by splitmix64 from seed and r), so its rows do not
 * depend on which thread draws them or on what was drawn before.  Each half of a number u is one draw, floor(u n / 2^32), once more from
 * another generator where that would favour a row (Lemire's rejection): all rows are exactly as probable.
 */
#include "fastdiv.h"

enum { LANES = 2, AT_ONCE = 512 }; /* two generators: no draw waits for the last one, and all is in registers */
typedef struct { uint64_t a[LANES], b[LANES], c[LANES], d[LANES], spare; } generators;

static uint64_t mixed(uint64_t *state) {
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}
static inline uint64_t rotated(uint64_t x, int k) { return x << k | x >> (64 - k); }

static generators started(uint64_t seed, uint64_t resample) {
    generators g;
    uint64_t state = mixed(&seed) ^ resample;
    for (int k = 0; k < LANES; k++) g.a[k] = mixed(&state), g.b[k] = mixed(&state), g.c[k] = mixed(&state), g.d[k] = mixed(&state);
    g.spare = mixed(&state);
    return g;
}

/* Rows in the upper halves of `chosen`. */
static void draw(generators *g, uint64_t rows, uint64_t chosen[AT_ONCE]) {
    generators s = *g;
    uint32_t limit = (uint32_t)-rows % (uint32_t)rows, refused = 0;
    for (int i = 0; i < AT_ONCE; i += 2 * LANES)
        for (int k = 0; k < LANES; k++) {
            uint64_t u = rotated(s.a[k] + s.d[k], 23) + s.a[k], t = s.b[k] << 17;
            s.c[k] ^= s.a[k], s.d[k] ^= s.b[k], s.b[k] ^= s.c[k], s.a[k] ^= s.d[k], s.c[k] ^= t, s.d[k] = rotated(s.d[k], 45);
            chosen[i + 2 * k] = (uint32_t)u * rows;
            chosen[i + 2 * k + 1] = (u >> 32) * rows;
        }
    for (int i = 0; i < AT_ONCE; i++) refused |= (uint32_t)chosen[i] < limit;
    for (int i = 0; refused && i < AT_ONCE; i++)
        while ((uint32_t)chosen[i] < limit) chosen[i] = (mixed(&s.spare) >> 32) * rows;
    *g = s;
}

void fd_draw(uint32_t rows, ptrdiff_t drawn, uint64_t seed, uint64_t resample, int64_t *to) {
    generators g = started(seed, resample);
    uint64_t chosen[AT_ONCE];
    for (ptrdiff_t i = 0; i < drawn; i++) {
        if (i % AT_ONCE == 0) draw(&g, rows, chosen);
        to[i] = (int64_t)(chosen[i % AT_ONCE] >> 32);
    }
}

void fd_resample(const double *columns, ptrdiff_t count, uint32_t rows, ptrdiff_t drawn, uint64_t seed, uint64_t resample, double *sums) {
    generators g = started(seed, resample);
    for (ptrdiff_t column = 0; column < count; column++) sums[column] = 0.0;
    for (ptrdiff_t done = 0; done < drawn; done += AT_ONCE) {
        uint64_t chosen[AT_ONCE];
        int some = drawn - done < AT_ONCE ? (int)(drawn - done) : AT_ONCE;
        draw(&g, rows, chosen);
        for (ptrdiff_t column = 0; column < count; column++) {
            const double *x = columns + column * rows;
            double part[4] = {0.0};
            int i = 0;
            for (; i + 4 <= some; i += 4)
                for (int k = 0; k < 4; k++) part[k] += x[chosen[i + k] >> 32];
            for (; i < some; i++) part[0] += x[chosen[i] >> 32];
            sums[column] += (part[0] + part[2]) + (part[1] + part[3]);
        }
    }
}

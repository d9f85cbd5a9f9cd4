/* Rows drawn with replacement, and sums over them.
 *
 * A generator that is a function of its index (wyrand by Wang Yi: the product of a counter with itself in disguise, folded), with a key that
 * splitmix64 makes of the seed and the resample: a resample's rows do not depend on which thread draws them or on what was drawn
 * before.  Each half u of a number is one draw, row floor(u n / 2^32), once more from another stream where that would favour a row (Lemire's
 * rejection): all rows are exactly as probable.
 */
#include "fastdiv.h"

enum { SUMS = 4, COLUMNS = 4, AT_ONCE = 512 }; /* no addition waits for the last one; columns that one round of draws serves */

static uint64_t mixed(uint64_t z) {
    z += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}
static uint64_t key_of(uint64_t seed, uint64_t resample) { return mixed(mixed(seed) ^ resample); }

static inline uint64_t word(uint64_t key, uint64_t i) {
    uint64_t x = key + (i + 1) * 0xa0761d6478bd642fu;
    unsigned __int128 product = (unsigned __int128)x * (x ^ 0xe7037ed1a0b428dbu);
    return (uint64_t)(product >> 64) ^ (uint64_t)product;
}

static uint32_t limit_of(uint32_t rows) { return (uint32_t)-rows % rows; }

/* Draw i: the careful way, for any i. */
static uint32_t row_of(uint64_t key, uint64_t i, uint32_t rows, uint32_t limit) {
    uint64_t u = word(key, i / 2), product = (i % 2 ? u >> 32 : u & 0xffffffffu) * rows;
    for (uint64_t other = ~key; (uint32_t)product < limit; product = (other >> 32) * rows) other = word(other, i);
    return (uint32_t)(product >> 32);
}

void fd_draw(uint32_t rows, ptrdiff_t drawn, uint64_t seed, uint64_t resample, int64_t *to) {
    uint64_t key = key_of(seed, resample);
    for (ptrdiff_t i = 0; i < drawn; i++) {
        if (i && i % FD_PIECE == 0) fd_pause();
        to[i] = row_of(key, (uint64_t)i, rows, limit_of(rows));
    }
}

typedef struct { double of[COLUMNS][SUMS]; } partial;

/* Adds draws [first, first + AT_ONCE); nonzero if one of them would have to be drawn again. */
FD_INLINE int add_draws(int count, const double *const x[COLUMNS], uint64_t key, uint64_t first, uint32_t rows, uint32_t limit, partial *sums) {
    partial s = *sums;
    int refused = 0;
    for (uint64_t i = 0; i < AT_ONCE; i += SUMS) {
        uint64_t u[SUMS];
        for (int k = 0; k < SUMS; k += 2) {
            uint64_t both = word(key, (first + i + (uint64_t)k) / 2);
            u[k] = (both & 0xffffffffu) * rows;
            u[k + 1] = (both >> 32) * rows;
        }
        for (int k = 0; k < SUMS; k++) {
            refused |= (uint32_t)u[k] < limit;
            for (int c = 0; c < count; c++) s.of[c][k] += x[c][u[k] >> 32];
        }
    }
    if (!refused) *sums = s;
    return refused;
}

FD_INLINE void resample(int count, const double *const x[COLUMNS], uint64_t key, uint32_t rows, ptrdiff_t drawn, double *totals) {
    const uint32_t limit = limit_of(rows);
    partial s = {{{0.0}}};
    for (ptrdiff_t done = 0; done < drawn; done += AT_ONCE) {
        if (done && done % FD_PIECE == 0) fd_pause();
        if (drawn - done >= AT_ONCE && !add_draws(count, x, key, (uint64_t)done, rows, limit, &s)) continue;
        for (ptrdiff_t i = done; i < drawn && i < done + AT_ONCE; i++) {
            uint32_t row = row_of(key, (uint64_t)i, rows, limit);
            for (int c = 0; c < count; c++) s.of[c][i % SUMS] += x[c][row];
        }
    }
    for (int c = 0; c < count; c++) totals[c] = (s.of[c][0] + s.of[c][2]) + (s.of[c][1] + s.of[c][3]);
}

void fd_resample(const double *columns, ptrdiff_t count, uint32_t rows, ptrdiff_t drawn, uint64_t seed, uint64_t resample_number, double *sums) {
    uint64_t key = key_of(seed, resample_number);
    for (ptrdiff_t first = 0; first < count; first += COLUMNS) {
        const double *x[COLUMNS];
        int some = count - first < COLUMNS ? (int)(count - first) : COLUMNS;
        for (int c = 0; c < some; c++) x[c] = columns + (first + c) * (ptrdiff_t)rows;
        switch (some) {
        case 1: resample(1, x, key, rows, drawn, sums + first); break;
        case 2: resample(2, x, key, rows, drawn, sums + first); break;
        default: resample(some, x, key, rows, drawn, sums + first);
        }
    }
}

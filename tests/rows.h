/* Rows for the C tests: of every kind and storage type, made by exact arithmetic alone, so that every compiler and processor makes
 * the same; and memory between two pages that nobody may touch.
 */
#ifndef FASTDIV_TEST_ROWS_H
#define FASTDIV_TEST_ROWS_H
#include "fastdiv.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { LONGEST = 4099, WIDEST_STRIDE = 3 };

/* --- numbers ------------------------------------------------------------------------------------------------------------------- */

typedef struct { uint64_t state; } source;

static uint64_t mixed(uint64_t x) {
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return x ^ x >> 31;
}
static uint64_t bits64(source *s) { return mixed(s->state += 0x9e3779b97f4a7c15u); }
static int below(source *s, int limit) { return (int)(bits64(s) >> 33) % limit; }
static double uniform(source *s) { return (double)((bits64(s) >> 11) + 1) * 0x1p-53; }

/* --- values of a pair of rows -------------------------------------------------------------------------------------------------- */

enum { PLAIN, NEAR, NEARER, EQUAL, MASKED, TINY, FAR_APART, COUNTS, PEAKED, WRONG, KINDS };

static const struct { double tiny, low, high; } limits_of[] = {
    [FD_float16] = {0x1p-14, -6e4, 3e4},
    [FD_bfloat16] = {0x1p-126, -1e9, 1e4},
    [FD_float32] = {0x1p-126, -1e9, 1e4},
    [FD_float64] = {0x1p-1022, -1e300, 1e4},
};

static void make_weights(source *s, int kind, int dtype, int n, double *p, double *q) {
    double tiny = limits_of[dtype].tiny;
    for (int i = 0; i < n; i++) {
        double u = uniform(s), v = uniform(s);
        switch (kind) {
        case NEAR: v = u * (1.0 + 1e-3 * (v - 0.5)); break;
        case NEARER: v = u * (1.0 + 1e-7 * (v - 0.5)); break;
        case EQUAL: v = u; break;
        case MASKED:
            if (below(s, 3) == 0) u = 0.0;
            if (below(s, 4) == 0) v = 0.0;
            break;
        case TINY: /* subnormal, or nearly */
            if (below(s, 4)) u *= tiny;
            if (below(s, 2)) v *= tiny;
            break;
        case FAR_APART:
            u = ldexp(u, -below(s, dtype == FD_float16 ? 14 : dtype == FD_float64 ? 1000 : 120));
            v = ldexp(v, -below(s, dtype == FD_float16 ? 14 : dtype == FD_float64 ? 1000 : 120));
            break;
        case COUNTS: u = (double)below(s, 1000), v = (double)below(s, 1000); break;
        case PEAKED:
            u = i == n / 2 ? 1.0 : u * 1e-6;
            v = i == n / 2 ? 1.0 : v * 1e-6;
            break;
        }
        p[i] = u, q[i] = v;
    }
    if (kind == WRONG && n) (below(s, 2) ? p : q)[below(s, n)] = (double[]){-1.0, INFINITY, NAN}[below(s, 3)];
}

static void make_logits(source *s, int kind, int dtype, int n, double *a, double *b) {
    double shift = below(s, 4) ? 0.0 : limits_of[dtype].high * (uniform(s) - 0.5);
    for (int i = 0; i < n; i++) {
        double u = shift + 12.0 * (uniform(s) + uniform(s) + uniform(s) - 1.5), v = shift + 12.0 * (uniform(s) + uniform(s) - 1.0);
        switch (kind) {
        case NEAR: v = u + 1e-2 * (uniform(s) - 0.5); break;
        case NEARER: v = u + 1e-5 * (uniform(s) - 0.5); break;
        case EQUAL: v = u; break;
        case MASKED:
            if (below(s, 3) == 0) u = v = -INFINITY;
            if (below(s, 5) == 0) u = -INFINITY;
            if (below(s, 5) == 0) v = limits_of[dtype].low;
            break;
        case TINY: u *= 12.0, v *= 12.0; break; /* many probabilities underflow */
        case FAR_APART: v = below(s, 3) ? v : shift - 9e3 * uniform(s); break;
        case COUNTS: u = shift + (double)below(s, 3), v = shift + (double)below(s, 3); break; /* ties */
        case PEAKED:
            u = i == n / 2 ? shift : u - 60.0;
            v = i == n / 2 ? shift : v - 50.0;
            break;
        }
        a[i] = u, b[i] = v;
    }
    if (kind == WRONG && n) {
        double *row = below(s, 2) ? a : b, what = (double[]){INFINITY, NAN, -INFINITY}[below(s, 3)];
        if (what == -INFINITY)
            for (int i = 0; i < n; i++) row[i] = what;
        else
            row[below(s, n)] = what;
    }
}

/* --- storage ------------------------------------------------------------------------------------------------------------------- */

static size_t size_of(int dtype) { return dtype == FD_float64 ? 8 : dtype == FD_float32 ? 4 : 2; }

static uint16_t half(double x) {
    uint16_t sign = signbit(x) ? 0x8000 : 0;
    double size = fabs(x);
    if (isnan(x)) return 0x7e00;
    if (size >= 65520.0) return sign | 0x7c00;
    int exponent;
    frexp(size, &exponent);
    int quantum = exponent - 11 < -24 ? -24 : exponent - 11;
    return (uint16_t)(sign | (((quantum + 24) << 10) + (int)(ldexp(size, -quantum) + 0.5)));
}

static void put(char *to, int dtype, double x) {
    float narrow = (float)x;
    uint32_t bits;
    uint16_t upper;
    memcpy(&bits, &narrow, 4);
    upper = isnan(x) ? 0x7fc0 : (uint16_t)(bits >> 16);
    if (dtype == FD_float16) upper = half(x);
    if (dtype == FD_float64) memcpy(to, &x, 8);
    else if (dtype == FD_float32) memcpy(to, &narrow, 4);
    else memcpy(to, &upper, 2);
}

/* `size` bytes between two pages that nobody may touch. */
typedef struct { char *begin, *end; } arena;

static arena between_guards(size_t size) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE), inner = (size + page - 1) / page * page;
    char *all = mmap(NULL, inner + 2 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (all == MAP_FAILED || mprotect(all + page, inner, PROT_READ | PROT_WRITE)) {
        perror("mmap");
        exit(2);
    }
    return (arena){all + page, all + page + inner};
}
static void unmap(arena a) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    munmap(a.begin - page, (size_t)(a.end - a.begin) + 2 * page);
}

/* The row somewhere in its arena: against either end, or at any offset from a line of the cache; elements one behind the other, with
 * gaps, or from last to first. */
static fd_row placed(source *where, arena room, int dtype, const double *x, int n) {
    size_t size = size_of(dtype);
    int step = (int[]){1, 1, 1, 2, WIDEST_STRIDE, -1}[below(where, 6)], width = step < 0 ? -step : step;
    size_t extent = n ? ((size_t)(n - 1) * (size_t)width + 1) * size : 0;
    int place = below(where, 4), offset = below(where, 64);
    char *first = place == 0 ? room.begin : place == 1 ? room.end - extent : room.begin + offset / (int)size * (int)size;
    if (step < 0 && n) first += (size_t)(n - 1) * size;
    fd_row row = {.data = first, .stride = step * (ptrdiff_t)size, .dtype = dtype};
    for (int i = 0; i < n; i++) put(first + i * row.stride, dtype, x[i]);
    return row;
}
#endif

/* libFuzzer: any bytes as rows, to every kernel.  Clang's sanitizers notice what is read or written outside the rows (which lie in
 * allocations of their exact size); this file notices instruction sets that disagree.
 *
 *     make fuzz
 */
#include "fastdiv.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static size_t size_of(int dtype) { return dtype == FD_float64 ? 8 : dtype == FD_float32 ? 4 : 2; }

static double generator(double u) { return (u - 1.0) * (u - 1.0) / (u + 2.0); }

typedef struct { double number[64]; int count; } results;
static void add(results *r, double x) { r->number[r->count++] = x == x ? x : 0x1.badp+9; }

typedef struct {
    int kernel, source, in_double;
    double parameter, temperature;
    fd_token token;
} task;

static results run(const fd_kernels *kernels, const task *t, fd_row p, fd_row q, ptrdiff_t n) {
    results r = {.count = 0};
    double number[FD_COMPARISONS], x;
    int d = t->in_double, tempered = d || t->temperature != 0.0;
    if (t->kernel < FD_DIVERGENCES) {
        add(&r, kernels->pair[t->kernel][t->source][d](p, fd_descriptions[t->kernel].unary ? p : q, n, t->parameter, &x));
        add(&r, x);
        return r;
    }
    fd_row a = p, b = q;
    a.temperature = b.temperature = t->temperature;
    switch (t->kernel - FD_DIVERGENCES) {
    case 0: add(&r, kernels->log_sum_exp[d](p, n, &x)), add(&r, x); break;
    case 1: add(&r, kernels->token_nll[tempered](a, n, t->token.label, &x)), add(&r, x); break;
    case 2:
        add(&r, kernels->compare[tempered](a, b, n, &t->token, number));
        for (int i = 0; i < FD_COMPARISONS; i++) add(&r, number[i]);
        break;
    case 3:
        add(&r, kernels->statistics[tempered](a, n, &t->token, number));
        for (int i = 0; i < FD_STATISTICS; i++) add(&r, number[i]);
        break;
    case 4: add(&r, kernels->truncated_kl[d](p, q, n, t->parameter, &x)), add(&r, x); break;
    case 5: add(&r, kernels->f_divergence[t->source][d](p, q, n, (fd_generator){generator, 0.5, 1.0}, &x)), add(&r, x); break;
    case 6: {
        double *gaps = calloc((size_t)n, sizeof *gaps);
        for (ptrdiff_t i = 0; i < n; i++) gaps[i] = 1.0 + (double)(i % 3);
        add(&r, kernels->wasserstein[t->source][d](p, q, (fd_row){(const char *)gaps, 8, FD_float64, 0.0}, n, &x)), add(&r, x);
        free(gaps);
        break;
    }
    default: {
        double *prepared = malloc(2 * (size_t)n * sizeof *prepared), of_p = kernels->js_prepare(p, n, prepared);
        double of_q = kernels->js_prepare(q, n, prepared + n);
        add(&r, of_p), add(&r, of_q);
        if (of_p == of_p && of_q == of_q && kernels->js_from_prepared(prepared, prepared + n, n, of_p, of_q, &x)) add(&r, x);
        free(prepared);
    }
    }
    return r;
}

/* A row in an allocation of its exact size, at its elements' alignment and none better. */
static fd_row row_of(int dtype, int backwards, const uint8_t *bytes, ptrdiff_t n, char **to_free) {
    size_t size = size_of(dtype), length = (size_t)n * size;
    char *at = *to_free = malloc(length + size);
    memcpy(at += size, bytes, length);
    return (fd_row){backwards ? at + length - size : at, backwards ? -(ptrdiff_t)size : (ptrdiff_t)size, dtype, 0.0};
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count) {
    enum { HEAD = 12 };
    if (count < HEAD + 2) return 0;
    const uint8_t *head = bytes;
    bytes += HEAD, count -= HEAD;
    int dtype_p = head[0] & 3, dtype_q = head[0] >> 2 & 3;
    ptrdiff_t n = (ptrdiff_t)(count / (size_of(dtype_p) + size_of(dtype_q)));
    if (n == 0) return 0;
    task t = {.kernel = head[1] % (FD_DIVERGENCES + 8), .source = head[2] % FD_SOURCES, .in_double = dtype_p == FD_float64 || dtype_q == FD_float64};
    const char *takes = t.kernel < FD_DIVERGENCES ? fd_descriptions[t.kernel].parameter : NULL;
    t.parameter = takes && takes[0] == 'w' ? head[3] / 255.0 : (head[3] - 128) / 16.0;
    t.temperature = head[4] & 1 ? 0.25 + head[4] / 64.0 : 0.0;
    t.token = (fd_token){.label = head[5] == 255 ? -100 : head[5] % n, .wanted = head[6] | head[7] << 8 | head[8] << 16,
                         .top = 1 + head[9] % FD_TOP, .weight = head[10] & 1 ? 0.5 : head[10] / 255.0};
    char *of_p, *of_q;
    fd_row p = row_of(dtype_p, head[11] & 1, bytes, n, &of_p), q = row_of(dtype_q, head[11] & 2, bytes + (size_t)n * size_of(dtype_p), n, &of_q);
    if (head[11] & 4 && dtype_p == dtype_q) q = p;
    results first = {.count = -1};
    for (const fd_isa *isa = fd_isas; isa->name; isa++) {
        if (!isa->supported()) continue;
        t.token.scratch = malloc(FD_SCRATCH(n));
        results r = run(isa->kernels, &t, p, q, n);
        free(t.token.scratch);
        if (first.count < 0) first = r;
        if (first.count != r.count || memcmp(first.number, r.number, sizeof(double) * (size_t)r.count)) {
            fprintf(stderr, "%s and %s differ: kernel %d, source %d, n %td\n", fd_isas->name, isa->name, t.kernel, t.source, n);
            abort();
        }
    }
    free(of_p), free(of_q);
    return 0;
}

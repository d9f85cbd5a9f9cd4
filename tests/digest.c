/* One number for the bits of every result: P7 and P9 of the contract.
 *
 *     digest INSTRUCTIONS THREADS ENVIRONMENT PLACEMENT
 *
 * hashes the results of every kernel for ROWS pairs of rows and prints, for one set of instructions or for `all` of them, a line per
 * kernel and one for the whole.  Neither the number of threads, nor the caller's floating-point environment (nearest, downward, upward,
 * toward_zero, flush), nor where rows lie (any number is another PLACEMENT, all of them flush against pages that nobody may touch in
 * half of the cases) may change a digit.
 *
 *     digest scratch
 *
 * runs the comparison of two rows with as much scratch as it asks for and no byte more.
 *
 * With an FD_SEGMENT_LENGTH shorter than the rows, there are fewer and longer ones, each added up in parts, by all threads together.
 *
 * With FD_LIBRARY defined there is no main: `fastdiv_digest` takes the table of instruction sets of a built package.
 */
#define _GNU_SOURCE
#include "rows.h"
#include <fenv.h>
#include <pthread.h>
#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

enum { SEGMENTED = (int)FD_SEGMENT < (int)LONGEST, ROWS = SEGMENTED ? 66 : 10240 };

/* --- what is hashed: a column per divergence, and one for each other kernel ----------------------------------------------------- */

enum { LOG_SUM_EXP = FD_DIVERGENCES, TOKEN_NLL, COMPARE, STATISTICS, TRUNCATED_KL, F_DIVERGENCE, WASSERSTEIN, JS_PREPARED, RESAMPLE, COLUMNS };

static const char *const column_names[COLUMNS] = {
#define FD_DIVERGENCE(name, ...) [FD_##name] = #name,
#define FD_ROOT(name, of) [FD_##name] = #name,
#define FD_OTHER(name) [FD_##name] = #name,
#include "divergences.def"
    [LOG_SUM_EXP] = "log_sum_exp", [TOKEN_NLL] = "token_nll", [COMPARE] = "compare", [STATISTICS] = "statistics",
    [TRUNCATED_KL] = "truncated_kl", [F_DIVERGENCE] = "f_divergence", [WASSERSTEIN] = "wasserstein", [JS_PREPARED] = "js_prepared",
    [RESAMPLE] = "resample",
};

_Static_assert(sizeof(fd_kernels) == sizeof(fd_pair_kernel) * (2 * FD_DIVERGENCES * FD_SOURCES * 2 + 5 * 2 + 3 + 2 * FD_SOURCES * 2),
               "fd_kernels has a kernel that is not hashed here");

/* Values of each parameter there is. */
static const struct { const char *name; double values[8]; } parameter_values[] = {
    {"weight", {0.3, 0.9, 0.5, 0.0, 1.0, 0.01, 0.75, 0.5}},
    {"alpha", {0.3, 2.0, 0.5, 1.0, 2.5, 0.0, INFINITY, -1.5}},
};
static const char *const parameter_of[FD_DIVERGENCES] = {
#define FD_PARAMETER(name, parameter) [FD_##name] = #parameter,
#include "divergences.def"
};
static const char is_unary[FD_DIVERGENCES] = {
#define FD_UNARY(name) [FD_##name] = 1,
#include "divergences.def"
};
static double parameter(int divergence, int choice) {
    if (!parameter_of[divergence]) return 0.0;
    for (size_t i = 0; i < sizeof parameter_values / sizeof *parameter_values; i++)
        if (!strcmp(parameter_values[i].name, parameter_of[divergence])) return parameter_values[i].values[choice % 8];
    fprintf(stderr, "no values of the parameter %s are known here\n", parameter_of[divergence]);
    exit(2);
}

static double generator(double u) { return (u - 1.0) * (u - 1.0) / (u + 2.0); }

/* --- one row ------------------------------------------------------------------------------------------------------------------- */

typedef struct { const fd_kernels *kernels; uint64_t placement, (*hashes)[COLUMNS]; int begin; } job;
typedef struct { arena p, q, gaps, scratch; double *a, *b, *gap, *prepared_p, *prepared_q; } room;

static uint64_t hashed(uint64_t hash, double x) {
    uint64_t bits = 0x7ff8000000000000u; /* of a NaN only that it is one */
    if (x == x) memcpy(&bits, &x, 8);
    return mixed(hash ^ bits) + 0x9e3779b97f4a7c15u;
}

static int length_of(int row) {
    static const int longer[] = {127, 128, 129, 255, 256, 257, 300, 511, 512, 513, 600}, longest[] = {2047, 2048, 2049, LONGEST};
    static const int in_parts[] = {255, 256, 257, 511, 512, 513, 600, 1023, 1024, 1025, 1026, 1300, 1537, 2047, 2048, 2049, 2304, 2305, 3000, LONGEST};
    if (SEGMENTED) return row % 22 < 20 ? in_parts[row % 22] : 1024 + (row * 131) % (LONGEST - 1024);
    if (row % 16) return 1 + (row - row / 16) % 65;
    return row % 512 ? longer[row / 16 % 11] : longest[row / 512 % 4];
}

/* Scratch of rows of n elements, which ends where its arena ends but for `gap` doubles. */
static void *scratch_of(const room *r, int n, int gap) { return r->scratch.end - FD_SCRATCH(n) - 8 * gap; }

static void hash_weights(const job *j, const room *r, fd_row p, fd_row q, fd_row gaps, int n, int where, int in_double, uint64_t *hash) {
    double x, from_p = j->kernels->js_prepare(p, n, r->prepared_p), from_q = j->kernels->js_prepare(q, n, r->prepared_q);
    fd_generator g = {generator, 0.5, 1.0};
    int status = j->kernels->f_divergence[where][in_double](p, q, n, g, &x);
    hash[F_DIVERGENCE] = hashed(hashed(0, x), status);
    status = j->kernels->wasserstein[where][in_double](p, q, gaps, n, &x);
    hash[WASSERSTEIN] = hashed(hashed(0, x), status);
    if (where != FD_NORMALIZED) return;
    hash[JS_PREPARED] = hashed(hashed(0, from_p), from_q);
    if (from_p == from_p && from_q == from_q) {
        int enough = j->kernels->js_from_prepared(r->prepared_p, r->prepared_q, n, from_p, from_q, &x);
        hash[JS_PREPARED] = hashed(hashed(hash[JS_PREPARED], x), enough);
        for (int i = 0; i < n; i++) hash[JS_PREPARED] = hashed(hashed(hash[JS_PREPARED], r->prepared_p[i]), r->prepared_q[i]);
    }
    status = j->kernels->js_exact(p, q, n, 0.0, &x);
    hash[JS_PREPARED] = hashed(hashed(hash[JS_PREPARED], x), status);
}

static void hash_tokens(const job *j, const room *r, fd_row a, fd_row b, int n, int in_double, source *s, uint64_t *hash) {
    double x, compared[FD_COMPARISONS], known[FD_STATISTICS], temperature = (double[]){0.0, 0.0, 0.7, 2.5}[below(s, 4)];
    int all = (1 << FD_COMPARISONS) - 1;
    fd_token token = {.label = below(s, 8) ? below(s, n) : -100, .wanted = (int[]){all, all, 7, (int)(bits64(s) & (uint64_t)all)}[below(s, 4)],
                      .top = (int[]){1, 5, 40, FD_TOP}[below(s, 4)], .weight = below(s, 2) ? 0.5 : 0.3, .scratch = scratch_of(r, n, 0)};
    int status = j->kernels->log_sum_exp[in_double](a, n, &x);
    hash[LOG_SUM_EXP] = hashed(hashed(0, x), status);
    status = j->kernels->truncated_kl[in_double](a, b, n, -16.0, &x);
    hash[TRUNCATED_KL] = hashed(hashed(0, x), status);
    a.temperature = b.temperature = temperature;
    if (temperature != 0.0) in_double = 1;
    status = j->kernels->token_nll[in_double](a, n, token.label, &x);
    hash[TOKEN_NLL] = hashed(hashed(0, x), status);
    status = j->kernels->compare[in_double](a, b, n, &token, compared);
    hash[COMPARE] = hashed(0, status);
    for (int i = 0; i < FD_COMPARISONS; i++) hash[COMPARE] = hashed(hash[COMPARE], compared[i]);
    status = j->kernels->statistics[in_double](a, n, &token, known);
    hash[STATISTICS] = hashed(0, status);
    for (int i = 0; i < FD_STATISTICS; i++) hash[STATISTICS] = hashed(hash[STATISTICS], known[i]);
}

/* Several pairs out of two rows of n elements: windows, each an element behind the one before; columns; or either of one row and the others.
 * One pair alone has the bits that it has among the others. */
static uint64_t hash_several(const job *j, int d, fd_row p, fd_row q, int n, int where, int in_double, double number, int choice, uint64_t hash) {
    int lie = choice / 6 % 4, most = lie % 2 ? FD_ROWS : 9, wanted = 1 + choice / 24 % most, count = wanted < n ? wanted : n;
    int one = choice / 24 / most % count;
    int length = lie % 2 ? n / count : n - count + 1;
    const ptrdiff_t step_p = p.stride, step_q = lie < 2 ? q.stride : 0;
    double x[FD_ROWS], alone;
    if (lie % 2) p.stride *= count;
    if (lie == 1) q.stride *= count;
    int status = j->kernels->rows[d][where][in_double](p, step_p, q, step_q, count, length, number, x);
    hash = hashed(hash, status);
    for (int k = 0; k < count; k++) hash = hashed(hash, x[k]);
    p.data += one * step_p, q.data += one * step_q;
    int of_one = j->kernels->pair[d][where][in_double](p, q, length, number, &alone);
    return hashed(hash, hashed(0, alone) != hashed(0, x[one]) || (of_one & ~status) || (count == 1 && of_one != status));
}

static void hash_row(const job *j, const room *r, int row) {
    source s = {mixed((uint64_t)row)}, place = {mixed((uint64_t)row ^ mixed(j->placement))};
    uint64_t hash[COLUMNS] = {0};
    int n = length_of(row), where = row / 2 % FD_SOURCES, kind = below(&s, KINDS), choice = below(&s, 8);
    int dtype_p = below(&s, 4), dtype_q = below(&s, 4) ? dtype_p : below(&s, 4), in_double = dtype_p == FD_float64 || dtype_q == FD_float64;
    int narrower = dtype_p == FD_float16 || dtype_q == FD_float16 ? FD_float16 : dtype_p < dtype_q ? dtype_p : dtype_q;
    (where == FD_LOGITS ? make_logits : make_weights)(&s, kind, narrower, n, r->a, r->b);
    for (int i = 0; i < n; i++) r->gap[i] = uniform(&s);
    fd_row p = placed(&place, r->p, dtype_p, r->a, n), q = placed(&place, r->q, dtype_q, r->b, n);
    for (int d = 0; d < FD_DIVERGENCES; d++) {
        double x;
        int status = j->kernels->pair[d][where][in_double](p, is_unary[d] ? p : q, n, parameter(d, choice), &x);
        hash[d] = hashed(hashed(0, x), status);
        if (j->kernels->rows[d][where][in_double]) hash[d] = hash_several(j, d, p, q, n, where, in_double, parameter(d, choice), row + d, hash[d]);
    }
    if (where == FD_LOGITS) hash_tokens(j, r, p, q, n, in_double, &s, hash);
    else hash_weights(j, r, p, q, placed(&place, r->gaps, FD_float64, r->gap, n), n, where, in_double, hash);
    if (row % 16 == 0) { /* n rows of two columns, drawn n times */
        double total[2];
        fd_resample(r->a, 1, (uint32_t)n, n, (uint64_t)row, 7, total);
        hash[RESAMPLE] = hashed(0, total[0]);
    }
    if (fd_leads()) memcpy(j->hashes[row], hash, sizeof hash); /* of those who share the row */
}

static room new_room(void) {
    size_t most = (size_t)LONGEST * WIDEST_STRIDE * sizeof(double);
    room r = {.p = between_guards(most), .q = between_guards(most), .gaps = between_guards(most), .scratch = between_guards(FD_SCRATCH(LONGEST) + 64)};
    double *numbers = malloc(5 * LONGEST * sizeof *numbers);
    if (!numbers) exit(2);
    r.a = numbers, r.b = r.a + LONGEST, r.gap = r.b + LONGEST, r.prepared_p = r.gap + LONGEST, r.prepared_q = r.prepared_p + LONGEST;
    return r;
}
static void leave(room r) {
    unmap(r.p), unmap(r.q), unmap(r.gaps), unmap(r.scratch);
    free(r.a);
}

static int hash_rows(void *context, ptrdiff_t first, ptrdiff_t last) {
    room r = new_room();
    for (ptrdiff_t row = first; row < last; row++) hash_row(context, &r, ((job *)context)->begin + (int)row);
    leave(r);
    return 0;
}

/* --- the caller's floating-point environment ------------------------------------------------------------------------------------ */

void fastdiv_environment(const char *environment) {
    static const struct { const char *name; int mode; } modes[] = {
        {"nearest", FE_TONEAREST}, {"downward", FE_DOWNWARD}, {"upward", FE_UPWARD}, {"toward_zero", FE_TOWARDZERO}};
    for (int i = 0; i < 4; i++)
        if (!strcmp(environment, modes[i].name)) {
            fesetround(modes[i].mode);
            return;
        }
    if (!strcmp(environment, "flush")) {
#if defined(__x86_64__)
        _mm_setcsr(_mm_getcsr() | 0x8040);
#elif defined(__aarch64__)
        uint64_t control;
        __asm__ volatile("mrs %0, fpcr" : "=r"(control));
        __asm__ volatile("msr fpcr, %0" : : "r"(control | (uint64_t)1 << 24));
#endif
        return;
    }
    if (!strcmp(environment, "reset")) {
        fesetenv(FE_DFL_ENV);
        return;
    }
    fprintf(stderr, "no floating-point environment is called %s\n", environment);
    exit(2);
}
uint64_t fastdiv_control_word(void) {
#if defined(__x86_64__)
    return _mm_getcsr() & ~0x3fu; /* all but the flags */
#elif defined(__aarch64__)
    uint64_t control;
    __asm__ volatile("mrs %0, fpcr" : "=r"(control));
    return control;
#else
    return (uint64_t)fegetround();
#endif
}

/* The digest of each column and, last, of all; nonzero if the environment was not put back. */
int fastdiv_digest(const fd_kernels *kernels, int threads, const char *environment, uint64_t placement, uint64_t digest[COLUMNS + 1]) {
    job j = {kernels, placement, malloc(ROWS * sizeof *j.hashes), 0};
    fenv_t before;
    if (!j.hashes) exit(2);
    fegetenv(&before);
    fastdiv_environment(environment);
    uint64_t control = fastdiv_control_word();
    if (SEGMENTED)
        for (; j.begin < ROWS; j.begin++) fd_parallel(hash_rows, &j, 1, length_of(j.begin), threads, 1, NULL);
    else
        fd_parallel(hash_rows, &j, ROWS, 1000, threads, 0, NULL);
    int lost = fastdiv_control_word() != control;
    fesetenv(&before);
    memset(digest, 0, (COLUMNS + 1) * sizeof *digest);
    for (int c = 0; c < COLUMNS; c++) {
        for (int row = 0; row < ROWS; row++) digest[c] = mixed(digest[c] ^ j.hashes[row][c]) + (uint64_t)c;
        digest[COLUMNS] = mixed(digest[COLUMNS] ^ digest[c]) + 1;
    }
    free(j.hashes);
    return lost;
}

const char *fastdiv_digest_column(int column) { return column < COLUMNS ? column_names[column] : NULL; }

#if !defined(FD_LIBRARY)
/* As much scratch as rows of n elements need, at each place within a line of the cache; behind it is a mark, or nothing at all. */
static int scratch_suffices(const fd_kernels *kernels) {
    static const int longer[] = {1023, 1024, 1025, 2047, 2048, 2049, 4095, 4096, 4097, LONGEST};
    room r = new_room();
    double result[FD_COMPARISONS], *mark = (double *)r.scratch.end - 7;
    int wrong = 0;
    for (int i = 0; i <= 600 + 10; i++) {
        int n = i <= 600 ? i : longer[i - 601];
        source s = {mixed((uint64_t)i)};
        make_logits(&s, i % KINDS == WRONG ? PLAIN : i % KINDS, FD_float32, n, r.a, r.b);
        for (int gap = 0; gap < 8; gap++)
            for (int in_double = 0; in_double < 2; in_double++) {
                fd_row a = placed(&s, r.p, in_double ? FD_float64 : FD_float32, r.a, n), b = placed(&s, r.q, a.dtype, r.b, n);
                fd_token token = {.label = n / 2, .wanted = (1 << FD_COMPARISONS) - 1, .top = 5, .weight = 0.5, .scratch = scratch_of(&r, n, gap)};
                for (int k = 0; k < 7; k++) mark[k] = 0x1.23456789abcdep+77;
                kernels->compare[in_double](a, b, n, &token, result);
                for (int k = 7 - gap; k < 7; k++) wrong += mark[k] != 0x1.23456789abcdep+77;
            }
    }
    leave(r);
    return wrong;
}

int main(int count, char **arguments) {
    int scratch = count == 2 && !strcmp(arguments[1], "scratch"), lost = 0, run = 0;
    if (count != 5 && !scratch) {
        fprintf(stderr, "usage: digest INSTRUCTIONS THREADS ENVIRONMENT PLACEMENT | digest scratch\n");
        return 2;
    }
    for (const fd_isa *isa = fd_isas; isa->name; isa++) {
        uint64_t digest[COLUMNS + 1];
        if (!isa->supported() || (!scratch && strcmp(arguments[1], "all") && strcmp(arguments[1], isa->name))) continue;
        run++;
        if (scratch) {
            int wrong = scratch_suffices(isa->kernels);
            printf("%s scratch %d\n", isa->name, wrong);
            lost |= wrong;
            continue;
        }
        lost |= fastdiv_digest(isa->kernels, atoi(arguments[2]), arguments[3], strtoull(arguments[4], NULL, 10), digest);
        for (int c = 0; c < COLUMNS; c++) printf("%s %s %016llx\n", isa->name, column_names[c], (unsigned long long)digest[c]);
        printf("%s all %016llx\n", isa->name, (unsigned long long)digest[COLUMNS]);
        fflush(stdout);
    }
    return lost ? 1 : run ? 0 : 2;
}
#endif

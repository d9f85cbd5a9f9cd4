/* One number for the bits of every divergence of Gaussians: what digest.c is for the other kernels.
 *
 *     gaussian_digest THREADS ENVIRONMENT PLACEMENT INSTRUCTIONS...
 *
 * computes BATCHES batches of problems: full, of factors and diagonal, of Kullback and Leibler and of Renyi, of 1 to 70 variables, far
 * from each other to equal, and some that are no Gaussians; and prints a line per form and one for the whole.  Neither the number of
 * threads, nor the caller's floating-point environment, nor where operands lie and how they are strode may change a digit.  Every second
 * operand ends, or begins, where a page begins that nobody may touch.
 *
 * `fastdiv_gaussian_digest` takes a kernel of a built package, too.
 */
#define FD_LIBRARY
#include "digest.c"
#include "gaussian/gaussian.h"

enum { BATCHES = 768, MOST = 70, LARGEST = 70, FORMS = 8 };

const char *const fastdiv_gaussian_forms[FORMS + 1] = {
    "full", "full_renyi", "factors", "factors_renyi", "variances", "variances_renyi", "deviations", "deviations_renyi", "all",
};

typedef struct { double *mean[2], *scale[2], *order; } numbers;

/* A lower factor, or what is no factor at all. */
static void make_factor(source *s, int k, double *a) {
    for (int i = 0; i < k; i++)
        for (int j = 0; j < k; j++) a[i * k + j] = j > i ? 9.0 * uniform(s) : i == j ? 0.25 + 2.0 * uniform(s) : uniform(s) - 0.5;
}
static double wide(source *s) { /* one call after the other: arguments have no order */
    double x = uniform(s);
    return ldexp(x, -below(s, 9));
}
static void times_its_transpose(int k, const double *l, double *a) {
    for (int i = 0; i < k; i++)
        for (int j = 0; j < k; j++) {
            double sum = 0.0;
            for (int m = 0; m <= (i < j ? i : j); m++) sum = fma(l[i * k + m], l[j * k + m], sum);
            a[i * k + j] = sum;
        }
}
static void make_problem(source *s, int k, int diagonal, int factors, double *mean_p, double *scale_p, double *mean_q, double *scale_q) {
    static const double how_far[] = {1.0, 1.0, 0.3, 1e-2, 1e-5, 1e-8, 1e-12, 0.0};
    double near = how_far[below(s, 8)], unit = (double[]){1.0, 1.0, 1.0, 0x1p-300, 0x1p200}[below(s, 5)];
    int size = diagonal ? k : k * k;
    double *first = malloc(2 * (size_t)size * sizeof *first), *second = first + size;
    if (!first) exit(2);
    if (diagonal)
        for (int i = 0; i < k; i++) first[i] = wide(s), second[i] = wide(s);
    else
        make_factor(s, k, first), make_factor(s, k, second);
    for (int i = 0; i < size; i++) second[i] = first[i] + near * (second[i] - first[i]);
    if (diagonal || factors) {
        memcpy(scale_q, first, (size_t)size * sizeof *first);
        memcpy(scale_p, second, (size_t)size * sizeof *first);
    } else {
        times_its_transpose(k, first, scale_q);
        times_its_transpose(k, second, scale_p);
    }
    free(first);
    double of_scale = factors ? unit : unit * unit;
    for (int i = 0; i < size; i++) scale_p[i] *= of_scale, scale_q[i] *= of_scale;
    for (int i = 0; i < k; i++) {
        mean_q[i] = unit * (uniform(s) - 0.5);
        mean_p[i] = mean_q[i] + unit * near * (uniform(s) - 0.5);
    }
    if (below(s, 12) == 0) { /* no Gaussians, or one of them on a plane */
        double *where = (double *[]){mean_p, scale_p, mean_q, scale_q}[below(s, 4)];
        int at = below(s, where == mean_p || where == mean_q ? k : size);
        where[at] = (double[]){NAN, INFINITY, -1.0, 0.0, 0x1p-1070}[below(s, 5)];
    }
}

/* --- one batch ------------------------------------------------------------------------------------------------------------------ */

typedef int (*parallel)(fd_work, void *, ptrdiff_t, ptrdiff_t, int, int, fd_poll);
typedef struct { parallel run; fd_work work; int threads; const char *environment; uint64_t placement; } way;
typedef struct { arena room[FD_GAUSSIAN_OPERANDS]; numbers of; } place;

/* Items of `length` numbers, of rows of k: against an end of its arena or not, backwards, apart, and rows of a matrix turned. */
static void put_operand(source *where, arena room, fd_gaussians *g, int operand, const double *x, int rows, int k, int dense) {
    int turned = !dense && rows == k && below(where, 2), apart = !dense && below(where, 2), backwards = !dense && below(where, 3) == 0;
    ptrdiff_t wide = k + apart, item = (ptrdiff_t)rows * wide + (dense ? 0 : below(where, 2)), count = g->count;
    size_t extent = (size_t)(count * item) * sizeof(double);
    double *first = (double *)(void *)(below(where, 2) ? room.begin : room.end - extent);
    if (backwards) first += (count - 1) * item;
    g->data[operand] = (const char *)first;
    g->steps[operand][0] = (backwards ? -item : item) * (ptrdiff_t)sizeof(double);
    g->row[operand] = (turned ? 1 : wide) * (ptrdiff_t)sizeof(double);
    g->column[operand] = (turned ? wide : 1) * (ptrdiff_t)sizeof(double);
    if (rows == 1) g->row[operand] = g->column[operand] = sizeof(double);
    for (ptrdiff_t n = 0; n < count; n++)
        for (int i = 0; i < rows; i++)
            for (int j = 0; j < k; j++) {
                double *to = first + n * (backwards ? -item : item);
                to[turned ? j * wide + i : i * wide + j] = x[(n * rows + i) * k + j];
            }
}

static uint64_t hash_batch(const way *w, int batch, const place *p, int *lost) {
    static const int sizes[] = {1, 2, 3, 4, 5, 7, 8, 9, 13, 16, 17, 2, 3, 4, 8, LARGEST};
    source s = {mixed((uint64_t)batch)}, where = {mixed((uint64_t)batch ^ mixed(w->placement))};
    int form = batch % FORMS, diagonal = form / 2 >= 2, factors = form / 2 % 2, renyi = form % 2;
    int k = sizes[below(&s, 16)], count = 1 + below(&s, k > 20 ? 9 : MOST), size = diagonal ? k : k * k, shared = below(&s, 4) == 0;
    fd_gaussians g = {.count = count, .k = k, .axes = 1, .diagonal = diagonal, .factors = factors};
    double result[MOST];
    int dense = below(&where, 3) == 0; /* as most are */
    g.shape[0] = count;
    for (int n = 0; n < count; n++) {
        make_problem(&s, k, diagonal, factors, p->of.mean[0] + n * k, p->of.scale[0] + n * size, p->of.mean[1] + n * k, p->of.scale[1] + n * size);
        p->of.order[n] = (double[]){0.5, 0.75, 0.999, 1.25, 2.0, 7.0}[below(&s, 6)];
    }
    for (int q = 0; q < 2; q++) {
        put_operand(&where, p->room[q ? FD_MEAN_Q : FD_MEAN_P], &g, q ? FD_MEAN_Q : FD_MEAN_P, p->of.mean[q], 1, k, dense);
        put_operand(&where, p->room[q ? FD_SCALE_Q : FD_SCALE_P], &g, q ? FD_SCALE_Q : FD_SCALE_P, p->of.scale[q], diagonal ? 1 : k, k, dense);
    }
    put_operand(&where, p->room[FD_ORDER], &g, FD_ORDER, p->of.order, 1, 1, dense);
    if (!renyi) g.data[FD_ORDER] = NULL;
    if (shared) { /* one Q for all */
        g.steps[FD_MEAN_Q][0] = g.steps[FD_SCALE_Q][0] = 0;
        g.data[FD_MEAN_Q] = (const char *)p->of.mean[1], g.data[FD_SCALE_Q] = (const char *)p->of.scale[1];
        g.row[FD_SCALE_Q] = (diagonal ? 1 : k) * (ptrdiff_t)sizeof(double), g.column[FD_SCALE_Q] = sizeof(double);
        g.row[FD_MEAN_Q] = g.column[FD_MEAN_Q] = sizeof(double);
    }
    g.result = result;
    if (count % 2 == 0 && below(&where, 2)) {
        g.axes = 2, g.shape[0] = 2, g.shape[1] = count / 2;
        for (int o = 0; o < FD_GAUSSIAN_OPERANDS; o++) g.steps[o][1] = g.steps[o][0], g.steps[o][0] *= count / 2;
    }
    fenv_t before;
    fegetenv(&before);
    fastdiv_environment(w->environment);
    uint64_t control = fastdiv_control_word();
    uint64_t hash = FD_NO_SCRATCH & (uint64_t)w->run(w->work, &g, (count + 7) / 8, 1 << 20, w->threads, 0, NULL);
    *lost |= fastdiv_control_word() != control;
    fesetenv(&before);
    for (int n = 0; n < count; n++) hash = hashed(hash, result[n]);
    return hash;
}

static place new_place(void) {
    size_t vectors = (size_t)MOST * (LARGEST + 2) * 2, matrices = (size_t)MOST * 20 * 21 * 2 + (size_t)10 * LARGEST * (LARGEST + 2) * 2;
    place p = {.of = {{NULL}, {NULL}, NULL}};
    for (int o = 0; o < FD_GAUSSIAN_OPERANDS; o++) p.room[o] = between_guards((o % 2 ? matrices : vectors) * sizeof(double));
    double *all = malloc((2 * vectors + 2 * matrices + MOST) * sizeof *all);
    if (!all) exit(2);
    p.of.mean[0] = all, p.of.mean[1] = all + vectors;
    p.of.scale[0] = all + 2 * vectors, p.of.scale[1] = p.of.scale[0] + matrices;
    p.of.order = p.of.scale[1] + matrices;
    return p;
}

/* The digest of each form and, last, of all; nonzero if the environment was not put back.  A kernel asks the fd_parallel that it is
 * linked with for its scratch. */
int fastdiv_gaussian_digest(parallel run, fd_work work, int threads, const char *environment, uint64_t placement, uint64_t digest[FORMS + 1]) {
    way w = {run, work, threads, environment, placement};
    static uint64_t hashes[BATCHES];
    place p = new_place();
    int lost = 0;
    for (int batch = 0; batch < BATCHES; batch++) hashes[batch] = hash_batch(&w, batch, &p, &lost);
    memset(digest, 0, (FORMS + 1) * sizeof *digest);
    for (int batch = 0; batch < BATCHES; batch++) digest[batch % FORMS] = mixed(digest[batch % FORMS] ^ hashes[batch]) + 1;
    for (int f = 0; f < FORMS; f++) digest[FORMS] = mixed(digest[FORMS] ^ digest[f]) + 1;
    for (int o = 0; o < FD_GAUSSIAN_OPERANDS; o++) unmap(p.room[o]);
    free(p.of.mean[0]);
    return lost;
}

#if !defined(FD_GAUSSIAN_LIBRARY)
int main(int count, char **arguments) {
    int lost = 0, run = 0;
    for (int a = 4; a < count; a++)
        for (const fd_gaussian_isa *isa = fd_gaussian_isas; isa->name; isa++) {
            uint64_t digest[FORMS + 1];
            if (strcmp(isa->name, arguments[a])) continue;
            run++;
            lost |= fastdiv_gaussian_digest(fd_parallel, isa->work, atoi(arguments[1]), arguments[2], strtoull(arguments[3], NULL, 10), digest);
            for (int f = 0; f <= FORMS; f++) printf("%s %s %016llx\n", isa->name, fastdiv_gaussian_forms[f], (unsigned long long)digest[f]);
        }
    return lost ? 1 : run && run == count - 4 ? 0 : 2;
}
#endif

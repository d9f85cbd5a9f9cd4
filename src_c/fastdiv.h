/* The only C interface of fastdiv: what a row is, what can be computed of it, and one table of kernels per instruction set.
 *
 * Kernels take one row (or a pair of rows) and write its results as doubles.  They never print, never allocate, never read past
 * `n` elements, and their bits depend on nothing but the row, its dtype and the parameters.  They hold nothing, so that one which is
 * long at a row can be left in the middle of it (fd_pause).
 */
#ifndef FASTDIV_H
#define FASTDIV_H
#include <stddef.h>
#include <stdint.h>

#if defined(FD_SANITIZE) /* a sanitizer takes many minutes over thousands of inlined operations */
#define FD_INLINE static inline __attribute__((unused))
#else
#define FD_INLINE static inline __attribute__((always_inline))
#endif

/* glibc would allocate a variable of a thread when that first uses it, and abort if there is no memory. */
#if defined(__GLIBC__)
#define FD_THREAD_LOCAL _Thread_local __attribute__((tls_model("initial-exec")))
#else
#define FD_THREAD_LOCAL _Thread_local
#endif

enum fd_dtype {
#define FD_DTYPE(name, compute) FD_##name,
#include "dtypes.def"
    FD_DTYPES
};

/* Everything that is one number per pair of rows: the divergences, then the entropies. */
enum fd_divergence {
#define FD_DIVERGENCE(name, ...) FD_##name,
#define FD_ROOT(name, of) FD_##name,
#define FD_OTHER(name) FD_##name,
#include "divergences.def"
    FD_DIVERGENCES,
    /* not public: */
    FD_SUMS = FD_DIVERGENCES - 1,
#define FD_SUM(name, ...) FD_##name,
#include "divergences.def"
};

/* What Python is to know of one of them. */
typedef struct { const char *name, *parameter; int symmetric, unary; } fd_description;
extern const fd_description fd_descriptions[]; /* of enum fd_divergence; ends with a NULL name */

enum fd_source {
    FD_NORMALIZED, /* weights: each row stands for itself divided by its sum */
    FD_RAW,        /* the numbers as given */
    FD_LOGITS,     /* unnormalised log-probabilities */
    FD_SOURCES
};

/* A row's status bit: a negative or infinite weight, no weight at all, or a logit of +infinity. */
enum { FD_INVALID = 1 };

typedef struct {
    const char *data;
    ptrdiff_t stride;   /* bytes from element to element */
    int dtype;          /* enum fd_dtype */
    double temperature; /* each element stands for itself divided by this, unless it is 0; only for what computes in double */
} fd_row;

/* The results of fd_kernels.compare and fd_kernels.statistics for each token, in this order. */
enum fd_comparison {
#define FD_COMPARE(field, sum) FD_COMPARE_##field,
#include "divergences.def"
    FD_FUSED, /* these are the sums of one loop over both rows */
    FD_BEFORE_FIELDS = FD_FUSED - 1,
#define FD_FIELD(field) FD_COMPARE_##field,
#include "divergences.def"
    FD_COMPARISONS
};
enum fd_statistic {
#define FD_STATISTIC(field) FD_STATISTIC_##field,
#include "divergences.def"
    FD_STATISTICS
};
extern const char *const fd_comparison_names[], *const fd_statistic_names[]; /* they end with NULL */

/* Which fields are wanted of the token whose label is `label`: bit k is field k.  `weight` is that of Jensen-Shannon; the `top` most
 * probable tokens of both rows are compared, FD_TOP at most. */
enum { FD_TOP = 128 };
typedef struct { int64_t label, wanted, top; double weight; void *scratch; } fd_token;
/* Bytes of scratch, aligned for a double, that fd_kernels.compare needs for rows of n elements; one row's statistics need none. */
#define FD_SCRATCH(n) ((size_t)((n) + 16 + 8 + 4 * ((n) / 256 + 4)) * sizeof(double))

typedef int (*fd_pair_kernel)(fd_row p, fd_row q, ptrdiff_t n, double parameter, double *result);
/* Of `count` pairs, 1 to FD_ROWS, each so many bytes behind the one before: the bits of one pair at a time, in less time if they are short. */
enum { FD_ROWS = 64 };
typedef int (*fd_rows_kernel)(fd_row p, ptrdiff_t step_p, fd_row q, ptrdiff_t step_q, int count, ptrdiff_t n, double parameter, double *results);

/* f of an f-divergence that is not on the list, and its limits f(0) and f'(inf). */
typedef struct { double (*f)(double); double at_0, at_inf; } fd_generator;

/* A label outside 0…n-1 stands for an ignored token: its negative log-likelihood is 0. */
typedef struct {
    fd_pair_kernel pair[FD_DIVERGENCES][FD_SOURCES][2]; /* last index: 0 computes in float, 1 in double */
    fd_rows_kernel rows[FD_DIVERGENCES][FD_SOURCES][2]; /* NULL where pairs go one by one */
    int (*log_sum_exp[2])(fd_row a, ptrdiff_t n, double *result);
    int (*token_nll[2])(fd_row a, ptrdiff_t n, int64_t label, double *result);
    int (*compare[2])(fd_row a, fd_row b, ptrdiff_t n, const fd_token *token, double result[FD_COMPARISONS]);
    int (*statistics[2])(fd_row a, ptrdiff_t n, const fd_token *token, double result[FD_STATISTICS]);
    int (*truncated_kl[2])(fd_row log_p, fd_row b, ptrdiff_t n, double floor, double *result);
    int (*f_divergence[FD_SOURCES][2])(fd_row p, fd_row q, ptrdiff_t n, fd_generator generator, double *result);
    /* Jensen-Shannon of normalised doubles for all pairs of many rows (js_entropies.inc.h): each row is prepared once, into n doubles
     * and the one that is returned, NaN if the row is no good for that.  Of two prepared rows either 1 is returned, and the result
     * has the bits of pair[FD_js_divergence][FD_NORMALIZED][1]; or 0, and js_exact has to compute it. */
    double (*js_prepare)(fd_row row, ptrdiff_t n, double *prepared);
    int (*js_from_prepared)(const double *p, const double *q, ptrdiff_t n, double from_p, double from_q, double *result);
    fd_pair_kernel js_exact;
    int (*wasserstein[FD_SOURCES][2])(fd_row p, fd_row q, fd_row gaps, ptrdiff_t n, double *result);
} fd_kernels;

/* dispatch.c */
typedef struct {
    const char *name;
    const fd_kernels *kernels;
    int (*supported)(void);
} fd_isa;
extern const fd_isa fd_isas[]; /* worst first; ends with a NULL name */

/* parallel.c: work(context, first, last) over 0 <= first < last <= count, on at most `threads` threads, in pieces of about FD_PIECE
 * elements, of which each item has `cost`.  The floating-point environment of every worker is the default one, and the caller's is
 * put back; returns the bits that the workers returned, or-ed.  `poll`, unless it is NULL, is asked now and then by the calling
 * thread; if it returns nonzero all workers stop where they are, and what they have not written stays as it was.  `can_share`: the work is
 * of kernels that share a long row (below) and writes through fd_leads. */
enum { FD_PIECE = 1 << 16 };
typedef int (*fd_work)(void *context, ptrdiff_t first, ptrdiff_t last);
typedef int (*fd_poll)(void);
int fd_parallel(fd_work work, void *context, ptrdiff_t count, ptrdiff_t cost, int threads, int can_share, fd_poll poll);
/* For what runs inside a worker.  fd_pause: a place where it can be made to stop; it does not come back then, so nothing may be
 * held there.  fd_scratch: `size` bytes aligned for anything, until the worker ends or asks again; NULL if there is no memory. */
void fd_pause(void) __attribute__((cold));
void *fd_scratch(size_t size);
/* Sums over a row are those over its segments, joined in their order, whoever added them up: so the bits are the same.  fd_owns: whether
 * this worker is to do a segment.  fd_share: it is done, or another's, `part` is what came of it; to be called for all segments in order.
 * Returns how many more parts are known now, 0 to all; fd_part: one of them.  fd_leads: whether what is computed is this worker's to
 * write. */
#ifndef FD_SEGMENT_LENGTH
#define FD_SEGMENT_LENGTH (1 << 20)
#endif
enum { FD_SEGMENT = FD_SEGMENT_LENGTH, FD_WORTH_SHARING = 4 * FD_SEGMENT, FD_PART = 2048 };
int fd_owns(ptrdiff_t segment);
int fd_share(ptrdiff_t segment, ptrdiff_t segments, const void *part, size_t size);
const void *fd_part(int i);
int fd_leads(void);

/* columns.c: `rows` rows of `n` elements of `size` bytes (2, 4 or 8), copied so that each is contiguous and `to_step` bytes from the next. */
void fd_pack(int size, const char *from, ptrdiff_t inner, ptrdiff_t step, ptrdiff_t rows, ptrdiff_t n, char *to, ptrdiff_t to_step);

/* resample.c: rows drawn with replacement, of which `seed` and `resample` decide; and the sums of `count` columns over the same. */
void fd_draw(uint32_t rows, ptrdiff_t drawn, uint64_t seed, uint64_t resample, int64_t *to);
void fd_resample(const double *columns, ptrdiff_t count, uint32_t rows, ptrdiff_t drawn, uint64_t seed, uint64_t resample, double *sums);
#endif

/* All kernels of one instruction set.  An isa_*.c includes its vec_*.h, then this, and gets one table named FD_TABLE. */
#include "common.inc.h"

/* Double first: the careful paths of float are made of it. */
#define COMPUTE_IN_DOUBLE
#include "compute_type.h"
#include "math.inc.h"
#include "finish.inc.h"
#include "load.inc.h"
#include "pairs.inc.h"
#include "power.inc.h"
#include "reduce.inc.h"
#include "across.inc.h"
#include "divergences.inc.h"
#include "logits.inc.h"
#include "entropy.inc.h"
#include "fused.inc.h"
#include "one_loop.inc.h"
#include "compare.inc.h"
#include "renyi.inc.h"
#include "js_entropies.inc.h"
#include "compute_type_end.h"
#undef COMPUTE_IN_DOUBLE

#include "compute_type.h"
#include "math.inc.h"
#include "load.inc.h"
#include "pairs.inc.h"
#include "power.inc.h"
#include "reduce.inc.h"
#include "across.inc.h"
#include "divergences.inc.h"
#include "logits.inc.h"
#include "entropy.inc.h"
#include "fused.inc.h"
#include "one_loop.inc.h"
#include "compare.inc.h"
#include "compute_type_end.h"

/* One function per divergence, source and compute type: of weights for several pairs of rows, of logits for one. */
#define ARGUMENTS fd_row p, fd_row q, ptrdiff_t n, double parameter, double *r
#define ROWS fd_row p, ptrdiff_t step_p, fd_row q, ptrdiff_t step_q, int count, ptrdiff_t n, double parameter, double *r
#define GIVEN_ROWS p, step_p, q, step_q, count, n, parameter, r
#define HALF_JS(name) (FD_##name == FD_weighted_js_divergence && parameter == 0.5) /* is that of no weight, to the last bit */
#define ROWS_KERNEL(name, source, type, call)                                                                                  \
    static int js_divergence_##source##_##type##_rows(ROWS);                                                                   \
    static int name##_##source##_##type##_rows(ROWS) {                                                                         \
        return HALF_JS(name) ? js_divergence_##source##_##type##_rows(GIVEN_ROWS) : call;                                      \
    }                                                                                                                          \
    static int name##_##source##_##type(ARGUMENTS) { return name##_##source##_##type##_rows(p, 0, q, 0, 1, n, parameter, r); }
#define PAIR_KERNELS(name, type)                                                                                               \
    static uint64_t name##_across_##type(const columns_##type *c, ptrdiff_t n, const frame *f, const own_frames_##type *frames, \
                                         eight_sums *s) {                                                                      \
        return sums_across_##type(FD_##name, c, n, f, frames, s);                                                              \
    }                                                                                                                          \
    ROWS_KERNEL(name, normalized, type, normalized_##type(FD_##name, name##_across_##type, GIVEN_ROWS))                        \
    ROWS_KERNEL(name, raw, type, divergences_##type(FD_##name, FD_RAW, name##_across_##type, GIVEN_ROWS))                      \
    static int js_divergence_logits_##type(ARGUMENTS);                                                                         \
    static int name##_logits_##type(ARGUMENTS) {                                                                               \
        if (HALF_JS(name)) return js_divergence_logits_##type(p, q, n, parameter, r);                                          \
        return from_logits_##type(FD_##name, name##_given_##type, p, q, n, parameter, r);                                      \
    }
/* An affinity beyond the range of doubles is left to the logarithms of Renyi's divergence, of which it is one half: of both orders, whose
 * last bits may differ, the less. */
static int far_bhattacharyya(int source, fd_row p, fd_row q, ptrdiff_t n, double *r) {
    double other;
    int status = alpha_family(1, source, p, q, n, 0.5, r) | alpha_family(1, source, q, p, n, 0.5, &other);
    *r = 0.5 * (other < *r ? other : *r);
    return status;
}
FD_INLINE int near_or_far(int which, int status, ROWS) {
    (void)parameter;
    if (which != FD_bhattacharyya_distance) return status;
    for (; count > 0; count--, r++, p.data += step_p, q.data += step_q)
        if (isnan(*r)) status |= far_bhattacharyya(FD_NORMALIZED, p, q, n, r);
    return status;
}
FD_INLINE int normalized_float(int which, across_kernel_float *across, ROWS) {
    return near_or_far(which, divergences_float(which, FD_NORMALIZED, across, GIVEN_ROWS), GIVEN_ROWS);
}
FD_INLINE int normalized_double(int which, across_kernel_double *across, ROWS) {
    int status = 0;
    if (which != FD_js_divergence) return near_or_far(which, divergences_double(which, FD_NORMALIZED, across, GIVEN_ROWS), GIVEN_ROWS);
    for (; count > 0; count--, r++, p.data += step_p, q.data += step_q) status |= js_pair(p, q, n, parameter, r);
    return status;
}
#define GIVEN const log_sum_double *s, const log_sum_double *t, ARGUMENTS
#define LOGITS_KERNEL(type)                                                                                                    \
    FD_INLINE int from_logits_##type(int which, int (*given)(GIVEN), ARGUMENTS) {                                              \
        if (which == FD_kl_divergence && kl_in_one_loop_##type(p, q, n, r)) return 0;                                          \
        if (which == FD_reverse_kl_divergence && kl_in_one_loop_##type(q, p, n, r)) return 0;                                  \
        log_sum_double s = log_sum_exp_##type(p, n), t = log_sum_exp_##type(q, n);                                             \
        int status = no_distribution(&s) | no_distribution(&t);                                                                \
        *r = NAN;                                                                                                              \
        if (status || isnan(s.others) || isnan(t.others)) return status;                                                       \
        given(&s, &t, p, q, n, parameter, r);                                                                                  \
        return which == FD_bhattacharyya_distance && isnan(*r) ? far_bhattacharyya(FD_LOGITS, p, q, n, r) : 0;                 \
    }
LOGITS_KERNEL(float)
LOGITS_KERNEL(double)
#define GIVEN_KERNEL(name, type)                                                                                               \
    static int name##_given_##type(GIVEN) { return divergence_given_##type(FD_##name, *s, *t, p, q, n, parameter, r); }
#define ALL_KERNELS(name)                                                                                                      \
    GIVEN_KERNEL(name, float) GIVEN_KERNEL(name, double) PAIR_KERNELS(name, float) PAIR_KERNELS(name, double)
#define FD_DIVERGENCE(name, ...) ALL_KERNELS(name)
#include "divergences.def"
ALL_KERNELS(bhattacharyya_distance)
#define ROOT_KERNEL(name, of, source)                                                                                          \
    static int name##_##source(ARGUMENTS) {                                                                                    \
        int status = of##_##source(p, q, n, parameter, r);                                                                     \
        *r = sqrt(*r);                                                                                                         \
        return status;                                                                                                         \
    }
#define ROOTS_KERNEL(name, of, source)                                                                                         \
    ROOT_KERNEL(name, of, source)                                                                                              \
    static int name##_##source##_rows(ROWS) {                                                                                  \
        int status = of##_##source##_rows(GIVEN_ROWS);                                                                         \
        for (int k = 0; k < count; k++) r[k] = sqrt(r[k]);                                                                     \
        return status;                                                                                                         \
    }
#define FD_ROOT(name, of)                                                                                                      \
    ROOTS_KERNEL(name, of, normalized_float)                                                                                   \
    ROOTS_KERNEL(name, of, raw_float)                                                                                          \
    ROOT_KERNEL(name, of, logits_float)                                                                                        \
    ROOTS_KERNEL(name, of, normalized_double)                                                                                  \
    ROOTS_KERNEL(name, of, raw_double)                                                                                         \
    ROOT_KERNEL(name, of, logits_double)
#include "divergences.def"

/* What is computed in double whatever the dtype: one function per source. */
#define SOURCE_KERNELS(name, arguments, call)                                                                                  \
    static int name##_normalized arguments { enum { source = FD_NORMALIZED }; return call; }                                   \
    static int name##_raw arguments { enum { source = FD_RAW }; return call; }                                                 \
    static int name##_logits arguments { enum { source = FD_LOGITS }; return call; }
SOURCE_KERNELS(alpha_divergence, (ARGUMENTS), alpha_family(0, source, p, q, n, parameter, r))
SOURCE_KERNELS(renyi_divergence, (ARGUMENTS), alpha_family(1, source, p, q, n, parameter, r))
SOURCE_KERNELS(tsallis_entropy, (ARGUMENTS), ((void)q, entropy_family(0, source, p, n, parameter, r)))
SOURCE_KERNELS(renyi_entropy, (ARGUMENTS), ((void)q, entropy_family(1, source, p, n, parameter, r)))
SOURCE_KERNELS(f_divergence, (fd_row p, fd_row q, ptrdiff_t n, fd_generator g, double *r), generated_divergence(source, p, q, n, g, r))
SOURCE_KERNELS(wasserstein_distance, (fd_row p, fd_row q, fd_row gaps, ptrdiff_t n, double *r), wasserstein(source, p, q, gaps, n, r))

#define BOTH(f) {f##_float, f##_double}
#define SAME(f) {f, f}
#define PAIR(name) [FD_##name] = {BOTH(name##_normalized), BOTH(name##_raw), BOTH(name##_logits)},
#define DOUBLE_PAIR(name) [FD_##name] = {SAME(name##_normalized), SAME(name##_raw), SAME(name##_logits)},
#define ENTROPY {BOTH(cross_entropy_normalized), BOTH(cross_entropy_raw), BOTH(logits_entropy)}
const fd_kernels FD_TABLE = {
    .pair = {
#define FD_DIVERGENCE(name, ...) PAIR(name)
#define FD_ROOT(name, of) PAIR(name)
#include "divergences.def"
        PAIR(bhattacharyya_distance)
        DOUBLE_PAIR(alpha_divergence)
        DOUBLE_PAIR(renyi_divergence)
        DOUBLE_PAIR(tsallis_entropy)
        DOUBLE_PAIR(renyi_entropy)
        [FD_cross_entropy] = ENTROPY,
        [FD_entropy] = ENTROPY,
    },
    .rows = {
#define ONE_BY_ONE(name) (FD_##name == FD_js_divergence || FD_##name == FD_js_distance) /* js_pair */
#define ROWS_OF(name)                                                                                                          \
    [FD_##name] = {{name##_normalized_float_rows, ONE_BY_ONE(name) ? NULL : name##_normalized_double_rows},                    \
                   {name##_raw_float_rows, name##_raw_double_rows}},
#define FD_DIVERGENCE(name, ...) ROWS_OF(name)
#define FD_ROOT(name, of) ROWS_OF(name)
#include "divergences.def"
        ROWS_OF(bhattacharyya_distance)
    },
    .log_sum_exp = BOTH(row_log_sum_exp),
    .token_nll = BOTH(row_token_nll),
    .compare = BOTH(row_compare),
    .statistics = BOTH(row_statistics),
    .truncated_kl = SAME(truncated_kl),
    .js_prepare = js_prepare,
    .js_from_prepared = js_from_prepared,
    .js_exact = js_exact,
    .f_divergence = {SAME(f_divergence_normalized), SAME(f_divergence_raw), SAME(f_divergence_logits)},
    .wasserstein = {SAME(wasserstein_distance_normalized), SAME(wasserstein_distance_raw), SAME(wasserstein_distance_logits)},
};

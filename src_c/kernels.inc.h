/* All kernels of one instruction set.  An isa_*.c includes its vec_*.h, then this, and gets one table named FD_TABLE. */
#include "fastdiv.h"
#include "vec.h"
#include "coefficients.h"

#define LN2 0.693147180559945309417
#define LOAD 2048
#define COMPARED (-1)
#if defined(FD_COMPACT)
#define FD_UNROLL
#elif defined(__clang__)
#define FD_UNROLL _Pragma("clang loop unroll(full)")
#else
#define FD_UNROLL _Pragma("GCC unroll 32")
#endif

#include "sum.inc.h"

/* Double first: the careful paths of float are made of it. */
#define COMPUTE_IN_DOUBLE
#include "compute_type.h"
#include "math.inc.h"
#include "finish.inc.h"
#include "load.inc.h"
#include "pairs.inc.h"
#include "reduce.inc.h"
#include "logits.inc.h"
#include "compute_type_end.h"
#undef COMPUTE_IN_DOUBLE

#include "compute_type.h"
#include "math.inc.h"
#include "load.inc.h"
#include "pairs.inc.h"
#include "reduce.inc.h"
#include "logits.inc.h"
#include "compute_type_end.h"

#include "entropy.inc.h"

/* One function per divergence, source and compute type. */
#define PAIR_KERNELS(name, root, type)                                                                                         \
    static int name##_normalized_##type(fd_row p, fd_row q, ptrdiff_t n, double *r) {                                          \
        return divergence_##type(FD_##name, FD_NORMALIZED, p, q, n, r);                                                        \
    }                                                                                                                          \
    static int name##_raw_##type(fd_row p, fd_row q, ptrdiff_t n, double *r) {                                                 \
        return divergence_##type(FD_##name, FD_RAW, p, q, n, r);                                                               \
    }                                                                                                                          \
    static int name##_logits_##type(fd_row p, fd_row q, ptrdiff_t n, double *r) {                                              \
        return logits_divergence_##type(FD_##name, p, q, n, r);                                                                \
    }
#define FD_DIVERGENCE(name, ...) PAIR_KERNELS(name, , float) PAIR_KERNELS(name, , double)
#include "divergences.def"
#define ROOT_KERNEL(name, of, source)                                                                                          \
    static int name##_##source(fd_row p, fd_row q, ptrdiff_t n, double *r) {                                                   \
        int status = of##_##source(p, q, n, r);                                                                                \
        *r = sqrt(*r);                                                                                                         \
        return status;                                                                                                         \
    }
#define FD_ROOT(name, of)                                                                                                      \
    ROOT_KERNEL(name, of, normalized_float)                                                                                    \
    ROOT_KERNEL(name, of, raw_float)                                                                                           \
    ROOT_KERNEL(name, of, logits_float)                                                                                        \
    ROOT_KERNEL(name, of, normalized_double)                                                                                   \
    ROOT_KERNEL(name, of, raw_double)                                                                                          \
    ROOT_KERNEL(name, of, logits_double)
#include "divergences.def"

static int cross_entropy_normalized(fd_row p, fd_row q, ptrdiff_t n, double *r) { return weights_entropy(FD_NORMALIZED, p, q, n, r); }
static int cross_entropy_raw(fd_row p, fd_row q, ptrdiff_t n, double *r) { return weights_entropy(FD_RAW, p, q, n, r); }

#define PAIR(name)                                                                                                             \
    [FD_##name] = {{name##_normalized_float, name##_normalized_double}, {name##_raw_float, name##_raw_double},                 \
                   {name##_logits_float, name##_logits_double}},
#define TWICE(f) {f, f}
#define ENTROPY {TWICE(cross_entropy_normalized), TWICE(cross_entropy_raw), TWICE(logits_entropy)}
const fd_kernels FD_TABLE = {
    .pair = {
#define FD_DIVERGENCE(name, ...) PAIR(name)
#define FD_ROOT(name, of) PAIR(name)
#include "divergences.def"
        [FD_cross_entropy] = ENTROPY,
        [FD_entropy] = ENTROPY,
    },
    .log_sum_exp = {row_log_sum_exp_float, row_log_sum_exp_double},
    .token_nll = {row_token_nll_float, row_token_nll_double},
    .compare = {row_compare_float, row_compare_double},
    .truncated_kl = TWICE(truncated_kl),
};

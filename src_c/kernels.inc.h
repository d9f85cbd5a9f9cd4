/* All kernels of one instruction set.  An isa_*.c includes its vec_*.h, then this, and gets one table named FD_TABLE. */
#include "fastdiv.h"
#include "vec.h"
#include "coefficients.h"

#define LN2 0.693147180559945309417
#define LOAD 2048
#define PREFETCH 2048 /* bytes; a prefetch past the end of a row is no access */
#define COMPARED (-1)
#ifndef AHEAD
#define AHEAD 4 /* vectors whose instructions a compiler may interleave */
#endif
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
#include "entropy.inc.h"
#include "compute_type_end.h"
#undef COMPUTE_IN_DOUBLE

#include "compute_type.h"
#include "math.inc.h"
#include "load.inc.h"
#include "pairs.inc.h"
#include "reduce.inc.h"
#include "logits.inc.h"
#include "entropy.inc.h"
#include "compute_type_end.h"

/* One function per divergence, source and compute type. */
#define PAIR_KERNELS(name, type)                                                                                         \
    static int name##_normalized_##type(fd_row p, fd_row q, ptrdiff_t n, double *r) {                                          \
        return divergence_##type(FD_##name, FD_NORMALIZED, p, q, n, r);                                                        \
    }                                                                                                                          \
    static int name##_raw_##type(fd_row p, fd_row q, ptrdiff_t n, double *r) {                                                 \
        return divergence_##type(FD_##name, FD_RAW, p, q, n, r);                                                               \
    }                                                                                                                          \
    static int name##_logits_##type(fd_row p, fd_row q, ptrdiff_t n, double *r) {                                              \
        return logits_divergence_##type(FD_##name, p, q, n, r);                                                                \
    }
#define FD_DIVERGENCE(name, ...) PAIR_KERNELS(name, float) PAIR_KERNELS(name, double)
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

#define BOTH(f) {f##_float, f##_double}
#define PAIR(name)                                                                                                             \
    [FD_##name] = {BOTH(name##_normalized), BOTH(name##_raw), BOTH(name##_logits)},
#define ENTROPY {BOTH(cross_entropy_normalized), BOTH(cross_entropy_raw), BOTH(logits_entropy)}
const fd_kernels FD_TABLE = {
    .pair = {
#define FD_DIVERGENCE(name, ...) PAIR(name)
#define FD_ROOT(name, of) PAIR(name)
#include "divergences.def"
        [FD_cross_entropy] = ENTROPY,
        [FD_entropy] = ENTROPY,
    },
    .log_sum_exp = BOTH(row_log_sum_exp),
    .token_nll = BOTH(row_token_nll),
    .compare = BOTH(row_compare),
    .truncated_kl = {truncated_kl, truncated_kl},
};

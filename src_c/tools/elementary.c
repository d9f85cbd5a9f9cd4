/* The elementary functions of the kernels over arrays, for tests/test_elementary.py, which compiles this as a library for each
 * instruction set: -DFD_TARGET_AVX2, -DFD_TARGET_AVX512, or neither.  The kernels themselves inline them.
 */
#include "target_begin.h"
#include "fastdiv.h"
#if defined(FD_TARGET_AVX512)
#include "vec_avx512.h"
#define TOGETHER 2
#elif defined(FD_TARGET_AVX2)
#include "vec_avx2.h"
#elif defined(__aarch64__)
#include "vec_neon.h"
#else
#define FD_COMPACT
#include "vec_scalar.h"
#undef FD_INLINE
#define FD_INLINE static inline __attribute__((unused))
#endif
#include "common.inc.h"

#define ELEMENTARY(name, result)                                                                                               \
    void F(name)(const T *from, T *to, ptrdiff_t n) {                                                                          \
        for (ptrdiff_t i = 0; i + N <= n; i += N) {                                                                            \
            V x = VNAME(load)(from + i);                                                                                       \
            v_store(to + i, result);                                                                                           \
        }                                                                                                                      \
    }
#define RATIO(name, result)                                                                                                    \
    void F(name)(const T *of_p, const T *of_q, T *to, ptrdiff_t n) {                                                           \
        for (ptrdiff_t i = 0; i + N <= n; i += N) {                                                                            \
            V p = VNAME(load)(of_p + i), q = VNAME(load)(of_q + i);                                                            \
            v_store(to + i, result);                                                                                           \
        }                                                                                                                      \
    }
#define ALL                                                                                                                    \
    FD_INLINE V F(of_half)(V x) {                                                                                              \
        V y[TOGETHER], w[TOGETHER], t[TOGETHER];                                                                               \
        EACH(TOGETHER) y[g] = x;                                                                                               \
        F(scaled_exp)(1, TOGETHER, y, C(0.0), w, t);                                                                           \
        return *w;                                                                                                             \
    }                                                                                                                          \
    ELEMENTARY(each_exp, F(exp)(x, C(0.0)))                                                                                    \
    ELEMENTARY(each_exp_normal, F(exp_normal)(x, C(0.0)))                                                                      \
    ELEMENTARY(each_times_exp, F(times_exp)(C(1.0), x, C(0.0)))                                                                \
    ELEMENTARY(each_half_exp, F(of_half)(x))                                                                                   \
    ELEMENTARY(each_log, F(log_ratio)(x, C(1.0), v_sub(x, C(1.0)), v_div(C(1.0), x)))                                          \
    ELEMENTARY(each_surprisal, F(log_ratio)(C(1.0), x, v_sub(C(1.0), x), C(1.0)))                                              \
    ELEMENTARY(each_psi, F(psi)(x))                                                                                            \
    ELEMENTARY(each_phi, F(phi)(x))                                                                                            \
    RATIO(each_log_ratio, F(log_ratio)(p, q, v_sub(p, q), v_div(C(1.0), p)))

#define COMPUTE_IN_DOUBLE
#include "compute_type.h"
#include "math.inc.h"
ALL
#include "finish.inc.h"
#include "compute_type_end.h"
#undef COMPUTE_IN_DOUBLE

#include "compute_type.h"
#include "math.inc.h"
ALL
#include "compute_type_end.h"

#define SCALAR(name)                                                                                                           \
    void each_scalar_##name(const double *from, double *to, ptrdiff_t n) {                                                     \
        for (ptrdiff_t i = 0; i < n; i++) to[i] = scalar_##name(from[i]);                                                      \
    }
SCALAR(exp)
SCALAR(log)
SCALAR(log1p)
SCALAR(expm1)

#define LOADED(name)                                                                                                           \
    void each_##name(const uint16_t *from, float *to, ptrdiff_t n) {                                                           \
        for (ptrdiff_t i = 0; i + 16 <= n; i += 16) vf_store(to + i, vf_from_##name(from + i));                                \
    }
LOADED(float16)
LOADED(bfloat16)
#include "target_end.h"

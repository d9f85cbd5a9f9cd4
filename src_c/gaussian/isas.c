/* The kernels by the names of fd_isas (dispatch.c), which knows what the processor runs. */
#include "gaussian.h"

const fd_gaussian_isa fd_gaussian_isas[] = {
    {"scalar", fd_gaussians_scalar},
#if defined(__x86_64__)
    {"avx2", fd_gaussians_avx2},
    {"avx512", fd_gaussians_avx512},
#elif defined(__aarch64__)
    {"neon", fd_gaussians_neon},
#endif
    {NULL, NULL},
};

/* The Gaussians of gaussian.inc.h for AVX2. */
#if defined(__x86_64__)
#define FD_TARGET_AVX2
#define FD_GAUSSIANS fd_gaussians_avx2
#include "../target_begin.h"
#include "../fastdiv.h"
#include "../vec_avx2.h"
#include "kernel.inc.h"
#include "../target_end.h"
#else
typedef int fd_no_gaussians_avx2; /* another processor */
#endif

/* The Gaussians of gaussian.inc.h for AVX512. */
#if defined(__x86_64__)
#define FD_TARGET_AVX512
#define FD_GAUSSIANS fd_gaussians_avx512
#include "../target_begin.h"
#include "../fastdiv.h"
#include "../vec_avx512.h"
#include "kernel.inc.h"
#include "../target_end.h"
#else
typedef int fd_no_gaussians_avx512; /* another processor */
#endif

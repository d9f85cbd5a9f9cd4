/* The Gaussians of gaussian.inc.h for NEON. */
#if defined(__aarch64__)
#ifndef FD_COMPACT
#define FD_COMPACT
#endif
#define FD_GAUSSIANS fd_gaussians_neon
#include "../target_begin.h"
#include "../fastdiv.h"
#include "../vec_neon.h"
#undef FD_INLINE
#define FD_INLINE static inline __attribute__((unused))
#include "kernel.inc.h"
#include "../target_end.h"
#else
typedef int fd_no_gaussians_neon; /* another processor */
#endif

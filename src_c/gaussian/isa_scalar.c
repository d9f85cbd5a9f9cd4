/* The Gaussians of gaussian.inc.h for SCALAR. */
#ifndef FD_COMPACT
#define FD_COMPACT
#endif
#define FD_GAUSSIANS fd_gaussians_scalar
#include "../target_begin.h"
#include "../fastdiv.h"
#include "../vec_scalar.h"
#undef FD_INLINE
#define FD_INLINE static inline __attribute__((unused))
#include "kernel.inc.h"
#include "../target_end.h"

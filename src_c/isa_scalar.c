/* The kernels in plain C.  Sixteen lanes unrolled and inlined everywhere would take a compiler minutes, so here it decides. */
#ifndef FD_COMPACT
#define FD_COMPACT
#endif
#define FD_TABLE fd_kernels_scalar
#include "target_begin.h"
#include "fastdiv.h"
#include "vec_scalar.h"
#undef FD_INLINE
#define FD_INLINE static inline __attribute__((unused))
#include "kernels.inc.h"
#include "target_end.h"

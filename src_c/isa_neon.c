/* The kernels for NEON.  Four instructions an operation, inlined everywhere, would take a compiler minutes: here it decides. */
#if defined(__aarch64__)
#ifndef FD_COMPACT
#define FD_COMPACT
#endif
#ifndef AHEAD
#define AHEAD 1
#endif
#define FD_TABLE fd_kernels_neon
#include "target_begin.h"
#include "fastdiv.h"
#include "vec_neon.h"
#undef FD_INLINE
#define FD_INLINE static inline __attribute__((unused))
#include "kernels.inc.h"
#include "target_end.h"
#else
typedef int fd_no_neon; /* another processor */
#endif

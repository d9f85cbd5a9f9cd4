/* The kernels for NEON. */
#if defined(__aarch64__)
/* Four instructions an operation: there is enough to interleave without AHEAD, and compile time matters. */
#define AHEAD 1
#define FD_TABLE fd_kernels_neon
#include "target_begin.h"
#include "fastdiv.h"
#include "vec_neon.h"
#include "kernels.inc.h"
#include "target_end.h"
#else
typedef int fd_no_neon; /* another processor */
#endif

/* The kernels for NEON. */
#if defined(__aarch64__)
#define FD_TABLE fd_kernels_neon
#include "target_begin.h"
#include "fastdiv.h"
#include "vec_neon.h"
#include "kernels.inc.h"
#include "target_end.h"
#else
typedef int fd_no_neon; /* another processor */
#endif

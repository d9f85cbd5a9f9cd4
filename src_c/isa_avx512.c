/* The kernels for AVX512. */
#if defined(__x86_64__)
#define FD_TARGET_AVX512
#define FD_TABLE fd_kernels_avx512
#include "target_begin.h"
#include "fastdiv.h"
#include "vec_avx512.h"
#define TOGETHER 2
#include "kernels.inc.h"
#include "target_end.h"
#else
typedef int fd_no_avx512; /* another processor */
#endif

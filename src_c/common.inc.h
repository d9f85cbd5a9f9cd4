/* What the texts of the kernels stand on, whatever is computed; after a vec_*.h. */
#include "fastdiv.h"
#include "vec.h"
#include "coefficients.h"

#define LN2 0.693147180559945309417
#define LOAD 2048
#define PREFETCH 2048 /* bytes; a prefetch past the end of a row is no access */
enum { COMPARED = -1, COMPARED_SHORT = -2, POWERS = -3, ENTROPY_POWERS = -4 }; /* sets of sums, see finish.inc.h */
#ifndef AHEAD
#define AHEAD 2 /* vectors whose instructions a compiler may interleave */
#endif
#ifndef TOGETHER
#define TOGETHER 1 /* vectors that go through the long chains in step (EACH in math.inc.h) */
#endif
#define LENGTH(array) ((int)(sizeof(array) / sizeof *(array)))
#if defined(FD_COMPACT)
#define FD_UNROLL
#elif defined(__clang__)
#define FD_UNROLL _Pragma("clang loop unroll(full)")
#else
#define FD_UNROLL _Pragma("GCC unroll 32")
#endif

#include "sum.inc.h"

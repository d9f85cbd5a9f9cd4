/* What the texts of the kernels stand on, whatever is computed; after a vec_*.h. */
#include "fastdiv.h"
#include "vec.h"
#include "coefficients.h"

#define LN2 0.693147180559945309417
#define LN2_REST 0x1.abc9e3b39803fp-56 /* of log 2, beyond the double above */
/* Elements that are read at once and summed in the lanes of V: so few that the next ones are on their way meanwhile.  Inside a block sums are
 * of so many vectors first, and then of those: rounding goes the same way in all additions of equal elements, and is felt once for each. */
#define BLOCK 256
#define FOUR (4 * N)
#define EIGHT (8 * N)
#define PREFETCH 2048 /* bytes of each of two rows, and twice as many of one; a prefetch past the end of a row is no access */
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

/* `whole` from the parts of all segments [from, to) of a row; that of a short row, of which there is one part, as it is.  `compute` puts
 * a part into *into; it is written once, because all of a kernel is inlined into it. */
#define BY_SEGMENTS(n, whole, part, compute, join)                                                                             \
    do {                                                                                                                       \
        const ptrdiff_t segments = ((n) + FD_SEGMENT - 1) / FD_SEGMENT;                                                        \
        _Static_assert(sizeof(part) <= FD_PART, "a part must fit");                                                            \
        for (ptrdiff_t segment = 0; segment < segments; segment++) {                                                           \
            const ptrdiff_t from = segment * FD_SEGMENT, to = segment + 1 < segments ? from + FD_SEGMENT : (n);                \
            __typeof__(part) *const into = segments == 1 ? &(whole) : &(part);                                                 \
            if (segments == 1 || fd_owns(segment)) compute;                                                                    \
            if (segments == 1) break;                                                                                          \
            int known = fd_share(segment, segments, &part, sizeof part);                                                       \
            for (int i = 0; i < known; i++) {                                                                                  \
                memcpy(&part, fd_part(i), sizeof part);                                                                        \
                join(&whole, &part);                                                                                           \
            }                                                                                                                  \
        }                                                                                                                      \
    } while (0)

#include "sum.inc.h"

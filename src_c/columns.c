/* Rows whose elements lie far apart, and next to those of other rows, copied so that each is contiguous.
 *
 * A line of the cache holds elements of as many rows as it is long.  Kernels that read such rows one after the other would fetch each line
 * that many times; here all of its elements are copied while it is there.  Nothing is computed: elements are moved as integers.
 */
#include "fastdiv.h"
#include <string.h>

enum {
    LINE = 64,
    TOGETHER = 4, /* elements of each row that are copied at a time */
    FORESEEN = 16 /* and how far ahead lines are asked for: what is a page apart, the processor does not foresee */
};

#define COPY(WORD)                                                                                                                             \
    static void copy_##WORD(const char *from, ptrdiff_t inner, ptrdiff_t step, ptrdiff_t rows, int n, char *to, ptrdiff_t to_step) {          \
        for (ptrdiff_t r = 0; r < rows; r++, from += step, to += to_step)                                                                     \
            for (int j = 0; j < n; j++) memcpy(to + j * (ptrdiff_t)sizeof(WORD), from + j * inner, sizeof(WORD));                             \
    }
COPY(uint16_t)
COPY(uint32_t)
COPY(uint64_t)

#if defined(__SSE2__)
#include <emmintrin.h>
/* Four elements of four rows at a time, which lie side by side; returns how many rows that were. */
static ptrdiff_t copy_squares(const char *from, ptrdiff_t inner, ptrdiff_t rows, char *to, ptrdiff_t to_step) {
    ptrdiff_t r = 0;
    for (; r + 4 <= rows; r += 4, from += 16, to += 4 * to_step) {
        __m128i a = _mm_loadu_si128((const __m128i *)from), b = _mm_loadu_si128((const __m128i *)(from + inner));
        __m128i c = _mm_loadu_si128((const __m128i *)(from + 2 * inner)), d = _mm_loadu_si128((const __m128i *)(from + 3 * inner));
        __m128i ab = _mm_unpacklo_epi32(a, b), cd = _mm_unpacklo_epi32(c, d), AB = _mm_unpackhi_epi32(a, b), CD = _mm_unpackhi_epi32(c, d);
        _mm_storeu_si128((__m128i *)to, _mm_unpacklo_epi64(ab, cd));
        _mm_storeu_si128((__m128i *)(to + to_step), _mm_unpackhi_epi64(ab, cd));
        _mm_storeu_si128((__m128i *)(to + 2 * to_step), _mm_unpacklo_epi64(AB, CD));
        _mm_storeu_si128((__m128i *)(to + 3 * to_step), _mm_unpackhi_epi64(AB, CD));
    }
    return r;
}
#else
static ptrdiff_t copy_squares(const char *from, ptrdiff_t inner, ptrdiff_t rows, char *to, ptrdiff_t to_step) {
    (void)from, (void)inner, (void)rows, (void)to, (void)to_step;
    return 0;
}
#endif

void fd_pack(int size, const char *from, ptrdiff_t inner, ptrdiff_t step, ptrdiff_t rows, ptrdiff_t n, char *to, ptrdiff_t to_step) {
    for (ptrdiff_t j = 0; j < n; j += TOGETHER, from += TOGETHER * inner, to += TOGETHER * size) {
        int some = n - j < TOGETHER ? (int)(n - j) : TOGETHER;
        if (j && j % FD_PIECE == 0) fd_pause();
        for (ptrdiff_t k = FORESEEN; k < FORESEEN + TOGETHER; k++) {
            const ptrdiff_t left = n - j - k; /* none: what comes next are the first elements of as many rows more */
            const char *there = from + (left > 0 ? k * inner : rows * step - left * inner - j * inner);
            for (ptrdiff_t r = 0; r < rows; r += LINE / size) __builtin_prefetch(there + r * step, 0, 2);
            __builtin_prefetch(there + (rows - 1) * step, 0, 2);
        }
        ptrdiff_t done = size == 4 && step == 4 && some == 4 ? copy_squares(from, inner, rows, to, to_step) : 0;
        const char *rest = from + done * step;
        char *there = to + done * to_step;
        if (size == 2) copy_uint16_t(rest, inner, step, rows - done, some, there, to_step);
        else if (size == 4) copy_uint32_t(rest, inner, step, rows - done, some, there, to_step);
        else copy_uint64_t(rest, inner, step, rows - done, some, there, to_step);
    }
}

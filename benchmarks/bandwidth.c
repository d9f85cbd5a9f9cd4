/* Reads memory as fast as it can be read: the limit that `interleaved.py` holds every function to.
 *
 * One stream, or two at a time as a divergence reads its rows.  What is read is added up, as integers so that the compiler may do it in any
 * order and in its widest vectors, and given back, so that it can't leave the reading out.
 */
#include <stddef.h>
#include <stdint.h>

enum { WORDS = 64, LINE = 64 }; /* 64-bit words in a block; bytes in a line of the cache */

static inline void ahead(const uint64_t *block, ptrdiff_t distance) {
    if (distance)
        for (int i = 0; i < WORDS * 8; i += LINE) __builtin_prefetch((const char *)block + distance + i);
}

static inline void add(uint64_t *restrict sums, const uint64_t *restrict block) {
    for (int i = 0; i < WORDS; i++) sums[i] += block[i];
}

/* `bytes` of each of `streams` (1 or 2) streams; `distance` is how far ahead of the reading lines are asked for, 0 is not at all. */
uint64_t read_memory(const void *first, const void *second, size_t bytes, int streams, ptrdiff_t distance) {
    const uint64_t *a = first, *b = second;
    uint64_t sums[WORDS] = {0}, total = 0;
    size_t words = bytes / 8 / WORDS * WORDS;
    for (size_t i = 0; i < words; i += WORDS) {
        ahead(a + i, distance);
        if (streams == 2) ahead(b + i, distance);
        add(sums, a + i);
        if (streams == 2) add(sums, b + i);
    }
    for (size_t i = words; i < bytes / 8; i++) total += a[i] + (streams == 2 ? b[i] : 0);
    for (int i = 0; i < WORDS; i++) total += sums[i];
    return total;
}

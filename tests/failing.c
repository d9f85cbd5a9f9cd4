/* Preloaded: the k-th allocation from now on fails, and so does the making of threads; blocks that are not freed are counted.
 *
 * Only what code in [low, high) asks for, the extension's: also through an interpreter that passes the question on (a tail call),
 * as it does with PYTHONMALLOC=malloc.  What Python and NumPy allocate for it by calls of their own (objects, arrays) never fails
 * here.  Of memory the extension asks by malloc, calloc and realloc alone, which test_process.py looks up: no aligned_alloc, no mmap.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

extern void *__libc_malloc(size_t), *__libc_calloc(size_t, size_t), *__libc_realloc(void *, size_t);
extern void __libc_free(void *);

static atomic_long left, threads_left = -1;
static uintptr_t low, high;

/* The blocks that are not freed, hashed: 0 is a place that was never used, 1 one that is free again. */
enum { PLACES = 1 << 18 };
static _Atomic uintptr_t blocks[PLACES];
static atomic_long count;
static size_t place_of(uintptr_t block) { return (block >> 4) * 0x9e3779b97f4a7c15u >> 46; }
static void insert(uintptr_t block) {
    for (size_t i = place_of(block);; i = (i + 1) % PLACES) {
        uintptr_t old = blocks[i];
        if (old <= 1 && atomic_compare_exchange_strong(&blocks[i], &old, block)) break;
    }
    count++;
}
static void removed(uintptr_t block) {
    for (size_t i = place_of(block); blocks[i]; i = (i + 1) % PLACES)
        if (blocks[i] == block) {
            blocks[i] = 1;
            count--;
            break;
        }
}

void failing_range(uintptr_t from, uintptr_t to) {
    low = from;
    high = to;
}
void failing_arm(long k) { left = k; }
long failing_disarm(void) { return atomic_exchange(&left, 0); }
void failing_threads(long allowed) { threads_left = allowed; }
long failing_blocks(void) { return count; }

static int is_ours(void *caller) { return (uintptr_t)caller - low < high - low; }
static int fails(void *caller) {
    if (!is_ours(caller)) return 0;
    for (long k = left; k > 0;) /* of threads that ask at once each takes one number; -1: it has happened, once */
        if (atomic_compare_exchange_weak(&left, &k, k == 1 ? -1 : k - 1)) {
            if (k > 1) return 0;
            errno = ENOMEM;
            return 1;
        }
    return 0;
}

#define CALLER __builtin_return_address(0)
static void *counted(void *caller, void *block) {
    if (block && is_ours(caller)) insert((uintptr_t)block);
    return block;
}
void *malloc(size_t size) { return fails(CALLER) ? NULL : counted(CALLER, __libc_malloc(size)); }
void *calloc(size_t number, size_t size) { return fails(CALLER) ? NULL : counted(CALLER, __libc_calloc(number, size)); }
void *realloc(void *block, size_t size) {
    if (fails(CALLER)) return NULL;
    if (block) removed((uintptr_t)block);
    return counted(CALLER, __libc_realloc(block, size));
}
void free(void *block) {
    if (block) removed((uintptr_t)block);
    __libc_free(block);
}

int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*start)(void *), void *argument) {
    static int (*real)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
    if (is_ours(CALLER) && threads_left >= 0 && atomic_fetch_sub(&threads_left, 1) <= 0) {
        threads_left = 0;
        return EAGAIN;
    }
    if (!real) real = (int (*)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *))dlsym(RTLD_NEXT, "pthread_create");
    return real(thread, attributes, start, argument);
}

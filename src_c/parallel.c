/* Rows to threads, and nothing else.
 *
 * Threads are made for a call and joined before it returns: no state, nothing that a fork could break, no library to ship.  If one
 * can't be made, its share runs here.
 */
#include "fastdiv.h"
#include <pthread.h>

#if defined(__x86_64__)
#include <xmmintrin.h>
typedef unsigned fp_state;
static fp_state fp_default(void) {
    fp_state saved = _mm_getcsr();
    _mm_setcsr(0x1f80); /* all exceptions masked, round to nearest, subnormals kept */
    return saved;
}
static void fp_restore(fp_state saved) { _mm_setcsr(saved); }
#elif defined(__aarch64__)
typedef struct { uint64_t control, status; } fp_state;
static fp_state fp_default(void) {
    fp_state saved;
    __asm__ volatile("mrs %0, fpcr\n\tmrs %1, fpsr" : "=r"(saved.control), "=r"(saved.status));
    __asm__ volatile("msr fpcr, %0" : : "r"((uint64_t)0));
    return saved;
}
static void fp_restore(fp_state saved) {
    __asm__ volatile("msr fpcr, %0\n\tmsr fpsr, %1" : : "r"(saved.control), "r"(saved.status));
}
#else
#include <fenv.h>
typedef fenv_t fp_state;
static fp_state fp_default(void) {
    fp_state saved;
    fegetenv(&saved);
    fesetenv(FE_DFL_ENV);
    return saved;
}
static void fp_restore(fp_state saved) { fesetenv(&saved); }
#endif

enum { MAX_THREADS = 256 };

typedef struct {
    fd_work work;
    void *context;
    ptrdiff_t first, last;
    int status;
} share;

static void *run(void *argument) {
    share *s = argument;
    fp_state saved = fp_default();
    s->status = s->work(s->context, s->first, s->last);
    fp_restore(saved);
    return NULL;
}

int fd_parallel(fd_work work, void *context, ptrdiff_t count, int threads) {
    pthread_t thread[MAX_THREADS];
    share shares[MAX_THREADS];
    int running[MAX_THREADS], status = 0;
    if (threads > MAX_THREADS) threads = MAX_THREADS;
    if (threads > count) threads = (int)count;
    if (threads < 1) threads = 1;
    for (int i = 0; i < threads; i++) {
        ptrdiff_t each = count / threads, more = count % threads;
        shares[i] = (share){work, context, i * each + (i < more ? i : more), (i + 1) * each + (i + 1 < more ? i + 1 : more), 0};
    }
    for (int i = 1; i < threads; i++) running[i] = pthread_create(&thread[i], NULL, run, &shares[i]) == 0;
    run(&shares[0]);
    for (int i = 1; i < threads; i++) {
        if (running[i])
            pthread_join(thread[i], NULL);
        else
            run(&shares[i]);
    }
    for (int i = 0; i < threads; i++) status |= shares[i].status;
    return status;
}

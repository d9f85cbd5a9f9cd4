/* Rows to threads, and a few long rows to many threads; nothing else.
 *
 * A row that is shared is given to all workers: each runs its kernel from the beginning to the end, but adds up only the segments that are
 * its own, and has the others' sums from them.  So all of them know the same at every step, and none needs to be told what to do.
 *
 * Threads are made for a call and joined before it returns: no state, nothing that a fork could break, no library to ship.  If one
 * can't be made, its share runs here.  A worker that is to stop jumps out of its kernel, which holds nothing.
 */
#define _POSIX_C_SOURCE 200809L
#include "fastdiv.h"
#include <pthread.h>
#include <setjmp.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

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

enum { MAX_THREADS = 256, NANOSECONDS_BETWEEN_POLLS = 20000000, SEGMENTS_EACH = 4, STACK = 1 << 20 };

typedef struct {
    fd_work work;
    void *context;
    ptrdiff_t piece;
    fd_poll poll;
    atomic_int stopped;
    int running; /* threads beside the caller's; under the lock */
    pthread_mutex_t lock;
    pthread_cond_t ended;
    /* Rows that are shared: */
    int is_shared, members, arrived, left; /* members: 0 until all are there */
    unsigned meetings;
    pthread_cond_t changed;
    char *parts; /* of the segments between two meetings, twice: one is read while the other is written */
} team;

typedef struct {
    team *of;
    ptrdiff_t first, last;
    int status, is_caller, index;
    void *scratch;
    size_t scratch_size;
    jmp_buf *leave;
} share;

static FD_THREAD_LOCAL share *mine;          /* of the worker that runs on this thread */
static FD_THREAD_LOCAL const char *parts;    /* that are known since it last shared one */
static FD_THREAD_LOCAL ptrdiff_t unwatched;  /* elements since the last look at the clock */
static FD_THREAD_LOCAL struct timespec asked; /* when this thread was last asked whether to stop */

static int stopped(team *t) { return atomic_load_explicit(&t->stopped, memory_order_relaxed); }

static void ask(team *t) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    if (!t->poll || stopped(t) || (now.tv_sec - asked.tv_sec) * 1000000000LL + (now.tv_nsec - asked.tv_nsec) < NANOSECONDS_BETWEEN_POLLS) return;
    asked = now;
    if (t->poll()) atomic_store_explicit(&t->stopped, 1, memory_order_relaxed);
}

void fd_pause(void) {
    share *s = mine;
    if (!s) return;
    if (s->is_caller) ask(s->of);
    if (stopped(s->of)) longjmp(*s->leave, 1);
}

static void wait_a_little(pthread_cond_t *for_what, pthread_mutex_t *lock) {
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += NANOSECONDS_BETWEEN_POLLS;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    pthread_cond_timedwait(for_what, lock, &until);
}

/* Until all members are here; or never, if one has left or all are to stop. */
static void meet(share *s) {
    team *t = s->of;
    pthread_mutex_lock(&t->lock);
    unsigned meeting = t->meetings;
    if (++t->arrived == t->members) {
        t->arrived = 0;
        t->meetings++;
        pthread_cond_broadcast(&t->changed);
    }
    while (t->meetings == meeting && !t->left && !stopped(t)) {
        wait_a_little(&t->changed, &t->lock);
        if (!s->is_caller) continue;
        pthread_mutex_unlock(&t->lock);
        ask(t);
        pthread_mutex_lock(&t->lock);
    }
    int met = t->meetings != meeting;
    pthread_mutex_unlock(&t->lock);
    if (!met) longjmp(*s->leave, 1);
}

static int is_shared(const share *s) { return s && s->of->members > 1; }
int fd_leads(void) { return !is_shared(mine) || mine->index == 0; }
int fd_owns(ptrdiff_t segment) { return !is_shared(mine) || segment % mine->of->members == mine->index; }
int fd_share(ptrdiff_t segment, ptrdiff_t segments, const void *part, size_t size) {
    share *s = mine;
    if (!is_shared(s)) {
        parts = part;
        return 1;
    }
    ptrdiff_t most = SEGMENTS_EACH * s->of->members, at = segment % most;
    char *here = s->of->parts + (s->of->meetings % 2 ? most * FD_PART : 0);
    if (fd_owns(segment)) memcpy(here + at * FD_PART, part, size);
    if (at + 1 < most && segment + 1 < segments) return 0;
    meet(s);
    parts = here;
    return (int)at + 1;
}
const void *fd_part(int i) { return parts + (size_t)i * FD_PART; }

void *fd_scratch(size_t size) {
    share *s = mine;
    if (s->scratch_size < size) {
        free(s->scratch);
        s->scratch = malloc(size);
        s->scratch_size = s->scratch ? size : 0;
    }
    return s->scratch;
}

static void in_pieces(share *s) {
    jmp_buf leave;
    s->leave = &leave;
    if (setjmp(leave)) return;
    for (ptrdiff_t first = s->first; first < s->last; first += s->of->piece) {
        if (first > s->first || stopped(s->of)) fd_pause();
        s->status |= s->of->work(s->of->context, first, s->last - first < s->of->piece ? s->last : first + s->of->piece);
        if (is_shared(s) && s->status & ~FD_INVALID) return; /* the others are at a row that it could not do */
    }
}

static void run(share *s) {
    share *outer = mine; /* a generator may be a function of the caller's that comes here again */
    fp_state saved = fp_default();
    mine = s;
    in_pieces(s);
    mine = outer;
    fp_restore(saved);
    free(s->scratch);
}

/* Who ends with work undone leaves the others without its parts. */
static void leave(share *s) {
    if (!s->of->is_shared) return;
    pthread_mutex_lock(&s->of->lock);
    s->of->left = 1;
    pthread_cond_broadcast(&s->of->changed);
    pthread_mutex_unlock(&s->of->lock);
}

static void *run_beside(void *argument) {
    share *s = argument;
    pthread_mutex_lock(&s->of->lock);
    while (s->of->is_shared && s->of->members == 0) pthread_cond_wait(&s->of->changed, &s->of->lock);
    pthread_mutex_unlock(&s->of->lock);
    run(s);
    leave(s);
    pthread_mutex_lock(&s->of->lock);
    s->of->running--;
    pthread_cond_signal(&s->of->ended);
    pthread_mutex_unlock(&s->of->lock);
    return NULL;
}

/* The caller has no more to do, and asks on while the others have. */
static void await(team *t) {
    pthread_mutex_lock(&t->lock);
    while (t->running) {
        wait_a_little(&t->ended, &t->lock);
        pthread_mutex_unlock(&t->lock);
        ask(t);
        pthread_mutex_lock(&t->lock);
    }
    pthread_mutex_unlock(&t->lock);
}

int fd_parallel(fd_work work, void *context, ptrdiff_t count, ptrdiff_t cost, int threads, int can_share, fd_poll poll) {
    pthread_t thread[MAX_THREADS];
    share shares[MAX_THREADS];
    int made[MAX_THREADS], status = 0;
    team t = {.work = work, .context = context, .poll = poll, .piece = cost < FD_PIECE ? FD_PIECE / (cost < 1 ? 1 : cost) : 1, .members = 1};
    if (threads > MAX_THREADS) threads = MAX_THREADS;
    /* Rows that don't come out even are shared, unless each thread has several. */
    if (can_share && threads > 1 && cost >= FD_WORTH_SHARING && count % threads != 0 && count < 4 * threads)
        t.parts = malloc((size_t)(2 * SEGMENTS_EACH * threads) * FD_PART);
    t.is_shared = t.parts != NULL;
    if (threads > count && !t.is_shared) threads = (int)count;
    if (threads < 1) threads = 1;
    for (int i = 0; i < threads; i++) {
        ptrdiff_t each = count / threads, more = count % threads;
        shares[i] = (share){.of = &t, .first = i * each + (i < more ? i : more), .last = (i + 1) * each + (i + 1 < more ? i + 1 : more)};
        if (t.is_shared) shares[i].first = 0, shares[i].last = count;
    }
    shares[0].is_caller = 1;
    /* Many short calls may be one long one to who waits. */
    if (unwatched >= FD_PIECE || count >= t.piece) {
        unwatched = 0;
        ask(&t);
    } else
        unwatched += count * cost;
    if (threads == 1 || stopped(&t)) {
        run(&shares[0]);
        free(t.parts);
        return shares[0].status;
    }
    pthread_mutex_init(&t.lock, NULL);
    pthread_cond_init(&t.ended, NULL);
    pthread_cond_init(&t.changed, NULL);
    t.running = threads - 1;
    if (t.is_shared) t.members = 0;
    int members = 1;
    pthread_attr_t attributes;
    size_t stack;
    /* Some C libraries give threads hardly more than what kernels have in their frames. */
    const int has_attributes = pthread_attr_init(&attributes) == 0;
    if (has_attributes && pthread_attr_getstacksize(&attributes, &stack) == 0 && stack < STACK) pthread_attr_setstacksize(&attributes, STACK);
    for (int i = 1; i < threads; i++) {
        shares[i].index = members;
        made[i] = pthread_create(&thread[i], has_attributes ? &attributes : NULL, run_beside, &shares[i]) == 0;
        members += made[i];
    }
    if (has_attributes) pthread_attr_destroy(&attributes);
    if (t.is_shared) {
        pthread_mutex_lock(&t.lock);
        t.members = members;
        t.running = members - 1;
        pthread_cond_broadcast(&t.changed);
        pthread_mutex_unlock(&t.lock);
    }
    run(&shares[0]);
    leave(&shares[0]);
    for (int i = 1; i < threads; i++) {
        if (made[i] || t.is_shared) continue;
        shares[i].is_caller = 1;
        run_beside(&shares[i]);
    }
    await(&t);
    for (int i = 1; i < threads; i++)
        if (made[i]) pthread_join(thread[i], NULL);
    pthread_cond_destroy(&t.changed);
    pthread_cond_destroy(&t.ended);
    pthread_mutex_destroy(&t.lock);
    free(t.parts);
    for (int i = 0; i < threads; i++) status |= shares[i].status;
    return status;
}

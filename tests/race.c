/* Several callers at once, each with threads of its own, over the same rows: for ThreadSanitizer, which reports what they share
 * and should not.  Prints "rows" and their number, fails if a bit differs from what one thread computes.  With an
 * argument there is a race, so that it is known what a report looks like. */
#include "fastdiv.h"
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ROWS = 6, LENGTH = 1027, LONG = FD_WORTH_SHARING + 25 * FD_SEGMENT + 3, CALLERS = 4, THREADS = 3, FIELDS = FD_COMPARISONS + FD_STATISTICS + 4 };

static float weights[2][ROWS][LENGTH], logits[2][ROWS][LENGTH];
static const fd_kernels *kernels;
static double huge[2 * FD_PIECE];

typedef struct { double pair[FD_DIVERGENCES][FD_SOURCES][ROWS], fields[ROWS][FIELDS], sums[ROWS][2]; } results;
static results wanted;

static fd_row row_of(const void *data, int dtype, ptrdiff_t size) { return (fd_row){.data = data, .stride = size, .dtype = dtype}; }

static double squares(double t) { return (t - 1.0) * (t - 1.0); }

static int work(void *context, ptrdiff_t first, ptrdiff_t last) {
    results *r = context;
    int status = 0;
    for (ptrdiff_t i = first; i < last; i++) {
        fd_row p = row_of(weights[0][i], FD_float32, 4), q = row_of(weights[1][i], FD_float32, 4);
        fd_row a = row_of(logits[0][i], FD_float32, 4), b = row_of(logits[1][i], FD_float32, 4);
        fd_token token = {.label = i, .wanted = -1, .top = 5, .weight = 0.5, .scratch = fd_scratch(FD_SCRATCH(LENGTH))};
        double *to = r->fields[i];
        if (!token.scratch) return 1 << 8;
        for (int k = 0; k < FD_DIVERGENCES; k++)
            for (int s = 0; s < FD_SOURCES; s++)
                if (kernels->pair[k][s][0])
                    status |= kernels->pair[k][s][i % 2](s == FD_LOGITS ? a : p, s == FD_LOGITS ? b : q, LENGTH, 0.3, &r->pair[k][s][i]);
        status |= kernels->compare[i % 2](a, b, LENGTH, &token, to);
        status |= kernels->statistics[i % 2](a, LENGTH, &token, to + FD_COMPARISONS);
        to += FD_COMPARISONS + FD_STATISTICS;
        status |= kernels->token_nll[i % 2](a, LENGTH, i, to);
        status |= kernels->truncated_kl[i % 2](a, b, LENGTH, -10.0, to + 1);
        status |= kernels->f_divergence[FD_NORMALIZED][1](p, q, LENGTH, (fd_generator){squares, 1.0, INFINITY}, to + 2);
        status |= kernels->wasserstein[FD_NORMALIZED][1](p, q, p, LENGTH - 1, to + 3);
        fd_resample(huge, 2, LENGTH, LENGTH, 7, (uint64_t)i, r->sums[i]);
    }
    return status;
}

/* One row that all threads share, in many segments and several meetings. */
typedef struct { double pair[FD_DIVERGENCES][FD_SOURCES], fields[FIELDS]; } shared_results;
static shared_results wanted_of_long;
static int long_work(void *context, ptrdiff_t first, ptrdiff_t last) {
    shared_results *r = context;
    int status = 0;
    for (ptrdiff_t i = first; i < last; i++) {
        fd_row p = row_of(huge, FD_float64, 8), q = row_of(huge + 5, FD_float64, 8);
        fd_token token = {.label = LONG - 1, .wanted = -1, .top = 5, .weight = 0.5, .scratch = fd_scratch(FD_SCRATCH(LONG))};
        if (!token.scratch) return 1 << 8;
        shared_results mine;
        memset(&mine, 0, sizeof mine);
        for (int k = 0; k < FD_DIVERGENCES; k++)
            for (int s = 0; s < FD_SOURCES; s++)
                if (kernels->pair[k][s][1]) status |= kernels->pair[k][s][1](p, q, LONG, 0.3, &mine.pair[k][s]);
        status |= kernels->compare[1](p, q, LONG, &token, mine.fields);
        status |= kernels->statistics[1](p, LONG, &token, mine.fields + FD_COMPARISONS);
        if (fd_leads()) *r = mine;
    }
    return status;
}

static int together; /* with an argument: what all callers write, as they should not */

/* A row long enough to be asked in the middle of it, and the answer is to stop. */
static _Thread_local int asked;
static int stop(void) { return ++asked > 0; }
static int endless(void *context, ptrdiff_t first, ptrdiff_t last) {
    fd_row zero_stride = {.data = (const char *)huge, .stride = 0, .dtype = FD_float64};
    for (ptrdiff_t i = first; i < last; i++) kernels->pair[0][FD_RAW][1](zero_stride, zero_stride, (ptrdiff_t)1 << 50, 0.0, (double *)context + i);
    return 0;
}

static void *caller(void *argument) {
    results *mine = calloc(1, sizeof *mine);
    double unwritten[THREADS] = {0};
    if (argument) together++;
    for (int times = 0; times < 2; times++) {
        int status = fd_parallel(work, mine, ROWS, LENGTH, THREADS, 0, NULL);
        if (status || memcmp(mine, &wanted, sizeof wanted)) puts("bits differ"), exit(3);
        shared_results of_long;
        memset(&of_long, 0, sizeof of_long);
        status = fd_parallel(long_work, &of_long, 1, LONG, THREADS, 1, NULL);
        if (status || memcmp(&of_long, &wanted_of_long, sizeof of_long)) puts("bits of a shared row differ"), exit(5);
        fd_parallel(endless, unwritten, 1, (ptrdiff_t)1 << 50, THREADS, 1, stop);
        fd_parallel(endless, unwritten, THREADS, (ptrdiff_t)1 << 50, THREADS, 0, stop);
    }
    free(mine);
    return NULL;
}

int main(int count, char **arguments) {
    pthread_t thread[CALLERS];
    for (int i = 0; i < 2 * FD_PIECE; i++) huge[i] = 1.0 + i % 7;
    for (int k = 0; k < 2; k++)
        for (int i = 0; i < ROWS; i++)
            for (int j = 0; j < LENGTH; j++) {
                weights[k][i][j] = (float)(1 + (j * 37 + i * 11 + k * 5) % 101);
                logits[k][i][j] = 3.0f * logf(weights[k][i][j]);
            }
    int isas = 0;
    for (; fd_isas[isas].name; isas++) {
        if (!fd_isas[isas].supported()) continue;
        kernels = fd_isas[isas].kernels;
        memset(&wanted, 0, sizeof wanted);
        if (fd_parallel(work, &wanted, ROWS, LENGTH, 1, 0, NULL)) return 2;
        memset(&wanted_of_long, 0, sizeof wanted_of_long);
        if (fd_parallel(long_work, &wanted_of_long, 1, LONG, 1, 1, NULL)) return 2;
        for (int i = 0; i < CALLERS; i++)
            if (pthread_create(&thread[i], NULL, caller, count > 1 ? arguments : NULL)) return 4;
        for (int i = 0; i < CALLERS; i++) pthread_join(thread[i], NULL);
        printf("%s: %d rows\n", fd_isas[isas].name, CALLERS * ROWS * 2);
        if (count > 1) break;
    }
    return 0;
}

/* Divergences of Gaussians, eight problems at a time: the C interface of _gaussian.pyx. */
#ifndef FASTDIV_GAUSSIAN_H
#define FASTDIV_GAUSSIAN_H
#include "../fastdiv.h"

enum { FD_MEAN_P, FD_SCALE_P, FD_MEAN_Q, FD_SCALE_Q, FD_ORDER, FD_GAUSSIAN_OPERANDS };
enum { FD_BATCH_AXES = 64 };

/* Broadcast operands over a batch; strides in bytes.  `scale` is a covariance, full or its diagonal, or a lower factor of it.  The
 * order of Renyi's divergence, at least 1/2, or 1 - order, if that is below 1/2; NULL for that of Kullback and Leibler. */
typedef struct {
    const char *data[FD_GAUSSIAN_OPERANDS];
    ptrdiff_t steps[FD_GAUSSIAN_OPERANDS][FD_BATCH_AXES];
    ptrdiff_t row[FD_GAUSSIAN_OPERANDS], column[FD_GAUSSIAN_OPERANDS];
    ptrdiff_t shape[FD_BATCH_AXES], count, k;
    int axes, diagonal, factors;
    double *result; /* one after the other; NaN where a scale is not positive definite to working precision */
} fd_gaussians;

enum { FD_NO_SCRATCH = 2, FD_DOUBTFUL = 4 };
/* Problems [8 first, 8 last), an fd_work of one instruction set; FD_NO_SCRATCH if there is no memory, FD_DOUBTFUL if a result is NaN. */
typedef struct {
    const char *name;
    fd_work work;
} fd_gaussian_isa;
extern const fd_gaussian_isa fd_gaussian_isas[]; /* ends with a NULL name */
int fd_gaussians_scalar(void *, ptrdiff_t, ptrdiff_t);
#if defined(__x86_64__)
int fd_gaussians_avx2(void *, ptrdiff_t, ptrdiff_t);
int fd_gaussians_avx512(void *, ptrdiff_t, ptrdiff_t);
#elif defined(__aarch64__)
int fd_gaussians_neon(void *, ptrdiff_t, ptrdiff_t);
#endif
#endif

"""The C interface of src_c/fastdiv.h as Cython sees it."""

from libc.stdint cimport int64_t, uint32_t, uint64_t


cdef extern from "fastdiv.h" nogil:
    enum: FD_DIVERGENCES
    enum: FD_SOURCES
    enum: FD_COMPARISONS
    enum: FD_DTYPES
    enum: FD_STATISTICS
    enum: FD_TOP
    const char *fd_comparison_names[]
    const char *fd_statistic_names[]
    enum: FD_INVALID
    enum: FD_float16
    enum: FD_bfloat16
    enum: FD_float32
    enum: FD_float64

    ctypedef struct fd_row:
        const char *data
        Py_ssize_t stride
        int dtype
        double temperature

    ctypedef struct fd_token:
        int64_t label, wanted, top
        double weight
        void *scratch

    size_t FD_SCRATCH(Py_ssize_t n)

    ctypedef int (*fd_pair_kernel)(fd_row, fd_row, Py_ssize_t, double, double *) noexcept nogil
    enum: FD_ROWS
    ctypedef int (*fd_rows_kernel)(
        fd_row, Py_ssize_t, fd_row, Py_ssize_t, int, Py_ssize_t, double, double *
    ) noexcept nogil

    ctypedef struct fd_generator:
        double (*f)(double) noexcept nogil
        double at_0
        double at_inf

    ctypedef struct fd_kernels:
        fd_pair_kernel pair[256][3][2]
        fd_rows_kernel rows[256][3][2]
        int (*log_sum_exp[2])(fd_row, Py_ssize_t, double *) noexcept nogil
        int (*token_nll[2])(fd_row, Py_ssize_t, int64_t, double *) noexcept nogil
        int (*compare[2])(fd_row, fd_row, Py_ssize_t, const fd_token *, double *) noexcept nogil
        int (*statistics[2])(fd_row, Py_ssize_t, const fd_token *, double *) noexcept nogil
        int (*truncated_kl[2])(fd_row, fd_row, Py_ssize_t, double, double *) noexcept nogil
        int (*f_divergence[3][2])(fd_row, fd_row, Py_ssize_t, fd_generator, double *) noexcept nogil
        double (*js_prepare)(fd_row, Py_ssize_t, double *) noexcept nogil
        int (*js_from_prepared)(const double *, const double *, Py_ssize_t, double, double, double *) noexcept nogil
        fd_pair_kernel js_exact
        int (*wasserstein[3][2])(fd_row, fd_row, fd_row, Py_ssize_t, double *) noexcept nogil

    ctypedef struct fd_isa:
        const char *name
        const fd_kernels *kernels
        int (*supported)() noexcept nogil

    const fd_isa *fd_isas
    ctypedef int (*fd_work)(void *, Py_ssize_t, Py_ssize_t) noexcept nogil
    ctypedef int (*fd_poll)() noexcept nogil
    enum: FD_PIECE
    enum: FD_SEGMENT
    int fd_parallel(fd_work work, void *context, Py_ssize_t count, Py_ssize_t cost, int threads, int can_share, fd_poll poll)
    int fd_leads()
    void fd_pause()
    void *fd_scratch(size_t size)
    void fd_pack(
        int size, const char *from_, Py_ssize_t inner, Py_ssize_t step, Py_ssize_t rows, Py_ssize_t n, char *to, Py_ssize_t to_step
    )
    void fd_draw(uint32_t, Py_ssize_t, uint64_t, uint64_t, int64_t *)
    void fd_resample(const double *, Py_ssize_t, uint32_t, Py_ssize_t, uint64_t, uint64_t, double *)

    ctypedef struct fd_description:
        const char *name
        const char *parameter
        int symmetric
        int unary

    const fd_description *fd_descriptions

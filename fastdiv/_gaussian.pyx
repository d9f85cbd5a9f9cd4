# cython: language_level=3, freethreading_compatible=True
"""Divergences of Gaussians over a batch: arrays in, an array out; what is wrong with them is for Python to say."""

import numpy as np

cimport numpy as cnp

from fastdiv import _core

cnp.import_array()

cdef extern from "Python.h" nogil:
    int PyErr_CheckSignals()  # leaves its exception where it is: whoever began the call raises it
    void *PyErr_Occurred()

cdef extern from "gaussian/gaussian.h" nogil:
    enum: FD_GAUSSIAN_OPERANDS
    enum: FD_BATCH_AXES
    enum: FD_ORDER
    enum: FD_NO_SCRATCH
    enum: FD_DOUBTFUL
    ctypedef int (*fd_work)(void *, Py_ssize_t, Py_ssize_t) noexcept nogil
    ctypedef int (*fd_poll)() noexcept nogil

    ctypedef struct fd_gaussians:
        const char *data[5]
        Py_ssize_t steps[5][64]
        Py_ssize_t row[5]
        Py_ssize_t column[5]
        Py_ssize_t shape[64]
        Py_ssize_t count
        Py_ssize_t k
        int axes, diagonal, factors
        double *result

    ctypedef struct fd_gaussian_isa:
        const char *name
        fd_work work

    const fd_gaussian_isa *fd_gaussian_isas
    int fd_parallel(fd_work work, void *context, Py_ssize_t count, Py_ssize_t cost, int threads, int can_share, fd_poll poll)


cdef enum:
    THREADED = 1 << 17  # operations below which a second thread costs more than it brings


cdef int interrupted() noexcept with gil:
    return PyErr_CheckSignals() != 0


cdef int raise_what_is_pending() except -1:
    return -1 if PyErr_Occurred() != NULL else 0


cdef fd_work work_of(str name) except NULL:
    cdef int i = 0
    while fd_gaussian_isas[i].name != NULL:
        if fd_gaussian_isas[i].name.decode() == name:
            return fd_gaussian_isas[i].work
        i += 1
    raise ValueError(f"no kernel of Gaussians for {name!r}")


def kernel_addresses():
    """Addresses for tests in C: of the kernels (fd_work) by instruction set, and of what runs them."""
    found = {name: <size_t>work_of(name) for name in _core.available_isas()}
    return {**found, "fd_parallel": <size_t>fd_parallel}


def evaluate(tuple operands not None, tuple batch not None, bint diagonal, bint factors):
    """Divergence of each problem of a batch, as an array of its shape; and whether NaN is among them.

    Operands are float64, of the batch's shape and then (k) or (k, k): mean and scale of P and of Q, and the order (of the batch's shape
    alone) of Renyi's divergence, if that is meant: at least 1/2, or 1 - order, if that is below 1/2.
    """
    cdef fd_gaussians g
    cdef cnp.ndarray x, out = np.empty(batch)
    cdef int o, axis, axes, status = 0, threads = _core.get_threads()
    cdef bint joined
    cdef Py_ssize_t groups, cost
    cdef fd_work work = work_of(_core.isa())
    if len(batch) > FD_BATCH_AXES:
        raise ValueError(f"{len(batch)} axes of a batch; at most {FD_BATCH_AXES}")
    g.count = out.size
    g.k = operands[0].shape[-1]
    diagonal = diagonal or g.k == 1  # fewer roundings: no root, and no inverse
    g.diagonal, g.factors = diagonal, factors
    g.result = <double *>cnp.PyArray_DATA(out)
    g.data[FD_ORDER] = NULL
    for o, x in enumerate(operands):
        g.data[o] = cnp.PyArray_BYTES(x)
        g.row[o] = g.column[o] = 0
        if x.ndim > len(batch):
            g.row[o] = cnp.PyArray_STRIDE(x, len(batch))
            g.column[o] = cnp.PyArray_STRIDE(x, x.ndim - 1)
    # Axes that are one to every operand become one.
    axes = 0
    for axis in range(len(batch)):
        joined = axes > 0
        for x in operands:
            if axis and cnp.PyArray_STRIDE(x, axis - 1) != cnp.PyArray_STRIDE(x, axis) * batch[axis]:
                joined = False
        if joined:
            axes -= 1
        g.shape[axes] = batch[axis] * (g.shape[axes] if joined else 1)
        for o, x in enumerate(operands):
            g.steps[o][axes] = cnp.PyArray_STRIDE(x, axis)
        axes += 1
    g.axes = axes
    if axes == 0:
        g.axes = 1
        g.shape[0] = 1
        for o in range(FD_GAUSSIAN_OPERANDS):
            g.steps[o][0] = 0
    groups = (g.count + 7) // 8
    cost = 64 * (g.k if diagonal else g.k * g.k * (g.k + 8) // 8)
    if groups * cost < THREADED:
        threads = 1
    if g.count:
        with nogil:
            status = fd_parallel(work, &g, groups, cost, threads, False, interrupted)
        raise_what_is_pending()
        if status & FD_NO_SCRATCH:
            raise MemoryError(f"no memory for eight matrices of {g.k} rows")
    return out, bool(status & FD_DOUBTFUL)

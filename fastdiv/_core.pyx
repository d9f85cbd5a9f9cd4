# cython: language_level=3, freethreading_compatible=True
"""The compiled core: NumPy generalised ufuncs over the C tables, dtypes in, exceptions out.

One gufunc per divergence and source is made when it is first asked for.  Its loops differ in the storage types of the operands only;
bfloat16 travels as uint16, so integer weights are cast before they get here.
"""

import os

import numpy as np

cimport cython
cimport numpy as cnp
from cpython.exc cimport PyErr_CheckSignals, PyErr_SetObject
from cpython.pycapsule cimport PyCapsule_GetPointer
from cpython.ref cimport PyObject, Py_DECREF, Py_INCREF
from libc.math cimport NAN, sqrt
from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport free, llabs, malloc
from libc.string cimport memcpy

cnp.import_array()
cnp.import_ufunc()

cdef extern from "Python.h" nogil:
    ctypedef struct PyThreadState:
        pass
    int PyGILState_Check()
    PyThreadState *PyEval_SaveThread()
    void PyEval_RestoreThread(PyThreadState *)

cdef extern from "numpy/arrayobject.h":
    object PyArray_Scalar(void *, cnp.dtype, PyObject *)

cdef extern from "fenv.h" nogil:
    int FE_INVALID
    int feraiseexcept(int)


# ---- which kernels, how many threads ----

# All that changes once the module is there: two atomic words, which a call reads; what a call remembers is its thread's own; and
# `made`, of which a second maker's work is dropped.
cdef extern from *:
    """
    #include <stdatomic.h>
    typedef struct { PyObject *error; } fd_call;
    static FD_THREAD_LOCAL fd_call *fd_this_call;
    static const fd_kernels *_Atomic fd_kernels_in_use;
    static atomic_int fd_thread_count;
    """
    ctypedef struct Call "fd_call":
        PyObject *error  # to be raised when the C code has come to its end
    Call *this_call "fd_this_call"  # of this thread
    const fd_kernels *kernels "fd_kernels_in_use"
    int thread_count "fd_thread_count"


def available_isas():
    """Instruction sets that this build has and this processor runs.

    Returns
    -------
    tuple of str
        The slowest first; "scalar" is always there.

    Examples
    --------
    >>> import fastdiv as fd
    >>> fd.isa() in fd.available_isas()
    True
    """
    cdef int i = 0
    names = []
    while fd_isas[i].name != NULL:
        if fd_isas[i].supported():
            names.append(fd_isas[i].name.decode())
        i += 1
    return tuple(names)


def force_isa(str name):
    """Use the kernels of one instruction set from now on (for tests; users set FASTDIV_ISA)."""
    global kernels
    cdef int i = 0
    while fd_isas[i].name != NULL:
        if fd_isas[i].name.decode() == name and fd_isas[i].supported():
            kernels = fd_isas[i].kernels
            return
        i += 1
    raise ValueError(f"instruction set {name!r} is not available here; available: {', '.join(available_isas())}")


def kernel_tables():
    """Addresses of the tables of kernels (fd_kernels) by instruction set, for tests in C."""
    cdef int i = 0
    tables = {}
    while fd_isas[i].name != NULL:
        if fd_isas[i].supported():
            tables[fd_isas[i].name.decode()] = <size_t>fd_isas[i].kernels
        i += 1
    return tables


def isa():
    """Name of the instruction set whose kernels are in use.

    Returns
    -------
    str
        "scalar", "avx2", "avx512" or "neon"; results have the same bits for each.

    Examples
    --------
    >>> import fastdiv as fd
    >>> fd.isa() in ("scalar", "avx2", "avx512", "neon")
    True
    """
    cdef const fd_kernels *now = kernels
    cdef int i = 0
    while fd_isas[i].kernels != now:
        i += 1
    return fd_isas[i].name.decode()


def set_threads(int count):
    """Most threads that a call may use."""
    global thread_count
    thread_count = count


def get_threads():
    """Most threads that a call may use."""
    return thread_count


# ---- loops ----

cdef enum:
    OPERANDS = 2 + 5 + FD_COMPARISONS  # the most that a gufunc here has: two rows, their parameters, fields
    SLICE = 1 << 22  # elements in a tile of pairs, at most
    THREADED = 1 << 17  # elements below which a second thread costs more than it brings
    NO_MEMORY = 1 << 8  # a status bit beside FD_INVALID
    LINE = 64  # bytes of the cache that are fetched together
    LINES = 2 * LINE  # and those that memory gives as one
    ABREAST = 32  # rows whose elements fill them
    PACKED = 1 << 16  # bytes of rows that are packed together, where four lines of each element are fewer
    PACKED_BY_FOUR = 1 << 20  # bytes of four lines of each element, above which they are packed by two
    PACKED_AT_MOST = 1 << 26


cdef struct Loop:  # what distinguishes one loop of one gufunc from another
    fd_work work
    int operands
    int rows  # how many of them have the core dimension
    int parameters  # numbers beside the rows
    int can_share  # its kernels share a long row
    int which
    int source
    int dtype[3]


cdef struct Job:  # one call of a loop
    const Loop *loop
    char *args[OPERANDS]
    Py_ssize_t steps[OPERANDS]
    Py_ssize_t inner[3]
    Py_ssize_t n
    Py_ssize_t reserved  # bytes at the beginning of the worker's scratch that hold its rows
    Py_ssize_t count, group, lead  # rows, how many are taken together, and how many fewer at first
    int is_packed  # they are made contiguous first


cdef inline fd_row row(const Job *job, int operand, Py_ssize_t i) noexcept nogil:
    cdef fd_row r
    r.data = job.args[operand] + i * job.steps[operand]
    r.stride = job.inner[operand]
    r.dtype = job.loop.dtype[operand]
    r.temperature = 0
    return r


cdef inline fd_row tempered(const Job *job, int operand, Py_ssize_t i, double temperature) noexcept nogil:
    cdef fd_row r = row(job, operand, i)
    if temperature != 1:
        r.temperature = temperature
    return r


cdef inline int64_t integer(const Job *job, int operand, Py_ssize_t i) noexcept nogil:
    return (<int64_t *>(job.args[operand] + i * job.steps[operand]))[0]


cdef inline double *cell(const Job *job, int operand, Py_ssize_t i) noexcept nogil:
    return <double *>(job.args[operand] + i * job.steps[operand])


cdef inline void write(double *to, double x) noexcept nogil:
    # The sign and payload of a NaN are the processor's business; results have the same bits everywhere.
    if fd_leads():
        to[0] = NAN if x != x else x


cdef inline double *output(const Job *job, Py_ssize_t i) noexcept nogil:
    return cell(job, job.loop.rows + job.loop.parameters, i)


cdef inline int in_double(const Job *job, int rows) noexcept nogil:
    return job.loop.dtype[0] == FD_float64 or (rows == 2 and job.loop.dtype[1] == FD_float64)


cdef inline int goes_across(const Job *job) noexcept nogil:
    """Whether kernels take rows that lie in the columns of an array as they are."""
    cdef int which = job.loop.which, source = job.loop.source, dtype = job.loop.dtype[0], i, columns = 0
    cdef Py_ssize_t size = size_of(job, 0)
    if job.loop.work != pair_work or job.loop.rows != 2 or job.loop.parameters or job.n > FD_SEGMENT:
        return False
    if dtype != job.loop.dtype[1] or dtype not in (FD_float32, FD_float64) or kernels.rows[which][source][dtype == FD_float64] == NULL:
        return False
    for i in range(2):
        if job.steps[i] == size and job.inner[i] != size:
            columns += 1
        elif job.steps[i] != 0:
            return False
    return columns > 0


cdef int pair_work(void *context, Py_ssize_t first, Py_ssize_t last) noexcept nogil:
    cdef const Job *job = <const Job *>context
    cdef int status = 0, rows = job.loop.rows  # a unary kernel takes its row twice
    cdef int which = job.loop.which, source = job.loop.source, double_ = in_double(job, rows), count, k
    cdef fd_pair_kernel kernel = kernels.pair[which][source][double_]
    cdef fd_rows_kernel several = NULL if job.loop.parameters else kernels.rows[which][source][double_]
    cdef double result, parameter = 0.0
    cdef double[FD_ROWS] results
    cdef Py_ssize_t i = first
    if several != NULL and (goes_across(job) or job.n * 8 <= FD_PIECE):  # longer rows gain nothing, and some are shared by threads
        while i < last:
            count = <int>min(<Py_ssize_t>FD_ROWS, last - i)
            status |= several(
                row(job, 0, i), job.steps[0], row(job, 1, i), job.steps[1], count, job.n, parameter, results
            )
            for k in range(count):
                write(output(job, i + k), results[k])
            i += count
        return status
    for i in range(first, last):
        if job.loop.parameters:
            parameter = cell(job, rows, i)[0]
        status |= kernel(row(job, 0, i), row(job, rows - 1, i), job.n, parameter, &result)
        write(output(job, i), result)
    return status


cdef int f_divergence_work(void *context, Py_ssize_t first, Py_ssize_t last) noexcept nogil:
    cdef const Job *job = <const Job *>context
    cdef fd_generator generator
    cdef double result
    cdef int status = 0
    cdef Py_ssize_t i
    for i in range(first, last):
        generator.f = <double (*)(double) noexcept nogil>integer(job, 2, i)
        generator.at_0 = cell(job, 3, i)[0]
        generator.at_inf = cell(job, 4, i)[0]
        status |= kernels.f_divergence[job.loop.source][1](row(job, 0, i), row(job, 1, i), job.n, generator, &result)
        write(output(job, i), result)
    return status


cdef int wasserstein_work(void *context, Py_ssize_t first, Py_ssize_t last) noexcept nogil:
    cdef const Job *job = <const Job *>context
    cdef double result
    cdef int status = 0
    cdef Py_ssize_t i
    for i in range(first, last):
        status |= kernels.wasserstein[job.loop.source][1](
            row(job, 0, i), row(job, 1, i), row(job, 2, i), job.n, &result
        )
        write(output(job, i), result)
    return status


cdef int log_sum_exp_work(void *context, Py_ssize_t first, Py_ssize_t last) noexcept nogil:
    cdef const Job *job = <const Job *>context
    cdef double result
    cdef int status = 0
    cdef Py_ssize_t i
    for i in range(first, last):
        status |= kernels.log_sum_exp[in_double(job, 1)](row(job, 0, i), job.n, &result)
        write(output(job, i), result)
    return status


cdef int token_nll_work(void *context, Py_ssize_t first, Py_ssize_t last) noexcept nogil:
    cdef const Job *job = <const Job *>context
    cdef int status = 0
    cdef double result, temperature
    cdef Py_ssize_t i
    for i in range(first, last):
        temperature = cell(job, 2, i)[0]
        status |= kernels.token_nll[in_double(job, 1) or temperature != 1](
            tempered(job, 0, i, temperature), job.n, integer(job, 1, i), &result
        )
        write(output(job, i), result)
    return status


cdef int token_work(void *context, Py_ssize_t first, Py_ssize_t last) noexcept nogil:
    """The fields of one row of logits, or of two; beside them: label, wanted fields, top k, weight and temperature."""
    cdef const Job *job = <const Job *>context
    cdef double result[FD_COMPARISONS]  # there are fewer statistics of one row
    cdef int status = 0, k, rows = job.loop.rows, double_
    cdef int fields = FD_COMPARISONS if rows == 2 else FD_STATISTICS
    cdef double temperature
    cdef fd_token token
    cdef Py_ssize_t i
    token.scratch = NULL
    if rows == 2:
        token.scratch = fd_scratch(job.reserved + FD_SCRATCH(job.n))
        if token.scratch == NULL:
            return NO_MEMORY
        token.scratch = <char *>token.scratch + job.reserved
    for i in range(first, last):
        token.label = integer(job, rows, i)
        token.wanted = integer(job, rows + 1, i)
        token.top = integer(job, rows + 2, i)
        token.weight = cell(job, rows + 3, i)[0]
        temperature = cell(job, rows + 4, i)[0]
        double_ = in_double(job, rows) or temperature != 1
        if rows == 2:
            status |= kernels.compare[double_](
                tempered(job, 0, i, temperature), tempered(job, 1, i, temperature), job.n, &token, result
            )
        else:
            status |= kernels.statistics[double_](tempered(job, 0, i, temperature), job.n, &token, result)
        for k in range(fields):
            write(cell(job, rows + 5 + k, i), result[k])
    return status


cdef int truncated_kl_work(void *context, Py_ssize_t first, Py_ssize_t last) noexcept nogil:
    cdef const Job *job = <const Job *>context
    cdef double result
    cdef int status = 0
    cdef Py_ssize_t i
    for i in range(first, last):
        status |= kernels.truncated_kl[in_double(job, 2)](
            row(job, 0, i), row(job, 1, i), job.n, cell(job, 2, i)[0], &result
        )
        write(output(job, i), result)
    return status


cdef void keep(object error) noexcept:
    # An exception must not leave a ufunc's loop: whoever began the call raises it.
    Py_INCREF(error)
    if this_call.error != NULL:
        Py_DECREF(<object>this_call.error)
    this_call.error = <PyObject *>error


cdef void out_of_memory() noexcept with gil:
    error = MemoryError("no memory for two rows")
    if this_call != NULL:
        keep(error)
    else:  # Dask calls the gufunc by itself; what was not computed must not be taken for a result
        PyErr_SetObject(MemoryError, error)


cdef int interrupted() noexcept with gil:
    if this_call == NULL:  # the signal stays pending, for who called
        return 0
    try:
        PyErr_CheckSignals()
    except BaseException as error:
        keep(error)
        return 1
    return 0


cdef object ended(Call *call, Call *outer):
    """Raise what was kept; the call is no longer this thread's."""
    global this_call
    this_call = outer
    if call.error != NULL:
        error = <object>call.error
        Py_DECREF(error)
        call.error = NULL
        raise error


cdef int together(fd_work work, void *job, Py_ssize_t count, Py_ssize_t cost) except -1:
    """work over `count` things of `cost` elements, until it is done or interrupted; the status bits."""
    global this_call
    cdef Call call = [NULL]
    cdef Call *outer = this_call
    cdef int status, threads = thread_count if count * cost >= THREADED else 1
    this_call = &call
    with nogil:
        status = fd_parallel(work, job, count, cost, threads, False, interrupted)
    ended(&call, outer)
    return status


cdef inline Py_ssize_t size_of(const Job *job, int operand) noexcept nogil:
    cdef int dtype = job.loop.dtype[operand]
    return 8 if dtype == FD_float64 else 4 if dtype == FD_float32 else 2


cdef inline int is_apart(const Job *job, int operand) noexcept nogil:
    """Whether the elements of a row lie farther from each other than from those of the next rows."""
    return 4 * llabs(job.steps[operand]) <= llabs(job.inner[operand]) and job.inner[operand] != size_of(job, operand)


cdef inline Py_ssize_t packed_step(const Job *job, int operand) noexcept nogil:
    # An odd number of lines, for rows that are a power of 2 apart would all want the same few places of the cache.
    return ((job.n * size_of(job, operand) + LINE - 1) // LINE | 1) * LINE


cdef Py_ssize_t rows_to_pack(const Job *job, Py_ssize_t count) noexcept nogil:
    """How many rows are packed together: at least as many as have an element in a line; 0 where that is not worth it."""
    cdef Py_ssize_t size = 0, in_a_line = 0, lines
    cdef int i
    for i in range(job.loop.rows):
        if is_apart(job, i):
            size += packed_step(job, i)
            if job.steps[i]:
                in_a_line = max(in_a_line, LINE // size_of(job, i))
    if in_a_line == 0 or count < in_a_line or size * in_a_line > PACKED_AT_MOST:
        return 0
    size *= in_a_line
    lines = PACKED // size
    if lines < 4:
        lines = 4 if 4 * size <= PACKED_BY_FOUR else 2 if 2 * size <= PACKED_AT_MOST else 1
    return in_a_line * max(<Py_ssize_t>1, min(lines, count // (in_a_line * thread_count)))  # there is something for each thread


cdef Py_ssize_t rows_before_line(const Job *job) noexcept nogil:
    """How many rows more the first lines would hold: groups that begin where lines do need none twice."""
    cdef int i
    for i in range(job.loop.rows):
        if is_apart(job, i) and job.steps[i] == size_of(job, i):
            return <Py_ssize_t>(<size_t>job.args[i] % LINES) // job.steps[i]
    return 0


cdef int grouped_work(void *context, Py_ssize_t first, Py_ssize_t last) noexcept nogil:
    """Groups of rows, which are made contiguous before work that needs that gets them."""
    cdef const Job *job = <const Job *>context
    cdef Job packed = job[0]
    cdef Py_ssize_t k, start, rows, size = 0
    cdef char *scratch = NULL
    cdef int i, status = 0
    if job.is_packed:
        for i in range(job.loop.rows):
            if is_apart(job, i):
                size += packed_step(job, i) * (job.group if job.steps[i] else 1)
        scratch = <char *>fd_scratch(size + FD_SCRATCH(job.n))  # the work may ask for more, which must not move what is here
        if scratch == NULL:
            return NO_MEMORY
    packed.reserved = size
    for k in range(first, last):
        start = max(<Py_ssize_t>0, k * job.group - job.lead)
        rows = min(job.count, (k + 1) * job.group - job.lead) - start
        size = 0
        for i in range(job.loop.operands):
            packed.args[i] = job.args[i] + start * job.steps[i]
            if job.is_packed and i < job.loop.rows and is_apart(job, i):
                packed.steps[i] = packed_step(job, i) if job.steps[i] else 0
                fd_pack(
                    size_of(job, i), packed.args[i], job.inner[i], job.steps[i], rows if job.steps[i] else 1, job.n, scratch + size,
                    packed.steps[i]
                )
                packed.args[i] = scratch + size
                packed.inner[i] = size_of(job, i)
                size += packed_step(job, i) * (job.group if job.steps[i] else 1)
        status |= job.loop.work(&packed, 0, rows)
    return status


cdef int all_rows(Job *job, Py_ssize_t count) noexcept nogil:
    """The kernels of a job, on as many threads as its rows are worth; the status bits."""
    cdef int status, threads = thread_count
    cdef PyThreadState *held = NULL
    cdef Py_ssize_t group
    job.is_packed = count == 1 or not goes_across(job)
    if job.is_packed:
        group = rows_to_pack(job, count)
    else:  # there is something for each thread
        group = min(<Py_ssize_t>FD_ROWS, max(<Py_ssize_t>ABREAST, count // threads // ABREAST * ABREAST))
    job.reserved = 0
    if count * job.n < THREADED:
        threads = 1
    elif PyGILState_Check():  # NumPy keeps the lock for few rows, however long they are
        held = PyEval_SaveThread()
    if group:
        job.count = count
        job.group = group
        job.lead = rows_before_line(job)
        status = fd_parallel(grouped_work, job, (count + job.lead + group - 1) // group, group * job.n, threads, False, interrupted)
    else:
        status = fd_parallel(job.loop.work, job, count, job.n, threads, job.loop.can_share, interrupted)
    if held != NULL:
        PyEval_RestoreThread(held)
    return status


cdef void loop(char **args, const cnp.npy_intp *dimensions, const cnp.npy_intp *steps, void *data) noexcept nogil:
    cdef Job job
    cdef const Loop *kind = <const Loop *>data
    cdef int i, status
    job.loop = kind
    job.n = dimensions[1]
    for i in range(kind.operands):
        job.args[i] = args[i]
        job.steps[i] = steps[i]
    for i in range(kind.rows):
        job.inner[i] = steps[kind.operands + i]
    if job.n == 0 or (this_call != NULL and this_call.error != NULL):
        return
    status = all_rows(&job, dimensions[0])
    if status & NO_MEMORY:
        out_of_memory()
    if status & FD_INVALID:
        feraiseexcept(FE_INVALID)


# ---- gufuncs ----

cdef dict CODES = {FD_float16: "e", FD_bfloat16: "H", FD_float32: "f", FD_float64: "d"}
# bfloat16 first: uint16 must never be taken for a number that is safely cast to float32.
cdef tuple ORDER = (FD_bfloat16, FD_float16, FD_float32, FD_float64)
cdef dict made = {}


cdef object make(str name, fd_work work, int rows, str parameters, str outputs, int which=0, int source=0):
    """A gufunc of `rows` rows (a third is of float64), parameters and outputs of one number each."""
    cdef int operands = rows + len(parameters) + len(outputs)
    signature = ",".join(["(n)"] * rows + ["()"] * len(parameters)) + "->" + ",".join(["()"] * len(outputs))
    pairs = [(a, b) for a in ORDER for b in (ORDER if rows > 1 else (a,))]
    pairs.sort(key=lambda pair: FD_bfloat16 not in pair)
    cdef int count = len(pairs), k = 0
    # NumPy keeps these pointers for the life of the ufunc, which is that of the process.
    cdef Loop *loops = <Loop *>malloc(count * sizeof(Loop))
    cdef void **data = <void **>malloc(count * sizeof(void *))
    cdef cnp.PyUFuncGenericFunction *functions = <cnp.PyUFuncGenericFunction *>malloc(
        count * sizeof(cnp.PyUFuncGenericFunction)
    )
    cdef char *types = <char *>malloc(count * operands)
    if loops == NULL or data == NULL or functions == NULL or types == NULL:
        free(loops)
        free(data)
        free(functions)
        free(types)
        raise MemoryError(f"{name}: no memory for its gufunc")
    for k, (a, b) in enumerate(pairs):
        loops[k].work = work
        loops[k].operands = operands
        loops[k].rows = rows
        loops[k].parameters = len(parameters)
        loops[k].can_share = work in (pair_work, log_sum_exp_work, token_nll_work, token_work)
        loops[k].which = which
        loops[k].source = source
        loops[k].dtype[0] = a
        loops[k].dtype[1] = b
        loops[k].dtype[2] = FD_float64
        data[k] = &loops[k]
        functions[k] = <cnp.PyUFuncGenericFunction>loop
        for i, code in enumerate((CODES[a] + CODES[b] + "d")[:rows] + parameters + outputs):
            types[k * operands + i] = ord(np.dtype(code).num.to_bytes(1, "little"))
    text = name.encode(), signature.encode()
    kept.append(text)
    return cnp.PyUFunc_FromFuncAndDataAndSignature(
        functions, data, types, count, rows + len(parameters), len(outputs), cnp.PyUFunc_None, text[0], NULL, 0, text[1]
    )


cdef list kept = []  # the C strings that gufuncs point to
DIVERGENCES = ()
cdef dict number = {}
cdef dict parameters = {}
cdef list symmetric = []
cdef list unary = []
cdef int _k = 0
while fd_descriptions[_k].name != NULL:
    _name = fd_descriptions[_k].name.decode()
    number[_name] = _k
    if fd_descriptions[_k].parameter != NULL:
        parameters[_name] = fd_descriptions[_k].parameter.decode()
    if fd_descriptions[_k].symmetric:
        symmetric.append(_name)
    if fd_descriptions[_k].unary:
        unary.append(_name)
    _k += 1
DIVERGENCES = tuple(number)
PARAMETERS = parameters
SYMMETRIC = tuple(symmetric)
UNARY = tuple(unary)
cdef tuple names_of(const char **names):
    cdef int k = 0
    found = []
    while names[k] != NULL:
        found.append(names[k].decode())
        k += 1
    return tuple(found)


COMPARISONS = names_of(<const char **>fd_comparison_names)
STATISTICS = names_of(<const char **>fd_statistic_names)
LARGEST_TOP_K = FD_TOP
DTYPES = ("float16", "bfloat16", "float32", "float64")
SOURCES = ("normalized", "raw", "logits")


def gufunc(str name, int source):
    """The gufunc of one divergence and one of SOURCES."""
    key = (name, source)
    found = made.get(key)
    if found is not None:
        return found
    if name == "f_divergence":
        found = make(name, f_divergence_work, 2, "qdd", "d", 0, source)
    elif name == "wasserstein_distance":
        found = make(name, wasserstein_work, 3, "", "d", 0, source)
    else:
        found = make(name, pair_work, 1 if name in UNARY else 2, "d" if name in PARAMETERS else "", "d", number[name], source)
    return made.setdefault(key, found)


cdef object token_gufunc(str name):
    found = made.get(name)
    if found is not None:
        return found
    if name == "logsumexp":
        found = make(name, log_sum_exp_work, 1, "", "d")
    elif name == "token_nll":
        found = make(name, token_nll_work, 1, "qd", "d")
    elif name == "compare_logits":
        found = make(name, token_work, 2, "qqqdd", "d" * FD_COMPARISONS)
    elif name == "token_stats":
        found = make(name, token_work, 1, "qqqdd", "d" * FD_STATISTICS)
    else:
        found = make(name, truncated_kl_work, 2, "d", "d")
    return made.setdefault(name, found)


# ---- all pairs of rows ----

cdef enum:
    CACHED = 1 << 18  # bytes of rows of one operand that stay in the cache while they meet those of the other
    TILE = 64  # their number at most


cdef struct Rows:
    const char *data
    Py_ssize_t step
    const double *prepared  # for Jensen-Shannon, or NULL
    const double *numbers


cdef struct Tiles:  # rows x against rows y in squares
    Rows x
    Rows y
    Py_ssize_t count_x, count_y, n, tile, across
    int half  # y is x, and what is above the diagonal is also what is below
    fd_pair_kernel kernel
    fd_rows_kernel several
    int dtype, rooted
    double parameter
    char *out
    Py_ssize_t down, right


cdef inline fd_row contiguous_row(const Tiles *tiles, const Rows *rows, Py_ssize_t i) noexcept nogil:
    cdef fd_row r
    r.data = rows.data + i * rows.step
    r.stride = 8 if tiles.dtype == FD_float64 else 4
    r.dtype = tiles.dtype
    r.temperature = 0
    return r


cdef inline int one_pair(const Tiles *tiles, Py_ssize_t i, Py_ssize_t j, double *result) noexcept nogil:
    cdef int status
    if tiles.x.prepared == NULL:
        return tiles.kernel(
            contiguous_row(tiles, &tiles.x, i), contiguous_row(tiles, &tiles.y, j), tiles.n, tiles.parameter, result
        )
    cdef double from_x = tiles.x.numbers[i], from_y = tiles.y.numbers[j]
    if from_x == from_x and from_y == from_y and kernels.js_from_prepared(
        tiles.x.prepared + i * tiles.n, tiles.y.prepared + j * tiles.n, tiles.n, from_x, from_y, result
    ):
        status = 0
    else:
        status = kernels.js_exact(
            contiguous_row(tiles, &tiles.x, i), contiguous_row(tiles, &tiles.y, j), tiles.n, 0.0, result
        )
    if tiles.rooted:
        result[0] = sqrt(result[0])
    return status


cdef inline int some_pairs(const Tiles *tiles, Py_ssize_t i, Py_ssize_t j, int count, double *results) noexcept nogil:
    cdef int status = 0, k
    if tiles.several != NULL:
        return tiles.several(
            contiguous_row(tiles, &tiles.x, i), 0, contiguous_row(tiles, &tiles.y, j), tiles.y.step, count, tiles.n,
            tiles.parameter, results
        )
    for k in range(count):
        status |= one_pair(tiles, i, j + k, results + k)
    return status


cdef int tiles_work(void *context, Py_ssize_t first, Py_ssize_t last) noexcept nogil:
    cdef const Tiles *tiles = <const Tiles *>context
    cdef Py_ssize_t number, down = 0, right = first, i, j, end, unwatched = 0
    cdef int status = 0, count, k
    cdef double[FD_ROWS] results
    while right >= tiles.across - (down if tiles.half else 0):
        right -= tiles.across - (down if tiles.half else 0)
        down += 1
    if tiles.half:
        right += down
    for number in range(first, last):
        for i in range(down * tiles.tile, min((down + 1) * tiles.tile, tiles.count_x)):
            unwatched += tiles.tile * tiles.n
            if unwatched > FD_PIECE:
                unwatched = 0
                fd_pause()
            j = max(right * tiles.tile, i if tiles.half else 0)
            end = min((right + 1) * tiles.tile, tiles.count_y)
            while j < end:
                count = <int>min(<Py_ssize_t>FD_ROWS, end - j)
                status |= some_pairs(tiles, i, j, count, results)
                for k in range(count):
                    write(&results[k], results[k])
                    # A caller's array may start anywhere.
                    memcpy(tiles.out + i * tiles.down + (j + k) * tiles.right, &results[k], 8)
                    if tiles.half and i != j + k:
                        memcpy(tiles.out + (j + k) * tiles.down + i * tiles.right, &results[k], 8)
                j += count
        right += 1
        if right == tiles.across:
            down += 1
            right = down if tiles.half else 0
    return status


cdef struct Widening:  # rows of float32 to rows of float64, or rows of float64 prepared for Jensen-Shannon
    Rows rows
    Py_ssize_t n
    double *to
    double *numbers


cdef int widening_work(void *context, Py_ssize_t first, Py_ssize_t last) noexcept nogil:
    cdef const Widening *job = <const Widening *>context
    cdef fd_row r
    cdef Py_ssize_t i, j
    r.temperature = 0
    for i in range(first, last):
        r.data = job.rows.data + i * job.rows.step
        if job.numbers != NULL:
            r.stride = 8
            r.dtype = FD_float64
            job.numbers[i] = kernels.js_prepare(r, job.n, job.to + i * job.n)
        else:
            for j in range(job.n):
                if j and not j % FD_PIECE:
                    fd_pause()
                job.to[i * job.n + j] = (<const float *>r.data)[j]
    return 0


cdef Rows rows_of(cnp.ndarray x):
    cdef Rows r
    r.data = cnp.PyArray_BYTES(x)
    r.step = cnp.PyArray_STRIDE(x, 0)
    r.prepared = r.numbers = NULL
    return r


def widen(cnp.ndarray x not None):
    """Contiguous rows of float32 as rows of float64, whatever the caller's floating-point environment does to subnormals."""
    cdef cnp.ndarray to = np.empty((x.shape[0], x.shape[1]))
    cdef Widening job = [rows_of(x), x.shape[1], <double *>cnp.PyArray_DATA(to), NULL]
    together(widening_work, &job, x.shape[0], x.shape[1])
    return to


def js_prepare(cnp.ndarray x not None):
    """What Jensen-Shannon of normalised float64 wants to know of each row (fastdiv.h)."""
    cdef cnp.ndarray to = np.empty((x.shape[0], x.shape[1])), numbers = np.empty(x.shape[0])
    cdef Widening job = [
        rows_of(x), x.shape[1], <double *>cnp.PyArray_DATA(to), <double *>cnp.PyArray_DATA(numbers)
    ]
    together(widening_work, &job, x.shape[0], x.shape[1])
    return to, numbers


def all_pairs(
    str name, int source, cnp.ndarray x not None, cnp.ndarray y not None, double parameter, cnp.ndarray out not None, bint half, tuple prepared
):
    """out[i, j] = D(x_i || y_j) for rows that are contiguous and both of float32 or float64; the status bits.

    `half`: y is x and the divergence symmetric, so that half of the pairs is all.  `prepared`: js_prepare of x and of y.
    """
    cdef Tiles tiles
    cdef int double_ = cnp.PyArray_TYPE(x) == cnp.NPY_DOUBLE
    cdef Py_ssize_t tile
    tiles.x = rows_of(x)
    tiles.y = rows_of(y)
    tiles.count_x, tiles.count_y, tiles.n = x.shape[0], y.shape[0], x.shape[1]
    tiles.half = half
    tiles.kernel = kernels.pair[<int>number[name]][source][double_]
    tiles.several = kernels.rows[<int>number[name]][source][double_] if prepared is None else NULL
    tiles.dtype = FD_float64 if double_ else FD_float32
    tiles.parameter = parameter
    tiles.rooted = name == "js_distance"
    if prepared is not None:
        (of_x, from_x), (of_y, from_y) = prepared
        tiles.x.prepared = <const double *>cnp.PyArray_DATA(of_x)
        tiles.x.numbers = <const double *>cnp.PyArray_DATA(from_x)
        tiles.y.prepared = <const double *>cnp.PyArray_DATA(of_y)
        tiles.y.numbers = <const double *>cnp.PyArray_DATA(from_y)
    tiles.out = cnp.PyArray_BYTES(out)
    tiles.down, tiles.right = cnp.PyArray_STRIDE(out, 0), cnp.PyArray_STRIDE(out, 1)
    tile = min(<Py_ssize_t>TILE, max(4, CACHED // (tiles.n * (8 if double_ else 4))))
    while tile * tile * tiles.n > SLICE:
        tile //= 2
    tile = max(1, tile)
    tiles.tile = tile
    tiles.across = (tiles.count_y + tile - 1) // tile
    cdef Py_ssize_t count = tiles.across * ((tiles.count_x + tile - 1) // tile)
    if half:
        count = tiles.across * (tiles.across + 1) // 2
    return together(tiles_work, &tiles, count, tile * tile * tiles.n)


# ---- resampling ----

cdef struct Resampling:  # sums of columns, or the rows that are drawn
    const double *columns
    double *sums
    int64_t *chosen
    Py_ssize_t count, drawn, first
    uint32_t rows
    uint64_t seed


cdef int resampling_work(void *context, Py_ssize_t first, Py_ssize_t last) noexcept nogil:
    cdef const Resampling *job = <const Resampling *>context
    cdef Py_ssize_t r
    for r in range(first, last):
        if job.sums == NULL:
            fd_draw(job.rows, job.drawn, job.seed, job.first + r, job.chosen + r * job.drawn)
        else:
            fd_resample(job.columns, job.count, job.rows, job.drawn, job.seed, r, job.sums + r * job.count)
    return 0


def resampled_sums(columns, Py_ssize_t drawn, uint64_t seed, Py_ssize_t resamples):
    """Sums over `drawn` rows, drawn with replacement `resamples` times: (resamples, columns) of columns (columns, rows)."""
    cdef cnp.ndarray x = np.require(columns, np.float64, "CA")
    if x.ndim != 2 or x.shape[0] == 0 or not 0 < x.shape[1] < 1 << 32 or drawn < 1 or resamples < 0:
        raise ValueError(f"resampled_sums: columns of shape {columns.shape}, {drawn} rows to draw, {resamples} times")
    cdef cnp.ndarray sums = np.empty((resamples, x.shape[0]))
    cdef Resampling job = [
        <const double *>cnp.PyArray_DATA(x), <double *>cnp.PyArray_DATA(sums), NULL, x.shape[0], drawn, 0, <uint32_t>x.shape[1], seed
    ]
    together(resampling_work, &job, resamples, drawn * x.shape[0])
    return sums


def drawn_rows(Py_ssize_t rows, Py_ssize_t drawn, uint64_t seed, Py_ssize_t first, Py_ssize_t resamples):
    """The rows that resamples from `first` on of `resampled_sums` draw: (resamples, drawn)."""
    if not 0 < rows < 1 << 32 or drawn < 1 or resamples < 0:
        raise ValueError(f"drawn_rows: {drawn} of {rows} rows, {resamples} times")
    cdef cnp.ndarray chosen = np.empty((resamples, drawn), np.int64)
    cdef Resampling job = [NULL, NULL, <int64_t *>cnp.PyArray_DATA(chosen), 0, drawn, first, <uint32_t>rows, seed]
    together(resampling_work, &job, resamples, drawn)
    return chosen


# ---- operands ----

cdef extern from *:
    """
    typedef struct { int32_t device_type, device_id; } fd_dl_device;
    typedef struct { uint8_t code, bits; uint16_t lanes; } fd_dl_type;
    typedef struct {
        void *data; fd_dl_device device; int32_t ndim; fd_dl_type dtype; int64_t *shape, *strides; uint64_t byte_offset;
    } fd_dl_tensor;
    """
    ctypedef struct fd_dl_type:
        uint8_t code
        uint8_t bits
        uint16_t lanes
    ctypedef struct fd_dl_tensor:
        void *data
        int32_t ndim
        fd_dl_type dtype
        int64_t *shape
        int64_t *strides
        uint64_t byte_offset


cdef object from_dlpack(object x, str function, str argument):
    """An array over the memory of a DLPack object; bfloat16, which NumPy's own reader refuses, as uint16."""
    if x.__dlpack_device__()[0] != 1:
        raise ValueError(f"{function}: {argument} is not in the memory of the CPU; move it there first")
    capsule = x.__dlpack__()
    cdef fd_dl_tensor *tensor = <fd_dl_tensor *>PyCapsule_GetPointer(capsule, "dltensor")
    if not (tensor.dtype.code == 4 and tensor.dtype.bits == 16 and tensor.dtype.lanes == 1):
        return np.from_dlpack(x), False
    cdef cnp.npy_intp shape[32]
    cdef cnp.npy_intp strides[32]
    cdef cnp.npy_intp step = 2
    cdef int i
    if tensor.ndim > 32:
        raise ValueError(f"{function}: {argument} has {tensor.ndim} axes; at most 32 are taken")
    for i in range(tensor.ndim - 1, -1, -1):
        shape[i] = tensor.shape[i]
        strides[i] = step if tensor.strides == NULL else 2 * tensor.strides[i]
        step *= shape[i]
    array = cnp.PyArray_New(
        np.ndarray, tensor.ndim, shape, cnp.NPY_UINT16, strides, <char *>tensor.data + tensor.byte_offset, 2, 0, <object>NULL
    )
    # The capsule stays unused, so that its own destructor frees the tensor when the array is gone.
    Py_INCREF(capsule)
    cnp.PyArray_SetBaseObject(array, capsule)
    return array, True


cdef object unsupported(str function, str argument, object dtype):
    return TypeError(
        f"{function}: {argument} has dtype {dtype}; it takes float16, bfloat16, float32, float64 or integers"
        " (uint16 with dtype='bfloat16' is read as raw bfloat16)"
    )


cdef object operand(object x, str function, str argument, object dtype):
    """x as something that a gufunc takes: an array of the four storage types (bfloat16 as uint16), or a lazy array left lazy."""
    cdef int kind
    raw = False
    if not cnp.PyArray_CheckExact(x):
        if hasattr(x, "__array_ufunc__") and hasattr(x, "__array_function__") and not isinstance(x, (np.ndarray, np.generic)):
            if x.dtype.kind in "biu":
                return x.astype(np.float64)
            if x.dtype.char not in "efd":
                raise unsupported(function, argument, x.dtype)
            return x
        if hasattr(x, "__dlpack__") and hasattr(x, "__dlpack_device__") and not isinstance(x, (np.ndarray, np.generic)):
            x, raw = from_dlpack(x, function, argument)
        elif type(x).__module__.startswith("numpy.ma"):
            raise TypeError(f"{function}: {argument} is a masked array; fill it, for instance with 0 for weights")
        else:
            x = np.asarray(x)
    if raw:
        return x
    kind = cnp.PyArray_TYPE(x)
    if kind == cnp.NPY_FLOAT or kind == cnp.NPY_DOUBLE or kind == cnp.NPY_FLOAT16:
        return x
    name = x.dtype.name
    if name == "bfloat16":
        return x.view(np.uint16)
    if dtype is not None and (name == "uint16" or name == "void16"):
        return x.view(np.uint16) if name == "void16" else x
    if x.dtype.kind in "biu":
        return x.astype(np.float32 if x.dtype.itemsize <= 2 else np.float64)
    raise unsupported(function, argument, x.dtype)


cdef int check_dtype(str function, object dtype) except -1:
    if dtype is not None and str(dtype) != "bfloat16":
        raise TypeError(f"{function}: dtype takes 'bfloat16' (for raw uint16) or None, not {dtype!r}")
    return 0


cdef int check_axis(object x, str function, str argument, object axis) except -1:
    if cnp.PyArray_CheckExact(x) and cnp.PyArray_NDIM(x) > 0 and cnp.PyArray_SIZE(x) > 0:
        return 0
    shape = x.shape
    if len(shape) == 0:
        raise ValueError(f"{function}: {argument} is a single number; it takes an array whose axis {axis} is a distribution")
    if -len(shape) <= axis < len(shape) and shape[axis] == 0:
        raise ValueError(f"{function}: {argument} has an empty distribution axis (shape {tuple(shape)}, axis {axis})")
    return 0


cdef tuple ROW_NAMES = ("p", "q", "gaps")


cdef object call(object function, tuple operands, dict keywords):
    global this_call
    cdef Call mine = [NULL]
    cdef Call *outer = this_call
    this_call = &mine
    try:
        return function(*operands, **keywords)
    finally:
        ended(&mine, outer)


cdef inline int storage(cnp.ndarray x) noexcept:
    cdef int kind = cnp.PyArray_TYPE(x)
    if kind == cnp.NPY_DOUBLE:
        return FD_float64
    if kind == cnp.NPY_FLOAT:
        return FD_float32
    return FD_float16 if kind == cnp.NPY_FLOAT16 else FD_bfloat16


cdef object one_result(cnp.ufunc function, tuple operands, tuple numbers):
    """What the gufunc of a divergence gives for one row, or one pair of rows; None where NumPy is to be asked.

    NumPy's own way to a loop takes longer than a short row does. The loop is the same; whatever is not plain, and what is to warn, goes
    NumPy's way.
    """
    global this_call
    cdef const Loop *kind = <const Loop *>function.data[0]
    cdef cnp.ndarray x
    cdef Job job
    cdef Call mine = [NULL]
    cdef Call *outer = this_call
    cdef double result
    cdef int i = 0, k, status
    cdef int dtype[2]
    if kind.work != pair_work or len(numbers) != kind.parameters or len(operands) != kind.rows:
        return None
    for i in range(kind.rows):
        if not cnp.PyArray_CheckExact(operands[i]):
            return None
        x = <cnp.ndarray>operands[i]
        if cnp.PyArray_NDIM(x) != 1 or not cnp.PyArray_ISBEHAVED_RO(x) or cnp.PyArray_DIM(x, 0) != cnp.PyArray_DIM(<cnp.ndarray>operands[0], 0):
            return None
        job.args[i] = cnp.PyArray_BYTES(x)
        job.inner[i] = cnp.PyArray_STRIDE(x, 0)
        job.steps[i] = 0
        dtype[i] = storage(x)
    if kind.parameters:
        if not cnp.PyArray_CheckExact(numbers[0]):
            return None
        x = <cnp.ndarray>numbers[0]
        if cnp.PyArray_NDIM(x) != 0 or cnp.PyArray_TYPE(x) != cnp.NPY_DOUBLE or not cnp.PyArray_ISBEHAVED_RO(x):
            return None
        job.args[kind.rows] = cnp.PyArray_BYTES(x)
        job.steps[kind.rows] = 0
    job.args[kind.rows + kind.parameters] = <char *>&result
    job.steps[kind.rows + kind.parameters] = 0
    for k in range(function.ntypes):
        kind = <const Loop *>function.data[k]
        if kind.dtype[0] == dtype[0] and (kind.rows == 1 or kind.dtype[1] == dtype[1]):
            break
    job.loop = kind
    job.n = cnp.PyArray_DIM(<cnp.ndarray>operands[0], 0)
    this_call = &mine
    status = all_rows(&job, 1)
    ended(&mine, outer)
    return None if status else PyArray_Scalar(&result, FLOAT64, NULL)


cdef cnp.dtype FLOAT64 = np.dtype(np.float64)


cdef int check_out(str function, object out, tuple operands, tuple numbers, object axis, object keepdims) except -1:
    if not isinstance(out, np.ndarray) or out.dtype != np.float64:
        raise TypeError(f"{function}: out is {getattr(out, 'dtype', type(out).__name__)}; it takes an array of float64")
    shapes = [list(x.shape) for x in operands]
    for shape in shapes:
        if -len(shape) <= axis < len(shape):
            del shape[axis]
    want = list(np.broadcast_shapes(*map(tuple, shapes), *[np.shape(x) for x in numbers]))
    if keepdims:
        want.insert(axis if axis >= 0 else len(want) + 1 + axis, 1)
    if list(out.shape) != want:
        raise ValueError(f"{function}: out has shape {out.shape}; the result has {tuple(want)}")
    return 0


def are_arrays(tuple rows):
    """Whether all are NumPy's own arrays, of no class made from them."""
    for x in rows:
        if not cnp.PyArray_CheckExact(x):
            return False
    return True


def array_of(x, str function, str argument, dtype=None):
    """x as an array of one of the four storage types, bfloat16 as uint16."""
    check_dtype(function, dtype)
    return operand(x, function, argument, dtype)


def evaluate(str name, tuple rows, axis, keepdims, out, dtype, bint normalize, bint from_logits, checker, tuple numbers=()):
    """One divergence of rows: operands prepared, the gufunc called; `numbers` are what it takes beside the rows."""
    cdef int source = 2 if from_logits else 0 if normalize else 1
    check_dtype(name, dtype)
    operands = tuple([operand(x, name, ROW_NAMES[i], dtype) for i, x in enumerate(rows)])
    for i, x in enumerate(operands):
        check_axis(x, name, ROW_NAMES[i], axis)
    if checker is not None:
        checker(name, operands, axis, from_logits, dtype)
    function = gufunc(name, source)
    if axis == -1 and out is None and not keepdims:
        result = one_result(function, operands, numbers)
        if result is not None:
            return result
    keywords = {}
    if axis != -1:
        keywords["axis"] = axis
    if out is not None:
        check_out(name, out, operands, numbers, axis, keepdims)
    if not numbers:
        if keepdims:
            keywords["keepdims"] = True
        if out is not None:
            keywords["out"] = out
        return call(function, operands, keywords)
    # NumPy keeps the dimension only where every operand has one.
    result = call(function, operands + numbers, keywords)
    if keepdims:
        result = np.expand_dims(result, axis)
    if out is None:
        return result
    out[...] = result
    return out


def tokens(str name, tuple rows, tuple arguments, tuple parameters, out, dtype, vocab_size, axis=-1, keepdims=False):
    """A gufunc of rows of logits, with parameters of one number per row."""
    check_dtype(name, dtype)
    operands = []
    for argument, x in zip(arguments, rows):
        x = operand(x, name, argument, dtype)
        check_axis(x, name, argument, axis)
        if vocab_size is not None:
            if not 0 < vocab_size <= x.shape[-1]:
                raise ValueError(f"{name}: vocab_size {vocab_size} is not in 1…{x.shape[-1]}, the length of a row of {argument}")
            x = x[..., :vocab_size]
        operands.append(x)
    if len(operands) == 2 and operands[0].shape[-1] != operands[1].shape[-1]:
        raise ValueError(
            f"{name}: {arguments[0]} has a vocabulary of {operands[0].shape[-1]}, {arguments[1]} of {operands[1].shape[-1]};"
            " vocab_size= cuts both to one length"
        )
    keywords = {} if out is None else {"out": out}
    if axis != -1:
        keywords["axis"] = axis
    if keepdims:
        keywords["keepdims"] = True
    return call(token_gufunc(name), tuple(operands) + parameters, keywords)


# ---- sparse rows ----

cdef enum:
    SPARSE_SLICE = 1 << 20  # stored elements per thread that are given out together: rows may differ in length
    SPARSE_THREADED = 1 << 14
    SPARSE_CALL = 32  # what a pair of empty rows costs, in stored elements
    OUT_OF_RANGE = 1 << 9
    OUT_OF_ORDER = 1 << 10


cdef struct Stored:  # rows of (index, value) pairs
    const char *data
    const char *indices
    const int64_t *indptr
    Py_ssize_t rows, width
    int dtype, size, long_indices


cdef struct SparseJob:  # pair k is row first + (k / columns) step_p of p with row (k / columns) step_q + k % columns of q
    const Stored *p
    const Stored *q
    fd_pair_kernel kernel
    const double *parameter
    double *out
    Py_ssize_t first, columns, step_p, step_q, step_parameter, done
    int unary


cdef inline int64_t column(const Stored *m, Py_ssize_t k) noexcept nogil:
    return (<const int64_t *>m.indices)[k] if m.long_indices else (<const int32_t *>m.indices)[k]


cdef inline Py_ssize_t length(const Stored *m, Py_ssize_t i) noexcept nogil:
    return m.indptr[i + 1] - m.indptr[i]


cdef inline void put(const Stored *m, Py_ssize_t k, int present, char *row, Py_ssize_t position) noexcept nogil:
    # Bits, masked: which row comes next cannot be predicted, so no branch may hang on it.
    if m.size == 8:
        (<uint64_t *>row)[position] = (<const uint64_t *>m.data)[k] & (0 - <uint64_t>present)
    else:
        (<uint32_t *>row)[position] = (<const uint32_t *>m.data)[k] & (0 - <uint32_t>present)


cdef inline void put_nothing(const Stored *m, char *row, Py_ssize_t position) noexcept nogil:
    if m.size == 8:
        (<uint64_t *>row)[position] = 0
    else:
        (<uint32_t *>row)[position] = 0


cdef Py_ssize_t merge(const Stored *p, Py_ssize_t i, const Stored *q, Py_ssize_t j, char *to_p, char *to_q) noexcept nogil:
    """Row i of p and row j of q at the union of their indices; returns its length, at most that of both together.

    Indices are compared and never followed, so no index can lead out of any array.
    """
    cdef Py_ssize_t a = p.indptr[i], end_a = p.indptr[i + 1], b = q.indptr[j], end_b = q.indptr[j + 1], k = 0
    cdef int64_t at_a, at_b
    cdef int in_a, in_b
    while a < end_a and b < end_b:
        if k & FD_PIECE - 1 == FD_PIECE - 1:
            fd_pause()
        at_a = column(p, a)
        at_b = column(q, b)
        in_a = at_a <= at_b
        in_b = at_b <= at_a
        put(p, a, in_a, to_p, k)
        put(q, b, in_b, to_q, k)
        a += in_a
        b += in_b
        k += 1
    while a < end_a:
        put(p, a, 1, to_p, k)
        put_nothing(q, to_q, k)
        a += 1
        k += 1
    while b < end_b:
        put_nothing(p, to_p, k)
        put(q, b, 1, to_q, k)
        b += 1
        k += 1
    return k


@cython.cdivision(True)
cdef void pair_at(const SparseJob *job, Py_ssize_t k, Py_ssize_t *i, Py_ssize_t *j) noexcept nogil:
    i[0] = job.first + k // job.columns * job.step_p
    j[0] = k // job.columns * job.step_q + k % job.columns


cdef int merged_work(void *context, Py_ssize_t first, Py_ssize_t last) noexcept nogil:
    cdef const SparseJob *job = <const SparseJob *>context
    cdef const Stored *p = job.p
    cdef const Stored *q = job.q
    cdef Py_ssize_t k, i = 0, j = 0, n, need, capacity = 0
    cdef char *scratch = NULL
    cdef fd_row to_p, to_q
    cdef double parameter
    cdef double *result
    cdef int status = 0
    to_p.stride = p.size
    to_q.stride = q.size
    to_p.temperature = to_q.temperature = 0
    to_p.dtype = p.dtype
    to_q.dtype = q.dtype
    for k in range(job.done + first, job.done + last):
        parameter = job.parameter[k * job.step_parameter]
        result = job.out + k
        pair_at(job, k, &i, &j)
        need = length(p, i) + 1 + (0 if job.unary else length(q, j))
        if need > capacity:
            capacity = max(need, 2 * capacity)
            scratch = <char *>fd_scratch(2 * capacity * sizeof(double))  # either may be of floats; both stay aligned
            if scratch == NULL:
                return status | NO_MEMORY
        to_p.data = scratch
        to_q.data = scratch + capacity * sizeof(double)
        if job.unary:
            # To an entropy of negative order zeros count, and one of them is as good as all.
            n = length(p, i)
            to_p.data = p.data + p.indptr[i] * p.size
            if n == 0 or (parameter < 0 and n < p.width):
                memcpy(scratch, to_p.data, n * p.size)
                put_nothing(p, scratch, n)
                to_p.data = scratch
                n += 1
            to_q.data = to_p.data
        else:
            n = merge(p, i, q, j, <char *>to_p.data, <char *>to_q.data)
            if n == 0:
                put_nothing(p, <char *>to_p.data, 0)
                put_nothing(q, <char *>to_q.data, 0)
                n = 1
        status |= job.kernel(to_p, to_q, n, parameter, result)
        write(result, result[0])
    return status


cdef int order_work(void *context, Py_ssize_t first, Py_ssize_t last) noexcept nogil:
    cdef const SparseJob *job = <const SparseJob *>context
    cdef const Stored *m = job.p
    cdef Py_ssize_t i, k
    cdef int64_t at, before
    cdef int outside = 0, disordered = 0
    for i in range(job.done + first, job.done + last):
        before = -1
        for k in range(m.indptr[i], m.indptr[i + 1]):
            at = column(m, k)
            outside |= at < 0 or at >= m.width
            disordered |= at <= before
            before = at
    return outside * OUT_OF_RANGE | disordered * OUT_OF_ORDER


cdef int sparse_in_slices(fd_work work, SparseJob *job, Py_ssize_t count) except -1:
    """All the pairs, with a look at pending signals in between; the status bits."""
    global this_call
    cdef Call call = [NULL]
    cdef Call *outer = this_call
    cdef Py_ssize_t last = 0, elements, some, i = 0, j = 0
    cdef int status = 0, threads
    job.done = 0
    this_call = &call
    while job.done < count and not status & NO_MEMORY:
        with nogil:
            elements = 0
            while last < count and elements < SPARSE_SLICE * thread_count:
                pair_at(job, last, &i, &j)
                elements += SPARSE_CALL + length(job.p, i) + length(job.q, j)
                last += 1
            threads = thread_count if elements >= SPARSE_THREADED else 1
            some = last - job.done
            status |= fd_parallel(work, job, some, elements // some, threads, False, interrupted)
            job.done = last
        if call.error != NULL:
            break
    ended(&call, outer)
    return status


cdef class SparseRows:
    """Rows of a compressed sparse matrix, checked: nothing that is done with them can lead out of their arrays.

    `data` and `indices` are the caller's where their dtypes allow; `indptr` is a copy, so that no one can change it any more.
    Raises ValueError, which starts with `where`, for what is no such matrix.  `canonical`: indices ascend, none is there twice.
    """

    cdef readonly object data, indices, indptr
    cdef readonly bint canonical
    cdef Stored stored

    def __init__(self, data, indices, indptr, Py_ssize_t width, str where):
        cdef SparseJob job
        cdef int status
        self.data = np.require(data, requirements="CA")
        indices = np.require(indices, requirements="CA")
        indptr = np.asarray(indptr)
        if self.data.dtype not in (np.float32, np.float64):
            raise TypeError(f"{where} has data of dtype {self.data.dtype}; it takes float32 or float64")
        if indices.dtype.kind not in "iu" or indptr.dtype.kind not in "iu":
            raise ValueError(f"{where} has indices of dtype {indices.dtype} and indptr of {indptr.dtype}; they are to be integers")
        if self.data.ndim != 1 or indices.ndim != 1 or indptr.ndim != 1 or indptr.size == 0:
            raise ValueError(
                f"{where} has data, indices and indptr of shapes {self.data.shape}, {indices.shape} and {indptr.shape};"
                " they are to have one axis, and indptr an element more than there are rows"
            )
        self.indices = indices if indices.dtype in (np.int32, np.int64) else indices.astype(np.int64)
        self.indptr = indptr.astype(np.int64)
        self.indptr.flags.writeable = False
        if self.indptr[0] != 0 or (self.indptr[1:] < self.indptr[:-1]).any():
            raise ValueError(f"{where} has an indptr that does not ascend from 0")
        if self.indptr[-1] > min(self.data.size, self.indices.size):
            raise ValueError(
                f"{where} has an indptr that ends at {self.indptr[-1]}, with {self.data.size} data and {self.indices.size} indices"
            )
        self.stored.data = cnp.PyArray_BYTES(self.data)
        self.stored.indices = cnp.PyArray_BYTES(self.indices)
        self.stored.indptr = <const int64_t *>cnp.PyArray_DATA(self.indptr)
        self.stored.rows = self.indptr.size - 1
        self.stored.width = width
        self.stored.size = self.data.itemsize
        self.stored.dtype = FD_float64 if self.stored.size == 8 else FD_float32
        self.stored.long_indices = self.indices.itemsize == 8
        job.p = job.q = &self.stored
        job.first = 0
        job.columns = job.step_p = job.step_q = 1
        status = sparse_in_slices(order_work, &job, self.stored.rows)
        if status & OUT_OF_RANGE:
            at = self.indices[: self.indptr[-1]]
            k = int(np.flatnonzero((at < 0) | (at >= width))[0])
            raise ValueError(f"{where} has the index {at[k]} at {k} of its indices; they are to be in 0…{width - 1}")
        self.canonical = not status & OUT_OF_ORDER

    def __len__(self):
        return self.stored.rows

    @property
    def width(self):
        """Length of a row, whatever of it is stored."""
        return self.stored.width


def weights(x, str function, str argument, dtype=None):
    """x as a contiguous array of native float32 or float64, each number as it is."""
    check_dtype(function, dtype)
    x = np.asarray(operand(x, function, argument, dtype))
    if x.dtype == np.uint16:  # bfloat16, since integers were cast
        x = (x.astype(np.uint32) << 16).view(np.float32)
    return np.require(x, np.float64 if x.dtype.itemsize == 8 else np.float32, "CA")


def sparse(str name, int source, SparseRows p not None, SparseRows q, parameter, Py_ssize_t first, out):
    """One divergence of canonical rows into `out`, float64 and contiguous; returns the status bits.

    One axis of `out`: row by row, p and q each of as many rows or of one; `parameter` is as long, or one number.
    Two: p's rows from `first` on, each with all of q.  A unary divergence takes None for q.
    """
    cdef SparseJob job
    cdef SparseRows other = p if q is None else q
    cdef cnp.ndarray to = out, numbers = np.require(parameter, np.float64, "CA").ravel()
    cdef Py_ssize_t count = to.size, rows = to.shape[0] if to.ndim else 0
    cdef int status, strip = to.ndim == 2
    if name not in number or (name in UNARY) != (q is None) or source not in (0, 1):
        raise ValueError(f"{name}: no divergence of {1 if q is None else 2} sparse rows from source {source}")
    if not (to.dtype == np.float64 and to.flags.carray and to.ndim in (1, 2)):
        raise ValueError(f"{name}: out is no contiguous array of float64 with one or two axes")
    if strip:
        fits = q is not None and 0 <= first <= len(p) - rows and to.shape[1] == len(q) and numbers.size == 1
    else:
        fits = first == 0 and len(p) in (1, rows) and len(other) in (1, rows) and numbers.size in (1, rows)
    if not fits or p.width != other.width or not (p.canonical and other.canonical):
        raise ValueError(f"{name}: out, the rows and the parameters do not fit")
    job.p = &p.stored
    job.q = &other.stored
    job.kernel = kernels.pair[number[name]][source][p.stored.size == 8 or other.stored.size == 8]
    job.parameter = <const double *>cnp.PyArray_DATA(numbers)
    job.out = <double *>cnp.PyArray_DATA(to)
    job.unary = q is None
    job.first = first
    job.columns = to.shape[1] if strip else 1
    job.step_p = 1 if strip or len(p) > 1 else 0
    job.step_q = 0 if strip or len(other) == 1 else 1
    job.step_parameter = 1 if numbers.size > 1 else 0
    status = sparse_in_slices(merged_work, &job, count)
    if status & NO_MEMORY:
        raise MemoryError(f"{name}: no memory for two rows")
    return status


# ---- set up ----

cdef int set_up() except -1:
    wanted = os.environ.get("FASTDIV_ISA", "")
    try:
        force_isa(wanted or available_isas()[-1])
    except ValueError as error:
        raise ImportError(f"FASTDIV_ISA: {error}") from None
    text = os.environ.get("FASTDIV_NUM_THREADS", "")
    if text:
        if not (text.isascii() and text.isdigit() and int(text) > 0):
            raise ImportError(f"FASTDIV_NUM_THREADS: {text!r} is not a positive number")
        set_threads(min(int(text), 256))
    else:
        set_threads(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)
    return 0


set_up()

"""Which kernels run, and on how many threads."""

from collections.abc import Iterator
from contextlib import contextmanager

from fastdiv import _core
from fastdiv._core import available_isas, isa

__all__ = ["available_isas", "get_num_threads", "isa", "num_threads", "set_num_threads"]


def get_num_threads() -> int:
    """Return how many threads a call may use.

    Returns
    -------
    int
        At first the number of processors that this process may run on, or ``FASTDIV_NUM_THREADS``.

    Examples
    --------
    >>> import fastdiv as fd
    >>> fd.get_num_threads() >= 1
    True
    """
    return _core.get_threads()


def set_num_threads(count: int) -> None:
    """Say how many threads a call may use; the results have the same bits for any number.

    Parameters
    ----------
    count : int
        1 to 256. Small inputs use one thread whatever is said here.

    Raises
    ------
    TypeError
        If `count` is not an integer.
    ValueError
        If `count` is not in 1…256.

    Examples
    --------
    >>> import fastdiv as fd
    >>> before = fd.get_num_threads()
    >>> fd.set_num_threads(2)
    >>> fd.get_num_threads()
    2
    >>> fd.set_num_threads(before)
    """
    if isinstance(count, bool) or not hasattr(count, "__index__"):
        raise TypeError(f"set_num_threads: count is {count!r}; it takes an integer")
    count = count.__index__()
    if not 1 <= count <= 256:
        raise ValueError(f"set_num_threads: count is {count}; it takes 1 to 256")
    _core.set_threads(count)


@contextmanager
def num_threads(count: int) -> Iterator[None]:
    """Use `count` threads inside a ``with`` block.

    The number is one for the whole process: threads of your own that compute meanwhile see it too.

    Parameters
    ----------
    count : int
        1 to 256.

    Examples
    --------
    >>> import fastdiv as fd
    >>> with fd.num_threads(1):
    ...     print(fd.get_num_threads())
    1
    """
    before = get_num_threads()
    set_num_threads(count)
    try:
        yield
    finally:
        _core.set_threads(before)

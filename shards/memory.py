"""What the C library does with freed memory."""

from __future__ import annotations

import contextlib
import ctypes

M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD = -1, -2, -3
"""Names of malloc.h."""
LARGEST = 32 << 20
"""Bytes of the largest block that glibc can be told to keep; larger ones are mapped and unmapped as ever."""


def return_freed_memory() -> None:
    """Ask the C library to hand back what was freed, which it keeps in pieces after large and small blocks in turn."""
    with contextlib.suppress(OSError, AttributeError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)


def keep_freed_memory() -> bool:
    """Ask the C library to keep what this process frees for its next allocation, instead of handing it back.

    A network's step on a processor asks for the same large blocks again and again. By default glibc maps each one anew,
    and the kernel fills it with zeros page by page. Changes no result. The process keeps its peak of memory to its end.

    Returns: whether it was done; glibc alone knows how.
    """
    try:
        option = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError, TypeError):  # TypeError: Windows has no library without a name
        return False
    option.argtypes, option.restype = [ctypes.c_int, ctypes.c_int], ctypes.c_int
    wanted = ((M_MMAP_THRESHOLD, LARGEST), (M_TRIM_THRESHOLD, (1 << 31) - 1), (M_TOP_PAD, LARGEST))
    return all(option(name, value) for name, value in wanted)

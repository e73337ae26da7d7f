"""Work shared out among fresh processes of one thread each: on many small tasks faster than many threads in one."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

from shards.errors import ConfigError, UserError, own_code_error
from shards.progress import GOES_ON, progress

THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


@contextmanager
def open_pool(processes: int) -> Iterator[Any]:
    """A `multiprocessing.Pool` whose processes compute with one thread each and end with their parent even where that
    is killed. Neither their number nor the caller's threads can change a result."""
    with single_threaded(), multiprocessing.get_context("spawn").Pool(processes, begin, (os.getpid(),)) as pool:
        yield pool
        # Its processes end by themselves, and put back what they took of the system; where the work failed they are
        # stopped.
        pool.close()
        pool.join()


def in_processes(processes: int, work: Callable[[Any], Any], tasks: Sequence[Any], unit: str) -> Iterator[Any]:
    """Results in the order in which they come, with progress.

    What `work` raises is raised here; an error within the user's own code as ConfigError, which is one line.
    """
    if not tasks:
        return
    with open_pool(min(processes, len(tasks))) as pool:
        results = pool.imap_unordered(partial(attempt, work), tasks)
        yield from progress(results, unit, total=len(tasks), resumes=GOES_ON)


def attempt(work: Callable[[Any], Any], task: Any) -> Any:
    """In a process of the pool: where an error was within own code is known here alone, its frames are not sent."""
    try:
        return work(task)
    except UserError:
        raise
    except Exception as error:
        words = own_code_error(error)
        if not words:
            raise
        raise ConfigError(words) from None


@contextmanager
def single_threaded() -> Iterator[None]:
    """Numerical libraries read these when they are imported: set before the processes begin, put back after."""
    before = {name: os.environ.get(name) for name in THREADS}
    os.environ.update(dict.fromkeys(THREADS, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def begin(parent: int) -> None:
    """In a new process: end with the parent, even where that is killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all of a terminal; the parent ends its children

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()

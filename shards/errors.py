"""Errors that a user can cause and mend.

Each message is one line: what was wrong, the value, what is allowed, what to do.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse


class UserError(Exception):
    """Base of every error that is reported as one line, without a traceback, with exit code 2."""


class ConfigError(UserError, ValueError):
    """A config file or an override that cannot be used."""


class SchemaError(UserError, ValueError):
    """A sample, or a shard, that does not follow the schema of this version."""


class SourceError(UserError, ValueError):
    """A source that cannot be used as a whole (one bad picture is a `Reject`, not an error)."""


class MissingInputError(UserError, FileNotFoundError):
    """A file or folder the user named is not there."""


class ResumeError(UserError, ValueError):
    """The output folder holds a run that was made with something else."""


class OutputError(UserError, OSError):
    """The output could not be written: full disk, read-only folder, a file in the way."""


LONGEST = 1200
"""Characters of an error that are shown."""


def one_line(text: str, longest: int = LONGEST) -> str:
    """Any text, such as one with names from outside, as one printable line of bounded length."""
    line = " ".join(text[: 4 * longest].split())
    shown = "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in line)
    return shown if len(shown) <= longest else f"{shown[: longest - 4]} ..."


class Terminated(KeyboardInterrupt):
    """SIGTERM arrived: everything is put away as after Ctrl-C."""


def run_cli(main: Callable[[], int | None]) -> int:
    """Call `main`; turn a `UserError` into one line on stderr and exit code 2, Ctrl-C into 130, SIGTERM into 143.

    An error within a source or region policy of the user's own is one line too, with its file and line.

    A command that is stopped says how far it was and whether it resumes when it is given again.
    """
    try:
        with terminable():
            return main() or 0
    except UserError as error:
        print(f"error: {one_line(str(error))}", file=sys.stderr)
        return 2
    except Exception as error:
        words = own_code_error(error)
        if not words:
            raise
        print(f"error: {one_line(words)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt as error:
        from shards.progress import stopped_at

        name, code = ("SIGTERM", 143) if isinstance(error, Terminated) else ("Ctrl-C", 130)
        print(f"stopped by {name}{stopped_at()}", file=sys.stderr)
        return code


def own_code_error(error: BaseException) -> str:
    """An error within the user's own source or region policy in one line; "" where it is none of such code."""
    extensions = sys.modules.get("shards.extensions")  # not loaded: no such code was
    return str(extensions.blamed(error)) if extensions else ""


def run_verb(args: argparse.Namespace) -> int:
    """`run_cli` for a parsed command line: `args.run(args)`, once its outputs are known to be folders of ours."""

    def run() -> int | None:
        from shards.files import check_local

        for name in ("out", "store"):
            if isinstance(getattr(args, name, None), Path):
                check_local(getattr(args, name))
        result: int | None = args.run(args)
        return result

    return run_cli(run)


@contextmanager
def terminable() -> Iterator[None]:
    """Raise `Terminated` in the main thread on the first SIGTERM; a second one ends the process at once.

    Nothing changes outside the main thread, or where somebody handles the signal already.
    """
    inside = threading.current_thread() is threading.main_thread()
    if not inside or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return
    process, came = os.getpid(), False

    def stop(number: int, frame: FrameType | None) -> None:
        nonlocal came
        if os.getpid() != process:  # a forked child has inherited this, and has nothing to put away
            os._exit(143)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        came = True
        raise Terminated

    signal.signal(signal.SIGTERM, stop)
    try:
        yield
    except KeyboardInterrupt as error:
        if came and not isinstance(error, Terminated):  # as Ray's waiting raises it again
            raise Terminated from error
        raise
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)

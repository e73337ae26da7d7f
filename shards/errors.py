"""Errors that a user can cause and mend.

Each message is one line: what was wrong, the value, what is allowed, what to do.
"""

from __future__ import annotations

import sys
from collections.abc import Callable


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


def run_cli(main: Callable[[], int | None]) -> int:
    """Call `main`; turn a `UserError` into one line on stderr and exit code 2, Ctrl-C into 130."""
    try:
        return main() or 0
    except UserError as error:
        print(f"error: {one_line(str(error))}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return 130

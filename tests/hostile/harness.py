"""What every hostile input must end in: a result, or one line with exit 2; nothing outside OUT, no traceback, no hang.

    from harness import batches, run, run_apart

    done = run(["shards", "check", "run"], cwd=tmp_path, codes=(0, 1, 2))
    done = run(["detector", "predict", "m.pth", "pictures", "--out", "seen"], cwd=tmp_path, out="seen")
    done = run_apart([...], cwd=tmp_path, out="seen")   # its own process: memory is bounded as well

    @pytest.mark.parametrize("seeds", batches(ci=25, slow=400))
    def test_mutated_tars(seeds, tmp_path): ...

Inputs that would run something should make a file in `cwd` (such as `CANARY`): any new file outside OUT fails the run.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import os
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import IO, Any

import pytest

SECONDS = 10.0
"""That a command may take of the processor's time, threads and children included: other work on the machine is none of
its doing."""
HANG = 60.0
"""Of the clock's time, after which a command is ended: it waits for ever, or is stuck in a loop."""
MEGABYTES = 1024
"""Peak memory allowed above that of the idle command."""
LONGEST_LINE = 2000
CANARY = "CANARY"
"""Name of the file, in `cwd`, that hostile code would make."""
FIGURES = os.environ.get("HOSTILE_FIGURES", "")
"""A file to which every `run_apart` adds a line: seconds of the processor, megabytes above the idle command."""
KEPT_INDEXES = (".index.npz", ".*.tar.index.npz")
"""Files that a reader may keep beside the tars that it reads."""


@dataclass(frozen=True)
class Outcome:
    """How one command ended."""

    code: int
    out: str
    err: str
    seconds: float
    """Of the processor's time."""
    megabytes: float = 0.0
    """Peak memory, of `run_apart` only."""


class Hang(BaseException):
    """Raised in the middle of a command that does not end; no `except Exception` catches it."""


def run(
    argv: Sequence[str],
    cwd: Path,
    out: str = "",
    codes: Sequence[int] = (0, 2),
    allowed: Sequence[str] = KEPT_INDEXES,
    seconds: float = SECONDS,
    hang: float = HANG,
) -> Outcome:
    """Run `python -m argv[0] argv[1:]` within this process, in the folder `cwd`, and assert that it ended well.

    Args:
        out: the file or folder below `cwd` that may be written; "" for none.
        codes: exit codes that are right.
        allowed: patterns of names of files that may also be new or changed.
        seconds, hang: limits of the processor's and of the clock's time.
    """
    main = importlib.import_module(f"{argv[0]}.__main__").main
    before = snapshot(cwd)
    stdout, stderr = strict_text(), strict_text("backslashreplace")
    start, code, usage = processor_seconds(), 0, False
    with contextlib.chdir(cwd), contextlib.redirect_stdout(stdout), contextlib.redirect_stderr(stderr):
        try:
            with time_limit(max(hang, seconds)):
                code = main([str(argument) for argument in argv[1:]]) or 0
        except SystemExit as stop:  # argparse says what is wrong by itself
            code, usage = int(stop.code or 0), True
        except (Exception, Hang):
            pytest.fail(f"{shown(argv)}: {traceback.format_exc(limit=-6)}")
    done = Outcome(code, text_of(stdout), text_of(stderr), processor_seconds() - start)
    check_outcome(argv, done, codes, usage)
    assert done.seconds <= seconds, f"{shown(argv)}: {done.seconds:.1f} s of the processor"
    check_folder(argv, before, snapshot(cwd), out, allowed)
    return done


def run_apart(
    argv: Sequence[str],
    cwd: Path,
    out: str = "",
    codes: Sequence[int] = (0, 2),
    allowed: Sequence[str] = KEPT_INDEXES,
    seconds: float = SECONDS,
    megabytes: float = MEGABYTES,
) -> Outcome:
    """As `run`, in a process of its own whose peak memory is compared with that of the same command's --help.

    `seconds` includes starting Python and all imports.
    """
    hang = max(HANG, 6 * seconds)
    idle = measure([argv[0], *argv[1:2], "--help"], cwd, hang)
    before = snapshot(cwd)
    done = measure(argv, cwd, hang)
    check_outcome(argv, done, codes, usage=done.err.startswith("usage:"))
    check_folder(argv, before, snapshot(cwd), out, allowed)
    above = done.megabytes - idle.megabytes
    if FIGURES:
        with open(FIGURES, "a", encoding="utf-8") as file:
            file.write(f"{done.seconds:6.1f} s {above:6.0f} MB  {test_name()}  {shown(argv)[:80]}\n")
    assert done.seconds <= seconds, f"{shown(argv)}: {done.seconds:.1f} s of the processor"
    assert above < megabytes, f"{shown(argv)}: {above:.0f} MB above the idle command"
    return done


def measure(argv: Sequence[str], cwd: Path, hang: float) -> Outcome:
    """One process; it is killed after `hang` seconds, which fails the test."""
    start = time.monotonic()
    command = [sys.executable, "-m", *(str(argument) for argument in argv)]
    paths = os.pathsep.join([str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")])
    with (
        tempfile.TemporaryFile() as out,
        tempfile.TemporaryFile() as err,
        subprocess.Popen(command, cwd=cwd, stdout=out, stderr=err, env={**os.environ, "PYTHONPATH": paths}) as process,
    ):
        # VmHWM counts from the start of the program, ru_maxrss of a child also what its parent had before.
        peak, ended = 0.0, 0
        while not ended:
            peak = max(peak, peak_megabytes(process.pid))
            ended, status, usage = os.wait4(process.pid, os.WNOHANG)
            if not ended and time.monotonic() - start > hang:
                process.kill()
                pytest.fail(f"{shown(argv)}: no end within {hang} s")
            time.sleep(0.02)
        process.returncode = os.waitstatus_to_exitcode(status)
        seconds = usage.ru_utime + usage.ru_stime
        said = [text_at_start(file) for file in (out, err)]
    return Outcome(process.returncode, *said, seconds, peak)


def text_at_start(file: IO[bytes]) -> str:
    """What a process wrote."""
    file.seek(0)
    return file.read().decode("utf-8")


def processor_seconds() -> float:
    """Time of the processor that this process and its children that ended took so far."""
    spent = os.times()
    return spent.user + spent.system + spent.children_user + spent.children_system


def test_name() -> str:
    """The test that runs, with its parameters."""
    return os.environ.get("PYTEST_CURRENT_TEST", "").rpartition("/")[2].removesuffix(" (call)")


def peak_megabytes(process: int) -> float:
    """Peak of a process's memory so far; 0 where the system does not tell."""
    with contextlib.suppress(OSError, ValueError, StopIteration):
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
        return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) / 1024
    return 0.0


def check_outcome(argv: Sequence[str], done: Outcome, codes: Sequence[int], usage: bool) -> None:
    """The exit code is one of `codes`; exit 2 comes with one printable line that begins with "error: "."""
    assert "Traceback (most recent call last)" not in done.err, f"{shown(argv)}: {done.err[-2000:]}"
    assert done.code in codes, f"{shown(argv)}: exit {done.code}, not {codes}: {done.err[-500:]}"
    if done.code == 2 and not usage:
        lines = done.err.splitlines()
        errors = [line for line in lines if line.startswith("error: ")]
        assert len(errors) == 1, f"{shown(argv)}: not one line but {done.err[-500:]!r}"
        assert errors == lines[-1:], f"{shown(argv)}: more than one line: {done.err[-500:]!r}"
        assert errors[0].isprintable(), f"{shown(argv)}: not printable: {errors[0]!r}"
        assert len(errors[0]) <= LONGEST_LINE, f"{shown(argv)}: {len(errors[0])} characters"


def check_folder(
    argv: Sequence[str], before: dict[str, Any], after: dict[str, Any], out: str, allowed: Sequence[str]
) -> None:
    """Nothing but `out` and what `allowed` names is new, changed or gone."""
    assert CANARY not in after, f"{shown(argv)}: code was run"
    changed = {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
    top = os.path.normpath(out) if out else None
    own = {name for name in changed if top is not None and (name == top or name.startswith(top + os.sep))}
    kept = {name for name in changed if any(fnmatch(os.path.basename(name), pattern) for pattern in allowed)}
    assert not changed - own - kept, f"{shown(argv)}: changed outside of OUT: {sorted(changed - own - kept)[:5]}"


def snapshot(folder: Path) -> dict[str, Any]:
    """{path below `folder`: what changes when the file does}; folders by name only. No file is opened."""
    found: dict[str, Any] = {}
    for top, folders, files in os.walk(folder):
        for name in (*folders, *files):
            path = os.path.join(top, name)
            facts = os.lstat(path)
            is_file = name in files
            found[os.path.relpath(path, folder)] = (facts.st_size, facts.st_mtime_ns, facts.st_ino) if is_file else ()
    return found


@contextlib.contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raise Hang in the block, also out of a system call, after `seconds`. Only in the main thread."""

    def stop(number: int, frame: Any) -> None:
        raise Hang(f"no end within {seconds} s")

    earlier = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, earlier)


def strict_text(errors: str = "strict") -> io.TextIOWrapper:
    """A text stream as a terminal's: what is no UTF-8 is an error on stdout and spelt out on stderr."""
    return io.TextIOWrapper(io.BytesIO(), "utf-8", errors, write_through=True)


def text_of(stream: io.TextIOWrapper) -> str:
    return stream.buffer.getvalue().decode("utf-8")  # type: ignore[attr-defined]


def shown(argv: Sequence[str]) -> str:
    return " ".join(str(argument) for argument in argv)[:300]


def batches(ci: int, slow: int, size: int = 25) -> list[Any]:
    """Ranges of seeds for parametrize: the first `ci` seeds always, those up to `slow` in the slow tests."""
    quick = [pytest.param(range(at, min(at + size, ci)), id=f"seeds{at}") for at in range(0, ci, size)]
    later = [
        pytest.param(range(at, min(at + size, slow)), id=f"seeds{at}", marks=pytest.mark.slow)
        for at in range(ci, slow, size)
    ]
    return quick + later

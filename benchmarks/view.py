"""The pages of `blemish view` in Chromium: seconds to the first picture, and what is read before anything is scrolled.

    python -m benchmarks.view --n 10000 --rounds 5 --out out/bench

A run of N samples is put together as for benchmarks.export and looked at by `blemish view`. Chromium opens the page
from the disk, each time with a new profile; it is driven through its own protocol, over a pipe. The seconds are the
page's: from the beginning of the navigation until the first picture is drawn from its data.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse

from benchmarks.export import write_run
from benchmarks.report import spread, write_report

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
FIRST_PICTURE = """
document.addEventListener("load", e => {
  if (e.target.tagName === "IMG" && !window.firstPicture) window.firstPicture = performance.now();
}, true);
"""
QUIET = 1.0
"""Seconds without a new file after which a page counts as loaded."""
PATIENCE = 60.0


class Tab:
    """A page of Chromium, driven by its DevTools protocol: JSON messages, each with a zero byte at its end."""

    def __init__(self, send: int, receive: int) -> None:
        self.send, self.receive = send, receive
        self.rest, self.number, self.session = b"", 0, ""
        self.files: dict[str, float] = {}
        """Address of each file that was asked for -> when."""

    def open(self) -> None:
        """A new page, of which the events are told."""
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        self.ask("Page.enable")
        self.ask("Network.enable")
        self.ask("Page.addScriptToEvaluateOnNewDocument", source=FIRST_PICTURE)

    def ask(self, method: str, **params: Any) -> dict[str, Any]:
        """What a command answers; events that come before it are taken in. Raises RuntimeError."""
        self.number += 1
        message: dict[str, Any] = {"id": self.number, "method": method, "params": params}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.send, json.dumps(message).encode() + b"\0")
        while True:
            told = self.next()
            if told.get("method") == "Network.requestWillBeSent":
                self.files.setdefault(told["params"]["request"]["url"], time.monotonic())
            if told.get("id") == self.number:
                if "error" in told:
                    raise RuntimeError(f"{method}: {told['error']}")
                result: dict[str, Any] = told["result"]
                return result

    def next(self) -> dict[str, Any]:
        """The next message. Raises RuntimeError where the browser has ended."""
        while b"\0" not in self.rest:
            more = os.read(self.receive, 1 << 16)
            if not more:
                raise RuntimeError("the browser ended")
            self.rest += more
        message, _, self.rest = self.rest.partition(b"\0")
        told: dict[str, Any] = json.loads(message)
        return told

    def value(self, script: str) -> Any:
        return self.ask("Runtime.evaluate", expression=script)["result"].get("value")


@contextmanager
def browser(program: str) -> Iterator[Tab]:
    """Chromium with a new profile; it reads commands from descriptor 3 and answers on 4."""
    theirs_in, ours_out = os.pipe()
    ours_in, theirs_out = os.pipe()

    def place() -> None:
        """In the new process. By way of higher numbers: one of the two may be 3 or 4 itself."""
        high = [fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 10) for end in (theirs_in, theirs_out)]
        os.dup2(high[0], 3)
        os.dup2(high[1], 4)

    with tempfile.TemporaryDirectory(prefix="blemish-", ignore_cleanup_errors=True) as profile:
        words = [
            program,
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--no-first-run",
            "--remote-debugging-pipe",
        ]
        process = subprocess.Popen(
            [*words, f"--user-data-dir={profile}"], stderr=subprocess.DEVNULL, close_fds=False, preexec_fn=place
        )
        os.close(theirs_in)
        os.close(theirs_out)
        try:
            tab = Tab(ours_out, ours_in)
            tab.open()
            yield tab
        finally:
            process.kill()
            process.wait()
            os.close(ours_out)
            os.close(ours_in)


def look(program: str, page: Path) -> tuple[float, float]:
    """Seconds to the first picture, and megabytes of the files that were read. Raises RuntimeError."""
    with browser(program) as tab:
        tab.ask("Page.navigate", url=page.resolve().as_uri())
        began = time.monotonic()
        first = None
        while first is None or time.monotonic() - max(tab.files.values()) < QUIET:
            first = tab.value("window.firstPicture")
            if time.monotonic() - began > PATIENCE:
                raise RuntimeError(f"{page} shows no picture within {PATIENCE:.0f} s")
            time.sleep(0.02)
        paths = [Path(unquote(urlparse(url).path)) for url in tab.files if url.startswith("file:")]
        return first / 1e3, sum(path.stat().st_size for path in paths if path.is_file()) / 1e6


def main() -> int:
    """Command line."""
    args = arguments()
    program = next(filter(None, map(shutil.which, BROWSERS)), "")
    if not program:
        print(f"there is no browser: install one of {', '.join(BROWSERS)}", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory(prefix="blemish-") as folder:
        run = Path(folder) / "run"
        write_run(run, args.n, args.scale)
        began = time.monotonic()
        command = [sys.executable, "-m", "blemish", "view", str(run), "--n", str(args.n)]
        subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
        written = time.monotonic() - began
        looks = [look(program, run / "view" / "index.html") for _ in range(args.rounds)]
    row = {
        "samples": args.n,
        "first": spread([seconds for seconds, _ in looks]),
        "weight": spread([size for _, size in looks]),
        "written": written,
    }
    columns = {
        "samples": "samples",
        "first": "seconds to the first picture",
        "weight": "MB read before scrolling",
        "written": "seconds to write the pages",
    }
    write_report(args.out, "view", "A run of many samples in a browser", columns, [row])
    return 0


def arguments() -> argparse.Namespace:
    top = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    top.add_argument("--n", type=int, default=10_000, help="samples (default 10000)")
    top.add_argument("--scale", type=int, default=4, help="their sides in 64 pixels (default 4: 256 x 256)")
    top.add_argument("--rounds", type=int, default=5)
    top.add_argument("--out", type=Path, required=True)
    return top.parse_args()


if __name__ == "__main__":
    sys.exit(main())

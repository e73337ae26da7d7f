"""Work for a process that is to be stopped."""

from __future__ import annotations

import os
import time
from pathlib import Path


def slow(folder: str) -> None:
    """Say who is at work, then take long."""
    (Path(folder) / "children").mkdir(exist_ok=True)
    (Path(folder) / "children" / str(os.getpid())).touch()
    (Path(folder) / "ready").touch()
    time.sleep(60)

"""A quick run of the line, in a folder of its own, for hostile inputs: a tiny model, a few pictures, a config."""

from __future__ import annotations

import importlib
import shutil
import sys
from pathlib import Path
from typing import Any

from harness import Outcome, run

from shards.files import hash_file
from shards.places import LOCAL
from shards.run_log import LOG

COMMAND = ["corruptor", "shards", "quick.py", "--out", "out"]


def line_tools() -> Any:
    """The helpers of the line's own tests."""
    folder = str(Path(__file__).parents[1] / "line")
    if folder not in sys.path:
        sys.path.append(folder)
    return importlib.import_module("line_tools")


def make_case(folder: Path, model: Path, num_pictures: int = 3) -> Path:
    """FOLDER/quick.py over FOLDER/pictures: two shards, the last picture of the first one no picture."""
    tools = line_tools()
    tools.make_pictures(folder / "pictures", num_pictures)
    (folder / "pictures" / "picture 00.png").write_bytes(b"no picture")
    groups = {"num_variants": 1, "sources_per_shard": 3, "clean_share": 0.0, "source_twin": False}
    values = tools.line_values(
        Path("pictures"), model, samples=groups, region={"policy": "blobs", "options": {"area": [0.05, 0.2]}}
    )
    (folder / "quick.py").write_text("".join(f"{name} = {value!r}\n" for name, value in values.items()))
    return folder


def make(folder: Path, *overrides: str, codes: tuple[int, ...] = (0, 2), seconds: float = 30.0) -> Outcome:
    """Run the line there."""
    sets = [word for text in overrides for word in ("--set", text)]
    return run([*COMMAND, *sets], folder, out="out", codes=codes, seconds=seconds)


def copy_case(finished: Path, folder: Path) -> Path:
    """A case of one's own."""
    shutil.copytree(finished, folder, dirs_exist_ok=True)
    return folder


def tree(folder: Path) -> dict[str, str]:
    """sha256 of every file, but for what readers keep, logs, and where on this machine things lie."""
    kept = (".index.npz", LOCAL, LOG)
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name not in kept)
    return {str(path.relative_to(folder)): hash_file(path) for path in files}

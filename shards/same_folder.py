"""Whether the machines of a cluster see one folder: what one writes into OUT/.cluster, the others must read."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from shards.errors import OutputError
from shards.files import write_bytes
from shards.guard.plain_file import read_plain

TOKEN = ".cluster"
MOST_TOKEN = 64


def write_token(out: Path) -> str:
    """Leave a word in the folder, and return it for the others. Raises OutputError."""
    token = secrets.token_hex(8)
    write_bytes(out / TOKEN, token.encode())
    return token


def check_token(out: Path, token: str) -> None:
    """That this machine sees the folder. Raises OutputError."""
    try:
        seen = read_plain(out / TOKEN, MOST_TOKEN)
    except OSError:
        seen = b""
    if seen != token.encode():
        raise OutputError(
            f"{out} on the machine {os.uname().nodename} is not the folder that other machines of the cluster see; "
            f"name a folder on a disk that all share (`blemish shards` also takes an object store, s3://bucket/run)"
        )

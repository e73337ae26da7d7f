"""Sending a plan to the hub in commits of a few shards each: what is there already is not sent again.

The repository itself says how far it is: a shard that is there with the sha256 that the manifest names is done. What
describes the whole is sent in the last commit, so a dataset with a manifest is a whole one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from shards.errors import OutputError, ResumeError, SchemaError
from shards.files import hash_file
from shards.progress import GOES_ON, Progress
from shards.publish.plan import File, Plan, read_small

COMMIT_FILES, COMMIT_BYTES = 60, 4_000_000_000
OURS = frozenset((".gitattributes",))
"""What the hub puts into a new repository."""
LIBRARIES = frozenset(("huggingface_hub", "httpx", "httpx2", "httpcore", "httpcore2", "requests", "hf_xet"))


@contextmanager
def told(name: str) -> Iterator[None]:
    """Turn an error of the hub, of its client or of the network into one line."""
    try:
        yield
    except (OutputError, ResumeError, SchemaError):
        raise
    except Exception as error:
        if not isinstance(error, OSError) and type(error).__module__.partition(".")[0] not in LIBRARIES:
            raise
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        raise OutputError(
            f"datasets/{name} could not be written: {reason}; when that is mended, the same command again resumes "
            f"(to log in: hf auth login)"
        ) from error


class Hub:
    """One dataset repository. `private` is for a new one; that of an old one is not changed."""

    def __init__(self, name: str, private: bool = True) -> None:
        from huggingface_hub import HfApi
        from huggingface_hub.utils.tqdm import disable_progress_bars

        disable_progress_bars()  # one bar of ours for the whole
        self.name, self.private = name, private
        self.api = HfApi(library_name="blemish")

    def open(self) -> dict[str, tuple[int, str, str]]:
        """Make the repository where it is not there; returns its files: name -> (size, sha256 or "", git's blob id)."""
        from huggingface_hub.hf_api import RepoFile

        with told(self.name):
            self.api.create_repo(self.name, repo_type="dataset", private=self.private, exist_ok=True)
            found = self.api.list_repo_tree(self.name, repo_type="dataset", recursive=True)
            return {
                one.path: (one.size, one.lfs.sha256 if one.lfs else "", one.blob_id)
                for one in found
                if isinstance(one, RepoFile)
            }

    def commit(self, files: Sequence[File], message: str) -> None:
        """One commit; a shard is hashed before it is sent."""
        from huggingface_hub import CommitOperationAdd

        with told(self.name):
            for file in files:
                check_shard(file)
            added = [CommitOperationAdd(file.name, file.content) for file in files]
            self.api.create_commit(self.name, added, commit_message=message, repo_type="dataset")


def check_shard(file: File) -> None:
    """Raise SchemaError where a shard is not the one that the manifest names."""
    if isinstance(file.content, Path) and file.sha256 and hash_file(file.content) != file.sha256:
        raise SchemaError(f"{file.content} is not as {file.sha256[:12]}.. of the manifest; see `blemish check`")


def upload(plan: Plan, hub: Hub) -> str:
    """Send what is missing; returns a line that says what was sent.

    Raises ResumeError where the dataset holds something else, SchemaError for a damaged shard, OutputError.
    """
    there = hub.open()
    refuse_others(plan, there, hub.name)
    missing = [file for file in plan.files if not is_there(file, there)]
    sent = sum(file.size for file in missing)
    whole = sum(file.size for file in plan.files)
    with Progress(whole, "B", "upload", initial=whole - sent, resumes=GOES_ON) as shown:
        for files in commits(missing):
            first, last = files[0].name, files[-1].name
            hub.commit(files, first if first == last else f"{first} to {last}")
            shown.update(sum(file.size for file in files))
    where = f"https://huggingface.co/datasets/{hub.name}"
    if not missing:
        return f"{where} holds all {len(plan.files)} files already; nothing was sent"
    return f"{len(missing)} of {len(plan.files)} files, {sent:,} bytes, sent to {where}"


def refuse_others(plan: Plan, there: dict[str, tuple[int, str, str]], name: str) -> None:
    """Raise ResumeError where the repository holds files of another run or of something else."""
    planned = {file.name: file for file in plan.files}
    foreign = sorted(path for path in there if path not in planned and path not in OURS)
    if foreign:
        raise ResumeError(
            f"datasets/{name} holds {len(foreign)} other files ({', '.join(foreign[:3])}); choose another name"
        )
    other = [file.name for file in plan.files if file.sha256 and file.name in there and not is_there(file, there)]
    if other:
        raise ResumeError(
            f"datasets/{name} holds another run ({other[0]} has other bytes there); choose another name, or delete it"
        )


def is_there(file: File, there: dict[str, tuple[int, str, str]]) -> bool:
    """Whether the repository has the file with these bytes."""
    if file.name not in there or there[file.name][0] != file.size:
        return False
    _, sha256, blob = there[file.name]
    if file.sha256 and sha256:
        return file.sha256 == sha256
    data = file.content.read_bytes() if file.sha256 and not isinstance(file.content, bytes) else read_small(file)
    if sha256:
        return hashlib.sha256(data).hexdigest() == sha256
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest() == blob


def commits(files: Sequence[File]) -> Iterator[list[File]]:
    """Shards, with what is beside them, in batches (a stop may lose one); at the end what describes the whole."""
    batch: list[File] = []
    for file in (one for one in files if not one.describes):
        if batch and (len(batch) == COMMIT_FILES or sum(one.size for one in batch) + file.size > COMMIT_BYTES):
            yield batch
            batch = []
        batch.append(file)
    last = [one for one in files if one.describes]
    yield from (one for one in (batch, last) if one)

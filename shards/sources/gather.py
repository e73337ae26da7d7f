"""`python -m shards gather`: the pictures that a source gives, as plain files: to look at them, to let a detector find
those with few artifacts, or to take them to machines without a network.

    OUT/NAME.jpg, NAME.txt    the file as it is stored and its caption; NAME is the uri with `/` as `__` (and where that
                              is no safe name, as shards.guard.names makes it one)
    OUT/rejects.jsonl         what is no picture file, each with its reason
    OUT/left_out.jsonl        what the source's selection left out

`python -m detector predict` names its rows by these names, and `select.par` understands them. Files that are there
already are not read again.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from shards.ahead import Memory, ahead_within
from shards.errors import ConfigError
from shards.files import make_folder, whole_file, write_bytes
from shards.guard.names import distinct_names
from shards.progress import GOES_ON, Progress
from shards.source import Reject, Source
from shards.sources.file_source import FileSource
from shards.sources.pictures import MAX_FILE_BYTES

READERS = 16
MAGIC = ((b"\xff\xd8\xff", "jpg"), (b"\x89PNG", "png"), (b"RIFF", "webp"), (b"GIF8", "gif"), (b"BM", "bmp"))
EXTENSIONS = {extension for _, extension in MAGIC}


def gather(source: Source, out: Path) -> str:
    """Write the source's pictures under `out`, with progress; returns the closing words.

    Raises ConfigError for a source that has no files (rendered scenes), OutputError, SourceError.
    """
    if not isinstance(source, FileSource):
        raise ConfigError(f"source '{source.name}' has no picture files to gather")
    make_folder(out)
    there = {path.name.rpartition(".")[0] for path in out.iterdir() if path.suffix.lstrip(".") in EXTENSIONS}
    names = file_names(source)
    todo = [index for index in range(len(source)) if names[index] not in there]
    copies = ahead_within(
        lambda index: copy(source, index, out, names[index]), todo, READERS, 2 * READERS, "gatherer",
        Memory(lambda index: min(max(source.byte_size(source.place(index)), 0), MAX_FILE_BYTES), lambda reject: 0),
    )  # fmt: skip
    rejects: list[Reject] = []
    with Progress(len(todo), "picture", leave=False, resumes=GOES_ON) as shown:
        for _, one in copies:
            rejects += [one] if one is not None else []
            shown.update(1, rejected=int(one is not None))
    write_rejects(out / "rejects.jsonl", rejects)
    if source.selection():
        write_rejects(out / "left_out.jsonl", source.left_out())
    made = len(todo) - len(rejects)
    return f"{made} pictures written, {len(source) - len(todo)} were there, {len(rejects)} rejected: {out}"


def copy(source: FileSource, index: int, out: Path, name: str) -> Reject | None:
    """One picture and its caption; the picture last, so that it is never there without."""
    place = source.place(index)
    data = source.read(place)
    if isinstance(data, Reject):
        return data
    extension = next((extension for magic, extension in MAGIC if data.startswith(magic)), "")
    if not extension:
        return Reject(source.uri(place), "not_image" if data else "empty", f"starts with {data[:8]!r}" if data else "")
    caption = source.caption(place)
    if caption:
        write_bytes(out / f"{name}.txt", caption.encode("utf-8", "backslashreplace"))
    write_bytes(out / f"{name}.{extension}", data)
    return None


def file_names(source: FileSource) -> list[str]:
    """A flat name for each picture, whatever its uri holds: nothing hidden, nothing outside the folder, none twice."""
    uris = source.uris([source.place(index) for index in range(len(source))])
    return distinct_names(uri.replace("/", "__") for uri in uris)


def write_rejects(path: Path, rejects: Iterable[Reject]) -> None:
    """One line each. Raises OutputError."""
    with whole_file(path) as file:
        for one in rejects:
            line = json.dumps({"uri": one.uri, "reason": one.reason, "detail": one.detail}, ensure_ascii=False)
            file.write(line.encode("utf-8", "backslashreplace") + b"\n")

"""Regions of many pictures at once: as mask files that the policy `files` takes, or as pseudo-labelled shards.

write_masks:   OUT/masks/NAME.png     0 and 255, at the picture's own size; all 0 where no region was found
               OUT/regions.csv        a line for each picture: file, area, number of components
               OUT/rejects.jsonl      what is no picture      OUT/masks.json  what was asked; the same again resumes
pseudo_label:  OUT as every run of shards: the pictures as they are, the regions as their labels
"""

from __future__ import annotations

import csv
import io
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from region_select.policy import Policy, Selection, item_rng
from shards.ahead import Memory, ahead_within
from shards.build import plain
from shards.claims import Claim
from shards.config import apply_overrides
from shards.extensions import is_code
from shards.files import make_folder, write_bytes
from shards.guard.names import file_name
from shards.guard.plain_file import read_plain, size_of
from shards.masks import ARTIFACT, CLEAN, U8, label_components, mask_to_file
from shards.places import public
from shards.progress import GOES_ON, Progress
from shards.schema import Meta, RegionMeta, Sample, SizeMeta, SourceMeta, decode_mask, make_key
from shards.source import Reject, Source, SourceItem, open_source, sources
from shards.sources.file_source import FileSource
from shards.sources.gather import write_rejects
from shards.writer import RunInfo, RunWriter

MASKS, TABLE, REJECTS, RUN = "masks", "regions.csv", "rejects.jsonl", "masks.json"
PER_SHARD = 256
READERS, AHEAD = 2, 8
IDENTITY = "source_sha256"
"""Text in a mask's PNG: sha256 of its picture's bytes, so that the mask of another picture is not kept."""
MAX_MASK = 1 << 28
MAX_PART = 230
"""Bytes of a part of a path; file systems take 255."""


@dataclass(frozen=True)
class Row:
    """What was found in one picture."""

    file: str
    uri: str
    outcome: str
    """ok or no_region."""
    area: float
    """Share of the picture, 0..1."""
    num_components: int
    width: int
    height: int


def open_pictures(where: str, options: Sequence[str] = ()) -> Source:
    """A source by its name, a folder of pictures, or our own shards; options are "a.b=v".

    Raises ConfigError, MissingInputError, SourceError.
    """
    chosen = apply_overrides({}, options)
    if where in sources().names() or (is_code(where) and not Path(where).exists()):
        return open_source(where, **chosen)
    path = Path(where)
    if path.suffix == ".tar" or any(path.glob("shards/*.tar")) or any(path.glob("*.tar")):
        return open_source("shards", **{"where": where, **chosen})
    return open_source("folder", **{"root": where, **chosen})


def write_masks(source: Source, policy: Policy, out: Path, asked: dict[str, Any], seed: int = 0) -> str:
    """Mask files for every picture of a source; returns the closing words.

    asked: plain values that identify the work. Raises ResumeError (OUT holds something else), OutputError, SourceError.
    """
    identity = {**public(asked), "source": source.describe(), "seed": seed, "digest": policy.digest()}
    with Claim(out, RUN, identity, "set of masks").held():
        rows, rejects = write_each(source, policy, out / MASKS, seed)
        text = io.StringIO()
        table = csv.DictWriter(text, list(Row.__dataclass_fields__), lineterminator="\n")
        table.writeheader()
        table.writerows(asdict(row) for row in rows)
        write_bytes(out / TABLE, text.getvalue().encode("utf-8", "backslashreplace"))
        write_rejects(out / REJECTS, rejects)
    return summary(rows, len(rejects), out)


def write_each(source: Source, policy: Policy, folder: Path, seed: int) -> tuple[list[Row], list[Reject]]:
    """The mask of every picture in a file of its own; one that is there is kept."""
    known = mask_names(uris(source)) if isinstance(source, FileSource) else None
    rows: list[Row] = []
    rejects: list[Reject] = []
    make_folder(folder)
    for index, item in read_ahead(source, range(len(source))):
        if isinstance(item, Reject):
            rejects.append(item)
            continue
        file = known[index] if known else f"{safe(item.uri.replace(':', '_'))}.png"
        path = folder / file
        mask = stored_mask(path, item)
        if mask is None:
            mask = region(policy, item, seed)[0]
            make_folder(path.parent)
            write_bytes(path, encode_mask(mask, item))
        rows.append(describe(file, item.uri, mask))
    return rows, rejects


def encode_mask(mask: U8, item: SourceItem) -> bytes:
    """A mask file that tells which picture it is of, by the sha256 of its bytes."""
    told = PngInfo()
    told.add_text(IDENTITY, item.sha256)
    data = io.BytesIO()
    Image.fromarray(mask_to_file(mask)).save(data, "PNG", pnginfo=told)
    return data.getvalue()


def stored_mask(path: Path, item: SourceItem) -> U8 | None:
    """uint8 HW with 0, 1, 255 from an earlier call; None where there is none of this picture, or a damaged one."""
    if not 0 < size_of(path) <= MAX_MASK:
        return None
    try:
        with Image.open(path, formats=("PNG",)) as picture:
            same = picture.info.get(IDENTITY) == item.sha256 and picture.size == item.image.shape[1::-1]
        return decode_mask(read_plain(path, MAX_MASK)) if same else None
    except Exception:  # Pillow raises a dozen unrelated types on damaged data
        return None


def pseudo_label(
    source: Source, policy: Policy, out: Path, asked: dict[str, Any], seed: int = 0, keep_empty: bool = True
) -> str:
    """Shards with the source's pictures as they are and the proposed regions as labels: what a detector is trained on
    where labels are cheap and wrong (the paper's column "Pseudo labels"). Returns the closing words.

    keep_empty: keep pictures without a region, as clean samples; else they are rejects (`no_region`).

    Raises ResumeError, OutputError, SourceError.
    """
    config = {**public(asked), "seed": seed, "keep_empty": keep_empty, "digest": policy.digest()}
    info = RunInfo(config, source.describe(), -(-len(source) // PER_SHARD), "Blemish pseudo-labels")
    run = RunWriter(out, info)
    todo = {shard: range(shard * PER_SHARD, min(len(source), (shard + 1) * PER_SHARD)) for shard in run.todo()}
    items = read_ahead(source, [index for places in todo.values() for index in places])
    for shard, places in todo.items():
        with run.shard(shard) as writer:
            for index, item in (next(items) for _ in places):
                if isinstance(item, Reject):
                    writer.reject(item, index)
                    continue
                mask, found = region(policy, item, seed)
                if found.mask is None and not keep_empty:
                    writer.reject(Reject(item.uri, "no_region", found.detail), index)
                else:
                    key = make_key(shard, index - places.start)
                    writer.write(pseudo_sample(key, index, item, mask, found, config, run.hash))
    totals = run.finalise()
    rejected = f", {sum(totals['rejects'].values())} rejected" if totals["rejects"] else ""
    told = f"{totals['artifact']} with a region, {totals['clean']} without"
    return f"{totals['samples']} pictures in {out}: {told}{rejected}"


def pseudo_sample(
    key: str, index: int, item: SourceItem, mask: U8, found: Selection, config: dict[str, Any], digest: str
) -> Sample:
    """A picture with its region as the label."""
    height, width = mask.shape
    meta = Meta(
        label="artifact" if (mask == ARTIFACT).any() else "clean",
        source=SourceMeta(
            item.set_name, item.uri, item.sha256, item.occurrence, index, item.caption, item.licence, width, height
        ),
        region=RegionMeta(str(config.get("policy", "")), {**config.get("options", {}), "chosen": plain(found.facts)}),
        size=SizeMeta(width=width, height=height),
        config_hash=digest,
        scene=dict(item.scene or {}),
        extra={"pseudo_label": True},
    )
    return Sample(key, item.image, mask, meta)


def region(policy: Policy, item: SourceItem, seed: int) -> tuple[U8, Selection]:
    """The proposal for a picture, and its mask uint8 HW, empty where there is none."""
    found = policy.select([item], [item_rng(seed, item)])[0]
    return np.full(item.image.shape[:2], CLEAN, np.uint8) if found.mask is None else found.mask, found


def read_ahead(source: Source, indices: Sequence[int]) -> Iterator[tuple[int, SourceItem | Reject]]:
    """(index, item) in order, with a few read in advance by threads, behind a progress bar."""
    memory = Memory[int, SourceItem | Reject](
        source.cost, lambda item: 0 if isinstance(item, Reject) else item.image.nbytes
    )
    with (
        Progress(len(indices), "picture", resumes=GOES_ON) as shown,
        closing(ahead_within(source.__getitem__, indices, READERS, AHEAD, "reader", memory)) as items,
    ):
        for index, item in items:
            yield index, item
            shown.update(1, rejected=int(isinstance(item, Reject)))


def describe(file: str, uri: str, mask: U8) -> Row:
    """The table's line, from the mask alone, so that a call that resumes writes the same table."""
    pixels = int((mask == ARTIFACT).sum())
    height, width = mask.shape
    outcome = "ok" if pixels else "no_region"
    return Row(file, uri, outcome, round(pixels / mask.size, 6), label_components(mask)[1], width, height)


def summary(rows: Sequence[Row], rejected: int, out: Path) -> str:
    """One line."""
    without = sum(row.outcome == "no_region" for row in rows)
    area = float(np.mean([row.area for row in rows])) if rows else 0.0
    lost = f", {rejected} rejected ({REJECTS})" if rejected else ""
    return f"{len(rows)} masks in {out / MASKS}, {without} without a region, {area:.2%} selected on average{lost}"


def uris(source: FileSource) -> list[str]:
    """The uri of every item."""
    return list(source.uris([source.place(index) for index in range(len(source))]))


def mask_names(names: Sequence[str]) -> list[str]:
    """For each uri its mask's path: the picture's own with .png, as the folder source's option `masks` looks for it.

    Of a tar only the sample's key. Where two pictures would share a mask, all of them keep their whole names, so that
    no picture is given the mask of another.
    """
    short = [str(PurePosixPath(safe(name.rpartition(".tar#")[2])).with_suffix(".png")) for name in names]
    whole = [f"{safe(name.replace('#', '/') if '.tar#' in name else name)}.png" for name in names]
    many = Counter(short)
    mixed = [long if many[brief] > 1 else brief for brief, long in zip(short, whole, strict=True)]
    return distinct(mixed if len(set(mixed)) == len(mixed) else whole)


def distinct(files: Sequence[str]) -> list[str]:
    """Where one is there already, a number is added."""
    taken: dict[str, int] = {}
    found = []
    for file in files:
        taken[file] = taken.get(file, 0) + 1
        found.append(file if taken[file] == 1 else f"{file.removesuffix('.png')}.{taken[file]}.png")
    return found


def safe(name: str) -> str:
    """A relative path that stays inside its folder, whatever the name holds.

    Parts stay as they are where a file system can hold them: the policy `files` looks for a mask by its picture's name.
    """
    parts = [part for part in name.replace("\0", "_").split("/") if part not in ("", ".", "..")]
    return "/".join(part if is_name(part) else file_name(part) for part in parts) or "_"


def is_name(part: str) -> bool:
    """Whether a part can be a name, with `.png.partial` and the like behind it."""
    try:
        return len(os.fsencode(part)) <= MAX_PART
    except UnicodeEncodeError:
        return False

"""A run of shards as a page: every sample with its mask, its twin and its facts, and what was rejected and why."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shards.ahead import ahead
from shards.build import plain
from shards.card import heading
from shards.document import text
from shards.reader import ShardReader
from shards.schema import Meta, Sample
from shards.show import choose
from shards.store_run import local_files
from shards.stores import Address
from shards.view.gallery import Column, Entry, Gallery, Panel, write_gallery
from shards.view.pictures import SIDE, overlay, thumbnail
from shards.view.rejects import Rejected, Rejects, read_rejects, rejects_html
from shards.writer import FOLDER, MANIFEST, read_manifest

VIEW = "view"
"""The page's folder within a run."""
MOST = 10_000
"""Samples on a page unless another number is asked for."""
THREADS, WAITING = 2, 8
CAPTION = 300
COLUMNS = (
    Column("label", "artifact or clean", words=True, shown=False),
    Column("kind", "the corruption's method; none for clean pictures and labelled sets", words=True),
    Column("regions", "the policy that proposed the mask", words=True, shown=False),
    Column("source", "the set that the picture is from", words=True, shown=False),
    Column("area", "share of the picture that the mask marks", percent=True, plotted=True),
    Column("change inside", "mean difference from the twin within the mask, of 255", plotted=True),
    Column("change outside", "mean difference from the twin outside the mask, of 255", shown=False),
)
SAMPLE, TWIN, MASK = range(3)
PANELS = (
    Panel("sample", (SAMPLE,), shown=True, flip=1),
    Panel("twin", (TWIN,), flip=0),
    Panel("mask", (SAMPLE, MASK), flip=0),
    Panel("difference, 4 times", (SAMPLE, TWIN), blend="difference"),
)


@dataclass(frozen=True)
class Viewed:
    """What was written."""

    page: Path
    shown: int
    samples: int

    def summary(self) -> str:
        return f"{self.shown} of {self.samples} samples in {self.page}"


def view_run(
    where: Path | Address,
    out: Path,
    most: int = MOST,
    side: int = SIDE,
    watch: Callable[[Iterable[int]], Iterable[int]] = lambda indices: indices,
    cache: bool = True,
    remark: str = "",
    num_rejects: int = 0,
) -> Viewed:
    """Write the page of a run, a folder of tars or a tar, here or in an object store.

    A run that is still being made shows what is done.

    Args:
        out: folder of the page. most: samples shown, spread evenly. side: longer side of a picture in pixels.
        watch: wraps the samples' indices, such as with progress.
        cache: as in ShardReader. remark: what the page says in place of how complete the run is.
        num_rejects: of each reason so many rejected inputs are shown as pictures, which opens the run's source.

    Raises MissingInputError, SchemaError for damaged shards, OutputError, ResumeError for a damaged manifest,
    SourceError where a store cannot be reached.
    """
    reader = ShardReader(str(where), cache=cache)
    indices = choose(len(reader), most)
    if 2 * len(indices) > len(reader):
        reader.want_whole()
    with local_files(where) as folder:
        manifest = manifest_of(folder)
        rejects = read_rejects(folder) if manifest else Rejects()
        above = words_above(folder, manifest, reader, len(indices), rejects, remark)
        pictures = reject_pictures(folder, manifest, rejects, num_rejects, side)
        gallery = Gallery(
            title=title_of(where, manifest)[:CAPTION],
            columns=COLUMNS,
            panels=PANELS,
            unit="samples",
            order="key",
            above=tuple(f"<p>{text(line)}</p>" for line in above),
            below=tuple(rejects_html(rejects, pictures)),
        )
    count = write_gallery(out, gallery, entries(reader, watch(indices), side))
    reader.close()
    return Viewed(out / "index.html", count, len(reader))


def reject_pictures(
    where: Path, manifest: dict[str, Any], rejects: Rejects, most: int, side: int
) -> dict[Rejected, str] | None:
    """Pictures of rejects, None where none were asked for. Raises UserErrors where the source cannot be opened."""
    if not most:
        return None
    from shards.view.reject_pictures import open_again, pictures_of

    return pictures_of(rejects, open_again(where, manifest), most, side // 2)


def manifest_of(where: Path) -> dict[str, Any]:
    """Of a run; empty for a folder of tars or a tar. Raises ResumeError where it is damaged."""
    return read_manifest(where / MANIFEST) if (where / MANIFEST).exists() else {}


def title_of(where: Path | Address, manifest: dict[str, Any]) -> str:
    """As the run's card has it; of what is no run the name. Nothing of where a run lies: equal runs, equal pages."""
    if isinstance(manifest.get("source"), dict):
        return heading(manifest)
    return where.resolve().name if isinstance(where, Path) else where.name


def entries(reader: ShardReader, indices: Iterable[int], side: int) -> Iterator[Entry]:
    """The samples, read and made small by threads, in order. Raises SchemaError."""
    for _, entry in ahead(lambda index: entry_of(reader[index], side), indices, THREADS, WAITING, "view"):
        yield entry


def entry_of(sample: Sample, side: int) -> Entry:
    """One sample as it stands on the page."""
    meta = sample.meta
    words = (meta.label, meta.corruption.method, meta.region.policy, meta.source.set[:CAPTION])
    change = [None if value < 0 else value for value in (meta.change.inside, meta.change.outside)]
    pictures = (
        thumbnail(sample.image, side),
        None if sample.source is None else thumbnail(sample.source, side),
        overlay(sample.mask, side),
    )
    caption = (meta.source.caption or meta.source.uri)[:CAPTION]
    return Entry(sample.key, (*words, meta.mask.area or None, *change), pictures, caption, facts_of(meta))


def facts_of(meta: Meta) -> str:
    """The sample's JSON, indented, without what only a machine can read and without the empty parts."""
    facts = dict(plain(meta))
    facts["extra"] = {name: value for name, value in meta.extra.items() if name != "proposed_mask"}
    for name in ("cells", "scene", "versions"):
        del facts[name]
    return json.dumps({name: value for name, value in facts.items() if value not in ({}, [], "")}, indent=1)


def words_above(
    where: Path, manifest: dict[str, Any], reader: ShardReader, shown: int, rejects: Rejects, remark: str
) -> Iterator[str]:
    """What the page says first."""
    part = f", of which {shown}, spread evenly, are shown" if shown < len(reader) else ""
    yield f"{len(reader)} samples{part}."
    shards = manifest.get("num_shards")
    if remark:
        yield remark
    elif isinstance(shards, int) and "totals" not in manifest:
        done = len(list((where / FOLDER).glob("*.stats.json")))
        yield f"The run is not complete: {done} of {shards} shards are done. The same command makes the page anew."
    if rejects.counts:
        reasons = ", ".join(f"{reason} {count}" for reason, count in rejects.counts.most_common())
        yield f"Rejected: {reasons}."
    yield (
        "Point at a sample to see its clean twin in its place; choose it to see everything about it. "
        "Red: artifact; yellow: ignored."
    )

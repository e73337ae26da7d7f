"""PAL (PAL4VST): pictures of eleven synthesis tasks with human labels, from the zip or an unpacked folder.

Writes a run for every task and split: OUT/TASK/{train,val,test}, `unified` among them; each sample's JSON names its
own task (`extra.task`), so that scores can be told apart by task. OUT/excluded.jsonl names every file left out.
"""

from __future__ import annotations

import argparse
import hashlib
import warnings
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from shards.build import nearest
from shards.errors import ConfigError, SchemaError, one_line
from shards.files import write_json
from shards.guard.decoding import open_picture
from shards.human.importing import (
    LIMITS,
    add_common,
    check_common,
    count_table,
    fill,
    labelled,
    num_shards,
    stretch,
    write_excluded,
)
from shards.human.pal_files import TASKS, UNIFIED, UNKNOWN, Item, Listing, list_set, listing_lines
from shards.human.pal_store import Store, open_store
from shards.masks import U8
from shards.progress import GOES_ON, Progress
from shards.reader import ShardReader
from shards.schema import Sample, SourceMeta
from shards.source import Reject, fingerprint
from shards.sources.pictures import read_picture
from shards.writer import RunInfo, RunWriter

PAPER_IMAGES = 10168
"""Pictures of all tasks and splits, Zhang et al. 2023, abstract."""
EXAMPLE = "blemish import pal PAL4VST.zip --out out/pal"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command line of `blemish import pal`."""
    parser.add_argument("source", type=Path, metavar="SOURCE", help="the zip, or the folder it was unpacked to")
    parser.add_argument("--tasks", nargs="+", default=[], metavar="TASK", help="only these folders (default all)")
    parser.add_argument(
        "--other-size",
        choices=("exclude", "stretch"),
        default="exclude",
        help="labels of another size than their picture (default exclude; stretch takes the nearest pixel)",
    )
    add_common(parser, EXAMPLE)


def run(args: argparse.Namespace) -> int:
    """List the set, write each task's splits, report."""
    check_common(args)
    store = open_store(args.source)
    listing = list_set(store)
    groups = grouped(listing, args.tasks)
    runs = {group: open_run(args, group, items, store) for group, items in groups.items()}
    with Progress(sum(len(items) for items in groups.values()), "picture", "writing", resumes=GOES_ON) as bar:
        for group, items in groups.items():
            left = sum(min(len(items), (s + 1) * args.per_shard) - s * args.per_shard for s in runs[group].todo())
            bar.update(len(items) - left)
            fill(runs[group], len(items), args.per_shard, Maker(items, store, args.other_size).make, bar.update)
    totals = {group: run.finalise() for group, run in runs.items()}
    parts = [({"task": task, "split": split}, runs[task, split]) for task, split in groups]
    stray = [{"uri": one.uri, "reason": one.reason, "detail": one.detail} for one in listing.stray]
    excluded = write_excluded(args.out, parts, stray)
    report = report_of(groups, totals, stray)
    write_json(args.out / "report.json", report)
    print(summary(report, args.out, excluded))
    return 0


def grouped(listing: Listing, tasks: list[str]) -> dict[tuple[str, str], list[Item]]:
    """(folder, split) -> its pictures; folders in the paper's order, others behind, `unified` last."""
    found: dict[tuple[str, str], list[Item]] = {}
    for item in listing.items:
        found.setdefault((item.folder, item.split), []).append(item)
    folders = sorted({folder for folder, _ in found})
    for task in tasks:
        if task not in folders:
            raise ConfigError(f"--tasks {task}: no such folder in the set{nearest(task, folders)}")
    place = {folder: number for number, folder in enumerate((*TASKS, *sorted(set(folders) - {*TASKS, UNIFIED})))}
    order = sorted(found, key=lambda group: (place.get(group[0], len(place)), ("train", "val", "test").index(group[1])))
    return {group: found[group] for group in order if not tasks or group[0] in tasks}


def open_run(args: argparse.Namespace, group: tuple[str, str], items: list[Item], store: Store) -> RunWriter:
    """The run of one task and split, new or resumed. Raises ResumeError if it was made of something else."""
    task, split = group
    config = {"importer": "pal", "task": task, "split": split, "other_size": args.other_size}
    config["per_shard"] = args.per_shard
    source = {
        "name": f"pal-{task}-{split}",
        "items": len(items),
        "image_bytes": sum(item.image.size for item in items),
        "labels": sum(item.label is not None for item in items),
        "fingerprint": fingerprint(listing_lines(items, store)),
    }
    info = RunInfo(config, source, num_shards(len(items), args.per_shard), f"PAL {task} {split}", args.licence)
    return RunWriter(args.out / task / split, info, args.codec)


@dataclass(frozen=True)
class Maker:
    """Makes the samples of one task and split."""

    items: list[Item]
    store: Store
    other_size: str

    def make(self, index: int) -> Sample | Reject:
        """Picture `index` with its label, or why it is no sample."""
        item = self.items[index]
        uri = item.image.path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
        if item.label is None:
            return Reject(uri, "mask_missing", "labels/ has no PNG of this name")
        data, stored = self.store.read(item.image), self.store.read(item.label)
        if isinstance(data, Reject):
            return data
        if isinstance(stored, Reject):
            return Reject(uri, "mask_values", f"label: {stored.reason} {stored.detail}")
        image, mask = read_picture(data, uri, LIMITS), read_label(stored, uri)
        if isinstance(image, Reject):
            return image
        if isinstance(mask, Reject):
            return mask
        size = f"{mask.shape[1]}x{mask.shape[0]}"
        if mask.shape != image.shape[:2] and self.other_size == "exclude":
            return Reject(uri, "mask_size", f"label {size}, picture {image.shape[1]}x{image.shape[0]}")
        mask = stretch(mask, (image.shape[0], image.shape[1]))
        source = SourceMeta("pal", uri, hashlib.sha256(data).hexdigest())
        extra = {"task": item.task, "task_by": item.told_by, "split": item.split, "label": size}
        return labelled(image, mask, source, "human", {"other_size": self.other_size}, extra)


def read_label(data: bytes, uri: str) -> U8 | Reject:
    """PNG of class numbers 0 and 1, grey, palette or bilevel -> uint8 HW, or the reason why not."""
    try:
        warnings.simplefilter("ignore")  # Pillow's bomb warning; our own limit decides
        with open_picture(data, ("PNG",)) as picture:
            if picture.width * picture.height > LIMITS.max_pixels:
                return Reject(uri, "mask_values", f"a label of {picture.width}x{picture.height} pixels")
            if picture.mode not in ("L", "P", "1"):
                return Reject(uri, "mask_values", f"a label of mode {picture.mode}; expected one channel of 0 and 1")
            # A palette's numbers are the classes; its colours only show them.
            values = np.asarray(picture).astype(np.uint8)
    except Exception as error:  # Pillow raises a dozen unrelated types on damaged data
        return Reject(uri, "mask_values", f"{type(error).__name__}: {error}")
    found = [int(value) for value in np.unique(values)]
    if found[-1] > 1:
        return Reject(uri, "mask_values", f"the label holds {found[:6]}; expected 0 and 1")
    return values


def report_of(groups: dict[tuple[str, str], list[Item]], totals: dict[Any, Any], stray: list[Any]) -> dict[str, Any]:
    """Counts by folder and split, and how the tasks of `unified` were told."""
    report: dict[str, Any] = {"folders": {}, "stray": dict(Counter(one["reason"] for one in stray))}
    for (task, split), items in groups.items():
        one = totals[task, split]
        facts = {name: one[name] for name in ("samples", "artifact", "clean", "rejects")}
        report["folders"].setdefault(task, {})[split] = {"pictures": len(items), **facts}
    unified = [item for (task, _), items in groups.items() if task == UNIFIED for item in items]
    report["unified_tasks"] = dict(Counter(item.task for item in unified).most_common())
    report["unified_told_by"] = dict(Counter(item.told_by for item in unified).most_common())
    names = [one_line(Path(item.image.path).name) for item in unified if item.task == UNKNOWN]
    report["unified_unknown_examples"] = names[:5]
    return report


def summary(report: dict[str, Any], out: Path, excluded: int) -> str:
    """What was read and kept."""
    rows, own = [], 0
    for task, splits in report["folders"].items():
        parts = [splits.get(split, {}).get("samples", 0) for split in ("train", "val", "test")]
        pictures = sum(one["pictures"] for one in splits.values())
        own += pictures if task != UNIFIED else 0
        rows.append([task, pictures, *parts, sum(one["clean"] for one in splits.values())])
    lines = [count_table(["task", "pictures", "train", "val", "test", "clean"], rows)]
    lines.append(f"{own:,} pictures in the tasks' own folders; the paper has {PAPER_IMAGES:,}")
    others = sorted(set(report["folders"]) - {*TASKS, UNIFIED})
    if others:
        lines.append(f"folders that are none of PAL's eleven tasks: {', '.join(others)}")
    if report["unified_tasks"]:
        told = ", ".join(f"{name} {number:,}" for name, number in report["unified_told_by"].items())
        lines.append(f"tasks in unified told by: {told}")
    if report["unified_unknown_examples"]:
        lines.append(f"task not told, such as {', '.join(report['unified_unknown_examples'])}")
    lines.append(f"{excluded} files left out, each with its reason in {out / 'excluded.jsonl'}")
    return "\n".join(lines)


def tasks_by_key(where: str | Path) -> dict[str, str]:
    """Sample key -> synthesis task of an imported run, for tables by task.

    Raises SchemaError if a sample names none, MissingInputError if nothing is there.
    """
    reader = ShardReader(where)
    found = {}
    for index in range(len(reader)):
        task = reader.meta(index).extra.get("task")
        if not isinstance(task, str):
            raise SchemaError(f"{where}: sample {reader.key(index)} names no task; it is no import of PAL")
        found[reader.key(index)] = task
    return found

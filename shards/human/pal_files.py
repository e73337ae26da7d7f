"""PAL's files, in a folder or a zip, at any depth: which picture belongs to which label, task and split.

    .../<task>/images/{train,val,test}/NAME.jpg     .../<task>/labels/{train,val,test}/NAME.png

In the set `unified` a picture's task is told from its name; where the name does not tell, from the same bytes in a
task's own folder.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

from shards.errors import SourceError, one_line
from shards.guard.names import distinct_names
from shards.human.pal_store import Entry, Store
from shards.source import Reject
from shards.sources.folder import FOLDER

TASKS = (
    "stylegan2",
    "ldm",
    "anyresgan",
    "super_resolution",
    "inpaint",
    "edge2image",
    "mask2image",
    "text2image",
    "latent_composition",
    "cvton",
    "portraitshadowremoval",
)
"""The eleven synthesis tasks, in the order of table 1 of Zhang et al. 2023."""
UNIFIED = "unified"
UNKNOWN = "unknown"
SPLITS = {"train": "train", "val": "val", "validation": "val", "test": "test"}
DOMAINS = {"ffhq": "stylegan2", "afhqcat": "stylegan2", "afhqdog": "stylegan2", "afhqwild": "stylegan2"}
"""Names of the domains of StyleGAN2's pictures, which stand in place of the task in the names of `unified`."""
MAX_FOLDERS = 256
"""Most folders of tasks; PAL has twelve, and each becomes a run for every split."""
MAX_FOLDER_NAME = 100


@dataclass(frozen=True)
class Item:
    """One picture with its place in the set. `label` is None where there is none."""

    image: Entry
    label: Entry | None
    folder: str
    """The task's folder: one of TASKS, `unified`, or another name, made safe and told from all others."""
    split: str
    task: str
    told_by: str
    """What told the task: folder, name, bytes, domain, or nothing."""


@dataclass(frozen=True)
class Listing:
    """The set: pictures in order, and files that belong nowhere."""

    items: list[Item]
    stray: list[Reject]


@dataclass(frozen=True)
class Place:
    """Where a path lies: root folder, images or labels, split, and the name below it without its extension."""

    root: tuple[str, ...]
    kind: str
    split: str
    stem: str


def list_set(store: Store) -> Listing:
    """Pair pictures with labels.

    Raises SourceError if there is no picture below any images/ folder, or there are too many folders.
    """
    entries = store.entries()
    stray = [reject for entry in entries if (reject := misplaced(entry))]
    images: dict[Place, Entry] = {}
    labels: dict[Place, Entry] = {}
    for entry in entries:
        place = place_of(entry.path)
        if place is None or misplaced(entry):
            continue
        same = images if place.kind == "images" else labels
        if place in same:
            stray.append(Reject(entry.path, "duplicate", f"{same[place].path} has the same name"))
        else:
            same[place] = entry
    if not images:
        zips = [one_line(entry.path) for entry in entries if entry.path.lower().endswith(".zip")]
        hint = f"; it holds {zips[0]}: name that" if zips else "; expected <task>/images/{train,val,test}/ at any depth"
        raise SourceError(f"{store.name} holds no pictures of PAL{hint}")
    items = with_safe_folders([item_of(place, image, labels, store.name) for place, image in images.items()])
    paired = {replace(place, kind="labels") for place in images}
    for place, entry in labels.items():
        if place not in paired:
            stray.append(Reject(entry.path, "picture_missing", "a label without a picture of its name"))
    return Listing(tell_by_bytes(items, store), stray)


def misplaced(entry: Entry) -> Reject | None:
    """Why an entry belongs nowhere; None for what does, and for files beside the set such as a README."""
    if unsafe(entry):
        return Reject(entry.path, "unsafe_name", "the name leads out of the archive")
    if entry.size == FOLDER:
        return Reject(entry.path, "unreadable", "a folder that may not be listed, or a link to a folder")
    if place_of(entry.path) is None and {"images", "labels"} & set(PurePosixPath(entry.path).parts[:-1]):
        return Reject(entry.path, "unplaced", "expected images/ or labels/, then train, val or test")
    return None


def unsafe(entry: Entry) -> bool:
    """Whether a name is absolute or climbs."""
    path = entry.path.replace("\\", "/")
    return path.startswith("/") or ".." in path.split("/") or re.match(r"[A-Za-z]:", path) is not None


def place_of(path: str) -> Place | None:
    """Split a path at its last images/ or labels/ folder; None if that is not followed by a split."""
    parts = PurePosixPath(path).parts
    for at in range(len(parts) - 3, -1, -1):
        if parts[at] in ("images", "labels") and parts[at + 1].lower() in SPLITS:
            below = PurePosixPath(*parts[at + 2 :])
            return Place(parts[:at], parts[at], SPLITS[parts[at + 1].lower()], below.with_suffix("").as_posix())
    return None


def item_of(place: Place, image: Entry, labels: dict[Place, Entry], store_name: str) -> Item:
    """The picture with its label, the folder's task, and the picture's own."""
    folder = folder_task((store_name, *place.root))
    task, told_by = folder, "folder"
    if folder == UNIFIED:
        task, told_by = task_of_name(PurePosixPath(place.stem).name)
    return Item(image, labels.get(replace(place, kind="labels")), folder, place.split, task, told_by)


def folder_task(parts: tuple[str, ...]) -> str:
    """The task that the innermost telling folder names; else the innermost folder's own name, in small letters."""
    for part in reversed(parts):
        task = match_task(part)
        if task:
            return task
        if part.lower().startswith(UNIFIED):
            return UNIFIED
    return parts[-1].lower()


def with_safe_folders(items: list[Item]) -> list[Item]:
    """Folders that are no task's get names that may be names of files, no two the same. Raises SourceError."""
    known = [*TASKS, UNIFIED]
    others = sorted({item.folder for item in items} - set(known))
    if len(others) > MAX_FOLDERS:
        raise SourceError(f"the set has {len(others)} folders that are none of PAL's; at most {MAX_FOLDERS} are read")
    plain = [re.sub(r"[^a-z0-9]+", "_", name).strip("_") or UNKNOWN for name in others]
    safe = dict(zip(others, distinct_names([*known, *plain], MAX_FOLDER_NAME)[len(known) :], strict=True))
    # The task of such a picture is the name of its folder.
    return [
        replace(item, folder=safe[item.folder], task=safe[item.folder]) if item.folder in safe else item
        for item in items
    ]


def match_task(text: str) -> str:
    """The task whose name begins `text`, up to an end or a separator, whatever underscores the name has; else ""."""
    for task in TASKS:
        letters = "portrait_shadow_removal" if task == "portraitshadowremoval" else task
        pattern = "[_-]?".join(re.escape(word) for word in letters.split("_"))
        if re.match(rf"{pattern}(?![a-z0-9])", text.lower()):
            return task
    return ""


def task_of_name(stem: str) -> tuple[str, str]:
    """(task, what told it) from a picture's name in `unified`; ("unknown", "nothing") where it does not tell."""
    task = match_task(stem)
    if task:
        return task, "name"
    domain = re.split(r"[^a-z0-9]", stem.lower())[0]
    return (DOMAINS[domain], "domain") if domain in DOMAINS else (UNKNOWN, "nothing")


def tell_by_bytes(items: list[Item], store: Store) -> list[Item]:
    """Give the pictures of `unified` that no name tells the task of an equal picture in a task's own folder."""
    unsure = {item.image.size for item in items if item.folder == UNIFIED and item.told_by != "name"}
    known: dict[tuple[int, int], set[str]] = {}
    for item in items:
        if item.folder != UNIFIED and item.image.size in unsure:
            known.setdefault((item.image.size, crc_of(item.image, store)), set()).add(item.task)
    told = []
    for item in items:
        if known and item.folder == UNIFIED and item.told_by != "name":
            tasks = known.get((item.image.size, crc_of(item.image, store)), set())
            if len(tasks) == 1:
                item = replace(item, task=next(iter(tasks)), told_by="bytes")
        told.append(item)
    return told


def crc_of(entry: Entry, store: Store) -> int:
    """CRC-32 of a file, from the zip's directory where it has one."""
    if entry.crc >= 0:
        return entry.crc
    data = store.read(entry)
    return -2 if isinstance(data, Reject) else zlib.crc32(data)


def listing_lines(items: list[Item], store: Store) -> Iterator[str]:
    """A line an item that changes with the list, with any picture's size and with any label's bytes."""
    for item in items:
        label = f"{item.label.path} {crc_of(item.label, store)}" if item.label else "-"
        yield f"{item.image.size} {item.image.crc} {item.image.path} {item.task} {label}"

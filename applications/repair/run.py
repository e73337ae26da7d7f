"""`blemish repair`: pictures in, repaired pictures and every decision out.

    DIR/pictures/KEY.png   every picture, repaired or as it was
    DIR/masks/KEY.png      what the detector marked before, 0 and 255
    DIR/changed/KEY.png    the pixels that were replaced, 0 and 255
    DIR/sheets/NNNNN.webp  before, mask, after; the pictures of a group in which something was marked
    DIR/groups/NNNNN.jsonl the decisions of a group of pictures; whole, it marks the group as done
    DIR/repair.jsonl       a line for each picture with every decision, in the order of the input
    DIR/rejects.jsonl      inputs that are no pictures, each with its reason
    DIR/summary.json       counts
    DIR/run.json           what was asked for; the same command again goes on

A group is so many pictures as fit into memory, at most GROUP, whatever the batch: a stopped run goes on with the first
group that is not whole, and what comes out is what an unbroken run gives.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from applications.captions import caption_of
from applications.repair.inpainter import Inpainter
from applications.repair.loop import KEPT, NOT_FINITE, Repairer, Work
from applications.repair.options import RepairOptions
from applications.repair.sheet import write_sheet
from detector.checkpoint import fingerprint
from detector.heat import Detector
from detector.inputs import Inputs, Stored, open_inputs
from shards.claims import Claim
from shards.errors import SchemaError
from shards.files import make_folder, whole_file, write_bytes, write_json
from shards.guard.json_text import TABLE, parse_object
from shards.guard.plain_file import read_plain, size_of
from shards.images import encode_image
from shards.masks import U8
from shards.progress import GOES_ON, Progress
from shards.source import Reject

RUN, PICTURES, MASKS, CHANGED, SHEETS, GROUPS = "run.json", "pictures", "masks", "changed", "sheets", "groups"
GROUP = 64
"""Most pictures of a group."""
GROUP_COST = 1 << 29
"""Bytes that decoding the pictures of a group takes together; one that takes more is a group of its own."""
OUTCOMES = ("clean", "repaired", "better", "given_up", "covered")


@dataclass(frozen=True)
class Item:
    """A picture of a group, as it is stored, with its place among the inputs."""

    stored: Stored
    work: Work


@dataclass
class Summary:
    """Counts over all pictures."""

    pictures: int = 0
    rejected: int = 0
    outcomes: dict[str, int] = field(default_factory=lambda: dict.fromkeys(OUTCOMES, 0))
    attempts: int = 0
    kept: int = 0
    left: int = 0
    """Components that are still there at the end: given up."""
    par_before: float = 0.0
    par_after: float = 0.0
    """Means over the pictures."""

    def add(self, line: dict[str, Any]) -> None:
        """One line of repair.jsonl."""
        self.pictures += 1
        self.outcomes[line["outcome"]] += 1
        self.attempts += len(line["attempts"])
        self.kept += sum(attempt["verdict"] == KEPT for attempt in line["attempts"])
        self.left += line["left"]
        self.par_before += (line["par_before"] - self.par_before) / self.pictures
        self.par_after += (line["par_after"] - self.par_after) / self.pictures

    def text(self, out: Path) -> str:
        """One line."""
        of = self.outcomes
        marked = self.pictures - of["clean"]
        lost = f", {self.rejected} rejected (rejects.jsonl)" if self.rejected else ""
        covered = f", {of['covered']} left alone: the mask covers everything" if of["covered"] else ""
        undone = self.attempts - self.kept
        return (
            f"{self.pictures} pictures in {out}, {marked} with artifacts: {of['repaired']} repaired, {of['better']} "
            f"better, {of['given_up']} given up{covered}; {self.kept} of {self.attempts} attempts kept, "
            f"{undone} undone; mean PAR {self.par_before:.4f} before, {self.par_after:.4f} after{lost}"
        )


def repair(
    where: str, checkpoint: Path, inpainter: Inpainter, out: Path, options: RepairOptions, prompt: str | None = None
) -> Summary:
    """Repair every picture and write what the module's head lists.

    Args:
        where: a picture, a folder, a glob or shards. prompt: of all pictures; None: each one's own caption.

    Raises MissingInputError, InputError, CheckpointError, ConfigError, RepairError, ResumeError (OUT holds something
    else), OutputError.
    """
    inputs = open_inputs(where)
    detector = Detector(checkpoint, device=options.device)
    asked = {key: value for key, value in asdict(options).items() if key not in ("batch", "device")}
    identity = {"detector_sha256": fingerprint(checkpoint), "inpainter": inpainter.facts, "input": where}
    with Claim(out, RUN, {**identity, "prompt": prompt, **asked}, "repair").held():
        for name in (PICTURES, MASKS, CHANGED, SHEETS, GROUPS):
            make_folder(out / name)
        run = Run(inputs, out, Repairer(detector, inpainter, options), prompt)
        with Progress(len(inputs), "picture", resumes=GOES_ON) as shown:
            run.repairer.tell = lambda count: shown.note(crops_inpainted=count)
            for number, group in enumerate(groups(inputs)):
                rejected = run.group(number, group)
                shown.update(len(group), rejected)
        return collect(out, number + 1 if len(inputs) else 0)


def groups(inputs: Inputs) -> Iterator[list[int]]:
    """Positions of the pictures of each group; a function of the inputs alone."""
    group: list[int] = []
    held = 0
    for index in range(len(inputs)):
        cost = inputs.cost(index)
        if group and (len(group) == GROUP or held + cost > GROUP_COST):
            yield group
            group, held = [], 0
        group.append(index)
        held += cost
    if group:
        yield group


class Run:
    """One pass over the inputs."""

    def __init__(self, inputs: Inputs, out: Path, repairer: Repairer, prompt: str | None) -> None:
        self.inputs, self.out, self.repairer, self.prompt = inputs, out, repairer, prompt

    def group(self, number: int, indices: Sequence[int]) -> int:
        """Repair one group unless it is done; returns how many were rejected."""
        path = self.out / GROUPS / f"{number:05d}.jsonl"
        stored = {index: self.inputs.read(index) for index in indices}
        done = self.finished(path, [stored[index] for index in indices])
        if done is not None:
            return done
        lines: dict[int, dict[str, Any]] = {}
        items: dict[int, Item] = {}
        for index in indices:
            one = self.load(index, stored.pop(index))
            if isinstance(one, Reject):
                lines[index] = rejected(one)
            else:
                items[index] = one
        self.repairer([item.work for item in items.values()])
        for index, item in items.items():
            if item.work.note == NOT_FINITE:
                lines[index] = rejected(Reject(item.stored.uri, "not_finite"))
            else:
                self.write(item)
                lines[index] = line_of(item)
        shown = [(item.stored.key, item.work) for item in items.values() if item.work.mask_before.any()]
        write_sheet(self.out / SHEETS / f"{number:05d}.webp", shown)
        text = "".join(json.dumps(lines[index], ensure_ascii=False) + "\n" for index in indices)
        write_bytes(path, text.encode("utf-8", "backslashreplace"))
        return sum("reject" in line for line in lines.values())

    def finished(self, path: Path, stored: Sequence[Stored | Reject]) -> int | None:
        """Number of rejects of a group that is whole and of these very pictures, else None."""
        if size_of(path) <= 0:
            return None
        try:
            lines = read_lines(path)
        except SchemaError:
            return None
        now = [one.uri if isinstance(one, Reject) else one.sha256 for one in stored]
        then = [line["reject"]["uri"] if "reject" in line else line["sha256"] for line in lines]
        known = {line["sha256"] for line in lines if "sha256" in line}
        # A picture that could not be decoded is a reject with bytes: its line has the address, not the sum.
        same = len(now) == len(then) and all(
            a == b or ("reject" in line and isinstance(one, Stored) and one.uri == b and a not in known)
            for a, b, line, one in zip(now, then, lines, stored, strict=True)
        )
        there = all(
            size_of(self.out / folder / f"{line['key']}.png") > 0
            for line in lines
            if "key" in line
            for folder in (PICTURES, MASKS, CHANGED)
        )
        return sum("reject" in line for line in lines) if same and there else None

    def load(self, index: int, stored: Stored | Reject) -> Item | Reject:
        """The picture decoded, with its caption."""
        if isinstance(stored, Reject):
            return stored
        image = self.inputs.decode(stored)
        if isinstance(image, Reject):
            return image
        prompt = self.prompt if self.prompt is not None else caption_of(self.inputs, index)
        return Item(Stored(stored.key, stored.uri, b"", stored.sha256), Work(image, prompt, stored.sha256))

    def write(self, item: Item) -> None:
        """The three pictures of one. Raises OutputError."""
        for folder, array in (
            (PICTURES, item.work.image),
            (MASKS, white(item.work.mask_before)),
            (CHANGED, white(item.work.changed)),
        ):
            write_bytes(self.out / folder / f"{item.stored.key}.png", encode_image(array, "png"))


def white(mask: Any) -> U8:
    """bool HW -> uint8 HW, 0 and 255."""
    grey: U8 = mask.astype(np.uint8) * np.uint8(255)
    return grey


def rejected(reject: Reject) -> dict[str, Any]:
    return {"reject": asdict(reject)}


def line_of(item: Item) -> dict[str, Any]:
    """The line of repair.jsonl of one picture."""
    work, stored = item.work, item.stored
    height, width = work.changed.shape
    before, after = int(np.count_nonzero(work.mask_before)), work.now.pixels
    return {
        "key": stored.key,
        "uri": stored.uri,
        "sha256": stored.sha256,
        "prompt": work.prompt,
        "width": width,
        "height": height,
        "outcome": outcome_of(work),
        "note": work.note,
        "par_before": before / (height * width),
        "par_after": after / (height * width),
        "artifact_pixels_before": before,
        "artifact_pixels_after": after,
        "changed_pixels": int(np.count_nonzero(work.changed)),
        "mass_before": round(work.mass_before, 4),
        "mass_after": round(float(work.now.heat.sum(dtype=np.float64)), 4),
        "left": work.left,
        "attempts": [asdict(attempt) for attempt in work.attempts],
    }


def outcome_of(work: Work) -> str:
    """One of OUTCOMES."""
    if not work.mask_before.any():
        return "clean"
    if not work.left:
        return "repaired"
    if work.changed.any():
        return "better"
    return "covered" if work.note else "given_up"


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The lines of a group. Raises SchemaError."""
    try:
        text = read_plain(path, TABLE.max_bytes).decode("utf-8")
    except (OSError, ValueError) as error:
        raise SchemaError(f"{path} cannot be read ({error}); remove it") from error
    return [parse_object(line, str(path)) for line in text.splitlines()]


def collect(out: Path, count: int) -> Summary:
    """repair.jsonl, rejects.jsonl and summary.json of the groups. Raises SchemaError, OutputError."""
    summary = Summary()
    with whole_file(out / "repair.jsonl") as lines, whole_file(out / "rejects.jsonl") as rejects:
        for number in range(count):
            for line in read_lines(out / GROUPS / f"{number:05d}.jsonl"):
                if "reject" in line:
                    summary.rejected += 1
                    file, told = rejects, line["reject"]
                else:
                    summary.add(line)
                    file, told = lines, line
                file.write((json.dumps(told, ensure_ascii=False) + "\n").encode("utf-8", "backslashreplace"))
    write_json(out / "summary.json", asdict(summary))
    return summary

"""Shards as tasks of Label Studio, the masks as predictions: annotators correct them in place of drawing.

    DIR/pictures/KEY.webp        the picture as the shard has it
    DIR/tasks-00000.json ..      at most 1000 tasks each: import all of them
    DIR/label_config.xml         the labelling interface: brushes `artifact` and `ignored`
    DIR/export.json              what was exported

Each connected region (8 neighbours) is a brush stroke of its own, so that one can be deleted or redrawn and the rest
stays. Brushes and not polygons, because a brush holds every pixel of a mask, with holes, and can be painted on; of a
polygon only the corners could be moved.
"""

from __future__ import annotations

import argparse
import itertools
import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

from shards.export.parts import Part, Tally, add_common, has_ignored, opened, write_part, write_picture
from shards.export.runs import Region, regions_of_each
from shards.files import make_folder, whole_file, write_bytes
from shards.masks import ARTIFACT, IGNORE, U8

PICTURES, CONFIG = "pictures", "label_config.xml"
TASKS = 1000
"""Tasks of a file; Label Studio reads an import into memory."""
RUN_BITS = (3, 4, 8, 16)
"""Bits of the four sizes of run lengths."""
LABELS = {"artifact": "#e61e28", "ignored": "#f0be00"}
Strokes = list[tuple[str, Region]]
EXAMPLE = "blemish export labelstudio out/miniworld --out out/labelstudio"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command line of `blemish export labelstudio`."""
    add_common(parser, EXAMPLE, splits=())
    parser.add_argument(
        "--address",
        default="",
        metavar="TEXT",
        help="what stands before a picture's name in a task (default: /data/local-files/?d=NAME/pictures/, where NAME "
        "is the folder's and Label Studio's LOCAL_FILES_DOCUMENT_ROOT the folder above it)",
    )


def run(args: argparse.Namespace) -> int:
    """Write pictures, tasks and the interface. Raises UserErrors."""
    address = args.address or f"/data/local-files/?d={quote(args.out.resolve().name)}/{PICTURES}/"
    with opened(args, "labelstudio", address=address) as (part,):
        write_bytes(args.out / CONFIG, interface().encode())
        tally, files = write_tasks(part, args.out, address)
    print(f"{tally} as tasks in {files} files of {args.out}; the interface is {args.out / CONFIG}")
    return 0


def interface() -> str:
    """The labelling interface, with the names that the predictions use."""
    labels = "\n".join(f'    <Label value="{name}" background="{colour}"/>' for name, colour in LABELS.items())
    return (
        f'<View>\n  <Image name="image" value="$image" zoom="true"/>\n'
        f'  <BrushLabels name="mask" toName="image">\n{labels}\n  </BrushLabels>\n</View>\n'
    )


@dataclass(frozen=True)
class Tasks:
    """Writes pictures; returns whether each has an artifact, and its task."""

    part: Part
    folder: str
    address: str

    def __call__(self, block: range, keys: list[str], masks: list[U8]) -> list[tuple[bool, bytes]]:
        told = []
        for key, mask, found in zip(keys, masks, strokes(masks), strict=True):
            task = task_of(f"{self.address}{key}{self.part.suffix}", key, mask.shape, found)
            told.append((any(label == "artifact" for label, _ in found), json.dumps(task).encode()))
        for index, key in zip(block, keys, strict=True):
            write_picture(self.part, index, key, self.folder)
        return told


def write_tasks(part: Part, out: Path, address: str) -> tuple[Tally, int]:
    """Pictures, and one JSON list of tasks for every TASKS of them; returns the counts, and the number of lists."""
    make_folder(out / PICTURES)
    tally, files = Tally(), 0
    written = write_part(part, Tasks(part, str(out / PICTURES), address))
    while batch := list(itertools.islice(written, 1)):
        with whole_file(out / f"tasks-{files:05d}.json", hashed=False) as file:
            rest = itertools.islice(written, TASKS - 1)
            for number, (artifact, task) in enumerate(itertools.chain(batch, rest)):
                tally.add(artifact)
                file.write((b",\n" if number else b"[\n") + task)
            file.write(b"\n]\n")
        files += 1
    return tally, files


def task_of(address: str, key: str, shape: tuple[int, ...], found: Strokes) -> dict[str, Any]:
    """One task of a picture of (height, width). A clean picture has a prediction without regions."""
    height, width = shape
    results = [
        {
            "id": f"{key}-{number}",
            "type": "brushlabels",
            "from_name": "mask",
            "to_name": "image",
            "original_width": width,
            "original_height": height,
            "image_rotation": 0,
            "value": {"format": "rle", "rle": brush(region, shape), "brushlabels": [label]},
        }
        for number, (label, region) in enumerate(found)
    ]
    return {"data": {"image": address, "key": key}, "predictions": [{"model_version": "blemish", "result": results}]}


def strokes(masks: list[U8]) -> list[Strokes]:
    """(label, region by rows) of each region in scan order, then of all ignored pixels; of each mask."""
    told = [[("artifact", region) for region in regions] for regions in regions_of_each(masks, ARTIFACT, down=False)]
    for number, mask in enumerate(masks):
        if has_ignored(mask):
            (regions,) = regions_of_each([mask], IGNORE, down=False, joined=False)
            told[number] += [("ignored", region) for region in regions]
    return told


def brush(region: Region, shape: tuple[int, ...]) -> list[int]:
    """Bytes of a brush in Label Studio: a picture of (height, width), RGBA, 255 or 0 in all four channels, as runs.

    The packing is that of @thi.ng/rle-pack: 32 bits number of values, 5 bits width of a value less one, four times 4
    bits RUN_BITS less one; then for each run a bit 1, 2 bits which of RUN_BITS, so many bits length less one, 8 bits
    value.
    """
    lengths = region.lengths
    bits = [""] * len(lengths)
    bits[::2] = map(run_bits, lengths[::2], itertools.repeat("00000000"))
    bits[1::2] = map(run_bits, lengths[1::2], itertools.repeat("11111111"))
    head = "".join([f"{4 * shape[0] * shape[1]:032b}{8 - 1:05b}", *(f"{size - 1:04b}" for size in RUN_BITS)])
    text = head + "".join(bits)
    text += "0" * (-len(text) % 8)
    return list(int(text, 2).to_bytes(len(text) // 8, "big"))


@lru_cache(maxsize=1 << 14)
def run_bits(pixels: int, value: str) -> str:
    """A run of so many pixels, of four values each, in pieces of at most 65 536 values; `value` in bits."""
    left, most, text = 4 * pixels, 1 << RUN_BITS[-1], ""
    while left:
        length = min(left, most)
        which = next(number for number, size in enumerate(RUN_BITS) if length <= 1 << size)
        text += f"1{which:02b}{length - 1:0{RUN_BITS[which]}b}{value}"
        left -= length
    return text

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
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np

from shards.export.parts import Part, Tally, add_common, has_artifact, opened, write_part, write_picture
from shards.files import make_folder, whole_file, write_bytes
from shards.masks import IGNORE, U8, Region, lengths_of, regions_of

PICTURES, CONFIG = "pictures", "label_config.xml"
TASKS = 1000
"""Tasks of a file; Label Studio reads an import into memory."""
RUN_BITS = (3, 4, 8, 16)
"""Bits of the four sizes of run lengths."""
LABELS = {"artifact": "#e61e28", "ignored": "#f0be00"}
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


def write_tasks(part: Part, out: Path, address: str) -> tuple[Tally, int]:
    """Pictures, and one JSON list of tasks for every TASKS of them; returns the counts, and the number of lists."""
    make_folder(out / PICTURES)

    def write(index: int, key: str, mask: U8) -> tuple[bool, bytes]:
        write_picture(part, index, out / PICTURES)
        return has_artifact(mask), json.dumps(task_of(f"{address}{key}{part.suffix}", key, mask)).encode()

    tally, files = Tally(), 0
    written = write_part(part, write)
    while batch := list(itertools.islice(written, 1)):
        with whole_file(out / f"tasks-{files:05d}.json") as file:
            rest = itertools.islice(written, TASKS - 1)
            for number, (artifact, task) in enumerate(itertools.chain(batch, rest)):
                tally.add(artifact)
                file.write((b",\n" if number else b"[\n") + task)
            file.write(b"\n]\n")
        files += 1
    return tally, files


def task_of(address: str, key: str, mask: U8) -> dict[str, Any]:
    """One task; `mask` is uint8 HW with 0, 1, 255. A clean picture has a prediction without regions."""
    height, width = mask.shape
    results = [
        {
            "id": f"{key}-{number}",
            "type": "brushlabels",
            "from_name": "mask",
            "to_name": "image",
            "original_width": width,
            "original_height": height,
            "image_rotation": 0,
            "value": {"format": "rle", "rle": brush(region, mask.shape), "brushlabels": [label]},
        }
        for number, (label, region) in enumerate(strokes(mask))
    ]
    return {"data": {"image": address, "key": key}, "predictions": [{"model_version": "blemish", "result": results}]}


def strokes(mask: U8) -> Iterator[tuple[str, Region]]:
    """(label, region) of each region in scan order, then of all ignored pixels."""
    for region in regions_of(mask):
        yield "artifact", region
    ignored = mask == IGNORE
    if ignored.any():
        yield "ignored", Region.whole(ignored)


def brush(region: Region, shape: tuple[int, ...]) -> list[int]:
    """Bytes of a brush in Label Studio: a picture of (height, width), RGBA, 255 or 0 in all four channels, as runs.

    The packing is that of @thi.ng/rle-pack: 32 bits number of values, 5 bits width of a value less one, four times 4
    bits RUN_BITS less one; then for each run a bit 1, 2 bits which of RUN_BITS, so many bits length less one, 8 bits
    value.
    """
    rows, columns = np.nonzero(region.pixels)
    count = shape[0] * shape[1]
    lengths = lengths_of((rows + region.top) * shape[1] + columns + region.left, count)
    bits = [f"{4 * count:032b}{8 - 1:05b}", *(f"{size - 1:04b}" for size in RUN_BITS)]
    for number, length in enumerate(lengths):
        value = "11111111" if number % 2 else "00000000"
        bits += [f"{run_bits(part)}{value}" for part in split_run(4 * length)]
    text = "".join(bits)
    text += "0" * (-len(text) % 8)
    return list(int(text, 2).to_bytes(len(text) // 8, "big"))


def split_run(length: int) -> Iterator[int]:
    """A run in pieces of at most 65 536."""
    most = 1 << RUN_BITS[-1]
    while length > most:
        yield most
        length -= most
    if length:
        yield length


def run_bits(length: int) -> str:
    """The head of a run: that it is one, and how long it is."""
    which = next(number for number, size in enumerate(RUN_BITS) if length <= 1 << size)
    return f"1{which:02b}{length - 1:0{RUN_BITS[which]}b}"

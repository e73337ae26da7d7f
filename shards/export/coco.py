"""Shards in COCO's layout: pictures as files, and one JSON of instances a split.

    DIR/SPLIT/KEY.webp                       the picture as the shard has it (.webp, .png or .jpg)
    DIR/annotations/instances_SPLIT.json     one annotation for each connected region (8 neighbours) of artifact pixels
    DIR/export.json                          what was exported

Segmentations are run-length encodings as pycocotools writes them, so area and box are exact. Ignored pixels of a
picture are one annotation with `iscrowd` 1: COCO's evaluation counts no detection within them as wrong.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from shards.export.parts import Part, Tally, add_common, opened, write_part, write_picture
from shards.files import HashingFile, make_folder, whole_file
from shards.masks import IGNORE, U8, Region, lengths_of, regions_of

ANNOTATIONS = "annotations"
CATEGORY = {"id": 1, "name": "artifact", "supercategory": "defect"}
EXAMPLE = "blemish export coco out/miniworld --out out/coco"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command line of `blemish export coco`."""
    add_common(parser, EXAMPLE)


def run(args: argparse.Namespace) -> int:
    """Write every split. Raises UserErrors."""
    with opened(args, "coco") as parts:
        make_folder(args.out / ANNOTATIONS)
        for part in parts:
            path = args.out / ANNOTATIONS / f"instances_{part.split}.json"
            tally, count = write_split(part, args.out / part.split, path)
            print(f"{part.split}: {tally}, {count} annotations in {path}", flush=True)
    return 0


def write_split(part: Part, pictures: Path, path: Path) -> tuple[Tally, int]:
    """Pictures and instances of one split; returns what was written and the number of annotations.

    The list of pictures is kept in a temporary file until that of the annotations is written: memory stays flat.
    """

    def write(index: int, key: str, mask: U8) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        write_picture(part, index, pictures)
        height, width = mask.shape
        return {"file_name": f"{key}{part.suffix}", "width": width, "height": height}, list(annotations_of(mask))

    tally, count = Tally(), 0
    make_folder(pictures)
    with tempfile.TemporaryFile(dir=path.parent) as images, whole_file(path) as file:
        file.write(b'{"info": {"description": "Image artifacts, exported by Blemish"}, "licenses": [],\n')
        file.write(f'"categories": [{json.dumps(CATEGORY)}],\n"annotations": ['.encode())
        for number, (picture, annotations) in enumerate(write_part(part, write), 1):
            tally.add(any(not one["iscrowd"] for one in annotations))
            images.write(separated({"id": number, **picture}, number == 1))
            for one in annotations:
                count += 1
                file.write(separated({"id": count, "image_id": number, **one}, count == 1))
        file.write(b'],\n"images": [')
        copy_into(images, file)
        file.write(b"]}\n")
    return tally, count


def separated(value: dict[str, Any], is_first: bool) -> bytes:
    """One element of a JSON list, on a line of its own."""
    return (("\n" if is_first else ",\n") + json.dumps(value)).encode()


def copy_into(images: Any, file: HashingFile) -> None:
    images.seek(0)
    shutil.copyfileobj(images, file)


def annotations_of(mask: U8) -> Iterator[dict[str, Any]]:
    """What COCO says of a mask (uint8 HW with 0, 1, 255): each region in scan order, then the ignored pixels."""
    for region in regions_of(mask):
        yield annotation(region, mask.shape, is_crowd=False)
    ignored = mask == IGNORE
    if ignored.any():
        yield annotation(Region.whole(ignored), mask.shape, is_crowd=True)


def annotation(region: Region, shape: tuple[int, ...], is_crowd: bool) -> dict[str, Any]:
    """Of a region, which has a pixel at least, in a picture of (height, width). bbox: x, y, width, height in pixels."""
    down, right = np.flatnonzero(region.pixels.any(axis=1)), np.flatnonzero(region.pixels.any(axis=0))
    box = [region.left + right[0], region.top + down[0], right[-1] - right[0] + 1, down[-1] - down[0] + 1]
    return {
        "category_id": CATEGORY["id"],
        "iscrowd": int(is_crowd),
        "area": int(region.pixels.sum()),
        "bbox": [int(value) for value in box],
        "segmentation": {"size": list(shape), "counts": packed(run_lengths(region, shape))},
    }


def run_lengths(region: Region, shape: tuple[int, ...]) -> list[int]:
    """Lengths of the runs of False, True, False, .. down the columns of a picture of (height, width); the first may
    be 0."""
    columns, rows = np.nonzero(region.pixels.T)
    return lengths_of((columns + region.left) * shape[0] + rows + region.top, shape[0] * shape[1])


def packed(lengths: list[int]) -> str:
    """COCO's text for run lengths: 6 bits a character, from the fourth on the difference from the last but one.

    As `rleToString` of pycocotools (common/maskApi.c): five bits of value, lowest first, and one that says whether more
    follow; the sign is that of the last five bits.
    """
    text = []
    for place, length in enumerate(lengths):
        value, more = length - (lengths[place - 2] if place > 2 else 0), True
        while more:
            bits, value = value & 31, value >> 5
            more = value != (-1 if bits & 16 else 0)
            text.append(chr(bits + (32 if more else 0) + 48))
    return "".join(text)

"""Shards in COCO's layout: pictures as files, and one JSON of instances a split.

    DIR/SPLIT/KEY.webp                       the picture as the shard has it (.webp, .png or .jpg)
    DIR/annotations/instances_SPLIT.json     one annotation for each connected region (8 neighbours) of artifact pixels
    DIR/export.json                          what was exported

Segmentations are run-length encodings as pycocotools writes them; with `--segmentation polygon` they are polygons along
the edges of pixels, which hold the same pixels. A region with a hole stays a run-length encoding: COCO's polygons have
no holes. Area and box are those of the pixels. Ignored pixels of a picture are one annotation with `iscrowd` 1,
run-length encoded: COCO's evaluation counts no detection within them as wrong.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from shards.export.parts import Part, Tally, add_common, has_ignored, opened, write_part, write_picture
from shards.export.polygons import polygons_of
from shards.export.runs import Region, regions_of_each
from shards.files import HashingFile, make_folder, whole_file
from shards.masks import ARTIFACT, IGNORE, U8

ANNOTATIONS = "annotations"
CATEGORY = {"id": 1, "name": "artifact", "supercategory": "defect"}
EXAMPLE = "blemish export coco out/miniworld --out out/coco"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command line of `blemish export coco`."""
    add_common(parser, EXAMPLE)
    parser.add_argument(
        "--segmentation",
        choices=("rle", "polygon"),
        default="rle",
        help="how a region is written; one with a hole is always run-length encoded (default rle)",
    )


def run(args: argparse.Namespace) -> int:
    """Write every split. Raises UserErrors."""
    polygons = args.segmentation == "polygon"
    with opened(args, "coco", **({"segmentation": "polygon"} if polygons else {})) as parts:
        make_folder(args.out / ANNOTATIONS)
        for part in parts:
            path = args.out / ANNOTATIONS / f"instances_{part.split}.json"
            tally, count = write_split(part, args.out / part.split, path, polygons)
            print(f"{part.split}: {tally}, {count} annotations in {path}", flush=True)
    return 0


@dataclass(frozen=True)
class Instances:
    """Writes pictures; returns what the JSON says of each, and of each of its annotations, but for their ids."""

    part: Part
    folder: str
    polygons: bool

    def __call__(self, block: range, keys: list[str], masks: list[U8]) -> list[tuple[bytes, list[bytes], bool]]:
        told = []
        found = annotations_of(masks, self.polygons)
        for index, key, mask, regions in zip(block, keys, masks, found, strict=True):
            height, width = mask.shape
            picture = inner({"file_name": f"{key}{self.part.suffix}", "width": width, "height": height})
            texts = [inner({"image_id": index + 1, **one}) for one in regions]
            told.append((picture, texts, any(not one["iscrowd"] for one in regions)))
        for index, key in zip(block, keys, strict=True):
            write_picture(self.part, index, key, self.folder)
        return told


def inner(value: dict[str, Any]) -> bytes:
    """The JSON of an object without its first bracket."""
    return json.dumps(value)[1:].encode()


def write_split(part: Part, pictures: Path, path: Path, polygons: bool) -> tuple[Tally, int]:
    """Pictures and instances of one split; returns what was written and the number of annotations.

    The list of pictures is kept in a temporary file until that of the annotations is written: memory stays flat.
    """
    tally, count = Tally(), 0
    make_folder(pictures)
    with tempfile.TemporaryFile(dir=path.parent) as images, whole_file(path, hashed=False) as file:
        file.write(b'{"info": {"description": "Image artifacts, exported by Blemish"}, "licenses": [],\n')
        file.write(f'"categories": [{json.dumps(CATEGORY)}],\n"annotations": ['.encode())
        written = write_part(part, Instances(part, str(pictures), polygons))
        for number, (picture, annotations, is_artifact) in enumerate(written, 1):
            tally.add(is_artifact)
            images.write(separated(number, picture))
            for one in annotations:
                count += 1
                file.write(separated(count, one))
        file.write(b'],\n"images": [')
        copy_into(images, file)
        file.write(b"]}\n")
    return tally, count


def separated(number: int, inner: bytes) -> bytes:
    """One element of a JSON list, from 1, on a line of its own."""
    return b'%s{"id": %d, %s' % (b",\n" if number > 1 else b"\n", number, inner)


def copy_into(images: Any, file: HashingFile) -> None:
    images.seek(0)
    shutil.copyfileobj(images, file)


def annotations_of(masks: Sequence[U8], polygons: bool = False) -> list[list[dict[str, Any]]]:
    """What COCO says of each mask (uint8 HW with 0, 1, 255): each region in scan order, then the ignored pixels.

    polygons: of regions without a hole, in place of run lengths.
    """
    found = regions_of_each(masks, ARTIFACT, down=True)
    told = [
        [annotation(region, mask.shape, False, polygons) for region in regions]
        for mask, regions in zip(masks, found, strict=True)
    ]
    for number, mask in enumerate(masks):
        if has_ignored(mask):
            (regions,) = regions_of_each([mask], IGNORE, down=True, joined=False)
            told[number] += [annotation(region, mask.shape, True) for region in regions]
    return told


def annotation(region: Region, shape: tuple[int, ...], is_crowd: bool, polygons: bool = False) -> dict[str, Any]:
    """Of a region by columns in a picture of (height, width). bbox: x, y, width, height in pixels."""
    outlines = polygons_of(region) if polygons else []
    return {
        "category_id": CATEGORY["id"],
        "iscrowd": int(is_crowd),
        "area": region.area,
        "bbox": list(region.box),
        "segmentation": outlines or {"size": list(shape), "counts": packed(region.lengths)},
    }


def packed(lengths: list[int]) -> str:
    """COCO's text for run lengths: 6 bits a character, from the fourth on the difference from the last but one.

    As `rleToString` of pycocotools (common/maskApi.c).
    """
    changes = [length - before for length, before in zip(lengths[3:], lengths[1:], strict=False)]
    return "".join(map(spelled, [*lengths[:3], *changes]))


@lru_cache(maxsize=1 << 14)
def spelled(value: int) -> str:
    """Five bits of value a character, lowest first, and one that says whether more follow; the sign is that of the last
    five bits."""
    text, more = "", True
    while more:
        bits, value = value & 31, value >> 5
        more = value != (-1 if bits & 16 else 0)
        text += chr(bits + (32 if more else 0) + 48)
    return text

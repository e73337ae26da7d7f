"""Shards as Parquet with the pictures inside, as the Hugging Face hub and `datasets` read it.

    DIR/data/train-00000-of-00003.parquet    at most 500 MB each; row groups of at most 32 MB
    DIR/README.md                            which files are which split
    DIR/export.json                          what was exported

Columns: `image`, `mask` (0 clean, 255 artifact, 128 ignored) and `source` (the clean twin, null where there is none)
are the members' bytes in the hub's Image feature; then come key, label, caption, the numbers that one filters by, and
`meta`, the whole JSON of the sample.
"""

from __future__ import annotations

import argparse
from functools import partial
from typing import Any

from shards.errors import SchemaError
from shards.export.parts import CLASSES, Part, add_common, opened
from shards.export.tables import (
    PICTURE,
    REAL,
    ROWS,
    TEXT,
    WHOLE,
    Column,
    Row,
    facts_of,
    need_pyarrow,
    picture,
    told,
    write_card,
    write_tables,
)
from shards.schema import MASK_MEMBER

EXAMPLE = "blemish export parquet out/miniworld --out out/parquet"
FACTS: dict[str, tuple[str, type]] = {
    "caption": ("source.caption", str),
    "source_set": ("source.set", str),
    "source_uri": ("source.uri", str),
    "source_sha256": ("source.sha256", str),
    "licence": ("source.licence", str),
    "model": ("model.id", str),
    "method": ("corruption.method", str),
    "start_step": ("corruption.start_step", int),
    "region_policy": ("region.policy", str),
    "artifact_area": ("mask.area", float),
    "artifact_pixels": ("mask.artifact_pixels", int),
    "ignore_pixels": ("mask.ignore_pixels", int),
    "num_components": ("mask.num_components", int),
    "change_inside": ("change.inside", float),
    "change_outside": ("change.outside", float),
    "seed": ("seed", int),
}
"""Column -> (dotted name in the sample's JSON, type); docs/reference/schema.md says what they mean."""
KINDS = {str: TEXT, int: WHOLE, float: REAL}
COLUMNS: dict[str, Column] = {
    "key": TEXT,
    "image": PICTURE,
    "mask": PICTURE,
    "source": PICTURE,
    "label": Column("int64", {"names": list(CLASSES), "_type": "ClassLabel"}),
    **{name: KINDS[kind] for name, (_, kind) in FACTS.items()},
    "meta": TEXT,
}
LABELS = {name: number for number, name in enumerate(CLASSES)}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command line of `blemish export parquet`."""
    add_common(parser, EXAMPLE)


def run(args: argparse.Namespace) -> int:
    """Write every split, then the card. Raises UserErrors."""
    need_pyarrow()
    with opened(args, "parquet") as parts:
        rows = {}
        for part in parts:
            rows[part.split] = write_tables(part, args.out, COLUMNS, partial(row_of, part))[ROWS]
            print(f"{part.split}: {rows[part.split]} rows in {args.out}", flush=True)
        write_card(args.out, parts, rows, "Image artifacts", ("image-artifacts", "image-segmentation"))
    return 0


def row_of(part: Part, index: int) -> Row:
    """One row. Raises SchemaError where the sample's JSON is not as the schema has it."""
    data, facts = facts_of(part, index)
    key, reader = part.reader.key(index), part.reader
    label = facts.get("label")
    if label not in LABELS:
        raise SchemaError(f"{key}: label is {repr(label)[:40]}; run `blemish check`")
    twin = reader.source_name(index)
    values: dict[str, Any] = {name: told(facts, path, kind) for name, (path, kind) in FACTS.items()}
    return {
        "key": key,
        "image": picture(part, index, part.suffix[1:]),
        "mask": picture(part, index, MASK_MEMBER),
        "source": picture(part, index, twin) if twin else None,
        "label": LABELS[label],
        **values,
        "meta": data.decode(),
    }

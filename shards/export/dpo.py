"""Shards as preference pairs for Diffusion-DPO: the clean twin is preferred to the picture with artifacts.

    DIR/data/train-00000-of-00003.parquet    one row a pair; files and row groups as `blemish export parquet` has them
    DIR/README.md, DIR/export.json

Columns are those of Pick-a-Pic, which diffusers' train_diffusion_dpo.py and the authors' code read: `jpg_0`, `jpg_1`
(the members' bytes, in the shards' own codec), `label_0` (1.0 where jpg_0 is preferred, else 0.0), `label_1`,
`caption`, `has_label`, `image_0_uid`, `image_1_uid`, `best_image_uid`. Which of the two comes first is drawn by the
sample's key.

Clean samples are no pair, nor are artifacts without a clean twin; both are counted. The caption is the source's; where
it has none it is --prompt.
"""

from __future__ import annotations

import argparse
from collections import Counter
from functools import partial

from shards.errors import ConfigError
from shards.export.parts import Part, add_common, opened
from shards.export.tables import (
    BYTES,
    REAL,
    ROWS,
    TEXT,
    TRUTH,
    Column,
    Row,
    facts_of,
    need_pyarrow,
    told,
    write_card,
    write_tables,
)
from shards.seeds import named_fraction

EXAMPLE = "blemish export dpo out/miniworld --out out/dpo"
COLUMNS: dict[str, Column] = {
    "jpg_0": BYTES,
    "jpg_1": BYTES,
    "label_0": REAL,
    "label_1": REAL,
    "caption": TEXT,
    "has_label": TRUTH,
    "image_0_uid": TEXT,
    "image_1_uid": TEXT,
    "best_image_uid": TEXT,
}
CLEAN, ALONE = "clean samples", "artifacts without a clean twin"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command line of `blemish export dpo`."""
    add_common(parser, EXAMPLE)
    parser.add_argument("--prompt", default="", help="the prompt of pictures without a caption (default none)")


def run(args: argparse.Namespace) -> int:
    """Write every split, then the card. Raises UserErrors."""
    need_pyarrow()
    with opened(args, "dpo", prompt=args.prompt) as parts:
        rows = {}
        for part in parts:
            counts = write_tables(part, args.out, COLUMNS, partial(row_of, part, args.prompt))
            rows[part.split] = counts.pop(ROWS, 0)
            print(f"{part.split}: {rows[part.split]} pairs in {args.out}; {left_out(counts)}", flush=True)
        if not sum(rows.values()):
            raise ConfigError(
                "there is no pair: a pair is an artifact whose clean twin is in the shard (samples.source_twin = True)"
            )
        write_card(args.out, parts, rows, "Pairs of pictures, with and without artifacts", ("dpo", "image-artifacts"))
    return 0


def left_out(counts: Counter[str]) -> str:
    """What is no pair."""
    told = ", ".join(f"{counts[name]} {name}" for name in (CLEAN, ALONE) if counts[name])
    return f"no pair: {told}" if told else "every sample is a pair"


def row_of(part: Part, prompt: str, index: int) -> Row | str:
    """One pair, or why there is none."""
    _, facts = facts_of(part, index)
    if told(facts, "label", str) != "artifact":
        return CLEAN
    twin = part.reader.source_name(index)
    if not twin:
        return ALONE
    key = part.reader.key(index)
    pair = {"clean": part.reader.member(index, twin), "artifact": part.reader.member(index, part.suffix[1:])}
    order = ("clean", "artifact") if named_fraction(f"dpo/{part.split}/{key}") < 0.5 else ("artifact", "clean")
    preferred = float(order[0] == "clean")
    return {
        "jpg_0": pair[order[0]],
        "jpg_1": pair[order[1]],
        "label_0": preferred,
        "label_1": 1.0 - preferred,
        "caption": told(facts, "source.caption", str) or prompt,
        "has_label": True,
        "image_0_uid": f"{key}-{order[0]}",
        "image_1_uid": f"{key}-{order[1]}",
        "best_image_uid": f"{key}-clean",
    }

"""A random draw of labelled pictures, such as the hundred of Menn et al. 2025, and the rest: two runs of shards."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from shards.errors import ConfigError
from shards.places import public
from shards.reader import ShardReader
from shards.schema import META_MEMBER, encode_meta, image_codec, make_key
from shards.writer import RunInfo, RunWriter

PER_SHARD = 256


def draw(where: Sequence[str], count: int, out: Path, seed: int = 0, rest: Path | None = None) -> str:
    """Copy `count` samples, drawn without replacement, to OUT and, if named, the others to REST; returns a line.

    Images and labels stay as they are, byte for byte; keys are new, in the order of the set.

    Raises MissingInputError, SchemaError, ConfigError (more asked for than there are, mixed codecs), ResumeError,
    OutputError.
    """
    reader = ShardReader(list(where))
    if not 1 <= count <= len(reader):
        raise ConfigError(f"--count is {count}; {', '.join(where)} has {len(reader)} samples")
    if not 0 <= seed < 2**63:
        raise ConfigError(f"--seed is {seed}; needed is 0 or more, below 2**63")
    order = np.random.Generator(np.random.PCG64(seed)).permutation(len(reader))
    drawn, others = np.sort(order[:count]).tolist(), np.sort(order[count:]).tolist()
    told = {"drawn_from": public(list(where), "where"), "count": count, "seed": seed}
    copy_samples(reader, drawn, out, {**told, "part": "drawn"}, f"{count} labelled pictures, drawn at random")
    words = f"{count} of {len(reader)} labelled pictures in {out}"
    if rest is not None and others:
        copy_samples(reader, others, rest, {**told, "part": "rest"}, "Labelled pictures that were not drawn")
        words += f", the other {len(others)} in {rest}"
    return words


def copy_samples(reader: ShardReader, places: Sequence[int], out: Path, told: dict[str, object], title: str) -> None:
    """Write these samples as a run of their own; `told` identifies it."""
    codecs = {reader.image_name(place) for place in places}
    if len(codecs) > 1:
        raise ConfigError(f"the samples are stored as {', '.join(sorted(codecs))}; draw from sets of one format")
    first = reader.meta(places[0]).source
    source = {"name": first.set, "items": len(places), "fingerprint": "labelled samples"}
    codec = image_codec(reader.key(places[0]), codecs)
    run = RunWriter(out, RunInfo(told, source, -(-len(places) // PER_SHARD), title, first.licence), codec)
    for shard in run.todo():
        with run.shard(shard) as writer:
            for row, place in enumerate(places[shard * PER_SHARD : (shard + 1) * PER_SHARD]):
                meta = replace(reader.meta(place), config_hash=run.hash)
                members = reader.members(place) | {META_MEMBER: encode_meta(meta)}
                writer.write_members(make_key(shard, row), members, artifact=meta.label == "artifact")
    run.finalise()

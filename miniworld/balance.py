"""A test set in which what a picture shows does not tell whether it is broken, drawn from a larger wild set.

In the natural mix hands are broken more often than cars, and signs nearly always. Here each content (the kinds of
things that a caption names, "car face") is broken in exactly half of its pictures. Of those, all things are broken:
where one of two is, a kind would be whole more often than broken, and the picture is left out.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from scipy import ndimage

from miniworld.sets import PER_SHARD, finished
from miniworld.source import LICENCE
from miniworld.world.render import silhouette
from miniworld.world.scenes import content_of, scene_from_dict
from shards.errors import ConfigError, MissingInputError
from shards.files import hash_file
from shards.masks import ARTIFACT, U8
from shards.reader import ShardReader
from shards.schema import META_MEMBER, Meta, encode_meta, make_key
from shards.writer import MANIFEST, RunInfo, RunWriter

NEAR = 2
"""Pixels by which a fault may miss the outline of the thing that it belongs to."""
TITLE = "Blemish miniworld: wild test pictures, half of each content broken"


def pair_up(content: Sequence[str], broken: Sequence[bool], count: int) -> list[int]:
    """Indices of up to `count` pictures, ascending: of each content as many broken as whole ones.

    The n-th broken picture of a content and its n-th whole one are a pair, complete where the later one stands. The
    first count // 2 pairs to be complete are taken: no other choice gets by with fewer pictures to draw from, and
    once there are enough, more at the end change nothing.
    """
    seen: dict[tuple[str, bool], list[int]] = defaultdict(list)
    for index, key in enumerate(zip(content, broken, strict=True)):
        seen[key].append(index)
    names = sorted(set(content))
    pairs = [pair for name in names for pair in zip(seen[name, True], seen[name, False], strict=False)]
    chosen = sorted(pairs, key=max)[: count // 2]
    return sorted(index for pair in chosen for index in pair)


def draw(pool: Path, out: Path, count: int) -> dict[str, Any]:
    """Write `count` pictures of a finished wild set to OUT as they are, and return their totals.

    OUT that is finished is left as it is.

    Raises ConfigError for a count that is odd or below 2, or more than the pool has in pairs; MissingInputError for a
    pool that is not there or not finished; ResumeError where OUT holds something else.
    """
    if count < 2 or count % 2:
        raise ConfigError(f"--count is {count}: give an even number of at least 2, half of them broken")
    done = finished(out)
    if done is not None:
        return done
    if finished(pool) is None:
        raise MissingInputError(
            f"{pool} is no finished set: make it with `blemish world sets --only wild-pool --out {pool.parent}`"
        )
    reader = ShardReader(pool)
    metas = [reader.meta(i) for i in range(len(reader))]
    usable = [i for i, m in enumerate(metas) if m.label == "clean" or all(things_broken(m, reader.mask(i)))]
    content = [content_of(metas[i].source.caption) for i in usable]
    chosen = [usable[k] for k in pair_up(content, [metas[i].label == "artifact" for i in usable], count)]
    if len(chosen) < count:
        raise ConfigError(
            f"--count is {count}, and {pool} holds {len(chosen)} pictures in pairs of equal content: "
            "ask for at most so many, or draw from a larger set"
        )
    config = {"set": out.name, "make": "balanced", "count": count, "per_shard": PER_SHARD}
    config |= {"pool": pool.name, "pool_manifest": hash_file(pool / MANIFEST)}
    source = {"name": f"miniworld-{out.name}", "items": count, "fingerprint": f"drawn from {pool.name}"}
    run = RunWriter(out, RunInfo(config, source, -(-count // PER_SHARD), TITLE, LICENCE))
    for shard in run.todo():
        copy_shard(run, reader, shard, chosen[shard * PER_SHARD : (shard + 1) * PER_SHARD])
    return run.finalise()


def things_broken(meta: Meta, mask: U8) -> list[bool]:
    """For each thing that the oracle found in a wild picture, whether a fault touches it or lies within two pixels.

    Raises ConfigError for a picture without the oracle's facts.
    """
    if "nearest" not in meta.extra:
        raise ConfigError(f"{meta.source.uri} was not labelled by the oracle: draw from a wild set")
    near_fault = ndimage.maximum_filter(mask == ARTIFACT, size=2 * NEAR + 1)
    return [bool((near_fault & silhouette(t)).any()) for t in scene_from_dict(meta.extra["nearest"]).things]


def copy_shard(run: RunWriter, reader: ShardReader, shard: int, chosen: Sequence[int]) -> None:
    """The chosen pictures as one shard; `source.index` stays their place in the pool."""
    with run.shard(shard) as out:
        for row, index in enumerate(chosen):
            meta = reader.meta(index)
            source = replace(meta.source, set=str(run.info.source["name"]))
            told = encode_meta(replace(meta, config_hash=run.hash, source=source))
            members = {**reader.members(index), META_MEMBER: told}
            out.write_members(make_key(shard, row), members, artifact=meta.label == "artifact")

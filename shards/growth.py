"""A run that grows: what it was made of stays where it is, in its order, and what is new comes after.

    OUT/inputs.jsonl    one line of the source's listing for each input, in the order of the run, as JSON strings
    OUT/manifest.json   under `grown`: {"items", "config_hash", "last_shard"} of the run before each extension

The first `source.items` lines of inputs.jsonl are those of the run; an extension writes the longer list before the
manifest, so that a kill between the two leaves the run as it was. A `last_shard` that was made and is `partial` (holds
fewer sources than others) stays so, and what is new begins a new shard; one that was still `open` is made full.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shards.errors import ResumeError
from shards.files import whole_file, write_json
from shards.guard.json_text import TABLE, read_object
from shards.guard.plain_file import open_plain
from shards.source import Source, fingerprint

if TYPE_CHECKING:
    from shards.writer import RunWriter

MANIFEST, INPUTS = "manifest.json", "inputs.jsonl"


@dataclass(frozen=True)
class Followed:
    """A source in the order of a run that was begun, and how that run has grown."""

    source: Source
    grown: tuple[dict[str, Any], ...] = ()


def follow(source: Source, out: Path, manifest: Mapping[str, Any], per_shard: int, extend: bool = False) -> Followed:
    """The source as the run in `out` has it: its inputs first, in its order, whatever sorts in between now.

    Args:
        manifest: of the run; empty where none was begun.
        per_shard: sources a shard.
        extend: whether new inputs are wanted; then old ones that are gone are an error here. Without, a source that
            does not hold the run's inputs comes back as it is, and the writer refuses it.

    Raises ResumeError.
    """
    stored = manifest.get("source")
    if not isinstance(stored, Mapping) or not isinstance(manifest.get("num_shards"), int):
        return Followed(source)
    items = stored.get("items")
    if not isinstance(items, int):
        return Followed(source)
    grown = sound_grown(manifest.get("grown", []), items)
    if grown is None or "fingerprint" not in stored:
        return Followed(source)
    lines = list(source.listing())
    if fingerprint(lines[:items]) != stored["fingerprint"]:
        recorded = read_inputs(out, items, str(stored["fingerprint"]))
        order = [] if recorded is None else order_of(recorded, lines)
        if not order:
            if extend:
                raise ResumeError(why_not(out, items, recorded, lines))
            return Followed(source, grown)
        source = source.arranged(order)
    if extend and len(lines) > items:
        grown = (*grown, entry(out, manifest, grown, per_shard))
    return Followed(source, grown)


def sound_grown(told: Any, items: int) -> tuple[dict[str, Any], ...] | None:
    """`grown` of the manifest of a run of so many items; None where it is nothing that this code wrote."""
    kinds = {"items": int, "config_hash": str, "last_shard": str}
    sound = isinstance(told, (list, tuple)) and all(
        isinstance(one, dict) and all(isinstance(one.get(name), kind) for name, kind in kinds.items()) for one in told
    )
    ends = [0, *(one["items"] for one in told), items] if sound else [1, 0]
    return tuple(told) if all(first < last for first, last in pairwise(ends)) else None


def entry(out: Path, manifest: Mapping[str, Any], grown: Sequence[Mapping[str, Any]], per_shard: int) -> dict[str, Any]:
    """What is written down of a run that is about to grow."""
    items, last_shard = manifest["source"]["items"], "full"
    if (items - max(breaks(grown), default=0)) % per_shard:
        path = out / "shards" / f"{manifest['num_shards'] - 1:05d}.stats.json"
        last_shard = "partial" if path.exists() else "open"
    return {"items": items, "config_hash": str(manifest.get("config_hash", "")), "last_shard": last_shard}


def breaks(grown: Sequence[Mapping[str, Any]]) -> tuple[int, ...]:
    """Numbers of items at which a shard of a run that has grown so ends early."""
    return tuple(one["items"] for one in grown if one["last_shard"] == "partial")


def order_of(recorded: Sequence[str], lines: Sequence[str]) -> list[int]:
    """Positions in `lines` of the recorded inputs in their order, then of all others; [] where one is missing."""
    places: dict[str, list[int]] = defaultdict(list)
    for place in range(len(lines) - 1, -1, -1):
        places[lines[place]].append(place)
    try:
        old = [places[line].pop() for line in recorded]
    except IndexError:
        return []
    taken = set(old)
    return [*old, *(place for place in range(len(lines)) if place not in taken)]


def why_not(out: Path, items: int, recorded: Sequence[str] | None, lines: Sequence[str]) -> str:
    """One line: why the run in `out` cannot take in what this source has."""
    if len(lines) < items:
        return f"{out} holds a run of {items} inputs and the source has {len(lines)} now; a run only grows"
    if recorded is None:
        return (
            f"{out} has no list of its inputs ({INPUTS}), so it grows only at the end of the source, and the first "
            f"{items} inputs of the source are others now; choose another folder"
        )
    there = set(lines)
    gone = [line for line in recorded if line not in there] or ["one of two equal names"]
    return (
        f"{len(gone)} of the {items} inputs of the run in {out} are gone or changed, the first '{gone[0]}' (size and "
        f"name); put them back as they were, or choose another folder"
    )


def read_inputs(out: Path, items: int, expected: str) -> list[str] | None:
    """The run's inputs as listed; None where the file is missing, short or not that of the run."""
    lines: list[str] = []
    try:
        with open_plain(out / INPUTS) as file:
            for _ in range(items):
                lines.append(str(json.loads(file.readline(1 << 20))))
    except (OSError, ValueError):
        return None
    return lines if fingerprint(lines) == expected else None


def write_inputs(out: Path, listing: Iterator[str]) -> None:
    """Raises OutputError."""
    with whole_file(out / INPUTS) as file:
        for line in listing:
            file.write(json.dumps(line).encode("ascii") + b"\n")


def extend(run: RunWriter, growing: tuple[str, ...]) -> dict[str, Any]:
    """Make the longer list that of the run, unless more differs than it; returns the manifest that is there then.

    Raises ResumeError where another process still makes the last shard as it was to be.
    """
    with run.alone():
        stored = read_object(run.out / MANIFEST, limits=TABLE, error=ResumeError)
        if run.info.listing is None or run.changed(stored, growing) or not run.changed(stored):
            return stored
        last = int(stored["num_shards"]) - 1
        if not run.locks.take(last):
            raise ResumeError(f"{run.path(last, 'tar')} is being made by another process; extend the run after it")
        try:
            if run.is_done(last) and run.info.grown[-1]["last_shard"] == "open":
                raise ResumeError(f"{run.out} went on meanwhile; run the same command again")
            write_inputs(run.out, run.info.listing())
            write_json(run.out / MANIFEST, run.manifest())
        finally:
            run.locks.release(last)
        return run.manifest()


def without_growth(identity: Mapping[str, Any], growing: Sequence[str]) -> dict[str, Any]:
    """A run's identity without what an extension changes: the list of inputs, and the options named in `growing`."""
    config = dict(identity.get("config") or {})
    source = dict(config.get("source") or {})
    options = dict(source.get("options") or {})
    source["options"] = {name: value for name, value in options.items() if name not in growing}
    kept = {name: value for name, value in identity.items() if name not in ("source", "num_shards", "grown")}
    name = (identity.get("source") or {}).get("name")
    return {**kept, "config": {**config, "source": source}, "source": {"name": name}}

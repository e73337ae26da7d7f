"""`python -m region_select report`: how well the regions of a config follow the true faults of a labelled set.

    OUT/report.md    the tables, to be read      OUT/report.json    the same and more, unrounded
    OUT/sources.png  some sources and their regions      OUT/truth.png    labelled pictures: truth left, regions right

The config is one of `make shards`: its source gives the pictures that regions are proposed for, its region policy, of
any kind, proposes them. Regions of another run are compared by another call.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from region_select.follow import Counts, areas, compare_areas, count, distance, figures, kind_rows
from region_select.label import read_ahead
from region_select.learned import LearnedPolicy
from region_select.policy import Policy, Selection, item_rng, open_policy
from region_select.selector import propose
from region_select.tables import markdown
from region_select.tau import Tally, match_area
from shards.config import apply_overrides, make_config, read_config
from shards.errors import ConfigError
from shards.extensions import load_target
from shards.files import make_folder, write_bytes, write_json
from shards.masks import ARTIFACT, CLEAN, U8
from shards.progress import progress
from shards.reader import ShardReader
from shards.resize import SizePolicy, resize_item
from shards.schema import CorruptionMeta, Meta, Sample, SourceMeta, describe_mask, make_key
from shards.show import choose, write_sheet
from shards.source import Region, Reject, SourceItem, open_source

SCENES = {"miniworld": ("miniworld.world.scenes:scene_from_dict", "miniworld.source:regions_of")}
"""First word of a set's name -> how a stored scene is read and what regions it has, imported on first use."""
TAUS = (0.5, 0.3, 0.2, 0.1, 0.05, 0.02, 0.01)
SHOWN = 24


@dataclass
class Seen:
    """What was found in one set of pictures."""

    counts: list[Counts] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)
    """Some of them, to look at."""
    fallbacks: int = 0
    sweep: dict[float, list[int]] = field(default_factory=dict)
    """tau -> selected pixels of every picture, for a learned policy."""
    tally: Tally = field(default_factory=Tally)
    rejects: int = 0


def report(
    config: str | Path,
    truth: Sequence[str],
    out: Path,
    *,
    overrides: Sequence[str] = (),
    num_sources: int = 500,
    resamples: int = 1000,
) -> str:
    """Write the report and return its first lines.

    Args:
        config: a config of `make shards`, "a.b=v" of `overrides` applied. truth: labelled shards.
        num_sources: the first so many pictures of the source. resamples: of the bootstrap; 0 for no intervals.

    Raises MissingInputError, ConfigError, SchemaError, SourceError, CheckpointError, OutputError.
    """
    values = apply_overrides(read_config(config), overrides)
    if num_sources < 1:
        raise ConfigError(f"the number of sources must be 1 or more, got {num_sources}")
    region = {"policy": "blobs", "options": {}, **values.get("region", {})}
    policy = open_policy(region["policy"], region["options"])
    reader = ShardReader(list(truth))
    labelled = look_at_truth(policy, reader, int(values.get("seed", 0)))
    sources = look_at_sources(policy, values, num_sources)
    told = summarise(labelled, sources, policy, resamples)
    told["config"], told["region"], told["digest"] = str(config), region, policy.digest()
    told["truth"] = [str(path) for path in truth]
    make_folder(out)
    write_sheet(out / "sources.png", sources.samples)
    write_sheet(out / "truth.png", labelled.samples)
    text = markdown(told)
    write_bytes(out / "report.md", text.encode())
    write_json(out / "report.json", told)
    return text


def look_at_truth(policy: Policy, reader: ShardReader, seed: int) -> Seen:
    """Propose regions for labelled pictures and count them against their labels."""
    seen, shown = Seen(), set(choose(len(reader), SHOWN))
    for index in progress(range(len(reader)), "picture"):
        meta, truth = reader.meta(index), reader.mask(index)
        item = SourceItem(
            image=reader.image(index),
            uri=meta.source.uri,
            sha256=meta.source.sha256,
            caption=meta.source.caption,
            set_name=meta.source.set,
            regions=stored_regions(meta),
        )
        selection = look(policy, item, seed, seen, truth)
        seen.counts.append(count(selection.mask, truth, item.regions, truth.shape))
        if index in shown:
            sample = picture_of(len(seen.samples), item, selection)
            marked = np.array(item.image)
            marked[truth == ARTIFACT] = (marked[truth == ARTIFACT] // 2 + np.array([115, 15, 20])).astype(np.uint8)
            seen.samples.append(Sample(sample.key, sample.image, sample.mask, sample.meta, source=marked))
    return seen


def look_at_sources(policy: Policy, values: Mapping[str, Any], num_sources: int) -> Seen:
    """Propose regions for source pictures, brought to the size that the config has them at."""
    source = open_source(values["source"]["name"], **values["source"].get("options", {}))
    size = make_config(values.get("size", {}), SizePolicy, "size")
    total, seen = min(num_sources, len(source)), Seen()
    shown = set(choose(total, SHOWN))
    for index, item in read_ahead(source, range(total)):
        if isinstance(item, Reject):
            seen.rejects += 1
            continue
        item = resize_item(item, size)
        selection = look(policy, item, int(values.get("seed", 0)), seen)
        seen.counts.append(count(selection.mask, None, item.regions, item.image.shape[:2]))
        if index in shown:
            seen.samples.append(picture_of(len(seen.samples), item, selection))
    if not seen.counts:
        raise ConfigError(f"none of the first {total} pictures of source '{source.name}' can be read")
    return seen


def look(policy: Policy, item: SourceItem, seed: int, seen: Seen, truth: U8 | None = None) -> Selection:
    """The proposal for a picture; of a learned policy also what other values of tau would have selected."""
    if not isinstance(policy, LearnedPolicy):
        return policy.select([item], [item_rng(seed, item)])[0]
    heat = policy.selector.heats([item.image])[0]
    seen.tally.add(heat, truth)
    for tau in TAUS:
        other = propose(heat, tau, policy.options.limits)
        seen.sweep.setdefault(tau, []).append(0 if other.mask is None else int((other.mask == ARTIFACT).sum()))
    found = policy.propose(heat)
    seen.fallbacks += bool(found.facts["fallback"])
    return found


def stored_regions(meta: Meta) -> tuple[Region, ...]:
    """Regions of the scene that a sample's picture shows: the nearest valid one where an oracle found it."""
    known = SCENES.get(meta.source.set.split("-")[0])
    scene = meta.extra.get("nearest") or meta.scene
    if known is None or not scene:
        return ()
    read, regions = (load_target(target) for target in known)
    try:
        found: tuple[Region, ...] = regions(read(scene))
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"the scene of {meta.source.uri} cannot be read ({error}); make the set again") from error
    return found


def picture_of(number: int, item: SourceItem, selection: Selection) -> Sample:
    """A picture and its region as the contact sheet takes them."""
    mask = np.full(item.image.shape[:2], CLEAN, np.uint8) if selection.mask is None else selection.mask
    label: Literal["artifact", "clean"] = "artifact" if (mask == ARTIFACT).any() else "clean"
    digest = hashlib.sha256(item.uri.encode("utf-8", "replace")).hexdigest()
    source = SourceMeta(item.set_name, item.uri, digest, caption=item.caption)
    meta = describe_mask(Meta(label, source, corruption=CorruptionMeta(method="region")), mask)
    return Sample(make_key(0, number), item.image, mask, meta)


def summarise(labelled: Seen, sources: Seen, policy: Policy, resamples: int) -> dict[str, Any]:
    """Everything the report says, as plain values."""
    told: dict[str, Any] = {
        "num_truth": len(labelled.counts),
        "num_sources": len(sources.counts),
        "source_rejects": sources.rejects,
        "on_truth": {name: asdict(one) for name, one in figures(labelled.counts, True, resamples).items()},
        "on_sources": {name: asdict(one) for name, one in figures(sources.counts, False, resamples).items()},
        "areas": compare_areas(areas(labelled.counts, "truth"), areas(sources.counts, "selected")),
    }
    for level in ("kinds", "parts"):
        rows = kind_rows(labelled.counts, sources.counts, level)
        told[level] = [asdict(row) for row in rows]
        columns = ("selected", "selected_on_truth", "pixels")
        told[f"{level}_distance"] = {column: distance(rows, column) for column in columns}
    if isinstance(policy, LearnedPolicy):
        told["learned"] = about_tau(labelled, sources, policy)
    return told


def about_tau(labelled: Seen, sources: Seen, policy: LearnedPolicy) -> dict[str, Any]:
    """How regions of the sources depend on tau, and the tau that gives them the mean area of the labels."""
    tuning = policy.selector.tuning
    target = tuning.label_area if tuning is not None else labelled.tally.mean_truth_area
    return {
        "tau": policy.tau,
        "label_area": target,
        "tau_matching_sources": match_area(sources.tally, target),
        "fallbacks_on_sources": sources.fallbacks,
        "sweep": [asdict(row) for row in sweep_rows(labelled, sources)],
    }


@dataclass(frozen=True)
class SweepRow:
    """One value of tau within the policy's limits, without its fallback."""

    tau: float
    sources_without: float
    """Share of sources with no region."""
    sources_area: float
    truth_without: float
    truth_area: float


def sweep_rows(labelled: Seen, sources: Seen) -> Iterator[SweepRow]:
    """A row for each tau."""
    for tau in TAUS:
        cells = []
        for seen in (sources, labelled):
            selected = np.array(seen.sweep[tau], float)
            pixels = np.array([one.pixels for one in seen.counts], float)
            cells += [float((selected == 0).mean()), float((selected / np.maximum(1, pixels)).mean())]
        yield SweepRow(tau, *cells)

"""One sample made again from its JSON, its masks, the named source and the named model; then compared by pixels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from corruptor.line.batch import Batch, Loaded, Refused, Row
from corruptor.line.config import LineConfig
from corruptor.line.loader import load_picture
from corruptor.line.opinion import BAND, OPINION, open_judges
from corruptor.line.plan import Plan, make_plan
from corruptor.line.record import Recorder
from corruptor.line.run import ModelError, check_steps, open_model, published, resolve_compute
from corruptor.line.worker import Worker
from shards.build import shown
from shards.config import apply_overrides, make_config
from shards.errors import ConfigError, MissingInputError, ResumeError, SchemaError, SourceError
from shards.extensions import is_code
from shards.files import make_folder, write_bytes
from shards.growth import breaks, follow, sound_grown
from shards.masks import ARTIFACT, CLEAN, U8, unpack_cells
from shards.places import may_be_there, read_places
from shards.reader import ShardReader
from shards.schema import Codec, Meta, Sample, encode_sample
from shards.source import Source, open_source
from shards.store_run import small_files
from shards.stores import Address
from shards.writer import MANIFEST, read_manifest

T = TypeVar("T")

TOLERANCE = 1
"""Largest difference of a pixel that another batch or thread count may cause, of 255."""


@dataclass(frozen=True)
class Comparison:
    """The stored sample against the remade one."""

    key: str
    largest: int
    """Largest difference of any pixel and channel, 0..255."""
    num_pixels: int
    """Pixels that differ at all."""
    mask_pixels: int
    """Mask pixels that differ."""
    refused: str = ""
    """Where the sample was refused this time: why."""

    @property
    def same(self) -> bool:
        """Equal but for rounding."""
        return not self.refused and self.largest <= TOLERANCE and self.mask_pixels == 0

    def summary(self) -> str:
        """One line."""
        if self.refused:
            return f"{self.key}: differs, it was refused this time ({self.refused})"
        verdict = "the same" if self.same else "differs"
        pixels = f"{self.num_pixels} pixels by at most {self.largest} of 255" if self.num_pixels else "no pixel"
        return f"{self.key}: {verdict}; in the image {pixels}, in the mask {self.mask_pixels} pixels differ"


def remake(where: Path | Address, key: str, out: Path | None, overrides: Sequence[str] = ()) -> Comparison:
    """Make sample `key` of a run again, write its files under `out` if given, and compare.

    Args:
        where: a tar of the run, or the run's folder; the manifest beside it names source and model. In a store too.
        overrides: "a.b=v" for what has moved since, such as source.options.root or model.folder.

    Raises UserError subclasses: no such sample or manifest, another picture or other weights than then.
    """
    reader = ShardReader(str(where), cache=False)
    stored = reader[reader.find(key)]
    if isinstance(where, Path):
        return remake_sample(stored, find_manifest(where), out, overrides)
    run = where.parent.parent if where.name.endswith(".tar") else where
    with small_files(run, marks=False) as folder:
        if not (folder / MANIFEST).is_file():
            raise MissingInputError(f"no {MANIFEST} in {run}; remaking needs the run that the tar is of")
        return remake_sample(stored, folder / MANIFEST, out, overrides)


def remake_sample(stored: Sample, found_manifest: Path, out: Path | None, overrides: Sequence[str]) -> Comparison:
    """As `remake`, of a sample and its run's manifest, beside which lies what else the run says of its inputs."""
    manifest = read_manifest(found_manifest)
    config, plan, digest = read_run(manifest, [*located(manifest, found_manifest.parent, overrides), *overrides])
    source = open_source(config.source.name, **config.source.options)
    source = follow(source, found_manifest.parent, manifest, plan.sources_per_shard).source
    source.needs_masks = False  # the sample has its mask
    loaded = load_picture_of(source, config, stored.meta)
    backbone = open_model(config.model, config.compute.device)
    found = backbone.digest()
    if found != digest:
        raise ModelError(
            f"model {config.model.folder} has other files than the run was made with (sha256 {found[:16]}, "
            f"then {digest[:16]}); name the right one: --set model.folder=DIR"
        )
    check_steps(config, backbone)
    check_sides(loaded, stored, backbone.size_multiple)
    recorder = Recorder(backbone, published(config), plan, stored.meta.config_hash, digest)
    judges = open_judges(config.corruption.verification, config.compute.device)
    worker = Worker(backbone, config, plan, recorder, judges)
    row = Row(
        loaded=loaded,
        variant=stored.meta.variant,
        mask=proposed_mask(stored),
        clean=not stored.meta.region.policy,  # a sham is not injected, and still no clean sample
        facts=chosen if isinstance(chosen := stored.meta.region.options.get("chosen"), dict) else {},
    )
    done = worker.work(Batch(0, (row,)))
    if done.refused:
        return refused(stored.key, done.refused[0])
    remade = done.samples[0]
    if out is not None:
        write_sample(out, remade, config.samples.codec)
    return compare(stored, remade)


def find_manifest(where: Path) -> Path:
    """The manifest of a run's folder or of the run that a tar belongs to. Raises MissingInputError."""
    for folder in (where, where.parent, where.parent.parent):
        if (folder / MANIFEST).is_file():
            return folder / MANIFEST
    raise MissingInputError(f"no {MANIFEST} beside {where}; remaking needs the folder of the run")


def located(manifest: dict[str, Any], folder: Path, overrides: Sequence[str]) -> Iterator[str]:
    """Overrides "a.b=v" for what a manifest has by its name alone: where that lay when the run was made here.

    Raises MissingInputError for a place that is not known, and that no override names.
    """
    told, known = manifest.get("places", []), read_places(folder)
    named = [text.partition("=")[0].strip() + "." for text in overrides]
    for name in told if isinstance(told, list) else []:
        if not str(name).startswith(("source.options.", "model.", f"{OPINION}.", f"{BAND}.")) or any(
            f"{name}.".startswith(one) for one in named
        ):
            continue
        value: Any = manifest.get("config")
        for part in name.split("."):
            value = value.get(part) if isinstance(value, dict) else None
        if may_be_there(known.get(name)):
            yield f"{name}={known[name]!r}"
        elif not may_be_there(value):
            raise MissingInputError(
                f"{name} was {shown(value)} on the machine that made this run, and is not known here; say where it "
                f"lies: --set {name}=PATH"
            )


def read_run(manifest: dict[str, Any], overrides: Sequence[str]) -> tuple[LineConfig, Plan, str]:
    """Config, plan and the model's sha256 from a manifest. Raises ConfigError."""
    values = dict(part_of(manifest, "config", dict))
    values["model"] = dict(part_of(values, "model", dict))
    digest = part_of(values["model"], "digest", str)
    del values["model"]["digest"]
    region = part_of(values, "region", dict)
    values["region"] = {name: value for name, value in region.items() if name != "digest"}
    name = part_of(part_of(values, "source", dict), "name", str)
    if is_code(name) and not any(text.startswith("source.name=") for text in overrides):
        raise ConfigError(
            f"the source of this run is code of its maker's own, {name}; what a manifest names is not run: if you have "
            f"that code and trust it, name it: --set source.name=FILE.py:NAME"
        )
    config = resolve_compute(make_config(apply_overrides(values, overrides), LineConfig, MANIFEST))
    items = part_of(part_of(manifest, "source", dict), "items", int)
    grown = sound_grown(manifest.get("grown", []), items) or ()
    return config, make_plan(config, items, breaks(grown)), digest


def part_of(values: dict[str, Any], name: str, kind: type[T]) -> T:
    """A value of a manifest that must be there. Raises ResumeError."""
    value = values.get(name)
    if not isinstance(value, kind) or isinstance(value, bool):
        raise ResumeError(
            f"{MANIFEST} has no {name!r} of type {kind.__name__}: it is damaged, or of no run of the line"
        )
    return value


def load_picture_of(source: Source, config: LineConfig, meta: Meta) -> Loaded:
    """The picture the sample was made of. Raises SourceError if it is another now."""
    name = f"item {meta.source.index} of the source ({meta.source.uri})"
    if not 0 <= meta.source.index < len(source):
        raise SourceError(f"{name} is not there: the source has {len(source)} items now")
    loaded = load_picture(source, meta.source.index, config.size, 1)
    if isinstance(loaded, Refused):
        reason = loaded.reject.reason if loaded.reject else "refused"
        raise SourceError(f"{name} cannot be used now ({reason})")
    if loaded.item.sha256 != meta.source.sha256:
        raise SourceError(
            f"{name} is now {loaded.item.uri} with sha256 {loaded.item.sha256[:16]}, then {meta.source.sha256[:16]}; "
            f"name the source as it was: --set source.options..."
        )
    return loaded


def check_sides(loaded: Loaded, stored: Sample, multiple: int) -> None:
    """That the picture has the sample's size, and one that the model takes. Raises SourceError."""
    height, width = loaded.size
    if (height, width) != stored.mask.shape or height % multiple or width % multiple:
        raise SourceError(
            f"{stored.key}: its picture is {width}x{height} now; it must be {stored.mask.shape[1]}x"
            f"{stored.mask.shape[0]} as the sample is, in multiples of {multiple}"
        )


def proposed_mask(stored: Sample) -> U8:
    """The mask as the policy gave it: verification may have taken components out of the label."""
    packed = stored.meta.extra.get("proposed_mask")
    if packed is None:
        return stored.mask
    injected = unpack_cells(packed) if isinstance(packed, str) else None
    if injected is None or injected.shape != stored.mask.shape:
        raise SchemaError(f"{stored.key}: its proposed_mask is no mask of the picture's size; the sample is damaged")
    # Ignored padding stays; what verification set to ignore was injected and is overwritten here.
    base = np.where(stored.mask == ARTIFACT, np.uint8(CLEAN), stored.mask)
    return np.where(injected, np.uint8(ARTIFACT), base)


def compare(stored: Sample, remade: Sample) -> Comparison:
    """Count the pixels that differ."""
    difference = np.abs(stored.image.astype(np.int16) - remade.image.astype(np.int16)).max(axis=-1)
    changed = int(np.count_nonzero(stored.mask != remade.mask))
    return Comparison(stored.key, int(difference.max()), int(np.count_nonzero(difference)), changed)


def refused(key: str, one: Refused) -> Comparison:
    """The sample was made then and is refused now."""
    reason = f"{one.reject.reason}: {one.reject.detail}" if one.reject else ""
    return Comparison(key, 0, 0, 0, reason)


def write_sample(out: Path, sample: Sample, codec: Codec) -> None:
    """The sample's members as files. Raises OutputError."""
    make_folder(out)
    for extension, data in encode_sample(sample, codec).items():
        write_bytes(out / f"{sample.key}.{extension}", data)

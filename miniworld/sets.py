"""The labelled sets of the embedded world, written as shards: what human labels are for photographs.

Wild sets are sampled from the generator and labelled by the oracle; drawn faults have exact masks; both those and the
clean test pictures go through the autoencoder, so that its traces give nothing away. Every picture is a function of its
seed, every shard of its number: a killed run resumes where it was, and equal weights give equal bytes. `wild-balanced`
is drawn from `wild-pool` (miniworld/balance.py).
"""

from __future__ import annotations

import hashlib
import io
import json
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from miniworld.source import LICENCE
from miniworld.world.faults import Drawn, random_fault
from miniworld.world.render import render
from miniworld.world.scenes import Scene, caption, sample_scene
from miniworld.world.splits import SPLITS
from shards.build import plain
from shards.errors import ConfigError, MissingInputError
from shards.pool import open_pool
from shards.progress import GOES_ON, progress
from shards.schema import CorruptionMeta, Meta, ModelMeta, Sample, SizeMeta, SourceMeta, encode_sample, make_key
from shards.writer import RunInfo, RunWriter

Pixels = NDArray[np.uint8]
VERSION = "v1"
FOLDER = Path(__file__).parent / "sets"
PER_SHARD = 50
MODEL_ID = "blemish-miniworld"


@dataclass(frozen=True)
class SetSpec:
    """One labelled set; its name is its split's."""

    count: int
    make: str
    """Wild | faults | clean."""
    title: str
    shipped: bool = True
    """False: made where it is asked for by name, and no part of the repository."""
    without: str = ""
    """Wild: seeds whose captions name this kind of thing are passed over."""
    small: bool = False
    """Pictures as small as those of the repository, where some of them go there."""


SETS: dict[str, SetSpec] = {
    "select": SetSpec(100, "wild", "Blemish miniworld: wild pictures for region selection"),
    "validation": SetSpec(200, "wild", "Blemish miniworld: wild validation pictures"),
    "wild-test": SetSpec(1000, "wild", "Blemish miniworld: wild test pictures in their natural mix"),
    "faults-test": SetSpec(500, "faults", "Blemish miniworld: test pictures with drawn faults"),
    "clean-test": SetSpec(500, "clean", "Blemish miniworld: clean test pictures"),
    "wild-train": SetSpec(2000, "wild", "Blemish miniworld: wild pictures to train on", shipped=False),
    # Free of the generator and of the oracle: exact masks, a thousand in minutes.
    "faults-train": SetSpec(1000, "faults", "Blemish miniworld: pictures with drawn faults to train on", shipped=False),
    "clean-train": SetSpec(1000, "clean", "Blemish miniworld: clean pictures to train on", shipped=False),
    # Of three hundred signs one is whole: no set that can be sampled in hours has as many whole as broken ones.
    "wild-pool": SetSpec(
        1800,
        "wild",
        "Blemish miniworld: wild pictures without signs, to draw from",
        shipped=False,
        without="sign",
        small=True,
    ),
}
SHIPPED = tuple(name for name, spec in SETS.items() if spec.shipped)


@dataclass(frozen=True)
class Job:
    """What every shard of one call shares; plain values, so that worker processes can be given it."""

    out: Path
    weights: Path
    steps: int
    guidance: float
    scale: float = 1.0
    """Share of each set's count that is made; below 1 for a trial."""


def make_sets(job: Job, names: Sequence[str] = SHIPPED, processes: int = 2) -> dict[str, dict[str, Any]]:
    """Write the named sets to job.out/NAME and return each one's totals. A finished set is never made anew.

    Raises ConfigError for an unknown set, MissingInputError without weights, ResumeError where an unfinished set was
    begun with something else.
    """
    for name in names:
        if name not in SETS:
            raise ConfigError(f"unknown set {name!r}: choose from {', '.join(SETS)}")
    work = [name for name in names if finished(job.out / name) is None]
    if work and not (job.weights / "model_index.json").exists():
        raise MissingInputError(f"{job.weights} holds no generator: train one with `python -m miniworld train`")
    runs = {name: open_run(job, name) for name in work}
    todo = [(job, name, shard) for name, run in runs.items() for shard in run.todo()]
    if todo:
        with open_pool(min(processes, len(todo))) as pool:
            for _ in progress(pool.imap_unordered(make_shard, todo), "shard", total=len(todo), resumes=GOES_ON):
                pass
    totals = {name: run.finalise() for name, run in runs.items()}
    return {name: totals.get(name) or finished(job.out / name) or {} for name in names}


def finished(folder: Path) -> dict[str, Any] | None:
    """The totals of a set that is complete, None otherwise."""
    path = folder / "manifest.json"
    if not path.exists():
        return None
    totals: dict[str, Any] | None = json.loads(path.read_text(encoding="utf-8")).get("totals")
    return totals


def open_run(job: Job, name: str) -> RunWriter:
    """The run folder of a set, new or resumed."""
    spec, split = SETS[name], SPLITS[name]
    count = max(1, round(spec.count * job.scale))
    model = model_revision(job.weights)
    config: dict[str, Any] = {"set": name, "make": spec.make, "count": count, "per_shard": PER_SHARD, "model": model}
    if spec.make == "wild":
        config |= {"steps": job.steps, "guidance": job.guidance}
    if spec.without:
        config |= {"without": spec.without}
    source = {"name": f"miniworld-{name}", "items": count, "fingerprint": f"seeds from {split.start}"}
    return RunWriter(job.out / name, RunInfo(config, source, -(-count // PER_SHARD), spec.title, LICENCE))


@cache
def model_revision(weights: Path) -> str:
    """16 hex digits over the generator's tensors."""
    digest = hashlib.sha256()
    for path in sorted(weights.glob("*/*.safetensors")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


@cache
def _pipeline(weights: Path) -> Any:
    from miniworld.generator.sample import load_pipeline

    return load_pipeline(weights)


def make_shard(task: tuple[Job, str, int]) -> None:
    """One shard of one set; what is done already is not looked at."""
    job, name, shard = task
    run = open_run(job, name)
    count = run.info.config["count"]
    indices = range(shard * PER_SHARD, min(count, (shard + 1) * PER_SHARD))
    maker = {"wild": wild, "faults": faulty, "clean": clean}[SETS[name].make]
    samples = maker(job, name, indices)
    with run.shard(shard) as out:
        for row, (index, sample) in enumerate(zip(indices, samples, strict=True)):
            meta = replace(sample.meta, config_hash=run.hash, source=replace(sample.meta.source, index=index))
            keyed = replace(sample, key=make_key(shard, row), meta=meta)
            out.write_members(keyed.key, members(keyed, SETS[name]), artifact=bool(keyed.mask.any()))


def members(sample: Sample, spec: SetSpec) -> dict[str, bytes]:
    """The sample's files. A picture for the repository is as small as lossless WebP makes it, which takes 0.16 s."""
    if not (spec.shipped or spec.small):
        return encode_sample(sample)
    buffer = io.BytesIO()
    Image.fromarray(sample.image).save(buffer, "WEBP", lossless=True, quality=100, method=6)
    return encode_sample(sample) | {"webp": buffer.getvalue()}


def wild(job: Job, name: str, indices: Sequence[int]) -> list[Sample]:
    """Guided samples of the split's captions, labelled by the oracle; empty truth included."""
    from miniworld.generator.sample import sample_images
    from miniworld.oracle.explain import explain

    scenes = list(islice(scenes_of(name), indices[0], indices[-1] + 1))
    words = [caption(s) for s in scenes]
    seeds = [s.seed for s in scenes]
    pictures = sample_images(_pipeline(job.weights), words, seeds, steps=job.steps, guidance=job.guidance)
    out = []
    for scene, image in zip(scenes, pictures, strict=True):
        told = explain(image, scene)
        extra = {
            "found": [bool(f) for f in told.found],
            "misaligned": plain(told.misaligned),
            "nearest": short(told.scene.to_dict()),
            "steps": job.steps,
            "guidance": job.guidance,
        }
        out.append(labelled(job, name, scene, image, np.asarray(told.mask, np.uint8), extra))
    return out


def scenes_of(name: str) -> Iterator[Scene]:
    """The scenes of a wild set, in the order of their seeds."""
    split, without = SPLITS[name], SETS[name].without
    scenes = (sample_scene(split.seed(i)) for i in range(split.count))
    return (scene for scene in scenes if without not in {thing.kind for thing in scene.things})


def faulty(job: Job, name: str, indices: Sequence[int]) -> list[Sample]:
    """Scenes with one or two drawn faults, after the autoencoder. Their valid twins are the scenes of their seeds."""
    from miniworld.generator.sample import round_trip

    drawn = [drawable(name, i) for i in indices]
    trips = round_trip(_pipeline(job.weights), np.stack([d.image for d in drawn]))
    out = []
    for d, image in zip(drawn, trips, strict=True):
        told = [{"kind": f.kind, "thing": f.thing, "details": f.details} for f in d.faults]
        out.append(labelled(job, name, d.scene, image, d.mask, {"faults": told}))
    return out


def drawable(name: str, index: int) -> Drawn:
    """The drawn fault at an index of a split: of the first of its candidate seeds whose scene shows one plainly."""
    split, stride = SPLITS[name], SETS[name].count
    for at in range(index, split.count, stride):
        seed = split.seed(at)
        drawn = random_fault(sample_scene(seed), np.random.default_rng([seed, 1]))
        if drawn is not None:
            return drawn
    raise AssertionError(f"no scene of {name} can carry a fault at index {index}")


def clean(job: Job, name: str, indices: Sequence[int]) -> list[Sample]:
    """Valid scenes after the autoencoder."""
    from miniworld.generator.sample import round_trip

    scenes = [sample_scene(SPLITS[name].seed(i)) for i in indices]
    trips = round_trip(_pipeline(job.weights), np.stack([render(s) for s in scenes]))
    empty = np.zeros(trips.shape[1:3], np.uint8)
    return [labelled(job, name, s, image, empty, {}) for s, image in zip(scenes, trips, strict=True)]


def labelled(job: Job, name: str, scene: Scene, image: Pixels, mask: Pixels, extra: dict[str, Any]) -> Sample:
    """A sample without its key: image uint8 HWC, mask uint8 HW with 0 and 1."""
    height, width = mask.shape
    meta = Meta(
        label="artifact" if mask.any() else "clean",
        source=SourceMeta(
            set=f"miniworld-{name}",
            uri=f"miniworld:{scene.seed}",
            sha256=hashlib.sha256(np.ascontiguousarray(image).tobytes()).hexdigest(),
            caption=caption(scene),
            licence=LICENCE,
            width=width,
            height=height,
        ),
        seed=scene.seed,
        model=ModelMeta(MODEL_ID, model_revision(job.weights), LICENCE),
        corruption=CorruptionMeta(),
        size=SizeMeta(width=width, height=height),
        scene=short(scene.to_dict()),
        extra=extra,
    )
    return Sample(make_key(0, 0), np.ascontiguousarray(image), mask, meta)


def short(value: Any) -> Any:
    """Plain values with floats cut to 3 decimals: finer than any pixel shows (the seed gives the rest)."""
    if isinstance(value, float):
        return round(value, 3)
    if isinstance(value, dict):
        return {k: short(v) for k, v in value.items()}
    return [short(v) for v in value] if isinstance(value, (list, tuple)) else value


def sizes(folder: Path) -> tuple[int, int]:
    """Bytes of all files below a folder: as they lie there, and deflated, as git and wheels carry them."""
    plain_bytes = packed = 0
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        data = path.read_bytes()
        plain_bytes += len(data)
        packed += len(zlib.compress(data, 6))
    return plain_bytes, packed

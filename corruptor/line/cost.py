"""What a run will cost, before anything is loaded: denoiser passes, floating-point operations, hours, bytes.

Nothing here touches the network or a model's weights. Bounds are upper ones: a picture in which no region is found is
never inverted.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from corruptor.config import METHODS, CorruptionConfig
from corruptor.guidance import CLASSIFIER_FREE, Guidance
from corruptor.line.cards import Gpu, memory_line, memory_of
from corruptor.line.config import LineConfig, ModelConfig
from corruptor.model_folder import check_network
from corruptor.model_zoo import COSTS, KNOWN, Cost, Costs, KnownModel, ddim_grid
from corruptor.schedule import Schedule, num_inversion_passes
from shards.config import INSTALLED
from shards.errors import ConfigError
from shards.guard.json_text import read_object
from shards.stores import Address

if TYPE_CHECKING:
    from corruptor.line.inspect_source import Inspection

CELL = 8
"""Pixels a latent cell and side of every well-known model."""
UTILISATION = 0.4
"""Share of a card's peak that is counted on; what a well-fed UNet reaches, not measured by us."""
BYTES_PER_512 = {"webp": 343_000, "png": 452_000, "jpg": 100_000}
"""Of a stored picture of 512 x 512 pixels, by codec; in proportion to pixels for others."""
BYTES_BESIDE = 6_000
"""Mask, JSON and tar headers of a sample."""
FEWEST_SOURCES = 1000
"""What a plan is made for where the number of pictures is not known."""


@dataclass(frozen=True)
class Passes:
    """Denoiser samples and VAE calls for one source picture with all its variants."""

    inversion: int
    resampling: int
    encodes: int
    decodes: int

    @property
    def nfe(self) -> int:
        """Denoiser samples; classifier-free guidance counts twice."""
        return self.inversion + self.resampling


@dataclass(frozen=True)
class Work:
    """TFLOP for one source picture."""

    denoiser: float
    vae: float


@dataclass(frozen=True)
class Grid:
    """What counting passes takes to know of a model."""

    schedule: Schedule
    guidance: Guidance


DDIM_GRID = Grid(ddim_grid(), CLASSIFIER_FREE)


def sampling_grid(model: ModelConfig, height: int, width: int) -> Grid:
    """Of a model for pictures of height x width pixels: from the table for known ones, else from its configs, else
    DDIM's. Raises ConfigError for configs that make none."""
    known = KNOWN.get(model.folder)
    folder = None if known else local_configs(model)
    if known is not None:
        cells = (height // CELL, width // CELL)
        return Grid(known.schedule.for_size(*cells), known.guidance)
    if folder is None or not (folder / "model_index.json").is_file():
        return DDIM_GRID
    from corruptor.families.table import family_of  # a known model is planned without torch

    try:
        family = family_of(folder)
    except (OSError, ValueError) as error:
        raise ConfigError(f"model {model.folder}: {error}") from error
    return Grid(ddim_grid(family.spacing), family.guidance)


def count_passes(config: CorruptionConfig, num_variants: int, grid: Grid = DDIM_GRID) -> Passes:
    """Exactly what `corruptor.corrupt` does for one picture; with a ladder, for one that needs all its tries.

    Raises ConfigError where the model cannot do what is asked of it.
    """
    row = METHODS[config.injection.method]
    schedule = grid.schedule.with_steps(config.num_grid_steps)
    try:
        grid.guidance.check(config)
        schedule.check(config)
    except ValueError as error:
        raise ConfigError(f"corruption: {error}") from error
    inversion = num_inversion_passes(schedule, config.lowest_step, config.inversion)
    ladder = config.ladder
    steps = ladder.all_steps(config.start_step) if ladder else (config.start_step,)
    each = [len(schedule.descending(step, config.resampling.num_steps)) for step in steps if row.resampled]
    return Passes(
        inversion=inversion * grid.guidance.samples_at(config.inversion.guidance_scale),
        resampling=sum(each) * grid.guidance.samples_at(config.resampling.guidance_scale) * num_variants,
        encodes=1 + num_variants * len(steps) * (config.injection.resolved_act_on == "image"),
        decodes=1 + num_variants * len(steps),
    )


def count_work(passes: Passes, costs: Costs, height: int, width: int) -> Work:
    """TFLOP for one picture of height x width pixels."""
    encode, decode = costs.encode.at(height, width), costs.decode.at(height, width)
    return Work(passes.nfe * costs.denoiser.at(height, width), passes.encodes * encode + passes.decodes * decode)


def seconds_on(gpu: Gpu, work: Work, model: ModelConfig, vae_in_float32: bool) -> float:
    """Seconds a picture on one card at UTILISATION of its peak."""
    denoiser_peak = gpu.half_tflops / (2 if model.dtype == "float32" else 1)
    in_full = model.vae_dtype == "float32" or model.dtype == "float32" or (model.vae_dtype == "auto" and vae_in_float32)
    vae_peak = gpu.half_tflops / (2 if in_full else 1)
    return (work.denoiser / denoiser_peak + work.vae / vae_peak) / UTILISATION


def bytes_of_samples(config: LineConfig, num_rows: int, height: int, width: int, bytes_each: float = 0.0) -> int:
    """Of all shards, were every row to become a sample; bytes_each: of a picture that was encoded, 0 for none."""
    pictures = 2 if config.samples.source_twin else 1
    each = bytes_each or BYTES_PER_512[config.samples.codec] * height * width / 512**2
    return round(num_rows * (pictures * each + BYTES_BESIDE))


def bytes_to_fetch(model: ModelConfig) -> int:
    """Of the hub ids that a config names, known ones; 0 for local models."""
    known, vae = KNOWN.get(model.folder), KNOWN.get(model.vae)
    total = 0.0 if known is None else known.gigabytes * (0.5 if model.variant else 1.0)
    return round((total + (vae.gigabytes if vae else 0.0)) * 1e9)


def costs_of(model: ModelConfig, height: int, width: int) -> Costs | None:
    """Costs of a model's networks: from the table for known ones, else counted from its configs; None without any."""
    known = KNOWN.get(model.folder)
    if known is not None:
        return COSTS.get(known.shape)  # of a VAE alone nothing is known
    folder = local_configs(model)
    if folder is None:
        return None
    from corruptor.shapes import count_flops, known_shape

    try:
        found = [(name, folder / name / "config.json") for name in ("unet", "transformer", "vae")]
        configs = {name: path for name, path in found if path.is_file()}
        if len(configs) != 2 or "vae" not in configs:
            return None
        for path in configs.values():
            check_network(path)
        denoiser, vae = (read_object(path) for path in configs.values())
        shape = known_shape(denoiser, vae)
        if shape:
            return COSTS[shape]
        from corruptor.families.table import FAMILIES, family_of

        row = family_of(folder)
        family = next(name for name, one in FAMILIES.items() if one is row)
        flops = count_flops(family, denoiser, vae, height, width)
    except Exception as error:  # diffusers raises a dozen unrelated types on configs that are none
        raise ConfigError(f"model {model.folder}: its configs make no network ({error}); fetch it again") from error
    area = height * width / 512**2
    return Costs(*(Cost(each / 1e12 / area, 0.0) for each in (flops.denoiser, flops.encode, flops.decode)))


def local_configs(model: ModelConfig) -> Path | None:
    """The folder on this disk with a model's configs, as given or beside the installed packages."""
    for folder in (Path(model.config or model.folder), INSTALLED / model.folder):
        if folder.is_dir():
            return folder
    return None


def vae_overflows(model: ModelConfig, known: KnownModel | None) -> bool:
    """Whether the VAE is one that runs in float32 beside a UNet in half precision."""
    return known is not None and known.vae_in_float32 and not model.vae


def cost_lines(config: LineConfig, found: Inspection, gpu: Gpu, out: Path | Address) -> list[str]:
    """The plan's cost in words. Where the number of pictures is not known, computed for a thousand."""
    num_sources, height, width = found.count, found.height, found.width
    known = KNOWN.get(config.model.folder)
    sources = num_sources or FEWEST_SOURCES
    rows = sources * config.samples.num_variants
    passes = count_passes(config.corruption, config.samples.num_variants, sampling_grid(config.model, height, width))
    lines = [] if num_sources else [f"the number of pictures is not known yet: what follows is for {sources:,}"]
    most = "at most " if config.corruption.ladder else ""
    lines.append(
        f"a picture: {most}{passes.nfe} NFE ({passes.inversion} inversion, {passes.resampling} resampling), "
        f"{passes.encodes} x VAE encode, {passes.decodes} x decode at {width} x {height}"
    )
    costs = costs_of(config.model, height, width)
    if costs is None:
        lines.append(f"FLOPs and hours: not known for {config.model.folder}, whose configs are not here")
    else:
        work = count_work(passes, costs, height, width)
        full = vae_overflows(config.model, known)
        hours = sources * seconds_on(gpu, work, config.model, full) / 3600
        lines.append(
            f"a picture: {work.denoiser:.3g} TFLOP in the denoiser, {work.vae:.3g} in the VAE; "
            f"all: {sources * (work.denoiser + work.vae) / 1000:,.0f} PFLOP, {sources * passes.nfe:,} NFE"
        )
        lines.append(
            f"about {readable_hours(hours)} on one {gpu.name} ({gpu.half_tflops:g} TFLOP/s in half precision, "
            f"{UTILISATION:.0%} of it used{', VAE in TF32' if full else ''}), computed, not measured; several share it"
        )
    memory = memory_of(config.model, known, height, width) if known else None
    if memory is not None:
        lines.append(memory_line(memory, config.compute.batch_size))
    return [*lines, disk_line(config, rows, found, out)]


def disk_line(config: LineConfig, rows: int, found: Inspection, out: Path | Address) -> str:
    """Bytes of samples and models, and what is free where they go."""
    needed = bytes_of_samples(config, rows, found.height, found.width, found.bytes_each)
    fetched = bytes_to_fetch(config.model)
    codec = config.samples.codec
    basis = f"{found.num_encoded} of the pictures" if found.num_encoded else "photographs of this size"
    parts = [f"about {readable_bytes(needed)} should every row become a sample (by {basis} as {codec})"]
    if fetched:
        parts.append(f"{fetched / 1e9:.3g} GB of weights in the hub's cache")
    if found.remote:
        parts.append("source pictures are read by range and not stored")
    if not isinstance(out, Path):
        return f"disk: {', '.join(parts)}; in the object store, and one shard at a time on this machine"
    there = next(folder for folder in (out.absolute(), *out.absolute().parents) if folder.exists())
    free = shutil.disk_usage(there).free
    short = "" if free > needed else ": NOT ENOUGH"
    return f"disk: {', '.join(parts)}; {free / 1e9:.3g} GB free at {there}{short}"


def readable_bytes(count: float) -> str:
    """ "6.92 GB", "7.6 MB"."""
    return f"{count / 1e9:.3g} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"


def readable_hours(hours: float) -> str:
    """ "3.2 h", "12 min", "40 s"."""
    if hours >= 1:
        return f"{hours:.1f} h"
    return f"{hours * 60:.0f} min" if hours * 60 >= 1 else f"{max(hours * 3600, 1):.0f} s"


def declared_count(options: Mapping[str, Any]) -> int:
    """How many pictures a source's options ask for, without opening it; 0 where they do not say."""
    select = options.get("select")
    told = [select.get("count") if isinstance(select, Mapping) else 0, options.get("limit"), options.get("count")]
    return next((count for count in told if isinstance(count, int) and count > 0), 0)

"""A finished row becomes a sample: every fact of it in the schema's fields."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from importlib import metadata
from itertools import pairwise
from typing import Any

import numpy as np

from corruptor.backbone import Backbone
from corruptor.config import METHODS
from corruptor.finish import CorruptedBatch
from corruptor.line.batch import Row
from corruptor.line.config import LineConfig
from corruptor.line.plan import Plan
from corruptor.schedule import num_inversion_passes
from corruptor.verify import ComponentChange, Verification
from shards.build import plain
from shards.masks import ARTIFACT, pack_cells
from shards.schema import (
    NOT_APPLICABLE,
    ChangeMeta,
    Component,
    CorruptionMeta,
    Meta,
    ModelMeta,
    RegionMeta,
    Sample,
    SizeMeta,
    SourceMeta,
)

PACKAGES = ("blemish", "torch", "diffusers", "transformers", "numpy", "pillow")
DECIMALS = 4
"""Of measured changes in the JSON."""


@dataclass
class Recorder:
    """Writes down what is the same in every sample once, and adds what is not."""

    backbone: Backbone
    config: LineConfig
    """As it may be published (corruptor/line/run.py)."""
    plan: Plan
    config_hash: str
    digest: str
    """sha256 of the model's files."""
    num_enlarged: int = 0
    """Samples so far of pictures that were smaller than the model takes them."""
    smallest: tuple[int, int] = (0, 0)
    """(height, width) of the smallest of these pictures."""
    num_cut: int = 0
    """Samples so far whose prompt has an end that no text encoder takes."""
    known_passes: dict[tuple[int, int], str] = field(default_factory=dict)

    def sample(self, row: Row, done: CorruptedBatch, place: int) -> Sample:
        """The sample of row `place` of a finished batch."""
        mask = done.masks_NHW[place].numpy()
        is_artifact = bool((mask == ARTIFACT).any())
        numbers, cells = done.verifications[place], done.cells_NHW[place].numpy()
        item, loaded = row.loaded.item, row.loaded
        height, width = loaded.size
        scale = self.config.size.scale(loaded.height, loaded.width)
        if scale > 1:
            first = not self.num_enlarged
            smaller = first or loaded.height * loaded.width < self.smallest[0] * self.smallest[1]
            self.smallest = (loaded.height, loaded.width) if smaller else self.smallest
            self.num_enlarged += 1
        prompt = self.config.samples.prompt_of(item.caption)
        prompt_cut = self.backbone.is_cut(prompt)
        self.num_cut += prompt_cut
        meta = Meta(
            label="artifact" if is_artifact else "clean",
            source=SourceMeta(
                set=item.set_name,
                uri=item.uri,
                sha256=item.sha256,
                occurrence=item.occurrence,
                index=loaded.index,
                caption=item.caption,
                licence=item.licence,
                width=loaded.width,
                height=loaded.height,
            ),
            variant=row.variant,
            seed=done.seeds[place],
            model=self.model,
            corruption=self.corruption(done, place, prompt),
            region=RegionMeta(
                policy="" if row.clean else self.config.region.policy,
                options={**plain(self.config.region.options), "chosen": plain(row.facts)},
            ),
            components=tuple(_component(one, numbers.policy) for one in numbers.components),
            change=_change(numbers),
            cells=pack_cells(cells) if cells.any() else "",
            size=SizeMeta(self.config.size.policy, width, height, plain(self.config.size)),
            config_hash=self.config_hash,
            versions=self.versions,
            scene=dict(item.scene or {}),
            extra={
                **_extra(row, mask, numbers, scale),
                **_damage(done, place),
                **({"prompt_cut": True} if prompt_cut else {}),
            },
        )
        twin = done.round_trips_NHWC[place].numpy() if self.config.samples.source_twin else None
        return Sample(self.plan.key(loaded.index, row.variant), done.images_NHWC[place].numpy(), mask, meta, twin)

    def corruption(self, done: CorruptedBatch, place: int, prompt: str) -> CorruptionMeta:
        """Every field of the corruption config, the resolved ones under their own names."""
        config, cells = self.config.corruption, done.cells_NHW[place]
        injected = bool(cells.any())
        start_step = done.start_steps[place]
        method = config.injection
        return CorruptionMeta(
            method=method.method if injected else "none",
            inversion=config.inversion.mode if METHODS[method.method].resampled else "none",
            passes=self.passes(cells.shape[0], cells.shape[1]),
            start_step=start_step,
            num_steps=config.num_grid_steps,
            num_resample_steps=config.resampling.num_steps or config.num_grid_steps - start_step,
            eta=config.resampling.eta,
            guidance_scale=config.resampling.guidance_scale,
            prompt=prompt,
            act_on=method.resolved_act_on,
            blend=config.resampling.blend,
            paste_back=config.paste_back,
            injected=injected,
            nfe=done.nfe_of(place),
            options=self.options,
            kind=done.kinds[place] if done.kinds else "",
        )

    @cached_property
    def model(self) -> ModelMeta:
        """A folder of this machine is named by its last part; the weights' sha256 says which it was."""
        revision = self.backbone.revision or self.digest[:16]
        return ModelMeta(self.config.model.folder, revision, self.config.model.licence or self.backbone.licence)

    def passes(self, height: int, width: int) -> str:
        """Denoiser passes of each inversion step, as "2,3,1", for pictures of height x width latent cells."""
        if (height, width) not in self.known_passes:
            config = self.config.corruption
            schedule = self.backbone.schedule.with_steps(config.num_grid_steps).for_size(height, width)
            steps = range(config.num_grid_steps, config.lowest_step - 1, -1)
            totals = [num_inversion_passes(schedule, step, config.inversion) for step in steps]
            self.known_passes[height, width] = ",".join(str(after - before) for before, after in pairwise(totals))
        return self.known_passes[height, width]

    @cached_property
    def options(self) -> dict[str, Any]:
        return dict(plain(self.config.corruption))

    @cached_property
    def versions(self) -> dict[str, Any]:
        return {name: _version(name) for name in PACKAGES}


def _component(one: ComponentChange, policy: str) -> Component:
    verdict = "keep"
    if policy == "tighten" or (policy == "trim" and not one.passed):
        verdict = "trim" if one.num_pixels_kept else "drop"
    elif not one.passed:
        verdict = policy
    inside, ring = round(one.change_inside, DECIMALS), round(one.change_ring, DECIMALS)
    return Component(one.box, one.num_pixels, inside, ring, verdict)


def _change(numbers: Verification) -> ChangeMeta:
    def where(value: float, pixels: int) -> float:
        return round(value, DECIMALS) if pixels else NOT_APPLICABLE

    return ChangeMeta(
        metric=numbers.metric,
        threshold=numbers.threshold,
        policy=numbers.policy,
        inside=where(numbers.change_inside, numbers.num_pixels_inside),
        ring=where(numbers.change_ring, numbers.num_pixels_ring),
        outside=where(numbers.change_outside, numbers.num_pixels_outside),
    )


def _extra(row: Row, mask: np.ndarray[Any, np.dtype[np.uint8]], numbers: Verification, scale: float) -> dict[str, Any]:
    """What has no field of its own: how long a caption was that was cut; the proposed mask only where the label is
    another (remaking needs it)."""
    extra: dict[str, Any] = {
        "pixel_threshold": numbers.pixel_threshold,
        "changed_shares": [round(one.changed_share, DECIMALS) for one in numbers.components],
    }
    if any(one.rise is not None for one in numbers.components):
        extra["rises"] = [round(one.rise or 0.0, DECIMALS) for one in numbers.components]
    if any(one.distance is not None for one in numbers.components):
        extra["distances"] = [round(one.distance or 0.0, DECIMALS) for one in numbers.components]
    if row.loaded.item.caption_cut:
        extra["caption_characters"] = row.loaded.item.caption_cut
    if scale > 1:
        extra["enlarged"] = round(scale, DECIMALS)
    if not np.array_equal(row.mask, mask):
        extra["proposed_mask"] = pack_cells(row.mask == ARTIFACT)
    return extra


def _damage(done: CorruptedBatch, place: int) -> dict[str, Any]:
    """Where there is a ladder: start step and try of each component, and how often the row was tried. Where a part was
    left out of the prompt: what that was then."""
    found: dict[str, Any] = {}
    if done.climbed:
        one = done.climbed[place]
        found["ladder"] = {"steps": list(one.steps), "tries": list(one.tries), "num_tries": one.num_tries}
    if done.prompts and done.prompts[place] is not None:
        found["resampling_prompt"] = done.prompts[place]
    return found


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:  # run from a checkout that is not installed
        return ""

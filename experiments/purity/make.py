"""Pictures for `experiments.purity`: scenes corrupted in every way under the same masks."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from corruptor.backbone import Backbone
from corruptor.config import METHODS, CorruptionConfig, VerificationConfig
from corruptor.corrupt import corrupt_inverted, invert_images
from corruptor.line.config import LineConfig
from corruptor.line.plan import noise_seed, region_rng
from corruptor.rows import make_rows
from corruptor.verify import verify
from experiments.purity.count import Component, Row, far_from, faults_in
from experiments.purity.labels import count_labels
from experiments.purity.opinion import Look, rises
from miniworld.source import regions_of
from miniworld.world.render import render
from miniworld.world.scenes import Scene, caption, sample_scene
from miniworld.world.splits import Split
from region_select.policy import open_policy
from shards.errors import ConfigError
from shards.source import SourceItem

Pictures = NDArray[np.uint8]
ROUND_TRIP = "round trip"
PIXEL_THRESHOLDS = (4.0, 8.0, 16.0, 24.0, 32.0)
"""For `changed_share`, beside the config's own."""


@dataclass(frozen=True)
class Setting:
    """One way to treat the sources."""

    name: str
    config: CorruptionConfig
    injected: bool = True
    """False: inverted and resampled with nothing injected, as clean samples are."""

    @property
    def noised(self) -> bool:
        """Whether it is the method itself, on which the threshold is calibrated."""
        return self.injected and self.config.injection.method == "noised"


@dataclass(frozen=True)
class Sources:
    """Scenes with the masks that were proposed for them; pictures without a region are left out."""

    numbers: tuple[int, ...]
    """Position of each in the benchmark's list."""
    scenes: tuple[Scene, ...]
    items: tuple[SourceItem, ...]
    masks_NHW: Pictures


def settings_of(base: CorruptionConfig, steps: Sequence[int], methods: Sequence[str]) -> list[Setting]:
    """The clean pass at the config's own step, `noised` at every step, every other method at its defaults.

    Raises ConfigError for a step that the grid does not have.
    """
    found = [Setting(f"clean pass, step {base.start_step}", base, injected=False)]
    for method in methods:
        for step in steps if method == "noised" else [-1]:
            chosen = replace(base.injection, method=method, start_step=step, act_on="auto")
            try:
                config = replace(base, injection=chosen)
            except ValueError as error:
                raise ConfigError(f"--steps: {error}") from error
            told = f", step {config.start_step}" if METHODS[method].resampled else ""
            found.append(Setting(f"{method}{told}", config))
    return found


def load_sources(config: LineConfig, split: Split, first: int, numbers: Sequence[int]) -> Sources:
    """Scenes `first` + number of a split, with masks by the config's region policy."""
    scenes = [sample_scene(split.seed(first + number)) for number in numbers]
    items = [_item(scene) for scene in scenes]
    policy = open_policy(config.region.policy, config.region.options)
    chosen = policy.select(items, [region_rng(config.seed, item, 0) for item in items])
    found = [
        (number, scene, item, one.mask)
        for number, scene, item, one in zip(numbers, scenes, items, chosen, strict=True)
        if one.mask is not None
    ]
    masks = [mask for *_, mask in found]
    return Sources(
        tuple(number for number, *_ in found),
        tuple(scene for _, scene, *_ in found),
        tuple(item for _, _, item, _ in found),
        np.stack(masks) if masks else np.zeros((0, 0, 0), np.uint8),
    )


def _item(scene: Scene) -> SourceItem:
    image = render(scene)
    return SourceItem(
        image=image,
        uri=f"miniworld:{scene.seed}",
        sha256=hashlib.sha256(image.tobytes()).hexdigest(),
        caption=caption(scene),
        regions=regions_of(scene),
    )


def make_pictures(
    backbone: Backbone, sources: Sources, settings: Sequence[Setting], config: LineConfig
) -> dict[str, Pictures]:
    """Every setting's pictures by its name, uint8 NHWC, and the plain round trips.

    One inversion, down to the lowest start step, serves all: inverting to a later step is the beginning of it.
    """
    base = config.corruption
    lowest = min([base.num_grid_steps - 1, *(one.config.start_step for one in settings)])
    deepest = replace(base, injection=replace(base.injection, method="noised", act_on="auto", start_step=lowest))
    images = torch.from_numpy(np.stack([item.image for item in sources.items]))
    prompts = [config.samples.prompt_of(item.caption) for item in sources.items]
    inverted = invert_images(backbone, images, prompts, deepest)
    masks = torch.from_numpy(sources.masks_NHW)
    seeds = [noise_seed(config.seed, item, 0) for item in sources.items]
    made = {ROUND_TRIP: inverted.round_trips_BHWC.numpy()}
    for one in settings:
        length = base.num_grid_steps - one.config.start_step + 1
        beginning = replace(inverted, trajectory=inverted.trajectory[:length])
        chosen = masks if one.injected else torch.zeros_like(masks)
        rows = make_rows(images, chosen, seeds)
        made[one.name] = corrupt_inverted(backbone, beginning, rows, one.config).images_NHWC.numpy()
    return made


def metric_name(metric: str, pixel_threshold: float) -> str:
    """A metric of verification as the reports call it."""
    return metric if metric == "mean_abs" else f"{metric} above {pixel_threshold:g}"


def measures_of(config: VerificationConfig) -> dict[str, VerificationConfig]:
    """Every metric that is measured, by its name."""
    kept = replace(config, policy="keep", threshold=0.0)
    found = {"mean_abs": replace(kept, metric="mean_abs")}
    for value in sorted({*PIXEL_THRESHOLDS, config.pixel_threshold}):
        name = metric_name("changed_share", value)
        found[name] = replace(kept, metric="changed_share", pixel_threshold=value)
    return found


def count_rows(
    sources: Sources,
    made: Mapping[str, Pictures],
    faults: Mapping[str, Sequence[NDArray[np.uint8]]],
    factor: int,
    config: VerificationConfig,
    opinions: Mapping[str, Look] | None = None,
) -> list[Row]:
    """The numbers of every picture of every setting."""
    measures = measures_of(config)
    rows = []
    for name, pictures in made.items():
        risen = {
            told: rises(pictures, made[ROUND_TRIP], list(sources.masks_NHW), look)
            for told, look in (opinions or {}).items()
        }
        for k, number in enumerate(sources.numbers):
            mask, fault = sources.masks_NHW[k], faults[name][k]
            numbers = {m: verify(pictures[k], made[ROUND_TRIP][k], mask, factor, c)[1] for m, c in measures.items()}
            whole = numbers["mean_abs"]
            parts = []
            for place, (size, faulty, hit) in enumerate(faults_in(mask, fault)):
                scores: dict[str, Any] = {
                    m: one.components[place].change_inside if m == "mean_abs" else one.components[place].changed_share
                    for m, one in numbers.items()
                }
                scores |= {told: many[k][place] for told, many in risen.items()}
                parts.append(Component(size, hit, faulty, scores))
            far = far_from(mask, fault, factor)
            inside, outside = whole.change_inside, whole.change_outside
            labels = count_labels(pictures[k], made[ROUND_TRIP][k], mask, fault, factor, config)
            rows.append(Row(number, name, int(fault.sum()), far, inside, outside, tuple(parts), labels))
    return rows

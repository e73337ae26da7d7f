"""The closed loop: see, inpaint, see again, and keep only what helped (Menn et al., section 5; PAL, section 3.3).

A group of pictures goes through the rounds together, so that crops of several pictures are one batch. What a picture
becomes depends on it alone, but for the rounding of batches.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

import numpy as np

from applications.repair.crops import (
    F32,
    Bool,
    Region,
    feather,
    find_regions,
    model_shape,
    radius_of,
    resized,
    resized_mask,
)
from applications.repair.inpainter import Inpainter
from applications.repair.options import MOST_REGIONS, RepairOptions
from detector.heat import Detector
from shards.masks import U8
from shards.seeds import named_seed

T = TypeVar("T")

COVERED = "its mask covers the whole picture, so nothing says what belongs there"
NOT_FINITE = "the detector's heat is not finite"
KEPT, MASS, NEW, AREA, TOGETHER = "kept", "mass", "new", "area", "together"


@dataclass(frozen=True)
class Seen:
    """What the detector sees in a picture: one look, cut at the threshold."""

    heat: F32
    mask: Bool

    @property
    def pixels(self) -> int:
        return int(np.count_nonzero(self.mask))

    def mass(self, where: Bool) -> float:
        """Sum of the probabilities under a mask."""
        return float(self.heat[where].sum(dtype=np.float64))


NO_HEAT, NO_MASK = np.zeros((0, 0), np.float32), np.zeros((0, 0), bool)
NOTHING = Seen(NO_HEAT, NO_MASK)


@dataclass(frozen=True)
class Attempt:
    """One region inpainted once, and what became of it."""

    round: int
    box: tuple[int, int, int, int]
    """Of the crop: top, left, bottom, right, ends excluded."""
    pixels: int
    """Of the dilated mask in it."""
    scale: float
    """Side of what the model was given / side of the crop."""
    seed: int
    mass_before: float
    mass_after: float
    new_pixels: int
    """Artifact pixels that appeared outside of the dilated masks of this picture."""
    verdict: str
    """KEPT, or why it was undone: MASS (it did not fall enough), NEW (artifact appeared elsewhere), AREA (the picture
    has more artifact pixels than before), TOGETHER (it helps alone, not with the others)."""


@dataclass
class Work:
    """A picture on its way through the rounds."""

    image: U8
    """uint8 HWC; replaced, never changed in place."""
    prompt: str
    name: str
    """What its seeds are named by: the sha256 of its bytes."""
    before: U8 = field(init=False)
    """The picture as it came."""
    mask_before: Bool = field(default_factory=lambda: NO_MASK)
    mass_before: float = 0.0
    """Sum of the heat over the picture as it came."""
    now: Seen = NOTHING
    weight: F32 = field(default_factory=lambda: NO_HEAT)
    """Of the dilated mask of `now`."""
    regions: list[Region] = field(default_factory=list)
    left: int = 0
    """Regions that `now` has."""
    changed: Bool = field(default_factory=lambda: NO_MASK)
    """Pixels that were replaced."""
    attempts: list[Attempt] = field(default_factory=list)
    note: str = ""

    def __post_init__(self) -> None:
        self.before = self.image


@dataclass(frozen=True)
class Trial:
    """A region's crop as the inpainter filled it, at the crop's own size."""

    work: Work
    region: Region
    seed: int
    filled: U8

    def picture(self) -> U8:
        """The whole picture with it."""
        image = self.work.image.copy()
        self.region.paste(image, self.filled)
        return image


Judged = list[tuple[Trial, Attempt]]


class Repairer:
    """Detector, inpainter and options, loaded once."""

    def __init__(self, detector: Detector, inpainter: Inpainter, options: RepairOptions) -> None:
        self.detector, self.inpainter, self.options = detector, inpainter, options
        self.least_crop = options.least_crop or max(8, inpainter.size // 4)
        self.num_filled = 0
        """Crops inpainted so far."""
        self.tell: Callable[[int], None] = lambda count: None
        """Is told that number after each batch."""

    def __call__(self, works: Sequence[Work]) -> None:
        """Take a group of pictures through all rounds. Raises RepairError."""
        for part in pieces(works, self.options.batch):
            for work, seen in zip(part, self.look([work.image for work in part]), strict=True):
                work.mask_before, work.changed = seen.mask, np.zeros(seen.mask.shape, bool)
                work.mass_before = float(seen.heat.sum(dtype=np.float64))
                self.settle(work, seen)
        for number in range(self.options.rounds):
            waiting = [(work, region) for work in works for region in work.regions]
            if not waiting:
                break
            judged: dict[int, Judged] = {}
            for trials in pieces(self.fill(waiting, number), self.options.batch):
                for trial, attempt in self.judge(trials, number):
                    judged.setdefault(id(trial.work), []).append((trial, attempt))
            self.keep([(work, judged[id(work)]) for work in works if id(work) in judged])

    def look(self, images: Sequence[U8]) -> list[Seen]:
        """uint8 HWC pictures -> what is seen in each."""
        return [Seen(heat, heat >= np.float32(self.options.threshold)) for heat in self.detector.heat(images)]

    def settle(self, work: Work, seen: Seen) -> None:
        """What there is to repair in a picture as it now is."""
        work.now, work.regions, work.left = seen, [], 0
        if not np.isfinite(seen.heat).all():
            work.note = NOT_FINITE
            return
        options = self.options
        work.weight = feather(seen.mask, radius_of(options.dilation, *seen.mask.shape))
        if (work.weight > 0).all():
            work.note, work.left = COVERED, 1
            return
        regions = find_regions(work.weight, options.zoom, self.least_crop)
        work.left = len(regions)
        if len(regions) > MOST_REGIONS:
            regions.sort(key=lambda one: -float(one.weight.sum()))
        work.regions = regions[:MOST_REGIONS]

    def fill(self, waiting: Sequence[tuple[Work, Region]], number: int) -> Iterator[Trial]:
        """Inpaint regions, those of one shape together, in an order that depends on the regions alone."""
        shapes: dict[tuple[int, int], list[tuple[Work, Region, int]]] = {}
        for work, region in waiting:
            place = next(i for i, one in enumerate(work.regions) if one is region)
            seed = named_seed(f"repair/{self.options.seed}/{work.name}/{number}/{place}")
            height, width = region.weight.shape
            shape = model_shape(height, width, self.inpainter.size, self.inpainter.multiple)
            shapes.setdefault(shape, []).append((work, region, seed))
        for shape, rows in shapes.items():
            for part in pieces(rows, self.options.batch):
                images = np.stack([resized(region.cut(work.image), shape) for work, region, _ in part])
                masks = np.stack([resized_mask(region.mask, shape) for _, region, _ in part])
                prompts, seeds = [work.prompt for work, _, _ in part], [seed for _, _, seed in part]
                filled = self.inpainter.fill(images, masks, prompts, seeds)
                self.num_filled += len(part)
                self.tell(self.num_filled)
                for (work, region, seed), one in zip(part, filled, strict=True):
                    height, width = region.weight.shape
                    yield Trial(work, region, seed, resized(one, (height, width)))

    def judge(self, trials: Sequence[Trial], number: int) -> Judged:
        """See each region alone in its picture again."""
        if not self.options.check:
            return [(trial, self.attempt(trial, number, None)) for trial in trials]
        seen = self.look([trial.picture() for trial in trials])
        return [(trial, self.attempt(trial, number, one)) for trial, one in zip(trials, seen, strict=True)]

    def attempt(self, trial: Trial, number: int, after: Seen | None) -> Attempt:
        """The record of a trial; `after` is None where it is kept unseen."""
        work, region = trial.work, trial.region
        top, left, bottom, right = region.box
        before = float(work.now.heat[top:bottom, left:right][region.mask].sum(dtype=np.float64))
        mass, new, verdict = before, 0, KEPT
        if after is not None:
            mass = float(after.heat[top:bottom, left:right][region.mask].sum(dtype=np.float64))
            new = self.new_pixels(work, after)
            verdict = self.verdict(work, before, mass, new, after)
        shape = model_shape(bottom - top, right - left, self.inpainter.size, self.inpainter.multiple)
        scale = round(max(shape) / max(bottom - top, right - left), 4)
        masked = int(np.count_nonzero(region.mask))
        return Attempt(number, region.box, masked, scale, trial.seed, round(before, 4), round(mass, 4), new, verdict)

    def verdict(self, work: Work, before: float, mass: float, new: int, after: Seen) -> str:
        if not mass <= (1 - self.options.least_drop) * before or mass >= before:  # NaN is no fall
            return MASS
        if new:
            return NEW
        return KEPT if after.pixels <= work.now.pixels else AREA

    def new_pixels(self, work: Work, after: Seen) -> int:
        """Artifact pixels outside everything that is to be repaired."""
        return int(np.count_nonzero(after.mask & (work.weight == 0)))

    def keep(self, tried: Sequence[tuple[Work, Judged]]) -> None:
        """Put what helped into the pictures; where all of it together does not help, only the best of it."""
        again: list[tuple[Work, Judged]] = []
        for part in pieces(tried, self.options.batch):
            images = [together(work, judged) for work, judged in part]
            for (work, judged), image, seen in zip(part, images, self.look(images), strict=True):
                if self.options.check and num_kept(judged) > 1 and not self.helps(work, seen):
                    again.append((work, best_alone(judged)))
                else:
                    self.take(work, judged, image, seen)
        if again:
            self.keep(again)

    def take(self, work: Work, judged: Judged, image: U8, seen: Seen) -> None:
        """The picture as it is after a round."""
        work.attempts += [attempt for _, attempt in judged]
        if not num_kept(judged):
            return
        work.image, work.changed = image, work.changed.copy()
        for trial, attempt in judged:
            if attempt.verdict == KEPT:
                top, left, bottom, right = trial.region.box
                work.changed[top:bottom, left:right] |= trial.region.mask
        self.settle(work, seen)

    def helps(self, work: Work, after: Seen) -> bool:
        """Whether nothing is worse by the detector's own measure."""
        marked = work.weight > 0
        fell = after.mass(marked) < work.now.mass(marked)
        return fell and not self.new_pixels(work, after) and after.pixels <= work.now.pixels


def together(work: Work, judged: Judged) -> U8:
    """A picture with all regions that were kept."""
    image = work.image.copy()
    for trial, attempt in judged:
        if attempt.verdict == KEPT:
            trial.region.paste(image, trial.filled)
    return image


def num_kept(judged: Judged) -> int:
    return sum(attempt.verdict == KEPT for _, attempt in judged)


def best_alone(judged: Judged) -> Judged:
    """Of what was kept only the region whose mass fell most."""
    kept = [attempt for _, attempt in judged if attempt.verdict == KEPT]
    best = max(kept, key=lambda attempt: attempt.mass_before - attempt.mass_after)
    return [
        (trial, replace(attempt, verdict=TOGETHER) if attempt.verdict == KEPT and attempt is not best else attempt)
        for trial, attempt in judged
    ]


def pieces(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Lists of at most `size`, in order."""
    part: list[T] = []
    for item in items:
        part.append(item)
        if len(part) == size:
            yield part
            part = []
    if part:
        yield part

"""The learned selector: a detector trained on a few labelled pictures, asked where a picture would break.

M_s = {x : f(I)(x) >= tau} of Menn et al. 2025, section 3.1. The same weights are the baseline detector of "100 labels"
and the labeller of pseudo-labels. One `.safetensors` file is all of it: half-precision weights, the detector's card,
and in the card what was learned about tau (`Tuning`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from region_select.limits import Limits, apply_limits
from region_select.policy import Selection
from shards.build import BuildError, build
from shards.config import INSTALLED
from shards.errors import ConfigError, MissingInputError
from shards.files import hash_file
from shards.masks import ARTIFACT, CLEAN, U8

if TYPE_CHECKING:
    from detector.heat import Detector

Heat = NDArray[np.float32]
Tau = float | Literal["match_area", "best_iou"]
Fallback = Literal["none", "hottest"]
SELECTOR, PLAIN_WEIGHTS = "selector.safetensors", "weights.safetensors"
FACTS = "selector"
"""Where the card's facts hold the tuning."""
SHIPPED = Path("region_select/weights")
"""Where weights that come with this package lie; the Makefile makes those that do not."""
ANY = Limits()
"""No limits."""


@dataclass(frozen=True)
class Tuning:
    """What is known about tau, from labelled pictures. Areas are mean shares of a picture, 0..1."""

    num_labels: int
    """Labelled pictures that the selector learned from."""
    label_area: float
    """Mean area of their labels, pictures without a fault included."""
    num_validation: int = 0
    validation_area: float = 0.0
    """Mean area of the labels of the validation pictures."""
    half_area: float = 0.0
    """Mean area that tau = 0.5 selects there."""
    half_iou: float = 0.0
    """Artifact IoU of tau = 0.5 there."""
    taus: dict[str, float] = field(default_factory=dict)
    """match_area and best_iou, chosen on the validation pictures; empty without any."""
    ious: dict[str, float] = field(default_factory=dict)
    """The artifact IoU of each of them there."""


class Selector:
    """Looks at pictures of any size; larger or smaller ones are resized for it and the heat brought back.

    Args:
        detector: the network. tuning: None for a plain detector, which then only takes tau as a number.
        chunk: pictures a forward pass, filled up to this number, so that the network always sees one shape.
            1: a picture's heat is a function of the picture alone, to the bit (on one machine and thread count).
    """

    def __init__(self, detector: Detector, digest: str, tuning: Tuning | None = None, chunk: int = 1) -> None:
        if chunk < 1:
            raise ConfigError(f"chunk must be 1 or more, got {chunk}")
        self.detector, self.digest, self.tuning, self.chunk = detector, digest, tuning, chunk

    @classmethod
    def load(cls, where: str | Path, device: str = "auto", chunk: int = 1) -> Selector:
        """From a file, or from the folder of a training. device: auto, cpu, cuda or cuda:N.

        Raises MissingInputError, CheckpointError (damaged, other classes than clean and artifact), ConfigError.
        """
        from detector.errors import CheckpointError
        from detector.heat import Detector, pick_device

        path = find_weights(where)
        chosen = pick_device(device)
        if chosen.type == "cuda" and chosen.index is None:
            import torch

            # Which card `cuda` is belongs to a thread; the heat may be asked for in another one.
            chosen = torch.device("cuda", torch.cuda.current_device())
        detector = Detector(path, device=str(chosen))
        facts = detector.card.facts.get(FACTS)
        try:
            tuning = None if facts is None else build(Tuning, facts)
        except BuildError as error:
            raise CheckpointError(f"{path}: what it says of tau cannot be used ({error})") from error
        return cls(detector, hash_file(path), tuning, chunk)

    def tau(self, tau: Tau) -> float:
        """The number that a named tau stands for. Raises ConfigError."""
        if isinstance(tau, str):
            known = self.tuning.taus if self.tuning is not None else {}
            if tau not in known:
                raise ConfigError(
                    f"tau '{tau}' is not known to these weights: they were trained without validation pictures; "
                    "train with --val, or give tau as a number"
                )
            tau = known[tau]
        check_tau(tau)
        return tau

    def heat(self, images: U8 | Sequence[U8]) -> Heat:
        """uint8 NHWC RGB (or N pictures of one size) -> float32 NHW, the probability 0..1 of an artifact."""
        return np.stack(self.heats(list(images)))

    def heats(self, images: Sequence[U8]) -> list[Heat]:
        """As `heat`, for pictures of any sizes: float32 HW of each picture's own size."""
        from detector.heat import enlarge

        found: list[Heat] = []
        for first in range(0, len(images), self.chunk):
            group = images[first : first + self.chunk]
            prepared = [self.detector.prepare(image) for image in group]
            prepared += prepared[-1:] * (self.chunk - len(group))
            small = self.detector.look(prepared)
            found += [enlarge(one, *image.shape[:2]) for one, image in zip(small, group, strict=False)]
        return found

    def masks(
        self,
        images: U8 | Sequence[U8],
        tau: Tau = 0.5,
        limits: Limits = ANY,
        fallback: Fallback = "none",
        fallback_area: float = 0.0,
    ) -> list[Selection]:
        """A region for each picture, or why there is none (`mask` None); see `propose` for the arguments."""
        cut = self.tau(tau)
        area = self.fallback_area(fallback, fallback_area)
        return [propose(heat, cut, limits, area) for heat in self.heats(list(images))]

    def fallback_area(self, fallback: Fallback, area: float = 0.0) -> float:
        """Share of the picture that the fallback selects; 0 for no fallback. `area` 0 takes the labels' mean.

        Raises ConfigError for a fallback whose area nobody knows.
        """
        if fallback == "none":
            return 0.0
        known = area or (self.tuning.label_area if self.tuning is not None else 0.0)
        if not 0.0 < known <= 1.0:
            raise ConfigError("fallback 'hottest' needs fallback_area, a share in 0..1: these weights know no labels")
        return known


def propose(heat: Heat, tau: float, limits: Limits = ANY, fallback_area: float = 0.0) -> Selection:
    """The region {heat >= tau} within the limits, or None and the reason.

    Args:
        heat: float32 HW, 0..1. tau: 0..1.
        fallback_area: where that gives no region, take the hottest pixels up to this share of the picture; 0: do not.
    """
    mask = np.where(heat >= np.float32(tau), np.uint8(ARTIFACT), np.uint8(CLEAN))
    facts: dict[str, Any] = {"tau": tau, "peak": round(float(heat.max()), 4), "fallback": False}
    kept, why = apply_limits(mask, limits)
    if kept is None and fallback_area:
        kept, still = apply_limits(hottest(heat, fallback_area), limits)
        facts["fallback"] = kept is not None
        why = "" if kept is not None else f"{why}; of the hottest pixels: {still}"
    if not (heat >= np.float32(tau)).any() and kept is None:
        why = f"nothing reaches tau {tau:g} (highest {facts['peak']:g})" + (f"; {why}" if fallback_area else "")
    return Selection(kept, "" if kept is not None else why, facts)


def hottest(heat: Heat, area: float) -> U8:
    """uint8 HW with exactly max(1, round(area * H * W)) pixels of 1, the hottest; of equals the first in scan order."""
    mask = np.full(heat.size, CLEAN, np.uint8)
    mask[np.argsort(-heat, axis=None, kind="stable")[: max(1, round(area * heat.size))]] = ARTIFACT
    return mask.reshape(heat.shape)


def check_tau(tau: float) -> None:
    """Raise ConfigError unless 0 < tau < 1."""
    if not 0.0 < tau < 1.0:
        raise ConfigError(f"tau must lie between 0 and 1, or be match_area or best_iou; got {tau}")


def find_weights(where: str | Path) -> Path:
    """The selector's file: a file, or in a folder selector.safetensors, else weights.safetensors of a plain detector.

    Names are looked up as given, then beside the installed packages. Raises MissingInputError.
    """
    for candidate in (Path(where), INSTALLED / where):
        for path in (candidate, candidate / SELECTOR, candidate / PLAIN_WEIGHTS):
            if path.is_file():
                return path
    raise MissingInputError(
        f"selector {where} does not exist; train it with `{how_to_train(Path(where))}`, or name a folder of "
        "`blemish regions train` or a .safetensors file"
    )


def how_to_train(where: Path) -> str:
    """The command that makes the selector of this name: of the config that has its name, where there is one."""
    if where.parent == SHIPPED:
        return f"make {where}"
    folder = where.parent if where.name in (SELECTOR, PLAIN_WEIGHTS) else where
    if (INSTALLED / "configs/region_select" / f"{folder.name}.py").is_file() and not folder.suffix:
        return f"make region-select MODEL={folder.name} SELECTED={folder} LABELS=DIR"
    folder = folder.with_suffix("")
    return f"blemish regions train configs/region_select/swin_mini.py --labels DIR --out {folder}"

"""Where to cut a heat map: choosing tau from counts over labelled pictures. Pure; no model, no disk.

Probabilities are counted in 4,096 bins of equal width. floor(4096 * p) is exact in float32, so that "p >= k / 4096" and
"bin >= k" are the same statement, and a tau chosen here cuts exactly as it was counted.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shards.masks import ARTIFACT, IGNORE, U8

NUM_BINS = 4096
"""Fine enough for clean pictures, on which a selector seldom says more than 0.01."""
HALF = NUM_BINS // 2
Curve = NDArray[np.float64]


@dataclass
class Tally:
    """Counts over pictures. Ignored pixels are in none of them."""

    artifact: NDArray[np.int64] = field(default_factory=lambda: np.zeros(NUM_BINS, np.int64))
    """Pixels of broken truth in each bin."""
    clean: NDArray[np.int64] = field(default_factory=lambda: np.zeros(NUM_BINS, np.int64))
    shares: Curve = field(default_factory=lambda: np.zeros(NUM_BINS))
    """Sum over pictures of the share of the picture's pixels in each bin."""
    truth_area: float = 0.0
    """Sum over pictures of the truth's share of the picture."""
    num_pictures: int = 0

    def add(self, heat: NDArray[np.float32], truth: U8 | None = None) -> None:
        """Count a picture: heat float32 HW, 0..1; truth uint8 HW with 0, 1, 255, or None where it is not known."""
        bins = np.minimum((heat * np.float32(NUM_BINS)).astype(np.int64), NUM_BINS - 1)
        valid = np.ones(heat.shape, bool) if truth is None else truth != IGNORE
        broken = np.zeros(heat.shape, bool) if truth is None else truth == ARTIFACT
        size = max(1, int(valid.sum()))
        artifact = np.bincount(bins[broken], minlength=NUM_BINS)
        clean = np.bincount(bins[valid & ~broken], minlength=NUM_BINS)
        self.artifact += artifact
        self.clean += clean
        self.shares += (artifact + clean) / size
        self.truth_area += float(broken.sum()) / size
        self.num_pictures += 1

    def areas(self) -> Curve:
        """[k]: mean share of a picture that tau = k / 4096 selects, 0..1."""
        areas: Curve = at_least(self.shares) / max(1, self.num_pictures)
        return areas

    def ious(self) -> Curve:
        """[k]: artifact IoU over all pictures at tau = k / 4096; 0 where nothing is selected and nothing is broken."""
        true, said = at_least(self.artifact), at_least(self.artifact + self.clean)
        union = said + int(self.artifact.sum()) - true
        ious: Curve = np.divide(true, union, out=np.zeros(NUM_BINS), where=union > 0)
        return ious

    @property
    def mean_truth_area(self) -> float:
        """Mean share of a picture that is broken in truth, 0..1."""
        return self.truth_area / max(1, self.num_pictures)


def at_least(counts: NDArray[Any]) -> NDArray[Any]:
    """[k]: sum of the bins k, k + 1, .."""
    return np.cumsum(counts[::-1])[::-1]


def match_area(tally: Tally, target: float) -> float:
    """The tau whose mean selected area is nearest to `target`, a share of the picture; of equals the highest.

    This is the free parameter of p_s against p_w (Menn et al. 2025, section 3.1), set by their first moment.
    """
    gaps = np.abs(tally.areas()[1:] - target)
    return highest(gaps == gaps.min())


def best_iou(tally: Tally) -> float:
    """The tau of the largest artifact IoU; of equals the highest."""
    ious = tally.ious()[1:]
    return highest(ious == ious.max())


def highest(chosen: NDArray[np.bool_]) -> float:
    """The largest k / 4096, k from 1, that is chosen."""
    return float(np.flatnonzero(chosen)[-1] + 1) / NUM_BINS

"""From pairs of arrays to counts: the entrance for training hooks and tables.

counts = score_pairs((key, truth, prediction) for ...)
point_values(counts)["artifact_iou"]          the figures alone, quick
summarise([counts, ...])                      with intervals, one `Counts` for each training seed
compare([counts, ...], [reference, ...])      paired differences
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from numpy.typing import NDArray

from detector.score.bootstrap import compare, summarise
from detector.score.counts import Counts, ImageCounts, ScoreError, count_image, stack
from detector.score.eval_size import is_stretched, meet_at, parse_meet
from detector.score.metrics import point_values
from shards.masks import U8

__all__ = ["Collector", "compare", "point_values", "score_pairs", "summarise"]


class Collector:
    """Counts images one by one; keeps about 2.2 KB of each and no pixels.

    Args:
        threshold: a pixel is predicted artifact where its score >= threshold, 0 < threshold <= 1.
        meet: "truth", "same" or a side length, see detector.score.eval_size.
    """

    def __init__(self, threshold: float = 0.5, meet: str = "truth") -> None:
        if not 0 < threshold <= 1:
            raise ScoreError(f"threshold is {threshold:g}; allowed is 0 < threshold <= 1")
        self.threshold, self.meet = float(threshold), parse_meet(meet)
        self.images: list[ImageCounts] = []
        self.resized = self.stretched = self.soft = 0

    def add(self, key: str, truth: U8, prediction: NDArray[Any], truth_heat: NDArray[Any] | None = None) -> None:
        """Count one image.

        Args:
            truth: uint8 HW, 0 clean, 1 artifact, 255 ignore.
            prediction: float HW scores 0..1, or uint8/bool HW mask with 0 and 1; of another size: see `meet`.
            truth_heat: float HW 0..1, soft truth of the heat-map scores; None takes the mask. All images or none.

        Raises:
            ScoreError: what `count_image` refuses, or sizes that may not differ.
        """
        met = meet_at(key, truth, prediction, truth_heat, self.meet)
        self.images.append(count_image(key, met[0], met[1], self.threshold, met[2]))
        self.soft += truth_heat is not None
        if prediction.shape != met[1].shape:
            self.resized += 1
            self.stretched += is_stretched(truth, prediction)

    def counts(self) -> Counts:
        """All images so far. Raises ScoreError: none, a key twice, masks and scores mixed, soft truth for some only."""
        if self.soft not in (0, len(self.images)):
            raise ScoreError(f"{self.soft} of {len(self.images)} images have a truth heat map; give all or none")
        facts = {"meet": self.meet, "soft_truth": self.soft > 0}
        return stack(self.images, self.threshold, resized=self.resized, stretched=self.stretched, **facts)


def score_pairs(pairs: Iterable[tuple[str, U8, NDArray[Any]]], threshold: float = 0.5, meet: str = "truth") -> Counts:
    """(key, truth uint8 HW, prediction HW float 0..1 or uint8 mask), in any order -> counts. See `Collector`."""
    collector = Collector(threshold, meet)
    for key, truth, prediction in pairs:
        collector.add(key, truth, prediction)
    return collector.counts()

"""Which scene seeds serve what. The ranges never overlap, so nothing tested was ever trained on."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Split:
    """Seeds start .. start + count - 1."""

    start: int
    count: int
    meaning: str

    def seed(self, index: int) -> int:
        """The seed at an index. Raises ValueError outside the split."""
        if not 0 <= index < self.count:
            raise ValueError(f"index {index} is outside the split ({self.meaning}): allowed are 0 to {self.count - 1}")
        return self.start + index


SPLITS: dict[str, Split] = {
    "source": Split(0, 1_000_000, "clean source scenes for `make shards`"),
    "train": Split(100_000_000, 1_000_000, "scenes that trained the generator"),
    "calibration": Split(200_000_000, 100_000, "scenes on which the oracle's thresholds were frozen"),
    "select": Split(300_000_000, 10_000, "captions of the wild images labelled for region selection"),
    "validation": Split(310_000_000, 10_000, "captions of the wild validation images"),
    "wild-test": Split(320_000_000, 10_000, "captions of the wild test images"),
    "faults-test": Split(330_000_000, 10_000, "scenes of the test images with drawn faults"),
    "clean-test": Split(340_000_000, 10_000, "scenes of the clean test images"),
    "wild-train": Split(360_000_000, 10_000, "captions of wild images to train on, the closed world's upper bound"),
    "wild-pool": Split(370_000_000, 10_000, "captions of the wild images that the balanced test set is drawn from"),
    "faults-train": Split(380_000_000, 10_000, "scenes of the training images with drawn faults"),
    "clean-train": Split(390_000_000, 10_000, "scenes of the clean training images"),
    "show": Split(350_000_000, 10_000, "scenes for pictures in the docs and for `sample`"),
}

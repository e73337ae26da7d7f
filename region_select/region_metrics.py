"""Do selected regions lie where pictures really break? p_s against p_w of Menn et al. 2025, section 3.1, in numbers.

Pure: pixel counts of each picture first, ratios and their bootstrap intervals over pictures last.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from detector.score.bootstrap import Interval, interval_of, resample_weights
from shards.masks import ARTIFACT, IGNORE, U8, label_components
from shards.source import Region

GROUND = "ground"
"""Where no object is."""
QUANTILES = (0.1, 0.25, 0.5, 0.75, 0.9)
F64 = NDArray[np.float64]


@dataclass
class Counts:
    """Pixels of one picture. Truth is 0 throughout where it is not known; ignored pixels are in no count."""

    pixels: int
    selected: int = 0
    truth: int = 0
    both: int = 0
    components: int = 0
    """Connected faults of the truth."""
    touched: int = 0
    """Those of them of which a selected pixel is part."""
    kinds: dict[str, tuple[int, int, int]] = field(default_factory=dict)
    """Kind of object -> (pixels, selected, truth)."""
    parts: dict[str, tuple[int, int, int]] = field(default_factory=dict)
    """The same for parts of objects."""


def count(selected: U8 | None, truth: U8 | None, regions: Sequence[Region], shape: tuple[int, int]) -> Counts:
    """Count one picture: masks uint8 HW with 0, 1, 255, None for none; regions as its source names them."""
    said = np.zeros(shape, bool) if selected is None else selected == ARTIFACT
    real = np.zeros(shape, bool) if truth is None else truth == ARTIFACT
    valid = np.ones(shape, bool) if truth is None else truth != IGNORE
    said &= valid
    labels, components = label_components(real.astype(np.uint8))
    found = Counts(
        pixels=int(valid.sum()),
        selected=int(said.sum()),
        truth=int(real.sum()),
        both=int((said & real).sum()),
        components=components,
        touched=len(np.unique(labels[said & real])),
    )
    for is_part, into in ((False, found.kinds), (True, found.parts)):
        left = valid.copy()
        for region in regions:
            if (region.parent != "") == is_part:
                add(into, kind_of(region), region.mask.astype(bool) & left, said, real)
                left &= ~region.mask.astype(bool)
        add(into, GROUND, left, said, real)
    return found


def add(into: dict[str, tuple[int, int, int]], kind: str, where: NDArray[Any], said: NDArray[Any], real: Any) -> None:
    """Count the pixels of `where` under a kind."""
    more = int(where.sum()), int((where & said).sum()), int((where & real).sum())
    before = into.get(kind, (0, 0, 0))
    into[kind] = (before[0] + more[0], before[1] + more[1], before[2] + more[2])


def kind_of(region: Region) -> str:
    """`face` for the object face-0, `face.eye` for a part."""
    return region.name if region.parent else region.name.rsplit("-", 1)[0]


def figures(
    counts: Sequence[Counts], with_truth: bool, resamples: int = 1000, seed: str = "report"
) -> dict[str, Interval]:
    """The ratios of a set of pictures: those that need truth only `with_truth`."""
    columns = {name: np.array([getattr(one, name) for one in counts], float) for name in COLUMNS}
    drawn = list(resample_weights(len(counts), resamples, seed)) if len(counts) > 1 else []
    found = {}
    for name, (needs_truth, ratio) in RATIOS.items():
        if needs_truth and not with_truth:
            continue
        value = ratio(columns, np.ones((1, len(counts))))[0]
        spread = [ratio(columns, weights) for weights in drawn]
        found[name] = interval_of(float(value), np.concatenate(spread) if spread else np.zeros(0))
    return found


Columns = dict[str, F64]
COLUMNS = ("pixels", "selected", "truth", "both", "components", "touched")


def share(above: Callable[[Columns], F64], below: Callable[[Columns], F64]) -> Callable[[Columns, F64], F64]:
    """Weighted sum over weighted sum, NaN where the latter is 0."""

    def ratio(columns: Columns, weights: F64) -> F64:
        bottom = weights @ below(columns)
        found: F64 = np.divide(weights @ above(columns), bottom, out=np.full(len(weights), np.nan), where=bottom > 0)
        return found

    return ratio


def ones(columns: Columns) -> F64:
    return np.ones(len(columns["pixels"]))


def area(name: str) -> Callable[[Columns], F64]:
    """Share of each picture."""
    return lambda c: c[name] / np.maximum(1, c["pixels"])


RATIOS: dict[str, tuple[bool, Callable[[Columns, F64], F64]]] = {
    "no_region": (False, share(lambda c: (c["selected"] == 0).astype(float), ones)),
    "mean_area": (False, share(area("selected"), ones)),
    "mean_area_where_any": (False, share(area("selected"), lambda c: (c["selected"] > 0).astype(float))),
    "truth_empty": (True, share(lambda c: (c["truth"] == 0).astype(float), ones)),
    "truth_mean_area": (True, share(area("truth"), ones)),
    "coverage": (True, share(lambda c: c["both"], lambda c: c["truth"])),
    "precision": (True, share(lambda c: c["both"], lambda c: c["selected"])),
    "artifact_iou": (True, share(lambda c: c["both"], lambda c: c["truth"] + c["selected"] - c["both"])),
    "components_touched": (True, share(lambda c: c["touched"], lambda c: c["components"])),
}
"""Name -> (needs truth, weights BN -> [B]). Pixels of all pictures are added up before dividing; areas are means."""


def areas(counts: Sequence[Counts], name: str) -> F64:
    """Sorted shares of the pictures in which there is anything."""
    found = [getattr(one, name) / max(1, one.pixels) for one in counts if getattr(one, name)]
    return np.sort(np.array(found, float))


def compare_areas(truth: F64, selected: F64) -> dict[str, Any]:
    """Quantiles of both, and the Kolmogorov-Smirnov distance, 0 equal to 1 apart; None where one is empty."""
    told = {name: [round(float(q), 5) for q in np.quantile(some, QUANTILES)] if some.size else None
            for name, some in (("truth", truth), ("selected", selected))}  # fmt: skip
    apart = float(stats.ks_2samp(truth, selected, mode="asymp").statistic) if truth.size and selected.size else None
    return {"quantiles": list(QUANTILES), **told, "ks_distance": apart}


@dataclass(frozen=True)
class KindRow:
    """One kind of object or part; shares are 0..1, None where there is nothing to divide by."""

    kind: str
    truth: float | None
    """Share of all truly broken pixels that lies on it: p_w."""
    selected: float | None
    """Share of all selected pixels of the sources that lies on it: p_s."""
    selected_on_truth: float | None
    """The same on the labelled pictures."""
    pixels: float | None
    """Share of all pixels of the sources: what regions by mere chance would have."""
    broken_rate: float | None
    """Share of its own pixels that is truly broken."""
    selected_rate: float | None
    """Share of its own pixels in the sources that is selected."""


def kind_rows(labelled: Sequence[Counts], sources: Sequence[Counts], level: str) -> list[KindRow]:
    """One row a kind, the most often broken first. level: kinds or parts."""
    truth, told = add_up(labelled, level), add_up(sources, level)
    names = sorted(
        {*truth, *told}, key=lambda name: (-truth.get(name, (0, 0, 0))[2], -told.get(name, (0, 0, 0))[1], name)
    )

    def part(table: dict[str, tuple[int, ...]], name: str, column: int) -> float | None:
        whole = sum(row[column] for row in table.values())
        return table.get(name, (0, 0, 0))[column] / whole if whole else None

    def rate(table: dict[str, tuple[int, ...]], name: str, column: int) -> float | None:
        row = table.get(name, (0, 0, 0))
        return row[column] / row[0] if row[0] else None

    return [
        KindRow(
            name,
            truth=part(truth, name, 2),
            selected=part(told, name, 1),
            selected_on_truth=part(truth, name, 1),
            pixels=part(told, name, 0),
            broken_rate=rate(truth, name, 2),
            selected_rate=rate(told, name, 1),
        )
        for name in names
    ]


def add_up(counts: Sequence[Counts], level: str) -> dict[str, tuple[int, ...]]:
    """Sums over pictures of the counts of every kind."""
    sums: dict[str, tuple[int, ...]] = {}
    for one in counts:
        for name, row in getattr(one, level).items():
            before = sums.get(name, (0, 0, 0))
            sums[name] = tuple(a + b for a, b in zip(before, row, strict=True))
    return sums


def distance(rows: Sequence[KindRow], column: str) -> float | None:
    """Total variation between p_w and a column, 0 equal to 1 disjoint; None where either is not defined."""
    pairs = [(row.truth, getattr(row, column)) for row in rows]
    if not pairs or any(a is None or b is None for a, b in pairs):
        return None
    return 0.5 * float(sum(abs(a - b) for a, b in pairs))

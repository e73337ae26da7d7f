"""What is counted over pictures, in memory that does not grow with their number."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy.stats import binomtest

from applications.statistics.items import ALL, Item
from region_select.region_metrics import GROUND, count
from shards.masks import ARTIFACT, IGNORE, U8
from shards.show import RED, outline, scaled

EDGES = (0.0, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
"""Upper ends of the bins of PAR; the first bin is PAR 0 alone (PAL, figure 2)."""
HEAT_SIDE, FINDS, THUMB = 64, 12, 160
F64 = NDArray[np.float64]


@dataclass
class Group:
    """Pictures that are counted together."""

    pictures: int = 0
    marked: int = 0
    """Pictures with an artifact pixel."""
    par: float = 0.0
    """Sum of the shares of artifact pixels."""
    clean: int = 0
    """Pictures known to hold no artifact: whatever is marked in them is a false alarm."""
    clean_marked: int = 0
    clean_par: float = 0.0
    bins: NDArray[np.int64] = field(default_factory=lambda: np.zeros(len(EDGES), np.int64))
    heat: F64 = field(default_factory=lambda: np.zeros((HEAT_SIDE, HEAT_SIDE)))
    """Sum of the masks, each brought to this size."""

    def add(self, par: float, small: F64, is_clean: bool | None) -> None:
        self.pictures += 1
        self.marked += par > 0
        self.par += par
        self.bins[int(np.searchsorted(EDGES, par, side="left"))] += 1
        self.heat += small
        if is_clean:
            self.clean += 1
            self.clean_marked += par > 0
            self.clean_par += par

    def facts(self) -> dict[str, Any]:
        """Plain values; shares are None where nothing was counted."""
        return {
            "pictures": self.pictures,
            "marked": self.marked,
            "share_marked": share(self.marked, self.pictures),
            "mean_par": self.par / self.pictures if self.pictures else None,
            "clean": self.clean,
            "fpr": share(self.clean_marked, self.clean),
            "apaa": self.clean_par / self.clean if self.clean else None,
            "histogram": self.bins.tolist(),
        }


@dataclass
class Tally:
    """All groups, kinds of objects and the strongest finds of one run."""

    groups: dict[str, Group] = field(default_factory=dict)
    with_kind: dict[str, Group] = field(default_factory=dict)
    """Kind of object -> the pictures that hold one."""
    pixels: dict[str, tuple[int, int]] = field(default_factory=dict)
    """Kind of object, or GROUND for what is no object -> (pixels, artifact pixels)."""
    finds: list[tuple[float, str, U8]] = field(default_factory=list)
    """(PAR, key, thumbnail uint8 HWC), most artifact first."""

    def add(self, item: Item) -> None:
        """Count one picture; ignored pixels are in no count."""
        valid = int(np.count_nonzero(item.mask != IGNORE))
        marked = item.mask == ARTIFACT
        par = float(marked.sum() / valid) if valid else 0.0
        small = heat_of(marked)
        for name in dict.fromkeys((item.group or ALL, ALL)):
            self.groups.setdefault(name, Group()).add(par, small, item.is_clean)
        if item.regions:
            self.add_kinds(item, par, small)
        if par > 0 and (len(self.finds) < FINDS or par > self.finds[-1][0]):
            self.finds.append((par, item.key, thumbnail(item)))
            self.finds.sort(key=lambda one: (-one[0], one[1]))
            del self.finds[FINDS:]

    def add_kinds(self, item: Item, par: float, small: F64) -> None:
        found = count(None, item.mask, item.regions, item.mask.shape)
        # Classes of a map are regions with a parent, whole objects of a scene have none.
        kinds = found.parts if all(region.parent for region in item.regions) else found.kinds
        for kind, (pixels, _, broken) in kinds.items():
            before = self.pixels.get(kind, (0, 0))
            self.pixels[kind] = before[0] + pixels, before[1] + broken
            if pixels and kind != GROUND:
                self.with_kind.setdefault(kind, Group()).add(par, small, item.is_clean)

    def kinds(self) -> list[dict[str, Any]]:
        """Rows of the table of kinds, objects together first, then stuff, then each kind of object by its share."""
        if not self.pixels:
            return []
        objects = [pair for kind, pair in self.pixels.items() if kind != GROUND]
        both = (sum(pair[0] for pair in objects), sum(pair[1] for pair in objects))
        stuff = self.pixels.get(GROUND, (0, 0))
        all_pixels, all_broken = both[0] + stuff[0], both[1] + stuff[1]
        rows = [("objects", both), ("stuff", stuff)]
        rows += sorted(
            ((k, pair) for k, pair in self.pixels.items() if k != GROUND), key=lambda row: (-row[1][1], row[0])
        )
        return [
            {
                "kind": kind,
                "pixels": pixels,
                "artifact_pixels": broken,
                "share_of_pixels": pixels / all_pixels if all_pixels else None,
                "share_of_artifact": broken / all_broken if all_broken else None,
                "broken": broken / pixels if pixels else None,
            }
            for kind, (pixels, broken) in rows
        ]


def tally(items: Iterable[Item]) -> Tally:
    """Count pictures."""
    found = Tally()
    for item in items:
        found.add(item)
    return found


def share(hits: int, total: int) -> dict[str, float] | None:
    """A share with its 95% interval (Wilson 1927), None of nothing."""
    if not total:
        return None
    low, high = binomtest(int(hits), int(total)).proportion_ci(method="wilson")
    return {"value": hits / total, "low": float(low), "high": float(high)}


def heat_of(marked: NDArray[np.bool_]) -> F64:
    """float64 of HEAT_SIDE squared, 0..1: the share of artifact in each cell."""
    grey = Image.fromarray(marked.astype(np.uint8) * np.uint8(255))
    return np.asarray(grey.resize((HEAT_SIDE, HEAT_SIDE), Image.Resampling.BOX)).astype(np.float64) / 255


def thumbnail(item: Item) -> U8:
    """uint8 HWC with the outline of what is marked."""
    small = scaled(item.picture(), THUMB).copy()
    mask = scaled((item.mask == ARTIFACT).astype(np.uint8), THUMB, nearest=True)
    small[outline(mask, ARTIFACT)] = RED
    tile = Image.new("RGB", (THUMB, THUMB), "white")
    ImageDraw.Draw(tile).rectangle((0, 0, THUMB - 1, THUMB - 1), fill="white")
    tile.paste(Image.fromarray(small))
    return np.asarray(tile)

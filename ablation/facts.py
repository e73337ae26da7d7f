"""What samples are like: how many, how large their masks, how much changed inside and outside. Reads no pictures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from shards.errors import MissingInputError
from shards.reader import ShardReader
from shards.schema import Meta
from shards.writer import MANIFEST, read_manifest


def facts_of(folder: Path) -> dict[str, Any]:
    """Of the samples in a folder of shards. Shares 0..1, changes 0..255; None where there is nothing to average."""
    metas = read_metas(folder)
    broken = [meta for meta in metas if meta.label == "artifact"]
    manifest = read_manifest(folder / MANIFEST) if (folder / MANIFEST).is_file() else {}
    changed = [meta.change for meta in broken if meta.change.inside >= 0]
    return {
        "samples": len(metas),
        "artifact": len(broken),
        "clean": len(metas) - len(broken),
        "rejects": manifest.get("totals", {}).get("rejects", {}),
        "area": summary([meta.mask.area for meta in broken]),
        "inside": summary([change.inside for change in changed]),
        "outside": summary([change.outside for change in changed if change.outside >= 0]),
        "nfe": sum(meta.corruption.nfe for meta in metas),
    }


def read_metas(folder: Path) -> list[Meta]:
    """Of all samples; none where a run ended without any."""
    try:
        reader = ShardReader(folder)
    except MissingInputError:
        return []
    return [reader.meta(i) for i in range(len(reader))]


def summary(values: Sequence[float]) -> dict[str, float] | None:
    """Mean and quartiles, None of nothing."""
    if not values:
        return None
    return {name: round(value, 6) for name, value in {"mean": float(np.mean(values)), **quartiles(values)}.items()}


def quartiles(values: Sequence[float]) -> dict[str, float]:
    """Of one value or more."""
    low, middle, high = (float(value) for value in np.quantile(values, [0.25, 0.5, 0.75]))
    return {"q25": low, "median": middle, "q75": high}


def count_labels(reader: ShardReader, size: int) -> dict[str, int]:
    """How many of the first `size` samples have artifacts, and how many have none."""
    artifact = sum(reader.meta(i).label == "artifact" for i in range(size))
    return {"artifact": artifact, "clean": size - artifact}

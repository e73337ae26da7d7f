"""Counts on disk (`counts.npz`): what a later comparison needs, so that it reads no pixels. Never unpickled."""

from __future__ import annotations

import dataclasses
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from detector.score.arrays import read_arrays
from detector.score.bootstrap import check_seeds
from detector.score.counts import COLUMNS, NUM_BINS, Counts, ScoreError
from detector.score.heatmaps import HEAT_SCORES
from detector.score.meet import parse_meet
from detector.score.regions import MATCH_IOUS, Regions
from shards.errors import MissingInputError
from shards.files import write_bytes
from shards.guard.json_text import parse_object

COUNTS_NAME, COUNTS_VERSION = "counts.npz", 2
REGION_FIELDS = tuple(field.name for field in dataclasses.fields(Regions))
FACTS = {"kind": str, "threshold": float, "meet": str, "soft_truth": bool, "stretched": int, "resized": int}
KINDS = {
    "head": "U",
    "keys": "U",
    "numbers": "iu",
    "heat": "f",
    "max_score": "f",
    "histograms": "iu",
    "spread": "b",
    "truth_image": "iu",
    "pixels": "iu",
    "found_image": "iu",
    "scores": "f",
    "matched": "b",
    "region_iou": "f",
}
"""Kinds of dtype, by the name of the array, for regions without the seed's prefix."""


def save_counts(folder: Path, results: Sequence[Counts]) -> None:
    """Write FOLDER/counts.npz with one entry for each training seed. Raises OutputError."""
    check_seeds(results)
    head = {"version": COUNTS_VERSION, "seeds": [{name: getattr(one, name) for name in FACTS} for one in results]}
    arrays: dict[str, Any] = {
        "head": np.array(json.dumps(head)),
        "keys": np.array(results[0].keys),
        "numbers": np.stack([one.numbers for one in results]),
        "heat": np.stack([one.heat for one in results]),
        "max_score": np.stack([one.max_score for one in results]),
    }
    histograms = [one.histograms for one in results if one.histograms is not None]
    if histograms:
        arrays["histograms"] = np.stack(histograms)
        arrays["spread"] = np.stack([one.spread for one in results if one.spread is not None])
    for i, one in enumerate(results):
        named = {name: getattr(one.regions, name) for name in REGION_FIELDS}
        arrays |= {f"regions{i}_{name}": array for name, array in named.items() if array is not None}
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    write_bytes(folder / COUNTS_NAME, buffer.getvalue())


def load_counts(folder: Path) -> list[Counts]:
    """The counts of an earlier run, one for each training seed. Raises MissingInputError, ScoreError."""
    path = folder / COUNTS_NAME
    if not path.is_file():
        raise MissingInputError(f"{path} does not exist; name the --out folder of an earlier score run")
    try:
        arrays = read_arrays(path, KINDS)
        head = parse_object(str(arrays["head"]), "its head", error=ScoreError)
        facts = check_head(head)
        images = len(arrays["keys"])
    except Exception as error:  # zip and numpy raise a dozen unrelated types on damaged data
        raise ScoreError(f"{path} cannot be read ({str(error)[:200]}); score again") from error
    seeds = len(facts)
    scores = "histograms" in arrays
    shapes = {
        "numbers": (seeds, images, len(COLUMNS)),
        "heat": (seeds, images, len(HEAT_SCORES)),
        "max_score": (seeds, images),
        **({"histograms": (seeds, images, 2, NUM_BINS), "spread": (seeds, NUM_BINS)} if scores else {}),
    }
    wrong = [name for name, shape in shapes.items() if name not in arrays or arrays[name].shape != shape]
    if wrong or not seeds:
        raise ScoreError(f"{path} is damaged: {', '.join(wrong) or 'no training seed'}; score again")
    keys = tuple(str(key) for key in arrays["keys"])
    if len(set(keys)) != len(keys):
        raise ScoreError(f"{path} is damaged: a key twice; score again")
    return [
        Counts(
            keys=keys,
            numbers=arrays["numbers"][i],
            heat=arrays["heat"][i],
            max_score=arrays["max_score"][i],
            histograms=arrays["histograms"][i] if scores else None,
            spread=arrays["spread"][i] if scores else None,
            regions=load_regions(arrays, i, images, path),
            **one,
        )
        for i, one in enumerate(facts)
    ]


def check_head(head: dict[str, Any]) -> list[dict[str, Any]]:
    """The facts of each training seed. Raises ScoreError for another version, ValueError for what is damaged."""
    version, seeds = head.get("version"), head.get("seeds")
    if type(version) is not int or version != COUNTS_VERSION:
        raise ScoreError(f"it has version {str(version)[:20]}; this build reads {COUNTS_VERSION}")
    if not isinstance(seeds, list) or not all(isinstance(one, dict) and one.keys() == FACTS.keys() for one in seeds):
        raise ValueError("no facts of its training seeds")
    for one in seeds:
        wrong = [name for name, kind in FACTS.items() if type(one[name]) is not kind]
        if wrong or one["kind"] not in ("scores", "masks") or not 0 < one["threshold"] <= 1:
            raise ValueError(f"{(wrong or ['kind or threshold'])[0]} is not as it was written")
        parse_meet(one["meet"])
    return seeds


def load_regions(arrays: Mapping[str, Any], seed: int, images: int, path: Path) -> Regions:
    """The regions of one training seed. Raises ScoreError where they are damaged."""
    found: dict[str, Any] = {name: arrays.get(f"regions{seed}_{name}") for name in REGION_FIELDS}
    scores = "histograms" in arrays
    true, said = (np.size(found[name]) for name in ("truth_image", "found_image"))
    shapes = {
        "truth_image": (true,),
        "pixels": (true,),
        **({"histograms": (true, NUM_BINS)} if scores else {}),
        "found_image": (said,),
        "scores": (said,),
        "matched": (said, len(MATCH_IOUS)),
        "region_iou": (images,),
    }
    wrong = [name for name, shape in shapes.items() if np.shape(found[name]) != shape]
    if not wrong:
        places = np.concatenate([found["truth_image"], found["found_image"]])
        wrong = ["image"] if places.size and not (places.min() >= 0 and places.max() < images) else []
    if wrong:
        raise ScoreError(f"{path} is damaged: regions of seed {seed + 1}: {', '.join(wrong)}; score again")
    return Regions(**found)

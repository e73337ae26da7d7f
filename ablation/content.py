"""What a picture shows, against whether it is broken: signs nearly always are, in this world's wild pictures.

A detector that only knows what breaks easily tells broken pictures from whole ones well; among pictures that show the
same kinds of things it cannot. Both figures stand beside the plain image AUROC.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from detector.score.counts import F64
from detector.score.metrics import image_auroc
from miniworld.world.scenes import content_of
from shards.reader import ShardReader

Contents = Mapping[str, tuple[str, bool]]
"""What a picture shows, and whether it is broken, by key."""
WILD = "miniworld-"
"""How names of sets of this world begin."""


def read_contents(where: str | Path, limit: int = 0) -> dict[str, tuple[str, bool]]:
    """Content, and whether it is broken, of each key of a labelled set (of its first `limit`; 0: all).

    Raises UserErrors.
    """
    reader = ShardReader(where)
    size = min(limit, len(reader)) if limit else len(reader)
    metas = {reader.key(i): reader.meta(i) for i in range(size)}
    return {key: (content_of(meta.source.caption), meta.label == "artifact") for key, meta in metas.items()}


def contents_of(where: str | Path, limit: int = 0) -> dict[str, tuple[str, bool]] | None:
    """The same for sets of the embedded world; None for pictures of other worlds, whose captions say something else."""
    reader = ShardReader(where)
    return read_contents(where, limit) if reader.meta(0).source.set.startswith(WILD) else None


def matched_auroc(weights: F64, score: F64, broken: NDArray[np.bool_], content: Sequence[str]) -> F64:
    """P(broken picture scores above a whole one | both have the same content), ties half.

    Weights float64 [B, N] say how often each picture counts; score, broken, content [N]. Returns float64 [B], NaN where
    no content has pictures of both sorts.
    """
    won, pairs = np.zeros(len(weights)), np.zeros(len(weights))
    names = np.asarray(content)
    for name in np.unique(names):
        here = names == name
        weight, is_broken = weights[:, here], broken[here]
        count = weight[:, is_broken].sum(axis=1) * weight[:, ~is_broken].sum(axis=1)
        won += np.nan_to_num(image_auroc(weight, score[here], is_broken)) * count
        pairs += count
    found: F64 = np.divide(won, pairs, out=np.full(len(weights), np.nan), where=pairs > 0)
    return found


def content_alone(learned_from: Contents, told: Contents) -> float:
    """Image AUROC of a score that knows the content alone: the share of its pictures that are broken elsewhere.

    Content that `learned_from` lacks gets the share of all its pictures. NaN unless `told` has broken and whole ones.
    """
    seen: dict[str, list[bool]] = defaultdict(list)
    for content, is_broken in learned_from.values():
        seen[content].append(is_broken)
    overall = float(np.mean([is_broken for _, is_broken in learned_from.values()]))
    rates = {content: float(np.mean(found)) for content, found in seen.items()}
    score = np.array([rates.get(content, overall) for content, _ in told.values()])
    broken = np.array([is_broken for _, is_broken in told.values()], bool)
    return float(image_auroc(np.ones((1, len(score))), score, broken)[0])

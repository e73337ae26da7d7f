"""Shards as a map-style data set of mmengine: indexed reads, memory flat in the number of samples.

Training draws are numbered. Draw k of a run is a function of (seed, k) alone: which sample it is, and how it is
augmented. So neither the number of loader workers nor a restart changes what is learned from; rank r of w ranks takes
the draws r, r + w, ..
"""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.dataset import Compose
from mmengine.dist import get_dist_info
from mmengine.registry import DATA_SAMPLERS, DATASETS, DefaultScope
from numpy.typing import NDArray

from detector.errors import DataError
from shards.decoded import DecodedShards
from shards.errors import ConfigError
from shards.masks import U8
from shards.reader import ShardReader

CLASSES = ("clean", "artifact")
PALETTE = ((0, 0, 0), (255, 0, 0))
Draw = tuple[int, int]
"""(position in the data set, number of the draw)"""


def entropy(*numbers: int) -> int:
    """One 32-bit seed from several whole numbers of any size."""
    return int(np.random.SeedSequence([n & (2**64 - 1) for n in numbers]).generate_state(1)[0])


@contextmanager
def seeded(*numbers: int) -> Iterator[None]:
    """`random` and numpy's global generator, which mmseg's transforms use, seeded for one sample; then restored."""
    before, python_before = np.random.get_state(), random.getstate()  # noqa: NPY002
    seed = entropy(*numbers)
    np.random.seed(seed)  # noqa: NPY002
    random.seed(seed)
    try:
        yield
    finally:
        np.random.set_state(before)  # noqa: NPY002
        random.setstate(python_before)


@DATA_SAMPLERS.register_module()
class DrawSampler(torch.utils.data.Sampler[Draw]):
    """Endless draws: pass after pass over the data set, each in an order of its own.

    Args:
        dataset: anything with a length. seed: of the orders.
        together: samples of one picture that stand side by side in the shards, such as a sample and its clean twin,
            stay side by side: mostly in one batch. The data set needs `groups`.
        even: of several folders of shards each gives as many draws as the largest, so that few pictures beside many are
            seen as often. The data set needs `runs`.

    Set `start` to the number of draws that all ranks together have already taken, and the next iteration resumes there.
    """

    def __init__(self, dataset: Any, seed: int = 0, together: bool = False, even: bool = False) -> None:
        if together and even:
            raise ConfigError("the sampler's `together` and `even` are both asked for; choose one")
        self.size, self.seed, self.start = len(dataset), seed, 0
        self.rank, self.world = get_dist_info()
        self.runs: list[NDArray[np.int64]] = []
        """Even: the positions of each folder's samples."""
        if even:
            runs = dataset.runs()
            self.runs = [np.flatnonzero(runs == run) for run in range(runs.max() + 1)]
            self.size = max(map(len, self.runs)) * len(self.runs)
        self.groups: NDArray[np.int64] | None = dataset.groups() if together else None

    def __iter__(self) -> Iterator[Draw]:
        draw, turn, order = self.start + self.rank, -1, np.zeros(0, np.int64)
        while True:
            if draw // self.size != turn:
                turn = draw // self.size
                order = self.order(turn)
            yield int(order[draw % self.size]), draw
            draw += self.world

    def order(self, turn: int) -> NDArray[np.int64]:
        """All positions in the order of one pass; even: those of small folders again and again."""
        rng = np.random.Generator(np.random.PCG64([self.seed, turn]))
        if self.runs:
            most = max(map(len, self.runs))
            passes = [[rng.permutation(run) for _ in range(-(-most // len(run)))] for run in self.runs]
            # In a random order among each other: ranks that take every second draw see all folders.
            drawn = np.stack([np.concatenate(one)[:most] for one in passes], axis=1)
            return rng.permuted(drawn, axis=1).ravel()
        if self.groups is None:
            return rng.permutation(self.size)
        places = rng.permutation(self.groups.max() + 1)  # of each group
        return np.argsort(places[self.groups], kind="stable")

    def __len__(self) -> int:
        return self.size

    def set_epoch(self, epoch: int) -> None:
        """mmengine calls this; the order needs no epoch."""


class PipelineDataset(torch.utils.data.Dataset[dict[str, Any]], ABC):
    """Images and label maps through a pipeline of mmseg transforms. Subclasses say what a sample is.

    Args:
        pipeline: configs of transforms. seed: of the augmentation.
    """

    def __init__(self, pipeline: Sequence[dict[str, Any]], seed: int = 0) -> None:
        self.seed = seed
        with DefaultScope.overwrite_default_scope("mmseg"):
            self.pipeline = Compose(pipeline)
        self.metainfo: dict[str, Any] = {"classes": CLASSES, "palette": PALETTE}

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def load(self, index: int) -> tuple[U8, U8, str]:
        """(image uint8 HWC RGB, labels uint8 HW with 255 ignored, name of the sample)"""

    def __getitem__(self, item: int | Draw) -> dict[str, Any]:
        """An index gives the plain sample; a draw gives the sample with that draw's augmentation."""
        index, draw = item if isinstance(item, tuple) else (int(item), int(item))
        image, labels, name = self.load(index)
        if image.shape[:2] != labels.shape:
            raise DataError(f"{name}: the mask is {labels.shape} but the image {image.shape[:2]}; make the shard again")
        results = {
            "img": np.array(image),
            "gt_seg_map": np.array(labels),
            "seg_fields": ["gt_seg_map"],
            "img_shape": image.shape[:2],
            "ori_shape": image.shape[:2],
            "img_path": name,
            "sample_idx": index,
        }
        with seeded(self.seed, draw):
            made: dict[str, Any] = self.pipeline(results)
        return made


@DATASETS.register_module()
class ShardDataset(PipelineDataset):
    """The samples of one or more runs; labels 0 clean, 1 artifact, 255 ignored.

    Args:
        shards: run folders, folders of tars, tars or globs (shards.reader.find_shards). What lies in an object store is
            fetched first, as far as the cache of this machine has room (shards/store_cache.py).
        limit: use only the first `limit` samples; 0 for all.
        decoded: a folder in which decoded pictures are shared with other processes (shards.decoded); "" for none.

    Raises DataError for an empty set, MissingInputError, SchemaError (damaged tar, other schema version), SourceError
    (a store cannot be reached, or a shard there is gone or changed; also when a sample is read).
    """

    def __init__(
        self,
        shards: str | Path | Sequence[str | Path],
        pipeline: Sequence[dict[str, Any]],
        seed: int = 0,
        limit: int = 0,
        decoded: str = "",
    ) -> None:
        super().__init__(pipeline, seed)
        self.reader = ShardReader(shards)
        if not len(self.reader):
            raise DataError(f"shards {shards} hold no samples; make some with `python -m corruptor shards`")
        self.reader.fetch()
        self.limit = limit
        self.decoded = DecodedShards(self.reader, Path(decoded)) if decoded else None

    def __len__(self) -> int:
        return min(self.limit, len(self.reader)) if self.limit else len(self.reader)

    def groups(self) -> NDArray[np.int64]:
        """[N], rising: the same number for neighbours that were made from one picture."""
        sources = [self.reader.meta(i).source for i in range(len(self))]
        changes = [(a.sha256, a.occurrence) != (b.sha256, b.occurrence) for a, b in pairwise(sources)]
        return np.cumsum([False, *changes], dtype=np.int64)

    def runs(self) -> NDArray[np.int64]:
        """[N]: the number of the folder that a sample's tar lies in, by their first appearance."""
        numbers: dict[str, int] = {}
        folders = (str(self.reader.path(i).parent) for i in range(len(self)))
        return np.array([numbers.setdefault(folder, len(numbers)) for folder in folders], np.int64)

    def load(self, index: int) -> tuple[U8, U8, str]:
        if self.decoded is not None:
            return *self.decoded.load(index), self.reader.key(index)
        return self.reader.image(index), self.reader.mask(index), self.reader.key(index)


@DATASETS.register_module()
class MemoryDataset(PipelineDataset):
    """Samples that are already in memory: images uint8 NHWC, labels uint8 NHW."""

    def __init__(self, images: U8, labels: U8, pipeline: Sequence[dict[str, Any]], seed: int = 0) -> None:
        super().__init__(pipeline, seed)
        self.images, self.labels = images, labels

    def __len__(self) -> int:
        return len(self.images)

    def load(self, index: int) -> tuple[U8, U8, str]:
        return self.images[index], self.labels[index], str(index)

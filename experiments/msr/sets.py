"""Sets that the tables are scored on: labelled shards, or folders of real pictures in which nothing is an artifact."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from detector.errors import InputError
from detector.inputs import Inputs, Pictures, ShardPictures, open_inputs
from experiments.msr.coco_stuff import category_of
from experiments.msr.plan import LabelledSet
from shards.human.pal import tasks_by_key
from shards.masks import U8
from shards.source import Reject

ALL = "all"
"""The group of every picture of a set."""


class Labelled:
    """The pictures of a set with their masks and groups. `limit` takes the first ones only; 0 all.

    Raises MissingInputError, InputError, SchemaError.
    """

    def __init__(self, test: LabelledSet, limit: int = 0) -> None:
        self.test = test
        self.inputs: Inputs = open_inputs(test.shards)
        self.size = min(limit, len(self.inputs)) if limit else len(self.inputs)
        if not self.size:
            raise InputError(f"{test.shards} holds no picture; name shards or a folder of pictures")

    def __len__(self) -> int:
        return self.size

    def key(self, index: int) -> str:
        return self.inputs.keys[index]

    def load(self, index: int) -> tuple[U8, U8]:
        """uint8 HWC and its mask HW. Raises InputError: leaving a picture out would move the figures."""
        stored = self.inputs.read(index)
        image = stored if isinstance(stored, Reject) else self.inputs.decode(stored)
        if isinstance(image, Reject):
            raise InputError(f"{image.uri} in {self.test.shards} cannot be used ({image.reason}); remove it")
        if isinstance(self.inputs, ShardPictures):
            return image, self.inputs.reader.mask(index)
        return image, np.zeros(image.shape[:2], np.uint8)

    def scene(self, index: int) -> dict[str, Any]:
        """Of a sample of the embedded world. Raises InputError for another."""
        found = self.inputs.reader.meta(index).scene if isinstance(self.inputs, ShardPictures) else {}
        if not found:
            raise InputError(f"{self.key(index)} in {self.test.shards} has no scene; it is not of the embedded world")
        return dict(found)

    def groups(self, index: int) -> set[str]:
        """`all`, and what the set is told apart by."""
        found = {ALL}
        if self.test.by == "task":
            found.add(self.tasks[self.key(index)])
        if self.test.by == "kind" and isinstance(self.inputs, ShardPictures):
            found |= set(kinds_in(self.inputs.reader.meta(index).scene))
        if self.test.maps and isinstance(self.inputs, Pictures):
            found.add(category_of(self.inputs.paths[index], Path(self.test.maps)))
        if self.test.by == "folder" and "__" in self.key(index):  # folders are joined so in a picture's key
            found.add(self.key(index).partition("__")[0])
        return found

    @cached_property
    def tasks(self) -> dict[str, str]:
        return tasks_by_key(self.test.shards)


def kinds_in(scene: Mapping[str, Any]) -> Iterator[str]:
    """Kinds of the things in a scene of the embedded world."""
    for thing in scene.get("things", []):
        if isinstance(thing, Mapping) and isinstance(thing.get("kind"), str):
            yield thing["kind"]

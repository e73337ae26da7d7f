"""What travels along the line: a loaded picture, a batch of them with their rows, and finished rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from shards.masks import U8
from shards.schema import Sample
from shards.source import Reject, SourceItem


@dataclass(frozen=True)
class Loaded:
    """A source picture at the model's size."""

    index: int
    """Position in the source."""
    item: SourceItem
    """Resized: image uint8 HWC, regions and mask alike."""
    height: int
    width: int
    """Size of the picture before resizing."""
    border: U8 | None = None
    """uint8 HW with 255 on padding and 0 elsewhere; None where nothing was padded."""

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) now: pictures of one size share batches."""
        return self.item.image.shape[0], self.item.image.shape[1]


@dataclass(frozen=True)
class Row:
    """One sample to be made: a source, a variant and its mask."""

    loaded: Loaded
    variant: int
    mask: U8
    """uint8 HW 0, 1, 255 as proposed; without 1 for clean samples."""
    clean: bool = False
    facts: Mapping[str, Any] = field(default_factory=dict)
    """What the region policy says of its choice."""


@dataclass(frozen=True)
class Refused:
    """A row that does not become a sample. Without `reject` its source was refused under an earlier variant."""

    index: int
    variant: int
    reject: Reject | None


@dataclass(frozen=True)
class Batch:
    """Rows of pictures of one size and one shard, and what was refused meanwhile. May hold no rows."""

    shard: int
    rows: tuple[Row, ...] = ()
    refused: tuple[Refused, ...] = ()


@dataclass(frozen=True)
class Done:
    """Finished rows of a shard, in any order."""

    shard: int
    samples: tuple[Sample, ...] = ()
    refused: tuple[Refused, ...] = ()

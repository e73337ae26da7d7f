"""What a pass over a tar found: flat arrays, because there may be a million samples, and their form in a file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shards.guard.arrays import Form, lines_of, text_bytes
from shards.guard.tar_walk import BLOCK

VERSION = 2
IMAGE_MEMBERS = ("webp", "png", "jpg", "jpeg")
PARTS = ("image", "json", "txt")
FLAW = "!"
"""Begins the kind of a row that is no sample; a reject's reason and, after a blank, its detail follow."""
FLAWS = ("extra_image", "unreadable")
FORMS = {
    "names": Form("uint8", (None,)),
    "ends": Form("int64", (None,)),
    "spans": Form("int64", (None, len(PARTS), 2)),
    "sides": Form("int32", (None, 2)),
    "kinds": Form("int32", (None,)),
    "text": Form("uint8", (None,)),
    "numbers": Form("int64", (2,)),
}


@dataclass(frozen=True)
class TarIndex:
    """The samples of one tar, in its order; flat arrays, because there may be a million."""

    stamp: str
    """Of the tar that this describes."""
    names: NDArray[np.uint8]
    """All names, one after another, as bytes (nearly always UTF-8): the part of the path before the extension."""
    ends: NDArray[np.int64]
    """Where each name ends in `names`."""
    spans: NDArray[np.int64]
    """[sample, part of PARTS, (offset, size)], -1 where there is none."""
    sides: NDArray[np.int32]
    """[sample, (width, height)] in pixels as the picture's head says, else its JSON; 0, 0 where neither does."""
    kinds: NDArray[np.int32]
    """Place in `kind_names` of the sample's extensions."""
    kind_names: tuple[str, ...]
    """Extensions of all members of a sample, joined by commas."""
    problem: str
    """Why the tar cannot be read beyond these samples; "" where it ends well."""
    resume_at: int
    """Offset of the first header that is not in here; -1 when the pass is over."""

    def __len__(self) -> int:
        return len(self.ends)

    def name(self, row: int) -> str:
        """A sample's name; what is no UTF-8 is spelt out, so that it can be written into JSON."""
        return self.raw_name(row).decode("utf-8", "backslashreplace")

    def raw_name(self, row: int) -> bytes:
        start = int(self.ends[row - 1]) if row else 0
        return self.names[start : int(self.ends[row])].tobytes()

    @property
    def complete(self) -> bool:
        return self.resume_at < 0

    def flaw(self, row: int) -> tuple[str, str] | None:
        """(reason, detail) of a row that is no sample, else None."""
        kind = self.kind_names[self.kinds[row]]
        if not kind.startswith(FLAW):
            return None
        reason, _, detail = kind[len(FLAW) :].partition(" ")
        return reason, detail

    def arrays(self) -> dict[str, NDArray[Any]]:
        """For a file, in FORMS."""
        arrays = {name: getattr(self, name) for name in ("names", "ends", "spans", "sides", "kinds")}
        text = text_bytes([self.stamp, self.problem, *self.kind_names])
        return {**arrays, "text": text, "numbers": np.array([VERSION, self.resume_at], np.int64)}


def index_of(stored: dict[str, NDArray[Any]], size: int) -> TarIndex | None:
    """The inverse of `TarIndex.arrays`, in FORMS, for a tar of `size` bytes; None where it says what cannot be."""
    lines = lines_of(stored["text"])
    version, resume_at = stored["numbers"].tolist()
    if version != VERSION or len(lines) < 2 or not -1 <= resume_at <= size:
        return None
    stamp, problem, *kind_names = lines
    flaws = [kind[len(FLAW) :].partition(" ")[0] for kind in kind_names if kind.startswith(FLAW)]
    arrays = {name: stored[name] for name in ("names", "ends", "spans", "sides", "kinds")}
    index = TarIndex(stamp=stamp, **arrays, kind_names=tuple(kind_names), problem=problem, resume_at=resume_at)
    return index if set(flaws) <= set(FLAWS) and fits(index, size) else None


def fits(index: TarIndex, size: int) -> bool:
    """Whether the arrays agree with each other and with the size of the tar in bytes."""
    count = len(index.ends)
    if {len(index.spans), len(index.sides), len(index.kinds)} != {count} or count * BLOCK > max(size, 0):
        return False
    if not count:
        return not len(index.names)
    ends, kinds, sides = index.ends, index.kinds, index.sides
    if ends[0] < 0 or ends[-1] != len(index.names) or (np.diff(ends) < 0).any() or sides.min() < 0:
        return False
    if kinds.min() < 0 or kinds.max() >= len(index.kind_names):
        return False
    offsets, lengths = index.spans[:, :, 0], index.spans[:, :, 1]
    absent = (offsets == -1) & (lengths == -1)
    within = (offsets >= BLOCK) & (offsets <= size) & (lengths >= 0) & (lengths <= size - offsets)
    return bool((absent | within).all())


class Draft:
    """An index that is being written; resumes one that was not complete."""

    def __init__(self, stamp: str, begun: TarIndex | None = None) -> None:
        self.stamp, self.problem, self.resume_at = stamp, "", 0
        self.names: list[bytes] = []
        self.spans: list[list[tuple[int, int]]] = []
        self.sides: list[tuple[int, int]] = []
        self.kinds: list[str] = []
        if begun is not None:
            self.resume_at = begun.resume_at
            self.names = [begun.raw_name(row) for row in range(len(begun))]
            self.spans, self.sides = begun.spans.tolist(), begun.sides.tolist()
            self.kinds = [begun.kind_names[kind] for kind in begun.kinds]

    def index(self) -> TarIndex:
        """What there is so far."""
        kinds = sorted(set(self.kinds))
        places = {kind: place for place, kind in enumerate(kinds)}
        return TarIndex(
            stamp=self.stamp,
            names=np.frombuffer(b"".join(self.names), np.uint8),
            ends=np.cumsum([len(name) for name in self.names], dtype=np.int64),
            spans=np.array(self.spans, np.int64).reshape(-1, len(PARTS), 2),
            sides=np.array(self.sides, np.int32).reshape(-1, 2),
            kinds=np.array([places[kind] for kind in self.kinds], np.int32),
            kind_names=tuple(kinds),
            problem=self.problem,
            resume_at=self.resume_at,
        )

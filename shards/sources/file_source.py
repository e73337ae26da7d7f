"""What all sources of stored pictures share: options, selection, duplicates found lazily, pictures decoded on demand.

A place counts all pictures that are stored, an index those that are used.
"""

from __future__ import annotations

import abc
import copy
import dataclasses
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from shards.masks import U8
from shards.source import Reject, Source, SourceItem
from shards.sources.duplicates import Duplicates
from shards.sources.image_headers import decoding_cost
from shards.sources.pictures import MAX_FILE_BYTES, Limits, read_mask, read_picture
from shards.sources.select import Choice, ParTable, Selection, choose

MAX_CAPTION = 4096
"""Characters of a caption that are kept: many times what the 77 tokens of a text encoder hold."""
MAX_CAPTION_BYTES = 1 << 22
"""Bytes of a caption's file that are looked at."""


@dataclass(frozen=True, kw_only=True)
class FileOptions:
    """Options of every such source."""

    set_name: str = ""
    """Name of the set in each sample; "" takes the folder's."""
    licence: str = ""
    """Licence of the pictures, copied into each sample."""
    duplicates: Literal["keep", "skip"] = "keep"
    """`keep` gives the n-th copy `occurrence` n; `skip` turns every copy after the first into a Reject."""
    limit: int = 0
    """Look at the first so many pictures only; 0 for all."""
    min_side: int = 16
    """Smallest shorter side in pixels; smaller pictures are rejected when they are read."""
    max_side: int = 16384
    """Largest longer side in pixels."""
    select: Selection = field(default_factory=Selection)
    """Which of the pictures are used."""

    def __post_init__(self) -> None:
        if self.limit < 0:
            raise ValueError(f"limit is {self.limit}; it must be 0 (all pictures) or more")
        Limits(self.min_side, self.max_side)  # raises ValueError


class FileSource(Source):
    """A source over stored files. Subclasses list them, then call this `__init__`, and read their bytes by place."""

    grows: ClassVar[tuple[str, ...]] = ("limit", "select")
    mask_threshold: int = 0
    """Grey value from which a mask's pixels are artifact; 0: masks hold 0, 128 and 255."""

    def __init__(self, options: FileOptions, set_name: str, num_stored: int) -> None:
        """`set_name` where the options name none; `num_stored` pictures lie at places 0, 1, .. Raises UserError."""
        self.name, self.licence = options.set_name or set_name, options.licence
        self.duplicates = options.duplicates
        self.limits = Limits(options.min_side, options.max_side)
        select = options.select
        self._table = ParTable(select.par, select.max_par) if select.par else None
        places = range(min(options.limit, num_stored) if options.limit else num_stored)
        self._choice = Choice(places)
        if select.active or self.picky:
            self._choice = choose(select, places, self, self._table)
        self._duplicates: Duplicates | None = None

    @abc.abstractmethod
    def uri(self, place: int) -> str:
        """Name of a picture, the same on every machine."""

    def uris(self, places: Sequence[int]) -> Iterator[str]:
        """Names of many pictures."""
        return map(self.uri, places)

    @abc.abstractmethod
    def byte_size(self, place: int) -> int:
        """Size of the picture's file; -1 where there is none."""

    @abc.abstractmethod
    def read(self, place: int) -> bytes | Reject:
        """The picture's file."""

    def ends(self, place: int, size: int) -> bytes | Reject:
        """The first and last `size` bytes of the file, or all of it where that costs no more."""
        return self.read(place)

    @abc.abstractmethod
    def caption(self, place: int) -> str:
        """The caption, or ""."""

    def sides(self, place: int) -> tuple[int, int] | None:
        """(width, height) in pixels as the file's head has it, None where that does not tell."""
        return None

    def mask_bytes(self, place: int) -> bytes | Reject | None:
        """The mask's PNG, None where this source has no masks."""
        return None

    def credit(self, place: int) -> tuple[str, str]:
        """Name of the set, and licence."""
        return self.name, self.licence

    picky = False
    """Whether `unwanted` has anything to say."""

    def unwanted(self, place: int) -> Reject | None:
        """Why an option of the source leaves a picture out."""
        return None

    def broken(self, place: int) -> bool:
        """Whether a place stands for damage, which is to be rejected and never to be left out."""
        return False

    def __len__(self) -> int:
        return len(self._choice.places)

    def place(self, index: int) -> int:
        """Where item `index` is stored."""
        return self._choice.places[index]

    def listing(self) -> Iterator[str]:
        places = self._choice.places
        return (f"{size} {uri}" for size, uri in zip(map(self.byte_size, places), self.uris(places), strict=True))

    def cost(self, index: int) -> int:
        place = self.place(index)
        size = self.byte_size(place)
        return size + decoding_cost(self.sides(place)) if 0 < size <= MAX_FILE_BYTES else 0

    def arranged(self, order: Sequence[int]) -> FileSource:
        other = copy.copy(self)
        places = self._choice.places
        other._choice = dataclasses.replace(self._choice, places=[places[index] for index in order])
        other._duplicates = None
        return other

    def selection(self) -> dict[str, Any]:
        return self._choice.facts

    def left_out(self) -> Iterator[Reject]:
        return iter(self._choice.left_out)

    def __getitem__(self, index: int) -> SourceItem | Reject:
        if not 0 <= index < len(self):
            raise IndexError(f"index {index} is outside 0..{len(self) - 1}")
        place = self._choice.places[index]
        uri = self.uri(place)
        data = self.read(place)
        if isinstance(data, Reject):
            return data
        sha256 = hashlib.sha256(data).hexdigest()
        if self._table is not None and self._table.by_digest:
            refused = self._table.refuse(sha256)
            if refused is not None:
                return Reject(uri, refused.reason, refused.detail)
        occurrence = self._occurrence(index, data)
        if occurrence and self.duplicates == "skip":
            return Reject(uri, "duplicate", f"copy {occurrence} of sha256 {sha256[:16]}")
        image = read_picture(data, uri, self.limits)
        if isinstance(image, Reject):
            return image
        mask = self._mask(place, uri, image)
        mask_missing = isinstance(mask, Reject) and mask.reason == "mask_missing" and not self.needs_masks
        if isinstance(mask, Reject):
            if not mask_missing:
                return mask
            mask = None
        set_name, licence = self.credit(place)
        caption = self.caption(place)
        return SourceItem(
            image=image,
            uri=uri,
            sha256=sha256,
            caption=caption[:MAX_CAPTION],
            caption_cut=len(caption) if len(caption) > MAX_CAPTION else 0,
            occurrence=occurrence,
            set_name=set_name,
            licence=licence,
            mask=mask,
            mask_missing=mask_missing,
        )

    def _mask(self, place: int, uri: str, image: U8) -> U8 | Reject | None:
        data = self.mask_bytes(place)
        if data is None or isinstance(data, Reject):
            return data
        return read_mask(data, uri, (image.shape[0], image.shape[1]), self.mask_threshold)

    def _occurrence(self, index: int, data: bytes) -> int:
        places = self._choice.places
        duplicates = self._duplicates  # of two threads that make it at once, both are right
        if duplicates is None:
            duplicates = self._duplicates = Duplicates(
                map(self.byte_size, places),
                lambda other, size: self.ends(places[other], size),
                lambda other: self.read(places[other]),
            )
        return duplicates.earlier(index, self.byte_size(places[index]), data)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_duplicates": None}

"""What folder and tar sources share: a list of stored pictures, duplicates found lazily, pictures decoded on demand."""

from __future__ import annotations

import abc
import hashlib
import threading
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from shards.errors import ConfigError
from shards.masks import U8
from shards.pictures import Limits, read_mask, read_picture
from shards.source import Reject, Source, SourceItem

DUPLICATES = ("keep", "skip")


class ListedSource(Source):
    """A source over stored files. Subclasses list them and read their bytes.

    Duplicates: `keep` gives the n-th copy `occurrence` n; `skip` turns every copy after the first into a Reject.
    Only files of equal byte size can be equal, so only those are hashed for it, and only when one of them is asked for.
    """

    def __init__(self, set_name: str, licence: str, duplicates: str, limits: Limits) -> None:
        if duplicates not in DUPLICATES:
            raise ConfigError(f"duplicates = {duplicates!r}; allowed are {', '.join(DUPLICATES)}")
        self.name, self.licence = set_name, licence
        self.duplicates, self.limits = duplicates, limits
        self._digests: dict[int, str] = {}
        self._same_size: dict[int, list[int]] | None = None
        self._lock = threading.Lock()

    @abc.abstractmethod
    def uri(self, index: int) -> str:
        """Name of item `index`, the same on every machine."""

    @abc.abstractmethod
    def byte_size(self, index: int) -> int:
        """Size of the picture's file; -1 where there is none."""

    @abc.abstractmethod
    def read(self, index: int) -> bytes | Reject:
        """The picture's file."""

    @abc.abstractmethod
    def caption(self, index: int) -> str:
        """The caption, or ""."""

    def mask_bytes(self, index: int) -> bytes | Reject | None:
        """The mask's PNG, None where this source has no masks."""
        return None

    def listing(self) -> Iterator[str]:
        return (f"{self.byte_size(index)} {self.uri(index)}" for index in range(len(self)))

    def __getitem__(self, index: int) -> SourceItem | Reject:
        if not 0 <= index < len(self):
            raise IndexError(f"index {index} is outside 0..{len(self) - 1}")
        uri = self.uri(index)
        data = self.read(index)
        if isinstance(data, Reject):
            return data
        sha256 = hashlib.sha256(data).hexdigest()
        occurrence = self._occurrence(index, sha256)
        if occurrence and self.duplicates == "skip":
            return Reject(uri, "duplicate", f"copy {occurrence} of sha256 {sha256[:16]}")
        image = read_picture(data, uri, self.limits)
        if isinstance(image, Reject):
            return image
        mask = self._mask(index, uri, image)
        if isinstance(mask, Reject):
            return mask
        return SourceItem(
            image=image,
            uri=uri,
            sha256=sha256,
            caption=self.caption(index),
            occurrence=occurrence,
            set_name=self.name,
            licence=self.licence,
            mask=mask,
        )

    def _mask(self, index: int, uri: str, image: U8) -> U8 | Reject | None:
        data = self.mask_bytes(index)
        if data is None or isinstance(data, Reject):
            return data
        return read_mask(data, uri, (image.shape[0], image.shape[1]))

    def _occurrence(self, index: int, sha256: str) -> int:
        with self._lock:
            if self._same_size is None:
                by_size: dict[int, list[int]] = defaultdict(list)
                for other in range(len(self)):
                    by_size[self.byte_size(other)].append(other)
                self._same_size = {size: found for size, found in by_size.items() if len(found) > 1 and size > 0}
        peers = self._same_size.get(self.byte_size(index), [])
        if peers:
            self._digests[index] = sha256
        return sum(self._digest(other) == sha256 for other in peers if other < index)

    def _digest(self, index: int) -> str:
        if index not in self._digests:
            data = self.read(index)
            self._digests[index] = "" if isinstance(data, Reject) else hashlib.sha256(data).hexdigest()
        return self._digests[index]

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in self.__dict__.items() if key != "_lock"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._lock = threading.Lock()

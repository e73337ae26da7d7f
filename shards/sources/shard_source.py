"""Our own shards as a source: the pictures of a labelled set, such as imported human labels, to be damaged anew."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from shards.errors import SchemaError, SourceError
from shards.reader import ShardReader
from shards.schema import MASK_MEMBER
from shards.source import Reject
from shards.sources.file_source import FileOptions, FileSource
from shards.sources.image_headers import head_sides


@dataclass(frozen=True, kw_only=True)
class ShardOptions(FileOptions):
    """Options of the source `shards`."""

    where: str | tuple[str, ...]
    """A run folder, a folder of tars, a tar, a glob, or a list of these."""
    label: Literal["any", "clean", "artifact"] = "any"
    """Which samples are used."""
    max_area: float = 1.0
    """Largest share of a picture, 0..1, that its own label marks as artifact; others are left out."""
    masks: bool = False
    """Give the labels along, for the region policy `files`."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0.0 <= self.max_area <= 1.0:
            raise ValueError(f"max_area is {self.max_area}; allowed are 0 to 1")


class ShardSource(FileSource):
    """Samples in the order of the shards. Caption, set and licence are those of the sample's own source.

    The uri is RUN/TAR#KEY, where RUN is the folder's name; sha256 is that of the stored image.
    """

    Options = ShardOptions
    grows = ("limit", "select", "where")

    def __init__(self, options: ShardOptions) -> None:
        self.reader = ShardReader(options.where)
        self.options = options
        self.picky = options.label != "any" or options.max_area < 1.0
        if not len(self.reader):
            raise SourceError(f"{options.where} holds no samples")
        super().__init__(options, "", len(self.reader))
        self.name = self.name or self.reader.meta(0).source.set

    def uri(self, place: int) -> str:
        path = self.reader.path(place)
        folder = path.parent.parent if path.parent.name == "shards" else path.parent
        name = folder.resolve().name if isinstance(folder, Path) else folder.name
        return f"{name}/{path.name}#{self.reader.key(place)}"

    def byte_size(self, place: int) -> int:
        try:
            return self.reader.member_size(place, self.reader.image_name(place))
        except SchemaError:
            return -1

    def sides(self, place: int) -> tuple[int, int] | None:
        data = self.read(place)
        return None if isinstance(data, Reject) else head_sides(data)

    def read(self, place: int) -> bytes | Reject:
        try:
            self.reader.meta(place)  # what is said of the picture is asked for later, and must be there then
            return self.reader.member(place, self.reader.image_name(place))
        except SchemaError as error:
            return Reject(self.uri(place), "truncated", self._told(error, place))

    def caption(self, place: int) -> str:
        return self.reader.meta(place).source.caption

    def credit(self, place: int) -> tuple[str, str]:
        source = self.reader.meta(place).source
        return self.options.set_name or source.set, self.options.licence or source.licence

    def mask_bytes(self, place: int) -> bytes | Reject | None:
        if not self.options.masks:
            return None
        try:
            return self.reader.member(place, MASK_MEMBER)
        except SchemaError as error:
            return Reject(self.uri(place), "mask_missing", self._told(error, place))

    def unwanted(self, place: int) -> Reject | None:
        try:
            meta = self.reader.meta(place)
        except SchemaError as error:
            return Reject(self.uri(place), "truncated", self._told(error, place))
        if self.options.label not in ("any", meta.label):
            return Reject(self.uri(place), "label", f"it is {meta.label}, {self.options.label} was asked for")
        if meta.mask.area > self.options.max_area:
            detail = f"{meta.mask.area:.6g} of it is labelled; at most {self.options.max_area:g}"
            return Reject(self.uri(place), "high_par", detail)
        return None

    def _told(self, error: SchemaError, place: int) -> str:
        """What is wrong, with the tar by its name: rejects are published, and where it lies is nobody's business."""
        path = self.reader.path(place)
        return str(error).replace(str(path), path.name)

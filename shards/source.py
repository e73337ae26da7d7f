"""Where pictures come from: an indexable, deterministic list of items, each a loaded `SourceItem` or a named `Reject`.

A source never raises for one bad picture: it returns a `Reject`; every input ends in a sample or in rejects.jsonl.
It raises `SourceError` or `MissingInputError` when nothing at all can be read.
Sources are found by name in `SOURCES`, among the entry points `blemish.sources`, or by the place of their code.
"""

from __future__ import annotations

import abc
import hashlib
import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from shards.build import BuildError, build, nearest
from shards.errors import ConfigError, SourceError
from shards.extensions import ExtensionPoint, Target
from shards.masks import U8

REASONS: dict[str, str] = {
    "empty": "the file holds no bytes",
    "truncated": "the picture ends early or is damaged",
    "not_image": "the content is no picture format that can be read",
    "unsupported_depth": "32-bit or floating-point pixels (16-bit grey is converted, not rejected)",
    "animated": "more than one frame",
    "too_small": "a side is below the configured minimum",
    "too_large": "a side or the pixel count is above the configured maximum",
    "duplicate": "the same bytes came earlier in the source, and duplicates are skipped",
    "unreadable": "the file cannot be opened",
    "corrupt_tar": "the tar ends early or is damaged; what came before the damage is used",
    "no_image": "a tar sample has no image member",
    "extra_image": "a tar sample has more than one image member; another one is used",
    "aspect": "the longer side is more times the shorter than the selection allows",
    "no_par": "a table of artifact shares (PAR) was given but it does not name this picture",
    "high_par": "a detector or a label finds more artifact in it than the selection allows",
    "label": "a labelled set was to give samples with another label",
    "mask_missing": "a mask folder was given but it has no mask for this picture",
    "mask_size": "the mask's size differs from the picture's",
    "mask_values": "the mask is no grey PNG of 0, 128, 255",
    "corrupt_record": "a record's checksum or content is wrong",
    "corrupt_file": "the file ends early or is damaged; what came before the damage is used",
    "few_annotators": "fewer people annotated the picture than the rule asks for",
    "annotators_unknown": "how many people annotated the picture cannot be told",
    "picture_missing": "a label or a record whose picture was not found",
    "unplaced": "the file's folder names no split",
    "unsafe_name": "an archive member whose name points outside the archive",
    "no_region": "the region policy found nothing to corrupt",
    "below_threshold": "every corrupted region changed too little to be seen",
    "not_finite": "the model gave values that are not finite",
    "failed": "the picture could not be processed; see detail",
}


@dataclass(frozen=True)
class Reject:
    """An input that did not become a sample. `reason` is a key of REASONS."""

    uri: str
    reason: str
    detail: str = ""

    def __post_init__(self) -> None:
        if self.reason not in REASONS:
            raise ValueError(f"reject reason {self.reason!r}{nearest(self.reason, REASONS)}")


@dataclass(frozen=True)
class Region:
    """A named object or part of a picture that a region policy may choose: mask uint8 HW with 0, 1."""

    name: str
    mask: U8
    parent: str = ""
    """Name of the object a part belongs to; "" for objects."""


@dataclass(frozen=True)
class SourceItem:
    """One loaded picture.

    image: uint8 HWC RGB, 0..255. mask: uint8 HW with 0, 1, 255, or None. `occurrence` counts earlier items with the
    same sha256, so that (sha256, occurrence) names an item whatever its position.
    """

    image: U8
    uri: str
    sha256: str
    caption: str = ""
    occurrence: int = 0
    set_name: str = ""
    licence: str = ""
    scene: Mapping[str, Any] | None = None
    mask: U8 | None = None
    regions: tuple[Region, ...] = field(default=())
    caption_cut: int = 0
    """Characters that the caption had before it was cut to a bounded length; 0 where it was not."""
    mask_missing: bool = False
    """Whether the source has masks, but none for this picture (given where `Source.needs_masks` is False)."""


def fingerprint(lines: Iterable[str]) -> str:
    """sha256 over lines of a listing, in hex."""
    digest = hashlib.sha256()
    for line in lines:
        digest.update(line.encode("utf-8", "surrogateescape") + b"\n")
    return digest.hexdigest()


class Source(abc.ABC):
    """A fixed list of pictures. Index i gives the same item in every process and on every run; items load lazily.

    Implementations must be safe to read from several threads and to pickle into spawned workers.
    """

    name: str = ""
    card_title: ClassVar[str] = ""
    card_licence: ClassVar[str] = ""
    """Title and licence of what is made of it, where its authors have settled them; else they are the user's."""
    needs_masks: bool = True
    """Whether a picture without a mask in a source that has masks is a Reject, `mask_missing`."""
    grows: ClassVar[tuple[str, ...]] = ("count", "limit")
    """Options that say how much is used: they may change when a run is extended (shards/growth.py)."""

    @abc.abstractmethod
    def __len__(self) -> int:
        """Number of items, rejects included."""

    @abc.abstractmethod
    def __getitem__(self, index: int) -> SourceItem | Reject:
        """Load item `index` (0..len-1). Raises IndexError outside that range."""

    @abc.abstractmethod
    def listing(self) -> Iterator[str]:
        """One line an item that identifies it without decoding it (such as path and size), in order."""

    def fingerprint(self) -> str:
        """sha256 over `listing`: equal for equal lists, so that resuming with another list is noticed."""
        return fingerprint(self.listing())

    def cost(self, index: int) -> int:
        """Bytes of memory that loading item `index` takes at most, told without loading it; 0 where that is little."""
        return 0

    def arranged(self, order: Sequence[int]) -> Source:
        """The same items in another order: item i is item order[i] of this source. `occurrence` counts in that order.

        Raises SourceError where a source cannot do that; it then grows at its end alone.
        """
        raise SourceError(
            f"source '{self.name}' now has other inputs between those of the run, and keeps no order but its own; "
            f"let it grow at its end, or choose another folder"
        )

    def selection(self) -> dict[str, Any]:
        """Numbers of pictures chosen and left out, where the source was told to choose; else empty."""
        return {}

    def left_out(self) -> Iterator[Reject]:
        """What was examined and left out, with the reason, in an order that depends on the names alone."""
        return iter(())

    def describe(self) -> dict[str, Any]:
        """What identifies this list of pictures, for a manifest."""
        chosen = self.selection()
        facts = {"name": self.name, "items": len(self), "fingerprint": self.fingerprint()}
        return {**facts, "selection": chosen} if chosen else facts

    def __iter__(self) -> Iterator[SourceItem | Reject]:
        return (self[index] for index in range(len(self)))


SOURCES: dict[str, Target] = {
    "folder": "shards.sources.folder:FolderSource",
    "webdataset": "shards.sources.tars:TarSource",
    "shards": "shards.sources.shard_source:ShardSource",
    "miniworld": "miniworld.source:MiniworldSource",
}
"""Source name -> "module:callable", imported on first use, or the callable. It takes the options of the config and
returns a Source; a class with `Options`, a frozen dataclass, takes one of these instead, checked field by field."""


def sources() -> ExtensionPoint:
    """Where sources are found."""
    return ExtensionPoint("source", "blemish.sources", SOURCES)


def register_source(name: str, target: Target) -> None:
    """Add a source under `name`, for this process.

    Args:
        name: what `source.name` of a config says; no colon.
        target: a subclass of Source, a function that returns one, or "module:attribute", imported on first use.

    A config finds code that is not registered too: `source.name = "FILE.py:NAME"` or an entry point `blemish.sources`.
    """
    SOURCES[name] = target


def open_source(name: str, /, **options: Any) -> Source:
    """Open the source called `name` (registered, an entry point, or `FILE.py:NAME`) with its options.

    Raises:
        ConfigError: unknown name or unknown option (naming the nearest).
        SourceError, MissingInputError: the source cannot be read or is empty.
    """
    factory = sources().find(name)
    known = getattr(factory, "Options", None)
    source = build_source(name, factory, known, options) if known else call_source(name, factory, options)
    if not isinstance(source, Source):
        raise ConfigError(f"source '{name}': it gave a {type(source).__name__}, not a Source")
    if len(source) == 0:
        raise SourceError(f"source '{name}' is empty ({options}); name a folder or tars that hold pictures")
    return source


def build_source(name: str, factory: Callable[..., Any], known: type[Any], options: Mapping[str, Any]) -> Any:
    """A source whose options are a dataclass. Raises ConfigError."""
    try:
        return factory(build(known, options))
    except BuildError as error:
        text = str(error).replace("unknown key", "unknown option").replace("missing key", "missing option")
        raise ConfigError(f"source '{name}': {text}") from error


def call_source(name: str, factory: Callable[..., Any], options: Mapping[str, Any]) -> Any:
    """A source whose options are arguments. Raises ConfigError."""
    known = inspect.signature(factory).parameters
    for option in options:
        if option not in known:
            raise ConfigError(f"source '{name}': unknown option '{option}'{nearest(option, known)}")
    try:
        inspect.signature(factory).bind(**options)
    except TypeError as error:
        raise ConfigError(f"source '{name}': {error}") from error
    return factory(**options)

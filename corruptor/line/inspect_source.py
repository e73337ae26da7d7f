"""What a plan must know of a source, found out without the network: how many pictures, and of which size."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from corruptor.line.config import LineConfig
from corruptor.line.cost import declared_count
from shards.build import BuildError, build
from shards.errors import ConfigError, MissingInputError, SourceError
from shards.resize import resize_item
from shards.schema import encode_image
from shards.show import choose
from shards.source import Source, SourceItem, open_source, sources
from shards.sources.file_source import FileSource
from shards.sources.remote_files import REMOTE

NUM_LOOKED, NUM_ENCODED = 200, 4


@dataclass(frozen=True)
class Inspection:
    """What was found."""

    name: str
    count: int
    """Pictures; 0 where that cannot be told yet."""
    height: int
    width: int
    """Of a picture as the model gets it, in pixels."""
    remark: str = ""
    """Why it was not opened."""
    remote: bool = False
    num_looked: int = 0
    """Pictures, spread evenly, whose size was looked at."""
    num_enlarged: int = 0
    """Those of them that are smaller than they will be used."""
    smallest: tuple[int, int] = (0, 0)
    """(width, height) of the smallest of these, in pixels."""
    num_encoded: int = 0
    """Pictures that were encoded as samples will be."""
    bytes_each: float = 0.0
    """Their mean size."""

    def enlarged_note(self) -> str:
        """A line where pictures will be enlarged, else ""."""
        if not self.num_enlarged:
            return ""
        width, height = self.smallest
        return (
            f"{self.num_enlarged} of {self.num_looked} pictures looked at are smaller than the {self.width} x "
            f"{self.height} they are used at and will be enlarged, the smallest {width} x {height} "
            f"(source.options.select.min_side leaves such pictures out)"
        )


def inspect_source(config: LineConfig) -> Inspection:
    """Opens a source that is on this disk; of others tells what the config says.

    Raises ConfigError for an unknown source or option.
    """
    name, options = config.source.name, config.source.options
    set_name = str(options.get("set_name") or name)
    check_options(name, options)
    side, count = config.size.size, declared_count(options)
    if is_remote(options):
        return Inspection(
            set_name, count, side, side, "the source lies behind the network and was not opened", remote=True
        )
    try:
        source = open_source(name, **options)
    except (MissingInputError, SourceError) as error:
        return Inspection(set_name, count, side, side, f"NOT READY: {error}")
    height, width = picture_size(config, source)
    return replace(inspect_pictures(config, source), name=source.name, count=len(source), height=height, width=width)


def sides_of_some(source: FileSource) -> list[tuple[int, int] | None]:
    """(width, height) of pictures spread evenly over a source; None where a head does not tell."""
    return [source.sides(source.place(index)) for index in choose(len(source), NUM_LOOKED)]


def inspect_pictures(config: LineConfig, source: Source) -> Inspection:
    """What the heads of some pictures say of their sizes, and what a few take when they are encoded."""
    looked = sides_of_some(source) if isinstance(source, FileSource) else []
    small = [sides for sides in looked if sides is not None and config.size.scale(sides[1], sides[0]) > 1]
    sizes: list[int] = []
    for index in choose(len(source), NUM_ENCODED):
        item = source[index]
        if isinstance(item, SourceItem):
            image = resize_item(item, config.size).image
            sizes.append(len(encode_image(image, config.samples.codec)))
    smallest = min(small, key=lambda sides: sides[0] * sides[1], default=(0, 0))
    mean = sum(sizes) / len(sizes) if sizes else 0.0
    return Inspection("", 0, 0, 0, "", False, len(looked), len(small), smallest, len(sizes), mean)


def is_remote(options: Mapping[str, Any]) -> bool:
    """Whether any path among the options is an address."""
    values = [item for value in options.values() for item in (value if isinstance(value, (list, tuple)) else [value])]
    return any(isinstance(value, str) and REMOTE.match(value) for value in values)


def check_options(name: str, options: Mapping[str, Any]) -> None:
    """That a source would take these options. Raises ConfigError."""
    known = getattr(sources().find(name), "Options", None)
    if known is None:
        return
    try:
        build(known, options)
    except BuildError as error:
        raise ConfigError(f"source '{name}': {error}") from error


def picture_size(config: LineConfig, source: Source) -> tuple[int, int]:
    """(height, width) of the first picture as the model gets it."""
    first = source[0] if config.size.policy in ("none", "bucket") else None
    if isinstance(first, SourceItem):
        height, width = first.image.shape[:2]
        return config.size.target(height, width)
    return config.size.size, config.size.size

"""What a plan must know of a source, found out without the network: how many pictures, and of which size."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from corruptor.line.config import LineConfig
from corruptor.plan_cost import declared_count
from shards.build import BuildError, build, nearest
from shards.errors import ConfigError, MissingInputError, SourceError
from shards.source import SOURCES, Source, SourceItem, load_target, open_source
from shards.sources.stores import REMOTE


@dataclass(frozen=True)
class Look:
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


def look_at_source(config: LineConfig) -> Look:
    """Opens a source that is on this disk; of others tells what the config says.

    Raises ConfigError for an unknown source or option.
    """
    name, options = config.source.name, config.source.options
    set_name = str(options.get("set_name") or name)
    check_options(name, options)
    side, count = config.size.size, declared_count(options)
    if is_remote(options):
        return Look(set_name, count, side, side, "the source lies behind the network and was not opened", remote=True)
    try:
        source = open_source(name, **options)
    except (MissingInputError, SourceError) as error:
        return Look(set_name, count, side, side, f"NOT READY: {error}")
    height, width = picture_size(config, source)
    return Look(source.name, len(source), height, width)


def is_remote(options: Mapping[str, Any]) -> bool:
    """Whether any path among the options is an address."""
    values = [item for value in options.values() for item in (value if isinstance(value, (list, tuple)) else [value])]
    return any(isinstance(value, str) and REMOTE.match(value) for value in values)


def check_options(name: str, options: Mapping[str, Any]) -> None:
    """That a source would take these options. Raises ConfigError."""
    if name not in SOURCES:
        raise ConfigError(f"unknown source '{name}'{nearest(name, SOURCES)}")
    known = getattr(load_target(SOURCES[name]), "Options", None)
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

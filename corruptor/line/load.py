"""A config file as a run takes it: title, licence and name of a set are those of its own pictures, nobody else's."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from corruptor.line.config import LineConfig
from shards.build import plain
from shards.config import INSTALLED, assigner, find_config, load_config, parse_override, read_config
from shards.extensions import search_beside
from shards.places import place_of

PICTURES = ("root", "tars", "where")
"""Options that say which pictures a source has."""
CREDITS = ("licence", "set_name")
"""Options that say whose they are."""


def load_line(path: str | Path, overrides: Iterable[str] = ()) -> LineConfig:
    """As `load_config`, of a run. Raises MissingInputError, ConfigError.

    A title, a licence and a name of the set that one of our configs gives to its own source do not go with another:
    they are then "", as where none was given. What the user gives stays: in an override, or in a config that assigns
    the title, or `source` as a whole, or another licence or name.
    """
    overrides = list(overrides)
    config = load_config(path, LineConfig, overrides)
    said = {".".join(parse_override(text)[0]) for text in overrides}
    if config.title and "title" not in said:
        ours = assigned_by_us(path, "title")
        if ours is not None and not same_pictures(ours, config):
            config = replace(config, title="")
    ours = assigned_by_us(path, "source")
    if ours is not None and not same_pictures(ours, config):
        theirs, options = read_config(ours)["source"].get("options", {}), dict(config.source.options)
        for name in CREDITS:
            if name in options and options[name] == theirs.get(name) and f"source.options.{name}" not in said:
                del options[name]
        config = replace(config, source=replace(config.source, options=options))
    search_beside(find_config(path))  # the config that was asked for is the one beside which code is looked for first
    return config


def assigned_by_us(path: str | Path, name: str) -> Path | None:
    """The config of ours that has the last word on a value; None where that is the user's, or none."""
    file = assigner(find_config(path), name)
    return file if file is not None and file.resolve().is_relative_to(INSTALLED / "configs") else None


def same_pictures(ours: Path, config: LineConfig) -> bool:
    """Whether a run reads the pictures that our config names."""
    return pictures_of(read_config(ours)["source"]) == pictures_of(plain(config.source))


def pictures_of(source: Mapping[str, Any]) -> list[Any]:
    """What tells the pictures of a config's source from those of others."""
    options = source.get("options", {})
    told = [(name, options.get(name, "")) for name in PICTURES]
    return [
        source["name"],
        *(place_of(value, name) or value if isinstance(value, str) else value for name, value in told),
    ]

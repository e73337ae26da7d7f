"""A config file as a run takes it: its title is that of its own pictures, and nobody else's."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from corruptor.line.config import LineConfig
from shards.build import plain
from shards.config import INSTALLED, assigner, find_config, load_config, read_config
from shards.extensions import search_beside
from shards.places import place_of

PICTURES = ("root", "tars", "where")
"""Options that say which pictures a source has."""


def load_line(path: str | Path, overrides: Iterable[str] = ()) -> LineConfig:
    """As `load_config`, of a run. Raises MissingInputError, ConfigError.

    A title that one of our configs gives to its own source does not go with another: it is then "", as where none was
    given. One that the user gives, in a config or as an override, stays.
    """
    overrides = list(overrides)
    config = load_config(path, LineConfig, overrides)
    said = any(text.partition("=")[0].strip() == "title" for text in overrides)
    ours = assigner(find_config(path), "title") if config.title and not said else None
    if ours is None or not ours.resolve().is_relative_to(INSTALLED / "configs"):
        return config
    same = pictures_of(read_config(ours)["source"]) == pictures_of(plain(config.source))
    search_beside(find_config(path))  # the config that was asked for is the one beside which code is looked for first
    return config if same else replace(config, title="")


def pictures_of(source: Mapping[str, Any]) -> list[Any]:
    """What tells the pictures of a config's source from those of others."""
    options = source.get("options", {})
    told = [(name, options.get(name, "")) for name in PICTURES]
    return [
        source["name"],
        *(place_of(value, name) or value if isinstance(value, str) else value for name, value in told),
    ]

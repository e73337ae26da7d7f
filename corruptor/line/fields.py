"""Every value that a config of `blemish shards` may hold: the run's own, and the options of each source and policy."""

from __future__ import annotations

from collections.abc import Iterator

from corruptor.line.config import LineConfig
from region_select.policy import policies
from shards.errors import ConfigError
from shards.extensions import ExtensionPoint
from shards.fields import FieldDoc, arguments_of, as_text, fields_of
from shards.source import sources

Sections = list[tuple[str, list[FieldDoc]]]


def sections() -> Sections:
    """(title, fields) of the config, then of every source and every region policy that can be named."""
    found: Sections = [("Config of a run", list(fields_of(LineConfig)))]
    found += _options(sources(), "source.name", "source.options")
    found += _options(policies(), "region.policy", "region.options", skip=2)
    return found


def fields_text(prefix: str = "") -> str:
    """All of it for a terminal; only fields whose name begins with `prefix`. Raises ConfigError where there is none."""
    parts = []
    for title, fields in sections():
        kept = [one for one in fields if one.name.startswith(prefix)]
        if kept:
            parts.append(f"{title}\n{as_text(kept)}")
    if not parts:
        raise ConfigError(f"no field of the config begins with {prefix!r}; `blemish config fields` lists all")
    return "\n\n".join(parts)


# `skip`: what a function gets besides its options, such as item and rng of a policy.
def _options(point: ExtensionPoint, key: str, prefix: str, skip: int = 0) -> Iterator[tuple[str, list[FieldDoc]]]:
    for name in point.names():
        title = f"{prefix} where {key} = {name!r}"
        try:
            target = point.find(name)
        except ConfigError as error:  # somebody else's package; ours are whole
            yield f"{title} (cannot be loaded: {error})", []
            continue
        known = getattr(target, "Options", None)
        yield title, list(fields_of(known, prefix) if known else arguments_of(target, prefix, skip))

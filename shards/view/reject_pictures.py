"""Pictures of rejected inputs. Shards do not hold them, so the run's source is opened once more and asked for each.

Code of somebody's own that a manifest names is not run. A source that is not there any more, or gives another picture
under the number of the rejected one, gives none; nor does one whose file cannot be read, which is why it was rejected.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from shards.config import apply_overrides
from shards.document import data_url
from shards.errors import ConfigError, UserError
from shards.extensions import is_code
from shards.places import public_text, read_places
from shards.source import Source, SourceItem, open_source
from shards.view.pictures import thumbnail
from shards.view.rejects import Rejected, Rejects


def open_again(run: Path, manifest: Mapping[str, Any]) -> Source:
    """The source of a run, where it lay when the run was made here.

    Raises UserErrors where the manifest names none, it is code of somebody's own, or it is not there any more.
    """
    config = manifest.get("config")
    told = config.get("source") if isinstance(config, Mapping) else None
    name = told.get("name") if isinstance(told, Mapping) else None
    if not isinstance(name, str) or not isinstance(told, Mapping) or not isinstance(told.get("options"), Mapping):
        raise ConfigError(f"{run} was not made from a source, so there are no pictures of its rejects")
    if is_code(name):
        raise ConfigError(f"the source of {run} is code of its maker's own, {name}; what a manifest names is not run")
    known = read_places(run)
    listed = [one for one in known if one.startswith("source.options.")]
    placed = apply_overrides({"source": dict(told)}, [f"{one}={known[one]!r}" for one in listed])
    return open_source(name, **placed["source"]["options"])


def pictures_of(found: Rejects, source: Source, most: int, side: int) -> dict[Rejected, str]:
    """A picture as a data URL for the first `most` rejects of each reason, where there is one."""
    shown: dict[Rejected, str] = {}
    of_index: dict[int, tuple[str, str]] = {}
    for listed in found.first.values():
        for one in listed[:most]:
            if one.index not in of_index:
                of_index[one.index] = picture_at(source, one.index, side)
            uri, picture = of_index[one.index]
            if picture and one.uri in (uri, public_text(uri)):
                shown[one] = picture
    return shown


def picture_at(source: Source, index: int, side: int) -> tuple[str, str]:
    """The name and the picture of an item; empty where it is none."""
    if not 0 <= index < len(source):
        return "", ""
    try:
        item = source[index]
    except UserError:
        return "", ""
    if not isinstance(item, SourceItem):
        return "", ""
    data, suffix = thumbnail(item.image, side)
    return item.uri, data_url(data, suffix)

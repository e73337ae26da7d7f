"""The card of a published run: what `shards/card.py` says, a sheet, how it was made, and every field."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from shards import schema
from shards.card import card_text, line
from shards.fields import fields_of
from shards.markdown import table

LONGEST, MOST_ROWS = 80, 200
LEFT_OUT = frozenset(("compute",))
"""Parts of a config that change how fast a run is made and nothing in it."""


def hub_card(manifest: Mapping[str, Any], name: str, sheet: str) -> str:
    """The whole card.

    Args:
        manifest: of a finished run. name: OWNER/NAME. sheet: name of the sheet's file, "" for none.
    """
    text = card_text(dict(manifest))
    header, heading, rest = split(text)
    shown = f"\n![Clean twin, mask and sample, side by side]({sheet})\n" if sheet else ""
    loading = rest.replace('"webdataset", data_files="shards/*.tar"', f'"{name}"').replace(
        'glob("shards/*.tar")', 'glob("shards/*.tar")  # after: hf download --repo-type dataset ' + name
    )
    return f"{header}{heading}\n{shown}{loading}\n## How it was made\n\n{making(manifest)}\n\n## Fields\n\n{fields()}\n"


def split(card: str) -> tuple[str, str, str]:
    """Header with its marks, heading, and the rest."""
    _, yaml, body = card.split("---\n", 2)
    heading, _, rest = body.lstrip("\n").partition("\n")
    return f"---\n{yaml}---\n\n", heading, rest


def making(manifest: Mapping[str, Any]) -> str:
    """The config that the run was made with, field by field."""
    rows = [(f"`{name}`", f"`{value}`") for name, value in flat(manifest["config"])]
    more = f"\n\n{len(rows) - MOST_ROWS} more fields are in `manifest.json`." if len(rows) > MOST_ROWS else ""
    about = (
        "Made with Blemish: a clean picture is inverted into the noise of a diffusion model, fresh noise is put in "
        "where a mask says so, and the model denoises the whole; the mask, cut down to what really changed, is the "
        "label."
    )
    told = about if "corruption" in manifest["config"] else "Labels that came with the set, in the form of Blemish."
    return told + ("\n\n" + table(("field", "value"), rows[:MOST_ROWS]) if rows else "") + more


def flat(values: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, str]]:
    """(dotted name, value as short JSON) of a config, without what does not decide over the samples."""
    for key, value in values.items():
        name = f"{path}.{key}" if path else str(key)
        if name in LEFT_OUT:
            continue
        if isinstance(value, Mapping) and value:
            yield from flat(value, name)
        else:
            text = line(json.dumps(value, ensure_ascii=False)).replace("`", "'").replace("|", "/")
            yield line(name).replace("`", "'"), text if len(text) <= LONGEST else text[: LONGEST - 4] + " ..."


def fields() -> str:
    """The fields of a sample's JSON with their meanings."""
    rows = []
    for field in fields_of(schema.Meta):
        if not field.is_group:
            rows.append((f"`{field.name}`", f"`{field.kind}`".replace("|", "or"), " ".join(field.meaning.split())))
    return table(("field of `.json`", "type", "meaning"), rows)

"""The dataset card: a README.md with the header that the Hugging Face hub reads."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from shards.files import write_bytes
from shards.schema import SCHEMA_VERSION

SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))


def size_category(samples: int) -> str:
    """The hub's size tag."""
    return next((tag for limit, tag in SIZES if samples < limit), "n>1M")


SAFE_WORD = re.compile(r"[a-z][a-z0-9.+-]*")
YAML_WORDS = frozenset(("null", "true", "false", "yes", "no", "on", "off", "y", "n"))
"""Words that YAML takes for something else than text."""


def line(text: str) -> str:
    """Text of the user's or of a picture's name as one printable line."""
    return " ".join("".join(char if char.isprintable() else " " for char in text).split())


def yaml_text(text: str) -> str:
    """One printable line as a YAML scalar: bare where that is safe, else quoted as JSON has it, which YAML reads."""
    safe = SAFE_WORD.fullmatch(text) and text not in YAML_WORDS
    return text if safe else json.dumps(text, ensure_ascii=False)


def header(manifest: dict[str, Any]) -> str:
    """The YAML block: one default config, one split over all shards."""
    licence = line(manifest["licence"]).lower()
    stated = f"license: {yaml_text(licence)}\n" if licence else ""
    return f"""---
{stated}task_categories:
- image-segmentation
tags:
- webdataset
- image-artifacts
size_categories:
- {size_category(manifest["totals"]["samples"])}
configs:
- config_name: default
  data_files:
  - split: train
    path: shards/*.tar
---
"""


def heading(manifest: Mapping[str, Any]) -> str:
    """What a run is called: its title, or what its samples are of."""
    source = line(str(manifest["source"].get("name", "")))
    return line(str(manifest.get("title", ""))) or f"Samples of {source}".strip()


def card_text(manifest: dict[str, Any]) -> str:
    """The whole card."""
    totals, codec = manifest["totals"], manifest["codec"]
    source = line(str(manifest["source"].get("name", "")))
    rejects = ", ".join(f"{reason} {count}" for reason, count in totals["rejects"].items()) or "none"
    return f"""{header(manifest)}
# {heading(manifest)}

{totals["samples"]} samples in {totals["shards"]} shards: {totals["artifact"]} with artifacts, {totals["clean"]} clean.
Source: {source} ({manifest["source"].get("items", "?")} items). Rejected inputs: {rejects}.
Config hash `{manifest["config_hash"]}`; the full config is in `manifest.json`, rejected inputs in `rejects.jsonl`.

| member | content |
| --- | --- |
| `.{codec}` | image, RGB, 8 bits |
| `.mask.png` | 8-bit grey: 255 artifact, 128 ignore, 0 clean |
| `.source.{codec}` | the same picture without damage, where there is one |
| `.json` | facts, schema version {SCHEMA_VERSION}; same keys and types in every sample; -1 = does not apply |

```python
from datasets import load_dataset  # pip install datasets

samples = load_dataset("webdataset", data_files="shards/*.tar", split="train")
```

```python
import webdataset  # what Blemish itself installs; a sample is a dict of the members' bytes
from glob import glob

samples = webdataset.WebDataset(sorted(glob("shards/*.tar")), shardshuffle=False)
```
"""


def write_card(out: Path, manifest: dict[str, Any]) -> None:
    """Write OUT/README.md. Raises OutputError."""
    write_bytes(out / "README.md", card_text(manifest).encode("utf-8", "backslashreplace"))

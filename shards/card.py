"""The dataset card: a README.md with the header that the Hugging Face hub reads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from shards.files import write_bytes
from shards.schema import SCHEMA_VERSION

SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))


def size_category(samples: int) -> str:
    """The hub's size tag."""
    return next((tag for limit, tag in SIZES if samples < limit), "n>1M")


def header(manifest: dict[str, Any]) -> str:
    """The YAML block: one default config, one split over all shards."""
    licence = manifest["licence"] or "other"
    return f"""---
license: {licence.lower()}
task_categories:
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


def card_text(manifest: dict[str, Any]) -> str:
    """The whole card."""
    totals, codec = manifest["totals"], manifest["codec"]
    rejects = ", ".join(f"{reason} {count}" for reason, count in totals["rejects"].items()) or "none"
    return f"""{header(manifest)}
# {manifest["title"]}

{totals["samples"]} samples in {totals["shards"]} shards: {totals["artifact"]} with artifacts, {totals["clean"]} clean.
Source: {manifest["source"].get("name", "")} ({manifest["source"].get("items", "?")} items). Rejected inputs: {rejects}.
Config hash `{manifest["config_hash"]}`; the full config is in `manifest.json`, rejected inputs in `rejects.jsonl`.

| member | content |
| --- | --- |
| `.{codec}` | image, RGB, 8 bits |
| `.mask.png` | 8-bit grey: 255 artifact, 128 ignore, 0 clean |
| `.source.{codec}` | the same picture without damage, where there is one |
| `.json` | facts, schema version {SCHEMA_VERSION}; same keys and types in every sample; -1 = does not apply |

```python
from datasets import load_dataset

samples = load_dataset("webdataset", data_files="shards/*.tar", split="train")
```
"""


def write_card(out: Path, manifest: dict[str, Any]) -> None:
    """Write OUT/README.md. Raises OutputError."""
    write_bytes(out / "README.md", card_text(manifest).encode("utf-8", "backslashreplace"))

"""The table of families. A new family is a new row; nothing else asks which family a model is of."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from corruptor.families.family import Family
from corruptor.families.flux import FLUX_DEV, FLUX_SCHNELL
from corruptor.families.flux2 import FLUX2_KLEIN, FLUX2_KLEIN_BASE
from corruptor.families.qwen_image import QWEN_IMAGE
from corruptor.families.sd3 import SD3
from corruptor.families.stable_diffusion import SD, SD_FLOW, SD_TURBO, SDXL, SDXL_TURBO
from shards.errors import SchemaError
from shards.guard.json_text import read_object
from shards.guard.plain_file import open_plain

FAMILIES: dict[str, Family] = {
    "sd": SD,
    "sd-turbo": SD_TURBO,
    "sd-flow": SD_FLOW,
    "sdxl": SDXL,
    "sdxl-turbo": SDXL_TURBO,
    "sd3": SD3,
    "flux-dev": FLUX_DEV,
    "flux-schnell": FLUX_SCHNELL,
    "flux2-klein": FLUX2_KLEIN,
    "flux2-klein-base": FLUX2_KLEIN_BASE,
    "qwen-image": QWEN_IMAGE,
}
"""SD 1.x and 2.x are one row: whether a model predicts noise or v is in its scheduler's config. So are SD3 and 3.5."""


def family_of(folder: Path) -> Family:
    """The row that a pipeline folder belongs to, by its model_index.json and the configs of its parts.

    Raises FileNotFoundError without the index, ValueError for another kind of pipeline.
    """
    index = folder / "model_index.json"
    if not index.is_file():
        raise FileNotFoundError(
            f"{folder} has no model_index.json: it is no pipeline folder in diffusers format; "
            f"save one with save_pretrained"
        )
    told_by_index = read_json(index)
    pipeline = told_by_index.get("_class_name")
    rows = [family for family in FAMILIES.values() if family.pipeline == pipeline]
    if not rows:
        supported = ", ".join(dict.fromkeys(family.pipeline for family in FAMILIES.values()))
        raise ValueError(f"{index} names the pipeline {pipeline!r}; supported are {supported}")

    def told(part: str, key: str) -> Any:
        if not part:
            return told_by_index.get(key)
        path = folder / part / ("scheduler_config.json" if part == "scheduler" else "config.json")
        return read_json(path).get(key) if path.is_file() else None

    return marked(rows, told)


def marked(rows: Sequence[Family], told: Callable[[str, str], Any]) -> Family:
    """The row whose mark a model has, else the one without a mark; told(part, key) gives a value of its configs, of
    the pipeline's own where the part is ""."""
    fitting = [row for row in rows if row.mark is not None and told(*row.mark[:2]) == row.mark[2]]
    return fitting[0] if fitting else next(row for row in rows if row.mark is None)


def read_json(path: Path) -> dict[str, Any]:
    """A config file. Raises ValueError naming the file where it is no JSON object, FileNotFoundError without it."""
    try:
        return read_object(path)
    except SchemaError as error:
        with contextlib.suppress(OSError), open_plain(path) as file:
            if file.read(8) == b"version ":
                raise ValueError(f"{path} is a Git LFS pointer; fetch the file itself") from error
        raise

"""Labelled image artifacts without labelling.

A clean picture is turned back into the noise that a diffusion model would make it from, fresh noise is put in where a
mask says so, and the model denoises the whole: there it often draws something broken, and the mask, cut down to what
really changed, is the label. In five lines, with the small generator that comes with the package:

Examples:
    >>> import blemish
    >>> image = blemish.open_source("miniworld", count=8)[7].image  # uint8 HWC; your own: PIL, numpy or torch
    >>> mask = blemish.select_regions(image, "learned", tau=0.4)
    >>> result = blemish.corrupt(image, mask, seed=1)
    >>> print(result.verdicts[0], result.images[0].shape, result.labels[0].max())
    artifact (64, 64, 3) 1

Not every region changes: this small generator repairs about two in three, which verification finds (`verdicts`).
With a model of your own: `Corruptor.from_pretrained("stable-diffusion-v1-5/stable-diffusion-v1-5")`, or
`Corruptor.from_pipeline(pipe)` for a diffusers pipeline that is already in memory.

Importing this package loads nothing else; each name is loaded when it is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from blemish.corrupting import Corruptor, corrupt
    from blemish.detection import Detector
    from blemish.inputs import InputError
    from blemish.regions import select_regions
    from blemish.results import Corrupted, Detections, Regions
    from blemish.runs import Run, open_run
    from blemish.scoring import Score, score
    from region_select.policy import ItemPolicy, Selection
    from region_select.policy import register_policy as register_region_policy
    from shards.reader import ShardReader
    from shards.source import Reject, Source, SourceItem, open_source, register_source

    __version__: str

_PLACES = {
    "Corrupted": "blemish.results",
    "Corruptor": "blemish.corrupting",
    "Detections": "blemish.results",
    "Detector": "blemish.detection",
    "InputError": "blemish.inputs",
    "ItemPolicy": "region_select.policy",
    "Regions": "blemish.results",
    "Reject": "shards.source",
    "Run": "blemish.runs",
    "Score": "blemish.scoring",
    "Selection": "region_select.policy",
    "ShardReader": "shards.reader",
    "Source": "shards.source",
    "SourceItem": "shards.source",
    "corrupt": "blemish.corrupting",
    "open_run": "blemish.runs",
    "open_source": "shards.source",
    "register_region_policy": "region_select.policy:register_policy",
    "register_source": "shards.source",
    "score": "blemish.scoring",
    "select_regions": "blemish.regions",
}
"""Public name -> module, or module:name where it is called otherwise there."""

__all__ = [  # noqa: RUF022  what is called first, then its results, then what others build on
    "Corruptor",
    "corrupt",
    "select_regions",
    "Detector",
    "score",
    "open_run",
    "open_source",
    "ShardReader",
    "register_source",
    "register_region_policy",
    "Corrupted",
    "Detections",
    "Regions",
    "Run",
    "Score",
    "Source",
    "SourceItem",
    "Reject",
    "ItemPolicy",
    "Selection",
    "InputError",
    "__version__",
]


def __getattr__(name: str) -> Any:
    """Load a public name when it is first used (PEP 562)."""
    if name == "__version__":
        from importlib import metadata

        value: Any = metadata.version("blemish")
    elif name in _PLACES:
        module, _, other = _PLACES[name].partition(":")
        value = getattr(importlib.import_module(module), other or name)
    else:
        raise AttributeError(f"module 'blemish' has no attribute {name!r}; it has {', '.join(__all__)}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)

"""Imports everything that configs name by `type`. Configs list this module in `custom_imports`."""

from __future__ import annotations

from detector.compat import load_mmseg

load_mmseg()

from detector import data, hooks, hub_backbone, loop, metric, scenes, trace_backbone, transforms  # noqa: E402
from detector.rejection import quality, rejector, segmenter  # noqa: E402

__all__ = [
    "data",
    "hooks",
    "hub_backbone",
    "loop",
    "metric",
    "quality",
    "rejector",
    "scenes",
    "segmenter",
    "trace_backbone",
    "transforms",
]

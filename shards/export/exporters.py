"""Registry of exporters: `python -m shards export FORMAT` writes shards in the layout of another tool.

An exporter is a module with `add_arguments(parser)` and `run(args) -> int`; what is slow to import it imports in `run`.
"""

from __future__ import annotations

EXPORTERS: dict[str, tuple[str, str]] = {
    "mmseg": ("shards.export.mmseg", "mmsegmentation: img_dir and ann_dir, and a config of the data set"),
    "coco": ("shards.export.coco", "COCO: one annotation a region, as run-length encoding, box and area"),
}
"""Format -> (module, one line of help)."""

"""Registry of exporters: `python -m shards export FORMAT` writes shards in the layout of another tool.

An exporter is a module with `add_arguments(parser)` and `run(args) -> int`; what is slow to import it imports in `run`.
"""

from __future__ import annotations

EXPORTERS: dict[str, tuple[str, str]] = {
    "mmseg": ("shards.export.mmseg", "mmsegmentation: img_dir and ann_dir, and a config of the data set"),
    "coco": ("shards.export.coco", "COCO: one annotation a region, as run lengths or polygons, box and area"),
    "anomalib": ("shards.export.anomalib", "anomalib: the layout of MVTec AD, normal pictures and defects with masks"),
    "parquet": ("shards.export.parquet", "Parquet with the pictures inside, as the Hugging Face hub reads it"),
    "dpo": ("shards.export.dpo", "preference pairs, clean twin over artifact, for Diffusion-DPO"),
    "labelstudio": ("shards.export.labelstudio", "Label Studio: tasks with the masks as predictions"),
}
"""Format -> (module, one line of help)."""

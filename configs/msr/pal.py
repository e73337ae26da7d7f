"""The paper's tables over an import of PAL (`blemish import pal`) and a folder of real pictures, a folder a category.

`--place pal=DIR real=DIR`; nothing of it was run here.
"""

segmenter = "facebook/mask2former-swin-base-ade-semantic"
per_pixel = ""
adaptation = "configs/detector/msr_swin_b.py"
validation = "{pal}/unified/val"
arms = (
    dict(name="MSR, zero-shot"),
    dict(name="MSR, ten-shot", shards=("{pal}/unified/train",), limit=10),
    dict(name="MSR, unified", shards=("{pal}/unified/train",)),
    dict(name="PAL, unified", shards=("{pal}/unified/train",), config="configs/detector/pal_unified.py"),
)
main = "MSR, unified"
tests = (dict(name="PAL", shards="{pal}/unified/test", by="task"),)
real = (dict(name="photographs", shards="{real}", by="folder"),)

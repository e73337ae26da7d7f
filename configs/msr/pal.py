"""The paper's tables over an import of PAL (`blemish import pal`) and photographs of COCO-Stuff.

`--place pal=DIR coco=DIR`, where DIR holds val2017/ and stuffthingmaps/val2017/; nothing of it was run here.
"""

segmenter = "facebook/mask2former-swin-base-ade-semantic"
per_pixel = ""
adaptation = "configs/detector/msr_swin_b.py"
validation = "{pal}/unified/val"
unified = ("{pal}/unified/train",)
each = dict(shards=("{pal}/{task}/train",), validation="{pal}/{task}/val")
arms = (
    dict(name="MSR, zero-shot"),
    dict(name="MSR, ten-shot", shards=unified, limit=10),
    dict(name="MSR, unified", shards=unified),
    dict(name="MSR, specialist", **each),
    # The paper's second network (table 7), and the one with a ResNet whose weights are published.
    dict(name="MSR, Mask2Former, ResNet-101", shards=unified, config="configs/detector/msr_r101.py"),
    dict(name="MSR, MaskFormer, ResNet-101", shards=unified, config="configs/detector/msr_maskformer_r101.py"),
    dict(name="PAL, unified", shards=unified, config="configs/detector/pal_unified.py"),
    dict(name="PAL, specialist", config="configs/detector/pal_specialist.py", **each),
)
main = "MSR, unified"
tests = (dict(name="PAL", shards="{pal}/unified/test", by="task", count=1017),)
real = (
    dict(
        name="COCO-Stuff",
        shards="{coco}/val2017",
        by="coco_stuff",
        maps="{coco}/stuffthingmaps/val2017",
        count=5000,
    ),
)
del unified, each

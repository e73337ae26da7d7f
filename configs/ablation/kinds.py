"""What a higher threshold, a shorter ladder, kinds of damage and the perceptual band do for a detector."""

from mmengine.config import read_base

with read_base():
    from ._miniworld_once import *

title = "Kinds of damage, and the band; embedded world"
seeds = [0, 1, 2]
once_then_duplicate = "corruption.ladder={'floor': 0, 'last': ['duplicate'], 'last_steps': [6]}"
# Start steps of the 8-step grid and thresholds as docs/evidence/ladder.md measured them.
arms = [
    dict(name="once"),
    # As many samples with artifacts as "once, then duplicate", so that their kind is told from their number.
    dict(name="once, of 3,500 sources", set=["source.options.count=3500"]),
    dict(name="threshold 22", set=["corruption.verification.threshold=22.0"]),
    dict(
        name="once, then omit",
        set=["corruption.ladder={'floor': 0, 'last': ['omit']}", "corruption.verification.threshold=20.0"],
    ),
    # Omission alone teaches least (docs/evidence/ladder.md); these leave it out.
    dict(name="once, then duplicate", set=[once_then_duplicate]),
    dict(name="the same, a fifth clean", set=[once_then_duplicate, "samples.clean_share=0.2"]),
    dict(
        name="the same, threshold 20",
        set=[once_then_duplicate, "samples.clean_share=0.2", "corruption.verification.threshold=20.0"],
    ),
    *(
        dict(
            name=f"{kind}, step {step}",
            set=[f"corruption.injection.kinds={{'{kind}': 1.0, 'distort': 0.0, 'start_step': {step}}}"],
        )
        for kind, step in (("omit", 0), ("duplicate", 6), ("fuse", 6))
    ),
    dict(
        name="band: distance from 0.08",
        set=["corruption.verification.band={'features': 'detector/weights/swin_mini.safetensors', 'low': 0.08}"],
    ),
]
del once_then_duplicate
compare = [[arm["name"], "once"] for arm in arms[1:]]
compare += [["once, then duplicate", "once, of 3,500 sources"]]

"""What structural kinds of damage, and the perceptual band, do for a detector; embedded world, one seed."""

from mmengine.config import read_base

with read_base():
    from ._miniworld_own import *

title = "Kinds of damage, and the band; embedded world"
# Start steps of the 8-step grid as docs/evidence/ladder.md measured them.
arms = [
    dict(name="distort, the default"),
    *(
        dict(name=f"{kind}, step {step}", set=[f"corruption.injection.kinds={{'{kind}': 1.0, 'distort': 0.0}}", start])
        for kind, step, start in (
            ("omit", 0, "corruption.injection.kinds.start_step=0"),
            ("duplicate", 6, "corruption.injection.kinds.start_step=6"),
            ("fuse", 6, "corruption.injection.kinds.start_step=6"),
        )
    ),
    dict(
        name="band: distance from 0.08",
        set=["corruption.verification.band={'features': 'detector/weights/swin_mini.safetensors', 'low': 0.08}"],
    ),
]
compare = [[arm["name"], "distort, the default"] for arm in arms[1:]]

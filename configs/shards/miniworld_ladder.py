"""Rendered scenes; what does not break is left out, or else doubled (docs/evidence/ladder.md).

Lettering breaks when it is drawn anew; faces, hands and vehicles are drawn well, and break where a part is left out of
picture and prompt. With these tries the threshold may be higher: it costs no samples.
"""

from mmengine.config import read_base

with read_base():
    from .miniworld_once import *

corruption.update(
    ladder=dict(floor=0, last=["omit", "duplicate"], last_steps=[0, 6]),
    verification=dict(policy="tighten", metric="mean_abs", threshold=22.0, pixel_threshold=14.0),
)
# More sources become samples than before, so that more of them may be clean ones.
samples.update(clean_share=0.2)

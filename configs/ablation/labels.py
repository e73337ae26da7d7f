"""Which labels are kept and how clean samples come in, on the embedded world with one try a region."""

from mmengine.config import read_base

with read_base():
    from ._miniworld_once import *

title = "Labels: verification, clean samples, twins, paste-back; embedded world"
arms = [
    dict(name="tighten, 18, a tenth clean"),
    *(
        dict(name=policy, set=[f"corruption.verification.policy='{policy}'"])
        for policy in ("keep", "trim", "ignore", "drop")
    ),
    *(
        dict(name=f"threshold {threshold}", set=[f"corruption.verification.threshold={threshold}"])
        for threshold in (6.0, 12.0, 24.0)
    ),
    *(dict(name=f"clean share {share}", set=[f"samples.clean_share={share}"]) for share in (0.0, 0.05, 0.2, 0.4)),
    dict(name="with twins", twins=True),
    dict(name="paste-back", set=["corruption.paste_back=True"]),
    dict(name="oracle's masks", relabel="oracle"),
]
compare = [
    ["tighten, 18, a tenth clean", other]
    for other in ("keep", "drop", "ignore", "trim", "threshold 6.0", "with twins", "paste-back", "oracle's masks")
]

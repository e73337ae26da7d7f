"""Tables 2 and 4 of Menn et al. 2025 with the corruption that suits the embedded world: methods, and no resampling."""

from mmengine.config import read_base

with read_base():
    from ._baselines import *
    from ._miniworld_once import *

title = "Corruption methods, embedded world, its own grid"
seeds = [0, 1, 2]
# The paper resamples all but its own method for 20 of 50 steps: 3 of 8.
arms += [
    dict(
        name=name,
        selector="100 labels",
        set=[f"corruption.injection={{'method': '{method}', 'start_step': {step}}}", *more],
    )
    for name, method, step, more in (
        ("noised", "noised", 0, ()),
        ("noised, not held outside", "noised", 0, ("corruption.resampling.blend=False",)),
        ("gaussian", "gaussian", 5, ()),
        ("rotate", "rotate", 5, ()),
        ("blur", "blur", 5, ()),
        ("downscale", "downscale", 5, ()),
        ("direct", "direct", -1, ()),
    )
]
compare = [
    ["noised", other]
    for other in (
        "100 labels",
        "pseudo labels",
        "noised, not held outside",
        "gaussian",
        "rotate",
        "blur",
        "downscale",
        "direct",
    )
]
compare += [["gaussian", "direct"], ["rotate", "blur"]]

"""Arms of table 2 of Menn et al. 2025: what is done to the latents under the mask."""

from mmengine.config import read_base

with read_base():
    from ._baselines import *

arms += [
    dict(
        name=method,
        selector="100 labels",
        set=[f"corruption.injection={{'method': '{method}', 'start_step': {step}}}"],
    )
    for method, step in (("noised", 40), ("gaussian", 30), ("rotate", 30), ("blur", 30), ("downscale", 30))
]
compare = [
    ["noised", "100 labels"],
    ["noised", "gaussian"],
    ["noised", "rotate"],
    ["rotate", "blur"],
    ["noised", "downscale"],
]

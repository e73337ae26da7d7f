"""Arms of table 4 of Menn et al. 2025: noise in the picture's own latent, or in an inverted one that is resampled."""

from mmengine.config import read_base

with read_base():
    from ._baselines import *

arms += [
    dict(
        name=name,
        selector="100 labels",
        set=[f"corruption.injection={{'method': '{method}', 'start_step': {step}}}", *more],
    )
    for name, method, step, more in (
        ("noise, decoded at once", "direct", -1, ()),
        ("noise, resampled from 30", "gaussian", 30, ()),
        ("noised, resampled from 40", "noised", 40, ()),
        ("noised, held outside", "noised", 40, ("corruption.resampling.blend=True",)),
    )
]
compare = [
    ["noise, resampled from 30", "noise, decoded at once"],
    ["noised, resampled from 40", "noise, resampled from 30"],
    ["noised, held outside", "noised, resampled from 40"],
]

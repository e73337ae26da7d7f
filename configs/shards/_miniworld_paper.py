"""Base: the paper's corruption in the embedded world: 50 steps, nothing held in place, every masked region kept."""

from mmengine.config import read_base

with read_base():
    from .miniworld_once import *

corruption.update(
    inversion=dict(mode="warm", warm_passes=[3, 5, 2, 1]),
    num_grid_steps=50,
    injection=dict(method="noised", start_step=40),
    resampling=dict(blend=False),
    verification=dict(policy="keep"),
)
source.update(options=dict(count=320))
samples.update(clean_share=0.2, misspell=False)

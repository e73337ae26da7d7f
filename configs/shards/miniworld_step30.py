"""The default from start step 30 of 50: less noise than the default, smaller change."""

from mmengine.config import read_base

with read_base():
    from .miniworld import *

# As in the paper nothing is held in place, and every masked region stays, whether it changed or not.
corruption.update(
    inversion=dict(mode="warm", warm_passes=[3, 5, 2, 1]),
    num_grid_steps=50,
    injection=dict(method="noised", start_step=30),
    resampling=dict(blend=False),
    verification=dict(policy="keep"),
)
source.update(options=dict(count=320))
samples.update(clean_share=0.2)
title = "Blemish miniworld, start step 30"
